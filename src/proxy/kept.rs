//! What has to mean the same in every Config: numbers for names, and what connections that outlive
//! a Config were made with. Owned by the control thread.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::observe::OTHER;
use crate::pool::{Registry, Shelf};
use crate::tls::{Connector, Presented};

/// A Listener by its name, for as long as the process runs. Connections keep it where a
/// `ListenerId` would name another Listener in the next Config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DoorId(pub u32);

/// Gives equal things equal numbers, and no number twice.
#[derive(Debug)]
struct Numbers<T>(HashMap<T, u32>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Eq + Hash> Numbers<T> {
    fn of(&mut self, thing: T) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(thing).or_insert(next)
    }

    /// Everything that has a number, in their order.
    fn list(&self) -> Vec<T>
    where
        T: Clone,
    {
        let mut numbered: Vec<_> = self.0.iter().collect();
        numbered.sort_unstable_by_key(|(_, number)| **number);
        numbered.into_iter().map(|(thing, _)| thing.clone()).collect()
    }
}

/// Addresses of one server's name that are counted each by its own number, over the life of the
/// process; those that it has later share one. DNS may move a name for ever, and numbers are few
/// ([`NUMBERS_MAX`](crate::observe::NUMBERS_MAX)).
const TOLD_APART_MAX: u32 = 128;

/// Survives every reload.
#[derive(Debug, Default)]
pub struct Kept {
    /// Loads of servers, and the places of idle connections.
    pub registry: Registry,
    doors: Numbers<String>,
    sites: Numbers<String>,
    /// By pool and address, or a name and [`OTHER`].
    servers: Numbers<(String, String)>,
    /// By pool and server as the file calls it: how many addresses have a number of their own.
    told_apart: HashMap<(String, String), u32>,
    presented: Numbers<Vec<String>>,
    connectors: HashMap<Shelf, Arc<Connector>>,
}

impl Kept {
    /// The number of the Listener of this name.
    pub fn door(&mut self, listener: &str) -> DoorId {
        DoorId(self.doors.of(listener.to_owned()))
    }

    /// The number that a site is counted by, from 1.
    pub(super) fn site(&mut self, name: &str) -> u32 {
        self.sites.of(name.to_owned()).saturating_add(1)
    }

    /// The number that an address of a pool's server is counted by, from 1; `server` is as the file
    /// calls it.
    pub(super) fn server(&mut self, pool: &str, server: &str, address: &str) -> u32 {
        let mut key = (pool.to_owned(), address.to_owned());
        if !self.servers.0.contains_key(&key) {
            let own = self.told_apart.entry((pool.to_owned(), server.to_owned())).or_default();
            if *own < TOLD_APART_MAX {
                *own += 1;
            } else {
                key.1 = format!("{server} {OTHER}");
            }
        }
        self.servers.of(key).saturating_add(1)
    }

    /// The names of all sites that have been counted by a number, in the order of those.
    #[must_use]
    pub fn sites(&self) -> Vec<String> {
        self.sites.list()
    }

    /// The same of servers: pool and address.
    #[must_use]
    pub fn servers(&self) -> Vec<(String, String)> {
        self.servers.list()
    }

    /// How many Listeners have ever had a number.
    pub(super) fn doors(&self) -> usize {
        self.doors.0.len()
    }

    /// The number of a set of certificates, by their names: renewed ones are the same to a
    /// connection that was shown the old.
    pub(super) fn presented(&mut self, mut certificates: Vec<String>) -> Presented {
        certificates.sort_unstable();
        certificates.dedup();
        self.presented.of(certificates)
    }

    /// What opens sessions to the servers of a shelf, which are equal in everything that matters to
    /// it; so sessions are resumed over a reload.
    pub(super) fn connector(&self, shelf: Shelf) -> Option<Arc<Connector>> {
        self.connectors.get(&shelf).cloned()
    }

    /// Those in use from now on.
    pub(super) fn keep_connectors(&mut self, used: HashMap<Shelf, Arc<Connector>>) {
        self.connectors = used;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_with_their_names() {
        let mut kept = Kept::default();
        let (one, two) = (kept.door("one"), kept.door("two"));
        assert_ne!(one, two);
        assert_eq!((kept.door("two"), kept.door("one"), kept.doors()), (two, one, 2));
        let both = kept.presented(vec!["rsa".to_owned(), "ecdsa".to_owned()]);
        assert_eq!(kept.presented(vec!["ecdsa".to_owned(), "rsa".to_owned()]), both);
        assert_ne!(kept.presented(vec!["rsa".to_owned()]), both);
    }

    #[test]
    fn what_is_counted_keeps_its_number_when_others_go() {
        let mut kept = Kept::default();
        assert_eq!((kept.site("b"), kept.site("a"), kept.site("b")), (1, 2, 1));
        assert_eq!((kept.site("c"), kept.site("a")), (3, 2));
        assert_eq!(kept.sites(), ["b", "a", "c"]);
        let address = "192.0.2.1:443";
        let mut number = |pool| kept.server(pool, address, address);
        assert_eq!((number("p"), number("q"), number("p")), (1, 2, 1));
        let named = |pool: &str| (pool.to_owned(), address.to_owned());
        assert_eq!(kept.servers(), [named("p"), named("q")]);
    }

    /// DNS that moves one name for ever does not take the numbers of all others.
    #[test]
    fn addresses_of_a_name_that_moves_for_ever() {
        let mut kept = Kept::default();
        let address = |number: u32| format!("10.1.{}.{}:443", number / 256, number % 256);
        let rotating: Vec<u32> =
            (0..10_000).map(|it| kept.server("p", "fe01:443", &address(it))).collect();
        let shared = TOLD_APART_MAX + 1;
        let expected: Vec<u32> = (0..10_000).map(|it| shared.min(it + 1)).collect();
        assert_eq!(rotating, expected);
        // Who has a number keeps it, and another name gets one.
        assert_eq!(kept.server("p", "fe01:443", &address(3)), 4);
        assert_eq!(kept.server("p", "fe02:443", "10.2.0.1:443"), shared + 1);
        let names = kept.servers();
        assert_eq!(names[shared as usize - 1], ("p".to_owned(), "fe01:443 (other)".to_owned()));
        assert_eq!(names.len(), shared as usize + 1);
    }
}

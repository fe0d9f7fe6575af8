//! What has to mean the same in every Config: numbers for names, and what connections that outlive
//! a Config were made with. Owned by the control thread.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;

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

/// Survives every reload.
#[derive(Debug, Default)]
pub struct Kept {
    /// Loads of servers, and the places of idle connections.
    pub registry: Registry,
    doors: Numbers<String>,
    sites: Numbers<String>,
    servers: Numbers<(String, SocketAddr)>,
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

    /// The number that a server of a pool is counted by, from 1.
    pub(super) fn server(&mut self, pool: &str, address: SocketAddr) -> u32 {
        self.servers.of((pool.to_owned(), address)).saturating_add(1)
    }

    /// The names of all sites that have been counted by a number, in the order of those.
    #[must_use]
    pub fn sites(&self) -> Vec<String> {
        self.sites.list()
    }

    /// The same of servers: pool and address.
    #[must_use]
    pub fn servers(&self) -> Vec<(String, SocketAddr)> {
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
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        assert_eq!((kept.server("p", address), kept.server("q", address)), (1, 2));
        assert_eq!(kept.servers(), [("p".to_owned(), address), ("q".to_owned(), address)]);
    }
}

//! What has to mean the same in every Config: numbers for names, and what connections that outlive
//! a Config were made with. Owned by the control thread.

use std::collections::HashMap;
use std::hash::Hash;
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
}

/// Survives every reload.
#[derive(Debug, Default)]
pub struct Kept {
    /// Loads of servers, and the places of idle connections.
    pub registry: Registry,
    doors: Numbers<String>,
    presented: Numbers<Vec<String>>,
    connectors: HashMap<Shelf, Arc<Connector>>,
}

impl Kept {
    /// The number of the Listener of this name.
    pub fn door(&mut self, listener: &str) -> DoorId {
        DoorId(self.doors.of(listener.to_owned()))
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
}

//! What outlives a Config: how busy each server is, and where its idle connections wait.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::net::Dial;

/// Exchanges under way at one server, over all workers; on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Load(AtomicU32);

impl Load {
    /// One exchange more.
    pub fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One exchange less.
    pub fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Exchanges under way.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Names the place where equal idle connections wait; never used for anything else again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shelf(pub u32);

#[derive(Debug, PartialEq, Eq, Hash)]
struct ShelfKey {
    dial: Dial,
    tls: Option<u64>,
    name: Option<String>,
    verified: Option<String>,
}

/// Survives every reload; owned by the control thread.
#[derive(Debug, Default)]
pub struct Registry {
    loads: HashMap<(String, SocketAddr), Arc<Load>>,
    shelves: HashMap<ShelfKey, Shelf>,
}

impl Registry {
    /// The count of a server of a pool.
    pub fn load(&mut self, pool: &str, address: SocketAddr) -> Arc<Load> {
        Arc::clone(self.loads.entry((pool.to_owned(), address)).or_default())
    }

    /// The place for idle connections made by `dial`, with TLS of this fingerprint, if any; with the
    /// name that is asked for, if it does not change from request to request, and the one that is
    /// verified, if that is another.
    pub fn shelf(
        &mut self,
        dial: &Dial,
        tls: Option<u64>,
        (name, verified): (Option<String>, Option<String>),
    ) -> Shelf {
        let next = Shelf(u32::try_from(self.shelves.len()).unwrap_or(u32::MAX));
        *self.shelves.entry(ShelfKey { dial: dial.clone(), tls, name, verified }).or_insert(next)
    }
}

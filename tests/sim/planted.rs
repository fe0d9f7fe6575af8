//! Bugs that are there on purpose, so that the oracle can show that it finds them.
//!
//! Here are those that the machine can bring about under the proxy.

use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use gatehouse::net::Link;

use super::machine::Held;
use super::world::{SECOND, World};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// A byte that was received never comes to the proxy.
    LostByte,
    /// A new connection to a server is one that is in use.
    SharedConnection,
    /// A wait is answered and nobody is woken.
    SwallowedWake,
    /// A sender is told of a reset as if we had ended, so that it looks like an end to the reader.
    PoliteReset,
    /// The clock stands still for the proxy, so that no deadline passes.
    StandingClock,
}

/// What a bug has done in a run so far.
#[derive(Default)]
pub(crate) struct Planted {
    done: std::cell::Cell<u32>,
    lent: std::cell::RefCell<Vec<(SocketAddr, Weak<Link<Held>>)>>,
}

impl World {
    /// Once a run, at some moment.
    fn strikes(&self, plant: Plant) -> bool {
        if self.plant != Some(plant) || self.planted.done.get() > 0 || !self.one_in(8) {
            return false;
        }
        self.planted.done.set(1);
        true
    }

    pub(crate) fn loses_byte(&self) -> bool {
        self.strikes(Plant::LostByte)
    }

    pub(crate) fn swallows_wake(&self) -> bool {
        self.strikes(Plant::SwallowedWake)
    }

    /// What a sender is told of the connection.
    pub(crate) fn softens(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::ConnectionReset if self.plant == Some(Plant::PoliteReset) => {
                io::ErrorKind::BrokenPipe.into()
            }
            _ => error,
        }
    }

    pub(crate) fn proxy_now(&self) -> u64 {
        if self.plant == Some(Plant::StandingClock) { SECOND } else { self.now() }
    }

    pub(crate) fn lend(&self, to: SocketAddr, link: &Rc<Link<Held>>) {
        if self.plant == Some(Plant::SharedConnection) {
            self.planted.lent.borrow_mut().push((to, Rc::downgrade(link)));
        }
    }

    /// A connection to the same server that is in use, to be used beside that.
    pub(crate) fn shares_connection(&self, to: SocketAddr) -> Option<Rc<Link<Held>>> {
        if self.plant != Some(Plant::SharedConnection) {
            return None;
        }
        let lent = self.planted.lent.borrow();
        let links = lent.iter().filter(|(server, _)| *server == to);
        let stands = |link: &Rc<Link<Held>>| !link.pipe.connection.end(0).borrow().connecting;
        let link = links.filter_map(|(_, link)| link.upgrade()).find(stands)?;
        self.strikes(Plant::SharedConnection).then_some(link)
    }
}

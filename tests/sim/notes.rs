//! What clients and servers wrote down in a run, for the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// What a credential of the connection is, where the servers know users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Begins a log-in.
    First,
    /// Ends it, on the same connection.
    Third,
    /// A log-in in one message.
    Ticket,
}

/// What a client asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The client connection, by its number in the script.
    pub(crate) client: u32,
    /// The first letter of its path tells the pool.
    pub(crate) pool: char,
    /// A GET or HEAD without a body.
    pub(crate) repeatable: bool,
    /// It shows a credential of the connection.
    pub(crate) login: bool,
    /// Who asks, and by which message of a log-in.
    pub(crate) user: u32,
    pub(crate) message: Option<Message>,
    /// What the proxy has to answer by itself, if anything.
    pub(crate) refusal: Option<u16>,
    pub(crate) at: u64,
}

/// A request's head came to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    pub(crate) id: u32,
    pub(crate) server: SocketAddr,
    /// The upstream connection.
    pub(crate) connection: u32,
    pub(crate) at: u64,
    /// It shows a credential of the connection.
    pub(crate) login: bool,
}

/// An answer came to a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    pub(crate) id: u32,
    pub(crate) client: u32,
    /// The connection that it came on.
    pub(crate) wire: u32,
    pub(crate) status: u16,
    /// The upstream connection that it says to come from; `None` for one of the proxy's own.
    pub(crate) connection: Option<u32>,
    /// Whom the server took the asker for, if it knows users; 0: for nobody.
    pub(crate) user: Option<u32>,
    /// It came to its end.
    pub(crate) whole: bool,
    pub(crate) at: u64,
}

/// Which Config was in force from when on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reigned {
    pub(crate) live: usize,
    pub(crate) from: u64,
}

/// From when to when the proxy held a client's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stayed {
    pub(crate) from: SocketAddr,
    pub(crate) connection: u32,
    pub(crate) since: u64,
    pub(crate) until: u64,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) asked: BTreeMap<u32, Asked>,
    pub(crate) came: Vec<Came>,
    /// Requests that came to a server to their end.
    pub(crate) whole: Vec<u32>,
    /// Upstream connections, and when a server asked for a log-in on them.
    pub(crate) challenged: Vec<(u32, u64)>,
    /// Requests that were answered on an upstream connection which goes on behind them.
    pub(crate) lasting: BTreeSet<(u32, u32)>,
    /// When the proxy let go of an upstream connection.
    pub(crate) let_go: BTreeMap<u32, u64>,
    pub(crate) got: Vec<Got>,
    pub(crate) reigned: Vec<Reigned>,
    /// What the proxy may answer by itself.
    pub(crate) own_answers: Vec<u16>,
    /// How many clients of an address may be let in, if that is to be judged.
    pub(crate) per_address_max: Option<usize>,
    /// The proxy's ends of clients' connections.
    pub(crate) stays: Vec<Stayed>,
    /// What was wrong at first sight.
    pub(crate) wrong: Vec<String>,
    /// What the run has seen, for the tests that count whether everything occurs.
    pub(crate) seen: BTreeMap<&'static str, u32>,
}

impl Notes {
    pub(crate) fn see(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
}

impl Notes {
    /// What happened when, in nanoseconds, for people.
    pub(crate) fn story(&self) -> Vec<(u64, String)> {
        let asked =
            self.asked.iter().map(|(id, asked)| (asked.at, format!("asked {id} {asked:?}")));
        let came = self.came.iter().map(|came| (came.at, format!("came {came:?}")));
        let got = self.got.iter().map(|got| (got.at, format!("got {got:?}")));
        let mut all: Vec<_> = asked.chain(came).chain(got).collect();
        all.sort();
        all
    }
}

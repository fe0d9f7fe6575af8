//! Whose an upstream connection is. NTLM, Negotiate and Kerberos log a connection in, not a request:
//! whoever sends the next request on it is taken for that user.
//!
//! ```text
//! request                              goes on         and after its answer the connection is
//! from a client with a pin             its pin         that client's, or ended
//! with a credential of the connection  a fresh one     that client's, or ended
//! any other, answered by a challenge   any             that client's, or ended
//! any other                            any             anybody's, or ended
//! ```
//!
//! That there is no way back is kept by types: what becomes of a client's own connection is an
//! [`OwnSettled`], in which reuse does not occur.

use crate::http::{Credential, ResponseFacts};

use super::settle::Ending;

/// Which upstream connections a request may travel on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The client's own, at this place among its pins.
    Pin(usize),
    /// One that nobody has used. It is the client's own from its first byte on.
    Fresh,
    /// Any that waits, or a new one.
    Any,
}

/// The way of a request that shows `credential`, of a client whose own connection to the pool, if it
/// has one, is at `pin`.
#[must_use]
pub fn wanted(pin: Option<usize>, credential: Credential) -> Wanted {
    match (pin, credential) {
        (Some(at), _) => Wanted::Pin(at),
        (None, Credential::Connection) => Wanted::Fresh,
        (None, Credential::None | Credential::PerRequest) => Wanted::Any,
    }
}

/// What becomes of a connection that was anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Anybody may use it next.
    Reuse,
    /// It stays with the client that it has just challenged.
    Pin,
    /// It ends.
    Close,
}

/// What becomes of a connection that was anybody's until this answer.
#[must_use]
pub fn settle(answer: &ResponseFacts, ending: Ending) -> Settled {
    match (ending.connection_lasts(answer), answer.challenge) {
        (false, _) => Settled::Close,
        (true, true) => Settled::Pin,
        (true, false) => Settled::Reuse,
    }
}

/// What becomes of a connection that was one client's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnSettled {
    /// It stays with this client.
    Pin,
    /// It ends, and the client's connection with it: whoever was logged in has to notice.
    Close,
}

/// What becomes of a connection that is one client's own, whatever the answer says.
#[must_use]
pub fn settle_own(answer: &ResponseFacts, ending: Ending) -> OwnSettled {
    if ending.connection_lasts(answer) { OwnSettled::Pin } else { OwnSettled::Close }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Framing, Version};

    #[test]
    fn ways() {
        use Credential::{Connection, None as Nothing, PerRequest};
        let rows = [
            (None, Nothing, Wanted::Any),
            (None, PerRequest, Wanted::Any),
            (None, Connection, Wanted::Fresh),
            (Some(2), Nothing, Wanted::Pin(2)),
            (Some(2), PerRequest, Wanted::Pin(2)),
            (Some(2), Connection, Wanted::Pin(2)),
        ];
        for (pin, credential, expected) in rows {
            assert_eq!(wanted(pin, credential), expected, "{pin:?} {credential:?}");
        }
    }

    /// Every combination of what an answer and the end of its exchange say.
    fn endings() -> impl Iterator<Item = (ResponseFacts, Ending)> {
        (0..64_u8).map(|bits| {
            let bit = |at: u8| bits & 1 << at != 0;
            let facts = ResponseFacts {
                status: if bit(0) { 401 } else { 200 },
                version: Version::Http11,
                framing: if bit(1) { Framing::UntilClose } else { Framing::Length(5) },
                keep_alive: bit(2),
                challenge: bit(3),
                upgrade_websocket: false,
                date: true,
            };
            (facts, Ending { request_whole: bit(4), nothing_extra: bit(5) })
        })
    }

    /// Written as the rules say it, not as the code does.
    #[test]
    fn endings_of_connections() {
        let mut seen = [0; 3];
        for (answer, ending) in endings() {
            let usable = answer.keep_alive
                && answer.framing == Framing::Length(5)
                && ending.request_whole
                && ending.nothing_extra;
            let settled = settle(&answer, ending);
            let own = settle_own(&answer, ending);
            let expected = match (usable, answer.challenge) {
                (true, true) => (Settled::Pin, OwnSettled::Pin),
                (true, false) => (Settled::Reuse, OwnSettled::Pin),
                (false, _) => (Settled::Close, OwnSettled::Close),
            };
            assert_eq!((settled, own), expected, "{answer:?} {ending:?}");
            seen[settled as usize] += 1;
        }
        // Four of the 64 can go on at all, twice over for the status.
        assert_eq!(seen, [2, 2, 60]);
    }
}

//! What becomes of the two connections after an exchange, and what may be tried again.

use std::time::Duration;

use crate::http::{Credential, Framing, Method, RequestFacts, ResponseFacts};

use super::UpstreamFault;

/// A reused connection that ends within this time after a request was written to it had been dying
/// already; one that was silent longer had got the request.
pub const RETRY_WITHIN: Duration = Duration::from_secs(1);

/// How far a request had got when the attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The upstream connection had served before.
    pub reused: bool,
    /// It belongs to this client alone.
    pub pinned: bool,
    /// How long ago the request was written.
    pub ago: Duration,
}

/// Whether a request may be sent once more after its connection ended without an answer byte:
/// only if it was a bodyless GET or HEAD on a connection that was closing already.
#[must_use]
pub fn may_retry(request: &RequestFacts, sent: Sent) -> bool {
    matches!(request.method, Method::Get | Method::Head)
        && matches!(request.framing, Framing::None | Framing::Length(0))
        && request.credential != Credential::Connection
        && sent.reused
        && !sent.pinned
        && sent.ago < RETRY_WITHIN
}

/// Whether another server may be tried: nothing of the request has left us.
#[must_use]
pub fn may_send_elsewhere(fault: UpstreamFault) -> bool {
    match fault {
        UpstreamFault::Refused
        | UpstreamFault::Unreachable
        | UpstreamFault::SlowConnect
        | UpstreamFault::TlsFailed => true,
        UpstreamFault::AllDown
        | UpstreamFault::ClosedBeforeHead
        | UpstreamFault::SlowHead
        | UpstreamFault::Malformed(_)
        | UpstreamFault::Truncated
        | UpstreamFault::SlowBody
        | UpstreamFault::PinLost => false,
    }
}

/// How an answered exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The request was read from the client and written to the server to its end.
    pub request_whole: bool,
    /// The server sent nothing behind its answer.
    pub nothing_extra: bool,
    /// The connection is this client's already.
    pub pinned: bool,
}

/// What becomes of the upstream connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Anybody may use it next.
    Reuse,
    /// It stays with this client connection.
    Pin,
    /// It ends.
    Close,
}

/// The truth table of reuse. Whoever has shown a credential for the connection, or was challenged
/// for one, owns it alone until either side closes.
#[must_use]
pub fn settle(request: &RequestFacts, answer: &ResponseFacts, ending: Ending) -> Settled {
    let owned = ending.pinned || answer.challenge || request.credential == Credential::Connection;
    let ended_by_close = answer.framing == Framing::UntilClose;
    if !answer.keep_alive || ended_by_close || !ending.request_whole || !ending.nothing_extra {
        Settled::Close
    } else if owned {
        Settled::Pin
    } else {
        Settled::Reuse
    }
}

//! Whether an upstream connection can be used after an exchange, and what may be tried again.

use std::time::Duration;

use crate::http::{Framing, Method, RequestFacts, ResponseFacts};

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
    pub owned: bool,
    /// How long ago the request was written.
    pub ago: Duration,
}

/// Whether a request may be sent once more after its connection ended without an answer byte:
/// only if it was a bodyless GET or HEAD on a connection that was closing already.
#[must_use]
pub fn may_retry(request: &RequestFacts, sent: Sent) -> bool {
    matches!(request.method, Method::Get | Method::Head)
        && matches!(request.framing, Framing::None | Framing::Length(0))
        && sent.reused
        && !sent.owned
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
}

impl Ending {
    /// Whether another request may be sent on the upstream connection.
    pub(super) fn connection_lasts(self, answer: &ResponseFacts) -> bool {
        answer.keep_alive
            && answer.framing != Framing::UntilClose
            && self.request_whole
            && self.nothing_extra
    }
}

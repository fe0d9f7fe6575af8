//! One request and its answer as decisions: whose fault, whether to retry, whether to reuse.

mod explain;
mod failure;
mod pin;
mod settle;

pub use failure::{ClientFault, Failure, ProxyFault, UpstreamFault};
pub use pin::{OwnSettled, Settled, Wanted, settle, settle_own, wanted};
pub use settle::{Ending, RETRY_WITHIN, Sent, may_retry, may_send_elsewhere};

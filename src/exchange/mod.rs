//! One request and its answer as decisions: whose fault, whether to retry, whether to reuse.

mod explain;
mod failure;
mod settle;

pub use failure::{ClientFault, Failure, ProxyFault, UpstreamFault};
pub use settle::{Ending, RETRY_WITHIN, Sent, Settled, may_retry, may_send_elsewhere, settle};

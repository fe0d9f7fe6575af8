//! What the proxy tells about itself: counters, access records, metrics, its status. Formats; does
//! not write.

mod counters;
mod failures;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod kernel;
mod latency;
mod metrics;
mod notices;
mod record;
mod snapshot;
mod status;
mod status_pools;
mod status_text;
mod tally;
#[cfg(test)]
mod tests;

pub use counters::{Counter, Counters, Counts};
pub use failures::Failures;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_record;
pub use kernel::listen_losses;
pub use latency::Latencies;
pub use metrics::{METRICS_TYPE, metrics};
pub use notices::{Notices, Seldom, say_now};
pub use record::{Format, Record, TEXT_BYTES_MAX, Text};
pub use snapshot::{
    FailureNow, HealthNow, NameNow, OTHER, STATES, ServerNow, SiteNow, Snapshot, UP,
};
pub use status::{
    CertificateStatus, FailureStatus, LimitStatus, ListenerStatus, SiteStatus, Status, Trouble,
    span,
};
pub use status_pools::{NameStatus, PoolStatus, REFUSES_LOG_INS, REFUSES_NEXT, ServerStatus};
pub use status_text::status_text;
pub use tally::{CAUSES_MAX, CLASSES, Cause, NUMBERS_MAX, Sum, Sums, Tallies};

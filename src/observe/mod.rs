//! What the proxy tells about itself: counters and access records. Formats; does not write.

mod counters;
mod latency;
mod notices;
mod record;
mod tally;

pub use counters::{Counters, Counts};
pub use latency::Latencies;
pub use notices::{Notices, Seldom, say_now};
pub use record::{Format, Record, TEXT_BYTES_MAX, Text};
pub use tally::{CAUSES_MAX, CLASSES, Cause, NUMBERS_MAX, Sum, Sums, Tallies};

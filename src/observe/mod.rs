//! What the proxy tells about itself: counters and access records. Formats; does not write.

mod counters;
mod record;

pub use counters::{Counters, Counts};
pub use record::{Format, Record, Text};

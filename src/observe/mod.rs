//! What the proxy tells about itself: counters and access records. Formats; does not write.

mod counters;
mod notices;
mod record;

pub use counters::{Counters, Counts};
pub use notices::{Notices, Seldom, say_now};
pub use record::{Format, Record, TEXT_BYTES_MAX, Text};

//! The control thread: it starts and stops the workers, resolves names and writes the logs.
//! Nothing here is on a request's way.

mod datagram;
mod journal;
mod logfile;
mod output;
mod resolve;
mod start;

pub use start::{Refused, Running, Settings, block_signals, start, wait_for_signal};

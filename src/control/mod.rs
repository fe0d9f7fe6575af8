//! The control thread: it starts and stops the workers, resolves names and writes the logs.
//! Nothing here is on a request's way.

mod admin;
mod crew;
mod datagram;
mod doors;
mod journal;
mod logfile;
mod output;
mod overview;
mod page;
mod resolve;
mod service;
mod signals;
mod source;
mod start;
#[cfg(test)]
mod tests;

pub use admin::{Answer, ask_instance};
pub use service::Service;
pub use signals::{block_signals, wait_for_signal};
pub use source::Disk;
pub use start::{Refused, Running, Settings, start};

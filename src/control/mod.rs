//! The control thread: it starts and stops the workers, resolves names, probes servers and writes
//! the logs.
//! Nothing here is on a request's way.

mod admin;
mod certificates;
mod crew;
mod datagram;
pub mod doctor;
mod doors;
mod health;
mod journal;
mod logfile;
mod names;
mod output;
mod overview;
mod page;
mod probes;
mod resolver;
mod sentence;
mod service;
mod signals;
mod source;
mod start;
#[cfg(test)]
mod tests;

pub use admin::{Answer, ask_instance, drain_question};
pub use service::Service;
pub use signals::{block_signals, wait_for_signal};
pub use source::Disk;
pub use start::{Refused, Running, Settings, start};

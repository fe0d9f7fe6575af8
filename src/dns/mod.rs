//! Names become addresses: what is asked, of whom and when, and what an answer means. Nothing here
//! waits: bytes, time and chance come in as arguments, questions and news go out. The thread that
//! sends and listens is `control/resolver`.
//!
//! Times are lengths since any fixed start. Name servers are told apart by their place in the list
//! of `[resolver] servers`.
//!
//! ```text
//! book.rs      which names are wanted, when each is asked again, what has changed
//! asking.rs    one question on its way from name server to name server
//! message.rs   the bytes of a question, and what the bytes of an answer say
//! ```

mod asking;
mod book;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod message;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), expect(dead_code, reason = "some of it is for tests only"))]
#[expect(clippy::unwrap_used, reason = "what is tried is made right, or the test fails")]
#[path = "../../tests/it/rig/reply.rs"]
mod reply;
#[cfg(test)]
mod tests;

pub use asking::{TRY_FIRST, Why};
pub use book::{Ask, Book, FlightId, News, To, Want, Way};
#[cfg(any(test, fuzzing))]
pub use fuzz::{fuzz_dns, fuzz_names};
pub use message::{ADDRESSES_MAX, Family, UDP_BYTES_MAX};

/// Numbers that nobody can guess.
pub type Chance<'c> = &'c mut dyn FnMut() -> u64;

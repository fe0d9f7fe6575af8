//! What a server's TLS can do, found out by asking: greetings that offer one thing at a time, and
//! what comes back in clear. It reaches further than the TLS library, which neither speaks to old
//! servers nor says what they would have liked.
//!
//! ```text
//! hello.rs     a greeting that offers what it is told to
//! flight.rs    what a server answers: version, suite, certificates, or an alert
//! suites.rs    cipher suites by name and kind
//! paper.rs     what a certificate says
//! judge.rs     whether it would be trusted
//! ```
//!
//! Nothing here keeps a secret or finishes a handshake; no socket, no clock, no chance.

mod flight;
mod hello;
mod judge;
mod paper;
mod suites;
#[cfg(test)]
mod tests;

pub use flight::{FLIGHT_BYTES_MAX, Outcome, Reply, alert_name, curve_name, read_flight};
pub use hello::{Offer, Version, client_hello};
pub use judge::{Distrust, vouch};
pub use paper::{Key, Paper, describe, plain};
pub use suites::{Kind, SUITES, Suite, suite_name, suites_of};

#[cfg(any(test, fuzzing))]
pub use flight::fuzz_flight;

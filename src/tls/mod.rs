//! TLS without sockets: certificates by name, sessions as bytes in and bytes out, tickets.
//!
//! Nothing outside this room names a type of the TLS library. A [`Session`] is fed the ciphertext
//! that came and gives plaintext; it is given plaintext and seals it into the caller's buffer. It
//! keeps no record buffers of its own, so an idle connection costs what its keys cost.

pub mod certificate;
pub mod chain;
mod client;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod hello;
mod legacy;
mod profile;
mod server;
mod server_fault;
mod session;
mod suites;
pub mod survey;
mod tickets;
mod witness;

pub use client::{Authorities, Connector, ConnectorSettings};
#[cfg(any(test, fuzzing))]
pub use fuzz::{fuzz_greeting, fuzz_pieces};
pub use hello::Hello;
pub use profile::{ListenerProfile, Profile};
pub use server::{Greeting, Identity, Presented, Terminator};
pub use server_fault::NO_RENEGOTIATION;
pub use session::{ClientLack, Received, SEALED_EXTRA_BYTES, Session, TlsFault};
pub use suites::OldSuite;
pub use tickets::TicketSecrets;
pub use witness::Witness;

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
mod server;
mod session;
pub mod survey;
mod tickets;
mod witness;

pub use client::{Authorities, Connector, ConnectorSettings};
#[cfg(any(test, fuzzing))]
pub use fuzz::{fuzz_greeting, fuzz_pieces};
pub use server::{Greeting, Identity, Presented, Terminator};
pub use session::{Received, SEALED_EXTRA_BYTES, Session, TlsFault};
pub use tickets::TicketSecrets;
pub use witness::Witness;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// The one set of algorithms: everything that the library offers by default, which is what Mozilla
/// calls intermediate without its CBC suites, with the hybrid post-quantum group first.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

//! The tools that measure: an origin that is never the bottleneck, a relay that shows what the kernel alone costs,
//! and a comparison that puts Gatehouse beside nginx and HAProxy on the machine at hand.
//!
//! Nothing here is part of the proxy. Pure parts (parsing of requests, of `/proc` and of the load tool's words, the
//! ratios, the tables, the peers' configuration) take text and give values; the rest starts processes and waits.

pub mod certificate;
pub mod clock;
pub mod compare;
pub mod idle;
pub mod origin;
pub mod relay;

mod ring;

use std::fmt;

/// Why a tool could not do its work, as one sentence that says what is wrong and who changes what.
#[derive(Debug)]
pub struct Trouble(String);

impl Trouble {
    /// A trouble with its sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Turns an operating system's refusal of `what` into a sentence; for use with `map_err`.
    pub fn of<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Trouble {}

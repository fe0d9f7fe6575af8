//! The tools' clock. Measuring is their work, so they may read it; in one place, like the proxy.

use std::time::Instant;

/// The present moment.
#[expect(clippy::disallowed_methods, reason = "the tools measure real time, and read it here only")]
pub fn now() -> Instant {
    Instant::now()
}

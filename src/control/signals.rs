//! The signals that the process lives by: SIGTERM and SIGINT end it, SIGHUP reads the file again.

use nix::sys::signal::{SigSet, Signal};

/// Waits for one of them. Must be called while [`block_signals`] is in force.
///
/// # Errors
/// The kernel refuses to wait.
pub fn wait_for_signal() -> std::io::Result<Signal> {
    Ok(ours().wait()?)
}

/// Keeps the signals for [`wait_for_signal`]; must run on the main thread before any other begins.
///
/// # Errors
/// The kernel refuses.
pub fn block_signals() -> std::io::Result<()> {
    Ok(ours().thread_block()?)
}

fn ours() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP].into_iter().collect()
}

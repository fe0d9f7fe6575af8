//! `gatehouse pool NAME drain|undrain --server SERVER`

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::control::drain_question;

use super::reload::ask;

/// What is done with a server.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Verb {
    /// No new requests; clients that are logged in there keep their connection
    Drain,
    /// It takes requests again
    Undrain,
}

/// Asks the running instance to take a server out, or in again.
pub(super) fn pool(
    (pool, verb, server): (&str, Verb, &str),
    socket: &Path,
    file: Option<&PathBuf>,
    json: bool,
) -> u8 {
    ask(&drain_question(pool, server, matches!(verb, Verb::Drain)), socket, file, json)
}

//! Sentences for the service's own log: rare, and never in the way of a request.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Mutex;

/// Sentences that wait to be printed; more are dropped and counted.
const WAITING_MAX: usize = 256;

/// Where workers leave sentences for the thread that prints.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    sentences: VecDeque<String>,
    dropped: u64,
}

impl Notices {
    /// Leaves `subject: what`; dropped where too many wait, or where somebody else is at it this
    /// very moment.
    pub fn say(&self, subject: &str, what: &str) {
        let Ok(mut waiting) = self.0.try_lock() else { return };
        let sentence = format!("{subject}: {what}");
        if waiting.sentences.contains(&sentence) {
            return;
        }
        if waiting.sentences.len() < WAITING_MAX {
            waiting.sentences.push_back(sentence);
        } else {
            waiting.dropped += 1;
        }
    }

    /// Takes what waits, and how many were dropped since the last time.
    pub fn take(&self) -> (Vec<String>, u64) {
        let Ok(mut waiting) = self.0.lock() else { return (Vec::new(), 0) };
        let dropped = std::mem::take(&mut waiting.dropped);
        (waiting.sentences.drain(..).collect(), dropped)
    }
}

/// Prints a sentence to the service's log, which is standard error. If that has gone nobody can be
/// told, and the proxy goes on.
pub fn say_now(sentence: &str) {
    let _ = writeln!(io::stderr(), "gatehouse: {sentence}");
}

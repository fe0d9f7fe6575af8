//! Sentences for the service's own log: rare, and never in the way of a request.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Sentences that wait to be printed; more are dropped and counted.
const WAITING_MAX: usize = 256;

/// Where workers leave sentences for the thread that prints.
#[derive(Debug, Default)]
pub struct Notices(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    sentences: VecDeque<String>,
    dropped: u64,
    /// Since the start: left, and of these dropped.
    totals: (u64, u64),
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
        waiting.totals.0 += 1;
        if waiting.sentences.len() < WAITING_MAX {
            waiting.sentences.push_back(sentence);
        } else {
            waiting.dropped += 1;
            waiting.totals.1 += 1;
        }
    }

    /// How many were left since the start, and how many of these were dropped since too many waited.
    pub fn totals(&self) -> (u64, u64) {
        self.0.lock().map_or((0, 0), |waiting| waiting.totals)
    }

    /// Takes what waits, and how many were dropped since the last time.
    pub fn take(&self) -> (Vec<String>, u64) {
        let Ok(mut waiting) = self.0.lock() else { return (Vec::new(), 0) };
        let dropped = std::mem::take(&mut waiting.dropped);
        (waiting.sentences.drain(..).collect(), dropped)
    }
}

/// Lets something be said once in a while, whoever wants to say it.
#[derive(Debug, Default)]
pub struct Seldom(AtomicU64);

impl Seldom {
    /// How long nothing is said after something was.
    pub const PAUSE_SECONDS: u64 = 10;

    /// Whether it is time again at `now`, in nanoseconds since any start but 0. Of several that ask
    /// at once, one is told so.
    pub fn is_time(&self, now: u64) -> bool {
        let last = self.0.load(Ordering::Relaxed);
        let quiet = last == 0 || now.saturating_sub(last) >= Self::PAUSE_SECONDS * 1_000_000_000;
        quiet && self.0.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Prints a sentence to the service's log, which is standard error. If that has gone nobody can be
/// told, and the proxy goes on.
pub fn say_now(sentence: &str) {
    let _ = writeln!(io::stderr(), "gatehouse: {sentence}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_in_a_while() {
        let seldom = Seldom::default();
        let second = 1_000_000_000;
        for (at, expected) in [(5, true), (6, false), (14, false), (15, true), (16, false)] {
            assert_eq!(seldom.is_time(at * second), expected, "after {at} s");
        }
    }
}

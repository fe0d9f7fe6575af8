//! Waiting for what has to happen.

use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer on a machine that is busy with other tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[expect(clippy::disallowed_methods, reason = "tests measure; only this function reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits until a moment: the pace of a load, not a hope that something has happened by then.
pub(crate) fn until_moment(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

/// Waits until `look` finds something.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(now() < end, "it never came: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

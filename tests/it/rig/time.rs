//! Waiting for what has to happen.

use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer on a machine that is busy with other tests.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What happens at once does so within this time also on such a machine; whatever wrongly waits for
/// a default time-out, or for somebody who never comes, takes longer.
pub(crate) const SOON: Duration = Duration::from_secs(10);

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

/// Does `what` until it takes less than `most`, and not more often than three times: a thread may
/// wait for a core by itself so long, but a fault of the proxy is there each time.
#[track_caller]
pub(crate) fn expect_within(most: Duration, mut what: impl FnMut()) {
    let mut took = [Duration::MAX; 3];
    for one in &mut took {
        let begun = now();
        what();
        *one = begun.elapsed();
        if *one < most {
            return;
        }
    }
    panic!("{took:?} instead of {most:?}");
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

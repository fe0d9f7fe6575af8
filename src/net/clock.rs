//! The only reader of clocks.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock, in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// Nanoseconds from `earlier` to this, 0 if that lies later.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The monotonic clock, now.
#[must_use]
pub(super) fn now() -> Moment {
    thread_local! {
        // The kernel's monotonic clock counts from boot; an Instant hides that, so each thread
        // measures from its first reading of the same process-wide start.
        static START: Instant = process_start();
    }
    let elapsed = START.with(Instant::elapsed);
    Moment(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "this is the file that reads clocks")]
fn process_start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Microseconds since 1970; 0 if the clock stands before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads clocks")]
pub fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The worker's coarse clock: the moment of its last tick. Deadlines are set and judged by it, so
/// that they cost no clock reading.
#[derive(Debug, Default)]
pub struct Ticks {
    last: Cell<Moment>,
}

impl Ticks {
    /// How far this clock may lag behind the real one.
    pub const LENGTH: Duration = Duration::from_millis(50);

    /// The moment of the last tick.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.last.get()
    }

    /// Called once per tick.
    pub fn set(&self, now: Moment) {
        self.last.set(now);
    }

    /// The first tick at which `length` has surely passed.
    #[must_use]
    pub fn after(&self, length: Duration) -> Moment {
        self.last.get() + length + Self::LENGTH
    }
}

//! The only reader of clocks.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

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

/// The monotonic clock, now: one call into the vDSO.
#[inline]
pub fn monotonic() -> Moment {
    // The clock exists on every Linux; a zero would only make times short.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC);
    Moment(time.map_or(0, |time| Duration::from(time).as_nanos() as u64))
}

/// Microseconds since 1970; 0 if the clock stands before that.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the file that reads clocks")]
pub fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Whole seconds since 1970, as certificates count them.
#[must_use]
pub fn wall_seconds() -> i64 {
    i64::try_from(wall_micros() / 1_000_000).unwrap_or(i64::MAX)
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

    /// The first tick at which `length` has passed; a thread that was so busy that its last tick is late
    /// is as much too early.
    #[must_use]
    pub fn after(&self, length: Duration) -> Moment {
        self.last.get() + length + Self::LENGTH
    }
}

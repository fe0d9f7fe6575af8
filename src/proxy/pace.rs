//! How fast a client sends or takes a body, over the time in which it is the one who is waited
//! for. What the server needs is not counted: a client whose bytes lie ready is never slow.
//!
//! It also says how much a client is given at once. A client that takes little may make the kernel
//! take little, whatever room that says to have (a window of a few bytes makes packets of a few
//! bytes), and what the kernel does not take is held by us.

use std::cell::Cell;
use std::time::Duration;

use crate::net::{BULK_BYTES, Moment, SMALL_BYTES, Ticks};

use super::alarm::NEVER;

/// A client is judged by its average over so long.
const WINDOW: Duration = Duration::from_secs(30);

/// And after each so long; the window moves on by it.
const STEP: Duration = Duration::from_secs(15);

/// What a client is given first, before anybody knows how fast it is: a full TLS record.
const FIRST_PIECE_BYTES: usize = SMALL_BYTES;

/// What one is given at once that takes its time.
const LEAST_PIECE_BYTES: usize = 2 * 1024;

/// How far a body had come when the client had been waited for so long.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    waited: u64,
    arrived: u64,
}

/// One direction of one body.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes per second; 0: any rate will do.
    least: u64,
    moved: Cell<u64>,
    /// Nanoseconds.
    waited: Cell<u64>,
    /// Also for less than a tick.
    has_waited: Cell<bool>,
    /// The last two.
    marks: Cell<[Mark; 2]>,
    piece: Cell<usize>,
}

impl Pace {
    pub(super) fn new(least: u64) -> Self {
        let piece = Cell::new(FIRST_PIECE_BYTES);
        Self {
            least,
            moved: Cell::default(),
            waited: Cell::default(),
            has_waited: Cell::default(),
            marks: Cell::default(),
            piece,
        }
    }

    /// So many bytes more were moved.
    #[inline]
    pub(super) fn add(&self, bytes: usize) {
        self.moved.set(self.moved.get().wrapping_add(bytes as u64));
    }

    /// The client was waited for from `from` to `now`. Who is there within a tick is not slow.
    #[inline]
    pub(super) fn wait(&self, from: Moment, now: Moment) {
        let waited = now.since(from);
        self.has_waited.set(true);
        self.waited.set(self.waited.get() + waited);
        if waited > 0 {
            self.piece.set((self.piece.get() / 4).max(LEAST_PIECE_BYTES));
        }
    }

    /// Whether pieces could be larger.
    #[inline]
    pub(super) fn may_grow(&self) -> bool {
        self.piece.get() < BULK_BYTES
    }

    /// The kernel took a piece at once, and of all that was moved `unsent` bytes have not left.
    pub(super) fn grow(&self, unsent: u64) {
        if unsent <= self.moved.get() / 2 {
            self.piece.set((self.piece.get() * 2).min(BULK_BYTES));
        }
    }

    /// How many bytes the client is given next, at most.
    #[inline]
    pub(super) fn piece(&self) -> usize {
        self.piece.get()
    }

    /// Whether it was waited for the client at all.
    pub(super) fn has_waited(&self) -> bool {
        self.has_waited.get()
    }

    /// The nanoseconds of waiting at which the client is judged next.
    fn next(&self) -> u64 {
        self.marks.get()[1].waited + STEP.as_nanos() as u64
    }

    /// The tick at which a client that is waited for from `now` on is to be judged.
    #[inline]
    pub(super) fn judged_at(&self, now: Moment) -> Moment {
        if self.least == 0 {
            return NEVER;
        }
        let left = self.next().saturating_sub(self.waited.get());
        now + Duration::from_nanos(left) + Ticks::LENGTH
    }

    /// Whether it is time to ask [`Pace::is_too_slow`].
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.least > 0 && self.waited.get() >= self.next()
    }

    /// Judges the client; of what was moved, `unsent` bytes have not arrived.
    pub(super) fn is_too_slow(&self, unsent: u64) -> bool {
        let now =
            Mark { waited: self.waited.get(), arrived: self.moved.get().saturating_sub(unsent) };
        let [first, second] = self.marks.get();
        self.marks.set([second, now]);
        let waited = Duration::from_nanos(now.waited - first.waited);
        let arrived = now.arrived.saturating_sub(first.arrived);
        let due = u128::from(self.least) * waited.as_nanos() / 1_000_000_000;
        waited >= WINDOW && u128::from(arrived) < due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Moves `rates` bytes in each second of waiting, one after the other; the second at which the
    /// client is found too slow.
    #[track_caller]
    fn check(least: u64, rates: impl IntoIterator<Item = usize>, expected: Option<usize>) {
        let pace = Pace::new(least);
        let found = rates.into_iter().enumerate().find(|(_, rate)| {
            pace.wait(Moment(0), Moment(SECOND));
            pace.add(*rate);
            pace.is_due() && pace.is_too_slow(0)
        });
        assert_eq!(found.map(|(at, _)| at + 1), expected);
    }

    fn steps(parts: &[(usize, usize)]) -> Vec<usize> {
        parts.iter().flat_map(|(seconds, rate)| vec![*rate; *seconds]).collect()
    }

    #[test]
    fn slow_clients() {
        check(500, steps(&[(600, 500)]), None);
        check(500, steps(&[(600, 499)]), Some(30));
        check(500, steps(&[(29, 0)]), None);
        check(500, steps(&[(30, 0)]), Some(30));
        check(0, steps(&[(600, 0)]), None);
        // A burst in each window is as good as a steady rate.
        check(500, steps(&[(14, 0), (1, 7_500), (14, 0), (1, 7_500)]).repeat(9), None);
        // What was fast before excuses nobody for longer than the window.
        check(500, steps(&[(20, 1_000_000), (100, 10)]), Some(60));
        check(500, steps(&[(60, 500), (100, 0)]), Some(75));
    }

    #[test]
    fn the_server_costs_the_client_nothing() {
        let pace = Pace::new(500);
        for _ in 0..1000 {
            pace.add(1);
        }
        assert!(!pace.is_due(), "nobody has waited for the client");
    }

    #[test]
    fn what_waits_in_the_kernel_has_not_arrived() {
        let pace = Pace::new(500);
        pace.add(1_000_000);
        for (waited, unsent, slow) in
            [(15, 990_000, false), (15, 985_000, false), (15, 980_000, true), (15, 0, false)]
        {
            pace.wait(Moment(0), Moment(waited * SECOND));
            assert!(pace.is_due());
            assert_eq!(pace.is_too_slow(unsent), slow, "{unsent}");
        }
    }

    #[test]
    fn pieces_grow_with_who_takes_them() {
        let pace = Pace::new(0);
        let pieces = |count, step: &dyn Fn()| -> Vec<usize> {
            let next = |_| {
                step();
                pace.piece() / 1024
            };
            (0..count).map(next).collect()
        };
        assert_eq!(pace.piece(), FIRST_PIECE_BYTES);
        pace.add(10_000);
        assert_eq!(pieces(2, &|| pace.grow(5_001)), [17, 17], "it has not left");
        assert_eq!(pieces(4, &|| pace.grow(5_000)), [34, 68, 68, 68]);
        assert!(!pace.may_grow());
        assert_eq!(pieces(2, &|| pace.wait(Moment(5), Moment(5))), [68, 68]);
        assert_eq!(pieces(4, &|| pace.wait(Moment(0), Moment(1))), [17, 4, 2, 2]);
        assert!(pace.may_grow());
        assert_eq!(pieces(3, &|| pace.grow(0)), [4, 8, 16]);
    }

    #[test]
    fn when_it_is_judged() {
        let pace = Pace::new(500);
        let tick = Ticks::LENGTH.as_nanos() as u64;
        assert_eq!(pace.judged_at(Moment(7)), Moment(7 + 15 * SECOND + tick));
        pace.wait(Moment(0), Moment(10 * SECOND));
        assert_eq!(pace.judged_at(Moment(7)), Moment(7 + 5 * SECOND + tick));
        assert_eq!(Pace::new(0).judged_at(Moment(7)), NEVER);
    }
}

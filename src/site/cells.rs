//! A fixed number of cells that count over all workers what somebody does, without a lock and
//! without ever growing: who has tried what how often.
//!
//! A cell belongs to a key, a keyed hash of whom and what it counts. It is in use until a time that
//! stands in it; after that it counts nothing, and whoever comes first takes it. Cells are found by
//! walking on from where the key points to. While at most [`EXACT`] keys are in use each has a cell of
//! its own. Beyond that the one that would have ended first is taken from whoever has it, and those
//! who are new are counted by their neighbourhood.
//!
//! Between finding a cell and counting in it somebody else may have taken it, if it was not in use.
//! Then a stranger is counted once too often, which harms nobody.

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU64;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Keys that are counted exactly, each for itself.
pub(super) const EXACT: usize = 65_536;

/// Twice as many cells, so that walks are short.
const CELLS: usize = 2 * EXACT;

/// No walk is longer. With half of the cells taken one of 60 is rare.
const WALK_MAX: usize = 128;

/// Whom and what a cell counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(NonZeroU64);

/// Whom: himself, and in a crowd his neighbourhood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// By himself.
    pub(super) own: Key,
    /// With everybody around him.
    pub(super) wide: Key,
}

/// What stands in a cell: a count, and until when, in microseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// What is counted.
    pub(super) count: u16,
    /// From then on nothing is.
    pub(super) until: u64,
}

impl Tally {
    const COUNT_BITS: u32 = 16;

    fn of_word(word: u64) -> Self {
        Self { count: word as u16, until: word >> Self::COUNT_BITS }
    }

    /// Times of eight years and more do not fit; then it is as long as can be.
    fn word(self) -> u64 {
        let until = self.until.min(u64::MAX >> Self::COUNT_BITS);
        until << Self::COUNT_BITS | u64::from(self.count)
    }

    fn at(self, now: u64) -> Self {
        if self.until > now { self } else { Self { count: 0, until: now } }
    }
}

#[derive(Default)]
struct Cell {
    /// 0: nobody's yet.
    key: AtomicU64,
    tally: AtomicU64,
}

/// The cells. They take up no memory before somebody is counted.
#[derive(Default)]
pub(super) struct Cells {
    hasher: RandomState,
    cells: OnceLock<Box<[Cell]>>,
    driven_out: AtomicU64,
}

impl fmt::Debug for Cells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("driven_out", &self.driven_out).finish_non_exhaustive()
    }
}

/// Where a walk ended.
enum Place<'c> {
    Own(&'c Cell),
    Free(&'c Cell),
    /// There is none; this one would have ended first.
    Crowded(&'c Cell),
}

impl Cells {
    /// The key of what is told apart by `what`.
    #[must_use]
    pub(super) fn key(&self, what: impl Hash) -> Key {
        Key(NonZeroU64::new(self.hasher.hash_one(what)).unwrap_or(NonZeroU64::MIN))
    }

    /// How many were driven out of their cells while they counted.
    #[must_use]
    pub(super) fn driven_out(&self) -> u64 {
        self.driven_out.load(Ordering::Relaxed)
    }

    /// What is counted for `key` now.
    #[must_use]
    pub(super) fn read(&self, key: Key, now: u64) -> Tally {
        match self.walk(key, now) {
            Place::Own(cell) => Tally::of_word(cell.tally.load(Ordering::Relaxed)).at(now),
            Place::Free(_) | Place::Crowded(_) => Tally { count: 0, until: now },
        }
    }

    /// Replaces what is counted for `key` by what `change` makes of it, unless that is nothing.
    ///
    /// # Errors
    /// What stands there, if nothing was changed.
    pub(super) fn change(
        &self,
        key: Key,
        now: u64,
        change: impl Fn(Tally) -> Option<Tally>,
    ) -> Result<(), Tally> {
        self.change_in(self.place(key, now), now, change)
    }

    /// The same for whom `keys` stands for: for himself, if he has a cell or can get one.
    ///
    /// # Errors
    /// What stands there, if nothing was changed.
    pub(super) fn change_of(
        &self,
        keys: Keys,
        now: u64,
        change: impl Fn(Tally) -> Option<Tally>,
    ) -> Result<(), Tally> {
        let place = match self.walk(keys.own, now) {
            Place::Own(cell) => cell,
            Place::Free(_) => self.place(keys.own, now),
            Place::Crowded(_) => self.place(keys.wide, now),
        };
        self.change_in(place, now, change)
    }

    fn change_in(
        &self,
        cell: &Cell,
        now: u64,
        change: impl Fn(Tally) -> Option<Tally>,
    ) -> Result<(), Tally> {
        let (order, of) = (Ordering::Relaxed, |word| Tally::of_word(word).at(now));
        let changed = |word| change(of(word)).map(Tally::word);
        cell.tally.fetch_update(order, order, changed).map(|_| ()).map_err(of)
    }

    /// The cell of `key`, which it gets if it has none.
    fn place(&self, key: Key, now: u64) -> &Cell {
        loop {
            let (cell, driven_out) = match self.walk(key, now) {
                Place::Own(cell) => return cell,
                Place::Free(cell) => (cell, false),
                Place::Crowded(cell) => (cell, true),
            };
            let before = cell.key.load(Ordering::Relaxed);
            if driven_out {
                cell.tally.store(0, Ordering::Relaxed);
            }
            let (new, order) = (key.0.get(), Ordering::Relaxed);
            if cell.key.compare_exchange(before, new, order, order).is_ok() {
                self.driven_out.fetch_add(u64::from(driven_out), Ordering::Relaxed);
                return cell;
            }
        }
    }

    fn walk(&self, key: Key, now: u64) -> Place<'_> {
        let start = key.0.get() as usize % CELLS;
        let cells = self.cells.get_or_init(|| (0..CELLS).map(|_| Cell::default()).collect());
        let (before, behind) = cells.split_at(start);
        let (mut free, mut first) = (None, (u64::MAX, &cells[start]));
        for cell in behind.iter().chain(before).take(WALK_MAX) {
            let owner = cell.key.load(Ordering::Relaxed);
            if owner == key.0.get() {
                return Place::Own(cell);
            }
            if owner == 0 {
                // Whoever comes later does not walk past it.
                free = free.or(Some(cell));
                break;
            }
            let until = Tally::of_word(cell.tally.load(Ordering::Relaxed)).until;
            if until <= now {
                free = free.or(Some(cell));
            }
            if until < first.0 {
                first = (until, cell);
            }
        }
        free.map_or(Place::Crowded(first.1), Place::Free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One more until `until`.
    fn count(cells: &Cells, key: Key, now: u64, until: u64) {
        let more = |tally: Tally| Some(Tally { count: tally.count + 1, until });
        cells.change(key, now, more).unwrap();
    }

    #[test]
    fn as_many_as_are_promised_are_counted_exactly() {
        let cells = Cells::default();
        for round in 1..=2 {
            for who in 0..EXACT {
                count(&cells, cells.key(who), 1, 100);
            }
            for who in 0..EXACT {
                assert_eq!(cells.read(cells.key(who), 1).count, round, "{who}");
            }
        }
        assert_eq!(cells.driven_out(), 0);
        assert_eq!(cells.read(cells.key(5), 100).count, 0, "its time is over");
    }

    /// A million come, each once, and go on coming: no cell is added, those who were there first and
    /// stay longest are still counted, and those who are new are counted together.
    #[test]
    fn a_flood_is_counted_by_neighbourhoods() {
        let cells = Cells::default();
        for who in 0..1_000_u64 {
            count(&cells, cells.key(("old", who)), 1, 1_000);
        }
        let wide = cells.key("neighbourhood");
        for who in 0..1_000_000_u64 {
            let keys = Keys { own: cells.key(who), wide };
            let more =
                |tally: Tally| Some(Tally { count: tally.count.saturating_add(1), until: 100 });
            cells.change_of(keys, 1, more).unwrap();
        }
        let kept = (0..1_000_u64).filter(|who| cells.read(cells.key(("old", *who)), 1).count == 1);
        assert_eq!(kept.count(), 1_000);
        assert_eq!(cells.read(wide, 1).count, u16::MAX);
        assert!(cells.driven_out() < 100, "{}", cells.driven_out());
        // When their time is over their cells are others'.
        for who in 0..EXACT {
            count(&cells, cells.key(("new", who)), 200, 300);
        }
        let kept = (0..EXACT).filter(|who| cells.read(cells.key(("new", *who)), 200).count == 1);
        assert_eq!(kept.count(), EXACT);
    }

    /// Without a neighbourhood whoever would have ended first makes room.
    #[test]
    fn the_oldest_makes_room() {
        let cells = Cells::default();
        for who in 0..300_000_u64 {
            count(&cells, cells.key(who), 1, 1_000 + who);
        }
        assert!(cells.driven_out() > 100_000);
        let kept = |who: &u64| cells.read(cells.key(*who), 1).count == 1;
        let (old, new) =
            ((0..50_000).filter(kept).count(), (250_000..300_000).filter(kept).count());
        assert!(old < 2_000 && new > 48_000, "{old} {new}");
    }

    #[test]
    fn threads_lose_no_count() {
        let cells = Cells::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for turn in 0..40_000_u64 {
                        count(&cells, cells.key(turn % 7), 1, 100);
                    }
                });
            }
        });
        let sum: u32 = (0..7_u64).map(|who| u32::from(cells.read(cells.key(who), 1).count)).sum();
        assert_eq!(sum, 160_000);
    }
}

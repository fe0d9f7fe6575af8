//! What outlives a Config: how busy each server is and how well, and where its idle connections
//! wait.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::health::{Evidence, Policy, Shown, State, Trouble};
use crate::net::Dial;

/// What the workers share about one server: exchanges under way there, and its health. On a cache
/// line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Load {
    /// Exchanges under way in the lower half, those that have ended, wrapping, in the upper.
    exchanges: AtomicU64,
    /// A [`State`] as a word.
    health: AtomicU64,
    /// Exchanges that ended without a byte of an answer, wrapping.
    unanswered: AtomicU32,
    /// The last [`Trouble`], of exchanges and probes.
    trouble: AtomicU32,
    /// That of exchanges.
    met: AtomicU32,
    /// Connections that are tied to a logged-in client.
    pinned: AtomicU32,
    /// Log-ins that were refused in a row, each of another user than the one before, in the lower
    /// bits, and of whom the last was.
    log_ins: AtomicU64,
    /// When what is shown changed; milliseconds of the monotonic clock.
    changed: AtomicU64,
    /// What was wrong with the last probe that failed, and more about it. No worker comes here.
    probed: Mutex<Option<(Trouble, String)>>,
}

/// How much had ended at a server when an exchange began there.
#[derive(Clone, Copy, Debug)]
pub struct Entered {
    ended: u32,
    unanswered: u32,
}

/// Where log-ins are counted.
const LOG_INS: u64 = 0xff;

/// What an exchange that ends adds: one has ended, one less is under way.
const LEAVE: u64 = (1 << 32) - 1;

impl Load {
    /// One exchange more.
    pub fn enter(&self) -> Entered {
        let before = self.exchanges.fetch_add(1, Ordering::Relaxed);
        let unanswered = self.unanswered.load(Ordering::Relaxed);
        Entered { ended: (before >> 32) as u32, unanswered }
    }

    /// One exchange less.
    pub fn leave(&self) {
        self.exchanges.fetch_add(LEAVE, Ordering::Relaxed);
    }

    /// Exchanges under way.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.exchanges.load(Ordering::Relaxed) as u32
    }

    /// Connections to it that are tied to a logged-in client, idle or not.
    #[must_use]
    pub fn pinned(&self) -> u32 {
        self.pinned.load(Ordering::Relaxed)
    }

    /// An exchange is about to end without a byte of an answer.
    pub fn note_unanswered(&self) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether other exchanges that ended since `entered` were answered. To be asked before the own
    /// one is noted.
    #[must_use]
    pub fn has_answered_since(&self, entered: Entered) -> bool {
        let ended = (self.exchanges.load(Ordering::Relaxed) >> 32) as u32;
        let ended = ended.wrapping_sub(entered.ended);
        let unanswered = self.unanswered.load(Ordering::Relaxed).wrapping_sub(entered.unanswered);
        // Those that are noted and have not left yet are counted on one side only.
        ended > unanswered
    }

    /// What is known of its health.
    #[inline]
    #[must_use]
    pub fn state(&self) -> State {
        State::of_word(self.health.load(Ordering::Relaxed))
    }

    /// Whether nothing at all stands against it: the usual case, and cheap to know.
    #[inline]
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.health.load(Ordering::Relaxed) == 0
    }

    /// Whether an exchange that was answered has to be told.
    #[inline]
    #[must_use]
    pub fn waits_for_answer(&self) -> bool {
        State::waits_for_answer(self.health.load(Ordering::Relaxed))
    }

    /// Takes `evidence` in; `now` is milliseconds of the monotonic clock.
    pub fn heard(&self, evidence: Evidence, now: u64, policy: Policy) {
        if let Some(trouble) = evidence.trouble() {
            self.trouble.store(trouble.code(), Ordering::Relaxed);
            if !matches!(evidence, Evidence::ProbeFailed(_)) {
                self.met.store(trouble.code(), Ordering::Relaxed);
            }
        }
        let mut word = self.health.load(Ordering::Relaxed);
        loop {
            let before = State::of_word(word);
            let after = before.heard(evidence, now, policy);
            match self.replace(word, after) {
                Ok(()) => {
                    if before.shown() != after.shown() {
                        self.changed.store(now, Ordering::Relaxed);
                    }
                    return;
                }
                Err(newer) => word = newer,
            }
        }
    }

    /// Takes the one place of those who may try; fails where somebody else was faster.
    #[must_use]
    pub fn try_it(&self, seen: State, now: u64) -> bool {
        self.replace(seen.word(), seen.tried(now)).is_ok()
    }

    fn replace(&self, word: u64, state: State) -> Result<(), u64> {
        if word == state.word() {
            return Ok(());
        }
        let (done, order) = (state.word(), Ordering::Relaxed);
        self.health.compare_exchange(word, done, order, order).map(|_| ())
    }

    /// What people are told, and since when, in milliseconds of the monotonic clock; 0: from the
    /// beginning.
    #[must_use]
    pub fn shown(&self) -> (Shown, u64) {
        (self.state().shown(), self.changed.load(Ordering::Relaxed))
    }

    /// Why it is as it is `shown`, and more about that, which may be empty: of a server that is down
    /// what probes met, of one that is left out what exchanges met, else what was wrong last. Not for
    /// workers: it waits.
    #[must_use]
    pub fn trouble(&self, shown: Shown) -> (Option<Trouble>, String) {
        let last = match shown {
            Shown::Down => {
                let probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
                let (trouble, detail) = probed.clone().unzip();
                return (trouble, detail.unwrap_or_default());
            }
            Shown::LeftOut => &self.met,
            Shown::Up | Shown::Drained => &self.trouble,
        };
        (Trouble::of_code(last.load(Ordering::Relaxed)), String::new())
    }

    /// A log-in by NTLM was `refused` here, or not. `user` is whoever it was.
    pub fn note_log_in(&self, user: impl Hash, refused: bool) {
        if !refused {
            // Mostly nothing stands there.
            if self.log_ins.load(Ordering::Relaxed) != 0 {
                self.log_ins.store(0, Ordering::Relaxed);
            }
            return;
        }
        let mut hasher = DefaultHasher::new();
        user.hash(&mut hasher);
        let user = hasher.finish() & !LOG_INS;
        let one_more = |word: u64| {
            let count = (word & LOG_INS) + 1;
            (word & !LOG_INS != user).then_some(user | count.min(LOG_INS))
        };
        // Else it was the same user as before: a device with an old password, which says nothing.
        let _ = self.log_ins.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
    }

    /// Log-ins by NTLM that were refused in a row, each of another user than the one before.
    #[must_use]
    pub fn log_ins_refused(&self) -> u64 {
        self.log_ins.load(Ordering::Relaxed) & LOG_INS
    }

    /// Says why a probe failed, before that is [heard](Self::heard). Not for workers: it waits.
    pub fn note_probe(&self, trouble: Trouble, detail: &str) {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        *probed = Some((trouble, detail.to_owned()));
    }
}

const _: () = assert!(size_of::<Load>() == 128);

/// Counts a connection to a server as tied to a logged-in client, until this is dropped.
#[derive(Debug)]
pub struct Tie(Arc<Load>);

impl Tie {
    /// One more at the server of `load`.
    #[must_use]
    pub fn new(load: &Arc<Load>) -> Self {
        load.pinned.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        self.0.pinned.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Names the place where equal idle connections wait; never used for anything else again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shelf(u64);

#[derive(Debug, PartialEq, Eq, Hash)]
struct ShelfKey {
    dial: Dial,
    tls: Option<u64>,
    name: Option<String>,
    verified: Option<String>,
}

/// Survives every reload; owned by the control thread.
#[derive(Debug, Default)]
pub struct Registry {
    loads: HashMap<(String, SocketAddr), Arc<Load>>,
    shelves: HashMap<ShelfKey, Shelf>,
    /// As many as there have ever been: one that is forgotten is not given to anybody else, since
    /// connections may still wait there.
    shelves_ever: u64,
}

impl Registry {
    /// Forgets servers that nobody holds any more: they are in no Config that is in use, and nobody
    /// is logged in there. Names that lead to ever other addresses would fill the memory. What the
    /// operator has taken out stays known.
    pub fn forget_unused(&mut self) {
        self.loads.retain(|_, load| {
            Arc::strong_count(load) > 1 || load.state().shown() == Shown::Drained
        });
        // Whoever holds a place holds its server's count too.
        let used: HashSet<SocketAddr> = self.loads.keys().map(|(_, address)| *address).collect();
        self.shelves.retain(|key, _| used.contains(&key.dial.to));
    }

    /// How many servers, and places, are known.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.loads.len(), self.shelves.len())
    }

    /// The count of a server of a pool.
    pub fn load(&mut self, pool: &str, address: SocketAddr) -> Arc<Load> {
        Arc::clone(self.loads.entry((pool.to_owned(), address)).or_default())
    }

    /// The place for idle connections made by `dial`, with TLS of this fingerprint, if any; with the
    /// name that is asked for, if it does not change from request to request, and the one that is
    /// verified, if that is another.
    pub fn shelf(
        &mut self,
        dial: &Dial,
        tls: Option<u64>,
        (name, verified): (Option<String>, Option<String>),
    ) -> Shelf {
        let key = ShelfKey { dial: dial.clone(), tls, name, verified };
        *self.shelves.entry(key).or_insert_with(|| {
            self.shelves_ever += 1;
            Shelf(self.shelves_ever)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_are_counted_both_ways() {
        let load = Load::default();
        let first = load.enter();
        let second = load.enter();
        assert_eq!((load.now(), load.has_answered_since(first)), (2, false));
        load.leave();
        assert_eq!((load.now(), load.has_answered_since(second)), (1, true));
        let third = load.enter();
        assert!(!load.has_answered_since(third), "that was before");
    }

    /// While probes fail requests go on failing, and each in its own way.
    #[test]
    fn probes_and_exchanges_are_not_taken_for_each_other() {
        let policy = Policy { fall: 1, rise: 1, telling: false, try_all: true };
        let load = Load::default();
        load.note_probe(Trouble::Handshake, "UnknownIssuer");
        load.heard(Evidence::ProbeFailed(Trouble::Handshake), 1, policy);
        load.heard(Evidence::Failed(Trouble::Refused), 2, policy);
        let probed = (Some(Trouble::Handshake), "UnknownIssuer".to_owned());
        assert_eq!(load.trouble(Shown::Down), probed);
        load.note_probe(Trouble::Status(503), "");
        load.heard(Evidence::ProbeFailed(Trouble::Status(503)), 3, policy);
        for (shown, trouble) in [
            (Shown::Down, Trouble::Status(503)),
            (Shown::LeftOut, Trouble::Refused),
            (Shown::Up, Trouble::Status(503)),
        ] {
            assert_eq!(load.trouble(shown), (Some(trouble), String::new()), "{shown:?}");
        }
    }

    #[test]
    fn ties_are_counted_as_long_as_they_are_held() {
        let load = Arc::new(Load::default());
        let ties = [Tie::new(&load), Tie::new(&load)];
        assert_eq!(load.pinned(), 2);
        drop(ties);
        assert_eq!(load.pinned(), 0);
    }

    #[test]
    fn who_was_not_answered_either_proves_nothing() {
        let load = Load::default();
        let entered = [(); 3].map(|()| load.enter());
        load.note_unanswered();
        assert!(!load.has_answered_since(entered[0]), "noted and not left");
        load.leave();
        assert!(!load.has_answered_since(entered[1]));
        load.leave();
        assert!(load.has_answered_since(entered[2]));
    }

    #[test]
    fn counts_go_round() {
        let load = Load::default();
        load.exchanges.store(u64::from(u32::MAX) << 32 | 5, Ordering::Relaxed);
        load.unanswered.store(u32::MAX, Ordering::Relaxed);
        let entered = load.enter();
        load.note_unanswered();
        load.leave();
        assert_eq!((load.now(), load.has_answered_since(entered)), (5, false));
        load.leave();
        assert!(load.has_answered_since(entered));
    }

    /// Many at once, and one place for who tries.
    #[test]
    fn one_of_many_tries() {
        let policy = Policy { fall: 3, rise: 2, telling: false, try_all: true };
        for round in 1..50 {
            let load = Load::default();
            let failed = Evidence::Failed(Trouble::Refused);
            let took: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            load.heard(failed, round, policy);
                            let (seen, later) = (load.state(), round + 6_000);
                            let free = seen.may_be_tried(later, policy);
                            usize::from(free && load.try_it(seen, later))
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(load.state().failures(), 4, "none is lost");
            assert!(took <= 1, "{took}");
            assert_eq!(load.trouble(Shown::Up).0, Some(Trouble::Refused));
        }
    }
}

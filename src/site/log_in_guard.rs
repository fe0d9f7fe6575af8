//! Keeps strangers from guessing passwords through us, and from locking accounts of the directory
//! by wrong ones.
//!
//! A directory locks an account after so many wrong passwords, each within a time of the one before
//! (Microsoft, *Account lockout threshold*, *Reset account lockout counter after*). So the guard has
//! a threshold below that and counts in the same way: for each user, over all addresses, until
//! nothing was refused for `window` or the user has got in. What is under way counts as refused until
//! the server has said otherwise, so that guesses side by side are none too many.
//!
//! Whoever goes before the server has said so leaves his guess counted, and a page that asks nobody for
//! a password proves none: only where the server has answered 401 before to the same path and method
//! does another answer say that a password was right.
//!
//! An address from which a user has got in is trusted with that user's name, until it is refused
//! there: others who guess do not lock out whoever works there, who moreover may log in on as many
//! connections as he likes.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::cells::{Cells, Key, Keys, Tally};

/// Who has tried what, of all Sites: an account is the same for each. What is known in favour of
/// somebody has cells of its own, which many who guess do not take away from those who count.
#[derive(Debug, Default)]
pub struct LogIns {
    tried: Cells,
    proved: Cells,
}

impl LogIns {
    /// The server has asked for a password there.
    pub fn note_asked(&self, place: (&[u8], &[u8], &[u8]), now: u64) {
        let asked = Tally { count: 1, until: now + micros(TRUST) };
        // Always changes.
        let _ = self.proved.change(self.proved.key(("asks", place)), now, |_| Some(asked));
    }

    /// Whether it has done so lately. A place is a Site, a method and a path.
    #[must_use]
    pub fn is_asked(&self, place: (&[u8], &[u8], &[u8]), now: u64) -> bool {
        self.proved.read(self.proved.key(("asks", place)), now).count > 0
    }

    /// Users and addresses that were forgotten early, since too many were counted at a time.
    #[must_use]
    pub fn driven_out(&self) -> u64 {
        self.tried.driven_out()
    }
}

/// How long an address is trusted with a user's name after the user has got in last.
const TRUST: Duration = Duration::from_secs(12 * 60 * 60);

const MINUTE: Duration = Duration::from_secs(60);

/// `[site.NAME.log_in_guard]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInGuard {
    /// Wrong passwords of one user in a row.
    pub user_refused_max: u16,
    /// Wrong passwords from one address within `window`.
    pub address_refused_max: u16,
    /// After so long without another one, a user's wrong passwords are forgotten.
    pub window: Duration,
    /// POSTs for web tickets from one address.
    pub tickets_per_minute: u16,
}

/// Why nothing more is tried for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Locked {
    /// Too many wrong passwords of this user.
    User,
    /// Too many wrong passwords from this address.
    Address,
    /// Too many POSTs for web tickets from this address.
    Tickets,
}

/// What came of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password was right.
    Accepted,
    /// It was not.
    Refused,
    /// The client went before the server had said so.
    Left,
    /// Nobody has asked for it, or could say.
    Unsaid,
}

/// A trial that is under way; it has to be [ended](LogInGuard::end).
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    address: Keys,
    user: Key,
    /// The user's name at this address.
    trust: Key,
    trusted: bool,
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

fn seconds(micros: u64) -> u32 {
    u32::try_from(micros.div_ceil(1_000_000)).unwrap_or(u32::MAX).max(1)
}

/// An IPv6 network of 64 bits is one household; the neighbourhood is a /24, or a /48.
fn keys(cells: &Cells, site: &str, what: Locked, address: IpAddr) -> Keys {
    let (own, wide) = match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            (u64::from(u32::from(v4)), u64::from(u32::from(Ipv4Addr::new(a, b, c, 0))))
        }
        IpAddr::V6(v6) => {
            let network = (u128::from(v6) >> 64) as u64;
            (network, network >> 16 << 16)
        }
    };
    let what = (what, site, address.to_canonical().is_ipv4());
    Keys { own: cells.key((what, "own", own)), wide: cells.key((what, "wide", wide)) }
}

/// One more, where `most` may come within `window` and their places come back one by one; the wait
/// until one does.
fn take(cells: &Cells, keys: Keys, now: u64, (most, window): (u16, Duration)) -> Result<(), u32> {
    let one = micros(window) / u64::from(most.max(1));
    let taken = cells.change_of(keys, now, |tally| {
        let until = tally.until + one;
        (until - now <= one * u64::from(most)).then_some(Tally { count: 1, until })
    });
    taken.map_err(|tally| seconds((tally.until + one).saturating_sub(now + one * u64::from(most))))
}

impl LogInGuard {
    /// Lets a password of `user` be tried from `address` at the server, or not for so many seconds.
    /// `now` is in microseconds of the monotonic clock.
    ///
    /// # Errors
    /// What is locked, and for how many seconds.
    pub fn admit(
        &self,
        log_ins: &LogIns,
        site: &str,
        (user, address): (&str, IpAddr),
        now: u64,
    ) -> Result<Pending, (Locked, u32)> {
        let (cells, proved) = (&log_ins.tried, &log_ins.proved);
        let household = keys(cells, site, Locked::Address, address);
        let anywhere = keys(proved, "", Locked::Address, address).own;
        let pending = Pending {
            address: household,
            user: cells.key((Locked::User, user)),
            trust: proved.key(("trust", user, anywhere)),
            trusted: false,
        };
        let trusted = !user.is_empty() && proved.read(pending.trust, now).count > 0;
        let places = (self.address_refused_max, self.window);
        take(cells, household, now, places).map_err(|wait| (Locked::Address, wait))?;
        if !trusted && let Err(tally) = self.reserve(cells, pending.user, now) {
            self.give_back(cells, household, now);
            return Err((Locked::User, seconds(tally.until - now)));
        }
        Ok(Pending { trusted, ..pending })
    }

    /// Lets a web ticket be asked for from `address`, or not for so many seconds.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn admit_ticket(
        &self,
        log_ins: &LogIns,
        site: &str,
        address: IpAddr,
        now: u64,
    ) -> Result<(), (Locked, u32)> {
        let cells = &log_ins.tried;
        let keys = keys(cells, site, Locked::Tickets, address);
        let taken = take(cells, keys, now, (self.tickets_per_minute, MINUTE));
        taken.map_err(|wait| (Locked::Tickets, wait))
    }

    fn reserve(&self, cells: &Cells, user: Key, now: u64) -> Result<(), Tally> {
        cells.change(user, now, |Tally { count, until }| {
            let until = if count == 0 { now + micros(self.window) } else { until };
            (count < self.user_refused_max).then_some(Tally { count: count + 1, until })
        })
    }

    fn give_back(&self, cells: &Cells, address: Keys, now: u64) {
        let one = micros(self.window) / u64::from(self.address_refused_max.max(1));
        let back = |tally: Tally| {
            let until = tally.until.saturating_sub(one).max(now);
            Some(Tally { count: 1, until })
        };
        // Always changes.
        let _ = cells.change_of(address, now, back);
    }

    /// Takes in what came of a trial.
    pub fn end(&self, log_ins: &LogIns, pending: Pending, verdict: Verdict, now: u64) {
        let (cells, proved) = (&log_ins.tried, &log_ins.proved);
        // Where somebody works who has shown his password, connections that break are no guesses.
        let verdict = match verdict {
            Verdict::Left if pending.trusted => Verdict::Unsaid,
            verdict => verdict,
        };
        if matches!(verdict, Verdict::Accepted | Verdict::Unsaid) {
            self.give_back(cells, pending.address, now);
        }
        let nothing = Tally { count: 0, until: now };
        // What is changed here always changes.
        let _ = match (verdict, pending.trusted) {
            (Verdict::Accepted, _) => {
                let trust = Tally { count: 1, until: now + micros(TRUST) };
                let _ = proved.change(pending.trust, now, |_| Some(trust));
                // As the directory does.
                cells.change(pending.user, now, |_| Some(nothing))
            }
            (Verdict::Refused | Verdict::Left, trusted) => {
                if trusted {
                    let _ = proved.change(pending.trust, now, |_| Some(nothing));
                }
                cells.change(pending.user, now, |tally| {
                    let count = tally.count.saturating_add(u16::from(trusted)).max(1);
                    Some(Tally { count, until: now + micros(self.window) })
                })
            }
            (Verdict::Unsaid, true) => Ok(()),
            (Verdict::Unsaid, false) => cells.change(pending.user, now, |tally| {
                let count = tally.count.saturating_sub(1);
                // A cell that counts nothing is anybody's.
                Some(if count == 0 { nothing } else { Tally { count, ..tally } })
            }),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Accepted, Left, Refused, Unsaid};
    use super::*;

    const MINUTES: u64 = 60_000_000;

    struct Play {
        log_ins: LogIns,
        guard: LogInGuard,
        now: u64,
    }

    impl Play {
        fn new() -> Self {
            let guard = LogInGuard {
                user_refused_max: 3,
                address_refused_max: 6,
                window: Duration::from_secs(30 * 60),
                tickets_per_minute: 2,
            };
            Self { log_ins: LogIns::default(), guard, now: 1_000_000 }
        }

        fn begin(&self, user: &str, last: u8) -> Result<Pending, (Locked, u32)> {
            let address = IpAddr::from([192, 0, 2, last]);
            self.guard.admit(&self.log_ins, "lync", (user, address), self.now)
        }

        fn end(&self, pending: Pending, verdict: Verdict) {
            self.guard.end(&self.log_ins, pending, verdict, self.now);
        }

        #[track_caller]
        fn expect(&self, user: &str, last: u8, verdict: Verdict) {
            let pending = self.begin(user, last).unwrap_or_else(|why| panic!("{user}: {why:?}"));
            self.end(pending, verdict);
        }

        #[track_caller]
        fn expect_locked(&self, user: &str, last: u8, locked: (Locked, u32)) {
            assert_eq!(self.begin(user, last).unwrap_err(), locked, "{user} from {last}");
        }
    }

    #[test]
    fn a_user_is_locked_from_everywhere_until_the_window_is_over() {
        let mut play = Play::new();
        for address in 1..=3 {
            play.expect("bob", address, Refused);
            play.now += 10 * MINUTES;
        }
        // The window began anew with the last.
        play.expect_locked("bob", 4, (Locked::User, 20 * 60));
        play.expect("eve", 4, Refused);
        play.now += 20 * MINUTES - 1;
        play.expect_locked("bob", 4, (Locked::User, 1));
        play.now += 1;
        play.expect("bob", 4, Refused);
    }

    #[test]
    fn who_gets_in_begins_anew_and_may_come_often() {
        let mut play = Play::new();
        for round in 0..3 {
            play.expect("bob", 1, Refused);
            play.expect("bob", 1, Refused);
            play.expect("bob", 1, Accepted);
            play.now += 31 * MINUTES;
            assert!(play.begin("bob", 1).is_ok(), "{round}");
        }
        for _ in 0..100 {
            play.expect("bob", 1, Accepted);
        }
    }

    /// Many are sent before the first is answered.
    #[test]
    fn guesses_side_by_side_are_none_too_many() {
        let play = Play::new();
        let pending: Vec<_> = (0..10).filter_map(|at| play.begin("bob", at).ok()).collect();
        assert_eq!(pending.len(), 3);
        // What is lost on the way was no guess.
        pending.into_iter().for_each(|pending| play.end(pending, Unsaid));
        for address in 0..3 {
            play.expect("bob", address, Refused);
        }
        play.expect_locked("bob", 9, (Locked::User, 30 * 60));
    }

    /// Strangers who guess do not lock out whoever works somewhere; that place is trusted until a
    /// password is wrong there, which counts.
    #[test]
    fn strangers_lock_nobody_out_who_got_in() {
        let play = Play::new();
        play.expect("bob", 1, Accepted);
        for address in 2..=4 {
            play.expect("bob", address, Refused);
        }
        play.expect_locked("bob", 5, (Locked::User, 30 * 60));
        let many: Vec<_> = (0..5).map(|_| play.begin("bob", 1).unwrap()).collect();
        many.into_iter().for_each(|pending| play.end(pending, Unsaid));
        play.expect("bob", 1, Refused);
        play.expect_locked("bob", 1, (Locked::User, 30 * 60));
    }

    /// Who closes before the answer has guessed all the same.
    #[test]
    fn to_leave_before_the_answer_saves_no_guess() {
        let play = Play::new();
        for address in 0..3 {
            play.expect("bob", address, Left);
        }
        play.expect_locked("bob", 9, (Locked::User, 30 * 60));
        play.expect("eve", 1, Accepted);
        for _ in 0..9 {
            play.expect("eve", 1, Left);
        }
    }

    /// An account has one count, whatever it is guessed through.
    #[test]
    fn sites_count_together() {
        let play = Play::new();
        for site in ["a", "b", "c"] {
            let who = ("bob", IpAddr::from([192, 0, 2, 1]));
            let pending = play.guard.admit(&play.log_ins, site, who, play.now).unwrap();
            play.end(pending, Refused);
        }
        play.expect_locked("bob", 9, (Locked::User, 30 * 60));
    }

    #[test]
    fn an_address_gets_its_places_back_one_by_one() {
        let mut play = Play::new();
        for user in ["a", "b", "c", "d", "e", "f"] {
            play.expect(user, 1, Refused);
        }
        play.expect_locked("g", 1, (Locked::Address, 5 * 60));
        play.expect("g", 2, Refused);
        play.now += 5 * MINUTES;
        play.expect("g", 1, Accepted);
        play.expect("g", 1, Refused);
        play.expect_locked("h", 1, (Locked::Address, 5 * 60));
    }

    /// However many log in there, typing errors of days do not add up.
    #[test]
    fn an_office_is_not_locked_out_by_its_size() {
        let mut play = Play::new();
        for turn in 0..1_000 {
            for user in 0..20 {
                play.expect(&format!("user{user}"), 1, Accepted);
            }
            play.expect(&format!("user{}", turn % 20), 1, Refused);
            play.now += 5 * MINUTES;
        }
    }

    #[test]
    fn tickets_are_counted_by_address() {
        let mut play = Play::new();
        let ask = |play: &Play, site: &str, last| {
            let address = IpAddr::from([192, 0, 2, last]);
            play.guard.admit_ticket(&play.log_ins, site, address, play.now)
        };
        assert_eq!(ask(&play, "lync", 1), Ok(()));
        assert_eq!(ask(&play, "lync", 1), Ok(()));
        assert_eq!(ask(&play, "lync", 1), Err((Locked::Tickets, 30)));
        assert_eq!((ask(&play, "lync", 2), ask(&play, "other", 1)), (Ok(()), Ok(())));
        play.now += MINUTES / 2;
        assert_eq!(ask(&play, "lync", 1), Ok(()));
        assert_eq!(ask(&play, "lync", 1), Err((Locked::Tickets, 30)));
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let play = Play::new();
        let admit = |user, address: &str| {
            let who = (user, address.parse().unwrap());
            let pending = play.guard.admit(&play.log_ins, "lync", who, play.now)?;
            play.end(pending, Refused);
            Ok::<_, (Locked, u32)>(())
        };
        for (at, user) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
            assert_eq!(admit(user, &format!("2001:db8:1:2:{at}::1")), Ok(()));
        }
        assert_eq!(admit("g", "2001:db8:1:2:9::1"), Err((Locked::Address, 5 * 60)));
        assert_eq!(admit("g", "2001:db8:1:3::1"), Ok(()));
        // The same, written in another way.
        for user in ["a2", "b2", "c2", "d2", "e2", "f2"] {
            assert_eq!(admit(user, "192.0.2.1"), Ok(()));
        }
        assert_eq!(admit("g2", "::ffff:192.0.2.1"), Err((Locked::Address, 5 * 60)));
    }
}

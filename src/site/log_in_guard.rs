//! Keeps strangers from guessing passwords through us, and from locking accounts of the directory
//! by wrong ones.
//!
//! A directory locks an account after so many wrong passwords, each within a time of the one before
//! (Microsoft, *Account lockout threshold*, *Reset account lockout counter after*). So the guard has
//! a threshold below that, counts each user over all addresses and Sites, and forgets when nothing was
//! refused for `window`. What is under way counts until the server has said whether it was right, so
//! that guesses side by side are none too many; whoever goes before that has guessed all the same.
//!
//! Who guesses must not lock out who works. A password that was right lately is no guess, wherever it
//! comes from; and where it is not seen itself, as with NTLM, the address from which the user got in
//! is known. Who is known has twice the threshold: the first half is for strangers, who never get
//! further.
//!
//! A page that asks nobody for a password proves none: only where the server has answered 401 before
//! to the same method and path does another answer say that a password was right. Whoever makes a
//! server say so all the same, by the cookie of an account of his own where that counts more than a
//! password, gains the second half; and with Basic, as many tries of one and the same wrong password
//! as he sends before the first is answered.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::cells::{Cells, Key, Keys, Tally};

/// How long it is known that a user got in.
const KNOWN: Duration = Duration::from_secs(12 * 60 * 60);

const MINUTE: Duration = Duration::from_secs(60);

/// Who has tried what, of all Sites: an account is the same for each. What speaks for somebody has
/// cells of its own, so that those who guess do not drive it out.
#[derive(Debug, Default)]
pub struct LogIns {
    tried: Cells,
    known: Cells,
    asked: Cells,
}

/// A Site, a method and a path.
pub type Place<'p> = (&'p [u8], &'p [u8], &'p [u8]);

impl LogIns {
    /// The server has asked for a password there.
    pub fn note_asked(&self, place: Place<'_>, now: u64) {
        mark(&self.asked, self.asked.key(place), now);
    }

    /// Whether it has done so lately.
    #[must_use]
    pub fn is_asked(&self, place: Place<'_>, now: u64) -> bool {
        self.asked.read(self.asked.key(place), now).count > 0
    }

    /// Users and addresses that were forgotten early, since too many were counted at a time.
    #[must_use]
    pub fn driven_out(&self) -> u64 {
        self.tried.driven_out()
    }
}

fn mark(cells: &Cells, key: Key, now: u64) {
    let marked = Tally { count: 1, until: now + micros(KNOWN) };
    // Always changes.
    let _ = cells.change(key, now, |_| Some(marked));
}

fn unmark(cells: &Cells, key: Key, now: u64) {
    let _ = cells.change(key, now, |_| Some(Tally { count: 0, until: now }));
}

/// `[site.NAME.log_in_guard]`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogInGuard {
    /// Wrong passwords of one user; at most [`USER_REFUSED_MOST`].
    pub user_refused_max: u8,
    /// Wrong passwords from one address within `window`.
    pub address_refused_max: u16,
    /// After so long without another one, a user's wrong passwords are forgotten.
    pub window: Duration,
    /// POSTs for web tickets from one address.
    pub tickets_per_minute: u16,
}

/// Twice as many have to fit a count.
pub const USER_REFUSED_MOST: u8 = u8::MAX / 2;

/// A password that somebody wants to try.
#[derive(Clone, Copy, Debug)]
pub struct Guess<'g> {
    /// The Site by which.
    pub site: &'g str,
    /// Whose; empty if nobody can tell.
    pub user: &'g str,
    /// All of the credential, if it is the same each time.
    pub proof: Option<&'g [u8]>,
    /// From where.
    pub address: IpAddr,
}

/// Which limit a guess is refused by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Locked {
    /// Too many wrong passwords of this user.
    User,
    /// Too many wrong passwords from this address.
    Address,
    /// Too many POSTs for web tickets from this address.
    Tickets,
}

/// What came of a guess.
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

/// What speaks for a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// The same password was right lately.
    Proof,
    /// The user got in lately from the same address.
    Address,
}

/// A guess that is under way; it has to be [ended](LogInGuard::end).
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    address: Keys,
    user: Key,
    by: Key,
    known: Known,
}

/// What is counted of a user.
#[derive(Clone, Copy)]
struct Count {
    refused: u8,
    pending: u8,
}

impl Count {
    fn of(tally: Tally) -> Self {
        let [refused, pending] = tally.count.to_le_bytes();
        Self { refused, pending }
    }

    /// A cell that counts nothing is anybody's.
    fn until(self, until: u64) -> Tally {
        let count = u16::from_le_bytes([self.refused, self.pending]);
        Tally { count, until: if count == 0 { 0 } else { until } }
    }
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
    /// Lets a guess be sent to the server, or not for so many seconds. `now` is in microseconds of the
    /// monotonic clock.
    ///
    /// # Errors
    /// What is locked, and for how many seconds.
    pub fn admit(
        &self,
        log_ins: &LogIns,
        guess: &Guess<'_>,
        now: u64,
    ) -> Result<Pending, (Locked, u32)> {
        let LogIns { tried, known, .. } = log_ins;
        let Guess { site, user, proof, address } = *guess;
        let anywhere = keys(known, "", Locked::Address, address).own;
        let (by, kind) = match proof {
            Some(proof) => (known.key((user, "proof", proof)), Known::Proof),
            None => (known.key((user, "address", anywhere)), Known::Address),
        };
        let is_known = !user.is_empty() && known.read(by, now).count > 0;
        let pending = Pending {
            address: keys(tried, site, Locked::Address, address),
            user: tried.key((Locked::User, user)),
            by,
            known: if is_known { kind } else { Known::Nothing },
        };
        if pending.known == Known::Proof {
            // Right until lately; what was wrong with it since counts as for an address that is known.
            let tally = tried.read(pending.user, now);
            let is_free = u16::from(Count::of(tally).refused) < self.most(pending.known);
            return if is_free {
                Ok(pending)
            } else {
                Err((Locked::User, seconds(tally.until - now)))
            };
        }
        let places = (self.address_refused_max, self.window);
        take(tried, pending.address, now, places).map_err(|wait| (Locked::Address, wait))?;
        self.reserve(tried, &pending, now).map_err(|wait| {
            self.give_back(tried, pending.address, now);
            (Locked::User, wait)
        })?;
        Ok(pending)
    }

    fn most(&self, known: Known) -> u16 {
        u16::from(self.user_refused_max) * if known == Known::Nothing { 1 } else { 2 }
    }

    /// Lets a web ticket be asked for from `address`, or not for so many seconds.
    ///
    /// # Errors
    /// As [`admit`](Self::admit).
    pub fn admit_ticket(
        &self,
        log_ins: &LogIns,
        (site, address): (&str, IpAddr),
        now: u64,
    ) -> Result<(), (Locked, u32)> {
        let keys = keys(&log_ins.tried, site, Locked::Tickets, address);
        let taken = take(&log_ins.tried, keys, now, (self.tickets_per_minute, MINUTE));
        taken.map_err(|wait| (Locked::Tickets, wait))
    }

    /// A place for a guess, or the wait in seconds.
    fn reserve(&self, cells: &Cells, pending: &Pending, now: u64) -> Result<(), u32> {
        let most = self.most(pending.known);
        let one_more = |tally: Tally| {
            let Count { refused, pending } = Count::of(tally);
            let until = if tally.count == 0 { now + micros(self.window) } else { tally.until };
            let fits = u16::from(refused) + u16::from(pending) < most;
            fits.then(|| Count { refused, pending: pending + 1 }.until(until))
        };
        cells.change(pending.user, now, one_more).map_err(|tally| {
            let full = u16::from(Count::of(tally).refused) >= most;
            // Else it is known in a moment whether those under way were right.
            if full { seconds(tally.until - now) } else { 1 }
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

    /// Takes in what came of a guess.
    pub fn end(&self, log_ins: &LogIns, pending: Pending, verdict: Verdict, now: u64) {
        let LogIns { tried, known, .. } = log_ins;
        let is_proof = pending.known == Known::Proof;
        match verdict {
            Verdict::Accepted => mark(known, pending.by, now),
            Verdict::Refused if pending.known != Known::Nothing => unmark(known, pending.by, now),
            Verdict::Refused | Verdict::Left | Verdict::Unsaid => {}
        }
        // Who leaves with a password that was right lately has guessed nothing.
        let is_wrong = verdict == Verdict::Refused || (verdict == Verdict::Left && !is_proof);
        if is_proof && !is_wrong {
            return;
        }
        let window = now + micros(self.window);
        let after = |tally: Tally| {
            let Count { refused, pending } = Count::of(tally);
            // That of a proof was not reserved.
            let pending = pending.saturating_sub(u8::from(!is_proof));
            let refused = refused.saturating_add(u8::from(is_wrong));
            Some(Count { refused, pending }.until(if is_wrong { window } else { tally.until }))
        };
        // Always changes.
        let _ = tried.change(pending.user, now, after);
        if !is_wrong {
            self.give_back(tried, pending.address, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Accepted, Left, Refused, Unsaid};
    use super::*;

    const MINUTES: u64 = 60_000_000;
    const WINDOW: u32 = 30 * 60;

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
                window: Duration::from_secs(WINDOW.into()),
                tickets_per_minute: 2,
            };
            Self { log_ins: LogIns::default(), guard, now: 1_000_000 }
        }

        /// By NTLM, where the password is not seen.
        fn begin(&self, user: &str, last: u8) -> Result<Pending, (Locked, u32)> {
            self.begin_by(user, last, None)
        }

        fn begin_by(
            &self,
            user: &str,
            last: u8,
            proof: Option<&[u8]>,
        ) -> Result<Pending, (Locked, u32)> {
            let address = IpAddr::from([192, 0, 2, last]);
            let guess = Guess { site: "lync", user, proof, address };
            self.guard.admit(&self.log_ins, &guess, self.now)
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
        fn expect_by(&self, last: u8, proof: &[u8], verdict: Verdict) {
            let pending = self.begin_by("bob", last, Some(proof)).unwrap();
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

    /// Many are sent before the first is answered. Whoever is one too many tries again in a moment.
    #[test]
    fn guesses_side_by_side_are_none_too_many() {
        let play = Play::new();
        let pending: Vec<_> = (0..10).filter_map(|at| play.begin("bob", at).ok()).collect();
        assert_eq!(pending.len(), 3);
        play.expect_locked("bob", 9, (Locked::User, 1));
        // What nobody has looked at was no guess.
        pending.into_iter().for_each(|pending| play.end(pending, Unsaid));
        for address in 0..3 {
            play.expect("bob", address, Refused);
        }
        play.expect_locked("bob", 9, (Locked::User, WINDOW));
    }

    /// Who closes before the answer has guessed all the same.
    #[test]
    fn to_leave_before_the_answer_saves_no_guess() {
        let play = Play::new();
        for address in 0..3 {
            play.expect("bob", address, Left);
        }
        play.expect_locked("bob", 9, (Locked::User, WINDOW));
    }

    /// Strangers who guess lock nobody out who works somewhere, and reach no further for it.
    #[test]
    fn strangers_lock_nobody_out_who_got_in() {
        let play = Play::new();
        play.expect("bob", 1, Accepted);
        for address in 2..=4 {
            play.expect("bob", address, Refused);
        }
        play.expect_locked("bob", 5, (Locked::User, WINDOW));
        for _ in 0..100 {
            play.expect("bob", 1, Accepted);
        }
        play.expect_locked("bob", 5, (Locked::User, WINDOW));
        // A wrong one there makes the address a stranger's.
        play.expect("bob", 1, Refused);
        play.expect_locked("bob", 1, (Locked::User, WINDOW));
    }

    /// However a server is made to say that a password was right, twice the limit is the most that
    /// the directory sees.
    #[test]
    fn twice_the_limit_is_never_exceeded() {
        let (play, mut seen) = (Play::new(), 0);
        for turn in 0..100 {
            let Ok(pending) = play.begin("bob", turn) else { continue };
            // Cheated: nobody has looked at it.
            play.end(pending, Accepted);
            let guesses: Vec<_> = (0..9).filter_map(|_| play.begin("bob", turn).ok()).collect();
            seen += guesses.len();
            guesses.into_iter().for_each(|pending| play.end(pending, Refused));
        }
        assert_eq!(seen, 6);
    }

    /// As a telephone does that comes by other addresses, holds polls and loses them, while strangers
    /// guess.
    #[test]
    fn a_password_that_was_right_is_no_guess() {
        let play = Play::new();
        play.expect_by(1, b"right", Accepted);
        for address in 2..=4 {
            play.expect("bob", address, Refused);
        }
        let polls: Vec<_> =
            (0..50).map(|at| play.begin_by("bob", at, Some(b"right")).unwrap()).collect();
        for (at, poll) in polls.into_iter().enumerate() {
            play.end(poll, if at % 2 == 0 { Left } else { Unsaid });
        }
        play.expect_by(9, b"right", Accepted);
        assert!(play.begin_by("bob", 1, Some(b"other")).is_err(), "another one is a guess");
        // It was changed meanwhile.
        play.expect_by(9, b"right", Refused);
        assert!(play.begin_by("bob", 9, Some(b"right")).is_err());
    }

    /// An account has one count, whatever it is guessed through.
    #[test]
    fn sites_count_together() {
        let play = Play::new();
        for site in ["a", "b", "c"] {
            let address = IpAddr::from([192, 0, 2, 1]);
            let guess = Guess { site, user: "bob", proof: None, address };
            let pending = play.guard.admit(&play.log_ins, &guess, play.now).unwrap();
            play.end(pending, Refused);
        }
        play.expect_locked("bob", 9, (Locked::User, WINDOW));
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
            let from = (site, IpAddr::from([192, 0, 2, last]));
            play.guard.admit_ticket(&play.log_ins, from, play.now)
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
            let address = address.parse().unwrap();
            let guess = Guess { site: "lync", user, proof: None, address };
            let pending = play.guard.admit(&play.log_ins, &guess, play.now)?;
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

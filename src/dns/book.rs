//! The names that are wanted, with the addresses that they had last: when each is asked again, and
//! what is worth telling.
//!
//! Addresses that were good stay until there are better ones: neither silence nor a name server that
//! says that the name is gone takes a server out of use. A name is asked for both families in one
//! round, so that it changes once.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use super::Chance;
use super::asking::{Asking, Next, Outcome, Why};
use super::message::Family;

/// An answer is used for so long at least, whatever it says itself: nobody is asked more often.
pub(super) const TTL_MIN: Duration = Duration::from_secs(5);

/// And for so long at most: a change is noticed in this time.
pub(super) const TTL_MAX: Duration = Duration::from_secs(3600);

/// After "there is no such name" it is asked again in so long at the earliest,
pub(super) const NEGATIVE_MIN: Duration = Duration::from_secs(5);

/// and at the latest: whoever has mended DNS does not want to wait.
pub(super) const NEGATIVE_MAX: Duration = Duration::from_secs(60);

/// Where the answer does not say.
const NEGATIVE_UNSAID: Duration = Duration::from_secs(30);

/// A question that failed is asked again after this; each time twice as long.
const AGAIN_FIRST: Duration = Duration::from_secs(1);

/// And the longest.
const AGAIN_LAST: Duration = Duration::from_secs(15);

/// How long the other family is waited for when one has been answered.
pub(super) const OTHER_FAMILY: Duration = Duration::from_millis(250);

/// A name server that did not answer is asked after the others for so long.
const SILENT_FOR: Duration = Duration::from_secs(30);

/// The system does not say how long its answers hold.
pub(super) const SYSTEM_EVERY: Duration = Duration::from_secs(30);

/// Questions on their way to name servers; each has a socket.
pub(super) const QUESTIONS_MAX: usize = 64;

/// Questions that the system is asked at once; each has a thread.
pub(super) const SYSTEM_MAX: usize = 64;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The system's own resolver.
    System,
    /// So many name servers.
    Servers(usize),
}

/// A name whose addresses are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// The name, in small letters.
    pub host: String,
    /// Whether IPv4 addresses can be reached.
    pub v4: bool,
    /// Whether IPv6 addresses can be reached.
    pub v6: bool,
}

/// Names a question that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlightId(u64);

impl FlightId {
    #[cfg(test)]
    pub(crate) fn numbered(number: u64) -> Self {
        Self(number)
    }
}

/// A question to be asked now. What was sent for the same flight before is not listened to any more.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    /// Which one; the answer comes with it.
    pub flight: FlightId,
    /// Of whom, and how.
    pub to: To,
}

/// Who is asked what.
#[derive(Debug, PartialEq, Eq)]
pub enum To {
    /// A name server.
    Server {
        /// Its place in the list.
        server: usize,
        /// Over TCP, with the length before the message; else in one datagram.
        tcp: bool,
        /// The message.
        bytes: Vec<u8>,
    },
    /// The system.
    System {
        /// The name.
        host: String,
    },
}

/// What is worth telling: once, when it changes. The first round of a name always is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A name has other addresses.
    Moved {
        /// Whose.
        host: String,
        /// Who said so; `None`: the system.
        server: Option<usize>,
        /// Those that were not there before.
        came: Vec<IpAddr>,
        /// Those that are not there any more.
        went: Vec<IpAddr>,
        /// So many more were in the answer than a name may have.
        left_out: usize,
    },
    /// A name has no answer, or none with an address. What it had stays in use.
    Trouble {
        /// Whose.
        host: String,
        /// Why.
        why: Why,
    },
    /// It has an answer again, and its addresses are those from before.
    Well {
        /// Whose.
        host: String,
        /// Who said so; `None`: the system.
        server: Option<usize>,
    },
}

impl News {
    /// The name that it is about.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Moved { host, .. } | Self::Trouble { host, .. } | Self::Well { host, .. } => host,
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    families: Vec<Family>,
    /// The last good answers: IPv4 and whatever the system says, then IPv6.
    known: [Vec<IpAddr>; 2],
    /// All of them, sorted.
    shown: Vec<IpAddr>,
    due: Duration,
    pause: Duration,
    round: Option<Round>,
    trouble: Option<Why>,
    settled: bool,
}

/// The questions for one name that are on their way together.
#[derive(Debug, Default)]
struct Round {
    outcomes: [Option<Outcome>; 2],
    open: usize,
    good_at: Option<Duration>,
    is_shown: bool,
}

impl Round {
    fn is_good(&self) -> bool {
        self.outcomes.iter().flatten().any(|outcome| matches!(outcome, Outcome::Good { .. }))
    }

    /// When it is shown although it is not complete.
    fn shown_at(&self) -> Option<Duration> {
        self.good_at.filter(|_| !self.is_shown && self.open > 0).map(|at| at + OTHER_FAMILY)
    }
}

#[derive(Debug)]
struct Flight {
    host: String,
    slot: usize,
    /// `None`: the system is asked.
    asking: Option<Asking>,
}

/// All names.
#[derive(Debug)]
pub struct Book {
    way: Way,
    entries: BTreeMap<String, Entry>,
    flights: HashMap<FlightId, Flight>,
    flights_ever: u64,
    silent_until: Vec<Duration>,
    asks: Vec<Ask>,
    news: Vec<News>,
}

impl Default for Book {
    fn default() -> Self {
        Self {
            way: Way::System,
            entries: BTreeMap::new(),
            flights: HashMap::new(),
            flights_ever: 0,
            silent_until: Vec::new(),
            asks: Vec::new(),
            news: Vec::new(),
        }
    }
}

impl Book {
    /// From now on these names are wanted, and `way` is asked. What is known of names stays; who is
    /// new, or has no answer, is asked for at once. With `anew`, everybody is: others are asked than
    /// before.
    pub fn want(&mut self, way: Way, anew: bool, wants: &[Want], now: Duration) {
        let anew = anew || way != self.way;
        self.way = way;
        let mut before = std::mem::take(&mut self.entries);
        for want in wants {
            let families = match (want.v4, want.v6) {
                (true, false) => vec![Family::V4],
                (false, true) => vec![Family::V6],
                _ => vec![Family::V4, Family::V6],
            };
            let mut entry = before.remove(&want.host).unwrap_or_default();
            let other = entry.families != families;
            if anew || other || entry.trouble.is_some() {
                entry.due = now;
                entry.pause = Duration::ZERO;
            }
            if anew || other {
                entry.round = None;
            }
            entry.families = families;
            self.entries.insert(want.host.clone(), entry);
        }
        if anew {
            let servers = if let Way::Servers(count) = way { count } else { 0 };
            self.silent_until = vec![Duration::ZERO; servers];
        }
        let entries = &self.entries;
        self.flights.retain(|_, flight| {
            !anew && entries.get(&flight.host).is_some_and(|entry| entry.round.is_some())
        });
        let flights = &self.flights;
        self.asks.retain(|ask| flights.contains_key(&ask.flight));
    }

    /// Moves on to `now`, and gives what is to be asked.
    pub fn step(&mut self, now: Duration, chance: Chance<'_>) -> Vec<Ask> {
        let is_late =
            |flight: &Flight| flight.asking.as_ref().is_some_and(|one| one.until() <= now);
        let late = self.flights.iter().filter(|(_, flight)| is_late(flight));
        for flight in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.advance(flight, now, chance, |asking, chance| asking.late(now, chance));
        }
        let halves = self.entries.iter().filter(|(_, entry)| {
            let round = entry.round.as_ref();
            round.and_then(Round::shown_at).is_some_and(|at| at <= now)
        });
        for host in halves.map(|(host, _)| host.clone()).collect::<Vec<_>>() {
            self.show(&host);
        }
        let due =
            self.entries.iter().filter(|(_, entry)| entry.round.is_none() && entry.due <= now);
        let mut due: Vec<_> = due.map(|(host, entry)| (entry.due, host.clone())).collect();
        due.sort();
        for (_, host) in due {
            if !self.has_room() {
                break;
            }
            self.begin(&host, now, chance);
        }
        std::mem::take(&mut self.asks)
    }

    fn has_room(&self) -> bool {
        match self.way {
            Way::System => self.flights.len() < SYSTEM_MAX,
            Way::Servers(_) => self.flights.len() + 1 < QUESTIONS_MAX,
        }
    }

    /// When [`Self::step`] is to be called at the latest; `None`: when something has come.
    #[must_use]
    pub fn next_at(&self) -> Option<Duration> {
        let flights = self.flights.values();
        let late = flights.filter_map(|flight| flight.asking.as_ref().map(Asking::until));
        let has_room = self.has_room();
        let entries = self.entries.values().filter_map(|entry| match &entry.round {
            Some(round) => round.shown_at(),
            None => has_room.then_some(entry.due),
        });
        late.chain(entries).min()
    }

    /// A message has come from whom the flight asks.
    pub fn heard(&mut self, flight: FlightId, bytes: &[u8], now: Duration, chance: Chance<'_>) {
        self.advance(flight, now, chance, |asking, chance| asking.heard(bytes, now, chance));
    }

    /// Whom the flight asks cannot be reached, or has hung up.
    pub fn broken(&mut self, flight: FlightId, error: String, now: Duration, chance: Chance<'_>) {
        self.advance(flight, now, chance, |asking, chance| asking.broken(error, now, chance));
    }

    /// What the system said.
    pub fn resolved(
        &mut self,
        flight: FlightId,
        result: Result<Vec<IpAddr>, String>,
        now: Duration,
    ) {
        let asked = |flight: &Flight| flight.asking.is_none();
        if !self.flights.get(&flight).is_some_and(asked) {
            return;
        }
        let Some(Flight { host, slot, .. }) = self.flights.remove(&flight) else { return };
        let outcome = match result {
            Ok(mut addresses) if !addresses.is_empty() => {
                addresses.sort_unstable();
                addresses.dedup();
                let left_out = addresses.len().saturating_sub(super::ADDRESSES_MAX);
                addresses.truncate(super::ADDRESSES_MAX);
                Outcome::Good { addresses, left_out, ttl: SYSTEM_EVERY, server: None }
            }
            Ok(_) => Outcome::Failed(Why::System("it has no address".to_owned())),
            Err(why) => Outcome::Failed(Why::System(why)),
        };
        self.note(&host, slot, outcome, now);
    }

    /// Whether the flight still waits for an answer.
    #[must_use]
    pub fn is_open(&self, flight: FlightId) -> bool {
        self.flights.contains_key(&flight)
    }

    /// What has changed since the last time.
    pub fn news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// The addresses of a name; none if it is not wanted, or has none.
    #[must_use]
    pub fn addresses(&self, host: &str) -> &[IpAddr] {
        self.entries.get(host).map_or(&[], |entry| entry.shown.as_slice())
    }

    /// All names with their addresses, and whether each has been asked for to an end once.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[IpAddr], bool)> {
        let entries = self.entries.iter();
        entries.map(|(host, entry)| (host.as_str(), entry.shown.as_slice(), entry.settled))
    }

    fn begin(&mut self, host: &str, now: Duration, chance: Chance<'_>) {
        let Some(entry) = self.entries.get_mut(host) else { return };
        let asked = asked(self.way, &entry.families);
        entry.round = Some(Round { open: asked.len(), ..Round::default() });
        for (slot, family) in asked {
            let flight = FlightId(self.flights_ever);
            self.flights_ever += 1;
            let (asking, to) = match family {
                None => (None, To::System { host: host.to_owned() }),
                Some(family) => {
                    let order = self.order(now);
                    match Asking::begin((host, family), order, now, chance) {
                        Some((asking, Next::Send { server, tcp, bytes })) => {
                            (Some(asking), To::Server { server, tcp, bytes })
                        }
                        _ => {
                            self.note(host, slot, Outcome::Failed(Why::NotAName), now);
                            continue;
                        }
                    }
                }
            };
            self.flights.insert(flight, Flight { host: host.to_owned(), slot, asking });
            self.asks.push(Ask { flight, to });
        }
    }

    /// As the file has them; those that were silent lately come last.
    fn order(&self, now: Duration) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.silent_until.len()).collect();
        order
            .sort_by_key(|server| self.silent_until.get(*server).is_some_and(|until| *until > now));
        order
    }

    fn advance(
        &mut self,
        id: FlightId,
        now: Duration,
        chance: Chance<'_>,
        story: impl FnOnce(&mut Asking, Chance<'_>) -> Next,
    ) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let Some(asking) = &mut flight.asking else { return };
        match story(asking, chance) {
            Next::Wait => {}
            Next::Send { server, tcp, bytes } => {
                self.asks.retain(|ask| ask.flight != id);
                self.asks.push(Ask { flight: id, to: To::Server { server, tcp, bytes } });
            }
            Next::Over { outcome, silent } => {
                for server in silent {
                    if let Some(until) = self.silent_until.get_mut(server) {
                        *until = now + SILENT_FOR;
                    }
                }
                self.asks.retain(|ask| ask.flight != id);
                if let Some(Flight { host, slot, .. }) = self.flights.remove(&id) {
                    self.note(&host, slot, outcome, now);
                }
            }
        }
    }

    fn note(&mut self, host: &str, slot: usize, outcome: Outcome, now: Duration) {
        let Some(entry) = self.entries.get_mut(host) else { return };
        let Some(round) = &mut entry.round else { return };
        if let Outcome::Good { server, .. } = &outcome {
            round.good_at.get_or_insert(now);
            let answered = server.and_then(|server| self.silent_until.get_mut(server));
            if let Some(until) = answered {
                *until = Duration::ZERO;
            }
        }
        if let Some(place) = round.outcomes.get_mut(slot) {
            *place = Some(outcome);
        }
        round.open = round.open.saturating_sub(1);
        if round.open > 0 {
            return;
        }
        self.show(host);
        let Some(entry) = self.entries.get_mut(host) else { return };
        if let Some(round) = entry.round.take() {
            entry.due = now + entry.wait(&round);
        }
    }

    /// What has come of a round so far is made known.
    fn show(&mut self, host: &str) {
        let Some(entry) = self.entries.get_mut(host) else { return };
        let Some(round) = &mut entry.round else { return };
        round.is_shown = true;
        entry.settled = true;
        let is_good = round.is_good();
        let asked = asked(self.way, &entry.families);
        let (mut said_by, mut more) = (None, 0);
        for (slot, (known, outcome)) in entry.known.iter_mut().zip(&round.outcomes).enumerate() {
            match outcome {
                Some(Outcome::Good { addresses, left_out, server, .. }) => {
                    known.clone_from(addresses);
                    said_by = said_by.or(*server);
                    more += left_out;
                }
                // The other family is all that there is.
                Some(Outcome::None { .. }) if is_good => known.clear(),
                // What was asked for before a reload, and nobody asks for any more.
                None if is_good && asked.iter().all(|(one, _)| *one != slot) => known.clear(),
                _ => {}
            }
        }
        let mut shown = entry.known.concat();
        shown.sort_unstable();
        shown.dedup();
        let but = |all: &[IpAddr], not: &[IpAddr]| -> Vec<IpAddr> {
            all.iter().filter(|address| !not.contains(address)).copied().collect()
        };
        let (came, went) = (but(&shown, &entry.shown), but(&entry.shown, &shown));
        entry.shown = shown;
        let host = host.to_owned();
        if !is_good {
            let outcomes = round.outcomes.iter().flatten();
            let whys = outcomes.filter_map(|outcome| match outcome {
                Outcome::None { why, .. } | Outcome::Failed(why) => Some(why),
                Outcome::Good { .. } => None,
            });
            let why = whys.max_by_key(|why| why.weight()).cloned();
            if why != entry.trouble {
                entry.trouble.clone_from(&why);
                self.news.extend(why.map(|why| News::Trouble { host, why }));
            }
            return;
        }
        let was_in_trouble = entry.trouble.take().is_some();
        if !(came.is_empty() && went.is_empty()) {
            self.news.push(News::Moved { host, server: said_by, came, went, left_out: more });
        } else if was_in_trouble {
            self.news.push(News::Well { host, server: said_by });
        }
    }
}

/// What is asked in one round, each with its slot; no family: the system, for both.
fn asked(way: Way, families: &[Family]) -> Vec<(usize, Option<Family>)> {
    match way {
        Way::System => vec![(0, None)],
        Way::Servers(_) => {
            let slot = |family| usize::from(family == Family::V6);
            families.iter().map(|&family| (slot(family), Some(family))).collect()
        }
    }
}

impl Entry {
    /// How long until it is asked again, after a round that is complete.
    fn wait(&mut self, round: &Round) -> Duration {
        let outcomes = round.outcomes.iter().flatten();
        let good = outcomes.clone().filter_map(|outcome| match outcome {
            Outcome::Good { ttl, .. } => Some((*ttl).clamp(TTL_MIN, TTL_MAX)),
            _ => None,
        });
        let negative = outcomes.clone().map(|outcome| match outcome {
            Outcome::None { ttl, .. } => {
                Some(ttl.unwrap_or(NEGATIVE_UNSAID).clamp(NEGATIVE_MIN, NEGATIVE_MAX))
            }
            _ => None,
        });
        let said = good.min().or_else(|| {
            let all: Option<Vec<Duration>> = negative.collect();
            all.and_then(|all| all.into_iter().min())
        });
        if let Some(said) = said {
            self.pause = Duration::ZERO;
            return said;
        }
        self.pause = (self.pause * 2).clamp(AGAIN_FIRST, AGAIN_LAST);
        self.pause
    }
}

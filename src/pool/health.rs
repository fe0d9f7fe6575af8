//! Whether a server is asked: judged from what probes and exchanges met, with the time as an
//! argument. A whole [`State`] fits into one word, so that workers share it without a lock.
//!
//! ```text
//! probes     `fall` failed in a row ──▶ down ──▶ `rise` passed in a row ──▶ up, all forgotten
//! exchanges  a time-out while nobody else was answered, or three failures in a row
//!            ──▶ left out for a while ──▶ one exchange (or a telling probe) may try ──▶ answered: up
//!                                         └─ meanwhile left out again, twice as long ─┘
//! ```

use std::time::Duration;

use super::settings::{Ask, PoolSettings};

/// Failures in a row, without an answer between, after which a server is left out.
pub const FAILURES_MAX: u8 = 3;

/// How long a server is left out the first time, in milliseconds; each time without an answer
/// between, twice as long.
pub const LEFT_OUT_FIRST: u64 = 5_000;

/// And the longest.
pub const LEFT_OUT_LAST: u64 = 80_000;

/// Probes further apart than this do not spare users the try.
const TELLING_EVERY: Duration = Duration::from_secs(30);

/// What tells about a server's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A probe got what it expects.
    ProbePassed,
    /// A probe did not.
    ProbeFailed(Trouble),
    /// Nothing that probes have said counts any more: they ask something else now, or nothing.
    ProbesChanged,
    /// An exchange was answered.
    Answered,
    /// An exchange could not be begun, or ended without an answer.
    Failed(Trouble),
    /// An exchange was not answered in time while others were: it may be the request's fault.
    Slow(Trouble),
    /// An exchange was not answered in time, nor was any other that was under way with it.
    Silent(Trouble),
    /// The operator takes it out, or lets it in again.
    Drain(bool),
}

/// What was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The connection was refused.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// The connection was not set up in time.
    ConnectTimedOut,
    /// TLS could not be set up.
    Handshake,
    /// It ended the connection before an answer.
    Closed,
    /// No answer began in time.
    HeadTimedOut,
    /// The answer is not HTTP.
    NotHttp,
    /// The answer to a probe has another status than it should.
    Status(u16),
}

/// What the file decides about judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Probes in a row that must fail before a server is down.
    pub fall: u8,
    /// And pass before it is up again.
    pub rise: u8,
    /// A probe that passes proves that requests are answered, so that no user has to try.
    pub telling: bool,
    /// Servers that are down are asked when no other is left.
    pub try_all: bool,
}

impl Policy {
    /// That of a pool.
    #[must_use]
    pub fn of(pool: &PoolSettings) -> Self {
        let Some(probe) = &pool.probe else {
            return Self { fall: u8::MAX, rise: 1, telling: false, try_all: true };
        };
        let telling = match probe.ask {
            Ask::Tcp(_) => false,
            // Without TLS the kernel alone takes the connection, whatever the program does.
            Ask::Connection => pool.tls.is_some(),
            Ask::Http { .. } => true,
        };
        // One that comes seldom would keep a server out for long.
        let telling = telling && probe.every <= TELLING_EVERY;
        Self { fall: probe.fall, rise: probe.rise, telling, try_all: probe.try_all }
    }
}

/// Whether a server may be picked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Like every other.
    Up,
    /// Only if no other is up: a pool's last server is never left out.
    LeftOut,
    /// Only if there is no other at all.
    Down,
    /// Not at all.
    Out,
}

/// What people are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It gets requests.
    Up,
    /// Exchanges failed; it is tried again later.
    LeftOut,
    /// Probes failed.
    Down,
    /// The operator has taken it out.
    Drained,
}

impl Shown {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::LeftOut => "left out",
            Self::Down => "down",
            Self::Drained => "drained",
        }
    }
}

/// All that is remembered about one server. Times are milliseconds of the monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Probes say so.
    down: bool,
    drained: bool,
    /// Probes in a row that speak against `down`.
    against: u8,
    /// Exchanges in a row that failed.
    failures: u8,
    /// How often it was left out, or tried in vain, since the last answer; at most 15.
    times: u8,
    /// Nobody tries before this; 0: everybody does. With 0 `times` it is only doubted: one exchange
    /// at a time finds out.
    until: u64,
}

/// Where the parts stand in a word, from the lowest bit.
const FAILURES: u32 = 1 + 1 + 8;
const TIMES: u32 = FAILURES + 8;
const UNTIL: u32 = TIMES + 4;

impl State {
    /// As one word; 0 for a server of which nothing bad is known.
    #[must_use]
    pub fn word(self) -> u64 {
        u64::from(self.down)
            | u64::from(self.drained) << 1
            | u64::from(self.against) << 2
            | u64::from(self.failures) << FAILURES
            | u64::from(self.times.min(15)) << TIMES
            | self.until << UNTIL
    }

    /// From [`Self::word`].
    #[must_use]
    pub fn of_word(word: u64) -> Self {
        let byte = |at: u32| (word >> at) as u8;
        Self {
            down: word & 1 != 0,
            drained: word & 2 != 0,
            against: byte(2),
            failures: byte(FAILURES),
            times: byte(TIMES) & 15,
            until: word >> UNTIL,
        }
    }

    /// Whether an answer would change something: of what exchanges met something is remembered.
    #[must_use]
    pub fn waits_for_answer(word: u64) -> bool {
        word >> FAILURES != 0
    }

    /// What is known after `evidence`.
    #[must_use]
    pub fn heard(self, evidence: Evidence, now: u64, policy: Policy) -> Self {
        match evidence {
            Evidence::ProbePassed => self.probe_passed(now, policy),
            Evidence::ProbeFailed(_) => self.probe_failed(policy),
            Evidence::ProbesChanged => Self { down: false, against: 0, ..self },
            Evidence::Answered => self.fresh(),
            Evidence::Failed(_) => {
                let failures = self.failures.saturating_add(1);
                let failed = Self { failures, ..self };
                if failures >= FAILURES_MAX { failed.leave_out(now) } else { failed }
            }
            Evidence::Slow(_) => {
                let failures = self.failures.saturating_add(1);
                let until = if self.until == 0 { now.max(1) } else { self.until };
                Self { failures, until, ..self }
            }
            Evidence::Silent(_) => {
                let failures = self.failures.saturating_add(1);
                Self { failures, ..self }.leave_out(now)
            }
            Evidence::Drain(drained) => Self { drained, ..self },
        }
    }

    /// Nothing that exchanges met is remembered.
    fn fresh(self) -> Self {
        Self { failures: 0, times: 0, until: 0, ..self }
    }

    fn probe_passed(self, now: u64, policy: Policy) -> Self {
        if !self.down {
            let over = policy.telling && self.until <= now;
            let (failures, until) = if over { (0, 0) } else { (self.failures, self.until) };
            return Self { against: 0, failures, until, ..self };
        }
        let against = self.against.saturating_add(1);
        if against < policy.rise {
            return Self { against, ..self };
        }
        // It comes back as another than the one that exchanges met.
        Self { down: false, against: 0, ..self.fresh() }
    }

    fn probe_failed(self, policy: Policy) -> Self {
        if self.down {
            return Self { against: 0, ..self };
        }
        let against = self.against.saturating_add(1);
        let down = against >= policy.fall;
        Self { down, against: if down { 0 } else { against }, ..self }
    }

    fn leave_out(self, now: u64) -> Self {
        // The rest of what was under way there fails too, and says nothing new.
        if self.times > 0 && now < self.until {
            return self;
        }
        let times = (self.times + 1).min(15);
        Self { times, until: now + pause(times), ..self }
    }

    /// Whether it may be picked.
    #[must_use]
    pub fn standing(self, now: u64, policy: Policy) -> Standing {
        if self.drained || self.down && !policy.try_all {
            Standing::Out
        } else if self.down {
            Standing::Down
        } else if self.until == 0 || self.may_be_tried(now, policy) {
            Standing::Up
        } else {
            Standing::LeftOut
        }
    }

    /// Whether whoever picks it has to [try](Self::tried): one at a time.
    #[must_use]
    pub fn may_be_tried(self, now: u64, policy: Policy) -> bool {
        let by_exchange = self.times == 0 || !policy.telling;
        self.until != 0 && self.until <= now && by_exchange && !self.down && !self.drained
    }

    /// Somebody tries: unless there is an answer, the others wait again.
    #[must_use]
    pub fn tried(self, now: u64) -> Self {
        if self.times == 0 {
            return Self { until: now + LEFT_OUT_FIRST, ..self };
        }
        let times = (self.times + 1).min(15);
        Self { times, until: now + pause(times), ..self }
    }

    /// What people are told.
    #[must_use]
    pub fn shown(self) -> Shown {
        if self.drained {
            Shown::Drained
        } else if self.down {
            Shown::Down
        } else if self.times > 0 && self.until != 0 {
            Shown::LeftOut
        } else {
            Shown::Up
        }
    }

    /// When it is tried again, if it is left out; milliseconds.
    #[must_use]
    pub fn tried_again_at(self) -> u64 {
        self.until
    }

    /// Exchanges in a row that failed.
    #[must_use]
    pub fn failures(self) -> u8 {
        self.failures
    }
}

/// How long a server is left out the `times`th time.
fn pause(times: u8) -> u64 {
    (LEFT_OUT_FIRST << times.saturating_sub(1).min(8)).min(LEFT_OUT_LAST)
}

impl Trouble {
    /// As a number, for atomics.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::Refused => 1,
            Self::Unreachable => 2,
            Self::ConnectTimedOut => 3,
            Self::Handshake => 4,
            Self::Closed => 5,
            Self::HeadTimedOut => 6,
            Self::NotHttp => 7,
            Self::Status(status) => 1 << 16 | u32::from(status),
        }
    }

    pub(super) fn of_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::Refused,
            2 => Self::Unreachable,
            3 => Self::ConnectTimedOut,
            4 => Self::Handshake,
            5 => Self::Closed,
            6 => Self::HeadTimedOut,
            7 => Self::NotHttp,
            status if status >> 16 == 1 => Self::Status(status as u16),
            _ => return None,
        })
    }
}

impl Evidence {
    /// What was wrong, if something was.
    pub(super) fn trouble(self) -> Option<Trouble> {
        match self {
            Self::ProbeFailed(trouble)
            | Self::Failed(trouble)
            | Self::Slow(trouble)
            | Self::Silent(trouble) => Some(trouble),
            Self::ProbePassed | Self::ProbesChanged | Self::Answered | Self::Drain(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;

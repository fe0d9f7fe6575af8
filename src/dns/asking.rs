//! One question on its way: from name server to name server, again with more patience, over TCP
//! where UDP does not do, and after aliases.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::name::Name;

use super::Chance;
use super::message::{ALIASES_MAX, Family, Question, Said, name_of};

/// How long the first answer of a name server is waited for; twice as long in each pass after it.
pub const TRY_FIRST: Duration = Duration::from_secs(1);

/// How often all name servers are gone through before a question is given up.
const PASSES: usize = 3;

/// Messages that are no answers, after which a name server is left alone for this try: nobody is to
/// keep guessing.
const NOT_OURS_MAX: u32 = 64;

/// Why a name has no address now. Name servers by their places in the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no such name.
    Nonexistent {
        /// Who says so.
        server: usize,
    },
    /// It answers with this code, which says that it cannot tell.
    Cannot {
        /// Who.
        server: usize,
        /// RFC 1035 section 4.1.1.
        code: u8,
    },
    /// What it answers cannot be understood.
    Nonsense {
        /// Who.
        server: usize,
        /// What is wrong, as a sentence about the answer.
        what: &'static str,
    },
    /// It cannot be asked.
    Unreachable {
        /// Who.
        server: usize,
        /// What the kernel says.
        error: String,
    },
    /// None of them answers.
    Silent,
    /// The name is there and has no address.
    NoAddress {
        /// Who says so.
        server: usize,
    },
    /// What the system's own resolver says.
    System(String),
    /// Nothing that DNS could hold.
    NotAName,
}

impl Why {
    /// Of several, the one that tells most is told.
    pub(super) fn weight(&self) -> u8 {
        match self {
            Self::Nonexistent { .. } => 6,
            Self::System(_) | Self::NotAName => 5,
            Self::Cannot { .. } => 4,
            Self::Nonsense { .. } => 3,
            Self::Unreachable { .. } => 2,
            Self::Silent => 1,
            Self::NoAddress { .. } => 0,
        }
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good {
        addresses: Vec<IpAddr>,
        left_out: usize,
        ttl: Duration,
        server: Option<usize>,
    },
    /// A name server has said so; for how long, if it said that.
    None {
        why: Why,
        ttl: Option<Duration>,
    },
    Failed(Why),
}

/// What is to be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Send this, and listen to nothing sent before.
    Send { server: usize, tcp: bool, bytes: Vec<u8> },
    /// Wait on.
    Wait,
    /// It is over; `silent` have not answered.
    Over { outcome: Outcome, silent: Vec<usize> },
}

/// One question.
#[derive(Debug)]
pub(super) struct Asking {
    name: Name<Vec<u8>>,
    family: Family,
    /// Name servers in the order in which they are asked.
    order: Vec<usize>,
    /// Tries that have begun, over all passes.
    tries: usize,
    tcp: bool,
    question: Question,
    until: Duration,
    not_ours: u32,
    /// Aliases so far, and the shortest time of theirs.
    aliases: (usize, Duration),
    why: Why,
    silent: Vec<usize>,
}

impl Asking {
    /// Begins to ask for the addresses of `host`. `None` if DNS cannot hold the name, or nobody is
    /// there to be asked.
    pub(super) fn begin(
        (host, family): (&str, Family),
        order: Vec<usize>,
        now: Duration,
        chance: Chance<'_>,
    ) -> Option<(Self, Next)> {
        let name = name_of(host)?;
        let question = Question::new(&name, family, chance);
        let mut asking = Self {
            name,
            family,
            tries: 0,
            tcp: false,
            question,
            until: now,
            not_ours: 0,
            aliases: (0, Duration::MAX),
            why: Why::Silent,
            silent: Vec::new(),
            order,
        };
        let first = asking.next_try(now, chance);
        matches!(first, Next::Send { .. }).then_some((asking, first))
    }

    /// When [`Self::late`] is to be called.
    pub(super) fn until(&self) -> Duration {
        self.until
    }

    fn server(&self) -> usize {
        let place = self.tries.saturating_sub(1) % self.order.len().max(1);
        self.order.get(place).copied().unwrap_or(0)
    }

    /// Nothing came in time.
    pub(super) fn late(&mut self, now: Duration, chance: Chance<'_>) -> Next {
        let server = self.server();
        if !self.silent.contains(&server) {
            self.silent.push(server);
        }
        self.next_try(now, chance)
    }

    /// The name server cannot be reached, or has ended the connection.
    pub(super) fn broken(&mut self, error: String, now: Duration, chance: Chance<'_>) -> Next {
        let server = self.server();
        self.note(Why::Unreachable { server, error });
        self.late(now, chance)
    }

    /// A message has come from the name server that is asked.
    pub(super) fn heard(&mut self, bytes: &[u8], now: Duration, chance: Chance<'_>) -> Next {
        let server = self.server();
        let Ok(said) = self.question.read(bytes, self.tcp) else {
            self.not_ours += 1;
            if self.not_ours < NOT_OURS_MAX {
                return Next::Wait;
            }
            self.note(Why::Nonsense { server, what: "too many messages answer other questions" });
            return self.next_try(now, chance);
        };
        self.silent.retain(|silent| *silent != server);
        match said {
            Said::Addresses { addresses, left_out, ttl } => {
                let ttl = ttl.min(self.aliases.1);
                self.over(Outcome::Good { addresses, left_out, ttl, server: Some(server) })
            }
            Said::Nothing { exists, ttl } => {
                let why =
                    if exists { Why::NoAddress { server } } else { Why::Nonexistent { server } };
                let ttl = ttl.map(|ttl| ttl.min(self.aliases.1));
                self.over(Outcome::None { why, ttl })
            }
            Said::Elsewhere { name, aliases, ttl } => {
                self.aliases = (self.aliases.0 + aliases, self.aliases.1.min(ttl));
                if self.aliases.0 > ALIASES_MAX {
                    self.note(Why::Nonsense { server, what: "its aliases do not end" });
                    return self.next_try(now, chance);
                }
                self.name = name;
                self.send(now, chance)
            }
            Said::Cut => {
                self.tcp = true;
                self.send(now, chance)
            }
            Said::Cannot(code) => {
                self.note(Why::Cannot { server, code });
                self.next_try(now, chance)
            }
            Said::Nonsense(what) => {
                self.note(Why::Nonsense { server, what });
                self.next_try(now, chance)
            }
        }
    }

    fn note(&mut self, why: Why) {
        if why.weight() > self.why.weight() {
            self.why = why;
        }
    }

    fn next_try(&mut self, now: Duration, chance: Chance<'_>) -> Next {
        if self.tries >= self.order.len() * PASSES {
            let why = std::mem::replace(&mut self.why, Why::Silent);
            return self.over(Outcome::Failed(why));
        }
        self.tries += 1;
        self.tcp = false;
        self.not_ours = 0;
        self.send(now, chance)
    }

    fn send(&mut self, now: Duration, chance: Chance<'_>) -> Next {
        let pass = (self.tries.saturating_sub(1) / self.order.len().max(1)).min(PASSES);
        self.until = now + TRY_FIRST * (1 << pass);
        self.question = Question::new(&self.name, self.family, chance);
        Next::Send { server: self.server(), tcp: self.tcp, bytes: self.question.bytes() }
    }

    fn over(&mut self, outcome: Outcome) -> Next {
        Next::Over { outcome, silent: std::mem::take(&mut self.silent) }
    }
}

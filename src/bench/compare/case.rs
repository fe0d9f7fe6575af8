//! The cases that are compared, the peers, and the goals that Gatehouse has set itself.

use std::fmt;
use std::str::FromStr;

/// One kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// Small answers over kept connections.
    Plain,
    /// The same with TLS towards the client.
    Tls,
    /// The same with TLS on both sides.
    TlsBoth,
    /// Answers of 1 MiB, without TLS.
    Large,
    /// Gatehouse with a few rules against Gatehouse with very many.
    Rules,
}

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The proxy of this package.
    Gatehouse,
    /// nginx.
    Nginx,
    /// HAProxy.
    Haproxy,
    /// The relay of this tool: the kernel's cost alone.
    Relay,
}

impl Case {
    /// Every case, in the order in which they run.
    pub const ALL: [Self; 5] = [Self::Plain, Self::Tls, Self::TlsBoth, Self::Large, Self::Rules];

    /// The word for it on the command line and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Tls => "tls",
            Self::TlsBoth => "tls-both",
            Self::Large => "large",
            Self::Rules => "rules",
        }
    }

    /// What it measures, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Plain => "small answers, plain on both sides",
            Self::Tls => "small answers, TLS in front",
            Self::TlsBoth => "small answers, TLS on both sides",
            Self::Large => "1 MiB answers, plain on both sides",
            Self::Rules => "many rules and sites against few",
        }
    }

    /// Clients speak TLS.
    pub fn has_client_tls(self) -> bool {
        matches!(self, Self::Tls | Self::TlsBoth)
    }

    /// The origin speaks TLS.
    pub fn has_upstream_tls(self) -> bool {
        self == Self::TlsBoth
    }

    /// What is asked for.
    pub fn path(self) -> &'static str {
        if self == Self::Large { "/bytes/1048576" } else { "/" }
    }

    /// Whether `peer` can take part.
    pub fn admits(self, peer: Peer) -> bool {
        match self {
            Self::Plain | Self::Large => true,
            Self::Tls | Self::TlsBoth => peer != Peer::Relay,
            Self::Rules => peer == Peer::Gatehouse,
        }
    }

    /// The CPU time per request, as a part of `peer`'s, that Gatehouse must not exceed.
    pub fn goal(self, peer: Peer) -> Option<f64> {
        match (self, peer) {
            (Self::Plain, Peer::Nginx) => Some(0.90),
            (Self::Plain, Peer::Haproxy) => Some(0.75),
            (Self::Tls, Peer::Nginx) | (Self::TlsBoth, Peer::Nginx) => Some(0.80),
            (Self::Tls, Peer::Haproxy) => Some(0.72),
            (Self::TlsBoth, Peer::Haproxy) => Some(0.70),
            (Self::Large, Peer::Nginx | Peer::Haproxy) => Some(0.85),
            (Self::Rules, Peer::Gatehouse) => Some(1.05),
            _ => None,
        }
    }
}

impl Peer {
    /// Every peer.
    pub const ALL: [Self; 4] = [Self::Gatehouse, Self::Nginx, Self::Haproxy, Self::Relay];

    /// The word for it on the command line and in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gatehouse => "gatehouse",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Relay => "relay",
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|case| case.word() == word)
            .ok_or_else(|| one_of("case", &Self::ALL.map(Self::word)))
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|peer| peer.word() == word)
            .ok_or_else(|| one_of("peer", &Self::ALL.map(Self::word)))
    }
}

fn one_of(what: &str, words: &[&str]) -> String {
    format!("no such {what}; there are {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for case in Case::ALL {
            assert_eq!(case.word().parse(), Ok(case));
        }
        for peer in Peer::ALL {
            assert_eq!(peer.word().parse(), Ok(peer));
        }
        assert!("apache".parse::<Peer>().unwrap_err().contains("haproxy"));
    }
}

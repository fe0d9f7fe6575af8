//! Which clients a Site is for, by their addresses.
//!
//! Of all prefixes that an address is in, the longest decides; where the same one is allowed and
//! denied, denied. An address that is in none is allowed if there is no `allow`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: the addresses that begin with the same bits. IPv4 that is written as IPv6 is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

/// Why something is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixFault {
    /// An address has fewer bits.
    TooLong,
    /// The address has bits set behind the prefix.
    HostBits {
        /// The network that it is in.
        meant: Prefix,
    },
}

impl Prefix {
    /// The network of `address`; without a length, the address alone.
    ///
    /// # Errors
    /// The address is not the first of a network of that length.
    pub fn new(address: IpAddr, length: Option<u8>) -> Result<Self, PrefixFault> {
        let (canonical, mapped_bits) = match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) => match length {
                // Shorter than what marks IPv4, so it is a network of IPv6.
                Some(length) if length < MAPPED_BITS => (address, 0),
                _ => (IpAddr::V4(v4), MAPPED_BITS),
            },
            _ => (address, 0),
        };
        let bits = bits_of(canonical);
        let length = length.map_or(bits, |length| length - mapped_bits);
        if length > bits {
            return Err(PrefixFault::TooLong);
        }
        let (first, _) = range(number(canonical), length, bits);
        let prefix = Self { address: written(first, canonical), length };
        if first == number(canonical) {
            Ok(prefix)
        } else {
            Err(PrefixFault::HostBits { meant: prefix })
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Bits in front of an IPv4 address that is written as IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u32::from(v4).into(),
        IpAddr::V6(v6) => v6.into(),
    }
}

/// `number` as an address of the family of `like`.
fn written(number: u128, like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

/// The first and the last address of the network of `length` bits that holds `address`.
fn range(address: u128, length: u8, bits: u8) -> (u128, u128) {
    let behind = 1_u128.checked_shl(u32::from(bits - length)).unwrap_or(0).wrapping_sub(1);
    (address & !behind, address | behind)
}

/// Which clients a Site is for; all, unless it says more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    v4: Verdicts,
    v6: Verdicts,
}

/// From which address on what holds, in the order of addresses. Empty: all are allowed.
type Verdicts = Box<[(u128, bool)]>;

impl Admission {
    /// From `allow` and `deny` as the operator lists them.
    #[must_use]
    pub fn new(allow: &[Prefix], deny: &[Prefix]) -> Self {
        if allow.is_empty() && deny.is_empty() {
            return Self::default();
        }
        let listed = |v4: bool| {
            let of = move |list: &[Prefix], allowed| {
                let fitting = list.iter().filter(move |prefix| prefix.address.is_ipv4() == v4);
                fitting.map(|prefix| (*prefix, allowed)).collect::<Vec<_>>()
            };
            let mut listed = of(allow, true);
            listed.extend(of(deny, false));
            verdicts(listed, allow.is_empty())
        };
        Self { v4: listed(true), v6: listed(false) }
    }

    /// Everybody may come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether a client with this address may come.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let verdicts = if client.is_ipv4() { &self.v4 } else { &self.v6 };
        let client = number(client);
        let behind = verdicts.partition_point(|(from, _)| *from <= client);
        behind.checked_sub(1).and_then(|at| verdicts.get(at)).is_none_or(|(_, allowed)| *allowed)
    }
}

/// Networks lie within each other or beside each other, so one walk over them in order finds where
/// which of them is the innermost.
fn verdicts(mut listed: Vec<(Prefix, bool)>, otherwise: bool) -> Verdicts {
    // What comes later lies further in: of equal ones, what is denied.
    listed.sort_by_key(|(prefix, allowed)| (number(prefix.address), prefix.length, !allowed));
    let mut found = vec![(0, otherwise)];
    let mut around: Vec<(u128, bool)> = Vec::new();
    for (prefix, allowed) in listed {
        let bits = bits_of(prefix.address);
        let (first, last) = range(number(prefix.address), prefix.length, bits);
        leave(&mut around, &mut found, otherwise, |end| end < first);
        mark(&mut found, first, allowed);
        around.push((last, allowed));
    }
    leave(&mut around, &mut found, otherwise, |_| true);
    found.into_boxed_slice()
}

/// Goes out of the networks that have ended; behind each holds what holds around it.
fn leave(
    around: &mut Vec<(u128, bool)>,
    found: &mut Vec<(u128, bool)>,
    otherwise: bool,
    has_ended: impl Fn(u128) -> bool,
) {
    while let Some((end, _)) = around.pop_if(|(end, _)| has_ended(*end)) {
        let outer = around.last().map_or(otherwise, |(_, allowed)| *allowed);
        if let Some(next) = end.checked_add(1) {
            mark(found, next, outer);
        }
    }
}

/// From `at` on, what was found last holds.
fn mark(found: &mut Vec<(u128, bool)>, at: u128, allowed: bool) {
    match found.last_mut() {
        Some((last, verdict)) if *last == at => *verdict = allowed,
        _ => found.push((at, allowed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse().unwrap())),
            None => (text, None),
        };
        Prefix::new(address.parse().unwrap(), length).unwrap()
    }

    fn list(texts: &str) -> Vec<Prefix> {
        texts.split_whitespace().map(prefix).collect()
    }

    #[track_caller]
    fn check(allow: &str, deny: &str, clients: &[(&str, bool)]) {
        let admission = Admission::new(&list(allow), &list(deny));
        for (client, expected) in clients {
            let admitted = admission.admits(client.parse().unwrap());
            assert_eq!(admitted, *expected, "{client} with allow {allow}, deny {deny}");
        }
    }

    #[test]
    fn who_is_admitted() {
        check("", "", &[("192.0.2.1", true), ("2001:db8::1", true)]);
        assert!(Admission::new(&[], &[]).is_open());
        let edges = [("9.255.255.255", false), ("10.0.0.0", true), ("10.255.255.255", true)];
        check("10.0.0.0/8", "", &edges);
        check("10.0.0.0/8", "", &[("11.0.0.0", false), ("::", false), ("::ffff:10.0.0.1", true)]);
        check("", "10.0.0.0/8", &[("10.1.2.3", false), ("11.0.0.0", true), ("::1", true)]);
        check("", "::ffff:10.0.0.0/104", &[("10.1.2.3", false), ("11.0.0.0", true)]);
        // The longest decides, however it is nested.
        let nested = [("10.0.0.1", true), ("10.1.0.1", false), ("10.1.1.1", true)];
        check("10.0.0.0/8 10.1.1.0/24", "10.1.0.0/16 10.1.1.9", &nested);
        check("10.0.0.0/8 10.1.1.0/24", "10.1.0.0/16 10.1.1.9", &[("10.1.1.9", false)]);
        check("10.0.0.0/8", "10.0.0.0/8", &[("10.0.0.1", false), ("12.0.0.1", false)]);
        check("0.0.0.0/0", "10.0.0.0/8", &[("255.255.255.255", true), ("10.0.0.1", false)]);
        check("::/0", "", &[("2001:db8::1", true), ("192.0.2.1", false)]);
        let six = [("2001:db8:1::1", false), ("2001:db8:2::", true), ("2001:db9::", false)];
        check("2001:db8::/32", "2001:db8:1::/48", &six);
        check("ffff::/16", "", &[("ffff:ffff::", true), ("fffe::", false)]);
    }

    #[test]
    fn networks() {
        let meant = |text: &str, length| match Prefix::new(text.parse().unwrap(), Some(length)) {
            Err(PrefixFault::HostBits { meant }) => meant.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(meant("10.0.0.1", 8), "10.0.0.0/8");
        assert_eq!(meant("2001:db8::1", 32), "2001:db8::/32");
        assert_eq!(meant("::ffff:10.0.0.1", 104), "10.0.0.0/8");
        let long = Prefix::new("10.0.0.1".parse().unwrap(), Some(33));
        assert_eq!(long, Err(PrefixFault::TooLong));
        assert_eq!(prefix("10.0.0.1").to_string(), "10.0.0.1/32");
    }

    /// Every prefix is looked at, and the longest remembered.
    fn naive(allow: &[Prefix], deny: &[Prefix], client: IpAddr) -> bool {
        let client = client.to_canonical();
        let mut best: Option<(u8, bool)> = None;
        for (prefixes, allowed) in [(allow, true), (deny, false)] {
            for prefix in prefixes {
                let bits = bits_of(prefix.address);
                let shift = u32::from(bits - prefix.length);
                let cut = |number: u128| number.checked_shr(shift).unwrap_or(0);
                let within = prefix.address.is_ipv4() == client.is_ipv4()
                    && cut(number(prefix.address)) == cut(number(client));
                if within && best.is_none_or(|(length, _)| prefix.length >= length) {
                    best = Some((prefix.length, allowed));
                }
            }
        }
        best.map_or(allow.is_empty(), |(_, allowed)| allowed)
    }

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }

        /// Few addresses, so that networks and clients meet.
        fn address(&mut self) -> IpAddr {
            let mut number: u128 = 0;
            for _ in 0..self.below(4) {
                number |= 1 << self.below(128);
            }
            match self.below(3) {
                0 => Ipv4Addr::from(number as u32 | (number >> 96) as u32).into(),
                1 => Ipv4Addr::from(number as u32).to_ipv6_mapped().into(),
                _ => Ipv6Addr::from(number).into(),
            }
        }

        fn prefixes(&mut self) -> Vec<Prefix> {
            let count = self.below(8);
            let drawn = (0..count).map(|_| {
                let address = self.address();
                let length = self.below(u64::from(bits_of(address)) + 1) as u8;
                match Prefix::new(address, Some(length)) {
                    Ok(prefix) | Err(PrefixFault::HostBits { meant: prefix }) => prefix,
                    Err(PrefixFault::TooLong) => unreachable!("no longer than the address"),
                }
            });
            drawn.collect()
        }
    }

    #[test]
    fn as_by_looking_at_all() {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        let (mut admitted, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let (allow, deny) = (dice.prefixes(), dice.prefixes());
            let admission = Admission::new(&allow, &deny);
            let edges: Vec<IpAddr> = allow
                .iter()
                .chain(&deny)
                .flat_map(|prefix| {
                    let bits = bits_of(prefix.address);
                    let (first, last) = range(number(prefix.address), prefix.length, bits);
                    [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
                        .map(|at| written(at, prefix.address))
                })
                .collect();
            let drawn = (0..4).map(|_| dice.address());
            for client in edges.into_iter().chain(drawn.collect::<Vec<_>>()) {
                let expected = naive(&allow, &deny, client);
                assert_eq!(admission.admits(client), expected, "{client} {allow:?} {deny:?}");
                if expected { admitted += 1 } else { refused += 1 }
            }
        }
        assert!(admitted > 10_000 && refused > 10_000, "{admitted} {refused}");
    }
}

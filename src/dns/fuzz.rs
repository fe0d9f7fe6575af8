//! What must hold for any bytes at all.

use std::net::IpAddr;
use std::time::Duration;

use super::message::{NotOurs, Question, Said, name_of};
use super::reply::{Reply, Rr, reply};
use super::*;

/// All of [`fuzz_names`]; in its second half nobody answers any more.
const LASTS: Duration = Duration::from_secs(60);

/// Any message is read in bounded time and to a bounded answer, and a part of it is never taken for
/// more than the whole. The first byte of `input` chooses the question and whether it came over TCP;
/// the number of the question stands before what comes then.
pub fn fuzz_dns(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    let family = if choice & 1 == 0 { Family::V4 } else { Family::V6 };
    let tcp = choice & 2 == 0;
    let Some(name) = name_of("fe01.test") else { return };
    let question = Question::new(&name, family, &mut || 0x5aa5_3c96_0ff0_6789);
    let mut message = question.bytes();
    message.truncate(2);
    message.extend_from_slice(input);
    let whole = judge(&question, family, &message, tcp);
    for end in (0..message.len()).step_by(message.len() / 64 + 1) {
        let part = judge(&question, family, message.get(..end).unwrap_or_default(), tcp);
        // Long answers over UDP are not read at all.
        if tcp && matches!(part, Ok(Said::Addresses { .. } | Said::Elsewhere { .. })) {
            assert_eq!(part, whole, "{end} bytes of {}", message.escape_ascii());
        }
    }
    if !tcp && whole != Ok(Said::Cut) {
        assert_eq!(judge(&question, family, &message, true), whole, "{}", message.escape_ascii());
    }
}

/// What a message says to a question, after a look at its bounds.
fn judge(question: &Question, family: Family, bytes: &[u8], tcp: bool) -> Result<Said, NotOurs> {
    let said = question.read(bytes, tcp);
    match &said {
        Ok(Said::Addresses { addresses, left_out, .. }) => {
            assert!((1..=ADDRESSES_MAX).contains(&addresses.len()));
            assert!(*left_out == 0 || addresses.len() == ADDRESSES_MAX);
            assert!(addresses.is_sorted_by(|one, other| one < other), "{addresses:?}");
            for address in addresses {
                let octets = match address {
                    IpAddr::V4(address) if family == Family::V4 => address.octets().to_vec(),
                    IpAddr::V6(address) if family == Family::V6 => address.octets().to_vec(),
                    other => panic!("nobody asked for {other}"),
                };
                let stands = bytes.windows(octets.len()).any(|window| window == octets);
                assert!(stands, "{address} is not in {}", bytes.escape_ascii());
            }
        }
        Ok(Said::Elsewhere { aliases, .. }) => assert!((1..=8).contains(aliases)),
        _ => {}
    }
    said
}

/// Bytes that say what happens, one after the other; nothing when they are used up.
struct Script<'s>(&'s [u8]);

impl<'s> Script<'s> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    fn bytes(&mut self, length: usize) -> &'s [u8] {
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// What somebody answers to a question, honest or not.
    fn answer(&mut self, question: &[u8]) -> Vec<u8> {
        let a = |last| Rr::A("fe01.test", u32::from(last), [10, 0, 0, last]);
        let records = match self.byte() % 6 {
            0 => vec![a(self.byte())],
            1 => vec![Rr::Cname("fe01.test", 9, "fe02.test"), Rr::A("fe02.test", 9, [10, 0, 0, 2])],
            2 => vec![Rr::Soa(60, u32::from(self.byte()))],
            3 => vec![Rr::Cname("fe01.test", 9, "fe02.test")],
            4 => vec![Rr::Aaaa("fe01.test", 9, [3; 16])],
            _ => (0..self.byte()).map(a).collect(),
        };
        let code = [0, 0, 0, 2, 3, 5].get(usize::from(self.byte() % 6)).copied().unwrap_or(0);
        let is_cut = self.byte() % 8 == 7;
        let mut bytes = reply(question, &Reply { code, is_cut, records });
        for _ in 0..self.byte() % 4 {
            let (at, byte) = (usize::from(self.byte()), self.byte());
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
        }
        if self.byte() % 8 == 7 {
            bytes.truncate(usize::from(self.byte()));
        }
        bytes
    }
}

/// Whoever answers whatever, or nobody: each name is settled in bounded time, with a bounded number
/// of messages, and what is told is about names that are wanted.
pub fn fuzz_names(input: &[u8]) {
    let mut script = Script(input);
    let mut dice = 0x6761_7465_u64;
    let mut chance = move || {
        dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        dice >> 16
    };
    let way =
        |byte: u8| if byte % 4 == 3 { Way::System } else { Way::Servers(usize::from(byte % 4)) };
    let wants = |byte: u8| {
        let families = [(true, true), (true, false), (false, true)];
        let (v4, v6) = families.get(usize::from(byte % 3)).copied().unwrap_or((true, true));
        let hosts = if byte & 64 == 0 { &["fe01.test"][..] } else { &["fe01.test", "fe02.test"] };
        let want = |host: &&str| Want { host: (*host).to_owned(), v4, v6 };
        hosts.iter().map(want).collect::<Vec<_>>()
    };
    let mut book = Book::default();
    let mut now = Duration::from_secs(1);
    book.want(way(script.byte() | 1), true, &wants(script.byte()), now);
    let (mut sent, mut changes) = (0, 0);
    while now < LASTS && (!script.0.is_empty() || !book.names().all(|(.., settled)| settled)) {
        if script.byte() % 32 == 31 && changes < 2 {
            let (to, anew) = (way(script.byte() | 1), script.byte() % 2 == 1);
            book.want(to, anew, &wants(script.byte()), now);
            changes += 1;
        }
        for Ask { flight, to } in book.step(now, &mut chance) {
            sent += 1;
            assert!(book.is_open(flight), "nobody listens to what is asked");
            match (to, script.byte() % 8) {
                (To::Server { .. }, 0) => {}
                (To::Server { .. }, 1) => {
                    book.broken(flight, "gone".to_owned(), now, &mut chance);
                }
                (To::Server { .. }, 2) => {
                    let garbage = script.bytes(40);
                    book.heard(flight, garbage, now, &mut chance);
                }
                (To::Server { bytes, .. }, more) => {
                    for _ in 0..more % 3 + 1 {
                        let answer = script.answer(&bytes);
                        book.heard(flight, &answer, now, &mut chance);
                    }
                }
                (To::System { .. }, more) => {
                    let found = (0..more).map(|last| IpAddr::from([10, 0, 0, last])).collect();
                    let found = if more == 1 { Err("no".to_owned()) } else { Ok(found) };
                    book.resolved(flight, found, now);
                }
            }
        }
        for (_, addresses, _) in book.names() {
            assert!(addresses.len() <= 2 * ADDRESSES_MAX, "{addresses:?}");
        }
        for news in book.news() {
            assert!(["fe01.test", "fe02.test"].contains(&news.host()), "{news:?}");
        }
        now += Duration::from_millis(100);
        if now > LASTS / 2 {
            script.0 = &[];
        }
    }
    assert!(book.names().all(|(.., settled)| settled), "{sent} messages, and no end");
    assert!(sent < 1000, "{sent} messages");
}

#[cfg(test)]
mod tests {
    use super::super::tests::dice;
    use super::*;

    const ROUNDS: u64 = 30_000;

    /// An honest answer, which is then spoilt.
    fn honest(question: &[u8], pick: u64) -> Vec<u8> {
        let a = Rr::A("fe01.test", 60, [10, 0, 0, 1]);
        let records = match pick % 5 {
            0 => vec![a],
            1 => vec![Rr::Cname("fe01.test", 9, "b.test"), Rr::A("b.test", 9, [10, 0, 0, 2])],
            2 => vec![Rr::Soa(60, 60)],
            3 => vec![Rr::Cname("fe01.test", 9, "b.test"), Rr::Aaaa("b.test", 9, [3; 16])],
            _ => vec![a; 40],
        };
        let code = if pick.is_multiple_of(11) { 3 } else { 0 };
        reply(question, &Reply { code, is_cut: pick.is_multiple_of(17), records })
    }

    /// Some bytes changed, pointers put in, cut or lengthened.
    fn spoil(bytes: &mut Vec<u8>, chance: &mut impl FnMut() -> u64) {
        for _ in 0..chance() % 4 {
            // Mostly behind the number and the question, which would end the reading.
            let from = if chance().is_multiple_of(8) { 0 } else { 27.min(bytes.len() - 1) };
            let at = from + chance() as usize % (bytes.len() - from);
            match chance() % 4 {
                0 => bytes[at] = chance() as u8,
                1 => bytes[at] = 0xc0 | (chance() % 2) as u8,
                2 => bytes[at] ^= 1 << (chance() % 8),
                _ => {
                    let more = chance() as usize % 9;
                    bytes.splice(at..at, std::iter::repeat_n(0xc0, more));
                }
            }
        }
        if chance().is_multiple_of(4) {
            bytes.truncate(chance() as usize % (bytes.len() + 1));
        }
    }

    #[test]
    fn no_answer_does_harm() {
        let mut chance = dice(0x6761_7465);
        let name = name_of("fe01.test").unwrap();
        let mut seen = [0_u32; 8];
        for round in 0..ROUNDS {
            let family = if round.is_multiple_of(2) { Family::V4 } else { Family::V6 };
            let question = Question::new(&name, family, &mut chance);
            let mut bytes = honest(&question.bytes(), chance());
            spoil(&mut bytes, &mut chance);
            let said = judge(&question, family, &bytes, chance().is_multiple_of(2));
            seen[match said {
                Err(_) => 0,
                Ok(Said::Addresses { .. }) => 1,
                Ok(Said::Elsewhere { .. }) => 2,
                Ok(Said::Nothing { .. }) => 3,
                Ok(Said::Cut) => 4,
                Ok(Said::Cannot(_)) => 5,
                Ok(Said::Nonsense(_)) => 6,
            }] += 1;
        }
        // It has been everywhere.
        assert!(seen[..7].iter().all(|count| *count > 20), "{seen:?}");
    }

    /// Whatever comes, each question ends in bounded time and with a bounded number of messages.
    #[test]
    fn every_question_ends() {
        let mut chance = dice(0x686f_7573);
        for round in 0..300 {
            let mut book = Book::default();
            let mut now = Duration::from_secs(1);
            let want = Want { host: "fe01.test".to_owned(), v4: true, v6: true };
            book.want(Way::Servers(2), true, &[want], now);
            let mut sent = 0;
            let until = now + Duration::from_secs(20);
            while now < until && !book.names().all(|(.., settled)| settled) {
                for Ask { flight, to } in book.step(now, &mut chance) {
                    let To::Server { bytes, .. } = to else { panic!("the system is asked") };
                    sent += 1;
                    for _ in 0..chance() % 3 {
                        let mut answer = honest(&bytes, chance());
                        spoil(&mut answer, &mut chance);
                        book.heard(flight, &answer, now, &mut chance);
                    }
                    if chance().is_multiple_of(16) {
                        book.broken(flight, "gone".to_owned(), now, &mut chance);
                    }
                }
                now += Duration::from_millis(100);
            }
            assert!(book.names().all(|(.., settled)| settled), "round {round} does not end");
            assert!(sent < 200, "round {round}: {sent} messages");
        }
    }
}

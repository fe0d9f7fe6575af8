//! What must hold for any bytes at all: seeded, so that a failure can be seen again.

use std::time::Duration;

use super::message::{Question, Said, name_of};
use super::reply::{Reply, Rr, reply};
use super::tests::dice;
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
        let said = question.read(&bytes, chance().is_multiple_of(2));
        seen[match said {
            Err(_) => 0,
            Ok(Said::Addresses { addresses, .. }) => {
                assert!((1..=ADDRESSES_MAX).contains(&addresses.len()), "round {round}");
                assert!(addresses.is_sorted(), "round {round}");
                let fits = addresses.iter().all(|one| one.is_ipv4() == (family == Family::V4));
                assert!(fits, "round {round}");
                1
            }
            Ok(Said::Elsewhere { aliases, .. }) => {
                assert!((1..=8).contains(&aliases), "round {round}");
                2
            }
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

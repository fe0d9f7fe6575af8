//! What answers say, whole, in parts and spoilt.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use super::super::message::{Family, NotOurs, Question, Said, name_of};
use super::super::reply::{Reply, Rr, asked, reply};
use super::{NAME, a, code, dice, records, seconds, v4};

/// A question for `NAME`.
fn question(family: Family) -> Question {
    Question::new(&name_of(NAME).unwrap(), family, &mut dice(7))
}

#[track_caller]
fn check(said: &Reply<'_>, expected: &Said) {
    let question = question(Family::V4);
    let bytes = reply(&question.bytes(), said);
    assert_eq!(question.read(&bytes, true).as_ref(), Ok(expected), "{said:?}");
    // What stands in a part of it is never taken for the whole.
    for end in 0..bytes.len() {
        match question.read(&bytes[..end], true) {
            Err(NotOurs) | Ok(Said::Nonsense(_) | Said::Cannot(_)) => {}
            Ok(Said::Nothing { exists: false, ttl: None }) if said.code == 3 => {}
            other => panic!("{end} bytes of {said:?} say {other:?}"),
        }
    }
}

fn addresses(addresses: &[IpAddr], ttl: u64) -> Said {
    Said::Addresses { addresses: addresses.to_vec(), left_out: 0, ttl: seconds(ttl) }
}

const ENDLESS: Said = Said::Nonsense("its aliases do not end");

#[test]
fn answers_with_addresses() {
    check(&records(&[a(2, 60), a(1, 90), a(2, 70)]), &addresses(&[v4(1), v4(2)], 60));
    let alias = [
        Rr::Cname("b.test", 20, "c.test"),
        Rr::Cname(NAME, 30, "B.test"),
        Rr::A("C.test", 40, [10, 0, 0, 3]),
        // About another name.
        Rr::A("d.test", 1, [10, 0, 0, 4]),
        Rr::Aaaa("c.test", 1, [1; 16]),
    ];
    check(&records(&alias), &addresses(&[v4(3)], 20));
    // RFC 2181 section 8.
    check(&records(&[a(1, 0x8000_0000)]), &addresses(&[v4(1)], 0));
    let nobody = Said::Nonsense("its address is none that a server can be reached at");
    for address in [[0; 4], [255; 4], [224, 0, 0, 1]] {
        check(&records(&[Rr::A(NAME, 9, address)]), &nobody);
    }
    check(&records(&[Rr::A(NAME, 9, [0; 4]), a(1, 9)]), &addresses(&[v4(1)], 9));
    let question = question(Family::V6);
    let read = |address: &str| {
        let address: Ipv6Addr = address.parse().unwrap();
        let said = records(&[Rr::Aaaa(NAME, 9, address.octets())]);
        question.read(&reply(&question.bytes(), &said), true).unwrap()
    };
    for address in ["::", "ff02::1", "fe80::1", "::ffff:127.0.0.1"] {
        assert_eq!(read(address), nobody, "{address}");
    }
    assert_eq!(read("fd00::1"), addresses(&["fd00::1".parse().unwrap()], 9));
}

#[test]
fn answers_without_addresses() {
    let nothing = |exists, ttl: Option<u64>| Said::Nothing { exists, ttl: ttl.map(seconds) };
    let denied = Reply { code: 3, ..records(&[Rr::Soa(300, 20)]) };
    check(&denied, &nothing(false, Some(20)));
    check(&code(3), &nothing(false, None));
    check(&records(&[Rr::Soa(10, 900)]), &nothing(true, Some(10)));
    check(&records(&[Rr::Cname(NAME, 5, "b.test"), Rr::Soa(10, 900)]), &nothing(true, Some(10)));
    check(&code(2), &Said::Cannot(2));
    check(&code(5), &Said::Cannot(5));
}

/// An answer to another question says nothing about this one.
#[test]
fn addresses_of_other_names() {
    let question = question(Family::V4);
    let other = records(&[Rr::A("other.test", 9, [10, 0, 0, 9]), Rr::Aaaa(NAME, 9, [1; 16])]);
    let nothing = Said::Nothing { exists: true, ttl: None };
    assert_eq!(question.read(&reply(&question.bytes(), &other), true), Ok(nothing));
}

#[test]
fn chains_of_aliases() {
    let names: Vec<String> = (0..40).map(|number| format!("n{number}.test")).collect();
    let chain = |length: usize| -> Vec<Rr<'_>> {
        let links = (0..length).map(|at| {
            let owner = if at == 0 { NAME } else { names[at].as_str() };
            Rr::Cname(owner, 9, &names[at + 1])
        });
        links.collect()
    };
    let question = question(Family::V4);
    let read = |records: Vec<Rr<'_>>| {
        let said = Reply { records, ..Reply::default() };
        question.read(&reply(&question.bytes(), &said), true).unwrap()
    };
    for (length, last) in names.iter().enumerate().take(39).skip(1) {
        let mut all = chain(length);
        all.push(Rr::A(last, 5, [10, 0, 0, 1]));
        let expected = if length <= 8 { addresses(&[v4(1)], 5) } else { ENDLESS };
        assert_eq!(read(all), expected, "{length}");
        match read(chain(length)) {
            Said::Elsewhere { name, aliases, .. } => {
                assert_eq!((name.to_string(), aliases), (last.clone(), length));
            }
            said => assert!(length > 8 && said == ENDLESS, "{length}: {said:?}"),
        }
    }
    assert_eq!(read(vec![Rr::Cname(NAME, 9, NAME)]), ENDLESS);
    let ring = vec![Rr::Cname(NAME, 9, "b.test"), Rr::Cname("b.test", 9, NAME)];
    assert_eq!(read(ring), ENDLESS);
}

#[test]
fn more_addresses_than_a_name_may_have() {
    let question = question(Family::V4);
    let address = |number: u16| [10, 1, (number >> 8) as u8, number as u8];
    let all = (0..2000).rev().map(|number| Rr::A(NAME, 9, address(number))).collect();
    let said = Reply { records: all, ..Reply::default() };
    let bytes = reply(&question.bytes(), &said);
    let Ok(Said::Addresses { addresses, left_out, .. }) = question.read(&bytes, true) else {
        panic!("it is not read");
    };
    // Always the same ones, in whatever order they come.
    let expected: Vec<IpAddr> = (0..32).map(|number| IpAddr::from(address(number))).collect();
    assert_eq!((addresses, left_out), (expected, 1968));
    // Over UDP it is longer than anybody asked for.
    assert_eq!(question.read(&bytes, false), Ok(Said::Cut));
}

/// Spoils an answer.
type Change<'c> = &'c dyn Fn(&mut Vec<u8>);

#[test]
fn messages_that_answer_something_else() {
    let question = question(Family::V4);
    let good = reply(&question.bytes(), &records(&[a(1, 60)]));
    let read = |change: Change<'_>, tcp| {
        let mut bytes = good.clone();
        change(&mut bytes);
        question.read(&bytes, tcp)
    };
    for tcp in [false, true] {
        assert_eq!(read(&|_| {}, tcp), Ok(addresses(&[v4(1)], 60)));
        let not_ours: [Change<'_>; 6] = [
            &|bytes| bytes[0] ^= 1,          // another number
            &|bytes| bytes[2] ^= 0x80,       // a question
            &|bytes| bytes[2] ^= 0x08,       // another operation
            &|bytes| bytes[5] = 2,           // two questions
            &|bytes| bytes[13] = b'g',       // another name
            &|bytes| bytes[12 + 12] ^= 0x0f, // another type
        ];
        for (place, change) in not_ours.iter().enumerate() {
            assert_eq!(read(change, tcp), Err(NotOurs), "{place}");
        }
    }
    assert_eq!(question.bytes()[12 + 12], 1, "the type stands where it was changed");
    // Forged from aside, or by a name server that does not repeat letters: TCP tells.
    let letters: Change<'_> = &|bytes| bytes[13] ^= 0x20;
    assert_eq!(read(letters, false), Ok(Said::Cut));
    assert_eq!(read(letters, true), Ok(addresses(&[v4(1)], 60)));
    let cut: Change<'_> = &|bytes| bytes[2] |= 0x02;
    assert_eq!(read(cut, false), Ok(Said::Cut));
}

#[test]
fn pointers_that_go_round() {
    let question = question(Family::V4);
    let good = reply(&question.bytes(), &records(&[a(1, 60)]));
    let record = question.bytes().len();
    for target in 0..good.len() as u16 + 4 {
        let mut bytes = good.clone();
        bytes.splice(record..record + 11, (0xc000 | target).to_be_bytes());
        let said = question.read(&bytes, true).unwrap();
        if target == 12 {
            assert_eq!(said, addresses(&[v4(1)], 60), "the question's own name");
        } else if usize::from(target) >= record {
            assert_eq!(said, Said::Nonsense("the message is garbled"), "{target}");
        } else {
            assert!(!matches!(said, Said::Addresses { .. }), "{target}: {said:?}");
        }
    }
    let mut bytes = good;
    bytes.splice(12..record - 4, [0xc0, 12]);
    assert_eq!(question.read(&bytes, true), Err(NotOurs));
}

#[test]
fn letters_and_numbers_are_anybodys_guess() {
    let name = name_of("webext.contoso.com").unwrap();
    let mut chance = dice(1);
    let sent: BTreeSet<Vec<u8>> =
        (0..200).map(|_| Question::new(&name, Family::V6, &mut chance).bytes()).collect();
    assert!(sent.len() > 195);
    let letters: BTreeSet<&[u8]> = sent.iter().map(|bytes| &bytes[12..]).collect();
    assert!(letters.len() > 150);
    for bytes in &sent {
        assert_eq!(asked(bytes), ("webext.contoso.com".to_owned(), 28));
    }
    for wrong in ["", "a..b", "a b", "a\\046b", &"x".repeat(64), &"abcdefg.".repeat(40)] {
        assert_eq!(name_of(wrong), None, "{wrong}");
    }
}

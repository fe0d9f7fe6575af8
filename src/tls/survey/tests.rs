//! Greetings and answers: byte by byte, and against the library as the server.

use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::*;
use crate::tls::Authorities;
use crate::tls::profile::provider;

const DAY: i64 = 86_400;
const YEAR_2030: i64 = 1_893_456_000;

fn pair() -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut params = CertificateParams::new(["a.test".to_owned(), "10.0.0.1".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2029, 1, 1);
    params.not_after = rcgen::date_time_ymd(2031, 1, 1);
    params.distinguished_name.push(rcgen::DnType::CommonName, "the \u{1b}[31mserver");
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap().der().clone();
    (own, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

/// What the library's server answers to a greeting.
fn answer(hello: &[u8]) -> Vec<u8> {
    let (own, key) = pair();
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(rustls::ALL_VERSIONS).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![own], key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    server.read_tls(&mut &hello[..]).unwrap();
    // What it says about a greeting that it refuses is read below.
    let _ = server.process_new_packets();
    let mut out = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut out).unwrap();
    }
    out
}

fn offer(version: Version, suites: &[u16]) -> Vec<u8> {
    client_hello(&Offer {
        version,
        suites,
        server_name: Some("a.test"),
        protocols: &["h2", "http/1.1"],
        random: [7; 32],
    })
}

#[track_caller]
fn taken(bytes: &[u8]) -> Reply {
    match read_flight(bytes) {
        Some(Outcome::Taken(reply)) => *reply,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_library_takes_our_greetings() {
    let reply = taken(&answer(&offer(Version::Tls12, &suites_of(Kind::Modern))));
    assert_eq!((reply.version, reply.suite), (0x0303, 0xc02b));
    assert_eq!(reply.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!((reply.curve, reply.scheme), (Some(0x001d), Some(0x0403)));
    assert_eq!(reply.chain.len(), 1);
    let reply = taken(&answer(&offer(Version::Tls13, &suites_of(Kind::New))));
    assert_eq!((reply.version, reply.suite), (0x0304, 0x1301));
    assert!(reply.chain.is_empty());
    for (version, kind, alert) in [
        (Version::Tls12, Kind::Cbc, "handshake_failure"),
        (Version::Tls12, Kind::RsaExchange, "handshake_failure"),
        (Version::Tls11, Kind::Modern, "handshake_failure"),
        (Version::Tls10, Kind::Modern, "handshake_failure"),
    ] {
        let said = read_flight(&answer(&offer(version, &suites_of(kind))));
        let Some(Outcome::Alert(number)) = said else { panic!("{version:?} {kind:?}: {said:?}") };
        assert_eq!(alert_name(number), alert, "{version:?} {kind:?}");
    }
}

/// Nothing is decided before the last byte is there, and the same whatever follows.
#[test]
fn an_answer_in_pieces() {
    let whole = answer(&offer(Version::Tls12, &suites_of(Kind::Modern)));
    for end in 0..whole.len() {
        assert_eq!(read_flight(&whole[..end]), None, "{end} of {}", whole.len());
    }
    let mut more = whole.clone();
    more.extend(*b"whatever");
    assert_eq!(read_flight(&more), read_flight(&whole));
    fuzz_flight(&more);
}

#[test]
fn what_is_no_answer() {
    let check = |bytes: &[u8], expected: Option<Outcome>| {
        assert_eq!(read_flight(bytes), expected, "{}", bytes.escape_ascii());
    };
    check(b"", None);
    check(b"HTTP/1.1 400 Bad\r\n", Some(Outcome::NotTls(b"HTTP/1.1 400 Bad\r\n".to_vec())));
    check(b"\x16\x04\x01", Some(Outcome::NotTls(b"\x16\x04\x01".to_vec())));
    check(b"\x15\x03\x01\0\x02\x02\x46", Some(Outcome::Alert(70)));
    // A warning about the name is no refusal.
    check(b"\x15\x03\x01\0\x02\x01\x70", None);
    check(b"\x15\x03\x01\0\x02\x02\x70", Some(Outcome::Alert(112)));
    check(b"\x15\x03\x01\0\x01\x02", Some(Outcome::Malformed("an alert of another length")));
    check(b"\x16\x03\x01\0\0", Some(Outcome::Malformed("an empty record")));
    check(b"\x16\x03\x01\xff\xff", Some(Outcome::Malformed("a record that is too long")));
    let early = Outcome::Malformed("something else before its ServerHello");
    check(b"\x16\x03\x01\0\x04\x0b\0\0\0", Some(early));
    let broken = Outcome::Malformed("a ServerHello that cannot be read");
    check(b"\x16\x03\x01\0\x06\x02\0\0\x02\x03\x03", Some(broken));
    let endless = [&b"\x16\x03\x01\x40\0"[..], &[0; 0x4000]].concat().repeat(9);
    check(&endless, Some(Outcome::Malformed("a greeting without an end")));
}

/// A name that does not fit is not sent, and lengths stay right.
#[test]
fn names_that_are_sent() {
    let length = |name: Option<&str>| {
        let hello = client_hello(&Offer {
            version: Version::Tls12,
            suites: &[0xc02f],
            server_name: name,
            protocols: &[],
            random: [0; 32],
        });
        let told = usize::from(hello[3]) << 8 | usize::from(hello[4]);
        assert_eq!(told + 5, hello.len(), "{name:?}");
        hello.len()
    };
    let none = length(None);
    let long = "a".repeat(256);
    for name in ["", "10.0.0.1", "::1", "[::1]", &long] {
        assert_eq!(length(Some(name)), none, "{name}");
    }
    assert_eq!(length(Some("a.test")), none + 9 + 6);
}

#[test]
fn what_a_certificate_says() {
    let (own, _) = pair();
    let paper = describe(&own).unwrap();
    assert_eq!(paper.names, ["a.test", "10.0.0.1"]);
    for (name, covered) in
        [("a.test", true), ("A.test", true), ("x.a.test", false), ("10.0.0.1", true)]
    {
        assert_eq!(paper.covers(name), covered, "{name}");
    }
    let wild = Paper { names: vec!["*.a.test".to_owned()], ..paper.clone() };
    for (name, covered) in [("a.test", false), ("x.a.test", true), ("y.x.a.test", false)] {
        assert_eq!(wild.covers(name), covered, "{name}");
    }
    // A terminal does not obey it.
    assert_eq!(paper.common_name, "the \\u{1b}[31mserver");
    assert_eq!((paper.key.clone(), paper.hash.as_str()), (Key::Ec(256), "SHA-256"));
    assert!(paper.is_own_issuer && !paper.is_authority);
    assert_eq!(paper.thumbprint.len(), 20);
    assert_eq!(describe(b"\x30\x03\x02\x01\x01"), None);
    assert_eq!(plain(&"x".repeat(1_000)).len(), 123);
}

#[test]
fn whether_it_would_be_trusted() {
    let (own, _) = pair();
    let (other, _) = pair();
    let pin = describe(&own).unwrap().pin;
    let itself = Authorities::these(std::slice::from_ref(&own)).unwrap();
    let nobody = Authorities::default();
    let check = |trust: (&Authorities, &[[u8; 32]]), name: &str, now: i64, expected: &str| {
        let judged = vouch(trust, name, std::slice::from_ref(&own), now);
        let judged = judged.map_or_else(|why| format!("{why:?}"), |()| "yes".to_owned());
        assert_eq!(judged, expected, "{name} at {now}");
    };
    check((&itself, &[]), "a.test", YEAR_2030, "yes");
    check((&itself, &[]), "10.0.0.1", YEAR_2030, "yes");
    check((&nobody, &[pin]), "a.test", YEAR_2030, "yes");
    check((&nobody, &[]), "a.test", YEAR_2030, "UnknownIssuer");
    check((&nobody, &[describe(&other).unwrap().pin]), "a.test", YEAR_2030, "OtherKey");
    check((&itself, &[]), "b.test", YEAR_2030, "WrongName");
    check((&itself, &[]), "a.test", YEAR_2030 + 400 * DAY, "Expired");
    check((&nobody, &[pin]), "a.test", YEAR_2030 - 400 * DAY, "NotYetValid");
}

#[test]
fn suites_have_one_place_each() {
    let mut numbers: Vec<u16> = SUITES.iter().map(|suite| suite.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), SUITES.len());
    assert_eq!(suite_name(0xc027), "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 (0xC027)");
    assert_eq!(suite_name(0xfefe), "0xFEFE");
    // The profile's order: what costs least first.
    assert_eq!(suites_of(Kind::Cbc), [0xc027, 0xc014, 0xc013, 0xc028]);
}

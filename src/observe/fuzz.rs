//! What must hold for any record at all.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Format, Record, TEXT_BYTES_MAX, Text};

/// All texts, in their order, with the names that JSON gives them.
const TEXTS: [(Text, &str); 9] = [
    (Text::Method, "method"),
    (Text::Host, "host"),
    (Text::Path, "path"),
    (Text::Query, "query"),
    (Text::Referer, "referer"),
    (Text::UserAgent, "user_agent"),
    (Text::Site, "site"),
    (Text::Rule, "rule"),
    (Text::Server, "server"),
];

/// Bytes of a line beside its texts.
const LINE_BYTES_MAX: usize = 640;

/// Whatever stands in a record, its line is one line of printable ASCII and of bounded length, and
/// reads back as what was noted. `input` has a byte that chooses, numbers, and then texts, each with
/// its length before it.
pub fn fuzz_record(input: &[u8]) {
    let mut rest = input;
    let mut byte = || {
        let (first, after) = rest.split_first().unwrap_or((&0, &[]));
        rest = after;
        *first
    };
    let choice = byte();
    let mut number = |bytes: u32| (0..bytes).fold(0, |sum, _| sum << 8 | u64::from(byte()));
    let (id, wall_micros, total_micros) = (number(8), number(8), number(4));
    let status = u16::try_from(number(2) % 1000).unwrap_or_default();
    let client: IpAddr = if choice & 1 == 0 {
        Ipv4Addr::from_bits(number(4) as u32).into()
    } else {
        Ipv6Addr::from_bits(u128::from(number(8)) << 64 | u128::from(number(8))).into()
    };
    let mut record = Record::with_room();
    record.id = id;
    record.wall_micros = wall_micros;
    record.total_micros = total_micros;
    record.status = status;
    record.client = SocketAddr::new(client, 443);
    record.tls = choice & 2 != 0;
    record.http11 = choice & 4 != 0;
    record.failure = (choice & 8 != 0).then_some(("client_left", "client"));
    let scale = if choice & 16 == 0 { 1 } else { 64 };
    let mut noted = Vec::new();
    for (which, name) in TEXTS {
        let Some((length, after)) = rest.split_first() else { break };
        let (text, after) = after.split_at((usize::from(*length) * scale).min(after.len()));
        rest = after;
        // Texts that were not there are not noted at all.
        if *length > 0 {
            record.note(which, text);
            noted.push((which, name, text.get(..TEXT_BYTES_MAX).unwrap_or(text)));
        }
    }
    for (which, name) in TEXTS {
        let text =
            noted.iter().find(|(noted, ..)| *noted == which).map_or(&[][..], |(.., text)| text);
        assert_eq!(record.text(which), text, "{name}");
    }
    judge_json(&record, &noted);
    judge_combined(&record);
    record.recycle();
    assert_eq!(line(&record, Format::Json), line(&Record::default(), Format::Json), "forgets");
}

fn line(record: &Record, format: Format) -> String {
    let mut line = b"before".to_vec();
    record.write(format, &mut line);
    let line = line.strip_prefix(b"before").unwrap_or_else(|| panic!("others' lines are kept"));
    let text = line.strip_suffix(b"\n").unwrap_or_else(|| panic!("a line ends"));
    let printable = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
    assert!(printable, "{}", text.escape_ascii());
    let texts: usize = TEXTS.iter().map(|(which, _)| record.text(*which).len()).sum();
    assert!(line.len() <= LINE_BYTES_MAX + 6 * texts, "{} bytes", line.len());
    String::from_utf8_lossy(text).into_owned()
}

/// Each byte as the character of its number, which is what the escapes say.
fn characters(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn judge_json(record: &Record, noted: &[(Text, &str, &[u8])]) {
    let line = line(record, Format::Json);
    let read: serde_json::Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for (_, name, text) in noted.iter().filter(|(.., text)| !text.is_empty()) {
        assert_eq!(read[*name].as_str(), Some(&*characters(text)), "{line}");
    }
    let texts = TEXTS.iter().filter(|(_, name)| read.get(name).is_some()).count();
    assert_eq!(texts, noted.iter().filter(|(.., text)| !text.is_empty()).count(), "{line}");
    assert_eq!(read["id"].as_str(), Some(&*format!("{:016x}", record.id)), "{line}");
    assert_eq!(read["status"].as_u64(), Some(record.status.into()), "{line}");
    assert_eq!(read["total_us"].as_u64(), Some(record.total_micros), "{line}");
    assert_eq!(read["tls"].as_bool(), Some(record.tls), "{line}");
    let client = read["client"].as_str().and_then(|text| text.parse::<IpAddr>().ok());
    assert_eq!(client, Some(record.client.ip().to_canonical()), "{line}");
    let failure = read["failure"].as_str().zip(read["fault_of"].as_str());
    assert_eq!(failure, record.failure, "{line}");
    // Until the year 9999, which is as far as dates go.
    if record.wall_micros < 253_402_207_200_000_000 {
        let time = read["time"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let micros = time.map(|time| time.as_microsecond());
        assert_eq!(micros, i64::try_from(record.wall_micros).ok(), "{line}");
    }
}

fn judge_combined(record: &Record) {
    let line = line(record, Format::Combined);
    let parts: Vec<&str> = line.split('"').collect();
    let [before, request, numbers, referer, between, agent, after] = parts[..] else {
        panic!("{} quotes: {line}", parts.len() - 1);
    };
    assert_eq!((between, after), (" ", ""), "{line}");
    assert!(before.starts_with(&record.client.ip().to_canonical().to_string()), "{line}");
    assert_eq!(numbers, format!(" {} {} ", record.status, record.bytes_out), "{line}");
    let query = record.text(Text::Query);
    let expected = [
        record.text(Text::Method),
        b" ",
        record.text(Text::Path),
        if query.is_empty() { b"" } else { b"?" },
        query,
        if record.http11 { b" HTTP/1.1" } else { b" HTTP/1.0" },
    ];
    assert_eq!(unescaped(request), characters(&expected.concat()), "{line}");
    for (shown, which) in [(referer, Text::Referer), (agent, Text::UserAgent)] {
        let text = record.text(which);
        let text = if text.is_empty() { b"-" } else { text };
        assert_eq!(unescaped(shown), characters(text), "{line}");
    }
}

/// What JSON makes of the same escapes.
fn unescaped(text: &str) -> String {
    serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|error| panic!("{error}: {text}"))
}

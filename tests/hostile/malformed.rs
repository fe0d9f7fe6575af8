//! What is refused is answered and ends its connection, and nothing of it, nor anything behind it,
//! is ever a request to a server.

use super::answer::{Got, Wire};
use super::stage::{Door, Neighbour, Stage};
use super::tables;

const HEAD: &[u8] = b"POST /case HTTP/1.1\r\nHost: a.test\r\n";

/// A hostile start of a connection and the statuses that may answer it.
struct Refused {
    bytes: Vec<u8>,
    statuses: &'static [u16],
}

/// Every table, each piece in its place.
fn cases() -> Vec<Refused> {
    let mut cases = Vec::new();
    let mut add = |before: &[u8], table: &[tables::Case], after: &[u8]| {
        for (piece, statuses) in table {
            cases.push(Refused { bytes: [before, piece, after].concat(), statuses });
        }
    };
    add(b"", tables::LINES, b"\r\nHost: a.test\r\n\r\n");
    add(b"GET /case HTTP/1.1\r\n", tables::HOSTS, b"\r\n\r\n");
    add(HEAD, tables::FIELDS, b"\r\n\r\n");
    add(HEAD, tables::LENGTHS, b"\r\n\r\nhello");
    add(&[HEAD, b"Transfer-Encoding: chunked\r\n\r\n"].concat(), tables::CHUNKS, b"");
    add(b"", tables::WHOLE, b"");
    cases.extend(too_much());
    cases
}

/// One more of everything than fits.
fn too_much() -> Vec<Refused> {
    let end = "\r\n\r\n";
    let start = "GET / HTTP/1.1\r\nHost: a.test\r\n";
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = |bytes: usize| "x".repeat(bytes);
    let options = "x,".repeat(33);
    let cases: [(String, &[u16]); 13] = [
        (format!("{} / HTTP/1.1\r\nHost: a.test{end}", long(65)), &[400, 501]),
        (format!("{} / HTTP/1.1\r\nHost: a.test{end}", long(70_000)), &[400, 501]),
        (format!("GET /{} HTTP/1.1\r\nHost: a.test{end}", long(16_384)), &[414]),
        (format!("GET /{} HTTP/1.1\r\nHost: a.test{end}", long(70_000)), &[414]),
        (format!("{start}X: {}{end}", long(16_382)), &[431]),
        (format!("{start}X: {}{end}", long(70_000)), &[431]),
        (format!("{start}{}: y{end}", long(16_384)), &[431]),
        (format!("{start}{}\r\n", format!("X: {}\r\n", long(8_000)).repeat(5)), &[431]),
        (format!("{start}{}\r\n", "X: y\r\n".repeat(128)), &[431]),
        (format!("{start}Connection: {options}{end}"), &[400]),
        (format!("{chunked}5;{}\r\nhello\r\n0{end}", long(4_096)), &[400]),
        (format!("{chunked}0\r\nX: {}{end}", long(8_192)), &[400, 431]),
        (format!("{chunked}0\r\n{}\r\n", "X: y\r\n".repeat(33)), &[400, 431]),
    ];
    let refused = |(text, statuses): (String, _)| Refused { bytes: text.into_bytes(), statuses };
    cases.into_iter().map(refused).collect()
}

/// A request that must never be read as one, since it stands behind something refused.
fn marker(number: usize) -> Vec<u8> {
    format!("GET /marker-{number} HTTP/1.1\r\nHost: a.test\r\n\r\n").into_bytes()
}

/// Complaints of one test, all of them.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn add(&mut self, door: &Door, bytes: &[u8], what: &str) {
        let shown = &bytes[..bytes.len().min(600)];
        let check = if door.raw { "raw" } else { "strict" };
        self.0.push(format!("{} ({check}): {what}: {}", door.server, shown.escape_ascii()));
    }

    #[track_caller]
    fn none(&self) {
        assert!(self.0.is_empty(), "{} complaints:\n{}", self.0.len(), self.0.join("\n"));
    }
}

/// What is wrong with how a refused start of a connection was answered.
fn judge_refusal(wire: &mut Wire, statuses: &[u16]) -> Option<String> {
    match wire.answer(false) {
        Got::Answer(answer) if answer.is_own() && statuses.contains(&answer.status) => {
            if !answer.closes() {
                return Some("the answer does not say that the connection ends".to_owned());
            }
        }
        other => return Some(format!("{} instead of one of {statuses:?}", other.words())),
    }
    match wire.answer(false) {
        Got::End => None,
        other => Some(format!("behind the answer came {}", other.words())),
    }
}

/// The neighbour is served, and the collector has read its request and no other.
fn judge_neighbour(stage: &Stage, neighbour: &mut Neighbour) -> Option<String> {
    let asked = match neighbour.ask() {
        Ok(asked) => asked,
        Err(what) => return Some(what),
    };
    let read = stage.servers.collector.take();
    (read != [asked]).then(|| format!("the server read {read:?}"))
}

#[test]
fn refused_and_nothing_behind_it_is_read() {
    let mut stage = Stage::set("malformed");
    let cases = cases();
    assert!(cases.len() >= 250, "{} cases", cases.len());
    let mut complaints = Complaints::default();
    for door in &stage.doors {
        let mut neighbour = Neighbour::open(door);
        stage.servers.collector.take();
        for (number, case) in cases.iter().enumerate() {
            let mut wire = Wire::open(door.port);
            wire.send(&[case.bytes.as_slice(), &marker(number)].concat());
            let judged = judge_refusal(&mut wire, case.statuses)
                .or_else(|| judge_neighbour(&stage, &mut neighbour));
            if let Some(what) = judged {
                complaints.add(door, &case.bytes, &what);
                // It may be the neighbour that is broken.
                neighbour = Neighbour::open(door);
                stage.servers.collector.take();
            }
        }
    }
    stage.gatehouse.assert_well();
    complaints.none();
    eprintln!("{} refused starts at {} doors", cases.len(), stage.doors.len());
}

#[test]
fn refused_in_two_pieces() {
    let mut stage = Stage::set("pieces");
    let mut complaints = Complaints::default();
    let short = cases().into_iter().filter(|case| case.bytes.len() < 100);
    let sample: Vec<Refused> = short.step_by(9).collect();
    let mut splits = 0;
    for door in stage.doors.iter().filter(|door| door.raw) {
        let mut neighbour = Neighbour::open(door);
        stage.servers.collector.take();
        for case in &sample {
            let whole = [case.bytes.as_slice(), &marker(0)].concat();
            for cut in 1..case.bytes.len() {
                let mut wire = Wire::open(door.port);
                wire.send(&whole[..cut]);
                // While the neighbour is served, the first piece is read.
                let judged = judge_neighbour(&stage, &mut neighbour).or_else(|| {
                    wire.send(&whole[cut..]);
                    judge_refusal(&mut wire, case.statuses)
                });
                splits += 1;
                if let Some(what) = judged {
                    complaints.add(door, &case.bytes, &format!("cut at {cut}: {what}"));
                    neighbour = Neighbour::open(door);
                    stage.servers.collector.take();
                }
            }
        }
        if let Some(what) = judge_neighbour(&stage, &mut neighbour) {
            complaints.add(door, b"", &what);
        }
    }
    stage.gatehouse.assert_well();
    complaints.none();
    eprintln!("{} refused starts in {splits} splits", sample.len());
}

#[test]
fn unfinished_requests_are_no_requests() {
    let mut stage = Stage::set("unfinished");
    let mut complaints = Complaints::default();
    for door in &stage.doors {
        let mut neighbour = Neighbour::open(door);
        stage.servers.collector.take();
        for bytes in tables::UNFINISHED {
            let mut wire = Wire::open(door.port);
            wire.send(bytes);
            wire.finish();
            let judged = match wire.answer(false) {
                Got::End => None,
                Got::Answer(answer) if (400..500).contains(&answer.status) => None,
                other => Some(format!("it was answered by {}", other.words())),
            };
            let judged = judged.or_else(|| judge_neighbour(&stage, &mut neighbour));
            if let Some(what) = judged {
                complaints.add(door, bytes, &what);
                neighbour = Neighbour::open(door);
                stage.servers.collector.take();
            }
        }
    }
    stage.gatehouse.assert_well();
    complaints.none();
}

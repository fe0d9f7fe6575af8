//! Requests that are odd but right: they are forwarded, and both servers read what was meant.

use super::answer::{Got, Wire};
use super::collector::Seen;
use super::proper_cases;
use super::stage::{Neighbour, Stage};

/// Who need not take it: what a server is free to refuse, this one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum But {
    /// Both read it.
    Nobody,
    /// nginx knows only methods of capital letters, `_` and `-`.
    Nginx,
    /// Only where paths are not judged it passes, and then a server may refuse it.
    Raw,
}

use But::{Nginx, Nobody, Raw};

/// What the client sends; method, target, Host and body as they are meant; exceptions.
pub(crate) type Case = (&'static str, [&'static str; 4], But);

/// The largest that pass.
fn made() -> Vec<(String, [String; 4])> {
    let long = |bytes: usize| "x".repeat(bytes);
    let meant = |method: &str, target: &str, body: &str| {
        [method.to_owned(), target.to_owned(), "a.test".to_owned(), body.to_owned()]
    };
    let start = "GET /big HTTP/1.1\r\nHost: a.test\r\n";
    let chunked = "POST /big HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let target = format!("/{}", long(16_383));
    let body = long(1_000_000);
    let method = "M".repeat(64);
    vec![
        (format!("{method} /big HTTP/1.1\r\nHost: a.test\r\n\r\n"), meant(&method, "/big", "")),
        (format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"), meant("GET", &target, "")),
        (format!("{start}X: {}\r\n\r\n", long(16_381)), meant("GET", "/big", "")),
        (format!("{start}{}\r\n", "X: y\r\n".repeat(127)), meant("GET", "/big", "")),
        (
            format!("{chunked}5;{}\r\nhello\r\n0\r\n\r\n", long(4_094)),
            meant("POST", "/big", "hello"),
        ),
        (format!("{chunked}0\r\n{}\r\n", "X: y\r\n".repeat(32)), meant("POST", "/big", "")),
        (
            format!("{chunked}{}0\r\n\r\n", "1\r\nx\r\n".repeat(5_000)),
            meant("POST", "/big", &long(5_000)),
        ),
        (format!("{chunked}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()), meant("POST", "/big", &body)),
        (
            format!(
                "POST /big HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
            meant("POST", "/big", &body),
        ),
    ]
}

fn all() -> Vec<(String, [String; 4], But)> {
    let written = proper_cases::CASES
        .iter()
        .map(|(sent, meant, but)| ((*sent).to_owned(), meant.map(str::to_owned), *but));
    written.chain(made().into_iter().map(|(sent, meant)| (sent, meant, Nobody))).collect()
}

/// Reads the answer to a case; whether the server has seen what was meant.
fn judge(
    wire: &mut Wire,
    [method, target, host, body]: &[String; 4],
    may_refuse: bool,
) -> Result<(), String> {
    let seen = Seen::new(method.as_bytes(), target.as_bytes(), host.as_bytes(), body.as_bytes());
    match wire.answer(method == "HEAD") {
        Got::Answer(answer) if answer.seen() == Some(seen.to_string()) => Ok(()),
        Got::Answer(answer) if may_refuse && !answer.is_own() => Ok(()),
        other => Err(format!("{} instead of [{seen}]", other.words())),
    }
}

#[test]
fn odd_but_right() {
    let mut stage = Stage::set("proper");
    let cases = all();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut complaints = Vec::new();
    for door in &stage.doors {
        let mut neighbour = Neighbour::open(door);
        for (sent, meant, but) in &cases {
            stage.servers.collector.take();
            let mut wire = Wire::open(door.port);
            wire.send(sent.as_bytes());
            let judged = if *but == Raw && !door.raw {
                match wire.answer(meant[0] == "HEAD") {
                    Got::Answer(answer) if answer.is_own() && answer.status == 400 => Ok(()),
                    other => Err(format!("{} though the path is judged", other.words())),
                }
            } else {
                let may_refuse = match but {
                    Nobody => false,
                    Nginx => door.server == "nginx",
                    Raw => true,
                };
                judge(&mut wire, meant, may_refuse)
            };
            let judged = judged.and_then(|()| {
                let asked = neighbour.ask()?;
                let read = stage.servers.collector.take();
                let fine = read.len() <= 2 && read.last() == Some(&asked);
                if fine { Ok(()) } else { Err(format!("the server read {read:?}")) }
            });
            if let Err(what) = judged {
                let shown = &sent.as_bytes()[..sent.len().min(200)];
                let what =
                    format!("{} raw {}: {}: {what}", door.server, door.raw, shown.escape_ascii());
                complaints.push(what.chars().take(900).collect::<String>());
                neighbour = Neighbour::open(door);
            }
        }
    }
    stage.gatehouse.assert_well();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
    eprintln!("{} odd but right requests at {} doors", cases.len(), stage.doors.len());
}

/// A request after which the connection goes on.
fn goes_on(sent: &str, meant: &[String; 4]) -> bool {
    let lower = sent.to_ascii_lowercase();
    sent.contains(" HTTP/1.1\r\n")
        && !lower.contains("connection: close")
        && !lower.contains("upgrade: websocket")
        && meant[3].len() < 10_000
}

#[test]
fn odd_but_right_one_behind_the_other() {
    let mut stage = Stage::set("pipeline");
    let cases = all();
    let line: Vec<_> =
        cases.iter().filter(|(sent, meant, but)| *but == Nobody && goes_on(sent, meant)).collect();
    for door in &stage.doors {
        let mut wire = Wire::open(door.port);
        for few in line.chunks(12) {
            let bytes: String = few.iter().map(|(sent, ..)| sent.as_str()).collect();
            wire.send(bytes.as_bytes());
            for (sent, meant, _) in few {
                let judged = judge(&mut wire, meant, false);
                let shown = &sent.as_bytes()[..sent.len().min(200)];
                assert_eq!(judged, Ok(()), "{}: {}", door.server, shown.escape_ascii());
            }
        }
    }
    stage.gatehouse.assert_well();
    eprintln!("{} requests on one connection", line.len());
}

//! Odd answers of servers: the client gets something strictly valid, or an answer of ours, or sees
//! that it did not get all; and the next client gets what it asked for.

use super::answer::{Got, Wire};
use super::odd_answers;
use super::origin::{Line, Origin, good};
use super::stage::{Gatehouse, free_port};

/// How the client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Get,
    Head,
    /// HTTP/1.0.
    Old,
    /// HTTP/1.0 that wants to go on.
    OldKeep,
    /// To switch to websocket.
    Upgrade,
}

impl Ask {
    fn request(self, target: &str) -> String {
        let method = if self == Self::Head { "HEAD" } else { "GET" };
        let (version, fields) = match self {
            Self::Get | Self::Head => ("1.1", ""),
            Self::Old => ("1.0", ""),
            Self::OldKeep => ("1.0", "Connection: keep-alive\r\n"),
            Self::Upgrade => (
                "1.1",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
            ),
        };
        format!("{method} {target} HTTP/{version}\r\nHost: a.test\r\n{fields}\r\n")
    }
}

use Ask::{Get, Head, Old, OldKeep, Upgrade};

/// What the client may get.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Due {
    /// An answer of ours with this status.
    Own(u16),
    /// It sees that something is missing, or an answer of ours.
    Cut,
    /// Exactly this status and this body.
    Whole(u16, &'static [u8]),
    /// The tunnel.
    Switch,
}

use Due::{Cut, Own, Switch, Whole};

/// What the server does behind its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Waits,
    Closes,
}

use Then::{Closes, Waits};

pub(crate) type Case = (Ask, &'static [u8], Then, Due);

/// One of everything more than fits, and bodies that are long.
fn made() -> Vec<(Ask, Vec<u8>, Then, Due)> {
    let long = |bytes: usize| "x".repeat(bytes);
    let end = "Content-Length: 0\r\n\r\n";
    let interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let cases = [
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n{end}", long(70_000)), Own(502)),
        (format!("HTTP/1.1 200 OK\r\n{}: y\r\n{end}", long(70_000)), Own(502)),
        (format!("HTTP/1.1 200 {}\r\n{end}", long(200_000)), Own(502)),
        (format!("HTTP/1.1 200 OK\r\n{}{end}", "X: y\r\n".repeat(300)), Own(502)),
        (
            format!("HTTP/1.1 200 OK\r\n{}{end}", format!("X: {}\r\n", long(9_000)).repeat(15)),
            Own(502),
        ),
        (format!("{}HTTP/1.1 200 OK\r\n{end}", interim.repeat(17)), Own(502)),
        (format!("{}HTTP/1.1 200 OK\r\n{end}", interim.repeat(16)), Whole(200, b"")),
        (format!("HTTP/1.1 200 OK\r\nX: {}\r\n{end}", long(60_000)), Whole(200, b"")),
        (format!("HTTP/1.1 200 OK\r\n{}{end}", "X: y\r\n".repeat(255)), Whole(200, b"")),
        (
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;{}\r\nhello\r\n0\r\n\r\n",
                long(5_000)
            ),
            Cut,
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n{}\r\n",
                "X: y\r\n".repeat(33)
            ),
            Cut,
        ),
    ];
    cases.into_iter().map(|(text, due)| (Get, text.into_bytes(), Waits, due)).collect()
}

/// All cases.
fn all() -> Vec<(Ask, Vec<u8>, Then, Due)> {
    let written = odd_answers::CASES
        .iter()
        .map(|(ask, bytes, then, due)| (*ask, bytes.to_vec(), *then, *due));
    written.chain(made()).collect()
}

/// An origin that knows the cases, and Gatehouse before it.
fn set(cases: &[(Ask, Vec<u8>, Then, Due)], test: &str) -> (Origin, Gatehouse, u16) {
    let line = |bytes: &Vec<u8>, then| Line { bytes: bytes.clone(), closes: then == Closes };
    let origin =
        Origin::start(cases.iter().map(|(_, bytes, then, _)| line(bytes, *then)).collect());
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile").join(test);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let port = free_port();
    let timeouts = "response_head = \"1s\"\nresponse_body_idle = \"1s\"";
    let gatehouse = Gatehouse::start(&folder, &[(port, origin.port, "raw")], timeouts);
    (origin, gatehouse, port)
}

/// Whether the client got what was due; what it got instead, if not.
fn judge(wire: &mut Wire, ask: Ask, due: Due) -> Result<(), String> {
    let got = wire.answer(ask == Head);
    let fine = match (&got, due) {
        (Got::Answer(answer), Own(status)) => {
            answer.status == status
                && answer.field("retry-after").is_some() == (status == 503)
                && (ask == Head || answer.body.starts_with(status.to_string().as_bytes()))
        }
        (Got::Answer(answer), Whole(status, body)) => {
            answer.status == status && answer.body == body
        }
        (Got::Answer(answer), Switch) => answer.status == 101,
        (Got::Answer(answer), Cut) => matches!(answer.status, 502..=504),
        (Got::Cut(_), Cut) => true,
        _ => false,
    };
    if !fine {
        let body = match &got {
            Got::Answer(answer) => answer.body.escape_ascii().to_string(),
            _ => String::new(),
        };
        return Err(format!("{due:?} was due, there was {} {body}", got.words()));
    }
    let Got::Answer(answer) = got else { return Ok(()) };
    // Nobody here waits for a 100, and HTTP/1.0 knows no interim answers at all.
    let old = matches!(ask, Old | OldKeep);
    if answer.interim.contains(&100) || (old && !answer.interim.is_empty()) {
        return Err(format!("before it came {:?}", answer.interim));
    }
    if matches!(due, Switch) {
        return Ok(());
    }
    // Nothing of a server's surplus follows: the next answer is that to the next request.
    wire.send(Get.request("/next").as_bytes());
    match wire.answer(false) {
        Got::Answer(next) if next.status == 200 && next.body == good("/next").as_bytes() => {
            let may_go_on = match ask {
                Old => false,
                OldKeep => answer.field("connection").is_some_and(|value| value == "keep-alive"),
                Get | Head | Upgrade => !answer.closes(),
            };
            if may_go_on {
                Ok(())
            } else {
                Err("it goes on though it said that it ends".to_owned())
            }
        }
        Got::End | Got::Cut(_) if ask == Old || ask == OldKeep || answer.closes() => Ok(()),
        other => Err(format!("the next answer on this connection was {}", other.words())),
    }
}

/// Another client is served, and by the answer to its own question.
fn judge_other(port: u16, number: usize) -> Result<(), String> {
    let mut other = Wire::open(port);
    let target = format!("/other-{number}");
    other.send(Get.request(&target).as_bytes());
    match other.answer(false) {
        Got::Answer(answer) if answer.status == 200 && answer.body == good(&target).as_bytes() => {
            Ok(())
        }
        Got::Answer(answer) => {
            Err(format!("another client got {} {}", answer.status, answer.body.escape_ascii()))
        }
        got => Err(format!("another client got {}", got.words())),
    }
}

#[test]
fn odd_answers() {
    let cases = all();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    let (_origin, mut gatehouse, port) = set(&cases, "answers");
    let mut complaints = Vec::new();
    for (number, (ask, bytes, then, due)) in cases.iter().enumerate() {
        let mut wire = Wire::open(port);
        wire.send(ask.request(&format!("/case-{number}")).as_bytes());
        let judged = judge(&mut wire, *ask, *due).and_then(|()| judge_other(port, number));
        if let Err(what) = judged {
            let shown = &bytes[..bytes.len().min(300)];
            complaints.push(format!("{ask:?} {then:?} {}: {what}", shown.escape_ascii()));
        }
    }
    gatehouse.assert_well();
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
    eprintln!("{} odd answers", cases.len());
}

#[test]
fn what_a_server_says_unasked_is_nobodys_answer() {
    let (origin, mut gatehouse, port) = set(&[], "unasked");
    let unasked: [&[u8]; 5] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"x",
        b"\r\n",
    ];
    let mut complaints = Vec::new();
    for (number, bytes) in unasked.iter().enumerate() {
        let mut first = Wire::open(port);
        for again in 0..20 {
            first.send(Get.request(&format!("/first-{again}")).as_bytes());
            let got = first.answer(false);
            let body = good(&format!("/first-{again}"));
            let fine = matches!(&got, Got::Answer(answer) if answer.body == body.as_bytes());
            assert!(fine, "{}", got.words());
            origin.blurt(bytes);
            if let Err(what) = judge_other(port, number) {
                complaints.push(format!("{} ({again}): {what}", bytes.escape_ascii()));
            }
        }
    }
    gatehouse.assert_well();
    origin.hang_up();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_server_that_hangs_up_between_requests_is_asked_again() {
    let (origin, mut gatehouse, port) = set(&[], "hang-up");
    for number in 0..50 {
        judge_other(port, number).expect("nothing is lost");
        origin.hang_up();
    }
    gatehouse.assert_well();
}

#[test]
fn a_refused_upgrade_is_an_answer_like_any_other() {
    let cases: [(Ask, Vec<u8>, Then, Due); 3] = [
        (
            Upgrade,
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
            Waits,
            Whole(200, b"hello"),
        ),
        (Upgrade, b"HTTP/1.1 426 x\r\nContent-Length: 0\r\n\r\n".to_vec(), Waits, Whole(426, b"")),
        // A log-in goes on over the connection on which it was asked for.
        (
            Upgrade,
            b"HTTP/1.1 401 x\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n".to_vec(),
            Waits,
            Whole(401, b""),
        ),
    ];
    let (_origin, mut gatehouse, port) = set(&cases, "upgrades");
    for (number, (ask, bytes, _, due)) in cases.iter().enumerate() {
        let mut wire = Wire::open(port);
        wire.send(ask.request(&format!("/case-{number}")).as_bytes());
        let judged = judge(&mut wire, *ask, *due);
        assert_eq!(judged, Ok(()), "{}", bytes.escape_ascii());
    }
    gatehouse.assert_well();
}

#[test]
fn what_follows_an_upgrade_that_is_not_answered_is_no_request() {
    let silent = (Upgrade, Vec::new(), Waits, Own(504));
    let (_origin, mut gatehouse, port) = set(&[silent], "early");
    let mut wire = Wire::open(port);
    wire.send(Upgrade.request("/case-0").as_bytes());
    // The head has been read and sent on when another client has been served.
    judge_other(port, 0).expect("another client is served");
    wire.send(Get.request("/hidden").as_bytes());
    let got = wire.answer(false);
    assert!(matches!(&got, Got::Answer(answer) if answer.status == 504), "{}", got.words());
    let got = wire.answer(false);
    assert!(matches!(got, Got::End | Got::Cut(_)), "{}", got.words());
    gatehouse.assert_well();
}

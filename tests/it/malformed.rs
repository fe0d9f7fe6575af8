//! Servers that do not speak HTTP. The client never gets a wrong answer that looks whole.

use crate::rig::{End, Gatehouse, Origin};

/// What the client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// An answer of ours with this status.
    Ours(u16),
    /// The beginning of the server's answer, then a reset; or a 502 of ours, where nothing had been
    /// passed on before it showed.
    Cut,
    /// The server's answer, whole; what came behind it goes nowhere.
    Whole,
}

use Seen::{Cut, Ours, Whole};

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// What the server says behind the request, whether it then closes, and what the client sees.
fn cases() -> Vec<(String, bool, Seen)> {
    let head = |fields: &str| format!("{OK}{fields}\r\n\r\n");
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let chunked = head("Transfer-Encoding: chunked");
    vec![
        // Where does it end?
        (head("Content-Length: 5\r\nContent-Length: 6") + "hello", false, Ours(502)),
        (head("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n", false, Ours(502)),
        (head("Content-Length: 5, 6") + "hello", false, Ours(502)),
        (head("Content-Length: -1"), false, Ours(502)),
        (head("Content-Length: +5") + "hello", false, Ours(502)),
        (head("Content-Length: 99999999999999999999"), false, Ours(502)),
        (head("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", false, Ours(502)),
        (head("Transfer-Encoding: chunked, chunked") + "0\r\n\r\n", false, Ours(502)),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), false, Ours(502)),
        (
            "HTTP/1.1 204 Done\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
            false,
            Ours(502),
        ),
        // Is it a head at all?
        (head("A: 1\r\n folded"), false, Ours(502)),
        (head("A : 1"), false, Ours(502)),
        (head("no colon"), false, Ours(502)),
        (head("A: \0"), false, Ours(502)),
        (format!("{OK}A: 1\nB: 2\r\n\r\n"), false, Ours(502)),
        (format!("\r\n{OK}\r\n"), false, Ours(502)),
        ("hello".into(), false, Ours(502)),
        ("HTTP/2 200 OK\r\n\r\n".into(), false, Ours(502)),
        ("HTTP/1.1 20 OK\r\n\r\n".into(), false, Ours(502)),
        ("HTTP/1.1 999 OK\r\n\r\n".into(), false, Ours(502)),
        ("HTTP/1.1  200 OK\r\n\r\n".into(), false, Ours(502)),
        (format!("{OK}A: {}\r\n\r\n", "x".repeat(70_000)), false, Ours(502)),
        (OK.to_owned() + &"A: 1\r\n".repeat(300) + "\r\n", false, Ours(502)),
        (OK.to_owned() + &format!("A: {}\r\n", "x".repeat(60_000)).repeat(3), false, Ours(502)),
        // Does it ever come?
        (hints.repeat(17) + OK + "\r\n", false, Ours(502)),
        (String::new(), true, Ours(503)),
        ("HTTP/1.1 2".into(), true, Ours(502)),
        (format!("{OK}Content-Length: 5\r\n"), true, Ours(502)),
        (hints.into(), true, Ours(503)),
        // Does it come whole?
        (head("Content-Length: 9") + "hello", true, Cut),
        (head("Content-Length: 9"), true, Cut),
        (chunked.clone(), true, Cut),
        (chunked.clone() + "5\r\nhello\r\n", true, Cut),
        (chunked.clone() + "5\r\nhello\r\n0\r\n", true, Cut),
        (chunked.clone() + "5\r\nhel", true, Cut),
        // Chunks that are none.
        (chunked.clone() + "5\r\nhello\r\nx\r\n\r\n", false, Cut),
        (chunked.clone() + "5\r\nhelloX\r\n0\r\n\r\n", false, Cut),
        (chunked.clone() + "5 \r\nhello\r\n0\r\n\r\n", false, Cut),
        (chunked.clone() + "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n", false, Cut),
        (chunked.clone() + "5\nhello\n0\n\n", false, Cut),
        (chunked + "0\r\nbad trailer\r\n\r\n", false, Cut),
        // More than there should be.
        (head("Content-Length: 5") + "helloHTTP/1.1 200 OK\r\n\r\n", false, Whole),
        (head("Transfer-Encoding: chunked") + "5\r\nhello\r\n0\r\n\r\nX", false, Whole),
        ("HTTP/1.1 204 Done\r\n\r\nhello".into(), false, Whole),
        ("HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\nhello".into(), false, Whole),
    ]
}

#[test]
fn whatever_a_server_says() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for secure in [false, true] {
        for (sent, closes, seen) in cases() {
            let shown: String = sent.chars().take(300).collect();
            println!("{seen:?} of {shown:?}");
            let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
            client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
            let mut server = origin.accept();
            server.head();
            server.send(&sent);
            if closes {
                server.end();
            }
            match seen {
                Ours(status) => {
                    let mut answer = client.answer();
                    while answer.status() < 200 {
                        answer = client.answer();
                    }
                    assert_eq!(answer.status(), status);
                    assert!(answer.text().contains("\nRequest "), "{answer:?}");
                }
                Cut => {
                    let head = client.head_or_end();
                    if head.starts_with("HTTP/1.1 502 ") {
                        server.expect_end();
                        continue;
                    }
                    let (rest, end) = client.rest();
                    let rest = head + &String::from_utf8(rest).unwrap();
                    assert!(rest.is_empty() || rest.starts_with(OK), "{rest}");
                    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
                    assert_eq!(end, End::Reset, "{rest}");
                }
                Whole => {
                    let answer = client.answer();
                    assert!(["hello", ""].contains(&answer.text().as_str()));
                    // The next request goes to another connection.
                    client.send("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    let mut next = origin.accept();
                    assert!(next.head().starts_with("GET /next "));
                    next.send(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnext",
                    );
                    assert_eq!(client.answer().text(), "next");
                }
            }
            server.expect_end();
        }
    }
}

/// An HTTP/1.0 client finds the end by the close alone; an answer that is cut must not close so.
#[test]
fn an_old_client_does_not_take_half_for_whole() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for (body, end) in [("5\r\nhello\r\n", End::Reset), ("5\r\nhello\r\n0\r\n\r\n", End::Closed)] {
        let mut client = gatehouse.client();
        client.send("GET /x HTTP/1.0\r\nHost: a.test\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        server.send(format!("{OK}Transfer-Encoding: chunked\r\n\r\n{body}"));
        client.head();
        client.expect("hello");
        server.end();
        assert_eq!(client.expect_end(), end, "{body}");
    }
}

#[test]
fn servers_that_say_nothing_more_are_given_up() {
    let origin = Origin::new();
    let limits = "[timeouts]\nresponse_head = \"300ms\"\nresponse_body_idle = \"300ms\"\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], limits);
    for (sent, seen) in [
        ("", Ours(504)),
        ("HTTP/1.1 200 OK\r\nContent-Le", Ours(504)),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", Cut),
    ] {
        let mut client = gatehouse.client();
        client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        server.send(sent);
        match seen {
            Ours(status) => assert_eq!(client.answer().status(), status),
            _ => assert_eq!(client.rest().1, End::Reset),
        }
        server.expect_end();
    }
}

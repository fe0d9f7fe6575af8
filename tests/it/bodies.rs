//! Where bodies end, on both sides and in both versions, and that requests follow each other.

use crate::rig::{End, Gatehouse, Kind, Origin, leaf};

const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// A request line, what the server answers (`|`: Date), whether it then closes, and what the
/// client gets (`|` again).
struct Case(&'static str, &'static str, bool, &'static str);

const ANSWERS: &[Case] = &[
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.1 200 OK\r\n|Content-Length: 5\r\n\r\nhello",
        false,
        "HTTP/1.1 200 OK\r\n|Content-Length: 5\r\n\r\nhello",
    ),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
        false,
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
        false,
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.1 200 OK\r\n|\r\nhello",
        true,
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.0 200 OK\r\n|\r\nhello",
        true,
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.0 200 OK\r\n|Content-Length: 5\r\n\r\nhello",
        true,
        "HTTP/1.1 200 OK\r\n|Content-Length: 5\r\n\r\nhello",
    ),
    Case(
        "HEAD / HTTP/1.1",
        "HTTP/1.1 200 OK\r\n|Content-Length: 5\r\n\r\n",
        false,
        "HTTP/1.1 200 OK\r\n|Content-Length: 5\r\n\r\n",
    ),
    Case("HEAD / HTTP/1.1", "HTTP/1.1 200 OK\r\n|\r\n", false, "HTTP/1.1 200 OK\r\n|\r\n"),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.1 204 No Content\r\n|\r\n",
        false,
        "HTTP/1.1 204 No Content\r\n|\r\n",
    ),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.1 304 Not Modified\r\n|Content-Length: 5\r\n\r\n",
        false,
        "HTTP/1.1 304 Not Modified\r\n|Content-Length: 5\r\n\r\n",
    ),
    Case(
        "GET / HTTP/1.1",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n|Content-Length: 0\r\n\r\n",
        false,
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n|Content-Length: 0\r\n\r\n",
    ),
    Case(
        "GET / HTTP/1.0",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n|Content-Length: 1\r\n\r\nx",
        false,
        "HTTP/1.1 200 OK\r\n|Content-Length: 1\r\nConnection: close\r\n\r\nx$",
    ),
    Case(
        "GET / HTTP/1.0",
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        false,
        "HTTP/1.1 200 OK\r\n|Connection: close\r\n\r\nhello$",
    ),
    Case(
        "GET / HTTP/1.0\r\nConnection: keep-alive",
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        false,
        "HTTP/1.1 200 OK\r\n|Connection: close\r\n\r\nhello$",
    ),
    Case(
        "GET / HTTP/1.0\r\nConnection: keep-alive",
        "HTTP/1.1 200 OK\r\n|Content-Length: 5\r\n\r\nhello",
        false,
        "HTTP/1.1 200 OK\r\n|Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    ),
    Case(
        "GET / HTTP/1.0",
        "HTTP/1.1 200 OK\r\n|\r\nhello",
        true,
        "HTTP/1.1 200 OK\r\n|Connection: close\r\n\r\nhello$",
    ),
    Case(
        "GET / HTTP/1.1\r\nConnection: close",
        "HTTP/1.1 200 OK\r\n|\r\nhello",
        true,
        "HTTP/1.1 200 OK\r\n|Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n$",
    ),
];

#[test]
fn answers() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut servers = Vec::new();
    for secure in [false, true] {
        for Case(line, sent, closes, got) in ANSWERS {
            println!("{line}: {sent}");
            let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
            client.send(format!("{line}\r\nHost: a.test\r\n\r\n"));
            let mut server = origin.accept();
            server.head();
            server.send(sent.replace('|', DATE));
            if *closes {
                server.end();
            }
            let got = got.replace('|', DATE);
            client.expect(got.trim_end_matches('$'));
            if got.ends_with('$') {
                assert_eq!(client.expect_end(), End::Closed);
            } else {
                // Nothing is left that could be taken for the next answer.
                client.send("BAD\r\n\r\n");
                assert!(client.head().starts_with("HTTP/1.1 400 "));
            }
            server.end();
            servers.push(server);
        }
    }
    for server in &mut servers {
        server.expect_end();
    }
}

/// The head's last fields and the body, as sent and as they arrive.
const REQUESTS: &[(&str, &str)] = &[
    ("Content-Length: 5\r\n\r\nhello", "Content-Length: 5\r\n\r\nhello"),
    ("Content-Length: 0\r\n\r\n", "Content-Length: 0\r\n\r\n"),
    ("\r\n", "\r\n"),
    (
        "Transfer-Encoding: chunked\r\n\r\n5;ext=\"1\"\r\nhello\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "Transfer-Encoding: Chunked\r\n\r\n0\r\nX-Sum: 1\r\nHost: evil\r\nAuthorization: NTLM x\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
    ),
    ("Content-Length: 005\r\n\r\nhello", "Content-Length: 005\r\n\r\nhello"),
];

#[test]
fn requests() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut client = gatehouse.client();
    let mut server = None;
    for (sent, got) in REQUESTS {
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{sent}"));
        let server = server.get_or_insert_with(|| origin.accept());
        server.expect(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{got}"));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.answer().text(), "ok", "{sent}");
    }
}

/// Chunks are read wherever they are cut.
#[test]
fn a_request_that_comes_byte_by_byte() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut client = gatehouse.secure_client();
    let request = "POST /x HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                   A\r\n0123456789\r\n2;x\r\nab\r\n0\r\n\r\n";
    for byte in request.as_bytes() {
        client.send([*byte]);
    }
    let mut server = origin.accept();
    assert!(server.head().starts_with("POST /x HTTP/1.1\r\n"));
    assert_eq!(server.chunked(), (b"0123456789ab".to_vec(), String::new()));
    server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for byte in b"3\r\nabc\r\n0\r\n\r\n" {
        server.send([*byte]);
    }
    assert_eq!(client.answer().text(), "abc");
}

#[test]
fn a_body_that_is_malformed_reaches_no_whole_request() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for body in
        ["5\r\nhelloX", "5 \r\nhello\r\n", "x\r\n", "-1\r\n", "5\nhello\r\n", "0\r\nA B: x\r\n\r\n"]
    {
        let mut client = gatehouse.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        let mut server = origin.accept();
        let answer = client.answer();
        assert_eq!(answer.status(), 400, "{body}");
        client.end();
        client.expect_end();
        let (rest, _) = server.rest();
        let rest = String::from_utf8(rest).unwrap();
        assert!(!rest.ends_with("0\r\n\r\n"), "{body}: the server took {rest:?} for whole");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    const COUNT: usize = 200;
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for mut client in [gatehouse.client(), gatehouse.secure_client()] {
        let request = |number| {
            let body = "x".repeat(number % 3);
            let length = body.len();
            format!(
                "POST /{number} HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}"
            )
        };
        let all: String = (0..COUNT).map(request).collect();
        client.send(all);
        let mut server = origin.accept();
        for number in 0..COUNT {
            server.expect(request(number));
            server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{number:04}"));
        }
        for number in 0..COUNT {
            assert_eq!(client.answer().text(), format!("{number:04}"));
        }
        server.end();
    }
    origin.expect_nobody();
}

/// A body that neither side takes in one piece, both ways at once.
#[test]
fn both_directions_at_once() {
    const COUNT: usize = 4 << 20;
    let origin = Origin::secure(leaf(&["origin.test"], Kind::Rsa).server());
    let gatehouse = Gatehouse::publish_secure(&[origin.port()], "");
    let mut client = gatehouse.secure_client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {COUNT}\r\n\r\n"));
    let mut server = origin.accept();
    server.head();
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {COUNT}\r\n\r\n"));
    client.head();
    let block = vec![b'x'; 64 * 1024];
    let echo = std::thread::spawn(move || {
        for _ in 0..COUNT / 4096 {
            let piece = server.read(4096);
            server.send(piece);
        }
        server
    });
    // The client sends everything before it reads anything, as far as buffers allow.
    for _ in 0..COUNT / block.len() {
        client.send(&block);
        client.read(block.len());
    }
    let mut server = echo.join().unwrap();
    client.send("GET /again HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(server.head().starts_with("GET /again "), "both connections go on");
}

#[test]
fn an_end_that_comes_together_with_an_answer_is_an_end() {
    let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
    let gatehouse = Gatehouse::publish_secure(&[origin.port()], "");
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\n\r\nall of it");
    server.end();
    client.head();
    assert_eq!(client.chunked().0, b"all of it");
}

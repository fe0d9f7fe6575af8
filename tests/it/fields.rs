//! What becomes of the heads of requests and answers.

use crate::rig::{Gatehouse, Origin};

/// A request's head as the client sends it and as the server gets it, without `Host: a.test`,
/// which stands first in both.
struct Request {
    sent: &'static str,
    got: &'static str,
}

const REQUESTS: &[Request] = &[
    Request { sent: "GET / HTTP/1.1\r\n", got: "GET / HTTP/1.1\r\n" },
    // The target is the client's own, whatever rules make of it.
    Request {
        sent: "GET /%7e/%2E/a//b;v=1/..%5c?x=%zz&&y HTTP/1.1\r\n",
        got: "GET /%7e/%2E/a//b;v=1/..%5c?x=%zz&&y HTTP/1.1\r\n",
    },
    Request { sent: "GET http://a.test/x?y HTTP/1.1\r\n", got: "GET /x?y HTTP/1.1\r\n" },
    Request { sent: "OPTIONS / HTTP/1.1\r\n", got: "OPTIONS / HTTP/1.1\r\n" },
    // Methods that we know nothing of.
    Request { sent: "PROPFIND /x HTTP/1.1\r\n", got: "PROPFIND /x HTTP/1.1\r\n" },
    Request { sent: "m-search!~ /x HTTP/1.1\r\n", got: "m-search!~ /x HTTP/1.1\r\n" },
    // Order, repeats, case and empty values.
    Request {
        sent: "GET / HTTP/1.1\r\nzeta: 1\r\nACCEPT: a\r\nAccept: b\r\nX-E:\r\naccept:   c  \r\n",
        got: "GET / HTTP/1.1\r\nzeta: 1\r\nACCEPT: a\r\nAccept: b\r\nX-E:\r\naccept:   c  \r\n",
    },
    Request {
        sent: "GET / HTTP/1.1\r\nX-Eight: \u{e9}\r\n",
        got: "GET / HTTP/1.1\r\nX-Eight: \u{e9}\r\n",
    },
    // For one hop only.
    Request {
        sent: "GET / HTTP/1.1\r\nConnection: keep-alive, X-Mine\r\nA: 1\r\nX-mine: 1\r\nKeep-Alive: 9\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nB: 2\r\n",
        got: "GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\n",
    },
    // Those that Connection cannot take away.
    Request {
        sent: "GET / HTTP/1.1\r\nConnection: Authorization, Cookie\r\nAuthorization: Basic eA==\r\nCookie: a\r\n",
        got: "GET / HTTP/1.1\r\nAuthorization: Basic eA==\r\nCookie: a\r\n",
    },
    // What only a proxy may say.
    Request {
        sent: "GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=x\r\nX_Forwarded_Proto: https\r\nX-Real-IP: 1\r\nX-Original-URL: /y\r\nProxy: x\r\nX-MS-Proxy: p\r\nX-MS-Else: e\r\n",
        got: "GET / HTTP/1.1\r\nX-MS-Else: e\r\n",
    },
    // Upgrades other than to websocket.
    Request {
        sent: "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        got: "GET / HTTP/1.1\r\n",
    },
    Request {
        sent: "GET / HTTP/1.1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        got: "GET / HTTP/1.1\r\n",
    },
    Request {
        sent: "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        got: "GET / HTTP/1.1\r\n",
    },
    Request {
        sent: "OPTIONS / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        got: "OPTIONS / HTTP/1.1\r\n",
    },
    Request { sent: "GET / HTTP/1.0\r\n", got: "GET / HTTP/1.1\r\n" },
    Request { sent: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n", got: "GET / HTTP/1.1\r\n" },
];

/// Puts Host behind the request line.
fn with_host(text: &str) -> String {
    text.replacen("\r\n", "\r\nHost: a.test\r\n", 1) + "\r\n"
}

#[test]
fn requests_arrive_as_they_were_sent() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for secure in [false, true] {
        let mut server = None;
        for Request { sent, got } in REQUESTS {
            let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
            println!("{sent}");
            client.send(with_host(sent));
            let server = server.get_or_insert_with(|| origin.accept());
            server.expect(with_host(got));
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(client.answer().status(), 200, "{sent}");
        }
        server.unwrap().end();
    }
}

#[test]
fn host_is_not_changed() {
    let origin = Origin::new();
    let site = "[site.a]\nnames = [\"a.test\", \"127.0.0.1\"]\nlisteners = [\"http\"]\n\
                [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], site);
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: A.TeSt:8080\r\n\r\n");
    let mut server = origin.accept();
    for next in ["A.TeSt:8080", "127.0.0.1", "a.test."] {
        server.expect(format!("GET / HTTP/1.1\r\nHost: {next}\r\n\r\n"));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        client.answer();
        if next == "A.TeSt:8080" {
            client.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        } else {
            client.send("GET / HTTP/1.1\r\nHost: a.test.\r\n\r\n");
        }
    }
}

/// An answer's head as the server sends it and as the client gets it; both begin with
/// `HTTP/1.1 200 OK` and Date, and have no body.
struct Answer {
    sent: &'static str,
    got: &'static str,
}

const ANSWERS: &[Answer] = &[
    Answer {
        sent: "SERVER: x\r\nset-cookie: a=1; Path=/\r\nX:\r\nSet-Cookie: b=2\r\n",
        got: "SERVER: x\r\nset-cookie: a=1; Path=/\r\nX:\r\nSet-Cookie: b=2\r\n",
    },
    Answer {
        sent: "Connection: Keep-Alive, X-Mine\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\nA: 1\r\n",
        got: "A: 1\r\n",
    },
    Answer {
        sent: "Proxy-Authenticate: Basic\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nA: 1\r\n",
        got: "A: 1\r\n",
    },
    Answer {
        sent: "WWW-Authenticate: Basic realm=\"x\"\r\nLocation: http://other.test/\r\n",
        got: "WWW-Authenticate: Basic realm=\"x\"\r\nLocation: http://other.test/\r\n",
    },
    // What is never for one hop.
    Answer { sent: "Connection: Set-Cookie\r\nSet-Cookie: a\r\n", got: "Set-Cookie: a\r\n" },
];

#[test]
fn answers_arrive_as_they_were_sent() {
    const START: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut client = gatehouse.client();
    let mut server = None;
    for Answer { sent, got } in ANSWERS {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let server = server.get_or_insert_with(|| origin.accept());
        server.head();
        server.send(format!("{START}{sent}Content-Length: 0\r\n\r\n"));
        client.expect(format!("{START}{got}Content-Length: 0\r\n\r\n"));
    }
}

#[test]
fn the_reason_and_old_servers() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
    for (sent, got) in [
        ("HTTP/1.1 200 \r\n", "HTTP/1.1 200 \r\n"),
        ("HTTP/1.1 200\r\n", "HTTP/1.1 200 \r\n"),
        ("HTTP/1.0 404 Nicht da\r\n", "HTTP/1.1 404 Nicht da\r\n"),
        ("HTTP/1.1 599 What \u{e9}ver\r\n", "HTTP/1.1 599 What \u{e9}ver\r\n"),
    ] {
        let mut client = gatehouse.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        server.send(format!("{sent}{date}"));
        client
            .expect(format!("{got}{}", date.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")));
        client.expect_end();
        server.end();
    }
}

/// Methods and expectations that are refused here; the connection ends.
#[test]
fn what_is_not_for_a_server() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for (request, status) in [
        ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 501),
        ("TRACE / HTTP/1.1\r\nHost: a.test\r\n\r\n", 405),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nExpect: magic\r\n\r\n", 417),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Host\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a.test\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400),
        ("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a.test\r\n folded\r\n\r\n", 400),
        ("GET /\n HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    ] {
        let mut client = gatehouse.client();
        // What follows must not be read as a request.
        client.send(format!("{request}GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{request}");
        assert_eq!(answer.fields("connection"), ["close"], "{request}");
        client.end();
        client.expect_end();
    }
    origin.expect_nobody();
}

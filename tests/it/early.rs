//! Answers that come before the request has ended, and clients that wait to be asked for a body.

use crate::rig::{Gatehouse, Kind, LIMIT, Origin, Wire, leaf, now};

/// What may be relayed of a body after its answer.
const MORE_MAX: usize = 1 << 20;

/// What lies in the buffers of two kernels and of the proxy may come on top.
const UNDER_WAY: usize = 512 * 1024;

/// Sends `bytes` of body as far as the connection takes them; in pieces that are requests, should
/// anybody read them as such.
fn send_body(client: &mut Wire, bytes: usize) -> bool {
    let request = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let block = request.repeat(64 * 1024 / request.len());
    let mut left = bytes;
    while left > 0 {
        let piece = &block.as_bytes()[..left.min(block.len())];
        if client.try_send(piece).is_err() {
            return false;
        }
        left -= piece.len();
    }
    true
}

fn begin(origin: &Origin, client: &mut Wire, length: usize) -> Wire {
    client.send(format!("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n"));
    let mut server = origin.accept();
    server.head();
    server
}

const ANSWER: &str = "HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\nfirst";

fn check_long(secure: bool) {
    let (origin, gatehouse) = publish(secure);
    let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
    let mut server = begin(&origin, &mut client, 64 * MORE_MAX);
    server.send(ANSWER);
    assert_eq!(client.answer().text(), "first", "the answer does not wait for the body");
    let reader = std::thread::spawn(move || server.rest().0.len());
    assert!(!send_body(&mut client, 64 * MORE_MAX), "the body is cut off");
    let arrived = reader.join().unwrap();
    assert!(arrived <= MORE_MAX, "{arrived} bytes were relayed behind the answer");
    assert!(arrived + UNDER_WAY >= MORE_MAX, "only {arrived} bytes were relayed");
    // Nothing of the body was a request, for anybody.
    origin.expect_nobody();
    let records = gatehouse.records(1);
    assert_eq!(records.len(), 1, "{records:#?}");
    assert_eq!(records[0]["status"], 401);
}

fn publish(secure: bool) -> (Origin, Gatehouse) {
    if secure {
        let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
        let gatehouse = Gatehouse::publish_secure(&[origin.port()], "");
        return (origin, gatehouse);
    }
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    (origin, gatehouse)
}

#[test]
fn a_long_body_behind_its_answer_ends_both_connections() {
    check_long(false);
}

#[test]
fn a_long_body_behind_its_answer_ends_both_connections_with_tls() {
    check_long(true);
}

/// Windows log-ins need this: the body that belongs to a 401 is sent, and the connection goes on.
#[test]
fn a_short_body_behind_its_answer_is_relayed() {
    for secure in [false, true] {
        let (origin, gatehouse) = publish(secure);
        let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
        let mut server = begin(&origin, &mut client, MORE_MAX / 2);
        server.send(ANSWER);
        assert_eq!(client.answer().text(), "first");
        let reader = std::thread::spawn(move || {
            server.read(MORE_MAX / 2);
            server
        });
        assert!(send_body(&mut client, MORE_MAX / 2));
        let mut server = reader.join().unwrap();
        client.send("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
        server.expect("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
        assert_eq!(client.answer().text(), "next");
    }
}

#[test]
fn a_body_that_stops_behind_its_answer_is_waited_for_ten_seconds() {
    let (origin, gatehouse) = publish(false);
    let mut client = gatehouse.client();
    let mut server = begin(&origin, &mut client, 1000);
    client.send("the beginning");
    server.expect("the beginning");
    server.send(ANSWER);
    let answered = now();
    assert_eq!(client.answer().text(), "first");
    server.expect_end();
    client.expect_end();
    let waited = answered.elapsed();
    assert!(waited.as_secs() >= 9 && waited < LIMIT, "{waited:?}");
}

/// The server answers, closes, and takes no more of the body.
#[test]
fn a_server_that_closes_during_the_body_has_its_answer_heard() {
    for secure in [false, true] {
        let (origin, gatehouse) = publish(secure);
        let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
        let mut server = begin(&origin, &mut client, 64 * MORE_MAX);
        server
            .send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge");
        server.end();
        drop(server);
        send_body(&mut client, 64 * MORE_MAX);
        assert_eq!(client.answer().text(), "large");
        let _ = client.rest();
        origin.expect_nobody();
    }
}

/// A client that leaves in the middle of its body leaves no whole request behind.
#[test]
fn a_client_that_leaves_during_its_body() {
    for chunked in [false, true] {
        let (origin, gatehouse) = publish(false);
        let mut client = gatehouse.client();
        let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 1000" };
        client.send(format!("POST /up HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n"));
        let mut server = origin.accept();
        server.head();
        client.send(if chunked { "4\r\nbody\r\n" } else { "body" });
        client.end();
        let (rest, _) = server.rest();
        let rest = String::from_utf8(rest).unwrap();
        assert_eq!(rest, if chunked { "4\r\nbody\r\n" } else { "body" });
        let record = &gatehouse.records(1)[0];
        assert_eq!(record["failure"], "client_left", "{record}");
        assert_eq!(record["fault_of"], "client", "{record}");
    }
}

/// Who waits for an answer and goes is noticed, and the server is told by the end of its connection.
#[test]
fn a_client_that_leaves_before_its_answer() {
    for resets in [true, false] {
        let (origin, gatehouse) = publish(false);
        let mut client = gatehouse.client();
        client.send("GET /poll HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        if resets {
            client.reset();
        } else {
            drop(client);
        }
        server.expect_end();
        let record = &gatehouse.records(1)[0];
        assert_eq!(record["failure"], "client_left", "{record}");
        origin.expect_nobody();
    }
}

/// A client that has only ended its own direction still gets its answer.
#[test]
fn a_client_that_says_nothing_more_is_answered() {
    for secure in [false, true] {
        let (origin, gatehouse) = publish(secure);
        let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.end();
        let mut server = origin.accept();
        server.head();
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstill");
        assert_eq!(client.answer().text(), "still");
    }
}

const EXPECTING: &str =
    "POST /up HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";

#[test]
fn a_body_is_asked_for_by_us_alone() {
    for secure in [false, true] {
        let (origin, gatehouse) = publish(secure);
        let mut client = if secure { gatehouse.secure_client() } else { gatehouse.client() };
        client.send(EXPECTING);
        let mut server = origin.accept();
        client.expect("HTTP/1.1 100 Continue\r\n\r\n");
        server.expect("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\n");
        client.send("body");
        server.expect("body");
        // Its own is not passed on: the client has had one.
        server
            .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    }
}

#[test]
fn a_body_that_comes_unasked_needs_no_word() {
    let (origin, gatehouse) = publish(false);
    let mut client = gatehouse.client();
    client.send(format!("{EXPECTING}body"));
    let mut server = origin.accept();
    server.expect("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn no_body_is_asked_for_before_the_server_stands() {
    let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
    let gatehouse = Gatehouse::publish_secure(&[origin.port()], "");
    let mut client = gatehouse.client();
    client.send(EXPECTING);
    let silent = origin.accept_silent();
    client.expect_nothing_yet();
    let mut server = silent.shake_hands().unwrap();
    client.expect("HTTP/1.1 100 Continue\r\n\r\n");
    server.head();
    client.send("body");
    server.expect("body");
    server.send("HTTP/1.1 204 Done\r\n\r\n");
    assert_eq!(client.answer().status(), 204);
}

#[test]
fn no_body_is_asked_for_when_no_server_is_there() {
    let gatehouse = Gatehouse::publish(&[crate::rig::free_port()], "");
    let mut client = gatehouse.client();
    client.send(EXPECTING);
    let answer = client.answer();
    assert_eq!(answer.status(), 503, "and not 100 before it");
    assert_eq!(answer.fields("connection"), ["close"], "nobody knows what comes next");
    client.end();
    client.expect_end();
}

/// Where we answer ourselves, no body is asked for either.
#[test]
fn no_body_is_asked_for_by_our_own_answers() {
    let rules = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
                 [[site.a.rule]]\npath = \"/\"\nrefuse = 403\n";
    let gatehouse = Gatehouse::publish(&[crate::rig::free_port()], rules);
    let mut client = gatehouse.client();
    client.send(EXPECTING);
    assert_eq!(client.answer().status(), 403);
    client.end();
    client.expect_end();
}

//! Deadlines hold for what they are called after, and for nothing else.

use std::time::Duration;

use crate::rig::{Gatehouse, Kind, Origin, leaf, now, until};

/// Longer than the time-outs that these tests set.
const LONG: Duration = Duration::from_millis(600);

/// Lets the deadline pass that must not count.
fn let_pass() {
    let start = now();
    until("the time has passed", || (start.elapsed() > LONG).then_some(()));
}

#[test]
fn an_upload_takes_longer_than_a_connect_may() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "[timeouts]\nconnect = \"200ms\"\n");
    let mut client = gatehouse.client();
    client.send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\na");
    let mut server = origin.accept();
    server.head();
    server.expect("a");
    let_pass();
    client.send("b");
    server.expect("b");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
}

#[test]
fn a_final_answer_comes_later_after_an_interim_one_than_a_client_may_write() {
    let origin = Origin::new();
    let more = "[timeouts]\nclient_write_idle = \"200ms\"\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], more);
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 103 Early Hints\r\n\r\n");
    client.expect("HTTP/1.1 103 Early Hints\r\n\r\n");
    let_pass();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
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

//! Deadlines hold for what they are called after, and for nothing else.

use std::time::Duration;

use crate::rig::{Gatehouse, Origin, now, until_moment};

/// Longer than the second that these tests give to what is not looked at.
const LONG: Duration = Duration::from_millis(1500);

/// Lets the deadline pass that must not count.
fn let_pass() {
    until_moment(now() + LONG);
}

#[test]
fn an_upload_takes_longer_than_a_connect_may() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "[timeouts]\nconnect = \"1s\"\n");
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
    let more = "[timeouts]\nclient_write_idle = \"1s\"\n";
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

/// However often the end of its time is near.
#[test]
fn a_client_that_is_just_in_time_stays() {
    let gatehouse = Gatehouse::publish(
        &[1],
        "[timeouts]\nclient_idle = \"2s\"\n[site.a]\nnames = [\"a.test\"]\n\
         listeners = [\"http\"]\n\
         [[site.a.rule]]\npath = \"/\"\nrespond = { status = 200, body = \"own\" }\n",
    );
    let mut client = gatehouse.client();
    for _ in 0..6 {
        client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().text(), "own");
        // A good part of the time, and enough of it left for a busy machine.
        until_moment(now() + Duration::from_millis(500));
    }
}

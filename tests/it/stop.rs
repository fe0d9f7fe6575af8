//! The end of the process: whoever waits goes at once, whoever is served is served to the end.

use std::net::TcpStream;

use nix::sys::signal::Signal;

use crate::rig::{End, Gatehouse, Origin, SOON, Wire, now, until};

/// A client whose answer is half there.
fn half_served(mut client: Wire, origin: &Origin) -> (Wire, Wire) {
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
    client.head();
    client.expect("half");
    (client, server)
}

#[test]
fn a_running_exchange_ends_and_the_idle_go() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let origin = Origin::new();
        let mut gatehouse = Gatehouse::publish(&[origin.port()], "[workers]\ncount = 2\n");
        let mut silent = gatehouse.client();
        let mut silent_secure = gatehouse.secure_client();
        let (mut client, mut server) = half_served(gatehouse.client(), &origin);
        let (mut secure, mut other) = half_served(gatehouse.secure_client(), &origin);
        let (mut idle, mut kept) = half_served(gatehouse.secure_client(), &origin);
        kept.send("done");
        idle.expect("done");
        // A log-in gets a connection of its own, whichever worker it comes to.
        let mut waiting = gatehouse.client();
        waiting.send("POST /late HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n");
        let mut late = origin.accept();
        late.head();

        gatehouse.signal(signal);
        assert_eq!(silent.expect_end(), End::Closed);
        assert_eq!(silent_secure.expect_end(), End::Closed);
        assert_eq!(idle.expect_end(), End::Closed);
        until("the end of listening", || {
            TcpStream::connect(("127.0.0.1", gatehouse.http)).is_err().then_some(())
        });

        // The head has said that the connection stays; it ends all the same, after the answer.
        server.send("over");
        client.expect("over");
        assert_eq!(client.expect_end(), End::Closed);
        other.send("over");
        secure.expect("over");
        assert_eq!(secure.expect_end(), End::Closed);
        late.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate");
        let answer = waiting.answer();
        assert_eq!(answer.text(), "late");
        assert_eq!(answer.fields("connection"), ["close"], "nothing more is taken");
        assert_eq!(waiting.expect_end(), End::Closed);
        assert_eq!(gatehouse.wait().code(), Some(0), "{signal}");
        assert_eq!(gatehouse.records(4).len(), 4, "each has its line in the log");
    }
}

#[test]
fn a_second_signal_waits_for_nobody() {
    let origin = Origin::new();
    let mut gatehouse = Gatehouse::publish(&[origin.port()], "");
    let (mut client, _server) = half_served(gatehouse.client(), &origin);
    gatehouse.signal(Signal::SIGTERM);
    gatehouse.expect_said("stopping");
    client.expect_nothing_yet();
    let begun = now();
    gatehouse.signal(Signal::SIGTERM);
    assert_eq!(gatehouse.wait().code(), Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    client.expect_end();
}

#[test]
fn nobody_is_waited_for_longer_than_the_file_says() {
    let origin = Origin::new();
    let drain = "[timeouts]\ndrain = \"700ms\"\n";
    let mut gatehouse = Gatehouse::publish(&[origin.port()], drain);
    let (mut client, _server) = half_served(gatehouse.secure_client(), &origin);
    let begun = now();
    gatehouse.stop();
    let waited = begun.elapsed();
    assert!(waited.as_millis() >= 650 && waited < SOON, "{waited:?}");
    client.expect_end();
}

/// With nobody there it ends at once, drain or not.
#[test]
fn an_idle_proxy_ends_at_once() {
    let mut gatehouse = Gatehouse::publish(&[1], "[workers]\ncount = 2\n");
    let begun = now();
    gatehouse.stop();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

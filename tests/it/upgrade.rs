//! Upgrades to websocket, and what only looks like one.

use crate::rig::{End, Gatehouse, Kind, Origin, Wire, leaf};

const ASKED: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\n\
                     Upgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\n";

const ARRIVES: &str = "GET /ws HTTP/1.1\r\nHost: a.test\r\nSec-WebSocket-Key: k\r\n\
                       Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                      Connection: Upgrade\r\nDate: today\r\nSec-WebSocket-Accept: a\r\n\r\n";

const AGREED_ARRIVES: &str = "HTTP/1.1 101 Switching Protocols\r\nDate: today\r\nSec-WebSocket-Accept: a\r\n\
                              Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

fn publish(secure: bool) -> (Origin, Gatehouse, Wire) {
    if secure {
        let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
        let gatehouse = Gatehouse::publish_secure(&[origin.port()], "");
        let client = gatehouse.secure_client();
        return (origin, gatehouse, client);
    }
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let client = gatehouse.client();
    (origin, gatehouse, client)
}

/// Sends the request with `early` behind it, and lets the server see the head.
fn ask(origin: &Origin, client: &mut Wire, early: &str) -> Wire {
    client.send(format!("{ASKED}{early}"));
    let mut server = origin.accept();
    server.expect(ARRIVES);
    server
}

#[test]
fn a_tunnel_carries_both_ways_and_ends_in_halves() {
    for secure in [false, true] {
        let (origin, gatehouse, mut client) = publish(secure);
        let mut server = ask(&origin, &mut client, "");
        server.send(format!("{AGREED}welcome"));
        client.expect(format!("{AGREED_ARRIVES}welcome"));
        for number in 0..50 {
            client.send(format!("question {number}"));
            server.expect(format!("question {number}"));
            server.send(format!("answer {number}"));
            client.expect(format!("answer {number}"));
        }
        client.end();
        assert_eq!(server.expect_end(), End::Closed);
        server.send("a last word");
        client.expect("a last word");
        server.end();
        assert_eq!(client.expect_end(), End::Closed);
        let record = &gatehouse.records(1)[0];
        assert_eq!(record["status"], 101, "{record}");
        assert!(record["bytes_out"].as_u64().unwrap() > 50 * 8, "{record}");
    }
}

#[test]
fn a_server_may_end_its_half_first() {
    for secure in [false, true] {
        let (origin, _gatehouse, mut client) = publish(secure);
        let mut server = ask(&origin, &mut client, "");
        server.send(AGREED);
        client.expect(AGREED_ARRIVES);
        server.end();
        assert_eq!(client.expect_end(), End::Closed);
        client.send("still here");
        server.expect("still here");
        client.end();
        assert_eq!(server.expect_end(), End::Closed);
    }
}

#[test]
fn tls_that_was_cut_off_is_not_made_whole() {
    for server_cuts in [true, false] {
        let (origin, _gatehouse, mut client) = publish(true);
        let mut server = ask(&origin, &mut client, "");
        server.send(format!("{AGREED}the beginning of"));
        client.expect(format!("{AGREED_ARRIVES}the beginning of"));
        let (cuts, mut hears) = if server_cuts { (server, client) } else { (client, server) };
        drop(cuts);
        assert_eq!(hears.expect_end(), End::Cut);
    }
}

#[test]
fn a_slow_client_hears_the_end_behind_everything() {
    const COUNT: usize = 12 << 20;
    for secure in [false, true] {
        let (origin, _gatehouse, mut client) = publish(secure);
        let mut server = ask(&origin, &mut client, "");
        server.send(AGREED);
        client.expect(AGREED_ARRIVES);
        let sending = std::thread::spawn(move || {
            server.send(vec![b's'; COUNT]);
            server.end();
            server
        });
        let mut left = COUNT;
        while left > 0 {
            let some = left.min(100_000);
            client.read(some);
            left -= some;
            std::thread::yield_now();
        }
        assert_eq!(client.expect_end(), End::Closed);
        client.end();
        assert_eq!(sending.join().unwrap().expect_end(), End::Closed);
    }
}

#[test]
fn much_goes_through_a_tunnel() {
    const COUNT: usize = 8 << 20;
    let (origin, _gatehouse, mut client) = publish(true);
    let mut server = ask(&origin, &mut client, "");
    server.send(AGREED);
    client.expect(AGREED_ARRIVES);
    let sending = std::thread::spawn(move || {
        server.send(vec![b's'; COUNT]);
        server
    });
    assert!(client.read(COUNT).iter().all(|byte| *byte == b's'));
    let mut server = sending.join().unwrap();
    let reading = std::thread::spawn(move || server.read(COUNT));
    client.send(vec![b'c'; COUNT]);
    assert!(reading.join().unwrap().iter().all(|byte| *byte == b'c'));
}

#[test]
fn early_bytes_wait_for_the_server_to_agree() {
    for secure in [false, true] {
        let (origin, _gatehouse, mut client) = publish(secure);
        let mut server = ask(&origin, &mut client, "early");
        server.expect_nothing_yet();
        server.send(AGREED);
        client.expect(AGREED_ARRIVES);
        server.expect("early");
        client.send("late");
        server.expect("late");
    }
}

/// The connection goes on, or the answer says that it does not.
#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let (origin, _gatehouse, mut client) = publish(false);
    let mut server = ask(&origin, &mut client, "");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    let answer = client.answer();
    assert_eq!(answer.text(), "no");
    if answer.fields("connection") == ["close"] {
        client.expect_end();
        return;
    }
    client.send("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(server.head().starts_with("GET /next "));
    server.send("HTTP/1.1 204 Done\r\n\r\n");
    assert_eq!(client.answer().status(), 204);
}

#[test]
fn early_bytes_are_dropped_with_a_refused_upgrade() {
    for secure in [false, true] {
        let (origin, _gatehouse, mut client) = publish(secure);
        let early = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let mut server = ask(&origin, &mut client, early);
        server.send("HTTP/1.1 400 No\r\nContent-Length: 2\r\n\r\nno");
        assert_eq!(client.answer().text(), "no");
        client.expect_end();
        server.expect_nothing_yet();
        origin.expect_nobody();
    }
}

#[test]
fn an_upgrade_that_nobody_asked_for_ends_both() {
    for request in [
        "GET /ws HTTP/1.1\r\nHost: a.test\r\n\r\n",
        "GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "POST /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Content-Length: 0\r\n\r\n",
        "GET /ws HTTP/1.0\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let (origin, _gatehouse, mut client) = publish(false);
        client.send(request);
        let mut server = origin.accept();
        server.head();
        server.send(AGREED);
        assert_eq!(client.answer().status(), 502, "{request}");
        server.expect_end();
        client.send("GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n");
        drop(client);
    }
}

#[test]
fn an_agreement_to_something_else_is_none() {
    for agreed in [
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.0 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let (origin, _gatehouse, mut client) = publish(false);
        let mut server = ask(&origin, &mut client, "");
        server.send(agreed);
        assert_eq!(client.answer().status(), 502, "{agreed}");
        server.expect_end();
    }
}

//! What is there is passed on at once.

use std::time::Duration;

use crate::rig::{Gatehouse, Kind, Origin, Wire, leaf, now, trusting};

/// What the proxy may add to a byte's way, in the median, where a core is free.
const ADDED_MAX: Duration = Duration::from_millis(1);

/// Through the proxy are four wake-ups instead of two, each of which waits for a core on a busy
/// machine, and some of them for longer.
const WAYS_MAX: u32 = 4;

const ROUNDS: usize = 301;

/// A connection whose server has sent the head of an answer and owes [`ROUNDS`] bytes.
fn begin(connect: impl FnOnce() -> Wire + Send, origin: &Origin) -> (Wire, Wire) {
    let (mut client, mut server) = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut client = connect();
            client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
            client
        });
        let server = origin.accept();
        (client.join().unwrap(), server)
    });
    server.head();
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ROUNDS}\r\n\r\n"));
    client.head();
    (client, server)
}

fn one_byte((client, server): &mut (Wire, Wire)) -> Duration {
    let sent = now();
    server.send("x");
    client.read(1);
    sent.elapsed()
}

/// Bytes go alternately through the proxy and past it, so that whatever else the machine does
/// meets both.
fn check(mut through: (Wire, Wire), mut past: (Wire, Wire)) {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(one_byte(&mut through));
        times[1].push(one_byte(&mut past));
    }
    let [through, past] = times.map(|mut times| {
        times.sort();
        times[ROUNDS / 2]
    });
    println!("median of a byte's way: {through:?} through the proxy, {past:?} past it");
    assert!(
        through <= past * WAYS_MAX + ADDED_MAX,
        "{through:?} through the proxy, {past:?} past it"
    );
}

fn connect(origin: &Origin) -> std::net::TcpStream {
    std::net::TcpStream::connect(("127.0.0.1", origin.port())).unwrap()
}

#[test]
fn a_byte_of_the_answer_is_not_held_back() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let through = begin(|| gatehouse.client(), &origin);
    check(through, begin(|| Wire::plain(connect(&origin)), &origin));
}

#[test]
fn a_byte_of_the_answer_is_not_held_back_by_tls() {
    let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
    let gatehouse = Gatehouse::publish_secure(&[origin.port()], "");
    let through = begin(|| gatehouse.secure_client(), &origin);
    let past = begin(|| Wire::secure(connect(&origin), trusting(), "origin.test"), &origin);
    check(through, past);
}

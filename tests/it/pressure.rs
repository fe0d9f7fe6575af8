//! Clients that take more than they should: of memory, and of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::rig::{Gatehouse, Origin, SOON, Wire, nginx, now, until};

/// Bytes that a client sends ahead; the proxy would hold them all if it took what comes.
const AHEAD_BYTES: usize = 96 << 20;

/// What the network may hold, and blocks on loan.
const MEMORY_KB_MAX: u64 = 24 * 1024;

/// A client whose answer is awaited, and who sends requests without end behind it.
fn sends_far_ahead(gatehouse: &Gatehouse, origin: &Origin, mut client: Wire) {
    client.send("GET /awaited HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    let before = gatehouse.memory("VmRSS");
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    thread::spawn(move || {
        let next = format!("GET /next HTTP/1.1\r\nHost: a.test\r\nA: {}\r\n\r\n", "a".repeat(8000));
        while count.load(Ordering::Relaxed) < AHEAD_BYTES && client.try_send(&next).is_ok() {
            count.fetch_add(next.len(), Ordering::Relaxed);
        }
    });
    // It stands still when nobody takes more.
    let (mut seen, mut since) = (0, now());
    until("the client is not listened to, or has sent all", || {
        let sent = taken.load(Ordering::Relaxed);
        if sent != seen {
            (seen, since) = (sent, now());
        }
        (sent >= AHEAD_BYTES || sent > 0 && since.elapsed() > Duration::from_millis(700))
            .then_some(())
    });
    let grown = gatehouse.memory("VmRSS").saturating_sub(before);
    assert!(seen < AHEAD_BYTES, "all was taken");
    assert!(grown < MEMORY_KB_MAX, "{grown} kB for a client that waits");
    // It is served in its turn all the same.
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(server.head().starts_with("GET /next "));
}

#[test]
fn a_client_far_ahead_of_its_answer_costs_no_memory() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    sends_far_ahead(&gatehouse, &origin, gatehouse.client());
    sends_far_ahead(&gatehouse, &origin, gatehouse.secure_client());
}

/// Sends `pieces`, one now and then, and says how long the proxy listened.
fn drip(client: &mut Wire, pieces: &[Vec<u8>]) -> Duration {
    let start = now();
    for piece in pieces {
        if client.try_send_sealed(piece).is_err() {
            break;
        }
        let wait = now();
        until("the next piece is due", || (wait.elapsed().as_millis() > 50).then_some(()));
        if start.elapsed() > SOON {
            return start.elapsed();
        }
    }
    client.rest();
    start.elapsed()
}

/// The time runs from the first byte of the record, and no later byte gives it anew.
#[test]
fn a_head_that_drips_in_over_tls_has_as_long_as_any_other() {
    let more = "[timeouts]\nclient_head = \"600ms\"\n";
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], more);
    for whole_records in [false, true] {
        let mut client = gatehouse.secure_client();
        // Between requests a client may be silent longer.
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
        let head = format!("GET / HTTP/1.1\r\nHost: a.test\r\nA: {}\r\n\r\n", "a".repeat(300));
        let pieces: Vec<Vec<u8>> = if whole_records {
            head.bytes().map(|byte| client.seal([byte])).collect()
        } else {
            client.seal(&head).chunks(1).map(<[u8]>::to_vec).collect()
        };
        let listened = drip(&mut client, &pieces);
        assert!(listened < SOON, "{whole_records}: {listened:?}");
        assert!(listened > Duration::from_millis(500), "{whole_records}: {listened:?}");
    }
    origin.expect_nobody();
}

/// Clients that ask for much and take nothing hold little of our memory, so that others are served:
/// what they do not take stays with the server.
#[test]
fn clients_that_take_nothing_do_not_use_up_the_memory() {
    const CLIENTS: usize = 200;
    let server = nginx();
    std::fs::write(server.file("large"), vec![b'x'; 4 << 20]).unwrap();
    let more = "[limits]\nmemory_max = \"8MiB\"\n";
    let gatehouse = Gatehouse::publish(&[server.plain], more);
    let request = "GET /large HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(3);
    let mut silent: Vec<Wire> = (0..CLIENTS)
        .map(|_| {
            let mut client = Wire::plain(gatehouse.connect_from(gatehouse.http, 2, Some(2048)));
            client.send(&request);
            client
        })
        .collect();
    for client in &mut silent {
        assert!(client.head().starts_with("HTTP/1.1 200 "));
    }
    let mut client = gatehouse.client();
    for _ in 0..50 {
        client.send("GET /small.txt HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().status(), 200);
    }
    assert!(gatehouse.memory("VmHWM") < 40 * 1024, "{} kB", gatehouse.memory("VmHWM"));
}

//! Clients, handshakes and memory are counted over all workers: up to a limit nobody notices it, and
//! beyond it those who are there already do not either.

use std::io::Write;

use crate::rig::{Gatehouse, Origin, Wire, until};

const SITE: &str = "[workers]\ncount = 2\n\
                    [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\n\
                    certificate = \"a\"\n\
                    [[site.a.rule]]\npath = \"/own\"\nrespond = { status = 200, body = \"own\" }\n\
                    [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n";

fn start(servers: &[u16], limits: &str) -> Gatehouse {
    Gatehouse::publish(servers, &format!("[limits]\n{limits}\n{SITE}"))
}

fn ask(client: &mut Wire) -> u16 {
    client.send("GET /own HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.answer().status()
}

/// The party that the log says has to change something, of the records with this failure.
#[track_caller]
fn expect_failure(gatehouse: &Gatehouse, records: usize, failure: &str, party: &str) {
    let records = gatehouse.records(records);
    let failed = records.iter().find(|record| record["failure"] == failure);
    assert_eq!(failed.unwrap_or_else(|| panic!("{records:#?}"))["fault_of"], party);
}

fn check_per_address(most: usize, secure: bool) {
    let gatehouse = start(&[1], &format!("clients_per_address_max = {most}"));
    let connect = |last| match secure {
        true => gatehouse.try_secure_client_from(last).unwrap(),
        false => gatehouse.client_from(last),
    };
    let mut clients: Vec<Wire> = (0..most).map(|_| connect(2)).collect();
    assert!(clients.iter_mut().all(|client| ask(client) == 200), "{most}");
    for _ in 0..5 {
        let mut client = connect(2);
        assert_eq!(ask(&mut client), 429, "over both workers");
        client.end();
        client.expect_end();
    }
    for neighbour in 3..7 {
        assert_eq!(ask(&mut connect(neighbour)), 200);
    }
    assert!(clients.iter_mut().all(|client| ask(client) == 200), "who was there before");
    clients.pop();
    let mut next = until("a place for the next", || {
        let mut client = connect(2);
        (ask(&mut client) == 200).then_some(client)
    });
    assert_eq!(ask(&mut connect(2)), 429, "for one, not for more");
    assert_eq!(ask(&mut next), 200);
    expect_failure(&gatehouse, most + 5, "too_many_from_address", "client");
}

#[test]
fn clients_of_one_address() {
    check_per_address(2, false);
    check_per_address(5, false);
}

#[test]
fn clients_of_one_address_by_tls() {
    check_per_address(3, true);
}

#[test]
fn handshakes_under_way() {
    let gatehouse = start(&[1], "handshakes_max = 2\n[timeouts]\nhandshake = \"60s\"");
    let mut before = gatehouse.secure_client();
    assert_eq!(ask(&mut before), 200);
    let connect = || gatehouse.connect_from(gatehouse.https, 2, None);
    // Which of three is the one too many is for the workers to say.
    let mut under_way: Vec<Wire> = (0..3).map(|_| Wire::plain(connect())).collect();
    until("the end of one of three", || {
        under_way.retain_mut(|client| !client.has_ended());
        (under_way.len() < 3).then_some(())
    });
    assert_eq!(under_way.len(), 2);
    // The beginning of a greeting; the other says nothing.
    under_way[1].send(b"\x16\x03\x01");
    for _ in 0..5 {
        Wire::plain(connect()).expect_end();
        assert!(gatehouse.try_secure_client_from(3).is_err(), "over both workers");
    }
    gatehouse.expect_said("limits.handshakes_max");
    assert_eq!(ask(&mut before), 200, "who is connected notices nothing");
    assert_eq!(ask(&mut gatehouse.client()), 200, "nor who needs no handshake");
    drop(under_way);
    until("a place for the next handshake", || gatehouse.try_secure_client_from(3).ok());

    let gatehouse = start(&[1], "handshakes_max = 50");
    let _silent: Vec<_> =
        (0..40).map(|_| gatehouse.connect_from(gatehouse.https, 2, None)).collect();
    assert_eq!(ask(&mut gatehouse.secure_client()), 200, "with a larger limit");
}

/// However a handshake ends, its place comes free.
#[test]
fn handshakes_that_have_ended() {
    let gatehouse = start(&[1], "handshakes_max = 1\n[timeouts]\nhandshake = \"200ms\"");
    for end in ["whole", "whole", "silent", "garbage", "left"] {
        let mut raw = gatehouse.connect_from(gatehouse.https, 2, None);
        match end {
            "whole" => drop(raw),
            "silent" => drop(Wire::plain(raw).expect_end()),
            "garbage" => {
                raw.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
                Wire::plain(raw).rest();
            }
            _ => {
                raw.write_all(b"\x16\x03\x01").unwrap();
                Wire::plain(raw).reset();
            }
        }
        // The same client takes its session up again from the second time on.
        let mut client = until(end, || gatehouse.try_secure_client_from(3).ok());
        assert_eq!(ask(&mut client), 200, "{end}");
    }
}

/// Clients that hold a buffer each, as long as their heads are not whole: so many that `idle` gets no
/// answer any more.
fn fill(gatehouse: &Gatehouse, idle: &mut Wire, most: usize) -> Vec<Wire> {
    let mut begun = Vec::new();
    while begun.len() < most {
        let mut client = gatehouse.client();
        client.send("GET /own HTTP/1.1\r\nHost: a.te");
        begun.push(client);
        if ask(idle) != 200 {
            break;
        }
    }
    begun
}

#[test]
fn memory_for_buffers() {
    let origin = Origin::new();
    let gatehouse = start(&[origin.port()], "memory_max = \"1MiB\"");
    let mut running = gatehouse.client();
    running.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    let mut idle = gatehouse.client();

    // 1 MiB are 128 clients of 6 KiB with a buffer of 2 KiB each; a few more buffers are at work. The
    // other worker may not have come to all of them yet.
    let begun = fill(&gatehouse, &mut idle, 400);
    assert!((90..400).contains(&begun.len()), "{}", begun.len());
    assert_eq!(ask(&mut gatehouse.client()), 503, "no new clients");
    idle.end();
    idle.expect_end();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(running.answer().text(), "hello", "who is served notices nothing");
    let records = begun.len() + 2;
    drop(begun);
    until("memory for new clients", || (ask(&mut gatehouse.client()) == 200).then_some(()));
    expect_failure(&gatehouse, records, "memory_full", "proxy");

    let gatehouse = start(&[1], "memory_max = \"8MiB\"");
    let mut idle = gatehouse.client();
    assert_eq!(fill(&gatehouse, &mut idle, 400).len(), 400, "with a larger limit");
    assert_eq!(ask(&mut idle), 200);
}

/// An idle client with TLS owns no buffer, but its session.
#[test]
fn memory_for_sessions() {
    let gatehouse = start(&[1], "memory_max = \"1MiB\"");
    let mut clients = Vec::new();
    while clients.len() < 200 && ask(&mut gatehouse.client()) == 200 {
        let mut client = gatehouse.secure_client();
        ask(&mut client);
        clients.push(client);
    }
    assert!((80..=128).contains(&clients.len()), "{}", clients.len());
    drop(clients);
    until("memory for new clients", || (ask(&mut gatehouse.client()) == 200).then_some(()));
}

//! Where the box ends, clients are told, and those who are served notice nothing.

use crate::rig::{Gatehouse, Origin, Wire, until};

const OWN: &str = "[[site.a.rule]]\nname = \"own\"\npath = \"/own\"\n\
                   respond = { status = 200, body = \"own\" }\n\
                   [[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n";

const SITE: &str =
    "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n";

fn ask(client: &mut Wire) -> u16 {
    client.send("GET /own HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.answer().status()
}

fn check_descriptors(secure: bool) {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], &format!("{SITE}{OWN}"));
    let connect = || if secure { gatehouse.secure_client() } else { gatehouse.client() };
    let mut running = connect();
    running.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();

    gatehouse.limit_files(gatehouse.descriptors() + 10);
    let mut clients = Vec::new();
    let refused = loop {
        assert!(clients.len() < 40, "the limit is never reached");
        let mut client = connect();
        let status = ask(&mut client);
        clients.push(client);
        if status != 200 {
            break status;
        }
    };
    assert_eq!(refused, 503);
    // Some more, one after the other: the spare descriptors come back. Where one comes back late,
    // a client may get it instead.
    for _ in 0..30 {
        let mut client = connect();
        assert!([200, 503].contains(&ask(&mut client)));
        client.end();
        client.expect_end();
    }
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(running.answer().text(), "hello", "who is served notices nothing");
    assert_eq!(ask(&mut clients[0]), 200, "nor does who was there before");

    // As soon as some have gone, others may come.
    let gone = clients.len() / 2;
    drop(clients.drain(..gone));
    until("service for new clients", || (ask(&mut connect()) == 200).then_some(()));
    gatehouse.limit_files(1000);
    let mut many: Vec<Wire> = (0..60).map(|_| connect()).collect();
    assert!(many.iter_mut().all(|client| ask(client) == 200), "and all, when there is room again");
    let failures = gatehouse.records(30);
    assert!(failures.iter().any(|record| record["failure"] == "no_descriptors"), "{failures:#?}");
}

#[test]
fn without_descriptors_new_clients_get_503() {
    check_descriptors(false);
}

#[test]
fn without_descriptors_new_clients_get_503_by_tls() {
    check_descriptors(true);
}

/// Idle upstream connections are given up for clients. Their descriptors come free a moment later,
/// so of those who come at once some may still be refused.
#[test]
fn idle_upstream_connections_make_room() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], &format!("{SITE}{OWN}"));
    let mut clients: Vec<Wire> = (0..8).map(|_| gatehouse.client()).collect();
    let mut servers: Vec<Wire> = Vec::new();
    for client in &mut clients {
        client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        servers.push(origin.accept());
    }
    for server in &mut servers {
        server.head();
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    for client in &mut clients {
        client.answer();
    }
    gatehouse.limit_files(gatehouse.descriptors());
    let mut burst: Vec<Wire> = (0..6).map(|_| gatehouse.client()).collect();
    assert!(burst.iter_mut().all(|client| [200, 503].contains(&ask(client))));
    drop(burst);
    let mut kept = Vec::new();
    for _ in 0..6 {
        let served = || {
            let mut client = gatehouse.client();
            (ask(&mut client) == 200).then_some(client)
        };
        kept.push(until("service in the place of an idle connection", served));
    }
}

#[test]
fn more_clients_than_the_file_allows_get_503() {
    let limits = "[limits]\nclients_max = 3\n[workers]\ncount = 2\n";
    let gatehouse = Gatehouse::publish(&[1], &format!("{limits}{SITE}{OWN}"));
    let mut clients: Vec<Wire> = (0..3).map(|_| gatehouse.client()).collect();
    assert!(clients.iter_mut().all(|client| ask(client) == 200));
    for _ in 0..5 {
        let mut client = gatehouse.client();
        assert_eq!(ask(&mut client), 503, "over both workers");
        client.end();
        client.expect_end();
    }
    clients.pop();
    until("service for new clients", || (ask(&mut gatehouse.client()) == 200).then_some(()));
    assert_eq!(ask(&mut clients[0]), 200);
}

/// Announced, and found out on the way.
#[test]
fn bodies_longer_than_the_file_allows_get_413() {
    let origin = Origin::new();
    let limits = "[limits]\nbody_bytes_max = 10\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], limits);
    let mut client = gatehouse.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\nhello world");
    assert_eq!(client.answer().status(), 413);
    client.end();
    client.expect_end();
    origin.expect_nobody();
    let mut client = gatehouse.client();
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{chunked}6\r\nhello \r\n5\r\nworld\r\n"));
    assert_eq!(client.answer().status(), 413);
    let mut server = origin.accept();
    let (rest, _) = server.rest();
    assert!(!String::from_utf8(rest).unwrap().contains("\r\n0\r\n"));
    client.end();
    client.expect_end();
}

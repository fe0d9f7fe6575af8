//! Every time-out, in every table that it may stand in: it ends what it is called after when its
//! time has come, and a neighbour notices nothing.

use std::time::{Duration, Instant};

use crate::rig::{End, Folder, Gatehouse, Kind, Origin, Wire, leaf, now};

/// What is set is half a second; clocks of the proxy move in steps.
const EARLY: Duration = Duration::from_millis(450);

/// Idle upstream connections are looked at once a second, and machines are busy; every default is
/// longer.
const LATE: Duration = Duration::from_millis(4500);

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// Somebody else, whose pool gives everything time.
const NEIGHBOUR: &str = "[site.n]\nnames = [\"n.test\"]\nlisteners = [\"http\"]\n\
    timeouts = { client_idle = \"60s\" }\n\
    [[site.n.rule]]\npath = \"/\"\npool = \"neighbour\"\n\
    [pool.neighbour.timeouts]\nclient_body_idle = \"60s\"\nclient_write_idle = \"60s\"\n\
    connect = \"60s\"\nresponse_head = \"60s\"\nresponse_body_idle = \"60s\"\n\
    tunnel_idle = \"60s\"\nupstream_idle = \"60s\"\n";

/// The file with `key` as half a second in one table, and longer in those that are weaker.
fn file(origin: u16, neighbour: u16, (key, table): (&str, &str), tables: &[&str]) -> String {
    let tls = match key {
        "connect" => "[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"origin.test\"\n",
        _ => "",
    };
    let strength = tables.iter().position(|one| *one == table).unwrap();
    let times = tables.iter().enumerate().skip(strength).map(|(at, table)| {
        let time = if at == strength { "500ms" } else { "60s" };
        format!("[{table}]\n{key} = \"{time}\"\n")
    });
    format!(
        "[pool.origin]\nservers = [\"127.0.0.1:{origin}\"]\n{tls}\
         [pool.neighbour]\nservers = [\"127.0.0.1:{neighbour}\"]\n{NEIGHBOUR}\
         [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n\
         [[site.a.rule]]\npath = \"/own\"\nrespond = {{ status = 200, body = \"own\" }}\n\
         [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n{}",
        times.collect::<String>()
    )
}

/// What is done until the time runs, and until it has run out; gives the moment from which on.
type Story = fn(&Gatehouse, &Origin) -> Instant;

/// Runs the story once for each table, the strongest of which comes first.
fn check(key: &str, tables: &[&str], story: Story) {
    for table in tables {
        let origin = match key {
            "connect" => Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server()),
            _ => Origin::new(),
        };
        let other = Origin::new();
        let text = file(origin.port(), other.port(), (key, table), tables);
        let gatehouse = Gatehouse::start(Folder::new(), &text);
        let mut neighbour = gatehouse.client();
        neighbour.send("GET /poll HTTP/1.1\r\nHost: n.test\r\n\r\n");
        let mut polled = other.accept();
        polled.head();
        let took = story(&gatehouse, &origin).elapsed();
        assert!((EARLY..LATE).contains(&took), "[{table}] {key}: {took:?}");
        neighbour.expect_nothing_yet();
        polled.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(neighbour.answer().text(), "ok", "[{table}] {key}");
    }
}

const FILE: &str = "timeouts";
const ALL: [&str; 3] = ["pool.origin.timeouts", "site.a.timeouts", FILE];

#[test]
fn handshake() {
    check("handshake", &[FILE], |gatehouse, _| {
        let begun = now();
        Wire::plain(gatehouse.connect_from(gatehouse.https, 2, None)).expect_end();
        begun
    });
}

#[test]
fn client_head() {
    check("client_head", &[FILE], |gatehouse, _| {
        let mut client = gatehouse.secure_client();
        let begun = now();
        client.send("GET /x HTTP/1.1\r\nHost: a.te");
        assert_eq!(client.answer().status(), 408);
        begun
    });
    // Who says nothing is told nothing.
    check("client_head", &[FILE], |gatehouse, _| {
        let mut client = gatehouse.client();
        let begun = now();
        assert_eq!(client.expect_end(), End::Closed);
        begun
    });
}

/// After an answer of ours as after a server's.
#[test]
fn client_idle() {
    let tables = ["site.a.timeouts", FILE];
    check("client_idle", &tables, |gatehouse, _| {
        let mut client = gatehouse.client();
        client.send("GET /own HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().text(), "own");
        let begun = now();
        assert_eq!(client.expect_end(), End::Closed);
        begun
    });
    check("client_idle", &tables, |gatehouse, origin| {
        let (_, client) = after_one_exchange(gatehouse, origin, "");
        let begun = now();
        assert_eq!({ client }.expect_end(), End::Closed);
        begun
    });
}

/// A client and a server between which one exchange has passed; `more` are fields of the request.
fn after_one_exchange(gatehouse: &Gatehouse, origin: &Origin, more: &str) -> (Wire, Wire) {
    let mut client = gatehouse.client();
    client.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{more}\r\n"));
    let mut server = origin.accept();
    server.head();
    server.send(EMPTY);
    assert_eq!(client.answer().status(), 200);
    (server, client)
}

#[test]
fn client_body_idle() {
    check("client_body_idle", &ALL, |gatehouse, origin| {
        let mut client = gatehouse.client();
        client.send("POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        client.send("a");
        server.expect("a");
        let begun = now();
        assert_eq!(client.answer().status(), 408);
        begun
    });
}

/// The network takes a little for the client before it is full.
#[test]
fn client_write_idle() {
    check("client_write_idle", &ALL, |gatehouse, origin| {
        let mut client = Wire::plain(gatehouse.connect_from(gatehouse.http, 2, Some(16 << 10)));
        client.send(GET);
        let mut server = origin.accept();
        server.head();
        let begun = now();
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while server.try_send([b'x'; 1 << 16]).is_ok() {}
        let record = &gatehouse.records(1)[0];
        assert_eq!(record["failure"], "client_slow_reader", "{record}");
        begun
    });
}

/// The server takes the connection, and says nothing of TLS.
#[test]
fn connect() {
    check("connect", &ALL, |gatehouse, origin| {
        let mut client = gatehouse.client();
        let begun = now();
        client.send(GET);
        let _silent = origin.accept_silent();
        assert_eq!(client.answer().status(), 504);
        begun
    });
}

#[test]
fn response_head() {
    check("response_head", &ALL, |gatehouse, origin| {
        let mut client = gatehouse.client();
        client.send(GET);
        let mut server = origin.accept();
        server.head();
        let begun = now();
        server.send("HTTP/1.1 200 OK\r\nContent-Le");
        assert_eq!(client.answer().status(), 504);
        begun
    });
}

#[test]
fn response_body_idle() {
    check("response_body_idle", &ALL, |gatehouse, origin| {
        let mut client = gatehouse.client();
        client.send(GET);
        let mut server = origin.accept();
        server.head();
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
        client.head();
        client.expect("hello");
        let begun = now();
        assert_eq!(client.expect_end(), End::Reset);
        begun
    });
}

#[test]
fn tunnel_idle() {
    check("tunnel_idle", &ALL, |gatehouse, origin| {
        let mut client = gatehouse.client();
        client.send(
            "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        let mut server = origin.accept();
        server.head();
        server.send("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
        client.head();
        let begun = now();
        client.expect_end();
        server.expect_end();
        begun
    });
}

#[test]
fn upstream_idle() {
    let tables = ["pool.origin.timeouts", FILE];
    check("upstream_idle", &tables, |gatehouse, origin| {
        let (mut server, mut client) = after_one_exchange(gatehouse, origin, "");
        let begun = now();
        server.expect_end();
        client.expect_nothing_yet();
        begun
    });
    // One that is a logged-in client's own ends with that client, who goes first.
    check("upstream_idle", &tables, |gatehouse, origin| {
        let login = "Authorization: NTLM x\r\n";
        let (mut server, mut client) = after_one_exchange(gatehouse, origin, login);
        let begun = now();
        assert_eq!(client.expect_end(), End::Closed);
        server.expect_end();
        begun
    });
}

//! Which server of a pool is asked, by which adapter, and over which connection.

use std::collections::BTreeMap;

use crate::rig::{Folder, Gatehouse, Origin, Wire, free_port, named, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

/// Publishes one pool, written as `pool` says.
fn publish(pool: &str) -> Gatehouse {
    Gatehouse::start(Folder::new(), &format!("[pool.origin]\n{pool}\n"))
}

/// What the server that was asked says of itself: name, our address, number of the connection.
#[track_caller]
fn ask(client: &mut Wire) -> [String; 3] {
    client.send(GET);
    let answer = client.answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
    let text = answer.text();
    let words: Vec<&str> = text.split(' ').collect();
    [words[0].to_owned(), words[1].to_owned(), words[2].to_owned()]
}

/// How many of `count` requests, one after the other, came to which server.
fn spread(gatehouse: &Gatehouse, count: usize) -> BTreeMap<String, usize> {
    let mut client = gatehouse.client();
    let mut counts = BTreeMap::new();
    for _ in 0..count {
        let [name, ..] = ask(&mut client);
        *counts.entry(name).or_default() += 1;
    }
    counts
}

/// The counts of servers, by name.
#[track_caller]
fn check_spread(pool: &str, expected: &[(&str, usize)]) {
    let total = expected.iter().map(|(_, count)| count).sum();
    let counts = spread(&publish(pool), total);
    let expected = expected.iter().map(|(name, count)| ((*name).to_owned(), *count));
    assert_eq!(counts, expected.collect(), "{pool}");
}

#[test]
fn servers_share_the_load_by_their_weights() {
    let (a, b) = (named("a"), named("b"));
    let pool = |weight: &str| {
        format!(
            "servers = [\"127.0.0.1:{a}\", {{ address = \"127.0.0.1:{b}\"{weight} }}]\n\
             balance = \"round-robin\""
        )
    };
    check_spread(&pool(""), &[("a", 6), ("b", 6)]);
    check_spread(&pool(", weight = 3"), &[("a", 3), ("b", 9)]);
    check_spread(&pool(", weight = 5"), &[("a", 2), ("b", 10)]);
}

#[test]
fn a_backup_is_asked_only_when_no_server_is_there() {
    let (a, b, c, nobody) = (named("a"), named("b"), named("c"), free_port());
    let pool = |server: u16, backup: &str| {
        let text = format!("servers = [\"127.0.0.1:{server}\"]\n{backup}\n");
        text.replace("$b", &format!("\"127.0.0.1:{b}\"")) + "balance = \"round-robin\""
    };
    check_spread(&pool(a, "backup = [$b]"), &[("a", 4)]);
    check_spread(&pool(nobody, "backup = [$b]"), &[("b", 4)]);
    check_spread(&pool(a, "backup = [{ address = $b }]"), &[("a", 4)]);
    check_spread(&pool(nobody, "backup = [{ address = $b }]"), &[("b", 4)]);
    // Without it there is nobody.
    let gatehouse = publish(&pool(nobody, ""));
    let mut client = gatehouse.client();
    client.send(GET);
    assert_eq!(client.answer().status(), 503);
    assert_eq!(gatehouse.records(1)[0]["failure"], "upstream_refused");

    // Two backups share by weights of their own.
    let two = |weight: usize| {
        let second = format!("{{ address = \"127.0.0.1:{c}\", weight = {weight} }}");
        pool(nobody, &format!("backup = [$b, {second}]"))
    };
    check_spread(&two(1), &[("b", 6), ("c", 6)]);
    check_spread(&two(3), &[("b", 3), ("c", 9)]);
}

/// With one server busy, the other one gets everything, or every second request.
#[test]
fn balance_looks_at_the_load_or_does_not() {
    for (balance, expected) in
        [("", 0), ("balance = \"least-loaded\"", 0), ("balance = \"round-robin\"", 3)]
    {
        let (busy, free) = (Origin::new(), named("free"));
        let servers = format!("servers = [\"127.0.0.1:{}\", \"127.0.0.1:{free}\"]", busy.port());
        let gatehouse = publish(&format!("{servers}\n{balance}"));
        // Sends one request; whether it is stuck at the server that does not answer.
        let mut stuck = Vec::new();
        let mut is_stuck = || {
            let mut client = gatehouse.client();
            client.send(GET);
            let server = until("an answer, or a request that is stuck", || match busy.came() {
                Some(server) => Some(Some(server)),
                None => client.has_bytes().then_some(None),
            });
            let is_stuck = server.is_some();
            if is_stuck {
                stuck.push((client, server));
            }
            is_stuck
        };
        until("a first request at the busy server", || is_stuck().then_some(()));
        let more = (0..6).filter(|_| is_stuck()).count();
        assert_eq!(more, expected, "{balance}");
    }
}

#[test]
fn idle_connections_are_kept_up_to_the_limit_and_by_its_own_pool_only() {
    for most in [0, 1, 2] {
        let (origin, other) = (Origin::new(), named("other"));
        let text = format!(
            "[pool.origin]\nservers = [\"127.0.0.1:{}\"]\nidle_max = {most}\n\
             [pool.other]\nservers = [\"127.0.0.1:{other}\"]\n\
             [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
             [[site.a.rule]]\npath = \"/other\"\npool = \"other\"\n\
             [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n",
            origin.port()
        );
        let gatehouse = Gatehouse::start(Folder::new(), &text);
        let mut neighbour = gatehouse.client();
        let mut ask_other = || {
            neighbour.send("GET /other HTTP/1.1\r\nHost: a.test\r\n\r\n");
            assert_eq!(neighbour.answer().text(), "other 127.0.0.1 0", "over its one connection");
        };
        ask_other();
        // Two at once, and then two at once again.
        let mut clients = [gatehouse.client(), gatehouse.client()];
        let mut servers = Vec::new();
        for client in &mut clients {
            client.send(GET);
            let mut server = origin.accept();
            server.head();
            servers.push(server);
        }
        for (client, server) in clients.iter_mut().zip(&mut servers) {
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(client.answer().status(), 200);
        }
        for server in &mut servers[most..] {
            server.expect_end();
        }
        ask_other();
        for client in &mut clients {
            client.send(GET);
        }
        for server in &mut servers[..most] {
            server.head();
        }
        for _ in most..2 {
            origin.accept().head();
        }
        origin.expect_nobody();
        ask_other();
    }
}

/// Both adapters stand on the loopback, with addresses of their own.
#[test]
fn servers_are_reached_from_the_address_of_their_adapter() {
    let port = named("a");
    for (adapters, adapter, seen) in [
        (["127.0.0.1", "127.0.0.1"], "", "127.0.0.1"),
        (["127.0.0.1", "127.0.0.8"], "", "127.0.0.8"),
        (["127.0.0.1", "127.0.0.9"], "adapter = \"internal\"", "127.0.0.9"),
        (["127.0.0.1", "127.0.0.9"], "adapter = \"external\"", "127.0.0.1"),
    ] {
        let text = format!(
            "[adapter.external]\naddresses = [\"{}\"]\n[adapter.internal]\naddresses = [\"{}\"]\n\
             [pool.origin]\nservers = [\"127.0.0.1:{port}\"]\n{adapter}\n",
            adapters[0], adapters[1]
        );
        let gatehouse = Gatehouse::start(Folder::new(), &text);
        let [_, address, _] = ask(&mut gatehouse.client());
        assert_eq!(address, seen, "{text}");
    }
}

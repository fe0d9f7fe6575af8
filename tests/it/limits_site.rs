//! What is limited per site: who may come, how long a server may take.

use std::time::Duration;

use crate::rig::{Gatehouse, Origin, Wire, now, until};

fn site(name: &str, more: &str) -> String {
    format!(
        "[site.{name}]\nnames = [\"{name}.test\"]\nlisteners = [\"http\"]\n{more}\n\
         [[site.{name}.rule]]\npath = \"/own\"\nrespond = {{ status = 200, body = \"own\" }}\n"
    )
}

fn ask(client: &mut Wire, host: &str) -> u16 {
    client.send(format!("GET /own HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.answer().status()
}

#[track_caller]
fn check_admission(keys: &str, expected: &[(u8, u16)]) {
    let sites = format!("[workers]\ncount = 2\n{}{}", site("a", keys), site("b", ""));
    let gatehouse = Gatehouse::publish(&[1], &sites);
    for (last, status) in expected {
        let mut client = gatehouse.client_from(*last);
        assert_eq!(ask(&mut client, "a.test"), *status, "127.0.0.{last} with {keys}");
        client.send("GET /none HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let none = if *status == 403 { 403 } else { 404 };
        assert_eq!(client.answer().status(), none, "also where nothing is");
        assert_eq!(ask(&mut client, "b.test"), 200, "another site, by the same connection");
    }
    for record in gatehouse.records(expected.len() * 3) {
        let refused = record["status"] == 403;
        assert_eq!(record["failure"] == "address_refused", refused, "{record}");
        assert!(!refused || record["fault_of"] == "client" && record["site"] == "a", "{record}");
    }
}

#[test]
fn who_may_come() {
    check_admission("", &[(2, 200), (3, 200)]);
    check_admission("allow = [\"127.0.0.2\"]", &[(2, 200), (3, 403)]);
    check_admission("deny = [\"127.0.0.2\"]", &[(2, 403), (3, 200)]);
    check_admission(
        "allow = [\"127.0.0.0/8\", \"127.0.0.9\"]\ndeny = [\"127.0.0.8/29\"]",
        &[(7, 200), (8, 403), (9, 200), (15, 403), (16, 200)],
    );
}

/// The pool's time-out before the site's before that of the file.
#[test]
fn who_says_how_long_a_server_may_take() {
    const LONG: Duration = Duration::from_millis(700);
    let origin = Origin::new();
    let port = origin.port();
    let pool = |name: &str, time: &str| {
        let own = format!("[pool.{name}.timeouts]\nresponse_head = \"{time}\"\n");
        let own = if time.is_empty() { String::new() } else { own };
        format!("[pool.{name}]\nservers = [\"127.0.0.1:{port}\"]\n{own}")
    };
    let rules = |site: &str, time: &str| {
        let own = format!("[site.{site}.timeouts]\nresponse_head = \"{time}\"\n");
        let own = if time.is_empty() { String::new() } else { own };
        let rules = ["plain", "short", "long"]
            .map(|pool| format!("[[site.{site}.rule]]\npath = \"/{pool}\"\npool = \"{pool}\"\n"));
        format!(
            "[site.{site}]\nnames = [\"{site}.test\"]\nlisteners = [\"http\"]\n{own}{}",
            rules.concat()
        )
    };
    let pools = [("plain", ""), ("short", "200ms"), ("long", "60s")];
    let pools = pools.map(|(name, time)| pool(name, time)).concat();
    let sites = [("a", ""), ("b", "200ms"), ("c", "60s")];
    let sites = sites.map(|(name, time)| rules(name, time)).concat();
    for (global, plain_at_a) in [("200ms", true), ("60s", false)] {
        let file = format!("[timeouts]\nresponse_head = \"{global}\"\n{pools}{sites}");
        let gatehouse = Gatehouse::publish(&[port], &file);
        let mut waiting = Vec::new();
        for (site, pool, is_short) in [
            ("a", "plain", plain_at_a),
            ("a", "short", true),
            ("a", "long", false),
            ("b", "plain", true),
            ("b", "long", false),
            ("c", "plain", false),
            ("c", "short", true),
        ] {
            let mut client = gatehouse.client();
            client.send(format!("GET /{pool} HTTP/1.1\r\nHost: {site}.test\r\n\r\n"));
            let mut server = origin.accept();
            server.head();
            waiting.push((client, server, is_short, format!("{site} {pool} {global}")));
        }
        let start = now();
        until("the short time to pass", || (start.elapsed() > LONG).then_some(()));
        for (mut client, mut server, is_short, which) in waiting {
            if !is_short {
                client.expect_nothing_yet();
                server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
            let expected = if is_short { 504 } else { 200 };
            assert_eq!(client.answer().status(), expected, "{which}");
        }
    }
}

/// The timer of a connection and when it is due, as the kernel lists it.
fn timer(local: u16, remote: u16) -> Option<(u8, Duration)> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let port = |word: &str| u16::from_str_radix(word.rsplit_once(':')?.1, 16).ok();
        if port(words.get(1)?) != Some(local) || port(words.get(2)?) != Some(remote) {
            return None;
        }
        let (kind, due) = words.get(5)?.split_once(':')?;
        let hundredths = u64::from_str_radix(due, 16).ok()?;
        Some((u8::from_str_radix(kind, 16).ok()?, Duration::from_millis(hundredths * 10)))
    })
}

/// A peer that vanishes while nothing is said is looked for by the kernel, on both sides.
#[test]
fn silent_connections_are_kept_alive() {
    const KEEPALIVE: u8 = 2;
    let origin = Origin::new();
    let own = "[pool.origin.timeouts]\ntcp_keepalive = \"50s\"\n";
    for (keys, client_time, server_time) in [
        ("[timeouts]\ntcp_keepalive = \"30s\"\n", 30, 30),
        ("[timeouts]\ntcp_keepalive = \"90s\"\n", 90, 90),
        (&format!("{own}[timeouts]\ntcp_keepalive = \"90s\"\n"), 90, 50),
    ] {
        let gatehouse = Gatehouse::publish(&[origin.port()], keys);
        let mut client = gatehouse.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        let ways = [
            (gatehouse.http, client.local_port(), client_time),
            (server.peer_port(), origin.port(), server_time),
        ];
        for (local, remote, seconds) in ways {
            let due = until("a keepalive timer", || {
                let (kind, due) = timer(local, remote)?;
                (kind == KEEPALIVE).then_some(due)
            });
            let length = Duration::from_secs(seconds);
            assert!(due <= length && due > length - Duration::from_secs(20), "{due:?} {keys}");
        }
    }
}

//! Probes, and what follows from them.

use std::net::{Ipv4Addr, TcpListener};

use crate::rig::{Child, Folder, Gatehouse, Real, Wire, free_port, nginx, until};

/// As often as leaves time for an answer on a busy machine.
const FAST: &str = "every = \"300ms\"\nfall = 2\n";

/// A pool whose servers are well as long as they have this file.
const PROBE: &str = "http = { path = \"/well.txt\" }\n";

fn get(client: &mut Wire) -> u16 {
    client.send("GET /small.txt HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.answer().status()
}

fn well(server: &Real) {
    std::fs::write(server.file("well.txt"), "well\n").unwrap();
}

fn ill(server: &Real) {
    std::fs::remove_file(server.file("well.txt")).unwrap();
}

/// Asks again and again, until the last requests went to these servers and to each of them.
#[track_caller]
fn until_served_by(gatehouse: &Gatehouse, asked: &mut usize, names: &[String]) {
    let mut client = gatehouse.client();
    until(&format!("requests served by {names:?}"), || {
        const TRIES: usize = 6;
        for _ in 0..TRIES {
            assert_eq!(get(&mut client), 200);
        }
        *asked += TRIES;
        let records = gatehouse.records(*asked);
        let last = records[*asked - TRIES..].iter();
        let mut served: Vec<String> =
            last.map(|record| record["server"].as_str().unwrap().to_owned()).collect();
        served.sort();
        served.dedup();
        let mut names = names.to_vec();
        names.sort();
        (served == names).then_some(())
    });
}

fn name(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

#[test]
fn traffic_follows_what_probes_say() {
    let (first, second) = (nginx(), nginx());
    well(&first);
    well(&second);
    let more = format!("balance = \"round-robin\"\n[pool.origin.probe]\n{FAST}{PROBE}");
    let gatehouse = Gatehouse::publish(&[first.plain, second.plain], &more);
    let (one, other) = (name(first.plain), name(second.plain));
    let mut asked = 0;
    until_served_by(&gatehouse, &mut asked, &[one.clone(), other.clone()]);
    ill(&first);
    until_served_by(&gatehouse, &mut asked, std::slice::from_ref(&other));
    let line = gatehouse.expect_said("is down: 2 probes in a row failed");
    assert!(line.contains(&format!("pool origin: server {one} is down")), "{line}");
    assert!(line.contains("status 404 instead of 200; requests go to the others"), "{line}");
    assert!(line.contains(&format!("curl -sv 'http://{one}/well.txt'")), "{line}");
    well(&first);
    until_served_by(&gatehouse, &mut asked, &[one.clone(), other]);
    gatehouse.expect_said(&format!("{one} is up again"));
    // The Host is the server's own name, and the connection ends behind each probe.
    let log = std::fs::read_to_string(first.file("../access.log")).unwrap();
    let probes = log.lines().filter(|line| line.contains("/well.txt"));
    assert!(probes.clone().count() > 3);
    for line in probes {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!((words[1], words[2], words[5]), ("1", "GET", one.as_str()), "{line}");
    }
}

#[test]
fn another_port_decides() {
    // As with Lync: the web server answers, and the service behind it does not run.
    let probed = free_port();
    let (first, second) = (Child::new(), Child::new());
    let service = || TcpListener::bind((Ipv4Addr::LOCALHOST, probed)).unwrap();
    let running = service();
    let more = format!("[pool.origin.probe]\n{FAST}tcp = {probed}\nall_down = \"refuse\"\n");
    let gatehouse = Gatehouse::publish(&[first.port, second.port], &more);
    let mut client = gatehouse.client();
    assert_eq!(get(&mut client), 200);
    drop(running);
    until("a refusal", || (get(&mut client) == 503).then_some(()));
    let line = gatehouse.expect_said("no other is up, and requests get 503");
    assert!(line.contains(&format!("`nc -vz 127.0.0.1 {probed}`")), "{line}");
    let _running = service();
    until("an answer", || (get(&mut client) == 200).then_some(()));
}

#[test]
fn when_all_are_down_they_are_tried_or_not() {
    for (all_down, expected) in [("try-all", 200), ("refuse", 503)] {
        let server = nginx();
        well(&server);
        let more = format!("[pool.origin.probe]\n{FAST}{PROBE}all_down = \"{all_down}\"\n");
        let gatehouse = Gatehouse::publish(&[server.plain], &more);
        let mut client = gatehouse.client();
        assert_eq!(get(&mut client), 200);
        ill(&server);
        gatehouse.expect_said("is down");
        assert_eq!(get(&mut client), expected, "{all_down}");
        let record = &gatehouse.records(2)[1];
        let failure = if expected == 200 { None } else { Some("all_down") };
        assert_eq!(record["failure"].as_str(), failure, "{record}");
        well(&server);
        until("an answer", || (get(&mut client) == 200).then_some(()));
    }
}

#[test]
fn a_backup_takes_over_and_gives_back() {
    let (server, backup) = (nginx(), nginx());
    well(&server);
    well(&backup);
    let more =
        format!("backup = [\"127.0.0.1:{}\"]\n[pool.origin.probe]\n{FAST}{PROBE}", backup.plain);
    let gatehouse = Gatehouse::publish(&[server.plain], &more);
    let (usual, backup) = ([name(server.plain)], [name(backup.plain)]);
    let mut asked = 0;
    until_served_by(&gatehouse, &mut asked, &usual);
    ill(&server);
    until_served_by(&gatehouse, &mut asked, &backup);
    well(&server);
    until_served_by(&gatehouse, &mut asked, &usual);
}

#[test]
fn what_is_known_outlasts_a_reload() {
    let server = nginx();
    let pool = format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", server.plain);
    // So slow that what is forgotten would not be known again in this test's time.
    let probe = |every: &str, path: &str| {
        format!(
            "[pool.origin.probe]\nhttp = {{ path = \"{path}\" }}\nevery = \"{every}\"\ntimeout = \"100ms\"\n\
             fall = 2\nall_down = \"refuse\"\n"
        )
    };
    let file = |rest: &str| format!("{pool}{rest}");
    let gatehouse = Gatehouse::start(Folder::new(), &file(&probe("100ms", "/well.txt")));
    gatehouse.expect_said("is down");
    let mut client = gatehouse.client();
    assert_eq!(get(&mut client), 503);
    gatehouse.change(&file(&probe("1h", "/well.txt")));
    assert_eq!(get(&mut client), 503, "the same question has the same answer");
    gatehouse.change(&file(&probe("1h", "/other.txt")));
    assert_eq!(get(&mut client), 200, "nobody has answered that one yet");
    gatehouse.change(&file(&probe("100ms", "/well.txt")));
    until("a refusal", || (get(&mut client) == 503).then_some(()));
    gatehouse.change(&pool);
    assert_eq!(get(&mut client), 200, "without a probe every server is as good");
    // A server that left and comes again is a new one.
    gatehouse.change(&file(&probe("100ms", "/well.txt")));
    until("a refusal", || (get(&mut client) == 503).then_some(()));
    gatehouse.change(&format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", free_port()));
    gatehouse.change(&file(&probe("1h", "/well.txt")));
    assert_eq!(get(&mut client), 200);
}

#[test]
fn probes_verify_as_requests_do() {
    let server = nginx();
    well(&server);
    // By the name that the pool verifies; then by one that the server is not.
    let file = |name: &str, probe: &str| {
        format!(
            "[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n[pool.origin.tls]\nca = \"ca.pem\"\n\
             server_name = \"{name}\"\n[pool.origin.probe]\n{FAST}{probe}all_down = \"refuse\"\n",
            server.tls
        )
    };
    for probe in [PROBE, ""] {
        let good = file("origin.test", probe);
        let gatehouse = Gatehouse::start(Folder::new(), &good);
        if !probe.is_empty() {
            until("probes over TLS", || {
                let log = std::fs::read_to_string(server.file("../access.log")).unwrap();
                let asked = "GET /well.txt HTTP/1.1 origin.test 200";
                (log.matches(asked).count() > 3).then_some(())
            });
        }
        let mut client = gatehouse.client();
        assert_eq!(get(&mut client), 200);
        gatehouse.change(&file("other.test", probe));
        let line = gatehouse.expect_said("is down: 2 probes in a row failed");
        assert!(
            line.contains("TLS cannot be set up (") && line.contains("not valid for name"),
            "{line}"
        );
        assert_eq!(get(&mut client), 503);
    }
}

/// Hundreds of servers that do not answer hold up nobody: each is found in its own time.
#[test]
fn probes_do_not_wait_for_each_other() {
    const SERVERS: u8 = 200;
    // Takes connections, and says nothing.
    let port = free_port();
    let listen = |last| TcpListener::bind((Ipv4Addr::new(127, 0, 1, last), port)).unwrap();
    let silent: Vec<TcpListener> = (1..=SERVERS).map(listen).collect();
    let servers: Vec<String> =
        (1..=SERVERS).map(|last| format!("\"127.0.1.{last}:{port}\"")).collect();
    let child = Child::new();
    let gatehouse = Gatehouse::start(
        Folder::new(),
        &format!(
            "[pool.origin]\nservers = [{}]\nbackup = [\"127.0.0.1:{}\"]\n[pool.origin.probe]\n\
             http = {{ path = \"/\" }}\nevery = \"1s\"\ntimeout = \"1s\"\nfall = 2\n",
            servers.join(", "),
            child.port
        ),
    );
    // One after the other it would take 400 s.
    for last in [1, SERVERS / 2, SERVERS] {
        gatehouse.expect_said(&format!("127.0.1.{last}:{port} is down"));
    }
    until("the last of them", || {
        (1..=SERVERS)
            .all(|last| gatehouse.has_said(&format!("127.0.1.{last}:{port} is down")))
            .then_some(())
    });
    assert_eq!(get(&mut gatehouse.client()), 200);
    drop(silent);
}

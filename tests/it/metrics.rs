//! Metrics and health by HTTP: what was counted is what went through, and whoever asks keeps nobody
//! waiting.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::rig::{Folder, Gatehouse, Origin, Wire, begin_with_input, free_port, now, until};

pub(crate) fn admin(port: u16) -> String {
    format!("[admin]\nsocket = \"./admin.sock\"\nadapter = \"internal\"\nport = {port}\n")
}

/// A site that needs no server.
fn site(name: &str, host: &str) -> String {
    format!(
        "[site.{name}]\nnames = [\"{host}\"]\nlisteners = [\"http\"]\n\
         [[site.{name}.rule]]\nname = \"none\"\npath = \"/none\"\nrefuse = 404\n\
         [[site.{name}.rule]]\nname = \"own\"\npath = \"/\"\nrespond = {{ status = 200, body = \"own\" }}\n"
    )
}

fn visit(port: u16) -> Wire {
    Wire::plain(TcpStream::connect(("127.0.0.1", port)).unwrap())
}

/// Asks the page with this start and Host; gives status and text.
#[track_caller]
fn ask(port: u16, request: &str, host: &str) -> (u16, String) {
    let mut visitor = visit(port);
    visitor.send(format!("{request} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let head = visitor.head();
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or_default();
    let (rest, _) = visitor.rest();
    (status, String::from_utf8(rest).unwrap())
}

#[track_caller]
fn scrape(port: u16) -> String {
    let (status, text) = ask(port, "GET /metrics", "127.0.0.1");
    assert_eq!(status, 200, "{text}");
    text
}

/// Each series with its value.
fn series(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap());
    pairs.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

/// Waits until each of these series has its value; a value of 0 may also be no series.
#[track_caller]
pub(crate) fn expect(port: u16, expected: &[(&str, f64)]) {
    let mut last = String::new();
    until(&format!("{expected:?}"), || {
        last = scrape(port);
        let series = series(&last);
        let value = |name: &str| series.get(name).copied().unwrap_or_default();
        let all = expected.iter().all(|(name, wanted)| (value(name) - wanted).abs() < 1e-9);
        all.then_some(())
    });
}

/// As Prometheus's own tool reads it.
#[track_caller]
pub(crate) fn promtool(gatehouse: &Gatehouse, text: &str) {
    let folder = gatehouse.folder();
    let checked = begin_with_input("promtool", ["check", "metrics"], folder, text).finish();
    let told = checked.text() + &checked.err;
    assert!(checked.status.success() && told.is_empty(), "{told}\n{text}");
}

fn get(gatehouse: &Gatehouse, host: &str, path: &str) -> u16 {
    let mut client = gatehouse.client();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    client.answer().status()
}

#[test]
fn counts_are_the_traffic_over_workers_and_reloads() {
    let port = free_port();
    let head = format!("[workers]\ncount = 2\n{}", admin(port));
    let before = head.clone() + &site("a", "a.test") + &site("b", "b.test");
    let gatehouse = Gatehouse::start(Folder::new(), &before);
    for _ in 0..30 {
        assert_eq!(get(&gatehouse, "a.test", "/"), 200);
        assert_eq!(get(&gatehouse, "b.test", "/none"), 404);
    }
    assert_eq!(get(&gatehouse, "c.test", "/"), 421);
    expect(
        port,
        &[
            ("gatehouse_exchanges_total{site=\"a\",class=\"2xx\"}", 30.0),
            ("gatehouse_exchanges_total{site=\"b\",class=\"4xx\"}", 30.0),
            ("gatehouse_exchanges_total{site=\"\",class=\"4xx\"}", 1.0),
            (
                "gatehouse_failures_total{site=\"\",failure=\"misdirected\",fault_of=\"client\"}",
                1.0,
            ),
            ("gatehouse_exchange_seconds_count{site=\"a\"}", 30.0),
            ("gatehouse_exchange_seconds_bucket{site=\"a\",le=\"+Inf\"}", 30.0),
            ("gatehouse_clients_total", 61.0),
            ("gatehouse_workers", 2.0),
        ],
    );
    // `a` comes last and has another host, whose name before goes to a new site; a worker more.
    let after = head.replace("count = 2", "count = 3")
        + &site("b", "b.test")
        + &site("c", "a.test")
        + &site("a", "x.test");
    gatehouse.change(&after);
    for host in ["a.test", "b.test", "b.test", "x.test"] {
        assert_eq!(get(&gatehouse, host, "/"), 200);
    }
    let all = [
        ("gatehouse_exchanges_total{site=\"a\",class=\"2xx\"}", 31.0),
        ("gatehouse_exchanges_total{site=\"b\",class=\"2xx\"}", 2.0),
        ("gatehouse_exchanges_total{site=\"b\",class=\"4xx\"}", 30.0),
        ("gatehouse_exchanges_total{site=\"c\",class=\"2xx\"}", 1.0),
        ("gatehouse_config_generation", 2.0),
        ("gatehouse_config_reloads_total{result=\"taken\"}", 1.0),
    ];
    expect(port, &all);
    // Workers that go take no count along, and sites that go neither.
    gatehouse.change(&(head.replace("count = 2", "count = 1") + &site("a", "x.test")));
    expect(port, &all[..4]);
    gatehouse.rewrite("[pool");
    assert_eq!(gatehouse.reload().status.code(), Some(2));
    let refused = "gatehouse_config_reloads_total{result=\"refused\"}";
    expect(port, &[(refused, 1.0), ("gatehouse_config_last_reload_taken", 0.0)]);
    promtool(&gatehouse, &scrape(port));
}

#[test]
fn servers_and_their_failures() {
    let (origin, port) = (Origin::new(), free_port());
    let dead = free_port();
    let site = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
                [[site.a.rule]]\nname = \"dead\"\npath = \"/dead\"\npool = \"dead\"\n\
                [[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n";
    let more = format!("[pool.dead]\nservers = [\"127.0.0.1:{dead}\"]\n{site}{}", admin(port));
    let gatehouse = Gatehouse::publish(&[origin.port()], &more);
    let mut client = gatehouse.client();
    client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    let ours = format!("pool=\"origin\",server=\"127.0.0.1:{}\"", origin.port());
    let dead = format!("pool=\"dead\",server=\"127.0.0.1:{dead}\"");
    let in_flight = format!("gatehouse_server_in_flight{{{ours}}}");
    expect(port, &[(&in_flight, 1.0), ("gatehouse_clients", 1.0)]);
    server.send("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(client.answer().status(), 204);
    for _ in 0..3 {
        assert_eq!(get(&gatehouse, "a.test", "/dead"), 503);
    }
    let refused = "failure=\"upstream_refused\",fault_of=\"upstream\"";
    expect(
        port,
        &[
            (&in_flight, 0.0),
            (&format!("gatehouse_server_exchanges_total{{{ours},class=\"2xx\"}}"), 1.0),
            (&format!("gatehouse_server_first_byte_seconds_count{{{ours}}}"), 1.0),
            (&format!("gatehouse_server_exchanges_total{{{dead},class=\"5xx\"}}"), 3.0),
            (&format!("gatehouse_server_failures_total{{{dead},{refused}}}"), 3.0),
            (&format!("gatehouse_server_unreached_total{{{dead}}}"), 3.0),
            (&format!("gatehouse_failures_total{{site=\"a\",{refused}}}"), 3.0),
        ],
    );
    promtool(&gatehouse, &scrape(port));
}

/// Names are whatever TOML takes.
#[test]
fn names_that_have_to_be_escaped() {
    let port = free_port();
    let text = site("'a\"b\\c {é}'", "b.test") + &site("a", "a.test") + &admin(port);
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    assert_eq!(get(&gatehouse, "b.test", "/"), 200);
    expect(port, &[("gatehouse_exchanges_total{site=\"a\\\"b\\\\c {é}\",class=\"2xx\"}", 1.0)]);
    promtool(&gatehouse, &scrape(port));
}

#[test]
fn who_is_answered_and_who_is_not() {
    let port = free_port();
    let gatehouse = Gatehouse::start(Folder::new(), &(site("a", "a.test") + &admin(port)));
    let ours = format!("127.0.0.1:{port}");
    for (request, host, status, text) in [
        ("GET /healthz", ours.as_str(), 200, "ok\n"),
        ("GET /healthz?x=1", "localhost", 200, "ok\n"),
        ("HEAD /healthz", &ours, 200, ""),
        ("HEAD /metrics", &ours, 200, ""),
        ("POST /metrics", &ours, 405, "GET or HEAD\n"),
        ("GET /", &ours, 404, "there are /metrics and /healthz\n"),
        ("DELETE /x", &ours, 404, "there are /metrics and /healthz\n"),
        ("GET /metrics/", &ours, 404, "there are /metrics and /healthz\n"),
        // A name that somebody else's name server gave our address.
        ("GET /metrics", "rebound.evil.test", 421, "ask by the address of this box\n"),
        ("GET /healthz", "a.test", 421, "ask by the address of this box\n"),
        ("GET /healthz", "127.0.0.2", 421, "ask by the address of this box\n"),
        ("GET  /metrics", &ours, 400, "not understood\n"),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nHost: y", &ours, 400, "not understood\n"),
    ] {
        let (answered, told) = ask(port, request, host);
        assert_eq!((answered, told.as_str()), (status, text), "{request} of {host}");
    }
    let mut visitor = visit(port);
    visitor.send(format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(9_000)));
    assert!(visitor.head().starts_with("HTTP/1.1 431 "));
    // What looks after machines may speak HTTP/1.0, without a Host.
    let mut visitor = visit(port);
    visitor.send("GET /healthz HTTP/1.0\r\n\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 200 "));
    assert_eq!(get(&gatehouse, "a.test", "/metrics"), 200, "no path of it is a client's");
    assert!(!scrape(port).contains("healthz"), "visits are not exchanges");
}

/// More at once than threads could end that were told to: what they ask for takes a while to write.
#[test]
fn a_crowd_of_visitors_has_few_threads() {
    let port = free_port();
    let mut text = site("a", "a.test") + &admin(port);
    for pool in 0..200 {
        let servers: Vec<String> = (1..=10).map(|last| format!("\"10.0.0.{last}:1\"")).collect();
        let _ = write!(text, "[pool.p{pool}]\nservers = [{}]\n", servers.join(", "));
    }
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    let before = gatehouse.memory("Threads:");
    let come = |_| {
        // Those for whom the kernel has no room at once do not come back.
        let place = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        let mut visitor = TcpStream::connect_timeout(&place, Duration::from_millis(20)).ok()?;
        // Who came first may have been sent away by now.
        let _ = visitor.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        Some(visitor)
    };
    let (mut most, mut came) = (0, 0);
    std::thread::scope(|scope| {
        let crowd = scope.spawn(|| (0..300).filter_map(come).collect::<Vec<TcpStream>>());
        until("the end of the crowd", || {
            most = most.max(gatehouse.memory("Threads:"));
            crowd.is_finished().then_some(())
        });
        came = crowd.join().unwrap().len();
    });
    println!("{came} visitors, {most} threads, and {before} without visitors");
    assert!(came > 100, "{came} visitors are no crowd");
    // Twice as many as are allowed: the kernel sees a thread for a moment longer.
    assert!(most <= before + 64, "{most} threads, and {before} without visitors");
    assert_eq!(ask(port, "GET /healthz", "localhost").0, 200);
}

#[test]
fn slow_and_silent_visitors_keep_nobody_waiting() {
    let port = free_port();
    let text = site("a", "a.test") + &admin(port);
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    let begun = now();
    let mut silent = Vec::new();
    for number in 0..40 {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // Some begin to ask, some have asked and read nothing.
        let said: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /metr",
            _ => b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        };
        socket.write_all(said).unwrap();
        silent.push(socket);
        if number % 8 == 7 {
            assert_eq!(ask(port, "GET /healthz", "localhost").0, 200, "behind {number}");
        }
    }
    gatehouse.change(&text);
    gatehouse.signal(Signal::SIGHUP);
    gatehouse.expect_said("(generation 3)");
    assert_eq!(get(&gatehouse, "a.test", "/"), 200);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // The oldest were sent away for those that came later.
    let mut first = Wire::plain(silent.remove(0));
    first.rest();
}

#[test]
fn the_page_follows_the_file() {
    let (one, two) = (free_port(), free_port());
    let text = site("a", "a.test");
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    let closed = |port| TcpStream::connect(("127.0.0.1", port)).is_err();
    gatehouse.change(&(text.clone() + &admin(one)));
    assert_eq!(ask(one, "GET /healthz", "localhost").0, 200);
    gatehouse.change(&(text.clone() + &admin(two)));
    assert_eq!(ask(two, "GET /healthz", "localhost").0, 200);
    assert!(closed(one));
    gatehouse.change(&text);
    assert!(closed(two));
    // A port that is taken stops nothing, and is taken over when it comes free.
    let taken = Origin::new();
    gatehouse.change(&(text.clone() + &admin(taken.port())));
    gatehouse.expect_said("/metrics and /healthz are not served: another program listens on");
    assert_eq!(get(&gatehouse, "a.test", "/"), 200);
    let port = taken.port();
    drop(taken);
    until("the page", || TcpStream::connect(("127.0.0.1", port)).ok());
    assert_eq!(ask(port, "GET /healthz", "localhost").0, 200);
}

#[test]
fn the_page_is_on_the_adapter_that_the_file_names() {
    let port = free_port();
    let adapters = "[adapter.internal]\naddresses = [\"127.0.0.1\"]\n\
                    [adapter.management]\naddresses = [\"127.0.0.9\"]\n";
    let text = |adapter| site("a", "a.test") + adapters + &admin(port).replace("internal", adapter);
    let gatehouse = Gatehouse::start(Folder::new(), &text("management"));
    let is_there = |address| TcpStream::connect((address, port)).is_ok();
    assert!(is_there("127.0.0.9") && !is_there("127.0.0.1"));
    gatehouse.change(&text("internal"));
    assert!(is_there("127.0.0.1") && !is_there("127.0.0.9"));
}

#[test]
fn while_the_process_ends_it_is_not_healthy() {
    let (origin, port) = (Origin::new(), free_port());
    let mut gatehouse = Gatehouse::publish(&[origin.port()], &admin(port));
    let mut client = gatehouse.client();
    client.send("GET /held HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    assert_eq!(ask(port, "GET /healthz", "localhost").0, 200);
    gatehouse.signal(Signal::SIGTERM);
    until("the news", || (ask(port, "GET /healthz", "localhost").0 == 503).then_some(()));
    expect(port, &[("gatehouse_draining", 1.0), ("gatehouse_listeners", 0.0)]);
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
    assert_eq!(gatehouse.wait().code(), Some(0));
}

/// The text is made by a thread of its own out of what each worker has counted for itself, so all
/// that a worker can notice of it is the time of a core.
#[test]
fn a_thousand_sites() {
    let port = free_port();
    let mut text = format!("[workers]\ncount = 2\n{}{}", admin(port), site("a", "a.test"));
    for number in 0..1_000 {
        let _ = write!(text, "{}", site(&format!("s{number}"), &format!("s{number}.test")));
    }
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    let mut client = gatehouse.client();
    for number in 0..1_000 {
        client.send(format!("GET / HTTP/1.1\r\nHost: s{number}.test\r\n\r\n"));
        assert_eq!(client.answer().status(), 200);
    }
    expect(port, &[("gatehouse_exchanges_total{site=\"s999\",class=\"2xx\"}", 1.0)]);
    let begun = now();
    let told = scrape(port);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(told.len() < 4 << 20, "{} bytes", told.len());
    println!("1000 sites: {} bytes in {:?}", told.len(), begun.elapsed());
    assert_eq!(told.matches("gatehouse_exchange_seconds_count").count(), 1_000);
    promtool(&gatehouse, &told);
}

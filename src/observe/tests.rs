//! What a snapshot looks like as metrics, as a status, and on a terminal.

use std::collections::HashSet;

use super::snapshot::{FailureNow, HealthNow, NameNow, ServerNow, SiteNow, Snapshot};
use super::tally::{Sums, Tallies};
use super::{Record, Status, metrics, status_text};

const DAY: i64 = 86_400;
const NOW: u64 = 1_700_000_000;

fn record(status: u16, failure: Option<(&'static str, &'static str)>, millis: u64) -> Record {
    let mut record = Record::default();
    (record.site_number, record.server_number) = (1, 1);
    (record.status, record.failure) = (status, failure);
    (record.total_micros, record.first_byte_micros) = (millis * 1000, millis * 500);
    record
}

/// A proxy where all is well.
fn snapshot() -> Snapshot {
    let tallies = Tallies::default();
    tallies.note(&record(200, None, 3));
    tallies.note(&record(200, None, 300));
    tallies.note(&record(404, Some(("no_rule", "client")), 1));
    tallies.note(&record(503, Some(("upstream_closed", "upstream")), 20_000));
    tallies.note_unreached(1);
    let mut sums = Sums::default();
    tallies.add_to(&mut sums);
    let server = ServerNow {
        pool: "web".to_owned(),
        address: "192.0.2.1:443".to_owned(),
        name: "web01.corp.example:443".to_owned(),
        in_flight: Some(2),
        ..ServerNow::default()
    };
    let names = [("web".to_owned(), "192.0.2.1:443".to_owned())];
    Snapshot {
        now: NOW,
        version: "1.2.3",
        file: "/etc/gatehouse/gatehouse.toml".to_owned(),
        ring_flags: "none".to_owned(),
        started: NOW - 200_000,
        generation: 4,
        in_force_since: NOW - 300,
        workers: 2,
        listeners: vec![("https".to_owned(), "203.0.113.10:443".to_owned())],
        clients: (12, 16_000),
        handshakes: (1, 512),
        memory: (3_200_000, 4_000_000_000),
        sites: SiteNow::all(&mut sums, &["www".to_owned()], &[1]),
        pools: vec!["web".to_owned()],
        servers: ServerNow::all(&mut sums, &names, vec![(1, server)]),
        certificates: vec![("www".to_owned(), NOW as i64 + 84 * DAY)],
        kernel_listen: Some((5, 6)),
        ..Snapshot::default()
    }
}

#[test]
fn metrics_of_a_proxy() {
    let text = metrics(&snapshot());
    for line in [
        "# TYPE gatehouse_clients gauge",
        "gatehouse_info{version=\"1.2.3\",ring_flags=\"none\"} 1",
        "gatehouse_clients 12",
        "gatehouse_memory_max_bytes 4000000000",
        "gatehouse_config_last_reload_taken 1",
        "gatehouse_kernel_listen_drops_total 6",
        "gatehouse_certificate_expiry_seconds{certificate=\"www\"} 7257600",
        "gatehouse_exchanges_total{site=\"www\",class=\"2xx\"} 2",
        "gatehouse_failures_total{site=\"www\",failure=\"no_rule\",fault_of=\"client\"} 1",
        "gatehouse_exchange_seconds_bucket{site=\"www\",le=\"0.00390625\"} 2",
        "gatehouse_exchange_seconds_bucket{site=\"www\",le=\"0.5\"} 3",
        "gatehouse_exchange_seconds_bucket{site=\"www\",le=\"16\"} 3",
        "gatehouse_exchange_seconds_bucket{site=\"www\",le=\"+Inf\"} 4",
        "gatehouse_exchange_seconds_sum{site=\"www\"} 20.304000",
        "gatehouse_exchange_seconds_count{site=\"www\"} 4",
        "gatehouse_server_in_flight{pool=\"web\",server=\"192.0.2.1:443\"} 2",
        "gatehouse_server_state{pool=\"web\",server=\"192.0.2.1:443\",state=\"up\"} 1",
        "gatehouse_server_state{pool=\"web\",server=\"192.0.2.1:443\",state=\"left out\"} 0",
        "gatehouse_server_pinned{pool=\"web\",server=\"192.0.2.1:443\"} 0",
        "gatehouse_pool_servers_up{pool=\"web\"} 1",
        "gatehouse_names_in_trouble 0",
        "gatehouse_server_unreached_total{pool=\"web\",server=\"192.0.2.1:443\"} 1",
        "gatehouse_server_first_byte_seconds_sum{pool=\"web\",server=\"192.0.2.1:443\"} 10.152000",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
}

/// Every family has its two lines once and before its samples, and no series comes twice.
#[test]
fn metrics_are_well_formed() {
    let text = metrics(&snapshot());
    let (mut family, mut families, mut seen) = (String::new(), HashSet::new(), HashSet::new());
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{line}");
            assert!(help.len() > family.len() + 10, "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(kind.starts_with(&format!("{family} ")), "{line}");
            assert_eq!(kind.ends_with(" counter"), family.ends_with("_total"), "{line}");
        } else {
            assert!(line.starts_with(&family), "{line} below {family}");
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(seen.insert(series.to_owned()), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(seen.len() > 80, "{}", seen.len());
}

#[test]
fn labels_are_escaped() {
    for (name, escaped) in [
        ("plain", "plain"),
        ("a\"b", "a\\\"b"),
        ("a\\b", "a\\\\b"),
        ("a\nb", "a\\nb"),
        ("\\\"\n", "\\\\\\\"\\n"),
        ("Büro {x=\"1\"} 2", "Büro {x=\\\"1\\\"} 2"),
    ] {
        let mut snapshot = snapshot();
        snapshot.sites[0].name = name.to_owned();
        let line = format!("gatehouse_exchanges_total{{site=\"{escaped}\",class=\"2xx\"}} 2");
        let text = metrics(&snapshot);
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
}

fn advice(_: &FailureNow) -> &'static str {
    "do this"
}

fn closed(last: u64) -> FailureNow {
    FailureNow {
        word: "upstream_closed",
        party: "upstream",
        site: "www".to_owned(),
        server: "192.0.2.1:443".to_owned(),
        count: 3,
        first: last - 5,
        last,
    }
}

/// What is told of a proxy that `change` has happened to.
#[track_caller]
fn check(change: impl FnOnce(&mut Snapshot), troubles: &[&str]) {
    let mut snapshot = snapshot();
    change(&mut snapshot);
    let status = Status::of(&snapshot, &advice);
    let told: Vec<&str> = status.troubles.iter().map(|trouble| trouble.what.as_str()).collect();
    assert_eq!(told, troubles);
    assert!(status.troubles.iter().all(|trouble| !trouble.next.is_empty()));
    let text = status_text(&status);
    assert_eq!(text.contains("All is well."), troubles.is_empty(), "{text}");
    for line in text.lines() {
        // A command that is to be copied stays in one piece.
        let fits = line.chars().count() <= 80 || line.trim_start().starts_with('`');
        assert!(fits && line.matches('`').count() % 2 == 0, "{line}");
    }
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(serde_json::from_value::<Status>(json).unwrap(), status);
}

#[test]
fn what_somebody_has_to_do_something_about() {
    check(|_| {}, &[]);
    let ends = |days| move |now: &mut Snapshot| now.certificates[0].1 = NOW as i64 + days * DAY + 9;
    check(ends(21), &[]);
    check(ends(20), &["certificate www ends in 20 days"]);
    check(ends(0), &["certificate www ends today"]);
    check(ends(-3), &["certificate www has ended: browsers and clients refuse it"]);
    let shown = |days: i64| {
        move |now: &mut Snapshot| {
            let first = now.servers[0].clone();
            now.servers = ["192.0.2.1:443", "192.0.2.2:443", "192.0.2.3:443"]
                .map(|address| ServerNow {
                    address: address.to_owned(),
                    certificate_ends: Some(NOW as i64 + days * DAY + 9),
                    ..first.clone()
                })
                .to_vec();
            now.servers[1].certificate_ends = Some(NOW as i64 + 400 * DAY);
        }
    };
    check(shown(30), &[]);
    let both = "pool web: the certificate of servers 192.0.2.1:443, 192.0.2.3:443";
    check(shown(29), &[&format!("{both} ends in 29 days")]);
    check(shown(1), &[&format!("{both} ends in 1 day")]);
    check(shown(-1), &[&format!("{both} has ended: this box refuses to connect")]);
    let many = |now: &mut Snapshot| {
        let first = now.servers[0].clone();
        let server = |last| ServerNow {
            address: format!("192.0.2.{last}:443"),
            certificate_ends: Some(NOW as i64 + 2 * DAY),
            ..first.clone()
        };
        now.servers = (1..=200).map(server).collect();
    };
    let some = "pool web: the certificate of servers 192.0.2.1:443, 192.0.2.2:443, 192.0.2.3:443";
    check(many, &[&format!("{some} and 197 more ends in 2 days")]);
    check(|now| now.clients.0 = 14_399, &[]);
    check(|now| now.clients.0 = 14_400, &["14400 of 16000 are in use: limits.clients_max"]);
    check(
        |now| now.memory.0 = now.memory.1,
        &["4.0 GB of 4.0 GB memory are in use: limits.memory_max"],
    );
    check(
        |now| now.failures = vec![closed(NOW - 600)],
        &["upstream_closed at server 192.0.2.1:443 for site www: 3 times, the last 10 min ago"],
    );
    check(|now| now.failures = vec![closed(NOW - 601)], &[]);
    let client = FailureNow { word: "no_rule", party: "client", ..closed(NOW) };
    check(|now| now.failures = vec![client], &[]);
    let lost = FailureNow { word: "pin_lost", ..closed(NOW) };
    check(|now| now.failures = vec![lost], &[]);
    check(
        |now| now.last_refusal = Some((NOW - 60, "a.toml:1:1: no\nmore".to_owned())),
        &[
            "the file, or a certificate, was refused 60 s ago, and what was in force before stays: a.toml:1:1: no",
        ],
    );
    check(|now| now.listeners.clear(), &["no listener is open"]);
    check(
        |now| now.draining = true,
        &["the process is ending: running requests may end, new clients are not accepted"],
    );
    check(
        |now| now.pools.push("empty".to_owned()),
        &[
            "pool empty has no address and answers 503: nobody has told the addresses of its servers' names yet",
        ],
    );
    check(
        |now| now.lines_lost = (7, NOW - 1),
        &["lines of the access log are lost, 7 since the start"],
    );
    check(|now| now.lines_lost = (7, NOW - 1_000), &[]);
    check(
        |now| now.restarts = 1,
        &["a fault in Gatehouse itself has ended 0 connections and 1 workers since the start"],
    );
}

/// As many servers with these states, one after the other; of two the second is a backup.
fn with(states: &'static [&'static str], asked: bool) -> impl FnOnce(&mut Snapshot) {
    move |now: &mut Snapshot| {
        let first = now.servers[0].clone();
        now.servers = states
            .iter()
            .enumerate()
            .map(|(place, state)| ServerNow {
                address: format!("192.0.2.{}:443", place + 1),
                pinned: 3,
                backup: states.len() == 2 && place == 1,
                health: HealthNow {
                    state,
                    since: (*state != "up").then_some(NOW - 300),
                    last_trouble: "connection refused".to_owned(),
                    asked,
                    next: "look there".to_owned(),
                },
                ..first.clone()
            })
            .collect();
    }
}

#[test]
fn servers_that_are_not_up() {
    check(with(&["up"], true), &[]);
    check(
        with(&["up", "up", "down", "drained"], true),
        &[
            "pool web: server 192.0.2.3:443 is down for 5 min: connection refused; requests go to the others",
        ],
    );
    check(
        with(&["left out", "up"], true),
        &[
            "pool web: server 192.0.2.1:443 is left out for 5 min: connection refused; requests go to the backup",
        ],
    );
    check(
        with(&["down"], true),
        &[
            "pool web: its only server 192.0.2.1:443 is down for 5 min: connection refused; requests are tried there all the same",
        ],
    );
    check(
        with(&["down", "down"], false),
        &[
            "pool web: none of its 2 servers is up, and requests get 503: 192.0.2.1:443 down for 5 min: connection refused; 192.0.2.2:443 down for 5 min: connection refused",
        ],
    );
    let mut now = snapshot();
    with(&["down", "down", "left out", "down", "down", "up"], true)(&mut now);
    let troubles = Status::of(&now, &advice).troubles;
    assert_eq!(
        (troubles.len(), troubles[3].what.as_str()),
        (4, "pool web: 2 more servers are not up")
    );
    // What a server that is spoken of has cost is in the list, and not said again.
    check(
        |now| {
            with(&["down", "up"], true)(now);
            let elsewhere = FailureNow { server: "192.0.2.2:443".to_owned(), ..closed(NOW) };
            now.failures = vec![closed(NOW), elsewhere];
        },
        &[
            "pool web: server 192.0.2.1:443 is down for 5 min: connection refused; requests go to the backup",
            "upstream_closed at server 192.0.2.2:443 for site www: 3 times, the last 0 s ago",
        ],
    );
}

/// Maintenance wakes nobody up; a pool of which nothing is left does.
#[test]
fn what_was_drained_is_noted() {
    let notes = |states| {
        let mut now = snapshot();
        with(states, true)(&mut now);
        let status = Status::of(&now, &advice);
        let text = status_text(&status);
        assert_eq!(text.contains("Needs nobody:"), !status.notes.is_empty(), "{text}");
        status.notes.into_iter().map(|note| note.what).collect::<Vec<_>>()
    };
    let drained = |last, to| {
        format!(
            "pool web: server 192.0.2.{last}:443 was drained 5 min ago, 2 requests under way, 3 connections of logged-in clients; requests go to {to}"
        )
    };
    check(with(&["up", "up", "drained"], true), &[]);
    assert_eq!(notes(&["up", "up", "drained"]), [drained(3, "the others")]);
    check(with(&["drained", "up"], true), &[]);
    assert_eq!(notes(&["drained", "up"]), [drained(1, "the backup")]);
    assert_eq!(notes(&["up", "down", "drained"]), [drained(3, "the others")]);
    let many = notes(&["drained", "drained", "drained", "drained", "drained", "up"]);
    assert_eq!((many.len(), many[3].as_str()), (4, "pool web: 2 more servers are not up"));
    check(
        with(&["drained"], false),
        &[
            "pool web: its only server 192.0.2.1:443 was drained 5 min ago, 2 requests under way, 3 connections of logged-in clients; requests get 503",
        ],
    );
    assert_eq!(notes(&["drained"]), [""; 0]);
}

/// What was refused since no server was there is explained by why none is, as long as none is.
#[test]
fn refusals_that_are_explained() {
    let refused = |word| FailureNow { word, server: String::new(), ..closed(NOW) };
    let down = "pool web: its only server 192.0.2.1:443 is down for 5 min: connection refused; requests get 503";
    check(
        |now| {
            with(&["down"], false)(now);
            now.failures = vec![refused("all_down")];
        },
        &[down],
    );
    check(
        |now| now.failures = vec![refused("all_down")],
        &["all_down at site www: 3 times, the last 0 s ago"],
    );
    check(
        |now| now.failures = vec![refused("no_server")],
        &["no_server at site www: 3 times, the last 0 s ago"],
    );
}

#[test]
fn names_without_an_answer() {
    let name = || NameNow {
        name: "fe01.corp.example".to_owned(),
        pools: vec!["web".to_owned()],
        since: Some(NOW - 300),
        why: "172.25.33.53 says that the name does not exist".to_owned(),
        effect: "pool web has no address and answers 503".to_owned(),
        next: "ask".to_owned(),
    };
    let told = "server name fe01.corp.example does not resolve, for 5 min: 172.25.33.53 says that the name does not exist; pool web has no address and answers 503";
    check(
        |now| {
            now.servers.clear();
            now.names = vec![name()];
            now.failures = vec![FailureNow { word: "no_server", ..closed(NOW) }];
        },
        &[told],
    );
    check(
        |now| now.names = (0..7).map(|_| name()).collect(),
        &[told, told, told, told, told, "2 more names of servers do not lead to them"],
    );
}

#[test]
fn a_status_on_a_terminal() {
    let mut snapshot = snapshot();
    snapshot.failures = vec![closed(NOW - 130)];
    let expected = "\
Gatehouse 1.2.3, up 2 days, generation 4 in force for 5 min, 2 workers
File /etc/gatehouse/gatehouse.toml
Listener https on 203.0.113.10:443

Site                                  exchanges    failed    half in    99 % in
www                                           4         1       3 ms       22 s

Pool web (1 of 1 up)                 now  exchanges  failed  unreached  half in
  192.0.2.1:443 web01.corp.examp…      2          4       1          1     2 ms

Certificate www: 84 days left

In use: clients 12 of 16000, handshakes 1 of 512, memory 3.2 MB of 4.0 GB
Clients since the start: 0 accepted, 0 refused; lines of the log lost: 0

Last failures               times       ago  fault of  Where
upstream_closed                 3     2 min  upstream  192.0.2.1:443
`gatehouse explain WORD` says what they mean and what to do.

1 thing needs somebody:
! upstream_closed at server 192.0.2.1:443 for site www: 3 times, the last 2 min
  ago
  -> do this
";
    assert_eq!(status_text(&Status::of(&snapshot, &advice)), expected);
}

#[test]
fn a_thousand_sites_fit_on_a_terminal() {
    let mut snapshot = snapshot();
    let site = snapshot.sites[0].clone();
    snapshot.sites.extend((0..999).map(|n| SiteNow { name: format!("s{n}"), ..site.clone() }));
    let text = status_text(&Status::of(&snapshot, &advice));
    assert!(text.contains("… and 980 with fewer exchanges: --json lists all"), "{text}");
    assert!(text.lines().count() < 45);
}

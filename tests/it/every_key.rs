//! Which test shows that a key of the operator's file does something. A key that is documented has a
//! row here, every row is a documented key, and every test that is named is there.
//!
//! To be named here, a test has to fail when the key is ignored or means something else. That was
//! tried for each by taking the key out of the files that the test writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gatehouse::config::{is_available, is_available_word};
use gatehouse::document::keys::{Key, patterns};

/// How a key is shown to mean something.
enum Shown {
    /// By these tests of the running product, or of the command that the key is for, each as
    /// `file: test` of this folder.
    By(&'static [&'static str]),
    /// `check` judges it, and nothing else happens yet: why, and where that is tested, each as
    /// `path: test` or, for planted faults, `path: case`.
    JudgedOnly(&'static str, &'static [&'static str]),
}

use Shown::{By, JudgedOnly};

/// Keys that are shown together, and how. Those that are for later (`src/config/later.rs`) have no
/// row until they are there.
type Row = (&'static [&'static str], Shown);

const FILE: &[Row] = &[
    (&["include"], By(&["check: included_files_are_read_from_the_disk"])),
    (&["workers.count"], By(&["doors: there_are_as_many_workers_as_the_file_says"])),
    (&["errors", "site.*.errors"], By(&["pages: error_pages"])),
    (&["log.access"], By(&["log: two_logs_at_once", "log: without_a_log_nothing_is_written"])),
    (&["log.query"], By(&["log: a_query_is_kept_where_the_file_says_so"])),
    (
        &["log.rotate", "log.rotate.bytes"],
        By(&["log: a_log_that_has_grown_is_moved_aside_and_no_line_is_lost"]),
    ),
    (&["log.rotate.files"], By(&["log: as_many_older_logs_are_kept_as_the_file_says"])),
    (
        &["admin.socket"],
        By(&["reload: the_admin_socket_moves_and_a_second_instance_does_not_take_it"]),
    ),
    (&["admin.adapter"], By(&["metrics: the_page_is_on_the_adapter_that_the_file_names"])),
    (&["admin.port"], By(&["metrics: the_page_follows_the_file"])),
];

const NETWORK: &[Row] = &[
    (&["adapter.*.interface"], By(&["doors: with_an_interface_sockets_are_bound_to_the_device"])),
    (
        &["adapter.*.mac"],
        JudgedOnly(
            "only the image finds adapters by it",
            &["src/config/tests/faults/networks.txt: an adapter by its hardware address"],
        ),
    ),
    (
        // Prefix lengths are for the image, which configures the adapters.
        &["adapter.*.addresses"],
        By(&[
            "doors: a_listener_is_at_all_addresses_of_its_adapter_and_at_no_other",
            "pools: servers_are_reached_from_the_address_of_their_adapter",
        ]),
    ),
    (
        &["adapter.*.gateway"],
        JudgedOnly(
            "only the image sets routes",
            &[
                "src/config/tests/faults/networks.txt: a gateway on the inside",
                "src/config/tests/faults/networks.txt: a gateway that is no address",
            ],
        ),
    ),
    (
        &["adapter.*.routes"],
        JudgedOnly(
            "only the image sets routes",
            &["src/config/tests/faults/networks.txt: a route without a router"],
        ),
    ),
    (
        &["resolver.servers"],
        By(&[
            "names: another_address_is_followed_when_the_old_one_expires",
            "names: the_second_name_server_answers_for_a_silent_first",
        ]),
    ),
    (&["resolver.hosts"], By(&["address: a_server_name_with_several_addresses"])),
    (
        &["listener.*.adapter"],
        By(&["doors: a_listener_is_at_all_addresses_of_its_adapter_and_at_no_other"]),
    ),
    (&["listener.*.port"], By(&["reload: listeners_come_and_go"])),
    (
        &["listener.*.published_port", "site.*.redirect_http"],
        By(&[
            "doors: plain_listeners_point_to_https_where_the_site_wants_it_and_to_the_port_that_clients_see",
        ]),
    ),
    (&["listener.*.profile"], By(&["old_clients: each_windows_client_at_each_listener"])),
    (
        &["listener.*.tls"],
        By(&["front_tls: versions", "front_tls: tls_at_a_plain_listener_gets_no_page"]),
    ),
    (
        &["listener.*.certificate", "site.*.certificate", "certificate.*.chain"],
        By(&["front_tls: the_certificate_follows_the_server_name"]),
    ),
    (&["certificate.*.key"], By(&["startup: files_that_are_not_there"])),
];

const POOLS: &[Row] = &[
    (&["pool.*.adapter"], By(&["pools: servers_are_reached_from_the_address_of_their_adapter"])),
    (
        &["pool.*.servers"],
        By(&["reload: a_server_that_was_taken_away_gets_no_request_more_even_of_its_own_clients"]),
    ),
    (
        &["pool.*.servers.address", "pool.*.servers.weight"],
        By(&["pools: servers_share_the_load_by_their_weights"]),
    ),
    (
        &["pool.*.backup", "pool.*.backup.address", "pool.*.backup.weight"],
        By(&["pools: a_backup_is_asked_only_when_no_server_is_there"]),
    ),
    (&["pool.*.balance"], By(&["pools: balance_looks_at_the_load_or_does_not"])),
    (
        &["pool.*.idle_max"],
        By(&["pools: idle_connections_are_kept_up_to_the_limit_and_by_its_own_pool_only"]),
    ),
    (
        &[
            "pool.*.tls",
            "pool.*.tls.server_name",
            "pool.*.tls.sni",
            "pool.*.tls.profile",
            "pool.*.tls.pin_sha256",
        ],
        By(&["publish: what_a_server_sees_of_our_tls"]),
    ),
    (&["pool.*.tls.sha384_suite"], By(&["old_tls: a_server_with_one_suite_left"])),
    (&["pool.*.tls.ca"], By(&["publish: a_server_that_cannot_be_verified_gets_no_request"])),
    (&["pool.*.probe.tcp"], By(&["health_probes: another_port_decides"])),
    (
        &["pool.*.probe.http", "pool.*.probe.http.path"],
        By(&["health_probes: traffic_follows_what_probes_say"]),
    ),
    (&["pool.*.probe.http.host"], By(&["probe_keys: the_host_that_is_asked_for"])),
    (&["pool.*.probe.http.expect"], By(&["probe_keys: the_status_that_is_expected"])),
    (&["pool.*.probe.every"], By(&["probe_keys: probes_come_as_often_as_every_says"])),
    (&["pool.*.probe.timeout"], By(&["probe_keys: a_probe_takes_as_long_as_its_timeout_says"])),
    (&["pool.*.probe.fall"], By(&["probe_keys: as_many_have_to_fail_as_fall_says"])),
    (&["pool.*.probe.rise"], By(&["probe_keys: as_many_have_to_pass_as_rise_says"])),
    (&["pool.*.probe.all_down"], By(&["health_probes: when_all_are_down_they_are_tried_or_not"])),
];

const SITES: &[Row] = &[
    (
        &["site.*.names", "site.*.listeners"],
        By(&["front_tls: a_name_of_another_certificate_is_misdirected"]),
    ),
    (
        &["site.*.path_check"],
        By(&["site_keys: paths_that_can_be_read_in_two_ways_are_refused_or_passed_as_they_are"]),
    ),
    (&["site.*.forwarded"], By(&["site_keys: servers_are_told_of_the_client_what_the_site_says"])),
    (
        &["site.*.log_in_guard", "site.*.log_in_guard.user_refused_max"],
        By(&[
            "log_in_guard: a_user_whose_passwords_are_wrong_is_locked_here_and_not_in_the_directory",
        ]),
    ),
    (
        &["site.*.log_in_guard.address_refused_max"],
        By(&["log_in_guard: an_address_that_tries_many_names_is_locked"]),
    ),
    (
        &["site.*.log_in_guard.window"],
        By(&["log_in_guard: wrong_passwords_are_forgotten_after_the_window"]),
    ),
    (
        &["site.*.log_in_guard.tickets_per_minute"],
        By(&["log_in_guard: posts_for_web_tickets_are_bounded_by_address"]),
    ),
    (&["site.*.allow", "site.*.deny"], By(&["limits_site: who_may_come"])),
    (&["site.*.rule.name"], By(&["log: a_line_names_the_rule"])),
    (
        &["site.*.rule.path", "site.*.rule.refuse"],
        By(&["reload: a_rule_added_answers_the_next_request_of_an_open_connection"]),
    ),
    (&["site.*.rule.pool"], By(&["limits_site: who_says_how_long_a_server_may_take"])),
    (&["site.*.rule.redirect", "site.*.rule.redirect_status"], By(&["pages: redirects"])),
    (
        &[
            "site.*.rule.respond",
            "site.*.rule.respond.status",
            "site.*.rule.respond.body",
            "site.*.rule.respond.content_type",
        ],
        By(&["site_keys: a_rule_answers_with_what_it_says"]),
    ),
];

/// One below passes, one above gets its answer, and whoever is on another connection notices nothing.
const LIMITS: &[Row] = &[
    (&["limits.clients_max"], By(&["limits: more_clients_than_the_file_allows_get_503"])),
    (
        &["limits.clients_per_address_max"],
        By(&[
            "limits_clients: clients_of_one_address",
            "limits_clients: clients_of_one_address_by_tls",
        ]),
    ),
    (&["limits.handshakes_max"], By(&["limits_clients: handshakes_under_way"])),
    (
        &[
            "limits.head_bytes_max",
            "limits.field_bytes_max",
            "limits.target_bytes_max",
            "limits.fields_max",
            "limits.body_bytes_max",
        ],
        By(&["limits_edges: of_the_whole_file"]),
    ),
    (
        &[
            "site.*.limits.head_bytes_max",
            "site.*.limits.field_bytes_max",
            "site.*.limits.target_bytes_max",
            "site.*.limits.fields_max",
            "site.*.limits.body_bytes_max",
        ],
        By(&["limits_edges: of_one_site"]),
    ),
    (&["limits.memory_max"], By(&["limits_clients: memory_for_buffers"])),
    (&["limits.client_rate_min"], By(&["limits_pace: who_is_too_slow_is_ended"])),
];

const TIMES: &[Row] = &[
    (&["timeouts.handshake"], By(&["times: handshake"])),
    (
        &["timeouts.client_head"],
        By(&[
            "times: client_head",
            "pressure: a_head_that_drips_in_over_tls_has_as_long_as_any_other",
        ]),
    ),
    (&["timeouts.client_idle", "site.*.timeouts.client_idle"], By(&["times: client_idle"])),
    (
        &[
            "timeouts.client_body_idle",
            "pool.*.timeouts.client_body_idle",
            "site.*.timeouts.client_body_idle",
        ],
        By(&["times: client_body_idle"]),
    ),
    (
        &[
            "timeouts.client_write_idle",
            "pool.*.timeouts.client_write_idle",
            "site.*.timeouts.client_write_idle",
        ],
        By(&["times: client_write_idle"]),
    ),
    (
        &["timeouts.connect", "pool.*.timeouts.connect", "site.*.timeouts.connect"],
        By(&["times: connect"]),
    ),
    (
        &[
            "timeouts.response_head",
            "pool.*.timeouts.response_head",
            "site.*.timeouts.response_head",
        ],
        By(&["times: response_head", "limits_site: who_says_how_long_a_server_may_take"]),
    ),
    (
        &[
            "timeouts.response_body_idle",
            "pool.*.timeouts.response_body_idle",
            "site.*.timeouts.response_body_idle",
        ],
        By(&["times: response_body_idle"]),
    ),
    (
        &["timeouts.tunnel_idle", "pool.*.timeouts.tunnel_idle", "site.*.timeouts.tunnel_idle"],
        By(&["times: tunnel_idle"]),
    ),
    (&["timeouts.upstream_idle", "pool.*.timeouts.upstream_idle"], By(&["times: upstream_idle"])),
    (
        &["timeouts.tcp_keepalive", "pool.*.timeouts.tcp_keepalive"],
        By(&["limits_site: silent_connections_are_kept_alive"]),
    ),
    (&["timeouts.drain"], By(&["stop: nobody_is_waited_for_longer_than_the_file_says"])),
];

fn rows() -> impl Iterator<Item = &'static Row> {
    [FILE, NETWORK, POOLS, SITES, LIMITS, TIMES].into_iter().flatten()
}

/// The last part of a pattern, and the one before.
fn last_two(pattern: &str) -> (&str, &str) {
    let mut parts = pattern.rsplit('.');
    (parts.next().unwrap(), parts.next().unwrap_or_default())
}

/// It may not be written yet, or its default is the only thing that may be.
fn is_later(pattern: &str, key: &Key) -> bool {
    let (name, parent) = last_two(pattern);
    let later = |word: &&&str| !is_available_word(name, word);
    let only_default =
        key.words.len() > 1 && key.words.iter().filter(later).count() + 1 == key.words.len();
    !is_available(pattern) || !is_available_word(parent, name) || only_default
}

#[test]
fn every_key_has_its_row() {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    for pattern in self::rows().flat_map(|(patterns, _)| patterns.iter()) {
        *rows.entry(pattern).or_default() += 1;
    }
    let mut faults = Vec::new();
    for (pattern, key) in patterns() {
        match (rows.remove(pattern.as_str()), is_later(&pattern, key)) {
            (Some(1), false) | (None, true) => {}
            // What its keys do is in theirs.
            (None, false) if key.is_table() => {}
            (None, false) => faults.push(format!("{pattern}: no test shows what it does")),
            (Some(_), true) => faults.push(format!("{pattern}: it is for later, and has a row")),
            (Some(_), false) => faults.push(format!("{pattern}: it has several rows")),
        }
    }
    faults.extend(rows.keys().map(|pattern| format!("{pattern}: no such key is documented")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Whether this is a test that runs, in this text.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}() {{");
    let Some(at) = lines.iter().position(|line| *line == head) else { return false };
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let attributes: Vec<&&str> = attributes.collect();
    attributes.iter().any(|line| **line == "#[test]")
        && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

/// What is wrong with a piece of evidence for a key; the key has to stand in its file at least.
fn fault(path: &str, what: &str, key: &str) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(text) = fs::read_to_string(root.join(path)) else {
        return Some(format!("{key}: there is no {path}"));
    };
    let is_there = if path.ends_with(".txt") {
        text.lines().any(|line| line.strip_prefix("~~~ case ") == Some(what))
    } else {
        has_test(&text, what)
    };
    if !is_there {
        return Some(format!("{key}: {path} has no test `{what}`"));
    }
    // Those that look at every documented key name none.
    let name = last_two(key).0;
    let is_general = path == "src/config/tests/keys.rs";
    (!is_general && !text.contains(name)).then(|| format!("{key}: {path} does not name it"))
}

#[test]
fn every_test_that_is_named_is_there() {
    let mut faults = Vec::new();
    for (keys, shown) in rows() {
        let evidence: Vec<(String, &str)> = match shown {
            By(tests) => {
                let tests = tests.iter().map(|test| test.split_once(": ").unwrap());
                tests.map(|(file, test)| (format!("tests/it/{file}.rs"), test)).collect()
            }
            JudgedOnly(why, tests) => {
                assert!(!why.is_empty(), "{keys:?}");
                let tests = tests.iter().map(|test| test.split_once(": ").unwrap());
                tests.map(|(file, test)| (file.to_owned(), test)).collect()
            }
        };
        assert!(!evidence.is_empty(), "{keys:?}");
        for key in *keys {
            faults.extend(evidence.iter().filter_map(|(path, what)| fault(path, what, key)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// These tests' own eyes.
#[test]
fn what_is_a_test_and_what_is_not() {
    let text = "#[test]\nfn a() {\n}\nfn b() {\n}\n#[test]\n#[ignore = \"slow\"]\nfn c() {\n}\n\
                // fn d() {\n#[test]\n#[expect(x)]\nfn e() {\n";
    let tests: String =
        ["a", "b", "c", "d", "e"].into_iter().filter(|name| has_test(text, name)).collect();
    assert_eq!(tests, "ae");
    assert!(fault("tests/it/times.rs", "connect", "timeouts.connect").is_none());
    for (path, what, key) in [
        ("tests/it/none.rs", "connect", "timeouts.connect"),
        ("tests/it/times.rs", "conect", "timeouts.connect"),
        ("tests/it/times.rs", "connect", "limits.memory_max"),
        ("src/config/tests/faults/networks.txt", "a gateway", "adapter.*.gateway"),
    ] {
        assert!(fault(path, what, key).is_some(), "{path} {what} {key}");
    }
    let later: Vec<String> =
        patterns().filter(|(pattern, key)| is_later(pattern, key)).map(|(it, _)| it).collect();
    assert!(!later.iter().any(|pattern| pattern == "pool.*.balance"), "{later:?}");
}

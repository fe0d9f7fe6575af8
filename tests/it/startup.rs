//! Why the proxy does not start: the exit code, and words that say who has to change what.

use std::net::TcpListener;

use crate::rig::{Folder, Gatehouse, run};

/// Starts with `text`, which cannot work.
#[track_caller]
fn check(folder: Folder, text: &str, code: i32, words: &[&str]) -> Gatehouse {
    let mut gatehouse = Gatehouse::begin(folder, text);
    assert_eq!(gatehouse.wait().code(), Some(code), "{text}");
    for word in words {
        gatehouse.expect_said(word);
    }
    gatehouse
}

const POOL: &str = "[pool.origin]\nservers = [\"127.0.0.1:1\"]\n";

#[test]
fn a_port_that_is_taken() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!("{POOL}[listener.http]\nport = {port}\n");
    let words = format!("listener http: another program listens on 127.0.0.1:{port}; `ss -ltnp");
    check(Folder::new(), &text, 1, &[&words]);
}

#[test]
fn a_port_that_needs_a_capability() {
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first_free.is_ok_and(|port| port.trim() == "0") {
        println!("this system lets everybody have every port: nothing to see here");
        return;
    }
    let folder = Folder::new();
    // Started without the capability, whoever runs the tests.
    let text = format!("{POOL}[listener.http]\nport = 81\n");
    let mut gatehouse = Gatehouse::begin_without_capabilities(folder, &text);
    assert_eq!(gatehouse.wait().code(), Some(1));
    gatehouse.expect_said("no permission for port 81; ");
}

#[test]
fn an_adapter_that_is_not_there() {
    let text =
        format!("{POOL}[adapter.external]\ninterface = \"nosuch0\"\naddresses = [\"127.0.0.1\"]\n");
    check(Folder::new(), &text, 1, &["there is no network adapter nosuch0; `ip link` shows"]);
}

#[test]
fn a_log_that_cannot_be_written() {
    let text = format!("{POOL}[log]\naccess = [\"json:./none/access.log\"]\n");
    check(Folder::new(), &text, 1, &["none/access.log cannot be opened: No such file"]);
}

#[test]
fn a_file_with_faults_says_all_of_them() {
    let text = "[pool.origin]\nservres = [\"127.0.0.1:1\"]\n\
                [timeouts]\nconnect = \"soon\"\n[pool.edge.tls]\nca = \"none.pem\"\n";
    let gatehouse = check(
        Folder::new(),
        text,
        2,
        &[
            "gatehouse.toml:2:1: no setting is called `servres` here; did you mean `servers`?",
            "gatehouse.toml:4:11: `connect` takes a length of time",
        ],
    );
    // `check` says the same.
    let file = gatehouse.folder().at("gatehouse.toml");
    let checked = run(env!("CARGO_BIN_EXE_gatehouse"), ["check".as_ref(), file.as_os_str()]);
    assert_eq!(checked.status.code(), Some(2));
    for line in ["gatehouse.toml:2:1: ", "gatehouse.toml:4:11: ", "none.pem"] {
        assert!(checked.err.contains(line), "{}", checked.err);
    }
}

#[test]
fn files_that_are_not_there() {
    let missing = run(env!("CARGO_BIN_EXE_gatehouse"), ["run", "--config", "/none/x.toml"]);
    assert_eq!(missing.status.code(), Some(2), "{}", missing.err);
    assert!(missing.err.contains("/none/x.toml"), "{}", missing.err);
    let folder = Folder::new();
    std::fs::remove_file(folder.at("a.key")).unwrap();
    check(folder, POOL, 2, &["a.key"]);
}

#[test]
fn a_command_that_nobody_knows() {
    let outcome = run(env!("CARGO_BIN_EXE_gatehouse"), ["fly"]);
    assert_eq!(outcome.status.code(), Some(2), "{}", outcome.err);
    let outcome = run(env!("CARGO_BIN_EXE_gatehouse"), ["run"]);
    assert_eq!(outcome.status.code(), Some(2), "{}", outcome.err);
}

/// A name that does not resolve stops nothing but its own pool.
#[test]
fn a_server_that_does_not_resolve() {
    let text = "[pool.origin]\nservers = [\"no-such-host.invalid:80\"]\n";
    let gatehouse = Gatehouse::start(Folder::new(), text);
    gatehouse.expect_said("no-such-host.invalid:80: the name does not resolve: ");
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().status(), 503);
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["failure"], "no_server", "{record}");
}

//! Servers on old Windows: stand-ins with its lists, behind the profiles of a pool.

use std::fs;

use crate::rig::{Folder, Gatehouse, Kind, StandIn, WINDOWS, curl};

/// Longer than what a connection is filled with at once.
const BODY_BYTES: usize = 3 * 1024 * 1024;

/// A folder with the certificate of `origin.test` and a large file.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.certificate("origin", &["origin.test"], Kind::Rsa);
    folder.write("body.txt", body());
    folder
}

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| b"0123456789abcdefghijklmnopqrstuvwxyz\n"[at % 37]).collect()
}

/// What publishes a server at `port` with this in its pool's `tls` table.
fn publish(port: u16, tls: &str) -> Gatehouse {
    let pool = format!("[pool.origin]\nservers = [\"127.0.0.1:{port}\"]\n");
    let tls = format!("[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"origin.test\"\n{tls}\n");
    Gatehouse::start(Folder::new(), &(pool + &tls))
}

#[track_caller]
fn get(gatehouse: &Gatehouse, path: &str) -> Vec<u8> {
    curl(gatehouse, &["--fail", &format!("https://a.test{path}")]).finish().expect_success().out
}

/// A large body in a full handshake, then the server's own page in a resumed one. Gives what it says.
#[track_caller]
fn check_works(server: &StandIn, tls: &str, name: &str) -> String {
    let gatehouse = publish(server.port, tls);
    assert!(get(&gatehouse, "/body.txt") == body(), "{name}, {tls}");
    let page = String::from_utf8(get(&gatehouse, "/stats")).unwrap();
    let line = page.lines().find(|line| line.contains("Cipher is")).unwrap_or_default();
    assert!(line.contains("Reused, "), "{name}, {tls}: {line}");
    let records = gatehouse.records(2);
    let suite = records[1]["upstream_suite"].as_str().unwrap_or("modern");
    let suite_of_full = records[0]["upstream_suite"].as_str().unwrap_or("modern");
    assert_eq!(suite, suite_of_full, "{name}, {tls}");
    assert!(suite == "modern" || line.ends_with(suite), "{name}, {tls}: {suite}, {line}");
    suite.to_owned()
}

/// No request, and a sentence that holds `words`.
#[track_caller]
fn check_refused(port: u16, tls: &str, words: &[&str]) {
    let gatehouse = publish(port, tls);
    let status = ["-w", "%{http_code}", "-o", "/dev/null", "https://a.test/"];
    assert_eq!(curl(&gatehouse, &status).finish().expect_success().text(), "503", "{tls}");
    let line = gatehouse.expect_said(&format!("127.0.0.1:{port}: TLS: "));
    for word in words {
        assert!(line.contains(word), "{tls}: no {word:?} in\n{line}");
    }
    assert_eq!(gatehouse.records(1)[0]["failure"], "upstream_tls_failed");
}

#[test]
fn each_windows_server_behind_each_profile() {
    for windows in WINDOWS {
        let server = windows.start(folder());
        let name = windows.name;
        if windows.is_modern {
            assert_eq!(check_works(&server, "", name), "modern", "{name}");
            assert_eq!(check_works(&server, "profile = \"tls12\"", name), "modern", "{name}");
        } else {
            check_refused(server.port, "", &["profile = \"windows-2012r2\""]);
        }
        let suite = check_works(&server, "profile = \"windows-2012r2\"", name);
        let expected = if windows.is_modern { "modern" } else { "ECDHE-RSA-AES128-SHA256" };
        assert_eq!(suite, expected, "{name}");
    }
}

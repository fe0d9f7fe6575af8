//! Servers on old Windows: stand-ins with its lists, behind the profiles of a pool.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use crate::rig::{Folder, Gatehouse, Kind, StandIn, WINDOWS, curl, run, until};

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

/// Only the suite that costs twice as much is left there.
#[test]
fn a_server_with_one_suite_left() {
    let only = "-WWW -no_tls1_3 -cipher ECDHE-RSA-AES256-SHA384";
    let server = StandIn::openssl(folder(), only);
    let profile = "profile = \"windows-2012r2\"";
    check_refused(server.port, profile, &["sha384_suite = true"]);
    let both = format!("{profile}\nsha384_suite = true");
    assert_eq!(check_works(&server, &both, "0xC028"), "ECDHE-RSA-AES256-SHA384");
    for suite in ["ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA"] {
        let server =
            StandIn::openssl(folder(), &format!("-WWW -no_tls1_3 -cipher {suite}:@SECLEVEL=0"));
        assert_eq!(check_works(&server, profile, suite), suite);
    }
}

/// Another implementation. It says nothing of resuming but the session's number, which stays.
#[test]
fn gnutls_held_to_old_suites() {
    for (cipher, mac, suite) in [
        ("AES-128-CBC", "SHA256", "ECDHE-RSA-AES128-SHA256"),
        ("AES-256-CBC", "SHA1", "ECDHE-RSA-AES256-SHA"),
        ("AES-128-CBC", "SHA1", "ECDHE-RSA-AES128-SHA"),
        ("AES-256-CBC", "SHA384", "ECDHE-RSA-AES256-SHA384"),
    ] {
        let priority = format!(
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-RSA:-GROUP-ALL:+GROUP-SECP256R1:+GROUP-SECP384R1:-CIPHER-ALL:+{cipher}:-MAC-ALL:+{mac}"
        );
        let server = StandIn::gnutls(folder(), &priority);
        let sha384 = mac == "SHA384";
        let tls = format!("profile = \"windows-2012r2\"\nsha384_suite = {sha384}");
        check_refused(server.port, "", &["profile = \"windows-2012r2\""]);
        let gatehouse = publish(server.port, &tls);
        let number = || {
            let page = String::from_utf8(get(&gatehouse, "/")).unwrap();
            let line = page.lines().find(|line| line.contains("Session ID: "));
            line.unwrap_or_else(|| panic!("{page}")).to_owned()
        };
        assert_eq!(number(), number(), "{suite}");
        for record in gatehouse.records(2) {
            assert_eq!(record["upstream_suite"], suite, "{record}");
        }
    }
}

/// A folder whose `origin.pem` openssl has made, by an authority of its own (`own-ca.pem`).
#[track_caller]
fn folder_by_openssl(bits: u32, hash: &str, subject: &str, alternative: &str) -> Folder {
    let folder = folder();
    let at = |name: &str| folder.at(name).display().to_string();
    let (ca, ca_key) = (at("own-ca.pem"), at("own-ca.key"));
    let (pem, key, request) = (at("origin.pem"), at("origin.key"), at("origin.csr"));
    fs::write(at("extensions"), format!("keyUsage = digitalSignature\n{alternative}\n")).unwrap();
    let extensions = at("extensions");
    for line in [
        format!(
            "req -x509 -newkey rsa:2048 -nodes -keyout {ca_key} -out {ca} -subj /CN=own -days 2"
        ),
        format!("req -newkey rsa:{bits} -nodes -keyout {key} -out {request} -subj /CN={subject}"),
        format!(
            "x509 -req -in {request} -CA {ca} -CAkey {ca_key} -CAcreateserial -{hash} -days 2 -extfile {extensions} -out {pem}"
        ),
    ] {
        run("openssl", line.split_whitespace()).expect_success();
    }
    folder
}

/// What publishes a server with a certificate of its own authority.
#[track_caller]
fn check_certificate(folder: Folder, expected: &[&str], with_pin: bool) {
    let server = StandIn::openssl(folder, "-WWW -cipher DEFAULT:@SECLEVEL=0");
    let at = |name: &str| server.folder.at(name).display().to_string();
    let name = "server_name = \"origin.test\"";
    let publish = |trust: &str| {
        let pool = format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", server.port);
        let tls = format!("[pool.origin.tls]\n{trust}\n{name}\n");
        Gatehouse::start(Folder::new(), &(pool + &tls))
    };
    let expect_refusal = |gatehouse: &Gatehouse| {
        let status = ["-w", "%{http_code}", "-o", "/dev/null", "https://a.test/body.txt"];
        assert_eq!(curl(gatehouse, &status).finish().expect_success().text(), "503");
        let line = gatehouse.expect_said(&format!("127.0.0.1:{}: TLS: ", server.port));
        for word in expected {
            assert!(line.contains(word), "no {word:?} in\n{line}");
        }
    };
    expect_refusal(&publish(&format!("ca = \"{}\"", at("own-ca.pem"))));
    let arguments = ["pkey", "-in", &at("origin.key"), "-pubout", "-outform", "DER", "-out"];
    run("openssl", [&arguments[..], &[&at("public")]].concat()).expect_success();
    let digest = run("openssl", ["dgst", "-sha256", "-r", &at("public")]).expect_success().text();
    let pinned = publish(&format!("pin_sha256 = [\"{}\"]", digest.split(' ').next().unwrap()));
    if with_pin {
        assert!(get(&pinned, "/body.txt") == body());
    } else {
        expect_refusal(&pinned);
    }
}

/// What its owner has to change, and whether a pin helps.
#[test]
fn certificates_that_are_refused() {
    let named = "subjectAltName = DNS:origin.test";
    let sha1 = folder_by_openssl(2048, "sha1", "origin.test", named);
    check_certificate(sha1, &["signed with SHA-1", "pin_sha256"], true);
    let short = folder_by_openssl(1024, "sha256", "origin.test", named);
    check_certificate(short, &["only 1024 bits", "pin_sha256 does not help"], false);
    let unnamed = folder_by_openssl(2048, "sha256", "origin.test", "");
    check_certificate(unnamed, &["origin.test in its subject only", "alternative name"], false);
    let other = "subjectAltName = DNS:webext.test,DNS:meet.test";
    let other = folder_by_openssl(2048, "sha256", "origin.test", other);
    let words = ["origin.test in its subject only", "server_name", "(webext.test, meet.test)"];
    check_certificate(other, &words, false);
}

#[test]
fn servers_that_cannot_be_talked_to() {
    let old = StandIn::openssl(folder(), "-WWW -tls1 -cipher ALL:@SECLEVEL=0");
    for profile in ["", "profile = \"windows-2012r2\""] {
        check_refused(old.port, profile, &["nothing newer than TLS 1.0", "DisabledByDefault"]);
    }
    // It can sign with nothing but SHA-1.
    let weak = "-WWW -no_tls1_3 -cipher DEFAULT:@SECLEVEL=0 -sigalgs RSA+SHA1";
    let weak = StandIn::openssl(folder(), weak);
    check_refused(weak.port, "profile = \"windows-2012r2\"", &["signed with SHA-256"]);
    // Schannel has no word for it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in silent.incoming().map_while(Result::ok) {
            let _ = (&client).read(&mut [0; 4096]);
        }
    });
    let words = ["the connection during the handshake", "profile = \"windows-2012r2\""];
    check_refused(port, "", &words);
}

/// IIS asks for a client certificate by a second handshake, once it has seen the path.
#[test]
fn a_server_that_wants_a_second_handshake() {
    let server = StandIn::openssl(folder(), "-no_tls1_3 -cipher DEFAULT");
    let gatehouse = publish(server.port, "");
    let status = ["-w", "%{http_code}", "-o", "/dev/null", "https://a.test/"];
    let asked = curl(&gatehouse, &status);
    until("the request", || {
        let seen = fs::read_to_string(server.folder.at("stand-in.out")).unwrap_or_default();
        seen.contains("GET / HTTP/1.1").then_some(())
    });
    // To openssl: renegotiate.
    server.program.child.stdin.as_ref().unwrap().write_all(b"r\n").unwrap();
    assert_eq!(asked.finish().expect_success().text(), "503");
    gatehouse.expect_said("clientcertnegotiation=enable");
}

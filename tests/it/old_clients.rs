//! Clients on old Windows: `openssl s_client` held to the lists of Schannel, at listeners with each
//! profile and each kind of certificate. The lists are those of Microsoft's pages "TLS Cipher Suites in
//! Windows …"; nothing here was compared with a real Windows.

use std::fs;

use crate::metrics;
use crate::rig::{
    Folder, Gatehouse, Kind, Outcome, StandIn, Wire, begin_with_input, curl, free_port, nginx,
};

const OLD_CURVES: &str = "-curves P-256:P-384 -sigalgs RSA+SHA256:RSA+SHA384:RSA+SHA1:ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA1";

/// A version of Windows, as a client: TLS 1.2, with its suites in its order.
struct Windows {
    name: &'static str,
    suites: &'static str,
    more: &'static str,
}

const WINDOWS: [Windows; 3] = [
    Windows {
        name: "7",
        suites: "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:AES128-SHA256:AES128-SHA:AES256-SHA256:AES256-SHA",
        more: OLD_CURVES,
    },
    Windows {
        name: "8.1",
        suites: "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:AES256-SHA:AES128-SHA:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:ECDHE-ECDSA-AES128-SHA",
        more: OLD_CURVES,
    },
    Windows {
        name: "10",
        suites: "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA:AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA:AES128-SHA",
        more: "-curves X25519:P-256:P-384",
    },
];

/// Sites with an RSA certificate, an ECDSA one and both at a listener with this profile.
fn publish(profile: &str) -> Gatehouse {
    let folder = Folder::new();
    folder.certificate("ecdsa", &["ecdsa.test", "both.test"], Kind::Ecdsa);
    folder.certificate("rsa", &["rsa.test", "both.test"], Kind::Rsa);
    let mut text = format!(
        "[listener.https]\nport = $https\ntls = true\nprofile = \"{profile}\"\ncertificate = \"rsa\"\n\
         [certificate.rsa]\nchain = \"rsa.pem\"\nkey = \"rsa.key\"\n\
         [certificate.ecdsa]\nchain = \"ecdsa.pem\"\nkey = \"ecdsa.key\"\n"
    );
    for (table, site, certificate) in [
        ("a", "rsa", "\"rsa\""),
        ("ecdsa", "ecdsa", "\"ecdsa\""),
        ("both", "both", "[\"rsa\", \"ecdsa\"]"),
    ] {
        text += &format!(
            "[site.{table}]\nnames = [\"{site}.test\"]\nlisteners = [\"https\"]\ncertificate = {certificate}\n\
             [[site.{table}.rule]]\npath = \"/\"\nrespond = {{ status = 200, body = \"site {site}\" }}\n"
        );
    }
    Gatehouse::start(folder, &text)
}

/// `openssl s_client` that asks for the page of `site`.
#[track_caller]
fn s_client(gatehouse: &Gatehouse, site: &str, arguments: &str) -> Outcome {
    s_client_at(gatehouse.https, gatehouse, site, arguments)
}

#[track_caller]
fn s_client_at(port: u16, gatehouse: &Gatehouse, site: &str, arguments: &str) -> Outcome {
    let folder = gatehouse.folder();
    let arguments = format!(
        "s_client -connect 127.0.0.1:{port} -CAfile {} -verify_return_error -ign_eof -servername {site}.test {}",
        folder.at("ca.pem").display(),
        arguments.replace("$folder", &folder.path().display().to_string())
    );
    let request = format!("GET / HTTP/1.1\r\nHost: {site}.test\r\nConnection: close\r\n\r\n");
    begin_with_input("openssl", arguments.split_whitespace(), folder, &request).finish()
}

impl Windows {
    #[track_caller]
    fn ask(&self, gatehouse: &Gatehouse, site: &str, more: &str) -> String {
        let Self { suites, more: own, .. } = self;
        let arguments = format!("-tls1_2 -cipher {suites}:@SECLEVEL=0 {own} {more}");
        let outcome = s_client(gatehouse, site, &arguments);
        outcome.text() + &outcome.err
    }
}

/// The profile, the site, the version of Windows, and the suite that they agree on, if they do.
const MATRIX: [(&str, &str, &str, Option<&str>); 18] = [
    ("windows-7", "rsa", "7", Some("ECDHE-RSA-AES128-SHA256")),
    ("windows-7", "rsa", "8.1", Some("ECDHE-RSA-AES128-SHA256")),
    ("windows-7", "rsa", "10", Some("ECDHE-RSA-AES256-GCM-SHA384")),
    ("windows-7", "ecdsa", "7", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("windows-7", "ecdsa", "8.1", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("windows-7", "ecdsa", "10", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("windows-7", "both", "7", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("windows-7", "both", "8.1", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("windows-7", "both", "10", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("modern", "rsa", "7", None),
    ("modern", "rsa", "8.1", None),
    ("modern", "rsa", "10", Some("ECDHE-RSA-AES256-GCM-SHA384")),
    ("modern", "ecdsa", "7", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("modern", "ecdsa", "8.1", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("modern", "ecdsa", "10", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("modern", "both", "7", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("modern", "both", "8.1", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
    ("modern", "both", "10", Some("ECDHE-ECDSA-AES256-GCM-SHA384")),
];

#[test]
fn each_windows_client_at_each_listener() {
    for profile in ["windows-7", "modern"] {
        let gatehouse = publish(profile);
        let mut lines = 0;
        for (_, site, name, suite) in MATRIX.iter().filter(|row| row.0 == profile) {
            let windows = WINDOWS.iter().find(|windows| windows.name == *name).unwrap();
            let case = format!("{profile}, {site}, Windows {name}");
            let Some(suite) = suite else {
                let said = windows.ask(&gatehouse, site, "");
                assert!(said.contains("alert handshake failure"), "{case}: {said}");
                lines += 1;
                let record = gatehouse.records(lines).pop().unwrap();
                assert_eq!(record["failure"], "client_no_common_suite", "{case}: {record}");
                assert_eq!(record["host"], format!("{site}.test"), "{case}: {record}");
                continue;
            };
            // By ticket, and by number as Windows 7 does it.
            for more in ["", "-no_ticket"] {
                let first = format!("{more} -sess_out $folder/session");
                let again = format!("{more} -sess_in $folder/session");
                let by_number = more == "-no_ticket" && profile == "modern";
                let resumed = if by_number { "New" } else { "Reused" };
                for (words, kind) in [(first, "New"), (again, resumed)] {
                    let said = windows.ask(&gatehouse, site, &words);
                    let agreed = format!("{kind}, TLSv1.2, Cipher is {suite}\n");
                    for word in [&agreed[..], &format!("site {site}")] {
                        assert!(said.contains(word), "{case}{more}: no {word:?} in\n{said}");
                    }
                    lines += 1;
                    let record = gatehouse.records(lines).pop().unwrap();
                    let old = suite.ends_with("-SHA256") && !suite.contains("GCM");
                    let expected = if old { (*suite).into() } else { serde_json::Value::Null };
                    assert_eq!(record["client_suite"], expected, "{case}: {record}");
                }
            }
        }
    }
}

/// Clients of today get the best at a listener for the old ones too.
#[test]
fn whoever_can_more_gets_more() {
    let gatehouse = publish("windows-7");
    for (arguments, expected) in [
        ("", "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384"),
        ("-tls1_2", "New, TLSv1.2, Cipher is ECDHE-RSA-AES256-GCM-SHA384"),
        (
            "-tls1_2 -cipher ECDHE-RSA-AES128-SHA:ECDHE-RSA-CHACHA20-POLY1305",
            "New, TLSv1.2, Cipher is ECDHE-RSA-CHACHA20-POLY1305",
        ),
    ] {
        let outcome = s_client(&gatehouse, "rsa", arguments);
        let said = outcome.text() + &outcome.err;
        assert!(said.contains(expected), "{arguments}: no {expected:?} in\n{said}");
    }
    // Neither is this one of ours, nor is any without a fresh key for each connection.
    for suite in ["ECDHE-RSA-AES256-SHA384", "AES128-SHA", "DHE-RSA-AES128-SHA"] {
        let outcome = s_client(&gatehouse, "rsa", &format!("-tls1_2 -cipher {suite}:@SECLEVEL=0"));
        let said = outcome.text() + &outcome.err;
        assert!(said.contains("alert handshake failure"), "{suite}: {said}");
    }
}

/// The order of suites is the listener's, but for a client that has no AES in hardware.
#[test]
fn whatever_a_client_likes_best_the_order_is_ours() {
    let [aes128, aes256, chacha20] =
        ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"];
    for profile in ["modern", "windows-7"] {
        let gatehouse = publish(profile);
        for (offered, agreed) in [
            ([aes128, aes256, chacha20], aes256),
            ([aes128, chacha20, aes256], aes256),
            ([aes256, aes128, chacha20], aes256),
            ([chacha20, aes128, aes256], chacha20),
        ] {
            let suites = offered.map(|suite| format!("ECDHE-RSA-{suite}")).join(":");
            let tls13 = |suite: &str| {
                format!("TLS_{}", suite.trim_start_matches("TLS_").replace('-', "_"))
                    .replace("AES128", "AES_128")
                    .replace("AES256", "AES_256")
                    .replace("POLY1305", "POLY1305_SHA256")
            };
            for (arguments, agreed) in [
                (format!("-tls1_2 -cipher {suites}"), format!("ECDHE-RSA-{agreed}")),
                (format!("-ciphersuites {}", offered.map(tls13).join(":")), tls13(agreed)),
            ] {
                let outcome = s_client(&gatehouse, "rsa", &arguments);
                let said = outcome.text() + &outcome.err;
                let expected = format!("Cipher is {agreed}\n");
                assert!(said.contains(&expected), "{profile}: no {expected:?} in\n{said}");
            }
        }
    }
}

/// A session goes on where it has begun: not where the suite is not offered, nor at another site.
#[test]
fn a_session_is_not_taken_up_elsewhere() {
    let modern = free_port();
    let folder = Folder::new();
    folder.certificate("a", &["a.test"], Kind::Rsa);
    folder.certificate("b", &["b.test"], Kind::Rsa);
    let mut text = String::new();
    for (listener, port, profile) in
        [("https", "$https".to_owned(), "windows-7"), ("modern", modern.to_string(), "modern")]
    {
        text += &format!(
            "[listener.{listener}]\nport = {port}\ntls = true\nprofile = \"{profile}\"\ncertificate = \"a\"\n"
        );
    }
    for site in ["a", "b"] {
        text += &format!(
            "[certificate.{site}]\nchain = \"{site}.pem\"\nkey = \"{site}.key\"\n\
             [site.{site}]\nnames = [\"{site}.test\"]\nlisteners = [\"https\", \"modern\"]\ncertificate = \"{site}\"\n\
             [[site.{site}.rule]]\npath = \"/\"\nrespond = {{ status = 200, body = \"site {site}\" }}\n"
        );
    }
    let gatehouse = Gatehouse::start(folder, &text);
    let ask = |port: u16, site: &str, arguments: &str| {
        let outcome = s_client_at(port, &gatehouse, site, arguments);
        outcome.text() + &outcome.err
    };
    let (old, new) = ("ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-GCM-SHA384");
    for more in ["", "-no_ticket"] {
        let begin = format!("-tls1_2 -cipher {old} {more} -sess_out $folder/session");
        let said = ask(gatehouse.https, "a", &begin);
        assert!(said.contains(&format!("New, TLSv1.2, Cipher is {old}\n")), "{said}");
        let again =
            |suites: &str| format!("-tls1_2 -cipher {suites} {more} -sess_in $folder/session");
        let both = format!("{old}:{new}");
        for (port, site, suites, expected) in [
            (gatehouse.https, "a", old, format!("Reused, TLSv1.2, Cipher is {old}\n")),
            (gatehouse.https, "b", old, format!("New, TLSv1.2, Cipher is {old}\n")),
            (modern, "a", old, "alert handshake failure".to_owned()),
            (modern, "a", &both, format!("New, TLSv1.2, Cipher is {new}\n")),
            (modern, "b", &both, format!("New, TLSv1.2, Cipher is {new}\n")),
        ] {
            let said = ask(port, site, &again(suites));
            assert!(said.contains(&expected), "{more} {site} {suites}: no {expected:?} in\n{said}");
        }
    }
}

#[test]
fn who_knows_no_tls_12_is_named_in_the_log() {
    for profile in ["modern", "windows-7"] {
        let gatehouse = publish(profile);
        for (count, version) in ["-tls1", "-tls1_1"].into_iter().enumerate() {
            let outcome =
                s_client(&gatehouse, "rsa", &format!("{version} -cipher ALL:@SECLEVEL=0"));
            let said = outcome.text() + &outcome.err;
            assert!(said.contains("alert protocol version"), "{version}: {said}");
            let record = gatehouse.records(count + 1).pop().unwrap();
            assert_eq!(record["failure"], "client_tls_too_old", "{record}");
            assert_eq!((&record["fault_of"], &record["status"]), (&"client".into(), &0.into()));
            assert_eq!(record["host"], "rsa.test", "{record}");
            assert_eq!(record["client"], "127.0.0.1", "{record}");
        }
        // As Windows XP greets: in the form of SSL 2.0, which has no place for a name.
        let to = ("127.0.0.1", gatehouse.https);
        let mut client = Wire::plain(std::net::TcpStream::connect(to).unwrap());
        let greeting = [0x80, 0x1c, 1, 3, 1, 0, 3, 0, 0, 0, 0x10, 0, 0, 0x2f];
        client.send([&greeting[..], &[7; 16]].concat());
        let (alert, _) = client.rest();
        assert_eq!(alert.last(), Some(&70), "protocol_version: {alert:?}");
        let record = gatehouse.records(3).pop().unwrap();
        assert_eq!(record["failure"], "client_tls_too_old", "{record}");
        assert!(record["host"].is_null(), "{record}");
    }
}

/// Large bodies both ways, in each suite.
#[test]
fn large_bodies_by_old_suites() {
    let real = nginx();
    let body: Vec<u8> = (0..3 * 1024 * 1024_u32).map(|at| (at % 251) as u8).collect();
    let folder = Folder::new();
    folder.certificate("rsa", &["a.test"], Kind::Rsa);
    folder.write("body", &body);
    let text = format!(
        "[listener.https]\nport = $https\ntls = true\nprofile = \"windows-7\"\ncertificate = \"rsa\"\n\
         [certificate.rsa]\nchain = \"rsa.pem\"\nkey = \"rsa.key\"\n\
         [pool.a]\nservers = [\"127.0.0.1:{}\"]\n\
         [site.a]\nnames = [\"a.test\"]\nlisteners = [\"https\"]\n[[site.a.rule]]\npath = \"/\"\npool = \"a\"\n",
        real.plain
    );
    let gatehouse = Gatehouse::start(folder, &text);
    let file = gatehouse.folder().at("body").display().to_string();
    let mut lines = 0;
    for suite in ["ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-SHA"] {
        let address = format!("https://a.test/put/{suite}.txt");
        let only = ["--fail", "--tls-max", "1.2", "--ciphers", suite];
        let put = [&only[..], &["-T", &file, &address]].concat();
        curl(&gatehouse, &put).finish().expect_success();
        assert!(fs::read(real.file(&format!("put/{suite}.txt"))).unwrap() == body, "{suite}");
        let get = [&only[..], &[&address]].concat();
        assert!(curl(&gatehouse, &get).finish().expect_success().out == body, "{suite}");
        lines += 2;
        for record in &gatehouse.records(lines)[lines - 2..] {
            assert_eq!(record["client_suite"], suite, "{record}");
        }
    }
}

/// Old on both sides: one line of the log tells both, and so do the metrics, each by suite.
#[test]
fn log_and_metrics_tell_of_old_suites() {
    let origin = Folder::new();
    origin.certificate("origin", &["origin.test"], Kind::Rsa);
    origin.write("page.txt", "a page");
    let words = "-WWW -no_tls1_3 -cipher ECDHE-RSA-AES256-SHA:@SECLEVEL=0";
    let server = StandIn::openssl(origin, words);
    let folder = Folder::new();
    folder.certificate("a", &["a.test"], Kind::Rsa);
    let port = free_port();
    let text = format!(
        "{}[listener.https]\nport = $https\ntls = true\nprofile = \"windows-7\"\ncertificate = \"a\"\n\
         [pool.origin]\nservers = [\"127.0.0.1:{}\"]\n\
         [pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"origin.test\"\nprofile = \"windows-2012r2\"\n",
        metrics::admin(port),
        server.port
    );
    let gatehouse = Gatehouse::start(folder, &text);
    let (client, upstream) = ("ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA");
    let only = ["--fail", "--tls-max", "1.2", "--ciphers", client, "https://a.test/page.txt"];
    assert_eq!(curl(&gatehouse, &only).finish().expect_success().text(), "a page");
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["client_suite"], client, "{record}");
    assert_eq!(record["upstream_suite"], upstream, "{record}");
    let series = |name: &str, suite: &str| format!("gatehouse_{name}_total{{suite=\"{suite}\"}}");
    metrics::expect(
        port,
        &[
            (&series("old_suite_handshakes", client), 1.0),
            (&series("old_suite_handshakes", upstream), 0.0),
            (&series("upstream_old_suite_handshakes", upstream), 1.0),
            (&series("upstream_old_suite_handshakes", client), 0.0),
        ],
    );
    // `check` and the start warn of both.
    for table in ["listener `https`", "pool `origin`"] {
        gatehouse.expect_said(&format!("warning: {table} offers cipher suites of old Windows"));
    }
}

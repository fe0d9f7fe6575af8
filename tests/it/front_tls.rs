//! TLS in front, as openssl and curl see it.

use std::io::Write;

use crate::rig::{End, Folder, Gatehouse, Kind, Outcome, Wire, begin_with_input};

/// Two sites with certificates of their own, a third with the first's, a wildcard, and one with
/// certificates of both kinds.
const SITES: &str = r#"
[listener.http]
port = $http
[listener.https]
port = $https
tls = true
certificate = "a"
[certificate.a]
chain = "a.pem"
key = "a.key"
[certificate.b]
chain = "b.pem"
key = "b.key"
[certificate.w]
chain = "w.pem"
key = "w.key"
[certificate.both-ecdsa]
chain = "ecdsa.pem"
key = "ecdsa.key"
[certificate.both-rsa]
chain = "rsa.pem"
key = "rsa.key"
[site.a]
names = ["a.test"]
listeners = ["https", "http"]
certificate = "a"
[[site.a.rule]]
path = "/"
respond = { status = 200, body = "site a" }
[site.also]
names = ["also.test"]
listeners = ["https"]
certificate = "a"
[[site.also.rule]]
path = "/"
respond = { status = 200, body = "site also" }
[site.b]
names = ["b.test"]
listeners = ["https"]
certificate = "b"
[[site.b.rule]]
path = "/"
respond = { status = 200, body = "site b" }
[site.w]
names = ["*.apps.test"]
listeners = ["https"]
certificate = "w"
[[site.w.rule]]
path = "/"
respond = { status = 200, body = "site w" }
[site.both]
names = ["both.test"]
listeners = ["https"]
certificate = ["both-rsa", "both-ecdsa"]
[[site.both.rule]]
path = "/"
respond = { status = 200, body = "site both" }
"#;

fn publish(more: &str) -> Gatehouse {
    let folder = Folder::new();
    folder.certificate("a", &["a.test", "also.test"], Kind::Ecdsa);
    folder.certificate("b", &["b.test"], Kind::Ecdsa);
    folder.certificate("w", &["*.apps.test"], Kind::Ecdsa);
    folder.certificate("ecdsa", &["both.test"], Kind::Ecdsa);
    folder.certificate("rsa", &["both.test"], Kind::Rsa);
    Gatehouse::start(folder, &format!("{SITES}{more}"))
}

/// `openssl s_client` that asks for the page of `host`.
#[track_caller]
fn s_client(gatehouse: &Gatehouse, host: &str, arguments: &str) -> Outcome {
    let to = format!("127.0.0.1:{}", gatehouse.https);
    let ca = gatehouse.folder().at("ca.pem").display().to_string();
    let folder = gatehouse.folder().path().display().to_string();
    let mut all = vec!["s_client", "-connect", &to, "-CAfile", &ca, "-verify_return_error"];
    all.push("-ign_eof");
    let arguments = arguments.replace("$folder", &folder);
    all.extend(arguments.split_whitespace());
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    begin_with_input("openssl", all, gatehouse.folder(), &request).finish()
}

/// What openssl says has to hold all of `words`.
#[track_caller]
fn check(gatehouse: &Gatehouse, host: &str, arguments: &str, words: &[&str]) {
    let outcome = s_client(gatehouse, host, arguments);
    let text = outcome.text() + &outcome.err;
    for word in words {
        assert!(text.contains(word), "{arguments}: no {word:?} in\n{text}");
    }
}

#[test]
fn versions() {
    let gatehouse = publish("");
    let page = "\r\n\r\nsite a";
    check(&gatehouse, "a.test", "-servername a.test -tls1_3", &["New, TLSv1.3, ", page]);
    check(&gatehouse, "a.test", "-servername a.test -tls1_2", &["New, TLSv1.2, ", page]);
    check(&gatehouse, "a.test", "-servername a.test", &["New, TLSv1.3, ", page]);
    let old = "-servername a.test -tls1_1 -cipher DEFAULT:@SECLEVEL=0";
    check(&gatehouse, "a.test", old, &["New, (NONE)", "alert"]);
    let weak = "-servername a.test -tls1_2 -cipher AES128-SHA:@SECLEVEL=0";
    check(&gatehouse, "a.test", weak, &["alert handshake failure"]);
}

#[test]
fn the_certificate_follows_the_server_name() {
    let gatehouse = publish("");
    for (arguments, host, subject) in [
        ("-servername a.test", "a.test", "a.test"),
        ("-servername A.TEST", "a.test", "a.test"),
        ("-servername b.test", "b.test", "b.test"),
        ("-servername x.apps.test", "x.apps.test", "*.apps.test"),
        ("-servername both.test", "both.test", "both.test"),
        // Without a name, or with one that nobody has, it is the listener's own.
        ("-noservername", "a.test", "a.test"),
        ("-servername none.test", "a.test", "a.test"),
        ("-servername x.y.apps.test", "a.test", "a.test"),
        ("-servername apps.test", "a.test", "a.test"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let arguments = format!("{arguments} {version}");
            let words = [&format!("subject=CN = {subject}\n"), "HTTP/1.1 200 OK\r\n"];
            check(&gatehouse, host, &arguments, &words);
        }
    }
}

#[test]
fn both_kinds_of_key_for_one_site() {
    let gatehouse = publish("");
    let (ecdsa, rsa, page) =
        ("Peer signature type: ECDSA", "Peer signature type: RSA-PSS", "site both");
    for version in ["-tls1_2", "-tls1_3"] {
        let ask = |more: &str| format!("-servername both.test {version} {more}");
        check(&gatehouse, "both.test", &ask(""), &[ecdsa, page]);
        check(
            &gatehouse,
            "both.test",
            &ask("-sigalgs ECDSA+SHA256:RSA-PSS+SHA256"),
            &[ecdsa, page],
        );
        check(
            &gatehouse,
            "both.test",
            &ask("-sigalgs RSA-PSS+SHA256:ECDSA+SHA256"),
            &[ecdsa, page],
        );
        check(&gatehouse, "both.test", &ask("-sigalgs RSA-PSS+SHA256:RSA+SHA256"), &[rsa, page]);
    }
    // In TLS 1.2 the cipher suite names the kind too.
    let suite = "-servername both.test -tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256";
    check(&gatehouse, "both.test", suite, &["Peer signature type: RSA", page]);
    let suite = "-servername both.test -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256";
    check(&gatehouse, "both.test", suite, &[ecdsa, page]);
}

#[test]
fn sessions_resume_on_every_worker() {
    let gatehouse = publish("[workers]\ncount = 2\n");
    for version in ["-tls1_2", "-tls1_3"] {
        let first = format!("-servername a.test {version} -sess_out $folder/session");
        check(&gatehouse, "a.test", &first, &["New, TLSv1.", "site a"]);
        // The kernel spreads them over both workers; one ticket serves many connections.
        for _ in 0..10 {
            let again = format!("-servername a.test {version} -sess_in $folder/session");
            check(&gatehouse, "a.test", &again, &["Reused, TLSv1.", "site a"]);
        }
    }
}

#[test]
fn a_session_does_not_resume_at_another_site() {
    let gatehouse = publish("");
    for version in ["-tls1_2", "-tls1_3"] {
        let first = format!("-servername a.test {version} -sess_out $folder/session");
        check(&gatehouse, "a.test", &first, &["New, TLSv1.", "site a"]);
        let other = format!("-servername b.test {version} -sess_in $folder/session");
        check(&gatehouse, "b.test", &other, &["New, TLSv1.", "subject=CN = b.test\n", "site b"]);
        let same = format!("-servername a.test {version} -sess_in $folder/session");
        check(&gatehouse, "a.test", &same, &["Reused, TLSv1.", "site a"]);
    }
}

/// A ticket of one run means nothing to the next: its secret is gone.
#[test]
fn a_strange_session_is_a_full_handshake() {
    let before = publish("");
    let first = "-servername a.test -tls1_2 -sess_out $folder/session";
    check(&before, "a.test", first, &["New, TLSv1.2", "site a"]);
    let after = publish("");
    let session = std::fs::read(before.folder().at("session")).unwrap();
    after.folder().write("session", session);
    let again = "-servername a.test -tls1_2 -sess_in $folder/session";
    check(&after, "a.test", again, &["New, TLSv1.2", "site a"]);
}

#[test]
fn protocols() {
    let gatehouse = publish("");
    for (offered, words) in [
        ("-alpn http/1.1", ["ALPN protocol: http/1.1", "site a"]),
        ("-alpn h2,http/1.1", ["ALPN protocol: http/1.1", "site a"]),
        ("-alpn http/1.0", ["ALPN protocol: http/1.0", "site a"]),
        ("", ["No ALPN negotiated", "site a"]),
        ("-alpn h2", ["alert no application protocol", ""]),
    ] {
        check(&gatehouse, "a.test", &format!("-servername a.test {offered}"), &words);
    }
}

#[test]
fn a_name_of_another_certificate_is_misdirected() {
    let gatehouse = publish("");
    for (name, host, status) in [
        ("a.test", "a.test", "200"),
        ("a.test", "a.test:443", "200"),
        ("a.test", "also.test", "200"),
        ("also.test", "a.test", "200"),
        ("a.test", "b.test", "421"),
        ("b.test", "a.test", "421"),
        ("a.test", "x.apps.test", "421"),
        ("x.apps.test", "y.apps.test", "200"),
        ("none.test", "a.test", "200"),
        ("none.test", "b.test", "421"),
        ("a.test", "none.test", "421"),
    ] {
        let words = [&format!("HTTP/1.1 {status} ")[..]];
        check(&gatehouse, host, &format!("-servername {name}"), &words);
    }
    // Without TLS nothing was proved, so that nothing can be misdirected but unknown names.
    for (host, status) in [("a.test", 200), ("b.test", 421), ("none.test", 421)] {
        let mut client = gatehouse.client();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status(), status, "{host}");
    }
}

fn connect(port: u16) -> Wire {
    Wire::plain(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap())
}

#[test]
fn what_is_no_tls_ends() {
    let gatehouse = publish("[timeouts]\nhandshake = \"1s\"\n");
    let long = [&[22, 3, 1, 0x40, 0][..], &[1; 0x4000]].concat();
    for greeting in [
        &b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"[..],
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xffhello",
        b"\x16\x03\x01\x00\x04\x01\xff\xff\xff",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x00",
        &long,
    ] {
        let mut client = connect(gatehouse.https);
        client.send(greeting);
        let (alert, end) = client.rest();
        // An alert record at most.
        assert!(alert.is_empty() || (alert[0] == 0x15 && alert.len() == 7), "{alert:?}");
        assert!(end != End::Cut);
    }
    // Those who say nothing, or stop in the middle, are given up after a second.
    for begun in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut client = connect(gatehouse.https);
        client.send(begun);
        client.expect_end();
    }
    check(&gatehouse, "a.test", "-servername a.test", &["site a"]);
}

#[test]
fn tls_at_a_plain_listener_gets_no_page() {
    let gatehouse = publish("");
    let mut client = connect(gatehouse.http);
    client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(client.answer().status(), 400);
    client.end();
    client.expect_end();
}

/// Greetings arrive in pieces from slow links, and large ones (post-quantum keys) in several
/// packets anyway.
#[test]
fn a_greeting_in_pieces() {
    let gatehouse = publish("");
    let socket = std::net::TcpStream::connect(("127.0.0.1", gatehouse.https)).unwrap();
    socket.set_nodelay(true).unwrap();
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let mut session = rustls::ClientConnection::new(crate::rig::trusting(), name).unwrap();
    let mut greeting = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut greeting).unwrap();
    }
    for byte in greeting.chunks(7) {
        (&socket).write_all(byte).unwrap();
    }
    let mut socket = &socket;
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
}

/// A client that closes its TLS properly has it closed properly.
#[test]
fn closing_is_said() {
    let gatehouse = publish("");
    let mut client = gatehouse.secure_client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().text(), "site a");
    assert_eq!(client.expect_end(), End::Closed);
}

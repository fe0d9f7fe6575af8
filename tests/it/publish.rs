//! Real web servers published with TLS on both legs, asked by curl, which verifies us as we verify
//! them.

use std::fs;

use crate::rig::{Folder, Gatehouse, Kind, Real, apache, curl, leaf, nginx, run};

/// What curl prints of one request.
#[track_caller]
fn ask(gatehouse: &Gatehouse, arguments: &[&str]) -> String {
    curl(gatehouse, arguments).finish().expect_success().text()
}

fn everything(real: &Real) {
    let gatehouse = Gatehouse::publish_secure(&[real.tls], "");
    let included = "included\n".repeat(2_000);
    let small = "https://a.test/small.txt";

    assert_eq!(ask(&gatehouse, &[small]), "a small file\n");
    assert_eq!(ask(&gatehouse, &["http://a.test/small.txt"]), "a small file\n", "plain in front");
    assert_eq!(ask(&gatehouse, &["--http1.0", small]), "a small file\n");
    assert_eq!(ask(&gatehouse, &["https://a.test/included.shtml"]), included, "chunked");
    assert_eq!(ask(&gatehouse, &["--http1.0", "https://a.test/included.shtml"]), included);
    assert_eq!(ask(&gatehouse, &["-r", "2-6", small]), "small");
    let missing = ["-w", "%{http_code}", "-o", "/dev/null", "https://a.test/none"];
    assert_eq!(ask(&gatehouse, &missing), "404");

    let head = ask(&gatehouse, &["--head", small]);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Length: 13\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();

    let condition = format!("If-None-Match: {tag}");
    let status = ["-w", "%{http_code} %{size_download}", "-H", &condition];
    assert_eq!(ask(&gatehouse, &[&status[..], &[small]].concat()), "304 0");

    let source = gatehouse.folder().at("source");
    fs::write(&source, "uploaded ".repeat(30_000)).unwrap();
    let source = source.display().to_string();
    for (name, more) in [
        ("by-length", &[][..]),
        ("chunked", &["-H", "Transfer-Encoding: chunked"][..]),
        ("expecting", &["-H", "Expect: 100-continue"][..]),
    ] {
        let url = format!("https://a.test/put/{name}");
        let put = ["-w", "%{http_code}", "-o", "/dev/null", "-T", &source, &url];
        assert_eq!(ask(&gatehouse, &[more, &put[..]].concat()), "201", "{name}");
        let arrived = fs::read(real.file(&format!("put/{name}"))).unwrap();
        assert!(arrived == fs::read(&source).unwrap(), "{name} differs: {} bytes", arrived.len());
    }
}

#[test]
fn apache_over_tls() {
    everything(&apache());
}

#[test]
fn nginx_over_tls() {
    let real = nginx();
    everything(&real);
    let gatehouse = Gatehouse::publish_secure(&[real.tls], "");
    // Target and Host as the client spelt them; the verified name as server name.
    let asked = ask(&gatehouse, &["--path-as-is", "https://a.test/asked?x=%7E//&y=;a"]);
    assert_eq!(asked, "GET /asked?x=%7E//&y=;a a.test origin.test");
    let status = ["-w", "%{http_code} %{size_download}", "https://a.test/empty"];
    assert_eq!(ask(&gatehouse, &status), "204 0");
    let included = "included\n".repeat(2_000);
    assert_eq!(ask(&gatehouse, &["https://a.test/until-close"]), included);
    assert_eq!(ask(&gatehouse, &["--http1.0", "https://a.test/until-close"]), included);
}

#[test]
fn connections_are_kept_on_both_sides() {
    let real = nginx();
    let gatehouse = Gatehouse::publish_secure(&[real.tls], "");
    let mut urls = vec!["-w", "%{num_connects}\n", "-o", "/dev/null"];
    for _ in 0..8 {
        urls.extend(["-o", "/dev/null", "https://a.test/small.txt"]);
    }
    let connects = ask(&gatehouse, &urls);
    assert_eq!(connects, "1\n0\n0\n0\n0\n0\n0\n0\n", "one client connection");
    ask(&gatehouse, &["https://a.test/small.txt"]);
    let lines = real.log_lines(9);
    let number = |line: &String| line.split(' ').next().unwrap().to_owned();
    assert!(lines.iter().all(|line| number(line) == number(&lines[0])), "{lines:#?}");
    // The ninth came from another client, over the same upstream connection.
    assert!(lines[8].contains(" 9 GET /small.txt HTTP/1.1 a.test 200"), "{lines:#?}");
    let reused = gatehouse.records(9).iter().filter(|record| record["reused"] == true).count();
    assert_eq!(reused, 8);
}

#[test]
fn curl_refuses_us_where_we_do_not_prove_who_we_are() {
    let real = nginx();
    let gatehouse = Gatehouse::publish(&[real.plain], "");
    // 60: the certificate cannot be verified.
    let outcome = curl(&gatehouse, &["https://b.test/small.txt"]).finish();
    assert_eq!(outcome.status.code(), Some(60), "another name: {}", outcome.err);
    let stranger = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    gatehouse.folder().write("stranger.pem", stranger.cert.pem());
    let stranger = gatehouse.folder().at("stranger.pem").display().to_string();
    let outcome = curl(&gatehouse, &["--cacert", &stranger, "https://a.test/small.txt"]).finish();
    assert_eq!(outcome.status.code(), Some(60), "another authority: {}", outcome.err);
}

/// The pool's `[tls]` table, and the words by which the service's log says what is wrong.
#[track_caller]
fn check_refusal(real: &Real, tls: &str, words: &str) {
    let folder = Folder::new();
    let stranger = rcgen::generate_simple_self_signed(["origin.test".to_owned()]).unwrap();
    folder.write("stranger.pem", stranger.cert.pem());
    folder.write("leaf.pem", leaf(&["other.test"], Kind::Ecdsa).chain);
    let port = real.tls;
    let text = format!("[pool.origin]\nservers = [\"127.0.0.1:{port}\"]\n[pool.origin.tls]\n{tls}");
    let gatehouse = Gatehouse::start(folder, &text);
    let status = ["-w", "%{http_code}", "-o", "/dev/null", "https://a.test/small.txt"];
    assert_eq!(ask(&gatehouse, &status), "503", "{tls}");
    let line = gatehouse.expect_said(&format!("127.0.0.1:{port}: TLS: "));
    assert!(line.contains(words), "{line}");
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["failure"], "upstream_tls_failed", "{record}");
    assert_eq!(record["fault_of"], "upstream", "{record}");
}

#[test]
fn a_server_that_cannot_be_verified_gets_no_request() {
    let real = nginx();
    check_refusal(&real, "ca = \"ca.pem\"\nserver_name = \"other.test\"", "origin.test");
    check_refusal(&real, "ca = \"ca.pem\"\nserver_name = \"host\"", "origin.test");
    check_refusal(&real, "ca = \"stranger.pem\"\nserver_name = \"origin.test\"", "UnknownIssuer");
    check_refusal(&real, "ca = \"leaf.pem\"\nserver_name = \"origin.test\"", "UnknownIssuer");
    check_refusal(&real, "ca = \"system\"\nserver_name = \"origin.test\"", "UnknownIssuer");
    let pin = format!("pin_sha256 = [\"{}\"]", "A".repeat(43) + "=");
    let tls = format!("ca = \"ca.pem\"\nserver_name = \"origin.test\"\n{pin}");
    check_refusal(&real, &tls, "");
    assert!(real.log_lines(0).is_empty(), "{:#?}", real.log_lines(0));
}

/// Each pool's `tls` table, and what the server saw of it.
#[test]
fn what_a_server_sees_of_our_tls() {
    let real = nginx();
    let pin = {
        let key = real.file("../origin.key").display().to_string();
        let public = ["pkey", "-in", &key, "-pubout", "-outform", "DER"];
        let public = run("openssl", public).expect_success().out;
        fs::write(real.file("public.der"), public).unwrap();
        let digest = ["dgst", "-sha256", "-r", &real.file("public.der").display().to_string()]
            .map(str::to_owned);
        let digest = run("openssl", digest).expect_success().text();
        digest.split(' ').next().unwrap().to_owned()
    };
    let name = "server_name = \"origin.test\"\n";
    let ours = format!("ca = \"ca.pem\"\n{name}");
    for (tls, expected) in [
        (ours.clone(), "[origin.test] TLSv1.3"),
        (format!("{ours}sni = \"same\""), "[origin.test] TLSv1.3"),
        (format!("{ours}sni = \"none\""), "[] TLSv1.3"),
        (format!("{ours}sni = \"other.test\""), "[other.test] TLSv1.3"),
        (format!("{ours}profile = \"modern\""), "[origin.test] TLSv1.3"),
        (format!("{ours}profile = \"tls12\""), "[origin.test] TLSv1.2"),
        // Nobody vouches for it, but its key is known.
        (format!("{name}pin_sha256 = [\"{pin}\"]"), "[origin.test] TLSv1.3"),
    ] {
        let pool = format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", real.tls);
        let text = format!("{pool}[pool.origin.tls]\n{tls}\n");
        let gatehouse = Gatehouse::start(Folder::new(), &text);
        assert_eq!(ask(&gatehouse, &["https://a.test/tls"]), expected, "{tls}");
    }
    // The table alone makes the difference: in plain, such a server understands nothing.
    let gatehouse = Gatehouse::publish(&[real.tls], "");
    let status = ["-w", "%{http_code}", "-o", "/dev/null", "https://a.test/tls"];
    assert_eq!(ask(&gatehouse, &status), "400");
}

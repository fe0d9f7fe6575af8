//! `gatehouse doctor` at servers as they are met, and the lines that it gives, tried out.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::Value;

use crate::rig::{Folder, Gatehouse, Kind, Outcome, Program, free_port, leaf, run, until};

const BINARY: &str = env!("CARGO_BIN_EXE_gatehouse");

/// What Windows Server 2012 R2 takes behind an RSA certificate; 2008 R2 with TLS 1.2 on the same, and
/// 2012 without the two of DHE with CBC (reference/lync.md section 7.3).
const WINDOWS_2012R2: &str = "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:\
    ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-SHA:\
    DHE-RSA-AES128-SHA:AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:AES256-SHA:\
    AES128-SHA:@SECLEVEL=0";
const WINDOWS_2012: &str = "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:\
    ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:AES256-GCM-SHA384:\
    AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:AES256-SHA:AES128-SHA:@SECLEVEL=0";
const WINDOWS_2016: &str = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:\
    DHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:\
    ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-SHA:AES256-GCM-SHA384:AES128-GCM-SHA256:AES128-SHA:@SECLEVEL=0";
const WINDOWS_2019: &str = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:\
    DHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:\
    ECDHE-RSA-AES128-SHA:AES256-GCM-SHA384:AES128-GCM-SHA256:AES128-SHA:@SECLEVEL=0";

/// `openssl s_server` that answers every request with a page about itself.
struct Server {
    _program: Program,
    port: u16,
}

impl Server {
    /// With `NAME.pem` and `NAME.key` of the folder.
    #[track_caller]
    fn start(folder: &Folder, name: &str, more: &[&str]) -> Self {
        let port = free_port();
        let accept = format!("127.0.0.1:{port}");
        let (chain, key) = (folder.at(&format!("{name}.pem")), folder.at(&format!("{name}.key")));
        let mut arguments = vec!["s_server", "-quiet", "-www", "-accept", &accept];
        arguments.extend(["-cert", chain.to_str().unwrap(), "-key", key.to_str().unwrap()]);
        arguments.extend(["-cert_chain", chain.to_str().unwrap()]);
        arguments.extend(more);
        let mut program = Program::start("openssl", arguments, |command| {
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        });
        until("the server's readiness", || {
            assert!(!program.has_ended(), "openssl does not start: {more:?}");
            TcpStream::connect(&accept).ok()
        });
        Self { _program: program, port }
    }
}

/// A folder with a certificate for `origin.test` that the authority of all tests has issued.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.certificate("origin", &["origin.test"], Kind::Rsa);
    folder
}

/// Has openssl make something in the folder.
#[track_caller]
fn openssl(folder: &Folder, arguments: &str) {
    let place = folder.path().to_str().unwrap();
    let arguments: Vec<String> =
        arguments.split_whitespace().map(|word| word.replace("DIR", place)).collect();
    run("openssl", &arguments).expect_success();
}

/// The pool's TLS as most files have it.
const USUAL: &str = "[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"origin.test\"\n";

/// The file that publishes a server by `tls`; it is there, and nobody runs by it.
fn file(folder: &Folder, port: u16, tls: &str) -> String {
    let text = format!(
        "[adapter.external]\naddresses = [\"127.0.0.1\"]\n[adapter.internal]\naddresses = [\"127.0.0.1\"]\n\
         [listener.http]\nport = {}\n[pool.origin]\nservers = [\"127.0.0.1:{port}\"]\n{tls}\
         [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
         [[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n",
        free_port()
    );
    folder.write("doctor.toml", text);
    folder.at("doctor.toml").to_str().unwrap().to_owned()
}

#[track_caller]
fn doctor(what: &str, more: &[&str]) -> Outcome {
    let mut arguments = vec!["doctor", what];
    arguments.extend(more);
    run(BINARY, arguments)
}

/// What the doctor says of the file's pool, with the exit code that has to be.
#[track_caller]
fn examine(file: &str, code: i32) -> Value {
    let told = doctor("origin", &["--config", file, "--json"]);
    assert_eq!(told.status.code(), Some(code), "{}{}", told.text(), told.err);
    serde_json::from_slice(&told.out).unwrap()
}

/// All that is said in changes and notes.
fn said(told: &Value) -> String {
    let all = ["changes", "notes"].map(|list| told[list].as_array().unwrap().clone());
    all.concat().iter().map(|one| format!("{} {}\n", one["what"], one["next"])).collect()
}

/// Publishes the server by `tls`, and asks for a page.
#[track_caller]
fn status_by(folder: Folder, port: u16, tls: &str) -> u16 {
    let text = format!("[pool.origin]\nservers = [\"127.0.0.1:{port}\"]\n{tls}");
    let gatehouse = Gatehouse::start(folder, &text);
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.answer().status()
}

/// Whether this version has the profile; the doctor recommends it also where it has not.
fn has_profile(folder: &Folder, word: &str) -> bool {
    let file = file(folder, 1, &format!("{USUAL}profile = \"{word}\"\n"));
    run(BINARY, ["check", &file]).status.success()
}

/// A server that is restricted to `arguments`; the recommended profile then works, and the file
/// without it works only where it is the usual one.
#[track_caller]
fn check_profile(arguments: &[&str], profile: &str) {
    let folder = folder();
    let server = Server::start(&folder, "origin", arguments);
    let code = if profile == "modern" { 0 } else { 3 };
    let told = examine(&file(&folder, server.port, USUAL), code);
    assert_eq!(told["profile"], profile, "{told:#}");
    assert_eq!(told["speaks"], "tls", "{told:#}");
    assert_eq!(told["distrusted_by_file"], Value::Null, "{told:#}");
    let certificate = &told["certificates"][0];
    assert_eq!(certificate["names"][0], "origin.test", "{told:#}");
    assert_eq!(
        (&certificate["key"], &certificate["hash"]),
        (&"RSA 2048".into(), &"SHA-256".into())
    );
    if profile == "modern" {
        assert_eq!((&told["lines"], &told["resumes"]), (&Value::Null, &true.into()), "{told:#}");
        assert_eq!(told["answer"]["status"], 200, "{told:#}");
        assert_eq!(status_by(folder, server.port, USUAL), 200);
        return;
    }
    let more = if arguments.contains(&DEAREST) { "sha384_suite = true\n" } else { "" };
    let line = format!("profile = \"{profile}\"\n{more}");
    assert_eq!(told["lines"], format!("[pool.origin.tls]\n{line}"), "{told:#}");
    if has_profile(&folder, profile) {
        assert_eq!((&told["resumes"], &told["answer"]["status"]), (&true.into(), &200.into()));
        assert_eq!(status_by(folder, server.port, &format!("{USUAL}{line}")), 200);
    } else {
        assert_eq!(status_by(folder, server.port, USUAL), 503, "the usual profile is not enough");
    }
}

/// The one that costs twice as much as the others, and is offered on request.
const DEAREST: &str = "ECDHE-RSA-AES256-SHA384:AES128-SHA:@SECLEVEL=0";

#[test]
fn the_dearest_suite_alone() {
    check_profile(&["-tls1_2", "-cipher", DEAREST], "windows-2012r2");
}

const CURVES: [&str; 2] = ["-curves", "P-256:P-384"];

#[test]
fn windows_server_2008_r2_with_tls_1_2() {
    let arguments = ["-tls1_2", "-cipher", WINDOWS_2012R2, "-sigalgs", "RSA+SHA256:RSA+SHA384"];
    check_profile(&[&arguments[..], &CURVES].concat(), "windows-2012r2");
}

#[test]
fn windows_server_2012() {
    let arguments = ["-no_tls1_3", "-cipher", WINDOWS_2012, "-sigalgs", "RSA+SHA256:RSA+SHA384"];
    check_profile(&[&arguments[..], &CURVES].concat(), "windows-2012r2");
}

#[test]
fn windows_server_2012_r2() {
    let arguments = ["-no_tls1_3", "-cipher", WINDOWS_2012R2, "-serverpref"];
    check_profile(&[&arguments[..], &CURVES].concat(), "windows-2012r2");
}

#[test]
fn windows_server_2016() {
    let arguments = ["-no_tls1_3", "-cipher", WINDOWS_2016, "-serverpref"];
    check_profile(&[&arguments[..], &CURVES].concat(), "modern");
}

#[test]
fn windows_server_2019() {
    let arguments = ["-no_tls1_3", "-cipher", WINDOWS_2019, "-serverpref"];
    check_profile(&[&arguments[..], &CURVES].concat(), "modern");
}

#[test]
fn windows_server_2022() {
    let suites = ["-ciphersuites", "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"];
    let arguments = ["-cipher", WINDOWS_2019, "-serverpref"];
    check_profile(&[&arguments[..], &suites, &CURVES].concat(), "modern");
}

#[test]
fn tls_1_3_alone() {
    check_profile(&["-tls1_3"], "modern");
}

/// Servers that no line of the file makes up for.
#[track_caller]
fn check_hopeless(folder: Folder, arguments: &[&str], what: &str) {
    let server = Server::start(&folder, "origin", arguments);
    let told = examine(&file(&folder, server.port, USUAL), 3);
    assert_eq!(told["verdict"], "server", "{told:#}");
    assert_eq!(told["profile"], Value::Null, "{told:#}");
    assert!(said(&told).contains(what), "{told:#}");
    assert_eq!(status_by(folder, server.port, USUAL), 503);
}

#[test]
fn tls_1_0_alone() {
    let arguments = ["-tls1", "-cipher", "ALL:@SECLEVEL=0"];
    check_hopeless(folder(), &arguments, "it speaks TLS 1.0 and nothing newer");
}

#[test]
fn rsa_key_exchange_alone() {
    let arguments = ["-tls1_2", "-cipher", "AES256-GCM-SHA384:AES128-SHA:@SECLEVEL=0"];
    check_hopeless(folder(), &arguments, "takes only: RSA key exchange");
}

#[test]
fn signatures_by_sha_1_alone() {
    let arguments =
        ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0", "-sigalgs", "RSA+SHA1"];
    check_hopeless(folder(), &arguments, "it signs its handshakes by SHA-1 only");
}

#[test]
fn a_key_of_1024_bits() {
    let folder = folder();
    openssl(
        &folder,
        "req -x509 -newkey rsa:1024 -nodes -keyout DIR/origin.key -out DIR/origin.pem -days 90 \
         -subj /CN=origin.test -addext subjectAltName=DNS:origin.test",
    );
    check_hopeless(folder, &["-cipher", "ALL:@SECLEVEL=0"], "its RSA key has 1024 bits");
}

/// Servers whose certificate the usual file does not trust; with the lines that are given it does.
/// Those that are given to somebody who has no file yet do the same.
#[track_caller]
fn check_lines(folder: Folder, arguments: &[&str], what: &str, line: &str) {
    let server = Server::start(&folder, "origin", arguments);
    let told = examine(&file(&folder, server.port, USUAL), 3);
    assert_eq!(
        (&told["verdict"], &told["profile"]),
        (&"file".into(), &"modern".into()),
        "{told:#}"
    );
    assert!(said(&told).contains(what), "{told:#}");
    let lines = told["lines"].as_str().unwrap();
    assert!(lines.contains(line), "{lines}");
    // In the place of those with the same key; a pin needs no authority.
    let mut table = lines.to_owned();
    let has = |key: &str| lines.lines().any(|line| line.starts_with(key));
    if !has("server_name") {
        table += "server_name = \"origin.test\"\n";
    }
    if !has("pin_sha256") {
        table += "ca = \"ca.pem\"\n";
    }
    let port = server.port;
    let alone = doctor(&format!("127.0.0.1:{port}"), &["--json"]);
    assert_eq!(alone.status.code(), Some(0), "{}{}", alone.text(), alone.err);
    let alone: Value = serde_json::from_slice(&alone.out).unwrap();
    let whole = alone["lines"].as_str().unwrap().replace("pool.new", "pool.origin");
    assert!(whole.contains("servers = [\"127.0.0.1:") && whole.contains("server_name"), "{whole}");
    let gatehouse = Gatehouse::start(folder, &whole);
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().status(), 200, "{whole}");
    gatehouse.change(&format!("[pool.origin]\nservers = [\"127.0.0.1:{port}\"]\n{table}"));
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().status(), 200, "{table}");
}

#[test]
fn signed_by_itself() {
    let folder = folder();
    openssl(
        &folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout DIR/origin.key -out DIR/origin.pem -days 90 \
         -subj /CN=origin.test -addext subjectAltName=DNS:origin.test",
    );
    check_lines(folder, &[], "signed by itself", "pin_sha256 = [\"");
}

#[test]
fn signed_by_sha_1() {
    let folder = folder();
    openssl(
        &folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout DIR/old.key -out DIR/ca.pem -days 90 \
         -subj /CN=Old -addext basicConstraints=critical,CA:true",
    );
    folder.write("names.txt", "subjectAltName=DNS:origin.test\nbasicConstraints=CA:false\n");
    openssl(
        &folder,
        "req -newkey rsa:2048 -nodes -keyout DIR/origin.key -out DIR/origin.csr -subj /CN=origin.test",
    );
    openssl(
        &folder,
        "x509 -req -sha1 -in DIR/origin.csr -CA DIR/ca.pem -CAkey DIR/old.key -CAcreateserial \
         -out DIR/origin.pem -days 80 -extfile DIR/names.txt",
    );
    check_lines(folder, &["-cipher", "ALL:@SECLEVEL=0"], "signed by SHA-1", "pin_sha256 = [\"");
}

#[test]
fn for_another_name() {
    let folder = folder();
    folder.certificate("origin", &["web.test", "other.test"], Kind::Rsa);
    check_lines(
        folder,
        &[],
        "not for origin.test, but for web.test, other.test",
        "server_name = \"web.test\"\n",
    );
}

#[test]
fn its_certificate_has_ended() {
    let folder = folder();
    folder.certificate_for_days("origin", &["origin.test"], -3);
    let server = Server::start(&folder, "origin", &[]);
    let told = examine(&file(&folder, server.port, USUAL), 3);
    assert_eq!((&told["verdict"], &told["lines"]), (&"server".into(), &Value::Null), "{told:#}");
    assert!(said(&told).contains("has ended on "), "{told:#}");
    let told = doctor("origin", &["--config", folder.at("doctor.toml").to_str().unwrap()]);
    assert!(told.text().contains("renew it at the server"), "{}", told.text());
}

#[test]
fn a_name_in_the_subject_only() {
    let folder = folder();
    openssl(
        &folder,
        "req -x509 -newkey rsa:2048 -nodes -keyout DIR/origin.key -out DIR/origin.pem -days 90 \
         -subj /CN=origin.test",
    );
    let server = Server::start(&folder, "origin", &[]);
    let told = examine(&file(&folder, server.port, USUAL), 3);
    assert_eq!(told["verdict"], "server", "{told:#}");
    assert!(said(&told).contains("stands in its subject only"), "{told:#}");
}

/// One connection after the other, until the test ends.
fn serve(each: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(each));
    port
}

const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nServer: Microsoft-IIS/8.5\r\n\
    WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n\
    WWW-Authenticate: Basic realm=\"a, b\"\r\nContent-Length: 0\r\n\r\n";

#[test]
fn windows_authentication() {
    let config = leaf(&["origin.test"], Kind::Ecdsa).server();
    let port = serve(move |mut socket| {
        let mut session = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        let mut seen = Vec::new();
        let mut room = [0; 512];
        // Greetings that it refuses are no failure of the test.
        while let Ok(count @ 1..) = stream.read(&mut room) {
            seen.extend_from_slice(&room[..count]);
            if seen.ends_with(b"\r\n\r\n") {
                let asked = String::from_utf8_lossy(&seen).into_owned();
                assert!(asked.starts_with("GET / HTTP/1.1\r\nHost: a.test\r\n"), "{asked}");
                assert!(!asked.contains("Authorization"), "{asked}");
                let _ = stream.write_all(CHALLENGE.as_bytes());
                return;
            }
        }
    });
    let folder = folder();
    let told = examine(&file(&folder, port, USUAL), 0);
    let answer = serde_json::json!({
        "host": "a.test", "status": 401, "software": "Microsoft-IIS/8.5",
        "schemes": ["Negotiate", "NTLM", "Basic"],
    });
    assert_eq!(told["answer"], answer, "{told:#}");
    assert!(said(&told).contains("Windows authentication"), "{told:#}");
}

/// As IIS answers on port 80, whatever it is asked.
#[test]
fn http_without_tls() {
    let port = serve(|mut socket| {
        let mut first = [0; 1024];
        let _ = socket.read(&mut first);
        let bad = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        let said = if first[0] == b'G' { CHALLENGE } else { bad };
        let _ = socket.write_all(said.as_bytes());
    });
    let folder = folder();
    let told = examine(&file(&folder, port, USUAL), 3);
    assert_eq!((&told["speaks"], &told["verdict"]), (&"http".into(), &"file".into()), "{told:#}");
    assert!(said(&told).contains("speaks HTTP without TLS, and the file says TLS"), "{told:#}");
    let told = examine(&file(&folder, port, ""), 0);
    assert_eq!((&told["verdict"], &told["answer"]["status"]), (&"well".into(), &401.into()));
}

#[test]
fn nobody_and_nothing() {
    let folder = folder();
    let told = examine(&file(&folder, free_port(), USUAL), 1);
    assert_eq!(told["verdict"], "unreached", "{told:#}");
    assert!(said(&told).contains("is refused"), "{told:#}");
    // The kernel takes connections for it, and nobody answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let told = examine(&file(&folder, silent.local_addr().unwrap().port(), USUAL), 1);
    assert_eq!((&told["speaks"], &told["verdict"]), (&"nothing".into(), &"unreached".into()));
    assert!(said(&told).contains("says nothing"), "{told:#}");
    let mail = serve(|mut socket| {
        let _ = socket.write_all(b"220 mail\x1b[31m ESMTP\r\n");
        let _ = socket.read(&mut [0; 512]);
    });
    let told = examine(&file(&folder, mail, USUAL), 1);
    assert_eq!(told["speaks"], "other", "{told:#}");
    assert!(said(&told).contains("220 mail"), "{told:#}");
}

/// It says more and more of a greeting, and never an end: each question has its bound.
#[test]
fn a_server_that_never_ends() {
    let flood = serve(|mut socket| {
        let hello = b"\x16\x03\x03\0\x2c\x02\0\0\x28\x03\x03AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\0\xc0\x2f\0\0\0";
        let more = [&b"\x16\x03\x03\x40\0"[..], &[0; 0x4000]].concat();
        let mut sent = socket.write_all(&hello[..5 + 0x2c]);
        while sent.is_ok() {
            sent = socket.write_all(&more);
        }
    });
    let folder = folder();
    let told = doctor("origin", &["--config", &file(&folder, flood, USUAL), "--json"]);
    assert!(matches!(told.status.code(), Some(1 | 3)), "{}{}", told.text(), told.err);
    assert!(!told.err.contains("panic"), "{}", told.err);
}

#[test]
fn who_is_meant() {
    let folder = folder();
    let file = file(&folder, free_port(), USUAL);
    let told = doctor("orign", &["--config", &file]);
    assert_eq!(told.status.code(), Some(2));
    assert!(told.err.contains("did you mean `origin`?"), "{}", told.err);
    assert_eq!(doctor("origin", &["--config", "/none/x.toml"]).status.code(), Some(2));
    let told = doctor("no-such-host.invalid:443", &[]);
    assert_eq!(told.status.code(), Some(1), "{}", told.err);
    assert!(told.text().contains("has no address: `getent ahosts"), "{}", told.text());
    // The adapter's own address is where it comes from.
    let nowhere = std::fs::read_to_string(&file).unwrap();
    let nowhere = nowhere.replacen(
        "[adapter.internal]\naddresses = [\"127.0.0.1\"]",
        "[adapter.internal]\naddresses = [\"192.0.2.77\"]",
        1,
    );
    folder.write("nowhere.toml", nowhere);
    let told = doctor("origin", &["--config", folder.at("nowhere.toml").to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(1), "{}", told.err);
    assert!(told.text().contains("there is no way to"), "{}", told.text());
}

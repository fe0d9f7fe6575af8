//! One line for each exchange, and nothing in it that should not be.

use std::fs;
use std::os::unix::net::UnixDatagram;

use crate::rig::{Folder, Gatehouse, LIMIT, Origin, SOON, Wire, now, until};

fn answer_one(origin: &Origin) -> Wire {
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    server
}

/// Sends one request through a fresh proxy with this `[log]` and gives the log.
#[track_caller]
fn log_of(log: &str, request: &[u8]) -> (Gatehouse, Origin, String) {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], &format!("[log]\n{log}\n"));
    let mut client = gatehouse.client();
    client.send(request);
    let _server = answer_one(&origin);
    client.answer();
    let lines = gatehouse.log_lines(1);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line = lines[0].clone();
    (gatehouse, origin, line)
}

const JSON: &str = "access = [\"json:./access.log\"]";

#[test]
fn the_fields_of_a_json_line() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut client = gatehouse.secure_client();
    let head = "POST /p%41th/x?secret=1&b HTTP/1.1\r\nHost: a.test:443\r\n\
                User-Agent: curl/8\r\nReferer: https://a.test/from?secret=2\r\n\
                Authorization: Basic c2VjcmV0\r\nCookie: secret=3\r\nContent-Length: 4\r\n\r\n";
    client.send(format!("{head}body"));
    let mut server = origin.accept();
    server.head();
    server.read(4);
    let answer = "HTTP/1.1 201 Made\r\nDate: x\r\nContent-Length: 5\r\n\r\nhello";
    server.send(answer);
    client.answer();
    let record = &gatehouse.records(1)[0];
    for (field, expected) in [
        ("client", "127.0.0.1"),
        ("method", "POST"),
        ("host", "a.test:443"),
        ("path", "/p%41th/x"),
        ("referer", "https://a.test/from"),
        ("user_agent", "curl/8"),
        ("site", "a"),
        ("rule", "all"),
        ("server", &format!("127.0.0.1:{}", origin.port())),
    ] {
        assert_eq!(record[field], expected, "{field} of {record}");
    }
    for (field, expected) in [
        ("client_port", u64::from(client.local_port())),
        ("status", 201),
        ("query_bytes", "secret=1&b".len() as u64),
        ("bytes_in", head.len() as u64 + 4),
        ("bytes_out", answer.len() as u64),
    ] {
        assert_eq!(record[field], expected, "{field} of {record}");
    }
    assert_eq!(record["tls"], true, "{record}");
    let [first_byte, total] = ["first_byte_us", "total_us"].map(|field| record[field].as_u64());
    assert!(first_byte > Some(0) && total >= first_byte, "{record}");
    assert!(record["failure"].is_null() && record["reused"].is_null(), "{record}");
    assert_eq!(record["id"].as_str().unwrap().len(), 16, "{record}");
    let time = record["time"].as_str().unwrap();
    assert!(time.len() == 27 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert!(!record.to_string().contains("secret"), "{record}");
}

#[test]
fn a_line_names_the_rule() {
    for (name, expected) in [("name = \"first\"", "first"), ("name = \"other\"", "other")] {
        let site = format!(
            "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
             [[site.a.rule]]\n{name}\npath = \"/x\"\nrefuse = 404\n"
        );
        let gatehouse = Gatehouse::start(Folder::new(), &site);
        let mut client = gatehouse.client();
        client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.answer().status(), 404);
        assert_eq!(gatehouse.records(1)[0]["rule"], expected);
    }
}

#[test]
fn a_query_is_kept_where_the_file_says_so() {
    let request = b"GET /x?q=1&r HTTP/1.1\r\nHost: a.test\r\nReferer: /y?z\r\n\r\n";
    let (_gatehouse, _origin, line) = log_of(&format!("{JSON}\nquery = \"keep\""), request);
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["query"], "q=1&r");
    assert_eq!(record["referer"], "/y?z");
    let (_gatehouse, _origin, line) = log_of(JSON, request);
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(record["query"].is_null() && record["query_bytes"] == 5, "{line}");
}

#[test]
fn without_a_log_nothing_is_written() {
    for (access, expected) in [("\"off\"", false), ("\"json:./access.log\"", true)] {
        let mut gatehouse = publish_own(Folder::new(), &format!("access = {access}"));
        let mut client = gatehouse.client();
        ask_long(&mut client, 0);
        drop(client);
        gatehouse.stop();
        assert_eq!(gatehouse.folder().at("access.log").exists(), expected, "{access}");
    }
}

#[test]
fn the_combined_format() {
    let request = b"GET /x?q=1 HTTP/1.1\r\nHost: a.test\r\nUser-Agent: u \"v\"\r\n\r\n";
    let (_gatehouse, _origin, line) = log_of("access = [\"combined:./access.log\"]", request);
    let (start, rest) = line.split_once(" [").unwrap();
    let (time, rest) = rest.split_once("] ").unwrap();
    assert_eq!(start, "127.0.0.1 - -");
    assert!(time.ends_with(" +0000") && time.len() == 26, "{time}");
    assert!(rest.starts_with("\"GET /x HTTP/1.1\" 200 "), "{rest}");
    assert!(rest.ends_with(" \"-\" \"u \\u0022v\\u0022\""), "{rest}");
}

#[test]
fn two_logs_at_once() {
    let log = "access = [\"combined:./access.log\", \"json:./other.log\"]";
    let (gatehouse, _origin, combined) = log_of(log, b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(combined.starts_with("127.0.0.1 - - ["), "{combined}");
    let json = crate::rig::log_lines(&gatehouse.folder().at("other.log"), 1);
    assert!(json[0].starts_with("{\"time\":\""), "{json:#?}");
}

/// Whoever looks at the log with a terminal sees characters, not commands.
#[test]
fn no_byte_of_a_client_commands_a_terminal() {
    let request = b"GET /x HTTP/1.1\r\nHost: a.test\r\nUser-Agent: a\tb\x9b31m\"\\\xc3\xa9\r\n\r\n";
    for format in ["json", "combined"] {
        let log = format!("access = [\"{format}:./access.log\"]");
        let (_gatehouse, _origin, line) = log_of(&log, request);
        assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
        assert!(line.contains(r"a\u0009b\u009b31m\u0022\u005c\u00c3\u00a9"), "{line}");
    }
}

#[test]
fn one_line_for_each_exchange() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "[workers]\ncount = 2\n");
    let mut servers = Vec::new();
    let mut expected = Vec::new();
    for number in 0..20 {
        let mut client = gatehouse.client();
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"));
        let mut server = origin.accept();
        server.head();
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        client.answer();
        servers.push(server);
        expected.push((format!("/{number}"), 200));
    }
    // What never became a request is an exchange too; whoever only comes and goes is none.
    for (request, path, status) in [
        ("BAD\r\n\r\n", "", 400),
        ("GET /../x HTTP/1.1\r\nHost: a.test\r\n\r\n", "/../x", 400),
        ("GET /none HTTP/1.1\r\nHost: none.test\r\n\r\n", "/none", 421),
        ("", "", 0),
    ] {
        let mut client = gatehouse.client();
        client.send(request);
        if status != 0 {
            assert_eq!(client.answer().status(), status, "{request}");
            expected.push((path.to_owned(), u64::from(status)));
        }
        client.end();
        client.rest();
    }
    let records = gatehouse.records(expected.len());
    let mut seen: Vec<(String, u64)> = records
        .iter()
        .map(|record| {
            let path = record["path"].as_str().unwrap_or_default().to_owned();
            (path, record["status"].as_u64().unwrap())
        })
        .collect();
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    let mut ids: Vec<&str> = records.iter().map(|record| record["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), records.len(), "each has a number of its own");
}

/// A server's answer that was refused is told apart from the client's own mistakes.
#[test]
fn who_has_to_change_something() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("hello");
    assert_eq!(client.answer().status(), 502);
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["fault_of"], "upstream", "{record}");
    assert!(record["failure"].is_string(), "{record}");
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().status(), 400);
    let record = &gatehouse.records(2)[1];
    assert_eq!(record["fault_of"], "client", "{record}");
}

/// A site that needs no server, so that there can be many lines.
const OWN: &str = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\n\
                   certificate = \"a\"\n[[site.a.rule]]\npath = \"/\"\n\
                   respond = { status = 200, body = \"own\" }\n";

fn publish_own(folder: Folder, log: &str) -> Gatehouse {
    Gatehouse::start(folder, &format!("[log]\n{log}\n{OWN}"))
}

/// Asks for `/NUMBER`, with a line of more than a kilobyte.
fn ask_long(client: &mut Wire, number: usize) {
    let long = "u".repeat(1000);
    client.send(format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\nUser-Agent: {long}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200);
}

/// The numbers that these files hold, in order.
fn numbers(files: &[String]) -> Vec<usize> {
    let lines = files.iter().flat_map(|text| text.lines());
    let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    lines.map(|line| record(line)["path"].as_str().unwrap()[1..].parse().unwrap()).collect()
}

#[test]
fn a_log_that_has_grown_is_moved_aside_and_no_line_is_lost() {
    const COUNT: usize = 200;
    let log = format!("{JSON}\nrotate = {{ bytes = 65536, files = 20 }}");
    let mut gatehouse = publish_own(Folder::new(), &log);
    let mut client = gatehouse.client();
    for number in 0..COUNT {
        ask_long(&mut client, number);
    }
    drop(client);
    gatehouse.stop();
    let older = (1..20).rev().map(|number| format!("access.log.{number}"));
    let names: Vec<String> = older.chain(["access.log".to_owned()]).collect();
    let texts =
        names.iter().filter_map(|name| fs::read_to_string(gatehouse.folder().at(name)).ok());
    let texts: Vec<String> = texts.collect();
    assert!(
        texts.len() > 3 && texts.iter().all(|text| text.len() <= 65_536 + 2_000),
        "{}",
        texts.len()
    );
    assert_eq!(numbers(&texts), (0..COUNT).collect::<Vec<_>>());
}

#[test]
fn as_many_older_logs_are_kept_as_the_file_says() {
    for files in [0, 1, 3] {
        let log = format!("{JSON}\nrotate = {{ bytes = 65536, files = {files} }}");
        let mut gatehouse = publish_own(Folder::new(), &log);
        let mut client = gatehouse.client();
        // More than four times as much as one file holds.
        for number in 0..300 {
            ask_long(&mut client, number);
        }
        drop(client);
        gatehouse.stop();
        let at = |number: usize| gatehouse.folder().at(&format!("access.log.{number}"));
        let kept = (1..10).filter(|number| at(*number).exists()).count();
        assert_eq!(kept, files);
        let text = fs::read_to_string(gatehouse.folder().at("access.log")).unwrap();
        assert!(text.len() <= 65_536 + 2_000, "{}", text.len());
        assert_eq!(numbers(&[text]).last(), Some(&299), "the last line is in the newest");
    }
}

#[test]
fn a_log_that_logrotate_moved_away_is_made_anew() {
    let mut gatehouse = publish_own(Folder::new(), JSON);
    let mut client = gatehouse.client();
    ask_long(&mut client, 0);
    gatehouse.log_lines(1);
    let at = |name| gatehouse.folder().at(name);
    fs::rename(at("access.log"), at("moved")).unwrap();
    let mut count = 1;
    until("lines in a new file", || {
        ask_long(&mut client, count);
        count += 1;
        at("access.log").exists().then_some(())
    });
    ask_long(&mut client, count);
    let texts = ["moved", "access.log"].map(|name| gatehouse.folder().at(name));
    drop(client);
    gatehouse.stop();
    let texts = texts.map(|path| fs::read_to_string(path).unwrap());
    assert_eq!(numbers(&texts), (0..=count).collect::<Vec<_>>());
}

/// A log service in the folder of the test.
fn service(folder: &Folder, name: &str) -> UnixDatagram {
    let service = UnixDatagram::bind(folder.at(name)).unwrap();
    service.set_read_timeout(Some(LIMIT)).unwrap();
    service
}

fn message(service: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let count = service.recv(&mut message).unwrap();
    String::from_utf8(message[..count].to_vec()).unwrap()
}

#[test]
fn the_machines_own_log_services_get_a_message_for_each_exchange() {
    let folder = Folder::new();
    let (journald, syslog) = (service(&folder, "journal"), service(&folder, "syslog"));
    let places = "access = [\"json:journald:./journal\", \"combined:syslog:./syslog\"]";
    let gatehouse = publish_own(folder, places);
    let mut client = gatehouse.client();
    for number in 0..3 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        assert_eq!(client.answer().status(), 200);
        let fields = message(&journald);
        let (first, rest) = fields.split_once('\n').unwrap();
        let line = first.strip_prefix("MESSAGE=").unwrap();
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["path"], format!("/{number}"));
        for field in ["PRIORITY=6", "GATEHOUSE_STATUS=200", "GATEHOUSE_SITE=a"] {
            assert!(rest.lines().any(|line| line == field), "{field} in {rest}");
        }
        let line = message(&syslog);
        let (head, line) = line.split_once(": ").unwrap();
        assert!(head.starts_with("<134>") && head.contains(" gatehouse["), "{head}");
        assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
        assert!(line.contains(&format!("\"GET /{number} HTTP/1.1\" 200 ")), "{line}");
    }
}

#[test]
fn a_log_service_that_takes_nothing_keeps_nobody_waiting() {
    let folder = Folder::new();
    let _full = service(&folder, "syslog");
    let places =
        "access = [\"json:syslog:./syslog\", \"json:journald:./none\", \"json:./access.log\"]";
    let mut gatehouse = publish_own(folder, places);
    let mut client = gatehouse.client();
    let mut count = 0;
    until("the full socket is said", || {
        ask_long(&mut client, count);
        count += 1;
        gatehouse.has_said("more slowly than requests come").then_some(())
    });
    assert!(gatehouse.has_said("no service listens there"));
    assert_eq!(gatehouse.records(count).len(), count, "the file has them all");
    let begun = now();
    gatehouse.stop();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_pipe_that_nobody_reads_keeps_nobody_waiting() {
    let folder = Folder::new();
    nix::unistd::mkfifo(&folder.at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let places = "access = [\"json:./pipe\", \"json:./access.log\"]";
    let mut gatehouse = publish_own(folder, places);
    let mut client = gatehouse.client();
    let mut count = 0;
    until("the full pipe is said", || {
        ask_long(&mut client, count);
        count += 1;
        gatehouse.has_said("its reader takes nothing").then_some(())
    });
    assert_eq!(gatehouse.records(count).len(), count, "the file has them all");
    drop(client);
    let begun = now();
    gatehouse.stop();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    gatehouse.expect_said("lines were lost");
}

/// Standard output belongs to others too, so writing to it may block.
#[test]
fn a_standard_output_that_nobody_reads_does_not_keep_the_process() {
    let text = format!("[log]\naccess = \"json:stdout\"\n{OWN}");
    let mut gatehouse = Gatehouse::start_unread(Folder::new(), &text);
    let mut client = gatehouse.client();
    // A pipe holds 64 KiB.
    for number in 0..200 {
        ask_long(&mut client, number);
    }
    drop(client);
    let begun = now();
    gatehouse.stop();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

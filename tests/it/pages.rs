//! Answers that the operator has a say in: error pages and redirects.

use crate::rig::{Folder, Gatehouse, Wire};

const SITE: &str =
    "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n";

/// One answer: its status, type and content.
#[track_caller]
fn ask(client: &mut Wire, target: &str) -> (u16, String, String) {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    let answer = client.answer();
    (answer.status(), answer.fields("content-type").join(","), answer.text())
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("404.html", "<p>{status}: nothing, number {request_id}</p>");
    folder.write("other.json", "{\"status\": {status}}");
    folder.write("site.txt", "the site says {status}");
    folder
}

const GLOBAL: &str = "[errors]\n404 = \"404.html\"\ndefault = \"other.json\"\n[pool.origin]\nservers = [\"127.0.0.1:1\"]\n";

#[test]
fn error_pages() {
    let rules = "[site.a.errors]\n403 = \"site.txt\"\n\
                 [[site.a.rule]]\npath = \"/none\"\nrefuse = 404\n\
                 [[site.a.rule]]\npath = \"/forbidden\"\nrefuse = 403\n\
                 [[site.a.rule]]\npath = \"/own\"\nrespond = { status = 404, body = \"own\" }\n\
                 [[site.a.rule]]\npath = \"/down\"\npool = \"origin\"\n";
    let gatehouse = Gatehouse::start(folder(), &format!("{GLOBAL}{SITE}{rules}"));
    let mut client = gatehouse.secure_client();
    let html = "text/html; charset=utf-8".to_owned();
    let (status, content_type, text) = ask(&mut client, "/none");
    assert_eq!((status, content_type), (404, html.clone()));
    let id = text.strip_prefix("<p>404: nothing, number ").and_then(|it| it.strip_suffix("</p>"));
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["id"].as_str(), id, "{record}");
    let json =
        |status: u16| (status, "application/json".to_owned(), format!("{{\"status\": {status}}}"));
    let plain = "text/plain; charset=utf-8".to_owned();
    let site = (403, plain, "the site says 403".to_owned());
    assert_eq!(ask(&mut client, "/forbidden"), site, "the site before the file");
    // Nobody listens on the server's port.
    assert_eq!(ask(&mut client, "/down"), json(503));
    assert_eq!(ask(&mut client, "/elsewhere").1, html, "no rule");
    assert_eq!(ask(&mut client, "/%"), json(400));
    // What a rule says in full is not an error answer.
    assert_eq!(ask(&mut client, "/own").2, "own");
    // The head alone tells the same length.
    client.send("HEAD /forbidden HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let head = client.head();
    assert!(head.contains("\r\nContent-Length: 17\r\n"), "{head}");
    // What is no request at all.
    client.send("nonsense\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text()), (400, "{\"status\": 400}".to_owned()));
}

#[test]
fn without_pages_ours() {
    let gatehouse = Gatehouse::publish(&[1], "");
    let (status, content_type, text) = ask(&mut gatehouse.client(), "/");
    assert_eq!((status, content_type.as_str()), (503, "text/plain"));
    assert!(text.starts_with("503 Service Unavailable\n"), "{text}");
}

/// As large as a page may be, which is more than a usual block holds.
#[test]
fn a_long_page_arrives_whole() {
    let folder = folder();
    let long = "0123456789abcdef".repeat(4096);
    folder.write("404.html", &long);
    let rule = "[[site.a.rule]]\npath = \"/\"\nrefuse = 404\n";
    let gatehouse = Gatehouse::start(folder, &format!("{GLOBAL}{SITE}{rule}"));
    for mut client in [gatehouse.client(), gatehouse.secure_client()] {
        assert!(ask(&mut client, "/x").2 == long);
        assert_eq!(ask(&mut client, "/x").0, 404, "the connection goes on");
    }
}

#[test]
fn redirects() {
    let rule = |path: &str, more: &str| {
        format!("[[site.a.rule]]\npath = \"{path}\"\nredirect = \"/new\"\n{more}")
    };
    let rules = rule("/plain", "") + &rule("/see", "redirect_status = 303\n");
    let rules = rules + &rule("/stays", "redirect_status = 308\n");
    let gatehouse = Gatehouse::publish(&[1], &format!("{SITE}{rules}"));
    let mut client = gatehouse.client();
    for (request, status) in [
        ("GET /plain", 301),
        ("HEAD /plain", 301),
        ("POST /plain", 307),
        ("PROPFIND /plain", 307),
        ("GET /see", 303),
        ("POST /see", 303),
        ("GET /stays", 308),
        ("POST /stays", 308),
    ] {
        client.send(format!("{request} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{request}");
        assert_eq!(answer.fields("location"), ["/new"], "{request}");
    }
}

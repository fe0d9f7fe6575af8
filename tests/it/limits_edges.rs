//! Limits of a request, each to the byte: at the limit it passes, one more gets the answer that the
//! limit has, and whoever is on another connection notices nothing.

use crate::rig::{Folder, Gatehouse, Origin, Wire, named};

/// Sites `a` and `b` with the same pool; `limits` stand in the file, `own` in site `b`.
fn publish(limits: &str, own: &str) -> (Gatehouse, Origin) {
    let polled = Origin::new();
    let site = |name: &str| {
        format!(
            "[site.{name}]\nnames = [\"{name}.test\"]\nlisteners = [\"http\"]\n\
             [[site.{name}.rule]]\npath = \"/poll\"\npool = \"polled\"\n\
             [[site.{name}.rule]]\npath = \"/\"\npool = \"origin\"\n"
        )
    };
    let text = format!(
        "[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n[pool.polled]\nservers = [\"127.0.0.1:{}\"]\n\
         [limits]\n{limits}\n{}{}[site.b.limits]\n{own}\n",
        named("a"),
        polled.port(),
        site("a"),
        site("b")
    );
    (Gatehouse::start(Folder::new(), &text), polled)
}

/// A request for a site that has `size` of what is limited.
type Request = fn(host: &str, size: usize) -> String;

/// How many bytes `text` is short of `size`, as so many letters.
fn fill(text: &str, size: usize) -> String {
    "x".repeat(size - text.len())
}

fn head(host: &str, size: usize) -> String {
    let start = format!("GET / HTTP/1.1\r\nHost: {host}\r\nA: {}\r\nB: ", "a".repeat(100));
    let end = "\r\n\r\n";
    format!("{start}{}{end}", fill(&start, size - end.len()))
}

fn field(host: &str, size: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\nA: {}\r\n\r\n", fill("A: ", size))
}

fn target(host: &str, size: usize) -> String {
    format!("GET /?{} HTTP/1.1\r\nHost: {host}\r\n\r\n", fill("/?", size))
}

fn fields(host: &str, size: usize) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n{}\r\n", "A: b\r\n".repeat(size - 1))
}

fn body(host: &str, size: usize) -> String {
    let body = "x".repeat(size);
    format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: {size}\r\n\r\n{body}")
}

/// Key, a limit, a request, and the answer beyond.
const LIMITS: &[(&str, usize, Request, u16)] = &[
    ("head_bytes_max", 700, head, 431),
    ("field_bytes_max", 300, field, 431),
    ("target_bytes_max", 280, target, 414),
    ("fields_max", 7, fields, 431),
    ("body_bytes_max", 5000, body, 413),
];

/// Somebody whose answer is awaited, and somebody who is between two requests.
struct Neighbours {
    poll: Wire,
    server: Wire,
    idle: Wire,
}

impl Neighbours {
    fn come(gatehouse: &Gatehouse, polled: &Origin, host: &str) -> Self {
        let mut poll = gatehouse.client();
        poll.send(format!("GET /poll HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let mut server = polled.accept();
        server.head();
        let mut neighbours = Self { poll, server, idle: gatehouse.client() };
        neighbours.ask(host);
        neighbours
    }

    fn ask(&mut self, host: &str) {
        self.idle.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(self.idle.answer().status(), 200);
    }

    fn notice_nothing(mut self, host: &str) {
        self.ask(host);
        self.poll.expect_nothing_yet();
        self.server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(self.poll.answer().text(), "ok");
    }
}

/// The limit of `host` is `limit`: just that passes, and one more does not.
#[track_caller]
fn check_edge(
    (gatehouse, polled): &(Gatehouse, Origin),
    host: &str,
    (key, limit, request, status): (&str, usize, Request, u16),
) {
    let neighbours = Neighbours::come(gatehouse, polled, host);
    for (size, expected) in [(limit - 1, 200), (limit, 200), (limit + 1, status)] {
        let mut client = gatehouse.client();
        client.send(request(host, size));
        assert_eq!(client.answer().status(), expected, "{key} {host} {size}");
    }
    neighbours.notice_nothing(host);
}

#[test]
fn of_the_whole_file() {
    for (key, limit, request, status) in LIMITS {
        let stage = publish(&format!("{key} = {limit}"), "");
        for host in ["a.test", "b.test"] {
            check_edge(&stage, host, (key, *limit, *request, *status));
        }
    }
}

/// A site's own limit holds for it alone, whether it is the narrower one or the wider.
#[test]
fn of_one_site() {
    for (key, limit, request, status) in LIMITS {
        for (wide, own) in [(limit * 2, *limit), (*limit, limit + 40)] {
            let stage = publish(&format!("{key} = {wide}"), &format!("{key} = {own}"));
            check_edge(&stage, "a.test", (key, wide, *request, *status));
            check_edge(&stage, "b.test", (key, own, *request, *status));
        }
    }
}

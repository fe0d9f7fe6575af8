//! What a site says about its requests: how paths are read, what servers are told of the client, and
//! answers of its own.

use crate::rig::{Folder, Gatehouse, Origin, Wire};

const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// The usual site with `keys`, everything of which goes to the origin; by TLS and without.
fn publish(origin: &Origin, keys: &str) -> Gatehouse {
    let site = format!(
        "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n{keys}\n\
         [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n"
    );
    Gatehouse::publish(&[origin.port()], &site)
}

#[test]
fn paths_that_can_be_read_in_two_ways_are_refused_or_passed_as_they_are() {
    for (keys, is_strict) in
        [("", true), ("path_check = \"strict\"", true), ("path_check = \"raw\"", false)]
    {
        let origin = Origin::new();
        let gatehouse = publish(&origin, keys);
        let mut server: Option<Wire> = None;
        for (target, is_odd) in
            [("/a/b", false), ("/../x", true), ("/%2e%2e/x", true), ("/%00", true)]
        {
            let mut client = gatehouse.client();
            let request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
            client.send(&request);
            if is_strict && is_odd {
                assert_eq!(client.answer().status(), 400, "{keys} {target}");
                continue;
            }
            let server = server.get_or_insert_with(|| origin.accept());
            server.expect(&request);
            server.send(EMPTY);
            assert_eq!(client.answer().status(), 200, "{keys} {target}");
        }
        origin.expect_nobody();
    }
}

#[test]
fn servers_are_told_of_the_client_what_the_site_says() {
    let (host, theirs) =
        ("Host: a.test\r\n", "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: ftp\r\n");
    let ours = |list: &str, scheme: &str| {
        format!(
            "X-Forwarded-For: {list}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: a.test\r\n"
        )
    };
    let check = |keys: &str, expected: &dyn Fn(&str) -> String| {
        let origin = Origin::new();
        let gatehouse = publish(&origin, keys);
        let mut server: Option<Wire> = None;
        for (mut client, scheme) in
            [(gatehouse.client(), "http"), (gatehouse.secure_client(), "https")]
        {
            client.send(format!("GET / HTTP/1.1\r\n{host}{theirs}A: b\r\n\r\n"));
            let server = server.get_or_insert_with(|| origin.accept());
            let seen = server.head();
            let mut seen: Vec<&str> = seen.lines().collect();
            let expected = format!("GET / HTTP/1.1\r\n{host}A: b\r\n{}\r\n", expected(scheme));
            let mut expected: Vec<&str> = expected.lines().collect();
            // Where among the others they stand means nothing.
            seen.sort_unstable();
            expected.sort_unstable();
            assert_eq!(seen, expected, "{keys} {scheme}");
            server.send(EMPTY);
            client.answer();
        }
    };
    check("", &|_| String::new());
    check("forwarded = \"drop\"", &|_| String::new());
    check("forwarded = \"pass\"", &|_| theirs.to_owned());
    check("forwarded = \"replace\"", &|scheme| ours("127.0.0.1", scheme));
    check("forwarded = \"append\"", &|scheme| ours("192.0.2.1, 127.0.0.1", scheme));
}

#[test]
fn a_rule_answers_with_what_it_says() {
    let rule = |path: &str, respond: &str| {
        format!("[[site.a.rule]]\npath = \"{path}\"\nrespond = {{ {respond} }}\n")
    };
    let rules = rule("/plain", "status = 200, body = \"one\"")
        + &rule("/teapot", "status = 418, body = \"two\"")
        + &rule("/json", "status = 200, body = \"{}\", content_type = \"application/json\"")
        + &rule("/empty", "status = 204");
    let site = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n";
    let gatehouse = Gatehouse::start(
        Folder::new(),
        &format!("[pool.origin]\nservers = [\"127.0.0.1:1\"]\n{site}{rules}"),
    );
    let mut client = gatehouse.client();
    for (path, status, content_type, body) in [
        ("/plain", 200, "text/plain; charset=utf-8", "one"),
        ("/teapot", 418, "text/plain; charset=utf-8", "two"),
        ("/json", 200, "application/json", "{}"),
        ("/empty", 204, "", ""),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let answer = client.answer();
        let seen = (answer.status(), answer.fields("content-type").join(","), answer.text());
        assert_eq!(seen, (status, content_type.to_owned(), body.to_owned()), "{path}");
    }
}

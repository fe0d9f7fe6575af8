//! What is sent a second time, and what never is; which upstream connections are shared.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::rig::{Folder, Gatehouse, Kind, Origin, Wire, free_port, leaf};

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody")
}

/// A client and a server between which one exchange has passed.
fn after_one_exchange(gatehouse: &Gatehouse, origin: &Origin) -> (Wire, Wire) {
    let mut client = gatehouse.client();
    client.send(get("/first"));
    let mut server = origin.accept();
    server.expect(get("/first"));
    server.send(DONE);
    assert_eq!(client.answer().text(), "done");
    (client, server)
}

#[test]
fn a_server_that_refuses_is_passed_over_whatever_the_method() {
    let origin = Origin::new();
    let balance = "balance = \"round-robin\"\n";
    let gatehouse = Gatehouse::publish(&[free_port(), origin.port(), free_port()], balance);
    for number in 0..6 {
        let mut client = gatehouse.client();
        client.send(post("/x"));
        let mut server = origin.accept();
        server.expect(post("/x"));
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndone");
        assert_eq!(client.answer().text(), "done", "{number}");
        server.expect_end();
    }
}

#[test]
fn a_server_whose_handshake_fails_is_passed_over() {
    let wrong = Origin::secure(leaf(&["wrong.test"], Kind::Ecdsa).server());
    let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
    let gatehouse = Gatehouse::publish_secure(&[wrong.port(), origin.port()], "");
    let over = AtomicBool::new(false);
    let fooled = std::thread::scope(|scope| {
        let fooled = scope.spawn(|| wrong.accept_until(|| over.load(Ordering::Relaxed)));
        for _ in 0..4 {
            let mut client = gatehouse.client();
            client.send(post("/x"));
            let mut server = origin.accept();
            server.expect(post("/x"));
            server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndone");
            assert_eq!(client.answer().text(), "done");
        }
        over.store(true, Ordering::Relaxed);
        fooled.join().unwrap()
    });
    assert_eq!(fooled, 0, "nothing is sent to a server that is not who it should be");
    gatehouse.expect_said("TLS: ");
}

#[test]
fn when_nobody_is_there_the_answer_is_503() {
    let gatehouse = Gatehouse::publish(&[free_port(), free_port()], "");
    let mut client = gatehouse.client();
    for _ in 0..2 {
        client.send(get("/"));
        let answer = client.answer();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.fields("retry-after").len(), 1);
    }
    let record = &gatehouse.records(2)[1];
    assert_eq!(record["failure"], "upstream_refused", "{record}");
}

#[test]
fn a_get_on_a_connection_that_was_just_ending_is_sent_once_more() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let (mut client, mut first) = after_one_exchange(&gatehouse, &origin);
    client.send(get("/again"));
    first.expect(get("/again"));
    drop(first);
    let mut second = origin.accept();
    second.expect(get("/again"));
    second.send(DONE);
    assert_eq!(client.answer().text(), "done");
    // And HEAD likewise; here the connection is reset instead.
    client.send("HEAD /head HTTP/1.1\r\nHost: a.test\r\n\r\n");
    second.head();
    second.reset();
    let mut third = origin.accept();
    assert!(third.head().starts_with("HEAD /head "));
    third.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_get_is_not_sent_a_third_time() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let (mut client, mut first) = after_one_exchange(&gatehouse, &origin);
    client.send(get("/again"));
    first.expect(get("/again"));
    drop(first);
    let mut second = origin.accept();
    second.expect(get("/again"));
    drop(second);
    assert_eq!(client.answer().status(), 503);
    origin.expect_nobody();
}

#[test]
fn a_get_on_a_fresh_connection_is_sent_once() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut client = gatehouse.client();
    client.send(get("/"));
    let mut server = origin.accept();
    server.head();
    drop(server);
    assert_eq!(client.answer().status(), 503);
    origin.expect_nobody();
}

/// What may have had an effect is never repeated: the first byte of the answer was there, the
/// method is none of the safe two, there was a body, or a log-in.
#[test]
fn what_is_never_sent_twice() {
    let with_body = "GET /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody".to_owned();
    let put = "PUT /x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n".to_owned();
    let options = "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\n\r\n".to_owned();
    for (request, begun) in [
        (post("/x"), ""),
        (with_body, ""),
        (put, ""),
        (options, ""),
        (get("/x"), "H"),
        (get("/x"), "HTTP/1.1 200 OK\r\n"),
        (get("/x"), "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ] {
        let origin = Origin::new();
        let gatehouse = Gatehouse::publish(&[origin.port()], "");
        let (mut client, mut server) = after_one_exchange(&gatehouse, &origin);
        client.send(&request);
        server.expect(&request);
        server.send(begun);
        drop(server);
        let mut answer = client.answer();
        while answer.status() < 200 {
            answer = client.answer();
        }
        assert!([502, 503].contains(&answer.status()), "{request}{begun}{answer:?}");
        origin.expect_nobody();
    }
}

#[test]
fn an_idle_connection_that_has_ended_is_not_used() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for speaks in [false, true] {
        let (mut client, mut server) = after_one_exchange(&gatehouse, &origin);
        // One that speaks unasked is as good as ended: its words could pass for an answer.
        if speaks {
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
        } else {
            server.end();
        }
        client.send(post("/x"));
        let mut fresh = origin.accept();
        fresh.expect(post("/x"));
        fresh.send(DONE);
        assert_eq!(client.answer().text(), "done");
        server.expect_end();
        drop(fresh);
    }
}

/// Two pools at one server, each with its own `tls` table; the client asks them by turns.
#[track_caller]
fn check_kept_apart(first: &str, second: &str) {
    let origin = Origin::secure(leaf(&["origin.test", "other.test"], Kind::Ecdsa).server());
    let port = origin.port();
    let text = format!(
        "[pool.first]\nservers = [\"127.0.0.1:{port}\"]\n[pool.first.tls]\nca = \"ca.pem\"\n{first}\n\
         [pool.second]\nservers = [\"127.0.0.1:{port}\"]\n[pool.second.tls]\nca = \"ca.pem\"\n{second}\n\
         [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
         [[site.a.rule]]\npath = \"/first\"\npool = \"first\"\n\
         [[site.a.rule]]\npath = \"/second\"\npool = \"second\"\n"
    );
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    let mut client = gatehouse.client();
    let mut servers = Vec::new();
    for turn in 0..3 {
        for (at, path) in ["/first", "/second"].into_iter().enumerate() {
            client.send(get(path));
            if turn == 0 {
                servers.push(origin.accept());
            }
            servers[at].expect(get(path));
            servers[at].send(DONE);
            assert_eq!(client.answer().text(), "done");
        }
    }
    origin.expect_nobody();
}

#[test]
fn pools_that_verify_differently_share_no_connection() {
    let origin = "server_name = \"origin.test\"";
    check_kept_apart(origin, "server_name = \"other.test\"");
    check_kept_apart(origin, "server_name = \"origin.test\"\nsni = \"other.test\"");
    check_kept_apart(origin, "server_name = \"origin.test\"\nprofile = \"tls12\"");
}

#[test]
fn hosts_that_are_verified_share_no_connection() {
    let origin = Origin::secure(leaf(&["a.test", "b.test"], Kind::Ecdsa).server());
    let site = "[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"host\"\n\
                [site.a]\nnames = [\"a.test\", \"b.test\", \"c.test\"]\nlisteners = [\"http\"]\n\
                [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], site);
    let mut client = gatehouse.client();
    let mut servers: Vec<Wire> = Vec::new();
    for turn in 0..2 {
        for (at, host) in ["a.test", "b.test"].into_iter().enumerate() {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            client.send(&request);
            if turn == 0 {
                servers.push(origin.accept());
            }
            servers[at].expect(&request);
            servers[at].send(DONE);
            assert_eq!(client.answer().text(), "done");
        }
    }
    // A name that the server's certificate does not carry gets nothing of its.
    client.send("GET / HTTP/1.1\r\nHost: c.test\r\n\r\n");
    assert!(origin.try_accept().is_err());
    assert_eq!(client.answer().status(), 503);
}

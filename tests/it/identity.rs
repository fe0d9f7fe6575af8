//! Identities never cross: a connection that is logged in, or may be, belongs to one client.

use crate::rig::{Gatehouse, Kind, Origin, Wire, leaf};

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

const CHALLENGE: &str =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\nno";

fn get(path: &str, credential: &str) -> String {
    let line = if credential.is_empty() { "" } else { "Authorization: " };
    let end = if credential.is_empty() { "" } else { "\r\n" };
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{line}{credential}{end}\r\n")
}

/// One exchange over a known upstream connection.
#[track_caller]
fn exchange(client: &mut Wire, server: &mut Wire, request: &str, answer: &str) {
    client.send(request);
    server.expect(request);
    server.send(answer);
    client.answer();
}

/// One exchange that needs a new upstream connection.
#[track_caller]
fn exchange_on_new(client: &mut Wire, origin: &Origin, request: &str, answer: &str) -> Wire {
    client.send(request);
    let mut server = origin.accept();
    server.expect(request);
    server.send(answer);
    client.answer();
    server
}

fn publish() -> (Origin, Gatehouse) {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    (origin, gatehouse)
}

#[test]
fn who_shows_a_credential_gets_a_fresh_connection_for_good() {
    for credential in
        ["Negotiate x", "NTLM TlRM", "negotiate", "Kerberos x", "Unheard-Of x", "nTLM"]
    {
        let (origin, gatehouse) = publish();
        let [mut anybody, mut user, mut third] = [(); 3].map(|()| gatehouse.client());
        let mut idle = exchange_on_new(&mut anybody, &origin, &get("/", ""), DONE);
        // An idle connection waits, and is not good enough.
        let mut own = exchange_on_new(&mut user, &origin, &get("/", credential), DONE);
        for _ in 0..3 {
            exchange(&mut third, &mut idle, &get("/third", ""), DONE);
            exchange(&mut user, &mut own, &get("/mine", ""), DONE);
            exchange(&mut anybody, &mut idle, &get("/any", ""), DONE);
        }
        // While nobody uses the shared one it is the shared one that others get, to the last.
        idle.end();
        let mut fresh = exchange_on_new(&mut third, &origin, &get("/third", ""), DONE);
        exchange(&mut user, &mut own, &get("/mine", credential), DONE);
        user.end();
        own.expect_end();
        exchange(&mut third, &mut fresh, &get("/third", ""), DONE);
        origin.expect_nobody();
    }
}

#[test]
fn credentials_for_one_request_share_connections() {
    for credential in ["Basic eDp5", "bearer x", "Digest username=\"x\"", "MsRtcOAuth x"] {
        let (origin, gatehouse) = publish();
        let [mut first, mut second] = [(); 2].map(|()| gatehouse.client());
        let mut server = exchange_on_new(&mut first, &origin, &get("/", credential), DONE);
        exchange(&mut second, &mut server, &get("/", ""), DONE);
        exchange(&mut first, &mut server, &get("/", credential), DONE);
        origin.expect_nobody();
    }
}

#[test]
fn a_challenge_ties_the_connection_to_its_client() {
    for challenge in [
        "WWW-Authenticate: NTLM",
        "WWW-Authenticate: Negotiate",
        "www-authenticate: nego2",
        "WWW-Authenticate: Basic realm=\"x\"\r\nWWW-Authenticate: ntlm",
        "WWW-Authenticate: Basic realm=\"x\", Negotiate",
        "WWW-Authenticate: Kerberos",
    ] {
        let (origin, gatehouse) = publish();
        let [mut user, mut other] = [(); 2].map(|()| gatehouse.client());
        let answer = format!("HTTP/1.1 401 No\r\n{challenge}\r\nContent-Length: 2\r\n\r\nno");
        let mut own = exchange_on_new(&mut user, &origin, &get("/", ""), &answer);
        let mut others = exchange_on_new(&mut other, &origin, &get("/", ""), DONE);
        exchange(&mut user, &mut own, &get("/", "NTLM first"), CHALLENGE);
        exchange(&mut user, &mut own, &get("/", "NTLM second"), DONE);
        exchange(&mut other, &mut others, &get("/", ""), DONE);
        exchange(&mut user, &mut own, &get("/", ""), DONE);
        drop(user);
        own.expect_end();
        exchange(&mut other, &mut others, &get("/", ""), DONE);
        origin.expect_nobody();
    }
}

#[test]
fn a_challenge_on_a_shared_connection_takes_it_away() {
    let (origin, gatehouse) = publish();
    let [mut user, mut other] = [(); 2].map(|()| gatehouse.client());
    let mut own = exchange_on_new(&mut other, &origin, &get("/", ""), DONE);
    exchange(&mut user, &mut own, &get("/", ""), CHALLENGE);
    let _others = exchange_on_new(&mut other, &origin, &get("/", ""), DONE);
    exchange(&mut user, &mut own, &get("/", "NTLM x"), DONE);
}

#[test]
fn a_basic_challenge_ties_nothing() {
    let (origin, gatehouse) = publish();
    let [mut first, mut second] = [(); 2].map(|()| gatehouse.client());
    let basic = CHALLENGE.replace("NTLM", "Basic realm=\"Negotiate\"");
    let mut server = exchange_on_new(&mut first, &origin, &get("/", ""), &basic);
    exchange(&mut second, &mut server, &get("/", ""), DONE);
}

#[test]
fn a_log_in_that_ends_between_requests_ends_the_client() {
    for credential in ["", "Negotiate x"] {
        let (origin, gatehouse) = publish();
        let mut user = gatehouse.client();
        let mut own = exchange_on_new(&mut user, &origin, &get("/", credential), CHALLENGE);
        own.end();
        user.expect_end();
        own.expect_end();
        origin.expect_nobody();
        let record = &gatehouse.records(2)[1];
        assert_eq!(record["failure"], "pin_lost", "{record}");
    }
}

#[test]
fn a_log_in_that_ends_under_a_request_ends_the_client_without_an_answer() {
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"] {
        let (origin, gatehouse) = publish();
        let mut user = gatehouse.client();
        let mut own = exchange_on_new(&mut user, &origin, &get("/", "NTLM x"), CHALLENGE);
        user.send(get("/next", ""));
        own.expect(get("/next", ""));
        own.send(begun);
        drop(own);
        let (rest, _) = user.rest();
        let rest = String::from_utf8(rest).unwrap();
        assert_eq!(rest.is_empty(), begun.is_empty(), "{rest}");
        assert!(!rest.contains("503"), "{rest}");
        origin.expect_nobody();
    }
}

/// Also the first request of a log-in: an answer of ours would let the client go on elsewhere.
#[test]
fn a_log_in_that_ends_under_its_first_request_ends_the_client_without_an_answer() {
    let (origin, gatehouse) = publish();
    let mut user = gatehouse.client();
    user.send(get("/", "NTLM x"));
    let mut own = origin.accept();
    own.expect(get("/", "NTLM x"));
    drop(own);
    user.expect_end();
    origin.expect_nobody();
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["failure"], "pin_lost", "{record}");
}

/// The server says itself that it closes: the log-in is gone, and the client has to notice.
#[test]
fn a_server_that_closes_a_log_in_closes_the_client() {
    let (origin, gatehouse) = publish();
    let mut user = gatehouse.client();
    let mut own = exchange_on_new(&mut user, &origin, &get("/", "NTLM x"), CHALLENGE);
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast";
    exchange(&mut user, &mut own, &get("/", "NTLM y"), last);
    user.expect_end();
    own.expect_end();
    origin.expect_nobody();
}

/// Early bytes of a pinned client's next request are for its own connection too.
#[test]
fn a_pinned_client_may_pipeline() {
    let (origin, gatehouse) = publish();
    let mut user = gatehouse.secure_client();
    user.send(get("/1", "NTLM x") + &get("/2", "") + &get("/3", ""));
    let mut own = origin.accept();
    for number in 1..4 {
        own.expect(get(&format!("/{number}"), if number == 1 { "NTLM x" } else { "" }));
        own.send(DONE);
    }
    for _ in 1..4 {
        assert_eq!(user.answer().text(), "done");
    }
    origin.expect_nobody();
}

#[test]
fn servers_do_not_ask_for_a_log_in_at_a_proxy() {
    let (origin, gatehouse) = publish();
    let mut client = gatehouse.client();
    client.send(get("/", ""));
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 407 Proxy\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n");
    let answer = client.answer();
    assert_eq!(answer.status(), 502);
    assert!(answer.fields("proxy-authenticate").is_empty());
    server.expect_end();
}

/// A pool whose servers have to prove the name that each request asks for.
fn publish_by_host() -> (Origin, Gatehouse) {
    let origin = Origin::secure(leaf(&["a.test", "b.test"], Kind::Ecdsa).server());
    let more = "[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"host\"\n\
                [site.a]\nnames = [\"a.test\", \"b.test\"]\nlisteners = [\"http\"]\n\
                [[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], more);
    (origin, gatehouse)
}

/// Asks for `host` and lets `server` answer.
#[track_caller]
fn ask_of(client: &mut Wire, host: &str, more: &str, server: impl FnOnce() -> Wire) -> Wire {
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"));
    let mut server = server();
    let head = server.head();
    assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{head}");
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    server
}

#[test]
fn a_connection_that_was_verified_for_one_host_serves_no_other() {
    let (origin, gatehouse) = publish_by_host();
    let mut client = gatehouse.client();
    let a = ask_of(&mut client, "a.test", "", || origin.accept());
    let b = ask_of(&mut client, "b.test", "", || origin.accept());
    // Each is used again for its own host, however that is written.
    let a = ask_of(&mut client, "A.test:80", "", || a);
    let b = ask_of(&mut gatehouse.client(), "b.test", "", || b);
    let a = ask_of(&mut gatehouse.client(), "a.test", "", || a);
    origin.expect_nobody();
    drop((a, b));
}

#[test]
fn a_log_in_at_one_host_is_not_used_for_another() {
    let (origin, gatehouse) = publish_by_host();
    let log_in = "Authorization: NTLM x\r\n";
    let mut client = gatehouse.client();
    let a = ask_of(&mut client, "a.test", log_in, || origin.accept());
    let b = ask_of(&mut client, "b.test", log_in, || origin.accept());
    let a = ask_of(&mut client, "a.test", "", || a);
    let b = ask_of(&mut client, "b.test", "", || b);
    // Nor by anybody else, for either.
    let others = ask_of(&mut gatehouse.client(), "a.test", "", || origin.accept());
    drop((a, b, others));
}

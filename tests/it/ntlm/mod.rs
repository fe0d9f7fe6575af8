//! Real NTLM: Apache with mod_auth_gssapi and gss-ntlmssp knows the user by the connection, as IIS
//! does, and curl logs in through the proxy, with TLS on both sides.

use std::collections::BTreeMap;
use std::thread;

use crate::rig::{Folder, Gatehouse, Outcome, Real, apache_ntlm, run};

/// One `DOMAIN:user:password` a line, as gss-ntlmssp reads it.
const USERS: &str = "LAB:alice:of the looking-glass\nLAB:bob:of the builders\n";

/// Apache, and the proxy before it.
fn publish() -> (Real, Gatehouse) {
    let apache = apache_ntlm(USERS, include_str!("first_message.c"));
    let gatehouse = Gatehouse::publish_secure(&[apache.tls], "");
    for line in USERS.lines() {
        let user = line.split(':').nth(1).unwrap();
        gatehouse.folder().write(user, format!("{line}\n"));
    }
    (apache, gatehouse)
}

/// How a client proves who it is.
#[derive(Clone, Copy, Debug)]
enum Way<'w> {
    /// curl's own NTLM, with this password.
    Ntlm(&'w str, &'w str),
    /// NTLM inside SPNEGO, by the system's GSSAPI, which reads the user's password from a file.
    Negotiate(&'w str),
    Nobody,
}

const ALICE: Way<'_> = Way::Ntlm("alice", "of the looking-glass");

/// curl's words are `STATUS NEW-CONNECTIONS USER` for each of its requests.
const WORDS: &str = "%{http_code} %{num_connects} %header{x-user}\n";

fn curl(folder: &Folder, gatehouse: &Gatehouse, way: Way<'_>, more: &[&str]) -> Outcome {
    let at = |name: &str| folder.at(name).display().to_string();
    let mut all = vec![];
    if let Way::Negotiate(user) = way {
        all.push(format!("NTLM_USER_FILE={}", at(user)));
    }
    let to = format!(":443:127.0.0.1:{}", gatehouse.https);
    let ca = at("ca.pem");
    let usual = [
        "curl",
        "-q",
        "-sS",
        "--http1.1",
        "--max-time",
        "60",
        "--cacert",
        &ca,
        "--connect-to",
        &to,
        "-o",
        "/dev/null",
        "-w",
        WORDS,
    ];
    all.extend(usual.map(str::to_owned));
    match way {
        Way::Ntlm(user, password) => {
            all.extend(["--ntlm".to_owned(), "-u".to_owned(), format!("LAB\\{user}:{password}")]);
        }
        Way::Negotiate(_) => all.extend(["--negotiate", "-u", ":"].map(str::to_owned)),
        Way::Nobody => {}
    }
    all.extend(more.iter().map(|more| (*more).to_owned()));
    run("env", all).expect_success()
}

fn ask(gatehouse: &Gatehouse, way: Way<'_>, more: &[&str]) -> Vec<String> {
    let said = curl(gatehouse.folder(), gatehouse, way, more).text();
    said.lines().map(|line| line.trim_end().to_owned()).collect()
}

const FILE: &str = "https://a.test/small.txt";

/// Of Apache's log: `connection, request on it, user, status, credential` for each request.
fn by_connection(lines: &[String]) -> Vec<Vec<[String; 3]>> {
    let mut order = Vec::new();
    let mut found: BTreeMap<String, Vec<[String; 3]>> = BTreeMap::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let [connection, number, user, status, scheme, ..] = words[..] else { panic!("{line}") };
        let requests = found.entry(connection.to_owned()).or_default();
        if requests.is_empty() {
            order.push(connection.to_owned());
        }
        assert_eq!(number, requests.len().to_string(), "requests in their order: {lines:#?}");
        requests.push([user, status, scheme].map(str::to_owned));
    }
    order.iter().map(|connection| found[connection].clone()).collect()
}

#[test]
fn two_hundred_requests_need_one_log_in() {
    for (way, user, scheme) in
        [(ALICE, "alice", "NTLM"), (Way::Negotiate("bob"), "bob", "Negotiate")]
    {
        let (apache, gatehouse) = publish();
        let said = ask(&gatehouse, way, &[&format!("{FILE}?[1-200]")]);
        assert_eq!(said.len(), 200, "{said:#?}");
        for (at, line) in said.iter().enumerate() {
            let connects = u32::from(at == 0);
            assert_eq!(*line, format!("200 {connects} LAB\\{user}"), "request {at}");
        }
        let connections = by_connection(&apache.log_lines(201));
        let [requests] = connections.as_slice() else { panic!("{connections:#?}") };
        let name = format!("LAB\\\\{user}");
        assert_eq!(requests[0], ["-", "401", scheme], "the first message");
        assert_eq!(requests[1], [name.as_str(), "200", scheme], "the third");
        for request in &requests[2..] {
            assert_eq!(*request, [name.as_str(), "200", "-"], "the connection is the user");
        }
    }
}

#[test]
fn what_is_posted_comes_with_the_last_message() {
    let (apache, gatehouse) = publish();
    let body = "x".repeat(200_000);
    gatehouse.folder().write("body", body);
    let data = format!("@{}", gatehouse.folder().at("body").display());
    for way in [ALICE, Way::Negotiate("alice")] {
        let said = ask(&gatehouse, way, &["--data-binary", &data, FILE]);
        assert_eq!(said, ["200 1 LAB\\alice"], "{way:?}");
    }
    let connections = by_connection(&apache.log_lines(4));
    assert!(connections.iter().all(|requests| requests[0][1] == "401"), "{connections:#?}");
}

#[test]
fn who_cannot_prove_it_is_refused() {
    let (_apache, gatehouse) = publish();
    for way in [Way::Ntlm("alice", "of nowhere"), Way::Ntlm("carol", "x"), Way::Nobody] {
        assert_eq!(ask(&gatehouse, way, &[FILE]), ["401 1"], "{way:?}");
    }
    assert_eq!(ask(&gatehouse, ALICE, &[FILE]), ["200 1 LAB\\alice"]);
    assert_eq!(ask(&gatehouse, Way::Nobody, &[FILE]), ["401 1"]);
}

/// Two users and others at the same time: all log-ins work, and nobody gets another's.
#[test]
fn two_users_and_others_are_not_mixed_up() {
    let (_apache, gatehouse) = publish();
    let url = format!("{FILE}?[1-10]");
    let clients = [
        (ALICE, "200", " LAB\\alice"),
        (Way::Nobody, "401", ""),
        (Way::Negotiate("bob"), "200", " LAB\\bob"),
        (Way::Ntlm("bob", "of the builders"), "200", " LAB\\bob"),
        (Way::Nobody, "401", ""),
        (Way::Negotiate("alice"), "200", " LAB\\alice"),
    ];
    thread::scope(|scope| {
        for (way, status, user) in clients {
            let (gatehouse, url) = (&gatehouse, &url);
            scope.spawn(move || {
                for round in 0..10 {
                    for (at, line) in ask(gatehouse, way, &[url]).into_iter().enumerate() {
                        let connects = u32::from(at == 0);
                        let due = format!("{status} {connects}{user}");
                        assert_eq!(line, due, "round {round}, request {at}, {way:?}");
                    }
                }
            });
        }
    });
}

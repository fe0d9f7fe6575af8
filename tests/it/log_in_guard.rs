//! Whoever guesses passwords through us is stopped before the server is asked, so that the directory
//! locks no account.

use crate::rig::{Gatehouse, Origin, Wire, base64, run, until};

const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\n\
                       WWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno";
const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

fn publish(keys: &str) -> (Origin, Gatehouse) {
    let origin = Origin::new();
    let text = format!(
        "[workers]\ncount = 2\n[pool.web]\nservers = [\"127.0.0.1:{}\"]\n\
         [site.lync]\nnames = [\"lync.test\"]\nlisteners = [\"http\"]\n[site.lync.log_in_guard]\n{keys}\
         [[site.lync.rule]]\npath = \"/\"\npool = \"web\"\n\
         [site.open]\nnames = [\"open.test\"]\nlisteners = [\"http\"]\n\
         [[site.open.rule]]\npath = \"/\"\npool = \"web\"\n",
        origin.port()
    );
    let gatehouse = Gatehouse::publish(&[1], &text);
    (origin, gatehouse)
}

fn basic(user: &str) -> String {
    basic_by(user, "wrong")
}

fn basic_by(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// The third message of NTLM, inside SPNEGO's second.
fn negotiate(user: &str) -> String {
    let name: Vec<u8> = user.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
    message.resize(36, 0);
    message.extend([name.len() as u8, 0, name.len() as u8, 0, 64, 0, 0, 0]);
    message.resize(60, 0);
    message.extend([1, 0, 0, 0]);
    message.extend(name);
    for tag in [0x04, 0xa2, 0x30, 0xa1] {
        let length = message.len() as u8;
        let head = if length < 0x80 { vec![tag, length] } else { vec![tag, 0x81, length] };
        message = [head, message].concat();
    }
    format!("Negotiate {}", base64(&message))
}

fn request(host: &str, method: &str, path: &str, credential: &str) -> String {
    let line = match credential {
        "" => String::new(),
        _ => format!("Authorization: {credential}\r\n"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{line}Content-Length: 0\r\n\r\n")
}

/// A new client from 127.0.0.`last` tries to log in; the server, which is asked, answers.
#[track_caller]
fn ask((origin, gatehouse): &(Origin, Gatehouse), last: u8, credential: &str, answer: &str) {
    let mut client = gatehouse.client_from(last);
    let request = request("lync.test", "GET", "/", credential);
    client.send(&request);
    let mut server = origin.accept();
    server.expect(&request);
    server.send(answer);
    assert!(answer.contains(&format!(" {} ", client.answer().status())));
    server.end();
}

/// Nobody is asked.
#[track_caller]
fn expect_locked((origin, gatehouse): &(Origin, Gatehouse), last: u8, credential: &str) {
    expect_429(&mut gatehouse.client_from(last), &request("lync.test", "GET", "/", credential));
    origin.expect_nobody();
    // Who logs in elsewhere, or nowhere, is not concerned.
    for other in
        [request("open.test", "GET", "/", credential), request("lync.test", "GET", "/", "")]
    {
        let mut client = gatehouse.client_from(last);
        client.send(&other);
        let mut server = origin.accept();
        server.expect(&other);
        server.send(DONE);
        assert_eq!(client.answer().status(), 200);
        server.end();
    }
}

#[track_caller]
fn expect_429(client: &mut Wire, request: &str) {
    client.send(request);
    let answer = client.answer();
    assert_eq!(answer.status(), 429);
    let wait = answer.fields("retry-after").first().and_then(|wait| wait.parse::<u32>().ok());
    assert!(wait.is_some_and(|wait| (1..=1800).contains(&wait)), "{wait:?}");
}

#[test]
fn a_user_whose_passwords_are_wrong_is_locked_here_and_not_in_the_directory() {
    let play = publish("user_refused_max = 3\n");
    ask(&play, 1, &basic("CONTOSO\\bob"), REFUSED);
    ask(&play, 2, &negotiate("Bob"), REFUSED);
    // Neither a challenge nor a broken server is a wrong password.
    ask(&play, 3, "", REFUSED);
    ask(&play, 3, "NTLM TlRMTVNTUAABAAAA", REFUSED);
    ask(&play, 3, &basic("bob"), BROKEN);
    ask(&play, 3, &basic("bob@contoso.com"), REFUSED);
    expect_locked(&play, 4, &basic("bob"));
    expect_locked(&play, 4, &negotiate("BOB"));
    play.1.expect_said("site lync: log-ins of user \"bob\", the last from 127.0.0.4, are refused");
    ask(&play, 4, &basic("eve"), DONE);
    let locked = play.1.records(13).into_iter().filter(|record| record["failure"] == "user_locked");
    assert_eq!(locked.count(), 2);
}

/// By the same password from anywhere, or where that is not seen, from the same address. A reload
/// forgives and forgets nothing.
#[test]
fn who_got_in_is_let_through_while_others_guess() {
    let play = publish("user_refused_max = 2\n");
    ask(&play, 1, "", REFUSED);
    ask(&play, 1, &basic_by("bob", "right"), DONE);
    ask(&play, 1, &negotiate("bob"), DONE);
    ask(&play, 2, &basic("bob"), REFUSED);
    ask(&play, 3, &negotiate("bob"), REFUSED);
    play.1.reload().expect_success();
    expect_locked(&play, 4, &basic("bob"));
    expect_locked(&play, 4, &negotiate("bob"));
    ask(&play, 5, &basic_by("bob", "right"), DONE);
    ask(&play, 1, &negotiate("bob"), DONE);
    expect_locked(&play, 1, &basic("bob"));
}

/// A page that asks nobody for a password proves none, and a client that has gone has guessed.
#[test]
fn neither_a_public_page_nor_an_early_end_gives_guesses_back() {
    let play = publish("user_refused_max = 3\n");
    ask(&play, 1, &basic("bob"), REFUSED);
    let public = request("lync.test", "GET", "/public", &basic("bob"));
    let mut client = play.1.client_from(2);
    client.send(&public);
    let mut server = play.0.accept();
    server.expect(&public);
    server.send(DONE);
    assert_eq!(client.answer().status(), 200);
    server.end();
    for turn in 0..2 {
        let mut client = play.1.client_from(3);
        let guess = request("lync.test", "GET", "/", &basic("bob"));
        client.send(&guess);
        let mut server = play.0.accept();
        server.expect(&guess);
        client.reset();
        server.expect_end();
        // Once it is in the log it is counted.
        play.1.records(3 + turn);
    }
    expect_locked(&play, 4, &basic("bob"));
}

#[test]
fn an_address_that_tries_many_names_is_locked() {
    let play = publish("address_refused_max = 3\n");
    for user in ["a", "b", "c"] {
        ask(&play, 1, &basic(user), REFUSED);
    }
    expect_locked(&play, 1, &basic("d"));
    ask(&play, 2, &basic("d"), REFUSED);
    play.1.expect_said("site lync: log-ins from 127.0.0.1 are refused with 429");
}

#[test]
fn wrong_passwords_are_forgotten_after_the_window() {
    let play = publish("user_refused_max = 1\nwindow = \"500ms\"\n");
    ask(&play, 1, &basic("bob"), REFUSED);
    let mut client = play.1.client_from(2);
    let mut server = until("the window is over", || {
        client.send(request("lync.test", "GET", "/", &basic("bob")));
        let came = until("an answer, or a connection", || {
            let came = play.0.look();
            (came.is_some() || client.has_bytes()).then_some(came)
        });
        if came.is_none() {
            assert_eq!(client.answer().status(), 429);
        }
        came
    });
    server.send(DONE);
    assert_eq!(client.answer().status(), 200);
}

#[test]
fn posts_for_web_tickets_are_bounded_by_address() {
    let (origin, gatehouse) = publish("tickets_per_minute = 2\n");
    let mut client = gatehouse.client_from(1);
    let path = "/WebTicket/WebTicketService.svc/Auth";
    let posts = [
        request("lync.test", "POST", path, ""),
        request("lync.test", "POST", "/a/../web%74icket/", ""),
    ];
    let done = |client: &mut Wire, request: &str| {
        client.send(request);
        let mut server = origin.accept();
        server.expect(request);
        server.send(DONE);
        assert_eq!(client.answer().status(), 200);
        server.end();
    };
    posts.iter().for_each(|post| done(&mut client, post));
    expect_429(&mut client, &posts[0]);
    done(&mut client, &request("lync.test", "GET", path, ""));
    done(&mut client, &request("lync.test", "POST", "/webtickets", ""));
    done(&mut gatehouse.client_from(2), &posts[0]);
    gatehouse.expect_said("site lync: POSTs for web tickets from 127.0.0.1 are refused with 429");
    assert_eq!(gatehouse.records(6)[2]["failure"], "too_many_tickets");
}

/// Extended Protection: every log-in fails however right the password is.
#[test]
fn a_server_that_refuses_every_windows_log_in_is_spoken_of() {
    let play = publish("");
    for turn in 0..6 {
        // A device with an old password says nothing about the server.
        ask(&play, 1, &negotiate(["bob", "eve"][turn / 3]), REFUSED);
    }
    for user in ["a", "b", "c"] {
        ask(&play, 1, &negotiate(user), REFUSED);
    }
    let said = play.1.expect_said("refuses every Windows log-in");
    assert!(said.contains("probably channel binding"), "{said}");
    let socket = play.1.folder().at("admin.sock");
    let status = ["status", "--json", "--socket", socket.to_str().unwrap()];
    let status = run(env!("CARGO_BIN_EXE_gatehouse"), status).out;
    assert!(String::from_utf8_lossy(&status).contains("Extended Protection to Off"));
    ask(&play, 1, &negotiate("d"), DONE);
    play.1.expect_said("accepts Windows log-ins again");
}

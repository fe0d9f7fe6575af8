//! What Windows clients and servers do around a log-in, by table: bodies that come with the last
//! message only, bodies that are refused, large tickets, several challenges, requests in advance.

use crate::rig::{Folder, Gatehouse, Kind, Origin, Wire, leaf};

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// What the server says to a request that shows nothing, and to the first message.
const ASKED: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n\
     Content-Length: 2\r\n\r\nno";
const SECOND: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM TlRMTVNTUAAC\r\nContent-Length: 2\r\n\r\nno";

/// A place of the first message, and of the third.
const FIRST: &str = "Authorization: NTLM TlRMTVNTUAAB\r\n";
const THIRD: &str = "Authorization: NTLM TlRMTVNTUAAD\r\n";

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n")
}

fn post(fields: &str, body: &str) -> String {
    let length = body.len();
    format!("POST / HTTP/1.1\r\nHost: a.test\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
}

/// Published over plain connections, or with TLS on both sides.
fn publish(secure: bool, more: &str) -> (Origin, Gatehouse) {
    if secure {
        let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
        let gatehouse = Gatehouse::publish_secure(&[origin.port()], more);
        return (origin, gatehouse);
    }
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], more);
    (origin, gatehouse)
}

fn client(gatehouse: &Gatehouse, secure: bool) -> Wire {
    if secure { gatehouse.secure_client() } else { gatehouse.client() }
}

/// Sends a request whose answer is `answer`, over a known upstream connection.
#[track_caller]
fn exchange(client: &mut Wire, server: &mut Wire, request: &str, answer: &str) {
    client.send(request);
    server.expect(request);
    server.send(answer);
    let status: u16 = answer[9..12].parse().unwrap();
    assert_eq!(client.answer().status(), status);
}

/// The same over a new one.
#[track_caller]
fn exchange_on_new(client: &mut Wire, origin: &Origin, request: &str, answer: &str) -> Wire {
    client.send(request);
    let mut server = origin.accept();
    server.expect(request);
    server.send(answer);
    let status: u16 = answer[9..12].parse().unwrap();
    assert_eq!(client.answer().status(), status);
    server
}

/// What is asked and answered in a log-in, one after the other, all on one upstream connection.
#[test]
fn log_ins_stay_on_one_connection() {
    let body = "x".repeat(40_000);
    let large = post(THIRD, &body);
    let chunked = format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\n{THIRD}Transfer-Encoding: chunked\r\n\r\n\
         5\r\nwhole\r\n0\r\n\r\n"
    );
    let tables: [&[(&str, &str)]; 6] = [
        // WinHTTP: the first message without the body, the third with it.
        &[(&post(FIRST, ""), SECOND), (&large, DONE), (&get(""), DONE)],
        &[(&get(""), ASKED), (&post(FIRST, ""), SECOND), (&post(THIRD, "body"), DONE)],
        // A body each time.
        &[(&post("", &body), ASKED), (&post(FIRST, &body), SECOND), (&large, DONE)],
        &[(&get(FIRST), SECOND), (&chunked, DONE), (&post("", "more"), DONE)],
        // A wrong password, and another try.
        &[(&get(FIRST), SECOND), (&get(THIRD), ASKED), (&get(FIRST), SECOND), (&get(THIRD), DONE)],
        // Kerberos is one message; the server may want it again.
        &[
            (&get("Authorization: Negotiate YII=\r\n"), DONE),
            (&get(""), ASKED),
            (&get("Authorization: Negotiate YII=\r\n"), DONE),
        ],
    ];
    for secure in [false, true] {
        for table in tables {
            let (origin, gatehouse) = publish(secure, "");
            let mut user = client(&gatehouse, secure);
            let (first, rest) = table.split_first().unwrap();
            let mut own = exchange_on_new(&mut user, &origin, first.0, first.1);
            for (request, answer) in rest {
                exchange(&mut user, &mut own, request, answer);
                origin.expect_nobody();
            }
        }
    }
}

/// HTTP.sys answers at once, takes the refused body, and goes on with the connection.
#[test]
fn a_refused_body_does_not_end_the_log_in() {
    let body = "r".repeat(300_000);
    let whole = post("", &body);
    let chunked_head =
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let at = whole.len() - body.len();
    let cases = [
        (whole[..at].to_owned(), body.clone()),
        (post(FIRST, &body)[..at + FIRST.len()].to_owned(), body),
    ];
    for secure in [false, true] {
        for (head, body) in cases.iter().chain([&(chunked_head.clone(), chunks.clone())]) {
            let (origin, gatehouse) = publish(secure, "");
            let mut user = client(&gatehouse, secure);
            user.send(head);
            let mut own = origin.accept();
            own.expect(head);
            // Before a byte of the body has been sent.
            own.send(SECOND);
            let answer = user.answer();
            assert_eq!(answer.status(), 401);
            assert_eq!(answer.fields("connection"), [""; 0], "the client may stay");
            let reading = std::thread::spawn({
                let length = body.len();
                let chunked = head == &chunked_head;
                move || {
                    if chunked {
                        own.chunked().0.len()
                    } else {
                        own.read(length).len()
                    };
                    own
                }
            });
            user.send(body);
            let mut own = reading.join().unwrap();
            exchange(&mut user, &mut own, &post(FIRST, ""), SECOND);
            exchange(&mut user, &mut own, &post(THIRD, "body"), DONE);
            origin.expect_nobody();
        }
    }
}

/// A client that waits to be asked for its body is asked, refused, and sends it all the same.
#[test]
fn a_refused_body_that_was_asked_for() {
    let (origin, gatehouse) = publish(false, "");
    let mut user = gatehouse.client();
    user.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    let mut own = origin.accept();
    own.head();
    own.send(ASKED);
    user.expect("HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(user.answer().status(), 401);
    user.send("body");
    own.expect("body");
    exchange(&mut user, &mut own, &post(FIRST, ""), SECOND);
    origin.expect_nobody();
}

/// A ticket of 48,000 bytes has 64,000 as it is sent: users in many groups have such.
#[test]
fn large_tickets() {
    let raised = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\n\
                  certificate = \"a\"\n\
                  limits = { head_bytes_max = 131072, field_bytes_max = 65536 }\n\
                  [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n";
    let rows = [
        ("", 12_000, true),
        ("", 16_400, false),
        ("", 64_000, false),
        (raised, 12_000, true),
        (raised, 64_000, true),
        (raised, 65_600, false),
    ];
    for secure in [false, true] {
        for (limits, length, passes) in rows {
            let (origin, gatehouse) = publish(secure, limits);
            let mut user = client(&gatehouse, secure);
            let ticket = "k".repeat(length);
            let request = post(&format!("Authorization: Negotiate {ticket}\r\n"), "body");
            if passes {
                // The server proves itself by a ticket of its own.
                let proof = format!(
                    "HTTP/1.1 200 OK\r\nWWW-Authenticate: Negotiate {ticket}\r\n\
                     Content-Length: 4\r\n\r\ndone"
                );
                user.send(&request);
                let mut own = origin.accept();
                own.expect(&request);
                own.send(&proof);
                let answer = user.answer();
                assert_eq!(answer.fields("www-authenticate"), [format!("Negotiate {ticket}")]);
                exchange(&mut user, &mut own, &get(""), DONE);
            } else {
                user.send(&request);
                assert_eq!(user.answer().status(), 431, "{length} bytes");
            }
            origin.expect_nobody();
        }
    }
}

/// Clients take the first challenge that they can answer, so all come in the server's order; and what
/// the server says about the log-in comes too.
#[test]
fn what_a_server_says_about_the_log_in_is_passed_on_as_it_is() {
    let rows: [&[&str]; 6] = [
        &["WWW-Authenticate: Negotiate", "WWW-Authenticate: NTLM"],
        &[
            "WWW-Authenticate: NTLM",
            "WWW-Authenticate: Negotiate",
            "WWW-Authenticate: Basic realm=\"x\"",
        ],
        &[
            "WWW-Authenticate: Negotiate,NTLM",
            "X-Between: 1",
            "www-authenticate: Digest qop=\"auth\"",
        ],
        &[
            "WWW-Authenticate: Bearer a=\"b, NTLM\"",
            "WWW-Authenticate: MsRtcOAuth grant_type=\"x\"",
        ],
        &["Persistent-Auth: true", "WWW-Authenticate: Negotiate oYG2"],
        &["Persistent-Auth: false", "Authentication-Info: x", "X-MS-Server-Fqdn: fe01"],
    ];
    for row in rows {
        for status in ["200 OK", "401 Unauthorized"] {
            let (origin, gatehouse) = publish(false, "");
            let mut user = gatehouse.client();
            user.send(get(FIRST));
            let mut own = origin.accept();
            own.head();
            let lines = row.join("\r\n");
            let date = "Date: Tue, 24 Nov 2026 18:00:00 GMT";
            let said =
                format!("HTTP/1.1 {status}\r\n{lines}\r\n{date}\r\nContent-Length: 0\r\n\r\n");
            own.send(&said);
            user.expect(&said);
            exchange(&mut user, &mut own, &get(THIRD), DONE);
        }
    }
}

/// Whether the client's connection goes on behind a 401: it does wherever nothing was lost with the
/// server's. `Connection: close` there would be an endless loop of log-ins.
#[test]
fn connections_behind_a_refusal() {
    let closing = ASKED.replace("\r\nContent", "\r\nConnection: close\r\nContent");
    let old = "HTTP/1.0 401 No\r\nWWW-Authenticate: NTLM\r\nContent-Length: 2\r\n\r\nno";
    let endless = "HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM\r\n\r\nno";
    // What is asked, what is answered, whether that ends the server's connection and the client's.
    let rows = [
        (get(""), ASKED, false, false),
        (get("Connection: keep-alive\r\n"), ASKED, false, false),
        (get(FIRST), SECOND, false, false),
        (get(""), closing.as_str(), true, false),
        (get(FIRST), closing.as_str(), true, true),
        (get(""), old, true, false),
        (get(FIRST), old, true, true),
        (get(""), endless, true, false),
        (get(FIRST), endless, true, true),
    ];
    for (request, answer, server_ends, client_ends) in rows {
        let (origin, gatehouse) = publish(false, "");
        let mut user = gatehouse.client();
        user.send(&request);
        let mut server = origin.accept();
        server.head();
        server.send(answer);
        if server_ends {
            server.end();
        }
        let told = user.answer();
        assert_eq!((told.status(), told.text().as_str()), (401, "no"), "{request}{answer}");
        let says = if client_ends { vec!["close"] } else { vec![] };
        assert_eq!(told.fields("connection"), says, "{request}{answer}");
        if client_ends {
            user.expect_end();
        } else if server_ends {
            exchange_on_new(&mut user, &origin, &get(FIRST), SECOND);
        } else {
            exchange(&mut user, &mut server, &get(THIRD), DONE);
        }
        origin.expect_nobody();
    }
}

/// What is asked in advance waits for its turn, and goes where the log-in before it has put it.
#[test]
fn requests_in_advance_of_a_log_in() {
    for secure in [false, true] {
        let (origin, gatehouse) = publish(secure, "");
        let mut user = client(&gatehouse, secure);
        user.send(get("X: 1\r\n") + &post(FIRST, "") + &post(THIRD, "body") + &get("X: 4\r\n"));
        let mut shared = origin.accept();
        shared.expect(get("X: 1\r\n"));
        origin.expect_nobody();
        shared.send(DONE);
        let mut own = origin.accept();
        own.expect(post(FIRST, ""));
        own.send(SECOND);
        own.expect(post(THIRD, "body"));
        own.send(DONE);
        own.expect(get("X: 4\r\n"));
        own.send(DONE);
        let statuses = [(); 4].map(|()| user.answer().status());
        assert_eq!(statuses, [200, 401, 200, 200]);
        // What the log-in had nothing to do with is still anybody's.
        let mut anybody = client(&gatehouse, secure);
        exchange(&mut anybody, &mut shared, &get(""), DONE);
        origin.expect_nobody();
    }
}

/// A client that was served over connections of all shows its credential on none of them.
#[test]
fn a_credential_after_other_requests_gets_a_fresh_connection() {
    for credential in ["NTLM x", "Negotiate x", "ntlm", "Kerberos x", "Basic x, Negotiate y", ""] {
        let (origin, gatehouse) = publish(false, "");
        let [mut user, mut other] = [(); 2].map(|()| gatehouse.client());
        let mut shared = exchange_on_new(&mut user, &origin, &get(""), DONE);
        let basic = get("Authorization: Basic eDp5\r\n");
        exchange(&mut other, &mut shared, &basic, DONE);
        let shown = get(&format!("Authorization: {credential}\r\n"));
        let mut own = exchange_on_new(&mut user, &origin, &shown, DONE);
        exchange(&mut other, &mut shared, &basic, DONE);
        exchange(&mut user, &mut own, &get(""), DONE);
        exchange(&mut user, &mut own, &basic, DONE);
        exchange(&mut other, &mut shared, &get(""), DONE);
        drop(user);
        own.expect_end();
        origin.expect_nobody();
    }
}

/// An answer of ours to the beginning of a log-in leaves the client nowhere: it has to connect anew.
#[test]
fn a_log_in_that_we_had_to_answer_begins_on_another_connection() {
    let slow = "[pool.origin.timeouts]\nresponse_head = \"1s\"\n";
    for (broken, status) in [("", 504), ("HTTP/1.1 999 ?\r\n\r\n", 502), ("nonsense\r\n", 502)] {
        for (credential, stays) in [(FIRST, false), ("Authorization: Basic x\r\n", true)] {
            let (origin, gatehouse) = publish(false, slow);
            let mut user = gatehouse.client();
            user.send(get(credential));
            let mut server = origin.accept();
            server.head();
            server.send(broken);
            let answer = user.answer();
            assert_eq!(answer.status(), status);
            server.expect_end();
            assert_eq!(answer.fields("connection").is_empty(), stays, "{credential}");
            if stays {
                exchange_on_new(&mut user, &origin, &get(""), DONE);
            } else {
                user.end();
                user.expect_end();
            }
        }
    }
}

/// Over the same connection as the log-in before it.
#[test]
fn a_tunnel_behind_a_log_in() {
    const SWITCHES: &str =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let upgrade = |credential: &str| {
        get(&format!("{credential}Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    };
    for secure in [false, true] {
        let (origin, gatehouse) = publish(secure, "");
        let mut user = client(&gatehouse, secure);
        user.send(upgrade(FIRST));
        let mut own = origin.accept();
        own.head();
        own.send(SECOND);
        assert_eq!(user.answer().status(), 401);
        user.send(upgrade(THIRD));
        own.head();
        own.send(SWITCHES);
        assert_eq!(user.answer().status(), 101);
        user.send("question");
        own.expect("question");
        own.send("answer");
        user.expect("answer");
        origin.expect_nobody();
    }
}

/// Another file judges the next request, and moves nobody.
#[test]
fn a_reload_under_a_log_in() {
    let (origin, other) = (Origin::new(), Origin::new());
    let file = |servers: &[u16], refused: &str| {
        let servers: Vec<String> =
            servers.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        format!(
            "[pool.origin]\nservers = [{}]\n\
             [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n{refused}\
             [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n",
            servers.join(", ")
        )
    };
    let gatehouse = Gatehouse::start(Folder::new(), &file(&[origin.port()], ""));
    let mut user = gatehouse.client();
    let mut own = exchange_on_new(&mut user, &origin, &get(FIRST), SECOND);
    // Another server comes, and the first is one of two, and then drained.
    let both = [other.port(), origin.port()];
    gatehouse.change(&file(&both, "[[site.a.rule]]\npath = \"/no\"\nrefuse = 403\n"));
    exchange(&mut user, &mut own, &get(THIRD), DONE);
    user.send(get("").replace("GET / ", "GET /no "));
    assert_eq!(user.answer().status(), 403, "the new file's rules hold");
    exchange(&mut user, &mut own, &get(""), DONE);
    gatehouse.pool("origin", "drain", &format!("127.0.0.1:{}", origin.port())).expect_success();
    exchange(&mut user, &mut own, &get(""), DONE);
    // A server that is no longer named keeps nobody.
    gatehouse.change(&file(&[other.port()], ""));
    user.send(get(""));
    user.expect_end();
    own.expect_end();
    other.expect_nobody();
    let records = gatehouse.records(6);
    assert_eq!(records[5]["failure"], "pin_lost", "{records:#?}");
}

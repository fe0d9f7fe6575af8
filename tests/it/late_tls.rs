//! What servers say by TLS on connections that carry no request: tickets and changes of keys, which
//! TLS 1.3 allows at any time, are nobody's answer and nobody's end.

use crate::rig::{Gatehouse, Kind, Origin, Wire, leaf};

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// A pair of requests of somebody who is logged in, or of anybody, by one that may be repeated and by
/// one that must not be.
const REQUESTS: [&str; 3] = [
    "GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
];

fn publish() -> (Origin, Gatehouse) {
    let origin = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
    let gatehouse = Gatehouse::publish_secure(&[origin.port()], "");
    (origin, gatehouse)
}

#[track_caller]
fn exchange(client: &mut Wire, server: &mut Wire, request: &str, answer: &[u8]) {
    server.expect(request);
    server.try_send_sealed(answer).unwrap();
    assert_eq!(client.answer().text(), "done");
}

#[test]
fn keys_that_change_while_nobody_asks_end_no_connection() {
    for request in REQUESTS {
        let (origin, gatehouse) = publish();
        let mut client = gatehouse.client();
        client.send(request);
        let mut server = origin.accept();
        let answer = server.seal(DONE);
        exchange(&mut client, &mut server, request, &answer);
        // More often than the peer would take it in a row.
        for _ in 0..40 {
            let record = server.change_keys();
            server.try_send_sealed(&record).unwrap();
            client.send(request);
            let answer = server.seal(DONE);
            exchange(&mut client, &mut server, request, &answer);
        }
        // Many at once, then one in two pieces, and one right behind the answer.
        let mut records: Vec<u8> = (0..20).flat_map(|_| server.change_keys()).collect();
        records.extend(server.change_keys());
        let (first, rest) = records.split_at(records.len() - 3);
        server.try_send_sealed(first).unwrap();
        server.try_send_sealed(rest).unwrap();
        client.send(request);
        let answer = [server.seal(DONE), server.change_keys()].concat();
        exchange(&mut client, &mut server, request, &answer);
        client.send(request);
        let answer = server.seal(DONE);
        exchange(&mut client, &mut server, request, &answer);
        origin.expect_nobody();
    }
}

/// It would seem to be the answer to the request that comes next.
#[test]
fn what_is_said_unasked_is_nobodys_answer() {
    for cut in [0, 1, 5, 30] {
        for request in REQUESTS {
            let (origin, gatehouse) = publish();
            let mut client = gatehouse.client();
            client.send(request);
            let mut server = origin.accept();
            let answer = server.seal(DONE);
            exchange(&mut client, &mut server, request, &answer);
            // Whole or begun, behind a record that says nothing.
            let unasked = [server.change_keys(), server.seal(DONE)].concat();
            let shown = if cut == 0 { unasked.len() } else { unasked.len() - 26 - cut };
            server.try_send_sealed(&unasked[..shown]).unwrap();
            if request == REQUESTS[0] {
                // The client may be ended before it asks, or when it does.
                let _ = client.try_send(request);
                let (said, _) = client.rest();
                assert!(said.is_empty(), "{cut}: {}", String::from_utf8_lossy(&said));
                assert_eq!(gatehouse.records(2)[1]["failure"], "pin_lost", "{cut}");
                continue;
            }
            client.send(request);
            let mut fresh = origin.accept();
            let answer = fresh.seal(DONE);
            exchange(&mut client, &mut fresh, request, &answer);
        }
    }
}

//! What clients do by themselves says nothing about servers, and what nobody asks any more neither.

use crate::rig::{Child, Folder, Gatehouse, Kind, Origin, Wire, free_port, leaf, until};

const DONE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndone";

/// More than it takes to leave a server out.
const OFTEN: usize = 5;

fn get(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[track_caller]
fn serve(client: &mut Wire, server: &mut Wire, request: &str) {
    server.expect(request);
    server.send(DONE);
    assert_eq!(client.answer().text(), "done");
}

#[test]
fn a_client_that_keeps_its_upload_back_takes_no_server_out() {
    let (server, backup) = (Origin::new(), Child::new());
    let more = format!("backup = [\"127.0.0.1:{}\"]\n", backup.port);
    let gatehouse = Gatehouse::publish(&[server.port()], &more);
    for _ in 0..OFTEN {
        let mut client = gatehouse.client();
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nabc");
        server.accept().head();
        assert_eq!(client.answer().status(), 503, "the server has lost its patience");
    }
    let mut client = gatehouse.client();
    client.send(get("a.test"));
    serve(&mut client, &mut server.accept(), &get("a.test"));
}

#[test]
fn a_name_that_a_client_made_up_takes_no_server_out() {
    let secure = |names: &[&str]| Origin::secure(leaf(names, Kind::Ecdsa).server());
    let (server, backup) = (secure(&["a.test"]), secure(&["a.test", "c.test"]));
    let more = format!(
        "backup = [\"127.0.0.1:{}\"]\n[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"host\"\n\
         [site.a]\nnames = [\"a.test\", \"c.test\"]\nlisteners = [\"http\"]\n\
         [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n",
        backup.port()
    );
    let gatehouse = Gatehouse::publish(&[server.port()], &more);
    for _ in 0..OFTEN {
        let mut client = gatehouse.client();
        client.send(get("c.test"));
        assert!(server.try_accept().is_err());
        serve(&mut client, &mut backup.accept(), &get("c.test"));
    }
    let mut client = gatehouse.client();
    client.send(get("a.test"));
    serve(&mut client, &mut server.accept(), &get("a.test"));
}

#[test]
fn a_probe_that_was_taken_out_has_no_last_word() {
    let (slow, other) = (Origin::new(), Child::new());
    let pool = format!(
        "[pool.origin]\nservers = [\"127.0.0.1:{}\", \"127.0.0.1:{}\"]\nbalance = \"round-robin\"\n",
        slow.port(),
        other.port
    );
    let probe = "[pool.origin.probe]\nhttp = { path = \"/\" }\nevery = \"60s\"\ntimeout = \"2s\"\nfall = 1\n";
    let gatehouse = Gatehouse::start(Folder::new(), &format!("{pool}{probe}"));
    let mut probed = slow.accept();
    probed.head();
    gatehouse.change(&pool);
    probed.expect_end();
    for _ in 0..3 {
        let mut client = gatehouse.client();
        client.send(get("a.test"));
        until("a request at the server whose probe failed too late", || {
            if let Some(mut server) = slow.look() {
                serve(&mut client, &mut server, &get("a.test"));
                return Some(());
            }
            if client.has_bytes() {
                client = gatehouse.client();
                client.send(get("a.test"));
            }
            None
        });
    }
}

#[test]
fn a_probe_that_was_corrected_is_not_said_to_have_passed() {
    let port = free_port();
    let file = |path: &str| {
        format!(
            "[pool.origin]\nservers = [\"127.0.0.1:{port}\"]\n[pool.origin.probe]\n\
             http = {{ path = \"{path}\" }}\nevery = \"200ms\"\nfall = 2\n"
        )
    };
    let gatehouse = Gatehouse::start(Folder::new(), &file("/old"));
    gatehouse.expect_said("is down: 2 probes in a row failed");
    gatehouse.change(&file("/new"));
    gatehouse.expect_said("gets requests until 2 probes of the new one in a row have failed");
    until("the new probe's word", || {
        let downs = gatehouse.count_said("is down: 2 probes in a row failed");
        (downs == 2).then_some(())
    });
    assert!(!gatehouse.has_said("in a row passed"));
}

//! Another file while it runs: the next request goes by the new rules, and nobody notices anything
//! else.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;

use nix::sys::signal::Signal;

use crate::rig::{
    End, Folder, Gatehouse, Kind, LIMIT, MANAGER, Origin, Wire, free_port, trusting, until,
};

const ASKED: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";

fn pool(origin: &Origin) -> String {
    format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", origin.port())
}

/// The usual site, with one rule before that for everything.
fn with_rule(rule: &str) -> String {
    format!(
        "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n\
         [[site.a.rule]]\n{rule}\n[[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n"
    )
}

#[track_caller]
fn exchange(client: &mut Wire, server: &mut Wire, text: &str) {
    client.send(ASKED);
    server.head();
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
    assert_eq!(client.answer().text(), text);
}

#[test]
fn a_rule_added_answers_the_next_request_of_an_open_connection() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    for mut client in [gatehouse.client(), gatehouse.secure_client()] {
        client.send("GET /open HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        // The running request is not touched.
        gatehouse.change(&(pool(&origin) + &with_rule("path = \"/x\"\nrefuse = 410")));
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        assert_eq!(client.answer().text(), "ok");
        client.send(ASKED);
        assert_eq!(client.answer().status(), 410);
        gatehouse.change(&pool(&origin));
        client.send(ASKED);
        let mut server = origin.accept();
        server.head();
        server.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().status(), 204);
    }
}

#[test]
fn a_bad_file_changes_nothing_and_whoever_asked_is_told_why() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let (mut client, mut server) = (gatehouse.client(), None);
    for wrong in ["[pool.origin]\nservers = []\n", "[pool", "[listener.http]\nport = 0\n"] {
        gatehouse.rewrite(wrong);
        let refused = gatehouse.reload();
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(refused.err.contains("gatehouse.toml:"), "{}", refused.err);
        assert!(refused.err.contains("the old file stays in force"), "{}", refused.err);
        client.send(ASKED);
        let server = server.get_or_insert_with(|| origin.accept());
        server.head();
        server.send("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(client.answer().status(), 204);
    }
}

#[test]
fn a_port_that_is_taken_by_another_program_changes_nothing() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let other = Origin::new();
    let listener = format!("[listener.more]\nport = {}\n", other.port());
    gatehouse.rewrite(&(pool(&origin) + &listener + &with_rule("path = \"/x\"\nrefuse = 410")));
    let refused = gatehouse.reload();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.err.contains("another program listens on"), "{}", refused.err);
    let (mut client, answered) = (gatehouse.client(), "as before");
    client.send(ASKED);
    let mut server = origin.accept();
    server.head();
    server.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{answered}"));
    assert_eq!(client.answer().text(), answered);
}

#[test]
fn sighup_reads_the_file_again() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    gatehouse.rewrite(&(pool(&origin) + &with_rule("path = \"/x\"\nrefuse = 410")));
    gatehouse.signal(Signal::SIGHUP);
    gatehouse.expect_said("is in force");
    let mut client = gatehouse.client();
    client.send(ASKED);
    assert_eq!(client.answer().status(), 410);
    gatehouse.rewrite("[pool");
    gatehouse.signal(Signal::SIGHUP);
    gatehouse.expect_said("the old file stays in force");
}

#[test]
fn listeners_come_and_go() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let more = free_port();
    let site = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\", \"more\"]\n\
                certificate = \"a\"\n[[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n";
    gatehouse.change(&format!("{}[listener.more]\nport = {more}\n{site}", pool(&origin)));
    let mut client = Wire::plain(TcpStream::connect(("127.0.0.1", more)).unwrap());
    client.send(ASKED);
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
    // The same socket comes to another listener.
    gatehouse.change(&format!(
        "{}[listener.renamed]\nport = {more}\n{}",
        pool(&origin),
        site.replace("\"more\"", "\"renamed\"")
    ));
    let mut other = Wire::plain(TcpStream::connect(("127.0.0.1", more)).unwrap());
    exchange(&mut other, &mut server, "by the new name");
    exchange(&mut client, &mut server, "on the old connection too");
    gatehouse.change(&pool(&origin));
    until("the end of listening", || {
        TcpStream::connect(("127.0.0.1", more)).is_err().then_some(())
    });
    exchange(&mut gatehouse.client(), &mut server, "as at first");
}

#[test]
fn workers_come_and_go_and_their_clients_stay() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut clients = vec![(gatehouse.client(), None)];
    for count in [3, 1, 2, 1] {
        gatehouse.change(&format!("[workers]\ncount = {count}\n{}", pool(&origin)));
        for _ in 0..6 {
            clients.push((gatehouse.client(), None));
        }
        clients.retain_mut(|(client, server)| {
            // A log-in gets an upstream connection of its own, whichever worker it is at.
            client.send("GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n");
            let server = server.get_or_insert_with(|| origin.accept());
            server.head();
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            let answer = client.answer();
            assert_eq!((answer.status(), answer.text()), (200, "ok".to_owned()));
            // Those of a worker that has to go are told that this was their last answer.
            answer.fields("connection").is_empty()
        });
    }
}

#[test]
fn a_renewed_certificate_is_shown_by_itself_and_open_connections_go_on() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut open = gatehouse.secure_client();
    open.send(ASKED);
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    open.answer();
    let folder = gatehouse.folder();
    let old = std::fs::read(folder.at("a.key")).unwrap();
    folder.certificate("a", &["a.test", "renewed.test"], Kind::Ecdsa);
    let new = std::fs::read(folder.at("a.key")).unwrap();
    folder.write("a.key", &old);
    gatehouse.expect_said("changed certificates are not taken, the old ones stay");
    exchange(&mut gatehouse.secure_client(), &mut server, "the old pair");
    // The operator's own file is half edited meanwhile: it is not looked at.
    folder.write("gatehouse.toml", "[half");
    folder.write("a.key", &new);
    gatehouse.expect_said("changed certificates are in force");
    let socket = TcpStream::connect(("127.0.0.1", gatehouse.https)).unwrap();
    let mut renewed = Wire::secure(socket, trusting(), "renewed.test");
    exchange(&mut renewed, &mut server, "for a name that only the new one has");
    exchange(&mut open, &mut server, "on the old connection");
    exchange(&mut gatehouse.secure_client(), &mut server, "the new pair");
}

#[test]
fn a_server_that_was_taken_away_gets_no_request_more_even_of_its_own_clients() {
    let (old, new) = (Origin::new(), Origin::new());
    let gatehouse = Gatehouse::publish(&[old.port()], "");
    let login = "GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n";
    let mut logged_in = gatehouse.client();
    logged_in.send(login);
    let mut server = old.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    logged_in.answer();
    gatehouse.change(&pool(&new));
    logged_in.send(login);
    assert_eq!(logged_in.expect_end(), End::Closed, "the log-in is over, and it has to notice");
    assert_eq!(server.expect_end(), End::Closed);
    let mut client = gatehouse.client();
    client.send(login);
    new.accept().head();
    old.expect_nobody();
}

#[test]
fn the_log_goes_where_the_new_file_says() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let mut client = gatehouse.client();
    client.send(ASKED);
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    client.answer();
    gatehouse.records(1);
    gatehouse.change(&(pool(&origin) + "[log]\naccess = [\"combined:./other.log\"]\n"));
    exchange(&mut client, &mut server, "noted elsewhere");
    let other = crate::rig::log_lines(&gatehouse.folder().at("other.log"), 1);
    assert!(other[0].contains("\"GET /x HTTP/1.1\" 200"), "{other:?}");
    assert_eq!(gatehouse.records(1).len(), 1);
    gatehouse.rewrite(&(pool(&origin) + "[log]\naccess = [\"json:./no/such/folder/x.log\"]\n"));
    let refused = gatehouse.reload();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.err.contains("cannot be opened"), "{}", refused.err);
}

#[test]
fn the_admin_socket_moves_and_a_second_instance_does_not_take_it() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let socket = gatehouse.folder().at("admin.sock");
    let second = format!("{}[admin]\nsocket = \"{}\"\n", pool(&origin), socket.display());
    let other = Gatehouse::start(Folder::new(), &second);
    other.expect_said("no admin socket at");
    gatehouse.change(&(pool(&origin) + "[admin]\nsocket = \"./moved.sock\"\n"));
    let gone = gatehouse.reload();
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(gone.err.contains("nobody listens at"), "{}", gone.err);
}

#[test]
fn the_service_manager_hears_of_start_reload_and_stop() {
    let folder = Folder::new();
    let manager = UnixDatagram::bind(folder.at(MANAGER)).unwrap();
    manager.set_read_timeout(Some(LIMIT)).unwrap();
    let heard = || {
        let mut message = [0; 256];
        let count = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..count]).into_owned()
    };
    let origin = Origin::new();
    let mut gatehouse = Gatehouse::start(folder, &pool(&origin));
    assert_eq!(heard(), "READY=1\n");
    gatehouse.change(&pool(&origin));
    let reloading = heard();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard(), "READY=1\n");
    gatehouse.stop();
    assert_eq!(heard(), "STOPPING=1\n");
}

//! Reloads in hard times: descriptors are short, files are away, names change under way; and what
//! waits to be sent when a connection ends.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::rig::{Folder, Gatehouse, Kind, LIMIT, Origin, Wire, free_port, until};

/// Answers every head with `length` bytes, for ever.
fn answer_all(listener: TcpListener, length: usize) {
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
                    "x".repeat(length)
                );
                let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..count]);
                    while let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                        seen.drain(..at + 4);
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
}

/// A client with a tiny window asks several times, ends its direction, and reads later.
#[test]
fn the_last_answer_of_a_slow_client_that_has_ended_its_direction_is_whole() {
    const LENGTH: usize = 15_000;
    const WINDOW_FULL: usize = 1_000;
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = origin.local_addr().unwrap().port();
    answer_all(origin, LENGTH);
    let gatehouse = Gatehouse::publish(&[port], "");
    let mut cut = Vec::new();
    for requests in 1..=40 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let to: SocketAddr = ([127, 0, 0, 1], gatehouse.http).into();
        socket.connect(&to.into()).unwrap();
        let mut client = TcpStream::from(socket);
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let asked = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".repeat(requests);
        client.write_all(asked.as_bytes()).unwrap();
        until("a full window", || {
            (client.peek(&mut [0; 2048]).unwrap_or(0) >= WINDOW_FULL).then_some(())
        });
        client.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        let _ = client.read_to_end(&mut got);
        let bodies = got.iter().filter(|&&byte| byte == b'x').count();
        if bodies != requests * LENGTH {
            cut.push((requests, requests * LENGTH - bodies));
        }
    }
    assert!(cut.is_empty(), "(requests, missing bytes): {cut:?}");
}

/// A file with one listener more, on port `more`; every request gets 410.
fn with_listener(name: &str, more: u16, origin: u16) -> String {
    format!(
        "[pool.origin]\nservers = [\"127.0.0.1:{origin}\"]\n[listener.{name}]\nport = {more}\n\
         [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\", \"{name}\"]\n\
         certificate = \"a\"\n[[site.a.rule]]\npath = \"/\"\nrefuse = 410\n"
    )
}

/// The place stays, its listener gets another name: nobody who connects is sent away.
#[test]
fn a_renamed_listener_answers_everybody() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let more = free_port();
    let file = |name: &str| with_listener(name, more, origin.port());
    gatehouse.change(&file("zero"));
    let (over, lost, answered) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let Ok(mut client) = TcpStream::connect(("127.0.0.1", more)) else {
                        lost.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    let _ = client
                        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
                    let mut got = Vec::new();
                    let _ = client.read_to_end(&mut got);
                    let well = got.starts_with(b"HTTP/1.1 410");
                    (if well { &answered } else { &lost }).fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..60 {
            gatehouse.change(&file(if number % 2 == 0 { "one" } else { "two" }));
        }
        over.store(true, Ordering::Relaxed);
    });
    let (lost, answered) = (lost.into_inner(), answered.into_inner());
    assert_eq!(lost, 0, "lost, besides {answered} answered");
}

/// A renewal that meets a passing obstacle comes into force when that has gone.
#[test]
fn a_renewed_certificate_is_tried_again_when_the_obstacle_has_gone() {
    let origin = Origin::new();
    let folder = Folder::new();
    std::fs::create_dir(folder.at("logs")).unwrap();
    let text = format!(
        "[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n[log]\naccess = [\"json:./logs/access.log\"]\n",
        origin.port()
    );
    let gatehouse = Gatehouse::start(folder, &text);
    let folder = gatehouse.folder();
    std::fs::rename(folder.at("logs"), folder.at("away")).unwrap();
    folder.certificate("a", &["a.test", "renewed.test"], Kind::Ecdsa);
    gatehouse.expect_said("changed certificates are not taken");
    std::fs::rename(folder.at("away"), folder.at("logs")).unwrap();
    gatehouse.expect_said("changed certificates are in force");
}

#[test]
fn an_admin_socket_that_moves_leaves_nothing_behind() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let tasks = || std::fs::read_dir(format!("/proc/{}/task", gatehouse.id())).unwrap().count();
    // A client that was served shows that the workers have all that they need.
    for mut client in [gatehouse.client(), gatehouse.secure_client()] {
        client.send("GET / HTTP/1.1\r\nHost: other.test\r\nConnection: close\r\n\r\n");
        client.rest();
    }
    let before = (tasks(), gatehouse.descriptors());
    let mut socket = "admin.sock".to_owned();
    for number in 0..20 {
        let next = format!("{number}.sock");
        gatehouse.rewrite(&format!(
            "[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n[admin]\nsocket = \"./{next}\"\n",
            origin.port()
        ));
        let at = gatehouse.folder().at(&socket);
        let at = at.to_str().unwrap();
        crate::rig::run(env!("CARGO_BIN_EXE_gatehouse"), ["reload", "--socket", at])
            .expect_success();
        socket = next;
    }
    until("the end of the old threads and descriptors", || {
        // Its own listener is held twice since the test began to count, or once.
        (tasks() == before.0 && gatehouse.descriptors() <= before.1 + 1).then_some(())
    });
}

/// A client that asked is in the middle of an answer when its listener gets another name.
#[test]
fn an_open_connection_outlives_the_new_name_of_its_listener() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let more = free_port();
    let file = |name: &str| with_listener(name, more, origin.port());
    gatehouse.change(&file("one"));
    let mut client = Wire::plain(TcpStream::connect(("127.0.0.1", more)).unwrap());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().status(), 410);
    gatehouse.change(&file("two"));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().status(), 410);
}

/// Later, nobody may hang at a socket without a worker.
#[test]
fn a_reload_while_descriptors_are_short_leaves_no_socket_without_a_worker() {
    let origin = Origin::new();
    let file = |count: usize| {
        format!(
            "[workers]\ncount = {count}\n[limits]\nclients_max = 1000\n\
             [pool.origin]\nservers = [\"127.0.0.1:{}\"]\n[log]\naccess = []\n\
             [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\n\
             certificate = \"a\"\n[[site.a.rule]]\npath = \"/\"\nrefuse = 410\n",
            origin.port()
        )
    };
    let mut hung = Vec::new();
    // From too few for the new worker's ring to enough for all that its accepting needs.
    for limit in (30..60).step_by(6) {
        let gatehouse = Gatehouse::start(Folder::new(), &file(1));
        gatehouse.limit_files(limit);
        gatehouse.rewrite(&file(2));
        let _ = gatehouse.reload();
        gatehouse.limit_files(20_000);
        gatehouse.change(&file(2));
        let alone = |_: &usize| {
            let mut client = TcpStream::connect(("127.0.0.1", gatehouse.http)).unwrap();
            client.set_read_timeout(Some(LIMIT)).unwrap();
            client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").unwrap();
            client.read(&mut [0; 9]).is_err()
        };
        hung.push((limit, (0..20).filter(alone).count()));
    }
    assert!(hung.iter().all(|(_, count)| *count == 0), "(limit, hung of 20): {hung:?}");
}

//! Thousands of open exchanges while the file changes again and again: nobody notices.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::rig::{End, Folder, Gatehouse, Kind, Wire, free_port};

/// Of each of the four kinds.
const OF_EACH: usize = 1000;

const RELOADS: usize = 50;

#[derive(Clone, Copy, Debug)]
enum Sort {
    Poll,
    Upload,
    Download,
    Socket,
}

const SORTS: [Sort; 4] = [Sort::Poll, Sort::Upload, Sort::Download, Sort::Socket];

/// An exchange that is half done.
struct Open {
    sort: Sort,
    client: Wire,
    server: Wire,
}

fn begin(gatehouse: &Gatehouse, origin: &TcpListener, sort: Sort) -> Open {
    let mut client = gatehouse.client();
    let head = match sort {
        Sort::Poll | Sort::Download => "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        Sort::Upload => "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8\r\n\r\nhalf",
        Sort::Socket => {
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        }
    };
    client.send(head);
    let mut server = Wire::plain(origin.accept().unwrap().0);
    server.head();
    match sort {
        Sort::Poll => {}
        Sort::Upload => server.expect("half"),
        Sort::Download => {
            server.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
            client.head();
            client.expect("half");
        }
        Sort::Socket => {
            server.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            client.head();
        }
    }
    Open { sort, client, server }
}

fn finish(Open { sort, mut client, mut server }: Open) {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
    match sort {
        Sort::Poll => server.send(OK),
        Sort::Upload => {
            client.send("over");
            server.expect("over");
            server.send(OK);
        }
        Sort::Download => {
            server.send("over");
            return client.expect("over");
        }
        Sort::Socket => {
            client.send("question");
            server.expect("question");
            server.send("answer");
            client.expect("answer");
            client.end();
            assert_eq!(server.expect_end(), End::Closed);
            server.end();
            assert_eq!(client.expect_end(), End::Closed);
            return;
        }
    }
    assert_eq!(client.answer().text(), "done");
}

/// The file of the `number`th reload: workers, listeners, pools, rules and certificates change.
fn file(number: usize, slow: u16, quick: u16, more: u16) -> String {
    let extra =
        if number % 2 == 1 { format!("[listener.more]\nport = {more}\n") } else { String::new() };
    format!(
        "{extra}[workers]\ncount = {}\n[pool.origin]\nservers = [\"127.0.0.1:{slow}\"]\nidle_max = {}\n\
         [pool.quick]\nservers = [\"127.0.0.1:{quick}\"]\n\
         [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n\
         [[site.a.rule]]\npath = \"/quick\"\npool = \"quick\"\n\
         [[site.a.rule]]\npath = \"/gone-{number}\"\nrefuse = 410\n\
         [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n[limits]\nclients_per_address_max = 20000\n",
        1 + number % 3,
        8 + number,
    )
}

/// Answers everything on every connection until the process ends.
fn answer_quickly(listener: TcpListener) {
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut server = Wire::plain(socket);
                while !server.head_or_end().is_empty() {
                    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquick";
                    if server.try_send(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Ends the asking also where the test fails.
struct Ending<'f>(&'f AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients that come new or stay, each of whose requests has to be answered; how many were.
fn ask_all_the_time(gatehouse: &Gatehouse, over: &AtomicBool, answered: &AtomicUsize) {
    const ASKED: &str = "GET /quick HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let mut staying: Option<Wire> = None;
    while !over.load(Ordering::Relaxed) {
        let mut fresh = gatehouse.secure_client();
        let mut client = staying.take().unwrap_or_else(|| gatehouse.client());
        client.send(ASKED);
        let answer = client.answer();
        assert_eq!(answer.text(), "quick");
        if answer.fields("connection").is_empty() {
            staying = Some(client);
        }
        fresh.send(ASKED);
        assert_eq!(fresh.answer().text(), "quick");
        answered.fetch_add(2, Ordering::Relaxed);
    }
}

#[test]
fn four_thousand_open_exchanges_outlive_fifty_reloads() {
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let (_, hard) = nix::sys::resource::getrlimit(limit).unwrap();
    nix::sys::resource::setrlimit(limit, hard, hard).unwrap();
    let origin = TcpListener::bind("127.0.0.1:0").unwrap();
    let quick = TcpListener::bind("127.0.0.1:0").unwrap();
    let (slow_port, more) = (origin.local_addr().unwrap().port(), free_port());
    let quick_port = quick.local_addr().unwrap().port();
    answer_quickly(quick);
    let gatehouse = Gatehouse::start(Folder::new(), &file(0, slow_port, quick_port, more));
    let mut open = Vec::new();
    for number in 0..OF_EACH * SORTS.len() {
        open.push(begin(&gatehouse, &origin, SORTS[number % SORTS.len()]));
    }
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    thread::scope(|scope| {
        let _end = Ending(&over);
        let asking: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| ask_all_the_time(&gatehouse, &over, &answered)))
            .collect();
        let mut old = gatehouse.client();
        for number in 1..=RELOADS {
            if number % 5 == 0 {
                gatehouse.folder().certificate("a", &["a.test"], Kind::Ecdsa);
            }
            gatehouse.change(&file(number, slow_port, quick_port, more));
            // A rule of this very file, on a connection from before it.
            old.send(format!("GET /gone-{number} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            let answer = old.answer();
            assert_eq!(answer.status(), 410);
            if !answer.fields("connection").is_empty() {
                // Its worker has to go.
                old = gatehouse.client();
            }
        }
        over.store(true, Ordering::Relaxed);
        for thread in asking {
            thread.join().unwrap();
        }
    });
    assert!(answered.load(Ordering::Relaxed) > RELOADS, "{answered:?} requests meanwhile");
    for exchange in open {
        finish(exchange);
    }
}

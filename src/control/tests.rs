//! A worker that panics: what becomes of it, of the others, and of the clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use crate::config;
use crate::net;

use super::{Running, Settings, start};

const FILE: &str = "[workers]\ncount = 2\n[adapter.external]\naddresses = [\"127.0.0.1\"]\n\
                    [listener.http]\nport = $port\n[site.a]\nnames = [\"a.test\"]\n\
                    listeners = [\"http\"]\n[[site.a.rule]]\npath = \"/\"\n\
                    respond = { status = 200, body = \"own\" }\n[log]\naccess = \"off\"\n";

fn running() -> (Running, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = FILE.replace("$port", &port.to_string());
    let source = move |_: &Path| Ok(text.clone().into_bytes());
    let config = config::read(Path::new("main.toml"), &source, net::wall_seconds());
    let (config, _) = config.unwrap_or_else(|complaints| panic!("{complaints}"));
    (start(config, Settings::default()).unwrap(), port)
}

struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(stream)
    }

    /// The body of the answer to a request; an error if the connection has ended.
    fn ask(&mut self) -> std::io::Result<()> {
        self.0.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nown") {
            let mut some = [0; 512];
            match self.0.read(&mut some)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => answer.extend_from_slice(&some[..count]),
            }
        }
        Ok(())
    }
}

/// Clients until both workers have some.
fn clients(running: &Running, port: u16) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..200 {
        let mut client = Client::connect(port);
        client.ask().unwrap();
        clients.push(client);
        if clients.len() > 8 && running.crew().counters().iter().all(|it| it.read().clients > 0) {
            return clients;
        }
    }
    panic!("the kernel gives all clients to one worker");
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let last = net::monotonic() + Duration::from_secs(20);
    while !holds() {
        assert!(net::monotonic() < last, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

#[test]
fn a_panic_in_a_workers_loop_is_counted_and_no_client_notices() {
    let (running, port) = running();
    let mut clients = clients(&running, port);
    running.crew().orders(0).plant(1);
    until("the panic", || running.counts().panics == 1);
    for client in &mut clients {
        client.ask().unwrap();
    }
    Client::connect(port).ask().unwrap();
    assert_eq!(running.overview().snapshot().restarts, 0);
    running.stop(|| true);
}

#[test]
fn a_worker_whose_thread_has_ended_is_replaced() {
    let (mut running, port) = running();
    let mut before = clients(&running, port);
    running.crew().orders(0).plant(2);
    until("a new worker", || {
        running.mend();
        running.overview().snapshot().restarts == 1
    });
    // Its clients hang, since the runtime does not let go of tasks that wait; the others are served.
    let mut served = 0;
    for client in &mut before {
        client.0.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        served += usize::from(client.ask().is_ok());
    }
    assert!(served > 0, "those of the other worker");
    let counts = running.counts();
    // Everybody comes to one of the two, and both have the same listening sockets as before.
    let now = clients(&running, port);
    assert!(running.counts().clients >= counts.clients + now.len() as u64);
    let workers = running.overview().snapshot().workers;
    assert_eq!((workers, running.crew().counters().len()), (2, 3));
    drop((before, now));
    until("nobody left", || {
        let counts = running.counts();
        counts.clients == counts.clients_ended
    });
    running.stop(|| true);
}

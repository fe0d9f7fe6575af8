//! A DNS server on this machine that says what the test says, over UDP and TCP.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::reply::{Reply, Rr, asked, reply};
use super::time::until;

/// Gives the messages that a question is answered with, asked over TCP or not.
pub(crate) type Script = Box<dyn FnMut(&[u8], bool) -> Vec<Vec<u8>> + Send>;

/// How often its threads look whether it is over.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    questions: AtomicUsize,
    /// Whose question was the last, over UDP and over TCP.
    clients: Mutex<[Option<IpAddr>; 2]>,
    over: AtomicBool,
}

impl NameServer {
    /// On a port that nobody has.
    pub(crate) fn new(script: Script) -> Self {
        let (datagrams, stream) = until("a port for UDP and TCP", || {
            let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
            let stream = TcpListener::bind(datagrams.local_addr().unwrap()).ok()?;
            Some((datagrams, stream))
        });
        Self::serve(datagrams, stream, script)
    }

    /// On this port.
    pub(crate) fn on(port: u16, script: Script) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], port)), script)
    }

    pub(crate) fn at(address: SocketAddr, script: Script) -> Self {
        let datagrams = UdpSocket::bind(address).unwrap();
        let stream = TcpListener::bind(address).unwrap();
        Self::serve(datagrams, stream, script)
    }

    fn serve(datagrams: UdpSocket, stream: TcpListener, script: Script) -> Self {
        let address = datagrams.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            questions: AtomicUsize::new(0),
            clients: Mutex::default(),
            over: AtomicBool::new(false),
        });
        datagrams.set_read_timeout(Some(LOOK_EVERY)).unwrap();
        stream.set_nonblocking(true).unwrap();
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            while !theirs.over.load(Ordering::Relaxed) {
                theirs.answer_one(&datagrams);
                // Looked at as often as the other waits.
                if let Ok((socket, client)) = stream.accept() {
                    theirs.clients.lock().unwrap()[1] = Some(client.ip());
                    theirs.answer_stream(socket);
                }
            }
        });
        Self { address, shared }
    }

    /// As `[resolver] servers` takes it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn say(&self, script: Script) {
        *self.shared.script.lock().unwrap() = script;
    }

    /// How often it has been asked.
    pub(crate) fn questions(&self) -> usize {
        self.shared.questions.load(Ordering::Relaxed)
    }

    /// Whose question was the last, over UDP and over TCP.
    pub(crate) fn clients(&self) -> [Option<IpAddr>; 2] {
        *self.shared.clients.lock().unwrap()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn say(&self, question: &[u8], tcp: bool) -> Vec<Vec<u8>> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        (self.script.lock().unwrap())(question, tcp)
    }

    fn answer_one(&self, datagrams: &UdpSocket) {
        let mut room = [0; 512];
        let Ok((length, client)) = datagrams.recv_from(&mut room) else { return };
        self.clients.lock().unwrap()[0] = Some(client.ip());
        for message in self.say(&room[..length], false) {
            // Whoever asked may have gone.
            let _ = datagrams.send_to(&message, client);
        }
    }

    fn answer_stream(&self, mut socket: TcpStream) {
        socket.set_nonblocking(false).unwrap();
        let mut length = [0; 2];
        if socket.read_exact(&mut length).is_err() {
            return;
        }
        let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
        socket.read_exact(&mut question).unwrap();
        for message in self.say(&question, true) {
            let length = u16::try_from(message.len()).unwrap();
            // In pieces, as networks deliver.
            for piece in [length.to_be_bytes().as_slice(), &message[..5], &message[5..]] {
                let _ = socket.write_all(piece);
            }
        }
    }
}

/// Every name is an alias of one that has these IPv4 addresses for five seconds, the least that is
/// kept to.
pub(crate) fn gives(addresses: &[[u8; 4]]) -> Script {
    let addresses = addresses.to_vec();
    Box::new(move |question, _| {
        let (name, kind) = asked(question);
        let mut records = vec![Rr::Cname(&name, 60, "box.test")];
        if kind == 1 {
            records.extend(addresses.iter().map(|address| Rr::A("box.test", 5, *address)));
        } else {
            records.push(Rr::Soa(60, 60));
        }
        vec![reply(question, &Reply { records, ..Reply::default() })]
    })
}

/// Every question is answered with this code.
pub(crate) fn fails(code: u8) -> Script {
    Box::new(move |question, _| vec![reply(question, &Reply { code, ..Reply::default() })])
}

/// Nothing is answered.
pub(crate) fn silence() -> Script {
    Box::new(|_, _| Vec::new())
}

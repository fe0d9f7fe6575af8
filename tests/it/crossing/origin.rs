//! A server that ties the user to the TCP connection, as IIS does, and says in every answer whom it
//! takes the asker for. It has bad moments, and can be restarted.

use std::collections::HashMap;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::dice::Dice;
use crate::rig::{Wire, until};

/// A server at a port that stays the same over restarts.
pub(super) struct Tying {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Connections that stand, by a number of their own.
    open: Mutex<HashMap<u64, TcpStream>>,
    next: AtomicU64,
    seed: u64,
    /// One answer in so many meets with a bad moment; 0: none.
    bad_one_in: usize,
}

impl Tying {
    pub(super) fn new(seed: u64, bad_one_in: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared { seed, bad_one_in, ..Shared::default() });
        let taking = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming() {
                if taking.over.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(socket) = socket {
                    let number = taking.next.fetch_add(1, Ordering::Relaxed);
                    let ours = socket.try_clone().unwrap();
                    taking.open.lock().unwrap().insert(number, ours);
                    let shared = Arc::clone(&taking);
                    thread::spawn(move || {
                        Seat::new(&shared, number, socket).serve();
                        shared.open.lock().unwrap().remove(&number);
                    });
                }
            }
        });
        Self { port, shared }
    }

    /// Every connection ends at once, as when its process does, and whatever it knew is gone.
    pub(super) fn restart(&self) {
        for socket in self.shared.open.lock().unwrap().values() {
            // It may just have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Waits until nobody is connected any more.
    #[track_caller]
    pub(super) fn expect_deserted(&self) {
        until("the end of all upstream connections", || {
            self.shared.open.lock().unwrap().is_empty().then_some(())
        });
    }
}

impl Drop for Tying {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        self.restart();
        // Wakes the thread that takes connections.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// What the server knows of one of its connections.
struct Seat {
    wire: Wire,
    dice: Dice,
    bad_one_in: usize,
    number: u64,
    user: Option<String>,
    /// What the third message of a log-in has to bring.
    pending: Option<String>,
    requests: u32,
}

/// What the server reads of a request.
struct Request {
    id: String,
    private: bool,
    length: usize,
    credential: Option<(String, String)>,
}

impl Request {
    fn read(head: &str) -> Self {
        let field = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut ours = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
            ours.next().map(|(_, value)| value.to_owned())
        };
        let path = head.split(' ').nth(1).unwrap_or_default();
        let credential = field("authorization");
        let credential = credential.map(|value| match value.split_once(' ') {
            Some((scheme, token)) => (scheme.to_ascii_lowercase(), token.to_owned()),
            None => (value.to_ascii_lowercase(), String::new()),
        });
        Self {
            id: field("x-id").unwrap_or_default(),
            private: path == "/private",
            length: field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0),
            credential,
        }
    }
}

/// What the server makes of a request.
enum Verdict {
    /// Answered in this name.
    As(String),
    /// Refused, with these challenges.
    Refused(String),
}

impl Seat {
    fn new(shared: &Shared, number: u64, socket: TcpStream) -> Self {
        Self {
            wire: Wire::plain(socket),
            dice: Dice::new(shared.seed << 32 | number),
            bad_one_in: shared.bad_one_in,
            number,
            user: None,
            pending: None,
            requests: 0,
        }
    }

    fn serve(mut self) {
        loop {
            let head = self.wire.head_or_end();
            if head.is_empty() {
                return;
            }
            self.requests += 1;
            let request = Request::read(&head);
            let verdict = self.judge(&request);
            // Refused bodies are read behind the answer, as HTTP.sys does; others before it.
            let early = matches!(verdict, Verdict::Refused(_)) && self.dice.one_in(2);
            if !early && self.wire.read_or_end(request.length).is_err() {
                return;
            }
            if !self.answer(&request, &verdict) {
                return;
            }
            if early && self.wire.read_or_end(request.length).is_err() {
                return;
            }
        }
    }

    /// The three messages of NTLM, Kerberos in one message, Basic for one request, or nothing.
    fn judge(&mut self, request: &Request) -> Verdict {
        let credential = request.credential.as_ref();
        match credential.map(|(scheme, token)| (scheme.as_str(), token.as_str())) {
            Some(("basic", name)) => Verdict::As(format!("basic-{name}")),
            Some(("ntlm" | "negotiate", token)) => self.log_in(token),
            _ => match &self.user {
                Some(user) => Verdict::As(user.clone()),
                None if request.private => self.refuse(),
                None => Verdict::As("anonymous".to_owned()),
            },
        }
    }

    fn log_in(&mut self, token: &str) -> Verdict {
        self.user = None;
        let pending = self.pending.take();
        let mut parts = token.split('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("first"), Some(user), None) => {
                let nonce = format!("{}-{}", self.number, self.requests);
                self.pending = Some(format!("{user}.{nonce}"));
                Verdict::Refused(format!("WWW-Authenticate: NTLM second.{nonce}\r\n"))
            }
            (Some("third"), Some(user), Some(nonce))
                if pending == Some(format!("{user}.{nonce}")) =>
            {
                self.user = Some(user.to_owned());
                Verdict::As(user.to_owned())
            }
            (Some("ticket"), Some(user), None) => {
                self.user = Some(user.to_owned());
                Verdict::As(user.to_owned())
            }
            _ => self.refuse(),
        }
    }

    fn refuse(&mut self) -> Verdict {
        let challenges = [
            "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n",
            "WWW-Authenticate: Negotiate, NTLM\r\n",
            "WWW-Authenticate: Basic realm=\"a, b\"\r\nwww-authenticate: ntlm\r\n",
        ];
        Verdict::Refused(self.dice.pick(&challenges).to_owned())
    }

    /// Whether the connection goes on.
    fn answer(&mut self, request: &Request, verdict: &Verdict) -> bool {
        let (start, fields, body) = match verdict {
            Verdict::As(name) => ("200 OK", String::new(), name.as_str()),
            Verdict::Refused(challenges) => ("401 Unauthorized", challenges.clone(), "refused"),
        };
        let bad = if self.bad_one_in > 0 { self.dice.roll(self.bad_one_in) } else { usize::MAX };
        if bad == 0 {
            // Without an answer.
            self.wire.reset_when_dropped();
            return false;
        }
        let closes = if bad == 1 { "Connection: close\r\n" } else { "" };
        let (id, count) = (&request.id, self.requests);
        let mut text =
            format!("HTTP/1.1 {start}\r\nX-Id: {id}\r\nX-Count: {count}\r\n{fields}{closes}");
        if self.dice.one_in(4) {
            text += "Transfer-Encoding: chunked\r\n\r\n";
            text += &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        } else {
            text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
        }
        if bad == 2 {
            // In the middle of it.
            text.truncate(self.dice.roll(text.len()));
            self.wire.reset_when_dropped();
        }
        // 3: behind it, without having said so.
        self.wire.try_send(text).is_ok() && !(1..=3).contains(&bad)
    }
}

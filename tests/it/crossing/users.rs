//! The clients: users who log in on their connections in every way that Windows clients have, and
//! others beside them. Each knows whom the server has to take it for.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::dice::Dice;
use crate::rig::{Wire, trusting};

/// Where a load goes, and how much of it.
pub(super) struct Target {
    pub(super) plain: u16,
    pub(super) secure: Option<u16>,
    pub(super) requests: usize,
    /// Whether that a log-in fails is wrong too, and not only that it becomes another's.
    pub(super) strict: bool,
}

/// What all clients have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) asked: AtomicUsize,
    pub(super) named: AtomicUsize,
    pub(super) log_ins: AtomicUsize,
    pub(super) tickets: AtomicUsize,
    pub(super) credential_first: AtomicUsize,
    pub(super) abandoned: AtomicUsize,
    /// TLS handshakes that were left in the middle.
    pub(super) greetings: AtomicUsize,
    pub(super) resets: AtomicUsize,
    pub(super) lost: AtomicUsize,
    pub(super) own: AtomicUsize,
    next: AtomicU64,
    /// Answers in another's name.
    pub(super) crossed: Mutex<Vec<String>>,
    /// Whatever else must not be.
    pub(super) wrong: Mutex<Vec<String>>,
}

fn count(which: &AtomicUsize) {
    which.fetch_add(1, Ordering::Relaxed);
}

/// One after the other of somebody's connections.
pub(super) struct Somebody<'s> {
    /// `None`: never logs in.
    pub(super) user: Option<String>,
    pub(super) dice: Dice,
    pub(super) target: &'s Target,
    pub(super) seen: &'s Seen,
}

/// What an answer has to be.
#[derive(Clone, Copy, Debug)]
enum Due<'d> {
    /// In this name.
    Name(&'d str),
    Refused,
}

/// The visit is over, for whatever reason.
struct Over;

struct Visit<'v, 's> {
    who: &'v mut Somebody<'s>,
    wire: Wire,
    /// Whom the server takes this connection for.
    name: String,
    answered: usize,
}

impl Somebody<'_> {
    /// Comes and goes until all that was to be asked has been.
    pub(super) fn live(&mut self) {
        while self.seen.asked.load(Ordering::Relaxed) < self.target.requests {
            let Some(wire) = self.connect() else { continue };
            let name = "anonymous".to_owned();
            let mut visit = Visit { who: self, wire, name, answered: 0 };
            // How it ends says nothing: what was wrong is noted.
            let _ = visit.go();
        }
    }

    fn connect(&mut self) -> Option<Wire> {
        let secure = self.target.secure.filter(|_| self.dice.one_in(8));
        let port = secure.unwrap_or(self.target.plain);
        let mut socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
        if secure.is_some() && self.dice.one_in(4) {
            // The beginning of a greeting, and then nothing more.
            socket.write_all(&[22, 3, 1, 2, 0, 1]).ok()?;
            count(&self.seen.greetings);
            return None;
        }
        match secure {
            Some(_) => Wire::try_secure(socket, trusting(), "a.test").ok(),
            None => Some(Wire::plain(socket)),
        }
    }
}

impl Visit<'_, '_> {
    fn go(&mut self) -> Result<(), Over> {
        let Some(user) = self.who.user.clone() else { return self.stay(8) };
        // Who has looked around before logs in on a connection that was not the first either.
        if self.roll(2) == 0 {
            self.stay(3)?;
        }
        if self.roll(3) == 0 {
            self.ask("/private", "", Due::Refused)?;
        }
        if self.roll(4) == 0 {
            count(&self.who.seen.tickets);
            self.first_of_all(&format!("Negotiate ticket.{user}"), Due::Name(&user))?;
        } else {
            self.three_messages(&user)?;
        }
        self.name.clone_from(&user);
        self.stay(12)?;
        if self.roll(6) == 0 {
            // As Windows does after a while, on the same connection.
            self.name = "anonymous".to_owned();
            self.three_messages(&user)?;
            self.name = user;
            self.stay(2)?;
        }
        self.leave();
        Ok(())
    }

    fn roll(&mut self, sides: usize) -> usize {
        self.who.dice.roll(sides)
    }

    fn three_messages(&mut self, user: &str) -> Result<(), Over> {
        let scheme = self.who.dice.pick(&["NTLM", "ntlm", "Negotiate"]);
        let head = self.first_of_all(&format!("{scheme} first.{user}"), Due::Refused)?;
        let nonce = head.split("second.").nth(1).and_then(|rest| rest.lines().next());
        let Some(nonce) = nonce.map(str::to_owned) else {
            let wrong = format!("{user} began to log in and was answered {head:?}");
            self.who.note_wrong(wrong);
            return Err(Over);
        };
        match self.roll(12) {
            // The handshake is left alone in the middle.
            0 => {
                count(&self.who.seen.abandoned);
                self.leave();
                return Err(Over);
            }
            // Whoever asks something else in between is still nobody.
            1 => {
                self.ask("/public", "", Due::Name("anonymous"))?;
            }
            _ => {}
        }
        let third = format!("{scheme} third.{user}.{nonce}");
        self.ask("/private", &third, Due::Name(user))?;
        count(&self.who.seen.log_ins);
        Ok(())
    }

    /// Shows a credential; the first request of a client that does so is the first of its upstream
    /// connection too.
    fn first_of_all(&mut self, credential: &str, due: Due<'_>) -> Result<String, Over> {
        let is_first = self.answered == 0;
        let head = self.ask("/private", credential, due)?;
        if is_first {
            count(&self.who.seen.credential_first);
            if !head.contains("\r\nX-Count: 1\r\n") {
                let wrong = format!("{credential:?} came on a used connection: {head:?}");
                self.who.note_wrong(wrong);
            }
        }
        Ok(head)
    }

    /// Asks up to so many times without a credential, or with one for that request only.
    fn stay(&mut self, most: usize) -> Result<(), Over> {
        for _ in 0..=self.roll(most) {
            let name = self.name.clone();
            match self.roll(16) {
                0 => {
                    count(&self.who.seen.resets);
                    self.send(&[("/public", "", 0)])?;
                    self.wire.reset_when_dropped();
                    return Err(Over);
                }
                1 if self.who.user.is_none() => {
                    let basic = format!("Basic {}", self.roll(100));
                    let due = format!("basic-{}", &basic[6..]);
                    self.ask("/public", &basic, Due::Name(&due))?;
                }
                2 => {
                    let ids = self.send(&[("/public", "", 0), ("/public", "", 9)])?;
                    for id in ids {
                        self.answer(&id, Due::Name(&name))?;
                    }
                }
                3 if name == "anonymous" && self.who.user.is_none() => {
                    self.ask("/private", "", Due::Refused)?;
                }
                _ => {
                    let path = if name == "anonymous" { "/public" } else { "/private" };
                    self.ask(path, "", Due::Name(&name))?;
                }
            }
        }
        Ok(())
    }

    fn leave(&mut self) {
        if self.roll(3) == 0 {
            self.wire.reset_when_dropped();
        }
    }

    fn ask(&mut self, path: &str, credential: &str, due: Due<'_>) -> Result<String, Over> {
        // As Windows clients do, the first message of a log-in that is a POST has no body yet.
        let length = match self.roll(4) {
            0 if !credential.contains("first.") => 1 + self.roll(3000),
            _ => 0,
        };
        let ids = self.send(&[(path, credential, length)])?;
        let id = ids.first().cloned().unwrap_or_default();
        self.answer(&id, due)
    }

    /// Sends requests in one piece; their numbers.
    fn send(&mut self, requests: &[(&str, &str, usize)]) -> Result<Vec<String>, Over> {
        let (mut all, mut ids) = (String::new(), Vec::new());
        for (path, credential, length) in requests {
            count(&self.who.seen.asked);
            let id = self.who.seen.next.fetch_add(1, Ordering::Relaxed).to_string();
            let method = if *length > 0 || credential.contains("first.") { "POST" } else { "GET" };
            all += &format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\nX-Id: {id}\r\n");
            if !credential.is_empty() {
                all += &format!("Authorization: {credential}\r\n");
            }
            if method == "POST" {
                all += &format!("Content-Length: {length}\r\n");
            }
            all += "\r\n";
            all += &"b".repeat(*length);
            ids.push(id);
        }
        self.wire.try_send(all).map_err(|_| self.lost())?;
        Ok(ids)
    }

    fn lost(&self) -> Over {
        count(&self.who.seen.lost);
        Over
    }

    /// Reads the answer to request `id`, which is due to be `due`.
    fn answer(&mut self, id: &str, due: Due<'_>) -> Result<String, Over> {
        let head = self.wire.head_or_end();
        if head.is_empty() {
            return Err(self.lost());
        }
        let field = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            let mut ours = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
            ours.next().map(|(_, value)| value.to_owned())
        };
        let length = field("content-length").and_then(|text| text.parse().ok());
        let body = match length {
            Some(length) => self.wire.read_or_end(length).map_err(|_| self.lost())?,
            None => self.chunks()?,
        };
        let body = String::from_utf8_lossy(&body).into_owned();
        let status = head.get(9..12).unwrap_or_default();
        match (field("x-id"), due) {
            // Of the proxy itself: it has no server for this one.
            (None, _) if status.starts_with('5') => {
                count(&self.who.seen.own);
                return Err(Over);
            }
            (Some(answered), Due::Name(name))
                if answered == id && status == "200" && body == name =>
            {
                count(&self.who.seen.named);
            }
            (Some(answered), Due::Refused) if answered == id && status == "401" => {}
            (_, due) => {
                let wrong = format!("{due:?} was due to {id}, but came {status} {body:?}: {head}");
                self.note(&body, due, wrong);
                return Err(Over);
            }
        }
        self.answered += 1;
        let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        // The last answer of a connection counts too, and then nothing more can be asked.
        if closes { Err(Over) } else { Ok(head) }
    }

    fn note(&self, body: &str, due: Due<'_>, wrong: String) {
        let names_another = body != "refused" && !matches!(due, Due::Name(name) if name == body);
        let to = if names_another { &self.who.seen.crossed } else { &self.who.seen.wrong };
        if names_another || self.who.target.strict {
            to.lock().unwrap().push(wrong);
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>, Over> {
        let mut body = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(self.wire.read_or_end(1).map_err(|_| self.lost())?);
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            let Ok(size) = usize::from_str_radix(line.trim_end(), 16) else {
                self.who.note_wrong(format!("a chunk of size {line:?}"));
                return Err(Over);
            };
            let piece = self.wire.read_or_end(size + 2).map_err(|_| self.lost())?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&piece[..size]);
        }
    }
}

impl Somebody<'_> {
    fn note_wrong(&self, wrong: String) {
        if self.target.strict {
            self.seen.wrong.lock().unwrap().push(wrong);
        }
    }
}

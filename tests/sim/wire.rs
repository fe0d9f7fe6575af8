//! The scripts' own end of a connection: reads what the proxy says as strictly as it can.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use gatehouse::net::Socket;

use super::machine::SimSocket;
use super::network::Connection;
use super::world::{MS, World};

/// Which of two stories ended first.
pub(crate) enum First<A, B> {
    Left(A),
    Right(B),
}

/// Runs both until one has ended.
pub(crate) async fn first<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> First<A, B> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|cx| {
        if let Poll::Ready(value) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}

/// Runs both to their ends.
pub(crate) async fn both<A, B>(
    left: impl Future<Output = A>,
    right: impl Future<Output = B>,
) -> (A, B) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut one, mut other) = (None, None);
    poll_fn(|cx| {
        if one.is_none()
            && let Poll::Ready(value) = left.as_mut().poll(cx)
        {
            one = Some(value);
        }
        if other.is_none()
            && let Poll::Ready(value) = right.as_mut().poll(cx)
        {
            other = Some(value);
        }
        match (one.take(), other.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (left, right) => {
                (one, other) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}

/// Why no more could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The other side ended its direction, or the connection broke; whichever, what was due did
    /// not come.
    Ended { politely: bool },
    /// What came is no HTTP.
    Nonsense(String),
}

/// The head of a message.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) start: String,
    fields: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.field(name)?.parse().ok()
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// How the end of the body is found; `None` if the fields do not say.
    pub(crate) fn framing(&self) -> Option<Framing> {
        let chunked = self.field("transfer-encoding").map(|value| value == "chunked");
        match (chunked, self.number("content-length")) {
            (Some(true), None) => Some(Framing::Chunked),
            (None, Some(length)) => Some(Framing::Length(length)),
            _ => None,
        }
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// The writing side.
#[derive(Clone)]
pub(crate) struct Pen {
    socket: Rc<SimSocket>,
    world: Rc<World>,
    /// The longest pause between two pieces.
    pub(crate) pause: u64,
}

impl Pen {
    /// Gives all of `bytes`, in pieces and with pauses.
    pub(crate) async fn give(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.pause > 0 && self.world.one_in(4) {
                self.world.sleep(1 + self.world.up_to(self.pause)).await;
            }
            let piece = match self.world.roll(3) {
                0 => 1 + self.world.roll(bytes.len()),
                _ => bytes.len(),
            };
            match self.socket.send(&bytes[..piece]) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.socket.poll_writable(cx)).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says that nothing follows.
    pub(crate) fn end(&self) {
        self.socket.shutdown(std::net::Shutdown::Write);
    }

    /// The connection is reset when it is dropped.
    pub(crate) fn reset(&self) {
        self.socket.reset_on_close();
    }
}

/// The reading side.
pub(crate) struct Wire {
    pub(crate) pen: Pen,
    socket: Rc<SimSocket>,
    world: Rc<World>,
    pub(crate) inbox: Vec<u8>,
    /// The longest pause before it reads on.
    pub(crate) pause: u64,
}

impl Wire {
    pub(crate) fn new(world: &Rc<World>, socket: SimSocket) -> Self {
        let socket = Rc::new(socket);
        let pause = world.pick(&[0, 0, 0, 5 * MS, 200 * MS]);
        let pen = Pen { socket: Rc::clone(&socket), world: Rc::clone(world), pause };
        let pause = world.pick(&[0, 0, 0, 5 * MS, 100 * MS]);
        Self { pen, socket, world: Rc::clone(world), inbox: Vec::new(), pause }
    }

    pub(crate) fn id(&self) -> u32 {
        self.socket.id()
    }

    pub(crate) fn connection(&self) -> Rc<Connection> {
        Rc::clone(&self.socket.link.pipe.connection)
    }

    /// Takes more; an error if there is no more.
    pub(crate) async fn more(&mut self) -> Result<(), Stop> {
        if self.pause > 0 && self.world.one_in(4) {
            self.world.sleep(1 + self.world.up_to(self.pause)).await;
        }
        let mut piece = [0; 4096];
        loop {
            match self.socket.recv(&mut piece) {
                // An error is told once, and the writing side may have been the one.
                Ok(0) => {
                    let held = &self.socket.link.pipe;
                    let politely = !held.connection.is_broken(held.side);
                    return Err(Stop::Ended { politely });
                }
                Ok(count) => {
                    self.inbox.extend_from_slice(&piece[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    poll_fn(|cx| self.socket.poll_readable(cx)).await;
                }
                Err(_) => return Err(Stop::Ended { politely: false }),
            }
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<String, Stop> {
        let mut seen = 0;
        loop {
            let end = self.inbox[seen..].windows(2).position(|pair| pair == b"\r\n");
            if let Some(end) = end.map(|end| end + seen) {
                let line: Vec<u8> = self.inbox.drain(..end + 2).take(end).collect();
                if line.iter().any(|byte| !(b' '..=b'~').contains(byte)) {
                    return Err(Stop::Nonsense(format!("a line {line:?}")));
                }
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            seen = self.inbox.len().saturating_sub(1);
            if seen > 64 * 1024 {
                return Err(Stop::Nonsense("a line without an end".to_owned()));
            }
            self.more().await?;
        }
    }

    /// The next head.
    pub(crate) async fn head(&mut self) -> Result<Head, Stop> {
        let start = self.line().await?;
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(Head { start, fields });
            }
            let Some((name, value)) = line.split_once(": ") else {
                return Err(Stop::Nonsense(format!("a field {line:?}")));
            };
            fields.push((name.to_owned(), value.to_owned()));
        }
    }

    async fn exactly(&mut self, count: usize, body: &mut Vec<u8>) -> Result<(), Stop> {
        let wanted = body.len() + count;
        loop {
            let here = (wanted - body.len()).min(self.inbox.len());
            body.extend(self.inbox.drain(..here));
            if body.len() == wanted {
                return Ok(());
            }
            self.more().await?;
        }
    }

    /// The body; what came of it is in `body` also if the end did not.
    pub(crate) async fn body(&mut self, framing: Framing, body: &mut Vec<u8>) -> Result<(), Stop> {
        match framing {
            Framing::Length(length) => self.exactly(length, body).await,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let Ok(size) = usize::from_str_radix(&line, 16) else {
                    return Err(Stop::Nonsense(format!("a chunk of size {line:?}")));
                };
                if size == 0 {
                    let end = self.line().await?;
                    if end.is_empty() {
                        return Ok(());
                    }
                    return Err(Stop::Nonsense(format!("a trailer {end:?}")));
                }
                self.exactly(size, body).await?;
                let end = self.line().await?;
                if !end.is_empty() {
                    return Err(Stop::Nonsense("a chunk without an end".to_owned()));
                }
            },
            Framing::UntilClose => loop {
                body.append(&mut self.inbox);
                match self.more().await {
                    Ok(()) => {}
                    Err(Stop::Ended { politely: true }) => return Ok(()),
                    Err(stop) => return Err(stop),
                }
            },
        }
    }
}

/// Byte number `at` of the body that belongs to `id`; `salt` tells requests from answers.
fn byte(id: u32, salt: u64, at: usize) -> u8 {
    let mixed =
        (at as u64 ^ (u64::from(id) << 32) ^ (salt << 24)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8 ^ (mixed >> 33) as u8
}

/// The body that belongs to `id`.
pub(crate) fn body_of(id: u32, salt: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| byte(id, salt, at)).collect()
}

/// Whether `body` is what belongs to `id`, or the beginning of it.
pub(crate) fn is_of(body: &[u8], id: u32, salt: u64) -> bool {
    body.iter().enumerate().all(|(at, found)| *found == byte(id, salt, at))
}

/// `body` in chunks of any size.
pub(crate) fn chunks(world: &World, mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 64);
    while !body.is_empty() {
        let size = 1 + world.roll(body.len());
        let (chunk, rest) = body.split_at(size);
        out.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
        body = rest;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// What the salt of a request's body is.
pub(crate) const OF_REQUEST: u64 = 1;
/// What the salt of an answer's body is.
pub(crate) const OF_ANSWER: u64 = 2;

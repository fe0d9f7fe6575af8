//! One look at a server on behalf of a probe: the same way that an exchange takes, from the adapter
//! to the head of an answer, without a client.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use crate::exchange::{Failure, UpstreamFault};
use crate::http::{Method, Parsed, ResponseTo, Slots, parse_response};
use crate::net::{Block, Machine, Moment, Socket};
use crate::pool::health::Trouble;
use crate::pool::settings::{Ask, ServerName};
use crate::site::host::without_port;

use super::alarm::{Alarm, Alarms, Which};
use super::answer::LIMITS;
use super::live::{LivePool, LiveServer};
use super::obtain::dial_failure;
use super::stream::{Broken, Stream, Took};

/// Who looks at servers, on a thread of its own.
#[derive(Debug)]
pub struct Visitor<M> {
    machine: M,
    alarms: Rc<Alarms>,
}

/// Why a server is not well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In a word.
    pub trouble: Trouble,
    /// What the library says about it; may be empty.
    pub detail: String,
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        Self { trouble, detail: String::new() }
    }
}

/// How far a visit has come when its time is over.
struct Visit<'v, S> {
    stream: Stream<S>,
    alarm: &'v Alarm,
    patience: Duration,
}

impl<M: Machine> Visitor<M> {
    /// A visitor on this machine.
    #[must_use]
    pub fn new(machine: M) -> Self {
        let alarms = Rc::new(Alarms::default());
        alarms.tick(machine.now());
        Self { machine, alarms }
    }

    /// To be called about every [`crate::net::Ticks::LENGTH`].
    pub fn tick(&self, now: Moment) {
        self.alarms.tick(now);
    }

    /// Does to the server at place `server` of `pool` what `ask` says, within `timeout`. False if it
    /// could not be looked at because this box has no descriptors or ports left.
    ///
    /// # Errors
    /// What is wrong with the server.
    pub async fn visit(
        &self,
        (pool, server): (&LivePool, usize),
        ask: &Ask,
        timeout: Duration,
    ) -> Result<bool, Refusal> {
        let Some(server) = pool.servers.get(server) else { return Ok(false) };
        let alarm = self.alarms.open();
        alarm.set(Which::Upstream, timeout);
        let Some(socket) = self.connect(server, ask, &alarm).await? else { return Ok(false) };
        let tls = server.tls.as_ref().filter(|_| !matches!(ask, Ask::Tcp(_)));
        let host = host(pool, server, ask);
        let stream = match tls {
            None => Stream::plain(socket),
            Some(tls) => {
                let asked = String::from_utf8_lossy(without_port(host.as_bytes()));
                let name = tls.name.as_deref().unwrap_or(&asked);
                let session =
                    tls.connector.connect(name).map_err(|fault| handshake(fault.to_string()))?;
                let stream = Stream::secure(socket, session);
                stream.handshake(None, &alarm, Which::Upstream).await.map_err(
                    |broken| match broken {
                        Broken::TimedOut => Trouble::ConnectTimedOut.into(),
                        Broken::Socket(error) => handshake(tls.connector.explain_end(&error)),
                        Broken::Tls(fault) => handshake(tls.connector.explain(&fault)),
                    },
                )?;
                stream
            }
        };
        let visit = Visit { stream, alarm: &alarm, patience: timeout };
        let answered = match ask {
            Ask::Http { path, expect, .. } => visit.ask(path, &host, *expect).await,
            Ask::Connection | Ask::Tcp(_) => Ok(()),
        };
        visit.stream.end();
        answered.map(|()| true)
    }

    async fn connect(
        &self,
        server: &LiveServer,
        ask: &Ask,
        alarm: &Alarm,
    ) -> Result<Option<M::Socket>, Refusal> {
        let mut dial = server.dial.clone();
        if let Ask::Tcp(port) = ask {
            dial.to = SocketAddr::new(dial.to.ip(), *port);
        }
        let judged = |error: &io::Error| {
            let trouble = match dial_failure(error) {
                Failure::Upstream(UpstreamFault::Refused) => Trouble::Refused,
                Failure::Upstream(UpstreamFault::SlowConnect) => Trouble::ConnectTimedOut,
                Failure::Upstream(_) => Trouble::Unreachable,
                // What this box lacks says nothing about the server.
                Failure::Proxy(_) | Failure::Client(_) => return Ok(None),
            };
            Err(Refusal { trouble, detail: error.to_string() })
        };
        let socket = match self.machine.dial(&dial) {
            Ok(socket) => socket,
            Err(error) => return judged(&error),
        };
        let connected = alarm.until(Which::Upstream, |cx| socket.poll_writable(cx)).await;
        connected.map_err(|_| Trouble::ConnectTimedOut)?;
        match socket.connect_result() {
            Ok(()) => Ok(Some(socket)),
            Err(error) => judged(&error),
        }
    }
}

fn handshake(detail: String) -> Refusal {
    Refusal { trouble: Trouble::Handshake, detail }
}

/// The Host of the request: as the file says, else the name that is verified, else the server's own.
fn host(pool: &LivePool, server: &LiveServer, ask: &Ask) -> String {
    let named = pool.settings.tls.as_ref().map(|tls| &tls.server_name);
    match (ask, named) {
        (Ask::Http { host: Some(host), .. }, _) => host.clone(),
        (_, Some(ServerName::Fixed(name))) => name.clone(),
        _ => server.name.clone(),
    }
}

impl<S: Socket> Visit<'_, S> {
    /// Sends GET, and judges the head of the final answer.
    async fn ask(&self, path: &str, host: &str, expect: u16) -> Result<(), Refusal> {
        // Without Accept: Lync's autodiscover answers 200 to that only.
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gatehouse-probe\r\nConnection: close\r\n\r\n"
        );
        let patience = (Which::Upstream, self.patience);
        self.stream
            .give_all(request.as_bytes(), self.alarm, patience, None)
            .await
            .map_err(broken)?;
        let mut inbox = Block::small();
        loop {
            while let Some(status) = next_head(&mut inbox)? {
                match status {
                    100..200 => {}
                    status if status == expect => return Ok(()),
                    status => return Err(Trouble::Status(status).into()),
                }
            }
            let readable = |cx: &mut std::task::Context<'_>| self.stream.poll_readable(cx);
            let waited = self.alarm.until(Which::Upstream, readable).await;
            waited.map_err(|_| Trouble::HeadTimedOut)?;
            if inbox.room_left() == 0 {
                // Bounded: the parser refuses a head past its limit.
                inbox.reserve(inbox.len());
            }
            let room = inbox.room_left();
            if self.stream.take(&mut inbox, room).map_err(broken)? == Took::End {
                return Err(Trouble::Closed.into());
            }
        }
    }
}

fn broken(broken: Broken) -> Refusal {
    match broken {
        Broken::TimedOut => Trouble::HeadTimedOut.into(),
        Broken::Socket(error) => Refusal { trouble: Trouble::Closed, detail: error.to_string() },
        Broken::Tls(fault) => handshake(fault.to_string()),
    }
}

/// The status of the head that `inbox` begins with, which is consumed; `None` if it is not whole.
fn next_head(inbox: &mut Block) -> Result<Option<u16>, Refusal> {
    if inbox.is_empty() {
        return Ok(None);
    }
    let mut slots = Slots::new();
    let to = ResponseTo { method: Method::Get, upgrade_sent: false };
    let (status, bytes) = match parse_response(inbox.filled(), &mut slots, &LIMITS, to) {
        Ok(Parsed::NeedMore) => return Ok(None),
        Ok(Parsed::Complete(head)) => (head.status, head.bytes),
        Err(why) => {
            return Err(Refusal { trouble: Trouble::NotHttp, detail: why.word().to_owned() });
        }
    };
    inbox.consume(bytes);
    Ok(Some(status))
}

//! A connection to a server for the doctor's questions: it leaves as upstream connections do, and
//! everything on it has a deadline and a bound, whoever is at the other end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::net::{self, Dial, Moment};
use crate::tls::{Connector, Session, TlsFault};

/// How long each question may take.
pub(super) const STEP: Duration = Duration::from_secs(5);

/// And each that is asked of somebody who has not answered the one before.
pub(super) const STEP_AGAIN: Duration = Duration::from_secs(2);

/// How often whoever waits looks whether the process is to end.
const LOOK_EVERY_MS: u16 = 50;

/// A server that says more than this to one question is not listened to.
const BYTES_MAX: usize = 256 * 1024;

/// How long somebody waits, and who may call him away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience<'p> {
    pub(super) until: Moment,
    pub(super) stop: &'p AtomicBool,
}

impl<'p> Patience<'p> {
    /// For one question, within `whole`.
    pub(super) fn step(whole: Patience<'p>, length: Duration) -> Self {
        Self { until: whole.until.min(net::monotonic() + length), stop: whole.stop }
    }

    pub(super) fn for_the_next(length: Duration, stop: &'p AtomicBool) -> Self {
        Self { until: net::monotonic() + length, stop }
    }

    pub(super) fn is_over(self) -> bool {
        net::monotonic() >= self.until || self.stop.load(Ordering::Acquire)
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Line<'p> {
    stream: TcpStream,
    patience: Patience<'p>,
    taken: usize,
}

impl<'p> Line<'p> {
    /// Connects.
    ///
    /// # Errors
    /// What the kernel says; `TimedOut` when the time is over.
    pub(super) fn open(dial: &Dial, patience: Patience<'p>) -> io::Result<Self> {
        let line = Self { stream: net::open_stream(dial)?, patience, taken: 0 };
        line.wait(PollFlags::POLLOUT)?;
        match line.stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(line),
        }
    }

    fn wait(&self, what: PollFlags) -> io::Result<()> {
        while !self.patience.is_over() {
            let mut waits = [PollFd::new(self.stream.as_fd(), what)];
            let ready = poll(&mut waits, PollTimeout::from(LOOK_EVERY_MS))?;
            if ready > 0 {
                return Ok(());
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    pub(super) fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLOUT)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends what comes next; 0 is the end.
    pub(super) fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let mut room = [0; 8192];
        loop {
            match self.stream.read(&mut room) {
                Ok(count) => {
                    self.taken += count;
                    if self.taken > BYTES_MAX {
                        return Err(io::Error::other("it says too much"));
                    }
                    into.extend_from_slice(room.get(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(PollFlags::POLLIN)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Why there is no TLS on a line.
#[derive(Debug)]
pub(super) enum NoTls {
    /// The handshake is refused by either side, for this reason.
    Refused(String),
    /// Nothing more came in time.
    Silent,
    /// The connection ended, or broke.
    Ended,
}

impl From<TlsFault> for NoTls {
    fn from(fault: TlsFault) -> Self {
        Self::Refused(fault.to_string())
    }
}

impl From<io::Error> for NoTls {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Ended,
        }
    }
}

/// What is said and heard, with TLS or without.
pub(super) enum Talk<'p> {
    Plain(Line<'p>),
    Secure(Box<Secure<'p>>),
}

/// A line with TLS.
pub(super) struct Secure<'p> {
    line: Line<'p>,
    session: Session,
    sealed: Vec<u8>,
    plain: Vec<u8>,
}

impl<'p> Secure<'p> {
    /// Shakes hands.
    ///
    /// # Errors
    /// Why there is no TLS.
    pub(super) fn open(line: Line<'p>, connector: &Connector, name: &str) -> Result<Self, NoTls> {
        let session = connector.connect(name)?;
        let mut secure = Self { line, session, sealed: Vec::new(), plain: Vec::new() };
        secure.work()?;
        while !secure.session.is_established() {
            secure.hear()?;
        }
        Ok(secure)
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.session.is_resumed()
    }

    /// Works off what has come, and sends what is owed for it.
    fn work(&mut self) -> Result<(), NoTls> {
        let (mut output, plain) = (Vec::new(), &mut self.plain);
        let take = |bytes: &[u8]| plain.extend_from_slice(bytes);
        let received = self.session.receive(&mut self.sealed, take, &mut output);
        // The alert that explains it; a server that has gone does not want to know.
        let sent = self.line.send(&output);
        let received = received?;
        self.sealed.drain(..received.used.min(self.sealed.len()));
        Ok(sent?)
    }

    fn hear(&mut self) -> Result<usize, NoTls> {
        let count = self.line.receive(&mut self.sealed)?;
        if count == 0 {
            return Err(NoTls::Ended);
        }
        self.work()?;
        Ok(count)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), NoTls> {
        let mut sealed = vec![0; bytes.len() + 4 * crate::tls::SEALED_EXTRA_BYTES + 512];
        let count = self.session.seal(&mut self.sealed, bytes, &mut sealed)?;
        Ok(self.line.send(sealed.get(..count).unwrap_or_default())?)
    }
}

impl Talk<'_> {
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), NoTls> {
        match self {
            Self::Plain(line) => Ok(line.send(bytes)?),
            Self::Secure(secure) => secure.send(bytes),
        }
    }

    /// Appends what comes next.
    ///
    /// # Errors
    /// Nothing more comes.
    pub(super) fn receive(&mut self, into: &mut Vec<u8>) -> Result<(), NoTls> {
        match self {
            Self::Plain(line) => match line.receive(into)? {
                0 => Err(NoTls::Ended),
                _ => Ok(()),
            },
            Self::Secure(secure) => {
                while secure.plain.is_empty() {
                    if secure.session.is_ended() {
                        return Err(NoTls::Ended);
                    }
                    secure.hear()?;
                }
                into.append(&mut secure.plain);
                Ok(())
            }
        }
    }
}

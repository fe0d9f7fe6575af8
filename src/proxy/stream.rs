//! A connection's bytes, plain or inside TLS.
//!
//! Taking and giving never wait and hold no borrow over a wait, so that both directions of a
//! connection may be at work side by side. Ciphertext lies in lent blocks only while it is under
//! way: an idle stream owns its socket and its keys.

use std::cell::RefCell;
use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::net::{BULK_BYTES, Block, Reserved, SMALL_BYTES, Socket};
use crate::tls::{OldSuite, Received, SEALED_EXTRA_BYTES, Session, TlsFault};

use super::alarm::{Alarm, TimedOut, Which};
use super::pace::Pace;

/// Plaintext bytes of a full TLS record.
const RECORD_BYTES: usize = 16 * 1024;

/// Type, version and length of a TLS record (RFC 8446 section 5.1).
const HEADER_BYTES: usize = 5;

/// Reads at once of what an idle peer says unasked; one that says more is not idle.
const UNASKED_READS_MAX: usize = 4;

/// Memory that a session takes up beside blocks. Measured: an idle client costs 8 KiB with TLS and 4
/// without.
const SESSION_BYTES: u32 = 4 * 1024;

/// What taking found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// This many bytes were appended.
    Bytes(usize),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End,
}

/// Why a stream cannot be used any more.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection's own error.
    Socket(io::Error),
    /// Its TLS.
    Tls(TlsFault),
    /// A deadline passed.
    TimedOut,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<TlsFault> for Broken {
    fn from(fault: TlsFault) -> Self {
        Self::Tls(fault)
    }
}

impl From<TimedOut> for Broken {
    fn from(_: TimedOut) -> Self {
        Self::TimedOut
    }
}

#[derive(Debug)]
pub(super) struct Stream<S> {
    socket: S,
    tls: Option<Box<RefCell<Tls>>>,
}

#[derive(Debug)]
struct Tls {
    session: Session,
    /// Ciphertext that came and is no whole record yet.
    incoming: Option<Block>,
    /// Ciphertext that the kernel has not taken yet.
    outgoing: Option<Block>,
    /// Plaintext that came together with the end of the handshake.
    early: Option<Block>,
    /// Counts what the session takes up beside blocks.
    _room: Reserved,
}

impl<S: Socket> Stream<S> {
    pub(super) fn plain(socket: S) -> Self {
        Self { socket, tls: None }
    }

    /// A stream whose session has still to shake hands.
    pub(super) fn secure(socket: S, session: Session) -> Self {
        let _room = Reserved::new(SESSION_BYTES);
        let tls = Tls { session, incoming: None, outgoing: None, early: None, _room };
        Self { socket, tls: Some(Box::new(RefCell::new(tls))) }
    }

    pub(super) fn socket(&self) -> &S {
        &self.socket
    }

    /// Shakes hands; `first` is what has been read already.
    pub(super) async fn handshake(
        &self,
        first: Option<Block>,
        alarm: &Alarm,
        which: Which,
    ) -> Result<(), Broken> {
        let Some(tls) = &self.tls else { return Ok(()) };
        tls.borrow_mut().incoming = first;
        let mut early = Block::small();
        loop {
            let worked = tls.borrow_mut().work_off(&mut early);
            // The answer goes out even if it is an alert; why there is one matters more than
            // whether the peer takes it.
            let flushed = self.flush_all(alarm, which).await;
            worked?;
            flushed?;
            if tls.borrow().session.is_established() {
                break;
            }
            alarm.until(which, |cx| self.socket.poll_readable(cx)).await?;
            if tls.borrow_mut().read(&self.socket, SMALL_BYTES)? == Took::End {
                return Err(Broken::Socket(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        if !early.is_empty() {
            tls.borrow_mut().early = Some(early);
        }
        Ok(())
    }

    /// Whether the handshake took up an earlier session.
    pub(super) fn is_resumed(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().session.is_resumed())
    }

    /// The cipher suite, if it is one of old Windows.
    pub(super) fn old_suite(&self) -> Option<OldSuite> {
        self.tls.as_ref().and_then(|tls| tls.borrow().session.old_suite())
    }

    /// Whether the peer wanted a second handshake, which it did not get.
    pub(super) fn has_asked_again(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.borrow().session.has_asked_again())
    }

    /// Appends what is there to `into`: at most `most` bytes, for which there must be room.
    pub(super) fn take(&self, into: &mut Block, most: usize) -> Result<Took, Broken> {
        let Some(tls) = &self.tls else {
            // Nothing read into no room would look like the end.
            assert!(most > 0, "a reader brings room");
            let room = into.room().get_mut(..most).unwrap_or_default();
            return match self.socket.recv(room) {
                Ok(0) => Ok(Took::End),
                Ok(count) => {
                    into.add(count);
                    Ok(Took::Bytes(count))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Took::Nothing),
                Err(error) => Err(error.into()),
            };
        };
        let took = tls.borrow_mut().take(&self.socket, into, most);
        // What the session had to answer goes out now; if the kernel does not take it, the next
        // writer takes it along.
        let flushed = tls.borrow_mut().flush(&self.socket);
        let took = took?;
        flushed?;
        Ok(took)
    }

    /// Ready when a `take` would find something.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.tls {
            // What has come already is not announced by the socket again.
            Some(tls) if tls.borrow().has_news() => Poll::Ready(()),
            _ => self.socket.poll_readable(cx),
        }
    }

    /// Ready when an idle peer has said something to us, or has ended. Records of TLS that carry nothing
    /// for us, as tickets and changes of keys do, come when the peer likes (RFC 8446 section 4.6) and
    /// are worked off.
    pub(super) fn poll_spoken(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.hears(|| self.socket.poll_readable(cx).is_ready()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// The same, asked of the kernel; also when it has begun to say something, since nobody knows yet
    /// to which request that will seem to be the answer. Costs a system call.
    pub(super) fn has_spoken(&self) -> bool {
        self.hears(|| self.socket.has_news()) || self.holds_bytes()
    }

    fn hears(&self, mut has_come: impl FnMut() -> bool) -> bool {
        let Some(tls) = &self.tls else { return has_come() };
        let mut tls = tls.borrow_mut();
        for _ in 0..UNASKED_READS_MAX {
            if tls.has_news() {
                return true;
            }
            if !has_come() {
                return false;
            }
            let took = tls.take(&self.socket, &mut Block::small(), SMALL_BYTES);
            // What the session has to answer goes out now, or before the next request.
            if !matches!(took, Ok(Took::Nothing)) || tls.flush(&self.socket).is_err() {
                return true;
            }
        }
        true
    }

    /// Whether the peer said that it ended; over TLS a connection that just ends was cut.
    pub(super) fn ended_properly(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| tls.borrow().session.is_ended())
    }

    /// Whether bytes were read that no `take` has delivered.
    pub(super) fn holds_bytes(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| {
            let tls = tls.borrow();
            tls.early.is_some() || tls.incoming.is_some()
        })
    }

    /// Takes `message`, after which this side has nothing to say until the peer has spoken, to leave at
    /// the end of the turn. A long one is left to be [given](Stream::give_all): then this is false.
    pub(super) fn post(&self, message: &mut Block) -> Result<bool, Broken> {
        if message.len() > RECORD_BYTES || self.socket.holds_posted() {
            return Ok(false);
        }
        let message = std::mem::replace(message, Block::none());
        let Some(tls) = &self.tls else {
            self.socket.post(message);
            return Ok(true);
        };
        let mut tls = tls.borrow_mut();
        tls.seal(Some(message.filled()))?;
        if let Some(sealed) = tls.outgoing.take() {
            self.socket.post(sealed);
        }
        Ok(true)
    }

    /// Waits until what was posted has gone, since what follows may be the end of the connection.
    pub(super) async fn settle(
        &self,
        alarm: &Alarm,
        (which, patience): (Which, Duration),
    ) -> Result<(), Broken> {
        while self.socket.holds_posted() {
            match self.socket.send(&[]) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            alarm.set(which, patience);
            alarm.until(which, |cx| self.socket.poll_writable(cx)).await?;
        }
        Ok(())
    }

    /// Gives all of `bytes`. The peer has `patience` to take some, each time anew; the deadline is
    /// touched only if it does not take all at once. Where the `pace` of a client is judged, one who
    /// takes some of what the kernel holds is not silent, though the kernel may ask for more only when
    /// much of that has gone.
    pub(super) async fn give_all(
        &self,
        mut bytes: &[u8],
        alarm: &Alarm,
        (which, patience): (Which, Duration),
        pace: Option<&Pace>,
    ) -> Result<(), Broken> {
        if let Some(pace) = pace {
            pace.add(bytes.len());
        }
        let mut at_once = true;
        loop {
            let given = self.give(bytes)?;
            bytes = bytes.get(given..).unwrap_or_default();
            if bytes.is_empty() && self.flush()? {
                break;
            }
            if given > 0 && !bytes.is_empty() {
                continue;
            }
            if let Some(pace) = pace {
                self.until_taken(bytes.len(), alarm, (which, patience), pace).await?;
            } else {
                alarm.set(which, patience);
                alarm.until(which, |cx| self.socket.poll_writable(cx)).await?;
            }
            at_once = false;
        }
        if let (Some(pace), true) = (pace, at_once)
            && pace.may_grow()
        {
            pace.grow(self.socket.unsent());
        }
        Ok(())
    }

    /// Waits until the client takes more than the `left` bytes that were not given yet.
    async fn until_taken(
        &self,
        left: usize,
        alarm: &Alarm,
        (which, patience): (Which, Duration),
        pace: &Pace,
    ) -> Result<(), Broken> {
        let mut silent_from = alarm.now();
        let mut before = None;
        loop {
            let from = alarm.now();
            let look = alarm.after(patience / 2).min(pace.judged_at(from));
            alarm.set_at(which, look);
            let writable = alarm.until(which, |cx| self.socket.poll_writable(cx)).await.is_ok();
            let now = alarm.now();
            pace.wait(from, now);
            if writable && !pace.is_due() {
                return Ok(());
            }
            let owed = self.unacknowledged() + left as u64;
            if pace.is_due() && pace.is_too_slow(owed) {
                return Err(Broken::TimedOut);
            }
            if writable {
                return Ok(());
            }
            if before.replace(owed).is_some_and(|before| owed < before) {
                silent_from = now;
            }
            if now.since(silent_from) >= patience.as_nanos() as u64 {
                return Err(Broken::TimedOut);
            }
        }
    }

    /// Waits while a client has no room for its next piece, so that there is nothing for it yet that
    /// would take up memory meanwhile.
    pub(super) async fn until_room(
        &self,
        alarm: &Alarm,
        patience: (Which, Duration),
        pace: &Pace,
    ) -> Result<(), Broken> {
        if self.room() < pace.piece() {
            // The kernel says so when a third is free, which may be less than a piece.
            self.until_taken(0, alarm, patience, pace).await?;
        }
        Ok(())
    }

    /// About how many bytes the peer would take now. Costs a system call.
    fn room(&self) -> usize {
        let behind = self.tls.as_ref().is_some_and(|tls| tls.borrow().outgoing.is_some());
        if behind { 0 } else { self.socket.room() }
    }

    /// Bytes that were given and have not arrived. Costs a system call.
    fn unacknowledged(&self) -> u64 {
        let sealed =
            self.tls.as_ref().and_then(|tls| tls.borrow().outgoing.as_ref().map(Block::len));
        self.socket.unacknowledged() + sealed.unwrap_or(0) as u64
    }

    fn flush(&self) -> Result<bool, Broken> {
        self.tls.as_ref().map_or(Ok(true), |tls| tls.borrow_mut().flush(&self.socket))
    }

    /// Sends what is sealed, until the deadline that is set.
    async fn flush_all(&self, alarm: &Alarm, which: Which) -> Result<(), Broken> {
        while !self.flush()? {
            alarm.until(which, |cx| self.socket.poll_writable(cx)).await?;
        }
        Ok(())
    }

    /// Gives some of `bytes`; 0 if none are taken now.
    pub(super) fn give(&self, bytes: &[u8]) -> Result<usize, Broken> {
        if let Some(tls) = &self.tls {
            return tls.borrow_mut().give(&self.socket, bytes);
        }
        match self.socket.send(bytes) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Says that nothing follows, when the peer has taken what came before.
    pub(super) async fn end_behind(
        &self,
        alarm: &Alarm,
        (which, patience): (Which, Duration),
    ) -> Result<(), Broken> {
        if let Some(tls) = &self.tls {
            tls.borrow_mut().say_close();
            if !self.flush()? {
                alarm.set(which, patience);
                self.flush_all(alarm, which).await?;
            }
        }
        self.socket.shutdown(Shutdown::Write);
        Ok(())
    }

    /// Says that nothing follows; does not wait for it to arrive.
    pub(super) fn end(&self) {
        if let Some(tls) = &self.tls {
            let mut tls = tls.borrow_mut();
            tls.say_close();
            // A peer that takes nothing more does not get the notice.
            let _ = tls.flush(&self.socket);
        }
        self.socket.shutdown(Shutdown::Write);
    }
}

/// How much of a record is there, and how much of it is missing.
fn record_begun(incoming: &Block) -> (usize, usize) {
    let held = incoming.len();
    let whole = match incoming.filled() {
        [_, _, _, high, low, ..] => HEADER_BYTES + usize::from(u16::from_be_bytes([*high, *low])),
        _ => HEADER_BYTES,
    };
    (held, whole.saturating_sub(held).max(1))
}

impl Tls {
    fn has_news(&self) -> bool {
        self.early.is_some() || self.session.is_ended()
    }

    /// Plaintext is never longer than its ciphertext, so what is read now fits into `most`, unless
    /// the record that has begun is longer: `into` then grows by that.
    fn take<S: Socket>(
        &mut self,
        socket: &S,
        into: &mut Block,
        most: usize,
    ) -> Result<Took, Broken> {
        let before = into.len();
        if let Some(early) = self.early.take() {
            into.put(early.filled());
        }
        let (held, missing) = self.incoming.as_ref().map_or((0, HEADER_BYTES), record_begun);
        let read = self.read(socket, most.saturating_sub(held).max(missing).min(BULK_BYTES))?;
        let ended = self.work_off(into)?.ended;
        match into.len() - before {
            0 if ended || read == Took::End => Ok(Took::End),
            0 => {
                // The peer has begun a record and may take its time with the rest.
                self.incoming = self.incoming.take().map(Block::fitted);
                Ok(Took::Nothing)
            }
            count => Ok(Took::Bytes(count)),
        }
    }

    /// Reads ciphertext behind what is there.
    fn read<S: Socket>(&mut self, socket: &S, most: usize) -> Result<Took, Broken> {
        let make = || if most > SMALL_BYTES { Block::bulk() } else { Block::small() };
        let incoming = self.incoming.get_or_insert_with(make);
        if incoming.room_left() < most.min(RECORD_BYTES / 4) {
            incoming.reserve(most.min(RECORD_BYTES));
        }
        let most = most.min(incoming.room_left());
        let room = incoming.room().get_mut(..most).unwrap_or_default();
        let took = match socket.recv(room) {
            Ok(0) => Took::End,
            Ok(count) => {
                incoming.add(count);
                Took::Bytes(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Took::Nothing,
            Err(error) => return Err(error.into()),
        };
        Ok(took)
    }

    /// Decrypts the whole records that are there.
    fn work_off(&mut self, into: &mut Block) -> Result<Received, Broken> {
        let mut none = [];
        let ciphertext = match &mut self.incoming {
            Some(block) => block.filled_mut(),
            None => &mut none,
        };
        let mut notes = Vec::new();
        let received = self.session.receive(ciphertext, |plain| into.put(plain), &mut notes);
        if !notes.is_empty() {
            self.outgoing.get_or_insert_with(Block::small).put(&notes);
        }
        let received = received?;
        if let Some(block) = &mut self.incoming {
            block.consume(received.used);
            // While hands are shaken more is sure to come.
            if block.is_empty() && received.established {
                self.incoming = None;
            }
        }
        Ok(received)
    }

    /// Sends what is sealed; whether all of it went.
    fn flush<S: Socket>(&mut self, socket: &S) -> Result<bool, Broken> {
        while let Some(outgoing) = &mut self.outgoing {
            if outgoing.is_empty() {
                self.outgoing = None;
                break;
            }
            match socket.send(outgoing.filled()) {
                Ok(count) => outgoing.consume(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn give<S: Socket>(&mut self, socket: &S, bytes: &[u8]) -> Result<usize, Broken> {
        if !self.flush(socket)? {
            return Ok(0);
        }
        let some = bytes.get(..4 * RECORD_BYTES).unwrap_or(bytes);
        self.seal(Some(some))?;
        self.flush(socket)?;
        Ok(some.len())
    }

    fn say_close(&mut self) {
        // A session that never came up has nothing to close.
        let _ = self.seal(None);
    }

    /// Seals `plain`, or the closing notice, behind what is still to be sent.
    fn seal(&mut self, plain: Option<&[u8]>) -> Result<(), Broken> {
        let length = plain.map_or(0, <[u8]>::len);
        // One record more for an answer that the protocol may owe first.
        let needed = length + (length / RECORD_BYTES + 3) * SEALED_EXTRA_BYTES;
        let make = || if needed > SMALL_BYTES { Block::bulk() } else { Block::small() };
        let outgoing = self.outgoing.get_or_insert_with(make);
        outgoing.reserve(needed);
        let mut none = [];
        let incoming = match &mut self.incoming {
            Some(block) => block.filled_mut(),
            None => &mut none,
        };
        let sealed = match plain {
            Some(plain) => self.session.seal(incoming, plain, outgoing.room())?,
            None => self.session.close(incoming, outgoing.room())?,
        };
        outgoing.add(sealed);
        Ok(())
    }
}

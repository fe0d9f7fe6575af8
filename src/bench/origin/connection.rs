//! One client of the origin: its bytes, the request it is in, and what is still to be sent to it.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};

use super::answer::Output;
use super::request::{self, Parsed, Request};
use super::transport::Transport;

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Bytes from the client.
    Read,
    /// Room to send.
    Write,
    /// So many milliseconds.
    Delay(u64),
    /// Nothing more; it is to be closed.
    Close,
}

/// Head -> Body -> (Delayed) -> Head -> ... -> Closing
enum Phase {
    Head,
    Body(Request),
    Delayed(Request),
    Closing,
}

/// A client connection.
pub(super) struct Connection {
    transport: Transport,
    phase: Phase,
    /// Bytes that came and could not be used yet.
    pending: Vec<u8>,
    output: Output,
}

impl Connection {
    /// A connection that has just been accepted.
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, phase: Phase::Head, pending: Vec::new(), output: Output::default() }
    }

    /// The socket, for the poller.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.transport.socket().as_fd()
    }

    /// The socket can be read. `scratch` is the worker's and holds nothing between calls.
    pub(super) fn readable(&mut self, scratch: &mut [u8]) -> Next {
        loop {
            let had = self.pending.len();
            if had == scratch.len() {
                return Next::Close;
            }
            scratch[..had].copy_from_slice(&self.pending);
            match self.transport.read(&mut scratch[had..]) {
                Ok(0) => return Next::Close,
                Ok(count) => self.take(&scratch[..had + count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.flush(),
                Err(_) => {
                    // An alert that explains the refusal may stand ready; the client should see it.
                    let _ = self.flush();
                    return Next::Close;
                }
            }
            if self.is_busy() || !self.transport.holds_plaintext() {
                return self.flush();
            }
        }
    }

    /// The socket can be written.
    pub(super) fn writable(&mut self) -> Next {
        self.flush()
    }

    /// The delay that was asked for is over.
    pub(super) fn delay_over(&mut self) -> Next {
        if let Phase::Delayed(request) = std::mem::replace(&mut self.phase, Phase::Head) {
            self.answer(&request);
        }
        self.flush()
    }

    /// Later requests have to wait.
    fn is_busy(&self) -> bool {
        self.output.is_streaming() || matches!(self.phase, Phase::Delayed(_) | Phase::Closing)
    }

    /// Uses as much of `input` as possible and keeps the rest.
    fn take(&mut self, input: &[u8]) {
        let mut used = 0;
        while !self.is_busy() && used < input.len() {
            let step = self.step(&input[used..]);
            if step == 0 {
                break;
            }
            used += step;
        }
        self.pending.clear();
        self.pending.extend_from_slice(&input[used..]);
    }

    /// One head or one stretch of body; 0 when more bytes are needed.
    fn step(&mut self, input: &[u8]) -> usize {
        match &mut self.phase {
            Phase::Head => match request::parse(input) {
                Parsed::NeedMore => 0,
                Parsed::Malformed => self.refuse(),
                Parsed::Request(request, used) => {
                    if request.expects_continue && !request.body.is_done() {
                        self.output.push_continue();
                    }
                    self.phase = Phase::Body(request);
                    self.body_done();
                    used
                }
            },
            Phase::Body(request) => match request.body.take(input) {
                Ok(used) => {
                    self.body_done();
                    used
                }
                Err(_) => self.refuse(),
            },
            Phase::Delayed(_) | Phase::Closing => 0,
        }
    }

    /// If the request has come to its end: answers it, or lets it wait.
    fn body_done(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Head) {
            Phase::Body(request) if request.body.is_done() => {
                if request.delay_ms > 0 {
                    self.phase = Phase::Delayed(request);
                } else {
                    self.answer(&request);
                }
            }
            other => self.phase = other,
        }
    }

    fn answer(&mut self, request: &Request) {
        self.output.push(request.answer, request.body.seen(), request.head_only, request.keep);
        self.phase = if request.keep { Phase::Head } else { Phase::Closing };
    }

    fn refuse(&mut self) -> usize {
        self.output.push_malformed();
        self.phase = Phase::Closing;
        0
    }

    /// Sends what can be sent, goes on with pipelined requests, and says what to wait for.
    fn flush(&mut self) -> Next {
        loop {
            match self.send() {
                Ok(true) => {}
                Ok(false) => return Next::Write,
                Err(_) => return Next::Close,
            }
            match &self.phase {
                Phase::Closing => return Next::Close,
                Phase::Delayed(request) => return Next::Delay(request.delay_ms),
                Phase::Head | Phase::Body(_) => {}
            }
            if self.pending.is_empty() {
                return Next::Read;
            }
            let input = std::mem::take(&mut self.pending);
            self.take(&input);
            if self.output.is_empty() && matches!(self.phase, Phase::Head | Phase::Body(_)) {
                return Next::Read;
            }
        }
    }

    /// Whether everything is gone.
    fn send(&mut self) -> io::Result<bool> {
        loop {
            let (bytes, block) = self.output.pieces();
            let count = if bytes.is_empty() && block.is_empty() {
                0
            } else {
                match self.transport.write(bytes, block) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                    other => other?,
                }
            };
            self.output.advance(count);
            if self.output.is_empty() {
                return self.transport.flush();
            }
        }
    }
}

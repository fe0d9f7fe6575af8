//! One thread of the origin: a listening socket, its connections, one poller.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::EventFd;
use rustls::{ServerConfig, ServerConnection};

use super::connection::{Connection, Next};
use super::transport::Transport;
use crate::bench::clock;

/// The longest head, and the most that one read takes.
const SCRATCH_BYTES: usize = 65536;
/// Tokens of the two descriptors that are not connections.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// The worker's state.
pub(super) struct Worker {
    epoll: Epoll,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// Counts connections, so that a delay does not meet the slot's next owner.
    serial: u64,
    delays: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    scratch: Box<[u8]>,
}

struct Entry {
    connection: Connection,
    serial: u64,
    waits_for: EpollFlags,
}

impl Worker {
    /// A worker on a non-blocking listening socket that ends when `stop` is written.
    pub(super) fn new(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        stop: &EventFd,
    ) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        epoll.add(stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        Ok(Self {
            epoll,
            listener,
            tls,
            connections: Vec::new(),
            free: Vec::new(),
            serial: 0,
            delays: BinaryHeap::new(),
            scratch: vec![0; SCRATCH_BYTES].into_boxed_slice(),
        })
    }

    /// Serves until it is stopped.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 256];
        loop {
            let timeout = self.end_delays();
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                match event.data() {
                    STOP => return Ok(()),
                    LISTENER => self.accept()?,
                    slot => self.turn(slot as usize, event.events())?,
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let transport = match &self.tls {
                None => Transport::Plain(socket),
                Some(config) => {
                    let session =
                        ServerConnection::new(config.clone()).map_err(io::Error::other)?;
                    Transport::tls(socket, session)
                }
            };
            self.insert(Connection::new(transport))?;
        }
    }

    fn insert(&mut self, connection: Connection) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let waits_for = EpollFlags::EPOLLIN;
        self.epoll.add(connection.socket(), EpollEvent::new(waits_for, slot as u64))?;
        self.serial += 1;
        self.connections[slot] = Some(Entry { connection, serial: self.serial, waits_for });
        Ok(())
    }

    /// An event on a connection.
    fn turn(&mut self, slot: usize, events: EpollFlags) -> io::Result<()> {
        let Some(entry) = self.connections[slot].as_mut() else { return Ok(()) };
        let next = if entry.waits_for.contains(EpollFlags::EPOLLIN) {
            entry.connection.readable(&mut self.scratch)
        } else if events.contains(EpollFlags::EPOLLOUT) {
            entry.connection.writable()
        } else {
            Next::Close
        };
        self.arrange(slot, next)
    }

    /// Sees to it that `next` will be noticed.
    fn arrange(&mut self, slot: usize, next: Next) -> io::Result<()> {
        let Some(entry) = self.connections[slot].as_mut() else { return Ok(()) };
        let waits_for = match next {
            Next::Read => EpollFlags::EPOLLIN,
            Next::Write => EpollFlags::EPOLLOUT,
            Next::Delay(ms) => {
                let end = clock::now() + Duration::from_millis(ms);
                self.delays.push(Reverse((end, slot, entry.serial)));
                EpollFlags::empty()
            }
            Next::Close => {
                // Dropping the socket takes it out of the poller.
                self.connections[slot] = None;
                self.free.push(slot);
                return Ok(());
            }
        };
        if waits_for != entry.waits_for {
            entry.waits_for = waits_for;
            let mut event = EpollEvent::new(waits_for, slot as u64);
            self.epoll.modify(entry.connection.socket(), &mut event)?;
        }
        Ok(())
    }

    /// Ends the delays whose time has come and says how long the next one takes.
    fn end_delays(&mut self) -> EpollTimeout {
        while let Some(Reverse((end, slot, serial))) = self.delays.peek().copied() {
            let left = end.saturating_duration_since(clock::now());
            if !left.is_zero() {
                let ms = left.as_millis() as u64 + 1;
                return EpollTimeout::try_from(Duration::from_millis(ms))
                    .unwrap_or(EpollTimeout::MAX);
            }
            self.delays.pop();
            let Some(entry) = self.connections[slot].as_mut() else { continue };
            if entry.serial == serial {
                let next = entry.connection.delay_over();
                // A connection that cannot be polled is gone; its slot stays out of use.
                let _ = self.arrange(slot, next);
            }
        }
        EpollTimeout::NONE
    }
}

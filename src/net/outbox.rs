//! Short messages that go out together at the end of a turn.
//!
//! A turn is what the tasks do between two entries of the ring. Sent one by one while they run,
//! messages find their receivers asleep again each time, and the sender pays for every wake-up. So a
//! connection posts its message, and the outbox sends all of them when the other tasks have run.
//!
//! What the kernel does not take at once stays with its connection, which sends nothing else before:
//! a task of its own waits until it can go on, or until the connection is abandoned.
//!
//! All of this holds for any [`Pipe`], so that on the simulated machine the same code runs.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use nix::sys::socket;

use super::{Block, sys};

/// Messages that wait for the end of a turn; with so many it has come.
const POSTED_MAX: usize = 64;

/// What a connection's bytes go through. No call waits.
pub trait Pipe {
    /// Takes bytes that are there; 0 is the end.
    ///
    /// # Errors
    /// `WouldBlock` when there are none yet; else the connection's error, told once.
    fn take(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Gives as many bytes as are taken now.
    ///
    /// # Errors
    /// `WouldBlock` when none are; else the connection's error, told once.
    fn give(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Ends the directions; pending waits are answered.
    fn shutdown(&self, how: Shutdown);
}

/// A stream of the kernel's.
pub(super) struct Stream<S> {
    pub(super) stream: S,
    /// Its descriptor, open as long as it is.
    pub(super) fd: RawFd,
}

impl<S> Pipe for Stream<S> {
    #[inline]
    fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        sys::take(self.fd, into)
    }

    #[inline]
    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        sys::give(self.fd, bytes)
    }

    fn shutdown(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => socket::Shutdown::Read,
            Shutdown::Write => socket::Shutdown::Write,
            Shutdown::Both => socket::Shutdown::Both,
        };
        // A connection that is gone already needs no shutdown.
        let _ = socket::shutdown(self.fd, how);
    }
}

/// An open connection, and what was posted on it.
pub struct Link<P> {
    /// Its bytes go through this, behind what was posted.
    pub pipe: P,
    posted: RefCell<Option<Block>>,
    /// Bytes that the kernel has taken, wrapping.
    given: Cell<u64>,
    /// The kernel has told the connection's error to a sender, and tells it nobody else.
    broken: Cell<bool>,
}

impl<P> fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl<P: Pipe> Link<P> {
    /// A link on which nothing is posted.
    pub fn new(pipe: P) -> Rc<Self> {
        Rc::new(Self {
            pipe,
            posted: RefCell::default(),
            given: Cell::default(),
            broken: Cell::default(),
        })
    }

    /// Whether something was posted that the kernel has not taken yet.
    pub fn holds_posted(&self) -> bool {
        self.posted.borrow().is_some()
    }

    /// Bytes that the kernel has taken so far, wrapping.
    pub fn given(&self) -> u64 {
        self.given.get()
    }

    /// Takes bytes that are there. A reset that a sender was told of looks like the end to whoever
    /// reads behind it, and is none.
    ///
    /// # Errors
    /// As [`Pipe::take`].
    #[inline]
    pub fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        match self.pipe.take(into) {
            Ok(0) if self.broken.get() => Err(io::ErrorKind::ConnectionReset.into()),
            taken => taken,
        }
    }

    /// Gives bytes behind what was posted.
    ///
    /// # Errors
    /// As [`Pipe::give`]; `WouldBlock` also when something posted is left.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.holds_posted() {
            self.send_posted()?;
        }
        self.give(bytes)
    }

    #[inline]
    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        let given = self.pipe.give(bytes).inspect_err(|error| {
            // A pipe is broken by us, or by a peer that had ended its own direction before.
            let ours =
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe);
            self.broken.set(self.broken.get() || !ours);
        });
        let given = given?;
        self.given.set(self.given.get().wrapping_add(given as u64));
        Ok(given)
    }

    /// Sends what was posted, as far as the kernel takes it. `WouldBlock` when something is left;
    /// after any other error the connection is broken, and nothing is.
    fn send_posted(&self) -> io::Result<()> {
        let mut posted = self.posted.borrow_mut();
        while let Some(block) = &mut *posted {
            match self.give(block.filled()) {
                Ok(count) => {
                    block.consume(count);
                    if block.is_empty() {
                        *posted = None;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    *posted = None;
                    // Whoever reads learns it, also of what is no error of the connection itself.
                    self.pipe.shutdown(Shutdown::Both);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Goes on with what was not taken at once; `writable` waits until something may be.
    pub async fn go_on(&self, writable: impl Fn(&mut Context<'_>) -> Poll<()>) {
        while self.holds_posted() {
            poll_fn(&writable).await;
            // Why it failed is learnt by whoever reads from the connection.
            let _ = self.send_posted();
        }
    }

    /// Ends the directions, that of sending behind what was posted.
    pub fn shutdown(&self, how: Shutdown) {
        if self.holds_posted() && how != Shutdown::Read {
            // What is not taken now is lost with the connection.
            let _ = self.send_posted();
        }
        self.pipe.shutdown(how);
    }

    /// Nobody will use it again: what was posted goes if it goes now.
    pub fn abandon(&self) {
        if self.holds_posted() && self.send_posted().is_err() {
            *self.posted.borrow_mut() = None;
            // Whoever waits to go on with it is woken by that, and finds nothing left.
            self.pipe.shutdown(Shutdown::Both);
        }
    }
}

/// The messages of one thread.
pub struct Outbox<P> {
    due: RefCell<Vec<Rc<Link<P>>>>,
    /// Of the task that ends the turns.
    waker: Cell<Option<Waker>>,
}

impl<P> Default for Outbox<P> {
    fn default() -> Self {
        Self { due: RefCell::new(Vec::with_capacity(POSTED_MAX)), waker: Cell::default() }
    }
}

impl<P> fmt::Debug for Outbox<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").finish_non_exhaustive()
    }
}

impl<P: Pipe> Outbox<P> {
    /// Takes `message` for `link`, on which nothing is posted.
    pub fn post(&self, link: &Rc<Link<P>>, message: Block) {
        let before = link.posted.replace(Some(message));
        assert!(before.is_none(), "whoever posts has asked whether something is posted");
        let mut due = self.due.borrow_mut();
        due.push(Rc::clone(link));
        if due.len() >= POSTED_MAX {
            due.retain(|link| link.send_posted().is_err() && link.holds_posted());
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Sends what is due; hands out the links that have something left, for [`Link::go_on`].
    /// `waker` is woken when something is due again.
    pub fn end_turn(&self, waker: &Waker, mut stuck: impl FnMut(Rc<Link<P>>)) {
        self.waker.set(Some(waker.clone()));
        for link in self.due.borrow_mut().drain(..) {
            if link.send_posted().is_err() && link.holds_posted() {
                stuck(link);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use socket2::SockRef;

    use super::*;

    fn message(bytes: &[u8]) -> Block {
        let mut block = Block::none();
        block.put(bytes);
        block
    }

    /// A link to a peer that has the returned end.
    fn link() -> (Rc<Link<Stream<UnixStream>>>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fd = ours.as_raw_fd();
        (Link::new(Stream { stream: ours, fd }), theirs)
    }

    fn end_turn(outbox: &Outbox<Stream<UnixStream>>) -> Vec<Rc<Link<Stream<UnixStream>>>> {
        let mut stuck = Vec::new();
        outbox.end_turn(Waker::noop(), |link| stuck.push(link));
        stuck
    }

    #[test]
    fn messages_leave_at_the_end_of_the_turn() {
        let outbox = Outbox::default();
        let (link, mut peer) = link();
        outbox.post(&link, message(b"hello"));
        assert!(link.holds_posted());
        peer.set_nonblocking(true).unwrap();
        assert!(peer.read(&mut [0; 9]).is_err());
        assert!(end_turn(&outbox).is_empty() && !link.holds_posted());
        let mut read = [0; 9];
        assert_eq!(peer.read(&mut read).unwrap(), 5);
        assert_eq!(&read[..5], b"hello");
    }

    #[test]
    fn a_turn_with_many_messages_ends_early() {
        let outbox = Outbox::default();
        let links: Vec<_> = (0..POSTED_MAX).map(|_| link()).collect();
        for (link, _) in &links {
            outbox.post(link, message(b"x"));
        }
        assert!(links.iter().all(|(link, _)| !link.holds_posted()));
    }

    #[test]
    fn what_a_slow_peer_leaves_over_is_handed_out_and_goes_on() {
        let outbox = Outbox::default();
        let (link, mut peer) = link();
        let sent = vec![7; 4 << 20];
        outbox.post(&link, message(&sent));
        let stuck = end_turn(&outbox);
        assert_eq!((stuck.len(), link.holds_posted()), (1, true));
        let mut got = 0;
        let mut room = vec![0; 64 << 10];
        while got < sent.len() {
            got += peer.read(&mut room).unwrap();
            let _ = link.send_posted();
        }
        assert_eq!((got, link.holds_posted()), (sent.len(), false));
    }

    #[test]
    fn a_broken_connection_is_shut_so_that_its_reader_learns_it() {
        let outbox = Outbox::default();
        let (link, peer) = link();
        drop(peer);
        outbox.post(&link, message(b"lost"));
        assert!(end_turn(&outbox).is_empty() && !link.holds_posted());
        assert_eq!((&link.pipe.stream).read(&mut [0; 1]).unwrap(), 0);
    }

    /// A TCP link whose peer has reset it, behind its own end if it `ended` first; and what a sender
    /// is told. The peer's word is awaited by asking again.
    fn reset_link(ended: bool) -> (Rc<Link<Stream<TcpStream>>>, io::ErrorKind) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        let (peer, _) = listener.accept().unwrap();
        let fd = ours.as_raw_fd();
        let link = Link::new(Stream { stream: ours, fd });
        if ended {
            peer.shutdown(Shutdown::Write).unwrap();
            while !sys::has_ended(fd) {}
        }
        SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
        drop(peer);
        loop {
            if let Err(error) = link.send(b"x") {
                return (link, error.kind());
            }
        }
    }

    /// The kernel tells an error once. If the sender has it, the reader is not to take what came for
    /// all there is.
    #[test]
    fn a_reset_is_no_end_also_if_a_sender_was_told() {
        let (link, told) = reset_link(false);
        assert_eq!(told, io::ErrorKind::ConnectionReset);
        assert_eq!(
            (&link.pipe.stream).read(&mut [0; 1]).unwrap(),
            0,
            "the kernel says that it ended"
        );
        assert_eq!(link.take(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        let (link, told) = reset_link(true);
        assert_eq!(told, io::ErrorKind::BrokenPipe);
        assert_eq!(link.take(&mut [0; 1]).unwrap(), 0, "it had ended before");
    }

    #[test]
    fn a_link_without_an_owner_is_not_waited_for() {
        let outbox = Outbox::default();
        let (link, _peer) = link();
        outbox.post(&link, message(&vec![7; 4 << 20]));
        assert_eq!(end_turn(&outbox).len(), 1);
        link.abandon();
        assert!(!link.holds_posted());
        assert_eq!((&link.pipe.stream).read(&mut [0; 1]).unwrap(), 0, "it is shut");
    }

    #[test]
    fn what_was_posted_in_the_last_turn_still_goes() {
        let outbox = Outbox::default();
        let (link, mut peer) = link();
        outbox.post(&link, message(b"bye"));
        link.abandon();
        drop(link);
        assert!(end_turn(&outbox).is_empty());
        let mut read = Vec::new();
        peer.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"bye");
    }
}

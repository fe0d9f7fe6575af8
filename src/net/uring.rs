//! The real machine: one ring and one executor per thread. The only file that names the runtime.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream as StdStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use monoio::net::TcpStream;
use monoio::{IoUringDriver, RuntimeBuilder};
use nix::sys::socket::{getsockopt, sockopt};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use socket2::{SockRef, Socket as RawSocket};

use super::listen::{self, Dial, Listening};
use super::outbox::{Link, Outbox, Stream};
use super::{Block, Machine, Moment, Socket, clock, sys};

/// Submission entries of a ring; completions get four times as many, so that thousands of
/// connections may end at once.
const RING_ENTRIES: u32 = 4096;

/// Which set-up of the ring the kernel granted, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFlags {
    /// Completions are worked off when this thread asks for them (kernel 6.1).
    DeferTaskrun,
    /// Completions do not interrupt the thread (kernel 5.19).
    CoopTaskrun,
    /// Neither; correct, but dearer per request.
    Plain,
}

impl fmt::Display for RingFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeferTaskrun => "SINGLE_ISSUER, DEFER_TASKRUN, TASKRUN_FLAG",
            Self::CoopTaskrun => "COOP_TASKRUN, TASKRUN_FLAG",
            Self::Plain => "none",
        })
    }
}

/// Builds a ring on this thread and runs `story` on it to its end.
///
/// # Errors
/// A sentence for the administrator: what refused io_uring, and what to change.
pub fn run<F: Future>(story: impl FnOnce(Ring, RingFlags) -> F) -> Result<F::Output, String> {
    let mut refused = None;
    for flags in [RingFlags::DeferTaskrun, RingFlags::CoopTaskrun, RingFlags::Plain] {
        let mut ring = io_uring::IoUring::builder();
        ring.setup_cqsize(RING_ENTRIES * 4);
        match flags {
            RingFlags::DeferTaskrun => {
                ring.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
            }
            RingFlags::CoopTaskrun => {
                ring.setup_coop_taskrun().setup_taskrun_flag();
            }
            RingFlags::Plain => {}
        }
        let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES);
        match builder.uring_builder(ring).build() {
            Ok(mut runtime) => {
                return Ok(runtime.block_on(async {
                    monoio::spawn(end_turns());
                    story(Ring(()), flags).await
                }));
            }
            Err(error) => refused = Some(error),
        }
    }
    Err(why_refused(&refused.unwrap_or_else(|| io::ErrorKind::Unsupported.into())))
}

/// What stands behind the kernel's refusal of a ring.
fn why_refused(error: &io::Error) -> String {
    let switch = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
    let advice = match error.raw_os_error() {
        Some(libc::ENOSYS) => {
            "this kernel has no io_uring; Linux 5.19 or newer is needed (6.1 for full speed)"
        }
        Some(libc::EPERM) if matches!(switch.trim(), "1" | "2") => {
            "the setting kernel.io_uring_disabled forbids it; `sysctl -w kernel.io_uring_disabled=0` allows it"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "a seccomp filter or security module forbids it (containers often do); allow io_uring_setup, io_uring_enter and io_uring_register"
        }
        Some(libc::ENOMEM) => {
            "not enough lockable memory; raise it with `ulimit -l unlimited` or LimitMEMLOCK=infinity in the service"
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "no file descriptors are left; raise LimitNOFILE in the service"
        }
        _ => "",
    };
    let colon = if advice.is_empty() { "" } else { ": " };
    format!("the kernel refuses io_uring ({error}){colon}{advice}")
}

/// A handle of this thread's ring.
#[derive(Clone, Debug)]
pub struct Ring(());

impl Machine for Ring {
    type Socket = UringSocket;

    fn now(&self) -> Moment {
        clock::monotonic()
    }

    fn wall_micros(&self) -> u64 {
        clock::wall_micros()
    }

    fn dial(&self, dial: &Dial) -> io::Result<UringSocket> {
        UringSocket::new(listen::dial(dial)?)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        monoio::spawn(task);
    }
}

/// One direction's wait, armed again and again without allocating: the boxed story never ends, it
/// arms a poll operation, notes the answer and rests until it is asked to arm the next.
struct Watch {
    story: RefCell<Pin<Box<dyn Future<Output = Infallible>>>>,
    state: Rc<Cell<Wait>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Resting,
    Armed,
    Answered,
}

#[derive(Clone, Copy)]
enum Direction {
    Read,
    Write,
}

impl Watch {
    fn new(link: Rc<Link<Stream<TcpStream>>>, direction: Direction) -> Self {
        let state = Rc::new(Cell::new(Wait::Resting));
        let inner = Rc::clone(&state);
        let story = async move {
            loop {
                poll_fn(|_| match inner.get() {
                    Wait::Armed => Poll::Ready(()),
                    Wait::Resting | Wait::Answered => Poll::Pending,
                })
                .await;
                // An error of the wait itself is found by the call that follows it.
                let _ = match direction {
                    Direction::Read => link.pipe.stream.readable(false).await,
                    Direction::Write => link.pipe.stream.writable(false).await,
                };
                inner.set(Wait::Answered);
            }
        };
        Self { story: RefCell::new(Box::pin(story)), state }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.set(Wait::Armed);
        let Poll::Pending = self.story.borrow_mut().as_mut().poll(cx);
        if self.state.replace(Wait::Resting) == Wait::Answered {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

thread_local! {
    /// Of this thread's ring.
    static OUTBOX: Outbox<Stream<TcpStream>> = Outbox::default();
}

/// Sends at the end of each turn what was posted in it. Woken by a post while other tasks are due,
/// it runs behind them.
async fn end_turns() {
    poll_fn(|cx| {
        OUTBOX.with(|outbox| {
            outbox.end_turn(cx.waker(), |link| drop(monoio::spawn(go_on(link))));
        });
        Poll::<()>::Pending
    })
    .await;
}

/// Goes on with what was posted on `link` and not taken at once.
async fn go_on(link: Rc<Link<Stream<TcpStream>>>) {
    let watch = Watch::new(Rc::clone(&link), Direction::Write);
    link.go_on(|cx| watch.poll(cx)).await;
}

/// A TCP connection on the ring.
pub struct UringSocket {
    read: Watch,
    write: RefCell<Option<Watch>>,
    link: Rc<Link<Stream<TcpStream>>>,
}

impl fmt::Debug for UringSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UringSocket").field(&self.link.pipe.fd).finish()
    }
}

impl UringSocket {
    fn new(socket: RawSocket) -> io::Result<Self> {
        Self::watch(socket.into())
    }

    /// The runtime only offers waits on its own socket types; they work for every descriptor that
    /// can be polled.
    fn watch(fd: OwnedFd) -> io::Result<Self> {
        let stream = TcpStream::from_std(StdStream::from(fd))?;
        let fd = stream.as_raw_fd();
        let link = Link::new(Stream { stream, fd });
        let read = Watch::new(Rc::clone(&link), Direction::Read);
        Ok(Self { read, write: RefCell::new(None), link })
    }
}

impl Drop for UringSocket {
    fn drop(&mut self) {
        self.link.abandon();
    }
}

impl std::os::fd::AsFd for UringSocket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        sys::borrow(&self.link.pipe.stream, self.link.pipe.fd)
    }
}

impl Socket for UringSocket {
    #[inline]
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.read.poll(cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut write = self.write.borrow_mut();
        let make = || Watch::new(Rc::clone(&self.link), Direction::Write);
        write.get_or_insert_with(make).poll(cx)
    }

    #[inline]
    fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.link.take(into)
    }

    #[inline]
    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.link.send(bytes)
    }

    fn post(&self, message: Block) {
        OUTBOX.with(|outbox| outbox.post(&self.link, message));
    }

    fn holds_posted(&self) -> bool {
        self.link.holds_posted()
    }

    fn given(&self) -> u64 {
        self.link.given()
    }

    fn has_news(&self) -> bool {
        sys::has_news(self.link.pipe.fd)
    }

    fn has_ended(&self) -> bool {
        sys::has_ended(self.link.pipe.fd)
    }

    fn unacknowledged(&self) -> u64 {
        sys::unacknowledged(self.link.pipe.fd)
    }

    fn unsent(&self) -> u64 {
        sys::unsent(self.link.pipe.fd)
    }

    fn room(&self) -> usize {
        sys::room(self.link.pipe.fd)
    }

    fn connect_result(&self) -> io::Result<()> {
        let error = getsockopt(self, sockopt::SocketError)?;
        if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
    }

    fn shutdown(&self, how: Shutdown) {
        self.link.shutdown(how);
    }

    fn reset_on_close(&self) {
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

/// The accepting side on the ring.
pub struct Acceptor {
    listening: Listening,
    wait: UringSocket,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Acceptor").field(&self.listening).finish()
    }
}

impl Acceptor {
    /// Watches `listening` on this thread's ring.
    ///
    /// # Errors
    /// No descriptors left; the socket is given back, since nobody else may accept from it.
    pub fn new(listening: Listening) -> Result<Self, (Listening, io::Error)> {
        let watched = listening.0.set_nonblocking(true).and_then(|()| listening.0.try_clone());
        match watched.and_then(|socket| UringSocket::watch(socket.into())) {
            Ok(wait) => Ok(Self { listening, wait }),
            Err(error) => Err((listening, error)),
        }
    }

    /// The socket itself.
    #[must_use]
    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// Ready when a client may be waiting.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.wait.poll_readable(cx)
    }

    /// Takes one client that waits.
    ///
    /// # Errors
    /// `WouldBlock` when none does; `EMFILE` and the like when there is no descriptor for it.
    pub fn accept(&self) -> io::Result<(UringSocket, SocketAddr)> {
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        let (socket, address) = self.listening.0.accept4(flags)?;
        let peer = address.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok((UringSocket::new(socket)?, peer))
    }
}

/// Wakes this thread at a steady pace.
#[derive(Debug)]
pub struct Ticker {
    timer: TimerFd,
    wait: UringSocket,
}

impl Ticker {
    /// Ticks every `length` from now on.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn new(length: Duration) -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let every = Expiration::Interval(TimeSpec::from_duration(length));
        timer.set(every, TimerSetTimeFlags::empty())?;
        let fd = std::os::fd::AsFd::as_fd(&timer).try_clone_to_owned()?;
        Ok(Self { timer, wait: UringSocket::watch(fd)? })
    }

    /// Waits for the next tick; ticks that were missed count as one.
    pub async fn tick(&self) {
        poll_fn(|cx| self.wait.poll_readable(cx)).await;
        // The count of ticks is of no interest, only that the timer is quiet again.
        let _ = self.timer.wait();
    }
}

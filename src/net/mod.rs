//! Sockets, the ring, the clock and buffers. Knows nothing else of ours.
//!
//! The rest of the program waits through two narrow traits, [`Machine`] and [`Socket`], so that the
//! order of things can be tested on a simulated machine (`tests/sim`). [`uring`] is the real one and
//! the only file that names the runtime.
//!
//! **Readiness, then bytes.** A socket is waited for through the ring (one poll operation per wait,
//! submitted in batches with everything else) and its bytes are then taken or given by a call that
//! never waits. Measured as cheap as ring reads and writes; a wait can be given up at any moment
//! without losing bytes, and a connection that waits owns no buffer. Short messages are posted, to
//! leave together when all tasks of a turn have run.

mod block;
mod budget;
mod clock;
mod listen;
mod outbox;
mod plain;
mod sys;
mod uring;

use std::future::Future;
use std::io;
use std::task::{Context, Poll};

pub use block::{BULK_BYTES, Block, SMALL_BYTES, give_back_spares};
pub use budget::{Reserved, held_bytes, machine_memory};
pub use clock::{Moment, Ticks, monotonic, wall_micros, wall_seconds};
pub use listen::{Bind, Dial, Listening, bind, bind_alone, has_lost_adapter, is_taken};
pub use outbox::{Link, Outbox, Pipe};
pub use plain::{open_datagrams, open_stream};
pub use sys::{open_file_limit, pin_to_core, raise_open_file_limit, usable_cores};
pub use uring::{Acceptor, Ring, RingFlags, Ticker, UringSocket, run};

/// What the proxy needs from the machine that it runs on.
pub trait Machine: Clone + 'static {
    /// A stream socket of this machine.
    type Socket: Socket;

    /// The monotonic clock, exact.
    fn now(&self) -> Moment;

    /// Microseconds since 1970, for records that people read.
    fn wall_micros(&self) -> u64;

    /// Begins to connect; [`Socket::poll_writable`] tells when it ended and
    /// [`Socket::connect_result`] how.
    ///
    /// # Errors
    /// What the kernel refuses at once: no descriptors, no route, no such device.
    fn dial(&self, dial: &Dial) -> io::Result<Self::Socket>;

    /// Runs `task` beside the others on this thread.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);
}

/// A connected (or connecting) stream socket. No method waits; the `poll_` methods tell when to try.
pub trait Socket: 'static {
    /// Ready when bytes, the end or an error can be taken with [`Socket::recv`].
    ///
    /// The wait is armed by the first call and stays armed until it has been answered once; whoever
    /// polls last is woken.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Ready when [`Socket::send`] can go on, or a connect has ended.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes bytes that are there; 0 is the end, as the peer said it or as we asked for it: never what
    /// a break leaves behind of which a sender was told.
    ///
    /// # Errors
    /// `WouldBlock` when there are none yet; else the connection's error.
    fn recv(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Gives as many bytes as the kernel takes now.
    ///
    /// # Errors
    /// `WouldBlock` when it takes none now; else the connection's error.
    fn send(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Hands over a message, to be sent at the end of this turn together with those of other
    /// connections. There must be nothing posted that is not sent yet. If the connection breaks,
    /// its reader learns it.
    fn post(&self, message: Block);

    /// Whether something posted is not sent yet. [`Socket::send`] comes behind it.
    fn holds_posted(&self) -> bool;

    /// Bytes that have been sent so far, wrapping.
    fn given(&self) -> u64;

    /// Whether the peer has said anything (or ended) that was not taken yet. Costs a system call.
    fn has_news(&self) -> bool;

    /// Whether the peer has ended or broken the connection and nothing is left to take before that.
    /// Takes nothing. Costs a system call.
    fn has_ended(&self) -> bool;

    /// Bytes that were sent and that the peer's machine has not acknowledged. Costs a system call.
    fn unacknowledged(&self) -> u64;

    /// Of those, the bytes that have not even left. Costs a system call.
    fn unsent(&self) -> u64;

    /// About how many bytes [`Socket::send`] would take now. Costs a system call.
    fn room(&self) -> usize;

    /// How a connect ended, asked once after [`Socket::poll_writable`].
    ///
    /// # Errors
    /// Why it failed.
    fn connect_result(&self) -> io::Result<()>;

    /// Ends the directions; pending waits are answered.
    fn shutdown(&self, how: std::net::Shutdown);

    /// Makes the kernel reset the connection when it is closed, instead of a polite end.
    fn reset_on_close(&self);
}

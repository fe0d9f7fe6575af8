//! The relay's ring: flows of bytes from one socket to another. The one file of the tools with unsafe code, because an
//! operation is handed to the kernel as an address. It knows nothing of connections as pairs; `relay.rs` does.
#![expect(
    unsafe_code,
    reason = "the io-uring crate cannot know how long an operation's buffer lives"
)]

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::{IoUring, opcode, types};

/// Entries of the submission queue.
const ENTRIES: u32 = 1024;
/// Bytes that one flow can hold.
const BUFFER_BYTES: usize = 65536;
/// The token of the wait for new connections; no flow has this number.
const LISTENER: u64 = u64::MAX;

/// A ring with a listening socket and the flows that it moves.
pub(super) struct Ring {
    ring: IoUring,
    listener: TcpListener,
    flows: Vec<Option<Flow>>,
    free: Vec<usize>,
}

/// Bytes that go from one socket to another.
struct Flow {
    from: Rc<TcpStream>,
    to: Rc<TcpStream>,
    buffer: Box<[u8]>,
    filled: usize,
    sent: usize,
    /// The kernel may read or write `buffer`.
    in_flight: bool,
}

/// An operation that has come to its end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Done {
    /// Clients may be waiting to be accepted.
    Acceptable,
    /// The flow's operation returned this; negative numbers are error codes.
    Moved { flow: usize, result: i32 },
}

/// What is handed to the kernel.
#[derive(Clone, Copy)]
enum Operation {
    WaitForClients,
    Receive(usize),
    Send(usize),
}

impl Ring {
    /// A ring that already waits for clients on `listener`, which is non-blocking.
    pub(super) fn new(listener: TcpListener) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(ENTRIES)?;
        let mut ring = Self { ring, listener, flows: Vec::new(), free: Vec::new() };
        ring.push(Operation::WaitForClients)?;
        Ok(ring)
    }

    /// The next waiting client, if there is one; if not, the wait for clients begins anew.
    pub(super) fn accept(&mut self) -> io::Result<Option<TcpStream>> {
        match self.listener.accept() {
            Ok((client, _)) => Ok(Some(client)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.push(Operation::WaitForClients)?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts a flow.
    pub(super) fn open(&mut self, from: Rc<TcpStream>, to: Rc<TcpStream>) -> io::Result<()> {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.flows.push(None);
            self.flows.len() - 1
        });
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        self.flows[slot] = Some(Flow { from, to, buffer, filled: 0, sent: 0, in_flight: false });
        self.push(Operation::Receive(slot))
    }

    /// Submits what was pushed and waits until something is done.
    pub(super) fn wait(&mut self, done: &mut Vec<Done>) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        for entry in self.ring.completion() {
            if entry.user_data() == LISTENER {
                done.push(Done::Acceptable);
                continue;
            }
            let flow = entry.user_data() as usize;
            if let Some(Some(state)) = self.flows.get_mut(flow) {
                state.in_flight = false;
            }
            done.push(Done::Moved { flow, result: entry.result() });
        }
        Ok(())
    }

    /// Takes a flow's next step after its operation has ended with `result`.
    pub(super) fn advance(&mut self, slot: usize, result: i32) -> io::Result<()> {
        let Some(flow) = self.flows[slot].as_mut() else { return Ok(()) };
        if result <= 0 {
            self.close(slot, result == 0);
            return Ok(());
        }
        let count = result as usize;
        if flow.filled == 0 {
            flow.filled = count;
            return self.push(Operation::Send(slot));
        }
        flow.sent += count;
        if flow.sent < flow.filled {
            return self.push(Operation::Send(slot));
        }
        (flow.filled, flow.sent) = (0, 0);
        self.push(Operation::Receive(slot))
    }

    /// Ends a flow. An orderly end is passed on; after an error both sockets end, and with them the opposite flow.
    fn close(&mut self, slot: usize, orderly: bool) {
        let Some(flow) = self.flows[slot].take() else { return };
        assert!(!flow.in_flight, "a flow ends only between its operations");
        self.free.push(slot);
        // A socket that is no longer connected has nothing left to shut.
        if orderly {
            let _ = flow.to.shutdown(Shutdown::Write);
        } else {
            let _ = flow.to.shutdown(Shutdown::Both);
            let _ = flow.from.shutdown(Shutdown::Both);
        }
    }

    fn push(&mut self, operation: Operation) -> io::Result<()> {
        let entry = match operation {
            Operation::WaitForClients => {
                let listener = types::Fd(self.listener.as_raw_fd());
                opcode::PollAdd::new(listener, libc::POLLIN as u32).build().user_data(LISTENER)
            }
            Operation::Receive(slot) => {
                let Some(flow) = self.flows[slot].as_mut() else { return Ok(()) };
                assert!(!flow.in_flight, "one operation per flow");
                flow.in_flight = true;
                let from = types::Fd(flow.from.as_raw_fd());
                let (start, length) = (flow.buffer.as_mut_ptr(), flow.buffer.len() as u32);
                opcode::Recv::new(from, start, length).build().user_data(slot as u64)
            }
            Operation::Send(slot) => {
                let Some(flow) = self.flows[slot].as_mut() else { return Ok(()) };
                assert!(!flow.in_flight, "one operation per flow");
                flow.in_flight = true;
                let to = types::Fd(flow.to.as_raw_fd());
                let piece = &flow.buffer[flow.sent..flow.filled];
                let (start, length) = (piece.as_ptr(), piece.len() as u32);
                opcode::Send::new(to, start, length).build().user_data(slot as u64)
            }
        };
        loop {
            // SAFETY: The poll names no memory. A receive or a send names (a part of) the heap block that its flow owns,
            // within its bounds, and a socket that the flow owns. While `in_flight` is set, no code here touches, moves
            // out or frees that block or closes that socket: the two assertions above keep a second operation away,
            // `close` asserts that none is left, `drop` leaks the flows that still have one, and `in_flight` is reset
            // only by the operation's own completion in `wait`.
            let pushed = unsafe { self.ring.submission().push(&entry) };
            match pushed {
                Ok(()) => return Ok(()),
                Err(_) => drop(self.ring.submit()?),
            }
        }
    }
}

impl Drop for Ring {
    /// The kernel ends operations some time after the ring is closed; until then their buffers have to stay.
    fn drop(&mut self) {
        for flow in self.flows.drain(..).flatten() {
            if flow.in_flight {
                std::mem::forget(flow);
            }
        }
    }
}

//! Connections as two queues each way: what the sender's kernel holds, and what the receiver's
//! does. Bytes move in pieces of any size, late, or not at all once somebody has reset.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::world::{MS, World};

/// How long a wait may take to be answered after what it waits for is there.
pub(crate) const LAG_MAX: u64 = 2 * MS;

/// What becomes of a connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Accepted,
    /// The error that the connect ends with after a while.
    Fails(i32),
    /// The error that the kernel gives at once.
    FailsAtOnce(i32),
    Silent,
}

/// What the network of a run is like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// One connection in so many is reset by the network at some byte; 0: none.
    pub(crate) doomed_one_in: usize,
    /// The longest that a piece is under way.
    pub(crate) latency_max: u64,
    /// The most that a kernel holds of one direction.
    pub(crate) room_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Resting,
    Armed,
    /// The answer is under way.
    Answering,
    Answered,
}

/// One direction's wait, as the ring offers it: armed once, answered once, never at once.
pub(crate) struct Watch {
    state: Cell<Wait>,
    waker: RefCell<Option<Waker>>,
}

impl Watch {
    fn new() -> Rc<Self> {
        Rc::new(Self { state: Cell::new(Wait::Resting), waker: RefCell::default() })
    }

    fn answer(&self, wakes: bool) {
        if matches!(self.state.get(), Wait::Armed | Wait::Answering) {
            self.state.set(Wait::Answered);
            if let Some(waker) = self.waker.borrow_mut().take().filter(|_| wakes) {
                waker.wake();
            }
        }
    }
}

/// How a connection moves bytes.
#[derive(Clone, Copy, Debug)]
struct Manners {
    latency: u64,
    grain: usize,
    room: usize,
}

/// One end of a connection: a socket in somebody's kernel.
pub(crate) struct End {
    /// The proxy's; else a client's or server's.
    proxys: bool,
    /// Given by the owner and not arrived.
    leaving: VecDeque<u8>,
    /// Arrived and not taken by the owner.
    arrived: VecDeque<u8>,
    /// Since when something has been there to take.
    pub(crate) arrived_since: u64,
    /// How long something untaken had been there when the owner last began to say something.
    pub(crate) stale: u64,
    took_last: bool,
    moving: bool,
    said_end: bool,
    passed_end: bool,
    heard_end: bool,
    shut_read: bool,
    error: Option<i32>,
    dead: bool,
    closed: bool,
    pub(crate) connecting: bool,
    pub(crate) resets: bool,
    watches: [Vec<Rc<Watch>>; 2],
    /// All bytes ever taken.
    pub(crate) taken: u64,
    /// All bytes ever given.
    pub(crate) said: u64,
    /// The peer spoke unasked behind so many bytes, when it had read so many.
    pub(crate) unasked: Option<(u64, u64)>,
    /// That was taken before anything more was said here.
    pub(crate) unprompted: bool,
}

impl End {
    fn new(proxys: bool) -> Self {
        Self {
            proxys,
            leaving: VecDeque::new(),
            arrived: VecDeque::new(),
            arrived_since: 0,
            stale: 0,
            took_last: true,
            moving: false,
            said_end: false,
            passed_end: false,
            heard_end: false,
            shut_read: false,
            error: None,
            dead: false,
            closed: false,
            connecting: false,
            resets: false,
            watches: Default::default(),
            taken: 0,
            said: 0,
            unasked: None,
            unprompted: false,
        }
    }

    pub(crate) fn readable(&self) -> bool {
        !self.arrived.is_empty() || self.has_ended()
    }

    pub(crate) fn has_ended(&self) -> bool {
        let over = self.heard_end || self.shut_read || self.error.is_some() || self.dead;
        self.arrived.is_empty() && over
    }

    fn writable(&self, room: usize) -> bool {
        let over = self.said_end || self.error.is_some() || self.dead;
        !self.connecting && (over || self.leaving.len() < room)
    }

    pub(crate) fn unsent(&self) -> u64 {
        self.leaving.len() as u64
    }
}

/// Two ends; the first is the one that connected.
pub(crate) struct Connection {
    pub(crate) id: u32,
    pub(crate) world: Rc<World>,
    manners: Manners,
    ends: [RefCell<End>; 2],
    /// Bytes until the network resets it.
    doom: Cell<Option<u64>>,
}

impl Connection {
    /// `proxys` tells which end is the proxy's.
    pub(crate) fn new(world: &Rc<World>, proxys: usize) -> Rc<Self> {
        let id = world.connections.get();
        world.connections.set(id + 1);
        let weather = world.weather;
        let manners = Manners {
            latency: 1 + world.up_to(weather.latency_max) / world.pick(&[1, 1, 10, 1000]),
            grain: world.grain.saturating_mul(world.pick(&[1, 3, 1 << 20])),
            room: (world.grain * world.pick(&[2, 10, 100]))
                .max(world.pick(&[64, 700, 65_536]))
                .min(weather.room_max),
        };
        let doomed = weather.doomed_one_in > 0 && world.one_in(weather.doomed_one_in);
        let most = world.pick(&[100, 400, 4000]);
        let doom = doomed.then(|| world.up_to(most));
        world.note(2, u64::from(id) << 32);
        Rc::new(Self {
            id,
            world: Rc::clone(world),
            manners,
            ends: [RefCell::new(End::new(proxys == 0)), RefCell::new(End::new(proxys == 1))],
            doom: Cell::new(doom),
        })
    }

    pub(crate) fn end(&self, side: usize) -> &RefCell<End> {
        &self.ends[side]
    }

    /// What the kernel of an end would take now.
    pub(crate) fn room(&self, side: usize) -> usize {
        self.manners.room.saturating_sub(self.ends[side].borrow().leaving.len())
    }

    /// A time that something takes on this connection.
    pub(crate) fn delay(&self) -> u64 {
        1 + self.world.up_to(self.manners.latency)
    }

    /// A watch of one direction (0: reading, 1: writing) at one end.
    pub(crate) fn watch(&self, side: usize, direction: usize) -> Rc<Watch> {
        let watch = Watch::new();
        self.ends[side].borrow_mut().watches[direction].push(Rc::clone(&watch));
        watch
    }

    /// The server at the second end is about to speak without having been asked; of what it took it
    /// has `ahead` bytes not read yet, which are of the next request.
    pub(crate) fn note_unasked(&self, ahead: usize) {
        let server = self.ends[1].borrow();
        let read = server.taken - ahead as u64;
        self.ends[0].borrow_mut().unasked = Some((server.said, read));
    }

    /// Whether this end has been told that the connection is broken.
    pub(crate) fn is_broken(&self, side: usize) -> bool {
        let end = self.ends[side].borrow();
        end.error.is_some() || end.dead
    }

    fn is_ready(&self, side: usize, direction: usize) -> bool {
        let end = self.ends[side].borrow();
        if direction == 0 { end.readable() } else { end.writable(self.manners.room) }
    }

    pub(crate) fn poll(
        self: &Rc<Self>,
        (side, direction): (usize, usize),
        watch: &Rc<Watch>,
        cx: &Context<'_>,
    ) -> Poll<()> {
        if watch.state.get() == Wait::Answered {
            watch.state.set(Wait::Resting);
            return Poll::Ready(());
        }
        let mut waker = watch.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        if watch.state.get() == Wait::Resting {
            watch.state.set(Wait::Armed);
            if self.is_ready(side, direction) {
                self.answer_later(side, watch);
            }
        }
        Poll::Pending
    }

    fn answer_later(self: &Rc<Self>, side: usize, watch: &Rc<Watch>) {
        watch.state.set(Wait::Answering);
        let lag = if self.world.one_in(2) { self.world.up_to(LAG_MAX) } else { 0 };
        let wakes = !(self.ends[side].borrow().proxys && self.world.swallows_wake());
        let watch = Rc::clone(watch);
        self.world.after(lag, move || watch.answer(wakes));
    }

    /// Answers the waits of an end whose state has changed.
    fn answer_waits(self: &Rc<Self>, side: usize) {
        for direction in [0, 1] {
            if !self.is_ready(side, direction) {
                continue;
            }
            let count = self.ends[side].borrow().watches[direction].len();
            for index in 0..count {
                let watch = Rc::clone(&self.ends[side].borrow().watches[direction][index]);
                if watch.state.get() == Wait::Armed {
                    self.answer_later(side, &watch);
                }
            }
        }
    }

    pub(crate) fn recv(self: &Rc<Self>, side: usize, into: &mut [u8]) -> io::Result<usize> {
        let world = &self.world;
        let mut end = self.ends[side].borrow_mut();
        end.took_last = true;
        if end.arrived.is_empty() {
            if end.heard_end {
                return Ok(0);
            }
            if let Some(error) = end.error.take() {
                end.dead = true;
                return Err(io::Error::from_raw_os_error(error));
            }
            if end.has_ended() {
                return Ok(0);
            }
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut count = end.arrived.len().min(into.len());
        if count > 1 && world.one_in(4) {
            count = 1 + world.roll(count);
        }
        let mut lost = usize::from(end.proxys && count > 1 && world.loses_byte());
        let (front, back) = end.arrived.as_slices();
        let from_front = front.len().min(count);
        into[..from_front].copy_from_slice(&front[..from_front]);
        into[from_front..count].copy_from_slice(&back[..count - from_front]);
        end.arrived.drain(..count);
        end.taken += count as u64;
        if let Some((behind, said)) = end.unasked
            && end.taken > behind
        {
            end.unprompted = end.said <= said;
            end.unasked = None;
        }
        if !end.arrived.is_empty() {
            end.arrived_since = world.now();
        }
        if lost > 0 {
            // The last byte of what was taken never comes to the proxy.
            lost = lost.min(count - 1);
        }
        world.note(3, u64::from(self.id) << 32 | count as u64);
        drop(end);
        self.move_on(1 - side);
        Ok(count - lost)
    }

    pub(crate) fn send(self: &Rc<Self>, side: usize, bytes: &[u8]) -> io::Result<usize> {
        let world = &self.world;
        let mut end = self.ends[side].borrow_mut();
        if let Some(error) = end.error.take() {
            end.dead = true;
            return Err(io::Error::from_raw_os_error(error));
        }
        if end.dead || end.said_end {
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut count = self.manners.room.saturating_sub(end.leaving.len()).min(bytes.len());
        if end.connecting || count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if count > 1 && world.one_in(8) {
            count = 1 + world.roll(count);
        }
        if std::mem::replace(&mut end.took_last, false) {
            let waits = !end.arrived.is_empty();
            end.stale = if waits { world.now() - end.arrived_since } else { 0 };
        }
        end.leaving.extend(&bytes[..count]);
        end.said += count as u64;
        world.note(4, u64::from(self.id) << 32 | count as u64);
        drop(end);
        self.move_on(side);
        Ok(count)
    }

    /// What leaves `side` goes on its way, if it is not on it already.
    fn move_on(self: &Rc<Self>, side: usize) {
        let mut end = self.ends[side].borrow_mut();
        let ends = end.said_end && !end.passed_end;
        if end.moving || (end.leaving.is_empty() && !ends) {
            return;
        }
        end.moving = true;
        drop(end);
        let connection = Rc::clone(self);
        self.world.after(self.delay(), move || connection.arrive(side));
    }

    /// A piece that left `side` arrives.
    fn arrive(self: &Rc<Self>, side: usize) {
        let mut from = self.ends[side].borrow_mut();
        let mut to = self.ends[1 - side].borrow_mut();
        from.moving = false;
        let room = self.manners.room.saturating_sub(to.arrived.len());
        if to.closed {
            // Nobody is there to take it (RFC 9293 section 3.10.7.1).
            let heard = from.leaving.is_empty();
            drop((from, to));
            if !heard {
                self.be_reset(side, libc::ECONNRESET);
            }
            return;
        }
        let count = from.leaving.len().min(room).min(self.manners.grain);
        if count > 0 {
            if to.arrived.is_empty() {
                to.arrived_since = self.world.now();
            }
            let moved = from.leaving.drain(..count);
            to.arrived.extend(moved);
        }
        // Together with the last bytes, or behind them.
        let ends = from.leaving.is_empty() && from.said_end && !from.passed_end;
        if ends && (count == 0 || self.world.one_in(2)) {
            from.passed_end = true;
            to.heard_end = true;
        }
        self.world.note(5, u64::from(self.id) << 32 | count as u64);
        let more = (!from.leaving.is_empty() && room > count)
            || (from.leaving.is_empty() && from.said_end && !from.passed_end);
        drop((from, to));
        self.answer_waits(side);
        self.answer_waits(1 - side);
        if more {
            self.move_on(side);
        }
        if let Some(left) = self.doom.get() {
            self.doom.set(left.checked_sub(count as u64));
            if self.doom.get().is_none() {
                self.be_reset(0, libc::ECONNRESET);
                self.be_reset(1, libc::ECONNRESET);
            }
        }
    }

    /// The end at `side` learns that the connection is no more.
    pub(crate) fn be_reset(self: &Rc<Self>, side: usize, error: i32) {
        let mut end = self.ends[side].borrow_mut();
        if end.dead || end.closed {
            return;
        }
        self.world.note(6, u64::from(self.id) << 32 | side as u64);
        end.leaving.clear();
        end.passed_end = true;
        // As Linux has it: behind the peer's end it is a broken pipe.
        end.error = Some(if end.heard_end { libc::EPIPE } else { error });
        end.connecting = false;
        drop(end);
        self.answer_waits(side);
    }

    pub(crate) fn connect_result(&self, side: usize) -> io::Result<()> {
        let mut end = self.ends[side].borrow_mut();
        match end.error.take() {
            Some(error) => {
                end.dead = true;
                Err(io::Error::from_raw_os_error(error))
            }
            None => Ok(()),
        }
    }

    /// A connect has ended well.
    pub(crate) fn open(self: &Rc<Self>, side: usize) {
        self.ends[side].borrow_mut().connecting = false;
        self.answer_waits(side);
        self.move_on(side);
    }

    pub(crate) fn shutdown(self: &Rc<Self>, side: usize, how: std::net::Shutdown) {
        let mut end = self.ends[side].borrow_mut();
        if how != std::net::Shutdown::Write {
            end.shut_read = true;
        }
        if how != std::net::Shutdown::Read {
            end.said_end = true;
        }
        drop(end);
        self.world.note(7, u64::from(self.id) << 32 | side as u64);
        self.answer_waits(side);
        self.move_on(side);
    }

    /// The owner is gone. What it has not taken, or its wish, makes it a reset.
    pub(crate) fn close(self: &Rc<Self>, side: usize) {
        let mut end = self.ends[side].borrow_mut();
        let resets = end.resets || !end.arrived.is_empty() || end.connecting;
        end.closed = true;
        end.said_end = true;
        end.arrived.clear();
        for watch in end.watches.iter_mut().flat_map(|watches| watches.drain(..)) {
            watch.waker.borrow_mut().take();
        }
        let dead = end.dead || end.error.is_some();
        if resets {
            end.leaving.clear();
            end.passed_end = true;
        }
        drop(end);
        self.world.note(8, u64::from(self.id) << 32 | (side * 10 + usize::from(resets)) as u64);
        if dead {
            return;
        }
        if resets {
            let connection = Rc::clone(self);
            self.world.after(self.delay(), move || {
                connection.be_reset(1 - side, libc::ECONNRESET);
            });
        } else {
            self.move_on(side);
        }
    }
}

//! The simulated machine behind the traits of `net`.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use gatehouse::net::{Block, Dial, Machine, Moment, Socket};

use super::network::{Arrival, Connection, Watch};
use super::notes::Stayed;
use super::planted::Plant;
use super::world::{MS, World};

/// The machine that the proxy runs on.
#[derive(Clone)]
pub(crate) struct Sim(pub(crate) Rc<World>);

impl Machine for Sim {
    type Socket = SimSocket;

    fn now(&self) -> Moment {
        Moment(self.0.proxy_now())
    }

    fn wall_micros(&self) -> u64 {
        self.0.wall_micros()
    }

    fn dial(&self, dial: &Dial) -> io::Result<SimSocket> {
        let gate = self.0.gate.borrow().clone();
        let arrival = gate.map_or(Arrival::Silent, |gate| gate(dial.to));
        self.0.note(9, u64::from(dial.to.port()));
        if let Arrival::FailsAtOnce(error) = arrival {
            return Err(io::Error::from_raw_os_error(error));
        }
        if let Some(shared) = self.0.shares_connection(dial.to) {
            return Ok(SimSocket::new(shared, 0));
        }
        let connection = Connection::new(&self.0, 0);
        connection.end(0).borrow_mut().connecting = true;
        let socket = SimSocket::new(Link::new(&connection, 0, true), 0);
        self.0.lend(dial.to, &socket.link);
        let (to, world) = (dial.to, Rc::clone(&self.0));
        let after = connection.delay() * 2;
        self.0.after(after, move || match arrival {
            Arrival::Accepted => {
                let accepted = SimSocket::new(Link::new(&connection, 1, false), 1);
                let inn = world.inn.borrow().clone();
                if let Some(inn) = inn {
                    inn(accepted, to);
                }
                connection.open(0);
            }
            Arrival::Fails(error) => connection.be_reset(0, error),
            Arrival::FailsAtOnce(_) | Arrival::Silent => {}
        });
        Ok(socket)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(task);
    }
}

impl World {
    /// A client's connection to the proxy; the other end arrives there after a while.
    pub(crate) fn connect(self: &Rc<Self>, from: SocketAddr) -> SimSocket {
        let connection = Connection::new(self, 1);
        let socket = SimSocket::new(Link::new(&connection, 0, false), 0);
        let world = Rc::clone(self);
        // Before anything that the client says.
        self.after(0, move || {
            let accepted = SimSocket::new(Link::new(&connection, 1, true), 1);
            let (since, until) = (world.now(), u64::MAX);
            let stayed = Stayed { from, connection: accepted.id(), since, until };
            world.notes.borrow_mut().stays.push(stayed);
            let door = world.door.borrow().clone();
            if let Some(door) = door {
                door(accepted, from);
            }
        });
        socket
    }
}

/// An open socket, and what was posted on it. Closed when nobody holds it any more.
pub(crate) struct Link {
    pub(crate) connection: Rc<Connection>,
    pub(crate) side: usize,
    proxys: bool,
    posted: RefCell<Option<Block>>,
    /// The kernel has told the connection's error to a sender, and tells it nobody else.
    broken: Cell<bool>,
}

impl Link {
    fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        match self.connection.recv(self.side, into) {
            Ok(0) if self.broken.get() && !self.ends_politely() => {
                Err(io::ErrorKind::ConnectionReset.into())
            }
            taken => taken,
        }
    }

    fn ends_politely(&self) -> bool {
        self.connection.world.plant == Some(Plant::PoliteReset)
    }

    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        self.connection.send(self.side, bytes).inspect_err(|error| {
            let ours =
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::BrokenPipe);
            self.broken.set(self.broken.get() || !ours);
        })
    }

    fn new(connection: &Rc<Connection>, side: usize, proxys: bool) -> Rc<Self> {
        let count = &connection.world.proxy_sockets;
        count.set(count.get() + u32::from(proxys));
        let connection = Rc::clone(connection);
        let (posted, broken) = (RefCell::default(), Cell::default());
        Rc::new(Self { connection, side, proxys, posted, broken })
    }

    fn holds_posted(&self) -> bool {
        self.posted.borrow().is_some()
    }

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
                    self.connection.shutdown(self.side, Shutdown::Both);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn abandon(&self) {
        if self.holds_posted() && self.send_posted().is_err() {
            *self.posted.borrow_mut() = None;
            self.connection.shutdown(self.side, Shutdown::Both);
        }
    }

    /// Sends what was posted in this turn; what is not taken is gone on with.
    pub(crate) fn end_turn(world: &World) {
        let due = std::mem::take(&mut *world.posted.borrow_mut());
        for link in due {
            if link.send_posted().is_err() && link.holds_posted() {
                world.spawn(go_on(link));
            }
        }
    }
}

async fn go_on(link: Rc<Link>) {
    let watch = link.connection.watch(link.side, 1);
    while link.holds_posted() {
        poll_fn(|cx| link.connection.poll((link.side, 1), &watch, cx)).await;
        let _ = link.send_posted();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let count = &self.connection.world.proxy_sockets;
        count.set(count.get() - u32::from(self.proxys));
        if self.proxys && self.side == 1 {
            let (id, world) = (self.connection.id, &self.connection.world);
            let mut notes = world.notes.borrow_mut();
            if let Some(stayed) = notes.stays.iter_mut().find(|one| one.connection == id) {
                stayed.until = world.now();
            }
        }
        if self.proxys && self.side == 0 {
            let world = &self.connection.world;
            world.notes.borrow_mut().let_go.insert(self.connection.id, world.now());
        }
        self.connection.close(self.side);
    }
}

pub(crate) struct SimSocket {
    pub(crate) link: Rc<Link>,
    read: Rc<Watch>,
    write: Rc<Watch>,
}

impl SimSocket {
    fn new(link: Rc<Link>, side: usize) -> Self {
        let (read, write) = (link.connection.watch(side, 0), link.connection.watch(side, 1));
        Self { link, read, write }
    }

    /// The number of its connection.
    pub(crate) fn id(&self) -> u32 {
        self.link.connection.id
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.link.abandon();
    }
}

impl Socket for SimSocket {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.connection.poll((self.link.side, 0), &self.read, cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.link.connection.poll((self.link.side, 1), &self.write, cx)
    }

    fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.link.take(into)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.link.holds_posted() {
            self.link.send_posted()?;
        }
        self.link.give(bytes)
    }

    fn post(&self, message: Block) {
        let before = self.link.posted.replace(Some(message));
        assert!(before.is_none(), "whoever posts has asked whether something is posted");
        self.link.connection.world.posted.borrow_mut().push(Rc::clone(&self.link));
    }

    fn holds_posted(&self) -> bool {
        self.link.holds_posted()
    }

    fn has_news(&self) -> bool {
        self.link.connection.end(self.link.side).borrow().readable()
    }

    fn has_ended(&self) -> bool {
        self.link.connection.end(self.link.side).borrow().has_ended()
    }

    fn unacknowledged(&self) -> u64 {
        self.link.connection.end(self.link.side).borrow().unsent()
    }

    fn room(&self) -> usize {
        self.link.connection.room(self.link.side)
    }

    fn unsent(&self) -> u64 {
        self.link.connection.end(self.link.side).borrow().unsent()
    }

    fn connect_result(&self) -> io::Result<()> {
        self.link.connection.connect_result(self.link.side)
    }

    fn shutdown(&self, how: Shutdown) {
        if self.link.holds_posted() && how != Shutdown::Read {
            let _ = self.link.send_posted();
        }
        self.link.connection.shutdown(self.link.side, how);
    }

    fn reset_on_close(&self) {
        self.link.connection.end(self.link.side).borrow_mut().resets = true;
    }
}

/// The length of a worker's tick, with what the kernel may be late.
pub(crate) fn tick_length(world: &World) -> u64 {
    50 * MS + world.up_to(2 * MS)
}

//! The simulated machine behind the traits of `net`.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use gatehouse::net::{Block, Dial, Link, Machine, Moment, Pipe, Socket};

use super::network::{Arrival, Connection, End, Watch};
use super::notes::Stayed;
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
            return Ok(SimSocket::new(shared));
        }
        let connection = Connection::new(&self.0, 0);
        connection.end(0).borrow_mut().connecting = true;
        let socket = SimSocket::new(Held::link(&connection, 0, true));
        self.0.lend(dial.to, &socket.link);
        let (to, world) = (dial.to, Rc::clone(&self.0));
        let after = connection.delay() * 2;
        self.0.after(after, move || match arrival {
            Arrival::Accepted => {
                let accepted = SimSocket::new(Held::link(&connection, 1, false));
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
        let socket = SimSocket::new(Held::link(&connection, 0, false));
        let world = Rc::clone(self);
        // Before anything that the client says.
        self.after(0, move || {
            let accepted = SimSocket::new(Held::link(&connection, 1, true));
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

/// One end of a connection as its owner holds it. Closed when nobody does any more.
pub(crate) struct Held {
    pub(crate) connection: Rc<Connection>,
    pub(crate) side: usize,
    proxys: bool,
}

impl Held {
    fn link(connection: &Rc<Connection>, side: usize, proxys: bool) -> Rc<Link<Self>> {
        let count = &connection.world.proxy_sockets;
        count.set(count.get() + u32::from(proxys));
        Link::new(Self { connection: Rc::clone(connection), side, proxys })
    }

    pub(crate) fn end(&self) -> &RefCell<End> {
        self.connection.end(self.side)
    }
}

impl Pipe for Held {
    fn take(&self, into: &mut [u8]) -> io::Result<usize> {
        self.connection.recv(self.side, into)
    }

    fn give(&self, bytes: &[u8]) -> io::Result<usize> {
        let given = self.connection.send(self.side, bytes);
        given.map_err(|error| self.connection.world.softens(error))
    }

    fn shutdown(&self, how: Shutdown) {
        self.connection.shutdown(self.side, how);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let world = &self.connection.world;
        world.proxy_sockets.set(world.proxy_sockets.get() - u32::from(self.proxys));
        if self.proxys && self.side == 1 {
            let mut notes = world.notes.borrow_mut();
            let id = self.connection.id;
            if let Some(stayed) = notes.stays.iter_mut().find(|one| one.connection == id) {
                stayed.until = world.now();
            }
        }
        if self.proxys && self.side == 0 {
            world.notes.borrow_mut().let_go.insert(self.connection.id, world.now());
        }
        self.connection.close(self.side);
    }
}

impl World {
    /// Sends what was posted in this turn; what is not taken is gone on with.
    pub(crate) fn end_turn(&self) {
        let waker = Waker::from(Arc::clone(&self.posted));
        self.outbox.end_turn(&waker, |link| {
            let watch = link.pipe.connection.watch(link.pipe.side, 1);
            self.spawn(async move {
                let Held { connection, side, .. } = &link.pipe;
                link.go_on(|cx| connection.poll((*side, 1), &watch, cx)).await;
            });
        });
    }
}

pub(crate) struct SimSocket {
    pub(crate) link: Rc<Link<Held>>,
    read: Rc<Watch>,
    write: Rc<Watch>,
}

impl SimSocket {
    fn new(link: Rc<Link<Held>>) -> Self {
        let Held { connection, side, .. } = &link.pipe;
        let (read, write) = (connection.watch(*side, 0), connection.watch(*side, 1));
        Self { link, read, write }
    }

    /// The number of its connection.
    pub(crate) fn id(&self) -> u32 {
        self.link.pipe.connection.id
    }

    fn poll(&self, direction: usize, watch: &Rc<Watch>, cx: &Context<'_>) -> Poll<()> {
        let Held { connection, side, .. } = &self.link.pipe;
        connection.poll((*side, direction), watch, cx)
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.link.abandon();
    }
}

impl Socket for SimSocket {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(0, &self.read, cx)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll(1, &self.write, cx)
    }

    fn recv(&self, into: &mut [u8]) -> io::Result<usize> {
        self.link.take(into)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.link.send(bytes)
    }

    fn post(&self, message: Block) {
        self.link.pipe.connection.world.outbox.post(&self.link, message);
    }

    fn holds_posted(&self) -> bool {
        self.link.holds_posted()
    }

    fn given(&self) -> u64 {
        self.link.given()
    }

    fn has_news(&self) -> bool {
        self.link.pipe.end().borrow().readable()
    }

    fn has_ended(&self) -> bool {
        self.link.pipe.end().borrow().has_ended()
    }

    fn unacknowledged(&self) -> u64 {
        self.link.pipe.end().borrow().unsent()
    }

    fn room(&self) -> usize {
        self.link.pipe.connection.room(self.link.pipe.side)
    }

    fn unsent(&self) -> u64 {
        self.link.pipe.end().borrow().unsent()
    }

    fn connect_result(&self) -> io::Result<()> {
        self.link.pipe.connection.connect_result(self.link.pipe.side)
    }

    fn shutdown(&self, how: Shutdown) {
        self.link.shutdown(how);
    }

    fn reset_on_close(&self) {
        self.link.pipe.end().borrow_mut().resets = true;
    }
}

/// The length of a worker's tick, with what the kernel may be late.
pub(crate) fn tick_length(world: &World) -> u64 {
    50 * MS + world.up_to(2 * MS)
}

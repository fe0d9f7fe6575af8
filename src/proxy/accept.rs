//! Clients come in: one task accepts for a listener, one task serves each client.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::exchange::{ClientFault, Failure, ProxyFault};
use crate::net::{Acceptor, Block, Listening, Machine, Reserved, Ring, Socket};
use crate::observe::{Counter, Counters, Notices, Text};
use crate::site::Listener;
use crate::tls::{ClientLack, Hello, OldSuite, Presented};

use super::admit::{Bounds, Handshake, Seat};
use super::alarm::{Alarm, Which};
use super::client::Client;
use super::kept::DoorId;
use super::obtain::no_descriptors;
use super::stream::{Broken, Stream};
use super::worker::Worker;

/// Clients accepted in one go before others get their turn.
const BATCH_MAX: usize = 64;

/// Batches that are accepted when a socket is left: as many clients as may wait in it.
const ENDING_BATCHES: usize = 4096 / BATCH_MAX;

/// How long the handshake of a client may take that will be refused.
const REFUSED_HANDSHAKE: Duration = Duration::from_secs(2);

/// Memory that a client takes up beside blocks and its TLS session. Measured: 4.4 KiB while it is idle,
/// 5.3 with an upstream connection on which its answer is awaited.
const CLIENT_BYTES: u32 = 6 * 1024;

/// Descriptors kept aside, so that clients beyond the limit can be told so.
const SPARES: usize = 8;

/// Descriptors that are given up for a client when no other is left.
struct Spares {
    acceptor: Rc<Acceptor>,
    kept: RefCell<Vec<Listening>>,
}

/// One spare in use; it is taken back when the client has gone.
struct Spare(Rc<Spares>);

impl Spares {
    fn new(acceptor: Rc<Acceptor>) -> Rc<Self> {
        let spares = Rc::new(Self { acceptor, kept: RefCell::default() });
        spares.refill();
        spares
    }

    fn refill(&self) {
        let mut kept = self.kept.borrow_mut();
        while kept.len() < SPARES {
            let Ok(spare) = self.acceptor.listening().share() else { return };
            kept.push(spare);
        }
    }

    fn spend(self: &Rc<Self>) -> Option<Spare> {
        self.kept.borrow_mut().pop().map(|_| Spare(Rc::clone(self)))
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // The client's own descriptor is closed a moment later; the accept loop refills too.
        self.0.refill();
    }
}

/// Accepts clients of one listening socket until `stopped`, then what was waiting already. `door`
/// says whose they are; a socket may come to another Listener by a reload.
pub async fn serve_listener(
    worker: Rc<Worker<Ring>>,
    door: impl Fn() -> DoorId,
    listening: Listening,
    stopped: impl Fn() -> bool,
) -> io::Result<()> {
    let alarm = worker.alarms.open();
    let acceptor = Rc::new(watch(&worker, listening, &alarm, &stopped).await?);
    let spares = Spares::new(Rc::clone(&acceptor));
    let mut short_of_files = false;
    loop {
        let ending = stopped();
        // The tick wakes this wait, so that a stop is seen. Where there was no descriptor for a
        // client that waits, there is none before the next tick either.
        alarm.set(Which::Client, Duration::ZERO);
        let ready = |cx: &mut Context<'_>| match short_of_files {
            true => Poll::Pending,
            false => acceptor.poll_ready(cx),
        };
        let waited = alarm.until(Which::Client, ready).await;
        spares.refill();
        if waited.is_ok() || ending || short_of_files {
            short_of_files = !accept_waiting(&worker, door(), &acceptor, &spares);
        }
        if ending {
            // What the kernel has completed already would be reset.
            for _ in 0..ENDING_BATCHES {
                accept_waiting(&worker, door(), &acceptor, &spares);
            }
            return Ok(());
        }
    }
}

/// Descriptors may be short for a while; clients that the kernel gives to this socket wait for us
/// meanwhile, so we try again at every tick.
async fn watch(
    worker: &Rc<Worker<Ring>>,
    mut listening: Listening,
    alarm: &Alarm,
    stopped: &impl Fn() -> bool,
) -> io::Result<Acceptor> {
    loop {
        match Acceptor::new(listening) {
            Ok(acceptor) => return Ok(acceptor),
            Err((_, error)) if stopped() => return Err(error),
            Err((back, error)) => {
                worker.say("a listener", &format!("cannot accept yet: {error}"));
                listening = back;
                worker.idle.drop_one();
                alarm.set(Which::Client, Duration::ZERO);
                let _ = alarm.until::<()>(Which::Client, |_| Poll::Pending).await;
            }
        }
    }
}

/// Accepts who waits; false if there is no descriptor for one of them.
fn accept_waiting(
    worker: &Rc<Worker<Ring>>,
    door: DoorId,
    acceptor: &Acceptor,
    spares: &Rc<Spares>,
) -> bool {
    for _ in 0..BATCH_MAX {
        let mut spare = None;
        let mut accepted = acceptor.accept();
        if accepted.as_ref().is_err_and(no_descriptors) {
            // An idle upstream connection is worth less than a client.
            if !worker.idle.drop_one() {
                spare = spares.spend();
                if spare.is_none() {
                    return false;
                }
            }
            accepted = acceptor.accept();
        }
        match accepted {
            Ok((socket, peer)) => begin(worker, door, socket, peer, spare),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
            // The client has gone before we came to it; the next one may not.
            Err(_) => {}
        }
    }
    true
}

/// Serves a client whose connection stands, whoever accepted it, as one of the Listener at `door`.
pub fn serve_accepted<M: Machine>(
    worker: &Rc<Worker<M>>,
    door: DoorId,
    socket: M::Socket,
    peer: SocketAddr,
) {
    begin(worker, door, socket, peer, None);
}

fn begin<M: Machine>(
    worker: &Rc<Worker<M>>,
    door: DoorId,
    socket: M::Socket,
    peer: SocketAddr,
    spare: Option<Spare>,
) {
    let view = worker.view();
    let trouble = if spare.is_some() {
        Some(ProxyFault::NoDescriptors)
    } else {
        worker.memory_is_full(&view).then_some(ProxyFault::MemoryFull)
    };
    let bounds = Bounds {
        clients_max: view.clients_max,
        per_address_max: view.config.limits.clients_per_address_max,
    };
    let (seat, refused) = Seat::take(&worker.shared, peer.ip(), bounds, trouble);
    if let Some(failure) = refused {
        count_refused(&worker.counters, failure);
    }
    // Who is not even told so just sees its connection end.
    let Some(seat) = seat else { return };
    worker.counters.clients.add(1);
    let room = Reserved::new(CLIENT_BYTES);
    let served = Rc::clone(worker);
    worker.machine.spawn(async move {
        let story = pin!(serve_client(Rc::clone(&served), door, socket, peer, refused));
        end_alone(&served.counters, (&served.shared.notices, &peer), story).await;
        drop((seat, spare, room));
    });
}

/// A client's life from its first to its last byte, whatever that is; a fault of ours ends it alone.
async fn end_alone(
    counters: &Counters,
    (notices, peer): (&Notices, &SocketAddr),
    story: Pin<&mut impl Future<Output = ()>>,
) {
    if caught(story).await.is_err() {
        counters.panics.add(1);
        notices.say(&peer.to_string(), "a panic of ours ended this connection");
    }
    counters.clients_ended.add(1);
}

/// Which limit a client met.
fn count_refused(counters: &Counters, failure: Failure) {
    counters.clients_refused.add(1);
    let by = match failure {
        Failure::Proxy(ProxyFault::TooManyClients) => &counters.refused_clients_max,
        Failure::Proxy(ProxyFault::MemoryFull) => &counters.refused_memory,
        Failure::Proxy(_) => &counters.refused_descriptors,
        Failure::Client(_) | Failure::Upstream(_) => &counters.refused_per_address,
    };
    by.add(1);
}

/// Runs `story`; a panic in it ends it alone, and gives an error. It is lent, since a story that is
/// handed over would take up its room twice.
pub async fn caught<T>(mut story: Pin<&mut impl Future<Output = T>>) -> Result<T, ()> {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| story.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Ready(told)) => Poll::Ready(Ok(told)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(Err(())),
        }
    })
    .await
}

async fn serve_client<M: Machine>(
    worker: Rc<Worker<M>>,
    door: DoorId,
    socket: M::Socket,
    peer: SocketAddr,
    refused: Option<Failure>,
) {
    let alarm = worker.alarms.open();
    let time = refused.map(|_| REFUSED_HANDSHAKE);
    let Some((stream, presented)) =
        shake_hands(&worker, (door, peer), socket, (&alarm, time)).await
    else {
        return;
    };
    let client_idle = worker.view().config.timeouts.client_idle;
    let mut client = Client {
        worker,
        stream,
        alarm,
        door,
        peer,
        presented,
        inbox: None,
        pins: Vec::new(),
        refused,
        client_idle,
    };
    client.serve().await;
}

/// TLS, where the listener has it; `None` if that fails, or the listener is gone.
async fn shake_hands<M: Machine>(
    worker: &Rc<Worker<M>>,
    (door, peer): (DoorId, SocketAddr),
    socket: M::Socket,
    (alarm, time): (&Alarm, Option<Duration>),
) -> Option<(Stream<M::Socket>, Option<Presented>)> {
    let view = worker.view();
    let listener = view.listener(door)?;
    if !listener.tls {
        return Some((Stream::plain(socket), None));
    }
    let handshakes_max = view.config.limits.handshakes_max;
    let Some(_under_way) = Handshake::begin(&worker.shared, handshakes_max) else {
        // There is no answer before a handshake.
        worker.counters.handshakes_refused.add(1);
        say_handshakes_full(worker, listener, handshakes_max);
        return None;
    };
    alarm.set(Which::Client, time.unwrap_or(view.config.timeouts.handshake));
    match secure(&view, door, socket, alarm).await {
        Ok((stream, presented)) => {
            worker.counters.handshakes.add(1);
            worker.counters.handshakes_resumed.add(u64::from(stream.is_resumed()));
            if let Some(suite) = stream.old_suite() {
                clients_with(&worker.counters, suite).add(1);
            }
            Some((stream, Some(presented)))
        }
        Err(unshaken) => {
            worker.counters.handshakes_failed.add(1);
            if let Some(fault) = unshaken.lack {
                note_unshaken(worker, peer, fault, unshaken.name.as_deref());
            }
            None
        }
    }
}

/// Counts handshakes with clients.
fn clients_with(counters: &Counters, suite: OldSuite) -> &Counter {
    match suite {
        OldSuite::Aes128Sha256 => &counters.handshakes_aes128_sha256,
        OldSuite::Aes256Sha => &counters.handshakes_aes256_sha,
        OldSuite::Aes128Sha => &counters.handshakes_aes128_sha,
        OldSuite::Aes256Sha384 => &counters.handshakes_aes256_sha384,
    }
}

/// A client that no handshake will succeed with is in the log, since nobody else can say why.
fn note_unshaken<M: Machine>(
    worker: &Worker<M>,
    peer: SocketAddr,
    fault: ClientFault,
    name: Option<&str>,
) {
    let mut record = worker.open_record();
    record.wall_micros = worker.wall_micros_at(worker.machine.now());
    record.client = peer;
    record.tls = true;
    if let Some(name) = name {
        record.note(Text::Host, name.as_bytes());
    }
    let failure = Failure::Client(fault);
    record.failure = Some((failure.word(), failure.party()));
    worker.close_record(record);
}

fn say_handshakes_full<M: Machine>(worker: &Worker<M>, listener: &Listener, most: u32) {
    if !worker.shared.crowd.handshakes_said.is_time(worker.alarms.now().0) {
        return;
    }
    let (name, port) = (&listener.name, listener.port);
    worker.say(
        &format!("listener {name}"),
        &format!(
            "{most} TLS handshakes are under way, as many as limits.handshakes_max allows; new connections are closed without an answer. `ss -tn 'sport = :{port}'` shows where they come from; raise the limit if they are users"
        ),
    );
}

/// A client that TLS could not be set up with.
#[derive(Debug, Default)]
struct Unshaken {
    /// What it lacks, if that is why.
    lack: Option<ClientFault>,
    /// The server name that it asked for.
    name: Option<String>,
}

impl Unshaken {
    fn of(broken: &Broken, name: Option<String>) -> Self {
        let lack = if let Broken::Tls(fault) = broken { fault.lack() } else { None };
        let lack = lack.map(|lack| match lack {
            ClientLack::Version => ClientFault::TlsTooOld,
            ClientLack::Suite => ClientFault::NoCommonSuite,
        });
        Self { lack, name }
    }

    /// One whose greeting was refused.
    fn by_greeting(greeting: &[u8]) -> Self {
        let old = Hello::read(greeting).filter(Hello::is_too_old);
        old.map_or_else(Self::default, |hello| Self {
            lack: Some(ClientFault::TlsTooOld),
            name: hello.name,
        })
    }
}

async fn secure<S: Socket>(
    view: &super::live::Live,
    door: DoorId,
    socket: S,
    alarm: &Alarm,
) -> Result<(Stream<S>, Presented), Unshaken> {
    let listener = view.listener(door).ok_or_else(Unshaken::default)?;
    let terminator = view.terminator(listener.id).ok_or_else(Unshaken::default)?;
    let mut block: Option<Block> = None;
    loop {
        let readable = alarm.until(Which::Client, |cx| socket.poll_readable(cx)).await;
        readable.map_err(|_| Unshaken::default())?;
        let greeting = block.get_or_insert_with(Block::small);
        match socket.recv(greeting.room()) {
            Ok(0) => return Err(Unshaken::default()),
            Ok(count) => greeting.add(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(Unshaken::default()),
        }
        let mut alert = Vec::new();
        match terminator.greet(greeting.filled(), &mut alert) {
            Ok(None) if greeting.room_left() == 0 => return Err(Unshaken::default()),
            Ok(None) => {}
            Ok(Some(greeted)) => {
                let stream = Stream::secure(socket, greeted.session);
                let shaken = stream.handshake(block.take(), alarm, Which::Client).await;
                return match shaken {
                    Ok(()) => Ok((stream, greeted.presented)),
                    Err(broken) => Err(Unshaken::of(&broken, greeted.name)),
                };
            }
            Err(_) => {
                // A client that we cannot talk to gets the alert if it still listens.
                let _ = socket.send(&alert);
                return Err(Unshaken::by_greeting(greeting.filled()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Polls `story` until it ends, at most so many times.
    fn run<T>(mut story: Pin<&mut impl Future<Output = T>>, most: usize) -> Option<T> {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..most {
            if let Poll::Ready(told) = story.as_mut().poll(&mut cx) {
                return Some(told);
            }
        }
        None
    }

    /// Waits `turns` times, then ends or panics.
    async fn story(turns: usize, panics: bool, dropped: Rc<()>) {
        let mut left = turns;
        poll_fn(|_| {
            left = left.saturating_sub(1);
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert!(!panics, "planted");
        drop(dropped);
    }

    #[test]
    fn a_panic_ends_one_connection_and_is_counted() {
        let (counters, notices) = (Counters::default(), Notices::default());
        let peer: SocketAddr = ([192, 0, 2, 1], 50_000).into();
        for (client, panics) in [false, true, false, true, true].into_iter().enumerate() {
            let held = Rc::new(());
            let kept = Rc::clone(&held);
            {
                let life = pin!(story(client + 1, panics, held));
                let end = pin!(end_alone(&counters, (&notices, &peer), life));
                assert!(run(end, client + 1).is_some(), "client {client}");
            }
            assert_eq!(Rc::strong_count(&kept), 1, "nothing of client {client} is left");
        }
        let counts = counters.read();
        assert_eq!((counts.panics, counts.clients_ended), (3, 5));
        let said = notices.take().0;
        assert_eq!(said, ["192.0.2.1:50000: a panic of ours ended this connection"]);
    }

    #[test]
    fn what_does_not_panic_gives_what_it_gives() {
        assert_eq!(run(pin!(caught(pin!(async { 7 }))), 1), Some(Ok(7)));
    }
}

//! Every time-out on its own: somebody stops at one step, and what is to happen then happens
//! within the limit and not before it.

use std::cell::Cell;
use std::rc::Rc;

use super::machine::SimSocket;
use super::network::{Arrival, Weather};
use super::scenarios::address;
use super::stage::Stage;
use super::wire::{Head, OF_ANSWER, Wire, body_of};
use super::world::{MS, SECOND, World};

/// Quick, so that times can be told.
pub(crate) const WEATHER: Weather =
    Weather { doomed_one_in: 0, latency_max: MS / 10, room_max: 4096 };

/// Each has a length of its own.
pub(crate) const FILE: &str = r#"
[pool.a]
servers = ["10.0.0.1:80", "10.0.0.2:80"]
[[site.test.rule]]
path = "/a"
pool = "a"
[timeouts]
client_head = "2s"
client_idle = "14s"
client_body_idle = "3s"
client_write_idle = "4s"
connect = "1s"
response_head = "5s"
response_body_idle = "6s"
tunnel_idle = "8s"
upstream_idle = "9s"
"#;

/// Ticks, the rounding of deadlines to them, and the way of the news.
const SLACK: u64 = 400 * MS;

/// How far the worker's clock may lag behind, by which a deadline that is set then is too early.
const TICK_LAG: u64 = 60 * MS;

/// Who watches what in one case.
struct Case {
    world: Rc<World>,
    name: &'static str,
    /// When the wait that is looked at began.
    from: Cell<u64>,
}

impl Case {
    fn begin(&self) {
        self.from.set(self.world.now());
    }

    fn wrong(&self, what: &str) {
        self.world.notes.borrow_mut().wrong.push(format!("{}: {what}", self.name));
    }

    /// What was waited for has happened; it was due `seconds` after the beginning, up to `late`
    /// nanoseconds later, and up to `early` sooner where the beginning was seen from afar.
    fn is_due(&self, seconds: u64, (early, late): (u64, u64)) {
        let after = self.world.now() - self.from.get();
        let (least, most) = (seconds * SECOND - early, seconds * SECOND + late + SLACK);
        if after < least || after > most {
            self.wrong(&format!("after {} ms of {seconds} s", after / MS));
        }
        self.world.notes.borrow_mut().see(self.name);
    }

    async fn expect_end(&self, wire: &mut Wire) {
        let more = wire.more().await;
        if more.is_ok() || !wire.inbox.is_empty() {
            self.wrong("something came instead of the end");
        }
    }

    async fn expect_own(&self, wire: &mut Wire, status: &str) {
        match wire.head().await {
            Ok(head) if head.start.split(' ').nth(1) == Some(status) => {}
            other => self.wrong(&format!("{other:?} instead of {status}")),
        }
    }

    async fn head(&self, wire: &mut Wire) -> Option<Head> {
        let head = wire.head().await;
        if head.is_err() {
            self.wrong("no head came");
        }
        head.ok()
    }

    /// Waits until the connection is told to be broken, without taking anything from it.
    async fn expect_break(&self, wire: &Wire) {
        let connection = wire.connection();
        while !connection.is_broken(0) {
            self.world.sleep(5 * MS).await;
            if self.world.now() - self.from.get() > 60 * SECOND {
                return self.wrong("it is not cut");
            }
        }
    }

    /// A server's connection is over, whatever still lies in it.
    async fn expect_gone(&self, wire: &mut Wire) {
        while wire.more().await.is_ok() {}
    }

    async fn give(&self, wire: &Wire, text: &str) {
        wire.pen.give(text.as_bytes()).await.ok();
    }

    /// Not quite silent: single bytes, each before the patience for the next has ended.
    async fn drip(&self, wire: &Wire, pause: u64) {
        for _ in 0..self.world.roll(3) {
            self.world.sleep(pause).await;
            self.give(wire, "x").await;
        }
    }
}

const GET: &str = "GET /a/1000 HTTP/1.1\r\nHost: a.test\r\n\r\n";
const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const UPGRADE: &str =
    "GET /a/1000 HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Cases by name; each is one client, and what its server does.
pub(crate) const SEES: &[&str] = &[
    "client_head of nothing",
    "client_head of a part",
    "client_idle",
    "client_body_idle",
    "client_write_idle",
    "connect",
    "response_head",
    "response_body_idle",
    "tunnel_idle",
    "upstream_idle",
    "idle pin",
    "half-closed client",
];

async fn client(case: Rc<Case>, mut wire: Wire) {
    let wire = &mut wire;
    case.begin();
    match case.name {
        "client_head of nothing" => {
            case.expect_end(wire).await;
            case.is_due(2, (0, 0));
        }
        "client_head of a part" => {
            case.world.sleep(case.world.up_to(1900 * MS)).await;
            case.begin();
            case.give(wire, "GET /").await;
            case.world.sleep(case.world.up_to(1500 * MS)).await;
            // More of it does not help.
            case.give(wire, "a").await;
            case.expect_own(wire, "408").await;
            case.is_due(2, (0, 0));
        }
        "client_idle" => {
            case.give(wire, GET).await;
            case.head(wire).await;
            case.begin();
            case.expect_end(wire).await;
            case.is_due(14, (SLACK, 0));
        }
        "client_body_idle" => {
            let head = "POST /a/1000 HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\nhalf";
            case.give(wire, head).await;
            case.drip(wire, 2500 * MS).await;
            case.begin();
            case.expect_own(wire, "408").await;
            case.is_due(3, (0, 0));
        }
        "client_write_idle" => {
            case.give(wire, GET).await;
            case.head(wire).await;
            case.begin();
            case.expect_break(wire).await;
            // What is there to be taken is looked at twice in the time.
            case.is_due(4, (0, 2 * SECOND));
        }
        "connect" => {
            case.give(wire, GET).await;
            case.expect_own(wire, "504").await;
            // Each of the two servers is tried.
            case.is_due(2, (0, 100 * MS));
        }
        "response_head" => {
            case.give(wire, GET).await;
            case.begin();
            case.expect_own(wire, "504").await;
            case.is_due(5, (TICK_LAG, 0));
        }
        "response_body_idle" => {
            case.give(wire, GET).await;
            case.head(wire).await;
            case.expect_gone(wire).await;
            // The server has noted when it fell silent.
            case.is_due(6, (0, 0));
        }
        "tunnel_idle" => {
            case.give(wire, UPGRADE).await;
            case.head(wire).await;
            case.drip(wire, 7 * SECOND).await;
            case.begin();
            case.expect_end(wire).await;
            case.is_due(8, (SLACK, 0));
        }
        "upstream_idle" => {
            case.give(wire, GET).await;
            case.head(wire).await;
        }
        "idle pin" => {
            let text = "GET /a/1000 HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n";
            case.give(wire, text).await;
            case.head(wire).await;
            case.begin();
            case.expect_end(wire).await;
            case.is_due(9, (SLACK, 0));
        }
        _ => {
            case.give(wire, GET).await;
            wire.pen.end();
            case.begin();
            case.expect_end(wire).await;
            case.is_due(2, (0, 0));
        }
    }
}

async fn server(case: Rc<Case>, mut wire: Wire) {
    let wire = &mut wire;
    if case.head(wire).await.is_none() {
        return;
    }
    match case.name {
        "client_body_idle" | "response_head" | "half-closed client" => {
            case.expect_gone(wire).await;
        }
        "client_write_idle" => {
            case.give(wire, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
            wire.pen.give(&body_of(1000, OF_ANSWER, 100_000)).await.ok();
            case.expect_gone(wire).await;
        }
        "response_body_idle" => {
            case.give(wire, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart").await;
            case.drip(wire, 5 * SECOND).await;
            case.begin();
            case.expect_gone(wire).await;
        }
        "tunnel_idle" => {
            case.give(wire, SWITCH).await;
            case.expect_gone(wire).await;
        }
        "upstream_idle" => {
            case.give(wire, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            case.begin();
            case.expect_end(wire).await;
            case.is_due(9, (TICK_LAG, SECOND));
        }
        _ => {
            case.give(wire, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            case.expect_gone(wire).await;
        }
    }
}

/// One case, of the dice's choice.
pub(crate) fn play(stage: &Stage) {
    let world = Rc::clone(&stage.world);
    let name = world.pick(SEES);
    let case = Rc::new(Case { world: Rc::clone(&world), name, from: Cell::new(world.now()) });
    let arrival = if name == "connect" { Arrival::Silent } else { Arrival::Accepted };
    *world.gate.borrow_mut() = Some(Rc::new(move |_| arrival));
    let (serving, clients) = (Rc::clone(&case), Rc::clone(&stage.clients));
    *world.inn.borrow_mut() = Some(Rc::new(move |socket, _| {
        let wire = plain(&serving.world, socket);
        let clients = Rc::clone(&clients);
        clients.set(clients.get() + 1);
        let story = server(Rc::clone(&serving), wire);
        serving.world.spawn(async move {
            story.await;
            clients.set(clients.get() - 1);
        });
    }));
    stage.bring_task(async move {
        // At any moment between two ticks.
        world.sleep(1 + world.up_to(100 * MS)).await;
        let socket = world.connect(address(1));
        client(case, plain(&world, socket)).await;
    });
}

/// An end that makes no pauses.
fn plain(world: &Rc<World>, socket: SimSocket) -> Wire {
    let mut wire = Wire::new(world, socket);
    wire.pause = 0;
    wire.pen.pause = 0;
    wire
}

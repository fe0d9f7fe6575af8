//! Both ends of a tunnel: each sends what belongs to the request's number, and knows whether what
//! it got is all of it.

use std::rc::Rc;

use super::client::{Ask, Visit};
use super::network::{Arrival, Weather};
use super::scenarios::address;
use super::server::Temper;
use super::stage::Stage;
use super::wire::{OF_ANSWER, OF_REQUEST, Pen, Stop, Wire, body_of, both, first, is_of};
use super::world::{MS, World};

/// The network of tunnels.
pub(crate) const WEATHER: Weather =
    Weather { doomed_one_in: 12, latency_max: 20 * MS, room_max: usize::MAX };

/// What one end does.
struct Way<'w> {
    world: &'w Rc<World>,
    id: u32,
    who: &'static str,
}

impl Way<'_> {
    /// Sends `bytes` and ends the direction; or breaks everything in the middle of it.
    async fn send(&self, pen: &Pen, bytes: &[u8], breaks: bool) {
        let most = if breaks { self.world.roll(bytes.len().max(1)) } else { bytes.len() };
        pen.give(&bytes[..most]).await.ok();
        if breaks {
            pen.reset();
        } else {
            pen.end();
        }
    }

    /// Takes what comes to its end, which must be the real one if it looks like it.
    async fn take(&self, wire: &mut Wire, (salt, length): (u64, usize)) {
        let mut got = std::mem::take(&mut wire.inbox);
        let end = loop {
            match wire.more().await {
                Ok(()) => got.append(&mut wire.inbox),
                Err(stop) => break stop,
            }
        };
        let mut notes = self.world.notes.borrow_mut();
        let (id, who, there) = (self.id, self.who, got.len());
        if !is_of(&got, id, salt) || there > length {
            notes.wrong.push(format!("{id}: the {who} got other bytes through the tunnel"));
        }
        let politely = end == Stop::Ended { politely: true };
        // Before its permission has come a client may leave, and nothing is broken.
        let never_was = self.who == "server" && there == 0;
        if politely && there < length && !never_was {
            notes.wrong.push(format!("{id}: the {who} takes {there} bytes of {length} for all"));
        }
        notes.see(if politely { "tunnel ended" } else { "tunnel broke" });
    }

    /// Both directions; the one that breaks ends them at once.
    async fn run(&self, wire: &mut Wire, sent: &[u8], due: (u64, usize)) {
        let pen = wire.pen.clone();
        if self.world.one_in(8) {
            // Nobody may be there to take it.
            let breaking = self.send(&pen, sent, true);
            first(breaking, self.world.sleep(self.world.up_to(500 * MS))).await;
            return pen.reset();
        }
        both(self.send(&pen, sent, false), self.take(wire, due)).await;
    }
}

/// A client that asks for a tunnel.
async fn visit(world: Rc<World>, number: u32) {
    world.sleep(world.up_to(300 * MS)).await;
    let id = number * 1000;
    let visit = Visit::alone(number, address(number));
    let ask = Ask::get(id, 'a');
    ask.note(&world, number);
    let length = world.body_length();
    let head = format!(
        "GET /a/{id} HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Length: {length}\r\n\r\n"
    );
    let mut wire = Wire::new(&world, world.connect(visit.from));
    let bytes = body_of(id, OF_REQUEST, length);
    // Some do not wait for the permission.
    let ahead = if world.one_in(4) { world.roll(bytes.len() + 1) } else { 0 };
    wire.pen.give(head.as_bytes()).await.ok();
    wire.pen.give(&bytes[..ahead]).await.ok();
    let Ok(head) = wire.head().await else { return };
    if !head.start.starts_with("HTTP/1.1 101 ") {
        world.notes.borrow_mut().see("no tunnel");
        return;
    }
    let due = head.number("x-length").unwrap_or_default();
    world.notes.borrow_mut().see("tunnel");
    let way = Way { world: &world, id, who: "client" };
    way.run(&mut wire, &bytes[ahead..], (OF_ANSWER, due)).await;
}

/// A server that grants it, or does not.
pub(crate) async fn serve(world: &Rc<World>, wire: &mut Wire, (id, length): (u32, usize)) {
    if world.one_in(8) {
        let text = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        wire.pen.give(text).await.ok();
        return;
    }
    let due = world.body_length();
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Length: {due}\r\n\r\n"
    );
    let text = [head.as_bytes(), &body_of(id, OF_ANSWER, due)].concat();
    let way = Way { world, id, who: "server" };
    way.run(wire, &text, (OF_REQUEST, length)).await;
}

pub(crate) fn play(stage: &Stage) {
    stage.open_servers(Temper { thinks: 30 * MS, ..Temper::default() }, |_| Arrival::Accepted);
    for number in 1..=1 + stage.world.roll(4) as u32 {
        stage.bring_task(visit(Rc::clone(&stage.world), number));
    }
}

//! Users who log in on their connections at servers that know them by those, beside others who do
//! not: handshakes are left in the middle, connections are reset at any byte, servers restart, and
//! other files come into force.

use std::rc::Rc;
use std::sync::Arc;

use super::client::{Ask, Visit};
use super::machine::SimSocket;
use super::network::{Arrival, Weather};
use super::notes::Message;
use super::scenarios::{Taste, visits};
use super::server::{Temper, serve};
use super::stage::Stage;
use super::wire::{First, first};
use super::world::{MS, SECOND, World};

pub(crate) const WEATHER: Weather =
    Weather { doomed_one_in: 12, latency_max: 20 * MS, room_max: usize::MAX };

pub(crate) const SEES: &[&str] = &[
    "answered",
    "abandoned",
    "challenged",
    "logged in",
    "on a pin",
    "own 404",
    "restarted",
    "silent",
    "unanswered",
];

/// Users; each has several connections.
const USERS: u32 = 3;

pub(crate) fn play(stage: &Stage) {
    let world = &stage.world;
    let temper = Temper {
        early: 6,
        cuts: 30,
        silent: 30,
        last: 20,
        dies_idle: 20,
        interim: 12,
        challenges: 6,
        ties: true,
        thinks: 30 * MS,
        ..Temper::default()
    };
    open_servers(stage, temper);
    let taste = Taste { pools: &['a', 'a', 'a', 'b'], groups_max: 8, bodies: 4, pipelines: 8 };
    visits(stage, 4 + world.roll(6) as u32, &taste, |visit| {
        for ask in visit.groups.iter_mut().flatten() {
            ask.user = visit.number % USERS + 1;
        }
        visit.abandons = world.one_in(6).then(|| world.up_to(2 * SECOND));
        if !world.one_in(3) {
            log_in(world, visit);
        }
    });
    reload(stage);
}

/// Puts a log-in between what a client asks, or before it, and now and then another behind.
fn log_in(world: &World, visit: &mut Visit) {
    let pool = world.pick(&['a', 'b']);
    let mut at = 0;
    for round in 0..1 + u32::from(world.one_in(4)) {
        at += world.roll(visit.groups.len() - at + 1);
        let message = |number: u32, message: Message| {
            let mut ask = Ask::get(visit.number * 1000 + 900 + round * 10 + number, pool);
            (ask.login, ask.message) = (true, Some(message));
            ask.user = visit.number % USERS + 1;
            ask
        };
        let mut begin = message(0, Message::First);
        if world.one_in(2) {
            (begin.method, begin.body) = ("POST", Some((0, false)));
        }
        let mut end = message(1, Message::Third);
        if world.one_in(2) {
            (end.method, end.body) = ("POST", Some((world.body_length(), world.one_in(2))));
        }
        let groups = match world.roll(6) {
            0 => vec![vec![message(2, Message::Ticket)]],
            // Left in the middle.
            1 => vec![vec![begin]],
            2 => vec![vec![begin, end]],
            _ => vec![vec![begin], vec![end]],
        };
        let count = groups.len();
        visit.groups.splice(at..at, groups);
        at += count;
    }
}

/// Each server forgets everything at moments of its own.
fn open_servers(stage: &Stage, temper: Temper) {
    stage.open_servers(temper, |_| Arrival::Accepted);
    let world = Rc::clone(&stage.world);
    let every = world.pick(&[300 * MS, 2 * SECOND, 10 * SECOND]) + world.up_to(SECOND);
    *stage.world.inn.borrow_mut() = Some(Rc::new(move |socket: SimSocket, address| {
        let own = Rc::clone(&world);
        world.spawn(async move {
            let serving = serve(Rc::clone(&own), socket, address, temper);
            let left = every - own.now() % every;
            if let First::Right(()) = first(serving, own.sleep(left)).await {
                own.notes.borrow_mut().see("restarted");
            }
        });
    }));
}

fn reload(stage: &Stage) {
    let (shared, lives) = (Arc::clone(&stage.shared), stage.lives.clone());
    let world = Rc::clone(&stage.world);
    let pause = world.pick(&[50 * MS, 500 * MS]);
    stage.world.spawn(async move {
        for _ in 0..world.pick(&[0, 20]) {
            world.sleep(1 + world.up_to(pause)).await;
            let next = world.roll(lives.len());
            Stage::reign(&world, &shared, (next, &lives[next]));
        }
    });
}

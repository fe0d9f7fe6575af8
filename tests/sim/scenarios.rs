//! The kinds of runs, and the tests that play them.

use std::net::SocketAddr;

use super::client::{Ask, Leaving, Visit};
use super::network::{Arrival, Weather};
use super::server::Temper;
use super::stage::{Scenario, Stage};
use super::world::{MS, World};
use super::{crossing, patience, tunnels};

/// Two pools of two servers each.
pub(crate) const FILE: &str = r#"
[pool.a]
servers = ["10.0.0.1:80", "10.0.0.2:80"]
[pool.b]
servers = ["10.0.1.1:80", "10.0.1.2:80"]
[[site.test.rule]]
path = "/a"
pool = "a"
[[site.test.rule]]
path = "/b"
pool = "b"
"#;

const CALM: Weather = Weather { doomed_one_in: 0, latency_max: 20 * MS, room_max: usize::MAX };

/// A client's address.
pub(crate) fn address(number: u32) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, (number % 250) as u8], 40_000))
}

/// What one client asks for; `numbers` gives each request one of its own.
pub(crate) struct Taste {
    pub(crate) pools: &'static [char],
    pub(crate) groups_max: usize,
    /// One request in so many has a body; 0: none.
    pub(crate) bodies: usize,
    /// One group in so many is sent without waiting for answers; 0: none.
    pub(crate) pipelines: usize,
}

pub(crate) fn groups(world: &World, client: u32, taste: &Taste) -> Vec<Vec<Ask>> {
    let mut id = client * 1000;
    let mut next = || {
        id += 1;
        let mut ask = Ask::get(id, world.pick(taste.pools));
        if taste.bodies > 0 && world.one_in(taste.bodies) {
            ask.method = world.pick(&["POST", "PUT", "GET"]);
            ask.body = Some((world.body_length(), world.one_in(2)));
        } else if world.one_in(6) {
            ask.method = "HEAD";
        } else if taste.bodies > 0 && world.one_in(6) {
            ask.method = "DELETE";
        }
        ask
    };
    (0..1 + world.roll(taste.groups_max))
        .map(|_| {
            let pipelined = taste.pipelines > 0 && world.one_in(taste.pipelines);
            let mut group: Vec<Ask> =
                (0..if pipelined { 2 + world.roll(3) } else { 1 }).map(|_| next()).collect();
            if let [only] = group.as_mut_slice() {
                only.expects = only.body.is_some_and(|(length, _)| length > 0) && world.one_in(3);
            }
            group
        })
        .collect()
}

pub(crate) fn visits(stage: &Stage, count: u32, taste: &Taste, change: impl Fn(&mut Visit)) {
    let world = &stage.world;
    for number in 1..=count {
        let mut visit = Visit {
            number,
            from: address(number),
            groups: groups(world, number, taste),
            comes_after: world.up_to(500 * MS),
            pause: world.pick(&[1, 1, 10 * MS, 500 * MS]),
            leaving: world.pick(&[Leaving::Closes, Leaving::Ends, Leaving::Stays, Leaving::Resets]),
            abandons: None,
        };
        change(&mut visit);
        stage.bring(visit);
    }
}

fn must(visit: &mut Visit, which: impl Fn(&Ask) -> bool) {
    for ask in visit.groups.iter_mut().flatten() {
        ask.must_succeed = which(ask);
    }
}

fn keep_alive(stage: &Stage) {
    let temper = Temper { interim: 8, last: 12, thinks: 30 * MS, ..Temper::default() };
    stage.open_servers(temper, |_| Arrival::Accepted);
    let taste = Taste { pools: &['a', 'b'], groups_max: 5, bodies: 3, pipelines: 4 };
    let count = 2 + stage.world.roll(5) as u32;
    visits(stage, count, &taste, |visit| must(visit, |_| true));
}

/// Answers before the request is whole, and uploads that go on beside them.
fn early(stage: &Stage) {
    let temper = Temper {
        early: 2,
        early_leaves: 3,
        last: 8,
        cuts: 8,
        until_close: 4,
        thinks: 30 * MS,
        ..Temper::default()
    };
    stage.open_servers(temper, |_| Arrival::Accepted);
    let taste = Taste { pools: &['a', 'b'], groups_max: 4, bodies: 1, pipelines: 6 };
    let count = 1 + stage.world.roll(4) as u32;
    visits(stage, count, &taste, |_| {});
}

/// What becomes of a connect in bad times.
fn bad_gate(stage: &Stage) -> impl Fn(SocketAddr) -> Arrival + 'static {
    let world = std::rc::Rc::clone(&stage.world);
    move |_| match world.roll(24) {
        0 => Arrival::Fails(libc::ECONNREFUSED),
        1 => Arrival::Fails(libc::EHOSTUNREACH),
        2 => Arrival::Fails(libc::ETIMEDOUT),
        3 => Arrival::FailsAtOnce(libc::ENETUNREACH),
        4 => Arrival::FailsAtOnce(libc::EMFILE),
        5 => Arrival::Silent,
        _ => Arrival::Accepted,
    }
}

/// Everything that can go wrong does, on either side and between.
fn storms(stage: &Stage) {
    let temper = Temper {
        early: 4,
        early_leaves: 3,
        cuts: 10,
        silent: 20,
        silent_later: 10,
        last: 10,
        dies_idle: 5,
        unasked: 4,
        interim: 8,
        until_close: 10,
        thinks: 300 * MS,
        ..Temper::default()
    };
    stage.open_servers(temper, bad_gate(stage));
    let taste = Taste { pools: &['a', 'b'], groups_max: 5, bodies: 3, pipelines: 4 };
    let world = &stage.world;
    visits(stage, 2 + world.roll(5) as u32, &taste, |visit| {
        visit.abandons = world.one_in(4).then(|| world.up_to(2000 * MS));
        for ask in visit.groups.iter_mut().flatten() {
            ask.old = world.one_in(10) && !ask.expects && ask.body.is_none_or(|body| !body.1);
        }
    });
}

/// Idle upstream connections die in the moment in which they are used again, and servers speak
/// unasked before they end.
fn retry(stage: &Stage) {
    let world = std::rc::Rc::clone(&stage.world);
    // What is said in the moment in which a request leaves may be taken for its answer, or for half
    // of one; nobody could tell.
    let unasked = world.pick(&[0, 2]);
    let temper =
        Temper { dies_idle: 2, silent_later: 6, unasked, thinks: 20 * MS, ..Temper::default() };
    stage.open_servers(temper, move |server| match server.ip().to_string().ends_with(".2") {
        true if world.one_in(4) => Arrival::Fails(libc::ECONNREFUSED),
        _ => Arrival::Accepted,
    });
    let pipelines = if unasked == 0 { 0 } else { 3 };
    let taste = Taste { pools: &['a'], groups_max: 8, bodies: 6, pipelines };
    visits(stage, 1 + stage.world.roll(3) as u32, &taste, |visit| {
        // A GET may be sent once more, so nothing of this is to be seen by its client.
        must(visit, |ask| unasked == 0 && ask.is_repeatable());
    });
}

/// Clients that ask ahead, and servers that speak unasked meanwhile.
fn ahead(stage: &Stage) {
    let temper =
        Temper { dies_idle: 2, silent_later: 6, unasked: 1, thinks: 20 * MS, ..Temper::default() };
    stage.open_servers(temper, |_| Arrival::Accepted);
    let taste = Taste { pools: &['a'], groups_max: 8, bodies: 6, pipelines: 1 };
    visits(stage, 1 + stage.world.roll(3) as u32, &taste, |_| {});
}

/// Clients that log in on their connections, and others beside them.
fn logins(stage: &Stage) {
    let world = &stage.world;
    let temper = Temper {
        early: 6,
        last: 20,
        dies_idle: 12,
        challenges: 8,
        thinks: 30 * MS,
        ..Temper::default()
    };
    stage.open_servers(temper, |_| Arrival::Accepted);
    let taste = Taste { pools: &['a', 'a', 'b'], groups_max: 8, bodies: 4, pipelines: 8 };
    visits(stage, 2 + world.roll(5) as u32, &taste, |visit| {
        if world.one_in(2) {
            return;
        }
        let from = world.roll(3);
        for (at, ask) in visit.groups.iter_mut().flatten().enumerate() {
            ask.login = at == from || at > from && world.one_in(3);
        }
    });
}

/// The process ends while clients are there.
fn drain(stage: &Stage) {
    let temper = Temper { interim: 8, thinks: 500 * MS, ..Temper::default() };
    stage.open_servers(temper, |_| Arrival::Accepted);
    let world = std::rc::Rc::clone(&stage.world);
    let taste = Taste { pools: &['a', 'b'], groups_max: 6, bodies: 3, pipelines: 4 };
    visits(stage, 2 + world.roll(5) as u32, &taste, |visit| {
        // Who was let in gets the first answer. Who sends more behind its request is waited for
        // two seconds only, in which a slow network may not bring the answer.
        if let Some([ask]) = visit.groups.first_mut().map(Vec::as_mut_slice) {
            ask.must_succeed = true;
        }
        if visit.leaving == Leaving::Resets {
            visit.leaving = Leaving::Stays;
        }
    });
    let shared = std::sync::Arc::clone(&stage.shared);
    let clients = std::rc::Rc::clone(&stage.clients);
    let after = world.up_to(world.pick(&[1, 700 * MS, 3000 * MS]));
    stage.world.spawn(async move {
        world.sleep(after).await;
        shared.draining.store(true, std::sync::atomic::Ordering::Relaxed);
        if clients.get() > 0 {
            world.notes.borrow_mut().see("drained");
        }
    });
}

/// Other files come into force between any two steps.
fn reloads(stage: &Stage) {
    let temper = Temper { interim: 8, last: 12, thinks: 100 * MS, ..Temper::default() };
    stage.open_servers(temper, |_| Arrival::Accepted);
    let world = std::rc::Rc::clone(&stage.world);
    let taste = Taste { pools: &['a', 'b'], groups_max: 8, bodies: 3, pipelines: 0 };
    visits(stage, 2 + world.roll(4) as u32, &taste, |visit| {
        must(visit, |ask| ask.pool == 'a');
    });
    let (shared, lives) = (std::sync::Arc::clone(&stage.shared), stage.lives.clone());
    let pause = world.pick(&[MS, 50 * MS, 500 * MS]);
    world.spawn({
        let world = std::rc::Rc::clone(&world);
        async move {
            for _ in 0..20 {
                world.sleep(1 + world.up_to(pause)).await;
                let next = world.roll(lives.len());
                Stage::reign(&world, &shared, (next, &lives[next]));
            }
        }
    });
}

/// The second pool is gone and what went to it is refused.
const REFUSING: &str = r#"
[pool.a]
servers = ["10.0.0.2:80"]
[[site.test.rule]]
path = "/b"
refuse = 404
[[site.test.rule]]
path = "/a"
pool = "a"
"#;

/// The first pool has other servers.
const MOVED: &str = r#"
[pool.b]
servers = ["10.0.1.1:80", "10.0.1.2:80"]
[pool.a]
servers = ["10.0.0.3:80", "10.0.0.4:80"]
[[site.test.rule]]
path = "/b"
pool = "b"
[[site.test.rule]]
path = "/a"
pool = "a"
"#;

/// Three clients of an address, and small requests.
const LIMITED: &str = r#"
clients_per_address_max = 3
body_bytes_max = 100
field_bytes_max = 1024
head_bytes_max = 2048
[pool.a]
servers = ["10.0.0.1:80", "10.0.0.2:80"]
[[site.test.rule]]
path = "/a"
pool = "a"
"#;

/// Bodies, heads and crowds that are too large, and some that just fit.
fn limits(stage: &Stage) {
    let world = &stage.world;
    stage.open_servers(Temper { thinks: 200 * MS, ..Temper::default() }, |_| Arrival::Accepted);
    let taste = Taste { pools: &['a'], groups_max: 3, bodies: 0, pipelines: 0 };
    stage.world.notes.borrow_mut().per_address_max = Some(3);
    visits(stage, 6 + world.roll(6) as u32, &taste, |visit| {
        visit.from = address(visit.number % 2);
        visit.leaving = world.pick(&[Leaving::Closes, Leaving::Ends]);
        for ask in visit.groups.iter_mut().flatten() {
            match world.roll(6) {
                0 | 1 => {
                    let length = world.pick(&[99, 100, 101, 300]);
                    ask.method = "POST";
                    ask.body = Some((length, world.one_in(2)));
                    ask.refusal = (length > 100).then_some(413);
                }
                // Whoever asked in a head that was refused is told with a body.
                2 => {
                    ask.method = "GET";
                    ask.padding = world.pick(&[900, 1024, 3000]);
                    ask.refusal = (ask.padding > 1000).then_some(431);
                }
                _ => {}
            }
        }
    });
}

/// All of them.
pub(crate) const ALL: &[Scenario] = &[
    Scenario {
        name: "keep_alive",
        weather: CALM,
        files: &[FILE],
        own_answers: &[],
        play: keep_alive,
        sees: &["answered", "interim"],
        seconds_max: 600,
    },
    Scenario {
        name: "early",
        weather: CALM,
        files: &[FILE],
        own_answers: &[502, 503],
        play: early,
        sees: &["answered", "early", "cut", "request cut"],
        seconds_max: 600,
    },
    Scenario {
        name: "storms",
        weather: Weather { doomed_one_in: 6, ..CALM },
        files: &[FILE],
        own_answers: &[502, 503, 504],
        play: storms,
        sees: &[
            "answered",
            "abandoned",
            "cut",
            "own 502",
            "own 503",
            "own 504",
            "said unasked",
            "early",
        ],
        seconds_max: 3600,
    },
    Scenario {
        name: "retry",
        // A request is repeated within a second only.
        weather: Weather { latency_max: 2 * MS, ..CALM },
        files: &[FILE],
        own_answers: &[502, 503],
        play: retry,
        sees: &["answered", "died idle", "said unasked", "unasked", "own 503", "came again"],
        seconds_max: 600,
    },
    Scenario {
        name: "ahead",
        weather: Weather { latency_max: 2 * MS, ..CALM },
        files: &[FILE],
        own_answers: &[502, 503],
        play: ahead,
        sees: &["answered", "said unasked", "unasked"],
        seconds_max: 600,
    },
    Scenario {
        name: "logins",
        weather: CALM,
        files: &[FILE],
        own_answers: &[502, 503],
        play: logins,
        sees: &["answered", "challenged", "died idle", "on a pin"],
        seconds_max: 600,
    },
    Scenario {
        name: "crossing",
        weather: crossing::WEATHER,
        files: &[FILE, REFUSING, MOVED],
        own_answers: &[404, 502, 503, 504],
        play: crossing::play,
        sees: crossing::SEES,
        seconds_max: 3600,
    },
    Scenario {
        name: "tunnels",
        weather: tunnels::WEATHER,
        files: &[FILE],
        own_answers: &[502, 503],
        play: tunnels::play,
        sees: &["tunnel", "no tunnel", "tunnel ended", "tunnel broke"],
        seconds_max: 600,
    },
    Scenario {
        name: "drain",
        weather: CALM,
        files: &[FILE],
        own_answers: &[],
        play: drain,
        sees: &["answered", "drained", "unanswered"],
        seconds_max: 100,
    },
    Scenario {
        name: "reloads",
        weather: CALM,
        files: &[FILE, REFUSING, MOVED],
        own_answers: &[404],
        play: reloads,
        sees: &["answered", "own 404"],
        seconds_max: 600,
    },
    Scenario {
        name: "limits",
        weather: CALM,
        files: &[LIMITED],
        // Whoever is refused has two seconds to say what he wants.
        own_answers: &[408, 429],
        play: limits,
        sees: &["answered", "own 413", "own 429", "own 431"],
        seconds_max: 600,
    },
    Scenario {
        name: "patience",
        weather: patience::WEATHER,
        files: &[patience::FILE],
        own_answers: &[],
        play: patience::play,
        sees: patience::SEES,
        seconds_max: 600,
    },
];

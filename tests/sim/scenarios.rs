//! The kinds of runs, and the tests that play them.

use std::net::SocketAddr;

use super::client::{Ask, Leaving, Visit};
use super::network::{Arrival, Weather};
use super::server::Temper;
use super::stage::{Scenario, Stage};
use super::world::{MS, World};

/// Two pools of two servers each.
pub(crate) const FILE: &str = r#"
[adapter.external]
addresses = ["192.0.2.1"]
[adapter.internal]
addresses = ["10.0.0.254"]
[listener.web]
adapter = "external"
port = 80
[pool.a]
servers = ["10.0.0.1:80", "10.0.0.2:80"]
[pool.b]
servers = ["10.0.1.1:80", "10.0.1.2:80"]
[site.test]
names = ["a.test"]
listeners = ["web"]
[[site.test.rule]]
path = "/a"
pool = "a"
[[site.test.rule]]
path = "/b"
pool = "b"
[limits]
clients_max = 1000
clients_per_address_max = 500
memory_max = "8GB"
[log]
access = "off"
"#;

const CALM: Weather = Weather { doomed_one_in: 0, latency_max: 20 * MS };

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
            must_succeed: false,
        };
        change(&mut visit);
        stage.bring(visit);
    }
}

fn keep_alive(stage: &Stage) {
    let temper = Temper { interim: 8, last: 12, thinks: 30 * MS, ..Temper::default() };
    stage.open_servers(temper, |_| Arrival::Accepted);
    let taste = Taste { pools: &['a', 'b'], groups_max: 5, bodies: 3, pipelines: 4 };
    let count = 2 + stage.world.roll(5) as u32;
    visits(stage, count, &taste, |visit| visit.must_succeed = true);
}

/// All of them.
pub(crate) const ALL: &[Scenario] = &[Scenario {
    name: "keep_alive",
    weather: CALM,
    files: &[FILE],
    own_answers: &[],
    play: keep_alive,
    sees: &["answered", "interim"],
    seconds_max: 600,
}];

//! One run: a proxy, its servers and its clients on a simulated machine, until all is over; then
//! what must be true at the end.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use gatehouse::config;
use gatehouse::net::{give_back_spares, held_bytes};
use gatehouse::observe::{Counters, Notices, Seldom};
use gatehouse::pool::health::Evidence;
use gatehouse::pool::settings::ServerAddress;
use gatehouse::proxy::{Crowd, DoorId, Kept, Live, LiveServer, Shared, Worker, serve_accepted};
use gatehouse::site::LogIns;
use gatehouse::tls::TicketSecrets;

use super::client::{Visit, visit};
use super::machine::{Sim, tick_length};
use super::network::{Arrival, Weather};
use super::notes::Reigned;
use super::oracle::{Files, judge, look};
use super::planted::Plant;
use super::server::{Temper, serve};
use super::world::{SECOND, World};

/// After the last client has gone the proxy must have let go of everything within this time.
const AFTERMATH: u64 = 90 * SECOND;

/// Memory is counted for the whole process, so one run at a time.
static TURN: Mutex<()> = Mutex::new(());

/// How every operator's file begins; it is gone on with inside the table of limits.
const COMMON: &str = r#"
[adapter.external]
addresses = ["192.0.2.1"]
[adapter.internal]
addresses = ["10.0.0.254"]
[listener.web]
adapter = "external"
port = 80
[site.test]
names = ["a.test"]
listeners = ["web"]
[log]
access = "off"
[limits]
clients_max = 1000
memory_max = "8GB"
"#;

/// A kind of run.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) weather: Weather,
    /// What the operator's files say behind [`COMMON`]; the first is in force at the beginning.
    pub(crate) files: &'static [&'static str],
    /// Statuses that the proxy may answer by itself.
    pub(crate) own_answers: &'static [u16],
    /// Brings servers and clients.
    pub(crate) play: fn(&Stage),
    /// What has to occur within a thousand seeds.
    pub(crate) sees: &'static [&'static str],
    /// The longest that it may take, in seconds.
    pub(crate) seconds_max: u64,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) trace: u64,
    pub(crate) wrong: Vec<String>,
    pub(crate) seen: Vec<(&'static str, u32)>,
    /// What clients and servers saw, for people.
    pub(crate) story: Vec<(u64, String)>,
}

/// What a scenario plays on.
pub(crate) struct Stage {
    pub(crate) world: Rc<World>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) lives: Vec<Arc<Live>>,
    /// Clients that have not gone yet.
    pub(crate) clients: Rc<std::cell::Cell<u32>>,
}

thread_local! {
    static LIVES: RefCell<HashMap<&'static str, Vec<Arc<Live>>>> = RefCell::default();
}

/// The files of a scenario, made ready to be in force once. Nothing is known of their servers: what
/// the run before met says nothing about this one.
fn lives(scenario: &Scenario) -> Vec<Arc<Live>> {
    let lives = LIVES.with_borrow_mut(|lives| {
        lives.entry(scenario.name).or_insert_with(|| prepare(scenario.files)).clone()
    });
    for pool in lives.iter().flat_map(|live| live.pools()) {
        for server in &pool.servers {
            server.load.heard(Evidence::Answered, 0, pool.policy);
        }
    }
    lives
}

fn prepare(files: &[&str]) -> Vec<Arc<Live>> {
    let secrets = TicketSecrets::new().expect("the machine has randomness");
    let mut kept = Kept::default();
    let resolve = |server: &ServerAddress| match server {
        ServerAddress::Socket(address) => vec![*address],
        ServerAddress::Name { .. } => Vec::new(),
    };
    let mut prepare = |(generation, text): (usize, &&str)| {
        let source = |path: &Path| match path.ends_with("sim.toml") {
            true => Ok([COMMON, text].concat().into_bytes()),
            false => Err(io::ErrorKind::NotFound.into()),
        };
        let read = config::read(Path::new("sim.toml"), &source, 1_800_000_000);
        let (config, _) = read.unwrap_or_else(|complaints| panic!("{}", complaints.render(false)));
        let generation = generation as u64 + 1;
        let live = Live::new(generation, config, &secrets, &mut kept, &resolve);
        Arc::new(live.expect("nothing is refused"))
    };
    files.iter().enumerate().map(&mut prepare).collect()
}

impl Stage {
    /// Servers answer everywhere with this temper; `gate` says what becomes of connects.
    pub(crate) fn open_servers(
        &self,
        temper: Temper,
        gate: impl Fn(SocketAddr) -> Arrival + 'static,
    ) {
        let world = Rc::clone(&self.world);
        *self.world.gate.borrow_mut() = Some(Rc::new(gate));
        *self.world.inn.borrow_mut() = Some(Rc::new(move |socket, address| {
            world.spawn(serve(Rc::clone(&world), socket, address, temper));
        }));
    }

    pub(crate) fn bring(&self, script: Visit) {
        self.bring_task(visit(Rc::clone(&self.world), script));
    }

    /// A client that is not over before `story` is.
    pub(crate) fn bring_task(&self, story: impl Future<Output = ()> + 'static) {
        let clients = Rc::clone(&self.clients);
        clients.set(clients.get() + 1);
        self.world.spawn(async move {
            story.await;
            clients.set(clients.get() - 1);
        });
    }

    /// Another file is in force from now on.
    pub(crate) fn reign(world: &World, shared: &Shared, (index, live): (usize, &Arc<Live>)) {
        shared.live.store(Arc::clone(live));
        let from = world.now();
        world.notes.borrow_mut().reigned.push(Reigned { live: index, from });
    }
}

impl Stage {
    /// The servers of the pool that begins with this letter; `None` if there is no such pool.
    fn servers(&self, live: usize, pool: char) -> Option<&[LiveServer]> {
        let live = self.lives.get(live)?;
        let settings = live.config.pools.iter().find(|one| one.name.starts_with(pool))?;
        Some(&live.pool(settings.id).servers)
    }
}

impl Files for Stage {
    fn serves(&self, live: usize, pool: char, server: SocketAddr) -> bool {
        self.servers(live, pool).is_some_and(|all| all.iter().any(|one| one.dial.to == server))
    }

    fn refuses(&self, live: usize, pool: char) -> bool {
        self.servers(live, pool).is_none()
    }
}

/// Plays `scenario` once.
pub(crate) fn run(scenario: &Scenario, seed: u64, plant: Option<Plant>) -> Outcome {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let lives = lives(scenario);
    give_back_spares();
    let held = held_bytes();
    let world = World::new(seed, scenario.weather, plant);
    world.notes.borrow_mut().own_answers = scenario.own_answers.to_vec();
    let shared = Arc::new(Shared {
        live: Arc::new(ArcSwap::new(Arc::clone(&lives[0]))),
        draining: AtomicBool::new(false),
        crowd: Crowd::default(),
        log_ins: LogIns::default(),
        locked_said: Seldom::default(),
        notices: Notices::default(),
        tickets: TicketSecrets::new().expect("the machine has randomness"),
        first_id: AtomicU64::new(1),
    });
    let stage = Stage { world, shared, lives, clients: Rc::default() };
    let (worker, counters) = open(&stage);
    (scenario.play)(&stage);
    let mut wrong = Vec::new();
    let world = &stage.world;
    if let Err(why) = world.run(|| stage.clients.get() == 0, scenario.seconds_max * SECOND) {
        wrong.push(why);
    } else if let Err(why) = world.run(|| worker.is_deserted(), AFTERMATH) {
        wrong.push(format!("a client's task does not end: {why}"));
    }
    wrong.extend(judge(&world.notes.borrow(), &stage));
    let trace = world.trace();
    world.end();
    drop(worker);
    if wrong.is_empty() {
        nothing_is_left(&stage, &counters, &mut wrong);
    }
    give_back_spares();
    let now = held_bytes();
    if wrong.is_empty() && now != held {
        wrong.push(format!("{held} bytes were held before, now {now}"));
    }
    let notes = world.notes.borrow();
    let mut seen = look(&notes);
    seen.extend(notes.seen.iter().map(|(what, count)| (*what, *count)));
    let story = notes.story();
    drop(notes);
    Outcome { trace, wrong, seen, story }
}

/// A worker, its door and its ticks.
fn open(stage: &Stage) -> (Rc<Worker<Sim>>, Arc<Counters>) {
    let world = &stage.world;
    let counters = Arc::new(Counters::default());
    let machine = Sim(Rc::clone(world));
    let worker = Worker::new(machine, &stage.shared, Arc::clone(&counters), None, world.roll(3));
    let reigned = Reigned { live: 0, from: 0 };
    world.notes.borrow_mut().reigned.push(reigned);
    let served = Rc::clone(&worker);
    *world.door.borrow_mut() = Some(Rc::new(move |socket, peer| {
        serve_accepted(&served, DoorId(0), socket, peer);
    }));
    let (ticking, clock) = (Rc::clone(&worker), Rc::clone(world));
    world.spawn(async move {
        loop {
            clock.sleep(tick_length(&clock)).await;
            ticking.tick();
        }
    });
    let clock = Rc::clone(world);
    world.spawn(async move {
        loop {
            clock.sleep(clock.up_to(20 * SECOND)).await;
            let micros = clock.pick(&[-3_600_000_000, -1, 1, 999_999, 86_400_000_000]);
            clock.step_wall(micros);
        }
    });
    (worker, counters)
}

/// Everything that the proxy took it has given back.
fn nothing_is_left(stage: &Stage, counters: &Counters, wrong: &mut Vec<String>) {
    let counts = counters.read();
    let pairs = [
        ("clients", counts.clients, counts.clients_ended),
        ("tunnels", counts.tunnels, counts.tunnels_ended),
        ("panics", counts.panics, 0),
        ("sockets", u64::from(stage.world.proxy_sockets.get()), 0),
        ("the crowd", u64::from(!stage.shared.crowd.is_empty()), 0),
    ];
    for (what, begun, ended) in pairs {
        if begun != ended {
            wrong.push(format!("{what}: {begun} begun, {ended} ended"));
        }
    }
    for live in &stage.lives {
        for pool in &live.config.pools {
            for server in &live.pool(pool.id).servers {
                if server.load.now() != 0 {
                    wrong.push(format!("{} under way at {}", server.load.now(), server.text));
                }
            }
        }
    }
}

//! The thread that asks for names, and what the control thread sees of it: the addresses that names
//! have now, and news when they change. What is asked and what answers mean is decided in `dns/`.

mod system;
mod talk;
mod telling;
mod thread;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::config::{Config, Role};
use crate::dns::{News, Want};
use crate::net;
use crate::pool::settings::{PoolSettings, ServerAddress};

use super::service::Event;

pub(super) use telling::{ONE_IN, Telling};
pub(super) use words::{Scene, is_own};

/// How often whoever waits looks whether the process is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// News that wait to be told; older ones are forgotten.
const NEWS_MAX: usize = 4096;

/// What the thread is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Orders {
    wants: Vec<Want>,
    asked: Asked,
}

/// Who is asked, and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// None: the system's own resolver.
    servers: Vec<SocketAddr>,
    interface: Option<String>,
    source: Vec<IpAddr>,
}

/// News, with the name servers that they are about.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) news: News,
    pub(super) servers: Arc<Vec<SocketAddr>>,
}

#[derive(Debug, Default)]
struct State {
    orders: Option<Orders>,
    stop: bool,
    addresses: HashMap<String, Vec<IpAddr>>,
    /// Names that were asked for to an end once.
    settled: HashSet<String>,
    told: VecDeque<Told>,
}

impl State {
    fn note(&mut self, host: &str, addresses: &[IpAddr], is_settled: bool) {
        if !addresses.is_empty() {
            self.addresses.insert(host.to_owned(), addresses.to_vec());
        }
        if is_settled {
            self.settled.insert(host.to_owned());
        }
    }
}

/// What both threads see.
#[derive(Debug)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
    wake: Arc<EventFd>,
    /// Whoever waits for other events too.
    events: Option<mpsc::Sender<Event>>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Helper {
    board: Arc<Board>,
    thread: JoinHandle<()>,
}

/// The control thread's side. The thread runs from the first name on.
#[derive(Debug)]
pub(super) struct Resolver {
    helper: Option<Helper>,
    ordered: Orders,
    events: Option<mpsc::Sender<Event>>,
}

impl Resolver {
    /// One that tells `events` when there is news, if anybody is there to be told.
    pub(super) fn new(events: Option<mpsc::Sender<Event>>) -> Self {
        Self { helper: None, ordered: Orders::default(), events }
    }

    /// From now on the names of `config` are asked for, and of whom it says; those of `before` too,
    /// in case that it comes to nothing.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn want(&mut self, config: &Config, before: Option<&Config>) -> Result<(), String> {
        let pools = config.pools.iter().map(|pool| (pool, config));
        let more = before.iter().flat_map(|before| before.pools.iter().map(|pool| (pool, *before)));
        let orders = Orders { wants: wants(pools.chain(more)), asked: asked(config) };
        if before.is_none() && orders == self.ordered {
            return Ok(());
        }
        if self.helper.is_none() && orders.wants.is_empty() {
            return Ok(());
        }
        let board = Arc::clone(&self.helper()?.board);
        {
            let mut state = board.state();
            let wants = &orders.wants;
            let wanted = |host: &String| wants.binary_search_by(|want| want.host.cmp(host)).is_ok();
            state.addresses.retain(|host, _| wanted(host));
            state.settled.retain(wanted);
            state.orders = Some(orders.clone());
        }
        self.ordered = orders;
        // Full only if it is told already.
        let _ = board.wake.write(1);
        Ok(())
    }

    fn helper(&mut self) -> Result<&Helper, String> {
        let helper = match self.helper.take() {
            Some(helper) => helper,
            None => start(self.events.clone())
                .map_err(|error| format!("cannot start the thread that asks for names: {error}"))?,
        };
        Ok(self.helper.insert(helper))
    }

    /// Waits until each name has been asked for once, for `longest` at most, or until there is
    /// something more urgent.
    pub(super) fn wait(&self, longest: Duration, hurry: &mut dyn FnMut() -> bool) {
        let Some(Helper { board, .. }) = &self.helper else { return };
        let until = net::monotonic() + longest;
        let mut state = board.state();
        while self.ordered.wants.iter().any(|want| !state.settled.contains(&want.host)) {
            if net::monotonic() >= until || hurry() {
                return;
            }
            let waited = board.changed.wait_timeout(state, LOOK_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The addresses of all names that have any.
    pub(super) fn addresses(&self) -> HashMap<String, Vec<IpAddr>> {
        let Some(Helper { board, .. }) = &self.helper else { return HashMap::new() };
        board.state().addresses.clone()
    }

    /// What has changed since the last time.
    pub(super) fn told(&self) -> Vec<Told> {
        let Some(Helper { board, .. }) = &self.helper else { return Vec::new() };
        board.state().told.drain(..).collect()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let Some(Helper { board, thread }) = self.helper.take() else { return };
        board.state().stop = true;
        let _ = board.wake.write(1);
        // It waits for nothing but this; threads that the system keeps are not waited for.
        let _ = thread.join();
    }
}

fn start(events: Option<mpsc::Sender<Event>>) -> std::io::Result<Helper> {
    let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let state = Mutex::default();
    let changed = Condvar::new();
    let board = Arc::new(Board { state, changed, wake: Arc::new(wake), events });
    let theirs = Arc::clone(&board);
    let thread = std::thread::Builder::new().name("names".to_owned());
    let thread = thread.spawn(move || thread::resolve(&theirs))?;
    Ok(Helper { board, thread })
}

/// The names of servers that have to be asked for, in alphabetical order.
fn wants<'c>(pools: impl Iterator<Item = (&'c PoolSettings, &'c Config)>) -> Vec<Want> {
    let mut wants: BTreeMap<&str, (bool, bool)> = BTreeMap::new();
    for (pool, config) in pools {
        let (v4, v6) = reachable(pool);
        for server in &pool.servers {
            let ServerAddress::Name { host, .. } = &server.address else { continue };
            if !config.hosts.contains_key(host) {
                let want = wants.entry(host).or_default();
                *want = (want.0 || v4, want.1 || v6);
            }
        }
    }
    wants.into_iter().map(|(host, (v4, v6))| Want { host: host.to_owned(), v4, v6 }).collect()
}

/// Whether an adapter has addresses that IPv4 and IPv6 servers could answer to. One that says
/// nothing has both.
fn reachable(pool: &PoolSettings) -> (bool, bool) {
    let has = |v4: bool| {
        pool.source.is_empty() || pool.source.iter().any(|source| source.is_ipv4() == v4)
    };
    (has(true), has(false))
}

fn asked(config: &Config) -> Asked {
    let internal = config.adapters.iter().find(|adapter| adapter.role == Role::Internal);
    Asked {
        servers: config.resolvers.clone(),
        interface: internal.and_then(|adapter| adapter.interface.clone()),
        source: internal.map_or_else(Vec::new, |adapter| {
            adapter.addresses.iter().map(|(address, _)| *address).collect()
        }),
    }
}

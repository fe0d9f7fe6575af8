//! What the control side shows of the proxy. Threads that are asked read it; neither the workers nor
//! a reload that is under way are asked anything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::exchange::Failure;
use crate::net::{self, RingFlags};
use crate::observe::{
    Counters, Counts, FailureNow, Failures, NameNow, Record, ServerNow, SiteNow, Snapshot, Status,
    Sums, listen_losses,
};
use crate::proxy::{Kept, Shared};

use super::health;

/// Where the kernel counts lost connections.
const NETSTAT: &str = "/proc/net/netstat";

/// Written by the control thread and the log thread, read by whoever is asked.
#[derive(Debug)]
pub(super) struct Overview {
    shared: Arc<Shared>,
    /// Seconds since 1970.
    started: u64,
    state: Mutex<State>,
    failures: Mutex<Failures>,
    lines_lost: AtomicU64,
    /// Seconds since 1970.
    lost_last: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    main: PathBuf,
    /// Those of workers that have ended too.
    counters: Vec<Arc<Counters>>,
    workers: usize,
    restarts: u64,
    flags: Option<RingFlags>,
    sites: Vec<String>,
    servers: Vec<(String, String)>,
    listeners: Vec<(String, SocketAddr)>,
    names: Vec<NameNow>,
    in_force_since: u64,
    reloads: (u64, u64),
    refusal: Option<(u64, String)>,
}

fn now() -> u64 {
    net::wall_micros() / 1_000_000
}

impl Overview {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        let state = State { in_force_since: now(), ..State::default() };
        Arc::new(Self {
            shared,
            started: now(),
            state: Mutex::new(state),
            failures: Mutex::default(),
            lines_lost: AtomicU64::new(0),
            lost_last: AtomicU64::new(0),
        })
    }

    /// Nothing panics under the lock that could leave anything half changed.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The operator's file.
    pub(super) fn note_file(&self, main: PathBuf) {
        self.state().main = main;
    }

    /// All counters that there have been, the workers that accept, and how many were replaced.
    pub(super) fn note_workers(&self, counters: Vec<Arc<Counters>>, workers: usize, restarts: u64) {
        let mut state = self.state();
        (state.counters, state.workers, state.restarts) = (counters, workers, restarts);
    }

    /// What the kernel granted to new workers; the poorest is told.
    pub(super) fn note_flags(&self, flags: RingFlags) {
        let mut state = self.state();
        if flags != RingFlags::DeferTaskrun || state.flags.is_none() {
            state.flags = Some(flags);
        }
    }

    /// The names that sites and servers are counted by; before a Config with new ones is in force.
    pub(super) fn note_names(&self, kept: &Kept) {
        let names = (kept.sites(), kept.servers());
        let mut state = self.state();
        (state.sites, state.servers) = names;
    }

    /// Where clients are accepted.
    pub(super) fn note_listeners(&self, listeners: Vec<(String, SocketAddr)>) {
        self.state().listeners = listeners;
    }

    /// Names of servers that do not lead to them as they should.
    pub(super) fn note_troubles(&self, names: Vec<NameNow>) {
        self.state().names = names;
    }

    /// Another file came into force, or was refused.
    pub(super) fn note_reload(&self, refused: Option<&str>) {
        let mut state = self.state();
        match refused {
            None => {
                state.reloads.0 += 1;
                state.refusal = None;
                state.in_force_since = now();
            }
            Some(why) => {
                state.reloads.1 += 1;
                state.refusal = Some((now(), why.to_owned()));
            }
        }
    }

    /// A record has come to the log thread.
    pub(super) fn note_record(&self, record: &Record) {
        if record.failure.is_some() {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).note(record);
        }
    }

    /// Lines that a place of the log did not take, over all of them since the start.
    pub(super) fn note_lines_lost(&self, lost: u64) {
        if lost > 0 {
            self.lines_lost.fetch_add(lost, Ordering::Relaxed);
            self.lost_last.store(now(), Ordering::Relaxed);
        }
    }

    /// Whether clients are served: a listener is open and the process is not ending.
    pub(super) fn is_serving(&self) -> bool {
        !self.shared.draining.load(Ordering::Acquire) && !self.state().listeners.is_empty()
    }

    /// Everything now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let live = self.shared.live.load_full();
        let crowd = &self.shared.crowd;
        let limits = &live.config.limits;
        let servers = health::servers(&live);
        let kernel_listen =
            std::fs::read_to_string(NETSTAT).ok().and_then(|text| listen_losses(&text));
        let (mut sums, mut counts) = (Sums::default(), Counts::default());
        // The control thread waits for it.
        let state = self.state();
        for counters in &state.counters {
            counts += counters.read();
            counters.tallies.add_to(&mut sums);
        }
        let in_force: Vec<u32> =
            live.config.table.sites().iter().map(|site| live.site_number(site.id)).collect();
        Snapshot {
            now: now(),
            version: env!("CARGO_PKG_VERSION"),
            file: state.main.display().to_string(),
            ring_flags: state.flags.map(|flags| flags.to_string()).unwrap_or_default(),
            started: self.started,
            generation: live.generation,
            in_force_since: state.in_force_since,
            reloads_taken: state.reloads.0,
            reloads_refused: state.reloads.1,
            last_refusal: state.refusal.clone(),
            draining: self.shared.draining.load(Ordering::Acquire),
            workers: state.workers,
            restarts: state.restarts,
            listeners: state
                .listeners
                .iter()
                .map(|(name, address)| (name.clone(), address.to_string()))
                .collect(),
            clients: (crowd.clients() as u64, live.clients_max as u64),
            handshakes: (crowd.handshakes() as u64, limits.handshakes_max.into()),
            memory: (net::held_bytes(), live.memory_max),
            counts,
            sites: SiteNow::all(&mut sums, &state.sites, &in_force),
            pools: live.pools().iter().map(|pool| pool.settings.name.clone()).collect(),
            servers: ServerNow::all(&mut sums, &state.servers, servers),
            names: state.names.clone(),
            certificates: live
                .config
                .certificates
                .iter()
                .map(|certificate| (certificate.name.clone(), certificate.not_after))
                .collect(),
            failures: self.failures.lock().unwrap_or_else(PoisonError::into_inner).list(),
            lines_lost: (
                self.lines_lost.load(Ordering::Relaxed),
                self.lost_last.load(Ordering::Relaxed),
            ),
            notices: self.shared.notices.totals(),
            guard_driven_out: self.shared.log_ins.driven_out(),
            kernel_listen,
        }
    }

    /// The same, with what is wrong and what to do.
    pub(super) fn status(&self) -> Status {
        Status::of(&self.snapshot(), &advice)
    }
}

fn advice(failure: &FailureNow) -> &'static str {
    let of_word = Failure::of_word(failure.word);
    let mut fits = of_word.filter(|known| known.party() == failure.party);
    fits.next().map_or("`gatehouse explain` lists what the log says", Failure::advice)
}

//! From the operator's file to running workers, and to their end.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::config::{Config, Workers};
use crate::net::{self, Bind, Listening, Ring, RingFlags, Ticker, Ticks};
use crate::observe::{Counters, Counts, say_now};
use crate::pool::Registry;
use crate::proxy::{self, Live, Shared, Worker, WorkerEnds};
use crate::site::ListenerId;
use crate::tls::TicketSecrets;

use super::journal::Journal;
use super::resolve::resolve_all;

/// How long a port may still be taken by an instance that is ending.
const PORT_FREED: Duration = Duration::from_secs(1);

/// How the process is to run, beside what the file says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Says what was opened on standard error.
    pub talkative: bool,
}

/// Why the proxy does not start: sentences for the administrator.
#[derive(Debug)]
pub struct Refused(pub String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self(why)
    }
}

/// The running proxy.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    counters: Vec<Arc<Counters>>,
    journal: Option<Journal>,
    stop: Arc<Stop>,
    drain: Duration,
    addresses: Addresses,
}

/// What tells the workers to end.
#[derive(Debug, Default)]
struct Stop {
    /// No more clients are accepted.
    closing: AtomicBool,
    /// Nobody is waited for any more.
    now: AtomicBool,
}

/// A worker's listening sockets.
type Doors = Vec<(ListenerId, Listening)>;

/// Where clients are accepted, really.
type Addresses = Vec<(ListenerId, SocketAddr)>;

/// Starts everything that `config` says.
///
/// # Errors
/// What stands in the way, and who has to change what.
pub fn start(config: Config, settings: Settings) -> Result<Running, Refused> {
    let files = net::raise_open_file_limit().unwrap_or_else(|_| net::open_file_limit());
    let cores = net::usable_cores();
    let count = match config.workers {
        Workers::Auto => cores.len(),
        Workers::Count(count) => usize::from(count),
    };
    let (doors, addresses) = open_doors(&config, count)?;
    let drain = config.timeouts.drain;
    let log = config.log.clone();
    let tickets = TicketSecrets::new().map_err(|why| Refused(why.to_owned()))?;
    let live = first_live(config, &tickets)?;
    let shared = Shared::new(live, tickets, seed());
    let mut running = Running {
        shared,
        workers: Vec::new(),
        counters: Vec::new(),
        journal: None,
        stop: Arc::new(Stop::default()),
        drain,
        addresses,
    };
    let mut queues = Vec::new();
    let (ready, readies) = mpsc::channel();
    for (number, doors) in doors.into_iter().enumerate() {
        let (ends, queue) = proxy::journal();
        queues.push(queue);
        let ends = (!log.access.is_empty()).then_some(ends);
        let core = cores[number % cores.len()];
        running.spawn_worker(number, core, doors, ends, ready.clone())?;
    }
    drop(ready);
    let flags = await_workers(&readies, count)?;
    running.journal = Some(Journal::start(&log, queues, Arc::clone(&running.shared))?);
    if settings.talkative {
        say_now(&format!("{count} workers, ring flags {flags}, {files} open files at most"));
        for (listener, address) in &running.addresses {
            let live = running.shared.live.load();
            let name = live.config.listeners.get(listener.0 as usize).map(|l| l.name.as_str());
            say_now(&format!("listener {} on {address}", name.unwrap_or_default()));
        }
    }
    Ok(running)
}

/// Prepares the first Config; names that do not resolve are said by the log thread.
fn first_live(config: Config, tickets: &Arc<TicketSecrets>) -> Result<Live, Refused> {
    let notices = crate::observe::Notices::default();
    let resolved = resolve_all(&config, &notices);
    for sentence in notices.take().0 {
        say_now(&sentence);
    }
    let resolve = |server: &_| resolved.get(server).cloned().unwrap_or_default();
    Ok(Live::new(1, config, tickets, &mut Registry::default(), &resolve)?)
}

/// Numbers of records start somewhere else in each run.
fn seed() -> u64 {
    net::wall_micros() << 8
}

/// Opens a listening socket of its own for each worker and address.
fn open_doors(config: &Config, workers: usize) -> Result<(Vec<Doors>, Addresses), Refused> {
    let mut doors: Vec<Doors> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for listener in &config.listeners {
        for &address in &listener.addresses {
            let place = Bind {
                address: SocketAddr::new(address, listener.port),
                interface: listener.interface.clone(),
                keepalive: config.timeouts.tcp_keepalive,
            };
            let refused = |error: &_| {
                Refused(format!("listener {}: {}", listener.name, why_not(&place, error)))
            };
            wait_until_free(&place).map_err(|error| refused(&error))?;
            for doors in &mut doors {
                let door = net::bind(&place).map_err(|error| refused(&error))?;
                doors.push((listener.id, door));
            }
            addresses.push((listener.id, place.address));
        }
    }
    Ok((doors, addresses))
}

/// Sockets of ours would share the port with another instance's. One that has just ended frees its
/// port a moment later, when its rings are gone.
fn wait_until_free(place: &Bind) -> std::io::Result<()> {
    let until = net::monotonic() + PORT_FREED;
    while net::is_taken(place)? {
        if net::monotonic() >= until {
            return Err(std::io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        std::thread::park_timeout(Ticks::LENGTH);
    }
    Ok(())
}

fn why_not(place: &Bind, error: &std::io::Error) -> String {
    let address = place.address;
    let adapter = place.interface.as_deref().unwrap_or("?");
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!(
            "another program listens on {address}; `ss -ltnp 'sport = :{}'` shows which",
            address.port()
        ),
        Some(libc::EACCES) => format!(
            "no permission for port {}; start by the service, which has CAP_NET_BIND_SERVICE, or choose a port above 1023",
            address.port()
        ),
        Some(libc::EPERM) => {
            format!("no permission to bind to the adapter {adapter}; the service needs CAP_NET_RAW")
        }
        Some(libc::ENODEV) => {
            format!("there is no network adapter {adapter}; `ip link` shows their names")
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}

/// Waits until every worker runs or has failed.
fn await_workers(
    readies: &mpsc::Receiver<Result<RingFlags, String>>,
    count: usize,
) -> Result<RingFlags, Refused> {
    let mut worst = RingFlags::DeferTaskrun;
    for ready in readies.iter().take(count) {
        match ready? {
            RingFlags::DeferTaskrun => {}
            lesser => worst = lesser,
        }
    }
    Ok(worst)
}

impl Running {
    fn spawn_worker(
        &mut self,
        number: usize,
        core: usize,
        doors: Doors,
        ends: Option<WorkerEnds>,
        ready: mpsc::Sender<Result<RingFlags, String>>,
    ) -> Result<(), Refused> {
        let counters = Arc::new(Counters::default());
        self.counters.push(Arc::clone(&counters));
        let (shared, stop) = (Arc::clone(&self.shared), Arc::clone(&self.stop));
        let story = move || {
            // A worker that may run anywhere is slower, not wrong.
            let _ = net::pin_to_core(core);
            let told = ready.clone();
            let ran = net::run(|ring, flags| async move {
                let worker = Worker::new(ring, &shared, counters, ends, number);
                let opened = open_for_business(&worker, doors, &stop);
                let _ = told.send(opened.map(|()| flags));
                drop(told);
                keep_time(&worker, &stop).await;
            });
            if let Err(why) = ran {
                // Nobody listens any more if the start was given up.
                let _ = ready.send(Err(why));
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let thread = thread.spawn(story).map_err(|error| format!("cannot start a worker: {error}"));
        self.workers.push(thread?);
        Ok(())
    }

    /// Where clients are accepted; with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        let live = self.shared.live.load();
        let name = |id: ListenerId| live.config.listeners[id.0 as usize].name.clone();
        self.addresses.iter().map(|&(id, address)| (name(id), address)).collect()
    }

    /// The sum of all workers' counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for counters in &self.counters {
            sum += counters.read();
        }
        sum
    }

    /// Lets running exchanges end, for `drain` at most, then stops; `hurry` is asked meanwhile.
    pub fn stop(mut self, mut hurry: impl FnMut() -> bool) {
        self.shared.draining.store(true, Ordering::Release);
        self.stop.closing.store(true, Ordering::Release);
        let until = net::monotonic() + self.drain;
        while self.workers.iter().any(|worker| !worker.is_finished()) {
            if hurry() || net::monotonic() >= until {
                self.stop.now.store(true, Ordering::Release);
            }
            std::thread::park_timeout(Ticks::LENGTH / 5);
        }
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _ = worker.join();
        }
        if let Some(journal) = self.journal.take() {
            journal.finish(hurry);
        }
    }
}

/// The worker's listeners begin to accept.
fn open_for_business(
    worker: &Rc<Worker<Ring>>,
    doors: Doors,
    stop: &Arc<Stop>,
) -> Result<(), String> {
    use crate::net::Machine;
    let machine = worker.machine();
    for (listener, door) in doors {
        let (worker, stop) = (Rc::clone(worker), Arc::clone(stop));
        machine.spawn(async move {
            let stopped = || stop.closing.load(Ordering::Acquire);
            let served = proxy::serve_listener(Rc::clone(&worker), listener, door, stopped).await;
            if let Err(error) = served {
                worker.say("a listener", &format!("cannot accept: {error}"));
            }
        });
    }
    Ok(())
}

/// Moves the worker's clock on until it is to end and its clients have gone.
async fn keep_time(worker: &Rc<Worker<Ring>>, stop: &Stop) {
    let Ok(ticker) = Ticker::new(Ticks::LENGTH) else {
        worker.say("a worker", "there is no descriptor for its timer; raise LimitNOFILE");
        return;
    };
    let mut closing_for = 0;
    loop {
        ticker.tick().await;
        worker.tick();
        // The accept tasks see the end within two ticks, and take who waited.
        closing_for += u32::from(stop.closing.load(Ordering::Acquire));
        if stop.now.load(Ordering::Acquire) || (closing_for > 3 && worker.is_deserted()) {
            return;
        }
    }
}

/// Waits for SIGTERM or SIGINT. Must be called on the main thread; [`block_signals`] must have run
/// before any other thread began.
///
/// # Errors
/// The kernel refuses to wait.
pub fn wait_for_signal() -> std::io::Result<Signal> {
    Ok(stop_signals().wait()?)
}

/// Keeps the signals for [`wait_for_signal`].
///
/// # Errors
/// The kernel refuses.
pub fn block_signals() -> std::io::Result<()> {
    Ok(stop_signals().thread_block()?)
}

fn stop_signals() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals
}

//! From the operator's file to running workers, to other files while they run, and to their end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::{Config, Workers};
use crate::net::{self, RingFlags};
use crate::observe::{Counts, Notices, say_now};
use crate::proxy::{Kept, Live, Shared};
use crate::tls::TicketSecrets;

use super::crew::Crew;
use super::doors::Doors;
use super::journal::{Journal, Outputs};
use super::overview::Overview;
use super::resolve::{Known, resolve_all};

/// How the process is to run, beside what the file says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Says what was opened on standard error.
    pub talkative: bool,
}

/// Why a Config is not in force: sentences for the administrator.
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
    kept: Kept,
    known: Known,
    crew: Crew,
    doors: Doors,
    journal: Journal,
    overview: Arc<Overview>,
}

/// Starts everything that `config` says.
///
/// # Errors
/// What stands in the way, and who has to change what.
pub fn start(config: Config, settings: Settings) -> Result<Running, Refused> {
    let files = net::raise_open_file_limit().unwrap_or_else(|_| net::open_file_limit());
    let count = workers_of(&config);
    let mut doors = Doors::default();
    let opened = doors.prepare(&config, count)?;
    let outputs = Outputs::open(&config.log)?;
    let tickets = TicketSecrets::new().map_err(|why| Refused(why.to_owned()))?;
    let mut kept = Kept::default();
    let mut known = Known::default();
    let live = prepare(1, config, &tickets, (&mut kept, &mut known))?;
    let shared = Shared::new(live, tickets, seed());
    let overview = Overview::new(Arc::clone(&shared));
    overview.note_names(&kept);
    let mut crew = Crew::default();
    let hired = crew.grow(count, &shared)?;
    overview.note_flags(hired.flags);
    let journal = Journal::start(outputs, Arc::clone(&shared), Arc::clone(&overview))?;
    journal.add(hired.queues);
    doors.take_over(opened, &shared.live.load().config, &mut kept, &crew);
    let running = Running { shared, kept, known, crew, doors, journal, overview };
    running.show();
    if settings.talkative {
        running.introduce(hired.flags, files);
    }
    Ok(running)
}

fn workers_of(config: &Config) -> usize {
    match config.workers {
        Workers::Auto => net::usable_cores().len(),
        Workers::Count(count) => usize::from(count),
    }
}

/// Prepares what `config` needs to be in force. Names that do not resolve are said and stop nothing.
fn prepare(
    generation: u64,
    config: Config,
    tickets: &Arc<TicketSecrets>,
    (kept, known): (&mut Kept, &mut Known),
) -> Result<Live, Refused> {
    let notices = Notices::default();
    let resolved = resolve_all(&config, known, &notices);
    known.extend(resolved);
    for sentence in notices.take().0 {
        say_now(&sentence);
    }
    let resolve = |server: &_| known.get(server).cloned().unwrap_or_default();
    Ok(Live::new(generation, config, tickets, kept, &resolve)?)
}

/// Numbers of records start somewhere else in each run.
fn seed() -> u64 {
    net::wall_micros() << 8
}

impl Running {
    fn introduce(&self, flags: RingFlags, files: u64) {
        let count = self.crew.count();
        say_now(&format!("{count} workers, ring flags {flags}, {files} open files at most"));
        for (listener, address) in self.addresses() {
            say_now(&format!("listener {listener} on {address}"));
        }
    }

    /// Puts `config` in force. Requests that have begun keep what they began with; the next on each
    /// connection goes by the new rules. Gives the number of the Config that is in force now.
    ///
    /// # Errors
    /// What stands in the way. Nothing has changed then.
    pub fn reload(&mut self, config: Config) -> Result<u64, Refused> {
        self.crew.reap();
        let count = workers_of(&config);
        let outputs = Outputs::open(&config.log)?;
        let generation = self.shared.live.load().generation + 1;
        let names = (&mut self.kept, &mut self.known);
        let mut live = prepare(generation, config, &self.shared.tickets, names)?;
        self.overview.note_names(&self.kept);
        let moved = self.doors.moved(&live.config);
        live.rename(&moved);
        // Late: from now on the kernel gives clients to sockets that nobody accepts from yet.
        let opened = self.doors.prepare(&live.config, count.max(self.crew.count()))?;
        let hired = self.crew.grow(count, &self.shared)?;
        self.journal.add(hired.queues);
        self.shared.live.store(Arc::new(live));
        self.journal.redirect(outputs);
        self.crew.shrink(count);
        let live = self.shared.live.load();
        self.doors.take_over(opened, &live.config, &mut self.kept, &self.crew);
        self.overview.note_flags(hired.flags);
        self.show();
        Ok(generation)
    }

    /// Whoever asks is told of the workers and listeners that there are now.
    fn show(&self) {
        let crew = &self.crew;
        self.overview.note_workers(crew.counters(), crew.count(), crew.restarts());
        self.overview.note_listeners(self.addresses());
    }

    #[cfg(test)]
    pub(super) fn crew(&self) -> &Crew {
        &self.crew
    }

    /// What is shown of this proxy.
    pub(super) fn overview(&self) -> &Arc<Overview> {
        &self.overview
    }

    /// Workers that have ended by a fault of ours are replaced, and what could not be done for want
    /// of descriptors is tried again.
    pub(super) fn mend(&mut self) {
        let mended = self.crew.mend(&self.shared);
        if !mended.is_empty() {
            for (slot, queue) in mended {
                self.doors.forget(slot);
                self.journal.add(vec![queue]);
            }
            self.show();
        }
        self.doors.spread(&self.crew);
    }

    /// Where clients are accepted; with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.doors.addresses(&self.shared.live.load().config)
    }

    /// The sum of all workers' counters.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.crew.counts()
    }

    /// The Config in force.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.shared.live.load_full()
    }

    /// Lets running exchanges end, for `drain` at most, then stops; `hurry` is asked meanwhile.
    pub fn stop(mut self, mut hurry: impl FnMut() -> bool) {
        let drain = self.shared.live.load().config.timeouts.drain;
        self.shared.draining.store(true, Ordering::Release);
        // The workers' own handles close when they have taken who waits.
        self.doors = Doors::default();
        self.overview.note_listeners(Vec::new());
        let until = net::monotonic() + drain;
        self.crew.stop(|| hurry() || net::monotonic() >= until);
        self.journal.finish(hurry);
    }
}

//! From the operator's file to running workers, to other files while they run, and to their end.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use crate::config::{Config, Workers};
use crate::net::{self, RingFlags};
use crate::observe::{Counts, say_now};
use crate::proxy::{Kept, Live, Shared};
use crate::tls::TicketSecrets;

use super::certificates::Certificates;
use super::crew::Crew;
use super::doors::Doors;
use super::health::{self, Health};
use super::journal::{Journal, Outputs};
use super::names::Names;
use super::overview::Overview;
use super::service::Event;

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
    names: Names,
    crew: Crew,
    doors: Doors,
    journal: Journal,
    health: Health,
    certificates: Certificates,
    overview: Arc<Overview>,
}

/// Starts everything that `config` says. Names of servers are asked for once: nobody waits for
/// other addresses.
///
/// # Errors
/// What stands in the way, and who has to change what.
pub fn start(config: Config, settings: Settings) -> Result<Running, Refused> {
    start_with(config, settings, None, &mut || false)
}

/// The same. `events` is told when names have other addresses, for [`Running::readdress`]; `hurry`
/// is asked while names are waited for.
pub(super) fn start_with(
    config: Config,
    settings: Settings,
    events: Option<mpsc::Sender<Event>>,
    hurry: Hurry<'_>,
) -> Result<Running, Refused> {
    let files = net::raise_open_file_limit().unwrap_or_else(|_| net::open_file_limit());
    let count = workers_of(&config);
    let mut doors = Doors::default();
    let opened = doors.prepare(&config, count)?;
    let outputs = Outputs::open(&config.log)?;
    let tickets = TicketSecrets::new().map_err(|why| Refused(why.to_owned()))?;
    let mut kept = Kept::default();
    let mut names = Names::new(events);
    names.want(&config, None, hurry)?;
    let live = names.prepare(1, config, &tickets, &mut kept)?;
    let shared = Shared::new(live, tickets, seed());
    let overview = Overview::new(Arc::clone(&shared));
    overview.note_names(&kept);
    let mut crew = Crew::default();
    let hired = crew.grow(count, &shared)?;
    overview.note_flags(hired.flags);
    let journal = Journal::start(outputs, Arc::clone(&shared), Arc::clone(&overview))?;
    journal.add(hired.queues);
    doors.take_over(opened, &shared.live.load().config, &mut kept, &crew);
    let mut health = Health::default();
    health.take_over(&shared);
    let certificates = Certificates::watch(Arc::clone(&shared))?;
    let mut running =
        Running { shared, kept, names, crew, doors, journal, health, certificates, overview };
    running.readdress();
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

/// Whether there is something more urgent than to wait for names.
pub(super) type Hurry<'h> = &'h mut dyn FnMut() -> bool;

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
        self.reload_with(config, &mut || false)
    }

    /// The same; `hurry` is asked while names are waited for.
    pub(super) fn reload_with(&mut self, config: Config, hurry: Hurry<'_>) -> Result<u64, Refused> {
        let reloaded = self.try_reload(config, hurry);
        let live = self.shared.live.load_full();
        match reloaded {
            Ok(_) => self.names.settle(&live.config),
            Err(_) => self.names.go_back(&live.config),
        }
        self.readdress();
        reloaded
    }

    fn try_reload(&mut self, config: Config, hurry: Hurry<'_>) -> Result<u64, Refused> {
        self.crew.reap();
        let count = workers_of(&config);
        let outputs = Outputs::open(&config.log)?;
        let generation = self.shared.live.load().generation + 1;
        self.names.want(&config, Some(&self.shared.live.load().config), hurry)?;
        let tickets = &self.shared.tickets;
        let mut live = self.names.prepare(generation, config, tickets, &mut self.kept)?;
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
        drop(live);
        self.health.take_over(&self.shared);
        self.overview.note_flags(hired.flags);
        self.show();
        Ok(generation)
    }

    /// Puts the addresses in force that names have now, where they are others, and says what has
    /// changed. It is the same Config with the same number.
    pub(super) fn readdress(&mut self) {
        if !self.names.note_news() {
            self.show_names();
            return;
        }
        let live = self.shared.live.load_full();
        match self.names.readdressed(&live, &mut self.kept) {
            Ok(Some(live)) => {
                self.overview.note_names(&self.kept);
                self.shared.live.store(Arc::new(live));
                self.health.take_over(&self.shared);
            }
            Ok(None) => {}
            Err(why) => say_now(&format!("other addresses of names are not in force: {why}")),
        }
        self.say_names();
        self.show_names();
    }

    /// Says in the service's log what names have come to.
    pub(super) fn say_names(&mut self) {
        for sentence in self.names.sentences(&self.shared.live.load()) {
            say_now(&sentence);
        }
    }

    fn show_names(&self) {
        self.overview.note_troubles(self.names.in_trouble(&self.shared.live.load()));
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

    /// Workers that have ended by a fault of ours are replaced, sockets follow their adapters, and
    /// what could not be done for want of descriptors is tried again.
    pub(super) fn mend(&mut self) {
        let mended = self.crew.mend(&self.shared);
        if !mended.is_empty() {
            for (slot, queue) in mended {
                self.doors.forget(slot);
                self.journal.add(vec![queue]);
            }
            self.show();
        }
        self.doors.follow();
        self.doors.spread(&self.crew);
    }

    /// Says in the service's log which servers are not as they were.
    pub(super) fn say_health(&mut self) {
        self.health.say_changes(&self.shared.live.load());
    }

    /// Takes a server of a pool out, so that only clients who are logged in there still reach it, or
    /// takes it in again. It stays so over reloads. Gives what was done, in words.
    ///
    /// # Errors
    /// There is no such pool or server.
    pub fn drain(&self, pool: &str, server: &str, out: bool) -> Result<String, String> {
        health::drain(&self.shared.live.load(), pool, server, out)
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
        self.health = Health::default();
        drop(self.certificates);
        // The workers' own handles close when they have taken who waits.
        self.doors = Doors::default();
        self.overview.note_listeners(Vec::new());
        let until = net::monotonic() + drain;
        self.crew.stop(|| hurry() || net::monotonic() >= until);
        self.journal.finish(hurry);
    }
}

//! The process's life after its start: it waits for signals, for questions at the admin socket and
//! for changed certificates, until it is told to end.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::sys::signal::Signal;
use sd_notify::NotifyState;

use crate::config::{self, Config};
use crate::net::{self, Moment};
use crate::observe::{Seldom, say_now};

use super::admin::{Admin, Answer};
use super::page::Page;
use super::signals::wait_for_signal;
use super::source::{Disk, Snapshot};
use super::start::{Refused, Running, Settings, start_with};

/// How often certificates and the like are looked at. A change takes effect after two looks that
/// find the same.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long until certificates that were not taken are tried again, since what stood in the way may
/// have gone; each time twice as long.
const AGAIN_FIRST: Duration = Duration::from_secs(5);

/// And the longest.
const AGAIN_LAST: Duration = Duration::from_secs(300);

/// What the control thread waits for.
#[derive(Debug)]
pub(super) enum Event {
    Signal(Signal),
    /// Somebody asks for the file to be read again, and waits for the answer.
    Reload(mpsc::Sender<Answer>),
    /// Somebody takes a server of a pool out, or in again.
    Drain {
        pool: String,
        server: String,
        out: bool,
        asker: mpsc::Sender<Answer>,
    },
    /// Names of servers have news.
    Names,
}

/// Events in the order in which they came.
#[derive(Debug)]
struct Events {
    come: mpsc::Receiver<Event>,
    /// Those that were looked at while something else was under way.
    seen: VecDeque<Event>,
}

impl Events {
    /// The next, or none within `longest`.
    fn next(&mut self, longest: Duration) -> Option<Event> {
        self.seen.pop_front().or_else(|| self.come.recv_timeout(longest).ok())
    }

    /// Whether somebody wants the process to end. It stays an event.
    fn has_end(&mut self) -> bool {
        self.seen.extend(self.come.try_iter());
        self.seen.iter().any(is_end)
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::Signal(Signal::SIGTERM | Signal::SIGINT))
}

/// The proxy with the files that it was started from.
#[derive(Debug)]
pub struct Service {
    main: PathBuf,
    snapshot: Snapshot,
    running: Running,
    /// Certificates that were not taken.
    again: Option<Again>,
    admin: Option<Admin>,
    page: Option<Page>,
    /// When it was last said that there is no page.
    page_said: Seldom,
    events: Events,
    sender: mpsc::Sender<Event>,
}

/// A try that failed.
#[derive(Debug)]
struct Again {
    at: Moment,
    pause: Duration,
    why: String,
}

impl Service {
    /// Starts what `config` says, which `disk` has read from `main`.
    /// [`block_signals`](super::block_signals) must have run.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn start(main: &Path, disk: Disk, config: Config) -> Result<Self, Refused> {
        let snapshot = Snapshot::of(disk, &config);
        let (sender, come) = mpsc::channel();
        let mut events = Events { come, seen: VecDeque::new() };
        let signals = sender.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || pass_signals_on(&signals))
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        let settings = Settings { talkative: true };
        // Whoever ends a process that still waits for names waits for nothing.
        let hurry = &mut || events.has_end();
        let running = start_with(config, settings, Some(sender.clone()), hurry)?;
        running.overview().note_file(main.to_path_buf());
        let mut service = Self {
            main: main.to_path_buf(),
            snapshot,
            running,
            again: None,
            admin: None,
            page: None,
            page_said: Seldom::default(),
            events,
            sender,
        };
        service.open_admin();
        service.open_page();
        Ok(service)
    }

    /// Runs until SIGTERM or SIGINT, then until everybody has gone.
    pub fn run(mut self) {
        tell_manager(&[NotifyState::Ready]);
        let mut look_at = net::monotonic() + LOOK_EVERY;
        loop {
            let left = Duration::from_nanos(look_at.since(net::monotonic()));
            match self.events.next(left) {
                Some(Event::Signal(Signal::SIGHUP)) => {
                    let answer = self.reload();
                    say_now(&answer.text);
                }
                Some(Event::Signal(_)) => break,
                Some(Event::Names) => self.running.readdress(),
                Some(Event::Reload(asker)) => {
                    let answer = self.reload();
                    if answer.done {
                        say_now(&answer.text);
                    } else {
                        say_now("a reload was asked for and refused; the old file stays in force");
                    }
                    // Whoever asked may have gone.
                    let _ = asker.send(answer);
                }
                Some(Event::Drain { pool, server, out, asker }) => {
                    let answer = match self.running.drain(&pool, &server, out) {
                        Ok(text) => Answer::done(text),
                        Err(text) => Answer::refused(text),
                    };
                    // Whoever asked may have gone.
                    let _ = asker.send(answer);
                }
                None => {}
            }
            // By the clock: events that never pause, say of names that move all the time, put off none
            // of this.
            if net::monotonic() >= look_at {
                self.look();
                look_at = net::monotonic() + LOOK_EVERY;
            }
        }
        say_now("stopping; running requests may end, a second signal stops at once");
        tell_manager(&[NotifyState::Stopping]);
        let Self { running, admin, page, mut events, .. } = self;
        drop(admin);
        running.stop(|| ended_again(&mut events));
        // Until now it has said that the process is ending.
        drop(page);
    }

    /// Does what nobody asks for.
    fn look(&mut self) {
        self.running.mend();
        self.running.say_health();
        self.running.say_names();
        self.open_page();
        self.look_at_files();
    }

    /// Reads the file again. If anything is wrong with it, it changes nothing.
    fn reload(&mut self) -> Answer {
        let reloading = NotifyState::monotonic_usec_now();
        if let Ok(now) = reloading {
            tell_manager(&[NotifyState::Reloading, now]);
        }
        let answer = self.take(Disk::default());
        tell_manager(&[NotifyState::Ready]);
        answer
    }

    fn take(&mut self, disk: Disk) -> Answer {
        let answer = self.try_take(disk);
        let refused = (!answer.done).then_some(answer.text.as_str());
        self.running.overview().note_reload(refused);
        answer
    }

    fn try_take(&mut self, disk: Disk) -> Answer {
        let (config, warnings) = match config::read(&self.main, &disk, net::wall_seconds()) {
            Ok(read) => read,
            Err(complaints) => {
                let text =
                    format!("{complaints}\nnothing has changed; the old file stays in force");
                return Answer::refused(text);
            }
        };
        let snapshot = Snapshot::of(disk, &config);
        let events = &mut self.events;
        match self.running.reload_with(config, &mut || events.has_end()) {
            Ok(generation) => {
                self.snapshot = snapshot;
                self.again = None;
                self.open_admin();
                self.open_page();
                let main = self.main.display();
                let mut text = format!("{main} is in force (generation {generation})");
                if warnings.count() > 0 {
                    text += &format!("\n{warnings}");
                }
                Answer::done(text)
            }
            Err(why) => {
                let text = format!("{why}\nnothing has changed; the old file stays in force");
                Answer::refused(text)
            }
        }
    }

    /// A renewed certificate (or page, or authority) comes into force by itself, with the operator's files as they were.
    fn look_at_files(&mut self) {
        let changed = self.snapshot.has_settled_change();
        let due = self.again.as_ref().is_some_and(|again| net::monotonic() >= again.at);
        if !changed && !due {
            return;
        }
        let answer = self.take(self.snapshot.disk());
        if answer.done {
            say_now("changed certificates are in force");
            return;
        }
        let why = answer.text;
        let before = self.again.take().filter(|_| !changed);
        // Said once, however often it is tried.
        if before.as_ref().is_none_or(|before| before.why != why) {
            say_now(&format!("changed certificates are not taken, the old ones stay:\n{why}"));
        }
        let pause = before.map_or(AGAIN_FIRST, |before| (before.pause * 2).min(AGAIN_LAST));
        self.again = Some(Again { at: net::monotonic() + pause, pause, why });
    }

    /// Listens where the Config in force says.
    fn open_admin(&mut self) {
        let live = self.running.live();
        let path = &live.config.admin.socket;
        if self.admin.as_ref().is_some_and(|admin| admin.path() == path) {
            return;
        }
        self.admin = None;
        let overview = Arc::clone(self.running.overview());
        match Admin::listen(path, self.sender.clone(), overview) {
            Ok(admin) => self.admin = Some(admin),
            Err(error) => say_now(&format!(
                "no admin socket at {}: {error}; `gatehouse reload` and `gatehouse status` do not work; `kill -HUP {}` reloads",
                path.display(),
                std::process::id()
            )),
        }
    }

    /// Serves metrics and health where the Config in force says; if that does not go, it is tried
    /// again.
    fn open_page(&mut self) {
        let live = self.running.live();
        let asked = live.config.admin.page.as_ref();
        let page = self.page.as_ref();
        if page.map(Page::asked) == asked && !page.is_some_and(Page::is_cut_off) {
            return;
        }
        // First, since the next may share an address with it.
        self.page = None;
        let Some(asked) = asked else { return };
        let keepalive = live.config.timeouts.tcp_keepalive;
        match Page::open(asked, keepalive, self.running.overview()) {
            Ok(page) => self.page = Some(page),
            Err(why) if self.page_said.is_time(net::monotonic().0) => say_now(&format!(
                "[admin] /metrics and /healthz are not served: {why}; it is tried again"
            )),
            Err(_) => {}
        }
    }
}

fn pass_signals_on(events: &mpsc::Sender<Event>) {
    while let Ok(signal) = wait_for_signal() {
        if events.send(Event::Signal(signal)).is_err() {
            return;
        }
    }
}

/// Whether somebody lost patience with the stop.
fn ended_again(events: &mut Events) -> bool {
    std::iter::from_fn(|| events.next(Duration::ZERO)).any(|event| is_end(&event))
}

/// Without a service manager nobody is told.
fn tell_manager(state: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(state);
}

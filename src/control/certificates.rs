//! The thread that knows when servers' certificates end. What connections see is enough where there
//! are any; a server that has shown nothing for an hour is looked at: one handshake, without a
//! request. It waits for nobody and holds up nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::net::{self, Moment, wall_seconds};
use crate::proxy::{Live, Shared};

use super::doctor::{Patient, certificate_end, site_name};

/// What was seen is enough for so long, in seconds.
const FRESH_SECONDS: i64 = 3_600;

/// A server that is new is left alone for so long: its first connections mostly come before that,
/// and tell the same.
const FIRST: Duration = Duration::from_secs(10);

/// A server that shows nothing is looked at again after this.
const AGAIN: Duration = Duration::from_secs(300);

/// How often it is seen whether somebody is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The running thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Certificates {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Certificates {
    /// Begins to look at the servers of whatever is in force.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn watch(shared: Arc<Shared>) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let story = move || {
            let mut watch = Watch::default();
            while !told.load(Ordering::Acquire) {
                let live = shared.live.load_full();
                watch.look(&live, net::monotonic(), &told);
                drop(live);
                std::thread::park_timeout(LOOK_EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("certificates".to_owned()).spawn(story);
        let thread =
            thread.map_err(|error| format!("servers' certificates are not watched: {error}"))?;
        Ok(Self { thread: Some(thread), stop })
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A look that is under way ends by the same word.
            let _ = thread.join();
        }
    }
}

/// When each server is to be looked at, by what its connections depend on.
#[derive(Debug, Default)]
struct Watch {
    due: HashMap<crate::pool::Shelf, Moment>,
}

impl Watch {
    /// Looks at the servers that are due; those that are not in force any more are forgotten.
    fn look(&mut self, live: &Live, now: Moment, stop: &AtomicBool) {
        let mut due = HashMap::new();
        for pool in live.pools() {
            for server in &pool.servers {
                let Some(tls) = &server.tls else { continue };
                let known = self.due.get(&server.shelf).copied();
                let mut at = known.unwrap_or(now + FIRST);
                let seen = tls.connector.last_shown();
                let fresh = seen.is_some_and(|(_, seen)| wall_seconds() - seen < FRESH_SECONDS);
                if at <= now && !fresh && !stop.load(Ordering::Acquire) {
                    let site = site_name(&live.config, pool.settings.id);
                    let patient = Patient::new(
                        &pool.settings,
                        &server.name,
                        server.dial.clone(),
                        site.as_deref(),
                    );
                    // Whoever shows nothing is spoken of by those who need him.
                    if let Ok(ends) = certificate_end(&patient, stop) {
                        tls.connector.note_shown(ends, wall_seconds());
                    }
                    at = net::monotonic() + AGAIN;
                }
                due.insert(server.shelf, at);
            }
        }
        self.due = due;
    }
}

//! The thread that looks at servers. Each has its own beat, and a server that does not answer holds
//! up nobody else's. What a look says is judged in `pool/health.rs`.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::net::{self, Machine, Moment, Ring, Ticker, Ticks};
use crate::observe::say_now;
use crate::pool::health::Evidence;
use crate::proxy::{Live, LivePool, Shared, Visitor};

/// Within this time after a server is new it is looked at for the first time, so that hundreds are
/// not looked at in one moment.
const FIRST: Duration = Duration::from_secs(1);

/// The running thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Probes {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Probes {
    /// Begins to look at the servers of whatever is in force.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let story = move || {
            let ran = net::run(|ring, _| look_until(ring, shared, told));
            if let Err(why) | Ok(Err(why)) = ran {
                say_now(&format!("servers are not probed: {why}"));
            }
        };
        let thread = std::thread::Builder::new().name("probes".to_owned()).spawn(story);
        let thread = thread.map_err(|error| format!("servers are not probed: {error}"))?;
        Ok(Self { thread: Some(thread), stop })
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It looks at every tick; one that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A server that is looked at.
#[derive(Debug)]
struct Target {
    pool: usize,
    server: usize,
    address: SocketAddr,
    due: Moment,
    /// A look has not ended yet.
    busy: Rc<Cell<bool>>,
}

async fn look_until(ring: Ring, shared: Arc<Shared>, stop: Arc<AtomicBool>) -> Result<(), String> {
    let ticker = Ticker::new(Ticks::LENGTH).map_err(|error| format!("no timer ({error})"))?;
    let visitor = Rc::new(Visitor::new(ring.clone()));
    let mut dice = Dice(net::wall_micros() | 1);
    let mut live = shared.live.load_full();
    let mut targets = targets(&live, None, ring.now(), &mut dice);
    while !stop.load(Ordering::Acquire) {
        ticker.tick().await;
        let now = ring.now();
        visitor.tick(now);
        let in_force = shared.live.load_full();
        if !Arc::ptr_eq(&in_force, &live) {
            targets = self::targets(&in_force, Some((&live, targets)), now, &mut dice);
            live = in_force;
        }
        for target in targets.iter_mut().filter(|target| target.due <= now && !target.busy.get()) {
            let Some(probe) =
                live.pools().get(target.pool).and_then(|it| it.settings.probe.as_ref())
            else {
                continue;
            };
            target.due = now + dice.about(probe.every);
            target.busy.set(true);
            let busy = Rc::clone(&target.busy);
            let place = (target.pool, target.server);
            let visit =
                look(Rc::clone(&visitor), (Arc::clone(&live), Arc::clone(&shared)), place, busy);
            ring.spawn(visit);
        }
    }
    Ok(())
}

/// One look at a server, and what is known after it.
async fn look(
    visitor: Rc<Visitor<Ring>>,
    (live, shared): (Arc<Live>, Arc<Shared>),
    (pool, server): (usize, usize),
    busy: Rc<Cell<bool>>,
) {
    let pool = live.pools().get(pool);
    if let Some((pool, probe)) = pool.and_then(|pool| Some((pool, pool.settings.probe.as_ref()?)))
        && let Some(load) = pool.servers.get(server).map(|server| &server.load)
    {
        let seen = visitor.visit((pool, server), &probe.ask, probe.timeout).await;
        // Whoever took a probe out does not want to hear of its last look, which nobody would mend.
        let name = &pool.settings.name;
        let still = |now: &LivePool| {
            now.settings.name == *name
                && now.settings.probe.as_ref().is_some_and(|now| now.ask == probe.ask)
        };
        let is_asked = shared.live.load().pools().iter().any(still);
        let hear = |evidence| load.heard(evidence, net::monotonic().0 / 1_000_000, pool.policy);
        match seen {
            Ok(true) if is_asked => hear(Evidence::ProbePassed),
            Err(refusal) if is_asked => {
                load.note_probe(refusal.trouble, &refusal.detail);
                hear(Evidence::ProbeFailed(refusal.trouble));
            }
            Ok(_) | Err(_) => {}
        }
    }
    busy.set(false);
}

/// Whom to look at from now on, and when; who was looked at `before` keeps its beat.
fn targets(
    live: &Live,
    before: Option<(&Live, Vec<Target>)>,
    now: Moment,
    dice: &mut Dice,
) -> Vec<Target> {
    let mut targets = Vec::new();
    for (pool, settings) in live.pools().iter().enumerate() {
        let Some(probe) = &settings.settings.probe else { continue };
        for (server, address) in settings.servers.iter().map(|server| server.dial.to).enumerate() {
            let same = before.as_ref().and_then(|(live, targets)| {
                let named = |target: &&Target| {
                    let pool = live.pools().get(target.pool);
                    let same =
                        pool.is_some_and(|pool| pool.settings.name == settings.settings.name);
                    same && target.address == address
                };
                targets.iter().find(named)
            });
            let (due, busy) = match same {
                // A beat that got shorter begins at once.
                Some(target) => (target.due.min(now + probe.every), Rc::clone(&target.busy)),
                None => (now + dice.below(probe.every.min(FIRST)), Rc::default()),
            };
            targets.push(Target { pool, server, address, due, busy });
        }
    }
    targets
}

/// Chance: cheap, and of no value to anybody who guesses it.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Some time below `most`.
    fn below(&mut self, most: Duration) -> Duration {
        most.mul_f64((self.throw() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// `length`, a tenth more or less, so that servers do not fall into step.
    fn about(&mut self, length: Duration) -> Duration {
        length.mul_f64(0.9) + self.below(length / 5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_do_not_fall_into_step() {
        let mut dice = Dice(7);
        let second = Duration::from_secs(1);
        let beats: Vec<Duration> = (0..1_000).map(|_| dice.about(second)).collect();
        assert!(beats.iter().all(|beat| (0.9..1.1).contains(&beat.as_secs_f64())), "{beats:?}");
        let mean = beats.iter().sum::<Duration>() / 1_000;
        assert!((0.99..1.01).contains(&mean.as_secs_f64()), "{mean:?}");
        let mut firsts = [0; 10];
        (0..1_000).for_each(|_| firsts[(dice.below(second).as_millis() / 100) as usize] += 1);
        assert!(firsts.iter().all(|count| (60..140).contains(count)), "{firsts:?}");
    }
}

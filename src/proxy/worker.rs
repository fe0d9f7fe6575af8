//! What one worker's connections share: the Config in force, deadlines, idle upstream connections,
//! counters and the queue to the log.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use jiff::{Timestamp, tz::TimeZone};
use rtrb::{Consumer, Producer, RingBuffer};

use crate::http::Sink;
use crate::net::{self, Block, Machine, Moment};
use crate::observe::{Counters, Notices, Record, Seldom};
use crate::site::LogIns;
use crate::tls::TicketSecrets;

use super::admit::Crowd;
use super::alarm::Alarms;
use super::idle::Idle;
use super::live::Live;

/// Records that may wait for the log thread, per worker; more are dropped and counted.
pub const RECORDS_MAX: usize = 16 * 1024;

/// Records that are made before the first request; more are made when more are under way.
const RECORDS_READY: usize = 1024;

/// How often idle upstream connections are looked through for ended ones.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What all workers of the process share.
#[derive(Debug)]
pub struct Shared {
    /// The Config in force.
    pub live: Arc<ArcSwap<Live>>,
    /// No new requests: connections close after the exchange that they are in.
    pub draining: AtomicBool,
    /// Everybody who is connected, over all workers.
    pub crowd: Crowd,
    /// Passwords that were tried.
    pub log_ins: LogIns,
    /// When it was last said that log-ins are refused.
    pub locked_said: Seldom,
    /// Sentences for the service's log.
    pub notices: Notices,
    /// What session tickets are sealed under.
    pub tickets: Arc<TicketSecrets>,
    /// The next record's number.
    pub first_id: AtomicU64,
}

impl Shared {
    /// Starts with `live` in force; `seed` makes record numbers differ from run to run.
    #[must_use]
    pub fn new(live: Live, tickets: Arc<TicketSecrets>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            live: Arc::new(ArcSwap::from_pointee(live)),
            draining: AtomicBool::new(false),
            crowd: Crowd::default(),
            log_ins: LogIns::default(),
            locked_said: Seldom::default(),
            notices: Notices::default(),
            tickets,
            first_id: AtomicU64::new(seed),
        })
    }
}

/// The worker's end of the queue to the log thread: full records go out, empty ones come back.
#[derive(Debug)]
pub struct WorkerEnds {
    full: Producer<Box<Record>>,
    empty: Consumer<Box<Record>>,
}

/// The log thread's end.
#[derive(Debug)]
pub struct WriterEnds {
    /// Records to be written.
    pub full: Consumer<Box<Record>>,
    /// Records to be used again; emptied, since that is no work for a worker.
    pub empty: Producer<Box<Record>>,
}

/// A queue between a worker and the log thread.
#[must_use]
pub fn journal() -> (WorkerEnds, WriterEnds) {
    let (full, written) = RingBuffer::new(RECORDS_MAX);
    let (mut recycled, empty) = RingBuffer::new(RECORDS_MAX);
    for _ in 0..RECORDS_READY {
        // There is room for all of them.
        let _ = recycled.push(Box::new(Record::with_room()));
    }
    (WorkerEnds { full, empty }, WriterEnds { full: written, empty: recycled })
}

/// The Config in force as this worker sees it; cloning costs no shared memory.
pub(super) type View = Rc<Arc<Live>>;

/// The shared pointer, and what it pointed to when it was last looked at.
type InForce = (Cache<Arc<ArcSwap<Live>>, Arc<Live>>, View);

/// One worker.
pub struct Worker<M: Machine> {
    pub(super) machine: M,
    pub(super) shared: Arc<Shared>,
    pub(super) alarms: Rc<Alarms>,
    pub(super) idle: Idle<M::Socket>,
    pub(super) counters: Arc<Counters>,
    view: RefCell<InForce>,
    journal: RefCell<Option<WorkerEnds>>,
    next_id: Cell<u64>,
    turn: Cell<usize>,
    swept: Cell<Moment>,
    told_to_end: Cell<bool>,
    retiring: Cell<bool>,
    wall: Cell<(Moment, u64)>,
    date: Cell<([u8; 37], u64)>,
    /// Room for canonical paths.
    pub(super) scratch: RefCell<Vec<u8>>,
}

impl<M: Machine> fmt::Debug for Worker<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl<M: Machine> Worker<M> {
    /// A worker of this thread. `journal` is `None` where nothing is logged; `number` tells the
    /// workers apart.
    #[must_use]
    pub fn new(
        machine: M,
        shared: &Arc<Shared>,
        counters: Arc<Counters>,
        journal: Option<WorkerEnds>,
        number: usize,
    ) -> Rc<Self> {
        let view = Rc::new(shared.live.load_full());
        let first = shared.first_id.load(Ordering::Relaxed);
        let worker = Rc::new(Self {
            shared: Arc::clone(shared),
            alarms: Rc::new(Alarms::default()),
            idle: Idle::default(),
            counters,
            view: RefCell::new((Cache::new(Arc::clone(&shared.live)), view)),
            journal: RefCell::new(journal),
            // 2^48 records of each worker before two could have the same number.
            next_id: Cell::new(first.wrapping_add((number as u64) << 48)),
            // Workers begin with different servers.
            turn: Cell::new(number),
            swept: Cell::new(Moment::default()),
            told_to_end: Cell::new(false),
            retiring: Cell::new(false),
            wall: Cell::default(),
            date: Cell::new(([0; 37], u64::MAX)),
            scratch: RefCell::new(Vec::with_capacity(256)),
            machine,
        });
        worker.tick();
        worker
    }

    /// To be called about every [`crate::net::Ticks::LENGTH`]: deadlines pass, the date moves on.
    pub fn tick(&self) {
        let now = self.machine.now();
        self.alarms.tick(now);
        if self.draining() && !self.told_to_end.replace(true) {
            self.alarms.wake_all();
        }
        self.refresh_date();
        if net::held_bytes() > self.view().spares_max {
            net::give_back_spares();
        }
        if now.since(self.swept.get()) >= SWEEP_EVERY.as_nanos() as u64 {
            self.swept.set(now);
            self.idle.sweep(now);
        }
    }

    /// The machine that it runs on.
    pub fn machine(&self) -> M {
        self.machine.clone()
    }

    /// Leaves a sentence for the service's log.
    pub fn say(&self, subject: &str, what: &str) {
        self.shared.notices.say(subject, what);
    }

    /// No client is connected to this worker.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        let counts = self.counters.read();
        counts.clients == counts.clients_ended
    }

    /// Clients stay for the answer that they are told to be the last, and nobody is sent away.
    pub fn retire(&self) {
        self.retiring.set(true);
    }

    /// Whether a client may bring another request on its connection.
    pub(super) fn keeps_clients(&self) -> bool {
        !self.retiring.get() && !self.draining()
    }

    /// Whether the process is ending.
    pub(super) fn draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// The Config in force.
    pub(super) fn view(&self) -> View {
        let (cache, view) = &mut *self.view.borrow_mut();
        let now = cache.load();
        if !Arc::ptr_eq(now, view) {
            *view = Rc::new(Arc::clone(now));
        }
        Rc::clone(view)
    }

    /// Whether buffers take up as much as they may, also when this thread's spare ones are given
    /// back.
    #[inline]
    pub(super) fn memory_is_full(&self, view: &Live) -> bool {
        if net::held_bytes() <= view.memory_max {
            return false;
        }
        net::give_back_spares();
        net::held_bytes() > view.memory_max
    }

    /// A number that moves on each time, to share servers out.
    pub(super) fn next_turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }

    /// An empty record with a number of its own.
    pub(super) fn open_record(&self) -> Box<Record> {
        let mut journal = self.journal.borrow_mut();
        let recycled = journal.as_mut().and_then(|ends| ends.empty.pop().ok());
        let mut record = recycled.unwrap_or_default();
        record.id = self.next_id.get();
        self.next_id.set(record.id.wrapping_add(1));
        record
    }

    /// The exchange has ended: its record goes to the log.
    pub(super) fn close_record(&self, record: Box<Record>) {
        let counters = &self.counters;
        counters.exchanges.add(1);
        counters.bytes_in.add(record.bytes_in);
        counters.bytes_out.add(record.bytes_out);
        if record.failure.is_some() {
            counters.failures.add(1);
        }
        counters.tallies.note(&record);
        if let Some(ends) = &mut *self.journal.borrow_mut()
            && ends.full.push(record).is_err()
        {
            counters.records_dropped.add(1);
        }
    }

    /// `Date: …` with its line end (RFC 9110 section 6.6.1), exact to the tick.
    pub(super) fn date_line(&self) -> [u8; 37] {
        self.date.get().0
    }

    /// What stands on the wall's clock at `moment`, in microseconds since 1970; from the clock
    /// reading of the last tick, so that a step of the wall's clock is followed within a tick.
    pub(super) fn wall_micros_at(&self, moment: Moment) -> u64 {
        let (ticked, wall) = self.wall.get();
        wall + moment.since(ticked) / 1000
    }

    fn refresh_date(&self) {
        let wall = self.machine.wall_micros();
        self.wall.set((self.machine.now(), wall));
        let seconds = wall / 1_000_000;
        if seconds != self.date.get().1 {
            self.date.set((date_line(seconds), seconds));
        }
    }
}

fn date_line(seconds: u64) -> [u8; 37] {
    let seconds = i64::try_from(seconds).unwrap_or_default();
    let time = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    let text = TimeZone::UTC.to_datetime(time).strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n");
    let mut line = [b' '; 37];
    let text = text.to_string();
    if let Some(room) = line.get_mut(..text.len()) {
        room.copy_from_slice(text.as_bytes());
    }
    line
}

impl Sink for Block {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        Self::put(self, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Failure;
    use crate::observe::CAUSES_MAX;

    #[test]
    fn every_failure_is_counted_on_its_own() {
        let mut causes: Vec<_> = Failure::all().map(|it| (it.word(), it.party())).collect();
        causes.sort_unstable();
        causes.dedup();
        assert!(causes.len() < CAUSES_MAX, "{}", causes.len());
    }

    #[test]
    fn the_date_fills_its_line() {
        assert_eq!(&date_line(784_111_777), b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }
}

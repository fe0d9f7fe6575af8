//! One thread's executor on a clock that jumps: tasks run until none is due, then time moves on to
//! whatever happens next. Which of the tasks that are due runs first is for the dice to say.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use gatehouse::net::Outbox;

use super::dice::Dice;
use super::machine::{Held, SimSocket};
use super::network::{Arrival, Connection, Weather};
use super::notes::Notes;
use super::planted::{Plant, Planted};

/// Nanoseconds.
pub(crate) const MS: u64 = 1_000_000;
/// Nanoseconds.
pub(crate) const SECOND: u64 = 1000 * MS;

/// Steps of tasks at one moment of simulated time, after which they are said to run in circles.
const STEPS_MAX: u32 = 200_000;

/// What is noted in a trace.
const WHAT: [&str; 12] = [
    "", "task", "new", "recv", "send", "arrive", "be_reset", "shutdown", "close", "dial", "asks",
    "said",
];

/// For people.
pub(crate) fn seconds(moment: u64) -> f64 {
    moment as f64 / SECOND as f64
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Something that happens at a moment.
type Event = Box<dyn FnOnce()>;

struct Alert {
    task: usize,
    queued: AtomicBool,
    due: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Alert {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.due.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        }
    }
}

/// Whether the end of a turn is due, as the outbox asks for it.
pub(crate) struct Posted(AtomicBool);

impl Wake for Posted {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Slot {
    task: Option<Task>,
    alert: Arc<Alert>,
    waker: Waker,
}

/// Takes in a client whose connection has arrived.
pub(crate) type Door = Rc<dyn Fn(SimSocket, SocketAddr)>;
/// What becomes of a connect to a server.
pub(crate) type Gate = Rc<dyn Fn(SocketAddr) -> Arrival>;
/// Takes in a connection of the proxy at a server.
pub(crate) type Inn = Rc<dyn Fn(SimSocket, SocketAddr)>;

/// Everything there is in one run.
pub(crate) struct World {
    now: Cell<u64>,
    /// Microseconds since 1970 at the beginning, with every step of the wall's clock.
    wall: Cell<u64>,
    dice: RefCell<Dice>,
    slots: RefCell<Vec<Slot>>,
    due: Arc<Mutex<Vec<usize>>>,
    /// By its moment, then in the order in which it was put there.
    agenda: RefCell<BTreeMap<(u64, u64), Event>>,
    entries: Cell<u64>,
    trace: Cell<u64>,
    steps: Cell<u32>,
    /// Everything that is noted is also printed.
    pub(crate) talks: Cell<bool>,
    pub(crate) weather: Weather,
    pub(crate) plant: Option<Plant>,
    pub(crate) planted: Planted,
    /// What the proxy posts in a turn.
    pub(crate) outbox: Outbox<Held>,
    /// Whether that has to be sent.
    pub(crate) posted: Arc<Posted>,
    pub(crate) connections: Cell<u32>,
    /// Sockets that the proxy holds.
    pub(crate) proxy_sockets: Cell<u32>,
    pub(crate) door: RefCell<Option<Door>>,
    pub(crate) gate: RefCell<Option<Gate>>,
    pub(crate) inn: RefCell<Option<Inn>>,
    pub(crate) notes: RefCell<Notes>,
    /// Connections on which a server said something unasked.
    pub(crate) unasked: RefCell<BTreeMap<u32, Rc<Connection>>>,
    /// The least number of bytes that travel in one piece.
    pub(crate) grain: usize,
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather, plant: Option<Plant>) -> Rc<Self> {
        let mut dice = Dice::new(seed);
        let grain = dice.pick(&[1, 7, 97, 700, 1460, 16_384]);
        Rc::new(Self {
            now: Cell::new(SECOND),
            wall: Cell::new(1_800_000_000_000_000),
            dice: RefCell::new(dice),
            slots: RefCell::default(),
            due: Arc::default(),
            agenda: RefCell::default(),
            entries: Cell::default(),
            trace: Cell::new(0xcbf2_9ce4_8422_2325),
            steps: Cell::default(),
            talks: Cell::new(std::env::var_os("GATEHOUSE_SIM_TALK").is_some()),
            weather,
            plant,
            planted: Planted::default(),
            outbox: Outbox::default(),
            posted: Arc::new(Posted(AtomicBool::new(true))),
            connections: Cell::default(),
            proxy_sockets: Cell::default(),
            door: RefCell::default(),
            gate: RefCell::default(),
            inn: RefCell::default(),
            notes: RefCell::default(),
            unasked: RefCell::default(),
            grain,
        })
    }

    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    pub(crate) fn wall_micros(&self) -> u64 {
        self.wall.get().wrapping_add(self.now.get() / 1000)
    }

    /// The wall's clock is set, as an administrator or a time server does.
    pub(crate) fn step_wall(&self, micros: i64) {
        self.wall.set(self.wall.get().saturating_add_signed(micros));
    }

    pub(crate) fn roll(&self, sides: usize) -> usize {
        self.dice.borrow_mut().roll(sides)
    }

    pub(crate) fn one_in(&self, sides: usize) -> bool {
        self.dice.borrow_mut().one_in(sides)
    }

    pub(crate) fn pick<T: Copy>(&self, from: &[T]) -> T {
        self.dice.borrow_mut().pick(from)
    }

    /// A length of time below `most`.
    pub(crate) fn up_to(&self, most: u64) -> u64 {
        self.roll(usize::try_from(most).unwrap_or(usize::MAX)) as u64
    }

    /// A length of a body that does not take too many pieces.
    pub(crate) fn body_length(&self) -> usize {
        let most = self.grain.saturating_mul(200).min(if self.one_in(16) { 150_000 } else { 6000 });
        match self.roll(8) {
            0 => 0,
            1 => 1,
            2..=5 => self.roll(most.min(200)),
            _ => self.roll(most),
        }
    }

    /// Something happened that must happen again when this seed is run again.
    pub(crate) fn note(&self, what: u64, detail: u64) {
        let mut trace = self.trace.get();
        for word in [self.now.get(), what, detail] {
            trace = (trace ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.trace.set(trace);
        if self.talks.get() && what != 1 {
            let (connection, count) = (detail >> 32, detail & 0xffff_ffff);
            println!(
                "{:>12.6} {:<8} {connection} {count}",
                seconds(self.now.get()),
                WHAT[what as usize]
            );
        }
    }

    pub(crate) fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// Lets `happen` happen `after` nanoseconds from now, never at once.
    pub(crate) fn after(&self, after: u64, happen: impl FnOnce() + 'static) {
        let entry = self.entries.get();
        self.entries.set(entry + 1);
        let at = self.now.get().saturating_add(after);
        self.agenda.borrow_mut().insert((at, entry), Box::new(happen));
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut slots = self.slots.borrow_mut();
        let alert = Arc::new(Alert {
            task: slots.len(),
            queued: AtomicBool::new(false),
            due: Arc::clone(&self.due),
        });
        let waker = Waker::from(Arc::clone(&alert));
        waker.wake_by_ref();
        slots.push(Slot { task: Some(Box::pin(task)), alert, waker });
    }

    pub(crate) async fn sleep(&self, length: u64) {
        let until = self.now.get().saturating_add(length);
        let mut set = false;
        poll_fn(|cx| {
            if self.now.get() >= until {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut set, true) {
                let waker = cx.waker().clone();
                self.after(until - self.now.get(), move || waker.wake());
            }
            Poll::Pending
        })
        .await;
    }

    fn take_due(&self) -> Option<usize> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        match due.len() {
            0 => None,
            1 => due.pop(),
            count => Some(due.swap_remove(self.roll(count))),
        }
    }

    fn run_task(&self, index: usize) {
        let (task, waker) = {
            let slot = &mut self.slots.borrow_mut()[index];
            slot.alert.queued.store(false, Ordering::Relaxed);
            (slot.task.take(), slot.waker.clone())
        };
        let Some(mut task) = task else { return };
        self.note(1, index as u64);
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.slots.borrow_mut()[index].task = Some(task);
        }
    }

    fn happen_next(&self) -> bool {
        let next = self.agenda.borrow_mut().pop_first();
        let Some(((at, _), happen)) = next else { return false };
        if at > self.now.get() {
            self.now.set(at);
            self.steps.set(0);
        }
        happen();
        true
    }

    /// The ring may be entered before all that is due has run, and the turn goes on.
    fn cut_turn(&self) -> bool {
        if !self.posted.0.load(Ordering::Relaxed) || self.roll(4) > 0 {
            return false;
        }
        let next = self.agenda.borrow().first_key_value().map(|((at, _), _)| *at);
        next.is_some_and(|at| at <= self.now.get() + MS / 10) && self.happen_next()
    }

    /// Runs until `done` or until `limit` has passed.
    pub(crate) fn run(&self, done: impl Fn() -> bool, limit: u64) -> Result<(), String> {
        let until = self.now.get().saturating_add(limit);
        loop {
            while let Some(task) = self.take_due() {
                self.run_task(task);
                self.steps.set(self.steps.get() + 1);
                if self.steps.get() > STEPS_MAX {
                    return Err("tasks wake each other and no time passes".to_owned());
                }
                self.cut_turn();
            }
            if self.posted.0.load(Ordering::Relaxed) {
                if !self.cut_turn() {
                    self.posted.0.store(false, Ordering::Relaxed);
                    self.end_turn();
                }
                continue;
            }
            if done() {
                return Ok(());
            }
            if self.now.get() > until || !self.happen_next() {
                return Err(format!("it is not over after {} s", limit / SECOND));
            }
        }
    }

    /// Ends every task and forgets what was to happen, so that nothing holds this any more.
    pub(crate) fn end(&self) {
        loop {
            let slot = self.slots.borrow_mut().pop();
            match slot {
                Some(slot) => drop(slot),
                None => break,
            }
        }
        self.outbox.end_turn(Waker::noop(), drop);
        let agenda = std::mem::take(&mut *self.agenda.borrow_mut());
        drop(agenda);
        self.unasked.borrow_mut().clear();
        self.door.borrow_mut().take();
        self.gate.borrow_mut().take();
        self.inn.borrow_mut().take();
    }
}

//! The workers: threads that come and go with the file's count, and what they are told.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use crate::net::{self, Listening, Machine, Ring, RingFlags, Ticker, Ticks};
use crate::observe::{Counters, Counts};
use crate::proxy::{self, DoorId, Shared, Worker, WorkerEnds, WriterEnds};

use super::start::Refused;

/// A listening socket that one worker accepts from.
#[derive(Debug)]
pub(super) struct Post {
    /// The Listener that it belongs to; changes with a reload.
    pub(super) door: Arc<AtomicU32>,
    pub(super) listening: Listening,
    /// Somebody else accepts from here, or nobody.
    pub(super) left: Arc<AtomicBool>,
}

/// What a worker is told; it looks at every tick.
#[derive(Debug, Default)]
pub(super) struct Orders {
    posts: Mutex<Vec<Post>>,
    /// There are new posts.
    news: AtomicBool,
    /// The process ends: no more clients are accepted.
    closing: AtomicBool,
    /// This worker ends when its clients have gone; they are let go one by one.
    retiring: AtomicBool,
    /// Nobody is waited for any more.
    now: AtomicBool,
}

impl Orders {
    pub(super) fn post(&self, post: Post) {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).push(post);
        self.news.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<Post> {
        if !self.news.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.posts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_set(flag: &AtomicBool) -> bool {
        flag.load(Ordering::Acquire)
    }
}

/// One worker's thread.
#[derive(Debug)]
struct Member {
    thread: JoinHandle<()>,
    counters: Arc<Counters>,
    orders: Arc<Orders>,
}

/// All workers.
#[derive(Debug, Default)]
pub(super) struct Crew {
    /// By slot.
    active: Vec<Member>,
    retired: Vec<Member>,
    /// Of members that have ended.
    past: Counts,
    /// Workers that there have been; tells their records apart.
    hired: usize,
}

/// What starting a worker gives beside the worker.
pub(super) struct Hired {
    /// The log thread's ends of the new workers' queues.
    pub(super) queues: Vec<WriterEnds>,
    /// The poorest set-up of a ring that the kernel granted to one of them.
    pub(super) flags: RingFlags,
}

impl Crew {
    pub(super) fn count(&self) -> usize {
        self.active.len()
    }

    /// What the worker in `slot` is told by.
    pub(super) fn orders(&self, slot: usize) -> &Arc<Orders> {
        &self.active[slot].orders
    }

    /// Starts workers until there are `count`, and waits until they run. If one does not, those
    /// that were started for it end again.
    pub(super) fn grow(&mut self, count: usize, shared: &Arc<Shared>) -> Result<Hired, Refused> {
        let before = self.active.len();
        let grown = self.try_grow(count, shared);
        if grown.is_err() {
            self.shrink(before);
        }
        grown
    }

    fn try_grow(&mut self, count: usize, shared: &Arc<Shared>) -> Result<Hired, Refused> {
        let cores = net::usable_cores();
        let mut hired = Hired { queues: Vec::new(), flags: RingFlags::DeferTaskrun };
        let (ready, readies) = mpsc::channel();
        let mut awaited = 0;
        while self.active.len() < count {
            let (ends, queue) = proxy::journal();
            hired.queues.push(queue);
            let core = cores[self.active.len() % cores.len()];
            self.hire(core, ends, shared, ready.clone())?;
            awaited += 1;
        }
        drop(ready);
        for ready in readies.iter().take(awaited) {
            match ready? {
                RingFlags::DeferTaskrun => {}
                lesser => hired.flags = lesser,
            }
        }
        Ok(hired)
    }

    fn hire(
        &mut self,
        core: usize,
        ends: WorkerEnds,
        shared: &Arc<Shared>,
        ready: mpsc::Sender<Result<RingFlags, String>>,
    ) -> Result<(), Refused> {
        let number = self.hired;
        self.hired += 1;
        let counters = Arc::new(Counters::default());
        let orders = Arc::new(Orders::default());
        let member = (Arc::clone(&counters), Arc::clone(&orders));
        let shared = Arc::clone(shared);
        let story = move || {
            // A worker that may run anywhere is slower, not wrong.
            let _ = net::pin_to_core(core);
            let told = ready.clone();
            let ran = net::run(|ring, flags| async move {
                let worker = Worker::new(ring, &shared, member.0, Some(ends), number);
                let ticker = match Ticker::new(Ticks::LENGTH) {
                    Ok(ticker) => ticker,
                    Err(error) => {
                        let why = format!("no timer for a worker ({error}); raise LimitNOFILE");
                        let _ = told.send(Err(why));
                        return;
                    }
                };
                let _ = told.send(Ok(flags));
                drop(told);
                work(&worker, &ticker, &member.1).await;
            });
            if let Err(why) = ran {
                // Nobody listens any more if the start was given up.
                let _ = ready.send(Err(why));
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let thread = thread.spawn(story).map_err(|error| format!("cannot start a worker: {error}"));
        self.active.push(Member { thread: thread?, counters, orders });
        Ok(())
    }

    /// Lets the workers beyond `count` go when their clients have gone.
    pub(super) fn shrink(&mut self, count: usize) {
        for member in self.active.drain(count.min(self.active.len())..) {
            member.orders.retiring.store(true, Ordering::Release);
            self.retired.push(member);
        }
    }

    /// Forgets the threads that have ended.
    pub(super) fn reap(&mut self) {
        let ended = |member: &mut Member| member.thread.is_finished();
        for member in self.retired.extract_if(.., ended) {
            self.past += member.counters.read();
            // A worker that panicked has said so.
            let _ = member.thread.join();
        }
    }

    /// The sum of all workers' counters, of those that have ended too.
    pub(super) fn counts(&self) -> Counts {
        let mut sum = self.past;
        for member in self.active.iter().chain(&self.retired) {
            sum += member.counters.read();
        }
        sum
    }

    /// Everybody stops accepting and ends when its clients have gone; `over` says when nobody is
    /// waited for any more.
    pub(super) fn stop(&mut self, mut over: impl FnMut() -> bool) {
        let mut members: Vec<_> = self.active.drain(..).chain(self.retired.drain(..)).collect();
        for member in &members {
            member.orders.closing.store(true, Ordering::Release);
        }
        while members.iter().any(|member| !member.thread.is_finished()) {
            if over() {
                for member in &members {
                    member.orders.now.store(true, Ordering::Release);
                }
            }
            std::thread::park_timeout(Ticks::LENGTH / 5);
        }
        for member in members.drain(..) {
            self.past += member.counters.read();
            // A worker that panicked has said so.
            let _ = member.thread.join();
        }
    }
}

/// A worker's life: takes its posts, moves its clock on, ends when it is to end and its clients have
/// gone.
async fn work(worker: &Rc<Worker<Ring>>, ticker: &Ticker, orders: &Arc<Orders>) {
    let mut ending_for = 0;
    loop {
        for post in orders.take() {
            accept_from(worker, post, orders);
        }
        ticker.tick().await;
        worker.tick();
        let retiring = Orders::is_set(&orders.retiring);
        if retiring {
            worker.retire();
        }
        // The accept tasks see the end within two ticks, and take who waited.
        ending_for += u32::from(retiring || Orders::is_set(&orders.closing));
        if Orders::is_set(&orders.now) || (ending_for > 3 && worker.is_deserted()) {
            return;
        }
    }
}

fn accept_from(worker: &Rc<Worker<Ring>>, post: Post, orders: &Arc<Orders>) {
    let (served, orders) = (Rc::clone(worker), Arc::clone(orders));
    worker.machine().spawn(async move {
        let Post { door, listening, left } = post;
        let stopped = || Orders::is_set(&left) || Orders::is_set(&orders.closing);
        let door = || DoorId(door.load(Ordering::Acquire));
        let ended = proxy::serve_listener(Rc::clone(&served), door, listening, stopped).await;
        if let Err(error) = ended {
            served.say("a listener", &format!("cannot accept: {error}"));
        }
    });
}

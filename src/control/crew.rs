//! The workers: threads that come and go with the file's count, and what they are told.

use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use crate::net::{self, Listening, Machine, Ring, RingFlags, Ticker, Ticks};
use crate::observe::{Counters, Counts, Seldom, say_now};
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
    #[cfg(test)]
    planted: AtomicU32,
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

    /// The worker panics once in its loop; with 2, once more outside of it.
    #[cfg(test)]
    pub(super) fn plant(&self, panics: u32) {
        self.planted.store(panics, Ordering::Release);
    }

    #[cfg(test)]
    fn panic_if_planted(&self) {
        let less = |panics: u32| panics.checked_sub(1);
        let planted = self.planted.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        assert!(planted.is_err(), "planted");
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
    /// Of all members that there have been.
    counters: Vec<Arc<Counters>>,
    /// Of those that have ended: the next go on with them, so that they stay few.
    spare: Vec<Arc<Counters>>,
    /// Workers that there have been; tells their records apart.
    hired: usize,
    /// Workers that were replaced.
    restarts: u64,
    /// When it was last said that a worker cannot be replaced.
    said: Seldom,
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
            let member = self.hire(core, ends, shared, ready.clone())?;
            self.active.push(member);
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
    ) -> Result<Member, Refused> {
        let number = self.hired;
        self.hired += 1;
        let counters = self.spare.pop().unwrap_or_else(|| {
            let counters = Arc::new(Counters::default());
            self.counters.push(Arc::clone(&counters));
            counters
        });
        let orders = Arc::new(Orders::default());
        let member = (Arc::clone(&counters), Arc::clone(&orders));
        let shared = Arc::clone(shared);
        let story = move || {
            // A worker that may run anywhere is slower, not wrong.
            let _ = net::pin_to_core(core);
            let told = ready.clone();
            let ran = net::run(|ring, flags| async move {
                let counters = Arc::clone(&member.0);
                let worker = Worker::new(ring, &shared, counters, Some(ends), number);
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
                work_on(&worker, &ticker, (&member.1, &member.0)).await;
            });
            if let Err(why) = ran {
                // Nobody listens any more if the start was given up.
                let _ = ready.send(Err(why));
            }
        };
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let thread = thread.spawn(story).map_err(|error| format!("cannot start a worker: {error}"));
        Ok(Member { thread: thread?, counters, orders })
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
        let ended: Vec<Member> = self.retired.extract_if(.., ended).collect();
        for member in ended {
            self.see_off(member);
        }
    }

    /// A worker that panicked has said so.
    fn see_off(&mut self, Member { thread, counters, .. }: Member) {
        let _ = thread.join();
        // Nobody else writes them now. The clients of a worker that panicked did not end by
        // themselves.
        let counts = counters.read();
        counters.clients_ended.add(counts.clients.saturating_sub(counts.clients_ended));
        counters.tunnels_ended.add(counts.tunnels.saturating_sub(counts.tunnels_ended));
        self.spare.push(counters);
    }

    /// Puts a new worker, with a ring of its own, in the place of each whose thread has ended, which
    /// nothing but a fault of ours can make it do. Gives the slots and the log thread's ends.
    pub(super) fn mend(&mut self, shared: &Arc<Shared>) -> Vec<(usize, WriterEnds)> {
        let mut mended = Vec::new();
        for slot in 0..self.active.len() {
            if !self.active[slot].thread.is_finished() {
                continue;
            }
            let clients = self.active[slot].counters.read();
            let clients = clients.clients.saturating_sub(clients.clients_ended);
            match self.replace(slot, shared) {
                Ok(queue) => {
                    self.restarts += 1;
                    say_now(&format!(
                        "worker in place {slot} has ended by a fault of ours, which stands above, with {clients} clients; a new one has taken its place. If clients hang, `systemctl restart gatehouse` lets them go"
                    ));
                    mended.push((slot, queue));
                }
                Err(why) if self.said.is_time(net::monotonic().0) => {
                    say_now(&format!(
                        "worker in place {slot} has ended, and there is no other yet: {why}"
                    ));
                }
                Err(_) => {}
            }
        }
        mended
    }

    fn replace(&mut self, slot: usize, shared: &Arc<Shared>) -> Result<WriterEnds, Refused> {
        let cores = net::usable_cores();
        let (ends, queue) = proxy::journal();
        let (ready, readies) = mpsc::channel();
        let member = self.hire(cores[slot % cores.len()], ends, shared, ready)?;
        match readies.recv().unwrap_or_else(|_| Err("it has ended again".to_owned())) {
            Ok(_) => {
                let ended = std::mem::replace(&mut self.active[slot], member);
                self.see_off(ended);
                Ok(queue)
            }
            Err(why) => {
                self.see_off(member);
                Err(Refused(why))
            }
        }
    }

    /// Counters of all workers, also of those that have ended.
    pub(super) fn counters(&self) -> Vec<Arc<Counters>> {
        self.counters.clone()
    }

    /// Workers that were replaced.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// The sum of all workers' counters, of those that have ended too.
    pub(super) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for counters in &self.counters {
            sum += counters.read();
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
            self.see_off(member);
        }
    }
}

/// A worker's life. A fault of ours in it is counted and said, and the worker goes on: its clients
/// notice nothing.
async fn work_on(
    worker: &Rc<Worker<Ring>>,
    ticker: &Ticker,
    (orders, counters): (&Arc<Orders>, &Arc<Counters>),
) {
    while proxy::caught(pin!(work(worker, ticker, orders, counters))).await.is_err() {
        #[cfg(test)]
        orders.panic_if_planted();
        counters.panics.add(1);
        worker.say("a worker", "a fault of ours in its loop, which stands above; it goes on");
        ticker.tick().await;
    }
}

/// Takes its posts, moves its clock on, ends when it is to end and its clients have
/// gone.
async fn work(
    worker: &Rc<Worker<Ring>>,
    ticker: &Ticker,
    orders: &Arc<Orders>,
    counters: &Arc<Counters>,
) {
    let mut ending_for = 0;
    loop {
        for post in orders.take() {
            accept_from(worker, post, (orders, counters));
        }
        ticker.tick().await;
        worker.tick();
        #[cfg(test)]
        orders.panic_if_planted();
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

fn accept_from(
    worker: &Rc<Worker<Ring>>,
    post: Post,
    (orders, counters): (&Arc<Orders>, &Arc<Counters>),
) {
    let (served, orders, counters) = (Rc::clone(worker), Arc::clone(orders), Arc::clone(counters));
    worker.machine().spawn(async move {
        let Post { door, listening, left } = post;
        let stopped = || Orders::is_set(&left) || Orders::is_set(&orders.closing);
        let door = || DoorId(door.load(Ordering::Acquire));
        let mut next = Some(listening);
        while let Some(listening) = next.take() {
            // Kept for the case that a fault of ours ends the accepting.
            next = listening.share().ok();
            let story = proxy::serve_listener(Rc::clone(&served), &door, listening, &stopped);
            match proxy::caught(pin!(story)).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => {
                    return served.say("a listener", &format!("cannot accept: {error}"));
                }
                Err(()) => {
                    counters.panics.add(1);
                    let what = "a fault of ours in its accepting, which stands above; it goes on";
                    served.say("a listener", what);
                }
            }
        }
    });
}

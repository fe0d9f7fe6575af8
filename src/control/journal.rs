//! The log thread: takes records from the workers' queues, writes them as lines, and gives the
//! empty records back. Workers never wait for it; what it cannot keep up with is dropped there and
//! counted. It also does what has to be done every few hours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::Log;
use crate::net::{self, Moment};
use crate::observe::say_now;
use crate::proxy::{Shared, WriterEnds};
use crate::tls::TicketSecrets;

use super::logfile::Rotate;
use super::output::Output;
use super::overview::Overview;

/// The longest that a record waits for its line, while few come.
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// The pause while many come.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest that the end of the process waits for the last lines to be taken.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How long lines that are not taken are tried again at the end, within that.
const LAST_TRY: Duration = Duration::from_secs(1);

/// Where lines go from now on, opened.
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// Opens what `log` names.
    ///
    /// # Errors
    /// A sentence for the administrator: which file cannot be opened, and why.
    pub(super) fn open(log: &Log) -> Result<Self, String> {
        let (bytes, files) = log.rotate;
        let mut outputs = Vec::new();
        for access in &log.access {
            outputs.push(Output::open(access, Rotate { bytes, files }, net::monotonic())?);
        }
        Ok(Self(outputs))
    }
}

/// What the log thread is told.
enum Order {
    /// A new worker's queue.
    Queue(WriterEnds),
    /// Lines go elsewhere, also those of records that still wait: where they went before may be
    /// gone when the reload is.
    Outputs(Outputs),
}

/// The running log thread.
#[derive(Debug)]
pub(super) struct Journal {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    orders: mpsc::Sender<Order>,
}

impl Journal {
    /// Begins to write.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start(
        outputs: Outputs,
        shared: Arc<Shared>,
        overview: Arc<Overview>,
    ) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (orders, told_orders) = mpsc::channel();
        let thread = std::thread::Builder::new().name("log".to_owned());
        let seen = (shared, overview);
        let thread = thread.spawn(move || write_until(&told, &told_orders, outputs.0, &seen));
        let thread = thread.map_err(|error| format!("cannot start the log thread: {error}"))?;
        Ok(Self { thread: Some(thread), stop, orders })
    }

    /// Writes the records of new workers too.
    pub(super) fn add(&self, queues: Vec<WriterEnds>) {
        for queue in queues {
            // The thread runs until this Journal ends.
            let _ = self.orders.send(Order::Queue(queue));
        }
    }

    /// Lines go to `outputs` from now on.
    pub(super) fn redirect(&self, outputs: Outputs) {
        let _ = self.orders.send(Order::Outputs(outputs));
    }

    /// Writes what still waits, then ends; if nobody takes the lines, without them.
    pub(super) fn finish(mut self, mut hurry: impl FnMut() -> bool) {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        let until = net::monotonic() + LAST_LINES;
        while !thread.is_finished() && net::monotonic() < until && !hurry() {
            std::thread::park_timeout(PAUSE_MIN);
        }
    }
}

fn write_until(
    stop: &AtomicBool,
    orders: &mpsc::Receiver<Order>,
    mut outputs: Vec<Output>,
    (shared, overview): &(Arc<Shared>, Arc<Overview>),
) {
    let mut queues = Vec::new();
    let mut pause = PAUSE_MIN;
    let mut rotate_at = next_rotation();
    let mut last_try = None;
    loop {
        if net::monotonic() >= rotate_at {
            rotate_at = next_rotation();
            if let Err(why) = shared.tickets.rotate() {
                say_now(&format!("the secret of session tickets stays as it is: {why}"));
            }
        }
        let stopping = stop.load(Ordering::Acquire);
        for order in orders.try_iter() {
            match order {
                Order::Queue(queue) => queues.push(queue),
                Order::Outputs(new) => {
                    for output in &mut outputs {
                        output.flush(net::monotonic(), &shared.notices);
                        output.close(&shared.notices);
                        overview.note_lines_lost(output.take_lost());
                    }
                    outputs = new.0;
                }
            }
        }
        let mut taken = 0;
        for queue in &mut queues {
            taken += drain(queue, &mut outputs, (shared, overview));
        }
        let now = net::monotonic();
        for output in &mut outputs {
            output.flush(now, &shared.notices);
            overview.note_lines_lost(output.take_lost());
        }
        queues.retain(|queue| !(queue.full.is_abandoned() && queue.full.is_empty()));
        print_notices(shared);
        if stopping && taken == 0 {
            let until = *last_try.get_or_insert(now + LAST_TRY);
            if now >= until || outputs.iter().all(Output::is_empty) {
                outputs.iter_mut().for_each(|output| output.close(&shared.notices));
                return print_notices(shared);
            }
        }
        pause = if taken > 0 { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        std::thread::park_timeout(pause);
    }
}

fn next_rotation() -> Moment {
    net::monotonic() + Duration::from_secs(TicketSecrets::ROTATE_SECONDS)
}

/// Takes what waits in a queue now, a bounded number so that all queues get their turn.
fn drain(
    queue: &mut WriterEnds,
    outputs: &mut [Output],
    (shared, overview): (&Shared, &Overview),
) -> usize {
    let waiting = queue.full.slots();
    let now = net::monotonic();
    for _ in 0..waiting {
        let Ok(mut record) = queue.full.pop() else { break };
        for output in outputs.iter_mut() {
            output.note(&record, now, &shared.notices);
        }
        overview.note_record(&record);
        record.recycle();
        // If the way back is full there are enough records.
        let _ = queue.empty.push(record);
    }
    waiting
}

/// The service's own log is its standard error.
fn print_notices(shared: &Shared) {
    let (sentences, dropped) = shared.notices.take();
    for sentence in sentences {
        say_now(&sentence);
    }
    if dropped > 0 {
        say_now(&format!("{dropped} more messages were left out"));
    }
}

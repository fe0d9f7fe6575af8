//! The log thread: takes records from the workers' queues, writes them as lines, and gives the
//! empty records back. Workers never wait for it; what it cannot keep up with is dropped there and
//! counted. It also does what has to be done every few hours.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::{AccessFormat, AccessTarget, Log};
use crate::net::{self, Moment};
use crate::observe::{Format, say_now};
use crate::proxy::{Shared, WriterEnds};
use crate::tls::TicketSecrets;

/// Bytes of lines that are written with one call.
const BUFFER_BYTES: usize = 64 * 1024;

/// The longest that a record waits for its line, while few come.
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// The pause while many come.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest that the end of the process waits for the last lines to be taken.
const LAST_LINES: Duration = Duration::from_secs(2);

/// A place that lines go to.
struct Output {
    format: Format,
    target: Box<dyn Write + Send>,
    name: String,
    buffer: Vec<u8>,
    failed: bool,
}

/// Where lines go from now on, opened.
pub(super) struct Outputs(Vec<Output>);

impl Outputs {
    /// Opens what `log` names.
    ///
    /// # Errors
    /// A sentence for the administrator: which file cannot be opened, and why.
    pub(super) fn open(log: &Log) -> Result<Self, String> {
        let mut outputs = Vec::new();
        for access in &log.access {
            let (name, target) = open(&access.to)?;
            let format = match access.format {
                AccessFormat::Json => Format::Json,
                AccessFormat::Combined => Format::Combined,
            };
            outputs.push(Output { format, target, name, buffer: Vec::new(), failed: false });
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
    pub(super) fn start(outputs: Outputs, shared: Arc<Shared>) -> Result<Self, String> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let (orders, told_orders) = mpsc::channel();
        let thread = std::thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || write_until(&told, &told_orders, outputs.0, &shared));
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

fn open(target: &AccessTarget) -> Result<(String, Box<dyn Write + Send>), String> {
    match target {
        AccessTarget::Stdout => Ok(("standard output".to_owned(), Box::new(io::stdout()))),
        AccessTarget::File(path) => {
            let opened: io::Result<File> = OpenOptions::new().append(true).create(true).open(path);
            let name = path.display().to_string();
            let file = opened.map_err(|error| {
                format!("the access log {name} cannot be opened: {error}; create its folder, or let the service's user write there")
            })?;
            Ok((name, Box::new(file)))
        }
    }
}

fn write_until(
    stop: &AtomicBool,
    orders: &mpsc::Receiver<Order>,
    mut outputs: Vec<Output>,
    shared: &Shared,
) {
    let mut queues = Vec::new();
    let mut pause = PAUSE_MIN;
    let mut rotate_at = next_rotation();
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
                Order::Outputs(new) => outputs = new.0,
            }
        }
        let mut taken = 0;
        for queue in &mut queues {
            taken += drain(queue, &mut outputs, shared);
        }
        for output in &mut outputs {
            output.flush(shared);
        }
        queues.retain(|queue| !(queue.full.is_abandoned() && queue.full.is_empty()));
        print_notices(shared);
        if stopping && taken == 0 {
            return;
        }
        pause = if taken > 0 { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        std::thread::park_timeout(pause);
    }
}

fn next_rotation() -> Moment {
    net::monotonic() + Duration::from_secs(TicketSecrets::ROTATE_SECONDS)
}

/// Takes what waits in a queue now, a bounded number so that all queues get their turn.
fn drain(queue: &mut WriterEnds, outputs: &mut [Output], shared: &Shared) -> usize {
    let waiting = queue.full.slots();
    for _ in 0..waiting {
        let Ok(mut record) = queue.full.pop() else { break };
        for output in outputs.iter_mut() {
            record.write(output.format, &mut output.buffer);
            if output.buffer.len() >= BUFFER_BYTES {
                output.flush(shared);
            }
        }
        record.recycle();
        // If the way back is full there are enough records.
        let _ = queue.empty.push(record);
    }
    waiting
}

impl Output {
    fn flush(&mut self, shared: &Shared) {
        if self.buffer.is_empty() {
            return;
        }
        match self.target.write_all(&self.buffer).and_then(|()| self.target.flush()) {
            Ok(()) => {
                self.buffer.clear();
                self.failed = false;
            }
            Err(error) => {
                // What was written may end within a line.
                self.buffer.clear();
                self.buffer.push(b'\n');
                // Said once per outage, not once per line.
                if !self.failed {
                    let what = format!("lines are lost: {error}");
                    shared.notices.say(&format!("access log {}", self.name), &what);
                }
                self.failed = true;
            }
        }
    }
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

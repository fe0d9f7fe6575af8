//! The log thread: takes records from the workers' queues, writes them as lines, and gives the
//! empty records back. Workers never wait for it; what it cannot keep up with is dropped there and
//! counted.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::config::{AccessFormat, AccessTarget, Log};
use crate::observe::Format;
use crate::proxy::{Shared, WriterEnds};

/// Bytes of lines that are written with one call.
const BUFFER_BYTES: usize = 64 * 1024;

/// The longest that a record waits for its line, while few come.
const PAUSE_MAX: Duration = Duration::from_millis(40);

/// The pause while many come.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// A place that lines go to.
struct Output {
    format: Format,
    target: Box<dyn Write + Send>,
    name: String,
    buffer: Vec<u8>,
    failed: bool,
}

/// The running log thread.
#[derive(Debug)]
pub(super) struct Journal {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Journal {
    /// Opens the outputs that `log` names and begins to write.
    ///
    /// # Errors
    /// A sentence for the administrator: which file cannot be opened, and why.
    pub(super) fn start(
        log: &Log,
        queues: Vec<WriterEnds>,
        shared: Arc<Shared>,
    ) -> Result<Self, String> {
        let mut outputs = Vec::new();
        for access in &log.access {
            let (name, target) = open(&access.to)?;
            let format = match access.format {
                AccessFormat::Json => Format::Json,
                AccessFormat::Combined => Format::Combined,
            };
            outputs.push(Output { format, target, name, buffer: Vec::new(), failed: false });
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("log".to_owned());
        let thread = thread.spawn(move || write_until(&told, queues, outputs, &shared));
        let thread = thread.map_err(|error| format!("cannot start the log thread: {error}"))?;
        Ok(Self { thread: Some(thread), stop })
    }

    /// Writes what still waits, then ends.
    pub(super) fn finish(mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A log thread that panicked has nothing more to write.
            let _ = thread.join();
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
    mut queues: Vec<WriterEnds>,
    mut outputs: Vec<Output>,
    shared: &Shared,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let stopping = stop.load(Ordering::Acquire);
        let mut taken = 0;
        for queue in &mut queues {
            taken += drain(queue, &mut outputs, shared);
        }
        for output in &mut outputs {
            output.flush(shared);
        }
        print_notices(shared);
        if stopping && taken == 0 {
            return;
        }
        pause = if taken > 0 { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        std::thread::park_timeout(pause);
    }
}

/// Takes what waits in a queue now, a bounded number so that all queues get their turn.
fn drain(queue: &mut WriterEnds, outputs: &mut [Output], shared: &Shared) -> usize {
    let waiting = queue.full.slots();
    for _ in 0..waiting {
        let Ok(record) = queue.full.pop() else { break };
        for output in outputs.iter_mut() {
            record.write(output.format, &mut output.buffer);
            if output.buffer.len() >= BUFFER_BYTES {
                output.flush(shared);
            }
        }
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
            Ok(()) => self.failed = false,
            Err(error) => {
                // Said once per outage, not once per line.
                if !self.failed {
                    let what = format!("lines are lost: {error}");
                    shared.notices.say(&format!("access log {}", self.name), &what);
                }
                self.failed = true;
            }
        }
        self.buffer.clear();
    }
}

/// The service's own log is its standard error.
fn print_notices(shared: &Shared) {
    let (sentences, dropped) = shared.notices.take();
    for sentence in sentences {
        eprintln!("gatehouse: {sentence}");
    }
    if dropped > 0 {
        eprintln!("gatehouse: {dropped} more messages were left out");
    }
}

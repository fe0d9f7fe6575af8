//! The system's own resolver. It may wait for seconds and cannot be told to stop, so each question
//! has a short-lived thread, and their number has a bound.

use std::collections::VecDeque;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};

use nix::sys::eventfd::EventFd;

use crate::dns::FlightId;

/// Threads that wait for the system; more questions wait for one of them to end.
const THREADS_MAX: usize = 16;

/// What the system said.
pub(super) struct Answer {
    pub(super) flight: FlightId,
    pub(super) result: Result<Vec<IpAddr>, String>,
}

pub(super) struct System {
    wake: Arc<EventFd>,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    running: usize,
    waiting: VecDeque<(FlightId, String)>,
}

impl System {
    /// `wake` is written to when there is an answer.
    pub(super) fn new(wake: Arc<EventFd>) -> Self {
        let (sender, answers) = mpsc::channel();
        Self { wake, sender, answers, running: 0, waiting: VecDeque::new() }
    }

    pub(super) fn ask(&mut self, flight: FlightId, host: String) {
        self.waiting.push_back((flight, host));
        self.go_on(|_| true);
    }

    /// What has come; those that nobody `wants` any more are not begun.
    pub(super) fn answers(&mut self, wanted: impl Fn(FlightId) -> bool) -> Vec<Answer> {
        let answers: Vec<Answer> = self.answers.try_iter().collect();
        self.running = self.running.saturating_sub(answers.len());
        self.go_on(wanted);
        answers
    }

    fn go_on(&mut self, wanted: impl Fn(FlightId) -> bool) {
        while self.running < THREADS_MAX
            && let Some((flight, host)) = self.waiting.pop_front()
        {
            if !wanted(flight) {
                continue;
            }
            self.running += 1;
            let (sender, wake) = (self.sender.clone(), Arc::clone(&self.wake));
            let thread = std::thread::Builder::new().name("name".to_owned());
            let started = thread.spawn(move || {
                let result = resolve(&host);
                // Nobody listens any more at the process's end.
                let _ = sender.send(Answer { flight, result });
                let _ = wake.write(1);
            });
            if let Err(error) = started {
                let result = Err(format!("cannot start a thread: {error}"));
                let _ = self.sender.send(Answer { flight, result });
                let _ = self.wake.write(1);
            }
        }
    }
}

fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip()).collect())
}

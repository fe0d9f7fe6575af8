//! The system's own resolver. It may wait for seconds and cannot be told to stop, so each question
//! has a short-lived thread, and their number has a bound.

use std::collections::VecDeque;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, mpsc};

use nix::sys::eventfd::EventFd;

use crate::dns::FlightId;

/// Threads that wait for the system; more questions wait for one of them to end.
const THREADS_MAX: usize = 64;

/// Gives the addresses of a name, in its own time.
type Resolve = fn(&str) -> Result<Vec<IpAddr>, String>;

/// What the system said.
pub(super) struct Answer {
    pub(super) flight: FlightId,
    pub(super) result: Result<Vec<IpAddr>, String>,
}

pub(super) struct System {
    resolve: Resolve,
    wake: Arc<EventFd>,
    sender: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
    running: usize,
    waiting: VecDeque<(FlightId, String)>,
}

impl System {
    /// `wake` is written to when there is an answer.
    pub(super) fn new(wake: Arc<EventFd>, resolve: Resolve) -> Self {
        let (sender, answers) = mpsc::channel();
        Self { resolve, wake, sender, answers, running: 0, waiting: VecDeque::new() }
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
            let resolve = self.resolve;
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

/// `getaddrinfo`: whatever the system is set up to look at.
pub(super) fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|error| error.to_string())?;
    Ok(found.map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use nix::sys::eventfd::EfdFlags;

    use super::*;

    /// Whether slow names may end, and how many of them wait.
    static SLOW: (Mutex<(bool, usize)>, Condvar) = (Mutex::new((false, 0)), Condvar::new());

    fn pretend(host: &str) -> Result<Vec<IpAddr>, String> {
        if host == "quick" {
            return Ok(Vec::new());
        }
        let mut state = SLOW.0.lock().unwrap();
        state.1 += 1;
        while !state.0 {
            state = SLOW.1.wait(state).unwrap();
        }
        Err(host.to_owned())
    }

    #[test]
    fn slow_names_hold_nobody_up_and_have_a_bound() {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC).unwrap());
        let mut system = System::new(Arc::clone(&wake), pretend);
        let flights: Vec<FlightId> = (0..100).map(FlightId::numbered).collect();
        for flight in &flights[..63] {
            system.ask(*flight, "slow".to_owned());
        }
        system.ask(flights[63], "quick".to_owned());
        let mut come = Vec::new();
        while come.is_empty() {
            wake.read().unwrap();
            come.extend(system.answers(|_| true).into_iter().map(|answer| answer.flight));
        }
        assert_eq!(come, [flights[63]]);
        // More than there may be: they wait for one of the others; who is not wanted is left out.
        for flight in &flights[64..] {
            system.ask(*flight, "slow".to_owned());
        }
        assert_eq!((system.running, system.waiting.len()), (THREADS_MAX, 35));
        SLOW.0.lock().unwrap().0 = true;
        SLOW.1.notify_all();
        let unwanted = flights[99];
        while come.len() < 99 {
            wake.read().unwrap();
            let answers = system.answers(|flight| flight != unwanted);
            assert!(system.running <= THREADS_MAX);
            come.extend(answers.into_iter().map(|answer| answer.flight));
        }
        come.sort();
        assert_eq!((come, SLOW.0.lock().unwrap().1), (flights[..99].to_vec(), 98));
        assert_eq!((system.running, system.waiting.len()), (0, 0));
    }
}

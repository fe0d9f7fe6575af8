//! The thread: one wait for whatever comes, be it answers, orders or the time for the next question.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::dns::{Ask, Book, FlightId, To, Way};
use crate::net::{self, Dial};

use super::super::service::Event;
use super::system::{self, System};
use super::talk::{Heard, Talk, said};
use super::{Asked, Board, NEWS_MAX, Told};

/// The longest wait, should the kernel's clock and ours ever disagree.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Until it is told to stop.
pub(super) fn resolve(board: &Board) {
    let mut asking = Names {
        book: Book::default(),
        talks: HashMap::new(),
        system: System::new(Arc::clone(&board.wake), system::resolve),
        asked: Asked::default(),
        servers: Arc::default(),
    };
    while asking.obey(board) {
        asking.ask();
        asking.tell(board);
        asking.listen(board);
    }
}

struct Names {
    book: Book,
    talks: HashMap<FlightId, Talk>,
    system: System,
    asked: Asked,
    servers: Arc<Vec<SocketAddr>>,
}

impl Names {
    /// Takes what is ordered; `false`: the end.
    fn obey(&mut self, board: &Board) -> bool {
        // First: an order that comes later wakes again.
        let _ = board.wake.read();
        let mut state = board.state();
        if state.stop {
            return false;
        }
        let Some(orders) = state.orders.take() else { return true };
        drop(state);
        let anew = orders.asked != self.asked;
        self.asked = orders.asked;
        self.servers = Arc::new(self.asked.servers.clone());
        let way = match self.servers.len() {
            0 => Way::System,
            count => Way::Servers(count),
        };
        self.book.want(way, anew, &orders.wants, now());
        // What is known already was forgotten there if two orders came at once.
        let mut state = board.state();
        for (host, addresses, is_settled) in self.book.names() {
            state.note(host, addresses, is_settled);
        }
        drop(state);
        board.changed.notify_all();
        true
    }

    /// Sends what is due. What cannot be sent is tried elsewhere at once; the book bounds that.
    fn ask(&mut self) {
        loop {
            let asks = self.book.step(now(), &mut chance);
            if asks.is_empty() {
                break;
            }
            for Ask { flight, to } in asks {
                self.talks.remove(&flight);
                match to {
                    To::System { host } => self.system.ask(flight, host),
                    To::Server { server, tcp, bytes } => {
                        let opened =
                            self.dial(server).and_then(|dial| Talk::open(&dial, tcp, &bytes));
                        match opened {
                            Ok(talk) => drop(self.talks.insert(flight, talk)),
                            Err(error) => {
                                self.book.broken(flight, said(&error), now(), &mut chance);
                            }
                        }
                    }
                }
            }
        }
        let book = &self.book;
        self.talks.retain(|flight, _| book.is_open(*flight));
    }

    fn dial(&self, server: usize) -> io::Result<Dial> {
        let to = self.servers.get(server).copied().ok_or(io::ErrorKind::NotFound)?;
        let from = self.asked.source.iter().find(|from| from.is_ipv4() == to.is_ipv4()).copied();
        let interface = self.asked.interface.clone();
        Ok(Dial { to, from, interface, keepalive: Duration::ZERO })
    }

    /// Makes news known.
    fn tell(&mut self, board: &Board) {
        let news = self.book.news();
        if news.is_empty() {
            return;
        }
        let mut state = board.state();
        for news in news {
            state.note(news.host(), self.book.addresses(news.host()), true);
            if state.told.len() == NEWS_MAX {
                state.told.pop_front();
            }
            state.told.push_back(Told { news, servers: Arc::clone(&self.servers) });
        }
        drop(state);
        board.changed.notify_all();
        if let Some(events) = &board.events {
            // Nobody listens any more at the process's end.
            let _ = events.send(Event::Names);
        }
    }

    /// Waits, and takes what comes.
    fn listen(&mut self, board: &Board) {
        let flights: Vec<FlightId> = self.talks.keys().copied().collect();
        let mut waits = vec![PollFd::new(board.wake.as_fd(), PollFlags::POLLIN)];
        let talks = flights.iter().filter_map(|flight| self.talks.get(flight));
        waits.extend(talks.map(|talk| PollFd::new(talk.as_fd(), talk.waits_for())));
        // A wait that fails is one that was short.
        let _ = poll(&mut waits, self.patience());
        let ready: Vec<bool> = waits.iter().skip(1).map(|wait| wait.any() == Some(true)).collect();
        drop(waits);
        let now = now();
        for (flight, _) in flights.iter().zip(ready).filter(|(_, ready)| *ready) {
            let Some(talk) = self.talks.get_mut(flight) else { continue };
            match talk.hear() {
                Heard::Nothing => {}
                Heard::Message(bytes) => self.book.heard(*flight, &bytes, now, &mut chance),
                Heard::Broken(error) => {
                    self.talks.remove(flight);
                    self.book.broken(*flight, error, now, &mut chance);
                }
            }
        }
        let book = &self.book;
        for answer in self.system.answers(|flight| book.is_open(flight)) {
            self.book.resolved(answer.flight, answer.result, now);
        }
    }

    fn patience(&self) -> PollTimeout {
        let left = self.book.next_at().map_or(WAIT_MAX, |at| at.saturating_sub(now()));
        // Rounded up: not to wake just before.
        let milliseconds = left.min(WAIT_MAX).as_nanos().div_ceil(1_000_000);
        PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::ZERO)
    }
}

fn now() -> Duration {
    Duration::from_nanos(net::monotonic().0)
}

/// Nobody can guess it; if the kernel gave no randomness, then from that of the process's start.
fn chance() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => RandomState::new().hash_one(net::monotonic().0),
    }
}

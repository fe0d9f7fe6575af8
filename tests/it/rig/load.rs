//! Requests at a steady rate, whatever becomes of those before them.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::time::{now, until_moment};
use super::wire::Wire;

/// Clients that take turns, so that those whose requests hang hold up nobody.
const CLIENTS: usize = 64;

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shot {
    /// When it was due, which is when its time begins: a late client is no faster server.
    pub(crate) due: Instant,
    pub(crate) took: Duration,
    /// 0 for a connection that broke.
    pub(crate) status: u16,
}

impl Shot {
    pub(crate) fn answered_at(&self) -> Instant {
        self.due + self.took
    }
}

/// Sends `GET /` to the plain listener at `port`, `count` times, `rate` a second, in the order of
/// time; `at` is called once when request number `moment` is due.
pub(crate) fn load(
    port: u16,
    (count, rate): (u32, u32),
    moment: u32,
    at: impl FnOnce() + Send,
) -> Vec<Shot> {
    let next = AtomicU32::new(0);
    let begin = now() + Duration::from_millis(50);
    let due = |number: u32| begin + Duration::from_secs(1) * number / rate;
    let mut shots: Vec<Shot> = std::thread::scope(|scope| {
        scope.spawn(|| {
            until_moment(due(moment));
            at();
        });
        let client = || {
            let (mut shots, mut wire) = (Vec::new(), None);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return shots;
                }
                let due = due(number);
                until_moment(due);
                let status = ask(&mut wire, port);
                shots.push(Shot { due, took: due.elapsed(), status });
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    shots.sort_by_key(|shot| shot.due);
    shots
}

fn ask(place: &mut Option<Wire>, port: u16) -> u16 {
    let mut wire = match place.take() {
        Some(wire) => wire,
        None => Wire::plain(TcpStream::connect(("127.0.0.1", port)).unwrap()),
    };
    if wire.try_send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").is_err() {
        return 0;
    }
    let head = wire.head_or_end();
    let status = head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or_default();
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let Some(length) = length.and_then(|length| length.parse().ok()) else { return status };
    if wire.read_or_end(length).is_err() {
        return 0;
    }
    if !head.contains("connection: close") {
        *place = Some(wire);
    }
    status
}

/// The time below which half of them took.
pub(crate) fn median(shots: &[Shot]) -> Duration {
    let mut times: Vec<Duration> = shots.iter().map(|shot| shot.took).collect();
    times.sort();
    times[times.len() / 2]
}

//! What each key of a pool's probe does: one server whose answers to probes the test chooses.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use crate::rig::{Folder, Gatehouse, Wire, now, until};

/// Of this path the answer is the test's; every other path gets 200 at once.
const PROBED: &str = "GET /well ";

/// Gets 200 for requests, and for the probes, counted from 0, the status that a function gives.
struct Patient {
    port: u16,
    probes: Arc<AtomicUsize>,
}

impl Patient {
    fn new(status: impl Fn(usize, &str) -> u16 + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let probes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&probes);
        // It ends with the process.
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                answer(socket.unwrap(), &counted, &status);
            }
        });
        Self { port, probes }
    }

    fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    /// One that refuses while it is down, with these keys of its probe.
    fn file(&self, probe: &str) -> String {
        format!(
            "[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n[pool.origin.probe]\n\
             all_down = \"refuse\"\n{probe}",
            self.port
        )
    }

    fn publish(&self, probe: &str) -> Gatehouse {
        Gatehouse::start(Folder::new(), &self.file(probe))
    }

    /// Asks until that many more probes were answered; every answer has this status.
    #[track_caller]
    fn expect_only(&self, gatehouse: &Gatehouse, probes: usize, status: u16) {
        let enough = self.probes() + probes;
        until("more probes", || {
            assert_eq!(get(gatehouse), status, "after {} probes", self.probes());
            (self.probes() >= enough).then_some(())
        });
    }
}

fn answer(socket: TcpStream, probes: &AtomicUsize, status: &impl Fn(usize, &str) -> u16) {
    let mut wire = Wire::plain(socket);
    // A probe may be given up at any time.
    let head = wire.head_or_end();
    let status = if head.starts_with(PROBED) {
        status(probes.fetch_add(1, Ordering::SeqCst), &head)
    } else {
        200
    };
    let answer =
        format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    // Whoever has lost patience is not there any more.
    let _ = wire.try_send(answer.as_bytes());
}

fn get(gatehouse: &Gatehouse) -> u16 {
    let mut client = gatehouse.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    client.answer().status()
}

#[track_caller]
fn until_it_is(gatehouse: &Gatehouse, status: u16) {
    until(&format!("a {status}"), || (get(gatehouse) == status).then_some(()));
}

/// A status by the probe's number: over and over again.
fn in_turn(statuses: &'static [u16]) -> impl Fn(usize, &str) -> u16 {
    move |number, _| statuses[number % statuses.len()]
}

/// On a busy machine an answer takes its time too.
const KEYS: &str = "http = { path = \"/well\" }\nevery = \"300ms\"\n";

#[test]
fn as_many_have_to_fail_as_fall_says() {
    for (fall, goes_down) in [(3, true), (4, false)] {
        let patient = Patient::new(in_turn(&[503, 503, 503, 200]));
        let gatehouse = patient.publish(&format!("{KEYS}rise = 1\nfall = {fall}\n"));
        if goes_down {
            until_it_is(&gatehouse, 503);
        } else {
            patient.expect_only(&gatehouse, 9, 200);
        }
    }
}

#[test]
fn as_many_have_to_pass_as_rise_says() {
    for (rise, comes_up) in [(3, true), (4, false)] {
        let patient = Patient::new(in_turn(&[503, 200, 200, 200]));
        let gatehouse = patient.publish(&format!("{KEYS}rise = {rise}\nfall = 1\n"));
        until_it_is(&gatehouse, 503);
        if comes_up {
            until_it_is(&gatehouse, 200);
        } else {
            patient.expect_only(&gatehouse, 9, 503);
        }
    }
}

#[test]
fn the_status_that_is_expected() {
    let patient = Patient::new(in_turn(&[204]));
    let probe = |expect: &str| {
        format!("http = {{ path = \"/well\"{expect} }}\nevery = \"300ms\"\nfall = 1\nrise = 1\n")
    };
    let gatehouse = patient.publish(&probe(", expect = 204"));
    patient.expect_only(&gatehouse, 3, 200);
    gatehouse.change(&patient.file(&probe("")));
    until_it_is(&gatehouse, 503);
}

#[test]
fn the_host_that_is_asked_for() {
    let patient = Patient::new(
        |_, head: &str| {
            if head.contains("\r\nHost: well.test\r\n") { 200 } else { 404 }
        },
    );
    let probe = |host: &str| {
        format!("http = {{ path = \"/well\"{host} }}\nevery = \"300ms\"\nfall = 1\nrise = 1\n")
    };
    let gatehouse = patient.publish(&probe(", host = \"well.test\""));
    patient.expect_only(&gatehouse, 3, 200);
    gatehouse.change(&patient.file(&probe("")));
    until_it_is(&gatehouse, 503);
}

#[test]
fn a_probe_takes_as_long_as_its_timeout_says() {
    let slow = Duration::from_millis(400);
    let patient = Patient::new(move |_, _| {
        // The work that its answer takes.
        let ready = now() + slow;
        while now() < ready {
            park_timeout(ready.saturating_duration_since(now()));
        }
        200
    });
    let probe = |timeout: &str| {
        format!(
            "http = {{ path = \"/well\" }}\nevery = \"3s\"\ntimeout = \"{timeout}\"\nfall = 1\nrise = 1\n"
        )
    };
    let gatehouse = patient.publish(&probe("100ms"));
    until_it_is(&gatehouse, 503);
    gatehouse.expect_said("last: no answer in time");
    gatehouse.change(&patient.file(&probe("3s")));
    until_it_is(&gatehouse, 200);
}

#[test]
fn probes_come_as_often_as_every_says() {
    let patient = Patient::new(in_turn(&[200]));
    let _gatehouse = patient.publish("http = { path = \"/well\" }\nevery = \"300ms\"\n");
    let nth = |count: usize| -> Instant {
        until("the next probe", || (patient.probes() >= count).then(now))
    };
    let (first, last) = (nth(1), nth(7));
    let beat = last.duration_since(first) / 6;
    // A tenth more or less, and a tick. On a busy machine they are late, and still sooner than those
    // that come every five seconds.
    assert!((250..2_000).contains(&beat.as_millis()), "{beat:?}");
}

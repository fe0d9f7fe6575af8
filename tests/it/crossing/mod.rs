//! No user is ever taken for another: 64 users with four connections each, and anonymous clients
//! among them, ask servers that know the user by the connection. Handshakes are left in the middle,
//! connections are reset at any moment, servers restart, and the file changes all the time.
//!
//! `GATEHOUSE_CROSSING_REQUESTS` sets the number of requests over all numbers of workers. That the
//! oracle sees what it has to is shown by nginx, which is sent the same.

mod origin;
mod users;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::dice::Dice;
use crate::rig::{Folder, Gatehouse, nginx_in_front, now, until_moment};

use origin::Tying;
use users::{Seen, Somebody, Target};

const USERS: usize = 64;
const CONNECTIONS: usize = 4;
const ANONYMOUS: usize = 64;

/// Requests where nobody asks for more.
const REQUESTS: usize = 21_000;

/// One answer in so many hundreds meets with something bad.
const BAD_ONE_IN: usize = 400;

/// Sends a load of clients to a target, and does `beside` again and again until they have gone.
fn play(target: &Target, seed: u64, mut beside: impl FnMut(usize)) -> Seen {
    let seen = Seen::default();
    let left = AtomicUsize::new(USERS * CONNECTIONS + ANONYMOUS);
    thread::scope(|scope| {
        for number in 0..USERS * CONNECTIONS + ANONYMOUS {
            let user = (number < USERS * CONNECTIONS).then(|| format!("user{}", number % USERS));
            let dice = Dice::new(seed << 32 | number as u64);
            let (seen, left) = (&seen, &left);
            scope.spawn(move || {
                let _end = Leaving(left);
                Somebody { user, dice, target, seen }.live();
            });
        }
        let mut round = 0;
        while left.load(Ordering::Relaxed) > 0 {
            beside(round);
            round += 1;
        }
    });
    seen
}

/// Counts a client down also where its thread fails.
struct Leaving<'l>(&'l AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The file of the `round`th reload.
fn file(workers: usize, round: usize, servers: &[u16; 2]) -> String {
    let servers = match round % 4 {
        // The second is taken away, and comes back.
        1 => format!("\"127.0.0.1:{}\"", servers[0]),
        _ => format!("\"127.0.0.1:{}\", \"127.0.0.1:{}\"", servers[0], servers[1]),
    };
    format!(
        "[workers]\ncount = {workers}\n[limits]\nclients_per_address_max = 20000\n\
         [pool.origin]\nservers = [{servers}]\nidle_max = {}\n\
         [site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n\
         [[site.a.rule]]\npath = \"/gone-{round}\"\nrefuse = 410\n\
         [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n[log]\naccess = []\n",
        16 + round % 32,
    )
}

fn more_descriptors() {
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let (_, hard) = nix::sys::resource::getrlimit(limit).unwrap();
    nix::sys::resource::setrlimit(limit, hard, hard).unwrap();
}

fn all_requests() -> usize {
    let asked = std::env::var("GATEHOUSE_CROSSING_REQUESTS").ok();
    asked.map_or(REQUESTS, |text| text.parse().expect("a number of requests"))
}

#[test]
fn no_user_is_taken_for_another() {
    more_descriptors();
    for (seed, workers) in [(1, 1), (2, 2), (3, 4)] {
        let servers = [0, 1].map(|at| Tying::new(seed * 2 + at, BAD_ONE_IN));
        let ports = servers.each_ref().map(|server| server.port);
        let gatehouse = Gatehouse::start(Folder::new(), &file(workers, 0, &ports));
        let requests = all_requests() / 3;
        let target =
            Target { plain: gatehouse.http, secure: Some(gatehouse.https), requests, strict: true };
        let mut reloads = 0;
        let seen = play(&target, seed, |round| {
            let next = now() + Duration::from_millis(100);
            gatehouse.change(&file(workers, round + 1, &ports));
            reloads = round + 1;
            if round % 3 == 2 {
                servers[round / 3 % 2].restart();
            }
            until_moment(next);
        });
        println!("{workers} workers, {reloads} reloads: {seen:?}");
        let wrong = [seen.crossed.lock().unwrap(), seen.wrong.lock().unwrap()];
        let some: Vec<&String> = wrong.iter().flat_map(|wrong| wrong.iter()).take(5).collect();
        let counts = wrong.each_ref().map(|wrong| wrong.len());
        assert_eq!(counts, [0, 0], "(crossed, else wrong) with {workers} workers: {some:#?}");
        expect_everything(&seen, reloads, requests);
        drop(gatehouse);
        for server in &servers {
            server.expect_deserted();
        }
    }
}

/// A load in which something never happened shows nothing.
#[track_caller]
fn expect_everything(seen: &Seen, reloads: usize, requests: usize) {
    let of = |which: &AtomicUsize| which.load(Ordering::Relaxed);
    let least = [
        ("reloads", reloads, 3),
        ("asked", of(&seen.asked), requests),
        ("named", of(&seen.named), requests / 2),
        ("log-ins", of(&seen.log_ins), requests / 40),
        ("tickets", of(&seen.tickets), requests / 200),
        ("credential first", of(&seen.credential_first), requests / 100),
        ("abandoned", of(&seen.abandoned), requests / 1000),
        ("greetings", of(&seen.greetings), requests / 1000),
        ("resets", of(&seen.resets), requests / 200),
        ("lost", of(&seen.lost), 3),
    ];
    for (what, count, least) in least {
        assert!(count >= least, "{what}: {count}, and not {least}: {seen:?}");
    }
}

/// The oracle is not blind: a proxy that keeps upstream connections for whoever comes next gives one
/// user's log-in to another under this load.
#[test]
fn the_same_load_crosses_users_in_nginx() {
    more_descriptors();
    let server = Tying::new(9, BAD_ONE_IN);
    let nginx = nginx_in_front(server.port);
    let target = Target { plain: nginx.plain, secure: None, requests: 4_000, strict: false };
    let seen = play(&target, 9, |_| until_moment(now() + Duration::from_millis(20)));
    let crossed = seen.crossed.lock().unwrap();
    println!("nginx: {} of {:?} requests crossed", crossed.len(), seen.asked);
    assert!(crossed.len() > 20, "only {} were seen to cross: {crossed:#?}", crossed.len());
    assert!(crossed.iter().any(|wrong| wrong.contains("Name(\"anonymous\")")), "{crossed:#?}");
}

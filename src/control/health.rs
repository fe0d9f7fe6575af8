//! What is known of servers: kept right over reloads, said when it changes, shown, and changed by
//! the operator.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::net::{self, Moment};
use crate::observe::{HealthNow, ServerNow, say_now};
use crate::pool::Load;
use crate::pool::health::{Evidence, Shown, Standing};
use crate::pool::settings::Ask;
use crate::proxy::{Live, LivePool, LiveServer, Shared};

use super::probes::Probes;
use super::sentence::{Facts, advice, asked_anew, refusing_words, sentence, why};

/// After a change of a server was said, its next is said no sooner; what it comes to is always said.
const SAY_PAUSE: Duration = Duration::from_secs(5);

/// Log-ins that a server has to refuse in a row, each of another user than the one before, before it
/// is said that this may not be for their passwords.
const REFUSED_TOLD: u64 = 5;

/// After that was said it is said no sooner again, whatever log-ins have come to meanwhile: somebody
/// who guesses passwords while others work there would fill the log.
const REFUSING_PAUSE: Duration = Duration::from_secs(600);

/// Owned by the control thread.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// By pool and address: what was said last.
    known: HashMap<(String, SocketAddr), Known>,
    /// What each pool's probes ask.
    asks: HashMap<String, Ask>,
    probes: Option<Probes>,
}

#[derive(Debug)]
struct Known {
    load: Arc<Load>,
    said: Shown,
    say_at: Moment,
    refusing: Refusing,
}

/// What was said of log-ins that are all refused.
#[derive(Clone, Copy, Debug, Default)]
struct Refusing {
    said: bool,
    /// When it may be said.
    say_at: Moment,
}

impl Refusing {
    /// Whether it is to be said now that all are refused, or that they are not any more.
    fn news(&mut self, refused: u64, now: Moment) -> Option<bool> {
        let is = refused >= REFUSED_TOLD;
        if is == self.said || (is && now < self.say_at) {
            return None;
        }
        if is {
            self.say_at = now + REFUSING_PAUSE;
        }
        self.said = is;
        Some(is)
    }
}

/// The clock that health is judged by.
fn millis(now: Moment) -> u64 {
    now.0 / 1_000_000
}

impl Health {
    /// Another Config is in force. Servers that stay keep what is known of them, unless their probes
    /// ask something else now.
    pub(super) fn take_over(&mut self, shared: &Arc<Shared>) {
        let live = shared.live.load_full();
        let now = net::monotonic();
        let before = std::mem::take(&mut self.known);
        let asked = std::mem::take(&mut self.asks);
        for pool in live.pools() {
            let name = &pool.settings.name;
            let probe = pool.settings.probe.as_ref();
            let ask = probe.map(|probe| &probe.ask);
            let is_other = asked.get(name) != ask;
            for server in &pool.servers {
                let key = (name.clone(), server.dial.to);
                let known = before.get(&key);
                if known.is_none() || is_other {
                    server.load.heard(Evidence::ProbesChanged, millis(now), pool.policy);
                }
                if known.is_none() {
                    // It may have been here before, as another.
                    server.load.heard(Evidence::Answered, millis(now), pool.policy);
                }
                let (mut said, say_at) =
                    known.map_or((server.load.shown().0, now), |known| (known.said, known.say_at));
                if let (true, Shown::Down, Some(probe)) = (is_other, said, probe) {
                    say_now(&asked_anew(name, server.dial.to, probe.fall));
                    said = server.load.shown().0;
                }
                let refusing = known.map(|known| known.refusing).unwrap_or_default();
                let load = Arc::clone(&server.load);
                self.known.insert(key, Known { load, said, say_at, refusing });
            }
            if let Some(ask) = ask {
                self.asks.insert(name.clone(), ask.clone());
            }
        }
        if self.probes.is_none() && !self.asks.is_empty() {
            match Probes::start(Arc::clone(shared)) {
                Ok(probes) => self.probes = Some(probes),
                Err(why) => say_now(&why),
            }
        }
    }

    /// Says what has changed since it was called last.
    pub(super) fn say_changes(&mut self, live: &Live) {
        let now = net::monotonic();
        for pool in live.pools() {
            for server in &pool.servers {
                let key = (pool.settings.name.clone(), server.dial.to);
                let Some(known) = self.known.get_mut(&key) else { continue };
                if let Some(refusing) = known.refusing.news(known.load.log_ins_refused(), now) {
                    say_now(&refusing_words(&pool.settings.name, server.dial.to, refusing));
                }
                let shown = known.load.shown().0;
                if shown == known.said || now < known.say_at {
                    continue;
                }
                let up = up_of(pool, now);
                say_now(&sentence(&facts((pool, up), server, known.said, now)));
                known.said = shown;
                known.say_at = now + SAY_PAUSE;
            }
        }
    }
}

/// Servers of a pool that get requests.
fn up_of(pool: &LivePool, now: Moment) -> usize {
    pool.servers.iter().filter(|server| is_up(server, pool, now)).count()
}

fn is_up(server: &LiveServer, pool: &LivePool, now: Moment) -> bool {
    server.load.state().standing(millis(now), pool.policy) == Standing::Up
}

/// `up`: see [`up_of`].
fn facts<'f>(
    (pool, up): (&'f LivePool, usize),
    server: &'f LiveServer,
    before: Shown,
    now: Moment,
) -> Facts<'f> {
    let state = server.load.state();
    let shown = state.shown();
    let (trouble, detail) = server.load.trouble(shown);
    Facts {
        pool: &pool.settings.name,
        address: server.dial.to,
        probe: pool.settings.probe.as_ref(),
        tls: server.tls.is_some(),
        before,
        shown,
        trouble,
        detail,
        failures: state.failures(),
        again_in: state.tried_again_at().saturating_sub(millis(now)),
        others_up: up.saturating_sub(usize::from(is_up(server, pool, now))),
        in_flight: server.load.now(),
    }
}

/// All servers in force, with the numbers that they are counted by.
pub(super) fn servers(live: &Live) -> Vec<(u32, ServerNow)> {
    let now = net::monotonic();
    let all = live.pools().iter().flat_map(|pool| {
        let up = up_of(pool, now);
        pool.servers.iter().map(move |server| {
            let told = ServerNow {
                pool: pool.settings.name.clone(),
                address: server.text.clone(),
                name: server.name.clone(),
                backup: server.backup,
                in_flight: Some(server.load.now()),
                refuses_log_ins: server.load.log_ins_refused() >= REFUSED_TOLD,
                pinned: server.load.pinned(),
                health: health((pool, up), server, now),
                certificate_ends: server
                    .tls
                    .as_ref()
                    .and_then(|tls| tls.connector.last_shown())
                    .map(|(ends, _)| ends),
                ..ServerNow::default()
            };
            (server.number, told)
        })
    });
    all.collect()
}

fn health((pool, up): (&LivePool, usize), server: &LiveServer, now: Moment) -> HealthNow {
    let (shown, changed) = server.load.shown();
    let ago = millis(now).saturating_sub(changed) / 1_000;
    let facts = facts((pool, up), server, shown, now);
    let next = match facts.shown {
        Shown::Up => String::new(),
        Shown::Drained => {
            let (pool, server) = (quoted(facts.pool), &server.text);
            format!("`gatehouse pool {pool} undrain --server {server}` takes it in again")
        }
        Shown::LeftOut | Shown::Down => advice(&facts),
    };
    HealthNow {
        state: facts.shown.word(),
        since: (changed > 0).then(|| (net::wall_micros() / 1_000_000).saturating_sub(ago)),
        last_trouble: why(&facts),
        asked: server.load.state().standing(millis(now), pool.policy) != Standing::Out,
        next,
    }
}

/// As a shell takes it for one word.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(is_plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}

/// Takes a server of a pool out, or in again; `server` is as the file calls it, or an address.
/// Gives what was done, in words.
///
/// # Errors
/// There is no such pool or server.
pub(super) fn drain(live: &Live, pool: &str, server: &str, out: bool) -> Result<String, String> {
    let Some(pool) = live.pools().iter().find(|one| one.settings.name == pool) else {
        let names: Vec<&str> = live.pools().iter().map(|one| one.settings.name.as_str()).collect();
        return Err(format!("no pool is called `{pool}`; there are: {}", names.join(", ")));
    };
    let meant = |one: &&LiveServer| one.name == server || one.text == server;
    let servers: Vec<&LiveServer> = pool.servers.iter().filter(meant).collect();
    let name = &pool.settings.name;
    if servers.is_empty() {
        let names: Vec<&str> = pool.servers.iter().map(|one| one.name.as_str()).collect();
        let names = names.join(", ");
        return Err(format!("pool {name} has no server `{server}`; there are: {names}"));
    }
    let now = millis(net::monotonic());
    for server in &servers {
        server.load.heard(Evidence::Drain(out), now, pool.policy);
    }
    let busy: u32 = servers.iter().map(|server| server.load.now()).sum();
    let pinned: u32 = servers.iter().map(|server| server.load.pinned()).sum();
    if !out {
        return Ok(format!("pool {name}: server {server} takes requests again"));
    }
    let usable = |one: &LiveServer| one.load.state().standing(now, pool.policy) != Standing::Out;
    let last = if pool.servers.iter().any(usable) {
        ""
    } else {
        "\nno other server of the pool may be asked: its requests get 503 until one is taken in again"
    };
    let logged_in = match pinned {
        0 => "nobody is logged in there".to_owned(),
        1 => "1 connection of a client that is logged in there stays until it leaves".to_owned(),
        _ => format!(
            "{pinned} connections of clients that are logged in there stay until they leave"
        ),
    };
    Ok(format!(
        "pool {name}: server {server} takes no new requests; {busy} are under way, {logged_in}{last}"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::observe::STATES;
    use crate::pool::Tie;
    use crate::pool::health::Trouble;
    use crate::pool::settings::ServerAddress;
    use crate::proxy::Kept;
    use crate::tls::TicketSecrets;

    /// What is in force with these servers, by a registry that goes on.
    fn live(servers: &str, kept: &mut Kept, secrets: &Arc<TicketSecrets>) -> Live {
        let text = format!("[pool.web]\nservers = [{servers}]\nbackup = [\"10.0.0.9:80\"]\n");
        let source = |_: &Path| Ok(text.clone().into_bytes());
        let (config, _) = config::read(Path::new("a.toml"), &source, 0).unwrap();
        let resolve = |server: &ServerAddress| match server {
            ServerAddress::Socket(address) => vec![*address],
            // A name with two addresses.
            ServerAddress::Name { port, .. } => {
                [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], *port))).to_vec()
            }
        };
        Live::new(1, config, secrets, kept, &resolve).unwrap()
    }

    fn states(live: &Live) -> String {
        let words: Vec<&str> =
            servers(live).iter().map(|(_, server)| server.health.state).collect();
        words.join(", ")
    }

    #[test]
    fn names_are_one_word_to_a_shell() {
        for (name, word) in [("front-end", "front-end"), ("it's a", r"'it'\''s a'"), ("", "''")] {
            assert_eq!(quoted(name), word);
        }
    }

    /// What is counted by state has these words only.
    #[test]
    fn every_state_is_counted() {
        let all = [Shown::Up, Shown::LeftOut, Shown::Down, Shown::Drained];
        assert_eq!(all.map(Shown::word), STATES);
    }

    #[test]
    fn servers_are_shown_drained_and_known_again() {
        let (mut kept, secrets) = (Kept::default(), TicketSecrets::new().unwrap());
        let first = live("\"fe01:80\", \"10.0.0.3:80\"", &mut kept, &secrets);
        let shared = Shared::new(first, Arc::clone(&secrets), 1);
        let mut health = Health::default();
        health.take_over(&shared);
        let first = shared.live.load_full();
        assert_eq!(states(&first), "up, up, up, up");
        let load = Arc::clone(&first.pools()[0].servers[2].load);
        let (policy, now) = (first.pools()[0].policy, millis(net::monotonic()));
        load.enter();
        load.heard(Evidence::Silent(Trouble::HeadTimedOut), now, policy);
        // A name is all its addresses.
        let ties = [0, 1, 1].map(|at| Tie::new(&first.pools()[0].servers[at].load));
        let done = drain(&first, "web", "fe01:80", true).unwrap();
        assert!(
            done.contains(
                "0 are under way, 3 connections of clients that are logged in there stay"
            ),
            "{done}"
        );
        drop(ties);
        let done = drain(&first, "web", "fe01:80", true).unwrap();
        assert!(done.contains("0 are under way") && !done.contains("503"), "{done}");
        assert!(done.contains("nobody is logged in there"), "{done}");
        assert_eq!(states(&first), "drained, drained, left out, up");
        let (_, shown) = servers(&first).swap_remove(2);
        assert_eq!(
            (shown.in_flight, shown.backup, shown.name.as_str()),
            (Some(1), false, "10.0.0.3:80")
        );
        assert_eq!(shown.health.last_trouble, "no answer in time");
        assert!(shown.health.asked && shown.health.next.contains("explain upstream_slow_head"));
        let ago = (net::wall_micros() / 1_000_000).saturating_sub(shown.health.since.unwrap());
        assert!(ago < 10, "{ago}");
        let (_, drained) = servers(&first).swap_remove(0);
        assert!(!drained.health.asked);
        let next = "`gatehouse pool web undrain --server 10.0.0.1:80` takes it in again";
        assert_eq!(drained.health.next, next);
        assert!(drain(&first, "web", "fe02:80", true).unwrap_err().contains("fe01:80, "));
        assert!(drain(&first, "wed", "fe01:80", true).unwrap_err().contains("there are: web"));
        // One leaves, and comes again as another; what the operator said stays.
        for (servers, expected) in [
            ("\"fe01:80\"", "drained, drained, up"),
            ("\"10.0.0.3:80\", \"10.0.0.1:80\"", "up, drained, up"),
        ] {
            shared.live.store(Arc::new(live(servers, &mut kept, &secrets)));
            health.take_over(&shared);
            assert_eq!(states(&shared.live.load()), expected);
        }
        let last = shared.live.load_full();
        for server in ["10.0.0.3:80", "10.0.0.9:80"] {
            drain(&last, "web", server, true).unwrap();
        }
        let done = drain(&last, "web", "10.0.0.1:80", true).unwrap();
        assert!(done.contains("no other server of the pool may be asked"), "{done}");
        drain(&last, "web", "10.0.0.1:80", false).unwrap();
        assert_eq!(states(&last), "drained, up, drained");
    }

    #[test]
    fn passwords_that_are_guessed_while_others_log_in_do_not_fill_the_log() {
        let load = Load::default();
        let begin = Moment(1_000_000_000_000);
        let (mut refusing, mut said) = (Refusing::default(), Vec::new());
        // An hour: one guess a second, and somebody gets in every ten seconds.
        for second in 0..3_600 {
            load.note_log_in(second, second % 10 != 9);
            let now = begin + Duration::from_secs(second);
            said.extend(refusing.news(load.log_ins_refused(), now).map(|is| (second, is)));
        }
        let expected = (0..6).flat_map(|turn| [(turn * 600 + 4, true), (turn * 600 + 9, false)]);
        assert_eq!(said, expected.collect::<Vec<_>>());
        // What it comes to is said.
        for user in 0..5 {
            load.note_log_in(user, true);
        }
        let news = |refusing: &mut Refusing, second| {
            refusing.news(load.log_ins_refused(), begin + Duration::from_secs(second))
        };
        assert_eq!(news(&mut refusing, 3_603), None);
        assert_eq!(news(&mut refusing, 3_604), Some(true));
        assert_eq!(news(&mut refusing, 9_000), None);
    }
}

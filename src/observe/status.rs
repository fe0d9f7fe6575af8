//! A snapshot as `gatehouse status` tells it: as JSON, whose names stay, and what is wrong with it.

use serde::{Deserialize, Serialize};

use super::snapshot::{FailureNow, Snapshot};
use super::status_pools::{NameStatus, PoolStatus, is_told, pool_troubles};
use super::tally::Sum;

/// A certificate that ends within so many days is spoken of.
const DAYS_LEFT_MIN: i64 = 21;

/// So long after a failure it is still something to look at, in seconds.
const RECENT_SECONDS: u64 = 600;

/// A limit is spoken of when so many percent of it are in use.
const LIMIT_PERCENT: u64 = 90;

/// As many kinds of failures are spoken of; the others stand in the list.
const FAILURES_TOLD_MAX: usize = 5;

/// A server that ends a connection that somebody was logged in on does nothing wrong: IIS does so
/// after two idle minutes, and the client logs in again.
const HARMLESS: [&str; 1] = ["pin_lost"];

/// What the running instance says of itself. Names are kept; new ones may be added. Points in time
/// are seconds since 1970.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Status {
    /// Of the running program.
    pub version: String,
    /// The operator's file.
    pub file: String,
    /// When this was told.
    pub now: u64,
    /// When the process started.
    pub started: u64,
    /// Since then.
    pub uptime_seconds: u64,
    /// Number of the file in force since the start.
    pub generation: u64,
    /// Since when it is in force.
    pub in_force_since: u64,
    /// The process is ending.
    pub draining: bool,
    /// Threads that serve clients.
    pub workers: usize,
    /// What the kernel granted to them.
    pub ring_flags: String,
    /// What is accepted on.
    pub listeners: Vec<ListenerStatus>,
    /// In the order of the file.
    pub sites: Vec<SiteStatus>,
    /// In the order of the file.
    pub pools: Vec<PoolStatus>,
    /// Names of servers that do not lead to them as they should.
    pub names: Vec<NameStatus>,
    /// In the order of the file.
    pub certificates: Vec<CertificateStatus>,
    /// What is in use of `clients_max`, `handshakes_max` and `memory_max`.
    pub limits: Vec<LimitStatus>,
    /// Of client connections: accepted, and not let in, since the start.
    pub clients_accepted: u64,
    /// See `clients_accepted`.
    pub clients_refused: u64,
    /// Lines of the access log that were lost since the start.
    pub log_lines_lost: u64,
    /// The latest first.
    pub failures: Vec<FailureStatus>,
    /// What somebody has to do something about; empty if all is well.
    pub troubles: Vec<Trouble>,
    /// What somebody has done for a while, and may want to take back.
    pub notes: Vec<Trouble>,
}

/// An address that clients are accepted on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ListenerStatus {
    /// The listener's name in the file.
    pub name: String,
    /// Address and port.
    pub address: String,
}

/// A site, since the start.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct SiteStatus {
    /// Its name in the file.
    pub name: String,
    /// Exchanges that ended.
    pub exchanges: u64,
    /// Of these, failed by a server or by this box.
    pub failures: u64,
    /// Half of its exchanges took less; `null` if there were none.
    pub median_seconds: Option<f64>,
    /// 99 of 100 took less.
    pub p99_seconds: Option<f64>,
}

/// A certificate in force.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct CertificateStatus {
    /// Its name in the file.
    pub name: String,
    /// When it ends.
    pub ends: i64,
    /// Whole days until then; below 0 it has ended.
    pub days_left: i64,
}

/// A limit.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct LimitStatus {
    /// Its key below `[limits]`.
    pub name: String,
    /// In use now; of memory, bytes.
    pub used: u64,
    /// The most.
    pub most: u64,
}

/// Equal failures of one site and server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct FailureStatus {
    /// What the log says.
    pub failure: String,
    /// Who has to change something: `client`, `upstream` or `proxy`.
    pub fault_of: String,
    /// The site's name; empty if there was none.
    pub site: String,
    /// The server's address; empty if none was asked.
    pub server: String,
    /// How many, since `first`.
    pub count: u64,
    /// When the first was.
    pub first: u64,
    /// When the last was.
    pub last: u64,
}

/// Something that somebody has to do something about, or may want to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Trouble {
    /// What is wrong, or noted.
    pub what: String,
    /// What to do.
    pub next: String,
}

fn seconds(micros: Option<u64>) -> Option<f64> {
    micros.map(|micros| micros as f64 / 1e6)
}

/// Whole days from `now` to `ends`; below 0 it has been.
pub(super) fn days_left(ends: i64, now: u64) -> i64 {
    ends.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)).div_euclid(86_400)
}

pub(super) fn quantiles(sum: &Sum) -> (Option<f64>, Option<f64>) {
    (seconds(sum.latency.within(0.5)), seconds(sum.latency.within(0.99)))
}

impl Status {
    /// The status of `now`; `advice` says what to do about a failure.
    #[must_use]
    pub fn of(now: &Snapshot, advice: &dyn Fn(&FailureNow) -> &'static str) -> Self {
        let limits = [
            ("clients_max", now.clients),
            ("handshakes_max", now.handshakes),
            ("memory_max", now.memory),
        ];
        let limit =
            |(name, (used, most)): (&str, _)| LimitStatus { name: name.to_owned(), used, most };
        let mut status = Self {
            version: now.version.to_owned(),
            file: now.file.clone(),
            now: now.now,
            started: now.started,
            uptime_seconds: now.now.saturating_sub(now.started),
            generation: now.generation,
            in_force_since: now.in_force_since,
            draining: now.draining,
            workers: now.workers,
            ring_flags: now.ring_flags.clone(),
            listeners: now.listeners.iter().map(ListenerStatus::of).collect(),
            sites: sites(now),
            pools: PoolStatus::all(now),
            names: now.names.iter().map(NameStatus::of).collect(),
            certificates: now
                .certificates
                .iter()
                .map(|(name, ends)| CertificateStatus::of(name, *ends, now.now))
                .collect(),
            limits: limits.into_iter().map(limit).collect(),
            clients_accepted: now.counts.clients,
            clients_refused: now.counts.clients_refused + now.counts.handshakes_refused,
            log_lines_lost: now.lines_lost.0 + now.counts.records_dropped,
            failures: now.failures.iter().map(FailureStatus::of).collect(),
            troubles: Vec::new(),
            notes: Vec::new(),
        };
        let (pool_troubles, notes) = pool_troubles(now);
        status.troubles = status.find_troubles(now, pool_troubles, advice);
        status.notes = notes;
        status
    }

    fn find_troubles(
        &self,
        now: &Snapshot,
        pool_troubles: Vec<Trouble>,
        advice: &dyn Fn(&FailureNow) -> &'static str,
    ) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let mut say = |what: String, next: String| troubles.push(Trouble { what, next });
        self.file_troubles(now, &mut say);
        for Trouble { what, next } in pool_troubles {
            say(what, next);
        }
        self.certificates.iter().for_each(|certificate| certificate.trouble(&mut say));
        self.limits.iter().for_each(|limit| limit.trouble(&mut say));
        let recent = |failure: &&FailureNow| {
            failure.party != "client"
                && !HARMLESS.contains(&failure.word)
                && !is_told(now, failure)
                && now.now.saturating_sub(failure.last) <= RECENT_SECONDS
        };
        for failure in now.failures.iter().filter(recent).take(FAILURES_TOLD_MAX) {
            say(failure_sentence(failure, now.now), advice(failure).to_owned());
        }
        if now.lines_lost.0 > 0 && now.now.saturating_sub(now.lines_lost.1) <= RECENT_SECONDS {
            say(
                format!("lines of the access log are lost, {} since the start", now.lines_lost.0),
                "`journalctl -u gatehouse | grep 'access log'` says which log, and why; `df -h` shows full disks".to_owned(),
            );
        }
        if now.counts.panics + now.restarts > 0 {
            say(
                format!(
                    "a fault in Gatehouse itself has ended {} connections and {} workers since the start",
                    now.counts.panics, now.restarts
                ),
                "report it with the lines that `journalctl -u gatehouse | grep -A 5 panicked` prints".to_owned(),
            );
        }
        troubles
    }

    fn file_troubles(&self, now: &Snapshot, say: &mut impl FnMut(String, String)) {
        if self.draining {
            say(
                "the process is ending: running requests may end, new clients are not accepted"
                    .to_owned(),
                "if nobody wanted that, `journalctl -u gatehouse -n 50` shows what happened"
                    .to_owned(),
            );
        } else if self.listeners.is_empty() {
            say(
                "no listener is open".to_owned(),
                format!(
                    "add a [listener.NAME] to {}; `gatehouse keys listener` says how",
                    self.file
                ),
            );
        }
        if let Some((at, why)) = &now.last_refusal {
            let first = why.lines().next().unwrap_or_default();
            say(
                format!(
                    "the file, or a certificate, was refused {} ago, and what was in force before stays: {first}",
                    span(now.now.saturating_sub(*at))
                ),
                format!(
                    "`gatehouse check {}` says everything that is wrong; then `gatehouse reload`",
                    self.file
                ),
            );
        }
    }
}

fn failure_sentence(failure: &FailureNow, now: u64) -> String {
    let place = match (failure.server.as_str(), failure.site.as_str()) {
        ("", "") => String::new(),
        ("", site) => format!(" at site {site}"),
        (server, "") => format!(" at server {server}"),
        (server, site) => format!(" at server {server} for site {site}"),
    };
    let times =
        if failure.count == 1 { "once".to_owned() } else { format!("{} times", failure.count) };
    let ago = span(now.saturating_sub(failure.last));
    format!("{}{place}: {times}, the last {ago} ago", failure.word)
}

/// Whole days, hours, minutes or seconds, whichever says it best.
#[must_use]
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

impl ListenerStatus {
    fn of((name, address): &(String, String)) -> Self {
        Self { name: name.clone(), address: address.clone() }
    }
}

fn sites(now: &Snapshot) -> Vec<SiteStatus> {
    let in_force = now.sites.iter().filter(|site| site.in_force);
    let all = in_force.map(|site| {
        let (median_seconds, p99_seconds) = quantiles(&site.sum);
        SiteStatus {
            name: site.name.clone(),
            exchanges: site.sum.exchanges(),
            failures: site.sum.failed(),
            median_seconds,
            p99_seconds,
        }
    });
    all.collect()
}

impl CertificateStatus {
    fn of(name: &str, ends: i64, now: u64) -> Self {
        Self { name: name.to_owned(), ends, days_left: days_left(ends, now) }
    }

    fn trouble(&self, say: &mut impl FnMut(String, String)) {
        if self.days_left >= DAYS_LEFT_MIN {
            return;
        }
        let (name, days) = (&self.name, self.days_left);
        let what = match days {
            ..0 => format!("certificate {name} has ended: browsers and clients refuse it"),
            0 => format!("certificate {name} ends today"),
            1 => format!("certificate {name} ends in 1 day"),
            _ => format!("certificate {name} ends in {days} days"),
        };
        let next = format!(
            "have its authority issue a new one and put it where [certificate.{name}] names it; it is taken by itself, without a reload"
        );
        say(what, next);
    }
}

impl LimitStatus {
    fn trouble(&self, say: &mut impl FnMut(String, String)) {
        let (used, most) = (u128::from(self.used), u128::from(self.most));
        if self.most == 0 || used * 100 < most * u128::from(LIMIT_PERCENT) {
            return;
        }
        let (name, used, most) = (&self.name, self.used, self.most);
        let what = match self.name.as_str() {
            "memory_max" => {
                format!("{} of {} memory are in use: limits.{name}", bytes(used), bytes(most))
            }
            _ => format!("{used} of {most} are in use: limits.{name}"),
        };
        let next = match self.name.as_str() {
            "memory_max" => "`free -m` shows whether the box has more to give: then raise it".to_owned(),
            _ => "see who they are: `ss -Htn state established 'sport = :443' | awk '{print $4}' | sed 's/:[0-9]*$//' | sort | uniq -c | sort -n | tail`; if they are all welcome, raise it".to_owned(),
        };
        say(what, format!("{next} (`gatehouse keys limits.{name}`)"));
    }
}

impl FailureStatus {
    fn of(failure: &FailureNow) -> Self {
        Self {
            failure: failure.word.to_owned(),
            fault_of: failure.party.to_owned(),
            site: failure.site.clone(),
            server: failure.server.clone(),
            count: failure.count,
            first: failure.first,
            last: failure.last,
        }
    }
}

/// With three digits at most, and a unit.
#[must_use]
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 || value >= 9.95 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

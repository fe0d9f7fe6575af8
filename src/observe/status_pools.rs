//! Pools, their servers and the names of those in a status: which of them are not as they should be,
//! what follows, and what to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::snapshot::{FailureNow, NameNow, ServerNow, Snapshot, UP};
use super::status::{Trouble, days_left, quantiles, span};

/// Servers of a pool that are spoken of one by one, of those that are not up.
const SERVERS_TOLD_MAX: usize = 3;

/// A server's certificate that ends within so many days is spoken of: whoever has to renew it has
/// to ask an authority, and somebody who may touch the server.
const SERVER_DAYS_LEFT_MIN: i64 = 30;

/// Names that are spoken of.
const NAMES_TOLD_MAX: usize = 5;

/// A pool.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct PoolStatus {
    /// Its name in the file.
    pub name: String,
    /// One for each address.
    pub servers: Vec<ServerStatus>,
}

/// One address of a server.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct ServerStatus {
    /// As written in the file.
    pub name: String,
    /// Address and port.
    pub address: String,
    /// Used only when no other is up.
    pub backup: bool,
    /// `up`, `left out`, `down` or `drained`.
    pub state: String,
    /// Since when; `null`: since it is known.
    pub state_since: Option<u64>,
    /// What was wrong last, even if it is up again; empty if nothing ever was.
    pub last_trouble: String,
    /// Exchanges under way.
    pub in_flight: u32,
    /// Connections to it that are tied to a logged-in client.
    pub pinned: u32,
    /// Exchanges that ended, since the start.
    pub exchanges: u64,
    /// Of these, failed by it or by this box.
    pub failures: u64,
    /// Connections to it that could not be set up.
    pub unreached: u64,
    /// Half of its answers began within this; `null` if there were none.
    pub median_seconds: Option<f64>,
    /// 99 of 100 began within this.
    pub p99_seconds: Option<f64>,
    /// When the certificate ends that it has shown last; `null` if it has shown none.
    pub certificate_ends: Option<i64>,
    /// Whole days until then; below 0 it has ended.
    pub certificate_days_left: Option<i64>,
}

/// A name of servers that has no answer, or leads back to us.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct NameStatus {
    /// As written in the file, without a port.
    pub name: String,
    /// The pools whose servers have that name.
    pub pools: Vec<String>,
    /// Since when; `null` if that is not known.
    pub since: Option<u64>,
    /// What is wrong.
    pub why: String,
    /// What follows for requests.
    pub effect: String,
}

impl PoolStatus {
    pub(super) fn all(now: &Snapshot) -> Vec<Self> {
        let by_pool = now.servers_by_pool();
        let of = |name: &String| {
            let ours = by_pool.get(name.as_str()).into_iter().flatten();
            let servers = ours.filter_map(|server| ServerStatus::of(server, now.now)).collect();
            Self { name: name.clone(), servers }
        };
        now.pools.iter().map(of).collect()
    }

    /// Servers that are up.
    pub(super) fn up(&self) -> usize {
        self.servers.iter().filter(|server| server.state == UP).count()
    }
}

impl ServerStatus {
    /// `None` if it is not in force.
    fn of(server: &ServerNow, now: u64) -> Option<Self> {
        let (median_seconds, p99_seconds) = quantiles(&server.sum);
        Some(Self {
            name: server.name.clone(),
            address: server.address.clone(),
            backup: server.backup,
            state: server.health.state.to_owned(),
            state_since: server.health.since,
            last_trouble: server.health.last_trouble.clone(),
            in_flight: server.in_flight?,
            pinned: server.pinned,
            exchanges: server.sum.exchanges(),
            failures: server.sum.failed(),
            unreached: server.sum.unreached,
            median_seconds,
            p99_seconds,
            certificate_ends: server.certificate_ends,
            certificate_days_left: server.certificate_ends.map(|ends| days_left(ends, now)),
        })
    }

    /// Stands between it and its news.
    fn verb(&self) -> &'static str {
        if self.state == "drained" { "was" } else { "is" }
    }

    /// How it is and since when, and why, if it is not up.
    pub(super) fn news(&self, now: u64) -> Option<String> {
        if self.state == UP {
            return None;
        }
        let since = self.state_since.map(|since| span(now.saturating_sub(since)));
        let drained = self.state == "drained";
        let since = match since {
            None => String::new(),
            Some(since) if drained => format!(" {since} ago"),
            Some(since) => format!(" for {since}"),
        };
        let state = format!("{}{since}", self.state);
        Some(if drained {
            let logged_in = match self.pinned {
                0 => "nobody logged in there".to_owned(),
                1 => "1 connection of a logged-in client".to_owned(),
                count => format!("{count} connections of logged-in clients"),
            };
            format!("{state}, {} requests under way, {logged_in}", self.in_flight)
        } else if self.last_trouble.is_empty() {
            state
        } else {
            format!("{state}: {}", self.last_trouble)
        })
    }
}

impl NameStatus {
    pub(super) fn of(name: &NameNow) -> Self {
        Self {
            name: name.name.clone(),
            pools: name.pools.clone(),
            since: name.since,
            why: name.why.clone(),
            effect: name.effect.clone(),
        }
    }
}

/// What a server does whose Windows log-ins fail one after the other.
pub const REFUSES_LOG_INS: &str =
    "refuses every Windows log-in, of one user after the other, and has accepted none since";

/// What to do then: [Extended Protection for Authentication][1] ties a log-in to the certificate that
/// the client was shown (RFC 5929 section 4), which is ours.
///
/// [1]: https://learn.microsoft.com/en-us/dotnet/framework/wcf/feature-details/extended-protection-for-authentication-overview
pub const REFUSES_NEXT: &str = "`grep '\"status\":401' /var/log/gatehouse/access.log | tail` shows from where. Addresses of strangers: somebody guesses passwords, `gatehouse keys site.NAME.log_in_guard`. Your own users, with the right passwords: it is probably channel binding, the server sees another certificate than the client. In IIS Manager, at the directory, under Authentication, Windows Authentication, Advanced Settings, set Extended Protection to Off; or let the site show the server's own certificate and key";

/// What is wrong with pools and names, the worst first: pools without a server that is up, names,
/// single servers. And what needs nobody: servers that were taken out while others serve.
pub(super) fn pool_troubles(now: &Snapshot) -> (Vec<Trouble>, Vec<Trouble>) {
    let (mut whole, mut single, mut notes) = (Vec::new(), Vec::new(), Vec::new());
    let by_pool = now.servers_by_pool();
    for name in &now.pools {
        let servers = by_pool.get(name.as_str()).into_iter().flatten();
        let told: Vec<_> = servers
            .filter_map(|&server| Some((server, ServerStatus::of(server, now.now)?)))
            .collect();
        let ill: Vec<_> = told.iter().filter_map(|one| Some((one, one.1.news(now.now)?))).collect();
        single.extend(ending(name, &told));
        if told.is_empty() {
            // A name that is in trouble says more.
            if !now.names.iter().any(|one| one.pools.contains(name)) {
                whole.push(Trouble {
                    what: format!("pool {name} has no address and answers 503: nobody has told the addresses of its servers' names yet"),
                    next: "`journalctl -u gatehouse -n 50` says who is asked; `getent ahosts SERVER` asks as the system does".to_owned(),
                });
            }
        } else if ill.len() == told.len() {
            whole.push(all_ill(name, &ill));
        } else {
            let usual = told.iter().any(|(server, it)| it.state == UP && !server.backup);
            let to = if usual { "the others" } else { "the backup" };
            let (drained, broken): (Vec<_>, Vec<_>) =
                ill.into_iter().partition(|((_, it), _)| it.state == "drained");
            single.extend(some_ill(name, &broken, to));
            notes.extend(some_ill(name, &drained, to));
        }
    }
    whole.extend(name_troubles(now));
    let refusing = now.servers.iter().filter(|server| server.refuses_log_ins);
    whole.extend(refusing.take(SERVERS_TOLD_MAX).map(|server| Trouble {
        what: format!("pool {}: server {} {REFUSES_LOG_INS}", server.pool, server.address),
        next: REFUSES_NEXT.to_owned(),
    }));
    whole.append(&mut single);
    (whole, notes)
}

/// Certificates of a pool's servers that end soon; servers with the same one are told together.
fn ending(pool: &str, told: &[(&ServerNow, ServerStatus)]) -> Vec<Trouble> {
    let mut by_end: BTreeMap<i64, (i64, Vec<&str>)> = BTreeMap::new();
    for (_, it) in told {
        if let (Some(ends), Some(days)) = (it.certificate_ends, it.certificate_days_left)
            && days < SERVER_DAYS_LEFT_MIN
        {
            by_end.entry(ends).or_insert((days, Vec::new())).1.push(&it.address);
        }
    }
    let troubles = by_end.into_values().map(|(days, servers)| {
        let more = servers.len().saturating_sub(SERVERS_TOLD_MAX);
        let some: Vec<_> = servers.iter().take(SERVERS_TOLD_MAX).copied().collect();
        let some = some.join(", ");
        let whose = match (servers.len(), more) {
            (1, _) => format!("of server {some}"),
            (_, 0) => format!("of servers {some}"),
            _ => format!("of servers {some} and {more} more"),
        };
        let when = match days {
            ..0 => "has ended: this box refuses to connect".to_owned(),
            0 => "ends today: after that this box refuses to connect".to_owned(),
            1 => "ends in 1 day".to_owned(),
            _ => format!("ends in {days} days"),
        };
        Trouble {
            what: format!("pool {pool}: the certificate {whose} {when}"),
            next: format!(
                "renew it at the server and bind the new one (IIS: Bindings; Lync: Set-CsCertificate); `gatehouse doctor {pool}` then says whether the file still fits"
            ),
        }
    });
    troubles.collect()
}

/// A server that is not up, and its news.
type Ill<'i> = (&'i (&'i ServerNow, ServerStatus), String);

/// Of a pool whose requests go `to` others.
fn some_ill(name: &str, ill: &[Ill<'_>], to: &str) -> Vec<Trouble> {
    let told = ill.iter().take(SERVERS_TOLD_MAX).map(|((server, it), news)| Trouble {
        what: format!(
            "pool {name}: server {} {} {news}; requests go to {to}",
            it.address,
            it.verb()
        ),
        next: server.health.next.clone(),
    });
    let more = ill.len().saturating_sub(SERVERS_TOLD_MAX);
    let more = (more > 0).then(|| Trouble {
        what: format!("pool {name}: {more} more servers are not up"),
        next: "see them above, or in `gatehouse status --json`".to_owned(),
    });
    told.chain(more).collect()
}

/// None of a pool's servers is up.
fn all_ill(name: &str, ill: &[Ill<'_>]) -> Trouble {
    let asked = ill.iter().any(|((server, _), _)| server.health.asked);
    let effect = if asked { "requests are tried there all the same" } else { "requests get 503" };
    // What somebody has taken out needs no repair.
    let broken = ill.iter().find(|((_, it), _)| it.state != "drained");
    let next = broken.or(ill.first()).map(|((server, _), _)| server.health.next.clone());
    let told = ill.iter().take(SERVERS_TOLD_MAX);
    let told: Vec<String> = told.map(|((_, it), news)| format!("{} {news}", it.address)).collect();
    let more = match ill.len() {
        count if count > SERVERS_TOLD_MAX => format!("; and {} more", count - SERVERS_TOLD_MAX),
        _ => String::new(),
    };
    let what = match ill {
        [((_, it), news)] => {
            let verb = it.verb();
            format!("pool {name}: its only server {} {verb} {news}; {effect}", it.address)
        }
        _ => format!(
            "pool {name}: none of its {} servers is up, and {effect}: {}{more}",
            ill.len(),
            told.join("; ")
        ),
    };
    Trouble { what, next: next.unwrap_or_default() }
}

fn name_troubles(now: &Snapshot) -> Vec<Trouble> {
    let told = now.names.iter().take(NAMES_TOLD_MAX).map(|name| {
        let since = name.since.map(|since| span(now.now.saturating_sub(since)));
        let since =
            since.map_or_else(String::new, |since| format!(" does not resolve, for {since}"));
        Trouble {
            what: format!("server name {}{since}: {}; {}", name.name, name.why, name.effect),
            next: name.next.clone(),
        }
    });
    let more = now.names.len().saturating_sub(NAMES_TOLD_MAX);
    let more = (more > 0).then(|| Trouble {
        what: format!("{more} more names of servers do not lead to them"),
        next: "`gatehouse status --json` lists them".to_owned(),
    });
    told.chain(more).collect()
}

/// Whether a trouble of the pools, or of a name, says already why there was such a failure.
pub(super) fn is_told(now: &Snapshot, failure: &FailureNow) -> bool {
    match failure.word {
        // No server stands in its record.
        "all_down" => {
            let by_pool = now.servers_by_pool();
            let mut ours = now.pools.iter().filter_map(|pool| by_pool.get(pool.as_str()));
            ours.any(|ours| ours.iter().all(|server| !server.health.asked))
        }
        "no_server" => !now.names.is_empty(),
        _ => failure.party == "upstream" && is_ill(now, &failure.server),
    }
}

fn is_ill(now: &Snapshot, address: &str) -> bool {
    let servers = now.servers.iter().filter(|server| server.in_flight.is_some());
    let mut servers = servers.filter(|server| server.address == address).peekable();
    servers.peek().is_some()
        && servers.all(|server| matches!(server.health.state, "down" | "left out"))
}

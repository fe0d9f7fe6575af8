//! What is to be seen of the proxy at one moment: put together by the control side, shown as metrics
//! and as a status.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::counters::Counts;
use super::tally::{NUMBERS_MAX, Sum, Sums};

/// What stands for the sites, or servers, beyond those that are told apart.
pub const OTHER: &str = "(other)";

/// What is known of a server's health, in words.
pub const STATES: [&str; 4] = [UP, "left out", "down", "drained"];

/// It gets requests.
pub const UP: &str = "up";

/// Everything at one moment. Times are seconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// When it was taken.
    pub now: u64,
    /// Of this program.
    pub version: &'static str,
    /// The operator's file.
    pub file: String,
    /// The poorest set-up of a ring that the kernel granted to a worker.
    pub ring_flags: String,
    /// When the process started.
    pub started: u64,
    /// Of the Config in force.
    pub generation: u64,
    /// Since when it is in force.
    pub in_force_since: u64,
    /// Files that were taken since the start.
    pub reloads_taken: u64,
    /// Files that were refused.
    pub reloads_refused: u64,
    /// When the last one was refused and why, if none was taken since.
    pub last_refusal: Option<(u64, String)>,
    /// The process is ending.
    pub draining: bool,
    /// Workers that accept.
    pub workers: usize,
    /// Workers that ended by a fault of ours and were replaced.
    pub restarts: u64,
    /// Names and addresses of what is accepted on.
    pub listeners: Vec<(String, String)>,
    /// Clients now, and the most.
    pub clients: (u64, u64),
    /// Handshakes under way, and the most.
    pub handshakes: (u64, u64),
    /// Bytes of memory held, and the most.
    pub memory: (u64, u64),
    /// All workers' counters.
    pub counts: Counts,
    /// Those in force, then those that were.
    pub sites: Vec<SiteNow>,
    /// The names of all pools in force.
    pub pools: Vec<String>,
    /// Those in force, then those that were.
    pub servers: Vec<ServerNow>,
    /// Names of servers that do not lead to them as they should.
    pub names: Vec<NameNow>,
    /// Name and last second of each certificate in force.
    pub certificates: Vec<(String, i64)>,
    /// The last failures, the latest first.
    pub failures: Vec<FailureNow>,
    /// Lines of the access log that were lost since the start, and when one was lost last.
    pub lines_lost: (u64, u64),
    /// Sentences for the service's log, and how many of them were left out.
    pub notices: (u64, u64),
    /// Whom the guard of log-ins has forgotten early, since it counted too many.
    pub guard_driven_out: u64,
    /// Connections that the kernel lost since a queue of a listener was full, and those that it lost
    /// for any reason; over all programs of this machine since it started. `None` if it does not
    /// tell.
    pub kernel_listen: Option<(u64, u64)>,
}

/// One site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteNow {
    /// Empty: what belongs to none.
    pub name: String,
    /// It is in the Config in force.
    pub in_force: bool,
    /// What there was since the start.
    pub sum: Sum,
}

/// One address of a server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerNow {
    /// Its pool.
    pub pool: String,
    /// Where it is.
    pub address: String,
    /// As written in the file; empty if it is not there any more.
    pub name: String,
    /// Used only when no other is up.
    pub backup: bool,
    /// Exchanges under way; `None` if it is not in the Config in force.
    pub in_flight: Option<u32>,
    /// Connections to it that are tied to a logged-in client.
    pub pinned: u32,
    /// It refuses one Windows log-in after the other, and accepts none.
    pub refuses_log_ins: bool,
    /// What is known of its health.
    pub health: HealthNow,
    /// When the certificate ends that it has shown last, in seconds since 1970.
    pub certificate_ends: Option<i64>,
    /// What there was since the start.
    pub sum: Sum,
}

/// What is known of a server's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthNow {
    /// One of [`STATES`].
    pub state: &'static str,
    /// Since when; `None`: since it is known.
    pub since: Option<u64>,
    /// What was wrong last, even if it is up again; empty if nothing ever was.
    pub last_trouble: String,
    /// It may be asked, if only since no other is up.
    pub asked: bool,
    /// What to do, if it is not up.
    pub next: String,
}

impl Default for HealthNow {
    fn default() -> Self {
        let (last_trouble, next) = (String::new(), String::new());
        Self { state: UP, since: None, last_trouble, asked: true, next }
    }
}

/// A name of servers that has no answer, or leads back to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameNow {
    /// As written in the file, without a port.
    pub name: String,
    /// The pools whose servers have that name.
    pub pools: Vec<String>,
    /// Since when; `None` if that is not known.
    pub since: Option<u64>,
    /// What is wrong.
    pub why: String,
    /// What follows for requests.
    pub effect: String,
    /// What to do.
    pub next: String,
}

/// Equal failures of one site and server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureNow {
    /// What the log says.
    pub word: &'static str,
    /// Who has to change something.
    pub party: &'static str,
    /// The site's name; empty if there was none.
    pub site: String,
    /// The server's address; empty if none was asked.
    pub server: String,
    /// How many there were.
    pub count: u64,
    /// When the first was.
    pub first: u64,
    /// When the last was.
    pub last: u64,
}

impl SiteNow {
    /// All sites that `sums` know or that are in force, those in force first. `names` are in the
    /// order of the numbers from 1.
    #[must_use]
    pub fn all(sums: &mut Sums, names: &[String], in_force: &[u32]) -> Vec<Self> {
        let name = |number: u32| name_of(names, number, OTHER);
        let mut all = Vec::new();
        for (number, sum, in_force) in sorted(&mut sums.sites, in_force) {
            if let Some(name) = if number == 0 { Some(String::new()) } else { name(number) } {
                all.push(Self { name, in_force, sum });
            }
        }
        all
    }
}

impl Snapshot {
    /// The servers of each pool, in their order.
    pub(super) fn servers_by_pool(&self) -> HashMap<&str, Vec<&ServerNow>> {
        let mut pools: HashMap<&str, Vec<&ServerNow>> = HashMap::new();
        for server in &self.servers {
            pools.entry(&server.pool).or_default().push(server);
        }
        pools
    }
}

impl ServerNow {
    /// Adds those that `sums` know and that are not in force to `in_force`, which come with their
    /// numbers and get their sums.
    #[must_use]
    pub fn all(
        sums: &mut Sums,
        names: &[(String, String)],
        mut in_force: Vec<(u32, Self)>,
    ) -> Vec<Self> {
        let other = (OTHER.to_owned(), OTHER.to_owned());
        // Two names may stand for one address.
        let mut seen = HashSet::new();
        in_force.retain(|(number, server)| seen.insert((*number, server.address.clone())));
        for (number, server) in &mut in_force {
            // What several are counted by together is told once, beside them.
            let own = name_of(names, *number, other.clone());
            if own.is_none_or(|(_, address)| address == server.address) {
                server.sum = sums.servers.remove(number).unwrap_or_default();
            }
        }
        let mut all: Vec<Self> = in_force.into_iter().map(|(_, server)| server).collect();
        for (number, sum) in std::mem::take(&mut sums.servers) {
            if let Some((pool, address)) = name_of(names, number, other.clone()) {
                all.push(Self { pool, address, sum, ..Self::default() });
            }
        }
        all
    }
}

/// The name of a number; what it is called that is shared by all beyond the last.
fn name_of<T: Clone, O: Into<T>>(names: &[T], number: u32, other: O) -> Option<T> {
    let number = number as usize;
    if number == NUMBERS_MAX - 1 && names.len() >= number {
        return Some(other.into());
    }
    number.checked_sub(1).and_then(|place| names.get(place).cloned())
}

fn sorted(sums: &mut BTreeMap<u32, Sum>, in_force: &[u32]) -> Vec<(u32, Sum, bool)> {
    let most = NUMBERS_MAX as u32 - 1;
    let mut all: Vec<(u32, Sum, bool)> = Vec::new();
    for &number in in_force.iter().filter(|number| **number < most) {
        all.push((number, sums.remove(&number).unwrap_or_default(), true));
    }
    all.extend(std::mem::take(sums).into_iter().map(|(number, sum)| (number, sum, false)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(count: u64) -> Sum {
        Sum { classes: [0, 0, count, 0, 0, 0], ..Sum::default() }
    }

    #[test]
    fn sites_in_force_come_first_and_none_is_lost() {
        let sites = BTreeMap::from([(0, sum(9)), (1, sum(1)), (3, sum(3))]);
        let mut sums = Sums { sites, ..Sums::default() };
        let names = ["a", "b", "c"].map(str::to_owned);
        let all = SiteNow::all(&mut sums, &names, &[3, 2]);
        let told: Vec<_> =
            all.iter().map(|it| (it.name.as_str(), it.in_force, it.sum.exchanges())).collect();
        assert_eq!(told, [("c", true, 3), ("b", true, 0), ("", false, 9), ("a", false, 1)]);
    }

    #[test]
    fn what_has_no_number_of_its_own_is_told_once() {
        let most = NUMBERS_MAX as u32 - 1;
        let names: Vec<String> = (0..NUMBERS_MAX + 2).map(|n| format!("s{n}")).collect();
        let sites = BTreeMap::from([(1, sum(1)), (most, sum(7))]);
        let mut sums = Sums { sites, ..Sums::default() };
        let all = SiteNow::all(&mut sums, &names, &[1, most, most + 1]);
        let told: Vec<_> = all.iter().map(|it| (it.name.as_str(), it.sum.exchanges())).collect();
        assert_eq!(told, [("s0", 1), (OTHER, 7)]);
    }

    #[test]
    fn servers_keep_their_counts_when_they_go() {
        let server = |address: &str| ServerNow {
            pool: "p".to_owned(),
            address: address.to_owned(),
            in_flight: Some(0),
            ..ServerNow::default()
        };
        let servers = BTreeMap::from([(1, sum(1)), (2, sum(2))]);
        let mut sums = Sums { servers, ..Sums::default() };
        let names = ["one", "two"].map(|address| ("p".to_owned(), address.to_owned()));
        let all = ServerNow::all(
            &mut sums,
            &names,
            vec![(2, server("two")), (2, server("two")), (3, server("new"))],
        );
        let told: Vec<_> =
            all.iter().map(|it| (it.address.as_str(), it.in_flight, it.sum.exchanges())).collect();
        assert_eq!(told, [("two", Some(0), 2), ("new", Some(0), 0), ("one", None, 1)]);
        // Addresses of a name past those that are told apart.
        let servers = BTreeMap::from([(1, sum(5))]);
        let mut sums = Sums { servers, ..Sums::default() };
        let names = [("p".to_owned(), format!("fe01:443 {OTHER}"))];
        let in_force = ["three", "four"].map(|address| (1, server(address)));
        let all = ServerNow::all(&mut sums, &names, in_force.to_vec());
        let told: Vec<_> = all.iter().map(|it| (it.address.as_str(), it.sum.exchanges())).collect();
        assert_eq!(told, [("three", 0), ("four", 0), ("fe01:443 (other)", 5)]);
    }
}

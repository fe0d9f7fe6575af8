//! Puts Gatehouse beside nginx, HAProxy and a bare relay: the same origin, the same load, the same core, one at a time.
//!
//! What is compared is the proxy's own CPU time per request, since that is what an administrator pays for and what
//! other loads on the machine disturb least. Requests per second are shown too, but the load tool and the origin share
//! one core, so they are a measure of the three together.

mod case;
mod child;
mod cpu;
mod files;
mod log_lines;
mod machine;
mod race;
mod report;
mod stage;
mod table;
mod wrk;

use std::path::{Path, PathBuf};

pub use case::{Case, Peer};
pub use cpu::Cpu;
pub use report::{CaseReport, PeerReport, Ratio, Report, Round};
pub use wrk::Load;

pub(crate) use child::Folder;
pub(crate) use cpu::resident;
pub(crate) use stage::Stage;
pub(crate) use table::Table;

use super::Trouble;
use super::certificate::Fresh;

/// What is to be compared, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cases, one after the other.
    pub cases: Vec<Case>,
    /// The peers of each case.
    pub peers: Vec<Peer>,
    /// Client connections.
    pub connections: usize,
    /// How often each peer is measured.
    pub rounds: usize,
    /// How long each time.
    pub seconds: u64,
    /// The core that the peers run on.
    pub proxy_core: usize,
    /// The core of the load tool and the origin.
    pub load_core: usize,
    /// A folder to leave logs and configurations in.
    pub keep: Option<PathBuf>,
    /// The program of Gatehouse.
    pub gatehouse: PathBuf,
    /// Rules of the larger file in the case `rules`.
    pub rules: usize,
    /// Sites that they are spread over.
    pub sites: usize,
}

/// Compares. `progress` is told what is being done.
pub fn run(settings: &Settings, progress: &mut dyn FnMut(&str)) -> Result<Report, Trouble> {
    settings.check()?;
    raise_file_limit()?;
    let folder = Folder::new(settings.keep.as_deref())?;
    let fresh = Fresh::make()?;
    let mut stage = Stage::new(settings, &fresh, folder.path())?;
    let mut cases = Vec::new();
    for case in &settings.cases {
        cases.push(race::run(&mut stage, *case, progress)?);
    }
    Ok(Report { connections: settings.connections, cases })
}

impl Settings {
    /// Complains about what cannot work before anything is started.
    pub(crate) fn check(&self) -> Result<(), Trouble> {
        if self.proxy_core == self.load_core {
            return Err(Trouble::new(
                "the proxy and the load must not share a core; give two with --cores, such as 0,1",
            ));
        }
        for core in [self.proxy_core, self.load_core] {
            if !Path::new(&format!("/sys/devices/system/cpu/cpu{core}")).exists() {
                return Err(Trouble::new(format!(
                    "this machine has no core {core}; choose two with --cores (see lscpu)"
                )));
            }
        }
        if self.sites == 0 || self.rules < self.sites || !self.rules.is_multiple_of(self.sites) {
            return Err(Trouble::new(format!(
                "{} rules do not spread evenly over {} sites; choose a multiple with --rules",
                self.rules, self.sites
            )));
        }
        if self.rounds == 0 || self.seconds == 0 || self.connections == 0 {
            return Err(Trouble::new(
                "--rounds, --seconds and --connections have to be at least 1",
            ));
        }
        let mut programs = vec!["taskset", "setpriv", "wrk"];
        programs.extend(self.peers.iter().filter_map(|peer| match peer {
            Peer::Nginx | Peer::Haproxy => Some(peer.word()),
            Peer::Gatehouse | Peer::Relay => None,
        }));
        child::find_programs(&programs).map(drop)
    }
}

/// Raises this process's limit of open files, and with it that of the peers, as far as it may.
pub(crate) fn raise_file_limit() -> Result<u64, Trouble> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let what = || "the limit of open files cannot be raised";
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(Trouble::of(what()))?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(Trouble::of(what()))?;
    Ok(hard)
}

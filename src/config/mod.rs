//! What is in force: a Document, judged.
//!
//! [`read`] collects all complaints before it gives up, and returns a [`Config`] that cannot be
//! wrong: nothing downstream checks again. Each part of the file is judged by a file of the same
//! name; what a complaint says stands in `complaint.rs` only.

mod adapter;
mod certificate;
mod complaint;
mod errors;
mod faults;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod include;
mod judge;
mod later;
mod listener;
mod pool;
mod report;
mod rule;
mod settings;
mod site;
mod suggest;
mod unused;
mod value;
mod words;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

pub use crate::pool::settings::Timeouts;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_config;
pub use later::{is_available, is_available_word};
pub use report::{Complaint, Complaints, Severity};
pub use suggest::nearest;

use crate::pool::settings::PoolSettings;
use crate::site::{ErrorPages, ErrorsId, Listener, ListenerId, Site, Table};
use crate::tls::certificate::Certificate;
use include::Gathered;
use judge::Judge;

/// Where the contents of named files come from.
pub trait Source {
    /// The whole of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names of what is in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let _ = folder;
        Err(io::ErrorKind::NotFound.into())
    }

    /// The permission bits of a file, as `chmod` takes them; `None` where files have none.
    fn mode(&self, path: &Path) -> Option<u32> {
        let _ = path;
        None
    }
}

impl<F: Fn(&Path) -> io::Result<Vec<u8>>> Source for F {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self(path)
    }
}

/// What is in force. Whatever holds an id or an index finds it here.
#[derive(Debug)]
pub struct Config {
    /// How many workers.
    pub workers: Workers,
    /// The network adapters in their roles.
    pub adapters: Vec<Adapter>,
    /// By [`ListenerId`].
    pub listeners: Vec<Listener>,
    /// By the indices that Listeners and Sites hold.
    pub certificates: Vec<Certificate>,
    /// By `PoolId`.
    pub pools: Vec<PoolSettings>,
    /// Sites and Rules, compiled.
    pub table: Table,
    /// The global ones: for what belongs to no Site and no Pool.
    pub timeouts: Timeouts,
    /// What is refused.
    pub limits: Limits,
    /// What is logged.
    pub log: Log,
    /// Names that need no resolver; lower case.
    pub hosts: HashMap<String, Vec<IpAddr>>,
    /// Servers to ask for names, in this order; empty: the system's.
    pub resolvers: Vec<SocketAddr>,
    /// The admin plane, as data for the control thread.
    pub admin: Admin,
    /// The operator's files that this was read from: the main one and those that it includes.
    pub documents: Vec<PathBuf>,
    /// Error answers in the operator's words, by [`ErrorsId`]; the first are the global ones.
    pub errors: Vec<ErrorPages>,
}

/// No head has more fields than this, whatever the operator would like.
pub const FIELDS_MOST: u64 = 256;

/// How many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per allowed core.
    Auto,
    /// This many.
    Count(u16),
}

/// A network adapter in its role.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Its name in the file.
    pub role: Role,
    /// The kernel's name for it.
    pub interface: Option<String>,
    /// Its hardware address, as written.
    pub mac: Option<String>,
    /// Its addresses; those with a prefix length are configured by the appliance.
    pub addresses: Vec<(IpAddr, Option<u8>)>,
    /// Where everything else goes.
    pub gateway: Option<IpAddr>,
    /// Networks behind routers.
    pub routes: Vec<Route>,
}

/// What an adapter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Faces the Internet.
    External,
    /// Faces the company.
    Internal,
    /// For administration only.
    Management,
}

/// A network behind a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network and the length of its prefix.
    pub network: (IpAddr, u8),
    /// The router.
    pub via: IpAddr,
}

/// What is refused. `None` stands for `"auto"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Client connections over all workers.
    pub clients_max: Option<u32>,
    /// Client connections of one address, over all workers.
    pub clients_per_address_max: u32,
    /// TLS handshakes under way, over all workers.
    pub handshakes_max: u32,
    /// Budget for all buffers.
    pub memory_max: Option<u64>,
    /// Bytes per second while a body is due; 0: any rate will do.
    pub client_rate_min: u64,
    /// Where a Site says nothing else.
    pub exchange: crate::site::Limits,
    /// The largest that any Site allows: what has to be taken in before the Site is known.
    pub largest: crate::site::Limits,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where access records go; empty: nowhere.
    pub access: Vec<Access>,
    /// Whether queries are logged, or only how long they are.
    pub keep_query: bool,
    /// When a file is moved aside: its bytes, and how many older ones are kept; with 0 it is
    /// emptied instead.
    pub rotate: (u64, u32),
}

/// Where access records go, and how they look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// How they look.
    pub format: AccessFormat,
    /// Where they go.
    pub to: AccessTarget,
}

/// How access records look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// One JSON object a line.
    Json,
    /// The combined format of Apache and others.
    Combined,
}

/// Where access records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessTarget {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
    /// systemd-journald, by the socket of its own protocol.
    Journald(PathBuf),
    /// A syslog daemon of this machine, by its socket.
    Syslog(PathBuf),
}

/// `[admin]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The local socket.
    pub socket: PathBuf,
    /// Metrics and health by HTTP, if they are to be had.
    pub page: Option<AdminPage>,
}

/// Where metrics and health are served by HTTP: never on the external adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminPage {
    /// The adapter's addresses.
    pub addresses: Vec<IpAddr>,
    /// The device that the sockets are bound to.
    pub interface: Option<String>,
    /// The port.
    pub port: u16,
}

/// Reads the operator's file `main` and the files that it names. `now` is in seconds since 1970:
/// certificates are judged by it. What comes with the Config is warnings only.
pub fn read(
    main: &Path,
    source: &dyn Source,
    now: i64,
) -> Result<(Config, Complaints), Complaints> {
    let Gathered { files, document, faults, torn } = include::gather(main, source)?;
    if torn {
        return Err(faults.into_complaints(&files));
    }
    let mut judge = Judge::new(&document, &files, source, now, faults);
    let config = judge.config();
    let refused = judge.faults.refuse();
    let complaints = judge.faults.into_complaints(&files);
    if refused { Err(complaints) } else { Ok((config, complaints)) }
}

impl Config {
    /// Error answers in the operator's words.
    pub fn errors(&self, id: ErrorsId) -> &ErrorPages {
        &self.errors[id.0 as usize]
    }

    /// The certificates that a Site may be seen with on a Listener: a request for it on a connection
    /// that was given another one is answered with 421.
    pub fn site_certificates<'c>(&'c self, site: &'c Site, listener: ListenerId) -> &'c [usize] {
        if !site.certificates.is_empty() {
            return &site.certificates;
        }
        self.listeners.get(listener.0 as usize).map_or(&[], |listener| &listener.certificates)
    }
}

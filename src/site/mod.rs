//! Listener, Site, Rule and Action, and the table that finds them for a request.

mod admission;
mod cells;
mod errors;
#[cfg(any(test, fuzzing))]
mod fuzz;
pub mod host;
mod log_in_guard;
pub mod path;
mod table;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::pool::settings::{PoolId, Timeouts};

pub use admission::{Admission, Prefix, PrefixFault};
pub use errors::{ErrorPage, ErrorPages, ErrorsId};
#[cfg(any(test, fuzzing))]
pub use fuzz::{fuzz_host, fuzz_path, fuzz_rule};
pub use log_in_guard::{
    Guess, Locked, LogInGuard, LogIns, Pending, Place, USER_REFUSED_MOST, Verdict,
};
pub use path::PathFault;
pub use table::{Brief, Found, Names, RedirectDraft, RuleDraft, SiteDraft, Table, TermsId};

/// Names a Listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u32);

/// Names a Site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub u32);

/// Names a Rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u32);

/// An address and port accepted on, at one adapter.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Which one.
    pub id: ListenerId,
    /// Its name in the file.
    pub name: String,
    /// The device that its sockets are bound to.
    pub interface: Option<String>,
    /// The adapter's addresses.
    pub addresses: Vec<IpAddr>,
    /// The port that is accepted on.
    pub port: u16,
    /// The port that clients see.
    pub published_port: u16,
    /// Whether clients speak TLS here.
    pub tls: bool,
    /// Whether they may choose cipher suites of Windows before 10.
    pub old_suites: bool,
    /// For clients that send no server name: indices into `Config::certificates`.
    pub certificates: Vec<usize>,
}

/// The public names of one published application.
#[derive(Clone, Debug)]
pub struct Site {
    /// Which one.
    pub id: SiteId,
    /// Its name in the file.
    pub name: String,
    /// Its public names, lower case.
    pub names: Vec<String>,
    /// Where they are accepted.
    pub listeners: Vec<ListenerId>,
    /// Its own certificates, as indices into `Config::certificates`; empty: those of the Listener.
    pub certificates: Vec<usize>,
    /// Whether paths are judged.
    pub path_check: PathCheck,
    /// What becomes of forwarded-like fields of clients.
    pub forwarded: Forwarded,
    /// Which clients it is for.
    pub admission: Admission,
    /// Who may try passwords, if that is bounded.
    pub log_in_guard: Option<LogInGuard>,
    /// What is refused once the Site is known.
    pub limits: Limits,
    /// The Site's own, else the global ones.
    pub timeouts: Timeouts,
    /// How failures look.
    pub errors: ErrorsId,
}

/// `path_check`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathCheck {
    /// A path that servers could read in two ways is refused.
    Strict,
    /// Paths are not looked at (Office Web Apps).
    Raw,
}

/// `forwarded`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forwarded {
    /// Fields of clients are dropped, none are added.
    Drop,
    /// Fields of clients are dropped, ours are sent.
    Replace,
    /// Ours are appended to those of clients.
    Append,
    /// Fields of clients are passed on as they are.
    Pass,
}

/// What is refused once the Site is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Start line and fields together.
    pub head_bytes_max: u32,
    /// One field.
    pub field_bytes_max: u32,
    /// The request target.
    pub target_bytes_max: u32,
    /// How many fields.
    pub fields_max: u32,
    /// A request body; `None` is without limit.
    pub body_bytes_max: Option<u64>,
}

/// A match and an Action. One cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Rule {
    /// Which one.
    pub id: RuleId,
    /// Its name in the file, else its path.
    pub name: String,
    /// What is done.
    pub action: Action,
    /// What holds for an Exchange under this Rule; shared by all with the same.
    pub terms: Arc<Terms>,
}

/// What holds for an Exchange, whatever its Rule does. Equal terms are one object, so that they are
/// in the nearest cache when a request comes, however many Rules there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Pool before Site before global.
    pub timeouts: Timeouts,
    /// The Site's.
    pub limits: Limits,
    /// The Site's.
    pub forwarded: Forwarded,
    /// The Site's `admission` has to be asked: it is not for everybody.
    pub guarded: bool,
    /// The Site's.
    pub log_in_guard: Option<LogInGuard>,
    /// The Site's.
    pub errors: ErrorsId,
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It goes to a Server of this Pool.
    Forward(PoolId),
    /// The client is sent elsewhere.
    Redirect {
        /// The status; `None`: 301 to GET and HEAD, else 307, which keeps method and body.
        status: Option<u16>,
        /// The whole of the `Location` field.
        location: Box<str>,
    },
    /// The client is sent to the same target by https: 301 to GET and HEAD, else 307.
    RedirectToHttps {
        /// The port that clients see; 443 is not to be written out.
        port: u16,
    },
    /// A fixed answer.
    Respond(Box<Answer>),
    /// An error answer with this status.
    Refuse(u16),
}

/// A fixed answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
    /// The `Content-Type` field.
    pub content_type: String,
}

const _: () = assert!(size_of::<Rule>() == 64);

//! What the doctor has found at one address. Plain values; what follows from them is in `advice.rs`.

use std::net::SocketAddr;

use crate::pool::settings::Profile;
use crate::tls::chain::Finding;
use crate::tls::survey::{Distrust, Kind, Paper, Version};

/// Who was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The pool's name in the file; for a server that is in none, a name to begin with.
    pub pool: String,
    /// The server as the file calls it, or as it was asked for.
    pub server: String,
    /// Where it was looked for.
    pub address: SocketAddr,
    /// What the file says of it; `None`: it is in no pool.
    pub file: Option<FileSays>,
    /// The name that its certificate has to carry.
    pub name: String,
}

/// What the file says about TLS to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSays {
    /// There is a `[pool.NAME.tls]`.
    pub tls: bool,
    /// Its profile.
    pub profile: Profile,
    /// It has pins.
    pub pins: bool,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Who was looked at.
    pub subject: Subject,
    /// Whether there is anybody.
    pub reach: Reach,
    /// What is spoken there.
    pub speaks: Speaks,
    /// Of each version that was asked for, the newest first: taken, or why not.
    pub versions: Vec<(Version, Result<(), String>)>,
    /// Of each kind that was asked for: the suites that were taken.
    pub kinds: Vec<(Kind, Vec<u16>)>,
    /// What it chose above TLS where it could choose HTTP/2 and HTTP/1.1.
    pub protocol: Option<String>,
    /// The signature of its fresh key, as TLS numbers them.
    pub scheme: Option<u16>,
    /// The curve of its fresh key.
    pub curve: Option<u16>,
    /// It would like a certificate of ours.
    pub asks_certificate: bool,
    /// Of each profile: a handshake as connections make it succeeded, or why not.
    pub handshakes: Vec<(Profile, Result<(), String>)>,
    /// Sessions are taken up again; `None`: it was not tried.
    pub resumes: Option<bool>,
    /// The certificates that it shows, its own first.
    pub chain: Vec<Paper>,
    /// What is wrong with them at this moment.
    pub faults: Vec<Finding>,
    /// Whether its certificate is for the name.
    pub name_fits: bool,
    /// Whether what stands in the file trusts it; `None`: nothing stands there.
    pub file_trusts: Option<Result<(), Distrust>>,
    /// Whether the system's authorities trust it.
    pub system_trusts: Result<(), Distrust>,
    /// What it answers to a request, or why there is no answer; `None`: it was not asked.
    pub web: Option<Result<Web, String>>,
}

/// Whether there is anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A connection stands.
    Open,
    /// Nobody listens on the port.
    Refused,
    /// Nobody answers.
    Silent,
    /// There is no way, or none from this adapter.
    NoWay(String),
}

/// What is spoken on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// TLS.
    Tls,
    /// HTTP without TLS.
    Http,
    /// Something else, which begins so.
    Other(String),
    /// Nothing, to a greeting of TLS or to a request.
    Nothing,
}

/// What a server answers to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Web {
    /// The Host of the request.
    pub host: String,
    /// The status.
    pub status: u16,
    /// The schemes of its challenges, in its order.
    pub schemes: Vec<String>,
    /// What it says that it is; may be empty.
    pub software: String,
}

impl Findings {
    /// Nothing was found yet.
    #[must_use]
    pub fn none(subject: Subject) -> Self {
        Self {
            subject,
            reach: Reach::Open,
            speaks: Speaks::Nothing,
            versions: Vec::new(),
            kinds: Vec::new(),
            protocol: None,
            scheme: None,
            curve: None,
            asks_certificate: false,
            handshakes: Vec::new(),
            resumes: None,
            chain: Vec::new(),
            faults: Vec::new(),
            name_fits: false,
            file_trusts: None,
            system_trusts: Err(Distrust::UnknownIssuer),
            web: None,
        }
    }

    /// Whether it takes a version.
    #[must_use]
    pub fn takes(&self, version: Version) -> bool {
        self.versions.iter().any(|(one, taken)| *one == version && taken.is_ok())
    }

    /// The suites of a kind that it takes.
    #[must_use]
    pub fn suites(&self, kind: Kind) -> &[u16] {
        self.kinds.iter().find(|(one, _)| *one == kind).map_or(&[], |(_, suites)| suites)
    }
}

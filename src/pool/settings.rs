//! What the operator decided about a Pool. Plain values that cannot be wrong any more.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::CertificateDer;

/// Names a Pool for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u32);

/// One `[pool.NAME]`.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// Which one.
    pub id: PoolId,
    /// Its name in the file.
    pub name: String,
    /// The device that upstream sockets are bound to.
    pub interface: Option<String>,
    /// The adapter's addresses, to bind upstream sockets to; empty: the system chooses.
    pub source: Vec<IpAddr>,
    /// Servers, then those used when none of them is up.
    pub servers: Vec<ServerSettings>,
    /// How one is picked.
    pub balance: Balance,
    /// Idle upstream connections per worker and key.
    pub idle_max: u32,
    /// How upstream TLS is spoken, if it is.
    pub tls: Option<UpstreamTls>,
    /// How its servers are looked at, if they are.
    pub probe: Option<ProbeSettings>,
    /// The pool's own, else the global ones: for what belongs to no Site, such as idle connections.
    /// An Exchange takes those of its Rule.
    pub timeouts: Timeouts,
}

/// One entry of `servers` or `backup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Where it is.
    pub address: ServerAddress,
    /// As written, for people.
    pub text: String,
    /// Its share of the load, from 1.
    pub weight: u32,
    /// Whether it is used only when no other server is up.
    pub backup: bool,
}

/// Where a Server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An address literal.
    Socket(SocketAddr),
    /// A name that has to be resolved; lower case, without a final dot.
    Name {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

/// How a Server is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// One after the other, by weight.
    RoundRobin,
    /// The one with the fewest Exchanges in flight for its weight.
    LeastLoaded,
}

/// `[pool.NAME.probe]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// What a server is asked.
    pub ask: Ask,
    /// From one probe of a server to its next, about.
    pub every: Duration,
    /// How long one may take; no longer than `every`.
    pub timeout: Duration,
    /// Probes in a row that must fail before a server is down.
    pub fall: u8,
    /// And pass before it is up again.
    pub rise: u8,
    /// Servers that are down are asked when no other is left.
    pub try_all: bool,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// It connects as requests do, with TLS if the pool has it, and no more.
    Connection,
    /// It connects to another port.
    Tcp(u16),
    /// It sends GET as requests are sent.
    Http {
        /// The path, with its query.
        path: String,
        /// The Host; `None`: the server's own name.
        host: Option<String>,
        /// The status of the answer.
        expect: u16,
    },
}

/// `[pool.NAME.tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who may vouch for the server.
    pub ca: Trust,
    /// The name that its certificate has to carry.
    pub server_name: ServerName,
    /// The name sent in the client hello.
    pub sni: Sni,
    /// SHA-256 of acceptable public keys; if any, they replace the chain and keep the name.
    pub pin_sha256: Vec<[u8; 32]>,
    /// The versions and cipher suites offered.
    pub profile: Profile,
    /// Of all of the above: connections and TLS sessions are shared only where it is equal.
    pub fingerprint: u64,
}

/// Who may vouch for a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The operating system's list of authorities.
    System,
    /// These authorities; a server certificate that is itself among them is trusted too.
    Certificates(Vec<CertificateDer<'static>>),
}

/// The name that a server's certificate has to carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerName {
    /// The server's own name or address, as in `servers`.
    Same,
    /// The Host of the request.
    Host,
    /// This one.
    Fixed(String),
}

/// The name sent in the client hello.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Sni {
    /// The name that is verified.
    Same,
    /// None is sent.
    None,
    /// This one.
    Name(String),
}

/// Versions and cipher suites offered to servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    /// TLS 1.3 and 1.2.
    Modern,
    /// TLS 1.2 only, with a small client hello.
    Tls12,
    /// TLS 1.2 only, and behind its modern cipher suites those of Windows Server before 2016.
    Windows2012R2 {
        /// ECDHE-RSA-AES256-SHA384 too.
        sha384: bool,
    },
}

/// How long things may take, by their names in the file.
#[expect(missing_docs, reason = "the fields are the keys of the file")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    pub handshake: Duration,
    pub client_head: Duration,
    pub client_idle: Duration,
    pub client_body_idle: Duration,
    pub client_write_idle: Duration,
    pub connect: Duration,
    pub response_head: Duration,
    pub response_body_idle: Duration,
    pub tunnel_idle: Duration,
    pub upstream_idle: Duration,
    pub tcp_keepalive: Duration,
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            client_head: Duration::from_secs(10),
            client_idle: Duration::from_secs(120),
            client_body_idle: Duration::from_secs(60),
            client_write_idle: Duration::from_secs(60),
            connect: Duration::from_secs(5),
            // Lync holds polls for up to 1800 s.
            response_head: Duration::from_secs(1860),
            response_body_idle: Duration::from_secs(1860),
            tunnel_idle: Duration::from_secs(1860),
            // IIS closes at 120 s.
            upstream_idle: Duration::from_secs(100),
            tcp_keepalive: Duration::from_secs(120),
            drain: Duration::from_secs(30),
        }
    }
}

impl UpstreamTls {
    /// Fills the fingerprint in.
    pub fn sealed(mut self) -> Self {
        // Not `default()`: the same table has the same fingerprint after a hand-over to a new binary.
        let mut hasher = std::hash::BuildHasher::build_hasher(
            &foldhash::quality::FixedState::with_seed(0x6761_7465_686f_7573),
        );
        self.ca.hash(&mut hasher);
        self.server_name.hash(&mut hasher);
        self.sni.hash(&mut hasher);
        self.pin_sha256.hash(&mut hasher);
        self.profile.hash(&mut hasher);
        self.fingerprint = hasher.finish();
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(server_name: &str, sni: Sni) -> u64 {
        let server_name = ServerName::Fixed(server_name.to_string());
        let (ca, profile) = (Trust::System, Profile::Modern);
        let tls = UpstreamTls { ca, server_name, sni, pin_sha256: vec![], profile, fingerprint: 0 };
        tls.sealed().fingerprint
    }

    #[test]
    fn fingerprint_is_of_the_whole_table() {
        assert_eq!(tls("a", Sni::Same), tls("a", Sni::Same));
        assert_ne!(tls("a", Sni::Same), tls("b", Sni::Same));
        assert_ne!(tls("a", Sni::Same), tls("a", Sni::None));
        assert_ne!(tls("a", Sni::Name("b".into())), tls("a", Sni::Name("c".into())));
    }
}

//! The side that clients see: which certificate a server name gets, and the handshake's start.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::server::{
    Acceptor, ClientHello, NoServerSessionStorage, ResolvesServerCert, StoresServerSessions,
    UnbufferedServerConnection,
};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ServerConfig, SignatureAlgorithm};

use super::hello::Hello;
use super::profile::{ListenerProfile, is_chacha20};
use super::tickets::{Sessions, TicketSecrets, Ticketer};
use super::{Session, TlsFault};

/// Most bytes of a client's greeting; more is refused before anything is believed.
const GREETING_BYTES_MAX: usize = 16 * 1024;

/// The record of a fatal alert `unrecognized_name` (RFC 6066 section 3), before any keys.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The record of a fatal alert `protocol_version` (RFC 5246 section 7.2.2), before any keys.
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 1, 0, 2, 2, 70];

/// Sessions of clients without tickets that are remembered for one set of certificates, about 300
/// bytes each; the oldest go first.
const SESSIONS_MAX: usize = 4096;

/// The number of a set of certificates: two sites with the same number may share a connection.
pub type Presented = u32;

/// A set of certificates for the same names, and what a client gets that asks for one of them.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number, chosen by the caller.
    pub presented: Presented,
    config: Arc<ServerConfig>,
    /// The same with ChaCha20 in front, for clients that have it there: they have no AES in hardware.
    chacha20_first: Arc<ServerConfig>,
}

impl Identity {
    /// Clients get the first of `keys` whose kind they can check, ECDSA before RSA.
    ///
    /// # Errors
    /// The library refuses the combination; a sentence why.
    pub fn new(
        presented: Presented,
        mut keys: Vec<Arc<CertifiedKey>>,
        profile: ListenerProfile,
        secrets: &Arc<TicketSecrets>,
    ) -> Result<Self, String> {
        keys.sort_by_key(|key| key.key.algorithm() == SignatureAlgorithm::RSA);
        let identity = fingerprint(&keys);
        let keys = Arc::new(ByAlgorithm(keys));
        let ticketer = Arc::new(Ticketer { secrets: Arc::clone(secrets), identity });
        // Windows 7 and IE on it know no tickets (RFC 5077), only numbers of sessions, which have to be
        // remembered here.
        let sessions: Arc<dyn StoresServerSessions> = match profile {
            ListenerProfile::Modern => Arc::new(NoServerSessionStorage {}),
            ListenerProfile::Windows7 => Sessions::new(SESSIONS_MAX, secrets),
        };
        let config = |provider| {
            let builder = ServerConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions();
            let builder = builder.map_err(|error| error.to_string())?.with_no_client_auth();
            let mut config = builder.with_cert_resolver(Arc::clone(&keys) as _);
            // Old clients name their version too, and would be refused if none of theirs were here.
            config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
            config.ticketer = Arc::clone(&ticketer) as _;
            // One ticket serves the next connection; each more costs a write per handshake.
            config.send_tls13_tickets = 1;
            config.session_storage = Arc::clone(&sessions);
            // The order is ours: old clients put their old suites first.
            config.ignore_client_order = true;
            Ok::<_, String>(Arc::new(config))
        };
        let chacha20_first = config(profile.chacha20_first())?;
        Ok(Self { presented, config: config(profile.provider())?, chacha20_first })
    }

    /// What a client gets that offers these suites, the one it likes best first.
    fn config(&self, offered: &[CipherSuite]) -> &Arc<ServerConfig> {
        let ours = &self.config.crypto_provider().cipher_suites;
        let mut known = offered.iter().filter(|it| ours.iter().any(|one| one.suite() == **it));
        match known.next() {
            Some(first) if is_chacha20(*first) => &self.chacha20_first,
            _ => &self.config,
        }
    }
}

fn fingerprint(keys: &[Arc<CertifiedKey>]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for certificate in keys.iter().filter_map(|key| key.cert.first()) {
        hash.update(&u64::try_from(certificate.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(certificate);
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(hash.finish().as_ref());
    fingerprint
}

#[derive(Debug)]
struct ByAlgorithm(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByAlgorithm {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fitting = self.0.iter().find(|key| key.key.choose_scheme(schemes).is_some());
        fitting.or(self.0.first()).cloned()
    }
}

/// The certificates of one listener by server name.
#[derive(Clone, Default)]
pub struct Terminator {
    exact: HashMap<String, Identity>,
    /// By what follows the first label, with its dot.
    wildcard: HashMap<String, Identity>,
    default: Option<Identity>,
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").field("names", &self.exact.len()).finish_non_exhaustive()
    }
}

/// How a handshake begins, once the client's greeting is whole.
#[derive(Debug)]
pub struct Greeting {
    /// The session to go on with; it has to be given the same bytes from their start.
    pub session: Session,
    /// Which certificates the client is shown.
    pub presented: Presented,
    /// The server name that it asks for, lower case.
    pub name: Option<String>,
}

impl Terminator {
    /// `name` (lower case; `*.` before a wildcard's rest) is answered with `identity`.
    pub fn add(&mut self, name: &str, identity: &Identity) {
        match name.strip_prefix('*') {
            Some(rest) => self.wildcard.insert(rest.to_owned(), identity.clone()),
            None => self.exact.insert(name.to_owned(), identity.clone()),
        };
    }

    /// What clients get that send no name, or one that is not known.
    pub fn set_default(&mut self, identity: Identity) {
        self.default = Some(identity);
    }

    fn find(&self, name: Option<&str>) -> Option<&Identity> {
        let known = name.and_then(|name| {
            let rest = || name.find('.').and_then(|dot| name.get(dot..));
            self.exact.get(name).or_else(|| self.wildcard.get(rest()?))
        });
        known.or(self.default.as_ref())
    }

    /// Reads the client's greeting from everything that came so far; `None` if more has to come.
    ///
    /// # Errors
    /// It is no greeting, or nothing can be shown to this client; `output` gets the alert.
    pub fn greet(
        &self,
        incoming: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<Greeting>, TlsFault> {
        let mut acceptor = Acceptor::default();
        let mut rest = incoming;
        while !rest.is_empty() {
            let read = acceptor.read_tls(&mut rest);
            if read.is_err() {
                return Err(TlsFault(rustls::Error::General("greeting too long".to_owned())));
            }
        }
        let accepted = match acceptor.accept() {
            Ok(Some(accepted)) => accepted,
            Ok(None) if incoming.len() > GREETING_BYTES_MAX => {
                return Err(TlsFault(rustls::Error::General("greeting too long".to_owned())));
            }
            Ok(None) => return Ok(None),
            Err((error, mut alert)) => {
                match Hello::read(incoming) {
                    // The library stumbles over something else first.
                    Some(hello) if hello.is_too_old() => {
                        output.extend_from_slice(&PROTOCOL_VERSION);
                    }
                    // Writing into memory cannot fail.
                    _ => drop(alert.write_all(output)),
                }
                return Err(TlsFault(error));
            }
        };
        let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
        let Some(identity) = self.find(name.as_deref()) else {
            output.extend_from_slice(&UNRECOGNIZED_NAME);
            return Err(TlsFault(rustls::Error::General("no certificate to show".to_owned())));
        };
        let config = identity.config(accepted.client_hello().cipher_suites());
        let connection = UnbufferedServerConnection::new(Arc::clone(config));
        let session = Session::server(connection.map_err(TlsFault)?);
        Ok(Some(Greeting { session, presented: identity.presented, name }))
    }
}

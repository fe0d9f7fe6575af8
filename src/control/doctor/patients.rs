//! From what the operator typed, a pool or a server, to the addresses that are examined, each by the
//! way that the pool's connections take.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use crate::config::{Config, Role, nearest};
use crate::net::Dial;
use crate::pool::settings::{
    Balance, PoolId, PoolSettings, Profile, ServerAddress, ServerName, ServerSettings, Sni, Trust,
    UpstreamTls,
};
use crate::site::Action;
use crate::site::host::canonical_name;
use crate::tls::Authorities;

use super::findings::{FileSays, Subject};
use super::look::Patient;
use crate::control::resolver::Resolver;

/// How long names are waited for.
const NAMES_WAIT: Duration = Duration::from_secs(8);

/// Why nobody can be examined: a sentence for the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There is no such pool, and it is no server either.
    Nobody(String),
    /// TLS cannot be set up by the file.
    File(String),
}

/// Whom to examine.
#[derive(Debug)]
pub struct Found {
    /// The pool's name in the file, or one to begin with.
    pub pool: String,
    /// It is in the file.
    pub in_file: bool,
    /// The keys that the file knows its servers by.
    pub pins: Vec<[u8; 32]>,
    /// The pool in the file has servers beside the one that is meant.
    pub others: bool,
    /// One for each address of each server.
    pub patients: Vec<Patient>,
    /// Servers whose names have no address, and what to do.
    pub nameless: Vec<(String, String)>,
}

/// Whom `what` means: a pool of `config`, or `HOST:PORT`. Names are asked for as `config` says.
///
/// # Errors
/// Nobody is meant.
pub fn patients(config: Option<Config>, what: &str) -> Result<Found, Unknown> {
    let in_file = config.as_ref().and_then(|config| pool_in_file(config, what));
    let known = in_file.is_some();
    let pool = match in_file {
        Some(pool) => pool,
        None => new_pool(config.as_ref(), what)?,
    };
    let site = config.as_ref().filter(|_| known).and_then(|config| site_name(config, pool.id));
    let (system, authorities) = trusted(&pool)?;
    let whole = config.as_ref().and_then(|it| it.pools.iter().find(|one| one.id == pool.id));
    let others = whole.is_some_and(|whole| whole.servers.len() > pool.servers.len());
    let places = places(config, &pool);
    let mut found = Found {
        pool: pool.name.clone(),
        in_file: known,
        pins: pool.tls.as_ref().map_or_else(Vec::new, |tls| tls.pin_sha256.clone()),
        others,
        patients: vec![],
        nameless: vec![],
    };
    for (server, addresses) in pool.servers.iter().zip(places) {
        match addresses {
            Ok(addresses) => found.patients.extend(addresses.into_iter().map(|address| {
                let from = pool.source.iter().find(|from| from.is_ipv4() == address.is_ipv4());
                let dial = Dial {
                    to: address,
                    from: from.copied(),
                    interface: pool.interface.clone(),
                    keepalive: Duration::ZERO,
                };
                let patient = Patient::new(&pool, &server.text, dial, site.as_deref());
                let subject = match known {
                    true => patient.subject,
                    false => Subject { file: None, ..patient.subject },
                };
                Patient {
                    subject,
                    authorities: authorities.clone(),
                    system: system.clone(),
                    ..patient
                }
            })),
            Err(why) => found.nameless.push((server.text.clone(), why)),
        }
    }
    Ok(found)
}

impl Patient {
    /// A server of a pool at one address; `site` is a name that clients ask for. Nobody is trusted.
    #[must_use]
    pub fn new(pool: &PoolSettings, server: &str, dial: Dial, site: Option<&str>) -> Self {
        let own = host_of(server).to_owned();
        let site = site.map(str::to_owned);
        let (name, host) = match pool.tls.as_ref().map(|tls| &tls.server_name) {
            Some(ServerName::Fixed(name)) => (name.clone(), site.unwrap_or_else(|| name.clone())),
            Some(ServerName::Host) => {
                let name = site.unwrap_or_else(|| own.clone());
                (name.clone(), name)
            }
            _ => (own.clone(), site.unwrap_or(own)),
        };
        let file = FileSays {
            tls: pool.tls.is_some(),
            profile: pool.tls.as_ref().map_or(Profile::Modern, |tls| tls.profile),
            pins: pool.tls.as_ref().is_some_and(|tls| !tls.pin_sha256.is_empty()),
        };
        Self {
            subject: Subject {
                pool: pool.name.clone(),
                server: server.to_owned(),
                address: dial.to,
                file: Some(file),
                name,
            },
            dial,
            tls: pool.tls.clone().unwrap_or_else(usual_tls),
            authorities: None,
            system: Authorities::default(),
            host,
        }
    }
}

fn usual_tls() -> UpstreamTls {
    let (ca, server_name, sni) = (Trust::System, ServerName::Same, Sni::Same);
    let (pin_sha256, profile) = (Vec::new(), Profile::Modern);
    UpstreamTls { ca, server_name, sni, pin_sha256, profile, fingerprint: 0 }
}

fn host_of(server: &str) -> &str {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// The pool of that name, or the one that has the server, with this server alone.
fn pool_in_file(config: &Config, what: &str) -> Option<PoolSettings> {
    if let Some(pool) = config.pools.iter().find(|pool| pool.name == what) {
        return Some(pool.clone());
    }
    let address = address(what)?;
    let has = |pool: &&PoolSettings| pool.servers.iter().any(|server| server.address == address);
    let mut pool = config.pools.iter().find(has)?.clone();
    pool.servers.retain(|server| server.address == address);
    Some(pool)
}

fn address(what: &str) -> Option<ServerAddress> {
    if let Ok(address) = what.parse::<SocketAddr>() {
        return Some(ServerAddress::Socket(address));
    }
    let (host, port) = what.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = canonical_name(host).ok().filter(|host| !host.starts_with(['*', '[']))?;
    Some(ServerAddress::Name { host, port })
}

/// A pool for a server that is in none: it is reached from the internal adapter.
fn new_pool(config: Option<&Config>, what: &str) -> Result<PoolSettings, Unknown> {
    let Some(address) = address(what) else { return Err(nobody(config, what)) };
    let internal = config
        .and_then(|config| config.adapters.iter().find(|adapter| adapter.role == Role::Internal));
    let name = match &address {
        ServerAddress::Name { host, .. } => host.split('.').next().unwrap_or("new").to_owned(),
        ServerAddress::Socket(_) => "new".to_owned(),
    };
    Ok(PoolSettings {
        id: PoolId(u32::MAX),
        name,
        interface: internal.and_then(|adapter| adapter.interface.clone()),
        source: internal.map_or_else(Vec::new, |adapter| {
            adapter.addresses.iter().map(|(address, _)| *address).collect()
        }),
        servers: vec![ServerSettings { address, text: what.to_owned(), weight: 1, backup: false }],
        balance: Balance::LeastLoaded,
        idle_max: 0,
        tls: None,
        probe: None,
        timeouts: crate::config::Timeouts::default(),
    })
}

fn nobody(config: Option<&Config>, what: &str) -> Unknown {
    let Some(config) = config else {
        return Unknown::Nobody(format!(
            "`{what}` is no server, such as fe01.contoso.local:443; to examine a pool, --config FILE has to say which file it is in"
        ));
    };
    let names = || config.pools.iter().map(|pool| pool.name.as_str());
    let meant = nearest(what, names()).map(|name| format!("; did you mean `{name}`?"));
    let all: Vec<&str> = names().collect();
    Unknown::Nobody(format!(
        "`{what}` is neither a pool nor a server, such as fe01.contoso.local:443{}; pools: {}",
        meant.unwrap_or_default(),
        all.join(", ")
    ))
}

/// A name that clients ask for when they are sent to a pool.
pub(in crate::control) fn site_name(config: &Config, pool: PoolId) -> Option<String> {
    let leads_there = |action: &Action| matches!(action, Action::Forward(to) if *to == pool);
    let sites = config.table.sites().iter();
    let mut sites = sites
        .filter(|site| config.table.rules_of(site.id).iter().any(|rule| leads_there(&rule.action)));
    sites.find_map(|site| site.names.iter().find(|name| !name.starts_with('*')).cloned())
}

/// Whom the system trusts, and whom the pool does.
fn trusted(pool: &PoolSettings) -> Result<(Authorities, Option<Authorities>), Unknown> {
    // A box without a list trusts nobody by it.
    let system = Authorities::system().unwrap_or_default();
    let file = match &pool.tls {
        None => None,
        Some(tls) if !tls.pin_sha256.is_empty() => Some(Authorities::default()),
        Some(UpstreamTls { ca: Trust::System, .. }) => Some(system.clone()),
        Some(UpstreamTls { ca: Trust::Certificates(these), .. }) => {
            Some(Authorities::these(these).map_err(|why| {
                Unknown::File(format!("pool {}: TLS cannot be set up: {why}", pool.name))
            })?)
        }
    };
    Ok((system, file))
}

/// For each server of the pool: its addresses, or why it has none.
fn places(config: Option<Config>, pool: &PoolSettings) -> Vec<Result<Vec<SocketAddr>, String>> {
    let Some(mut config) = config else {
        return pool.servers.iter().map(|server| by_system(&server.address)).collect();
    };
    // Only these names are asked for.
    config.pools = vec![pool.clone()];
    let mut resolver = Resolver::new(None);
    if let Err(why) = resolver.want(&config, None) {
        return pool.servers.iter().map(|_| Err(why.clone())).collect();
    }
    resolver.wait(NAMES_WAIT, &mut || false);
    let asked = resolver.addresses();
    let place = |server: &ServerSettings| match &server.address {
        ServerAddress::Socket(address) => Ok(vec![*address]),
        ServerAddress::Name { host, port } => {
            match config.hosts.get(host).or_else(|| asked.get(host)) {
                Some(addresses) => Ok(with_port(addresses, *port)),
                None => Err(has_no_address(host, config.resolvers.first())),
            }
        }
    };
    pool.servers.iter().map(place).collect()
}

fn with_port(addresses: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
}

fn by_system(address: &ServerAddress) -> Result<Vec<SocketAddr>, String> {
    match address {
        ServerAddress::Socket(address) => Ok(vec![*address]),
        ServerAddress::Name { host, port } => match (host.as_str(), *port).to_socket_addrs() {
            Ok(found) => {
                let mut addresses: Vec<SocketAddr> = found.collect();
                addresses.dedup();
                Ok(addresses)
            }
            Err(_) => Err(has_no_address(host, None)),
        },
    }
}

fn has_no_address(host: &str, server: Option<&SocketAddr>) -> String {
    let asks = match server {
        Some(server) => format!("`nslookup {host} {}`", server.ip()),
        None => format!("`getent ahosts {host}`"),
    };
    format!(
        "the name {host} has no address: {asks} asks the same; correct DNS, or the name, or give it an address in [resolver] hosts"
    )
}

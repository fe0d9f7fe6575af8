//! What is in force: the Config with everything that is prepared from it once.
//!
//! Built by the control thread, never changed, shared by all workers through one pointer. An
//! exchange keeps the one that it began with.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::net::{self, Dial};
use crate::pool::health::Policy;
use crate::pool::settings::{
    PoolId, PoolSettings, Profile, ServerAddress, ServerName, ServerSettings, Sni, Trust,
    UpstreamTls,
};
use crate::pool::{Load, Shelf};
use crate::site::{Listener, ListenerId, SiteId};
use crate::tls::{
    self, Authorities, Connector, ConnectorSettings, Identity, ListenerProfile, Presented,
    Terminator, TicketSecrets,
};

use super::kept::{DoorId, Kept};

/// Descriptors for everything that is no connection and no listener: rings, timers, logs.
const RESERVED_FILES: u64 = 128;

/// Descriptors of a worker's listening socket, with its spares.
const FILES_PER_DOOR: u64 = 12;

/// The part of the machine's memory that buffers may take up where the file says `"auto"`.
const MEMORY_SHARE: u64 = 4;

/// The Config in force with what hangs on it.
#[derive(Debug)]
pub struct Live {
    /// Counts the Configs since start. Other addresses of names are not another Config.
    pub generation: u64,
    /// What the operator's file means; shared by all that differ in addresses only.
    pub config: Arc<Config>,
    /// Client connections, over all workers.
    pub clients_max: usize,
    /// By door; those whose Listener is gone have none.
    listeners: Vec<Option<ListenerId>>,
    /// Bytes that all buffers may take up; past it, nothing new is begun.
    pub memory_max: u64,
    /// Past so many bytes no spare buffers are kept: they are the first to make room.
    pub spares_max: u64,
    terminators: Arc<[Option<Terminator>]>,
    /// By site, then by listener.
    presented: Arc<[Presented]>,
    /// By site: the number that it is counted by.
    site_numbers: Arc<[u32]>,
    pools: Vec<LivePool>,
}

/// A pool with its servers' addresses.
#[derive(Debug)]
pub struct LivePool {
    /// What the file says of it.
    pub settings: PoolSettings,
    /// How evidence of its servers' health is judged.
    pub policy: Policy,
    /// One for each address that a server's name stands for.
    pub servers: Vec<LiveServer>,
    /// Who vouches for them: read once for a Config.
    authorities: Authorities,
}

/// One address that requests are sent to.
pub struct LiveServer {
    /// How to connect.
    pub dial: Dial,
    /// The address as text, for records.
    pub text: String,
    /// As the file calls it.
    pub name: String,
    /// What it is counted by, in every Config.
    pub number: u32,
    /// Exchanges under way and health, over all workers and Configs.
    pub load: Arc<Load>,
    /// Share of the exchanges, against the other servers'.
    pub weight: u32,
    /// Used only when no other is up.
    pub backup: bool,
    /// Where its idle connections wait; equal only if everything is equal that they depend on.
    pub shelf: Shelf,
    /// Its TLS, if the pool has any.
    pub tls: Option<ServerTls>,
}

/// TLS to one server.
#[derive(Debug)]
pub struct ServerTls {
    /// Opens sessions and remembers them.
    pub connector: Arc<Connector>,
    /// The name to ask for; `None`: the request's own Host.
    pub name: Option<String>,
}

impl fmt::Debug for LiveServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveServer").field(&self.text).finish()
    }
}

impl LiveServer {
    /// Whether the request's own Host is the name that it is asked for and verified by.
    #[must_use]
    pub fn is_verified_by_host(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.name.is_none())
    }
}

impl Live {
    /// Prepares `config`. `resolve` gives the addresses of a server's name, none if it has none
    /// now.
    ///
    /// # Errors
    /// A sentence for the administrator: TLS settings that the library refuses.
    pub fn new(
        generation: u64,
        config: Config,
        secrets: &Arc<TicketSecrets>,
        kept: &mut Kept,
        resolve: &dyn Fn(&ServerAddress) -> Vec<SocketAddr>,
    ) -> Result<Self, String> {
        let doors: Vec<_> = config.listeners.iter().map(|one| kept.door(&one.name)).collect();
        let mut listeners = vec![None; kept.doors()];
        for (door, listener) in doors.iter().zip(&config.listeners) {
            listeners[door.0 as usize] = Some(listener.id);
        }
        let mut identities = Identities { secrets, kept, built: HashMap::new() };
        let mut terminators = Vec::new();
        for listener in &config.listeners {
            terminators.push(terminator(&config, listener, &mut identities)?);
        }
        let mut presented = Vec::new();
        for site in config.table.sites() {
            for listener in &config.listeners {
                let certificates = config.site_certificates(site, listener.id);
                presented.push(identities.number(&config, certificates));
            }
        }
        let site_numbers = config.table.sites().iter().map(|site| kept.site(&site.name)).collect();
        kept.registry.forget_unused();
        let mut connectors = HashMap::new();
        let mut pools = Vec::new();
        let mut system = None;
        for settings in &config.pools {
            let authorities = authorities(settings, &mut system)?;
            let place = (&mut *kept, &mut connectors, Reading::Again);
            pools.push(LivePool::new((settings, authorities), place, resolve)?);
        }
        kept.keep_connectors(connectors);
        let clients_max =
            config.limits.clients_max.map_or_else(|| clients_max_auto(&config), |max| max as usize);
        let memory_max =
            config.limits.memory_max.unwrap_or_else(|| net::machine_memory() / MEMORY_SHARE);
        let spares_max = memory_max - memory_max / 4;
        Ok(Self {
            generation,
            config: Arc::new(config),
            clients_max,
            listeners,
            memory_max,
            spares_max,
            terminators: terminators.into(),
            presented: presented.into(),
            site_numbers,
            pools,
        })
    }

    /// The same Config with the addresses that names have now. Costs a look at each server, and
    /// nothing for the rest of the Config, however large; what is known of an address stays with it,
    /// and so do its idle connections.
    ///
    /// # Errors
    /// A sentence for the administrator: TLS settings that the library refuses.
    pub fn readdressed(
        &self,
        kept: &mut Kept,
        resolve: &dyn Fn(&ServerAddress) -> Vec<SocketAddr>,
    ) -> Result<Self, String> {
        kept.registry.forget_unused();
        let mut connectors = HashMap::new();
        let mut pools = Vec::new();
        for LivePool { settings, authorities, .. } in &self.pools {
            let place = (&mut *kept, &mut connectors, Reading::Once);
            pools.push(LivePool::new((settings, authorities.clone()), place, resolve)?);
        }
        kept.keep_connectors(connectors);
        Ok(Self {
            generation: self.generation,
            config: Arc::clone(&self.config),
            clients_max: self.clients_max,
            listeners: self.listeners.clone(),
            memory_max: self.memory_max,
            spares_max: self.spares_max,
            terminators: Arc::clone(&self.terminators),
            presented: Arc::clone(&self.presented),
            site_numbers: Arc::clone(&self.site_numbers),
            pools,
        })
    }

    /// Pools that have no address to send to.
    pub fn empty_pools(&self) -> impl Iterator<Item = &PoolSettings> {
        let empty = self.pools.iter().filter(|pool| pool.servers.is_empty());
        empty.map(|pool| &pool.settings)
    }

    /// The Listener that a door belongs to now; `None` if it is gone.
    #[must_use]
    pub fn listener(&self, door: DoorId) -> Option<&Listener> {
        let id = (*self.listeners.get(door.0 as usize)?)?;
        self.config.listeners.get(id.0 as usize)
    }

    /// Doors whose Listeners are gone are those of the Listeners of these names: they have their
    /// places.
    pub fn rename(&mut self, moved: &[(DoorId, String)]) {
        for (door, name) in moved {
            let listener = self.config.listeners.iter().find(|listener| listener.name == *name);
            if let Some(slot @ None) = self.listeners.get_mut(door.0 as usize) {
                *slot = listener.map(|listener| listener.id);
            }
        }
    }

    /// A pool; ids come from the same Config.
    #[must_use]
    pub fn pool(&self, id: PoolId) -> &LivePool {
        &self.pools[id.0 as usize]
    }

    /// What a site is counted by, in every Config.
    #[inline]
    #[must_use]
    pub fn site_number(&self, id: SiteId) -> u32 {
        self.site_numbers.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// All pools, in the order of the file.
    #[must_use]
    pub fn pools(&self) -> &[LivePool] {
        &self.pools
    }

    /// How a listener's clients are shown certificates; `None` without TLS.
    #[must_use]
    pub fn terminator(&self, id: ListenerId) -> Option<&Terminator> {
        self.terminators.get(id.0 as usize)?.as_ref()
    }

    /// Which certificates a site's clients are shown at a listener.
    #[must_use]
    pub fn presented(&self, site: SiteId, listener: ListenerId) -> Presented {
        self.presented[site.0 as usize * self.config.listeners.len() + listener.0 as usize]
    }
}

/// As many clients as there are descriptors for, with an upstream connection for each.
fn clients_max_auto(config: &Config) -> usize {
    let places: usize = config.listeners.iter().map(|listener| listener.addresses.len()).sum();
    let doors = (places * net::usable_cores().len()) as u64 * FILES_PER_DOOR;
    let probed = config.pools.iter().filter(|pool| pool.probe.is_some());
    let probed: usize = probed.map(|pool| pool.servers.len()).sum();
    let left = net::open_file_limit().saturating_sub(RESERVED_FILES + doors + probed as u64);
    usize::try_from(left / 2).unwrap_or(usize::MAX)
}

type Connectors = HashMap<Shelf, Arc<Connector>>;

/// Whether the system's authorities are read again where a server has them already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// They may be others than they were.
    Again,
    /// The same Config has read them.
    Once,
}

/// Numbers for sets of certificates, and what clients are shown for each.
struct Identities<'s> {
    secrets: &'s Arc<TicketSecrets>,
    kept: &'s mut Kept,
    built: HashMap<(Presented, ListenerProfile), Identity>,
}

impl Identities<'_> {
    fn number(&mut self, config: &Config, certificates: &[usize]) -> Presented {
        let named = certificates.iter().filter_map(|&index| config.certificates.get(index));
        self.kept.presented(named.map(|certificate| certificate.name.clone()).collect())
    }

    fn identity(
        &mut self,
        config: &Config,
        certificates: &[usize],
        profile: ListenerProfile,
    ) -> Result<Identity, String> {
        let number = self.number(config, certificates);
        if let Some(built) = self.built.get(&(number, profile)) {
            return Ok(built.clone());
        }
        let keys = certificates.iter().filter_map(|&index| config.certificates.get(index));
        let keys = keys.map(|certificate| Arc::clone(&certificate.key)).collect();
        let identity = Identity::new(number, keys, profile, self.secrets)?;
        self.built.insert((number, profile), identity.clone());
        Ok(identity)
    }
}

fn terminator(
    config: &Config,
    listener: &Listener,
    identities: &mut Identities<'_>,
) -> Result<Option<Terminator>, String> {
    if !listener.tls {
        return Ok(None);
    }
    let profile = match listener.old_suites {
        true => ListenerProfile::Windows7,
        false => ListenerProfile::Modern,
    };
    let mut terminator = Terminator::default();
    if !listener.certificates.is_empty() {
        terminator.set_default(identities.identity(config, &listener.certificates, profile)?);
    }
    for site in config.table.sites().iter().filter(|site| site.listeners.contains(&listener.id)) {
        let certificates = config.site_certificates(site, listener.id);
        let identity = identities.identity(config, certificates, profile)?;
        for name in &site.names {
            terminator.add(name, &identity);
        }
    }
    Ok(Some(terminator))
}

impl LivePool {
    fn new(
        (settings, authorities): (&PoolSettings, Authorities),
        (kept, connectors, reading): (&mut Kept, &mut Connectors, Reading),
        resolve: &dyn Fn(&ServerAddress) -> Vec<SocketAddr>,
    ) -> Result<Self, String> {
        let mut servers = Vec::new();
        for server in &settings.servers {
            for address in resolve(&server.address) {
                let place = (&mut *kept, &mut *connectors, reading);
                let pool = (settings, &authorities);
                servers.push(live_server(pool, server, address, place)?);
            }
        }
        let (settings, policy) = (settings.clone(), Policy::of(settings));
        Ok(Self { settings, policy, servers, authorities })
    }
}

fn live_server(
    (pool, authorities): (&PoolSettings, &Authorities),
    server: &ServerSettings,
    address: SocketAddr,
    (kept, connectors, reading): (&mut Kept, &mut Connectors, Reading),
) -> Result<LiveServer, String> {
    let from = pool.source.iter().find(|from| from.is_ipv4() == address.is_ipv4());
    let dial = Dial {
        to: address,
        from: from.copied(),
        interface: pool.interface.clone(),
        keepalive: pool.timeouts.tcp_keepalive,
    };
    let (name, verify) = pool.tls.as_ref().map_or((None, None), |tls| names(tls, server));
    let fingerprint = pool.tls.as_ref().map(|tls| tls.fingerprint);
    let shelf = kept.registry.shelf(&dial, fingerprint, (name.clone(), verify.clone()));
    let tls = match &pool.tls {
        Some(tls) => {
            let may_stay = tls.ca != Trust::System || reading == Reading::Once;
            let before = kept.connector(shelf).filter(|_| may_stay);
            let connector = match connectors.get(&shelf).cloned().or(before) {
                Some(connector) => connector,
                None => Arc::new(connector(tls, verify, authorities).map_err(|why| {
                    let (pool, server) = (&pool.name, &server.text);
                    format!("pool {pool}, server {server}: TLS cannot be set up: {why}")
                })?),
            };
            connectors.insert(shelf, Arc::clone(&connector));
            Some(ServerTls { connector, name })
        }
        None => None,
    };
    let text = address.to_string();
    Ok(LiveServer {
        shelf,
        load: kept.registry.load(&pool.name, address),
        number: kept.server(&pool.name, &server.text, &text),
        text,
        name: server.text.clone(),
        weight: server.weight,
        backup: server.backup,
        dial,
        tls,
    })
}

/// The name that a server is asked for, and the one that it is verified by if that is another.
fn names(tls: &UpstreamTls, server: &ServerSettings) -> (Option<String>, Option<String>) {
    let own = match &server.address {
        ServerAddress::Socket(address) => address.ip().to_string(),
        ServerAddress::Name { host, .. } => host.clone(),
    };
    let verified = match &tls.server_name {
        ServerName::Same => Some(own),
        ServerName::Fixed(name) => Some(name.clone()),
        ServerName::Host => None,
    };
    match &tls.sni {
        Sni::Same | Sni::None => (verified, None),
        Sni::Name(sent) => (Some(sent.clone()), verified),
    }
}

/// Who vouches for the servers of a pool; `system` is the system's list once it has been read.
fn authorities(
    pool: &PoolSettings,
    system: &mut Option<Authorities>,
) -> Result<Authorities, String> {
    let Some(tls) = pool.tls.as_ref().filter(|tls| tls.pin_sha256.is_empty()) else {
        return Ok(Authorities::default());
    };
    let read = match (&tls.ca, &*system) {
        (Trust::Certificates(certificates), _) => Authorities::these(certificates),
        (Trust::System, Some(read)) => Ok(read.clone()),
        (Trust::System, None) => Authorities::system().inspect(|read| *system = Some(read.clone())),
    };
    read.map_err(|why| format!("pool {}: TLS cannot be set up: {why}", pool.name))
}

fn connector(
    tls: &UpstreamTls,
    verify: Option<String>,
    authorities: &Authorities,
) -> Result<Connector, String> {
    Connector::new(&connector_settings(tls, verify, authorities))
}

/// What a pool's servers are offered, and who has to vouch for them; `verify` is the name to verify
/// where it differs from the one that is sent.
#[must_use]
pub fn connector_settings(
    tls: &UpstreamTls,
    verify: Option<String>,
    authorities: &Authorities,
) -> ConnectorSettings {
    ConnectorSettings {
        authorities: authorities.clone(),
        pin_sha256: tls.pin_sha256.clone(),
        verify,
        send_name: tls.sni != Sni::None,
        profile: match tls.profile {
            Profile::Modern => tls::Profile::Modern,
            Profile::Tls12 => tls::Profile::Tls12,
            Profile::Windows2012R2 { sha384 } => tls::Profile::Windows2012R2 { sha384 },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::pool::health::{Evidence, Shown, Trouble};

    /// DNS gives a name two other addresses again and again: what is known of those that nobody uses
    /// any more is forgotten, and nothing else.
    #[test]
    fn a_name_that_moves_for_ever_does_not_fill_the_memory() {
        let text = "[pool.web]\nservers = [\"fe01:80\", \"10.9.9.9:80\"]\n";
        let source = |_: &Path| Ok(text.as_bytes().to_vec());
        let (config, _) = config::read(Path::new("a.toml"), &source, 0).unwrap();
        let (mut kept, secrets) = (Kept::default(), TicketSecrets::new().unwrap());
        let resolve = |turn: u16| {
            move |server: &ServerAddress| match server {
                ServerAddress::Socket(address) => vec![*address],
                ServerAddress::Name { port, .. } => {
                    let [high, low] = turn.to_be_bytes();
                    [1, 2].map(|last| SocketAddr::from(([10, high, low, last], *port))).to_vec()
                }
            }
        };
        let place = |live: &Live, at: usize| {
            let server = &live.pools()[0].servers[at];
            (server.shelf, Arc::as_ptr(&server.load), server.number)
        };
        let first = Live::new(1, config, &secrets, &mut kept, &resolve(0)).unwrap();
        let (held, literal) = (place(&first, 0), place(&first, 2));
        let drained = &first.pools()[0].servers[1];
        drained.load.heard(Evidence::Drain(true), 1, first.pools()[0].policy);
        // Somebody is still at work with the first, as a long exchange or a login is.
        let mut live = first.readdressed(&mut kept, &resolve(1)).unwrap();
        for turn in 2..5_000 {
            let ill = &live.pools()[0].servers[0];
            ill.load.heard(Evidence::ProbeFailed(Trouble::Refused), 1, live.pools()[0].policy);
            live = live.readdressed(&mut kept, &resolve(turn)).unwrap();
            // Three of the first, and two of each of the last two.
            assert_eq!(kept.registry.sizes(), (7, 7), "{turn}");
        }
        assert_eq!(place(&live, 2), literal);
        live = live.readdressed(&mut kept, &resolve(0)).unwrap();
        assert_eq!(place(&live, 0), held);
        let number = place(&live, 1).2;
        drop(first);
        for turn in [1, 2, 0] {
            live = live.readdressed(&mut kept, &resolve(turn)).unwrap();
        }
        let again = place(&live, 0);
        assert_ne!(again.0, held.0, "connections may still wait at the old place");
        assert_eq!(again.2, held.2, "counted as before");
        assert_eq!(place(&live, 1).2, number);
        assert_eq!(live.pools()[0].servers[1].load.shown().0, Shown::Drained);
    }
}

//! The addresses of servers: those that the file gives, those in `[resolver] hosts`, and those that
//! names have now.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::config::Config;
use crate::dns::{News, Why};
use crate::net;
use crate::observe::NameNow;
use crate::pool::settings::ServerAddress;
use crate::proxy::{Kept, Live};
use crate::tls::TicketSecrets;

use super::resolver::{ONE_IN, Resolver, Scene, Telling, Told, is_own};
use super::service::Event;
use super::start::Hurry;

/// The longest that a start waits for the first answers, all names at once: so that the first
/// requests do not fail needlessly.
const START_WAIT: Duration = Duration::from_secs(2);

/// The longest that a reload waits for names that are new; those that were asked for before are not
/// waited for, whatever came of it.
const RELOAD_WAIT: Duration = Duration::from_secs(1);

/// Addresses by what the file says.
type Places = HashMap<ServerAddress, Vec<SocketAddr>>;

/// The names of servers, and the addresses that they had last.
#[derive(Debug)]
pub(super) struct Names {
    resolver: Resolver,
    /// Stays when a reload is given up and the thread has forgotten a name meanwhile.
    known: HashMap<String, Vec<IpAddr>>,
    in_force: Places,
    /// Names that have no answer: since when, in seconds since 1970, and why.
    troubles: BTreeMap<String, (u64, Why)>,
    telling: Telling,
}

impl Names {
    /// None yet; `events` is told when there is news.
    pub(super) fn new(events: Option<mpsc::Sender<Event>>) -> Self {
        let resolver = Resolver::new(events);
        Self {
            resolver,
            known: HashMap::new(),
            in_force: HashMap::new(),
            troubles: BTreeMap::new(),
            telling: Telling::default(),
        }
    }

    /// Asks for the names of `config`, which is to follow `before`, and waits for those that were
    /// never asked for.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn want(
        &mut self,
        config: &Config,
        before: Option<&Config>,
        hurry: Hurry<'_>,
    ) -> Result<(), String> {
        self.resolver.want(config, before)?;
        self.resolver.wait(if before.is_some() { RELOAD_WAIT } else { START_WAIT }, hurry);
        Ok(())
    }

    /// `config` is in force, or stays it, whatever was wanted meanwhile.
    pub(super) fn settle(&mut self, config: &Config) {
        // Where there is no thread, none was needed.
        let _ = self.resolver.want(config, None);
        let servers = config.pools.iter().flat_map(|pool| &pool.servers);
        let names: HashSet<&str> = servers
            .filter_map(|server| match &server.address {
                ServerAddress::Name { host, .. } => Some(host.as_str()),
                ServerAddress::Socket(_) => None,
            })
            .collect();
        self.troubles.retain(|host, _| names.contains(host.as_str()));
        self.telling.retain(|host| names.contains(host));
    }

    /// What was prepared has not come into force.
    pub(super) fn go_back(&mut self, config: &Config) {
        self.in_force.clear();
        self.settle(config);
    }

    /// Prepares what `config` needs to be in force.
    ///
    /// # Errors
    /// A sentence for the administrator.
    pub(super) fn prepare(
        &mut self,
        generation: u64,
        config: Config,
        tickets: &Arc<TicketSecrets>,
        kept: &mut Kept,
    ) -> Result<Live, String> {
        let places = self.places(&config);
        let resolve = |server: &_| places.get(server).cloned().unwrap_or_default();
        let live = Live::new(generation, config, tickets, kept, &resolve)?;
        self.in_force = places;
        Ok(live)
    }

    /// What is to follow `live`, if names have other addresses now.
    ///
    /// # Errors
    /// A sentence for the administrator.
    pub(super) fn readdressed(
        &mut self,
        live: &Live,
        kept: &mut Kept,
    ) -> Result<Option<Live>, String> {
        let places = self.places(&live.config);
        if places == self.in_force {
            return Ok(None);
        }
        let resolve = |server: &_| places.get(server).cloned().unwrap_or_default();
        let next = live.readdressed(kept, &resolve)?;
        self.in_force = places;
        Ok(Some(next))
    }

    /// Takes note of what has changed since the last time; whether anything has.
    pub(super) fn note_news(&mut self) -> bool {
        let told = self.resolver.told();
        let is_news = !told.is_empty();
        for told in told {
            let host = told.news.host().to_owned();
            if let News::Trouble { why, .. } = &told.news {
                let since = self
                    .troubles
                    .get(&host)
                    .map_or_else(|| net::wall_micros() / 1_000_000, |it| it.0);
                self.troubles.insert(host, (since, why.clone()));
            } else {
                self.troubles.remove(&host);
            }
            self.telling.note(told);
        }
        is_news
    }

    /// The names of servers of `live` that do not lead to them, for as long as that is so.
    pub(super) fn in_trouble(&self, live: &Live) -> Vec<NameNow> {
        let empty: Vec<_> = live.empty_pools().collect();
        let scene = Scene { config: &live.config, known: &self.known, empty: &empty };
        let servers = Arc::new(live.config.resolvers.clone());
        let asked = |host: &String| !live.config.hosts.contains_key(host);
        let troubles = self.troubles.iter().filter(|(host, _)| asked(host));
        let silent = troubles.filter_map(|(host, (since, why))| {
            let news = News::Trouble { host: host.clone(), why: why.clone() };
            scene.in_trouble(&Told { news, servers: Arc::clone(&servers) }, why, *since)
        });
        let mut hosts: Vec<&String> = self.known.keys().filter(|host| asked(host)).collect();
        hosts.sort_unstable();
        let back = hosts.into_iter().filter_map(|host| scene.leading_back(host));
        silent.chain(back).collect()
    }

    /// What is to be said now about names of `live`, which is in force.
    pub(super) fn sentences(&mut self, live: &Live) -> Vec<String> {
        let empty: Vec<_> = live.empty_pools().collect();
        let scene = Scene { config: &live.config, known: &self.known, empty: &empty };
        let due = self.telling.due(net::monotonic(), &self.known).into_iter();
        let sentences = due.filter_map(|(told, unsaid)| {
            let sentence = scene.sentence(&told)?;
            Some(match unsaid {
                0 => sentence,
                _ => format!(
                    "{sentence}; {unsaid} changes before that were not said: of a name that keeps changing one in {} minutes is",
                    ONE_IN.as_secs() / 60
                ),
            })
        });
        sentences.collect()
    }

    fn places(&mut self, config: &Config) -> Places {
        self.known.extend(self.resolver.addresses());
        let servers = config.pools.iter().flat_map(|pool| &pool.servers);
        let named = |server: &ServerAddress| match server {
            ServerAddress::Name { host, .. } => Some(host.clone()),
            ServerAddress::Socket(_) => None,
        };
        let wanted: HashSet<String> =
            servers.clone().filter_map(|server| named(&server.address)).collect();
        self.known.retain(|host, _| wanted.contains(host));
        servers
            .map(|server| (server.address.clone(), self.place(&server.address, config)))
            .collect()
    }

    fn place(&self, server: &ServerAddress, config: &Config) -> Vec<SocketAddr> {
        let (host, port) = match server {
            ServerAddress::Socket(address) => return vec![*address],
            ServerAddress::Name { host, port } => (host, *port),
        };
        let at = |addresses: &[IpAddr]| -> Vec<SocketAddr> {
            addresses.iter().map(|address| SocketAddr::new(*address, port)).collect()
        };
        if let Some(addresses) = config.hosts.get(host) {
            return at(addresses);
        }
        let mut places = self.known.get(host).map(|addresses| at(addresses)).unwrap_or_default();
        places.retain(|place| !is_own(config, *place));
        places
    }
}

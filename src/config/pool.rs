//! `[pool]`.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::judge::Judge;
use super::{Adapter, Timeouts, later, value};
use crate::document::{self, Affinity, At, Named, Written};
use crate::pool::settings::{
    Ask, Balance, PoolId, PoolSettings, ProbeSettings, Profile, ServerAddress, ServerName,
    ServerSettings, Sni, Trust, UpstreamTls,
};
use crate::site::Listener;
use crate::site::host::canonical_name;
use crate::tls::certificate::read_chain;

/// What a pool is reached through when it does not say.
const ADAPTER: &str = "internal";

/// What servers are compared with: ourselves.
struct Ourselves<'l> {
    listeners: &'l [Listener],
    hosts: &'l HashMap<String, Vec<IpAddr>>,
}

impl Judge<'_> {
    /// By their places in the Document, which become their ids.
    pub(super) fn pools(
        &mut self,
        adapters: &[Adapter],
        listeners: &[Listener],
        hosts: &HashMap<String, Vec<IpAddr>>,
        timeouts: Timeouts,
    ) -> Vec<PoolSettings> {
        let document = self.document;
        let ourselves = Ourselves { listeners, hosts };
        let mut pools = Vec::new();
        for (place, entry) in document.pools.iter().enumerate() {
            pools.push(self.pool(place, entry, adapters, &ourselves, timeouts));
        }
        pools
    }

    fn pool(
        &mut self,
        place: usize,
        entry: &Named<document::Pool>,
        adapters: &[Adapter],
        ourselves: &Ourselves<'_>,
        timeouts: Timeouts,
    ) -> PoolSettings {
        let Named { name, table } = entry;
        let adapter = match &table.adapter {
            Some(adapter) => self.place_of("adapter", adapter),
            None => self.names.adapters.get(ADAPTER).copied(),
        };
        let adapter = adapter.and_then(|place| adapters.get(place));
        match &table.servers {
            None => self.faults.pool_without_servers(name.at, &name.value),
            Some(list) if list.value.is_empty() => {
                self.faults.pool_without_servers(list.at, &name.value);
            }
            Some(_) => {}
        }
        self.affinity(table.affinity.as_ref());
        let balances =
            [("least-loaded", Balance::LeastLoaded), ("round-robin", Balance::RoundRobin)];
        let tls = table.tls.as_ref().map(|tls| self.upstream_tls(&name.value, &tls.value));
        let probe = table.probe.as_ref();
        PoolSettings {
            id: PoolId(place as u32),
            name: name.value.clone(),
            interface: adapter.and_then(|adapter| adapter.interface.clone()),
            source: adapter.map_or_else(Vec::new, |adapter| {
                adapter.addresses.iter().map(|(address, _)| *address).collect()
            }),
            servers: self.servers(table, ourselves),
            balance: self.choice("balance", table.balance.as_ref(), &balances),
            idle_max: self.number("idle_max", table.idle_max.as_ref(), (0, 65_535)).unwrap_or(32),
            probe: probe.map(|probe| self.probe(probe, tls.as_ref())),
            tls,
            timeouts: self.timeouts(timeouts, &table.timeouts),
        }
    }

    fn affinity(&mut self, affinity: Option<&Written<Affinity>>) {
        let Some(Written { at, value }) = affinity else { return };
        match value {
            Affinity::Word(word) => {
                let word = Written { at: *at, value: word.clone() };
                self.choice("affinity", Some(&word), &[("none", ())]);
            }
            Affinity::Cookie(_) if later::is_later_value("affinity", "cookie") => {
                self.faults.not_available(*at, "`affinity = { cookie = … }`");
            }
            Affinity::Cookie(_) => {}
        }
    }

    fn servers(
        &mut self,
        table: &document::Pool,
        ourselves: &Ourselves<'_>,
    ) -> Vec<ServerSettings> {
        let mut seen: HashMap<ServerAddress, At> = HashMap::new();
        let mut servers = Vec::new();
        for (list, backup) in [(&table.servers, false), (&table.backup, true)] {
            for entry in list.iter().flat_map(|list| &list.value) {
                let weight = entry.value.weight.as_ref();
                let weight = self.number("weight", weight, (1, 1_000)).unwrap_or(1);
                let Some(text) = &entry.value.address else {
                    self.faults.missing(
                        entry.at,
                        "this server",
                        "address",
                        "address = \"host:port\"",
                    );
                    continue;
                };
                let Some(address) = server_address(&text.value) else {
                    self.faults.not_a_server(text.at, &text.value);
                    continue;
                };
                self.not_ourselves(text, &address, ourselves);
                if let Some(first) = seen.insert(address.clone(), text.at) {
                    self.faults.listed_twice(text.at, "server", &text.value, first);
                }
                let text = text.value.clone();
                servers.push(ServerSettings { address, text, weight, backup });
            }
        }
        servers
    }

    fn not_ourselves(
        &mut self,
        text: &Written<String>,
        address: &ServerAddress,
        ourselves: &Ourselves<'_>,
    ) {
        let (addresses, port) = match address {
            ServerAddress::Socket(socket) => (vec![socket.ip()], socket.port()),
            ServerAddress::Name { host, port } => {
                (ourselves.hosts.get(host).cloned().unwrap_or_default(), *port)
            }
        };
        let own = ourselves.listeners.iter().find(|listener| {
            listener.port == port && addresses.iter().any(|address| accepts(listener, *address))
        });
        if let Some(listener) = own {
            let at = self.document.listeners[listener.id.0 as usize].name.at;
            self.faults.server_is_listener(text.at, &text.value, &listener.name, at);
        }
    }

    fn upstream_tls(&mut self, pool: &str, table: &document::PoolTls) -> UpstreamTls {
        let ca = match &table.ca {
            Some(ca) if ca.value != "system" => self.authorities(ca),
            _ => Trust::System,
        };
        let server_name = match table.server_name.as_ref().map(|text| text.value.as_str()) {
            None => ServerName::Same,
            Some("host") => ServerName::Host,
            Some(_) => {
                ServerName::Fixed(self.fixed_name("server_name", table.server_name.as_ref()))
            }
        };
        let sni = match table.sni.as_ref().map(|text| text.value.as_str()) {
            None | Some("same") => Sni::Same,
            Some("none") => Sni::None,
            Some(_) => Sni::Name(self.fixed_name("sni", table.sni.as_ref())),
        };
        let mut pin_sha256 = Vec::new();
        for pin in table.pin_sha256.iter().flat_map(|list| &list.value) {
            match value::sha256(&pin.value) {
                Some(hash) => pin_sha256.push(hash),
                None => self.faults.not_a_pin(pin.at),
            }
        }
        let sha384 = table.sha384_suite.as_ref().is_some_and(|flag| flag.value);
        let windows = Profile::Windows2012R2 { sha384 };
        let profiles =
            [("modern", Profile::Modern), ("tls12", Profile::Tls12), ("windows-2012r2", windows)];
        let profile = self.choice("profile", table.profile.as_ref(), &profiles);
        match (&table.profile, &table.sha384_suite) {
            (Some(written), _) if profile == windows => {
                self.faults.pool_with_old_suites(written.at, pool);
            }
            (_, Some(flag)) if flag.value => self.faults.suite_without_profile(flag.at),
            _ => {}
        }
        UpstreamTls { ca, server_name, sni, pin_sha256, profile, fingerprint: 0 }.sealed()
    }

    fn probe(
        &mut self,
        Written { at, value: table }: &Written<document::Probe>,
        tls: Option<&UpstreamTls>,
    ) -> ProbeSettings {
        let tcp = self.number("tcp", table.tcp.as_ref(), (1, 65_535));
        let ask = match (&table.http, tcp) {
            (Some(http), _) => self.probe_http(http),
            (None, Some(port)) => Ask::Tcp(port as u16),
            (None, None) => Ask::Connection,
        };
        if let (Some(http), Some(tcp)) = (&table.http, &table.tcp) {
            self.faults.probe_asks_twice(http.at, tcp.at);
        }
        let by_host = tls.is_some_and(|tls| tls.server_name == ServerName::Host);
        if by_host && matches!(ask, Ask::Connection | Ask::Http { host: None, .. }) {
            self.faults.probe_without_host(table.http.as_ref().map_or(*at, |http| http.at));
        }
        let every = self.time("every", &table.every, Duration::from_secs(5));
        let timeout = self.time("timeout", &table.timeout, Duration::from_secs(2).min(every));
        if let (Some(written), true) = (&table.every, every < PROBE_EVERY_LEAST) {
            self.faults.probe_too_often(written.at);
        } else if let (Some(written), true) = (&table.timeout, timeout > every) {
            self.faults.probe_longer_than_every(written.at);
        }
        let fall = self.number("fall", table.fall.as_ref(), (1, 100)).unwrap_or(3);
        let rise = self.number("rise", table.rise.as_ref(), (1, 100)).unwrap_or(2);
        let all_down = [("try-all", true), ("refuse", false)];
        let try_all = self.choice("all_down", table.all_down.as_ref(), &all_down);
        ProbeSettings { ask, every, timeout, fall: fall as u8, rise: rise as u8, try_all }
    }

    fn probe_http(&mut self, Written { at, value }: &Written<document::ProbeHttp>) -> Ask {
        let path = value.path.as_ref();
        match path {
            None => self.faults.missing(*at, "this probe", "path", "path = \"/\""),
            Some(path) if !is_target(&path.value) => {
                self.faults.not_a_probe_path(path.at, &path.value);
            }
            Some(_) => {}
        }
        let host = value.host.as_ref().map(|host| {
            if !is_host(&host.value) {
                self.faults.not_a_probe_host(host.at, &host.value);
            }
            host.value.clone()
        });
        let expect = self.number("expect", value.expect.as_ref(), (200, 599)).unwrap_or(200);
        let path = path.map_or_else(String::new, |path| path.value.clone());
        Ask::Http { path, host, expect: expect as u16 }
    }

    fn authorities(&mut self, ca: &Written<String>) -> Trust {
        let Some((path, pem)) = self.file(ca) else { return Trust::System };
        match read_chain(&pem) {
            Ok(certificates) => Trust::Certificates(certificates),
            Err(fault) => {
                self.faults.authority(ca.at, &path.display(), fault);
                Trust::System
            }
        }
    }

    fn fixed_name(&mut self, key: &str, text: Option<&Written<String>>) -> String {
        let Some(text) = text else { return String::new() };
        match canonical_name(&text.value) {
            Ok(name) if !name.starts_with('*') => name,
            Ok(_) => {
                self.faults.not_a_server_name(
                    text.at,
                    key,
                    crate::site::host::NameFault::Malformed,
                );
                String::new()
            }
            Err(fault) => {
                self.faults.not_a_server_name(text.at, key, fault);
                String::new()
            }
        }
    }
}

/// A probe more often than this tells nothing new and costs.
const PROBE_EVERY_LEAST: Duration = Duration::from_millis(100);

/// What may stand in a start line, in origin form.
fn is_target(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    text.starts_with('/') && plain
}

/// A name or an address, with or without a port.
fn is_host(text: &str) -> bool {
    let name = value::host_and_port(text).map_or(text, |(host, _)| host);
    let is_name = canonical_name(name).is_ok_and(|name| !name.starts_with('*'));
    is_name || text.parse::<SocketAddr>().is_ok()
}

fn server_address(text: &str) -> Option<ServerAddress> {
    let (host, port) = value::host_and_port(text)?;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(ServerAddress::Socket(SocketAddr::new(address, port)));
    }
    let host = canonical_name(host).ok().filter(|host| !host.starts_with(['*', '[']))?;
    Some(ServerAddress::Name { host, port })
}

/// Whether a connection to `address` at the listener's port would come back to us.
fn accepts(listener: &Listener, address: IpAddr) -> bool {
    listener.addresses.iter().any(|own| {
        *own == address
            || (own.is_unspecified() && (address.is_loopback() || address.is_unspecified()))
    })
}

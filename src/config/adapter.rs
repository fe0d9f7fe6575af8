//! `[adapter]`, `[resolver]`, `[admin]`: networks and names.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::judge::Judge;
use super::{Adapter, Admin, AdminPage, Role, Route, suggest, value};
use crate::document::{self, At, Named, Written};
use crate::site::host::canonical_name;

const ROLES: [(&str, Role); 3] =
    [("internal", Role::Internal), ("external", Role::External), ("management", Role::Management)];

/// Where name servers listen.
const DNS_PORT: u16 = 53;

impl<'j> Judge<'j> {
    pub(super) fn adapters(&mut self) -> Vec<Adapter> {
        let document = self.document;
        let mut adapters = Vec::new();
        for entry in &document.adapters {
            adapters.push(self.adapter(entry));
        }
        adapters
    }

    fn adapter(&mut self, entry: &Named<document::Adapter>) -> Adapter {
        let Named { name, table } = entry;
        let role = ROLES.iter().find(|(word, _)| *word == name.value).map(|(_, role)| *role);
        if role.is_none() {
            let meant = suggest::nearest(&name.value, ROLES.iter().map(|(word, _)| *word));
            self.faults.no_such_role(name.at, &name.value, meant);
        }
        if let (Some(mac), None) = (&table.mac, &table.interface) {
            self.faults.mac_needs_appliance(mac.at);
        }
        if let Some(interface) = table.interface.as_ref().filter(|text| !is_interface(&text.value))
        {
            self.faults.not_an_interface(interface.at, &interface.value);
        }
        let mut addresses = Vec::new();
        for text in table.addresses.iter().flat_map(|list| &list.value) {
            let Some((address, length)) = value::prefix(&text.value) else {
                self.faults.not_a_prefix(text.at, &text.value);
                continue;
            };
            addresses.push((address, length));
        }
        if let (Some(Role::Internal), Some(gateway)) = (role, &table.gateway) {
            self.faults.gateway_on_internal(gateway.at);
        }
        let gateway = table.gateway.as_ref().and_then(|text| self.address(text));
        Adapter {
            role: role.unwrap_or(Role::Internal),
            interface: table.interface.as_ref().map(|text| text.value.clone()),
            mac: table.mac.as_ref().map(|text| text.value.clone()),
            addresses,
            gateway,
            routes: self.routes(table),
        }
    }

    /// Whether the two sides of the box are kept apart by their addresses alone, which Linux does not
    /// do. Only when nothing is wrong. A box with one arm, and one that is tried out on the loopback,
    /// have nothing to keep apart.
    pub(super) fn sides_apart(&mut self, adapters: &[Adapter]) {
        if self.faults.refuse() {
            return;
        }
        let all = self.document.adapters.iter().zip(adapters);
        let of = |role| all.clone().find(|(_, adapter)| adapter.role == role);
        let (Some((external, outside)), Some((internal, inside))) =
            (of(Role::External), of(Role::Internal))
        else {
            return;
        };
        let has = |adapter: &Adapter, fits: &dyn Fn(&IpAddr) -> bool| {
            adapter.addresses.iter().any(|(address, _)| fits(address))
        };
        let by_address = |adapter: &Adapter| {
            adapter.interface.is_none() && has(adapter, &|address| !address.is_loopback())
        };
        let shared = has(outside, &|address| has(inside, &|other| other == address));
        if by_address(outside) && by_address(inside) && !shared {
            self.faults.adapters_by_address_alone(external.name.at, internal.name.at);
        }
    }

    fn routes(&mut self, table: &document::Adapter) -> Vec<Route> {
        let mut routes = Vec::new();
        for text in table.routes.iter().flat_map(|list| &list.value) {
            match route(&text.value) {
                Some(route) => routes.push(route),
                None => self.faults.not_a_route(text.at, &text.value),
            }
        }
        routes
    }

    fn address(&mut self, text: &Written<String>) -> Option<IpAddr> {
        let address = text.value.parse().ok();
        if address.is_none() {
            self.faults.not_an_address(text.at, &text.value);
        }
        address
    }

    pub(super) fn hosts(&mut self) -> HashMap<String, Vec<IpAddr>> {
        let document = self.document;
        let mut hosts = HashMap::new();
        let mut seen: HashMap<String, At> = HashMap::new();
        for Named { name, table } in &document.resolver.hosts {
            let addresses = table.iter().filter_map(|text| self.address(text)).collect();
            match canonical_name(&name.value) {
                Ok(host) => match seen.insert(host.clone(), name.at) {
                    Some(first) => self.faults.defined_twice(name.at, "host", &name.value, first),
                    None => drop(hosts.insert(host, addresses)),
                },
                Err(fault) => self.faults.not_a_host(name.at, &name.value, fault),
            }
        }
        hosts
    }

    pub(super) fn resolvers(&mut self) -> Vec<SocketAddr> {
        let document = self.document;
        let mut seen: HashMap<SocketAddr, At> = HashMap::new();
        let mut servers = Vec::new();
        for text in document.resolver.servers.iter().flat_map(|list| &list.value) {
            let Some(server) = name_server(&text.value) else {
                self.faults.not_a_name_server(text.at, &text.value);
                continue;
            };
            if let Some(first) = seen.insert(server, text.at) {
                self.faults.listed_twice(text.at, "name server", &text.value, first);
            }
            servers.push(server);
        }
        servers
    }

    pub(super) fn admin(&mut self, adapters: &[Adapter]) -> Admin {
        let admin = &self.document.admin;
        let socket = admin.socket.as_ref().map_or_else(
            || PathBuf::from("/run/gatehouse/admin.sock"),
            |text| self.files.resolve(text.at, &text.value),
        );
        let port = self.number("port", admin.port.as_ref(), (1, 65_535)).unwrap_or(9_443) as u16;
        let at = admin.adapter.as_ref().map(|it| it.at).or(admin.port.as_ref().map(|it| it.at));
        let page = at.and_then(|at| self.admin_page(at, adapters, port));
        Admin { socket, page }
    }

    /// What stands at `at` asks for it.
    fn admin_page(&mut self, at: At, adapters: &[Adapter], port: u16) -> Option<AdminPage> {
        let written = self.document.admin.adapter.as_ref();
        if let Some(adapter) = written {
            self.place_of("adapter", adapter);
        }
        // Never the external one: the admin plane is not for the Internet.
        let roles = [("internal", Role::Internal), ("management", Role::Management)];
        let role = match written {
            Some(adapter) if adapter.value == "external" => {
                self.faults.admin_on_external(adapter.at);
                return None;
            }
            adapter => self.choice("adapter", adapter, &roles),
        };
        let Some(adapter) = adapters.iter().find(|adapter| adapter.role == role) else {
            if written.is_none() {
                let example = "[adapter.internal] with its addresses";
                self.faults.missing(at, "[admin]", "adapter", example);
            }
            return None;
        };
        if adapter.addresses.is_empty() {
            self.faults.admin_without_addresses(at, role_word(role));
        }
        let outside = adapters.iter().filter(|other| other.role == Role::External);
        for outside in outside {
            if adapter.interface.is_some() && adapter.interface == outside.interface {
                let interface = adapter.interface.as_deref().unwrap_or_default();
                self.faults.admin_shares_external(at, role_word(role), interface);
            }
            // 0.0.0.0 is every address, unless a device bounds it.
            let all = |address: &IpAddr| address.is_unspecified() && adapter.interface.is_none();
            let theirs = |address: &IpAddr| {
                all(address) || outside.addresses.iter().any(|(one, _)| one == address)
            };
            let ours = adapter.addresses.iter().map(|(address, _)| address);
            for shared in ours.filter(|address| !address.is_loopback() && theirs(address)) {
                self.faults.admin_shares_external(at, role_word(role), &shared.to_string());
            }
        }
        Some(AdminPage {
            addresses: adapter.addresses.iter().map(|(address, _)| *address).collect(),
            interface: adapter.interface.clone(),
            port,
        })
    }
}

fn role_word(role: Role) -> &'static str {
    ROLES.iter().find(|(_, known)| *known == role).map_or("", |(word, _)| word)
}

/// Whether an adapter can be called so.
pub(super) fn is_role(name: &str) -> bool {
    ROLES.iter().any(|(role, _)| *role == name)
}

/// `192.168.10.0/24 via 172.25.33.1`
fn route(text: &str) -> Option<Route> {
    let (network, via) = text.split_once(" via ")?;
    let (network, length) = value::prefix(network.trim())?;
    let via: IpAddr = via.trim().parse().ok()?;
    (network.is_ipv4() == via.is_ipv4()).then_some(Route { network: (network, length?), via })
}

/// An address, with a port where it is not everybody's.
fn name_server(text: &str) -> Option<SocketAddr> {
    let alone = text.parse().ok().map(|address| SocketAddr::new(address, DNS_PORT));
    let server = alone.or_else(|| {
        let (address, port) = value::host_and_port(text)?;
        Some(SocketAddr::new(address.parse().ok()?, port))
    })?;
    (!server.ip().is_unspecified() && !server.ip().is_multicast()).then_some(server)
}

/// The kernel's rule (`dev_valid_name`).
fn is_interface(name: &str) -> bool {
    (1..16).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')
}

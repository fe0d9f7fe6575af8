//! Names of servers become addresses, once at start: `[resolver] hosts` first, then the system.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crate::config::Config;
use crate::observe::Notices;
use crate::pool::settings::ServerAddress;

/// Addresses by name.
pub(super) type Known = HashMap<ServerAddress, Vec<SocketAddr>>;

/// The addresses of every server that `config` names. A name that does not resolve stops nothing:
/// its server keeps the addresses that are `known`, and the reason is left in `notices`.
pub(super) fn resolve_all(config: &Config, known: &Known, notices: &Notices) -> Known {
    let servers = config.pools.iter().flat_map(|pool| &pool.servers);
    let mut resolved = HashMap::new();
    for server in servers {
        if resolved.contains_key(&server.address) {
            continue;
        }
        let addresses = match &server.address {
            ServerAddress::Socket(address) => vec![*address],
            ServerAddress::Name { host, port } => resolve(&config.hosts, host, *port)
                .unwrap_or_else(|why| {
                    notices.say(&server.text, &format!("the name does not resolve: {why}"));
                    known.get(&server.address).cloned().unwrap_or_default()
                }),
        };
        resolved.insert(server.address.clone(), addresses);
    }
    resolved
}

fn resolve(
    hosts: &HashMap<String, Vec<IpAddr>>,
    host: &str,
    port: u16,
) -> std::io::Result<Vec<SocketAddr>> {
    if let Some(addresses) = hosts.get(&host.to_ascii_lowercase()) {
        return Ok(addresses.iter().map(|&address| SocketAddr::new(address, port)).collect());
    }
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.dedup();
    Ok(addresses)
}

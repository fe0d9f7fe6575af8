//! News about names as sentences for the service's log.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use crate::config::Config;
use crate::dns::{ADDRESSES_MAX, News, Why};
use crate::observe::NameNow;
use crate::pool::settings::{PoolSettings, ServerAddress};

use super::Told;

/// Things that one sentence names; more are counted.
const NAMED_MAX: usize = 4;

/// What a sentence needs to know beside the news.
pub(in crate::control) struct Scene<'s> {
    pub(in crate::control) config: &'s Config,
    /// The addresses that names have.
    pub(in crate::control) known: &'s HashMap<String, Vec<IpAddr>>,
    /// Pools that have no address at all.
    pub(in crate::control) empty: &'s [&'s PoolSettings],
}

impl Scene<'_> {
    /// The news as a sentence; `None` if no server has that name any more.
    pub(in crate::control) fn sentence(&self, told: &Told) -> Option<String> {
        let host = told.news.host();
        let mut subjects: Vec<&str> = Vec::new();
        for server in self.config.pools.iter().flat_map(|pool| &pool.servers) {
            if is_named(&server.address, host) && !subjects.contains(&server.text.as_str()) {
                subjects.push(&server.text);
            }
        }
        if subjects.is_empty() {
            return None;
        }
        let who = |server: &Option<usize>| match server {
            Some(server) => told.server(*server),
            None => "the system".to_owned(),
        };
        let what = match &told.news {
            News::Moved { server, came, went, left_out, .. } => {
                format!("{}{}", moved(&who(server), came, went, *left_out), self.own(host, came))
            }
            News::Trouble { why, .. } => {
                let command = match self.keeps(host) {
                    true => String::new(),
                    false => format!("; `{}` asks the same", told.command(host, why)),
                };
                format!("{}; {}{command}", told.why(why), self.effect(host))
            }
            News::Well { server, .. } => {
                format!("{} answers again; the addresses are those from before", who(server))
            }
        };
        Some(format!("{}: {what}", some(&subjects)))
    }

    /// A name that has no answer, as it is shown for as long as that is so; `None` if no server has
    /// that name any more.
    pub(in crate::control) fn in_trouble(
        &self,
        told: &Told,
        why: &Why,
        since: u64,
    ) -> Option<NameNow> {
        let host = told.news.host();
        Some(NameNow {
            why: told.why(why),
            next: format!(
                "`{}` asks the same; correct DNS, or the name in the pool's servers, or give it an address in [resolver] hosts",
                told.command(host, why)
            ),
            ..self.name(host, since)?
        })
    }

    /// A name that leads back to us, as it is shown; `None` if it does not.
    pub(in crate::control) fn leading_back(&self, host: &str) -> Option<NameNow> {
        let at = self.own_place(host, self.known.get(host)?)?;
        Some(NameNow {
            why: format!("it leads to {at}, where Gatehouse itself listens, which is left out"),
            next: "correct DNS, or the name in the pool's servers, or give it an address in [resolver] hosts"
                .to_owned(),
            ..self.name(host, 0)?
        })
    }

    fn name(&self, host: &str, since: u64) -> Option<NameNow> {
        let pools = self.config.pools.iter().filter(|pool| uses(pool, host));
        let pools: Vec<String> = pools.map(|pool| pool.name.clone()).collect();
        (!pools.is_empty()).then(|| NameNow {
            name: host.to_owned(),
            pools,
            since: (since > 0).then_some(since),
            effect: self.effect(host),
            ..NameNow::default()
        })
    }

    /// It has addresses from before.
    fn keeps(&self, host: &str) -> bool {
        self.known.get(host).is_some_and(|addresses| !addresses.is_empty())
    }

    /// What follows for requests.
    fn effect(&self, host: &str) -> String {
        let empty = self.empty.iter().filter(|pool| uses(pool, host));
        let pools: Vec<&str> = empty.map(|pool| pool.name.as_str()).collect();
        match pools.as_slice() {
            [] if self.keeps(host) => "the addresses from before stay in use".to_owned(),
            [] => "no requests go there".to_owned(),
            [pool] => format!("pool {pool} has no address and answers 503"),
            pools => format!("pools {} have no address and answer 503", some(pools)),
        }
    }

    /// Addresses that would lead back to us.
    fn own(&self, host: &str, came: &[IpAddr]) -> String {
        let Some(at) = self.own_place(host, came) else { return String::new() };
        format!(
            "; {at} is left out, since Gatehouse itself listens there: correct the name, or give it an address in [resolver] hosts"
        )
    }

    fn own_place(&self, host: &str, addresses: &[IpAddr]) -> Option<SocketAddr> {
        let servers = self.config.pools.iter().flat_map(|pool| &pool.servers);
        let mut ports = servers.filter_map(|server| match &server.address {
            ServerAddress::Name { host: name, port } if name == host => Some(*port),
            _ => None,
        });
        ports.find_map(|port| {
            let mut at = addresses.iter().map(|address| SocketAddr::new(*address, port));
            at.find(|at| is_own(self.config, *at))
        })
    }
}

impl Told {
    fn server(&self, server: usize) -> String {
        self.servers.get(server).map_or_else(|| "a name server".to_owned(), |at| plain(*at))
    }

    fn why(&self, why: &Why) -> String {
        match why {
            Why::Nonexistent { server } => {
                format!("{} says that the name does not exist", self.server(*server))
            }
            Why::NoAddress { server } => {
                format!("{} says that the name has no address", self.server(*server))
            }
            Why::Cannot { server, code } => match code {
                1 => format!("{} does not understand the question (FORMERR)", self.server(*server)),
                2 => format!("{} fails to find out (SERVFAIL)", self.server(*server)),
                4 => format!("{} does not answer such questions (NOTIMP)", self.server(*server)),
                5 => format!("{} refuses to answer this machine (REFUSED)", self.server(*server)),
                code => format!("{} answers with code {code}", self.server(*server)),
            },
            Why::Nonsense { server, what } => {
                format!("the answer of {} is not used: {what}", self.server(*server))
            }
            Why::Unreachable { server, error } => {
                format!("{} cannot be asked: {error}", self.server(*server))
            }
            Why::Silent => {
                let all: Vec<String> = self.servers.iter().map(|server| plain(*server)).collect();
                format!("no answer from {}", some(&all))
            }
            Why::System(error) => format!("the name does not resolve: {error}"),
            Why::NotAName => "DNS cannot hold such a name".to_owned(),
        }
    }

    /// What an administrator types to see the same.
    fn command(&self, host: &str, why: &Why) -> String {
        let server = match why {
            Why::Nonexistent { server }
            | Why::NoAddress { server }
            | Why::Cannot { server, .. }
            | Why::Nonsense { server, .. }
            | Why::Unreachable { server, .. } => *server,
            _ => 0,
        };
        match self.servers.get(server) {
            None => format!("getent ahosts {host}"),
            Some(at) if at.port() == 53 => format!("nslookup {host} {}", at.ip()),
            Some(at) => format!("nslookup -port={} {host} {}", at.port(), at.ip()),
        }
    }
}

fn moved(who: &str, came: &[IpAddr], went: &[IpAddr], left_out: usize) -> String {
    let change = match (came, went) {
        (came, []) => format!("{} came", some(came)),
        ([], went) => format!("{} went", some(went)),
        (came, went) => format!("{} came and {} went", some(came), some(went)),
    };
    let more = match left_out {
        0 => String::new(),
        count => format!("; {count} more are left out, since a name may have {ADDRESSES_MAX}"),
    };
    format!("according to {who}, {change}{more}")
}

/// Without the port that is everybody's.
fn plain(at: SocketAddr) -> String {
    if at.port() == 53 { at.ip().to_string() } else { at.to_string() }
}

fn some<T: Display>(things: &[T]) -> String {
    let mut text = String::new();
    for (place, thing) in things.iter().take(NAMED_MAX).enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        text += &format!("{comma}{thing}");
    }
    match things.len().saturating_sub(NAMED_MAX) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

fn is_named(address: &ServerAddress, name: &str) -> bool {
    matches!(address, ServerAddress::Name { host, .. } if host == name)
}

fn uses(pool: &PoolSettings, host: &str) -> bool {
    pool.servers.iter().any(|server| is_named(&server.address, host))
}

/// Whether one of our own Listeners accepts there: what is sent to it would come back for ever.
pub(in crate::control) fn is_own(config: &Config, at: SocketAddr) -> bool {
    let (ip, port) = (at.ip(), at.port());
    config.listeners.iter().filter(|listener| listener.port == port).any(|listener| {
        listener.addresses.iter().any(|own| {
            *own == ip || (own.is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
        })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn told(news: News) -> Told {
        let servers = ["172.25.33.53:53", "[2001:db8::53]:5353"];
        let servers = servers.iter().map(|at| at.parse().unwrap()).collect();
        Told { news, servers: Arc::new(servers) }
    }

    #[track_caller]
    fn check(why: &Why, sentence: &str, command: &str) {
        let told = told(News::Trouble { host: "fe01".to_owned(), why: why.clone() });
        assert_eq!(
            (told.why(why).as_str(), told.command("fe01", why).as_str()),
            (sentence, command)
        );
    }

    #[test]
    fn reasons() {
        let first = "nslookup fe01 172.25.33.53";
        let second = "nslookup -port=5353 fe01 2001:db8::53";
        check(
            &Why::Nonexistent { server: 0 },
            "172.25.33.53 says that the name does not exist",
            first,
        );
        check(
            &Why::NoAddress { server: 1 },
            "[2001:db8::53]:5353 says that the name has no address",
            second,
        );
        check(
            &Why::Cannot { server: 0, code: 2 },
            "172.25.33.53 fails to find out (SERVFAIL)",
            first,
        );
        check(
            &Why::Cannot { server: 1, code: 9 },
            "[2001:db8::53]:5353 answers with code 9",
            second,
        );
        check(&Why::Silent, "no answer from 172.25.33.53, [2001:db8::53]:5353", first);
        check(
            &Why::Unreachable { server: 0, error: "Connection refused".to_owned() },
            "172.25.33.53 cannot be asked: Connection refused",
            first,
        );
    }

    #[test]
    fn moves() {
        let address = |last| IpAddr::from([10, 0, 0, last]);
        let check = |came: &[IpAddr], went: &[IpAddr], left_out, expected| {
            assert_eq!(moved("the system", came, went, left_out), expected);
        };
        check(&[address(1)], &[], 0, "according to the system, 10.0.0.1 came");
        check(
            &[address(1)],
            &[address(2), address(3)],
            0,
            "according to the system, 10.0.0.1 came and 10.0.0.2, 10.0.0.3 went",
        );
        let many: Vec<IpAddr> = (1..=6).map(address).collect();
        check(
            &many,
            &[],
            9,
            "according to the system, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 2 more came; \
             9 more are left out, since a name may have 32",
        );
    }
}

//! What the words of the log mean and what to do about them: the operator's page, as data.

use super::{ClientFault, Failure, ProxyFault, UpstreamFault};
use crate::http::{Malformed, Sender};

impl Failure {
    /// Every Failure there is: the client's, the servers', ours.
    pub fn all() -> impl Iterator<Item = Self> {
        let but = |other| {
            let all = Malformed::all().filter(move |(_, sender)| *sender != other);
            all.map(|(reason, _)| reason)
        };
        let clients = CLIENT.into_iter().chain(but(Sender::Server).map(ClientFault::Malformed));
        let servers = UPSTREAM.into_iter().chain(but(Sender::Client).map(UpstreamFault::Malformed));
        let clients = clients.map(Self::Client);
        clients.chain(servers.map(Self::Upstream)).chain(PROXY.into_iter().map(Self::Proxy))
    }

    /// The Failures that a word stands for: one, or where both sides can break the same rule, two.
    pub fn of_word(word: &str) -> impl Iterator<Item = Self> {
        Self::all().filter(move |failure| failure.word() == word)
    }

    /// What the client sees, in words: not every Failure can still be answered.
    #[must_use]
    pub fn seen_by_client(self) -> &'static str {
        match self {
            Self::Client(ClientFault::Left | ClientFault::SlowReader) => {
                "nothing; the status is the log's only"
            }
            Self::Client(ClientFault::TlsTooOld | ClientFault::NoCommonSuite) => {
                "no connection; the status is nominal, and 0 in the log"
            }
            Self::Upstream(UpstreamFault::PinLost) => "the connection ends without an answer",
            Self::Upstream(UpstreamFault::Truncated | UpstreamFault::SlowBody) => {
                "a connection that is reset, if the answer had begun"
            }
            Self::Client(_) | Self::Upstream(_) | Self::Proxy(_) => "an error page",
        }
    }

    /// What happened, in a sentence or two.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Client(fault) => client_meaning(fault),
            Self::Upstream(fault) => upstream_meaning(fault),
            Self::Proxy(fault) => match fault {
                ProxyFault::NoDescriptors => {
                    "This box has no file descriptor left for the connection."
                }
                ProxyFault::NoPorts => {
                    "This box has no port left for another connection to the server: all that it may use are open, or wait for the end of a connection to be forgotten."
                }
                ProxyFault::TooManyClients => {
                    "More clients were connected than `limits.clients_max` allows."
                }
                ProxyFault::MemoryFull => {
                    "The buffers of this box took up more than `limits.memory_max`; nothing new is begun until some are free."
                }
                ProxyFault::NoServer => {
                    "The pool has no server with an address: no name of its servers resolves."
                }
            },
        }
    }

    /// What to do about it, with the commands that show more. In capitals: what to put in.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Client(fault) => client_advice(fault),
            Self::Upstream(fault) => upstream_advice(fault),
            Self::Proxy(fault) => match fault {
                ProxyFault::NoDescriptors => {
                    "Raise LimitNOFILE with `systemctl edit gatehouse`, then restart. `grep 'open files' /proc/$(pidof gatehouse)/limits` shows the limit, `ls /proc/$(pidof gatehouse)/fd | wc -l` how many are used."
                }
                ProxyFault::NoPorts => {
                    "`ss -Htn dst SERVER | wc -l` shows how many are open, `sysctl net.ipv4.ip_local_port_range` how many there may be. If requests hang at the server, mend that; if they are all needed, widen the range or give the pool a second server address: each has ports of its own. A larger idle_max of the pool (`gatehouse keys pool.NAME.idle_max`) spares new connections."
                }
                ProxyFault::TooManyClients => {
                    "See who they are: `ss -Htn state established 'sport = :443' | awk '{print $4}' | sed 's/:[0-9]*$//' | sort | uniq -c | sort -n | tail`. If they are all welcome, raise limits.clients_max (`gatehouse keys limits.clients_max`)."
                }
                ProxyFault::MemoryFull => {
                    "`free -m` shows whether the box has more to give: then raise limits.memory_max (`gatehouse keys limits.memory_max`). If clients that take nothing hold it, lower limits.clients_per_address_max."
                }
                ProxyFault::NoServer => {
                    "`journalctl -u gatehouse | grep SERVER` shows what name servers have said, and the command that asks them the same. Correct the name in the pool's servers, add it to [resolver] hosts, or mend DNS: it is asked again by itself, and by `gatehouse reload` at once."
                }
            },
        }
    }
}

const CLIENT: [ClientFault; 15] = [
    ClientFault::BadPath,
    ClientFault::SlowHead,
    ClientFault::SlowBody,
    ClientFault::SlowReader,
    ClientFault::Left,
    ClientFault::BodyTooLong,
    ClientFault::Misdirected,
    ClientFault::NoRule,
    ClientFault::AddressRefused,
    ClientFault::TooManyFromAddress,
    ClientFault::UserLocked,
    ClientFault::AddressLocked,
    ClientFault::TooManyTickets,
    ClientFault::TlsTooOld,
    ClientFault::NoCommonSuite,
];

const UPSTREAM: [UpstreamFault; 10] = [
    UpstreamFault::AllDown,
    UpstreamFault::Refused,
    UpstreamFault::Unreachable,
    UpstreamFault::SlowConnect,
    UpstreamFault::TlsFailed,
    UpstreamFault::ClosedBeforeHead,
    UpstreamFault::SlowHead,
    UpstreamFault::Truncated,
    UpstreamFault::SlowBody,
    UpstreamFault::PinLost,
];

const PROXY: [ProxyFault; 5] = [
    ProxyFault::NoDescriptors,
    ProxyFault::NoPorts,
    ProxyFault::TooManyClients,
    ProxyFault::MemoryFull,
    ProxyFault::NoServer,
];

fn client_meaning(fault: ClientFault) -> &'static str {
    match fault {
        ClientFault::Malformed(malformed) => malformed.meaning(),
        ClientFault::BadPath => {
            "The path has broken escapes, leaves the root, holds control characters, or would mean something else if it were decoded once more."
        }
        ClientFault::SlowHead => {
            "The head of a request was not complete within `timeouts.client_head`."
        }
        ClientFault::SlowBody => {
            "Nothing of a due request body came within `timeouts.client_body_idle`, or it came more slowly than `limits.client_rate_min`."
        }
        ClientFault::SlowReader => {
            "The client took nothing of its answer within `timeouts.client_write_idle`, or took it more slowly than `limits.client_rate_min`."
        }
        ClientFault::Left => {
            "The client closed its connection before the answer had ended, as browsers do when somebody clicks on."
        }
        ClientFault::BodyTooLong => "The request body was longer than `limits.body_bytes_max`.",
        ClientFault::Misdirected => {
            "No site has the asked name on this listener; or the connection was set up with another site's certificate."
        }
        ClientFault::NoRule => "The site has the name, and no rule for the path.",
        ClientFault::AddressRefused => {
            "The site's `allow` and `deny` do not let this client's address in."
        }
        ClientFault::TlsTooOld => {
            "The client speaks nothing newer than TLS 1.0 or 1.1, which are not offered: they have been given up by everybody (RFC 8996). `host` of the log line is the server name that it asked for, if it sent one."
        }
        ClientFault::NoCommonSuite => {
            "The client speaks TLS 1.2, and knows none of the cipher suites, or of the curves, that the listener offers with its certificate. Windows 7 and 8.1 know no modern one with an RSA certificate."
        }
        ClientFault::TooManyFromAddress => {
            "More clients came from one address than `limits.clients_per_address_max` allows."
        }
        ClientFault::UserLocked => {
            "Too many passwords of this user were wrong, from whatever address. The server was not asked."
        }
        ClientFault::AddressLocked => {
            "Too many passwords from this address were wrong, of whatever user. The server was not asked."
        }
        ClientFault::TooManyTickets => {
            "More POSTs for web tickets came from this address than `tickets_per_minute` of the site's log_in_guard allows. The server was not asked."
        }
    }
}

fn client_advice(fault: ClientFault) -> &'static str {
    match fault {
        ClientFault::Malformed(
            Malformed::HeadTooLong | Malformed::FieldTooLong | Malformed::FieldsTooMany,
        ) => {
            "Users in many groups have large Kerberos tickets: raise the site's limits (`gatehouse keys limits.head_bytes_max`). Else the client has collected too many cookies: clear them."
        }
        ClientFault::Malformed(Malformed::TargetTooLong) => {
            "Raise the site's limit if the application needs such long addresses: `gatehouse keys limits.target_bytes_max`."
        }
        ClientFault::Malformed(_) => {
            "Nothing, if it is one of the scanners that every public address sees: they do this on purpose. If users complain, look which program sends it (`client` and `user_agent` of the log line) and have that program or the proxy before it corrected."
        }
        ClientFault::BadPath => {
            "Nothing, if it is a scanner. If an application needs such paths (Office Web Apps does), give it a site of its own with path_check = \"raw\": `gatehouse keys site.NAME.path_check`."
        }
        ClientFault::SlowHead => {
            "Nothing, if it comes from single addresses. From many users at once it is a bad line: look for loss with `ss -tin 'sport = :443'` (retrans)."
        }
        ClientFault::SlowBody => {
            "Nothing, if it is one user on a bad line. If uploads of everybody break, look for loss with `ss -tin 'sport = :443'`, or raise timeouts.client_body_idle."
        }
        ClientFault::SlowReader => {
            "Nothing, if it is one user on a bad line. If downloads of everybody break, look for loss with `ss -tin 'sport = :443'`, or raise timeouts.client_write_idle."
        }
        ClientFault::Left => {
            "Nothing, if it is now and then. If always after the same time (`total_us` of the log lines), something between the client and this box, or the client itself, has a shorter time-out than the server needs."
        }
        ClientFault::BodyTooLong => {
            "Raise the site's limit if such uploads are wanted: `gatehouse keys limits.body_bytes_max`."
        }
        ClientFault::Misdirected => {
            "Compare `host` of the log line with `names` in the file. If users are right to ask for it, add the name to a site, and to its certificate. Scanners ask by address: that is what 421 is for."
        }
        ClientFault::AddressRefused => {
            "Compare `client` of the log line with the site's allow and deny. If it is the address of a proxy or a router, the users stand behind that: allow it, or have them come directly."
        }
        ClientFault::TlsTooOld => {
            "Update the client. On Windows 7 and Server 2008 R2 switch TLS 1.2 on for programs too (update KB3140245 with its registry keys). Lync Phone Edition, Lync 2010 for Mac and other devices that know TLS 1.0 only cannot be served; scanners of the Internet look like this too and need nothing."
        }
        ClientFault::NoCommonSuite => {
            "Give the site an ECDSA P-256 certificate beside its RSA one, or set profile = \"windows-7\" in the listener's table (`gatehouse keys listener.NAME.profile`). See what the listener offers: `nmap --script ssl-enum-ciphers -p 443 ADDRESS`. A client that is no Windows wants updating."
        }
        ClientFault::TooManyFromAddress => {
            "See whether it is an attack or a company behind one address: `ss -Htn state established 'sport = :443' | awk '{print $4}' | sed 's/:[0-9]*$//' | sort | uniq -c | sort -n | tail`. If they are welcome, raise limits.clients_per_address_max."
        }
        ClientFault::UserLocked => {
            "`journalctl -u gatehouse | grep log-ins` names the user and the address of the last try. If it is the user, mend the password that some device of his still sends; else somebody guesses, and the account is safe. It passes by itself after `window`; an address from which the user got in lately is let through (`gatehouse keys site.NAME.log_in_guard`)."
        }
        ClientFault::AddressLocked => {
            "See whether it is an attack or a company behind one address: the access log has its requests. If its users are welcome, raise address_refused_max; if it is an attack, deny the address (`gatehouse keys site.NAME.deny`)."
        }
        ClientFault::TooManyTickets => {
            "See whether it is an attack or a company behind one address: the access log has its requests. If its users are welcome, raise tickets_per_minute (`gatehouse keys site.NAME.log_in_guard`)."
        }
        ClientFault::NoRule => {
            "If users are right to ask for it, add a rule to the site: `gatehouse keys site.NAME.rule`."
        }
    }
}

fn upstream_meaning(fault: UpstreamFault) -> &'static str {
    match fault {
        UpstreamFault::Malformed(malformed) => malformed.meaning(),
        UpstreamFault::AllDown => {
            "No server of the pool may be asked: probes say that each is down and the pool has all_down = \"refuse\", or the servers were drained."
        }
        UpstreamFault::Refused => {
            "The server refused the connection: it is there, and its service is not."
        }
        UpstreamFault::Unreachable => {
            "There is no way to the server: this box's adapter is down or lacks its address, no route, no such machine, or a firewall says no; or a connection to it was silent for `timeouts.tcp_keepalive` though it had to say something."
        }
        UpstreamFault::SlowConnect => {
            "Connection and TLS to the server were not set up within `timeouts.connect`."
        }
        UpstreamFault::TlsFailed => {
            "TLS to the server failed: an authority that is not in `ca`, another name than `server_name`, a date, or no common protocol."
        }
        UpstreamFault::ClosedBeforeHead => "The server closed the connection instead of answering.",
        UpstreamFault::SlowHead => {
            "The server's answer did not begin within `timeouts.response_head`."
        }
        UpstreamFault::Truncated => "The server's answer ended before its announced end.",
        UpstreamFault::SlowBody => {
            "The server's answer stopped coming for `timeouts.response_body_idle`."
        }
        UpstreamFault::PinLost => {
            "The server ended the connection that this client was logged in on (NTLM, Negotiate). The client's connection ends too, so that it logs in again."
        }
    }
}

fn upstream_advice(fault: UpstreamFault) -> &'static str {
    match fault {
        UpstreamFault::Malformed(Malformed::ProxyAuthFromServer) => {
            "A proxy stands between this box and the server, or the server is one. Point the pool at the web server itself: `ss -tnp dst SERVER`, then the pool's servers in the file."
        }
        UpstreamFault::Malformed(_) => {
            "Have the server's application corrected. See what it sends: `curl -sv --http1.1 -o /dev/null http://SERVER:PORT/PATH` from this box (https:// and -k for a pool with TLS)."
        }
        UpstreamFault::AllDown => {
            "`journalctl -u gatehouse | grep 'is down'` says since when and why. If the servers work and only the probe is wrong, correct it (`gatehouse keys pool.NAME.probe`); `gatehouse pool NAME undrain --server SERVER` takes a drained server in again."
        }
        UpstreamFault::Refused => {
            "On the server: is the service started, on this port (`netstat -ano | findstr PORT`; for IIS `iisreset /status`)? From this box: `nc -vz SERVER PORT`. A firewall that rejects looks the same."
        }
        UpstreamFault::Unreachable => {
            "From this box: `ip -brief address` (is the internal adapter UP, and has it the address of the file?), `ip route get SERVER`, `ping SERVER`, `ip neigh | grep SERVER`. A missing network goes into routes of [adapter.internal]."
        }
        UpstreamFault::SlowConnect => {
            "A firewall that drops looks like this, and so does a server that is overloaded: `nc -vz -w 5 SERVER PORT`, `ss -tn state syn-sent`, `traceroute -T -p PORT SERVER`."
        }
        UpstreamFault::TlsFailed => {
            "`journalctl -u gatehouse | grep TLS` says which. See what the server shows: `openssl s_client -connect SERVER:PORT -servername NAME -showcerts </dev/null`. Then correct ca or server_name in the pool's tls table, or the server's certificate."
        }
        UpstreamFault::ClosedBeforeHead => {
            "Look into the server's own log at the time of the log line (IIS: the event log, and HTTPERR in %windir%\\System32\\LogFiles): usually its worker process ended or was recycled."
        }
        UpstreamFault::SlowHead => {
            "Look at the server: is it overloaded, does it wait for a database? `total_us` of other lines with the same `rule` shows what is usual. Long polls need a longer time: `gatehouse keys timeouts.response_head`."
        }
        UpstreamFault::Truncated | UpstreamFault::SlowBody => {
            "Look into the server's own log at the time of the log line. If it says that all was well, something between it and this box ends connections: a firewall with a short idle time-out."
        }
        UpstreamFault::PinLost => {
            "Nothing, if it is now and then: IIS closes idle connections after 120 s. If users are asked for their password again and again, look whether the server's application pool is recycled."
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// A word that is given to a new reason and not listed here would have no explanation.
    #[test]
    fn every_word_is_listed() {
        let listed: HashSet<&str> = Failure::all().map(Failure::word).collect();
        for source in [include_str!("failure.rs"), include_str!("../http/malformed.rs")] {
            let (_, words) = source.split_once("pub fn word").unwrap();
            let words = words.split("pub fn").next().unwrap().split('"').skip(1).step_by(2);
            let words: Vec<&str> = words.collect();
            assert!(words.len() >= 20, "{words:?}");
            for word in words {
                assert!(listed.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn every_word_and_party_is_there_once() {
        let mut seen = HashSet::new();
        for failure in Failure::all() {
            assert!(seen.insert((failure.word(), failure.party())), "{}", failure.word());
            assert!((1..=2).contains(&Failure::of_word(failure.word()).count()));
            for text in [failure.meaning(), failure.advice()] {
                assert!(text.ends_with('.') && text.matches('`').count() % 2 == 0, "{text}");
            }
        }
        assert_eq!(Failure::of_word("none_such").count(), 0);
    }
}

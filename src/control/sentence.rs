//! What the service's log says about the health of a server: what is, why, what follows, and what
//! to do.

use std::net::SocketAddr;

use crate::observe::{REFUSES_LOG_INS, REFUSES_NEXT};
use crate::pool::health::{Shown, Trouble};
use crate::pool::settings::{Ask, ProbeSettings};

/// All that a sentence is made of.
#[derive(Clone, Debug)]
pub(super) struct Facts<'f> {
    pub(super) pool: &'f str,
    pub(super) address: SocketAddr,
    pub(super) probe: Option<&'f ProbeSettings>,
    /// Requests go there by TLS.
    pub(super) tls: bool,
    /// What was said last.
    pub(super) before: Shown,
    pub(super) shown: Shown,
    pub(super) trouble: Option<Trouble>,
    /// More about it; may be empty.
    pub(super) detail: String,
    /// Exchanges in a row that failed.
    pub(super) failures: u8,
    /// Milliseconds until it is tried again.
    pub(super) again_in: u64,
    /// Other servers of the pool that get requests.
    pub(super) others_up: usize,
    pub(super) in_flight: u32,
}

/// All log-ins are refused there, or one was not.
pub(super) fn refusing_words(pool: &str, address: SocketAddr, refusing: bool) -> String {
    let (does, what) = match refusing {
        true => (REFUSES_LOG_INS, REFUSES_NEXT),
        false => ("accepts Windows log-ins again", ""),
    };
    let colon = if what.is_empty() { "" } else { ": " };
    format!("pool {pool}, server {address}: {does}{colon}{what}")
}

/// One line.
pub(super) fn sentence(facts: &Facts<'_>) -> String {
    let news = match facts.shown {
        Shown::Down => down(facts),
        Shown::LeftOut => left_out(facts),
        Shown::Drained => format!(
            "takes no new requests, since it was drained; {} are under way",
            facts.in_flight
        ),
        Shown::Up => match (facts.before, facts.probe) {
            (Shown::Drained, _) => "takes requests again".to_owned(),
            (Shown::Down, Some(probe)) => {
                format!("is up again: {} in a row passed", probes(probe.rise))
            }
            (Shown::Down, None) => "is up again: it is not probed any more".to_owned(),
            _ => "is used again: it answers".to_owned(),
        },
    };
    format!("pool {}: server {} {news}", facts.pool, facts.address)
}

/// One line for a server that was down by a probe which is not made any more. It is not known to be
/// well: nobody has looked by the new one.
pub(super) fn asked_anew(pool: &str, address: SocketAddr, fall: u8) -> String {
    format!(
        "pool {pool}: server {address} was down by its old probe, and gets requests until {} of the new one in a row have failed",
        probes(fall)
    )
}

fn probes(count: u8) -> String {
    if count == 1 { "1 probe".to_owned() } else { format!("{count} probes") }
}

fn down(facts: &Facts<'_>) -> String {
    let fall = probes(facts.probe.map_or(1, |probe| probe.fall));
    let follows = match (facts.others_up, facts.probe) {
        (0, Some(probe)) if !probe.try_all => {
            "no other is up, and requests get 503 (all_down = \"refuse\")"
        }
        (0, _) => "no other is up, so it is still tried",
        _ => "requests go to the others",
    };
    format!("is down: {fall} in a row failed, last: {}; {follows}; {}", why(facts), advice(facts))
}

fn left_out(facts: &Facts<'_>) -> String {
    let what = match facts.failures {
        failures @ 3.. => format!("{failures} requests in a row failed, last: {}", why(facts)),
        _ => why(facts),
    };
    let seconds = facts.again_in.div_ceil(1_000).max(1);
    let follows = if facts.others_up == 0 {
        "no other is up, so it is still tried".to_owned()
    } else {
        format!("requests go to the others, and it is tried again in {seconds} s")
    };
    format!("is left out: {what}; {follows}; {}", advice(facts))
}

/// What was wrong last; empty if nothing ever was.
pub(super) fn why(facts: &Facts<'_>) -> String {
    let words = facts.trouble.map_or_else(String::new, |it| trouble_words(it, facts.probe));
    let detail = facts.detail.as_str();
    // What the kernel says about a refused connection says nothing more.
    if detail.is_empty() || facts.trouble == Some(Trouble::Refused) {
        words
    } else {
        format!("{words} ({detail})")
    }
}

/// What was wrong, in words.
fn trouble_words(trouble: Trouble, probe: Option<&ProbeSettings>) -> String {
    let words = match trouble {
        Trouble::Refused => "connection refused",
        Trouble::Unreachable => "there is no way to it",
        Trouble::ConnectTimedOut => "no connection in time",
        Trouble::Handshake => "TLS cannot be set up",
        Trouble::Closed => "it ended the connection before an answer",
        Trouble::HeadTimedOut => "no answer in time",
        Trouble::NotHttp => "the answer is not HTTP",
        Trouble::Status(status) => {
            let expected = match probe.map(|probe| &probe.ask) {
                Some(Ask::Http { expect, .. }) => format!(" instead of {expect}"),
                _ => String::new(),
            };
            return format!("status {status}{expected}");
        }
    };
    words.to_owned()
}

/// What to do, with the command that shows more.
pub(super) fn advice(facts: &Facts<'_>) -> String {
    let host = facts.address.ip();
    let ask = facts.probe.map(|probe| &probe.ask).filter(|_| facts.shown == Shown::Down);
    let port = match ask {
        Some(Ask::Tcp(port)) => *port,
        _ => facts.address.port(),
    };
    match facts.trouble {
        None => "look at the server".to_owned(),
        Some(Trouble::Refused) => format!(
            "is its service started, on this port? from this box: `nc -vz {host} {port}`"
        ),
        Some(Trouble::Unreachable) => format!("the way to it: `ip route get {host}`"),
        Some(Trouble::ConnectTimedOut) => {
            let tls = if facts.tls && !matches!(ask, Some(Ask::Tcp(_))) {
                "; if that connects, the service there hangs before TLS is set up: look at it"
            } else {
                ""
            };
            format!(
                "is the machine up, and does each firewall let this box through? `nc -vz -w 5 {host} {port}`{tls}"
            )
        }
        Some(Trouble::Handshake) => {
            "what to do: `gatehouse explain upstream_tls_failed`".to_owned()
        }
        Some(Trouble::Closed) => "what to do: `gatehouse explain upstream_closed`".to_owned(),
        Some(Trouble::HeadTimedOut) => {
            "it takes connections and does not answer: look at the application there, `gatehouse explain upstream_slow_head`"
                .to_owned()
        }
        Some(Trouble::NotHttp | Trouble::Status(_)) => {
            let scheme = if facts.tls { "https" } else { "http" };
            let insecure = if facts.tls { "k" } else { "" };
            let (path, name) = match ask {
                Some(Ask::Http { path, host, .. }) => (path.as_str(), host.as_deref()),
                _ => ("/", None),
            };
            let name = name.map_or_else(String::new, |name| format!(" -H 'Host: {name}'"));
            let address = facts.address;
            format!("see the answer: `curl -sv{insecure} '{scheme}://{address}{path}'{name}`")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn probe(ask: Ask, try_all: bool) -> ProbeSettings {
        let (every, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
        ProbeSettings { ask, every, timeout, fall: 3, rise: 2, try_all }
    }

    fn facts<'f>(probe: Option<&'f ProbeSettings>, shown: Shown, trouble: Trouble) -> Facts<'f> {
        Facts {
            pool: "front-end",
            address: "192.0.2.12:4443".parse().unwrap(),
            probe,
            tls: true,
            before: Shown::Up,
            shown,
            trouble: Some(trouble),
            detail: String::new(),
            failures: 0,
            again_in: 4_001,
            others_up: 1,
            in_flight: 7,
        }
    }

    #[track_caller]
    fn check(facts: &Facts<'_>, expected: &str) {
        let said = sentence(facts);
        let said = said.strip_prefix("pool front-end: server 192.0.2.12:4443 ");
        assert_eq!(said, Some(expected));
    }

    #[test]
    fn sentences_say_why_and_what_to_do() {
        let tcp = probe(Ask::Tcp(5061), true);
        check(
            &facts(Some(&tcp), Shown::Down, Trouble::Refused),
            "is down: 3 probes in a row failed, last: connection refused; requests go to the others; \
             is its service started, on this port? from this box: `nc -vz 192.0.2.12 5061`",
        );
        let host = Some("webext.contoso.com".to_owned());
        let http = probe(Ask::Http { path: "/x".to_owned(), host, expect: 200 }, false);
        check(
            &Facts { others_up: 0, ..facts(Some(&http), Shown::Down, Trouble::Status(503)) },
            "is down: 3 probes in a row failed, last: status 503 instead of 200; no other is up, and \
             requests get 503 (all_down = \"refuse\"); see the answer: `curl -svk \
             'https://192.0.2.12:4443/x' -H 'Host: webext.contoso.com'`",
        );
        let unknown = "invalid peer certificate: UnknownIssuer".to_owned();
        check(
            &Facts { detail: unknown, ..facts(Some(&http), Shown::Down, Trouble::Handshake) },
            "is down: 3 probes in a row failed, last: TLS cannot be set up (invalid peer certificate: \
             UnknownIssuer); requests go to the others; what to do: `gatehouse explain \
             upstream_tls_failed`",
        );
        check(
            &Facts { failures: 3, ..facts(None, Shown::LeftOut, Trouble::Refused) },
            "is left out: 3 requests in a row failed, last: connection refused; requests go to the \
             others, and it is tried again in 5 s; is its service started, on this port? from this \
             box: `nc -vz 192.0.2.12 4443`",
        );
        check(
            &Facts { others_up: 0, ..facts(None, Shown::LeftOut, Trouble::HeadTimedOut) },
            "is left out: no answer in time; no other is up, so it is still tried; it takes \
             connections and does not answer: look at the application there, `gatehouse explain \
             upstream_slow_head`",
        );
    }

    /// A kernel goes on taking connections for a program that hangs.
    #[test]
    fn a_server_that_hangs_before_tls_is_not_blamed_on_a_firewall() {
        let tcp = probe(Ask::Tcp(5061), true);
        for (probe, tls, told) in
            [(None, true, true), (None, false, false), (Some(&tcp), true, false)]
        {
            let facts = Facts { tls, ..facts(probe, Shown::Down, Trouble::ConnectTimedOut) };
            let said = sentence(&facts);
            assert!(said.contains("`nc -vz -w 5 192.0.2.12"), "{said}");
            assert_eq!(said.contains("hangs before TLS"), told, "{said}");
        }
    }

    #[test]
    fn what_is_well_again_is_said_too() {
        let tcp = probe(Ask::Tcp(5061), true);
        let up = facts(Some(&tcp), Shown::Up, Trouble::Refused);
        check(
            &Facts { before: Shown::Down, ..up.clone() },
            "is up again: 2 probes in a row passed",
        );
        check(&Facts { before: Shown::LeftOut, ..up.clone() }, "is used again: it answers");
        check(&Facts { before: Shown::Drained, ..up.clone() }, "takes requests again");
        check(
            &Facts { shown: Shown::Drained, ..up },
            "takes no new requests, since it was drained; 7 are under way",
        );
    }
}

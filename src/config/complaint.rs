//! Everything that can be wrong with the operator's files, in words. All messages stand here.
//!
//! A message says what was found and what would be right; help says what to do where that is more
//! than correcting the place.

mod files;

pub(super) use files::TooMuch;

use std::io;
use std::path::Path;

use super::faults::Faults;
use super::report::{Complaint, Complaints, Severity};
use super::suggest::nearest;
use super::words::{name_fault, reason, suggestion};
use crate::document::{At, Place};
use crate::site::host::NameFault;
use crate::site::{PathFault, Prefix};

/// Single values.
impl Faults {
    pub(super) fn missing(&mut self, at: At, what: &str, key: &str, example: &str) {
        if self.may_be_there(key) {
            return;
        }
        self.add(at, format!("{what} has no `{key}`")).help(format!("add {example}"));
    }

    pub(super) fn not_a_duration(&mut self, at: At, key: &str) {
        self.add(
            at,
            format!("`{key}` takes a length of time such as \"500ms\", \"10s\", \"5m\" or \"2h\""),
        )
        .help("more than nothing, at most a year, and always with a unit");
    }

    pub(super) fn not_a_size(&mut self, at: At, key: &str) {
        if key.contains("bytes") || key == "memory_max" {
            self.add(at, format!("`{key}` takes a size such as 32768, \"16kB\" or \"100MB\""))
                .help("units are B, kB, MB and GB, and KiB, MiB and GiB for powers of 1024");
        } else {
            let auto = if matches!(key, "count" | "clients_max") { ", or \"auto\"" } else { "" };
            self.add(at, format!("`{key}` takes a whole number such as 4{auto}"));
        }
    }

    pub(super) fn not_a_rate(&mut self, at: At, key: &str) {
        self.add(at, format!("`{key}` takes a rate such as \"500B/s\", or \"off\""));
    }

    pub(super) fn out_of_range(&mut self, at: At, key: &str, least: u64, most: u64) {
        if most < u64::from(u32::MAX) {
            self.add(at, format!("`{key}` must be from {least} to {most}"));
        } else {
            self.add(at, format!("`{key}` must be at least {least}"));
        }
    }

    pub(super) fn not_one_of(&mut self, at: At, key: &str, value: &str, choices: &[&str]) {
        let meant = suggestion(nearest(value, choices.iter().copied()));
        self.add(at, format!("`{key}` cannot be `{value}`{meant}"))
            .help(format!("one of: {}", choices.join(", ")));
    }

    pub(super) fn no_such(&mut self, at: At, kind: &str, name: &str, meant: Option<&str>) {
        let fault = self.add(at, format!("no {kind} is called `{name}`{}", suggestion(meant)));
        if meant.is_none() {
            fault.help(format!("define it as [{kind}.{name}]"));
        }
    }

    pub(super) fn listed_twice(&mut self, at: At, what: &str, name: &str, first: At) {
        self.add(at, format!("{what} `{name}` is listed twice")).note(first, "it was listed here");
    }

    pub(super) fn not_an_address(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not an IP address")).help(
            "four numbers such as \"172.25.33.53\", or IPv6 such as \"2001:db8::53\"; not a name",
        );
    }

    pub(super) fn not_a_name_server(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not the IP address of a name server")).help(
            "an address such as \"172.25.33.53\" or \"2001:db8::53\", not a name; with a port where that is not 53: \"172.25.33.53:5353\", \"[2001:db8::53]:5353\"",
        );
    }
}

/// Adapters and Listeners.
impl Faults {
    pub(super) fn no_such_role(&mut self, at: At, name: &str, meant: Option<&str>) {
        self.add(at, format!("an adapter cannot be called `{name}`{}", suggestion(meant)))
            .help("the name is the role: external, internal or management");
    }

    pub(super) fn gateway_on_internal(&mut self, at: At) {
        self.add(at, "the internal adapter must not have a gateway").help(
            "the default route belongs to the external adapter; add `routes` for internal networks",
        );
    }

    pub(super) fn admin_on_external(&mut self, at: At) {
        self.add(at, "the admin plane must not be on the external adapter")
            .help("adapter = \"internal\" or \"management\"");
    }

    pub(super) fn admin_shares_external(&mut self, at: At, adapter: &str, shared: &str) {
        self.add(
            at,
            format!("the admin plane would face the Internet: adapter `{adapter}` shares {shared} with the external one"),
        )
        .help("give it an interface and addresses of its own, or take this key out");
    }

    pub(super) fn admin_without_addresses(&mut self, at: At, adapter: &str) {
        if self.may_be_there("addresses") {
            return;
        }
        self.add(at, format!("the admin page has no address: adapter `{adapter}` lists none"))
            .help(format!("add addresses = [\"…\"] to [adapter.{adapter}]"));
    }

    pub(super) fn adapters_by_address_alone(&mut self, external: At, internal: At) {
        self.warn(
            external,
            "neither this adapter nor the internal one names its `interface`: the kernel answers for the addresses of one at the other too",
        )
        .help("add interface = \"…\" to both; `ip -brief link` lists the names")
        .note(internal, "this is the internal one");
    }

    pub(super) fn mac_needs_appliance(&mut self, at: At) {
        self.add(at, "to find an adapter by `mac` is not available in this version")
            .help("add interface = \"…\"; `ip -brief link` lists the names");
    }

    pub(super) fn not_a_prefix(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not an IP address, with or without a prefix length"))
            .help(if text.contains("/255.") {
                "write the length of the netmask: 255.255.255.0 is /24, 255.255.0.0 is /16"
            } else {
                "for example \"203.0.113.10/24\" or \"2001:db8::10\""
            });
    }

    pub(super) fn not_a_route(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not a route"))
            .help("for example \"192.168.10.0/24 via 172.25.33.1\"");
    }

    pub(super) fn not_an_interface(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` cannot be the name of a network interface"))
            .help("1 to 15 characters without space and `/`; `ip -brief link` lists the names");
    }

    pub(super) fn adapter_without_addresses(&mut self, at: At, listener: &str, adapter: &str) {
        if self.may_be_there("addresses") {
            return;
        }
        self.add(
            at,
            format!("listener `{listener}` has no address: adapter `{adapter}` lists none"),
        )
        .help(format!("add addresses = [\"…\"] to [adapter.{adapter}]"));
    }

    pub(super) fn listeners_collide(&mut self, at: At, adapter: &str, port: u16, first: At) {
        self.add(at, format!("port {port} of adapter `{adapter}` is taken by another listener"))
            .note(first, "it is taken here");
    }

    pub(super) fn tls_without_certificate(&mut self, at: At, listener: &str) {
        if self.may_be_there("certificate") {
            return;
        }
        self.add(at, format!("listener `{listener}` speaks TLS and has no certificate"))
            .help("add certificate = \"…\": what clients that send no server name are shown");
    }

    pub(super) fn certificate_without_tls(&mut self, at: At, listener: &str) {
        self.add(at, format!("listener `{listener}` has a certificate and does not speak TLS"))
            .help("add tls = true, or leave the certificate out");
    }

    pub(super) fn profile_without_tls(&mut self, at: At, listener: &str) {
        self.add(at, format!("listener `{listener}` has a profile and does not speak TLS"))
            .help("add tls = true, or leave the profile out");
    }

    pub(super) fn listener_with_old_suites(&mut self, at: At, listener: &str) {
        self.warn(at, format!("listener `{listener}` offers cipher suites of old Windows to everybody"))
            .help("as asked for; an ECDSA certificate beside the RSA one serves Windows 7 and 8.1 without them. `client_suite` in the log shows who uses them");
    }
}

/// Pools.
impl Faults {
    pub(super) fn pool_with_old_suites(&mut self, at: At, pool: &str) {
        self.warn(at, format!("pool `{pool}` offers cipher suites of old Windows to its servers"))
            .help("as asked for; Windows Server 2016 and newer, and older ones with an ECDSA certificate, need profile = \"tls12\" at most");
    }

    pub(super) fn suite_without_profile(&mut self, at: At) {
        self.add(at, "sha384_suite goes with profile = \"windows-2012r2\" only")
            .help("add that profile, or leave sha384_suite out");
    }

    pub(super) fn pool_without_servers(&mut self, at: At, pool: &str) {
        if self.may_be_there("servers") {
            return;
        }
        self.add(at, format!("pool `{pool}` has no servers"))
            .help("add servers = [\"fe01.contoso.local:4443\"]");
    }

    pub(super) fn not_a_server(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not the address of a server"))
            .help(if text.contains("://") {
                "host:port alone, such as \"fe01.contoso.local:4443\"; with a table [pool.NAME.tls] it is spoken to by https"
            } else if !text.contains(':') {
                "the port is missing: host:port, such as \"fe01.contoso.local:4443\""
            } else if text.matches(':').count() > 1 && !text.starts_with('[') {
                "an IPv6 address needs brackets: \"[2001:db8::12]:80\""
            } else {
                "host:port, such as \"fe01.contoso.local:4443\" or \"192.0.2.12:80\"; ports are from 1 to 65535"
            });
    }

    pub(super) fn server_is_listener(&mut self, at: At, text: &str, listener: &str, there: At) {
        self.add(
            at,
            format!(
                "`{text}` is our own listener `{listener}`: requests would go round in circles"
            ),
        )
        .note(there, "the listener is here");
    }

    pub(super) fn not_a_pin(&mut self, at: At) {
        self.add(at, "a pin is a SHA-256: 64 hexadecimal digits or 44 characters of base64")
            .help("`openssl x509 -in server.pem -noout -pubkey | openssl pkey -pubin -outform der | sha256sum`");
    }

    pub(super) fn probe_asks_twice(&mut self, at: At, first: At) {
        self.add(at, "this probe asks by `tcp` and by `http`; it can do one thing only")
            .note(first, "`tcp` is here")
            .help("leave one out: `http` proves that the application answers, `tcp` that something listens on another port");
    }

    pub(super) fn probe_without_host(&mut self, at: At) {
        self.add(at, "this probe has no name to verify the servers by: with server_name = \"host\" that is the client's")
            .help("add http = { path = \"/\", host = \"…\" }, with one of the site's names");
    }

    pub(super) fn probe_too_often(&mut self, at: At) {
        self.add(at, "`every` must be at least \"100ms\"");
    }

    pub(super) fn probe_longer_than_every(&mut self, at: At) {
        self.add(at, "`timeout` must not be longer than `every`")
            .help("a server has one probe at a time: shorten `timeout`, or ask less often");
    }

    pub(super) fn not_a_probe_path(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not a path to ask for")).help(
            "for example \"/autodiscover/autodiscoverservice.svc/root\": it begins with `/`, is without the host, and spaces and other letters are written as %20 and the like",
        );
    }

    pub(super) fn not_a_probe_host(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` cannot be the Host of a probe"))
            .help("one of the names that users ask for, such as \"webext.contoso.com\"");
    }

    pub(super) fn not_a_host(&mut self, at: At, name: &str, fault: NameFault) {
        self.add(at, format!("`{name}` cannot be the name of a host: {}", name_fault(fault)));
    }

    pub(super) fn not_a_server_name(&mut self, at: At, key: &str, fault: NameFault) {
        self.add(at, format!("`{key}` must be a name: {}", name_fault(fault)));
    }
}

/// Sites.
impl Faults {
    pub(super) fn not_a_site_name(&mut self, at: At, name: &str, fault: NameFault) {
        let complaint =
            self.add(at, format!("`{name}` cannot be a site's name: {}", name_fault(fault)));
        match fault {
            NameFault::NotAscii => {
                complaint.help("write it as clients send it, with xn--: `idn2 NAME` converts it")
            }
            NameFault::NotOnlyAName => complaint.help("the host alone; the port is the listener's"),
            NameFault::Unbracketed => complaint.help(format!("write \"[{name}]\"")),
            NameFault::StarElsewhere | NameFault::WildcardTooWide => {
                complaint.help("for example \"*.apps.contoso.com\", which stands for one label")
            }
            _ => complaint,
        };
    }

    pub(super) fn not_a_client_prefix(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not an IP address, with or without a prefix length"))
            .help("clients are listed as \"10.0.0.0/8\", \"2001:db8::/32\" or \"192.0.2.7\"");
    }

    pub(super) fn prefix_with_host_bits(&mut self, at: At, text: &str, meant: Prefix) {
        self.add(at, format!("`{text}` names a single address and a whole network at once")).help(
            format!(
                "\"{meant}\" is the network; without the prefix length it is the address alone"
            ),
        );
    }

    pub(super) fn name_twice(&mut self, at: At, name: &str, listener: &str, first: At) {
        self.add(at, format!("`{name}` is already a name of a site on listener `{listener}`"))
            .note(first, "it was given here");
    }

    pub(super) fn site_without_rules(&mut self, at: At, site: &str) {
        if self.may_be_there("rule") {
            return;
        }
        self.add(at, format!("site `{site}` has no rules"))
            .help(format!("add [[site.{site}.rule]] with path = \"/\" and pool = \"…\""));
    }

    pub(super) fn redirect_without_tls(&mut self, at: At, site: &str) {
        self.add(at, format!("site `{site}` is on no TLS listener that could be redirected to"))
            .help("list a listener with tls = true, or leave redirect_http out");
    }

    pub(super) fn redirect_from_nowhere(&mut self, at: At, site: &str) {
        self.add(
            at,
            format!("there is no plain listener beside those of site `{site}` to redirect from"),
        )
        .help("add a listener with port = 80 at the same adapter, or leave redirect_http out");
    }

    pub(super) fn redirect_from_own(&mut self, at: At, listener: &str) {
        self.add(
            at,
            format!(
                "with redirect_http a site cannot be on the plain listener `{listener}` itself"
            ),
        )
        .help("list the TLS listeners only");
    }

    pub(super) fn certificate_on_plain_site(&mut self, at: At, site: &str) {
        self.add(at, format!("site `{site}` has a certificate and is on no TLS listener"))
            .help("leave the certificate out, or list a listener with tls = true");
    }
}

/// Rules.
impl Faults {
    pub(super) fn rule_without_action(&mut self, at: At) {
        const ACTIONS: [&str; 6] = ["pool", "refuse", "redirect", "respond", "status", "body"];
        if !ACTIONS.iter().any(|action| self.may_be_there(action)) {
            self.add(at, "this rule does nothing")
                .help("add one of: pool, refuse, redirect, respond");
        }
    }

    pub(super) fn rule_with_actions(&mut self, at: At, actions: &[&str]) {
        let actions: Vec<String> = actions.iter().map(|action| format!("`{action}`")).collect();
        self.add(at, format!("this rule has {}; it can do one thing only", actions.join(" and ")))
            .help("leave one out: the first rule that matches decides alone");
    }

    pub(super) fn not_a_path(&mut self, at: At, path: &str, fault: PathFault) {
        let why = match fault {
            PathFault::NotAbsolute => "must begin with `/`",
            PathFault::BrokenEscape => "has a `%` without two hexadecimal digits",
            PathFault::Control => "holds a control character",
            PathFault::LeavesRoot => "leaves the root",
            PathFault::OnlyDots => "has a segment of nothing but dots or spaces",
            PathFault::Fragment => "must be without `?` and `#`",
            PathFault::DecodesTwice => "could be decoded twice",
        };
        let help = match fault {
            PathFault::NotAbsolute => "for example \"/autodiscover\"",
            PathFault::Fragment => "rules look at the path alone: leave the rest out",
            PathFault::BrokenEscape => "write a `%` that is meant as such as %25",
            PathFault::DecodesTwice => "write the path as it reads when it is decoded",
            _ => "write the path as a server would understand it",
        };
        self.add(at, format!("the path `{path}` {why}")).help(help);
    }

    pub(super) fn star_in_path(&mut self, at: At, path: &str) {
        self.warn(at, format!("the `*` in the path `{path}` stands for itself only"))
            .help("a rule is for its path and everything below: \"/a\" also matches \"/a/b/c\"");
    }

    pub(super) fn raw_allows_root_only(&mut self, at: At) {
        self.add(at, "with path_check = \"raw\" only path = \"/\" is allowed")
            .help("paths that are not judged cannot be told apart safely");
    }

    pub(super) fn rule_covered(&mut self, at: At, path: &str, earlier: &str, first: At) {
        self.add(
            at,
            format!(
                "this rule for `{path}` is never reached: an earlier one for `{earlier}` covers it"
            ),
        )
        .note(first, "the earlier rule is here")
        .help("the first rule that matches decides: put the more specific one first");
    }

    pub(super) fn not_a_location(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` cannot be redirected to"))
            .help("an absolute URL (https://…) or a path that begins with one `/`, in printable ASCII without spaces");
    }

    pub(super) fn not_a_redirect_status(&mut self, at: At, status: i64, known: &[u16]) {
        let known: Vec<String> = known.iter().map(u16::to_string).collect();
        self.add(at, format!("`redirect_status` cannot be {status}"))
            .help(format!("one of: {}", known.join(", ")));
    }

    pub(super) fn redirect_status_alone(&mut self, at: At) {
        self.add(at, "this rule has a `redirect_status` and does not redirect")
            .help("add redirect = \"…\", or leave redirect_status out");
    }

    pub(super) fn not_a_field_value(&mut self, at: At, key: &str) {
        self.add(at, format!("`{key}` must be printable ASCII"));
    }
}

/// Error pages.
impl Faults {
    pub(super) fn not_an_error_status(&mut self, at: At, text: &str) {
        let meant = suggestion(nearest(text, ["default"]));
        self.add(at, format!("`{text}` is not the status of an error{meant}"))
            .help("400 to 599, or default for all others");
    }

    pub(super) fn error_page_without_type(&mut self, at: At, path: &str) {
        self.add(at, format!("the name `{path}` does not tell what kind of page this is"))
            .help("name it .html, .txt or .json");
    }

    pub(super) fn error_page_too_long(&mut self, at: At, path: &Path, bytes: usize, most: usize) {
        self.add(at, format!("{} is {bytes} bytes long, more than {most}", path.display()))
            .help("an error page is kept in memory and sent often: leave pictures out of it");
    }

    pub(super) fn error_page_not_utf8(&mut self, at: At, path: &Path) {
        self.add(at, format!("{} is not UTF-8 text", path.display())).help("save it as UTF-8");
    }
}

/// What has no effect.
impl Faults {
    pub(super) fn never_used(&mut self, at: At, kind: &str, name: &str) {
        let by = if kind == "pool" { "rule" } else { "listener or site" };
        self.warn(at, format!("{kind} `{name}` is not used by any {by}"))
            .help(format!("take it out, or name it: {kind} = \"{name}\""));
    }

    pub(super) fn listener_without_sites(&mut self, at: At, name: &str) {
        self.warn(at, format!("no site is on listener `{name}`: it will answer nothing but 421"))
            .help(format!("add it to a site's listeners = [\"{name}\"], or take it out"));
    }
}

/// The log.
impl Faults {
    pub(super) fn not_a_log(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not a place for the access log")).help(
            "`json:` or `combined:` and behind it a path such as /var/log/gatehouse/access.log, `stdout`, `journald` or `syslog`; or \"off\"",
        );
    }

    pub(super) fn log_off_and_on(&mut self, at: At) {
        self.add(at, "`off` cannot stand beside other places for the access log");
    }
}

/// For the main file, which no other names.
pub(super) fn only(path: &Path, error: &io::Error) -> Complaints {
    let message = format!("cannot read this file: {}", reason(error));
    let (severity, place, notes) = (Severity::Error, Place::of_file(path), Vec::new());
    Complaints::new(vec![Complaint { severity, place, message, help: None, notes }], 1, 0)
}

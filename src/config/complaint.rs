//! Everything that can be wrong with the operator's files, in words. All messages stand here.
//!
//! A message says what was found and what would be right; help says what to do where that is more
//! than correcting the place.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::faults::Faults;
use super::report::{Complaint, Complaints, Severity};
use super::suggest::{is_near, nearest};
use super::words::{date, elsewhere, how_to_write, name_fault, reason, shortened, suggestion};
use crate::document::{At, Misread, Place};
use crate::site::PathFault;
use crate::site::host::NameFault;
use crate::tls::certificate::CertificateFault;
use crate::tls::chain::{ChainFault, Finding, RSA_BITS_MIN};

/// The text of the files.
impl Faults {
    pub(super) fn file_unreadable(&mut self, at: At, path: &Path, error: &io::Error) {
        self.add(at, format!("cannot read {}: {}", path.display(), reason(error)));
    }

    pub(super) fn not_utf8(&mut self, at: At, utf16: bool) {
        let fault = self.add(at, "this file is not UTF-8 text");
        if utf16 {
            fault.help("it is UTF-16, which Notepad calls Unicode; save it as UTF-8");
        } else {
            fault.help("save it as UTF-8; `iconv -f windows-1252 -t utf-8` converts what an old editor wrote");
        }
    }

    pub(super) fn misread(&mut self, misread: Misread) {
        match misread {
            Misread::Syntax { at, message } => {
                self.add(at, format!("this is not TOML: {message}"));
            }
            Misread::Twice { at, first, key } => {
                let fault = self.add(at, format!("`{key}` is defined twice"));
                if let Some(first) = first {
                    fault.note(first, "it was first defined here");
                }
            }
            Misread::WrongType { at, key, expected, actual } => {
                let fault = self.add(at, format!("`{key}` takes {expected}, not {actual}"));
                if let Some(help) = how_to_write(expected, actual) {
                    fault.help(help);
                }
            }
            Misread::NoName { at, key, kind, actual } => {
                self.add(at, format!("`{key}` would be the name of one {kind}, and takes a table, not {actual}"))
                    .help(format!("each has a name: write [{kind}.NAME], and `{key}` below it"));
            }
            Misread::UnknownKey { at, key, known, pattern } => {
                let meant = known.iter().copied().chain(super::later::siblings(&pattern));
                self.unknown_key(at, &key, &pattern, nearest(&key, meant), &known);
            }
        }
    }

    fn unknown_key(
        &mut self,
        at: At,
        key: &str,
        pattern: &str,
        meant: Option<&str>,
        known: &[&str],
    ) {
        let places = if self.are_many() { Vec::new() } else { elsewhere(pattern, key) };
        match meant {
            // A word that is right elsewhere is more likely than one that is only similar.
            Some(meant) if places.is_empty() || is_near(key, meant) => {
                self.add(at, format!("no setting is called `{key}` here; did you mean `{meant}`?"));
            }
            _ if !places.is_empty() => {
                let places = places.join(" or ");
                self.add(at, format!("no setting is called `{key}` here; it belongs {places}"));
            }
            _ => {
                let known = format!("known here: {}", known.join(", "));
                self.add(at, format!("no setting is called `{key}` here")).help(known);
            }
        }
    }

    pub(super) fn defined_twice(&mut self, at: At, kind: &str, name: &str, first: At) {
        self.add(at, format!("{kind} `{name}` is defined twice"))
            .note(first, "it was first defined here")
            .help("give one of them another name, or take one out");
    }

    pub(super) fn in_two_files(&mut self, at: At, table: &str, first: At) {
        let what = match table.split_once('.') {
            Some((table, key)) => format!("`{key}` of [{table}]"),
            None => format!("[{table}]"),
        };
        self.add(at, format!("{what} may stand in one file only"))
            .note(first, "it stands here already")
            .help("put all of it into one of the files");
    }

    pub(super) fn not_available(&mut self, at: At, what: &str) {
        self.add(at, format!("{what} is not available in this version")).help("leave it out");
    }
}

/// What a file includes.
impl Faults {
    pub(super) fn include_unreadable(&mut self, at: At, path: &Path, error: &io::Error) {
        let fault = self.add(at, format!("cannot read {}: {}", path.display(), reason(error)));
        if error.kind() == io::ErrorKind::IsADirectory {
            fault.help("name the files in it: add /*.toml");
        } else {
            fault.help("relative paths begin at the folder of the file that names them");
        }
    }

    pub(super) fn folder_unreadable(&mut self, at: At, folder: &Path, error: &io::Error) {
        self.add(at, format!("cannot list the folder {}: {}", folder.display(), reason(error)));
    }

    pub(super) fn not_an_include(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not a file, nor a pattern for files"))
            .help("`*` and `?` may stand in the last part only, as in \"conf.d/*.toml\"");
    }

    pub(super) fn included_twice(&mut self, at: At, path: &Path, first: At) {
        self.add(at, format!("{} is included twice", path.display()))
            .note(first, "it was included here");
    }

    pub(super) fn included_in_circle(&mut self, at: At, path: &Path, first: Option<At>) {
        let message = format!("{} is included by itself, directly or by others", path.display());
        let fault = self.add(at, message);
        if let Some(first) = first {
            fault.note(first, "it was included here");
        }
        fault.help("take this out; a pattern such as \"conf.d/*.toml\" with a folder of its own cannot meet the file that it stands in");
    }

    pub(super) fn too_much(&mut self, at: At, what: TooMuch, most: usize) {
        let message = match what {
            TooMuch::Bytes => format!("this file is larger than {} MiB", most >> 20),
            TooMuch::Files => format!("more than {most} files are included"),
            TooMuch::Depth => format!("files include each other more than {most} deep"),
        };
        let fault = self.add(at, message);
        match what {
            TooMuch::Bytes => fault.help("is it the right one? parts of it can be included"),
            TooMuch::Files => fault.help("does the pattern mean the right folder?"),
            TooMuch::Depth => fault.help("include all of them from the main file"),
        };
    }
}

/// Single values.
impl Faults {
    pub(super) fn missing(&mut self, at: At, what: &str, key: &str, example: &str) {
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
        self.add(at, format!("`{key}` takes a size such as 32768, \"16kB\" or \"100MB\""));
    }

    pub(super) fn not_a_rate(&mut self, at: At, key: &str) {
        self.add(at, format!("`{key}` takes a rate such as \"500B/s\""));
    }

    pub(super) fn out_of_range(&mut self, at: At, key: &str, least: u64, most: u64) {
        self.add(at, format!("`{key}` must be from {least} to {most}"));
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
        self.add(at, format!("`{text}` is not an IP address"));
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

    pub(super) fn mac_needs_appliance(&mut self, at: At) {
        self.add(at, "to find an adapter by `mac` is not available in this version")
            .help("add interface = \"…\"; `ip -brief link` lists the names");
    }

    pub(super) fn not_a_prefix(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not an IP address, with or without a prefix length"))
            .help("for example \"203.0.113.10/24\" or \"2001:db8::10\"");
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
}

/// Certificates.
impl Faults {
    pub(super) fn certificate(
        &mut self,
        (chain_at, chain): (At, &Path),
        (key_at, key): (At, &Path),
        fault: CertificateFault,
    ) {
        let (chain, key) = (chain.display(), key.display());
        match fault {
            CertificateFault::ChainIsBinary
            | CertificateFault::NoCertificate
            | CertificateFault::ChainMalformed => self.authority(chain_at, &chain, fault),
            CertificateFault::KeyIsBinary => {
                self.add(key_at, format!("{key} is not PEM but DER or a PFX store"))
                    .help(format!("`openssl pkcs12 -in {key} -nocerts -noenc -out key.pem` for PFX, `openssl pkey -inform der -in {key} -out key.pem` for DER"));
            }
            CertificateFault::NoKey => {
                self.add(key_at, format!("{key} holds no private key"));
            }
            CertificateFault::KeyEncrypted => {
                self.add(key_at, format!("the private key in {key} is encrypted")).help(format!(
                    "`openssl pkey -in {key} -out key.pem` writes it without a pass phrase"
                ));
            }
            CertificateFault::KeyMalformed => {
                self.add(key_at, format!("the private key in {key} is damaged"));
            }
            CertificateFault::KeyUnsupported => {
                self.add(
                    key_at,
                    format!("the private key in {key} is of a kind or size that cannot be used"),
                )
                .help("RSA from 2048 bits, ECDSA P-256, P-384 or P-521, or Ed25519");
            }
            CertificateFault::KeyDoesNotMatch => {
                self.add(key_at, format!("the key in {key} does not belong to the certificate in {chain}"))
                    .help(format!("`openssl x509 -in {chain} -noout -pubkey` and `openssl pkey -in {key} -pubout` must print the same"))
                    .note(chain_at, "the certificate is named here");
            }
            CertificateFault::ChainOutOfOrder => {
                self.add(
                    chain_at,
                    format!("the server's own certificate is not the first in {chain}"),
                )
                .help("put it first, then each certificate's issuer");
            }
        }
    }

    /// A file of certificates, without a key.
    pub(super) fn authority(&mut self, at: At, path: &dyn Display, fault: CertificateFault) {
        match fault {
            CertificateFault::ChainIsBinary => {
                self.add(at, format!("{path} is not PEM but DER or a PFX store"))
                    .help(format!("`openssl pkcs12 -in {path} -nokeys -out chain.pem` for PFX, `openssl x509 -inform der -in {path} -out chain.pem` for DER"));
            }
            CertificateFault::NoCertificate => {
                self.add(at, format!("{path} holds no certificate"))
                    .help("a PEM file is wanted: -----BEGIN CERTIFICATE-----");
            }
            _ => {
                self.add(at, format!("a certificate in {path} is damaged"));
            }
        }
    }

    /// What the chain itself shows.
    pub(super) fn chain(&mut self, at: At, path: &Path, finding: &Finding) {
        let path = path.display();
        let Finding { subject, index, fault } = finding;
        let whose = match index {
            0 => format!("the certificate in {path}"),
            index => format!("certificate {} in {path}, `{subject}`,", index + 1),
        };
        match fault {
            ChainFault::IssuerElsewhere(issuer) => {
                self.add(at, format!("{path} is out of order: `{issuer}` must come right behind `{subject}`, which it issued"))
                    .help("put the server's own certificate first, then each certificate's issuer");
            }
            ChainFault::IssuerMissing(issuer) => {
                self.add(at, format!("{path} has a gap: `{subject}` was issued by `{issuer}`, which is not in it"))
                    .help(format!("get the certificate of `{issuer}` from whoever issued `{subject}`, or take out what follows `{subject}` if it belongs to something else"));
            }
            ChainFault::NotYetValid(from) => {
                self.add(at, format!("{whose} is not valid before {}", date(*from)))
                    .help("is the clock of this machine right? `timedatectl` shows it");
            }
            ChainFault::Expired(end) => {
                self.add(at, format!("{whose} ended on {}", date(*end)))
                    .help("get a new one; if it is valid, the clock of this machine is wrong: `timedatectl` shows it");
            }
            ChainFault::EndsSoon(end) => {
                self.warn(at, format!("{whose} ends on {}", date(*end))).help("get a new one soon");
            }
            ChainFault::WeakKey(bits) => {
                self.warn(at, format!("{whose} has an RSA key of {bits} bits only: clients may refuse it"))
                    .help(format!("ask whoever issued it for a chain with at least {RSA_BITS_MIN} bits"));
            }
            ChainFault::WeakSignature(hash) => {
                self.warn(at, format!("{whose} is signed with {hash}: clients will refuse it"))
                    .help("have it issued again with SHA-256");
            }
        }
    }

    pub(super) fn key_readable(&mut self, at: At, path: &Path) {
        let path = path.display();
        self.warn(at, format!("everybody on this machine may read the private key in {path}"))
            .help(format!("`chmod o= {path}`"));
    }

    pub(super) fn certificate_without_names(&mut self, at: At, path: &Path) {
        self.add(at, format!("the certificate in {} carries no names", path.display()))
            .help("clients look at subject alternative names only, not at the common name");
    }

    pub(super) fn certificate_does_not_cover(
        &mut self,
        at: At,
        name: &str,
        has: &[(&str, &[String])],
    ) {
        let carried: Vec<String> = has
            .iter()
            .map(|(certificate, names)| {
                format!("certificate `{certificate}` is for {}", shortened(names))
            })
            .collect();
        self.warn(at, format!("no certificate of this site covers `{name}`: browsers will refuse it"))
            .help(carried.join("; "));
    }
}

/// Pools.
impl Faults {
    pub(super) fn pool_without_servers(&mut self, at: At, pool: &str) {
        self.add(at, format!("pool `{pool}` has no servers"))
            .help("add servers = [\"fe01.contoso.local:4443\"]");
    }

    pub(super) fn not_a_server(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not the address of a server"))
            .help("host:port, such as \"fe01.contoso.local:4443\", \"192.0.2.12:80\" or \"[2001:db8::12]:80\"");
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

    pub(super) fn name_twice(&mut self, at: At, name: &str, listener: &str, first: At) {
        self.add(at, format!("`{name}` is already a name of a site on listener `{listener}`"))
            .note(first, "it was given here");
    }

    pub(super) fn site_without_rules(&mut self, at: At, site: &str) {
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
        self.add(at, "this rule does nothing").help("add one of: pool, refuse, redirect, respond");
    }

    pub(super) fn rule_with_actions(&mut self, at: At, actions: &[&str]) {
        let actions: Vec<String> = actions.iter().map(|action| format!("`{action}`")).collect();
        self.add(at, format!("this rule has {}; it can do one thing only", actions.join(" and ")));
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
        self.add(at, format!("the path `{path}` {why}"));
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

    pub(super) fn not_a_field_value(&mut self, at: At, key: &str) {
        self.add(at, format!("`{key}` must be printable ASCII"));
    }
}

/// What has no effect.
impl Faults {
    pub(super) fn never_used(&mut self, at: At, kind: &str, name: &str) {
        let by = if kind == "pool" { "rule" } else { "listener or site" };
        self.warn(at, format!("{kind} `{name}` is not used by any {by}")).help(format!(
            "take it out, or name it: {kind} = \"{name}\""
        ));
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
            "\"json:/path\", \"combined:/path\", \"json:stdout\", \"combined:stdout\" or \"off\"",
        );
    }

    pub(super) fn log_off_and_on(&mut self, at: At) {
        self.add(at, "`off` cannot stand beside other places for the access log");
    }
}

/// What is more than the limits of reading.
#[derive(Clone, Copy, Debug)]
pub(super) enum TooMuch {
    Bytes,
    Files,
    Depth,
}

/// For the main file, which no other names.
pub(super) fn only(path: &Path, error: &io::Error) -> Complaints {
    let message = format!("cannot read this file: {}", reason(error));
    let (severity, place, notes) = (Severity::Error, Place::of_file(path), Vec::new());
    Complaints::new(vec![Complaint { severity, place, message, help: None, notes }], 1, 0)
}

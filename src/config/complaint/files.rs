//! What can be wrong with the text of the operator's files, and with the certificates they name.

use std::fmt::Display;
use std::io;
use std::path::Path;

use super::super::faults::Faults;
use super::super::later;
use super::super::suggest::{is_near, nearest};
use super::super::words::{date, elsewhere, how_to_write, not_toml, reason, shortened, unreadable};
use crate::document::{At, Misread};
use crate::tls::certificate::CertificateFault;
use crate::tls::chain::{ChainFault, Finding, RSA_BITS_MIN};

/// The text of the files.
impl Faults {
    pub(in crate::config) fn file_unreadable(&mut self, at: At, path: &Path, error: &io::Error) {
        self.add(at, format!("cannot read {}: {}", path.display(), reason(error)))
            .help(unreadable(path, error));
    }

    pub(in crate::config) fn not_utf8(&mut self, at: At, utf16: bool) {
        let fault = self.add(at, "this file is not UTF-8 text");
        if utf16 {
            fault.help("it is UTF-16, which Notepad calls Unicode; save it as UTF-8");
        } else {
            fault.help("save it as UTF-8; `iconv -f windows-1252 -t utf-8` converts what an old editor wrote");
        }
    }

    pub(in crate::config) fn misread(&mut self, misread: Misread) {
        match misread {
            Misread::Syntax { at, message, found } => {
                let (what, help) = not_toml(&message, &found);
                let fault = self.add(at, what);
                if let Some(help) = help {
                    fault.help(help);
                }
            }
            Misread::Twice { at, first, key } => {
                let fault = self.add(at, format!("`{key}` is defined twice"));
                if let Some(first) = first {
                    fault.note(first, "it was first defined here");
                }
                fault.help("put everything about it together, or take one out");
            }
            Misread::WrongType { at, key, expected, actual } => {
                self.is_there(&key);
                let fault = self.add(at, format!("`{key}` takes {expected}, not {actual}"));
                if let Some(help) = how_to_write(&key, expected, actual) {
                    fault.help(help);
                }
            }
            Misread::NoName { at, key, kind, actual } => {
                self.add(at, format!("`{key}` is taken for the name of a {kind}, which would be a table, not {actual}"))
                    .help(format!("[{kind}] has no settings of its own: write [{kind}.NAME], and `{key}` below it"));
            }
            Misread::UnknownKey { at, key, known, pattern } => {
                let meant = known.iter().copied().chain(later::siblings(&pattern));
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
        self.is_there(meant.unwrap_or(key));
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

    pub(in crate::config) fn defined_twice(&mut self, at: At, kind: &str, name: &str, first: At) {
        self.add(at, format!("{kind} `{name}` is defined twice"))
            .note(first, "it was first defined here")
            .help("give one of them another name, or take one out");
    }

    pub(in crate::config) fn in_two_files(&mut self, at: At, table: &str, first: At) {
        let what = match table.split_once('.') {
            Some((table, key)) => format!("`{key}` of [{table}]"),
            None => format!("[{table}]"),
        };
        self.add(at, format!("{what} may stand in one file only"))
            .note(first, "it stands here already")
            .help("put all of it into one of the files");
    }

    pub(in crate::config) fn not_available(&mut self, at: At, what: &str) {
        self.add(at, format!("{what} is not available in this version")).help("leave it out");
    }
}

/// What a file includes.
impl Faults {
    pub(in crate::config) fn include_unreadable(&mut self, at: At, path: &Path, error: &io::Error) {
        let fault = self.add(at, format!("cannot read {}: {}", path.display(), reason(error)));
        if error.kind() == io::ErrorKind::IsADirectory {
            fault.help("name the files in it: add /*.toml");
        } else {
            fault.help(unreadable(path, error));
        }
    }

    pub(in crate::config) fn folder_unreadable(
        &mut self,
        at: At,
        folder: &Path,
        error: &io::Error,
    ) {
        self.add(at, format!("cannot list the folder {}: {}", folder.display(), reason(error)))
            .help(unreadable(folder, error));
    }

    pub(in crate::config) fn not_an_include(&mut self, at: At, text: &str) {
        self.add(at, format!("`{text}` is not a file, nor a pattern for files"))
            .help("`*` and `?` may stand in the last part only, as in \"conf.d/*.toml\"");
    }

    pub(in crate::config) fn included_twice(&mut self, at: At, path: &Path, first: At) {
        self.add(at, format!("{} is included twice", path.display()))
            .note(first, "it was included here");
    }

    pub(in crate::config) fn included_in_circle(&mut self, at: At, path: &Path, first: Option<At>) {
        let message = format!("{} is included by itself, directly or by others", path.display());
        let fault = self.add(at, message);
        if let Some(first) = first {
            fault.note(first, "it was included here");
        }
        fault.help("take this out; a pattern such as \"conf.d/*.toml\" with a folder of its own cannot meet the file that it stands in");
    }

    pub(in crate::config) fn too_much(&mut self, at: At, what: TooMuch, most: usize) {
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

/// Certificates.
impl Faults {
    pub(in crate::config) fn certificate(
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
                self.add(key_at, format!("{key} holds no private key"))
                    .help("a PEM file is wanted: -----BEGIN PRIVATE KEY-----");
            }
            CertificateFault::KeyEncrypted => {
                self.add(key_at, format!("the private key in {key} is encrypted")).help(format!(
                    "`openssl pkey -in {key} -out key.pem` writes it without a pass phrase"
                ));
            }
            CertificateFault::KeyMalformed => {
                self.add(key_at, format!("the private key in {key} is damaged")).help(format!(
                    "copy it again; `openssl pkey -in {key} -noout` must say nothing"
                ));
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
    pub(in crate::config) fn authority(
        &mut self,
        at: At,
        path: &dyn Display,
        fault: CertificateFault,
    ) {
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
                self.add(at, format!("a certificate in {path} is damaged")).help(format!(
                    "copy it again; `openssl x509 -in {path} -noout -subject` reads the first in it"
                ));
            }
        }
    }

    /// What the chain itself shows.
    pub(in crate::config) fn chain(&mut self, at: At, path: &Path, finding: &Finding) {
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
            // Dates only warn: a box that does not start, at night or with a wrong clock, helps nobody.
            ChainFault::NotYetValid(from) => {
                self.warn(at, format!("{whose} is not valid before {}", date(*from)))
                    .help("is the clock of this machine right? `timedatectl` shows it");
            }
            ChainFault::Expired(end) => {
                self.warn(at, format!("{whose} expired on {}", date(*end)))
                    .help("get a new one; if it is valid, the clock of this machine is wrong: `timedatectl` shows it");
            }
            ChainFault::EndsSoon { end, days } => {
                self.warn(at, format!("{whose} expires on {}, in {days} days", date(*end)))
                    .help("have it renewed, and put the new files in the place of these");
            }
            ChainFault::WeakKey(bits) => {
                self.warn(
                    at,
                    format!("{whose} has an RSA key of {bits} bits only: clients may refuse it"),
                )
                .help(format!(
                    "ask whoever issued it for a chain with at least {RSA_BITS_MIN} bits"
                ));
            }
            ChainFault::WeakSignature(hash) => {
                self.warn(at, format!("{whose} is signed with {hash}: clients will refuse it"))
                    .help("have it issued again with SHA-256");
            }
        }
    }

    pub(in crate::config) fn key_readable(&mut self, at: At, path: &Path) {
        let path = path.display();
        self.warn(at, format!("everybody on this machine may read the private key in {path}"))
            .help(format!("`chmod o= {path}`"));
    }

    pub(in crate::config) fn certificate_without_names(&mut self, at: At, path: &Path) {
        self.add(at, format!("the certificate in {} carries no names", path.display()))
            .help("clients look at subject alternative names only, not at the common name");
    }

    pub(in crate::config) fn certificate_does_not_cover(
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
        self.warn(
            at,
            format!("no certificate of this site covers `{name}`: browsers will refuse it"),
        )
        .help(carried.join("; "));
    }
}

/// What is more than the limits of reading.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) enum TooMuch {
    Bytes,
    Files,
    Depth,
}

//! What a certificate says, as an administrator knows it. It comes from a stranger: every text is
//! cut, and holds no byte that a terminal would obey.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

/// A name is not longer than this in what we say.
const TEXT_CHARS_MAX: usize = 120;

/// More names of a certificate are not told.
const NAMES_MAX: usize = 100;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paper {
    /// Its common name, else all there is.
    pub subject: String,
    /// Its common name alone; empty if it has none.
    pub common_name: String,
    /// The same of whoever has signed it.
    pub issuer: String,
    /// DNS names and addresses that it is valid for, lower case.
    pub names: Vec<String>,
    /// First second of its life, since 1970.
    pub not_before: i64,
    /// Last second of its life, since 1970.
    pub not_after: i64,
    /// Its key.
    pub key: Key,
    /// The hash that it is signed by: `SHA-256`.
    pub hash: String,
    /// Subject and issuer are the same.
    pub is_own_issuer: bool,
    /// It may sign others.
    pub is_authority: bool,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`), as `pin_sha256` takes it.
    pub pin: [u8; 32],
    /// SHA-1 of all of it: what Windows shows as its thumbprint.
    pub thumbprint: Vec<u8>,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// RSA with so many bits.
    Rsa(usize),
    /// Elliptic, with so many bits.
    Ec(usize),
    /// Any other.
    Other,
}

impl Paper {
    /// Whether it is for `name`, a host name or an address (RFC 9525 section 6.3).
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        if let Ok(address) = name.parse::<IpAddr>() {
            return self.names.iter().any(|own| own.parse() == Ok(address));
        }
        let name = name.to_ascii_lowercase();
        let behind_label = name.split_once('.').map(|(_, rest)| rest);
        self.names.iter().any(|own| {
            *own == name || own.strip_prefix("*.").is_some_and(|rest| behind_label == Some(rest))
        })
    }

    /// The hash that it is signed by can be forged, and somebody has to believe it.
    #[must_use]
    pub fn is_signed_badly(&self) -> bool {
        matches!(self.hash.as_str(), "MD5" | "SHA-1") && !self.is_own_issuer
    }
}

/// Reads a certificate; `None` if it is none.
#[must_use]
pub fn describe(der: &[u8]) -> Option<Paper> {
    let (_, parsed) = parse_x509_certificate(der).ok()?;
    let life = parsed.validity();
    let is_authority =
        parsed.basic_constraints().ok().flatten().is_some_and(|constraints| constraints.value.ca);
    let mut pin = [0; 32];
    pin.copy_from_slice(digest(&SHA256, parsed.public_key().raw).as_ref());
    Some(Paper {
        subject: called(parsed.subject()),
        common_name: common(parsed.subject()).unwrap_or_default(),
        issuer: called(parsed.issuer()),
        names: names(&parsed),
        not_before: life.not_before.timestamp(),
        not_after: life.not_after.timestamp(),
        key: key(&parsed),
        hash: hash(&parsed),
        is_own_issuer: parsed.subject().as_raw() == parsed.issuer().as_raw(),
        is_authority,
        pin,
        thumbprint: digest(&SHA1_FOR_LEGACY_USE_ONLY, der).as_ref().to_vec(),
    })
}

fn names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(plain(&name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => address(bytes),
        _ => None,
    });
    names.take(NAMES_MAX).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(v6).map(|address| address.to_string())
}

fn key(parsed: &X509Certificate<'_>) -> Key {
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => {
            Key::Rsa(key.modulus.iter().skip_while(|byte| **byte == 0).count() * 8)
        }
        Ok(PublicKey::EC(point)) => Key::Ec(point.key_size()),
        _ => Key::Other,
    }
}

/// RFC 3279, RFC 4055, RFC 5758.
fn hash(parsed: &X509Certificate<'_>) -> String {
    let number = parsed.signature_algorithm.algorithm.to_id_string();
    let hash = match number.as_str() {
        "1.2.840.113549.1.1.4" => "MD5",
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => "SHA-1",
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" => "SHA-256",
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => "SHA-384",
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => "SHA-512",
        "1.2.840.113549.1.1.10" => "RSA-PSS",
        "1.3.101.112" => "Ed25519",
        _ => return plain(&number),
    };
    hash.to_owned()
}

fn common(name: &X509Name<'_>) -> Option<String> {
    let common = name.iter_common_name().next()?.as_str().ok()?;
    Some(plain(common)).filter(|common| !common.is_empty())
}

fn called(name: &X509Name<'_>) -> String {
    match common(name) {
        Some(common) => common,
        None if name.as_raw().len() <= 2 => "(no subject)".to_owned(),
        None => plain(&name.to_string()),
    }
}

/// A stranger's text, in printable ASCII and cut to what fits into a sentence.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= TEXT_CHARS_MAX {
            out.push_str("...");
            break;
        }
        match c {
            ' '..='~' => out.push(c),
            _ => out.extend(c.escape_unicode()),
        }
    }
    out
}

//! A certificate chain and its key, read from the bytes of PEM files. No files, no clock.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::X509Certificate;

/// One `[certificate.NAME]`, ready to be presented.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Its name in the file.
    pub name: String,
    /// Server certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The same chain with its key, as rustls takes it.
    pub key: Arc<CertifiedKey>,
    /// DNS names and addresses that it is valid for, lower case; the subject counts for nothing.
    pub names: Vec<String>,
    /// What its key signs with.
    pub algorithm: Algorithm,
    /// First second of its life, since 1970.
    pub not_before: i64,
    /// Last second of its life, since 1970.
    pub not_after: i64,
    /// SHA-256 of the server certificate.
    pub fingerprint: [u8; 32],
}

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA, which every client knows.
    Rsa,
    /// ECDSA, which is cheaper.
    Ecdsa,
    /// Ed25519 and whatever else comes.
    Other,
}

/// Why a pair of files is not a certificate with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// The chain file is not PEM at all, but what a DER certificate or a PFX store looks like.
    ChainIsBinary,
    /// The key file is not PEM at all.
    KeyIsBinary,
    /// PEM, but no certificate in it.
    NoCertificate,
    /// PEM, but no private key in it.
    NoKey,
    /// The private key needs a pass phrase.
    KeyEncrypted,
    /// PEM that breaks off or does not decode, in the chain file.
    ChainMalformed,
    /// PEM that breaks off or does not decode, in the key file.
    KeyMalformed,
    /// A key of a kind or size that cannot be used.
    KeyUnsupported,
    /// The key belongs to another certificate.
    KeyDoesNotMatch,
    /// The key belongs to a certificate of the chain, but not to its first.
    ChainOutOfOrder,
}

/// Reads a chain and its key.
pub fn load(name: &str, chain: &[u8], key: &[u8]) -> Result<Certificate, CertificateFault> {
    let chain = read_chain(chain)?;
    let key = read_key(key)?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|_| CertificateFault::KeyUnsupported)?;
    let algorithm = match key.algorithm() {
        SignatureAlgorithm::RSA => Algorithm::Rsa,
        SignatureAlgorithm::ECDSA => Algorithm::Ecdsa,
        _ => Algorithm::Other,
    };
    let leaf = chain.first().ok_or(CertificateFault::NoCertificate)?;
    let (names, not_before, not_after) = describe(leaf)?;
    let fingerprint = sha256(leaf);
    let certified = CertifiedKey::new(chain.clone(), key);
    check_pair(&certified)?;
    Ok(Certificate {
        name: name.to_string(),
        chain,
        key: Arc::new(certified),
        names,
        algorithm,
        not_before,
        not_after,
        fingerprint,
    })
}

/// The certificates of a PEM file, in its order.
pub fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    if !is_pem(pem) {
        return Err(if is_der(pem) {
            CertificateFault::ChainIsBinary
        } else {
            CertificateFault::NoCertificate
        });
    }
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| CertificateFault::ChainMalformed)?;
        parse_x509_certificate(&certificate).map_err(|_| CertificateFault::ChainMalformed)?;
        chain.push(certificate);
    }
    if chain.is_empty() {
        return Err(CertificateFault::NoCertificate);
    }
    Ok(chain)
}

impl Certificate {
    /// Whether a client that asks for `name` (lower case, maybe a wildcard) would accept it.
    pub fn covers(&self, name: &str) -> bool {
        if let Some(address) = address_literal(name) {
            return self.names.iter().any(|own| own.parse() == Ok(address));
        }
        self.names.iter().any(|own| {
            own == name
                || own.strip_prefix("*.").is_some_and(|suffix| {
                    name.split_once('.').is_some_and(|(label, rest)| label != "*" && rest == suffix)
                })
        })
    }
}

fn address_literal(name: &str) -> Option<IpAddr> {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    bare.parse().ok()
}

fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateFault> {
    if !is_pem(pem) {
        return Err(if is_der(pem) {
            CertificateFault::KeyIsBinary
        } else {
            CertificateFault::NoKey
        });
    }
    // `Proc-Type: 4,ENCRYPTED` is how keys were encrypted before PKCS #8.
    let encrypted = contains(pem, b"ENCRYPTED PRIVATE KEY") || contains(pem, b"4,ENCRYPTED");
    match PrivateKeyDer::pem_slice_iter(pem).next() {
        _ if encrypted => Err(CertificateFault::KeyEncrypted),
        Some(Ok(key)) => Ok(key),
        Some(Err(_)) => Err(CertificateFault::KeyMalformed),
        None => Err(CertificateFault::NoKey),
    }
}

fn check_pair(pair: &CertifiedKey) -> Result<(), CertificateFault> {
    use rustls::{Error, InconsistentKeys};
    match pair.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => return Ok(()),
        Err(Error::InconsistentKeys(_)) => {}
        Err(_) => return Err(CertificateFault::ChainMalformed),
    }
    let elsewhere = pair.cert.iter().skip(1).any(|certificate| {
        CertifiedKey::new(vec![certificate.clone()], pair.key.clone()).keys_match().is_ok()
    });
    Err(if elsewhere {
        CertificateFault::ChainOutOfOrder
    } else {
        CertificateFault::KeyDoesNotMatch
    })
}

fn describe(leaf: &[u8]) -> Result<(Vec<String>, i64, i64), CertificateFault> {
    let (_, leaf) = parse_x509_certificate(leaf).map_err(|_| CertificateFault::ChainMalformed)?;
    let validity = leaf.validity();
    Ok((alternative_names(&leaf), validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// The names and addresses that a certificate is valid for, lower case.
pub(super) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    alternative.map_or_else(Vec::new, |extension| {
        extension.value.general_names.iter().filter_map(name_of).collect()
    })
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

fn is_pem(bytes: &[u8]) -> bool {
    contains(bytes, b"-----BEGIN ")
}

/// DER and PFX both begin with a SEQUENCE whose length takes one to three bytes.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x80..=0x84, ..])
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}

//! What can be told about a chain of certificates by looking at it: its order, its life, its
//! strength. The time is an argument.

use rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

/// Something about a certificate of a chain that its owner should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose: what is most telling of its subject.
    pub subject: String,
    /// Its place in the chain; 0 is the server's own.
    pub index: usize,
    /// What.
    pub fault: ChainFault,
}

/// What can be wrong with a certificate of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// Its issuer, of this name, is in the chain, but not behind it.
    IssuerElsewhere(String),
    /// Others follow it, but its issuer, of this name, is not among them.
    IssuerMissing(String),
    /// Its life begins at this second since 1970, which is to come.
    NotYetValid(i64),
    /// Its life ended at this second since 1970.
    Expired(i64),
    /// Its life ends soon.
    EndsSoon {
        /// Its last second, since 1970.
        end: i64,
        /// Whole days until then.
        days: i64,
    },
    /// Its RSA key has only this many bits.
    WeakKey(usize),
    /// It is signed by means of this hash, which can be forged.
    WeakSignature(&'static str),
}

/// A chain may end sooner than this without a warning being too early, in seconds: 30 days.
const SOON: i64 = 30 * 86_400;

/// RSA keys with fewer bits are refused by today's clients.
pub const RSA_BITS_MIN: usize = 2_048;

/// Looks at every certificate of a chain. `now` is in seconds since 1970.
pub fn examine(chain: &[CertificateDer<'_>], now: i64) -> Vec<Finding> {
    let parsed = chain.iter().map(|der| parse_x509_certificate(der).ok().map(|(_, one)| one));
    // What cannot be read has been refused before.
    let chain: Vec<X509Certificate<'_>> = parsed.flatten().collect();
    let mut findings = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        let own = certificate.subject().as_raw() == certificate.issuer().as_raw();
        // Nobody has to believe what an authority at the end of a chain says about itself.
        let is_root = own && index > 0;
        let mut add = |fault: ChainFault| {
            findings.push(Finding { subject: called(certificate.subject()), index, fault });
        };
        if let (Some(next), false) = (chain.get(index + 1), own)
            && next.subject().as_raw() != certificate.issuer().as_raw()
        {
            let issuer = called(certificate.issuer());
            let elsewhere =
                chain.iter().any(|one| one.subject().as_raw() == certificate.issuer().as_raw());
            add(if elsewhere {
                ChainFault::IssuerElsewhere(issuer)
            } else {
                ChainFault::IssuerMissing(issuer)
            });
        }
        if is_root {
            continue;
        }
        let life = certificate.validity();
        let (begin, end) = (life.not_before.timestamp(), life.not_after.timestamp());
        if now < begin {
            add(ChainFault::NotYetValid(begin));
        } else if now > end {
            add(ChainFault::Expired(end));
        } else if end - now < SOON {
            add(ChainFault::EndsSoon { end, days: (end - now) / 86_400 });
        }
        if let Some(bits) = rsa_bits(certificate).filter(|bits| *bits < RSA_BITS_MIN) {
            add(ChainFault::WeakKey(bits));
        }
        if let Some(hash) = weak_hash(certificate).filter(|_| !own) {
            add(ChainFault::WeakSignature(hash));
        }
    }
    findings
}

pub(super) fn rsa_bits(certificate: &X509Certificate<'_>) -> Option<usize> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => {
            let digits = key.modulus.iter().skip_while(|byte| **byte == 0);
            Some(digits.count() * 8)
        }
        _ => None,
    }
}

/// RFC 3279, section 2.2.
pub(super) fn weak_hash(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.2.840.10040.4.3" => Some("SHA-1"),
        "1.2.840.113549.1.1.4" => Some("MD5"),
        _ => None,
    }
}

/// The common name, or all there is.
fn called(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next().and_then(|one| one.as_str().ok());
    match common.filter(|common| !common.is_empty()) {
        Some(common) => common.to_string(),
        None if name.as_raw().len() <= 2 => "(no subject)".to_string(),
        None => name.to_string(),
    }
}

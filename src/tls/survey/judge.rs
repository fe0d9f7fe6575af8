//! Whether a chain that a server has shown would be trusted, by the same verifier that connections
//! have, and if not, why in a word that advice can be given on.

use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};

use super::paper::describe;
use crate::tls::client::{Authorities, Verifier, server_name};

/// Why a chain is not trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// Nobody who is trusted has signed it.
    UnknownIssuer,
    /// It is not for the name that is expected.
    WrongName,
    /// Its life has ended, or that of one above it.
    Expired,
    /// Its life is to begin.
    NotYetValid,
    /// It is signed in a way that can be forged, such as SHA-1.
    OldSignature,
    /// It is not meant for servers.
    NotForServers,
    /// Its key is not among the pinned ones.
    OtherKey,
    /// What the library says.
    Other(String),
}

/// Judges `chain` as a connection to `name` would at `now`, in seconds since 1970. With `pins` the
/// authorities do not count.
///
/// # Errors
/// Why it would not be trusted.
pub fn vouch(
    (authorities, pins): (&Authorities, &[[u8; 32]]),
    name: &str,
    chain: &[CertificateDer<'_>],
    now: i64,
) -> Result<(), Distrust> {
    let name = server_name(name).map_err(Distrust::Other)?;
    let Some((own, others)) = chain.split_first() else {
        return Err(Distrust::Other("it has shown no certificate".to_owned()));
    };
    let verifier = Verifier::new(authorities, pins, None);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or(0)));
    let judged = verifier.verify_server_cert(own, others, &name, &[], now);
    let why = judged.map(drop).map_err(|error| reason(error, !pins.is_empty()));
    // An authority's own certificate in the place of a server's has a reason of its own there; what
    // helps is the same.
    let is_own_issuer = describe(own).is_some_and(|own| own.is_own_issuer);
    why.map_err(|why| match why {
        Distrust::Other(_) if is_own_issuer => Distrust::UnknownIssuer,
        why => why,
    })
}

fn reason(error: Error, pinned: bool) -> Distrust {
    use CertificateError as Why;
    let Error::InvalidCertificate(why) = error else {
        return match pinned {
            true => Distrust::OtherKey,
            false => Distrust::Other(error.to_string()),
        };
    };
    match why {
        Why::UnknownIssuer => Distrust::UnknownIssuer,
        Why::NotValidForName | Why::NotValidForNameContext { .. } => Distrust::WrongName,
        Why::Expired | Why::ExpiredContext { .. } => Distrust::Expired,
        Why::NotValidYet | Why::NotValidYetContext { .. } => Distrust::NotYetValid,
        Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => Distrust::NotForServers,
        #[expect(deprecated, reason = "older versions of the library say it so")]
        Why::UnsupportedSignatureAlgorithm
        | Why::UnsupportedSignatureAlgorithmContext { .. }
        | Why::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Distrust::OldSignature,
        other => Distrust::Other(other.to_string()),
    }
}

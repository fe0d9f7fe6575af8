//! Whether a chain that a server has shown would be trusted, by the same verifier that connections
//! have, and if not, why in a word that advice can be given on.

use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, Error};

use super::paper::{Paper, describe};
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

/// Judges `chain` as a connection to `asked` would at `now`, in seconds since 1970. With `pins` the
/// authorities do not count.
///
/// # Errors
/// Why it would not be trusted.
pub fn vouch(
    (authorities, pins): (&Authorities, &[[u8; 32]]),
    asked: &str,
    chain: &[CertificateDer<'_>],
    now: i64,
) -> Result<(), Distrust> {
    let name = server_name(asked).map_err(Distrust::Other)?;
    let Some((own, others)) = chain.split_first() else {
        return Err(Distrust::Other("it has shown no certificate".to_owned()));
    };
    let verifier = Verifier::new(authorities, pins, None);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or(0)));
    let judged = verifier.verify_server_cert(own, others, &name, &[], now);
    let why = judged.map(drop).map_err(|error| reason(error, !pins.is_empty()));
    why.map_err(|why| match why {
        Distrust::Other(text) => better_known(chain, asked).unwrap_or(Distrust::Other(text)),
        why => why,
    })
}

/// Why a chain is refused for a reason of its own, in the word that stands for what helps.
fn better_known(chain: &[CertificateDer<'_>], name: &str) -> Option<Distrust> {
    let papers: Vec<Paper> = chain.iter().filter_map(|one| describe(one)).collect();
    let own = papers.first()?;
    if papers.iter().any(Paper::is_signed_badly) {
        Some(Distrust::OldSignature)
    } else if own.is_own_issuer {
        Some(Distrust::UnknownIssuer)
    } else {
        (!own.covers(name)).then_some(Distrust::WrongName)
    }
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

//! What is wrong with a server that TLS cannot be spoken with, and who has to change what. These are
//! the places where administrators of Windows are stuck at night, so each has a text of its own.

use std::{fmt, io};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};
use x509_parser::parse_x509_certificate;

use super::TlsFault;
use super::chain::{RSA_BITS_MIN, rsa_bits, weak_hash};
use super::profile::Profile;

/// What this box finds wrong with a certificate beyond what the library says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CertificateFault {
    /// The server's own RSA key has only so many bits.
    WeakKey(usize),
    /// A certificate of the chain is signed by means of this hash.
    WeakSignature(&'static str),
    /// The wanted name is in the subject, and not among the alternative names, which are these.
    NameInSubjectOnly { name: String, alternative: Vec<String> },
}

impl std::error::Error for CertificateFault {}

impl fmt::Display for CertificateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeakKey(bits) => write!(
                f,
                "the server's RSA key has only {bits} bits, and fewer than {RSA_BITS_MIN} are refused: give the server a certificate with a key of {RSA_BITS_MIN} bits (pin_sha256 does not help here)"
            ),
            Self::WeakSignature(hash) => write!(
                f,
                "a certificate of the server's chain is signed with {hash}, which can be forged: have it issued anew with SHA-256, or set pin_sha256 in the pool's tls table, which trusts the server's key without its chain"
            ),
            Self::NameInSubjectOnly { name, alternative } if alternative.is_empty() => write!(
                f,
                "the server's certificate has {name} in its subject only, and a subject counts for nothing: have it issued anew with {name} as subject alternative name"
            ),
            Self::NameInSubjectOnly { name, alternative } => write!(
                f,
                "the server's certificate has {name} in its subject only, which counts for nothing: set server_name in the pool's tls table to one of its alternative names ({}), or have it issued anew with {name} among them",
                alternative.join(", ")
            ),
        }
    }
}

impl From<CertificateFault> for Error {
    fn from(fault: CertificateFault) -> Self {
        CertificateError::Other(OtherError(std::sync::Arc::new(fault))).into()
    }
}

/// The key of a server's own certificate, if it is too short to verify a signature by.
pub(super) fn weak_key(certificate: &CertificateDer<'_>) -> Option<CertificateFault> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let bits = rsa_bits(&parsed).filter(|bits| *bits < RSA_BITS_MIN)?;
    Some(CertificateFault::WeakKey(bits))
}

/// A better word for why a certificate was refused, where there is one.
pub(super) fn better(
    error: Error,
    chain: (&CertificateDer<'_>, &[CertificateDer<'_>]),
    name: &ServerName<'_>,
) -> Error {
    let Error::InvalidCertificate(why) = &error else { return error };
    let found = match why {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            in_subject_only(chain.0, name)
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. }
        | CertificateError::Revoked => None,
        _ => weak_signature(chain),
    };
    found.map_or(error, Error::from)
}

fn weak_signature(
    (own, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
) -> Option<CertificateFault> {
    let mut chain = std::iter::once(own).chain(others);
    let hash = chain.find_map(|certificate| {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        // Nobody has to believe what one who vouches for itself says.
        let own = parsed.subject().as_raw() == parsed.issuer().as_raw();
        weak_hash(&parsed).filter(|_| !own)
    })?;
    Some(CertificateFault::WeakSignature(hash))
}

fn in_subject_only(
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> Option<CertificateFault> {
    let name = name.to_str().to_ascii_lowercase();
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let mut common = parsed.subject().iter_common_name().filter_map(|one| one.as_str().ok());
    common.find(|common| common.eq_ignore_ascii_case(&name))?;
    let alternative = super::certificate::alternative_names(&parsed);
    Some(CertificateFault::NameInSubjectOnly { name, alternative })
}

/// How to have TLS 1.2 on a server that has it off.
const SWITCH_ON: &str = "the server speaks nothing newer than TLS 1.0 or 1.1, which are not offered: switch TLS 1.2 on there. Windows Server 2008 R2 has it off: under HKLM\\SYSTEM\\CurrentControlSet\\Control\\SecurityProviders\\SCHANNEL\\Protocols\\TLS 1.2\\Server set the DWORDs Enabled = 1 and DisabledByDefault = 0, then restart it";

/// What to do where there is no common cipher suite.
fn no_common_suite(profile: Profile) -> &'static str {
    match profile {
        Profile::Modern | Profile::Tls12 => {
            "probably no cipher suite in common: Windows Server 2008 R2, 2012 and 2012 R2 have none with an RSA certificate. Set profile = \"windows-2012r2\" in the pool's tls table, or give the server an ECDSA P-256 certificate"
        }
        Profile::Windows2012R2 { sha384: false } => {
            "probably no cipher suite in common, though profile = \"windows-2012r2\" offers those of old Windows. On the server, allow TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 (`gpedit.msc`: SSL Configuration Settings, SSL Cipher Suite Order) and a certificate signed with SHA-256; where only TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384 is allowed, set sha384_suite = true beside the profile"
        }
        Profile::Windows2012R2 { sha384: true } => {
            "probably no cipher suite in common, though all those of old Windows are offered. On the server, allow TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 (`gpedit.msc`: SSL Configuration Settings, SSL Cipher Suite Order) and a certificate signed with SHA-256"
        }
    }
}

/// What the server wants that is not done.
pub const NO_RENEGOTIATION: &str = "the server asked for another handshake in the middle of the connection, as IIS does to ask for a client certificate, and that is refused. On the server, have it ask in the first handshake (`netsh http update sslcert ipport=0.0.0.0:443 clientcertnegotiation=enable`, with its own address and port), or set Client certificates to Ignore in IIS (SSL Settings of the site)";

/// Why TLS with a server failed, and what to do: a sentence for the administrator.
pub(super) fn explain(fault: &TlsFault, profile: Profile) -> String {
    let advice = match &fault.0 {
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => SWITCH_ON,
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        ) => no_common_suite(profile),
        Error::PeerMisbehaved(rustls::PeerMisbehaved::TooManyRenegotiationRequests) => {
            NO_RENEGOTIATION
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "set server_name in the pool's tls table to a name that the certificate has",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "put the certificate of the authority that issued the server's into the file that ca in the pool's tls table names"
        }
        _ => return fault.to_string(),
    };
    format!("{fault}: {advice}")
}

/// The same where the server just ended the connection in the handshake.
pub(super) fn explain_end(error: &io::Error, profile: Profile) -> String {
    let how = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the server ended the connection during the handshake",
        io::ErrorKind::ConnectionReset => "the server reset the connection during the handshake",
        _ => return error.to_string(),
    };
    format!("{how}, as Windows does without a word: {}", no_common_suite(profile))
}

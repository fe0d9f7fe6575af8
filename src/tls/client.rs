//! The side that servers see: whom we trust, and whose name we expect.

use std::sync::Arc;
use std::{fmt, io};

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    Resumption, UnbufferedClientConnection, WebPkiServerVerifier, verify_server_name,
};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::profile::{Profile, provider};
use super::witness::{Noting, Shown};
use super::{Session, TlsFault, server_fault};

/// Sessions that are kept to be resumed, per server and name.
const SESSIONS_MAX: usize = 64;

/// Who may vouch for a server, read and ready, for any number of connectors. By default nobody.
#[derive(Clone, Debug, Default)]
pub struct Authorities {
    chain: Option<Arc<WebPkiServerVerifier>>,
    /// A server that shows one of these as its own certificate is trusted too.
    shown: Arc<[CertificateDer<'static>]>,
}

impl Authorities {
    /// The operating system's list, as its files are now.
    ///
    /// # Errors
    /// A sentence for the administrator: there is none.
    pub fn system() -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(found.certs);
        Ok(Self { chain: Some(chain_verifier(store)?), shown: Arc::default() })
    }

    /// These; a server that shows one of them as its own certificate is trusted too.
    ///
    /// # Errors
    /// A sentence for the administrator: one cannot be read, or there is none.
    pub fn these(certificates: &[CertificateDer<'static>]) -> Result<Self, String> {
        let mut store = RootCertStore::empty();
        for certificate in certificates.iter().filter(|one| is_authority(one)) {
            store.add(certificate.clone()).map_err(|e| format!("not an authority: {e}"))?;
        }
        let chain = match store.is_empty() && !certificates.is_empty() {
            true => None,
            false => Some(chain_verifier(store)?),
        };
        Ok(Self { chain, shown: certificates.into() })
    }
}

/// How to talk TLS to one server.
#[derive(Clone, Debug)]
pub struct ConnectorSettings {
    /// Who may vouch for it.
    pub authorities: Authorities,
    /// SHA-256 of public keys (SubjectPublicKeyInfo); if any, they replace the authorities.
    pub pin_sha256: Vec<[u8; 32]>,
    /// The name to verify where it differs from the one that is sent.
    pub verify: Option<String>,
    /// Whether the server name is sent at all.
    pub send_name: bool,
    /// What is offered.
    pub profile: Profile,
}

/// Opens sessions to one server; those that it remembers are resumed.
#[derive(Clone)]
pub struct Connector {
    config: Arc<ClientConfig>,
    profile: Profile,
    shown: Arc<Shown>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(..)")
    }
}

impl Connector {
    /// Prepares everything that does not depend on the single connection.
    ///
    /// # Errors
    /// A sentence for the administrator: a name that is none.
    pub fn new(settings: &ConnectorSettings) -> Result<Self, String> {
        Self::offering(settings, settings.profile.provider())
    }

    /// One that offers what is in `provider`.
    pub(super) fn offering(
        settings: &ConnectorSettings,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let verify = match &settings.verify {
            Some(name) => Some(server_name(name)?),
            None => None,
        };
        let judge = Verifier::new(&settings.authorities, &settings.pin_sha256, verify);
        Self::judged_by(settings, provider, Arc::new(judge))
    }

    /// One whose servers somebody else judges.
    pub(super) fn with_verifier(
        settings: &ConnectorSettings,
        judge: Arc<dyn ServerCertVerifier>,
    ) -> Result<Self, String> {
        Self::judged_by(settings, settings.profile.provider(), judge)
    }

    fn judged_by(
        settings: &ConnectorSettings,
        provider: Arc<CryptoProvider>,
        judge: Arc<dyn ServerCertVerifier>,
    ) -> Result<Self, String> {
        let shown = Arc::<Shown>::default();
        let verifier = Arc::new(Noting { judge, shown: Arc::clone(&shown) });
        let profile = settings.profile;
        let builder = ClientConfig::builder_with_provider(provider);
        let builder =
            builder.with_protocol_versions(profile.versions()).map_err(|e| e.to_string())?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_no_client_auth();
        config.enable_sni = settings.send_name;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Ok(Self { config: Arc::new(config), profile, shown })
    }

    /// The certificate that the server has shown last: the last second of its life, and when it was
    /// shown, both since 1970. `None`: none yet.
    #[must_use]
    pub fn last_shown(&self) -> Option<(i64, i64)> {
        self.shown.last()
    }

    /// Somebody else has seen what the server shows to us.
    pub fn note_shown(&self, ends: i64, at: i64) {
        self.shown.note(ends, at);
    }

    /// A new session with a server of this name (a host name or an address literal).
    ///
    /// # Errors
    /// The name is none.
    pub fn connect(&self, name: &str) -> Result<Session, TlsFault> {
        let name = server_name(name).map_err(|why| TlsFault(Error::General(why)))?;
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.config), name);
        Ok(Session::client(connection.map_err(TlsFault)?))
    }

    /// Why a handshake failed, and what to do: a sentence for the administrator.
    #[must_use]
    pub fn explain(&self, fault: &TlsFault) -> String {
        server_fault::explain(fault, self.profile)
    }

    /// The same where the connection failed in the middle of the handshake.
    #[must_use]
    pub fn explain_end(&self, error: &io::Error) -> String {
        server_fault::explain_end(error, self.profile)
    }
}

pub(super) fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    ServerName::try_from(bare.to_owned()).map_err(|_| format!("`{name}` is no server name"))
}

fn chain_verifier(store: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, String> {
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider()).build();
    built.map_err(|_| "there is no authority to trust".to_owned())
}

/// A server's own certificate in the file vouches for itself only: the library would take it for an
/// authority over every name.
fn is_authority(certificate: &CertificateDer<'_>) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    match parsed.basic_constraints() {
        Ok(Some(constraints)) => constraints.value.ca,
        // Authorities of the first version have no extensions; they sign themselves.
        Ok(None) => {
            parsed.version() == x509_parser::x509::X509Version::V1
                && parsed.subject() == parsed.issuer()
        }
        Err(_) => false,
    }
}

#[derive(Debug)]
pub(super) struct Verifier {
    authorities: Authorities,
    pins: Vec<[u8; 32]>,
    verify: Option<ServerName<'static>>,
}

impl Verifier {
    /// Pins, if any, replace the authorities; `verify` replaces the name that is sent.
    pub(super) fn new(
        authorities: &Authorities,
        pins: &[[u8; 32]],
        verify: Option<ServerName<'static>>,
    ) -> Self {
        let authorities = match pins.is_empty() {
            true => authorities.clone(),
            false => Authorities::default(),
        };
        Self { authorities, pins: pins.to_vec(), verify }
    }

    /// A pinned key, or a certificate that stands in the file itself, needs no chain; the name is
    /// verified all the same.
    fn is_known(&self, certificate: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>) -> bool {
        let key = digest::digest(&digest::SHA256, &parsed.subject_public_key_info());
        self.pins.iter().any(|pin| pin == key.as_ref())
            || self.authorities.shown.iter().any(|shown| shown == certificate)
    }
}

/// A certificate that is trusted without a chain still ends.
fn judge_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return Err(CertificateError::BadEncoding.into());
    };
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        Err(CertificateError::NotValidYet.into())
    } else if now > validity.not_after.timestamp() {
        Err(CertificateError::Expired.into())
    } else {
        Ok(())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = self.verify.as_ref().unwrap_or(name);
        if let Some(fault) = server_fault::weak_key(certificate) {
            return Err(fault.into());
        }
        let better = |error| server_fault::better(error, (certificate, intermediates), name);
        let parsed = ParsedCertificate::try_from(certificate)?;
        if self.is_known(certificate, &parsed) {
            judge_dates(certificate, now)?;
            verify_server_name(&parsed, name).map_err(better)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.authorities.chain {
            Some(chain) => chain
                .verify_server_cert(certificate, intermediates, name, ocsp, now)
                .map_err(better),
            None if self.pins.is_empty() => Err(better(CertificateError::UnknownIssuer.into())),
            None => Err(Error::General("the server's key is not in pin_sha256".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    fn certificate(is_ca: IsCa) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        params.is_ca = is_ca;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_listed_server_certificate_vouches_for_itself_only() {
        assert!(is_authority(&certificate(IsCa::Ca(BasicConstraints::Unconstrained))));
        assert!(!is_authority(&certificate(IsCa::ExplicitNoCa)));
        assert!(!is_authority(&certificate(IsCa::NoCa)));
    }
}

//! A look at a server that trusts it with nothing: a handshake as connections make it, whose
//! certificates are taken note of instead of judged.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::client::{Connector, ConnectorSettings};
use super::provider;

/// The chain that a server has shown. Whoever connects by it must not send anything that is not for
/// everybody.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Vec<CertificateDer<'static>>>>);

impl Witness {
    /// Opens sessions with whoever is there; it sees what they show. Of `settings` only what is
    /// offered counts.
    ///
    /// # Errors
    /// A sentence for the administrator: what the library refuses.
    pub fn connector(&self, settings: &ConnectorSettings) -> Result<Connector, String> {
        Connector::with_verifier(settings, Arc::new(self.clone()))
    }

    /// Server certificate first; empty if none was shown since the start.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let all = std::iter::once(certificate).chain(intermediates);
        let chain = all.map(|one| one.clone().into_owned()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = chain;
        Ok(ServerCertVerified::assertion())
    }

    // The server has to have the key: a connection would end here too.
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

//! Certificates that servers show, taken note of: beside the judgement in connections, and instead of
//! it in a look at a server that trusts it with nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::client::{Connector, ConnectorSettings};
use super::profile::provider;

/// The certificate that a server has shown last. A session that is taken up again shows none.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The last second of its life, since 1970.
    ends: AtomicI64,
    /// When it was shown, in seconds since 1970; 0: never.
    at: AtomicI64,
}

impl Shown {
    /// The two are read by people: that they change one after the other does no harm.
    pub(super) fn note(&self, ends: i64, at: i64) {
        self.ends.store(ends, Ordering::Relaxed);
        self.at.store(at, Ordering::Release);
    }

    pub(super) fn last(&self) -> Option<(i64, i64)> {
        let at = self.at.load(Ordering::Acquire);
        (at != 0).then(|| (self.ends.load(Ordering::Relaxed), at))
    }
}

/// Notes what is shown, and leaves the judgement to somebody else.
#[derive(Debug)]
pub(super) struct Noting {
    pub(super) judge: Arc<dyn ServerCertVerifier>,
    pub(super) shown: Arc<Shown>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // Also one that is refused: perhaps since it has ended.
        if let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) {
            let at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            self.shown.note(parsed.validity().not_after.timestamp(), at);
        }
        self.judge.verify_server_cert(certificate, intermediates, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

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

//! A fresh authority and a server certificate under it, for benchmarks only.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::Trouble;

/// The names that the certificate is made for; the first is the one that proxies verify.
pub const NAMES: [&str; 3] = ["bench.test", "localhost", "127.0.0.1"];

/// An ECDSA P-256 certificate with its key and authority, as PEM.
pub struct Fresh {
    /// The authority's certificate.
    pub ca: String,
    /// The server's certificate.
    pub chain: String,
    /// The server's private key.
    pub key: String,
}

/// The files of a [`Fresh`] certificate.
#[derive(Clone, Debug)]
pub struct Files {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's certificate.
    pub chain: PathBuf,
    /// The server's private key.
    pub key: PathBuf,
    /// Certificate and key in one file, as HAProxy wants them.
    pub both: PathBuf,
}

impl Fresh {
    /// Makes one.
    pub fn make() -> Result<Self, Trouble> {
        Self::generate().map_err(Trouble::of("a certificate for the benchmark cannot be made"))
    }

    fn generate() -> Result<Self, rcgen::Error> {
        let mut ca = CertificateParams::new(Vec::<String>::new())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name.push(DnType::CommonName, "Gatehouse benchmark authority");
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);

        let mut server = CertificateParams::new(NAMES.map(String::from).to_vec())?;
        server.distinguished_name.push(DnType::CommonName, NAMES[0]);
        server.use_authority_key_identifier_extension = true;
        server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?;
        Ok(Self { ca: ca_certificate.pem(), chain: certificate.pem(), key: key.serialize_pem() })
    }

    /// Writes it into `folder`.
    pub fn write(&self, folder: &Path) -> Result<Files, Trouble> {
        let files = Files {
            ca: folder.join("ca.pem"),
            chain: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            both: folder.join("both.pem"),
        };
        write_private(&files.ca, &self.ca)?;
        write_private(&files.chain, &self.chain)?;
        write_private(&files.key, &self.key)?;
        write_private(&files.both, &format!("{}{}", self.chain, self.key))?;
        Ok(files)
    }

    /// TLS settings of a server that shows it.
    pub fn server(&self) -> Result<Arc<ServerConfig>, Trouble> {
        server_config(self.chain.as_bytes(), self.key.as_bytes())
            .map_err(Trouble::of("the fresh certificate cannot be used"))
    }

    /// TLS settings of a client that trusts its authority and makes a full handshake each time.
    pub fn client(&self) -> Result<Arc<ClientConfig>, Trouble> {
        let what = || "the fresh authority cannot be used";
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.ca.as_bytes()).map_err(Trouble::of(what()))?;
        roots.add(ca).map_err(Trouble::of(what()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Trouble::of(what()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }
}

/// TLS settings of a server with the certificate and key in these files.
pub fn server_from_files(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, Trouble> {
    let read = |path: &Path| {
        fs::read(path).map_err(Trouble::of(format!("{} cannot be read", path.display())))
    };
    server_config(&read(chain)?, &read(key)?).map_err(Trouble::of(format!(
        "{} and {} are not a certificate and its key",
        chain.display(),
        key.display()
    )))
}

fn server_config(
    chain: &[u8],
    key: &[u8],
) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error>> {
    let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// Writes a file that only its owner can read, as the key demands.
fn write_private(path: &Path, text: &str) -> Result<(), Trouble> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Trouble::of(format!("{} cannot be written", path.display())))
}

//! Which versions, cipher suites and groups are offered, by the words of the file.

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedProtocolVersion};

use super::suites::{OLD, OLD_SHA384};

/// What servers are offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Profile {
    /// TLS 1.3 and 1.2.
    #[default]
    Modern,
    /// TLS 1.2 only.
    Tls12,
    /// TLS 1.2 with P-256 and P-384 only; behind the modern suites those of Windows before 2016.
    Windows2012R2 {
        /// ECDHE-RSA-AES256-SHA384 too.
        sha384: bool,
    },
}

/// What clients are offered. Our order decides, with AES-256 in front; ChaCha20 is there for
/// a client that has it there too, since such a client has no AES in hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ListenerProfile {
    /// TLS 1.3 and 1.2.
    #[default]
    Modern,
    /// The same, and behind the modern suites those of Windows before 10.
    Windows7,
}

impl Profile {
    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static MODERN: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
        match self {
            Self::Modern => &MODERN,
            Self::Tls12 | Self::Windows2012R2 { .. } => &MODERN[1..],
        }
    }

    pub(super) fn provider(self) -> Arc<CryptoProvider> {
        static OLD: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        static OLD_SHA384: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        let kept = match self {
            Self::Modern | Self::Tls12 => return provider(),
            Self::Windows2012R2 { sha384: false } => &OLD,
            Self::Windows2012R2 { sha384: true } => &OLD_SHA384,
        };
        let make = || {
            let mut provider = with_old_suites(self == Self::Windows2012R2 { sha384: true });
            // Small: there are boxes between that lose a greeting in two pieces.
            provider.kx_groups =
                vec![aws_lc_rs::kx_group::SECP256R1, aws_lc_rs::kx_group::SECP384R1];
            Arc::new(provider)
        };
        Arc::clone(kept.get_or_init(make))
    }
}

impl ListenerProfile {
    pub(super) fn provider(self) -> Arc<CryptoProvider> {
        static OLD: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        match self {
            Self::Modern => provider(),
            Self::Windows7 => Arc::clone(OLD.get_or_init(|| Arc::new(with_old_suites(false)))),
        }
    }

    /// The same algorithms, with ChaCha20 in front.
    pub(super) fn chacha20_first(self) -> Arc<CryptoProvider> {
        let mut provider = (*self.provider()).clone();
        provider.cipher_suites.sort_by_key(|suite| !is_chacha20(suite.suite()));
        Arc::new(provider)
    }
}

/// Whether this is as fast on a machine that has no AES in hardware.
pub(super) fn is_chacha20(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    )
}

/// The one set of algorithms, unless the file asks for more: everything that the library offers by
/// default, which is what Mozilla calls intermediate without its CBC suites, with the hybrid
/// post-quantum group first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}

fn with_old_suites(sha384: bool) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.extend(OLD);
    provider.cipher_suites.extend(sha384.then_some(OLD_SHA384));
    provider
}

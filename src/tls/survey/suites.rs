//! Cipher suites that a server is asked for, by what it means when it takes them.

/// What it means for us that a server takes a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// TLS 1.3.
    New,
    /// TLS 1.2 with a fresh key and authenticated encryption: every profile has it.
    Modern,
    /// A fresh key and AES-CBC, with an RSA certificate: the profile `windows-2012r2` has it.
    Cbc,
    /// The same with an ECDSA certificate, which no profile has.
    CbcEcdsa,
    /// A fresh key by Diffie-Hellman without curves, which no profile has.
    Dhe,
    /// The key is sent under the certificate's own, so that who steals that key reads everything
    /// recorded before: no profile has it.
    RsaExchange,
    /// RC4, 3DES or nothing: broken.
    Broken,
}

impl Kind {
    /// All of TLS 1.2 and older, the best first.
    pub const OLD: [Self; 6] =
        [Self::Modern, Self::Cbc, Self::CbcEcdsa, Self::Dhe, Self::RsaExchange, Self::Broken];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "TLS 1.3",
            Self::Modern => "ECDHE with AES-GCM or ChaCha20",
            Self::Cbc => "ECDHE-RSA with AES-CBC",
            Self::CbcEcdsa => "ECDHE-ECDSA with AES-CBC",
            Self::Dhe => "DHE",
            Self::RsaExchange => "RSA key exchange",
            Self::Broken => "RC4, 3DES, NULL",
        }
    }

    /// For programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "tls13",
            Self::Modern => "modern",
            Self::Cbc => "cbc",
            Self::CbcEcdsa => "cbc_ecdsa",
            Self::Dhe => "dhe",
            Self::RsaExchange => "rsa_exchange",
            Self::Broken => "broken",
        }
    }
}

/// Number, name and kind.
pub type Suite = (u16, &'static str, Kind);

/// Those that are asked for, in the order in which we would like them.
pub const SUITES: [Suite; 43] = [
    (0x1301, "TLS_AES_128_GCM_SHA256", Kind::New),
    (0x1302, "TLS_AES_256_GCM_SHA384", Kind::New),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256", Kind::New),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Kind::Modern),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Kind::Modern),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Kind::Modern),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Kind::Modern),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Kind::Modern),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Kind::Modern),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Kind::Cbc),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Kind::Cbc),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Kind::Cbc),
    (0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", Kind::Cbc),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Kind::CbcEcdsa),
    (0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", Kind::CbcEcdsa),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Kind::CbcEcdsa),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Kind::CbcEcdsa),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", Kind::Dhe),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", Kind::Dhe),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", Kind::Dhe),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", Kind::Dhe),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", Kind::Dhe),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", Kind::Dhe),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", Kind::RsaExchange),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", Kind::RsaExchange),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", Kind::RsaExchange),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", Kind::RsaExchange),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", Kind::RsaExchange),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", Kind::RsaExchange),
    (0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", Kind::RsaExchange),
    (0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", Kind::RsaExchange),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Kind::Broken),
    (0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", Kind::Broken),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", Kind::Broken),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Kind::Broken),
    (0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", Kind::Broken),
    (0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Kind::Broken),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA", Kind::Broken),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5", Kind::Broken),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA", Kind::Broken),
    (0x003b, "TLS_RSA_WITH_NULL_SHA256", Kind::Broken),
    (0x0002, "TLS_RSA_WITH_NULL_SHA", Kind::Broken),
    (0x0001, "TLS_RSA_WITH_NULL_MD5", Kind::Broken),
];

/// The numbers of a kind.
#[must_use]
pub fn suites_of(kind: Kind) -> Vec<u16> {
    let ours = SUITES.iter().filter(|suite| suite.2 == kind);
    ours.map(|suite| suite.0).collect()
}

/// As people write it; unknown ones by their number.
#[must_use]
pub fn suite_name(number: u16) -> String {
    match SUITES.iter().find(|suite| suite.0 == number) {
        Some((_, name, _)) => format!("{name} (0x{number:04X})"),
        None => format!("0x{number:04X}"),
    }
}

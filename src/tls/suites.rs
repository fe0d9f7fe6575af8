//! The cipher suites that Windows before 2016 and Windows 10 needs behind an RSA certificate: ECDHE
//! with AES-CBC, as suites of an unmodified rustls. What they protect is whole and secret; they are
//! slower than GCM, and their like has a history of attacks on careless code, so that they are offered
//! only where the file says so.

use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload,
    Tls12AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::tls12::Prf;
use rustls::crypto::{ActiveKeyExchange, CipherSuiteCommon};
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls12CipherSuite,
};

use super::legacy::{Cbc, HEADER_BYTES, IV_BYTES, Opener, Sealer, TAG_BYTES_MAX};

/// Plaintext bytes of a record, at most (RFC 5246 section 6.2.1).
const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// Records that one key may seal: as many as with GCM, where the odds are the same (blocks of 128 bits).
const RECORDS_MAX: u64 = 1 << 24;

/// A cipher suite of old Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OldSuite {
    /// 0xC027, the fastest of them.
    Aes128Sha256,
    /// 0xC014.
    Aes256Sha,
    /// 0xC013.
    Aes128Sha,
    /// 0xC028: twice as slow, and of no more use; for servers that take nothing else.
    Aes256Sha384,
}

impl OldSuite {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::Aes128Sha256, Self::Aes256Sha, Self::Aes128Sha, Self::Aes256Sha384];

    /// Its name in openssl's lists, which is what administrators search for.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Sha256 => "ECDHE-RSA-AES128-SHA256",
            Self::Aes256Sha => "ECDHE-RSA-AES256-SHA",
            Self::Aes128Sha => "ECDHE-RSA-AES128-SHA",
            Self::Aes256Sha384 => "ECDHE-RSA-AES256-SHA384",
        }
    }

    /// The one of this number, if it is one of them.
    pub(super) fn of(suite: CipherSuite) -> Option<Self> {
        match suite {
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256 => Some(Self::Aes128Sha256),
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA => Some(Self::Aes256Sha),
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA => Some(Self::Aes128Sha),
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384 => Some(Self::Aes256Sha384),
            _ => None,
        }
    }
}

/// In the order of preference. Schannel would rather have 0xC028, which costs twice as much.
pub(super) static OLD: [SupportedCipherSuite; 3] = [
    SupportedCipherSuite::Tls12(&AES_128_SHA256),
    SupportedCipherSuite::Tls12(&AES_256_SHA),
    SupportedCipherSuite::Tls12(&AES_128_SHA),
];

/// 0xC028.
pub(super) static OLD_SHA384: SupportedCipherSuite = SupportedCipherSuite::Tls12(&AES_256_SHA384);

static AES_128_SHA256: Tls12CipherSuite = suite(
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256,
    like(&TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    &Records(Cbc::Aes128Sha256),
    &KeyBlock { of: &TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cbc: Cbc::Aes128Sha256 },
);

static AES_256_SHA: Tls12CipherSuite = suite(
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
    like(&TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    &Records(Cbc::Aes256Sha1),
    &KeyBlock { of: &TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cbc: Cbc::Aes256Sha1 },
);

static AES_128_SHA: Tls12CipherSuite = suite(
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
    like(&TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    &Records(Cbc::Aes128Sha1),
    &KeyBlock { of: &TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, cbc: Cbc::Aes128Sha1 },
);

static AES_256_SHA384: Tls12CipherSuite = suite(
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384,
    like(&TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    &Records(Cbc::Aes256Sha384),
    &KeyBlock { of: &TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, cbc: Cbc::Aes256Sha384 },
);

/// The suite of GCM that signs, hashes and agrees on keys in the same way.
const fn like(suite: &'static SupportedCipherSuite) -> &'static Tls12CipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite,
        SupportedCipherSuite::Tls13(_) => panic!("a suite of TLS 1.2"),
    }
}

const fn suite(
    number: CipherSuite,
    like: &'static Tls12CipherSuite,
    records: &'static Records,
    key_block: &'static KeyBlock,
) -> Tls12CipherSuite {
    Tls12CipherSuite {
        common: CipherSuiteCommon {
            suite: number,
            hash_provider: like.common.hash_provider,
            confidentiality_limit: RECORDS_MAX,
        },
        prf_provider: key_block,
        kx: like.kx,
        sign: like.sign,
        aead_alg: records,
    }
}

/// The pseudo-random function of `of`, but that it lays out the key block as [`Records`] takes it.
///
/// RFC 5246 section 6.3 has the keys of both MACs, then those of both ciphers. rustls knows no key of
/// a MAC: it cuts off two keys of at most 32 bytes and then two IVs of any length, so both keys of one
/// side are made to lie side by side, as the IV.
struct KeyBlock {
    of: &'static SupportedCipherSuite,
    cbc: Cbc,
}

impl Prf for KeyBlock {
    fn for_key_exchange(
        &self,
        output: &mut [u8; 48],
        exchange: Box<dyn ActiveKeyExchange>,
        peer: &[u8],
        label: &[u8],
        seed: &[u8],
    ) -> Result<(), Error> {
        like(self.of).prf_provider.for_key_exchange(output, exchange, peer, label, seed)
    }

    fn for_secret(&self, output: &mut [u8], secret: &[u8], label: &[u8], seed: &[u8]) {
        like(self.of).prf_provider.for_secret(output, secret, label, seed);
        if label == b"key expansion" {
            side_by_side(output, self.cbc);
        }
    }
}

/// `[mac ours, mac theirs, key ours, key theirs]` to `[mac ours, key ours, mac theirs, key theirs]`.
fn side_by_side(block: &mut [u8], cbc: Cbc) {
    let (mac, key) = (cbc.mac_bytes(), cbc.key_bytes());
    if let Some(middle) = block.get_mut(mac..2 * mac + key) {
        middle.rotate_left(mac);
    }
}

/// Makes what seals and opens records of one connection.
struct Records(Cbc);

impl Tls12AeadAlgorithm for Records {
    fn encrypter(&self, _: AeadKey, secret: &[u8], _: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Encrypter { sealer: Sealer::new(self.0, secret), mac: self.0.mac_bytes() })
    }

    fn decrypter(&self, _: AeadKey, secret: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Decrypter(Opener::new(self.0, secret)))
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        let fixed_iv_len = self.0.mac_bytes() + self.0.key_bytes();
        KeyBlockShape { enc_key_len: 0, fixed_iv_len, explicit_nonce_len: 0 }
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: &[u8],
        _: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// Without a sealer where there was no memory for it.
struct Encrypter {
    sealer: Option<Sealer>,
    mac: usize,
}

impl MessageEncrypter for Encrypter {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let sealer = self.sealer.as_mut().ok_or(Error::EncryptError)?;
        let plain_bytes = message.payload.len();
        let mut iv = [0; IV_BYTES];
        aws_lc_rs::rand::fill(&mut iv).map_err(|_| Error::FailedToGetRandomBytes)?;
        let mut payload = PrefixedPayload::with_capacity(IV_BYTES + plain_bytes + TAG_BYTES_MAX);
        payload.extend_from_slice(&iv);
        payload.extend_from_chunks(&message.payload);
        let header = header(sequence, message.typ, message.version);
        let plain = payload.as_mut().get_mut(IV_BYTES..).ok_or(Error::EncryptError)?;
        let (tag, tag_bytes) = sealer.seal(&iv, &header, plain).ok_or(Error::EncryptError)?;
        payload.extend_from_slice(tag.get(..tag_bytes).ok_or(Error::EncryptError)?);
        Ok(OutboundOpaqueMessage::new(message.typ, message.version, payload))
    }

    /// The padding has at least one byte and fills up the last block.
    fn encrypted_payload_len(&self, plain_bytes: usize) -> usize {
        IV_BYTES + (plain_bytes + self.mac + 1).next_multiple_of(IV_BYTES)
    }
}

struct Decrypter(Option<Opener>);

impl MessageDecrypter for Decrypter {
    /// Whatever is wrong, the error is the same, and so is the alert that is made of it.
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let opener = self.0.as_mut().ok_or(Error::DecryptError)?;
        let header = header(sequence, message.typ, message.version);
        let opened = match message.payload.split_first_chunk_mut::<IV_BYTES>() {
            Some((iv, sealed)) => opener.open(iv, &header, sealed),
            None => None,
        };
        let plain_bytes = opened.ok_or(Error::DecryptError)?;
        if plain_bytes > PLAIN_BYTES_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        Ok(message.into_plain_message_range(IV_BYTES..IV_BYTES + plain_bytes))
    }
}

/// What is authenticated beside the plaintext and its length.
fn header(sequence: u64, kind: ContentType, version: ProtocolVersion) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    let (number, rest) = header.split_at_mut(8);
    number.copy_from_slice(&sequence.to_be_bytes());
    let [high, low] = u16::from(version).to_be_bytes();
    rest.copy_from_slice(&[u8::from(kind), high, low]);
    header
}

#[cfg(test)]
mod tests;

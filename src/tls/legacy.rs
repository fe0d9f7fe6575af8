//! Records of the cipher suites with CBC (RFC 5246 section 6.2.3.2), sealed and opened by aws-lc's own
//! functions for them: MAC, padding and cipher in one call that takes the same time whatever is wrong
//! inside (Lucky Thirteen). No MAC and no padding is computed here.
#![expect(unsafe_code, reason = "aws-lc-rs does not wrap these functions of its C library")]

use aws_lc_sys::{
    ERR_clear_error, EVP_AEAD, EVP_AEAD_CTX, EVP_AEAD_CTX_cleanup,
    EVP_AEAD_CTX_init_with_direction, EVP_AEAD_CTX_open, EVP_AEAD_CTX_seal_scatter,
    EVP_aead_aes_128_cbc_sha1_tls, EVP_aead_aes_128_cbc_sha256_tls, EVP_aead_aes_256_cbc_sha1_tls,
    EVP_aead_aes_256_cbc_sha384_tls, evp_aead_direction_t, evp_aead_direction_t_evp_aead_open,
    evp_aead_direction_t_evp_aead_seal,
};

/// Bytes of the explicit IV in front of each record: a block of AES.
pub(super) const IV_BYTES: usize = 16;

/// Sequence number, type and version of a record; its length is added by the library, since it knows
/// that of the plaintext only after it has opened the record.
pub(super) const HEADER_BYTES: usize = 8 + 1 + 2;

/// The longest MAC (SHA-384) with the longest padding that is made here (one block).
pub(super) const TAG_BYTES_MAX: usize = 48 + 16;

/// A cipher with a MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cbc {
    Aes128Sha1,
    Aes256Sha1,
    Aes128Sha256,
    Aes256Sha384,
}

impl Cbc {
    pub(super) const fn mac_bytes(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes256Sha1 => 20,
            Self::Aes128Sha256 => 32,
            Self::Aes256Sha384 => 48,
        }
    }

    pub(super) const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Sha1 | Self::Aes128Sha256 => 16,
            Self::Aes256Sha1 | Self::Aes256Sha384 => 32,
        }
    }

    fn algorithm(self) -> *const EVP_AEAD {
        // SAFETY: these take nothing and give the address of a constant of the library.
        unsafe {
            match self {
                Self::Aes128Sha1 => EVP_aead_aes_128_cbc_sha1_tls(),
                Self::Aes256Sha1 => EVP_aead_aes_256_cbc_sha1_tls(),
                Self::Aes128Sha256 => EVP_aead_aes_128_cbc_sha256_tls(),
                Self::Aes256Sha384 => EVP_aead_aes_256_cbc_sha384_tls(),
            }
        }
    }
}

/// The keys of one direction. Boxed, so that the library finds its state where it has put it.
struct Keys(Box<EVP_AEAD_CTX>);

// SAFETY: the library keeps nothing of a context outside of it and of memory that it alone owns, and
// here it is only touched through `&mut`.
unsafe impl Send for Keys {}
// SAFETY: as above: `&Keys` gives access to nothing.
unsafe impl Sync for Keys {}

impl Keys {
    /// `secret` is the key of the MAC, then that of the cipher. `None` if its length is another than
    /// that of `cbc`, or for want of memory.
    fn new(cbc: Cbc, secret: &[u8], direction: evp_aead_direction_t) -> Option<Self> {
        let mut context = Box::new(EVP_AEAD_CTX::default());
        // SAFETY: the context is zeroed memory of the right size; the key is read as far as it is
        // long, during the call; 0 asks for the usual length of the tag.
        let made = unsafe {
            EVP_AEAD_CTX_init_with_direction(
                &raw mut *context,
                cbc.algorithm(),
                secret.as_ptr(),
                secret.len(),
                0,
                direction,
            )
        };
        if made != 1 {
            forget_errors();
            return None;
        }
        Some(Self(context))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // SAFETY: the context was made by `new` and is cleaned up once; this clears its keys too.
        unsafe { EVP_AEAD_CTX_cleanup(&raw mut *self.0) }
    }
}

/// The library notes why a call failed, per thread; nobody reads that here.
fn forget_errors() {
    // SAFETY: it takes nothing and empties a list of this thread.
    unsafe { ERR_clear_error() }
}

/// Seals records of one direction.
pub(super) struct Sealer(Keys);

impl Sealer {
    pub(super) fn new(cbc: Cbc, secret: &[u8]) -> Option<Self> {
        Keys::new(cbc, secret, evp_aead_direction_t_evp_aead_seal).map(Self)
    }

    /// Enciphers `plain` in place; gives what has to follow it, by its length. `iv` must be one that
    /// nobody could foresee. `None` if the library refuses, which is for want of memory only.
    pub(super) fn seal(
        &mut self,
        iv: &[u8; IV_BYTES],
        header: &[u8; HEADER_BYTES],
        plain: &mut [u8],
    ) -> Option<([u8; TAG_BYTES_MAX], usize)> {
        let mut tag = [0; TAG_BYTES_MAX];
        let mut tag_bytes = 0;
        // SAFETY: the context is whole, since `new` gave it, and nobody else has it. Input and output
        // are the same memory, which the library allows, and the tag is apart from it; no more is
        // written than the lengths that are given. There is no extra input.
        let sealed = unsafe {
            EVP_AEAD_CTX_seal_scatter(
                &raw const *self.0.0,
                plain.as_mut_ptr(),
                tag.as_mut_ptr(),
                &raw mut tag_bytes,
                TAG_BYTES_MAX,
                iv.as_ptr(),
                IV_BYTES,
                plain.as_ptr(),
                plain.len(),
                std::ptr::null(),
                0,
                header.as_ptr(),
                HEADER_BYTES,
            )
        };
        if sealed != 1 {
            forget_errors();
            return None;
        }
        Some((tag, tag_bytes))
    }
}

/// Opens records of one direction.
pub(super) struct Opener(Keys);

impl Opener {
    pub(super) fn new(cbc: Cbc, secret: &[u8]) -> Option<Self> {
        Keys::new(cbc, secret, evp_aead_direction_t_evp_aead_open).map(Self)
    }

    /// Deciphers `sealed` in place; gives how much of its front is plaintext. `None` for a wrong MAC,
    /// a wrong padding and a wrong length alike: then `sealed` is zeroed.
    pub(super) fn open(
        &mut self,
        iv: &[u8; IV_BYTES],
        header: &[u8; HEADER_BYTES],
        sealed: &mut [u8],
    ) -> Option<usize> {
        let mut plain_bytes = 0;
        // SAFETY: the context is whole, since `new` gave it, and nobody else has it. Input and output
        // are the same memory, which the library allows; no more is written than its length.
        let opened = unsafe {
            EVP_AEAD_CTX_open(
                &raw const *self.0.0,
                sealed.as_mut_ptr(),
                &raw mut plain_bytes,
                sealed.len(),
                iv.as_ptr(),
                IV_BYTES,
                sealed.as_ptr(),
                sealed.len(),
                header.as_ptr(),
                HEADER_BYTES,
            )
        };
        if opened != 1 {
            forget_errors();
            return None;
        }
        Some(plain_bytes)
    }
}

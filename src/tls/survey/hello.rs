//! The greeting of a client (RFC 5246 section 7.4.1.2, RFC 8446 section 4.1.2), written by hand so
//! that it may offer what the TLS library would never offer. It is not followed by a handshake.

use std::net::IpAddr;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Broken since 2014.
    Ssl3,
    /// Of 1999.
    Tls10,
    /// Of 2006.
    Tls11,
    /// Of 2008.
    Tls12,
    /// Of 2018.
    Tls13,
}

impl Version {
    /// The newest first.
    pub const ALL: [Self; 5] = [Self::Tls13, Self::Tls12, Self::Tls11, Self::Tls10, Self::Ssl3];

    /// As people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssl3 => "SSL 3.0",
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        }
    }

    /// As it stands in messages.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Ssl3 => 0x0300,
            Self::Tls10 => 0x0301,
            Self::Tls11 => 0x0302,
            Self::Tls12 => 0x0303,
            Self::Tls13 => 0x0304,
        }
    }
}

/// What a greeting offers: one version, and nothing older.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'o> {
    /// The version.
    pub version: Version,
    /// Cipher suites, the dearest first.
    pub suites: &'o [u16],
    /// The server name to send; an address is not sent.
    pub server_name: Option<&'o str>,
    /// Protocols above TLS.
    pub protocols: &'o [&'o str],
    /// Nobody can guess it; though nothing is protected by it.
    pub random: [u8; 32],
}

/// The curves that our own profiles use. SHA-1 comes last among the signatures, so that a server
/// takes it only if it has nothing better.
const GROUPS: [u16; 3] = [0x001d, 0x0017, 0x0018];
const SCHEMES: [u16; 13] = [
    0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0807, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201,
    0x0202,
];

/// Says that renegotiation is not meant (RFC 5746 section 3.3).
const NO_RENEGOTIATION: u16 = 0x00ff;

/// The record with the greeting.
#[must_use]
pub fn client_hello(offer: &Offer<'_>) -> Vec<u8> {
    let mut out = vec![22];
    // Some servers refuse records of a version that they do not know.
    put16(&mut out, offer.version.number().min(Version::Tls10.number()));
    block(&mut out, 2, |record| {
        record.push(1);
        block(record, 3, |body| write_body(offer, body));
    });
    out
}

fn write_body(offer: &Offer<'_>, body: &mut Vec<u8>) {
    let is_new = offer.version == Version::Tls13;
    put16(body, offer.version.number().min(Version::Tls12.number()));
    body.extend(offer.random);
    // No session to take up.
    body.push(0);
    block(body, 2, |suites| {
        offer.suites.iter().for_each(|suite| put16(suites, *suite));
        if !is_new {
            put16(suites, NO_RENEGOTIATION);
        }
    });
    // No compression.
    body.extend([1, 0]);
    if offer.version == Version::Ssl3 {
        return;
    }
    block(body, 2, |all| {
        if let Some(name) = offer.server_name.filter(|name| is_sendable(name)) {
            extension(all, 0, |it| {
                block(it, 2, |list| {
                    list.push(0);
                    block(list, 2, |host| host.extend(name.as_bytes()));
                });
            });
        }
        extension(all, 10, |it| {
            block(it, 2, |list| GROUPS.iter().for_each(|group| put16(list, *group)));
        });
        extension(all, 11, |it| it.extend([1, 0]));
        if offer.version >= Version::Tls12 {
            extension(all, 13, |it| {
                block(it, 2, |list| SCHEMES.iter().for_each(|scheme| put16(list, *scheme)));
            });
        }
        if !offer.protocols.is_empty() {
            extension(all, 16, |it| block(it, 2, |list| write_protocols(offer.protocols, list)));
        }
        if is_new {
            write_new(offer, all);
        } else {
            // A server that could give a ticket says so.
            extension(all, 35, |_| {});
        }
    });
}

fn write_protocols(protocols: &[&str], list: &mut Vec<u8>) {
    for protocol in protocols {
        block(list, 1, |one| one.extend(protocol.as_bytes()));
    }
}

/// What TLS 1.3 wants beside the rest.
fn write_new(offer: &Offer<'_>, all: &mut Vec<u8>) {
    extension(all, 43, |it| {
        it.push(2);
        put16(it, offer.version.number());
    });
    extension(all, 45, |it| it.extend([1, 1]));
    extension(all, 51, |it| {
        block(it, 2, |list| {
            put16(list, 0x001d);
            // Any 32 bytes are a point of this curve (RFC 7748 section 5).
            block(list, 2, |key| key.extend(offer.random));
        });
    });
}

/// A host name of a length that fits; addresses have no place there (RFC 6066 section 3).
fn is_sendable(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.parse::<IpAddr>().is_err() && !name.starts_with('[')
}

fn extension(all: &mut Vec<u8>, number: u16, fill: impl FnOnce(&mut Vec<u8>)) {
    put16(all, number);
    block(all, 2, fill);
}

fn put16(out: &mut Vec<u8>, number: u16) {
    out.extend(number.to_be_bytes());
}

/// What `fill` writes, behind its length in so many bytes.
fn block(out: &mut Vec<u8>, length_bytes: usize, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(std::iter::repeat_n(0, length_bytes));
    fill(out);
    let length = (out.len() - start - length_bytes).to_be_bytes();
    let digits = length.len() - length_bytes;
    out[start..start + length_bytes].copy_from_slice(&length[digits..]);
}

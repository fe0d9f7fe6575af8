//! What a server answers to a greeting before anything is encrypted: up to its `ServerHelloDone`, or
//! with TLS 1.3 its `ServerHello` (RFC 5246 section 7.4, RFC 8446 section 4.1.3). It is read as a
//! whole, again with each piece that comes.

use rustls::pki_types::CertificateDer;

use super::hello::Version;

/// More is not read: a chain of ten large certificates has a fifth of it.
pub const FLIGHT_BYTES_MAX: usize = 128 * 1024;

/// Certificates of a chain; more are not looked at.
const CERTIFICATES_MAX: usize = 16;

/// What came of a greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server takes it.
    Taken(Box<Reply>),
    /// It refuses with this alert.
    Alert(u8),
    /// What it says is not TLS; so it begins.
    NotTls(Vec<u8>),
    /// It is TLS, but broken.
    Malformed(&'static str),
}

/// What a server has chosen and shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The version, as it stands in messages.
    pub version: u16,
    /// The cipher suite.
    pub suite: u16,
    /// The protocol above TLS.
    pub protocol: Option<Vec<u8>>,
    /// It would let sessions be taken up again: it gave one a name, or promises a ticket.
    pub remembers: bool,
    /// Server certificate first; empty with TLS 1.3, where it is encrypted.
    pub chain: Vec<CertificateDer<'static>>,
    /// The curve of its fresh key.
    pub curve: Option<u16>,
    /// How it has signed that key.
    pub scheme: Option<u16>,
    /// It would like a certificate of ours.
    pub asks_certificate: bool,
}

/// Takes bytes off the front; `None`: there are fewer.
#[derive(Clone, Copy)]
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (front, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(front)
    }

    /// A number of so many bytes, three at most.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    fn number16(&mut self) -> Option<u16> {
        self.number(2).and_then(|number| u16::try_from(number).ok())
    }

    /// What stands behind its length in so many bytes.
    fn block(&mut self, length_bytes: usize) -> Option<Self> {
        let length = self.number(length_bytes)?;
        self.take(length).map(Bytes)
    }

    fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// Reads all that has come so far; `None`: more is needed.
#[must_use]
pub fn read_flight(bytes: &[u8]) -> Option<Outcome> {
    // Each record is of a known kind, and of version 3.
    if bytes.first().is_some_and(|kind| !(20..=23).contains(kind))
        || bytes.get(1).is_some_and(|major| *major != 3)
    {
        return Some(Outcome::NotTls(bytes.iter().copied().take(64).collect()));
    }
    let mut records = Bytes(bytes);
    let mut messages = Vec::new();
    while !records.is_empty() {
        let (kind, record) = match next_record(&mut records) {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(why) => return Some(Outcome::Malformed(why)),
        };
        match (kind, record) {
            (22, message) => messages.extend_from_slice(message),
            // "The name is not known" is a warning, and the handshake goes on.
            (21, [1, 112]) => {}
            (21, [_, description]) => return Some(Outcome::Alert(*description)),
            // Encrypted already.
            (20 | 23, _) => break,
            _ => return Some(Outcome::Malformed("an alert of another length")),
        }
        match read_messages(&messages) {
            Ok(None) => {}
            Ok(Some(reply)) => return Some(Outcome::Taken(Box::new(reply))),
            Err(why) => return Some(Outcome::Malformed(why)),
        }
    }
    (bytes.len() >= FLIGHT_BYTES_MAX).then_some(Outcome::Malformed("a greeting without an end"))
}

fn next_record<'b>(records: &mut Bytes<'b>) -> Result<Option<(u8, &'b [u8])>, &'static str> {
    let mut rest = *records;
    let Some([kind, major, _]) = rest.take(3) else { return Ok(None) };
    if !(20..=23).contains(kind) || *major != 3 {
        return Err("a record of no known kind");
    }
    match rest.number(2) {
        None => Ok(None),
        Some(0) => Err("an empty record"),
        // RFC 5246 section 6.2.3
        Some(length) if length > 16_384 + 2_048 => Err("a record that is too long"),
        Some(length) => match rest.take(length) {
            None => Ok(None),
            Some(record) => {
                *records = rest;
                Ok(Some((*kind, record)))
            }
        },
    }
}

/// The reply if it is whole.
fn read_messages(messages: &[u8]) -> Result<Option<Reply>, &'static str> {
    let mut rest = Bytes(messages);
    let mut reply: Option<Reply> = None;
    while let Some(kind) = rest.number(1) {
        let Some(body) = rest.block(3) else { return Ok(None) };
        match (kind, &mut reply) {
            // A wish to renegotiate says nothing.
            (0, _) => {}
            (2, None) => {
                let hello = read_hello(body).ok_or("a ServerHello that cannot be read")?;
                if hello.version == Version::Tls13.number() {
                    return Ok(Some(hello));
                }
                reply = Some(hello);
            }
            (11, Some(reply)) => {
                reply.chain = read_chain(body).ok_or("a Certificate that cannot be read")?;
            }
            (12, Some(reply)) => read_key(body, reply),
            (13, Some(reply)) => reply.asks_certificate = true,
            (14, Some(_)) => return Ok(reply),
            // Whatever else it has to say, such as a certificate's status.
            (_, Some(_)) => {}
            (_, None) => return Err("something else before its ServerHello"),
        }
    }
    Ok(None)
}

fn read_hello(mut body: Bytes<'_>) -> Option<Reply> {
    let version = body.number16()?;
    body.take(32)?;
    let session = body.block(1)?;
    let suite = body.number16()?;
    body.take(1)?;
    let mut reply = Reply { version, suite, remembers: !session.is_empty(), ..Reply::default() };
    if body.is_empty() {
        return Some(reply);
    }
    let mut extensions = body.block(2)?;
    while !extensions.is_empty() {
        let number = extensions.number(2)?;
        let mut body = extensions.block(2)?;
        match number {
            16 => {
                let protocol = body.block(2)?.block(1)?;
                reply.protocol = Some(protocol.0.to_vec());
            }
            35 => reply.remembers = true,
            43 => reply.version = body.number16()?,
            _ => {}
        }
    }
    Some(reply)
}

fn read_chain(mut body: Bytes<'_>) -> Option<Vec<CertificateDer<'static>>> {
    let mut list = body.block(3)?;
    let mut chain = Vec::new();
    while !list.is_empty() && chain.len() < CERTIFICATES_MAX {
        chain.push(CertificateDer::from(list.block(3)?.0.to_vec()));
    }
    Some(chain)
}

/// Of a named curve (RFC 8422 section 5.4); of anything else nothing is known.
fn read_key(mut body: Bytes<'_>, reply: &mut Reply) {
    let Some(3) = body.number(1) else { return };
    reply.curve = body.number16();
    if body.block(1).is_some() && reply.version == Version::Tls12.number() {
        reply.scheme = body.number16();
    }
}

/// The curves that we offer, by name.
#[must_use]
pub fn curve_name(number: u16) -> String {
    match number {
        0x001d => "X25519".to_owned(),
        0x0017 => "P-256".to_owned(),
        0x0018 => "P-384".to_owned(),
        _ => format!("curve 0x{number:04X}"),
    }
}

/// What an alert says (RFC 8446 section 6), in the words of the standard.
#[must_use]
pub fn alert_name(description: u8) -> String {
    let name = match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        49 => "access_denied",
        50 => "decode_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return format!("alert {description}"),
    };
    name.to_owned()
}

/// Any bytes: never a panic, the same however they come, and what has an outcome keeps it.
#[cfg(any(test, fuzzing))]
pub fn fuzz_flight(input: &[u8]) {
    let mut settled = None;
    for end in (0..=input.len()).step_by(input.len() / 64 + 1).chain([input.len()]) {
        let front = input.get(..end).unwrap_or_default();
        let outcome = read_flight(front);
        match (&settled, outcome) {
            (None, outcome) => settled = outcome,
            // It quotes what there is.
            (Some(Outcome::NotTls(_)), Some(Outcome::NotTls(_))) => {}
            (Some(before), Some(now)) => assert_eq!(*before, now, "at {end}"),
            (Some(before), None) => panic!("{before:?}, then nothing at {end}"),
        }
    }
    if let Some(Outcome::Taken(reply)) = settled {
        assert!(reply.chain.len() <= CERTIFICATES_MAX);
        for certificate in &reply.chain {
            let _ = super::describe(certificate);
        }
    }
}

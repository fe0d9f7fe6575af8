//! One TLS connection as bytes in, bytes out.

use std::fmt;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use rustls::{CertificateError, PeerIncompatible};

use super::OldSuite;

/// Bytes that sealing adds to each started 16 KiB of plaintext, at most: record header, explicit IV,
/// MAC (SHA-384) and padding (RFC 5246 section 6.2.3.2); with GCM it is a third of that.
pub const SEALED_EXTRA_BYTES: usize = 5 + 16 + 48 + 16;

/// Why a TLS connection cannot go on. The alert that tells the peer is in the output already.
#[derive(Debug)]
pub struct TlsFault(pub(super) rustls::Error);

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // Ours, and a sentence.
            rustls::Error::InvalidCertificate(CertificateError::Other(other)) => other.fmt(f),
            error => error.fmt(f),
        }
    }
}

/// What a client lacks that no handshake succeeds with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientLack {
    /// TLS 1.2 or newer.
    Version,
    /// A cipher suite, a group of curves or a kind of signature that is offered to it.
    Suite,
}

impl TlsFault {
    /// What a client lacks, where that is why its handshake failed.
    #[must_use]
    pub fn lack(&self) -> Option<ClientLack> {
        let rustls::Error::PeerIncompatible(why) = &self.0 else { return None };
        match why {
            PeerIncompatible::Tls12NotOffered | PeerIncompatible::Tls12NotOfferedOrEnabled => {
                Some(ClientLack::Version)
            }
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon => Some(ClientLack::Suite),
            _ => None,
        }
    }
}

/// What became of ciphertext that was handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// How many bytes at its front are done with; the rest must come again, with more behind it.
    pub used: usize,
    /// The handshake is complete.
    pub established: bool,
    /// The peer has said that nothing follows.
    pub ended: bool,
}

/// A connection's keys and its place in the protocol.
pub struct Session {
    side: Side,
    established: bool,
    ended: bool,
    asked_again: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("established", &self.established).finish_non_exhaustive()
    }
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// The two kinds of connection have the same verbs and no common trait.
trait Engine {
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn has_shaken_hands(&self) -> bool;

    /// Something waits to be encoded.
    fn has_output(&self) -> bool;
}

impl Engine for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_shaken_hands(&self) -> bool {
        !self.is_handshaking()
    }

    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

impl Engine for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn has_shaken_hands(&self) -> bool {
        !self.is_handshaking()
    }

    fn has_output(&self) -> bool {
        self.wants_write()
    }
}

impl Session {
    pub(super) fn server(connection: UnbufferedServerConnection) -> Self {
        Self {
            side: Side::Server(Box::new(connection)),
            established: false,
            ended: false,
            asked_again: false,
        }
    }

    pub(super) fn client(connection: UnbufferedClientConnection) -> Self {
        Self {
            side: Side::Client(Box::new(connection)),
            established: false,
            ended: false,
            asked_again: false,
        }
    }

    /// Works off ciphertext: plaintext goes to `plain`, record by record, and what the peer has to
    /// get (handshake, tickets, alerts) is appended to `output`.
    ///
    /// # Errors
    /// The peer broke the protocol or cannot be talked to; `output` then ends with the alert.
    pub fn receive(
        &mut self,
        incoming: &mut [u8],
        plain: impl FnMut(&[u8]),
        output: &mut Vec<u8>,
    ) -> Result<Received, TlsFault> {
        let said = output.len();
        let received = match &mut self.side {
            Side::Server(connection) => receive(connection.as_mut(), incoming, plain, output),
            Side::Client(connection) => receive(connection.as_mut(), incoming, plain, output),
        }?;
        // TLS 1.2 owes nothing after its handshake, but the warning that there will be no second.
        if self.established && !received.ended && output.len() > said {
            self.asked_again |= self.version() == Some(rustls::ProtocolVersion::TLSv1_2);
        }
        self.established |= received.established;
        self.ended |= received.ended;
        Ok(Received { established: self.established, ended: self.ended, ..received })
    }

    /// Seals `plain` into the front of `output`, which must have room for it and
    /// [`SEALED_EXTRA_BYTES`] for each started 16 KiB; gives the sealed length. `incoming` are the
    /// bytes that the last [`Session::receive`] left.
    ///
    /// # Errors
    /// The handshake is not complete, or the keys are worn out.
    pub fn seal(
        &mut self,
        incoming: &mut [u8],
        plain: &[u8],
        output: &mut [u8],
    ) -> Result<usize, TlsFault> {
        match &mut self.side {
            Side::Server(connection) => seal(connection.as_mut(), incoming, Some(plain), output),
            Side::Client(connection) => seal(connection.as_mut(), incoming, Some(plain), output),
        }
    }

    /// Says that nothing follows from us.
    ///
    /// # Errors
    /// The handshake is not complete.
    pub fn close(&mut self, incoming: &mut [u8], output: &mut [u8]) -> Result<usize, TlsFault> {
        match &mut self.side {
            Side::Server(connection) => seal(connection.as_mut(), incoming, None, output),
            Side::Client(connection) => seal(connection.as_mut(), incoming, None, output),
        }
    }

    /// The handshake is complete.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// The peer has said that nothing follows.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether the peer wanted a second handshake, which it did not get.
    #[must_use]
    pub fn has_asked_again(&self) -> bool {
        self.asked_again
    }

    /// The cipher suite, if it is one of old Windows.
    #[must_use]
    pub fn old_suite(&self) -> Option<OldSuite> {
        let suite = match &self.side {
            Side::Server(connection) => connection.negotiated_cipher_suite(),
            Side::Client(connection) => connection.negotiated_cipher_suite(),
        };
        OldSuite::of(suite?.suite())
    }

    fn version(&self) -> Option<rustls::ProtocolVersion> {
        match &self.side {
            Side::Server(connection) => connection.protocol_version(),
            Side::Client(connection) => connection.protocol_version(),
        }
    }

    /// Whether this handshake took up an earlier session.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        let kind = match &self.side {
            Side::Server(connection) => connection.handshake_kind(),
            Side::Client(connection) => connection.handshake_kind(),
        };
        kind == Some(rustls::HandshakeKind::Resumed)
    }
}

fn receive<E: Engine>(
    engine: &mut E,
    incoming: &mut [u8],
    mut plain: impl FnMut(&[u8]),
    output: &mut Vec<u8>,
) -> Result<Received, TlsFault> {
    let mut received = Received::default();
    loop {
        let rest = incoming.get_mut(received.used..).unwrap_or_default();
        let UnbufferedStatus { discard, state, .. } = engine.process(rest);
        received.used += discard;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(TlsFault)?;
                    received.used += record.discard;
                    plain(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                append(output, |room| data.encode(room).map_err(encode_needs))?;
            }
            // The caller sends `output` before anything else, which is all that this state is for.
            Ok(ConnectionState::TransmitTlsData(sent)) => sent.done(),
            // Said once; whether the handshake has ended too is said after it.
            Ok(ConnectionState::PeerClosed) => received.ended = true,
            Ok(ConnectionState::Closed) => {
                received.ended = true;
                break;
            }
            // Early data is never offered; any other state asks for more bytes.
            Ok(_) => break,
            Err(error) => {
                let rest = incoming.get_mut(received.used..).unwrap_or_default();
                take_alert(engine, rest, output);
                return Err(TlsFault(error));
            }
        }
    }
    // The peer may have ended in the same breath in which it finished.
    received.established = engine.has_shaken_hands();
    Ok(received)
}

/// After an error the alert that explains it waits to be encoded. `rest` is what was not used: the
/// engine may have found further messages in it already, and looks for them where they were. It is
/// asked no more than it has to say, since it would go on to read what follows the fault.
fn take_alert<E: Engine>(engine: &mut E, rest: &mut [u8], output: &mut Vec<u8>) {
    while engine.has_output()
        && let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut data)), .. } =
            engine.process(rest)
    {
        if append(output, |room| data.encode(room).map_err(encode_needs)).is_err() {
            return;
        }
    }
}

/// Appends what `write` writes, growing `output` to what it asks for.
fn append(
    output: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> Result<(), TlsFault> {
    let start = output.len();
    let mut room = 1024;
    loop {
        output.resize(start + room, 0);
        match write(&mut output[start..]) {
            Ok(written) => {
                output.truncate(start + written);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                output.truncate(start);
                return Err(worn_out());
            }
        }
    }
}

fn encode_needs(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => {
            Some(required_size)
        }
        EncodeError::AlreadyEncoded => None,
    }
}

/// Seals `plain`, or the closing alert where that is `None`.
fn seal<E: Engine>(
    engine: &mut E,
    incoming: &mut [u8],
    plain: Option<&[u8]>,
    output: &mut [u8],
) -> Result<usize, TlsFault> {
    let mut written = 0;
    loop {
        let UnbufferedStatus { state, .. } = engine.process(incoming);
        let room = output.get_mut(written..).unwrap_or_default();
        match state.map_err(TlsFault)? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let sealed = match plain {
                    Some(plain) => traffic.encrypt(plain, room),
                    None => traffic.queue_close_notify(room),
                };
                return match sealed {
                    Ok(count) => Ok(written + count),
                    Err(EncryptError::InsufficientSize(_) | EncryptError::EncryptExhausted) => {
                        Err(worn_out())
                    }
                };
            }
            // An answer that the protocol owes (a key update) goes first.
            ConnectionState::EncodeTlsData(mut data) => {
                written += data.encode(room).map_err(|_| worn_out())?;
            }
            ConnectionState::TransmitTlsData(sent) => sent.done(),
            ConnectionState::PeerClosed => {}
            _ => return Err(TlsFault(rustls::Error::HandshakeNotComplete)),
        }
    }
}

fn worn_out() -> TlsFault {
    TlsFault(rustls::Error::EncryptError)
}

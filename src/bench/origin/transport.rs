//! A client's bytes, with or without TLS, without waiting.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

use rustls::ServerConnection;

/// A non-blocking connection.
pub(super) enum Transport {
    /// The bytes as they are.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<Tls>),
}

/// A connection with its TLS session.
pub(super) struct Tls {
    socket: TcpStream,
    session: ServerConnection,
    plaintext: usize,
}

impl Transport {
    /// A TLS connection on `socket`.
    pub(super) fn tls(socket: TcpStream, session: ServerConnection) -> Self {
        Self::Tls(Box::new(Tls { socket, session, plaintext: 0 }))
    }

    /// The socket.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    /// Bytes for us stand ready that the poller cannot know of.
    pub(super) fn holds_plaintext(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.plaintext > 0)
    }

    /// Reads, as `Read::read` does.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }

    /// Writes a part of the two pieces and says how many bytes.
    pub(super) fn write(&mut self, bytes: &[u8], block: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) if block.is_empty() => socket.write(bytes),
            Self::Plain(socket) => {
                socket.write_vectored(&[IoSlice::new(bytes), IoSlice::new(block)])
            }
            Self::Tls(tls) => tls.write(bytes, block),
        }
    }

    /// Whether all that was written has reached the socket.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => match tls.send_records() {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            },
        }
    }
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.plaintext == 0 {
            if self.session.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            let state = self
                .session
                .process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            self.plaintext = state.plaintext_bytes_to_read();
            if self.plaintext == 0 {
                return if state.peer_has_closed() {
                    Ok(0)
                } else {
                    Err(ErrorKind::WouldBlock.into())
                };
            }
        }
        let count = self.session.reader().read(buffer)?;
        self.plaintext = self.plaintext.saturating_sub(count);
        Ok(count)
    }

    /// Takes new plaintext only when all earlier records are sent, so that the session holds little.
    fn write(&mut self, bytes: &[u8], block: &[u8]) -> io::Result<usize> {
        self.send_records()?;
        let mut writer = self.session.writer();
        let mut count = writer.write(bytes)?;
        if count == bytes.len() && !block.is_empty() {
            count += writer.write(block)?;
        }
        Ok(count)
    }

    fn send_records(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }
}

//! One connection whose bytes the test chooses and sees.

use std::fmt::Debug;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use super::time::LIMIT;

trait Stream: Write + Send {
    /// Reads what comes, even where nothing can be sent any more.
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    fn socket(&self) -> &TcpStream;

    /// Says that nothing follows, in TLS too.
    fn close_ours(&mut self);

    /// What goes over the network to say `bytes`; the other side waits for it from now on.
    fn seal(&mut self, bytes: &[u8]) -> Vec<u8>;

    /// What goes over the network to change the keys of TLS 1.3, which says nothing to the other side.
    fn change_keys(&mut self) -> Vec<u8>;
}

impl Stream for TcpStream {
    fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn socket(&self) -> &TcpStream {
        self
    }

    fn close_ours(&mut self) {
        // The other side may have gone already.
        let _ = self.shutdown(Shutdown::Write);
    }

    fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    fn change_keys(&mut self) -> Vec<u8> {
        panic!("there are no keys")
    }
}

macro_rules! tls_stream {
    ($session:ty) => {
        impl Stream for StreamOwned<$session, TcpStream> {
            fn take(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                loop {
                    match self.conn.reader().read(buffer) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        read => return read,
                    }
                    self.conn.read_tls(&mut self.sock)?;
                    self.conn.process_new_packets().map_err(io::Error::other)?;
                }
            }

            fn socket(&self) -> &TcpStream {
                &self.sock
            }

            fn close_ours(&mut self) {
                self.conn.send_close_notify();
                // The other side may have gone already.
                let _ = self.flush();
                let _ = self.sock.shutdown(Shutdown::Write);
            }

            fn seal(&mut self, bytes: &[u8]) -> Vec<u8> {
                let mut sealed = Vec::new();
                self.conn.writer().write_all(bytes).unwrap();
                while self.conn.wants_write() {
                    self.conn.write_tls(&mut sealed).unwrap();
                }
                sealed
            }

            fn change_keys(&mut self) -> Vec<u8> {
                self.conn.refresh_traffic_keys().unwrap();
                self.seal(b"")
            }
        }
    };
}

tls_stream!(ClientConnection);
tls_stream!(ServerConnection);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should be: in TLS, the closing notice came before.
    Closed,
    /// TLS ended without its closing notice.
    Cut,
    Reset,
}

/// A connection, as client or as server.
pub(crate) struct Wire {
    stream: Box<dyn Stream>,
    /// What was read and not yet looked at.
    seen: Vec<u8>,
}

/// A whole answer, with its chunks put together.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// The lines behind the last chunk.
    pub(crate) trailers: String,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or_default()
    }

    /// The values of all fields of this name, in order.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        fields(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn fields<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let ours = lines.filter(|(field, _)| field.eq_ignore_ascii_case(name));
    ours.map(|(_, value)| value.trim()).collect()
}

impl Wire {
    fn new(stream: impl Stream + 'static) -> Self {
        stream.socket().set_read_timeout(Some(LIMIT)).unwrap();
        stream.socket().set_write_timeout(Some(LIMIT)).unwrap();
        stream.socket().set_nodelay(true).unwrap();
        Self { stream: Box::new(stream), seen: Vec::new() }
    }

    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self::new(socket)
    }

    /// As a client that asks for `name`; the handshake is over when this returns.
    pub(crate) fn secure(socket: TcpStream, config: Arc<ClientConfig>, name: &str) -> Self {
        Self::try_secure(socket, config, name).unwrap()
    }

    /// The same for when the other side may end the connection meanwhile.
    pub(crate) fn try_secure(
        socket: TcpStream,
        config: Arc<ClientConfig>,
        name: &str,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let session = ClientConnection::new(config, name).unwrap();
        let mut wire = Self::new(StreamOwned::new(session, socket));
        wire.stream.flush()?;
        Ok(wire)
    }

    /// As a server; fails if the client does not like what it is shown.
    pub(crate) fn secure_server(
        mut socket: TcpStream,
        config: Arc<ServerConfig>,
    ) -> io::Result<Self> {
        socket.set_read_timeout(Some(LIMIT))?;
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self::new(StreamOwned::new(session, socket)))
    }

    pub(crate) fn local_port(&self) -> u16 {
        self.stream.socket().local_addr().unwrap().port()
    }

    pub(crate) fn peer_port(&self) -> u16 {
        self.stream.socket().peer_addr().unwrap().port()
    }

    pub(crate) fn peer_address(&self) -> IpAddr {
        self.stream.socket().peer_addr().unwrap().ip()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the connection takes bytes");
    }

    /// For when the other side may end the connection meanwhile.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// What goes over the network to say `bytes`, to be sent by [`Self::try_send_sealed`].
    pub(crate) fn seal(&mut self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.stream.seal(bytes.as_ref())
    }

    /// A record that carries nothing for the other side, to be sent by [`Self::try_send_sealed`].
    pub(crate) fn change_keys(&mut self) -> Vec<u8> {
        self.stream.change_keys()
    }

    /// Sends a piece of what was sealed.
    pub(crate) fn try_send_sealed(&mut self, sealed: &[u8]) -> io::Result<()> {
        self.stream.socket().write_all(sealed)
    }

    /// Reads more; how much came, or how the connection ended.
    #[track_caller]
    fn more(&mut self) -> Result<usize, End> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.take(&mut buffer) {
            Ok(0) => Err(End::Closed),
            Ok(count) => {
                self.seen.extend_from_slice(&buffer[..count]);
                Ok(count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing more comes behind {:?}", self.seen.escape_ascii().to_string())
            }
            // TLS that ends without its closing notice.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(End::Cut),
            Err(_) => Err(End::Reset),
        }
    }

    #[track_caller]
    fn must_more(&mut self) {
        if let Err(end) = self.more() {
            panic!("{end:?} behind {:?}", self.seen.escape_ascii().to_string());
        }
    }

    /// The next `count` bytes.
    #[track_caller]
    pub(crate) fn read(&mut self, count: usize) -> Vec<u8> {
        while self.seen.len() < count {
            self.must_more();
        }
        self.seen.drain(..count).collect()
    }

    /// The next `count` bytes, or how the connection ended before them.
    #[track_caller]
    pub(crate) fn read_or_end(&mut self, count: usize) -> Result<Vec<u8>, End> {
        while self.seen.len() < count {
            self.more()?;
        }
        Ok(self.seen.drain(..count).collect())
    }

    /// Everything up to `mark`, and `mark`.
    #[track_caller]
    pub(crate) fn read_to(&mut self, mark: &str) -> String {
        loop {
            let found = self.seen.windows(mark.len()).position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                return String::from_utf8_lossy(&self.read(at + mark.len())).into_owned();
            }
            self.must_more();
        }
    }

    /// The next bytes have to be these.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        while self.seen.len() < expected.len() && self.more().is_ok() {}
        let count = self.seen.len().min(expected.len());
        let seen: Vec<u8> = self.seen.drain(..count).collect();
        assert_eq!(seen.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// The next head, of a request or an answer, with its blank line.
    #[track_caller]
    pub(crate) fn head(&mut self) -> String {
        self.read_to("\r\n\r\n")
    }

    /// The next head; empty if the connection ends before it is whole.
    #[track_caller]
    pub(crate) fn head_or_end(&mut self) -> String {
        while !self.seen.windows(4).any(|window| window == b"\r\n\r\n") {
            if self.more().is_err() {
                return String::new();
            }
        }
        self.head()
    }

    /// The next answer, whole, to a method other than HEAD.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let head = self.head();
        let mut answer = Answer { head, body: Vec::new(), trailers: String::new() };
        let status = answer.status();
        if status < 200 || status == 204 || status == 304 {
            return answer;
        }
        if let Some(length) = answer.fields("content-length").first() {
            let length = length.parse().unwrap();
            answer.body = self.read(length);
        } else if answer.fields("transfer-encoding") == ["chunked"] {
            (answer.body, answer.trailers) = self.chunked();
        } else {
            let (rest, end) = self.rest();
            assert_eq!(end, End::Closed, "only a proper close ends such a body");
            answer.body = rest;
        }
        answer
    }

    /// A chunked body, put together, and its trailer lines.
    #[track_caller]
    pub(crate) fn chunked(&mut self) -> (Vec<u8>, String) {
        let mut body = Vec::new();
        loop {
            let line = self.read_to("\r\n");
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if size == 0 {
                let mut trailers = String::new();
                loop {
                    let line = self.read_to("\r\n");
                    if line == "\r\n" {
                        return (body, trailers);
                    }
                    trailers.push_str(&line);
                }
            }
            body.extend(self.read(size));
            self.expect("\r\n");
        }
    }

    /// Everything until the connection ends, and how it ended.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        let end = loop {
            if let Err(end) = self.more() {
                break end;
            }
        };
        (std::mem::take(&mut self.seen), end)
    }

    /// The connection ends now, without another byte.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) -> End {
        let (rest, end) = self.rest();
        assert_eq!(rest.escape_ascii().to_string(), "");
        end
    }

    /// Whether something has come that was not read yet; does not wait.
    pub(crate) fn has_bytes(&mut self) -> bool {
        self.stream.socket().set_nonblocking(true).unwrap();
        let mut buffer = [0; 256];
        if let Ok(count) = self.stream.take(&mut buffer) {
            self.seen.extend_from_slice(&buffer[..count]);
        }
        self.stream.socket().set_nonblocking(false).unwrap();
        !self.seen.is_empty()
    }

    /// Whether the connection has ended, with nothing unread before; does not wait.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.stream.socket().set_nonblocking(true).unwrap();
        let read = self.stream.take(&mut [0; 1]);
        self.stream.socket().set_nonblocking(false).unwrap();
        match read {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Nothing has come so far. To be asked when it would have come if it were to come.
    #[track_caller]
    pub(crate) fn expect_nothing_yet(&mut self) {
        self.stream.socket().set_nonblocking(true).unwrap();
        let read = self.stream.take(&mut [0; 256]);
        self.stream.socket().set_nonblocking(false).unwrap();
        assert_eq!(self.seen.escape_ascii().to_string(), "");
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("something came: {other:?}"),
        }
    }

    /// Says that nothing follows from here.
    pub(crate) fn end(&mut self) {
        self.stream.close_ours();
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        self.reset_when_dropped();
    }

    /// The connection ends by a reset when this is dropped.
    pub(crate) fn reset_when_dropped(&self) {
        let socket = self.stream.socket().try_clone().unwrap();
        socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    }
}

impl Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({:?})", self.stream.socket())
    }
}

//! A server that does what the test says, connection by connection.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::ServerConfig;

use super::time::until;
use super::wire::Wire;

pub(crate) struct Origin {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
}

impl Origin {
    pub(crate) fn new() -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into())
    }

    pub(crate) fn on(address: IpAddr) -> Self {
        Self::at(SocketAddr::new(address, 0))
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        // Of another address the port may be somebody's for a moment.
        let listener = until("the port is free", || TcpListener::bind(address).ok());
        listener.set_nonblocking(true).unwrap();
        Self { listener, tls: None }
    }

    pub(crate) fn secure(config: Arc<ServerConfig>) -> Self {
        Self { tls: Some(config), ..Self::new() }
    }

    pub(crate) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn next(&self) -> Option<TcpStream> {
        match self.listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).unwrap();
                Some(socket)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("cannot accept: {error}"),
        }
    }

    /// The next plain connection, if somebody has connected.
    pub(crate) fn look(&self) -> Option<Wire> {
        self.next().map(Wire::plain)
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> Wire {
        self.try_accept().expect("the handshake succeeds")
    }

    /// The next connection, if its handshake succeeds.
    #[track_caller]
    pub(crate) fn try_accept(&self) -> io::Result<Wire> {
        let socket = until("a connection to the origin", || self.next());
        match &self.tls {
            None => Ok(Wire::plain(socket)),
            Some(config) => Wire::secure_server(socket, Arc::clone(config)),
        }
    }

    /// The next plain connection, if there is one already.
    pub(crate) fn came(&self) -> Option<Wire> {
        self.next().map(Wire::plain)
    }

    /// The next connection, before it has got a byte of ours, and after it has sent its first.
    #[track_caller]
    pub(crate) fn accept_silent(&self) -> Silent {
        let socket = until("a connection to the origin", || self.next());
        socket.peek(&mut [0]).unwrap();
        Silent { socket, config: self.tls.clone().unwrap() }
    }

    /// Takes whoever comes until `over`; how many handshakes succeeded.
    pub(crate) fn accept_until(&self, over: impl Fn() -> bool) -> usize {
        let mut succeeded = 0;
        until("the end of accepting", || {
            if let Some(socket) = self.next() {
                let config = Arc::clone(self.tls.as_ref().unwrap());
                succeeded += usize::from(Wire::secure_server(socket, config).is_ok());
            }
            over().then_some(succeeded)
        })
    }

    /// Nobody has connected since the last `accept`.
    #[track_caller]
    pub(crate) fn expect_nobody(&self) {
        assert!(self.next().is_none(), "somebody has connected");
    }
}

/// A connection whose handshake waits for the test.
pub(crate) struct Silent {
    socket: TcpStream,
    config: Arc<ServerConfig>,
}

impl Silent {
    pub(crate) fn shake_hands(self) -> io::Result<Wire> {
        Wire::secure_server(self.socket, self.config)
    }
}

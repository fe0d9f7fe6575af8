//! A server that does what the test says, connection by connection.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
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
        let listener = TcpListener::bind((address, 0)).unwrap();
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

    /// Nobody has connected since the last `accept`.
    #[track_caller]
    pub(crate) fn expect_nobody(&self) {
        assert!(self.next().is_none(), "somebody has connected");
    }
}

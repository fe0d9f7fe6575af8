//! Making sockets: listening ones bound to an adapter, upstream ones that leave by an adapter.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel completes before we have accepted them, per listening socket.
const BACKLOG: i32 = 4096;

/// The same where few come.
const BACKLOG_ALONE: i32 = 64;

/// Bytes that may wait in the kernel for their turn to be sent, per connection, before it stops
/// asking for more.
const NOT_SENT_BYTES: u32 = 256 * 1024;

/// Probes without an answer after which a silent connection is taken for dead.
const KEEPALIVE_PROBES: u32 = 3;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bind {
    /// Address and port.
    pub address: SocketAddr,
    /// The kernel's name of the adapter, if the socket is bound to it.
    pub interface: Option<String>,
    /// Keepalive interval and bound on unacknowledged bytes of the connections accepted here.
    pub keepalive: Duration,
}

/// A listening socket, shared by the process and one worker.
#[derive(Debug)]
pub struct Listening(pub(super) Socket);

impl Listening {
    /// The address that it really has; differs from the asked one where that left the port open.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Connections accepted from now on have this keepalive interval.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_keepalive(&self, keepalive: Duration) -> io::Result<()> {
        prepare(&self.0, keepalive)
    }

    /// Binds it to the adapter that is called `interface` now, if the one that it was bound to is
    /// gone: one that was taken out and put in has its old name, and is another one to the kernel.
    /// Gives whether that was so.
    ///
    /// # Errors
    /// There is no such adapter now, or no permission.
    pub fn follow(&self, interface: &str) -> io::Result<bool> {
        let lost = has_lost_adapter(&self.0);
        if lost {
            self.0.bind_device(Some(interface.as_bytes()))?;
        }
        Ok(lost)
    }

    /// Another handle of the same socket.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }
}

/// Whether the adapter that a socket was bound to is gone, so that nothing can reach it any more.
#[must_use]
pub fn has_lost_adapter(socket: &impl AsFd) -> bool {
    let device = SockRef::from(socket).device();
    device.is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV))
}

/// Whether somebody listens there already, maybe another instance of ours that would share.
///
/// # Errors
/// What the kernel says to anything but that.
pub fn is_taken(place: &Bind) -> io::Result<bool> {
    match open(place, false) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
        Err(error) => Err(error),
    }
}

/// Opens one listening socket; several may be opened for the same place, the kernel spreads clients
/// over them. The address may come later (`IP_FREEBIND`).
///
/// # Errors
/// The address or port is taken or not permitted, or there is no such adapter.
pub fn bind(place: &Bind) -> io::Result<Listening> {
    let socket = open(place, true)?;
    socket.listen(BACKLOG)?;
    Ok(Listening(socket))
}

/// Opens a listening socket for threads that wait, at a place that nobody else has.
///
/// # Errors
/// As [`bind`].
pub fn bind_alone(place: &Bind) -> io::Result<TcpListener> {
    let socket = open(place, false)?;
    socket.listen(BACKLOG_ALONE)?;
    Ok(socket.into())
}

fn open(place: &Bind, shared: bool) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(place.address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    match place.address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if let Some(interface) = &place.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    // Accepted connections inherit these.
    prepare(&socket, place.keepalive)?;
    socket.bind(&place.address.into())?;
    Ok(socket)
}

/// Where to connect to, and how to leave.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dial {
    /// The server.
    pub to: SocketAddr,
    /// Our own address on the adapter; the kernel chooses where it is absent.
    pub from: Option<IpAddr>,
    /// The adapter that the connection has to leave by.
    pub interface: Option<String>,
    /// Keepalive interval and bound on unacknowledged bytes.
    pub keepalive: Duration,
}

/// Begins a connect; it ends when the socket becomes writable. `AddrInUse`: this box has no port left
/// for it.
pub(super) fn dial(dial: &Dial) -> io::Result<Socket> {
    let kind = Type::STREAM.nonblocking();
    let socket = Socket::new(Domain::for_address(dial.to), kind, Some(Protocol::TCP))?;
    if let Some(interface) = &dial.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    let from = dial.from.filter(|from| from.is_ipv4() == dial.to.is_ipv4());
    if let Some(from) = from
        && !from.is_unspecified()
    {
        // Without this a port would be taken for good by the bind, before the peer is known.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    prepare(&socket, dial.keepalive)?;
    match socket.connect(&SockAddr::from(dial.to)) {
        Ok(()) => Ok(socket),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINPROGRESS) => Ok(socket),
            // The address is there, or it could not have been bound; it is a port that is missing.
            Some(libc::EADDRNOTAVAIL) => Err(io::ErrorKind::AddrInUse.into()),
            _ => Err(error),
        },
    }
}

/// What every connection has, on either side.
pub(super) fn prepare(socket: &Socket, keepalive: Duration) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    // "Writable" then means that the peer takes bytes, not that another megabyte would fit.
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES)?;
    if !keepalive.is_zero() {
        // The kernel counts in whole seconds.
        let interval = (keepalive / 4).max(Duration::from_secs(1));
        let time = keepalive.max(Duration::from_secs(1));
        let probing = TcpKeepalive::new()
            .with_time(time)
            .with_interval(interval)
            .with_retries(KEEPALIVE_PROBES);
        socket.set_tcp_keepalive(&probing)?;
        socket.set_tcp_user_timeout(Some(keepalive))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[track_caller]
    fn check(socket: &Socket, keepalive: u64) {
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        let seconds = Duration::from_secs;
        assert_eq!(socket.tcp_keepalive_time().unwrap(), seconds(keepalive));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), seconds(keepalive / 4));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(seconds(keepalive)));
    }

    fn place(keepalive: u64) -> Bind {
        Bind {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            interface: None,
            keepalive: Duration::from_secs(keepalive),
        }
    }

    /// Options of the listening socket are inherited by what it accepts.
    #[test]
    fn a_client_that_vanishes_is_noticed() {
        for keepalive in [40, 120] {
            let listening = bind(&place(keepalive)).unwrap();
            let client = TcpStream::connect(listening.address().unwrap()).unwrap();
            let (accepted, _) = listening.0.accept().unwrap();
            check(&accepted, keepalive);
            drop(client);
        }
    }

    #[test]
    fn a_server_that_vanishes_is_noticed() {
        let listening = bind(&place(40)).unwrap();
        let to = listening.address().unwrap();
        for keepalive in [40, 120] {
            let keepalive_time = Duration::from_secs(keepalive);
            let dialled =
                dial(&Dial { to, from: None, interface: None, keepalive: keepalive_time }).unwrap();
            check(&dialled, keepalive);
        }
    }

    #[test]
    fn without_a_length_there_is_no_keepalive() {
        let socket = open(&place(0), true).unwrap();
        assert!(!socket.keepalive().unwrap());
    }
}

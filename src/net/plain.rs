//! Sockets of the control thread, for its own questions to machines of the internal network. They
//! leave as upstream connections do; none of them waits.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use super::listen::{Dial, dial};

/// A datagram socket that hears nobody but `place.to`, at a port that the kernel picks at random.
///
/// # Errors
/// No route, no such device, no descriptors.
pub fn open_datagrams(place: &Dial) -> io::Result<UdpSocket> {
    let kind = Type::DGRAM.nonblocking();
    let socket = Socket::new(Domain::for_address(place.to), kind, Some(Protocol::UDP))?;
    if let Some(interface) = &place.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    let from = place.from.filter(|from| from.is_ipv4() == place.to.is_ipv4());
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect(&place.to.into())?;
    Ok(socket.into())
}

/// Begins to connect; the stream becomes writable when that has ended.
///
/// # Errors
/// No route, no such device, no descriptors.
pub fn open_stream(place: &Dial) -> io::Result<TcpStream> {
    Ok(dial(place)?.into())
}

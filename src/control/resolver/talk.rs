//! One question on its way to a name server: the socket, and what has come of it so far.

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::PollFlags;

use crate::dns::UDP_BYTES_MAX;
use crate::net::{self, Dial};

/// What a name server has sent.
#[derive(Debug)]
pub(super) enum Heard {
    Nothing,
    Message(Vec<u8>),
    Broken(String),
}

#[derive(Debug)]
pub(super) enum Talk {
    Datagrams(UdpSocket),
    Stream {
        stream: TcpStream,
        /// What is still to be sent.
        out: Vec<u8>,
        /// What has come, with its length before it.
        come: Vec<u8>,
    },
}

impl Talk {
    /// Sends `message`, or begins to.
    pub(super) fn open(dial: &Dial, tcp: bool, message: &[u8]) -> io::Result<Self> {
        if !tcp {
            let socket = net::open_datagrams(dial)?;
            socket.send(message)?;
            return Ok(Self::Datagrams(socket));
        }
        let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut out = length.to_be_bytes().to_vec();
        out.extend_from_slice(message);
        Ok(Self::Stream { stream: net::open_stream(dial)?, out, come: Vec::new() })
    }

    pub(super) fn waits_for(&self) -> PollFlags {
        match self {
            Self::Stream { out, .. } if !out.is_empty() => PollFlags::POLLOUT,
            _ => PollFlags::POLLIN,
        }
    }

    /// What there is, when there is something.
    pub(super) fn hear(&mut self) -> Heard {
        let heard = match self {
            Self::Datagrams(socket) => {
                // Longer ones are cut; that they were too long can be seen.
                let mut room = [0; UDP_BYTES_MAX + 1];
                socket.recv(&mut room).map(|length| room.get(..length).map(<[u8]>::to_vec))
            }
            Self::Stream { stream, out, come } => go_on(stream, out, come),
        };
        match heard {
            Ok(Some(message)) => Heard::Message(message),
            Ok(None) => Heard::Nothing,
            Err(error) if is_for_later(&error) => Heard::Nothing,
            Err(error) => Heard::Broken(said(&error)),
        }
    }
}

impl AsFd for Talk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Datagrams(socket) => socket.as_fd(),
            Self::Stream { stream, .. } => stream.as_fd(),
        }
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// Sends and receives as much as goes now; gives the answer when it is whole. No message is longer
/// than its length of two bytes can tell.
fn go_on(
    stream: &mut TcpStream,
    out: &mut Vec<u8>,
    come: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    while !out.is_empty() {
        let sent = stream.write(out)?;
        out.drain(..sent.min(out.len()));
    }
    let mut room = [0; 4096];
    let length = stream.read(&mut room)?;
    if length == 0 {
        return Err(io::Error::other("it hung up"));
    }
    come.extend_from_slice(room.get(..length).unwrap_or_default());
    let Some((prefix, rest)) = come.split_first_chunk::<2>() else { return Ok(None) };
    let whole = usize::from(u16::from_be_bytes(*prefix));
    let Some(message) = rest.get(..whole) else { return Ok(None) };
    let message = message.to_vec();
    come.drain(..2 + whole);
    Ok(Some(message))
}

/// The kernel's sentence, without its number.
pub(super) fn said(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

//! Servers that answer every request by themselves, and say in it who they are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Starts a server that answers each request with `NAME ADDRESS NUMBER`: its name, the address that
/// it was asked from, and which of its connections that was, from 0. Gives its port. It goes on
/// until the test program ends.
pub(crate) fn named(name: &'static str) -> u16 {
    named_at(name, SocketAddr::from(([127, 0, 0, 1], 0)))
}

/// The same at an address of the test's choice.
pub(crate) fn named_at(name: &'static str, address: SocketAddr) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().map_while(Result::ok).enumerate() {
            // A client that resets its connection ends this thread, and that is all.
            std::thread::spawn(move || answer_all(socket, name, number).unwrap_or_default());
        }
    });
    port
}

fn answer_all(mut socket: TcpStream, name: &str, number: usize) -> std::io::Result<()> {
    let body = format!("{name} {} {number}", socket.peer_addr()?.ip());
    let mut lines = BufReader::new(socket.try_clone()?);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        lines.read_exact(&mut vec![0; length])?;
        write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    }
}

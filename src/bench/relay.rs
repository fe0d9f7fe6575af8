//! The floor: a relay of bytes between two TCP connections, one thread, one ring, and no idea of HTTP. What it costs is
//! what the kernel alone costs for a proxy that receives and sends each message once per side.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

use super::Trouble;
use super::ring::{Done, Ring};

/// Where the relay listens and where it sends.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The address that clients connect to.
    pub listen: SocketAddr,
    /// The server that each client gets a connection of its own to.
    pub to: SocketAddr,
}

/// Relays until the process ends. `started` is told the address once clients can connect.
pub fn run(settings: &Settings, started: impl FnOnce(SocketAddr)) -> Result<(), Trouble> {
    let what = format!("the relay cannot listen on {}", settings.listen);
    let listener = TcpListener::bind(settings.listen).map_err(Trouble::of(&what))?;
    listener.set_nonblocking(true).map_err(Trouble::of(&what))?;
    let address = listener.local_addr().map_err(Trouble::of(&what))?;
    let mut ring = Ring::new(listener).map_err(Trouble::of(
        "the kernel refuses a ring (io_uring has to be allowed, see the setting kernel.io_uring_disabled)",
    ))?;
    started(address);
    let mut done = Vec::new();
    loop {
        ring.wait(&mut done).map_err(Trouble::of("the ring has failed"))?;
        for done in done.drain(..) {
            match done {
                Done::Acceptable => accept(&mut ring, settings.to)?,
                Done::Moved { flow, result } => {
                    ring.advance(flow, result).map_err(Trouble::of("the ring has failed"))?;
                }
            }
        }
    }
}

/// Accepts whoever waits. The connection to the server is made while all else waits: it is on the same machine, and no
/// part of what is measured.
fn accept(ring: &mut Ring, to: SocketAddr) -> Result<(), Trouble> {
    while let Some(client) = ring.accept().map_err(Trouble::of("no client can be accepted"))? {
        match TcpStream::connect(to) {
            Ok(upstream) => open(ring, client, upstream)
                .map_err(Trouble::of("a connection cannot be relayed"))?,
            // The client sees its connection close; the load tool reports that.
            Err(error) => eprintln!("relay: {to} cannot be reached: {error}"),
        }
    }
    Ok(())
}

fn open(ring: &mut Ring, client: TcpStream, upstream: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    let (client, upstream) = (Rc::new(client), Rc::new(upstream));
    ring.open(client.clone(), upstream.clone())?;
    ring.open(upstream, client)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::mpsc;

    use super::*;
    use crate::bench::origin;

    #[test]
    fn bytes_pass_both_ways_and_the_end_too() {
        let listen = "127.0.0.1:0".parse().unwrap();
        let origin = origin::start(&origin::Settings { listen, workers: 1, tls: None }).unwrap();
        let (tell, told) = mpsc::channel();
        let settings = Settings { listen, to: origin.address() };
        // The relay has no end of its own; its thread ends with the test process.
        std::thread::spawn(move || run(&settings, |address| tell.send(address).unwrap()));
        let mut client = TcpStream::connect(told.recv().unwrap()).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let request =
            "GET /bytes/1000000 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        client.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer.matches('#').count(), 1_000_128);
    }
}

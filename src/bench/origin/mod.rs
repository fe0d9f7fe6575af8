//! An HTTP/1.1 origin that costs little and always the same.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /`, `GET /small`, any other path | 200, 128 bytes |
//! | `GET /bytes/N` | 200, N bytes (up to 1 GiB) with their length |
//! | `GET /chunked/N` | 200, N bytes in chunks |
//! | `GET /missing…` | 404 |
//! | `/delay/MS/…` | the answer to `/…`, that much later |
//! | any other method | 200, the length of the request's body in digits |

mod answer;
mod body;
mod connection;
mod request;
mod transport;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use nix::sys::eventfd::{EfdFlags, EventFd};
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};

use super::Trouble;

/// What an origin is to be.
#[derive(Clone)]
pub struct Settings {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads, each with its own listening socket.
    pub workers: usize,
    /// Its TLS settings; without, it speaks plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
}

/// A running origin. Dropping it stops it.
pub struct Handle {
    address: SocketAddr,
    stops: Vec<Arc<EventFd>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
}

/// Starts an origin on threads of its own.
pub fn start(settings: &Settings) -> Result<Handle, Trouble> {
    let what = || format!("the origin cannot listen on {}", settings.listen);
    let mut handle = Handle { address: settings.listen, stops: Vec::new(), threads: Vec::new() };
    for index in 0..settings.workers.max(1) {
        let listener = listen(handle.address).map_err(Trouble::of(what()))?;
        handle.address = listener.local_addr().map_err(Trouble::of(what()))?;
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = Arc::new(EventFd::from_flags(flags).map_err(Trouble::of(what()))?);
        let worker = worker::Worker::new(listener, settings.tls.clone(), &stop)
            .map_err(Trouble::of(what()))?;
        let thread = std::thread::Builder::new()
            .name(format!("origin-{index}"))
            .spawn(move || worker.run())
            .map_err(Trouble::of("a thread for the origin cannot be started"))?;
        handle.stops.push(stop);
        handle.threads.push(thread);
    }
    Ok(handle)
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and waits until its threads have ended.
    pub fn stop(self) {
        drop(self);
    }

    /// Waits until it ends by itself, which only an error makes it do.
    pub fn wait(mut self) -> Result<(), Trouble> {
        for thread in self.threads.drain(..) {
            let outcome = thread.join().map_err(|_| Trouble::new("the origin has crashed"))?;
            outcome.map_err(Trouble::of("the origin has stopped serving"))?;
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        for stop in &self.stops {
            // It fails only when the counter is full, and then the worker has been told already.
            let _ = stop.write(1);
        }
        for thread in self.threads.drain(..) {
            // How it ended no longer matters to anyone.
            let _ = thread.join();
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;

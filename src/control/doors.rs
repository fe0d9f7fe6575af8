//! The process's listening sockets: for each place as many as there are workers, kept over every
//! reload, since closing one would reset the clients that wait in it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::config::Config;
use crate::net::{self, Bind, Listening, Moment, Ticks};
use crate::observe::{Seldom, say_now};
use crate::proxy::{DoorId, Kept};

use super::crew::{Crew, Post};
use super::start::Refused;

/// How long a port may still be taken by an instance that is ending.
const PORT_FREED: Duration = Duration::from_secs(1);

/// Where clients are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    address: SocketAddr,
    interface: Option<String>,
}

/// How long a socket of ours may still be open after its place was left: a worker takes who waits
/// in it first.
const LEFT_FOR: Duration = Duration::from_secs(30);

/// All places.
#[derive(Debug, Default)]
pub(super) struct Doors {
    open: HashMap<Place, Door>,
    /// Ports of places that were left, and when.
    left: Vec<(u16, Moment)>,
    /// When it was last said that a socket could not be handed over.
    said: Seldom,
}

#[derive(Debug, Default)]
struct Door {
    /// The number of its Listener.
    listener: Arc<AtomicU32>,
    sockets: Vec<Socket>,
    /// Its adapter is gone, and that was said.
    cut_off: bool,
}

#[derive(Debug)]
struct Socket {
    listening: Listening,
    /// The slot of the worker that accepts from it, and how that is told to leave it.
    holder: Option<(usize, Arc<AtomicBool>)>,
}

/// Sockets that a Config needs beyond those that are there.
#[derive(Debug)]
pub(super) struct Opened(Vec<(Place, Vec<Listening>)>);

/// The places of a Config, with the names of their Listeners.
fn places(config: &Config) -> impl Iterator<Item = (Place, &str)> {
    config.listeners.iter().flat_map(|listener| {
        listener.addresses.iter().map(|&address| {
            let address = SocketAddr::new(address, listener.port);
            (Place { address, interface: listener.interface.clone() }, listener.name.as_str())
        })
    })
}

impl Doors {
    /// Opens what `config` needs for `workers` and is not open yet. Changes nothing that is.
    pub(super) fn prepare(&self, config: &Config, workers: usize) -> Result<Opened, Refused> {
        let mut opened = Vec::new();
        for (place, listener) in places(config) {
            let there = self.open.get(&place).map_or(0, |door| door.sockets.len());
            let bind = Bind {
                address: place.address,
                interface: place.interface.clone(),
                keepalive: config.timeouts.tcp_keepalive,
            };
            let refused = |error| Refused(format!("listener {listener}: {}", why(&bind, &error)));
            if there == 0 && !self.is_ours(place.address.port()) {
                wait_until_free(&bind).map_err(refused)?;
            }
            let mut sockets = Vec::new();
            for _ in there..workers {
                sockets.push(net::bind(&bind).map_err(refused)?);
            }
            opened.push((place, sockets));
        }
        Ok(Opened(opened))
    }

    /// Sockets of ours would look like another program's.
    fn is_ours(&self, port: u16) -> bool {
        let recently = |left: &Moment| net::monotonic() < *left + LEFT_FOR;
        self.open.keys().any(|place| place.address.port() == port)
            || self.left.iter().any(|(one, left)| *one == port && recently(left))
    }

    /// Listeners whose places are another Listener's in `config`: what their sockets accepted, and
    /// accept until they are taken over, is that one's.
    pub(super) fn moved(&self, config: &Config) -> Vec<(DoorId, String)> {
        let moved = places(config).filter_map(|(place, listener)| {
            let door = self.open.get(&place)?;
            Some((DoorId(door.listener.load(Ordering::Acquire)), listener.to_owned()))
        });
        moved.collect()
    }

    /// Takes over what was prepared for `config`, which is in force now, and spreads all sockets
    /// over the workers. Places that `config` does not name are left; who waits there is served.
    pub(super) fn take_over(
        &mut self,
        Opened(opened): Opened,
        config: &Config,
        kept: &mut Kept,
        crew: &Crew,
    ) {
        let named: HashMap<Place, &str> = places(config).collect();
        let now = net::monotonic();
        self.left.retain(|(_, left)| now < *left + LEFT_FOR);
        for (place, door) in self.open.extract_if(|place, _| !named.contains_key(place)) {
            self.left.push((place.address.port(), now));
            for socket in door.sockets {
                socket.leave();
            }
        }
        for (place, sockets) in opened {
            let door = self.open.entry(place).or_default();
            let sockets = sockets.into_iter();
            door.sockets.extend(sockets.map(|listening| Socket { listening, holder: None }));
        }
        for (place, door) in &mut self.open {
            let listener = named.get(place).copied().unwrap_or_default();
            door.listener.store(kept.door(listener).0, Ordering::Release);
            for socket in &door.sockets {
                // A socket that keeps its old keepalive is no reason to stop.
                let _ = socket.listening.set_keepalive(config.timeouts.tcp_keepalive);
            }
        }
        self.spread(crew);
    }

    /// Hands every socket to the worker that it belongs to. Where there is no descriptor to do it
    /// with, the next call tries again.
    pub(super) fn spread(&mut self, crew: &Crew) {
        for (place, door) in &mut self.open {
            for (index, socket) in door.sockets.iter_mut().enumerate() {
                if let Err(error) = socket.hand_to(index % crew.count(), crew, &door.listener) {
                    let address = place.address;
                    if !self.said.is_time(net::monotonic().0) {
                        continue;
                    }
                    say_now(&format!(
                        "{address} is not accepted from by every worker yet: {error}; raise LimitNOFILE"
                    ));
                }
            }
        }
    }

    /// Sockets follow their adapters, which may be taken out and put in, or made again. Says so.
    pub(super) fn follow(&mut self) {
        for (place, door) in &mut self.open {
            let Place { address, interface: Some(interface) } = place else { continue };
            let mut followed = Ok(false);
            for socket in &door.sockets {
                match socket.listening.follow(interface) {
                    Ok(new) => followed = followed.map(|before| before || new),
                    Err(error) => followed = Err(error),
                }
            }
            match followed {
                Ok(false) => {}
                Ok(true) => {
                    door.cut_off = false;
                    say_now(&format!(
                        "clients are accepted at {address} again: the adapter {interface} is back"
                    ));
                }
                Err(_) if door.cut_off => {}
                Err(error) => {
                    door.cut_off = true;
                    let why = why_not(*address, interface, &error);
                    say_now(&format!(
                        "no clients are accepted at {address}: {why}; it is tried again"
                    ));
                }
            }
        }
    }

    /// The worker in `slot` has ended: its sockets are nobody's, until they are handed to the next.
    pub(super) fn forget(&mut self, slot: usize) {
        for socket in self.open.values_mut().flat_map(|door| &mut door.sockets) {
            if socket.holder.as_ref().is_some_and(|(holder, _)| *holder == slot) {
                socket.holder = None;
            }
        }
    }

    /// Where clients are accepted, with the names of the Listeners in `config`.
    pub(super) fn addresses(&self, config: &Config) -> Vec<(String, SocketAddr)> {
        let mut addresses = Vec::new();
        for (place, listener) in places(config) {
            let socket = self.open.get(&place).and_then(|door| door.sockets.first());
            let real = socket.and_then(|socket| socket.listening.address().ok());
            addresses.push((listener.to_owned(), real.unwrap_or(place.address)));
        }
        addresses
    }
}

impl Socket {
    fn leave(&self) {
        if let Some((_, left)) = &self.holder {
            left.store(true, Ordering::Release);
        }
    }

    /// From now on the worker in `slot` accepts from it.
    fn hand_to(&mut self, slot: usize, crew: &Crew, door: &Arc<AtomicU32>) -> std::io::Result<()> {
        if self.holder.as_ref().is_some_and(|(holder, _)| *holder == slot) {
            return Ok(());
        }
        let shared = self.listening.share();
        // Of a worker that is gone nobody would see that it is not the right one.
        if shared.is_ok() || self.holder.as_ref().is_some_and(|(holder, _)| *holder >= crew.count())
        {
            self.leave();
            self.holder = None;
        }
        let listening = shared?;
        let left = Arc::new(AtomicBool::new(false));
        self.holder = Some((slot, Arc::clone(&left)));
        crew.orders(slot).post(Post { door: Arc::clone(door), listening, left });
        Ok(())
    }
}

/// Sockets of ours would share the port with another instance's. One that has just ended frees its
/// port a moment later, when its rings are gone.
fn wait_until_free(place: &Bind) -> std::io::Result<()> {
    let until = net::monotonic() + PORT_FREED;
    while net::is_taken(place)? {
        if net::monotonic() >= until {
            return Err(std::io::Error::from_raw_os_error(libc::EADDRINUSE));
        }
        std::thread::park_timeout(Ticks::LENGTH);
    }
    Ok(())
}

pub(super) fn why(place: &Bind, error: &std::io::Error) -> String {
    why_not(place.address, place.interface.as_deref().unwrap_or("?"), error)
}

fn why_not(address: SocketAddr, adapter: &str, error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EADDRINUSE) => format!(
            "another program listens on {address}; `ss -ltnp 'sport = :{}'` shows which",
            address.port()
        ),
        Some(libc::EACCES) => format!(
            "no permission for port {}; start by the service, which has CAP_NET_BIND_SERVICE, or choose a port above 1023",
            address.port()
        ),
        Some(libc::EPERM) => {
            format!("no permission to bind to the adapter {adapter}; the service needs CAP_NET_RAW")
        }
        Some(libc::ENODEV) => {
            format!("there is no network adapter {adapter}; `ip link` shows their names")
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}

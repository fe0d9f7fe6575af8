//! Three machines and two cables, made for one test and gone with it.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use socket2::{Domain, Protocol, Socket, Type};

use crate::rig::{Folder, Gatehouse, LIMIT, Wire, until};

/// The box's addresses: those that clients use, others of the same adapter, those of the company's
/// side. IPv4 first.
pub(super) const EXTERNAL: [&str; 2] = ["203.0.113.10", "2001:db8:1::10"];
pub(super) const OTHER: [&str; 2] = ["203.0.113.11", "2001:db8:1::11"];
pub(super) const INTERNAL: [&str; 2] = ["172.25.33.40", "fd25::40"];

/// The router of the company.
pub(super) const INSIDE: [&str; 2] = ["172.25.33.1", "fd25::1"];

/// A server in a network behind that router. Somebody on the Internet has this address too.
pub(super) const SERVER: [&str; 2] = ["192.168.10.11", "fd10::11"];

/// How the box gets there.
pub(super) const ROUTES: [&str; 2] = ["192.168.10.0/24 via 172.25.33.1", "fd10::/64 via fd25::1"];

/// Addresses that nothing but marks is sent to.
const MARKS: [&str; 2] = ["203.0.113.2", "172.25.33.2"];

/// Leaves these tests out where the machine has no namespaces for them.
const WITHOUT: &str = "GATEHOUSE_WITHOUT_NAMESPACES";

/// What the outside has; it knows the way to the company's network, though that is by the box.
const OUTSIDE_LINES: &str = "\
    link set lo up
    link set eth0 up
    addr replace 203.0.113.1/24 dev eth0
    addr replace 203.0.113.2/24 dev eth0
    addr replace 2001:db8:1::1/64 dev eth0 nodad
    addr replace 192.168.10.11/32 dev lo
    addr replace fd10::11/128 dev lo nodad
    route replace 172.25.33.0/24 via 203.0.113.10
    route replace fd25::/64 via 2001:db8:1::10";

const INSIDE_LINES: &str = "\
    link set lo up
    link set eth0 up
    addr replace 172.25.33.1/24 dev eth0
    addr replace 172.25.33.2/24 dev eth0
    addr replace fd25::1/64 dev eth0 nodad
    addr replace 192.168.10.11/32 dev lo
    addr replace fd10::11/128 dev lo nodad
    route replace default via 172.25.33.40
    route replace default via fd25::40";

/// What the appliance gives the external adapter, also when it comes back.
pub(super) const EXTERNAL_LINES: &str = "\
    link set ext0 up
    addr replace 203.0.113.10/24 dev ext0
    addr replace 203.0.113.11/24 dev ext0
    addr replace 2001:db8:1::10/64 dev ext0 nodad
    addr replace 2001:db8:1::11/64 dev ext0 nodad
    route replace default via 203.0.113.1
    route replace default via 2001:db8:1::1";

/// The same for the internal one.
pub(super) const INTERNAL_LINES: &str = "\
    link set int0 up
    addr replace 172.25.33.40/24 dev int0
    addr replace fd25::40/64 dev int0 nodad
    route replace 192.168.10.0/24 via 172.25.33.1
    route replace fd10::/64 via fd25::1";

/// How the proxy is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// To the devices, and to addresses there.
    ToDevices,
    ByAddress,
}

/// A machine.
pub(super) struct Host {
    namespace: File,
}

impl Host {
    fn new() -> io::Result<Self> {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        };
        // It lives as long as something is open in it, so nothing is left of it after a kill.
        let namespace = std::thread::spawn(make).join().unwrap()?;
        Ok(Self { namespace })
    }

    /// Does something there; sockets that come of it stay there.
    #[track_caller]
    pub(super) fn run<T: Send>(&self, story: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
            story()
        };
        let ended = std::thread::scope(|scope| scope.spawn(inside).join());
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Its name for other programs, while this lives.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Commands of `ip`, one a line.
    #[track_caller]
    pub(super) fn ip(&self, lines: &str) {
        let outcome = self.run(|| {
            let path = std::env::var("PATH").unwrap_or_default();
            let mut command = Command::new("ip");
            command.args(["-batch", "-"]).env("PATH", format!("{path}:/usr/sbin:/sbin"));
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = command.spawn().expect("there is `ip`, of iproute2");
            // It reads to its first mistake, which it says.
            let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
            child.wait_with_output().unwrap()
        });
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{lines}\nip says: {said}");
    }

    /// A kernel setting, as sysctl names it; one that namespaces do not have gives an error.
    pub(super) fn set(&self, name: &str, value: &str) -> io::Result<()> {
        self.run(|| std::fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value))
    }

    /// A connection from there; an error if it is refused, or nothing comes for very long.
    pub(super) fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        self.connect_within(to, LIMIT)
    }

    pub(super) fn connect_within(&self, to: SocketAddr, time: Duration) -> io::Result<TcpStream> {
        self.run(|| TcpStream::connect_timeout(&to, time))
    }

    /// Sees everything that passes its cables from now on.
    pub(super) fn watch(&self) -> Eye {
        // ETH_P_ALL, in the network's order.
        let all = Protocol::from(i32::from(3_u16.to_be()));
        let open = || Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(all));
        Eye(self.run(open).unwrap())
    }
}

/// What passes a machine's cables.
pub(super) struct Eye(Socket);

/// Who sent a packet to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    /// A question for a neighbour, or its answer.
    is_arp: bool,
}

impl Packet {
    fn read(bytes: &[u8]) -> Option<Self> {
        let four = |at: usize| Some(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?.into());
        let six = |at: usize| Some(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?.into());
        let is_arp = bytes.starts_with(&[0, 1, 8, 0]);
        let (from, to) = match bytes.first()? >> 4 {
            4 => (four(12)?, four(16)?),
            6 => (six(8)?, six(24)?),
            _ if is_arp => (four(14)?, four(24)?),
            _ => return None,
        };
        Some(Self { from, to, is_arp })
    }

    pub(super) fn is_about(&self, address: &str) -> bool {
        let address: IpAddr = address.parse().unwrap();
        self.from == address || self.to == address
    }
}

impl Eye {
    fn next(&mut self) -> Option<Packet> {
        let mut room = [0; 2048];
        loop {
            match self.0.read(&mut room) {
                Ok(length) => {
                    if let Some(packet) = Packet::read(&room[..length]) {
                        return Some(packet);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) => panic!("cannot watch: {error}"),
            }
        }
    }
}

pub(super) struct Network {
    pub(super) outside: Host,
    pub(super) the_box: Host,
    pub(super) inside: Host,
}

impl Network {
    /// With all addresses and routes. `None` where whoever runs the tests wants none of it.
    #[track_caller]
    pub(super) fn new() -> Option<Self> {
        let network = Self::bare()?;
        network.the_box.ip(EXTERNAL_LINES);
        network.the_box.ip(INTERNAL_LINES);
        Some(network)
    }

    /// The same, and the box's adapters have no addresses yet.
    #[track_caller]
    pub(super) fn bare() -> Option<Self> {
        if std::env::var_os(WITHOUT).is_some() {
            // Past the harness, which keeps back what tests that pass say.
            let _ = writeln!(io::stderr(), "\nNOT TESTED: two networks, since {WITHOUT} is set");
            return None;
        }
        let make = || Ok([Host::new()?, Host::new()?, Host::new()?]);
        let made: io::Result<_> = make();
        let [outside, the_box, inside] = made.unwrap_or_else(|error| {
            panic!(
                "this machine gives us no network namespaces ({error}): run the tests as root, \
                 outside of containers that forbid it, or leave these out by {WITHOUT}=1"
            )
        });
        the_box.ip("link set lo up");
        let network = Self { outside, the_box, inside };
        network.connect(&network.outside, "ext0", OUTSIDE_LINES);
        network.connect(&network.inside, "int0", INSIDE_LINES);
        // As other machines do, it says for the server's address nothing on a cable without it.
        network.inside.set("net.ipv4.conf.all.arp_ignore", "1").unwrap();
        Some(network)
    }

    /// A cable from the box's adapter to another machine, which has these addresses and routes.
    #[track_caller]
    fn connect(&self, to: &Host, device: &str, lines: &str) {
        let cable = format!("type veth peer name eth0 netns {}", to.path());
        self.the_box.ip(&format!("link add {device} {cable}\nlink set {device} up"));
        to.ip(lines);
    }

    /// The external adapter, after it was taken out.
    #[track_caller]
    pub(super) fn plug_in_external(&self) {
        self.connect(&self.outside, "ext0", OUTSIDE_LINES);
        self.the_box.ip(EXTERNAL_LINES);
    }

    /// The internal adapter, after it was taken out.
    #[track_caller]
    pub(super) fn plug_in_internal(&self) {
        self.connect(&self.inside, "int0", INSIDE_LINES);
        self.the_box.ip(INTERNAL_LINES);
    }

    /// Starts the proxy on the box.
    #[track_caller]
    pub(super) fn start(&self, bound: Bound, text: &str) -> Gatehouse {
        let adapter = |role: &str, device: &str, addresses: [&str; 2]| {
            let interface = match bound {
                Bound::ToDevices => format!("interface = \"{device}\"\n"),
                Bound::ByAddress => String::new(),
            };
            format!("[adapter.{role}]\n{interface}addresses = {addresses:?}\n")
        };
        let external = adapter("external", "ext0", EXTERNAL);
        let internal = adapter("internal", "int0", INTERNAL);
        let text = format!("{external}{internal}{text}");
        Gatehouse::start_in(&self.the_box.path(), Folder::new(), &text)
    }

    /// A client outside.
    #[track_caller]
    pub(super) fn client(&self, gatehouse: &Gatehouse) -> Wire {
        Wire::plain(self.outside.connect(at(EXTERNAL[0], gatehouse.http)).unwrap())
    }

    /// What the eye has seen since the last time; nothing that was sent before this call is missing.
    pub(super) fn seen_by(&self, eye: &mut Eye) -> Vec<Packet> {
        for mark in MARKS {
            let send = || UdpSocket::bind("0.0.0.0:0")?.send_to(b"mark", at(mark, 9));
            self.the_box.run(send).unwrap();
        }
        let mut seen = Vec::new();
        until("the mark", || {
            while let Some(packet) = eye.next() {
                let is_mark = MARKS.iter().any(|mark| packet.to == at(mark, 0).ip());
                if !is_mark {
                    seen.push(packet);
                } else if !packet.is_arp {
                    return Some(());
                }
            }
            None
        });
        seen
    }

    /// Nothing about `address` has passed the eye.
    #[track_caller]
    pub(super) fn expect_unseen(&self, eye: &mut Eye, address: &str) {
        let seen = self.seen_by(eye);
        let about: Vec<_> = seen.iter().filter(|packet| packet.is_about(address)).collect();
        assert!(about.is_empty(), "{about:?}");
    }
}

/// Tells a story for IPv4 and for IPv6, side by side, since most of it is waiting.
#[track_caller]
pub(super) fn for_both(story: impl Fn(usize) + Sync) {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| story(1));
        story(0);
        other.join().unwrap();
    });
}

pub(super) fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

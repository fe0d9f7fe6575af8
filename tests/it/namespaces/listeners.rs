//! Where the box answers, and where it does not.

use std::io::ErrorKind;
use std::net::UdpSocket;

use super::network::{Bound, EXTERNAL, Host, INSIDE, INTERNAL, Network, OTHER, at};
use crate::rig::{Gatehouse, Origin, Wire, free_port, until};

/// Two listeners, one at each adapter, that answer by themselves, and the page for administrators.
fn everywhere(company: u16, page: u16) -> String {
    format!(
        "[listener.http]\nport = $http\n\
         [listener.company]\nadapter = \"internal\"\nport = {company}\n\
         [admin]\nsocket = \"./admin.sock\"\nadapter = \"internal\"\nport = {page}\n\
         [site.a]\nnames = [\"a.test\", \"172.25.33.40\", \"[fd25::40]\"]\n\
         listeners = [\"http\", \"company\"]\n\
         [[site.a.rule]]\npath = \"/\"\nrespond = {{ status = 200, body = \"own\" }}\n"
    )
}

/// Whether somebody answers there; who does not has to refuse.
#[track_caller]
fn is_answered(from: &Host, address: &str, port: u16) -> bool {
    match from.connect(at(address, port)) {
        Ok(socket) => {
            let mut client = Wire::plain(socket);
            let host = if address.contains(':') { format!("[{address}]") } else { address.into() };
            client.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            client.answer();
            true
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => false,
        Err(error) => panic!("{address}: {error}"),
    }
}

/// From outside and from inside: whether clients are answered at these addresses of the box.
#[track_caller]
fn check(bound: Bound, addresses: [[&str; 2]; 3], outside: [[bool; 3]; 2], inside: [[bool; 3]; 2]) {
    let Some(network) = Network::new() else { return };
    let (company, page) = (free_port(), free_port());
    let gatehouse = network.start(bound, &everywhere(company, page));
    let ports = |gatehouse: &Gatehouse| [gatehouse.http, company, page];
    for (from, host, expected) in
        [("outside", &network.outside, outside), ("inside", &network.inside, inside)]
    {
        let [clients, own] = expected;
        for (place, both) in addresses.iter().enumerate() {
            for address in both {
                let seen = ports(&gatehouse).map(|port| is_answered(host, address, port));
                let expected = [clients[place], own[place], own[place]];
                assert_eq!(seen, expected, "{bound:?}, from {from}, at {address}");
            }
        }
    }
}

/// With devices nothing is left to others: each listener is at its own adapter's addresses, and is
/// heard by its own adapter only. The page for administrators too.
#[test]
fn bound_to_devices_each_listener_answers_at_its_own_adapter_only() {
    check(
        Bound::ToDevices,
        [EXTERNAL, OTHER, INTERNAL],
        [[true, false, false], [false, false, false]],
        [[false, false, false], [false, false, true]],
    );
}

/// By address alone a listener is at its own addresses and no other, but Linux answers for them
/// whichever cable a packet comes by (the weak host model): from outside, who sends packets for the
/// internal address to the box is answered by what listens there. Gatehouse cannot see the cable;
/// the image's firewall can, and `interface` makes it needless.
#[test]
fn by_address_alone_the_kernel_answers_for_them_at_either_adapter() {
    check(
        Bound::ByAddress,
        [EXTERNAL, OTHER, INTERNAL],
        [[true, false, false], [false, false, true]],
        [[true, false, false], [false, false, true]],
    );
}

/// A word of somebody outside, sent to a machine of the company by way of the box.
fn send_through(network: &Network, to: usize, port: u16) {
    let any = ["0.0.0.0:0", "[::]:0"][to];
    let send = || UdpSocket::bind(any)?.send_to(b"x", at(INSIDE[to], port));
    // A refusal that came before is told here.
    let _ = network.outside.run(send);
}

/// The settings of `sysctl/gatehouse.conf` that network namespaces have, as they are shipped.
fn shipped_settings() -> Vec<(String, String)> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/sysctl/gatehouse.conf");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("net."));
    lines
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap();
            (name.trim().to_owned(), value.trim().to_owned())
        })
        .collect()
}

/// With our settings the box is no router, whatever it was before, and the proxy does not make it
/// one: what is sent to a machine of the company by way of the box comes to nothing.
#[test]
fn nothing_is_forwarded_between_the_networks() {
    let Some(network) = Network::new() else { return };
    let listen = |address: &'static str| {
        let socket = network.inside.run(|| UdpSocket::bind(at(address, 0))).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    };
    let heard = INSIDE.map(listen);
    let port = |which: usize| heard[which].local_addr().unwrap().port();
    let mut room = [0; 16];
    // A router would bring it there.
    for setting in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        network.the_box.set(setting, "1").unwrap();
    }
    for (which, socket) in heard.iter().enumerate() {
        until("a packet by way of a router", || {
            send_through(&network, which, port(which));
            socket.recv(&mut room).ok()
        });
        while socket.recv(&mut room).is_ok() {}
    }

    for (name, value) in shipped_settings() {
        network.the_box.set(&name, &value).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let origin = network.inside.run(|| Origin::at(at(INSIDE[0], 0)));
    let pool = format!("[pool.origin]\nservers = [\"{}\"]\n", at(INSIDE[0], origin.port()));
    let gatehouse = network.start(Bound::ToDevices, &pool);
    let mut eye = network.inside.watch();
    for which in [0, 1] {
        send_through(&network, which, port(which));
    }
    // What the proxy brings there, later, comes.
    let mut client = network.client(&gatehouse);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.answer().text(), "ok");
    let seen = network.seen_by(&mut eye);
    assert!(seen.iter().any(|packet| packet.is_about(INTERNAL[0])), "the eye sees: {seen:?}");
    for outside in ["203.0.113.1", "2001:db8:1::1"] {
        assert!(!seen.iter().any(|packet| packet.is_about(outside)), "{seen:?}");
    }
    for socket in &heard {
        assert!(socket.recv(&mut room).is_err(), "it was forwarded");
    }
}

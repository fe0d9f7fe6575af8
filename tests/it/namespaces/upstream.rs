//! What the box asks the company, and by which of its cables.

use std::net::{IpAddr, TcpListener};
use std::thread;
use std::time::Duration;

use super::network::{Bound, INTERNAL, Network, ROUTES, SERVER, at, for_both};
use crate::rig::name_server::{NameServer, gives};
use crate::rig::reply::{Reply, reply};
use crate::rig::{Gatehouse, Origin, Wire, free_port, named_at, now, until};

const ASKED: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const DONE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndone";
const SOON: &str = "[timeouts]\nconnect = \"500ms\"\n";

/// Somebody who has the server's address and port outside, where the box's default route leads.
fn impostor(network: &Network, address: &str, port: u16) -> Origin {
    network.outside.run(|| Origin::at(at(address, port)))
}

/// A request that `origin` answers; the address that it was asked from.
#[track_caller]
fn exchange(network: &Network, gatehouse: &Gatehouse, origin: &Origin) -> IpAddr {
    let mut client = network.client(gatehouse);
    client.send(ASKED);
    let mut server = origin.accept();
    server.expect(ASKED);
    server.send(DONE);
    assert_eq!(client.answer().text(), "done");
    server.peer_address()
}

/// With devices there is no way to a server but by the internal adapter: where its route is missing
/// nobody is asked, though the default route leads to somebody who has its address.
#[test]
fn servers_are_asked_and_probed_by_the_internal_adapter_only() {
    for_both(|family| {
        let Some(network) = Network::new() else { return };
        let (server, internal) = (SERVER[family], INTERNAL[family]);
        let origin = network.inside.run(|| Origin::at(at(server, 0)));
        let probed = network.inside.run(|| named_at("a", at(server, 0)));
        let [outside, probed_outside] =
            [origin.port(), probed].map(|port| impostor(&network, server, port));
        network.the_box.ip(&format!("route del {}", ROUTES[family]));
        let reached = || std::net::TcpStream::connect(at(server, outside.port()));
        network.the_box.run(reached).unwrap();
        outside.accept();

        let text = format!(
            "[pool.origin]\nservers = [\"{}\"]\n{SOON}\
             [pool.origin.probe]\ntcp = {probed}\nevery = \"500ms\"\n\
             timeout = \"300ms\"\nfall = 2\nrise = 1\n",
            at(server, origin.port())
        );
        let mut eye = network.outside.watch();
        let gatehouse = network.start(Bound::ToDevices, &text);
        gatehouse.expect_said("2 probes in a row failed");
        let mut client = network.client(&gatehouse);
        client.send(ASKED);
        let status = client.answer().status();
        let word = gatehouse.records(1)[0]["failure"].clone();
        let failure = (status, word.as_str().unwrap());
        // The first while the kernel asks its neighbours for the server.
        let expected = [(504, "upstream_slow_connect"), (503, "upstream_unreachable")];
        assert!(expected.contains(&failure), "{failure:?}");
        for address in [server, internal] {
            network.expect_unseen(&mut eye, address);
        }

        network.the_box.ip(&format!("route add {}", ROUTES[family]));
        gatehouse.expect_said("is up again");
        let from = exchange(&network, &gatehouse, &origin);
        assert_eq!(from, internal.parse::<IpAddr>().unwrap());
        for address in [server, internal] {
            network.expect_unseen(&mut eye, address);
        }
        outside.expect_nobody();
        probed_outside.expect_nobody();
    });
}

/// By address alone the kernel's routes decide: where the server's is missing, the request goes to
/// whoever has its address outside. Nothing of ours can hold that; `interface` does.
#[test]
fn by_address_alone_a_missing_route_leads_outside() {
    for_both(|family| {
        let Some(network) = Network::new() else { return };
        let server = SERVER[family];
        let origin = network.inside.run(|| Origin::at(at(server, 0)));
        let outside = impostor(&network, server, origin.port());
        let pool = format!("[pool.origin]\nservers = [\"{}\"]\n", at(server, origin.port()));
        let gatehouse = network.start(Bound::ByAddress, &pool);
        let mut eye = network.outside.watch();
        let from = exchange(&network, &gatehouse, &origin);
        assert_eq!(from, INTERNAL[family].parse::<IpAddr>().unwrap());
        network.expect_unseen(&mut eye, server);
        network.the_box.ip(&format!("route del {}", ROUTES[family]));
        exchange(&network, &gatehouse, &outside);
        let seen = network.seen_by(&mut eye);
        assert!(seen.iter().any(|packet| packet.is_about(server)), "the eye sees: {seen:?}");
    });
}

/// Names too: by UDP and by TCP, and where the route is missing they are not asked at all.
#[test]
fn name_servers_are_asked_by_the_internal_adapter_only() {
    for_both(|family| {
        let Some(network) = Network::new() else { return };
        let (address, internal) = (SERVER[family], INTERNAL[family]);
        let port = free_port();
        let script = || -> crate::rig::name_server::Script {
            let mut whole = gives(&[[192, 168, 10, 11]]);
            Box::new(move |question, tcp| match tcp {
                true => whole(question, tcp),
                false => vec![reply(question, &Reply { is_cut: true, ..Reply::default() })],
            })
        };
        let names = network.inside.run(|| NameServer::at(at(address, port), script()));
        let outside = network.outside.run(|| NameServer::at(at(address, port), script()));
        let origin = network.inside.run(|| Origin::at(at(SERVER[0], 0)));
        let mut eye = network.outside.watch();
        let text = format!(
            "[resolver]\nservers = [\"{}\"]\n[pool.origin]\nservers = [\"fe01.test:{}\"]\n{SOON}",
            at(address, port),
            origin.port()
        );
        let gatehouse = network.start(Bound::ToDevices, &text);
        exchange(&network, &gatehouse, &origin);
        assert_eq!(names.clients(), [Some(internal.parse::<IpAddr>().unwrap()); 2]);
        network.expect_unseen(&mut eye, address);

        network.the_box.ip(&format!("route del {}", ROUTES[family]));
        // The answers were for five seconds; when they have gone it is asked again, in vain.
        let said = gatehouse.expect_said("the addresses from before stay in use");
        assert!(said.contains("fe01.test"), "{said}");
        assert_eq!(outside.questions(), 0);
        network.expect_unseen(&mut eye, address);
        network.expect_unseen(&mut eye, internal);
        network.the_box.ip(&format!("route add {}", ROUTES[family]));
        let asked = names.questions();
        until("a question when the route is there again", || {
            (names.questions() > asked).then_some(())
        });
        exchange(&network, &gatehouse, &origin);
    });
}

/// Many slow requests can use up the ports of this box, also those for probes. That is no fault of the
/// server, which stays in.
#[test]
fn a_box_without_ports_takes_no_server_out() {
    const REQUESTS: usize = 40;
    let Some(network) = Network::new() else { return };
    let server = network.inside.run(|| TcpListener::bind(at(SERVER[0], 0)).unwrap());
    let port = server.local_addr().unwrap().port();
    // It takes everything and says nothing.
    thread::spawn(move || server.incoming().map(Result::unwrap).collect::<Vec<_>>());
    network.the_box.set("net.ipv4.ip_local_port_range", "50000 50030").unwrap();
    let text = format!(
        "[pool.origin]\nservers = [\"{}\"]\n[pool.origin.probe]\ntcp = {port}\n\
         every = \"200ms\"\ntimeout = \"100ms\"\nfall = 2\nall_down = \"refuse\"\n",
        at(SERVER[0], port)
    );
    let gatehouse = network.start(Bound::ToDevices, &text);
    let mut clients: Vec<Wire> = (0..REQUESTS).map(|_| network.client(&gatehouse)).collect();
    for client in &mut clients {
        client.send(ASKED);
    }
    let record = &gatehouse.records(1)[0];
    assert_eq!((&record["status"], &record["failure"]), (&503.into(), &"no_ports".into()));
    let (from, probes) = (now(), Duration::from_secs(1));
    until("five probes more", || (from.elapsed() > probes).then_some(()));
    for bad in ["is down", "left out"] {
        assert!(!gatehouse.has_said(bad), "{bad}");
    }
}

//! IPv6 on both sides.

use std::net::{IpAddr, Ipv6Addr, TcpStream};

use crate::rig::{Folder, Gatehouse, Origin, Wire};

#[test]
fn clients_and_servers_of_the_other_family() {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let origin = Origin::on(loopback);
    let text = format!(
        "[adapter.external]\naddresses = [\"127.0.0.1\", \"::1\"]\n\
         [adapter.internal]\naddresses = [\"127.0.0.1\", \"::1\"]\n\
         [pool.origin]\nservers = [\"[::1]:{}\"]\n\
         [site.a]\nnames = [\"a.test\", \"[::1]\"]\nlisteners = [\"http\"]\n\
         [[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n",
        origin.port()
    );
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    let mut server: Option<Wire> = None;
    for (address, host) in [("::1", "a.test"), ("127.0.0.1", "a.test"), ("::1", "[::1]:8080")] {
        let address: IpAddr = address.parse().unwrap();
        let mut client = Wire::plain(TcpStream::connect((address, gatehouse.http)).unwrap());
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.send(&request);
        let server = server.get_or_insert_with(|| origin.accept());
        server.expect(&request);
        server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.answer().text(), "ok");
    }
    let records = gatehouse.records(3);
    let clients: Vec<_> = records.iter().map(|record| record["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["::1", "127.0.0.1", "::1"]);
    assert_eq!(records[0]["server"], format!("[::1]:{}", origin.port()));
}

/// A name that the file itself resolves, to one address of each family; only one answers.
#[test]
fn a_server_name_with_several_addresses() {
    let origin = Origin::on(Ipv6Addr::LOCALHOST.into());
    let text = format!(
        "[adapter.internal]\naddresses = []\n\
         [resolver.hosts]\n\"fe01.test\" = [\"127.0.0.1\", \"::1\"]\n\
         [pool.origin]\nservers = [\"FE01.test:{}\"]\n",
        origin.port()
    );
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    for _ in 0..4 {
        let mut client = gatehouse.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut server = origin.accept();
        server.head();
        server.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(client.answer().text(), "ok");
    }
}

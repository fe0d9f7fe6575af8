//! Where clients are accepted: addresses, ports, devices, and the workers behind them.

use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::rig::{Folder, Gatehouse, Origin, Wire, named};

const OWN: &str = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
                   [[site.a.rule]]\npath = \"/\"\nrespond = { status = 200, body = \"own\" }\n";

fn start(text: &str) -> Gatehouse {
    Gatehouse::start(Folder::new(), &format!("{text}{OWN}"))
}

/// Whether somebody listens on the plain listener's port at `127.0.0.LAST`, and answers.
fn is_served(gatehouse: &Gatehouse, last: u8) -> bool {
    let address = SocketAddr::new(IpAddr::from([127, 0, 0, last]), gatehouse.http);
    let Ok(socket) = TcpStream::connect(address) else { return false };
    let mut client = Wire::plain(socket);
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.answer().text() == "own"
}

#[test]
fn a_listener_is_at_all_addresses_of_its_adapter_and_at_no_other() {
    let adapters = "[adapter.external]\naddresses = [\"127.0.0.2\", \"127.0.0.3\"]\n\
                    [adapter.internal]\naddresses = [\"127.0.0.4\"]\n";
    for (adapter, expected) in [
        ("", [false, true, true, false]),
        ("adapter = \"external\"\n", [false, true, true, false]),
        ("adapter = \"internal\"\n", [false, false, false, true]),
    ] {
        let gatehouse = start(&format!("{adapters}[listener.http]\nport = $http\n{adapter}"));
        let served = [1, 2, 3, 4].map(|last| is_served(&gatehouse, last));
        assert_eq!(served, expected, "{adapter}");
    }
}

/// A device of this machine that is not the loopback.
fn other_device() -> Option<String> {
    let devices = std::fs::read_dir("/sys/class/net").ok()?;
    let names = devices.filter_map(|device| device.ok()?.file_name().into_string().ok());
    names.filter(|name| name != "lo").min()
}

/// What comes over the loopback reaches what is bound to it, and nothing that is bound elsewhere;
/// the same on the way to servers.
#[test]
fn with_an_interface_sockets_are_bound_to_the_device() {
    let adapter = |role: &str, device: &str| {
        format!("[adapter.{role}]\ninterface = \"{device}\"\naddresses = [\"127.0.0.1\"]\n")
    };
    let site = "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\"]\n\
                [[site.a.rule]]\npath = \"/own\"\nrespond = { status = 200, body = \"own\" }\n\
                [[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n";
    let pool = format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", named("a"));
    let ask = |gatehouse: &Gatehouse| {
        let mut client = gatehouse.client();
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.answer().status()
    };
    let both = adapter("external", "lo") + &adapter("internal", "lo");
    let publish = |text: String| Gatehouse::start(Folder::new(), &(text + site));
    assert_eq!(ask(&publish(both + &pool)), 200);
    let Some(other) = other_device() else {
        println!("this machine has the loopback only: the other half cannot be seen here");
        return;
    };
    let gatehouse = start(&adapter("external", &other));
    assert!(TcpStream::connect(("127.0.0.1", gatehouse.http)).is_err(), "by {other} only");
    let origin = Origin::new();
    let pool = format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", origin.port());
    let time = "[timeouts]\nconnect = \"500ms\"\n";
    let gatehouse = publish(adapter("internal", &other) + &pool + time);
    let status = ask(&gatehouse);
    assert!([503, 504].contains(&status), "{status}");
    origin.expect_nobody();
}

/// The threads of the process that are workers.
fn workers(gatehouse: &Gatehouse) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", gatehouse.id())).unwrap();
    let names = tasks.filter_map(|task| {
        // Others of its threads may be ending.
        std::fs::read_to_string(task.unwrap().path().join("comm")).ok()
    });
    names.filter(|name| name.starts_with("worker-")).count()
}

#[test]
fn there_are_as_many_workers_as_the_file_says() {
    for count in [1, 3] {
        let gatehouse = start(&format!("[workers]\ncount = {count}\n"));
        assert_eq!(workers(&gatehouse), count);
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(workers(&start("[workers]\ncount = \"auto\"\n")), cores);
}

/// The answer to a request for `target` on the plain listener: its status and Location.
fn place(gatehouse: &Gatehouse, method: &str, target: &str) -> (u16, String) {
    let mut client = gatehouse.client();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n"));
    let answer = client.answer();
    (answer.status(), answer.fields("location").join(","))
}

#[test]
fn plain_listeners_point_to_https_where_the_site_wants_it_and_to_the_port_that_clients_see() {
    let text = |published: &str, redirect: &str| {
        format!(
            "[listener.https]\nport = $https\ntls = true\ncertificate = \"a\"\n{published}\n\
             [site.a]\nnames = [\"a.test\"]\nlisteners = [\"https\"]\ncertificate = \"a\"\n{redirect}\n\
             [[site.a.rule]]\npath = \"/\"\nrefuse = 404\n\
             [site.b]\nnames = [\"b.test\"]\nlisteners = [\"http\"]\n\
             [[site.b.rule]]\npath = \"/\"\nrefuse = 404\n"
        )
    };
    for redirect in ["", "redirect_http = false"] {
        let gatehouse = Gatehouse::start(Folder::new(), &text("", redirect));
        assert_eq!(place(&gatehouse, "GET", "/"), (421, String::new()), "{redirect}");
    }
    for published in ["", "published_port = 443", "published_port = 8443"] {
        let gatehouse = Gatehouse::start(Folder::new(), &text(published, "redirect_http = true"));
        let port = match published.strip_prefix("published_port = ") {
            None => format!(":{}", gatehouse.https),
            Some("443") => String::new(),
            Some(port) => format!(":{port}"),
        };
        let there = format!("https://a.test{port}/X%20y?z");
        for (method, status) in [("GET", 301), ("POST", 307)] {
            let seen = place(&gatehouse, method, "/X%20y?z");
            assert_eq!(seen, (status, there.clone()), "{published}");
        }
    }
}

//! Servers by name: DNS decides where requests go, and its faults never stop anything.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::rig::name_server::{NameServer, Script, fails, gives, silence};
use crate::rig::reply::{Reply, Rr, asked, reply};
use crate::rig::{Folder, Gatehouse, Origin, SYSTEM, Wire, expect_within, free_port, until};

const ASKED: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
const ONE: [u8; 4] = [127, 0, 0, 1];
const TWO: [u8; 4] = [127, 0, 0, 2];

/// Less than anything that waits for a name server takes, be it a start or a reload.
const AT_ONCE: Duration = Duration::from_millis(900);

/// The usual site before a server of this name and port, which these name servers know.
fn text(servers: &[SocketAddr], port: u16) -> String {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    format!(
        "[resolver]\nservers = [{}]\n\
         [pool.origin]\nservers = [\"fe01.test:{port}\"]\nbalance = \"round-robin\"\n",
        servers.join(", ")
    )
}

fn publish(names: &NameServer, origin: &Origin) -> Gatehouse {
    Gatehouse::start(Folder::new(), &text(&[names.address()], origin.port()))
}

/// Another origin, with the same port at another address.
fn twin(origin: &Origin) -> Origin {
    Origin::at(SocketAddr::new(IpAddr::from(TWO), origin.port()))
}

#[track_caller]
fn exchange(client: &mut Wire, server: &mut Wire, request: &str) {
    client.send(request);
    server.expect(request);
    server.send(DONE);
    assert_eq!(client.answer().text(), "done");
}

/// A request that goes to `origin` over a new connection.
#[track_caller]
fn exchange_at(gatehouse: &Gatehouse, origin: &Origin) -> Wire {
    let mut client = gatehouse.client();
    client.send(ASKED);
    let mut server = origin.accept();
    server.expect(ASKED);
    server.send(DONE);
    assert_eq!(client.answer().text(), "done");
    server
}

#[track_caller]
fn expect_status(gatehouse: &Gatehouse, status: u16) {
    let mut client = gatehouse.client();
    client.send(ASKED);
    assert_eq!(client.answer().status(), status);
}

#[test]
fn another_address_is_followed_when_the_old_one_expires() {
    let (names, first) = (NameServer::new(gives(&[ONE])), Origin::new());
    let second = twin(&first);
    let gatehouse = publish(&names, &first);
    let who = names.address();
    gatehouse.expect_said(&format!(": according to {who}, 127.0.0.1 came"));
    // Somebody is logged in at the old address.
    let mut user = gatehouse.client();
    let login = "GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n";
    user.send(login);
    let mut own = first.accept();
    own.expect(login);
    own.send(DONE);
    assert_eq!(user.answer().text(), "done");
    let _idle = exchange_at(&gatehouse, &first);

    names.say(gives(&[TWO]));
    let port = first.port();
    let subject = format!("fe01.test:{port}: according to {who}, ");
    gatehouse.expect_said(&format!("{subject}127.0.0.2 came and 127.0.0.1 went"));
    let _at_second = exchange_at(&gatehouse, &second);
    // Whoever is logged in stays where he is.
    exchange(&mut user, &mut own, ASKED);
    first.expect_nobody();
    // It is no other Config: the next one has the next number.
    let reloaded = gatehouse.reload().expect_success();
    assert!(reloaded.text().contains("generation 2"), "{}", reloaded.text());
}

#[test]
fn connections_to_addresses_that_stay_are_kept() {
    let (names, first) = (NameServer::new(gives(&[ONE])), Origin::new());
    let second = twin(&first);
    let gatehouse = publish(&names, &first);
    let mut kept = exchange_at(&gatehouse, &first);
    names.say(gives(&[TWO, ONE]));
    gatehouse.expect_said("127.0.0.2 came");
    // In turn: one goes to each, whichever is the first.
    let (mut one, mut other) = (gatehouse.client(), gatehouse.client());
    one.send(ASKED);
    other.send(ASKED);
    let mut fresh = second.accept();
    for server in [&mut kept, &mut fresh] {
        server.expect(ASKED);
        server.send(DONE);
    }
    assert_eq!((one.answer().text(), other.answer().text()), ("done".into(), "done".into()));
    first.expect_nobody();
}

/// It costs no look at the system's files, and nothing that is wrong with them meanwhile matters.
#[test]
fn another_address_is_followed_without_reading_the_systems_authorities_again() {
    let (names, first, folder) = (NameServer::new(gives(&[ONE])), Origin::new(), Folder::new());
    let second = twin(&first);
    std::fs::copy(folder.at("ca.pem"), folder.at(SYSTEM)).unwrap();
    let tls = "[pool.origin.tls]\nca = \"system\"\n";
    let gatehouse = Gatehouse::start(folder, &(text(&[names.address()], first.port()) + tls));
    std::fs::remove_file(gatehouse.folder().at(SYSTEM)).unwrap();
    names.say(gives(&[TWO]));
    gatehouse.expect_said("127.0.0.2 came and 127.0.0.1 went");
    gatehouse.client().send(ASKED);
    // Whoever begins to talk TLS there has taken it up.
    drop(second.accept());
    first.expect_nobody();
    let refused = gatehouse.reload();
    assert!(refused.err.contains("pool origin: TLS cannot be set up: "), "{}", refused.err);
}

fn check_outlived(wrong: Script, words: &str) {
    let (names, origin) = (NameServer::new(gives(&[ONE])), Origin::new());
    let gatehouse = publish(&names, &origin);
    let mut server = exchange_at(&gatehouse, &origin);
    names.say(wrong);
    let said = gatehouse.expect_said(words);
    assert!(said.ends_with("; the addresses from before stay in use"), "{said}");
    exchange(&mut gatehouse.client(), &mut server, ASKED);
    // A reload meanwhile waits for nobody, and loses nothing.
    expect_within(AT_ONCE, || drop(gatehouse.reload().expect_success()));
    exchange(&mut gatehouse.client(), &mut server, ASKED);
    // Whoever has mended DNS need not wait until it is asked again.
    names.say(gives(&[ONE]));
    gatehouse.reload().expect_success();
    gatehouse.expect_said("answers again; the addresses are those from before");
}

/// Side by side, since each waits until what is known has to be asked for again.
#[test]
fn good_addresses_outlive_what_goes_wrong_later() {
    std::thread::scope(|scope| {
        scope.spawn(|| check_outlived(fails(3), "says that the name does not exist"));
        scope.spawn(|| check_outlived(fails(2), "fails to find out (SERVFAIL)"));
        scope.spawn(|| check_outlived(silence(), "no answer from 127.0.0.1"));
    });
}

#[test]
fn a_name_server_that_comes_later_than_the_start() {
    let (port, origin) = (free_port(), Origin::new());
    let at = SocketAddr::from((ONE, port));
    let gatehouse = Gatehouse::start(Folder::new(), &text(&[at], origin.port()));
    gatehouse.expect_said(&format!(
        "fe01.test:{}: 127.0.0.1:{port} cannot be asked: Connection refused; pool origin has no \
         address and answers 503; `nslookup -port={port} fe01.test 127.0.0.1` asks the same",
        origin.port()
    ));
    expect_status(&gatehouse, 503);
    assert_eq!(gatehouse.records(1)[0]["failure"], "no_server");
    let _names = NameServer::on(port, gives(&[ONE]));
    gatehouse.expect_said("127.0.0.1 came");
    exchange_at(&gatehouse, &origin);
}

#[test]
fn a_name_that_is_new_in_a_reload() {
    let (names, origin) = (NameServer::new(gives(&[ONE])), Origin::new());
    let literal = format!("[pool.origin]\nservers = [\"127.0.0.1:{}\"]\n", origin.port());
    let gatehouse = Gatehouse::start(Folder::new(), &literal);
    gatehouse.change(&text(&[names.address()], origin.port()));
    exchange_at(&gatehouse, &origin);
    // The file's own hosts come first.
    let asked = names.questions();
    let hosts = "[resolver.hosts]\n\"fe01.test\" = [\"127.0.0.2\"]\n";
    let second = twin(&origin);
    gatehouse.change(&(text(&[names.address()], origin.port()) + hosts));
    exchange_at(&gatehouse, &second);
    assert_eq!(names.questions(), asked);
}

/// What a refused file would have wanted is forgotten, and what was wanted before is not.
#[test]
fn a_reload_that_is_refused() {
    let (names, first) = (NameServer::new(gives(&[ONE])), Origin::new());
    let second = twin(&first);
    let taken = Origin::new();
    let good = text(&[names.address()], first.port());
    let gatehouse = Gatehouse::start(Folder::new(), &good);
    let silent = NameServer::new(silence());
    let other = text(&[silent.address()], first.port()).replace("fe01", "fe02");
    gatehouse.rewrite(&format!("{other}[listener.more]\nport = {}\n", taken.port()));
    let refused = gatehouse.reload();
    assert!(
        !refused.status.success() && refused.err.contains("another program"),
        "{}",
        refused.err
    );
    exchange_at(&gatehouse, &first);
    names.say(gives(&[TWO]));
    gatehouse.expect_said("127.0.0.2 came and 127.0.0.1 went");
    exchange_at(&gatehouse, &second);
    assert!(!gatehouse.has_said("fe02"));
}

#[test]
fn an_answer_that_is_cut_is_fetched_over_tcp() {
    let mut whole = gives(&[ONE]);
    let names = NameServer::new(Box::new(move |question, tcp| {
        if tcp {
            return whole(question, tcp);
        }
        vec![reply(question, &Reply { is_cut: true, ..Reply::default() })]
    }));
    let origin = Origin::new();
    // By the internal adapter, either way.
    let adapter = "[adapter.internal]\ninterface = \"lo\"\naddresses = [\"127.0.0.7\"]\n";
    let text = text(&[names.address()], origin.port()) + adapter;
    exchange_at(&Gatehouse::start(Folder::new(), &text), &origin);
    assert_eq!(names.clients(), [Some(IpAddr::from([127, 0, 0, 7])); 2]);
}

#[test]
fn a_server_that_has_ipv6_alone() {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let origin = Origin::on(loopback);
    let names = NameServer::new(Box::new(|question, _| {
        let (name, kind) = asked(question);
        let six = Rr::Aaaa(&name, 60, Ipv6Addr::LOCALHOST.octets());
        let records = vec![if kind == 28 { six } else { Rr::Soa(60, 60) }];
        vec![reply(question, &Reply { records, ..Reply::default() })]
    }));
    let both = "[adapter.internal]\naddresses = [\"127.0.0.1\", \"::1\"]\n";
    let text = text(&[names.address()], origin.port()) + both;
    exchange_at(&Gatehouse::start(Folder::new(), &text), &origin);
}

#[test]
fn the_second_name_server_answers_for_a_silent_first() {
    let (silent, names) = (NameServer::new(silence()), NameServer::new(gives(&[ONE])));
    let origin = Origin::new();
    let servers = [silent.address(), names.address()];
    let gatehouse = Gatehouse::start(Folder::new(), &text(&servers, origin.port()));
    // Ready means that the name is known.
    exchange_at(&gatehouse, &origin);
    assert!(silent.questions() > 0);
}

#[test]
fn nobody_else_is_believed() {
    let origin = Origin::new();
    let forger = twin(&origin);
    let mut honest = gives(&[ONE]);
    let names = NameServer::new(Box::new(move |question, tcp| {
        let (name, kind) = asked(question);
        let records = vec![Rr::A(&name, 3600, TWO)];
        let forged = reply(question, &Reply { records, ..Reply::default() });
        let changed = |at: usize, byte: u8| {
            let mut bytes = forged.clone();
            bytes[at] ^= byte;
            bytes
        };
        let other_kind = 12 + name.len() + 2 + 1;
        let about_another = Reply { records: vec![Rr::A("x.test", 9, TWO)], ..Reply::default() };
        let mut all = vec![
            Vec::new(),
            forged[..7].to_vec(),
            changed(0, 0x55),          // another number
            changed(2, 0x80),          // a question
            changed(13, 0x01),         // another name
            changed(other_kind, 0x03), // another type
        ];
        if kind == 1 && !tcp {
            // Its letters are not those that were sent: what it says is asked for over TCP.
            all.push(changed(13, 0x20));
        } else {
            all.push(reply(question, &about_another));
        }
        if tcp { honest(question, tcp) } else { all }
    }));
    let gatehouse = publish(&names, &origin);
    exchange_at(&gatehouse, &origin);
    forger.expect_nobody();
}

#[test]
fn a_name_that_leads_back_to_ourselves() {
    let names = NameServer::new(gives(&[ONE]));
    let text = text(&[names.address()], 1).replace("fe01.test:1", "fe01.test:$http");
    let gatehouse = Gatehouse::start(Folder::new(), &text);
    let said = gatehouse.expect_said("is left out, since Gatehouse itself listens there");
    assert!(said.contains(&format!("127.0.0.1:{} is left out", gatehouse.http)), "{said}");
    expect_status(&gatehouse, 503);
}

/// Who ends a process that waits for its first answers waits for nobody.
#[test]
fn an_end_before_the_start_has_ended() {
    expect_within(AT_ONCE, || {
        let names = NameServer::new(silence());
        let mut gatehouse = Gatehouse::begin(Folder::new(), &text(&[names.address()], 1));
        until("the first question", || (names.questions() > 0).then_some(()));
        gatehouse.stop();
    });
}

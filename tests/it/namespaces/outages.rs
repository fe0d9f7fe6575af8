//! An adapter that goes down, or loses its address, and comes back while the proxy runs.

use std::time::Duration;

use super::network::{
    Bound, EXTERNAL, EXTERNAL_LINES, INTERNAL, INTERNAL_LINES, Network, SERVER, at, for_both,
};
use crate::rig::{End, Gatehouse, Origin, Wire, named_at, until};

const ASKED: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const LOGIN: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: NTLM x\r\n\r\n";
const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// How long a client tries before it looks again whether the box is there.
const TRY: Duration = Duration::from_millis(300);

/// A pool with one server. What is silent is given up after two seconds instead of two minutes.
pub(super) fn pool(server: &str, port: u16) -> String {
    format!(
        "[timeouts]\nconnect = \"500ms\"\ntcp_keepalive = \"2s\"\n\
         [pool.origin]\nservers = [\"{}\"]\n",
        at(server, port)
    )
}

/// Whether a client outside is answered there.
fn is_answered(network: &Network, gatehouse: &Gatehouse, address: &str) -> bool {
    let Ok(socket) = network.outside.connect_within(at(address, gatehouse.http), TRY) else {
        return false;
    };
    let mut client = Wire::plain(socket);
    // What it is answered is another matter.
    client.send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n");
    client.answer().status() == 421
}

#[track_caller]
pub(super) fn expect_answered(network: &Network, gatehouse: &Gatehouse) {
    for address in EXTERNAL {
        let look = || is_answered(network, gatehouse, address).then_some(());
        until(&format!("an answer at {address}"), look);
    }
}

#[track_caller]
fn expect_unanswered(network: &Network, gatehouse: &Gatehouse) {
    for address in EXTERNAL {
        assert!(!is_answered(network, gatehouse, address), "at {address}");
    }
}

/// The status of a client's first request.
pub(super) fn status(network: &Network, gatehouse: &Gatehouse) -> u16 {
    let mut client = network.client(gatehouse);
    client.send(ASKED);
    client.answer().status()
}

/// Takes something of the external adapter away and gives it back.
#[track_caller]
fn check_external(away: &str) {
    for bound in [Bound::ToDevices, Bound::ByAddress] {
        let Some(network) = Network::new() else { return };
        let port = network.inside.run(|| named_at("a", at(SERVER[0], 0)));
        let gatehouse = network.start(bound, &pool(SERVER[0], port));
        let mut client = network.client(&gatehouse);
        client.send(ASKED);
        assert_eq!(client.answer().status(), 200);
        expect_answered(&network, &gatehouse);
        network.the_box.ip(away);
        expect_unanswered(&network, &gatehouse);
        network.the_box.ip(EXTERNAL_LINES);
        expect_answered(&network, &gatehouse);
        assert_eq!(status(&network, &gatehouse), 200);
    }
}

#[test]
fn clients_are_answered_again_when_the_external_adapter_comes_back() {
    check_external("link set ext0 down");
}

#[test]
fn clients_are_answered_again_when_the_external_addresses_come_back() {
    check_external("addr del 203.0.113.10/24 dev ext0\naddr del 2001:db8:1::10/64 dev ext0");
}

/// A client whose connection was silent meanwhile goes on as if nothing had been.
#[test]
fn a_silent_client_outlives_an_adapter_that_is_away_for_a_moment() {
    let Some(network) = Network::new() else { return };
    let port = network.inside.run(|| named_at("a", at(SERVER[0], 0)));
    let text = pool(SERVER[0], port).replace("\"2s\"", "\"120s\"");
    let gatehouse = network.start(Bound::ToDevices, &text);
    let mut client = network.client(&gatehouse);
    for _ in 0..2 {
        client.send(ASKED);
        assert_eq!(client.answer().status(), 200);
        network.the_box.ip("link set ext0 down\nlink set int0 down");
        network.the_box.ip(EXTERNAL_LINES);
        network.the_box.ip(INTERNAL_LINES);
    }
    client.send(ASKED);
    // By the same upstream connection too.
    assert_eq!(client.answer().text(), format!("a {} 0", INTERNAL[0]));
}

/// Takes something of the internal adapter away and gives it back.
#[track_caller]
fn check_internal(family: usize, away: &str) {
    let Some(network) = Network::new() else { return };
    let server = SERVER[family];
    let origin = network.inside.run(|| Origin::at(at(server, 0)));
    let gatehouse = network.start(Bound::ToDevices, &pool(server, origin.port()));
    let [mut poll, mut other] = [(); 2].map(|()| network.client(&gatehouse));
    poll.send(ASKED);
    let mut polled = origin.accept();
    polled.expect(ASKED);
    other.send(ASKED);
    let mut idle = origin.accept();
    idle.expect(ASKED);
    idle.send(DONE);
    assert_eq!(other.answer().text(), "done");

    network.the_box.ip(away);
    // The one waits for its answer, the other is sent over a connection that nobody ends.
    other.send(ASKED);
    for client in [&mut poll, &mut other] {
        assert_eq!(client.answer().status(), 503);
    }
    assert_eq!(status(&network, &gatehouse), 503);
    for record in &gatehouse.records(4)[1..] {
        assert_eq!(record["failure"], "upstream_unreachable", "{record}");
        assert_eq!(record["fault_of"], "upstream");
    }
    gatehouse.expect_said("there is no way to it");

    network.the_box.ip(INTERNAL_LINES);
    // It is tried again before long.
    let (mut client, mut server) = until("a request that reaches the server", || {
        let mut client = network.client(&gatehouse);
        client.send(ASKED);
        let first = until("the server, or an answer", || match origin.look() {
            None => client.has_bytes().then_some(None),
            some => Some(some),
        });
        first.map(|server| (client, server))
    });
    server.expect(ASKED);
    server.send(DONE);
    assert_eq!(client.answer().text(), "done");
    origin.expect_nobody();
}

/// Requests under way, idle connections and new ones: all end with a word, none hangs.
#[test]
fn requests_fail_with_a_word_while_the_internal_adapter_is_down_and_reach_servers_afterwards() {
    for_both(|family| check_internal(family, "link set int0 down"));
}

#[test]
fn requests_fail_with_a_word_while_the_internal_address_is_gone_and_reach_servers_afterwards() {
    let away = ["addr del 172.25.33.40/24 dev int0", "addr del fd25::40/64 dev int0"];
    for_both(|family| check_internal(family, away[family]));
}

/// Who is logged in over a connection that is dead is told so by the end of his own, whether he
/// waits for an answer or not.
#[test]
fn users_who_are_logged_in_do_not_hang_when_the_internal_adapter_goes_down() {
    let Some(network) = Network::new() else { return };
    let origin = network.inside.run(|| Origin::at(at(SERVER[0], 0)));
    let gatehouse = network.start(Bound::ToDevices, &pool(SERVER[0], origin.port()));
    let mut users = [(); 2].map(|()| network.client(&gatehouse));
    let _servers = users.each_mut().map(|user| {
        user.send(LOGIN);
        let mut server = origin.accept();
        server.expect(LOGIN);
        server.send(DONE);
        assert_eq!(user.answer().text(), "done");
        server
    });
    network.the_box.ip("link set int0 down");
    let [silent, busy] = &mut users;
    busy.send(ASKED);
    assert_eq!(busy.expect_end(), End::Closed);
    assert_eq!(silent.expect_end(), End::Closed);
    assert_eq!(gatehouse.records(3)[2]["failure"], "pin_lost");
}

/// A driver that is loaded again, a card that is pulled, a bond or VLAN that is made again: the
/// adapter has its old name, and is another one to the kernel.
#[test]
fn clients_are_answered_again_when_the_external_adapter_was_taken_out_and_put_in() {
    let Some(network) = Network::new() else { return };
    let port = network.inside.run(|| named_at("a", at(SERVER[0], 0)));
    let gatehouse = network.start(Bound::ToDevices, &pool(SERVER[0], port));
    expect_answered(&network, &gatehouse);
    network.the_box.ip("link del ext0");
    gatehouse.expect_said(&format!(
        "no clients are accepted at 203.0.113.10:{}: there is no network adapter ext0",
        gatehouse.http
    ));
    network.plug_in_external();
    expect_answered(&network, &gatehouse);
    gatehouse.expect_said("the adapter ext0 is back");
    assert_eq!(status(&network, &gatehouse), 200);
}

#[test]
fn servers_are_asked_again_when_the_internal_adapter_was_taken_out_and_put_in() {
    let Some(network) = Network::new() else { return };
    let port = network.inside.run(|| named_at("a", at(SERVER[0], 0)));
    let admin = "[admin]\nsocket = \"./admin.sock\"\nadapter = \"internal\"\nport = 9443\n";
    let gatehouse = network.start(Bound::ToDevices, &(pool(SERVER[0], port) + admin));
    let expect_page = || {
        until("the page for administrators", || {
            network.inside.connect_within(at(INTERNAL[0], 9443), TRY).ok()
        });
    };
    expect_page();
    assert_eq!(status(&network, &gatehouse), 200);
    network.the_box.ip("link del int0");
    // An idle connection that nobody ends may be tried first.
    for record in 0..2 {
        assert_eq!(status(&network, &gatehouse), 503);
        assert_eq!(gatehouse.records(record + 2)[record + 1]["failure"], "upstream_unreachable");
    }
    network.plug_in_internal();
    until("an answer", || (status(&network, &gatehouse) == 200).then_some(()));
    expect_page();
}

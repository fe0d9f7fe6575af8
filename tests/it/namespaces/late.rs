//! A box whose addresses come later than the proxy: DHCP, slow cables, IPv6 that looks for doubles.

use super::network::{Bound, EXTERNAL_LINES, INTERNAL_LINES, Network, SERVER, at, for_both};
use super::outages::{expect_answered, pool, status};
use crate::rig::{named_at, until};

#[test]
fn the_proxy_starts_before_the_addresses_are_there_and_answers_when_they_are() {
    for_both(|family| {
        let Some(network) = Network::bare() else { return };
        let bound = [Bound::ByAddress, Bound::ToDevices][family];
        let port = network.inside.run(|| named_at("a", at(SERVER[family], 0)));
        let gatehouse = network.start(bound, &pool(SERVER[family], port));
        // With the kernel's look for doubles, which takes the new address a second or two.
        network.the_box.ip(&EXTERNAL_LINES.replace(" nodad", ""));
        expect_answered(&network, &gatehouse);
        // The way to the company is not there yet.
        assert_eq!(status(&network, &gatehouse), 503);
        assert_eq!(gatehouse.records(3).pop().unwrap()["failure"], "upstream_unreachable");
        network.the_box.ip(&INTERNAL_LINES.replace(" nodad", ""));
        until("an answer", || (status(&network, &gatehouse) == 200).then_some(()));
    });
}

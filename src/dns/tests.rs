//! Names, answers and time on a table: nothing here waits.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::reply::{Reply, Rr};

mod book;
mod message;

const NAME: &str = "fe01.test";

pub(super) fn dice(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

fn v4(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn a(last: u8, ttl: u32) -> Rr<'static> {
    Rr::A(NAME, ttl, [10, 0, 0, last])
}

fn records(records: &[Rr<'static>]) -> Reply<'static> {
    Reply { records: records.to_vec(), ..Reply::default() }
}

fn code(code: u8) -> Reply<'static> {
    Reply { code, ..Reply::default() }
}

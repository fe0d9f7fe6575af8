//! Who is let in: clients over all workers and of each address, and handshakes under way.
//!
//! All counts are exact over all workers. They are touched when a client comes and when it goes,
//! and given back by guards, on every way out.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use crate::exchange::{ClientFault, Failure, ProxyFault};
use crate::observe::Seldom;

use super::worker::Shared;

/// Clients beyond a limit that are told so at a time, over all workers; others are just closed.
const TOLD_MAX: usize = 64;

/// Parts of the table of addresses, so that workers seldom meet at one lock.
const SHARDS: usize = 64;

/// Bits of an IPv6 address that one customer of a provider has to himself.
const V6_PREFIX_BITS: u32 = 64;

/// Clients that are not told apart by their addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Household {
    V4(u32),
    /// The first half of the address.
    V6(u64),
}

impl Household {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.into()),
            IpAddr::V6(v6) => Self::V6((u128::from(v6) >> V6_PREFIX_BITS) as u64),
        }
    }
}

/// Clients of some of the addresses; on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<HashMap<Household, u32, RandomState>>);

impl Shard {
    /// Nothing panics under the lock that could leave a count half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<Household, u32, RandomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everybody who is connected, over all workers.
pub struct Crowd {
    clients: AtomicUsize,
    told: AtomicUsize,
    handshakes: AtomicUsize,
    hasher: RandomState,
    shards: Box<[Shard]>,
    /// When it was last said that handshakes are refused.
    pub(super) handshakes_said: Seldom,
}

impl Default for Crowd {
    fn default() -> Self {
        Self {
            clients: AtomicUsize::new(0),
            told: AtomicUsize::new(0),
            handshakes: AtomicUsize::new(0),
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            handshakes_said: Seldom::default(),
        }
    }
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crowd").field("clients", &self.clients).finish_non_exhaustive()
    }
}

/// One more, unless there are `most` already.
fn enter(count: &AtomicUsize, most: usize) -> bool {
    let more = |count| (count < most).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl Crowd {
    /// Clients that are let in now, over all workers.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }

    /// Handshakes under way now.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Nobody is connected, is being told that there is no place, or shakes hands.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = [&self.clients, &self.told, &self.handshakes];
        counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
            && self.shards.iter().all(|shard| shard.lock().is_empty())
    }

    fn shard(&self, household: Household) -> &Shard {
        let index = self.hasher.hash_one(household) as usize % SHARDS;
        &self.shards[index]
    }

    fn enter_from(&self, household: Household, most: u32) -> bool {
        let mut counts = self.shard(household).lock();
        let count = counts.entry(household).or_insert(0);
        let fits = *count < most;
        *count += u32::from(fits);
        fits
    }

    fn leave_from(&self, household: Household) {
        let mut counts = self.shard(household).lock();
        if let Some(count) = counts.get_mut(&household) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&household);
            }
        }
    }
}

/// How many are let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) clients_max: usize,
    pub(super) per_address_max: u32,
}

/// A client's place among the others, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    shared: Arc<Shared>,
    /// `None`: one who is only told that there is no place.
    household: Option<Household>,
}

impl Seat {
    /// Lets a client in, or says why not. It has a seat all the same if it is to be told so; not if
    /// too many are being told already. With a `trouble` of ours nobody is let in.
    pub(super) fn take(
        shared: &Arc<Shared>,
        address: IpAddr,
        bounds: Bounds,
        trouble: Option<ProxyFault>,
    ) -> (Option<Self>, Option<Failure>) {
        let crowd = &shared.crowd;
        let household = Household::of(address);
        let failure = if let Some(fault) = trouble {
            Failure::Proxy(fault)
        } else if !enter(&crowd.clients, bounds.clients_max) {
            Failure::Proxy(ProxyFault::TooManyClients)
        } else if crowd.enter_from(household, bounds.per_address_max) {
            return (Some(Self { shared: Arc::clone(shared), household: Some(household) }), None);
        } else {
            crowd.clients.fetch_sub(1, Ordering::Relaxed);
            Failure::Client(ClientFault::TooManyFromAddress)
        };
        let told = enter(&crowd.told, TOLD_MAX);
        (told.then(|| Self { shared: Arc::clone(shared), household: None }), Some(failure))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let crowd = &self.shared.crowd;
        match self.household {
            Some(household) => {
                crowd.leave_from(household);
                crowd.clients.fetch_sub(1, Ordering::Relaxed);
            }
            None => {
                crowd.told.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// A handshake under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Handshake(Arc<Shared>);

impl Handshake {
    /// Begins one, unless `most` are under way.
    pub(super) fn begin(shared: &Arc<Shared>, most: u32) -> Option<Self> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        enter(&shared.crowd.handshakes, most).then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.crowd.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(left: &str, right: &str, same: bool) {
        let of = |text: &str| Household::of(text.parse().unwrap());
        assert_eq!(of(left) == of(right), same, "{left} {right}");
    }

    #[test]
    fn who_counts_as_the_same() {
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true);
        check("2001:db8:1:2::1", "2001:db8:1:3::1", false);
        check("::c000:201", "192.0.2.1", false);
    }

    /// Threads that come and go at random never are more than the limit, and all places come back.
    #[test]
    fn counts_are_exact_over_threads() {
        const MOST: u32 = 5;
        let crowd = Crowd::default();
        let now: Vec<AtomicUsize> = (0..3).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..4_u32 {
                let (crowd, now) = (&crowd, &now);
                scope.spawn(move || {
                    let mut held = Vec::new();
                    let mut dice = 0x9e37_79b9_u32.wrapping_mul(thread + 1);
                    for _ in 0..20_000 {
                        dice ^= dice << 13;
                        dice ^= dice >> 17;
                        dice ^= dice << 5;
                        let household = dice % 3;
                        if held.len() < 4 && crowd.enter_from(Household::V4(household), MOST) {
                            let before = now[household as usize].fetch_add(1, Ordering::SeqCst);
                            assert!(before < MOST as usize);
                            held.push(household);
                        } else if let Some(household) = held.pop() {
                            now[household as usize].fetch_sub(1, Ordering::SeqCst);
                            crowd.leave_from(Household::V4(household));
                        }
                    }
                    for household in held {
                        now[household as usize].fetch_sub(1, Ordering::SeqCst);
                        crowd.leave_from(Household::V4(household));
                    }
                });
            }
        });
        assert!(crowd.shards.iter().all(|shard| shard.lock().is_empty()), "nobody is left");
    }

    #[test]
    fn no_more_than_the_limit() {
        let count = AtomicUsize::new(0);
        let entered = (0..5).map(|_| enter(&count, 3)).collect::<Vec<_>>();
        assert_eq!(entered, [true, true, true, false, false]);
        count.fetch_sub(1, Ordering::Relaxed);
        assert!(enter(&count, 3) && !enter(&count, 3));
    }
}

//! Upstream connections that wait for the next exchange. They belong to the worker; none of them
//! has ever carried anything of a logged-in client.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::task::{Context, Waker};

use crate::net::{Moment, Socket};
use crate::pool::Shelf;

use super::stream::Stream;

/// Hosts that one server's idle connections are kept for, where they are told apart.
const HOSTS_MAX: usize = 64;

/// Equal connections, the one that was used last on top.
type Pile<S> = Vec<Waiting<S>>;

/// The pile of a shelf.
struct Fixed<S> {
    shelf: Shelf,
    pile: Pile<S>,
    /// Somebody has been here since the last sweep, and may come again.
    used: bool,
}

/// Connections that were verified by the name that their requests asked for.
type ByHost<S> = HashMap<Vec<u8>, Pile<S>>;

struct Waiting<S> {
    stream: Stream<S>,
    until: Moment,
}

pub(super) struct Idle<S> {
    /// Sorted by shelf. Few at a time, of numbers that grow for ever.
    fixed: RefCell<Vec<Fixed<S>>>,
    /// By shelf and the request's own Host, where a pool verifies that.
    named: RefCell<HashMap<Shelf, ByHost<S>>>,
}

impl<S> Default for Idle<S> {
    fn default() -> Self {
        Self { fixed: RefCell::default(), named: RefCell::default() }
    }
}

impl<S> fmt::Debug for Idle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Idle(..)")
    }
}

impl<S: Socket> Idle<S> {
    /// The one that was used last and has not said or ended anything since.
    pub(super) fn take(
        &self,
        shelf: Shelf,
        host: Option<&[u8]>,
        cx: &mut Context<'_>,
    ) -> Option<Stream<S>> {
        self.with_pile(shelf, host, |pile| {
            while let Some(waiting) = pile.pop() {
                // The wait was armed when it was given back, so that its end has been noticed.
                let stream = &waiting.stream;
                if stream.poll_spoken(cx).is_pending() && !stream.holds_bytes() {
                    return Some(waiting.stream);
                }
            }
            None
        })
    }

    /// Whoever needs it next may have it, until `until`; it ends here if `most` wait already.
    pub(super) fn give_back(
        &self,
        stream: Stream<S>,
        (shelf, host): (Shelf, Option<&[u8]>),
        (until, most): (Moment, usize),
        cx: &mut Context<'_>,
    ) {
        if stream.poll_spoken(cx).is_ready() || self.too_many_hosts(shelf, host) {
            return;
        }
        self.with_pile(shelf, host, |pile| {
            if pile.len() < most {
                pile.push(Waiting { stream, until });
            }
        });
    }

    /// Clients choose the hosts, so their number is bounded.
    fn too_many_hosts(&self, shelf: Shelf, host: Option<&[u8]>) -> bool {
        let Some(host) = host else { return false };
        let named = self.named.borrow();
        let by_host = named.get(&shelf);
        by_host.is_some_and(|hosts| hosts.len() >= HOSTS_MAX && !hosts.contains_key(host))
    }

    fn with_pile<T>(
        &self,
        shelf: Shelf,
        host: Option<&[u8]>,
        story: impl FnOnce(&mut Pile<S>) -> T,
    ) -> T {
        if let Some(host) = host {
            let mut named = self.named.borrow_mut();
            let by_host = named.entry(shelf).or_default();
            if let Some(pile) = by_host.get_mut(host) {
                return story(pile);
            }
            return story(by_host.entry(host.to_vec()).or_default());
        }
        let mut fixed = self.fixed.borrow_mut();
        let place = match fixed.binary_search_by_key(&shelf, |fixed| fixed.shelf) {
            Ok(place) => place,
            Err(place) => {
                fixed.insert(place, Fixed { shelf, pile: Vec::new(), used: true });
                place
            }
        };
        let fixed = &mut fixed[place];
        fixed.used = true;
        story(&mut fixed.pile)
    }

    /// Ends those that waited too long, were ended by the server, or spoke unasked; and forgets
    /// places that nobody comes to any more.
    pub(super) fn sweep(&self, now: Moment) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut stays = |waiting: &Waiting<S>| {
            waiting.until > now && waiting.stream.poll_spoken(&mut cx).is_pending()
        };
        self.fixed.borrow_mut().retain_mut(|fixed| {
            fixed.pile.retain(&mut stays);
            std::mem::take(&mut fixed.used) || !fixed.pile.is_empty()
        });
        self.named.borrow_mut().retain(|_, by_host| {
            by_host.retain(|_, pile| {
                pile.retain(&mut stays);
                !pile.is_empty()
            });
            !by_host.is_empty()
        });
    }

    /// Ends the oldest connection, to free a descriptor; whether there was one.
    pub(super) fn drop_one(&self) -> bool {
        let mut fixed = self.fixed.borrow_mut();
        let mut named = self.named.borrow_mut();
        let fixed = fixed.iter_mut().map(|fixed| &mut fixed.pile);
        let piles = fixed.chain(named.values_mut().flat_map(HashMap::values_mut));
        let oldest = piles.filter(|pile| !pile.is_empty()).min_by_key(|pile| pile[0].until);
        oldest.map(|pile| pile.remove(0)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::{Dial, Machine, Ring};
    use crate::pool::Registry;

    /// DNS that moves a name for ever leaves nothing behind; a place that is in use stays.
    #[test]
    fn places_that_nobody_comes_to_are_forgotten() {
        let idle: Idle<<Ring as Machine>::Socket> = Idle::default();
        let mut registry = Registry::default();
        let mut cx = Context::from_waker(Waker::noop());
        let mut shelf = |number: u16| {
            let to = ([10, 0, 0, 1], number).into();
            let dial = Dial { to, from: None, interface: None, keepalive: Duration::ZERO };
            registry.shelf(&dial, None, (None, None))
        };
        let usual = shelf(0);
        for number in 1..5_000 {
            for shelf in [shelf(number), usual] {
                assert!(idle.take(shelf, None, &mut cx).is_none());
            }
            idle.sweep(Moment(0));
            assert!(idle.fixed.borrow().len() <= 3);
        }
        idle.sweep(Moment(0));
        let left: Vec<Shelf> = idle.fixed.borrow().iter().map(|fixed| fixed.shelf).collect();
        assert_eq!(left, [usual; 0]);
    }
}

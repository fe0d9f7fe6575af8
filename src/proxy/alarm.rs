//! Deadlines of connections: one table per worker, looked through once per tick.
//!
//! Setting a deadline is a store; nothing is armed, moved or cancelled. A connection whose deadline
//! passes is woken and sees it by itself.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::net::{Moment, Ticks};

/// Never.
pub(super) const NEVER: Moment = Moment(u64::MAX);

/// Which of a connection's two deadlines: its two directions wait side by side. Whoever stops to
/// wait for one clears it, else its passing would wake the connection at every tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// What the client owes.
    Client = 0,
    /// What the server owes, or what the client has to take of it.
    Upstream = 1,
}

/// The wait ended because its deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimedOut;

#[derive(Debug, Default)]
pub(super) struct Alarms {
    ticks: Ticks,
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    /// No deadline lies before this; spares most ticks the look through the table.
    earliest: Cell<Moment>,
}

#[derive(Debug)]
struct Slot {
    due: [Moment; 2],
    waker: Option<Waker>,
}

impl Alarms {
    /// The coarse clock that deadlines are judged by.
    pub(super) fn now(&self) -> Moment {
        self.ticks.now()
    }

    /// The clock moves on; connections whose deadline passed are woken.
    pub(super) fn tick(&self, now: Moment) {
        self.ticks.set(now);
        if now < self.earliest.get() {
            return;
        }
        let mut earliest = NEVER;
        for slot in self.slots.borrow_mut().iter_mut() {
            let due = slot.due[0].min(slot.due[1]);
            if due > now {
                earliest = earliest.min(due);
            } else if let Some(waker) = slot.waker.take() {
                waker.wake();
                // If it does not wait for the one that passed, the other is still to come.
                let other = slot.due[0].max(slot.due[1]);
                if other > now {
                    earliest = earliest.min(other);
                }
            } else {
                // Woken before, or about to look by itself.
                earliest = earliest.min(now + Ticks::LENGTH);
            }
        }
        self.earliest.set(earliest);
    }

    /// Every connection looks around, whatever its deadlines.
    pub(super) fn wake_all(&self) {
        for slot in self.slots.borrow_mut().iter_mut() {
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
        }
    }

    /// A connection's deadlines, neither set.
    pub(super) fn open(self: &Rc<Self>) -> Alarm {
        let slot = Slot { due: [NEVER; 2], waker: None };
        let mut slots = self.slots.borrow_mut();
        let index = match self.free.borrow_mut().pop() {
            Some(index) => {
                slots[index] = slot;
                index
            }
            None => {
                slots.push(slot);
                slots.len() - 1
            }
        };
        Alarm { alarms: Rc::clone(self), index }
    }
}

/// The deadlines of one connection.
#[derive(Debug)]
pub(super) struct Alarm {
    alarms: Rc<Alarms>,
    index: usize,
}

impl Alarm {
    /// The coarse clock that deadlines are judged by.
    pub(super) fn now(&self) -> Moment {
        self.alarms.now()
    }

    /// The first moment at which `length` from now has surely passed.
    pub(super) fn after(&self, length: Duration) -> Moment {
        self.alarms.ticks.after(length)
    }

    /// The deadline lies `length` from now.
    pub(super) fn set(&self, which: Which, length: Duration) {
        self.set_at(which, self.alarms.ticks.after(length));
    }

    /// The deadline lies `length` from now, or where it lay if that is earlier.
    pub(super) fn set_no_later(&self, which: Which, length: Duration) {
        let before = self.alarms.slots.borrow()[self.index].due[which as usize];
        self.set_at(which, before.min(self.alarms.ticks.after(length)));
    }

    /// The deadline lies at `due`.
    pub(super) fn set_at(&self, which: Which, due: Moment) {
        self.alarms.slots.borrow_mut()[self.index].due[which as usize] = due;
        if due < self.alarms.earliest.get() {
            self.alarms.earliest.set(due);
        }
    }

    /// No deadline.
    pub(super) fn clear(&self, which: Which) {
        self.alarms.slots.borrow_mut()[self.index].due[which as usize] = NEVER;
    }

    fn poll_passed(&self, which: Which, cx: &Context<'_>) -> bool {
        let slot = &mut self.alarms.slots.borrow_mut()[self.index];
        if slot.due[which as usize] <= self.alarms.ticks.now() {
            return true;
        }
        match &slot.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => slot.waker = Some(cx.waker().clone()),
        }
        false
    }

    /// Waits for `ready`, until the deadline at most.
    pub(super) async fn until<T>(
        &self,
        which: Which,
        mut ready: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, TimedOut> {
        poll_fn(|cx| match ready(cx) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending if self.poll_passed(which, cx) => Poll::Ready(Err(TimedOut)),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.alarms.slots.borrow_mut()[self.index] = Slot { due: [NEVER; 2], waker: None };
        self.alarms.free.borrow_mut().push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    use super::*;

    fn wait(alarm: &Alarm, which: Which) -> Poll<Result<(), TimedOut>> {
        let story = pin!(alarm.until::<()>(which, |_| Poll::Pending));
        story.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_deadline_passes_at_its_tick_and_for_its_direction_only() {
        let alarms = Rc::new(Alarms::default());
        alarms.tick(Moment(0));
        let alarm = alarms.open();
        alarm.set(Which::Client, Duration::from_millis(100));
        for (at, passed) in [(100, false), (149, false), (150, true), (9_999, true)] {
            alarms.tick(Moment(at * 1_000_000));
            let expected = if passed { Poll::Ready(Err(TimedOut)) } else { Poll::Pending };
            assert_eq!(wait(&alarm, Which::Client), expected, "after {at} ms");
            assert_eq!(wait(&alarm, Which::Upstream), Poll::Pending);
        }
        alarm.clear(Which::Client);
        assert_eq!(wait(&alarm, Which::Client), Poll::Pending);
    }

    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// A deadline that nobody waits for passes, and then the one that is waited for; nobody else
    /// sets any.
    #[test]
    fn a_deadline_is_not_forgotten_over_the_other() {
        let alarms = Rc::new(Alarms::default());
        let alarm = alarms.open();
        alarm.set(Which::Client, Duration::from_millis(100));
        alarm.set(Which::Upstream, Duration::from_millis(200));
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut story = pin!(alarm.until::<()>(Which::Upstream, |_| Poll::Pending));
        for (at, wakes, passed) in [(100, false, false), (150, true, false), (250, true, true)] {
            if at == 100 {
                assert!(story.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            alarms.tick(Moment(at * 1_000_000));
            assert_eq!(woken.0.swap(false, Ordering::Relaxed), wakes, "after {at} ms");
            let polled = story.as_mut().poll(&mut Context::from_waker(&waker));
            assert_eq!(polled.is_ready(), passed, "after {at} ms");
        }
    }

    #[test]
    fn a_slot_is_used_again_without_its_old_deadline() {
        let alarms = Rc::new(Alarms::default());
        let first = alarms.open();
        first.set(Which::Client, Duration::ZERO);
        drop(first);
        let second = alarms.open();
        alarms.tick(Moment(1_000_000_000));
        assert_eq!((second.index, wait(&second, Which::Client)), (0, Poll::Pending));
    }

    #[test]
    fn an_earlier_deadline_stays() {
        let alarms = Rc::new(Alarms::default());
        let alarm = alarms.open();
        alarm.set(Which::Client, Duration::from_secs(1));
        alarm.set_no_later(Which::Client, Duration::from_secs(9));
        alarms.tick(Moment(1_050_000_000));
        assert_eq!(wait(&alarm, Which::Client), Poll::Ready(Err(TimedOut)));
    }
}

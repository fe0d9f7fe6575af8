//! The two byte streams after an upgrade. Each direction ends by itself, as its sender ended it; the
//! tunnel ends when both have, or when nothing came from either side for `tunnel_idle`. What breaks
//! on one side breaks on the other, so that nobody takes a part for the whole.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::net::{Block, Machine, SMALL_BYTES, Socket};
use crate::observe::Counters;
use crate::pool::settings::Timeouts;

use super::alarm::{Alarm, Which};
use super::client::Client;
use super::stream::{Broken, Stream, Took};

/// One direction: what is read from `from` is given to `to`.
struct Way<'w, S> {
    from: &'w Stream<S>,
    to: &'w Stream<S>,
    alarm: &'w Alarm,
    timeouts: &'w Timeouts,
    received: Cell<u64>,
    given: Cell<u64>,
    end: Cell<Option<End>>,
}

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its sender said so, and so did we.
    Passed,
    /// Nothing came from either side for too long, or nothing was taken.
    Idle,
    /// A connection broke.
    Broken,
}

/// What a tunnel has carried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// Bytes that came from the client.
    pub(super) up: u64,
    /// Bytes that the client took.
    pub(super) down: u64,
    /// The server's direction broke: the client must not take what it got for whole.
    pub(super) cut: bool,
}

/// Counts a tunnel as long as it is open, however it ends.
struct Open<'o>(&'o Counters);

impl<'o> Open<'o> {
    fn new(counters: &'o Counters) -> Self {
        counters.tunnels.add(1);
        Self(counters)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.tunnels_ended.add(1);
    }
}

/// Moves bytes both ways until the tunnel ends.
pub(super) async fn tunnel<M: Machine>(
    client: &mut Client<M>,
    upstream: &Stream<M::Socket>,
    from_server: Option<Block>,
    timeouts: &Timeouts,
) -> Carried {
    let from_client = client.inbox.take();
    let _open = Open::new(&client.worker.counters);
    let (stream, alarm) = (&client.stream, &client.alarm);
    alarm.clear(Which::Client);
    let way = |from, to| Way {
        from,
        to,
        alarm,
        timeouts,
        received: Cell::new(0),
        given: Cell::new(0),
        end: Cell::new(None),
    };
    let (up, down) = (way(stream, upstream), way(upstream, stream));
    {
        let (mut upward, mut downward) = (pin!(up.run(from_client)), pin!(down.run(from_server)));
        poll_fn(|cx| {
            if up.end.get().is_none()
                && let Poll::Ready(end) = upward.as_mut().poll(cx)
            {
                up.end.set(Some(end));
            }
            if down.end.get().is_none()
                && let Poll::Ready(end) = downward.as_mut().poll(cx)
            {
                down.end.set(Some(end));
            }
            match (up.end.get(), down.end.get()) {
                (None, None | Some(End::Passed)) | (Some(End::Passed), None) => Poll::Pending,
                _ => Poll::Ready(()),
            }
        })
        .await;
    }
    let broken = [&up, &down].iter().any(|way| way.end.get() == Some(End::Broken));
    let is_cut = |way: &Way<'_, _>| broken && way.end.get() != Some(End::Passed);
    if is_cut(&up) {
        upstream.socket().reset_on_close();
    } else {
        upstream.end();
        upstream.socket().shutdown(Shutdown::Both);
    }
    Carried { up: up.received.get(), down: down.given.get(), cut: is_cut(&down) }
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::TimedOut => Self::Idle,
            Broken::Socket(_) | Broken::Tls(_) => Self::Broken,
        }
    }
}

impl<S: Socket> Way<'_, S> {
    async fn run(&self, first: Option<Block>) -> End {
        match self.carry(first).await {
            Ok(()) => End::Passed,
            Err(broken) => broken.into(),
        }
    }

    async fn carry(&self, first: Option<Block>) -> Result<(), Broken> {
        if let Some(block) = first.filter(|block| !block.is_empty()) {
            self.give(&block).await?;
        }
        let mut many = false;
        loop {
            // Both directions push the one deadline ahead of them.
            self.alarm.set(Which::Upstream, self.timeouts.tunnel_idle);
            self.alarm.until(Which::Upstream, |cx| self.from.poll_readable(cx)).await?;
            let mut block = if many { Block::bulk() } else { Block::small() };
            let room = block.room_left();
            match self.from.take(&mut block, room)? {
                Took::Bytes(count) => {
                    many = count > SMALL_BYTES / 2;
                    self.give(&block).await?;
                }
                Took::Nothing => {}
                Took::End => return self.pass_end().await,
            }
        }
    }

    /// Ends the direction as its sender did: TLS that was cut off is not made whole.
    async fn pass_end(&self) -> Result<(), Broken> {
        if self.from.ended_properly() {
            return self.to.end_behind(self.alarm, self.patience()).await;
        }
        self.to.socket().shutdown(Shutdown::Write);
        Ok(())
    }

    fn patience(&self) -> (Which, Duration) {
        (Which::Upstream, self.timeouts.tunnel_idle)
    }

    async fn give(&self, block: &Block) -> Result<(), Broken> {
        let count = block.len() as u64;
        self.received.set(self.received.get() + count);
        self.to.give_all(block.filled(), self.alarm, self.patience(), None).await?;
        self.given.set(self.given.get() + count);
        Ok(())
    }
}

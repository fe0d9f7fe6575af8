//! The two byte streams after an upgrade. Each direction ends by itself; the tunnel ends when both
//! have, or when nothing came from either side for `tunnel_idle`.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;

use crate::net::{Block, Machine, Socket};
use crate::pool::settings::Timeouts;

use super::alarm::{Alarm, Which};
use super::client::Client;
use super::stream::{Stream, Took};

/// One direction: what is read from `from` is given to `to`.
struct Way<'w, S> {
    from: &'w Stream<S>,
    to: &'w Stream<S>,
    alarm: &'w Alarm,
    timeouts: &'w Timeouts,
    moved: &'w Cell<u64>,
}

/// Moves bytes both ways until the tunnel ends; gives the counts up and down.
pub(super) async fn tunnel<M: Machine>(
    client: &mut Client<M>,
    upstream: &Stream<M::Socket>,
    from_server: Option<Block>,
    timeouts: &Timeouts,
) -> (u64, u64) {
    let from_client = client.inbox.take();
    let (up, down) = (Cell::new(0), Cell::new(0));
    {
        let (stream, alarm) = (&client.stream, &client.alarm);
        alarm.clear(Which::Client);
        let upward = Way { from: stream, to: upstream, alarm, timeouts, moved: &up };
        let downward = Way { from: upstream, to: stream, alarm, timeouts, moved: &down };
        let mut upward = pin!(upward.run(from_client));
        let mut downward = pin!(downward.run(from_server));
        let (mut up_ended, mut down_ended) = (false, false);
        poll_fn(|cx| {
            let mut failed = false;
            if !up_ended && let Poll::Ready(whole) = upward.as_mut().poll(cx) {
                up_ended = true;
                failed |= !whole;
            }
            if !down_ended && let Poll::Ready(whole) = downward.as_mut().poll(cx) {
                down_ended = true;
                failed |= !whole;
            }
            if failed || (up_ended && down_ended) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    upstream.end();
    upstream.socket().shutdown(Shutdown::Both);
    (up.get(), down.get())
}

impl<S: Socket> Way<'_, S> {
    /// Whether the direction came to a proper end.
    async fn run(self, first: Option<Block>) -> bool {
        if let Some(block) = first.filter(|block| !block.is_empty())
            && !self.give(&block).await
        {
            return false;
        }
        loop {
            // Both directions push the one deadline ahead of them.
            self.alarm.set(Which::Upstream, self.timeouts.tunnel_idle);
            let wait = self.alarm.until(Which::Upstream, |cx| self.from.poll_readable(cx));
            if wait.await.is_err() {
                return false;
            }
            let mut block = Block::small();
            let room = block.room_left();
            match self.from.take(&mut block, room) {
                Ok(Took::Bytes(_)) => {
                    if !self.give(&block).await {
                        return false;
                    }
                }
                Ok(Took::Nothing) => {}
                Ok(Took::End) => {
                    self.to.end();
                    return true;
                }
                Err(_) => return false,
            }
        }
    }

    async fn give(&self, block: &Block) -> bool {
        self.moved.set(self.moved.get() + block.len() as u64);
        let patience = (Which::Upstream, self.timeouts.tunnel_idle);
        self.to.give_all(block.filled(), self.alarm, patience).await.is_ok()
    }
}

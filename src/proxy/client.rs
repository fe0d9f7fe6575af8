//! One client connection: heads are read and judged, exchanges follow each other, then it ends.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::exchange::{ClientFault, Failure, UpstreamFault};
use crate::http::{RequestFacts, may_decide};
use crate::net::{Block, Machine, Moment, Socket};
use crate::observe::Record;
use crate::site::ErrorsId;
use crate::tls::{OldSuite, Presented};

use super::alarm::{Alarm, Which};
use super::forward::forward;
use super::judge::{Judged, judge};
use super::kept::DoorId;
use super::obtain::Pin;
use super::own::{reply, tell_failure};
use super::stream::{Stream, Took};
use super::worker::Worker;

/// How long a connection that we end is still read from, so that the client gets the answer before
/// it learns that the rest of its request is not wanted (RFC 9112 section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// How much is read and thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Room for the next part of a head.
const READ_LEAST: usize = 4 * 1024;

/// How long a client that will be refused anyway may take for its first head.
const REFUSED_HEAD: Duration = Duration::from_secs(2);

/// What becomes of the client connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next request.
    Next,
    /// It ends; what the client is still sending is read for a moment.
    Linger,
    /// It ends.
    Close,
    /// It is reset, so that what was sent cannot be taken for whole.
    Reset,
}

/// A client connection. While it waits for a request it owns its socket, its keys and this.
pub(super) struct Client<M: Machine> {
    pub(super) worker: Rc<Worker<M>>,
    pub(super) stream: Stream<M::Socket>,
    pub(super) alarm: Alarm,
    pub(super) door: DoorId,
    pub(super) peer: SocketAddr,
    /// The certificates that it was shown; `None` without TLS.
    pub(super) presented: Option<Presented>,
    /// Bytes that were read and not yet used.
    pub(super) inbox: Option<Block>,
    /// Upstream connections that are this client's alone.
    pub(super) pins: Vec<Pin<M::Socket>>,
    /// Every request gets this answer.
    pub(super) refused: Option<Failure>,
    /// How long it may wait between two requests: as the Site of the last one says.
    pub(super) client_idle: Duration,
}

impl<M: Machine> fmt::Debug for Client<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.peer).finish()
    }
}

/// Why no further head comes.
enum NoHead {
    /// The client ended, was idle too long, or we are stopping.
    Ended,
    /// Something of a head came, and not the rest in time.
    Slow,
    /// A pinned upstream connection has ended.
    PinLost,
}

impl<M: Machine> Client<M> {
    /// The whole life of the connection after its handshake.
    pub(super) async fn serve(&mut self) {
        let mut first = true;
        loop {
            let next = self.next_head(first).await;
            let after = self.act(next).await;
            first = false;
            match after {
                After::Next => {}
                After::Linger => {
                    self.settle().await;
                    return self.linger().await;
                }
                After::Close => {
                    self.settle().await;
                    return self.stream.end();
                }
                After::Reset => return self.stream.socket().reset_on_close(),
            }
        }
    }

    /// A client that has ended its direction still gets all of its last answer.
    async fn settle(&self) {
        let patience = self.worker.view().config.timeouts.client_write_idle;
        // Whoever does not take it in time goes without.
        let _ = self.stream.settle(&self.alarm, (Which::Client, patience)).await;
    }

    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
    fn act(&mut self, next: Result<Judged, NoHead>) -> impl Future<Output = After> {
        async move {
            match next {
                Ok(judged) if let Some(failure) = self.refused => {
                    self.refuse(judged, failure).await
                }
                Ok(Judged::Forward(plan)) => forward(self, plan).await,
                Ok(Judged::Reply(answer)) => reply(self, answer).await,
                Ok(Judged::Malformed(failure, record, begun)) => {
                    self.answer_failure(failure, (record, begun), None).await
                }
                Ok(Judged::NeedMore) | Err(NoHead::Ended) => After::Close,
                Err(NoHead::Slow) => self.answer_slow_head().await,
                Err(NoHead::PinLost) => self.note_pin_lost(),
            }
        }
    }

    /// Waits for a whole head and judges it.
    async fn next_head(&mut self, first: bool) -> Result<Judged, NoHead> {
        let mut seen = 0;
        let mut begun = false;
        self.alarm.clear(Which::Upstream);
        self.alarm.set(Which::Client, self.idle_time(first));
        loop {
            if let Some(mut inbox) = self.inbox.take().filter(|inbox| !inbox.is_empty()) {
                if may_decide(inbox.filled(), seen) {
                    match judge(self, &mut inbox) {
                        Judged::NeedMore => {}
                        judged => {
                            // A connection that waits for its answer owns no buffer either.
                            let ahead = Some(inbox).filter(|inbox| !inbox.is_empty());
                            self.inbox = ahead.map(Block::fitted);
                            return Ok(judged);
                        }
                    }
                }
                seen = inbox.len();
                self.inbox = Some(inbox.fitted());
            }
            // The time for a head runs from its first byte, also from the first byte of the record
            // that it will be in, and is not given anew.
            if !begun && (seen > 0 || self.stream.holds_bytes()) {
                begun = true;
                let head = self.worker.view().config.timeouts.client_head;
                self.alarm.set(Which::Client, head);
            }
            self.more(seen > 0, first).await?;
        }
    }

    /// How long a client may wait before it begins a request. One that is tied to an upstream
    /// connection goes first, before the server ends that.
    fn idle_time(&self, first: bool) -> Duration {
        match (first, self.refused) {
            (true, Some(_)) => REFUSED_HEAD,
            (true, None) => self.worker.view().config.timeouts.client_head,
            (false, _) => {
                self.pins.iter().map(Pin::idle_time).fold(self.client_idle, Duration::min)
            }
        }
    }

    /// Waits for more of a head and reads it.
    async fn more(&mut self, begun: bool, first: bool) -> Result<(), NoHead> {
        // A client that was let in gets its first answer even if we are about to stop.
        let may_go = !begun && !first;
        let waited = self.alarm.until(Which::Client, |cx| self.poll_wait(may_go, cx)).await;
        match waited {
            Ok(Ok(())) => {}
            Ok(Err(why)) => return Err(why),
            Err(_) => return Err(if begun { NoHead::Slow } else { NoHead::Ended }),
        }
        let inbox = self.inbox.get_or_insert_with(Block::small);
        // Bounded: the parser refuses a head past `head_bytes_max`.
        inbox.reserve(inbox.len().max(READ_LEAST));
        let room = inbox.room_left();
        match self.stream.take(inbox, room) {
            Ok(Took::Bytes(_)) => Ok(()),
            Ok(Took::Nothing) => {
                self.give_up_empty_inbox();
                Ok(())
            }
            Ok(Took::End) | Err(_) => Err(NoHead::Ended),
        }
    }

    fn give_up_empty_inbox(&mut self) {
        if self.inbox.as_ref().is_some_and(Block::is_empty) {
            self.inbox = None;
        }
    }

    fn poll_wait(&self, may_go: bool, cx: &mut Context<'_>) -> Poll<Result<(), NoHead>> {
        if self.stream.poll_readable(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if may_go && self.worker.draining() {
            return Poll::Ready(Err(NoHead::Ended));
        }
        if self.pins.iter().any(|pin| pin.stream.poll_spoken(cx).is_ready()) {
            return Poll::Ready(Err(NoHead::PinLost));
        }
        Poll::Pending
    }

    async fn answer_slow_head(&mut self) -> After {
        let begun = self.worker.machine.now();
        let record = self.open_record(begun);
        let failure = Failure::Client(ClientFault::SlowHead);
        self.answer_failure(failure, (record, begun), None).await
    }

    /// Answers what is no request that could be gone on with; `request` is what is known of it.
    pub(super) async fn answer_failure(
        &mut self,
        failure: Failure,
        (mut record, begun): (Box<Record>, Moment),
        request: Option<&RequestFacts>,
    ) -> After {
        let view = self.worker.view();
        let whose = (request, view.config.errors(ErrorsId::GLOBAL));
        let (sent, after) = tell_failure(self, failure, whose, record.id, false).await;
        record.failure = Some((failure.word(), failure.party()));
        record.status = failure.status();
        record.bytes_out = sent as u64;
        self.close_record(record, begun);
        after
    }

    /// Between two requests the server has ended the connection that carried this client's log-in.
    fn note_pin_lost(&self) -> After {
        let now = self.worker.machine.now();
        let mut record = self.open_record(now);
        let failure = Failure::Upstream(UpstreamFault::PinLost);
        record.failure = Some((failure.word(), failure.party()));
        self.close_record(record, now);
        After::Close
    }

    async fn refuse(&mut self, judged: Judged, failure: Failure) -> After {
        let (record, begun, request) = match judged {
            Judged::Forward(plan) => (plan.record, plan.begun, Some(plan.request)),
            Judged::Reply(answer) => (answer.record, answer.begun, Some(answer.request)),
            Judged::Malformed(_, record, begun) => (record, begun, None),
            Judged::NeedMore => return After::Close,
        };
        self.answer_failure(failure, (record, begun), request.as_ref()).await
    }

    /// A record of this client that begins at `begun`.
    pub(super) fn open_record(&self, begun: Moment) -> Box<Record> {
        let mut record = self.worker.open_record();
        record.wall_micros = self.worker.wall_micros_at(begun);
        record.client = self.peer;
        record.tls = self.presented.is_some();
        record.client_suite = self.stream.old_suite().map(OldSuite::name);
        record
    }

    /// Gives the record its time and lets it go.
    pub(super) fn close_record(&self, mut record: Box<Record>, begun: Moment) {
        record.total_micros = self.worker.machine.now().since(begun) / 1000;
        self.worker.close_record(record);
    }

    /// Ends our direction, then reads and forgets what still comes, within bounds.
    async fn linger(&mut self) {
        self.pins.clear();
        self.stream.end();
        self.alarm.set(Which::Client, LINGER);
        let mut left = LINGER_BYTES_MAX;
        let mut block = self.inbox.take().unwrap_or_else(Block::small);
        loop {
            let wait = self.alarm.until(Which::Client, |cx| self.stream.poll_readable(cx));
            if wait.await.is_err() {
                return;
            }
            block.clear();
            let room = block.room_left();
            match self.stream.take(&mut block, room) {
                Ok(Took::Bytes(count)) if count < left => left -= count,
                Ok(Took::Nothing) => {}
                _ => return,
            }
        }
    }
}

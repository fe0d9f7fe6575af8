//! One exchange, from the rule to the record.
//!
//! The request goes up and the answer comes down side by side, in one task: `upload` moves the body
//! and then watches whether the client leaves; `answer` waits for the head and moves the rest.
//! Whichever ends first decides what is left to do.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin as Pinned, pin};
use std::task::Poll;
use std::time::Duration;

use crate::exchange::{
    ClientFault, Ending, Failure, OwnSettled, Sent, Settled, UpstreamFault, may_retry, settle,
    settle_own,
};
use crate::http::{Framing, RequestFacts};
use crate::net::{Block, Machine, Moment, Socket};
use crate::observe::Text;
use crate::pool::settings::Timeouts;
use crate::tls::{NO_RENEGOTIATION, OldSuite};

use super::alarm::{Alarm, Which};
use super::answer::{Answered, NoAnswer, answer};
use super::client::{After, Client};
use super::judge::Plan;
use super::log_in::{self, Outcome};
use super::obtain::{Held, Lease, Pin, give_back, hold};
use super::own::tell_failure;
use super::pace::Pace;
use super::stream::Stream;
use super::tunnel::tunnel;
use super::upload::{Cut, upload};
use super::worker::Worker;

/// After a final answer that came before the end of the request, so much more of the body is
/// relayed: a client in a Windows log-in sends its body to be refused.
const EARLY_ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// And for so long at most.
const EARLY_ANSWER_TIME: Duration = Duration::from_secs(10);

/// Upstream connections that one client may own: one for each pool, and for each name where a pool
/// is verified by that. A client that asks for more begins anew.
const PINS_MAX: usize = 8;

/// What both directions of an exchange see.
pub(super) struct Exchange<'x, M: Machine> {
    pub(super) worker: &'x Worker<M>,
    pub(super) client: &'x Stream<M::Socket>,
    pub(super) upstream: &'x Stream<M::Socket>,
    pub(super) alarm: &'x Alarm,
    pub(super) timeouts: &'x Timeouts,
    pub(super) request: RequestFacts,
    pub(super) body_bytes_max: u64,
    /// The upstream connection is, or will be, this client's alone.
    pub(super) owned: bool,
    /// The request may have to be sent once more, so its head is kept.
    pub(super) repeatable: bool,
    /// The client sent bytes behind an upgrade that was not granted yet.
    pub(super) sent_early: bool,
    /// What had gone to the server by this connection before.
    pub(super) given_before: u64,
    pub(super) progress: Progress,
    /// How fast the client sends its request's body.
    pub(super) sending: Pace,
    /// How fast it takes the answer.
    pub(super) taking: Pace,
}

/// How far an exchange has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The request was read and written to its end.
    pub(super) request_whole: Cell<bool>,
    /// Something of a final answer went to the client.
    pub(super) answer_begun: Cell<bool>,
    /// The client has ended its direction.
    pub(super) client_ended: Cell<bool>,
    /// The client's connection is broken.
    pub(super) client_gone: Cell<bool>,
    /// The rest of the request will not come, and the answer has begun.
    pub(super) request_cut: Cell<bool>,
    /// The client was waited for while its answer, or the rest of its request, was relayed.
    pub(super) waited: Cell<bool>,
    /// How much more of the body is relayed beside a finished answer.
    pub(super) early_left: Cell<Option<u64>>,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    pub(super) status: Cell<u16>,
    pub(super) first_byte: Cell<Option<Moment>>,
}

/// How an attempt ended.
enum Attempt {
    Answered(Answered),
    Failed(Failure),
    /// Nothing came back, and it may be sent once more.
    Again,
}

/// Carries out `plan` and says what becomes of the client's connection.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
pub(super) fn forward<M: Machine>(
    client: &mut Client<M>,
    mut plan: Plan,
) -> impl Future<Output = After> {
    async move {
        client.client_idle = plan.timeouts().client_idle;
        let mut fresh = false;
        loop {
            let held = match hold(client, &mut plan, fresh).await {
                Ok(taken) => taken,
                Err(Failure::Upstream(UpstreamFault::PinLost)) => {
                    return end_silently(client, plan, UpstreamFault::PinLost);
                }
                Err(failure) => return refuse(client, plan, failure).await,
            };
            plan.record.reused = held.lease().reused;
            plan.record.upstream_suite = held.lease().stream.old_suite().map(OldSuite::name);
            let (attempt, progress) = attempt(client, &mut plan, &held).await;
            note_progress(&mut plan, &progress);
            if !matches!(attempt, Attempt::Again) {
                let left = matches!(attempt, Attempt::Failed(Failure::Client(_)));
                let outcome = Outcome { status: progress.status.get(), left };
                log_in::note(client, &mut plan, &held.lease().busy.server().load, outcome);
            }
            match attempt {
                Attempt::Again => fresh = true,
                Attempt::Failed(failure) => {
                    return fail(client, plan, held, failure, &progress).await;
                }
                Attempt::Answered(answered) if answered.tunnel.is_some() => {
                    return switch(client, plan, held, answered).await;
                }
                Attempt::Answered(answered) => {
                    return finish(client, plan, held, answered, &progress).await;
                }
            }
        }
    }
}

async fn attempt<M: Machine>(
    client: &mut Client<M>,
    plan: &mut Plan,
    held: &Held<M::Socket>,
) -> (Attempt, Progress) {
    let (lease, owned) = (held.lease(), held.is_own());
    let mut inbox = client.inbox.take();
    let sent_early = inbox.as_ref().is_some_and(|inbox| !inbox.is_empty());
    // To the tick, which is exact enough for what may be tried again.
    let written = client.worker.alarms.now();
    // What was set for connecting is not for the request.
    client.alarm.clear(Which::Upstream);
    let sent = |ago| Sent { reused: lease.reused, owned, ago };
    let client_rate_min = plan.view.config.limits.client_rate_min;
    let exchange = Exchange {
        worker: &client.worker,
        client: &client.stream,
        upstream: &lease.stream,
        alarm: &client.alarm,
        timeouts: &plan.view.config.table.terms(plan.terms).timeouts,
        request: plan.request,
        body_bytes_max: plan.body_bytes_max,
        owned,
        repeatable: may_retry(&plan.request, sent(Duration::ZERO)),
        sent_early: sent_early && plan.request.upgrade_websocket,
        given_before: lease.stream.socket().given(),
        progress: Progress::default(),
        sending: Pace::new(client_rate_min),
        taking: Pace::new(client_rate_min),
    };
    let attempt = match both_ways(&exchange, &mut plan.head, &mut inbox).await {
        Ok(answered) => Attempt::Answered(answered),
        Err(NoAnswer::Nothing(fault)) => {
            let ago = Duration::from_nanos(client.worker.alarms.now().since(written));
            if may_retry(&plan.request, sent(ago)) {
                Attempt::Again
            } else if exchange.owned {
                // Also the first of a log-in: its client must not take the next connection for it.
                Attempt::Failed(Failure::Upstream(UpstreamFault::PinLost))
            } else {
                Attempt::Failed(Failure::Upstream(fault))
            }
        }
        Err(NoAnswer::Failure(failure)) => Attempt::Failed(failure),
    };
    let progress = exchange.progress;
    client.inbox = inbox;
    note_health(lease, &attempt, &progress, client.worker.alarms.now());
    if !matches!(attempt, Attempt::Answered(_)) && lease.stream.has_asked_again() {
        let (server, why) = (&lease.busy.server().text, format!("TLS: {NO_RENEGOTIATION}"));
        client.worker.shared.notices.say(server, &why);
    }
    (attempt, progress)
}

/// What the attempt says about the server.
fn note_health<S>(lease: &Lease<S>, attempt: &Attempt, progress: &Progress, now: Moment) {
    if progress.first_byte.get().is_some() {
        lease.busy.note_answered(now);
        return;
    }
    let fault = match attempt {
        // A server may lose its patience with a client that keeps the rest of its request back.
        Attempt::Failed(Failure::Upstream(UpstreamFault::ClosedBeforeHead))
            if !progress.request_whole.get() =>
        {
            None
        }
        Attempt::Failed(Failure::Upstream(fault)) => Some(*fault),
        // A connection that had waited was just ending, as it may.
        Attempt::Answered(_) | Attempt::Failed(_) | Attempt::Again => None,
    };
    lease.busy.note_unanswered(fault, now);
}

/// Both directions at once, until there is an answer or a reason why there is none.
async fn both_ways<M: Machine>(
    exchange: &Exchange<'_, M>,
    head: &mut Block,
    inbox: &mut Option<Block>,
) -> Result<Answered, NoAnswer> {
    let mut up = pin!(upload(exchange, head, inbox));
    let mut down = pin!(answer(exchange));
    let mut up_ended = false;
    let first = poll_fn(|cx| {
        // Once the request is sent the usual news is its answer, and then nothing else matters.
        let was_whole = exchange.progress.request_whole.get();
        if was_whole && let Poll::Ready(answered) = down.as_mut().poll(cx) {
            return Poll::Ready(answered);
        }
        if !up_ended && let Poll::Ready(cut) = up.as_mut().poll(cx) {
            up_ended = true;
            exchange.alarm.clear(Which::Client);
            // A server that does not take the rest may have answered already, and a client that
            // has its answer begun may leave the rest of its request away.
            if let Cut::Failure(failure) = cut
                && (exchange.progress.client_gone.get() || !exchange.progress.answer_begun.get())
            {
                return Poll::Ready(Err(NoAnswer::Failure(failure)));
            }
        } else if was_whole {
            return Poll::Pending;
        }
        down.as_mut().poll(cx)
    });
    let answered = first.await?;
    let progress = &exchange.progress;
    progress.waited.set(progress.waited.get() || exchange.taking.has_waited());
    if !progress.request_whole.get() && !up_ended && answered.tunnel.is_none() {
        progress.early_left.set(Some(EARLY_ANSWER_BYTES_MAX));
        progress.waited.set(true);
        rest_of_request(exchange, up).await;
    }
    Ok(answered)
}

/// The answer is finished and the request is not: a bounded rest of it is still relayed.
async fn rest_of_request<M: Machine>(
    exchange: &Exchange<'_, M>,
    mut up: Pinned<&mut impl Future<Output = Cut>>,
) {
    exchange.alarm.set(Which::Upstream, EARLY_ANSWER_TIME);
    // Past the time or the bytes both connections end; which of them it was does not matter.
    let _ = exchange
        .alarm
        .until(Which::Upstream, |cx| {
            let ended = up.as_mut().poll(cx).is_ready();
            if ended || exchange.progress.request_whole.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
}

fn note_progress(plan: &mut Plan, progress: &Progress) {
    plan.record.bytes_in += progress.bytes_in.get();
    plan.record.bytes_out += progress.bytes_out.get();
    plan.record.status = progress.status.get();
    let first = progress.first_byte.get();
    plan.record.first_byte_micros = first.map_or(0, |first| first.since(plan.begun) / 1000);
}

/// The exchange was answered: both connections are kept, tied to each other, or ended.
async fn finish<M: Machine>(
    client: &mut Client<M>,
    plan: Plan,
    held: Held<M::Socket>,
    answered: Answered,
    progress: &Progress,
) -> After {
    let request_whole = progress.request_whole.get();
    let stream = &held.lease().stream;
    // What the server says while a slow client takes its answer would seem to answer the next
    // request. Where nobody was waited for there was no time for it.
    let spoke_since = || (progress.waited.get() || stream.holds_bytes()) && stream.has_spoken();
    let nothing_extra = answered.nothing_extra && !spoke_since();
    let ending = Ending { request_whole, nothing_extra };
    let keep = answered.keep_client && request_whole;
    let keep = match held {
        Held::Shared(lease) => match settle(&answered.facts, ending) {
            Settled::Reuse => {
                give_back(client, &plan, lease).await;
                keep
            }
            Settled::Pin => keep && tie(client, &plan, Held::Shared(lease)),
            Settled::Close => keep,
        },
        own @ Held::Own(_) => match settle_own(&answered.facts, ending) {
            OwnSettled::Pin => keep && tie(client, &plan, own),
            OwnSettled::Close => false,
        },
    };
    client.close_record(plan.record, plan.begun);
    if keep { After::Next } else { After::Linger }
}

/// Keeps a connection for this client alone; false if it has too many, and has to begin anew.
fn tie<M: Machine>(client: &mut Client<M>, plan: &Plan, held: Held<M::Socket>) -> bool {
    if client.pins.len() >= PINS_MAX {
        return false;
    }
    let (pin, is_new) = Pin::new(held, plan);
    if is_new {
        client.worker.counters.pins.add(1);
    }
    client.pins.push(pin);
    true
}

async fn switch<M: Machine>(
    client: &mut Client<M>,
    mut plan: Plan,
    held: Held<M::Socket>,
    answered: Answered,
) -> After {
    // Boxed: few become a tunnel, and all would be as large.
    let stream = &held.lease().stream;
    let carrying = Box::pin(tunnel(client, stream, answered.tunnel, plan.timeouts()));
    let carried = carrying.await;
    plan.record.bytes_in += carried.up;
    plan.record.bytes_out += carried.down;
    client.close_record(plan.record, plan.begun);
    if carried.cut { After::Reset } else { After::Close }
}

/// No whole answer came.
async fn fail<M: Machine>(
    client: &mut Client<M>,
    plan: Plan,
    held: Held<M::Socket>,
    failure: Failure,
    progress: &Progress,
) -> After {
    let owned = held.is_own();
    // What was sent may be half a request: the connection must not carry another.
    drop(held);
    let left = matches!(failure, Failure::Client(ClientFault::Left | ClientFault::SlowReader));
    let lost = failure == Failure::Upstream(UpstreamFault::PinLost);
    if !progress.answer_begun.get() && !left && !lost {
        // A log-in that has got an answer of ours has to begin on another connection.
        let keep = progress.request_whole.get() && !owned;
        return refuse_with(client, plan, failure, keep).await;
    }
    let mut record = plan.record;
    record.failure = Some((failure.word(), failure.party()));
    if record.status == 0 && !lost {
        record.status = failure.status();
    }
    client.close_record(record, plan.begun);
    if progress.answer_begun.get() { After::Reset } else { After::Close }
}

async fn refuse<M: Machine>(client: &mut Client<M>, plan: Plan, failure: Failure) -> After {
    let bodyless = matches!(plan.request.framing, Framing::None | Framing::Length(0));
    refuse_with(client, plan, failure, bodyless).await
}

async fn refuse_with<M: Machine>(
    client: &mut Client<M>,
    plan: Plan,
    failure: Failure,
    keep: bool,
) -> After {
    // Nobody knows what follows an upgrade that was not answered.
    let keep = keep && plan.request.keep_alive && !plan.request.upgrade_websocket;
    let keep = keep && client.worker.keeps_clients();
    let id = plan.record.id;
    let whose = (Some(&plan.request), plan.errors());
    let (sent, after) = tell_failure(client, failure, whose, id, keep).await;
    let mut record = plan.record;
    record.failure = Some((failure.word(), failure.party()));
    record.status = failure.status();
    record.bytes_out += sent as u64;
    client.close_record(record, plan.begun);
    after
}

/// The client has to notice that its log-in is gone, and would not from an answer of ours.
fn end_silently<M: Machine>(client: &Client<M>, plan: Plan, fault: UpstreamFault) -> After {
    let failure = Failure::Upstream(fault);
    let mut record = plan.record;
    record.failure = Some((failure.word(), failure.party()));
    record.note(Text::Server, b"");
    client.close_record(record, plan.begun);
    After::Close
}

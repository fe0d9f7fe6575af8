//! The right to use an upstream connection for one attempt.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use crate::exchange::{Failure, ProxyFault, UpstreamFault, Wanted, may_send_elsewhere, wanted};
use crate::net::{Machine, Moment, Socket};
use crate::observe::{Counter, Counters, Record, Text};
use crate::pool::health::{Evidence, Policy, Standing, Trouble};
use crate::pool::settings::PoolId;
use crate::pool::{Candidate, Entered, Tie, pick};

use crate::site::host::without_port;
use crate::tls::OldSuite;

use super::alarm::Which;
use super::client::Client;
use super::judge::Plan;
use super::live::{LiveServer, ServerTls};
use super::stream::{Broken, Stream};
use super::worker::View;

/// Servers that one exchange may try to connect to.
const DIALS_MAX: u32 = 3;

/// An upstream connection in the hands of one exchange. It counts as load on its server until it
/// is let go.
pub(super) struct Lease<S> {
    pub(super) stream: Stream<S>,
    pub(super) reused: bool,
    pub(super) busy: Busy,
}

/// A lease of a connection that is one client's own: nothing gives it back.
pub(super) struct OwnLease<S> {
    lease: Lease<S>,
    /// It was a [`Pin`] before this exchange.
    tie: Option<Tie>,
}

/// What an exchange travels on.
pub(super) enum Held<S> {
    Shared(Lease<S>),
    Own(OwnLease<S>),
}

impl<S> Held<S> {
    pub(super) fn lease(&self) -> &Lease<S> {
        match self {
            Self::Shared(lease) | Self::Own(OwnLease { lease, .. }) => lease,
        }
    }

    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Own(_))
    }
}

/// The upstream connection for `plan`: the client's own, a fresh one, or any. A pin that has ended is
/// a Failure.
pub(super) async fn hold<M: Machine>(
    client: &mut Client<M>,
    plan: &mut Plan,
    fresh: bool,
) -> Result<Held<M::Socket>, Failure> {
    let own = match wanted(find_pin(client, plan), plan.request.credential) {
        Wanted::Pin(at) => {
            let taken = take_pin(client, plan, at).await;
            return taken.map(Held::Own).map_err(Failure::Upstream);
        }
        Wanted::Fresh => true,
        Wanted::Any => false,
    };
    let lease = obtain(client, plan, fresh || own).await?;
    Ok(if own { Held::Own(OwnLease { lease, tie: None }) } else { Held::Shared(lease) })
}

/// One exchange under way at a server.
pub(super) struct Busy {
    view: View,
    pool: PoolId,
    pub(super) server: usize,
    entered: Entered,
}

impl Busy {
    fn new(view: View, pool: PoolId, server: usize) -> Self {
        let entered = view.pool(pool).servers[server].load.enter();
        Self { view, pool, server, entered }
    }

    fn policy(&self) -> Policy {
        self.view.pool(self.pool).policy
    }

    /// The server has begun to answer.
    pub(super) fn note_answered(&self, now: Moment) {
        let load = &self.server().load;
        if load.waits_for_answer() {
            load.heard(Evidence::Answered, millis(now), self.policy());
        }
    }

    /// It has not; what that says about it is heard once, before the exchange ends.
    pub(super) fn note_unanswered(&self, fault: Option<UpstreamFault>, now: Moment) {
        let load = &self.server().load;
        let late = |trouble| match load.has_answered_since(self.entered) {
            true => Evidence::Slow(trouble),
            false => Evidence::Silent(trouble),
        };
        let evidence = match fault {
            Some(UpstreamFault::Refused) => Some(Evidence::Failed(Trouble::Refused)),
            Some(UpstreamFault::Unreachable) => Some(Evidence::Failed(Trouble::Unreachable)),
            // The client has chosen the name that the server did not prove, or did not know.
            Some(UpstreamFault::TlsFailed) if self.server().is_verified_by_host() => None,
            Some(UpstreamFault::TlsFailed) => Some(Evidence::Failed(Trouble::Handshake)),
            Some(UpstreamFault::ClosedBeforeHead) => Some(Evidence::Failed(Trouble::Closed)),
            Some(UpstreamFault::SlowConnect) => Some(late(Trouble::ConnectTimedOut)),
            Some(UpstreamFault::SlowHead) => Some(late(Trouble::HeadTimedOut)),
            // Of these the client or the request may be the cause.
            Some(
                UpstreamFault::AllDown
                | UpstreamFault::Malformed(_)
                | UpstreamFault::Truncated
                | UpstreamFault::SlowBody
                | UpstreamFault::PinLost,
            )
            | None => None,
        };
        load.note_unanswered();
        if let Some(evidence) = evidence {
            load.heard(evidence, millis(now), self.policy());
        }
    }

    pub(super) fn server(&self) -> &LiveServer {
        &self.view.pool(self.pool).servers[self.server]
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.server().load.leave();
    }
}

/// Finds a connection for `plan`: an idle one unless `fresh` is wanted, else a new one; where a
/// server cannot be reached, the next is tried.
async fn obtain<M: Machine>(
    client: &mut Client<M>,
    plan: &mut Plan,
    fresh: bool,
) -> Result<Lease<M::Socket>, Failure> {
    let mut tried: u64 = 0;
    let mut last = Failure::Proxy(ProxyFault::NoServer);
    // One for the whole exchange: tries that fail must not skip the turns of others.
    let turn = client.worker.next_turn();
    for _ in 0..DIALS_MAX {
        let Some(server) = choose(client, plan, tried, turn) else {
            let nobody = last == Failure::Proxy(ProxyFault::NoServer);
            if nobody && !plan.view.pool(plan.pool).servers.is_empty() {
                last = Failure::Upstream(UpstreamFault::AllDown);
            }
            break;
        };
        let busy = Busy::new(plan.view.clone(), plan.pool, server);
        note_server(&mut plan.record, &busy);
        if !fresh && let Some(stream) = take_idle(client, plan, &busy).await {
            client.worker.counters.reuses.add(1);
            return Ok(Lease { stream, reused: true, busy });
        }
        match connect(client, plan, &busy).await {
            Ok(stream) => return Ok(Lease { stream, reused: false, busy }),
            Err(failure) => last = failure,
        }
        let fault = if let Failure::Upstream(fault) = last { Some(fault) } else { None };
        if fault.is_some() {
            client.worker.counters.tallies.note_unreached(busy.server().number);
        }
        busy.note_unanswered(fault, client.worker.alarms.now());
        // There may be a port left for another server.
        let no_port = last == Failure::Proxy(ProxyFault::NoPorts);
        if !no_port && !fault.is_some_and(may_send_elsewhere) {
            break;
        }
        tried |= 1_u64.checked_shl(u32::try_from(server).unwrap_or(u32::MAX)).unwrap_or(0);
    }
    Err(last)
}

/// The clock that health is judged by.
pub(super) fn millis(moment: Moment) -> u64 {
    moment.0 / 1_000_000
}

fn note_server(record: &mut Record, busy: &Busy) {
    let server = busy.server();
    record.note(Text::Server, server.text.as_bytes());
    record.server_number = server.number;
}

fn choose<M: Machine>(client: &Client<M>, plan: &Plan, tried: u64, turn: usize) -> Option<usize> {
    let pool = plan.view.pool(plan.pool);
    let now = millis(client.worker.alarms.now());
    let candidate = |index: usize| {
        let server = &pool.servers[index];
        let mask = u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index));
        Candidate {
            load: server.load.now(),
            weight: server.weight,
            backup: server.backup,
            tried: mask.is_some_and(|mask| tried & mask != 0),
            standing: match server.load.is_well() {
                true => Standing::Up,
                false => server.load.state().standing(now, pool.policy),
            },
        }
    };
    loop {
        let picked = pick(pool.servers.len(), candidate, pool.settings.balance, turn)?;
        let load = &pool.servers[picked].load;
        if load.is_well() {
            return Some(picked);
        }
        let seen = load.state();
        if !seen.may_be_tried(now, pool.policy) || load.try_it(seen, now) {
            return Some(picked);
        }
        // Somebody else was faster, and the server stands otherwise now.
    }
}

/// The name in the request's Host, where the server is verified by it.
fn own_host(plan: &Plan, server: &LiveServer) -> Option<Vec<u8>> {
    server
        .is_verified_by_host()
        .then(|| without_port(plan.record.text(Text::Host)).to_ascii_lowercase())
}

async fn take_idle<M: Machine>(
    client: &Client<M>,
    plan: &Plan,
    busy: &Busy,
) -> Option<Stream<M::Socket>> {
    let server = busy.server();
    let idle = &client.worker.idle;
    let host = own_host(plan, server);
    loop {
        let taken = poll_fn(|cx| Poll::Ready(idle.take(server.shelf, host.as_deref(), cx)));
        let stream = taken.await?;
        // A request that must not be sent twice is worth one more look.
        if plan.may_be_repeated || !stream.has_spoken() {
            return Some(stream);
        }
    }
}

/// Lets go of a connection that anybody may use next. There is no such thing for an [`OwnLease`].
pub(super) async fn give_back<M: Machine>(
    client: &Client<M>,
    plan: &Plan,
    lease: Lease<M::Socket>,
) {
    let server = lease.busy.server();
    let pool = &plan.view.pool(plan.pool).settings;
    let host = own_host(plan, server);
    let place = (server.shelf, host.as_deref());
    let until = client.worker.alarms.now() + pool.timeouts.upstream_idle;
    let mut stream = Some(lease.stream);
    poll_fn(|cx| {
        if let Some(stream) = stream.take() {
            let bounds = (until, pool.idle_max as usize);
            client.worker.idle.give_back(stream, place, bounds, cx);
        }
        Poll::Ready(())
    })
    .await;
}

async fn connect<M: Machine>(
    client: &mut Client<M>,
    plan: &Plan,
    busy: &Busy,
) -> Result<Stream<M::Socket>, Failure> {
    let server = busy.server();
    let (worker, alarm) = (&client.worker, &client.alarm);
    worker.counters.dials.add(1);
    let mut dialled = worker.machine.dial(&server.dial);
    if dialled.as_ref().is_err_and(no_descriptors) && worker.idle.drop_one() {
        dialled = worker.machine.dial(&server.dial);
    }
    let socket = dialled.map_err(|error| dial_failure(&error))?;
    // The head has come, and nothing is due from the client meanwhile.
    alarm.clear(Which::Client);
    alarm.set(Which::Upstream, plan.timeouts().connect);
    let connected = alarm.until(Which::Upstream, |cx| socket.poll_writable(cx)).await;
    connected.map_err(|_| Failure::Upstream(UpstreamFault::SlowConnect))?;
    socket.connect_result().map_err(|error| dial_failure(&error))?;
    let Some(tls) = &server.tls else { return Ok(Stream::plain(socket)) };
    let host = String::from_utf8_lossy(without_port(plan.record.text(Text::Host)));
    let name = tls.name.as_deref().unwrap_or(&host);
    let session = tls.connector.connect(name);
    let session =
        session.map_err(|fault| tls_failure(client, (server, tls), &Broken::Tls(fault)))?;
    let stream = Stream::secure(socket, session);
    match stream.handshake(None, alarm, Which::Upstream).await {
        Ok(()) => {
            if let Some(suite) = stream.old_suite() {
                upstream_with(&worker.counters, suite).add(1);
            }
            Ok(stream)
        }
        Err(broken) => Err(tls_failure(client, (server, tls), &broken)),
    }
}

/// Descriptors may be short for a moment; that is ours, not the server's.
pub(super) fn no_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Why there is no connection: what this box lacks, or what the error says about the server.
pub(super) fn dial_failure(error: &io::Error) -> Failure {
    if no_descriptors(error) {
        return Failure::Proxy(ProxyFault::NoDescriptors);
    }
    Failure::Upstream(match error.kind() {
        io::ErrorKind::AddrInUse => return Failure::Proxy(ProxyFault::NoPorts),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => UpstreamFault::Refused,
        io::ErrorKind::TimedOut => UpstreamFault::SlowConnect,
        _ => UpstreamFault::Unreachable,
    })
}

/// Counts handshakes with servers.
fn upstream_with(counters: &Counters, suite: OldSuite) -> &Counter {
    match suite {
        OldSuite::Aes128Sha256 => &counters.upstream_aes128_sha256,
        OldSuite::Aes256Sha => &counters.upstream_aes256_sha,
        OldSuite::Aes128Sha => &counters.upstream_aes128_sha,
        OldSuite::Aes256Sha384 => &counters.upstream_aes256_sha384,
    }
}

fn tls_failure<M: Machine>(
    client: &Client<M>,
    (server, tls): (&LiveServer, &ServerTls),
    broken: &Broken,
) -> Failure {
    let why = match broken {
        Broken::TimedOut => return Failure::Upstream(UpstreamFault::SlowConnect),
        Broken::Socket(error) => tls.connector.explain_end(error),
        Broken::Tls(fault) => tls.connector.explain(fault),
    };
    client.worker.shared.notices.say(&server.text, &format!("TLS: {why}"));
    Failure::Upstream(UpstreamFault::TlsFailed)
}

/// An upstream connection that carries one client's requests only, because it is, or may be, logged
/// in as that client. There is no way back from here to the connections that anybody may use.
pub(super) struct Pin<S> {
    pub(super) stream: Stream<S>,
    view: View,
    pool: PoolId,
    server: usize,
    /// The name that the server was verified by, if that was the request's own.
    host: Option<Vec<u8>>,
    tie: Tie,
}

impl<S> Pin<S> {
    /// Ties a connection to its client until its next request, and whether it was not before.
    pub(super) fn new(held: Held<S>, plan: &Plan) -> (Self, bool) {
        let OwnLease { lease, tie } = match held {
            Held::Own(own) => own,
            Held::Shared(lease) => OwnLease { lease, tie: None },
        };
        let host = own_host(plan, lease.busy.server());
        let is_new = tie.is_none();
        let tie = tie.unwrap_or_else(|| Tie::new(&lease.busy.server().load));
        let Busy { ref view, pool, server, .. } = lease.busy;
        (Self { stream: lease.stream, view: view.clone(), pool, server, host, tie }, is_new)
    }

    /// How long the server can be relied on to keep it.
    pub(super) fn idle_time(&self) -> Duration {
        self.view.pool(self.pool).settings.timeouts.upstream_idle
    }

    fn pool_name(&self) -> &str {
        &self.view.pool(self.pool).settings.name
    }
}

/// Where the client's own connection to the pool of `plan` is, if it has one.
fn find_pin<M: Machine>(client: &Client<M>, plan: &Plan) -> Option<usize> {
    if client.pins.is_empty() {
        return None;
    }
    let wanted = &plan.view.pool(plan.pool).settings.name;
    let host = without_port(plan.record.text(Text::Host));
    let fits = |pin: &Pin<_>| {
        let same = |pinned: &Vec<u8>| pinned.eq_ignore_ascii_case(host);
        pin.pool_name() == wanted && pin.host.as_ref().is_none_or(same)
    };
    client.pins.iter().position(fits)
}

/// Takes a client's own connection for its next request, if it still stands.
async fn take_pin<M: Machine>(
    client: &mut Client<M>,
    plan: &mut Plan,
    at: usize,
) -> Result<OwnLease<M::Socket>, UpstreamFault> {
    let Pin { stream, view, pool, server, tie, .. } = client.pins.swap_remove(at);
    // A reload may have taken the server away, or changed how it is verified. An address that a name
    // does not have any more keeps those who are logged in there.
    let shelf = view.pool(pool).servers[server].shelf;
    let same = std::sync::Arc::ptr_eq(&view.config, &plan.view.config);
    if !same && !plan.view.pool(plan.pool).servers.iter().any(|server| server.shelf == shelf) {
        return Err(UpstreamFault::PinLost);
    }
    let quiet = poll_fn(|cx| Poll::Ready(stream.poll_spoken(cx).is_pending())).await;
    if !quiet || stream.has_spoken() {
        return Err(UpstreamFault::PinLost);
    }
    let busy = Busy::new(view, pool, server);
    note_server(&mut plan.record, &busy);
    Ok(OwnLease { lease: Lease { stream, reused: true, busy }, tie: Some(tie) })
}

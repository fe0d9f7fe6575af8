//! From the bytes of a head to what is to be done: one synchronous step, without a wait.

use std::time::Duration;

use crate::config;
use crate::exchange::{ClientFault, Failure, ProxyFault};
use crate::http::{
    FIELD_SLOTS, Forwarded, Framing, HeadLimits, Method, Parsed, RequestFacts, RequestHead,
    RequestPolicy, Slots, field_value, parse_request, write_request,
};
use crate::net::{Block, Machine, Moment, SMALL_BYTES};
use crate::observe::{Record, Text};
use crate::pool::settings::{PoolId, Timeouts};
use crate::site::{
    self, Action, Brief, ErrorPages, ErrorsId, Found, Rule, RuleId, Site, SiteId, TermsId,
};

use super::client::Client;
use super::log_in::{Guard, Locks, LogIn, admit, admit_ticket};
use super::worker::View;

/// What a head may grow by when it is sent on, beside the fields that are counted: a framing field
/// and the end of its connection.
const HEAD_GROWTH: usize = 128;

/// A request that is to be sent to a pool.
pub(super) struct Plan {
    pub(super) view: View,
    pub(super) pool: PoolId,
    pub(super) terms: TermsId,
    pub(super) request: RequestFacts,
    /// The head as the server gets it.
    pub(super) head: Block,
    pub(super) record: Box<Record>,
    pub(super) begun: Moment,
    /// A bodyless GET or HEAD.
    pub(super) may_be_repeated: bool,
    /// Most bytes of a body.
    pub(super) body_bytes_max: u64,
    /// The password that it tries.
    pub(super) log_in: Option<Box<LogIn>>,
}

impl Plan {
    /// Those of the pool before those of the site before those of the file.
    pub(super) fn timeouts(&self) -> &Timeouts {
        &self.view.config.table.terms(self.terms).timeouts
    }

    /// How a failure looks.
    pub(super) fn errors(&self) -> &ErrorPages {
        let config = &self.view.config;
        config.errors(config.table.terms(self.terms).errors)
    }
}

/// A request that is answered here.
pub(super) struct Reply {
    pub(super) view: View,
    pub(super) request: RequestFacts,
    pub(super) record: Box<Record>,
    pub(super) begun: Moment,
    pub(super) kind: ReplyKind,
    /// How a failure looks.
    pub(super) errors: ErrorsId,
    /// How long the client may wait then before it begins another.
    pub(super) client_idle: Duration,
    /// After how many seconds it may try again, if somebody knows.
    pub(super) retry_after: Option<u32>,
}

/// What it is answered with.
pub(super) enum ReplyKind {
    /// A Failure's page.
    Failure(Failure),
    /// A status without a failure of anybody's; 200 where there is nothing to say.
    Refused(u16),
    /// Another place.
    Redirect { status: u16, location: String },
    /// What the rule says.
    Respond(RuleId),
}

/// What the bytes so far come to.
pub(super) enum Judged {
    /// No whole head yet.
    NeedMore,
    Forward(Plan),
    Reply(Reply),
    /// No request at all; the connection ends after the answer.
    Malformed(Failure, Box<Record>, Moment),
}

/// The file may not ask for more fields than a head has room for.
const _: () = assert!(config::FIELDS_MOST == FIELD_SLOTS as u64);

fn head_limits(limits: &site::Limits) -> HeadLimits {
    HeadLimits {
        head_bytes_max: limits.head_bytes_max as usize,
        field_bytes_max: limits.field_bytes_max as usize,
        target_bytes_max: limits.target_bytes_max as usize,
        fields_max: limits.fields_max as usize,
    }
}

/// Judges the filled bytes of `inbox` and consumes the head that they begin with, if it is whole.
pub(super) fn judge<M: Machine>(client: &Client<M>, inbox: &mut Block) -> Judged {
    let worker = &client.worker;
    let view = worker.view();
    let mut slots = Slots::new();
    let parsed =
        parse_request(inbox.filled(), &mut slots, &head_limits(&view.config.limits.largest));
    let head = match parsed {
        Ok(Parsed::NeedMore) => return Judged::NeedMore,
        Ok(Parsed::Complete(head)) => head,
        Err(why) => {
            let begun = worker.machine.now();
            let mut record = client.open_record(begun);
            record.bytes_in = inbox.len() as u64;
            return Judged::Malformed(Failure::Client(ClientFault::Malformed(why)), record, begun);
        }
    };
    let begun = worker.machine.now();
    let mut record = client.open_record(begun);
    note_request(&mut record, &head, view.config.log.keep_query);
    let used = head.bytes;
    let judged = decide(client, &view, &head, record, begun);
    inbox.consume(used);
    judged
}

fn note_request(record: &mut Record, head: &RequestHead<'_, '_>, keep_query: bool) {
    record.http11 = head.facts.version == crate::http::Version::Http11;
    record.bytes_in = head.bytes as u64;
    record.note(Text::Method, head.method);
    record.note(Text::Host, head.host);
    let (path, query) = split_query(head.path);
    record.note(Text::Path, path);
    if keep_query {
        record.note(Text::Query, query);
    } else {
        record.query_bytes = u32::try_from(query.len()).unwrap_or(u32::MAX);
    }
    if let Some(referer) = field_value(head.fields, "referer") {
        record.note(Text::Referer, if keep_query { referer } else { split_query(referer).0 });
    }
    if let Some(agent) = field_value(head.fields, "user-agent") {
        record.note(Text::UserAgent, agent);
    }
}

fn split_query(target: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'?', target) {
        Some(mark) => (&target[..mark], &target[mark + 1..]),
        None => (target, &[]),
    }
}

fn decide<M: Machine>(
    client: &Client<M>,
    view: &View,
    head: &RequestHead<'_, '_>,
    mut record: Box<Record>,
    begun: Moment,
) -> Judged {
    let mut scratch = client.worker.scratch.borrow_mut();
    let table = &view.config.table;
    // A listener that a reload took away has no sites.
    let found = match view.listener(client.door) {
        Some(listener) => table.find(listener.id, head.host, head.path, &mut scratch),
        None => Found::NoSite,
    };
    let nobodys = (ErrorsId::GLOBAL, view.config.timeouts.client_idle);
    let (site, kind, whose) = match found {
        Found::Rule { site, rule, brief, names } => {
            record.note(Text::Site, names.site);
            record.site_number = view.site_number(names.site_id);
            record.note(Text::Rule, names.rule);
            let whose = (brief.terms.errors, brief.terms.timeouts.client_idle);
            let guarded = brief.terms.guarded.then_some(site);
            if let Some(failure) = refusal(client, view, head, (guarded, &brief.terms.limits)) {
                let kind = ReplyKind::Failure(failure);
                return reply_with(view, head, (record, begun), kind, whose);
            }
            if let Some(pool) = brief.pool
                && !is_misdirected(client, view, names.site_id)
                && head.max_forwards != Some(0)
            {
                let guard = brief.terms.log_in_guard.as_ref().zip(str::from_utf8(names.site).ok());
                let log_in = match log_in(client, (guard, head), &mut scratch, begun) {
                    Ok(log_in) => log_in,
                    Err(locks) => return locked(view, head, (record, begun), locks, whose),
                };
                return forward(client, view, (brief, pool, log_in), head, record, begun);
            }
            (Some(names.site_id), reply_kind(head, rule), whose)
        }
        Found::NoRule(site) => {
            record.note(Text::Site, site.name.as_bytes());
            record.site_number = view.site_number(site.id);
            let refused = refusal(client, view, head, (Some(site), &site.limits));
            let failure = refused.unwrap_or(Failure::Client(ClientFault::NoRule));
            let whose = (site.errors, site.timeouts.client_idle);
            (Some(site.id), ReplyKind::Failure(failure), whose)
        }
        Found::NoSite => (None, failed(ClientFault::Misdirected), nobodys),
        Found::BadPath(_) => (None, failed(ClientFault::BadPath), nobodys),
    };
    let misdirected = site.is_some_and(|site| is_misdirected(client, view, site));
    // Whose page it would be is not known: the connection is another Site's.
    let (kind, whose) =
        if misdirected { (failed(ClientFault::Misdirected), nobodys) } else { (kind, whose) };
    reply_with(view, head, (record, begun), kind, whose)
}

fn reply_with(
    view: &View,
    head: &RequestHead<'_, '_>,
    (record, begun): (Box<Record>, Moment),
    kind: ReplyKind,
    (errors, client_idle): (ErrorsId, Duration),
) -> Judged {
    let (view, request) = (view.clone(), head.facts);
    let retry_after = None;
    Judged::Reply(Reply { view, request, record, begun, kind, errors, client_idle, retry_after })
}

/// What a request tries to log in with, if that may be tried.
#[inline]
fn log_in<M: Machine>(
    client: &Client<M>,
    (guard, head): (Option<Guard<'_>>, &RequestHead<'_, '_>),
    scratch: &mut Vec<u8>,
    begun: Moment,
) -> Result<Option<Box<LogIn>>, Locks> {
    if let Some(guard) = guard {
        admit_ticket(client, (guard, head), scratch, begun)?;
    }
    admit(client, (guard, head), begun)
}

#[cold]
fn locked(
    view: &View,
    head: &RequestHead<'_, '_>,
    (record, begun): (Box<Record>, Moment),
    (failure, wait): Locks,
    (errors, client_idle): (ErrorsId, Duration),
) -> Judged {
    let (view, request) = (view.clone(), head.facts);
    let (kind, retry_after) = (ReplyKind::Failure(failure), Some(wait));
    Judged::Reply(Reply { view, request, record, begun, kind, errors, client_idle, retry_after })
}

/// Why a request is refused as soon as its Site is known, whatever its Rule. `guarded` is the Site
/// if it is not for everybody.
#[inline]
fn refusal<M: Machine>(
    client: &Client<M>,
    view: &View,
    head: &RequestHead<'_, '_>,
    (guarded, limits): (Option<&Site>, &site::Limits),
) -> Option<Failure> {
    if guarded.is_some_and(|site| !site.admission.admits(client.peer.ip())) {
        return Some(Failure::Client(ClientFault::AddressRefused));
    }
    if let Err(why) = head.check(&head_limits(limits)) {
        return Some(Failure::Client(ClientFault::Malformed(why)));
    }
    client.worker.memory_is_full(view).then_some(Failure::Proxy(ProxyFault::MemoryFull))
}

fn failed(fault: ClientFault) -> ReplyKind {
    ReplyKind::Failure(Failure::Client(fault))
}

/// The connection was set up for the certificates of another site, or before the listener began to
/// speak TLS, or ceased to.
fn is_misdirected<M: Machine>(client: &Client<M>, view: &View, site: SiteId) -> bool {
    let Some(listener) = view.listener(client.door) else { return true };
    match client.presented {
        Some(presented) => !listener.tls || presented != view.presented(site, listener.id),
        None => listener.tls,
    }
}

fn reply_kind(head: &RequestHead<'_, '_>, rule: &Rule) -> ReplyKind {
    match &rule.action {
        // It was to come no further than here (RFC 9110 section 7.6.2).
        Action::Forward(_) => ReplyKind::Refused(200),
        Action::Respond(_) => ReplyKind::Respond(rule.id),
        Action::Refuse(status) => ReplyKind::Refused(*status),
        Action::Redirect { status, location } => {
            let status = status.unwrap_or_else(|| moved(head));
            ReplyKind::Redirect { status, location: location.to_string() }
        }
        Action::RedirectToHttps { port } => {
            ReplyKind::Redirect { status: moved(head), location: https_location(head, *port) }
        }
    }
}

/// Clients may turn other methods into GET on a 301 (RFC 9110 section 15.4.2).
fn moved(head: &RequestHead<'_, '_>) -> u16 {
    if matches!(head.facts.method, Method::Get | Method::Head) { 301 } else { 307 }
}

fn https_location(head: &RequestHead<'_, '_>, port: u16) -> String {
    let name = site::host::without_port(head.host);
    let name = String::from_utf8_lossy(name);
    let path = String::from_utf8_lossy(head.path);
    match port {
        443 => format!("https://{name}{path}"),
        _ => format!("https://{name}:{port}{path}"),
    }
}

fn forward<M: Machine>(
    client: &Client<M>,
    view: &View,
    (brief, pool, log_in): (Brief<'_>, PoolId, Option<Box<LogIn>>),
    head: &RequestHead<'_, '_>,
    record: Box<Record>,
    begun: Moment,
) -> Judged {
    let request = head.facts;
    let body_bytes_max = brief.terms.limits.body_bytes_max.unwrap_or(u64::MAX);
    if matches!(request.framing, Framing::Length(length) if length > body_bytes_max) {
        let kind = failed(ClientFault::BodyTooLong);
        let whose = (brief.terms.errors, brief.terms.timeouts.client_idle);
        return reply_with(view, head, (record, begun), kind, whose);
    }
    let (policy, mut extra) = forwarded_fields(client, brief.terms.forwarded, head);
    if let Some(hops) = head.max_forwards {
        extra += &format!("Max-Forwards: {}\r\n", hops.saturating_sub(1));
    }
    let bodyless = matches!(request.framing, Framing::None | Framing::Length(0));
    // What is there of a body goes up in one piece with the head.
    let body = if bodyless { 0 } else { SMALL_BYTES / 2 };
    let mut out = Block::with_room(head.bytes + extra.len() + HEAD_GROWTH + body);
    write_request(head, &RequestPolicy { forwarded: policy, extra: extra.as_bytes() }, &mut out);
    Judged::Forward(Plan {
        view: view.clone(),
        pool,
        terms: brief.terms_id,
        request,
        head: out,
        record,
        begun,
        may_be_repeated: bodyless && matches!(request.method, Method::Get | Method::Head),
        body_bytes_max,
        log_in,
    })
}

/// What becomes of the client's forwarded-like fields, and ours in their place.
fn forwarded_fields<M: Machine>(
    client: &Client<M>,
    ours: site::Forwarded,
    head: &RequestHead<'_, '_>,
) -> (Forwarded, String) {
    let before = match ours {
        site::Forwarded::Drop => return (Forwarded::Drop, String::new()),
        site::Forwarded::Pass => return (Forwarded::Pass, String::new()),
        site::Forwarded::Replace => String::new(),
        site::Forwarded::Append => {
            let ours = |name: &str| name.eq_ignore_ascii_case("x-forwarded-for");
            let values = head.fields.iter().filter(|field| ours(field.name));
            values.map(|field| String::from_utf8_lossy(field.value) + ", ").collect()
        }
    };
    let address = client.peer.ip().to_canonical();
    let scheme = if client.presented.is_some() { "https" } else { "http" };
    let host = String::from_utf8_lossy(head.host);
    let fields = format!(
        "X-Forwarded-For: {before}{address}\r\nX-Forwarded-Proto: {scheme}\r\n\
         X-Forwarded-Host: {host}\r\n"
    );
    (Forwarded::Drop, fields)
}

//! The answer's way down: interim heads are passed on, the final head is rewritten and goes with
//! the first body bytes in one piece, the rest follows as it comes.

use crate::exchange::{ClientFault, Failure, UpstreamFault};
use crate::http::{
    AnswerPolicy, Chunked, Framing, HeadLimits, Malformed, OutgoingBody, Parsed, ResponseFacts,
    ResponseTo, Slots, Version, chunk_size_line, may_decide, parse_response, write_response_with,
};
use crate::net::{Block, Machine, SMALL_BYTES, Socket};

use super::alarm::Which;
use super::forward::Exchange;
use super::stream::{Broken, Took};
use super::upload::{CHUNK_BACK, CHUNK_FRONT, LAST_WORD, put_chunk, put_last_chunk};

/// How large a server's head may be.
pub(super) const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 128 * 1024,
    field_bytes_max: 64 * 1024,
    target_bytes_max: 0,
    fields_max: 256,
};

/// What a head may grow by when it is sent on: the date, fields of framing and of the connection,
/// and the lines around a chunk.
const HEAD_GROWTH: usize = 256;

/// Interim answers that one exchange may bring.
const INTERIM_MAX: u32 = 16;

/// A final answer that the client has got to its end.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) facts: ResponseFacts,
    /// The server sent nothing behind its end.
    pub(super) nothing_extra: bool,
    /// The client's connection may carry another request.
    pub(super) keep_client: bool,
    /// Both sides switched protocols; the bytes that the server sent behind its head.
    pub(super) tunnel: Option<Block>,
}

/// Why there is no answer, or not all of it.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The connection ended before the first byte; what that is, where nothing else can be done.
    Nothing(UpstreamFault),
    Failure(Failure),
}

impl From<UpstreamFault> for NoAnswer {
    fn from(fault: UpstreamFault) -> Self {
        Self::Failure(Failure::Upstream(fault))
    }
}

impl From<ClientFault> for NoAnswer {
    fn from(fault: ClientFault) -> Self {
        Self::Failure(Failure::Client(fault))
    }
}

/// What is sent on of an answer's head.
struct FinalHead {
    facts: ResponseFacts,
    body: Body,
    /// The client's connection may carry another request.
    keep_client: bool,
    out: Block,
}

pub(super) async fn answer<M: Machine>(exchange: &Exchange<'_, M>) -> Result<Answered, NoAnswer> {
    let mut block = None;
    let FinalHead { facts, mut body, keep_client, out } = final_head(exchange, &mut block).await?;
    let mut rest = block.unwrap_or_else(Block::none);
    if facts.upgrade_websocket {
        give(exchange, out.filled()).await?;
        return Ok(Answered { facts, nothing_extra: true, keep_client: false, tunnel: Some(rest) });
    }
    let mut first = begin(exchange, &mut body, out, &mut rest)?;
    if !(body.is_whole() && keep_client && post(exchange, &mut first)?) {
        give(exchange, first.filled()).await?;
        drop(first);
    }
    while !body.is_whole() {
        relay_piece(exchange, &mut body, &mut rest).await?;
    }
    Ok(Answered { facts, nothing_extra: rest.is_empty(), keep_client, tunnel: None })
}

/// Reads heads until the final one; `block` then holds what came behind it.
async fn final_head<M: Machine>(
    exchange: &Exchange<'_, M>,
    block: &mut Option<Block>,
) -> Result<FinalHead, NoAnswer> {
    let mut seen = 0;
    let mut interims = 0;
    loop {
        // What is found is not held over the waits below.
        let interim = match look(exchange, block, &mut seen)? {
            Head::Final(head) => return Ok(head),
            Head::Interim(out) => Some(out),
            Head::NeedMore => None,
        };
        let Some(out) = interim else {
            receive_head(exchange, block).await?;
            continue;
        };
        interims += 1;
        if interims > INTERIM_MAX {
            return Err(UpstreamFault::Malformed(Malformed::UpgradeUnasked).into());
        }
        give_interim(exchange, &out).await?;
    }
}

/// Reads what `block` begins with, of which `seen` bytes were looked at before.
fn look<M: Machine>(
    exchange: &Exchange<'_, M>,
    block: &mut Option<Block>,
    seen: &mut usize,
) -> Result<Head, UpstreamFault> {
    let worth = |inbox: &&mut Block| !inbox.is_empty() && may_decide(inbox.filled(), *seen);
    let Some(inbox) = block.as_mut().filter(worth) else { return Ok(Head::NeedMore) };
    let head = read_head(exchange, inbox)?;
    *seen = if matches!(head, Head::NeedMore) { inbox.len() } else { 0 };
    Ok(head)
}

/// A client that was slow to take it costs the final head no time.
async fn give_interim<M: Machine>(exchange: &Exchange<'_, M>, out: &Block) -> Result<(), NoAnswer> {
    if out.is_empty() {
        return Ok(());
    }
    give(exchange, out.filled()).await?;
    if exchange.progress.request_whole.get() && !exchange.progress.client_ended.get() {
        exchange.alarm.set(Which::Upstream, exchange.timeouts.response_head);
    }
    Ok(())
}

async fn receive_head<M: Machine>(
    exchange: &Exchange<'_, M>,
    block: &mut Option<Block>,
) -> Result<(), NoAnswer> {
    let (alarm, upstream) = (exchange.alarm, exchange.upstream);
    let begun = block.as_ref().is_some_and(|block| !block.is_empty());
    let waited = alarm.until(Which::Upstream, |cx| upstream.poll_readable(cx)).await;
    if waited.is_err() {
        let left = exchange.progress.client_ended.get();
        return Err(if left { ClientFault::Left.into() } else { UpstreamFault::SlowHead.into() });
    }
    let inbox = block.get_or_insert_with(Block::small);
    if inbox.room_left() == 0 {
        // Bounded: the parser refuses a head past its limit.
        inbox.reserve(inbox.len());
    }
    let room = inbox.room_left();
    match upstream.take(inbox, room) {
        // Said before anything of the request has left us, so it answers nobody's.
        Ok(Took::Bytes(_)) if upstream.socket().given() == exchange.given_before => {
            Err(NoAnswer::Nothing(UpstreamFault::ClosedBeforeHead))
        }
        Ok(Took::Bytes(_)) => {
            if exchange.progress.first_byte.get().is_none() {
                exchange.progress.first_byte.set(Some(exchange.worker.machine.now()));
            }
            Ok(())
        }
        Ok(Took::Nothing) => {
            if !begun {
                *block = None;
            }
            Ok(())
        }
        Ok(Took::End) if !begun => Err(ended(exchange, UpstreamFault::ClosedBeforeHead)),
        Err(broken) if !begun => Err(ended(exchange, end_of(&broken))),
        Ok(Took::End) | Err(_) => Err(UpstreamFault::Truncated.into()),
    }
}

/// After an interim answer the server had the request.
fn ended<M: Machine>(exchange: &Exchange<'_, M>, fault: UpstreamFault) -> NoAnswer {
    match exchange.progress.first_byte.get() {
        None => NoAnswer::Nothing(fault),
        Some(_) => fault.into(),
    }
}

/// A server that goes says so. Where the way to it is gone nobody does: the kernel gives up after
/// `tcp_keepalive`, by the error that it met last.
fn end_of(broken: &Broken) -> UpstreamFault {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match broken {
        Broken::Socket(error)
            if !matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) =>
        {
            UpstreamFault::Unreachable
        }
        Broken::Socket(_) | Broken::Tls(_) | Broken::TimedOut => UpstreamFault::ClosedBeforeHead,
    }
}

enum Head {
    NeedMore,
    Interim(Block),
    Final(FinalHead),
}

/// Reads the head that `inbox` begins with, if it is whole, and consumes it.
fn read_head<M: Machine>(
    exchange: &Exchange<'_, M>,
    inbox: &mut Block,
) -> Result<Head, UpstreamFault> {
    let mut slots = Slots::new();
    let request = &exchange.request;
    let to = ResponseTo { method: request.method, upgrade_sent: request.upgrade_websocket };
    let parsed = parse_response(inbox.filled(), &mut slots, &LIMITS, to);
    let head = match parsed.map_err(UpstreamFault::Malformed)? {
        Parsed::NeedMore => return Ok(Head::NeedMore),
        Parsed::Complete(head) => head,
    };
    let facts = head.facts;
    let mut policy = AnswerPolicy {
        version: request.version,
        body: OutgoingBody::choose(&facts, request.version),
        keep_alive: request.keep_alive && exchange.worker.keeps_clients(),
    };
    policy.keep_alive &= policy.body != OutgoingBody::UntilClose;
    // A log-in ends with its upstream connection, and the client has to hear of it.
    let upstream_stays = facts.keep_alive && facts.framing != Framing::UntilClose;
    policy.keep_alive &= upstream_stays || !exchange.owned;
    // After a refused upgrade, what the client sent early was meant for the new protocol.
    let sent_early = || exchange.sent_early || exchange.client.socket().has_news();
    policy.keep_alive &= !(request.upgrade_websocket && sent_early());
    // With what there is of the body.
    let mut out = Block::with_room(inbox.len() + HEAD_GROWTH);
    let used = head.bytes;
    if facts.interim() && !facts.upgrade_websocket {
        // An HTTP/1.0 client knows no interim answers; a 100 of ours has gone out already.
        let known = request.version == Version::Http11 && facts.status != 100;
        if known {
            write_response_with(&head, &policy, b"", &mut out);
        }
        inbox.consume(used);
        return Ok(Head::Interim(out));
    }
    let date = exchange.worker.date_line();
    let extra: &[u8] = if facts.date { b"" } else { &date };
    write_response_with(&head, &policy, extra, &mut out);
    exchange.progress.status.set(facts.status);
    inbox.consume(used);
    let body = Body::of(&facts, policy.body);
    Ok(Head::Final(FinalHead { facts, body, keep_client: policy.keep_alive, out }))
}

/// Gives bytes to the client.
async fn give<M: Machine>(exchange: &Exchange<'_, M>, bytes: &[u8]) -> Result<(), NoAnswer> {
    let patience = (Which::Upstream, exchange.timeouts.client_write_idle);
    let (client, pace) = (exchange.client, &exchange.taking);
    let given = client.give_all(bytes, exchange.alarm, patience, Some(pace)).await;
    given.map_err(no_taker)?;
    note_given(exchange, bytes.len());
    Ok(())
}

/// Posts an answer that is whole and after which the client may ask again; false if it is too long
/// for that.
fn post<M: Machine>(exchange: &Exchange<'_, M>, out: &mut Block) -> Result<bool, NoAnswer> {
    let length = out.len();
    // Behind what the client has not taken yet it may have to wait.
    if exchange.client.socket().holds_posted() || length > SMALL_BYTES / 2 {
        exchange.progress.waited.set(true);
    }
    let posted = exchange.client.post(out).map_err(no_taker)?;
    if posted {
        note_given(exchange, length);
    }
    Ok(posted)
}

fn note_given<M: Machine>(exchange: &Exchange<'_, M>, length: usize) {
    let so_far = exchange.progress.bytes_out.get();
    exchange.progress.bytes_out.set(so_far + length as u64);
}

/// Why the client takes no more.
fn no_taker(broken: Broken) -> NoAnswer {
    match broken {
        Broken::TimedOut => ClientFault::SlowReader.into(),
        Broken::Socket(_) | Broken::Tls(_) => ClientFault::Left.into(),
    }
}

/// An answer's body on its way.
struct Body {
    from: Rest,
    /// We frame it by chunks.
    chunked: bool,
}

enum Rest {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    /// The end was found; trailers to pass on.
    Whole(Vec<u8>),
}

impl Body {
    fn of(facts: &ResponseFacts, outgoing: OutgoingBody) -> Self {
        let from = match facts.framing {
            Framing::None => Rest::Whole(Vec::new()),
            Framing::Length(0) => Rest::Whole(Vec::new()),
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Chunked::new()),
            Framing::UntilClose => Rest::UntilClose,
        };
        let framed = !matches!(facts.framing, Framing::None | Framing::Length(_));
        Self { from, chunked: framed && outgoing == OutgoingBody::Chunked }
    }

    fn is_whole(&self) -> bool {
        matches!(self.from, Rest::Whole(_))
    }

    /// Takes what `block` begins with: how many bytes of data now stand at its front, and how many
    /// bytes they came from.
    fn next(&mut self, block: &mut Block) -> Result<(usize, usize), UpstreamFault> {
        let length = block.len();
        match &mut self.from {
            Rest::Length(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(length);
                *left -= data as u64;
                if *left == 0 {
                    self.from = Rest::Whole(Vec::new());
                }
                Ok((data, data))
            }
            Rest::Chunked(chunked) => {
                let decoded = chunked.decode(block.filled_mut());
                let decoded = decoded.map_err(UpstreamFault::Malformed)?;
                if decoded.end {
                    self.from = Rest::Whole(chunked.trailers().to_vec());
                }
                Ok((decoded.data, decoded.used))
            }
            Rest::UntilClose => Ok((length, length)),
            Rest::Whole(_) => Ok((0, 0)),
        }
    }

    /// The server has ended the connection.
    fn end(&mut self, properly: bool) -> Result<(), UpstreamFault> {
        match self.from {
            // An end of the connection alone may be anybody's (RFC 9112 section 9.8).
            Rest::UntilClose if properly => {
                self.from = Rest::Whole(Vec::new());
                Ok(())
            }
            _ => Err(UpstreamFault::Truncated),
        }
    }

    /// Bytes that the next read may be good for.
    fn expected(&self) -> usize {
        match self.from {
            Rest::Length(left) => usize::try_from(left).unwrap_or(usize::MAX),
            _ => usize::MAX,
        }
    }

    fn put_end(&self, out: &mut Block) {
        if let Rest::Whole(trailers) = &self.from
            && self.chunked
        {
            put_last_chunk(trailers, out);
        }
    }
}

/// Puts what is there of the body behind the head. What is left in `rest` came behind its end.
fn begin<M: Machine>(
    exchange: &Exchange<'_, M>,
    body: &mut Body,
    mut out: Block,
    rest: &mut Block,
) -> Result<Block, NoAnswer> {
    if !rest.is_empty() && !body.is_whole() {
        let (data, used) = body.next(rest)?;
        let bytes = rest.filled().get(..data).unwrap_or_default();
        if body.chunked && data > 0 {
            out.put(chunk_size_line(data, &mut [0; CHUNK_FRONT]));
            out.put(bytes);
            out.put(b"\r\n");
        } else {
            out.put(bytes);
        }
        rest.consume(used);
    }
    if rest.is_empty() {
        *rest = Block::none();
    }
    body.put_end(&mut out);
    exchange.progress.answer_begun.set(true);
    Ok(out)
}

async fn relay_piece<M: Machine>(
    exchange: &Exchange<'_, M>,
    body: &mut Body,
    rest: &mut Block,
) -> Result<(), NoAnswer> {
    until_room(exchange).await?;
    let (mut block, ended) = receive(exchange, body).await?;
    if ended {
        body.end(exchange.upstream.ended_properly())?;
    }
    let (data, used) = body.next(&mut block)?;
    if body.is_whole() && used < block.len() {
        rest.put(block.filled().get(used..).unwrap_or_default());
    }
    block.truncate(data);
    if body.chunked {
        put_chunk(&mut block);
    }
    body.put_end(&mut block);
    give(exchange, block.filled()).await
}

/// A client that does not take what it has been given is waited for without a block.
async fn until_room<M: Machine>(exchange: &Exchange<'_, M>) -> Result<(), NoAnswer> {
    let patience = (Which::Upstream, exchange.timeouts.client_write_idle);
    let room = exchange.client.until_room(exchange.alarm, patience, &exchange.taking).await;
    room.map_err(no_taker)
}

/// Waits for body bytes and takes a piece of them; whether the server has ended instead.
async fn receive<M: Machine>(
    exchange: &Exchange<'_, M>,
    body: &Body,
) -> Result<(Block, bool), NoAnswer> {
    let (alarm, upstream) = (exchange.alarm, exchange.upstream);
    let mut patience = exchange.timeouts.response_body_idle;
    if exchange.progress.request_cut.get() {
        patience = patience.min(LAST_WORD);
    }
    alarm.set(Which::Upstream, patience);
    loop {
        let waited = alarm.until(Which::Upstream, |cx| upstream.poll_readable(cx)).await;
        if waited.is_err() {
            let left = exchange.progress.client_ended.get();
            let slow = UpstreamFault::SlowBody;
            return Err(if left { ClientFault::Left.into() } else { slow.into() });
        }
        let piece = exchange.taking.piece();
        let mut block = Block::with_room(body.expected().min(piece));
        let mut most = block.room_left();
        if body.chunked {
            block.leave_front(CHUNK_FRONT);
            most -= CHUNK_FRONT + CHUNK_BACK;
        }
        match upstream.take(&mut block, most.min(piece)) {
            Ok(Took::Bytes(_)) => return Ok((block, false)),
            Ok(Took::Nothing) => {}
            Ok(Took::End) => return Ok((block, true)),
            Err(_) => return Err(UpstreamFault::Truncated.into()),
        }
    }
}

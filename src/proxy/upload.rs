//! The request's way up: head and first body bytes in one piece, the rest as it comes, then a
//! watch over the client until there is an answer.

use std::future::{pending, poll_fn};
use std::time::Duration;

use crate::exchange::{ClientFault, Failure};
use crate::http::{Chunked, Framing, chunk_size_line};
use crate::net::{BULK_BYTES, Block, Machine, Moment, SMALL_BYTES, Socket};

use super::alarm::Which;
use super::forward::Exchange;
use super::stream::Took;

/// A client that has ended its direction may be gone; the answer may take this long then.
const HALF_CLOSED_GRACE: Duration = Duration::from_secs(2);

/// What a client may send ahead while its answer is awaited; a TLS record more may be taken.
const AHEAD_BYTES_MAX: usize = SMALL_BYTES - 1024;

/// A server that takes no more of a request has this long to say why.
pub(super) const LAST_WORD: Duration = Duration::from_secs(5);

/// Room that a chunk's size line needs in front of its data.
pub(super) const CHUNK_FRONT: usize = 18;

/// Room for what follows a chunk's data: its line end, the last chunk, and usual trailers.
pub(super) const CHUNK_BACK: usize = 64;

/// Why the way up ended before the answer did.
#[derive(Debug)]
pub(super) enum Cut {
    /// The exchange cannot go on.
    Failure(Failure),
    /// The server takes no more; it may still answer.
    ServerStopped,
    /// The answer was there, and the rest of the request has taken too long or too much.
    EarlyAnswerOver,
}

impl From<ClientFault> for Cut {
    fn from(fault: ClientFault) -> Self {
        Self::Failure(Failure::Client(fault))
    }
}

/// Never ends by itself once the request is whole: whoever waits for the answer drops it.
pub(super) async fn upload<M: Machine>(
    exchange: &Exchange<'_, M>,
    head: &mut Block,
    inbox: &mut Option<Block>,
) -> Cut {
    if let Err(cut) = send_request(exchange, head, inbox).await {
        match (&cut, exchange.progress.answer_begun.get()) {
            (Cut::ServerStopped, false) => exchange.alarm.set(Which::Upstream, LAST_WORD),
            // A server that waits for the rest before it goes on would wait for ever.
            (Cut::Failure(_), true) => {
                exchange.progress.request_cut.set(true);
                exchange.alarm.set_no_later(Which::Upstream, LAST_WORD);
            }
            _ => {}
        }
        return cut;
    }
    exchange.progress.request_whole.set(true);
    if !exchange.repeatable {
        *head = Block::none();
    }
    exchange.alarm.clear(Which::Client);
    if !exchange.progress.answer_begun.get() {
        exchange.alarm.set(Which::Upstream, exchange.timeouts.response_head);
    }
    if exchange.request.upgrade_websocket {
        return watch_untouched(exchange).await;
    }
    watch(exchange, inbox).await
}

async fn send_request<M: Machine>(
    exchange: &Exchange<'_, M>,
    head: &mut Block,
    inbox: &mut Option<Block>,
) -> Result<(), Cut> {
    let mut body = match exchange.request.framing {
        Framing::None => Body::Length(0),
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked | Framing::UntilClose => Body::Chunked(Chunked::new()),
    };
    if !body.is_whole() {
        if let Some(mut block) = inbox.take().filter(|block| !block.is_empty()) {
            let piece = body.next(exchange, &mut block)?;
            body.copy(piece, &block, head);
            block.consume(piece.used);
            *inbox = Some(block).filter(|block| !block.is_empty());
        } else if exchange.request.expect_continue {
            invite(exchange).await?;
        }
    }
    if body.is_whole() && post(exchange, head)? {
        return Ok(());
    }
    give(exchange, head.filled()).await?;
    while !body.is_whole() {
        *inbox = send_piece(exchange, &mut body).await?;
    }
    Ok(())
}

/// The client waits for a word before it sends the body. It is ours, since the server is there;
/// what the server thinks of the request comes as its answer.
async fn invite<M: Machine>(exchange: &Exchange<'_, M>) -> Result<(), Cut> {
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let patience = (Which::Client, exchange.timeouts.client_write_idle);
    let given = exchange.client.give_all(CONTINUE, exchange.alarm, patience, None).await;
    given.map_err(|_| ClientFault::Left.into())
}

/// Posts a request that is whole; false if it is too long for that.
fn post<M: Machine>(exchange: &Exchange<'_, M>, head: &mut Block) -> Result<bool, Cut> {
    let posted = if exchange.repeatable {
        let mut copy = Block::with_room(head.len());
        copy.put(head.filled());
        exchange.upstream.post(&mut copy)
    } else {
        exchange.upstream.post(head)
    };
    posted.map_err(|_| Cut::ServerStopped)
}

/// Gives bytes to the server. Its own silence is judged by the answer's deadline.
async fn give<M: Machine>(exchange: &Exchange<'_, M>, bytes: &[u8]) -> Result<(), Cut> {
    let patience = (Which::Client, exchange.timeouts.client_write_idle);
    let given = exchange.upstream.give_all(bytes, exchange.alarm, patience, None).await;
    given.map_err(|_| Cut::ServerStopped)
}

/// Reads a piece of the body and sends it on; gives what came behind the body's end.
async fn send_piece<M: Machine>(
    exchange: &Exchange<'_, M>,
    body: &mut Body,
) -> Result<Option<Block>, Cut> {
    let mut block = receive(exchange, body).await?;
    let piece = body.next(exchange, &mut block)?;
    if let Some(left) = exchange.progress.early_left.get() {
        let left = left.checked_sub(piece.data as u64).ok_or(Cut::EarlyAnswerOver)?;
        exchange.progress.early_left.set(Some(left));
    }
    let rest = block.filled().get(piece.used..).filter(|rest| !rest.is_empty());
    let rest = rest.map(|rest| {
        let mut next = Block::small();
        next.put(rest);
        next
    });
    block.truncate(piece.data);
    body.frame(&mut block);
    give(exchange, block.filled()).await?;
    Ok(rest)
}

/// Waits for body bytes and takes them into a block that is large if many are due.
async fn receive<M: Machine>(exchange: &Exchange<'_, M>, body: &Body) -> Result<Block, Cut> {
    let silent_until = exchange.alarm.after(exchange.timeouts.client_body_idle);
    loop {
        until_readable(exchange, silent_until).await?;
        let mut block = match body {
            Body::Length(left) if *left < SMALL_BYTES as u64 => Block::small(),
            _ => Block::bulk(),
        };
        let mut most = block.room_left();
        if let Body::Chunked(_) = body {
            block.leave_front(CHUNK_FRONT);
            most = BULK_BYTES - CHUNK_FRONT - CHUNK_BACK;
        }
        match exchange.client.take(&mut block, most) {
            Ok(Took::Bytes(count)) => {
                exchange.sending.add(count);
                return Ok(block);
            }
            Ok(Took::Nothing) => {}
            Ok(Took::End) => return Err(ClientFault::Left.into()),
            Err(_) => return Err(gone(exchange)),
        }
    }
}

/// Waits for the client, whose pace is judged, until `silent_until` at most.
async fn until_readable<M: Machine>(
    exchange: &Exchange<'_, M>,
    silent_until: Moment,
) -> Result<(), Cut> {
    let (alarm, pace) = (exchange.alarm, &exchange.sending);
    loop {
        let from = alarm.now();
        alarm.set_at(Which::Client, silent_until.min(pace.judged_at(from)));
        let readable = alarm.until(Which::Client, |cx| exchange.client.poll_readable(cx)).await;
        let now = alarm.now();
        pace.wait(from, now);
        if pace.is_due() && pace.is_too_slow(0) {
            return Err(ClientFault::SlowBody.into());
        }
        if readable.is_ok() {
            return Ok(());
        }
        if now >= silent_until {
            return Err(ClientFault::SlowBody.into());
        }
    }
}

/// A request's body on its way.
enum Body {
    Length(u64),
    Chunked(Chunked),
    ChunkedWhole(Vec<u8>),
}

/// What a block holds of the body: `data` bytes at its front, `used` bytes of it in all.
#[derive(Clone, Copy, Debug)]
struct Piece {
    data: usize,
    used: usize,
}

impl Body {
    fn is_whole(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(_) => false,
            Self::ChunkedWhole(_) => true,
        }
    }

    /// Takes what `block` begins with; chunked framing is removed in place.
    fn next<M: Machine>(
        &mut self,
        exchange: &Exchange<'_, M>,
        block: &mut Block,
    ) -> Result<Piece, Cut> {
        let piece = match self {
            Self::Length(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(block.len());
                *left -= data as u64;
                Piece { data, used: data }
            }
            Self::Chunked(chunked) => {
                let decoded = chunked.decode(block.filled_mut());
                let decoded = decoded.map_err(|why| Cut::from(ClientFault::Malformed(why)))?;
                let piece = Piece { data: decoded.data, used: decoded.used };
                if decoded.end {
                    *self = Self::ChunkedWhole(chunked.trailers().to_vec());
                }
                piece
            }
            Self::ChunkedWhole(_) => Piece { data: 0, used: 0 },
        };
        let progress = &exchange.progress;
        let so_far = progress.bytes_in.get() + piece.data as u64;
        progress.bytes_in.set(so_far);
        if so_far > exchange.body_bytes_max {
            return Err(ClientFault::BodyTooLong.into());
        }
        Ok(piece)
    }

    /// Appends a piece to `out`, framed as the server expects it.
    fn copy(&self, piece: Piece, block: &Block, out: &mut Block) {
        let data = block.filled().get(..piece.data).unwrap_or_default();
        match self {
            Self::Length(_) => out.put(data),
            Self::Chunked(_) | Self::ChunkedWhole(_) => {
                if !data.is_empty() {
                    out.put(chunk_size_line(data.len(), &mut [0; CHUNK_FRONT]));
                    out.put(data);
                    out.put(b"\r\n");
                }
                self.put_end(out);
            }
        }
    }

    /// Frames the data that `block` holds in place.
    fn frame(&self, block: &mut Block) {
        if let Self::Length(_) = self {
            return;
        }
        put_chunk(block);
        self.put_end(block);
    }

    fn put_end(&self, out: &mut Block) {
        if let Self::ChunkedWhole(trailers) = self {
            put_last_chunk(trailers, out);
        }
    }
}

/// Makes one chunk of the data in `block`, which has [`CHUNK_FRONT`] bytes free at its front.
pub(super) fn put_chunk(block: &mut Block) {
    if !block.is_empty() {
        let length = block.len();
        block.prepend(chunk_size_line(length, &mut [0; CHUNK_FRONT]));
        block.put(b"\r\n");
    }
}

/// The end of a chunked body.
pub(super) fn put_last_chunk(trailers: &[u8], out: &mut Block) {
    out.put(b"0\r\n");
    out.put(trailers);
    out.put(b"\r\n");
}

/// Notices when a client leaves that waits for an upgrade. What it says meanwhile belongs to whoever
/// the answer makes its owner, so it is not taken.
async fn watch_untouched<M: Machine>(exchange: &Exchange<'_, M>) -> Cut {
    poll_fn(|cx| exchange.client.poll_readable(cx)).await;
    if exchange.client.socket().has_ended() { ClientFault::Left.into() } else { pending().await }
}

/// Notices when a client leaves that waits for its answer; keeps what it sends in advance.
async fn watch<M: Machine>(exchange: &Exchange<'_, M>, inbox: &mut Option<Block>) -> Cut {
    loop {
        poll_fn(|cx| exchange.client.poll_readable(cx)).await;
        let block = inbox.get_or_insert_with(Block::small);
        if block.len() >= AHEAD_BYTES_MAX {
            // A client that is this far ahead waits until its turn.
            return pending().await;
        }
        if block.room_left() == 0 {
            block.reserve(1);
        }
        let room = block.room_left();
        match exchange.client.take(block, room) {
            Ok(Took::Bytes(_)) => *inbox = inbox.take().map(Block::fitted),
            Ok(Took::Nothing) => {
                if block.is_empty() {
                    *inbox = None;
                }
            }
            Ok(Took::End) => {
                if block.is_empty() {
                    *inbox = None;
                }
                exchange.progress.client_ended.set(true);
                // Whoever takes an answer that has begun is still there.
                if !exchange.progress.answer_begun.get() {
                    exchange.alarm.set_no_later(Which::Upstream, HALF_CLOSED_GRACE);
                }
                return pending().await;
            }
            Err(_) => return gone(exchange),
        }
    }
}

/// The client's connection broke, so nobody takes an answer either.
fn gone<M: Machine>(exchange: &Exchange<'_, M>) -> Cut {
    exchange.progress.client_gone.set(true);
    ClientFault::Left.into()
}

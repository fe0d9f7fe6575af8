//! Heads on their way out. The lines that stay are copied in runs: as long as consecutive lines
//! are kept they are one piece of the head as it came, with the sender's own spelling.

use super::field::{FieldSet, Lines};
use super::{Framing, RequestHead, ResponseFacts, ResponseHead, Sink, Version};

/// What becomes of the forwarded-like fields of a client: `X-Forwarded-*`, `Forwarded`,
/// `X-Real-IP`, `X-Original-URL`, `X-Rewrite-URL`, `Front-End-Https`, `X-MS-Proxy`,
/// `X-MS-Forwarded-Client-IP`, `X-MS-Endpoint-Absolute-Path`, `Proxy`, with `_` as with `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Left out. Fields of our own come as [`RequestPolicy::extra`].
    Drop,
    /// Copied like any other.
    Pass,
}

/// How a request is rewritten.
#[derive(Clone, Copy, Debug)]
pub struct RequestPolicy<'a> {
    /// What becomes of the client's forwarded-like fields.
    pub forwarded: Forwarded,
    /// Whole field lines, each ending in CRLF, to send behind the client's; may be empty.
    pub extra: &'a [u8],
}

/// How the body of an answer is framed for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutgoingBody {
    /// As the server framed it, by Content-Length or not at all.
    AsIs,
    /// Chunked by us; for HTTP/1.1 clients only.
    Chunked,
    /// Ended by closing the connection.
    UntilClose,
}

impl OutgoingBody {
    /// The framing that a client of `version` can read and that keeps its connection, if there is
    /// one.
    pub fn choose(answer: &ResponseFacts, version: Version) -> Self {
        match answer.framing {
            Framing::None | Framing::Length(_) => Self::AsIs,
            Framing::Chunked | Framing::UntilClose if version == Version::Http11 => Self::Chunked,
            Framing::Chunked | Framing::UntilClose => Self::UntilClose,
        }
    }
}

/// How an answer is rewritten.
#[derive(Clone, Copy, Debug)]
pub struct AnswerPolicy {
    /// The client's version.
    pub version: Version,
    /// How the body is framed.
    pub body: OutgoingBody,
    /// Whether the client's connection stays open; [`OutgoingBody::UntilClose`] overrules it.
    pub keep_alive: bool,
}

/// Writes a request head for a server: HTTP/1.1, origin form, fields as they came without those
/// for one hop and those that Connection named, then `extra`, then our framing. A body that was
/// chunked is announced as chunked, a length is passed as sent. Upstream connections persist, so
/// Connection is sent only to upgrade.
pub fn write_request(head: &RequestHead<'_, '_>, policy: &RequestPolicy<'_>, out: &mut impl Sink) {
    let lines = &head.lines;
    let dropped = match policy.forwarded {
        Forwarded::Drop => head.dropped.with(&head.forwarded),
        Forwarded::Pass => head.dropped,
    };
    // The client's own request line will do when it is already what we would write.
    let verbatim = head.facts.version == Version::Http11 && head.path.len() == head.target.len();
    if !verbatim {
        out.put(head.method);
        out.put(b" ");
        out.put(head.path);
        out.put(b" HTTP/1.1\r\n");
    }
    if head.host_missing {
        out.put(b"Host: ");
        out.put(head.host);
        out.put(b"\r\n");
    }
    let start = if verbatim { 0 } else { lines.start(0) };
    let framing: &[u8] = if head.facts.framing == Framing::Chunked {
        b"Transfer-Encoding: chunked\r\n"
    } else if head.facts.upgrade_websocket {
        b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    } else {
        b""
    };
    finish(lines, start, dropped, [policy.extra, framing], out);
}

/// Writes the head of an answer for the client: `HTTP/1.1`, the server's status and reason,
/// fields in its case, order and number without those for one hop, then our framing and
/// Connection. After a 101 the upgrade is named; other 1xx get no Connection.
pub fn write_response(head: &ResponseHead<'_, '_>, answer: &AnswerPolicy, out: &mut impl Sink) {
    write_response_with(head, answer, b"", out);
}

/// As [`write_response`], with `extra` field lines of ours, each ending in CRLF, behind the
/// server's.
pub fn write_response_with(
    head: &ResponseHead<'_, '_>,
    answer: &AnswerPolicy,
    extra: &[u8],
    out: &mut impl Sink,
) {
    let lines = &head.lines;
    let mut dropped = head.dropped;
    if answer.body != OutgoingBody::AsIs {
        dropped.insert_some(head.length_at);
    }
    // `HTTP/1.1 NNN` is 12 bytes; the space behind it may be missing from a server.
    let spaced = lines.head.get(12) == Some(&b' ');
    let verbatim = spaced && head.facts.version == Version::Http11;
    if !verbatim {
        out.put(b"HTTP/1.1");
        out.put(lines.bytes(8..12));
    }
    if !spaced {
        out.put(b" ");
    }
    finish(lines, if verbatim { 0 } else { 12 }, dropped, [extra, own_lines(head, answer)], out);
}

/// What we say about framing and connection.
fn own_lines(head: &ResponseHead<'_, '_>, answer: &AnswerPolicy) -> &'static [u8] {
    if head.facts.upgrade_websocket {
        return b"Connection: Upgrade\r\nUpgrade: websocket\r\n";
    }
    if head.facts.interim() {
        return b"";
    }
    let old = answer.version == Version::Http10;
    match (answer.body, answer.keep_alive) {
        (OutgoingBody::Chunked, true) => b"Transfer-Encoding: chunked\r\n",
        (OutgoingBody::Chunked, false) => b"Transfer-Encoding: chunked\r\nConnection: close\r\n",
        (OutgoingBody::AsIs, true) if old => b"Connection: keep-alive\r\n",
        (OutgoingBody::AsIs, true) => b"",
        (OutgoingBody::AsIs, false) | (OutgoingBody::UntilClose, _) => b"Connection: close\r\n",
    }
}

/// Copies the head from `start` without the `dropped` lines, adds ours and the blank line.
#[inline]
fn finish(
    lines: &Lines<'_, '_>,
    mut start: usize,
    dropped: FieldSet,
    ours: [&[u8]; 2],
    out: &mut impl Sink,
) {
    for index in dropped.iter() {
        let end = lines.start(index);
        if start < end {
            out.put(lines.bytes(start..end));
        }
        start = lines.start(index + 1);
    }
    let [extra, framing] = ours;
    if extra.is_empty() && framing.is_empty() {
        return out.put(lines.bytes(start..lines.head.len()));
    }
    let end = lines.start(lines.fields.len());
    if start < end {
        out.put(lines.bytes(start..end));
    }
    if !extra.is_empty() {
        out.put(extra);
    }
    if !framing.is_empty() {
        out.put(framing);
    }
    out.put(b"\r\n");
}

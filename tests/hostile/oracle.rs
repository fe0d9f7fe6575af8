//! What we read in the bytes of a connection, and what a server would get of it, by the pure
//! functions of `gatehouse::http` alone.

use gatehouse::http::{
    Chunked, Credential, Forwarded, Framing, HeadLimits, Parsed, RequestPolicy, Slots,
    chunk_size_line, parse_request, write_request,
};

use super::collector::Seen;
use super::dice::Dice;

/// One request that was read to its end.
pub(crate) struct Request {
    pub(crate) seen: String,
    pub(crate) method: Vec<u8>,
    pub(crate) target: Vec<u8>,
    /// Empty if HTTP/1.0 came without one; such a request goes to nobody.
    pub(crate) host: Vec<u8>,
    /// What a server gets.
    pub(crate) bytes: Vec<u8>,
    /// No body is due, so that an answer of our own may keep the connection.
    pub(crate) bodiless: bool,
    /// It may log its connection in.
    pub(crate) owns: bool,
    /// It is for the next proxy, and we are that (RFC 9110 section 7.6.2).
    pub(crate) ends_here: bool,
}

impl Request {
    /// Of the server, not of anything it has: `*`, or of no more than so many proxies.
    pub(crate) fn asks_the_server(&self) -> bool {
        let field = b"\r\nmax-forwards:";
        let limited = self.bytes.windows(field.len()).any(|line| line.eq_ignore_ascii_case(field));
        self.method == b"OPTIONS" && (self.target == b"*" || limited)
    }

    /// What is likely to be why somebody refuses it.
    pub(crate) fn oddity(&self) -> &'static str {
        let usual = |byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'-');
        let odd = |byte: &u8| b"%\\\"<>^`{|}".contains(byte);
        if !self.method.iter().all(usual) {
            "the method is unusual"
        } else if self.target == b"*" {
            "the target is `*`"
        } else if self.target.iter().any(odd) || self.target.windows(2).any(|two| two == b"..") {
            "the target is unusual"
        } else {
            "for another reason"
        }
    }

    /// Apache brings the path of a target that begins with `//` into its own form before it passes
    /// it on, whatever it is told. Rules are matched in such a form too.
    pub(crate) fn is_but_for_slashes(&self, seen: &str) -> bool {
        let but_target = |text: &str| {
            let words = text.split(' ').enumerate().filter(|(at, _)| *at != 1);
            words.map(|(_, word)| word.to_owned()).collect::<Vec<_>>()
        };
        self.target.starts_with(b"//") && but_target(seen) == but_target(&self.seen)
    }
}

/// Why nothing more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has said all, or wants no more, or asks for another protocol.
    Over,
    /// There is the start of a request.
    Unfinished,
    /// A head that is refused with this status.
    Head(u16),
    /// A body that is refused with this status; its head may have gone out.
    Body(u16),
}

/// A whole connection.
pub(crate) struct Reading {
    pub(crate) requests: Vec<Request>,
    pub(crate) end: End,
    /// The request whose body is behind [`End::Body`] or [`End::Unfinished`] is a HEAD.
    pub(crate) last_is_head: bool,
}

/// Reads `bytes`; `dice` decide in which pieces bodies arrive.
pub(crate) fn read(bytes: &[u8], dice: &mut Dice) -> Reading {
    let mut reading = Reading { requests: Vec::new(), end: End::Over, last_is_head: false };
    let mut rest = bytes;
    reading.end = loop {
        reading.last_is_head = false;
        if rest.is_empty() {
            break End::Over;
        }
        let mut slots = Slots::new();
        let head = match parse_request(rest, &mut slots, &HeadLimits::default()) {
            Ok(Parsed::Complete(head)) => head,
            Ok(Parsed::NeedMore) => break End::Unfinished,
            Err(why) => break End::Head(why.status()),
        };
        reading.last_is_head = head.method == b"HEAD";
        let policy = RequestPolicy { forwarded: Forwarded::Drop, extra: b"" };
        let mut out = Vec::new();
        write_request(&head, &policy, &mut out);
        let body = match head.facts.framing {
            Framing::Chunked => read_chunks(&rest[head.bytes..], dice, &mut out),
            Framing::Length(length) => read_length(&rest[head.bytes..], length, &mut out),
            Framing::None | Framing::UntilClose => Ok((Vec::new(), 0)),
        };
        let (body, used) = match body {
            Ok(body) => body,
            Err(end) => break end,
        };
        reading.requests.push(Request {
            seen: Seen::new(head.method, head.path, head.host, &body).to_string(),
            method: head.method.to_vec(),
            target: head.path.to_vec(),
            host: head.host.to_vec(),
            bytes: out,
            owns: head.facts.credential == Credential::Connection,
            bodiless: matches!(head.facts.framing, Framing::None | Framing::Length(0)),
            ends_here: head.max_forwards == Some(0),
        });
        rest = &rest[head.bytes + used..];
        // What follows an upgrade belongs to the other protocol.
        if !head.facts.keep_alive || (head.facts.upgrade_websocket && !rest.is_empty()) {
            break End::Over;
        }
    };
    reading
}

/// The body, and how many bytes it came from.
type Body = (Vec<u8>, usize);

fn read_length(rest: &[u8], length: u64, out: &mut Vec<u8>) -> Result<Body, End> {
    let body = usize::try_from(length).ok().and_then(|length| rest.get(..length));
    let body = body.ok_or(End::Unfinished)?;
    out.extend_from_slice(body);
    Ok((body.to_vec(), body.len()))
}

fn read_chunks(rest: &[u8], dice: &mut Dice, out: &mut Vec<u8>) -> Result<Body, End> {
    let mut chunked = Chunked::new();
    let (mut body, mut used) = (Vec::new(), 0);
    loop {
        let left = rest.get(used..).unwrap_or_default();
        if left.is_empty() {
            return Err(End::Unfinished);
        }
        let most = if dice.one_in(2) { left.len() } else { 1 + dice.roll(left.len()) };
        let mut piece = left[..most].to_vec();
        let decoded = chunked.decode(&mut piece).map_err(|why| End::Body(why.status()))?;
        let data = &piece[..decoded.data];
        if !data.is_empty() {
            out.extend_from_slice(chunk_size_line(data.len(), &mut [0; 18]));
            out.extend_from_slice(data);
            out.extend_from_slice(b"\r\n");
            body.extend_from_slice(data);
        }
        used += decoded.used;
        if decoded.end {
            out.extend_from_slice(b"0\r\n");
            out.extend_from_slice(chunked.trailers());
            out.extend_from_slice(b"\r\n");
            return Ok((body, used));
        }
    }
}

//! What must hold for any bytes at all. Each function panics when it does not.

use super::target::{Destination, destination};
use super::{
    AnswerPolicy, Chunked, Forwarded, Framing, HeadLimits, Malformed, Method, OutgoingBody, Parsed,
    RequestFacts, RequestPolicy, ResponseFacts, ResponseTo, Slots, Version, parse_request,
    parse_response, write_request, write_response,
};

/// Large enough that what we add to an accepted head does not make it too long.
const ROOMY: HeadLimits = HeadLimits {
    head_bytes_max: 1 << 20,
    field_bytes_max: 1 << 20,
    target_bytes_max: 1 << 20,
    fields_max: super::FIELD_SLOTS,
};

/// A request head that is accepted is accepted at its last byte and not before, whatever follows
/// it; and what we write from it says the same to the next reader, to whom there is nothing left
/// to rewrite.
pub fn fuzz_request(input: &[u8]) {
    let limits = HeadLimits::default();
    let mut slots = Slots::new();
    let whole = parse_request(input, &mut slots, &limits);
    let end = match &whole {
        Ok(Parsed::Complete(head)) => head.bytes,
        Ok(Parsed::NeedMore) => usize::MAX,
        Err(_) => 0,
    };
    let facts = |bytes: &[u8]| -> Result<Option<RequestFacts>, Malformed> {
        match parse_request(bytes, &mut Slots::new(), &limits)? {
            Parsed::Complete(head) => Ok(Some(head.facts)),
            Parsed::NeedMore => Ok(None),
        }
    };
    prefixes(input, end, facts);
    let Ok(Parsed::Complete(head)) = whole else { return };
    assert!(head.bytes <= input.len(), "a head does not end behind its bytes");

    let policy = RequestPolicy { forwarded: Forwarded::Drop, extra: b"" };
    let mut written = Vec::new();
    write_request(&head, &policy, &mut written);
    if head.host.is_empty() {
        return;
    }
    let mut slots = Slots::new();
    let Ok(Parsed::Complete(again)) = parse_request(&written, &mut slots, &ROOMY) else {
        panic!("refuses its own head: {}", written.escape_ascii());
    };
    assert_eq!(again.bytes, written.len(), "{}", written.escape_ascii());
    assert_eq!((again.method, again.path), (head.method, head.path));
    assert_eq!((again.target, again.host), (head.path, head.host));
    let expected = RequestFacts {
        version: Version::Http11,
        keep_alive: true,
        expect_continue: false,
        ..head.facts
    };
    assert_eq!(again.facts, expected, "{}", written.escape_ascii());
    let mut twice = Vec::new();
    write_request(&again, &policy, &mut twice);
    assert_eq!(twice, written, "rewriting settles");
}

/// The same for the head of an answer. The first byte of `input` chooses what it answers.
pub fn fuzz_response(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    let to = ResponseTo {
        method: if choice & 1 == 0 { Method::Get } else { Method::Head },
        upgrade_sent: choice & 2 != 0,
    };
    let limits = HeadLimits::default();
    let mut slots = Slots::new();
    let whole = parse_response(input, &mut slots, &limits, to);
    let end = match &whole {
        Ok(Parsed::Complete(head)) => head.bytes,
        Ok(Parsed::NeedMore) => usize::MAX,
        Err(_) => 0,
    };
    let facts = |bytes: &[u8]| -> Result<Option<ResponseFacts>, Malformed> {
        match parse_response(bytes, &mut Slots::new(), &limits, to)? {
            Parsed::Complete(head) => Ok(Some(head.facts)),
            Parsed::NeedMore => Ok(None),
        }
    };
    prefixes(input, end, facts);
    let Ok(Parsed::Complete(head)) = whole else { return };
    assert!(head.bytes <= input.len(), "a head does not end behind its bytes");

    let version = if choice & 4 == 0 { Version::Http11 } else { Version::Http10 };
    let body = OutgoingBody::choose(&head.facts, version);
    let answer = AnswerPolicy { version, body, keep_alive: choice & 8 == 0 };
    let mut written = Vec::new();
    write_response(&head, &answer, &mut written);
    let mut slots = Slots::new();
    let Ok(Parsed::Complete(again)) = parse_response(&written, &mut slots, &ROOMY, to) else {
        panic!("refuses its own head: {}", written.escape_ascii());
    };
    assert_eq!(again.bytes, written.len(), "{}", written.escape_ascii());
    assert_eq!((again.status, again.reason), (head.status, head.reason));
    assert_eq!(again.facts.challenge, head.facts.challenge);
    assert_eq!(again.facts.upgrade_websocket, head.facts.upgrade_websocket);
    let framing = match body {
        OutgoingBody::AsIs => head.facts.framing,
        OutgoingBody::Chunked => Framing::Chunked,
        OutgoingBody::UntilClose => Framing::UntilClose,
    };
    assert_eq!(again.facts.framing, framing, "{}", written.escape_ascii());
}

/// Judges some prefixes of `input`, of which the first `end` bytes are a head: zero if it is
/// refused, more than there are if it is unfinished.
fn prefixes<F: Copy + PartialEq + std::fmt::Debug>(
    input: &[u8],
    end: usize,
    judge: impl Fn(&[u8]) -> Result<Option<F>, Malformed>,
) {
    let whole = judge(input);
    let stride = input.len() / 12 + 1;
    let edges = [end.saturating_sub(1), end, input.len().saturating_sub(1)];
    for cut in (0..input.len()).step_by(stride).chain(edges) {
        let Some(prefix) = input.get(..cut) else { continue };
        let judged = judge(prefix);
        match end {
            0 => assert!(!matches!(judged, Ok(Some(_))), "accepted the start of a refused head"),
            _ if cut < end => assert_eq!(judged, Ok(None), "{}", prefix.escape_ascii()),
            _ => assert_eq!(judged, whole, "{}", prefix.escape_ascii()),
        }
    }
}

/// A chunked body decodes to the same in one piece, in single bytes, and in uneven pieces; and
/// its end is found at the same byte.
pub fn fuzz_chunked(input: &[u8]) {
    let whole = decode(input, input.len());
    for step in [1, 2, 3, 7, 64] {
        let pieces = decode(input, step);
        match (&whole.why, &pieces.why) {
            (None, None) => assert_eq!(pieces, whole, "{step} bytes at a time"),
            (why, other) => assert_eq!(why, other, "{step} bytes at a time"),
        }
    }
    let again = Body::write(&whole);
    if whole.why.is_none() && whole.end {
        let decoded = decode(&again, again.len());
        assert_eq!((&decoded.data, decoded.end), (&whole.data, true), "our own chunks decode");
        assert_eq!(decoded.trailers, whole.trailers, "our own trailers decode");
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    used: usize,
    end: bool,
    why: Option<Malformed>,
}

impl Body {
    /// As one chunk of ours.
    fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut room = [0; 18];
        if !self.data.is_empty() {
            out.extend_from_slice(super::chunk_size_line(self.data.len(), &mut room));
            out.extend_from_slice(&self.data);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(super::chunk_size_line(0, &mut room));
        out.extend_from_slice(&self.trailers);
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn decode(input: &[u8], step: usize) -> Body {
    decode_pieces(input.chunks(step.max(1)))
}

fn decode_pieces<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> Body {
    let mut chunked = Chunked::new();
    let mut body = Body::default();
    for piece in pieces {
        let mut buffer = piece.to_vec();
        match chunked.decode(&mut buffer) {
            Ok(decoded) => {
                assert!(decoded.data <= decoded.used && decoded.used <= piece.len());
                assert!(decoded.end || decoded.used == piece.len(), "stopped before the end");
                assert_eq!(buffer.get(decoded.used..), piece.get(decoded.used..));
                body.data.extend_from_slice(buffer.get(..decoded.data).unwrap_or_default());
                body.used += decoded.used;
                body.end = decoded.end;
            }
            Err(why) => {
                assert_eq!(chunked.decode(&mut []), Err(why), "broken once, broken for good");
                body.why = Some(why);
                break;
            }
        }
        if body.end {
            break;
        }
    }
    body.trailers = chunked.trailers().to_vec();
    body
}

/// All that a server sends to one request is read the same however it is cut: interim heads, the
/// final one, and a body by its framing. The first byte of `input` chooses as in
/// [`fuzz_response`].
pub fn fuzz_answer(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    let to = ResponseTo {
        method: if choice & 1 == 0 { Method::Get } else { Method::Head },
        upgrade_sent: choice & 2 != 0,
    };
    let whole = read_answer(input, input.len(), to);
    assert!(whole.used <= input.len() && whole.body.len() <= input.len());
    for step in [1, 2, 5, 61, 509] {
        // Every head is read again for each piece of it.
        if step * 1024 >= input.len() {
            assert_eq!(read_answer(input, step, to), whole, "{step} bytes at a time");
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    heads: Vec<ResponseFacts>,
    body: Vec<u8>,
    trailers: Vec<u8>,
    /// Bytes of heads and body; what follows is none of this answer's.
    used: usize,
    end: bool,
    /// A head was refused.
    refused: bool,
    /// Why the body was.
    why: Option<Malformed>,
}

fn read_answer(input: &[u8], step: usize, to: ResponseTo) -> Answer {
    let mut answer = Answer::default();
    let mut there = 0;
    let framing = loop {
        let head = input.get(answer.used..there).unwrap_or_default();
        match parse_response(head, &mut Slots::new(), &HeadLimits::default(), to) {
            Ok(Parsed::NeedMore) if there == input.len() => return answer,
            Ok(Parsed::NeedMore) => there = (there + step.max(1)).min(input.len()),
            Ok(Parsed::Complete(head)) => {
                answer.used += head.bytes;
                answer.heads.push(head.facts);
                if !head.facts.interim() {
                    break head.facts.framing;
                }
            }
            // Of several reasons the one that is told may depend on how much has come.
            Err(_) => return Answer { refused: true, ..answer },
        }
    };
    let rest = input.get(answer.used..).unwrap_or_default();
    match framing {
        Framing::None => answer.end = true,
        Framing::UntilClose => answer.body = rest.to_vec(),
        Framing::Length(length) => {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            answer.end = length <= rest.len();
            answer.body = rest.get(..length).unwrap_or(rest).to_vec();
        }
        Framing::Chunked => {
            // The first piece is what came with the head.
            let (first, others) = rest.split_at(there.saturating_sub(answer.used).min(rest.len()));
            let body = decode_pieces([first].into_iter().chain(others.chunks(step.max(1))));
            let Body { data, trailers, used, end, why } = body;
            // How much was decoded before a fault depends on how it was cut.
            let (data, used) = if why.is_none() { (data, used) } else { Default::default() };
            answer.used += used;
            return Answer { body: data, trailers, end, why, ..answer };
        }
    }
    answer.used += answer.body.len();
    answer
}

/// A target and a Host, each on a line behind a byte that chooses, are read as by [`slowly`]; what
/// comes of them, written in origin form, is read as the same; and a whole head agrees.
pub fn fuzz_target(input: &[u8]) {
    let Some((choice, input)) = input.split_first() else { return };
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (target, host) = (lines.next().unwrap_or_default(), lines.next());
    let options = choice & 1 != 0;
    let read = destination(target, host, options);
    let shown = || format!("{} for {:?}", target.escape_ascii(), host.map(<[u8]>::escape_ascii));
    assert_eq!(
        read.ok().map(|one| (one.host, one.path)),
        slowly(target, host, options),
        "{}",
        shown()
    );
    if let Ok(Destination { host, path }) = read
        && !host.is_empty()
    {
        assert_eq!(destination(path, Some(host), options), read, "{}", shown());
    }
    let (method, version) =
        (if options { "OPTIONS" } else { "GET" }, if host.is_some() { "1.1" } else { "1.0" });
    let mut head = format!("{method} ").into_bytes();
    head.extend_from_slice(target);
    head.extend_from_slice(format!(" HTTP/{version}\r\n").as_bytes());
    if let Some(host) = host {
        head.extend_from_slice(b"Host: ");
        head.extend_from_slice(host);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let mut slots = Slots::new();
    let Ok(Parsed::Complete(head)) = parse_request(&head, &mut slots, &ROOMY) else { return };
    // White space and line ends in what was put together make it another head.
    let same = head.target == target && head.fields.first().map(|field| field.value) == host;
    if same && head.fields.len() <= 1 {
        assert_eq!(read, Ok(Destination { host: head.host, path: head.path }), "{}", shown());
    }
}

/// [`destination`] once more, for reading and not for speed: host and path, or nothing.
fn slowly<'b>(
    target: &'b [u8],
    host: Option<&'b [u8]>,
    options: bool,
) -> Option<(&'b [u8], &'b [u8])> {
    let sent = match host {
        Some(host) => Some((authority(host)?, host)),
        None => None,
    };
    let bytes = sent.as_ref().map(|(_, bytes)| *bytes).unwrap_or_default();
    if target.starts_with(b"/") || (target == b"*" && options) {
        return Some((bytes, target));
    }
    let lower = target.to_ascii_lowercase();
    let (start, default) = if lower.starts_with(b"http://") {
        (7, 80)
    } else if lower.starts_with(b"https://") {
        (8, 443)
    } else {
        return None;
    };
    let rest = &target[start..];
    let end = rest.iter().position(|byte| b"/?\\".contains(byte)).unwrap_or(rest.len());
    let (named, path) = rest.split_at(end);
    let (name, port) = authority(named)?;
    if let Some(((host, host_port), _)) = &sent
        && (*host != name || host_port.unwrap_or(default) != port.unwrap_or(default))
    {
        return None;
    }
    let path: &[u8] = match path {
        b"" if options => b"*",
        b"" => b"/",
        path if path.starts_with(b"/") => path,
        _ => return None,
    };
    Some((if sent.is_some() { bytes } else { named }, path))
}

/// A host in small letters, and its port.
fn authority(bytes: &[u8]) -> Option<(String, Option<u16>)> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 260)?;
    let (host, port) = match text.rfind(']') {
        Some(end) => text.split_at(end + 1),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_address = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let good = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => is_address(address),
        None => !host.is_empty() && host.chars().all(is_name),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(digits) if digits.len() <= 5 && digits.chars().all(|c| c.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        _ => return None,
    };
    good.then(|| (host.to_ascii_lowercase(), port))
}

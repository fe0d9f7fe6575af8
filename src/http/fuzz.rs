//! What must hold for any bytes at all. Each function panics when it does not.

use super::{
    AnswerPolicy, Chunked, Forwarded, HeadLimits, Malformed, Method, OutgoingBody, Parsed,
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
        OutgoingBody::Chunked => super::Framing::Chunked,
        OutgoingBody::UntilClose => super::Framing::UntilClose,
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
    let mut chunked = Chunked::new();
    let mut body = Body::default();
    for piece in input.chunks(step.max(1)) {
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

//! Request heads: from bytes to slices and facts, or to the reason for refusal.

use super::field::{FieldSet, Lines, Survey};
use super::scan::{METHOD_BYTES_MAX, is_token, request_fault};
use super::target::{Destination, destination};
use super::{Credential, Field, Framing, HeadLimits, Malformed, Method, Parsed, Slots, Version};

/// A request head that was accepted. All slices are of the buffer it was read from.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'h, 'b> {
    /// The method as sent, a token of at most 64 bytes.
    pub method: &'b [u8],
    /// The target as sent: printable ASCII without `#`.
    pub target: &'b [u8],
    /// The field lines in the order they came.
    pub fields: &'h [Field<'b>],
    /// Length of the head in the buffer: with its blank line, and with an empty line before it.
    pub bytes: usize,
    /// The authority from Host, with its port if one was sent. HTTP/1.0 without Host has that of
    /// an absolute target, or an empty slice.
    pub host: &'b [u8],
    /// Path and query to forward: the client's own bytes, beginning with `/`, or `*` for OPTIONS.
    pub path: &'b [u8],
    /// How many proxies an OPTIONS request may still pass (RFC 9110 section 7.6.2). The field is
    /// never copied: whoever forwards the request writes one less; at 0 it is to be answered here.
    pub max_forwards: Option<u64>,
    /// What follows from the head.
    pub facts: RequestFacts,
    pub(super) lines: Lines<'h, 'b>,
    pub(super) dropped: FieldSet,
    pub(super) forwarded: FieldSet,
    /// HTTP/1.0 came without Host; upstream needs one.
    pub(super) host_missing: bool,
}

impl RequestHead<'_, '_> {
    /// Judges an accepted head once more, by limits that may be tighter than those it was read
    /// with.
    ///
    /// # Errors
    ///
    /// The first limit that it is past.
    #[inline]
    pub fn check(&self, limits: &HeadLimits) -> Result<(), Malformed> {
        if self.target.len() > limits.target_bytes_max {
            return Err(Malformed::TargetTooLong);
        }
        if self.bytes > limits.head_bytes_max {
            return Err(Malformed::HeadTooLong);
        }
        if self.fields.len() > limits.fields_max {
            return Err(Malformed::FieldsTooMany);
        }
        // No field is longer than the head that it is in, so most are never looked at again.
        if self.bytes > limits.field_bytes_max && self.lines.longest() > limits.field_bytes_max {
            return Err(Malformed::FieldTooLong);
        }
        Ok(())
    }
}

/// What a request asks of the connections it travels on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// The method.
    pub method: Method,
    /// The client's version.
    pub version: Version,
    /// How its body ends; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client means to send another request (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends the body that is due (RFC 9110 section
    /// 10.1.1). False in HTTP/1.0 and when no body is due.
    pub expect_continue: bool,
    /// May be forwarded as an upgrade: GET, HTTP/1.1, no body, Connection names upgrade, and one
    /// Upgrade field says exactly `websocket`.
    pub upgrade_websocket: bool,
    /// What kind of credential the client shows.
    pub credential: Credential,
}

/// Reads a request head from the start of `buffer` (RFC 9112 sections 2 to 6). At most one empty
/// line before it is skipped.
///
/// # Errors
///
/// The first reason to refuse it, as soon as the bytes show it.
pub fn parse_request<'h, 'b>(
    buffer: &'b [u8],
    slots: &'h mut Slots<'b>,
    limits: &HeadLimits,
) -> Result<Parsed<RequestHead<'h, 'b>>, Malformed> {
    let head = match buffer {
        [] | [b'\r'] | [b'\r', b'\n'] => return Ok(Parsed::NeedMore),
        [b'\r', b'\n', head @ ..] => head,
        _ => buffer,
    };
    match head.first() {
        Some(b'\r' | b'\n') => return Err(Malformed::LineEnd),
        Some(byte) if !is_token(*byte) => return Err(Malformed::MethodInvalid),
        _ => {}
    }
    let skipped = buffer.len() - head.len();
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, slots.within(limits)) {
        Ok(httparse::Status::Complete(length)) => {
            let httparse::Request { method, path, version, headers } = request;
            let line = Line {
                method: method.unwrap_or_default().as_bytes(),
                target: path.unwrap_or_default().as_bytes(),
                version: if version == Some(1) { Version::Http11 } else { Version::Http10 },
            };
            let head = head.get(..length).unwrap_or_default();
            let bytes = skipped + length;
            accept(line, Lines { head, fields: headers }, bytes, limits).map(Parsed::Complete)
        }
        Ok(httparse::Status::Partial) => {
            request_fault(head, limits)?;
            if buffer.len() >= limits.head_bytes_max {
                return Err(Malformed::HeadTooLong);
            }
            Ok(Parsed::NeedMore)
        }
        Err(_) => Err(request_fault(head, limits).err().unwrap_or(Malformed::StartLine)),
    }
}

/// A request line as the tokeniser cut it.
struct Line<'b> {
    method: &'b [u8],
    target: &'b [u8],
    version: Version,
}

/// Judges a complete head.
fn accept<'h, 'b>(
    line: Line<'b>,
    lines: Lines<'h, 'b>,
    bytes: usize,
    limits: &HeadLimits,
) -> Result<RequestHead<'h, 'b>, Malformed> {
    request_line(&line, &lines, limits)?;
    let survey = Survey::take(&lines, limits)?;
    if bytes > limits.head_bytes_max {
        return Err(Malformed::HeadTooLong);
    }
    if survey.host.is_none() && line.version == Version::Http11 {
        return Err(Malformed::HostMissing);
    }
    let method = Method::of(line.method);
    let Destination { host, path } =
        destination(line.target, survey.host, method == Method::Options)?;
    let framing = survey.framing(line.version)?;
    let modern = line.version == Version::Http11;
    let bodiless = matches!(framing, Framing::None | Framing::Length(0));
    let facts = RequestFacts {
        method,
        version: line.version,
        framing,
        keep_alive: survey.keep_alive(line.version),
        expect_continue: survey.expects && modern && !bodiless,
        upgrade_websocket: method == Method::Get && modern && bodiless && survey.websocket(),
        credential: survey.credential,
    };
    let (hops_at, max_forwards) = match method {
        Method::Options => max_forwards(lines.fields),
        _ => (None, None),
    };
    let mut dropped = survey.dropped;
    dropped.insert_some(hops_at);
    Ok(RequestHead {
        method: line.method,
        target: line.target,
        fields: lines.fields,
        bytes,
        host,
        path,
        max_forwards,
        facts,
        lines,
        dropped,
        forwarded: survey.forwarded,
        host_missing: survey.host.is_none(),
    })
}

/// Where Max-Forwards stands and what it says; a field that says no number is one like any other.
fn max_forwards(fields: &[Field<'_>]) -> (Option<u8>, Option<u64>) {
    let named = |field: &Field<'_>| field.name.eq_ignore_ascii_case("max-forwards");
    let Some(at) = fields.iter().position(named) else { return (None, None) };
    let value = fields.get(at).map_or(&b""[..], |field| field.value);
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse().ok()) {
        Some(hops) => (u8::try_from(at).ok(), Some(hops)),
        None => (None, None),
    }
}

/// What the tokeniser leaves open about the request line.
fn request_line(
    line: &Line<'_>,
    lines: &Lines<'_, '_>,
    limits: &HeadLimits,
) -> Result<(), Malformed> {
    let whole = lines.start_line().ok_or(Malformed::LineEnd)?;
    if line.method.len() > METHOD_BYTES_MAX {
        return Err(Malformed::MethodTooLong);
    }
    if line.target.len() > limits.target_bytes_max {
        return Err(Malformed::TargetTooLong);
    }
    // method SP target SP HTTP/1.x: a line of another length holds something else besides.
    if whole.len() != line.method.len() + line.target.len() + 10 {
        return Err(Malformed::StartLine);
    }
    if !line.target.is_ascii() || memchr::memchr(b'#', line.target).is_some() {
        return Err(Malformed::TargetInvalid);
    }
    match line.method {
        b"CONNECT" => Err(Malformed::MethodConnect),
        b"TRACE" => Err(Malformed::MethodTrace),
        _ => Ok(()),
    }
}

//! Heads of answers. A server is trusted to be who it is, not to speak correct HTTP: the same
//! strictness as for requests, since what we pass on the client has to frame as we do.

use super::field::{FieldSet, Lines, Survey};
use super::scan::response_fault;
use super::{Field, Framing, HeadLimits, Malformed, Method, Parsed, Slots, Version};

/// What an answer is judged against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseTo {
    /// The method of the request; the answer to HEAD has no body.
    pub method: Method,
    /// Whether the request asked for an upgrade to websocket.
    pub upgrade_sent: bool,
}

/// The head of an answer that was accepted. All slices are of the buffer it was read from.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'h, 'b> {
    /// The status, 100 to 599.
    pub status: u16,
    /// The reason phrase as sent; may be empty, may hold bytes above 0x7f.
    pub reason: &'b [u8],
    /// The field lines in the order they came.
    pub fields: &'h [Field<'b>],
    /// Length of the head in the buffer, with its blank line.
    pub bytes: usize,
    /// What follows from the head.
    pub facts: ResponseFacts,
    pub(super) lines: Lines<'h, 'b>,
    pub(super) dropped: FieldSet,
    /// Where Content-Length stands.
    pub(super) length_at: Option<u8>,
}

/// What an answer says about its body and the connections it travels on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFacts {
    /// The status, 100 to 599.
    pub status: u16,
    /// The server's version.
    pub version: Version,
    /// How the body that follows ends. [`Framing::None`] for 1xx, 204, 304 and for any answer to
    /// HEAD, whatever length they name.
    pub framing: Framing,
    /// Whether the server lets this connection be used again after the body; never after
    /// [`Framing::UntilClose`].
    pub keep_alive: bool,
    /// A 401 that asks for a credential which belongs to the connection: an element of any
    /// WWW-Authenticate begins with `Nego`, `NTLM` or `Kerberos`.
    pub challenge: bool,
    /// A 101 to websocket.
    pub upgrade_websocket: bool,
    /// Date is there.
    pub date: bool,
}

impl ResponseFacts {
    /// A 1xx other than 101: another head follows.
    pub fn interim(self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// Reads the head of an answer from the start of `buffer` (RFC 9112 sections 4 to 6). No empty
/// line may stand before it.
///
/// # Errors
///
/// The first reason to refuse it, as soon as the bytes show it. Whatever it is, the client gets
/// 502 and the upstream connection ends.
pub fn parse_response<'h, 'b>(
    buffer: &'b [u8],
    slots: &'h mut Slots<'b>,
    limits: &HeadLimits,
    to: ResponseTo,
) -> Result<Parsed<ResponseHead<'h, 'b>>, Malformed> {
    match buffer.first() {
        None => return Ok(Parsed::NeedMore),
        Some(b'H') => {}
        Some(_) => return Err(Malformed::VersionInvalid),
    }
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let room = slots.within(limits);
    match config.parse_response_with_uninit_headers(&mut response, buffer, room) {
        Ok(httparse::Status::Complete(length)) => {
            let httparse::Response { version, code, headers, .. } = response;
            let line = Line {
                version: if version == Some(1) { Version::Http11 } else { Version::Http10 },
                status: code.unwrap_or_default(),
            };
            let head = buffer.get(..length).unwrap_or_default();
            accept(line, Lines { head, fields: headers }, limits, to).map(Parsed::Complete)
        }
        Ok(httparse::Status::Partial) => {
            response_fault(buffer, limits)?;
            if buffer.len() >= limits.head_bytes_max {
                return Err(Malformed::HeadTooLong);
            }
            Ok(Parsed::NeedMore)
        }
        Err(_) => Err(response_fault(buffer, limits).err().unwrap_or(Malformed::StatusLine)),
    }
}

/// A status line as the tokeniser cut it.
struct Line {
    version: Version,
    status: u16,
}

/// Judges a complete head.
fn accept<'h, 'b>(
    line: Line,
    lines: Lines<'h, 'b>,
    limits: &HeadLimits,
    to: ResponseTo,
) -> Result<ResponseHead<'h, 'b>, Malformed> {
    let whole = lines.start_line().ok_or(Malformed::LineEnd)?;
    // `HTTP/1.1 NNN`, then a space and the reason, or nothing at all.
    let reason = match whole.get(12..) {
        Some([]) => &[][..],
        Some([b' ', reason @ ..]) => reason,
        _ => return Err(Malformed::StatusLine),
    };
    if !(100..600).contains(&line.status) {
        return Err(Malformed::StatusLine);
    }
    let survey = Survey::take(&lines, limits)?;
    if lines.head.len() > limits.head_bytes_max {
        return Err(Malformed::HeadTooLong);
    }
    let upgrade_websocket = line.status == 101;
    let asked = to.upgrade_sent && line.version == Version::Http11;
    if upgrade_websocket && !(asked && survey.websocket()) {
        return Err(Malformed::UpgradeUnasked);
    }
    if line.status == 407 {
        return Err(Malformed::ProxyAuthFromServer);
    }
    let framing = framing(&line, &survey, to)?;
    let facts = ResponseFacts {
        status: line.status,
        version: line.version,
        framing,
        keep_alive: survey.keep_alive(line.version) && framing != Framing::UntilClose,
        challenge: line.status == 401 && survey.challenge,
        upgrade_websocket,
        date: survey.date,
    };
    let mut dropped = survey.dropped;
    if line.status < 200 || line.status == 204 {
        dropped.insert_some(survey.length_at);
    }
    Ok(ResponseHead {
        status: line.status,
        reason,
        fields: lines.fields,
        bytes: lines.head.len(),
        facts,
        lines,
        dropped,
        length_at: survey.length_at,
    })
}

/// How the body ends (RFC 9112 section 6.3).
fn framing(line: &Line, survey: &Survey<'_>, to: ResponseTo) -> Result<Framing, Malformed> {
    let said = survey.framing(line.version)?;
    match (line.status, said) {
        (100..=199 | 204, Framing::Chunked) => Err(Malformed::BodyForbidden),
        (100..=199, Framing::Length(1..)) => Err(Malformed::BodyForbidden),
        (100..=199 | 204 | 304, _) => Ok(Framing::None),
        _ if to.method == Method::Head => Ok(Framing::None),
        (_, Framing::None) => Ok(Framing::UntilClose),
        _ => Ok(said),
    }
}

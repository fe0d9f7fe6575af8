//! The slow reader. When the tokeniser says no, or not yet, this one says why: it walks the bytes
//! once, line by line, and returns the first thing that is wrong with them, on an incomplete head
//! too. It is also the reader of single lines for trailers.

use super::{HeadLimits, Malformed};

/// The longest method that is looked at.
pub(super) const METHOD_BYTES_MAX: usize = 64;

/// Whether new bytes can change what a parser says about an unfinished head. `seen` is how many
/// bytes of `buffer` it has judged as [`super::Parsed::NeedMore`]. A parser starts from the front
/// each time, so a caller asks this first; a client that sends single bytes then costs one look at
/// each of them, not one at the whole head. A limit may be noticed up to 4 KiB late.
pub fn may_decide(buffer: &[u8], seen: usize) -> bool {
    const STRIDE: usize = 4096;
    let new = buffer.get(seen..).unwrap_or_default();
    seen == 0 || seen / STRIDE != buffer.len() / STRIDE || memchr::memchr(b'\n', new).is_some()
}

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const TEXT: u8 = 4;

/// Which of the three kinds each byte is: a look-up instead of a row of comparisons.
static KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        let mark = matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`');
        if byte.is_ascii_alphanumeric() || mark || byte == b'|' || byte == b'~' {
            kinds[at] |= TOKEN;
        }
        if byte.is_ascii_graphic() && byte != b'#' {
            kinds[at] |= TARGET;
        }
        if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
            kinds[at] |= TEXT;
        }
        at += 1;
    }
    kinds
};

fn is(byte: u8, kind: u8) -> bool {
    KINDS[usize::from(byte)] & kind != 0
}

/// A byte of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// What is wrong with a request head, complete or not, that begins with its request line.
pub(super) fn request_fault(head: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
    match request_line(head, limits)? {
        Some(end) => fields_fault(head.get(end..).unwrap_or_default(), limits),
        None => Ok(()),
    }
}

/// What is wrong with an answer's head, complete or not.
pub(super) fn response_fault(head: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
    match status_line(head)? {
        Some(end) => fields_fault(head.get(end..).unwrap_or_default(), limits),
        None => Ok(()),
    }
}

/// The offset behind the request line, or none when it is not complete yet.
fn request_line(head: &[u8], limits: &HeadLimits) -> Result<Option<usize>, Malformed> {
    let method = head.iter().take_while(|byte| is_token(**byte)).count();
    if method > METHOD_BYTES_MAX {
        return Err(Malformed::MethodTooLong);
    }
    match head.get(method) {
        None => return Ok(None),
        Some(b' ') if method > 0 => {}
        Some(b'\r' | b'\n') if method > 0 => return Err(Malformed::StartLine),
        Some(_) => return Err(Malformed::MethodInvalid),
    }
    let rest = head.get(method + 1..).unwrap_or_default();
    let target = rest.iter().take_while(|byte| is_target(**byte)).count();
    if target > limits.target_bytes_max {
        return Err(Malformed::TargetTooLong);
    }
    match rest.get(target) {
        None => return Ok(None),
        Some(b' ') if target > 0 => {}
        Some(b' ') => return Err(Malformed::StartLine),
        Some(b'\r' | b'\n') => return Err(Malformed::VersionMissing),
        Some(_) => return Err(Malformed::TargetInvalid),
    }
    let Some(rest) = version(rest.get(target + 1..).unwrap_or_default())? else { return Ok(None) };
    Ok(line_end(rest)?.map(|tail| head.len() - tail.len()))
}

/// A byte that a target may have (RFC 9112 section 3.2). Wider than the RFC by the printable
/// ASCII that clients really send unencoded; it is forwarded as it came.
fn is_target(byte: u8) -> bool {
    is(byte, TARGET)
}

/// Reads `HTTP/1.0` or `HTTP/1.1` and returns what follows it, or none when it is cut short.
fn version(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    const WANTED: &[u8] = b"HTTP/1.";
    for (at, want) in WANTED.iter().enumerate() {
        match bytes.get(at) {
            None => return Ok(None),
            Some(byte) if byte == want => {}
            Some(b'\r' | b'\n' | b' ') if at == 0 => return Err(Malformed::VersionMissing),
            Some(b'2'..=b'9') if at == 5 => return Err(Malformed::VersionUnsupported),
            Some(_) => return Err(Malformed::VersionInvalid),
        }
    }
    match bytes.get(WANTED.len()) {
        None => Ok(None),
        Some(b'0' | b'1') => Ok(bytes.get(WANTED.len() + 1..)),
        Some(b'2'..=b'9') => Err(Malformed::VersionUnsupported),
        Some(_) => Err(Malformed::VersionInvalid),
    }
}

/// What follows the CRLF that `bytes` must begin with, or none when it is cut short.
fn line_end(bytes: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    match bytes {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', rest @ ..] => Ok(Some(rest)),
        [b'\r' | b'\n', ..] => Err(Malformed::LineEnd),
        [b' ' | b'\t', ..] => Err(Malformed::StartLine),
        _ => Err(Malformed::VersionInvalid),
    }
}

/// The offset behind the status line, or none when it is not complete yet.
fn status_line(head: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some(rest) = version(head)? else { return Ok(None) };
    for at in 0..4 {
        match (at, rest.get(at)) {
            (_, None) => return Ok(None),
            (0, Some(b' ')) | (1, Some(b'1'..=b'5')) | (2 | 3, Some(b'0'..=b'9')) => {}
            _ => return Err(Malformed::StatusLine),
        }
    }
    let reason = rest.get(4..).unwrap_or_default();
    match reason.first() {
        None => return Ok(None),
        Some(b' ' | b'\r' | b'\n') => {}
        Some(_) => return Err(Malformed::StatusLine),
    }
    let length = reason.iter().take_while(|byte| is_text(**byte)).count();
    match reason.get(length..).unwrap_or_default() {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', tail @ ..] => Ok(Some(head.len() - tail.len())),
        [b'\r' | b'\n', ..] => Err(Malformed::LineEnd),
        _ => Err(Malformed::StatusLine),
    }
}

/// What is wrong with field lines, the last of which may be cut short anywhere.
fn fields_fault(mut rest: &[u8], limits: &HeadLimits) -> Result<(), Malformed> {
    let mut count = 0;
    while !rest.is_empty() {
        let (line, tail) = match memchr::memchr(b'\n', rest) {
            Some(at) => {
                let line = rest.get(..at).unwrap_or_default();
                // A bad byte earlier in the line is the more telling reason.
                let Some(line) = line.strip_suffix(b"\r") else {
                    field_start(line)?;
                    return Err(Malformed::LineEnd);
                };
                (line, rest.get(at + 1..).unwrap_or_default())
            }
            None => {
                let line = rest.strip_suffix(b"\r").unwrap_or(rest);
                if !line.is_empty() {
                    count += 1;
                }
                // A CR ends the line, so that its colon must have come.
                if field_start(line)?.is_none() && !line.is_empty() && line.len() < rest.len() {
                    return Err(Malformed::FieldName);
                }
                return within(line, count, limits);
            }
        };
        if line.is_empty() {
            return Ok(());
        }
        count += 1;
        field_line(line)?;
        within(line, count, limits)?;
        rest = tail;
    }
    Ok(())
}

fn within(line: &[u8], count: usize, limits: &HeadLimits) -> Result<(), Malformed> {
    if count > limits.fields_max.min(super::FIELD_SLOTS) {
        return Err(Malformed::FieldsTooMany);
    }
    if line.len() > limits.field_bytes_max {
        return Err(Malformed::FieldTooLong);
    }
    Ok(())
}

/// Judges one whole field line without its CRLF and returns its name.
pub(super) fn field_line(line: &[u8]) -> Result<&[u8], Malformed> {
    field_start(line)?.ok_or(Malformed::FieldName)
}

/// Judges the start of a field line, however much there is, and returns its name when the colon
/// has come.
fn field_start(line: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let length = line.iter().take_while(|byte| is_token(**byte)).count();
    match line.get(length) {
        None => return Ok(None),
        Some(b':') if length > 0 => {}
        Some(b' ' | b'\t') if length == 0 => return Err(Malformed::FieldFolded),
        Some(b'\r') => return Err(Malformed::LineEnd),
        Some(_) => return Err(Malformed::FieldName),
    }
    let value = line.get(length..).unwrap_or_default();
    match value.iter().find(|byte| !is_text(**byte)) {
        None => Ok(line.get(..length)),
        Some(b'\r') => Err(Malformed::LineEnd),
        Some(_) => Err(Malformed::FieldValue),
    }
}

/// A byte of a field value or a reason phrase.
fn is_text(byte: u8) -> bool {
    is(byte, TEXT)
}

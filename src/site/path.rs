//! The one form in which paths are compared.
//!
//! Servers read a path in many ways: they decode it, take `\` for `/`, drop `;…` and final dots.
//! A Rule that refuses `/cscp` must hold for every spelling that a server might take for it, so
//! paths are matched after all of that, and refused when servers could still disagree.

/// Why a path is not matched at all but answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A `%` without its hexadecimal digits, or half of a pair of UTF-16 units.
    BrokenEscape,
    /// A control byte, written out or escaped.
    Control,
    /// More `..` than there are segments before them.
    LeavesRoot,
    /// A segment of nothing but dots and spaces that is neither `.` nor `..`: Windows drops it or
    /// climbs, others take it for a name.
    OnlyDots,
    /// A `#`, where some servers end the path.
    Fragment,
    /// Decoding once more would choose another Rule.
    DecodesTwice,
}

/// The path of a target: without its query.
pub fn without_query(target: &[u8]) -> Result<&[u8], PathFault> {
    match memchr::memchr2(b'?', b'#', target) {
        Some(index) if target[index] == b'#' => Err(PathFault::Fragment),
        Some(index) => Ok(&target[..index]),
        None => Ok(target),
    }
}

/// Whether a request's target lies at or below `path`, which is in canonical form. `scratch` is for
/// reuse.
pub fn is_within(target: &[u8], path: &str, scratch: &mut Vec<u8>) -> bool {
    scratch.clear();
    scratch.extend_from_slice(without_query(target).unwrap_or_default());
    let decoded = decode(scratch, Escapes::Lenient).ok();
    let length = decoded.and_then(|length| fold(scratch.get_mut(..length)?).ok());
    let seen = length.and_then(|length| scratch.get(..length)).unwrap_or_default();
    let below = seen.strip_prefix(path.as_bytes());
    below.is_some_and(|below| matches!(below, [] | [b'/', ..]))
}

/// Brings the path of a Rule into canonical form: `/` is empty, all else `/segment/segment`.
pub fn canonical_rule(path: &str) -> Result<Vec<u8>, PathFault> {
    let mut bytes = without_query(path.as_bytes())?.to_vec();
    if bytes.len() != path.len() {
        return Err(PathFault::Fragment);
    }
    let length = decode(&mut bytes, Escapes::Strict)?;
    let length = fold(&mut bytes[..length])?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Whether a broken escape is a fault, or stands for itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    Strict,
    Lenient,
}

/// Decodes every escape once, in place, and says how many bytes are left.
pub(super) fn decode(bytes: &mut [u8], escapes: Escapes) -> Result<usize, PathFault> {
    let Some(mut read) = memchr::memchr(b'%', bytes) else { return Ok(bytes.len()) };
    let mut write = read;
    while read < bytes.len() {
        let mut utf8 = [0; 4];
        let (taken, decoded): (usize, &[u8]) = match (bytes[read], escapes) {
            (b'%', _) => match escape(&bytes[read..], &mut utf8) {
                Some((taken, length)) => (taken, &utf8[..length]),
                None if escapes == Escapes::Strict => return Err(PathFault::BrokenEscape),
                None => (1, b"%"),
            },
            (byte, _) => {
                utf8[0] = byte;
                (1, &utf8[..1])
            }
        };
        bytes[write..write + decoded.len()].copy_from_slice(decoded);
        read += taken;
        write += decoded.len();
    }
    Ok(write)
}

/// How many bytes an escape takes, and how many it stands for.
fn escape(bytes: &[u8], utf8: &mut [u8; 4]) -> Option<(usize, usize)> {
    if let Some(unit) = utf16_unit(bytes) {
        // HTTP.sys takes %uXXXX, one UTF-16 unit.
        let (taken, units) = match unit {
            0xd800..0xdc00 => (12, [unit, utf16_unit(bytes.get(6..)?)?]),
            _ => (6, [unit, 0]),
        };
        let character = char::decode_utf16(units).next()?.ok()?;
        return Some((taken, character.encode_utf8(utf8).len()));
    }
    utf8[0] = hex(bytes.get(1..3)?)? as u8;
    Some((3, 1))
}

fn utf16_unit(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [b'%', b'u' | b'U', digits @ ..] => hex(digits.get(..4)?),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | digit as u16)
    })
}

/// Canonical form of a decoded path, in place; says how many bytes are left.
pub(super) fn fold(bytes: &mut [u8]) -> Result<usize, PathFault> {
    if bytes.first() != Some(&b'/') {
        return Err(PathFault::NotAbsolute);
    }
    let (mut read, mut write) = (0, 0);
    while read < bytes.len() {
        read += 1;
        let (end, seen) = segment_end(bytes, read);
        if seen & CONTROL != 0 {
            return Err(PathFault::Control);
        }
        let mut last = end;
        if seen & PARAMETER != 0 {
            last = memchr::memchr(b';', &bytes[read..end]).map_or(end, |index| read + index);
        }
        match &bytes[read..last] {
            b"" | b"." => {}
            b".." => write = memchr::memrchr(b'/', &bytes[..write]).ok_or(PathFault::LeavesRoot)?,
            segment => {
                let length = trimmed(segment).ok_or(PathFault::OnlyDots)?;
                bytes[write] = b'/';
                bytes.copy_within(read..read + length, write + 1);
                if seen & UPPER != 0 {
                    bytes[write + 1..write + 1 + length].make_ascii_lowercase();
                }
                write += 1 + length;
            }
        }
        read = end;
    }
    Ok(write)
}

/// Where the segment that starts at `start` ends, and what kinds of bytes are in it.
fn segment_end(bytes: &[u8], start: usize) -> (usize, u8) {
    let mut seen = 0;
    for (index, byte) in bytes.iter().enumerate().skip(start) {
        let kind = KINDS[usize::from(*byte)];
        if kind == SEPARATOR {
            return (index, seen);
        }
        seen |= kind;
    }
    (bytes.len(), seen)
}

/// The length of a segment without its final dots and spaces; `None` if there is nothing else.
fn trimmed(segment: &[u8]) -> Option<usize> {
    segment.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map(|index| index + 1)
}

const SEPARATOR: u8 = 1;
const PARAMETER: u8 = 2;
const CONTROL: u8 = 4;
const UPPER: u8 = 8;

const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'/' | b'\\' => SEPARATOR,
            b';' => PARAMETER,
            0..0x20 | 0x7f => CONTROL,
            b'A'..=b'Z' => UPPER,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Result<&str, PathFault>) {
        let seen = canonical_rule(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert_eq!(seen, expected.map(str::to_string), "{path}");
    }

    #[test]
    fn canonical_form() {
        check("/", Ok(""));
        check("//", Ok(""));
        check("/a", Ok("/a"));
        check("/a/", Ok("/a"));
        check("/A/b%43", Ok("/a/bc"));
        check("/a%2fb", Ok("/a/b"));
        check("/a\\b%5Cc", Ok("/a/b/c"));
        check("/a//b///c", Ok("/a/b/c"));
        check("/a/./b/../c", Ok("/a/c"));
        check("/a/%2e%2E/c", Ok("/c"));
        check("/a/..", Ok(""));
        check("/a;x=1/b;/;c", Ok("/a/b"));
        check("/a/..;x/b", Ok("/b"));
        check("/cscp./", Ok("/cscp"));
        check("/cscp%20%2e", Ok("/cscp"));
        check("/.well-known/x.y", Ok("/.well-known/x.y"));
        check("/%u0041%u00e9", Ok("/aé"));
        check("/%uD83D%uDE00", Ok("/😀"));
        check("/Ä", Ok("/Ä"));
        check("/a%3fb%23", Ok("/a?b#"));
        check("/100%25", Ok("/100%"));
    }

    #[test]
    fn refused() {
        check("", Err(PathFault::NotAbsolute));
        check("a", Err(PathFault::NotAbsolute));
        check("*", Err(PathFault::NotAbsolute));
        check("\\a", Ok("/a").and(Err(PathFault::NotAbsolute)));
        check("/..", Err(PathFault::LeavesRoot));
        check("/a/../..", Err(PathFault::LeavesRoot));
        check("/a/..%5c../b", Err(PathFault::LeavesRoot));
        check("/%", Err(PathFault::BrokenEscape));
        check("/%4", Err(PathFault::BrokenEscape));
        check("/%zz", Err(PathFault::BrokenEscape));
        check("/%+1", Err(PathFault::BrokenEscape));
        check("/%u004", Err(PathFault::BrokenEscape));
        check("/%uD83D", Err(PathFault::BrokenEscape));
        check("/%uDE00", Err(PathFault::BrokenEscape));
        check("/%uD83D%u0041", Err(PathFault::BrokenEscape));
        check("/a%00", Err(PathFault::Control));
        check("/a;%0a", Err(PathFault::Control));
        check("/\u{7f}", Err(PathFault::Control));
        check("/...", Err(PathFault::OnlyDots));
        check("/a/..%20/b", Err(PathFault::OnlyDots));
        check("/a#b", Err(PathFault::Fragment));
    }
}

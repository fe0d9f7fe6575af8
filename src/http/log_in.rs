//! What a request tries to log in with: whether its credential is one that a password stands
//! behind, and whose.
//!
//! The three messages of NTLM (MS-NLMP section 2.2.1) come bare or wrapped in SPNEGO (RFC 4178
//! section 4.2, MS-SPNG); only the third holds a proof of a password. Kerberos is judged by the
//! directory before a request is ever sent, so its tickets try nothing.
//!
//! A reader that is fooled here would count for the wrong name, so whatever cannot be read is one
//! name for all.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::field::trim;
use super::{Field, field_value};

/// Bytes of a name that are told apart. An account has at most 20 characters, and 1,024 in the form
/// of an address of which the first part counts here.
const NAME_BYTES: usize = 128;

/// Whose password is tried, as a directory would find it: without the domain, without regard to case
/// and accents. Empty: nobody can tell.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserName {
    bytes: [u8; NAME_BYTES],
    length: u8,
}

impl UserName {
    const UNREADABLE: Self = Self { bytes: [0; NAME_BYTES], length: 0 };

    /// A domain in front or behind is no part of it: servers try several for the same account.
    fn new(chars: impl Iterator<Item = char> + Clone) -> Self {
        let behind = chars.clone().enumerate().filter(|(_, char)| *char == '\\').last();
        let from = behind.map_or(0, |(at, _)| at + 1);
        let account = chars.skip(from).take_while(|char| *char != '@');
        let mut name = Self::UNREADABLE;
        let folded = account.nfkd().filter(|char| !is_combining_mark(*char));
        for char in folded.flat_map(char::to_lowercase) {
            // White space around is none of the name, and within there is none in names.
            if char.is_whitespace() || char.is_control() {
                continue;
            }
            let mut utf8 = [0; 4];
            let utf8 = char.encode_utf8(&mut utf8).as_bytes();
            let at = usize::from(name.length);
            let Some(place) = name.bytes.get_mut(at..at + utf8.len()) else { break };
            place.copy_from_slice(utf8);
            name.length += utf8.len() as u8;
        }
        name
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        str::from_utf8(bytes).unwrap_or_default()
    }
}

impl std::fmt::Debug for UserName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// How a password is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial<'t> {
    /// Whose.
    pub user: UserName,
    /// Name and password, as they are sent each time; `None` where each try looks different.
    pub proof: Option<&'t [u8]>,
    /// By NTLM, to which a server may bind the connection that it came by.
    pub ntlm: bool,
}

/// Whose password these fields try, if they try one.
#[must_use]
pub fn trial<'t>(fields: &[Field<'t>]) -> Option<Trial<'t>> {
    let value = field_value(fields, "authorization")?;
    let all = fields.iter().filter(|field| field.name.eq_ignore_ascii_case("authorization"));
    if all.count() > 1 {
        // Servers differ in which one they take.
        return Some(Trial { user: UserName::UNREADABLE, proof: None, ntlm: false });
    }
    trial_of(value)
}

fn trial_of(value: &[u8]) -> Option<Trial<'_>> {
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(value.len());
    let (scheme, token) = value.split_at(end);
    let token = trim(token);
    let is = |name: &[u8]| scheme.eq_ignore_ascii_case(name);
    let unreadable = || Some(UserName::UNREADABLE);
    let ntlm = is(b"ntlm") || is(b"negotiate");
    let user = if token.is_empty() {
        None
    } else if is(b"basic") {
        basic(&Base64(token)).or_else(unreadable)
    } else if is(b"digest") {
        digest(token).or_else(unreadable)
    } else if ntlm {
        match message(&Base64(token)).unwrap_or(Message::Other) {
            Message::Opens => None,
            Message::Proof(at) => proof(&Base64(token), at).or_else(unreadable),
            Message::Other => unreadable(),
        }
    } else {
        None
    };
    user.map(|user| Trial { user, proof: is(b"basic").then_some(token), ntlm })
}

/// `user:password` (RFC 7617), as UTF-8 or else as Latin-1.
fn basic(token: &Base64<'_>) -> Option<UserName> {
    let bytes = (0..token.len()).map(|at| token.byte(at));
    let name: Vec<u8> = bytes.map_while(|byte| byte.filter(|byte| *byte != b':')).collect();
    token.byte(name.len())?;
    Some(match str::from_utf8(&name) {
        Ok(text) => UserName::new(text.chars()),
        Err(_) => UserName::new(name.iter().map(|byte| char::from(*byte))),
    })
}

/// `username="…"` (RFC 7616).
fn digest(token: &[u8]) -> Option<UserName> {
    let text = str::from_utf8(token).ok()?;
    let mut parts = text.split(',').filter_map(|part| part.split_once('='));
    let (_, name) = parts.find(|(key, _)| key.trim().eq_ignore_ascii_case("username"))?;
    let name = name.trim().strip_prefix('"')?.strip_suffix('"')?;
    // `\\` stands for one.
    Some(UserName::new(name.chars()))
}

/// What a token of NTLM or Negotiate is.
enum Message {
    /// The first message, or one of Kerberos.
    Opens,
    /// The third of NTLM, which begins there.
    Proof(usize),
    /// None that we know.
    Other,
}

const SIGNATURE: &[u8] = b"NTLMSSP\0";

/// What a token is of stands at its front as an object (RFC 2743 section 3.1): Kerberos (RFC 4121),
/// and as Windows has called it too (MS-SPNG section 3.1.5.2).
const KERBEROS: [&[u8]; 2] = [
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02],
    &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02],
];

/// SPNEGO itself.
const SPNEGO: &[u8] = &[0x06, 0x06, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];

mod tag {
    //! Of DER (X.690 section 8.1.2).
    pub(super) const OCTETS: u8 = 0x04;
    pub(super) const SEQUENCE: u8 = 0x30;
    pub(super) const APPLICATION: u8 = 0x60;
    pub(super) const FIELD_0: u8 = 0xa0;
    pub(super) const FIELD_1: u8 = 0xa1;
    pub(super) const FIELD_2: u8 = 0xa2;
    pub(super) const FIELD_3: u8 = 0xa3;
}

fn message(token: &Base64<'_>) -> Option<Message> {
    let whole = 0..token.len();
    match token.byte(0)? {
        b'N' => bare(token, 0),
        tag::APPLICATION => {
            let inside = element(token, &whole, tag::APPLICATION)?;
            if !token.holds(inside.start, SPNEGO) {
                return kerberos(token, &inside);
            }
            let rest = inside.start + SPNEGO.len()..inside.end;
            wrapped(token, &element(token, &rest, tag::FIELD_0)?)
        }
        tag::FIELD_1 => wrapped(token, &element(token, &whole, tag::FIELD_1)?),
        _ => None,
    }
}

/// A message of NTLM that begins at `at`.
fn bare(token: &Base64<'_>, at: usize) -> Option<Message> {
    if !token.holds(at, SIGNATURE) {
        return None;
    }
    match token.number(at + SIGNATURE.len(), 4)? {
        1 => Some(Message::Opens),
        3 => Some(Message::Proof(at)),
        _ => None,
    }
}

/// Whatever else stands there could be a password of a kind that is not known here.
fn kerberos(token: &Base64<'_>, inside: &Range<usize>) -> Option<Message> {
    let known = KERBEROS.iter().any(|object| token.holds(inside.start, object));
    known.then_some(Message::Opens)
}

/// The fields of either message of SPNEGO. In both, field 2 is the token of the mechanism.
fn wrapped(token: &Base64<'_>, inside: &Range<usize>) -> Option<Message> {
    let fields = element(token, inside, tag::SEQUENCE)?;
    let mut found = Message::Opens;
    let mut at = fields.start;
    let mut last = 0;
    while at < fields.end {
        let kind = token.byte(at)?;
        // In order and none twice, else servers could read another than we do.
        if !(tag::FIELD_0..=tag::FIELD_3).contains(&kind) || kind <= last {
            return None;
        }
        last = kind;
        let field = element(token, &(at..fields.end), kind)?;
        at = field.end;
        if kind == tag::FIELD_2 {
            let octets = element(token, &field, tag::OCTETS)?;
            found = match token.byte(octets.start)? {
                b'N' => bare(token, octets.start)?,
                tag::APPLICATION => kerberos(token, &element(token, &octets, tag::APPLICATION)?)?,
                _ => return None,
            };
        }
    }
    Some(found)
}

/// What is inside the element that `within` begins with, if it has this tag and ends within. Only
/// the shortest form of a length is taken.
fn element(token: &Base64<'_>, within: &Range<usize>, tag: u8) -> Option<Range<usize>> {
    if token.byte(within.start)? != tag {
        return None;
    }
    let first = token.byte(within.start + 1)?;
    let (length, begins) = match first {
        0..=0x7f => (usize::from(first), within.start + 2),
        0x81..=0x83 => {
            let bytes = usize::from(first & 3);
            let digits = (0..bytes).map(|at| token.byte(within.start + 2 + at));
            let length =
                digits.into_iter().try_fold(0, |sum, byte| Some(sum << 8 | usize::from(byte?)))?;
            let shortest = length >= 0x80 && length >> (8 * (bytes - 1)) != 0;
            shortest.then_some((length, within.start + 2 + bytes))?
        }
        _ => return None,
    };
    let ends = begins + length;
    (ends <= within.end).then_some(begins..ends)
}

/// Where the user's name stands in the third message: its length, then its place.
const USER_FIELD: usize = 36;
const FLAGS_FIELD: usize = 60;
/// The name is UTF-16 (MS-NLMP section 2.2.2.5).
const UNICODE: u32 = 1;

/// The name in the third message of NTLM, which begins at `at`.
fn proof(token: &Base64<'_>, at: usize) -> Option<UserName> {
    let length = token.number(at + USER_FIELD, 2)? as usize;
    let begins = at + token.number(at + USER_FIELD + 4, 4)? as usize;
    let flags = token.number(at + FLAGS_FIELD, 4).unwrap_or(0);
    // So that the whole name is there.
    token.byte(begins + length.checked_sub(1)?)?;
    if flags & UNICODE == 0 {
        let bytes = (0..length).filter_map(|at| token.byte(begins + at));
        return Some(UserName::new(bytes.map(char::from)));
    }
    let units = (0..length / 2).filter_map(|at| Some(token.number(begins + 2 * at, 2)? as u16));
    let chars = char::decode_utf16(units);
    Some(UserName::new(chars.map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))))
}

/// Text in base64 (RFC 4648 section 4), read where it is needed: tokens have up to 64 KB.
struct Base64<'t>(&'t [u8]);

impl Base64<'_> {
    /// Bytes that it stands for, if all of it is right.
    fn len(&self) -> usize {
        let padding = self.0.iter().rev().take(2).filter(|byte| **byte == b'=').count();
        (self.0.len() - padding) * 3 / 4
    }

    fn byte(&self, at: usize) -> Option<u8> {
        let digit = |place: usize| {
            Some(match self.0.get(place)? {
                letter @ b'A'..=b'Z' => u32::from(letter - b'A'),
                letter @ b'a'..=b'z' => u32::from(letter - b'a') + 26,
                figure @ b'0'..=b'9' => u32::from(figure - b'0') + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            })
        };
        let (group, within) = (at / 3 * 4, at % 3);
        let two = digit(group + within)? << 6 | digit(group + within + 1)?;
        Some((two >> (4 - 2 * within)) as u8)
    }

    fn holds(&self, at: usize, bytes: &[u8]) -> bool {
        bytes.iter().enumerate().all(|(index, byte)| self.byte(at + index) == Some(*byte))
    }

    /// Little-endian.
    fn number(&self, at: usize, bytes: usize) -> Option<u32> {
        let digits = (0..bytes).rev().map(|index| self.byte(at.checked_add(index)?));
        digits.into_iter().try_fold(0, |sum, byte| Some(sum << 8 | u32::from(byte?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let number = group.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
            let number = number << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = DIGITS[(number >> (18 - 6 * place) & 63) as usize];
                text.push(if place <= group.len() { char::from(digit) } else { '=' });
            }
        }
        text
    }

    /// A third message of NTLM with the name behind the fixed part, as Windows lays it out.
    fn third(name: &[u8], flags: u32) -> Vec<u8> {
        let mut message = b"NTLMSSP\0\x03\0\0\0".to_vec();
        message.resize(USER_FIELD, 0);
        let length = (name.len() as u16).to_le_bytes();
        message.extend([length, length].concat());
        message.extend(72_u32.to_le_bytes());
        message.resize(FLAGS_FIELD, 0);
        message.extend(flags.to_le_bytes());
        message.resize(72, 0);
        message.extend(name);
        message
    }

    fn unicode(name: &str) -> Vec<u8> {
        third(&name.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(), UNICODE)
    }

    fn der(tag: u8, inside: &[u8]) -> Vec<u8> {
        let length = inside.len();
        let head = match length {
            0..=0x7f => vec![tag, length as u8],
            0x80..=0xff => vec![tag, 0x81, length as u8],
            _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        };
        [head, inside.to_vec()].concat()
    }

    /// The token of a mechanism in SPNEGO's second message, behind the field of its state.
    fn later(token: &[u8]) -> Vec<u8> {
        let state = der(tag::FIELD_0, &[0x0a, 1, 1]);
        let token = der(tag::FIELD_2, &der(tag::OCTETS, token));
        der(tag::FIELD_1, &der(tag::SEQUENCE, &[state, token].concat()))
    }

    /// The same in its first.
    fn first(token: &[u8]) -> Vec<u8> {
        let mechanisms = der(tag::FIELD_0, &der(tag::SEQUENCE, &[]));
        let token = der(tag::FIELD_2, &der(tag::OCTETS, token));
        let fields = der(tag::FIELD_0, &der(tag::SEQUENCE, &[mechanisms, token].concat()));
        der(tag::APPLICATION, &[SPNEGO, &fields].concat())
    }

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        let seen = trial_of(value.as_bytes());
        assert_eq!(seen.map(|seen| seen.user.as_str().to_owned()).as_deref(), expected, "{value}");
    }

    #[track_caller]
    fn check_token(token: &[u8], expected: Option<&str>) {
        check(&format!("Negotiate {}", base64(token)), expected);
        if token.starts_with(SIGNATURE) {
            check(&format!("nTLM \t{}", base64(token)), expected);
        }
    }

    #[test]
    fn whose_password_is_tried() {
        let basic = |text: &[u8]| format!("Basic {}", base64(text));
        check(&basic(b"bob:secret"), Some("bob"));
        check(&basic(b"CONTOSO\\Bob:a:b"), Some("bob"));
        check(&basic(b"BOB@contoso.com:"), Some("bob"));
        check(&basic(b" b\0ob\t:x"), Some("bob"));
        check(&basic("b\u{f6}b:x".as_bytes()), Some("bob"));
        check(&basic(b"b\xf6b:x"), Some("bob"));
        check(&basic("\u{ff22}\u{ff4f}\u{ff42}:x".as_bytes()), Some("bob"));
        check(&basic(b"bob"), Some(""));
        check("Basic !", Some(""));
        check("Basic", None);
        check("Digest username=\"CONTOSO\\\\Bob\", realm=\"x\"", Some("bob"));
        check("Digest realm=\"x\", UserName = \"bob\"", Some("bob"));
        check("Digest realm=\"x\"", Some(""));
        for per_request in ["Bearer Ym9iOng=", "MsRtcOAuth Ym9iOng=", "Kerberos YII=", "Other x"] {
            check(per_request, None);
        }
    }

    #[test]
    fn messages_of_ntlm() {
        check_token(&unicode("Bob"), Some("bob"));
        check_token(&unicode("CONTOSO\\b\u{f3}b"), Some("bob"));
        check_token(&third(b"BOB", 0), Some("bob"));
        check_token(&unicode(""), Some(""));
        check_token(b"NTLMSSP\0\x01\0\0\0\0\0\0\0", None);
        check_token(b"NTLMSSP\0\x02\0\0\0", Some(""));
        check_token(b"NTLMSSP\0\x03\0\0\0", Some(""));
        let mut beyond = unicode("bob");
        beyond[USER_FIELD + 4] = 200;
        check_token(&beyond, Some(""));
        check("NTLM", None);
        check("NTLM ????", Some(""));
    }

    #[test]
    fn messages_in_spnego() {
        let long = unicode(&"b".repeat(200));
        check_token(&later(&unicode("Bob")), Some("bob"));
        check_token(&later(&long), Some(&"b".repeat(NAME_BYTES)));
        check_token(&first(&unicode("Bob")), Some("bob"));
        check_token(&first(b"NTLMSSP\0\x01\0\0\0"), None);
        // Kerberos, bare and wrapped.
        for object in KERBEROS {
            let ticket = der(tag::APPLICATION, &[object, b"ticket"].concat());
            check_token(&ticket, None);
            check_token(&first(&ticket), None);
            check_token(&later(&ticket), None);
        }
        // NTLM's own object, and one whose length is longer than it has to be.
        let ntlm = [0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
        check_token(&der(tag::APPLICATION, &[&ntlm, SIGNATURE].concat()), Some(""));
        let long = [&[0x06, 0x81], &SPNEGO[1..], &unicode("bob")].concat();
        check_token(&der(tag::APPLICATION, &long), Some(""));
        check_token(&first(&[1, 2]), Some(""));
        // The same field twice, of which a server might take the other.
        let twice = der(tag::FIELD_2, &der(tag::OCTETS, &unicode("eve"))).repeat(2);
        check_token(&der(tag::FIELD_1, &der(tag::SEQUENCE, &twice)), Some(""));
        // A length that is longer than it has to be, and one that is not there.
        check_token(&[tag::FIELD_1, 0x81, 2, tag::SEQUENCE, 0], Some(""));
        check_token(&[tag::FIELD_1, 0x80, tag::SEQUENCE, 0], Some(""));
        check_token(&der(tag::FIELD_1, &der(tag::SEQUENCE, &[])), None);
    }

    #[test]
    fn two_fields_name_nobody() {
        let field = |value| Field { name: "Authorization", value };
        let bearer = field(b"Bearer x".as_slice());
        assert_eq!(trial(&[bearer]), None);
        assert_eq!(trial(&[bearer, bearer]).unwrap().user.as_str(), "");
        assert_eq!(trial(&[]), None);
    }

    /// Whatever a token is, reading it ends, and a broken one is never taken for none.
    #[test]
    fn broken_tokens_are_nobodys() {
        let whole = base64(&later(&unicode("Bob")));
        let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            let mut broken = whole.clone().into_bytes();
            let at = dice as usize % broken.len();
            broken[at] = (dice >> 32) as u8 & 0x7f;
            broken.truncate(broken.len() - (dice >> 40) as usize % 3);
            let _ = trial_of(&[b"Negotiate ", broken.as_slice()].concat());
            broken.truncate(at);
            let cut = [b"Negotiate ", broken.as_slice()].concat();
            let cut = trial_of(&cut);
            assert!(at == 0 || cut.is_some(), "{}", String::from_utf8_lossy(&broken));
        }
    }
}

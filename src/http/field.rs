//! One walk over the fields of a head, the same for requests and answers: line ends and lengths
//! are checked, what concerns framing and the connection is taken down, and what is not to be
//! copied is marked.

use super::credential::for_connection;
use super::name::{Name, removable};
use super::scan::is_token;
use super::{Credential, FIELD_SLOTS, Field, Framing, HeadLimits, Malformed, Version};

/// The most options that all Connection fields of a head may name. Each is looked for among all
/// fields.
const OPTIONS_MAX: usize = 32;

/// A set of fields, by index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet([u64; FIELD_SLOTS / 64]);

impl FieldSet {
    #[inline]
    pub(super) fn insert(&mut self, index: usize) {
        if let Some(word) = self.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
    }

    /// As [`Self::insert`], where there is something to insert.
    pub(super) fn insert_some(&mut self, index: Option<u8>) {
        if let Some(index) = index {
            self.insert(usize::from(index));
        }
    }

    /// All that are in either.
    pub(super) fn with(mut self, other: &Self) -> Self {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        self
    }

    /// The indices, ascending.
    #[inline]
    pub(super) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, mut word)| {
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// The lines of one head: its bytes from the start line to the blank line, both included, and
/// where in them the fields are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'h, 'b> {
    pub(super) head: &'b [u8],
    pub(super) fields: &'h [Field<'b>],
}

impl<'b> Lines<'_, 'b> {
    /// Offset in the head at which the line of field `index` begins; past the last field, that
    /// of the blank line.
    #[inline]
    pub(super) fn start(&self, index: usize) -> usize {
        match self.fields.get(index) {
            Some(field) => field.name.as_ptr().addr().wrapping_sub(self.head.as_ptr().addr()),
            None => self.head.len().saturating_sub(2),
        }
    }

    /// The start line without its CRLF. None if it or the blank line does not end in CRLF.
    #[inline]
    pub(super) fn start_line(&self) -> Option<&'b [u8]> {
        if !self.head.ends_with(b"\r\n") {
            return None;
        }
        self.head.get(..self.start(0))?.strip_suffix(b"\r\n")
    }

    /// Bytes of the longest field line, without its CRLF.
    pub(super) fn longest(&self) -> usize {
        let lines = (0..self.fields.len()).map(|index| self.start(index + 1) - self.start(index));
        lines.max().map_or(0, |length| length.saturating_sub(2))
    }

    pub(super) fn bytes(&self, range: std::ops::Range<usize>) -> &'b [u8] {
        self.head.get(range).unwrap_or_default()
    }
}

/// What the fields of a head say about the message and the connection.
#[derive(Debug, Default)]
pub(super) struct Survey<'b> {
    pub(super) host: Option<&'b [u8]>,
    pub(super) length: Option<u64>,
    /// Where Content-Length stands.
    pub(super) length_at: Option<u8>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) persist: bool,
    upgrade_option: bool,
    upgrades: u32,
    websockets: u32,
    pub(super) expects: bool,
    pub(super) date: bool,
    /// The strongest claim of any Authorization field.
    pub(super) credential: Credential,
    /// WWW-Authenticate asks for a credential of the connection.
    pub(super) challenge: bool,
    /// Never copied.
    pub(super) dropped: FieldSet,
    /// Forwarded-like, copied only when the policy says so.
    pub(super) forwarded: FieldSet,
    /// Connection names more than close, keep-alive and upgrade.
    naming: bool,
}

impl<'b> Survey<'b> {
    /// Walks the fields once.
    ///
    /// # Errors
    ///
    /// The first thing that must be refused in a request and in an answer alike.
    #[inline]
    pub(super) fn take(lines: &Lines<'_, 'b>, limits: &HeadLimits) -> Result<Self, Malformed> {
        let mut survey = Self::default();
        let mut start = lines.start(0);
        for (index, field) in lines.fields.iter().enumerate() {
            let end = lines.start(index + 1);
            // The tokeniser takes a bare LF for a line end; it takes a CR nowhere else.
            if end < 2 || lines.head.get(end - 2) != Some(&b'\r') {
                return Err(Malformed::LineEnd);
            }
            if end - 2 > start.saturating_add(limits.field_bytes_max) {
                return Err(Malformed::FieldTooLong);
            }
            start = end;
            let name = Name::of(field.name.as_bytes());
            if name != Name::Ordinary {
                survey.note(name, index, field.value)?;
            }
        }
        if survey.naming {
            survey.drop_named(lines.fields)?;
        }
        Ok(survey)
    }

    fn note(&mut self, name: Name, index: usize, value: &'b [u8]) -> Result<(), Malformed> {
        match name {
            Name::Ordinary => {}
            Name::Host => {
                if self.host.replace(value).is_some() {
                    return Err(Malformed::HostRepeated);
                }
            }
            Name::ContentLength => {
                if self.length.replace(length(value)?).is_some() {
                    return Err(Malformed::LengthRepeated);
                }
                self.length_at = u8::try_from(index).ok();
            }
            Name::TransferEncoding => {
                coding(value)?;
                if std::mem::replace(&mut self.chunked, true) {
                    return Err(Malformed::CodingRepeated);
                }
                self.dropped.insert(index);
            }
            Name::Connection => {
                self.dropped.insert(index);
                self.connection(value)?;
            }
            Name::Upgrade => {
                self.dropped.insert(index);
                self.upgrades = self.upgrades.saturating_add(1);
                self.websockets += u32::from(value.eq_ignore_ascii_case(b"websocket"));
            }
            Name::Expect => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Malformed::ExpectUnknown);
                }
                self.expects = true;
                self.dropped.insert(index);
            }
            Name::Authorization => self.credential = self.credential.and(value),
            Name::WwwAuthenticate => self.challenge |= for_connection(value),
            Name::Date => self.date = true,
            Name::HopByHop => self.dropped.insert(index),
            Name::Forwarded => self.forwarded.insert(index),
            Name::Disguised => return Err(Malformed::FramingDisguised),
        }
        Ok(())
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Malformed> {
        // What nearly every client and server sends.
        if value.eq_ignore_ascii_case(b"keep-alive") {
            self.persist = true;
            return Ok(());
        }
        for option in options(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.persist = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade_option = true;
            } else if !option.iter().all(|byte| is_token(*byte)) {
                return Err(Malformed::ConnectionInvalid);
            } else {
                self.naming = true;
            }
        }
        Ok(())
    }

    /// Marks the fields that Connection names, as far as it may (RFC 9110 section 7.6.1).
    fn drop_named(&mut self, fields: &[Field<'_>]) -> Result<(), Malformed> {
        let mut count = 0;
        for naming in fields {
            if Name::of(naming.name.as_bytes()) != Name::Connection {
                continue;
            }
            for option in options(naming.value) {
                count += 1;
                if count > OPTIONS_MAX {
                    return Err(Malformed::ConnectionInvalid);
                }
                match Name::of(option) {
                    Name::Host | Name::ContentLength | Name::TransferEncoding | Name::Disguised => {
                        return Err(Malformed::ConnectionNamesFraming);
                    }
                    _ if !removable(option) => continue,
                    _ => {}
                }
                for (index, field) in fields.iter().enumerate() {
                    if field.name.as_bytes().eq_ignore_ascii_case(option) {
                        self.dropped.insert(index);
                    }
                }
            }
        }
        Ok(())
    }

    /// How the body is framed as far as fields say (RFC 9112 section 6.3).
    ///
    /// # Errors
    ///
    /// Both fields, or a coding that the version does not have.
    pub(super) fn framing(&self, version: Version) -> Result<Framing, Malformed> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Malformed::LengthWithCoding),
            (true, None) if version == Version::Http10 => Err(Malformed::CodingInHttp10),
            (true, None) => Ok(Framing::Chunked),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::None),
        }
    }

    /// Whether the sender means to go on with this connection (RFC 9112 section 9.3).
    pub(super) fn keep_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::Http11 || self.persist)
    }

    /// Whether an upgrade to websocket, and nothing but that, is meant (RFC 9110 section 7.8).
    pub(super) fn websocket(&self) -> bool {
        self.upgrade_option && self.upgrades == 1 && self.websockets == 1
    }
}

/// The elements of a comma-separated list, without empty ones (RFC 9110 section 5.6.1).
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|option| !option.is_empty())
}

/// Without spaces and tabs at either end.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// A Content-Length (RFC 9110 section 8.6): digits, at most 20 of them, below 2^64.
fn length(value: &[u8]) -> Result<u64, Malformed> {
    if value.is_empty() || value.len() > 20 {
        return Err(Malformed::LengthInvalid);
    }
    value.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
        digit
            .and_then(|digit| sum.checked_mul(10)?.checked_add(digit))
            .ok_or(Malformed::LengthInvalid)
    })
}

/// Accepts exactly `chunked`. Codings that we would have to pass on unread are 501, everything
/// that some reader might take for chunked is 400 (RFC 9112 section 6.1).
fn coding(value: &[u8]) -> Result<(), Malformed> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if options(value).filter(|coding| chunked(coding)).count() > 1 {
        return Err(Malformed::CodingRepeated);
    }
    let plain = !value.is_empty()
        && value.split(|byte| *byte == b',').map(trim).all(|coding| {
            let near = coding.windows(5).any(|part| part.eq_ignore_ascii_case(b"chunk"));
            !coding.is_empty()
                && coding.iter().all(|byte| is_token(*byte))
                && (!near || chunked(coding))
        });
    Err(if plain { Malformed::CodingUnknown } else { Malformed::CodingInvalid })
}

//! HTTP/1.1 as bytes: heads are judged, rewritten and framed here (RFC 9110, RFC 9112).
//!
//! Bytes come in, decisions and bytes go out; there is no socket, clock or log here, and nothing
//! else of ours is known. The rule of the room: what is ambiguous is refused, never repaired. A
//! head that was accepted means the same to us and to whoever reads what we write from it.
//!
//! Read `request.rs` first. `httparse` cuts a head into lines; everything that it tolerates and
//! we do not is checked here, and `scan.rs` finds the exact reason where it only says no.

mod chunked;
mod credential;
mod field;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod log_in;
mod malformed;
mod meaning;
mod name;
mod request;
mod response;
mod scan;
mod target;
mod write;

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

pub use chunked::{Chunked, Decoded, chunk_size_line};
pub use credential::Credential;
#[cfg(any(test, fuzzing))]
pub use fuzz::{fuzz_answer, fuzz_chunked, fuzz_request, fuzz_response, fuzz_target};
pub use log_in::{Trial, UserName, trial};
pub use malformed::Malformed;
pub use meaning::Sender;
pub use request::{RequestFacts, RequestHead, parse_request};
pub use response::{ResponseFacts, ResponseHead, ResponseTo, parse_response};
pub use scan::may_decide;
pub use write::{
    AnswerPolicy, Forwarded, OutgoingBody, RequestPolicy, write_request, write_response,
    write_response_with,
};

/// One field line: `name` is a token, `value` has no white space at either end and no control
/// byte except HTAB (RFC 9110 section 5).
pub type Field<'b> = httparse::Header<'b>;

/// The value of the first of `fields` with this name, in any case.
pub fn field_value<'b>(fields: &[Field<'b>], name: &str) -> Option<&'b [u8]> {
    fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// The most field lines that a head can have, whatever [`HeadLimits::fields_max`] says.
pub const FIELD_SLOTS: usize = 256;

/// Where output bytes go.
pub trait Sink {
    /// Appends `bytes`. Whoever implements this decides what to do when there is no room left;
    /// a writer of this room calls it a few times per head, not per field.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// How large a head may be. All are bounds that still pass; one more is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head with its blank line; past it 431.
    pub head_bytes_max: usize,
    /// Bytes of one field line without its CRLF; past it 431.
    pub field_bytes_max: usize,
    /// Bytes of the request target as received; past it 414.
    pub target_bytes_max: usize,
    /// Number of field lines, at most [`FIELD_SLOTS`]; past it 431.
    pub fields_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32_768,
            field_bytes_max: 16_384,
            target_bytes_max: 16_384,
            fields_max: 128,
        }
    }
}

/// What a parser says about the bytes so far, when they are not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<T> {
    /// The head is complete and accepted.
    Complete(T),
    /// Nothing is wrong yet; call again with the same bytes and more behind them.
    NeedMore,
}

/// Room on the stack for the fields of one head. It is not initialised, so that making one costs
/// nothing.
pub struct Slots<'b> {
    room: [MaybeUninit<Field<'b>>; FIELD_SLOTS],
}

impl<'b> Slots<'b> {
    /// Empty room for [`FIELD_SLOTS`] fields.
    #[inline]
    pub fn new() -> Self {
        Self { room: [const { MaybeUninit::uninit() }; FIELD_SLOTS] }
    }

    /// Room for as many fields as `limits` allow.
    fn within(&mut self, limits: &HeadLimits) -> &mut [MaybeUninit<Field<'b>>] {
        let end = limits.fields_max.min(FIELD_SLOTS);
        self.room.get_mut(..end).unwrap_or_default()
    }
}

impl Default for Slots<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// A request method (RFC 9110 section 9). CONNECT and TRACE never get this far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// GET.
    Get,
    /// HEAD; its answer has no body.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// OPTIONS, the only method whose target may be `*`.
    Options,
    /// PATCH.
    Patch,
    /// Any other token; the head has its spelling.
    Other,
}

impl Method {
    /// The method that `token` names; methods are case-sensitive.
    pub fn of(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// The protocol version of a head (RFC 9112 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body, and no field says one is due.
    None,
    /// Exactly so many bytes; zero when `Content-Length: 0` was sent.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// The body ends when the connection does; answers only.
    UntilClose,
}

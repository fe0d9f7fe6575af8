//! What the words for refused messages mean, for the operator.

use super::Malformed;

/// Whose message can be refused for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Only a request.
    Client,
    /// Only an answer.
    Server,
    /// Either.
    Both,
}

use Sender::{Both, Client, Server};

/// Every reason, in the order in which a message is read: whose message it is, and what was wrong
/// with it. That none is missing is tested where the words are explained (`exchange/explain.rs`).
const MEANINGS: [(Malformed, Sender, &str); 45] = [
    (
        Malformed::LineEnd,
        Both,
        "A line of the head ended in a bare CR or LF, or empty lines came first.",
    ),
    (Malformed::StartLine, Client, "The first line was not a method, a target and a version."),
    (
        Malformed::MethodInvalid,
        Client,
        "The method was empty or held characters that no method has.",
    ),
    (Malformed::MethodTooLong, Client, "The method was longer than 64 bytes."),
    (
        Malformed::MethodConnect,
        Client,
        "CONNECT asks for a tunnel to anywhere; this is not that kind of proxy.",
    ),
    (Malformed::MethodTrace, Client, "TRACE is refused: its answer would show credentials."),
    (
        Malformed::TargetInvalid,
        Client,
        "The target held a control character, a `#` or a byte outside ASCII.",
    ),
    (Malformed::TargetTooLong, Client, "The target was longer than `limits.target_bytes_max`."),
    (
        Malformed::TargetForm,
        Client,
        "The target had a form that does not fit its method, or another scheme.",
    ),
    (Malformed::TargetAuthority, Client, "The host in the target was no plain host and port."),
    (Malformed::VersionMissing, Client, "The first line named no version of HTTP."),
    (
        Malformed::VersionInvalid,
        Both,
        "What stood in the place of the version was none, or the message was not HTTP at all.",
    ),
    (Malformed::VersionUnsupported, Both, "The version was neither HTTP/1.0 nor HTTP/1.1."),
    (Malformed::HeadTooLong, Both, "The head was longer than `limits.head_bytes_max`."),
    (Malformed::FieldTooLong, Both, "A field was longer than `limits.field_bytes_max`."),
    (Malformed::FieldsTooMany, Both, "The head had more fields than `limits.fields_max`."),
    (Malformed::FieldName, Both, "A field had no colon, no name, or white space before the colon."),
    (Malformed::FieldValue, Both, "The value of a field held a control character."),
    (
        Malformed::FieldFolded,
        Both,
        "A field went on in a second line, which HTTP gave up because it is ambiguous.",
    ),
    (Malformed::HostMissing, Client, "HTTP/1.1 without a Host field."),
    (Malformed::HostRepeated, Both, "More than one Host field."),
    (
        Malformed::HostInvalid,
        Client,
        "The Host field was empty, a list, or no plain host and port.",
    ),
    (
        Malformed::HostNotTarget,
        Client,
        "The host in the target was another than in the Host field.",
    ),
    (Malformed::LengthInvalid, Both, "Content-Length was no plain number."),
    (Malformed::LengthRepeated, Both, "More than one Content-Length field."),
    (
        Malformed::LengthWithCoding,
        Both,
        "Content-Length stood beside Transfer-Encoding: the mark of request smuggling.",
    ),
    (Malformed::CodingUnknown, Both, "A transfer coding other than chunked."),
    (
        Malformed::CodingInvalid,
        Both,
        "A transfer coding that some would read as chunked and others not.",
    ),
    (
        Malformed::CodingRepeated,
        Both,
        "More than one Transfer-Encoding field, or chunked more than once.",
    ),
    (
        Malformed::CodingInHttp10,
        Both,
        "Transfer-Encoding in a message of HTTP/1.0, which does not have it.",
    ),
    (
        Malformed::FramingDisguised,
        Both,
        "A field such as `Content_Length`, which some servers take for the one with a hyphen.",
    ),
    (
        Malformed::ConnectionInvalid,
        Both,
        "The Connection field was no list of names, or named more than 32.",
    ),
    (
        Malformed::ConnectionNamesFraming,
        Both,
        "The Connection field named Host, Content-Length or Transfer-Encoding.",
    ),
    (
        Malformed::ExpectUnknown,
        Both,
        "The Expect field asked for something other than 100-continue.",
    ),
    (
        Malformed::StatusLine,
        Server,
        "The first line of the answer was broken, or its status outside 100 to 599.",
    ),
    (
        Malformed::UpgradeUnasked,
        Server,
        "The server switched to another protocol without having been asked to.",
    ),
    (Malformed::BodyForbidden, Server, "An answer that can have no body announced one."),
    (Malformed::ProxyAuthFromServer, Server, "The server answered 407, as only a proxy may."),
    (Malformed::ChunkSize, Both, "The size of a chunk was no plain hexadecimal number."),
    (Malformed::ChunkSizeOverflow, Both, "The size of a chunk was larger than any chunk can be."),
    (Malformed::ChunkExtension, Both, "The line of a chunk's size held control characters."),
    (Malformed::ChunkLineTooLong, Both, "The line of a chunk's size was longer than 4 KiB."),
    (Malformed::ChunkNotClosed, Both, "A chunk did not end where its size said."),
    (Malformed::TrailersTooLong, Both, "The fields behind a chunked body were longer than 8 KiB."),
    (Malformed::TrailersTooMany, Both, "More than 32 fields behind a chunked body."),
];

impl Malformed {
    /// Every reason, and whose message can be refused for it.
    pub fn all() -> impl Iterator<Item = (Self, Sender)> {
        MEANINGS.into_iter().map(|(reason, sender, _)| (reason, sender))
    }

    /// What was wrong with the message, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        let row = MEANINGS.iter().find(|(reason, ..)| *reason == self);
        row.map_or("The message broke HTTP.", |(.., meaning)| meaning)
    }
}

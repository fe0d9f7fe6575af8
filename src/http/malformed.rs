//! Why a head or a body is refused: one variant per reason, and in one place what each becomes on
//! the wire and in the log.

/// Why a message is refused. A connection that sent one is closed after the answer, and nothing
/// behind it is read as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// A bare CR or LF, or more than one empty line before a request (RFC 9112 section 2.2).
    LineEnd,
    /// The request line has not three parts with one space between (RFC 9112 section 3).
    StartLine,
    /// The method is empty or not a token (RFC 9110 section 9.1).
    MethodInvalid,
    /// The method is longer than 64 bytes.
    MethodTooLong,
    /// CONNECT: this is no tunnel for clients to choose.
    MethodConnect,
    /// TRACE: it would echo credentials (RFC 9110 section 9.3.8).
    MethodTrace,
    /// A control byte, `#`, or a byte outside ASCII in the target (RFC 9112 section 3.2).
    TargetInvalid,
    /// The target is longer than `target_bytes_max`.
    TargetTooLong,
    /// The target has a form that the method or this proxy does not take: authority form, `*`
    /// without OPTIONS, another scheme, a query straight after the authority.
    TargetForm,
    /// The authority in the target is not a plain host and port (RFC 9110 section 4.2.4 asks to
    /// treat user information as an error).
    TargetAuthority,
    /// No version: HTTP/0.9, or a broken line.
    VersionMissing,
    /// The version is not `HTTP/` digit `.` digit.
    VersionInvalid,
    /// A version that is neither 1.0 nor 1.1 (RFC 9110 section 15.6.6).
    VersionUnsupported,
    /// The head is longer than `head_bytes_max`.
    HeadTooLong,
    /// A field line is longer than `field_bytes_max`.
    FieldTooLong,
    /// More field lines than `fields_max`.
    FieldsTooMany,
    /// A field line without colon, with an empty name, a name that is no token, or white space
    /// before the colon (RFC 9112 section 5.1).
    FieldName,
    /// A control byte in a field value (RFC 9110 section 5.5).
    FieldValue,
    /// A line that begins with white space (RFC 9112 section 5.2).
    FieldFolded,
    /// HTTP/1.1 without Host (RFC 9112 section 3.2).
    HostMissing,
    /// More than one Host field.
    HostRepeated,
    /// Host is empty, a list, or no plain host and port.
    HostInvalid,
    /// The authority in the target is another than Host.
    HostNotTarget,
    /// Content-Length is not a plain number below 2^64 (RFC 9110 section 8.6).
    LengthInvalid,
    /// More than one Content-Length, even if they agree.
    LengthRepeated,
    /// Content-Length beside Transfer-Encoding (RFC 9112 section 6.3).
    LengthWithCoding,
    /// A transfer coding other than chunked (RFC 9112 section 6.1).
    CodingUnknown,
    /// A transfer coding that some would read as chunked and others not.
    CodingInvalid,
    /// More than one Transfer-Encoding, or chunked more than once.
    CodingRepeated,
    /// Transfer-Encoding in HTTP/1.0.
    CodingInHttp10,
    /// `Content_Length`, `Transfer_Encoding`: servers that read `_` as `-` would frame by it.
    FramingDisguised,
    /// Connection is not a list of tokens, or has more than 32 (RFC 9110 section 7.6.1).
    ConnectionInvalid,
    /// Connection names Host, Content-Length or Transfer-Encoding.
    ConnectionNamesFraming,
    /// Expect asks for something other than `100-continue` (RFC 9110 section 10.1.1).
    ExpectUnknown,
    /// A status line that is broken, or a status outside 100 to 599 (RFC 9112 section 4).
    StatusLine,
    /// A 101 that nobody asked for, or to something other than websocket.
    UpgradeUnasked,
    /// A 1xx or 204 whose fields announce a body (RFC 9112 section 6.3).
    BodyForbidden,
    /// A server that asks as a proxy would (407).
    ProxyAuthFromServer,
    /// A chunk size that is no plain hexadecimal number (RFC 9112 section 7.1).
    ChunkSize,
    /// A chunk size that does not fit in 64 bits.
    ChunkSizeOverflow,
    /// Control bytes in a chunk extension.
    ChunkExtension,
    /// A chunk size line longer than 4 KiB.
    ChunkLineTooLong,
    /// Chunk data that is not followed by CRLF where its size says.
    ChunkNotClosed,
    /// Trailers longer than 8 KiB.
    TrailersTooLong,
    /// More than 32 trailer lines.
    TrailersTooMany,
}

impl Malformed {
    /// The status that answers a client whose message this is. From a server any of them is 502,
    /// which is also what the reasons give that only an answer can have.
    pub fn status(self) -> u16 {
        match self {
            Self::MethodTrace => 405,
            Self::TargetTooLong => 414,
            Self::ExpectUnknown => 417,
            Self::HeadTooLong | Self::FieldTooLong | Self::FieldsTooMany => 431,
            Self::TrailersTooLong | Self::TrailersTooMany => 431,
            Self::MethodTooLong | Self::MethodConnect | Self::CodingUnknown => 501,
            Self::VersionUnsupported => 505,
            Self::StatusLine
            | Self::UpgradeUnasked
            | Self::BodyForbidden
            | Self::ProxyAuthFromServer => 502,
            Self::LineEnd
            | Self::StartLine
            | Self::MethodInvalid
            | Self::TargetInvalid
            | Self::TargetForm
            | Self::TargetAuthority
            | Self::VersionMissing
            | Self::VersionInvalid
            | Self::FieldName
            | Self::FieldValue
            | Self::FieldFolded
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::HostNotTarget
            | Self::LengthInvalid
            | Self::LengthRepeated
            | Self::LengthWithCoding
            | Self::CodingInvalid
            | Self::CodingRepeated
            | Self::CodingInHttp10
            | Self::FramingDisguised
            | Self::ConnectionInvalid
            | Self::ConnectionNamesFraming
            | Self::ChunkSize
            | Self::ChunkSizeOverflow
            | Self::ChunkExtension
            | Self::ChunkLineTooLong
            | Self::ChunkNotClosed => 400,
        }
    }

    /// The word for log and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::LineEnd => "line_end",
            Self::StartLine => "start_line",
            Self::MethodInvalid => "method_invalid",
            Self::MethodTooLong => "method_too_long",
            Self::MethodConnect => "method_connect",
            Self::MethodTrace => "method_trace",
            Self::TargetInvalid => "target_invalid",
            Self::TargetTooLong => "target_too_long",
            Self::TargetForm => "target_form",
            Self::TargetAuthority => "target_authority",
            Self::VersionMissing => "version_missing",
            Self::VersionInvalid => "version_invalid",
            Self::VersionUnsupported => "version_unsupported",
            Self::HeadTooLong => "head_too_long",
            Self::FieldTooLong => "field_too_long",
            Self::FieldsTooMany => "fields_too_many",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::FieldFolded => "field_folded",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::HostNotTarget => "host_not_target",
            Self::LengthInvalid => "length_invalid",
            Self::LengthRepeated => "length_repeated",
            Self::LengthWithCoding => "length_with_coding",
            Self::CodingUnknown => "coding_unknown",
            Self::CodingInvalid => "coding_invalid",
            Self::CodingRepeated => "coding_repeated",
            Self::CodingInHttp10 => "coding_in_http10",
            Self::FramingDisguised => "framing_disguised",
            Self::ConnectionInvalid => "connection_invalid",
            Self::ConnectionNamesFraming => "connection_names_framing",
            Self::ExpectUnknown => "expect_unknown",
            Self::StatusLine => "status_line",
            Self::UpgradeUnasked => "upgrade_unasked",
            Self::BodyForbidden => "body_forbidden",
            Self::ProxyAuthFromServer => "proxy_auth_from_server",
            Self::ChunkSize => "chunk_size",
            Self::ChunkSizeOverflow => "chunk_size_overflow",
            Self::ChunkExtension => "chunk_extension",
            Self::ChunkLineTooLong => "chunk_line_too_long",
            Self::ChunkNotClosed => "chunk_not_closed",
            Self::TrailersTooLong => "trailers_too_long",
            Self::TrailersTooMany => "trailers_too_many",
        }
    }
}

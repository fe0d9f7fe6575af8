//! Which field names mean something to a proxy. The switch is on length and first letter, so that
//! a name which means nothing is passed over after one jump.

/// What a field is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// End to end; copied.
    Ordinary,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    Upgrade,
    Expect,
    Authorization,
    WwwAuthenticate,
    Date,
    /// For one hop only; never copied (RFC 9110 section 7.6.1, and what browsers and servers
    /// send in spite of it).
    HopByHop,
    /// Says who the client is or what it asked, in the words of a proxy before us.
    Forwarded,
    /// A framing field spelled with `_`.
    Disguised,
}

impl Name {
    /// Classifies a field name, in any case, with `_` read as `-` as many servers do.
    #[inline(always)]
    pub(super) fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else { return Self::Ordinary };
        match (name.len(), first | 0x20) {
            (2, b't') if same(name, b"te") => Self::HopByHop,
            (4, b'h') if same(name, b"host") => Self::Host,
            (4, b'd') if same(name, b"date") => Self::Date,
            (5, b'p') if same(name, b"proxy") => Self::Forwarded,
            (6, b'e') if same(name, b"expect") => Self::Expect,
            (7, b'u') if same(name, b"upgrade") => Self::Upgrade,
            (9, b'f') if same(name, b"forwarded") => Self::Forwarded,
            (10, b'c') if same(name, b"connection") => Self::Connection,
            (10, b'k') if same(name, b"keep-alive") => Self::HopByHop,
            (13, b'a') if same(name, b"authorization") => Self::Authorization,
            (14, b'c') if same(name, b"content-length") => disguised(name, Self::ContentLength),
            (14, b'h') if same(name, b"http2-settings") => Self::HopByHop,
            (15, b'f') if same(name, b"front-end-https") => Self::Forwarded,
            (16, b'p') if same(name, b"proxy-connection") => Self::HopByHop,
            (16, b'w') if same(name, b"www-authenticate") => Self::WwwAuthenticate,
            (17, b't') if same(name, b"transfer-encoding") => {
                disguised(name, Self::TransferEncoding)
            }
            (18, b'p') if same(name, b"proxy-authenticate") => Self::HopByHop,
            (19, b'p') if same(name, b"proxy-authorization") => Self::HopByHop,
            (25, b'p') if same(name, b"proxy-authentication-info") => Self::HopByHop,
            (9.., b'x') => extension(name),
            _ => Self::Ordinary,
        }
    }
}

fn extension(name: &[u8]) -> Name {
    let known = match name.len() {
        9 => same(name, b"x-real-ip"),
        10 => same(name, b"x-ms-proxy"),
        13 => same(name, b"x-rewrite-url"),
        14 => same(name, b"x-original-url"),
        24 => same(name, b"x-ms-forwarded-client-ip"),
        27 => same(name, b"x-ms-endpoint-absolute-path"),
        _ => false,
    };
    let forwarded = |start: &[u8]| same(start, b"x-forwarded");
    if known || name.get(..11).is_some_and(forwarded) { Name::Forwarded } else { Name::Ordinary }
}

fn disguised(name: &[u8], plain: Name) -> Name {
    if name.contains(&b'_') { Name::Disguised } else { plain }
}

/// Whether `name` is `lower` (lower case, with `-`), in any case and with `_` for `-`.
#[inline]
fn same(name: &[u8], lower: &[u8]) -> bool {
    // A difference usually shows late (`x-forwarded-…`) and names are short: no early end.
    name.len() == lower.len()
        && name.iter().zip(lower).fold(0, |sum, (byte, want)| sum | (fold(*byte) ^ want)) == 0
}

fn fold(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() }
}

/// Whether an option of Connection may take the field of that name away. What belongs to the
/// request itself, to who asks, or to what the body is, stays; the option is then ignored.
pub(super) fn removable(name: &[u8]) -> bool {
    const STAYS: [&[u8]; 10] = [
        b"authorization",
        b"cookie",
        b"set-cookie",
        b"www-authenticate",
        b"origin",
        b"cache-control",
        b"date",
        b"location",
        b"range",
        b"vary",
    ];
    let starts = |lower: &[u8]| name.get(..lower.len()).is_some_and(|start| same(start, lower));
    Name::of(name) == Name::Ordinary
        && !STAYS.iter().any(|stays| same(name, stays))
        && !starts(b"content-")
        && !starts(b"sec-")
        && !starts(b"x-ms-")
}

/// Whether a trailer of that name may be passed on (RFC 9110 section 6.5.1): nothing that frames,
/// routes, authenticates or says what the body is, for a server may merge trailers into the head.
pub(super) fn trailer_allowed(name: &[u8]) -> bool {
    const FORBIDDEN: [&[u8]; 12] = [
        b"trailer",
        b"max-forwards",
        b"pragma",
        b"age",
        b"expires",
        b"retry-after",
        b"authentication-info",
        b"te",
        b"if-match",
        b"if-none-match",
        b"if-modified-since",
        b"if-unmodified-since",
    ];
    removable(name) && !FORBIDDEN.iter().any(|forbidden| same(name, forbidden))
}

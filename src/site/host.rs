//! The name of a Site as a request spells it.

use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};

/// Longest name that can be on a Site.
pub const NAME_BYTES_MAX: usize = 253;

/// A host name in the one form that the table knows: lower case, without port and final dot, an
/// IPv6 literal in brackets and in its shortest spelling.
#[derive(Clone, Copy, Debug)]
pub struct Host<'s> {
    bytes: &'s [u8],
}

impl<'s> Host<'s> {
    /// Reads the value of a Host field, with the help of `scratch`. `None`: no Site can have that
    /// name.
    #[inline]
    pub fn parse(field: &[u8], scratch: &'s mut Vec<u8>) -> Option<Self> {
        scratch.clear();
        if field.first() == Some(&b'[') {
            bracketed(field, scratch)?;
            return Some(Self { bytes: scratch });
        }
        let name = match memchr::memchr(b':', field) {
            Some(colon) if is_port(&field[colon + 1..]) => &field[..colon],
            Some(_) => return None,
            None => field,
        };
        let name = name.strip_suffix(b".").unwrap_or(name);
        // The table files wildcards under names that begin with a dot; no host may spell one.
        if name.is_empty() || name[0] == b'.' || name.len() > NAME_BYTES_MAX {
            return None;
        }
        scratch.extend_from_slice(name);
        scratch.make_ascii_lowercase();
        Some(Self { bytes: scratch })
    }

    /// The canonical bytes.
    pub fn as_bytes(&self) -> &'s [u8] {
        self.bytes
    }

    /// What a wildcard name has after its `*`, with the dot; `None` when there is no label to spare.
    pub fn parent(&self) -> Option<&'s [u8]> {
        let dot = memchr::memchr(b'.', self.bytes)?;
        (dot > 0).then(|| &self.bytes[dot..])
    }
}

fn bracketed(field: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let end = memchr::memchr(b']', field)?;
    match &field[end + 1..] {
        [] => {}
        [b':', port @ ..] if is_port(port) => {}
        _ => return None,
    }
    let address: Ipv6Addr = std::str::from_utf8(&field[1..end]).ok()?.parse().ok()?;
    write!(out, "[{address}]").ok()
}

fn is_port(bytes: &[u8]) -> bool {
    bytes.len() <= 5 && bytes.iter().all(u8::is_ascii_digit)
}

/// Why a text cannot be a name of a Site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// Nothing there.
    Empty,
    /// Longer than DNS allows, as a whole or in one label.
    TooLong,
    /// A letter outside ASCII.
    NotAscii,
    /// A port or a scheme, which names do not have.
    NotOnlyAName,
    /// An IPv6 address without its brackets.
    Unbracketed,
    /// A `*` that is not the whole first label.
    StarElsewhere,
    /// A wildcard over fewer than two labels.
    WildcardTooWide,
    /// A letter that names cannot have, an empty label, or a hyphen at an end of a label.
    Malformed,
}

/// Brings a name from the operator's file into the form that the table knows.
pub fn canonical_name(name: &str) -> Result<String, NameFault> {
    if !name.is_ascii() {
        return Err(NameFault::NotAscii);
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| NameFault::Malformed)?;
        return Ok(format!("[{address}]"));
    }
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => return Ok(name),
        Ok(IpAddr::V6(_)) => return Err(NameFault::Unbracketed),
        Err(_) => {}
    }
    if name.contains([':', '/']) {
        return Err(NameFault::NotOnlyAName);
    }
    let (wildcard, labels) = match name.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, name.as_str()),
    };
    if labels.contains('*') {
        return Err(NameFault::StarElsewhere);
    }
    check_labels(labels)?;
    if wildcard && !labels.contains('.') {
        return Err(NameFault::WildcardTooWide);
    }
    Ok(name)
}

fn check_labels(name: &str) -> Result<(), NameFault> {
    // Two bytes are kept for `*.`.
    if name.len() > NAME_BYTES_MAX - 2 || name.split('.').any(|label| label.len() > 63) {
        return Err(NameFault::TooLong);
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    // `1.2.3` is an address with a part missing, not a name (WHATWG URL, "ends in a number").
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NameFault::Malformed);
    }
    let good = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.split('.').all(good) { Ok(()) } else { Err(NameFault::Malformed) }
}

/// A Host field's value without its port; an address literal keeps its brackets.
#[must_use]
pub fn without_port(host: &[u8]) -> &[u8] {
    match host.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !host[colon..].contains(&b']') => &host[..colon],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, expected: &str) {
        let mut scratch = Vec::new();
        let host = Host::parse(field.as_bytes(), &mut scratch);
        let seen =
            host.as_ref().map_or("none", |host| std::str::from_utf8(host.as_bytes()).unwrap());
        assert_eq!(seen, expected, "{field}");
    }

    #[test]
    fn host_fields() {
        check("example.com", "example.com");
        check("EXAMPLE.Com.:8443", "example.com");
        check("example.com:", "example.com");
        check("example.com..", "example.com.");
        check("127.0.0.1:80", "127.0.0.1");
        check("[::1]", "[::1]");
        check("[0:0::1]:443", "[::1]");
        check("[::FFFF:1.2.3.4]", "[::ffff:1.2.3.4]");
        check("", "none");
        check(".", "none");
        check(".a.com", "none");
        check(":80", "none");
        check("a:b", "none");
        check("a:1:2", "none");
        check("::1", "none");
        check("[::1", "none");
        check("[::1]x", "none");
        check("[nonsense]", "none");
        check("a:123456", "none");
        check(&"a".repeat(253), &"a".repeat(253));
        check(&"a".repeat(254), "none");
        check(&"a".repeat(10_000), "none");
    }

    #[track_caller]
    fn check_name(name: &str, expected: Result<&str, NameFault>) {
        assert_eq!(canonical_name(name), expected.map(str::to_string), "{name}");
    }

    #[test]
    fn names() {
        check_name("Example.COM.", Ok("example.com"));
        check_name("*.Apps.contoso.com", Ok("*.apps.contoso.com"));
        check_name("localhost", Ok("localhost"));
        check_name("_dmarc.a", Ok("_dmarc.a"));
        check_name("127.0.0.1", Ok("127.0.0.1"));
        check_name("[0::1]", Ok("[::1]"));
        check_name("", Err(NameFault::Empty));
        check_name("bücher.de", Err(NameFault::NotAscii));
        check_name("a.com:443", Err(NameFault::NotOnlyAName));
        check_name("https://a.com", Err(NameFault::NotOnlyAName));
        check_name("::1", Err(NameFault::Unbracketed));
        check_name("*", Err(NameFault::StarElsewhere));
        check_name("a.*.com", Err(NameFault::StarElsewhere));
        check_name("*.*.com", Err(NameFault::StarElsewhere));
        check_name("*.com", Err(NameFault::WildcardTooWide));
        check_name("a..b", Err(NameFault::Malformed));
        check_name("-a.com", Err(NameFault::Malformed));
        check_name("a b.com", Err(NameFault::Malformed));
        check_name("1.2.3", Err(NameFault::Malformed));
        check_name(&"a".repeat(64), Err(NameFault::TooLong));
    }
}

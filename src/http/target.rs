//! Request targets and the authority in Host (RFC 9112 section 3.2, RFC 9110 section 7.2).

use std::net::Ipv6Addr;

use super::Malformed;

/// The longest authority; names end at 253 bytes (RFC 1035), and a port may follow.
const AUTHORITY_BYTES_MAX: usize = 260;

/// A host and perhaps a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Authority<'b> {
    host: &'b [u8],
    port: Option<u16>,
}

impl<'b> Authority<'b> {
    /// Takes `host`, `host:port`, `[address]` and `[address]:port`. A name is of letters, digits,
    /// `-`, `.` and `_`, an address is IPv6 without zone, a port has one to five digits.
    pub(super) fn of(bytes: &'b [u8]) -> Option<Self> {
        if bytes.len() > AUTHORITY_BYTES_MAX {
            return None;
        }
        let (host, rest) = if bytes.first() == Some(&b'[') {
            let end = bytes.iter().position(|byte| *byte == b']')?;
            let address = std::str::from_utf8(bytes.get(1..end)?).ok()?;
            address.parse::<Ipv6Addr>().ok()?;
            bytes.split_at_checked(end + 1)?
        } else {
            let end = bytes.iter().take_while(|byte| is_name(**byte)).count();
            bytes.split_at_checked(end)?
        };
        let port = match rest {
            [] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        (!host.is_empty()).then_some(Self { host, port })
    }

    /// Whether both name the same, when a missing port is `default`.
    fn agrees(&self, other: &Self, default: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

/// The bytes of a name; a table, since every request's Host is read through it.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] =
            (byte as u8).is_ascii_alphanumeric() || matches!(byte as u8, b'-' | b'.' | b'_');
        byte += 1;
    }
    table
};

fn is_name(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination<'b> {
    /// Host as sent, or the authority of the target when HTTP/1.0 has no Host; may be empty then.
    pub(super) host: &'b [u8],
    /// Path and query in origin form, or `*`.
    pub(super) path: &'b [u8],
}

/// Reads target and Host together. `host` is none only for HTTP/1.0.
///
/// # Errors
///
/// A form that is not for this method, a bad authority, or two that differ.
pub(super) fn destination<'b>(
    target: &'b [u8],
    host: Option<&'b [u8]>,
    options: bool,
) -> Result<Destination<'b>, Malformed> {
    let authority = match host {
        Some(host) => Some(Authority::of(host).ok_or(Malformed::HostInvalid)?),
        None => None,
    };
    let sent = host.unwrap_or_default();
    match target {
        [b'/', ..] => Ok(Destination { host: sent, path: target }),
        b"*" if options => Ok(Destination { host: sent, path: target }),
        _ => absolute(target, sent, authority, options),
    }
}

fn absolute<'b>(
    target: &'b [u8],
    sent: &'b [u8],
    host: Option<Authority<'b>>,
    options: bool,
) -> Result<Destination<'b>, Malformed> {
    let (default, rest) = without_scheme(target).ok_or(Malformed::TargetForm)?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'\\'));
    let (named, path) = rest.split_at_checked(end.unwrap_or(rest.len())).unwrap_or_default();
    let authority = Authority::of(named).ok_or(Malformed::TargetAuthority)?;
    if host.is_some_and(|host| !host.agrees(&authority, default)) {
        return Err(Malformed::HostNotTarget);
    }
    let path: &[u8] = match path {
        [b'/', ..] => path,
        [] if options => b"*",
        [] => b"/",
        _ => return Err(Malformed::TargetForm),
    };
    Ok(Destination { host: if host.is_some() { sent } else { named }, path })
}

/// The default port of the scheme and what follows `://`.
fn without_scheme(target: &[u8]) -> Option<(u16, &[u8])> {
    for (scheme, default) in [(b"http://".as_slice(), 80), (b"https://", 443)] {
        if let Some((start, rest)) = target.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return Some((default, rest));
        }
    }
    None
}

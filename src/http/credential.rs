//! Which credentials and challenges belong to a connection rather than to a request. NTLM,
//! Negotiate and Kerberos do, and so may whatever we do not know.

use super::field::trim;

/// What a credential belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Credential {
    /// No Authorization field.
    #[default]
    None,
    /// A scheme known to stand for this request only: Basic, Bearer, Digest, MsRtcOAuth.
    PerRequest,
    /// Any other; it may authenticate the connection, as NTLM, Negotiate and Kerberos do.
    Connection,
}

impl Credential {
    /// What is claimed when an Authorization field with `value` stands beside `self` (RFC 9110
    /// section 11.6.2).
    pub(super) fn and(self, value: &[u8]) -> Self {
        if self == Self::Connection || !per_request(value) {
            return Self::Connection;
        }
        Self::PerRequest
    }
}

fn per_request(value: &[u8]) -> bool {
    const KNOWN: [&[u8]; 4] = [b"basic", b"bearer", b"digest", b"msrtcoauth"];
    let scheme = value.split(|byte| matches!(byte, b' ' | b'\t')).next().unwrap_or_default();
    KNOWN.iter().any(|known| scheme.eq_ignore_ascii_case(known)) && !for_connection(value)
}

/// Whether an element of the list begins with `Nego`, `NTLM` or `Kerberos`, in any case. Commas in
/// quoted strings count as well: a pin too many costs a connection, one too few an identity.
pub(super) fn for_connection(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').map(trim).any(|element| {
        let begins = |with: &[u8]| {
            element.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with))
        };
        begins(b"nego") || begins(b"ntlm") || begins(b"kerberos")
    })
}

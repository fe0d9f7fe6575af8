//! Lengths of time, sizes, rates and addresses as the operator writes them.

use std::net::IpAddr;
use std::time::Duration;

use crate::document::Scalar;

/// `"500ms"`, `"10s"`, `"5m"`, `"2h"`: more than nothing, at most a year.
pub(super) fn duration(value: &Scalar) -> Option<Duration> {
    let Scalar::Text(text) = value else { return None };
    let (digits, unit) = split(text);
    let count: u64 = digits.parse().ok()?;
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let milliseconds = count.checked_mul(factor)?;
    (1..=DURATION_MAX_MS).contains(&milliseconds).then(|| Duration::from_millis(milliseconds))
}

/// `32768`, `"32768"`, `"16kB"`, `"100MB"`, `"64KiB"`.
pub(super) fn size(value: &Scalar) -> Option<u64> {
    let text = match value {
        Scalar::Number(count) => return u64::try_from(*count).ok(),
        Scalar::Text(text) => text,
    };
    let (digits, unit) = split(text);
    let count: u64 = digits.parse().ok()?;
    let factor = match unit {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    count.checked_mul(factor)
}

/// `"500B/s"`: a size per second; 0 needs no unit.
pub(super) fn rate(value: &Scalar) -> Option<u64> {
    let Scalar::Text(text) = value else {
        return (*value == Scalar::Number(0)).then_some(0);
    };
    size(&Scalar::Text(text.strip_suffix("/s")?.to_string()))
}

/// An address, with or without a prefix length.
pub(super) fn prefix(text: &str) -> Option<(IpAddr, Option<u8>)> {
    let Some((address, length)) = text.split_once('/') else {
        return Some((text.parse().ok()?, None));
    };
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = plain_digits(length)?.parse().ok()?;
    let length_max = if address.is_ipv4() { 32 } else { 128 };
    (length <= length_max).then_some((address, Some(length)))
}

/// `host:port`, where the host may be an IPv6 address in brackets.
pub(super) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if bare.is_none() && host.contains(':') {
        return None;
    }
    let port: u16 = plain_digits(port)?.parse().ok()?;
    (port > 0 && !host.is_empty()).then_some((bare.unwrap_or(host), port))
}

/// SHA-256 as 64 hexadecimal digits or 44 characters of base64.
pub(super) fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() == 64 {
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            *byte = u8::from_str_radix(digits, 16).ok()?;
        }
        return Some(hash);
    }
    let digits = text.strip_suffix('=').filter(|digits| digits.len() == 43)?;
    let (mut bits, mut count, mut bytes) = (0_u32, 0, hash.iter_mut());
    for digit in digits.bytes() {
        bits = bits << 6 | base64_digit(digit)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            *bytes.next()? = (bits >> count) as u8;
        }
    }
    Some(hash)
}

fn base64_digit(digit: u8) -> Option<u32> {
    Some(
        match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }
        .into(),
    )
}

/// `parse` would take a sign.
fn plain_digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

const DURATION_MAX_MS: u64 = 366 * 24 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_string())
    }

    #[test]
    fn durations() {
        let check = |written: &str, expected| {
            let read = duration(&text(written)).map(|duration| duration.as_millis());
            assert_eq!(read, expected, "{written}");
        };
        check("500ms", Some(500));
        check("10s", Some(10_000));
        check("5m", Some(300_000));
        check("2h", Some(7_200_000));
        for wrong in
            ["", "10", "s", "0s", "-1s", "+1s", "1.5s", "1 s", "1S", "99999999999999h", "9000h"]
        {
            check(wrong, None);
        }
        assert_eq!(duration(&Scalar::Number(10)), None);
    }

    #[test]
    fn sizes_and_rates() {
        let check =
            |written: &str, expected| assert_eq!(size(&text(written)), expected, "{written}");
        check("32768", Some(32768));
        check("1B", Some(1));
        check("16kB", Some(16_000));
        check("16KiB", Some(16_384));
        check("100MB", Some(100_000_000));
        for wrong in ["", "kB", "1kb", "-1", "1.5MB", "99999999999999999GB"] {
            check(wrong, None);
        }
        assert_eq!(size(&Scalar::Number(-1)), None);
        assert_eq!(rate(&text("500B/s")), Some(500));
        assert_eq!(rate(&text("2kB/s")), Some(2_000));
        assert_eq!(rate(&text("500B")), None);
        assert_eq!(rate(&Scalar::Number(0)), Some(0));
        assert_eq!(rate(&Scalar::Number(500)), None);
    }

    #[test]
    fn addresses() {
        assert_eq!(prefix("10.0.0.1/24"), Some(([10, 0, 0, 1].into(), Some(24))));
        assert_eq!(prefix("10.0.0.1"), Some(([10, 0, 0, 1].into(), None)));
        for wrong in ["10.0.0.1/33", "10.0.0.1/+8", "10.0.0", "::1/129", "eth0", ""] {
            assert_eq!(prefix(wrong), None, "{wrong}");
        }
        assert_eq!(host_and_port("fe01:4443"), Some(("fe01", 4443)));
        assert_eq!(host_and_port("[::1]:80"), Some(("::1", 80)));
        for wrong in ["fe01", "fe01:0", "fe01:65536", "fe01:+1", ":80", "::1:80", "fe01:"] {
            assert_eq!(host_and_port(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn pins() {
        let hex = "ff".repeat(31) + "01";
        let mut expected = [0xff; 32];
        expected[31] = 1;
        assert_eq!(sha256(&hex), Some(expected));
        assert_eq!(sha256("//////////////////////////////////////////8B"), None);
        assert_eq!(sha256("/////////////////////////////////////////wE="), Some(expected));
        assert_eq!(sha256("abc"), None);
        assert_eq!(sha256(&"zz".repeat(32)), None);
        assert_eq!(sha256(&"+f".repeat(32)), None);
    }
}

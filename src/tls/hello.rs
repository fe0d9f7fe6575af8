//! What the greeting of a client that cannot be served says about it, for the log: the library refuses
//! it without telling more (RFC 5246 section 7.4.1.2; RFC 6066 section 3; RFC 8446 section 4.2.1).

/// TLS 1.2, as it stands in messages.
const TLS12: u16 = 0x0303;

/// Of the greeting of a client that was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The newest version that it offers, as it stands in messages: TLS 1.0 is `0x0301`.
    pub newest: u16,
    /// The server name that it asks for, if it sends one that can be printed; lower case.
    pub name: Option<String>,
}

impl Hello {
    /// Reads the first record of a connection; `None` if that is no whole greeting.
    #[must_use]
    pub fn read(record: &[u8]) -> Option<Self> {
        // SSL 2.0's form, in which old clients offer newer versions too: no names.
        if let [0x80..=0xff, _, 1, high, low, ..] = record {
            return Some(Self { newest: u16::from_be_bytes([*high, *low]), name: None });
        }
        let mut record = Reader(record);
        let [22, 3, _] = record.take(3)? else { return None };
        let mut message = Reader(record.counted(2)?);
        let [1] = message.take(1)? else { return None };
        let mut hello = Reader(message.counted(3)?);
        let mut read = Self { newest: hello.number()?, name: None };
        hello.take(32)?;
        hello.counted(1)?;
        hello.counted(2)?;
        hello.counted(1)?;
        // TLS 1.0 may come without any extensions.
        let Some(extensions) = hello.counted(2) else { return Some(read) };
        let mut extensions = Reader(extensions);
        while let Some(kind) = extensions.number() {
            let Some(body) = extensions.counted(2) else { break };
            match kind {
                0 => read.name = server_name(body),
                43 => read.newest = newest(body).unwrap_or(read.newest),
                _ => {}
            }
        }
        Some(read)
    }

    /// It offers nothing from TLS 1.2 on.
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        self.newest < TLS12
    }
}

fn server_name(body: &[u8]) -> Option<String> {
    let mut list = Reader(Reader(body).counted(2)?);
    let [0] = list.take(1)? else { return None };
    let name = list.counted(2)?;
    name.iter().all(u8::is_ascii_graphic).then_some(())?;
    Some(String::from_utf8_lossy(name).to_ascii_lowercase())
}

/// Past made-up numbers that keep servers from choking on new ones (RFC 8701).
fn newest(body: &[u8]) -> Option<u16> {
    let mut list = Reader(Reader(body).counted(1)?);
    std::iter::from_fn(|| list.number()).filter(|version| version >> 8 == 3).max()
}

/// Takes from the front; nothing at all if there is not enough.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        let [high, low] = self.take(2)? else { return None };
        Some(u16::from_be_bytes([*high, *low]))
    }

    /// What follows a length of so many bytes.
    fn counted(&mut self, length_bytes: usize) -> Option<&'b [u8]> {
        let length = self.take(length_bytes)?;
        self.take(length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A greeting of `version` with these extensions.
    fn greeting(version: [u8; 2], extensions: &[u8]) -> Vec<u8> {
        let counted = |count: usize, body: &[u8]| {
            let length = body.len().to_be_bytes();
            [&length[8 - count..], body].concat()
        };
        let mut hello = [&version[..], &[7; 32], &[0], &[0, 2, 0xc0, 0x27], &[1, 0]].concat();
        if !extensions.is_empty() {
            hello.extend(counted(2, extensions));
        }
        let message = [vec![1], counted(3, &hello)].concat();
        [vec![22, 3, 1], counted(2, &message)].concat()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Option<(u16, Option<&str>)>) {
        let read = Hello::read(bytes).map(|hello| (hello.newest, hello.name));
        assert_eq!(read, expected.map(|(newest, name)| (newest, name.map(str::to_owned))));
    }

    const NAME: &[u8] = b"\0\0\0\x0b\0\x09\0\0\x06A.test";

    #[test]
    fn what_clients_offer() {
        check(&greeting([3, 1], &[]), Some((0x0301, None)));
        check(&greeting([3, 1], NAME), Some((0x0301, Some("a.test"))));
        check(&greeting([3, 3], NAME), Some((0x0303, Some("a.test"))));
        let made_up_and_13 = [&b"\0\x2b\0\x07\x06\x7a\x7a\x03\x04\x03\x03"[..], NAME].concat();
        check(&greeting([3, 3], &made_up_and_13), Some((0x0304, Some("a.test"))));
        let only_11 = b"\0\x2b\0\x03\x02\x03\x02";
        check(&greeting([3, 3], only_11), Some((0x0302, None)));
        check(&greeting([3, 1], b"\0\0\0\x07\0\x05\0\0\x02\x1b["), Some((0x0301, None)));
        // SSL 2.0's form with TLS 1.0, as Windows XP sends it.
        check(&[0x80, 0x2e, 1, 3, 1, 0, 0x15], Some((0x0301, None)));
        check(b"GET / HTTP/1.1\r\n\r\n", None);
        check(&[], None);
    }

    #[test]
    fn what_is_cut_off_says_no_more_than_the_whole() {
        let whole = greeting([3, 1], NAME);
        for end in 0..whole.len() {
            check(&whole[..end], None);
        }
        for (at, _) in whole.iter().enumerate() {
            for bit in 0..8 {
                let mut turned = whole.clone();
                turned[at] ^= 1 << bit;
                // Any answer will do that is one.
                let _ = Hello::read(&turned);
            }
        }
    }
}

//! WebSocket (RFC 6455), as much of it as a test of somebody between its two sides needs: an echo
//! server, and frames as bytes for a client whose every write the test chooses.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::wire::{End, Wire};

pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
const PONG: u8 = 10;

/// The bit that says that a message ends with this frame.
pub(crate) const FIN: u8 = 0x80;

/// What one side has seen of the other.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The fields of its head that are about WebSocket.
    pub(crate) fields: Vec<String>,
    /// Every byte behind its head.
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

/// What the server does beside echoing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Usual,
    /// Ends its direction behind the first echo, and goes on reading.
    EndsFirst,
    /// Resets the connection instead of echoing the second frame.
    Resets,
}

/// A frame; `first` holds its opcode and bits. Clients mask.
pub(crate) fn frame(first: u8, payload: impl AsRef<[u8]>, mask: Option<[u8; 4]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => bytes.push(masked | short),
        (_, Ok(middle)) => {
            bytes.push(masked | 126);
            bytes.extend(middle.to_be_bytes());
        }
        _ => {
            bytes.push(masked | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| bytes.extend(mask)).unwrap_or_default();
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Reads a frame: its first byte, whether it was masked, and its payload without the mask. What was
/// read is added to `seen`.
fn read_frame(wire: &mut Wire, seen: &mut Vec<u8>) -> Result<(u8, bool, Vec<u8>), End> {
    let mut read = |count| {
        let bytes = wire.read_or_end(count)?;
        seen.extend(&bytes);
        Ok(bytes)
    };
    let head: [u8; 2] = read(2)?.try_into().unwrap();
    let length = match head[1] & 0x7f {
        126 => u16::from_be_bytes(read(2)?.try_into().unwrap()).into(),
        127 => usize::try_from(u64::from_be_bytes(read(8)?.try_into().unwrap())).unwrap(),
        short => short.into(),
    };
    let is_masked = head[1] & 0x80 != 0;
    let mask = if is_masked { read(4)? } else { vec![0] };
    let payload = read(length)?;
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    Ok((head[0], is_masked, payload.collect()))
}

/// Waits for `count` frames.
#[track_caller]
pub(crate) fn read_frames(wire: &mut Wire, count: usize, seen: &mut Vec<u8>) {
    for number in 0..count {
        if let Err(end) = read_frame(wire, seen) {
            panic!("{end:?} instead of frame {number} of {count}");
        }
    }
}

/// Answers the upgrade request that comes first, then frames, until the client ends.
pub(crate) fn serve(mut wire: Wire, manner: Manner) -> Seen {
    let head = wire.head();
    assert!(head.starts_with("GET "), "{head}");
    let fields = fields(&head);
    let key = fields.iter().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
    wire.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: echo\r\n\r\n",
        accept(key)
    ));
    let mut bytes = Vec::new();
    let end = echo(&mut wire, manner, &mut bytes);
    let end = end.unwrap_or_else(|| {
        let (rest, end) = wire.rest();
        bytes.extend(rest);
        end
    });
    if end != End::Reset {
        wire.end();
    }
    Seen { fields, bytes, end }
}

/// How the client ended, if it has.
fn echo(wire: &mut Wire, manner: Manner, seen: &mut Vec<u8>) -> Option<End> {
    let mut frames = 0;
    loop {
        let (first, is_masked, payload) = match read_frame(wire, seen) {
            Ok(frame) => frame,
            Err(End::Closed) => {
                // A client that has ended its half still hears.
                let _ = wire.try_send(frame(FIN | TEXT, "a last word", None));
                return Some(End::Closed);
            }
            Err(end) => return Some(end),
        };
        frames += 1;
        let is_text = first == FIN | TEXT;
        let answer = match first & 0xf {
            _ if !is_masked || first & 0x70 != 0 => closing(1002, ""),
            _ if is_text && std::str::from_utf8(&payload).is_err() => closing(1007, "not UTF-8"),
            CLOSE => frame(first, &payload, None),
            PING => frame(FIN | PONG, &payload, None),
            _ => frame(first, &payload, None),
        };
        if manner == Manner::Resets && frames == 2 {
            wire.reset_when_dropped();
            return Some(End::Reset);
        }
        let ends = answer[0] & 0xf == CLOSE || manner == Manner::EndsFirst;
        wire.send(answer);
        if ends {
            wire.end();
            return None;
        }
    }
}

/// A server's closing frame.
fn closing(code: u16, reason: &str) -> Vec<u8> {
    frame(FIN | CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat(), None)
}

/// The lines of a head that are about WebSocket, in order, with their names in lower case.
pub(crate) fn fields(head: &str) -> Vec<String> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let lines = lines.map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase()));
    let mut lines: Vec<String> = lines.filter(|line| line.starts_with("sec-websocket-")).collect();
    lines.sort();
    lines
}

/// What proves that the server knows the protocol (RFC 6455 section 4.2.2).
pub(crate) fn accept(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let mut bits = 0;
        for at in 0..3 {
            bits = bits << 8 | u32::from(three.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at > three.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

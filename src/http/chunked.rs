//! Removes chunked framing from a body, and writes the size lines of our own (RFC 9112 section
//! 7.1). Sizes, extensions and line ends are taken literally or not at all: a body that two
//! readers could cut differently is refused.

use super::Malformed;
use super::name::trailer_allowed;
use super::scan::field_line;

/// Bytes of one chunk size line, without its CRLF, that are accepted.
const LINE_BYTES_MAX: u16 = 4096;
/// Hexadecimal digits of one chunk size.
const DIGITS_MAX: u16 = 16;
/// Bytes of all trailer lines with their CRLFs, passed on or not.
const TRAILERS_BYTES_MAX: usize = 8192;
/// Trailer lines, passed on or not.
const TRAILERS_MAX: usize = 32;

/// Decodes one chunked body. It holds nothing of the body, only where in the framing it is;
/// memory is taken only when trailers come.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    trailers: Trailers,
}

/// Size -> [Extension] -> SizeEnd -> Data -> DataEnd -> DataEndLf -> Size, and from a size of zero:
/// SizeEnd -> TrailerStart -> Trailer -> TrailerEnd -> TrailerStart, or -> LastLf -> Done.
#[derive(Clone, Copy, Debug)]
enum State {
    Size { size: u64, digits: u16 },
    Extension { size: u64, length: u16 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd,
    DataEndLf,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastLf,
    Done,
    Broken(Malformed),
}

const START: State = State::Size { size: 0, digits: 0 };

/// What one call of [`Chunked::decode`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the buffer that belonged to the body: all of them, unless its end was among them.
    pub used: usize,
    /// Bytes of content, now at the front of the buffer. The rest of what was used is undefined;
    /// what lies behind `used` is untouched.
    pub data: usize,
    /// The body, with its trailers, has ended.
    pub end: bool,
}

impl Chunked {
    /// At the start of a body.
    pub fn new() -> Self {
        Self { state: START, trailers: Trailers::default() }
    }

    /// Takes the framing out of `buffer`, which goes on where the last call left off, and moves
    /// the content to its front.
    ///
    /// # Errors
    ///
    /// The body cannot be decoded. It must not be passed on as if it had ended; every later call
    /// says the same.
    pub fn decode(&mut self, buffer: &mut [u8]) -> Result<Decoded, Malformed> {
        let (mut used, mut data) = (0, 0);
        while let Some(byte) = buffer.get(used) {
            match self.state {
                State::Data { left } => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len() - used);
                    if data != used {
                        buffer.copy_within(used..used + here, data);
                    }
                    data += here;
                    used += here;
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                    continue;
                }
                State::Done => break,
                _ => {}
            }
            match self.step(*byte) {
                Ok(state) => self.state = state,
                Err(why) => {
                    self.state = State::Broken(why);
                    return Err(why);
                }
            }
            used += 1;
        }
        if let State::Broken(why) = self.state {
            return Err(why);
        }
        Ok(Decoded { used, data, end: matches!(self.state, State::Done) })
    }

    /// The trailer lines that may be passed on, each ending in CRLF; complete when the body has
    /// ended, empty if there are none.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers.lines
    }

    /// One byte of framing.
    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        match (self.state, byte) {
            (State::Size { size, digits }, _) => size_byte(size, digits, byte),
            (State::Extension { size, .. }, b'\r') => Ok(State::SizeEnd { size }),
            (State::Extension { length: LINE_BYTES_MAX.., .. }, _) => {
                Err(Malformed::ChunkLineTooLong)
            }
            (State::Extension { size, length }, b'\t' | b' '..=b'~') => {
                Ok(State::Extension { size, length: length + 1 })
            }
            (State::Extension { .. }, b'\n') => Err(Malformed::LineEnd),
            (State::Extension { .. }, _) => Err(Malformed::ChunkExtension),
            (State::SizeEnd { size: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeEnd { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataEnd, b'\r') => Ok(State::DataEndLf),
            (State::DataEndLf, b'\n') => Ok(START),
            (State::DataEnd | State::DataEndLf, _) => Err(Malformed::ChunkNotClosed),
            (State::TrailerStart, b'\r') => Ok(State::LastLf),
            (State::TrailerStart | State::Trailer, b'\n') => Err(Malformed::LineEnd),
            (State::Trailer, b'\r') => Ok(State::TrailerEnd),
            (State::TrailerStart | State::Trailer, _) => {
                self.trailers.add(byte)?;
                Ok(State::Trailer)
            }
            (State::TrailerEnd, b'\n') => {
                self.trailers.end_line()?;
                Ok(State::TrailerStart)
            }
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::SizeEnd { .. } | State::TrailerEnd | State::LastLf, _) => {
                Err(Malformed::LineEnd)
            }
            (State::Broken(why), _) => Err(why),
            // `decode` takes these itself.
            (state @ (State::Data { .. } | State::Done), _) => Ok(state),
        }
    }
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

fn size_byte(size: u64, digits: u16, byte: u8) -> Result<State, Malformed> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        b'\r' if digits > 0 => return Ok(State::SizeEnd { size }),
        b';' if digits > 0 => return Ok(State::Extension { size, length: digits + 1 }),
        b'\n' if digits > 0 => return Err(Malformed::LineEnd),
        _ => return Err(Malformed::ChunkSize),
    };
    if digits == DIGITS_MAX {
        return Err(Malformed::ChunkSizeOverflow);
    }
    Ok(State::Size { size: size << 4 | u64::from(digit), digits: digits + 1 })
}

/// Trailer lines as they come in.
#[derive(Debug, Default)]
struct Trailers {
    /// Lines to pass on, then the line that is being read.
    lines: Vec<u8>,
    /// Where the line that is being read begins.
    line: usize,
    count: usize,
    /// Bytes seen, of lines that were dropped too.
    bytes: usize,
}

impl Trailers {
    fn add(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.bytes == TRAILERS_BYTES_MAX {
            return Err(Malformed::TrailersTooLong);
        }
        self.bytes += 1;
        self.lines.push(byte);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Malformed> {
        let line = self.lines.get(self.line..).unwrap_or_default();
        let allowed = trailer_allowed(field_line(line)?);
        self.count += 1;
        self.bytes += 2;
        if self.count > TRAILERS_MAX {
            return Err(Malformed::TrailersTooMany);
        }
        if self.bytes > TRAILERS_BYTES_MAX {
            return Err(Malformed::TrailersTooLong);
        }
        if allowed {
            self.lines.extend_from_slice(b"\r\n");
        } else {
            self.lines.truncate(self.line);
        }
        self.line = self.lines.len();
        Ok(())
    }
}

/// The size line of a chunk of `length` bytes, hexadecimal and CRLF, at the end of `room`.
/// Length zero gives the last chunk, behind which trailers and an empty line are still due.
pub fn chunk_size_line(length: usize, room: &mut [u8; 18]) -> &[u8] {
    let digits = length.checked_ilog2().map_or(1, |bits| bits as usize / 4 + 1);
    let mut left = length;
    for (at, byte) in room.iter_mut().rev().enumerate() {
        *byte = match at {
            0 => b'\n',
            1 => b'\r',
            _ => {
                let digit = (left & 15) as u8;
                left >>= 4;
                if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
            }
        };
    }
    room.get(16 - digits..).unwrap_or_default()
}

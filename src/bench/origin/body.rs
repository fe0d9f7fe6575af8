//! Finds the end of a request's body and counts its bytes. Bytes in, counts out; no sockets.

/// The longest line between chunks.
const LINE_MAX: usize = 4096;

/// A body that is being read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes are to come.
    Counted { left: u64, seen: u64 },
    /// Chunks, up to the empty one and its trailer.
    Chunked { part: Part, seen: u64 },
}

/// Size -> Data -> DataEnd -> Size -> ... -> Trailer -> Done
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Size,
    Data { left: u64 },
    DataEnd,
    Trailer,
    Done,
}

/// The chunked framing is broken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Body {
    /// A body of `left` bytes.
    pub(super) fn counted(left: u64) -> Self {
        Self::Counted { left, seen: 0 }
    }

    /// A body in chunks.
    pub(super) fn chunked() -> Self {
        Self::Chunked { part: Part::Size, seen: 0 }
    }

    /// Whether the body's last byte has been taken.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Counted { left: 0, .. } | Self::Chunked { part: Part::Done, .. })
    }

    /// Payload bytes taken so far.
    pub(super) fn seen(&self) -> u64 {
        match self {
            Self::Counted { seen, .. } | Self::Chunked { seen, .. } => *seen,
        }
    }

    /// Takes what belongs to the body from the start of `input` and says how many bytes that were.
    pub(super) fn take(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        let mut used = 0;
        while !self.is_done() {
            let step = self.step(&input[used..])?;
            if step == 0 {
                break;
            }
            used += step;
        }
        Ok(used)
    }

    /// One piece; 0 when more bytes are needed.
    fn step(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        match self {
            Self::Counted { left, seen } => {
                let taken = (input.len() as u64).min(*left);
                *left -= taken;
                *seen += taken;
                Ok(taken as usize)
            }
            Self::Chunked { part: Part::Data { left }, seen } => {
                let taken = (input.len() as u64).min(*left);
                *left -= taken;
                *seen += taken;
                if *left == 0 {
                    *self = Self::Chunked { part: Part::DataEnd, seen: *seen };
                }
                Ok(taken as usize)
            }
            Self::Chunked { part, .. } => {
                let Some(end) = memchr::memchr(b'\n', input) else {
                    return if input.len() > LINE_MAX { Err(Malformed) } else { Ok(0) };
                };
                *part = part.after_line(&input[..=end])?;
                Ok(end + 1)
            }
        }
    }
}

impl Part {
    /// The part that follows this one's line.
    fn after_line(self, line: &[u8]) -> Result<Self, Malformed> {
        match self {
            Self::Size => match httparse::parse_chunk_size(line) {
                Ok(httparse::Status::Complete((_, 0))) => Ok(Self::Trailer),
                Ok(httparse::Status::Complete((_, left))) => Ok(Self::Data { left }),
                _ => Err(Malformed),
            },
            Self::DataEnd if line == b"\r\n" => Ok(Self::Size),
            Self::Trailer if line == b"\r\n" => Ok(Self::Done),
            Self::Trailer => Ok(Self::Trailer),
            Self::DataEnd | Self::Data { .. } | Self::Done => Err(Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<(u64, bool), Malformed>) {
        for step in 1..=input.len() {
            let mut body = Body::chunked();
            let mut pending = Vec::new();
            let mut outcome = Ok(());
            for piece in input.as_bytes().chunks(step) {
                pending.extend_from_slice(piece);
                match body.take(&pending) {
                    Ok(used) => drop(pending.drain(..used)),
                    Err(malformed) => {
                        outcome = Err(malformed);
                        break;
                    }
                }
            }
            let found = outcome.map(|()| (body.seen(), body.is_done()));
            assert_eq!(found, expected, "{input:?} fed {step} bytes at a time");
        }
    }

    #[test]
    fn chunked_bodies() {
        check("5\r\nhello\r\n0\r\n\r\n", Ok((5, true)));
        check("5;a=b\r\nhello\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n", Ok((7, true)));
        check("5\r\nhel", Ok((3, false)));
        check("x\r\nhel", Err(Malformed));
        check("5\r\nhelloX\r\n", Err(Malformed));
    }

    #[test]
    fn counted_bodies() {
        let mut body = Body::counted(5);
        assert_eq!(body.take(b"hel"), Ok(3));
        assert!(!body.is_done());
        assert_eq!(body.take(b"loGET"), Ok(2));
        assert!(body.is_done());
    }
}

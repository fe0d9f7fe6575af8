//! The bytes of an answer: its head, and where its body comes from.

use std::io::Write;

use super::request::Answer;

/// The length of the answer to `/` and `/small`.
pub(super) const SMALL: u64 = 128;
/// Bodies up to this length are copied behind their head, so that several pipelined answers leave in one write.
const COPIED_MAX: u64 = 4096;
/// The payload of one chunk.
const CHUNK: u64 = 8192;
/// Where all body bytes come from.
static BLOCK: [u8; 65536] = [b'#'; 65536];

/// What is still to be sent on a connection.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    rest: Rest,
}

/// The part of a body that is not in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Rest {
    #[default]
    None,
    Counted(u64),
    Chunked(u64),
}

impl Output {
    /// Nothing is left to send.
    pub(super) fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.rest == Rest::None
    }

    /// A long body is on its way; the next request waits until it is gone.
    pub(super) fn is_streaming(&self) -> bool {
        self.rest != Rest::None || self.bytes.len() - self.sent > BLOCK.len()
    }

    /// `100 Continue`.
    pub(super) fn push_continue(&mut self) {
        self.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// 400, after which the connection closes.
    pub(super) fn push_malformed(&mut self) {
        self.bytes.extend_from_slice(
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    }

    /// The answer to a request whose body had `seen` bytes.
    pub(super) fn push(&mut self, answer: Answer, seen: u64, head_only: bool, keep: bool) {
        let status: &[u8] = match answer {
            Answer::NotFound => b"HTTP/1.1 404 Not Found\r\n",
            Answer::Bytes(_) | Answer::Chunked(_) | Answer::Length => b"HTTP/1.1 200 OK\r\n",
        };
        self.bytes.extend_from_slice(status);
        self.bytes.extend_from_slice(
            b"Server: gatehouse-bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Type: text/plain\r\n",
        );
        if !keep {
            self.bytes.extend_from_slice(b"Connection: close\r\n");
        }
        match answer {
            Answer::Bytes(length) => self.counted(length, head_only),
            Answer::Chunked(length) => {
                self.bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                if !head_only {
                    self.rest = Rest::Chunked(length);
                }
            }
            Answer::Length => {
                let digits = seen.to_string();
                self.length(digits.len() as u64);
                self.bytes.extend_from_slice(digits.as_bytes());
            }
            Answer::NotFound => self.length(0),
        }
    }

    fn length(&mut self, length: u64) {
        self.bytes.extend_from_slice(b"Content-Length: ");
        self.bytes.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        self.bytes.extend_from_slice(b"\r\n\r\n");
    }

    fn counted(&mut self, length: u64, head_only: bool) {
        self.length(length);
        if head_only {
            return;
        }
        if length <= COPIED_MAX {
            self.bytes.extend_from_slice(&BLOCK[..length as usize]);
        } else {
            self.rest = Rest::Counted(length);
        }
    }

    /// What to send next, in two pieces; both empty when nothing is left.
    pub(super) fn pieces(&mut self) -> (&[u8], &'static [u8]) {
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            if let Rest::Chunked(left) = self.rest {
                self.next_chunks(left);
            }
        }
        let block = match self.rest {
            Rest::Counted(left) => &BLOCK[..left.min(BLOCK.len() as u64) as usize],
            Rest::None | Rest::Chunked(_) => &[],
        };
        (&self.bytes[self.sent..], block)
    }

    /// The next few chunks, or the last one.
    fn next_chunks(&mut self, mut left: u64) {
        for _ in 0..8 {
            let size = left.min(CHUNK);
            write!(self.bytes, "{size:x}\r\n").expect("a vector takes every write");
            self.bytes.extend_from_slice(&BLOCK[..size as usize]);
            self.bytes.extend_from_slice(b"\r\n");
            left -= size;
            if size == 0 {
                self.rest = Rest::None;
                return;
            }
        }
        self.rest = Rest::Chunked(left);
    }

    /// Notes that `count` bytes of the pieces are gone.
    pub(super) fn advance(&mut self, count: usize) {
        let from_bytes = count.min(self.bytes.len() - self.sent);
        self.sent += from_bytes;
        if let Rest::Counted(left) = self.rest {
            let left = left - (count - from_bytes) as u64;
            self.rest = if left == 0 { Rest::None } else { Rest::Counted(left) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends everything in steps and returns the bytes after the head.
    fn body_of(answer: Answer, step: usize) -> Vec<u8> {
        let mut output = Output::default();
        output.push(answer, 42, false, true);
        let mut sent = Vec::new();
        while !output.is_empty() {
            let (bytes, block) = output.pieces();
            let mut all = bytes.to_vec();
            all.extend_from_slice(block);
            let count = step.min(all.len());
            sent.extend_from_slice(&all[..count]);
            output.advance(count);
        }
        let end = memchr::memmem::find(&sent, b"\r\n\r\n").expect("a head");
        sent.split_off(end + 4)
    }

    #[test]
    fn bodies_have_their_length() {
        for step in [1000, 65536, 1_000_000] {
            assert_eq!(body_of(Answer::Bytes(128), step).len(), 128);
            assert_eq!(body_of(Answer::Bytes(300_000), step).len(), 300_000);
            assert_eq!(body_of(Answer::Length, step), b"42");
            assert_eq!(body_of(Answer::NotFound, step), b"");
            assert_eq!(body_of(Answer::Chunked(0), step), b"0\r\n\r\n");
            // Twelve chunks of 8192 (9 bytes of framing each), one of 1696, the last.
            assert_eq!(body_of(Answer::Chunked(100_000), step).len(), 100_000 + 12 * 8 + 7 + 5);
        }
    }
}

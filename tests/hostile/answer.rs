//! The client's side: bytes go out as they are, and what comes back is read by a reader that takes
//! nothing but what the RFCs allow.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

/// Longer than any step of a test takes; whoever waits so long has found something.
const PATIENCE: Duration = Duration::from_secs(15);

/// Names and values as they came.
type Fields = Vec<(String, Vec<u8>)>;

/// A final answer, whole.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Fields,
    pub(crate) body: Vec<u8>,
    /// The statuses of the interim answers before it.
    pub(crate) interim: Vec<u16>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let found = self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// What the collector has read.
    pub(crate) fn seen(&self) -> Option<String> {
        self.field("x-seen")
    }

    /// Gatehouse names no product.
    pub(crate) fn is_own(&self) -> bool {
        self.field("server").is_none() && self.seen().is_none()
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// What came.
#[derive(Clone, Debug)]
pub(crate) enum Got {
    Answer(Answer),
    /// The connection ended in order, before another byte.
    End,
    /// It ended within an answer, or was reset.
    Cut(String),
    /// Something that no server may send.
    Malformed(String),
    /// Nothing, for a long time.
    Silence,
}

impl Got {
    /// In a few words, for a message.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Answer(answer) => match answer.seen() {
                Some(seen) => format!("{} [{seen}]", answer.status),
                None if answer.is_own() => format!("{} of our own", answer.status),
                None => format!("{} of the server's own", answer.status),
            },
            Self::End => "the end".to_owned(),
            Self::Cut(what) => format!("cut short: {what}"),
            Self::Malformed(what) => format!("malformed: {what}"),
            Self::Silence => "silence".to_owned(),
        }
    }
}

/// Why reading stopped.
enum Stop {
    End,
    Reset,
    Silence,
    Malformed(&'static str),
}

/// A connection to somebody who answers.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub(crate) fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket option");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends what the other side takes; if it has stopped reading, its answer will say why.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Says that no more comes.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads the next final answer, to a request of method HEAD if `head`.
    pub(crate) fn answer(&mut self, head: bool) -> Got {
        let mut interim = Vec::new();
        loop {
            let before = self.buffer.len();
            match self.read_one(head) {
                Ok(answer) if answer.status < 200 && answer.status != 101 => {
                    interim.push(answer.status);
                }
                Ok(answer) => return Got::Answer(Answer { interim, ..answer }),
                Err(Stop::End) if before == 0 && self.buffer.is_empty() => return Got::End,
                Err(Stop::End) => return Got::Cut(self.shown()),
                Err(Stop::Reset) => return Got::Cut(format!("{} (reset)", self.shown())),
                Err(Stop::Silence) => return Got::Silence,
                Err(Stop::Malformed(what)) => {
                    return Got::Malformed(format!("{what}: {}", self.shown()));
                }
            }
        }
    }

    /// The start of what is there.
    fn shown(&self) -> String {
        let most = self.buffer.len().min(400);
        self.buffer[..most].escape_ascii().to_string()
    }

    fn more(&mut self) -> Result<(), Stop> {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(Stop::End),
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Err(Stop::Silence),
                _ => Err(Stop::Reset),
            },
        }
    }

    /// One answer, from the front of the buffer; nothing is taken out of it before it is whole.
    fn read_one(&mut self, head: bool) -> Result<Answer, Stop> {
        let end = loop {
            match self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more()?,
            }
        };
        let text = self.buffer[..end - 4].to_vec();
        let (status, fields) = read_head(&text).map_err(Stop::Malformed)?;
        let answer = Answer { status, fields, body: Vec::new(), interim: Vec::new() };
        let (body, end) = self.body(&answer, head, end)?;
        self.buffer.drain(..end);
        Ok(Answer { body, ..answer })
    }

    fn body(&mut self, answer: &Answer, head: bool, at: usize) -> Result<(Vec<u8>, usize), Stop> {
        let all = |name: &str| {
            let same = |field: &&(String, Vec<u8>)| field.0.eq_ignore_ascii_case(name);
            answer.fields.iter().filter(same).map(|field| &field.1).collect::<Vec<_>>()
        };
        let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
        let bodiless = answer.status < 200 || answer.status == 204;
        if bodiless && !(lengths.is_empty() && codings.is_empty()) {
            return Err(Stop::Malformed("a body is announced that must not be"));
        }
        if lengths.len() + codings.len() > 1 {
            return Err(Stop::Malformed("framed twice"));
        }
        let bodiless = bodiless || head || answer.status == 304;
        if let Some(coding) = codings.first() {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(Stop::Malformed("an unknown coding"));
            }
            return if bodiless { Ok((Vec::new(), at)) } else { self.chunks(at) };
        }
        if let Some(length) = lengths.first() {
            let digits = length.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(length).ok().and_then(|text| text.parse().ok());
            let length: usize = length.filter(|_| digits).ok_or(Stop::Malformed("no length"))?;
            if bodiless {
                return Ok((Vec::new(), at));
            }
            let end = at.saturating_add(length);
            self.until(end)?;
            return Ok((self.buffer[at..end].to_vec(), end));
        }
        if bodiless {
            return Ok((Vec::new(), at));
        }
        loop {
            match self.more() {
                Ok(()) => {}
                Err(Stop::End) => return Ok((self.buffer[at..].to_vec(), self.buffer.len())),
                Err(other) => return Err(other),
            }
        }
    }

    fn until(&mut self, end: usize) -> Result<(), Stop> {
        while self.buffer.len() < end {
            self.more()?;
        }
        Ok(())
    }

    /// The line that begins at `at` and the offset behind it.
    fn line(&mut self, at: usize) -> Result<(Vec<u8>, usize), Stop> {
        loop {
            let rest = self.buffer.get(at..).unwrap_or_default();
            match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let line = rest[..end].strip_suffix(b"\r");
                    let line = line.ok_or(Stop::Malformed("a bare LF"))?.to_vec();
                    return Ok((line, at + end + 1));
                }
                None => self.more()?,
            }
        }
    }

    fn chunks(&mut self, mut at: usize) -> Result<(Vec<u8>, usize), Stop> {
        let mut body = Vec::new();
        loop {
            let (size, after) = self.line(at)?;
            let digits = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
            let size = usize::from_str_radix(&String::from_utf8_lossy(&size), 16).ok();
            let size = size.filter(|_| digits).ok_or(Stop::Malformed("a chunk size"))?;
            if size == 0 {
                at = after;
                break;
            }
            self.until(after + size + 2)?;
            body.extend_from_slice(&self.buffer[after..after + size]);
            at = after + size;
            if self.buffer[at..at + 2] != *b"\r\n" {
                return Err(Stop::Malformed("a chunk is not closed"));
            }
            at += 2;
        }
        loop {
            let (line, after) = self.line(at)?;
            at = after;
            if line.is_empty() {
                return Ok((body, at));
            }
            read_field(&line).map_err(Stop::Malformed)?;
        }
    }
}

/// Status and fields of a head without its last two line ends.
fn read_head(head: &[u8]) -> Result<(u16, Fields), &'static str> {
    let mut lines = head.split(|byte| *byte == b'\n').peekable();
    let mut next = || -> Result<Option<&[u8]>, &'static str> {
        let Some(line) = lines.next() else { return Ok(None) };
        // The last line has lost its end with the blank one.
        let line = if lines.peek().is_none() { Some(line) } else { line.strip_suffix(b"\r") };
        let line = line.ok_or("a bare LF")?;
        if line.contains(&b'\r') { Err("a bare CR") } else { Ok(Some(line)) }
    };
    let start = next()?.unwrap_or_default();
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b' ', a, b, c, b' ', reason @ ..] = start
    else {
        return Err("a status line");
    };
    let digits = [*a, *b, *c];
    if !digits.iter().all(u8::is_ascii_digit) || !reason.iter().all(|byte| is_text(*byte)) {
        return Err("a status line");
    }
    let status = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    if !(100..600).contains(&status) {
        return Err("a status");
    }
    let mut fields = Vec::new();
    while let Some(line) = next()? {
        fields.push(read_field(line)?);
    }
    Ok((status, fields))
}

fn read_field(line: &[u8]) -> Result<(String, Vec<u8>), &'static str> {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let colon = line.iter().position(|byte| *byte == b':').ok_or("a field without colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(token) {
        return Err("a field name");
    }
    if !value.iter().all(|byte| is_text(*byte)) {
        return Err("a field value");
    }
    Ok((String::from_utf8_lossy(name).into_owned(), value.trim_ascii().to_vec()))
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

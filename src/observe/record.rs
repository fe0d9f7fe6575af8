//! The access record: what an exchange was, noted while it runs and written out by another thread.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// The combined log format of Apache and nginx.
    Combined,
}

/// The texts of a record, in the order in which they are noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Request method.
    Method = 0,
    /// Host as the client sent it.
    Host,
    /// Path without its query.
    Path,
    /// The query, only if the file asks to keep queries.
    Query,
    /// Referer field, without its query unless queries are kept.
    Referer,
    /// User-Agent field.
    UserAgent,
    /// Name of the site.
    Site,
    /// Name of the rule.
    Rule,
    /// The server that was asked last.
    Server,
}

const TEXTS: usize = 9;

/// Bytes that the texts of a usual record come to.
const USUAL_BYTES: usize = 256;

/// The longest that a text of a record is; of longer ones the front is noted.
pub const TEXT_BYTES_MAX: usize = 2048;

/// Bytes of text that a record keeps room for when it is used again.
const KEPT_BYTES: usize = 1024;

/// One exchange, for people. Records are recycled, so that noting one allocates nothing.
#[derive(Debug)]
pub struct Record {
    /// Its number, ours and unique on this box since start.
    pub id: u64,
    /// The site, by its number for [`Tallies`](super::Tallies); 0 if none.
    pub site_number: u32,
    /// The server that was asked last, likewise.
    pub server_number: u32,
    /// When its head was complete, microseconds since 1970.
    pub wall_micros: u64,
    /// The client.
    pub client: SocketAddr,
    /// Over TLS.
    pub tls: bool,
    /// HTTP/1.1 (else 1.0).
    pub http11: bool,
    /// Status that the client got; 0 if none.
    pub status: u16,
    /// Why it failed, if it did, and who has to change something.
    pub failure: Option<(&'static str, &'static str)>,
    /// Length of the query that is not kept.
    pub query_bytes: u32,
    /// Bytes of the request, head and body as received.
    pub bytes_in: u64,
    /// Bytes of the answer, head and body as sent.
    pub bytes_out: u64,
    /// Microseconds until the answer's first byte was there; 0 if none came.
    pub first_byte_micros: u64,
    /// Microseconds from head to end.
    pub total_micros: u64,
    /// The upstream connection had served before.
    pub reused: bool,
    /// The cipher suite that the client speaks, if it is one of old Windows.
    pub client_suite: Option<&'static str>,
    /// The cipher suite that the server speaks, if it is one of old Windows.
    pub upstream_suite: Option<&'static str>,
    texts: Vec<u8>,
    ends: [u32; TEXTS],
    noted: usize,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            id: 0,
            site_number: 0,
            server_number: 0,
            wall_micros: 0,
            client: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            tls: false,
            http11: true,
            status: 0,
            failure: None,
            query_bytes: 0,
            bytes_in: 0,
            bytes_out: 0,
            first_byte_micros: 0,
            total_micros: 0,
            reused: false,
            client_suite: None,
            upstream_suite: None,
            texts: Vec::new(),
            ends: [0; TEXTS],
            noted: 0,
        }
    }
}

impl Record {
    /// An empty record with room for usual texts.
    #[must_use]
    pub fn with_room() -> Self {
        Self { texts: Vec::with_capacity(USUAL_BYTES), ..Self::default() }
    }

    /// Forgets everything but its memory, up to a bound.
    pub fn recycle(&mut self) {
        let mut texts = std::mem::take(&mut self.texts);
        texts.clear();
        texts.shrink_to(KEPT_BYTES);
        *self = Self { texts, ..Self::default() };
    }

    /// Notes a text, up to [`TEXT_BYTES_MAX`]; texts come in the order of [`Text`], those left out stay empty. Noting the
    /// last one again replaces it.
    pub fn note(&mut self, which: Text, text: &[u8]) {
        let index = which as usize;
        debug_assert!(index + 1 >= self.noted, "texts are noted in order");
        let start = if index == 0 { 0 } else { self.end_of(index - 1) };
        let text = text.get(..TEXT_BYTES_MAX).unwrap_or(text);
        self.texts.truncate(start);
        self.texts.extend_from_slice(text);
        let end = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        for skipped in &mut self.ends[self.noted.min(index)..index] {
            *skipped = u32::try_from(start).unwrap_or(u32::MAX);
        }
        self.ends[index] = end;
        self.noted = index + 1;
    }

    fn end_of(&self, index: usize) -> usize {
        match self.noted {
            0 => 0,
            noted => self.ends[index.min(noted - 1)] as usize,
        }
    }

    /// A noted text; empty if it was not noted.
    #[must_use]
    pub fn text(&self, which: Text) -> &[u8] {
        let index = which as usize;
        if index >= self.noted {
            return &[];
        }
        let start = if index == 0 { 0 } else { self.end_of(index - 1) };
        self.texts.get(start..self.end_of(index)).unwrap_or_default()
    }

    /// Appends the record as one line.
    pub fn write(&self, format: Format, line: &mut Vec<u8>) {
        match format {
            Format::Json => self.write_json(line),
            Format::Combined => self.write_combined(line),
        }
    }

    fn write_json(&self, line: &mut Vec<u8>) {
        line.extend_from_slice(b"{\"time\":\"");
        write_time(self.wall_micros, line);
        line.extend_from_slice(b"\",\"id\":\"");
        write_id(self.id, line);
        line.extend_from_slice(b"\",\"client\":\"");
        write_address(self.client.ip(), line);
        line.extend_from_slice(b"\",\"client_port\":");
        write_number(self.client.port().into(), line);
        for (name, which) in [
            ("method", Text::Method),
            ("host", Text::Host),
            ("path", Text::Path),
            ("query", Text::Query),
            ("referer", Text::Referer),
            ("user_agent", Text::UserAgent),
            ("site", Text::Site),
            ("rule", Text::Rule),
            ("server", Text::Server),
        ] {
            let text = self.text(which);
            if !text.is_empty() {
                line.extend_from_slice(b",\"");
                line.extend_from_slice(name.as_bytes());
                line.extend_from_slice(b"\":\"");
                write_escaped(text, line);
                line.push(b'"');
            }
        }
        if self.query_bytes > 0 {
            line.extend_from_slice(b",\"query_bytes\":");
            write_number(self.query_bytes.into(), line);
        }
        for (name, number) in [
            (",\"status\":", self.status.into()),
            (",\"bytes_in\":", self.bytes_in),
            (",\"bytes_out\":", self.bytes_out),
            (",\"first_byte_us\":", self.first_byte_micros),
            (",\"total_us\":", self.total_micros),
        ] {
            line.extend_from_slice(name.as_bytes());
            write_number(number, line);
        }
        line.extend_from_slice(if self.tls { b",\"tls\":true" } else { b",\"tls\":false" });
        for (name, suite) in [
            (",\"client_suite\":\"", self.client_suite),
            (",\"upstream_suite\":\"", self.upstream_suite),
        ] {
            if let Some(suite) = suite {
                line.extend_from_slice(name.as_bytes());
                line.extend_from_slice(suite.as_bytes());
                line.push(b'"');
            }
        }
        if self.reused {
            line.extend_from_slice(b",\"reused\":true");
        }
        if let Some((word, party)) = self.failure {
            line.extend_from_slice(b",\"failure\":\"");
            line.extend_from_slice(word.as_bytes());
            line.extend_from_slice(b"\",\"fault_of\":\"");
            line.extend_from_slice(party.as_bytes());
            line.push(b'"');
        }
        line.extend_from_slice(b"}\n");
    }

    fn write_combined(&self, line: &mut Vec<u8>) {
        write_address(self.client.ip(), line);
        line.extend_from_slice(b" - - [");
        write_clf_time(self.wall_micros, line);
        line.extend_from_slice(b"] \"");
        write_escaped(self.text(Text::Method), line);
        line.push(b' ');
        write_escaped(self.text(Text::Path), line);
        if !self.text(Text::Query).is_empty() {
            line.push(b'?');
            write_escaped(self.text(Text::Query), line);
        }
        line.extend_from_slice(if self.http11 { b" HTTP/1.1\" " } else { b" HTTP/1.0\" " });
        write_number(self.status.into(), line);
        line.push(b' ');
        write_number(self.bytes_out, line);
        for which in [Text::Referer, Text::UserAgent] {
            line.extend_from_slice(b" \"");
            let text = self.text(which);
            write_escaped(if text.is_empty() { b"-" } else { text }, line);
            line.push(b'"');
        }
        line.push(b'\n');
    }
}

fn write_number(number: u64, line: &mut Vec<u8>) {
    line.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Sixteen hexadecimal digits.
fn write_id(id: u64, line: &mut Vec<u8>) {
    for shift in (0..16).rev() {
        let digit = usize::try_from(id >> (shift * 4) & 0xf).unwrap_or_default();
        line.push(b"0123456789abcdef"[digit]);
    }
}

fn write_address(address: IpAddr, line: &mut Vec<u8>) {
    if let IpAddr::V4(v4) = address.to_canonical() {
        for (at, octet) in v4.octets().into_iter().enumerate() {
            if at > 0 {
                line.push(b'.');
            }
            write_number(octet.into(), line);
        }
    } else {
        line.extend_from_slice(address.to_string().as_bytes());
    }
}

/// Every byte outside printable ASCII, quotes and backslashes become `\u00XX`, which JSON readers
/// turn back and no terminal obeys.
fn write_escaped(text: &[u8], line: &mut Vec<u8>) {
    let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'"' && *byte != b'\\';
    // The usual case, without a branch for each byte.
    if text.iter().fold(true, |all, byte| all & plain(byte)) {
        return line.extend_from_slice(text);
    }
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| !plain(byte)) {
        let (before, after) = rest.split_at(at);
        line.extend_from_slice(before);
        let Some((&byte, after)) = after.split_first() else { break };
        line.extend_from_slice(b"\\u00");
        line.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
        line.push(b"0123456789abcdef"[usize::from(byte & 0xf)]);
        rest = after;
    }
    line.extend_from_slice(rest);
}

fn write_two(number: i8, line: &mut Vec<u8>) {
    let number = number.unsigned_abs();
    line.push(b'0' + number / 10 % 10);
    line.push(b'0' + number % 10);
}

/// RFC 3339 in UTC with microseconds.
fn write_time(micros: u64, line: &mut Vec<u8>) {
    let time = civil(micros);
    write_number(u64::from(time.year().unsigned_abs()), line);
    for (before, number) in [
        (b'-', time.month()),
        (b'-', time.day()),
        (b'T', time.hour()),
        (b':', time.minute()),
        (b':', time.second()),
    ] {
        line.push(before);
        write_two(number, line);
    }
    line.push(b'.');
    let fraction = u32::try_from(micros % 1_000_000).unwrap_or_default();
    let mut divisor = 100_000;
    while divisor > 0 {
        line.push(b'0' + u8::try_from(fraction / divisor % 10).unwrap_or_default());
        divisor /= 10;
    }
    line.push(b'Z');
}

fn write_clf_time(micros: u64, line: &mut Vec<u8>) {
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let time = civil(micros);
    write_two(time.day(), line);
    line.push(b'/');
    let month = usize::from(time.month().unsigned_abs().clamp(1, 12) - 1) * 3;
    line.extend_from_slice(&MONTHS[month..month + 3]);
    line.push(b'/');
    write_number(u64::from(time.year().unsigned_abs()), line);
    for number in [time.hour(), time.minute(), time.second()] {
        line.push(b':');
        write_two(number, line);
    }
    line.extend_from_slice(b" +0000");
}

/// Date and time of day, exact to the second. Records of one second follow each other, so the last
/// result is kept.
fn civil(micros: u64) -> DateTime {
    thread_local! {
        static LAST: Cell<(u64, DateTime)> = const { Cell::new((u64::MAX, DateTime::ZERO)) };
    }
    let second = micros / 1_000_000;
    let (known, time) = LAST.get();
    if known == second {
        return time;
    }
    let time = Timestamp::from_second(i64::try_from(second).unwrap_or_default());
    let time = TimeZone::UTC.to_datetime(time.unwrap_or(Timestamp::UNIX_EPOCH));
    LAST.set((second, time));
    time
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let mut record = Record {
            id: 0xab,
            wall_micros: 1_700_000_000_000_042,
            status: 200,
            bytes_out: 1234,
            ..Record::default()
        };
        record.note(Text::Method, b"GET");
        record.note(Text::Host, b"a.test");
        record.note(Text::Path, b"/x\"\xff\n");
        record.note(Text::Site, b"site");
        record
    }

    #[track_caller]
    fn check(record: &Record, format: Format, expected: &str) {
        let mut line = Vec::new();
        record.write(format, &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn a_line_of_json() {
        let expected = concat!(
            "{\"time\":\"2023-11-14T22:13:20.000042Z\",\"id\":\"00000000000000ab\",",
            "\"client\":\"0.0.0.0\",\"client_port\":0,\"method\":\"GET\",\"host\":\"a.test\",",
            "\"path\":\"/x\\u0022\\u00ff\\u000a\",\"site\":\"site\",",
            "\"status\":200,\"bytes_in\":0,\"bytes_out\":1234,\"first_byte_us\":0,",
            "\"total_us\":0,\"tls\":false}\n"
        );
        check(&record(), Format::Json, expected);
    }

    #[test]
    fn a_line_of_the_combined_format() {
        let expected = concat!(
            "0.0.0.0 - - [14/Nov/2023:22:13:20 +0000] \"GET /x\\u0022\\u00ff\\u000a HTTP/1.1\" ",
            "200 1234 \"-\" \"-\"\n"
        );
        check(&record(), Format::Combined, expected);
    }

    #[test]
    fn texts_keep_their_places() {
        let mut record = record();
        record.note(Text::Server, b"one");
        record.note(Text::Server, b"another");
        assert_eq!(record.text(Text::Server), b"another");
        assert_eq!(record.text(Text::Rule), b"");
        assert_eq!(record.text(Text::Site), b"site");
        record.recycle();
        assert_eq!(record.text(Text::Method), b"");
        record.note(Text::Rule, b"r");
        assert_eq!((record.text(Text::Path), record.text(Text::Rule)), (&b""[..], &b"r"[..]));
    }
}

//! The end of the line: reads what nginx and Apache send, writes it down, and says in its answer
//! what it has read, so that whoever asked can compare.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One request as somebody read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    method: String,
    target: String,
    host: String,
    length: usize,
    sum: u64,
}

/// The longest target that is written out in an answer's field.
const TARGET_SHOWN_MAX: usize = 1000;

impl Seen {
    pub(crate) fn new(method: &[u8], target: &[u8], host: &[u8], body: &[u8]) -> Self {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let shown = target.get(..TARGET_SHOWN_MAX).unwrap_or(target);
        let mut target_text = text(shown);
        if shown.len() < target.len() {
            target_text += &format!("~{}~{:x}", target.len(), checksum(target));
        }
        Self {
            method: text(method),
            target: target_text,
            host: text(host),
            length: body.len(),
            sum: checksum(body),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, host, length, sum } = self;
        write!(f, "{method} {target} {host} {length} {sum:x}")
    }
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325;
    bytes
        .iter()
        .fold(start, |sum: u64, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The collector, which lives as long as the test process.
pub(crate) struct Collector {
    pub(crate) port: u16,
    log: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// Starts to listen; `keeps` says whether what was read is to be had from [`Self::take`].
    pub(crate) fn start(keeps: bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = keeps.then(|| Arc::clone(&kept));
                // A server that ends a connection ends its thread.
                std::thread::spawn(move || serve(&stream, log.as_deref()));
            }
        });
        Self { port, log }
    }

    /// What was read since the last call, by all connections, in order of arrival.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().expect("nobody panics with it"))
    }
}

fn serve(stream: &TcpStream, log: Option<&Mutex<Vec<String>>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(seen) = read_request(&mut reader)? {
        let seen = seen.to_string();
        if let Some(log) = log {
            log.lock().expect("nobody panics with it").push(seen.clone());
        }
        let answer = format!("HTTP/1.1 200 OK\r\nX-Seen: {seen}\r\nContent-Length: 2\r\n\r\n");
        let mut answer = answer.into_bytes();
        if !seen.starts_with("HEAD ") {
            answer.extend_from_slice(b"ok");
        }
        writer.write_all(&answer)?;
    }
    Ok(())
}

fn line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    match line.strip_suffix(b"\r\n") {
        Some(line) => Ok(Some(line.to_vec())),
        None => Err(io::Error::other("a line does not end in CRLF")),
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Seen>> {
    let Some(start) = line(reader)? else { return Ok(None) };
    let first = start.iter().position(|byte| *byte == b' ').unwrap_or(start.len());
    let last = start.iter().rposition(|byte| *byte == b' ').unwrap_or(start.len());
    let (method, target) = (&start[..first], start.get(first + 1..last).unwrap_or_default());
    let (mut host, mut length, mut chunked) = (Vec::new(), 0, false);
    loop {
        let Some(field) = line(reader)? else { return Ok(None) };
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
        let value = field.get(colon + 1..).unwrap_or_default().trim_ascii();
        match field[..colon].to_ascii_lowercase().as_slice() {
            b"host" => host = value.to_vec(),
            b"content-length" => {
                let digits = String::from_utf8_lossy(value);
                length = digits.parse().map_err(|_| io::Error::other("no length"))?;
            }
            b"transfer-encoding" => chunked = true,
            _ => {}
        }
    }
    let mut body = vec![0; if chunked { 0 } else { length }];
    reader.read_exact(&mut body)?;
    if chunked {
        body = read_chunks(reader)?;
    }
    Ok(Some(Seen::new(method, target, &host, &body)))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = usize::from_str_radix(&String::from_utf8_lossy(&size), 16);
        let size = size.map_err(|_| io::Error::other("no chunk size"))?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        let after = line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if !after.is_empty() {
            return Err(io::Error::other("a chunk is not closed"));
        }
        if size == 0 {
            return Ok(body);
        }
    }
}

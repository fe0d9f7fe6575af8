//! The access log as messages to the machine's own log services. One message a record, never
//! waited for: what a full socket does not take is lost and counted.
//!
//! Messages are addressed one by one, so that a service that was started anew gets the next.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};

use crate::observe::{Format, Record, Text};

/// The name under which both services file our lines.
const TAG: &str = "gatehouse";

/// Facility local0, so that one line of rsyslog's rules can file requests apart; severity info
/// (RFC 3164 section 4.1.1).
const PRIORITY: u32 = 16 * 8 + 6;

/// The longest message to syslog, the most that rsyslog takes where nothing else is set; a longer
/// one is cut.
const SYSLOG_BYTES_MAX: usize = 8 * 1024;

/// Who takes the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// systemd-journald by its own protocol, which keeps fields apart.
    Journald,
    /// Any syslog daemon (RFC 3164).
    Syslog,
}

/// The way to a log service of this machine.
#[derive(Debug)]
pub(super) struct Messages {
    service: Service,
    to: PathBuf,
    socket: UnixDatagram,
    line: Vec<u8>,
    message: Vec<u8>,
}

impl Messages {
    /// Messages to the socket `to`, which need not be there yet.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(super) fn new(service: Service, to: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let (line, message) = (Vec::new(), Vec::new());
        Ok(Self { service, to: to.to_owned(), socket, line, message })
    }

    /// Sends a record.
    ///
    /// # Errors
    /// `WouldBlock` if the service is too slow, else why there is none; the message is lost.
    pub(super) fn send(&mut self, record: &Record, format: Format) -> io::Result<()> {
        self.line.clear();
        record.write(format, &mut self.line);
        self.message.clear();
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        match self.service {
            Service::Journald => write_fields(record, line, &mut self.message),
            Service::Syslog => write_syslog(record.wall_micros, line, &mut self.message),
        }
        self.socket.send_to(&self.message, &self.to).map(drop)
    }
}

/// `FIELD=value` lines (systemd's "Journal Native Protocol"). Lines of ours hold no line ends.
fn write_fields(record: &Record, line: &[u8], message: &mut Vec<u8>) {
    let status = record.status.to_string();
    let client = record.client.ip().to_canonical().to_string();
    for (name, value) in [
        ("MESSAGE", line),
        ("PRIORITY", b"6"),
        ("SYSLOG_IDENTIFIER", TAG.as_bytes()),
        ("GATEHOUSE_STATUS", status.as_bytes()),
        ("GATEHOUSE_CLIENT", client.as_bytes()),
        ("GATEHOUSE_SITE", record.text(Text::Site)),
        ("GATEHOUSE_RULE", record.text(Text::Rule)),
        ("GATEHOUSE_SERVER", record.text(Text::Server)),
        ("GATEHOUSE_FAILURE", record.failure.map_or(&b""[..], |(word, _)| word.as_bytes())),
    ] {
        if !value.is_empty() && value.iter().all(|byte| matches!(byte, b' '..=b'~')) {
            message.extend_from_slice(name.as_bytes());
            message.push(b'=');
            message.extend_from_slice(value);
            message.push(b'\n');
        }
    }
}

/// `<134>Nov 24 06:07:08 gatehouse[123]: …`. The daemons take the time at which a message came.
fn write_syslog(wall_micros: u64, line: &[u8], message: &mut Vec<u8>) {
    let second = i64::try_from(wall_micros / 1_000_000).unwrap_or_default();
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = TimeZone::UTC.to_datetime(time).strftime("%b %e %H:%M:%S");
    let head = format!("<{PRIORITY}>{time} {TAG}[{}]: ", std::process::id());
    message.extend_from_slice(head.as_bytes());
    message.extend_from_slice(line);
    message.truncate(SYSLOG_BYTES_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 14 November 2023, 22:13:20.
    const WALL: u64 = 1_700_000_000_000_000;

    fn record(path: &[u8]) -> Record {
        let mut record = Record::default();
        record.wall_micros = WALL;
        record.status = 502;
        record.failure = Some(("refused", "upstream"));
        record.note(Text::Method, b"GET");
        record.note(Text::Path, path);
        record.note(Text::Site, b"lync");
        record.note(Text::Rule, b"a\nMESSAGE=forged");
        record
    }

    #[test]
    fn a_message_to_journald_has_fields() {
        let mut message = Vec::new();
        write_fields(&record(b"/"), b"the line", &mut message);
        let expected = "MESSAGE=the line\nPRIORITY=6\nSYSLOG_IDENTIFIER=gatehouse\n\
                        GATEHOUSE_STATUS=502\nGATEHOUSE_CLIENT=0.0.0.0\nGATEHOUSE_SITE=lync\n\
                        GATEHOUSE_FAILURE=refused\n";
        assert_eq!(String::from_utf8(message).unwrap(), expected);
    }

    #[test]
    fn a_message_to_syslog_is_one_line_of_bounded_length() {
        let id = std::process::id();
        for (wall, line, expected) in [
            (WALL, "x".to_owned(), format!("<134>Nov 14 22:13:20 gatehouse[{id}]: x")),
            // A day of one digit keeps its place.
            (
                WALL - 8 * 86_400_000_000,
                "x".to_owned(),
                format!("<134>Nov  6 22:13:20 gatehouse[{id}]: x"),
            ),
            (
                WALL,
                "x".repeat(10_000),
                format!("<134>Nov 14 22:13:20 gatehouse[{id}]: {}", "x".repeat(10_000))
                    [..SYSLOG_BYTES_MAX]
                    .to_owned(),
            ),
        ] {
            let mut message = Vec::new();
            write_syslog(wall, line.as_bytes(), &mut message);
            assert_eq!(String::from_utf8(message).unwrap(), expected);
        }
    }

    #[test]
    fn a_full_socket_is_not_waited_for_and_a_new_service_is_found() {
        let name = format!("gatehouse-datagram-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let mut messages = Messages::new(Service::Syslog, &path).unwrap();
        let missing = messages.send(&record(b"/"), Format::Json).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let service = UnixDatagram::bind(&path).unwrap();
        let full = (0..100_000).find_map(|_| messages.send(&record(b"/"), Format::Json).err());
        assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
        drop(service);
        let gone = messages.send(&record(b"/"), Format::Json).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
        std::fs::remove_file(&path).unwrap();
        let service = UnixDatagram::bind(&path).unwrap();
        messages.send(&record(b"/again"), Format::Combined).unwrap();
        let mut message = [0; 1024];
        let count = service.recv(&mut message).unwrap();
        let message = String::from_utf8_lossy(&message[..count]).into_owned();
        assert!(message.ends_with("\"GET /again HTTP/1.1\" 502 0 \"-\" \"-\""), "{message}");
        std::fs::remove_file(&path).unwrap();
    }
}

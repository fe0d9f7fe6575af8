//! What an idle client connection costs in memory: opens very many TLS connections to a proxy, each with one finished
//! request, and looks at how the proxy's resident memory has grown.
//!
//! Memory of the kernel (sockets, the ring) is not in it, for any peer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Serialize;

use super::Trouble;
use super::certificate::{Fresh, NAMES};
use super::compare::{self, Case, Peer, Settings, Stage, Table};

/// What an idle connection of Gatehouse may cost.
const GOAL_BYTES: f64 = 8192.0;
/// Connections that are opened before the first look, so that what a proxy allocates once is not counted.
const FIRST: usize = 64;
/// How long a proxy gets to give buffers back.
const REST: Duration = Duration::from_secs(2);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// The whole measurement.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Idle connections per peer.
    pub connections: usize,
    /// The peers.
    pub peers: Vec<PeerReport>,
}

/// One peer.
#[derive(Debug, Serialize)]
pub struct PeerReport {
    /// Its name.
    pub name: String,
    /// Resident memory before the connections.
    pub before_bytes: u64,
    /// Resident memory with them.
    pub with_bytes: u64,
    /// The difference per connection.
    pub bytes_per_connection: Option<f64>,
    /// What went wrong.
    pub complaint: Option<String>,
}

/// Measures each peer of `settings` with so many connections.
pub fn run(
    settings: &Settings,
    connections: usize,
    progress: &mut dyn FnMut(&str),
) -> Result<Report, Trouble> {
    settings.check()?;
    let files_max = compare::raise_file_limit()?;
    if connections as u64 + FIRST as u64 + 64 > files_max {
        return Err(Trouble::new(format!(
            "{connections} connections need more open files than the {files_max} that this process may have; raise the \
             hard limit (ulimit -Hn) or lower --connections"
        )));
    }
    let folder = compare::Folder::new(settings.keep.as_deref())?;
    let fresh = Fresh::make()?;
    let client = fresh.client()?;
    let mut stage = Stage::new(settings, &fresh, folder.path())?;
    let (_origin, origin) = stage.origin(Case::Tls)?;
    let mut peers = Vec::new();
    for peer in settings.peers.iter().filter(|peer| Case::Tls.admits(**peer)) {
        progress(&format!("idle: {connections} connections to {peer}"));
        peers.push(measure(&mut stage, *peer, origin, &client, connections));
    }
    Ok(Report { connections, peers })
}

/// One peer, started for this and ended afterwards.
fn measure(
    stage: &mut Stage<'_>,
    peer: Peer,
    origin: SocketAddr,
    client: &Arc<ClientConfig>,
    connections: usize,
) -> PeerReport {
    let mut report = PeerReport {
        name: peer.to_string(),
        before_bytes: 0,
        with_bytes: 0,
        bytes_per_connection: None,
        complaint: None,
    };
    let outcome = stage.actor(Case::Tls, peer, origin, None).and_then(|mut actor| {
        let process = actor.running.process();
        let _first = open(actor.address, client, FIRST)?;
        std::thread::sleep(REST);
        report.before_bytes = compare::resident(process)?;
        let _idle = open(actor.address, client, connections)?;
        std::thread::sleep(REST);
        report.with_bytes = compare::resident(process)?;
        actor.running.still_runs()
    });
    match outcome {
        Ok(()) => {
            let grown = report.with_bytes as f64 - report.before_bytes as f64;
            report.bytes_per_connection = Some(grown / connections as f64);
        }
        Err(trouble) => report.complaint = Some(trouble.to_string()),
    }
    report
}

/// Opens connections one after the other, each with a complete handshake and one request, and keeps them.
fn open(
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    count: usize,
) -> Result<Vec<Connection>, Trouble> {
    let mut open = Vec::with_capacity(count);
    for number in 1..=count {
        let connection = connect(address, client)
            .map_err(Trouble::of(format!("connection {number} of {count} has failed")))?;
        open.push(connection);
    }
    Ok(open)
}

fn connect(address: SocketAddr, client: &Arc<ClientConfig>) -> std::io::Result<Connection> {
    let name = NAMES[0].try_into().map_err(std::io::Error::other)?;
    let session = ClientConnection::new(client.clone(), name).map_err(std::io::Error::other)?;
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    let mut connection = StreamOwned::new(session, socket);
    connection.write_all(b"GET / HTTP/1.1\r\nHost: bench.test\r\n\r\n")?;
    read_answer(&mut connection)?;
    Ok(connection)
}

/// Reads one answer of the origin to its end.
fn read_answer(connection: &mut impl Read) -> std::io::Result<()> {
    let mut answer = Vec::new();
    let mut block = [0; 4096];
    loop {
        let length = connection.read(&mut block)?;
        if length == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&block[..length]);
        match is_whole(&answer) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(status) => return Err(std::io::Error::other(status)),
        }
    }
}

/// Whether the answer is whole; the start line if it is not a 200.
fn is_whole(answer: &[u8]) -> Result<bool, String> {
    let Some(end) = memchr::memmem::find(answer, b"\r\n\r\n") else { return Ok(false) };
    if !answer.starts_with(b"HTTP/1.1 200 ") {
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        return Err(String::from_utf8_lossy(line).into_owned());
    }
    // The origin's small answer has a fixed length.
    Ok(answer.len() - (end + 4) >= 128)
}

impl Report {
    /// Gatehouse was not measured, or needs more than its goal.
    pub fn misses_goals(&self) -> bool {
        self.peers
            .iter()
            .filter(|peer| peer.name == Peer::Gatehouse.word())
            .any(|peer| peer.bytes_per_connection.is_none_or(|bytes| bytes > GOAL_BYTES))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            out,
            "idle: {} idle TLS connections, one finished request on each\n",
            self.connections
        )?;
        let mut table =
            Table::new(&["peer", "bytes/connection", "before kB", "with kB", "goal", ""]);
        for peer in &self.peers {
            let ours = peer.name == Peer::Gatehouse.word();
            let verdict = match peer.bytes_per_connection {
                Some(bytes) if ours && bytes <= GOAL_BYTES => "ok",
                Some(_) if ours => "MISSED",
                _ => "",
            };
            table.push(vec![
                peer.name.clone(),
                peer.bytes_per_connection
                    .map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}")),
                (peer.before_bytes / 1024).to_string(),
                (peer.with_bytes / 1024).to_string(),
                if ours { format!("{GOAL_BYTES:.0}") } else { "-".to_owned() },
                verdict.to_owned(),
            ]);
        }
        write!(out, "{table}")?;
        for complaint in self.peers.iter().filter_map(|peer| peer.complaint.as_ref()) {
            writeln!(out, "\n  !! {complaint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_to_their_end() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 128\r\n\r\n";
        assert_eq!(is_whole(head.as_bytes()), Ok(false));
        assert_eq!(is_whole(format!("{head}{}", "#".repeat(128)).as_bytes()), Ok(true));
        assert_eq!(
            is_whole(b"HTTP/1.1 421 Misdirected Request\r\n\r\n"),
            Err("HTTP/1.1 421 Misdirected Request".to_owned())
        );
    }

    #[test]
    fn a_report_shows_the_goal_for_gatehouse_only() {
        let peer = |name: &str, bytes| PeerReport {
            name: name.to_owned(),
            before_bytes: 10_240,
            with_bytes: 20_480,
            bytes_per_connection: Some(bytes),
            complaint: None,
        };
        let peers = vec![peer("gatehouse", 9000.0), peer("nginx", 20_000.0)];
        let report = Report { connections: 5000, peers };
        assert!(report.misses_goals());
        let text = report.to_string();
        assert_eq!(text.matches("MISSED").count(), 1, "{text}");
    }
}

//! Metrics and health by HTTP, on the side of the box that faces the company. Served by threads of
//! their own: whoever asks here, however slowly, keeps neither workers nor a reload waiting.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::AdminPage;
use crate::http::{HeadLimits, Method, Parsed, RequestHead, Slots, parse_request};
use crate::net::{self, Bind, Moment};
use crate::observe::{METRICS_TYPE, metrics};
use crate::site::host::without_port;

use super::doors::why;
use super::overview::Overview;

/// Visitors at a time; for one more the oldest is sent away.
const VISITORS_MAX: usize = 16;

/// Threads at a time, also for those who are on their way out.
const THREADS_MAX: usize = 2 * VISITORS_MAX;

/// The longest head of a request.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// How long a visit may take from its first to its last byte.
const VISIT_TIME: Duration = Duration::from_secs(10);

/// The open page; closed when this is dropped.
#[derive(Debug)]
pub(super) struct Page {
    asked: AdminPage,
    listeners: Vec<TcpListener>,
}

impl Page {
    /// Opens the page at all its addresses.
    ///
    /// # Errors
    /// A sentence for the administrator: which address cannot be had, and why.
    pub(super) fn open(
        asked: &AdminPage,
        keepalive: Duration,
        overview: &Arc<Overview>,
    ) -> Result<Self, String> {
        let mut page = Self { asked: asked.clone(), listeners: Vec::new() };
        for &address in &asked.addresses {
            let address = SocketAddr::new(address, asked.port);
            let bind = Bind { address, interface: asked.interface.clone(), keepalive };
            let listener = net::bind_alone(&bind).map_err(|error| why(&bind, &error))?;
            let no_thread = |error: io::Error| format!("no thread for {address}: {error}");
            let ours = listener.try_clone().map_err(no_thread)?;
            let host = Host { addresses: asked.addresses.clone() };
            let overview = Arc::clone(overview);
            let thread = std::thread::Builder::new().name("admin-page".to_owned());
            page.listeners.push(ours);
            let story = move || receive_all(&listener, &Arc::new(host), &overview);
            thread.spawn(story).map_err(no_thread)?;
        }
        Ok(page)
    }

    pub(super) fn asked(&self) -> &AdminPage {
        &self.asked
    }

    /// Whether its adapter was taken out, so that nobody can reach it.
    pub(super) fn is_cut_off(&self) -> bool {
        self.listeners.iter().any(net::has_lost_adapter)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        for listener in &self.listeners {
            // Nobody can connect any more, and the thread, which waits for them, ends.
            let _ =
                nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        }
    }
}

/// Who is there.
#[derive(Debug, Default)]
struct Visitors {
    present: Mutex<Present>,
    /// A thread has ended.
    left: Condvar,
}

#[derive(Debug, Default)]
struct Present {
    /// Who is being served, the oldest first.
    served: VecDeque<(u64, TcpStream)>,
    /// Also of those that were sent away and have not noticed yet.
    threads: usize,
}

impl Visitors {
    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A visitor's place; free again when this is dropped.
struct Place {
    visitors: Arc<Visitors>,
    number: u64,
}

impl Place {
    /// The oldest visitor makes room, if need be.
    fn take(visitors: &Arc<Visitors>, number: u64, stream: TcpStream) -> Self {
        let mut present = visitors.present();
        // Those that were sent away end at once, but not faster than others may come.
        while present.threads >= THREADS_MAX {
            present = visitors.left.wait(present).unwrap_or_else(PoisonError::into_inner);
        }
        if present.served.len() >= VISITORS_MAX
            && let Some((_, oldest)) = present.served.pop_front()
        {
            // Its thread notices, and ends.
            let _ = oldest.shutdown(Shutdown::Both);
        }
        present.served.push_back((number, stream));
        present.threads += 1;
        Self { visitors: Arc::clone(visitors), number }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.visitors.present();
        present.served.retain(|(other, _)| *other != self.number);
        present.threads -= 1;
        self.visitors.left.notify_one();
    }
}

/// Until the socket is shut.
fn receive_all(listener: &TcpListener, host: &Arc<Host>, overview: &Arc<Overview>) {
    let visitors: Arc<Visitors> = Arc::default();
    for (number, stream) in (0..).zip(listener.incoming()) {
        match stream {
            Ok(stream) => {
                // Without a thread or descriptor for it, a visitor comes again.
                let _ = receive(stream, number, &visitors, (host, overview));
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            // Without descriptors this would be a race to the next refusal.
            Err(_) => std::thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

fn receive(
    stream: TcpStream,
    number: u64,
    visitors: &Arc<Visitors>,
    (host, overview): (&Arc<Host>, &Arc<Overview>),
) -> io::Result<()> {
    let place = Place::take(visitors, number, stream.try_clone()?);
    let (host, overview) = (Arc::clone(host), Arc::clone(overview));
    let thread = std::thread::Builder::new().name("admin-visit".to_owned());
    let started = thread.spawn(move || {
        // Whoever hangs up early does not want the answer.
        let _ = visit(stream, &host, &overview);
        drop(place);
    });
    started.map(drop)
}

/// What is left of a visit.
fn time_left(until: Moment) -> io::Result<Duration> {
    match until.since(net::monotonic()) {
        0 => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(Duration::from_nanos(left)),
    }
}

fn visit(mut stream: TcpStream, host: &Host, overview: &Overview) -> io::Result<()> {
    let until = net::monotonic() + VISIT_TIME;
    let asked = stream.local_addr()?.ip();
    let mut head = Vec::new();
    let answer = loop {
        if let Some(answer) = judge(&head, (host, asked), overview) {
            break answer;
        }
        stream.set_read_timeout(Some(time_left(until)?))?;
        let mut some = [0; 1024];
        match stream.read(&mut some)? {
            0 => return Ok(()),
            count => head.extend_from_slice(some.get(..count).unwrap_or_default()),
        }
    };
    let mut rest = answer.as_slice();
    while !rest.is_empty() {
        stream.set_write_timeout(Some(time_left(until)?))?;
        let count = stream.write(rest)?;
        rest = rest.get(count..).unwrap_or_default();
    }
    // Bytes that are not read would turn the end into a reset, which takes the answer along.
    stream.shutdown(Shutdown::Write)?;
    loop {
        stream.set_read_timeout(Some(time_left(until)?))?;
        if stream.read(&mut [0; 1024])? == 0 {
            return Ok(());
        }
    }
}

/// The names that this page is asked for by. A browser that was led here under another name must
/// not read it for somebody else (DNS rebinding).
#[derive(Debug)]
struct Host {
    addresses: Vec<IpAddr>,
}

impl Host {
    fn is_ours(&self, host: &[u8], asked: IpAddr) -> bool {
        let Ok(name) = std::str::from_utf8(without_port(host)) else { return false };
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        // Programs that speak HTTP/1.0 may leave the field away; no browser does.
        name.is_empty()
            || name.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address == asked || self.addresses.contains(&address))
    }
}

/// The whole answer, or `None` while the head is not whole.
fn judge(bytes: &[u8], host: (&Host, IpAddr), overview: &Overview) -> Option<Vec<u8>> {
    let limits = HeadLimits {
        head_bytes_max: HEAD_BYTES_MAX,
        field_bytes_max: HEAD_BYTES_MAX,
        target_bytes_max: HEAD_BYTES_MAX,
        fields_max: 64,
    };
    let mut slots = Slots::new();
    match parse_request(bytes, &mut slots, &limits) {
        Ok(Parsed::NeedMore) => None,
        Ok(Parsed::Complete(head)) => Some(answer(&head, host, overview)),
        Err(why) => Some(write(why.status(), "", "text/plain", "not understood\n", true)),
    }
}

fn answer(
    head: &RequestHead<'_, '_>,
    (host, asked): (&Host, IpAddr),
    overview: &Overview,
) -> Vec<u8> {
    let body = head.facts.method != Method::Head;
    let plain = |status, fields, text: &str| write(status, fields, "text/plain", text, body);
    if !host.is_ours(head.host, asked) {
        return plain(421, "", "ask by the address of this box\n");
    }
    let path = head.path.split(|byte| *byte == b'?').next().unwrap_or_default();
    let known = matches!(path, b"/metrics" | b"/healthz");
    if known && !matches!(head.facts.method, Method::Get | Method::Head) {
        return plain(405, "Allow: GET, HEAD\r\n", "GET or HEAD\n");
    }
    match path {
        b"/metrics" => write(200, "", METRICS_TYPE, &metrics(&overview.snapshot()), body),
        b"/healthz" if overview.is_serving() => plain(200, "", "ok\n"),
        b"/healthz" => plain(503, "", "not serving\n"),
        _ => plain(404, "", "there are /metrics and /healthz\n"),
    }
}

fn write(status: u16, fields: &str, content_type: &str, text: &str, body: bool) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        404 => "Not Found",
        405 => "Method Not Allowed",
        421 => "Misdirected Request",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{fields}Connection: close\r\n\r\n",
        text.len()
    );
    let mut answer = head.into_bytes();
    if body {
        answer.extend_from_slice(text.as_bytes());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_ours() {
        let host = Host {
            addresses: ["192.0.2.9", "2001:db8::9"].map(|text| text.parse().unwrap()).to_vec(),
        };
        let asked = "192.0.2.7".parse().unwrap();
        for (name, ours) in [
            ("192.0.2.7", true),
            ("192.0.2.9", true),
            ("192.0.2.9:9443", true),
            ("[2001:db8::9]:9443", true),
            ("[2001:DB8:0::9]", true),
            ("localhost:9443", true),
            ("LocalHost", true),
            ("", true),
            ("192.0.2.8", false),
            ("127.0.0.1", false),
            ("localhost.evil.test", false),
            ("evil.test:9443", false),
            ("192.0.2.9.evil.test", false),
            ("\u{e9}", false),
        ] {
            assert_eq!(host.is_ours(name.as_bytes(), asked), ours, "{name}");
        }
    }
}

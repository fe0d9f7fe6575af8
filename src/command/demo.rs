//! `gatehouse demo`: an origin of our own, a fresh certificate, and the proxy between the two.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::config;
use crate::control::{self, Running, Settings};
use crate::net::wall_seconds;
use crate::observe::Counts;

use super::{FAILED, check};

/// Ports that are tried after the asked one.
const PORTS_TRIED: u16 = 50;

const PAGE: &str = include_str!("demo.html");

pub(super) fn demo(port: u16) -> u8 {
    if let Err(error) = control::block_signals() {
        eprintln!("gatehouse: cannot wait for signals: {error}");
        return FAILED;
    }
    match begin(port) {
        Ok((running, url)) => {
            println!("Gatehouse publishes a small page at\n\n    {url}\n");
            println!(
                "The certificate is fresh and self-signed: the browser warns, and curl needs -k:"
            );
            println!("    curl -k {url}\n\nCtrl-C ends it.\n");
            report_until_signal(&running);
            running.stop(a_signal());
            println!("\nStopped.");
            0
        }
        Err(why) => {
            eprintln!("gatehouse: {why}");
            FAILED
        }
    }
}

fn begin(wanted: u16) -> Result<(Running, String), String> {
    let origin = start_origin().map_err(|error| format!("cannot start the origin: {error}"))?;
    let port = free_port(wanted)?;
    if port != wanted {
        println!("Port {wanted} is taken; {port} is used instead.");
    }
    let made = rcgen::generate_simple_self_signed(["localhost".into(), "127.0.0.1".into()]);
    let made = made.map_err(|error| format!("cannot make a certificate: {error}"))?;
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let text = file_text(port, origin);
    let source = |path: &Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("demo.toml") => Ok(text.clone().into_bytes()),
        Some("demo.pem") => Ok(chain.clone().into_bytes()),
        Some("demo.key") => Ok(key.clone().into_bytes()),
        _ => Err(io::ErrorKind::NotFound.into()),
    };
    let read = config::read(Path::new("demo.toml"), &source, wall_seconds());
    let (config, _) = read.map_err(|complaints| {
        check::print(&complaints);
        "the demo's own file is wrong, which is our mistake".to_owned()
    })?;
    let running = control::start(config, Settings::default()).map_err(|why| why.to_string())?;
    Ok((running, format!("https://127.0.0.1:{port}/")))
}

/// The file that the demo would need; the same words that an operator writes.
fn file_text(port: u16, origin: u16) -> String {
    format!(
        r#"
[adapter.external]
addresses = ["127.0.0.1"]
[adapter.internal]
addresses = ["127.0.0.1"]
[listener.https]
adapter = "external"
port = {port}
tls = true
certificate = "demo"
[certificate.demo]
chain = "demo.pem"
key = "demo.key"
[pool.origin]
servers = ["127.0.0.1:{origin}"]
[site.demo]
names = ["localhost", "127.0.0.1"]
listeners = ["https"]
certificate = "demo"
[[site.demo.rule]]
name = "page"
path = "/"
pool = "origin"
[log]
access = ["off"]
"#
    )
}

/// The wanted port, or the next one that nobody listens on.
fn free_port(wanted: u16) -> Result<u16, String> {
    let mut ports = (0..PORTS_TRIED).filter_map(|further| wanted.checked_add(further));
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(free).ok_or_else(|| {
        format!("ports {wanted} and the {PORTS_TRIED} after it are taken or forbidden; choose another with --port")
    })
}

/// Answers every request with the page; a thread for each connection is good enough to look at.
fn start_origin() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(port)
}

/// Only the proxy talks to this, so requests are well-formed. A body is read by its length.
fn serve(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    let mut served = 0_u64;
    loop {
        let (mut line, mut length, mut first) = (String::new(), 0, String::new());
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let text = line.trim_end();
            if first.is_empty() {
                text.clone_into(&mut first);
            } else if text.is_empty() {
                break;
            } else if let Some((name, value)) = text.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        served += 1;
        let page = PAGE.replace("{served}", &served.to_string());
        let body = if first.starts_with("HEAD ") { "" } else { page.as_str() };
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            page.len()
        )?;
    }
}

/// Prints a line whenever something has passed, until a signal comes.
fn report_until_signal(running: &Running) {
    let mut last = Counts::default();
    let mut signalled = a_signal();
    while !signalled() {
        let counts = running.counts();
        if counts != last {
            print!(
                "\r{} requests answered ({} failed), {} clients, {} TLS handshakes ({} resumed), {} KiB out   ",
                counts.exchanges,
                counts.failures,
                counts.clients,
                counts.handshakes,
                counts.handshakes_resumed,
                counts.bytes_out / 1024
            );
            // Without a terminal nobody looks at the line.
            let _ = io::stdout().flush();
            last = counts;
        }
        std::thread::park_timeout(Duration::from_millis(250));
    }
}

/// Tells whether a signal has come since.
fn a_signal() -> impl FnMut() -> bool {
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        if control::wait_for_signal().is_ok() {
            // Nobody asks any more if the stop was quicker.
            let _ = told.send(());
        }
    });
    move || heard.try_recv().is_ok()
}

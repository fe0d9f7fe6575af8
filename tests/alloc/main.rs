//! Steady state allocates nothing per exchange on plain connections, and one block for each TLS
//! record: rustls 0.23 hands out owned records when it opens them, and makes one on the way when it
//! seals, also where it seals into the caller's buffer.
//!
//! A process of its own, since the allocator counts for all of it; only what the worker's thread
//! asks for is counted.
#![expect(unsafe_code, reason = "an allocator that counts has to be one")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and ends")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use gatehouse::bench::certificate::Fresh;
use gatehouse::bench::origin;
use gatehouse::config;
use gatehouse::control::{self, Running, Settings};

struct Counting;

/// The thread whose requests are counted.
static COUNTED: AtomicI32 = AtomicI32::new(0);
static BLOCKS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: Cell<i32> = const { Cell::new(0) };
}

fn note() {
    let counted = COUNTED.load(Ordering::Relaxed);
    if counted == 0 {
        return;
    }
    // A thread that is ending asks for nothing that is of interest.
    let _ = THREAD.try_with(|thread| {
        if thread.get() == 0 {
            thread.set(nix::unistd::gettid().as_raw());
        }
        if thread.get() == counted {
            BLOCKS.fetch_add(1, Ordering::Relaxed);
        }
    });
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting touches atomics and
// a thread-local without a destructor, and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's own promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's own promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The one worker's thread, found by its name.
fn worker_thread() -> i32 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks
        .filter_map(|task| task.ok()?.file_name().into_string().ok())
        .find(|task| {
            let name = std::fs::read_to_string(format!("/proc/self/task/{task}/comm"));
            name.is_ok_and(|name| name.trim() == "worker-0")
        })
        .and_then(|task| task.parse().ok())
        .unwrap()
}

fn start(text: &str, files: &[(&str, &str)]) -> (Running, SocketAddr) {
    let source = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = files.iter().find(|(file, _)| *file == name);
        match (name, file) {
            ("test.toml", _) => Ok(text.as_bytes().to_vec()),
            (_, Some((_, content))) => Ok(content.as_bytes().to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    };
    let config = config::read(Path::new("test.toml"), &source, 1_800_000_000);
    let (config, _) = config.unwrap_or_else(|complaints| panic!("{complaints}"));
    let running = control::start(config, Settings::default()).unwrap_or_else(|why| panic!("{why}"));
    let address = running.addresses()[0].1;
    (running, address)
}

fn text(origin: SocketAddr, listener: &str, pool: &str) -> String {
    format!(
        r#"
[workers]
count = 1
[adapter.external]
addresses = ["127.0.0.1"]
[adapter.internal]
addresses = ["127.0.0.1"]
[listener.web]
adapter = "external"
port = {port}
{listener}
[pool.origin]
servers = ["{origin}"]
{pool}
[site.test]
names = ["localhost"]
listeners = ["web"]
[[site.test.rule]]
name = "all"
path = "/"
pool = "origin"
[log]
access = ["json:/dev/null"]
"#,
        port = free_port(),
    )
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// One request and its answer of 128 bytes.
fn exchange(stream: &mut (impl Read + Write)) {
    stream
        .write_all(b"GET /small?q=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: t\r\n\r\n")
        .unwrap();
    let mut answer = Vec::with_capacity(4096);
    let mut piece = [0; 4096];
    loop {
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "the proxy ended the connection");
        answer.extend_from_slice(&piece[..count]);
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        if head.is_some_and(|head| answer.len() >= head + 4 + 128) {
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            return;
        }
    }
}

/// Blocks that the worker asks for in so many exchanges, once it is in its steady state: a table
/// that has to grow for the first time, on a machine that is busy with other things, is not yet.
fn blocks_in(exchanges: u64, stream: &mut (impl Read + Write)) -> u64 {
    COUNTED.store(worker_thread(), Ordering::Relaxed);
    let windows = (0..WINDOWS).map(|_| {
        let before = BLOCKS.load(Ordering::Relaxed);
        for _ in 0..exchanges {
            exchange(stream);
        }
        BLOCKS.load(Ordering::Relaxed) - before
    });
    windows.min().unwrap()
}

const WINDOWS: u64 = 5;

const EXCHANGES: u64 = 2000;

fn plain() {
    let settings =
        origin::Settings { listen: "127.0.0.1:0".parse().unwrap(), workers: 1, tls: None };
    let origin = origin::start(&settings).unwrap();
    let (running, address) = start(&text(origin.address(), "", ""), &[]);
    let mut stream = TcpStream::connect(address).unwrap();
    let blocks = blocks_in(EXCHANGES, &mut stream);
    drop(stream);
    running.stop(|| true);
    origin.stop();
    println!("plain: {blocks} blocks in {EXCHANGES} exchanges");
    assert_eq!(blocks, 0, "steady state allocates nothing");
}

fn tls_both_legs() {
    let fresh = Fresh::make().unwrap();
    let settings = origin::Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        workers: 1,
        tls: Some(fresh.server().unwrap()),
    };
    let origin = origin::start(&settings).unwrap();
    let listener = "tls = true\ncertificate = \"test\"\n\
        [certificate.test]\nchain = \"cert.pem\"\nkey = \"key.pem\"";
    let pool = "[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"bench.test\"";
    let files =
        [("cert.pem", fresh.chain.as_str()), ("key.pem", &fresh.key), ("ca.pem", &fresh.ca)];
    let (running, address) = start(&text(origin.address(), listener, pool), &files);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let client = rustls::ClientConnection::new(fresh.client().unwrap(), name).unwrap();
    let mut stream = rustls::StreamOwned::new(client, TcpStream::connect(address).unwrap());
    let blocks = blocks_in(EXCHANGES, &mut stream);
    drop(stream);
    running.stop(|| true);
    origin.stop();
    println!("TLS on both legs: {blocks} blocks in {EXCHANGES} exchanges");
    // A request and an answer, each opened on one leg and sealed on the other. Now and then a queue
    // of the library grows.
    assert!(blocks <= EXCHANGES * 4 + 8, "at most one block for each record");
}

fn main() {
    plain();
    COUNTED.store(0, Ordering::Relaxed);
    tls_both_legs();
    println!("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

//! The origin over real sockets, with and without TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::bench::certificate::Fresh;
use crate::bench::clock;

fn started(tls: Option<Arc<ServerConfig>>) -> Handle {
    let listen = "127.0.0.1:0".parse().unwrap();
    start(&Settings { listen, workers: 2, tls }).unwrap()
}

fn connected(handle: &Handle) -> TcpStream {
    let stream = TcpStream::connect(handle.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends `request`, which has to end by closing, and returns the answer.
#[track_caller]
fn ask(stream: &mut (impl Read + Write), request: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    stream.flush().unwrap();
    let mut answer = Vec::new();
    // A close without a TLS goodbye is an error, and no matter here.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let origin = started(None);
    let request = "POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\
        GET /bytes/100000 HTTP/1.1\r\n\r\n\
        GET /delay/30/chunked/20000 HTTP/1.1\r\n\r\n\
        PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
        GET /missing HTTP/1.1\r\nConnection: close\r\n\r\n";
    let before = clock::now();
    let answer = ask(&mut connected(&origin), request);
    assert!(clock::now() - before >= Duration::from_millis(30));
    let statuses: Vec<_> = answer.matches("HTTP/1.1 ").collect();
    assert_eq!(statuses.len(), 5);
    assert_eq!(answer.matches('#').count(), 120_000);
    let (first, rest) = answer.split_at(answer.find("\r\n\r\n").unwrap() + 5);
    assert!(first.ends_with("\r\n\r\n5"), "{first}");
    assert!(rest.ends_with("Content-Length: 0\r\n\r\n"), "{rest}");
    origin.stop();
}

#[test]
fn a_head_may_come_in_pieces_and_garbage_gets_400() {
    let origin = started(None);
    let mut stream = connected(&origin);
    for piece in ["GET / HT", "TP/1.1\r\nConnection: cl"] {
        stream.write_all(piece.as_bytes()).unwrap();
        std::thread::yield_now();
    }
    assert!(ask(&mut stream, "ose\r\n\r\n").ends_with(&"#".repeat(128)));
    assert!(ask(&mut connected(&origin), "\0\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

#[test]
fn tls_carries_the_same_answers() {
    let fresh = Fresh::make().unwrap();
    let origin = started(Some(fresh.server().unwrap()));
    let name = "bench.test".try_into().unwrap();
    let session = rustls::ClientConnection::new(fresh.client().unwrap(), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, connected(&origin));
    let request = "GET /bytes/300000 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let answer = ask(&mut stream, request);
    assert_eq!(answer.matches('#').count(), 300_128);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

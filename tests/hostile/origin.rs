//! A server that answers by a script: byte for byte what a case says, however wrong it is.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the script says for one target.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    /// The connection ends behind it; else it waits for another request.
    pub(crate) closes: bool,
}

/// The origin; it runs as long as the test process.
pub(crate) struct Origin {
    pub(crate) port: u16,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Origin {
    /// Answers `/case-N` by the Nth line of `script`, and anything else by [`good`].
    pub(crate) fn start(script: Vec<Line>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let open = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&open);
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // What is said unasked must be there at once, not when the last answer is
                // acknowledged, which is when the next request comes.
                let _ = stream.set_nodelay(true);
                if let (Ok(clone), Ok(mut kept)) = (stream.try_clone(), kept.lock()) {
                    kept.push(clone);
                }
                let script = Arc::clone(&script);
                std::thread::spawn(move || serve(&stream, &script));
            }
        });
        Self { port, open }
    }

    /// Sends `bytes` on every connection that is still open, asked or not; forgets the others.
    pub(crate) fn blurt(&self, bytes: &[u8]) {
        let mut open = self.open.lock().expect("nobody panics with it");
        open.retain_mut(|stream| stream.write_all(bytes).is_ok());
    }

    /// Ends every connection.
    pub(crate) fn hang_up(&self) {
        for stream in self.open.lock().expect("nobody panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// The answer to a request that is no case.
pub(crate) fn good(target: &str) -> String {
    format!("good {target}")
}

fn serve(stream: &TcpStream, script: &[Line]) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some((target, head)) = read_head(&mut reader) {
        let case = target.strip_prefix("/case-").and_then(|number| number.parse::<usize>().ok());
        if let Some(line) = case.and_then(|number| script.get(number)) {
            // Whoever has heard enough may have left.
            let _ = writer.write_all(&line.bytes);
            if line.closes {
                let _ = stream.shutdown(Shutdown::Write);
            }
            continue;
        }
        let body = good(&target);
        let length = body.len();
        let body = if head { "" } else { &body };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        let _ = writer.write_all(answer.as_bytes());
    }
}

/// The target, and whether the method is HEAD. The requests of these tests have no bodies.
fn read_head(reader: &mut impl BufRead) -> Option<(String, bool)> {
    let mut target = None;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        match &target {
            None => {
                let word = line.split(' ').nth(1).unwrap_or_default().to_owned();
                target = Some((word, line.starts_with("HEAD ")));
            }
            Some(_) if line.is_empty() => return target,
            Some(_) => {}
        }
    }
}

//! A client that sends or takes a body too slowly is ended; nobody else is, however long it takes.

use std::io::ErrorKind;
use std::time::Duration;

use crate::rig::{End, Gatehouse, Origin, SOON, Wire, now, until_moment};

/// More than anybody here reads.
const LONG_BODY: usize = 1 << 30;

/// So long a client is not judged.
const GRACE: u64 = 30;

/// What the kernel took for a reader at the beginning is forgotten so much later.
const BURST: u64 = 15;

/// Sends a body that nobody reads to its end, until the connection is ended from there.
fn pour(mut server: Wire) {
    let _ = server.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG_BODY}\r\n\r\n"));
    loop {
        match server.try_send([b'x'; 1 << 16]) {
            // A reader that is no quicker.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
            Ok(()) => {}
        }
    }
}

/// A proxy, and who is served by it at the same time.
struct Stage {
    gatehouse: Gatehouse,
    _origin: Origin,
    slow_upload: Wire,
    slow_readers: Vec<Wire>,
    upload: Wire,
    reader: Wire,
    poll: Wire,
    polled: Wire,
    servers: Vec<Wire>,
}

impl Stage {
    fn open(limits: &str) -> Self {
        let origin = Origin::new();
        let gatehouse = Gatehouse::publish(
            &[origin.port()],
            &format!("[limits]\n{limits}\n[workers]\ncount = 2\n"),
        );
        let mut servers = Vec::new();
        let mut upload = |mut client: Wire| {
            client.send("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\na");
            let mut server = origin.accept();
            server.head();
            servers.push(server);
            client
        };
        let slow_upload = upload(gatehouse.secure_client());
        let quick_upload = upload(gatehouse.client());
        let download = |mut client: Wire| {
            client.send("GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n");
            let mut server = origin.accept();
            server.head();
            std::thread::spawn(move || pour(server));
            client.head();
            client
        };
        let room = Some(128 << 10);
        let narrow = |port| gatehouse.connect_from(port, 2, room);
        let slow_readers = vec![
            download(Wire::plain(narrow(gatehouse.http))),
            download(Wire::secure(narrow(gatehouse.https), crate::rig::trusting(), "a.test")),
        ];
        let reader = download(Wire::plain(narrow(gatehouse.http)));
        let mut poll = gatehouse.client();
        poll.send("GET /poll HTTP/1.1\r\nHost: a.test\r\n\r\n");
        let mut polled = origin.accept();
        polled.head();
        Self {
            gatehouse,
            _origin: origin,
            slow_upload,
            slow_readers,
            upload: quick_upload,
            reader,
            poll,
            polled,
            servers,
        }
    }

    /// What is quick enough.
    fn second(&mut self) {
        self.upload.send([b'a'; 700]);
        self.reader.read(100_000);
    }
}

#[test]
fn who_is_too_slow_is_ended() {
    let mut strict = Stage::open("client_rate_min = \"500B/s\"");
    let mut lax = Stage::open("client_rate_min = \"off\"");
    let start = now();
    for second in 1..=GRACE + BURST + 2 {
        strict.second();
        lax.second();
        until_moment(start + Duration::from_secs(second));
        match second {
            ..GRACE => {
                strict.slow_upload.send("a");
                lax.slow_upload.send("a");
            }
            GRACE => {
                let answer = strict.slow_upload.answer();
                assert_eq!(answer.status(), 408, "{}", answer.head);
                assert!(start.elapsed() >= Duration::from_secs(GRACE), "before its time");
            }
            _ => lax.slow_upload.send("a"),
        }
    }
    for mut reader in strict.slow_readers {
        assert_eq!(reader.rest().1, End::Reset, "what it got must not be taken for whole");
    }
    let records = strict.gatehouse.records(3);
    let mut failures: Vec<_> = records.iter().map(|record| record["failure"].clone()).collect();
    failures.sort_by_key(ToString::to_string);
    assert_eq!(failures, ["client_slow_body", "client_slow_reader", "client_slow_reader"]);

    // The others go on.
    for (upload, reader) in [(strict.upload, strict.reader), (lax.upload, lax.reader)] {
        let (mut upload, mut reader) = (upload, reader);
        upload.expect_nothing_yet();
        reader.read(100_000);
    }
    for (mut polled, mut poll) in [(strict.polled, strict.poll), (lax.polled, lax.poll)] {
        polled.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        assert_eq!(poll.answer().text(), "ok");
    }
    lax.slow_upload.expect_nothing_yet();
    for mut reader in lax.slow_readers {
        reader.read(100_000);
    }
    drop((strict.servers, lax.servers));
}

/// The kernel asks for more only when much of what it holds has gone; a client that takes little at
/// a time is not silent meanwhile. One that takes nothing is.
#[test]
fn who_takes_a_little_is_not_silent() {
    let origin = Origin::new();
    let more = "[timeouts]\nclient_write_idle = \"2s\"\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], more);
    let mut client = Wire::plain(gatehouse.connect_from(gatehouse.http, 2, Some(16 << 10)));
    client.send("GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut server = origin.accept();
    server.head();
    std::thread::spawn(move || pour(server));
    client.head();
    let start = now();
    for step in 1..=45 {
        client.read(2048);
        until_moment(start + Duration::from_millis(100 * step));
    }
    let stopped = now();
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["failure"], "client_slow_reader", "{record}");
    assert!(stopped.elapsed() < SOON, "{:?}", stopped.elapsed());
    assert_eq!(client.rest().1, End::Reset);
}

//! A WebSocket through the proxy is the same as without it: every byte and every end that either
//! side sees. The proxy knows no frames, so wrong ones pass too.

use std::path::Path;
use std::thread;
use std::time::Duration;

use gatehouse::{config, control};

use crate::rig::websocket::{
    BINARY, CLOSE, FIN, Manner, PING, Seen, TEXT, accept, fields, frame, read_frames, serve,
};
use crate::rig::{
    End, Gatehouse, Kind, Origin, SOON, Wire, free_port, leaf, now, until, until_moment,
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn asked() -> String {
    format!(
        "GET /chat HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: chat, echo\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )
}

/// What a client does, one after the other.
#[derive(Clone)]
enum Step {
    /// With one write.
    Send(Vec<u8>),
    /// A write for each byte.
    Drip(Vec<u8>),
    /// Reads so many frames.
    Hear(usize),
    /// Waits until the server has ended its direction.
    HearEnd,
    /// Ends its own direction.
    End,
    /// Breaks the connection.
    Reset,
}
use Step::{Drip, End as EndOurs, Hear, HearEnd, Reset, Send};

fn masked(first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    frame(first, payload, Some(MASK))
}

fn text(payload: &str) -> Vec<u8> {
    masked(FIN | TEXT, payload)
}

fn binary(length: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
    masked(FIN | BINARY, payload)
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    masked(FIN | CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// Asks, with `early` in the same write, and does what `steps` say; then hears the rest.
fn ask(mut wire: Wire, early: &[u8], steps: &[Step]) -> Seen {
    wire.send([asked().as_bytes(), early].concat());
    let head = wire.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let fields = fields(&head);
    assert_eq!(fields[0], format!("sec-websocket-accept: {}", accept(KEY)));
    let mut bytes = Vec::new();
    let mut end = None;
    for step in steps {
        match step {
            Send(written) => wire.send(written),
            Drip(written) => written.chunks(1).for_each(|byte| wire.send(byte)),
            Hear(count) => read_frames(&mut wire, *count, &mut bytes),
            HearEnd => end = Some(hear_rest(&mut wire, &mut bytes)),
            EndOurs => wire.end(),
            Reset => {
                wire.reset();
                return Seen { fields, bytes, end: End::Reset };
            }
        }
    }
    let end = end.unwrap_or_else(|| hear_rest(&mut wire, &mut bytes));
    wire.end();
    Seen { fields, bytes, end }
}

fn hear_rest(wire: &mut Wire, bytes: &mut Vec<u8>) -> End {
    let (rest, end) = wire.rest();
    bytes.extend(rest);
    end
}

/// What both sides see over `wire`: the client, the server.
fn play(
    origin: &Origin,
    wire: Wire,
    manner: Manner,
    (early, steps): &(Vec<u8>, Vec<Step>),
) -> (Seen, Seen) {
    thread::scope(|scope| {
        let server = scope.spawn(|| serve(origin.accept(), manner));
        let client = ask(wire, early, steps);
        (client, server.join().unwrap())
    })
}

struct Ways {
    origin: Origin,
    gatehouse: Gatehouse,
    /// For TLS on both legs.
    secure: (Origin, Gatehouse),
}

impl Ways {
    fn new() -> Self {
        let origin = Origin::new();
        let gatehouse = Gatehouse::publish(&[origin.port()], "");
        let secure = Origin::secure(leaf(&["origin.test"], Kind::Ecdsa).server());
        let published = Gatehouse::publish_secure(&[secure.port()], "");
        Self { origin, gatehouse, secure: (secure, published) }
    }

    #[track_caller]
    fn check(&self, name: &str, manner: Manner, early: &[u8], steps: &[Step]) -> (Seen, Seen) {
        let script = (early.to_vec(), steps.to_vec());
        let direct = std::net::TcpStream::connect(("127.0.0.1", self.origin.port())).unwrap();
        let direct = play(&self.origin, Wire::plain(direct), manner, &script);
        let (origin, gatehouse) = (&self.origin, &self.gatehouse);
        for (way, origin, wire) in [
            ("plain", origin, gatehouse.client()),
            ("TLS in front", origin, gatehouse.secure_client()),
            ("TLS on both legs", &self.secure.0, self.secure.1.secure_client()),
        ] {
            let through = play(origin, wire, manner, &script);
            for (side, seen, expected) in
                [("client", &through.0, &direct.0), ("server", &through.1, &direct.1)]
            {
                assert_eq!(seen.fields, expected.fields, "{name}, {way}: the {side}");
                assert_eq!(seen.end, expected.end, "{name}, {way}: the {side}");
                assert!(seen.bytes == expected.bytes, "{name}, {way}: the {side} differs");
            }
        }
        direct
    }
}

/// The key and its answer that stand in RFC 6455 section 1.3.
#[test]
fn the_proof_of_the_protocol() {
    assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn frames_of_every_kind_are_the_same_as_direct() {
    let ways = Ways::new();
    let bye = close(1000, "");
    let parts = [masked(TEXT, "one "), masked(0, "two "), masked(FIN, "three")].concat();
    let ping = masked(FIN | PING, "are you there?");
    let with_pings =
        [masked(TEXT, "one "), ping.clone(), masked(0, "two"), ping.clone(), masked(FIN, "")]
            .concat();
    for (name, sent, frames) in [
        ("text", text("hello"), 1),
        ("text beyond ASCII", text("κόσμε 🌍"), 1),
        ("binary", binary(20), 1),
        ("a ping", ping, 1),
        ("a pong that nobody asked for", masked(FIN | 10, "x"), 1),
        ("fragments", parts, 3),
        ("fragments with pings between", with_pings, 5),
        ("an empty text", text(""), 1),
        ("an empty binary", binary(0), 1),
        ("an empty ping", masked(FIN | PING, ""), 1),
        ("several in one write", [text("a"), binary(300), text("b"), text("c")].concat(), 4),
        ("125 bytes", binary(125), 1),
        ("126 bytes", binary(126), 1),
        ("65535 bytes", binary(65_535), 1),
        ("65536 bytes", binary(65_536), 1),
        ("1 MiB", binary(1 << 20), 1),
    ] {
        let steps = [Send(sent.clone()), Hear(frames), Send(bye.clone())];
        let (client, server) = ways.check(name, Manner::Usual, b"", &steps);
        assert!(server.bytes == [&sent[..], &bye].concat(), "{name}: the server got what was sent");
        assert_eq!((client.end, server.end), (End::Closed, End::Closed), "{name}");
        if sent.len() < 500 {
            let steps = [Drip(sent.clone()), Hear(frames), Drip(bye.clone())];
            ways.check(&format!("{name}, byte by byte"), Manner::Usual, b"", &steps);
        }
        // What follows the request in the same write arrives behind the agreement.
        let steps = [Hear(frames), Send(bye.clone())];
        if sent.len() < 10_000 {
            ways.check(&format!("{name}, right behind the request"), Manner::Usual, &sent, &steps);
        }
    }
}

#[test]
fn closing_is_the_same_as_direct() {
    let ways = Ways::new();
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        let steps = [Send(text("x")), Hear(1), Send(close(code, ""))];
        ways.check(&format!("code {code}"), Manner::Usual, b"", &steps);
    }
    let reason = "r".repeat(123);
    for (name, sent) in [
        ("no code", masked(FIN | CLOSE, "")),
        ("a reason", close(1000, "the reason, κόσμε")),
        ("the longest reason", close(1000, &reason)),
        ("a code that nobody knows", close(65_535, "")),
        ("half a code", masked(FIN | CLOSE, "x")),
    ] {
        ways.check(name, Manner::Usual, b"", &[Send(sent)]);
    }
}

#[test]
fn wrong_frames_pass_and_the_server_judges_them() {
    let ways = Ways::new();
    for (name, sent) in [
        ("reserved bit 1", masked(FIN | 0x40 | TEXT, "x")),
        ("reserved bit 2", masked(FIN | 0x20 | TEXT, "x")),
        ("reserved bit 3", masked(FIN | 0x10 | BINARY, "x")),
        ("no mask", frame(FIN | TEXT, "x", None)),
        ("text that is no UTF-8", masked(FIN | TEXT, b"\xce\xba\xff\xed\xa0\x80")),
    ] {
        let (client, server) = ways.check(name, Manner::Usual, b"", &[Send(sent.clone())]);
        assert_eq!(client.bytes[0], FIN | CLOSE, "{name}: {client:?}");
        assert!(server.bytes == sent, "{name}");
    }
}

#[test]
fn ends_of_halves_are_the_same_as_direct() {
    let ways = Ways::new();
    let steps = [Send(text("a question")), EndOurs];
    let (client, _) = ways.check("the client ends first", Manner::Usual, b"", &steps);
    assert!(client.bytes.ends_with(b"a last word"), "{client:?}");
    let steps = [Send(text("a")), EndOurs, HearEnd];
    ways.check("without waiting", Manner::Usual, &text("early"), &steps);
    let later = [text("b"), binary(70_000), text("c")].concat();
    let steps = [Send(text("a")), HearEnd, Send(later.clone()), EndOurs];
    let (_, server) = ways.check("the server ends first", Manner::EndsFirst, b"", &steps);
    assert!(server.bytes.ends_with(&later), "what a client says after that arrives");
    let half = masked(FIN | BINARY, [7; 100]);
    let steps = [Send(half[..50].to_vec()), EndOurs];
    ways.check("within a frame", Manner::Usual, b"", &steps);
}

#[test]
fn a_connection_that_breaks_breaks_on_the_other_side() {
    let ways = Ways::new();
    let steps = [Send(text("a")), Hear(1), Reset];
    let (_, server) = ways.check("the client breaks it", Manner::Usual, b"", &steps);
    assert_eq!(server.end, End::Reset);
    let steps = [Send(text("a")), Hear(1), Send(text("break it"))];
    let (client, _) = ways.check("the server breaks it", Manner::Resets, b"", &steps);
    assert_eq!(client.end, End::Reset);
}

/// One tunnel whose one end speaks for longer than the time, and then no more.
fn speak_then_rest(mut client: Wire, mut server: Wire, how: (bool, bool)) {
    let (client_speaks, half_closed) = how;
    let (speaks, hears) =
        if client_speaks { (&mut client, &mut server) } else { (&mut server, &mut client) };
    if half_closed {
        hears.end();
        assert_eq!(speaks.expect_end(), End::Closed);
    }
    for _ in 0..15 {
        until_moment(now() + Duration::from_millis(100));
        speaks.send("x");
        hears.expect("x");
    }
    let silent = now();
    assert_eq!(hears.expect_end(), End::Closed, "{how:?}");
    let waited = silent.elapsed();
    assert!(waited > Duration::from_millis(900), "{how:?} {waited:?}");
    assert!(waited < SOON, "{how:?} {waited:?}");
    speaks.rest();
}

#[test]
fn bytes_in_one_direction_keep_a_tunnel_and_silence_in_both_ends_it() {
    let origin = Origin::new();
    let idle = "[timeouts]\ntunnel_idle = \"1s\"\n";
    let gatehouse = Gatehouse::publish(&[origin.port()], idle);
    thread::scope(|scope| {
        for how in [(true, true), (true, false), (false, true), (false, false)] {
            let mut client = gatehouse.client();
            client.send(asked());
            let mut server = origin.accept();
            server.head();
            server.send("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
            client.head();
            scope.spawn(move || speak_then_rest(client, server, how));
        }
    });
}

#[test]
fn the_log_says_what_a_tunnel_has_carried() {
    let origin = Origin::new();
    let gatehouse = Gatehouse::publish(&[origin.port()], "");
    let sent = [text("hello"), binary(100_000), close(1000, "")].concat();
    let steps = [Send(sent.clone())];
    let (client, _) =
        play(&origin, gatehouse.client(), Manner::Usual, &(Vec::new(), steps.to_vec()));
    let record = &gatehouse.records(1)[0];
    assert_eq!(record["status"], 101, "{record}");
    assert!(record["failure"].is_null(), "{record}");
    assert_eq!(record["bytes_in"], (asked().len() + sent.len()) as u64, "{record}");
    let out = record["bytes_out"].as_u64().unwrap();
    let head = out.checked_sub(client.bytes.len() as u64);
    assert!(head.is_some_and(|head| (100..300).contains(&head)), "{record}");
}

/// In this process, since nobody else can ask for its counters yet.
#[test]
fn a_tunnel_is_counted_while_it_is_open() {
    let (origin, port) = (Origin::new(), free_port());
    let text = format!(
        "[workers]\ncount = 1\n[adapter.external]\naddresses = [\"127.0.0.1\"]\n\
         [adapter.internal]\naddresses = [\"127.0.0.1\"]\n[listener.http]\nport = {port}\n\
         [pool.origin]\nservers = [\"127.0.0.1:{}\"]\n[site.a]\nnames = [\"a.test\"]\n\
         listeners = [\"http\"]\n[[site.a.rule]]\npath = \"/\"\npool = \"origin\"\n\
         [log]\naccess = \"off\"\n",
        origin.port()
    );
    let config =
        config::read(Path::new("gatehouse.toml"), &|_: &Path| Ok(text.clone().into_bytes()), 0);
    let running = control::start(config.unwrap().0, control::Settings::default()).unwrap();
    let tunnels = || {
        let counts = running.counts();
        (counts.tunnels, counts.tunnels_ended)
    };
    for number in 0..2 {
        assert_eq!(tunnels(), (number, number));
        let mut client = Wire::plain(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        client.send(asked());
        let server = origin.accept();
        let serving = thread::spawn(move || serve(server, Manner::Usual));
        client.head();
        until("a tunnel is open", || (tunnels() == (number + 1, number)).then_some(()));
        client.send(close(1000, ""));
        client.rest();
        client.end();
        until("the tunnel has ended", || (tunnels() == (number + 1, number + 1)).then_some(()));
        serving.join().unwrap();
    }
    running.stop(|| true);
}

use super::super::*;

/// A small xorshift generator; the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }
}

const REQUESTS: [&[u8]; 5] = [
    b"GET /a/b?c=d HTTP/1.1\r\nHost: webext.contoso.com\r\nUser-Agent: x\r\nCookie: a=b\r\n\r\n",
    b"POST http://a:80/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n",
    b"PUT / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\nConnection: keep-alive, x\r\nX: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM x\r\nX-Forwarded-For: b\r\n\r\n",
];

const ANSWERS: [&[u8]; 4] = [
    b"0HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer: x\r\nDate: y\r\n\r\nhello",
    b"4HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\nX: y\r\n\r\n",
    b"1HTTP/1.0 401\r\nWWW-Authenticate: Negotiate\r\nWWW-Authenticate: NTLM\r\n\r\n",
    b"2HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
];

const BODIES: [&[u8]; 3] = [
    b"5\r\nhello\r\n0\r\n\r\n",
    b"5;a=b\r\nhello\r\n00\r\nX: y\r\nHost: z\r\n\r\n",
    b"1f\r\n0123456789012345678901234567890\r\n1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
];

/// Pieces that heads and bodies are made of, and some that they must not be made of.
const PIECES: [&[u8]; 34] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\0",
    b"\x7f",
    b"\xff",
    b"#",
    b"*",
    b"/",
    b"Host: b\r\n",
    b"Content-Length: 3\r\n",
    b"Content_Length: 3\r\n",
    b"\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: host, x\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\n",
    b"Connection: upgrade\r\n",
    b"HTTP/1.0",
    b"http://a",
    b"CONNECT ",
    b"Forwarded: x\r\n",
    b"0\r\n",
    b"ffffffffffffffff",
    b"+5\r\n",
    b"5\r\n",
    b"X : y\r\n",
];

fn mutate(dice: &mut Dice, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        let length = dice.roll(bytes.len() - at + 1).min(dice.roll(40));
        match dice.roll(8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let copy = bytes[at..at + length].to_vec();
                let to = dice.roll(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            3 if at < bytes.len() => bytes[at] = dice.roll(256) as u8,
            4 if at < bytes.len() => bytes[at] ^= 0x20,
            5 => {
                // Whole lines change places.
                let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let (one, other) = (dice.roll(lines.len()), dice.roll(lines.len()));
                if one != other {
                    lines.swap(one, other);
                }
                bytes = lines.concat();
            }
            6 => {
                // At the start of a line.
                let line = memchr::memchr(b'\n', &bytes[at..]).map_or(at, |end| at + end + 1);
                bytes.splice(line..line, PIECES[dice.roll(PIECES.len())].iter().copied());
            }
            _ => drop(bytes.splice(at..at, PIECES[dice.roll(PIECES.len())].iter().copied())),
        }
    }
    bytes
}

fn rounds() -> usize {
    let asked = std::env::var("GATEHOUSE_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(100_000)
}

fn run(seeds: &[&[u8]], dice: u64, judge: fn(&[u8])) {
    let mut dice = Dice(dice);
    for seed in seeds {
        judge(seed);
    }
    for _ in 0..rounds() {
        let seed = seeds[dice.roll(seeds.len())];
        let input = mutate(&mut dice, seed);
        let judged = std::panic::catch_unwind(|| judge(&input));
        assert!(judged.is_ok(), "{}", input.escape_ascii());
    }
}

#[test]
fn mutated_requests() {
    run(&REQUESTS, 0x9e37_79b9, fuzz_request);
}

#[test]
fn mutated_answers() {
    run(&ANSWERS, 0x85eb_ca6b, fuzz_response);
}

#[test]
fn mutated_bodies() {
    run(&BODIES, 0xc2b2_ae35, fuzz_chunked);
}

//! What must hold for any bytes at all, as one list: `fuzz_*` functions that stand beside the code
//! that they judge, and panic when something does not hold.
//!
//! Each has three callers: a seeded loop of `cargo test` that changes the inputs of
//! `tests/fuzz/corpus` a little, a test that replays those inputs as they are, and libFuzzer, which
//! looks for what they do not reach: `tests/fuzz/run`. Nothing of this is in the product.

#[cfg(test)]
mod tests;

/// One property of any bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of inputs.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub judge: fn(&[u8]),
    /// How many changed inputs `cargo test` tries, usually: what takes about half a second.
    pub rounds: usize,
    /// What inputs are made of, beside what is in the folder.
    pub pieces: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: [Target; 15] = [
    Target { name: "request", judge: crate::http::fuzz_request, rounds: 20_000, pieces: HTTP },
    Target { name: "response", judge: crate::http::fuzz_response, rounds: 20_000, pieces: HTTP },
    Target { name: "answer", judge: crate::http::fuzz_answer, rounds: 5_000, pieces: HTTP },
    Target { name: "chunked", judge: crate::http::fuzz_chunked, rounds: 20_000, pieces: HTTP },
    Target { name: "target", judge: crate::http::fuzz_target, rounds: 20_000, pieces: PATHS },
    Target { name: "path", judge: crate::site::fuzz_path, rounds: 20_000, pieces: PATHS },
    Target { name: "rule", judge: crate::site::fuzz_rule, rounds: 5_000, pieces: PATHS },
    Target { name: "host", judge: crate::site::fuzz_host, rounds: 20_000, pieces: PATHS },
    Target { name: "dns", judge: crate::dns::fuzz_dns, rounds: 10_000, pieces: DNS },
    Target { name: "names", judge: crate::dns::fuzz_names, rounds: 2_000, pieces: DNS },
    Target { name: "record", judge: crate::observe::fuzz_record, rounds: 10_000, pieces: HTTP },
    Target { name: "greeting", judge: crate::tls::fuzz_greeting, rounds: 500, pieces: TLS },
    Target { name: "pieces", judge: crate::tls::fuzz_pieces, rounds: 200, pieces: TLS },
    Target { name: "flight", judge: crate::tls::survey::fuzz_flight, rounds: 2_000, pieces: TLS },
    Target { name: "config", judge: crate::config::fuzz_config, rounds: 1_500, pieces: TOML },
];

/// Pieces that heads and bodies are made of, and some that they must not be made of.
const HTTP: &[&[u8]] = &[
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
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"http://a",
    b"CONNECT ",
    b"Forwarded: x\r\n",
    b"0\r\n",
    b"ffffffffffffffff",
    b"+5\r\n",
    b"5\r\n",
    b"X : y\r\n",
];

/// What targets, paths and hosts are made of.
const PATHS: &[&[u8]] = &[
    b"/",
    b"//",
    b"/a",
    b"a",
    b"A",
    b"c.d",
    b".",
    b"..",
    b"/../",
    b" ",
    b";",
    b";x",
    b"\\",
    b"%2f",
    b"%5C",
    b"%61",
    b"%41",
    b"%2e",
    b"%25",
    b"%2561",
    b"%252f",
    b"%u0061",
    b"%u002f",
    b"%25u0061",
    b"%",
    b"%u",
    b"%00",
    b"\x01",
    b"\xc3\xa9",
    b"?",
    b"#",
    b"%3b",
    b"%20",
    b"%uD83D%uDE00",
    b"\n",
    b"http://",
    b"https://",
    b"[::1]",
    b":443",
    b":80",
    b"*",
    b"a.test",
    b"[",
    b"]",
    b":",
];

/// What messages of DNS are made of: names, types, classes, pointers.
const DNS: &[&[u8]] = &[
    b"\xc0\x0c",
    b"\xc0\xff",
    b"\x04fe01\x04test\0",
    b"\x04FE02\x04test\0",
    b"\0\x01\0\x01",
    b"\0\x05\0\x01",
    b"\0\x1c\0\x01",
    b"\0\x06\0\x01",
    b"\0\0\0\x09\0\x04\x0a\0\0\x01",
    b"\xff\xff\xff\xff",
    b"\0",
    b"\x3f",
    b"\x40",
    b"\x1f",
];

/// What records are made of: kinds, versions, alerts.
const TLS: &[&[u8]] = &[
    b"\x16\x03\x01",
    b"\x16\x03\x03",
    b"\x17\x03\x03",
    b"\x14\x03\x03\0\x01\x01",
    b"\x15\x03\x03\0\x02\x02\x28",
    b"\x15\x03\x03\0\x02\x01\0",
    b"\x03\x04",
    b"\0\0",
    b"\0",
    b"\xff\xff",
    b"\x0e",
    b"\x0f",
];

/// What the operator's files are made of, and some of what they must not be made of.
const TOML: &[&[u8]] = &[
    b"\n",
    b"[",
    b"]",
    b"\"",
    b"\"\"\"",
    b"'",
    b"{ ",
    b" }",
    b" = ",
    b".",
    b", ",
    b"#",
    b"\0",
    b"\x1b[2J",
    b"\xe2\x80\xae",
    b"\xc2\x9b",
    b"\\u0007",
    b"\xff",
    b"\r\n",
    b"\t",
    b"~~~ file conf.d/a.toml\n",
    b"include = [\"conf.d/*.toml\"]\n",
    b"[pool.a]\n",
    b"servers = [\"10.0.0.1:80\"]\n",
    b"[site.a]\n",
    b"names = [\"a.com\"]\n",
    b"[[site.a.rule]]\n",
    b"path = \"/\"\n",
    b"[listener.a]\n",
    b"port = 443\n",
    b"[timeouts]\n",
    b"connect = \"5s\"\n",
    b"[limits]\n",
    b"fields_max = 9\n",
    b"0x7f",
    b"-1",
    b"1e400",
    b"2027-01-01",
    b"true",
    b"\"auto\"",
    b"\"none\"",
];

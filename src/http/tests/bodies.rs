use super::super::*;

/// Decodes at every step size; expected is the content, `|`, then `end` and the trailers, `more`,
/// or the reason's word.
#[track_caller]
fn check(input: &[u8], expected: &str) {
    for step in 1..=input.len() {
        let shown = input.escape_ascii();
        assert_eq!(decode(input, step), expected, "{shown} fed {step} bytes at a time");
    }
    fuzz_chunked(input);
}

fn decode(input: &[u8], step: usize) -> String {
    let mut chunked = Chunked::new();
    let mut data = Vec::new();
    for piece in input.chunks(step) {
        let mut buffer = piece.to_vec();
        match chunked.decode(&mut buffer) {
            Err(why) => return why.word().to_owned(),
            Ok(decoded) => {
                data.extend_from_slice(&buffer[..decoded.data]);
                if decoded.end {
                    let trailers = chunked.trailers().escape_ascii();
                    return format!("{}|end{trailers}", data.escape_ascii());
                }
            }
        }
    }
    format!("{}|more", data.escape_ascii())
}

#[test]
fn chunks() {
    check(b"5\r\nhello\r\n0\r\n\r\n", "hello|end");
    check(b"5\r\nhello\r\n00006\r\n world\r\n000\r\n\r\nnext", "hello world|end");
    check(b"0\r\n\r\n", "|end");
    check(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789|end");
    check(b"5\r\nhel", "hel|more");
    check(b"5\r\nhello", "hello|more");
    check(b"0\r\n", "|more");
    check(b"ffffffffffffffff\r\nx", "x|more");
    check(b"0000000000000001\r\nx\r\n0\r\n\r\n", "x|end");
    for bad in [
        "\r\n",
        "x\r\n",
        " 5\r\n",
        "5 \r\n",
        "\t5\r\n",
        "+5\r\n",
        "-5\r\n",
        "0x5\r\n",
        "5_0\r\n",
        "5h\r\n",
        ";x\r\n",
        "\n",
        "\u{665}\r\n",
        "5,5\r\n",
        "5.\r\n",
        "5\0\r\n",
        "5 ;x\r\n",
    ] {
        check(bad.as_bytes(), "chunk_size");
    }
    check(b"10000000000000000\r\n", "chunk_size_overflow");
    check(b"00000000000000001\r\n", "chunk_size_overflow");
    check(b"5\nhello", "line_end");
    check(b"5\rhello", "line_end");
    check(b"5\r\rhello", "line_end");
    check(b"5\r\nhelloX", "chunk_not_closed");
    check(b"5\r\nhello\n0\r\n\r\n", "chunk_not_closed");
    check(b"5\r\nhello\r0\r\n\r\n", "chunk_not_closed");
    check(b"4\r\nhello\r\n", "chunk_not_closed");
    check(b"6\r\nhello\r\n0\r\n\r\n", "chunk_not_closed");
    check(b"0\r\n\n", "line_end");
    check(b"0\r\n\rx", "line_end");
    check(b"0\n\n", "line_end");
}

#[test]
fn extensions() {
    check(b"5;a=b;c=\"d e\"\t\r\nhello\r\n0;x\r\n\r\n", "hello|end");
    check(b"5;\r\nhello\r\n0\r\n\r\n", "hello|end");
    check(b"5;a\nhello", "line_end");
    check(b"5;a\rb", "line_end");
    check(b"5;a\0\r\n", "chunk_extension");
    check(b"5;a\x7f\r\n", "chunk_extension");
    check(b"5;a\x80\r\n", "chunk_extension");
    let line = |length: usize| [b"0;".as_slice(), &vec![b'x'; length - 2], b"\r\n\r\n"].concat();
    assert_eq!(decode(&line(4096), 100), "|end");
    assert_eq!(decode(&line(4097), 100), "chunk_line_too_long");
}

#[test]
fn trailers() {
    check(b"0\r\nX-Sum: 1\r\ny:2\r\n\r\n", "|endX-Sum: 1\\r\\ny:2\\r\\n");
    for forbidden in [
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Host: b",
        "Connection: close",
        "Authorization: NTLM x",
        "Cookie: x",
        "Set-Cookie: x",
        "Content-Type: x",
        "Trailer: x",
        "Content-Encoding: x",
        "Content-Range: x",
        "Expect: 100-continue",
        "TE: x",
        "Cache-Control: x",
        "X-Forwarded-For: x",
        "x_real_ip: x",
        "Content_Length: 5",
        "WWW-Authenticate: NTLM",
        "Proxy-Authorization: x",
        "Upgrade: x",
        "Age: 5",
    ] {
        check(format!("0\r\n{forbidden}\r\nA: b\r\n\r\n").as_bytes(), "|endA: b\\r\\n");
    }
    check(b"0\r\n A: b\r\n\r\n", "field_folded");
    check(b"0\r\nA: b\r\n c\r\n\r\n", "field_folded");
    check(b"0\r\nA : b\r\n\r\n", "field_name");
    check(b"0\r\nA\r\n\r\n", "field_name");
    check(b"0\r\n: b\r\n\r\n", "field_name");
    check(b"0\r\nA: \0\r\n\r\n", "field_value");
    check(b"0\r\nA: b\n\r\n", "line_end");
    check(b"0\r\nA: b\rc\r\n", "line_end");
    check(b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "field_name");
    let many = |count| [b"0\r\n".as_slice(), &b"A: b\r\n".repeat(count), b"\r\n"].concat();
    assert!(decode(&many(32), 7).starts_with("|end"));
    assert_eq!(decode(&many(33), 7), "trailers_too_many");
    let long = |bytes: usize| [b"0\r\nA:".as_slice(), &vec![b'x'; bytes], b"\r\n\r\n"].concat();
    assert!(decode(&long(8188), 9).starts_with("|end"));
    assert_eq!(decode(&long(8189), 9), "trailers_too_long");
    assert_eq!(decode(&long(9000), 9), "trailers_too_long");
}

#[test]
fn size_lines() {
    for (length, expected) in [
        (0, "0\r\n"),
        (9, "9\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (65_535, "ffff\r\n"),
        (usize::MAX, "ffffffffffffffff\r\n"),
    ] {
        assert_eq!(chunk_size_line(length, &mut [0; 18]), expected.as_bytes());
    }
}

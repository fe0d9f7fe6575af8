use super::super::*;
use super::small;

const GET: ResponseTo = ResponseTo { method: Method::Get, upgrade_sent: false };
const HEAD: ResponseTo = ResponseTo { method: Method::Head, upgrade_sent: false };
const UPGRADE: ResponseTo = ResponseTo { method: Method::Get, upgrade_sent: true };

#[track_caller]
fn check(to: ResponseTo, input: &[u8], expected: &str) {
    let shown = input.escape_ascii();
    assert_eq!(judge(to, input), expected, "{shown}");
    for cut in 0..input.len() {
        let prefix = judge(to, &input[..cut]);
        assert!(prefix == "more" || prefix == expected, "{shown} cut at {cut}: {prefix}");
    }
}

fn judge(to: ResponseTo, input: &[u8]) -> String {
    match parse_response(input, &mut Slots::new(), &small(), to) {
        Ok(Parsed::NeedMore) => "more".into(),
        Err(why) => why.word().into(),
        Ok(Parsed::Complete(head)) => {
            let facts = head.facts;
            let flags = [
                (!facts.keep_alive, " close"),
                (facts.challenge, " challenge"),
                (facts.upgrade_websocket, " websocket"),
                (facts.date, " date"),
            ];
            let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
            format!("{} {:?}{flags}", facts.status, facts.framing)
        }
    }
}

/// A status line before a length of zero.
#[track_caller]
fn line(line: &[u8], expected: &str) {
    check(GET, &[line, b"\r\nContent-Length: 0\r\n\r\n"].concat(), expected);
}

/// Field lines of a 200.
#[track_caller]
fn fields(fields: &[u8], expected: &str) {
    check(GET, &[b"HTTP/1.1 200 OK\r\n", fields, b"\r\n\r\n"].concat(), expected);
}

#[test]
fn status_lines() {
    line(b"HTTP/1.1 200 OK", "200 Length(0)");
    line(b"HTTP/1.1 200 ", "200 Length(0)");
    line(b"HTTP/1.1 200", "200 Length(0)");
    line(b"HTTP/1.1 200  two  spaces\t\xff", "200 Length(0)");
    line(b"HTTP/1.0 404 Not Found", "404 Length(0) close");
    line(b"HTTP/1.1 599 x", "599 Length(0)");
    for broken in [
        "HTTP/1.1 099 x",
        "HTTP/1.1 600 x",
        "HTTP/1.1 999 x",
        "HTTP/1.1 20 x",
        "HTTP/1.1 2000 x",
        "HTTP/1.1 200x",
        "HTTP/1.1 2x0 x",
        "HTTP/1.1  200 x",
        "HTTP/1.1 200\tx",
        "HTTP/1.1 -20 x",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200 a\0b",
        "HTTP/1.1 200 a\x7fb",
        "HTTP/1.1",
        "HTTP/1.1 ",
        "HTTP/1.1200 OK",
    ] {
        line(broken.as_bytes(), "status_line");
    }
    line(b"HTTP/1.2 200 OK", "version_unsupported");
    line(b"HTTP/2 200", "version_unsupported");
    line(b"HTTP/0.9 200 OK", "version_invalid");
    line(b"http/1.1 200 OK", "version_invalid");
    line(b"HTTP/1 200 OK", "version_invalid");
    line(b"HTTPS/1.1 200 OK", "version_invalid");
    line(b" HTTP/1.1 200 OK", "version_invalid");
    line(b"\r\nHTTP/1.1 200 OK", "version_invalid");
    line(b"ICY 200 OK", "version_invalid");
    line(b"<html>", "version_invalid");
    line(b"HTTP/1.1 200 a\rb", "line_end");
    check(GET, b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "line_end");
    check(GET, b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "line_end");
    check(GET, b"HTTP/1.1 200\nContent-Length: 0\r\n\r\n", "line_end");
}

#[test]
fn framing() {
    fields(b"Content-Length: 5", "200 Length(5)");
    fields(b"Transfer-Encoding: chunked", "200 Chunked");
    fields(b"Date: x", "200 UntilClose close date");
    check(GET, b"HTTP/1.1 200 OK\r\n\r\n", "200 UntilClose close");
    fields(b"Content-Length: 5\r\nContent-Length: 5", "length_repeated");
    fields(b"Content-Length: 5, 5", "length_invalid");
    fields(b"Content-Length: -1", "length_invalid");
    fields(b"Content-Length: 5\r\nTransfer-Encoding: chunked", "length_with_coding");
    fields(b"Transfer-Encoding: gzip, chunked", "coding_unknown");
    fields(b"Transfer-Encoding: identity", "coding_unknown");
    fields(b"Transfer-Encoding: xchunked", "coding_invalid");
    fields(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "coding_repeated");
    check(GET, b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "coding_in_http10");
    check(GET, b"HTTP/1.1 204 x\r\n\r\n", "204 None");
    check(GET, b"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", "204 None");
    check(GET, b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n", "body_forbidden");
    check(GET, b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", "304 None");
    check(GET, b"HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", "304 None");
    check(HEAD, b"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\n", "200 None");
    check(HEAD, b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", "200 None");
    check(HEAD, b"HTTP/1.1 200 x\r\n\r\n", "200 None");
    check(
        HEAD,
        b"HTTP/1.1 200 x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "length_with_coding",
    );
    check(GET, b"HTTP/1.1 100 Continue\r\n\r\n", "100 None");
    check(GET, b"HTTP/1.1 103 x\r\nLink: y\r\nContent-Length: 0\r\n\r\n", "103 None");
    check(GET, b"HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\n", "body_forbidden");
    check(GET, b"HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n", "body_forbidden");
}

#[test]
fn field_lines() {
    fields(b"X: y\r\n z", "field_folded");
    fields(b"X : y", "field_name");
    fields(b": y", "field_name");
    fields(b"X", "field_name");
    fields(b"X\0: y", "field_name");
    fields(b"X: a\0", "field_value");
    fields(b"X: a\x1b[0m", "field_value");
    fields(b"X: a\rb", "line_end");
    fields(b"X: a\nSet-Cookie: b", "line_end");
    fields(b"Connection: Content-Length", "connection_names_framing");
    fields(b"Connection: a b", "connection_invalid");
    fields(&b"X: y\r\n".repeat(9), "fields_too_many");
    fields(format!("X: {}", "y".repeat(98)).as_bytes(), "field_too_long");
}

#[test]
fn challenges_and_upgrades() {
    let challenge = |value: &str, expected: &str| {
        let head = format!("HTTP/1.1 401 x\r\nContent-Length: 0\r\n{value}\r\n\r\n");
        check(GET, head.as_bytes(), expected);
    };
    challenge("WWW-Authenticate: NTLM", "401 Length(0) challenge");
    challenge("www-authenticate: negotiate x", "401 Length(0) challenge");
    challenge("WWW-Authenticate: Nego2", "401 Length(0) challenge");
    challenge("WWW-Authenticate: Basic realm=\"x\", NTLM", "401 Length(0) challenge");
    challenge("WWW-Authenticate: Basic\r\nWWW-Authenticate: Negotiate", "401 Length(0) challenge");
    // Every spelling, with and without a token, in every place.
    for scheme in ["NTLM", "ntlm", "nTlM", "Negotiate", "NEGOTIATE", "nego2", "Kerberos"] {
        for token in ["", " TlRMTVNTUAAC", " oYG2==", "\t x", " a=\"b\""] {
            for place in
                ["V", ",V", " , \tV", "V, Basic", "Basic realm=\"a, b\",V", "Digest a=b , V,"]
            {
                let value = place.replace('V', &format!("{scheme}{token}"));
                for before in ["", "WWW-Authenticate: Bearer\r\n", "X: 1\r\nWWW-Authenticate:\r\n"]
                {
                    for name in ["WWW-Authenticate", "www-authenticate", "WWW_Authenticate"] {
                        let lines = format!("{before}{name}:{value}");
                        challenge(&lines, "401 Length(0) challenge");
                    }
                }
            }
        }
    }
    for other in ["Basic", "Digest realm=NTLM", "Bearer", "XNTLM", "MsRtcOAuth", "NT LM", ""] {
        challenge(&format!("WWW-Authenticate: {other}"), "401 Length(0)");
    }
    challenge("Authentication-Info: NTLM", "401 Length(0)");
    challenge("WWW-Authenticate: Basic realm=NTLM", "401 Length(0)");
    challenge("X: NTLM", "401 Length(0)");
    fields(b"WWW-Authenticate: NTLM\r\nContent-Length: 0", "200 Length(0)");
    check(GET, b"HTTP/1.1 407 x\r\nContent-Length: 0\r\n\r\n", "proxy_auth_from_server");
    let good = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    check(UPGRADE, good, "101 None websocket");
    check(GET, good, "upgrade_unasked");
    let old = b"HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    check(UPGRADE, old, "upgrade_unasked");
    check(UPGRADE, b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n", "upgrade_unasked");
    check(
        UPGRADE,
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "upgrade_unasked",
    );
}

#[track_caller]
fn rewritten(to: ResponseTo, version: Version, keep_alive: bool, input: &str, expected: &str) {
    let mut slots = Slots::new();
    let limits = HeadLimits::default();
    let parsed = parse_response(input.as_bytes(), &mut slots, &limits, to);
    let Ok(Parsed::Complete(head)) = parsed else { panic!("{parsed:?}") };
    let mut out = Vec::new();
    let body = OutgoingBody::choose(&head.facts, version);
    write_response(&head, &AnswerPolicy { version, body, keep_alive }, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn rewriting() {
    use Version::{Http10, Http11};
    let same = "HTTP/1.1 200 Fine\r\nset-cookie:a\r\nSet-Cookie: b\r\nContent-Length: 3\r\n\r\n";
    rewritten(GET, Http11, true, same, same);
    rewritten(HEAD, Http11, true, same, same);
    let closed = same.replace("3\r\n\r\n", "3\r\nConnection: close\r\n\r\n");
    rewritten(GET, Http11, false, same, &closed);
    rewritten(GET, Http10, true, same, &closed.replace("close", "keep-alive"));
    rewritten(
        GET,
        Http11,
        true,
        "HTTP/1.0 200\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nA: b\r\nKeep-Alive: x\r\n\r\n",
        "HTTP/1.1 200 \r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    rewritten(
        GET,
        Http10,
        true,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n",
    );
    rewritten(
        GET,
        Http11,
        true,
        "HTTP/1.1 204 x\r\nContent-Length: 3\r\nProxy-Authenticate: NTLM\r\n\r\n",
        "HTTP/1.1 204 x\r\n\r\n",
    );
    rewritten(
        GET,
        Http11,
        false,
        "HTTP/1.1 103 Early\r\nLink: x\r\nUpgrade: y\r\n\r\n",
        "HTTP/1.1 103 Early\r\nLink: x\r\n\r\n",
    );
    rewritten(
        UPGRADE,
        Http11,
        false,
        "HTTP/1.1 101 x\r\nUpgrade: WEBSOCKET\r\nConnection: upgrade\r\nSec-WebSocket-Accept: y\r\n\r\n",
        "HTTP/1.1 101 x\r\nSec-WebSocket-Accept: y\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
}

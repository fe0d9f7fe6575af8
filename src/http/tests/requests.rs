use super::super::*;
use super::small;

/// Judges `input` at every length. What is expected is `more`, a reason's word, or
/// `method host path framing` and flags.
#[track_caller]
fn check(input: &[u8], expected: &str) {
    let shown = input.escape_ascii();
    let whole = judge(input);
    assert_eq!(whole, expected, "{shown}");
    for cut in 0..input.len() {
        let prefix = judge(&input[..cut]);
        assert!(prefix == "more" || prefix == expected, "{shown} cut at {cut}: {prefix}");
    }
}

fn judge(input: &[u8]) -> String {
    match parse_request(input, &mut Slots::new(), &small()) {
        Ok(Parsed::NeedMore) => "more".into(),
        Err(why) => why.word().into(),
        Ok(Parsed::Complete(head)) => {
            let facts = head.facts;
            let flags = [
                (!facts.keep_alive, " close"),
                (facts.expect_continue, " expect"),
                (facts.upgrade_websocket, " websocket"),
                (facts.credential == Credential::PerRequest, " per-request"),
                (facts.credential == Credential::Connection, " connection"),
            ];
            let flags: String = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
            format!(
                "{} {} {} {:?}{flags}",
                head.method.escape_ascii(),
                head.host.escape_ascii(),
                head.path.escape_ascii(),
                facts.framing
            )
        }
    }
}

/// A request line before a good rest.
#[track_caller]
fn line(line: &[u8], expected: &str) {
    check(&[line, b"\r\nHost: a\r\n\r\n"].concat(), expected);
}

/// Field lines behind a good start of a POST.
#[track_caller]
fn fields(fields: &[u8], expected: &str) {
    check(&[b"POST / HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n"].concat(), expected);
}

/// Field lines of a GET.
#[track_caller]
fn get(fields: &[u8], expected: &str) {
    check(&[b"GET / HTTP/1.1\r\nHost: a\r\n", fields, b"\r\n\r\n"].concat(), expected);
}

#[test]
fn request_lines() {
    line(b"GET /a?b=c HTTP/1.1", "GET a /a?b=c None");
    line(b"\r\nGET / HTTP/1.1", "GET a / None");
    line(b"get / HTTP/1.1", "get a / None");
    line(b"PROPFIND /x HTTP/1.1", "PROPFIND a /x None");
    line(b"RPC_IN_DATA /rpc/rpcproxy.dll HTTP/1.1", "RPC_IN_DATA a /rpc/rpcproxy.dll None");
    line(b"GET / HTTP/1.0", "GET a / None close");
    line(b"\r\n\r\nGET / HTTP/1.1", "line_end");
    line(b"\nGET / HTTP/1.1", "line_end");
    line(b"\r\rGET / HTTP/1.1", "line_end");
    line(b"\rGET / HTTP/1.1", "line_end");
    line(b" GET / HTTP/1.1", "method_invalid");
    line(b"GET  / HTTP/1.1", "start_line");
    line(b"GET /  HTTP/1.1", "version_missing");
    line(b"GET\t/ HTTP/1.1", "method_invalid");
    line(b"GET / HTTP/1.1 ", "start_line");
    line(b"GET / HTTP/1.1\t", "start_line");
    line(b"GET / HTTP/1.1x", "version_invalid");
    line(b"GET / x HTTP/1.1", "version_invalid");
    line(b"GET /a b HTTP/1.1", "version_invalid");
    line(b"G(T / HTTP/1.1", "method_invalid");
    line(b"G\0T / HTTP/1.1", "method_invalid");
    line(b"G\xc3\xa4T / HTTP/1.1", "method_invalid");
    line(b"GET", "start_line");
    line(b"GET /", "version_missing");
    line(b"GET / ", "version_missing");
    line(b"GET HTTP/1.1", "version_missing");
    line(b"CONNECT a:443 HTTP/1.1", "method_connect");
    line(b"TRACE / HTTP/1.1", "method_trace");
    line(
        &[[b'M'; 64].as_slice(), b" / HTTP/1.1"].concat(),
        &format!("{} a / None", "M".repeat(64)),
    );
    line(&[[b'M'; 65].as_slice(), b" / HTTP/1.1"].concat(), "method_too_long");
    check(&[b'M'; 70], "method_too_long");
    check(b"GET / HTTP/1.1\nHost: a\r\n\r\n", "line_end");
    check(b"GET / HTTP/1.1\nHost: a\n\n", "line_end");
    check(b"GET / HTTP/1.1\rHost: a\r\n\r\n", "line_end");
    check(b"\x16\x03\x01\x02\x00\x01", "method_invalid");
}

#[test]
fn versions() {
    line(b"GET / HTTP/1.2", "version_unsupported");
    line(b"GET / HTTP/2.0", "version_unsupported");
    line(b"GET / HTTP/2", "version_unsupported");
    line(b"GET / HTTP/3.0", "version_unsupported");
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version_unsupported");
    line(b"GET / HTTP/0.9", "version_invalid");
    line(b"GET / HTTP/1.10", "version_invalid");
    line(b"GET / HTTP/10.1", "version_invalid");
    line(b"GET / HTTP/1", "version_invalid");
    line(b"GET / HTTP/1.", "version_invalid");
    line(b"GET / HTTP/01.1", "version_invalid");
    line(b"GET / HTTP/1,1", "version_invalid");
    line(b"GET / http/1.1", "version_invalid");
    line(b"GET / HTTPS/1.1", "version_invalid");
    line(b"GET / HTTP /1.1", "version_invalid");
    line(b"GET / HTTP/1.\0", "version_invalid");
}

#[test]
fn targets() {
    line(b"GET //x HTTP/1.1", "GET a //x None");
    line(b"GET /\\x HTTP/1.1", "GET a /\\\\x None");
    line(b"GET /\"<>^`{|} HTTP/1.1", "GET a /\\\"<>^`{|} None");
    line(b"GET /%00%zz HTTP/1.1", "GET a /%00%zz None");
    line(b"GET http://a HTTP/1.1", "GET a / None");
    line(b"GET http://a/x?y HTTP/1.1", "GET a /x?y None");
    line(b"GET HTTPS://A:443/x HTTP/1.1", "GET a /x None");
    line(b"GET http://a:80/x HTTP/1.1", "GET a /x None");
    line(b"OPTIONS http://a HTTP/1.1", "OPTIONS a * None");
    line(b"OPTIONS * HTTP/1.1", "OPTIONS a * None");
    line(b"OPTIONS / HTTP/1.1", "OPTIONS a / None");
    line(b"GET * HTTP/1.1", "target_form");
    line(b"OPTIONS ** HTTP/1.1", "target_form");
    line(b"GET a:80 HTTP/1.1", "target_form");
    line(b"GET a/x HTTP/1.1", "target_form");
    line(b"GET ?x HTTP/1.1", "target_form");
    line(b"GET \\x HTTP/1.1", "target_form");
    line(b"GET ftp://a/ HTTP/1.1", "target_form");
    line(b"GET http:/a/ HTTP/1.1", "target_form");
    line(b"GET http://a?x HTTP/1.1", "target_form");
    line(b"GET http://a\\x HTTP/1.1", "target_form");
    line(b"GET http:///x HTTP/1.1", "target_authority");
    line(b"GET http://u@a/ HTTP/1.1", "target_authority");
    line(b"GET http://u:p@a/ HTTP/1.1", "target_authority");
    line(b"GET http://a@b/ HTTP/1.1", "target_authority");
    line(b"GET http://a:/ HTTP/1.1", "target_authority");
    line(b"GET http://a:65536/ HTTP/1.1", "target_authority");
    line(b"GET http://b/ HTTP/1.1", "host_not_target");
    line(b"GET http://a:443/ HTTP/1.1", "host_not_target");
    line(b"GET https://a:80/ HTTP/1.1", "host_not_target");
    line(b"GET /#x HTTP/1.1", "target_invalid");
    line(b"GET /\x7f HTTP/1.1", "target_invalid");
    line(b"GET /\x80 HTTP/1.1", "target_invalid");
    line(b"GET /\xc3\xa4 HTTP/1.1", "target_invalid");
    line(b"GET /\tx HTTP/1.1", "target_invalid");
    line(b"GET /\0x HTTP/1.1", "target_invalid");
    line(b"GET /\rx HTTP/1.1", "version_missing");
    line(b"GET /\nx HTTP/1.1", "version_missing");
    let long = "x".repeat(59);
    line(format!("GET /{long} HTTP/1.1").as_bytes(), &format!("GET a /{long} None"));
    line(format!("GET /{long}x HTTP/1.1").as_bytes(), "target_too_long");
    check(format!("GET /{long}x").as_bytes(), "target_too_long");
    check(b"GET http://a/x HTTP/1.0\r\n\r\n", "GET a /x None close");
}

#[test]
fn every_byte_in_its_place() {
    for byte in 0..=255u8 {
        let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(scan::is_token(byte), token, "{byte:#x}");
        let method = judge(&[b"G", &[byte][..], b"T / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert_eq!(method.ends_with(" None"), token, "method {byte:#x}: {method}");
        let target = judge(&[b"GET /", &[byte][..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        let plain = (0x21..0x7f).contains(&byte) && byte != b'#';
        assert_eq!(target.ends_with(" None"), plain, "target {byte:#x}: {target}");
        // Long enough for the tokeniser's wide loops, and at each place in them.
        for before in 0..40 {
            let filler = vec![b'x'; before];
            let start = b"GET / HTTP/1.1\r\nHost: a\r\n".as_slice();
            let end = [b'x'; 40];
            let name = judge(&[start, &filler, &[byte], &end[..4], b": x\r\n\r\n"].concat());
            let colon = byte == b':' && before > 0;
            assert_eq!(name.ends_with(" None"), token || colon, "name {byte:#x}: {name}");
            let value = judge(&[start, b"x:", &filler, &[byte], &end, b"\r\n\r\n"].concat());
            let text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert_eq!(value.ends_with(" None"), text, "value {byte:#x}: {value}");
        }
    }
}

#[test]
fn field_lines() {
    get(b"X: \xff\x80 \t y", "GET a / None");
    get(b"X:", "GET a / None");
    get(b"X:  \t ", "GET a / None");
    get(b"X : y", "field_name");
    get(b"X\t: y", "field_name");
    get(b": y", "field_name");
    get(b"X", "field_name");
    get(b"X y", "field_name");
    get(b"X[]: y", "field_name");
    get(b"X\xe4: y", "field_name");
    get(b"X\0: y", "field_name");
    get(b" X: y", "field_folded");
    get(b"X: y\r\n z", "field_folded");
    get(b"X: y\r\n\tz", "field_folded");
    get(b"X: y\0", "field_value");
    get(b"X: y\x01z", "field_value");
    get(b"X: y\x7f", "field_value");
    get(b"X: y\rz: q", "line_end");
    get(b"X: y\nz: q", "line_end");
    get(b"X: y\n", "line_end");
    get(b"X: y\r\r\nZ: q", "line_end");
    get(b"X:\nY: z", "line_end");
    get(b"X: y\r", "line_end");
    check(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "field_folded");
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\n", "line_end");
    check(b"GET / HTTP/1.1\r\nHost: a\n\r\n", "line_end");
    check(b"GET / HTTP/1.1\r\nHost: a\n\n", "line_end");
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\rX", "line_end");
}

#[test]
fn limits_hold_on_unfinished_heads_too() {
    let start = "GET / HTTP/1.1\r\nHost: a\r\n";
    let just = format!("{start}X: {}\r\n\r\n", "y".repeat(97));
    check(just.as_bytes(), "GET a / None");
    let over = format!("{start}X: {}\r\n\r\n", "y".repeat(98));
    check(over.as_bytes(), "field_too_long");
    check(format!("{start}X: {}", "y".repeat(200)).as_bytes(), "field_too_long");
    check(format!("{start}{}", "y".repeat(200)).as_bytes(), "field_too_long");
    check(format!("{start}{}\r\n", "X: y\r\n".repeat(7)).as_bytes(), "GET a / None");
    check(format!("{start}{}\r\n", "X: y\r\n".repeat(8)).as_bytes(), "fields_too_many");
    check(format!("{start}{}X", "X: y\r\n".repeat(7)).as_bytes(), "fields_too_many");
    let wide = format!("X: {}\r\n", "y".repeat(95));
    check(format!("{start}{}", wide.repeat(4)).as_bytes(), "head_too_long");
    let rest = format!("{start}{}X:\r\n\r\n", wide.repeat(3));
    let just = rest.replace("X:\r", &format!("X:{}\r", "y".repeat(400 - rest.len())));
    assert_eq!(just.len(), 400);
    check(just.as_bytes(), "GET a / None");
    check(just.replace("X:y", "X:yy").as_bytes(), "head_too_long");
    let far = HeadLimits { fields_max: 10_000, ..HeadLimits::default() };
    let many = format!("{start}{}\r\n", "X: y\r\n".repeat(255));
    assert!(matches!(
        parse_request(many.as_bytes(), &mut Slots::new(), &far),
        Ok(Parsed::Complete(_))
    ));
    let many = format!("{start}{}\r\n", "X: y\r\n".repeat(256));
    let mut slots = Slots::new();
    let judged = parse_request(many.as_bytes(), &mut slots, &far);
    assert_eq!(judged.err(), Some(Malformed::FieldsTooMany));
}

#[test]
fn hosts() {
    let host = |value: &str, expected: &str| {
        check(format!("GET / HTTP/1.1\r\nHost:{value}\r\n\r\n").as_bytes(), expected);
    };
    host(" webext.contoso.com ", "GET webext.contoso.com / None");
    host("A_b-c.d:4443", "GET A_b-c.d:4443 / None");
    host("192.0.2.1:80", "GET 192.0.2.1:80 / None");
    host("[2001:db8::1]", "GET [2001:db8::1] / None");
    host("[::ffff:1.2.3.4]:8443", "GET [::ffff:1.2.3.4]:8443 / None");
    for bad in [
        "",
        " ",
        ":80",
        "a:",
        "a:x",
        "a:+1",
        "a:123456",
        "a:65536",
        "a:80:80",
        "a, b",
        "a,a",
        "a b",
        "a/b",
        "a/",
        "u@a",
        "a?b",
        "a#b",
        "http://a",
        "[::1",
        "::1",
        "[::1]x",
        "[fe80::1%25eth0]",
        "[]",
        "[v1.a]",
        "a%20",
        "a\\b",
        "(a)",
        "\u{e4}",
        "*",
        "a;b",
        "a\tb",
    ] {
        host(bad, "host_invalid");
    }
    host(&"a".repeat(261), "field_too_long");
    check(b"GET / HTTP/1.1\r\n\r\n", "host_missing");
    check(b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "host_repeated");
    check(b"GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", "host_repeated");
    check(b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "host_repeated");
    check(b"GET / HTTP/1.0\r\n\r\n", "GET  / None close");
    check(b"GET / HTTP/1.0\r\nHost:\r\n\r\n", "host_invalid");
}

#[test]
fn lengths_and_codings() {
    fields(b"Content-Length: 5", "POST a / Length(5)");
    fields(b"content-length:0005 ", "POST a / Length(5)");
    fields(b"Content-Length: 18446744073709551615", "POST a / Length(18446744073709551615)");
    fields(b"Transfer-Encoding: chunked", "POST a / Chunked");
    fields(b"transfer-encoding:\tCHUNKED\t", "POST a / Chunked");
    get(b"Content-Length: 5", "GET a / Length(5)");
    get(b"Content-Length: 0", "GET a / Length(0)");
    for bad in [
        "18446744073709551616",
        "000000000000000000005",
        "99999999999999999999",
        "",
        "+5",
        "-5",
        "5,5",
        "5, 5",
        "5 5",
        "0x5",
        "5_0",
        "5.0",
        "5;",
        "\"5\"",
        "5\u{b2}",
        "five",
        "5,",
    ] {
        fields(format!("Content-Length: {bad}").as_bytes(), "length_invalid");
    }
    fields(b"Content-Length: 5\r\nContent-Length: 5", "length_repeated");
    fields(b"Content-Length: 5\r\ncontent-length: 6", "length_repeated");
    fields(b"Content-Length: 5\r\nTransfer-Encoding: chunked", "length_with_coding");
    fields(b"Transfer-Encoding: chunked\r\nContent-Length: 0", "length_with_coding");
    fields(b"Content_Length: 5", "framing_disguised");
    fields(b"Transfer_Encoding: chunked", "framing_disguised");
    fields(b"Content-Length : 5", "field_name");
    fields(b" Content-Length: 5", "field_folded");
    fields(b"Content-Length\0: 5", "field_name");
    for unknown in ["gzip", "gzip, chunked", "identity", "chunked, gzip", "x", "deflate"] {
        fields(format!("Transfer-Encoding: {unknown}").as_bytes(), "coding_unknown");
    }
    for odd in [
        "",
        "xchunked",
        "chunkedx",
        "chunke",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chunked,",
        ", chunked",
        "chun ked",
        "chunked chunked",
        "gzip chunked",
        "chunk",
        "=chunked",
        "[chunked]",
        "{chunked}",
        "chunked\u{a0}",
    ] {
        if odd == "chunke" {
            continue;
        }
        fields(format!("Transfer-Encoding: {odd}").as_bytes(), "coding_invalid");
    }
    fields(b"Transfer-Encoding: chunked, chunked", "coding_repeated");
    fields(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "coding_repeated");
    fields(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "coding_unknown");
    fields(b"Transfer-Encoding: \x0bchunked", "field_value");
    fields(b"Transfer-Encoding:\r\n chunked", "field_folded");
    fields(b"Transfer-Encoding\x20: chunked", "field_name");
    check(b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "coding_in_http10");
}

#[test]
fn connections() {
    get(b"Connection: close", "GET a / None close");
    get(b"Connection: CLOSE, x", "GET a / None close");
    get(b"Connection: keep-alive\r\nConnection: close", "GET a / None close");
    get(b"Connection: , ,", "GET a / None");
    get(b"Proxy-Connection: close", "GET a / None");
    get(b"Connection: \"close\"", "connection_invalid");
    get(b"Connection: keep alive", "connection_invalid");
    get(b"Connection: close;x", "connection_invalid");
    get(b"Connection: Host", "connection_names_framing");
    get(b"Connection: close, content-LENGTH", "connection_names_framing");
    get(b"Connection: Transfer-Encoding", "connection_names_framing");
    get(b"Connection: Content_Length", "connection_names_framing");
    get(b"Connection: Authorization", "GET a / None");
    let many = format!("Connection: {}", "x,".repeat(33));
    get(many.as_bytes(), "connection_invalid");
    let old = |fields: &str, expected: &str| {
        check(format!("GET / HTTP/1.0\r\nHost: a\r\n{fields}\r\n\r\n").as_bytes(), expected);
    };
    old("Connection: Keep-Alive", "GET a / None");
    old("Connection: Keep-Alive, close", "GET a / None close");
    old("Connection: x", "GET a / None close");
}

#[test]
fn expectations_and_upgrades() {
    fields(b"Content-Length: 1\r\nExpect: 100-Continue", "POST a / Length(1) expect");
    fields(b"Transfer-Encoding: chunked\r\nExpect: 100-continue", "POST a / Chunked expect");
    fields(b"Expect: 100-continue", "POST a / None");
    fields(b"Expect: 200-ok", "expect_unknown");
    fields(b"Expect: 100-continue, 100-continue", "expect_unknown");
    fields(b"Expect:", "expect_unknown");
    check(
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n",
        "POST a / Length(1) close",
    );
    get(b"Connection: Upgrade\r\nUpgrade: WebSocket", "GET a / None websocket");
    get(b"Connection: keep-alive, upgrade\r\nUpgrade: websocket", "GET a / None websocket");
    get(b"Upgrade: websocket", "GET a / None");
    get(b"Connection: upgrade", "GET a / None");
    get(b"Connection: upgrade\r\nUpgrade: websocket, h2c", "GET a / None");
    get(b"Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c", "GET a / None");
    get(
        b"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x",
        "GET a / None",
    );
    get(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1", "GET a / Length(1)");
    fields(b"Connection: upgrade\r\nUpgrade: websocket", "POST a / None");
}

#[test]
fn credentials() {
    for per_request in
        ["Basic eDp5", "bearer x", "DIGEST a=\"b\", c=d", "MsRtcOAuth grant_type=x", "Basic"]
    {
        get(format!("Authorization: {per_request}").as_bytes(), "GET a / None per-request");
    }
    for connection in [
        "NTLM TlR",
        "Negotiate YII",
        "negotiate",
        "",
        "Kerberos x",
        "Basicx y",
        "Basic, NTLM x",
        "Digest a=b, Negotiate x",
        "AWS4-HMAC-SHA256 x",
        "TAP x",
        "NTLM",
        "ntlm TlR",
        "NEGOTIATE YII",
        "Nego2 x",
        "NTLM\tTlR",
        "\"NTLM\" x",
        "Basic x,negotiate",
        ",Basic x",
    ] {
        get(format!("Authorization: {connection}").as_bytes(), "GET a / None connection");
        get(format!("AUTHORIZATION:{connection}").as_bytes(), "GET a / None connection");
    }
    get(b"Authorization: Basic x\r\nAuthorization: Bearer y", "GET a / None per-request");
    get(b"Authorization: Basic x\r\nauthorization: NTLM y", "GET a / None connection");
}

#[track_caller]
fn rewritten(policy: &RequestPolicy<'_>, input: &str, expected: &str) {
    let mut slots = Slots::new();
    let limits = HeadLimits::default();
    let parsed = parse_request(input.as_bytes(), &mut slots, &limits);
    let Ok(Parsed::Complete(head)) = parsed else { panic!("{parsed:?}") };
    let mut out = Vec::new();
    write_request(&head, policy, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn rewriting() {
    let drop = RequestPolicy { forwarded: Forwarded::Drop, extra: b"" };
    let same = "GET /a?b HTTP/1.1\r\nHOST:  a \r\nX-Y: 1\r\nx-y:2\r\nCookie: c\r\n\r\n";
    rewritten(&drop, same, same);
    rewritten(&drop, &format!("\r\n{same}ignored"), same);
    rewritten(
        &drop,
        "GET http://a:80/p HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a\r\nA: 1\r\n\r\n",
    );
    rewritten(
        &drop,
        "GET http://a:81/p HTTP/1.0\r\nA: 1\r\n\r\n",
        "GET /p HTTP/1.1\r\nHost: a:81\r\nA: 1\r\n\r\n",
    );
    rewritten(
        &drop,
        "POST / HTTP/1.1\r\nConnection: x-gone, Authorization, cookie\r\nHost: a\r\nX-Gone: 1\r\n\
         Authorization: Basic x\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: t\r\nCookie: c\r\n\
         Expect: 100-continue\r\nTransfer-Encoding: Chunked\r\nProxy-Authorization: y\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: z\r\nProxy-Connection: close\r\nx-gone: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic x\r\nTrailer: t\r\nCookie: c\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    );
    rewritten(
        &RequestPolicy { forwarded: Forwarded::Drop, extra: b"X-Forwarded-For: 192.0.2.1\r\n" },
        "GET / HTTP/1.1\r\nHost: a\r\nx_forwarded_for: 1\r\nX-Forwarded-Host: b\r\nForwarded: c\r\n\
         X-Real-IP: d\r\nX-MS-Proxy: e\r\nX-MS-Other: f\r\nProxy: g\r\nFront_End-Https: on\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nX-Original-URL: /h\r\nX-Rewrite-Url: /i\r\n\
         X-MS-Forwarded-Client-IP: j\r\nX-MS-Endpoint-Absolute-Path: /k\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-MS-Other: f\r\nX-Forwarded-For: 192.0.2.1\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    );
    rewritten(
        &RequestPolicy { forwarded: Forwarded::Pass, extra: b"" },
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\nConnection: X-Forwarded-For\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1\r\n\r\n",
    );
    rewritten(
        &drop,
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n",
    );
}

#[test]
fn fields_by_name() {
    let mut slots = Slots::new();
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX-y: 1\r\nx-Y: 2\r\n\r\n";
    let Ok(Parsed::Complete(head)) = parse_request(head, &mut slots, &small()) else { panic!() };
    assert_eq!(field_value(head.fields, "X-Y"), Some(b"1".as_slice()));
    assert_eq!(field_value(head.fields, "X"), None);
}

#[test]
fn single_bytes_are_looked_at_once() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(may_decide(head, 0));
    assert!(!may_decide(&head[..5], 4));
    assert!(may_decide(head, head.len() - 1));
    assert!(may_decide(&[b'x'; 4096], 4095));
}

#[test]
fn options_counts_its_proxies() {
    #[track_caller]
    fn check_hops(fields: &str, expected: Option<u64>) {
        let input = format!("OPTIONS /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut slots = Slots::new();
        let parsed = parse_request(input.as_bytes(), &mut slots, &HeadLimits::default());
        let Ok(Parsed::Complete(head)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(head.max_forwards, expected, "{fields}");
    }
    check_hops("", None);
    check_hops("Max-Forwards: 0\r\n", Some(0));
    check_hops("max-forwards: 12\r\n", Some(12));
    check_hops("Max-Forwards: -1\r\n", None);
    check_hops("Max-Forwards: 99999999999999999999999\r\n", None);
    let policy = RequestPolicy { forwarded: Forwarded::Drop, extra: b"Max-Forwards: 2\r\n" };
    rewritten(
        &policy,
        "OPTIONS /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\nB: c\r\n\r\n",
        "OPTIONS /a HTTP/1.1\r\nHost: a\r\nB: c\r\nMax-Forwards: 2\r\n\r\n",
    );
    // Only OPTIONS counts; for other methods the field is one like any other.
    let get = "GET /a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n";
    rewritten(&RequestPolicy { forwarded: Forwarded::Drop, extra: b"" }, get, get);
}

//! What a request asks of the origin. Bytes in, values out; no sockets.

use super::body::Body;

/// Fields of one head beyond which a request is refused.
const FIELDS_MAX: usize = 64;
/// The longest body that can be asked for.
const BYTES_MAX: u64 = 1 << 30;
/// The longest delay that can be asked for.
const DELAY_MS_MAX: u64 = 3_600_000;

/// What the bytes at the start of the input are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    /// The head's end has not come yet.
    NeedMore,
    /// Not a request, or one with an unclear end.
    Malformed,
    /// A head of so many bytes.
    Request(Request, usize),
}

/// One request, reduced to what decides its answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) answer: Answer,
    pub(super) body: Body,
    pub(super) delay_ms: u64,
    /// The connection stays open afterwards.
    pub(super) keep: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    /// A HEAD request: the fields of the answer, not its body.
    pub(super) head_only: bool,
}

/// The body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200 with so many bytes and their length.
    Bytes(u64),
    /// 200 with so many bytes in chunks.
    Chunked(u64),
    /// 200 with the length of the request's body, in digits.
    Length,
    /// 404.
    NotFound,
}

/// Reads one request from the start of `input`.
pub(super) fn parse(input: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut head = httparse::Request::new(&mut fields);
    let used = match head.parse(input) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Parsed::NeedMore,
        Err(_) => return Parsed::Malformed,
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Parsed::Malformed;
    };
    let mut keep = version == 1;
    let mut length = None;
    let mut chunked = false;
    let mut expects_continue = false;
    for field in head.headers.iter() {
        let name = field.name;
        if name.eq_ignore_ascii_case("content-length") {
            let Some(number) = digits(field.value) else { return Parsed::Malformed };
            length = Some(number);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = field.value.eq_ignore_ascii_case(b"chunked");
            if !chunked {
                return Parsed::Malformed;
            }
        } else if name.eq_ignore_ascii_case("connection") {
            if field.value.eq_ignore_ascii_case(b"close") {
                keep = false;
            } else if field.value.eq_ignore_ascii_case(b"keep-alive") {
                keep = true;
            }
        } else if name.eq_ignore_ascii_case("expect") {
            expects_continue = field.value.eq_ignore_ascii_case(b"100-continue");
        }
    }
    let body = match (chunked, length) {
        (true, Some(_)) => return Parsed::Malformed,
        (true, None) => Body::chunked(),
        (false, length) => Body::counted(length.unwrap_or(0)),
    };
    let (delay_ms, answer) = answer(method, target);
    let head_only = method == "HEAD";
    Parsed::Request(Request { answer, body, delay_ms, keep, expects_continue, head_only }, used)
}

/// The delay and the body that a target asks for.
fn answer(method: &str, target: &str) -> (u64, Answer) {
    let path = target.split('?').next().unwrap_or(target);
    if let Some(rest) = path.strip_prefix("/delay/") {
        let (ms, rest) = rest.split_once('/').unwrap_or((rest, ""));
        return match digits(ms.as_bytes()) {
            Some(ms) if ms <= DELAY_MS_MAX => (ms, undelayed(method, &format!("/{rest}"))),
            _ => (0, Answer::NotFound),
        };
    }
    (0, undelayed(method, path))
}

fn undelayed(method: &str, path: &str) -> Answer {
    if method != "GET" && method != "HEAD" {
        return Answer::Length;
    }
    let number = |text: &str| digits(text.as_bytes()).filter(|number| *number <= BYTES_MAX);
    if let Some(rest) = path.strip_prefix("/bytes/") {
        number(rest).map_or(Answer::NotFound, Answer::Bytes)
    } else if let Some(rest) = path.strip_prefix("/chunked/") {
        number(rest).map_or(Answer::NotFound, Answer::Chunked)
    } else if path.starts_with("/missing") {
        Answer::NotFound
    } else {
        Answer::Bytes(super::answer::SMALL)
    }
}

/// A number of decimal digits and nothing else.
fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: &str) {
        let found = match parse(input.as_bytes()) {
            Parsed::NeedMore => "more".to_owned(),
            Parsed::Malformed => "malformed".to_owned(),
            Parsed::Request(request, used) => format!(
                "{:?} {:?} delay={} keep={} used={}",
                request.answer,
                request.body,
                request.delay_ms,
                request.keep,
                used == input.len()
            ),
        };
        assert_eq!(found, expected, "{input:?}");
    }

    #[test]
    fn requests() {
        let none = "Counted { left: 0, seen: 0 }";
        check(
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            &format!("Bytes(128) {none} delay=0 keep=true used=true"),
        );
        check(
            "GET /bytes/1048576?x=1 HTTP/1.1\r\n\r\n",
            &format!("Bytes(1048576) {none} delay=0 keep=true used=true"),
        );
        check(
            "GET /bytes/1073741825 HTTP/1.1\r\n\r\n",
            &format!("NotFound {none} delay=0 keep=true used=true"),
        );
        check(
            "GET /delay/20/chunked/9 HTTP/1.1\r\nConnection: close\r\n\r\n",
            &format!("Chunked(9) {none} delay=20 keep=false used=true"),
        );
        check(
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
            "Length Counted { left: 5, seen: 0 } delay=0 keep=true used=false",
        );
        check("GET / HTTP/1.0\r\n\r\n", &format!("Bytes(128) {none} delay=0 keep=false used=true"));
        check("GET / HTTP/1.1\r\nHost:", "more");
        check("GET / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", "malformed");
        check(
            "PUT / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "malformed",
        );
    }
}

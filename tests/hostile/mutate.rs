//! Valid sequences of requests, and what chance makes of their structure.

use super::dice::Dice;
use super::words;

/// What a piece of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Method,
    Space,
    Target,
    Version,
    LineEnd,
    Name,
    Colon,
    Value,
    /// The line end behind the last field or trailer.
    Blank,
    Size,
    Extension,
    Data,
}

type Part = (Kind, Vec<u8>);

/// One mutated connection; `number` makes its targets unlike those of all others.
pub(crate) fn connection(number: u64, dice: &mut Dice) -> Vec<u8> {
    let mut parts = Vec::new();
    for at in 0..=dice.roll(4) {
        request(&format!("/{number:x}.{at}"), dice, &mut parts);
    }
    // Some stay as they are, most get a mutation or two.
    for _ in 0..dice.pick(&[0, 1, 1, 1, 1, 2, 2, 3, 5]) {
        mutate(&mut parts, dice);
    }
    let mut bytes: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    match dice.roll(24) {
        0 => bytes.truncate(dice.roll(bytes.len())),
        1 => bytes.extend_from_slice(words::BAIT.as_bytes()),
        2 => insert(&mut bytes, dice),
        3 if !bytes.is_empty() => {
            let at = dice.roll(bytes.len());
            bytes[at] = dice.roll(256) as u8;
        }
        _ => {}
    }
    bytes
}

fn insert(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.roll(bytes.len() + 1);
    drop(bytes.splice(at..at, dice.pick(words::ODD).iter().copied()));
}

/// A valid request.
fn request(target: &str, dice: &mut Dice, parts: &mut Vec<Part>) {
    let mut put = |kind, text: &str| parts.push((kind, text.as_bytes().to_vec()));
    let methods = if dice.one_in(16) { words::ODD_METHODS } else { words::METHODS };
    let method = dice.pick(methods);
    put(Kind::Method, method);
    put(Kind::Space, " ");
    match dice.roll(12) {
        0 => put(Kind::Target, &format!("http://a.test{target}")),
        1 => put(Kind::Target, &format!("{target}?x={}", dice.pick(words::ODD).escape_ascii())),
        2 if method == "OPTIONS" => put(Kind::Target, "*"),
        _ => put(Kind::Target, target),
    }
    put(Kind::Space, " ");
    put(Kind::Version, if dice.one_in(20) { "HTTP/1.0" } else { "HTTP/1.1" });
    put(Kind::LineEnd, "\r\n");
    let mut field = |name: &str, value: &str| {
        put(Kind::Name, name);
        put(Kind::Colon, ": ");
        put(Kind::Value, value);
        put(Kind::LineEnd, "\r\n");
    };
    field("Host", dice.pick(words::HOSTS));
    for _ in 0..dice.roll(3) {
        field(&format!("X-{}", dice.roll(10)), "some value");
    }
    let bodied = matches!(method, "POST" | "PUT" | "PATCH" | "REPORT" | "PROPFIND");
    match dice.roll(if bodied { 4 } else { 16 }) {
        0 | 1 => {
            let body = body(dice);
            field("Content-Length", &body.len().to_string());
            put(Kind::Blank, "\r\n");
            put(Kind::Data, &body);
        }
        2 | 3 => {
            field("Transfer-Encoding", "chunked");
            put(Kind::Blank, "\r\n");
            chunks(dice, parts);
        }
        _ => put(Kind::Blank, "\r\n"),
    }
}

fn body(dice: &mut Dice) -> String {
    match dice.roll(8) {
        0 => String::new(),
        1 => words::BAIT.repeat(1 + dice.roll(4)),
        2 => "x".repeat(dice.roll(6000)),
        _ => words::BAIT[..dice.roll(words::BAIT.len())].to_owned(),
    }
}

fn chunks(dice: &mut Dice, parts: &mut Vec<Part>) {
    let mut put = |kind, text: &str| parts.push((kind, text.as_bytes().to_vec()));
    for _ in 0..dice.roll(4) {
        let data = body(dice);
        if data.is_empty() {
            continue;
        }
        put(Kind::Size, &format!("{:x}", data.len()));
        put(Kind::Extension, if dice.one_in(6) { ";a=\"b\"" } else { "" });
        put(Kind::LineEnd, "\r\n");
        put(Kind::Data, &data);
        put(Kind::LineEnd, "\r\n");
    }
    put(Kind::Size, "0");
    put(Kind::LineEnd, "\r\n");
    for _ in 0..dice.pick(&[0, 0, 0, 0, 1, 2]) {
        let (name, value) = dice.pick(words::FIELDS);
        put(Kind::Name, name);
        put(Kind::Colon, ": ");
        put(Kind::Value, value);
        put(Kind::LineEnd, "\r\n");
    }
    put(Kind::Blank, "\r\n");
}

/// A place where a part of one of the kinds stands.
fn find(parts: &[Part], dice: &mut Dice, kinds: &[Kind]) -> Option<usize> {
    let places = parts.iter().enumerate().filter(|(_, part)| kinds.contains(&part.0));
    let places: Vec<usize> = places.map(|(at, _)| at).collect();
    (!places.is_empty()).then(|| dice.pick(&places))
}

fn replace(parts: &mut [Part], dice: &mut Dice, kind: Kind, with: &[&str]) {
    if let Some(at) = find(parts, dice, &[kind]) {
        parts[at].1 = dice.pick(with).as_bytes().to_vec();
    }
}

/// The four parts of a field line, if one begins at `at`.
fn field_line(parts: &[Part], at: usize) -> Option<&[Part]> {
    parts.get(at..at + 4).filter(|line| line[0].0 == Kind::Name && line[3].0 == Kind::LineEnd)
}

/// One change to the structure.
fn mutate(parts: &mut Vec<Part>, dice: &mut Dice) {
    match dice.roll(22) {
        0 | 1 => {
            // An odd byte in, before or behind any part but a body's data.
            let at = dice.roll(parts.len());
            if parts[at].0 != Kind::Data {
                insert(&mut parts[at].1, dice);
            }
        }
        2 => {
            if let Some(at) = find(parts, dice, &[Kind::LineEnd, Kind::Blank]) {
                parts[at].1 = dice.pick(words::LINE_ENDS).to_vec();
            }
        }
        3..=5 => odd_value(parts, dice),
        6 | 7 => odd_name(parts, dice),
        8 | 9 => {
            // A field line once more, perhaps in another message.
            let line = find(parts, dice, &[Kind::Name]);
            let line = line.and_then(|at| field_line(parts, at)).map(<[Part]>::to_vec);
            if let (Some(line), Some(to)) = (line, find(parts, dice, &[Kind::Name])) {
                drop(parts.splice(to..to, line));
            }
        }
        10 => {
            if let Some(at) = find(parts, dice, &[Kind::Name])
                && field_line(parts, at).is_some()
            {
                drop(parts.drain(at..at + 4));
            }
        }
        11 => {
            let (one, other) = (dice.roll(parts.len()), dice.roll(parts.len()));
            parts.swap(one, other);
        }
        12..=14 => {
            let (name, value) = dice.pick(words::FIELDS);
            let to = find(parts, dice, &[Kind::Name, Kind::Blank]).unwrap_or_default();
            let line = [
                (Kind::Name, name.as_bytes().to_vec()),
                (Kind::Colon, b": ".to_vec()),
                (Kind::Value, value.as_bytes().to_vec()),
                (Kind::LineEnd, b"\r\n".to_vec()),
            ];
            drop(parts.splice(to..to, line));
        }
        15 => odd_size(parts, dice),
        16 => replace(parts, dice, Kind::Extension, words::EXTENSIONS),
        17 => replace(parts, dice, Kind::Target, words::TARGETS),
        18 => replace(parts, dice, Kind::Version, words::VERSIONS),
        19 => replace(parts, dice, Kind::Colon, words::COLONS),
        20 => {
            // Data longer or shorter than said.
            if let Some(at) = find(parts, dice, &[Kind::Data]) {
                match dice.roll(3) {
                    0 => parts[at].1.extend_from_slice(b"x"),
                    1 => drop(parts[at].1.pop()),
                    _ => drop(parts.remove(at)),
                }
            }
        }
        _ => replace(parts, dice, Kind::Method, words::ODD_METHODS),
    }
}

fn odd_value(parts: &mut [Part], dice: &mut Dice) {
    let Some(at) = find(parts, dice, &[Kind::Value]) else { return };
    let name = match at.checked_sub(2).map(|at| &parts[at]) {
        Some((Kind::Name, name)) => name.to_ascii_lowercase(),
        _ => Vec::new(),
    };
    let from: &[&str] = match name.as_slice() {
        b"content-length" => {
            // Off by one is not the same as nonsense.
            if dice.one_in(2)
                && let Ok(said) = String::from_utf8_lossy(&parts[at].1).parse::<u64>()
            {
                let changed =
                    if dice.one_in(2) { said.saturating_add(1) } else { said.saturating_sub(1) };
                parts[at].1 = changed.to_string().into_bytes();
                return;
            }
            words::LENGTHS
        }
        b"transfer-encoding" => words::CODINGS,
        b"host" => words::HOST_VALUES,
        _ => return insert(&mut parts[at].1, dice),
    };
    parts[at].1 = dice.pick(from).as_bytes().to_vec();
}

fn odd_name(parts: &mut [Part], dice: &mut Dice) {
    let Some(at) = find(parts, dice, &[Kind::Name]) else { return };
    let name = &mut parts[at].1;
    match dice.roll(10) {
        0 => name.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'_'),
        1 => name.push(b' '),
        2 => name.insert(0, b' '),
        3 => name.push(b'\t'),
        4 => name.make_ascii_uppercase(),
        5 => name.make_ascii_lowercase(),
        6 => name.clear(),
        // KELVIN SIGN and LONG S fold to `k` and `s` where somebody folds by Unicode.
        7 => *name = String::from_utf8_lossy(name).replace('k', "\u{212a}").into_bytes(),
        8 => *name = String::from_utf8_lossy(name).replace('s', "\u{17f}").into_bytes(),
        _ => insert(name, dice),
    }
}

fn odd_size(parts: &mut [Part], dice: &mut Dice) {
    let Some(at) = find(parts, dice, &[Kind::Size]) else { return };
    let text = String::from_utf8_lossy(&parts[at].1).into_owned();
    let said = u64::from_str_radix(&text, 16).unwrap_or_default();
    let changed = match dice.roll(6) {
        0 => format!("{:x}", said.saturating_add(1)),
        1 => format!("{:x}", said.saturating_sub(1)),
        2 => format!("{said:X}"),
        3 => format!("{said:016x}"),
        _ => dice.pick(words::SIZES).to_owned(),
    };
    parts[at].1 = changed.into_bytes();
}

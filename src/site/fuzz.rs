//! What must hold for any paths and hosts at all.

use std::sync::Arc;

use super::host::{Host, NAME_BYTES_MAX, canonical_name, without_port};
use super::path::canonical_rule;
use super::*;

pub(super) const HTTPS: ListenerId = ListenerId(0);
pub(super) const HTTP: ListenerId = ListenerId(1);

/// The path of a Rule comes to the segments that a slow reading finds; written out in its canonical
/// form it stays as it is.
pub fn fuzz_path(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let canonical = canonical_rule(text).ok();
    let slow = || {
        let is_path = |text: &&str| !text.contains(['?', '#']);
        simple::segments(&simple::decode(Some(text).filter(is_path)?.as_bytes(), true)?)
    };
    let slow = slow().map(|segments| {
        segments.iter().flat_map(|segment| [b"/", &segment[..]].concat()).collect::<Vec<u8>>()
    });
    assert_eq!(canonical, slow, "{text:?}");
    let Some(canonical) = canonical else { return };
    let mut escaped = String::from("/");
    for byte in canonical.iter().skip(1) {
        match byte {
            b'/' => escaped.push('/'),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    assert_eq!(canonical_rule(&escaped), Ok(canonical), "{text:?} as {escaped}");
}

/// The compiled table finds what a linear search finds. Lines of `input` are the paths of Rules;
/// behind an empty line they are targets.
pub fn fuzz_rule(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let rules = lines.by_ref().take_while(|line| !line.is_empty());
    let rules = rules.filter_map(|line| std::str::from_utf8(line).ok());
    let paths: Vec<&str> = rules.filter(|path| canonical_rule(path).is_ok()).collect();
    let table = Table::compile(vec![draft(site(&["a"], &[HTTPS], PathCheck::Strict), &paths)]);
    let mut scratch = Vec::new();
    for target in lines {
        let seen = match table.find(HTTPS, b"a", target, &mut scratch) {
            Found::Rule { rule, .. } => Ok(Some(rule.id.0 as usize)),
            Found::NoRule(_) => Ok(None),
            Found::BadPath(_) => Err(()),
            Found::NoSite => panic!("the site is there"),
        };
        // The one target that is no path: it is under `/`.
        let target = if target == b"*" { b"/" } else { target };
        let expected = simple::find(&paths, target);
        assert_eq!(seen, expected, "{} in {paths:?}", target.escape_ascii());
    }
}

/// A name that a Site may have is found by every spelling of it, and no Host field does harm.
pub fn fuzz_host(input: &[u8]) {
    let mut scratch = Vec::new();
    if let Some(host) = Host::parse(input, &mut scratch) {
        let host = host.as_bytes();
        assert!(!host.is_empty() && host.len() <= NAME_BYTES_MAX && host[0] != b'.');
        assert!(!host.iter().any(u8::is_ascii_uppercase), "{}", host.escape_ascii());
        let bare = without_port(input);
        assert!(input.starts_with(bare), "{}", input.escape_ascii());
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(name) = canonical_name(text) else { return };
    assert_eq!(canonical_name(&name).as_ref(), Ok(&name), "{text:?}");
    let table = Table::compile(vec![draft(site(&[&name], &[HTTPS], PathCheck::Strict), &["/"])]);
    let host = match name.strip_prefix('*') {
        Some(rest) => format!("x{rest}"),
        None => name.clone(),
    };
    let dot = if host.starts_with('[') { "" } else { "." };
    for spelling in
        [host.clone(), host.to_ascii_uppercase(), format!("{host}:8443"), format!("{host}{dot}:")]
    {
        assert!(table.site_of(HTTPS, spelling.as_bytes()).is_some(), "{spelling} for {name}");
        assert!(table.site_of(HTTP, spelling.as_bytes()).is_none(), "{spelling} for {name}");
    }
    assert_eq!(without_port(format!("{host}:8443").as_bytes()), host.as_bytes());
    assert!(table.site_of(HTTPS, format!("x.{host}").as_bytes()).is_none(), "x.{host} for {name}");
}

pub(super) fn site(names: &[&str], listeners: &[ListenerId], path_check: PathCheck) -> Site {
    let limits = Limits {
        head_bytes_max: 0,
        field_bytes_max: 0,
        target_bytes_max: 0,
        fields_max: 0,
        body_bytes_max: None,
    };
    Site {
        id: SiteId(0),
        name: names[0].to_string(),
        names: names.iter().map(|name| name.to_string()).collect(),
        listeners: listeners.to_vec(),
        certificates: Vec::new(),
        path_check,
        forwarded: Forwarded::Drop,
        admission: Admission::default(),
        log_in_guard: None,
        limits,
        timeouts: Timeouts::default(),
        errors: ErrorsId::GLOBAL,
    }
}

pub(super) fn terms() -> Arc<Terms> {
    let Site { timeouts, limits, forwarded, errors, .. } =
        site(&["terms.test"], &[HTTP], PathCheck::Strict);
    Arc::new(Terms { timeouts, limits, forwarded, guarded: false, log_in_guard: None, errors })
}

pub(super) fn draft(site: Site, paths: &[&str]) -> SiteDraft {
    let terms = terms();
    let rules = paths.iter().map(|path| RuleDraft {
        name: path.to_string(),
        path: canonical_rule(path).expect("a path that was judged"),
        action: Action::Forward(PoolId(0)),
        terms: terms.clone(),
    });
    SiteDraft { site, rules: rules.collect(), redirects: Vec::new() }
}

/// What the page about the meaning of paths says, word for word and slowly.
pub(super) mod simple {
    pub(in crate::site) fn decode(path: &[u8], strict: bool) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = path;
        while let Some((byte, after)) = rest.split_first() {
            let number = |range: std::ops::Range<usize>| {
                let digits = std::str::from_utf8(rest.get(range)?).ok()?;
                let digital = digits.chars().all(|digit| digit.is_ascii_hexdigit());
                if digital { u32::from_str_radix(digits, 16).ok() } else { None }
            };
            let wide = matches!(rest.get(1), Some(b'u' | b'U'));
            let pair =
                [2..6, 8..12].map(|range| number(range).and_then(|unit| u16::try_from(unit).ok()));
            let pair = match (pair, rest.get(6..8)) {
                ([Some(high), Some(low)], Some(b"%u" | b"%U"))
                    if (0xd800..0xdc00).contains(&high) =>
                {
                    char::decode_utf16([high, low]).next().and_then(Result::ok)
                }
                _ => None,
            };
            if *byte != b'%' {
                out.push(*byte);
                rest = after;
            } else if let (true, Some(character)) = (wide, pair) {
                out.extend(character.to_string().bytes());
                rest = &rest[12..];
            } else if let (true, Some(character)) = (wide, number(2..6).and_then(char::from_u32)) {
                out.extend(character.to_string().bytes());
                rest = &rest[6..];
            } else if let (false, Some(code)) = (wide, number(1..3)) {
                out.push(code as u8);
                rest = &rest[3..];
            } else if strict {
                return None;
            } else {
                out.push(b'%');
                rest = after;
            }
        }
        Some(out)
    }

    pub(in crate::site) fn segments(decoded: &[u8]) -> Option<Vec<Vec<u8>>> {
        if decoded.first() != Some(&b'/') || decoded.iter().any(|byte| byte.is_ascii_control()) {
            return None;
        }
        let mut segments: Vec<Vec<u8>> = Vec::new();
        for written in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
            let mut segment =
                written.split(|byte| *byte == b';').next().unwrap_or_default().to_ascii_lowercase();
            match segment.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    segments.pop()?;
                    continue;
                }
                _ => {}
            }
            while matches!(segment.last(), Some(b'.' | b' ')) {
                segment.pop();
            }
            if segment.is_empty() {
                return None;
            }
            segments.push(segment);
        }
        Some(segments)
    }

    fn rule(paths: &[&str], segments: &[Vec<u8>]) -> Option<usize> {
        paths.iter().position(|path| {
            let path = decode(path.as_bytes(), true).and_then(|path| self::segments(&path));
            path.is_some_and(|path| segments.starts_with(&path))
        })
    }

    pub(in crate::site) fn find(paths: &[&str], target: &[u8]) -> Result<Option<usize>, ()> {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        if path.contains(&b'#') {
            return Err(());
        }
        let once = decode(path, true).ok_or(())?;
        let decided = rule(paths, &segments(&once).ok_or(())?);
        if once.contains(&b'%') {
            let twice = decode(&once, false).ok_or(())?;
            if rule(paths, &segments(&twice).ok_or(())?) != decided {
                return Err(());
            }
        }
        Ok(decided)
    }
}

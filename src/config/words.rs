//! Phrases that complaints are made of.

use std::io;

use crate::document::known_keys;
use crate::site::host::NameFault;

/// How a value of the wrong type becomes one of the right.
pub(super) fn how_to_write(expected: &str, actual: &str) -> Option<&'static str> {
    match (expected, actual) {
        ("a list of texts" | "a list", "text") => Some("put it into brackets: [\"…\"]"),
        ("a list of tables ([[…]])", "a table") => Some("write its header with two brackets: [[…]]"),
        ("a whole number" | "true or false", "text") => Some("write it without quotes"),
        (expected, "a number" | "a fraction" | "true or false" | "a date")
            if expected.starts_with("text in quotes") =>
        {
            Some("put it into quotes")
        }
        ("a table", _) => Some("write it as a header in brackets, and its settings below"),
        _ => None,
    }
}

/// Where a key that is unknown in its table would be understood: `in [pool.NAME.tls]`. Tables
/// inside its own come before those beside it, and those before all others.
pub(super) fn elsewhere(pattern: &str, key: &str) -> Vec<String> {
    let own = pattern.strip_suffix(key).unwrap_or_default();
    let first = own.split('.').next().unwrap_or_default();
    let tables: Vec<&str> = known_keys()
        .iter()
        .filter_map(|known| known.strip_suffix(key))
        // At the top stand tables, which nobody means by a value; except for one.
        .filter(|table| table.ends_with('.') || table.is_empty() && key == "include")
        .collect();
    let inside: Vec<&str> =
        tables.iter().copied().filter(|table| !own.is_empty() && table.starts_with(own)).collect();
    let beside: Vec<&str> =
        tables.iter().copied().filter(|table| table.split('.').next() == Some(first)).collect();
    let nearest = [inside, beside, tables].into_iter().find(|list| !list.is_empty());
    nearest.unwrap_or_default().into_iter().map(table_named).collect()
}

/// `pool.*.tls.` as the operator writes it.
fn table_named(prefix: &str) -> String {
    let path = prefix.trim_end_matches('.').replace('*', "NAME");
    match path.rsplit_once('.') {
        None if path.is_empty() => "at the top of the file, before the first [table]".to_string(),
        Some((table, key @ ("servers" | "backup" | "affinity"))) => {
            format!("into braces in `{key}` of [{table}]")
        }
        Some((rule, "respond")) => format!("into braces in `respond` of [[{rule}]]"),
        Some((_, "rule")) => format!("into [[{path}]]"),
        _ => format!("into [{path}]"),
    }
}

pub(super) fn suggestion(meant: Option<&str>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"))
}

pub(super) fn shortened(names: &[String]) -> String {
    const NAMES_MAX: usize = 8;
    let shown = names.iter().take(NAMES_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "no name at all".to_string(),
        count if count > NAMES_MAX => format!("{shown} and {} more", count - NAMES_MAX),
        _ => shown,
    }
}

pub(super) fn name_fault(fault: NameFault) -> &'static str {
    match fault {
        NameFault::Empty => "it is empty",
        NameFault::TooLong => "it is too long",
        NameFault::NotAscii => "it has letters outside ASCII",
        NameFault::NotOnlyAName => "it has a port or a scheme",
        NameFault::Unbracketed => "an IPv6 address needs brackets",
        NameFault::StarElsewhere => "a `*` can only be its whole first label",
        NameFault::WildcardTooWide => "a `*.` needs at least two labels after it",
        NameFault::Malformed => "it is not a host name",
    }
}

/// The day, and the time of UTC, for ends of certificates are often at midnight.
pub(super) fn date(second: i64) -> String {
    let time = jiff::Timestamp::from_second(second);
    time.map_or_else(|_| "a day that no calendar has".to_string(), |time| time.strftime("%Y-%m-%d at %H:%M UTC").to_string())
}

/// The system's words without its error number.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}


//! Phrases that complaints are made of.

use std::io;
use std::path::Path;

use crate::document::keys;
use crate::site::host::NameFault;

/// What the parser of TOML found, in words for somebody who does not know TOML; then what to do.
pub(super) fn not_toml(message: &str, found: &str) -> (String, Option<String>) {
    let curly = found.contains(['“', '”', '„', '‘', '’']);
    let (what, help) = match message.split(", expected").next().unwrap_or(message) {
        "string values must be quoted" if curly => {
            ("these quotes are typographic", "write straight ones: \"…\"".to_string())
        }
        "string values must be quoted" if found.trim().is_empty() => {
            ("a value is missing", "a number, true or false, text in quotes, or a list".to_string())
        }
        "string values must be quoted" => {
            let lines = if found.contains(' ') { "; of two settings each has its own line" } else { "" };
            ("this is neither a number nor text in quotes", format!("for text: \"{found}\"{lines}"))
        }
        "missing escaped value" => (
            "a backslash in \"…\" begins an escape",
            "write \\\\ for one, or put the text into single quotes; paths have / here".to_string(),
        ),
        "key with no value" => {
            ("a setting has a name, `=` and a value", "is the `=` missing?".to_string())
        }
        "invalid unquoted key" => (
            "this cannot be part of a name",
            "write name = value, and comments behind a #; a name with more than letters, digits, `-` and `_` stands in quotes".to_string(),
        ),
        "unexpected key or value" => {
            ("there is more in this line than one setting", "begin a new line here".to_string())
        }
        "missing comma between array elements" => {
            ("the list before this does not end", "add the missing `]` or `,` before this".to_string())
        }
        "unclosed array" => ("this list does not end", "add the missing `]`".to_string()),
        "unclosed table" => ("this header does not end", "add the missing `]`".to_string()),
        "invalid basic string" => {
            ("this text does not end, or holds what no text may hold", "is the closing quote missing?".to_string())
        }
        "invalid literal string" => {
            ("this text does not end", "is the closing single quote missing?".to_string())
        }
        "invalid multi-line basic string" | "invalid multi-line literal string" => (
            "a text over several lines does not end",
            "it begins with three quotes and ends with three".to_string(),
        ),
        "extra `=`" => ("there is one `=` too many", "take it out".to_string()),
        _ => return (format!("this is not TOML: {message}"), None),
    };
    (what.to_string(), Some(help))
}

/// How a value of the wrong type becomes one of the right.
pub(super) fn how_to_write(key: &str, expected: &str, actual: &str) -> Option<String> {
    let help = match (expected, actual) {
        ("tables with names", _) => return Some(format!("write [{key}.NAME] for each")),
        ("a list of texts" | "a list", "text") => "put it into brackets: [\"…\"]",
        ("a list of tables ([[…]])", "a table") => "write its header with two brackets: [[…]]",
        ("a whole number" | "true or false", "text") => "write it without quotes",
        (expected, "a number" | "a fraction" | "true or false" | "a date")
            if expected.starts_with("text in quotes") =>
        {
            "put it into quotes"
        }
        ("a table", _) => return Some(format!("write [{key}], and its settings below")),
        _ => return None,
    };
    Some(help.to_string())
}

/// What to do about a file that cannot be read.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| *folder != "").unwrap_or(Path::new("."));
            format!(
                "`ls -l {}` shows what is there; relative paths begin at the folder of the file that names them",
                folder.display()
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("`namei -l {}` shows who may read it", path.display())
        }
        io::ErrorKind::IsADirectory => "name a file in it".to_string(),
        _ => format!("`cat {}` should show it", path.display()),
    }
}

/// Where a key that is unknown in its table would be understood: `in [pool.NAME.tls]`. Tables
/// inside its own come before those beside it, and those before all others.
pub(super) fn elsewhere(pattern: &str, key: &str) -> Vec<String> {
    let own = pattern.strip_suffix(key).unwrap_or_default();
    let first = own.split('.').next().unwrap_or_default();
    let known: Vec<String> = keys::patterns().map(|(pattern, _)| pattern).collect();
    let tables: Vec<&str> = known
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
    time.map_or_else(
        |_| "a day that no calendar has".to_string(),
        |time| time.strftime("%Y-%m-%d at %H:%M UTC").to_string(),
    )
}

/// The system's words without its error number.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_string(),
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}

//! The rows for people: in the terminal, and as the reference page.

use std::fmt::{self, Write};

use super::{Key, Kind, Otherwise, Present, all, children};

const ABSENT: &str = "Not available in this version.";

/// One key or table for the terminal.
pub fn entry(pattern: &str, key: &Key, present: Present<'_>) -> String {
    let mut out = format!("{}\n  {}\n", title(pattern, key), key.meaning);
    let mut line = |label: &str, text: &str| {
        if !text.is_empty() {
            out.push_str(&format!("  {label:<9}{text}\n"));
        }
    };
    if !(present.key)(pattern) {
        line("Note:", ABSENT);
    }
    line("When:", key.advice);
    if !key.is_table() {
        line("Takes:", &key.takes());
        line("Default:", &default_at(pattern, key));
        line("Example:", &format!("{} = {}", key.name(), key.example));
    }
    line("Later:", &later_words(key, present));
    line("Order:", &order(key));
    for (child, row) in children(pattern) {
        if row.is_table() {
            let _ = writeln!(out, "    {}", title(&child, row));
        } else {
            let absent = if (present.key)(&child) { "" } else { " (not in this version)" };
            let _ = writeln!(out, "    {:<24} {}{absent}", row.name(), default_at(&child, row));
        }
    }
    out
}

/// `[pool.NAME]`, `[[site.NAME.rule]]`, `pool.NAME.idle_max`
fn title(pattern: &str, key: &Key) -> String {
    let path = pattern.replace('*', "NAME");
    match key.kind {
        Kind::Table => format!("[{path}]"),
        Kind::Named => format!("[{path}.NAME]"),
        Kind::List => format!("[[{path}]]"),
        _ => path,
    }
}

/// What holds where `pattern` is not written, in words.
pub fn default_at(pattern: &str, key: &Key) -> String {
    let here = key.stronger.iter().position(|place| pattern.starts_with(&format!("{place}.")));
    let Some(here) = here else { return key.default_words() };
    let weaker = key.stronger[here + 1..].iter().map(|place| format!("{place}.{}", key.pattern));
    let weaker: Vec<String> = weaker.chain([key.pattern.to_string()]).collect();
    weaker.join(", else ").replace('*', "NAME")
}

/// Which place decides.
fn order(key: &Key) -> String {
    if key.stronger.is_empty() {
        return String::new();
    }
    let places: Vec<String> = key.patterns().skip(1).map(|it| it.replace('*', "NAME")).collect();
    format!("{} before {}", places.join(" before "), key.pattern)
}

fn later_words(key: &Key, present: Present<'_>) -> String {
    let later = key.words.iter().filter(|word| !(present.word)(key.name(), word));
    let later: Vec<String> = later.map(|word| format!("\"{word}\"")).collect();
    if later.is_empty() {
        String::new()
    } else {
        format!("{} not in this version", later.join(", "))
    }
}

const INTRODUCTION: &str = "\
# The operator's file

<!-- Written by `gatehouse keys --markdown`; the rows stand in src/document/keys/. -->

Every table and key of `gatehouse.toml`. `gatehouse keys KEY` prints one of them, `gatehouse check FILE` says what is
wrong with a file, and `gatehouse check --show-defaults FILE` prints it with the files that it includes and with
everything that they leave to a default. Editors that know JSON schemas complete and check the file by
`gatehouse.schema.json` (`gatehouse schema`): write `#:schema ./gatehouse.schema.json` into its first line.

Lengths of time are texts with a unit: `\"500ms\"`, `\"10s\"`, `\"5m\"`, `\"2h\"`. Sizes are numbers of bytes, or texts:
`\"16kB\"` is 16000, `\"16KiB\"` 16384. Relative paths are relative to the file that names them.
";

/// The reference page.
///
/// # Errors
///
/// None; text takes everything.
pub fn page(present: Present<'_>) -> Result<String, fmt::Error> {
    let mut out = INTRODUCTION.to_string();
    for key in all() {
        if key.is_table() {
            write!(out, "\n## `{}`\n\n{}\n", title(key.pattern, key), key.meaning)?;
        } else {
            let text = format!("{} {}", key.meaning, key.advice);
            write!(out, "\n### `{}`\n\n{}\n\n", title(key.pattern, key), text.trim_end())?;
            writeln!(out, "* Takes: {}", key.takes())?;
            match key.otherwise {
                Otherwise::Value(value) => writeln!(out, "* Default: `{value}`")?,
                _ => writeln!(out, "* Default: {}", key.default_words())?,
            }
            writeln!(out, "* Example: `{} = {}`", key.name(), key.example)?;
        }
        let notes = [later_words(key, present), order(key), twin(key)];
        let notes: Vec<&String> = notes.iter().filter(|note| !note.is_empty()).collect();
        if key.is_table() && !notes.is_empty() {
            out.push('\n');
        }
        for note in notes {
            writeln!(out, "* {note}")?;
        }
        if !(present.key)(key.pattern) {
            writeln!(out, "\n{ABSENT}")?;
        }
    }
    Ok(out)
}

fn twin(key: &Key) -> String {
    if key.twin.is_empty() {
        return String::new();
    }
    format!("The same holds for {}", key.twin.replace('*', "NAME"))
}

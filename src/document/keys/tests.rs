//! The rows against the code that reads the file.

use std::collections::BTreeSet;

use super::*;
use crate::document::asked;

/// With what this version does not take.
const EVERYTHING: &str = concat!(
    include_str!("../../config/tests/everything.toml"),
    "[log.rotate]\nbytes = 1\n[pool.other]\naffinity = { cookie = \"x\" }\nbackup = [{ weight = 1 }]\n"
);

#[test]
fn the_rows_are_what_is_read() {
    let read = asked(EVERYTHING);
    let rows: BTreeSet<String> = patterns().map(|(pattern, _)| pattern).collect();
    let undocumented: Vec<&String> = read.difference(&rows).collect();
    let unread: Vec<&String> = rows.difference(&read).collect();
    assert!(undocumented.is_empty() && unread.is_empty(), "{undocumented:?} {unread:?}");
    assert_eq!(patterns().count(), rows.len(), "no key twice");
}

#[test]
fn rows_are_whole() {
    for key in all() {
        let pattern = key.pattern;
        for text in [key.meaning, key.advice] {
            let ends = text.is_empty() || text.ends_with('.') || text == "host:port";
            assert!(ends, "{pattern}: {text}");
        }
        assert!(!key.meaning.is_empty(), "{pattern}");
        assert_eq!(key.example.is_empty(), key.is_table(), "{pattern}");
        let toml = |text: &str| format!("it = {text}").parse::<toml::Table>();
        assert!(key.is_table() || toml(key.example).is_ok(), "{pattern}");
        if let Otherwise::Value(value) = key.otherwise {
            assert!(toml(value).is_ok(), "{pattern}");
        }
        let choice = matches!(key.kind, Kind::Choice | Kind::ChoiceOrTable);
        assert!(!choice || key.words.len() > 1, "{pattern}");
    }
}

#[track_caller]
fn check(asked: &str, expected: &[&str]) {
    let found: Vec<String> = find(asked).into_iter().map(|(pattern, _)| pattern).collect();
    assert_eq!(found, expected, "{asked}");
}

#[test]
fn what_is_found() {
    check("limits.fields_max", &["limits.fields_max"]);
    check("pool.front-end.timeouts.response_head", &["pool.*.timeouts.response_head"]);
    check("pool.*.timeouts.response_head", &["pool.*.timeouts.response_head"]);
    check("response_head", &["timeouts.response_head"]);
    check("adapter", &["adapter"]);
    check("[pool.front-end]", &["pool"]);
    check("[[site.a.rule]]", &["site.*.rule"]);
    check("profile", &["listener.*.profile", "pool.*.tls.profile"]);
    check("colour", &[]);
    check("pool.a.b.c", &[]);
    check("", &[]);
}

//! The rules of the house that no compiler checks: which room may name which, what stands in one
//! file only, and how long files and functions may get.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may name. Adding to this table is a decision: say so in the
/// first line of the commit.
const MAY_NAME: &[(&str, &[&str])] = &[
    // Decide.
    ("http", &[]),
    ("tls", &[]),
    ("site", &["http", "pool"]),
    // For `Dial`, the key of what is shared, only.
    ("pool", &["net"]),
    ("exchange", &["http", "site", "pool"]),
    ("dns", &[]),
    ("document", &[]),
    ("publish", &["document"]),
    ("config", &["document", "publish", "site", "pool", "tls"]),
    ("observe", &[]),
    // Wait.
    ("net", &[]),
    ("proxy", &["http", "tls", "site", "pool", "exchange", "config", "observe", "net"]),
    (
        "control",
        &["http", "tls", "site", "pool", "exchange", "dns", "config", "observe", "net", "proxy"],
    ),
    // Tools.
    ("bench", &["net", "http", "tls"]),
    // The command line brings everything together.
    ("command", &EVERY_ROOM),
    ("bin", &["bench", "command"]),
];

/// Words that stand in these files and nowhere else in the code.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("monoio", &["net/uring.rs"]),
    ("tokio", &[]),
    ("unsafe", &["net/sys.rs", "tls/legacy.rs", "bench/ring.rs"]),
    ("Instant::now", &["net/clock.rs", "bench/clock.rs"]),
    ("SystemTime::now", &["net/clock.rs", "bench/clock.rs"]),
    ("clock_gettime", &["net/clock.rs", "net/sys.rs", "bench/ring.rs"]),
    ("dbg", &[]),
];

const EVERY_ROOM: [&str; 15] = [
    "bench", "command", "config", "control", "dns", "document", "exchange", "http", "net",
    "observe", "pool", "proxy", "publish", "site", "tls",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that were longer when the limit came, and their length; they may only get shorter.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// One file of `src/`, without comments, texts and tests: each line has its number of old.
struct Source {
    /// Below `src/`.
    name: String,
    room: String,
    code: String,
}

impl Source {
    fn read(root: &Path, path: &Path) -> Option<Self> {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let is_test = name.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "fuzz.rs"));
        let room = name.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let code = without_tests(&blank(&fs::read_to_string(path).unwrap()));
        (!is_test).then_some(Self { name, room, code })
    }

    /// The lines that hold `word` as a whole.
    fn lines_with(&self, word: &str) -> impl Iterator<Item = usize> {
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        let lines = self.code.lines().enumerate();
        let with = lines.filter(move |(_, line)| {
            line.match_indices(word).any(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + word.len()..]);
                !joins(before.chars().next_back()) && !joins(after.chars().next())
            })
        });
        with.map(|(at, _)| at + 1)
    }
}

/// Puts spaces in the place of comments and of what stands in quotes.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = opaque(rest);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
        }
    }
    out
}

/// The length of the comment, text or character that `rest` begins with; 0 if it is code.
fn opaque(rest: &str) -> usize {
    let end_of = |mark: &str, from: usize| {
        rest[from..].find(mark).map_or(rest.len(), |at| from + at + mark.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return end_of("*/", 2);
    }
    if let Some(raw) = rest.strip_prefix("r#\"").or_else(|| rest.strip_prefix("r\"")) {
        let mark = if rest.starts_with("r#") { "\"#" } else { "\"" };
        return end_of(mark, rest.len() - raw.len());
    }
    if let Some(inner) = rest.strip_prefix('"') {
        return 1 + quoted(inner, '"');
    }
    // A lifetime has no second quote where a character has one.
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => 1 + quoted(&rest[1..], '\''),
        (Some('\''), Some(inner), Some('\'')) => 2 + inner.len_utf8(),
        _ => 0,
    }
}

/// The length up to and with the closing quote.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// Cuts `#[cfg(test)]` modules off: they stand at the end of their files.
fn without_tests(code: &str) -> String {
    let marks = code.match_indices("#[cfg(test)]\n");
    let mut modules = marks.filter(|(at, mark)| {
        let next = code[at + mark.len()..].trim_start();
        next.starts_with("mod ") && next.lines().next().unwrap().ends_with('{')
    });
    modules.next().map_or(code, |(at, _)| &code[..at]).to_owned()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(Source::read(&root, &path));
            }
        }
    }
    assert!(found.len() > 50, "the sources are not where they were");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

#[track_caller]
fn expect_none(rule: &str, found: &str) {
    assert!(found.is_empty(), "{rule}:\n{found}");
}

#[test]
fn rooms_name_only_the_rooms_that_they_may() {
    let mut found = String::new();
    for source in sources().iter().filter(|source| source.room != "lib") {
        let allowed = MAY_NAME.iter().find(|(room, _)| *room == source.room);
        let Some((_, allowed)) = allowed else {
            writeln!(found, "src/{}: the table has no room `{}`", source.name, source.room)
                .unwrap();
            continue;
        };
        for (at, line) in source.code.lines().enumerate() {
            for start in ["crate::", "gatehouse::"] {
                for (place, _) in line.match_indices(start) {
                    let rest = &line[place + start.len()..];
                    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
                    let named = &rest[..end.unwrap_or(rest.len())];
                    if named != source.room && !allowed.contains(&named) {
                        writeln!(found, "src/{}:{}: names `{named}`", source.name, at + 1).unwrap();
                    }
                    // Braces behind `crate::` would hide names from this test.
                    assert!(!rest.starts_with('{'), "src/{}:{}", source.name, at + 1);
                }
            }
        }
    }
    expect_none("who may name whom (MAY_NAME above, design section 4)", &found);
}

#[test]
fn pool_knows_of_the_net_what_a_dial_is() {
    let mut found = String::new();
    for source in sources().iter().filter(|source| source.room == "pool") {
        for (at, line) in source.code.lines().enumerate() {
            if line.contains("crate::net") && !line.contains("crate::net::Dial;") {
                writeln!(found, "src/{}:{}: {}", source.name, at + 1, line.trim()).unwrap();
            }
        }
    }
    expect_none("pool decides; of the net it knows Dial", &found);
}

#[test]
fn some_words_stand_in_one_place() {
    let mut found = String::new();
    for source in &sources() {
        for (word, files) in ONLY_IN {
            if files.contains(&source.name.as_str()) {
                continue;
            }
            for line in source.lines_with(word) {
                writeln!(found, "src/{}:{line}: `{word}`", source.name).unwrap();
            }
        }
    }
    expect_none("words that have a place of their own (ONLY_IN above)", &found);
}

#[test]
fn nothing_is_unwrapped() {
    let mut found = String::new();
    for source in &sources() {
        for (at, line) in source.code.lines().enumerate() {
            if line.contains(".unwrap()") {
                writeln!(found, "src/{}:{}", source.name, at + 1).unwrap();
            }
        }
    }
    expect_none("unwrap is for tests; expect is a proof", &found);
}

#[test]
fn the_runtime_has_no_second() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    assert!(!manifest.contains("tokio"), "one runtime is enough");
}

#[test]
fn files_stay_short() {
    let mut found = String::new();
    for source in &sources() {
        let lines = source.code.trim_end().lines().count();
        if lines > FILE_LINES_MAX {
            writeln!(found, "src/{}: {lines} lines", source.name).unwrap();
        }
    }
    expect_none(&format!("no file has more than {FILE_LINES_MAX} lines beside its tests"), &found);
}

/// Name and length of every function: from the line of `fn` to its closing brace, which the
/// formatter puts below the beginning of that line.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(place) = words.iter().position(|word| *word == "fn") else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", &line[..indent]);
        let Some(end) = lines[at..].iter().position(|line| *line == closing) else { continue };
        // A declaration without a body would borrow the brace of what follows.
        let bodiless = lines[at..at + end].iter().position(|line| line.ends_with(';'));
        let opens = lines[at..at + end].iter().position(|line| line.ends_with('{'));
        if opens.is_none() || bodiless < opens && bodiless.is_some() {
            continue;
        }
        let name = words.get(place + 1).copied().unwrap_or_default();
        let name = name.split(['(', '<']).next().unwrap_or_default();
        found.push((name.to_owned(), end + 1));
    }
    found
}

#[test]
fn functions_fit_on_a_screen() {
    let mut found = String::new();
    for source in &sources() {
        for (name, lines) in functions(&source.code) {
            let known = LONG_FUNCTIONS
                .iter()
                .find(|(file, function, _)| *file == source.name && *function == name);
            let most = known.map_or(FUNCTION_LINES_MAX, |(_, _, lines)| *lines);
            if lines > most {
                writeln!(found, "src/{}: {name} has {lines} lines of {most}", source.name).unwrap();
            }
        }
    }
    expect_none("a function that outgrows a screen has a piece with a name of its own", &found);
}

/// This test's own eyes.
#[test]
fn what_is_code_and_what_is_not() {
    assert_eq!(blank("a \"b\\\" c\" d"), "a         d");
    assert_eq!(blank("a // b\nc /* d\n */ e"), "a     \nc     \n    e");
    assert_eq!(
        blank("fn a<'x>(b: char) { 'y'; '\\''; r#\"z\"#; }"),
        "fn a<'x>(b: char) {    ;     ;       ; }"
    );
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\nb\n}\n"), "a\n");
    assert_eq!(without_tests("#[cfg(test)]\nmod tests;\nb\n"), "#[cfg(test)]\nmod tests;\nb\n");
    assert_eq!(functions("fn a() {\n    b\n}\n    fn c();\n"), [("a".to_owned(), 3)]);
}

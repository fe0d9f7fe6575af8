//! Every key of the operator's file, documented once. Help, the reference page, the schema for
//! editors and `check --show-defaults` are made from these rows; tests hold them to what `read.rs`
//! asks for and to what `config/` takes.

mod bounds;
mod network;
mod page;
mod publish;
mod schema;
#[cfg(test)]
mod tests;

pub use page::{default_at, entry, page};
pub use schema::schema;

/// What stands behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `[key]`
    Table,
    /// `[key.NAME]`
    Named,
    /// `[[key]]`
    List,
    /// `key = { … }`
    Inline,
    /// `key = { NAME = ["text"] }`
    NamedTexts,
    /// `key = { STATUS = "file" }`
    NamedFiles,
    /// Text without a form that could be told in a word.
    Text,
    /// The path of a file, relative to the file that names it.
    File,
    /// The name of another table: of which kind.
    Name(&'static str),
    /// The name of one table of this kind, or several.
    Names(&'static str),
    /// A list of texts.
    Texts,
    /// A text, or a list of texts.
    TextOrTexts,
    /// Places for the access log: one or several.
    Places,
    /// A list of texts or tables.
    Servers,
    /// A whole number.
    Number(u64, u64),
    /// One of these numbers.
    OneOf(&'static [u64]),
    /// Yes or no.
    Flag,
    /// A length of time.
    Duration,
    /// A count, or a size in bytes.
    Size(u64, u64),
    /// A size per second.
    Rate,
    /// One of the key's words.
    Choice,
    /// One of the key's words, or a table.
    ChoiceOrTable,
}

/// What holds where a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It has to be written.
    Needed,
    /// This, as it would be written.
    Value(&'static str),
    /// What then holds, in words: nothing that could be written.
    Words(&'static str),
}

/// One key, or one table.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// It and its tables, with `*` for names: `pool.*.idle_max`.
    pub pattern: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Words that it takes; beside what its kind says.
    pub words: &'static [&'static str],
    /// What holds without it.
    pub otherwise: Otherwise,
    /// What it means.
    pub meaning: &'static str,
    /// When to change it; may be empty.
    pub advice: &'static str,
    /// A value as it may be written.
    pub example: &'static str,
    /// Tables in which the same key stands again and decides before this one; the strongest first.
    pub stronger: &'static [&'static str],
    /// Another pattern that means the same.
    pub twin: &'static str,
    /// The default may only be written where this flag beside it is true.
    pub with: &'static str,
}

const fn key(
    pattern: &'static str,
    kind: Kind,
    otherwise: Otherwise,
    meaning: &'static str,
    example: &'static str,
) -> Key {
    let (words, stronger): (&[&str], &[&str]) = (&[], &[]);
    let (advice, twin, with) = ("", "", "");
    Key { pattern, kind, words, otherwise, meaning, advice, example, stronger, twin, with }
}

const fn table(pattern: &'static str, kind: Kind, meaning: &'static str) -> Key {
    key(pattern, kind, Otherwise::Words("nothing"), meaning, "")
}

impl Key {
    const fn when(mut self, advice: &'static str) -> Self {
        self.advice = advice;
        self
    }

    const fn words(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }

    const fn stronger(mut self, places: &'static [&'static str]) -> Self {
        self.stronger = places;
        self
    }

    const fn twin(mut self, pattern: &'static str) -> Self {
        self.twin = pattern;
        self
    }

    const fn with(mut self, flag: &'static str) -> Self {
        self.with = flag;
        self
    }

    /// Its last part.
    pub fn name(&self) -> &'static str {
        self.pattern.rsplit('.').next().unwrap_or_default()
    }

    /// Every pattern that this row is about.
    pub fn patterns(&self) -> impl Iterator<Item = String> {
        let twin = (!self.twin.is_empty()).then(|| self.twin.to_string());
        let stronger = self.stronger.iter().map(|place| format!("{place}.{}", self.pattern));
        std::iter::once(self.pattern.to_string()).chain(twin).chain(stronger)
    }

    /// Whether it is about a table of its own.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Table | Kind::Named | Kind::List)
    }

    /// What it takes, in words.
    pub fn takes(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|word| format!("\"{word}\"")).collect();
        let words = words.join(", ");
        let kind = match self.kind {
            Kind::Table => "table".to_string(),
            Kind::Named => "tables with names".to_string(),
            Kind::List => "list of tables".to_string(),
            Kind::Inline => "table".to_string(),
            Kind::NamedTexts => "table of names, each with a list of texts".to_string(),
            Kind::NamedFiles => "table of statuses, each with a file".to_string(),
            Kind::Text => "text".to_string(),
            Kind::File => "path of a file".to_string(),
            Kind::Name(table) => format!("name of a table [{table}.NAME]"),
            Kind::Names(table) => format!("name of a table [{table}.NAME], or a list of them"),
            Kind::Texts => "list of texts".to_string(),
            Kind::TextOrTexts => "text, or a list of texts".to_string(),
            Kind::Places => "\"json:PATH\", \"combined:PATH\", `journald`, `syslog` or `stdout` in the place of PATH, or a list of such".to_string(),
            Kind::Servers => "list of \"host:port\" or { address, weight }".to_string(),
            Kind::Number(least, most) => format!("whole number from {least} to {most}"),
            Kind::OneOf(numbers) => {
                let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
                format!("one of {}", numbers.join(", "))
            }
            Kind::Flag => "true or false".to_string(),
            Kind::Duration => "length of time: \"500ms\", \"10s\", \"5m\", \"2h\"".to_string(),
            Kind::Size(least, most) if most > u64::from(u32::MAX) => {
                format!("size from {least}: 32768, \"64KiB\", \"100MB\"")
            }
            Kind::Size(least, most) => format!("number or size from {least} to {most}"),
            Kind::Rate => "size a second: \"500B/s\", \"2kB/s\"".to_string(),
            Kind::Choice => return format!("one of {words}"),
            Kind::ChoiceOrTable => return format!("one of {words}, or a table"),
        };
        if words.is_empty() { kind } else { format!("{words}, or {kind}") }
    }

    /// What holds without it, in words.
    pub fn default_words(&self) -> String {
        match self.otherwise {
            Otherwise::Needed => "none: it has to be written".to_string(),
            Otherwise::Value(value) => value.to_string(),
            Otherwise::Words(words) => words.to_string(),
        }
    }
}

/// What of the contract this version has: `config/` knows.
#[derive(Clone, Copy)]
pub struct Present<'v> {
    /// Whether a pattern may be written.
    pub key: &'v dyn Fn(&str) -> bool,
    /// Whether a word may stand behind a key.
    pub word: &'v dyn Fn(&str, &str) -> bool,
}

/// All rows, in the order of a file.
pub fn all() -> impl Iterator<Item = &'static Key> {
    network::KEYS.iter().chain(publish::KEYS).chain(bounds::KEYS)
}

/// All patterns with their rows.
pub fn patterns() -> impl Iterator<Item = (String, &'static Key)> {
    all().flat_map(|key| key.patterns().map(move |pattern| (pattern, key)))
}

/// The rows directly in a table; the empty pattern stands for the whole file.
pub fn children(table: &str) -> impl Iterator<Item = (String, &'static Key)> {
    let prefixes = [format!("{table}."), format!("{table}.*.")];
    let root = table.is_empty();
    patterns().filter(move |(pattern, _)| {
        let is_last = |rest: &str| !rest.is_empty() && rest != "*" && !rest.contains('.');
        let mut rests = prefixes.iter().filter_map(|prefix| pattern.strip_prefix(prefix.as_str()));
        if root { is_last(pattern) } else { rests.any(is_last) }
    })
}

/// What an operator may mean: a pattern, a key with the names of a file, or the last part alone.
pub fn find(asked: &str) -> Vec<(String, &'static Key)> {
    let asked = asked.trim_matches(['[', ']', '.']);
    let whole: Vec<_> = patterns().filter(|(pattern, _)| fits(pattern, asked)).collect();
    if !whole.is_empty() {
        return whole;
    }
    all().filter(|key| key.name() == asked).map(|key| (key.pattern.to_string(), key)).collect()
}

/// Whether `asked` is `pattern` with names in the places of its stars, or one of its named tables.
fn fits(pattern: &str, asked: &str) -> bool {
    let (mut left, mut right) = (pattern.split('.'), asked.split('.'));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return true,
            // `pool.front-end` is about `pool`.
            (None, Some(_)) => {
                let is_named = all().any(|key| key.pattern == pattern && key.kind == Kind::Named);
                return right.next().is_none() && is_named;
            }
            (Some("*"), Some(_)) => {}
            (Some(left), Some(right)) if left == right => {}
            _ => return false,
        }
    }
}

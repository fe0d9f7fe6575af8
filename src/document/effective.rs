//! The whole of what is in force, written out: what the files say, and each default.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, Otherwise, Present, children};

/// Text that was read, and the folder that its relative paths start from.
#[derive(Clone, Debug)]
pub struct FileText {
    /// What people call the file.
    pub name: String,
    /// An absolute path.
    pub folder: PathBuf,
    /// TOML that has no complaint.
    pub text: String,
}

/// One file that means the same as `files` together, wherever it lies: paths are whole, and each
/// default that could be written is, with `# default` behind it. The main file stands first, then
/// what it includes in the order in which that is read; where there are several, a line before each
/// table says which it is from.
///
/// # Errors
///
/// If one of the texts is not TOML.
pub fn effective(files: &[FileText], present: Present<'_>) -> Result<String, fmt::Error> {
    let roots = files.iter().map(|file| DeTable::parse(&file.text).map_err(|_| fmt::Error));
    let roots: Vec<_> = roots.collect::<Result<_, _>>()?;
    let roots: Vec<Said<'_, DeTable<'_>>> =
        files.iter().zip(&roots).map(|(file, root)| Said { file, what: root.get_ref() }).collect();
    let mut writer = Writer { out: String::new(), roots: &roots, present };
    writer.table("", "", &roots)?;
    Ok(writer.out)
}

/// A value or a table, and the file that it stands in.
struct Said<'w, T> {
    file: &'w FileText,
    what: &'w T,
}

impl<T> Clone for Said<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Said<'_, T> {}

/// A table, as each file says it that says anything about it.
type Tables<'s, 'w> = &'s [Said<'w, DeTable<'w>>];

struct Writer<'w> {
    out: String,
    roots: Tables<'w, 'w>,
    present: Present<'w>,
}

impl<'w> Writer<'w> {
    /// What stands in a table: single values first, since they end where the next table begins.
    fn table(&mut self, path: &str, pattern: &str, written: Tables<'_, 'w>) -> fmt::Result {
        let present = self.present;
        let rows = || children(pattern).filter(|(pattern, _)| (present.key)(pattern));
        for (row, key) in rows().filter(|(_, key)| !key.is_table()) {
            match &said(written, key.name())[..] {
                [] => self.default(&row, key, written)?,
                // What those name stands here.
                _ if key.pattern == "include" && self.roots.len() > 1 => {}
                values => {
                    let value = merged(key, values);
                    writeln!(self.out, "{} = {value}", key.name())?;
                }
            }
        }
        for (row, key) in rows().filter(|(_, key)| key.is_table()) {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", key.name());
            self.tables(&path, &row, key, &said(written, key.name()))?;
        }
        Ok(())
    }

    fn tables(
        &mut self,
        path: &str,
        pattern: &str,
        key: &Key,
        values: &[Said<'w, DeValue<'w>>],
    ) -> fmt::Result {
        match key.kind {
            Kind::Named => {
                for Said { file, what } in tables(values) {
                    let mut named: Vec<_> = what.iter().collect();
                    named.sort_by_key(|(name, _)| name.span().start);
                    for (name, value) in named {
                        let path = format!("{path}.{}", name_text(name.get_ref()));
                        let written = tables(&[Said { file, what: value.get_ref() }]);
                        self.header(&format!("[{path}]"), pattern, &written)?;
                        self.table(&path, &format!("{pattern}.*"), &written)?;
                    }
                }
                Ok(())
            }
            Kind::List => {
                for Said { file, what } in values {
                    for item in what.as_array().into_iter().flatten() {
                        let written = tables(&[Said { file, what: item.get_ref() }]);
                        self.header(&format!("[[{path}]]"), pattern, &written)?;
                        self.table(path, pattern, &written)?;
                    }
                }
                Ok(())
            }
            // Those of the whole file are always in force, others only where they are written.
            Kind::Table if !values.is_empty() || !pattern.contains('.') => {
                let written = tables(values);
                self.header(&format!("[{path}]"), pattern, &written)?;
                self.table(path, pattern, &written)
            }
            _ => Ok(()),
        }
    }

    /// The header of a table; before that of one that stands at the top, the files that it is from.
    fn header(&mut self, header: &str, pattern: &str, written: Tables<'_, 'w>) -> fmt::Result {
        writeln!(self.out)?;
        if self.roots.len() > 1 && !pattern.contains('.') && !written.is_empty() {
            let names: Vec<String> = written.iter().map(|said| one_line(&said.file.name)).collect();
            writeln!(self.out, "# {}", names.join(", "))?;
        }
        writeln!(self.out, "{header}")
    }

    fn default(&mut self, pattern: &str, key: &Key, beside: Tables<'_, 'w>) -> fmt::Result {
        let Otherwise::Value(value) = key.otherwise else { return Ok(()) };
        // Written in a stronger place, it would decide over what a weaker one says.
        if pattern != key.pattern && pattern != key.twin {
            return Ok(());
        }
        let is_set = |flag: Said<'_, DeValue<'_>>| flag.what.as_bool() == Some(true);
        if !key.with.is_empty() && !said(beside, key.with).into_iter().any(is_set) {
            return Ok(());
        }
        if let Kind::Name(table) = key.kind
            && !self.is_defined(table, value.trim_matches('"'))
        {
            return Ok(());
        }
        writeln!(self.out, "{} = {value} # default", key.name())
    }

    fn is_defined(&self, table: &str, name: &str) -> bool {
        tables(&said(self.roots, table)).iter().any(|tables| tables.what.contains_key(name))
    }
}

/// What each file says behind a key.
fn said<'w>(written: Tables<'_, 'w>, name: &str) -> Vec<Said<'w, DeValue<'w>>> {
    let values = written.iter().filter_map(|Said { file, what }| {
        let value = what.get(name)?;
        Some(Said { file, what: value.get_ref() })
    });
    values.collect()
}

fn tables<'w>(values: &[Said<'w, DeValue<'w>>]) -> Vec<Said<'w, DeTable<'w>>> {
    let table = |Said { file, what }: &Said<'w, DeValue<'w>>| {
        what.as_table().map(|what| Said { file, what })
    };
    values.iter().filter_map(table).collect()
}

/// What several files say about one key, as one. `config/` lets them do so for names only.
fn merged(key: &Key, values: &[Said<'_, DeValue<'_>>]) -> String {
    match values {
        [Said { file, what }] => value(&file.folder, key, what),
        _ => {
            let entries = tables(values).into_iter().flat_map(|said| entries(said.what));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// As it is written, but with whole paths.
fn value(folder: &Path, key: &Key, written: &DeValue<'_>) -> String {
    match (key.kind, written) {
        (Kind::File, DeValue::String(path)) if !key.words.contains(&path.as_ref()) => {
            quoted(&whole(folder, path))
        }
        (_, DeValue::String(pattern)) if key.pattern == "include" => {
            quoted(&whole(folder, pattern))
        }
        (Kind::NamedFiles, DeValue::Table(files)) => {
            let file = |value: &DeValue<'_>| value.as_str().map(|path| whole(folder, path));
            let files = files.iter().map(|(name, value)| {
                let value = file(value.get_ref()).unwrap_or_default();
                format!("{} = {}", name_text(name.get_ref()), quoted(&value))
            });
            format!("{{ {} }}", files.collect::<Vec<_>>().join(", "))
        }
        (Kind::Places, DeValue::String(place)) => quoted(&whole_place(folder, place)),
        (_, DeValue::Array(items)) if key.kind == Kind::Places || key.pattern == "include" => {
            let items = items.iter().map(|item| value(folder, key, item.get_ref()));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
        _ => text(written),
    }
}

fn whole(folder: &Path, path: &str) -> String {
    folder.join(path).display().to_string()
}

/// `json:./access.log`
fn whole_place(folder: &Path, place: &str) -> String {
    // A service may have its socket behind it: `json:syslog:/run/other/log`.
    let path = place.rfind(':').map_or(0, |colon| colon + 1);
    match place.split_at_checked(path) {
        Some((before, path)) if path.contains('/') => format!("{before}{}", whole(folder, path)),
        _ => place.to_string(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn name_text(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_string() } else { quoted(name) }
}

/// A value as TOML, in one line.
fn text(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => quoted(text),
        DeValue::Integer(number) => {
            let prefix = match number.radix() {
                2 => "0b",
                8 => "0o",
                16 => "0x",
                _ => "",
            };
            format!("{prefix}{}", number.as_str())
        }
        DeValue::Float(number) => number.as_str().to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| text(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => format!("{{ {} }}", entries(table).join(", ")),
    }
}

/// `name = value`, in the order in which they were written.
fn entries(table: &DeTable<'_>) -> Vec<String> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let entry = |name: &str, value| format!("{} = {}", name_text(name), text(value));
    entries.into_iter().map(|(name, value)| entry(name.get_ref(), value.get_ref())).collect()
}

/// The name of a file as it may stand behind a `#`.
pub fn one_line(name: &str) -> String {
    name.escape_debug().to_string()
}

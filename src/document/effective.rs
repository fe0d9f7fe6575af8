//! The whole of what is in force, written out: what the files say, and each default.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::keys::{Key, Kind, Otherwise, Present, children};

/// Text that was read, and the folder that its relative paths start from.
#[derive(Clone, Debug)]
pub struct FileText {
    /// An absolute path.
    pub folder: PathBuf,
    /// TOML that has no complaint.
    pub text: String,
}

/// One file that means the same as `file_text`, wherever it lies: paths are whole, and each default
/// that could be written is, with `# default` behind it.
///
/// # Errors
///
/// If the text is not TOML.
pub fn effective(file_text: &FileText, present: Present<'_>) -> Result<String, fmt::Error> {
    let root = DeTable::parse(&file_text.text).map_err(|_| fmt::Error)?;
    let mut writer = Writer { out: String::new(), root: root.get_ref(), file_text, present };
    writer.table("", "", Some(root.get_ref()))?;
    Ok(writer.out)
}

struct Writer<'w> {
    out: String,
    root: &'w DeTable<'w>,
    file_text: &'w FileText,
    present: Present<'w>,
}

impl Writer<'_> {
    /// What stands in a table: single values first, since they end where the next table begins.
    fn table(&mut self, path: &str, pattern: &str, written: Option<&DeTable<'_>>) -> fmt::Result {
        let present = self.present;
        let rows = || children(pattern).filter(|(pattern, _)| (present.key)(pattern));
        for (row, key) in rows().filter(|(_, key)| !key.is_table()) {
            match written.and_then(|table| table.get(key.name())) {
                Some(value) => {
                    let value = self.value(key, value.get_ref());
                    writeln!(self.out, "{} = {value}", key.name())?;
                }
                None => self.default(&row, key, written)?,
            }
        }
        for (row, key) in rows().filter(|(_, key)| key.is_table()) {
            let dot = if path.is_empty() { "" } else { "." };
            let path = format!("{path}{dot}{}", key.name());
            let value = written.and_then(|table| table.get(key.name())).map(|it| it.get_ref());
            self.tables(&path, &row, key, value)?;
        }
        Ok(())
    }

    fn tables(
        &mut self,
        path: &str,
        pattern: &str,
        key: &Key,
        value: Option<&DeValue<'_>>,
    ) -> fmt::Result {
        match (key.kind, value) {
            (Kind::Named, Some(DeValue::Table(named))) => {
                let mut named: Vec<_> = named.iter().collect();
                named.sort_by_key(|(name, _)| name.span().start);
                for (name, value) in named {
                    let path = format!("{path}.{}", name_text(name.get_ref()));
                    writeln!(self.out, "\n[{path}]")?;
                    self.table(&path, &format!("{pattern}.*"), value.get_ref().as_table())?;
                }
                Ok(())
            }
            (Kind::List, Some(DeValue::Array(items))) => {
                for item in items {
                    writeln!(self.out, "\n[[{path}]]")?;
                    self.table(path, pattern, item.get_ref().as_table())?;
                }
                Ok(())
            }
            // Those of the whole file are always in force, others only where they are written.
            (Kind::Table, value) if value.is_some() || !pattern.contains('.') => {
                writeln!(self.out, "\n[{path}]")?;
                self.table(path, pattern, value.and_then(DeValue::as_table))
            }
            _ => Ok(()),
        }
    }

    fn default(&mut self, pattern: &str, key: &Key, beside: Option<&DeTable<'_>>) -> fmt::Result {
        let Otherwise::Value(value) = key.otherwise else { return Ok(()) };
        // Written in a stronger place, it would decide over what a weaker one says.
        if pattern != key.pattern && pattern != key.twin {
            return Ok(());
        }
        let flag = |name| beside.and_then(|table: &DeTable<'_>| table.get(name));
        let is_set = |name| flag(name).and_then(|flag| flag.get_ref().as_bool()) == Some(true);
        if !key.with.is_empty() && !is_set(key.with) {
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
        let tables = self.root.get(table).and_then(|tables| tables.get_ref().as_table());
        tables.is_some_and(|tables| tables.contains_key(name))
    }

    /// As it is written, but with whole paths.
    fn value(&self, key: &Key, value: &DeValue<'_>) -> String {
        let folder = &self.file_text.folder;
        match (key.kind, value) {
            (Kind::File, DeValue::String(path)) if !key.words.contains(&path.as_ref()) => {
                quoted(&whole(folder, path))
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
            (Kind::Places, DeValue::Array(places)) => {
                let places = places.iter().map(|place| self.value(key, place.get_ref()));
                format!("[{}]", places.collect::<Vec<_>>().join(", "))
            }
            _ => text(value),
        }
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
        DeValue::Table(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(name, _)| name.span().start);
            let entries = entries.into_iter().map(|(name, value)| {
                format!("{} = {}", name_text(name.get_ref()), text(value.get_ref()))
            });
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

//! Reads one TOML table key by key, and notes every key that is unknown or of the wrong type.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Amount, At, Flag, Misread, Named, Number, Scalar, Text, Texts, Written};

/// What comes up while the tables of one file are read.
pub(super) struct Reading {
    pub(super) file: u32,
    pub(super) misreads: RefCell<Vec<Misread>>,
    pub(super) keys: RefCell<Vec<Written<String>>>,
    /// What was asked for, written or not.
    #[cfg(test)]
    pub(super) asked: RefCell<std::collections::BTreeSet<String>>,
}

/// A table, and which of its keys have been asked for.
pub(super) struct Table<'t> {
    reading: &'t Reading,
    /// Its own name as a pattern, with the dot that comes before its keys.
    prefix: String,
    entries: &'t DeTable<'t>,
    known: Vec<&'static str>,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl Reading {
    pub(super) fn new(file: u32, misreads: Vec<Misread>) -> Self {
        Self {
            file,
            misreads: RefCell::new(misreads),
            keys: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Reads a table with `read`, then notes the keys that `read` did not ask for.
    pub(super) fn table<'t, T>(
        &'t self,
        entries: &'t DeTable<'t>,
        prefix: String,
        read: impl FnOnce(&mut Table<'t>) -> T,
    ) -> T {
        let mut table = Table { reading: self, prefix, entries, known: Vec::new() };
        let result = read(&mut table);
        table.end();
        result
    }

    fn at(&self, span: Range<usize>) -> At {
        At { file: self.file, start: span.start as u32, end: span.end as u32 }
    }

    fn wrong_type(&self, key: &str, value: &Value<'_>, expected: &'static str) {
        let at = self.at(value.span());
        let actual = type_name(value.get_ref());
        let key = key.to_string();
        self.misreads.borrow_mut().push(Misread::WrongType { at, key, expected, actual });
    }

    fn text(&self, key: &str, value: &Value<'_>, expected: &'static str) -> Text {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(key, value, expected);
            return None;
        };
        Some(Written { at: self.at(value.span()), value: text.to_string() })
    }

    fn number(&self, key: &str, value: &Value<'_>, expected: &'static str) -> Number {
        let number = match value.get_ref() {
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        if number.is_none() {
            let (at, key) = (self.at(value.span()), key.to_string());
            let actual = match value.get_ref() {
                DeValue::Integer(_) => "one so large",
                other => type_name(other),
            };
            self.misreads.borrow_mut().push(Misread::WrongType { at, key, expected, actual });
        }
        number.map(|number| Written { at: self.at(value.span()), value: number })
    }
}

impl<'t> Table<'t> {
    fn take(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        self.known.push(key);
        #[cfg(test)]
        self.reading.asked.borrow_mut().insert(format!("{}{key}", self.prefix));
        self.entries.get(key)
    }

    /// `key = "text"`
    pub(super) fn text(&mut self, key: &'static str) -> Text {
        let value = self.take(key)?;
        self.reading.text(key, value, "text in quotes")
    }

    /// `key = 1`
    pub(super) fn number(&mut self, key: &'static str) -> Number {
        let value = self.take(key)?;
        self.reading.number(key, value, "a whole number")
    }

    /// `key = true`
    pub(super) fn flag(&mut self, key: &'static str) -> Flag {
        let value = self.take(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            self.reading.wrong_type(key, value, "true or false");
            return None;
        };
        Some(Written { at: self.reading.at(value.span()), value: *flag })
    }

    /// `key = "10s"`, `key = 10`
    pub(super) fn amount(&mut self, key: &'static str) -> Amount {
        const EXPECTED: &str = "text in quotes or a whole number";
        let value = self.take(key)?;
        if let DeValue::String(text) = value.get_ref() {
            let value = self.reading.at(value.span());
            return Some(Written { at: value, value: Scalar::Text(text.to_string()) });
        }
        let number = self.reading.number(key, value, EXPECTED)?;
        Some(Written { at: number.at, value: Scalar::Number(number.value) })
    }

    /// `key = ["text", …]`
    pub(super) fn texts(&mut self, key: &'static str) -> Texts {
        let value = self.take(key)?;
        self.list(key, value, "a list of texts", |reading, item| {
            reading.text(key, item, "text in quotes")
        })
    }

    /// `key = "text"` or `key = ["text", …]`
    pub(super) fn text_or_texts(&mut self, key: &'static str) -> Texts {
        const EXPECTED: &str = "text in quotes, or a list of texts";
        let value = self.take(key)?;
        if matches!(value.get_ref(), DeValue::String(_)) {
            let text = self.reading.text(key, value, EXPECTED)?;
            return Some(Written { at: text.at, value: vec![text] });
        }
        self.list(key, value, EXPECTED, |reading, item| reading.text(key, item, "text in quotes"))
    }

    /// A list in which an item is either text or a table.
    pub(super) fn texts_or_tables<T>(
        &mut self,
        key: &'static str,
        from_text: impl Fn(Written<String>) -> T,
        from_table: impl Fn(&mut Table<'t>) -> T,
    ) -> Option<Written<Vec<Written<T>>>> {
        const EXPECTED: &str = "text in quotes or a table";
        let value = self.take(key)?;
        let prefix = format!("{}{key}.", self.prefix);
        self.list(key, value, "a list", |reading, item| {
            let at = reading.at(item.span());
            if let DeValue::Table(entries) = item.get_ref() {
                let value = reading.table(entries, prefix.clone(), &from_table);
                return Some(Written { at, value });
            }
            reading.text(key, item, EXPECTED).map(|text| Written { at, value: from_text(text) })
        })
    }

    /// Either text or a table.
    pub(super) fn text_or_table<T>(
        &mut self,
        key: &'static str,
        from_text: impl Fn(Written<String>) -> T,
        from_table: impl Fn(&mut Table<'t>) -> T,
    ) -> Option<Written<T>> {
        let value = self.take(key)?;
        if let DeValue::Table(_) = value.get_ref() {
            return self.table(key, from_table);
        }
        let text = self.reading.text(key, value, "text in quotes or a table")?;
        Some(Written { at: text.at, value: from_text(text) })
    }

    /// `[key]`
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'t>) -> T,
    ) -> Option<Written<T>> {
        let value = self.take(key)?;
        let DeValue::Table(entries) = value.get_ref() else {
            self.reading.wrong_type(key, value, "a table");
            return None;
        };
        let prefix = format!("{}{key}.", self.prefix);
        let value_at = self.reading.at(value.span());
        Some(Written { at: value_at, value: self.reading.table(entries, prefix, read) })
    }

    /// `[[key]]`
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Table<'t>) -> T,
    ) -> Vec<Written<T>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let prefix = format!("{}{key}.", self.prefix);
        let list = self.list(key, value, "a list of tables ([[…]])", |reading, item| {
            let DeValue::Table(entries) = item.get_ref() else {
                reading.wrong_type(key, item, "a table");
                return None;
            };
            let at = reading.at(item.span());
            Some(Written { at, value: reading.table(entries, prefix.clone(), &read) })
        });
        list.map_or_else(Vec::new, |list| list.value)
    }

    /// `[key.NAME]`, in the order of the file.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Table<'t>) -> T,
    ) -> Vec<Named<T>> {
        let (prefix, kind) = (format!("{}{key}.*.", self.prefix), key);
        self.entries_of(key, |reading, name, value| {
            let DeValue::Table(entries) = value.get_ref() else {
                let (at, key) = (reading.at(value.span()), name.to_string());
                let misread = Misread::NoName { at, key, kind, actual: type_name(value.get_ref()) };
                reading.misreads.borrow_mut().push(misread);
                return None;
            };
            Some(reading.table(entries, prefix.clone(), &read))
        })
    }

    /// `key = { NAME = ["text", …] }`
    pub(super) fn named_texts(&mut self, key: &'static str) -> Vec<Named<Vec<Written<String>>>> {
        self.entries_of(key, |reading, name, value| {
            let DeValue::Array(items) = value.get_ref() else {
                let text = reading.text(name, value, "a list of texts")?;
                return Some(vec![text]);
            };
            Some(items.iter().filter_map(|item| reading.text(name, item, "text")).collect())
        })
    }

    /// `key = { NAME = "text" }`
    pub(super) fn named_text(&mut self, key: &'static str) -> Vec<Named<Written<String>>> {
        self.entries_of(key, |reading, name, value| reading.text(name, value, "text in quotes"))
    }

    fn entries_of<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&'t Reading, &str, &'t Value<'t>) -> Option<T>,
    ) -> Vec<Named<T>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Table(entries) = value.get_ref() else {
            self.reading.wrong_type(key, value, "tables with names");
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, value) in entries {
            if let Some(table) = read(self.reading, name.get_ref(), value) {
                let at = self.reading.at(name.span());
                named
                    .push(Named { name: Written { at, value: name.get_ref().to_string() }, table });
            }
        }
        named.sort_by_key(|entry| entry.name.at);
        named
    }

    fn list<T>(
        &self,
        key: &str,
        value: &'t Value<'t>,
        expected: &'static str,
        read: impl Fn(&'t Reading, &'t Value<'t>) -> Option<T>,
    ) -> Option<Written<Vec<T>>> {
        let DeValue::Array(items) = value.get_ref() else {
            self.reading.wrong_type(key, value, expected);
            return None;
        };
        let items = items.iter().filter_map(|item| read(self.reading, item)).collect();
        Some(Written { at: self.reading.at(value.span()), value: items })
    }

    fn end(self) {
        for (key, _) in self.entries {
            let at = self.reading.at(key.span());
            let name = key.get_ref().as_ref();
            let pattern = format!("{}{name}", self.prefix);
            if !self.known.contains(&name) {
                let (key, known) = (name.to_string(), self.known.clone());
                let misread = Misread::UnknownKey { at, pattern: pattern.clone(), key, known };
                self.reading.misreads.borrow_mut().push(misread);
            }
            self.reading.keys.borrow_mut().push(Written { at, value: pattern });
        }
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

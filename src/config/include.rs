//! `include`: the files that the operator's file names, and the one Document that all of them make.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use super::complaint::{self, TooMuch};
use super::faults::Faults;
use super::report::Complaints;
use super::{Source, later};
use crate::document::{self, At, Document, Files, Misread, Named, Written};

/// How many files may stand between the main file and one that is included.
const DEPTH_MAX: usize = 8;

/// How many files there may be in all.
const FILES_MAX: usize = 10_000;

/// No file is larger; positions in it have 32 bits.
const FILE_BYTES_MAX: usize = 256 << 20;

/// What may stand in one file only, since nothing tells which of two would count.
const SINGLE: [&str; 8] =
    ["workers", "limits", "timeouts", "log", "admin", "errors", "resolver.servers", "lync"];

/// Everything that was written, and what is wrong with how it was written.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) files: Files,
    pub(super) document: Document,
    pub(super) faults: Faults,
    /// Some text was no TOML, so that much may be missing: there is no use in judging the rest.
    pub(super) torn: bool,
}

/// What is remembered while files are read.
struct Gathering<'s> {
    source: &'s dyn Source,
    all: Gathered,
    /// Files that are being read, each of which includes the next.
    open: Vec<PathBuf>,
    /// Where each file was included.
    included: HashMap<PathBuf, At>,
    /// Where each name was defined: kind and name.
    names: HashMap<(&'static str, String), At>,
    /// Where each of [`SINGLE`] is.
    singles: HashMap<&'static str, At>,
}

/// Reads `main` and everything that it includes.
pub(super) fn gather(main: &Path, source: &dyn Source) -> Result<Gathered, Complaints> {
    let bytes = source.read(main).map_err(|error| complaint::only(main, &error))?;
    let mut gathering = Gathering {
        source,
        all: Gathered::default(),
        open: Vec::new(),
        included: HashMap::new(),
        names: HashMap::new(),
        singles: HashMap::new(),
    };
    gathering.file(main, bytes);
    Ok(gathering.all)
}

impl Gathering<'_> {
    fn file(&mut self, path: &Path, bytes: Vec<u8>) {
        let all = &mut self.all;
        if bytes.len() > FILE_BYTES_MAX {
            let file = all.files.add(path, String::new());
            all.faults.too_much(At { file, start: 0, end: 0 }, TooMuch::Bytes, FILE_BYTES_MAX);
            all.torn = true;
            return;
        }
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let start = error.utf8_error().valid_up_to() as u32;
                let utf16 = error.as_bytes().starts_with(&[0xff, 0xfe]);
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let file = all.files.add(path, text);
                all.faults.not_utf8(At { file, start, end: start + 1 }, utf16);
                all.torn = true;
                return;
            }
        };
        let file = all.files.add(path, text);
        let (document, misreads) = document::read(file, all.files.text(file));
        for misread in misreads {
            all.torn |= matches!(misread, Misread::Syntax { .. });
            // A key for later is complained about as such, when the rest is judged.
            match &misread {
                Misread::UnknownKey { pattern, .. } if later::is_later(pattern) => {}
                _ => all.faults.misread(misread),
            }
        }
        let include = self.merge(document);
        self.open.push(plain(path));
        for pattern in include.iter().flat_map(|list| &list.value) {
            self.include(pattern);
        }
        self.open.pop();
    }

    fn include(&mut self, pattern: &Written<String>) {
        let at = pattern.at;
        if self.open.len() > DEPTH_MAX {
            return self.all.faults.too_much(at, TooMuch::Depth, DEPTH_MAX);
        }
        for path in self.matching(pattern) {
            let same = plain(&path);
            let first = self.included.get(&same).copied();
            if self.open.contains(&same) {
                self.all.faults.included_in_circle(at, &path, first);
                continue;
            }
            if let Some(first) = first {
                self.all.faults.included_twice(at, &path, first);
                continue;
            }
            if self.included.len() >= FILES_MAX {
                return self.all.faults.too_much(at, TooMuch::Files, FILES_MAX);
            }
            self.included.insert(same, at);
            match self.source.read(&path) {
                Ok(bytes) => self.file(&path, bytes),
                Err(error) => self.all.faults.include_unreadable(at, &path, &error),
            }
        }
    }

    /// The files that are meant, by name.
    fn matching(&mut self, pattern: &Written<String>) -> Vec<PathBuf> {
        let path = self.all.files.resolve(pattern.at, &pattern.value);
        let (folder, last) = match pattern.value.rsplit_once('/') {
            Some((folder, last)) => (folder, last),
            None => ("", pattern.value.as_str()),
        };
        if last.is_empty() || folder.contains(['*', '?']) {
            self.all.faults.not_an_include(pattern.at, &pattern.value);
            return Vec::new();
        }
        if !last.contains(['*', '?']) {
            return vec![path];
        }
        let folder = path.parent().filter(|folder| *folder != "").unwrap_or(Path::new("."));
        let names = match self.source.list(folder) {
            Ok(names) => names,
            // Nothing is there, which is what a pattern allows.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.all.faults.folder_unreadable(pattern.at, folder, &error);
                Vec::new()
            }
        };
        let mut names: Vec<_> =
            names.into_iter().filter(|name| is_match(last, &name.to_string_lossy())).collect();
        names.sort();
        names.into_iter().map(|name| path.with_file_name(name)).collect()
    }

    /// Adds what one file says, and gives back what it includes.
    fn merge(&mut self, more: Document) -> document::Texts {
        let Gathered { document, faults, .. } = &mut self.all;
        let mut names = Names { names: &mut self.names, faults };
        names.append("adapter", &mut document.adapters, more.adapters);
        names.append("listener", &mut document.listeners, more.listeners);
        names.append("certificate", &mut document.certificates, more.certificates);
        names.append("pool", &mut document.pools, more.pools);
        names.append("site", &mut document.sites, more.sites);
        names.append("host", &mut document.resolver.hosts, more.resolver.hosts);
        let mut counts = [true; SINGLE.len()];
        for key in &more.keys {
            let Some(place) = SINGLE.iter().position(|single| *single == key.value) else {
                continue;
            };
            counts[place] = match self.singles.get(SINGLE[place]) {
                Some(first) => {
                    faults.in_two_files(key.at, SINGLE[place], *first);
                    false
                }
                None => {
                    self.singles.insert(SINGLE[place], key.at);
                    true
                }
            };
        }
        let said = |single: &str| {
            let place = SINGLE.iter().position(|one| *one == single);
            place.is_some_and(|place| counts[place])
                && more.keys.iter().any(|key| key.value == single)
        };
        document.worker_count =
            if said("workers") { more.worker_count } else { document.worker_count.take() };
        if said("limits") {
            document.limits = more.limits;
        }
        if said("timeouts") {
            document.timeouts = more.timeouts;
        }
        if said("log") {
            document.log = more.log;
        }
        if said("admin") {
            document.admin = more.admin;
        }
        if said("errors") {
            document.errors = more.errors;
        }
        if said("resolver.servers") {
            document.resolver.servers = more.resolver.servers;
        }
        document.keys.extend(more.keys);
        more.include
    }
}

/// Where names were defined, and who hears of a second time.
struct Names<'n> {
    names: &'n mut HashMap<(&'static str, String), At>,
    faults: &'n mut Faults,
}

impl Names<'_> {
    fn append<T>(&mut self, kind: &'static str, into: &mut Vec<Named<T>>, from: Vec<Named<T>>) {
        for entry in from {
            let Written { at, value } = &entry.name;
            if let Some(first) = self.names.get(&(kind, value.clone())) {
                self.faults.defined_twice(*at, kind, value, *first);
                continue;
            }
            self.names.insert((kind, value.clone()), *at);
            into.push(entry);
        }
    }
}

/// A path without `.` and, where that is safe to tell from the text, without `..`.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        let named = matches!(plain.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if named => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// Whether a name is meant by a pattern of characters, `?` for any one and `*` for any number. A
/// hidden file is meant only by a pattern that begins with a dot itself.
fn is_match(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Behind the last `*`, and how far the name had come: where to go on from if what follows fails.
    let mut back: Option<(usize, usize)> = None;
    while of < name.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                back = Some((at, of));
            }
            Some(wanted) if *wanted == '?' || *wanted == name[of] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((behind, from)) = back else { return false };
                (at, of) = (behind, from + 1);
                back = Some((behind, from + 1));
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        #[track_caller]
        fn check(pattern: &str, name: &str, expected: bool) {
            assert_eq!(is_match(pattern, name), expected, "{pattern} {name}");
        }
        check("*.toml", "a.toml", true);
        check("*.toml", ".toml", false);
        check("*.toml", ".a.toml", false);
        check(".*.toml", ".a.toml", true);
        check("*.toml", "a.toml~", false);
        check("*.toml", "a.toml.toml", true);
        check("?.toml", "ä.toml", true);
        check("?.toml", "ab.toml", false);
        check("a*b*c", "axxbyyc", true);
        check("a*b*c", "axxbyy", false);
        check("*", "", true);
        check("a", "A", false);
    }

    #[test]
    fn the_same_file_by_another_path() {
        let check = |path: &str, expected: &str| {
            assert_eq!(plain(Path::new(path)), Path::new(expected), "{path}");
        };
        check("./conf.d/../a.toml", "a.toml");
        check("../a.toml", "../a.toml");
        check("/etc/./x//y/../a.toml", "/etc/x/a.toml");
    }
}

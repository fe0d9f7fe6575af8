//! Where something stands in the operator's files.

use std::path::{Path, PathBuf};

/// A stretch of bytes in one of the [`Files`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Index into [`Files`].
    pub file: u32,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub struct Written<T> {
    /// Where.
    pub at: At,
    /// What.
    pub value: T,
}

/// The files that a Document was read from.
#[derive(Clone, Debug, Default)]
pub struct Files {
    files: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    text: String,
    /// Where each line begins, so that finding a place does not read the file again.
    lines: Vec<u32>,
}

/// Line and column of an [`At`], for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The source line without its end; of a very long line, what is around the place.
    pub source: String,
    /// Characters of `source` before the place.
    pub indent: usize,
    /// Characters that the caret line underlines; at least 1, never past the end of `source`.
    pub width: usize,
}

/// Bytes of a source line that are shown before and after the beginning of a place.
const AROUND_BYTES: usize = 240;

impl Files {
    /// Takes a file in and says by which number positions name it.
    pub fn add(&mut self, path: &Path, text: String) -> u32 {
        let ends = memchr::memchr_iter(b'\n', text.as_bytes());
        let lines = [0].into_iter().chain(ends.map(|end| end as u32 + 1)).collect();
        self.files.push(File { path: path.to_path_buf(), text, lines });
        self.files.len() as u32 - 1
    }

    /// Where the files are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The name of a file.
    pub fn path(&self, file: u32) -> &Path {
        self.files.get(file as usize).map_or(Path::new(""), |file| &file.path)
    }

    /// The text of a file.
    pub fn text(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |file| &file.text)
    }

    /// A path as written at `at`, relative to the file that names it.
    pub fn resolve(&self, at: At, path: &str) -> PathBuf {
        let named_by = self.files.get(at.file as usize).and_then(|file| file.path.parent());
        named_by.map_or_else(|| PathBuf::from(path), |folder| folder.join(path))
    }

    /// Line, column and source line of a position.
    pub fn place(&self, at: At) -> Place {
        let Some(file) = self.files.get(at.file as usize) else {
            return Place::of_file(Path::new(""));
        };
        let text = file.text.as_str();
        let start = floor_to_character(text, at.start as usize);
        let end = floor_to_character(text, at.end as usize).max(start);
        let line = file.lines.partition_point(|line| *line as usize <= start).max(1);
        let line_start = file.lines.get(line - 1).map_or(0, |line| *line as usize);
        let line_end = file.lines.get(line).map_or(text.len(), |next| *next as usize - 1);
        let line_end = line_start + text[line_start..line_end].trim_end_matches('\r').len();
        // What stands at a line's end stands behind its last character.
        let start = start.min(line_end);
        let from = floor_to_character(text, start.saturating_sub(AROUND_BYTES).max(line_start));
        let to = floor_to_character(text, (start + AROUND_BYTES).min(line_end));
        Place {
            file: file.path.clone(),
            line,
            column: text[line_start..start].chars().count() + 1,
            source: text[from..to].to_string(),
            indent: text[from..start].chars().count(),
            width: text[start..end.clamp(start, to)].chars().count().max(1),
        }
    }
}

impl Place {
    /// A whole file, of which nothing is shown.
    pub fn of_file(path: &Path) -> Self {
        let (file, source) = (path.to_path_buf(), String::new());
        Self { file, line: 1, column: 1, source, indent: 0, width: 1 }
    }
}

fn floor_to_character(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, start: u32, end: u32, expected: (usize, usize, usize)) {
        let mut files = Files::default();
        let file = files.add(Path::new("a.toml"), text.to_string());
        let place = files.place(At { file, start, end });
        assert_eq!((place.line, place.column, place.width), expected);
    }

    #[test]
    fn places() {
        check("", 0, 0, (1, 1, 1));
        check("a = 1\nbc = 2\n", 6, 8, (2, 1, 2));
        check("a = 1\nbc = 2\n", 11, 99, (2, 6, 1));
        check("ä = 1", 3, 4, (1, 3, 1));
        check("a = 1", 99, 99, (1, 6, 1));
        check("a = \"\"\"x\ny\"\"\"", 4, 13, (1, 5, 4));
        check("a = 1\n", 6, 6, (2, 1, 1));
        check("a = 1\r\n", 5, 7, (1, 6, 1));
        check("\n\n", 1, 2, (2, 1, 1));
        check("\u{feff}a", 1, 4, (1, 1, 2));
    }

    #[test]
    fn a_very_long_line_is_shown_in_part() {
        let mut files = Files::default();
        let file =
            files.add(Path::new("a.toml"), format!("{}x{}", "ä".repeat(1_000), "ö".repeat(1_000)));
        let place = files.place(At { file, start: 2_000, end: 4_001 });
        assert_eq!((place.column, place.indent, place.source.len()), (1_001, 120, 479));
        assert_eq!(place.source.chars().nth(place.indent), Some('x'));
        assert_eq!(place.indent + place.width, place.source.chars().count());
    }

    #[test]
    fn relative_to_the_naming_file() {
        let mut files = Files::default();
        let file = files.add(Path::new("/etc/gatehouse/main.toml"), String::new());
        let at = At { file, start: 0, end: 0 };
        assert_eq!(files.resolve(at, "certs/a.pem"), Path::new("/etc/gatehouse/certs/a.pem"));
        assert_eq!(files.resolve(at, "/srv/a.pem"), Path::new("/srv/a.pem"));
    }
}

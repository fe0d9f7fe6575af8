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
    /// The whole source line, without its end.
    pub source: String,
    /// Characters that the caret line underlines; at least 1, never past the end of the line.
    pub width: usize,
}

impl Files {
    /// Takes a file in and says by which number positions name it.
    pub fn add(&mut self, path: &Path, text: String) -> u32 {
        self.files.push(File { path: path.to_path_buf(), text });
        self.files.len() as u32 - 1
    }

    /// Where the files are.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
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
            let source = String::new();
            return Place { file: PathBuf::new(), line: 1, column: 1, source, width: 1 };
        };
        let text = file.text.as_str();
        let start = floor_to_character(text, at.start as usize);
        let end = floor_to_character(text, at.end as usize).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |index| index + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |index| start + index);
        let source = text[line_start..line_end].trim_end_matches('\r');
        Place {
            file: file.path.clone(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            source: source.to_string(),
            width: text[start..end.min(line_end)].chars().count().max(1),
        }
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

//! What must hold for any files at all.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Complaints, Config, Source, include, is_available, is_available_word, read};
use crate::document::keys::Present;
use crate::document::{FileText, effective};

/// Where the main file stands.
const FOLDER: &str = "/etc/gatehouse";

/// Begins a line that names another file, which follows.
const FILE: &str = "~~~ file ";

/// Complaints that are printed, and most bytes that one takes beside texts of the files: a few
/// source lines, each cut to some hundred bytes, and as many lines below them.
const PRINTED_MAX: usize = 100;
const PRINTED_BYTES_MAX: usize = 16 * 1024;

/// A certificate for `a.com` and `*.b.com`, and its key.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["a.com".to_owned(), "*.b.com".to_owned()]);
    let made = made.unwrap_or_else(|error| panic!("{error}"));
    (made.cert.pem(), made.signing_key.serialize_pem())
});

/// Files by their whole paths.
struct Folder(BTreeMap<PathBuf, Vec<u8>>);

impl Source for Folder {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.0.get(&include::plain(path)) {
            return Ok(bytes.clone());
        }
        match path.file_name().and_then(|name| name.to_str()) {
            Some("a.pem") => Ok(PAIR.0.clone().into_bytes()),
            Some("a.key") => Ok(PAIR.1.clone().into_bytes()),
            Some("b.html") => Ok(b"<b>{status}</b>".to_vec()),
            Some("c.json") => Ok(b"{\"id\": \"{request_id}\"}".to_vec()),
            Some("secret.toml") => Err(io::ErrorKind::PermissionDenied.into()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let folder = include::plain(folder);
        let inside = self.0.keys().filter(|path| path.parent() == Some(&*folder));
        Ok(inside.filter_map(|path| path.file_name()).map(Into::into).collect())
    }

    fn mode(&self, _: &Path) -> Option<u32> {
        Some(0o600)
    }
}

/// Whatever the files say, complaints point into them and cannot steer a terminal; and files without
/// complaint mean the same when they are written out with each default. `input` is the main file,
/// and others behind lines that name them.
pub fn fuzz_config(input: &[u8]) {
    let main = Path::new(FOLDER).join("main.toml");
    let folder = files(&main, input);
    match judged(&main, &folder) {
        Ok((config, warnings)) => {
            shown(&warnings, &folder, input);
            written_out(&main, &folder, config);
        }
        Err(complaints) => {
            assert!(complaints.count() > complaints.warnings(), "refused without a reason");
            shown(&complaints, &folder, input);
        }
    }
}

/// `input` as files.
fn files(main: &Path, input: &[u8]) -> Folder {
    let mut files = BTreeMap::new();
    let (mut path, mut bytes) = (main.to_path_buf(), Vec::new());
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let name =
            line.strip_prefix(FILE.as_bytes()).and_then(|name| std::str::from_utf8(name).ok());
        match name {
            Some(name) => {
                files.entry(path).or_insert_with(|| std::mem::take(&mut bytes));
                path = include::plain(&Path::new(FOLDER).join(name.trim_end_matches('\n')));
                bytes.clear();
            }
            None => bytes.extend_from_slice(line),
        }
    }
    files.entry(path).or_insert(bytes);
    Folder(files)
}

/// In the midst of the life of every certificate.
fn judged(main: &Path, folder: &Folder) -> Result<(Config, Complaints), Complaints> {
    read(main, folder, 1_813_060_800)
}

fn shown(complaints: &Complaints, folder: &Folder, input: &[u8]) {
    for complaint in complaints.list() {
        let notes = complaint.notes.iter().map(|(place, _)| place);
        for place in notes.chain([&complaint.place]) {
            assert!(place.line >= 1 && place.column >= 1 && place.width >= 1, "{place:?}");
            assert!(place.indent <= place.source.chars().count(), "{place:?}");
            let text = folder.0.get(&include::plain(&place.file));
            let text = text.and_then(|bytes| std::str::from_utf8(bytes).ok());
            let line = text.and_then(|text| text.split('\n').nth(place.line - 1));
            let stands = line.is_some_and(|line| line.contains(&place.source));
            assert!(stands || text.is_none(), "line {line:?} is not that of {place:?}");
        }
    }
    let plain = complaints.render(false);
    let colour = complaints.render(true);
    for (text, styled) in [(&plain, false), (&colour, true)] {
        let steers = without_styles(text, styled).chars().find(|character| {
            let is_layout = matches!(character, '\n' | '\t');
            let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            character.is_control() && !is_layout || turns
        });
        assert_eq!(steers, None, "{text:?}");
        let most = PRINTED_MAX * (PRINTED_BYTES_MAX + 4 * input.len());
        assert!(text.len() <= most, "{} bytes about {}", text.len(), input.len());
    }
    assert!(plain.ends_with(&complaints.summary()), "{plain}");
}

/// Takes out what sets colours: `ESC [`, digits and semicolons, `m`.
fn without_styles(text: &str, styled: bool) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        assert!(styled && rest.starts_with('m'), "a sequence that sets no colour: {part:?}");
        out.push_str(rest.strip_prefix('m').unwrap_or(rest));
    }
    out
}

const PRESENT: Present<'static> = Present { key: &is_available, word: &is_available_word };

/// What `check --show-defaults` prints is the same file with nothing left unsaid.
fn written_out(main: &Path, folder: &Folder, config: Config) {
    let (documents, before) = meaning(config);
    let texts = documents.iter().map(|path| {
        let bytes = folder.read(path).unwrap_or_default();
        FileText {
            name: path.display().to_string(),
            folder: path.parent().map(Path::to_path_buf).unwrap_or_default(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    });
    let texts: Vec<_> = texts.collect();
    let print = effective(&texts, PRESENT).unwrap_or_else(|_| panic!("what was read cannot be"));
    let mut whole = Folder(folder.0.clone());
    whole.0.insert(main.to_path_buf(), print.clone().into_bytes());
    let (config, _) = judged(main, &whole)
        .unwrap_or_else(|complaints| panic!("{}\n{print}", complaints.render(false)));
    let (_, after) = meaning(config);
    let differs = before.lines().zip(after.lines()).find(|(before, after)| before != after);
    assert!(before == after, "{differs:?}\n{print}");
}

fn meaning(mut config: Config) -> (Vec<PathBuf>, String) {
    let hosts: BTreeMap<_, _> = config.hosts.drain().collect();
    (std::mem::take(&mut config.documents), format!("{config:#?}{hosts:#?}"))
}

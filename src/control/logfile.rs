//! The access log as a file: it is moved aside when it has grown, and made anew when somebody else
//! has moved it.
//!
//! Nothing here waits for a reader: a pipe or terminal that takes nothing now says so.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::Moment;

/// How often is looked whether the file still stands where it was opened.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long the next try to move the file aside is put off after one that failed.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);

/// No more files than this are looked for behind the last one that is kept.
const FORGOTTEN_MAX: u32 = 10_000;

/// When a file is moved aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rotate {
    /// It does not get larger than this; a single write may be.
    pub(super) bytes: u64,
    /// So many older ones are kept; with 0 the file is emptied instead.
    pub(super) files: u32,
}

/// An open access log.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    /// Where a link leads, so that a log that was put on another disk stays there.
    place: PathBuf,
    rotate: Rotate,
    file: File,
    /// Only such files have a size and are moved.
    regular: bool,
    /// Device and number, by which it is recognised.
    identity: (u64, u64),
    /// Permissions, which the next one gets too.
    mode: u32,
    bytes: u64,
    /// The last byte ended a line, so that the next may begin another file.
    line_ended: bool,
    /// It was removed and could not be made anew: what is written to it nobody will read.
    removed: bool,
    look_at: Moment,
    rotate_at: Moment,
}

impl LogFile {
    /// Opens `path`, which need not be there, for appending.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open(path: &Path, rotate: Rotate, now: Moment) -> io::Result<Self> {
        const FOR_OTHERS_TO_READ: u32 = 0o666;
        let mode = fs::metadata(path).map_or(FOR_OTHERS_TO_READ, |found| found.mode() & 0o777);
        let file = open(path, mode)?;
        let found = file.metadata()?;
        Ok(Self {
            path: path.to_owned(),
            place: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
            rotate,
            file,
            regular: is_ours(path, &found),
            identity: identity(&found),
            mode: found.mode() & 0o777,
            bytes: found.len(),
            line_ended: true,
            removed: false,
            look_at: now + LOOK_EVERY,
            rotate_at: now,
        })
    }

    /// Writes some of `lines`, which end with a line's end; 0 only if there are none.
    ///
    /// # Errors
    /// The disk is full, a pipe's reader is too slow (`WouldBlock`), or the file was removed and
    /// cannot be made anew.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.removed {
            return Err(ErrorKind::NotFound.into());
        }
        let count = self.file.write(lines)?;
        self.bytes += count as u64;
        self.line_ended = lines.get(..count).is_none_or(|written| written.ends_with(b"\n"));
        Ok(count)
    }

    /// To be called before each write of `coming` bytes, and now and then without any: looks after
    /// the file and moves it aside if it would get too large.
    ///
    /// # Errors
    /// A sentence for the administrator; lines can be written all the same.
    pub(super) fn look_after(&mut self, coming: usize, now: Moment) -> Result<(), String> {
        if !self.regular {
            return Ok(());
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.follow()?;
        }
        let grown = self.bytes > 0 && self.bytes + coming as u64 > self.rotate.bytes;
        // A line that is half written is finished where it was begun.
        if !grown || coming == 0 || !self.line_ended || now < self.rotate_at {
            return Ok(());
        }
        let moved = self.move_aside();
        if moved.is_err() {
            self.rotate_at = now + ROTATE_AGAIN;
        }
        moved
    }

    /// Opens the file anew if it does not stand under its name any more.
    fn follow(&mut self) -> Result<(), String> {
        if let Ok(found) = fs::metadata(&self.path)
            && identity(&found) == self.identity
        {
            // Somebody may have emptied it.
            self.bytes = found.len();
            self.removed = false;
            return Ok(());
        }
        self.reopen().map_err(|error| {
            self.removed = self.file.metadata().is_ok_and(|found| found.nlink() == 0);
            let until = match self.removed {
                true => "until then lines are held back, and lost where they become too many",
                false => "until then lines go to the file that was moved away",
            };
            format!(
                "it was moved or removed, and cannot be made anew: {error}; create its folder, or let the service's user write there; {until}"
            )
        })
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = open(&self.path, self.mode)?;
        let found = file.metadata()?;
        self.place = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        self.regular = is_ours(&self.path, &found);
        self.identity = identity(&found);
        self.bytes = found.len();
        self.removed = false;
        self.line_ended = true;
        self.file = file;
        Ok(())
    }

    fn move_aside(&mut self) -> Result<(), String> {
        let failed = |what: &str, error: io::Error| {
            Err(format!(
                "{what}: {error}; let the service's user create and rename files in its folder; until then the file grows"
            ))
        };
        if self.rotate.files == 0 {
            return match self.file.set_len(0) {
                Ok(()) => {
                    self.bytes = 0;
                    Ok(())
                }
                Err(error) => failed("it cannot be emptied", error),
            };
        }
        if let Err(error) = self.shift() {
            return failed("it cannot be moved aside", error);
        }
        // Until this succeeds lines go to the file that was moved, which is looked after.
        self.reopen().or_else(|error| failed("a new one cannot be made", error))
    }

    /// `log` becomes `log.1`, that `log.2`, and so on up to the first number that is free; the
    /// oldest goes.
    fn shift(&self) -> io::Result<()> {
        let files = self.rotate.files;
        // Only up to a gap, so that a move that failed halfway loses nothing the next time.
        let free = (1..=files).find(|number| !exists(&self.numbered(*number)));
        for number in (1..free.unwrap_or(files)).rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1))?;
        }
        match fs::rename(&self.place, self.numbered(1)) {
            // Somebody else was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => moved?,
        }
        // More were kept before.
        for number in files.saturating_add(1)..files.saturating_add(FORGOTTEN_MAX) {
            if fs::remove_file(self.numbered(number)).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = OsString::from(&self.place);
        name.push(format!(".{number}"));
        name.into()
    }
}

/// What stands in the folders of the system, such as `/dev/stdout`, is not ours to move.
fn is_ours(path: &Path, found: &Metadata) -> bool {
    found.is_file() && !path.starts_with("/dev") && !path.starts_with("/proc")
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Also a link that leads nowhere.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn open(path: &Path, mode: u32) -> io::Result<File> {
    let is_pipe = fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(mode).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    // Who opens a pipe for writing waits for its reader; who opens it for both does not.
    options.read(is_pipe).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("gatehouse-logfile-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn open(&self, bytes: u64, files: u32) -> LogFile {
            LogFile::open(&self.0.join("log"), Rotate { bytes, files }, at(0)).unwrap()
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.0.join(name)).unwrap_or_else(|_| "-".to_owned())
        }

        #[track_caller]
        fn expect(&self, files: &[(&str, &str)]) {
            for (name, text) in files {
                assert_eq!(self.text(name), *text, "{name}");
            }
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000_000)
    }

    /// Writes a line at second `now`, and gives what was to be said.
    fn line(log: &mut LogFile, text: &str, now: u64) -> Option<String> {
        let said = log.look_after(text.len(), at(now)).err();
        assert_eq!(log.write(text.as_bytes()).unwrap(), text.len());
        said
    }

    #[test]
    fn a_full_file_is_moved_aside_and_the_oldest_goes() {
        let scratch = Scratch::new("moved");
        let mut log = scratch.open(8, 2);
        for text in ["aa\n", "bb\n", "cc\n", "dd\n", "ee\n", "ff\n", "gg\n"] {
            assert_eq!(line(&mut log, text, 0), None);
        }
        scratch.expect(&[
            ("log", "gg\n"),
            ("log.1", "ee\nff\n"),
            ("log.2", "cc\ndd\n"),
            ("log.3", "-"),
        ]);
    }

    #[test]
    fn files_that_are_no_longer_kept_go() {
        let scratch = Scratch::new("fewer");
        for (name, text) in [("log", "old\n"), ("log.1", "1"), ("log.2", "2"), ("log.3", "3")] {
            fs::write(scratch.0.join(name), text).unwrap();
        }
        let mut log = scratch.open(4, 1);
        line(&mut log, "new\n", 0);
        scratch.expect(&[("log", "new\n"), ("log.1", "old\n"), ("log.2", "-"), ("log.3", "-")]);
    }

    #[test]
    fn without_older_files_it_is_emptied() {
        let scratch = Scratch::new("emptied");
        let mut log = scratch.open(8, 0);
        for text in ["aa\n", "bb\n", "cc\n"] {
            assert_eq!(line(&mut log, text, 0), None);
        }
        scratch.expect(&[("log", "cc\n"), ("log.1", "-")]);
    }

    #[test]
    fn a_line_is_finished_in_the_file_where_it_began() {
        let scratch = Scratch::new("torn");
        let mut log = scratch.open(4, 1);
        line(&mut log, "aaa", 0);
        line(&mut log, "aaa\n", 0);
        line(&mut log, "b\n", 0);
        scratch.expect(&[("log.1", "aaaaaa\n"), ("log", "b\n")]);
    }

    #[test]
    fn what_cannot_be_moved_grows_and_nothing_is_lost() {
        let scratch = Scratch::new("stuck");
        // A folder stands in the way of the second file only.
        fs::create_dir_all(scratch.0.join("log.2/x")).unwrap();
        fs::write(scratch.0.join("log.1"), "first\n").unwrap();
        let mut log = scratch.open(4, 2);
        line(&mut log, "aaa\n", 0);
        let said = line(&mut log, "bbb\n", 0).unwrap();
        assert!(said.contains("cannot be moved aside"), "{said}");
        assert_eq!(line(&mut log, "ccc\n", 59), None, "it is not tried for each line");
        scratch.expect(&[("log", "aaa\nbbb\nccc\n"), ("log.1", "first\n")]);
        fs::remove_dir_all(scratch.0.join("log.2")).unwrap();
        assert_eq!(line(&mut log, "ddd\n", 60), None);
        scratch.expect(&[("log", "ddd\n"), ("log.1", "aaa\nbbb\nccc\n"), ("log.2", "first\n")]);
    }

    #[test]
    fn a_file_that_somebody_moved_is_made_anew() {
        let scratch = Scratch::new("logrotate");
        let mut log = scratch.open(1000, 2);
        line(&mut log, "a\n", 0);
        fs::rename(scratch.0.join("log"), scratch.0.join("moved")).unwrap();
        line(&mut log, "b\n", 0);
        assert_eq!(line(&mut log, "c\n", 1), None);
        scratch.expect(&[("moved", "a\nb\n"), ("log", "c\n"), ("log.1", "-")]);
        fs::write(scratch.0.join("log"), "").unwrap();
        line(&mut log, "d\n", 2);
        assert_eq!((scratch.text("log").as_str(), log.bytes), ("d\n", 2), "emptied, the same file");
    }

    #[test]
    fn a_log_on_another_disk_stays_there() {
        let scratch = Scratch::new("link");
        fs::create_dir_all(scratch.0.join("disk")).unwrap();
        std::os::unix::fs::symlink("disk/real", scratch.0.join("log")).unwrap();
        let mut log = scratch.open(4, 2);
        line(&mut log, "aaa\n", 0);
        assert_eq!(line(&mut log, "bbb\n", 0), None);
        scratch.expect(&[("disk/real.1", "aaa\n"), ("disk/real", "bbb\n"), ("log.1", "-")]);
        assert!(fs::symlink_metadata(scratch.0.join("log")).unwrap().is_symlink());
    }

    #[test]
    fn a_folder_that_was_removed_is_waited_for() {
        let scratch = Scratch::new("folder");
        let mut log = scratch.open(1000, 2);
        line(&mut log, "a\n", 0);
        fs::remove_dir_all(&scratch.0).unwrap();
        let said = log.look_after(2, at(1)).unwrap_err();
        assert!(said.contains("create its folder") && said.contains("held back"), "{said}");
        assert_eq!(log.write(b"b\n").unwrap_err().kind(), ErrorKind::NotFound);
        fs::create_dir_all(&scratch.0).unwrap();
        assert_eq!(line(&mut log, "b\n", 2), None);
        scratch.expect(&[("log", "b\n")]);
    }

    #[test]
    fn a_new_file_has_the_permissions_of_the_old() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("mode");
        let mut log = scratch.open(1000, 2);
        drop(log);
        fs::set_permissions(scratch.0.join("log"), fs::Permissions::from_mode(0o600)).unwrap();
        log = scratch.open(4, 1);
        line(&mut log, "aaa\n", 0);
        line(&mut log, "bbb\n", 0);
        let mode = fs::metadata(scratch.0.join("log")).unwrap().mode() & 0o777;
        assert_eq!((mode, scratch.text("log.1").as_str()), (0o600, "aaa\n"));
    }

    #[test]
    fn a_pipe_without_a_reader_keeps_nobody_waiting() {
        let scratch = Scratch::new("pipe");
        let path = scratch.0.join("log");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let mut log = LogFile::open(&path, Rotate { bytes: 10, files: 2 }, at(0)).unwrap();
        let full = (0..1000).find_map(|_| {
            assert_eq!(log.look_after(1000, at(5)), Ok(()), "a pipe is not moved");
            log.write(&[b'x'; 1000]).err()
        });
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
    }
}

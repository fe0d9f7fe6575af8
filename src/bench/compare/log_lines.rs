//! Counts the lines of an access log and empties it, so that a long comparison does not fill the disk.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::bench::Trouble;

/// Counts and removes the lines of all files in `folder` whose names begin with `name`: the log and what was rotated
/// away from it. Its writer must be at rest.
pub(super) fn harvest(folder: &Path, name: &str) -> Result<u64, Trouble> {
    let what = || format!("the access log in {} cannot be counted", folder.display());
    let mut lines = 0;
    for entry in fs::read_dir(folder).map_err(Trouble::of(what()))? {
        let entry = entry.map_err(Trouble::of(what()))?;
        let found = entry.file_name();
        let Some(found) = found.to_str() else { continue };
        if !found.starts_with(name) {
            continue;
        }
        lines += count(&entry.path()).map_err(Trouble::of(what()))?;
        let emptied = if found == name {
            OpenOptions::new().write(true).open(entry.path()).and_then(|file| file.set_len(0))
        } else {
            fs::remove_file(entry.path())
        };
        emptied.map_err(Trouble::of(what()))?;
    }
    Ok(lines)
}

fn count(path: &Path) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let mut block = vec![0; 1 << 18];
    let mut lines = 0;
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(lines),
            Ok(length) => lines += memchr::memchr_iter(b'\n', &block[..length]).count() as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_count_too_and_nothing_counts_twice() {
        let folder = std::env::temp_dir().join(format!("gatehouse-lines-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("access.log"), "a\nb\n").unwrap();
        fs::write(folder.join("access.log.1"), "c\n").unwrap();
        fs::write(folder.join("error.log"), "d\n").unwrap();
        assert_eq!(harvest(&folder, "access.log").unwrap(), 3);
        assert_eq!(harvest(&folder, "access.log").unwrap(), 0);
        fs::remove_dir_all(&folder).unwrap();
    }
}

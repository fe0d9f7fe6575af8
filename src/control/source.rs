//! The operator's files as they were when they were read, and what has become of them since.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, Source};

/// What tells a file from what it was: device and inode, length, time of change in nanoseconds.
type Stamp = Option<(u64, u64, u64, i128)>;

/// Reads from the disk and remembers what it read.
#[derive(Debug, Default)]
pub struct Disk {
    /// What is not looked at again.
    frozen: Documents,
    read: RefCell<HashMap<PathBuf, (Stamp, Vec<u8>)>>,
    listed: RefCell<HashMap<PathBuf, Vec<OsString>>>,
}

/// The operator's own files, and what stood in the folders that they include from.
#[derive(Clone, Debug, Default)]
struct Documents {
    files: HashMap<PathBuf, Vec<u8>>,
    folders: HashMap<PathBuf, Vec<OsString>>,
}

impl Source for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.frozen.files.get(path) {
            return Ok(bytes.clone());
        }
        // Before the contents: a change between the two is seen later.
        let stamp = stamp(path);
        let bytes = std::fs::read(path);
        let kept = bytes.as_ref().map_or_else(|_| Vec::new(), Clone::clone);
        self.read.borrow_mut().insert(path.to_path_buf(), (stamp, kept));
        bytes
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        if let Some(names) = self.frozen.folders.get(folder) {
            return Ok(names.clone());
        }
        let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
        let names: Vec<OsString> = names.collect::<io::Result<_>>()?;
        self.listed.borrow_mut().insert(folder.to_path_buf(), names.clone());
        Ok(names)
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        std::fs::metadata(path).ok().map(|metadata| metadata.mode())
    }
}

fn stamp(path: &Path) -> Stamp {
    let meta = std::fs::metadata(path).ok()?;
    let changed = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Some((meta.dev(), meta.ino(), meta.len(), changed))
}

/// The files that a Config in force was read from.
#[derive(Debug)]
pub(super) struct Snapshot {
    documents: Documents,
    /// Certificates, keys, authorities and pages: what may change without the operator's files.
    others: HashMap<PathBuf, Stamp>,
    /// What they looked like when they were last found changed.
    seen: HashMap<PathBuf, Stamp>,
}

impl Snapshot {
    /// What `disk` read for `config`.
    pub(super) fn of(disk: Disk, config: &Config) -> Self {
        let (mut documents, mut others) = (disk.frozen, HashMap::new());
        for (path, (stamp, bytes)) in disk.read.into_inner() {
            if config.documents.contains(&path) {
                documents.files.insert(path, bytes);
            } else {
                others.insert(path, stamp);
            }
        }
        documents.folders.extend(disk.listed.into_inner());
        Self { documents, seen: others.clone(), others }
    }

    /// The operator's files as they are in force, the others as they are on the disk.
    pub(super) fn disk(&self) -> Disk {
        Disk { frozen: self.documents.clone(), ..Disk::default() }
    }

    /// Whether the other files differ from those in force and have come to rest: they are as they
    /// were found by the call before. True once per change.
    pub(super) fn has_settled_change(&mut self) -> bool {
        let now: HashMap<PathBuf, Stamp> =
            self.others.keys().map(|path| (path.clone(), stamp(path))).collect();
        let at_rest = now == self.seen;
        let differs = now != self.others;
        self.seen.clone_from(&now);
        if at_rest && differs {
            // Whatever comes of it, this change has been told.
            self.others = now;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_when_it_has_come_to_rest() {
        let folder = std::env::temp_dir().join(format!("gatehouse-source-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.pem");
        std::fs::write(&file, "one").unwrap();
        let others = HashMap::from([(file.clone(), stamp(&file))]);
        let mut snapshot =
            Snapshot { documents: Documents::default(), seen: others.clone(), others };
        assert!(!snapshot.has_settled_change());
        std::fs::write(&file, "a half").unwrap();
        assert!(!snapshot.has_settled_change(), "it may still be written");
        std::fs::write(&file, "the whole").unwrap();
        assert!(!snapshot.has_settled_change());
        assert!(snapshot.has_settled_change());
        assert!(!snapshot.has_settled_change());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

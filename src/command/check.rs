//! `gatehouse check`

use std::path::Path;

use crate::config::{self, Complaints, Config};
use crate::document::{Origin, effective};

use super::keys::PRESENT;
use super::{FAILED, REFUSED};

/// Reads `file` and everything it names from the disk.
pub(super) fn read(file: &Path) -> Result<Config, Complaints> {
    config::read(file, &|path: &Path| std::fs::read(path))
}

pub(super) fn check(file: &Path, json: bool) -> u8 {
    match read(file) {
        Ok(config) => {
            if !json {
                let (sites, pools) = (config.table.sites().len(), config.pools.len());
                let listeners = config.listeners.len();
                println!(
                    "{}: nothing is wrong; {listeners} listeners, {sites} sites, {pools} pools",
                    file.display()
                );
            }
            0
        }
        Err(complaints) => {
            print(&complaints, json);
            REFUSED
        }
    }
}

/// Prints what is in force, if nothing is wrong with it.
pub(super) fn show_defaults(file: &Path) -> u8 {
    if let Err(complaints) = read(file) {
        print(&complaints, false);
        return REFUSED;
    }
    let origin = std::path::absolute(file).and_then(|file| {
        let folder = file.parent().map_or_else(Default::default, Path::to_path_buf);
        Ok(Origin { folder, text: std::fs::read_to_string(&file)? })
    });
    match origin.map(|origin| effective(&origin, PRESENT)) {
        Ok(Ok(text)) => {
            println!("# {} with each default that holds beside it.", file.display());
            print!("{text}");
            0
        }
        // It was there a moment ago.
        _ => {
            eprintln!("gatehouse: {} has changed just now; try again", file.display());
            FAILED
        }
    }
}

/// For people on standard error; for programs on standard output.
pub(super) fn print(complaints: &Complaints, json: bool) {
    if !json {
        eprint!("{complaints}");
        return;
    }
    for complaint in complaints.list() {
        println!(
            "{}",
            serde_json::json!({
                "file": complaint.place.file.display().to_string(),
                "line": complaint.place.line,
                "column": complaint.place.column,
                "message": complaint.message,
                "help": complaint.help,
            })
        );
    }
}

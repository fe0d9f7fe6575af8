//! `gatehouse check`

use std::path::Path;

use crate::config::{self, Complaints, Config};

use super::REFUSED;

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

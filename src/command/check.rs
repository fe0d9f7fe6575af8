//! `gatehouse check`

use std::io::IsTerminal;
use std::path::Path;

use crate::config::{self, Complaints, Config, Severity};
use crate::control::Disk;
use crate::document::{FileText, Place, effective, one_line};
use crate::net::wall_seconds;

use super::keys::PRESENT;
use super::{FAILED, REFUSED};

/// Reads `file` and everything it names from the disk.
pub(super) fn read(file: &Path) -> Result<(Config, Complaints), Complaints> {
    config::read(file, &Disk::default(), wall_seconds())
}

/// The same by way of `disk`, for people: what is wrong is printed, and then there is no Config.
pub(super) fn read_aloud(file: &Path, disk: &Disk) -> Option<Config> {
    match config::read(file, disk, wall_seconds()) {
        Ok((config, warnings)) => {
            print(&warnings);
            Some(config)
        }
        Err(complaints) => {
            print(&complaints);
            None
        }
    }
}

pub(super) fn check(file: &Path, json: bool) -> u8 {
    match read(file) {
        Ok((config, warnings)) => {
            if json {
                print_json(&warnings);
                return 0;
            }
            print(&warnings);
            let (sites, pools) = (config.table.sites().len(), config.pools.len());
            let (rules, listeners) = (config.table.rules().len(), config.listeners.len());
            let verdict = match warnings.count() {
                0 => "nothing is wrong".to_owned(),
                _ => format!("nothing is wrong, with {}", warnings.summary()),
            };
            println!(
                "{}: {verdict}; {listeners} listeners, {sites} sites, {rules} rules, {pools} pools",
                file.display()
            );
            0
        }
        Err(complaints) => {
            if json {
                print_json(&complaints);
            } else {
                print(&complaints);
            }
            REFUSED
        }
    }
}

/// Prints what is in force, if nothing is wrong with it.
pub(super) fn show_defaults(file: &Path) -> u8 {
    let Some(config) = read_aloud(file, &Disk::default()) else { return REFUSED };
    let texts = config.documents.iter().map(|file| {
        let whole = std::path::absolute(file)?;
        let folder = whole.parent().map_or_else(Default::default, Path::to_path_buf);
        Ok(FileText {
            name: file.display().to_string(),
            folder,
            text: std::fs::read_to_string(file)?,
        })
    });
    let texts: std::io::Result<Vec<FileText>> = texts.collect();
    match texts.map(|texts| effective(&texts, PRESENT)) {
        Ok(Ok(text)) => {
            let included = match config.documents.len() {
                1 => "",
                _ => " and the files that it includes,",
            };
            let name = one_line(&file.display().to_string());
            println!("# {name}{included} with each default that holds beside it.");
            print!("{text}");
            0
        }
        // They were there a moment ago.
        _ => {
            eprintln!("gatehouse: {} has changed just now; try again", file.display());
            FAILED
        }
    }
}

/// For people, on standard error; nothing if there are none.
pub(super) fn print(complaints: &Complaints) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if complaints.count() > 0 {
        eprintln!("{}", complaints.render(!plain && std::io::stderr().is_terminal()));
    }
}

/// For programs, on standard output: one object a line.
fn print_json(complaints: &Complaints) {
    for complaint in complaints.list() {
        let notes = complaint.notes.iter().map(|(place, text)| located(place, "message", text));
        let mut object = located(&complaint.place, "message", &complaint.message);
        object["severity"] = match complaint.severity {
            Severity::Error => "error".into(),
            Severity::Warning => "warning".into(),
        };
        object["help"] = complaint.help.clone().into();
        object["notes"] = notes.collect();
        println!("{object}");
    }
    let more = complaints.count() - complaints.list().len();
    if more > 0 {
        println!("{}", serde_json::json!({ "more": more }));
    }
}

fn located(place: &Place, key: &str, text: &str) -> serde_json::Value {
    serde_json::json!({
        "file": place.file.display().to_string(),
        "line": place.line,
        "column": place.column,
        "width": place.width,
        key: text,
    })
}

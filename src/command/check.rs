//! `gatehouse check`

use std::io::IsTerminal;
use std::path::Path;

use crate::config::{self, Complaints, Config, Severity};
use crate::document::Place;
use crate::net::wall_micros;

use super::REFUSED;
use super::disk::Disk;

/// Reads `file` and everything it names from the disk.
pub(super) fn read(file: &Path) -> Result<(Config, Complaints), Complaints> {
    config::read(file, &Disk, now())
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    i64::try_from(wall_micros() / 1_000_000).unwrap_or(i64::MAX)
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

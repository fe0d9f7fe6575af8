//! `gatehouse doctor`

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use crate::config::Config;
use crate::control::Disk;
use crate::control::doctor::{
    Advice, Findings, Found, Kept, Unknown, Verdict, advise, as_json, as_text, examine, file_lines,
    patients,
};
use crate::net::wall_seconds;

use super::check::read_aloud;
use super::{ATTENTION, FAILED, REFUSED};

/// The operator's file, where none is named and this one is there.
const USUAL_FILE: &str = "/etc/gatehouse/gatehouse.toml";

/// Examines a pool's servers, or one server.
pub(super) fn doctor(what: &str, file: Option<PathBuf>, json: bool) -> u8 {
    let named = file.is_some();
    let file = file.or_else(|| Some(PathBuf::from(USUAL_FILE)).filter(|file| file.exists()));
    let config = file.as_deref().and_then(read);
    if config.is_none() && named {
        return REFUSED;
    }
    if config.is_none() && file.is_some() && !json {
        eprintln!("{USUAL_FILE} is refused, and so not used: the connection leaves by any adapter");
    }
    let found = match patients(config, what) {
        Ok(found) => found,
        Err(Unknown::Nobody(why) | Unknown::File(why)) => {
            match json {
                true => println!("{}", serde_json::json!({ "error": why })),
                false => eprintln!("{why}"),
            }
            return REFUSED;
        }
    };
    let stop = AtomicBool::new(false);
    let mut all: Vec<(Findings, Advice)> = Vec::new();
    for patient in &found.patients {
        let findings = examine(patient, &stop);
        let advice = advise(&findings);
        if !json {
            println!("{}", as_text(&findings, &advice, wall_seconds()));
        }
        all.push((findings, advice));
    }
    finish(what, &found, &all, file.as_deref(), json)
}

fn read(file: &Path) -> Option<Config> {
    read_aloud(file, &Disk::default())
}

/// Prints what follows for the file; gives the exit code.
fn finish(
    what: &str,
    found: &Found,
    all: &[(Findings, Advice)],
    file: Option<&Path>,
    json: bool,
) -> u8 {
    let reached = all.iter().filter(|(_, advice)| advice.verdict != Verdict::Unreached);
    let advices: Vec<Advice> = reached.map(|(_, advice)| advice.clone()).collect();
    let new = if found.in_file { Vec::new() } else { vec![what.to_owned()] };
    let lines = match advices.is_empty() {
        true => None,
        false => {
            let unseen = advices.len() < all.len() || !found.nameless.is_empty();
            let kept = Kept { pins: &found.pins, others: found.others || unseen };
            file_lines(&found.pool, &new, &advices, kept)
        }
    };
    if json {
        for (findings, advice) in all {
            println!("{}", as_json(findings, advice, lines.as_deref()));
        }
        for (server, why) in &found.nameless {
            println!("{}", serde_json::json!({ "server": server, "error": why }));
        }
    } else {
        for (server, why) in &found.nameless {
            println!("Server {server}\n! {why}\n");
        }
        if let Some(lines) = &lines {
            println!("{}", heading(found, file));
            println!("\n{lines}");
        }
    }
    let worst = all.iter().map(|(_, advice)| advice.verdict).max();
    match worst {
        _ if !found.nameless.is_empty() => FAILED,
        None | Some(Verdict::Unreached) => FAILED,
        Some(Verdict::FileHasToChange | Verdict::ServerHasToChange) => ATTENTION,
        Some(Verdict::Well) => 0,
    }
}

fn heading(found: &Found, file: Option<&Path>) -> String {
    let (file, pool) = (file.map(|file| file.display().to_string()), &found.pool);
    match (file, found.in_file) {
        (Some(file), true) => format!(
            "Lines for [pool.{pool}.tls] in {file}, in the place of those that are there with the same key; then `gatehouse reload`:"
        ),
        _ => "Lines for the file:".to_owned(),
    }
}

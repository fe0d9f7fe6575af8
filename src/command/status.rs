//! `gatehouse status`

use std::path::{Path, PathBuf};

use crate::control::ask_instance;
use crate::observe::{Status, status_text};

use super::reload::{socket_of, why_not};
use super::{ATTENTION, FAILED};

/// Asks the running instance how it is. The socket is the one that `file` names, if there is a file.
pub(super) fn status(socket: &Path, file: Option<&PathBuf>, json: bool) -> u8 {
    let socket = &socket_of(socket, file);
    let answer = match ask_instance(socket, "status") {
        Ok(answer) => answer,
        Err(error) => return fail(&why_not(socket, &error), json),
    };
    let told = answer.status.as_ref();
    let status = told.and_then(|told| serde_json::from_value::<Status>(told.clone()).ok());
    let (Some(told), Some(status)) = (told, status) else {
        let text = format!("the instance does not tell: {}", answer.text);
        return fail(&text, json);
    };
    if json {
        // As it came: an instance that is newer than this command says more.
        println!("{told}");
    } else {
        print!("{}", status_text(&status));
    }
    if status.troubles.is_empty() { 0 } else { ATTENTION }
}

fn fail(text: &str, json: bool) -> u8 {
    if json {
        println!("{}", serde_json::json!({ "error": text }));
    } else {
        eprintln!("{text}");
    }
    FAILED
}

//! `gatehouse reload`

use std::io;
use std::path::{Path, PathBuf};

use crate::control::{Answer, ask_instance};

use super::check::read;
use super::{FAILED, REFUSED};

/// Where the running instance listens if its file does not say otherwise.
pub(super) const SOCKET: &str = "/run/gatehouse/admin.sock";

/// Asks the running instance to read its file again.
pub(super) fn reload(socket: &Path, file: Option<&PathBuf>, json: bool) -> u8 {
    ask("reload", socket, file, json)
}

/// Asks the running instance something and prints its answer. The socket is the one that `file`
/// names, if there is a file.
pub(super) fn ask(question: &str, socket: &Path, file: Option<&PathBuf>, json: bool) -> u8 {
    let socket = &socket_of(socket, file);
    match ask_instance(socket, question) {
        Ok(answer) => {
            let code = if answer.done { 0 } else { REFUSED };
            tell(&answer, json);
            code
        }
        Err(error) => {
            tell(&Answer::refused(why_not(socket, &error)), json);
            FAILED
        }
    }
}

/// The socket that `file` names, if there is a file that can be read; a file with faults is
/// complained about by the instance itself, if it can be found.
pub(super) fn socket_of(socket: &Path, file: Option<&PathBuf>) -> PathBuf {
    let named = file.and_then(|file| read(file).ok()).map(|(config, _)| config.admin.socket);
    named.unwrap_or_else(|| socket.to_path_buf())
}

fn tell(answer: &Answer, json: bool) {
    if json {
        println!("{}", serde_json::json!({ "done": answer.done, "text": answer.text }));
    } else if answer.done {
        println!("{}", answer.text);
    } else {
        eprintln!("{}", answer.text);
    }
}

pub(super) fn why_not(socket: &Path, error: &io::Error) -> String {
    let socket = socket.display();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "nobody listens at {socket}: the service does not run, or its file has another [admin] socket; `systemctl status gatehouse` shows more, --config FILE names the file"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("no permission for {socket}; be root, or the user that the service runs as")
        }
        _ => format!("no answer from {socket}: {error}"),
    }
}

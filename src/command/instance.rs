//! What the running instance is asked: `gatehouse reload`, `gatehouse pool NAME drain|undrain`.

use std::io;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::control::{Answer, ask_instance};

use super::check::read;
use super::{FAILED, REFUSED};

/// Where the running instance is found, and how its answer is printed.
#[derive(Debug, Args)]
pub(super) struct Instance {
    /// The admin socket of the running instance
    #[arg(long, value_name = "PATH", default_value = "/run/gatehouse/admin.sock")]
    socket: PathBuf,
    /// The operator's file, to find the admin socket by
    #[arg(long, value_name = "FILE", conflicts_with = "socket")]
    config: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What is done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Verb {
    /// No new requests; clients that are logged in there keep their connection
    Drain,
    /// It takes requests again
    Undrain,
}

impl Instance {
    /// Has something done and prints what came of it.
    pub(super) fn have_done(&self, question: &str) -> u8 {
        match self.ask(question) {
            Ok(answer) => {
                tell(&answer, self.json);
                if answer.done { 0 } else { REFUSED }
            }
            Err(why) => {
                tell(&Answer::refused(why), self.json);
                FAILED
            }
        }
    }

    /// # Errors
    /// A sentence for the administrator: why there is no answer.
    pub(super) fn ask(&self, question: &str) -> Result<Answer, String> {
        // A file with faults is complained about by the instance itself, if it can be found.
        let config = self.config.as_ref().and_then(|file| read(file).ok());
        let named = config.map(|(config, _)| config.admin.socket);
        let socket = named.as_ref().unwrap_or(&self.socket);
        ask_instance(socket, question).map_err(|error| {
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
        })
    }
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

//! The operator's command line. Parses, calls, and turns results into exit codes.

mod check;
mod demo;
mod doctor;
mod explain;
mod instance;
mod keys;
mod run;
mod status;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::control::drain_question;

use instance::{Instance, Verb};

/// The command was used wrongly, or the file has complaints.
const REFUSED: u8 = 2;

/// It could not be done.
const FAILED: u8 = 1;

/// It was done, and something needs somebody.
const ATTENTION: u8 = 3;

#[derive(Debug, Parser)]
#[command(name = "gatehouse", version, about, long_about = None)]
#[command(
    after_help = "Begin with: gatehouse demo\nExit codes: 0 done, 1 failed, 2 the command or the file is wrong"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Publish what a file says, until SIGTERM or Ctrl-C
    #[command(after_help = "Example: gatehouse run --config /etc/gatehouse/gatehouse.toml")]
    Run {
        /// The operator's file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read a file and say everything that is wrong with it; changes nothing
    #[command(
        after_help = "Example: gatehouse check /etc/gatehouse/gatehouse.toml\nExit codes: 0 nothing is wrong, though there may be warnings; 2 the file is refused"
    )]
    Check {
        /// The operator's file
        file: PathBuf,
        /// Print complaints as JSON, one object a line
        #[arg(long)]
        json: bool,
        /// If nothing is wrong, print all that is in force as one file, with each default
        #[arg(long, conflicts_with = "json")]
        show_defaults: bool,
    },
    /// Say what a key or table of the file means; without one, list all
    #[command(
        after_help = "Examples: gatehouse keys response_head\n          gatehouse keys pool.web.tls\n          gatehouse keys limits"
    )]
    Keys {
        /// A key, with its tables or without: `timeouts.connect`, `connect`, `pool.NAME.tls`
        key: Option<String>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Print the page appliance/docs/configuration.md
        #[arg(long, hide = true, conflicts_with_all = ["key", "json"])]
        markdown: bool,
    },
    /// Print a JSON schema of the file, for editors that complete and check TOML
    #[command(after_help = "Example: gatehouse schema > gatehouse.schema.json")]
    Schema,
    /// Say what a word of the log means and what to do; without a word, list all
    #[command(after_help = "Example: gatehouse explain upstream_tls_failed")]
    Explain {
        /// What `failure` says in a line of the access log
        word: Option<String>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Print the page appliance/docs/log-words.md
        #[arg(long, hide = true, conflicts_with_all = ["word", "json"])]
        markdown: bool,
    },
    /// Connect to a pool's servers, or to one server, and say which settings work, what goes into the
    /// file, and what has to be changed at the server; changes nothing
    #[command(
        after_help = "Examples: gatehouse doctor front-end\n          gatehouse doctor fe01.contoso.local:4443 --config /etc/gatehouse/gatehouse.toml\nIt connects from the adapter that the file names for the pool, tries TLS versions and cipher suites one by one, and sends\none request without a credential. A server takes a minute at most. No instance has to run.\nWhat --json prints: appliance/docs/doctor.md\nExit codes: 0 it works, and the file has what it needs; 3 the file or a server has to be changed; 1 a server could not be examined; 2 the command or the file is wrong"
    )]
    Doctor {
        /// A pool of the file, or a server: HOST:PORT
        #[arg(value_name = "POOL|HOST:PORT")]
        what: String,
        /// The operator's file; /etc/gatehouse/gatehouse.toml if that is there
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Print JSON, one object a line for each address
        #[arg(long)]
        json: bool,
    },
    /// Make the running instance read its file again; if anything is wrong with it, nothing changes
    #[command(
        after_help = "Example: gatehouse reload\nExit codes: 0 the file is in force, 1 no instance was reached, 2 complaints were printed and the old file stays"
    )]
    Reload(Instance),
    /// Take a server of a pool out for maintenance, or in again; it stays so over reloads
    #[command(
        after_help = "Example: gatehouse pool front-end drain --server fe01.contoso.local:4443\nExit codes: 0 done, 1 no instance was reached, 2 there is no such pool or server"
    )]
    Pool {
        /// The pool's name in the file
        pool: String,
        /// What to do
        #[arg(value_enum)]
        verb: Verb,
        /// The server, as in the file; a name stands for all its addresses, an address for itself
        #[arg(long)]
        server: String,
        #[command(flatten)]
        instance: Instance,
    },
    /// Say how the running instance is: what it serves, what failed last, and what to do about it
    #[command(
        after_help = "Example: gatehouse status\n         gatehouse status --json | jq .troubles\nNumbers count from the start of the process. What --json prints: appliance/docs/status.md\nExit codes: 0 all is well, also while a drained server is noted; 3 something needs somebody and stands at the end; 1 no instance was reached"
    )]
    Status(Instance),
    /// Show a published page: no file, no root, nothing else installed
    #[command(after_help = "Example: gatehouse demo, then open https://127.0.0.1:8443/")]
    Demo {
        /// The port to publish on; the next free one if it is taken
        #[arg(long, default_value_t = 8443)]
        port: u16,
    },
}

/// Runs the command that the process was called with.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Run { config } => run::run(&config),
        Command::Check { file, show_defaults: true, .. } => check::show_defaults(&file),
        Command::Check { file, json, .. } => check::check(&file, json),
        Command::Keys { markdown: true, .. } => keys::page(),
        Command::Keys { key, json, .. } => keys::keys(key.as_deref(), json),
        Command::Schema => keys::schema(),
        Command::Explain { markdown: true, .. } => explain::page(),
        Command::Explain { word, json, .. } => explain::explain(word.as_deref(), json),
        Command::Doctor { what, config, json } => doctor::doctor(&what, config, json),
        Command::Reload(instance) => instance.have_done("reload"),
        Command::Pool { pool, verb, server, instance } => {
            instance.have_done(&drain_question(&pool, &server, verb == Verb::Drain))
        }
        Command::Status(instance) => status::status(&instance),
        Command::Demo { port } => demo::demo(port),
    };
    ExitCode::from(done)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A file of `appliance/` that is made from the code: it has to hold `text`, and does after a
    /// run with `GATEHOUSE_BLESS=1`.
    #[track_caller]
    pub(super) fn blessed(name: &str, text: &str) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("appliance").join(name);
        if std::env::var_os("GATEHOUSE_BLESS").is_some() {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, text).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        let differs = there.lines().zip(text.lines()).find(|(there, text)| there != text);
        assert!(
            there == text,
            "{name} is not what the code says ({differs:?}): run the tests with GATEHOUSE_BLESS=1"
        );
    }
}

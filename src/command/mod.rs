//! The operator's command line. Parses, calls, and turns results into exit codes.

mod check;
mod demo;
mod disk;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command was used wrongly, or the file has complaints.
const REFUSED: u8 = 2;

/// It could not be done.
const FAILED: u8 = 1;

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
    },
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
        Command::Check { file, json } => check::check(&file, json),
        Command::Demo { port } => demo::demo(port),
    };
    ExitCode::from(done)
}

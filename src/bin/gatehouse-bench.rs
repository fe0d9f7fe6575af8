//! The tools that measure, as a command: reads the arguments, calls, and turns the outcome into an exit code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use gatehouse::bench::{Trouble, certificate, origin, relay};

/// Measures Gatehouse on this machine: a load origin, a bare relay, and comparisons with nginx and HAProxy.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    Origin(OriginArgs),
    Relay(RelayArgs),
}

/// Serves cheap, constant answers over HTTP/1.1.
///
/// GET / answers 128 bytes, /bytes/N and /chunked/N answer N bytes, /delay/MS/... answers later, and any other method
/// answers the length of the body that it was sent.
#[derive(Args)]
#[command(after_help = "Example:\n  gatehouse-bench origin --listen 127.0.0.1:8080 --workers 2")]
struct OriginArgs {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Threads
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Speak TLS; without --certificate, with a fresh certificate that nobody trusts
    #[arg(long)]
    tls: bool,
    /// Certificate chain, PEM
    #[arg(long, requires_all = ["tls", "key"], value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Private key, PEM
    #[arg(long, requires = "certificate", value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Relays bytes between TCP connections over one ring, without HTTP: the floor of what a proxy can cost.
#[derive(Args)]
#[command(
    after_help = "Example:\n  gatehouse-bench relay --listen 127.0.0.1:8081 --to 127.0.0.1:8080"
)]
struct RelayArgs {
    /// Address and port to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// The server that every client gets a connection of its own to
    #[arg(long)]
    to: SocketAddr,
}

fn main() -> ExitCode {
    let outcome = match Command::parse().tool {
        Tool::Origin(arguments) => serve(&arguments),
        Tool::Relay(arguments) => relay_bytes(&arguments),
    };
    outcome.unwrap_or_else(|trouble| {
        eprintln!("gatehouse-bench: {trouble}");
        ExitCode::FAILURE
    })
}

fn serve(arguments: &OriginArgs) -> Result<ExitCode, Trouble> {
    let tls = match (&arguments.certificate, &arguments.key) {
        _ if !arguments.tls => None,
        (Some(chain), Some(key)) => Some(certificate::server_from_files(chain, key)?),
        _ => Some(certificate::Fresh::make()?.server()?),
    };
    let settings = origin::Settings { listen: arguments.listen, workers: arguments.workers, tls };
    let handle = origin::start(&settings)?;
    println!("listening on {}", handle.address());
    handle.wait()?;
    Ok(ExitCode::SUCCESS)
}

fn relay_bytes(arguments: &RelayArgs) -> Result<ExitCode, Trouble> {
    let settings = relay::Settings { listen: arguments.listen, to: arguments.to };
    relay::run(&settings, |address| println!("listening on {address}"))?;
    Ok(ExitCode::SUCCESS)
}

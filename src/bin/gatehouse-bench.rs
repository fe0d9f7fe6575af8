//! The tools that measure, as a command: reads the arguments, calls, and turns the outcome into an exit code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use gatehouse::bench::compare::{self, Case, Peer};
use gatehouse::bench::{Trouble, certificate, idle, origin, relay};
use serde::Serialize;

/// The exit code for `--enforce` when a goal is missed.
const GOAL_MISSED: u8 = 3;

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
    Compare(CompareArgs),
    Idle(IdleArgs),
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

/// Puts Gatehouse beside nginx, HAProxy and a bare relay and prints CPU time per request and the ratios.
///
/// Cases: plain, tls, tls-both, large (1 MiB answers), rules (very many rules against few, Gatehouse only). Needs the
/// Debian packages nginx, haproxy and wrk, and two cores that nothing else uses.
#[derive(Args)]
#[command(
    after_help = "Example:\n  gatehouse-bench compare --case plain,tls --rounds 5 --seconds 4 --keep /tmp/compare"
)]
struct CompareArgs {
    /// Cases to run
    #[arg(long = "case", value_delimiter = ',', default_value = "plain,tls,tls-both,large")]
    cases: Vec<Case>,
    /// Client connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How often each peer is measured
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each time
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Rules of the larger file in the case rules
    #[arg(long, default_value_t = 100_000)]
    rules: usize,
    /// Sites that they are spread over; the smaller file has the rules of one site
    #[arg(long, default_value_t = 10_000)]
    sites: usize,
    /// Programs to measure; the relay takes part in plain and large only
    #[arg(long, value_delimiter = ',', default_value = "gatehouse,nginx,haproxy,relay")]
    peers: Vec<Peer>,
    #[command(flatten)]
    place: Place,
}

/// Measures how much memory an idle TLS connection costs Gatehouse and nginx.
#[derive(Args)]
#[command(after_help = "Example:\n  gatehouse-bench idle --connections 5000")]
struct IdleArgs {
    /// Idle connections
    #[arg(long, default_value_t = 5000)]
    connections: usize,
    /// Programs to measure
    #[arg(long, value_delimiter = ',', default_value = "gatehouse,nginx")]
    peers: Vec<Peer>,
    #[command(flatten)]
    place: Place,
}

/// Where things run and what is left of them.
#[derive(Args)]
struct Place {
    /// Core of the proxies, core of load and origin
    #[arg(long, value_delimiter = ',', num_args = 1.., default_value = "0,1")]
    cores: Vec<usize>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
    /// End with exit code 3 when a goal is missed
    #[arg(long)]
    enforce: bool,
    /// Leave logs and configurations in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// The gatehouse program; without, the one beside this one
    #[arg(long, value_name = "PATH")]
    gatehouse: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Command::parse().tool {
        Tool::Origin(arguments) => serve(&arguments),
        Tool::Relay(arguments) => relay_bytes(&arguments),
        Tool::Compare(arguments) => compare_peers(arguments),
        Tool::Idle(arguments) => measure_idle(arguments),
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

fn compare_peers(arguments: CompareArgs) -> Result<ExitCode, Trouble> {
    let place = arguments.place;
    let settings = compare::Settings {
        cases: arguments.cases,
        connections: arguments.connections,
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        rules: arguments.rules,
        sites: arguments.sites,
        ..place.settings(arguments.peers)?
    };
    let report = compare::run(&settings, &mut tell)?;
    place.print(&report, report.misses_goals())
}

fn measure_idle(arguments: IdleArgs) -> Result<ExitCode, Trouble> {
    let place = arguments.place;
    let settings = place.settings(arguments.peers)?;
    let report = idle::run(&settings, arguments.connections, &mut tell)?;
    place.print(&report, report.misses_goals())
}

/// Progress goes beside the findings, so that these can be piped.
fn tell(line: &str) {
    eprintln!("{line}");
}

impl Place {
    /// Settings of a comparison here; what belongs to one tool only has any value.
    fn settings(&self, peers: Vec<Peer>) -> Result<compare::Settings, Trouble> {
        let [proxy_core, load_core] = self.cores[..] else {
            return Err(Trouble::new("--cores takes two numbers, such as 0,1"));
        };
        let gatehouse = match &self.gatehouse {
            Some(path) => path.clone(),
            None => std::env::current_exe()
                .map_err(Trouble::of("this program cannot be found"))?
                .with_file_name("gatehouse"),
        };
        Ok(compare::Settings {
            cases: Vec::new(),
            peers,
            connections: 64,
            rounds: 1,
            seconds: 1,
            proxy_core,
            load_core,
            keep: self.keep.clone(),
            gatehouse,
            rules: 1,
            sites: 1,
        })
    }

    /// Prints the findings and judges them.
    fn print<R: Serialize + std::fmt::Display>(
        &self,
        report: &R,
        misses_goals: bool,
    ) -> Result<ExitCode, Trouble> {
        if self.json {
            let text = serde_json::to_string_pretty(report)
                .map_err(Trouble::of("the findings cannot be written as JSON"))?;
            println!("{text}");
        } else {
            print!("{report}");
        }
        let missed = self.enforce && misses_goals;
        Ok(if missed { ExitCode::from(GOAL_MISSED) } else { ExitCode::SUCCESS })
    }
}

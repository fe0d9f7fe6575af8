//! Runs one case: all peers started, one at a time under load, in rounds whose order rotates so that no peer always runs
//! first.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::case::{Case, Peer};
use super::child::Running;
use super::machine::Busy;
use super::report::{CaseReport, PeerReport, Round};
use super::stage::{Actor, Stage};
use super::wrk::{self, Load};
use super::{child, cpu, files, log_lines};
use crate::bench::{Trouble, clock};

/// After this time without requests, a peer's log is complete: they write at least once a second.
const LOG_REST: Duration = Duration::from_millis(1500);
/// How long the warm-up of each peer takes.
const WARM_UP_SECONDS: u64 = 1;

/// A peer with what it has shown so far.
struct Runner {
    peer: Peer,
    report: PeerReport,
    /// None when it did not start or has failed.
    actor: Option<Actor>,
    /// The load tool's script, where the case has one.
    script: Option<PathBuf>,
    rests_since: Instant,
}

/// Runs `case` and tells what it is doing.
pub(super) fn run(
    stage: &mut Stage<'_>,
    case: Case,
    progress: &mut dyn FnMut(&str),
) -> Result<CaseReport, Trouble> {
    let (origin_process, origin) = stage.origin(case)?;
    let mut runners = Vec::new();
    for (peer, rules) in line_up(stage, case) {
        runners.push(start(stage, case, peer, origin, rules)?);
    }
    let settings = stage.settings;
    for runner in &mut runners {
        progress(&format!("{case}: warming up {}", runner.report.name));
        runner.load(stage, case, &origin_process, WARM_UP_SECONDS)?;
    }
    for round in 0..settings.rounds {
        for turn in 0..runners.len() {
            let count = runners.len();
            let runner = &mut runners[(turn + round) % count];
            let name = &runner.report.name;
            progress(&format!("{case}: round {} of {}, {name}", round + 1, settings.rounds));
            runner.harvest()?;
            if let Some(found) = runner.load(stage, case, &origin_process, settings.seconds)? {
                runner.report.rounds.push(found);
            }
        }
    }
    for runner in &mut runners {
        runner.harvest()?;
        runner.check_rounds(settings.rounds);
    }
    let peers = runners.into_iter().map(|runner| (runner.peer, runner.report)).collect();
    Ok(CaseReport::new(case, peers))
}

/// Who takes part, with rules and sites where they matter.
fn line_up(stage: &Stage<'_>, case: Case) -> Vec<(Peer, Option<(usize, usize)>)> {
    let settings = stage.settings;
    if case == Case::Rules {
        let few = settings.rules / settings.sites;
        return vec![
            (Peer::Gatehouse, Some((few, 1))),
            (Peer::Gatehouse, Some((settings.rules, settings.sites))),
        ];
    }
    let peers = settings.peers.iter().filter(|peer| case.admits(**peer));
    peers.map(|peer| (*peer, None)).collect()
}

/// Starts a peer. One that does not start is a complaint in the report, and no end of the comparison.
fn start(
    stage: &mut Stage<'_>,
    case: Case,
    peer: Peer,
    origin: std::net::SocketAddr,
    rules: Option<(usize, usize)>,
) -> Result<Runner, Trouble> {
    let mut report = PeerReport { name: peer.to_string(), ..PeerReport::default() };
    let mut script = None;
    if let Some((rules, sites)) = rules {
        report.name = format!("{peer}-{rules}");
        let path = stage.folder.join(format!("rules-{rules}.lua"));
        child::write_file(&path, &files::rules_script(rules, sites))?;
        script = Some(path);
    }
    let actor = match stage.actor(case, peer, origin, rules) {
        Ok(actor) => Some(actor),
        Err(trouble) => {
            report.complaints.push(trouble.to_string());
            None
        }
    };
    Ok(Runner { peer, report, actor, script, rests_since: clock::now() })
}

impl Runner {
    /// Puts the peer under load for some seconds; `None` if it is not there or gave no answers.
    fn load(
        &mut self,
        stage: &Stage<'_>,
        case: Case,
        origin: &Running,
        seconds: u64,
    ) -> Result<Option<Round>, Trouble> {
        let Some(actor) = &mut self.actor else { return Ok(None) };
        if let Err(trouble) = actor.running.still_runs() {
            self.report.complaints.push(trouble.to_string());
            self.actor = None;
            return Ok(None);
        }
        let process = actor.running.process();
        let ours = [process, origin.process()];
        let busy = Busy::now(&ours)?;
        let before = cpu::used(process)?;
        let load = wrk(stage, case, actor, self.script.as_ref(), seconds)?;
        let cpu = cpu::used(process)?.since(before);
        let others_percent = Busy::now(&ours)?.others_percent(busy, load.seconds.max(1e-3));
        self.rests_since = clock::now();
        self.report.answered += load.requests;
        let name = &self.report.name;
        if load.refused > 0 || load.socket_errors > 0 {
            self.report.complaints.push(format!(
                "{name}: {} of {} answers were neither 2xx nor 3xx, and {} connections failed",
                load.refused, load.requests, load.socket_errors
            ));
        }
        if load.requests == 0 {
            self.report.complaints.push(format!("{name}: no request was answered"));
            return Ok(None);
        }
        Ok(Some(Round::new(load, cpu, others_percent)))
    }

    /// Counts the log's new lines, once the peer has rested long enough to have written them all.
    fn harvest(&mut self) -> Result<(), Trouble> {
        if let (Some(actor), Peer::Gatehouse | Peer::Nginx) = (&self.actor, self.peer) {
            child::pause_until(self.rests_since + LOG_REST);
            let lines = log_lines::harvest(&actor.folder, "access.log")?;
            *self.report.log_lines.get_or_insert(0) += lines;
        }
        Ok(())
    }

    /// Ratios pair rounds by number, so a missing round has to be seen.
    fn check_rounds(&mut self, rounds: usize) {
        let found = self.report.rounds.len();
        if found < rounds {
            let name = &self.report.name;
            self.report
                .complaints
                .push(format!("{name}: {found} of {rounds} rounds were measured"));
        }
    }
}

/// One run of the load tool.
fn wrk(
    stage: &Stage<'_>,
    case: Case,
    actor: &Actor,
    script: Option<&PathBuf>,
    seconds: u64,
) -> Result<Load, Trouble> {
    let program = child::find_programs(&["wrk"])?;
    let mut command = child::pinned(stage.settings.load_core, &program[0]);
    command.args(["-t1", "--latency", "--timeout", "10s"]);
    command.arg(format!("-c{}", stage.settings.connections)).arg(format!("-d{seconds}s"));
    if let Some(script) = script {
        command.arg("-s").arg(script);
    }
    // With TLS a name is needed: an address may not stand in the server name of a TLS hello.
    let port = actor.address.port();
    let url = if case.has_client_tls() {
        format!("https://localhost:{port}{}", case.path())
    } else {
        format!("http://127.0.0.1:{port}{}", case.path())
    };
    let output = command
        .arg(url)
        .stderr(Stdio::piped())
        .output()
        .map_err(Trouble::of("wrk cannot be started"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    wrk::parse(&text).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        Trouble::new(format!("wrk, asking {}, did not report: {text}{errors}", actor.name))
    })
}

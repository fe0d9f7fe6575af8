//! What a comparison has found: figures per peer, ratios, and the tables that people read.

use std::fmt;

use serde::Serialize;

use super::case::{Case, Peer};
use super::cpu::Cpu;
use super::table::Table;
use super::wrk::Load;

/// Beyond this use of one core by programs that are no part of it, a measurement is called disturbed.
const OTHERS_MAX_PERCENT: f64 = 10.0;

/// The whole comparison.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Client connections.
    pub connections: usize,
    /// The case by case findings.
    pub cases: Vec<CaseReport>,
}

/// One case.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    /// The case's word.
    pub case: &'static str,
    /// What it measures.
    pub title: &'static str,
    /// The peers, as asked for.
    pub peers: Vec<PeerReport>,
    /// Gatehouse against the others.
    pub ratios: Vec<Ratio>,
}

/// One peer in one case.
#[derive(Debug, Default, Serialize)]
pub struct PeerReport {
    /// Its name.
    pub name: String,
    /// Its rounds.
    pub rounds: Vec<Round>,
    /// Answers that the load tool has seen, warm-up included.
    pub answered: u64,
    /// Lines of its access log, where it writes one.
    pub log_lines: Option<u64>,
    /// What went wrong.
    pub complaints: Vec<String>,
}

/// One round of one peer.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// What the load tool has seen.
    pub load: Load,
    /// What the peer has used.
    pub cpu: Cpu,
    /// The same per request, in microseconds.
    pub cpu_us: f64,
    /// What programs beside the comparison's have used meanwhile, in percent of one core.
    pub others_percent: f64,
}

/// The CPU time per request of one peer as a part of another's, round by round.
#[derive(Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Whose time.
    pub of: String,
    /// As a part of whose.
    pub to: String,
    /// The middle of the rounds.
    pub median: f64,
    /// The best round.
    pub min: f64,
    /// The worst round.
    pub max: f64,
    /// What the median must not exceed.
    pub goal: Option<f64>,
    /// Whether it does not.
    pub met: bool,
}

impl Round {
    /// A round with its derived figures.
    pub fn new(load: Load, cpu: Cpu, others_percent: f64) -> Self {
        let mut round = Self { load, cpu, cpu_us: 0.0, others_percent };
        round.cpu_us = round.per_request(cpu.total_ns);
        round
    }

    fn per_request(&self, ns: u64) -> f64 {
        ns as f64 / 1e3 / (self.load.requests.max(1) as f64)
    }
}

impl PeerReport {
    /// The middle of the rounds of some figure.
    fn middle(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect()).unwrap_or(f64::NAN)
    }

    /// The CPU time per request, round by round, as a part of `other`'s.
    pub fn ratio(&self, other: &Self, goal: Option<f64>) -> Option<Ratio> {
        let pairs = self.rounds.iter().zip(&other.rounds);
        let ratios: Vec<f64> = pairs
            .filter(|(one, other)| one.load.requests > 0 && other.cpu.total_ns > 0)
            .map(|(one, other)| one.cpu_us / other.cpu_us)
            .collect();
        let min = ratios.iter().copied().reduce(f64::min)?;
        let max = ratios.iter().copied().reduce(f64::max)?;
        let median = median(ratios)?;
        let met = goal.is_none_or(|goal| median <= goal);
        Some(Ratio { of: self.name.clone(), to: other.name.clone(), median, min, max, goal, met })
    }

    fn row(&self) -> Vec<String> {
        let number = |figure: f64, digits: usize| {
            if figure.is_nan() { "-".to_owned() } else { format!("{figure:.digits$}") }
        };
        let busy = |round: &Round| round.cpu.total_ns as f64 / 1e7 / round.load.seconds;
        vec![
            self.name.clone(),
            number(self.middle(|round| round.cpu_us), 2),
            number(self.middle(|round| round.per_request(round.cpu.user_ns)), 2),
            number(self.middle(|round| round.per_request(round.cpu.system_ns)), 2),
            number(self.middle(|round| round.load.requests as f64 / round.load.seconds), 0),
            number(self.middle(busy), 0),
            number(self.middle(|round| round.load.p50_us / 1e3), 2),
            number(self.middle(|round| round.load.p99_us / 1e3), 2),
            number(self.middle(|round| round.others_percent), 0),
        ]
    }
}

impl CaseReport {
    /// Puts the ratios to the peers' figures.
    pub fn new(case: Case, peers: Vec<(Peer, PeerReport)>) -> Self {
        let mut ratios = Vec::new();
        if case == Case::Rules {
            // Few rules come first.
            if let [(_, few), (_, many)] = &peers[..] {
                ratios.extend(many.ratio(few, case.goal(Peer::Gatehouse)));
            }
        } else if let Some((_, ours)) = peers.iter().find(|(peer, _)| *peer == Peer::Gatehouse) {
            for (peer, theirs) in peers.iter().filter(|(peer, _)| *peer != Peer::Gatehouse) {
                ratios.extend(ours.ratio(theirs, case.goal(*peer)));
            }
        }
        let peers = peers.into_iter().map(|(_, report)| report).collect();
        Self { case: case.word(), title: case.title(), peers, ratios }
    }
}

impl Report {
    /// Some ratio is beyond its goal, or one that has a goal could not be measured.
    pub fn misses_goals(&self) -> bool {
        let unmeasured = |case: &CaseReport| case.peers.iter().any(|peer| peer.rounds.is_empty());
        self.cases.iter().any(|case| unmeasured(case) || case.ratios.iter().any(|ratio| !ratio.met))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for case in &self.cases {
            writeln!(out, "{}: {}, {} connections\n", case.case, case.title, self.connections)?;
            write!(out, "{}", case.figures())?;
            if !case.ratios.is_empty() {
                write!(out, "\n{}", case.comparison())?;
            }
            if case.is_disturbed() {
                writeln!(
                    out,
                    "\n  !! other programs have used more than {OTHERS_MAX_PERCENT:.0} % of a core in some rounds; repeat \
                     on a quiet machine before trusting these figures"
                )?;
            }
            for peer in &case.peers {
                if let Some(lines) = peer.log_lines {
                    let difference = lines as i128 - i128::from(peer.answered);
                    writeln!(
                        out,
                        "\n  {}: {lines} log lines for {} answers ({difference:+}; the load tool leaves \
                         up to {} requests open at each stop)",
                        peer.name, peer.answered, self.connections
                    )?;
                }
                for complaint in &peer.complaints {
                    writeln!(out, "\n  !! {complaint}")?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl CaseReport {
    fn is_disturbed(&self) -> bool {
        let rounds = self.peers.iter().flat_map(|peer| &peer.rounds);
        rounds.into_iter().any(|round| round.others_percent > OTHERS_MAX_PERCENT)
    }

    fn figures(&self) -> Table {
        let mut table = Table::new(&[
            "peer",
            "CPU us/request",
            "user",
            "system",
            "requests/s",
            "busy %",
            "p50 ms",
            "p99 ms",
            "others %",
        ]);
        for peer in &self.peers {
            table.push(peer.row());
        }
        table
    }

    fn comparison(&self) -> Table {
        let mut table = Table::new(&["CPU per request", "median", "min", "max", "goal", ""]);
        for ratio in &self.ratios {
            let verdict = match (ratio.goal, ratio.met) {
                (None, _) => "",
                (Some(_), true) => "ok",
                (Some(_), false) => "MISSED",
            };
            table.push(vec![
                format!("{} / {}", ratio.of, ratio.to),
                format!("{:.3}", ratio.median),
                format!("{:.3}", ratio.min),
                format!("{:.3}", ratio.max),
                ratio.goal.map_or_else(|| "-".to_owned(), |goal| format!("{goal:.2}")),
                verdict.to_owned(),
            ]);
        }
        table
    }
}

/// The middle value; of two middle ones, their mean.
fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    Some(if even { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, cpu_us: &[u64]) -> PeerReport {
        let round = |us: &u64| {
            let load = Load { requests: 1000, seconds: 1.0, ..Load::default() };
            Round::new(load, Cpu { total_ns: us * 1_000_000, ..Cpu::default() }, 0.0)
        };
        PeerReport {
            name: name.to_owned(),
            rounds: cpu_us.iter().map(round).collect(),
            ..PeerReport::default()
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn ratios_pair_rounds() {
        let ratio = peer("a", &[9, 8, 20]).ratio(&peer("b", &[10, 10, 10]), Some(0.9)).unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max, ratio.met), (0.9, 0.8, 2.0, true));
        assert_eq!(peer("a", &[]).ratio(&peer("b", &[10]), None), None);
    }

    #[test]
    fn a_report_shows_goals_and_complaints() {
        let mut broken = peer("haproxy", &[]);
        broken.complaints.push("haproxy has ended".to_owned());
        let peers = vec![
            (Peer::Gatehouse, peer("gatehouse", &[9])),
            (Peer::Nginx, peer("nginx", &[9])),
            (Peer::Haproxy, broken),
        ];
        let report = Report { connections: 64, cases: vec![CaseReport::new(Case::Plain, peers)] };
        let text = report.to_string();
        assert!(report.misses_goals());
        assert!(text.contains("gatehouse / nginx   1.000  1.000  1.000  0.90  MISSED"), "{text}");
        assert!(text.contains("!! haproxy has ended"), "{text}");
        assert!(text.contains("haproxy                 -"), "{text}");
    }
}

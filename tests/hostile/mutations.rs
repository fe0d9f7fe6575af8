//! Mutated connections: what we would forward is read by nginx and by Apache as we read it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::answer::{Answer, Got, Wire};
use super::dice::Dice;
use super::mutate;
use super::oracle::{self, End, Reading, Request};
use super::stage::{Neighbour, Servers, Stage, is_published};

/// Connections that are under way at once.
const THREADS: u64 = 6;

/// Requests that are sent to a server before its answers are read.
const BATCH: usize = 24;

/// And their bytes, so that neither side waits for the other to read.
const BATCH_BYTES: usize = 48 * 1024;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The rounds of this run: all, or the one that is to be repeated.
struct Plan {
    seed: u64,
    rounds: Vec<u64>,
}

impl Plan {
    /// One of `share` of the mutated connections.
    fn new(share: u64) -> Self {
        let seed = number("GATEHOUSE_FUZZ_SEED").unwrap_or(0x6761_7465);
        let rounds = number("GATEHOUSE_FUZZ_ROUNDS").unwrap_or(100_000) / share;
        let rounds = match number("GATEHOUSE_FUZZ_ROUND") {
            Some(round) => vec![round],
            // Another part of the dice's sequence for each share.
            None => (0..rounds.max(1)).map(|round| round + (share - 1) * 1_000_000_000).collect(),
        };
        Self { seed, rounds }
    }

    fn dice(&self, round: u64) -> Dice {
        Dice::new(self.seed ^ round.rotate_left(32))
    }

    fn bytes(&self, round: u64) -> Vec<u8> {
        mutate::connection(round, &mut self.dice(round))
    }

    /// How to have this round again, and its bytes.
    fn replay(&self, round: u64) -> String {
        let bytes = self.bytes(round);
        format!(
            "GATEHOUSE_FUZZ_SEED={} GATEHOUSE_FUZZ_ROUND={round}\nsent: {}",
            self.seed,
            bytes.escape_ascii()
        )
    }
}

/// What was seen beside differences.
#[derive(Default)]
struct Tally {
    forwarded: usize,
    /// Who refused what we forward, and examples of it.
    stricter: BTreeMap<String, (usize, Vec<String>)>,
}

/// Examples that are printed of each kind.
const EXAMPLES: usize = 3;

impl Tally {
    fn refused(&mut self, server: &str, what: &str, request: &Request) {
        let kind = format!("{server}: {what}, {}", request.oddity());
        let entry = self.stricter.entry(kind).or_default();
        entry.0 += 1;
        if entry.1.len() < EXAMPLES {
            let shown = &request.bytes[..request.bytes.len().min(200)];
            entry.1.push(shown.escape_ascii().to_string());
        }
    }

    fn add(&mut self, other: Self) {
        self.forwarded += other.forwarded;
        for (kind, (count, examples)) in other.stricter {
            let entry = self.stricter.entry(kind).or_default();
            entry.0 += count;
            let room = EXAMPLES.saturating_sub(entry.1.len());
            entry.1.extend(examples.into_iter().take(room));
        }
    }

    fn print(&self, what: &str) {
        let mut text = format!("{what}: {} requests forwarded\n", self.forwarded);
        for (kind, (count, examples)) in &self.stricter {
            let _ = writeln!(text, "  we are laxer, {kind}, {count} times, such as");
            for example in examples {
                let _ = writeln!(text, "    {example}");
            }
        }
        eprint!("{text}");
    }
}

/// How a server took a request that is right to us.
#[derive(Debug, PartialEq, Eq)]
enum Took {
    Same,
    /// It refuses what we forward: no difference in meaning, but worth knowing.
    Refused(String),
}

/// Compares a server's answer with what we read.
fn compare(answer: &Answer, request: &Request) -> Result<Took, String> {
    match answer.seen() {
        Some(seen) if seen == request.seen => Ok(Took::Same),
        Some(seen) if request.is_but_for_slashes(&seen) => {
            Ok(Took::Refused("respells a target that begins with `//`".to_owned()))
        }
        Some(seen) => Err(format!("we read [{}], it read [{seen}]", request.seen)),
        None if answer.status >= 400 => Ok(Took::Refused(format!("status {}", answer.status))),
        // Apache speaks for itself where it is asked as a server or as the last proxy.
        None if request.asks_the_server() => Ok(Took::Refused("answers it itself".to_owned())),
        None => Err(format!("we read [{}], it said {}", request.seen, answer.status)),
    }
}

/// A keep-alive connection straight to a server.
struct Line {
    server: &'static str,
    port: u16,
    wire: Wire,
}

impl Line {
    fn open(server: &'static str, port: u16) -> Self {
        Self { server, port, wire: Wire::open(port) }
    }

    fn send(&mut self, requests: &[&Request]) {
        let bytes: Vec<u8> = requests.iter().flat_map(|request| &request.bytes).copied().collect();
        self.wire.send(&bytes);
    }

    /// Reads the answers to `requests`, which have been sent. After a refusal that ends the
    /// connection what is left is sent again on another.
    fn read(&mut self, requests: &[&Request], tally: &mut Tally) -> Result<(), String> {
        let mut alone = false;
        let mut at = 0;
        while let Some(request) = requests.get(at) {
            let got = self.wire.answer(request.method == b"HEAD");
            let took = match &got {
                Got::Answer(answer) => compare(answer, request)?,
                Got::End | Got::Cut(_) if !alone => {
                    // It ended over an earlier one. This one gets a connection of its own, so that
                    // nothing else can be why there is no answer.
                    self.wire = Wire::open(self.port);
                    self.send(&requests[at..=at]);
                    alone = true;
                    continue;
                }
                Got::End | Got::Cut(_) => Took::Refused("no answer".to_owned()),
                other => {
                    return Err(format!("we read [{}], there was {}", request.seen, other.words()));
                }
            };
            let closes = match &got {
                Got::Answer(answer) => answer.closes(),
                _ => true,
            };
            if let Took::Refused(what) = took {
                tally.refused(self.server, &what, request);
            }
            at += 1;
            if (closes || alone) && at < requests.len() {
                if closes {
                    self.wire = Wire::open(self.port);
                }
                self.send(&requests[at..]);
            } else if closes {
                self.wire = Wire::open(self.port);
            }
            alone = false;
        }
        Ok(())
    }
}

/// Both servers, asked by one thread.
struct Pair([Line; 2]);

impl Pair {
    fn open(servers: &Servers) -> Self {
        Self([Line::open("nginx", servers.nginx), Line::open("apache", servers.apache)])
    }

    /// Has both read the same requests.
    fn compare(&mut self, requests: &[&Request], tally: &mut Tally) -> Result<(), String> {
        for line in &mut self.0 {
            line.send(requests);
        }
        for line in &mut self.0 {
            let read = line.read(requests, tally);
            read.map_err(|what| format!("{}: {what}", line.server))?;
        }
        Ok(())
    }
}

/// Rounds and what would be forwarded of them.
#[derive(Default)]
struct Batch {
    rounds: Vec<(u64, Vec<Request>)>,
    count: usize,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, round: u64, reading: Reading) {
        // Nobody is asked for what has no name.
        let requests = reading.requests.into_iter().filter(|request| !request.host.is_empty());
        let requests: Vec<Request> = requests.collect();
        self.count += requests.len();
        self.bytes += requests.iter().map(|request| request.bytes.len()).sum::<usize>();
        if !requests.is_empty() {
            self.rounds.push((round, requests));
        }
    }

    fn is_full(&self) -> bool {
        self.count >= BATCH || self.bytes >= BATCH_BYTES
    }

    fn run(&self, servers: &Servers, pair: &mut Pair, tally: &mut Tally) -> Result<(), String> {
        let all = self.rounds.iter().flat_map(|(_, requests)| requests).collect::<Vec<_>>();
        tally.forwarded += all.len();
        let Err(what) = pair.compare(&all, tally) else { return Ok(()) };
        // Which of them it was shows on connections of their own.
        let mut ignored = Tally::default();
        for (round, requests) in &self.rounds {
            let requests: Vec<&Request> = requests.iter().collect();
            if let Err(what) = Pair::open(servers).compare(&requests, &mut ignored) {
                return Err(format!("round {round}: {what}"));
            }
        }
        let rounds: Vec<u64> = self.rounds.iter().map(|(round, _)| *round).collect();
        Err(format!("together only, rounds {rounds:?}: {what}"))
    }
}

/// What one thread does: every [`THREADS`]th round.
fn run_rounds(
    first: u64,
    plan: &Plan,
    servers: &Servers,
    failed: &AtomicBool,
) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut pair = Pair::open(servers);
    let mut batch = Batch::default();
    for round in plan.rounds.iter().copied().skip(first as usize).step_by(THREADS as usize) {
        if failed.load(Ordering::Relaxed) {
            return Ok(tally);
        }
        let bytes = plan.bytes(round);
        let read = std::panic::catch_unwind(|| oracle::read(&bytes, &mut plan.dice(round)));
        let reading = read.map_err(|_| format!("a panic; {}", plan.replay(round)))?;
        batch.add(round, reading);
        if batch.is_full() {
            let full = std::mem::take(&mut batch);
            full.run(servers, &mut pair, &mut tally).map_err(|what| explain(plan, &full, &what))?;
        }
    }
    batch.run(servers, &mut pair, &mut tally).map_err(|what| explain(plan, &batch, &what))?;
    Ok(tally)
}

/// The difference, with the bytes of the rounds that it speaks of.
fn explain(plan: &Plan, batch: &Batch, what: &str) -> String {
    let mut text = what.to_owned();
    for (round, requests) in &batch.rounds {
        if what.starts_with(&format!("round {round}:")) || what.starts_with("together") {
            let _ = write!(text, "\n{}", plan.replay(*round));
            for request in requests {
                let _ = write!(text, "\nforwarded: {}", request.bytes.escape_ascii());
            }
        }
    }
    text
}

#[test]
fn servers_read_what_we_read() {
    let servers = Servers::start("mutations", false);
    let plan = Plan::new(1);
    let failed = AtomicBool::new(false);
    let sum = Mutex::new((Tally::default(), Vec::new()));
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            let (plan, servers, failed, sum) = (&plan, &servers, &failed, &sum);
            scope.spawn(move || {
                let ran = run_rounds(first, plan, servers, failed);
                let mut sum = sum.lock().expect("nobody panics with it");
                match ran {
                    Ok(tally) => sum.0.add(tally),
                    Err(what) => {
                        failed.store(true, Ordering::Relaxed);
                        sum.1.push(what);
                    }
                }
            });
        }
    });
    let (tally, differences) = sum.into_inner().expect("nobody panics with it");
    tally.print(&format!("{} mutated connections", plan.rounds.len()));
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// What is wrong with how Gatehouse dealt with a whole connection; the list gets what the server
/// said it has read.
fn judge(
    wire: &mut Wire,
    reading: &Reading,
    read: &mut Vec<String>,
    refused: &mut dyn FnMut(&str, &Request),
) -> Result<(), String> {
    // A server that refuses may end its connection, and with it goes the log-in of the client,
    // who has to notice.
    let (mut owned, mut logged_out) = (false, false);
    for request in &reading.requests {
        let got = wire.answer(request.method == b"HEAD");
        if logged_out && matches!(got, Got::End) {
            return Ok(());
        }
        let Got::Answer(answer) = got else {
            return Err(format!("[{}] got {}", request.seen, got.words()));
        };
        if let Some(seen) = answer.seen() {
            read.push(seen);
        }
        if answer.is_own() {
            let of_our_own = match (is_published(&request.host), request.ends_here) {
                (false, _) => Some(421),
                (true, true) => Some(200),
                (true, false) => None,
            };
            if of_our_own != Some(answer.status) {
                return Err(format!("[{}] got {} of our own", request.seen, answer.status));
            }
            if !request.bodiless {
                return at_end(wire);
            }
            continue;
        }
        if !is_published(&request.host) {
            return Err(format!("[{}] is not published", request.seen));
        }
        owned |= request.owns;
        if let Took::Refused(what) = compare(&answer, request)? {
            refused(&what, request);
            logged_out |= owned;
        }
    }
    let statuses: &[u16] = match reading.end {
        End::Over => return at_end(wire),
        End::Unfinished => &[408, 421],
        End::Head(status) => &[status],
        End::Body(status) => &[status, 421],
    };
    match wire.answer(reading.last_is_head) {
        Got::Answer(answer) if answer.is_own() && statuses.contains(&answer.status) => at_end(wire),
        // A server need not wait for a body to refuse its head.
        Got::Answer(answer) if reading.end_is_open() && answer.status >= 400 => {
            wire.answer(false);
            Ok(())
        }
        Got::End if reading.end == End::Unfinished || logged_out => Ok(()),
        other => Err(format!("at the end, {:?}, there was {}", reading.end, other.words())),
    }
}

impl Reading {
    /// The last request's head may have reached a server without its body.
    fn end_is_open(&self) -> bool {
        matches!(self.end, End::Body(_) | End::Unfinished)
    }
}

fn at_end(wire: &mut Wire) -> Result<(), String> {
    match wire.answer(false) {
        Got::End => Ok(()),
        other => Err(format!("where the connection should end, there was {}", other.words())),
    }
}

#[test]
fn what_passes_is_what_we_read() {
    let mut stage = Stage::set("through");
    let plan = Plan::new(40);
    let mut tally = Tally::default();
    for door in stage.doors.iter().filter(|door| door.raw) {
        let mut neighbour = Neighbour::open(door);
        for round in plan.rounds.iter().copied() {
            stage.servers.collector.take();
            let bytes = plan.bytes(round);
            let reading = oracle::read(&bytes, &mut plan.dice(round));
            let mut wire = Wire::open(door.port);
            wire.send(&bytes);
            wire.finish();
            let mut read = Vec::new();
            let mut refused = |what: &str, request: &Request| {
                tally.refused(door.server, what, request);
            };
            let judged = judge(&mut wire, &reading, &mut read, &mut refused);
            let judged = judged.and_then(|()| {
                read.push(neighbour.ask()?);
                let seen = stage.servers.collector.take();
                if seen == read { Ok(()) } else { Err(format!("the server read {seen:?}")) }
            });
            if let Err(what) = judged {
                stage.gatehouse.assert_well();
                panic!("{}: {what}\n{}", door.server, plan.replay(round));
            }
            tally.forwarded += reading.requests.len();
        }
    }
    stage.gatehouse.assert_well();
    tally.print(&format!("{} mutated connections through Gatehouse", plan.rounds.len() * 2));
}

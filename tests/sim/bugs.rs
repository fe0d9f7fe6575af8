//! Bugs in the proxy itself, each with the scenario that has to find it within a thousand seeds.
//!
//! `cargo test --test sim planted -- --ignored --nocapture` copies the sources, plants all of them
//! there, each behind a switch, builds once and plays. What is in use is never touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the scratch copy looks at to know which bug is to be there.
const SWITCH: &str = "GATEHOUSE_PLANTED";

struct Bug {
    name: &'static str,
    /// The scenario that finds it.
    found_by: &'static str,
    file: &'static str,
    /// An expression that stands there once.
    right: &'static str,
    /// What stands there with the bug.
    wrong: &'static str,
}

const fn bug(
    name: &'static str,
    found_by: &'static str,
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
) -> Bug {
    Bug { name, found_by, file, right, wrong }
}

const BUGS: &[Bug] = &[
    bug(
        "any method is repeated",
        "retry",
        "src/exchange/settle.rs",
        "matches!(request.method, Method::Get | Method::Head)",
        "true",
    ),
    bug(
        "an answer from before the request is taken",
        "ahead",
        "src/proxy/answer.rs",
        "upstream.socket().given() == exchange.given_before",
        "false",
    ),
    bug(
        "the time for an answer's head is forgotten",
        "patience",
        "src/proxy/upload.rs",
        "exchange.alarm.set(Which::Upstream, exchange.timeouts.response_head)",
        "()",
    ),
    bug(
        "the time for a request's head is given anew",
        "patience",
        "src/proxy/client.rs",
        "!begun && (seen > 0 || self.stream.holds_bytes())",
        "seen > 0 || self.stream.holds_bytes()",
    ),
    bug(
        "idle upstream connections stay",
        "patience",
        "src/proxy/idle.rs",
        "waiting.until > now",
        "true",
    ),
    bug(
        "exchanges under way are not counted down",
        "keep_alive",
        "src/proxy/obtain.rs",
        "self.server().load.leave()",
        "()",
    ),
    bug(
        "clients of an address are not counted down",
        "keep_alive",
        "src/proxy/admit.rs",
        "crowd.leave_from(household)",
        "()",
    ),
    bug(
        "tunnels are not counted down",
        "tunnels",
        "src/proxy/tunnel.rs",
        "self.0.tunnels_ended.add(1)",
        "()",
    ),
    bug(
        "a piece of seven bytes loses one",
        "keep_alive",
        "src/proxy/upload.rs",
        "block.truncate(piece.data)",
        "block.truncate(piece.data - usize::from(piece.data == 7))",
    ),
    bug(
        "a log-in's connection is anybody's",
        "logins",
        "src/proxy/obtain.rs",
        "Held::Own(OwnLease { lease, tie: None })",
        "Held::Shared(lease)",
    ),
    bug(
        "a challenged connection is anybody's",
        "logins",
        "src/exchange/pin.rs",
        "(ending.connection_lasts(answer), answer.challenge)",
        "(ending.connection_lasts(answer), false)",
    ),
    bug(
        "a log-in begins on a used connection",
        "logins",
        "src/proxy/obtain.rs",
        "fresh || own",
        "fresh",
    ),
    bug(
        "a client's own connection is forgotten",
        "crossing",
        "src/proxy/obtain.rs",
        "client.pins.iter().position(fits)",
        "None",
    ),
    bug(
        "half a request is followed by another",
        "early",
        "src/exchange/settle.rs",
        "self.request_whole",
        "true",
    ),
    bug(
        "a deadline is forgotten over the other",
        "storms",
        "src/proxy/alarm.rs",
        "other > now",
        "false",
    ),
    // It takes both.
    bug(
        "a deadline is forgotten over the other",
        "storms",
        "src/proxy/obtain.rs",
        "alarm.clear(Which::Client)",
        "()",
    ),
    bug(
        "what was said beside a slow client answers the next",
        "ahead",
        "src/proxy/forward.rs",
        "!spoke_since()",
        "true",
    ),
    bug(
        "an answer that was cut ends politely",
        "storms",
        "src/proxy/forward.rs",
        "if progress.answer_begun.get() { After::Reset } else { After::Close }",
        "After::Close",
    ),
    bug(
        "a tunnel that was cut ends politely",
        "tunnels",
        "src/proxy/tunnel.rs",
        "broken && way.end.get() != Some(End::Passed)",
        "false",
    ),
    bug(
        "clients that wait stay over the end",
        "drain",
        "src/proxy/client.rs",
        "may_go && self.worker.draining()",
        "false",
    ),
    bug(
        "a reload is not seen",
        "reloads",
        "src/proxy/worker.rs",
        "!Arc::ptr_eq(now, view)",
        "false",
    ),
    bug(
        "a broken connection that a sender knows of ends politely",
        "early",
        "src/net/outbox.rs",
        "self.broken.get() || !ours",
        "false",
    ),
    bug(
        "what is not taken in its turn stays",
        "keep_alive",
        "src/net/outbox.rs",
        "stuck(link)",
        "drop(link)",
    ),
    bug(
        "what was posted is overtaken",
        "keep_alive",
        "src/net/outbox.rs",
        "self.send_posted()?",
        "()",
    ),
    bug(
        "a body may be of any length",
        "limits",
        "src/proxy/upload.rs",
        "so_far > exchange.body_bytes_max",
        "false",
    ),
    bug(
        "an address may have any number of clients",
        "limits",
        "src/proxy/admit.rs",
        "*count < most",
        "true",
    ),
];

/// Where the sources of this package are.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn planted_bugs_have_their_place() {
    for bug in BUGS {
        let text = fs::read_to_string(root().join(bug.file)).expect("the file is there");
        let count = text.matches(bug.right).count();
        assert_eq!(count, 1, "{:?} stands in {} so many times", bug.right, bug.file);
    }
}

/// Copies a folder; what is there already and equal is left alone, so that little is built anew.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the target folder can be written");
    for entry in fs::read_dir(from).expect("the sources can be read") {
        let entry = entry.expect("the sources can be read");
        let (from, name) = (entry.path(), entry.file_name());
        if ["target", ".git"].iter().any(|left| *left == name) {
            continue;
        }
        let to = to.join(name);
        if from.is_dir() {
            copy(&from, &to);
        } else {
            put(&to, &fs::read(&from).expect("the sources can be read"));
        }
    }
}

fn put(file: &Path, content: &[u8]) {
    if fs::read(file).is_ok_and(|there| there == content) {
        return;
    }
    fs::write(file, content).expect("the target folder can be written");
}

/// The sources with every bug behind its switch.
fn plant() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    copy(root(), &scratch);
    for bug in BUGS {
        let file = scratch.join(bug.file);
        let text = fs::read_to_string(&file).expect("it was copied");
        let Bug { name, right, wrong, .. } = bug;
        let both = format!("(if crate::planted({name:?}) {{ {wrong} }} else {{ {right} }})");
        put(&file, text.replacen(right, &both, 1).as_bytes());
    }
    let map = scratch.join("src/lib.rs");
    let text = fs::read_to_string(&map).expect("it was copied");
    let switch = format!(
        "\n/// Whether this bug is to be there.\npub(crate) fn planted(name: &str) -> bool {{\n    \
         static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();\n    \
         NAME.get_or_init(|| std::env::var({SWITCH:?}).ok()).as_deref() == Some(name)\n}}\n"
    );
    put(&map, (text + &switch).as_bytes());
    scratch
}

/// Plays a scenario in the copy; what it says if it fails.
fn play(scratch: &Path, scenario: &str, bug: &str) -> Option<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(scratch).env(SWITCH, bug).env("RUST_BACKTRACE", "0");
    // Of its own: cargo would take the copy for this package.
    cargo.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-target"));
    // All but one are found among the first few hundred.
    cargo.env("CARGO_PROFILE_TEST_DEBUG", "0").env("GATEHOUSE_SIM_SEEDS", "4000");
    cargo.args(["test", "--offline", "--test", "sim", "--", "--exact"]);
    let ran = cargo.arg(format!("play::{scenario}")).output().expect("cargo can be run");
    let said = [ran.stdout, ran.stderr].concat();
    (!ran.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

#[test]
#[ignore = "builds the package once more; run it when the oracle or the proxy has changed much"]
fn planted_bugs_are_found() {
    let scratch = plant();
    for scenario in BUGS.iter().map(|bug| bug.found_by).collect::<BTreeSet<_>>() {
        let sound = play(&scratch, scenario, "none");
        assert!(sound.is_none(), "without a bug: {}", sound.unwrap_or_default());
    }
    let mut missed = Vec::new();
    for bug in BUGS {
        let said = play(&scratch, bug.found_by, bug.name).unwrap_or_default();
        let found = said.lines().skip_while(|line| !line.starts_with("scenario "));
        let found: Vec<&str> = found.take(2).collect();
        println!("{}: {}", bug.name, found.join(" "));
        if found.is_empty() {
            missed.push(bug.name);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

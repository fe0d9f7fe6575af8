//! Plays every scenario with many seeds.

use std::collections::BTreeMap;

use super::planted::Plant;
use super::scenarios::ALL;
use super::stage::{Scenario, run};
use super::world::seconds;

/// Seeds of each scenario where nobody asks for more.
const SEEDS: u64 = 1000;

fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number of a seed, or of seeds"))
}

fn scenario(name: &str) -> &'static Scenario {
    ALL.iter().find(|one| one.name == name).expect("a scenario of this name")
}

/// Plays one scenario; a seed that fails says how to play it again.
#[track_caller]
fn play(name: &str) {
    let scenario = scenario(name);
    if let Some(seed) = asked("GATEHOUSE_SIM_SEED") {
        let outcome = run(scenario, seed, None);
        for (at, what) in &outcome.story {
            println!("{:>12.6} {what}", seconds(*at));
        }
        println!("seed {seed}, trace {:016x}: {:?}", outcome.trace, outcome.seen);
        assert!(outcome.wrong.is_empty(), "{}", complaint(name, seed, &outcome.wrong));
        return;
    }
    let seeds = asked("GATEHOUSE_SIM_SEEDS").unwrap_or(SEEDS);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..seeds {
        let outcome = run(scenario, seed, None);
        assert!(outcome.wrong.is_empty(), "{}", complaint(name, seed, &outcome.wrong));
        for (what, count) in outcome.seen {
            *seen.entry(what).or_default() += u64::from(count);
        }
    }
    println!("{name}: {seeds} seeds, {seen:?}");
    if seeds >= SEEDS {
        for what in scenario.sees {
            assert!(seen.contains_key(what), "{name}: {what:?} never occurred, only {seen:?}");
        }
    }
}

fn complaint(name: &str, seed: u64, wrong: &[String]) -> String {
    let some = wrong.iter().take(8).cloned().collect::<Vec<_>>().join("\n  ");
    format!(
        "scenario {name}, seed {seed}:\n  {some}\nto play it again: GATEHOUSE_SIM_SEED={seed} cargo test --test sim {name}"
    )
}

#[test]
fn keep_alive() {
    play("keep_alive");
}

#[test]
fn early() {
    play("early");
}

#[test]
fn storms() {
    play("storms");
}

#[test]
fn retry() {
    play("retry");
}

#[test]
fn ahead() {
    play("ahead");
}

#[test]
fn logins() {
    play("logins");
}

#[test]
fn crossing() {
    play("crossing");
}

#[test]
fn tunnels() {
    play("tunnels");
}

#[test]
fn drain() {
    play("drain");
}

#[test]
fn reloads() {
    play("reloads");
}

#[test]
fn limits() {
    play("limits");
}

#[test]
fn patience() {
    play("patience");
}

#[test]
fn every_scenario_is_played() {
    let text = include_str!("play.rs");
    for scenario in ALL {
        assert!(text.contains(&format!("play(\"{}\");", scenario.name)), "{}", scenario.name);
    }
}

/// Which of a thousand seeds shows the bug first.
#[track_caller]
fn finds(plant: Plant, name: &str) {
    let found = (0..SEEDS).find_map(|seed| {
        let outcome = run(scenario(name), seed, Some(plant));
        Some((seed, outcome.wrong.into_iter().next()?))
    });
    println!("{plant:?}: {found:?}");
    assert!(found.is_some(), "{name} does not find {plant:?}");
}

#[test]
fn a_lost_byte_is_found() {
    finds(Plant::LostByte, "keep_alive");
}

#[test]
fn a_connection_of_two_is_found() {
    finds(Plant::SharedConnection, "keep_alive");
}

#[test]
fn a_connection_of_two_users_is_found() {
    finds(Plant::SharedConnection, "crossing");
}

#[test]
fn a_swallowed_wake_is_found() {
    finds(Plant::SwallowedWake, "keep_alive");
}

#[test]
fn a_reset_that_looks_like_an_end_is_found() {
    finds(Plant::PoliteReset, "early");
}

#[test]
fn a_forgotten_time_out_is_found() {
    finds(Plant::StandingClock, "patience");
}

/// The same seed gives the same run.
#[test]
fn a_run_can_be_repeated() {
    for scenario in ALL {
        for seed in 0..20 {
            let (first, second) = (run(scenario, seed, None), run(scenario, seed, None));
            assert_eq!(first.trace, second.trace, "{} {seed}", scenario.name);
            assert_eq!(first.wrong, second.wrong, "{} {seed}", scenario.name);
        }
    }
}

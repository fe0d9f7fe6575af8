//! Inputs that are kept, as they are and changed a little.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use super::{TARGETS, Target};

/// Rounds that `GATEHOUSE_FUZZ_ROUNDS` is measured by: with twice as many, every target takes twice
/// its own number.
const USUAL_ROUNDS: usize = 100_000;

/// Inputs are not longer than this.
const INPUT_BYTES_MAX: usize = 8192;

/// A small xorshift generator; the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides.max(1)
    }

    fn of<'o, T: AsRef<[u8]>>(&mut self, options: &'o [T]) -> &'o [u8] {
        options.get(self.roll(options.len())).map(AsRef::as_ref).unwrap_or_default()
    }
}

/// Changes `seed` in a few places; `others` lend parts of themselves.
fn mutate(dice: &mut Dice, seed: &[u8], others: &[Vec<u8>], pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        let length = dice.roll(bytes.len() - at + 1).min(dice.roll(40));
        match dice.roll(9) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + length)),
            2 => {
                let copy = bytes[at..at + length].to_vec();
                let to = dice.roll(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            3 if at < bytes.len() => bytes[at] = dice.roll(256) as u8,
            4 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            5 => {
                // Whole lines change places.
                let mut lines: Vec<_> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let (one, other) = (dice.roll(lines.len()), dice.roll(lines.len()));
                if one != other {
                    lines.swap(one, other);
                }
                bytes = lines.concat();
            }
            6 => {
                // At the start of a line.
                let line = memchr::memchr(b'\n', &bytes[at..]).map_or(at, |end| at + end + 1);
                bytes.splice(line..line, dice.of(pieces).iter().copied());
            }
            7 => {
                let other = dice.of(others);
                let start = dice.roll(other.len() + 1);
                let end = start + dice.roll(other.len() - start + 1).min(dice.roll(200));
                bytes.splice(at..at, other[start..end].iter().copied());
            }
            _ => drop(bytes.splice(at..at, dice.of(pieces).iter().copied())),
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// The inputs of a target by name, in an order that does not depend on the disk.
fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder().join(target.name);
    let entries = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{} has to hold inputs: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| fs::read(&path).map(|bytes| (path, bytes)).unwrap();
    paths.into_iter().map(read).collect()
}

fn rounds(target: &Target) -> usize {
    let asked = std::env::var("GATEHOUSE_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok());
    let asked: usize = asked.unwrap_or(USUAL_ROUNDS);
    (target.rounds * asked / USUAL_ROUNDS).max(1)
}

/// Judges the kept inputs of one target after they were changed a little.
fn change(target: &Target) {
    let seeds: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, bytes)| bytes).collect();
    assert!(!seeds.is_empty(), "{} has no inputs", target.name);
    // The same dice for the same target, whichever test runs first.
    let seed = target
        .name
        .bytes()
        .fold(0x9e37_79b9_u64, |seed, byte| seed.wrapping_mul(31) ^ u64::from(byte));
    let mut dice = Dice(seed);
    for round in 0..rounds(target) {
        let seed = &seeds[dice.roll(seeds.len())];
        let input = mutate(&mut dice, seed, &seeds, target.pieces);
        let judge = target.judge;
        let judged = catch_unwind(|| judge(&input));
        assert!(judged.is_ok(), "{} round {round}: {}", target.name, input.escape_ascii());
    }
}

/// A test for each target, so that they run side by side and say their names.
macro_rules! changed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            change(TARGETS.iter().find(|target| target.name == stringify!($name)).unwrap());
        })*

        #[test]
        fn every_target_is_changed() {
            let tests = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|target| target.name).as_slice(), tests);
        }
    };
}

changed! { request response answer chunked target path rule host dns names record greeting pieces flight config }

/// What was found once stays mended: every kept input holds.
#[test]
fn corpora_hold() {
    let mut broken = Vec::new();
    for target in &TARGETS {
        for (path, bytes) in corpus(target) {
            let judge = target.judge;
            if catch_unwind(|| judge(&bytes)).is_err() {
                broken.push(path);
            }
        }
    }
    assert!(broken.is_empty(), "these inputs break what must hold: {broken:#?}");
}

/// Inputs are few and small, and each folder belongs to a target.
#[test]
fn corpora_stay_small() {
    let mut bytes = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("no target is called {name}"));
        let inputs = corpus(target);
        assert!(inputs.iter().all(|(_, bytes)| bytes.len() <= INPUT_BYTES_MAX), "{name}");
        bytes += inputs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(bytes < 400_000, "{bytes} bytes: keep fewer inputs");
}

/// The loop finds what does not hold.
#[test]
#[should_panic(expected = "request round")]
fn a_fault_is_found() {
    let faulty = |bytes: &[u8]| assert!(!bytes.contains(&b'\0'), "the fault");
    change(&Target { judge: faulty, rounds: 20_000, ..TARGETS[0] });
}

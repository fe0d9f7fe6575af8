//! Planted faults, in `faults/*.txt`: each case is a small file and everything that is printed about
//! it. `GATEHOUSE_BLESS=1 cargo test --lib planted` writes what is printed now into the cases; read
//! the difference before it is committed.
//!
//! ```text
//! ~~~ around            the rest of the main file of every case; stands first, once
//! ~~~ case WHAT         the main file
//! ~~~ file NAME         a file beside it
//! ~~~ says              what is printed; nothing if there is nothing to complain about
//! ```

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::{Beside, NOW};
use crate::config;

struct Case {
    what: String,
    main: String,
    files: Vec<(String, String)>,
    says: String,
}

/// What every case of a file shares, and the cases.
fn parse(text: &str) -> (String, Vec<Case>) {
    let (mut around, mut cases) = (String::new(), Vec::<Case>::new());
    for block in format!("\n{text}").split("\n~~~ ").skip(1) {
        let (head, body) = block.split_once('\n').unwrap_or((block, ""));
        let body = if body.is_empty() {
            String::new()
        } else {
            format!("{}\n", body.trim_end_matches('\n'))
        };
        let (kind, rest) = head.split_once(' ').unwrap_or((head, ""));
        match (kind, cases.last_mut()) {
            ("around", None) => around = body,
            ("case", _) => {
                let (files, says) = (Vec::new(), String::new());
                cases.push(Case { what: rest.to_owned(), main: body, files, says });
            }
            ("file", Some(case)) => case.files.push((rest.to_owned(), body)),
            ("says", Some(case)) => case.says = body,
            _ => panic!("what is `~~~ {head}`?"),
        }
    }
    (around, cases)
}

fn unparse(around: &str, cases: &[Case]) -> String {
    let mut text = String::new();
    if !around.is_empty() {
        write!(text, "~~~ around\n{around}\n").unwrap();
    }
    for case in cases {
        write!(text, "~~~ case {}\n{}", case.what, case.main).unwrap();
        for (name, body) in &case.files {
            write!(text, "~~~ file {name}\n{body}").unwrap();
        }
        write!(text, "~~~ says\n{}\n", case.says).unwrap();
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn said(case: &Case, around: &str) -> String {
    let main = format!("{}{around}", case.main);
    let files = case.files.iter().map(|(name, body)| (PathBuf::from(name), body.clone().into()));
    let source = Beside(files.chain([(PathBuf::from("main.toml"), main.into())]).collect());
    let complaints = match config::read(Path::new("main.toml"), &source, NOW) {
        Ok((_, warnings)) => warnings,
        Err(complaints) => complaints,
    };
    if complaints.count() == 0 { String::new() } else { format!("{complaints}\n") }
}

fn check(topic: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/faults").join(topic);
    let (around, mut cases) = parse(&std::fs::read_to_string(&path).unwrap());
    let bless = std::env::var_os("GATEHOUSE_BLESS").is_some();
    let mut wrong = String::new();
    for case in &mut cases {
        let said = said(case, &around);
        if said != case.says && !bless {
            write!(wrong, "\n{topic}: {}\n--- expected\n{}--- said\n{said}", case.what, case.says)
                .unwrap();
        }
        case.says = said;
    }
    if bless {
        std::fs::write(&path, unparse(&around, &cases)).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
    cases.len()
}

#[test]
fn every_planted_fault_is_found() {
    let topics = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/tests/faults");
    let mut names: Vec<_> =
        std::fs::read_dir(topics).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let count: usize = names.iter().map(|name| check(name.to_str().unwrap())).sum();
    assert!(count >= 80, "{count} cases");
}

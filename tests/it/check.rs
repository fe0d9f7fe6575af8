//! `gatehouse check`, on files of the disk.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::Value;

use crate::rig::{Folder, Outcome, now, run};

const MAIN: &str = "include = [\"conf.d/*.toml\"]\n\
    [adapter.external]\naddresses = [\"192.0.2.1\"]\n\
    [listener.https]\nport = 443\ntls = true\ncertificate = \"a\"\n";

const CERTIFICATE: &str = "[certificate.a]\nchain = \"../a.pem\"\nkey = \"../a.key\"\n";

const SITE: &str = "[site.s]\nnames = [\"a.test\"]\nlisteners = [\"https\"]\n\
    rule = [{ path = \"/\", refuse = 404 }]\n";

fn folder(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.at("conf.d")).unwrap();
    folder.write("main.toml", MAIN);
    folder.write("conf.d/a.toml", CERTIFICATE);
    for (name, text) in files {
        folder.write(name, text);
    }
    folder
}

fn check(folder: &Folder, more: &[&str]) -> Outcome {
    let file = folder.at("main.toml");
    let words = ["check", file.to_str().unwrap()].into_iter().chain(more.iter().copied());
    run(env!("CARGO_BIN_EXE_gatehouse"), words)
}

fn objects(outcome: &Outcome) -> Vec<Value> {
    outcome.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn included_files_are_read_from_the_disk() {
    let folder = folder(&[("conf.d/b.toml", SITE), ("conf.d/c.toml.old", "no")]);
    let outcome = check(&folder, &[]);
    assert_eq!((outcome.status.code(), outcome.err.as_str()), (Some(0), ""));
    let said = ": nothing is wrong; 1 listeners, 1 sites, 1 rules, 0 pools\n";
    assert!(outcome.text().ends_with(said), "{}", outcome.text());
    assert_eq!(check(&folder, &["--json"]).text(), "");
}

#[test]
fn a_warning_is_printed_and_refuses_nothing() {
    let folder = folder(&[("conf.d/b.toml", SITE)]);
    fs::set_permissions(folder.at("a.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = check(&folder, &[]);
    assert_eq!(outcome.status.code(), Some(0), "{}", outcome.err);
    for words in ["conf.d/a.toml:3:7: warning: everybody", "help: `chmod o= ", "\n1 warning\n"] {
        assert!(outcome.err.contains(words), "{}", outcome.err);
    }
    assert!(outcome.text().contains(": nothing is wrong, with 1 warning; "), "{}", outcome.text());
    // Nobody's terminal.
    assert!(!outcome.err.contains('\u{1b}'), "{:?}", outcome.err);
}

#[test]
fn for_programs() {
    let again = format!("{CERTIFICATE}{SITE}[pool.edge]\n");
    let folder = folder(&[("conf.d/b.toml", &again)]);
    fs::set_permissions(folder.at("a.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = check(&folder, &["--json"]);
    assert_eq!((outcome.status.code(), outcome.err.as_str()), (Some(2), ""));
    let objects = objects(&outcome);
    let seen: Vec<_> = objects
        .iter()
        .map(|object| {
            let file = object["file"].as_str().unwrap().rsplit('/').next().unwrap();
            (object["severity"].as_str().unwrap(), file, object["line"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(seen, [("warning", "a.toml", 3), ("error", "b.toml", 1), ("error", "b.toml", 8)]);
    let twice = &objects[1];
    assert_eq!((&twice["column"], &twice["width"]), (&14.into(), &1.into()));
    assert_eq!(twice["message"], "certificate `a` is defined twice");
    assert_eq!(twice["help"], "give one of them another name, or take one out");
    let note = &twice["notes"][0];
    assert_eq!((&note["line"], &note["column"]), (&1.into(), &14.into()));
    assert_eq!(note["message"], "it was first defined here");
    assert!(note["file"].as_str().unwrap().ends_with("conf.d/a.toml"));
    assert_eq!(objects[2]["notes"], Value::Array(Vec::new()));
}

/// 10,000 sites with 10 rules each, `fault` in every rule of them.
fn large(fault: &str) -> String {
    let mut text = "[listener.http]\nport = 80\n".to_owned();
    for site in 0..10_000 {
        write!(text, "[pool.p{site}]\nservers = [\"10.0.0.1:80\"]\n").unwrap();
        write!(text, "[site.s{site}]\nnames = [\"s{site}.a.test\"]\nlisteners = [\"http\"]\n")
            .unwrap();
        for rule in 0..10 {
            write!(
                text,
                "[[site.s{site}.rule]]\nname = \"r{rule}\"\npath = \"/p{rule}\"\npool = \"p{site}{fault}\"\n"
            )
            .unwrap();
        }
    }
    text
}

/// Seconds, where a mistake that is quadratic takes hours. The figure is printed for people.
#[test]
fn a_large_file_is_read_at_once() {
    for (fault, more) in
        [("", ""), ("x", "\nand 99900 more; correct these first\n100000 complaints\n")]
    {
        let folder = folder(&[("conf.d/b.toml", &large(fault))]);
        let begin = now();
        let outcome = check(&folder, &[]);
        let took = begin.elapsed();
        println!("100000 rules with `{fault}`: {took:?}");
        assert_eq!(outcome.status.code(), Some(if fault.is_empty() { 0 } else { 2 }));
        assert!(outcome.err.contains(more), "{}", outcome.err);
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}

//! What the program says about itself: keys, schema, words of the log, and what is in force.

use crate::rig::{Folder, Outcome, run};

#[track_caller]
fn gatehouse(arguments: &[&str]) -> Outcome {
    run(env!("CARGO_BIN_EXE_gatehouse"), arguments)
}

/// Fails as a wrong command does, with these words.
#[track_caller]
fn refused(arguments: &[&str], words: &str) {
    let outcome = gatehouse(arguments);
    assert_eq!(outcome.status.code(), Some(2), "{arguments:?}");
    assert!(outcome.err.contains(words), "{}", outcome.err);
    assert_eq!(outcome.text(), "");
}

/// Every line is JSON.
#[track_caller]
fn lines(arguments: &[&str]) -> Vec<serde_json::Value> {
    let text = gatehouse(arguments).expect_success().text();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn keys() {
    let text = gatehouse(&["keys", "pool.web.timeouts.response_head"]).expect_success().text();
    for part in [
        "pool.NAME.timeouts.response_head\n",
        "Default: site.NAME.timeouts.response_head, else timeouts.response_head\n",
        "Order:   pool.NAME.timeouts.response_head before site.NAME.timeouts.response_head before timeouts.response_head\n",
        "Example: response_head = \"1860s\"\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = gatehouse(&["keys", "log"]).expect_success().text();
    assert!(text.starts_with("[log]\n") && text.contains("    query   "), "{text}");
    assert!(gatehouse(&["keys"]).expect_success().text().lines().count() > 80);
    let all = lines(&["keys", "--json"]);
    assert!(all.len() > 80 && all.iter().all(|key| key["meaning"].is_string()));
    assert_eq!(lines(&["keys", "limits.fields_max", "--json"])[0]["default"], "128");
    refused(&["keys", "respnse_head"], "did you mean `response_head`?");
    refused(&["keys", "zebra"], "no key or table is called `zebra`\n");
}

#[test]
fn explain() {
    let text = gatehouse(&["explain", "upstream_refused"]).expect_success().text();
    assert!(text.starts_with("upstream_refused: status 503, fault of upstream "), "{text}");
    assert!(text.contains("nc -vz SERVER PORT"), "{text}");
    assert_eq!(lines(&["explain", "chunk_size", "--json"]).len(), 2, "either side can do it");
    let all = lines(&["explain", "--json"]);
    assert_eq!(all.len(), gatehouse(&["explain"]).expect_success().text().lines().count());
    refused(&["explain", "upstream_refusd"], "did you mean `upstream_refused`?");
}

#[test]
fn schema() {
    let text = gatehouse(&["schema"]).expect_success().text();
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(schema["properties"]["timeouts"]["properties"]["connect"]["default"], "5s");
}

#[test]
fn what_is_in_force() {
    let folder = Folder::new();
    folder.write(
        "main.toml",
        "[certificate.a]\nchain = \"a.pem\"\nkey = \"a.key\"\n[pool.o]\nservers = [\"b:1\"]\n",
    );
    let path = |name: &str| folder.at(name).to_str().unwrap().to_owned();
    let shown =
        gatehouse(&["check", "--show-defaults", &path("main.toml")]).expect_success().text();
    assert!(shown.contains("\nresponse_head = \"1860s\" # default\n"), "{shown}");
    assert!(shown.contains(&format!("\nchain = \"{}\"\n", path("a.pem"))), "{shown}");
    // It holds wherever it lies.
    std::fs::create_dir(folder.at("elsewhere")).unwrap();
    folder.write("elsewhere/whole.toml", &shown);
    gatehouse(&["check", &path("elsewhere/whole.toml")]).expect_success();
    folder.write("main.toml", "[pool.o]\nserver = []\n");
    refused(&["check", "--show-defaults", &path("main.toml")], "did you mean `servers`?");
}

/// What includes others is printed as one file, whose paths are right wherever it lies.
#[test]
fn what_is_in_force_of_several_files() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.at("conf.d/deep")).unwrap();
    folder.write(
        "main.toml",
        "include = \"conf.d/*.toml\"\n[adapter.external]\naddresses = [\"192.0.2.1\"]\n",
    );
    folder.write(
        "conf.d/a.toml",
        "include = \"deep/s.toml\"\n[certificate.a]\nchain = \"../a.pem\"\nkey = \"../a.key\"\n",
    );
    folder
        .write("conf.d/b.toml", "[listener.https]\nport = 443\ntls = true\ncertificate = \"a\"\n");
    folder.write(
        "conf.d/deep/s.toml",
        "[site.s]\nnames = [\"a.test\"]\nlisteners = [\"https\"]\nerrors = { 404 = \"none.html\" }\n\
         rule = [{ path = \"/\", refuse = 404 }]\n",
    );
    folder.write("conf.d/deep/none.html", "nothing");
    // Named as an administrator does who stands beside it.
    let shown = run(
        "sh",
        ["-c", "cd \"$1\" && exec \"$2\" check --show-defaults main.toml", "sh"]
            .map(str::to_owned)
            .into_iter()
            .chain([
                folder.path().display().to_string(),
                env!("CARGO_BIN_EXE_gatehouse").to_owned(),
            ]),
    );
    let shown = shown.expect_success().text();
    assert!(
        shown.starts_with("# main.toml and the files that it includes, with each default"),
        "{shown}"
    );
    assert!(shown.contains("\n# conf.d/deep/s.toml\n[site.s]\n"), "{shown}");
    std::fs::create_dir(folder.at("elsewhere")).unwrap();
    folder.write("elsewhere/whole.toml", &shown);
    let whole = folder.at("elsewhere/whole.toml").display().to_string();
    let said = gatehouse(&["check", &whole]).expect_success().text();
    assert!(
        said.ends_with(": nothing is wrong; 1 listeners, 1 sites, 1 rules, 0 pools\n"),
        "{said}"
    );
}

//! The documentation of keys, held against what is taken and what it comes to.

use toml::{Table, Value};

use super::*;
use crate::document::keys::{Key, Kind, Otherwise, Present, patterns, schema};
use crate::document::{FileText, effective};

const PRESENT: Present<'static> = Present { key: &is_available, word: &is_available_word };

const SMALL: &str = r#"
[adapter.external]
addresses = ["192.0.2.1"]
[adapter.internal]
[listener.http]
port = 80
[listener.https]
port = 443
tls = true
certificate = "a"
[certificate.a]
chain = "a.pem"
key = "./a.key"
[pool.z]
servers = ["10.0.0.1:80"]
[pool.a]
servers = ["10.0.0.2:0443"]
tls = {}
probe = {}
timeouts = { connect = "1s" }
[site."a b"]
names = ["a.com"]
listeners = ["http", "https"]
log_in_guard = {}
errors = { 404 = "b.html" }
[[site."a b".rule]]
path = "/x"
respond = { status = 200, body = "two\nlines \"quoted\" \\ ä" }
[[site."a b".rule]]
path = "/"
pool = "a"
[log]
access = "json:./access.log"
"#;

/// What is printed for a text, and what the text and the print come to.
fn printed(text: &str) -> (String, String, String) {
    printed_of(&[("main.toml", text)])
}

/// The same for several files, the first of which is the main one.
fn printed_of(files: &[(&str, &str)]) -> (String, String, String) {
    let folder = PathBuf::from(FOLDER);
    let main = folder.join("main.toml");
    let meant = |files: &[(&str, &str)]| {
        let beside = files.iter().map(|(name, text)| (folder.join(name), text.as_bytes().to_vec()));
        let (mut config, _) = read(&main, &Beside(beside.collect()), NOW)
            .unwrap_or_else(|found| panic!("{found}\n{files:?}"));
        let hosts: std::collections::BTreeMap<_, _> = config.hosts.drain().collect();
        (std::mem::take(&mut config.documents), format!("{config:#?}{hosts:#?}"))
    };
    let (documents, before) = meant(files);
    let texts = documents.iter().map(|path| {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_string();
        let (_, text) = files.iter().find(|(file, _)| *file == name).unwrap();
        let folder = path.parent().unwrap().to_path_buf();
        FileText { name, folder, text: (*text).to_string() }
    });
    let print = effective(&texts.collect::<Vec<_>>(), PRESENT).unwrap();
    let (_, after) = meant(&[("main.toml", &print)]);
    (print, before, after)
}

#[test]
fn what_is_in_force_means_the_same() {
    // Without adapters too: a default that names one cannot be written then.
    for text in [SMALL, EVERYTHING, "[pool.a]\nservers = [\"b:1\"]"] {
        let (print, before, after) = printed(text);
        let differs = before.lines().zip(after.lines()).find(|(before, after)| before != after);
        assert!(before == after, "{differs:?}\n{print}");
        let (again, ..) = printed(&print);
        assert_eq!(again, print.replace(" # default", ""), "whole already");
    }
}

const INCLUDING: [(&str, &str); 5] = [
    (
        "main.toml",
        "include = [\"conf.d/*.toml\", \"more.toml\"]\n[pool.m]\nservers = [\"m:1\"]\n\
         [adapter.external]\naddresses = [\"192.0.2.1\"]\n[resolver]\nhosts = { m = \"10.0.0.1\" }\n",
    ),
    (
        "conf.d/b.toml",
        "[pool.b]\nservers = [\"b:1\"]\n[resolver]\nservers = [\"10.0.0.53\"]\nhosts = { b = \"10.0.0.2\" }\n\
         [certificate.a]\nchain = \"../a.pem\"\nkey = \"./../a.key\"\n",
    ),
    (
        "conf.d/a.toml",
        "include = \"deep/x.toml\"\n[pool.a]\nservers = [\"a:1\"]\n[log]\naccess = [\"json:./a.log\"]\n\
         [[site.s.rule]]\npath = \"/\"\npool = \"a\"\n\
         [site.s]\nnames = [\"a.com\"]\nlisteners = [\"l\"]\nerrors = { 404 = \"../b.html\" }\n",
    ),
    ("conf.d/deep/x.toml", "[pool.x.tls]\n[pool.x]\nservers = [\"x:1\"]\nadapter = \"external\"\n"),
    (
        "more.toml",
        "[listener.l]\nport = 443\ntls = true\ncertificate = \"a\"\n[limits]\nfields_max = 9\n\
         [errors]\ndefault = \"c.json\"\n",
    ),
];

#[test]
fn several_files_in_force_mean_the_same_as_one() {
    let (print, before, after) = printed_of(&INCLUDING);
    let differs = before.lines().zip(after.lines()).find(|(before, after)| before != after);
    assert!(before == after, "{differs:?}\n{print}");
    let place = |part: &str| print.find(part).unwrap_or_else(|| panic!("no {part:?} in\n{print}"));
    // Of which file each is, and in the order in which they are read.
    let pools = ["main.toml", "conf.d/a.toml", "conf.d/deep/x.toml", "conf.d/b.toml"];
    let pools = pools.iter().zip(["m", "a", "x", "b"]);
    let pools: Vec<usize> =
        pools.map(|(file, pool)| place(&format!("\n# {file}\n[pool.{pool}]\n"))).collect();
    assert!(pools.is_sorted(), "{print}");
    place("\n# main.toml, conf.d/b.toml\n[resolver]\nservers = [\"10.0.0.53\"]\n");
    place("\nchain = \"/etc/gatehouse/conf.d/../a.pem\"\n");
    // Nobody wrote those.
    place("\n\n[timeouts]\nhandshake = \"10s\" # default\n");
    assert!(!print.contains("include"), "{print}");
    let (again, ..) = printed(&print);
    let lines = print.lines().filter(|line| !line.starts_with("# "));
    let lines: String = lines.map(|line| format!("{}\n", line.replace(" # default", ""))).collect();
    assert_eq!(again, lines, "whole already");
}

/// Files that are not there yet are still meant when the print lies elsewhere.
#[test]
fn an_include_of_nothing_stays() {
    let main = "include = \"conf.d/*.toml\"\n[pool.a]\nservers = [\"b:1\"]\n";
    let (print, ..) = printed(main);
    assert!(print.starts_with("include = \"/etc/gatehouse/conf.d/*.toml\"\n"), "{print}");
}

/// Each default is written where it holds; by the test above it is the one that holds.
#[test]
fn every_default_is_shown() {
    let shown = printed(SMALL).0 + &printed("[pool.a]\nservers = [\"b:1\"]").0;
    for (pattern, key) in patterns().filter(|(pattern, key)| *pattern == key.pattern) {
        let Otherwise::Value(value) = key.otherwise else { continue };
        // Inside of lists and short tables nothing is added.
        let inside = ["servers.", "respond.", "rotate.", "http."];
        let inside = inside.iter().any(|part| pattern.contains(part));
        if is_available(&pattern) && !inside {
            let line = format!("\n{} = {value} # default\n", key.name());
            assert!(shown.contains(&line), "{pattern}\n{shown}");
        }
    }
    // There it would decide over what the site says.
    assert!(shown.contains("[pool.a.timeouts]\nconnect = \"1s\"\n\n["), "{shown}");
}

/// The test of what is in force can fail: another value is another Config.
#[test]
fn every_default_matters() {
    let (print, before, _) = printed(SMALL);
    let mut changed = 0;
    for line in print.lines().filter_map(|line| line.strip_suffix(" # default")) {
        let (key, value) = line.split_once(" = ").unwrap();
        let other = match value.parse::<u32>() {
            Ok(number) => (number + 1).to_string(),
            Err(_) if value.ends_with("s\"") && value[1..2].parse::<u8>().is_ok() => {
                value.replacen('"', "\"1", 1)
            }
            Err(_) => continue,
        };
        let text = print.replacen(line, &format!("{key} = {other}"), 1);
        let config = read_text(&text).unwrap_or_else(|found| panic!("{found}"));
        assert_ne!(format!("{config:#?}"), before, "{line}");
        changed += 1;
    }
    assert!(changed > 15, "{print}");
}

fn toml_value(text: &str) -> Value {
    let table: Table = format!("it = {text}").parse().unwrap();
    table["it"].clone()
}

/// Where the tests' files have names.
const NAMES: [(&str, &str); 5] = [
    ("adapter", "external"),
    ("listener", "https"),
    ("certificate", "main"),
    ("pool", "front-end"),
    ("site", "main"),
];

fn path(root: &Table, pattern: &str) -> Vec<String> {
    let mut parts: Vec<String> = pattern.split('.').map(str::to_string).collect();
    if parts.get(1).is_some_and(|part| part == "*") {
        let tables = root[&parts[0]].as_table().unwrap();
        let usual = NAMES.iter().find(|(table, _)| *table == parts[0]).unwrap().1;
        let other = tables.keys().find(|name| *name != "z" && *name != "http").unwrap();
        parts[1] = if tables.contains_key(usual) { usual.to_string() } else { other.clone() };
    }
    parts
}

/// Everything, with one value changed.
fn with(pattern: &str, value: Value) -> String {
    let mut root: Table = EVERYTHING.parse().unwrap();
    let parts = path(&root, pattern);
    let mut table = &mut root;
    for part in &parts[..parts.len() - 1] {
        let next = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
        table = next.as_table_mut().unwrap();
    }
    table.insert(parts.last().unwrap().clone(), value);
    root.to_string()
}

fn complaints(pattern: &str, value: Value) -> Vec<(String, String)> {
    let text = with(pattern, value);
    let found = read_text(&text).err().map_or_else(Vec::new, |found| found.list().to_vec());
    let found = found.into_iter();
    found.map(|one| (one.message, one.help.unwrap_or_default())).collect()
}

/// Those that a file of one table can change: rules and servers stand in lists.
fn settable() -> impl Iterator<Item = (String, &'static Key)> {
    let inside = ["servers.", "backup.", "rule."];
    patterns().filter(move |(pattern, _)| {
        is_available(pattern) && !inside.iter().any(|part| pattern.contains(part))
    })
}

#[test]
fn words_are_those_that_are_taken() {
    for (pattern, key) in settable() {
        if !matches!(key.kind, Kind::Choice | Kind::ChoiceOrTable) {
            continue;
        }
        let wrong = complaints(&pattern, "zzz".into());
        let here: Vec<&str> = key.words.to_vec();
        let here: Vec<&&str> =
            here.iter().filter(|word| is_available_word(key.name(), word)).collect();
        // The file may be warned of for other reasons.
        let expected = format!("`{}` cannot be `zzz`", key.name());
        let (_, help) = wrong.iter().find(|(message, _)| *message == expected).unwrap();
        let mut taken: Vec<&str> = help.trim_start_matches("one of: ").split(", ").collect();
        let mut said: Vec<&str> = here.iter().map(|word| **word).collect();
        taken.sort_unstable();
        said.sort_unstable();
        assert_eq!(taken, said, "{pattern}");
        for word in key.words {
            let found = complaints(&pattern, (*word).into());
            let later = found.iter().any(|(message, _)| message.contains("not available"));
            assert_eq!(later, !is_available_word(key.name(), word), "{pattern} {word}");
        }
    }
}

#[test]
fn words_beside_a_form_are_taken() {
    for (pattern, key) in settable() {
        if matches!(key.kind, Kind::Choice | Kind::ChoiceOrTable | Kind::Named) {
            continue;
        }
        for word in key.words {
            assert_eq!(complaints(&pattern, (*word).into()), [], "{pattern} {word}");
        }
    }
}

#[test]
fn bounds_are_those_that_hold() {
    for (pattern, key) in settable() {
        let (Kind::Number(least, most) | Kind::Size(least, most)) = key.kind else { continue };
        let number = |number: u64| Value::Integer(i64::try_from(number).unwrap());
        let refused = |found: &[(String, String)]| {
            found.iter().any(|(message, _)| message.contains("must be "))
        };
        assert!(!refused(&complaints(&pattern, number(least))), "{pattern} {least}");
        if let Some(less) = least.checked_sub(1) {
            assert!(refused(&complaints(&pattern, number(less))), "{pattern} {less}");
        }
        if most < 1 << 60 {
            assert!(!refused(&complaints(&pattern, number(most))), "{pattern} {most}");
            assert!(refused(&complaints(&pattern, number(most + 1))), "{pattern} {most}+1");
        }
    }
}

/// What a value has against a schema; only what our schema uses.
fn against(schema: &serde_json::Value, value: &Value, path: &str, faults: &mut Vec<String>) {
    let mut fault = |what: &str| faults.push(format!("{path}: {what}"));
    let known = [
        "$schema",
        "title",
        "description",
        "default",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "propertyNames",
        "items",
        "anyOf",
        "enum",
        "pattern",
        "minimum",
        "maximum",
    ];
    let rules = schema.as_object().unwrap();
    assert!(rules.keys().all(|rule| known.contains(&rule.as_str())), "{rules:?}");
    let json = serde_json::to_value(value).unwrap();
    let types = match value {
        Value::String(_) => "string",
        Value::Integer(_) => "integer",
        Value::Boolean(_) => "boolean",
        Value::Array(_) => "array",
        Value::Table(_) => "object",
        _ => "other",
    };
    if rules.get("type").is_some_and(|wanted| wanted != types) {
        return fault("type");
    }
    if rules.get("enum").is_some_and(|all| !all.as_array().unwrap().contains(&json)) {
        fault("enum");
    }
    if let (Some(pattern), Some(text)) = (rules.get("pattern"), value.as_str()) {
        let pattern = regex::Regex::new(pattern.as_str().unwrap()).unwrap();
        if !pattern.is_match(text) {
            fault("pattern");
        }
    }
    if let Some(number) = json.as_i64() {
        let bound = |name: &str| rules.get(name).and_then(serde_json::Value::as_i64);
        if bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most)
        {
            fault("bounds");
        }
    }
    if let Some(ways) = rules.get("anyOf").and_then(|ways| ways.as_array()) {
        let fits = |way: &serde_json::Value| {
            let mut faults = Vec::new();
            against(way, value, path, &mut faults);
            faults.is_empty()
        };
        if !ways.iter().any(fits) {
            fault("anyOf");
        }
    }
    if let (Some(items), Some(list)) = (rules.get("items"), value.as_array()) {
        for (at, item) in list.iter().enumerate() {
            against(items, item, &format!("{path}[{at}]"), faults);
        }
    }
    if let Some(table) = value.as_table() {
        against_table(rules, table, path, faults);
    }
}

fn against_table(
    rules: &serde_json::Map<String, serde_json::Value>,
    table: &Table,
    path: &str,
    faults: &mut Vec<String>,
) {
    for needed in rules.get("required").iter().flat_map(|list| list.as_array().unwrap()) {
        if !table.contains_key(needed.as_str().unwrap()) {
            faults.push(format!("{path}: required {needed}"));
        }
    }
    for (name, value) in table {
        let path = format!("{path}.{name}");
        if let Some(names) = rules.get("propertyNames") {
            against(names, &Value::String(name.clone()), &path, faults);
        }
        let own = rules.get("properties").and_then(|all| all.get(name));
        match own.or_else(|| rules.get("additionalProperties")) {
            Some(serde_json::Value::Bool(false)) => faults.push(format!("{path}: unknown")),
            Some(schema @ serde_json::Value::Object(_)) => against(schema, value, &path, faults),
            _ => {}
        }
    }
}

fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let table: Table = text.parse().unwrap();
    against(&schema(PRESENT), &Value::Table(table), "", &mut faults);
    faults
}

/// The file of the first page that a new operator reads.
fn first_example() -> &'static str {
    let readme = include_str!("../../../README.md");
    readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap()
}

#[test]
fn the_schema_takes_what_is_taken() {
    for text in [EVERYTHING, SMALL, first_example(), &printed(SMALL).0] {
        assert_eq!(faults(text), [""; 0], "{text}");
    }
    for (pattern, key) in settable().filter(|(_, key)| !key.is_table()) {
        if key.kind == (Kind::ChoiceOrTable) || pattern.ends_with(".cookie") {
            continue;
        }
        assert_eq!(faults(&with(&pattern, toml_value(key.example))), [""; 0], "{pattern}");
    }
}

/// What the schema refuses, `check` refuses too, and the other way round for planted faults.
#[test]
fn the_schema_refuses_what_is_refused() {
    for (pattern, value, fault) in [
        ("pool.*.colour", "1", ".pool.front-end.colour: unknown"),
        ("colour", "1", ".colour: unknown"),
        ("limits.memory_max", "1", ".limits.memory_max: anyOf"),
        ("workers.count", "0", ".workers.count: anyOf"),
        ("workers.count", "true", ".workers.count: anyOf"),
        ("timeouts.connect", "5", ".timeouts.connect: type"),
        ("timeouts.connect", "\"5\"", ".timeouts.connect: pattern"),
        ("site.*.timeouts.drain", "\"5s\"", ".site.main.timeouts.drain: unknown"),
        ("limits.head_bytes_max", "1", ".limits.head_bytes_max: anyOf"),
        ("pool.*.balance", "\"fair\"", ".pool.front-end.balance: enum"),
        ("pool.*.tls.profile", "\"windows-2003\"", ".pool.front-end.tls.profile: enum"),
        ("pool.*.servers", "[\"fe01\"]", ".pool.front-end.servers[0]: anyOf"),
        ("pool.*.servers", "[{ weight = 1 }]", ".pool.front-end.servers[0]: anyOf"),
        ("listener.*.port", "65536", ".listener.https.port: bounds"),
        ("adapter.middle", "{}", ".adapter.middle: enum"),
        ("errors", "{ 200 = \"a.html\" }", ".errors.200: pattern"),
        ("errors", "{ 404 = \"a.pem\" }", ".errors.404: pattern"),
        ("site.*.rule", "[{ pool = \"front-end\" }]", ".site.main.rule[0]: required \"path\""),
        ("log.access", "[\"xml:/a\"]", ".log.access: anyOf"),
    ] {
        let text = with(pattern, toml_value(value));
        assert_eq!(faults(&text), [fault], "{pattern} = {value}");
        assert!(read_text(&text).is_err(), "{pattern} = {value}");
    }
}

//! The table against a search that is too simple to be wrong.

use super::fuzz::{HTTP, HTTPS, draft, simple, site, terms};
use super::*;

fn show(found: Found<'_>) -> String {
    match found {
        Found::Rule { site, rule, brief, names } => {
            let pool = match rule.action {
                Action::Forward(pool) => Some(pool),
                _ => None,
            };
            assert_eq!((brief.pool, brief.terms), (pool, &*rule.terms));
            assert_eq!(names.site_id, site.id);
            assert_eq!(names.site, site.name.as_bytes());
            assert_eq!(names.rule, rule.name.as_bytes());
            format!("{} {}", site.name, rule.name)
        }
        Found::NoRule(site) => format!("{} -", site.name),
        Found::NoSite => "no site".to_string(),
        Found::BadPath(fault) => format!("{fault:?}"),
    }
}

#[track_caller]
fn check(table: &Table, host: &str, target: &str, expected: &str) {
    let mut scratch = Vec::new();
    let found = table.find(HTTPS, host.as_bytes(), target.as_bytes(), &mut scratch);
    assert_eq!(show(found), expected, "{host} {target}");
}

#[test]
fn the_first_rule_in_file_order_decides() {
    let www = site(&["www.a.com"], &[HTTPS], PathCheck::Strict);
    let table = Table::compile(vec![draft(www, &["/cscp", "/a/b", "/a", "/A/c/"])]);
    check(&table, "www.a.com", "/cscp", "www.a.com /cscp");
    check(&table, "WWW.A.COM.:8443", "/CSCP/x?y", "www.a.com /cscp");
    check(&table, "www.a.com", "/cscpx", "www.a.com -");
    check(&table, "www.a.com", "/a", "www.a.com /a");
    check(&table, "www.a.com", "/a/b/c", "www.a.com /a/b");
    check(&table, "www.a.com", "/a/c", "www.a.com /a");
    check(&table, "www.a.com", "/", "www.a.com -");
    check(&table, "www.a.com", "*", "www.a.com -");
    check(&table, "a.com", "/", "no site");
}

#[test]
fn every_spelling_of_a_refused_path_is_refused() {
    let www = site(&["a"], &[HTTPS], PathCheck::Strict);
    let table = Table::compile(vec![draft(www, &["/cscp", "/"])]);
    for spelling in [
        "/cscp",
        "/CSCP/",
        "//cscp",
        "/%63scp",
        "/%u0063scp",
        "/x/../cscp",
        "/./cscp",
        "\\cscp",
        "/x\\..\\cscp",
        "/cscp;a=b",
        "/cscp.",
        "/cscp%20.",
        "/%2fcscp",
        "/x/..;/cscp",
        "/;/cscp",
        "/%2e/cscp",
        "/cscp%5c",
        "/x/%2e%2e%2fcscp",
    ] {
        let expected = if spelling.starts_with('\\') { "NotAbsolute" } else { "a /cscp" };
        check(&table, "a", spelling, expected);
    }
    for twice in
        ["/%2563scp", "/%25u0063scp", "/x/%252e%252e/cscp", "/%252fcscp", "/x;%252f..%252fcscp"]
    {
        check(&table, "a", twice, "DecodesTwice");
    }
    check(&table, "a", "/x/%252e%252e/%252e%252e", "LeavesRoot");
    check(&table, "a", "/x%2500", "Control");
    check(&table, "a", "/100%25", "a /");
    check(&table, "a", "/100%25/sure", "a /");
    check(&table, "a", "/%2525", "a /");
    check(&table, "a", "*", "a /");
}

#[test]
fn exact_names_come_before_wildcards_of_one_label() {
    let table = Table::compile(vec![
        draft(site(&["*.a.com"], &[HTTPS], PathCheck::Strict), &["/"]),
        draft(site(&["x.a.com", "127.0.0.1", "[::1]"], &[HTTPS], PathCheck::Strict), &["/only"]),
        draft(site(&["b.com"], &[HTTP], PathCheck::Strict), &["/"]),
    ]);
    check(&table, "y.a.com", "/", "*.a.com /");
    check(&table, "x.a.com", "/only", "x.a.com /only");
    // The exact name owns the host, even if it has no Rule for the path.
    check(&table, "x.a.com", "/", "x.a.com -");
    check(&table, "127.0.0.1:8080", "/only", "x.a.com /only");
    check(&table, "[0::1]:8080", "/only", "x.a.com /only");
    for host in ["a.com", ".a.com", "z.y.a.com", "*.a.comx", "b.com", "", "."] {
        check(&table, host, "/", "no site");
    }
}

#[test]
fn raw_paths_are_not_judged() {
    let table = Table::compile(vec![draft(site(&["a"], &[HTTPS], PathCheck::Raw), &["/"])]);
    for target in ["/%", "/..", "/%252e%252e", "*", "/\\"] {
        check(&table, "a", target, "a /");
    }
}

#[test]
fn redirects_answer_on_the_plain_listener() {
    let mut draft = draft(site(&["a", "*.b.c"], &[HTTPS], PathCheck::Strict), &["/x"]);
    let terms = terms();
    let names = vec!["a".to_string()];
    draft.redirects.push(RedirectDraft { listener: HTTP, names, port: 8443, terms });
    let table = Table::compile(vec![draft]);
    let mut scratch = Vec::new();
    match table.find(HTTP, b"a", b"/anything", &mut scratch) {
        Found::Rule { rule, .. } => {
            assert!(matches!(rule.action, Action::RedirectToHttps { port: 8443 }));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(show(table.find(HTTP, b"x.b.c", b"/", &mut scratch)), "no site");
    assert_eq!(table.rules_of(SiteId(0)).len(), 1);
    check(&table, "a", "/x", "a /x");
}

#[test]
fn an_empty_table_knows_no_site() {
    check(&Table::compile(Vec::new()), "a", "/", "no site");
    check(&Table::default(), "a", "/", "no site");
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn of<'o, T: ?Sized>(&mut self, options: &[&'o T]) -> &'o T {
        options[self.below(options.len())]
    }
}

#[test]
fn equals_a_linear_search() {
    const SEGMENTS: [&str; 6] = ["/a", "/b", "/aa", "/c.d", "/x y", "/"];
    const PIECES: [&str; 38] = [
        "/", "/", "/", "/", "a", "b", "A", "aa", "c.d", ".", "..", "/..", "/../", " ", ";", ";x",
        "\\", "%2f", "%5C", "%61", "%41", "%2e", "%25", "%2561", "%252f", "%u0061", "%u002f",
        "%25u0061", "%", "%u", "%00", "\u{1}", "é", "?", "#", "%3b", "%20", "x%20y",
    ];
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut scratch = Vec::new();
    let (mut decided, mut refused) = (0, 0);
    for _ in 0..400 {
        let paths: Vec<String> = (0..1 + dice.below(24))
            .map(|_| (0..1 + dice.below(4)).map(|_| dice.of(&SEGMENTS)).collect())
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let table = Table::compile(vec![draft(site(&["a"], &[HTTPS], PathCheck::Strict), &paths)]);
        for _ in 0..200 {
            let target: String =
                ["/"].into_iter().chain((0..dice.below(12)).map(|_| dice.of(&PIECES))).collect();
            let found = table.find(HTTPS, b"a", target.as_bytes(), &mut scratch);
            let seen = match found {
                Found::Rule { rule, .. } => Ok(Some(rule.id.0 as usize)),
                Found::NoRule(_) => Ok(None),
                Found::BadPath(_) => Err(()),
                Found::NoSite => panic!("the site is there"),
            };
            assert_eq!(seen, simple::find(&paths, target.as_bytes()), "{target:?} in {paths:?}");
            decided += usize::from(matches!(seen, Ok(Some(_))));
            refused += usize::from(seen.is_err());
        }
    }
    // The dice must not have made it easy.
    assert!(decided > 10_000 && refused > 10_000, "{decided} decided, {refused} refused");
}

#[test]
fn finds_every_name_of_a_large_table() {
    let names: Vec<String> = (0..3_000)
        .map(
            |index| {
                if index % 3 == 0 { format!("*.s{index}.test") } else { format!("s{index}.test") }
            },
        )
        .collect();
    let drafts =
        names.iter().map(|name| draft(site(&[name], &[HTTPS], PathCheck::Strict), &["/x"]));
    let table = Table::compile(drafts.collect());
    for (index, name) in names.iter().enumerate() {
        check(&table, &name.replace('*', "any"), "/x", &format!("{name} /x"));
        check(&table, &format!("s{index}x.test"), "/x", "no site");
        assert_eq!(
            table.site_of(HTTPS, name.replace('*', "q").as_bytes()).unwrap().id.0,
            index as u32
        );
        assert!(table.site_of(HTTP, name.as_bytes()).is_none());
    }
}

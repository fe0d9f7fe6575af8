//! `gatehouse explain`: the words of the log.

use std::fmt::{Error, Write};

use crate::config::nearest;
use crate::exchange::Failure;

use super::{FAILED, REFUSED};

/// Prints what `word` stands for, or a line for each word there is.
pub(super) fn explain(word: Option<&str>, json: bool) -> u8 {
    let Some(word) = word else {
        for failure in Failure::all() {
            println!("{}", if json { as_json(failure) } else { line(failure) });
        }
        return 0;
    };
    let found: Vec<Failure> = Failure::of_word(word).collect();
    if found.is_empty() {
        let meant = nearest(word, Failure::all().map(Failure::word));
        let meant = meant.map_or_else(String::new, |meant| format!("; did you mean `{meant}`?"));
        eprintln!("gatehouse: the log has no word `{word}`{meant}");
        eprintln!("  help: `gatehouse explain` lists all");
        return REFUSED;
    }
    for failure in found {
        if json {
            println!("{}", as_json(failure));
        } else {
            println!("{}", at_length(failure));
        }
    }
    0
}

/// Prints all of them as a page.
pub(super) fn page() -> u8 {
    match markdown() {
        Ok(text) => {
            print!("{text}");
            0
        }
        Err(_) => FAILED,
    }
}

fn line(failure: Failure) -> String {
    let (word, status, party) = (failure.word(), failure.status(), failure.party());
    format!("{word:<25} {status}  {party:<9} {}", failure.meaning())
}

fn at_length(failure: Failure) -> String {
    let (word, party, seen) = (failure.word(), failure.party(), failure.seen_by_client());
    format!(
        "{word}: status {}, fault of {party} ({})\n\n  {}\n\n  The client sees: {seen}.\n  What to do: {}\n  \
         The lines: grep '\"failure\":\"{word}\",\"fault_of\":\"{party}\"' /var/log/gatehouse/access.log | tail\n",
        failure.status(),
        who(party),
        failure.meaning(),
        failure.advice(),
    )
}

fn who(party: &str) -> &'static str {
    match party {
        "client" => "the client, or whoever configured it",
        "upstream" => "the server, the way to it, or what the file says about it",
        _ => "this box: its limits and its file",
    }
}

fn as_json(failure: Failure) -> String {
    let value = serde_json::json!({
        "failure": failure.word(),
        "status": failure.status(),
        "fault_of": failure.party(),
        "meaning": failure.meaning(),
        "client_sees": failure.seen_by_client(),
        "advice": failure.advice(),
    });
    value.to_string()
}

const INTRODUCTION: &str = "\
# The words of the log

<!-- Written by `gatehouse explain --markdown`; the texts stand in src/exchange/explain.rs and src/http/meaning.rs. -->

One line of the access log stands for one request. If it did not succeed, `failure` is a word for what went wrong, and
`fault_of` says who has to change something. `gatehouse explain WORD` prints one entry of this page.

| what you have | how to go on |
| --- | --- |
| a user's error page with a request number | `grep NUMBER /var/log/gatehouse/access.log` |
| a time | `grep 'T14:3' /var/log/gatehouse/access.log \\| grep failure`; times are UTC |
| a feeling | `grep -o '\"failure\":\"[a-z0-9_]*\"' /var/log/gatehouse/access.log \\| sort \\| uniq -c \\| sort -n` |
| a word | its entry below; in capitals stands what you have to put in |

What this box itself has to say, for example why TLS to a server failed, is in `journalctl -u gatehouse`.
";

/// The whole page.
fn markdown() -> Result<String, Error> {
    let mut out = INTRODUCTION.to_owned();
    for (party, title) in [
        ("upstream", "The server, or the way to it"),
        ("proxy", "This box"),
        ("client", "The client"),
    ] {
        write!(out, "\n## {title}\n\n`fault_of` is `{party}`: {}.\n", who(party))?;
        for failure in Failure::all().filter(|one| one.party() == party && !breaks_http(*one)) {
            let (word, status) = (failure.word(), failure.status());
            let (meaning, seen) = (failure.meaning(), failure.seen_by_client());
            write!(
                out,
                "\n### `{word}`\n\n{meaning}\n\n* Status {status}. The client sees: {seen}.\n"
            )?;
            writeln!(out, "* What to do: {}", failure.advice())?;
        }
    }
    out.push_str("\n## Messages that break HTTP\n\n");
    out.push_str(
        "They are refused and never repaired, since a server could read them in another way.\n\n",
    );
    out.push_str("| word | fault of | status | meaning |\n| --- | --- | --- | --- |\n");
    let broken = || Failure::all().filter(|failure| breaks_http(*failure));
    for failure in broken() {
        let (word, party, status) = (failure.word(), failure.party(), failure.status());
        writeln!(out, "| `{word}` | {party} | {status} | {} |", failure.meaning())?;
    }
    for party in ["client", "upstream"] {
        if let Some(failure) = broken().find(|failure| failure.party() == party) {
            writeln!(out, "\nWhat to do, with `{party}`: {}", failure.advice())?;
        }
    }
    Ok(out)
}

/// Those that share one piece of advice.
fn breaks_http(failure: Failure) -> bool {
    let same = |other: &Failure| other.advice() == failure.advice();
    Failure::all().filter(same).take(3).count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::keys::find;

    #[test]
    fn the_page_is_up_to_date() {
        super::super::tests::blessed("docs/log-words.md", &markdown().unwrap());
    }

    /// What is advised can be typed, and what is named is there.
    #[test]
    fn keys_in_the_texts_are_keys() {
        let mut named = 0;
        for failure in Failure::all() {
            for part in failure.meaning().split('`').chain(failure.advice().split('`')) {
                let key = part.strip_prefix("gatehouse keys ").unwrap_or(part);
                if key != part || key.starts_with("limits.") || key.starts_with("timeouts.") {
                    assert!(!find(key).is_empty(), "{key}");
                    named += 1;
                }
            }
        }
        assert!(named > 10);
    }

    #[test]
    fn every_word_is_on_the_page() {
        let page = markdown().unwrap();
        for failure in Failure::all() {
            assert!(page.contains(&format!("`{}`", failure.word())), "{}", failure.word());
        }
        assert!(!breaks_http(Failure::of_word("upstream_refused").next().unwrap()));
        assert!(breaks_http(Failure::of_word("chunk_size").next().unwrap()));
    }
}

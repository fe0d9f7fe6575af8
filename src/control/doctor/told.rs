//! Findings and advice for people, and for programs.

use std::fmt::Write;

use crate::tls::survey::{Distrust, Key, Kind, Paper, curve_name, suite_name};

use super::advice::{Advice, Change, Verdict, hex, profile_label};
use super::findings::{Findings, Reach, Speaks};

/// Names of a certificate that people are shown.
const NAMES_TOLD_MAX: usize = 12;

/// A day of the calendar, in UTC.
pub(super) fn date(seconds: i64) -> String {
    match jiff::Timestamp::from_second(seconds) {
        Ok(moment) => jiff::tz::TimeZone::UTC.to_datetime(moment).date().to_string(),
        Err(_) => "a day that no calendar has".to_owned(),
    }
}

fn row(out: &mut String, title: &str, text: &str) {
    // What is written into a text cannot fail.
    let _ = writeln!(out, "  {title:<12} {text}");
}

/// For people; `now` is in seconds since 1970.
#[must_use]
pub fn as_text(findings: &Findings, advice: &Advice, now: i64) -> String {
    let subject = &findings.subject;
    let mut out = String::new();
    let at = subject.address.to_string();
    let of = match &subject.file {
        Some(_) => format!(" of pool {}", subject.pool),
        None => String::new(),
    };
    let also = if subject.server == at { String::new() } else { format!(" at {at}") };
    let _ = writeln!(out, "Server {}{also}{of}", subject.server);
    if findings.reach == Reach::Open {
        what_it_is(findings, now, &mut out);
    }
    for note in &advice.notes {
        let _ = writeln!(out, "- {}\n  -> {}", note.what, note.next);
    }
    for change in &advice.changes {
        let _ = writeln!(out, "! {}\n  -> {}", change.what, change.next);
    }
    let _ = writeln!(out, "{}", verdict(advice));
    out
}

fn verdict(advice: &Advice) -> String {
    let profile = advice.profile.map(|word| format!("profile = \"{word}\""));
    match (advice.verdict, profile) {
        (Verdict::Unreached, _) => "=> it could not be examined".to_owned(),
        (Verdict::ServerHasToChange, None) => {
            "=> no profile works until the server has been changed".to_owned()
        }
        (Verdict::ServerHasToChange, Some(profile)) => {
            format!("=> {profile} works, once the server has been changed")
        }
        (Verdict::FileHasToChange, Some(profile)) => {
            format!("=> {profile} works, with the lines below")
        }
        (Verdict::FileHasToChange, None) => "=> the file has to be changed".to_owned(),
        (Verdict::Well, Some(profile)) => format!("=> {profile} works"),
        (Verdict::Well, None) => "=> it works without TLS".to_owned(),
    }
}

fn what_it_is(findings: &Findings, now: i64, out: &mut String) {
    row(out, "speaks", &speaks(findings));
    if !findings.kinds.is_empty() {
        row(out, "suites", &suites(findings));
    }
    if let Some(curve) = findings.curve {
        let scheme =
            findings.scheme.map_or_else(String::new, |it| format!(", {}", scheme_name(it)));
        row(out, "fresh keys", &format!("{}{scheme}", curve_name(curve)));
    }
    if let Some(protocol) = &findings.protocol {
        row(out, "chooses", protocol);
    }
    if let Some(resumes) = findings.resumes {
        row(out, "sessions", if resumes { "are resumed" } else { "are not resumed" });
    }
    for (profile, shaken) in &findings.handshakes {
        let came = match shaken {
            Ok(()) => "a handshake succeeds".to_owned(),
            Err(why) => why.clone(),
        };
        row(out, profile_label(*profile), &came);
    }
    for paper in &findings.chain {
        row(out, "certificate", &paper_line(paper, now));
    }
    if let Some(own) = findings.chain.first() {
        if !own.names.is_empty() {
            let more = own.names.len().saturating_sub(NAMES_TOLD_MAX);
            let mut names: Vec<String> = own.names.iter().take(NAMES_TOLD_MAX).cloned().collect();
            names.extend((more > 0).then(|| format!("and {more} more")));
            row(out, "for", &names.join(", "));
        }
        let judged = |it: &Result<(), Distrust>| match it {
            Ok(()) => "yes".to_owned(),
            Err(why) => format!("no, {}", distrust(why)),
        };
        let file = findings.file_trusts.as_ref();
        let file = file.map_or_else(String::new, |it| format!("by the file: {}; ", judged(it)));
        row(out, "trusted", &format!("{file}by the system: {}", judged(&findings.system_trusts)));
    }
    match &findings.web {
        Some(Ok(web)) => {
            let schemes = match web.schemes.as_slice() {
                [] => String::new(),
                some => format!(", asks for {}", some.join(", ")),
            };
            let software =
                if web.software.is_empty() { String::new() } else { format!("; {}", web.software) };
            row(
                out,
                "answers",
                &format!("{} to GET / for {}{schemes}{software}", web.status, web.host),
            );
        }
        Some(Err(why)) => row(out, "answers", &format!("not to GET /: {why}")),
        None => {}
    }
}

fn speaks(findings: &Findings) -> String {
    match &findings.speaks {
        Speaks::Http => return "HTTP without TLS".to_owned(),
        Speaks::Other(begin) => return format!("something else: \"{begin}\""),
        Speaks::Nothing => return "nothing".to_owned(),
        Speaks::Tls => {}
    }
    let taken: Vec<&str> = findings
        .versions
        .iter()
        .filter(|(_, taken)| taken.is_ok())
        .map(|(version, _)| version.name())
        .collect();
    let refused = findings.versions.iter().filter_map(|(version, taken)| {
        Some(format!("not {} ({})", version.name(), taken.as_ref().err()?))
    });
    let taken = if taken.is_empty() { "TLS".to_owned() } else { taken.join(", ") };
    std::iter::once(taken).chain(refused).collect::<Vec<_>>().join("; ")
}

fn suites(findings: &Findings) -> String {
    let told =
        findings.kinds.iter().filter(|(_, taken)| !taken.is_empty()).map(
            |(kind, taken)| match kind {
                Kind::Cbc | Kind::Broken => {
                    let numbers: Vec<String> =
                        taken.iter().map(|it| format!("0x{it:04X}")).collect();
                    format!("{} ({})", kind.name(), numbers.join(", "))
                }
                _ => kind.name().to_owned(),
            },
        );
    let told: Vec<String> = told.collect();
    if told.is_empty() { "none of TLS 1.2 or older".to_owned() } else { told.join("; ") }
}

/// RFC 8446 section 4.2.3, in words.
fn scheme_name(number: u16) -> String {
    let name = match number {
        0x0201 => "signed by RSA with SHA-1",
        0x0202 => "signed by DSA with SHA-1",
        0x0203 => "signed by ECDSA with SHA-1",
        0x0401 => "signed by RSA with SHA-256",
        0x0501 => "signed by RSA with SHA-384",
        0x0601 => "signed by RSA with SHA-512",
        0x0403 => "signed by ECDSA with SHA-256",
        0x0503 => "signed by ECDSA with SHA-384",
        0x0603 => "signed by ECDSA with SHA-512",
        0x0804..=0x0806 => "signed by RSA-PSS",
        0x0807 => "signed by Ed25519",
        _ => return format!("signed by 0x{number:04X}"),
    };
    name.to_owned()
}

fn key_name(key: &Key) -> String {
    match key {
        Key::Rsa(bits) => format!("RSA {bits}"),
        Key::Ec(bits) => format!("EC {bits}"),
        Key::Other => "another kind of key".to_owned(),
    }
}

fn paper_line(paper: &Paper, now: i64) -> String {
    let left = (paper.not_after - now).div_euclid(86_400);
    let ends = date(paper.not_after);
    let ends =
        if left < 0 { format!("ended {ends}") } else { format!("ends {ends}, in {left} days") };
    let by = if paper.is_own_issuer { "itself" } else { &paper.issuer };
    format!("{}, by {by}; {}, {}; {ends}", paper.subject, key_name(&paper.key), paper.hash)
}

fn distrust(why: &Distrust) -> String {
    let words = match why {
        Distrust::UnknownIssuer => "its issuer is not known",
        Distrust::WrongName => "it is for other names",
        Distrust::Expired => "it has ended",
        Distrust::NotYetValid => "its life is to begin",
        Distrust::OldSignature => "it is signed in a way that can be forged",
        Distrust::NotForServers => "it is not meant for servers",
        Distrust::OtherKey => "its key is not the pinned one",
        Distrust::Other(text) => return crate::tls::survey::plain(text),
    };
    words.to_owned()
}

/// For programs: one object.
#[must_use]
pub fn as_json(findings: &Findings, advice: &Advice, lines: Option<&str>) -> serde_json::Value {
    let subject = &findings.subject;
    let judged = |it: &Result<(), Distrust>| it.as_ref().err().map(distrust);
    let versions: serde_json::Map<String, serde_json::Value> = findings
        .versions
        .iter()
        .map(|(version, taken)| (version.name().to_owned(), taken.is_ok().into()))
        .collect();
    let suites: serde_json::Map<String, serde_json::Value> = findings
        .kinds
        .iter()
        .map(|(kind, taken)| {
            let names: Vec<String> = taken.iter().map(|it| suite_name(*it)).collect();
            (kind.word().to_owned(), names.into())
        })
        .collect();
    let handshakes: serde_json::Map<String, serde_json::Value> = findings
        .handshakes
        .iter()
        .map(|(profile, shaken)| {
            (profile_label(*profile).to_owned(), shaken.as_ref().err().cloned().into())
        })
        .collect();
    let web = findings.web.as_ref().map(|web| match web {
        Ok(web) => serde_json::json!({
            "host": web.host, "status": web.status, "schemes": web.schemes, "software": web.software,
        }),
        Err(why) => serde_json::json!({ "error": why }),
    });
    serde_json::json!({
        "pool": subject.file.map(|_| &subject.pool),
        "server": subject.server,
        "address": subject.address.to_string(),
        "name": subject.name,
        "verdict": match advice.verdict {
            Verdict::Well => "well",
            Verdict::FileHasToChange => "file",
            Verdict::ServerHasToChange => "server",
            Verdict::Unreached => "unreached",
        },
        "profile": advice.profile,
        "speaks": match findings.speaks {
            Speaks::Tls => "tls",
            Speaks::Http => "http",
            Speaks::Other(_) => "other",
            Speaks::Nothing => "nothing",
        },
        "versions": versions,
        "suites": suites,
        "handshakes": handshakes,
        "protocol": findings.protocol,
        "resumes": findings.resumes,
        "certificates": findings.chain.iter().map(paper_json).collect::<Vec<_>>(),
        "name_fits": findings.name_fits,
        "distrusted_by_file": findings.file_trusts.as_ref().map(judged),
        "distrusted_by_system": judged(&findings.system_trusts),
        "answer": web,
        "changes": advice.changes.iter().map(change_json).collect::<Vec<_>>(),
        "notes": advice.notes.iter().map(change_json).collect::<Vec<_>>(),
        "lines": lines,
    })
}

fn paper_json(paper: &Paper) -> serde_json::Value {
    serde_json::json!({
        "subject": paper.subject,
        "issuer": paper.issuer,
        "names": paper.names,
        "begins": paper.not_before,
        "ends": paper.not_after,
        "key": key_name(&paper.key),
        "hash": paper.hash,
        "pin_sha256": hex(&paper.pin),
        "thumbprint": hex(&paper.thumbprint),
    })
}

fn change_json(change: &Change) -> serde_json::Value {
    serde_json::json!({ "what": change.what, "next": change.next })
}

//! What follows from findings: the profile that works, the lines that the file needs, and whether
//! somebody has to change something at the server. Findings in, advice out.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::pool::settings::Profile;
use crate::tls::chain::{ChainFault, RSA_BITS_MIN};
use crate::tls::survey::{Distrust, Key, Kind, Paper, Version};

use super::changes;
use super::findings::{Findings, Reach, Speaks};

/// What somebody has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nothing.
    Well,
    /// The file needs other lines.
    FileHasToChange,
    /// The server needs something that no line of the file can replace.
    ServerHasToChange,
    /// Nobody was there to be examined.
    Unreached,
}

/// Something that somebody has to change, or may want to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is.
    pub what: String,
    /// What to do.
    pub next: String,
}

/// What the doctor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// In a word.
    pub verdict: Verdict,
    /// The profile that works; `None`: none does, or there is no TLS.
    pub profile: Option<&'static str>,
    /// What the file has to say about it.
    pub lines: Lines,
    /// Its certificate, if the file or the system trusts it: where the pool's servers are to be known by
    /// their keys, this key is one of them.
    pub trusted: Option<Box<Paper>>,
    /// What has to be changed at the server, or on the way to it.
    pub changes: Vec<Change>,
    /// What is worth knowing, and needs nobody today.
    pub notes: Vec<Change>,
}

/// What a `[pool.NAME.tls]` has to hold; what the file says already, and may stay, is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The table itself is missing.
    pub table: bool,
    /// Another profile.
    pub profile: Option<&'static str>,
    /// And beside it ECDHE-RSA-AES256-SHA384, since there is nothing else.
    pub sha384: bool,
    /// Other trust.
    pub trust: Option<Trust>,
    /// Another name.
    pub server_name: Option<String>,
}

/// Why its certificate is to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The system's authorities vouch for it.
    System,
    /// It is known by its key: this certificate.
    Pin(Box<Paper>),
}

impl Lines {
    fn are_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What the file calls a profile.
pub(super) fn profile_word(profile: Profile) -> &'static str {
    match profile {
        Profile::Modern => "modern",
        Profile::Tls12 => "tls12",
        Profile::Windows2012R2 { .. } => OLD_WINDOWS,
    }
}

/// The same for people, and what stands beside it.
pub(super) fn profile_label(profile: Profile) -> &'static str {
    match profile {
        Profile::Windows2012R2 { sha384: true } => "windows-2012r2 with sha384_suite",
        _ => profile_word(profile),
    }
}

/// For servers whose only suites with fresh keys are CBC.
pub(super) const OLD_WINDOWS: &str = "windows-2012r2";

/// What follows from findings.
#[must_use]
pub fn advise(findings: &Findings) -> Advice {
    let mut advice = Advice {
        verdict: Verdict::Well,
        profile: None,
        lines: Lines::default(),
        trusted: None,
        changes: Vec::new(),
        notes: Vec::new(),
    };
    if findings.reach != Reach::Open {
        advice.verdict = Verdict::Unreached;
        advice.changes.push(changes::unreached(findings));
        return advice;
    }
    match &findings.speaks {
        Speaks::Tls => tls(findings, &mut advice),
        Speaks::Http => plain(findings, &mut advice),
        Speaks::Other(_) | Speaks::Nothing => {
            advice.verdict = Verdict::Unreached;
            advice.changes.push(changes::strange(findings));
        }
    }
    advice
}

fn plain(findings: &Findings, advice: &mut Advice) {
    if findings.subject.file.is_some_and(|file| file.tls) {
        advice.verdict = Verdict::FileHasToChange;
        advice.changes.push(changes::no_tls_there(findings));
    } else {
        advice.notes.push(changes::in_clear());
    }
}

fn tls(findings: &Findings, advice: &mut Advice) {
    advice.profile = profile(findings);
    if advice.profile.is_none() {
        advice.changes.push(changes::no_profile(findings));
    }
    trust(findings, advice);
    name(findings, advice);
    changes::notes(findings, &mut advice.notes);
    let file = findings.subject.file;
    let has_table = file.is_some_and(|file| file.tls);
    let own = file.filter(|file| file.tls).map_or(Profile::Modern, |file| file.profile);
    let own_works = findings.handshakes.iter().any(|(it, shaken)| *it == own && shaken.is_ok());
    if !own_works {
        advice.lines.profile = advice.profile.filter(|word| *word != profile_word(own));
        let only = findings.suites(Kind::Cbc) == [0xc028];
        advice.lines.sha384 = advice.profile == Some(OLD_WINDOWS) && only;
    }
    advice.lines.table = !has_table;
    advice.verdict = if !advice.changes.is_empty() {
        Verdict::ServerHasToChange
    } else if file.is_some() && !advice.lines.are_none() {
        Verdict::FileHasToChange
    } else {
        Verdict::Well
    };
}

/// The profile that works: what the file has, if it does, else the best.
fn profile(findings: &Findings) -> Option<&'static str> {
    let shaken = findings.handshakes.iter().find(|(_, shaken)| shaken.is_ok());
    if let Some((profile, _)) = shaken {
        return Some(profile_word(*profile));
    }
    let can_cbc = findings.takes(Version::Tls12) && !findings.suites(Kind::Cbc).is_empty();
    (can_cbc && !signs_by_sha1(findings) && weak_key(findings).is_none()).then_some(OLD_WINDOWS)
}

/// It has taken SHA-1 for the signature of the handshake, though better was offered first.
pub(super) fn signs_by_sha1(findings: &Findings) -> bool {
    matches!(findings.scheme, Some(0x0201..=0x0203))
}

/// The bits of its own key, if they are too few for any profile.
pub(super) fn weak_key(findings: &Findings) -> Option<usize> {
    match findings.chain.first()?.key {
        Key::Rsa(bits) if bits < RSA_BITS_MIN => Some(bits),
        _ => None,
    }
}

fn trust(findings: &Findings, advice: &mut Advice) {
    // A key that is too short makes another certificate necessary, whoever vouches for this one.
    let Some(own) = findings.chain.first().filter(|_| weak_key(findings).is_none()) else { return };
    let ends = findings.faults.iter().find(|fault| {
        fault.index == 0
            && matches!(fault.fault, ChainFault::Expired(_) | ChainFault::NotYetValid(_))
    });
    if let Some(fault) = ends {
        advice.changes.push(changes::not_in_its_life(own, &fault.fault));
        // Whom to trust is to be asked when there is another certificate.
        return;
    }
    let is_fine =
        |judged: &Result<(), Distrust>| matches!(judged, Ok(()) | Err(Distrust::WrongName));
    match &findings.file_trusts {
        Some(judged) if is_fine(judged) => {
            advice.trusted = Some(Box::new(own.clone()));
            return;
        }
        Some(Err(why)) => advice.notes.push(changes::distrusted(findings, own, why)),
        _ => {}
    }
    let own = Box::new(own.clone());
    advice.lines.trust = Some(if is_fine(&findings.system_trusts) {
        advice.trusted = Some(own);
        Trust::System
    } else {
        Trust::Pin(own)
    });
}

fn name(findings: &Findings, advice: &mut Advice) {
    let Some(own) = findings.chain.first() else { return };
    if findings.name_fits {
        return;
    }
    match own.names.iter().find_map(|name| usable(name, &findings.subject.name)) {
        Some(name) => {
            advice.notes.push(changes::other_name(findings, own));
            advice.lines.server_name = Some(name);
        }
        None => advice.changes.push(changes::no_name(own)),
    }
}

/// A name of a certificate as `server_name` takes it; a wildcard stands for the server's own label.
fn usable(name: &str, server: &str) -> Option<String> {
    if name.is_empty() || !name.is_ascii() || name.contains(['"', '\\', ' ', '/']) {
        return None;
    }
    match name.strip_prefix("*.") {
        Some(suffix) => {
            let label = server.split('.').next().filter(|label| {
                !label.is_empty() && !label.bytes().all(|byte| byte.is_ascii_digit())
            });
            Some(format!("{}.{suffix}", label.unwrap_or("www")))
        }
        None => Some(name.to_owned()),
    }
}

/// What has to stay as it is for the servers of a pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kept<'k> {
    /// Keys that the file has for them.
    pub pins: &'k [[u8; 32]],
    /// There are servers that no advice is for.
    pub others: bool,
}

/// The lines for a pool, ready to be pasted, from the advice for each of its servers. `servers` is
/// what a new pool is to have; empty: the pool is in the file. `None`: nothing has to be written.
#[must_use]
pub fn file_lines(
    pool: &str,
    servers: &[String],
    all: &[Advice],
    kept: Kept<'_>,
) -> Option<String> {
    let mut out = String::new();
    let key = toml_key(pool);
    if !servers.is_empty() {
        let servers: Vec<String> = servers.iter().map(|one| format!("\"{one}\"")).collect();
        // What is written into a text cannot fail; so it is below.
        let _ = writeln!(out, "[pool.{key}]\nservers = [{}]", servers.join(", "));
    }
    let lines: Vec<&Lines> = all.iter().map(|advice| &advice.lines).collect();
    if lines.iter().all(|lines| lines.are_none()) {
        return (!out.is_empty()).then_some(out);
    }
    let _ = writeln!(out, "[pool.{key}.tls]");
    // The one that reaches furthest is right for all of them.
    let profiles: Vec<&str> = lines.iter().filter_map(|lines| lines.profile).collect();
    if let Some(first) = profiles.first() {
        let word = profiles.iter().find(|word| **word == OLD_WINDOWS).unwrap_or(first);
        let _ = writeln!(out, "profile = \"{word}\"");
    }
    if lines.iter().any(|lines| lines.sha384) {
        let _ = writeln!(out, "sha384_suite = true");
    }
    let names: BTreeSet<&String> =
        lines.iter().filter_map(|lines| lines.server_name.as_ref()).collect();
    if names.len() > 1 {
        let _ = writeln!(out, "# The servers have different names: each needs a pool of its own.");
    }
    if let Some(name) = names.first() {
        let _ = writeln!(out, "server_name = \"{name}\"");
    }
    write_trust(all, kept, &mut out);
    Some(out)
}

/// Keys replace authorities for all servers of a pool: so where one has to be known by its key, all are.
fn write_trust(all: &[Advice], kept: Kept<'_>, out: &mut String) {
    let trust = || all.iter().filter_map(|advice| advice.lines.trust.as_ref());
    let mut papers: Vec<&Paper> = Vec::new();
    for paper in trust().filter_map(|trust| match trust {
        Trust::Pin(paper) => Some(paper.as_ref()),
        Trust::System => None,
    }) {
        if !papers.iter().any(|known| known.pin == paper.pin) {
            papers.push(paper);
        }
    }
    if papers.is_empty() {
        if trust().next().is_some() {
            let _ = writeln!(out, "ca = \"system\"");
        }
        return;
    }
    for paper in &papers {
        let thumbprint = hex(&paper.thumbprint);
        let _ = writeln!(
            out,
            "# First compare at the server (certlm.msc, Details, Thumbprint): {thumbprint}"
        );
    }
    if kept.others && kept.pins.is_empty() {
        let _ = writeln!(
            out,
            "# Keys replace ca for every server of the pool, and not all of them were examined:\n# `gatehouse doctor` with the pool's name gives the keys of all that answer."
        );
    }
    let trusted = all.iter().filter_map(|advice| advice.trusted.as_ref());
    let shown: BTreeSet<_> = trusted.map(|paper| paper.pin).collect();
    let mut pins: Vec<[u8; 32]> = papers.iter().map(|paper| paper.pin).collect();
    for pin in shown.iter().chain(kept.pins) {
        if !pins.contains(pin) {
            pins.push(*pin);
        }
    }
    if kept.pins.iter().any(|pin| !shown.contains(pin)) {
        let _ = writeln!(out, "# Take keys out that no server of the pool has any more.");
    }
    let pins: Vec<String> = pins.iter().map(|pin| format!("\"{}\"", hex(pin))).collect();
    let _ = writeln!(out, "pin_sha256 = [{}]", pins.join(", "));
    if let Some(paper) = papers.iter().find(|paper| !paper.is_own_issuer) {
        let _ = writeln!(
            out,
            "# Better, since it outlasts renewals: instead of the pin, the certificate of \"{}\" as PEM:\n# ca = \"internal-ca.pem\"",
            paper.issuer
        );
    }
}

/// A name as TOML takes it for a key.
fn toml_key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if !name.is_empty() && name.chars().all(is_bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

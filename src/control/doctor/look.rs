//! Question after question to one server. Each has its own connection and five seconds, two once it
//! was silent; all together have a minute.

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::http::{HeadLimits, Method, Parsed, ResponseTo, Slots, parse_response};
use crate::net::{self, Dial};
use crate::pool::settings::{Profile, Sni, UpstreamTls};
use crate::proxy::connector_settings;
use crate::tls::chain::examine as examine_chain;
use crate::tls::survey::{
    Kind, Offer, Outcome, Reply, Version, alert_name, client_hello, describe, plain, read_flight,
    suites_of, vouch,
};
use crate::tls::{Authorities, Connector, Witness};

use super::findings::{Findings, Reach, Speaks, Subject, Web};
use super::line::{Line, NoTls, Patience, STEP, STEP_AGAIN, Secure, Talk};

/// How long a whole examination may take.
const WHOLE: Duration = Duration::from_secs(60);

/// How long it may take to learn when a certificate ends.
const ONE: Duration = Duration::from_secs(10);

/// After so many questions without an answer, no more are asked.
const SILENCES_MAX: usize = 2;

/// Profiles of the file that handshakes are tried with, the best first.
const PROFILES: [Profile; 4] = [
    Profile::Modern,
    Profile::Tls12,
    Profile::Windows2012R2 { sha384: false },
    Profile::Windows2012R2 { sha384: true },
];

const LIMITS: HeadLimits = HeadLimits {
    head_bytes_max: 64 * 1024,
    field_bytes_max: 32 * 1024,
    target_bytes_max: 0,
    fields_max: 200,
};

/// Whom to examine, and how to get there.
#[derive(Clone, Debug)]
pub struct Patient {
    /// Who.
    pub subject: Subject,
    /// How connections are made.
    pub dial: Dial,
    /// TLS as the file has it, else as it would be by default.
    pub tls: UpstreamTls,
    /// Whom the file trusts; `None`: it does not say.
    pub authorities: Option<Authorities>,
    /// Whom the system trusts.
    pub system: Authorities,
    /// The Host of the request.
    pub host: String,
}

/// What came of a greeting.
enum Heard {
    Taken(Box<Reply>),
    /// By an alert, which is TLS too.
    Alert(u8),
    Refused(String),
    NotTls(Vec<u8>),
    Silent,
}

struct Look<'l> {
    patient: &'l Patient,
    whole: Patience<'l>,
    silences: usize,
    chain: Vec<CertificateDer<'static>>,
}

/// Asks everything. It takes a minute at most, less if `stop` is set.
#[must_use]
pub fn examine(patient: &Patient, stop: &AtomicBool) -> Findings {
    let mut findings = Findings::none(patient.subject.clone());
    let whole = Patience::for_the_next(WHOLE, stop);
    let mut look = Look { patient, whole, silences: 0, chain: Vec::new() };
    match look.open() {
        Ok(_) => {}
        Err(error) => {
            findings.reach = reach(&error);
            return findings;
        }
    }
    look.versions(&mut findings);
    if findings.speaks == Speaks::Tls {
        look.kinds(&mut findings);
        look.handshakes(&mut findings);
        look.papers(&mut findings);
    } else {
        look.plain(&mut findings);
    }
    findings
}

fn reach(error: &io::Error) -> Reach {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reach::Refused,
        io::ErrorKind::TimedOut => Reach::Silent,
        _ => Reach::NoWay(plain(&error.to_string())),
    }
}

impl<'l> Look<'l> {
    fn open(&self) -> io::Result<Line<'l>> {
        let length = if self.silences == 0 { STEP } else { STEP_AGAIN };
        Line::open(&self.patient.dial, Patience::step(self.whole, length))
    }

    /// The name that is sent in greetings.
    fn sent_name(&self) -> Option<&'l str> {
        match &self.patient.tls.sni {
            Sni::None => None,
            Sni::Name(name) => Some(name),
            Sni::Same => Some(&self.patient.subject.name),
        }
    }

    /// One greeting.
    fn greet(&mut self, version: Version, suites: &[u16]) -> Heard {
        if self.silences >= SILENCES_MAX {
            return Heard::Silent;
        }
        let heard = self.try_greet(version, suites).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::TimedOut => Heard::Silent,
            _ => Heard::Refused("it ends the connection".to_owned()),
        });
        self.silences = if matches!(heard, Heard::Silent) { self.silences + 1 } else { 0 };
        heard
    }

    fn try_greet(&self, version: Version, suites: &[u16]) -> io::Result<Heard> {
        let mut line = self.open()?;
        let mut random = [0; 32];
        // Nothing is protected by it; zeros would do.
        let _ = aws_lc_rs::rand::fill(&mut random);
        line.send(&client_hello(&Offer {
            version,
            suites,
            server_name: self.sent_name(),
            protocols: &["h2", "http/1.1"],
            random,
        }))?;
        let mut bytes = Vec::new();
        loop {
            match read_flight(&bytes) {
                None => {}
                Some(Outcome::Taken(reply)) if reply.version == version.number() => {
                    return Ok(Heard::Taken(reply));
                }
                Some(Outcome::Taken(reply)) => {
                    return Ok(Heard::Refused(format!("it answers 0x{:04X}", reply.version)));
                }
                Some(Outcome::Alert(alert)) => return Ok(Heard::Alert(alert)),
                Some(Outcome::NotTls(begin)) => return Ok(Heard::NotTls(begin)),
                Some(Outcome::Malformed(what)) => return Ok(Heard::Refused(what.to_owned())),
            }
            if line.receive(&mut bytes)? == 0 {
                return Ok(Heard::Refused("it ends the connection".to_owned()));
            }
        }
    }

    /// Which versions it takes, and whether it is TLS at all.
    fn versions(&mut self, findings: &mut Findings) {
        let old: Vec<u16> = Kind::OLD.into_iter().flat_map(suites_of).collect();
        for version in Version::ALL {
            let suites = if version == Version::Tls13 { suites_of(Kind::New) } else { old.clone() };
            let taken = match self.greet(version, &suites) {
                Heard::Taken(reply) => {
                    findings.speaks = Speaks::Tls;
                    self.note(*reply, findings);
                    Ok(())
                }
                Heard::Alert(alert) => {
                    findings.speaks = Speaks::Tls;
                    Err(alert_name(alert))
                }
                Heard::Refused(why) => Err(why),
                Heard::Silent => Err("no answer".to_owned()),
                Heard::NotTls(begin) if begin.starts_with(b"HTTP/") => {
                    findings.speaks = Speaks::Http;
                    return;
                }
                Heard::NotTls(begin) => {
                    findings.speaks = Speaks::Other(plain(&String::from_utf8_lossy(&begin)));
                    return;
                }
            };
            findings.versions.push((version, taken));
        }
    }

    /// Keeps what the newest version told that told it.
    fn note(&mut self, reply: Reply, findings: &mut Findings) {
        if self.chain.is_empty() {
            self.chain = reply.chain;
        }
        let protocol = reply.protocol.map(|it| plain(&String::from_utf8_lossy(&it)));
        findings.protocol = findings.protocol.take().or(protocol);
        findings.scheme = findings.scheme.or(reply.scheme);
        findings.curve = findings.curve.or(reply.curve);
        findings.asks_certificate |= reply.asks_certificate;
    }

    /// Which suites it takes with the newest version that has a choice worth asking for.
    fn kinds(&mut self, findings: &mut Findings) {
        let old =
            Version::ALL.into_iter().find(|one| *one < Version::Tls13 && findings.takes(*one));
        let Some(version) = old else { return };
        for kind in Kind::OLD {
            let all = suites_of(kind);
            // One by one only where it matters which; a server that takes none is asked once.
            let one_by_one = matches!(kind, Kind::Cbc | Kind::Broken);
            let mut taken = Vec::new();
            let mut left = all;
            while let Heard::Taken(reply) = self.greet(version, &left) {
                if !left.contains(&reply.suite) {
                    break;
                }
                left.retain(|suite| *suite != reply.suite);
                if kind <= Kind::Cbc {
                    findings.scheme = reply.scheme.or(findings.scheme);
                    findings.curve = reply.curve.or(findings.curve);
                }
                taken.push(reply.suite);
                if !one_by_one || left.is_empty() {
                    break;
                }
            }
            findings.kinds.push((kind, taken));
        }
    }

    /// Handshakes as connections make them; a request goes over the first that succeeds.
    fn handshakes(&mut self, findings: &mut Findings) {
        let own = findings.subject.file.map(|file| file.profile);
        let mut profiles: Vec<Profile> = own.into_iter().collect();
        profiles.extend(PROFILES.into_iter().filter(|profile| Some(*profile) != own));
        for profile in profiles {
            let witness = Witness::default();
            let tls = UpstreamTls { profile, ..self.patient.tls.clone() };
            let settings = connector_settings(&tls, None, &Authorities::default());
            let shaken = witness
                .connector(&settings)
                .map_err(NoTls::Refused)
                .and_then(|connector| Ok((self.shake(&connector)?, connector)));
            let chain = witness.chain();
            if !chain.is_empty() {
                // What connections are shown counts more than what was shown to a strange greeting.
                self.chain = chain;
            }
            let shaken = match shaken {
                Ok((secure, connector)) => {
                    if findings.web.is_none() {
                        findings.web = Some(self.request(Talk::Secure(Box::new(secure))));
                        findings.resumes = self.shake(&connector).ok().map(|it| it.is_resumed());
                    }
                    Ok(())
                }
                Err(NoTls::Refused(why)) => Err(plain(&why)),
                Err(NoTls::Silent) => Err("no answer".to_owned()),
                Err(NoTls::Ended) => Err("it ends the connection".to_owned()),
            };
            findings.handshakes.push((profile, shaken));
        }
    }

    fn shake(&self, connector: &Connector) -> Result<Secure<'l>, NoTls> {
        let name = self.sent_name().unwrap_or(&self.patient.subject.name);
        Secure::open(self.open()?, connector, name)
    }

    /// One request for the first page, and the head of its answer.
    fn request(&self, mut talk: Talk<'_>) -> Result<Web, String> {
        let host = &self.patient.host;
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: gatehouse-doctor\r\nConnection: close\r\n\r\n"
        );
        let silent = |why: NoTls| match why {
            NoTls::Refused(why) => plain(&why),
            NoTls::Silent => "no answer".to_owned(),
            NoTls::Ended => "it ends the connection before an answer".to_owned(),
        };
        talk.send(request.as_bytes()).map_err(silent)?;
        let mut bytes = Vec::new();
        loop {
            talk.receive(&mut bytes).map_err(silent)?;
            while let Some((web, length)) = read_head(&bytes, host)? {
                if web.status >= 200 {
                    return Ok(web);
                }
                bytes.drain(..length.min(bytes.len()));
            }
        }
    }

    /// What its certificates say, and whether they would be trusted.
    fn papers(&self, findings: &mut Findings) {
        let Patient { subject, authorities, system, tls, .. } = self.patient;
        let (name, now) = (subject.name.as_str(), net::wall_seconds());
        findings.chain = self.chain.iter().filter_map(|one| describe(one)).collect();
        findings.faults = examine_chain(&self.chain, now);
        findings.name_fits = findings.chain.first().is_some_and(|own| own.covers(name));
        findings.system_trusts = vouch((system, &[]), name, &self.chain, now);
        findings.file_trusts = authorities
            .as_ref()
            .map(|authorities| vouch((authorities, &tls.pin_sha256), name, &self.chain, now));
    }

    /// Without TLS: does it speak HTTP?
    fn plain(&self, findings: &mut Findings) {
        let Ok(line) = self.open() else { return };
        let web = self.request(Talk::Plain(line));
        if web.is_ok() && findings.speaks != Speaks::Tls {
            findings.speaks = Speaks::Http;
        }
        if findings.speaks == Speaks::Http {
            findings.web = Some(web);
        }
    }
}

/// The head that `bytes` begin with, and its length; `None` if it is not whole.
fn read_head(bytes: &[u8], host: &str) -> Result<Option<(Web, usize)>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut slots = Slots::new();
    let to = ResponseTo { method: Method::Get, upgrade_sent: false };
    let head = match parse_response(bytes, &mut slots, &LIMITS, to) {
        Ok(Parsed::NeedMore) => return Ok(None),
        Ok(Parsed::Complete(head)) => head,
        Err(why) => return Err(format!("the answer is not HTTP ({})", why.word())),
    };
    let mut web = Web { host: host.to_owned(), status: head.status, ..Web::default() };
    for field in head.fields {
        let value = String::from_utf8_lossy(field.value);
        if field.name.eq_ignore_ascii_case("www-authenticate") {
            web.schemes.extend(value.split(',').filter_map(scheme));
        } else if field.name.eq_ignore_ascii_case("server") {
            web.software = plain(value.trim());
        }
    }
    web.schemes.dedup();
    web.schemes.truncate(16);
    Ok(Some((web, head.bytes)))
}

/// The scheme that an element of a challenge begins with; its parameters are none.
fn scheme(element: &str) -> Option<String> {
    let word = element.split_whitespace().next()?;
    let is_scheme = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_scheme.then(|| plain(word))
}

/// The last second of the life of the certificate that `patient` shows to connections, since 1970.
///
/// # Errors
/// It shows none now.
pub(in crate::control) fn certificate_end(
    patient: &Patient,
    stop: &AtomicBool,
) -> Result<i64, String> {
    let whole = Patience::for_the_next(ONE, stop);
    let mut look = Look { patient, whole, silences: 0, chain: Vec::new() };
    let witness = Witness::default();
    let settings = connector_settings(&patient.tls, None, &Authorities::default());
    // Also a handshake that fails has often shown it.
    let _ = witness.connector(&settings).map(|connector| look.shake(&connector).map(drop));
    let mut chain = witness.chain();
    if chain.is_empty() {
        let old: Vec<u16> = Kind::OLD.into_iter().flat_map(suites_of).collect();
        if let Heard::Taken(reply) = look.greet(Version::Tls12, &old) {
            chain = reply.chain;
        }
    }
    let own = chain.first().and_then(|own| describe(own));
    own.map(|own| own.not_after).ok_or_else(|| "it shows no certificate".to_owned())
}

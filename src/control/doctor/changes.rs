//! The sentences of the doctor: what was found, and what to do at the server, for somebody who knows
//! Windows and networks.

use crate::tls::chain::ChainFault;
use crate::tls::survey::{Distrust, Kind, Paper, Version, suite_name};

use super::advice::{Change, signs_by_sha1, weak_key};
use super::findings::{Findings, Reach, Speaks, Web};
use super::told::date;

fn change(what: impl Into<String>, next: impl Into<String>) -> Change {
    Change { what: what.into(), next: next.into() }
}

/// There is nobody.
pub(super) fn unreached(findings: &Findings) -> Change {
    let address = findings.subject.address;
    let (ip, port) = (address.ip(), address.port());
    match &findings.reach {
        Reach::Refused => change(
            format!("the connection to {address} is refused: nobody listens on this port"),
            format!(
                "is the service started, and is it this port (IIS: Bindings; Lync's external web site: 4443)? At the server: `netstat -ano | findstr :{port}`; from this box: `nc -vz {ip} {port}`"
            ),
        ),
        Reach::NoWay(error) => change(
            format!("there is no way to {address}: {error}"),
            format!(
                "`ip route get {ip}` shows the way; does the network need a route in [adapter.internal], or the server one back?"
            ),
        ),
        Reach::Silent | Reach::Open => change(
            format!("{address} does not answer: no connection within 5 s"),
            format!(
                "is the server up, and does its firewall (wf.msc), or one on the way, let this box through to port {port}? `ping -c 3 {ip}`; `ip route get {ip}`"
            ),
        ),
    }
}

/// Somebody is there, and speaks neither TLS nor HTTP.
pub(super) fn strange(findings: &Findings) -> Change {
    let address = findings.subject.address;
    let port = address.port();
    match &findings.speaks {
        Speaks::Other(begin) => change(
            format!("what {address} speaks is neither TLS nor HTTP; it begins with \"{begin}\""),
            "another service has this port: look the web site's port up in its bindings (inetmgr)",
        ),
        _ => change(
            format!("{address} takes connections and says nothing, neither to TLS nor to HTTP"),
            format!(
                "at the server, `netstat -ano | findstr :{port}` shows whose the port is; does it hang, or does a firewall on the way hold the bytes back?"
            ),
        ),
    }
}

/// The file says TLS, and the server speaks HTTP.
pub(super) fn no_tls_there(findings: &Findings) -> Change {
    let (address, pool) = (findings.subject.address, &findings.subject.pool);
    change(
        format!("{address} speaks HTTP without TLS, and the file says TLS"),
        format!(
            "either name the port of its https binding in `servers`, or take [pool.{pool}.tls] out of the file: then everything, passwords too, is readable between this box and the server"
        ),
    )
}

pub(super) fn in_clear() -> Change {
    change(
        "it speaks HTTP without TLS: everything, passwords too, is readable between this box and the server",
        "if the server has an https binding, name its port",
    )
}

/// The registry, as somebody types it at the server.
const TLS12_ON: &str = r#"at the server, as administrator: `reg add "HKLM\SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols\TLS 1.2\Server" /v Enabled /t REG_DWORD /d 1 /f`, the same with `/v DisabledByDefault /d 0`, then restart it; Windows Server 2008 R2 needs Service Pack 1 and all updates for it"#;

/// The order of cipher suites, as Windows knows it.
const SUITES_ON: &str = "at the server: gpedit.msc, Computer Configuration, Administrative Templates, Network, SSL Configuration Settings, SSL Cipher Suite Order: put TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 in front (Windows Server 2016 or newer), on older ones TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256_P256, then restart it";

/// No profile works: why, and what to do.
pub(super) fn no_profile(findings: &Findings) -> Change {
    let taken: Vec<&str> = findings
        .versions
        .iter()
        .filter(|(_, taken)| taken.is_ok())
        .map(|(version, _)| version.name())
        .collect();
    if let Some(bits) = weak_key(findings) {
        return change(
            format!(
                "its RSA key has {bits} bits: every profile refuses signatures by it, a pin does not help"
            ),
            "have its authority issue another certificate with a key of 2048 bits, and bind it (IIS: inetmgr, Bindings; Lync: Set-CsCertificate)",
        );
    }
    if taken.is_empty() {
        let why = findings.versions.first().and_then(|(_, taken)| taken.as_ref().err());
        let why = why.map_or("no answer", String::as_str);
        return change(
            format!("it refuses every version of TLS: {why}"),
            "is a certificate bound to this port? At the server: `netsh http show sslcert`; if its certificates are chosen by server name, `server_name` of the pool has to be one of those",
        );
    }
    if !findings.takes(Version::Tls12) && !findings.takes(Version::Tls13) {
        return change(
            format!("it speaks {} and nothing newer: no profile speaks that", taken.join(", ")),
            TLS12_ON,
        );
    }
    if signs_by_sha1(findings) {
        return change(
            "it signs its handshakes by SHA-1 only, which can be forged: every profile refuses that",
            "at the server: its key stands in an old provider; import certificate and key again into the \"Microsoft RSA SChannel Cryptographic Provider\" (`certutil -csp \"Microsoft RSA SChannel Cryptographic Provider\" -importpfx FILE.pfx`), and install all updates",
        );
    }
    let kinds =
        [Kind::Modern, Kind::Cbc, Kind::CbcEcdsa, Kind::Dhe, Kind::RsaExchange, Kind::Broken];
    let has: Vec<&str> = kinds
        .into_iter()
        .filter(|kind| !findings.suites(*kind).is_empty())
        .map(Kind::name)
        .collect();
    if !findings.suites(Kind::Modern).is_empty() || !findings.suites(Kind::Cbc).is_empty() {
        let why = findings.handshakes.iter().find_map(|(_, shaken)| shaken.as_ref().err());
        let why = why.map_or("", String::as_str);
        return change(
            format!("it has suites that a profile has too, and yet no handshake succeeds: {why}"),
            "the server's own log (eventvwr.msc, System, source Schannel) says why at this time",
        );
    }
    change(
        format!("of cipher suites it takes only: {}; no profile has any of them", has.join(", ")),
        SUITES_ON,
    )
}

/// Its certificate has ended, or has not begun.
pub(super) fn not_in_its_life(own: &Paper, fault: &ChainFault) -> Change {
    match fault {
        ChainFault::NotYetValid(begin) => change(
            format!("its certificate \"{}\" is valid from {} on only", own.subject, date(*begin)),
            "is the clock of this box right (`timedatectl`)? Else have its authority issue another",
        ),
        _ => change(
            format!("its certificate \"{}\" has ended on {}", own.subject, date(own.not_after)),
            "renew it at the server and bind the new one (IIS: inetmgr, Bindings; Lync: Set-CsCertificate); is the clock of this box right (`timedatectl`)? Neither ca nor pin_sha256 makes up for it",
        ),
    }
}

/// It has no name that could be verified.
pub(super) fn no_name(own: &Paper) -> Change {
    let subject = if own.common_name.is_empty() { "nothing" } else { &own.common_name };
    change(
        format!(
            "its certificate has no name where names are verified: \"{subject}\" stands in its subject only"
        ),
        "have its authority issue another with the name as DNS entry of \"Subject Alternative Name\" (the wizard of Lync, and certreq with an extension 2.5.29.17, do so); no line of the file makes up for it",
    )
}

/// Whom the file trusts does not vouch for it.
pub(super) fn distrusted(findings: &Findings, own: &Paper, why: &Distrust) -> Change {
    let issuer = &own.issuer;
    let incomplete = findings.faults.iter().any(|one| {
        matches!(one.fault, ChainFault::IssuerMissing(_) | ChainFault::IssuerElsewhere(_))
    });
    let file =
        if findings.subject.file.is_some_and(|file| file.pins) { "pin_sha256" } else { "ca" };
    match why {
        Distrust::OldSignature => change(
            format!(
                "its certificate, or one above it, is signed by {}, which can be forged",
                own.hash
            ),
            "pin_sha256 makes up for that until its authority has issued another, signed by SHA-256",
        ),
        Distrust::OtherKey => change(
            "its key is not among those of pin_sha256",
            "has its certificate been renewed with another key? Then the new pin belongs into the file, once it was compared at the server; else somebody stands between",
        ),
        Distrust::UnknownIssuer if own.is_own_issuer => change(
            "its certificate is signed by itself: nobody vouches for it",
            "pin its key as below, or put the certificate itself into the file of `ca`",
        ),
        Distrust::UnknownIssuer => change(
            format!(
                "nobody in the file's `{file}` vouches for its certificate, which \"{issuer}\" has issued{}",
                if incomplete { "; the server does not show all certificates between" } else { "" }
            ),
            format!(
                "put the root above \"{issuer}\" into the file of `ca`, as PEM: at the authority, `certutil -ca.cert root.cer` writes it, `openssl x509 -inform der -in root.cer -out root.pem` turns it into PEM"
            ),
        ),
        Distrust::NotForServers => change(
            "its certificate is not meant for servers (no \"Server Authentication\")",
            "have its authority issue one by a template for web servers; until then a pin makes up for it",
        ),
        Distrust::Other(text) => change(
            format!("its certificate is not accepted: {}", crate::tls::survey::plain(text)),
            "have its authority issue another; a pin may make up for it",
        ),
        Distrust::WrongName | Distrust::Expired | Distrust::NotYetValid => change(
            "a certificate above its own has ended, or is to begin",
            "the server has to show those that are valid: certlm.msc, Intermediate Certification Authorities",
        ),
    }
}

/// It has other names.
pub(super) fn other_name(findings: &Findings, own: &Paper) -> Change {
    let names: Vec<&str> = own.names.iter().take(10).map(String::as_str).collect();
    change(
        format!(
            "its certificate is not for {}, but for {}",
            findings.subject.name,
            names.join(", ")
        ),
        "`server_name` says which of its names is verified and sent",
    )
}

/// What is worth knowing.
pub(super) fn notes(findings: &Findings, notes: &mut Vec<Change>) {
    for fault in &findings.faults {
        match &fault.fault {
            ChainFault::EndsSoon { days, .. } => notes.push(change(
                format!("the certificate \"{}\" ends in {days} days", fault.subject),
                "have its authority issue another in time",
            )),
            ChainFault::IssuerMissing(issuer) | ChainFault::IssuerElsewhere(issuer) => {
                notes.push(change(
                    format!(
                        "the chain is not in order: \"{issuer}\" does not stand behind \"{}\"",
                        fault.subject
                    ),
                    "at the server, certlm.msc, Intermediate Certification Authorities, has to hold it",
                ));
            }
            _ => {}
        }
    }
    if findings.takes(Version::Ssl3) {
        notes.push(change(
            "it still speaks SSL 3.0, which is broken; we do not",
            "switch it off at the server, as Microsoft's advisory 3009008 says",
        ));
    }
    let broken = findings.suites(Kind::Broken);
    if !broken.is_empty() {
        let names: Vec<String> = broken.iter().map(|number| suite_name(*number)).collect();
        notes.push(change(
            format!("it still takes broken suites, which we do not use: {}", names.join(", ")),
            "take them out of its SSL Cipher Suite Order when no other client needs them",
        ));
    }
    if findings.asks_certificate {
        notes.push(change(
            "it asks for a client certificate; we have none to show",
            "if it insists, set its site to ignore client certificates (IIS: SSL Settings, Ignore)",
        ));
    }
    match &findings.web {
        Some(Ok(web)) => web_notes(web, notes),
        Some(Err(why)) => notes.push(change(
            format!("TLS stands, and a request got no answer: {why}"),
            "the first request after a pause may take long at IIS: try again",
        )),
        None => {}
    }
}

fn web_notes(web: &Web, notes: &mut Vec<Change>) {
    let is_windows =
        |scheme: &&String| matches!(scheme.to_ascii_lowercase().as_str(), "negotiate" | "ntlm");
    if web.status == 401 && web.schemes.iter().any(|scheme| is_windows(&scheme)) {
        notes.push(change(
            "it asks for Windows authentication: each client that logs in has a connection of its own to it",
            "nothing: Gatehouse sees to it; with Kerberos, its name in DNS has to be the one of its SPN",
        ));
    }
    if web.status == 400 {
        notes.push(change(
            format!("it answers 400 to a request for {}: no site of it may have that name", web.host),
            "clients' requests reach it with the name that they ask for: inetmgr, Bindings, host name",
        ));
    }
}

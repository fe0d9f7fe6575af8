//! Findings in, advice out: one table of servers as they are met.

use std::net::SocketAddr;

use super::*;
use crate::pool::settings::Profile;
use crate::tls::chain::{ChainFault, Finding};
use crate::tls::survey::{Distrust, Key, Kind, Paper, Version};

const NOW: i64 = 1_893_456_000;

fn paper() -> Paper {
    Paper {
        subject: "fe01".to_owned(),
        common_name: "fe01".to_owned(),
        issuer: "Contoso CA".to_owned(),
        names: vec!["web.contoso.com".to_owned()],
        not_before: NOW - 86_400,
        not_after: NOW + 86_400 * 300,
        key: Key::Rsa(2048),
        hash: "SHA-256".to_owned(),
        is_own_issuer: false,
        is_authority: false,
        pin: [0xab; 32],
        thumbprint: vec![0xcd; 20],
    }
}

/// A server with everything that is modern, whom the file knows.
fn well() -> Findings {
    let subject = Subject {
        pool: "web".to_owned(),
        server: "fe01.contoso.local:4443".to_owned(),
        address: SocketAddr::from(([192, 0, 2, 1], 4443)),
        file: Some(FileSays { tls: true, profile: Profile::Modern, pins: false }),
        name: "web.contoso.com".to_owned(),
    };
    Findings {
        speaks: Speaks::Tls,
        versions: vec![
            (Version::Tls13, Ok(())),
            (Version::Tls12, Ok(())),
            (Version::Tls11, Err("protocol_version".to_owned())),
        ],
        kinds: vec![(Kind::Modern, vec![0xc02f])],
        handshakes: vec![(Profile::Modern, Ok(())), (Profile::Tls12, Ok(()))],
        scheme: Some(0x0804),
        chain: vec![paper()],
        name_fits: true,
        file_trusts: Some(Ok(())),
        ..Findings::none(subject)
    }
}

/// What Windows Server 2012 R2 is like behind an RSA certificate.
fn old(findings: &mut Findings) {
    let refused = || Err("received fatal alert: HandshakeFailure".to_owned());
    findings.versions[0].1 = Err("protocol_version".to_owned());
    findings.handshakes = vec![(Profile::Modern, refused()), (Profile::Tls12, refused())];
    findings.kinds = vec![
        (Kind::Modern, vec![]),
        (Kind::Cbc, vec![0xc027, 0xc014]),
        (Kind::RsaExchange, vec![0x009d]),
    ];
}

fn only(kinds: &[(Kind, u16)]) -> impl FnOnce(&mut Findings) {
    let kinds = kinds.iter().map(|(kind, suite)| (*kind, vec![*suite])).collect();
    move |findings| {
        old(findings);
        findings.kinds = kinds;
    }
}

fn distrust(why: Distrust) -> impl FnOnce(&mut Findings) {
    move |findings| findings.file_trusts = Some(Err(why))
}

/// The verdict, the profile, and parts of what is said: each has to be there.
#[track_caller]
fn check(
    change: impl FnOnce(&mut Findings),
    (verdict, profile): (Verdict, Option<&str>),
    lines: Option<&str>,
    said: &[&str],
) {
    let mut findings = well();
    change(&mut findings);
    let advice = advise(&findings);
    let text = as_text(&findings, &advice, NOW);
    assert_eq!((advice.verdict, advice.profile), (verdict, profile), "{text}");
    let given = file_lines("web", &[], std::slice::from_ref(&advice), Kept::default());
    assert_eq!(given.as_deref(), lines, "{text}");
    for part in said {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    for change in advice.changes.iter().chain(&advice.notes) {
        assert!(!change.what.is_empty() && !change.next.is_empty(), "{change:?}");
        assert_eq!(change.next.matches('`').count() % 2, 0, "{change:?}");
    }
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
    let json = as_json(&findings, &advice, given.as_deref());
    assert_eq!(json["profile"].as_str(), profile);
    assert_eq!(json["lines"].as_str(), lines);
}

use Verdict::{FileHasToChange, ServerHasToChange, Unreached, Well};

const PIN: &str = "[pool.web.tls]\n\
    # First compare at the server (certlm.msc, Details, Thumbprint): cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd\n\
    pin_sha256 = [\"abababababababababababababababababababababababababababababababab\"]\n\
    # Better, since it outlasts renewals: instead of the pin, the certificate of \"Contoso CA\" as PEM:\n\
    # ca = \"internal-ca.pem\"\n";

#[test]
fn profiles() {
    check(|_| {}, (Well, Some("modern")), None, &["=> profile = \"modern\" works"]);
    let windows = "[pool.web.tls]\nprofile = \"windows-2012r2\"\n";
    check(old, (FileHasToChange, Some("windows-2012r2")), Some(windows), &["0xC027, 0xC014"]);
    check(
        only(&[(Kind::Cbc, 0xc028)]),
        (FileHasToChange, Some("windows-2012r2")),
        Some("[pool.web.tls]\nprofile = \"windows-2012r2\"\nsha384_suite = true\n"),
        &[],
    );
    // It hangs on TLS 1.3.
    check(
        |it| it.handshakes[0].1 = Err("no answer".to_owned()),
        (FileHasToChange, Some("tls12")),
        Some("[pool.web.tls]\nprofile = \"tls12\"\n"),
        &[],
    );
    // What the file says works: nobody has to change it.
    check(
        |it| {
            it.subject.file = Some(FileSays { tls: true, profile: Profile::Tls12, pins: false });
            it.handshakes.swap(0, 1);
        },
        (Well, Some("tls12")),
        None,
        &[],
    );
}

#[test]
fn servers_that_no_profile_reaches() {
    let no = (ServerHasToChange, None);
    let ends = "no profile works until the server has been changed";
    check(
        |it| {
            old(it);
            it.versions = vec![
                (Version::Tls12, Err("protocol_version".to_owned())),
                (Version::Tls10, Ok(())),
            ];
        },
        no,
        None,
        &["speaks TLS 1.0 and nothing newer", "reg add", ends],
    );
    check(only(&[(Kind::RsaExchange, 0x9d)]), no, None, &["only: RSA key exchange", "gpedit.msc"]);
    check(only(&[(Kind::Broken, 0x05)]), no, None, &["only: RC4, 3DES, NULL"]);
    check(only(&[(Kind::Dhe, 0x9f)]), no, None, &["only: DHE"]);
    check(only(&[(Kind::CbcEcdsa, 0xc024)]), no, None, &["only: ECDHE-ECDSA with AES-CBC"]);
    check(
        |it| {
            old(it);
            it.scheme = Some(0x0201);
        },
        no,
        None,
        &["by SHA-1 only", "SChannel"],
    );
    // It could shake hands, were it not for the key.
    check(
        |it| {
            old(it);
            it.chain[0].key = Key::Rsa(1024);
            it.file_trusts = Some(Err(Distrust::UnknownIssuer));
        },
        no,
        None,
        &["1024 bits", "a pin does not help", "2048 bits"],
    );
    check(
        |it| {
            old(it);
            it.versions.iter_mut().for_each(|one| one.1 = Err("unrecognized_name".to_owned()));
        },
        no,
        None,
        &["refuses every version of TLS: unrecognized_name", "netsh http show sslcert"],
    );
}

#[test]
fn trust() {
    let file = (FileHasToChange, Some("modern"));
    check(distrust(Distrust::UnknownIssuer), file, Some(PIN), &["`ca`", "certutil -ca.cert"]);
    check(distrust(Distrust::OldSignature), file, Some(PIN), &["which can be forged"]);
    check(distrust(Distrust::NotForServers), file, Some(PIN), &["not meant for servers"]);
    check(
        |it| {
            it.subject.file = Some(FileSays { tls: true, profile: Profile::Modern, pins: true });
            it.file_trusts = Some(Err(Distrust::OtherKey));
        },
        file,
        Some(PIN),
        &["not among those of pin_sha256"],
    );
    check(
        |it| {
            it.file_trusts = Some(Err(Distrust::UnknownIssuer));
            it.system_trusts = Ok(());
        },
        file,
        Some("[pool.web.tls]\nca = \"system\"\n"),
        &[],
    );
    let ended =
        Finding { subject: "fe01".to_owned(), index: 0, fault: ChainFault::Expired(NOW - 1) };
    check(
        |it| {
            it.faults = vec![ended];
            it.file_trusts = Some(Err(Distrust::Expired));
        },
        (ServerHasToChange, Some("modern")),
        None,
        &["has ended", "Neither ca nor pin_sha256"],
    );
}

#[test]
fn names() {
    let other = |names: &'static [&'static str]| {
        move |it: &mut Findings| {
            it.name_fits = false;
            it.subject.name = "fe01.contoso.local".to_owned();
            it.chain[0].names = names.iter().map(|name| (*name).to_owned()).collect();
            it.file_trusts = Some(Err(Distrust::WrongName));
        }
    };
    let file = (FileHasToChange, Some("modern"));
    let line = |name: &str| format!("[pool.web.tls]\nserver_name = \"{name}\"\n");
    check(
        other(&["web.contoso.com", "x.contoso.com"]),
        file,
        Some(&line("web.contoso.com")),
        &["not for fe01.contoso.local, but for web.contoso.com, x.contoso.com"],
    );
    check(other(&["*.contoso.com"]), file, Some(&line("fe01.contoso.com")), &[]);
    // What would break out of the text does not get into it.
    check(other(&["a\"b", "c.test"]), file, Some(&line("c.test")), &[]);
    check(
        other(&[]),
        (ServerHasToChange, Some("modern")),
        None,
        &["\"fe01\" stands in its subject only", "Subject Alternative Name"],
    );
}

#[test]
fn who_is_not_there() {
    let no = (Unreached, None);
    let reach = |reach: Reach| move |it: &mut Findings| it.reach = reach;
    check(reach(Reach::Refused), no, None, &["is refused", "netstat -ano | findstr :4443"]);
    check(reach(Reach::Silent), no, None, &["does not answer", "wf.msc"]);
    check(reach(Reach::NoWay("no route".to_owned())), no, None, &["no way to 192.0.2.1:4443"]);
    let speaks = |speaks: Speaks| move |it: &mut Findings| it.speaks = speaks;
    check(speaks(Speaks::Nothing), no, None, &["says nothing"]);
    check(speaks(Speaks::Other("220 mail".to_owned())), no, None, &["\"220 mail\""]);
    check(speaks(Speaks::Http), (FileHasToChange, None), None, &["take [pool.web.tls] out"]);
    check(
        |it| {
            it.speaks = Speaks::Http;
            it.subject.file = None;
        },
        (Well, None),
        None,
        &["it works without TLS"],
    );
}

/// Servers that differ get lines that are right for all of them.
#[test]
fn lines_of_several_servers() {
    let mut one = well();
    one.file_trusts = Some(Err(Distrust::UnknownIssuer));
    let mut two = one.clone();
    old(&mut two);
    two.chain[0].pin = [0x12; 32];
    let all: Vec<Advice> = [&one, &two, &one].into_iter().map(advise).collect();
    let lines = file_lines("my pool", &["fe01:4443".to_owned()], &all, Kept::default()).unwrap();
    let expected = format!("pin_sha256 = [\"{}\", \"{}\"]\n", "ab".repeat(32), "12".repeat(32));
    assert!(lines.starts_with("[pool.\"my pool\"]\nservers = [\"fe01:4443\"]\n"), "{lines}");
    assert!(lines.contains("[pool.\"my pool\".tls]\nprofile = \"windows-2012r2\"\n"), "{lines}");
    assert!(lines.contains(&expected), "{lines}");
}

/// A key in the list shuts out whoever is trusted in another way: so all keys are in it.
#[test]
fn a_server_with_a_new_key_does_not_shut_the_others_out() {
    let keyed = |byte: u8, file: Result<(), Distrust>, system: Result<(), Distrust>| {
        let mut findings = well();
        findings.chain[0].pin = [byte; 32];
        (findings.file_trusts, findings.system_trusts) = (Some(file), system);
        advise(&findings)
    };
    let (other, unknown) = (Err(Distrust::OtherKey), Err(Distrust::UnknownIssuer));
    let new = keyed(0x11, other.clone(), unknown.clone());
    let fine = keyed(0x22, Ok(()), unknown.clone());
    let by_system = keyed(0x33, other.clone(), Ok(()));
    let expect = |all: &[&Advice], kept: Kept<'_>, pins: &[u8], said: &str| {
        let all: Vec<Advice> = all.iter().map(|advice| (*advice).clone()).collect();
        let lines = file_lines("web", &[], &all, kept).unwrap();
        let pins: Vec<String> =
            pins.iter().map(|pin| format!("\"{}\"", format!("{pin:02x}").repeat(32))).collect();
        assert!(lines.contains(&format!("\npin_sha256 = [{}]\n", pins.join(", "))), "{lines}");
        assert_eq!(lines.matches("First compare").count(), 1, "{lines}");
        assert!(lines.contains(said), "{lines}");
        let told = lines.contains("not all of them") || lines.contains("Take keys out");
        assert_eq!(told, !said.is_empty(), "{lines}");
    };
    let (none, all) = (Kept::default(), [&fine, &new, &by_system]);
    expect(&all, none, &[0x11, 0x22, 0x33], "");
    // Also those of servers that did not answer, or were not asked.
    let kept = Kept { pins: &[[0x22; 32], [0x44; 32]], others: true };
    expect(&all, kept, &[0x11, 0x22, 0x33, 0x44], "Take keys out");
    expect(&[&new, &fine], Kept { pins: &[[0x22; 32]], others: true }, &[0x11, 0x22], "");
    expect(&[&new], Kept { pins: &[], others: true }, &[0x11], "not all of them");
}

#[test]
fn every_name_of_the_json_is_documented() {
    let findings = Findings { web: Some(Ok(Web::default())), ..well() };
    let advice = advise(&findings);
    let json = as_json(&findings, &advice, None);
    let tables = [&json, &json["certificates"][0], &json["answer"]];
    let names = tables.iter().flat_map(|table| table.as_object().unwrap().keys());
    let page = include_str!("../../../appliance/docs/doctor.md");
    assert!(names.clone().count() > 30);
    for name in names {
        let plain = page.contains(&format!("`{name}`")) || page.contains(&format!("`{name}[]`"));
        assert!(plain, "appliance/docs/doctor.md does not say what `{name}` is");
    }
}

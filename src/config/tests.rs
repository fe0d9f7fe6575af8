//! What is read, and what is said about planted faults.

mod planted;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use super::*;

mod keys;

use crate::pool::settings::{Ask, Balance, PoolId, Profile, ServerAddress, ServerName, Sni, Trust};
use crate::site::{Action, Forwarded, Found, PathCheck};

/// 2027-06-15 at 12:00 UTC.
const NOW: i64 = 1_813_060_800;

/// Years of lives that NOW is in the midst of.
const LIFE: [(i32, u8); 2] = [(2027, 1), (2028, 1)];

/// What stands beside every main file, by name.
static FILES: LazyLock<HashMap<&'static str, Vec<u8>>> = LazyLock::new(|| {
    let names = ["a.com", "*.b.com", "127.0.0.1"];
    let root = Authority::new("Root", None);
    let middle = Authority::new("Middle", Some(&root));
    let (a, a_key) = pair(&names, &root, LIFE);
    let (_, other_key) = pair(&["other.test"], &root, LIFE);
    let (bare, bare_key) = pair(&[], &root, LIFE);
    let (deep, deep_key) = pair(&names, &middle, LIFE);
    let (old, old_key) = pair(&names, &root, [(2026, 1), (2027, 6)]);
    let (soon, soon_key) = pair(&names, &root, [(2026, 1), (2027, 7)]);
    let (early, early_key) = pair(&names, &root, [(2027, 7), (2028, 1)]);
    let (root, middle) = (root.pem, middle.pem);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let texts = [
        ("damaged.pem", a.replace("MII", "MIX")),
        ("broken.key", a_key.replace("MIG", "M!X")),
        ("disorder.pem", format!("{middle}{deep}")),
        ("deep.pem", format!("{deep}{middle}{root}")),
        ("deep.key", deep_key),
        ("swapped.pem", format!("{deep}{root}{middle}")),
        ("gap.pem", format!("{deep}{root}")),
        ("old.pem", old),
        ("old.key", old_key),
        ("soon.pem", soon),
        ("soon.key", soon_key),
        ("early.pem", early),
        ("early.key", early_key),
        ("a.pem", a),
        ("a.key", a_key.clone()),
        ("open.key", a_key),
        ("other.key", other_key),
        ("bare.pem", bare),
        ("bare.key", bare_key),
        ("weak.pem", include_str!("tests/certificates/weak.pem").to_owned()),
        ("weak.key", include_str!("tests/certificates/weak.key").to_owned()),
        ("short.key", include_str!("tests/certificates/short.key").to_owned()),
        ("encrypted.key", encrypted.to_owned()),
        ("notes.txt", "nothing of use".to_owned()),
        ("b.html", "<b>{status}</b>".to_owned()),
        ("c.json", "{\"id\": \"{request_id}\"}".to_owned()),
        ("long.html", "x".repeat(65_537)),
    ];
    let mut files: HashMap<_, _> =
        texts.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    files.insert("a.pfx", vec![0x30, 0x82, 0x09, 0x00, 0x02]);
    files.insert("latin.toml", b"[workers]\ncount = 2 # f\xfcr Anna\n".to_vec());
    files.insert("latin.txt", vec![b'a', 0xe4]);
    files.insert("utf16.toml", b"\xff\xfe[\0w\0".to_vec());
    files
});

/// Somebody who signs certificates.
struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str, signer: Option<&Self>) -> Self {
        let mut params = params(&[], LIFE);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = match signer {
            None => params.self_signed(&key),
            Some(signer) => params.signed_by(&key, &signer.issuer),
        };
        Self { pem: certificate.unwrap().pem(), issuer: rcgen::Issuer::new(params, key) }
    }
}

/// A life is from the first of one month to the first of another.
fn params(names: &[&str], [begin, end]: [(i32, u8); 2]) -> rcgen::CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = names.first() {
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
    }
    params.not_before = rcgen::date_time_ymd(begin.0, begin.1, 1);
    params.not_after = rcgen::date_time_ymd(end.0, end.1, 1);
    params
}

fn pair(names: &[&str], signer: &Authority, life: [(i32, u8); 2]) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params(names, life).signed_by(&key, &signer.issuer).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A folder with these files and [`FILES`] in it.
struct Beside(HashMap<PathBuf, Vec<u8>>);

/// Where a file that is named as a whole stands.
const FOLDER: &str = "/etc/gatehouse";

impl Source for Beside {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let plain = include::plain(path);
        if let Some(bytes) = self.0.get(&plain) {
            return Ok(bytes.clone());
        }
        let name = plain.strip_prefix(FOLDER).unwrap_or(path);
        match name.to_str() {
            Some("secret.pem" | "secret.toml") => Err(io::ErrorKind::PermissionDenied.into()),
            Some("conf.d") => Err(io::ErrorKind::IsADirectory.into()),
            Some(name) => FILES.get(name).cloned().ok_or(io::ErrorKind::NotFound.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        if folder == "secret" {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let here = |path: &&PathBuf| {
            let own = path.parent().filter(|own| *own != "").unwrap_or(Path::new("."));
            own == folder
        };
        let mut names: Vec<OsString> =
            self.0.keys().filter(here).map(|path| path.file_name().unwrap().into()).collect();
        // In an order that nobody wants.
        names.sort_by(|left, right| right.cmp(left));
        if names.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(names) }
    }

    fn mode(&self, path: &Path) -> Option<u32> {
        Some(if path == "open.key" { 0o100_644 } else { 0o100_600 })
    }
}

fn read_text(text: &str) -> Result<Config, Complaints> {
    let files = HashMap::from([(PathBuf::from("main.toml"), text.as_bytes().to_vec())]);
    read(Path::new("main.toml"), &Beside(files), NOW).map(|(config, _)| config)
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let seen = match read_text(text) {
        Ok(_) => Vec::new(),
        Err(found) => found.list().to_vec(),
    };
    let seen: Vec<String> = seen
        .iter()
        .map(|one| format!("{}:{}: {}", one.place.line, one.place.column, one.message))
        .collect();
    assert_eq!(seen, expected, "{text}");
}

#[test]
fn text_from_windows() {
    check("\u{feff}[workers]\r\ncount = 1\r\n", &[]);
    check(
        "\u{feff}[workers]\r\ncuont = 1\r\n",
        &["2:1: no setting is called `cuont` here; did you mean `count`?"],
    );
}

#[test]
fn the_main_file_itself() {
    let missing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let printed = read(Path::new("x.toml"), &missing, NOW).unwrap_err().to_string();
    assert_eq!(printed, "x.toml:1:1: cannot read this file: there is no such file\n\n1 complaint");
    let binary = |_: &Path| Ok(b"a = 1\nb = \"\xff\"".to_vec());
    let complaints = read(Path::new("x.toml"), &binary, NOW).unwrap_err();
    assert_eq!((complaints.list()[0].place.line, complaints.list()[0].place.column), (2, 6));
}

/// Text of the file, in the source line or in the message, cannot steer the terminal.
#[test]
fn nothing_steers_the_terminal() {
    let texts = [
        "a = \u{1b}[31m",
        "[log]\nquery = \"\\u001b[31m\\u202e\" # \u{202e}\tx",
        "\"\\u001b[2J\" = 1",
    ];
    for text in texts {
        let printed = read_text(text).unwrap_err();
        let plain = printed.render(false);
        let bad = plain.chars().find(|c| c.is_control() && *c != '\n' || *c == '\u{202e}');
        assert_eq!(bad, None, "{plain}");
        assert!(plain.contains('\u{fffd}'), "{plain}");
        // In colour, but only in ours.
        let colour = printed.render(true);
        assert!(colour.contains("\u{1b}[") && !colour.contains("\u{1b}[2J"), "{colour:?}");
        assert!(!colour.contains("\u{1b}[31m\u{fffd}"), "{colour:?}");
    }
}

/// Whatever is done to a good file, there is an answer, and every complaint has a place in it.
#[test]
fn no_text_is_too_odd() {
    let places: Vec<usize> = EVERYTHING.char_indices().map(|(at, _)| at).collect();
    for (count, at) in places.iter().enumerate() {
        let inserted = ["", "\"", "[", "\n", "=", "\u{1b}", "ä", "{"][count % 8];
        let (before, after) = EVERYTHING.split_at(*at);
        let changed = format!("{before}{inserted}{}", after.get(1..).unwrap_or_default());
        for text in [before, changed.as_str()] {
            let Err(complaints) = read_text(text) else { continue };
            assert!(!complaints.list().is_empty(), "{text}");
            for complaint in complaints.list() {
                let line = text.lines().nth(complaint.place.line - 1).unwrap_or_default();
                assert!(complaint.place.column <= line.chars().count() + 1, "{text}");
            }
            assert!(complaints.to_string().starts_with("main.toml:"), "{complaints}");
        }
    }
}

#[test]
fn errors_are_printed_before_warnings_when_there_are_too_many() {
    let mut text = String::new();
    for number in 0..90 {
        text += &format!("[certificate.c{number}]\nchain = \"soon.pem\"\nkey = \"soon.key\"\n");
    }
    for number in 0..40 {
        text += &format!("[pool.p{number}]\n");
    }
    let complaints = read_text(&text).unwrap_err();
    assert_eq!((complaints.count(), complaints.warnings()), (130, 90));
    let printed = complaints.to_string();
    assert_eq!(printed.matches("has no servers").count(), 40);
    assert_eq!(printed.matches("warning: ").count(), 60);
    assert!(
        printed.ends_with("\n\nand 30 more; correct these first\n40 complaints and 90 warnings")
    );
}

#[test]
fn files_are_merged_in_the_order_of_their_names() {
    let file = |name: &str, text: &str| (PathBuf::from(name), text.as_bytes().to_vec());
    let site = "[[site.s.rule]]\npath = \"/\"\npool = \"a\"\n[site.s]\nnames = [\"a.com\"]\nlisteners = [\"l\"]";
    let files = HashMap::from([
        file(
            "etc/main.toml",
            "include = [\"conf.d/*.toml\", \"more.toml\"]\n[pool.m]\nservers = [\"m:1\"]",
        ),
        file(
            "etc/conf.d/b.toml",
            "[pool.b]\nservers = [\"b:1\"]\n[resolver.hosts]\nb = \"10.0.0.2\"",
        ),
        file(
            "etc/conf.d/a.toml",
            &format!(
                "include = \"a/x.toml\"\n[pool.a]\nservers = [\"a:1\"]\n{site}\n[log]\naccess = [\"json:./a.log\"]"
            ),
        ),
        file(
            "etc/conf.d/a/x.toml",
            "[resolver]\nservers = [\"10.0.0.53\"]\nhosts = { x = [\"10.0.0.1\"] }",
        ),
        file(
            "etc/more.toml",
            "[adapter.external]\naddresses = [\"192.0.2.1\"]\n[listener.l]\nport = 80\n[limits]\nfields_max = 9",
        ),
        file("etc/conf.d/c.toml~", "no"),
        file("etc/conf.d/.c.toml", "no"),
    ]);
    let (config, _) = read(Path::new("etc/main.toml"), &Beside(files), NOW)
        .unwrap_or_else(|complaints| panic!("{complaints}"));
    let pools: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(pools, ["m", "a", "b"]);
    assert_eq!((config.hosts.len(), config.resolvers.len()), (2, 1));
    assert_eq!(config.limits.exchange.fields_max, 9);
    assert_eq!(config.log.access[0].to, AccessTarget::File(PathBuf::from("etc/conf.d/./a.log")));
    assert!(matches!(config.table.rules()[0].action, Action::Forward(PoolId(1))));
}

#[test]
fn defaults() {
    let config = read_text("[pool.a]\nservers = [\"b:1\"]").unwrap();
    assert_eq!(config.workers, Workers::Auto);
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.timeouts.response_head, Duration::from_secs(1860));
    let Limits { exchange, .. } = config.limits;
    assert_eq!((exchange.head_bytes_max, exchange.field_bytes_max), (32_768, 16_384));
    assert_eq!((exchange.target_bytes_max, exchange.fields_max), (16_384, 128));
    assert_eq!(exchange.body_bytes_max, None);
    assert_eq!((config.limits.clients_max, config.limits.clients_per_address_max), (None, 500));
    assert_eq!((config.limits.handshakes_max, config.limits.client_rate_min), (512, 500));
    let pool = &config.pools[0];
    assert_eq!((pool.idle_max, pool.balance), (32, Balance::LeastLoaded));
    assert!(pool.tls.is_none() && pool.interface.is_none() && pool.source.is_empty());
    assert!(!config.log.keep_query);
    assert_eq!(config.log.rotate, (100_000_000, 10));
    assert_eq!(
        config.log.access[0].to,
        AccessTarget::File(PathBuf::from("/var/log/gatehouse/access.log"))
    );
    assert_eq!(config.admin.page, None);
}

const EVERYTHING: &str = include_str!("tests/everything.toml");

#[test]
fn every_key() {
    let config = read_text(EVERYTHING).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(config.workers, Workers::Count(2));
    assert_eq!(config.adapters[1].routes[0].via, IpAddr::from([172, 25, 33, 1]));
    assert_eq!(config.hosts["fe01.contoso.local"], [IpAddr::from([192, 168, 10, 11])]);
    let places: Vec<_> = config.log.access.iter().map(|access| access.to.clone()).collect();
    let journald = PathBuf::from("/run/systemd/journal/socket");
    let expected = [
        AccessTarget::Stdout,
        AccessTarget::File(PathBuf::from("./access.log")),
        AccessTarget::Journald(journald),
        AccessTarget::Syslog(PathBuf::from("./log")),
    ];
    assert_eq!((places, config.log.rotate), (expected.to_vec(), (1_000_000, 0)));
    let page = AdminPage {
        addresses: vec![IpAddr::from([172, 25, 33, 40])],
        interface: config.adapters[1].interface.clone(),
        port: 9443,
    };
    assert_eq!(config.admin.page, Some(page));
    let https = &config.listeners[0];
    assert_eq!((https.name.as_str(), https.port, https.published_port), ("https", 8443, 443));
    assert_eq!(https.interface.as_deref(), Some("eth0"));
    let pool = &config.pools[0];
    assert_eq!(pool.source, [IpAddr::from([172, 25, 33, 40])]);
    let name = ServerAddress::Name { host: "fe01.contoso.local".into(), port: 4443 };
    assert_eq!(pool.servers[0].address, name);
    assert_eq!((pool.servers[1].weight, pool.servers[2].backup), (3, true));
    let tls = pool.tls.as_ref().unwrap();
    assert!(matches!(&tls.ca, Trust::Certificates(list) if list.len() == 1));
    assert_eq!(tls.server_name, ServerName::Fixed("webext.contoso.com".into()));
    assert_eq!((&tls.sni, tls.profile), (&Sni::Same, Profile::Windows2012R2 { sha384: true }));
    assert_eq!(tls.pin_sha256.len(), 1);
    let probe = pool.probe.as_ref().unwrap();
    let host = Some("webext.contoso.com".to_owned());
    assert_eq!(probe.ask, Ask::Http { path: "/health?full".into(), host, expect: 204 });
    assert_eq!((probe.every, probe.timeout), (Duration::from_secs(7), Duration::from_secs(1)));
    assert_eq!((probe.fall, probe.rise, probe.try_all), (4, 5, false));
    let site = &config.table.sites()[0];
    assert_eq!((site.path_check, site.forwarded), (PathCheck::Strict, Forwarded::Append));
    assert_eq!(
        (site.limits.head_bytes_max, config.limits.largest.head_bytes_max),
        (131_072, 131_072)
    );
    assert_eq!(config.limits.exchange.body_bytes_max, Some(100_000_000));
    let Limits { clients_per_address_max, handshakes_max, memory_max, client_rate_min, .. } =
        config.limits;
    assert_eq!((clients_per_address_max, handshakes_max), (50, 51));
    assert_eq!((memory_max, client_rate_min), (Some(1_000_000_000), 1_000));
    assert!(site.admission.admits(IpAddr::from([192, 0, 2, 1])));
    assert!(!site.admission.admits(IpAddr::from([10, 1, 0, 1])));
    let mut scratch = Vec::new();
    let mut find = |listener, path: &str| match config.table.find(
        listener,
        b"a.com",
        path.as_bytes(),
        &mut scratch,
    ) {
        Found::Rule { rule, .. } => rule,
        other => panic!("{other:?}"),
    };
    let forward = find(ListenerId(0), "/x");
    assert!(matches!(forward.action, Action::Forward(PoolId(0))));
    // Pool before Site before global.
    let timeouts = forward.terms.timeouts;
    assert_eq!(timeouts.response_head, Duration::from_secs(7));
    assert_eq!(timeouts.connect, Duration::from_secs(3));
    assert_eq!(timeouts.tunnel_idle, Duration::from_secs(3_600));
    assert!(matches!(find(ListenerId(0), "/cscp/y").action, Action::Refuse(404)));
    assert!(matches!(
        find(ListenerId(0), "/old").action,
        Action::Redirect { status: Some(308), .. }
    ));
    assert!(
        matches!(&find(ListenerId(0), "/robots.txt").action, Action::Respond(answer) if answer.status == 200)
    );
    assert!(matches!(find(ListenerId(1), "/x").action, Action::RedirectToHttps { port: 443 }));
    let site = config.table.site_of(ListenerId(0), b"a.com").unwrap();
    assert_eq!(site.names, ["a.com", "*.b.com"]);
    assert_eq!(config.site_certificates(site, ListenerId(0)), [0]);
    assert!(
        config.certificates[0].covers("x.b.com") && !config.certificates[0].covers("x.y.b.com")
    );
}

/// The site's before the global ones; its `default` before all of those.
#[test]
fn error_pages_of_whom() {
    let site = |name: &str, errors: &str| {
        format!(
            "[site.{name}]\nnames = [\"{name}.com\"]\nlisteners = [\"http\"]\nerrors = {{ {errors} }}\n\
             [[site.{name}.rule]]\npath = \"/\"\nrefuse = 404\n"
        )
    };
    let sites = site("a", "") + &site("b", "404 = \"b.html\"") + &site("c", "default = \"c.json\"");
    let text = format!(
        "{sites}[errors]\n404 = \"notes.txt\"\n503 = \"notes.txt\"\n[listener.http]\nport = 80\n\
         [adapter.external]\naddresses = [\"192.0.2.1\"]"
    );
    let config = read_text(&text).unwrap_or_else(|found| panic!("{found}"));
    let seen = |site: usize, status| {
        let page = config.errors(config.table.sites()[site].errors).find(status);
        page.map(|page| page.render(status, "7"))
    };
    let notes = Some("nothing of use".to_string());
    assert_eq!((seen(0, 404), seen(0, 503), seen(0, 502)), (notes.clone(), notes.clone(), None));
    assert_eq!((seen(1, 404), seen(1, 503)), (Some("<b>404</b>".to_string()), notes));
    let own = Some("{\"id\": \"7\"}".to_string());
    assert_eq!((seen(2, 404), seen(2, 502)), (own.clone(), own));
}

#[test]
fn a_rate_may_be_switched_off() {
    for rate in ["0", "\"off\"", "\"0B/s\""] {
        let config = read_text(&format!("[limits]\nclient_rate_min = {rate}")).unwrap();
        assert_eq!(config.limits.client_rate_min, 0, "{rate}");
    }
}

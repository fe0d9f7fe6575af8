//! Planted faults, each with the place and the words of its complaint.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use super::*;

mod keys;

use crate::pool::settings::{Balance, PoolId, Profile, ServerAddress, ServerName, Sni, Trust};
use crate::site::{Action, Forwarded, Found, PathCheck};

/// What stands beside `main.toml`.
static FILES: LazyLock<HashMap<&'static str, Vec<u8>>> = LazyLock::new(|| {
    let (a, a_key) = pair(&["a.com", "*.b.com", "127.0.0.1"]);
    let (issuer, other_key) = pair(&["issuer.test"]);
    let (bare, bare_key) = pair(&[]);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    HashMap::from([
        ("damaged.pem", a.replace("MII", "MIX").into_bytes()),
        ("disorder.pem", format!("{issuer}{a}").into_bytes()),
        ("a.pem", a.into_bytes()),
        ("a.key", a_key.into_bytes()),
        ("other.key", other_key.into_bytes()),
        ("bare.pem", bare.into_bytes()),
        ("bare.key", bare_key.into_bytes()),
        ("encrypted.key", encrypted.as_bytes().to_vec()),
        ("a.pfx", vec![0x30, 0x82, 0x09, 0x00, 0x02]),
        ("notes.txt", b"nothing of use".to_vec()),
        ("b.html", b"<b>{status}</b>".to_vec()),
        ("c.json", b"{\"id\": \"{request_id}\"}".to_vec()),
        ("long.html", vec![b'x'; 65_537]),
        ("latin.txt", vec![b'a', 0xe4]),
    ])
});

fn pair(names: &[&str]) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

fn read_text(text: &str) -> Result<Config, Complaints> {
    let source = |path: &Path| {
        if path == Path::new("/etc/gatehouse/main.toml") {
            return Ok(text.as_bytes().to_vec());
        }
        let name = path.strip_prefix("/etc/gatehouse").ok().and_then(Path::to_str);
        let file = name.and_then(|name| FILES.get(name));
        file.cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    };
    read(Path::new("/etc/gatehouse/main.toml"), &source)
}

/// All complaints about a text, in order, as `line:column: message`.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let complaints = read_text(text).err().map_or_else(Vec::new, |found| found.list().to_vec());
    let seen: Vec<String> = complaints
        .iter()
        .map(|complaint| {
            let Place { line, column, .. } = complaint.place;
            format!("{line}:{column}: {}", complaint.message)
        })
        .collect();
    assert_eq!(seen, expected, "{text}");
}

use crate::document::Place;

use check as check_whole;

/// The same with two listeners, a certificate and a pool after the text.
#[track_caller]
fn check_site(text: &str, expected: &[&str]) {
    const AROUND: &str = r#"
[adapter.external]
addresses = ["192.0.2.1"]
[listener.https]
port = 443
tls = true
certificate = "a"
[listener.http]
port = 80
[certificate.a]
chain = "a.pem"
key = "a.key"
[pool.edge]
servers = ["10.0.0.1:80"]
"#;
    check(&format!("{text}{AROUND}"), expected);
}

#[test]
fn text() {
    check(
        "a = ",
        &["1:5: this is not TOML: string values must be quoted, expected literal string"],
    );
    check("[workers]\ncount = 1\ncount = 2", &["3:1: `count` is defined twice"]);
    check("[pool.a]\nservers = [\"b:1\"]\n[pool.a]\n", &["3:7: `a` is defined twice"]);
    check("colour = 1", &["1:1: no setting is called `colour` here"]);
    check(
        "[worker]\ncount = 1",
        &["1:2: no setting is called `worker` here; did you mean `workers`?"],
    );
    check(
        "[workers]\ncuont = 1",
        &["2:1: no setting is called `cuont` here; did you mean `count`?"],
    );
    check(
        "[workers]\ncount = true",
        &["2:9: `count` takes text in quotes or a whole number, not true or false"],
    );
    check("workers = 1", &["1:11: `workers` takes a table, not a number"]);
    check("[pool]\na = 1", &["2:5: `a` takes a table, not a number"]);
    check(
        "[limits]\nfields_max = []\n[x]\n[timeouts]\nconect = \"1s\"",
        &[
            "2:14: `fields_max` takes text in quotes or a whole number, not a list",
            "3:2: no setting is called `x` here",
            "5:1: no setting is called `conect` here; did you mean `connect`?",
        ],
    );
}

#[test]
fn what_comes_later_is_said_to() {
    check("include = [\"conf.d/*.toml\"]", &["1:1: `include` is not available in this version"]);
    check("[lync]\nsip_domains = []", &["1:2: `lync` is not available in this version"]);
    check(
        "[pool.a]\nservers = [\"b:1\"]\naffinity = \"source\"\n[pool.a.probe]\ntcp = 1",
        &[
            "3:12: `affinity = \"source\"` is not available in this version",
            "4:9: `probe` is not available in this version",
        ],
    );
    check(
        "[pool.a]\nservers = [\"b:1\"]\naffinity = { cookie = \"x\" }\n[pool.a.tls]\nprofile = \"windows-2012r2\"",
        &[
            "3:12: `affinity = { cookie = … }` is not available in this version",
            "5:11: `profile = \"windows-2012r2\"` is not available in this version",
        ],
    );
}

#[test]
fn single_values() {
    check("[workers]\ncount = 0", &["2:9: `count` must be from 1 to 1024"]);
    check(
        "[workers]\ncount = \"many\"",
        &["2:9: `count` takes a size such as 32768, \"16kB\" or \"100MB\""],
    );
    check(
        "[timeouts]\nconnect = 5\ndrain = \"0s\"",
        &[
            "2:11: `connect` takes a length of time such as \"500ms\", \"10s\", \"5m\" or \"2h\"",
            "3:9: `drain` takes a length of time such as \"500ms\", \"10s\", \"5m\" or \"2h\"",
        ],
    );
    check("[limits]\nhead_bytes_max = 1", &["2:18: `head_bytes_max` must be from 256 to 16777216"]);
    check("[limits]\nfields_max = 257", &["2:14: `fields_max` must be from 1 to 256"]);
    check(
        "[limits]\nmemory_max = \"1kB\"",
        &["2:14: `memory_max` must be from 1048576 to 18446744073709551615"],
    );
    check(
        "[limits]\nclient_rate_min = \"500B\"",
        &["2:19: `client_rate_min` takes a rate such as \"500B/s\", or \"off\""],
    );
    for rate in ["0", "\"off\"", "\"0B/s\""] {
        let config = read_text(&format!("[limits]\nclient_rate_min = {rate}")).unwrap();
        assert_eq!(config.limits.client_rate_min, 0, "{rate}");
    }
    check("[log]\nquery = \"kep\"", &["2:9: `query` cannot be `kep`; did you mean `keep`?"]);
    check(
        "[log]\naccess = [\"off\", \"json:stdout\"]",
        &["2:11: `off` cannot stand beside other places for the access log"],
    );
    for place in ["xml:/a", "json:file", "json:syslog:file", "journald", "json:stdout:/a"] {
        let complaint = format!("2:10: `{place}` is not a place for the access log");
        check(&format!("[log]\naccess = \"{place}\""), &[&complaint]);
    }
    check(
        "[log]\nrotate = { bytes = \"1kB\", files = 10001 }",
        &[
            "2:20: `bytes` must be from 65536 to 1099511627776",
            "2:35: `files` must be from 0 to 10000",
        ],
    );
    check("[resolver]\nservers = [\"dns\"]", &["2:12: `dns` is not an IP address"]);
}

#[test]
fn adapters() {
    check(
        "[adapter.externel]",
        &["1:10: an adapter cannot be called `externel`; did you mean `external`?"],
    );
    check(
        "[adapter.internal]\ngateway = \"10.0.0.1\"",
        &["2:11: the internal adapter must not have a gateway"],
    );
    check(
        "[adapter.external]\nmac = \"02:00:00:00:00:01\"",
        &["2:7: to find an adapter by `mac` is not available in this version"],
    );
    check("[adapter.external]\nmac = \"02:00:00:00:00:01\"\ninterface = \"eth0\"", &[]);
    check(
        "[adapter.external]\naddresses = [\"10.0.0.1/33\"]",
        &["2:14: `10.0.0.1/33` is not an IP address, with or without a prefix length"],
    );
    check("[adapter.internal]\nroutes = [\"10.0.0.0/8\"]", &["2:11: `10.0.0.0/8` is not a route"]);
    check(
        "[adapter.external]\ninterface = \"a/b\"",
        &["2:13: `a/b` cannot be the name of a network interface"],
    );
    check(
        "[adapter.external]\ninterface = \"eth0\"\n[adapter.internal]\ninterface = \"eth0\"",
        // A box with one arm.
        &[],
    );
}

#[test]
fn the_admin_plane_is_never_external() {
    check(
        "[adapter.external]\n[admin]\nadapter = \"external\"",
        &["3:11: the admin plane must not be on the external adapter"],
    );
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
fn listeners() {
    let external = "[adapter.external]\naddresses = [\"192.0.2.1\"]\n";
    let check = |text: &str, expected: &[&str]| check(&format!("{external}{text}"), expected);
    check("[listener.a]", &["3:11: listener `a` has no `port`"]);
    check("[listener.a]\nport = 65536", &["4:8: `port` must be from 1 to 65535"]);
    check("[listener.a]\nport = 0", &["4:8: `port` must be from 1 to 65535"]);
    check(
        "[listener.a]\nport = 1\nadapter = \"extern\"",
        &["5:11: no adapter is called `extern`; did you mean `external`?"],
    );
    check(
        "[listener.a]\nport = 1\n[listener.b]\nport = 1",
        &["6:8: port 1 of adapter `external` is taken by another listener"],
    );
    check(
        "[listener.a]\nport = 1\ntls = true",
        &["3:11: listener `a` speaks TLS and has no certificate"],
    );
    check(
        "[listener.a]\nport = 1\ntls = true\ncertificate = \"x\"",
        &["6:15: no certificate is called `x`"],
    );
    check(
        "[listener.a]\nport = 1\ncertificate = []",
        &["5:15: listener `a` has a certificate and does not speak TLS"],
    );
    check(
        "[listener.a]\nport = 1\nprofile = \"modern\"",
        &["5:11: listener `a` has a profile and does not speak TLS"],
    );
    check(
        "[listener.a]\nport = 1\ntls = true\nprofile = \"windows-7\"\ncertificate = \"a\"\n[certificate.a]\nchain = \"a.pem\"\nkey = \"a.key\"",
        &["6:11: `profile = \"windows-7\"` is not available in this version"],
    );
    check_whole("[listener.a]\nport = 1", &["1:11: listener `a` has no `adapter`"]);
    check_whole(
        "[adapter.internal]\n[listener.a]\nport = 1\nadapter = \"internal\"",
        &["4:11: listener `a` has no address: adapter `internal` lists none"],
    );
}

#[test]
fn certificates() {
    let check = |chain: &str, key: &str, expected: &[&str]| {
        check(&format!("[certificate.a]\nchain = \"{chain}\"\nkey = \"{key}\""), expected);
    };
    const MAIN: &str = "/etc/gatehouse";
    check("a.pem", "a.key", &[]);
    check(
        "b.pem",
        "b.key",
        &[
            &format!("2:9: cannot read {MAIN}/b.pem: there is no such file"),
            &format!("3:7: cannot read {MAIN}/b.key: there is no such file"),
        ],
    );
    check(
        "a.pem",
        "other.key",
        &[&format!(
            "3:7: the key in {MAIN}/other.key does not belong to the certificate in {MAIN}/a.pem"
        )],
    );
    check(
        "a.pem",
        "encrypted.key",
        &[&format!("3:7: the private key in {MAIN}/encrypted.key is encrypted")],
    );
    check("a.pem", "a.pem", &[&format!("3:7: {MAIN}/a.pem holds no private key")]);
    check("a.pem", "a.pfx", &[&format!("3:7: {MAIN}/a.pfx is not PEM but DER or a PFX store")]);
    check("a.key", "a.key", &[&format!("2:9: {MAIN}/a.key holds no certificate")]);
    check("a.pfx", "a.key", &[&format!("2:9: {MAIN}/a.pfx is not PEM but DER or a PFX store")]);
    check("notes.txt", "a.key", &[&format!("2:9: {MAIN}/notes.txt holds no certificate")]);
    check(
        "damaged.pem",
        "a.key",
        &[&format!("2:9: a certificate in {MAIN}/damaged.pem is damaged")],
    );
    check(
        "disorder.pem",
        "a.key",
        &[&format!("2:9: the server's own certificate is not the first in {MAIN}/disorder.pem")],
    );
    check(
        "bare.pem",
        "bare.key",
        &[&format!("2:9: the certificate in {MAIN}/bare.pem carries no names")],
    );
    check_whole(
        "[certificate.a]",
        &["1:14: certificate `a` has no `chain`", "1:14: certificate `a` has no `key`"],
    );
}

#[test]
fn pools() {
    check("[pool.a]", &["1:7: pool `a` has no servers"]);
    check("[pool.a]\nservers = []", &["2:11: pool `a` has no servers"]);
    check("[pool.a]\nservers = [\"fe01\"]", &["2:12: `fe01` is not the address of a server"]);
    check(
        "[pool.a]\nservers = [\"fe01:70000\"]",
        &["2:12: `fe01:70000` is not the address of a server"],
    );
    check("[pool.a]\nservers = [{ weight = 1 }]", &["2:12: this server has no `address`"]);
    check(
        "[pool.a]\nservers = [{ address = \"b:1\", weigth = 1 }]",
        &["2:31: no setting is called `weigth` here; did you mean `weight`?"],
    );
    check(
        "[pool.a]\nservers = [{ address = \"b:1\", weight = 0 }]",
        &["2:40: `weight` must be from 1 to 1000"],
    );
    check("[pool.a]\nservers = [\"b:1\", \"B:1\"]", &["2:19: server `B:1` is listed twice"]);
    check(
        "[pool.a]\nservers = [\"b:1\"]\nadapter = \"internal\"",
        &["3:11: no adapter is called `internal`"],
    );
    check(
        "[pool.a]\nservers = [\"b:1\"]\nbalance = \"round-robbin\"",
        &["3:11: `balance` cannot be `round-robbin`; did you mean `round-robin`?"],
    );
    check(
        "[pool.a]\nservers = [\"b:1\"]\n[pool.a.timeouts]\nclient_head = \"1s\"",
        &["4:1: no setting is called `client_head` here"],
    );
    check_site(
        "[pool.a]\nservers = [\"192.0.2.1:443\"]",
        &["2:12: `192.0.2.1:443` is our own listener `https`: requests would go round in circles"],
    );
    check_site(
        "[resolver]\nhosts = { me = [\"192.0.2.1\"] }\n[pool.a]\nservers = [\"me:80\"]",
        &["4:12: `me:80` is our own listener `http`: requests would go round in circles"],
    );
    let tls = |text: &str, expected: &[&str]| {
        check(&format!("[pool.a]\nservers = [\"b:1\"]\n[pool.a.tls]\n{text}"), expected);
    };
    tls("ca = \"ca.pem\"", &["4:6: cannot read /etc/gatehouse/ca.pem: there is no such file"]);
    tls("ca = \"a.key\"", &["4:6: /etc/gatehouse/a.key holds no certificate"]);
    tls("server_name = \"a b\"", &["4:15: `server_name` must be a name: it is not a host name"]);
    tls("sni = \"*.a.com\"", &["4:7: `sni` must be a name: it is not a host name"]);
    tls(
        "pin_sha256 = [\"abc\"]",
        &["4:15: a pin is a SHA-256: 64 hexadecimal digits or 44 characters of base64"],
    );
}

#[test]
fn sites() {
    let rule = "[[site.s.rule]]\npath = \"/\"\npool = \"edge\"";
    let check = |text: &str, expected: &[&str]| {
        check_site(&format!("[site.s]\n{text}\n{rule}"), expected);
    };
    check("names = [\"a.com\"]\nlisteners = [\"https\"]", &[]);
    check("", &["1:7: site `s` has no `names`", "1:7: site `s` has no `listeners`"]);
    check(
        "names = []\nlisteners = []",
        &["2:9: site `s` has no `names`", "3:13: site `s` has no `listeners`"],
    );
    check(
        "names = [\"a.com\"]\nlisteners = [\"htps\"]",
        &["3:14: no listener is called `htps`; did you mean `https`?"],
    );
    check(
        "names = [\"a.com\", \"A.com\"]\nlisteners = [\"http\"]",
        &["2:19: name `A.com` is listed twice"],
    );
    check(
        "names = [\"bücher.de\"]\nlisteners = [\"http\"]",
        &["2:10: `bücher.de` cannot be a site's name: it has letters outside ASCII"],
    );
    check(
        "names = [\"*.com\"]\nlisteners = [\"http\"]",
        &["2:10: `*.com` cannot be a site's name: a `*.` needs at least two labels after it"],
    );
    check(
        "names = [\"a.com:443\"]\nlisteners = [\"http\"]",
        &["2:10: `a.com:443` cannot be a site's name: it has a port or a scheme"],
    );
    check(
        "names = [\"::1\"]\nlisteners = [\"http\"]",
        &["2:10: `::1` cannot be a site's name: an IPv6 address needs brackets"],
    );
    check("names = [\"127.0.0.1\", \"[::1]\"]\nlisteners = [\"http\"]", &[]);
    check(
        "names = [\"127.0.0.1\", \"x.b.com\", \"c.com\"]\nlisteners = [\"https\"]",
        &["2:34: no certificate of this site covers `c.com`"],
    );
    check(
        "names = [\"c.com\"]\nlisteners = [\"http\"]\ncertificate = \"a\"",
        &["4:15: site `s` has a certificate and is on no TLS listener"],
    );
    check("names = [\"a.com\"]\nlisteners = [\"https\"]\nredirect_http = true", &[]);
    check(
        "names = [\"a.com\"]\nlisteners = [\"http\"]\nredirect_http = true",
        &[
            "4:17: with redirect_http a site cannot be on the plain listener `http` itself",
            "4:17: site `s` is on no TLS listener that could be redirected to",
        ],
    );
    check(
        "names = [\"a.com\"]\nlisteners = [\"http\"]\npath_check = \"lax\"",
        &["4:14: `path_check` cannot be `lax`"],
    );
    let clients = |keys: &str, expected: &[&str]| {
        check(&format!("names = [\"a.com\"]\nlisteners = [\"http\"]\n{keys}"), expected);
    };
    clients(
        "allow = [\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.7\"]\ndeny = \"10.1.0.0/16\"",
        &[],
    );
    clients("allow = [\"0.0.0.0/0\", \"::/0\"]\ndeny = [\"0.0.0.0/0\"]", &[]);
    clients(
        "allow = [\"10.0.0.1/33\", \"10.0.0.1/8\"]\ndeny = [\"2001:db8::1/32\", \"all\"]",
        &[
            "4:10: `10.0.0.1/33` is not an IP address, with or without a prefix length",
            "4:25: `10.0.0.1/8` names a single address and a whole network at once",
            "5:9: `2001:db8::1/32` names a single address and a whole network at once",
            "5:27: `all` is not an IP address, with or without a prefix length",
        ],
    );
    clients(
        "deny = [\"10.0.0.0/8\", \"::ffff:10.0.0.0/104\"]",
        &["4:23: prefix `::ffff:10.0.0.0/104` is listed twice"],
    );
    check(
        "names = [\"a.com\"]\nlisteners = [\"http\"]\n[site.t]\nnames = [\"A.com.\"]\nlisteners = [\"http\", \"https\"]\n[[site.t.rule]]\npath = \"/\"\nrefuse = 404",
        &["5:10: `a.com` is already a name of a site on listener `http`"],
    );
    check_site(
        "[site.s]\nnames = [\"a.com\"]\nlisteners = [\"http\"]",
        &["1:7: site `s` has no rules"],
    );
}

#[test]
fn rules() {
    let check = |text: &str, expected: &[&str]| {
        check_site(
            &format!(
                "[site.s]\nnames = [\"a.com\"]\nlisteners = [\"http\"]\n[[site.s.rule]]\n{text}"
            ),
            expected,
        );
    };
    check("path = \"/\"", &["4:1: this rule does nothing"]);
    check("pool = \"edge\"", &["4:1: this rule has no `path`"]);
    check(
        "path = \"/\"\npool = \"edge\"\nrefuse = 404",
        &["7:10: this rule has `pool` and `refuse`; it can do one thing only"],
    );
    check(
        "path = \"/\"\npool = \"egde\"",
        &["6:8: no pool is called `egde`; did you mean `edge`?"],
    );
    check("path = \"a\"\npool = \"edge\"", &["5:8: the path `a` must begin with `/`"]);
    check(
        "path = \"/a?b\"\npool = \"edge\"",
        &["5:8: the path `/a?b` must be without `?` and `#`"],
    );
    check(
        "path = \"/%4\"\npool = \"edge\"",
        &["5:8: the path `/%4` has a `%` without two hexadecimal digits"],
    );
    check("path = \"/\"\nrefuse = 200", &["6:10: `refuse` must be from 400 to 599"]);
    check("path = \"/\"\nredirect = \"www.a.com\"", &["6:12: `www.a.com` cannot be redirected to"]);
    check("path = \"/\"\nredirect = \"//evil\"", &["6:12: `//evil` cannot be redirected to"]);
    check("path = \"/\"\nrespond = { body = \"x\" }", &["6:11: this answer has no `status`"]);
    check(
        "path = \"/\"\nrespond = { status = 200, content_type = \"a\\nb\" }",
        &["6:42: `content_type` must be printable ASCII"],
    );
    check(
        "path = \"/A\"\nrefuse = 404\n[[site.s.rule]]\npath = \"/a/b\"\npool = \"edge\"",
        &["8:8: this rule for `/a/b` is never reached: an earlier one for `/A` covers it"],
    );
    check(
        "name = \"x\"\npath = \"/a\"\nrefuse = 404\n[[site.s.rule]]\nname = \"x\"\npath = \"/\"\nrefuse = 404",
        &["9:8: rule `x` is listed twice"],
    );
    check_site(
        "[site.s]\nnames = [\"a.com\"]\nlisteners = [\"http\"]\npath_check = \"raw\"\n[[site.s.rule]]\npath = \"/a\"\nrefuse = 404",
        &["6:8: with path_check = \"raw\" only path = \"/\" is allowed"],
    );
}

#[test]
fn redirects() {
    let check = |text: &str, expected: &[&str]| {
        let site =
            "[site.s]\nnames = [\"a.com\"]\nlisteners = [\"http\"]\n[[site.s.rule]]\npath = \"/\"";
        check_site(&format!("{site}\n{text}"), expected);
    };
    for status in [301, 302, 303, 307, 308] {
        check(&format!("redirect = \"/x\"\nredirect_status = {status}"), &[]);
    }
    for status in [300, 304, 200, -1, 65_837] {
        check(
            &format!("redirect = \"/x\"\nredirect_status = {status}"),
            &[&format!("7:19: `redirect_status` cannot be {status}")],
        );
    }
    check(
        "redirect_status = 301\nrefuse = 404",
        &["6:19: this rule has a `redirect_status` and does not redirect"],
    );
}

#[test]
fn error_pages() {
    check(
        "[errors]\n404 = \"notes.txt\"\ndefault = \"notes.txt\"\n[pool.a]\nservers = [\"b:1\"]",
        &[],
    );
    check(
        "[errors]\ndefualt = \"notes.txt\"\n200 = \"notes.txt\"\n600 = \"notes.txt\"\n\"+404\" = \"notes.txt\"",
        &[
            "2:1: `defualt` is not the status of an error; did you mean `default`?",
            "3:1: `200` is not the status of an error",
            "4:1: `600` is not the status of an error",
            "5:1: `+404` is not the status of an error",
        ],
    );
    check(
        "[errors]\n404 = \"none.html\"\n500 = \"a.pem\"\n501 = \"long.html\"\n502 = \"latin.txt\"\n503 = 1",
        &[
            "2:7: cannot read /etc/gatehouse/none.html: there is no such file",
            "3:7: the name `a.pem` does not tell what kind of page this is",
            "4:7: /etc/gatehouse/long.html is 65537 bytes long, more than 65536",
            "5:7: /etc/gatehouse/latin.txt is not UTF-8 text",
            "6:7: `503` takes text in quotes, not a number",
        ],
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
fn what_is_printed() {
    let text = "[site.s]\nnames = [\"a.com\"]\nlisteners = [\"htpp\"]\n\t\n[[site.s.rule]]\npath = \"/a\"\nrefuse = 404\n[[site.s.rule]]\npath = \"/a\"\nrefuse = 404\n[listener.http]\nport = 1\n[adapter.external]\naddresses = [\"192.0.2.1\"]\n";
    let printed = read_text(text).unwrap_err().to_string();
    let expected = "\
/etc/gatehouse/main.toml:3:14: no listener is called `htpp`; did you mean `http`?
  3 | listeners = [\"htpp\"]
    |              ^^^^^^

/etc/gatehouse/main.toml:9:8: this rule for `/a` is never reached: an earlier one for `/a` covers it
  9 | path = \"/a\"
    |        ^^^^
/etc/gatehouse/main.toml:6:8: the earlier rule is here
  6 | path = \"/a\"
    |        ^^^^
  help: the first rule that matches decides: put the more specific one first

2 complaints";
    assert_eq!(printed, expected);
}

#[test]
fn twice_shows_both_places() {
    let text = "[pool.a]\nservers = [\"b:1\"]\nservers = [\"c:1\"]\n[[site.s.rule]]\n[[site.s.rule]]\npath = \"/\"\npath = \"/\"\n[pool.a]";
    let complaints = read_text(text).unwrap_err();
    let places: Vec<(usize, usize)> = complaints
        .list()
        .iter()
        .filter(|complaint| complaint.message.contains("twice"))
        .map(|complaint| {
            (complaint.place.line, complaint.notes.first().map_or(0, |note| note.0.line))
        })
        .collect();
    assert_eq!(places, [(3, 2), (7, 6), (8, 1)]);
}

#[test]
fn the_main_file_itself() {
    let missing = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let printed = read(Path::new("x.toml"), &missing).unwrap_err().to_string();
    assert_eq!(printed, "x.toml:1:1: cannot read this file: there is no such file\n\n1 complaint");
    let binary = |_: &Path| Ok(b"a = 1\nb = \"\xff\"".to_vec());
    let complaints = read(Path::new("x.toml"), &binary).unwrap_err();
    assert_eq!((complaints.list()[0].place.line, complaints.list()[0].place.column), (2, 6));
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
    assert_eq!((config.admin.port, config.admin.role), (9443, Role::Internal));
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
        AccessTarget::File(PathBuf::from("/etc/gatehouse/./access.log")),
        AccessTarget::Journald(journald),
        AccessTarget::Syslog(PathBuf::from("/etc/gatehouse/./log")),
    ];
    assert_eq!((places, config.log.rotate), (expected.to_vec(), (1_000_000, 0)));
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
    assert_eq!((&tls.sni, tls.profile), (&Sni::Same, Profile::Tls12));
    assert_eq!(tls.pin_sha256.len(), 1);
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

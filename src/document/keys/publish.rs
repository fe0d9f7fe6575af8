//! The keys of pools, sites, rules and error pages.

use super::Otherwise::{Needed, Value, Words};
use super::{Key, Kind, key, table};

pub(super) const KEYS: &[Key] = &[
    table("pool", Kind::Named, "Servers that can stand in for each other."),
    key("pool.*.adapter", Kind::Name("adapter"), Value("\"internal\""),
        "The adapter through which the servers are reached.", "\"internal\""),
    key("pool.*.servers", Kind::Servers, Needed,
        "The servers. A name with several addresses is a server for each.", "[\"fe01.contoso.local:4443\", { address = \"192.0.2.12:4443\", weight = 3 }]"),
    key("pool.*.servers.address", Kind::Text, Needed,
        "host:port", "\"192.0.2.12:4443\"").twin("pool.*.backup.address"),
    key("pool.*.servers.weight", Kind::Number(1, 1000), Value("1"),
        "Its share of the load: a server with 3 gets three times as much as one with 1.", "3").twin("pool.*.backup.weight"),
    key("pool.*.backup", Kind::Servers, Value("[]"),
        "Servers that are used only when none of the others is up.", "[\"fe09.contoso.local:4443\"]"),
    key("pool.*.balance", Kind::Choice, Value("\"least-loaded\""),
        "Who is next: the server with the fewest requests under way for its weight, or each in turn.", "\"round-robin\"")
        .words(&["least-loaded", "round-robin"]),
    key("pool.*.affinity", Kind::ChoiceOrTable, Value("\"none\""),
        "Whether a client comes back to the same server: by its address, or by a cookie of the application's.", "\"none\"")
        .words(&["none", "source"])
        .when("Windows authentication needs none: a client that logs in keeps its connection anyway."),
    key("pool.*.affinity.cookie", Kind::Text, Needed,
        "The name of the cookie.", "\"MS-WSMAN\""),
    key("pool.*.idle_max", Kind::Number(0, 65_535), Value("32"),
        "Idle upstream connections that each worker keeps for reuse.", "32")
        .when("0 opens a connection for every request: for servers that cannot bear reuse."),
    table("pool.*.tls", Kind::Table, "Speak TLS to the servers. Without this table they are spoken to in plain; an empty one is enough."),
    key("pool.*.tls.ca", Kind::File, Value("\"system\""),
        "Who may vouch for the servers: a PEM file of authorities, or the system's list. A server's own certificate in the file is trusted too.", "\"certs/internal-ca.pem\"")
        .words(&["system"]),
    key("pool.*.tls.server_name", Kind::Text, Words("the server's own name or address, as in servers"),
        "The name that the servers' certificates must carry; host is the name that the client asked for.", "\"webext.contoso.com\"")
        .words(&["host"]),
    key("pool.*.tls.sni", Kind::Text, Value("\"same\""),
        "The server name that is sent: the one that is verified, none, or another.", "\"none\"")
        .words(&["same", "none"]),
    key("pool.*.tls.pin_sha256", Kind::Texts, Value("[]"),
        "SHA-256 of public keys that are accepted, in hexadecimal or base64. Replaces `ca`; the name is still verified.", "[\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"]"),
    key("pool.*.tls.profile", Kind::Choice, Value("\"modern\""),
        "What is offered to the servers: TLS 1.3 and 1.2, or 1.2 with a small greeting; windows-2012r2 adds what Windows Server before 2016 needs.", "\"tls12\"")
        .words(&["modern", "tls12", "windows-2012r2"])
        .when("Take tls12 for servers that fail or hang on the modern greeting; windows-2012r2 for Windows Server 2008 R2, 2012 and 2012 R2 with an RSA certificate. It offers TLS 1.2 only, the modern cipher suites first and then ECDHE-RSA-AES128-SHA256, ECDHE-RSA-AES256-SHA and ECDHE-RSA-AES128-SHA; `gatehouse check` warns of it, log and metrics show where they are used."),
    key("pool.*.tls.sha384_suite", Kind::Flag, Value("false"),
        "Offer ECDHE-RSA-AES256-SHA384 too, which costs twice as much as ECDHE-RSA-AES128-SHA256 and which Windows would prefer. Goes with profile = \"windows-2012r2\" only.", "true")
        .when("Only for servers where an administrator has left no other suite."),
    table("pool.*.probe", Kind::Table, "Look at the servers by yourself, without waiting for users to find out. Without `tcp` and `http` a connection is set up as for requests, with TLS if the pool has it, and ended; an empty table is enough. With this table or without, a server is left out for 5 to 80 seconds after three requests in a row failed there, or after a time-out while nothing else was answered."),
    key("pool.*.probe.tcp", Kind::Number(1, 65_535), Words("the server's own port"),
        "Connect to this port of each server, and no more.", "5061")
        .when("Lync: 5061 is open only while the Front End service runs, and IIS answers without it. The firewall has to let this box through to it."),
    key("pool.*.probe.http", Kind::Inline, Words("no request is sent"),
        "Send GET as requests are sent, with the pool's TLS settings, and look at the status of the answer.", "{ path = \"/autodiscover/autodiscoverservice.svc/root\", host = \"lyncdiscover.contoso.com\", expect = 200 }")
        .when("It proves most: a server whose program hangs still takes connections."),
    key("pool.*.probe.http.path", Kind::Text, Needed,
        "The path, which may have a query.", "\"/health\""),
    key("pool.*.probe.http.host", Kind::Text, Words("the pool's server_name, else the server's own name as in servers"),
        "The Host that is asked for.", "\"webext.contoso.com\""),
    key("pool.*.probe.http.expect", Kind::Number(200, 599), Value("200"),
        "The status of the answer of a server that is well.", "200"),
    key("pool.*.probe.every", Kind::Duration, Value("\"5s\""),
        "How often each server is probed.", "\"5s\""),
    key("pool.*.probe.timeout", Kind::Duration, Words("2s, or `every` if that is shorter"),
        "How long a probe may take, from connecting to the head of the answer.", "\"2s\""),
    key("pool.*.probe.fall", Kind::Number(1, 100), Value("3"),
        "Probes in a row that have to fail before the server is down.", "3"),
    key("pool.*.probe.rise", Kind::Number(1, 100), Value("2"),
        "Probes in a row that have to pass before it is up again.", "2"),
    key("pool.*.probe.all_down", Kind::Choice, Value("\"try-all\""),
        "When probes say that all servers are down: try them all the same, or answer 503 at once.", "\"refuse\"")
        .words(&["try-all", "refuse"])
        .when("refuse where an answer of a half-dead server is worse than none."),
    table("site", Kind::Named, "The public names of one published application, and what is done with requests for them."),
    key("site.*.names", Kind::Texts, Needed,
        "Its public names; `*.` stands for one label.", "[\"webext.contoso.com\", \"*.apps.contoso.com\"]"),
    key("site.*.listeners", Kind::Names("listener"), Needed,
        "Where the names are accepted.", "[\"https\"]"),
    key("site.*.certificate", Kind::Names("certificate"), Words("that of each listener"),
        "What clients that ask for one of the names are shown. It has to cover all of them.", "\"lync\""),
    key("site.*.redirect_http", Kind::Flag, Value("false"),
        "Whether the same names answer on plain listeners of the same adapter with a redirect to https.", "true"),
    key("site.*.path_check", Kind::Choice, Value("\"strict\""),
        "strict refuses paths that a server could read in two ways; raw looks at no path, and then allows only rules for `/`.", "\"raw\"")
        .words(&["strict", "raw"])
        .when("Office Web Apps needs raw."),
    key("site.*.forwarded", Kind::Choice, Value("\"drop\""),
        "X-Forwarded-For and the like, from clients: dropped; replaced by ours; ours appended; or passed as they come.", "\"replace\"")
        .words(&["drop", "replace", "append", "pass"])
        .when("replace tells servers the client's address. append and pass believe the client, or a proxy in front."),
    key("site.*.allow", Kind::TextOrTexts, Value("[]"),
        "Networks whose clients may come; if there are any, nobody else. Of several that fit, the longest prefix decides.", "[\"10.0.0.0/8\", \"2001:db8::/32\"]"),
    key("site.*.deny", Kind::TextOrTexts, Value("[]"),
        "Networks whose clients get 403. At the same length of prefix it decides before `allow`.", "[\"192.0.2.0/24\"]"),
    table("site.*.log_in_guard", Kind::Table, "Keeps strangers from guessing passwords through this box, and from locking accounts of the directory by wrong ones. Off unless the table is written, if only as its bare head. Counts NTLM (also inside Negotiate), Basic and Digest; beyond a limit 429, and no server is asked.")
        .when("Whenever log-ins with a password are published to the Internet."),
    key("site.*.log_in_guard.user_refused_max", Kind::Number(1, 127), Value("4"),
        "Wrong passwords of one user, from all addresses and through all sites together. Who got in during the last 12 hours, with the same password or from the same address, is let through meanwhile, until as many again were wrong.", "3")
        .when("The directory sees twice as many at most: keep that below its threshold, at which the account is locked (`net accounts /domain` shows it). An account with two names, bsmith and bob.smith@contoso.com, has two counts."),
    key("site.*.log_in_guard.address_refused_max", Kind::Number(1, 65_535), Value("20"),
        "Wrong passwords from one address within `window`, of all users together; an IPv6 network of 64 bits counts as one.", "50")
        .when("Raise it when many users come through one address."),
    key("site.*.log_in_guard.window", Kind::Duration, Value("\"30m\""),
        "After so long without another wrong password a user's are forgotten; those of an address come off one by one, all of them within this time.", "\"30m\"")
        .when("Not shorter than the directory's `Lockout observation window` (`net accounts /domain` shows it)."),
    key("site.*.log_in_guard.tickets_per_minute", Kind::Number(1, 65_535), Value("120"),
        "POSTs to /webticket and below from one address; Lync's clients log in there.", "600")
        .when("Raise it when many users come through one address."),
    table("site.*.rule", Kind::List, "What is done with which path. The first rule whose path fits decides; each does one of: pool, refuse, redirect, respond."),
    key("site.*.rule.name", Kind::Text, Words("the path"),
        "What the log and metrics call it.", "\"no-cscp\""),
    key("site.*.rule.path", Kind::Text, Needed,
        "The path and everything below it, in whole segments and without regard to case.", "\"/cscp\""),
    key("site.*.rule.pool", Kind::Name("pool"), Words("another action"),
        "Send it to a server of this pool.", "\"front-end\""),
    key("site.*.rule.refuse", Kind::Number(400, 599), Words("another action"),
        "Answer with this status.", "404"),
    key("site.*.rule.redirect", Kind::Text, Words("another action"),
        "Send the client to this URL or path.", "\"https://www.contoso.com/new\""),
    key("site.*.rule.redirect_status", Kind::OneOf(&[301, 302, 303, 307, 308]), Words("301 to GET and HEAD, which browsers remember; 307 to the rest, which keeps method and body"),
        "The status of the redirect.", "302")
        .when("302 or 307 while it may still change: browsers do not remember those."),
    key("site.*.rule.respond", Kind::Inline, Words("another action"),
        "Answer with this.", "{ status = 200, body = \"User-agent: *\\nDisallow: /\\n\" }"),
    key("site.*.rule.respond.status", Kind::Number(200, 599), Needed,
        "The status.", "200"),
    key("site.*.rule.respond.body", Kind::Text, Words("empty"),
        "What the client reads.", "\"closed until Monday\""),
    key("site.*.rule.respond.content_type", Kind::Text, Value("\"text/plain; charset=utf-8\""),
        "What the body is.", "\"text/html\""),
    key("errors", Kind::NamedFiles, Words("short texts of ours, with the request's number"),
        "Error answers in your own words: a status from 400 to 599, or default for all others, and a file of at most 64 KiB called .html, .txt or .json. In it `{request_id}` and `{status}` are filled in. Read when the configuration is.", "{ 404 = \"pages/404.html\", default = \"pages/error.html\" }")
        .stronger(&["site.*"])
        .when("Show `{request_id}`: a user who reads it out saves a search in the log. A site's `default` comes before all pages of the global table."),
];

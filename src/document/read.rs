//! The keys of the file, one line each.

use std::ops::Range;

use toml::de::DeTable;

use super::table::{Reading, Table};
use super::twice;
use super::{
    Adapter, Admin, Affinity, At, Certificate, Document, Limits, Listener, Log, LogInGuard,
    Misread, Pool, PoolTls, Probe, ProbeHttp, Resolver, Respond, Rotate, Rule, Server, Site,
    Timeouts, Written,
};

/// Reads one file's text. Everything that could be read is in the Document even when something
/// else could not be; only text that is not TOML at all leaves it empty.
pub fn read(file: u32, text: &str) -> (Document, Vec<Misread>) {
    let (table, mut faults) = DeTable::parse_recoverable(text);
    faults.sort_by_key(|fault| fault.span().map(|span| span.start));
    let mut misreads = Vec::new();
    let mut torn_line = None;
    for (count, fault) in faults.iter().enumerate() {
        let misread = not_toml(file, text, table.get_ref(), fault, count < FIRST_MAX);
        if let Misread::Syntax { at, message, .. } = &misread {
            // What follows in the same line, or in a list that does not end, is seldom another mistake.
            let line = text[..(at.start as usize).min(text.len())].rfind('\n');
            let open = message.starts_with("missing comma") && is_header(text, at.start as usize);
            if torn_line.replace(line) == Some(line) {
                continue;
            }
            misreads.push(misread);
            if open {
                break;
            }
            continue;
        }
        misreads.push(misread);
    }
    if misreads.iter().any(|misread| matches!(misread, Misread::Syntax { .. })) {
        return (Document::default(), misreads);
    }
    let reading = Reading::new(file, misreads);
    let mut document = reading.table(table.get_ref(), String::new(), root);
    document.keys = reading.keys.take();
    (document, reading.misreads.take())
}

/// Every key that is asked for while this text is read, as patterns.
#[cfg(test)]
pub(super) fn asked(text: &str) -> std::collections::BTreeSet<String> {
    let (table, _) = DeTable::parse_recoverable(text);
    let reading = Reading::new(0, Vec::new());
    reading.table(table.get_ref(), String::new(), root);
    reading.asked.take()
}

/// Of so many keys that are there twice the first places are looked for: that reads the whole text.
const FIRST_MAX: usize = 20;

/// Whether a header begins here: then what came before it did not end.
fn is_header(text: &str, start: usize) -> bool {
    let line = text[..start].rfind('\n').map_or(0, |index| index + 1);
    text[line..start].trim().is_empty() && text[start..].starts_with('[')
}

/// What the parser of TOML found fault with. After a key that is there twice the rest can be read.
fn not_toml(
    file: u32,
    text: &str,
    root: &DeTable<'_>,
    fault: &toml::de::Error,
    find_first: bool,
) -> Misread {
    let span = fault.span().unwrap_or(text.len()..text.len());
    let at = |span: Range<usize>| At { file, start: span.start as u32, end: span.end as u32 };
    if fault.message() != "duplicate key" {
        let found = text.get(span.clone()).unwrap_or_default().to_string();
        return Misread::Syntax { at: at(span), message: fault.message().to_string(), found };
    }
    let line = text[..span.start].rfind('\n').map_or(0, |index| index + 1);
    let line = text[line..].lines().next().unwrap_or_default().trim();
    let key = text.get(span.clone()).unwrap_or_default();
    // A header is more telling than the last name in it.
    let key = if line.starts_with('[') { line } else { key }.to_string();
    let first = if find_first { twice::first(root, text, span.clone()) } else { None };
    Misread::Twice { at: at(span), first: first.map(at), key }
}

fn root(t: &mut Table<'_>) -> Document {
    Document {
        include: t.text_or_texts("include"),
        adapters: t.named("adapter", adapter),
        resolver: inner(t.table("resolver", resolver)),
        worker_count: t.table("workers", |t| t.amount("count")).and_then(|table| table.value),
        listeners: t.named("listener", listener),
        certificates: t.named("certificate", certificate),
        pools: t.named("pool", pool),
        sites: t.named("site", site),
        limits: inner(t.table("limits", limits)),
        timeouts: inner(t.table("timeouts", timeouts)),
        log: inner(t.table("log", log)),
        admin: inner(t.table("admin", admin)),
        errors: t.named_text("errors"),
        keys: Vec::new(),
    }
}

fn inner<T: Default>(table: Option<Written<T>>) -> T {
    table.map(|table| table.value).unwrap_or_default()
}

fn adapter(t: &mut Table<'_>) -> Adapter {
    Adapter {
        interface: t.text("interface"),
        mac: t.text("mac"),
        addresses: t.texts("addresses"),
        gateway: t.text("gateway"),
        routes: t.texts("routes"),
    }
}

fn resolver(t: &mut Table<'_>) -> Resolver {
    Resolver { servers: t.texts("servers"), hosts: t.named_texts("hosts") }
}

fn listener(t: &mut Table<'_>) -> Listener {
    Listener {
        adapter: t.text("adapter"),
        port: t.number("port"),
        published_port: t.number("published_port"),
        tls: t.flag("tls"),
        profile: t.text("profile"),
        certificate: t.text_or_texts("certificate"),
    }
}

fn certificate(t: &mut Table<'_>) -> Certificate {
    Certificate { chain: t.text("chain"), key: t.text("key") }
}

fn pool(t: &mut Table<'_>) -> Pool {
    Pool {
        adapter: t.text("adapter"),
        servers: servers(t, "servers"),
        backup: servers(t, "backup"),
        balance: t.text("balance"),
        affinity: t.text_or_table(
            "affinity",
            |word| Affinity::Word(word.value),
            |t| Affinity::Cookie(t.text("cookie")),
        ),
        idle_max: t.number("idle_max"),
        tls: t.table("tls", pool_tls),
        probe: t.table("probe", probe),
        timeouts: inner(t.table("timeouts", pool_timeouts)),
    }
}

fn servers(t: &mut Table<'_>, key: &'static str) -> Option<Written<Vec<Written<Server>>>> {
    t.texts_or_tables(
        key,
        |address| Server { address: Some(address), weight: None },
        |t| Server { address: t.text("address"), weight: t.number("weight") },
    )
}

fn pool_tls(t: &mut Table<'_>) -> PoolTls {
    PoolTls {
        ca: t.text("ca"),
        server_name: t.text("server_name"),
        sni: t.text("sni"),
        pin_sha256: t.texts("pin_sha256"),
        profile: t.text("profile"),
        sha384_suite: t.flag("sha384_suite"),
    }
}

fn probe(t: &mut Table<'_>) -> Probe {
    Probe {
        tcp: t.number("tcp"),
        http: t.table("http", |t| ProbeHttp {
            path: t.text("path"),
            host: t.text("host"),
            expect: t.number("expect"),
        }),
        every: t.amount("every"),
        timeout: t.amount("timeout"),
        fall: t.number("fall"),
        rise: t.number("rise"),
        all_down: t.text("all_down"),
    }
}

fn site(t: &mut Table<'_>) -> Site {
    Site {
        names: t.texts("names"),
        listeners: t.texts("listeners"),
        certificate: t.text_or_texts("certificate"),
        redirect_http: t.flag("redirect_http"),
        path_check: t.text("path_check"),
        forwarded: t.text("forwarded"),
        allow: t.text_or_texts("allow"),
        deny: t.text_or_texts("deny"),
        rules: t.tables("rule", rule),
        errors: t.named_text("errors"),
        timeouts: inner(t.table("timeouts", site_timeouts)),
        limits: inner(t.table("limits", site_limits)),
        log_in_guard: t.table("log_in_guard", log_in_guard),
    }
}

fn log_in_guard(t: &mut Table<'_>) -> LogInGuard {
    LogInGuard {
        user_refused_max: t.number("user_refused_max"),
        address_refused_max: t.number("address_refused_max"),
        window: t.amount("window"),
        tickets_per_minute: t.number("tickets_per_minute"),
    }
}

fn rule(t: &mut Table<'_>) -> Rule {
    Rule {
        name: t.text("name"),
        path: t.text("path"),
        pool: t.text("pool"),
        refuse: t.number("refuse"),
        redirect: t.text("redirect"),
        redirect_status: t.number("redirect_status"),
        respond: t.table("respond", respond),
    }
}

fn respond(t: &mut Table<'_>) -> Respond {
    Respond {
        status: t.number("status"),
        body: t.text("body"),
        content_type: t.text("content_type"),
    }
}

fn limits(t: &mut Table<'_>) -> Limits {
    Limits {
        clients_max: t.amount("clients_max"),
        clients_per_address_max: t.amount("clients_per_address_max"),
        handshakes_max: t.amount("handshakes_max"),
        memory_max: t.amount("memory_max"),
        client_rate_min: t.amount("client_rate_min"),
        ..site_limits(t)
    }
}

/// What is known only once a Site is known cannot be limited per Site, and the other way round.
fn site_limits(t: &mut Table<'_>) -> Limits {
    Limits {
        head_bytes_max: t.amount("head_bytes_max"),
        field_bytes_max: t.amount("field_bytes_max"),
        target_bytes_max: t.amount("target_bytes_max"),
        fields_max: t.amount("fields_max"),
        body_bytes_max: t.amount("body_bytes_max"),
        ..Limits::default()
    }
}

fn timeouts(t: &mut Table<'_>) -> Timeouts {
    Timeouts {
        handshake: t.amount("handshake"),
        client_head: t.amount("client_head"),
        client_idle: t.amount("client_idle"),
        drain: t.amount("drain"),
        ..pool_timeouts(t)
    }
}

fn site_timeouts(t: &mut Table<'_>) -> Timeouts {
    Timeouts { client_idle: t.amount("client_idle"), ..exchange_timeouts(t) }
}

fn pool_timeouts(t: &mut Table<'_>) -> Timeouts {
    Timeouts {
        upstream_idle: t.amount("upstream_idle"),
        tcp_keepalive: t.amount("tcp_keepalive"),
        ..exchange_timeouts(t)
    }
}

fn exchange_timeouts(t: &mut Table<'_>) -> Timeouts {
    Timeouts {
        client_body_idle: t.amount("client_body_idle"),
        client_write_idle: t.amount("client_write_idle"),
        connect: t.amount("connect"),
        response_head: t.amount("response_head"),
        response_body_idle: t.amount("response_body_idle"),
        tunnel_idle: t.amount("tunnel_idle"),
        ..Timeouts::default()
    }
}

fn log(t: &mut Table<'_>) -> Log {
    Log {
        access: t.text_or_texts("access"),
        query: t.text("query"),
        rotate: t.table("rotate", rotate),
    }
}

fn rotate(t: &mut Table<'_>) -> Rotate {
    Rotate { bytes: t.amount("bytes"), files: t.number("files") }
}

fn admin(t: &mut Table<'_>) -> Admin {
    Admin { socket: t.text("socket"), adapter: t.text("adapter"), port: t.number("port") }
}

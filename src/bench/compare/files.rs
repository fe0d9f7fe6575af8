//! The peers' configuration files: each as its administrators would write it for this job, none tuned beyond that.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::case::Case;
use crate::bench::certificate::{Files, NAMES};

/// What the files have to say.
pub(super) struct Plan<'a> {
    pub(super) case: Case,
    pub(super) listen: SocketAddr,
    pub(super) origin: SocketAddr,
    pub(super) connections: usize,
    pub(super) certificates: &'a Files,
    /// The peer's own folder, absolute.
    pub(super) folder: &'a Path,
}

/// nginx. It keeps an access log, since the others do.
pub(super) fn nginx(plan: &Plan<'_>) -> String {
    let Plan { listen, origin, certificates, .. } = plan;
    // Started by root, the worker would change to a user that may not enter the folder.
    let user = if nix::unistd::geteuid().is_root() { "user root;\n" } else { "" };
    let idle = plan.connections.max(64);
    let (tls_word, tls) = if plan.case.has_client_tls() {
        (" ssl", nginx_client_tls(certificates))
    } else {
        ("", String::new())
    };
    let (scheme, upstream_tls) = if plan.case.has_upstream_tls() {
        ("https", nginx_upstream_tls(certificates))
    } else {
        ("http", String::new())
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {name}_temp;\n"))
        .collect();
    format!(
        "{user}daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
lock_file nginx.lock;
error_log error.log;
events {{
    worker_connections 16000;
}}
http {{
{temporary}    sendfile on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    access_log access.log combined buffer=64k flush=1s;
    upstream origin {{
        server {origin};
        keepalive {idle};
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen}{tls_word} reuseport;
        server_name {names};
{tls}        location / {{
            proxy_pass {scheme}://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
{upstream_tls}        }}
    }}
}}
",
        names = NAMES.join(" "),
    )
}

fn nginx_client_tls(certificates: &Files) -> String {
    format!(
        "        ssl_certificate {};
        ssl_certificate_key {};
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_session_cache shared:tls:10m;
",
        certificates.chain.display(),
        certificates.key.display()
    )
}

fn nginx_upstream_tls(certificates: &Files) -> String {
    format!(
        "            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {};
            proxy_ssl_name {};
            proxy_ssl_server_name on;
            proxy_ssl_session_reuse on;
            proxy_ssl_protocols TLSv1.2 TLSv1.3;
",
        certificates.ca.display(),
        NAMES[0],
    )
}

/// HAProxy. Its log goes to a ring in memory.
pub(super) fn haproxy(plan: &Plan<'_>) -> String {
    let Plan { listen, origin, certificates, .. } = plan;
    let bind_tls = if plan.case.has_client_tls() {
        format!(" ssl crt {} ssl-min-ver TLSv1.2", certificates.both.display())
    } else {
        String::new()
    };
    let server_tls = if plan.case.has_upstream_tls() {
        format!(
            " ssl verify required ca-file {} verifyhost {name} sni str({name}) ssl-min-ver TLSv1.2",
            certificates.ca.display(),
            name = NAMES[0],
        )
    } else {
        String::new()
    };
    let idle = plan.connections.max(64) * 2;
    format!(
        "global
    nbthread 1
    maxconn 8000
    log ring@requests local0
ring requests
    format rfc5424
    maxlen 2048
    size 1048576
defaults
    mode http
    log global
    option httplog
    http-reuse always
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
frontend web
    bind {listen}{bind_tls}
    default_backend origin
backend origin
    server origin {origin} pool-max-conn {idle}{server_tls}
"
    )
}

/// Gatehouse with one site and one rule.
pub(super) fn gatehouse(plan: &Plan<'_>) -> String {
    let mut text = gatehouse_head(plan);
    let names: Vec<String> = NAMES.iter().map(|name| format!("\"{name}\"")).collect();
    let certificate = if plan.case.has_client_tls() { "certificate = \"bench\"\n" } else { "" };
    write!(
        text,
        "\n[site.bench]\nnames = [{}]\nlisteners = [\"web\"]\n{certificate}\n\
         [[site.bench.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n",
        names.join(", "),
    )
    .expect("a string takes every write");
    text
}

/// Gatehouse with `rules` rules evenly over `sites` sites.
pub(super) fn gatehouse_rules(plan: &Plan<'_>, rules: usize, sites: usize) -> String {
    let mut text = gatehouse_head(plan);
    for site in 0..sites {
        write!(
            text,
            "\n[site.s{site:05}]\nnames = [\"site{site:05}.test\"]\nlisteners = [\"web\"]\n"
        )
        .expect("a string takes every write");
        for rule in 0..rules / sites {
            write!(
                text,
                "[[site.s{site:05}.rule]]\nname = \"app{rule}\"\npath = \"/app{rule}/part3\"\n\
                 pool = \"origin\"\n"
            )
            .expect("a string takes every write");
        }
    }
    text
}

/// Everything but the sites.
fn gatehouse_head(plan: &Plan<'_>) -> String {
    let Plan { listen, origin, certificates, .. } = plan;
    let tls = if plan.case.has_client_tls() { "tls = true\ncertificate = \"bench\"\n" } else { "" };
    let certificate = if plan.case.has_client_tls() {
        format!(
            "\n[certificate.bench]\nchain = \"{}\"\nkey = \"{}\"\n",
            certificates.chain.display(),
            certificates.key.display()
        )
    } else {
        String::new()
    };
    let pool_tls = if plan.case.has_upstream_tls() {
        format!(
            "[pool.origin.tls]\nca = \"{}\"\nserver_name = \"{}\"\n",
            certificates.ca.display(),
            NAMES[0]
        )
    } else {
        String::new()
    };
    format!(
        "[workers]
count = 1

[adapter.external]
addresses = [\"127.0.0.1\"]

[adapter.internal]
addresses = [\"127.0.0.1\"]

[listener.web]
adapter = \"external\"
port = {port}
{tls}{certificate}
[pool.origin]
servers = [\"{origin}\"]
idle_max = {idle}
{pool_tls}
[timeouts]
client_idle = \"600s\"

[limits]
clients_per_address_max = 20000

[log]
access = [\"json:{folder}/access.log\"]
",
        port = listen.port(),
        idle = plan.connections.max(64),
        folder = plan.folder.display(),
    )
}

/// The load tool's script for the rules: each request draws one (host, path) of all, evenly. The script is the same for
/// few and many rules, so that its cost is, too.
pub(super) fn rules_script(rules: usize, sites: usize) -> String {
    format!(
        "local sites, rules = {sites}, {each}
local random, format = math.random, string.format
init = function(args) math.randomseed(4711) end
request = function()
   return format(\"GET /app%d/part3 HTTP/1.1\\r\\nHost: site%05d.test\\r\\n\\r\\n\",
      random(0, rules - 1), random(0, sites - 1))
end
",
        each = rules / sites,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_plan(case: Case, check: impl Fn(&Plan<'_>)) {
        let path = |name: &str| Path::new("/x").join(name);
        let certificates = Files {
            ca: path("ca.pem"),
            chain: path("cert.pem"),
            key: path("key.pem"),
            both: path("both.pem"),
        };
        check(&Plan {
            case,
            listen: "127.0.0.1:18080".parse().unwrap(),
            origin: "127.0.0.1:18081".parse().unwrap(),
            connections: 64,
            certificates: &certificates,
            folder: Path::new("/x"),
        });
    }

    #[test]
    fn our_file_is_toml_in_every_case() {
        for case in Case::ALL {
            with_plan(case, |plan| {
                let table: toml::Table = gatehouse(plan).parse().unwrap();
                assert_eq!(table["listener"]["web"]["port"].as_integer(), Some(18080));
                let tls = table["listener"]["web"].get("tls").is_some();
                assert_eq!(tls, case.has_client_tls());
                let pool_tls = table["pool"]["origin"].get("tls").is_some();
                assert_eq!(pool_tls, case.has_upstream_tls());
            });
        }
    }

    #[test]
    fn rules_are_spread_over_sites() {
        with_plan(Case::Rules, |plan| {
            let table: toml::Table = gatehouse_rules(plan, 60, 20).parse().unwrap();
            let sites = table["site"].as_table().unwrap();
            assert_eq!(sites.len(), 20);
            assert_eq!(sites["s00019"]["rule"].as_array().unwrap().len(), 3);
        });
    }

    #[test]
    fn tls_is_asked_of_the_peers_only_where_it_belongs() {
        for case in Case::ALL {
            with_plan(case, |plan| {
                assert_eq!(nginx(plan).contains(" ssl reuseport"), case.has_client_tls());
                assert_eq!(nginx(plan).contains("proxy_ssl_verify on"), case.has_upstream_tls());
                assert_eq!(haproxy(plan).contains(" ssl crt "), case.has_client_tls());
                assert_eq!(haproxy(plan).contains("verify required"), case.has_upstream_tls());
            });
        }
    }
}

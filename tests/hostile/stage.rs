//! nginx, Apache and Gatehouse, set up for one test each, with everything that might make a server
//! forgiving switched on and everything that would tidy up a request switched off.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::answer::{Got, Wire};
use super::collector::{Collector, Seen};
use super::process::Process;

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// An empty folder of a test's own.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// nginx and Apache in front of a collector.
pub(crate) struct Servers {
    pub(crate) folder: PathBuf,
    pub(crate) collector: Collector,
    pub(crate) nginx: u16,
    pub(crate) apache: u16,
    _processes: [Process; 2],
}

impl Servers {
    /// Starts both; `keeps` as for [`Collector::start`].
    pub(crate) fn start(test: &str, keeps: bool) -> Self {
        let folder = folder(test);
        let collector = Collector::start(keeps);
        let (nginx, apache) = (free_port(), free_port());
        let processes = [
            start_nginx(&folder, nginx, collector.port),
            start_apache(&folder, apache, collector.port),
        ];
        Self { folder, collector, nginx, apache, _processes: processes }
    }
}

fn start_nginx(folder: &Path, port: u16, collector: u16) -> Process {
    let file = folder.join("nginx.conf");
    let prefix = folder.display();
    let text = format!(
        r#"
daemon off;
worker_processes 1;
pid "{prefix}/nginx.pid";
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path "{prefix}/nginx-body";
    proxy_temp_path "{prefix}/nginx-proxy";
    fastcgi_temp_path "{prefix}/nginx-fastcgi";
    uwsgi_temp_path "{prefix}/nginx-uwsgi";
    scgi_temp_path "{prefix}/nginx-scgi";
    merge_slashes off;
    underscores_in_headers on;
    client_header_buffer_size 64k;
    large_client_header_buffers 16 128k;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    upstream collector {{
        server 127.0.0.1:{collector} max_fails=0;
        keepalive 64;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{
            proxy_pass http://collector;
            proxy_http_version 1.1;
            proxy_request_buffering on;
            proxy_next_upstream off;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
        }}
    }}
}}
"#
    );
    fs::write(&file, text).expect("the folder can be written");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(&file);
    Process::start("nginx", &mut command, "start worker process ")
}

fn start_apache(folder: &Path, port: u16, collector: u16) -> Process {
    let file = folder.join("apache.conf");
    let prefix = folder.display();
    // It refuses to serve as root.
    let user = if nix::unistd::geteuid().is_root() { "User www-data\nGroup www-data" } else { "" };
    let text = format!(
        r#"
ServerRoot "{prefix}"
DefaultRuntimeDir "{prefix}"
PidFile "{prefix}/apache.pid"
ServerName localhost
Listen 127.0.0.1:{port}
ErrorLog /dev/stderr
LogLevel notice
{user}
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ServerLimit 1
StartServers 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 600
LimitRequestLine 131072
LimitRequestFieldSize 131072
LimitRequestFields 1000
AllowEncodedSlashes NoDecode
MergeSlashes Off
ProxyRequests Off
ProxyPreserveHost On
SetEnv proxy-sendcl 1
ProxyPass "/" "http://127.0.0.1:{collector}/" nocanon retry=0
"#
    );
    fs::write(&file, text).expect("the folder can be written");
    let mut command = Command::new("apache2");
    command.arg("-D").arg("FOREGROUND").arg("-f").arg(&file);
    Process::start("apache2", &mut command, "resuming normal operations")
}

/// Gatehouse, one worker, so that all clients meet at the same upstream connections.
pub(crate) struct Gatehouse {
    process: Process,
}

impl Gatehouse {
    /// Publishes each (port, server's port, check of paths) under the same names.
    pub(crate) fn start(folder: &Path, doors: &[(u16, u16, &str)], timeouts: &str) -> Self {
        let mut text = format!(
            r#"
[adapter.external]
addresses = ["127.0.0.1"]
[adapter.internal]
addresses = ["127.0.0.1"]
[workers]
count = 1
[log]
access = ["off"]
[timeouts]
{timeouts}
"#
        );
        for (number, (port, server, check)) in doors.iter().enumerate() {
            text += &format!(
                r#"
[listener.l{number}]
adapter = "external"
port = {port}
[pool.p{number}]
servers = ["127.0.0.1:{server}"]
[site.s{number}]
names = ["a.test", "b.test", "127.0.0.1"]
listeners = ["l{number}"]
path_check = "{check}"
[[site.s{number}.rule]]
name = "all"
path = "/"
pool = "p{number}"
"#
            );
        }
        let file = folder.join("gatehouse.toml");
        fs::write(&file, text).expect("the folder can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatehouse"));
        command.arg("run").arg("--config").arg(&file);
        Self { process: Process::start("gatehouse", &mut command, "gatehouse: ready") }
    }

    /// Fails if it has ended or a connection of it has panicked.
    #[track_caller]
    pub(crate) fn assert_well(&mut self) {
        self.process.assert_well();
    }
}

/// Whether a request's Host is one of the names that [`Gatehouse`] publishes.
pub(crate) fn is_published(host: &[u8]) -> bool {
    let name = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let name = name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase();
    [b"a.test".as_slice(), b"b.test", b"127.0.0.1"].contains(&name.as_slice())
}

/// One way in: a listener of Gatehouse and who stands behind it.
#[derive(Clone, Copy)]
pub(crate) struct Door {
    pub(crate) port: u16,
    pub(crate) server: &'static str,
    pub(crate) raw: bool,
}

/// Servers, Gatehouse, and a door for each server and each check of paths.
pub(crate) struct Stage {
    pub(crate) gatehouse: Gatehouse,
    pub(crate) servers: Servers,
    pub(crate) doors: Vec<Door>,
}

impl Stage {
    pub(crate) fn set(test: &str) -> Self {
        let servers = Servers::start(test, true);
        let mut doors = Vec::new();
        let mut told = Vec::new();
        for (server, origin) in [("nginx", servers.nginx), ("apache", servers.apache)] {
            for (raw, check) in [(true, "raw"), (false, "strict")] {
                let port = free_port();
                doors.push(Door { port, server, raw });
                told.push((port, origin, check));
            }
        }
        let gatehouse = Gatehouse::start(&servers.folder, &told, "");
        Self { gatehouse, servers, doors }
    }
}

/// A well-behaved client that keeps its connection and must never notice the others.
pub(crate) struct Neighbour {
    wire: Wire,
    asked: usize,
}

impl Neighbour {
    pub(crate) fn open(door: &Door) -> Self {
        let mut neighbour = Self { wire: Wire::open(door.port), asked: 0 };
        neighbour.ask().expect("it can be served before anybody misbehaves");
        neighbour
    }

    /// Asks once more and gives what the collector must have read. Since there is one worker, what
    /// reached it before has been looked at when the answer is here.
    pub(crate) fn ask(&mut self) -> Result<String, String> {
        self.asked += 1;
        let target = format!("/neighbour-{}", self.asked);
        let request =
            format!("POST {target} HTTP/1.1\r\nHost: b.test\r\nContent-Length: 3\r\n\r\nabc");
        let expected = Seen::new(b"POST", target.as_bytes(), b"b.test", b"abc").to_string();
        self.wire.send(request.as_bytes());
        match self.wire.answer(false) {
            Got::Answer(answer) if answer.seen().as_ref() == Some(&expected) => Ok(expected),
            other => Err(format!("the neighbour got {}", other.words())),
        }
    }
}

//! nginx and Apache as origins, each in a folder of its own and without rights.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use nix::unistd::geteuid;

use super::authority::Kind;
use super::folder::{Folder, free_port};
use super::program::{Program, run};
use super::time::until;

/// A running web server that serves `files/`, takes uploads below `/put/`, and proves to be
/// `origin.test`.
pub(crate) struct Real {
    // Ends before its folder goes.
    _program: Program,
    folder: Folder,
    pub(crate) plain: u16,
    pub(crate) tls: u16,
}

impl Real {
    /// A file as the server sees it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.at("files").join(name)
    }

    /// The lines of the server's own access log.
    #[track_caller]
    pub(crate) fn log_lines(&self, count: usize) -> Vec<String> {
        super::gatehouse::log_lines(&self.folder.at("access.log"), count)
    }

    fn start(name: &str, folder: Folder, ports: [u16; 2], arguments: &[&str]) -> Self {
        Self::start_with(name, folder, ports, arguments, |_| {})
    }

    fn start_with(
        name: &str,
        folder: Folder,
        ports: [u16; 2],
        arguments: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let mut program = Program::start(name, arguments, prepare);
        let errors = folder.at("error.log");
        until(&format!("the readiness of {name}"), || {
            let why = || std::fs::read_to_string(&errors).unwrap_or_default();
            assert!(!program.has_ended(), "{name} does not start: {}", why());
            let open = ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok());
            open.then_some(())
        });
        let [plain, tls] = ports;
        Self { _program: program, folder, plain, tls }
    }
}

/// A folder with what both servers need.
fn prepare() -> (Folder, [u16; 2]) {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    folder.certificate("origin", &["origin.test"], Kind::Ecdsa);
    for name in ["files", "files/put", "body", "lock"] {
        std::fs::create_dir(folder.at(name)).unwrap();
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(folder.at(name), open).unwrap();
    }
    std::fs::write(folder.at("files/small.txt"), "a small file\n").unwrap();
    std::fs::write(folder.at("files/included.shtml"), "included\n".repeat(2_000)).unwrap();
    (folder, [free_port(), free_port()])
}

/// nginx. Its log says `connection request-on-it method target version host status`.
#[track_caller]
pub(crate) fn nginx() -> Real {
    nginx_in(prepare())
}

/// The same with a certificate that ends in so many days and some hours.
#[track_caller]
pub(crate) fn nginx_for_days(days: i64) -> Real {
    let (folder, ports) = prepare();
    folder.certificate_for_days("origin", &["origin.test"], days);
    nginx_in((folder, ports))
}

#[track_caller]
fn nginx_in((folder, [plain, tls]): (Folder, [u16; 2])) -> Real {
    // A master with all rights would give them up to somebody who cannot write here.
    let user = if geteuid().is_root() { "user root;" } else { "" };
    folder.write(
        "nginx.conf",
        format!(
            r#"
daemon off; pid nginx.pid; error_log error.log; worker_processes 1; {user}
events {{ worker_connections 512; }}
http {{
    log_format seen '$connection $connection_requests $request_method $request_uri $server_protocol $http_host $status';
    access_log access.log seen;
    client_body_temp_path body; proxy_temp_path body; fastcgi_temp_path body;
    uwsgi_temp_path body; scgi_temp_path body;
    client_max_body_size 0; client_body_buffer_size 256k;
    types {{ text/html shtml; text/plain txt; }}
    server {{
        listen 127.0.0.1:{plain}; listen 127.0.0.1:{tls} ssl;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate origin.pem; ssl_certificate_key origin.key;
        root files; ssi on;
        location /put/ {{ dav_methods PUT DELETE; }}
        location = /asked {{ return 200 "$request_method $request_uri $http_host $ssl_server_name"; }}
        location = /tls {{ return 200 "[$ssl_server_name] $ssl_protocol"; }}
        location = /empty {{ return 204; }}
        location = /last {{ keepalive_timeout 0; return 200 "last"; }}
        location = /until-close {{ chunked_transfer_encoding off; alias files/included.shtml; default_type text/html; }}
    }}
}}
"#
        ),
    );
    let prefix = folder.path().display().to_string();
    let conf = folder.at("nginx.conf").display().to_string();
    let errors = folder.at("error.log").display().to_string();
    Real::start("nginx", folder, [plain, tls], &["-p", &prefix, "-c", &conf, "-e", &errors])
}

/// nginx as a proxy that keeps upstream connections for whoever comes next.
#[track_caller]
pub(crate) fn nginx_in_front(origin: u16) -> Real {
    let (folder, [plain, _]) = prepare();
    let user = if geteuid().is_root() { "user root;" } else { "" };
    folder.write(
        "nginx.conf",
        format!(
            r#"
daemon off; pid nginx.pid; error_log error.log; worker_processes 1; {user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path body; fastcgi_temp_path body;
    uwsgi_temp_path body; scgi_temp_path body;
    upstream origin {{ server 127.0.0.1:{origin} max_fails=0; keepalive 64; }}
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"#
        ),
    );
    let prefix = folder.path().display().to_string();
    let conf = folder.at("nginx.conf").display().to_string();
    let errors = folder.at("error.log").display().to_string();
    Real::start("nginx", folder, [plain, plain], &["-p", &prefix, "-c", &conf, "-e", &errors])
}

/// Apache. Its log says `method target version host status`.
#[track_caller]
pub(crate) fn apache() -> Real {
    let (folder, [plain, tls]) = prepare();
    let user = if geteuid().is_root() { "User www-data\nGroup www-data" } else { "" };
    let modules: String =
        ["mpm_event", "authz_core", "mime", "dav", "dav_fs", "ssl", "filter", "include", "headers"]
            .map(|name| {
                format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n")
            })
            .concat();
    let root = folder.path().display().to_string();
    folder.write(
        "apache.conf",
        format!(
            r#"
{modules}
ServerRoot {root}
ServerName origin.test
PidFile apache.pid
{user}
Listen 127.0.0.1:{plain}
Listen 127.0.0.1:{tls} https
Mutex file:{root}/lock default
ErrorLog error.log
LogFormat "%m %U%q %H %{{Host}}i %>s" seen
CustomLog access.log seen
DocumentRoot {root}/files
DavLockDB {root}/lock/dav
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
TypesConfig /dev/null
AddType text/html .shtml
AddType text/plain .txt
AddOutputFilter INCLUDES .shtml
EnableSendfile On
StartServers 1
ServerLimit 2
ThreadsPerChild 16
MaxRequestWorkers 32
MinSpareThreads 1
MaxSpareThreads 32
LimitRequestBody 0
<Directory {root}/files>
    Options +Includes
    Require all granted
</Directory>
<Location /put>
    Dav On
</Location>
<VirtualHost *:{plain}>
</VirtualHost>
<VirtualHost *:{tls}>
    SSLEngine on
    SSLCertificateFile {root}/origin.pem
    SSLCertificateKeyFile {root}/origin.key
</VirtualHost>
"#
        ),
    );
    let conf = folder.at("apache.conf").display().to_string();
    Real::start("apache2", folder, [plain, tls], &["-f", &conf, "-D", "FOREGROUND"])
}

/// Apache that asks for NTLM and binds the user to the connection; `users` has a line
/// `DOMAIN:user:password` for each, and `preload` is a C library that is loaded into it first. Its
/// log says `connection request-on-it user status scheme`.
#[track_caller]
pub(crate) fn apache_ntlm(users: &str, preload: &str) -> Real {
    use std::os::unix::fs::PermissionsExt;
    let (folder, [plain, tls]) = prepare();
    let path = |name: &str| folder.at(name).display().to_string();
    folder.write("users", users);
    // Apache reads it when it has given up its rights.
    std::fs::set_permissions(folder.at("users"), std::fs::Permissions::from_mode(0o644)).unwrap();
    folder.write("preload.c", preload);
    let (source, library) = (path("preload.c"), path("preload.so"));
    run("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-o", &library, &source, "-ldl"])
        .expect_success();
    let user = if geteuid().is_root() { "User www-data\nGroup www-data" } else { "" };
    let names = [
        "mpm_event",
        "authn_core",
        "authz_core",
        "authz_user",
        "auth_gssapi",
        "headers",
        "mime",
        "setenvif",
        "ssl",
    ];
    let module =
        |name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let (modules, root) = (names.map(module).concat(), folder.path().display());
    folder.write(
        "apache.conf",
        format!(
            r#"
{modules}
ServerRoot {root}
ServerName origin.test
PidFile apache.pid
{user}
Listen 127.0.0.1:{plain}
Listen 127.0.0.1:{tls} https
Mutex file:{root}/lock default
ErrorLog error.log
SetEnvIf Authorization "^([A-Za-z]+)" SCHEME=$1
LogFormat "%{{remote}}p %k %u %>s %{{SCHEME}}e" seen
DocumentRoot {root}/files
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
TypesConfig /dev/null
<Location />
    AuthType GSSAPI
    AuthName "x"
    GssapiAllowedMech ntlmssp
    GssapiConnectionBound On
    Require valid-user
    Header always set X-User "expr=%{{REMOTE_USER}}"
</Location>
<VirtualHost *:{plain}>
</VirtualHost>
<VirtualHost *:{tls}>
    CustomLog access.log seen
    SSLEngine on
    SSLCertificateFile {root}/origin.pem
    SSLCertificateKeyFile {root}/origin.key
</VirtualHost>
"#
        ),
    );
    let (conf, users) = (path("apache.conf"), path("users"));
    let arguments = ["-f", &conf, "-D", "FOREGROUND"];
    Real::start_with("apache2", folder, [plain, tls], &arguments, |command| {
        command.env("LD_PRELOAD", library).env("NTLM_USER_FILE", users);
    })
}

//! Stand-ins for Windows: OpenSSL and GnuTLS held to the lists that Schannel has by default. The lists
//! are those of Microsoft's pages "TLS Cipher Suites in Windows …" with an RSA certificate; nothing here
//! was compared with a real Windows.

use std::net::TcpStream;
use std::process::Stdio;

use super::folder::{Folder, free_port};
use super::program::Program;
use super::time::until;

/// A version of Windows Server with TLS 1.2 on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Windows {
    pub(crate) name: &'static str,
    /// In the order in which it prefers them.
    pub(crate) suites: &'static str,
    /// Further words for `openssl s_server`.
    pub(crate) more: &'static str,
    /// Whether it has a modern suite with an RSA certificate.
    pub(crate) is_modern: bool,
}

const OLD_CURVES: &str = "-no_tls1_3 -curves P-256:P-384 -sigalgs RSA+SHA256:RSA+SHA384:RSA+SHA1:ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA1";

const OLD_SUITES: &str = "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-SHA:DHE-RSA-AES128-SHA:AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:AES256-SHA:AES128-SHA";

const NEW_SUITES: &str = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA:AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:AES256-SHA:AES128-SHA";

pub(crate) const WINDOWS: [Windows; 6] = [
    Windows {
        name: "2008 R2",
        suites: OLD_SUITES,
        more: "-no_ticket -no_tls1_3 -curves P-256:P-384 -sigalgs RSA+SHA256:RSA+SHA384:RSA+SHA1:ECDSA+SHA256:ECDSA+SHA384",
        is_modern: false,
    },
    Windows {
        name: "2012",
        suites: "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:AES256-SHA:AES128-SHA",
        more: "-no_ticket -no_tls1_3 -curves P-256:P-384 -sigalgs RSA+SHA256:RSA+SHA384:RSA+SHA1:ECDSA+SHA256:ECDSA+SHA384",
        is_modern: false,
    },
    Windows { name: "2012 R2", suites: OLD_SUITES, more: OLD_CURVES, is_modern: false },
    Windows {
        name: "2016",
        suites: NEW_SUITES,
        more: "-no_tls1_3 -curves X25519:P-256:P-384",
        is_modern: true,
    },
    Windows {
        name: "2019",
        suites: NEW_SUITES,
        more: "-no_tls1_3 -curves X25519:P-256:P-384",
        is_modern: true,
    },
    Windows {
        name: "2022",
        suites: NEW_SUITES,
        more: "-ciphersuites TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256 -curves X25519:P-256:P-384",
        is_modern: true,
    },
];

/// A running stand-in with the certificate `origin.pem` of its folder, whose files it serves.
pub(crate) struct StandIn {
    // Ends before its folder goes.
    pub(crate) program: Program,
    pub(crate) folder: Folder,
    pub(crate) port: u16,
}

impl StandIn {
    /// `openssl s_server`: a file for each request, and what it thinks of the connection at `/stats`.
    #[track_caller]
    pub(crate) fn openssl(folder: Folder, arguments: &str) -> Self {
        let all = format!("s_server -cert origin.pem -key origin.key -serverpref {arguments}");
        Self::start("openssl", folder, &all, "-accept", "127.0.0.1:")
    }

    /// `gnutls-serv`: a page about the connection for every request.
    #[track_caller]
    pub(crate) fn gnutls(folder: Folder, priority: &str) -> Self {
        let all = format!(
            "--http --noticket --x509certfile origin.pem --x509keyfile origin.key --priority {priority}"
        );
        Self::start("gnutls-serv", folder, &all, "--port", "")
    }

    fn start(name: &str, folder: Folder, arguments: &str, option: &str, before: &str) -> Self {
        let port = free_port();
        let at = format!("{before}{port}");
        let all = arguments.split_whitespace().chain([option, &at]);
        let words = std::fs::File::create(folder.at("stand-in.out")).unwrap();
        let errors = std::fs::File::create(folder.at("stand-in.log")).unwrap();
        let mut program = Program::start(name, all, |command| {
            command.current_dir(folder.path());
            // It takes words for commands, and ends where they end.
            command.stdin(Stdio::piped());
            command.stdout(words).stderr(errors);
        });
        until(&format!("the readiness of {name} {arguments}"), || {
            let said = || std::fs::read_to_string(folder.at("stand-in.log")).unwrap_or_default();
            assert!(!program.has_ended(), "{name} does not start: {}", said());
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { program, folder, port }
    }
}

impl Windows {
    /// This Windows with an RSA certificate, as far as its lists go.
    #[track_caller]
    pub(crate) fn start(&self, folder: Folder) -> StandIn {
        let Self { suites, more, .. } = self;
        StandIn::openssl(folder, &format!("-WWW -cipher {suites}:@SECLEVEL=0 {more}"))
    }
}

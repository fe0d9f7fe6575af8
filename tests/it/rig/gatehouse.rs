//! The proxy as its operator runs it: a process with a file.

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};

use super::authority::trusting;
use super::folder::{Folder, free_port};
use super::program::{Outcome, Program, run};
use super::time::until;
use super::wire::Wire;

/// The sections that stand where the test's own text has none of that name.
const USUAL: [&str; 9] = [
    "[workers]\ncount = 1\n",
    "[adapter.external]\naddresses = [\"127.0.0.1\"]\n",
    "[adapter.internal]\naddresses = [\"127.0.0.1\"]\n",
    "[listener.http]\nport = $http\n",
    "[listener.https]\nport = $https\ntls = true\ncertificate = \"a\"\n",
    "[certificate.a]\nchain = \"a.pem\"\nkey = \"a.key\"\n",
    "[site.a]\nnames = [\"a.test\"]\nlisteners = [\"http\", \"https\"]\ncertificate = \"a\"\n\
     [[site.a.rule]]\nname = \"all\"\npath = \"/\"\npool = \"origin\"\n",
    "[admin]\nsocket = \"./admin.sock\"\n",
    "[log]\naccess = [\"json:./access.log\"]\n",
];

/// The socket of a service manager, in the test's folder.
pub(crate) const MANAGER: &str = "manager.sock";

/// The system's authorities, in the test's folder.
pub(crate) const SYSTEM: &str = "system.pem";

/// A running proxy.
pub(crate) struct Gatehouse {
    program: Program,
    folder: Folder,
    pub(crate) http: u16,
    pub(crate) https: u16,
    said: Arc<Mutex<Vec<String>>>,
}

impl Gatehouse {
    /// Publishes servers on this machine as `a.test`, plain and with TLS; `more` adds to the file.
    #[track_caller]
    pub(crate) fn publish(servers: &[u16], more: &str) -> Self {
        let servers: Vec<String> =
            servers.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
        let pool = format!("[pool.origin]\nservers = [{}]\n", servers.join(", "));
        Self::start(Folder::new(), &format!("{pool}{more}"))
    }

    /// Publishes servers that are talked to by TLS and have to be `origin.test`.
    #[track_caller]
    pub(crate) fn publish_secure(servers: &[u16], more: &str) -> Self {
        let tls = "[pool.origin.tls]\nca = \"ca.pem\"\nserver_name = \"origin.test\"\n";
        Self::publish(servers, &format!("{tls}{more}"))
    }

    /// Starts with `text`, completed by the usual sections, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(folder: Folder, text: &str) -> Self {
        Self::begin(folder, text).ready()
    }

    #[track_caller]
    fn ready(mut self) -> Self {
        let said = Arc::clone(&self.said);
        until("the proxy's readiness", || {
            let ready = said.lock().unwrap().iter().any(|line| line == "gatehouse: ready");
            if self.program.has_ended() && !ready {
                // io_uring that is not permitted is said here too.
                panic!("the proxy does not start:\n{}", self.everything_said());
            }
            ready.then_some(())
        });
        self
    }

    /// Starts with a standard output that nobody reads, and waits until it is ready.
    #[track_caller]
    pub(crate) fn start_unread(folder: Folder, text: &str) -> Self {
        Self::begin_by(&[], folder, text, Stdio::piped()).ready()
    }

    /// Starts, and waits for nothing.
    #[track_caller]
    pub(crate) fn begin(folder: Folder, text: &str) -> Self {
        Self::begin_by(&[], folder, text, Stdio::null())
    }

    /// The same for somebody who has no rights, even where the tests run with all of them.
    #[track_caller]
    pub(crate) fn begin_without_capabilities(folder: Folder, text: &str) -> Self {
        let without = ["--bounding-set=-all", "--inh-caps=-all"];
        Self::begin_by(&without, folder, text, Stdio::null())
    }

    /// Starts it in a network namespace, which has this path.
    #[track_caller]
    pub(crate) fn start_in(namespace: &str, folder: Folder, text: &str) -> Self {
        let there = format!("--net={namespace}");
        Self::begin_by(&["nsenter", &there], folder, text, Stdio::null()).ready()
    }

    #[track_caller]
    fn begin_by(rights: &[&str], folder: Folder, text: &str, stdout: Stdio) -> Self {
        let (http, https) = (free_port(), free_port());
        write_file(&folder, text, http, https);
        let file = folder.at("gatehouse.toml");
        let file = file.to_str().unwrap();
        let mut arguments = rights.to_vec();
        arguments.extend([env!("CARGO_BIN_EXE_gatehouse"), "run", "--config", file]);
        let mut program = Program::start_by_setpriv("gatehouse", &arguments, |command| {
            command.stderr(Stdio::piped()).stdout(stdout);
            // A service manager listens where a test has put one.
            if folder.at(MANAGER).exists() {
                command.env("NOTIFY_SOCKET", folder.at(MANAGER));
            }
            if folder.at(SYSTEM).exists() {
                command.env("SSL_CERT_FILE", folder.at(SYSTEM));
                // Whoever runs the tests may have one of these.
                command.env_remove("SSL_CERT_DIR");
            }
        });
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, stderr) = (Arc::clone(&said), program.child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Self { program, folder, http, https, said }
    }

    /// Writes another file in the place of the one it was started with, completed in the same way.
    pub(crate) fn rewrite(&self, text: &str) {
        write_file(&self.folder, text, self.http, self.https);
    }

    /// Asks it to read its file again, as an administrator does.
    #[track_caller]
    pub(crate) fn reload(&self) -> Outcome {
        let socket = self.folder.at("admin.sock");
        let socket = socket.to_str().unwrap();
        run(env!("CARGO_BIN_EXE_gatehouse"), ["reload", "--socket", socket])
    }

    /// Takes a server of a pool out or in, as an administrator does.
    #[track_caller]
    pub(crate) fn pool(&self, pool: &str, verb: &str, server: &str) -> Outcome {
        let socket = self.folder.at("admin.sock");
        let socket = socket.to_str().unwrap();
        let asked = ["pool", pool, verb, "--server", server, "--socket", socket];
        run(env!("CARGO_BIN_EXE_gatehouse"), asked)
    }

    /// Puts another file in force.
    #[track_caller]
    pub(crate) fn change(&self, text: &str) {
        self.rewrite(text);
        self.reload().expect_success();
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    /// A client of the plain listener.
    #[track_caller]
    pub(crate) fn client(&self) -> Wire {
        Wire::plain(TcpStream::connect(("127.0.0.1", self.http)).unwrap())
    }

    /// A client of the listener with TLS that asks for `a.test` and verifies it.
    #[track_caller]
    pub(crate) fn secure_client(&self) -> Wire {
        let socket = TcpStream::connect(("127.0.0.1", self.https)).unwrap();
        Wire::secure(socket, trusting(), "a.test")
    }

    /// A connection of a client that has this address of `127.0.0.0/8`, and room for `room` bytes
    /// that it has not read.
    #[track_caller]
    pub(crate) fn connect_from(&self, port: u16, last: u8, room: Option<usize>) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(room) = room {
            socket.set_recv_buffer_size(room).unwrap();
        }
        socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).unwrap();
        socket.into()
    }

    /// A client of the plain listener with the address `127.0.0.LAST`.
    #[track_caller]
    pub(crate) fn client_from(&self, last: u8) -> Wire {
        Wire::plain(self.connect_from(self.http, last, None))
    }

    /// The same of the listener with TLS; an error if it is closed in the handshake.
    pub(crate) fn try_secure_client_from(&self, last: u8) -> io::Result<Wire> {
        Wire::try_secure(self.connect_from(self.https, last, None), trusting(), "a.test")
    }

    fn everything_said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// Waits for a line on standard error that holds `part`.
    #[track_caller]
    pub(crate) fn expect_said(&self, part: &str) -> String {
        until(&format!("a line with {part:?} on standard error"), || {
            self.said.lock().unwrap().iter().find(|line| line.contains(part)).cloned()
        })
    }

    /// Whether a line on standard error holds `part`.
    pub(crate) fn has_said(&self, part: &str) -> bool {
        self.count_said(part) > 0
    }

    /// How many lines on standard error hold `part`.
    pub(crate) fn count_said(&self, part: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits until the access log has `count` lines, and gives them all.
    #[track_caller]
    pub(crate) fn log_lines(&self, count: usize) -> Vec<String> {
        log_lines(&self.folder.at("access.log"), count)
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn records(&self, count: usize) -> Vec<serde_json::Value> {
        let lines = self.log_lines(count);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.program.wait()
    }

    /// Ends it as a service manager does.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.everything_said());
    }

    /// A line of `/proc/PID/status` in kB.
    pub(crate) fn memory(&self, which: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(which)).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// Lowers or raises the soft limit of open files.
    #[track_caller]
    pub(crate) fn limit_files(&self, soft: usize) {
        let (id, limit) = (self.id().to_string(), format!("--nofile={soft}:"));
        run("prlimit", ["--pid", &id, &limit]).expect_success();
    }
}

impl Drop for Gatehouse {
    fn drop(&mut self) {
        let said = self.everything_said();
        if std::thread::panicking() {
            eprintln!("the proxy of the failed test said:\n{said}");
        } else {
            assert!(!said.contains("panic"), "{said}");
        }
        // It would wait for whoever is still served by it.
        self.program.kill();
    }
}

/// Waits until a file has `count` whole lines, and gives them all.
#[track_caller]
pub(crate) fn log_lines(file: &Path, count: usize) -> Vec<String> {
    until(&format!("{count} lines in the access log"), || {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
        (lines.len() >= count).then_some(lines)
    })
}

fn write_file(folder: &Folder, text: &str, http: u16, https: u16) {
    let whole = complete(text).replace("$https", &https.to_string());
    folder.write("gatehouse.toml", whole.replace("$http", &http.to_string()));
}

fn complete(text: &str) -> String {
    let header = |section: &str| section.lines().next().unwrap_or_default().to_owned();
    let usual = USUAL.iter().filter(|section| !text.contains(&header(section)));
    usual.fold(text.to_owned(), |whole, section| format!("{whole}\n{section}"))
}

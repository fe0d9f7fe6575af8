//! Other programs, ended when the test ends.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::folder::Folder;
use super::gatehouse::Gatehouse;
use super::time::until;

/// A running program. It also ends when the thread of its test does, however that ends.
pub(crate) struct Program {
    pub(crate) child: Child,
    name: String,
    ended: bool,
}

/// What a program has said and how it ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Outcome {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    #[track_caller]
    pub(crate) fn expect_success(self) -> Self {
        assert!(self.status.success(), "{}: {}\n{}", self.status, self.err, self.text());
        self
    }
}

impl Program {
    pub(crate) fn start<A: AsRef<OsStr>>(
        name: &str,
        arguments: impl IntoIterator<Item = A>,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        let all: Vec<OsString> = std::iter::once(name.into()).chain(arguments).collect();
        Self::start_by_setpriv(name, &all, prepare)
    }

    /// As [`Self::start`]; before the program and its arguments there may be options of setpriv.
    pub(crate) fn start_by_setpriv<A: AsRef<OsStr>>(
        name: &str,
        arguments: &[A],
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).args(arguments);
        // Daemons live where the paths of ordinary users do not lead.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command.stdin(Stdio::null());
        prepare(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { child, name: name.to_owned(), ended: false }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let status = until(&format!("the end of {name}"), || self.child.try_wait().unwrap());
        self.ended = true;
        status
    }

    pub(crate) fn kill(&mut self) {
        // Killing what has just ended is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.ended = true;
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.ended && !self.has_ended() {
            self.signal(Signal::SIGTERM);
            // Two seconds for those that have children of their own.
            for _ in 0..1000 {
                if self.has_ended() {
                    return;
                }
                std::thread::park_timeout(std::time::Duration::from_millis(2));
            }
            self.kill();
        }
    }
}

fn drain(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut from) = from {
            from.read_to_end(&mut all).unwrap();
        }
        all
    })
}

/// A program whose outcome is waited for later.
pub(crate) struct Under {
    program: Program,
    out: JoinHandle<Vec<u8>>,
    err: JoinHandle<Vec<u8>>,
}

impl Under {
    #[track_caller]
    pub(crate) fn finish(mut self) -> Outcome {
        let status = self.program.wait();
        let err = String::from_utf8_lossy(&self.err.join().unwrap()).into_owned();
        Outcome { status, out: self.out.join().unwrap(), err }
    }
}

/// Starts a program that reads `input`, and whose words are kept.
pub(crate) fn begin_with_input<A: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = A>,
    folder: &Folder,
    input: &str,
) -> Under {
    folder.write("input", input);
    let input = File::open(folder.at("input")).unwrap();
    begin_by(name, arguments, |command| {
        command.stdin(input);
    })
}

/// Starts a program whose words are kept.
pub(crate) fn begin<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Under {
    begin_by(name, arguments, |_| {})
}

fn begin_by<A: AsRef<OsStr>>(
    name: &str,
    arguments: impl IntoIterator<Item = A>,
    prepare: impl FnOnce(&mut Command),
) -> Under {
    let mut program = Program::start(name, arguments, |command| {
        prepare(command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    let (out, err) = (drain(program.child.stdout.take()), drain(program.child.stderr.take()));
    Under { program, out, err }
}

/// Runs a program to its end.
#[track_caller]
pub(crate) fn run<A: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = A>) -> Outcome {
    begin(name, arguments).finish()
}

/// curl as a client of `gatehouse`: `https://a.test/` reaches it, and its certificate is verified.
#[track_caller]
pub(crate) fn curl(gatehouse: &Gatehouse, arguments: &[&str]) -> Under {
    let ca = gatehouse.folder().at("ca.pem");
    let mut all: Vec<String> = ["-q", "--silent", "--show-error", "--http1.1", "--max-time", "120"]
        .map(str::to_owned)
        .to_vec();
    all.extend(["--cacert".to_owned(), ca.display().to_string()]);
    for (port, real) in [(443, gatehouse.https), (80, gatehouse.http)] {
        all.extend(["--connect-to".to_owned(), format!(":{port}:127.0.0.1:{real}")]);
    }
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    begin("curl", all)
}

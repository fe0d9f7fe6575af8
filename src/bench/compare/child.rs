//! Processes that never outlive the comparison: pinned to a core, ended when their guard is dropped, and ended by the
//! kernel when the tool itself is killed.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cpu;
use crate::bench::{Trouble, clock};

/// Ports for the peers: below the range from which the kernel takes ports for outgoing connections.
const PORTS: std::ops::Range<u16> = 18080..19080;
/// How long a process may take until it listens; a hundred thousand rules have to be read in it.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a process may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(3);

/// A running process.
pub(crate) struct Running {
    name: String,
    child: Child,
    errors: PathBuf,
}

/// A command for `program`, pinned to `core`, that is told to end when this thread ends.
pub(crate) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).args(["setpriv", "--pdeathsig", "TERM"]).arg(program);
    command.stdin(Stdio::null());
    command
}

impl Running {
    /// Starts `command` with its output in `folder`.
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Result<Self, Trouble> {
        let errors = folder.join(format!("{name}.output"));
        let what = || format!("{name} cannot be started");
        let output = File::create(&errors).map_err(Trouble::of(what()))?;
        let copy = output.try_clone().map_err(Trouble::of(what()))?;
        let child = command.stdout(output).stderr(copy).spawn().map_err(Trouble::of(what()))?;
        Ok(Self { name: name.to_owned(), child, errors })
    }

    /// Its process number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it listens on `address`.
    pub(crate) fn listens(&mut self, address: SocketAddr) -> Result<(), Trouble> {
        let end = clock::now() + START_MAX;
        loop {
            self.still_runs()?;
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if clock::now() > end {
                return Err(Trouble::new(format!(
                    "{} does not listen on {address} after {} s{}",
                    self.name,
                    START_MAX.as_secs(),
                    self.last_words()
                )));
            }
            pause(Duration::from_millis(20));
        }
    }

    /// Complains if it has ended.
    pub(crate) fn still_runs(&mut self) -> Result<(), Trouble> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Trouble::new(format!(
                "{} has ended ({status}){}",
                self.name,
                self.last_words()
            ))),
            Err(error) => Err(Trouble::of(format!("{} is lost", self.name))(error)),
        }
    }

    /// The end of what it has written, for complaints.
    fn last_words(&self) -> String {
        let text = fs::read(&self.errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        if lines.is_empty() {
            return " and has written nothing".to_owned();
        }
        let from = lines.len().saturating_sub(5);
        format!(" and has written:\n    {}", lines[from..].join("\n    "))
    }
}

impl Drop for Running {
    /// Asks the whole tree to end, then makes it.
    fn drop(&mut self) {
        let tree = cpu::tree(self.process()).unwrap_or_default();
        signal(self.process(), Signal::SIGTERM);
        let end = clock::now() + END_MAX;
        while matches!(self.child.try_wait(), Ok(None)) && clock::now() < end {
            pause(Duration::from_millis(5));
        }
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            for process in tree {
                signal(process, Signal::SIGKILL);
            }
            // Killed, so the wait is short.
            let _ = self.child.wait();
        }
    }
}

fn signal(process: u32, signal: Signal) {
    // A process that has ended already needs no signal.
    let _ = kill(Pid::from_raw(process.cast_signed()), signal);
}

/// Sleeps; the tools wait for other programs that cannot wake them.
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Sleeps until `moment`.
pub(crate) fn pause_until(moment: Instant) {
    pause(moment.saturating_duration_since(clock::now()));
}

/// A free port of 127.0.0.1 that was not given out before by `next`.
pub(crate) fn free_port(next: &mut u16) -> Result<SocketAddr, Trouble> {
    for port in PORTS.start.max(*next)..PORTS.end {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            *next = port + 1;
            return Ok(address);
        }
    }
    Err(Trouble::new(format!("no port of 127.0.0.1 from {} up is free", PORTS.start)))
}

/// Where the programs are, or what to install.
pub(crate) fn find_programs(names: &[&str]) -> Result<Vec<PathBuf>, Trouble> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders: Vec<&str> = path.split(':').chain(["/usr/sbin", "/sbin"]).collect();
    let find = |name: &str| {
        folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
    };
    let missing: Vec<&str> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    if missing.is_empty() {
        return Ok(names.iter().filter_map(|name| find(name)).collect());
    }
    let mut packages: Vec<&str> = missing
        .iter()
        .map(|name| if matches!(*name, "taskset" | "setpriv") { "util-linux" } else { name })
        .collect();
    packages.dedup();
    Err(Trouble::new(format!(
        "{} not found; install with: apt-get install {} (or leave a peer out with --peers)",
        missing.join(", "),
        packages.join(" ")
    )))
}

/// A folder that is removed with its contents unless it is to be kept.
pub(crate) struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    /// The folder to keep, or a new one among the temporary files.
    pub(crate) fn new(keep: Option<&Path>) -> Result<Self, Trouble> {
        let path = match keep {
            Some(path) => std::path::absolute(path)
                .map_err(Trouble::of(format!("{} is no folder", path.display())))?,
            None => std::env::temp_dir().join(format!("gatehouse-bench-{}", std::process::id())),
        };
        make_folder(&path)?;
        Ok(Self { path, kept: keep.is_some() })
    }

    /// Its place.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("{} cannot be removed: {error}", self.path.display());
        }
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(path)
        .map_err(Trouble::of(format!("the folder {} cannot be made", path.display())))
}

/// Writes a file.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Trouble> {
    fs::write(path, text).map_err(Trouble::of(format!("{} cannot be written", path.display())))
}

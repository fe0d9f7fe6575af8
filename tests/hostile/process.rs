//! Processes that a test starts and ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A running process whose standard error is kept.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// Starts `command` and waits until a line of its standard error contains `ready`.
    pub(crate) fn start(name: &'static str, command: &mut Command, ready: &'static str) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "cannot start {name}: {error}; `apt-get install nginx apache2` brings the servers"
            )
        });
        let stderr = child.stderr.take().expect("standard error is piped");
        let said = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&said);
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                if let Ok(mut kept) = kept.lock() {
                    kept.push_str(&line);
                    kept.push('\n');
                }
                if line.contains(ready) {
                    // Only the first is waited for.
                    let _ = tell.send(());
                }
            }
        });
        let process = Self { name, child, said };
        let ready = told.recv_timeout(START);
        assert!(ready.is_ok(), "{name} does not start:\n{}", process.said());
        process
    }

    /// What it wrote to its standard error so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().map(|said| said.clone()).unwrap_or_default()
    }

    /// Fails if it has ended or has spoken of a panic.
    #[track_caller]
    pub(crate) fn assert_well(&mut self) {
        let ended = self.child.try_wait().ok().flatten();
        let said = self.said();
        assert!(ended.is_none(), "{} has ended: {ended:?}\n{said}", self.name);
        assert!(!said.contains("panic"), "{}:\n{said}", self.name);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The servers end their own children on this signal, which they could not on a harder one.
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap_or_default());
        if pid.as_raw() > 0 && self.child.try_wait().ok().flatten().is_none() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        // A second one tells Gatehouse not to wait for clients that a failed test has left behind.
        if self.name == "gatehouse" {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

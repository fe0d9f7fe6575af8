//! A server that is a process, to be killed and stopped.

use std::net::TcpStream;

use nix::sys::signal::Signal;

use super::folder::free_port;
use super::program::Program;
use super::time::until;

/// `gatehouse-bench origin`: answers everything with 200 and 128 bytes.
pub(crate) struct Child {
    program: Program,
    pub(crate) port: u16,
}

impl Child {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::at(free_port())
    }

    /// On a port that nobody has.
    #[track_caller]
    pub(crate) fn at(port: u16) -> Self {
        let listen = format!("127.0.0.1:{port}");
        let arguments = ["origin", "--listen", &listen];
        let program = Program::start(env!("CARGO_BIN_EXE_gatehouse-bench"), arguments, |command| {
            command.stdout(std::process::Stdio::null());
        });
        until("the child's readiness", || TcpStream::connect(&listen).ok());
        Self { program, port }
    }

    /// Ends it as `kill -9` does, and waits for that.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        self.program.signal(Signal::SIGKILL);
        self.program.wait();
    }

    /// It holds still: the kernel still takes connections for it, and nobody answers.
    pub(crate) fn hold(&self) {
        self.program.signal(Signal::SIGSTOP);
    }

    /// It goes on.
    pub(crate) fn go_on(&self) {
        self.program.signal(Signal::SIGCONT);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.program.has_ended() {
            // One that holds still does not hear that it should end.
            self.go_on();
        }
    }
}

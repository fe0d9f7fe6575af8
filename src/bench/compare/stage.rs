//! Sets the stage for a case: an origin on the load core, and each peer on the proxy core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Settings;
use super::case::{Case, Peer};
use super::child::{self, Running};
use super::files::{self, Plan};
use crate::bench::Trouble;
use crate::bench::certificate::{Files, Fresh};

/// What all cases share.
pub(crate) struct Stage<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) folder: &'a Path,
    pub(crate) certificates: Files,
    /// This program, which is origin and relay too.
    own: PathBuf,
    next_port: u16,
}

/// A peer that has been started.
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    /// Its own folder.
    pub(crate) folder: PathBuf,
}

impl<'a> Stage<'a> {
    /// An empty stage with fresh certificates in `folder`.
    pub(crate) fn new(
        settings: &'a Settings,
        fresh: &Fresh,
        folder: &'a Path,
    ) -> Result<Self, Trouble> {
        let own = std::env::current_exe().map_err(Trouble::of("this program cannot be found"))?;
        let certificates = fresh.write(folder)?;
        Ok(Self { settings, folder, certificates, own, next_port: 0 })
    }

    /// Starts the origin for `case`.
    pub(crate) fn origin(&mut self, case: Case) -> Result<(Running, SocketAddr), Trouble> {
        let address = child::free_port(&mut self.next_port)?;
        let mut command = child::pinned(self.settings.load_core, &self.own);
        command.args(["origin", "--listen", &address.to_string()]);
        if case.has_upstream_tls() {
            command.args(["--tls", "--certificate"]).arg(&self.certificates.chain);
            command.arg("--key").arg(&self.certificates.key);
        }
        let mut running = Running::start("origin", command, self.folder)?;
        running.listens(address)?;
        Ok((running, address))
    }

    /// Starts a peer. With `rules`, as (rules, sites), Gatehouse gets that many.
    pub(crate) fn actor(
        &mut self,
        case: Case,
        peer: Peer,
        origin: SocketAddr,
        rules: Option<(usize, usize)>,
    ) -> Result<Actor, Trouble> {
        let name = match rules {
            Some((rules, _)) => format!("{peer}-{rules}"),
            None => peer.to_string(),
        };
        let listen = child::free_port(&mut self.next_port)?;
        let folder = self.folder.join(case.word()).join(&name);
        child::make_folder(&folder)?;
        let plan = Plan {
            case,
            listen,
            origin,
            connections: self.settings.connections,
            certificates: &self.certificates,
            folder: &folder,
        };
        let command = self.command(peer, &plan, rules)?;
        let mut running = Running::start(&name, command, &folder)?;
        running.listens(listen)?;
        Ok(Actor { name, running, address: listen, folder })
    }

    /// Writes the peer's file and makes the command that reads it.
    fn command(
        &self,
        peer: Peer,
        plan: &Plan<'_>,
        rules: Option<(usize, usize)>,
    ) -> Result<Command, Trouble> {
        let write = |name: &str, text: &str| {
            let path = plan.folder.join(name);
            child::write_file(&path, text).map(|()| path)
        };
        let core = self.settings.proxy_core;
        let mut command = match peer {
            Peer::Gatehouse => child::pinned(core, &self.settings.gatehouse),
            Peer::Nginx | Peer::Haproxy => {
                let program = child::find_programs(&[peer.word()])?;
                child::pinned(core, &program[0])
            }
            Peer::Relay => child::pinned(core, &self.own),
        };
        match peer {
            Peer::Gatehouse => {
                let text = match rules {
                    Some((rules, sites)) => files::gatehouse_rules(plan, rules, sites),
                    None => files::gatehouse(plan),
                };
                command.args(["run", "--config"]).arg(write("gatehouse.toml", &text)?);
            }
            Peer::Nginx => {
                let path = write("nginx.conf", &files::nginx(plan))?;
                command.arg("-p").arg(plan.folder).arg("-c").arg(path);
                command.arg("-e").arg(plan.folder.join("error.log"));
            }
            Peer::Haproxy => {
                let path = write("haproxy.cfg", &files::haproxy(plan))?;
                command.args(["-db", "-f"]).arg(path);
            }
            Peer::Relay => {
                command.args(["relay", "--listen", &plan.listen.to_string()]);
                command.args(["--to", &plan.origin.to_string()]);
            }
        }
        Ok(command)
    }
}

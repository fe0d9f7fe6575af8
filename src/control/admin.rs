//! The admin socket: one line asks, a line of JSON answers. For the administrator's own commands on
//! this machine; nobody else may connect.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::sys::socket::{Shutdown, getsockopt, shutdown, sockopt};
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use super::overview::Overview;
use super::service::Event;

/// The longest question.
const QUESTION_BYTES_MAX: u64 = 1024;

/// How many may be asking at a time; a reload of one keeps no other waiting.
const ASKING_MAX: usize = 16;

/// How long somebody who has connected may take to ask.
const QUESTION_TIME: Duration = Duration::from_secs(5);

/// How long an answer may take: a reload waits for name servers.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// What came of a question.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// It was done.
    pub done: bool,
    /// What was done, or what stands in the way.
    pub text: String,
    /// What the instance says of itself, if it was asked that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<serde_json::Value>,
}

impl Answer {
    pub(super) fn done(text: String) -> Self {
        Self { done: true, text, status: None }
    }

    /// Why it was not done.
    #[must_use]
    pub fn refused(text: String) -> Self {
        Self { done: false, text, status: None }
    }
}

/// The socket; removed when this is dropped.
#[derive(Debug)]
pub(super) struct Admin {
    path: PathBuf,
    listener: UnixListener,
}

impl Admin {
    /// Listens at `path` and passes on what is asked.
    ///
    /// # Errors
    /// Another instance has it, or the folder does not take it.
    pub(super) fn listen(
        path: &Path,
        events: mpsc::Sender<Event>,
        overview: Arc<Overview>,
    ) -> io::Result<Self> {
        let listener = bind(path)?;
        let ours = listener.try_clone()?;
        let thread = std::thread::Builder::new().name("admin".to_owned());
        thread.spawn(move || serve_all(&listener, &events, &overview))?;
        Ok(Self { path: path.to_path_buf(), listener: ours })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // Who connects from now on is told that nobody is there.
        let _ = fs::remove_file(&self.path);
        // And the thread, which waits for them, ends.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }
}

/// Until the socket is shut.
fn serve_all(listener: &UnixListener, events: &mpsc::Sender<Event>, overview: &Arc<Overview>) {
    let asking = Arc::new(());
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                // Whoever is one too many sees its connection end.
                if Arc::strong_count(&asking) > ASKING_MAX {
                    continue;
                }
                let (events, overview) = (events.clone(), Arc::clone(overview));
                let held = Arc::clone(&asking);
                let thread = std::thread::Builder::new().name("admin-ask".to_owned());
                // Without a thread for it, somebody asks again.
                let _ = thread.spawn(move || {
                    // Whoever hangs up early does not want the answer.
                    let _ = serve(stream, &events, &overview);
                    drop(held);
                });
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            // Without descriptors this would be a race to the next refusal.
            Err(_) => std::thread::park_timeout(Duration::from_secs(1)),
        }
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // Left over by an instance that was killed, or another one's.
            if UnixStream::connect(path).is_ok() {
                return Err(error);
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn serve(stream: UnixStream, events: &mpsc::Sender<Event>, overview: &Overview) -> io::Result<()> {
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?.uid();
    if peer != 0 && peer != geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.set_read_timeout(Some(QUESTION_TIME))?;
    stream.set_write_timeout(Some(QUESTION_TIME))?;
    let mut question = String::new();
    BufReader::new(&stream).take(QUESTION_BYTES_MAX).read_line(&mut question)?;
    let answer = match question.trim() {
        "reload" => ask(events, Event::Reload),
        "status" => {
            let status = serde_json::to_value(overview.status())?;
            Answer { status: Some(status), ..Answer::done(String::new()) }
        }
        other => match drain_asked(other) {
            Some((pool, server, out)) => {
                let (pool, server) = (pool.to_owned(), server.to_owned());
                ask(events, |asker| Event::Drain { pool, server, out, asker })
            }
            None => Answer::refused(format!("{other:?} is not understood by this version")),
        },
    };
    writeln!(&stream, "{}", serde_json::to_string(&answer)?)
}

/// The question that takes a server of a pool out, or in again. Names may hold spaces.
#[must_use]
pub fn drain_question(pool: &str, server: &str, out: bool) -> String {
    let verb = if out { "drain" } else { "undrain" };
    format!("{verb}\t{pool}\t{server}")
}

fn drain_asked(question: &str) -> Option<(&str, &str, bool)> {
    let mut parts = question.split('\t');
    let out = match parts.next()? {
        "drain" => true,
        "undrain" => false,
        _ => return None,
    };
    let (pool, server) = (parts.next()?, parts.next()?);
    parts.next().is_none().then_some((pool, server, out))
}

fn ask(events: &mpsc::Sender<Event>, event: impl FnOnce(mpsc::Sender<Answer>) -> Event) -> Answer {
    let (answer, answered) = mpsc::channel();
    let asked = events.send(event(answer)).is_ok();
    match answered.recv_timeout(ANSWER_TIME) {
        Ok(answer) if asked => answer,
        _ => Answer::refused("the process is stopping, or too busy".to_owned()),
    }
}

/// Asks the instance whose admin socket is at `path`.
///
/// # Errors
/// Nobody is there, or who is there does not answer.
pub fn ask_instance(path: &Path, question: &str) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_TIME + QUESTION_TIME))?;
    writeln!(stream, "{question}")?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    serde_json::from_str(&answer).map_err(|_| io::ErrorKind::InvalidData.into())
}

//! Folders and ports that belong to one test.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::authority::{self, Kind};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A folder that goes when the test ends well.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// With the authority's certificate as `ca.pem`, and a certificate for `a.test` as `a.pem` and
    /// `a.key`.
    pub(crate) fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("gatehouse-it-{}-{number}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        // Servers that give up their rights come in here too.
        fs::set_permissions(&folder.0, fs::Permissions::from_mode(0o755)).unwrap();
        folder.write("ca.pem", authority::ca_pem());
        folder.certificate("a", &["a.test"], Kind::Ecdsa);
        folder
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that only its owner reads.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.at(name)).unwrap().write_all(text.as_ref()).unwrap();
    }

    /// Writes `NAME.pem` and `NAME.key` for these names.
    pub(crate) fn certificate(&self, name: &str, names: &[&str], kind: Kind) {
        let leaf = authority::leaf(names, kind);
        self.write(&format!("{name}.pem"), &leaf.chain);
        self.write(&format!("{name}.key"), &leaf.key);
    }

    /// The same with a certificate that ends in so many days and some hours.
    pub(crate) fn certificate_for_days(&self, name: &str, names: &[&str], days: i64) {
        let leaf = authority::leaf_for_days(names, days);
        self.write(&format!("{name}.pem"), &leaf.chain);
        self.write(&format!("{name}.key"), &leaf.key);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the failed test left is in {}", self.0.display());
        } else {
            // A server that is just ending may still write; what stays is in the temporary folder.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Claims on ports, held until the test program ends. Two proxies could listen on one port side by
/// side, and each would get some of the other's clients.
static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port that nobody uses and no other test program gets.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Below the ports that the kernel gives to connections by itself.
    let (first, count) = (12_000, 18_000);
    for _ in 0..count {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = first + (std::process::id() * 61 + step) % count;
        let port = u16::try_from(port).unwrap();
        let name = SocketAddr::from_abstract_name(format!("gatehouse-test-port-{port}")).unwrap();
        let Ok(claim) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            CLAIMS.lock().unwrap().push(claim);
            return port;
        }
    }
    panic!("no port is free");
}

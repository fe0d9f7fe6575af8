//! System calls that the libraries we use do not wrap as we need them.
#![expect(
    unsafe_code,
    reason = "borrowing a descriptor by its number, and counts that no library asks for"
)]

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{MsgFlags, recv, send};
use nix::unistd::Pid;

/// Takes bytes that are there.
#[inline]
pub(super) fn take(fd: RawFd, into: &mut [u8]) -> io::Result<usize> {
    Ok(recv(fd, into, MsgFlags::MSG_DONTWAIT)?)
}

/// Gives what the kernel takes now; a closed peer is an error, not a signal.
#[inline]
pub(super) fn give(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(send(fd, bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
}

/// Whether something (bytes, the end, an error) could be taken.
pub(super) fn has_news(fd: RawFd) -> bool {
    let mut one = [0; 1];
    let peeked = recv(fd, &mut one, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK);
    peeked != Err(nix::errno::Errno::EAGAIN)
}

/// Whether the end or an error is what comes next.
pub(super) fn has_ended(fd: RawFd) -> bool {
    let mut one = [0; 1];
    match recv(fd, &mut one, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK) {
        Ok(count) => count == 0,
        Err(error) => error != nix::errno::Errno::EAGAIN,
    }
}

/// Asks for the bytes in a socket's queue that were not even sent (linux/sockios.h).
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

/// Bytes in the socket's queue that the peer has not acknowledged; 0 if the kernel does not tell.
pub(super) fn unacknowledged(fd: RawFd) -> u64 {
    queued(fd, libc::TIOCOUTQ)
}

/// Bytes in the socket's queue that the peer's window, or the network, did not let go yet; 0 if the
/// kernel does not tell.
pub(super) fn unsent(fd: RawFd) -> u64 {
    queued(fd, SIOCOUTQNSD)
}

fn queued(fd: RawFd, which: libc::Ioctl) -> u64 {
    let mut count: libc::c_int = 0;
    // SAFETY: both questions write one int, and `count` is one that outlives the call; a descriptor
    // that is no socket makes them fail.
    let told = unsafe { libc::ioctl(fd, which, &raw mut count) };
    if told == 0 { u64::try_from(count).unwrap_or(0) } else { 0 }
}

/// Positions in what `SO_MEMINFO` tells (linux/sock_diag.h).
const MEMINFO_SNDBUF: usize = 3;
const MEMINFO_WMEM_QUEUED: usize = 5;
const MEMINFO_COUNT: usize = 9;

/// What is left of the socket's send buffer, in the kernel's count, which is above that of the bytes
/// in it; all there is in the world if the kernel does not tell.
pub(super) fn room(fd: RawFd) -> usize {
    let mut told = [0_u32; MEMINFO_COUNT];
    let mut length = libc::socklen_t::try_from(size_of_val(&told)).unwrap_or(0);
    let into = told.as_mut_ptr().cast();
    // SAFETY: the kernel writes `length` bytes at most, which is the size of `told`.
    let answer =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_MEMINFO, into, &raw mut length) };
    if answer != 0 {
        return usize::MAX;
    }
    told[MEMINFO_SNDBUF].saturating_sub(told[MEMINFO_WMEM_QUEUED]) as usize
}

/// The descriptor of a socket whose owner is alive as long as `owner` is borrowed.
pub(super) fn borrow<T>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: callers pass the object that owns `fd`; it cannot be dropped, and so the descriptor
    // cannot be closed, while the returned value borrows it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Raises the soft limit of open files to the hard one; gives the limit then in force.
///
/// # Errors
/// What the kernel says; the old limit stays.
pub fn raise_open_file_limit() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// The soft limit of open files now.
#[must_use]
pub fn open_file_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// The cores that this process may use, lowest first.
#[must_use]
pub fn usable_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return vec![0] };
    let cores = (0..CpuSet::count()).filter(|&core| set.is_set(core).unwrap_or(false));
    let cores: Vec<usize> = cores.collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// Binds the calling thread to `core`.
///
/// # Errors
/// What the kernel says, for instance that the core is not among the usable ones.
pub fn pin_to_core(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

//! How much memory this process holds for its connections, over all threads.
//!
//! What is counted is what blocks cost the allocator: to lend one again costs no shared memory.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of all blocks, lent or spare, and of everything that was [reserved](Reserved).
static HELD: AtomicU64 = AtomicU64::new(0);

/// Bytes of blocks and reservations, over all threads; exact at the moment of asking.
#[inline]
#[must_use]
pub fn held_bytes() -> u64 {
    HELD.load(Ordering::Relaxed)
}

pub(super) fn take(bytes: usize) {
    HELD.fetch_add(bytes as u64, Ordering::Relaxed);
}

pub(super) fn give(bytes: usize) {
    HELD.fetch_sub(bytes as u64, Ordering::Relaxed);
}

/// Memory that is held by something else than a block and counts like one, until it is dropped.
#[derive(Debug)]
pub struct Reserved(u32);

impl Reserved {
    /// Counts `bytes`.
    #[must_use]
    pub fn new(bytes: u32) -> Self {
        take(bytes as usize);
        Self(bytes)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        give(self.0 as usize);
    }
}

/// What a machine is taken to have that does not tell.
const MACHINE_LEAST: u64 = 1 << 30;

/// Bytes of memory that this machine has.
#[must_use]
pub fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    total_of(&text).unwrap_or(MACHINE_LEAST)
}

fn total_of(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine() {
        let text = "MemTotal:       16316412 kB\nMemFree:          260704 kB\n";
        assert_eq!(total_of(text), Some(16_316_412 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert!(machine_memory() > MACHINE_LEAST / 8);
    }
}

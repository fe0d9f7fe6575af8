//! What the whole machine is busy with, to tell a quiet measurement from a disturbed one.

use std::fs;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use super::cpu::{self, TICK_NS};
use crate::bench::Trouble;

/// Busy time so far: of all cores, and of the programs that belong to the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    all_ns: u64,
    ours_ns: u64,
}

impl Busy {
    /// Now. `processes` are those of ours that run; those that have ended are known to the kernel.
    pub(crate) fn now(processes: &[u32]) -> Result<Self, Trouble> {
        let text = fs::read_to_string("/proc/stat").map_err(Trouble::of("/proc cannot be read"))?;
        let all_ns =
            parse_stat(&text).ok_or_else(|| Trouble::new("/proc/stat is not understood"))?;
        let ended = getrusage(UsageWho::RUSAGE_CHILDREN)
            .map_err(Trouble::of("the use of ended programs cannot be read"))?;
        let mut ours_ns = nanoseconds(ended.user_time()) + nanoseconds(ended.system_time());
        for process in processes {
            ours_ns += cpu::used(*process)?.total_ns;
        }
        Ok(Self { all_ns, ours_ns })
    }

    /// What programs beside ours have used since `before`, in percent of one core.
    pub(crate) fn others_percent(self, before: Self, seconds: f64) -> f64 {
        let all = self.all_ns.saturating_sub(before.all_ns);
        let ours = self.ours_ns.saturating_sub(before.ours_ns);
        all.saturating_sub(ours) as f64 / 1e7 / seconds
    }
}

/// All busy time in the first line of `/proc/stat`, with what a hypervisor has taken away.
fn parse_stat(text: &str) -> Option<u64> {
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; what follows is part of user already
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = fields[..] else {
        return None;
    };
    Some((user + nice + system + irq + softirq + steal) * TICK_NS)
}

fn nanoseconds(time: TimeVal) -> u64 {
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_usec().cast_unsigned() * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts() {
        let text = "cpu  1 2 3 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(parse_stat(text), Some(27 * TICK_NS));
        assert_eq!(parse_stat("cpu0 1 2 3 4 5 6 7 8 9 10\n"), None);
    }

    #[test]
    fn others_are_what_is_not_ours() {
        let before = Busy { all_ns: 0, ours_ns: 0 };
        let after = Busy { all_ns: 1_500_000_000, ours_ns: 500_000_000 };
        assert_eq!(after.others_percent(before, 2.0), 50.0);
    }
}

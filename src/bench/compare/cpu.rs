//! What a process and its children have used: CPU time and resident memory, from `/proc`.

use std::fs;

use serde::Serialize;

use crate::bench::Trouble;

/// Nanoseconds per clock tick of `/proc/PID/stat`; Linux shows 100 ticks per second on every platform that we run on.
pub(crate) const TICK_NS: u64 = 10_000_000;

/// CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// All of it; to the nanosecond where the kernel keeps scheduler statistics.
    pub total_ns: u64,
    /// The part outside the kernel, in steps of 10 ms.
    pub user_ns: u64,
    /// The part inside the kernel, in steps of 10 ms.
    pub system_ns: u64,
}

impl Cpu {
    /// What was used since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            total_ns: self.total_ns.saturating_sub(before.total_ns),
            user_ns: self.user_ns.saturating_sub(before.user_ns),
            system_ns: self.system_ns.saturating_sub(before.system_ns),
        }
    }
}

/// One process, as `/proc/PID/stat` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

/// CPU time of `process` and of all its descendants that are alive.
pub(crate) fn used(process: u32) -> Result<Cpu, Trouble> {
    let mut sum = Cpu::default();
    for process in tree(process)? {
        let Some(stat) = stat(process) else { continue };
        let (user_ns, system_ns) = (stat.user_ticks * TICK_NS, stat.system_ticks * TICK_NS);
        sum.user_ns += user_ns;
        sum.system_ns += system_ns;
        sum.total_ns += threads_ns(process).unwrap_or(user_ns + system_ns);
    }
    Ok(sum)
}

/// Resident bytes of `process` and its descendants. Pages that processes share count in part for each (`Pss`) where the
/// kernel tells, else in full.
pub(crate) fn resident(process: u32) -> Result<u64, Trouble> {
    let mut sum = 0;
    for process in tree(process)? {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{process}/{file}")).ok()?;
            kilobytes(&text, name)
        };
        let bytes = field("smaps_rollup", "Pss:").or_else(|| field("status", "VmRSS:"));
        sum += bytes.ok_or_else(|| {
            Trouble::new(format!(
                "the memory of process {process} cannot be read from /proc; run as the same user"
            ))
        })?;
    }
    Ok(sum)
}

/// The process and its descendants.
pub(crate) fn tree(process: u32) -> Result<Vec<u32>, Trouble> {
    let entries = fs::read_dir("/proc").map_err(Trouble::of("/proc cannot be read"))?;
    let all: Vec<(u32, u32)> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|process| Some((process, stat(process)?.parent)))
        .collect();
    let mut found = vec![process];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(all.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
        next += 1;
    }
    Ok(found)
}

fn stat(process: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// The command in parentheses may itself hold spaces and parentheses, so the fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let user_ticks = fields.nth(9)?.parse().ok()?;
    let system_ticks = fields.next()?.parse().ok()?;
    Some(Stat { parent, user_ticks, system_ticks })
}

/// The sum over the threads, if the kernel keeps it.
fn threads_ns(process: u32) -> Option<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        sum += parse_schedstat(&text)?;
    }
    (sum > 0).then_some(sum)
}

fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// The value of a field given in kB, in bytes.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines() {
        let line = "4242 (a) b (c) S 17 4242 4242 0 -1 4194560 1 2 3 4 123 45 6 7 20 0 1 0 9 9 9";
        let expected = Stat { parent: 17, user_ticks: 123, system_ticks: 45 };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("4242 (x) S"), None);
        assert_eq!(parse_schedstat("7864423 10280990 5\n"), Some(7_864_423));
    }

    #[test]
    fn memory_fields() {
        assert_eq!(kilobytes("Name:\tx\nVmRSS:\t   1234 kB\n", "VmRSS:"), Some(1_263_616));
        assert_eq!(kilobytes("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let process = std::process::id();
        assert!(resident(process).unwrap() > 4096);
        assert!(used(process).is_ok());
        assert!(tree(process).unwrap().contains(&process));
    }
}

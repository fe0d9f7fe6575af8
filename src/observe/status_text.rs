//! A status for people: lines of 80 columns, the worst at the end, where a terminal stands.

use std::fmt::Write;

use super::status::{FailureStatus, LimitStatus, SiteStatus, Status, bytes, span};
use super::status_pools::PoolStatus;

/// Columns that a line may take up.
const COLUMNS: usize = 80;

/// Sites that are listed, those with most exchanges; `--json` has all.
const SITES_MAX: usize = 20;

/// Failures that are listed.
const FAILURES_MAX: usize = 8;

/// The status, for a terminal.
#[must_use]
pub fn status_text(status: &Status) -> String {
    let mut out = String::new();
    // What is written into a text cannot fail.
    let _ = write_all(status, &mut out);
    out
}

fn write_all(status: &Status, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "Gatehouse {}, up {}, generation {} in force for {}, {} workers",
        status.version,
        span(status.uptime_seconds),
        status.generation,
        span(status.now.saturating_sub(status.in_force_since)),
        status.workers
    )?;
    writeln!(out, "File {}", status.file)?;
    for listener in &status.listeners {
        writeln!(out, "Listener {} on {}", listener.name, listener.address)?;
    }
    write_sites(&status.sites, out)?;
    write_pools(status, out)?;
    if !status.certificates.is_empty() {
        writeln!(out)?;
    }
    for certificate in &status.certificates {
        let left = match certificate.days_left {
            ..0 => "has ended".to_owned(),
            days => format!("{days} days left"),
        };
        writeln!(out, "Certificate {}: {left}", certificate.name)?;
    }
    let limits: Vec<String> = status.limits.iter().map(limit).collect();
    writeln!(out, "\nIn use: {}", limits.join(", "))?;
    writeln!(
        out,
        "Clients since the start: {} accepted, {} refused; lines of the log lost: {}",
        status.clients_accepted, status.clients_refused, status.log_lines_lost
    )?;
    write_failures(status, out)?;
    write_troubles(status, out)
}

fn limit(limit: &LimitStatus) -> String {
    let word = limit.name.trim_end_matches("_max");
    match word {
        "memory" => format!("{word} {} of {}", bytes(limit.used), bytes(limit.most)),
        _ => format!("{word} {} of {}", limit.used, limit.most),
    }
}

/// The front of a text that is too long for its column.
fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let front: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{front}…")
}

fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        Some(seconds) if seconds < 10.0 => format!("{seconds:.1} s"),
        Some(seconds) => format!("{seconds:.0} s"),
    }
}

fn write_sites(sites: &[SiteStatus], out: &mut String) -> std::fmt::Result {
    let mut busiest: Vec<&SiteStatus> = sites.iter().collect();
    if busiest.len() > SITES_MAX {
        busiest.sort_by_key(|site| std::cmp::Reverse(site.exchanges));
        busiest.truncate(SITES_MAX);
    }
    writeln!(
        out,
        "\n{:<34}{:>13}{:>10}{:>11}{:>11}",
        "Site", "exchanges", "failed", "half in", "99 % in"
    )?;
    for site in &busiest {
        writeln!(
            out,
            "{:<34}{:>13}{:>10}{:>11}{:>11}",
            cut(&site.name, 33),
            site.exchanges,
            site.failures,
            time(site.median_seconds),
            time(site.p99_seconds)
        )?;
    }
    if sites.len() > busiest.len() {
        writeln!(
            out,
            "… and {} with fewer exchanges: --json lists all",
            sites.len() - busiest.len()
        )?;
    }
    Ok(())
}

fn write_pools(status: &Status, out: &mut String) -> std::fmt::Result {
    for pool in &status.pools {
        writeln!(
            out,
            "\n{:<34}{:>6}{:>11}{:>8}{:>11}{:>9}",
            pool_title(pool),
            "now",
            "exchanges",
            "failed",
            "unreached",
            "half in"
        )?;
        for server in &pool.servers {
            let backup = if server.backup { " (backup)" } else { "" };
            let named = server.name != server.address && !server.name.is_empty();
            let name = if named { format!(" {}", server.name) } else { String::new() };
            writeln!(
                out,
                "{:<34}{:>6}{:>11}{:>8}{:>11}{:>9}",
                cut(&format!("  {}{backup}{name}", server.address), 33),
                server.in_flight,
                server.exchanges,
                server.failures,
                server.unreached,
                time(server.median_seconds)
            )?;
            if let Some(news) = server.news(status.now) {
                wrap(&news, ("    ! ", "      "), out)?;
            }
        }
    }
    Ok(())
}

/// How many are up stands there however long the name is.
fn pool_title(pool: &PoolStatus) -> String {
    let count = match pool.servers.len() {
        0 => " (no address)".to_owned(),
        count => format!(" ({} of {count} up)", pool.up()),
    };
    format!("Pool {}{count}", cut(&pool.name, 28_usize.saturating_sub(count.len())))
}

fn write_failures(status: &Status, out: &mut String) -> std::fmt::Result {
    if status.failures.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{:<26}{:>7}{:>10}  {:<10}Where", "Last failures", "times", "ago", "fault of")?;
    for failure in status.failures.iter().take(FAILURES_MAX) {
        let ago = span(status.now.saturating_sub(failure.last));
        let (word, party) = (cut(&failure.failure, 25), &failure.fault_of);
        writeln!(
            out,
            "{word:<26}{:>7}{ago:>10}  {party:<10}{}",
            failure.count,
            cut(&place(failure), 25)
        )?;
    }
    writeln!(out, "`gatehouse explain WORD` says what they mean and what to do.")
}

fn place(failure: &FailureStatus) -> String {
    match (failure.server.as_str(), failure.site.as_str()) {
        ("", "") => "-".to_owned(),
        ("", site) => site.to_owned(),
        (server, _) => server.to_owned(),
    }
}

fn write_troubles(status: &Status, out: &mut String) -> std::fmt::Result {
    if !status.notes.is_empty() {
        writeln!(out, "\nNeeds nobody:")?;
    }
    for note in &status.notes {
        wrap(&note.what, ("- ", "  "), out)?;
        wrap(&note.next, ("  -> ", "     "), out)?;
    }
    match status.troubles.len() {
        0 => return writeln!(out, "\nAll is well."),
        1 => writeln!(out, "\n1 thing needs somebody:")?,
        count => writeln!(out, "\n{count} things need somebody:")?,
    }
    for trouble in &status.troubles {
        wrap(&trouble.what, ("! ", "  "), out)?;
        wrap(&trouble.next, ("  -> ", "     "), out)?;
    }
    Ok(())
}

/// Breaks at spaces; a command, which is to be copied, stays whole, however long it is.
fn wrap(text: &str, (first, other): (&str, &str), out: &mut String) -> std::fmt::Result {
    let mut line = first.to_owned();
    let mut empty = true;
    for word in pieces(text) {
        if !empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{line}")?;
            other.clone_into(&mut line);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    writeln!(out, "{line}")
}

/// Words, and commands between backticks as one.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut is_open = false;
    for word in text.split_whitespace() {
        match pieces.last_mut().filter(|_| is_open) {
            Some(command) => *command += &format!(" {word}"),
            None => pieces.push(word.to_owned()),
        }
        is_open ^= word.matches('`').count() % 2 == 1;
    }
    pieces
}

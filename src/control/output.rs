//! A place that access records go to, and what is said when it does not take them.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use crate::config::{Access, AccessFormat, AccessTarget};
use crate::net::Moment;
use crate::observe::{Format, Notices, Record};

use super::datagram::{Messages, Service};
use super::logfile::{LogFile, Rotate};

/// Bytes of lines that are written with one call.
const WRITE_BYTES: usize = 64 * 1024;

/// Bytes of lines that are held back for a place that takes none now; more are lost and counted.
const HELD_BYTES_MAX: usize = 1024 * 1024;

/// An outage is over when nothing has failed for so long, so that one that comes and goes is not
/// said each time. Longer than a failed move of the file is put off.
const QUIET: Duration = Duration::from_secs(120);

/// A place that records go to.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    outage: Outage,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Lines(Lines),
    Messages(Messages),
}

impl Output {
    /// Opens the place that `access` names.
    ///
    /// # Errors
    /// A sentence for the administrator: what cannot be opened, and why.
    pub(super) fn open(access: &Access, rotate: Rotate, now: Moment) -> Result<Self, String> {
        let (name, target) = match &access.to {
            AccessTarget::Stdout => stdout()?,
            AccessTarget::File(path) => file(path, rotate, now)?,
            AccessTarget::Journald(path) => service(Service::Journald, path)?,
            AccessTarget::Syslog(path) => service(Service::Syslog, path)?,
        };
        let format = match access.format {
            AccessFormat::Json => Format::Json,
            AccessFormat::Combined => Format::Combined,
        };
        Ok(Self { format, outage: Outage::of(name), target })
    }

    /// Takes a record; lines are written when there are many of them, or by [`Self::flush`].
    pub(super) fn note(&mut self, record: &Record, now: Moment, notices: &Notices) {
        match &mut self.target {
            Target::Lines(lines) => {
                if lines.held.len() >= HELD_BYTES_MAX {
                    self.outage.lose(1);
                    return;
                }
                record.write(self.format, &mut lines.held);
                if lines.held.len() >= lines.flush_at {
                    lines.flush(&mut self.outage, now, notices);
                }
            }
            Target::Messages(messages) => {
                if let Err(error) = messages.send(record, self.format) {
                    self.outage.lose(1);
                    self.outage.note(&why_no_service(&error), now, notices);
                }
            }
        }
    }

    /// Writes what was taken, as far as that goes now.
    pub(super) fn flush(&mut self, now: Moment, notices: &Notices) {
        if let Target::Lines(lines) = &mut self.target {
            lines.flush(&mut self.outage, now, notices);
        }
        self.outage.end_when_quiet(now, notices);
    }

    /// Says what is lost for good, as far as that has not been said.
    pub(super) fn close(&mut self, notices: &Notices) {
        if let Target::Lines(lines) = &mut self.target {
            let left = memchr::memchr_iter(b'\n', &std::mem::take(&mut lines.held)).count();
            self.outage.lose(left as u64);
        }
        if self.outage.lost > 0 {
            let lost = std::mem::take(&mut self.outage.lost);
            notices.say(&self.outage.subject, &format!("{lost} lines were lost"));
        }
    }

    /// Lines that were lost since this was last asked.
    pub(super) fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.outage.untold)
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_empty(&self) -> bool {
        match &self.target {
            Target::Lines(lines) => lines.held.is_empty(),
            Target::Messages(_) => true,
        }
    }
}

fn stdout() -> Result<(String, Target), String> {
    // Not by the library's buffer, which hides how much was taken.
    let own = io::stdout().as_fd().try_clone_to_owned();
    let own = own.map_err(|error| format!("standard output cannot be used: {error}"))?;
    Ok(("standard output".to_owned(), Target::Lines(Lines::new(Sink::Stream(own.into())))))
}

fn file(path: &Path, rotate: Rotate, now: Moment) -> Result<(String, Target), String> {
    let name = path.display().to_string();
    let file = LogFile::open(path, rotate, now).map_err(|error| {
        format!("the access log {name} cannot be opened: {error}; create its folder, or let the service's user write there")
    })?;
    Ok((name, Target::Lines(Lines::new(Sink::File(file)))))
}

fn service(service: Service, path: &Path) -> Result<(String, Target), String> {
    let name = path.display().to_string();
    let messages = Messages::new(service, path)
        .map_err(|error| format!("the access log {name} cannot be used: {error}"))?;
    Ok((name, Target::Messages(messages)))
}

fn why_no_lines(error: &io::Error) -> String {
    let held = "lines are held back, and lost where they become too many";
    match error.kind() {
        ErrorKind::WouldBlock => format!("its reader takes nothing; {held}"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            format!("it takes no lines: {error}; {held}; `df -h` shows which disk is full")
        }
        _ => format!("it takes no lines: {error}; {held}"),
    }
}

fn why_no_service(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock => {
            "the service takes lines more slowly than requests come".to_owned()
        }
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => format!(
            "no service listens there: {error}; `systemctl status systemd-journald rsyslog` shows whether one runs"
        ),
        _ => error.to_string(),
    }
}

/// Lines on their way into a file or stream.
#[derive(Debug)]
struct Lines {
    sink: Sink,
    held: Vec<u8>,
    /// How many bytes are held before they are written without waiting for the pause.
    flush_at: usize,
}

#[derive(Debug)]
enum Sink {
    Stream(File),
    File(LogFile),
    /// Takes what each test says.
    #[cfg(test)]
    Fake(tests::Fake),
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(stream) => stream.write(lines),
            Self::File(file) => file.write(lines),
            #[cfg(test)]
            Self::Fake(fake) => fake.write(lines),
        }
    }
}

impl Lines {
    fn new(sink: Sink) -> Self {
        Self { sink, held: Vec::new(), flush_at: WRITE_BYTES }
    }

    /// Writes what is held; what is not taken stays for the next time, whole lines or the rest of
    /// one.
    fn flush(&mut self, outage: &mut Outage, now: Moment, notices: &Notices) {
        let mut written = 0;
        loop {
            let some = self.next_write(written);
            if let Sink::File(file) = &mut self.sink
                && let Err(why) = file.look_after(some, now)
            {
                outage.note(&why, now, notices);
            }
            let Some(lines) =
                self.held.get(written..written + some).filter(|some| !some.is_empty())
            else {
                break;
            };
            match self.sink.write(lines) {
                Ok(0) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // That the file is gone was said when it could not be made anew.
                    if error.kind() != ErrorKind::NotFound {
                        outage.note(&why_no_lines(&error), now, notices);
                    }
                    break;
                }
            }
        }
        self.held.drain(..written);
        // One that takes nothing is not asked for each line.
        self.flush_at = self.held.len() + WRITE_BYTES;
    }

    /// How much of what is held is written next: whole lines.
    fn next_write(&self, from: usize) -> usize {
        let left = self.held.get(from..).unwrap_or_default();
        match left.get(..WRITE_BYTES) {
            None => left.len(),
            Some(some) => match memchr::memrchr(b'\n', some) {
                Some(end) => end + 1,
                None => memchr::memchr(b'\n', left).map_or(left.len(), |end| end + 1),
            },
        }
    }
}

/// What goes wrong with a place is said once, and once more when it is over.
#[derive(Debug)]
struct Outage {
    subject: String,
    /// What was said last; empty while all is well.
    said: String,
    failed_at: Moment,
    /// Lines lost, in this outage.
    lost: u64,
    /// Lines lost that have not been counted by anybody else yet.
    untold: u64,
}

impl Outage {
    fn of(name: String) -> Self {
        let subject = format!("access log {name}");
        Self { subject, said: String::new(), failed_at: Moment::default(), lost: 0, untold: 0 }
    }

    fn lose(&mut self, lines: u64) {
        self.lost += lines;
        self.untold += lines;
    }

    fn note(&mut self, why: &str, now: Moment, notices: &Notices) {
        self.failed_at = now;
        if self.said != why {
            why.clone_into(&mut self.said);
            notices.say(&self.subject, why);
        }
    }

    fn end_when_quiet(&mut self, now: Moment, notices: &Notices) {
        if !self.said.is_empty() && now >= self.failed_at + QUIET {
            self.said.clear();
            let lost = std::mem::take(&mut self.lost);
            notices.say(&self.subject, &format!("all is well again; {lost} lines were lost"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::observe::Text;

    /// How many bytes each write takes; then all.
    #[derive(Debug, Default)]
    pub(super) struct Fake {
        takes: VecDeque<Option<usize>>,
        taken: Vec<u8>,
    }

    impl Fake {
        pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            let count = self.takes.pop_front().unwrap_or(Some(lines.len()));
            let count = count.ok_or(ErrorKind::StorageFull)?.min(lines.len());
            self.taken.extend_from_slice(&lines[..count]);
            Ok(count)
        }
    }

    fn output(takes: &[Option<usize>]) -> Output {
        let fake = Fake { takes: takes.iter().copied().collect(), taken: Vec::new() };
        let target = Target::Lines(Lines::new(Sink::Fake(fake)));
        Output { format: Format::Combined, outage: Outage::of("x".to_owned()), target }
    }

    fn record(path: &str) -> Record {
        let mut record = Record::default();
        record.note(Text::Path, path.as_bytes());
        record
    }

    /// The paths of the lines that arrived.
    fn arrived(output: &Output) -> Vec<String> {
        let Target::Lines(Lines { sink: Sink::Fake(fake), .. }) = &output.target else { panic!() };
        let text = String::from_utf8(fake.taken.clone()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(|line| line.split(' ').nth(6).unwrap().to_owned()).collect()
    }

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1_000_000_000)
    }

    #[test]
    fn a_full_disk_loses_no_line_while_few_come() {
        let notices = Notices::default();
        let mut output = output(&[Some(10), None, Some(3), None, None]);
        for (second, path) in ["/1", "/2", "/3", "/4"].into_iter().enumerate() {
            output.note(&record(path), at(second as u64), &notices);
            output.flush(at(second as u64), &notices);
        }
        assert_eq!(arrived(&output), ["/1", "/2", "/3", "/4"]);
        let said = notices.take().0;
        assert_eq!(said.len(), 1, "said once: {said:?}");
        assert!(said[0].starts_with("access log x: it takes no lines: "), "{said:?}");
        output.flush(at(121), &notices);
        assert!(notices.take().0.is_empty());
        output.flush(at(122), &notices);
        let said = notices.take().0;
        assert_eq!(said, ["access log x: all is well again; 0 lines were lost"]);
        output.flush(at(300), &notices);
        assert!(notices.take().0.is_empty());
    }

    #[test]
    fn a_disk_that_stays_full_loses_the_newest_lines_and_counts_them() {
        let notices = Notices::default();
        let mut output = output(&[None; 1000]);
        let long = "x".repeat(2000);
        let count = 2 * HELD_BYTES_MAX / long.len();
        for number in 0..count {
            output.note(&record(&format!("/{number}/{long}")), at(0), &notices);
        }
        let Target::Lines(lines) = &mut output.target else { panic!() };
        assert!(lines.held.len() < HELD_BYTES_MAX + 4000, "{}", lines.held.len());
        let Sink::Fake(fake) = &mut lines.sink else { panic!() };
        assert!(fake.takes.len() > 900, "it is not asked for each line");
        fake.takes.clear();
        output.flush(at(1), &notices);
        let paths = arrived(&output);
        for (number, path) in paths.iter().enumerate() {
            assert!(path.starts_with(&format!("/{number}/")), "{number}: {path}");
        }
        notices.take();
        output.flush(at(121), &notices);
        let lost = count - paths.len();
        let said = notices.take().0;
        assert_eq!(said, [format!("access log x: all is well again; {lost} lines were lost")]);
        assert!(lost > 400, "{lost}");
        assert_eq!((output.take_lost(), output.take_lost()), (lost as u64, 0));
        assert!(output.is_empty());
    }
}

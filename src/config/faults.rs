//! Collects what is wrong while the files are judged. What it says stands in `complaint.rs`.

use std::collections::HashSet;

use super::report::{Complaint, Complaints, Severity};
use crate::document::{At, Files};

/// Complaints that are kept whole; of more than these only the number is told.
const KEPT_MAX: usize = 1_000;

/// Complaints while the files are judged.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    errors: usize,
    /// Keys that were meant but could not be read, so that they are not said to be missing.
    misread: HashSet<String>,
}

/// One complaint, as it is being worded.
#[derive(Debug)]
pub(super) struct Fault {
    at: At,
    severity: Severity,
    message: String,
    help: Option<String>,
    notes: Vec<(At, String)>,
}

impl Fault {
    /// What to do about it.
    pub(super) fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Another place that belongs to it, and what stands there.
    pub(super) fn note(&mut self, at: At, text: impl Into<String>) -> &mut Self {
        self.notes.push((at, text.into()));
        self
    }
}

impl Faults {
    /// Whether the files can be put in force: warnings do not count.
    pub(super) fn refuse(&self) -> bool {
        self.errors > 0
    }

    /// Remembers that this key is there, in some way.
    pub(super) fn is_there(&mut self, key: &str) {
        if !self.misread.contains(key) {
            self.misread.insert(key.to_string());
        }
    }

    /// Whether this key could not be read somewhere: then nothing is said about one that is missing.
    pub(super) fn may_be_there(&self, key: &str) -> bool {
        self.misread.contains(key)
    }

    /// Whether there are so many that the rest is hardly read: then words that are costly to find
    /// are left out.
    pub(super) fn are_many(&self) -> bool {
        self.list.len() >= KEPT_MAX
    }

    /// Something for which the files are refused.
    pub(super) fn add(&mut self, at: At, message: impl Into<String>) -> &mut Fault {
        self.errors += 1;
        self.push(at, Severity::Error, message.into())
    }

    /// Something that the operator should know, and may want as it is.
    pub(super) fn warn(&mut self, at: At, message: impl Into<String>) -> &mut Fault {
        self.push(at, Severity::Warning, message.into())
    }

    fn push(&mut self, at: At, severity: Severity, message: String) -> &mut Fault {
        let fault = Fault { at, severity, message, help: None, notes: Vec::new() };
        self.list.push(fault);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// Puts lines and columns to everything, in the order of the files. If not all can be kept,
    /// warnings go first.
    pub(super) fn into_complaints(mut self, files: &Files) -> Complaints {
        let warnings = self.list.len() - self.errors;
        self.list.sort_by_key(|fault| (fault.severity, fault.at));
        self.list.truncate(KEPT_MAX);
        self.list.sort_by_key(|fault| fault.at);
        let list = self.list.into_iter().map(|fault| Complaint {
            severity: fault.severity,
            place: files.place(fault.at),
            message: fault.message,
            help: fault.help,
            notes: fault.notes.into_iter().map(|(at, text)| (files.place(at), text)).collect(),
        });
        Complaints::new(list.collect(), self.errors, warnings)
    }
}

//! The order in which the parts of a Document are judged, and what all of them need.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::adapter::is_role;
use super::faults::Faults;
use super::site::Surroundings;
use super::{Config, Source, Timeouts, later, suggest};
use crate::document::{At, Document, Files, Named, Written};

/// After so many comparisons of names nobody is told any more which was meant: a tenth of a second.
const COMPARISONS_MAX: usize = 200_000;

/// The state of judging: what was written, and what is wrong with it.
pub(super) struct Judge<'j> {
    pub(super) document: &'j Document,
    pub(super) files: &'j Files,
    pub(super) source: &'j dyn Source,
    /// Seconds since 1970.
    pub(super) now: i64,
    pub(super) faults: Faults,
    /// How often names were compared to find which was meant.
    comparisons: usize,
    pub(super) names: Names<'j>,
}

/// Where in the Document a name is defined.
pub(super) struct Names<'j> {
    pub(super) adapters: Index<'j>,
    pub(super) listeners: Index<'j>,
    pub(super) certificates: Index<'j>,
    pub(super) pools: Index<'j>,
}

pub(super) type Index<'j> = HashMap<&'j str, usize>;

impl<'j> Judge<'j> {
    pub(super) fn new(
        document: &'j Document,
        files: &'j Files,
        source: &'j dyn Source,
        now: i64,
        faults: Faults,
    ) -> Self {
        let names = Names {
            adapters: index(&document.adapters),
            listeners: index(&document.listeners),
            certificates: index(&document.certificates),
            pools: index(&document.pools),
        };
        Self { document, files, source, now, faults, comparisons: 0, names }
    }

    /// The whole Config. It is good only if no fault came up; until then it may hold stand-ins.
    pub(super) fn config(&mut self) -> Config {
        self.not_yet();
        let hosts = self.hosts();
        let adapters = self.adapters();
        let certificates = self.certificates();
        let listeners = self.listeners(&adapters);
        let timeouts = self.timeouts(Timeouts::default(), &self.document.timeouts);
        let mut limits = self.limits();
        let pools = self.pools(&adapters, &listeners, &hosts, timeouts);
        let (errors, site_errors) = self.error_pages();
        let around = Surroundings {
            listeners: &listeners,
            certificates: &certificates,
            pools: &pools,
            errors: &site_errors,
            timeouts,
        };
        let table = self.sites(&around, &mut limits);
        let (workers, resolvers) = (self.workers(), self.resolvers());
        let (log, admin) = (self.log(), self.admin(&adapters));
        self.unused(&table, &listeners);
        self.sides_apart(&adapters);
        Config {
            workers,
            resolvers,
            log,
            admin,
            documents: self.files.paths().map(Path::to_path_buf).collect(),
            certificates: certificates.into_iter().flatten().collect(),
            adapters,
            listeners,
            pools,
            table,
            timeouts,
            limits,
            hosts,
            errors,
        }
    }

    fn not_yet(&mut self) {
        for key in &self.document.keys {
            if later::is_later(&key.value) {
                let name = key.value.rsplit('.').next().unwrap_or(&key.value);
                self.faults.not_available(key.at, &format!("`{name}`"));
            }
        }
    }

    /// The place of a name in the Document, or a complaint.
    pub(super) fn place_of(&mut self, kind: &str, name: &Written<String>) -> Option<usize> {
        let names = match kind {
            "adapter" => &self.names.adapters,
            "listener" => &self.names.listeners,
            "certificate" => &self.names.certificates,
            _ => &self.names.pools,
        };
        let place = names.get(name.value.as_str()).copied();
        if place.is_none() {
            // To compare with every name is too much for every complaint of very many.
            self.comparisons = self.comparisons.saturating_add(names.len());
            let few = self.comparisons <= COMPARISONS_MAX;
            let known = few.then(|| names.keys().copied()).into_iter().flatten();
            let meant = suggest::nearest(&name.value, known);
            // Two roles are like each other, but nobody takes one for the other.
            let meant = meant.filter(|_| kind != "adapter" || !is_role(&name.value));
            self.faults.no_such(name.at, kind, &name.value, meant);
        }
        place
    }

    /// Places of several names, each at most once.
    pub(super) fn places_of(&mut self, kind: &str, names: &[Written<String>]) -> Vec<usize> {
        let mut seen: HashMap<usize, At> = HashMap::new();
        let mut places = Vec::new();
        for name in names {
            let Some(place) = self.place_of(kind, name) else { continue };
            match seen.insert(place, name.at) {
                Some(first) => self.faults.listed_twice(name.at, kind, &name.value, first),
                None => places.push(place),
            }
        }
        places
    }

    /// A word out of a list, or a complaint; the first is the default.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &str,
        written: Option<&Written<String>>,
        choices: &[(&str, T)],
    ) -> T {
        let default = choices[0].1;
        let Some(written) = written else { return default };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == written.value) {
            return *choice;
        }
        if later::is_later_value(key, &written.value) {
            self.faults.not_available(written.at, &format!("`{key} = \"{}\"`", written.value));
        } else {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.faults.not_one_of(written.at, key, &written.value, &words);
        }
        default
    }

    /// A whole number between two bounds, or a complaint.
    pub(super) fn number(
        &mut self,
        key: &str,
        written: Option<&Written<i64>>,
        bounds: (u32, u32),
    ) -> Option<u32> {
        let written = written?;
        match u32::try_from(written.value) {
            Ok(number) if (bounds.0..=bounds.1).contains(&number) => Some(number),
            _ => {
                self.faults.out_of_range(written.at, key, bounds.0.into(), bounds.1.into());
                None
            }
        }
    }

    /// The contents of a named file and where it is, or a complaint.
    pub(super) fn file(&mut self, name: &Written<String>) -> Option<(PathBuf, Vec<u8>)> {
        let path = self.files.resolve(name.at, &name.value);
        match self.source.read(&path) {
            Ok(bytes) => Some((path, bytes)),
            Err(error) => {
                self.faults.file_unreadable(name.at, &path, &error);
                None
            }
        }
    }
}

fn index<T>(list: &[Named<T>]) -> Index<'_> {
    list.iter().enumerate().map(|(place, entry)| (entry.name.value.as_str(), place)).collect()
}

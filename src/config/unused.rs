//! What is defined and has no effect: harmless, but seldom what was meant.

use super::judge::Judge;
use crate::document::Named;
use crate::site::{Action, Listener, Table};

impl Judge<'_> {
    /// Only when nothing is wrong: what is not used may be so because of a mistake elsewhere.
    pub(super) fn unused(&mut self, table: &Table, listeners: &[Listener]) {
        if self.faults.refuse() {
            return;
        }
        let document = self.document;
        let mut pools = vec![false; document.pools.len()];
        for rule in table.rules() {
            if let Action::Forward(pool) = &rule.action {
                mark(&mut pools, pool.0 as usize);
            }
        }
        let mut accepting = vec![false; listeners.len()];
        let mut certificates = vec![false; document.certificates.len()];
        for site in table.sites() {
            site.certificates.iter().for_each(|place| mark(&mut certificates, *place));
        }
        for listener in table.listeners() {
            mark(&mut accepting, listener.0 as usize);
        }
        for listener in listeners {
            listener.certificates.iter().for_each(|place| mark(&mut certificates, *place));
        }
        for name in left(&document.listeners, &accepting) {
            self.faults.listener_without_sites(name.at, &name.value);
        }
        for name in left(&document.pools, &pools) {
            self.faults.never_used(name.at, "pool", &name.value);
        }
        for name in left(&document.certificates, &certificates) {
            self.faults.never_used(name.at, "certificate", &name.value);
        }
    }
}

fn mark(used: &mut [bool], place: usize) {
    if let Some(used) = used.get_mut(place) {
        *used = true;
    }
}

fn left<'d, T>(
    list: &'d [Named<T>],
    used: &[bool],
) -> impl Iterator<Item = &'d crate::document::Written<String>> {
    let unused: Vec<bool> = used.iter().map(|used| !used).collect();
    list.iter().zip(unused).filter(|(_, unused)| *unused).map(|(entry, _)| &entry.name)
}

//! `[listener]`.

use std::collections::HashMap;

use super::Adapter;
use super::judge::Judge;
use crate::document::{self, At, Named};
use crate::site::{Listener, ListenerId};

/// What a listener is at when it does not say.
const ADAPTER: &str = "external";

impl Judge<'_> {
    /// By their places in the Document, which become their ids.
    pub(super) fn listeners(&mut self, adapters: &[Adapter]) -> Vec<Listener> {
        let document = self.document;
        let mut taken: HashMap<(usize, u16), At> = HashMap::new();
        let mut listeners = Vec::new();
        for (place, entry) in document.listeners.iter().enumerate() {
            let listener = self.listener(place, entry, adapters);
            let at = entry.table.port.as_ref().map_or(entry.name.at, |port| port.at);
            if let (Some(adapter), 1..) = (self.listener_adapter(place), listener.port)
                && let Some(first) = taken.insert((adapter, listener.port), at)
            {
                let adapter = &document.adapters[adapter].name.value;
                self.faults.listeners_collide(at, adapter, listener.port, first);
            }
            listeners.push(listener);
        }
        listeners
    }

    /// The place of a listener's adapter, if it has one.
    pub(super) fn listener_adapter(&self, listener: usize) -> Option<usize> {
        let name = self.document.listeners.get(listener)?.table.adapter.as_ref();
        self.names.adapters.get(name.map_or(ADAPTER, |name| &name.value)).copied()
    }

    fn listener(
        &mut self,
        place: usize,
        entry: &Named<document::Listener>,
        adapters: &[Adapter],
    ) -> Listener {
        let Named { name, table } = entry;
        let tls = table.tls.as_ref().is_some_and(|tls| tls.value);
        if table.port.is_none() {
            let what = format!("listener `{}`", name.value);
            self.faults.missing(name.at, &what, "port", "port = 443");
        }
        let port = self.number("port", table.port.as_ref(), (1, 65_535)).unwrap_or(0) as u16;
        let published = self.number("published_port", table.published_port.as_ref(), (1, 65_535));
        let profiles = [("modern", false), ("windows-7", true)];
        let old_suites = self.choice("profile", table.profile.as_ref(), &profiles);
        match &table.certificate {
            None if tls => self.faults.tls_without_certificate(name.at, &name.value),
            Some(list) if tls && list.value.is_empty() => {
                self.faults.tls_without_certificate(list.at, &name.value);
            }
            Some(list) if !tls => self.faults.certificate_without_tls(list.at, &name.value),
            _ => {}
        }
        if let Some(profile) = table.profile.as_ref().filter(|_| !tls) {
            self.faults.profile_without_tls(profile.at, &name.value);
        }
        if let Some(profile) = table.profile.as_ref().filter(|_| tls && old_suites) {
            self.faults.listener_with_old_suites(profile.at, &name.value);
        }
        let certificates = table.certificate.as_ref().map(|list| list.value.as_slice());
        let certificates = self.places_of("certificate", certificates.unwrap_or(&[]));
        let adapter = self.adapter_of(place, entry).and_then(|place| adapters.get(place));
        Listener {
            id: ListenerId(place as u32),
            name: name.value.clone(),
            interface: adapter.and_then(|adapter| adapter.interface.clone()),
            addresses: adapter.map_or_else(Vec::new, |adapter| {
                adapter.addresses.iter().map(|(address, _)| *address).collect()
            }),
            port,
            published_port: published.map_or(port, |port| port as u16),
            tls,
            old_suites,
            certificates,
        }
    }

    fn adapter_of(&mut self, place: usize, entry: &Named<document::Listener>) -> Option<usize> {
        let Named { name, table } = entry;
        match (&table.adapter, self.listener_adapter(place)) {
            (Some(adapter), None) => {
                self.place_of("adapter", adapter);
                None
            }
            (None, None) => {
                let what = format!("listener `{}`", name.value);
                self.faults.missing(
                    name.at,
                    &what,
                    "adapter",
                    "[adapter.external] with its addresses",
                );
                None
            }
            (written, Some(adapter)) => {
                let addresses = self.document.adapters[adapter].table.addresses.as_ref();
                if addresses.is_none_or(|list| list.value.is_empty()) {
                    let at = written.as_ref().map_or(name.at, |adapter| adapter.at);
                    let adapter = &self.document.adapters[adapter].name.value;
                    self.faults.adapter_without_addresses(at, &name.value, adapter);
                }
                Some(adapter)
            }
        }
    }
}

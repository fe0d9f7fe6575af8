//! `[site]`: names, where they are accepted, and what they are shown with.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::judge::Judge;
use super::{Limits, Timeouts, value};
use crate::document::{self, At, Named, Texts, Written};
use crate::pool::settings::PoolSettings;
use crate::site::host::canonical_name;
use crate::site::{
    Admission, ErrorsId, Forwarded, Listener, ListenerId, LogInGuard, PathCheck, Prefix,
    PrefixFault, RedirectDraft, Site, SiteDraft, SiteId, Table, Terms, USER_REFUSED_MOST,
};
use crate::tls::certificate::Certificate;

/// What Sites are judged against.
pub(super) struct Surroundings<'s> {
    pub(super) listeners: &'s [Listener],
    pub(super) certificates: &'s [Option<Certificate>],
    pub(super) pools: &'s [PoolSettings],
    /// By the places of Sites in the Document.
    pub(super) errors: &'s [ErrorsId],
    pub(super) timeouts: Timeouts,
}

/// A Site whose names and places have been judged.
struct Placed<'d> {
    entry: &'d Named<document::Site>,
    names: Vec<(String, At)>,
    listeners: Vec<usize>,
}

/// Who has which name on which Listener.
type Owners = HashMap<(usize, String), (usize, At)>;

/// One value for all Rules that have the same time-outs.
pub(super) type Shared = HashMap<Terms, Arc<Terms>>;

/// The terms of a Site with these time-outs.
pub(super) fn terms(site: &Site, timeouts: Timeouts, shared: &mut Shared) -> Arc<Terms> {
    let guarded = !site.admission.is_open();
    let Site { limits, forwarded, log_in_guard, errors, .. } = *site;
    let terms = Terms { timeouts, limits, forwarded, guarded, log_in_guard, errors };
    Arc::clone(shared.entry(terms).or_insert_with(|| Arc::new(terms)))
}

impl<'j> Judge<'j> {
    pub(super) fn sites(&mut self, around: &Surroundings<'_>, limits: &mut Limits) -> Table {
        let document = self.document;
        let placed: Vec<Placed<'j>> =
            document.sites.iter().map(|entry| self.placed(entry)).collect();
        let mut owners = Owners::new();
        for (place, site) in placed.iter().enumerate() {
            self.own(place, site, around.listeners, &mut owners);
        }
        let mut redirected = Owners::new();
        let mut shared = Shared::new();
        let mut drafts = Vec::new();
        for (place, placed) in placed.iter().enumerate() {
            let mut site = self.site(placed, around, limits);
            site.errors = around.errors[place];
            let redirects = self.redirects(place, placed, around, (&owners, &mut redirected));
            let rules = self.rules(placed.entry, &site, around, &mut shared);
            let terms = terms(&site, site.timeouts, &mut shared);
            let redirects = redirects.into_iter().map(|(listener, (names, port))| RedirectDraft {
                listener: ListenerId(listener as u32),
                names,
                port,
                terms: Arc::clone(&terms),
            });
            site.id = SiteId(place as u32);
            drafts.push(SiteDraft { redirects: redirects.collect(), site, rules });
        }
        Table::compile(drafts)
    }

    fn placed(&mut self, entry: &'j Named<document::Site>) -> Placed<'j> {
        let Named { name, table } = entry;
        let what = format!("site `{}`", name.value);
        let empty = |list: &Texts| list.as_ref().is_none_or(|list| list.value.is_empty());
        let at = |list: &Texts| list.as_ref().map_or(name.at, |list| list.at);
        if empty(&table.names) {
            self.faults.missing(at(&table.names), &what, "names", "names = [\"www.contoso.com\"]");
        }
        if empty(&table.listeners) {
            let example = "listeners = [\"https\"]";
            self.faults.missing(at(&table.listeners), &what, "listeners", example);
        }
        let mut names: Vec<(String, At)> = Vec::new();
        let mut seen: HashMap<String, At> = HashMap::new();
        for text in table.names.iter().flat_map(|list| &list.value) {
            match canonical_name(&text.value) {
                Ok(name) => match seen.insert(name.clone(), text.at) {
                    Some(first) => self.faults.listed_twice(text.at, "name", &text.value, first),
                    None => names.push((name, text.at)),
                },
                Err(fault) => self.faults.not_a_site_name(text.at, &text.value, fault),
            }
        }
        Placed { entry, names, listeners: self.places_of("listener", listed(&table.listeners)) }
    }

    fn own(
        &mut self,
        place: usize,
        site: &Placed<'_>,
        listeners: &[Listener],
        owners: &mut Owners,
    ) {
        for listener in &site.listeners {
            for (name, at) in &site.names {
                if let Some((_, first)) = owners.get(&(*listener, name.clone())) {
                    self.faults.name_twice(*at, name, &listeners[*listener].name, *first);
                } else {
                    owners.insert((*listener, name.clone()), (place, *at));
                }
            }
        }
    }

    fn site(
        &mut self,
        placed: &Placed<'_>,
        around: &Surroundings<'_>,
        limits: &mut Limits,
    ) -> Site {
        let Named { name, table } = placed.entry;
        let certificates = self.places_of("certificate", listed(&table.certificate));
        let on_tls = placed.listeners.iter().any(|listener| around.listeners[*listener].tls);
        if let Some(list) = table.certificate.as_ref().filter(|_| !on_tls) {
            self.faults.certificate_on_plain_site(list.at, &name.value);
        }
        self.covered(placed, &certificates, around);
        let checks = [("strict", PathCheck::Strict), ("raw", PathCheck::Raw)];
        let forwarded = [
            ("drop", Forwarded::Drop),
            ("replace", Forwarded::Replace),
            ("append", Forwarded::Append),
            ("pass", Forwarded::Pass),
        ];
        let own_limits = self.exchange_limits(limits.exchange, &table.limits);
        limits.largest = larger(limits.largest, own_limits);
        Site {
            id: SiteId(0),
            name: name.value.clone(),
            names: placed.names.iter().map(|(name, _)| name.clone()).collect(),
            listeners: placed.listeners.iter().map(|place| ListenerId(*place as u32)).collect(),
            certificates,
            path_check: self.choice("path_check", table.path_check.as_ref(), &checks),
            forwarded: self.choice("forwarded", table.forwarded.as_ref(), &forwarded),
            admission: self.admission(table),
            log_in_guard: self.log_in_guard(table),
            limits: own_limits,
            timeouts: self.timeouts(around.timeouts, &table.timeouts),
            errors: ErrorsId::GLOBAL,
        }
    }

    fn admission(&mut self, table: &document::Site) -> Admission {
        let allow = self.prefixes(&table.allow);
        let deny = self.prefixes(&table.deny);
        Admission::new(&allow, &deny)
    }

    fn log_in_guard(&mut self, table: &document::Site) -> Option<LogInGuard> {
        let table = &table.log_in_guard.as_ref()?.value;
        let most = (1, u32::from(u16::MAX));
        let users = (1, u32::from(USER_REFUSED_MOST));
        let user = self.number("user_refused_max", table.user_refused_max.as_ref(), users);
        let address = self.number("address_refused_max", table.address_refused_max.as_ref(), most);
        let tickets = self.number("tickets_per_minute", table.tickets_per_minute.as_ref(), most);
        Some(LogInGuard {
            user_refused_max: user.unwrap_or(4) as u8,
            address_refused_max: address.unwrap_or(20) as u16,
            window: self.time("window", &table.window, Duration::from_secs(30 * 60)),
            tickets_per_minute: tickets.unwrap_or(120) as u16,
        })
    }

    fn prefixes(&mut self, list: &Texts) -> Vec<Prefix> {
        let mut seen: HashMap<Prefix, At> = HashMap::new();
        let mut prefixes = Vec::new();
        for text in listed(list) {
            let Some((address, length)) = value::prefix(&text.value) else {
                self.faults.not_a_client_prefix(text.at, &text.value);
                continue;
            };
            match Prefix::new(address, length) {
                Ok(prefix) => match seen.insert(prefix, text.at) {
                    Some(first) => self.faults.listed_twice(text.at, "prefix", &text.value, first),
                    None => prefixes.push(prefix),
                },
                Err(PrefixFault::TooLong) => {
                    self.faults.not_a_client_prefix(text.at, &text.value);
                }
                Err(PrefixFault::HostBits { meant }) => {
                    self.faults.prefix_with_host_bits(text.at, &text.value, meant);
                }
            }
        }
        prefixes
    }

    /// Every name must be covered by one of the certificates that it is shown with.
    fn covered(&mut self, site: &Placed<'_>, own: &[usize], around: &Surroundings<'_>) {
        let tls = site.listeners.iter().map(|place| &around.listeners[*place]);
        let mut bare: Vec<usize> = Vec::new();
        for listener in tls.filter(|listener| listener.tls) {
            let places = if own.is_empty() { &listener.certificates } else { own };
            let loaded = places.iter().map(|place| around.certificates[*place].as_ref());
            // What could not be loaded, or is not there, has been complained about.
            let Some(loaded) = loaded.collect::<Option<Vec<_>>>().filter(|list| !list.is_empty())
            else {
                continue;
            };
            for (index, (name, at)) in site.names.iter().enumerate() {
                let covered = loaded.iter().any(|certificate| certificate.covers(name));
                if !covered && !bare.contains(&index) {
                    bare.push(index);
                    let has: Vec<(&str, &[String])> = loaded
                        .iter()
                        .map(|one| (one.name.as_str(), one.names.as_slice()))
                        .collect();
                    self.faults.certificate_does_not_cover(*at, name, &has);
                }
            }
        }
    }

    /// Per plain Listener, the names that answer with a redirect there, and the port to go to.
    fn redirects(
        &mut self,
        place: usize,
        site: &Placed<'_>,
        around: &Surroundings<'_>,
        (owners, redirected): (&Owners, &mut Owners),
    ) -> Vec<(usize, (Vec<String>, u16))> {
        let Named { name, table } = site.entry;
        let Some(Written { at, value: true }) = table.redirect_http else { return Vec::new() };
        for listener in site.listeners.iter().filter(|place| !around.listeners[**place].tls) {
            self.faults.redirect_from_own(at, &around.listeners[*listener].name);
        }
        let tls: Vec<usize> =
            site.listeners.iter().copied().filter(|place| around.listeners[*place].tls).collect();
        if tls.is_empty() && !site.listeners.is_empty() {
            self.faults.redirect_without_tls(at, &name.value);
            return Vec::new();
        }
        let mut redirects = Vec::new();
        for (plain, listener) in around.listeners.iter().enumerate().filter(|(_, one)| !one.tls) {
            let adapter = self.listener_adapter(plain);
            let Some(target) = tls.iter().find(|tls| self.listener_adapter(**tls) == adapter)
            else {
                continue;
            };
            let mut names = Vec::new();
            for (name, at) in &site.names {
                let key = (plain, name.clone());
                if owners.contains_key(&key) {
                    continue;
                }
                match redirected.get(&key) {
                    Some((_, first)) => {
                        self.faults.name_twice(*at, name, &listener.name, *first);
                    }
                    None => {
                        redirected.insert(key, (place, *at));
                        names.push(name.clone());
                    }
                }
            }
            redirects.push((plain, (names, around.listeners[*target].published_port)));
        }
        if redirects.is_empty() && !tls.is_empty() {
            self.faults.redirect_from_nowhere(at, &name.value);
        }
        redirects
    }
}

fn listed(list: &Texts) -> &[Written<String>] {
    list.as_ref().map_or(&[], |list| &list.value)
}

fn larger(left: crate::site::Limits, right: crate::site::Limits) -> crate::site::Limits {
    crate::site::Limits {
        head_bytes_max: left.head_bytes_max.max(right.head_bytes_max),
        field_bytes_max: left.field_bytes_max.max(right.field_bytes_max),
        target_bytes_max: left.target_bytes_max.max(right.target_bytes_max),
        fields_max: left.fields_max.max(right.fields_max),
        body_bytes_max: left.body_bytes_max.zip(right.body_bytes_max).map(|(l, r)| l.max(r)),
    }
}

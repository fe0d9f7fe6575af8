//! How the look-up is laid out.

use std::collections::HashMap;
use std::sync::Arc;

use super::{
    EMPTY, HostSlot, NO_POOL, NO_RULE, PATH_SEED, RedirectDraft, RuleDraft, RuleSlot, SLOT_BYTES,
    SiteDraft, Table, View, host_hash, path_hash, place, tag,
};
use crate::pool::settings::PoolId;
use crate::site::{Action, ListenerId, PathCheck, Rule, RuleId, Site, SiteId, Terms};

/// What stands in a block about a Rule.
#[derive(Debug)]
struct Label {
    name: String,
    pool: u32,
    terms: u32,
}

/// Of a Site without a Rule for `/`; nobody reads it.
impl Default for Label {
    fn default() -> Self {
        Self { name: String::new(), pool: NO_POOL, terms: 0 }
    }
}

#[derive(Default)]
pub(super) struct Builder {
    hosts: Vec<HostSlot>,
    blocks: Vec<u8>,
    terms: Vec<Arc<Terms>>,
    /// Where equal terms are in `terms`, by their address.
    known_terms: HashMap<*const Terms, u32>,
    pub(super) rules: Vec<Rule>,
    sites: Vec<Site>,
    pub(super) first_rules: Vec<u32>,
}

impl Builder {
    pub(super) fn site(&mut self, draft: SiteDraft) -> (u32, Vec<RedirectDraft>) {
        let SiteDraft { mut site, rules, redirects } = draft;
        let index = self.sites.len() as u32;
        site.id = SiteId(index);
        self.first_rules.push(self.rules.len() as u32);
        let raw = site.path_check == PathCheck::Raw;
        let (view, starts) = self.view((index, &site.name), raw, rules, &site.names);
        for listener in &site.listeners {
            for (name, start) in site.names.iter().zip(&starts) {
                self.name(*listener, name, *start, view);
            }
        }
        self.sites.push(site);
        (index, redirects)
    }

    pub(super) fn redirect(&mut self, site: u32, redirect: RedirectDraft) {
        let Site { path_check, ref name, .. } = self.sites[site as usize];
        let (raw, name) = (path_check == PathCheck::Raw, name.clone());
        let rule = RuleDraft {
            name: "redirect_http".to_string(),
            path: Vec::new(),
            action: Action::RedirectToHttps { port: redirect.port },
            terms: redirect.terms,
        };
        let (view, starts) = self.view((site, &name), raw, vec![rule], &redirect.names);
        for (name, start) in redirect.names.iter().zip(&starts) {
            self.name(redirect.listener, name, *start, view);
        }
    }

    /// The view of a Site's Rules, and where its block holds each of the names.
    fn view(
        &mut self,
        (site, name): (u32, &str),
        raw: bool,
        rules: Vec<RuleDraft>,
        names: &[String],
    ) -> (View, Vec<u32>) {
        let mut view = View { site, root: NO_RULE, raw, ..View::default() };
        let (mut paths, mut root) = (Vec::new(), Label::default());
        for draft in rules {
            let rule = self.rules.len() as u32;
            let label = self.label(&draft);
            if draft.path.is_empty() {
                if view.root == NO_RULE {
                    root = label;
                }
                view.root = view.root.min(rule);
            } else {
                let depth = memchr::memchr_iter(b'/', &draft.path).count();
                view.depth = view.depth.max(depth.try_into().unwrap_or(u16::MAX));
                paths.push((rule, draft.path, label));
            }
            let RuleDraft { name, action, terms, .. } = draft;
            self.rules.push(Rule { id: RuleId(rule), name, action, terms });
        }
        let names = self.file(&mut view, (name, &root), names, &paths);
        (view, names)
    }

    fn label(&mut self, draft: &RuleDraft) -> Label {
        let pool = match draft.action {
            Action::Forward(PoolId(pool)) => pool,
            _ => NO_POOL,
        };
        let next = self.terms.len() as u32;
        let terms = *self.known_terms.entry(Arc::as_ptr(&draft.terms)).or_insert(next);
        if terms == next {
            self.terms.push(Arc::clone(&draft.terms));
        }
        Label { name: draft.name.clone(), pool, terms }
    }

    /// A Rule's name with its brief behind it.
    fn labelled(&mut self, label: &Label) {
        self.text(&label.name);
        self.blocks.extend_from_slice(&label.pool.to_le_bytes());
        self.blocks.extend_from_slice(&label.terms.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        let length = u16::try_from(text.len()).unwrap_or(0);
        self.blocks.extend_from_slice(&length.to_le_bytes());
        self.blocks.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
    }

    /// At most two thirds of a Site's slots are taken, and there is always an empty one.
    fn file(
        &mut self,
        view: &mut View,
        (site, root): (&str, &Label),
        names: &[String],
        paths: &[(u32, Vec<u8>, Label)],
    ) -> Vec<u32> {
        let room = if paths.is_empty() { 0 } else { (paths.len() * 3 / 2 + 1).next_power_of_two() };
        // Slots do not straddle cache lines.
        let block = self.blocks.len().next_multiple_of(SLOT_BYTES);
        view.block = block as u32;
        view.slots_log = if room == 0 { 0 } else { room.trailing_zeros() as u8 };
        self.blocks.resize(block + room * SLOT_BYTES, 0);
        for index in 0..room {
            EMPTY.write(&mut self.blocks, block, index);
        }
        self.text(site);
        self.labelled(root);
        let mut starts = Vec::new();
        for name in names {
            starts.push(self.blocks.len() as u32);
            self.blocks.extend_from_slice(name.strip_prefix('*').unwrap_or(name).as_bytes());
        }
        for (rule, path, label) in paths {
            let hash = path[1..].split(|byte| *byte == b'/').fold(PATH_SEED, path_hash);
            let mut index = place(hash) & (room - 1);
            // Of two Rules with the same path the first is found first.
            while RuleSlot::read(&self.blocks, block, index).rule != NO_RULE {
                index = (index + 1) & (room - 1);
            }
            let (path_start, path_length) = (self.blocks.len() as u32, path.len() as u32);
            self.blocks.extend_from_slice(path);
            self.labelled(label);
            RuleSlot { tag: tag(hash), rule: *rule, path_start, path_length }.write(
                &mut self.blocks,
                block,
                index,
            );
        }
        starts
    }

    fn name(&mut self, listener: ListenerId, name: &str, name_start: u32, view: View) {
        let name = name.strip_prefix('*').unwrap_or(name).as_bytes();
        let name_length = name.len().try_into().unwrap_or(u8::MAX);
        let tag = tag(host_hash(listener, name));
        self.hosts.push(HostSlot { tag, listener: listener.0, name_start, name_length, view });
    }

    pub(super) fn finish(self) -> Table {
        let room = (self.hosts.len() * 2 + 1).next_power_of_two();
        let mut hosts = vec![HostSlot::default(); room];
        for slot in self.hosts {
            let start = slot.name_start as usize;
            let name = &self.blocks[start..start + usize::from(slot.name_length)];
            let mut index = place(host_hash(ListenerId(slot.listener), name)) & (room - 1);
            while hosts[index].name_length != 0 {
                index = (index + 1) & (room - 1);
            }
            hosts[index] = slot;
        }
        Table {
            hosts: hosts.into_boxed_slice(),
            blocks: self.blocks.into_boxed_slice(),
            terms: self.terms.into_boxed_slice(),
            rules: self.rules.into_boxed_slice(),
            sites: self.sites.into_boxed_slice(),
            first_rules: self.first_rules.into_boxed_slice(),
        }
    }
}

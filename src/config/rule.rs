//! `[[site.NAME.rule]]`: what is done with which path.

use std::collections::HashMap;

use bytes::Bytes;

use super::judge::Judge;
use super::settings::overlaid;
use super::site::{Shared, Surroundings, terms};
use crate::document::{self, At, Named, Written};
use crate::pool::settings::PoolId;
use crate::site::path::canonical_rule;
use crate::site::{Action, Answer, PathCheck, RuleDraft, Site};

/// What `redirect_status` may be (RFC 9110 section 15.4).
const REDIRECT_STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// Paths of a Site's Rules so far: canonical to written.
type Earlier<'d> = HashMap<Vec<u8>, &'d Written<String>>;

impl<'j> Judge<'j> {
    pub(super) fn rules(
        &mut self,
        entry: &'j Named<document::Site>,
        site: &Site,
        around: &Surroundings<'_>,
        shared: &mut Shared,
    ) -> Vec<RuleDraft> {
        if entry.table.rules.is_empty() {
            self.faults.site_without_rules(entry.name.at, &entry.name.value);
        }
        let mut earlier = Earlier::new();
        let mut names: HashMap<&str, At> = HashMap::new();
        let mut drafts = Vec::new();
        for rule in &entry.table.rules {
            if let Some(name) = &rule.value.name
                && let Some(first) = names.insert(&name.value, name.at)
            {
                self.faults.listed_twice(name.at, "rule", &name.value, first);
            }
            let path = self.rule_path(rule, site, &mut earlier);
            let action = self.action(rule);
            let (Some(path), Some(action)) = (path, action) else { continue };
            let timeouts = match action {
                Action::Forward(PoolId(place)) => {
                    let written = &self.document.pools[place as usize].table.timeouts;
                    overlaid(site.timeouts, written, around.pools[place as usize].timeouts)
                }
                _ => site.timeouts,
            };
            let terms = terms(site, timeouts, shared);
            let name = rule.value.name.as_ref().or(rule.value.path.as_ref());
            let name = name.map_or_else(String::new, |name| name.value.clone());
            drafts.push(RuleDraft { name, path, action, terms });
        }
        drafts
    }

    fn rule_path(
        &mut self,
        rule: &'j Written<document::Rule>,
        site: &Site,
        earlier: &mut Earlier<'j>,
    ) -> Option<Vec<u8>> {
        let Some(written) = &rule.value.path else {
            self.faults.missing(rule.at, "this rule", "path", "path = \"/\"");
            return None;
        };
        let path = match canonical_rule(&written.value) {
            Ok(path) => path,
            Err(fault) => {
                self.faults.not_a_path(written.at, &written.value, fault);
                return None;
            }
        };
        if written.value.contains('*') {
            self.faults.star_in_path(written.at, &written.value);
        }
        if site.path_check == PathCheck::Raw && !path.is_empty() {
            self.faults.raw_allows_root_only(written.at);
        }
        let ends = memchr::memchr_iter(b'/', &path).chain([path.len()]);
        let mut covering = ends.filter_map(|end| earlier.get(&path[..end]));
        if let Some(first) = covering.next() {
            self.faults.rule_covered(written.at, &written.value, &first.value, first.at);
        } else {
            earlier.insert(path.clone(), written);
        }
        Some(path)
    }

    fn action(&mut self, rule: &Written<document::Rule>) -> Option<Action> {
        let Written { at, value: rule } = rule;
        let mut given = Vec::new();
        given.extend(rule.pool.as_ref().map(|written| ("pool", written.at)));
        given.extend(rule.refuse.as_ref().map(|written| ("refuse", written.at)));
        given.extend(rule.redirect.as_ref().map(|written| ("redirect", written.at)));
        given.extend(rule.respond.as_ref().map(|written| ("respond", written.at)));
        given.sort_by_key(|(_, at)| *at);
        match given.as_slice() {
            [] => self.faults.rule_without_action(*at),
            [_] => {}
            [_, (_, second), ..] => {
                let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
                self.faults.rule_with_actions(*second, &names);
            }
        }
        // All of them are judged, so that nothing has to be found out later.
        let pool = rule.pool.as_ref().and_then(|pool| self.place_of("pool", pool));
        let refuse = self.number("refuse", rule.refuse.as_ref(), (400, 599));
        let redirect = rule.redirect.as_ref().and_then(|location| self.redirect(rule, location));
        if let (Some(status), None) = (&rule.redirect_status, &rule.redirect) {
            self.faults.redirect_status_alone(status.at);
        }
        let respond = rule.respond.as_ref().and_then(|respond| self.respond(respond));
        pool.map(|place| Action::Forward(PoolId(place as u32)))
            .or(refuse.map(|status| Action::Refuse(status as u16)))
            .or(redirect)
            .or(respond)
    }

    fn redirect(&mut self, rule: &document::Rule, location: &Written<String>) -> Option<Action> {
        let mut status = None;
        if let Some(Written { at, value }) = &rule.redirect_status {
            status = REDIRECT_STATUSES.into_iter().find(|status| i64::from(*status) == *value);
            if status.is_none() {
                self.faults.not_a_redirect_status(*at, *value, &REDIRECT_STATUSES);
            }
        }
        let text = &location.value;
        let absolute = ["https://", "http://"]
            .iter()
            .any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        // `//host` and `/\host` are other hosts to a browser.
        let path = text.starts_with('/') && !text.starts_with("//") && !text.starts_with("/\\");
        if !(absolute || path) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.faults.not_a_location(location.at, text);
            return None;
        }
        Some(Action::Redirect { status, location: text.as_str().into() })
    }

    fn respond(&mut self, respond: &Written<document::Respond>) -> Option<Action> {
        let Written { at, value: respond } = respond;
        if respond.status.is_none() {
            self.faults.missing(*at, "this answer", "status", "status = 200");
        }
        let status = self.number("status", respond.status.as_ref(), (200, 599));
        let content_type = match &respond.content_type {
            None => "text/plain; charset=utf-8".to_string(),
            Some(text) => {
                if text.value.is_empty() || !text.value.bytes().all(|b| (b' '..0x7f).contains(&b)) {
                    self.faults.not_a_field_value(text.at, "content_type");
                }
                text.value.clone()
            }
        };
        let body = respond
            .body
            .as_ref()
            .map_or_else(Bytes::new, |text| Bytes::copy_from_slice(text.value.as_bytes()));
        Some(Action::Respond(Box::new(Answer { status: status? as u16, body, content_type })))
    }
}

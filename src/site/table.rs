//! The compiled look-up: (listener, host, path) to the Rule that decides.
//!
//! It is read by every request, over tables that do not fit in the nearest caches, so it is laid
//! out by how often memory has to be waited for: one slot for the host, which already says where
//! the Site's block is; the paths of a Site side by side, all candidate slots of a request's path
//! known before the first is read, with what most requests need of their Rules. Nothing is
//! allocated and nothing locked.

mod build;

use std::hash::Hasher;
use std::sync::Arc;

use foldhash::SharedSeed;
use foldhash::fast::FoldHasher;

use super::host::Host;
use super::path::{self, Escapes, PathFault};
use super::{Action, ListenerId, Rule, Site, SiteId, Terms};
use crate::pool::settings::PoolId;

/// What a request comes to.
#[derive(Clone, Copy, Debug)]
pub enum Found<'t> {
    /// This Rule decides.
    Rule {
        /// The Site that it belongs to.
        site: &'t Site,
        /// The Rule; to read it costs a wait for memory that most requests do without.
        rule: &'t Rule,
        /// What most requests need of it.
        brief: Brief<'t>,
        /// What both are called.
        names: Names<'t>,
    },
    /// The Site has no Rule for the path.
    NoRule(&'t Site),
    /// No Site has that name on this Listener.
    NoSite,
    /// The path can be read in several ways, or in none.
    BadPath(PathFault),
}

/// What the log says about a Rule, from memory that the look-up has just read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'t> {
    /// The Site's id.
    pub site_id: SiteId,
    /// The Site's name.
    pub site: &'t [u8],
    /// The Rule's name.
    pub rule: &'t [u8],
}

/// What is done under a Rule, from memory that the look-up has just read.
#[derive(Clone, Copy, Debug)]
pub struct Brief<'t> {
    /// Where requests go, if the Rule forwards them.
    pub pool: Option<PoolId>,
    /// What holds for an Exchange.
    pub terms: &'t Terms,
    /// Finds the same terms again.
    pub terms_id: TermsId,
}

/// Names [`Terms`] of a Table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TermsId(u32);

/// The compiled look-up.
#[derive(Debug, Default)]
pub struct Table {
    hosts: Box<[HostSlot]>,
    /// Per Site, its [`RuleSlot`]s, its name, the name and brief of its Rule for `/`, its public
    /// names, then its paths, each with the name and brief of its Rule: one or two pages.
    blocks: Box<[u8]>,
    /// Few, and so in the nearest cache.
    terms: Box<[Arc<Terms>]>,
    rules: Box<[Rule]>,
    sites: Box<[Site]>,
    /// Per Site, its first Rule; Rules of redirects come after those of all Sites.
    first_rules: Box<[u32]>,
}

/// A Site to be compiled. Names, paths and Listeners have been judged already.
#[derive(Debug)]
pub struct SiteDraft {
    /// The Site; its id is set by its place in the list.
    pub site: Site,
    /// Its Rules in the order of the file.
    pub rules: Vec<RuleDraft>,
    /// Where its names only point to https.
    pub redirects: Vec<RedirectDraft>,
}

/// A Rule to be compiled.
#[derive(Debug)]
pub struct RuleDraft {
    /// Its name.
    pub name: String,
    /// In canonical form: [`path::canonical_rule`].
    pub path: Vec<u8>,
    /// What it does.
    pub action: Action,
    /// For an Exchange under it.
    pub terms: Arc<Terms>,
}

/// Names of a Site that answer with a redirect on a plain Listener.
#[derive(Debug)]
pub struct RedirectDraft {
    /// The plain Listener.
    pub listener: ListenerId,
    /// Which of the Site's names.
    pub names: Vec<String>,
    /// The port of https that clients see.
    pub port: u16,
    /// The Site's.
    pub terms: Arc<Terms>,
}

/// A name on a Listener, and where the paths of its Site are. Half a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
struct HostSlot {
    tag: u32,
    listener: u32,
    /// In all blocks.
    name_start: u32,
    /// 0 in an empty slot.
    name_length: u8,
    view: View,
}

/// The Rules of a Site on a Listener.
#[derive(Clone, Copy, Debug, Default)]
struct View {
    site: u32,
    /// The first Rule for `/`, or [`NO_RULE`].
    root: u32,
    /// Where its block is.
    block: u32,
    /// How many slots, as a power of two; there are none when `depth` is 0.
    slots_log: u8,
    /// Segments of the longest path.
    depth: u16,
    raw: bool,
}

/// A path of a Site, as 16 bytes of its block.
#[derive(Clone, Copy, Debug)]
struct RuleSlot {
    tag: u32,
    /// [`NO_RULE`] in an empty slot.
    rule: u32,
    /// In all blocks, not in its own.
    path_start: u32,
    path_length: u32,
}

/// The Rule that decides, and where its name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decided {
    rule: u32,
    /// In all blocks.
    name: u32,
}

const NO_RULE: u32 = u32::MAX;
const NO_POOL: u32 = u32::MAX;
const EMPTY: RuleSlot = RuleSlot { tag: 0, rule: NO_RULE, path_start: 0, path_length: 0 };
const SLOT_BYTES: usize = 16;

impl Table {
    /// Compiles Sites; their ids and those of their Rules count from 0.
    pub fn compile(drafts: Vec<SiteDraft>) -> Self {
        let mut builder = build::Builder::default();
        let mut redirects = Vec::new();
        for draft in drafts {
            let (site, more) = builder.site(draft);
            redirects.extend(more.into_iter().map(|redirect| (site, redirect)));
        }
        builder.first_rules.push(builder.rules.len() as u32);
        for (site, redirect) in redirects {
            builder.redirect(site, redirect);
        }
        builder.finish()
    }

    /// Finds what decides about a request: the value of its Host field, its target in origin form
    /// with the query, or `*`. `scratch` is for reuse; what it holds does not matter.
    pub fn find<'t>(
        &'t self,
        listener: ListenerId,
        host: &[u8],
        target: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Found<'t> {
        let host = Host::parse(host, scratch);
        let Some(view) = host.and_then(|host| self.view(listener, &host)) else {
            return Found::NoSite;
        };
        let decided = if view.raw || target == b"*" {
            self.root(&view)
        } else {
            match self.rule_for(&view, target, scratch) {
                Ok(decided) => decided,
                Err(fault) => return Found::BadPath(fault),
            }
        };
        let site = &self.sites[view.site as usize];
        let Some(rule) = self.rules.get(decided.rule as usize) else {
            return Found::NoRule(site);
        };
        let (name, brief) = self.text(decided.name as usize);
        let names =
            Names { site_id: SiteId(view.site), site: self.text(view.texts()).0, rule: name };
        let Some(brief) = self.brief(brief) else { return Found::NoRule(site) };
        Found::Rule { site, rule, brief, names }
    }

    /// The brief that stands at `start` of all blocks, behind the name of its Rule.
    fn brief(&self, start: usize) -> Option<Brief<'_>> {
        let (pool, rest) = self.blocks.get(start..)?.split_first_chunk()?;
        let terms_id = TermsId(u32::from_le_bytes(*rest.first_chunk()?));
        let terms = self.terms.get(terms_id.0 as usize)?;
        let pool = u32::from_le_bytes(*pool);
        Some(Brief { pool: (pool != NO_POOL).then_some(PoolId(pool)), terms, terms_id })
    }

    /// The terms that an Exchange began with; ids come from the same Table.
    pub fn terms(&self, id: TermsId) -> &Terms {
        &self.terms[id.0 as usize]
    }

    /// A text of a block, and where the next one begins.
    fn text(&self, start: usize) -> (&[u8], usize) {
        let rest = self.blocks.get(start..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk() else { return (&[], start) };
        let length = usize::from(u16::from_le_bytes(*length));
        (rest.get(..length).unwrap_or_default(), start + 2 + length)
    }

    fn root(&self, view: &View) -> Decided {
        let (_, name) = self.text(view.texts());
        Decided { rule: view.root, name: name as u32 }
    }

    /// All Sites, by their ids.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// All Rules, by their ids.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Listeners on which anybody has a name, once for each name.
    pub fn listeners(&self) -> impl Iterator<Item = ListenerId> {
        let named = self.hosts.iter().filter(|slot| slot.name_length > 0);
        named.map(|slot| ListenerId(slot.listener))
    }

    /// The Rules of a Site in the order of the file.
    pub fn rules_of(&self, site: SiteId) -> &[Rule] {
        let bound = |index: usize| self.first_rules.get(index).copied().unwrap_or(0) as usize;
        let (start, end) = (bound(site.0 as usize), bound(site.0 as usize + 1));
        self.rules.get(start..end).unwrap_or(&[])
    }

    /// The Site that owns a name on a Listener.
    pub fn site_of(&self, listener: ListenerId, host: &[u8]) -> Option<&Site> {
        let mut scratch = Vec::new();
        let view = self.view(listener, &Host::parse(host, &mut scratch)?)?;
        self.sites.get(view.site as usize)
    }

    fn view(&self, listener: ListenerId, host: &Host<'_>) -> Option<View> {
        self.named(listener, host.as_bytes())
            .or_else(|| self.named(listener, host.parent()?))
            .map(|slot| slot.view)
    }

    /// A wildcard is filed under what follows its `*`, which begins with a dot as no host does.
    fn named(&self, listener: ListenerId, name: &[u8]) -> Option<&HostSlot> {
        let hash = host_hash(listener, name);
        let mask = self.hosts.len().wrapping_sub(1);
        let mut index = place(hash);
        loop {
            let slot = self.hosts.get(index & mask)?;
            if slot.name_length == 0 {
                return None;
            }
            if slot.tag == tag(hash) && slot.listener == listener.0 {
                let start = slot.name_start as usize;
                if &self.blocks[start..start + usize::from(slot.name_length)] == name {
                    return Some(slot);
                }
            }
            index = index.wrapping_add(1);
        }
    }

    fn rule_for(
        &self,
        view: &View,
        target: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Decided, PathFault> {
        out.clear();
        out.extend_from_slice(path::without_query(target)?);
        let length = path::decode(out, Escapes::Strict)?;
        out.truncate(length);
        if memchr::memchr(b'%', out).is_none() {
            let length = path::fold(out)?;
            return Ok(self.first(view, &out[..length]));
        }
        // A server that decodes twice would see another path. It may, if that chooses the same Rule.
        out.extend_from_within(..);
        let (once, twice) = out.split_at_mut(length);
        let length = path::fold(once)?;
        let rule = self.first(view, &once[..length]);
        let length = path::decode(twice, Escapes::Lenient)?;
        let length = path::fold(&mut twice[..length])?;
        if self.first(view, &twice[..length]) != rule {
            return Err(PathFault::DecodesTwice);
        }
        Ok(rule)
    }

    /// The first Rule in file order whose path is a prefix of `path`, in whole segments.
    fn first(&self, view: &View, path: &[u8]) -> Decided {
        let mut first = self.root(view);
        let (mut hash, mut end) = (PATH_SEED, 0);
        for _ in 0..view.depth {
            if end == path.len() {
                break;
            }
            let start = end + 1;
            end = memchr::memchr(b'/', &path[start..]).map_or(path.len(), |index| start + index);
            hash = path_hash(hash, &path[start..end]);
            if let Some(slot) = self.exactly(view, hash, &path[..end])
                && slot.rule < first.rule
            {
                first = Decided { rule: slot.rule, name: slot.path_start + slot.path_length };
            }
        }
        first
    }

    fn exactly(&self, view: &View, hash: u64, path: &[u8]) -> Option<RuleSlot> {
        let mask = (1 << view.slots_log) - 1;
        let mut index = place(hash);
        loop {
            let slot = RuleSlot::read(&self.blocks, view.block as usize, index & mask);
            if slot.rule == NO_RULE {
                return None;
            }
            if slot.tag == tag(hash) && slot.path(&self.blocks) == path {
                return Some(slot);
            }
            index = index.wrapping_add(1);
        }
    }
}

impl View {
    /// Where the texts of its block begin.
    fn texts(&self) -> usize {
        let slots = if self.depth == 0 { 0 } else { SLOT_BYTES << self.slots_log };
        self.block as usize + slots
    }
}

impl RuleSlot {
    fn read(blocks: &[u8], block: usize, index: usize) -> Self {
        let bytes = blocks.get(block + index * SLOT_BYTES..).and_then(<[u8]>::first_chunk);
        let Some(bytes): Option<&[u8; SLOT_BYTES]> = bytes else { return EMPTY };
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Self { tag: word(0), rule: word(4), path_start: word(8), path_length: word(12) }
    }

    fn write(self, blocks: &mut [u8], block: usize, index: usize) {
        let words = [self.tag, self.rule, self.path_start, self.path_length];
        let start = block + index * SLOT_BYTES;
        for (word, bytes) in words.iter().zip(blocks[start..].chunks_exact_mut(4)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }

    fn path<'p>(&self, blocks: &'p [u8]) -> &'p [u8] {
        let start = self.path_start as usize;
        &blocks[start..start + self.path_length as usize]
    }
}

/// Clients choose what is looked up but not what is in the table, so the seeds need no secret: the
/// longest run of taken slots bounds every look-up, whatever is asked for.
const PATH_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

fn path_hash(before: u64, segment: &[u8]) -> u64 {
    let mut hasher = FoldHasher::with_seed(before, SharedSeed::global_fixed());
    hasher.write(segment);
    hasher.finish()
}

fn host_hash(listener: ListenerId, name: &[u8]) -> u64 {
    path_hash(u64::from(listener.0) ^ PATH_SEED, name)
}

fn place(hash: u64) -> usize {
    (hash >> 32) as usize
}

fn tag(hash: u64) -> u32 {
    hash as u32
}

const _: () = assert!(size_of::<HostSlot>() == 32 && size_of::<RuleSlot>() == SLOT_BYTES);

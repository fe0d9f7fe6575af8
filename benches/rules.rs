//! What it costs to find the Rule of a request: a small table, a large one, and a hostile path.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use gatehouse::pool::settings::{PoolId, Timeouts};
use gatehouse::site::path::canonical_rule;
use gatehouse::site::{
    Action, Admission, ErrorsId, Forwarded, Found, Limits, ListenerId, PathCheck, RuleDraft, Site,
    SiteDraft, SiteId, Table, Terms,
};

const LISTENER: ListenerId = ListenerId(0);
const RULES_PER_SITE: usize = 10;

fn name(site: usize) -> String {
    format!("web-{site}.dept{}.contoso.com", site % 97)
}

fn rule_path(rule: usize) -> String {
    match rule {
        0 => "/".to_string(),
        rule => format!("/service-{rule}/area{}", rule * 7),
    }
}

fn table(sites: usize) -> Table {
    let timeouts = Timeouts::default();
    let limits = Limits {
        head_bytes_max: 32_768,
        field_bytes_max: 16_384,
        target_bytes_max: 16_384,
        fields_max: 128,
        body_bytes_max: None,
    };
    let terms = Arc::new(Terms {
        timeouts,
        limits,
        forwarded: Forwarded::Drop,
        guarded: false,
        log_in_guard: None,
        errors: ErrorsId::GLOBAL,
    });
    let drafts = (0..sites).map(|site| SiteDraft {
        site: Site {
            id: SiteId(0),
            name: format!("site{site}"),
            names: vec![name(site)],
            listeners: vec![LISTENER],
            certificates: Vec::new(),
            path_check: PathCheck::Strict,
            forwarded: Forwarded::Drop,
            admission: Admission::default(),
            log_in_guard: None,
            limits,
            timeouts,
            errors: ErrorsId::GLOBAL,
        },
        rules: (0..RULES_PER_SITE)
            .rev()
            .map(|rule| RuleDraft {
                name: format!("rule{rule}"),
                path: canonical_rule(&rule_path(rule)).expect("a good path"),
                action: Action::Forward(PoolId(rule as u32)),
                terms: terms.clone(),
            })
            .collect(),
        redirects: Vec::new(),
    });
    Table::compile(drafts.collect())
}

/// Uniform, and the same on every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

fn drawn(criterion: &mut Criterion, title: &str, sites: usize) {
    let table = table(sites);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let requests: Vec<(String, String)> = (0..65_536)
        .map(|_| {
            let path = rule_path(dice.below(RULES_PER_SITE));
            (name(dice.below(sites)), format!("{path}/item/{}?q=1", dice.below(1000)))
        })
        .collect();
    let mut scratch = Vec::with_capacity(4096);
    let mut next = 0;
    criterion.bench_function(title, |bencher| {
        bencher.iter(|| {
            let (host, target) = &requests[next % requests.len()];
            next += 1;
            let found = table.find(LISTENER, host.as_bytes(), target.as_bytes(), &mut scratch);
            // The Rule is read as a request would read it.
            let Found::Rule { rule, .. } = found else { panic!("every request has a rule") };
            let Action::Forward(pool) = rule.action else { panic!("every rule forwards") };
            black_box(pool)
        });
    });
}

fn hostile(criterion: &mut Criterion, title: &str, target: &str) {
    let table = table(10_000);
    let mut scratch = Vec::with_capacity(65_536);
    criterion.bench_function(title, |bencher| {
        bencher.iter(|| {
            let host = black_box("web-7.dept7.contoso.com");
            let found = table.find(LISTENER, host.as_bytes(), target.as_bytes(), &mut scratch);
            black_box(matches!(found, Found::Rule { .. }))
        });
    });
}

fn benches(criterion: &mut Criterion) {
    drawn(criterion, "10 rules", 1);
    drawn(criterion, "100,000 rules over 10,000 sites", 10_000);
    hostile(criterion, "16 KiB of dot segments", &"/a/..".repeat(16_384 / 5));
    hostile(criterion, "16 KiB of short segments", &"/a".repeat(8_192));
    hostile(criterion, "16 KiB of escapes", &format!("/{}", "%25".repeat(5_461)));
}

criterion_group!(rules, benches);
criterion_main!(rules);

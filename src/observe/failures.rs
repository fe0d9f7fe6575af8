//! The last failures, for whoever asks what has been going wrong. Filled by the log thread.

use super::record::{Record, Text};
use super::snapshot::FailureNow;

/// Kinds of failures that are remembered of clients, and as many of servers and of this box, so that
/// clients cannot push out what the operator has to see.
const KINDS_MAX: usize = 16;

/// Kinds of failures, the latest first.
#[derive(Debug, Default)]
pub struct Failures {
    clients: Vec<FailureNow>,
    others: Vec<FailureNow>,
}

impl Failures {
    /// Remembers why `record` failed, if it did.
    pub fn note(&mut self, record: &Record) {
        let Some((word, party)) = record.failure else { return };
        let kinds = if party == "client" { &mut self.clients } else { &mut self.others };
        let (site, server) = (record.text(Text::Site), record.text(Text::Server));
        let now = (record.wall_micros + record.total_micros) / 1_000_000;
        let same = |kind: &FailureNow| {
            kind.word == word && kind.site.as_bytes() == site && kind.server.as_bytes() == server
        };
        if let Some(place) = kinds.iter().position(same) {
            kinds[..=place].rotate_right(1);
        } else {
            kinds.truncate(KINDS_MAX - 1);
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let (site, server) = (text(site), text(server));
            kinds.insert(
                0,
                FailureNow { word, party, site, server, count: 0, first: now, last: now },
            );
        }
        if let Some(kind) = kinds.first_mut() {
            kind.count += 1;
            kind.last = kind.last.max(now);
        }
    }

    /// All that are remembered, the latest first.
    #[must_use]
    pub fn list(&self) -> Vec<FailureNow> {
        let mut all: Vec<FailureNow> = self.others.iter().chain(&self.clients).cloned().collect();
        all.sort_by_key(|kind| std::cmp::Reverse(kind.last));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: u64, failure: Option<(&'static str, &'static str)>, site: &str) -> Record {
        let mut record = Record::with_room();
        record.failure = failure;
        record.wall_micros = second * 1_000_000;
        record.note(Text::Site, site.as_bytes());
        record
    }

    #[test]
    fn equal_ones_are_counted_and_the_latest_comes_first() {
        let mut failures = Failures::default();
        let (closed, left) = (("upstream_closed", "upstream"), ("client_left", "client"));
        for (second, failure, site) in [
            (1, Some(closed), "a"),
            (2, None, "a"),
            (3, Some(left), "a"),
            (4, Some(closed), "b"),
            (5, Some(closed), "a"),
        ] {
            failures.note(&record(second, failure, site));
        }
        let told: Vec<_> = failures
            .list()
            .into_iter()
            .map(|it| (it.word, it.site, it.count, it.first, it.last))
            .collect();
        assert_eq!(
            told,
            [
                ("upstream_closed", "a".to_owned(), 2, 1, 5),
                ("upstream_closed", "b".to_owned(), 1, 4, 4),
                ("client_left", "a".to_owned(), 1, 3, 3),
            ]
        );
    }

    #[test]
    fn clients_push_out_clients_only() {
        let mut failures = Failures::default();
        failures.note(&record(1, Some(("no_server", "proxy")), "a"));
        for number in 0..100 {
            failures.note(&record(2, Some(("no_rule", "client")), &format!("s{number}")));
        }
        let list = failures.list();
        assert_eq!(list.len(), KINDS_MAX + 1);
        assert_eq!(list.last().map(|it| it.word), Some("no_server"));
        assert_eq!(list[0].site, "s99");
    }
}

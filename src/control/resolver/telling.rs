//! What is said about names, and how often: DNS may move a name every few seconds for ever. What it
//! comes to is always said.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use crate::dns::{News, Why};
use crate::net::Moment;

use super::Told;

/// Changes of one name that are each said at once;
const AT_ONCE: u32 = 6;

/// after them, what it has come to is said once in this time. As much quiet makes room for one more.
pub(in crate::control) const ONE_IN: Duration = Duration::from_secs(600);

/// What was said about each name, and what waits to be said.
#[derive(Debug, Default)]
pub(in crate::control) struct Telling(BTreeMap<String, Name>);

#[derive(Debug, Default)]
struct Name {
    /// As was said last.
    addresses: Vec<IpAddr>,
    why: Option<Why>,
    /// The last news of other addresses, and the last news at all, since then.
    moved: Option<Told>,
    last: Option<Told>,
    /// Changes since then.
    changes: u64,
    /// When all of [`AT_ONCE`] may be said again.
    free_at: Moment,
}

impl Telling {
    /// Something is to be said.
    pub(in crate::control) fn note(&mut self, told: Told) {
        let name = self.0.entry(told.news.host().to_owned()).or_default();
        name.changes += 1;
        if let News::Moved { .. } = told.news {
            name.moved = Some(told.clone());
        }
        name.last = Some(told);
    }

    /// What is to be said at `now`, and how many changes before it were not; `known` are the
    /// addresses that names have.
    pub(in crate::control) fn due(
        &mut self,
        now: Moment,
        known: &HashMap<String, Vec<IpAddr>>,
    ) -> Vec<(Told, u64)> {
        let mut due = Vec::new();
        for (host, name) in self.0.iter_mut().filter(|(_, name)| name.last.is_some()) {
            if name.free_at > now + ONE_IN * (AT_ONCE - 1) {
                continue;
            }
            let all = known.get(host).map_or(&[][..], Vec::as_slice);
            let news = name.take(host, all);
            if news.is_empty() {
                continue;
            }
            name.free_at = name.free_at.max(now) + ONE_IN;
            let unsaid = std::mem::take(&mut name.changes).saturating_sub(news.len() as u64);
            due.extend(news.into_iter().map(|told| (told, unsaid)));
        }
        due
    }

    /// Forgets the names that are not to be kept.
    pub(in crate::control) fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.0.retain(|host, _| is_kept(host));
    }
}

impl Name {
    /// What has changed since something was said; from now on it has been.
    fn take(&mut self, host: &str, all: &[IpAddr]) -> Vec<Told> {
        let mut news = Vec::new();
        if let Some(Told { news: News::Moved { server, left_out, .. }, servers }) =
            self.moved.take()
        {
            let (came, went) = (but(all, &self.addresses), but(&self.addresses, all));
            if !(came.is_empty() && went.is_empty()) {
                let host = host.to_owned();
                let moved = News::Moved { host, server, came, went, left_out };
                news.push(Told { news: moved, servers });
                self.addresses = all.to_vec();
                // Whoever says so has answered.
                self.why = None;
            }
        }
        let Some(Told { news: last, servers }) = self.last.take() else { return news };
        match last {
            News::Trouble { why, host } => {
                if self.why.as_ref() != Some(&why) {
                    self.why = Some(why.clone());
                    news.push(Told { news: News::Trouble { why, host }, servers });
                }
            }
            News::Moved { host, server, .. } | News::Well { host, server } => {
                if self.why.take().is_some() {
                    news.push(Told { news: News::Well { host, server }, servers });
                }
            }
        }
        news
    }
}

fn but(all: &[IpAddr], not: &[IpAddr]) -> Vec<IpAddr> {
    all.iter().filter(|address| !not.contains(address)).copied().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const HOST: &str = "fe01.test";

    struct Lab {
        telling: Telling,
        known: HashMap<String, Vec<IpAddr>>,
        now: Moment,
        said: Vec<String>,
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    impl Lab {
        fn new() -> Self {
            let now = Moment(1_000_000_000_000);
            Self { telling: Telling::default(), known: HashMap::new(), now, said: Vec::new() }
        }

        fn note(&mut self, news: News) {
            self.telling.note(Told { news, servers: Arc::default() });
            self.look(0);
        }

        fn moves(&mut self, to: &[u8]) {
            let to: Vec<IpAddr> = to.iter().copied().map(address).collect();
            let before = self.known.insert(HOST.to_owned(), to.clone()).unwrap_or_default();
            let (came, went) = (but(&to, &before), but(&before, &to));
            let (host, server) = (HOST.to_owned(), Some(0));
            self.note(News::Moved { host, server, came, went, left_out: 0 });
        }

        fn fails(&mut self, code: u8) {
            let why = Why::Cannot { server: 0, code };
            self.note(News::Trouble { host: HOST.to_owned(), why });
        }

        fn is_well(&mut self) {
            self.note(News::Well { host: HOST.to_owned(), server: Some(0) });
        }

        /// So many seconds later.
        fn look(&mut self, seconds: u64) {
            self.now = self.now + Duration::from_secs(seconds);
            for (told, unsaid) in self.telling.due(self.now, &self.known) {
                let last = |all: &[IpAddr]| {
                    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
                    all.join(" ").replace("10.0.0.", "")
                };
                let what = match told.news {
                    News::Moved { came, went, .. } => format!("+{} -{}", last(&came), last(&went)),
                    News::Trouble { why: Why::Cannot { code, .. }, .. } => format!("code {code}"),
                    News::Trouble { .. } => panic!("nobody said that"),
                    News::Well { .. } => "well".to_owned(),
                };
                self.said.push(format!("{what} ({unsaid})"));
            }
        }

        #[track_caller]
        fn expect(&mut self, said: &[&str]) {
            assert_eq!(std::mem::take(&mut self.said), said);
        }
    }

    #[test]
    fn a_change_now_and_then_is_said_at_once() {
        let mut lab = Lab::new();
        lab.fails(2);
        lab.moves(&[1, 2]);
        lab.fails(2);
        lab.is_well();
        lab.moves(&[2, 3]);
        lab.expect(&["code 2 (0)", "+1 2 - (0)", "code 2 (0)", "well (0)", "+3 -1 (0)"]);
        for turn in 4..200 {
            lab.look(ONE_IN.as_secs());
            lab.moves(&[turn]);
            assert_eq!(lab.said.len(), 1, "{turn}");
            lab.said.clear();
        }
    }

    /// A day of a name that moves every five seconds is not 17,280 lines.
    #[test]
    fn a_name_that_moves_for_ever_is_said_seldom_and_to_its_end() {
        let mut lab = Lab::new();
        for turn in 0..86_400 / 5 {
            lab.moves(&[(turn % 250) as u8]);
            lab.look(5);
        }
        let lines = lab.said.len();
        assert!((144..155).contains(&lines), "{lines}");
        assert_eq!(lab.said[6], "+119 -5 (113)", "{:?}", &lab.said[..8]);
        lab.said.clear();
        lab.moves(&[251]);
        (0..601).for_each(|_| lab.look(1));
        assert_eq!(lab.said.len(), 1, "what it has come to");
        assert!(lab.said[0].starts_with("+251 -"), "{:?}", lab.said);
    }

    /// Of what has been and gone while nothing may be said, nothing is said; what is left is.
    #[test]
    fn what_it_comes_to_is_said() {
        let tired = || {
            let mut lab = Lab::new();
            (1..=6).for_each(|turn| lab.moves(&[turn]));
            assert_eq!(lab.said.len(), 6);
            lab.said.clear();
            lab
        };
        let hour = 3600;
        let mut lab = tired();
        lab.moves(&[7]);
        lab.moves(&[6]);
        lab.fails(2);
        lab.is_well();
        lab.look(hour);
        lab.expect(&[]);
        lab.moves(&[8]);
        lab.expect(&["+8 -6 (4)"]);
        let mut lab = tired();
        lab.moves(&[7, 8]);
        lab.fails(2);
        lab.expect(&[]);
        lab.look(hour);
        lab.expect(&["+7 8 -6 (0)", "code 2 (0)"]);
        // It was in trouble when it was said last, and is not any more.
        let mut lab = Lab::new();
        (1..=5).for_each(|turn| lab.moves(&[turn]));
        lab.fails(3);
        lab.moves(&[9]);
        lab.moves(&[5]);
        lab.said.clear();
        lab.look(hour);
        lab.expect(&["well (1)"]);
    }
}

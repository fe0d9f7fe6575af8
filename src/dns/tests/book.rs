//! Names with name servers that answer as they like: who is asked when, and what is told.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::super::book::{
    NEGATIVE_MAX, NEGATIVE_MIN, OTHER_FAMILY, QUESTIONS_MAX, SYSTEM_EVERY, TTL_MAX, TTL_MIN,
};
use super::super::reply::{Reply, Rr, asked, reply};
use super::super::{Ask, Book, News, TRY_FIRST, To, Want, Way, Why};
use super::{NAME, a, code, dice, records, seconds, v4};

/// What a name server does with a question: over UDP or TCP.
type Server = Box<dyn FnMut(&[u8], bool) -> Does>;

enum Does {
    Answer(Vec<u8>),
    Refuse,
    Nothing,
}

/// A book with name servers that answer at once, and a clock that jumps to the next event.
struct Lab {
    book: Book,
    now: Duration,
    chance: Box<dyn FnMut() -> u64>,
    servers: Vec<Server>,
    /// When whom was asked, over TCP or not, for what.
    asked: Vec<(Duration, usize, bool, String)>,
    told: Vec<(Duration, News)>,
    open_most: usize,
}

fn want(hosts: &[&str], v6: bool) -> Vec<Want> {
    hosts.iter().map(|host| Want { host: (*host).to_owned(), v4: true, v6 }).collect()
}

impl Lab {
    fn new(servers: Vec<Server>) -> Self {
        let chance = Box::new(dice(3));
        let (book, now) = (Book::default(), seconds(1000));
        let (asked, told) = (Vec::new(), Vec::new());
        Self { book, now, chance, servers, asked, told, open_most: 0 }
    }

    /// One name server, which says what `said` says to every question for IPv4.
    fn one(said: impl FnMut() -> Reply<'static> + 'static) -> Self {
        let mut lab = Self::new(vec![serves(said)]);
        lab.want(&want(&[NAME], false));
        lab
    }

    fn want(&mut self, wants: &[Want]) {
        self.book.want(Way::Servers(self.servers.len()), false, wants, self.now);
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let asks = self.book.step(self.now, &mut self.chance);
            self.open_most = self.open_most.max(asks.len());
            assert!(self.asked.len() < 100_000, "it asks for ever");
            let is_idle = asks.is_empty();
            for Ask { flight, to } in asks {
                let To::Server { server, tcp, bytes } = to else { panic!("the system is asked") };
                self.asked.push((self.now, server, tcp, asked(&bytes).0));
                match self.servers[server](&bytes, tcp) {
                    Does::Answer(bytes) => {
                        self.book.heard(flight, &bytes, self.now, &mut self.chance);
                    }
                    Does::Refuse => {
                        let error = "Connection refused".to_owned();
                        self.book.broken(flight, error, self.now, &mut self.chance);
                    }
                    Does::Nothing => {}
                }
            }
            let now = self.now;
            self.told.extend(self.book.news().into_iter().map(|news| (now, news)));
            let next = self.book.next_at().filter(|next| *next < end);
            match next {
                Some(next) if is_idle => self.now = self.now.max(next),
                None if is_idle => break,
                _ => {}
            }
        }
        self.now = end;
    }

    /// What was told since the last time, and how many questions were asked for it.
    fn told(&mut self) -> Vec<News> {
        self.told.drain(..).map(|(_, news)| news).collect()
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let mut names = self.book.names();
        names.find(|(host, ..)| *host == NAME).map(|(_, addresses, _)| addresses.to_vec()).unwrap()
    }

    /// Between the questions, in seconds.
    fn pauses(&self) -> Vec<u64> {
        let times: Vec<u64> = self.asked.iter().map(|(at, ..)| at.as_secs()).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

fn serves(mut said: impl FnMut() -> Reply<'static> + 'static) -> Server {
    Box::new(move |question, _| Does::Answer(reply(question, &said())))
}

fn silent() -> Server {
    Box::new(|_, _| Does::Nothing)
}

fn moved(came: &[IpAddr], went: &[IpAddr]) -> News {
    let (came, went) = (came.to_vec(), went.to_vec());
    News::Moved { host: NAME.to_owned(), server: Some(0), came, went, left_out: 0 }
}

fn trouble(why: Why) -> News {
    News::Trouble { host: NAME.to_owned(), why }
}

#[test]
fn a_name_is_asked_for_again_when_its_answer_expires() {
    let check = |ttl, expected: u64| {
        let mut lab = Lab::one(move || records(&[a(1, ttl)]));
        lab.run(seconds(3 * expected + 1));
        assert_eq!(lab.pauses(), [expected; 3], "{ttl}");
        assert_eq!(lab.told(), [moved(&[v4(1)], &[])], "said once");
    };
    check(60, 60);
    check(0, TTL_MIN.as_secs());
    check(100_000, TTL_MAX.as_secs());
}

#[test]
fn a_name_that_is_denied_is_asked_for_soon() {
    let check = |said: Reply<'static>, expected: u64| {
        let mut lab = Lab::one(move || said.clone());
        lab.run(seconds(3 * expected + 1));
        assert_eq!(lab.pauses(), [expected; 3]);
        assert_eq!(lab.told().len(), 1);
    };
    let denied = |ttl| Reply { code: 3, ..records(&[Rr::Soa(ttl, ttl)]) };
    check(denied(20), 20);
    check(denied(1), NEGATIVE_MIN.as_secs());
    check(denied(86_400), NEGATIVE_MAX.as_secs());
    check(code(3), 30);
}

#[test]
fn a_name_server_that_fails_is_left_alone_ever_longer() {
    let mut lab = Lab::one(|| code(2));
    lab.run(seconds(70));
    // Three tries each time.
    let rounds: Vec<u64> = lab.pauses().into_iter().filter(|pause| *pause > 0).collect();
    assert_eq!(rounds, [1, 2, 4, 8, 15, 15, 15]);
    assert_eq!(lab.asked.len(), 3 * 8);
    assert_eq!(lab.told(), [trouble(Why::Cannot { server: 0, code: 2 })]);
}

/// Does something wrong with a question.
type Wrong = fn(&[u8]) -> Does;

/// The addresses from before stay, whatever goes wrong; it is said once, and once when it is over.
#[test]
fn what_was_good_stays() {
    let went_wrong: [(Wrong, Why); 5] = [
        (|bytes| Does::Answer(reply(bytes, &code(3))), Why::Nonexistent { server: 0 }),
        (|bytes| Does::Answer(reply(bytes, &code(0))), Why::NoAddress { server: 0 }),
        (|bytes| Does::Answer(reply(bytes, &code(2))), Why::Cannot { server: 0, code: 2 }),
        (|_| Does::Nothing, Why::Silent),
        (|_| Does::Refuse, Why::Unreachable { server: 0, error: "Connection refused".to_owned() }),
    ];
    for (wrong, why) in went_wrong {
        let mut count = 0;
        let server: Server = Box::new(move |bytes, _| {
            count += 1;
            // Good, then wrong for long, then good.
            match count {
                1 => Does::Answer(reply(bytes, &records(&[a(1, 60)]))),
                2..25 => wrong(bytes),
                _ => Does::Answer(reply(bytes, &records(&[a(1, 60)]))),
            }
        });
        let mut lab = Lab::new(vec![server]);
        lab.want(&want(&[NAME], false));
        lab.run(seconds(70));
        let first = [moved(&[v4(1)], &[]), trouble(why.clone())];
        assert_eq!((lab.told().as_slice(), lab.addresses()), (&first[..], vec![v4(1)]), "{why:?}");
        lab.run(seconds(1000));
        let well = News::Well { host: NAME.to_owned(), server: Some(0) };
        assert_eq!((lab.told(), lab.addresses()), (vec![well], vec![v4(1)]), "{why:?}");
    }
}

#[test]
fn other_addresses_are_told_with_what_came_and_went() {
    let mut turn = 0;
    let mut lab = Lab::one(move || {
        turn += 1;
        match turn {
            1 => records(&[a(1, 10), a(2, 10)]),
            // In another order.
            2 => records(&[a(2, 10), a(1, 10)]),
            _ => records(&[a(3, 10), a(2, 10)]),
        }
    });
    lab.run(seconds(35));
    assert_eq!(lab.told(), [moved(&[v4(1), v4(2)], &[]), moved(&[v4(3)], &[v4(1)])]);
    assert_eq!(lab.addresses(), [v4(2), v4(3)]);
}

#[test]
fn the_next_name_server_is_asked_when_one_is_silent() {
    let mut lab = Lab::new(vec![silent(), serves(|| records(&[a(1, 20)]))]);
    lab.want(&want(&[NAME], false));
    lab.run(seconds(2));
    let whom = |lab: &Lab| lab.asked.iter().map(|(_, server, ..)| *server).collect::<Vec<_>>();
    assert_eq!(whom(&lab), [0, 1]);
    assert_eq!(lab.asked[1].0, seconds(1000) + TRY_FIRST);
    // The silent one is not waited for again; later it gets another chance.
    lab.run(seconds(41));
    assert_eq!(whom(&lab), [0, 1, 1, 0, 1]);
    assert_eq!(lab.told().len(), 1);
}

#[test]
fn patience_grows_with_each_pass() {
    let mut lab = Lab::new(vec![silent(), silent()]);
    lab.want(&want(&[NAME], false));
    lab.run(seconds(14));
    assert_eq!(lab.pauses(), [1, 1, 2, 2, 4]);
    assert_eq!(lab.told(), []);
    lab.run(seconds(1));
    assert_eq!(lab.told(), [trouble(Why::Silent)]);
}

#[test]
fn what_is_cut_is_asked_for_over_tcp() {
    let server: Server = Box::new(|bytes, tcp| {
        let said = if tcp { records(&[a(1, 60)]) } else { records(&[]) };
        Does::Answer(reply(bytes, &Reply { is_cut: !tcp, ..said }))
    });
    let mut lab = Lab::new(vec![server]);
    lab.want(&want(&[NAME], false));
    lab.run(seconds(1));
    assert_eq!(lab.asked.iter().map(|(_, _, tcp, _)| *tcp).collect::<Vec<_>>(), [false, true]);
    assert_eq!(lab.addresses(), [v4(1)]);
}

#[test]
fn aliases_are_followed_and_not_for_ever() {
    let server: Server = Box::new(|bytes, _| {
        let said = match asked(bytes).0.as_str() {
            NAME => records(&[Rr::Cname(NAME, 7, "b.test")]),
            _ => records(&[Rr::A("b.test", 60, [10, 0, 0, 1])]),
        };
        Does::Answer(reply(bytes, &said))
    });
    let mut lab = Lab::new(vec![server]);
    lab.want(&want(&[NAME], false));
    lab.run(seconds(8));
    let names: Vec<&str> = lab.asked.iter().map(|(.., name)| name.as_str()).collect();
    assert_eq!(names, [NAME, "b.test", NAME, "b.test"], "again after the alias's seven seconds");
    assert_eq!(lab.addresses(), [v4(1)]);

    let mut count = 0;
    let endless: Server = Box::new(move |bytes, _| {
        count += 1;
        let (name, target) = (asked(bytes).0, format!("n{count}.test"));
        let said = Reply { records: vec![Rr::Cname(&name, 9, &target)], ..Reply::default() };
        Does::Answer(reply(bytes, &said))
    });
    let mut lab = Lab::new(vec![endless]);
    lab.want(&want(&[NAME], false));
    lab.run(Duration::from_millis(500));
    assert!(lab.asked.len() < 20, "{}", lab.asked.len());
    let why = Why::Nonsense { server: 0, what: "its aliases do not end" };
    assert_eq!(lab.told(), [trouble(why)]);
}

/// Somebody who keeps guessing is not listened to for ever, and never believed.
#[test]
fn forged_answers() {
    let mut lab = Lab::new(vec![silent()]);
    lab.want(&want(&[NAME], false));
    let ask = lab.book.step(lab.now, &mut lab.chance).remove(0);
    let To::Server { bytes, .. } = ask.to else { panic!() };
    for wrong in 1..=64_u8 {
        assert!(lab.book.step(lab.now, &mut lab.chance).is_empty());
        let mut forged = reply(&bytes, &records(&[a(66, 60)]));
        forged[1] ^= wrong;
        lab.book.heard(ask.flight, &forged, lab.now, &mut lab.chance);
    }
    // Another number at another port.
    let again = lab.book.step(lab.now, &mut lab.chance).remove(0);
    assert_eq!(again.flight, ask.flight);
    assert!(lab.addresses().is_empty());
}

#[test]
fn both_families() {
    let six: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let kind = |bytes: &[u8]| asked(bytes).1;
    // IPv6 alone goes when it is denied while IPv4 is there.
    let mut turn = 0;
    let server: Server = Box::new(move |bytes, _| {
        turn += 1;
        let said = match (kind(bytes), turn) {
            (1, _) => records(&[a(1, 10)]),
            (_, ..=2) => records(&[Rr::Aaaa(NAME, 99, six.octets())]),
            _ => records(&[Rr::Soa(60, 60)]),
        };
        Does::Answer(reply(bytes, &said))
    });
    let mut lab = Lab::new(vec![server]);
    lab.want(&want(&[NAME], true));
    lab.run(seconds(15));
    let both = moved(&[v4(1), six.into()], &[]);
    assert_eq!(lab.told(), [both, moved(&[], &[six.into()])], "in one sentence each");

    // One that never answers is not waited for.
    let server: Server = Box::new(move |bytes, _| match kind(bytes) {
        1 => Does::Answer(reply(bytes, &records(&[a(1, 60)]))),
        _ => Does::Nothing,
    });
    let mut lab = Lab::new(vec![server]);
    lab.want(&want(&[NAME], true));
    lab.run(seconds(30));
    assert_eq!(lab.told, [(seconds(1000) + OTHER_FAMILY, moved(&[v4(1)], &[]))]);
}

/// A reload takes IPv6 off the internal adapter, or asks others: addresses that nobody asks for any
/// more do not stay for ever.
#[test]
fn addresses_of_a_family_that_is_not_asked_for_any_more() {
    let six = |last: u8| IpAddr::from(Ipv6Addr::from([last; 16]));
    let server = || -> Server {
        Box::new(move |bytes, _| {
            let said = match asked(bytes).1 {
                1 => records(&[a(1, 60)]),
                _ => records(&[Rr::Aaaa(NAME, 60, [3; 16])]),
            };
            Does::Answer(reply(bytes, &said))
        })
    };
    for (v4_stays, expected) in [(true, v4(1)), (false, six(3))] {
        let mut lab = Lab::new(vec![server()]);
        lab.want(&want(&[NAME], true));
        lab.run(seconds(10));
        assert_eq!(lab.addresses(), [v4(1), six(3)]);
        lab.want(&[Want { host: NAME.to_owned(), v4: v4_stays, v6: !v4_stays }]);
        lab.run(seconds(10));
        assert_eq!(lab.addresses(), [expected]);
    }
    // From name servers to the system, which has moved the name meanwhile.
    let mut lab = Lab::new(vec![server()]);
    lab.want(&want(&[NAME], true));
    lab.run(seconds(10));
    lab.book.want(Way::System, true, &want(&[NAME], true), lab.now);
    let Ask { flight, .. } = lab.book.step(lab.now, &mut lab.chance).remove(0);
    lab.book.resolved(flight, Ok(vec![v4(7)]), lab.now);
    assert_eq!(lab.addresses(), [v4(7)]);
}

#[test]
fn many_names_share_a_bounded_number_of_questions() {
    let hosts: Vec<String> = (0..500).map(|number| format!("n{number}.test")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let server: Server = Box::new(|bytes, _| {
        let name = asked(bytes).0;
        let said = Reply { records: vec![Rr::A(&name, 600, [10, 0, 0, 1])], ..Reply::default() };
        Does::Answer(reply(bytes, &said))
    });
    let mut lab = Lab::new(vec![server]);
    lab.want(&want(&hosts, true));
    lab.run(seconds(60));
    assert!(lab.book.names().all(|(_, addresses, settled)| addresses == [v4(1)] && settled));
    assert!(lab.open_most <= QUESTIONS_MAX, "{}", lab.open_most);
    assert_eq!(lab.told().len(), 500);
}

#[test]
fn other_wishes() {
    let mut lab = Lab::one(|| records(&[a(1, 600)]));
    lab.run(seconds(10));
    assert_eq!(lab.asked.len(), 1);
    // The same again asks nobody.
    lab.want(&want(&[NAME], false));
    lab.run(seconds(10));
    assert_eq!(lab.asked.len(), 1);
    // Others are asked: at once, and what is known stays meanwhile.
    lab.servers = vec![silent(), silent()];
    lab.want(&want(&[NAME, "new.test"], false));
    lab.run(seconds(1));
    assert_eq!((lab.asked.len(), lab.addresses()), (3, vec![v4(1)]));
    // The second wish drops the first's questions.
    lab.want(&want(&["new.test"], false));
    lab.run(seconds(5));
    assert!(lab.book.names().all(|(host, ..)| host == "new.test"));
    // A name in trouble is asked for at once by whoever has mended DNS and reloads.
    let mut lab = Lab::one(|| code(3));
    lab.run(seconds(3));
    lab.want(&want(&[NAME], false));
    lab.run(seconds(1));
    assert_eq!(lab.pauses(), [3]);
}

#[test]
fn the_system_is_asked_where_nobody_is_named() {
    let (mut book, mut chance) = (Book::default(), dice(1));
    let mut now = seconds(5);
    book.want(Way::System, false, &want(&[NAME], true), now);
    let ask = |book: &mut Book, now, chance: &mut dyn FnMut() -> u64| {
        let mut asks = book.step(now, chance);
        let Ask { flight, to } = asks.remove(0);
        assert_eq!((asks.len(), to), (0, To::System { host: NAME.to_owned() }));
        flight
    };
    let flight = ask(&mut book, now, &mut chance);
    // However long it takes.
    assert_eq!(book.next_at(), None);
    let six = IpAddr::from(Ipv6Addr::LOCALHOST);
    book.resolved(flight, Ok(vec![six, v4(1), v4(1)]), now);
    let told = |server, came: &[IpAddr]| {
        let (came, went) = (came.to_vec(), Vec::new());
        News::Moved { host: NAME.to_owned(), server, came, went, left_out: 0 }
    };
    assert_eq!(book.news(), [told(None, &[v4(1), six])]);
    assert_eq!(book.next_at(), Some(now + SYSTEM_EVERY));
    now += SYSTEM_EVERY;
    let flight = ask(&mut book, now, &mut chance);
    book.resolved(flight, Err("no".to_owned()), now);
    assert_eq!(book.news(), [trouble(Why::System("no".to_owned()))]);
    assert_eq!(book.names().next().unwrap().1, [v4(1), six]);
    // Twice the same answer, or one to nothing.
    book.resolved(flight, Ok(vec![v4(9)]), now);
    assert_eq!(book.news(), []);
}

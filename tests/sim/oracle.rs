//! What must hold of every run, whatever the dice say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::notes::{Asked, Came, Message, Notes};

/// What each Config that was in force says.
pub(crate) trait Files {
    /// Whether a server is one of the pool's.
    fn serves(&self, live: usize, pool: char, server: SocketAddr) -> bool;

    /// Whether requests for the pool are refused.
    fn refuses(&self, live: usize, pool: char) -> bool;
}

/// Everything that is wrong with a run.
pub(crate) fn judge(notes: &Notes, files: &dyn Files) -> Vec<String> {
    let mut wrong = notes.wrong.clone();
    one_answer(notes, &mut wrong);
    refusals(notes, files, &mut wrong);
    crowds(notes, &mut wrong);
    arrivals(notes, files, &mut wrong);
    identities(notes, &mut wrong);
    names(notes, &mut wrong);
    wrong
}

/// Each request has at most one answer, which goes to who asked and comes from a server that was
/// asked.
fn one_answer(notes: &Notes, wrong: &mut Vec<String>) {
    let mut answered = BTreeSet::new();
    for got in &notes.got {
        let Some(asked) = notes.asked.get(&got.id) else {
            wrong.push(format!("an answer to {}, which nobody asked", got.id));
            continue;
        };
        if asked.client != got.client {
            wrong.push(format!("the answer to {} came to client {}", got.id, got.client));
        }
        if !answered.insert(got.id) {
            wrong.push(format!("{} was answered twice", got.id));
        }
        let from = |came: &&Came| came.id == got.id && Some(came.connection) == got.connection;
        if got.connection.is_some() && !notes.came.iter().any(|came| from(&came)) {
            wrong.push(format!("{} was answered from where it never came", got.id));
        }
    }
}

/// What is to be refused never comes to a server to its end, and nothing else is refused.
fn refusals(notes: &Notes, files: &dyn Files, wrong: &mut Vec<String>) {
    for got in notes.got.iter().filter(|got| got.status == 404 && got.connection.is_none()) {
        let Some(asked) = notes.asked.get(&got.id) else { continue };
        if !in_force(notes, (asked.at, got.at), |live| files.refuses(live, asked.pool)) {
            wrong.push(format!("{} was refused, and no file said so", got.id));
        }
    }
    for (id, asked) in &notes.asked {
        let came = match asked.refusal {
            Some(413) => notes.whole.contains(id),
            Some(_) => notes.came.iter().any(|came| came.id == *id),
            None => false,
        };
        if came {
            wrong.push(format!("{id} was to be refused and came to a server"));
        }
    }
}

/// Requests come to servers of their pool, and no more often than they may.
fn arrivals(notes: &Notes, files: &dyn Files, wrong: &mut Vec<String>) {
    let mut times: BTreeMap<u32, Vec<&Came>> = BTreeMap::new();
    for came in &notes.came {
        let Some(asked) = notes.asked.get(&came.id) else {
            wrong.push(format!("{} came to a server and nobody sent it", came.id));
            continue;
        };
        if !right_server(notes, asked, came, files) {
            wrong.push(format!("{} came to {}, which is not its pool's", came.id, came.server));
        }
        let before = times.entry(came.id).or_default();
        if !before.is_empty() && !asked.repeatable {
            wrong.push(format!("{} must not be repeated and came again", came.id));
        }
        if !before.is_empty() && asked.login {
            wrong.push(format!("{} shows a log-in and came again", came.id));
        }
        if before.len() > 1 {
            wrong.push(format!("{} came more than twice", came.id));
        }
        before.push(came);
    }
    for (id, both) in times.iter().filter(|(_, times)| times.len() > 1) {
        // They may come in any order: a dying connection may be slow to be read.
        if both.iter().filter(|came| is_reused(notes, came)).count() != 1 {
            wrong.push(format!("{id} was repeated, but not from a used connection to a fresh one"));
        }
    }
}

fn is_reused(notes: &Notes, came: &Came) -> bool {
    let first = notes.came.iter().find(|other| other.connection == came.connection);
    first.is_some_and(|first| first.id != came.id)
}

/// Whether `holds` for one of those that were in force at some time from `since` to `until`.
fn in_force(notes: &Notes, (since, until): (u64, u64), holds: impl Fn(usize) -> bool) -> bool {
    notes.reigned.iter().enumerate().any(|(at, reigned)| {
        let end = notes.reigned.get(at + 1).map_or(u64::MAX, |next| next.from);
        reigned.from <= until && end >= since && holds(reigned.live)
    })
}

fn right_server(notes: &Notes, asked: &Asked, came: &Came, files: &dyn Files) -> bool {
    let serves = |live| files.serves(live, asked.pool, came.server);
    in_force(notes, (asked.at, came.at), serves)
}

/// Once a log-in was shown or asked for on an upstream connection, it is one client's alone; and
/// that client's requests go nowhere else as long as it lasts.
fn identities(notes: &Notes, wrong: &mut Vec<String>) {
    // Whose each connection is from when on.
    let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
    // And which one is whose, by pool: its number, whether a log-in was shown, and since when.
    let mut owned: BTreeMap<(u32, char), (u32, bool, u64)> = BTreeMap::new();
    let mut carried: BTreeSet<u32> = BTreeSet::new();
    for came in &notes.came {
        let Some(asked) = notes.asked.get(&came.id) else { continue };
        let connection = came.connection;
        if let Some(owner) = owners.get(&connection)
            && *owner != asked.client
        {
            wrong.push(format!(
                "{} of client {} came on connection {connection}, which is logged in as client {owner}",
                came.id, asked.client
            ));
        }
        // Where a log-in was only asked for, nothing is lost with the connection; where one was shown,
        // the client has to go with it.
        let gone = |own: &u32, by: u64| notes.let_go.get(own).is_some_and(|at| *at <= by);
        // A server may be slow to read what came on a broken connection before.
        if let Some((own, shown, since)) = owned.get(&(asked.client, asked.pool))
            && *own != connection
            && (*shown || !gone(own, came.at))
            && !gone(&connection, *since)
        {
            wrong.push(format!(
                "{} of client {} came on connection {connection}, but that is logged in on {own}",
                came.id, asked.client
            ));
        }
        if came.login && !owners.contains_key(&connection) && carried.contains(&connection) {
            wrong.push(format!("{} logs in on a connection that others had used", came.id));
        }
        carried.insert(connection);
        let challenged = notes
            .challenged
            .iter()
            .any(|(challenged, id)| *challenged == connection && *id == u64::from(came.id));
        if came.login || challenged {
            owners.insert(connection, asked.client);
        }
        // What ended with the answer is nobody's any more.
        let lasts = notes.lasting.contains(&(connection, came.id))
            && notes
                .got
                .iter()
                .any(|got| got.id == came.id && got.whole && got.connection == Some(connection));
        if lasts && owners.contains_key(&connection) {
            let shown =
                came.login || owned.values().any(|own| (own.0, own.1) == (connection, true));
            owned.insert((asked.client, asked.pool), (connection, shown, came.at));
        }
    }
}

/// Where servers know users, each answer is in the name of who asked: a client is nobody until its
/// log-in was answered, and itself from then on, at each pool.
fn names(notes: &Notes, wrong: &mut Vec<String>) {
    // Whom each is known as, and whether it has begun to log in.
    let mut known: BTreeMap<(u32, char), (u32, bool)> = BTreeMap::new();
    for got in &notes.got {
        let (Some(asked), Some(named)) = (notes.asked.get(&got.id), got.user) else { continue };
        let (name, begun) = known.entry((asked.client, asked.pool)).or_default();
        let begun = match asked.message {
            None => *begun,
            message => std::mem::replace(begun, message == Some(Message::First)),
        };
        let status = match asked.message {
            Some(Message::Third) if begun => {
                *name = asked.user;
                200
            }
            Some(Message::Ticket) => {
                *name = asked.user;
                200
            }
            // The proxy may have refused the first message.
            Some(Message::First | Message::Third) => {
                *name = 0;
                401
            }
            // Whoever is nobody may be asked to log in.
            None if *name == 0 => got.status,
            None => 200,
        };
        if named != *name {
            wrong.push(format!(
                "{} of user {name}, by client {}, was answered in the name of {named}",
                got.id, asked.client
            ));
        }
        if got.status != status {
            wrong.push(format!(
                "{} of user {name} was answered by {}, not {status}",
                got.id, got.status
            ));
        }
    }
}

/// No more clients of an address are let in than may, and no fewer.
fn crowds(notes: &Notes, wrong: &mut Vec<String>) {
    let Some(most) = notes.per_address_max else { return };
    let is_refused = |connection: u32| {
        let mut got = notes.got.iter().filter(|got| got.wire == connection);
        // Whoever is refused and too slow is told the latter.
        let first = got.next().filter(|got| got.status != 408)?;
        Some(first.status == 429 && first.connection.is_none())
    };
    for one in &notes.stays {
        let Some(refused) = is_refused(one.connection) else { continue };
        let neighbours = notes
            .stays
            .iter()
            .filter(|other| other.connection != one.connection && other.from.ip() == one.from.ip());
        let mut inside = 0;
        let mut unclear = false;
        for other in neighbours {
            // Who came or went in the same moment, or left without an answer, may count or not.
            unclear |= other.since == one.since || other.until == one.since;
            let is_there = other.since < one.since && one.since < other.until;
            unclear |= is_there && is_refused(other.connection).is_none();
            inside += usize::from(is_there && is_refused(other.connection) == Some(false));
        }
        if !unclear && refused != (inside >= most) {
            let verb = if refused { "refused" } else { "let in" };
            wrong.push(format!("a client was {verb} while {inside} of its address were there"));
        }
    }
}

/// What a run has shown that nobody sees from one side alone.
pub(crate) fn look(notes: &Notes) -> Vec<(&'static str, u32)> {
    let mut times: BTreeMap<u32, u32> = BTreeMap::new();
    let mut logged_in = BTreeSet::new();
    let (mut again, mut pinned) = (0, 0);
    for came in &notes.came {
        let count = times.entry(came.id).or_default();
        again += u32::from(*count > 0);
        *count += 1;
        pinned += u32::from(!came.login && logged_in.contains(&came.connection));
        if came.login || notes.challenged.iter().any(|(other, _)| *other == came.connection) {
            logged_in.insert(came.connection);
        }
    }
    let found = [("came again", again), ("on a pin", pinned)];
    found.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// The oracle's own eyes: what it says of runs that are made by hand.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::notes::{Got, Reigned};

    /// Two pools with a server each; the second Config refuses what is for the second.
    struct Two;

    fn server(pool: char) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, pool as u8], 80))
    }

    impl Files for Two {
        fn serves(&self, live: usize, pool: char, at: SocketAddr) -> bool {
            at == server(pool) && !self.refuses(live, pool)
        }

        fn refuses(&self, live: usize, pool: char) -> bool {
            live == 1 && pool == 'b'
        }
    }

    /// Each word is one thing that happens: `ask1` (client, and that client's number of it),
    /// `came1.7` (request and connection), `got1.7`, with a letter behind it for what is special.
    fn run(story: &str) -> Vec<String> {
        let mut notes = Notes::default();
        notes.reigned.push(Reigned { live: 0, from: 0 });
        for (at, word) in story.split(' ').enumerate() {
            let at = at as u64 + 1;
            let numbers = word.trim_matches(|c: char| c.is_ascii_lowercase());
            let special = word.trim_start_matches(|c: char| !c.is_ascii_digit());
            let special = special.trim_start_matches(|c: char| !c.is_ascii_lowercase());
            let (id, connection) = numbers.split_once('.').unwrap_or((numbers, ""));
            let (id, connection) = (id.parse().unwrap_or(0), connection.parse().ok());
            let client = id / 10;
            match word.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default() {
                "ask" => {
                    let repeatable = !special.contains('p') && !special.contains('l');
                    let login = special.contains('l');
                    let refusal = special.contains('r').then_some(431);
                    let message = match special.chars().next() {
                        Some('f') => Some(Message::First),
                        Some('t') => Some(Message::Third),
                        Some('k') => Some(Message::Ticket),
                        _ => None,
                    };
                    let asked = Asked {
                        client,
                        pool: 'a',
                        repeatable,
                        login,
                        user: client,
                        message,
                        refusal,
                        at,
                    };
                    notes.asked.insert(id, asked);
                }
                "came" => {
                    let pool = if special.contains('b') { 'b' } else { 'a' };
                    let login = special.contains('l');
                    let connection = connection.unwrap_or_default();
                    notes.came.push(Came { id, server: server(pool), connection, at, login });
                    notes.lasting.insert((connection, id));
                }
                _ => {
                    let client = if special.contains('x') { 99 } else { client };
                    let status = if special.contains('f') { 404 } else { 200 };
                    let wire = client;
                    // The name of users 1 to 9 is a letter.
                    let name = special.chars().find(|c| ('n'..='w').contains(c));
                    let user = name.map(|name| name as u32 - 'n' as u32);
                    let status = if special.contains('c') { 401 } else { status };
                    let whole = true;
                    notes.got.push(Got { id, client, wire, status, connection, user, whole, at });
                }
            }
        }
        judge(&notes, &Two)
    }

    #[track_caller]
    fn check(story: &str, expected: &str) {
        let wrong = run(story).join("; ");
        let fits = if expected.is_empty() { wrong.is_empty() } else { wrong.contains(expected) };
        assert!(fits, "{story}: {wrong:?} instead of {expected:?}");
    }

    #[test]
    fn answers() {
        check("ask11 came11.1 got11.1", "");
        check("ask11 came11.1 got11.1 got11.1", "answered twice");
        check("ask11 came11.1 got11.1x", "came to client 99");
        check("ask11 came11.1 got11.2", "from where it never came");
        check("got11.1", "nobody asked");
        check("came11.1", "nobody sent it");
        check("ask11 got11f", "no file said so");
        check("ask11r came11.1", "was to be refused");
    }

    #[test]
    fn ways() {
        check("ask11 came11.1b", "not its pool's");
        check("ask10 came10.1 ask11 came11.1 came11.2 got11.2", "");
        check("ask10 came10.1 ask11 came11.2 came11.1 got11.2", "");
        check("ask11 came11.1 came11.2", "from a used connection to a fresh one");
        check("ask10 came10.1 ask11p came11.1 came11.2", "must not be repeated");
        check("ask10 came10.1 ask11 came11.1 came11.2 came11.3", "more than twice");
    }

    /// `n` is nobody, `o` the user of client 1, `p` that of client 2.
    #[test]
    fn in_whose_name() {
        let log_in = "ask11f came11.1 got11.1cn ask12t came12.1 got12.1o";
        check(log_in, "");
        check("ask11 came11.1 got11.1n ask12k came12.1 got12.1o ask13 came13.1 got13.1o", "");
        check("ask11 came11.1 got11.1cn", "");
        check(
            "ask11 came11.1 got11.1p",
            "11 of user 0, by client 1, was answered in the name of 2",
        );
        check(&format!("{log_in} ask13 came13.1 got13.1p"), "in the name of 2");
        check(&format!("{log_in} ask13 came13.1 got13.1n"), "in the name of 0");
        check(&format!("{log_in} ask13 came13.1 got13.1co"), "was answered by 401");
        check(&format!("{log_in} ask21 came21.2 got21.2o"), "in the name of 1");
        check("ask11f came11.1 got11.1cn ask12t came12.1 got12.1cn", "by 401, not 200");
        check("ask11f came11.1 got11.1n", "by 200, not 401");
        check("ask12t came12.1 got12.1cn", "");
    }

    #[test]
    fn log_ins() {
        check("ask11l came11.1l got11.1 ask12 came12.1", "");
        check("ask11l came11.1l got11.1 ask21 came21.1", "logged in as client 1");
        check("ask11l came11.1l got11.1 ask12 came12.2", "is logged in on 1");
        check("ask21 came21.1 ask11l came11.1l", "on a connection that others had used");
        check("ask20 came20.1 ask11l came11.1l came11.2l", "shows a log-in and came again");
    }
}

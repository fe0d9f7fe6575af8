//! What must hold of every run, whatever the dice say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::notes::{Asked, Came, Notes};

/// Whether a server is one of the pool's in a Config.
pub(crate) type Serves<'s> = &'s dyn Fn(usize, char, SocketAddr) -> bool;

/// Everything that is wrong with a run.
pub(crate) fn judge(notes: &Notes, serves: Serves<'_>) -> Vec<String> {
    let mut wrong = notes.wrong.clone();
    one_answer(notes, &mut wrong);
    arrivals(notes, serves, &mut wrong);
    identities(notes, &mut wrong);
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

/// Requests come to servers of their pool, and no more often than they may.
fn arrivals(notes: &Notes, serves: Serves<'_>, wrong: &mut Vec<String>) {
    let mut times: BTreeMap<u32, Vec<&Came>> = BTreeMap::new();
    let mut used = BTreeSet::new();
    for came in &notes.came {
        let Some(asked) = notes.asked.get(&came.id) else {
            wrong.push(format!("{} came to a server and nobody sent it", came.id));
            continue;
        };
        if !right_server(notes, asked, came, serves) {
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
        if !before.is_empty() && used.contains(&came.connection) {
            wrong.push(format!("{} was repeated on a connection that had served", came.id));
        }
        if before.first().is_some_and(|first| !is_reused(notes, first)) {
            wrong.push(format!("{} was repeated after a fresh connection", came.id));
        }
        before.push(came);
        used.insert(came.connection);
    }
}

fn is_reused(notes: &Notes, came: &Came) -> bool {
    let first = notes.came.iter().find(|other| other.connection == came.connection);
    first.is_some_and(|first| first.id != came.id)
}

fn right_server(notes: &Notes, asked: &Asked, came: &Came, serves: Serves<'_>) -> bool {
    notes.reigned.iter().enumerate().any(|(at, reigned)| {
        let until = notes.reigned.get(at + 1).map_or(u64::MAX, |next| next.from);
        let overlaps = reigned.from <= came.at && until >= asked.at;
        overlaps && serves(reigned.live, asked.pool, came.server)
    })
}

/// Once a log-in was shown or asked for on an upstream connection, it is one client's alone; and
/// that client's requests go nowhere else as long as it lasts.
fn identities(notes: &Notes, wrong: &mut Vec<String>) {
    // Whose each connection is from when on.
    let mut owners: BTreeMap<u32, u32> = BTreeMap::new();
    // And which one is whose, by pool.
    let mut owned: BTreeMap<(u32, char), u32> = BTreeMap::new();
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
        if let Some(own) = owned.get(&(asked.client, asked.pool))
            && *own != connection
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
            owned.insert((asked.client, asked.pool), connection);
        }
    }
}

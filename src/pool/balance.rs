//! Which server is asked next.

use super::health::Standing;
use super::settings::Balance;

/// What is known about a server at the moment of choosing.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    /// Exchanges under way.
    pub load: u32,
    /// Its share against the others'.
    pub weight: u32,
    /// Only when no other is left.
    pub backup: bool,
    /// It failed in this exchange already.
    pub tried: bool,
    /// Its health.
    pub standing: Standing,
}

/// Picks one of `count` servers; `turn` moves on by one each time and starts anywhere. A worse
/// server is asked only when no better one is left. `None` if all were tried, or may not be.
pub fn pick(
    count: usize,
    candidate: impl Fn(usize) -> Candidate,
    balance: Balance,
    turn: usize,
) -> Option<usize> {
    let among = |class: Class| match balance {
        Balance::RoundRobin => in_turn(count, &candidate, turn, class),
        Balance::LeastLoaded => least_loaded(count, &candidate, turn, class),
    };
    // One that comes back between two looks stands nowhere, and would be missed.
    let anybody = |&index: &usize| {
        let candidate = candidate(index);
        !candidate.tried && candidate.standing != Standing::Out && candidate.weight > 0
    };
    CLASSES.into_iter().find_map(among).or_else(|| (0..count).find(anybody))
}

/// How it stands, and whether it is a backup.
type Class = (Standing, bool);

/// Best first.
const CLASSES: [Class; 6] = [
    (Standing::Up, false),
    (Standing::Up, true),
    (Standing::LeftOut, false),
    (Standing::LeftOut, true),
    (Standing::Down, false),
    (Standing::Down, true),
];

fn usable(candidate: Candidate, class: Class) -> bool {
    !candidate.tried && (candidate.standing, candidate.backup) == class && candidate.weight > 0
}

/// Each server in turn, as often as its weight says.
fn in_turn(
    count: usize,
    candidate: &impl Fn(usize) -> Candidate,
    turn: usize,
    class: Class,
) -> Option<usize> {
    let fitting = || (0..count).filter(|&index| usable(candidate(index), class));
    let total: usize = fitting().map(|index| candidate(index).weight as usize).sum();
    let mut left = turn.checked_rem(total)?;
    fitting().find(|&index| {
        let weight = candidate(index).weight as usize;
        let here = left < weight;
        left = left.saturating_sub(weight);
        here
    })
}

/// The one with the fewest exchanges for its weight; among equals the next in turn.
fn least_loaded(
    count: usize,
    candidate: &impl Fn(usize) -> Candidate,
    turn: usize,
    class: Class,
) -> Option<usize> {
    let start = turn.checked_rem(count)?;
    let from_start = (start..count).chain(0..start);
    let fitting = from_start.filter(|&index| usable(candidate(index), class));
    fitting.min_by(|&left, &right| {
        let (left, right) = (candidate(left), candidate(right));
        // load / weight compared without dividing.
        let ours = u64::from(left.load) * u64::from(right.weight);
        ours.cmp(&(u64::from(right.load) * u64::from(left.weight)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(load: u32, weight: u32) -> Candidate {
        Candidate { load, weight, backup: false, tried: false, standing: Standing::Up }
    }

    #[track_caller]
    fn check(servers: &[Candidate], balance: Balance, expected: &[usize]) {
        let picked: Vec<usize> = (0..expected.len())
            .map(|turn| pick(servers.len(), |index| servers[index], balance, turn).unwrap())
            .collect();
        assert_eq!(picked, expected);
    }

    #[test]
    fn round_robin_follows_the_weights() {
        let servers = [server(9, 1), server(0, 2), server(0, 0)];
        check(&servers, Balance::RoundRobin, &[0, 1, 1, 0, 1, 1]);
    }

    #[test]
    fn least_loaded_counts_by_weight_and_shares_ties() {
        check(&[server(3, 1), server(2, 1)], Balance::LeastLoaded, &[1, 1]);
        check(&[server(3, 2), server(2, 1)], Balance::LeastLoaded, &[0, 0]);
        check(&[server(1, 1), server(1, 1)], Balance::LeastLoaded, &[0, 1, 0]);
    }

    #[test]
    fn backup_and_tried_servers_wait_for_their_turn() {
        let backup = Candidate { backup: true, ..server(0, 1) };
        let tried = Candidate { tried: true, ..server(0, 1) };
        for balance in [Balance::RoundRobin, Balance::LeastLoaded] {
            check(&[backup, server(9, 1)], balance, &[1, 1]);
            check(&[backup, tried], balance, &[0, 0]);
            assert_eq!(pick(1, |_| tried, balance, 0), None);
            assert_eq!(pick(0, |_| tried, balance, 0), None);
        }
    }

    /// Other workers hear of servers while this one looks at them.
    #[test]
    fn a_server_that_comes_back_meanwhile_is_not_missed() {
        let standings = [Standing::Up, Standing::LeftOut, Standing::Down];
        for balance in [Balance::RoundRobin, Balance::LeastLoaded] {
            for (before, after) in standings.iter().flat_map(|one| standings.map(|two| (*one, two)))
            {
                for changes_at in 0..20 {
                    let looks = std::cell::Cell::new(0);
                    let candidate = |_| {
                        let standing = if looks.get() < changes_at { before } else { after };
                        looks.set(looks.get() + 1);
                        Candidate { standing, ..server(0, 1) }
                    };
                    let picked = pick(1, candidate, balance, 0);
                    assert_eq!(picked, Some(0), "{before:?}, then {after:?} at {changes_at}");
                }
            }
        }
    }

    /// Servers as letters, capital for a backup: `u`p, `l`eft out, `d`own, `o`ut. Who is asked, one
    /// after the other, by somebody for whom all fail.
    #[test]
    fn worse_servers_are_asked_when_no_better_is_left() {
        for (letters, expected) in [
            ("uu", "01"),
            ("lu", "10"),
            ("lU", "10"),
            ("dlUu", "3210"),
            ("DLdlo", "3120"),
            ("oO", ""),
        ] {
            let standing = |letter: char| match letter.to_ascii_lowercase() {
                'u' => Standing::Up,
                'l' => Standing::LeftOut,
                'd' => Standing::Down,
                _ => Standing::Out,
            };
            let mut servers: Vec<Candidate> = letters
                .chars()
                .map(|letter| Candidate {
                    backup: letter.is_uppercase(),
                    standing: standing(letter),
                    ..server(0, 1)
                })
                .collect();
            for balance in [Balance::RoundRobin, Balance::LeastLoaded] {
                let mut asked = String::new();
                while let Some(next) = pick(servers.len(), |index| servers[index], balance, 0) {
                    asked += &next.to_string();
                    servers[next].tried = true;
                }
                assert_eq!(asked, expected, "{letters}");
                servers.iter_mut().for_each(|server| server.tried = false);
            }
        }
    }
}

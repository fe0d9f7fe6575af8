//! Scripts of evidence: what is known after each step.

use super::*;

const POLICY: Policy = Policy { fall: 3, rise: 2, telling: false, try_all: true };

/// One line of a script: seconds, what happens, and how the server stands behind it.
///
/// `+`, `-` probes; `a` answered; `f` failed; `z` slow; `s` silent; `t` somebody picks it; `d`, `u`
/// the operator; `.` nothing, `*` probes changed.
#[track_caller]
fn check(policy: Policy, script: &str) {
    let mut state = State::default();
    for line in script.split(',') {
        let mut words = line.split_whitespace();
        let [at, what, expected] = [(); 3].map(|()| words.next().unwrap());
        let now = 1 + (at.parse::<f64>().unwrap() * 1000.0) as u64;
        for step in what.chars() {
            let trouble = Trouble::Refused;
            let evidence = match step {
                '+' => Evidence::ProbePassed,
                '-' => Evidence::ProbeFailed(trouble),
                '*' => Evidence::ProbesChanged,
                'a' => Evidence::Answered,
                'f' => Evidence::Failed(trouble),
                'z' => Evidence::Slow(trouble),
                's' => Evidence::Silent(trouble),
                'd' | 'u' => Evidence::Drain(step == 'd'),
                't' => {
                    if state.may_be_tried(now, policy) {
                        state = state.tried(now);
                    }
                    continue;
                }
                _ => continue,
            };
            state = state.heard(evidence, now, policy);
            assert_eq!(State::of_word(state.word()), state, "{line}");
        }
        let seen = match state.standing(now, policy) {
            Standing::Up => "up",
            Standing::LeftOut => "left-out",
            Standing::Down => "down",
            Standing::Out => "out",
        };
        assert_eq!(seen, expected, "{script}: {line}: {state:?}");
    }
}

#[test]
fn probes() {
    check(POLICY, "0 + up, 5 -- up, 10 - down, 15 + down, 20 + up");
    check(POLICY, "0 -- up, 5 + up, 10 -- up, 15 - down");
    check(POLICY, "0 --- down, 5 + down, 10 - down, 15 + down, 20 + up, 25 -- up, 30 - down");
    check(Policy { fall: 1, rise: 1, ..POLICY }, "0 - down, 5 + up, 10 - down");
    check(POLICY, "0 --- down, 1 * up, 5 -- up, 9 - down");
    // An answer to an exchange does not overrule what probes look at.
    check(POLICY, "0 --- down, 1 a down");
    check(Policy { try_all: false, ..POLICY }, "0 -- up, 5 - out, 10 ++ up");
}

#[test]
fn failures_in_a_row() {
    check(POLICY, "0 ff up, 1 a up, 2 ff up, 3 f left-out");
    // The rest of what was under way says nothing new.
    check(POLICY, "0 fff left-out, 4.9 ffff left-out, 5 . up");
    check(POLICY, "0 fff left-out, 1 a up, 2 ff up, 3 f left-out");
}

#[test]
fn silence_is_believed_at_once_and_slowness_is_not() {
    check(POLICY, "0 s left-out, 4.9 . left-out, 5 . up");
    // One at a time finds out whether the request or the server was slow.
    check(POLICY, "0 z up, 0.1 t left-out, 0.2 a up, 0.3 . up");
    check(POLICY, "0 z up, 0.1 t left-out, 2 s left-out, 6.9 . left-out, 7 . up");
    // Who tries may never come back.
    check(POLICY, "0 z up, 0.1 t left-out, 5.2 . up, 5.3 t left-out, 10.4 . up");
}

#[test]
fn the_pause_grows_until_there_is_an_answer() {
    check(
        POLICY,
        "0 fff left-out, 5 . up, 5 tf left-out, 14.9 . left-out, 15 . up, 15 ts left-out, \
         34.9 . left-out, 35 . up, 35 t left-out, 75 t left-out, 154.9 . left-out, 155 t left-out, \
         234.9 . left-out, 235 t left-out, 236 a up, 237 fff left-out, 242 . up",
    );
    assert_eq!((pause(1), pause(2), pause(15)), (5_000, 10_000, 80_000));
}

#[test]
fn a_telling_probe_tries_in_the_place_of_users() {
    let telling = Policy { telling: true, ..POLICY };
    check(telling, "0 fff left-out, 4 + left-out, 6 . left-out, 9 + up");
    // Without an answer between, the next pause is longer.
    check(
        telling,
        "0 s left-out, 6 + up, 7 s left-out, 16 + left-out, 18 + up, 19 as left-out, 25 + up",
    );
    // A doubt is cleared by whoever is first.
    check(telling, "0 z up, 1 t left-out, 2 a up");
    // Another port says nothing about requests.
    check(POLICY, "0 fff left-out, 4 + left-out, 4.9 + left-out, 5 t left-out, 6 + left-out");
}

#[test]
fn a_server_that_comes_back_is_a_new_one() {
    check(POLICY, "0 fff left-out, 1 --- down, 2 ++ up");
    check(POLICY, "0 s left-out, 1 --- down, 90 . down, 91 t down, 92 ++ up");
}

#[test]
fn the_operator_is_stronger() {
    check(POLICY, "0 d out, 1 ++ out, 2 a out, 3 u up");
    check(POLICY, "0 --- down, 1 d out, 2 * out, 3 u up");
}

#[test]
fn what_is_shown() {
    let after = |evidence: &[Evidence]| {
        let hear = |state: State, one: &Evidence| state.heard(*one, 1, POLICY);
        evidence.iter().fold(State::default(), hear).shown()
    };
    let (failed, probe) =
        (Evidence::Failed(Trouble::Closed), Evidence::ProbeFailed(Trouble::Status(500)));
    assert_eq!(after(&[failed; 2]), Shown::Up);
    assert_eq!(after(&[Evidence::Slow(Trouble::HeadTimedOut)]), Shown::Up);
    assert_eq!(after(&[failed; 3]), Shown::LeftOut);
    assert_eq!(after(&[failed, failed, failed, probe, probe, probe]), Shown::Down);
    assert_eq!(after(&[probe, probe, probe, Evidence::Drain(true)]), Shown::Drained);
}

#[test]
fn the_best_state_is_zero_and_codes_return() {
    assert_eq!(State::default().word(), 0);
    assert!(!State::waits_for_answer(
        State { down: true, against: 255, ..State::default() }.word()
    ));
    let state =
        State { down: true, drained: true, against: 200, failures: 255, times: 15, until: 1 << 40 };
    assert_eq!(State::of_word(state.word()), state);
    for code in (0..9).chain([1 << 16 | 503, 2 << 16]) {
        if let Some(trouble) = Trouble::of_code(code) {
            assert_eq!(trouble.code(), code);
        }
    }
    assert_eq!(Trouble::of_code(Trouble::Status(503).code()), Some(Trouble::Status(503)));
}

/// Whatever is heard: the word holds all of it, and a server that was just answered is up unless
/// probes or the operator say otherwise.
#[test]
fn any_evidence() {
    let (mut seed, mut state, mut now) = (1_u64, State::default(), 1);
    for _ in 0..20_000 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let trouble = Trouble::HeadTimedOut;
        let all = [
            Evidence::ProbePassed,
            Evidence::ProbeFailed(trouble),
            Evidence::Answered,
            Evidence::Failed(trouble),
            Evidence::Slow(trouble),
            Evidence::Silent(trouble),
        ];
        let policy = Policy { telling: seed >> 40 & 1 == 0, ..POLICY };
        now += seed >> 50;
        let evidence = all[(seed >> 33) as usize % all.len()];
        state = state.heard(evidence, now, policy);
        if state.may_be_tried(now, policy) {
            let tried = state.tried(now);
            assert!(!tried.may_be_tried(now, policy), "one at a time");
            state = tried;
        }
        assert_eq!(State::of_word(state.word()), state);
        assert!(state.until <= now + LEFT_OUT_LAST, "nobody is left out for longer");
        if evidence == Evidence::Answered {
            assert!(!State::waits_for_answer(state.word()));
        }
    }
}

//! How an outcome is told and what it means.

use super::*;

fn line(state: State, what: &str) -> Line {
    Line { state, ..Line::ok(what, "this") }
}

fn outcome(states: &[State]) -> Outcome {
    let lines = states.iter().map(|state| line(*state, "thing")).collect();
    Outcome { base: "debian-13".to_owned(), time: Timestamp::UNIX_EPOCH, lines }
}

#[test]
fn the_status_tells_wrong_from_untold() {
    for (states, status) in [
        (&[State::Ok, State::Warn][..], 0),
        (&[State::Ok, State::Unknown], 2),
        (&[State::Unknown, State::Fail, State::Ok], 1),
        (&[], 0),
    ] {
        assert_eq!(outcome(states).status(), status, "{states:?}");
    }
}

#[test]
fn what_is_wrong_is_told_first_with_what_to_do() {
    let mut outcome = outcome(&[State::Ok, State::Unknown]);
    outcome.lines.push(Line {
        state: State::Fail,
        what: "kernel.metal".to_owned(),
        found: "no package `linux-image-amd46`\nin trixie".to_owned(),
        expected: Some("`linux-image-amd46`".to_owned()),
        hint: Some("the nearest name is `linux-image-amd64`".to_owned()),
    });
    let told = "\x20FAIL  kernel.metal
       found      no package `linux-image-amd46`
                  in trixie
       expected   `linux-image-amd46`
       hint       the nearest name is `linux-image-amd64`
 ????  thing
       found      this
 ok    thing                        this
debian-13: 1 of 3 are wrong, 1 could not be told
";
    assert_eq!(outcome.to_string(), told);
}

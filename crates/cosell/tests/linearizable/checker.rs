//! A linearizability checker for one referral: is there an order of all calls, each at one moment between its question
//! and its answer, in which a register with conditional writes gives these answers? No I/O.
//!
//! The search is that of Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with the memory of Lowe,
//! "Testing for linearizability" (2017): which calls were done and what state they led to is tried once.

use std::collections::HashSet;

/// A referral as far as the register goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The counter of its ETag; 1 when it was made.
    pub version: u64,
    /// The mark of its last write; 0 when there was none.
    pub mark: u64,
}

/// As a referral begins.
pub const MADE: State = State { version: 1, mark: 0 };

/// What was asked, and what was answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Call {
    /// The referral was shown, by itself or in a list.
    Shown(State),
    /// It was not there: never right, for it is made before all calls, and nothing deletes it.
    Absent,
    /// A list of all with this mark was without it.
    Without(u64),
    /// A write was acknowledged with this version. `expected`: the version of its `If-Match`; `None`: any.
    Written { mark: u64, expected: Option<u64>, version: u64 },
    /// A write under this version was refused with 412.
    Refused { expected: u64 },
    /// A write that nobody knows the end of. It may have its effect at any time after it was asked, or never.
    Unanswered { mark: u64, expected: Option<u64> },
}

/// A call with its moments, on a clock that never gives one twice.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Who asked, for the report.
    pub client: usize,
    /// The call.
    pub call: Call,
    /// Before the request was sent.
    pub asked: u64,
    /// After the answer was there; without meaning for `Unanswered`.
    pub answered: u64,
}

/// More places than this are not tried: the history is too long or too wide to be judged.
const PLACES: usize = 2_000_000;

impl State {
    /// The state after a call, if the call can be answered so in this one.
    fn after(self, call: Call) -> Option<State> {
        let takes = |expected: Option<u64>| expected.is_none_or(|expected| expected == self.version);
        let then = |mark| State { version: self.version + 1, mark };
        match call {
            Call::Shown(state) => (state == self).then_some(self),
            Call::Absent => None,
            Call::Without(mark) => (mark != self.mark).then_some(self),
            Call::Written { mark, expected, version } => {
                (takes(expected) && version == self.version + 1).then(|| then(mark))
            }
            Call::Refused { expected } => (expected != self.version).then_some(self),
            Call::Unanswered { mark, expected } => takes(expected).then(|| then(mark)),
        }
    }
}

impl Timed {
    fn is_optional(&self) -> bool {
        matches!(self.call, Call::Unanswered { .. })
    }

    /// The last moment at which it may have happened.
    fn latest(&self) -> u64 {
        if self.is_optional() { u64::MAX } else { self.answered }
    }
}

/// A set of calls by their places in the history.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn has(&self, place: usize) -> bool {
        self.0[place / 64] >> (place % 64) & 1 == 1
    }

    fn with(&self, place: usize) -> Done {
        let mut more = self.clone();
        more.0[place / 64] |= 1 << (place % 64);
        more
    }
}

/// Says why there is no such order; the calls come in any order.
///
/// # Errors
/// The calls that come next wherever the longest order ends, and what the referral is there.
pub fn check(history: &[Timed]) -> Result<(), String> {
    let mut history = history.to_vec();
    history.sort_by_key(|timed| timed.asked);
    let needed = history.iter().filter(|timed| !timed.is_optional()).count();
    let nothing = Done(vec![0; history.len().div_ceil(64)]);
    let mut seen = HashSet::from([(nothing.clone(), MADE)]);
    let mut open = vec![(nothing, MADE, 0)];
    let mut furthest = (0, String::from("nothing can come first"));
    while let Some((done, state, count)) = open.pop() {
        if count == needed {
            return Ok(());
        }
        let mut next = candidates(&history, &done);
        if count >= furthest.0 {
            let stuck: Vec<&Timed> = next.iter().map(|place| &history[*place]).collect();
            furthest =
                (count, format!("after {count} of {needed} calls it is {state:?}, and next are {stuck:#?}"));
        }
        // Those that are answered first are tried first, and so are last on the stack.
        next.sort_by_key(|place| std::cmp::Reverse(history[*place].latest()));
        for place in next {
            let Some(after) = state.after(history[place].call) else { continue };
            let step = (done.with(place), after);
            if seen.insert(step.clone()) {
                open.push((step.0, step.1, count + usize::from(!history[place].is_optional())));
            }
        }
        assert!(seen.len() < PLACES, "{} calls are too many to be judged", history.len());
    }
    Err(furthest.1)
}

/// The calls that may come next: those that were asked before any other that is not done was answered.
fn candidates(history: &[Timed], done: &Done) -> Vec<usize> {
    let open = || history.iter().enumerate().filter(|(place, _)| !done.has(*place));
    let horizon = open().map(|(_, timed)| timed.latest()).min().unwrap_or(u64::MAX);
    open().take_while(|(_, timed)| timed.asked < horizon).map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::chance::{Chance, seed};

    const A: Option<u64> = Some(1);

    fn shown(version: u64, mark: u64) -> Call {
        Call::Shown(State { version, mark })
    }

    fn written(mark: u64, expected: Option<u64>, version: u64) -> Call {
        Call::Written { mark, expected, version }
    }

    fn history(calls: &[(u64, u64, Call)]) -> Vec<Timed> {
        let timed = |(asked, answered, call): &(u64, u64, Call)| Timed {
            client: 0,
            call: *call,
            asked: *asked,
            answered: *answered,
        };
        calls.iter().map(timed).collect()
    }

    #[track_caller]
    fn is_right(calls: &[(u64, u64, Call)]) {
        assert_eq!(check(&history(calls)), Ok(()));
    }

    #[track_caller]
    fn is_wrong(calls: &[(u64, u64, Call)]) {
        assert!(check(&history(calls)).is_err(), "{calls:#?}");
    }

    #[test]
    fn reads_beside_a_write_show_either_version_and_never_go_back() {
        is_right(&[(1, 6, written(7, A, 2)), (2, 3, shown(1, 0)), (4, 5, shown(2, 7)), (7, 8, shown(2, 7))]);
        is_right(&[(1, 6, written(7, A, 2)), (2, 5, shown(2, 7)), (3, 4, shown(1, 0))]);
        is_wrong(&[(1, 6, written(7, A, 2)), (2, 3, shown(2, 7)), (4, 5, shown(1, 0))]);
    }

    #[test]
    fn a_stale_read_after_an_acknowledged_write_is_found() {
        is_wrong(&[(1, 2, written(7, A, 2)), (3, 4, shown(1, 0))]);
        is_wrong(&[(1, 2, written(7, A, 2)), (3, 4, Call::Without(7))]);
        is_wrong(&[(1, 2, written(7, A, 2)), (3, 4, Call::Absent)]);
        is_right(&[(1, 2, written(7, A, 2)), (3, 4, Call::Without(8))]);
        is_wrong(&[(1, 2, shown(2, 7)), (3, 4, written(7, A, 2))]);
    }

    #[test]
    fn two_writes_that_both_replace_one_version_are_found() {
        is_wrong(&[(1, 4, written(7, A, 2)), (2, 3, written(8, A, 3))]);
        is_wrong(&[(1, 4, written(7, A, 2)), (2, 3, written(8, A, 2))]);
        is_right(&[(1, 4, written(7, A, 2)), (2, 3, Call::Refused { expected: 1 })]);
        is_right(&[(1, 4, written(7, None, 3)), (2, 3, written(8, A, 2))]);
        is_wrong(&[(1, 2, Call::Refused { expected: 1 }), (3, 4, written(7, A, 2))]);
    }

    #[test]
    fn an_unanswered_write_may_come_late_or_never_but_once() {
        let unanswered = (1, 0, Call::Unanswered { mark: 7, expected: A });
        is_right(&[unanswered, (2, 3, shown(1, 0)), (4, 5, shown(2, 7))]);
        is_right(&[unanswered, (2, 3, shown(1, 0)), (4, 5, written(8, A, 2)), (6, 7, shown(2, 8))]);
        is_wrong(&[unanswered, (2, 3, shown(2, 7)), (4, 5, shown(1, 0))]);
        is_wrong(&[unanswered, (2, 3, shown(2, 7)), (4, 5, written(8, A, 2))]);
        is_wrong(&[(2, 3, shown(2, 7)), (4, 0, Call::Unanswered { mark: 7, expected: A })]);
        let any = (1, 0, Call::Unanswered { mark: 7, expected: None });
        is_right(&[any, (2, 3, written(8, A, 2)), (4, 5, shown(3, 7))]);
        is_wrong(&[any, (2, 3, shown(2, 7)), (4, 5, written(8, None, 3)), (6, 7, shown(4, 7))]);
    }

    /// Every order of so few calls, tried without any cleverness.
    fn is_right_by_trying(rest: &[Timed], state: State) -> bool {
        let first = |chosen: &Timed| rest.iter().all(|other| chosen.asked < other.latest());
        rest.iter().all(Timed::is_optional)
            || rest.iter().enumerate().any(|(place, chosen)| {
                let mut left = rest.to_vec();
                left.remove(place);
                first(chosen)
                    && state.after(chosen.call).is_some_and(|state| is_right_by_trying(&left, state))
            })
    }

    /// Calls as a register answers them, in overlapping times; half of the histories are spoilt in one place.
    fn invented(chance: &mut Chance) -> Vec<Timed> {
        let mut state = MADE;
        let mut history = Vec::new();
        for mark in 1..=6 {
            let expected = [None, Some(state.version), Some(chance.below(3) + 1)][chance.below(3) as usize];
            let takes = expected.is_none_or(|expected| expected == state.version);
            let call = match (chance.below(5), expected) {
                (0..2, _) => Call::Shown(state),
                (2, _) => {
                    if takes && chance.percent(50) {
                        state = State { version: state.version + 1, mark };
                    }
                    Call::Unanswered { mark, expected }
                }
                (_, Some(expected)) if !takes => Call::Refused { expected },
                _ => {
                    state = State { version: state.version + 1, mark };
                    Call::Written { mark, expected, version: state.version }
                }
            };
            let moment = mark * 100;
            let asked = moment - chance.below(250).min(moment - 1);
            history.push(Timed { client: 0, call, asked, answered: moment + chance.below(250) + 1 });
        }
        if chance.percent(50) {
            let place = chance.below(history.len() as u64) as usize;
            match &mut history[place].call {
                Call::Shown(state) => state.version = chance.below(4) + 1,
                Call::Written { version, .. } => *version = chance.below(4) + 1,
                Call::Refused { expected } => *expected = chance.below(4) + 1,
                _ => history[place].answered = history[place].asked + 1,
            }
        }
        history
    }

    #[test]
    fn it_judges_as_trying_every_order_does() {
        let mut chance = Chance::from_seed(seed());
        let mut right = 0;
        for _ in 0..3000 {
            let history = invented(&mut chance);
            let verdict = check(&history);
            assert_eq!(verdict.is_ok(), is_right_by_trying(&history, MADE), "{verdict:?} of {history:#?}");
            right += usize::from(verdict.is_ok());
        }
        assert!((500..2800).contains(&right), "{right} of 3000 are right: the histories show too little");
    }
}

//! What was sent and what was answered, held against what is on disk. No I/O: the checker is itself checked, with
//! histories that lack something.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use store::{Action, LogEntry};

/// A mark that one request leaves in the data and no other does.
pub type Mark = String;

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The process was killed first, or did not know: it may have had its effect, once.
    Unknown,
    /// It was acknowledged: its effect is on disk.
    Acknowledged {
        /// The referral.
        referral: String,
        /// The tag that the answer showed.
        etag: String,
    },
    /// It was refused: it has no effect.
    Refused(u16),
    /// It was a read, and its answer showed this version: that is on disk, whoever wrote it.
    Shown {
        /// The referral.
        referral: String,
        /// The tag that the answer showed.
        etag: String,
    },
}

/// One request and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its mark.
    pub mark: Mark,
    /// Its outcome.
    pub outcome: Outcome,
}

/// A change-log entry as the disk has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Whose log.
    pub organization: String,
    /// Its place there.
    pub position: u64,
    /// The referral.
    pub referral: String,
    /// The version it brought.
    pub version: u64,
    /// Whether it began the referral.
    pub created: bool,
    /// The mark of the request that wrote it.
    pub mark: Mark,
}

impl Line {
    /// Of an entry, and of the referral that it speaks of as that stands.
    pub fn of(organization: &str, entry: &LogEntry, document: &Value) -> Line {
        let changes: Value = serde_json::from_slice(&entry.entry.changes).unwrap();
        let created = entry.entry.action == Action::Created;
        let mark = if created { &document["name"] } else { &changes["externalReferenceId"][1] };
        Line {
            organization: organization.to_owned(),
            position: entry.position,
            referral: entry.referral_id.to_string(),
            version: entry.version,
            created,
            mark: mark.as_str().unwrap_or("no mark").to_owned(),
        }
    }
}

/// A referral as the disk has it.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Its version.
    pub version: u64,
    /// Its tag.
    pub etag: String,
    /// The mark of the last change that it shows; `None`: it was never changed.
    pub mark: Option<Mark>,
}

/// Where a mark was found.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    referral: String,
    version: u64,
}

/// Everything known of one data directory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    positions: BTreeMap<String, u64>,
    versions: BTreeMap<String, (u64, Mark)>,
    places: BTreeMap<Mark, Place>,
    sent: BTreeSet<Mark>,
}

impl Ledger {
    /// How far an organization's log is known.
    pub fn position(&self, organization: &str) -> u64 {
        self.positions.get(organization).copied().unwrap_or_default()
    }

    /// The same with nothing read yet: what was sent is known, the log is not.
    pub fn emptied(&self) -> Ledger {
        Ledger { sent: self.sent.clone(), ..Ledger::default() }
    }

    /// Takes in what was sent since the last time, the new lines of the log, and the referrals they speak of; says
    /// what is wrong.
    pub fn judge(
        &mut self,
        attempts: &[Attempt],
        lines: &[Line],
        states: &BTreeMap<String, State>,
    ) -> Vec<String> {
        self.sent.extend(attempts.iter().map(|attempt| attempt.mark.clone()));
        let mut wrong = Vec::new();
        for line in lines {
            self.enter(line, &mut wrong);
        }
        for attempt in attempts {
            self.hold(attempt, &mut wrong);
        }
        for (referral, state) in states {
            self.compare(referral, state, &mut wrong);
        }
        for line in lines.iter().filter(|line| !states.contains_key(&line.referral)) {
            wrong.push(format!("the log speaks of {}, which is not there", line.referral));
        }
        wrong
    }

    /// Log: no gap, one entry for each version, each from one request that was sent.
    fn enter(&mut self, line: &Line, wrong: &mut Vec<String>) {
        let position = self.positions.entry(line.organization.clone()).or_default();
        if line.position != *position + 1 {
            wrong.push(format!("after position {position} comes {} of {}", line.position, line.organization));
        }
        *position = line.position;
        let known = self.versions.get(&line.referral).map(|(version, _)| *version);
        match known {
            None if line.created => {}
            Some(version) if !line.created && line.version == version + 1 => {}
            _ => wrong.push(format!(
                "the entry for version {} of {} (created: {}) follows version {known:?}",
                line.version, line.referral, line.created
            )),
        }
        self.versions.insert(line.referral.clone(), (line.version, line.mark.clone()));
        if !self.sent.contains(&line.mark) {
            wrong.push(format!("nobody sent {}, which is in the log at {}", line.mark, line.position));
        }
        let place = Place { referral: line.referral.clone(), version: line.version };
        if let Some(before) = self.places.insert(line.mark.clone(), place) {
            wrong.push(format!(
                "{} had a second effect: {before:?}, then version {}",
                line.mark, line.version
            ));
        }
    }

    /// Acknowledged: it is there, as it was answered. Refused: it is not.
    fn hold(&self, attempt: &Attempt, wrong: &mut Vec<String>) {
        let mark = &attempt.mark;
        match (&attempt.outcome, self.places.get(mark)) {
            (Outcome::Unknown, _) | (Outcome::Refused(_), None) => {}
            (Outcome::Refused(status), Some(place)) => {
                wrong.push(format!("{mark} was refused with {status}, and yet had an effect: {place:?}"));
            }
            (Outcome::Shown { referral, etag }, _) => {
                let version = self.versions.get(referral).map(|(version, _)| *version);
                if version < version_of(etag) {
                    wrong.push(format!("{etag} of {referral} was shown, and is lost: it is at {version:?}"));
                }
            }
            (Outcome::Acknowledged { referral, etag }, None) => {
                wrong.push(format!("{mark} was acknowledged with {etag} of {referral}, and is lost"));
            }
            (Outcome::Acknowledged { referral, etag }, Some(place)) => {
                if *referral != place.referral || version_of(etag) != Some(place.version) {
                    wrong
                        .push(format!("{mark} was acknowledged with {etag} of {referral}, but is {place:?}"));
                }
            }
        }
    }

    /// State: it is what the last entry of the log brought.
    fn compare(&self, referral: &str, state: &State, wrong: &mut Vec<String>) {
        let Some((version, mark)) = self.versions.get(referral) else {
            wrong.push(format!("{referral} is there, but not in the log"));
            return;
        };
        let is_first = state.mark.is_none();
        if state.version != *version || (!is_first && state.mark.as_ref() != Some(mark)) {
            wrong.push(format!(
                "the log of {referral} ends with version {version} of {mark}, its state is {state:?}"
            ));
        }
        if version_of(&state.etag) != Some(state.version) {
            wrong.push(format!("the tag of {referral} does not fit its version: {state:?}"));
        }
    }
}

/// The counter in the first group of a tag.
fn version_of(etag: &str) -> Option<u64> {
    let tag: referral::ETag = etag.parse().ok()?;
    Some(u64::from(tag.counter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(version: u64) -> String {
        referral::ETag::of_version(version, referral::Timestamp::from_unix_seconds(1_700_000_000)).to_string()
    }

    fn acknowledged(mark: &str, referral: &str, version: u64) -> Attempt {
        let outcome = Outcome::Acknowledged { referral: referral.into(), etag: tag(version) };
        Attempt { mark: mark.into(), outcome }
    }

    fn line(position: u64, referral: &str, version: u64, mark: &str) -> Line {
        let (organization, referral, mark) = ("contoso".into(), referral.into(), mark.into());
        Line { organization, position, referral, version, created: version == 1, mark }
    }

    fn state(version: u64, mark: Option<&str>) -> State {
        State { version, etag: tag(version), mark: mark.map(str::to_owned) }
    }

    /// A history in which everything is as it should be.
    struct History {
        attempts: Vec<Attempt>,
        lines: Vec<Line>,
        states: BTreeMap<String, State>,
    }

    fn history() -> History {
        let unknown = |mark: &str| Attempt { mark: mark.into(), outcome: Outcome::Unknown };
        History {
            attempts: vec![
                acknowledged("a1", "A", 1),
                acknowledged("a2", "A", 2),
                unknown("a3"), // had its effect
                unknown("a4"), // had none
                acknowledged("b1", "B", 1),
                Attempt { mark: "b2".into(), outcome: Outcome::Refused(412) },
            ],
            lines: vec![
                line(1, "A", 1, "a1"),
                line(2, "A", 2, "a2"),
                line(3, "B", 1, "b1"),
                line(4, "A", 3, "a3"),
            ],
            states: BTreeMap::from([("A".into(), state(3, Some("a3"))), ("B".into(), state(1, None))]),
        }
    }

    impl History {
        fn judged(&self) -> Vec<String> {
            Ledger::default().judge(&self.attempts, &self.lines, &self.states)
        }
    }

    #[track_caller]
    fn reports(spoil: impl FnOnce(&mut History), words: &str) {
        let mut history = history();
        spoil(&mut history);
        let wrong = history.judged();
        assert!(wrong.iter().any(|what| what.contains(words)), "{words:?} is not among {wrong:?}");
    }

    #[test]
    fn a_whole_history_is_right() {
        assert_eq!(history().judged(), Vec::<String>::new());
    }

    #[test]
    fn a_lost_acknowledged_write_is_reported() {
        // The end of the log is missing, and the state is what it was before: a commit that never reached the disk.
        reports(
            |history| {
                history.attempts[2] = acknowledged("a3", "A", 3);
                history.lines.pop();
                history.states.insert("A".into(), state(2, Some("a2")));
            },
            "a3 was acknowledged with \"00000003-0000-0000-0000-6553f1000000\" of A, and is lost",
        );
        // A whole referral is missing.
        reports(
            |history| {
                history.lines.remove(2);
                history.lines[2].position = 3;
                history.states.remove("B");
            },
            "of B, and is lost",
        );
    }

    #[test]
    fn a_version_that_was_shown_to_a_reader_and_is_lost_is_reported() {
        let shown = |version| {
            let outcome = Outcome::Shown { referral: "A".into(), etag: tag(version) };
            Attempt { mark: "r1".into(), outcome }
        };
        let mut history = history();
        history.attempts.push(shown(3));
        assert_eq!(history.judged(), Vec::<String>::new());
        reports(|history| history.attempts.push(shown(4)), "was shown, and is lost");
    }

    #[test]
    fn a_log_with_a_gap_a_repetition_or_a_stranger_is_reported() {
        reports(|history| drop(history.lines.remove(1)), "after position 1 comes 3");
        reports(|history| history.lines[3].version = 4, "follows version Some(2)");
        reports(|history| history.lines.push(line(5, "A", 4, "a2")), "a2 had a second effect");
        reports(|history| history.lines[3].mark = "z9".into(), "nobody sent z9");
    }

    #[test]
    fn a_state_that_is_not_the_logs_is_reported() {
        reports(|history| drop(history.states.insert("A".into(), state(2, Some("a2")))), "its state is");
        reports(|history| drop(history.states.insert("A".into(), state(4, Some("a4")))), "its state is");
        reports(|history| drop(history.states.insert("C".into(), state(1, None))), "not in the log");
        reports(|history| drop(history.states.remove("B")), "which is not there");
        reports(|history| history.states.get_mut("A").unwrap().etag = tag(7), "does not fit its version");
    }

    #[test]
    fn a_wrong_answer_and_a_refused_write_with_an_effect_are_reported() {
        reports(|history| history.attempts[1] = acknowledged("a2", "A", 7), "but is Place");
        reports(
            |history| history.attempts[2] = Attempt { mark: "a3".into(), outcome: Outcome::Refused(412) },
            "was refused with 412",
        );
    }

    #[test]
    fn what_was_sent_before_may_be_repeated_but_not_done_again() {
        let History { attempts, lines, states } = history();
        let mut ledger = Ledger::default();
        assert_eq!(ledger.judge(&attempts, &lines, &states), Vec::<String>::new());
        // The same request again, and the same answer: nothing new is in the log.
        let again = [acknowledged("a2", "A", 2)];
        assert_eq!(ledger.judge(&again, &[], &states), Vec::<String>::new());
        // The same request again, done again.
        let twice = BTreeMap::from([("A".to_owned(), state(4, Some("a2")))]);
        let wrong = ledger.judge(&again, &[line(5, "A", 4, "a2")], &twice);
        assert!(wrong[0].contains("a2 had a second effect"), "{wrong:?}");
    }
}

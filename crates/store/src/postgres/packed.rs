//! Texts on their way to their columns and back. Who hands a change over packs it, never a lane: others wait for lanes.

use super::rows::unpacked;
use crate::packing::Packing;
use crate::{AllOrNone, Change, Entry, Outcome, Record, Replayable, StoreError, StoredReferral, Write};

impl Packing {
    /// A change whose texts are as their columns hold them.
    pub(super) fn change(self, change: Change) -> Change {
        let write = change.write.map(|write| self.write(write));
        let answer = change.answer.map(|answer| self.replayable(answer));
        Change { write, answer, ..change }
    }

    /// The same of a write.
    pub(super) fn write(self, write: Write) -> Write {
        Write { referral: self.referral(write.referral), entry: self.entry(write.entry), ..write }
    }

    /// The same of a record.
    pub(super) fn record(self, record: Record) -> Record {
        match record {
            Record::Referral { referral, search } => {
                Record::Referral { referral: Box::new(self.referral(*referral)), search }
            }
            Record::Entry(mut entry) => {
                entry.entry = self.entry(entry.entry);
                Record::Entry(entry)
            }
            Record::Answer(answer) => Record::Answer(self.replayable(answer)),
            small => small,
        }
    }

    fn referral(self, referral: StoredReferral) -> StoredReferral {
        StoredReferral { document: self.pack(&referral.document), ..referral }
    }

    fn entry(self, entry: Entry) -> Entry {
        Entry { changes: self.pack(&entry.changes), ..entry }
    }

    fn replayable(self, mut answer: Replayable) -> Replayable {
        answer.answer.content = self.pack(&answer.answer.content);
        answer
    }
}

/// What became of a change, for its caller.
pub(super) fn outcome(outcome: Outcome) -> Result<Outcome, StoreError> {
    Ok(match outcome {
        Outcome::AlreadyAnswered(mut answer) => {
            answer.content = unpacked(&answer.content)?;
            Outcome::AlreadyAnswered(answer)
        }
        other => other,
    })
}

/// What became of several changes, for their caller.
pub(super) fn outcome_of_all(all: AllOrNone) -> Result<AllOrNone, StoreError> {
    Ok(match all {
        AllOrNone::None { at, because } => AllOrNone::None { at, because: outcome(because)? },
        all => all,
    })
}

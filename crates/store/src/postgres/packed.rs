//! Texts on their way to their columns and back. Who hands a change over packs it, never a lane: others wait for lanes.

use super::rows::unpacked;
use crate::packing::Packing;
use crate::{AllOrNone, Change, Entry, Outcome, Record, StoreError, StoredReferral, Write};

impl Packing {
    /// A change whose texts are as their columns hold them.
    pub(super) fn change(self, change: Change) -> Change {
        let document = change.write.as_ref().map(|write| write.referral.document.clone()).unwrap_or_default();
        let write = change.write.map(|write| self.write(write));
        let column = write.as_ref().map(|write| &write.referral.document[..]).unwrap_or_default();
        let answer = change.answer.map(|mut given| {
            given.answer.content = self.pack_answer(&given.answer.content, &document, column);
            given
        });
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
            Record::Answer(mut given) => {
                given.answer.content = self.pack(&given.answer.content);
                Record::Answer(given)
            }
            small => small,
        }
    }

    fn referral(self, referral: StoredReferral) -> StoredReferral {
        StoredReferral { document: self.pack(&referral.document), ..referral }
    }

    fn entry(self, entry: Entry) -> Entry {
        Entry { changes: self.pack(&entry.changes), ..entry }
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

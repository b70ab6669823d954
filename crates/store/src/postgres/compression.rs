//! Encodes texts for their columns, and decodes them. The caller encodes, never a shard: others wait for shards.

use super::rows::decoded_text;
use crate::compression::Compression;
use crate::{AllOrNone, Change, CommitOutcome, Entry, Record, StoreError, StoredReferral, Write};

impl Compression {
    /// A change whose texts are as their columns hold them.
    pub(super) fn change(self, change: Change) -> Change {
        let document = change.write.as_ref().map(|write| write.referral.document.clone()).unwrap_or_default();
        let write = change.write.map(|write| self.write(write));
        let column = write.as_ref().map(|write| &write.referral.document[..]).unwrap_or_default();
        let answer = change.answer.map(|mut given| {
            given.answer.content = self.encode_response(&given.answer.content, &document, column);
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
                given.answer.content = self.encode(&given.answer.content);
                Record::Answer(given)
            }
            small => small,
        }
    }

    fn referral(self, referral: StoredReferral) -> StoredReferral {
        StoredReferral { document: self.encode(&referral.document), ..referral }
    }

    fn entry(self, entry: Entry) -> Entry {
        Entry { changes: self.encode(&entry.changes), ..entry }
    }
}

/// Decodes the outcome of a change.
pub(super) fn outcome(outcome: CommitOutcome) -> Result<CommitOutcome, StoreError> {
    Ok(match outcome {
        CommitOutcome::Replayed(mut answer) => {
            answer.content = decoded_text(&answer.content)?;
            CommitOutcome::Replayed(answer)
        }
        other => other,
    })
}

/// Decodes the outcome of several changes.
pub(super) fn outcome_of_all(all: AllOrNone) -> Result<AllOrNone, StoreError> {
    Ok(match all {
        AllOrNone::None { at, because } => AllOrNone::None { at, because: outcome(because)? },
        all => all,
    })
}

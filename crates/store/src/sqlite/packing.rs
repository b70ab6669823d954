//! What the writer is handed: changes whose texts are [packed](crate::packing) already.

use bytes::Bytes;

use super::ahead::Loadable;
use crate::packing::Damaged;
pub(super) use crate::packing::{Packing, unpack};
use crate::{Change, Write};

/// A change whose texts are as their columns hold them, but for the document, which the cache takes as it is. Made by
/// who hands the change over: the writer compresses nothing.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) change: Change,
    /// The column of the document.
    pub(super) document: Bytes,
}

impl Packing {
    /// A change whose texts are as their columns hold them.
    pub(super) fn ready(self, mut change: Change) -> Ready {
        let (mut text, mut document) = (Bytes::new(), Bytes::new());
        if let Some(write) = &mut change.write {
            text = write.referral.document.clone();
            document = self.pack(&text);
            write.entry.changes = self.pack(&write.entry.changes);
        }
        if let Some(replayable) = &mut change.answer {
            let content = &mut replayable.answer.content;
            *content = self.pack_answer(content, &text, &document);
        }
        Ready { change, document }
    }

    /// A referral to load with the column of its document.
    pub(super) fn loadable(self, mut write: Write) -> Loadable {
        write.entry.changes = self.pack(&write.entry.changes);
        let document = self.pack(&write.referral.document);
        (write, document)
    }
}

/// Whether a row could not be read because a text in it is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::FromSqlConversionFailure(_, _, reason) if reason.is::<Damaged>())
}

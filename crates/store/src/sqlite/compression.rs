//! Changes for the writer whose texts are [encoded](crate::compression) already.

use bytes::Bytes;

use super::pack_ahead::EncodedWrite;
use crate::compression::DecodeError;
pub(super) use crate::compression::{Compression, decode};
use crate::{Change, Write};

/// A change whose texts are encoded, except the document, which the cache needs as it is. The caller
/// encodes it: the writer compresses nothing.
#[derive(Debug)]
pub(super) struct EncodedChange {
    pub(super) change: Change,
    /// The column of the document.
    pub(super) document: Bytes,
}

impl Compression {
    /// A change whose texts are as their columns hold them.
    pub(super) fn encode_change(self, mut change: Change) -> EncodedChange {
        let (mut text, mut document) = (Bytes::new(), Bytes::new());
        if let Some(write) = &mut change.write {
            text = write.referral.document.clone();
            document = self.encode(&text);
            write.entry.changes = self.encode(&write.entry.changes);
        }
        if let Some(idempotency_record) = &mut change.answer {
            let content = &mut idempotency_record.answer.content;
            *content = self.encode_response(content, &text, &document);
        }
        EncodedChange { change, document }
    }

    /// A referral to load with the column of its document.
    pub(super) fn encode_write(self, mut write: Write) -> EncodedWrite {
        write.entry.changes = self.encode(&write.entry.changes);
        let document = self.encode(&write.referral.document);
        (write, document)
    }
}

/// Returns whether a row could not be read because a text in it is damaged.
pub(super) fn is_decode_error(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::FromSqlConversionFailure(_, _, reason) if reason.is::<DecodeError>())
}

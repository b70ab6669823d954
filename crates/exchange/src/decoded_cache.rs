//! Referrals that were written lately, as they were decided: the next change of one need not read its document again.

use std::sync::Arc;

use quick_cache::sync::Cache;
use referral::{DamagedDocument, Referral, ReferralId};
use store::{StoredReferral, Version};

/// So many at once.
const MAX_ENTRIES: usize = 512;
/// Larger documents are read again, in bytes: together they shall not take much memory.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// What stored documents say. Version and tag together name one document, so nothing here is taken for another.
pub(crate) struct DecodedCache {
    known: Cache<ReferralId, (Version, Arc<Referral>)>,
    largest: usize,
}

impl Default for DecodedCache {
    fn default() -> DecodedCache {
        DecodedCache { known: Cache::new(MAX_ENTRIES), largest: MAX_DOCUMENT_BYTES }
    }
}

impl DecodedCache {
    /// For one group of writes: a few, of any length, for it often changes one referral step by step.
    pub(crate) fn for_group() -> DecodedCache {
        DecodedCache { known: Cache::new(2), largest: usize::MAX }
    }

    /// What a stored referral's document says.
    ///
    /// # Errors
    /// [`Damaged`] for bytes that are none of ours.
    pub(crate) fn decode(&self, stored: &StoredReferral) -> Result<Arc<Referral>, DamagedDocument> {
        let is_this = |(version, referral): &(Version, Arc<Referral>)| {
            (*version, referral.etag) == (stored.version, stored.etag)
        };
        match self.known.get(&stored.id).filter(is_this) {
            Some((_, referral)) => Ok(referral),
            None => Referral::from_document(&stored.document).map(Arc::new),
        }
    }

    /// Keeps what was committed as a version, with a document of so many bytes.
    pub(crate) fn insert(&self, version: Version, referral: Referral, bytes: usize) {
        if bytes <= self.largest {
            self.known.insert(referral.id, (version, Arc::new(referral)));
        }
    }
}

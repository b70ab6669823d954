//! A cache of recently written referrals in decoded form: the next change need not parse the document.

use std::sync::Arc;

use quick_cache::sync::Cache;
use referral::{DamagedDocument, Referral, ReferralId};
use store::{StoredReferral, Version};

/// Maximum number of cached referrals.
const MAX_ENTRIES: usize = 512;
/// Larger documents are read again, in bytes: together they shall not take much memory.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// Decoded documents. Version and entity tag together identify one document.
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

    /// Returns the decoded document of a stored referral.
    ///
    /// # Errors
    /// [`DamagedDocument`] if the document cannot be parsed.
    pub(crate) fn decode(&self, stored: &StoredReferral) -> Result<Arc<Referral>, DamagedDocument> {
        let is_this = |(version, referral): &(Version, Arc<Referral>)| {
            (*version, referral.etag) == (stored.version, stored.etag)
        };
        match self.known.get(&stored.id).filter(is_this) {
            Some((_, referral)) => Ok(referral),
            None => Referral::from_document(&stored.document).map(Arc::new),
        }
    }

    /// Caches the referral of a committed version, with the length of its document.
    pub(crate) fn insert(&self, version: Version, referral: Referral, bytes: usize) {
        if bytes <= self.largest {
            self.known.insert(referral.id, (version, Arc::new(referral)));
        }
    }
}

//! Hot referrals, weighed by bytes, never older than the last acknowledged version.
//!
//! The protocol, for each id, with 1,024 slots that ids share by their bits:
//!
//! 1. Before COMMIT the writer locks the slot of each id of its group, makes its counter odd ("being written") and
//!    takes the id out of the cache.
//! 2. A reader that misses notes the slot's counter, *then* begins its read of the database. It may put what it
//!    read into the cache only if, under the slot's lock, the counter is the one it noted, and even. So a version
//!    read before a commit can never be put in after that commit has begun.
//! 3. After COMMIT the writer locks the slot, puts the new version in and makes the counter even again: a new
//!    count, which turns away every reader that noted an earlier one. Only then does it acknowledge.
//!
//! Hence, while a COMMIT runs, the id is not in the cache and readers see what the database shows them, which never
//! goes back; before and after, the cache holds what the database holds. After a failed COMMIT step 3 puts nothing
//! in. There is one writer, so a slot that two ids of a group share is marked once.

use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Weighter;
use quick_cache::sync::Cache as Weighed;
use referral::ReferralId;

use crate::StoredReferral;

const SLOTS: usize = 1024;

/// About what a row costs beside its document: two counters, the row's own members, the table's entry.
const OVERHEAD: usize = size_of::<StoredReferral>() + 128;

#[derive(Clone)]
struct ByBytes;

impl Weighter<ReferralId, Arc<StoredReferral>> for ByBytes {
    fn weight(&self, _: &ReferralId, referral: &Arc<StoredReferral>) -> u64 {
        let team: usize = referral.columns.team.iter().map(|email| email.len() + size_of::<String>()).sum();
        (referral.document.len() + team + OVERHEAD) as u64
    }
}

/// The cache of one store.
pub(super) struct Cache {
    referrals: Weighed<ReferralId, Arc<StoredReferral>, ByBytes>,
    slots: Box<[Mutex<u64>]>,
}

/// What a reader noted before its read.
pub(super) struct Ticket {
    slot: usize,
    count: u64,
}

fn slot_of(id: &ReferralId) -> usize {
    // Both ends, so that neither time-ordered nor hand-made ids crowd together.
    let bits = id.as_uuid().as_u128();
    (bits ^ (bits >> 64) ^ (bits >> 23)) as usize % SLOTS
}

impl Cache {
    /// A cache of about so many bytes; 0 keeps nothing.
    pub(super) fn new(bytes: u64) -> Cache {
        let items = (bytes / 3072).max(16) as usize;
        Cache {
            referrals: Weighed::with_weighter(items, bytes, ByBytes),
            slots: (0..SLOTS).map(|_| Mutex::new(0)).collect(),
        }
    }

    /// The current version, if it is here.
    pub(super) fn get(&self, id: &ReferralId) -> Option<Arc<StoredReferral>> {
        self.referrals.get(id)
    }

    /// To be called before the read of the database begins.
    pub(super) fn begin_read(&self, id: &ReferralId) -> Ticket {
        let slot = slot_of(id);
        Ticket { slot, count: *self.lock(slot) }
    }

    /// Offers what was read; kept only if nothing was written since the ticket.
    pub(super) fn offer(&self, ticket: &Ticket, referral: &Arc<StoredReferral>) {
        let count = self.lock(ticket.slot);
        if *count == ticket.count && count.is_multiple_of(2) {
            self.referrals.insert(referral.id, Arc::clone(referral));
        }
    }

    /// Step 1, for the ids of a group.
    pub(super) fn begin_writes(&self, ids: impl Iterator<Item = ReferralId>) {
        for id in ids {
            let mut count = self.lock(slot_of(&id));
            if count.is_multiple_of(2) {
                *count += 1;
            }
            self.referrals.remove(&id);
        }
    }

    /// Step 3: what was committed, in commit order, and every id that was marked.
    pub(super) fn end_writes(
        &self,
        committed: impl Iterator<Item = Arc<StoredReferral>>,
        marked: impl Iterator<Item = ReferralId>,
    ) {
        // The slots are still odd, so no reader interferes between the two loops.
        for referral in committed {
            self.referrals.insert(referral.id, referral);
        }
        for id in marked {
            let mut count = self.lock(slot_of(&id));
            if !count.is_multiple_of(2) {
                *count += 1;
            }
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.referrals.clear();
    }

    fn lock(&self, slot: usize) -> std::sync::MutexGuard<'_, u64> {
        // A count is whole whatever panicked beside it.
        self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
//! A reader may read in a snapshot that began before it noted the counter, if the generation (below) of before the
//! snapshot is still the one when it looks after noting.
//!
//! Hence, while a COMMIT runs, the id is not in the cache and readers see what the database shows them, which never
//! goes back; before and after, the cache holds what the database holds. After a failed COMMIT step 3 puts nothing
//! in. There is one writer, so a slot that two ids of a group share is marked once.
//!
//! A list reads many ids of one moment. It notes the generation of the whole cache before its snapshot begins: a number
//! that step 1 makes odd and step 3 even again. While it is the one noted, no COMMIT has begun since, and what the cache
//! holds is what the snapshot holds; what the list read may be put in under the same condition, seen under the slot's
//! lock, which step 1 takes after it has moved the generation. Owners have such numbers too, 256 that they share by a
//! hash: they tell whether what an owner's lists show can have changed ([`Cache::change_token`]).

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Weighter;
use quick_cache::sync::Cache as Weighed;
use referral::{OrganizationId, ReferralId};

use crate::metrics::LookupCounter;
use crate::{CacheMetrics, StoredReferral};

const SLOTS: usize = 1024;
const OWNER_SLOTS: usize = 256;

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
    generation: AtomicU64,
    lookups: LookupCounter,
    owners: Box<[AtomicU64]>,
}

/// A referral that a commit changes, with its owner.
#[derive(Debug, Clone, Copy)]
pub(super) struct PendingVersion {
    id: ReferralId,
    owner: usize,
}

impl PendingVersion {
    pub(super) fn of(referral: &StoredReferral) -> PendingVersion {
        PendingVersion { id: referral.id, owner: owner_slot(&referral.owner) }
    }
}

/// The state of the cache before a read.
pub(super) struct ReadTicket {
    slot: usize,
    count: u64,
}

fn slot_of(id: &ReferralId) -> usize {
    // Both ends, so that neither time-ordered nor hand-made ids crowd together.
    let bits = id.as_uuid().as_u128();
    (bits ^ (bits >> 64) ^ (bits >> 23)) as usize % SLOTS
}

fn owner_slot(owner: &OrganizationId) -> usize {
    // The last bytes of a GUID are random in every version, and Microsoft's own id is but four letters.
    owner.as_bytes().iter().rev().take(4).fold(0, |sum, byte| sum * 31 + usize::from(*byte)) % OWNER_SLOTS
}

/// Makes a number odd that is even: a COMMIT may be running.
fn begin(number: &AtomicU64) {
    if number.load(SeqCst).is_multiple_of(2) {
        number.fetch_add(1, SeqCst);
    }
}

/// Makes a number even that is odd.
fn end(number: &AtomicU64) {
    if !number.load(SeqCst).is_multiple_of(2) {
        number.fetch_add(1, SeqCst);
    }
}

impl Cache {
    /// Creates a cache of about this many bytes; 0 keeps nothing.
    pub(super) fn new(bytes: u64) -> Cache {
        let items = (bytes / 3072).max(16) as usize;
        Cache {
            referrals: Weighed::with_weighter(items, bytes, ByBytes),
            slots: (0..SLOTS).map(|_| Mutex::new(0)).collect(),
            generation: AtomicU64::new(0),
            lookups: LookupCounter::default(),
            owners: (0..OWNER_SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A number that stays the same while no COMMIT begins that concerns an owner's referrals; `None` while one may be
    /// running.
    pub(super) fn change_token(&self, owner: &OrganizationId) -> Option<u64> {
        Some(self.owners[owner_slot(owner)].load(SeqCst))
            .filter(|change_token| change_token.is_multiple_of(2))
    }

    /// The state of the whole cache; to be noted before a snapshot begins. `None` while a COMMIT may be running.
    pub(super) fn generation(&self) -> Option<u64> {
        Some(self.generation.load(SeqCst)).filter(|generation| generation.is_multiple_of(2))
    }

    /// Offers what was read in a snapshot; kept only if no COMMIT has begun since its generation was noted.
    pub(super) fn offer_of(&self, generation: u64, referral: &Arc<StoredReferral>) {
        self.lookups.missed();
        let _slot = self.lock(slot_of(&referral.id));
        if self.generation.load(SeqCst) == generation {
            self.referrals.insert(referral.id, Arc::clone(referral));
        }
    }

    /// The current version, if it is here.
    pub(super) fn get(&self, id: &ReferralId) -> Option<Arc<StoredReferral>> {
        self.referrals.get(id).inspect(|_| self.lookups.hit())
    }

    /// Returns the metrics of the cache.
    pub(super) fn metrics(&self) -> CacheMetrics {
        self.lookups.metrics(self.referrals.weight(), self.referrals.capacity())
    }

    /// To be called before the read of the database begins.
    pub(super) fn begin_read(&self, id: &ReferralId) -> ReadTicket {
        self.lookups.missed();
        let slot = slot_of(id);
        ReadTicket { slot, count: *self.lock(slot) }
    }

    /// Offers what was read; kept only if nothing was written since the ticket.
    pub(super) fn offer(&self, ticket: &ReadTicket, referral: &Arc<StoredReferral>) {
        let count = self.lock(ticket.slot);
        if *count == ticket.count && count.is_multiple_of(2) {
            self.referrals.insert(referral.id, Arc::clone(referral));
        }
    }

    /// Step 1, for a group.
    pub(super) fn begin_writes(&self, marked: &[PendingVersion]) {
        begin(&self.generation);
        for mark in marked {
            begin(&self.owners[mark.owner]);
            let mut count = self.lock(slot_of(&mark.id));
            if count.is_multiple_of(2) {
                *count += 1;
            }
            self.referrals.remove(&mark.id);
        }
    }

    /// Step 3: what was committed, in commit order, and all that was marked.
    pub(super) fn end_writes(
        &self,
        committed: impl Iterator<Item = Arc<StoredReferral>>,
        marked: &[PendingVersion],
    ) {
        // The slots are still odd, so no reader interferes between the two loops.
        for referral in committed {
            self.referrals.insert(referral.id, referral);
        }
        for mark in marked {
            let mut count = self.lock(slot_of(&mark.id));
            if !count.is_multiple_of(2) {
                *count += 1;
            }
            end(&self.owners[mark.owner]);
        }
        end(&self.generation);
    }

    /// Step 1 for referrals that nobody has read, of any owner.
    pub(super) fn begin_load(&self) {
        begin(&self.generation);
        self.owners.iter().for_each(begin);
    }

    /// Step 3 for these.
    pub(super) fn end_load(&self) {
        self.owners.iter().for_each(end);
        end(&self.generation);
    }

    /// Forgets everything, and turns away all that was noted before.
    pub(super) fn clear(&self) {
        self.generation.fetch_add(2, SeqCst);
        for owner in &self.owners {
            owner.fetch_add(2, SeqCst);
        }
        self.referrals.clear();
    }

    fn lock(&self, slot: usize) -> std::sync::MutexGuard<'_, u64> {
        // A count is whole whatever panicked beside it.
        self.slots[slot].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::iter::{empty, once};
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::conformance::samples::{a_referral, id, organization};

    fn version(number: u64, version: u64) -> Arc<StoredReferral> {
        Arc::new(StoredReferral { version, ..a_referral(&organization(1), number) })
    }

    fn mark(number: u64) -> PendingVersion {
        PendingVersion::of(&a_referral(&organization(1), number))
    }

    fn cached(cache: &Cache, number: u64) -> Option<u64> {
        cache.get(&id(number)).map(|referral| referral.version)
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept_after_it() {
        let cache = Cache::new(1 << 20);
        let before = cache.begin_read(&id(1));
        cache.begin_writes(&[mark(1)]);
        let during = cache.begin_read(&id(1));
        cache.offer(&before, &version(1, 1));
        cache.offer(&during, &version(1, 1));
        assert_eq!(cached(&cache, 1), None, "a slot that is being written takes nothing");
        cache.end_writes(once(version(1, 2)), &[mark(1)]);
        assert_eq!(cached(&cache, 1), Some(2));
        cache.clear();
        cache.offer(&before, &version(1, 1));
        cache.offer(&during, &version(1, 1));
        assert_eq!(cached(&cache, 1), None);
        cache.offer(&cache.begin_read(&id(1)), &version(1, 2));
        assert_eq!(cached(&cache, 1), Some(2));
    }

    #[test]
    fn what_a_list_read_before_a_commit_is_not_kept_after_it_began() {
        let cache = Cache::new(1 << 20);
        let before = cache.generation().unwrap();
        cache.offer_of(before, &version(1, 1));
        assert_eq!(cached(&cache, 1), Some(1));
        cache.begin_writes(&[mark(2)]);
        assert_eq!(cache.generation(), None, "a snapshot of now might be older or newer than the commit");
        cache.offer_of(before, &version(3, 1));
        cache.end_writes(once(version(2, 2)), &[mark(2)]);
        cache.offer_of(before, &version(2, 1));
        assert_eq!((cached(&cache, 2), cached(&cache, 3)), (Some(2), None));
        let after = cache.generation().unwrap();
        assert_ne!(after, before);
        cache.clear();
        cache.offer_of(after, &version(1, 1));
        assert_eq!(cached(&cache, 1), None);
    }

    #[test]
    fn an_owners_moment_lasts_until_a_commit_of_its_own_begins() {
        let cache = Cache::new(1 << 20);
        let (ours, theirs) = (organization(1), organization(2));
        let (before, other) = (cache.change_token(&ours).unwrap(), cache.change_token(&theirs));
        assert_ne!(owner_slot(&ours), owner_slot(&theirs));
        cache.begin_writes(&[mark(1)]);
        assert_eq!((cache.change_token(&ours), cache.change_token(&theirs)), (None, other));
        cache.end_writes(once(version(1, 2)), &[mark(1)]);
        assert!(cache.change_token(&ours).unwrap() > before);
        assert_eq!(cache.change_token(&theirs), other);
        cache.begin_load();
        assert_eq!((cache.change_token(&ours), cache.change_token(&theirs)), (None, None));
        cache.end_load();
        let (ours_now, theirs_now) = (cache.change_token(&ours), cache.change_token(&theirs));
        assert!(ours_now.is_some() && theirs_now > other);
        cache.clear();
        assert!(cache.change_token(&ours) > ours_now);
    }

    #[test]
    fn a_failed_commit_leaves_the_id_to_the_database() {
        let cache = Cache::new(1 << 20);
        cache.offer(&cache.begin_read(&id(1)), &version(1, 1));
        cache.begin_writes(&[mark(1)]);
        assert_eq!(cached(&cache, 1), None);
        cache.end_writes(empty(), &[mark(1)]);
        assert_eq!(cached(&cache, 1), None);
        cache.offer(&cache.begin_read(&id(1)), &version(1, 1));
        assert_eq!(cached(&cache, 1), Some(1));
    }

    #[test]
    fn a_group_may_hold_one_id_twice_and_ids_of_one_slot() {
        let cache = Cache::new(1 << 20);
        let twin = (2..).find(|number| slot_of(&id(*number)) == slot_of(&id(1))).unwrap();
        let group = [mark(1), mark(twin), mark(1)];
        cache.begin_writes(&group);
        let during = cache.begin_read(&id(1));
        cache.end_writes([version(1, 2), version(twin, 2), version(1, 3)].into_iter(), &group);
        assert_eq!((cached(&cache, 1), cached(&cache, twin)), (Some(3), Some(2)));
        cache.clear();
        cache.offer(&during, &version(1, 1));
        assert_eq!(cached(&cache, 1), None);
        cache.offer(&cache.begin_read(&id(1)), &version(1, 3));
        assert_eq!(cached(&cache, 1), Some(3), "the slot is even again");
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let cache = Cache::new(64 * 1024);
        for number in 0..1000 {
            cache.offer(&cache.begin_read(&id(number)), &version(number, 1));
        }
        let kept = (0..1000).filter(|number| cached(&cache, *number).is_some()).count();
        assert!((20..200).contains(&kept), "{kept} referrals in 64 KiB");
        let none = Cache::new(0);
        none.offer(&none.begin_read(&id(1)), &version(1, 1));
        assert_eq!(cached(&none, 1), None);
    }

    /// The protocol without a database around it, so that the threads meet as often as they can.
    #[test]
    fn readers_never_go_back_nor_behind_what_was_acknowledged() {
        const VERSIONS: u64 = 60_000;
        let cache = Cache::new(1 << 20);
        let (database, acknowledged, done) = (AtomicU64::new(1), AtomicU64::new(1), AtomicBool::new(false));
        let hits = AtomicU64::new(0);
        std::thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    let mut newest = 0;
                    while !done.load(SeqCst) {
                        let floor = acknowledged.load(SeqCst);
                        let seen = cached(&cache, 1).inspect(|_| _ = hits.fetch_add(1, SeqCst));
                        let seen = seen.unwrap_or_else(|| {
                            let ticket = cache.begin_read(&id(1));
                            let read = version(1, database.load(SeqCst));
                            std::thread::yield_now();
                            cache.offer(&ticket, &read);
                            read.version
                        });
                        assert!(seen >= floor && seen >= newest, "{seen} after {floor} and {newest}");
                        newest = seen;
                        if newest % 7 == 0 {
                            cache.referrals.remove(&id(1)); // as an eviction would
                        }
                    }
                });
            }
            for number in 2..VERSIONS {
                cache.begin_writes(&[mark(1)]);
                database.store(number, SeqCst);
                cache.end_writes(once(version(1, number)), &[mark(1)]);
                acknowledged.store(number, SeqCst);
            }
            done.store(true, SeqCst);
        });
        assert!(hits.load(SeqCst) > 0);
    }
}

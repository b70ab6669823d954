//! Several writes that are committed together or not at all: a change set of OData (Protocol 4.01, 11.7).
//!
//! A group is an `Exchange` of its own that shares everything but the store. Its commits are staged: visible only to
//! later writes of the group, until all of them go to the store in one commit. The use cases are the same code inside
//! and outside of a group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use referral::{EngagementId, OrganizationId, ReferralId, Timestamp};
use store::{
    Action, Aggregation, AggregationResult, AllOrNone, Assignment, Change, CommitOutcome, EngagementRole,
    FirstReferral, IdempotencyKey, LogEntry, Organization, Position, Query, QueryPlan, QueryResult, Store,
    StoreError, StoredReferral, StoredResponse, Write,
};

use crate::Exchange;
use crate::decoded_cache::DecodedCache;
use crate::visibility::is_open;

/// Approximate memory of a staged change without its texts, in bytes.
const CHANGE_BYTES: usize = 1024;

/// A group of writes that is not committed yet. If it is dropped without [`WriteGroup::commit`], nothing has happened.
pub struct WriteGroup {
    exchange: Arc<Exchange>,
    staged: Arc<StagingStore>,
}

impl Exchange {
    /// Begins a group. Others see its writes only after the commit.
    pub fn begin_group(&self) -> WriteGroup {
        let staged = Arc::new(StagingStore { inner: Arc::clone(&self.store), changes: Mutex::default() });
        let exchange = Exchange {
            store: Arc::clone(&staged) as Arc<dyn Store>,
            clock: Arc::clone(&self.clock),
            ids: Arc::clone(&self.ids),
            policy: Arc::clone(&self.policy),
            directory: Arc::clone(&self.directory),
            in_flight: Arc::clone(&self.in_flight),
            expiry: Arc::clone(&self.expiry),
            locks: Arc::clone(&self.locks),
            // Staged versions may never be committed, so only the group caches them.
            decoded: Arc::new(DecodedCache::for_group()),
            large_work: Arc::clone(&self.large_work),
            evaluations: Arc::clone(&self.evaluations),
        };
        WriteGroup { exchange: Arc::new(exchange), staged }
    }
}

impl WriteGroup {
    /// Returns the exchange whose writes belong to the group. It takes one write after another, and its lists do not
    /// show them.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.exchange
    }

    /// Returns the approximate memory of the staged writes, in bytes.
    pub fn held_bytes(&self) -> usize {
        self.staged.changes().bytes
    }

    /// Commits all writes. Returns false if the data that they were decided on has changed: then nothing was written,
    /// and the writes must be decided again in a new group.
    ///
    /// # Errors
    /// Errors of the store. Then nothing was written, or the outcome is unknown and the request can be repeated (spec
    /// 4.3).
    pub async fn commit(self) -> Result<bool, StoreError> {
        let changes = std::mem::take(&mut *self.staged.changes()).list;
        if changes.is_empty() {
            return Ok(true);
        }
        match self.staged.inner.commit_all(changes).await? {
            AllOrNone::All(_) => Ok(true),
            AllOrNone::None { because: CommitOutcome::Replayed(_), .. } => {
                // If it is of today, the next attempt finds it. If it has expired, it is deleted.
                while self.exchange.delete_old_responses().await? > 0 {}
                Ok(false)
            }
            AllOrNone::None { .. } => Ok(false),
        }
    }
}

/// Changes that are not written yet, in order.
#[derive(Default)]
struct StagedChanges {
    list: Vec<Change>,
    /// The index of the newest version of each referral.
    newest: HashMap<ReferralId, usize>,
    /// The index of each stored response.
    answers: HashMap<IdempotencyKey, usize>,
    /// Their approximate memory, in bytes.
    bytes: usize,
}

impl StagedChanges {
    /// Adds a change. Of the version that it replaces, only what the log and the commit need is kept.
    fn push(&mut self, mut change: Change) {
        let place = self.list.len();
        if let Some(write) = &mut change.write
            && let Some(before) = self.newest.insert(write.referral.id, place)
        {
            self.supersede(before, write);
        }
        if let Some(replayable) = &change.answer {
            self.answers.insert(replayable.key.clone(), place);
        }
        self.bytes += change_bytes(&change);
        self.list.push(change);
    }

    /// Removes the document and the search text of a version that the group replaces: the store writes neither.
    fn supersede(&mut self, place: usize, by: &mut Write) {
        let Some(change) = self.list.get_mut(place) else { return };
        self.bytes -= change_bytes(change);
        if let Some(before) = &mut change.write {
            before.referral.document = Bytes::new();
            let words = before.search.take();
            by.search = by.search.take().or(words);
        }
        self.bytes += change_bytes(change);
    }

    fn newest(&self, id: ReferralId) -> Option<&StoredReferral> {
        let change = self.list.get(*self.newest.get(&id)?)?;
        change.write.as_ref().map(|write| &write.referral)
    }
}

/// Returns the approximate memory of a change, in bytes.
fn change_bytes(change: &Change) -> usize {
    let write = change.write.as_ref().map_or(0, |write| {
        let team: usize =
            write.referral.columns.team.iter().map(|email| email.len() + size_of::<String>()).sum();
        let words = write.search.as_ref().map_or(0, String::len);
        write.referral.document.len() + team + words + write.entry.changes.len()
    });
    let answer = change.answer.as_ref().map_or(0, |replayable| replayable.answer.content.len());
    CHANGE_BYTES + write + answer
}

/// A store together with changes that are not written to it yet.
struct StagingStore {
    inner: Arc<dyn Store>,
    changes: Mutex<StagedChanges>,
}

impl StagingStore {
    /// Locks the changes, only for a lookup or a push.
    fn changes(&self) -> MutexGuard<'_, StagedChanges> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the newest staged version of a referral.
    fn newest(&self, id: ReferralId) -> Option<Arc<StoredReferral>> {
        self.changes().newest(id).map(|newest| Arc::new(newest.clone()))
    }

    /// Returns the newest staged versions of an engagement's referrals.
    fn staged_in(&self, engagement: EngagementId) -> HashMap<ReferralId, Arc<StoredReferral>> {
        let changes = self.changes();
        let newest = changes.newest.keys().filter_map(|id| changes.newest(*id));
        newest
            .filter(|newest| newest.engagement_id == engagement)
            .map(|newest| (newest.id, Arc::new(newest.clone())))
            .collect()
    }

    /// Returns whether a change belongs to the group. Expiries do not: they commit immediately, unless they expire a
    /// version that is staged in this group.
    fn belongs_to_group(&self, change: &Change) -> bool {
        let Some(write) = &change.write else { return true };
        write.entry.action != Action::Expired
            || self.newest(write.referral.id).is_some_and(|newest| Some(newest.version) == write.decided_on)
    }
}

#[async_trait]
impl Store for StagingStore {
    async fn referral(
        &self,
        owner: &OrganizationId,
        id: ReferralId,
    ) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        match self.newest(id) {
            Some(staged) => Ok(Some(staged).filter(|staged| staged.owner == *owner)),
            None => self.inner.referral(owner, id).await,
        }
    }

    async fn find_referral(&self, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        match self.newest(id) {
            Some(staged) => Ok(Some(staged)),
            None => self.inner.find_referral(id).await,
        }
    }

    async fn engagement(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        let mut found = self.inner.engagement(id, party).await?;
        let staged = self.staged_in(id);
        if staged.is_empty() {
            return Ok(found);
        }
        found.retain(|one| !staged.contains_key(&one.id));
        let is_theirs =
            |one: &StoredReferral| one.owner == *party || one.columns.sender.as_ref() == Some(party);
        found.extend(staged.into_values().filter(|one| is_theirs(one)));
        found.sort_by_key(|one| (one.columns.created, one.id));
        Ok(found)
    }

    async fn engagement_role(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<EngagementRole, StoreError> {
        let mut role = self.inner.engagement_role(id, party).await?;
        for staged in self.staged_in(id).into_values() {
            let sender = staged.columns.sender.clone();
            let from_another = sender.as_ref().is_some_and(|sender| sender != party);
            role.accepted_invitation |=
                staged.owner == *party && from_another && staged.columns.accepted.is_some();
            let (created, id) = (staged.columns.created, staged.id);
            if role.first.as_ref().is_none_or(|first| (created, id) < (first.created, first.id)) {
                role.first = Some(FirstReferral { created, id, owner: staged.owner.clone(), sender });
            }
        }
        Ok(role)
    }

    async fn has_open_referral(&self, id: EngagementId, owner: &OrganizationId) -> Result<bool, StoreError> {
        if self.staged_in(id).is_empty() {
            return self.inner.has_open_referral(id, owner).await;
        }
        let theirs = self.engagement(id, owner).await?;
        Ok(theirs.iter().any(|one| one.owner == *owner && is_open(one)))
    }

    async fn query(&self, query: &Query) -> Result<QueryResult, StoreError> {
        self.inner.query(query).await
    }

    async fn aggregate(&self, aggregation: &Aggregation) -> Result<AggregationResult, StoreError> {
        self.inner.aggregate(aggregation).await
    }

    async fn plan(&self, query: &Query) -> Result<QueryPlan, StoreError> {
        self.inner.plan(query).await
    }

    async fn engagement_members(
        &self,
        id: EngagementId,
        after: Option<(Timestamp, ReferralId)>,
        limit: usize,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        self.inner.engagement_members(id, after, limit).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        self.inner.due(now, limit).await
    }

    async fn next_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        self.inner.next_expiry().await
    }

    async fn stored_response(
        &self,
        key: &IdempotencyKey,
        since: Timestamp,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let staged = {
            let changes = self.changes();
            let change = changes.answers.get(key).and_then(|place| changes.list.get(*place));
            change.and_then(|change| change.answer.as_ref()).map(|replayable| replayable.answer.clone())
        };
        match staged {
            Some(answer) => Ok(Some(answer)),
            None => self.inner.stored_response(key, since).await,
        }
    }

    async fn commit(&self, change: Change) -> Result<CommitOutcome, StoreError> {
        if !self.belongs_to_group(&change) {
            return self.inner.commit(change).await;
        }
        self.inner.health()?;
        if let Some(replayable) = &change.answer
            && let Some(answer) = self.stored_response(&replayable.key, Timestamp::MIN).await?
        {
            return Ok(CommitOutcome::Replayed(answer));
        }
        self.changes().push(change);
        Ok(CommitOutcome::Committed(None))
    }

    async fn commit_all(&self, changes: Vec<Change>) -> Result<AllOrNone, StoreError> {
        let positions = vec![None; changes.len()];
        let mut staged = self.changes();
        changes.into_iter().for_each(|change| staged.push(change));
        Ok(AllOrNone::All(positions))
    }

    async fn forget_responses(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.inner.forget_responses(before).await
    }

    async fn log(
        &self,
        organization: &OrganizationId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.log(organization, after, limit).await
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.inner.organizations().await
    }

    async fn save_organization(&self, organization: &Organization) -> Result<(), StoreError> {
        self.inner.save_organization(organization).await
    }

    async fn assignments(&self) -> Result<Vec<Assignment>, StoreError> {
        self.inner.assignments().await
    }

    async fn save_assignment(&self, assignment: &Assignment) -> Result<(), StoreError> {
        self.inner.save_assignment(assignment).await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.setting(name).await
    }

    async fn save_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.inner.save_setting(name, value).await
    }

    async fn keep_setting(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.inner.keep_setting(name, value).await
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

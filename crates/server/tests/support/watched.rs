//! The real store with a door-keeper, who can hold commits back, or make calls fail.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use referral::{EngagementId, OrganizationId, ReferralId, Timestamp};
use store::sqlite::SqliteStore;
use store::{
    Aggregation, AggregationResult, AllOrNone, Assignment, Change, CommitOutcome, EngagementRole,
    IdempotencyKey, LogEntry, Organization, Position, Query, QueryPlan, QueryResult, Store, StoreError,
    StoredReferral, StoredResponse,
};
use tokio::sync::{Notify, Semaphore};

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// The code of the store panics.
    Panic(&'static str),
    /// The store reports an error.
    Error(StoreError),
}

/// A store that does what it is told, besides its work.
pub struct Watched {
    inner: SqliteStore,
    reads: Mutex<Option<Trouble>>,
    commits: Mutex<Option<Trouble>>,
    gate: Mutex<Option<Arc<Semaphore>>>,
    waiting: Notify,
    /// Commits that have come to the gate, ever.
    held: AtomicUsize,
    /// Reads of referrals and lists, ever.
    read: AtomicUsize,
    /// Where the next commit alone waits.
    next: Mutex<Option<Arc<Semaphore>>>,
    /// What is due cannot be read, though it is known when.
    hides_due: AtomicBool,
    /// How often was asked what is due.
    looks: AtomicUsize,
    /// What lists and engagements leave out, as if its document were damaged.
    damaged: Mutex<Vec<ReferralId>>,
}

impl Watched {
    pub fn new(inner: SqliteStore) -> Watched {
        Watched {
            inner,
            reads: Mutex::default(),
            commits: Mutex::default(),
            gate: Mutex::default(),
            waiting: Notify::new(),
            held: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            next: Mutex::default(),
            hides_due: AtomicBool::new(false),
            looks: AtomicUsize::new(0),
            damaged: Mutex::default(),
        }
    }

    /// The real store.
    pub fn inner(&self) -> &SqliteStore {
        &self.inner
    }

    /// From now on reads of referrals end so; `None`: well again.
    pub fn trouble_reads(&self, trouble: Option<Trouble>) {
        *self.reads.lock().unwrap() = trouble;
    }

    /// From now on commits end so, and `health` says it where it is an error.
    pub fn trouble_commits(&self, trouble: Option<Trouble>) {
        *self.commits.lock().unwrap() = trouble;
    }

    /// From now on commits wait.
    pub fn hold_commits(&self) {
        *self.gate.lock().unwrap() = Some(Arc::new(Semaphore::new(0)));
    }

    /// Commits that waited go on, and none waits any more.
    pub fn release_commits(&self) {
        if let Some(gate) = self.gate.lock().unwrap().take() {
            gate.close();
        }
    }

    /// How often referrals and lists were read so far.
    pub fn reads(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }

    /// How many commits have come to a gate so far.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }

    /// Returns once a commit waits at the gate.
    pub async fn commit_waits(&self) {
        self.waiting.notified().await;
    }

    /// From now on lists and engagements leave this one out, as if its document were damaged.
    pub fn damage(&self, id: ReferralId) {
        self.damaged.lock().unwrap().push(id);
    }

    /// From now on what is due is as if its documents were damaged.
    pub fn hide_due(&self) {
        self.hides_due.store(true, Ordering::SeqCst);
    }

    /// How often was asked what is due, so far.
    pub fn looks_for_due(&self) -> usize {
        self.looks.load(Ordering::SeqCst)
    }

    /// The next commit waits until the gate closes; those after it do not.
    pub fn hold_next_commit(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.next.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// Waits at the gate, if there is one.
    async fn committing(&self) -> Result<(), StoreError> {
        suffer(&self.commits)?;
        let next = self.next.lock().unwrap().take();
        let gate = next.or_else(|| self.gate.lock().unwrap().clone());
        if let Some(gate) = gate {
            self.held.fetch_add(1, Ordering::SeqCst);
            self.waiting.notify_one();
            // Closed is open here: nobody gives permits.
            let _ = gate.acquire().await;
        }
        Ok(())
    }

    fn reading(&self) -> Result<(), StoreError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        suffer(&self.reads)
    }
}

fn suffer(place: &Mutex<Option<Trouble>>) -> Result<(), StoreError> {
    let trouble = place.lock().unwrap().clone();
    match trouble {
        None => Ok(()),
        Some(Trouble::Panic(text)) => panic!("{text}"),
        Some(Trouble::Error(error)) => Err(error),
    }
}

#[async_trait]
impl Store for Watched {
    async fn referral(
        &self,
        owner: &OrganizationId,
        id: ReferralId,
    ) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        self.reading()?;
        self.inner.referral(owner, id).await
    }

    async fn find_referral(&self, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        self.reading()?;
        self.inner.find_referral(id).await
    }

    async fn engagement(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        self.reading()?;
        let mut found = self.inner.engagement(id, party).await?;
        let damaged = self.damaged.lock().unwrap().clone();
        found.retain(|referral| !damaged.contains(&referral.id));
        Ok(found)
    }

    async fn engagement_role(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<EngagementRole, StoreError> {
        self.reading()?;
        self.inner.engagement_role(id, party).await
    }

    async fn has_open_referral(&self, id: EngagementId, owner: &OrganizationId) -> Result<bool, StoreError> {
        self.reading()?;
        self.inner.has_open_referral(id, owner).await
    }

    async fn query(&self, query: &Query) -> Result<QueryResult, StoreError> {
        self.reading()?;
        let mut found = self.inner.query(query).await?;
        let damaged = self.damaged.lock().unwrap().clone();
        let read = found.referrals.len();
        found.referrals.retain(|(referral, _)| !damaged.contains(&referral.id));
        found.left_out += read - found.referrals.len();
        Ok(found)
    }

    fn change_token(&self, owner: &OrganizationId) -> Option<u64> {
        self.inner.change_token(owner)
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
        let mut found = self.inner.engagement_members(id, after, limit).await?;
        let damaged = self.damaged.lock().unwrap().clone();
        for one in found.iter_mut().filter(|one| damaged.contains(&one.id)) {
            *one = Arc::new(StoredReferral { document: Default::default(), ..(**one).clone() });
        }
        Ok(found)
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        if self.hides_due.load(Ordering::SeqCst) {
            return Ok(Vec::new());
        }
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
        self.inner.stored_response(key, since).await
    }

    async fn commit(&self, change: Change) -> Result<CommitOutcome, StoreError> {
        self.committing().await?;
        self.inner.commit(change).await
    }

    async fn commit_all(&self, changes: Vec<Change>) -> Result<AllOrNone, StoreError> {
        self.committing().await?;
        self.inner.commit_all(changes).await
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

    fn metrics(&self) -> store::StoreMetrics {
        self.inner.metrics()
    }

    fn health(&self) -> Result<(), StoreError> {
        if let Some(Trouble::Error(error)) = &*self.commits.lock().unwrap() {
            return Err(error.clone());
        }
        self.inner.health()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

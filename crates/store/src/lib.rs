//! Storage of referrals, the change log, stored responses, organizations and roles.
//!
//! One trait, [`Store`], and one conformance suite that every engine passes. SQL is only in the folders of the engines.
//! Every effective write appends exactly one entry to the change log, in the same
//! transaction as the new state.

mod aggregation;
mod compression;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod fair_queue;
mod item;
mod list_work;
mod metrics;
mod model;
mod planner;
pub mod postgres;
mod schema;
pub mod sqlite;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use referral::{EngagementId, OrganizationId, ReferralId, Timestamp};

pub use list_work::QueryLimits;
pub use metrics::{CacheMetrics, Distribution, PoolMetrics, StoreMetrics};
pub use model::{
    Action, Actor, Aggregation, AggregationResult, AllOrNone, Assignment, Change, Columns, CommitOutcome,
    CountMode, Cursor, EngagementRole, Entry, FirstReferral, Guard, IdempotencyKey, IdempotencyRecord,
    LogEntry, Organization, Position, Query, QueryPlan, QueryResult, Role, Scope, SortValue, StoredReferral,
    StoredResponse, Version, Write,
};
pub use odata::tokenizer::{index_text, matches, matches_within_budget};
pub use schema::{NAMESPACE, RELATED_REFERRALS, schema};
pub use transfer::{
    Batches, BulkReport, Digest, Export, ExportPosition, Record, SchemaVersion, Sum, Table, Transfer,
    UNFINISHED_COPY, digest_of_all,
};

/// An error of the store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A commit or an fsync failed: this process accepts no further writes. Reads go on.
    #[error("the store has stopped writing after a failed commit: {0}")]
    WritesStopped(String),
    /// The engine is shutting down, or its threads are gone.
    #[error("the store is closed")]
    Closed,
    /// The database cannot be reached, or is too busy: later it may be well. A write may have been made all the same.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The data was written by a newer program.
    #[error(
        "the data is of schema version {found}, this program knows versions up to {known}: use a newer cosell"
    )]
    TooNew {
        /// What the data says.
        found: u32,
        /// The newest this program can read.
        known: u32,
    },
    /// Another process holds the data directory.
    #[error("the data directory {0} is in use by another process")]
    InUse(String),
    /// The query would cost more than one query may: it was broken off. Says what would help.
    #[error("the query costs too much: {0}")]
    TooCostly(String),
    /// An expression of the query has no value for a referral, such as a division by zero. Says which.
    #[error("{0}")]
    Fault(String),
    /// Nobody waits for the query any more, or its time is over.
    #[error("the query was interrupted")]
    Interrupted,
    /// Too many lists of the same organization wait already.
    #[error("too many lists of the organization are waiting")]
    Busy,
    /// The query uses what no engine here can carry out.
    #[error("{0}")]
    NotSupported(String),
    /// Anything else the engine reports; for the log, never for a client.
    #[error("{0}")]
    Engine(String),
}

impl From<odata::EvalError> for StoreError {
    fn from(error: odata::EvalError) -> StoreError {
        match error {
            odata::EvalError::Exhausted => StoreError::TooCostly(
                "its expressions would be evaluated too often, or over too much text; ask for less at a time, with \
                 fewer lambdas in lambdas, or with simpler patterns"
                    .to_owned(),
            ),
            odata::EvalError::Interrupted => StoreError::Interrupted,
            odata::EvalError::Fault { .. } => StoreError::Fault(error.to_string()),
        }
    }
}

/// A process that takes jobs: sixteen random bytes that no other process has.
pub type JobHolder = [u8; 16];

/// The storage engine. The module `conformance` tests its contract.
///
/// Reads are linearizable with acknowledged writes: once [`Store::commit`] has returned
/// [`CommitOutcome::Committed`], no read of any caller shows an older version.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Finds a referral of a known owner.
    async fn referral(
        &self,
        owner: &OrganizationId,
        id: ReferralId,
    ) -> Result<Option<Arc<StoredReferral>>, StoreError>;

    /// Finds a referral of any owner: for what spec 8.6 shows to the other parties of an engagement.
    async fn find_referral(&self, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError>;

    /// What an organization owns or sent in an engagement, oldest first (ties by id). Costs memory for that alone,
    /// however much others have put there.
    async fn engagement(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError>;

    /// How an organization came into an engagement. Decided by columns only: damaged documents count too.
    async fn engagement_role(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<EngagementRole, StoreError>;

    /// Returns whether an organization owns a referral in the engagement that is not `Closed`.
    async fn has_open_referral(&self, id: EngagementId, owner: &OrganizationId) -> Result<bool, StoreError>;

    /// One page of an owner's referrals, and how many there are. Page and count are of one moment.
    ///
    /// # Errors
    /// [`StoreError::TooCostly`], [`StoreError::NotSupported`].
    async fn query(&self, query: &Query) -> Result<QueryResult, StoreError>;

    /// Makes the results of an aggregation of an owner's referrals, all of one moment.
    ///
    /// # Errors
    /// [`StoreError::TooCostly`], [`StoreError::NotSupported`].
    async fn aggregate(&self, aggregation: &Aggregation) -> Result<AggregationResult, StoreError>;

    /// A number that stays the same while nothing changes that lists and aggregations of an owner's referrals show,
    /// by their documents and columns; `None` while it may be changing, and where this process cannot know. What was
    /// read between two equal ones is what would be read now. Costs no I/O.
    fn change_token(&self, _owner: &OrganizationId) -> Option<u64> {
        None
    }

    /// Returns how a query would be executed. Reads no referral.
    ///
    /// # Errors
    /// [`StoreError::NotSupported`].
    async fn plan(&self, query: &Query) -> Result<QueryPlan, StoreError>;

    /// Every referral of an engagement, whoever owns it, oldest first (ties by id), from after a creation time and id
    /// on: for what spec 8.6 shows to the parties of an engagement. A damaged document is empty.
    async fn engagement_members(
        &self,
        id: EngagementId,
        after: Option<(Timestamp, ReferralId)>,
        limit: usize,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError>;

    /// Open referrals whose expiry has passed: `New`, with `expires <= now`, soonest first; at most `limit`.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<StoredReferral>>, StoreError>;

    /// The soonest expiry of any referral that still stands `New`.
    async fn next_expiry(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Returns the response stored under this key, unless it was stored before `since`.
    async fn stored_response(
        &self,
        key: &IdempotencyKey,
        since: Timestamp,
    ) -> Result<Option<StoredResponse>, StoreError>;

    /// Writes all of a change or nothing. It is durable when the call returns.
    async fn commit(&self, change: Change) -> Result<CommitOutcome, StoreError>;

    /// Writes all of several changes or nothing, and makes them durable before it returns. Each is held against what
    /// those before it leave. The document and the words of a version that a later change of them replaces are written
    /// nowhere: the former may be empty, and the latter are passed on to the next version that brings none.
    async fn commit_all(&self, changes: Vec<Change>) -> Result<AllOrNone, StoreError>;

    /// Deletes responses stored before this instant, and returns their number. Bounded work per call:
    /// at most 1,000.
    async fn forget_responses(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Change-log entries of one organization after a position, in order, at most `limit`.
    async fn log(
        &self,
        organization: &OrganizationId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError>;

    /// Every organization, by id.
    async fn organizations(&self) -> Result<Vec<Organization>, StoreError>;

    /// Adds an organization or replaces what is known of it.
    async fn save_organization(&self, organization: &Organization) -> Result<(), StoreError>;

    /// Every role given by this server (not by a token), by organization and identity.
    async fn assignments(&self) -> Result<Vec<Assignment>, StoreError>;

    /// Gives a role, or replaces the one this identity has.
    async fn save_assignment(&self, assignment: &Assignment) -> Result<(), StoreError>;

    /// A value kept under a name, such as the sandbox issuer's key.
    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a value under a name, durably.
    async fn save_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Keeps a value under a name that has none; the value that is kept then. Where several processes share the data,
    /// all get the same one.
    async fn keep_setting(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        if let Some(kept) = self.setting(name).await? {
            return Ok(kept);
        }
        self.save_setting(name, value).await?;
        Ok(value.to_owned())
    }

    /// Takes a job that one process at a time shall do, or keeps it for another `term` from now; whether this holder has
    /// it. One that does not come back in time loses the job to whoever asks next, even if it is still at work: what a
    /// job does must be safe to be done twice, as conditional commits are. A store that one process holds alone gives
    /// every job to it.
    async fn take_job(&self, job: &str, holder: &JobHolder, term: Duration) -> Result<bool, StoreError> {
        let _ = (job, holder, term);
        Ok(true)
    }

    /// Gives a job back that this holder may have, so that others need not wait for the end of its term.
    async fn leave_job(&self, job: &str, holder: &JobHolder) -> Result<(), StoreError> {
        let _ = (job, holder);
        Ok(())
    }

    /// Returns the error that stopped writes, if any. Costs no I/O.
    fn health(&self) -> Result<(), StoreError>;

    /// Returns the metrics of the engine. Costs no I/O.
    fn metrics(&self) -> StoreMetrics {
        StoreMetrics::default()
    }

    /// Stops taking work, finishes what was accepted, and closes the files. Idempotent.
    async fn close(&self);
}

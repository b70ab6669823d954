//! The use cases: what each caller may see and do, and what happens then.
//!
//! No HTTP and no SQL. Every function does this: authorise, load, decide (pure), save, return.

mod caller;
mod create;
mod decoded_cache;
mod directory;
mod edit;
mod error;
mod evaluation;
mod expire;
mod group;
mod idempotency;
mod large_work;
mod query;
mod read;
mod slots;
mod stored;
mod visibility;

use std::sync::Arc;

use bytes::Bytes;
use referral::{ETag, EngagementId, ReferralId, RequestOptions, Timestamp};
use store::Store;
use uuid::Uuid;

pub use caller::{AdmissionError, Caller, Principal, Role};
pub use directory::Directory;
pub use error::{CreateError, EditError, ReadError};
pub use evaluation::{DetachedEvaluation, EvaluationBudget, reading_cost};
pub use expire::ExpiryMetrics;
pub use group::WriteGroup;
pub use idempotency::{IdempotentRequest, ResponseRecorder, WriteResult};
pub use large_work::{MemoryAccount, MemoryLimitError, RequestCost, block_in_place_if_large};
pub use query::page::{ApplyResult, Continuation, ListItem, Page, ReferralCount};
pub use query::{ListRequest, ListRequestError, ListRequestErrorKind, MAX_PAGE_SIZE, PAGE_SIZE_OPTION};
pub use referral::ApiMode;
pub use store::{
    Cursor, Distribution, NAMESPACE, QueryPlan, RELATED_REFERRALS, SortValue, StoreError, StoreMetrics,
    StoredResponse, schema,
};
pub use stored::{search_text, to_store};

/// A clock. The binary has the real one; tests and the sandbox can set it.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// A generator of identifiers. The binary has the random one; tests have a seeded one.
pub trait Ids: Send + Sync + 'static {
    /// Returns a new, unique identifier.
    fn next(&self, now: Timestamp) -> Uuid;
}

/// The switches of spec 15 that decide what callers may do and how bodies are read.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How bodies are read, and the validation profile.
    pub request_options: RequestOptions,
    /// Global Admin counts as Referral Admin (default on).
    pub global_admin_counts: bool,
    /// Application-only tokens are accepted (default off).
    pub app_only: bool,
    /// Commercial-marketplace offer leads are listed and readable (default off).
    pub offer_leads: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            request_options: RequestOptions::default(),
            global_admin_counts: true,
            app_only: false,
            offer_leads: false,
        }
    }
}

/// A referral as one caller may see it.
#[derive(Debug, Clone, PartialEq)]
pub struct VisibleReferral {
    /// The referral.
    pub id: ReferralId,
    /// Its engagement.
    pub engagement_id: EngagementId,
    /// Its entity tag.
    pub etag: ETag,
    /// Its document: the stored bytes for the owner, a redacted copy for the other side (spec 8.6).
    pub document: Bytes,
    /// True if what the caller may see of this version can change: then the document can differ under the same tag.
    pub visibility_may_change: bool,
}

/// The exchange: one per server, and one for each [`WriteGroup`] of writes, over the same parts.
pub struct Exchange {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    policy: Arc<Policy>,
    directory: Arc<Directory>,
    in_flight: Arc<idempotency::InFlightRequests>,
    expiry: Arc<expire::ExpirySchedule>,
    locks: Arc<edit::ReferralLocks>,
    decoded: Arc<decoded_cache::DecodedCache>,
    large_work: Arc<slots::WorkSlots>,
    evaluations: Arc<slots::WorkSlots>,
}

impl Exchange {
    /// Opens the exchange on a store: reads the organizations and the time of the next expiry.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        policy: Policy,
    ) -> Result<Exchange, store::StoreError> {
        let directory = Arc::new(Directory::load(store.as_ref()).await?);
        let expiry = Arc::new(expire::ExpirySchedule::load(store.as_ref()).await?);
        let (in_flight, locks, decoded) = Default::default();
        let large_work = Arc::new(slots::WorkSlots::new("large documents and queries"));
        let evaluations = Arc::new(slots::WorkSlots::new("evaluations"));
        let policy = Arc::new(policy);
        Ok(Exchange {
            store,
            clock,
            ids,
            policy,
            directory,
            in_flight,
            expiry,
            locks,
            decoded,
            large_work,
            evaluations,
        })
    }

    /// Returns the time of the injected clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The switches.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the error that stopped writes, if they are not accepted.
    ///
    /// # Errors
    /// The error of [`Store::health`].
    pub fn health(&self) -> Result<(), store::StoreError> {
        self.store.health()
    }

    /// Returns the metrics of the store.
    pub fn store_metrics(&self) -> StoreMetrics {
        self.store.metrics()
    }

    /// Returns the metrics of the expiry of unanswered referrals.
    pub fn expiry_metrics(&self) -> ExpiryMetrics {
        self.expiry.metrics(self.now())
    }

    /// Returns the organizations and the roles assigned here.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }
}

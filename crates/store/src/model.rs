//! The types that go into the store and come out of it.

use bytes::Bytes;
use odata::{Search, Typed, TypedApply, TypedOrder};
use referral::{
    ETag, EngagementId, OrganizationId, ReferralDirection, ReferralId, ReferralQualification, ReferralStatus,
    ReferralSubstatus, ReferralType, Timestamp,
};
use rust_decimal::Decimal;
use std::sync::Arc;

/// Counts the versions of one referral, from 1; a decision names the one it saw.
pub type Version = u64;

/// Counts the change-log entries of one organization, from 1, without gaps.
pub type Position = u64;

/// A referral as it is kept: the bytes an answer is made of, and the columns a query needs.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReferral {
    /// The owner.
    pub owner: OrganizationId,
    /// The referral.
    pub id: ReferralId,
    /// Its engagement; never changes.
    pub engagement_id: EngagementId,
    /// Its version.
    pub version: Version,
    /// Its entity tag.
    pub etag: ETag,
    /// The columns that queries use.
    pub columns: Columns,
    /// The JSON document without `@odata.context`, with `"links":null` where the links belong: independent of the
    /// server's public address, which `referral::PublicBase` puts in.
    pub document: Bytes,
}

impl StoredReferral {
    /// Returns whether it should already have expired at `now` (T9, T17).
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.columns.status == ReferralStatus::New
            && self.columns.expires.is_some_and(|expires| expires <= now)
    }
}

/// The indexed members of a referral, and two facts that are not members.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// `status`
    pub status: ReferralStatus,
    /// `substatus`
    pub substatus: ReferralSubstatus,
    /// `direction`
    pub direction: ReferralDirection,
    /// `qualification`
    pub qualification: ReferralQualification,
    /// `type`
    pub referral_type: ReferralType,
    /// `customerProfile.address.country`
    pub country: Option<String>,
    /// `createdDateTime`
    pub created: Timestamp,
    /// `updatedDateTime`
    pub updated: Timestamp,
    /// `expirationDateTime`
    pub expires: Option<Timestamp>,
    /// `acceptedDateTime`: decides what the other parties may see (spec 8.6).
    pub accepted: Option<Timestamp>,
    /// The organization that sent this referral by a connected POST (spec 8.3); `None` for every other,
    /// whatever its `inviteContext.invitedBy` says.
    pub sender: Option<OrganizationId>,
    /// Whether it is a commercial-marketplace offer lead (spec 8.1), which list and get leave out.
    pub offer_lead: bool,
    /// `consent.consentToShareReferralWithMicrosoftSellers`: lets `msft` see it on partner-led deals.
    pub shared_with_microsoft: bool,
    /// `team[].email`, folded to lower case, without empty ones and repetitions.
    pub team: Vec<String>,
}

/// How an organization came into an engagement: decides whether it may see the customer's contacts there (spec 8.6).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngagementRole {
    /// The referral that the engagement began with; `None` for an engagement without referrals.
    pub first: Option<FirstReferral>,
    /// Whether the organization accepted a referral that another one sent it there.
    pub accepted_invitation: bool,
}

/// The oldest referral of an engagement (ties by id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstReferral {
    /// `createdDateTime`
    pub created: Timestamp,
    /// The referral.
    pub id: ReferralId,
    /// Its owner.
    pub owner: OrganizationId,
    /// See [`Columns::sender`].
    pub sender: Option<OrganizationId>,
}

impl EngagementRole {
    /// Returns whether `party` began the engagement: it sent the first referral or, if nobody sent it, owns it.
    pub fn began(&self, party: &OrganizationId) -> bool {
        self.first.as_ref().is_some_and(|first| first.sender.as_ref().unwrap_or(&first.owner) == party)
    }
}

/// Whose referrals a query is about. Every query has one: none reaches another owner's rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// The owner.
    pub owner: OrganizationId,
    /// Only those with one of these folded e-mails on the team; `None` for all.
    pub team: Option<Vec<String>>,
    /// Whether marketplace offer leads are shown too.
    pub offer_leads: bool,
    /// What `now()` is in the query's expressions.
    pub now: Timestamp,
}

/// A page of an owner's referrals: which, in which order, from where on. The expressions are bound against
/// [`schema`](crate::schema()).
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Whose.
    pub scope: Scope,
    /// Only referrals for which it is true; `None`: all.
    pub filter: Option<Typed>,
    /// Only referrals that also match; `None`: all.
    pub search: Option<Search>,
    /// The keys of the order; ties are broken by `id` ascending. Empty: `createdDateTime desc`.
    pub order: Vec<TypedOrder>,
    /// Begins after this cursor; `None`: at the first.
    pub after: Option<Cursor>,
    /// Number of referrals to skip, counted from `after`.
    pub skip: u64,
    /// The maximum number to return.
    pub limit: usize,
    /// Whether [`QueryResult::count`] is wanted.
    pub count: CountMode,
}

/// How much a count may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountMode {
    /// No count.
    No,
    /// The exact number, within the bound of every query.
    Exact,
    /// The exact number where it costs little, else none.
    IfCheap,
}

/// The position of a referral in the order of a query: its sort values, then its id. A next link carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// A value for each key of [`Query::order`]; where that is empty, the one `createdDateTime`.
    pub keys: Vec<SortValue>,
    /// Breaks ties.
    pub id: ReferralId,
}

/// A value that referrals are sorted by: an [`odata::Value`] without its type. Null sorts first.
#[derive(Debug, Clone, PartialEq)]
pub enum SortValue {
    /// Nothing.
    Null,
    /// `Edm.Boolean`
    Boolean(bool),
    /// Whole numbers, the place of an enumeration's member, and instants, dates, times and durations in their
    /// smallest unit.
    Integer(i64),
    /// Exact numbers.
    Decimal(Decimal),
    /// Floating-point numbers.
    Real(f64),
    /// Texts, folded where the order ignores case.
    Text(String),
    /// GUIDs and binary data.
    Bytes(Vec<u8>),
}

impl Cursor {
    /// About how many bytes it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let key = |key: &SortValue| match key {
            SortValue::Text(text) => text.len(),
            SortValue::Bytes(bytes) => bytes.len(),
            SortValue::Null
            | SortValue::Boolean(_)
            | SortValue::Integer(_)
            | SortValue::Decimal(_)
            | SortValue::Real(_) => 0,
        };
        size_of::<Cursor>() + self.keys.iter().map(|one| size_of::<SortValue>() + key(one)).sum::<usize>()
    }
}

/// The result of a query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryResult {
    /// The referrals in order, each with its cursor.
    pub referrals: Vec<(Arc<StoredReferral>, Cursor)>,
    /// Number of all matching referrals, regardless of `after`, `skip` and `limit`.
    pub count: Option<u64>,
    /// Number of referrals of the page that are left out because their documents are damaged.
    pub left_out: usize,
    /// Number of other referrals that could not be evaluated because their documents are damaged.
    pub unreadable: usize,
    /// Whether there are fewer than `limit` because their documents are long: the next page begins after the last.
    pub cut_short: bool,
}

/// The result of an aggregation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AggregationResult {
    /// Objects with the members of the result type.
    pub rows: Vec<serde_json::Value>,
    /// Number of referrals that are left out because their documents are damaged.
    pub left_out: usize,
}

/// An aggregation over an owner's referrals.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregation {
    /// Whose.
    pub scope: Scope,
    /// The transformations.
    pub apply: TypedApply,
    /// Filter of the results, bound against the schema of `apply`.
    pub filter: Option<Typed>,
    /// The keys of the order of the results; empty: as the transformations leave them.
    pub order: Vec<TypedOrder>,
    /// Number of results to skip.
    pub skip: u64,
    /// The maximum number to return.
    pub limit: usize,
}

/// How a query would be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPlan {
    /// The ways into the data in order, each in a line for a person.
    pub steps: Vec<String>,
    /// Whether an index alone leads to the page: rows visited do not exceed the rows shown by more than one (and one
    /// for each stream that is merged).
    pub by_index: bool,
    /// How the count is found, in one line.
    pub count: String,
    /// The statements, as the engine gets them, values left out.
    pub statements: Vec<String>,
    /// What the database's own planner makes of the page with what is stored now, line by line; empty where the engine
    /// has none or the owner has nothing.
    pub planner: Vec<String>,
}

/// Everything that one write changes. All of it is committed, or none.
#[derive(Debug, Clone)]
pub struct Change {
    /// The new version and its log entry; `None` if only a response is stored.
    pub write: Option<Write>,
    /// Conditions that must still be true inside the transaction.
    pub guards: Vec<Guard>,
    /// The response to replay if the same request comes again.
    pub answer: Option<IdempotencyRecord>,
}

/// A new version of a referral, with its log entry.
#[derive(Debug, Clone)]
pub struct Write {
    /// The new version. Its `version` is `decided_on + 1`, or the first one of a new referral.
    pub referral: StoredReferral,
    /// The version the decision saw; `None`: the referral must not exist yet, under any owner.
    pub decided_on: Option<Version>,
    /// The log entry; the store assigns its position.
    pub entry: Entry,
    /// The words by which `$search` finds it: what [`index_text`](crate::index_text) makes of its texts. `None`: those of
    /// the version that was decided on.
    pub search: Option<String>,
}

/// A change-log entry before it has a position.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What happened.
    pub action: Action,
    /// When, by the injected clock: the referral's `updatedDateTime`.
    pub at: Timestamp,
    /// The user who did it; `None` for the server itself (expiry, import).
    pub actor: Option<Actor>,
    /// A JSON object `{ "member/path": [before, after], … }` of the members that changed; `{}` for a creation,
    /// whose state is the document itself.
    pub changes: Bytes,
}

/// What happened to a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Action {
    Created,
    Updated,
    Expired,
    Imported,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 4] = [Action::Created, Action::Updated, Action::Expired, Action::Imported];

    /// The name the log keeps.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Created => "created",
            Action::Updated => "updated",
            Action::Expired => "expired",
            Action::Imported => "imported",
        }
    }
}

/// A person of an organization, by the stable identifier of their token (`oid`, else `sub`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor {
    /// On whose behalf.
    pub organization: OrganizationId,
    /// Who: a token's `oid` or `sub`. At most 255 characters.
    pub user: String,
}

/// A change-log entry as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// Its place in the organization's log.
    pub position: Position,
    /// The owner of the referral.
    pub organization: OrganizationId,
    /// The referral.
    pub referral_id: ReferralId,
    /// Its engagement.
    pub engagement_id: EngagementId,
    /// The version this entry brought.
    pub version: Version,
    /// What it says.
    pub entry: Entry,
}

/// A condition that is checked inside the write transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Guard {
    /// The owner has no referral in the engagement that is not `Closed`.
    NoOpenReferral {
        /// The engagement.
        engagement: EngagementId,
        /// Whose referrals count.
        owner: OrganizationId,
    },
    /// The owner has at least one referral in the engagement that is not `Closed`.
    SomeOpenReferral {
        /// The engagement.
        engagement: EngagementId,
        /// Whose referrals count.
        owner: OrganizationId,
    },
}

/// The outcome of a commit, if the store itself did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum CommitOutcome {
    /// Durable. The position of the log entry, if there was a write.
    Committed(Option<Position>),
    /// The stored version is no longer the one decided on (or the id is taken): decide again.
    VersionConflict,
    /// A guard no longer holds: decide again.
    GuardFailed,
    /// The same request was answered meanwhile. Nothing was written; this is its response.
    Replayed(StoredResponse),
}

/// The outcome of a commit of several changes, if the store itself did not fail.
#[derive(Debug, Clone, PartialEq)]
pub enum AllOrNone {
    /// Durable, all of them. What [`CommitOutcome::Committed`] holds, for each in its order.
    All(Vec<Option<Position>>),
    /// Nothing was written, because of this one.
    None {
        /// Its place among the changes.
        at: usize,
        /// Its outcome: any but [`CommitOutcome::Committed`].
        because: CommitOutcome,
    },
}

/// Identifies a request for replay: the organization, and a digest of caller, method, path and request id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The caller's organization.
    pub organization: OrganizationId,
    /// SHA-256 of the rest of the key (spec 4.3.2).
    pub digest: [u8; 32],
}

/// A response to store, with its key.
#[derive(Debug, Clone, PartialEq)]
pub struct IdempotencyRecord {
    /// The key.
    pub key: IdempotencyKey,
    /// The answer.
    pub answer: StoredResponse,
    /// When it was given.
    pub at: Timestamp,
}

/// A completed response, as it is replayed (spec 4.3).
#[derive(Debug, Clone, PartialEq)]
pub struct StoredResponse {
    /// SHA-256 of the request's body and `If-Match`: a repeat must be the same request.
    pub request_digest: [u8; 32],
    /// The HTTP status, opaque to the store.
    pub status: u16,
    /// The rest of the answer, opaque to the store.
    pub content: Bytes,
}

/// An organization that takes part in the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id in referrals.
    pub id: OrganizationId,
    /// Its name in referrals.
    pub name: String,
    /// The issuer its people's tokens come from, as configured or as the sandbox's own.
    pub issuer: String,
    /// The tenant (`tid`) at that issuer; `None` where the issuer serves this organization alone.
    pub tenant: Option<String>,
    /// Its partner id (`mpnId`), a numeric string.
    pub partner_id: Option<String>,
    /// Its location ids: a target that names one names this organization (spec 8.3).
    pub locations: Vec<String>,
}

/// A role given to a person by this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The organization.
    pub organization: OrganizationId,
    /// Who: a user name of the token, folded to lower case.
    pub identity: String,
    /// The role.
    pub role: Role,
}

/// The roles of spec 3.2, as they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Role {
    ReferralAdmin,
    ReferralUser,
}

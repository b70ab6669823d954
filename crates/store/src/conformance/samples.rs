//! Sample values for the rules, each distinguished by its numbers.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use referral::{
    ETag, EngagementId, OrganizationId, ReferralDirection, ReferralId, ReferralQualification, ReferralStatus,
    ReferralSubstatus, ReferralType, Timestamp,
};

use crate::{
    Action, Actor, Change, Columns, CommitOutcome, CountMode, Cursor, Entry, IdempotencyKey,
    IdempotencyRecord, Position, Query, Scope, SortValue, Store, StoreError, StoredReferral, StoredResponse,
    Write, index_text,
};

/// The organization of this number.
pub fn organization(number: u8) -> OrganizationId {
    let mut bytes = [number; 16];
    bytes[0] = 0xf0;
    OrganizationId::from_bytes(&bytes).expect("sixteen bytes are an organization")
}

/// The referral id of this number; ids stand in the order of their numbers.
pub fn id(number: u64) -> ReferralId {
    let mut bytes = [0xa0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ReferralId::from_bytes(bytes)
}

/// The engagement of this number.
pub fn engagement(number: u8) -> EngagementId {
    EngagementId::from_bytes([number; 16])
}

/// The instant this many seconds after the start of the samples' time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(1_600_000_000).plus_seconds(seconds)
}

/// The first version of a referral: `New`, independent, without team, expiry or sender.
pub fn a_referral(owner: &OrganizationId, number: u64) -> StoredReferral {
    let created = at(number as i64);
    StoredReferral {
        owner: owner.clone(),
        id: id(number),
        engagement_id: engagement(1),
        version: 1,
        etag: ETag::of_version(1, created),
        columns: Columns {
            status: ReferralStatus::New,
            substatus: ReferralSubstatus::Received,
            direction: ReferralDirection::Incoming,
            qualification: ReferralQualification::Direct,
            referral_type: ReferralType::Independent,
            country: None,
            created,
            updated: created,
            expires: None,
            accepted: None,
            sender: None,
            offer_lead: false,
            shared_with_microsoft: false,
            team: Vec::new(),
        },
        document: Bytes::from(format!(r#"{{"number":{number},"version":1}}"#)),
    }
}

/// The version after this one.
pub fn next(referral: &StoredReferral) -> StoredReferral {
    let mut next = referral.clone();
    next.version += 1;
    next.columns.updated = referral.columns.updated.next();
    next.etag = ETag::of_version(next.version, next.columns.updated);
    next.document = Bytes::from(format!(r#"{{"version":{}}}"#, next.version));
    next
}

/// The same referral, closed.
pub fn closed(mut referral: StoredReferral) -> StoredReferral {
    referral.columns.status = ReferralStatus::Closed;
    referral.columns.substatus = ReferralSubstatus::Won;
    referral
}

/// News of a referral's version.
pub fn news(action: Action, referral: &StoredReferral) -> Entry {
    let actor = Actor { organization: referral.owner.clone(), user: format!("user of {}", referral.version) };
    let changes = Bytes::from(format!(r#"{{"version":[{},{}]}}"#, referral.version - 1, referral.version));
    Entry { action, at: referral.columns.updated, actor: Some(actor), changes }
}

/// The words by which it is found: those of its document.
pub fn words_of(referral: &StoredReferral) -> String {
    std::str::from_utf8(&referral.document).map(|text| index_text(text.split('"'))).unwrap_or_default()
}

/// The change that makes this referral.
pub fn creation(referral: StoredReferral) -> Change {
    let (entry, search) = (news(Action::Created, &referral), words_of(&referral));
    Change {
        write: Some(Write { referral, decided_on: None, entry, search: Some(search) }),
        guards: Vec::new(),
        answer: None,
    }
}

/// The change that makes this the next version.
pub fn edit(referral: StoredReferral) -> Change {
    let (entry, decided_on) = (news(Action::Updated, &referral), Some(referral.version - 1));
    let search = words_of(&referral);
    Change {
        write: Some(Write { referral, decided_on, entry, search: Some(search) }),
        guards: Vec::new(),
        answer: None,
    }
}

/// The key of a request of this number.
pub fn key(organization: &OrganizationId, number: u16) -> IdempotencyKey {
    let mut digest = [0; 32];
    digest[..2].copy_from_slice(&number.to_be_bytes());
    IdempotencyKey { organization: organization.clone(), digest }
}

/// An answer to a request of this number, given then.
pub fn idempotency_record(organization: &OrganizationId, number: u16, given: Timestamp) -> IdempotencyRecord {
    let answer = StoredResponse {
        request_digest: [number as u8; 32],
        status: 200 + number % 5,
        content: Bytes::from(format!("answer {number}")),
    };
    IdempotencyRecord { key: key(organization, number), answer, at: given }
}

/// Everything of an owner but offer leads.
pub fn all_of(owner: &OrganizationId) -> ListQuery {
    ListQuery { owner: owner.clone(), team: None, offer_leads: false, after: None, limit: 1000 }
}

/// The plainest list: an owner's referrals, newest first (ties by id ascending).
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Whose referrals.
    pub owner: OrganizationId,
    /// Only those with this folded e-mail (or one of these) on the team; `None` for all.
    pub team: Option<Vec<String>>,
    /// Whether marketplace offer leads are shown too.
    pub offer_leads: bool,
    /// Begin after this one: the last of the page before.
    pub after: Option<(Timestamp, ReferralId)>,
    /// The maximum number to return.
    pub limit: usize,
}

impl ListQuery {
    /// The same as a query.
    pub fn query(&self, limit: usize, count: CountMode) -> Query {
        let place = |(created, id): (Timestamp, ReferralId)| Cursor {
            keys: vec![SortValue::Integer(created.ticks())],
            id,
        };
        let (owner, team) = (self.owner.clone(), self.team.clone());
        Query {
            scope: Scope { owner, team, offer_leads: self.offer_leads, now: at(0) },
            filter: None,
            search: None,
            order: Vec::new(),
            after: self.after.map(place),
            skip: 0,
            limit,
            count,
        }
    }
}

/// [`Store::query`], as most rules ask it.
#[async_trait]
pub trait Lists {
    /// One page.
    async fn list(&self, query: &ListQuery) -> Result<Vec<Arc<StoredReferral>>, StoreError>;

    /// How many match, whatever `after` and `limit`.
    async fn count(&self, query: &ListQuery) -> Result<u64, StoreError>;
}

#[async_trait]
impl<S: Store + ?Sized> Lists for S {
    async fn list(&self, query: &ListQuery) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        let found = self.query(&query.query(query.limit, CountMode::No)).await?;
        Ok(found.referrals.into_iter().map(|(referral, _)| referral).collect())
    }

    async fn count(&self, query: &ListQuery) -> Result<u64, StoreError> {
        let found = self.query(&query.query(0, CountMode::Exact)).await?;
        Ok(found.count.expect("the count was asked for"))
    }
}

/// Commits what must succeed; the position of its news.
pub async fn must(store: &dyn Store, change: Change) -> Position {
    match store.commit(change).await.expect("the store is well") {
        CommitOutcome::Committed(Some(position)) => position,
        other => panic!("not committed with news: {other:?}"),
    }
}

/// Creates the referral and gives it back.
pub async fn created(store: &dyn Store, referral: StoredReferral) -> StoredReferral {
    must(store, creation(referral.clone())).await;
    referral
}

/// The referral as the store has it.
pub async fn stored(store: &dyn Store, id: ReferralId) -> Option<StoredReferral> {
    store.find_referral(id).await.expect("the store is well").map(|referral| (*referral).clone())
}

/// The ids a list shows.
pub async fn ids(store: &dyn Store, query: &ListQuery) -> Vec<ReferralId> {
    store.list(query).await.expect("the store is well").iter().map(|referral| referral.id).collect()
}

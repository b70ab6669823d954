//! Errors of the use cases. `server` maps each to an HTTP response.

use referral::{DamagedDocument, ReferralId, Rejection, ValidationError};
use store::StoreError;

use crate::large_work::MemoryLimitError;

/// The error of a read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The referral does not exist, or the caller may not know that it does: 404.
    #[error("no referral with this identifier is visible to the caller")]
    NotFound,
    /// Of the caller's organization, but the Referral User is not on its team: 403.
    #[error("the caller is not on the team of the referral")]
    NotOnTeam,
    /// The continuation belongs to another list request: 400.
    #[error("the continuation belongs to another request")]
    Forged,
    /// The store failed: 500, or 503.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored document cannot be read: 500.
    #[error("referral {0}: {1}")]
    Damaged(ReferralId, DamagedDocument),
}

/// The error of a change.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The referral cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another organization's referral: 403 `notOwner`.
    #[error("only its owner may change a referral")]
    NotOwner,
    /// `If-Match` names another version: 412.
    #[error("the referral has changed since it was read")]
    Stale,
    /// `If-None-Match` names the stored version: 412.
    #[error("the stored version is one that If-None-Match excludes")]
    Excluded,
    /// 400 or 409: the change does not fit the stored referral.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// 409: the request id was used for another request.
    #[error("the request identifier was already used with a different body")]
    RequestIdReused,
    /// 409 with `Retry-After`: the first request with this id is still running.
    #[error("the first request with this identifier is still running")]
    RequestInProgress,
    /// 429 or 503: the caller's share of memory, or the server's memory, is used up.
    #[error(transparent)]
    NoMemory(#[from] MemoryLimitError),
    /// 503: the referral changed repeatedly while this write was decided.
    #[error("the referral is changing too fast; try again")]
    Contended,
}

impl From<StoreError> for EditError {
    fn from(error: StoreError) -> EditError {
        EditError::Read(error.into())
    }
}

/// The error of a creation.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The body is invalid: 400.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// 404: there is no such engagement with a referral of the caller's organization.
    #[error("no engagement with this identifier holds a referral of the caller's organization")]
    EngagementNotFound,
    /// 403: a Referral User creates only with itself on the team.
    #[error("a Referral User must be on the team of a referral it creates")]
    NotOnTeam,
    /// 409: the caller has no open referral in the engagement.
    #[error("the caller has no open referral in this engagement")]
    EngagementClosed,
    /// 409: the invited organization has an open referral there already.
    #[error("the invited organization already has an open referral in this engagement")]
    AlreadyInvited,
    /// 409: the request id was used for another request.
    #[error("the request identifier was already used with a different body")]
    RequestIdReused,
    /// 409 with `Retry-After`: the first request with this id is still running.
    #[error("the first request with this identifier is still running")]
    RequestInProgress,
    /// 429 or 503: the caller's share of memory, or the server's memory, is used up.
    #[error(transparent)]
    NoMemory(#[from] MemoryLimitError),
    /// 503: the engagement changed repeatedly while this write was decided.
    #[error("the engagement is changing too fast; try again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored document cannot be read.
    #[error("a stored document cannot be read: {0}")]
    Damaged(#[from] DamagedDocument),
}

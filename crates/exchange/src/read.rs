//! Reading: one referral, and the plain list. Source: spec 3.2, 3.3, 11.3.

use std::sync::Arc;

use referral::{ReferralId, Timestamp};
use store::{ListQuery, StoredReferral};

use crate::caller::{Caller, Role};
use crate::error::ReadError;
use crate::sight::{redacted, whole};
use crate::{Exchange, Shown};

/// The most referrals of one page (REF-207).
pub const PAGE: usize = 100;

/// Where a page begins: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// `createdDateTime` of the last referral of the page before.
    pub created: Timestamp,
    /// Its id.
    pub id: ReferralId,
}

/// What a list request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageRequest {
    /// Begin after this one; `None`: with the newest.
    pub after: Option<Cursor>,
    /// At most so many in total, over all pages that follow.
    pub top: Option<u64>,
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The referrals, newest first.
    pub referrals: Vec<Shown>,
    /// How many there are in all, whatever the paging.
    pub count: u64,
    /// Where the next page begins; `None` on the last.
    pub next: Option<PageRequest>,
}

impl Exchange {
    /// One referral, as the caller may see it.
    ///
    /// # Errors
    /// [`ReadError`], by the table of spec 3.3.
    pub async fn referral(&self, caller: &Caller, id: ReferralId) -> Result<Shown, ReadError> {
        let stored = self.known(caller, id).await?;
        if stored.owner == caller.organization {
            return if caller.reaches(&stored) { Ok(whole(&stored)) } else { Err(ReadError::NotOnTeam) };
        }
        match Box::pin(self.sight(caller, &stored)).await? {
            Some(view) => redacted(&stored, view),
            None => Err(ReadError::NotFound),
        }
    }

    /// A referral that exists and is offered at all.
    pub(crate) async fn known(
        &self,
        caller: &Caller,
        id: ReferralId,
    ) -> Result<Arc<StoredReferral>, ReadError> {
        let owned = self.store.referral(&caller.organization, id).await?;
        let stored = match owned {
            Some(stored) if !stored.is_due(self.now()) => stored,
            _ => Box::pin(self.current(id)).await?.ok_or(ReadError::NotFound)?,
        };
        if self.is_hidden(&stored) { Err(ReadError::NotFound) } else { Ok(stored) }
    }

    /// One page of the caller's own organization's referrals, newest first. A Referral User sees those with
    /// itself on the team.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn referrals(&self, caller: &Caller, request: PageRequest) -> Result<Page, ReadError> {
        self.settle().await?;
        let limit = request.top.unwrap_or(u64::MAX).min(PAGE as u64) as usize;
        let query = ListQuery {
            owner: caller.organization.clone(),
            team: (caller.role == Role::User).then(|| caller.identities.clone()),
            offer_leads: self.policy.offer_leads,
            after: request.after.map(|cursor| (cursor.created, cursor.id)),
            limit: limit + 1, // one more tells whether another page follows
        };
        let count = self.store.count(&query).await?;
        let mut found = if limit == 0 { Vec::new() } else { self.store.list(&query).await? };
        let more = found.len() > limit;
        found.truncate(limit);
        let left = request.top.map(|top| top - limit as u64);
        let next = found.last().filter(|_| more && left != Some(0)).map(|last| PageRequest {
            after: Some(Cursor { created: last.columns.created, id: last.id }),
            top: left,
        });
        Ok(Page { referrals: found.iter().map(|referral| whole(referral)).collect(), count, next })
    }
}

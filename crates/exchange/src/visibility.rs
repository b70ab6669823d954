//! Visibility of referrals of other organizations: only within a common engagement. Source: spec 8.6.

use std::sync::Arc;

use bytes::Bytes;
use referral::{EngagementId, Redaction, Referral, ReferralStatus};
use store::StoredReferral;

use crate::caller::{Caller, Role};
use crate::error::ReadError;
use crate::{Exchange, VisibleReferral};

/// The part of a caller's organization in an engagement.
pub(crate) struct Membership {
    /// The referrals that it owns or sent there.
    ours: Vec<Arc<StoredReferral>>,
    /// True if it sees the customer's contacts with the owner's consent: it began the engagement, or accepted an
    /// invitation. Own deals that it added later do not count.
    entitled: bool,
}

/// Returns the redaction of another organization's referral for the caller; `None` if the caller does not see it.
pub(crate) fn visibility_for(
    caller: &Caller,
    foreign: &StoredReferral,
    membership: &Membership,
) -> Option<Redaction> {
    let Membership { ours, entitled } = membership;
    if caller.role == Role::User && !ours.iter().any(|one| caller.is_one_of(&one.columns.team)) {
        return None;
    }
    if foreign.columns.sender.as_ref() == Some(&caller.organization) {
        return Some(Redaction::Inviting);
    }
    if !ours.is_empty() {
        return Some(if *entitled { Redaction::Entitled } else { Redaction::NotEntitled });
    }
    let partner_led = caller.organization.is_microsoft() && foreign.columns.shared_with_microsoft;
    partner_led.then_some(Redaction::MicrosoftOnPartnerLed)
}

impl Exchange {
    /// Returns whether this is an offer lead and offer leads are hidden (spec 11.3).
    pub(crate) fn is_hidden(&self, referral: &StoredReferral) -> bool {
        referral.columns.offer_lead && !self.policy.offer_leads
    }

    /// Returns the redaction of another organization's referral for the caller.
    pub(crate) async fn visibility(
        &self,
        caller: &Caller,
        foreign: &StoredReferral,
    ) -> Result<Option<Redaction>, ReadError> {
        if self.is_hidden(foreign) {
            return Ok(None);
        }
        let membership = self.membership(caller, foreign.engagement_id).await?;
        Ok(visibility_for(caller, foreign, &membership))
    }

    /// Returns the part of the caller's organization in an engagement.
    pub(crate) async fn membership(
        &self,
        caller: &Caller,
        engagement: EngagementId,
    ) -> Result<Membership, ReadError> {
        let ours = self.store.engagement(engagement, &caller.organization).await?;
        let entitled = !ours.is_empty() && {
            let role = self.store.engagement_role(engagement, &caller.organization).await?;
            role.accepted_invitation || role.began(&caller.organization)
        };
        Ok(Membership { ours, entitled })
    }
}

/// Returns the referral for its owner: the stored bytes.
pub(crate) fn unredacted(referral: &StoredReferral) -> VisibleReferral {
    VisibleReferral {
        id: referral.id,
        engagement_id: referral.engagement_id,
        etag: referral.etag,
        document: referral.document.clone(),
        visibility_may_change: false,
    }
}

/// Returns the referral for another organization: a redacted copy.
pub(crate) fn redacted(
    referral: &StoredReferral,
    redaction: Redaction,
) -> Result<VisibleReferral, ReadError> {
    let document = Referral::from_document(&referral.document)
        .map_err(|error| ReadError::Damaged(referral.id, error))?;
    Ok(VisibleReferral {
        document: Bytes::from(document.redact(redaction).to_document()),
        // The sender and the owner's consents belong to the version. The parties of the engagement do not.
        visibility_may_change: redaction != Redaction::Inviting,
        ..unredacted(referral)
    })
}

/// Returns whether the referral is not closed.
pub(crate) fn is_open(referral: &StoredReferral) -> bool {
    referral.columns.status != ReferralStatus::Closed
}

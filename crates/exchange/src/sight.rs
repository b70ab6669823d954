//! What an organization sees of others' referrals: only inside an engagement it takes part in. Source: spec 8.6.

use std::sync::Arc;

use bytes::Bytes;
use referral::{Referral, ReferralStatus, View};
use store::StoredReferral;

use crate::caller::{Caller, Role};
use crate::error::ReadError;
use crate::{Exchange, Shown};

/// From which side the caller sees a foreign referral, given what its organization owns or sent in the engagement;
/// `None`: not at all.
pub(crate) fn side(caller: &Caller, foreign: &StoredReferral, ours: &[Arc<StoredReferral>]) -> Option<View> {
    if caller.role == Role::User && !ours.iter().any(|one| caller.is_among(&one.columns.team)) {
        return None;
    }
    if foreign.columns.sender.as_ref() == Some(&caller.organization) {
        return Some(View::Inviting);
    }
    let mut own_ones = ours.iter().filter(|one| one.owner == caller.organization).peekable();
    if own_ones.peek().is_some() {
        let accepted = own_ones.any(|one| one.columns.accepted.is_some());
        return Some(if accepted { View::InvitedAfterAccepting } else { View::InvitedBeforeAccepting });
    }
    if !ours.is_empty() {
        // What it does not own it sent.
        return Some(View::InvitedBeforeAccepting);
    }
    let partner_led = caller.organization.is_microsoft() && foreign.columns.shared_with_microsoft;
    partner_led.then_some(View::MicrosoftOnPartnerLed)
}

impl Exchange {
    /// Whether offer leads hide this one (spec 11.3).
    pub(crate) fn is_hidden(&self, referral: &StoredReferral) -> bool {
        referral.columns.offer_lead && !self.policy.offer_leads
    }

    /// From which side the caller sees another organization's referral.
    pub(crate) async fn sight(
        &self,
        caller: &Caller,
        foreign: &StoredReferral,
    ) -> Result<Option<View>, ReadError> {
        if self.is_hidden(foreign) {
            return Ok(None);
        }
        let ours = self.store.engagement(foreign.engagement_id, &caller.organization).await?;
        Ok(side(caller, foreign, &ours))
    }
}

/// The owner's own sight: the stored bytes.
pub(crate) fn whole(referral: &StoredReferral) -> Shown {
    Shown {
        id: referral.id,
        engagement_id: referral.engagement_id,
        etag: referral.etag,
        document: referral.document.clone(),
    }
}

/// Another organization's sight: a redacted copy.
pub(crate) fn redacted(referral: &StoredReferral, view: View) -> Result<Shown, ReadError> {
    let document = Referral::from_document(&referral.document)
        .map_err(|error| ReadError::Damaged(referral.id, error))?;
    Ok(Shown { document: Bytes::from(document.seen_by(view).to_document()), ..whole(referral) })
}

/// Whether it still takes part in deals.
pub(crate) fn is_open(referral: &StoredReferral) -> bool {
    referral.columns.status != ReferralStatus::Closed
}

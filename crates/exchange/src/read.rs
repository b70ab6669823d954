//! Reading one referral. Source: spec 3.2, 3.3.

use std::sync::Arc;

use referral::ReferralId;
use store::StoredReferral;

use crate::caller::Caller;
use crate::error::ReadError;
use crate::visibility::{redacted, unredacted};
use crate::{Exchange, VisibleReferral};

impl Exchange {
    /// Returns one referral as the caller may see it.
    ///
    /// # Errors
    /// [`ReadError`], by the table of spec 3.3.
    pub async fn referral(&self, caller: &Caller, id: ReferralId) -> Result<VisibleReferral, ReadError> {
        let stored = self.find_offered(caller, id).await?;
        if stored.owner == caller.organization {
            return if caller.may_access(&stored) {
                Ok(unredacted(&stored))
            } else {
                Err(ReadError::NotOnTeam)
            };
        }
        match Box::pin(self.visibility(caller, &stored)).await? {
            Some(redaction) => {
                self.run_large(caller, stored.document.len(), || redacted(&stored, redaction)).await?
            }
            None => Err(ReadError::NotFound),
        }
    }

    /// Returns a referral of any owner that exists and is not a hidden offer lead.
    pub(crate) async fn find_offered(
        &self,
        caller: &Caller,
        id: ReferralId,
    ) -> Result<Arc<StoredReferral>, ReadError> {
        let owned = self.store.referral(&caller.organization, id).await?;
        let stored = match owned {
            Some(stored) if !stored.is_due(self.now()) => stored,
            _ => Box::pin(self.find_current(id)).await?.ok_or(ReadError::NotFound)?,
        };
        if self.is_hidden(&stored) { Err(ReadError::NotFound) } else { Ok(stored) }
    }
}

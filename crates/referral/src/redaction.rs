//! What one organization sees of another's referral in a common engagement. Source: spec 8.6.

use crate::model::{Referral, TrackingInfo};
use crate::values::RegistrationStatus;

/// From which side the caller looks at a referral it does not own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    /// It sent this referral.
    Inviting,
    /// It takes part in the engagement, and neither began it nor accepted an invitation.
    NotEntitled,
    /// It began the engagement, or accepted a referral that another organization sent it there.
    Entitled,
    /// It is Microsoft, and the deal is partner-led.
    MicrosoftOnPartnerLed,
}

impl Referral {
    /// The referral as the other side may see it. `eTag` and times stay the stored ones.
    pub fn redact(mut self, redaction: Redaction) -> Referral {
        let customer_shown = match redaction {
            Redaction::Inviting => true,
            Redaction::NotEntitled => false,
            Redaction::Entitled | Redaction::MicrosoftOnPartnerLed => self.consent.share_with_others,
        };
        if !customer_shown {
            self.customer_profile.team.clear();
            self.customer_profile.ids.clear();
        }
        for member in &mut self.team {
            member.phone_number = None;
        }
        self.hide_owners_own();
        self
    }

    /// The owner's bookkeeping, which nobody else sees: the defaults of spec 5.2 in its place.
    fn hide_owners_own(&mut self) {
        self.external_reference_id = None;
        self.campaign_id = None;
        self.favorite = false;
        self.sales_stage = None;
        self.mpn_id = None;
        self.last_modified_via = None;
        self.last_run_id = None;
        self.created_via = None;
        self.quality = "Unknown".to_owned();
        self.is_spam = false;
        self.deal_sensitivity = "None".to_owned();
        self.referral_program = None;
        self.registration_status = RegistrationStatus::None;
        self.registrations.clear();
        self.tracking_info = TrackingInfo::default();
        self.tags.clear();
    }
}

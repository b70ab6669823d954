//! The redaction of another organization's referral in a common engagement. Source: spec 8.6.

use crate::model::{Referral, TrackingInfo};
use crate::values::RegistrationStatus;

/// The redaction that applies to a caller who does not own a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    /// The caller's organization sent this referral.
    Inviting,
    /// The caller's organization takes part in the engagement, but neither started it nor accepted an invitation.
    NotEntitled,
    /// The caller's organization started the engagement, or accepted a referral that another organization sent it
    /// there.
    Entitled,
    /// The caller is Microsoft, and the deal is partner-led.
    MicrosoftOnPartnerLed,
}

impl Referral {
    /// Removes what the caller may not see. `eTag` and times stay as stored.
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

    /// Resets the members that only the owner sees to the defaults of spec 5.2.
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

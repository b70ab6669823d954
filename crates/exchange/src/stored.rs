//! Conversion of a referral to its stored form.

use referral::{OrganizationId, Referral};
use store::{Columns, StoredReferral, Version, index_text};

/// Returns the stored form of a referral: its bytes, and the columns that queries need.
///
/// `sender` is the organization that sent it by a connected POST; it is not a member of the document.
pub fn to_store(referral: &Referral, version: Version, sender: Option<OrganizationId>) -> StoredReferral {
    StoredReferral {
        owner: referral.organization_id.clone(),
        id: referral.id,
        engagement_id: referral.engagement_id,
        version,
        etag: referral.etag,
        columns: Columns {
            status: referral.status,
            substatus: referral.substatus,
            direction: referral.direction,
            qualification: referral.qualification,
            referral_type: referral.referral_type,
            country: referral.customer_profile.address.country.clone(),
            created: referral.created_date_time,
            updated: referral.updated_date_time,
            expires: referral.expiration_date_time,
            accepted: referral.accepted_date_time,
            sender,
            offer_lead: referral.is_offer_lead(),
            shared_with_microsoft: referral.consent.share_with_microsoft_sellers,
            team: referral.team_emails(),
        },
        document: referral.to_document().into(),
    }
}

/// Returns the text in which `$search` finds a referral.
pub fn search_text(referral: &Referral) -> String {
    index_text(referral.search_texts())
}

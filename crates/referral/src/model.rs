//! The resource: structs with the names of the contract, and their property tables.
//!
//! Rows are in the wire order of spec 5.2. The rules of a member are in its row.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::amount::Amount;
use crate::diff::{FieldValue, write_plain};
use crate::etag::ETag;
use crate::ids::{EngagementId, OrganizationId, ReferralId};
use crate::table::Kind::{self, *};
use crate::table::resource;
use crate::timestamp::Timestamp;
use crate::values::{
    AssistanceRequestCode, CustomerProfileIdType, ReferralDirection, ReferralQualification, ReferralStatus,
    ReferralSubstatus, ReferralType, RegistrationStatus, SolutionType, TargetType,
};

/// Maximum length of texts that have no limit of their own (spec 8.5).
const OTHER: usize = 1024;
/// Maximum length of the ids in requirement lists (spec 6.7).
const LISTED: usize = 256;

impl FieldValue for OrganizationId {}
impl FieldValue for Amount {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
    }
}

impl FieldValue for ETag {
    fn write(&self, out: &mut Vec<u8>) {
        let guid = Uuid::from_bytes(*self.as_bytes());
        out.extend_from_slice(b"\"\\\"");
        out.extend_from_slice(guid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        out.extend_from_slice(b"\\\"\"");
    }
}

impl FieldValue for ReferralId {
    fn write(&self, out: &mut Vec<u8>) {
        write_guid(self.as_uuid(), out);
    }
}

impl FieldValue for EngagementId {
    fn write(&self, out: &mut Vec<u8>) {
        write_guid(self.as_uuid(), out);
    }
}

fn write_guid(uuid: Uuid, out: &mut Vec<u8>) {
    write_plain(uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()), out);
}

const fn list_of(values: &'static crate::values::Enumeration) -> Kind {
    Enumeration(values)
}

resource! {
    /// One organization's record of a lead or opportunity. Source: spec 5.2.
    Referral {
        id: ReferralId = "id" => Guid, Server, column("id");
        engagement_id: EngagementId = "engagementId" => Guid, Fixed, column("engagement_id");
        name: Option<String> = "name" => Text(256), Free, nullable();
        organization_id: OrganizationId = "organizationId" => Organization, Server, column("owner");
        organization_name: String = "organizationName" => Text(OTHER), Server;
        last_modified_via: Option<String> = "lastModifiedVia" => Text(OTHER), Server, nullable();
        last_run_id: Option<String> = "lastRunId" => Text(OTHER), Server, nullable();
        external_reference_id: Option<String> = "externalReferenceId" => Text(256), FreeWhenClosed, nullable();
        created_date_time: Timestamp = "createdDateTime" => DateTime, Server, column("created");
        updated_date_time: Timestamp = "updatedDateTime" => DateTime, Server, column("updated");
        expiration_date_time: Option<Timestamp> = "expirationDateTime" => DateTime, Server, nullable(), column("expires");
        status: ReferralStatus = "status" => list_of(&ReferralStatus::TABLE), Free, column("status");
        substatus: ReferralSubstatus = "substatus" => list_of(&ReferralSubstatus::TABLE), Free, column("substatus");
        status_reason: Option<String> = "statusReason" => Text(1024), Free, nullable();
        qualification: ReferralQualification = "qualification" => list_of(&ReferralQualification::TABLE), AtCreation, column("qualification");
        /// The reference tables call it `ReferralType`; the member in JSON is `type` (spec 5.4).
        referral_type: ReferralType = "type" => list_of(&ReferralType::TABLE), AtCreation, required(), column("type");
        referral_source: Option<String> = "referralSource" => Text(OTHER), Server, nullable();
        etag: ETag = "eTag" => ETag, Server, column("etag");
        #[serde(default)]
        favorite: bool = "favorite" => Flag, FreeWhenClosed;
        campaign_id: Option<String> = "campaignId" => Text(OTHER), Free, nullable();
        sales_stage: Option<String> = "salesStage" => SalesStage, Free, nullable();
        #[serde(default = "unknown")]
        quality: String = "quality" => Text(OTHER), Server;
        #[serde(default)]
        is_spam: bool = "isSpam" => Boolean, Server;
        direction: ReferralDirection = "direction" => list_of(&ReferralDirection::TABLE), Server, column("direction");
        mpn_id: Option<String> = "mpnId" => Digits, AtCreation, nullable();
        customer_marketplace_intent: Option<String> = "customerMarketplaceIntent" => Text(OTHER), Free, nullable();
        referral_program: Option<String> = "referralProgram" => Text(OTHER), Server, nullable();
        #[serde(default = "none")]
        deal_sensitivity: String = "dealSensitivity" => Text(OTHER), Server;
        created_via: Option<String> = "createdVia" => Text(OTHER), Server, nullable();
        #[serde(default)]
        tags: Vec<String> = "tags" => Texts, Server;
        accepted_date_time: Option<Timestamp> = "acceptedDateTime" => DateTime, Server, nullable(), column("accepted");
        closed_date_time: Option<Timestamp> = "closedDateTime" => DateTime, Server, nullable();
        call_to_action: Option<String> = "callToAction" => Text(OTHER), Server, nullable();
        #[serde(default = "unregistered")]
        registration_status: RegistrationStatus = "registrationStatus" => list_of(&RegistrationStatus::TABLE), Server;
        #[serde(default)]
        target: Vec<Target> = "target" => List(&Target::TYPE), AtCreation;
        customer_profile: CustomerProfile = "customerProfile" => Object(&CustomerProfile::TYPE), Free, required();
        #[serde(default)]
        consent: Consent = "consent" => Object(&Consent::TYPE), Free, required();
        #[serde(default)]
        details: ReferralDetails = "details" => Object(&ReferralDetails::TYPE), Free, required();
        #[serde(default)]
        team: Vec<Member> = "team" => List(&Member::TYPE), Free;
        #[serde(default)]
        invite_context: InviteContext = "inviteContext" => Object(&InviteContext::TYPE), Free;
        #[serde(default)]
        links: LinksPlaceholder = "links" => Object(&Links::TYPE), Server;
        #[serde(default)]
        tracking_info: TrackingInfo = "trackingInfo" => Object(&TrackingInfo::TYPE), Server;
        #[serde(default)]
        registrations: Vec<Registration> = "registrations" => List(&Registration::TYPE), Server;
    }
}

fn unknown() -> String {
    "Unknown".into()
}

fn none() -> String {
    "None".into()
}

fn unregistered() -> RegistrationStatus {
    RegistrationStatus::None
}

resource! {
    /// The customer the referral is about. Source: spec 5.3.
    CustomerProfile {
        name: String = "name" => NonEmpty(OTHER), AtCreation, required();
        size: Option<String> = "size" => Text(OTHER), Free, nullable();
        #[serde(default)]
        is_matching_complete: bool = "isMatchingComplete" => Boolean, Server;
        #[serde(default)]
        address: Address = "address" => Object(&Address::TYPE), AtCreation;
        #[serde(default)]
        team: Vec<Member> = "team" => List(&Member::TYPE), OnceShared;
        #[serde(default)]
        ids: Vec<CustomerProfileId> = "ids" => ProfileIds(&CustomerProfileId::TYPE), Free;
    }
}

resource! {
    /// A number that identifies the customer in another system. Source: spec 5.3.
    CustomerProfileId {
        profile_type: CustomerProfileIdType = "profileType" => list_of(&CustomerProfileIdType::TABLE), Free, required();
        id: String = "id" => NonEmpty(OTHER), Free, required();
    }
}

resource! {
    /// A postal address. Source: spec 5.3.
    #[derive(Default)]
    Address {
        address_line1: Option<String> = "addressLine1" => Text(OTHER), AtCreation, nullable();
        address_line2: Option<String> = "addressLine2" => Text(OTHER), AtCreation, nullable();
        city: Option<String> = "city" => Text(OTHER), AtCreation, nullable();
        state: Option<String> = "state" => Text(OTHER), AtCreation, nullable();
        postal_code: Option<String> = "postalCode" => Text(OTHER), AtCreation, nullable();
        country: Option<String> = "country" => Country, AtCreation, nullable(), column("country");
        region: Option<String> = "region" => Text(OTHER), AtCreation, nullable();
    }
}

resource! {
    /// A person of the customer or of the partner. Source: spec 5.3.
    #[derive(Default)]
    Member {
        first_name: Option<String> = "firstName" => Text(OTHER), Free, nullable();
        last_name: Option<String> = "lastName" => Text(OTHER), Free, nullable();
        phone_number: Option<String> = "phoneNumber" => Phone, Free, nullable();
        email: Option<String> = "email" => Email, Free, nullable(), column("team_email");
        title: Option<String> = "title" => Text(OTHER), Free, nullable();
        #[serde(default)]
        contact_preference: ContactPreference = "contactPreference" => Object(&ContactPreference::TYPE), Free;
        #[serde(skip_serializing_if = "Option::is_none")]
        email_validation_status: Option<String> = "emailValidationStatus" => Text(OTHER), Server, nullable(), omitted();
        #[serde(skip_serializing_if = "Option::is_none")]
        phone_validation_status: Option<String> = "phoneValidationStatus" => Text(OTHER), Server, nullable(), omitted();
    }
}

resource! {
    /// How a person wants to be contacted. Source: spec 5.3.
    #[derive(Default)]
    ContactPreference {
        locale: Option<String> = "locale" => Text(OTHER), Free, nullable();
        disable_notifications: Option<bool> = "disableNotifications" => Boolean, Free, nullable();
    }
}

resource! {
    /// What the customer agreed to. Source: spec 5.3.
    #[derive(Default)]
    Consent {
        /// Upstream's spelling, with the doubled "ToTo". Clients send exactly this.
        #[serde(default)]
        share_with_others: bool = "consentToToShareInfoWithOthers" => Flag, Free;
        #[serde(default)]
        contact: bool = "consentToContact" => Flag, Free;
        /// Cannot be set back to false (spec 5.5).
        #[serde(default)]
        share_with_microsoft_sellers: bool = "consentToShareReferralWithMicrosoftSellers" => Flag, Free, column("shared_with_microsoft");
        #[serde(skip_serializing_if = "Option::is_none")]
        microsoft_to_contact_partners: Option<bool> = "consentToMicrosoftToContactSpecificPartners" => Boolean, Free, nullable(), omitted();
    }
}

resource! {
    /// The deal. Source: spec 5.3.
    #[derive(Default)]
    ReferralDetails {
        notes: Option<String> = "notes" => Text(10_000), Free, nullable();
        deal_value: Option<Amount> = "dealValue" => Amount, Free, nullable();
        currency: Option<String> = "currency" => Currency, Free, nullable();
        closing_date_time: Option<Timestamp> = "closingDateTime" => DateTime, Free, nullable();
        customer_requested_contact: Option<bool> = "customerRequestedContact" => Boolean, Free, nullable();
        customer_action: Option<String> = "customerAction" => Text(OTHER), Free, nullable();
        incentive_level: Option<String> = "incentiveLevel" => Text(OTHER), Free, nullable();
        #[serde(default)]
        requirements: ReferralRequirements = "requirements" => Object(&ReferralRequirements::TYPE), Free;
    }
}

resource! {
    /// What the customer needs. Source: spec 5.3.
    #[derive(Default)]
    ReferralRequirements {
        #[serde(default)]
        industries: Vec<Tag> = "industries" => List(&Tag::TYPE), Free;
        #[serde(default)]
        products: Vec<Tag> = "products" => List(&Tag::TYPE), Free;
        #[serde(default)]
        services: Vec<Tag> = "services" => List(&Tag::TYPE), Free;
        #[serde(default)]
        solutions: Vec<SolutionTag> = "solutions" => List(&SolutionTag::TYPE), Free;
        #[serde(default)]
        offers: Vec<serde_json::Value> = "offers" => Unknown, Server;
        #[serde(default)]
        sales_plays: Vec<serde_json::Value> = "salesPlays" => Unknown, Server;
        #[serde(default)]
        additional_requirements: AdditionalRequirements = "additionalRequirements" => Object(&AdditionalRequirements::TYPE), Free;
    }
}

resource! {
    /// An entry of a requirement list. Source: spec 5.3.
    Tag {
        id: String = "id" => NonEmpty(LISTED), Free, required();
    }
}

resource! {
    /// A solution the deal is about. Source: spec 5.3.
    SolutionTag {
        id: String = "id" => NonEmpty(LISTED), Free, required();
        name: Option<String> = "name" => Text(OTHER), Free, nullable();
        /// The reference tables call it `SolutionType`; the member in JSON is `type` (spec 5.4).
        solution_tag_type: Option<SolutionType> = "type" => list_of(&SolutionType::TABLE), Free, nullable();
        price: Option<Amount> = "price" => Amount, Free, nullable();
        quantity: Option<Amount> = "quantity" => Amount, Free, nullable();
        currency: Option<String> = "currency" => Currency, Free, nullable();
        publisher_name: Option<String> = "publisherName" => Text(OTHER), Free, nullable();
        solution_type: Option<String> = "solutionType" => Text(OTHER), Free, nullable();
        closing_date_time: Option<Timestamp> = "closingDateTime" => DateTime, Free, nullable();
    }
}

resource! {
    /// Requirements beyond the lists. Source: spec 5.3.
    #[derive(Default)]
    AdditionalRequirements {
        #[serde(default)]
        iot: Iot = "iot" => Object(&Iot::TYPE), Free;
        #[serde(default)]
        attributes: Vec<Attribute> = "attributes" => List(&Attribute::TYPE), Free;
    }
}

resource! {
    /// Requirements of device deals. Source: spec 5.3.
    #[derive(Default)]
    Iot {
        customer_license_agreement_number: Option<String> = "customerLicenseAgreementNumber" => Text(OTHER), Free, nullable();
        device_category: Option<String> = "deviceCategory" => Text(OTHER), Free, nullable();
        silicon_type: Option<String> = "siliconType" => Text(OTHER), Free, nullable();
        #[serde(default)]
        azure_certified_device: bool = "azureCertifiedDevice" => Boolean, Free;
        #[serde(default)]
        attach_services: bool = "attachServices" => Boolean, Free;
    }
}

resource! {
    /// A typed reference, such as PartnerRole, SolutionArea or SolutionPlay. Source: spec 5.2 and 5.3.
    Attribute {
        attribute_type: String = "type" => NonEmpty(OTHER), Free, required();
        id: String = "id" => NonEmpty(OTHER), Free, required();
    }
}

resource! {
    /// Who or what the referral is directed at. Source: spec 5.3.
    Target {
        #[serde(default = "no_target_type")]
        target_type: TargetType = "type" => list_of(&TargetType::TABLE), AtCreation;
        id: String = "id" => NonEmpty(OTHER), AtCreation, required();
    }
}

fn no_target_type() -> TargetType {
    TargetType::None
}

resource! {
    /// The note and the request that come with an invitation. Source: spec 5.3.
    InviteContext {
        notes: Option<String> = "notes" => Text(10_000), OnceShared, nullable();
        #[serde(default = "no_assistance")]
        assistance_request_code: AssistanceRequestCode = "assistanceRequestCode" => list_of(&AssistanceRequestCode::TABLE), OnceShared;
        invited_mpn_id: Option<String> = "invitedMpnId" => Text(OTHER), Free, nullable();
        #[serde(default)]
        invited_by: InvitedBy = "invitedBy" => Object(&InvitedBy::TYPE), Fixed;
    }
}

fn no_assistance() -> AssistanceRequestCode {
    AssistanceRequestCode::Unknown
}

impl Default for InviteContext {
    fn default() -> InviteContext {
        InviteContext {
            notes: None,
            assistance_request_code: no_assistance(),
            invited_mpn_id: None,
            invited_by: InvitedBy::default(),
        }
    }
}

resource! {
    /// The organization that sent the invitation. Only its id is compared (spec 5.5).
    #[derive(Default)]
    InvitedBy {
        organization_id: Option<OrganizationId> = "organizationId" => Organization, Fixed, nullable();
        organization_name: Option<String> = "organizationName" => Text(OTHER), Derived, nullable();
    }
}

resource! {
    /// Links to related resources. Source: spec 5.3 and 5.6; written by [`crate::PublicBase`].
    Links {
        related_referrals: Link = "relatedReferrals" => Object(&Link::TYPE), Server;
        self_link: Link = "self" => Object(&Link::TYPE), Server;
    }
}

resource! {
    /// One link.
    Link {
        uri: String = "uri" => Text(OTHER), Server;
        method: String = "method" => Text(OTHER), Server;
    }
}

/// The placeholder of the links in a stored document: null there; links are inserted when responding, with the public
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinksPlaceholder;

impl Serialize for LinksPlaceholder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

impl FieldValue for LinksPlaceholder {}

impl<'de> Deserialize<'de> for LinksPlaceholder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LinksPlaceholder, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| LinksPlaceholder)
    }
}

resource! {
    /// Identifiers of the referral in Microsoft's systems. Source: spec 5.3.
    #[derive(Default)]
    TrackingInfo {
        microsoft_msx_id: Option<String> = "microsoftMsxId" => Text(OTHER), Server, nullable();
        microsoft_us_fed_opportunity_id: Option<String> = "microsoftUSFedOpportunityId" => Text(OTHER), Server, nullable();
        microsoft_us_fed_lead_id: Option<String> = "microsoftUSFedLeadId" => Text(OTHER), Server, nullable();
        migrated_psc_deal_id: Option<String> = "migratedPSCDealId" => Text(OTHER), Server, nullable();
        migrated_psc_partner_deal_id: Option<String> = "migratedPSCPartnerDealId" => Text(OTHER), Server, nullable();
    }
}

resource! {
    /// A deal registration; written by the registration module only (spec 10.1). Source: spec 5.3.
    #[derive(Default)]
    Registration {
        id: Option<String> = "id" => Text(OTHER), Server, nullable();
        registration_date_time: Option<Timestamp> = "registrationDateTime" => DateTime, Server, nullable();
        registration_type: Option<String> = "type" => Text(OTHER), Server, nullable();
        status: Option<RegistrationStatus> = "status" => list_of(&RegistrationStatus::TABLE), Server, nullable();
        status_reason: Option<String> = "statusReason" => Text(OTHER), Server, nullable();
        #[serde(default)]
        contract: Contract = "contract" => Object(&Contract::TYPE), Server;
        #[serde(default)]
        solution_details: Vec<SolutionDetail> = "solutionDetails" => List(&SolutionDetail::TYPE), Server;
        #[serde(default)]
        status_history: StatusHistory = "statusHistory" => Object(&StatusHistory::TYPE), Server;
    }
}

resource! {
    /// The contract of a registered deal.
    #[derive(Default)]
    Contract {
        value: Option<Amount> = "value" => Amount, Server, nullable();
        currency: Option<String> = "currency" => Currency, Server, nullable();
        start_date_time: Option<Timestamp> = "startDateTime" => DateTime, Server, nullable();
        end_date_time: Option<Timestamp> = "endDateTime" => DateTime, Server, nullable();
        sign_date_time: Option<Timestamp> = "signDateTime" => DateTime, Server, nullable();
        term: Option<String> = "term" => Text(OTHER), Server, nullable();
    }
}

resource! {
    /// A solution of a registered deal.
    #[derive(Default)]
    SolutionDetail {
        id: Option<String> = "id" => Text(OTHER), Server, nullable();
        name: Option<String> = "name" => Text(OTHER), Server, nullable();
        currency: Option<String> = "currency" => Currency, Server, nullable();
        value: Option<Amount> = "value" => Amount, Server, nullable();
        is_deployed_on_azure: Option<bool> = "isDeployedOnAzure" => Boolean, Server, nullable();
        primary_deployment_on: Option<String> = "primaryDeploymentOn" => Text(OTHER), Server, nullable();
        pricing_model: Option<String> = "pricingModel" => Text(OTHER), Server, nullable();
        #[serde(default)]
        marketplace_transaction_details: MarketplaceTransaction = "marketplaceTransactionDetails" => Object(&MarketplaceTransaction::TYPE), Server;
    }
}

resource! {
    /// How a registered solution was sold.
    #[derive(Default)]
    MarketplaceTransaction {
        is_marketplace_transacted: Option<bool> = "isMarketplaceTransacted" => Boolean, Server, nullable();
        marketplace_transaction_date_time: Option<Timestamp> = "marketplaceTransactionDateTime" => DateTime, Server, nullable();
    }
}

resource! {
    /// The time of each state that a registration has reached.
    #[derive(Default)]
    StatusHistory {
        review_pending_date_time: Option<Timestamp> = "reviewPendingDateTime" => DateTime, Server, nullable();
        action_required_date_time: Option<Timestamp> = "actionRequiredDateTime" => DateTime, Server, nullable();
        passed_date_time: Option<Timestamp> = "passedDateTime" => DateTime, Server, nullable();
        failed_date_time: Option<Timestamp> = "failedDateTime" => DateTime, Server, nullable();
        approved_date_time: Option<Timestamp> = "approvedDateTime" => DateTime, Server, nullable();
    }
}

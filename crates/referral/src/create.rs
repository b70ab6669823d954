//! Creating referrals: own deals, and connected referrals for another party. Source: spec 7.3, 8.

use std::cell::RefCell;

use serde::Deserialize;

use crate::diff::FieldValue;
use crate::document;
use crate::edit::{DecisionError, RequestOptions, ValidationProfile};
use crate::error::{Rejection, ValidationError};
use crate::etag::ETag;
use crate::ids::{EngagementId, OrganizationId, ReferralId};
use crate::json::Json;
use crate::lifecycle::{LifecycleState, NewSubstatus, TransitionError};
use crate::model::{InvitedBy, Referral};
use crate::program;
use crate::timestamp::Timestamp;
use crate::unknown::UnknownMembers;
use crate::validate::{BodyPath, RequestKind, Validator, require};
use crate::values::{
    ReferralDirection, ReferralQualification, ReferralStatus, ReferralSubstatus, TargetType,
};

/// Unanswered referrals expire so many days after the day of their creation (T9, T10).
const DAYS_TO_ANSWER: i64 = 14;

/// A checked POST body, before it is known whose referral it becomes.
#[derive(Debug, Clone)]
pub struct CreateRequest<'a> {
    sent: Json<'a>,
    unknown: UnknownMembers,
}

/// What identifies a new referral, made by the composition root.
#[derive(Debug, Clone, Copy)]
pub struct NewIds {
    /// Its id.
    pub id: ReferralId,
    /// Its engagement: the one joined, or a new one.
    pub engagement_id: EngagementId,
    /// The time of creation.
    pub now: Timestamp,
}

/// An organization as a referral names it.
#[derive(Debug, Clone)]
pub struct Party {
    /// Its id.
    pub id: OrganizationId,
    /// Its name.
    pub name: String,
    /// Its configured partner id.
    pub partner_id: Option<String>,
}

impl<'a> CreateRequest<'a> {
    /// Reads a POST body, as far as the request alone shows (spec 4.5).
    ///
    /// # Errors
    /// Missing required members (all are listed, the first is the target), any value that breaks its row, and a
    /// standing that no new referral can have.
    pub fn parse(
        body: impl Into<Json<'a>>,
        options: &RequestOptions,
    ) -> Result<CreateRequest<'a>, ValidationError> {
        let mut sent = body.into();
        let mut missing = Ok(());
        if sent.is_object() {
            // Missing members are told before wrong values, so that a caller sees the whole list at once.
            let is_there = |wanted: &str| {
                let mut members = sent.members().iter();
                members.any(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.is_null())
            };
            missing = require(&Referral::TYPE, is_there, &BodyPath::BODY);
        }
        let unknown = RefCell::default();
        let validator = Validator { request_kind: RequestKind::Create, unknown: &unknown };
        let checked = validator.object(&Referral::TYPE, &mut sent, &BodyPath::BODY);
        let unknown = unknown.into_inner().conclude(missing.and(checked), options)?;
        let request = CreateRequest { sent, unknown };
        match request.check_initial_state() {
            Ok(()) => Ok(request),
            Err(invalid) => Err(request.unknown.tell_with(invalid)),
        }
    }

    /// Members that the contract does not have; they are not applied.
    pub fn unknown_members(&self) -> &UnknownMembers {
        &self.unknown
    }

    /// New or Active, whole or in part; `New/Accepted` as the CSV guide writes it (spec 7.3).
    fn check_initial_state(&self) -> Result<(), ValidationError> {
        let status = self.text("status").and_then(|text| text.parse().ok());
        let substatus = self.text("substatus").and_then(|text| text.parse().ok());
        let refused = match (status, substatus) {
            (None | Some(ReferralStatus::New), None | Some(ReferralSubstatus::Accepted)) => return Ok(()),
            (Some(ReferralStatus::Active), None) => return Ok(()),
            (Some(status), Some(substatus)) => match LifecycleState::from_pair(status, substatus) {
                Ok(state) if !state.is_closed() => return Ok(()),
                _ => TransitionError::IllegalPair { status, substatus },
            },
            (Some(status), None) => {
                TransitionError::IllegalPair { status, substatus: ReferralSubstatus::None }
            }
            (None, Some(ReferralSubstatus::Pending | ReferralSubstatus::Received)) => return Ok(()),
            (None, Some(substatus)) => {
                TransitionError::IllegalPair { status: ReferralStatus::New, substatus }
            }
        };
        match Rejection::from(refused) {
            Rejection::Invalid(mut invalid) => {
                let named = if substatus.is_some() { "substatus" } else { "status" };
                invalid.target = named.to_owned();
                invalid.message =
                    "A new referral is New or Active; it cannot be created in this state.".to_owned();
                Err(invalid)
            }
            _ => Ok(()),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.sent.get(name).and_then(Json::as_str)
    }

    /// The engagement the caller wants to join.
    pub fn engagement_id(&self) -> Option<EngagementId> {
        self.text("engagementId").and_then(|text| text.parse().ok())
    }

    /// The e-mails of the team that was sent, in lower case; `None` when none was sent.
    pub fn team_emails(&self) -> Option<Vec<String>> {
        let members = self.sent.get("team")?.items();
        let emails = members.iter().filter_map(|member| member.get("email")?.as_str());
        Some(emails.filter(|email| !email.is_empty()).map(str::to_lowercase).collect())
    }

    /// The ids of the locations the referral is directed at, with their place in the list (spec 8.3).
    pub fn target_locations(&self) -> Vec<(usize, &str)> {
        let targets = self.sent.get("target").map(Json::items).unwrap_or_default();
        let located = targets.iter().enumerate().filter(|(_, target)| {
            target.get("type").and_then(Json::as_str) == Some(TargetType::BusinessProfileLocation.as_str())
        });
        located.filter_map(|(at, target)| Some((at, target.get("id")?.as_str()?))).collect()
    }

    /// Why a referral is not created whose document is longer than [`crate::MAX_DOCUMENT_BYTES`].
    pub fn too_long(&self) -> ValidationError {
        document::too_long("body")
    }

    /// What sending to another organization needs, as far as the request alone shows.
    ///
    /// # Errors
    /// `invalidValue` without the consent to share the customer's information (spec 8.3).
    pub fn check_consent_to_share(&self) -> Result<(), ValidationError> {
        let consent =
            self.sent.get("consent").and_then(|consent| consent.get("consentToToShareInfoWithOthers"));
        if consent == Some(&Json::Bool(true)) {
            return Ok(());
        }
        let target = "consent/consentToToShareInfoWithOthers";
        let message =
            "A referral can be sent to another organization only with the consent to share its information.";
        Err(ValidationError::value(target, message, "false"))
    }

    /// The caller's own deal: Active/Accepted, Outgoing, without expiry (spec 7.3).
    ///
    /// # Errors
    /// The rules of the program profile.
    pub fn own_deal(
        &self,
        new_ids: NewIds,
        owner: &Party,
        options: &RequestOptions,
    ) -> Result<Referral, DecisionError> {
        let mut referral = self.build(new_ids, owner, ReferralDirection::Outgoing, None)?;
        referral.apply_state(LifecycleState::Active, LifecycleState::New(NewSubstatus::Pending), new_ids.now);
        if referral.invite_context.invited_mpn_id.is_none() {
            referral.invite_context.invited_mpn_id = referral.mpn_id.clone();
        }
        referral.invite_context.invited_by = InvitedBy {
            organization_id: Some(owner.id.clone()),
            organization_name: Some(owner.name.clone()),
        };
        check_program(&referral, false, options)?;
        Ok(referral)
    }

    /// A referral that `caller` sends to `invited`: owned by them, New/Pending, Incoming, with an expiry. What is
    /// left out comes from `model`, the document of the caller's newest open referral in the engagement.
    ///
    /// # Errors
    /// `invalidValue` without the consent to share; the rules of the program profile; a damaged model.
    pub fn connected_referral(
        &self,
        new_ids: NewIds,
        invited: &Party,
        caller: &Party,
        model: Option<&[u8]>,
        options: &RequestOptions,
    ) -> Result<Referral, DecisionError> {
        let model = model.map(Referral::from_document).transpose()?;
        let mut referral = self.build(new_ids, invited, ReferralDirection::Incoming, model)?;
        self.check_consent_to_share()?;
        referral.expiration_date_time = Some(new_ids.now.midnight_plus_days(DAYS_TO_ANSWER));
        referral.invite_context.invited_by = InvitedBy {
            organization_id: Some(caller.id.clone()),
            organization_name: Some(caller.name.clone()),
        };
        check_program(&referral, invited.id.is_microsoft(), options)?;
        Ok(referral)
    }

    /// Defaults, then what is inherited, then what was sent. Stands New/Pending.
    fn build(
        &self,
        new_ids: NewIds,
        owner: &Party,
        direction: ReferralDirection,
        model: Option<Referral>,
    ) -> Result<Referral, DecisionError> {
        let mut referral = self.bare(new_ids, owner, direction)?;
        if let Some(model) = model {
            referral.inherit(model);
        }
        referral.merge_from(&self.sent)?;
        referral.engagement_id = new_ids.engagement_id;
        referral.status = ReferralStatus::New;
        referral.substatus = ReferralSubstatus::Pending;
        Ok(referral)
    }

    /// What every new referral has, and the two members that have no default.
    fn bare(
        &self,
        new_ids: NewIds,
        owner: &Party,
        direction: ReferralDirection,
    ) -> Result<Referral, serde_json::Error> {
        let text = |value: &dyn std::fmt::Display| Json::Text(value.to_string().into());
        let name = self.sent.get("customerProfile").and_then(|customer| customer.get("name"));
        let members = [
            ("id", text(&new_ids.id)),
            ("engagementId", text(&new_ids.engagement_id)),
            ("organizationId", text(&owner.id)),
            ("organizationName", text(&owner.name)),
            ("mpnId", owner.partner_id.as_ref().map_or(Json::Null, |id| text(id))),
            ("createdDateTime", text(&new_ids.now)),
            ("updatedDateTime", text(&new_ids.now)),
            ("status", text(&ReferralStatus::New)),
            ("substatus", text(&ReferralSubstatus::Pending)),
            ("qualification", text(&ReferralQualification::None)),
            ("eTag", text(&ETag::of_version(1, new_ids.now))),
            ("direction", text(&direction)),
            ("type", self.sent.get("type").cloned().unwrap_or(Json::Null)),
            ("customerProfile", Json::Object(vec![("name".into(), name.cloned().unwrap_or(Json::Null))])),
        ];
        let members = members.into_iter().map(|(name, value)| (name.into(), value));
        Referral::deserialize(&Json::Object(members.collect()))
    }
}

fn check_program(
    referral: &Referral,
    invites_microsoft: bool,
    options: &RequestOptions,
) -> Result<(), ValidationError> {
    match options.profile {
        ValidationProfile::Wire => Ok(()),
        ValidationProfile::Program => program::check_new(referral, invites_microsoft),
    }
}

impl Referral {
    /// What a connected referral takes from its model when left out, and nothing else (spec 8.3).
    fn inherit(&mut self, model: Referral) {
        self.name = model.name;
        self.qualification = model.qualification;
        self.details = model.details;
        self.team = model.team;
        self.customer_marketplace_intent = model.customer_marketplace_intent;
        self.customer_profile.size = model.customer_profile.size;
        self.customer_profile.team = model.customer_profile.team;
        self.customer_profile.ids = model.customer_profile.ids;
    }
}

impl Referral {
    /// A commercial-marketplace offer lead: not offered by list and get (spec 8.1, 11.3).
    pub fn is_offer_lead(&self) -> bool {
        use crate::values::{ReferralQualification::Direct, ReferralType::Independent};
        let inviter = self.invite_context.invited_by.organization_id.as_ref();
        self.referral_type == Independent
            && self.qualification == Direct
            && inviter.is_none_or(OrganizationId::is_microsoft)
            && (self.referral_source.is_some() || self.call_to_action.is_some())
    }

    /// The e-mails of the owner's people on the deal, in lower case, each once.
    pub fn team_emails(&self) -> Vec<String> {
        let emails = self.team.iter().filter_map(|member| member.email.as_deref());
        let mut emails: Vec<String> =
            emails.filter(|email| !email.is_empty()).map(str::to_lowercase).collect();
        emails.sort();
        emails.dedup();
        emails
    }
}

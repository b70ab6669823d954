//! Creating referrals: own deals, and connected referrals for another party. Source: spec 7.3, 8.

use std::cell::RefCell;

use serde::Deserialize;

use crate::check::{Check, Occasion, Place, require};
use crate::diff::Part;
use crate::document;
use crate::edit::{Dialect, EditError, Profile};
use crate::etag::ETag;
use crate::ids::{EngagementId, OrganizationId, ReferralId};
use crate::invalid::{Invalid, Refusal};
use crate::json::Json;
use crate::model::{InvitedBy, Referral};
use crate::program;
use crate::standing::{NewSubstatus, Standing, StandingError};
use crate::timestamp::Timestamp;
use crate::unknown::UnknownMembers;
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
pub struct Minted {
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
    pub fn parse(body: impl Into<Json<'a>>, dialect: &Dialect) -> Result<CreateRequest<'a>, Invalid> {
        let mut sent = body.into();
        let mut missing = Ok(());
        if sent.is_object() {
            // Missing members are told before wrong values, so that a caller sees the whole list at once.
            let is_there = |wanted: &str| {
                let mut members = sent.members().iter();
                members.any(|(name, value)| name.eq_ignore_ascii_case(wanted) && !value.is_null())
            };
            missing = require(&Referral::TYPE, is_there, &Place::BODY);
        }
        let unknown = RefCell::default();
        let check = Check { occasion: Occasion::Create, unknown: &unknown };
        let checked = check.object(&Referral::TYPE, &mut sent, &Place::BODY);
        let unknown = unknown.into_inner().conclude(missing.and(checked), dialect)?;
        let request = CreateRequest { sent, unknown };
        match request.check_standing() {
            Ok(()) => Ok(request),
            Err(invalid) => Err(request.unknown.tell_with(invalid)),
        }
    }

    /// Members that the contract does not have; they are not applied.
    pub fn unknown_members(&self) -> &UnknownMembers {
        &self.unknown
    }

    /// New or Active, whole or in part; `New/Accepted` as the CSV guide writes it (spec 7.3).
    fn check_standing(&self) -> Result<(), Invalid> {
        let status = self.text("status").and_then(|text| text.parse().ok());
        let substatus = self.text("substatus").and_then(|text| text.parse().ok());
        let refused = match (status, substatus) {
            (None | Some(ReferralStatus::New), None | Some(ReferralSubstatus::Accepted)) => return Ok(()),
            (Some(ReferralStatus::Active), None) => return Ok(()),
            (Some(status), Some(substatus)) => match Standing::pair(status, substatus) {
                Ok(standing) if !standing.is_closed() => return Ok(()),
                _ => StandingError::IllegalPair { status, substatus },
            },
            (Some(status), None) => StandingError::IllegalPair { status, substatus: ReferralSubstatus::None },
            (None, Some(ReferralSubstatus::Pending | ReferralSubstatus::Received)) => return Ok(()),
            (None, Some(substatus)) => StandingError::IllegalPair { status: ReferralStatus::New, substatus },
        };
        match Refusal::from(refused) {
            Refusal::Invalid(mut invalid) => {
                let named = if substatus.is_some() { "substatus" } else { "status" };
                invalid.target = named.to_owned();
                invalid.message =
                    "A new referral is New or Active; it cannot be created in this standing.".to_owned();
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
    pub fn locations(&self) -> Vec<(usize, &str)> {
        let targets = self.sent.get("target").map(Json::items).unwrap_or_default();
        let located = targets.iter().enumerate().filter(|(_, target)| {
            target.get("type").and_then(Json::as_str) == Some(TargetType::BusinessProfileLocation.as_str())
        });
        located.filter_map(|(at, target)| Some((at, target.get("id")?.as_str()?))).collect()
    }

    /// Why a referral is not created whose document is longer than [`crate::LONGEST_DOCUMENT`].
    pub fn too_long(&self) -> Invalid {
        document::too_long("body")
    }

    /// What sending to another organization needs, as far as the request alone shows.
    ///
    /// # Errors
    /// `invalidValue` without the consent to share the customer's information (spec 8.3).
    pub fn check_sending(&self) -> Result<(), Invalid> {
        let consent =
            self.sent.get("consent").and_then(|consent| consent.get("consentToToShareInfoWithOthers"));
        if consent == Some(&Json::Bool(true)) {
            return Ok(());
        }
        let target = "consent/consentToToShareInfoWithOthers";
        let message =
            "A referral can be sent to another organization only with the consent to share its information.";
        Err(Invalid::value(target, message, "false"))
    }

    /// The caller's own deal: Active/Accepted, Outgoing, without expiry (spec 7.3).
    ///
    /// # Errors
    /// The rules of the program profile.
    pub fn own_deal(&self, minted: Minted, owner: &Party, dialect: &Dialect) -> Result<Referral, EditError> {
        let mut referral = self.build(minted, owner, ReferralDirection::Outgoing, None)?;
        referral.stand(Standing::Active, Standing::New(NewSubstatus::Pending), minted.now);
        if referral.invite_context.invited_mpn_id.is_none() {
            referral.invite_context.invited_mpn_id = referral.mpn_id.clone();
        }
        referral.invite_context.invited_by = InvitedBy {
            organization_id: Some(owner.id.clone()),
            organization_name: Some(owner.name.clone()),
        };
        check_program(&referral, false, dialect)?;
        Ok(referral)
    }

    /// A referral that `caller` sends to `invited`: owned by them, New/Pending, Incoming, with an expiry. What is
    /// left out comes from `model`, the document of the caller's newest open referral in the engagement.
    ///
    /// # Errors
    /// `invalidValue` without the consent to share; the rules of the program profile; a damaged model.
    pub fn connected(
        &self,
        minted: Minted,
        invited: &Party,
        caller: &Party,
        model: Option<&[u8]>,
        dialect: &Dialect,
    ) -> Result<Referral, EditError> {
        let model = model.map(Referral::from_document).transpose()?;
        let mut referral = self.build(minted, invited, ReferralDirection::Incoming, model)?;
        self.check_sending()?;
        referral.expiration_date_time = Some(minted.now.midnight_plus_days(DAYS_TO_ANSWER));
        referral.invite_context.invited_by = InvitedBy {
            organization_id: Some(caller.id.clone()),
            organization_name: Some(caller.name.clone()),
        };
        check_program(&referral, invited.id.is_microsoft(), dialect)?;
        Ok(referral)
    }

    /// Defaults, then what is inherited, then what was sent. Stands New/Pending.
    fn build(
        &self,
        minted: Minted,
        owner: &Party,
        direction: ReferralDirection,
        model: Option<Referral>,
    ) -> Result<Referral, EditError> {
        let mut referral = self.bare(minted, owner, direction)?;
        if let Some(model) = model {
            referral.inherit(model);
        }
        referral.lay_over(&self.sent)?;
        referral.engagement_id = minted.engagement_id;
        referral.status = ReferralStatus::New;
        referral.substatus = ReferralSubstatus::Pending;
        Ok(referral)
    }

    /// What every new referral has, and the two members that have no default.
    fn bare(
        &self,
        minted: Minted,
        owner: &Party,
        direction: ReferralDirection,
    ) -> Result<Referral, serde_json::Error> {
        let text = |value: &dyn std::fmt::Display| Json::Text(value.to_string().into());
        let name = self.sent.get("customerProfile").and_then(|customer| customer.get("name"));
        let members = [
            ("id", text(&minted.id)),
            ("engagementId", text(&minted.engagement_id)),
            ("organizationId", text(&owner.id)),
            ("organizationName", text(&owner.name)),
            ("mpnId", owner.partner_id.as_ref().map_or(Json::Null, |id| text(id))),
            ("createdDateTime", text(&minted.now)),
            ("updatedDateTime", text(&minted.now)),
            ("status", text(&ReferralStatus::New)),
            ("substatus", text(&ReferralSubstatus::Pending)),
            ("qualification", text(&ReferralQualification::None)),
            ("eTag", text(&ETag::of_version(1, minted.now))),
            ("direction", text(&direction)),
            ("type", self.sent.get("type").cloned().unwrap_or(Json::Null)),
            ("customerProfile", Json::Object(vec![("name".into(), name.cloned().unwrap_or(Json::Null))])),
        ];
        let members = members.into_iter().map(|(name, value)| (name.into(), value));
        Referral::deserialize(&Json::Object(members.collect()))
    }
}

fn check_program(referral: &Referral, invites_microsoft: bool, dialect: &Dialect) -> Result<(), Invalid> {
    match dialect.profile {
        Profile::Wire => Ok(()),
        Profile::Program => program::check_new(referral, invites_microsoft),
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

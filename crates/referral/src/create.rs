//! Creating referrals: own deals, and connected referrals for another party. Source: spec 7.3, 8.

use serde_json::{Map, Value, json};

use crate::check::{Check, Occasion, Place, require};
use crate::document::{self, Damaged};
use crate::edit::{Dialect, EditError, Profile};
use crate::etag::ETag;
use crate::ids::{EngagementId, OrganizationId, ReferralId};
use crate::invalid::{Invalid, Refusal};
use crate::model::{InvitedBy, Referral};
use crate::program;
use crate::standing::{NewSubstatus, Standing, StandingError};
use crate::timestamp::Timestamp;
use crate::values::{
    ReferralDirection, ReferralQualification, ReferralStatus, ReferralSubstatus, TargetType,
};

/// Unanswered referrals expire so many days after the day of their creation (T9, T10).
const DAYS_TO_ANSWER: i64 = 14;

/// A checked POST body, before it is known whose referral it becomes.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    sent: Value,
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

impl CreateRequest {
    /// Reads a POST body, as far as the request alone shows (spec 4.5).
    ///
    /// # Errors
    /// Missing required members (all are listed, the first is the target), any value that breaks its row, and a
    /// standing that no new referral can have.
    pub fn parse(body: &Value, dialect: &Dialect) -> Result<CreateRequest, Invalid> {
        let check = Check { occasion: Occasion::Create, reject_unknown: dialect.reject_unknown };
        if let Value::Object(members) = body {
            // Missing members are told before wrong values, so that a caller sees the whole list at once.
            let there = members.iter().filter(|(_, value)| !value.is_null());
            let there = there.filter_map(|(name, _)| Referral::TYPE.find(name));
            let names: Map<_, _> =
                there.map(|property| (property.name.to_owned(), Value::Bool(true))).collect();
            require(&Referral::TYPE, &Value::Object(names), &mut Place::default())?;
        }
        let request = CreateRequest { sent: check.object(&Referral::TYPE, body, &mut Place::default())? };
        request.check_standing()?;
        Ok(request)
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
        self.sent.get(name).and_then(Value::as_str)
    }

    /// The engagement the caller wants to join.
    pub fn engagement_id(&self) -> Option<EngagementId> {
        self.text("engagementId").and_then(|text| text.parse().ok())
    }

    /// The e-mails of the team that was sent, in lower case; `None` when none was sent.
    pub fn team_emails(&self) -> Option<Vec<String>> {
        let members = self.sent.get("team")?.as_array()?;
        let emails = members.iter().filter_map(|member| member.get("email")?.as_str());
        Some(emails.filter(|email| !email.is_empty()).map(str::to_lowercase).collect())
    }

    /// The ids of the locations the referral is directed at, with their place in the list (spec 8.3).
    pub fn locations(&self) -> Vec<(usize, &str)> {
        let targets =
            self.sent.get("target").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let located = targets.iter().enumerate().filter(|(_, target)| {
            target.get("type").and_then(Value::as_str) == Some(TargetType::BusinessProfileLocation.as_str())
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
        if consent.and_then(Value::as_bool) == Some(true) {
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
        let mut referral = self.build(minted, owner, ReferralDirection::Outgoing, Map::new())?;
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
        let model = model.map(serde_json::from_slice::<Value>).transpose().map_err(Damaged::from)?;
        let mut referral = self.build(
            minted,
            invited,
            ReferralDirection::Incoming,
            model.map(inherited).unwrap_or_default(),
        )?;
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
        inherited: Map<String, Value>,
    ) -> Result<Referral, EditError> {
        let mut document = Value::Object(inherited);
        crate::diff::lay_over(&mut document, &self.sent);
        let defaults = json!({
            "qualification": ReferralQualification::None,
            "mpnId": owner.partner_id,
        });
        let server = json!({
            "id": minted.id,
            "engagementId": minted.engagement_id,
            "organizationId": owner.id,
            "organizationName": owner.name,
            "createdDateTime": minted.now,
            "updatedDateTime": minted.now,
            "status": ReferralStatus::New,
            "substatus": ReferralSubstatus::Pending,
            "eTag": ETag::of_version(1, minted.now),
            "direction": direction,
        });
        if let (Value::Object(document), Value::Object(defaults), Value::Object(server)) =
            (&mut document, defaults, server)
        {
            for (name, value) in defaults {
                document.entry(name).or_insert(value);
            }
            document.extend(server);
        }
        Ok(serde_json::from_value(document)?)
    }
}

fn check_program(referral: &Referral, invites_microsoft: bool, dialect: &Dialect) -> Result<(), Invalid> {
    match dialect.profile {
        Profile::Wire => Ok(()),
        Profile::Program => program::check_new(referral, invites_microsoft),
    }
}

/// What a connected referral takes from its model when left out, and nothing else (spec 8.3).
fn inherited(mut model: Value) -> Map<String, Value> {
    let mut taken = Map::new();
    for name in ["name", "qualification", "details", "team", "customerMarketplaceIntent"] {
        if let Some(value) = model.get_mut(name) {
            taken.insert(name.to_owned(), value.take());
        }
    }
    if let Some(Value::Object(customer)) = model.get_mut("customerProfile") {
        let parts = ["size", "team", "ids"].into_iter();
        let parts = parts.filter_map(|name| Some((name.to_owned(), customer.get_mut(name)?.take())));
        taken.insert("customerProfile".to_owned(), Value::Object(parts.collect()));
    }
    taken
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

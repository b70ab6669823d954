//! Generated referrals: complete, valid, and the same for the same number. All persons are fictitious, and all
//! addresses are at domains reserved for examples.

mod prose;
mod random;
mod word_lists;

use referral::{
    Address, AssistanceRequestCode, Attribute, ClosedSubstatus, Consent, ContactPreference, CustomerProfile,
    CustomerProfileId, CustomerProfileIdType, ETag, EngagementId, InviteContext, InvitedBy, LifecycleState,
    LinksPlaceholder, Member, NewSubstatus, OrganizationId, Party, Referral, ReferralDetails,
    ReferralDirection, ReferralId, ReferralQualification, ReferralRequirements, ReferralType,
    RegistrationStatus, SolutionTag, SolutionType, Tag, Target, TargetType, Timestamp, TrackingInfo,
};

use self::random::SeededRandom;
use self::word_lists::{City, Solution};

/// Days after which an unanswered referral expires (spec 7.2, T9 and T10).
const DAYS_TO_ANSWER: i64 = 14;
const MINUTE: i64 = 60;
const DAY: i64 = 86_400;

/// The kind of deal (spec 8.1 and 8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DealKind {
    /// A customer's request on a commercial-marketplace offer.
    OfferLead,
    /// A customer's request on the partner's profile.
    ProfileLead,
    /// A lead from Microsoft's marketing.
    MarketingLead,
    /// A lead from a Microsoft seller.
    SalesLead,
    /// Sent by another organization.
    Invitation,
    /// An own deal that nobody else sees.
    PrivateDeal,
    /// An own deal that Microsoft's sellers may see.
    PartnerLedDeal,
    /// An own deal that Microsoft helps with.
    CoSellDeal,
    /// The same, for services.
    ServicesDeal,
}

impl DealKind {
    /// Kinds that come from outside, and may be in any state.
    pub const INCOMING: [DealKind; 3] = [DealKind::ProfileLead, DealKind::MarketingLead, DealKind::SalesLead];
    /// Kinds that the owner creates: accepted from the beginning.
    pub const OWN: [DealKind; 4] =
        [DealKind::PrivateDeal, DealKind::PartnerLedDeal, DealKind::CoSellDeal, DealKind::ServicesDeal];

    fn is_own(self) -> bool {
        DealKind::OWN.contains(&self)
    }
}

/// All states of an incoming referral.
pub const LIFECYCLE_STATES: [LifecycleState; 8] = [
    LifecycleState::New(NewSubstatus::Pending),
    LifecycleState::New(NewSubstatus::Received),
    LifecycleState::Active,
    LifecycleState::Closed(ClosedSubstatus::Won),
    LifecycleState::Closed(ClosedSubstatus::Lost),
    LifecycleState::Closed(ClosedSubstatus::Declined),
    LifecycleState::Closed(ClosedSubstatus::Expired),
    LifecycleState::Closed(ClosedSubstatus::Error),
];

/// All states of an own deal.
pub const OWN_DEAL_STATES: [LifecycleState; 4] = [
    LifecycleState::Active,
    LifecycleState::Closed(ClosedSubstatus::Won),
    LifecycleState::Closed(ClosedSubstatus::Lost),
    LifecycleState::Closed(ClosedSubstatus::Error),
];

/// The parameters of a generated referral. Everything else follows from its number.
#[derive(Debug, Clone)]
pub struct ReferralSpec<'a> {
    /// Identifies the referral.
    pub number: u64,
    /// The owner.
    pub owner: &'a Party,
    /// The location that it is directed at.
    pub location: Option<&'a str>,
    /// The sender of a [`DealKind::Invitation`].
    pub inviter: Option<&'a Party>,
    /// The kind of deal.
    pub kind: DealKind,
    /// The state.
    pub state: LifecycleState,
    /// The time of creation.
    pub created: Timestamp,
    /// The engagement; without it, an engagement of its own.
    pub engagement: Option<EngagementId>,
    /// The e-mail addresses of the team. If empty, the team is a fictitious person.
    pub team: &'a [&'a str],
    /// Whether the notes are long. The text has no meaning but compresses like prose, for measurements.
    pub at_length: bool,
}

/// The times of a referral's life.
struct Life {
    expires: Option<Timestamp>,
    accepted: Option<Timestamp>,
    closed: Option<Timestamp>,
    updated: Timestamp,
    version: u64,
}

/// Returns the id of the engagement that belongs to a number.
pub fn engagement_of(number: u64, created: Timestamp) -> EngagementId {
    EngagementId::from_uuid(crate::random::time_ordered(created, &SeededRandom::new(number, 1).bytes()))
}

impl ReferralSpec<'_> {
    /// Returns the referral and its version.
    pub fn build(&self) -> (Referral, u64) {
        let mut random = SeededRandom::new(self.number, 2);
        let life = self.life(&mut random);
        let place = random.pick(word_lists::CITIES);
        let solution = random.pick(word_lists::SOLUTIONS);
        let company = word_lists::company(random.below(word_lists::COMPANIES));
        let id = crate::random::time_ordered(self.created, &SeededRandom::new(self.number, 0).bytes());
        let named = self.kind.is_own() || random.one_in(2);
        let referral = Referral {
            id: ReferralId::from_uuid(id),
            engagement_id: self.engagement.unwrap_or_else(|| engagement_of(self.number, self.created)),
            name: named.then(|| format!("{company}: {}", solution.about)),
            organization_id: self.owner.id.clone(),
            organization_name: self.owner.name.clone(),
            last_modified_via: None,
            last_run_id: None,
            external_reference_id: self.kind.is_own().then(|| format!("CRM-{:08}", self.number)),
            created_date_time: self.created,
            updated_date_time: life.updated,
            expiration_date_time: life.expires,
            status: self.state.status(),
            substatus: self.state.substatus(),
            status_reason: self.reason(&mut random),
            qualification: self.qualification(),
            referral_type: self.referral_type(),
            referral_source: (self.kind == DealKind::OfferLead).then(|| "AppSource".to_owned()),
            etag: ETag::of_version(life.version, life.updated),
            favorite: random.one_in(9),
            campaign_id: (self.kind == DealKind::MarketingLead)
                .then(|| format!("CMP-{:04}", random.below(40))),
            sales_stage: self.sales_stage(&mut random),
            quality: "Unknown".to_owned(),
            is_spam: false,
            direction: if self.kind.is_own() {
                ReferralDirection::Outgoing
            } else {
                ReferralDirection::Incoming
            },
            mpn_id: self.owner.partner_id.clone(),
            customer_marketplace_intent: self
                .kind
                .is_own()
                .then(|| random.word(&["Yes", "No", "Have not decided"]).to_owned()),
            referral_program: None,
            deal_sensitivity: "None".to_owned(),
            created_via: None,
            tags: Vec::new(),
            accepted_date_time: life.accepted,
            closed_date_time: life.closed,
            call_to_action: (self.kind == DealKind::OfferLead).then(|| "Free trial".to_owned()),
            registration_status: RegistrationStatus::None,
            target: self.target(solution),
            customer_profile: self.customer(&company, place, &mut random),
            consent: self.consent(),
            details: self.details(&company, place, solution, &mut random),
            team: self.members(place, &mut random),
            invite_context: self.invitation(),
            links: LinksPlaceholder,
            tracking_info: TrackingInfo {
                microsoft_msx_id: (self.kind == DealKind::SalesLead)
                    .then(|| format!("7-{:010X}", random.next() >> 24)),
                ..TrackingInfo::default()
            },
            registrations: Vec::new(),
        };
        (referral, life.version)
    }

    fn life(&self, random: &mut SeededRandom) -> Life {
        let own = self.kind.is_own();
        let answered = self.created.plus_seconds(random.between(2 * 60 * MINUTE, 9 * DAY));
        let later =
            |random: &mut SeededRandom, from: Timestamp| from.plus_seconds(random.between(5 * DAY, 80 * DAY));
        let expires = self.created.midnight_plus_days(DAYS_TO_ANSWER);
        let accepted = if own { self.created } else { answered };
        let mut life = Life {
            // New referrals have none, so that they do not expire.
            expires: (!own && !matches!(self.state, LifecycleState::New(_))).then_some(expires),
            accepted: None,
            closed: None,
            updated: self.created,
            version: 1,
        };
        let takes = |life: &mut Life, at: Timestamp| {
            if at > life.updated {
                life.updated = at;
                life.version += 1;
            }
        };
        match self.state {
            LifecycleState::New(NewSubstatus::Pending) => {}
            LifecycleState::New(NewSubstatus::Received) => takes(&mut life, answered),
            LifecycleState::Closed(ClosedSubstatus::Declined) => {
                life.closed = Some(answered);
                takes(&mut life, answered);
            }
            LifecycleState::Closed(ClosedSubstatus::Expired) => {
                life.closed = Some(expires);
                takes(&mut life, expires);
            }
            LifecycleState::Active => {
                life.accepted = Some(accepted);
                takes(&mut life, accepted);
            }
            LifecycleState::Closed(_) => {
                let closed = later(random, accepted);
                (life.accepted, life.closed) = (Some(accepted), Some(closed));
                takes(&mut life, accepted);
                takes(&mut life, closed);
            }
        }
        life
    }

    fn reason(&self, random: &mut SeededRandom) -> Option<String> {
        let reasons: &[&'static str] = match self.state {
            LifecycleState::Closed(ClosedSubstatus::Won) => &["Contract signed.", "The customer chose us."],
            LifecycleState::Closed(ClosedSubstatus::Lost | ClosedSubstatus::Declined) => {
                word_lists::CLOSE_REASONS
            }
            LifecycleState::Closed(ClosedSubstatus::Error) => word_lists::ERROR_REASONS,
            _ => return None,
        };
        Some(random.word(reasons).to_owned())
    }

    fn qualification(&self) -> ReferralQualification {
        match self.kind {
            DealKind::OfferLead | DealKind::ProfileLead => ReferralQualification::Direct,
            DealKind::MarketingLead => ReferralQualification::MarketingQualified,
            DealKind::SalesLead | DealKind::CoSellDeal | DealKind::ServicesDeal => {
                ReferralQualification::SalesQualified
            }
            DealKind::Invitation | DealKind::PrivateDeal | DealKind::PartnerLedDeal => {
                ReferralQualification::None
            }
        }
    }

    fn referral_type(&self) -> ReferralType {
        match self.kind {
            DealKind::CoSellDeal | DealKind::ServicesDeal | DealKind::Invitation => ReferralType::Shared,
            _ => ReferralType::Independent,
        }
    }

    fn sales_stage(&self, random: &mut SeededRandom) -> Option<String> {
        let stage = match self.state {
            LifecycleState::Active => random.word(&["10", "20", "40", "60", "80"]),
            LifecycleState::Closed(ClosedSubstatus::Won) => "100",
            _ => return None,
        };
        Some(stage.to_owned())
    }

    fn target(&self, solution: &Solution) -> Vec<Target> {
        let (target_type, id) = match self.location {
            Some(location) if !self.kind.is_own() => {
                (TargetType::BusinessProfileLocation, location.to_owned())
            }
            _ if self.kind.is_own() => (TargetType::SolutionProfile, format!("SOL-{}", solution.id)),
            _ => return Vec::new(),
        };
        vec![Target { target_type, id }]
    }

    fn customer(&self, company: &str, place: &City, random: &mut SeededRandom) -> CustomerProfile {
        let erased = self.state == LifecycleState::Closed(ClosedSubstatus::Expired); // T13
        let contact =
            person(&format!("{}.example", word_lists::domain(company)), place, random, Some("Head of IT"));
        let known = random.one_in(3);
        CustomerProfile {
            name: company.to_owned(),
            size: Some(random.word(word_lists::SIZES).to_owned()),
            is_matching_complete: false,
            address: Address {
                address_line1: Some(format!(
                    "{} {}",
                    random.between(1, 240),
                    random.word(word_lists::STREETS)
                )),
                address_line2: Some(String::new()),
                city: Some(place.city.to_owned()),
                state: Some(place.state.to_owned()),
                postal_code: Some(place.postal_code.to_owned()),
                country: Some(place.country.to_owned()),
                region: None,
            },
            team: if erased { Vec::new() } else { vec![contact] },
            ids: if known {
                let id = format!("{:09}", random.below(1_000_000_000));
                vec![CustomerProfileId { profile_type: CustomerProfileIdType::Duns, id }]
            } else {
                Vec::new()
            },
        }
    }

    fn consent(&self) -> Consent {
        Consent {
            share_with_others: self.kind != DealKind::PrivateDeal,
            contact: true,
            share_with_microsoft_sellers: matches!(
                self.kind,
                DealKind::PartnerLedDeal | DealKind::CoSellDeal | DealKind::ServicesDeal
            ),
            microsoft_to_contact_partners: None,
        }
    }

    fn details(
        &self,
        company: &str,
        place: &City,
        solution: &Solution,
        random: &mut SeededRandom,
    ) -> ReferralDetails {
        let value = random.between(2, 900) * 500;
        let industry = random.word(word_lists::INDUSTRIES);
        let mut requirements = ReferralRequirements {
            industries: vec![tag(industry)],
            products: vec![tag(solution.product)],
            services: vec![tag(random.word(word_lists::SERVICES))],
            solutions: vec![SolutionTag {
                id: solution.id.to_owned(),
                name: Some(solution.name.to_owned()),
                solution_tag_type: Some(SolutionType::Category),
                price: None,
                quantity: None,
                currency: None,
                publisher_name: None,
                solution_type: None,
                closing_date_time: None,
            }],
            ..ReferralRequirements::default()
        };
        if self.kind == DealKind::ServicesDeal {
            requirements.additional_requirements.attributes = vec![
                attribute("PartnerRole", random.word(word_lists::PARTNER_ROLES)),
                attribute("SolutionArea", "Cloud and AI Platforms"),
                attribute("SolutionPlay", "Migrate and Modernize Your Estate"),
            ];
        }
        ReferralDetails {
            notes: Some(self.notes(company, place, solution, random)),
            deal_value: value.to_string().parse().ok(),
            currency: Some(place.currency.to_owned()),
            closing_date_time: Some(self.created.midnight_plus_days(random.between(90, 240))),
            customer_requested_contact: None,
            customer_action: None,
            incentive_level: None,
            requirements,
        }
    }

    fn notes(&self, company: &str, place: &City, solution: &Solution, random: &mut SeededRandom) -> String {
        let mut notes = word_lists::notes(company, place.city, solution, random);
        if self.at_length {
            let mut random = SeededRandom::new(self.number, 3);
            let words = random.between(15, 45);
            notes.push(' ');
            notes.push_str(&prose::text(words, &mut random));
        }
        notes
    }

    fn members(&self, place: &City, random: &mut SeededRandom) -> Vec<Member> {
        let domain = if self.owner.id.is_microsoft() { "msft.example" } else { "partner.example" };
        let mut members: Vec<Member> = Vec::with_capacity(self.team.len().max(1));
        for email in self.team {
            let mut member = person(domain, place, random, None);
            member.email = Some((*email).to_owned());
            members.push(member);
        }
        if members.is_empty() {
            members.push(person(domain, place, random, Some("Account manager")));
        }
        members
    }

    fn invitation(&self) -> InviteContext {
        let by = |party: &Party| InvitedBy {
            organization_id: Some(party.id.clone()),
            organization_name: Some(party.name.clone()),
        };
        let microsoft = InvitedBy {
            organization_id: Some(OrganizationId::MICROSOFT),
            organization_name: Some("Microsoft".to_owned()),
        };
        let own = self.kind.is_own();
        InviteContext {
            notes: match self.kind {
                DealKind::SalesLead | DealKind::Invitation => Some("Can you help this customer?".to_owned()),
                _ => None,
            },
            assistance_request_code: match self.kind {
                DealKind::Invitation => AssistanceRequestCode::GeneralOrOther,
                _ => AssistanceRequestCode::Unknown,
            },
            invited_mpn_id: own.then(|| self.owner.partner_id.clone()).flatten(),
            invited_by: match (self.kind, self.inviter) {
                (_, Some(inviter)) => by(inviter),
                _ if own => by(self.owner),
                (DealKind::ProfileLead, _) => InvitedBy::default(),
                _ => microsoft,
            },
        }
    }
}

fn tag(id: &str) -> Tag {
    Tag { id: id.to_owned() }
}

fn attribute(attribute_type: &str, id: &str) -> Attribute {
    Attribute { attribute_type: attribute_type.to_owned(), id: id.to_owned() }
}

fn person(domain: &str, place: &City, random: &mut SeededRandom, title: Option<&str>) -> Member {
    let (first, last) = (random.word(word_lists::FIRST_NAMES), random.word(word_lists::LAST_NAMES));
    Member {
        first_name: Some(first.to_owned()),
        last_name: Some(last.to_owned()),
        // 555-0100 to 555-0199 are reserved for fiction.
        phone_number: Some(format!("{} 555 01{:02}", place.calling_code, random.below(100))),
        email: Some(format!("{}.{}@{domain}", first.to_lowercase(), last.to_lowercase())),
        title: title.map(str::to_owned),
        contact_preference: ContactPreference {
            locale: Some(place.locale.to_owned()),
            disable_notifications: Some(false),
        },
        email_validation_status: None,
        phone_validation_status: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use referral::{EditRequest, RequestOptions};

    use super::*;

    fn referral_of(number: u64, kind: DealKind, state: LifecycleState, owner: &Party) -> Referral {
        let created = "2025-03-05T07:08:09.1234567Z".parse().unwrap();
        let spec = ReferralSpec {
            number,
            owner,
            location: Some("01e2abcd-52b0-4af3-a3ae-1fd1530b3563"),
            inviter: None,
            kind,
            state,
            created,
            engagement: None,
            team: &[],
            at_length: false,
        };
        spec.build().0
    }

    fn party() -> Party {
        let id = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d".parse().unwrap();
        Party { id, name: "Contoso Company".to_owned(), partner_id: Some("1234567".to_owned()) }
    }

    #[test]
    fn the_same_number_is_the_same_referral_and_another_is_another() {
        let owner = party();
        let made = |number| referral_of(number, DealKind::SalesLead, LifecycleState::Active, &owner);
        assert_eq!(made(7).to_document(), made(7).to_document());
        let ids: HashSet<ReferralId> = (0..1000).map(|number| made(number).id).collect();
        assert_eq!(ids.len(), 1000);
        assert_ne!(made(7).id.as_uuid(), made(7).engagement_id.as_uuid());
    }

    #[test]
    fn every_kind_and_standing_keeps_the_rules_of_the_contract() {
        let owner = party();
        let request_options =
            RequestOptions { reject_unknown: true, ignore_links: true, ..RequestOptions::default() };
        let incoming = DealKind::INCOMING.into_iter().chain([DealKind::OfferLead, DealKind::Invitation]);
        let all = incoming.flat_map(|kind| LIFECYCLE_STATES.map(|state| (kind, state)));
        let own = DealKind::OWN.into_iter().flat_map(|kind| OWN_DEAL_STATES.map(|state| (kind, state)));
        for (number, (kind, state)) in all.chain(own).enumerate() {
            let made = referral_of(number as u64, kind, state, &owner);
            let document = made.to_document();
            let value = serde_json::from_slice(&document).unwrap();
            EditRequest::put(&value, made.id, &request_options)
                .unwrap_or_else(|refused| panic!("{kind:?}: {refused}"));
            assert_eq!(Referral::from_document(&document).unwrap(), made);
            assert_eq!(made.lifecycle_state(), state);
            let new = matches!(state, LifecycleState::New(_));
            let expires = !new && !kind.is_own();
            assert_eq!(made.expiration_date_time.is_some(), expires, "{kind:?} {state:?}");
            assert_eq!(made.closed_date_time.is_some(), state.is_closed());
            assert_eq!(made.is_offer_lead(), kind == DealKind::OfferLead);
            assert!(made.accepted_date_time.is_none_or(|accepted| accepted <= made.updated_date_time));
            assert_eq!(made.etag, ETag::of_version(u64::from(made.etag.counter()), made.updated_date_time));
            if state == LifecycleState::Closed(ClosedSubstatus::Expired) {
                assert!(made.customer_profile.team.is_empty()); // as after an expiry (T13)
                assert_eq!(made.closed_date_time, made.expiration_date_time);
            }
        }
    }

    #[test]
    fn a_document_is_as_long_as_real_ones() {
        let owner = party();
        let lengths: usize = (0..200)
            .map(|number| {
                referral_of(number, DealKind::SalesLead, LifecycleState::Active, &owner).to_document().len()
            })
            .sum();
        let mean = lengths / 200;
        assert!((2600..3200).contains(&mean), "{mean}");
    }
}

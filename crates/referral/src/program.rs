//! The program profile: the rules of the user documentation, in addition to those of the API reference. Source: spec
//! 5.5, 6.7, 8.4, 8.5.
//!
//! A new record is checked completely; in an update, only the members that change.

use crate::diff::ChangedMember;
use crate::error::{InnerCode, ValidationError};
use crate::lifecycle::{ClosedSubstatus, LifecycleState};
use crate::model::{CustomerProfile, Member, Referral, ReferralRequirements, SolutionTag, Tag};
use crate::patch::is_within;
use crate::table::Access;
use crate::values::{CustomerProfileIdType, SolutionType, TargetType};

/// Maximum number of solutions, and of team members, of one deal.
const MOST: usize = 50;

const SIZES: &[&str] = &[
    "1to50employees",
    "51to500employees",
    "Morethan500employees",
    "1to9employees",
    "10to50employees",
    "51to250employees",
    "251to1000employees",
    "1001to5000employees",
    "5001to10000employees",
    "10001to20000employees",
    "Morethan20000employees",
];
const INDUSTRIES: &[&str] = &[
    "Agriculture, Forestry, & Fishing",
    "Communications & Media",
    "Education",
    "Financial Services",
    "Government",
    "Healthcare",
    "Hospitality",
    "Manufacturing",
    "Power & Utilities",
    "Public Safety and National Security",
    "Retail & Consumer Goods",
    "Services",
    "Travel & Transportation",
    "Wholesale & Distribution",
];
const PRODUCTS: &[&str] = &[
    "Azure",
    "EnterpriseMobilityAndSecurity",
    "Exchange",
    "DeveloperTools",
    "Dynamics365Business",
    "Dynamics365Enterprise",
    "DynamicsAX,GP,NAV,SL",
    "Microsoft365",
    "Office",
    "PowerBI",
    "Project",
    "SharePoint",
    "SkypeForBusiness",
    "Surface",
    "SurfaceHub",
    "SQL",
    "Teams",
    "Visio",
    "Windows",
    "Yammer",
];
const SERVICES: &[&str] = &[
    "ConsultingAndProfessional",
    "CustomSolution(ISV)",
    "DeploymentOrMigration",
    "Hardware",
    "Integration",
    "IPServices(ISV)",
    "LearningAndCertification",
    "Licensing",
    "ManagedServices",
    "ProjectServices",
];
const SOLUTIONS: &[&str] = &[
    "AdvancedAnalytics",
    "ApplicationIntegration",
    "ArtificialIntelligence",
    "AzureSecurityOperationManagement",
    "AzureStack",
    "BackupDisasterRecovery",
    "BigData",
    "Blockchain",
    "Chatbot",
    "CloudDatabaseMigration",
    "CloudMigration",
    "CloudVoice",
    "CognitiveServices",
    "CompetitiveDatabaseMigration",
    "Containers",
    "DataWarehouse",
    "DatabaseonLinux",
    "DevelopmentandTest",
    "DevOps",
    "DigitalMedia",
    "Dynamics365forCustomerService",
    "Dynamics365forFieldService",
    "Dynamics365forFinanceOperations",
    "Dynamics365forRetail",
    "Dynamics365forSales",
    "Dynamics365forTalent",
    "DynamicsonAzure",
    "EnterpriseBusinessIntelligence",
    "Gaming",
    "HighPerformanceComputing",
    "HybridStorage",
    "IdentityandAccessManagement",
    "InformationManagement",
    "InternetofThings",
    "MachineLearning",
    "Microserviceapplications",
    "MobileApplications",
    "MySQLPostgresMigrationtoAzure",
    "Networking",
    "NoSQLMigration",
    "RedhatonAzure",
    "RegulatoryComplianceGDPR",
    "SAPonAzure",
    "ServerlessComputing",
    "SharepointonAzure",
    "SQLServerUpgrade",
    "ThreatProtection",
    "WebDevelopment",
];

/// A rule about the resulting record: its member, and the check.
type RecordRule = (&'static str, fn(&Referral) -> Result<(), ValidationError>);

/// The rules about a record. Each is checked on creation and when its member changes.
const RECORD: &[RecordRule] = &[
    ("name", |referral| given("name", referral.name.as_deref())),
    ("customerProfile/size", size),
    ("customerProfile/address/country", |referral| {
        given("customerProfile/address/country", referral.customer_profile.address.country.as_deref())
    }),
    ("customerProfile/address/addressLine1", |referral| {
        given(
            "customerProfile/address/addressLine1",
            referral.customer_profile.address.address_line1.as_deref(),
        )
    }),
    ("customerProfile/address/city", |referral| {
        given("customerProfile/address/city", referral.customer_profile.address.city.as_deref())
    }),
    ("details/dealValue", |referral| present("details/dealValue", referral.details.deal_value.is_some())),
    ("details/currency", |referral| present("details/currency", referral.details.currency.is_some())),
    ("details/closingDateTime", closing_date),
    ("details/requirements", |referral| requirements(&referral.details.requirements)),
    ("team", team),
    ("target", target),
    ("customerMarketplaceIntent", |referral| {
        given("customerMarketplaceIntent", referral.customer_marketplace_intent.as_deref())
    }),
    ("statusReason", status_reason),
    ("status", status_reason),
];

/// Checks a new record. `invites_microsoft`: the POST asks Microsoft for help (co-sell).
///
/// # Errors
/// The first violated rule.
pub(crate) fn check_new(referral: &Referral, invites_microsoft: bool) -> Result<(), ValidationError> {
    for (_, rule) in RECORD {
        rule(referral)?;
    }
    if invites_microsoft {
        contact(&referral.customer_profile)?;
    }
    consent(referral)
}

/// Checks an update: members that may not change any more, the rules of changed members, and the consent always.
pub(crate) fn check_update(
    stored: &Referral,
    next: &Referral,
    changes: &[ChangedMember],
) -> Result<(), ValidationError> {
    for change in changes {
        if change.property.access == Access::AtCreation {
            return Err(ValidationError::read_only(change.path.clone(), &change.path));
        }
    }
    duns(&stored.customer_profile, &next.customer_profile)?;
    if stored.consent.share_with_microsoft_sellers {
        contacts_kept(&stored.customer_profile.team, &next.customer_profile.team)?;
        invitation_kept(stored, next)?;
    }
    for (member, rule) in RECORD {
        let concerns = |change: &ChangedMember| change.path == *member || is_within(&change.path, member);
        if changes.iter().any(concerns) {
            rule(next)?;
        }
    }
    if changes.is_empty() { Ok(()) } else { consent(next) }
}

fn present(target: &str, there: bool) -> Result<(), ValidationError> {
    if there { Ok(()) } else { Err(ValidationError::missing(target)) }
}

fn given(target: &str, text: Option<&str>) -> Result<(), ValidationError> {
    present(target, text.is_some_and(|text| !text.trim().is_empty()))
}

fn size(referral: &Referral) -> Result<(), ValidationError> {
    listed(
        "customerProfile/size",
        referral.customer_profile.size.as_deref().unwrap_or_default(),
        SIZES,
        "customer sizes",
    )
}

fn listed(target: &str, value: &str, list: &[&str], of: &str) -> Result<(), ValidationError> {
    if value.is_empty() || list.contains(&value) {
        return Ok(());
    }
    Err(ValidationError::value(
        target,
        format!("{} is not in the list of {of}.", crate::validate::brief(value)),
        crate::validate::brief(value),
    ))
}

fn closing_date(referral: &Referral) -> Result<(), ValidationError> {
    let target = "details/closingDateTime";
    let Some(closing) = referral.details.closing_date_time else {
        return Err(ValidationError::missing(target));
    };
    if closing < referral.created_date_time.midnight_plus_days(0) {
        return Err(ValidationError::value(
            target,
            "The closing date lies before the day of creation.",
            closing.to_string(),
        ));
    }
    Ok(())
}

fn requirements(requirements: &ReferralRequirements) -> Result<(), ValidationError> {
    let at = |list: &str| format!("details/requirements/{list}");
    counted(&at("solutions"), requirements.solutions.len(), "solutions")?;
    tags(&at("industries"), &requirements.industries, INDUSTRIES, "industries")?;
    tags(&at("products"), &requirements.products, PRODUCTS, "products")?;
    tags(&at("services"), &requirements.services, SERVICES, "services")?;
    categories(&at("solutions"), &requirements.solutions)?;
    services_cosell(requirements)
}

fn counted(target: &str, count: usize, of: &str) -> Result<(), ValidationError> {
    match count {
        0 => Err(ValidationError::missing(target)),
        1..=MOST => Ok(()),
        _ => {
            Err(ValidationError::value(target, format!("A deal has at most {MOST} {of}."), count.to_string()))
        }
    }
}

fn tags(target: &str, tags: &[Tag], list: &[&str], of: &str) -> Result<(), ValidationError> {
    tags.iter().enumerate().try_for_each(|(at, tag)| listed(&format!("{target}/{at}/id"), &tag.id, list, of))
}

fn categories(target: &str, solutions: &[SolutionTag]) -> Result<(), ValidationError> {
    let predefined =
        solutions.iter().enumerate().filter(|(_, tag)| tag.solution_tag_type == Some(SolutionType::Category));
    predefined.into_iter().try_for_each(|(at, tag)| {
        listed(&format!("{target}/{at}/id"), &tag.id, SOLUTIONS, "solution categories")
    })
}

/// Checks that PartnerRole, SolutionArea and SolutionPlay are sent together or not at all.
fn services_cosell(requirements: &ReferralRequirements) -> Result<(), ValidationError> {
    const TOGETHER: [&str; 3] = ["PartnerRole", "SolutionArea", "SolutionPlay"];
    let attributes = &requirements.additional_requirements.attributes;
    let sent =
        |name: &str| attributes.iter().any(|attribute| attribute.attribute_type.eq_ignore_ascii_case(name));
    match TOGETHER.iter().find(|name| !sent(name)) {
        Some(missing) if TOGETHER.iter().any(|name| sent(name)) => {
            let target = "details/requirements/additionalRequirements/attributes";
            let message = "A Services co-sell deal needs the attributes PartnerRole, SolutionArea and SolutionPlay together.";
            Err(ValidationError::new(InnerCode::MissingProperty, target, message, *missing))
        }
        _ => Ok(()),
    }
}

fn team(referral: &Referral) -> Result<(), ValidationError> {
    counted("team", referral.team.len(), "team members")?;
    referral.team.iter().enumerate().try_for_each(|(at, member)| complete(&format!("team/{at}"), member))
}

fn complete(target: &str, member: &Member) -> Result<(), ValidationError> {
    let parts = [
        ("firstName", &member.first_name),
        ("lastName", &member.last_name),
        ("phoneNumber", &member.phone_number),
        ("email", &member.email),
    ];
    parts.into_iter().try_for_each(|(name, part)| given(&format!("{target}/{name}"), part.as_deref()))
}

/// Checks that help from Microsoft comes with a complete contact.
fn contact(customer: &CustomerProfile) -> Result<(), ValidationError> {
    match customer.team.first() {
        Some(member) => complete("customerProfile/team/0", member),
        None => Err(ValidationError::missing("customerProfile/team")),
    }
}

fn target(referral: &Referral) -> Result<(), ValidationError> {
    match referral.target.iter().position(|target| target.target_type == TargetType::None) {
        Some(at) => Err(ValidationError::value(
            format!("target/{at}/type"),
            "A target needs a type other than None.",
            "None",
        )),
        None => Ok(()),
    }
}

/// T14. An expiry has no caller who could give a reason.
fn status_reason(referral: &Referral) -> Result<(), ValidationError> {
    use ClosedSubstatus::{Declined, Error, Lost};
    match LifecycleState::from_pair(referral.status, referral.substatus) {
        Ok(LifecycleState::Closed(Declined | Lost | Error)) => {
            given("statusReason", referral.status_reason.as_deref())
        }
        _ => Ok(()),
    }
}

fn consent(referral: &Referral) -> Result<(), ValidationError> {
    if referral.consent.share_with_others {
        return Ok(());
    }
    let target = "consent/consentToToShareInfoWithOthers";
    Err(ValidationError::value(
        target,
        "The program needs the consent to share information with others.",
        "false",
    ))
}

fn duns(stored: &CustomerProfile, next: &CustomerProfile) -> Result<(), ValidationError> {
    let of = |profile: &CustomerProfile| -> Vec<String> {
        let duns = profile.ids.iter().filter(|id| id.profile_type == CustomerProfileIdType::Duns);
        duns.map(|id| id.id.clone()).collect()
    };
    if of(stored) == of(next) {
        Ok(())
    } else {
        Err(ValidationError::read_only("customerProfile/ids", "customerProfile/ids"))
    }
}

/// Once Microsoft has seen them, existing contacts cannot be changed. More may be added.
fn contacts_kept(stored: &[Member], next: &[Member]) -> Result<(), ValidationError> {
    let known = |member: &Member| {
        (
            member.first_name.clone(),
            member.last_name.clone(),
            member.phone_number.clone(),
            member.email.clone(),
        )
    };
    let kept = stored.iter().enumerate().find(|(at, member)| next.get(*at).map(known) != Some(known(member)));
    match kept {
        Some((at, _)) => {
            Err(ValidationError::read_only(format!("customerProfile/team/{at}"), "customerProfile/team"))
        }
        None => Ok(()),
    }
}

fn invitation_kept(stored: &Referral, next: &Referral) -> Result<(), ValidationError> {
    let (was, is) = (&stored.invite_context, &next.invite_context);
    if was.notes.as_deref().is_some_and(|notes| !notes.is_empty()) && was.notes != is.notes {
        return Err(ValidationError::read_only("inviteContext/notes", "inviteContext/notes"));
    }
    let unset = crate::values::AssistanceRequestCode::Unknown;
    if was.assistance_request_code != unset && was.assistance_request_code != is.assistance_request_code {
        let path = "inviteContext/assistanceRequestCode";
        return Err(ValidationError::read_only(path, path));
    }
    Ok(())
}

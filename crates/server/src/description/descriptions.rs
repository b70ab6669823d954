//! What types and members mean, in a sentence each. Source: spec 5.2 and 5.3.

/// What a type is.
pub(super) fn of_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "Referral" => "One organization's record of a lead or opportunity.",
        "CustomerProfile" => "The customer the referral is about.",
        "CustomerProfileId" => "A number under which others know the customer.",
        "Address" => "A postal address.",
        "Member" => "A person of the customer or of the partner.",
        "ContactPreference" => "How a person wants to be reached.",
        "Consent" => "What the customer agreed to.",
        "ReferralDetails" => "The deal.",
        "ReferralRequirements" => "What the customer needs.",
        "Tag" => "An entry of a requirement list.",
        "SolutionTag" => "A solution the deal is about.",
        "AdditionalRequirements" => "Requirements beyond the lists.",
        "Iot" => "Requirements of device deals.",
        "Attribute" => "A typed reference, such as PartnerRole, SolutionArea or SolutionPlay.",
        "Target" => "Who or what the referral is directed at.",
        "InviteContext" => "What was said when another organization was invited.",
        "InvitedBy" => "The organization that invited.",
        "Links" => "Where to read on.",
        "Link" => "An address and the method to use there.",
        "TrackingInfo" => "Numbers of the referral in Microsoft's systems.",
        "Registration" => "A deal registration.",
        "Contract" => "The contract of a registered deal.",
        "SolutionDetail" => "A solution of a registered deal.",
        "MarketplaceTransaction" => "How a registered solution was sold.",
        "StatusHistory" => "When a registration reached which state.",
        _ => return None,
    })
}

/// What a member means, where its name does not say it all.
pub(super) fn of_member(of: &str, name: &str) -> Option<&'static str> {
    let words = match of {
        "Referral" => of_referral(name)?,
        "CustomerProfile" => match name {
            "name" => "The customer's organization.",
            "size" => "Number of employees, such as 10to50employees.",
            "isMatchingComplete" => "Whether the customer was matched with a known account.",
            "team" => "The customer's contacts.",
            "ids" => {
                "Numbers under which others know the customer. A request may also send an object, such as {\"Duns\": \"…\"}."
            }
            _ => return None,
        },
        "Address" => match name {
            "country" => "Two letters of ISO 3166-1. Known three-letter codes are converted.",
            "region" => "Such as Washington, or WA where state is null.",
            _ => return None,
        },
        "Member" => match name {
            "emailValidationStatus" | "phoneValidationStatus" => {
                "Only on contacts of marketplace leads; absent unless set."
            }
            _ => return None,
        },
        "ContactPreference" => match name {
            "locale" => "A culture name, such as en-US.",
            _ => return None,
        },
        "Consent" => match name {
            "consentToToShareInfoWithOthers" => {
                "Consent to share personal data with other organizations. The doubled To is the contract's spelling."
            }
            "consentToContact" => "Consent to be contacted.",
            "consentToShareReferralWithMicrosoftSellers" => {
                "Whether Microsoft's sellers see the referral. Once true, it never becomes false again."
            }
            "consentToMicrosoftToContactSpecificPartners" => "Absent unless set.",
            _ => return None,
        },
        "ReferralDetails" => match name {
            "notes" => "For the receiving organization.",
            "currency" => "Three letters of ISO 4217.",
            "closingDateTime" => "The customer's target date.",
            _ => return None,
        },
        "ReferralRequirements" => match name {
            "offers" | "salesPlays" => "Always empty: the form of its entries is unknown.",
            _ => return None,
        },
        "SolutionTag" => match name {
            "type" => "What id refers to.",
            "currency" => "Three letters of ISO 4217.",
            _ => return None,
        },
        "Target" => match name {
            "type" => "What id refers to.",
            "id" => "A business profile location, an organization (msft for Microsoft) or a solution.",
            _ => return None,
        },
        "InviteContext" => match name {
            "assistanceRequestCode" => "What help the invitation asks for.",
            "invitedMpnId" => "The partner id of the invited organization.",
            _ => return None,
        },
        "InvitedBy" => match name {
            "organizationId" => "A GUID, or msft for Microsoft.",
            _ => return None,
        },
        "Links" => match name {
            "relatedReferrals" => "The list of every referral of the engagement.",
            "self" => "The referral itself.",
            _ => return None,
        },
        _ => return None,
    };
    Some(words)
}

fn of_referral(name: &str) -> Option<&'static str> {
    Some(match name {
        "id" => "The referral's identifier.",
        "engagementId" => {
            "Groups the referrals of one deal. Given on creation to join an engagement, otherwise generated."
        }
        "name" => "The referral's name.",
        "organizationId" => "The owner: a GUID, or msft for Microsoft.",
        "organizationName" => "The owner's name.",
        "externalReferenceId" => "The caller's own number for the referral, such as the id of a CRM record.",
        "updatedDateTime" => "Changes with every effective write.",
        "expirationDateTime" => "When a referral that nobody answers expires.",
        "status" => "Where the referral stands. New may become Active or Closed, Active may become Closed.",
        "substatus" => {
            "How it stands there. New: Pending, Received; Active: Accepted; Closed: Won, Lost, Declined, Expired, Error."
        }
        "statusReason" => "A text about the status, such as why the deal was lost.",
        "qualification" => "Who vouches for the referral.",
        "type" => "Visible to one partner, or to two that cooperate.",
        "referralSource" => "Where a marketplace lead came from.",
        "eTag" => "The referral's entity tag, quotes included: the value for If-Match.",
        "favorite" => "Whether the owner marked it. May change when the referral is closed.",
        "campaignId" => "A marketing campaign.",
        "salesStage" => "A percentage from 0 to 100 as text, or Qualify, Develop, Propose, Close.",
        "quality" => "The quality of a lead.",
        "direction" => "From the owner's view: Incoming from others, Outgoing to others.",
        "mpnId" => "The partner id of the owner's location.",
        "customerMarketplaceIntent" => "Whether the customer means to buy through the marketplace.",
        "referralProgram" => "The program a lead came from.",
        "acceptedDateTime" => "When the owner accepted; for outgoing referrals the time of creation.",
        "callToAction" => "What a marketplace lead asked for.",
        "registrationStatus" => "State of the deal registration.",
        "target" => "Who or what the referral is directed at.",
        "customerProfile" => "The customer.",
        "consent" => "What the customer agreed to.",
        "details" => "The deal: notes, value, closing date, requirements.",
        "team" => "The owner's people on the deal.",
        "inviteContext" => "What was said when another organization was invited.",
        "links" => "Where to read on. Left out of the body of a PUT.",
        "registrations" => "Deal registrations.",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use referral::{Kind, ObjectType, Referral};

    use super::*;

    fn count(of: &ObjectType, known: &mut Vec<&'static str>) -> usize {
        let mut described = 0;
        for row in of.properties {
            described += usize::from(of_member(of.name, row.name).is_some());
            if let Kind::Object(inner) | Kind::List(inner) | Kind::ProfileIds(inner) = row.kind
                && !known.contains(&inner.name)
            {
                known.push(inner.name);
                assert!(of_type(inner.name).is_some(), "{}", inner.name);
                described += count(inner, known);
            }
        }
        described
    }

    /// A name that is misspelt here describes nothing.
    #[test]
    fn every_sentence_is_about_a_member_that_exists() {
        let described = count(&Referral::TYPE, &mut vec!["Referral"]);
        let source = include_str!("descriptions.rs");
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let members = code.split("pub(super) fn of_member").nth(1).unwrap_or_default();
        // Names begin in lower case, the types that group them in upper case.
        let arms = members.lines().filter_map(|line| line.trim().split_once(" => "));
        let names = arms.flat_map(|(names, _)| names.split(" | "));
        let names = names.filter(|name| name.starts_with('"') && name[1..].starts_with(char::is_lowercase));
        assert_eq!(described, names.count());
    }
}

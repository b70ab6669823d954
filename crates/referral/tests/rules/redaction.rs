//! Redaction of another organization's referral. Spec 8.6.

use referral::{Kind, Redaction, Referral};
use serde_json::{Value, json};

use crate::support::*;

const REDACTIONS: [Redaction; 4] =
    [Redaction::Inviting, Redaction::NotEntitled, Redaction::Entitled, Redaction::MicrosoftOnPartnerLed];

/// The members that only the owner sees, and their redacted values.
fn never() -> Vec<(&'static str, Value)> {
    let nothing = Value::Null;
    vec![
        ("externalReferenceId", nothing.clone()),
        ("campaignId", nothing.clone()),
        ("favorite", json!(false)),
        ("salesStage", nothing.clone()),
        ("mpnId", nothing.clone()),
        ("lastModifiedVia", nothing.clone()),
        ("lastRunId", nothing.clone()),
        ("createdVia", nothing.clone()),
        ("quality", json!("Unknown")),
        ("isSpam", json!(false)),
        ("dealSensitivity", json!("None")),
        ("referralProgram", nothing.clone()),
        ("registrationStatus", json!("None")),
        ("registrations", json!([])),
        ("trackingInfo/microsoftMsxId", nothing.clone()),
        ("trackingInfo/microsoftUSFedOpportunityId", nothing.clone()),
        ("trackingInfo/microsoftUSFedLeadId", nothing.clone()),
        ("trackingInfo/migratedPSCDealId", nothing.clone()),
        ("trackingInfo/migratedPSCPartnerDealId", nothing),
        ("tags", json!([])),
    ]
}

/// A referral in which every member differs from its default.
fn full(shares: bool) -> Referral {
    let mut document = value(&own(&complete()));
    for (path, property) in properties(&Referral::TYPE) {
        let place = document.pointer_mut(&format!("/{path}"));
        match (place, property.kind) {
            (Some(place), Kind::Text(_)) => *place = json!(format!("some {path}")),
            (Some(place), Kind::Boolean | Kind::Flag) => *place = json!(true),
            (Some(place), Kind::DateTime) => *place = json!("2026-03-02T09:15:00Z"),
            (Some(place), Kind::Digits | Kind::SalesStage) => *place = json!("77"),
            (Some(place), Kind::Texts) => *place = json!(["tag"]),
            _ => {}
        }
    }
    document["registrationStatus"] = json!("Approved");
    document["registrations"] = json!([{ "id": "1" }]);
    document["target"] = json!([{ "type": "SolutionProfile", "id": "1" }]);
    document["customerProfile"]["ids"] = json!([{ "profileType": "Duns", "id": "1" }]);
    document["inviteContext"]["assistanceRequestCode"] = json!("GeneralOrOther");
    document["consent"]["consentToToShareInfoWithOthers"] = json!(shares);
    Referral::from_document(&serde_json::to_vec(&document).unwrap()).unwrap()
}

#[test]
fn each_member_is_seen_as_the_table_says() {
    let never = never();
    for shares in [true, false] {
        let owned = full(shares);
        let whole = value(&owned.to_document());
        for redaction in REDACTIONS {
            let customer = match redaction {
                Redaction::Inviting => true,
                Redaction::NotEntitled => false,
                Redaction::Entitled | Redaction::MicrosoftOnPartnerLed => shares,
            };
            let seen = value(&owned.clone().redact(redaction).to_document());
            let mut count = 0;
            for (path, property) in properties(&Referral::TYPE) {
                let pointer = format!("/{path}");
                if matches!(property.kind, Kind::Object(_)) || path.starts_with("links") {
                    continue;
                }
                let (seen, whole) = (seen.pointer(&pointer), whole.pointer(&pointer));
                let expected = match path.as_str() {
                    "customerProfile/team" | "customerProfile/ids" if !customer => Some(json!([])),
                    "team" => {
                        let mut team = whole.unwrap().clone();
                        team[0]["phoneNumber"] = Value::Null;
                        Some(team)
                    }
                    path => match never.iter().find(|(name, _)| *name == path) {
                        Some((_, default)) => {
                            assert_ne!(whole, Some(default), "the test shows nothing for {path}");
                            count += 1;
                            Some(default.clone())
                        }
                        None => whole.cloned(),
                    },
                };
                assert_eq!(seen, expected.as_ref(), "{redaction:?} {path}");
            }
            assert_eq!(count, never.len());
        }
    }
}

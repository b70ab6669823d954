//! What the tests of the resource share beside the harness: JSON to send, and comparing what came back.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};

use referral::Timestamp;
use serde_json::{Value, json};

use crate::support::{Answer, CONTOSO_ADMIN, REFERRALS, World, path};

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The text of a file of the repository.
pub fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The least a POST needs.
pub fn least() -> Value {
    json!({ "type": "Independent", "customerProfile": { "name": "Customer" }, "consent": {}, "details": {} })
}

/// An own deal with everything a caller can send.
pub fn full() -> Value {
    let member = |name: &str| {
        json!({
            "firstName": name, "lastName": "Doe", "phoneNumber": "+49 (170) 12-34", "title": "Dr.",
            "email": format!("{name}@contoso.example"),
            "contactPreference": { "locale": "de-DE", "disableNotifications": true },
        })
    };
    json!({
        "name": "Rollout", "externalReferenceId": "crm-7", "statusReason": "soon",
        "qualification": "SalesQualified", "type": "Shared", "favorite": true, "campaignId": "CAMP",
        "salesStage": "60", "mpnId": "42", "customerMarketplaceIntent": "Yes",
        "target": [{ "type": "SolutionProfile", "id": "SOL-1" }],
        "customerProfile": {
            "name": "Customer", "size": "10to50employees",
            "address": {
                "addressLine1": "1 Way", "addressLine2": "Floor 2", "city": "Redmond", "state": "WA",
                "postalCode": "98052", "country": "US", "region": "Washington",
            },
            "team": [member("Sue"), member("Joe")],
            "ids": [{ "profileType": "Duns", "id": "795986822" }, { "profileType": "External", "id": "6-X" }],
        },
        "consent": {
            "consentToToShareInfoWithOthers": true, "consentToContact": true,
            "consentToShareReferralWithMicrosoftSellers": true,
            "consentToMicrosoftToContactSpecificPartners": true,
        },
        "details": {
            "notes": "Notes", "dealValue": 50000.25, "currency": "USD",
            "closingDateTime": "2030-11-14T00:00:00Z", "customerRequestedContact": true,
            "customerAction": "Call", "incentiveLevel": "High",
            "requirements": {
                "industries": [{ "id": "Education" }], "products": [{ "id": "Azure" }],
                "services": [{ "id": "Hardware" }],
                "solutions": [{
                    "id": "SOL-1", "name": "Suite", "type": "Name", "price": 5, "quantity": 2.5,
                    "currency": "EUR", "publisherName": "Contoso", "solutionType": "SaaS",
                    "closingDateTime": "2031-01-01T00:00:00.5Z",
                }],
                "offers": [], "salesPlays": [],
                "additionalRequirements": {
                    "iot": {
                        "customerLicenseAgreementNumber": "C1", "deviceCategory": "D", "siliconType": "S",
                        "azureCertifiedDevice": true, "attachServices": true,
                    },
                    "attributes": [{ "type": "PartnerRole", "id": "Advisor" }],
                },
            },
        },
        "team": [member("admin"), member("user")],
        "inviteContext": {
            "notes": "Please join.", "assistanceRequestCode": "ProofOfConceptOrDemo", "invitedMpnId": "77",
        },
    })
}

/// The value with the member at a pointer set; null stays null. Objects on the way are made.
pub fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    let mut here = &mut value;
    let mut names = pointer[1..].split('/').peekable();
    while let Some(name) = names.next() {
        here = match name.parse::<usize>() {
            Ok(at) if here.is_array() => &mut here[at],
            _ => &mut here[name],
        };
        if names.peek().is_some() && here.is_null() {
            *here = json!({});
        }
    }
    *here = member;
    value
}

/// The value without the member at a pointer.
pub fn without(mut value: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let parent = value.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} has no parent"));
    let removed = parent.as_object_mut().and_then(|parent| parent.shift_remove(name));
    assert!(removed.is_some(), "{pointer} is not there");
    value
}

/// The value at a pointer; panics where there is none.
pub fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("nothing at {pointer} in {value}"))
}

/// The text at a pointer.
pub fn text_at<'a>(value: &'a Value, pointer: &str) -> &'a str {
    at(value, pointer).as_str().unwrap_or_else(|| panic!("no text at {pointer} in {value}"))
}

/// A list of one `replace` for each pair.
pub fn replace(pairs: &[(&str, Value)]) -> Value {
    pairs.iter().map(|(path, value)| json!({ "op": "replace", "path": path, "value": value })).collect()
}

/// Panics unless every member of `part` is in `whole` with the same value; times are compared as instants.
pub fn assert_holds(whole: &Value, part: &Value, at: &str) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                let there = whole.get(name).unwrap_or_else(|| panic!("{at}/{name} is missing"));
                assert_holds(there, value, &format!("{at}/{name}"));
            }
        }
        (Value::Array(whole), Value::Array(part)) => {
            assert_eq!(whole.len(), part.len(), "elements of {at}");
            for (index, (whole, part)) in whole.iter().zip(part).enumerate() {
                assert_holds(whole, part, &format!("{at}/{index}"));
            }
        }
        (Value::String(whole), Value::String(part)) if at.ends_with("DateTime") => {
            let instant = |text: &str| text.parse::<Timestamp>().unwrap_or_else(|e| panic!("{at}: {e}"));
            assert_eq!(instant(whole), instant(part), "{at}");
        }
        (whole, part) => assert_eq!(whole, part, "{at}"),
    }
}

/// Sends bytes as a body of JSON, as Contoso's Referral Admin, to a referral or (`POST`) to the collection.
pub async fn sends(world: &World, method: &str, id: &str, if_match: Option<&str>, body: &[u8]) -> Answer {
    let path = if method == "POST" { REFERRALS.to_owned() } else { path(id) };
    let call = world.call(method, &path).as_user(CONTOSO_ADMIN).header("Content-Type", "application/json");
    let call = if_match.into_iter().fold(call, |call, tag| call.header("If-Match", tag));
    call.body(body.to_vec()).send().await
}

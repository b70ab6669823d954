//! The program profile: required members, value lists, what is fixed after creation. Spec 5.5, 6.7, 6.12, 8.4, 8.5.

use referral::{CreateRequest, Referral};
use serde_json::{Value, json};

use crate::support::*;

fn without(body: &Value, path: &str) -> Value {
    let mut body = body.clone();
    let (outer, member) = path.rsplit_once('/').unwrap();
    body.pointer_mut(outer).unwrap().as_object_mut().unwrap().shift_remove(member);
    body
}

fn and(body: &Value, path: &str, value: Value) -> Value {
    let mut body = body.clone();
    let (outer, member) = path.rsplit_once('/').unwrap();
    let outer = body.pointer_mut(outer).unwrap();
    match outer {
        Value::Array(items) => items[member.parse::<usize>().unwrap()] = value,
        outer => outer[member] = value,
    }
    body
}

fn new(body: &Value) -> String {
    match create(body, &PROGRAM) {
        Ok(_) => "created".into(),
        Err(error) => refusal(&error),
    }
}

#[test]
fn a_complete_record_is_created_and_each_missing_part_is_named() {
    // REF-127 REF-128
    let complete = complete();
    assert_eq!(new(&complete), "created");
    for (path, target) in [
        ("/name", "name"),
        ("/customerProfile/name", "customerProfile/name"),
        ("/customerProfile/address/country", "customerProfile/address/country"),
        ("/customerProfile/address/addressLine1", "customerProfile/address/addressLine1"),
        ("/customerProfile/address/city", "customerProfile/address/city"),
        ("/details/dealValue", "details/dealValue"),
        ("/details/currency", "details/currency"),
        ("/details/closingDateTime", "details/closingDateTime"),
        ("/details/requirements/solutions", "details/requirements/solutions"),
        ("/team", "team"),
        ("/team/0/firstName", "team/0/firstName"),
        ("/team/0/lastName", "team/0/lastName"),
        ("/team/0/phoneNumber", "team/0/phoneNumber"),
        ("/team/0/email", "team/0/email"),
        ("/customerMarketplaceIntent", "customerMarketplaceIntent"),
    ] {
        let body = without(&complete, path);
        assert_eq!(new(&body), format!("400 missingProperty {target}"));
        let wire = create(&body, &WIRE).map_err(|error| refusal(&error));
        assert_eq!(wire.is_ok(), path != "/customerProfile/name", "{path} is optional under wire");
    }
    for (path, empty) in [
        ("/name", json!(" ")),
        ("/team", json!([])),
        ("/team/0/email", json!("")),
        ("/details/requirements/solutions", json!([])),
    ] {
        assert!(new(&and(&complete, path, empty)).starts_with("400 missingProperty "), "{path}");
    }
    for consent in [json!({}), json!({ "consentToToShareInfoWithOthers": false })] {
        let body = and(&complete, "/consent", consent);
        assert_eq!(new(&body), "400 invalidValue consent/consentToToShareInfoWithOthers");
    }
    for optional in
        ["/customerProfile/size", "/customerProfile/team", "/customerProfile/address/state", "/details/notes"]
    {
        assert_eq!(new(&without(&complete, optional)), "created", "{optional}");
    }
}

#[test]
fn values_are_held_against_the_published_lists() {
    // REF-130
    let complete = complete();
    let many = |count: usize, item: &Value| Value::Array(vec![item.clone(); count]);
    let (solution, member) =
        (complete["details"]["requirements"]["solutions"][0].clone(), complete["team"][0].clone());
    for (path, value, expected) in [
        ("/customerProfile/size", json!("10001+employees"), "400 invalidValue customerProfile/size"),
        ("/customerProfile/size", json!("Unknown"), "400 invalidValue customerProfile/size"),
        ("/customerProfile/size", json!(""), "created"),
        (
            "/details/requirements/industries/0/id",
            json!("Mining"),
            "400 invalidValue details/requirements/industries/0/id",
        ),
        (
            "/details/requirements/products/0/id",
            json!("azure"),
            "400 invalidValue details/requirements/products/0/id",
        ),
        (
            "/details/requirements/services/0/id",
            json!("x"),
            "400 invalidValue details/requirements/services/0/id",
        ),
        (
            "/details/requirements/solutions/0/type",
            json!("Category"),
            "400 invalidValue details/requirements/solutions/0/id",
        ),
        ("/details/requirements/solutions/0", json!({ "type": "Category", "id": "BigData" }), "created"),
        ("/details/requirements/solutions", many(50, &solution), "created"),
        (
            "/details/requirements/solutions",
            many(51, &solution),
            "400 invalidValue details/requirements/solutions",
        ),
        ("/team", many(50, &member), "created"),
        ("/team", many(51, &member), "400 invalidValue team"),
        (
            "/details/closingDateTime",
            json!("2026-03-01T23:59:59Z"),
            "400 invalidValue details/closingDateTime",
        ),
        ("/details/closingDateTime", json!("2026-03-02"), "created"),
        ("/target", json!([{ "type": "None", "id": "1" }]), "400 invalidValue target/0/type"),
        ("/target", json!([{ "type": "SolutionProfile", "id": "1" }]), "created"),
    ] {
        let body = and(&complete, path, value);
        assert_eq!(new(&body), expected, "{path}");
        assert!(create(&body, &WIRE).is_ok(), "{path} is free under wire");
    }
    let targets = json!(vec![json!({ "type": "SolutionProfile", "id": "1" }); 51]);
    assert_eq!(refusal_of(create(&and(&complete, "/target", targets), &WIRE)), "400 invalidValue target");
}

#[test]
fn services_cosell_needs_its_three_attributes_together() {
    // REF-129
    let mut body = example("create.services-cosell.request.json");
    body["customerMarketplaceIntent"] = json!("No");
    assert_eq!(new(&body), "created");
    let attributes = "/details/requirements/additionalRequirements/attributes";
    let all = body.pointer(attributes).unwrap().as_array().unwrap().clone();
    for keep in 0..8_usize {
        let some: Vec<_> = (0..3).filter(|bit| keep >> bit & 1 == 1).map(|bit| all[bit].clone()).collect();
        let expected = match some.len() {
            0 | 3 => "created".to_owned(),
            _ => format!("400 missingProperty {}", &attributes[1..]),
        };
        assert_eq!(new(&and(&body, attributes, json!(some))), expected, "{keep:03b}");
    }
    assert_eq!(new(&and(&body, attributes, json!([{ "type": "Other", "id": "1" }]))), "created");
}

#[test]
fn help_from_microsoft_needs_a_contact() {
    let complete = complete();
    let send = |body: &Value, to: &referral::Party| {
        let sent = CreateRequest::parse(body, &PROGRAM).unwrap().connected_referral(
            new_ids(),
            to,
            &contoso(),
            None,
            &PROGRAM,
        );
        sent.map_or_else(|error| refusal(&error), |_| "created".into())
    };
    let partner =
        referral::Party { id: "f0000000-0000-4000-8000-0000000000fa".parse().unwrap(), ..contoso() };
    assert_eq!(send(&complete, &microsoft()), "created");
    let nobody = without(&complete, "/customerProfile/team");
    assert_eq!(send(&nobody, &microsoft()), "400 missingProperty customerProfile/team");
    assert_eq!(send(&nobody, &partner), "created");
    for name in ["firstName", "lastName", "phoneNumber", "email"] {
        let body = without(&complete, &format!("/customerProfile/team/0/{name}"));
        assert_eq!(send(&body, &microsoft()), format!("400 missingProperty customerProfile/team/0/{name}"));
    }
}

#[test]
fn what_is_fixed_at_creation_is_free_under_wire_alone() {
    let mut body = complete();
    body["customerProfile"]["ids"] = json!([{ "profileType": "Duns", "id": "1" }]);
    body["target"] = json!([{ "type": "SolutionProfile", "id": "1" }]);
    let document = own(&body);
    for (path, value, expected) in [
        ("type", json!("Shared"), "400 readOnlyProperty type"),
        ("qualification", json!("Direct"), "400 readOnlyProperty qualification"),
        ("target", json!([]), "400 readOnlyProperty target"),
        ("mpnId", json!("7"), "400 readOnlyProperty mpnId"),
        ("customerProfile/name", json!("Other"), "400 readOnlyProperty customerProfile/name"),
        (
            "customerProfile/address/addressLine1",
            json!("x"),
            "400 readOnlyProperty customerProfile/address/addressLine1",
        ),
        (
            "customerProfile/address/addressLine2",
            json!("x"),
            "400 readOnlyProperty customerProfile/address/addressLine2",
        ),
        ("customerProfile/address/city", json!("x"), "400 readOnlyProperty customerProfile/address/city"),
        ("customerProfile/address/state", json!("x"), "400 readOnlyProperty customerProfile/address/state"),
        (
            "customerProfile/address/postalCode",
            json!("x"),
            "400 readOnlyProperty customerProfile/address/postalCode",
        ),
        (
            "customerProfile/address/country",
            json!("PL"),
            "400 readOnlyProperty customerProfile/address/country",
        ),
        ("customerProfile/address/region", json!("x"), "400 readOnlyProperty customerProfile/address/region"),
        ("customerProfile/ids", json!([]), "400 readOnlyProperty customerProfile/ids"),
        ("customerProfile/ids", json!({ "Duns": "2" }), "400 readOnlyProperty customerProfile/ids"),
        ("customerProfile/ids", json!({ "External": "2", "Duns": "1" }), "customerProfile/ids"),
        ("customerProfile/size", json!("1to9employees"), "customerProfile/size"),
        ("name", json!("Other"), "name"),
        ("details/dealValue", json!(7), "details/dealValue"),
    ] {
        let body = body_with(path, value.clone());
        assert_eq!(face(put_in(&document, &body, &PROGRAM)), expected, "{body}");
        let pointer = format!("/{path}");
        let answer = face(patch_in(&document, &replace(&pointer, value), &PROGRAM));
        assert_eq!(answer, expected.replace(&format!("Property {path}"), &format!("Property {pointer}")));
        assert_eq!(face(put(&document, &body)), path, "free under wire");
    }
}

#[test]
fn what_microsoft_has_seen_stays() {
    let shared = own(&{
        let mut body = complete();
        body["inviteContext"] = json!({ "notes": "Please join.", "assistanceRequestCode": "GeneralOrOther" });
        body
    });
    let private = with(&shared, &[("/consent/consentToShareReferralWithMicrosoftSellers", json!(false))]);
    let sue = value(&shared)["customerProfile"]["team"][0].clone();
    let renamed = and(&sue, "/lastName", json!("Jones"));
    let titled = and(&sue, "/title", json!("CIO"));
    for (path, value, expected) in [
        ("customerProfile/team", json!([renamed]), "400 readOnlyProperty customerProfile/team/0"),
        ("customerProfile/team", json!([]), "400 readOnlyProperty customerProfile/team/0"),
        ("customerProfile/team", json!([sue, { "firstName": "Joe" }]), "customerProfile/team"),
        ("customerProfile/team", json!([titled]), "customerProfile/team"),
        ("inviteContext/notes", json!("Never mind."), "400 readOnlyProperty inviteContext/notes"),
        ("inviteContext/notes", Value::Null, "400 readOnlyProperty inviteContext/notes"),
        (
            "inviteContext/assistanceRequestCode",
            json!("Unknown"),
            "400 readOnlyProperty inviteContext/assistanceRequestCode",
        ),
    ] {
        let body = body_with(path, value);
        assert_eq!(face(put_in(&shared, &body, &PROGRAM)), expected, "{body}");
        assert_eq!(face(put_in(&private, &body, &PROGRAM)), path, "not yet shared: {body}");
        assert_eq!(face(put(&shared, &body)), path, "free under wire");
    }
    let unasked = own(&complete());
    let body =
        json!({ "inviteContext": { "notes": "Please join.", "assistanceRequestCode": "GeneralOrOther" } });
    let answer = face(put_in(&unasked, &body, &PROGRAM));
    assert_eq!(answer, "inviteContext/notes inviteContext/assistanceRequestCode", "given for the first time");
}

#[test]
fn an_update_is_held_to_the_rules_of_what_it_touches() {
    // REF-128
    let complete = own(&complete());
    let poor = own(&minimal());
    for (body, rich, bare) in [
        (json!({ "name": null }), "400 missingProperty name", "unchanged"),
        (json!({ "details": { "dealValue": null } }), "400 missingProperty details/dealValue", "unchanged"),
        (json!({ "details": { "currency": null } }), "400 missingProperty details/currency", "unchanged"),
        (
            json!({ "details": { "requirements": { "solutions": [] } } }),
            "400 missingProperty details/requirements/solutions",
            "unchanged",
        ),
        (json!({ "team": [] }), "400 missingProperty team", "unchanged"),
        (
            json!({ "team": [{ "firstName": "A" }] }),
            "400 missingProperty team/0/lastName",
            "400 missingProperty team/0/lastName",
        ),
        (
            json!({ "customerMarketplaceIntent": null }),
            "400 missingProperty customerMarketplaceIntent",
            "unchanged",
        ),
        (
            json!({ "details": { "closingDateTime": "2026-03-01" } }),
            "400 invalidValue details/closingDateTime",
            "400 invalidValue details/closingDateTime",
        ),
        (
            json!({ "customerProfile": { "size": "big" } }),
            "400 invalidValue customerProfile/size",
            "400 invalidValue customerProfile/size",
        ),
        (
            json!({ "consent": { "consentToToShareInfoWithOthers": false } }),
            "400 invalidValue consent/consentToToShareInfoWithOthers",
            "unchanged",
        ),
        // Untouched rules are not checked, but no record changes without the consent.
        (
            json!({ "campaignId": "x" }),
            "campaignId",
            "400 invalidValue consent/consentToToShareInfoWithOthers",
        ),
        (
            json!({ "campaignId": "x", "consent": { "consentToToShareInfoWithOthers": true } }),
            "campaignId",
            "campaignId consent/consentToToShareInfoWithOthers",
        ),
    ] {
        assert_eq!(face(put_in(&complete, &body, &PROGRAM)), rich, "{body}");
        assert_eq!(face(put_in(&poor, &body, &PROGRAM)), bare, "{body}");
    }
}

#[test]
fn a_lost_deal_needs_its_reason() {
    let document = own(&complete());
    for (substatus, needed) in
        [("Won", false), ("Expired", false), ("Lost", true), ("Declined", true), ("Error", true)]
    {
        let mut body = json!({ "status": "Closed", "substatus": substatus });
        let answer = face(put_in(&document, &body, &PROGRAM));
        assert_eq!(answer.starts_with("400 missingProperty statusReason"), needed, "{substatus}: {answer}");
        assert!(put(&document, &body).is_ok());
        body["statusReason"] = json!("no budget");
        assert!(put_in(&document, &body, &PROGRAM).is_ok(), "{substatus}");
    }
    let new = with(&document, &[("/status", json!("New")), ("/substatus", json!("Pending"))]);
    let expired = Referral::expire(&with_expiry(&new), 1).unwrap().unwrap().referral;
    assert_eq!(expired.status_reason, None);
}

fn with_expiry(document: &[u8]) -> Vec<u8> {
    with(document, &[("/expirationDateTime", json!("2026-03-16T00:00:00Z"))])
}

#[test]
fn the_profiles_rules_come_before_those_of_the_standing() {
    let won = with(&own(&complete()), &[("/status", json!("Closed")), ("/substatus", json!("Won"))]);
    for (body, expected) in [
        (json!({ "type": "Shared" }), "400 readOnlyProperty type"),
        (json!({ "name": null }), "400 missingProperty name"),
        (json!({ "name": "x" }), "409 terminalState"),
        (json!({ "name": "x", "substatus": "Pending" }), "400 invalidStatusSubstatus substatus"),
        (json!({ "externalReferenceId": "x" }), "externalReferenceId"),
        (json!({ "favorite": true }), "favorite"),
    ] {
        assert_eq!(face(put_in(&won, &body, &PROGRAM)), expected, "{body}");
    }
}

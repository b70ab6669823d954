//! POST: own deals and connected referrals. Spec 5.2, 7.3, 8.

use referral::{CreateRequest, DecisionError, NewIds, Party, PublicBase, Redaction, Referral};
use serde_json::{Value, json};

use crate::support::*;

/// Returns the response to a sample request, with the ids and the time of the sample response.
fn answered(sample: &str, create: impl FnOnce(&CreateRequest, NewIds) -> Referral) -> (Value, Value) {
    let published = example(&format!("create.{sample}.response.json"));
    let text = |name: &str| published[name].as_str().unwrap();
    let new_ids = NewIds {
        id: text("id").parse().unwrap(),
        engagement_id: text("engagementId").parse().unwrap(),
        now: text("createdDateTime").parse().unwrap(),
    };
    let request = example(&format!("create.{sample}.request.json"));
    let referral = create(&CreateRequest::parse(&request, &WIRE).unwrap(), new_ids);
    let base = PublicBase::new(HOST, false);
    let bytes = base.entity(&referral.to_document(), referral.id, referral.engagement_id);
    (serde_json::from_slice(&bytes).unwrap(), published)
}

/// The members must be equal and in the same order. The version counter in the ETag is our own.
fn assert_same(answer: &Value, published: &Value) {
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(answer), names(published));
    for (name, value) in published.as_object().unwrap() {
        match name.as_str() {
            "eTag" => {
                let (ours, theirs) = (answer[name].as_str().unwrap(), value.as_str().unwrap());
                assert_eq!(ours[9..], theirs[9..], "the time part");
                assert_eq!(ours.len(), theirs.len());
            }
            _ => assert_eq!(&answer[name], value, "{name}"),
        }
    }
}

#[test]
fn the_samples_of_own_deals_give_the_published_answers() {
    // REF-059 REF-063 REF-064 REF-065 REF-069 REF-070 REF-071 REF-072 REF-073 REF-076 REF-078 REF-079 REF-090
    // REF-092 REF-103 REF-104 REF-105 REF-106 REF-107 REF-126
    for sample in ["independent-private", "partner-led", "shared"] {
        let (answer, published) =
            answered(sample, |request, new_ids| request.own_deal(new_ids, &contoso(), &WIRE).unwrap());
        assert_same(&answer, &published);
    }
}

#[test]
fn the_sample_of_a_connected_referral_gives_the_published_answer_to_its_sender() {
    // REF-112 REF-113 REF-153
    let (answer, published) = answered("connected-microsoft", |request, new_ids| {
        request
            .connected_referral(new_ids, &microsoft(), &contoso(), None, &WIRE)
            .unwrap()
            .redact(Redaction::Inviting)
    });
    assert_same(&answer, &published);
}

#[test]
fn the_four_required_members_suffice_and_the_rest_is_the_default() {
    // REF-077 REF-102
    let document = value(&create(&minimal(), &WIRE).unwrap().to_document());
    let mut expected = value(&stored("create.shared.response.json"));
    for (pointer, default) in [
        ("/id", json!("0d43414c-fb9f-4ca0-9b8d-29deb70364cf")),
        ("/eTag", document["eTag"].clone()),
        ("/name", Value::Null),
        ("/externalReferenceId", Value::Null),
        ("/createdDateTime", json!("2026-03-02T09:15:00.1234567Z")),
        ("/updatedDateTime", json!("2026-03-02T09:15:00.1234567Z")),
        ("/acceptedDateTime", json!("2026-03-02T09:15:00.1234567Z")),
        ("/qualification", json!("None")),
        ("/target", json!([])),
        ("/team", json!([])),
        ("/customerProfile/size", Value::Null),
        ("/customerProfile/team", json!([])),
        ("/details/notes", Value::Null),
        ("/details/dealValue", Value::Null),
        ("/details/currency", Value::Null),
        ("/details/closingDateTime", Value::Null),
        ("/details/requirements/industries", json!([])),
        ("/details/requirements/products", json!([])),
        ("/details/requirements/services", json!([])),
        ("/details/requirements/solutions", json!([])),
        ("/consent/consentToToShareInfoWithOthers", json!(false)),
        ("/consent/consentToContact", json!(false)),
        ("/consent/consentToShareReferralWithMicrosoftSellers", json!(false)),
    ] {
        *expected.pointer_mut(pointer).unwrap() = default;
    }
    let nothing = |value: &mut Value| *value = Value::Null;
    expected["customerProfile"]["address"].as_object_mut().unwrap().values_mut().for_each(nothing);
    assert_eq!(document, expected);
}

#[test]
fn missing_members_are_told_all_at_once_and_the_first_is_the_target() {
    // REF-098 REF-099 REF-100 REF-101
    for (missing, target) in [
        ("type", "type"),
        ("customerProfile", "customerProfile"),
        ("consent", "consent"),
        ("details", "details"),
    ] {
        for absent in [true, false] {
            let mut body = minimal();
            match absent {
                true => drop(body.as_object_mut().unwrap().shift_remove(missing)),
                false => body[missing] = Value::Null,
            }
            assert_eq!(refusal_of(create(&body, &WIRE)), format!("400 missingProperty {target}"));
        }
    }
    let body = example("create.missing-required.request.json");
    let invalid = CreateRequest::parse(&body, &WIRE).unwrap_err();
    let published = &example("error.400.missing-required.json")["error"];
    assert_eq!(invalid.target, published["target"].as_str().unwrap());
    assert_eq!(invalid.message, published["message"].as_str().unwrap());
    assert_eq!(invalid.code.as_str(), published["innerError"]["code"].as_str().unwrap());
    assert_eq!(invalid.detail, published["innerError"]["message"].as_str().unwrap());
    for customer in [json!({}), json!({ "name": null })] {
        let mut body = minimal();
        body["customerProfile"] = customer;
        assert_eq!(refusal_of(create(&body, &WIRE)), "400 missingProperty customerProfile/name");
    }
    let mut body = minimal();
    body["customerProfile"]["name"] = json!("");
    assert_eq!(refusal_of(create(&body, &WIRE)), "400 invalidValue customerProfile/name");
}

#[test]
fn an_own_deal_starts_accepted_whatever_open_standing_was_sent() {
    // REF-103 REF-119 REF-143
    const STATUSES: [&str; 5] = ["", "None", "New", "Active", "Closed"];
    const SUBSTATUSES: [&str; 10] =
        ["", "None", "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired", "Error"];
    let taken = |status: &str, substatus: &str| {
        matches!(
            (status, substatus),
            ("" | "New", "" | "Pending" | "Received" | "Accepted") | ("Active", "" | "Accepted")
        )
    };
    let mut count = 0;
    for status in STATUSES {
        for substatus in SUBSTATUSES {
            let mut body = minimal();
            for (name, text) in [("status", status), ("substatus", substatus)] {
                if !text.is_empty() {
                    body[name] = json!(text);
                }
            }
            match create(&body, &WIRE) {
                Ok(referral) => {
                    assert!(taken(status, substatus), "{status}/{substatus}");
                    assert_eq!(referral.lifecycle_state().to_string(), "Active/Accepted");
                    assert_eq!(referral.accepted_date_time, Some(referral.created_date_time));
                    count += 1;
                }
                Err(error) => {
                    assert!(!taken(status, substatus), "{status}/{substatus}: {error}");
                    assert!(refusal(&error).starts_with("400 invalidStatusSubstatus "), "{error}");
                }
            }
            let request = CreateRequest::parse(&body, &WIRE);
            assert_eq!(request.is_ok(), taken(status, substatus), "connected too: {status}/{substatus}");
        }
    }
    assert_eq!(count, 10);
}

#[test]
fn the_servers_members_in_a_body_are_not_applied() {
    // REF-108
    let plain = create(&minimal(), &WIRE).unwrap();
    let mut body = minimal();
    for (path, property) in properties(&Referral::TYPE) {
        let servers = matches!(property.access, referral::Access::Server | referral::Access::Derived);
        if servers && !path.contains('/') {
            body[path] = json!("2001-01-01T00:00:00Z");
        }
    }
    body["customerProfile"]["isMatchingComplete"] = json!(true);
    body["inviteContext"] =
        json!({ "invitedBy": { "organizationId": "msft", "organizationName": "Microsoft" } });
    body["engagementId"] = json!("00000000-0000-4000-8000-000000000000");
    assert_eq!(create(&body, &WIRE).unwrap(), plain);
    let engagement = CreateRequest::parse(&body, &WIRE).unwrap().engagement_id().unwrap();
    assert_eq!(engagement.to_string(), "00000000-0000-4000-8000-000000000000");
}

#[test]
fn partner_ids_are_as_sent_else_the_owners() {
    for (mpn_id, invited, configured, expected) in [
        (None, None, Some("7"), (Some("7"), Some("7"))),
        (None, None, None, (None, None)),
        (Some("5"), None, Some("7"), (Some("5"), Some("5"))),
        (Some("5"), Some("6"), Some("7"), (Some("5"), Some("6"))),
    ] {
        let mut body = minimal();
        body["mpnId"] = json!(mpn_id);
        body["inviteContext"] = json!({ "invitedMpnId": invited });
        let owner = Party { partner_id: configured.map(str::to_owned), ..contoso() };
        let request = CreateRequest::parse(&body, &WIRE).unwrap();
        let own = request.own_deal(new_ids(), &owner, &WIRE).unwrap();
        assert_eq!((own.mpn_id.as_deref(), own.invite_context.invited_mpn_id.as_deref()), expected);
        body["consent"] = json!({ "consentToToShareInfoWithOthers": true });
        let request = CreateRequest::parse(&body, &WIRE).unwrap();
        let sent = request.connected_referral(new_ids(), &owner, &microsoft(), None, &WIRE).unwrap();
        assert_eq!(
            (sent.mpn_id.as_deref(), sent.invite_context.invited_mpn_id.as_deref()),
            (expected.0, invited)
        );
    }
}

#[test]
fn a_connected_referral_takes_what_is_left_out_from_its_model_and_nothing_else() {
    let model = with(
        &own(&complete()),
        &[
            ("/campaignId", json!("spring")),
            ("/salesStage", json!("60")),
            ("/statusReason", json!("because")),
            ("/favorite", json!(true)),
            ("/target", json!([{ "type": "SolutionProfile", "id": "SOL-1" }])),
            ("/inviteContext/notes", json!("hello")),
            ("/customerProfile/ids", json!([{ "profileType": "Duns", "id": "1" }])),
        ],
    );
    let mut body = minimal();
    body["consent"]["consentToToShareInfoWithOthers"] = json!(true);
    body["details"] = json!({ "dealValue": 7, "requirements": { "services": [] } });
    let request = CreateRequest::parse(&body, &WIRE).unwrap();
    let create = |model: Option<&[u8]>| {
        value(
            &request
                .connected_referral(new_ids(), &microsoft(), &contoso(), model, &WIRE)
                .unwrap()
                .to_document(),
        )
    };
    let model_json = value(&model);
    let mut expected = create(None);
    for name in ["name", "qualification", "team", "customerMarketplaceIntent", "details"] {
        expected[name] = model_json[name].clone();
    }
    for name in ["size", "team", "ids"] {
        expected["customerProfile"][name] = model_json["customerProfile"][name].clone();
    }
    expected["details"]["dealValue"] = json!(7);
    expected["details"]["requirements"]["services"] = json!([]);
    assert_eq!(create(Some(&model)), expected);
    assert_eq!(expected["details"]["requirements"]["products"][0]["id"], "Dynamics365Enterprise");
    assert_eq!(expected["customerProfile"]["address"]["city"], Value::Null, "an address is not inherited");
}

#[test]
fn a_connected_referral_needs_the_consent_to_share() {
    let body = minimal();
    let request = CreateRequest::parse(&body, &WIRE).unwrap();
    let refused = request.connected_referral(new_ids(), &microsoft(), &contoso(), None, &WIRE);
    assert_eq!(refusal_of(refused), "400 invalidValue consent/consentToToShareInfoWithOthers");
    let mut body = minimal();
    body["consent"]["consentToToShareInfoWithOthers"] = json!(true);
    let request = CreateRequest::parse(&body, &WIRE).unwrap();
    let damaged = request.connected_referral(new_ids(), &microsoft(), &contoso(), Some(b"{"), &WIRE);
    assert!(matches!(damaged, Err(DecisionError::Damaged(_))));
}

#[test]
fn the_standing_sent_with_a_connected_referral_is_checked_and_not_applied() {
    // REF-112
    let mut body = minimal();
    body["consent"]["consentToToShareInfoWithOthers"] = json!(true);
    body["status"] = json!("Active");
    body["substatus"] = json!("Accepted");
    let request = CreateRequest::parse(&body, &WIRE).unwrap();
    let referral = request.connected_referral(new_ids(), &microsoft(), &contoso(), None, &WIRE).unwrap();
    assert_eq!(referral.lifecycle_state().to_string(), "New/Pending");
    assert_eq!(referral.accepted_date_time, None);
    assert_eq!(referral.expiration_date_time, Some(instant("2026-03-16T00:00:00Z")));
    assert_eq!(referral.direction.as_str(), "Incoming");
}

#[test]
fn only_location_targets_direct_a_referral() {
    let mut body = minimal();
    body["target"] = json!([
        { "type": "SolutionProfile", "id": "SOL-1" },
        { "type": "businessprofilelocation", "id": "msft" },
        { "id": "x" },
        { "type": "BusinessProfileLocation", "id": "01e2abcd-52b0-4af3-a3ae-1fd1530b3563" },
    ]);
    let request = CreateRequest::parse(&body, &WIRE).unwrap();
    assert_eq!(request.target_locations(), [(1, "msft"), (3, "01e2abcd-52b0-4af3-a3ae-1fd1530b3563")]);
    assert_eq!(CreateRequest::parse(&minimal(), &WIRE).unwrap().target_locations(), []);
}

#[test]
fn an_offer_lead_is_direct_independent_uninvited_and_has_a_source() {
    let lead = stored("get-by-id.response.full.json");
    for (changes, expected) in [
        (vec![], false),
        (vec![("/referralSource", json!("AppSource"))], true),
        (vec![("/callToAction", json!("Contact me"))], true),
        (
            vec![
                ("/callToAction", json!("Contact me")),
                ("/inviteContext/invitedBy/organizationId", json!("msft")),
            ],
            true,
        ),
        (
            vec![
                ("/callToAction", json!("Contact me")),
                ("/inviteContext/invitedBy/organizationId", json!(contoso().id)),
            ],
            false,
        ),
        (vec![("/callToAction", json!("Contact me")), ("/qualification", json!("SalesQualified"))], false),
        (vec![("/callToAction", json!("Contact me")), ("/type", json!("Shared"))], false),
    ] {
        let referral = Referral::from_document(&with(&lead, &changes)).unwrap();
        assert_eq!(referral.is_offer_lead(), expected, "{changes:?}");
    }
}

#[test]
fn team_emails_are_told_once_and_in_lower_case() {
    let mut body = minimal();
    body["team"] = json!([{ "email": "Z@x.example" }, { "email": "" }, {}, { "email": "a@x.example" }, { "email": "z@X.example" }]);
    assert_eq!(create(&body, &WIRE).unwrap().team_emails(), ["a@x.example", "z@x.example"]);
}

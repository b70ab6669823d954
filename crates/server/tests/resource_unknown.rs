//! Members that the contract does not have: ignored as the real service ignores them, named in `x-cosell-hint`, or refused
//! by the switch. Spec 4.2, 5.1.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod resource;
mod support;

use resource::with;
use serde_json::{Value, json};
use support::*;

const HINT: &str = "x-cosell-hint";
/// Stands in every value that is sent; no answer about names may repeat it.
const VALUE: &str = "SECRET-VALUE";

/// A body with an unknown member, and what the hint says of it.
fn unknown_members() -> Vec<(Value, &'static str)> {
    let team = |member: Value| json!({ "team": [member] });
    vec![
        (json!({ "closeDate": VALUE }), "closeDate: unknown"),
        (json!({ "details": { "closeDate": VALUE } }), "details/closeDate: did you mean closingDateTime?"),
        (json!({ "details": { "DEALVALUES": VALUE } }), "details/DEALVALUES: did you mean dealValue?"),
        (json!({ "dealValue": VALUE }), "dealValue: did you mean details/dealValue?"),
        (json!({ "referralType": VALUE }), "referralType: did you mean type?"),
        (json!({ "industry": VALUE }), "industry: did you mean details/requirements/industries?"),
        (team(json!({ "emailAddress": VALUE })), "team/0/emailAddress: did you mean email?"),
        (team(json!({ "EmailAddress": VALUE })), "team/0/EmailAddress: did you mean email?"),
        (team(json!({ "first_name": VALUE })), "team/0/first_name: did you mean firstName?"),
        (
            json!({ "customerProfile": { "name": "Customer", "team": [{}, { "emailAddress": VALUE }] } }),
            "customerProfile/team/1/emailAddress: did you mean email?",
        ),
        (
            json!({ "customerProfile": { "name": "Customer", "address": { "zip": VALUE, "zipCode": VALUE } } }),
            "customerProfile/address/zip: unknown; customerProfile/address/zipCode: unknown",
        ),
        (
            json!({ "consent": { "consentToShareInfoWithOthers": VALUE } }),
            "consent/consentToShareInfoWithOthers: did you mean consentToToShareInfoWithOthers?",
        ),
        (
            json!({ "details": { "requirements": { "solutions": [{ "id": "1", "solutionName": VALUE }] } } }),
            "details/requirements/solutions/0/solutionName: did you mean name?",
        ),
        (json!({ "größe\r\nX-Evil: 1": VALUE }), "gr??e??X-Evil: 1: unknown"),
    ]
}

/// The least that a POST needs, with these members over it.
fn over_the_least(members: &Value) -> Value {
    let mut body = small_deal();
    for (name, value) in members.as_object().unwrap() {
        let place = &mut body[name];
        match (place.as_object_mut(), value.as_object()) {
            (Some(place), Some(value)) => {
                place.extend(value.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            _ => *place = value.clone(),
        }
    }
    body
}

fn assert_hint(answer: &Answer, expected: &str, context: &str) {
    assert_eq!(answer.header(HINT), Some(expected), "{context}");
    assert!(!format!("{:?}", answer.headers).contains(VALUE), "{context}: {:?}", answer.headers);
}

#[tokio::test]
async fn unknown_members_are_ignored_and_named() {
    // REF-094
    for (extended, world) in [(false, World::new().await), (true, World::extended().await)] {
        for (members, hint) in unknown_members() {
            let context = format!("extended: {extended}, {members}");
            let answer = world.contoso().posts(over_the_least(&members)).await.expect(201);
            assert_hint(&answer, hint, &context);
            assert!(!answer.body.to_string().contains(VALUE), "{context}");
            let deal = Deal::of(&answer);

            let answer = world.contoso().puts(&deal.id, "*", members.clone()).await.expect(200);
            assert_hint(&answer, hint, &context);

            if extended {
                let merge = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN);
                let merge = merge.header("Content-Type", "application/merge-patch+json");
                assert_hint(&merge.json(members.clone()).await.expect(204), hint, &context);
            }
            // The values of a JSON Patch, by the path of the operation.
            for (name, value) in members.as_object().unwrap() {
                let known = world.contoso().sees(&deal.id).await.body.get(name).is_some();
                if !known || name == "consent" {
                    continue;
                }
                let operations = json!([{ "op": "replace", "path": format!("/{name}"), "value": value }]);
                let answer = world.contoso().patches(&deal.id, operations).await.expect(204);
                assert_hint(&answer, hint, &context);
            }
        }
    }
}

#[tokio::test]
async fn a_patch_names_what_its_values_and_paths_do_not_hit() {
    // REF-094 REF-193
    for world in [World::new().await, World::extended().await] {
        let deal = world.contoso().own_deal().await;
        let before = world.contoso().sees(&deal.id).await;
        let added = json!([
            { "op": "add", "path": "/team/-", "value": { "emailAddress": VALUE, "firstName": "A" } },
            { "op": "add", "path": "/customerProfile/team/-", "value": { "mail": VALUE } },
            { "op": "replace", "path": "/details/notes", "value": "n", "comment": "operations may have more" },
        ]);
        let answer = world.contoso().patches(&deal.id, added).await.expect(204);
        let hint =
            "team/-/emailAddress: did you mean email?; customerProfile/team/-/mail: did you mean email?";
        assert_hint(&answer, hint, "values");
        assert_ne!(world.contoso().sees(&deal.id).await.etag, before.etag);
        for (path, meant) in [
            ("/details/closeDate", "details/closeDate: did you mean closingDateTime?; "),
            ("/details/dealvalues", "details/dealvalues: did you mean dealValue?; "),
            ("/team/0/emailAddress", "team/0/emailAddress: did you mean email?; "),
            ("/dealValue", "dealValue: did you mean details/dealValue?; "),
        ] {
            let answer = world.contoso().replaces(&deal.id, path, json!(VALUE)).await;
            let answer = answer.refused(400, "invalidRequest", path, "invalidPatch");
            assert!(answer.header(HINT).unwrap().starts_with(meant), "{path}: {:?}", answer.headers);
            assert!(!String::from_utf8_lossy(&answer.bytes).contains(VALUE), "{path}");
        }
    }
}

#[tokio::test]
async fn the_parts_of_a_batch_have_their_hints() {
    // REF-094
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let json_type = json!({ "content-type": "application/json" });
    let body = with(small_deal(), "/team", json!([{ "emailAddress": VALUE }]));
    let patch = json!([{ "op": "replace", "path": "/details", "value": { "closeDate": VALUE } }]);
    let post = |id: &str, body: &Value| json!({ "id": id, "method": "POST", "url": REFERRALS, "headers": json_type, "body": body });
    let mut in_group = post("3", &body);
    in_group["atomicityGroup"] = json!("g");
    let requests = json!([
        post("1", &body),
        { "id": "2", "method": "PATCH", "url": deal.path(), "headers": json_type, "body": patch },
        in_group,
        post("4", &small_deal()),
    ]);
    let batch = world.call("POST", "/v1.0/$batch").as_user(CONTOSO_ADMIN);
    let answer = batch.json(json!({ "requests": requests })).await.expect(200);
    let hints = [
        Some("team/0/emailAddress: did you mean email?"),
        Some("details/closeDate: did you mean closingDateTime?"),
        Some("team/0/emailAddress: did you mean email?"),
        None,
    ];
    for (at, hint) in hints.into_iter().enumerate() {
        let response = &answer.body["responses"][at];
        assert!(response["status"].as_u64().unwrap() < 300, "{response}");
        assert_eq!(response["headers"][HINT].as_str(), hint, "{response}");
    }
    assert!(!answer.body.to_string().contains(VALUE));
}

#[tokio::test]
async fn a_refusal_names_unknown_members_too_for_they_may_be_why() {
    let world = World::new().await;
    let mut body = small_deal();
    body["typ"] = body.as_object_mut().unwrap().shift_remove("type").unwrap();
    let answer = world.contoso().posts(body).await.refused(400, "invalidRequest", "type", "missingProperty");
    assert!(answer.header(HINT).unwrap().starts_with("typ: did you mean type?; "), "{:?}", answer.headers);
    // What only the stored referral shows.
    let closed = world.given("Closed", "Won").await;
    let body = json!({ "name": "N", "details": { "closeDate": VALUE } });
    let answer = world.contoso().puts(&closed.id, "*", body).await.expect(409);
    assert!(answer.header(HINT).unwrap().starts_with("details/closeDate: did you mean closingDateTime?; "));
}

#[tokio::test]
async fn a_repeat_has_the_hint_of_the_first_answer() {
    // REF-050
    let world = World::new().await;
    let body = with(small_deal(), "/closingDate", json!(VALUE));
    let mut hints = Vec::new();
    for _ in 0..2 {
        let call = world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN);
        let call = call.header("request-id", "d0f6a7c5-6d5e-4c3f-9e0a-2a8a5f6b7c8d");
        let answer = call.json(body.clone()).await.expect(201);
        hints.push((answer.text("id"), answer.header(HINT).map(str::to_owned)));
    }
    assert_eq!(hints[0], hints[1]);
    assert_eq!(hints[0].1.as_deref(), Some("closingDate: did you mean details/closingDateTime?"));
}

#[tokio::test]
async fn a_hint_is_short_whatever_is_sent() {
    let world = World::new().await;
    let mut body = small_deal();
    for at in 0..2000 {
        body[format!("{}{at}", "größe ".repeat(30))] = json!(VALUE);
    }
    body["team"] = (0..300).map(|_| json!({ "emailAddress": VALUE })).collect();
    let answer = world.contoso().posts(body).await.expect(201);
    let hint = answer.header(HINT).unwrap();
    assert!(hint.len() <= 1024 && hint.matches(": ").count() <= 8, "{hint}");
    assert!(hint.ends_with(" more") && !hint.contains(VALUE), "{hint}");
}

#[tokio::test]
async fn what_the_contract_has_gets_no_hint() {
    let world = World::extended().await;
    let created = world.contoso().posts(resource::full()).await.expect(201);
    assert_eq!(created.header(HINT), None);
    // What the server prints, annotations and its own members among it, in any case of letters.
    let deal = Deal::of(&created);
    let mut whole = world.contoso().sees(&deal.id).await.body;
    whole.as_object_mut().unwrap().shift_remove("links");
    whole["@odata.etag"] = json!("x");
    whole["team@odata.type"] = json!("#Collection(Cosell.Member)");
    whole["STATUSREASON"] = json!("soon");
    let put = world.contoso().puts(&deal.id, "*", whole).await.expect(200);
    assert_eq!(put.header(HINT), None);
    for name in ["create.partner-led.request.json", "create.shared.request.json"] {
        let answer = world.contoso().posts(example(name)).await.expect(201);
        assert_eq!(answer.header(HINT), None, "{name}");
    }
}

#[tokio::test]
async fn with_reject_unknown_all_of_them_are_in_the_refusal() {
    let world = World::with(|options, policy| {
        options.mode = referral::ApiMode::Extended;
        policy.request_options.mode = referral::ApiMode::Extended;
        policy.request_options.reject_unknown = true;
    })
    .await;
    let deal = world.contoso().creates(small_deal()).await;
    let count = world.count(CONTOSO).await;
    let members = json!({
        "closeDate": VALUE,
        "details": { "closeDate": VALUE, "dealvalues": VALUE },
        "team": [{ "emailAddress": VALUE }],
    });
    let told =
        "details/closeDate: did you mean closingDateTime?; details/dealvalues: did you mean dealValue?; ";
    let merge = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN);
    let merge = merge.header("Content-Type", "application/merge-patch+json");
    for answer in [
        world.contoso().posts(over_the_least(&members)).await,
        world.contoso().puts(&deal.id, "*", members.clone()).await,
        merge.json(members.clone()).await,
    ] {
        let target = answer.body["error"]["target"].as_str().unwrap().to_owned();
        let answer = answer.refused(400, "invalidRequest", &target, "invalidValue");
        let detail = answer.body["error"]["innerError"]["message"].as_str().unwrap();
        assert!(detail.starts_with(&target) && detail.contains(told), "{detail}");
        for name in ["closeDate: unknown", "team/0/emailAddress: did you mean email?"] {
            assert!(detail.contains(name), "{detail}");
            assert!(answer.body["error"]["message"].as_str().unwrap().contains(name));
        }
        assert_eq!(answer.header(HINT), Some(detail));
        assert!(!String::from_utf8_lossy(&answer.bytes).contains(VALUE));
    }
    let operations = json!([
        { "op": "replace", "path": "/name", "value": "x" },
        { "op": "add", "path": "/team/-", "value": { "emailAddress": VALUE } },
        { "op": "replace", "path": "/details", "value": { "closeDate": VALUE } },
    ]);
    let answer = world.contoso().patches(&deal.id, operations).await;
    let answer = answer.refused(400, "invalidRequest", "/team/-", "invalidValue");
    let told = "team/-/emailAddress: did you mean email?; details/closeDate: did you mean closingDateTime?";
    assert_eq!(answer.body["error"]["innerError"]["message"], told);
    // Nothing was written.
    assert_eq!(world.count(CONTOSO).await, count);
    assert_eq!(world.contoso().sees(&deal.id).await.etag, deal.etag);
}

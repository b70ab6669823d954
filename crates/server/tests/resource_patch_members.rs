//! What a JSON Patch may set, and what it may not: scalars, objects, list elements, members of the server.
//! Spec 5.5 and 10 (P7 to P12).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{at, full, least, replace, text_at, with};
use support::{Answer, CONTOSO, CONTOSO_ADMIN, World, member, path, small_deal};

async fn patched(world: &World, id: &str, operations: Value) -> Answer {
    let call =
        world.call("PATCH", &path(id)).as_user(CONTOSO_ADMIN).header("Prefer", "return=representation");
    call.json(operations).await
}

#[tokio::test]
async fn add_and_replace_set_a_known_member_whatever_it_held() {
    // REF-068 REF-087 REF-195 REF-196 REF-197
    let world = World::new().await;
    for body in [least(), full()] {
        let id = world.contoso().creates(body).await.id;
        for op in ["add", "replace"] {
            for (path, value) in [
                ("/name", json!(format!("by {op}"))),
                ("/statusReason", json!(op)),
                ("/details/dealValue", json!(if op == "add" { 5 } else { 6 })),
                (
                    "/details/closingDateTime",
                    json!(if op == "add" { "2027-01-01T00:00:00Z" } else { "2028-01-01T00:00:00Z" }),
                ),
                (
                    "/customerProfile/size",
                    json!(if op == "add" { "1to9employees" } else { "51to250employees" }),
                ),
                ("/customerProfile/address/region", json!(op)),
                ("/favorite", json!(op == "add")),
                ("/details/requirements/products", json!([{ "id": op }])),
                ("/customerMarketplaceIntent", json!(op)),
                ("/name", Value::Null),
            ] {
                let operations = json!([{ "op": op, "path": path, "value": value }]);
                let answer = patched(&world, &id, operations).await.expect(200);
                assert_eq!(at(&answer.body, path), &value, "{op} {path}");
            }
        }
        for (spelt, pointer) in
            [("/Details/DealValue", "/details/dealValue"), ("/DETAILS/DEALVALUE", "/details/dealValue")]
        {
            let value = json!(spelt.len() + usize::from(spelt == "/Details/DealValue"));
            let answer = patched(&world, &id, replace(&[(spelt, value.clone())])).await.expect(200);
            assert_eq!(at(&answer.body, pointer), &value);
        }
    }
}

#[tokio::test]
async fn a_decimal_may_be_a_string() {
    // REF-182
    let world = World::new().await;
    let id = world.contoso().creates(small_deal()).await.id;
    for (sent, kept) in
        [(json!("10000"), "10000"), (json!("0.50"), "0.5"), (json!(7), "7"), (Value::Null, "null")]
    {
        let answer = patched(&world, &id, replace(&[("/details/dealValue", sent)])).await.expect(200);
        assert_eq!(answer.body["details"]["dealValue"].to_string(), kept);
    }
}

#[tokio::test]
async fn list_elements_are_added_and_replaced_by_their_place() {
    // REF-184 REF-194
    let world = World::new().await;
    let id = world.contoso().creates(with(small_deal(), "/team", json!([member("one@x.example")]))).await.id;
    let emails = |answer: &Answer| -> Vec<String> {
        let team = answer.body["team"].as_array().unwrap().iter();
        team.map(|member| member["email"].as_str().unwrap_or("-").to_owned()).collect()
    };
    for (operation, after) in [
        (
            json!({ "op": "add", "path": "/team/-", "value": { "email": "two@x.example" } }),
            vec!["one", "two"],
        ),
        (
            json!({ "op": "add", "path": "/team/0", "value": { "email": "zero@x.example" } }),
            vec!["zero", "one", "two"],
        ),
        (
            json!({ "op": "add", "path": "/team/3", "value": { "email": "end@x.example" } }),
            vec!["zero", "one", "two", "end"],
        ),
        (
            json!({ "op": "replace", "path": "/team/1", "value": { "email": "uno@x.example" } }),
            vec!["zero", "uno", "two", "end"],
        ),
        (
            json!({ "op": "replace", "path": "/Team/2/Email", "value": "dos@x.example" }),
            vec!["zero", "uno", "dos", "end"],
        ),
        (json!({ "op": "add", "path": "/team/2/title", "value": "Dr." }), vec!["zero", "uno", "dos", "end"]),
        (json!({ "op": "replace", "path": "/team", "value": [] }), vec![]),
    ] {
        let answer = patched(&world, &id, json!([operation])).await.expect(200);
        let after: Vec<String> = after.into_iter().map(|name| format!("{name}@x.example")).collect();
        assert_eq!(emails(&answer), after, "{operation}");
    }
    for path in ["/team/0", "/team/1", "/team/0/email", "/customerProfile/team/5/email", "/target/0/id"] {
        let answer = world
            .contoso()
            .patches(&id, json!([{ "op": "replace", "path": path, "value": "a@b.example" }]))
            .await;
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.body["error"]["target"], path);
    }
    let beyond = json!([{ "op": "add", "path": "/team/1", "value": {} }]);
    world.contoso().patches(&id, beyond).await.refused(400, "invalidRequest", "/team/1", "invalidPatch");
    // An element added by one operation is there for the next.
    let both = json!([
        { "op": "add", "path": "/team/-", "value": {} },
        { "op": "replace", "path": "/team/0/email", "value": "late@x.example" },
    ]);
    assert_eq!(emails(&patched(&world, &id, both).await.expect(200)), ["late@x.example"]);
}

#[tokio::test]
async fn members_of_the_server_and_fixed_ones_take_only_their_own_value() {
    // REF-198 REF-200
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let guid = json!("37ef26aa-1d15-4533-9f93-a69bd33ab1e5");
    let time = json!("2001-01-01T00:00:00Z");
    for (path, other) in [
        ("/id", guid.clone()),
        ("/engagementId", guid),
        ("/engagementId", Value::Null),
        ("/eTag", json!("\"2500ec5a-0000-0000-0000-5bf4967d0000\"")),
        ("/createdDateTime", time.clone()),
        ("/updatedDateTime", time.clone()),
        ("/acceptedDateTime", time.clone()),
        ("/closedDateTime", time.clone()),
        ("/expirationDateTime", time),
        ("/organizationId", json!("msft")),
        ("/organizationName", json!("Evil")),
        ("/direction", json!("Incoming")),
        ("/quality", json!("High")),
        ("/isSpam", json!(true)),
        ("/tags", json!(["x"])),
        ("/tags/-", json!("x")),
        ("/registrationStatus", json!("Approved")),
        ("/registrations", json!([{ "id": "x" }])),
        ("/referralSource", json!("AppSource")),
        ("/trackingInfo/microsoftMsxId", json!("x")),
        ("/customerProfile/isMatchingComplete", json!(true)),
        ("/links", json!({})),
        ("/inviteContext/invitedBy", json!({ "organizationId": "msft" })),
        ("/inviteContext/invitedBy", Value::Null),
        ("/inviteContext/invitedBy/organizationId", json!("msft")),
        ("/inviteContext/invitedBy/organizationId", Value::Null),
    ] {
        for op in ["add", "replace"] {
            if op == "replace" && path.ends_with('-') {
                continue;
            }
            let operations = json!([{ "op": op, "path": path, "value": other }]);
            let answer = world.contoso().patches(&deal.id, operations).await;
            assert_eq!(answer.status, 400, "{op} {path}: {}", answer.body);
            answer.refused(400, "invalidRequest", path, "readOnlyProperty");
        }
    }
    for path in [
        "/id",
        "/engagementId",
        "/eTag",
        "/createdDateTime",
        "/updatedDateTime",
        "/organizationId",
        "/organizationName",
        "/direction",
        "/expirationDateTime",
        "/tags",
        "/trackingInfo",
        "/registrations",
        "/inviteContext/invitedBy",
        "/inviteContext",
        "/customerProfile/isMatchingComplete",
        "/quality",
    ] {
        let operations = replace(&[(path, at(&deal.body, path).clone())]);
        world.contoso().patches(&deal.id, operations).await.expect(204);
    }
    for (path, spelt) in [
        ("/id", json!(deal.id.to_uppercase())),
        (
            "/inviteContext/invitedBy",
            json!({ "organizationId": CONTOSO.to_uppercase(), "organizationName": "Any" }),
        ),
        ("/inviteContext/invitedBy/organizationName", json!("Any")),
        ("/createdDateTime", json!("2026-03-02T10:30:00.1234567+01:00")),
    ] {
        world.contoso().patches(&deal.id, replace(&[(path, spelt)])).await.expect(204);
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
    assert_eq!(world.log(CONTOSO).await.len(), 1);
}

#[tokio::test]
async fn an_object_that_is_replaced_keeps_what_is_the_servers() {
    // REF-077
    let world = World::new().await;
    let mut body = full();
    body["consent"]["consentToShareReferralWithMicrosoftSellers"] = false.into();
    let deal = world.contoso().creates(body).await;
    let operations = replace(&[
        ("/inviteContext", json!({ "notes": "Only these" })),
        ("/customerProfile", json!({ "name": "Other" })),
        ("/consent", json!({ "consentToContact": true })),
        ("/details", json!({ "notes": "Only these" })),
    ]);
    let seen = patched(&world, &deal.id, operations).await.expect(200).body;
    let invite = json!({
        "notes": "Only these", "assistanceRequestCode": "Unknown", "invitedMpnId": null,
        "invitedBy": { "organizationId": CONTOSO, "organizationName": "Contoso Company" },
    });
    assert_eq!(seen["inviteContext"], invite);
    assert_eq!(
        (text_at(&seen, "/customerProfile/name"), &seen["customerProfile"]["team"]),
        ("Other", &json!([]))
    );
    assert_eq!(seen["customerProfile"]["isMatchingComplete"], false);
    let consent = json!({
        "consentToToShareInfoWithOthers": false, "consentToContact": true,
        "consentToShareReferralWithMicrosoftSellers": false,
    });
    assert_eq!(seen["consent"], consent);
    assert_eq!(
        (&seen["details"]["dealValue"], &seen["details"]["requirements"]["industries"]),
        (&Value::Null, &json!([]))
    );
    let answer =
        world.contoso().patches(&deal.id, replace(&[("/customerProfile", json!({ "size": "x" }))])).await;
    answer.refused(400, "invalidRequest", "/customerProfile", "missingProperty");
}

//! PATCH with a JSON Patch: rules P1 to P15 of spec 10.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{at, full, least, replace, sends, text, text_at, with};
use support::{Answer, CONTOSO, CONTOSO_ADMIN, Deal, World, example, member, path, small_deal};

async fn patched(world: &World, id: &str, operations: Value) -> Answer {
    let call =
        world.call("PATCH", &path(id)).as_user(CONTOSO_ADMIN).header("Prefer", "return=representation");
    call.json(operations).await
}

#[tokio::test]
async fn the_published_patches_do_what_they_say() {
    // REF-005 REF-150 REF-178 REF-182 REF-183 REF-184 REF-185
    let world = World::new().await;
    for (name, changed) in [
        ("crm-id", vec![("/externalReferenceId", json!("crm-0001"))]),
        (
            "deal-value-and-notes",
            vec![
                ("/details/dealValue", json!(10000)),
                ("/details/notes", json!("Scope confirmed with the customer.")),
            ],
        ),
        ("close-as-won", vec![("/status", json!("Closed")), ("/substatus", json!("Won"))]),
    ] {
        let deal = world.contoso().creates(with(full(), "/externalReferenceId", Value::Null)).await;
        world.clock.advance(60);
        let answer = world
            .contoso()
            .patches(&deal.id, example(&format!("patch.request.{name}.json")))
            .await
            .expect(204);
        let seen = world.contoso().sees(&deal.id).await;
        assert_eq!(answer.header("etag"), Some(seen.etag.as_str()));
        assert_ne!(seen.etag, deal.etag);
        let mut expected = deal.body;
        for (pointer, value) in changed {
            expected = with(expected, pointer, value);
        }
        for stamp in ["eTag", "updatedDateTime", "closedDateTime"] {
            expected[stamp] = seen.body[stamp].clone();
        }
        assert_eq!(seen.body.to_string(), expected.to_string(), "{name}");
    }
    // Those that begin with a New one, or add.
    for (name, status, substatus) in [
        ("accept", "Active", "Accepted"),
        ("decline", "Closed", "Declined"),
        ("close-as-won", "Closed", "Won"),
    ] {
        let deal = world.given("New", "Pending").await;
        world.contoso().patches(&deal.id, example(&format!("patch.request.{name}.json"))).await.expect(204);
        let seen = world.contoso().sees(&deal.id).await.body;
        assert_eq!((text_at(&seen, "/status"), text_at(&seen, "/substatus")), (status, substatus));
    }
    for name in ["add-team-member", "deal-value-and-team-member"] {
        let deal = world.contoso().own_deal().await;
        world.contoso().patches(&deal.id, example(&format!("patch.request.{name}.json"))).await.expect(204);
        let team = world.contoso().sees(&deal.id).await.body["team"].clone();
        assert_eq!(team.as_array().unwrap().len(), 2);
        let jane = json!({
            "firstName": "Jane", "lastName": "Doe", "phoneNumber": "0000000001", "email": "jane.doe@contoso.com",
            "title": null, "contactPreference": { "locale": null, "disableNotifications": null },
        });
        assert_eq!(team[1], jane);
    }
}

#[tokio::test]
async fn the_published_refusals_are_refused_as_published() {
    // REF-186 REF-191
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let answer = world.contoso().patches(&deal.id, example("patch.request.unsupported-remove.json")).await;
    let answer = answer.refused(400, "invalidRequest", "/details/notes", "unsupportedOperation");
    assert!(answer.header("x-cosell-hint").unwrap().contains("replace and add"));
    let published = example("error.400.unsupported-patch-operation.json");
    assert_eq!(answer.body["error"]["target"], published["error"]["target"]);
    let answer = world.contoso().patches(&deal.id, example("patch.request.not-json-patch.json")).await;
    let answer = answer.refused(400, "invalidRequest", "body", "invalidPatch");
    assert!(answer.header("x-cosell-hint").unwrap().contains("JSON Patch array"));
    // The module of deal registration is off: its list is the server's.
    for name in ["register-deal", "update-deal-registration"] {
        world.contoso().patches(&deal.id, example(&format!("patch.request.{name}.json"))).await.expect(400);
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
}

#[tokio::test]
async fn prefer_decides_the_form_of_the_answer() {
    // REF-040 REF-178 REF-179 REF-180 REF-181
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let mut last = deal.etag;
    for (round, (prefer, whole)) in [
        (None, false),
        (Some("return=representation"), true),
        (Some("return=minimal"), false),
        (Some("Return = \"Representation\""), true),
        (Some("respond-async, return=representation"), true),
        (Some("odata.maxpagesize=5"), false),
        (Some("handling=strict; x=y"), false),
    ]
    .into_iter()
    .enumerate()
    {
        let call = world.call("PATCH", &path(&deal.id)).as_user(CONTOSO_ADMIN);
        let call = prefer.into_iter().fold(call, |call, prefer| call.header("Prefer", prefer));
        let answer = call.json(replace(&[("/name", json!(format!("{round}")))])).await;
        let tag = answer.header("etag").unwrap().to_owned();
        assert_ne!(tag, last);
        if whole {
            assert_eq!(answer.status, 200, "{prefer:?}");
            assert_eq!(answer.header("preference-applied"), Some("return=representation"));
            assert_eq!(answer.body["name"], format!("{round}"));
            assert_eq!(answer.text("eTag"), tag);
            assert_eq!(answer.bytes, world.contoso().gets(&deal.id).await.bytes);
        } else {
            assert_eq!((answer.status, answer.bytes.len()), (204, 0), "{prefer:?}");
            assert_eq!(answer.header("preference-applied"), None);
            assert_eq!(answer.header("content-type"), None);
        }
        last = tag;
    }
}

#[tokio::test]
async fn the_published_answer_comes_back() {
    // REF-179 REF-182
    let world = World::new().await;
    let published = example("patch.response.return-representation.json");
    let text = published.to_string().replace("https://api.partner.microsoft.com", support::BASE);
    let published: Value = serde_json::from_str(&text).unwrap();
    let before = with(published.clone(), "/updatedDateTime", json!("2019-02-23T02:05:23.2931817Z"));
    let before = with(before, "/eTag", json!("\"00006d10-0000-0000-0000-5c70aa630000\""));
    let before = with(with(before, "/details/dealValue", json!(1)), "/details/notes", Value::Null);
    let team = before["team"].as_array().unwrap();
    assert_eq!(team.last().unwrap()["email"], "jane.doe@contoso.com");
    let before = with(before.clone(), "/team", json!(team[..team.len() - 1]));
    world.plant_new(before, None).await;
    world.clock.set(text_at(&published, "/updatedDateTime"));
    let mut operations = example("patch.request.deal-value-and-notes.json");
    let added = example("patch.request.add-team-member.json");
    operations.as_array_mut().unwrap().push(added[0].clone());
    let answer = patched(&world, text_at(&published, "/id"), operations).await.expect(200);
    assert_eq!(answer.text("eTag")[24..], text_at(&published, "/eTag")[24..]);
    assert_eq!(answer.body.to_string(), with(published, "/eTag", answer.body["eTag"].clone()).to_string());
}

#[tokio::test]
async fn if_match_is_optional_and_when_there_it_counts() {
    // REF-161 REF-163 REF-189 REF-190
    let world = World::new().await;
    let first = world.contoso().creates(full()).await;
    world.contoso().replaces(&first.id, "/name", json!("Second")).await.expect(204);
    let second = world.contoso().sees(&first.id).await;
    let under = |tag: &str, name: &str| {
        let call = world.call("PATCH", &first.path()).as_user(CONTOSO_ADMIN).header("If-Match", tag);
        call.json(replace(&[("/name", json!(name))]))
    };
    for tag in [first.etag.as_str(), "x", "\"\""] {
        let answer = under(tag, "Third").await.expect(412);
        assert_eq!(answer.body, example("error.412.etag-mismatch.json"));
    }
    assert_eq!(world.contoso().sees(&first.id).await.body, second.body);
    let bare = second.etag.trim_matches('"').to_uppercase();
    under(&format!("W/\"other\", {bare}"), "Third").await.expect(204);
    under("*", "Fourth").await.expect(204);
    assert_eq!(world.contoso().sees(&first.id).await.body["name"], "Fourth");
}

#[tokio::test]
async fn all_operations_apply_or_none() {
    // REF-188
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let before = world.stored_bytes(&deal.id).await;
    let first = json!({ "op": "replace", "path": "/name", "value": "Changed" });
    for second in [
        json!({ "op": "replace", "path": "/details/dealValue", "value": -1 }),
        json!({ "op": "replace", "path": "/nothing", "value": 1 }),
        json!({ "op": "replace", "path": "/team/9/email", "value": "a@b.example" }),
        json!({ "op": "replace", "path": "/engagementId", "value": "37ef26aa-1d15-4533-9f93-a69bd33ab1e5" }),
        json!({ "op": "replace", "path": "/substatus", "value": "Won" }),
        json!({ "op": "replace", "path": "/status", "value": "New" }),
        json!({ "op": "remove", "path": "/details/notes" }),
        json!({ "op": "replace", "path": "/details/notes" }),
    ] {
        for operations in [json!([first, second]), json!([second, first])] {
            let answer = world.contoso().patches(&deal.id, operations).await;
            assert!(matches!(answer.status, 400 | 409), "{second}: {}", answer.status);
        }
    }
    assert_eq!(world.stored_bytes(&deal.id).await, before);
    assert_eq!(world.log(CONTOSO).await.len(), 1);
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

#[tokio::test]
async fn nothing_changed_is_nothing_written() {
    // REF-199 REF-200
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    world.clock.advance(60);
    for operations in [
        json!([]),
        replace(&[("/name", deal.body["name"].clone())]),
        replace(&[("/details/dealValue", json!("50000.2500")), ("/details/currency", json!("usd"))]),
        replace(&[("/name", json!("x")), ("/name", deal.body["name"].clone())]),
        replace(&[("/team", deal.body["team"].clone())]),
    ] {
        let answer = world.contoso().patches(&deal.id, operations.clone()).await.expect(204);
        assert_eq!(answer.header("etag"), Some(deal.etag.as_str()), "{operations}");
        let whole = patched(&world, &deal.id, operations).await.expect(200);
        assert_eq!(whole.body, deal.body);
    }
    assert_eq!(world.log(CONTOSO).await.len(), 1);
}

#[tokio::test]
async fn an_operation_must_be_whole_and_may_hold_more() {
    // REF-201
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    for (operation, target) in [
        (json!({ "op": "replace", "path": "/name" }), "/name"),
        (json!({ "op": "add", "path": "/team/-" }), "/team/-"),
        (json!({ "op": "replace", "value": 1 }), "0/path"),
        (json!({ "path": "/name", "value": 1 }), "0/op"),
        (json!({}), "0/op"),
    ] {
        let answer = world.contoso().patches(&deal.id, json!([operation])).await;
        answer.refused(400, "invalidRequest", target, "invalidPatch");
    }
    let more = json!([{ "op": "replace", "path": "/name", "value": "More", "from": "/x", "comment": 1 }]);
    world.contoso().patches(&deal.id, more).await.expect(204);
    assert_eq!(world.contoso().sees(&deal.id).await.body["name"], "More");
}

#[tokio::test]
async fn unknown_paths_and_referrals_are_told_apart() {
    // REF-193 REF-202 REF-255
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    for path in [
        "/nothing",
        "/details/nothing",
        "/name/first",
        "/team/0/nothing",
        "/details/dealValue/0",
        "/a~1b",
        "/a~0b",
    ] {
        let answer = world.contoso().replaces(&deal.id, path, json!("x")).await;
        answer.refused(400, "invalidRequest", path, "invalidPatch");
    }
    let near = world.contoso().replaces(&deal.id, "/details/dealvalues", json!(1)).await;
    assert!(near.body["error"]["message"].as_str().unwrap().contains("dealValue"), "{}", near.body);
    for id in ["49d90c72-3326-4f61-aacc-2cb57970448c", "no-guid"] {
        let answer = world.contoso().replaces(id, "/name", json!("x")).await;
        answer.refused(404, "itemNotFound", "referral", "");
        // What the request alone shows goes first.
        world.contoso().replaces(id, "/nothing", json!("x")).await.expect(400);
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
}

#[tokio::test]
async fn both_media_types_of_a_patch_are_taken() {
    // REF-192
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    for (media_type, status) in [
        ("application/json", 204),
        ("application/json; charset=utf-8", 204),
        ("application/json-patch+json", 204),
        ("Application/JSON-Patch+JSON; charset=utf-8", 204),
        ("application/merge-patch+json", 415),
        ("text/plain", 415),
        ("application/xml", 415),
    ] {
        let call =
            world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("Content-Type", media_type);
        let answer = call.json(replace(&[("/name", json!(media_type))])).await;
        assert_eq!(answer.status, status, "{media_type}");
        let name = world.contoso().sees(&deal.id).await.body["name"].clone();
        assert_eq!(name == json!(media_type), status == 204);
    }
}

/// The records of the public suite that are switched on, with what they say.
fn suite() -> Vec<Value> {
    let mut records = Vec::new();
    for name in ["tests.json", "spec_tests.json"] {
        let file: Value = serde_json::from_str(&text(&format!("tests/vectors/json-patch/{name}"))).unwrap();
        records.extend(file.as_array().unwrap().iter().filter(|record| record["disabled"] != true).cloned());
    }
    records
}

#[tokio::test]
async fn every_patch_of_the_public_suite_has_its_decided_answer() {
    // REF-193 REF-199
    let add_or_replace = |record: &Value| {
        let mut operations = record["patch"].as_array().unwrap().iter();
        operations.all(|operation| matches!(operation["op"].as_str(), Some("add" | "replace")))
    };
    let documented = suite().into_iter().filter(add_or_replace).count();
    assert_eq!((suite().len(), documented), (108, 61));
    for (world, records) in [
        (World::new().await, suite().into_iter().filter(add_or_replace).collect::<Vec<_>>()),
        (World::new().await, suite()),
        (World::extended().await, suite()),
    ] {
        let deal: Deal = world.contoso().creates(full()).await;
        let before = world.stored_bytes(&deal.id).await;
        for record in records {
            // Their documents are no referrals: only the empty patch is one for a referral.
            let patch = record["patch"].to_string();
            let expected = if record["patch"] == json!([]) { 204 } else { 400 };
            let answer = sends(&world, "PATCH", &deal.id, None, patch.as_bytes()).await;
            assert_eq!(answer.status, expected, "{patch}: {}", answer.body);
            assert_eq!(world.stored_bytes(&deal.id).await, before, "{patch}");
        }
    }
}

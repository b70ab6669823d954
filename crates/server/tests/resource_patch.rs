//! PATCH with a JSON Patch: rules P1 to P15 of spec 10.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{full, replace, sends, text, text_at, with};
use support::{Answer, CONTOSO, CONTOSO_ADMIN, Deal, World, example, path};

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

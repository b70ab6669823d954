//! PATCH beyond the documents: the other operations of RFC 6902 and merge patches, served by the extended
//! temperament and refused with a hint by the strict one; and the object switch.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{at, full, with, without};
use support::{Answer, CONTOSO, CONTOSO_ADMIN, Deal, World, example, member, path};

async fn patched(world: &World, id: &str, operations: Value) -> Answer {
    let call =
        world.call("PATCH", &path(id)).as_user(CONTOSO_ADMIN).header("Prefer", "return=representation");
    call.json(operations).await
}

async fn merged(world: &World, id: &str, body: Value) -> Answer {
    let call =
        world.call("PATCH", &path(id)).as_user(CONTOSO_ADMIN).header("Prefer", "return=representation");
    call.header("Content-Type", "application/merge-patch+json").json(body).await
}

#[tokio::test]
async fn the_strict_temperament_serves_add_and_replace_alone() {
    // REF-186 REF-187
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    for operation in [
        json!({ "op": "remove", "path": "/details/notes" }),
        json!({ "op": "test", "path": "/name", "value": deal.body["name"] }),
        json!({ "op": "move", "from": "/name", "path": "/statusReason" }),
        json!({ "op": "copy", "from": "/name", "path": "/statusReason" }),
        json!({ "op": "Replace", "path": "/name", "value": "x" }),
        json!({ "op": "increment", "path": "/name", "value": "x" }),
        json!({ "op": "", "path": "/name", "value": "x" }),
    ] {
        let sent = operation["path"].as_str().unwrap().to_owned();
        let answer = world.contoso().patches(&deal.id, json!([operation])).await;
        let answer = answer.refused(400, "invalidRequest", &sent, "unsupportedOperation");
        assert!(answer.header("x-cosell-hint").is_some_and(|hint| hint.contains("extended")));
    }
    let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN);
    let answer =
        call.header("Content-Type", "application/merge-patch+json").json(json!({ "name": "x" })).await;
    let answer = answer.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType");
    assert!(answer.header("x-cosell-hint").is_some());
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
}

#[tokio::test]
async fn remove_clears_a_member_and_takes_out_an_element() {
    let world = World::extended().await;
    let deal = world.contoso().creates(full()).await;
    for (path, pointer, left) in [
        ("/name", "/name", Value::Null),
        ("/Details/Notes", "/details/notes", Value::Null),
        ("/details/dealValue", "/details/dealValue", Value::Null),
        ("/favorite", "/favorite", json!(false)),
        ("/customerProfile/address/city", "/customerProfile/address/city", Value::Null),
        ("/consent/consentToContact", "/consent/consentToContact", json!(false)),
        ("/team/0", "/team/0/email", json!("user@contoso.example")),
        ("/team/0/title", "/team/0/title", Value::Null),
        ("/team", "/team", json!([])),
        ("/customerProfile/ids", "/customerProfile/ids", json!([])),
        ("/details/requirements/solutions", "/details/requirements/solutions", json!([])),
    ] {
        assert_ne!(at(&deal.body, pointer), &left, "{pointer} is set before");
        let answer = patched(&world, &deal.id, json!([{ "op": "remove", "path": path }])).await.expect(200);
        assert_eq!(at(&answer.body, pointer), &left, "{path}");
    }
    let before = world.stored_bytes(&deal.id).await;
    for (path, inner) in [
        ("/type", "missingProperty"),
        ("/customerProfile", "missingProperty"),
        ("/customerProfile/name", "missingProperty"),
        ("/consent", "missingProperty"),
        ("/id", "readOnlyProperty"),
        ("/engagementId", "readOnlyProperty"),
        ("/inviteContext/invitedBy", "readOnlyProperty"),
        ("/createdDateTime", "readOnlyProperty"),
        ("/tags", "readOnlyProperty"),
        ("/team/7", "invalidPatch"),
        ("/team/-", "invalidPatch"),
        ("/nothing", "invalidPatch"),
        ("", "invalidPatch"),
    ] {
        let answer = world.contoso().patches(&deal.id, json!([{ "op": "remove", "path": path }])).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
        assert_eq!(answer.body["error"]["innerError"]["code"], inner, "{path}: {}", answer.body);
    }
    assert_eq!(world.stored_bytes(&deal.id).await, before);
}

#[tokio::test]
async fn what_every_referral_has_cannot_be_removed() {
    let world = World::extended().await;
    let deal = world.contoso().creates(full()).await;
    let before = world.stored_bytes(&deal.id).await;
    for path in ["/status", "/substatus"] {
        let answer = world.contoso().patches(&deal.id, json!([{ "op": "remove", "path": path }])).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.body);
    }
    assert_eq!(world.stored_bytes(&deal.id).await, before);
}

#[tokio::test]
async fn test_guards_a_patch_by_value() {
    // REF-188
    let world = World::extended().await;
    let deal = world.contoso().creates(full()).await;
    let guarded = |path: &str, value: Value| {
        json!([
            { "op": "replace", "path": "/name", "value": format!("guarded by {path}") },
            { "op": "test", "path": path, "value": value },
        ])
    };
    for (path, value) in [
        ("/details/dealValue", json!(50000.25)),
        ("/details/dealValue", json!("50000.250")),
        ("/status", json!("Active")),
        ("/closedDateTime", Value::Null),
        ("/id", json!(deal.id)),
        ("/team/0/email", json!("admin@contoso.example")),
        ("/Team/0/Email", json!("admin@contoso.example")),
        ("/details/requirements/products", json!([{ "id": "Azure" }])),
    ] {
        let answer = patched(&world, &deal.id, guarded(path, value)).await.expect(200);
        assert_eq!(answer.body["name"], format!("guarded by {path}"));
    }
    let before = world.stored_bytes(&deal.id).await;
    for (path, value) in [
        ("/details/dealValue", json!(1)),
        ("/status", json!("Closed")),
        ("/team/9", json!({})),
        ("/team/0/email", json!("ADMIN@contoso.example")),
        ("/externalReferenceId", Value::Null),
        ("/details/dealValue", json!("many")),
    ] {
        let answer = world.contoso().patches(&deal.id, guarded(path, value)).await;
        answer.refused(400, "invalidRequest", path, "invalidPatch");
    }
    assert_eq!(world.stored_bytes(&deal.id).await, before);
}

#[tokio::test]
async fn move_and_copy_carry_values_of_a_like_form() {
    let world = World::extended().await;
    let deal = world.contoso().creates(full()).await;
    let copied =
        patched(&world, &deal.id, json!([{ "op": "copy", "from": "/name", "path": "/statusReason" }])).await;
    let copied = copied.expect(200).body;
    assert_eq!((&copied["statusReason"], &copied["name"]), (&json!("Rollout"), &json!("Rollout")));
    let moved =
        patched(&world, &deal.id, json!([{ "op": "move", "from": "/details/notes", "path": "/name" }])).await;
    let moved = moved.expect(200).body;
    assert_eq!((&moved["name"], &moved["details"]["notes"]), (&json!("Notes"), &Value::Null));
    let shifted = json!([
        { "op": "move", "from": "/team/1", "path": "/team/0" },
        { "op": "copy", "from": "/team/0", "path": "/team/-" },
    ]);
    let team = patched(&world, &deal.id, shifted).await.expect(200).body["team"].clone();
    let emails: Vec<&str> =
        team.as_array().unwrap().iter().map(|one| one["email"].as_str().unwrap()).collect();
    assert_eq!(emails, ["user@contoso.example", "admin@contoso.example", "user@contoso.example"]);

    let before = world.stored_bytes(&deal.id).await;
    for (operation, inner) in [
        (json!({ "op": "move", "from": "/id", "path": "/name" }), "readOnlyProperty"),
        (json!({ "op": "copy", "from": "/name", "path": "/id" }), "readOnlyProperty"),
        (json!({ "op": "copy", "from": "/name", "path": "/details/currency" }), "invalidValue"),
        (json!({ "op": "copy", "from": "/name", "path": "/status" }), "invalidValue"),
        (json!({ "op": "copy", "from": "/details", "path": "/name" }), "invalidPatch"),
        (json!({ "op": "copy", "from": "/team", "path": "/team/0" }), "invalidPatch"),
        (json!({ "op": "copy", "from": "/team/9", "path": "/team/0" }), "invalidPatch"),
        (json!({ "op": "copy", "path": "/team/0" }), "invalidPatch"),
        (json!({ "op": "move", "from": "/customerProfile/name", "path": "/name" }), "missingProperty"),
    ] {
        let answer = world.contoso().patches(&deal.id, json!([operation])).await;
        assert_eq!(answer.status, 400, "{operation}: {}", answer.body);
        assert_eq!(answer.body["error"]["innerError"]["code"], inner, "{operation}: {}", answer.body);
    }
    assert_eq!(world.stored_bytes(&deal.id).await, before);
    // Doubling a list again and again ends at the limit of operations, not of memory.
    let doubled: Value =
        (0..1000).map(|_| json!({ "op": "copy", "from": "/team/0", "path": "/team/-" })).collect();
    world.contoso().patches(&deal.id, doubled).await.expect(204);
}

#[tokio::test]
async fn a_merge_patch_lays_an_object_over_the_referral() {
    let world = World::extended().await;
    let deal = world.contoso().creates(full()).await;
    let body = json!({
        "Name": "Merged", "externalReferenceId": null, "unknown": 1,
        "details": { "dealValue": "75000", "notes": null, "requirements": { "products": [{ "id": "Office" }] } },
        "team": [{ "email": "only@x.example" }], "consent": { "consentToContact": null },
    });
    let seen = merged(&world, &deal.id, body).await.expect(200).body;
    let mut expected = with(deal.body.clone(), "/name", json!("Merged"));
    for (pointer, value) in [
        ("/externalReferenceId", Value::Null),
        ("/details/dealValue", json!(75000)),
        ("/details/notes", Value::Null),
        ("/details/requirements/products", json!([{ "id": "Office" }])),
        ("/consent/consentToContact", json!(false)),
        ("/team", seen["team"].clone()),
        ("/eTag", seen["eTag"].clone()),
        ("/updatedDateTime", seen["updatedDateTime"].clone()),
    ] {
        expected = with(expected, pointer, value);
    }
    assert_eq!(seen.to_string(), expected.to_string());
    assert_eq!(seen["team"].as_array().unwrap().len(), 1);
    let before = world.stored_bytes(&deal.id).await;
    for (body, target, inner) in [
        (json!([]), "body", "invalidValue"),
        (json!({ "id": "4111fffc-f9ee-4d53-bba6-569135228642" }), "id", "readOnlyProperty"),
        (json!({ "createdDateTime": null }), "createdDateTime", "readOnlyProperty"),
        (json!({ "engagementId": null }), "engagementId", "readOnlyProperty"),
        (json!({ "type": null }), "type", "invalidValue"),
        (json!({ "details": { "dealValue": -1 } }), "details/dealValue", "invalidValue"),
        (json!({ "links": {} }), "links", "readOnlyProperty"),
    ] {
        merged(&world, &deal.id, body).await.refused(400, "invalidRequest", target, inner);
    }
    merged(&world, &deal.id, json!({ "substatus": "Won" })).await.expect(400);
    merged(&world, &deal.id, json!({ "status": "New" })).await.expect(409);
    merged(&world, &deal.id, json!({})).await.expect(200);
    assert_eq!(world.stored_bytes(&deal.id).await, before);
    // What was read and merged back changes nothing.
    let read = without(world.contoso().sees(&deal.id).await.body, "/links");
    merged(&world, &deal.id, read).await.expect(200);
    assert_eq!(world.stored_bytes(&deal.id).await, before);
}

#[tokio::test]
async fn copies_are_bounded_by_what_they_make_together() {
    let world = World::extended().await;
    let person =
        |number: usize| json!({ "firstName": "f".repeat(200), "email": format!("p{number}@x.example") });
    let mut team: Vec<Value> = (0..300).map(person).collect();
    team.push(member("admin@contoso.example"));
    let deal = world.contoso().creates(with(full(), "/team", json!(team))).await;
    let copies = |count| {
        let copy = json!({ "op": "copy", "from": "/team", "path": "/customerProfile/team" });
        let mut operations = vec![copy; count];
        operations.push(json!({ "op": "replace", "path": "/customerProfile/team", "value": [] }));
        json!(operations)
    };
    world.contoso().patches(&deal.id, copies(5)).await.expect(204);
    let before = world.stored_bytes(&deal.id).await;
    let answer = world.contoso().patches(&deal.id, copies(100)).await;
    let answer = answer.refused(400, "invalidRequest", "/customerProfile/team", "invalidPatch");
    assert!(answer.body["error"]["message"].as_str().unwrap().contains("copies too much"), "{}", answer.body);
    assert_eq!(world.stored_bytes(&deal.id).await, before);
}

#[tokio::test]
async fn the_object_switch_takes_plain_objects_with_the_plain_media_type() {
    // REF-191 REF-295
    let object = example("patch.request.not-json-patch.json");
    let world = World::with(|options, _| options.object_patch = true).await;
    let deal = world.contoso().creates(full()).await;
    let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("If-Match", &deal.etag);
    let answer = call.header("Prefer", "return=representation").json(object.clone()).await.expect(200);
    assert_eq!(answer.header("preference-applied"), Some("return=representation"));
    assert_eq!(answer.body["details"]["dealValue"], 75000);
    assert_eq!(answer.body["details"]["notes"], "Plain object instead of an operation array.");
    assert_eq!(answer.body["details"]["currency"], "USD");
    let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("If-Match", &deal.etag);
    call.json(object.clone()).await.refused(412, "preconditionFailed", "ETag", "99918");
    // Arrays are patches as ever, and the patch media type takes nothing else.
    world.contoso().replaces(&deal.id, "/name", json!("By array")).await.expect(204);
    let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN);
    let answer = call.header("Content-Type", "application/json-patch+json").json(object.clone()).await;
    answer.refused(400, "invalidRequest", "body", "invalidPatch");
    // Off by default, in the extended temperament too.
    for world in [World::new().await, World::extended().await] {
        let deal: Deal = world.contoso().creates(full()).await;
        let answer = world.contoso().patches(&deal.id, object.clone()).await;
        answer.refused(400, "invalidRequest", "body", "invalidPatch");
        assert_eq!(world.log(CONTOSO).await.len(), 1);
    }
}

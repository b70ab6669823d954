//! PUT, obsolete and still working: rules U1 to U13 of spec 9.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{at, full, least, sends, text_at, with, without};
use support::{
    BASE, CONTOSO, CONTOSO_ADMIN, CONTOSO_LOCATION, CONTOSO_USER, World, example, instant, invitation, path,
};

/// What a client that read the referral sends back: everything but the links.
fn sendable(read: &Value) -> Value {
    without(read.clone(), "/links")
}

#[tokio::test]
async fn a_put_answers_with_the_whole_referral_anew() {
    // REF-004 REF-167 REF-168 REF-173 REF-176 REF-177
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    world.clock.advance(60);
    let body = json!({
        "status": "Closed", "substatus": "Won", "statusReason": "Signed.",
        "details": { "dealValue": 75000, "closingDateTime": "2026-07-01T00:00:00Z" },
    });
    let answer = world.contoso().puts(&deal.id, &deal.etag, body.clone()).await.expect(200);
    assert_eq!(answer.header("etag"), Some(answer.text("eTag").as_str()));
    assert_ne!(answer.text("eTag"), deal.etag);
    assert_eq!(instant(&answer.text("updatedDateTime")), world.clock.time());
    assert_eq!(answer.body["createdDateTime"], deal.body["createdDateTime"]);
    resource::assert_holds(&answer.body, &body, "");
    assert_eq!(answer.text("organizationId"), CONTOSO);
    assert_eq!(answer.text("organizationName"), "Contoso Company");
    assert_eq!(text_at(&answer.body, "/links/self/uri"), format!("{BASE}{}", deal.path()));
    assert_eq!(world.contoso().sees(&deal.id).await.body, answer.body);
    // It is marked obsolete, with where to read on.
    assert_eq!(answer.header("deprecation"), Some("@1601424000"));
    assert!(answer.header("link").unwrap().contains("/docs/patch>; rel=\"successor-version\""));

    // The tag of the answer is good for the next one.
    let again =
        world.contoso().puts(&deal.id, &answer.text("eTag"), json!({ "favorite": false })).await.expect(200);
    assert_ne!(again.text("eTag"), answer.text("eTag"));
}

#[tokio::test]
async fn without_if_match_nothing_is_written() {
    // REF-158
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    // The tag in the body is no substitute.
    for body in [json!({ "name": "x" }), json!({ "name": "x", "eTag": deal.etag })] {
        let answer = world.call("PUT", &deal.path()).as_user(CONTOSO_ADMIN).json(body).await;
        let answer = answer.refused(400, "invalidRequest", "If-Match", "missingHeader");
        let published = example("error.400.if-match-required.json");
        assert_eq!(answer.body["error"]["code"], published["error"]["code"]);
        assert_eq!(answer.body["error"]["target"], published["error"]["target"]);
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
}

#[tokio::test]
async fn a_stale_tag_gets_412_as_captured_and_changes_nothing() {
    // REF-159 REF-160
    let world = World::new().await;
    let first = world.contoso().creates(full()).await;
    let second = world.contoso().puts(&first.id, &first.etag, json!({ "name": "Second" })).await.expect(200);
    let before = world.stored_bytes(&first.id).await;
    for tag in [
        first.etag.as_str(),
        "\"2500ec5a-0000-0000-0000-5bf4967d0000\"",
        "\"\"",
        "x",
        "W/\"datetime'2024-01-01'\"",
        "\"*\"",
    ] {
        // U5: the body's tag is not compared, so it saves nothing.
        let body = json!({ "name": "Third", "eTag": second.text("eTag") });
        let answer = world.contoso().puts(&first.id, tag, body).await.expect(412);
        assert_eq!(answer.body, example("error.412.etag-mismatch.json"), "{tag}");
    }
    assert_eq!(world.stored_bytes(&first.id).await, before);
    assert_eq!(world.contoso().gets(&first.id).await.bytes, second.bytes);
}

#[tokio::test]
async fn a_tag_is_compared_leniently() {
    // REF-161 REF-162 REF-163
    let world = World::new().await;
    let mut deal = world.contoso().creates(full()).await;
    let bare = |tag: &str| tag.trim_matches('"').to_owned();
    let spellings: [fn(&str, &str) -> String; 8] = [
        |quoted, _| quoted.to_owned(),
        |_, bare| bare.to_owned(),
        |quoted, _| format!("W/{quoted}"),
        |_, bare| format!("W/{bare}"),
        |quoted, _| quoted.to_uppercase(),
        |quoted, _| format!("\"other\", {quoted}"),
        |_, bare| format!("x,y , {bare}"),
        |_, _| "*".to_owned(),
    ];
    for (round, spelt) in spellings.into_iter().enumerate() {
        let tag = spelt(&deal.etag, &bare(&deal.etag));
        let body = json!({ "name": format!("Round {round}") });
        let answer = world.contoso().puts(&deal.id, &tag, body).await;
        assert_eq!(answer.status, 200, "{tag}: {}", answer.body);
        deal = support::Deal::of(&answer);
    }
}

#[tokio::test]
async fn the_body_tag_is_not_compared_when_the_header_matches() {
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let body = json!({ "eTag": "\"2500ec5a-0000-0000-0000-5bf4967d0000\"", "name": "New" });
    let answer = world.contoso().puts(&deal.id, &deal.etag, body).await.expect(200);
    assert_ne!(answer.text("eTag"), "\"2500ec5a-0000-0000-0000-5bf4967d0000\"");
    world.contoso().puts(&deal.id, "*", json!({ "eTag": 5, "name": "Newer" })).await.expect(200);
}

#[tokio::test]
async fn links_and_another_id_in_the_body_are_refused() {
    // REF-164 REF-165 REF-166
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    for links in [deal.body["links"].clone(), json!({}), Value::Null] {
        for name in ["links", "Links"] {
            let body = with(json!({ "name": "x" }), &format!("/{name}"), links.clone());
            let answer = world.contoso().puts(&deal.id, "*", body).await;
            answer.refused(400, "invalidRequest", "links", "readOnlyProperty");
        }
    }
    for id in [json!("4111fffc-f9ee-4d53-bba6-569135228642"), json!("x"), json!(5), Value::Null] {
        let answer = world.contoso().puts(&deal.id, "*", json!({ "id": id })).await;
        answer.refused(400, "invalidRequest", "id", "readOnlyProperty");
    }
    assert_eq!(world.contoso().sees(&deal.id).await.etag, deal.etag);
    for (body, name) in [
        (json!({ "name": "without" }), "without"),
        (json!({ "id": deal.id, "name": "with" }), "with"),
        (json!({ "id": deal.id.to_uppercase(), "name": "upper" }), "upper"),
    ] {
        let answer = world.contoso().puts(&deal.id, "*", body).await.expect(200);
        assert_eq!((answer.text("id"), answer.text("name")), (deal.id.clone(), name.to_owned()));
    }
}

#[tokio::test]
async fn members_of_the_server_are_tolerated_and_not_applied() {
    // REF-168 REF-169
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let others = json!({
        "@odata.context": "x", "organizationId": "msft", "organizationName": "Evil",
        "createdDateTime": "2001-01-01T00:00:00Z", "updatedDateTime": "2001-01-01T00:00:00Z",
        "expirationDateTime": "2001-01-01T00:00:00Z", "acceptedDateTime": "never", "closedDateTime": null,
        "direction": "Incoming", "quality": 7, "isSpam": true, "tags": "x", "registrationStatus": "Approved",
        "registrations": [{ "id": "x" }], "trackingInfo": { "microsoftMsxId": "x" }, "referralSource": "x",
        "callToAction": "x", "dealSensitivity": "x", "createdVia": "x", "lastRunId": "x",
        "customerProfile": { "isMatchingComplete": true },
        "details": { "requirements": { "offers": [1], "salesPlays": [2] } },
        "inviteContext": { "invitedBy": { "organizationName": "Evil" } },
    });
    let answer = world.contoso().puts(&deal.id, &deal.etag, others.clone()).await.expect(200);
    assert_eq!(answer.body, deal.body, "nothing to apply is nothing to write");
    let answer =
        world.contoso().puts(&deal.id, &deal.etag, with(others, "/name", json!("New"))).await.expect(200);
    let mut expected = with(deal.body, "/name", json!("New"));
    for member in ["eTag", "updatedDateTime"] {
        assert_ne!(answer.body[member], expected[member]);
        expected[member] = answer.body[member].clone();
    }
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn what_is_fixed_for_ever_is_refused_and_its_equal_passed_over() {
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let other = json!("37ef26aa-1d15-4533-9f93-a69bd33ab1e5");
    for (pointer, value, target) in [
        ("/engagementId", other.clone(), "engagementId"),
        ("/engagementId", Value::Null, "engagementId"),
        ("/inviteContext/invitedBy/organizationId", json!("msft"), "inviteContext/invitedBy/organizationId"),
        ("/inviteContext/invitedBy/organizationId", Value::Null, "inviteContext/invitedBy/organizationId"),
        ("/inviteContext/invitedBy", Value::Null, "inviteContext/invitedBy/organizationId"),
    ] {
        let answer = world.contoso().puts(&deal.id, "*", with(json!({ "name": "x" }), pointer, value)).await;
        answer.refused(400, "invalidRequest", target, "readOnlyProperty");
    }
    for (pointer, value) in [
        ("/engagementId", json!(deal.engagement.to_uppercase())),
        ("/inviteContext/invitedBy/organizationId", json!(CONTOSO.to_uppercase())),
        ("/inviteContext/invitedBy", json!({ "organizationId": CONTOSO, "organizationName": "Any" })),
        ("/inviteContext/invitedBy", json!({})),
    ] {
        let answer = world.contoso().puts(&deal.id, "*", with(json!({}), pointer, value)).await.expect(200);
        assert_eq!(answer.body, deal.body, "{pointer}");
    }
}

#[tokio::test]
async fn absent_members_keep_their_value_at_every_depth() {
    // REF-170
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let mut expected = deal.body;
    for (pointer, value) in [
        ("/name", json!("New")),
        ("/details/notes", json!("New")),
        ("/details/requirements/additionalRequirements/iot/siliconType", json!("New")),
        ("/customerProfile/address/city", json!("New")),
        ("/consent/consentToContact", json!(false)),
        ("/inviteContext/notes", json!("New")),
        ("/customerProfile/size", json!("51to250employees")),
        ("/target", json!([{ "type": "SolutionProfile", "id": "New" }])),
    ] {
        let answer =
            world.contoso().puts(&deal.id, "*", with(json!({}), pointer, value.clone())).await.expect(200);
        expected = with(expected, pointer, value);
        for stamp in ["updatedDateTime", "eTag"] {
            expected[stamp] = answer.body[stamp].clone();
        }
        assert_eq!(answer.body, expected, "{pointer}");
    }
}

#[tokio::test]
async fn an_array_replaces_the_whole_array() {
    // REF-171
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    for (pointer, sent, kept) in [
        ("/team", json!([{ "email": "only@x.example" }]), 1),
        ("/team", json!([]), 0),
        ("/customerProfile/team", json!([{ "firstName": "A" }, {}, {}]), 3),
        ("/customerProfile/ids", json!([{ "profileType": "External", "id": "1" }]), 1),
        ("/details/requirements/solutions", json!([{ "id": "a" }, { "id": "b" }]), 2),
        ("/details/requirements/additionalRequirements/attributes", json!([]), 0),
        ("/target", json!([]), 0),
    ] {
        let answer =
            world.contoso().puts(&deal.id, "*", with(json!({}), pointer, sent.clone())).await.expect(200);
        let list = at(&answer.body, pointer);
        assert_eq!(list.as_array().unwrap().len(), kept, "{pointer}");
        resource::assert_holds(list, &sent, pointer);
    }
    let answer = world.contoso().sees(&deal.id).await.body;
    // Nothing of an element that was there before shines through.
    assert_eq!(text_at(&answer, "/details/requirements/solutions/0/id"), "a");
    assert_eq!(at(&answer, "/details/requirements/solutions/0/price"), &Value::Null);
}

#[tokio::test]
async fn null_clears_what_can_be_cleared_and_is_refused_elsewhere() {
    let world = World::new().await;
    let deal = world
        .contoso()
        .creates(with(full(), "/consent/consentToShareReferralWithMicrosoftSellers", json!(false)))
        .await;
    for (pointer, cleared) in [
        ("/name", Value::Null),
        ("/externalReferenceId", Value::Null),
        ("/statusReason", Value::Null),
        ("/campaignId", Value::Null),
        ("/salesStage", Value::Null),
        ("/mpnId", Value::Null),
        ("/customerMarketplaceIntent", Value::Null),
        ("/details/dealValue", Value::Null),
        ("/details/currency", Value::Null),
        ("/details/closingDateTime", Value::Null),
        ("/details/customerRequestedContact", Value::Null),
        ("/customerProfile/size", Value::Null),
        ("/customerProfile/address/country", Value::Null),
        ("/inviteContext/notes", Value::Null),
        ("/inviteContext/invitedMpnId", Value::Null),
        ("/favorite", json!(false)),
        ("/consent/consentToContact", json!(false)),
        ("/consent/consentToToShareInfoWithOthers", json!(false)),
        ("/team", json!([])),
        ("/target", json!([])),
        ("/customerProfile/ids", json!([])),
        ("/customerProfile/team", json!([])),
        ("/details/requirements/industries", json!([])),
    ] {
        assert_ne!(at(&deal.body, pointer), &cleared, "{pointer} is set before");
        let answer =
            world.contoso().puts(&deal.id, "*", with(json!({}), pointer, Value::Null)).await.expect(200);
        assert_eq!(at(&answer.body, pointer), &cleared, "{pointer}");
    }
    let after = world.contoso().sees(&deal.id).await;
    for pointer in [
        "/type",
        "/status",
        "/substatus",
        "/qualification",
        "/customerProfile",
        "/customerProfile/name",
        "/customerProfile/address",
        "/consent",
        "/details",
        "/details/requirements",
        "/inviteContext",
        "/inviteContext/assistanceRequestCode",
    ] {
        let answer = world.contoso().puts(&deal.id, "*", with(json!({}), pointer, Value::Null)).await;
        answer.refused(400, "invalidRequest", &pointer[1..], "invalidValue");
    }
    assert_eq!(world.contoso().sees(&deal.id).await.body, after.body);
}

#[tokio::test]
async fn what_was_read_and_sent_back_changes_nothing() {
    // REF-166 REF-200
    let world = World::new().await;
    let lead = world.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
    for id in [lead.id, world.contoso().creates(full()).await.id, world.contoso().creates(least()).await.id] {
        let read = world.contoso().gets(&id).await;
        world.clock.advance(60);
        let answer = world.contoso().puts(&id, &read.text("eTag"), sendable(&read.body)).await.expect(200);
        assert_eq!(answer.bytes, read.bytes);
        // Equal by value is equal: other spellings of the same change nothing either.
        let spelt = json!({ "details": { "currency": "usd" }, "status": read.text("status").to_lowercase() });
        let spelt = if read.body["details"]["currency"].is_null() { json!({}) } else { spelt };
        assert_eq!(world.contoso().puts(&id, "*", spelt).await.expect(200).bytes, read.bytes);
    }
    assert_eq!(world.log(CONTOSO).await.len(), 3);
}

#[tokio::test]
async fn an_unknown_id_is_404_and_nothing_comes_to_be() {
    // REF-174 REF-255
    let world = World::new().await;
    world.contoso().own_deal().await;
    for id in ["49d90c72-3326-4f61-aacc-2cb57970448c", "no-guid"] {
        for tag in ["*", "\"2500ec5a-0000-0000-0000-5bf4967d0000\""] {
            let answer = world.contoso().puts(id, tag, json!({ "name": "x" })).await;
            answer.refused(404, "itemNotFound", "referral", "");
        }
    }
    assert_eq!(world.count(CONTOSO).await, 1);
    // What the request alone shows is told before.
    let unknown = "49d90c72-3326-4f61-aacc-2cb57970448c";
    for id in [unknown, "no-guid"] {
        let answer = world.call("PUT", &path(id)).as_user(CONTOSO_ADMIN).json(json!({})).await;
        answer.refused(400, "invalidRequest", "If-Match", "missingHeader");
        let answer = world.contoso().puts(id, "*", json!({ "links": {} })).await;
        answer.refused(400, "invalidRequest", "links", "readOnlyProperty");
        let answer = world.contoso().puts(id, "*", json!({ "type": "x" })).await;
        answer.refused(400, "invalidRequest", "type", "invalidValue");
    }
}

#[tokio::test]
async fn only_who_reaches_a_referral_replaces_it() {
    // REF-023 REF-026 REF-029
    let world = World::new().await;
    let deal = world.contoso().creates(full()).await;
    let mine =
        world.contoso().creates(with(full(), "/team", json!([{ "email": "nobody@else.example" }]))).await;
    // The tag is looked at after the right.
    for tag in [&mine.etag, "\"stale\""] {
        let answer = world.person(CONTOSO_USER).puts(&mine.id, tag, json!({ "name": "x" })).await;
        answer.refused(403, "accessDenied", "referral", "notOnTeam");
    }
    world.person(CONTOSO_USER).puts(&deal.id, "*", json!({ "name": "By the user" })).await.expect(200);
    let answer = world.northwind().puts(&deal.id, &deal.etag, json!({ "name": "x" })).await;
    answer.refused(404, "itemNotFound", "referral", "");
    let answer = world.microsoft().puts(&deal.id, &deal.etag, json!({ "name": "x" })).await;
    answer.refused(403, "accessDenied", "referral", "notOwner");
}

#[tokio::test]
async fn the_published_put_closes_a_matching_referral() {
    // REF-172 REF-175
    let world = World::new().await;
    let published = example("put.response.json");
    let mut stored = with(published.clone(), "/status", json!("Active"));
    for (pointer, value) in [
        ("/substatus", json!("Accepted")),
        ("/statusReason", Value::Null),
        ("/closedDateTime", Value::Null),
        ("/updatedDateTime", json!("2018-11-06T18:41:10.1Z")),
        ("/eTag", json!("\"2500ec5a-0000-0000-0000-5bf4967d0000\"")),
    ] {
        stored = with(stored, pointer, value);
    }
    world.clock.set(text_at(&published, "/updatedDateTime"));
    world.plant_new(stored, None).await;
    let id = text_at(&published, "/id");
    // The connector writes the id of its lead first; its body carries the tag it read.
    let connector = example("put.request.crm-connector-writes-lead-id.json");
    let linked =
        world.contoso().puts(id, "\"2500ec5a-0000-0000-0000-5bf4967d0000\"", connector).await.expect(200);
    assert_eq!(linked.text("externalReferenceId"), "b8a1c7d2-0000-4000-8000-000000000001");
    world.contoso().puts(id, &linked.text("eTag"), json!({ "externalReferenceId": null })).await.expect(200);
    let tag = world.contoso().sees(id).await.etag;
    let body = resource::text("docs/examples/put.request.trailing-comma.txt");
    let answer = sends(&world, "PUT", id, Some(&tag), body.as_bytes()).await.expect(200);
    let mut expected: Value =
        serde_json::from_str(&published.to_string().replace("https://api.partner.microsoft.com", BASE))
            .unwrap();
    for member in ["eTag", "updatedDateTime", "closedDateTime"] {
        // Two writes came before, a tick apart, as the clock stands.
        expected[member] = answer.body[member].clone();
    }
    assert_eq!(answer.body.to_string(), expected.to_string());
}

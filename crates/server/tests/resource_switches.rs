//! The switches about how bodies are read and answers written (spec 15), each against its default.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::json;

use resource::{replace, sends, with};
use support::{BASE, World, small_deal};

const TRAILING_COMMA: &str = r#"{ "name": "With a comma", "team": [ {}, ], }"#;

#[tokio::test]
async fn a_trailing_comma_is_passed_over_by_default() {
    // REF-095
    let world = World::new().await;
    let id = world.contoso().creates(small_deal()).await.id;
    let put = sends(&world, "PUT", &id, Some("*"), TRAILING_COMMA.as_bytes()).await.expect(200);
    assert_eq!((&put.body["name"], put.body["team"].as_array().unwrap().len()), (&json!("With a comma"), 1));
    let body = small_deal().to_string().replace(r#""details":{}"#, r#""details":{"notes":"n",},"#);
    assert_eq!(
        sends(&world, "POST", "", None, body.as_bytes()).await.expect(201).body["details"]["notes"],
        "n"
    );
    let patch = r#"[{ "op": "replace", "path": "/name", "value": "Patched", }, ]"#;
    sends(&world, "PATCH", &id, None, patch.as_bytes()).await.expect(204);
    assert_eq!(world.contoso().sees(&id).await.body["name"], "Patched");
}

#[tokio::test]
async fn with_tolerant_json_off_a_trailing_comma_is_malformed() {
    // REF-095 REF-096
    let world = World::with(|options, _| options.tolerant_json = false).await;
    let deal = world.contoso().creates(small_deal()).await;
    for method in ["POST", "PUT", "PATCH"] {
        let answer = sends(&world, method, &deal.id, Some("*"), TRAILING_COMMA.as_bytes()).await;
        answer.refused(400, "invalidRequest", "body", "malformedJson");
    }
    assert_eq!(world.contoso().sees(&deal.id).await.etag, deal.etag);
}

#[tokio::test]
async fn unknown_members_are_passed_over_by_default() {
    // REF-094
    let world = World::new().await;
    let body = with(small_deal(), "/closeDate", json!("2026-01-01"));
    let body = with(body, "/details/industry", json!("Retail"));
    let body = with(body, "/team", json!([{ "emailAddress": "a@b.example", "email": "c@d.example" }]));
    let deal = world.contoso().creates(body).await;
    assert!(deal.body.get("closeDate").is_none());
    assert!(deal.body["details"].get("industry").is_none());
    assert!(deal.body["team"][0].get("emailAddress").is_none());
    let put = world.contoso().puts(&deal.id, "*", json!({ "referralType": "Shared" })).await.expect(200);
    assert_eq!(put.body["type"], "Independent", "the tables' name is no alias");
    assert_eq!(put.text("eTag"), deal.etag);
}

#[tokio::test]
async fn with_reject_unknown_on_an_unknown_member_is_named() {
    let world = World::with(|_, policy| policy.request_options.reject_unknown = true).await;
    let deal = world.contoso().creates(small_deal()).await;
    for (pointer, target) in [
        ("/closeDate", "closeDate"),
        ("/details/industry", "details/industry"),
        ("/consent/consentToShareInfoWithOthers", "consent/consentToShareInfoWithOthers"),
    ] {
        let body = with(small_deal(), pointer, json!("x"));
        let answer = world.contoso().posts(body.clone()).await;
        answer.refused(400, "invalidRequest", target, "invalidValue");
        let answer = world.contoso().puts(&deal.id, "*", body).await;
        answer.refused(400, "invalidRequest", target, "invalidValue");
    }
    let answer =
        world.contoso().patches(&deal.id, replace(&[("/team", json!([{ "mail": "a@b.example" }]))])).await;
    answer.refused(400, "invalidRequest", "/team", "invalidValue");
    // What the server itself prints is never unknown.
    let mut whole = world.contoso().sees(&deal.id).await.body;
    whole.as_object_mut().unwrap().shift_remove("links");
    world.contoso().puts(&deal.id, "*", whole).await.expect(200);
    assert_eq!(world.contoso().sees(&deal.id).await.etag, deal.etag);
}

#[tokio::test]
async fn the_published_misspelling_of_the_context_can_be_had() {
    // REF-061
    let world = World::with(|options, _| options.misspelt_context = true).await;
    let deal = world.contoso().creates(small_deal()).await;
    let context = format!("{BASE}/v1.0/engagments/referrals/$metadata#Referrals/$entity");
    assert_eq!(deal.body["@odata.context"], context);
    let own = format!("{BASE}/v1.0/engagements/referrals/{}", deal.id);
    assert_eq!(deal.body["links"]["self"]["uri"], own, "the links stay right");
}

#[tokio::test]
async fn links_in_put_are_passed_over_where_the_switch_says_so() {
    // REF-164
    let world = World::with(|_, policy| policy.request_options.ignore_links = true).await;
    let deal = world.contoso().creates(small_deal()).await;
    let body = with(deal.body, "/name", json!("Whole"));
    let put = world.contoso().puts(&deal.id, &deal.etag, body).await.expect(200);
    assert_eq!(put.body["name"], "Whole");
    assert_eq!(put.body["links"]["self"]["method"], "GET");
}

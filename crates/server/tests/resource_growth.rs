//! How long a referral may become, and how much work a short request may ask for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use resource::{full, replace, text_at, with};
use support::{CONTOSO_ADMIN, FABRIKAM_LOCATION, REFERRALS, World, deal, invitation};

/// So many empty people fill a document nearly to its limit: each is some 144 bytes of nulls.
const MANY: usize = 7_000;

fn people(count: usize) -> Value {
    json!(vec![json!({}); count])
}

fn appending(count: usize) -> Value {
    json!(vec![json!({ "op": "add", "path": "/team/-", "value": {} }); count])
}

#[tokio::test]
async fn a_referral_does_not_grow_beyond_a_mebibyte_by_short_patches() {
    let world = World::new().await;
    let own = world.contoso().creates(deal()).await;
    world.contoso().replaces(&own.id, "/team", people(MANY)).await.expect(204);
    let before = world.stored_bytes(&own.id).await;
    assert!(before.document.len() > 900_000, "{}", before.document.len());
    world.contoso().patches(&own.id, appending(1000)).await.refused(
        400,
        "invalidRequest",
        "/team/-",
        "invalidValue",
    );
    let body = json!({ "customerProfile": { "team": people(MANY) } });
    world.contoso().puts(&own.id, "*", body).await.refused(400, "invalidRequest", "body", "invalidValue");
    assert_eq!(world.stored_bytes(&own.id).await, before);
    // It can still become shorter, and be closed.
    world.contoso().replaces(&own.id, "/team", people(1)).await.expect(204);
    let won = replace(&[("/status", json!("Closed")), ("/substatus", json!("Won"))]);
    world.contoso().patches(&own.id, won).await.expect(204);
}

#[tokio::test]
async fn a_new_referral_is_not_longer_than_a_mebibyte_either() {
    let world = World::new().await;
    for (count, target) in [(8_000, "body"), (10_001, "team"), (300_000, "team")] {
        let call =
            world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).json(with(deal(), "/team", people(count)));
        call.await.refused(400, "invalidRequest", target, "invalidValue");
    }
    assert_eq!(world.count(support::CONTOSO).await, 0);
    world.contoso().creates(with(deal(), "/team", people(MANY))).await;
}

#[tokio::test]
async fn a_referral_at_its_limit_can_still_be_withdrawn() {
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let body = with(invitation(FABRIKAM_LOCATION), "/engagementId", json!(own.engagement));
    let sent = world.contoso().creates(body).await;
    let filled = with(deal(), "/team", people(MANY));
    let call = world.call("PATCH", &sent.path()).as_user(support::FABRIKAM_ADMIN);
    call.json(replace(&[("/team", filled["team"].clone())])).await.expect(204);
    // Each title takes the place of a null; the last one leaves a few bytes.
    let room = 1024 * 1024 - world.stored_bytes(&sent.id).await.document.len();
    let lengths =
        (0..).map(|at| (room - 40).saturating_sub(at * 998).min(1000)).take_while(|length| *length > 2);
    let titles = lengths.enumerate().map(|(at, length)| {
        json!({ "op": "add", "path": format!("/team/{at}/title"), "value": "x".repeat(length) })
    });
    world.fabrikam().patches(&sent.id, json!(titles.collect::<Vec<_>>())).await.expect(204);
    let declined = replace(&[
        ("/status", json!("Closed")),
        ("/substatus", json!("Declined")),
        ("/statusReason", json!("r".repeat(1024))),
    ]);
    world.contoso().patches(&sent.id, declined).await.expect(204);
    let after = world.fabrikam().sees(&sent.id).await;
    assert_eq!(text_at(&after.body, "/substatus"), "Declined");
    assert!(world.stored_bytes(&sent.id).await.document.len() > 1024 * 1024);
}

#[tokio::test]
async fn a_short_patch_cannot_copy_a_long_list_again_and_again() {
    let world = World::extended().await;
    let own = world.contoso().creates(deal()).await;
    world.contoso().replaces(&own.id, "/team", people(MANY)).await.expect(204);
    let before = world.stored_bytes(&own.id).await;
    let copy = json!({ "op": "copy", "from": "/team", "path": "/customerProfile/team" });
    let begun = Instant::now();
    let answer = world.contoso().patches(&own.id, json!(vec![copy; 1000])).await;
    answer.refused(400, "invalidRequest", "/customerProfile/team", "invalidPatch");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(world.stored_bytes(&own.id).await, before);
}

#[tokio::test]
async fn long_teams_are_compared_in_time() {
    let world = World::new().await;
    let people = |from: usize| {
        let email = |at: usize| json!({ "email": format!("person{:05}@contoso.example", at + from) });
        json!((0..4_500).map(email).collect::<Vec<_>>())
    };
    let own = world.contoso().creates(with(deal(), "/team", people(0))).await;
    let begun = Instant::now();
    world.contoso().replaces(&own.id, "/team", people(10_000)).await.expect(204);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

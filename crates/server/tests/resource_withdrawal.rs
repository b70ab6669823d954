//! T18: who sent a connected referral may withdraw it while it is New, and may do nothing else to it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{full, replace, text_at, with};
use support::{
    Answer, CONTOSO_ADMIN, CONTOSO_USER, Deal, FABRIKAM, FABRIKAM_LOCATION, MICROSOFT_SELLER,
    NORTHWIND_ADMIN, Person, World, example, invitation, member,
};

fn withdrawal() -> Value {
    example("patch.request.decline.json")
}

fn not_owner(answer: Answer) {
    answer.refused(403, "accessDenied", "referral", "notOwner");
}

/// Contoso's referral for Fabrikam, in an engagement with Contoso's own.
async fn sent(world: &World) -> Deal {
    let own = world.contoso().creates(full()).await;
    let body = with(invitation(FABRIKAM_LOCATION), "/engagementId", json!(own.engagement));
    world.contoso().creates(body).await
}

#[tokio::test]
async fn a_new_referral_is_withdrawn_by_its_sender() {
    // REF-029
    let world = World::new().await;
    for body in [
        withdrawal(),
        replace(&[("/status", json!("Closed")), ("/substatus", json!("Declined"))]),
        replace(&[("/Substatus", json!("declined")), ("/Status", json!("closed"))]),
        replace(&[
            ("/status", json!("Active")),
            ("/status", json!("Closed")),
            ("/substatus", json!("Declined")),
        ]),
    ] {
        let deal = sent(&world).await;
        world.clock.advance(60);
        let answer = world.contoso().patches(&deal.id, body).await.expect(204);
        let theirs = world.fabrikam().sees(&deal.id).await;
        assert_eq!(answer.header("etag"), Some(theirs.etag.as_str()));
        assert_eq!(
            (text_at(&theirs.body, "/status"), text_at(&theirs.body, "/substatus")),
            ("Closed", "Declined")
        );
        assert_eq!(theirs.body["closedDateTime"], theirs.body["updatedDateTime"]);
        let log = world.log(FABRIKAM).await;
        let told = log.last().unwrap();
        assert_eq!(told.referral_id.to_string(), deal.id);
        assert_eq!(told.entry.actor.as_ref().unwrap().organization.to_string(), support::CONTOSO);
    }
}

#[tokio::test]
async fn a_referral_that_was_only_seen_can_be_withdrawn_too() {
    let world = World::new().await;
    let deal = sent(&world).await;
    world.fabrikam().replaces(&deal.id, "/substatus", json!("Received")).await.expect(204);
    world.contoso().patches(&deal.id, withdrawal()).await.expect(204);
}

#[tokio::test]
async fn the_answer_to_a_withdrawal_is_what_the_sender_may_see() {
    let world = World::new().await;
    let deal = sent(&world).await;
    let secrets = json!({ "externalReferenceId": "SECRET", "campaignId": "SECRET", "mpnId": "9999999", "salesStage": "60" });
    world.fabrikam().puts(&deal.id, "*", secrets).await.expect(200);
    let call =
        world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("Prefer", "return=representation");
    let answer = call.json(withdrawal()).await.expect(200);
    assert_eq!(answer.body, world.contoso().sees(&deal.id).await.body);
    for member in ["externalReferenceId", "campaignId", "mpnId", "salesStage"] {
        assert_eq!(answer.body[member], Value::Null, "{member}");
    }
    assert_eq!(answer.body["team"][0]["phoneNumber"], Value::Null);
    assert_eq!(answer.text("statusReason"), "Proposed time line was too short");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("SECRET"));
    assert_eq!(world.fabrikam().sees(&deal.id).await.body["externalReferenceId"], "SECRET");
}

#[tokio::test]
async fn every_other_write_of_the_sender_is_refused() {
    // REF-029
    for world in [World::new().await, World::extended().await] {
        let deal = sent(&world).await;
        let before = world.stored_bytes(&deal.id).await;
        for body in [
            json!([]),
            replace(&[("/statusReason", json!("why"))]),
            replace(&[("/status", json!("New"))]),
            replace(&[("/status", json!("New")), ("/substatus", json!("Received"))]),
            replace(&[("/status", json!("Active")), ("/substatus", json!("Accepted"))]),
            replace(&[("/status", json!("Active")), ("/substatus", json!("Pending"))]),
            replace(&[("/status", json!("Closed")), ("/substatus", json!("Lost"))]),
            replace(&[("/status", json!("Closed")), ("/substatus", json!("Won"))]),
            replace(&[("/status", json!("Closed"))]),
            replace(&[("/substatus", json!("Declined"))]),
            replace(&[
                ("/status", json!("Closed")),
                ("/substatus", json!("Declined")),
                ("/name", json!("x")),
            ]),
            replace(&[("/status", json!("Closed")), ("/substatus", json!("Declined")), ("/team", json!([]))]),
            replace(&[
                ("/status", json!("Closed")),
                ("/substatus", json!("Declined")),
                ("/favorite", json!(true)),
            ]),
            replace(&[("/name", deal.body["name"].clone())]),
            replace(&[("/externalReferenceId", json!("crm"))]),
            replace(&[("/id", json!(deal.id))]),
        ] {
            not_owner(world.contoso().patches(&deal.id, body).await);
        }
        for body in [
            json!({}),
            json!({ "status": "Closed", "substatus": "Declined" }),
            json!({ "status": "Closed", "substatus": "Declined", "statusReason": "why" }),
        ] {
            not_owner(world.contoso().puts(&deal.id, &deal.etag, body).await);
        }
        assert_eq!(world.stored_bytes(&deal.id).await, before);
    }
}

#[tokio::test]
async fn once_answered_it_cannot_be_withdrawn() {
    let world = World::new().await;
    for answer in
        ["patch.request.accept.json", "patch.request.close-as-won.json", "patch.request.decline.json"]
    {
        let deal = sent(&world).await;
        world.fabrikam().patches(&deal.id, example(answer)).await.expect(204);
        not_owner(world.contoso().patches(&deal.id, withdrawal()).await);
    }
    let deal = sent(&world).await;
    world.contoso().patches(&deal.id, withdrawal()).await.expect(204);
    not_owner(world.contoso().patches(&deal.id, withdrawal()).await);
}

#[tokio::test]
async fn a_stale_tag_stops_a_withdrawal_and_a_missing_right_goes_before_it() {
    // REF-190
    let world = World::new().await;
    let deal = sent(&world).await;
    world.fabrikam().replaces(&deal.id, "/name", json!("Renamed")).await.expect(204);
    let stale = |user: &'static str, body: Value| {
        world.call("PATCH", &deal.path()).as_user(user).header("If-Match", &deal.etag).json(body)
    };
    stale(CONTOSO_ADMIN, withdrawal()).await.refused(412, "preconditionFailed", "ETag", "99918");
    not_owner(stale(CONTOSO_ADMIN, replace(&[("/name", json!("x"))])).await);
    let fresh = world.contoso().sees(&deal.id).await;
    let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("If-Match", &fresh.etag);
    call.json(withdrawal()).await.expect(204);
}

#[tokio::test]
async fn nobody_but_the_sender_withdraws() {
    // REF-029
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let deal = world.contoso().connects(&own.engagement, FABRIKAM_LOCATION).await;
    let theirs = world.contoso().connected_to_microsoft(&own.engagement).await;
    // Another guest of the engagement sees it, and may not touch it.
    not_owner(world.microsoft().patches(&deal.id, withdrawal()).await);
    // Nor does who sent it close the sender's own.
    not_owner(world.fabrikam().patches(&own.id, withdrawal()).await);
    not_owner(world.fabrikam().patches(&theirs.id, withdrawal()).await);
    // Who takes no part does not even learn of it.
    let stranger = world.person(NORTHWIND_ADMIN).patches(&deal.id, withdrawal()).await;
    stranger.refused(404, "itemNotFound", "referral", "");
    // On a partner-led deal Microsoft reads and no more.
    let partner_led = world.contoso().creates(example("create.partner-led.request.json")).await;
    world.microsoft().gets(&partner_led.id).await.expect(200);
    not_owner(world.person(MICROSOFT_SELLER).patches(&partner_led.id, withdrawal()).await);
    // A mere claim of who invited makes nobody the sender.
    world
        .plant(&partner_led.id, |stored| {
            let text = String::from_utf8(stored.document.to_vec()).unwrap();
            stored.document = text
                .replace(
                    r#""invitedBy":{"organizationId":"7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d""#,
                    r#""invitedBy":{"organizationId":"msft""#,
                )
                .into();
        })
        .await;
    assert_eq!(
        world.microsoft().sees(&partner_led.id).await.body["inviteContext"]["invitedBy"]["organizationId"],
        "msft"
    );
    not_owner(world.microsoft().patches(&partner_led.id, withdrawal()).await);
}

#[tokio::test]
async fn a_referral_user_withdraws_what_it_is_on_the_team_of() {
    let world = World::new().await;
    let user: Person<'_> = world.person(CONTOSO_USER);
    let without_user = world.contoso().creates(invitation(FABRIKAM_LOCATION)).await;
    user.patches(&without_user.id, withdrawal()).await.refused(404, "itemNotFound", "referral", "");
    let body = with(invitation(FABRIKAM_LOCATION), "/team", json!([member(CONTOSO_USER)]));
    let with_user = world.contoso().creates(body).await;
    user.patches(&with_user.id, withdrawal()).await.expect(204);
}

#[tokio::test]
async fn a_withdrawn_place_is_free_again() {
    // REF-114
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let body = with(invitation(FABRIKAM_LOCATION), "/engagementId", json!(own.engagement));
    let deal = world.contoso().creates(body.clone()).await;
    world.contoso().posts(body.clone()).await.refused(
        409,
        "invalidRequest",
        "engagementId",
        "alreadyInvited",
    );
    world.contoso().patches(&deal.id, withdrawal()).await.expect(204);
    world.contoso().posts(body).await.expect(201);
}

#[tokio::test]
async fn in_the_extended_temperament_a_merge_patch_withdraws_as_well() {
    let world = World::extended().await;
    let merges = async |id: &str, body: Value| {
        let call = world.call("PATCH", &support::path(id)).as_user(CONTOSO_ADMIN);
        call.header("Content-Type", "application/merge-patch+json").json(body).await
    };
    let deal = sent(&world).await;
    let closed = json!({ "status": "Closed", "substatus": "Declined", "statusReason": "why" });
    not_owner(merges(&deal.id, with(closed.clone(), "/name", json!("x"))).await);
    not_owner(merges(&deal.id, json!({})).await);
    merges(&deal.id, closed).await.expect(204);
    assert_eq!(world.fabrikam().sees(&deal.id).await.body["substatus"], "Declined");

    // A test operation asks about a member that the sender may not see: refused, whatever its answer would be.
    let deal = sent(&world).await;
    world.fabrikam().replaces(&deal.id, "/externalReferenceId", json!("SECRET")).await.expect(204);
    for guess in ["SECRET", "WRONG"] {
        let mut body = withdrawal();
        let test = json!({ "op": "test", "path": "/externalReferenceId", "value": guess });
        body.as_array_mut().unwrap().insert(0, test);
        not_owner(world.contoso().patches(&deal.id, body).await);
    }
}

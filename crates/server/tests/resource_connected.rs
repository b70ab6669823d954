//! Referrals sent to another organization: when a POST is one, whose it becomes, what it takes over. Spec 8.3.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{at, full, text_at, with, without};
use support::{
    Answer, CONTOSO, CONTOSO_LOCATION, CONTOSO_USER, Deal, FABRIKAM, FABRIKAM_LOCATION, MICROSOFT, NORTHWIND,
    NORTHWIND_LOCATION, World, deal, example, instant, invitation, member, small_deal,
};

fn location(id: &str) -> Value {
    json!({ "type": "BusinessProfileLocation", "id": id })
}

fn sent_to(targets: Value) -> Value {
    with(invitation(MICROSOFT), "/target", targets)
}

#[tokio::test]
async fn a_target_decides_whose_referral_it_becomes() {
    // REF-112 REF-116
    let world = World::new().await;
    let solution = json!({ "type": "SolutionProfile", "id": "SOL-34104-EBB" });
    for (targets, owner) in [
        (json!([location("msft")]), MICROSOFT),
        (json!([location("MSFT")]), MICROSOFT),
        (json!([location(FABRIKAM)]), FABRIKAM),
        (json!([location(&FABRIKAM.to_uppercase())]), FABRIKAM),
        (json!([location(FABRIKAM_LOCATION)]), FABRIKAM),
        (json!([location(&FABRIKAM_LOCATION.to_uppercase())]), FABRIKAM),
        (json!([solution, location(NORTHWIND_LOCATION)]), NORTHWIND),
        (json!([location(FABRIKAM), location(FABRIKAM_LOCATION)]), FABRIKAM),
        (json!([location(CONTOSO_LOCATION), location(FABRIKAM)]), FABRIKAM),
        // Everything else is the caller's own deal.
        (json!([]), CONTOSO),
        (json!([solution]), CONTOSO),
        (json!([location(CONTOSO)]), CONTOSO),
        (json!([location(CONTOSO_LOCATION)]), CONTOSO),
        (json!([location("99999999-0000-4000-8000-000000000000")]), CONTOSO),
        (json!([location("nowhere")]), CONTOSO),
        (json!([{ "type": "SolutionProfile", "id": "msft" }]), CONTOSO),
        (json!([{ "type": "None", "id": FABRIKAM }]), CONTOSO),
    ] {
        let made = world.contoso().creates(sent_to(targets.clone())).await.body;
        assert_eq!(made["organizationId"], owner, "{targets}");
        assert_eq!(made["target"], targets, "the targets are kept as sent");
        assert_eq!(made["type"], "Shared");
        let standing = [&made["status"], &made["substatus"], &made["direction"]];
        match owner {
            CONTOSO => assert_eq!(standing, ["Active", "Accepted", "Outgoing"], "{targets}"),
            _ => assert_eq!(standing, ["New", "Pending", "Incoming"], "{targets}"),
        }
    }
}

#[tokio::test]
async fn a_connected_referral_waits_for_its_owner() {
    // REF-112 REF-113 REF-153
    let world = World::new().await;
    world.clock.set("2026-03-02T23:59:59.9999999Z");
    let sent = world.contoso().creates(invitation(FABRIKAM_LOCATION)).await;
    let seen = world.fabrikam().sees(&sent.id).await.body;
    resource::assert_holds(
        &seen,
        &json!({
            "organizationId": FABRIKAM, "organizationName": "Fabrikam", "status": "New", "substatus": "Pending",
            "direction": "Incoming", "expirationDateTime": "2026-03-16T00:00:00Z", "acceptedDateTime": null,
            "closedDateTime": null, "mpnId": "7654321",
            "inviteContext": {
                "invitedMpnId": null,
                "invitedBy": { "organizationId": CONTOSO, "organizationName": "Contoso Company" },
            },
        }),
        "",
    );
    assert_eq!(seen["createdDateTime"], seen["updatedDateTime"]);
    // It lies in the owner's log and list, and in nobody else's.
    assert_eq!((world.log(FABRIKAM).await.len(), world.log(CONTOSO).await.len()), (1, 0));
    assert_eq!(world.fabrikam().lists("").await.body["@odata.count"], 1);
    assert_eq!(world.contoso().lists("").await.body["@odata.count"], 0);
}

#[tokio::test]
async fn two_other_organizations_in_the_targets_are_refused() {
    let world = World::new().await;
    for targets in [
        json!([location("msft"), location(FABRIKAM)]),
        json!([location(FABRIKAM_LOCATION), location(NORTHWIND_LOCATION)]),
    ] {
        let answer = world.contoso().posts(sent_to(targets)).await;
        answer.refused(400, "invalidRequest", "target/1/id", "invalidValue");
    }
    for owner in [CONTOSO, FABRIKAM, MICROSOFT, NORTHWIND] {
        assert_eq!(world.count(owner).await, 0);
    }
}

#[tokio::test]
async fn sending_needs_the_consent_to_share() {
    let world = World::new().await;
    let consent = "/consent/consentToToShareInfoWithOthers";
    for body in [
        without(invitation(MICROSOFT), consent),
        with(invitation(MICROSOFT), consent, json!(false)),
        with(invitation(FABRIKAM), consent, Value::Null),
        with(invitation(FABRIKAM), "/consent", json!({})),
    ] {
        let answer = world.contoso().posts(body).await;
        answer.refused(400, "invalidRequest", &consent[1..], "invalidValue");
    }
    // The model's consent does not stand in for it.
    let own = world.contoso().creates(full()).await;
    let body = with(invitation(MICROSOFT), "/engagementId", json!(own.engagement));
    world.contoso().posts(with(body, "/consent", json!({}))).await.expect(400);
    // An own deal needs none.
    world.contoso().creates(with(small_deal(), consent, json!(false))).await;
}

#[tokio::test]
async fn required_members_and_the_standing_are_checked_for_a_connected_referral_too() {
    // REF-119
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let body = with(invitation(MICROSOFT), "/engagementId", json!(own.engagement));
    for pointer in ["/type", "/customerProfile", "/consent", "/details", "/customerProfile/name"] {
        let answer = world.contoso().posts(without(body.clone(), pointer)).await;
        answer.refused(400, "invalidRequest", &pointer[1..], "missingProperty");
    }
    let closed = with(with(body.clone(), "/status", json!("Closed")), "/substatus", json!("Won"));
    world.contoso().posts(closed).await.refused(400, "invalidRequest", "substatus", "invalidStatusSubstatus");
    let active = with(with(body, "/status", json!("Active")), "/substatus", json!("Accepted"));
    let made = world.contoso().creates(active).await.body;
    assert_eq!([&made["status"], &made["substatus"]], ["New", "Pending"], "checked and not applied");
    assert_eq!(made["acceptedDateTime"], Value::Null);
}

/// What a connected referral left out of its POST.
fn bare_connected(engagement: &str) -> Value {
    json!({
        "type": "Shared", "engagementId": engagement, "customerProfile": { "name": "As sent" },
        "consent": { "consentToToShareInfoWithOthers": true }, "details": {},
        "target": [location(FABRIKAM_LOCATION)],
    })
}

#[tokio::test]
async fn what_is_left_out_comes_from_the_model_and_nothing_else_does() {
    let world = World::new().await;
    let model = world.contoso().creates(full()).await;
    let sent = world.contoso().creates(bare_connected(&model.engagement)).await;
    let seen = world.fabrikam().sees(&sent.id).await.body;
    assert_eq!(seen["engagementId"], model.body["engagementId"]);
    for pointer in [
        "/name",
        "/qualification",
        "/customerProfile/size",
        "/customerProfile/team",
        "/customerProfile/ids",
        "/details",
        "/team",
        "/customerMarketplaceIntent",
    ] {
        assert_eq!(at(&seen, pointer), at(&model.body, pointer), "{pointer}");
    }
    for pointer in [
        "/externalReferenceId",
        "/statusReason",
        "/campaignId",
        "/salesStage",
        "/inviteContext/notes",
        "/inviteContext/invitedMpnId",
        "/customerProfile/address/city",
        "/customerProfile/address/country",
    ] {
        assert_eq!(at(&seen, pointer), &Value::Null, "{pointer}");
    }
    assert_eq!(seen["favorite"], false);
    assert_eq!(seen["inviteContext"]["assistanceRequestCode"], "Unknown");
    assert_eq!(seen["customerProfile"]["name"], "As sent");
    assert_eq!(seen["consent"]["consentToContact"], false);
    assert_eq!(seen["consent"]["consentToShareReferralWithMicrosoftSellers"], false);
    assert_eq!(seen["mpnId"], "7654321", "the owner's, not the model's");
}

#[tokio::test]
async fn what_was_sent_goes_before_the_model() {
    let world = World::new().await;
    let model = world.contoso().creates(full()).await;
    let sent = json!({
        "name": "Sent", "qualification": "Direct", "customerMarketplaceIntent": "No",
        "team": [member("sent@contoso.example")],
        "customerProfile": { "name": "Sent", "size": "1to9employees", "team": [], "ids": [] },
        "details": { "notes": "Sent", "dealValue": 1 },
    });
    let mut body = bare_connected(&model.engagement);
    body.as_object_mut().unwrap().extend(sent.as_object().unwrap().clone());
    let seen = world.contoso().creates(body).await;
    let seen = world.fabrikam().sees(&seen.id).await.body;
    resource::assert_holds(&seen, &without(sent, "/team"), "");
    assert_eq!(seen["team"][0]["email"], "sent@contoso.example");
    assert_eq!(
        seen["details"]["currency"], model.body["details"]["currency"],
        "members of details one by one"
    );
}

#[tokio::test]
async fn the_newest_open_referral_of_the_caller_is_the_model() {
    let world = World::new().await;
    let contoso = world.contoso();
    let first = contoso.creates(with(full(), "/name", json!("First"))).await;
    let joins =
        |name: &str| with(with(full(), "/name", json!(name)), "/engagementId", json!(first.engagement));
    world.clock.advance(60);
    contoso.creates(joins("Second")).await;
    world.clock.advance(60);
    let third = contoso.creates(joins("Third")).await;
    contoso.patches(&third.id, example("patch.request.close-as-won.json")).await.expect(204);
    let sent = contoso.creates(bare_connected(&first.engagement)).await;
    assert_eq!(sent.body["name"], "Second");
}

#[tokio::test]
async fn an_engagement_is_joined_only_by_who_owns_a_referral_there() {
    // REF-110 REF-111
    let world = World::new().await;
    let fabrikams = world.fabrikam().own_deal().await;
    let sent = world.contoso().creates(invitation(FABRIKAM_LOCATION)).await;
    let unknown = "37ef26aa-1d15-4533-9f93-a69bd33ab1e5";
    for engagement in [unknown, &fabrikams.engagement, &sent.engagement] {
        for body in [deal(), invitation(MICROSOFT), invitation(NORTHWIND_LOCATION)] {
            let answer = world.contoso().posts(with(body, "/engagementId", json!(engagement))).await;
            answer.refused(404, "itemNotFound", "engagementId", "");
        }
    }
    let own = world.contoso().own_deal().await;
    let spelt = own.engagement.to_uppercase();
    for _ in 0..2 {
        let joined = world.contoso().creates(with(deal(), "/engagementId", json!(spelt))).await;
        assert_eq!(joined.engagement, own.engagement);
        assert_eq!(joined.body["status"], "Active");
    }
}

#[tokio::test]
async fn without_an_engagement_a_new_one_begins() {
    // REF-109
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    let sent = world.contoso().creates(invitation(FABRIKAM_LOCATION)).await;
    let again = world.contoso().creates(invitation(FABRIKAM_LOCATION)).await;
    assert_ne!(sent.engagement, own.engagement);
    assert_ne!(sent.engagement, again.engagement);
}

async fn invites(world: &World, own: &Deal, whom: &str) -> Answer {
    world.contoso().posts(with(invitation(whom), "/engagementId", json!(own.engagement))).await
}

#[tokio::test]
async fn an_invited_organization_with_an_open_referral_there_is_not_invited_twice() {
    // REF-114
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let sent = Deal::of(&invites(&world, &own, MICROSOFT).await.expect(201));
    let twice = || async { invites(&world, &own, MICROSOFT).await };
    twice().await.refused(409, "invalidRequest", "engagementId", "alreadyInvited");
    // Others may be invited all the same.
    invites(&world, &own, FABRIKAM_LOCATION).await.expect(201);
    invites(&world, &own, FABRIKAM).await.refused(409, "invalidRequest", "engagementId", "alreadyInvited");
    // The invited one may not be invited by another guest either.
    let theirs = with(invitation(MICROSOFT), "/engagementId", json!(own.engagement));
    let answer = world.fabrikam().posts(theirs).await;
    answer.refused(409, "invalidRequest", "engagementId", "alreadyInvited");
    world.microsoft().patches(&sent.id, example("patch.request.accept.json")).await.expect(204);
    twice().await.refused(409, "invalidRequest", "engagementId", "alreadyInvited");
    world.microsoft().patches(&sent.id, example("patch.request.close-as-won.json")).await.expect(204);
    twice().await.expect(201);
    assert_eq!(world.count(MICROSOFT).await, 2);
}

#[tokio::test]
async fn an_invitation_that_expired_can_be_sent_again() {
    // REF-114 REF-152
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let sent = Deal::of(&invites(&world, &own, MICROSOFT).await.expect(201));
    world.clock.set(text_at(&sent.body, "/expirationDateTime"));
    invites(&world, &own, MICROSOFT).await.expect(201);
}

#[tokio::test]
async fn nobody_is_invited_into_what_is_closed() {
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    world.contoso().patches(&own.id, example("patch.request.close-as-won.json")).await.expect(204);
    let answer = invites(&world, &own, MICROSOFT).await;
    answer.refused(409, "invalidRequest", "engagementId", "engagementClosed");
    assert_eq!(world.count(MICROSOFT).await, 0);
    // An own deal simply joins, and opens it again.
    world.contoso().creates(with(deal(), "/engagementId", json!(own.engagement))).await;
    invites(&world, &own, MICROSOFT).await.expect(201);
}

#[tokio::test]
async fn who_was_invited_may_invite_others_with_its_own_referral_as_the_model() {
    let world = World::new().await;
    let own = world.contoso().creates(full()).await;
    let sent = Deal::of(&invites(&world, &own, FABRIKAM_LOCATION).await.expect(201));
    world.fabrikam().replaces(&sent.id, "/name", json!("Fabrikam's part")).await.expect(204);
    let body = with(bare_connected(&own.engagement), "/target", json!([location(NORTHWIND)]));
    let onward = world.fabrikam().creates(body).await.body;
    assert_eq!(onward["name"], "Fabrikam's part");
    assert_eq!(onward["inviteContext"]["invitedBy"]["organizationId"], FABRIKAM);
    assert!(instant(text_at(&onward, "/expirationDateTime")) > world.clock.time());
}

#[tokio::test]
async fn a_referral_user_sends_what_it_is_on_the_team_of() {
    // REF-028
    let world = World::new().await;
    let user = world.person(CONTOSO_USER);
    let answer = user.posts(invitation(MICROSOFT)).await;
    answer.refused(403, "accessDenied", "referral", "notOnTeam");
    let sent = user.creates(with(invitation(MICROSOFT), "/team", json!([member(CONTOSO_USER)]))).await;
    assert_eq!(user.gets(&sent.id).await.expect(200).body["organizationId"], MICROSOFT);
    // The team of the model counts as well.
    let own = user.creates(with(deal(), "/team", json!([member(CONTOSO_USER)]))).await;
    let sent = user.creates(bare_connected(&own.engagement)).await;
    assert_eq!(sent.body["team"][0]["email"], CONTOSO_USER);
    // 404 goes before 403, and 403 before 409.
    let unknown = with(invitation(MICROSOFT), "/engagementId", json!("37ef26aa-1d15-4533-9f93-a69bd33ab1e5"));
    user.posts(unknown).await.refused(404, "itemNotFound", "engagementId", "");
    let again = with(invitation(FABRIKAM), "/engagementId", json!(own.engagement));
    user.posts(again).await.refused(403, "accessDenied", "referral", "notOnTeam");
}

#[tokio::test]
async fn a_referral_user_takes_nothing_from_a_model_it_may_not_read() {
    // REF-026
    let world = World::new().await;
    let user = world.person(CONTOSO_USER);
    let own = world.contoso().creates(with(full(), "/team", json!([member("admin@contoso.example")]))).await;
    user.gets(&own.id).await.refused(403, "accessDenied", "referral", "notOnTeam");
    let body = with(bare_connected(&own.engagement), "/team", json!([member(CONTOSO_USER)]));
    let answer = user.posts(body).await.refused(403, "accessDenied", "referral", "notOnTeam");
    assert!(!answer.body.to_string().contains("Rollout"));
    assert_eq!(world.count(FABRIKAM).await, 0);
}

#[tokio::test]
async fn a_referral_user_joins_no_engagement_it_may_not_look_into() {
    // REF-026 REF-029
    let world = World::new().await;
    let user = world.person(CONTOSO_USER);
    let own = world.contoso().creates(with(deal(), "/team", json!([member("admin@contoso.example")]))).await;
    let sent = invites(&world, &own, FABRIKAM).await.expect(201).text("id");
    let joining = |engagement: &str| {
        let body = with(small_deal(), "/engagementId", json!(engagement));
        with(body, "/team", json!([member(CONTOSO_USER)]))
    };
    user.posts(joining(&own.engagement)).await.refused(403, "accessDenied", "referral", "notOnTeam");
    user.gets(&sent).await.refused(404, "itemNotFound", "referral", "");
    assert_eq!(world.count(CONTOSO).await, 1);
    // On the team of one there, it may; a referral that its organization sent counts as well.
    let open = user.creates(with(deal(), "/team", json!([member(CONTOSO_USER)]))).await;
    user.posts(joining(&open.engagement)).await.expect(201);
    let body = with(invitation(FABRIKAM), "/engagementId", json!(open.engagement));
    let body = with(body, "/team", json!([member(CONTOSO_USER)]));
    user.posts(body).await.expect(201);
}

#[tokio::test]
async fn an_engagement_whose_only_referral_is_damaged_is_not_said_to_be_unknown() {
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    world.store.damage(own.id.parse().unwrap());
    let body = with(full(), "/engagementId", json!(own.engagement));
    // A 404 would be remembered for a repeat.
    world.contoso().posts(body).await.expect(500);
}

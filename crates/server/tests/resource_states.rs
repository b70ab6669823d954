//! Status and substatus, and the moves between them, one by one over HTTP. Spec 7.1 and 7.2.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use serde_json::{Value, json};

use resource::{replace, text_at, with};
use support::{CONTOSO, Deal, World, example, instant, invitation, small_deal};

const STATUSES: [&str; 4] = ["None", "New", "Active", "Closed"];
const SUBSTATUSES: [&str; 9] =
    ["None", "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired", "Error"];
const LIFECYCLE_STATES: [(&str, &str); 8] = [
    ("New", "Pending"),
    ("New", "Received"),
    ("Active", "Accepted"),
    ("Closed", "Won"),
    ("Closed", "Lost"),
    ("Closed", "Declined"),
    ("Closed", "Expired"),
    ("Closed", "Error"),
];

/// How the contract answers a move: `None` when it is allowed, else the status and inner code.
fn decided(from: (&str, &str), to: (&str, &str)) -> Option<(u16, &'static str)> {
    if !LIFECYCLE_STATES.contains(&to) {
        return Some((400, "invalidStatusSubstatus"));
    }
    match (from.0, to.0) {
        _ if from == to => None,
        ("Closed", _) => Some((409, "terminalState")),
        ("Active", "New") => Some((409, "invalidTransition")),
        _ => None,
    }
}

fn both(status: &str, substatus: &str) -> Value {
    replace(&[("/status", json!(status)), ("/substatus", json!(substatus))])
}

fn standing(of: &Value) -> (&str, &str) {
    (text_at(of, "/status"), text_at(of, "/substatus"))
}

#[tokio::test]
async fn every_move_between_any_two_pairs_has_its_answer() {
    // REF-132..141 REF-143 REF-144
    let world = World::new().await;
    for from in LIFECYCLE_STATES {
        let mut deal = world.given(from.0, from.1).await;
        for status in STATUSES {
            for substatus in SUBSTATUSES {
                let to = (status, substatus);
                let answer = world.contoso().patches(&deal.id, both(status, substatus)).await;
                let after = world.contoso().sees(&deal.id).await;
                match decided(from, to) {
                    Some((code, inner)) => {
                        assert_eq!(answer.status, code, "{from:?} to {to:?}: {}", answer.body);
                        assert_eq!(answer.body["error"]["innerError"]["code"], inner, "{from:?} to {to:?}");
                        assert_eq!(after.body, deal.body, "{from:?} to {to:?}");
                    }
                    None => {
                        assert_eq!(answer.status, 204, "{from:?} to {to:?}: {}", answer.body);
                        assert_eq!(standing(&after.body), to);
                        assert_eq!(after.etag == deal.etag, from == to);
                        if from != to {
                            deal = world.given(from.0, from.1).await;
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_put_is_judged_by_the_same_table() {
    // REF-136 REF-137 REF-138 REF-139 REF-140
    let world = World::new().await;
    for from in [("New", "Pending"), ("Active", "Accepted"), ("Closed", "Won")] {
        for status in STATUSES {
            for substatus in ["Pending", "Accepted", "Won"] {
                let deal = world.given(from.0, from.1).await;
                let body = json!({ "status": status, "substatus": substatus });
                let answer = world.contoso().puts(&deal.id, &deal.etag, body).await;
                match decided(from, (status, substatus)) {
                    Some((code, _)) => assert_eq!(answer.status, code, "{from:?} {status}/{substatus}"),
                    None => assert_eq!(standing(&answer.expect(200).body), (status, substatus)),
                }
            }
        }
    }
}

#[tokio::test]
async fn half_a_standing_is_completed_only_where_it_is_clear() {
    // REF-142 REF-145 REF-146
    let world = World::new().await;
    let refused = Err("invalidStatusSubstatus");
    for (from, member, value, ends) in [
        (("New", "Pending"), "status", "Active", Ok(("Active", "Accepted"))),
        (("New", "Received"), "status", "Active", Ok(("Active", "Accepted"))),
        (("New", "Received"), "status", "New", Ok(("New", "Received"))),
        (("New", "Pending"), "status", "Closed", refused),
        (("Active", "Accepted"), "status", "Closed", refused),
        (("Active", "Accepted"), "status", "New", Err("invalidTransition")),
        (("Closed", "Won"), "status", "Closed", Ok(("Closed", "Won"))),
        (("Closed", "Won"), "status", "Active", Err("terminalState")),
        (("Active", "Accepted"), "substatus", "Won", refused),
        (("Active", "Accepted"), "substatus", "Pending", refused),
        (("New", "Pending"), "substatus", "Received", Ok(("New", "Received"))),
        (("New", "Pending"), "substatus", "Accepted", refused),
        (("New", "Pending"), "substatus", "Won", refused),
        (("New", "Pending"), "substatus", "Engaged", Err("invalidValue")),
        (("New", "Pending"), "status", "None", refused),
        (("New", "Pending"), "substatus", "None", refused),
        (("Closed", "Won"), "substatus", "Accepted", refused),
        (("Closed", "Won"), "substatus", "Lost", Err("terminalState")),
    ] {
        let deal = world.given(from.0, from.1).await;
        let patch = replace(&[(&format!("/{member}"), json!(value))]);
        let patched = world.contoso().patches(&deal.id, patch).await;
        let put = world
            .contoso()
            .puts(&deal.id, &deal.etag, with(json!({}), &format!("/{member}"), json!(value)))
            .await;
        match ends {
            Ok(ends) => {
                assert_eq!(patched.status, 204, "{from:?} {member} {value}");
                assert_eq!(standing(&world.contoso().sees(&deal.id).await.body), ends);
            }
            Err(inner) => {
                for answer in [patched, put] {
                    assert_eq!(
                        answer.body["error"]["innerError"]["code"], inner,
                        "{from:?} {member} {value}"
                    );
                    let status =
                        if inner.starts_with("invalidS") || inner == "invalidValue" { 400 } else { 409 };
                    assert_eq!(answer.status, status);
                }
                assert_eq!(world.contoso().sees(&deal.id).await.etag, deal.etag);
            }
        }
    }
}

#[tokio::test]
async fn the_pair_is_judged_after_the_last_operation() {
    // REF-144 REF-185
    let world = World::new().await;
    let deal = world.given("New", "Pending").await;
    // Read one after the other, the first, third and fourth operation make illegal pairs.
    let detour = replace(&[
        ("/substatus", json!("Won")),
        ("/status", json!("Closed")),
        ("/substatus", json!("Pending")),
        ("/status", json!("Active")),
        ("/substatus", json!("Accepted")),
    ]);
    world.contoso().patches(&deal.id, detour).await.expect(204);
    let seen = world.contoso().sees(&deal.id).await.body;
    assert_eq!(standing(&seen), ("Active", "Accepted"));
    assert_eq!(seen["closedDateTime"], Value::Null);
    world.contoso().patches(&deal.id, example("patch.request.close-as-won.json")).await.expect(204);
    assert_eq!(standing(&world.contoso().sees(&deal.id).await.body), ("Closed", "Won"));
}

#[tokio::test]
async fn accepting_and_closing_are_dated_once() {
    // REF-132 REF-147 REF-148 REF-155
    let world = World::new().await;
    let deal = world.given("New", "Pending").await;
    let expiry = text_at(&deal.body, "/expirationDateTime").to_owned();
    assert_eq!(deal.body["acceptedDateTime"], Value::Null);
    world.clock.advance(3600);
    let accepted_at = world.clock.time();
    world.contoso().patches(&deal.id, example("patch.request.accept.json")).await.expect(204);
    world.clock.advance(3600);
    world.contoso().replaces(&deal.id, "/statusReason", json!("We deliver.")).await.expect(204);
    let seen = world.contoso().sees(&deal.id).await.body;
    assert_eq!(instant(text_at(&seen, "/acceptedDateTime")), accepted_at);
    assert_eq!((&seen["closedDateTime"], text_at(&seen, "/statusReason")), (&Value::Null, "We deliver."));
    assert_eq!(text_at(&seen, "/expirationDateTime"), expiry, "kept, without effect");

    world.clock.advance(3600);
    let closed_at = world.clock.time();
    world.contoso().patches(&deal.id, both("Closed", "Lost")).await.expect(204);
    world.clock.advance(3600);
    world.contoso().replaces(&deal.id, "/externalReferenceId", json!("crm")).await.expect(204);
    let seen = world.contoso().sees(&deal.id).await.body;
    assert_eq!(instant(text_at(&seen, "/acceptedDateTime")), accepted_at);
    assert_eq!(instant(text_at(&seen, "/closedDateTime")), closed_at);
    assert_eq!(text_at(&seen, "/expirationDateTime"), expiry);

    let declined = world.given("New", "Pending").await;
    world.clock.advance(3600);
    world.contoso().patches(&declined.id, example("patch.request.decline.json")).await.expect(204);
    let seen = world.contoso().sees(&declined.id).await.body;
    assert_eq!(seen["acceptedDateTime"], Value::Null);
    assert_eq!(instant(text_at(&seen, "/closedDateTime")), world.clock.time());
    assert_eq!(text_at(&seen, "/statusReason"), "Proposed time line was too short");
}

#[tokio::test]
async fn a_closed_referral_takes_two_members_and_nothing_else() {
    // REF-149 REF-150 REF-151
    let world = World::new().await;
    for (status, substatus) in LIFECYCLE_STATES.into_iter().filter(|(status, _)| *status == "Closed") {
        let deal = world.given(status, substatus).await;
        for (path, value) in [
            ("/details/dealValue", json!(1)),
            ("/details/notes", json!("late")),
            ("/name", json!("late")),
            ("/statusReason", json!("late")),
            ("/team", json!([])),
            ("/team/-", json!({})),
            ("/customerProfile/size", json!("1to9employees")),
            ("/customerProfile/address/city", json!("late")),
            ("/consent/consentToContact", json!(false)),
            ("/salesStage", json!("100")),
            ("/campaignId", json!("late")),
            ("/mpnId", json!("9")),
            ("/inviteContext/notes", json!("late")),
            ("/status", json!("Active")),
            ("/substatus", json!(if substatus == "Won" { "Lost" } else { "Won" })),
        ] {
            let patch = json!([{ "op": "add", "path": path, "value": value }]);
            let answer = world.contoso().patches(&deal.id, patch).await;
            answer.refused(409, "invalidRequest", "status", "terminalState");
        }
        let mixed = replace(&[("/externalReferenceId", json!("crm")), ("/name", json!("late"))]);
        world.contoso().patches(&deal.id, mixed).await.expect(409);
        assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);

        // Whatever leaves it as it is succeeds.
        let mut same = deal.body.clone();
        same.as_object_mut().unwrap().shift_remove("links");
        let answer = world.contoso().puts(&deal.id, &deal.etag, same).await.expect(200);
        assert_eq!(answer.body, deal.body);
        world.contoso().patches(&deal.id, both(status, substatus)).await.expect(204);
        assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);

        world.clock.advance(60);
        let free = replace(&[("/externalReferenceId", json!("crm")), ("/favorite", json!(true))]);
        world.contoso().patches(&deal.id, free).await.expect(204);
        let seen = world.contoso().sees(&deal.id).await;
        assert_eq!(
            (&seen.body["externalReferenceId"], &seen.body["favorite"]),
            (&json!("crm"), &json!(true))
        );
        assert_ne!(seen.etag, deal.etag);
        assert_eq!(seen.body["closedDateTime"], deal.body["closedDateTime"]);
    }
}

#[tokio::test]
async fn consent_for_microsofts_sellers_is_given_once_and_for_all() {
    // REF-115 REF-156 REF-157
    let world = World::new().await;
    let (path, member) = (
        "/consent/consentToShareReferralWithMicrosoftSellers",
        "consent/consentToShareReferralWithMicrosoftSellers",
    );
    let deal = world.contoso().creates(with(small_deal(), path, json!(false))).await;
    assert_eq!(deal.body.pointer(path), Some(&json!(false)));
    world.contoso().replaces(&deal.id, path, json!(true)).await.expect(204);
    let given = world.contoso().sees(&deal.id).await;
    assert_eq!(given.body.pointer(path), Some(&json!(true)));
    for value in [json!(false), Value::Null] {
        let answer = world.contoso().replaces(&deal.id, path, value.clone()).await;
        answer.refused(400, "invalidRequest", path, "invalidValue");
        let answer = world.contoso().puts(&deal.id, "*", with(json!({}), path, value)).await;
        answer.refused(400, "invalidRequest", member, "invalidValue");
    }
    // An object that leaves the flag out takes it back too.
    let whole = world.contoso().replaces(&deal.id, "/consent", json!({ "consentToContact": true })).await;
    whole.refused(400, "invalidRequest", "/consent", "invalidValue");
    assert_eq!(world.contoso().sees(&deal.id).await.body, given.body);
    // By PUT an absent flag stays what it is.
    let put = json!({ "consent": { "consentToContact": true } });
    let answer = world.contoso().puts(&deal.id, "*", put).await.expect(200);
    assert_eq!(answer.body.pointer(path), Some(&json!(true)));
    // After closing it comes too late.
    let late = world.given("Closed", "Won").await;
    world.contoso().replaces(&late.id, path, json!(true)).await.expect(409);
}

#[tokio::test]
async fn times_of_a_referral_only_grow_whatever_the_clock_does() {
    // REF-065 REF-167
    let world = World::new().await;
    let deal = world.contoso().creates(small_deal()).await;
    let mut last = instant(text_at(&deal.body, "/updatedDateTime"));
    let mut tags = vec![deal.etag];
    for (round, seconds) in [0, 0, -3600, -3600, 0, 1, 7200].into_iter().enumerate() {
        world.clock.advance(seconds);
        world.contoso().replaces(&deal.id, "/name", json!(format!("{round}"))).await.expect(204);
        let seen = world.contoso().sees(&deal.id).await;
        let updated = instant(text_at(&seen.body, "/updatedDateTime"));
        let expected = world.clock.time().max(referral::Timestamp::from_ticks(last.ticks() + 1));
        assert_eq!(updated, expected, "round {round}");
        assert!(!tags.contains(&seen.etag), "a new tag");
        assert_eq!(i64::from_str_radix(&seen.etag[25..33], 16), Ok(updated.unix_seconds()));
        tags.push(seen.etag);
        last = updated;
    }
    world.clock.advance(-36_000);
    world.contoso().patches(&deal.id, example("patch.request.close-as-won.json")).await.expect(204);
    let seen = world.contoso().sees(&deal.id).await.body;
    assert_eq!(seen["closedDateTime"], seen["updatedDateTime"]);
    assert_eq!(seen["createdDateTime"], deal.body["createdDateTime"]);
    let told: Vec<_> = world.log(CONTOSO).await.into_iter().map(|entry| entry.entry.at).collect();
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
}

#[tokio::test]
async fn closing_one_partys_referral_leaves_the_others_alone() {
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    let sent: Deal = world.contoso().connected_to_microsoft(&own.engagement).await;
    world.contoso().patches(&own.id, example("patch.request.close-as-won.json")).await.expect(204);
    let theirs = world.microsoft().sees(&sent.id).await;
    assert_eq!(standing(&theirs.body), ("New", "Pending"));
    assert_eq!(theirs.etag, sent.etag);
    world.microsoft().patches(&sent.id, example("patch.request.accept.json")).await.expect(204);
    assert_eq!(standing(&world.contoso().sees(&own.id).await.body), ("Closed", "Won"));
    let lead = world.microsoft().creates(invitation(CONTOSO)).await;
    assert_eq!(world.contoso().sees(&lead.id).await.body["direction"], "Incoming");
}

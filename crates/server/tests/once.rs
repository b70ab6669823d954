//! Doing a request once, however often it comes. Source: spec 4.3; its rules by number.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::*;

const ID: &str = "9f8bed52-e4df-4d0c-9ca6-929a187b0731";
const OTHER: &str = "1c5a1b0e-7f3c-4b52-9d3d-6f2f9f8b1a55";

fn post<'a>(world: &'a World, user: &str, id: &str, body: Value) -> Call<'a> {
    world.call("POST", REFERRALS).as_user(user).header("request-id", id).json(body)
}

fn patch<'a>(world: &'a World, deal: &Deal, id: &str, operations: Value) -> Call<'a> {
    world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("request-id", id).json(operations)
}

fn put<'a>(world: &'a World, deal: &Deal, id: &str, etag: &str, body: Value) -> Call<'a> {
    let call = world.call("PUT", &deal.path()).as_user(CONTOSO_ADMIN).header("request-id", id);
    call.header("If-Match", etag).json(body)
}

fn rename(name: &str) -> Value {
    json!([{ "op": "replace", "path": "/name", "value": name }])
}

/// Everything an answer says besides when and which answer it is.
fn said(answer: &Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let own = ["client-request-id", "timestamp"];
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (answer.status, headers, answer.bytes.to_vec())
}

#[tokio::test]
async fn a_repeated_post_creates_one_referral_and_answers_the_same() {
    let world = World::new().await;
    let first = post(&world, CONTOSO_ADMIN, ID, deal()).await.expect(201);
    world.clock.advance(60);
    let second = post(&world, CONTOSO_ADMIN, ID, deal()).await;
    assert_eq!(second.text("id"), first.text("id")); // REF-050
    assert_eq!(second.status, 201); // REF-051
    assert_eq!(said(&second), said(&first)); // rule 4: body, ETag, Location
    assert_eq!(second.header("request-id"), Some(ID));
    assert_eq!((world.count(CONTOSO).await, world.log(CONTOSO).await.len()), (1, 1));
    // The older name of the header is the same key.
    let old = world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).header("MS-RequestId", ID).json(deal());
    assert_eq!(said(&old.await), said(&first));
    // A later change of the referral does not change what the first call was told.
    world.contoso().replaces(&first.text("id"), "/name", json!("Later")).await.expect(204);
    assert_eq!(said(&post(&world, CONTOSO_ADMIN, ID, deal()).await), said(&first));
}

#[tokio::test]
async fn without_a_request_id_equal_posts_create_two_referrals() {
    // REF-057
    let world = World::new().await;
    let first = world.contoso().own_deal().await;
    let second = world.contoso().own_deal().await;
    assert_ne!(first.id, second.id);
    // Rule 1: what is no GUID is ignored.
    for _ in 0..2 {
        post(&world, CONTOSO_ADMIN, "not-a-guid", deal()).await.expect(201);
    }
    assert_eq!(world.count(CONTOSO).await, 4);
}

#[tokio::test]
async fn what_was_answered_is_answered_again_while_nothing_can_be_written() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let wrong = json!({ "status": "New", "substatus": "Pending" });
    let refused = put(&world, &deal, ID, "*", wrong.clone()).await;
    assert!(matches!(refused.status, 400 | 409 | 422), "{refused:?}");
    let done = patch(&world, &deal, OTHER, rename("Patched")).await.expect(204);
    world.store.trouble_commits(Some(Trouble::Error(store::StoreError::Unavailable("the disk".to_owned()))));
    assert_eq!(said(&put(&world, &deal, ID, "*", wrong.clone()).await), said(&refused));
    assert_eq!(said(&patch(&world, &deal, OTHER, rename("Patched")).await), said(&done));
    let third = "00000000-0000-4000-8000-0000000000f3";
    put(&world, &deal, third, "*", wrong).await.expect(503);
}

#[tokio::test]
async fn another_request_under_the_same_id_is_409() {
    // REF-053, rule 5
    let world = World::new().await;
    let first = post(&world, CONTOSO_ADMIN, ID, deal()).await.expect(201);
    let answer = post(&world, CONTOSO_ADMIN, ID, small_deal()).await;
    let answer = answer.refused(409, "invalidRequest", "request-id", "requestIdReused");
    assert_eq!(answer.body, example("error.409.request-id-reused.json"));
    assert_eq!(world.count(CONTOSO).await, 1);
    // The digest is of the bytes.
    let same_meaning = world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).header("request-id", ID);
    let same_meaning = same_meaning.header("Content-Type", "application/json").body(format!(" {}", deal()));
    same_meaning.await.refused(409, "invalidRequest", "request-id", "requestIdReused");
    // It is not itself remembered: the first request still has its answer.
    assert_eq!(said(&post(&world, CONTOSO_ADMIN, ID, deal()).await), said(&first));
}

#[tokio::test]
async fn if_match_is_part_of_the_request_and_prefer_is_not() {
    // rule 3
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let first = put(&world, &deal, ID, &deal.etag, json!({ "name": "Put" })).await.expect(200);
    // The tag is stale by now, and the repeat is answered all the same.
    assert_eq!(said(&put(&world, &deal, ID, &deal.etag, json!({ "name": "Put" })).await), said(&first));
    let other_tag = put(&world, &deal, ID, "*", json!({ "name": "Put" })).await;
    other_tag.refused(409, "invalidRequest", "request-id", "requestIdReused");

    let minimal = patch(&world, &deal, OTHER, rename("Patched")).await.expect(204);
    let repeat =
        patch(&world, &deal, OTHER, rename("Patched")).header("Prefer", "return=representation").await;
    assert_eq!(said(&repeat), said(&minimal));
    let third = "2c5a1b0e-7f3c-4b52-9d3d-6f2f9f8b1a55";
    let whole = patch(&world, &deal, third, rename("Whole")).header("Prefer", "return=representation");
    let whole = whole.await.expect(200);
    assert_eq!(whole.header("preference-applied"), Some("return=representation"));
    assert_eq!(said(&patch(&world, &deal, third, rename("Whole")).await), said(&whole));
}

#[tokio::test]
async fn a_repeated_patch_appends_once() {
    // REF-054
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let join = json!([{ "op": "add", "path": "/team/-", "value": member("new@contoso.example") }]);
    let first = patch(&world, &deal, ID, join.clone()).await.expect(204);
    let kept = world.stored_bytes(&deal.id).await;
    for _ in 0..3 {
        assert_eq!(said(&patch(&world, &deal, ID, join.clone()).await), said(&first));
    }
    assert_eq!(world.stored_bytes(&deal.id).await, kept);
    let team = world.contoso().sees(&deal.id).await.body["team"].clone();
    assert_eq!(
        team.as_array().unwrap().iter().filter(|one| one["email"] == "new@contoso.example").count(),
        1
    );
    assert_eq!(world.log(CONTOSO).await.len(), 2);
    // Without the header each one appends.
    world.contoso().patches(&deal.id, join.clone()).await.expect(204);
    world.contoso().patches(&deal.id, join).await.expect(204);
    assert_eq!(world.contoso().sees(&deal.id).await.body["team"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_write_without_effect_is_remembered_too() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let name = deal.body["name"].as_str().unwrap().to_owned();
    let first = patch(&world, &deal, ID, rename(&name)).await.expect(204);
    assert_eq!(first.header("etag"), Some(&*deal.etag));
    world.contoso().replaces(&deal.id, "/name", json!("Other")).await.expect(204);
    assert_eq!(said(&patch(&world, &deal, ID, rename(&name)).await), said(&first));
    assert_eq!(world.contoso().sees(&deal.id).await.body["name"], "Other");
}

#[tokio::test]
async fn business_failures_are_replayed() {
    // REF-055, rules 3 and 4
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let kept = world.stored_bytes(&deal.id).await;
    // 400, by what is stored.
    let bad = json!([{ "op": "replace", "path": "/team/9/email", "value": "a@b" }]);
    let first = patch(&world, &deal, ID, bad.clone()).await.expect(400);
    assert_eq!(said(&patch(&world, &deal, ID, bad.clone()).await), said(&first));
    patch(&world, &deal, ID, rename("x")).await.refused(
        409,
        "invalidRequest",
        "request-id",
        "requestIdReused",
    );
    assert_eq!(world.stored_bytes(&deal.id).await, kept);

    // 404: it stays, also when the referral comes to be.
    let unknown = Deal { id: "01970000-0000-7000-8000-000000000001".to_owned(), ..deal.clone() };
    let first =
        patch(&world, &unknown, OTHER, rename("x")).await.refused(404, "itemNotFound", "referral", "");
    let mut document: Value = serde_json::from_str(&kept.document).unwrap();
    document["id"] = unknown.id.clone().into();
    world.plant_new(document, None).await;
    world.contoso().gets(&unknown.id).await.expect(200);
    assert_eq!(said(&patch(&world, &unknown, OTHER, rename("x")).await), said(&first));

    // 409, and its hint.
    let closed = world.given("Closed", "Won").await;
    let third = "2c5a1b0e-7f3c-4b52-9d3d-6f2f9f8b1a55";
    let first = patch(&world, &closed, third, rename("x")).await.refused(
        409,
        "invalidRequest",
        "status",
        "terminalState",
    );
    assert!(first.header("x-cosell-hint").is_some());
    assert_eq!(said(&patch(&world, &closed, third, rename("x")).await), said(&first));

    // 404 of a POST.
    let fourth = "3c5a1b0e-7f3c-4b52-9d3d-6f2f9f8b1a55";
    let mut joins = support::deal();
    joins["engagementId"] = OTHER.into();
    let first = post(&world, CONTOSO_ADMIN, fourth, joins.clone()).await;
    let first = first.refused(404, "itemNotFound", "engagementId", "");
    assert_eq!(said(&post(&world, CONTOSO_ADMIN, fourth, joins).await), said(&first));
}

#[tokio::test]
async fn a_failed_put_is_replayed_with_its_note_on_put() {
    let world = World::new().await;
    let closed = world.given("Closed", "Won").await;
    let first = put(&world, &closed, ID, "*", json!({ "name": "x" })).await.expect(409);
    assert!(first.headers.contains_key("deprecation"));
    assert_eq!(said(&put(&world, &closed, ID, "*", json!({ "name": "x" })).await), said(&first));
}

#[tokio::test]
async fn refusals_before_the_replay_are_not_remembered() {
    // rule 3: what the request alone shows is decided before
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    patch(&world, &deal, ID, json!({ "name": "no array" })).await.expect(400);
    post(&world, CONTOSO_ADMIN, ID, json!({})).await.expect(400);
    patch(&world, &deal, ID, rename("Good")).await.expect(204);
    post(&world, CONTOSO_ADMIN, ID, support::deal()).await.expect(201);
}

#[tokio::test]
async fn a_412_is_not_remembered() {
    // rules 3 and 6
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let stale = "\"00000000-0000-0000-0000-000000000000\"";
    put(&world, &deal, ID, stale, json!({ "name": "Put" })).await.expect(412);
    // After a fresh read the same id may go again.
    put(&world, &deal, ID, &deal.etag, json!({ "name": "Put" })).await.expect(200);
}

#[tokio::test]
async fn refusals_of_the_caller_and_failures_of_the_server_are_not_remembered() {
    // rule 6
    let mut world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let of_user = |name: &str| {
        let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_USER).header("request-id", ID);
        call.json(rename(name))
    };
    of_user("Mine").await.refused(403, "accessDenied", "referral", "notOnTeam");
    let join = json!([{ "op": "add", "path": "/team/-", "value": member(CONTOSO_USER) }]);
    world.contoso().patches(&deal.id, join).await.expect(204);
    of_user("Mine").await.expect(204);

    let mut body = support::deal();
    body["name"] = "Second".into();
    for trouble in [
        Trouble::Panic("planted"),
        Trouble::Error(store::StoreError::Engine("disk".to_owned())),
        Trouble::Error(store::StoreError::WritesStopped("disk".to_owned())),
    ] {
        world.store.trouble_commits(Some(trouble));
        let status = post(&world, CONTOSO_ADMIN, OTHER, body.clone()).await.status;
        assert!(matches!(status, 500 | 503), "{status}");
    }
    world.store.trouble_commits(None);
    post(&world, CONTOSO_ADMIN, OTHER, body).await.expect(201);
    world.restart().await;
}

#[tokio::test]
async fn organizations_people_paths_and_methods_have_their_own_ids() {
    // REF-056, rule 2
    let world = World::new().await;
    let mut ids = Vec::new();
    for user in [CONTOSO_ADMIN, CONTOSO_GLOBAL, FABRIKAM_ADMIN] {
        ids.push(post(&world, user, ID, deal()).await.expect(201).text("id"));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    assert_eq!((world.count(CONTOSO).await, world.count(FABRIKAM).await), (2, 1));
    let (one, two) = (world.contoso().own_deal().await, world.contoso().own_deal().await);
    patch(&world, &one, ID, rename("x")).await.expect(204);
    patch(&world, &two, ID, rename("x")).await.expect(204);
    put(&world, &one, ID, "*", json!({ "name": "y" })).await.expect(200);
    for deal in [&one, &two] {
        assert_ne!(world.contoso().sees(&deal.id).await.body["name"], support::deal()["name"]);
    }
}

#[tokio::test]
async fn the_path_counts_in_its_canonical_form() {
    // rule 3
    let world = World::new().await;
    let first = post(&world, CONTOSO_ADMIN, ID, deal()).await.expect(201);
    let alias = world.call("POST", "/v1.0/engagments/referrals/").as_user(CONTOSO_ADMIN);
    assert_eq!(said(&alias.header("request-id", ID).json(deal()).await), said(&first));
    let deal = Deal::of(&first);
    let join = json!([{ "op": "add", "path": "/team/-", "value": member("new@contoso.example") }]);
    let first = patch(&world, &deal, ID, join.clone()).await.expect(204);
    let alias = format!("/engagements/v1/referrals/{}//", deal.id.to_uppercase());
    let alias = world.call("PATCH", &alias).as_user(CONTOSO_ADMIN).header("request-id", ID).json(join);
    assert_eq!(said(&alias.await), said(&first));
    assert_eq!(world.log(CONTOSO).await.len(), 2);
}

#[tokio::test]
async fn an_answer_is_remembered_for_a_day() {
    // rule 3
    let world = World::new().await;
    let first = post(&world, CONTOSO_ADMIN, ID, deal()).await.expect(201);
    world.clock.advance(24 * 3600);
    assert_eq!(post(&world, CONTOSO_ADMIN, ID, deal()).await.text("id"), first.text("id"));
    world.exchange.delete_old_responses().await.unwrap();
    assert_eq!(post(&world, CONTOSO_ADMIN, ID, deal()).await.text("id"), first.text("id"));
    world.clock.advance(1);
    let second = post(&world, CONTOSO_ADMIN, ID, deal()).await.expect(201);
    assert_ne!(second.text("id"), first.text("id"));
    assert_eq!(post(&world, CONTOSO_ADMIN, ID, deal()).await.text("id"), second.text("id"));
    // Whether or not somebody swept in between.
    world.clock.advance(24 * 3600 + 1);
    assert_eq!(world.exchange.delete_old_responses().await.unwrap(), 1);
    post(&world, CONTOSO_ADMIN, ID, small_deal()).await.expect(201);
}

#[tokio::test]
async fn an_answer_survives_a_restart() {
    let mut world = World::new().await;
    let created = post(&world, CONTOSO_ADMIN, ID, deal()).await.expect(201);
    let deal = Deal::of(&created);
    let refused = patch(&world, &deal, OTHER, json!([{ "op": "replace", "path": "/team/9", "value": {} }]));
    let refused = refused.await.expect(400);
    for _ in 0..2 {
        world.restart().await;
        assert_eq!(said(&post(&world, CONTOSO_ADMIN, ID, support::deal()).await), said(&created));
        let again = patch(&world, &deal, OTHER, json!([{ "op": "replace", "path": "/team/9", "value": {} }]));
        assert_eq!(said(&again.await), said(&refused));
        post(&world, CONTOSO_ADMIN, ID, small_deal()).await.expect(409);
    }
    assert_eq!(world.count(CONTOSO).await, 1);
}

#[tokio::test]
async fn a_repeat_waits_for_the_first_call() {
    // rule 7
    let world = World::new().await;
    world.token(CONTOSO_ADMIN).await;
    world.store.hold_commits();
    let first = post(&world, CONTOSO_ADMIN, ID, deal()).send();
    let repeat = async {
        world.store.commit_waits().await;
        let mut repeat = Box::pin(post(&world, CONTOSO_ADMIN, ID, deal()).send());
        // It has begun to wait, and nothing has happened.
        let early = tokio::time::timeout(Duration::from_millis(50), &mut repeat).await;
        assert!(early.is_err(), "answered before the first: {early:?}");
        world.store.release_commits();
        repeat.await
    };
    let (first, repeat) = tokio::join!(first, repeat);
    assert_eq!(first.status, 201);
    assert_eq!(said(&repeat), said(&first));
    assert_eq!(world.count(CONTOSO).await, 1);
}

#[tokio::test]
async fn a_repeat_does_not_wait_for_ever() {
    // rule 7
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    world.store.hold_commits();
    let first = patch(&world, &deal, ID, rename("x")).send();
    let repeat = async {
        world.store.commit_waits().await;
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let repeat = patch(&world, &deal, ID, rename("x")).send().await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        tokio::time::resume();
        world.store.release_commits();
        repeat
    };
    let (first, repeat) = tokio::join!(first, repeat);
    assert_eq!(first.status, 204);
    let repeat = repeat.refused(409, "invalidRequest", "request-id", "requestInProgress");
    assert_eq!(repeat.header("retry-after"), Some("1"));
    // That 409 is not what is remembered.
    assert_eq!(said(&patch(&world, &deal, ID, rename("x")).await), said(&first));
}

#[tokio::test]
async fn a_first_call_that_is_given_up_leaves_the_way_free() {
    let world = World::new().await;
    world.token(CONTOSO_ADMIN).await;
    world.store.hold_commits();
    tokio::select! {
        answer = post(&world, CONTOSO_ADMIN, ID, deal()).send() => panic!("answered: {answer:?}"),
        () = world.store.commit_waits() => {}
    }
    // The client is gone, and its call was never committed.
    world.store.release_commits();
    post(&world, CONTOSO_ADMIN, ID, deal()).await.expect(201);
    assert_eq!(world.count(CONTOSO).await, 1);
}

#[tokio::test]
async fn a_write_that_a_lost_call_did_is_answered_again_and_not_refused_as_stale() {
    // The first call's client is gone, so that the repeat need not wait for it; its commit lands when the repeat has
    // been decided already. Another node stands for the lost call here.
    let world = World::new().await;
    let other = world.another_node().await;
    let deal = world.contoso().own_deal().await;
    let body = json!({ "name": "Once" });
    let gate = world.store.hold_next_commit();
    let lost = async {
        world.store.commit_waits().await;
        let done = put(&world, &deal, ID, &deal.etag, body.clone()).at(&other).await.expect(200);
        gate.close();
        done
    };
    let (repeat, done) = tokio::join!(put(&world, &deal, ID, &deal.etag, body.clone()).send(), lost);
    assert_eq!(said(&repeat), said(&done));
    assert_eq!(world.log(CONTOSO).await.len(), 2);

    // Likewise a withdrawal, which is not allowed twice.
    let sent = world.contoso().connects(&deal.engagement, FABRIKAM_LOCATION).await;
    let withdrawal = example("patch.request.decline.json");
    let gate = world.store.hold_next_commit();
    let lost = async {
        world.store.commit_waits().await;
        let done = patch(&world, &sent, OTHER, withdrawal.clone()).at(&other).await.expect(204);
        gate.close();
        done
    };
    let (repeat, done) = tokio::join!(patch(&world, &sent, OTHER, withdrawal.clone()).send(), lost);
    assert_eq!(said(&repeat), said(&done));

    // Another request under the same id is told so.
    let current = world.contoso().sees(&deal.id).await;
    let third = "00000000-0000-4000-8000-0000000000f3";
    let gate = world.store.hold_next_commit();
    let lost = async {
        world.store.commit_waits().await;
        put(&world, &deal, third, &current.etag, json!({ "name": "First" })).at(&other).await.expect(200);
        gate.close();
    };
    let late = put(&world, &deal, third, &current.etag, json!({ "name": "Second" }));
    let (late, ()) = tokio::join!(late.send(), lost);
    late.refused(409, "invalidRequest", "request-id", "requestIdReused");
    // And so when it is stale already, and when it is wrong in itself.
    let stale = put(&world, &deal, third, &current.etag, json!({ "name": "Third" })).await;
    stale.refused(409, "invalidRequest", "request-id", "requestIdReused");
    let wrong = put(&world, &deal, third, "*", json!({ "status": "New", "substatus": "Pending" })).await;
    wrong.refused(409, "invalidRequest", "request-id", "requestIdReused");
}

#[tokio::test]
async fn one_id_on_many_connections_writes_once() {
    let world = World::new().await;
    world.token(CONTOSO_ADMIN).await;
    let calls = (0..16).map(|_| post(&world, CONTOSO_ADMIN, ID, deal()).send());
    let mut waiting: Vec<_> = calls.map(Box::pin).collect();
    let mut answers = Vec::new();
    while let Some(next) = waiting.pop() {
        // Two at a time, so that each pair runs together.
        match waiting.pop() {
            Some(other) => {
                let (one, two) = tokio::join!(next, other);
                answers.extend([one, two]);
            }
            None => answers.push(next.await),
        }
    }
    let first = said(&answers[0]);
    assert!(answers.iter().all(|answer| said(answer) == first));
    assert_eq!((world.count(CONTOSO).await, world.log(CONTOSO).await.len()), (1, 1));
}

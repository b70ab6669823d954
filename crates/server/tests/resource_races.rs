//! Many at once: of writers under one tag one wins, writers without a tag all do, and nothing is done twice.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod resource;
mod support;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;

use resource::{full, replace, text_at, with};
use support::{
    Answer, CONTOSO, CONTOSO_ADMIN, FABRIKAM_LOCATION, MICROSOFT, REFERRALS, World, example, invitation,
    small_deal,
};

const TASKS: usize = 64;

/// Runs `TASKS` tasks that begin together, and gathers what they return.
async fn together<T, F>(world: &Arc<World>, task: impl Fn(Arc<World>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    world.token(CONTOSO_ADMIN).await;
    let start = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            let (start, work) = (start.clone(), task(world.clone(), number));
            tokio::spawn(async move {
                start.wait().await;
                work.await
            })
        })
        .collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_under_one_tag_exactly_one_wins_each_version() {
    // REF-159 REF-167 REF-177
    const ROUNDS: usize = 8;
    let world = Arc::new(World::new().await);
    let deal = world.contoso().creates(small_deal()).await;
    let id = deal.id.clone();
    let won: Vec<Vec<(String, String)>> = together(&world, move |world, task| {
        let id = id.clone();
        async move {
            let mut won = Vec::new();
            for round in 0..ROUNDS {
                let read = world.contoso().sees(&id).await.etag;
                let answer =
                    world.contoso().puts(&id, &read, json!({ "name": format!("{task}/{round}") })).await;
                match answer.status {
                    200 => won.push((read, answer.text("eTag"))),
                    412 => assert_eq!(answer.body["error"]["innerError"]["code"], "99918"),
                    other => panic!("{other}: {}", answer.body),
                }
            }
            won
        }
    })
    .await;
    let won: Vec<(String, String)> = won.into_iter().flatten().collect();
    let follower: BTreeMap<&String, &String> = won.iter().map(|(read, wrote)| (read, wrote)).collect();
    assert_eq!(follower.len(), won.len(), "two writers won over one version");
    // From the first tag on, each version leads to the next, and the last is what is stored.
    let (mut tag, mut versions) = (&deal.etag, 0);
    while let Some(next) = follower.get(tag) {
        (tag, versions) = (next, versions + 1);
    }
    assert_eq!(versions, won.len());
    assert!(versions >= ROUNDS, "each round has a winner");
    assert_eq!(&world.contoso().sees(&deal.id).await.etag, tag);
    let log = world.log(CONTOSO).await;
    assert_eq!(log.len(), 1 + won.len(), "one entry for the creation and one for each 200");
    assert!(log.iter().zip(1..).all(|(entry, place)| entry.position == place && entry.version == place));
    assert_eq!(world.stored_bytes(&deal.id).await.version, log.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_without_a_tag_lose_nothing() {
    // REF-189
    const ROUNDS: usize = 4;
    let world = Arc::new(World::new().await);
    let deal = world.contoso().creates(small_deal()).await;
    let id = deal.id.clone();
    let statuses: Vec<Vec<u16>> = together(&world, move |world, task| {
        let id = id.clone();
        async move {
            let mut statuses = Vec::new();
            for round in 0..ROUNDS {
                let email = format!("{task}-{round}@x.example");
                let add = json!([{ "op": "add", "path": "/team/-", "value": { "email": email } }]);
                statuses.push(world.contoso().patches(&id, add).await.status);
            }
            statuses
        }
    })
    .await;
    assert!(statuses.iter().flatten().all(|status| *status == 204), "{statuses:?}");
    let team = world.contoso().sees(&deal.id).await.body["team"].clone();
    let emails: HashSet<&str> = team.as_array().unwrap().iter().map(|one| text_at(one, "/email")).collect();
    assert_eq!((team.as_array().unwrap().len(), emails.len()), (TASKS * ROUNDS, TASKS * ROUNDS));
    assert_eq!(world.log(CONTOSO).await.len(), 1 + TASKS * ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_asterisk_never_fails_by_a_race() {
    // REF-162
    let world = Arc::new(World::new().await);
    let deal = world.contoso().creates(small_deal()).await;
    let id = deal.id.clone();
    let answers: Vec<Answer> = together(&world, move |world, task| {
        let id = id.clone();
        async move { world.contoso().puts(&id, "*", json!({ "name": format!("{task}") })).await }
    })
    .await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let tags: HashSet<String> = answers.iter().map(|answer| answer.text("eTag")).collect();
    assert_eq!(tags.len(), TASKS);
    let names: HashSet<String> = answers.iter().map(|answer| answer.text("name")).collect();
    assert_eq!(names.len(), TASKS, "each saw its own write");
    assert_eq!(world.log(CONTOSO).await.len(), 1 + TASKS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_organization_is_invited_once_however_many_do_it() {
    // REF-114
    let world = Arc::new(World::new().await);
    let own = world.contoso().creates(full()).await;
    let body = with(invitation("msft"), "/engagementId", json!(own.engagement));
    let answers: Vec<Answer> = together(&world, move |world, _| {
        let body = body.clone();
        async move { world.contoso().posts(body).await }
    })
    .await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        answer.refused(409, "invalidRequest", "engagementId", "alreadyInvited");
    }
    assert_eq!((world.count(MICROSOFT).await, world.log(MICROSOFT).await.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_invited_into_an_engagement_that_closes_meanwhile() {
    let world = Arc::new(World::new().await);
    for _ in 0..20 {
        let own = world.contoso().creates(full()).await;
        let body = with(invitation(FABRIKAM_LOCATION), "/engagementId", json!(own.engagement));
        let inviting = {
            let world = world.clone();
            tokio::spawn(async move { world.contoso().posts(body).await })
        };
        let closing = {
            let (world, id) = (world.clone(), own.id.clone());
            tokio::spawn(async move {
                world.contoso().patches(&id, example("patch.request.close-as-won.json")).await
            })
        };
        let (invited, closed) = (inviting.await.unwrap(), closing.await.unwrap());
        assert_eq!(closed.status, 204);
        if invited.status != 201 {
            invited.refused(409, "invalidRequest", "engagementId", "engagementClosed");
        }
        let late = with(invitation("msft"), "/engagementId", json!(own.engagement));
        let late = world.contoso().posts(late).await;
        late.refused(409, "invalidRequest", "engagementId", "engagementClosed");
    }
    assert_eq!(world.count(MICROSOFT).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_decided_before_a_change_and_would_be_written_after_it_is_decided_again() {
    // REF-114 REF-159
    let world = Arc::new(World::new().await);
    let own = world.contoso().creates(full()).await;
    let lead = world.fabrikam().creates(invitation(support::CONTOSO_LOCATION)).await;
    world.store.hold_commits();
    let call = |method: &'static str, path: String, body: Value, tag: Option<String>| {
        let world = world.clone();
        tokio::spawn(async move {
            let call = world.call(method, &path).as_user(CONTOSO_ADMIN).json(body);
            tag.into_iter().fold(call, |call, tag| call.header("If-Match", &tag)).await
        })
    };
    let invitation = with(invitation("msft"), "/engagementId", json!(own.engagement));
    let inviting = call("POST", REFERRALS.to_owned(), invitation, None);
    world.store.commit_waits().await;
    let tagged = call("PUT", own.path(), json!({ "name": "Too late" }), Some(own.etag.clone()));
    world.store.commit_waits().await;
    let accepting = call("PATCH", lead.path(), example("patch.request.accept.json"), None);
    world.store.commit_waits().await;
    // All three are decided and wait to be written, when both referrals are closed behind their back.
    for id in [&own.id, &lead.id] {
        world.plant(id, close).await;
    }
    world.store.release_commits();
    let (inviting, tagged, accepting) = (inviting.await, tagged.await, accepting.await);
    inviting.unwrap().refused(409, "invalidRequest", "engagementId", "engagementClosed");
    tagged.unwrap().refused(412, "preconditionFailed", "ETag", "99918");
    accepting.unwrap().refused(409, "invalidRequest", "status", "terminalState");
    assert_eq!(world.count(MICROSOFT).await, 0);
}

/// Closes a stored referral as Lost, with a new tag.
fn close(stored: &mut store::StoredReferral) {
    let mut document: Value = serde_json::from_slice(&stored.document).unwrap();
    document["status"] = "Closed".into();
    document["substatus"] = "Lost".into();
    document["eTag"] = "\"2500ec5a-0000-0000-0000-5bf4967d0000\"".into();
    let referral = referral::Referral::from_document(document.to_string().as_bytes()).unwrap();
    *stored = exchange::to_store(&referral, stored.version, stored.columns.sender.clone());
}

/// Sends the same request with the same request id from all tasks.
async fn repeated(world: &Arc<World>, method: &'static str, path: String, body: Value) -> Vec<Answer> {
    together(world, move |world, _| {
        let (path, body) = (path.clone(), body.clone());
        async move {
            let call =
                world.call(method, &path).as_user(CONTOSO_ADMIN).header("Prefer", "return=representation");
            call.header("request-id", "9f8bed52-e4df-4d0c-9ca6-929a187b0731")
                .header("If-Match", "*")
                .json(body)
                .await
        }
    })
    .await
}

fn all_alike(answers: &[Answer], status: u16) {
    for answer in answers {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.bytes, answers[0].bytes);
        assert_eq!(answer.header("request-id"), Some("9f8bed52-e4df-4d0c-9ca6-929a187b0731"));
        for name in ["etag", "location", "preference-applied"] {
            assert_eq!(answer.header(name), answers[0].header(name), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_request_id_has_one_effect_however_many_send_it_at_once() {
    // REF-050 REF-051 REF-054 REF-055
    let world = Arc::new(World::new().await);
    let made = repeated(&world, "POST", REFERRALS.to_owned(), full()).await;
    all_alike(&made, 201);
    assert_eq!((world.count(CONTOSO).await, world.log(CONTOSO).await.len()), (1, 1));

    let path = support::path(&made[0].text("id"));
    let add = json!([{ "op": "add", "path": "/team/-", "value": { "email": "new@x.example" } }]);
    let patched = repeated(&world, "PATCH", path.clone(), add).await;
    all_alike(&patched, 200);
    assert_eq!(patched[0].body["team"].as_array().unwrap().len(), 3);
    let put = repeated(&world, "PUT", path.clone(), json!({ "name": "Put" })).await;
    all_alike(&put, 200);
    let refused = repeated(
        &world,
        "PATCH",
        support::path("49d90c72-3326-4f61-aacc-2cb57970448c"),
        replace(&[("/name", json!("x"))]),
    )
    .await;
    all_alike(&refused, 404);
    assert_eq!(world.log(CONTOSO).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_of_a_referral_that_expires_close_it_once() {
    // REF-152
    let world = Arc::new(World::new().await);
    let lead = world.fabrikam().creates(invitation(support::CONTOSO_LOCATION)).await;
    world.clock.set(text_at(&lead.body, "/expirationDateTime"));
    let id = lead.id.clone();
    let seen: Vec<Answer> = together(&world, move |world, task| {
        let id = id.clone();
        async move {
            match task % 2 {
                0 => world.contoso().gets(&id).await,
                _ => world.contoso().lists("").await,
            }
        }
    })
    .await;
    for answer in seen {
        let one = answer.body.get("value").map_or(&answer.body, |list| &list[0]);
        assert_eq!((text_at(one, "/status"), text_at(one, "/substatus")), ("Closed", "Expired"));
    }
    assert_eq!(world.log(CONTOSO).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_acceptance_and_a_withdrawal_at_once_one_comes_first() {
    let world = Arc::new(World::new().await);
    for _ in 0..20 {
        let sent = world.contoso().creates(invitation(FABRIKAM_LOCATION)).await;
        let patch = |who: &'static str, name: &'static str| {
            let (world, id) = (world.clone(), sent.id.clone());
            tokio::spawn(async move { world.person(who).patches(&id, example(name)).await })
        };
        let accepting = patch(support::FABRIKAM_ADMIN, "patch.request.accept.json");
        let withdrawing = patch(CONTOSO_ADMIN, "patch.request.decline.json");
        let (accepted, withdrawn) = (accepting.await.unwrap(), withdrawing.await.unwrap());
        let seen = world.fabrikam().sees(&sent.id).await.body;
        match text_at(&seen, "/status") {
            "Active" => {
                accepted.expect(204);
                withdrawn.refused(403, "accessDenied", "referral", "notOwner");
            }
            _ => {
                withdrawn.expect(204);
                accepted.refused(409, "invalidRequest", "status", "terminalState");
                assert_eq!(seen["acceptedDateTime"], Value::Null);
            }
        }
    }
}

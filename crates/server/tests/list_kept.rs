//! Answers to lists that are kept for those who ask again: never older than what was acknowledged, never another's.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::json;
use support::*;

/// How often the store was asked by a call.
async fn cost(world: &World, person: Person<'_>, query: &str) -> (Answer, usize) {
    let before = world.store.reads();
    let answer = person.asks(query).await.expect(200);
    (answer, world.store.reads() - before)
}

#[tokio::test]
async fn who_asks_again_is_told_the_same_without_the_store() {
    let world = World::extended().await;
    world.plants(7, |at, one| one["name"] = format!("Deal {at}").into()).await;
    for query in ["", "?$top=3", "?$filter=name ge 'Deal 4'&$count=false", "?pagesize=2", "?$select=id,name"]
    {
        let (first, asked) = cost(&world, world.contoso(), query).await;
        assert_eq!(asked, 1, "{query}");
        let (again, asked) = cost(&world, world.contoso(), query).await;
        assert_eq!((again.bytes, asked), (first.bytes, 0), "{query}");
    }
    let second = next(&world.contoso().asks("?pagesize=2").await).unwrap();
    let before = world.store.reads();
    let further = world.contoso().lists(&second).await.expect(200);
    assert_eq!(world.contoso().lists(&second).await.expect(200).bytes, further.bytes);
    assert_eq!(world.store.reads() - before, 1, "further pages too");
}

#[tokio::test]
async fn every_acknowledged_change_is_in_the_next_list() {
    let world = World::new().await;
    let mut deal = world.contoso().own_deal().await;
    for round in 0..5 {
        let name = format!("Round {round}");
        assert_eq!(ids(&world.contoso().asks("").await.expect(200)), [deal.id.clone()]);
        world.contoso().replaces(&deal.id, "/name", json!(name)).await.expect(204);
        assert_eq!(names(&world.contoso().asks("").await.expect(200)), [name]);
        deal = world.contoso().sees(&deal.id).await;
    }
    world.contoso().own_deal().await;
    assert_eq!(world.contoso().asks("").await.body["@odata.count"], 2);
}

#[tokio::test]
async fn other_organizations_changes_leave_an_answer_as_it_is() {
    let world = World::new().await;
    world.contoso().own_deal().await;
    world.contoso().asks("").await.expect(200);
    world.fabrikam().own_deal().await;
    assert_eq!(cost(&world, world.contoso(), "").await.1, 0);
    let theirs = world.fabrikam().asks("").await.expect(200);
    assert_ne!(ids(&theirs), ids(&world.contoso().asks("").await));
}

#[tokio::test]
async fn an_answer_is_for_one_caller_one_question_and_one_way_of_writing_it() {
    let world = World::extended().await;
    world
        .plants(3, |at, one| {
            one["name"] = format!("Deal {at}").into();
            one["team"] = if at == 1 { json!([member("user@contoso.example")]) } else { json!([]) };
        })
        .await;
    let all = world.contoso().asks("").await.expect(200);
    assert_eq!(ids(&all).len(), 3);
    assert_eq!(names(&world.person("user@contoso.example").asks("").await.expect(200)), ["Deal 1"]); // REF-030
    let full = world
        .call("GET", REFERRALS)
        .as_user(CONTOSO_ADMIN)
        .header("accept", "application/json;odata.metadata=full")
        .send()
        .await;
    assert_ne!(full.expect(200).bytes, all.bytes);
    let preferred = world
        .call("GET", REFERRALS)
        .as_user(CONTOSO_ADMIN)
        .header("prefer", "odata.maxpagesize=1")
        .send()
        .await
        .expect(200);
    assert_eq!(ids(&preferred).len(), 1);
    assert_eq!(preferred.header("preference-applied"), Some("odata.maxpagesize=1"));
    assert_eq!(world.contoso().asks("").await.bytes, all.bytes);
}

#[tokio::test]
async fn what_depends_on_the_time_or_on_others_is_read_each_time() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    for query in [
        "?$filter=createdDateTime lt now()".to_owned(),
        "?$filter=createdDateTime lt @at&@at=now()".to_owned(),
        "?$compute=now() as at".to_owned(),
        "?$expand=relatedReferrals".to_owned(),
        format!("?$filter=engagementId eq {}", deal.engagement),
    ] {
        let (answer, _) = cost(&world, world.contoso(), &query).await;
        world.clock.advance(60);
        let before = world.store.reads();
        let again = world.contoso().asks(&query).await.expect(200);
        assert!(world.store.reads() > before, "{query}");
        if query.contains("lt now") {
            assert_eq!((ids(&answer).len(), ids(&again).len()), (0, 1), "{query}");
        }
    }
}

#[tokio::test]
async fn a_referral_that_expires_leaves_the_kept_list() {
    let world = World::new().await;
    let deal = world.given("New", "Pending").await;
    let open = "?$filter=status eq 'New'";
    assert_eq!(ids(&world.contoso().asks(open).await.expect(200)), [deal.id]);
    world.clock.advance(15 * 24 * 3600);
    assert!(ids(&world.contoso().asks(open).await.expect(200)).is_empty());
}

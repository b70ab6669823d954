//! A damaged referral cannot be shown; whoever gets an answer without it is told. Spec 11.3.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::*;

const LEFT_OUT: &str = "x-cosell-left-out";

/// Three deals of Contoso in one engagement, by name: the middle one is damaged.
async fn world(extended: bool) -> (World, Vec<Deal>) {
    let world = if extended { World::extended().await } else { World::new().await };
    let mut deals: Vec<Deal> = Vec::new();
    for name in ["first", "second", "third"] {
        world.clock.advance(1);
        let mut body = small_deal();
        body["name"] = json!(name);
        if let Some(first) = deals.first() {
            body["engagementId"] = json!(first.engagement);
        }
        deals.push(world.contoso().creates(body).await);
    }
    world.store.damage(deals[1].id.parse().unwrap());
    (world, deals)
}

async fn counted(world: &World) -> f64 {
    let text = world.call("GET", "/metrics").await.bytes;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("cosell_referrals_left_out_total "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_list_says_how_many_damaged_referrals_it_lacks() {
    for extended in [false, true] {
        let (world, deals) = world(extended).await;
        let by_engagement = format!("?$filter=engagementId eq {}", deals[0].engagement);
        let mut queries = vec![(String::new(), 3), (by_engagement, 2), ("?$select=name".to_owned(), 3)];
        if extended {
            queries.push(("?$compute=length(name) as n".to_owned(), 3));
        }
        let mut told = 0.0;
        for (query, count) in queries {
            let answer = world.contoso().asks(&query).await.expect(200);
            let context = format!("extended: {extended} {query}: {}", answer.body);
            assert_eq!(names(&answer), ["third", "first"], "{context}");
            assert_eq!(answer.body["@cosell.leftOut"], 1, "{context}");
            assert_eq!(answer.header(LEFT_OUT), Some("1"), "{context}");
            // Columns tell that the damaged one matches; what only documents tell is told of those that can be read.
            assert_eq!(answer.body["@odata.count"], count, "{context}");
            told += 1.0;
            assert_eq!(counted(&world).await, told, "{context}");
            // Asked again it is told again: such an answer is not kept.
            assert_eq!(world.contoso().asks(&query).await.header(LEFT_OUT), Some("1"), "{context}");
            told += 1.0;
        }
    }
}

#[tokio::test]
async fn what_is_expanded_and_what_is_in_a_batch_says_so_too() {
    let (world, deals) = world(true).await;
    let related = "relatedReferrals@cosell.leftOut";
    let path = deals[0].path();
    let one = world.call("GET", &format!("{path}?$expand=relatedReferrals")).as_user(CONTOSO_ADMIN);
    let one = one.await.expect(200);
    assert_eq!((&one.body[related], one.header(LEFT_OUT)), (&json!(1), Some("1")), "{}", one.body);
    assert_eq!(one.body["relatedReferrals"].as_array().unwrap().len(), 2);
    // Each expansion says its own; the header has the sum with the list's.
    let list = world.contoso().asks("?$expand=relatedReferrals($select=id)").await.expect(200);
    for item in list.body["value"].as_array().unwrap() {
        assert_eq!(item[related], 1, "{item}");
    }
    assert_eq!((&list.body["@cosell.leftOut"], list.header(LEFT_OUT)), (&json!(1), Some("3")));
    for (rest, name) in [("", "@cosell.leftOut"), ("/$ref", ""), ("/$count", "")] {
        let answer = world.call("GET", &format!("{path}/relatedReferrals{rest}")).as_user(CONTOSO_ADMIN);
        let answer = answer.await.expect(200);
        assert_eq!(answer.header(LEFT_OUT), Some("1"), "{rest}");
        assert!(name.is_empty() || answer.body[name] == 1, "{rest}: {}", answer.body);
    }
    let batch = json!({ "requests": [{ "id": "1", "method": "GET", "url": REFERRALS }] });
    let batch = world.call("POST", "/v1.0/$batch").as_user(CONTOSO_ADMIN).json(batch).await.expect(200);
    let part = &batch.body["responses"][0];
    assert_eq!(
        (&part["headers"][LEFT_OUT], &part["body"]["@cosell.leftOut"]),
        (&json!("1"), &json!(1)),
        "{part}"
    );
}

#[tokio::test]
async fn a_list_goes_on_behind_a_page_of_nothing_but_damage() {
    let (world, deals) = world(false).await;
    world.store.damage(deals[2].id.parse().unwrap());
    let answer = world.contoso().asks("?pagesize=1").await.expect(200);
    assert_eq!(names(&answer), ["first"]);
    assert_eq!((answer.header(LEFT_OUT), next(&answer)), (Some("2"), None));
    // All of it.
    world.store.damage(deals[0].id.parse().unwrap());
    let answer = world.contoso().asks("").await.expect(200);
    assert_eq!((&answer.body["value"], &answer.body["@cosell.leftOut"]), (&json!([]), &json!(3)));
}

#[tokio::test]
async fn nobody_is_told_of_damage_to_what_it_may_not_see() {
    let (world, deals) = world(true).await;
    for answer in [
        world.fabrikam().asks("").await,
        world.fabrikam().asks(&format!("?$filter=engagementId eq {}", deals[0].engagement)).await,
        // A Referral User that is on no team there.
        world.person(CONTOSO_USER).asks(&format!("?$filter=engagementId eq {}", deals[0].engagement)).await,
    ] {
        assert_eq!((answer.status, answer.header(LEFT_OUT)), (200, None), "{}", answer.body);
        assert_eq!(answer.body.get("@cosell.leftOut"), None::<&Value>);
    }
    // An intact answer says nothing.
    let intact = world.contoso().asks("?$filter=name eq 'nothing'").await.expect(200);
    assert!(intact.body.get("@cosell.leftOut").is_none() && intact.header(LEFT_OUT).is_none());
}

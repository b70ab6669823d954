//! Paths that narrow the collection or name an entity otherwise, in the extended temperament. Source: OData 4.01 URL
//! Conventions, 4.12; OData 4.01 Protocol, 10.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::*;

async fn world() -> (World, Vec<String>) {
    let world = World::extended().await;
    let mut ids = Vec::new();
    for name in ["One (1)", "Two", "Three ')'"] {
        let mut body = small_deal();
        body["name"] = json!(name);
        ids.push(world.contoso().creates(body).await.id);
        world.clock.advance(1);
    }
    (world, ids)
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.body["value"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

async fn get(world: &World, path: &str) -> Answer {
    world.call("GET", &format!("/v1.0{path}")).as_user(CONTOSO_ADMIN).await
}

#[tokio::test]
async fn a_filter_may_be_a_segment_of_the_path() {
    let (world, all) = world().await;
    for (path, found) in [
        ("/engagements/referrals/$filter(name%20eq%20'Two')", vec![&all[1]]),
        ("/engagements/referrals/$filter(contains(name,'e'))/$filter(contains(name,'1'))", vec![&all[0]]),
        ("/engagements/referrals/$filter(name%20eq%20'One%20(1)')", vec![&all[0]]),
        ("/engagements/referrals/$filter(name%20eq%20'Three%20'')''')", vec![&all[2]]),
        ("/engagements/referrals/$filter(true)?$filter=name%20ne%20'Two'", vec![&all[2], &all[0]]),
        ("/engagements/referrals/$filter(name%20eq%20@n)?@n='Two'", vec![&all[1]]),
        ("/engagements/referrals/$filter(@p)?@p=name%20eq%20'Two'", vec![&all[1]]),
    ] {
        let answer = get(&world, path).await.expect(200);
        assert_eq!(ids(&answer), found, "{path}");
    }
    let count = get(&world, "/engagements/referrals/$filter(name%20ne%20'Two')/$count").await.expect(200);
    assert_eq!(count.bytes, "2".as_bytes());
    let first = get(&world, "/engagements/referrals/$filter(name%20ne%20'Two')?pagesize=1").await.expect(200);
    let link = first.body["@odata.nextLink"].as_str().unwrap().strip_prefix(BASE).unwrap();
    let second = world.call("GET", link).as_user(CONTOSO_ADMIN).await.expect(200);
    assert_eq!((ids(&first), ids(&second)), (vec![all[2].as_str()], vec![all[0].as_str()]));
    let long = format!("/engagements/referrals{}", "/$filter(name%20ne%20'Two')".repeat(1000));
    assert_eq!(ids(&get(&world, &long).await.expect(200)), [&all[2], &all[0]]);
    for bad in ["$filter(nam%20eq%201)", "$filter()"] {
        let answer = get(&world, &format!("/engagements/referrals/{bad}")).await;
        answer.refused(400, "invalidRequest", "$filter", bad_filter(bad));
    }
    for nowhere in ["$filter(true", "$filter(true)x", "$filter"] {
        get(&world, &format!("/engagements/referrals/{nowhere}")).await.expect(404);
    }
}

fn bad_filter(text: &str) -> &'static str {
    if text == "$filter()" { "unsupportedQuery" } else { "unsupportedFilter" }
}

#[tokio::test]
async fn an_entity_is_found_by_its_id() {
    let (world, all) = world().await;
    for id in [
        format!("{BASE}/v1.0/engagements/referrals/{}", all[0]),
        format!("/v1.0/engagements/referrals({})", all[0]),
        format!("engagements/referrals/{}", all[0]),
    ] {
        let answer = get(&world, &format!("/$entity?$id={id}&$select=name")).await.expect(200);
        assert_eq!(answer.body["name"], "One (1)", "{id}");
        assert_eq!(answer.body.as_object().unwrap().len(), 2);
    }
    for id in ["", "x", "http://elsewhere.example/v1.0/engagements/referrals/1", "engagements/referrals"] {
        get(&world, &format!("/$entity?$id={id}")).await.expect(400);
    }
    let unknown = "engagements/referrals/00000000-0000-4000-8000-00000000dead";
    get(&world, &format!("/$entity?$id={unknown}")).await.expect(404);
}

#[tokio::test]
async fn what_the_service_has_not_is_501_and_in_strict_404() {
    let (world, _) = world().await;
    for path in ["/$all", "/$crossjoin(Referrals)"] {
        let answer = get(&world, path).await.expect(501);
        assert_eq!(answer.body["error"]["innerError"]["code"], "notImplemented");
        let strict = World::new().await;
        get(&strict, path).await.expect(404);
    }
    let strict = World::new().await;
    for path in ["/$entity?$id=x", "/engagements/referrals/$filter(true)", "/engagements/referrals/$count"] {
        get(&strict, path).await.expect(404);
    }
}

#[tokio::test]
async fn names_match_in_any_case_in_extended_alone() {
    let (world, all) = world().await;
    let query = "?$FILTER=NAME%20EQ%20'Two'&$select=Name,ID";
    let answer = world.contoso().lists(query).await.expect(200);
    assert_eq!(answer.body["value"], json!([{ "id": all[1], "name": "Two" }]));
    let strict: Value = World::new().await.contoso().lists("?$filter=Name%20eq%20'x'").await.expect(400).body;
    assert_eq!(strict["error"]["target"], "$filter");
}

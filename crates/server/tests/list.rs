//! The plain list: newest first, paged by next links. Source: spec 11.1, 11.3. The query language has its own tests.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::collections::HashSet;

use serde_json::{Value, json};
use support::*;

/// A world in which Contoso owns so many referrals, made a second apart; the ids, newest first.
async fn with_referrals(count: usize) -> (World, Vec<String>) {
    let world = World::new().await;
    let template = world.contoso().own_deal().await;
    let document: Value = serde_json::from_str(&world.stored_bytes(&template.id).await.document).unwrap();
    let mut ids = vec![template.id];
    for at in 1..count {
        world.clock.advance(1);
        let id = format!("00000000-0000-4000-9000-{:012x}", (at * 7919) % 65536);
        let mut one = document.clone();
        one["id"] = id.clone().into();
        one["createdDateTime"] = world.clock.time().to_string().into();
        world.plant_new(one, None).await;
        ids.push(id);
    }
    ids.reverse();
    (world, ids)
}

fn ids(answer: &Answer) -> Vec<String> {
    let value = answer.body["value"].as_array().unwrap();
    value.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// The query of the next link, which must be absolute and on the public base.
fn next(answer: &Answer) -> Option<String> {
    let link = answer.body.get("@odata.nextLink")?.as_str().unwrap();
    // REF-209
    let query = link.strip_prefix(&format!("{BASE}{REFERRALS}?")).unwrap_or_else(|| panic!("{link}"));
    Some(format!("?{query}"))
}

/// All pages from a query on.
async fn pages(world: &World, query: &str) -> Vec<Answer> {
    let mut pages = vec![world.contoso().lists(query).await.expect(200)];
    while let Some(query) = next(pages.last().unwrap()) {
        assert!(pages.len() < 50, "no end");
        pages.push(world.contoso().lists(&query).await.expect(200));
    }
    pages
}

#[tokio::test]
async fn the_newest_come_first_a_hundred_to_a_page_each_once() {
    let (world, all) = with_referrals(251).await;
    let pages = pages(&world, "").await;
    let found: Vec<Vec<String>> = pages.iter().map(ids).collect();
    assert_eq!(found.concat(), all); // REF-206 REF-210
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 51]); // REF-207
    for page in &pages {
        assert_eq!(page.body["@odata.count"], 251); // REF-215
    }
    // REF-212: absent, not null.
    assert!(!pages[2].body.as_object().unwrap().contains_key("@odata.nextLink"));
    let members: Vec<&String> = pages[0].body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["@odata.context", "@odata.count", "value", "@odata.nextLink"]);
}

#[tokio::test]
async fn one_more_than_a_page_has_a_second_page_and_one_page_has_none() {
    // REF-208
    let (world, all) = with_referrals(101).await;
    let both = pages(&world, "").await;
    assert_eq!(both.iter().map(|page| ids(page).len()).collect::<Vec<_>>(), [100, 1]);
    assert_eq!(ids(&both[1]), all[100..]);
    let (world, all) = with_referrals(100).await;
    let only = pages(&world, "").await;
    assert_eq!((only.len(), ids(&only[0])), (1, all));
}

#[tokio::test]
async fn equal_creation_times_are_ordered_by_id_and_paged_without_loss() {
    // REF-210
    let world = World::new().await;
    let template = world.contoso().own_deal().await;
    let document: Value = serde_json::from_str(&world.stored_bytes(&template.id).await.document).unwrap();
    let mut all = vec![template.id.clone()];
    for at in 0..249 {
        let mut one = document.clone();
        let id = format!("{:08x}-0000-4000-9000-000000000000", (at * 7919u32) % 65536);
        one["id"] = id.clone().into();
        world.plant_new(one, None).await;
        all.push(id);
    }
    all.sort();
    assert_eq!(pages(&world, "").await.iter().flat_map(ids).collect::<Vec<_>>(), all);
}

#[tokio::test]
async fn new_referrals_between_pages_neither_double_nor_drop_any() {
    // REF-210
    let (world, all) = with_referrals(150).await;
    let first = world.contoso().lists("").await.expect(200);
    world.clock.advance(1);
    let new = world.contoso().own_deal().await;
    world.contoso().replaces(&all[120], "/name", json!("Changed")).await.expect(204);
    let second = world.contoso().lists(&next(&first).unwrap()).await.expect(200);
    let found = [ids(&first), ids(&second)].concat();
    assert_eq!(found, all);
    assert!(!found.contains(&new.id));
    assert_eq!(ids(&world.contoso().lists("?$top=1").await), [new.id]);
}

#[tokio::test]
async fn top_is_the_most_in_total() {
    let (world, all) = with_referrals(251).await;
    let ten = world.contoso().lists("?$top=10").await.expect(200);
    assert_eq!((ids(&ten), next(&ten)), (all[..10].to_vec(), None)); // REF-218
    assert_eq!(ten.body["@odata.count"], 251); // REF-215
    let two_hundred = pages(&world, "?$top=200").await; // REF-219
    assert_eq!(two_hundred.iter().map(|page| ids(page).len()).collect::<Vec<_>>(), [100, 100]);
    assert_eq!(two_hundred.iter().flat_map(ids).collect::<Vec<_>>(), all[..200]);
    let none = world.contoso().lists("?$top=0").await.expect(200); // REF-220
    assert_eq!((ids(&none).len(), next(&none), &none.body["@odata.count"]), (0, None, &json!(251)));
    for top in [100, 101, 150, 251, 252, 1000] {
        let found: Vec<String> = pages(&world, &format!("?$top={top}")).await.iter().flat_map(ids).collect();
        assert_eq!(found, all[..top.min(251)], "{top}");
    }
    let huge = pages(&world, "?$top=99999999999999999999999").await;
    assert_eq!(huge.iter().flat_map(ids).count(), 251);
    for bad in ["-1", "x", "", "1.5", "%20", "1e2", "%2B1"] {
        // REF-221
        let answer = world.contoso().lists(&format!("?$top={bad}")).await;
        answer.refused(400, "invalidRequest", "$top", "unsupportedQuery");
    }
}

#[tokio::test]
async fn the_count_may_be_left_out() {
    // REF-216
    let (world, all) = with_referrals(120).await;
    let pages = pages(&world, "?$count=false").await;
    assert_eq!(pages.iter().flat_map(ids).collect::<Vec<_>>(), all);
    for page in pages {
        assert!(!page.body.as_object().unwrap().contains_key("@odata.count"));
    }
    assert_eq!(world.contoso().lists("?$count=true").await.body["@odata.count"], 120);
}

#[tokio::test]
async fn nothing_is_an_empty_list() {
    // REF-217
    let world = World::new().await;
    let answer = world.contoso().lists("").await.expect(200);
    let expected = json!({ "@odata.context": format!("{BASE}/v1.0/$metadata#Referrals"), "@odata.count": 0, "value": [] });
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn the_list_holds_what_get_answers() {
    // REF-001
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    let sent = world.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
    world.fabrikam().own_deal().await;
    let list = world.contoso().lists("").await.expect(200);
    let found: HashSet<String> = ids(&list).into_iter().collect();
    assert_eq!(found, HashSet::from([own.id.clone(), sent.id.clone()]));
    for item in list.body["value"].as_array().unwrap() {
        let mut alone = world.contoso().gets(item["id"].as_str().unwrap()).await.expect(200).body;
        alone.as_object_mut().unwrap().shift_remove("@odata.context").unwrap();
        assert_eq!(&alone, item);
    }
}

#[tokio::test]
async fn options_that_are_not_served_are_refused_and_never_passed_over() {
    let world = World::new().await;
    world.contoso().own_deal().await;
    for option in [
        "$filter=status%20eq%20'New'",
        "$orderby=createdDateTime",
        "$select=id",
        "$skip=1",
        "$search=x",
        "$apply=x",
        "$expand=team",
        "%24filter=x",
        "$FILTER=x",
        "$unheard=1",
        "$skiptoken=xyz",
        "$skiptoken=00",
        "$skiptoken=",
    ] {
        let answer = world.contoso().lists(&format!("?{option}")).await.expect(400);
        let inner = &answer.body["error"]["innerError"]["code"];
        assert!(inner == "unsupportedQuery" || inner == "unsupportedFilter", "{option} {inner}");
        assert!(answer.body["error"]["target"].as_str().unwrap().starts_with('$'), "{option}");
    }
    for ignored in
        ["?", "?x=1", "?top=0", "?filter=x&&a", "?$expand=", "?$expand=&$count=true", "?%C3%BC=%C3%BC"]
    {
        assert_eq!(world.contoso().lists(ignored).await.expect(200).body["@odata.count"], 1, "{ignored}");
    }
    world.contoso().lists("?$top=%zz").await.refused(400, "invalidRequest", "query", "unsupportedQuery");
    world.contoso().lists("?%24top=%30").await.expect(200);
    world.contoso().lists("?$TOP=0").await.expect(200);
}

#[tokio::test]
async fn a_referral_user_lists_those_with_itself_on_the_team() {
    let world = World::new().await;
    let mut mine = Vec::new();
    for at in 0..130 {
        let mut body = small_deal();
        if at % 2 == 0 {
            body["team"] = json!([member("User@Contoso.Example")]);
        }
        let deal = world.contoso().creates(body).await;
        if at % 2 == 0 {
            mine.push(deal.id);
        }
        world.clock.advance(1);
    }
    mine.reverse();
    let user = world.person(CONTOSO_USER);
    let all = user.lists("").await.expect(200);
    assert_eq!((ids(&all), next(&all), &all.body["@odata.count"]), (mine.clone(), None, &json!(65)));
    assert_eq!(ids(&user.lists("?$top=3").await), mine[..3]);
    assert_eq!(world.person(FABRIKAM_USER).lists("").await.body["@odata.count"], 0);
}

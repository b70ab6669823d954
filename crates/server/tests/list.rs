//! Pages: the envelope, next links and their tokens, and that nothing doubles or drops between them. Source: spec
//! 11.1, 11.3. What is filtered, selected and ordered has tests of its own.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::collections::HashSet;

use serde_json::{Value, json};
use support::*;

/// A world in which Contoso owns so many referrals, made a second apart; the ids, newest first.
async fn with_referrals(count: usize) -> (World, Vec<String>) {
    let world = World::new().await;
    let ids = many(&world, count).await;
    (world, ids)
}

async fn many(world: &World, count: usize) -> Vec<String> {
    let mut ids = world.plants(count, |at, one| one["name"] = format!("Deal {at}").into()).await;
    ids.reverse();
    ids
}

fn sizes(pages: &[Answer]) -> Vec<usize> {
    pages.iter().map(|page| ids(page).len()).collect()
}

fn all_ids(pages: &[Answer]) -> Vec<String> {
    pages.iter().flat_map(ids).collect()
}

fn bad_token(answer: Answer) -> Answer {
    answer.refused(400, "invalidRequest", "$skiptoken", "unsupportedQuery")
}

// ---- the envelope ----

#[tokio::test]
async fn the_newest_come_first_a_hundred_to_a_page_each_once() {
    let (world, all) = with_referrals(251).await;
    let pages = world.contoso().pages("").await; // REF-209
    assert_eq!(all_ids(&pages), all); // REF-206 REF-210
    assert_eq!(sizes(&pages), [100, 100, 51]); // REF-207
    for page in &pages {
        assert_eq!(page.body["@odata.context"], format!("{BASE}/v1.0/$metadata#Referrals")); // REF-205
        assert_eq!(page.body["@odata.count"], 251); // REF-215
    }
    // REF-212: absent, not null.
    assert!(!pages[2].body.as_object().unwrap().contains_key("@odata.nextLink"));
    let members: Vec<&String> = pages[0].body.as_object().unwrap().keys().collect();
    assert_eq!(members, ["@odata.context", "@odata.count", "value", "@odata.nextLink"]); // REF-204
}

#[tokio::test]
async fn one_more_than_a_page_has_a_second_page_and_one_page_has_none() {
    // REF-208
    let (world, all) = with_referrals(101).await;
    let both = world.contoso().pages("").await;
    assert_eq!(sizes(&both), [100, 1]);
    assert_eq!(ids(&both[1]), all[100..]);
    let (world, all) = with_referrals(100).await;
    let only = world.contoso().pages("").await;
    assert_eq!((only.len(), ids(&only[0])), (1, all));
}

#[tokio::test]
async fn nothing_is_an_empty_list() {
    // REF-217
    let world = World::new().await;
    let context = format!("{BASE}/v1.0/$metadata#Referrals");
    let expected = json!({ "@odata.context": context, "@odata.count": 0, "value": [] });
    for query in ["", "?$filter=status eq 'New'", "?$skip=5", "?$orderby=updatedDateTime"] {
        assert_eq!(world.contoso().asks(query).await.expect(200).body, expected, "{query}");
    }
}

#[tokio::test]
async fn the_list_holds_what_get_answers() {
    // REF-001 REF-247
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    let sent = world.microsoft().creates(invitation(CONTOSO_LOCATION)).await;
    world.fabrikam().own_deal().await;
    let list = world.contoso().asks("").await.expect(200);
    let found: HashSet<String> = ids(&list).into_iter().collect();
    assert_eq!(found, HashSet::from([own.id.clone(), sent.id.clone()]));
    for item in list.body["value"].as_array().unwrap() {
        let answer = world.contoso().gets(item["id"].as_str().unwrap()).await.expect(200);
        assert_eq!(item["eTag"].as_str(), answer.header("etag"));
        let mut alone = answer.body;
        alone.as_object_mut().unwrap().shift_remove("@odata.context").unwrap();
        assert_eq!(&alone, item);
    }
}

#[tokio::test]
async fn the_count_may_be_left_out() {
    // REF-216
    let (world, all) = with_referrals(120).await;
    let pages = world.contoso().pages("?$count=false").await;
    assert_eq!(all_ids(&pages), all);
    for page in pages {
        assert!(!page.body.as_object().unwrap().contains_key("@odata.count"));
    }
    for query in ["?$count=true", "?$count=true&$top=1", "?$count=true&$skip=119"] {
        assert_eq!(world.contoso().asks(query).await.expect(200).body["@odata.count"], 120, "{query}");
    }
    for bad in ["?$count=", "?$count=yes", "?$count=1", "?$count"] {
        world.contoso().asks(bad).await.refused(400, "invalidRequest", "$count", "unsupportedQuery");
    }
}

#[tokio::test]
async fn the_count_is_of_the_matches_before_skip_and_top() {
    // REF-215
    let world = World::new().await;
    world
        .plants(30, |at, one| {
            if at % 3 == 0 {
                one["direction"] = "Incoming".into();
            }
        })
        .await;
    for query in ["", "&$top=2", "&$skip=4", "&$skip=50", "&$top=0", "&$select=id", "&pagesize=3"] {
        let answer =
            world.contoso().asks(&format!("?$filter=direction eq 'Incoming'{query}")).await.expect(200);
        assert_eq!(answer.body["@odata.count"], 10, "{query}");
    }
}

// ---- $top, $skip, pagesize ----

#[tokio::test]
async fn top_is_the_most_in_total() {
    let (world, all) = with_referrals(251).await;
    let ten = world.contoso().asks("?$top=10").await.expect(200);
    assert_eq!((ids(&ten), next(&ten)), (all[..10].to_vec(), None)); // REF-218
    assert_eq!(ten.body["@odata.count"], 251); // REF-215
    let two_hundred = world.contoso().pages("?$top=200").await; // REF-219
    assert_eq!(sizes(&two_hundred), [100, 100]);
    assert_eq!(all_ids(&two_hundred), all[..200]);
    let none = world.contoso().asks("?$top=0").await.expect(200); // REF-220
    assert_eq!((ids(&none).len(), next(&none), &none.body["@odata.count"]), (0, None, &json!(251)));
    for top in [100, 101, 150, 251, 252, 1000] {
        let found = all_ids(&world.contoso().pages(&format!("?$top={top}")).await);
        assert_eq!(found, all[..top.min(251)], "{top}");
    }
    let huge = world.contoso().pages("?$top=99999999999999999999999").await;
    assert_eq!(all_ids(&huge).len(), 251);
    for bad in ["-1", "x", "", "1.5", "%20", "1e2", "%2B1"] {
        // REF-221
        for option in ["$top", "$skip"] {
            let answer = world.contoso().lists(&format!("?{option}={bad}")).await;
            answer.refused(400, "invalidRequest", option, "unsupportedQuery");
        }
    }
}

#[tokio::test]
async fn skip_leaves_out_the_first_and_top_counts_from_there() {
    let (world, all) = with_referrals(251).await;
    let some = world.contoso().asks("?$skip=50&$top=50").await.expect(200); // REF-222
    assert_eq!((ids(&some), next(&some)), (all[50..100].to_vec(), None));
    assert_eq!(ids(&world.contoso().asks("?$skip=0&$top=100").await), all[..100]);
    for (query, expected) in [
        ("?$skip=120", &all[120..]),
        ("?$skip=100&$top=120", &all[100..220]),
        ("?$skip=10&$top=1000", &all[10..]),
        ("?$skip=250", &all[250..]),
        ("?$skip=251", &[]),
        ("?$skip=9223372036854775807", &[]),
        ("?$skip=20&$top=150&pagesize=40", &all[20..170]),
    ] {
        assert_eq!(all_ids(&world.contoso().pages(query).await), expected, "{query}");
    }
}

#[tokio::test]
async fn a_client_that_pages_by_skip_alone_gets_every_referral_once() {
    // spec 11.3, the last row
    let (world, all) = with_referrals(251).await;
    for size in [50, 100] {
        let mut found = Vec::new();
        loop {
            let page = world.contoso().asks(&format!("?$top={size}&$skip={}", found.len())).await.expect(200);
            if ids(&page).is_empty() {
                break;
            }
            found.extend(ids(&page));
        }
        assert_eq!(found, all, "{size}");
    }
}

#[tokio::test]
async fn a_page_size_is_kept_on_every_page_and_capped_at_a_hundred() {
    let (world, all) = with_referrals(120).await;
    let twos = world.contoso().pages("?pagesize=2&$top=9").await; // REF-246
    assert_eq!(sizes(&twos), [2, 2, 2, 2, 1]);
    assert_eq!(all_ids(&twos), all[..9]);
    for (size, expected) in [("100", 100), ("101", 100), ("99999999999999999999999", 100), ("99", 99)] {
        let answer = world.contoso().asks(&format!("?pageSize={size}")).await.expect(200);
        assert_eq!(ids(&answer).len(), expected, "{size}");
    }
    for bad in ["0", "-1", "", "x", "2.0"] {
        let answer = world.contoso().asks(&format!("?pagesize={bad}")).await;
        answer.refused(400, "invalidRequest", "pagesize", "unsupportedQuery");
    }
}

// ---- next links ----

#[tokio::test]
async fn a_referral_that_is_damaged_ends_no_list() {
    for place in [0, 1, 2, 5, 6] {
        let (world, all) = with_referrals(7).await;
        world.store.damage(all[place].parse().unwrap());
        let pages = world.contoso().pages("?pagesize=3").await;
        let whole: Vec<_> = all.iter().filter(|id| **id != all[place]).cloned().collect();
        assert_eq!(all_ids(&pages), whole, "without {place}");
    }
    // A page on which nothing else is goes on to the next that has something, and says how many are missing.
    let (world, all) = with_referrals(3).await;
    world.store.damage(all[0].parse().unwrap());
    world.store.damage(all[1].parse().unwrap());
    let page = world.contoso().asks("?pagesize=1").await.expect(200);
    assert_eq!((ids(&page), &page.body["@cosell.leftOut"]), (all[2..].to_vec(), &json!(2)));
    assert_eq!(all_ids(&world.contoso().pages("?pagesize=2").await), all[2..]);
}

#[tokio::test]
async fn equal_creation_times_are_ordered_by_id_and_paged_without_loss() {
    // REF-210
    let world = World::new().await;
    let beginning = world.clock.time().to_string();
    let mut all = world.plants(250, |_, one| one["createdDateTime"] = beginning.clone().into()).await;
    all.sort();
    assert_eq!(all_ids(&world.contoso().pages("").await), all);
    // Ties are by id ascending whatever the direction.
    for query in ["?$orderby=createdDateTime", "?$orderby=createdDateTime desc"] {
        assert_eq!(all_ids(&world.contoso().pages(&format!("{query}&pagesize=70")).await), all, "{query}");
    }
}

#[tokio::test]
async fn the_next_link_keeps_filter_order_and_selection() {
    // REF-211
    let world = World::new().await;
    let ids_of_all = world
        .plants(40, |at, one| one["direction"] = if at % 2 == 0 { "Incoming" } else { "Outgoing" }.into())
        .await;
    let expected: Vec<String> = ids_of_all.into_iter().step_by(2).collect();
    let query =
        "?$filter=direction eq 'Incoming'&$orderby=createdDateTime asc&$select=id,direction&pagesize=7";
    let pages = world.contoso().pages(query).await;
    assert_eq!(sizes(&pages), [7, 7, 6]);
    assert_eq!(all_ids(&pages), expected);
    for page in &pages {
        assert_eq!(page.body["@odata.count"], 20);
        assert_eq!(page.body["@odata.context"], format!("{BASE}/v1.0/$metadata#Referrals(id,direction)"));
        for item in page.body["value"].as_array().unwrap() {
            assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "direction"]);
            assert_eq!(item["direction"], "Incoming");
        }
    }
}

#[tokio::test]
async fn a_next_link_is_an_address_that_can_be_sent_as_it_is() {
    // REF-209
    let (world, _) = with_referrals(3).await;
    let query = "?$filter=contains(name,'Deal') and name ne 'a%26b%23c%25%2B''%C3%A4'&$top=2&pagesize=1";
    let first = world.contoso().asks(query).await.expect(200);
    let link = next(&first).unwrap();
    let address = |byte: u8| byte.is_ascii_alphanumeric() || b"?&=$%-._~(),/:;@*!'".contains(&byte);
    assert!(link.bytes().all(address), "{link}");
    assert!(!token_of(&link).contains(['%', '+', '/', '=']), "{link}");
    let second = world.contoso().lists(&link).await.expect(200);
    assert_eq!((ids(&second).len(), next(&second)), (1, None));
}

#[tokio::test]
async fn tokens_are_no_longer_than_an_address_bears() {
    let world = World::new().await;
    world.plants(3, |at, one| one["name"] = "é".repeat(250 + at).into()).await;
    let newest = world.contoso().asks("?pagesize=1").await.expect(200);
    assert!(token_of(&next(&newest).unwrap()).len() <= 64, "{:?}", next(&newest));
    // The place holds the values of the order: the longest name of spec 8.5 is 256 characters.
    let world = World::extended().await;
    world.plants(3, |at, one| one["name"] = "é".repeat(254 + at).into()).await;
    let named = world.contoso().asks("?$orderby=name&pagesize=1").await.expect(200);
    assert!(token_of(&next(&named).unwrap()).len() <= 1024, "{:?}", next(&named));
}

// ---- stable pages ----

#[tokio::test]
async fn new_referrals_between_pages_neither_double_nor_drop_any() {
    // REF-210
    let (world, all) = with_referrals(150).await;
    let first = world.contoso().asks("").await.expect(200);
    world.clock.advance(1);
    let new = world.contoso().own_deal().await;
    world.contoso().replaces(&all[120], "/name", json!("Changed")).await.expect(204);
    let second = world.contoso().lists(&next(&first).unwrap()).await.expect(200);
    let found = [ids(&first), ids(&second)].concat();
    assert_eq!(found, all);
    assert!(!found.contains(&new.id));
    assert_eq!(ids(&world.contoso().asks("?$top=1").await), [new.id]);
}

#[tokio::test]
async fn the_last_of_a_page_changed_before_the_next_neither_doubles_nor_drops_others() {
    let (world, all) = with_referrals(30).await;
    let first = world.contoso().asks("?pagesize=10").await.expect(200);
    let last = ids(&first).pop().unwrap();
    world.contoso().replaces(&last, "/name", json!("Changed")).await.expect(204);
    let second = world.contoso().lists(&next(&first).unwrap()).await.expect(200);
    assert_eq!(ids(&second), all[10..20]);
}

#[tokio::test]
async fn a_page_goes_on_where_its_last_was_though_that_one_moved() {
    // By updatedDateTime, a change moves a referral to the end: it is seen again there, and nothing else is lost.
    let (world, all) = with_referrals(30).await;
    let first = world.contoso().asks("?$orderby=updatedDateTime&pagesize=10").await.expect(200);
    let oldest_first: Vec<String> = all.iter().rev().cloned().collect();
    assert_eq!(ids(&first), oldest_first[..10]);
    world.clock.advance(60);
    world.contoso().replaces(&oldest_first[9], "/name", json!("Changed")).await.expect(204);
    let mut found = Vec::new();
    let mut link = next(&first);
    while let Some(query) = link {
        let page = world.contoso().lists(&query).await.expect(200);
        found.extend(ids(&page));
        link = next(&page);
    }
    let expected = [&oldest_first[10..], &[oldest_first[9].clone()]].concat();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_row_that_leaves_the_filter_between_pages_takes_no_other_with_it() {
    let (world, all) = with_referrals(30).await;
    let query = "?$filter=status eq 'Active'&pagesize=10";
    let first = world.contoso().asks(query).await.expect(200);
    assert_eq!(ids(&first), all[..10]);
    // The last of this page and the first of the next are closed in between.
    for id in [&all[9], &all[10]] {
        let won = example("patch.request.close-as-won.json");
        world.contoso().patches(id, won).await.expect(204);
    }
    let second = world.contoso().lists(&next(&first).unwrap()).await.expect(200);
    assert_eq!(ids(&second), all[11..21]);
    assert_eq!(second.body["@odata.count"], 28);
}

#[tokio::test]
async fn a_page_of_an_engagement_goes_on_though_a_member_was_added() {
    let world = World::new().await;
    let own = world.contoso().own_deal().await;
    let mut joined = vec![own.id.clone()];
    for _ in 0..5 {
        world.clock.advance(1);
        let mut body = deal();
        body["engagementId"] = own.engagement.clone().into();
        joined.push(world.contoso().creates(body).await.id);
    }
    joined.reverse();
    let query = format!("?$filter=engagementId eq '{}'&pagesize=2", own.engagement);
    assert_eq!(all_ids(&world.contoso().pages(&query).await), joined);
    let first = world.contoso().asks(&query).await.expect(200);
    world.clock.advance(1);
    world.contoso().connects(&own.engagement, FABRIKAM_LOCATION).await;
    let second = world.contoso().lists(&next(&first).unwrap()).await.expect(200);
    assert_eq!([ids(&first), ids(&second)].concat(), joined[..4]);
    assert_eq!(second.body["@odata.count"], 7);
}

// ---- tokens ----

#[tokio::test]
async fn a_token_that_was_never_made_is_refused() {
    // REF-213
    let (world, _) = with_referrals(3).await;
    let long = "A".repeat(60_000);
    for token in ["xyz", "00", "", "%00", "AAAAAAAAAAAAAAAAAAAAAAAA", "%F0%9F%98%80", "a%3Db", &long] {
        for query in [format!("?$skiptoken={token}"), format!("?pagesize=1&$skiptoken={token}")] {
            bad_token(world.contoso().lists(&query).await);
        }
    }
}

#[tokio::test]
async fn a_token_of_another_caller_is_refused() {
    // REF-214
    let world = World::new().await;
    let all =
        world.plants(5, |_, one| one["team"] = json!([member(CONTOSO_USER), member(CONTOSO_GLOBAL)])).await;
    for _ in 0..3 {
        world.fabrikam().own_deal().await;
    }
    let people = [CONTOSO_ADMIN, CONTOSO_USER, CONTOSO_GLOBAL, FABRIKAM_ADMIN];
    for owner in people {
        let first = world.person(owner).asks("?pagesize=2").await.expect(200);
        let link = next(&first).unwrap_or_else(|| panic!("{owner} has one page"));
        for other in people {
            let answer = world.person(other).lists(&link).await;
            if other == owner {
                let expected = if owner == FABRIKAM_ADMIN { 1 } else { all.len() - 3 };
                assert_eq!(ids(&answer.expect(200)).len(), expected, "{owner}");
            } else {
                bad_token(answer);
            }
        }
    }
}

#[tokio::test]
async fn a_token_belongs_to_its_options_in_any_order_and_spelling() {
    // REF-214 REF-211
    let (world, all) = with_referrals(12).await;
    let query = "?$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id&$top=9&pagesize=3";
    let first = world.contoso().asks(query).await.expect(200);
    let token = token_of(&next(&first).unwrap());
    for same in [
        format!(
            "?$skiptoken={token}&$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id&$top=9&pagesize=3"
        ),
        format!(
            "?pagesize=3&$top=9&$select=id&$orderby=createdDateTime desc&$filter=status eq 'Active'&$skiptoken={token}"
        ),
        format!(
            "?%24filter=(status+eq+%27Active%27)&%24orderby=createdDateTime++desc&%24select=id&%24top=9&pagesize=3&$skiptoken={token}"
        ),
        format!(
            "?$FILTER=status eq 'Active'&$OrderBy=createdDateTime desc&$Select=id&$TOP=9&pagesize=3&$skipToken={token}&x=1"
        ),
    ] {
        assert_eq!(ids(&world.contoso().asks(&same).await.expect(200)), all[3..6], "{same}");
    }
    for other in [
        "",
        "&$filter=status eq 'New'&$orderby=createdDateTime desc&$select=id&$top=9&pagesize=3",
        "&$filter=status eq 'Active'&$orderby=createdDateTime&$select=id&$top=9&pagesize=3",
        "&$filter=status eq 'Active'&$orderby=updatedDateTime desc&$select=id&$top=9&pagesize=3",
        "&$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id,name&$top=9&pagesize=3",
        "&$filter=status eq 'Active'&$orderby=createdDateTime desc&$top=9&pagesize=3",
        "&$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id&$top=10&pagesize=3",
        "&$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id&pagesize=3",
        "&$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id&$top=9&pagesize=4",
        "&$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id&$top=9&pagesize=3&$skip=1",
        "&$filter=status eq 'Active'&$orderby=createdDateTime desc&$select=id&$top=9&pagesize=3&$count=false",
    ] {
        bad_token(world.contoso().asks(&format!("?$skiptoken={token}{other}")).await);
    }
}

#[tokio::test]
async fn a_token_changed_in_any_place_is_refused() {
    // REF-213
    let (world, all) = with_referrals(4).await;
    let link = next(&world.contoso().asks("?pagesize=2&$top=3").await.expect(200)).unwrap();
    let token = token_of(&link);
    let with = |token: &str| format!("?pagesize=2&$top=3&$skiptoken={token}");
    assert_eq!(ids(&world.contoso().lists(&with(&token)).await.expect(200)), all[2..3]);
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        bad_token(world.contoso().lists(&with(&changed)).await);
        bad_token(world.contoso().lists(&with(&token[..at])).await);
    }
    for longer in
        [format!("{token}A"), format!("{token}AAAA"), format!("A{token}"), format!("{token}{token}")]
    {
        bad_token(world.contoso().lists(&with(&longer)).await);
    }
}

#[tokio::test]
async fn a_token_outlives_an_hour_and_a_restart_and_is_good_at_another_node() {
    // spec 11.1: at least one hour, across a restart too
    let (mut world, all) = with_referrals(6).await;
    let link = next(&world.contoso().asks("?pagesize=2").await.expect(200)).unwrap();
    world.clock.advance(2 * 3600);
    assert_eq!(ids(&world.contoso().lists(&link).await.expect(200)), all[2..4]);
    world.restart().await;
    assert_eq!(ids(&world.contoso().lists(&link).await.expect(200)), all[2..4]);
    let node = world.another_node().await;
    let answer = world.call("GET", &format!("{REFERRALS}{link}")).at(&node).as_user(CONTOSO_ADMIN).await;
    assert_eq!(ids(&answer.expect(200)), all[2..4]);
}

// ---- what other servers got wrong ----

#[tokio::test]
async fn a_selection_with_a_token_shows_values_and_not_null() {
    // AspNetCoreOData issue 616, OData/WebApi issue 2561
    let (world, all) = with_referrals(5).await;
    // The keys of the order and of the token are not selected.
    let pages =
        world.contoso().pages("?$select=name,customerProfile&$orderby=updatedDateTime desc&pagesize=2").await;
    let found: Vec<Value> =
        pages.iter().flat_map(|page| page.body["value"].as_array().unwrap().clone()).collect();
    assert_eq!(found.len(), all.len());
    for (item, at) in found.iter().zip((0..5).rev()) {
        assert_eq!(item["name"], format!("Deal {at}"));
        assert!(item["customerProfile"]["name"].is_string());
        assert_eq!(item.as_object().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_descending_order_has_its_next_link() {
    // AspNetCoreOData issue 1061
    let (world, all) = with_referrals(205).await;
    for query in ["?$orderby=createdDateTime desc", "?$orderby=createdDateTime desc&$top=205"] {
        let pages = world.contoso().pages(query).await;
        assert_eq!(sizes(&pages), [100, 100, 5], "{query}");
        assert_eq!(all_ids(&pages), all, "{query}");
    }
}

#[tokio::test]
async fn ordering_by_a_nullable_member_pages_over_the_nulls() {
    // OData/WebApi issue 1943
    let world = World::extended().await;
    let all = world
        .plants(11, |at, one| {
            one["details"]["dealValue"] = if at % 2 == 0 { Value::Null } else { json!(at) };
        })
        .await;
    let (nulls, valued): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let mut nulls: Vec<String> = nulls.into_iter().map(|(_, id)| id).collect();
    nulls.sort();
    let valued: Vec<String> = valued.into_iter().map(|(_, id)| id).collect();
    let downwards: Vec<String> = valued.iter().rev().cloned().collect();
    for size in 1..=4 {
        // Null is the smallest (URL Conventions, 5.1.5): first going up, last going down.
        let pages = world.contoso().pages(&format!("?$orderby=details/dealValue&pagesize={size}")).await;
        assert_eq!(all_ids(&pages), [nulls.clone(), valued.clone()].concat(), "{size}");
        let pages = world.contoso().pages(&format!("?$orderby=details/dealValue desc&pagesize={size}")).await;
        assert_eq!(all_ids(&pages), [downwards.clone(), nulls.clone()].concat(), "{size}");
    }
}

#[tokio::test]
async fn ordering_by_a_nested_path_pages() {
    // AspNetCoreOData issue 1147
    let world = World::extended().await;
    let cities = ["Lyon", "Aachen", "Zug", "Lyon", "Oslo"];
    let all = world.plants(5, |at, one| one["customerProfile"]["address"]["city"] = cities[at].into()).await;
    let mut lyon = vec![all[0].clone(), all[3].clone()];
    lyon.sort();
    let expected = [vec![all[1].clone()], lyon, vec![all[4].clone(), all[2].clone()]].concat();
    let query = "?$orderby=customerProfile/address/city&$select=id&pagesize=1";
    assert_eq!(all_ids(&world.contoso().pages(query).await), expected);
}

#[tokio::test]
async fn a_failure_amid_a_list_is_a_whole_error_and_no_cut_answer() {
    // AspNetCoreOData issue 764
    let world = World::extended().await;
    let all = many(&world, 3).await;
    let link = next(&world.contoso().asks("?pagesize=1").await.expect(200)).unwrap();
    let failure = || Some(Trouble::Error(store::StoreError::Engine("disk I/O error".to_owned())));
    world.store.trouble_reads(failure());
    for query in ["", "?$filter=status eq 'Active'", "?$count=false", &link] {
        // The body is held to the error's form by `check`.
        world.contoso().asks(query).await.refused(500, "generalException", "", "");
    }
    world.store.trouble_reads(None);
    // What breaks the third item's expansion comes when two are already known.
    world.plant(&all[2], |stored| stored.document = "{\"id\":".into()).await;
    for query in ["?$expand=relatedReferrals", "?$filter=engagementId ne null&$expand=relatedReferrals"] {
        world.contoso().asks(query).await.refused(500, "generalException", "", "");
    }
}

// ---- who sees which rows ----

#[tokio::test]
async fn a_referral_user_lists_those_with_itself_on_the_team() {
    // REF-027
    let world = World::new().await;
    let mut mine = world
        .plants(130, |at, one| {
            one["team"] = if at % 2 == 0 { json!([member("User@Contoso.Example")]) } else { json!([]) };
        })
        .await
        .into_iter()
        .step_by(2)
        .collect::<Vec<_>>();
    mine.reverse();
    let user = world.person(CONTOSO_USER);
    let all = user.asks("").await.expect(200);
    assert_eq!((ids(&all), next(&all), &all.body["@odata.count"]), (mine.clone(), None, &json!(65)));
    assert_eq!(ids(&user.asks("?$top=3").await), mine[..3]);
    assert_eq!(all_ids(&user.pages("?pagesize=20").await), mine);
    assert_eq!(user.asks("?$filter=status eq 'Active'").await.body["@odata.count"], 65);
    assert_eq!(user.asks("?$filter=status eq 'New'").await.body["@odata.count"], 0);
    assert_eq!(world.person(FABRIKAM_USER).asks("").await.body["@odata.count"], 0);
    assert_eq!(world.contoso().asks("").await.body["@odata.count"], 130);
}

//! `$search`, in the extended temperament: words, phrases, AND, OR, NOT. Source: OData 4.01 URL Conventions, 5.1.8.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::*;

async fn found(person: &Person<'_>, query: &str) -> Vec<String> {
    let query = query.replace(' ', "%20").replace('"', "%22");
    let answer = person.lists(&format!("?$select=name&$orderby=name&{query}")).await.expect(200);
    answer.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn world() -> World {
    let world = World::extended().await;
    for (name, notes) in [
        ("A", "Cloud migration for Tailspin Toys"),
        ("B", "migration of a cloud; ÄRGER with Café"),
        ("C", "nothing of the kind"),
    ] {
        let mut body = small_deal();
        body["name"] = json!(name);
        body["details"]["notes"] = json!(notes);
        world.contoso().creates(body).await;
    }
    let mut body = small_deal();
    body["name"] = json!("D");
    body["details"]["notes"] = json!("cloud migration");
    world.fabrikam().creates(body).await;
    world
}

#[tokio::test]
async fn words_phrases_and_their_logic_find_the_own_referrals() {
    let world = world().await;
    for (search, names) in [
        ("cloud", &["A", "B"][..]),
        ("CLOUD migration", &["A", "B"]),
        ("\"cloud migration\"", &["A"]),
        ("cloud AND NOT tailspin", &["B"]),
        ("tailspin OR kind", &["A", "C"]),
        ("(tailspin OR kind) AND toys", &["A"]),
        ("arger cafe", &["B"]),
        ("NOT cloud", &["C"]),
        ("clou", &[]),
        ("fabrikam-only-word", &[]),
    ] {
        assert_eq!(found(&world.contoso(), &format!("$search={search}")).await, names, "{search}");
    }
    assert_eq!(found(&world.fabrikam(), "$search=cloud").await, ["D"]);
    let count = world.call("GET", &format!("{REFERRALS}/$count?$search=cloud")).as_user(CONTOSO_ADMIN).await;
    assert_eq!(count.expect(200).bytes, "2".as_bytes());
}

#[tokio::test]
async fn a_search_goes_with_filters_pages_and_changes() {
    let world = world().await;
    assert_eq!(found(&world.contoso(), "$search=cloud&$filter=name ne 'A'").await, ["B"]);
    let first = world.contoso().lists("?$search=cloud&$orderby=name&pagesize=1").await.expect(200);
    assert_eq!(
        (first.body["@odata.count"].as_u64(), &first.body["value"][0]["name"]),
        (Some(2), &json!("A"))
    );
    let link = first.body["@odata.nextLink"].as_str().unwrap().strip_prefix(BASE).unwrap().to_owned();
    let second = world.call("GET", &link).as_user(CONTOSO_ADMIN).await.expect(200);
    assert_eq!(second.body["value"][0]["name"], "B");
    let id = first.body["value"][0]["id"].as_str().unwrap();
    world.contoso().replaces(id, "/details/notes", json!("all is on premises")).await.expect(204);
    assert_eq!(found(&world.contoso(), "$search=cloud").await, ["B"]);
    assert_eq!(found(&world.contoso(), "$search=premises").await, ["A"]);
    let groups = world.contoso().lists("?$apply=search(cloud)/aggregate($count%20as%20n)").await.expect(200);
    assert_eq!(groups.body["value"], json!([{ "n": 1 }]));
}

#[tokio::test]
async fn a_search_in_an_engagement_looks_into_what_the_caller_sees_alone() {
    let world = World::extended().await;
    let mut lead = invitation(CONTOSO_LOCATION);
    lead["campaignId"] = json!("springtime");
    lead["details"]["notes"] = json!("visible words");
    let sent = world.microsoft().creates(lead).await;
    let engagement: Value = world.contoso().gets(&sent.id).await.expect(200).body["engagementId"].clone();
    let asks = async |person: &Person<'_>, search: &str| {
        let filter = format!("engagementId%20eq%20{}", engagement.as_str().unwrap());
        let answer = person.lists(&format!("?$filter={filter}&$search={search}")).await.expect(200);
        answer.body["@odata.count"].as_u64().unwrap()
    };
    assert_eq!(asks(&world.contoso(), "visible").await, 1);
    assert_eq!(asks(&world.microsoft(), "visible").await, 1);
    world.contoso().replaces(&sent.id, "/campaignId", json!("autumn")).await.expect(204);
    assert_eq!(asks(&world.contoso(), "autumn").await, 1);
    // The campaign is the owner's own (spec 8.6).
    assert_eq!(asks(&world.microsoft(), "autumn").await, 0);
}

#[tokio::test]
async fn members_of_a_list_are_counted_by_their_words() {
    let world = World::extended().await;
    for (name, people) in [("A", &["ann", "bob"][..]), ("B", &["ann"]), ("C", &[])] {
        let mut body = small_deal();
        body["name"] = json!(name);
        body["team"] = people.iter().map(|one| member(&format!("{one}@contoso.example"))).collect();
        world.contoso().creates(body).await;
    }
    let contoso = world.contoso();
    assert_eq!(found(&contoso, "$filter=team/$count($search=ann) eq 1").await, ["A", "B"]);
    assert_eq!(found(&contoso, "$filter=team/$count($search=bob OR ann) eq 2").await, ["A"]);
    assert_eq!(found(&contoso, "$filter=team/$count($search=NOT ann) ge 1").await, ["A"]);
}

#[tokio::test]
async fn what_is_no_search_is_refused_with_its_place() {
    let world = World::extended().await;
    for bad in ["", "(a", "%22a"] {
        let answer = world.contoso().lists(&format!("?$search={bad}")).await;
        assert_eq!(answer.status, 400, "{bad}: {}", answer.body);
        answer.refused(400, "invalidRequest", "$search", "unsupportedQuery");
    }
}

//! What the extended temperament answers beyond the contract: the rest of the query language, keys in parentheses,
//! paths into a referral. Source: OData 4.01 Protocol and URL Conventions; ADR 0009.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod addresses;
mod beside_apply;
mod encoding;
mod expand;
mod members;
mod paths;
#[path = "../resource/mod.rs"]
mod resource;
#[path = "../support/mod.rs"]
mod support;
mod values;

use resource::{full, with};
use serde_json::{Value, json};
use support::*;

/// Contoso owns five, a second apart; the third and fifth have no deal value and no city.
async fn five() -> World {
    let world = World::extended().await;
    let values = [
        ("ada", json!(10), json!("Redmond"), json!(["a@x.example", "b@x.example"])),
        ("bob", json!(2.5), json!("aachen"), json!([])),
        ("cyd", Value::Null, Value::Null, json!(["c@x.example"])),
        ("dan", json!(10), json!("Zürich"), json!(["d@x.example", "e@x.example", "f@x.example"])),
        ("Eve", Value::Null, Value::Null, json!(["b@x.example"])),
    ];
    world
        .plants(values.len(), |at, one| {
            let (name, value, city, team) = &values[at];
            one["name"] = (*name).into();
            one["details"]["dealValue"] = value.clone();
            one["customerProfile"]["address"]["city"] = city.clone();
            one["team"] =
                team.as_array().unwrap().iter().map(|email| member(email.as_str().unwrap())).collect();
            one["status"] = if at == 4 { "Closed" } else { "Active" }.into();
            one["substatus"] = if at == 4 { "Won" } else { "Accepted" }.into();
        })
        .await;
    world
}

/// The id of the referral of this name.
async fn id_of(world: &World, name: &str) -> String {
    ids(&world.contoso().asks(&format!("?$filter=name eq '{name}'")).await.expect(200)).remove(0)
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

/// Contoso's own deal, what it sent to Fabrikam, and two more of its own in the engagement; one alone.
async fn engaged() -> (World, Deal) {
    let world = World::extended().await;
    let alone = with(full(), "/name", json!("alone"));
    world.contoso().creates(alone).await;
    world.clock.advance(1);
    let own = world.contoso().creates(with(full(), "/name", json!("own"))).await;
    for name in ["second", "third"] {
        world.clock.advance(1);
        let body = with(with(full(), "/name", json!(name)), "/engagementId", json!(own.engagement));
        world.contoso().creates(body).await;
    }
    world.clock.advance(1);
    let sent = with(with(full(), "/name", json!("sent")), "/engagementId", json!(own.engagement));
    world.contoso().creates(with(sent, "/target", invitation(FABRIKAM_LOCATION)["target"].clone())).await;
    (world, own)
}

fn names_of(value: &Value) -> Vec<&str> {
    let items = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    items.iter().map(|one| one["name"].as_str().unwrap()).collect()
}

// ---- $orderby ----

#[tokio::test]
async fn any_key_sorts_and_pages_over_ties_and_nulls() {
    let world = five().await;
    for (order, expected) in [
        ("name", "Eve ada bob cyd dan"),
        ("name desc", "dan cyd bob ada Eve"),
        ("tolower(name)", "ada bob cyd dan Eve"),
        ("tolower(name) desc", "Eve dan cyd bob ada"),
        ("length(name),name", "Eve ada bob cyd dan"),
        ("details/dealValue,name", "Eve cyd bob ada dan"),
        ("details/dealValue desc,name", "ada dan bob Eve cyd"),
        ("details/dealValue,name desc", "cyd Eve bob dan ada"),
        ("customerProfile/address/city,name", "Eve cyd ada dan bob"),
        ("customerProfile/address/city desc,name", "bob dan ada Eve cyd"),
        ("team/$count,name", "bob Eve cyd ada dan"),
        ("team/$count desc,name desc", "dan ada cyd Eve bob"),
        ("details/dealValue mul -1,name", "Eve cyd ada dan bob"),
        ("status,name", "ada bob cyd dan Eve"),
        ("status desc,name", "Eve ada bob cyd dan"),
        ("name eq 'bob' desc,name", "bob Eve ada cyd dan"),
        ("second(createdDateTime)", "ada bob cyd dan Eve"),
        ("createdDateTime,name desc", "ada bob cyd dan Eve"),
    ] {
        for size in [1, 2, 3, 100] {
            let found = world.contoso().names(&format!("?$orderby={order}&pagesize={size}")).await;
            assert_eq!(found.join(" "), expected, "{order}, {size} to a page");
        }
    }
}

#[tokio::test]
async fn ties_of_any_key_are_broken_by_id() {
    let world = World::extended().await;
    let mut all = world.plants(23, |at, one| one["name"] = ["x", "y", "y"][at % 3].into()).await;
    let found = |pages: &[Answer]| pages.iter().flat_map(ids).collect::<Vec<_>>();
    all.sort();
    for order in
        ["details/currency", "details/currency desc", "quality,isSpam desc", "createdDateTime eq null"]
    {
        let pages = world.contoso().pages(&format!("?$orderby={order}&pagesize=4")).await;
        assert_eq!(found(&pages), all, "{order}");
    }
    for order in ["name", "name desc"] {
        let pages = world.contoso().pages(&format!("?$orderby={order}&pagesize=5")).await;
        let mut each = found(&pages);
        assert_eq!(each.len(), 23, "{order}");
        each.sort();
        assert_eq!(each, all, "{order}");
    }
}

// ---- $filter ----

#[tokio::test]
async fn the_rest_of_the_expressions_is_answered() {
    let world = five().await;
    let mut wrong = Vec::new();
    for (filter, expected) in [
        ("tolower(name) eq 'eve'", "Eve"),
        ("toupper(name) eq 'EVE'", "Eve"),
        ("toupper(customerProfile/address/city) eq 'ZÜRICH'", "dan"),
        ("length(customerProfile/address/city) eq 6", "bob dan"),
        ("indexof(name,'d') eq 1", "ada"),
        ("indexof(name,'z') eq -1", "Eve ada bob cyd dan"),
        ("substring(name,1) eq 'da'", "ada"),
        ("substring(customerProfile/address/city,1,2) eq 'ür'", "dan"),
        ("concat(name,concat('-',name)) eq 'ada-ada'", "ada"),
        ("trim(concat(' ',name)) eq 'bob'", "bob"),
        ("matchesPattern(name,'^[a-c]')", "ada bob cyd"),
        (
            "year(createdDateTime) eq 2026 and month(createdDateTime) eq 3 and day(createdDateTime) eq 2",
            "Eve ada bob cyd dan",
        ),
        (
            "hour(createdDateTime) eq 9 and minute(createdDateTime) eq 30 and second(createdDateTime) eq 3",
            "cyd",
        ),
        ("date(createdDateTime) eq 2026-03-02", "Eve ada bob cyd dan"),
        ("createdDateTime ge now() sub duration'PT1S'", "Eve dan"),
        ("createdDateTime lt maxdatetime() and createdDateTime gt mindatetime()", "Eve ada bob cyd dan"),
        ("round(details/dealValue) eq 3", "bob"),
        ("floor(details/dealValue) eq 2", "bob"),
        ("ceiling(details/dealValue) eq 3", "bob"),
        ("details/dealValue add 1 eq 3.5", "bob"),
        ("details/dealValue sub 0.5 mul 2 eq 1.5", "bob"),
        ("(details/dealValue sub 0.5) mul 2 eq 4", "bob"),
        ("details/dealValue div 4 eq 2.5", "ada dan"),
        ("7 div 2 eq 3", "Eve ada bob cyd dan"),
        ("7 divby 2 eq 3.5", "Eve ada bob cyd dan"),
        ("7 mod 2 eq 1", "Eve ada bob cyd dan"),
        ("-details/dealValue eq -10", "ada dan"),
        ("status has 'Closed'", "Eve"),
        ("status eq Cosell.Referrals.ReferralStatus'Closed'", "Eve"),
        ("status gt 'Active'", "Eve"),
        ("team/all(t:endswith(t/email,'x.example'))", "Eve ada bob cyd dan"),
        ("team/all(t:t/email eq 'b@x.example')", "Eve bob"),
        ("team/$count gt 1", "ada dan"),
        ("team/$count($filter=email eq 'b@x.example') eq 1", "Eve ada"),
        ("team/any(t:t/email eq 'b@x.example' and t/lastName eq 'Doe') and team/$count eq 1", "Eve"),
        ("case(name eq 'ada':1,true:2) eq 1", "ada"),
        ("cast(details/dealValue,Edm.String) eq '2.5'", "bob"),
        ("$it/name eq 'cyd'", "cyd"),
        ("Name eq 'cyd' and DETAILS/DealValue eq null", "cyd"),
        ("statusReason eq null and details/notes ne null", "Eve ada bob cyd dan"),
        ("customerProfile/team/any(c:c/contactPreference/locale eq 'en-us')", "Eve ada bob cyd dan"),
        ("details/requirements/solutions/any(s:s/id eq 'SOL-34104-EBB')", "Eve ada bob cyd dan"),
        ("name in ('ada','Eve') and not (details/dealValue eq null)", "ada"),
        ("team/any(t:team/any(u:t/email ne u/email))", "ada dan"),
    ] {
        let query = format!("?$filter={}&$orderby=name", escaped(filter));
        let answer = world.contoso().lists(&query).await;
        if answer.status != 200 {
            wrong.push(format!("{filter}: {} {}", answer.status, answer.body));
        } else if names(&answer).join(" ") != expected
            || answer.body["@odata.count"] != expected.split_whitespace().count()
        {
            wrong.push(format!("{filter}: {:?}, counted {}", names(&answer), answer.body["@odata.count"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_alias_email_is_no_name_of_others() {
    let world = five().await;
    world.bends(&id_of(&world, "ada").await, |one| one["tags"] = json!(["b@x.example"])).await;
    for (filter, expected) in [
        ("tags/any(email:email eq 'b@x.example')", "ada"),
        ("team/any(email:email/email eq 'c@x.example')", "cyd"),
        ("team/$count($filter=email eq 'c@x.example') eq 1", "cyd"),
        ("team/any(t:t/email eq 'b@x.example') and email eq 'a@x.example'", "ada"),
        ("(email eq 'c@x.example') ne false", "cyd"),
        ("team/any(t:t/email eq 'b@x.example' and email eq 'a@x.example')", "ada"),
    ] {
        assert_eq!(
            world.contoso().names(&format!("?$filter={filter}")).await.join(" "),
            expected,
            "{filter}"
        );
    }
}

#[tokio::test]
async fn aliases_stand_for_their_values_on_every_page() {
    let world = five().await;
    for (query, expected) in [
        ("$filter=name eq @name&@name='ada'", "ada"),
        ("@name='ada'&$filter=@name eq name", "ada"),
        ("$filter=details/dealValue eq @v and status eq @s&@v=10&@s='Active'&$orderby=name", "ada dan"),
        ("$filter=team/any(t:t/email eq @mail)&@mail='B@X.example'&$orderby=name", "Eve ada"),
        ("$filter=email eq @mail&@mail='B@X.example'&$orderby=name", "Eve ada"),
        ("$filter=@p&@p=name eq 'bob'", "bob"),
        ("$filter=@p&@p=email eq 'B@X.example'&$orderby=name", "Eve ada"),
        ("$filter=@p and not @q&@p=email eq 'b@x.example'&@q=email eq 'a@x.example'", "Eve"),
        ("$orderby=@key desc&@key=tolower(name)", "Eve dan cyd bob ada"),
    ] {
        let found = world.contoso().names(&format!("?{query}&pagesize=1")).await;
        assert_eq!(found.join(" "), expected, "{query}");
    }
    for (query, target) in [
        ("$filter=name eq @name", "$filter"),
        ("$filter=name eq @name&@nam='ada'", "$filter"),
        ("$filter=@a&@a=@b&@b=@a", "$filter"),
        ("@a=(&$filter=true", "@a"),
        ("@a=1&@a=2", "@a"),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await.expect(400);
        assert_eq!(answer.body["error"]["target"], target, "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn options_need_no_dollar() {
    let world = five().await;
    let dollars = "?$filter=status eq 'Active'&$orderby=name&$select=name&$top=3&$skip=1&$count=true";
    let bare = dollars.replace('$', "");
    let one = world.contoso().asks(dollars).await.expect(200);
    let other = world.contoso().asks(&bare).await.expect(200);
    assert_eq!(one.body, other.body);
    assert_eq!(names(&one), ["bob", "cyd", "dan"]);
    let twice = world.contoso().asks("?$top=1&top=2").await;
    twice.refused(400, "invalidRequest", "$top", "unsupportedQuery");
}

// ---- $select, $compute ----

#[tokio::test]
async fn selections_reach_into_objects_and_lists() {
    let world = five().await;
    let one = async |query: &str| {
        let answer = world.contoso().asks(&format!("?$filter=name eq 'dan'&{query}")).await.expect(200);
        let context = answer.body["@odata.context"].as_str().unwrap().to_owned();
        (answer.body["value"][0].clone(), context.split_once('#').unwrap().1.to_owned())
    };
    let (item, context) = one("$select=name,customerProfile/address/city").await;
    assert_eq!(item, json!({ "name": "dan", "customerProfile": { "address": { "city": "Zürich" } } }));
    assert_eq!(context, "Referrals(name,customerProfile/address/city)");

    let (item, _) = one("$select=details/dealValue,details/currency").await;
    assert_eq!(item, json!({ "details": { "dealValue": 10, "currency": "USD" } }));

    let (item, _) = one("$select=team/email").await;
    let emails = json!([{ "email": "d@x.example" }, { "email": "e@x.example" }, { "email": "f@x.example" }]);
    assert_eq!(item, json!({ "team": emails }));

    let (item, _) =
        one("$select=team($filter=email ne 'e@x.example';$orderby=email desc;$select=email;$count=true)")
            .await;
    let emails = json!([{ "email": "f@x.example" }, { "email": "d@x.example" }]);
    assert_eq!(item, json!({ "team@odata.count": 2, "team": emails }));

    let (item, _) = one("$select=team($top=1;$skip=1;$select=email)").await;
    assert_eq!(item, json!({ "team": [{ "email": "e@x.example" }] }));

    let (item, _) = one("$select=customerProfile($select=name)").await;
    assert_eq!(keys(&item["customerProfile"]), ["name"]);

    let (item, _) = one("$select=*").await;
    let whole = world.contoso().gets(&id_of(&world, "dan").await).await.body;
    assert_eq!(keys(&item).len(), keys(&whole).len() - 1);
}

#[tokio::test]
async fn computed_members_are_shown_sorted_by_and_filtered_by() {
    let world = five().await;
    let query = "?$compute=length(name) as letters,details/dealValue mul 2 as twice&$select=name,twice&$orderby=twice desc,name&pagesize=2";
    let pages = world.contoso().pages(query).await;
    let found: Vec<Value> =
        pages.iter().flat_map(|page| page.body["value"].as_array().unwrap().clone()).collect();
    let found: Vec<_> =
        found.iter().map(|row| (row["name"].as_str().unwrap(), row["twice"].as_f64())).collect();
    let expected =
        [("ada", Some(20.0)), ("dan", Some(20.0)), ("bob", Some(5.0)), ("Eve", None), ("cyd", None)];
    assert_eq!(found, expected);
    let answer =
        world.contoso().asks("?$compute=toupper(name) as big&$filter=big eq 'BOB'").await.expect(200);
    let item = &answer.body["value"][0];
    // Without a selection it comes beside all others.
    assert_eq!((&item["big"], &item["name"]), (&json!("BOB"), &json!("bob")));
    assert!(item["eTag"].is_string() && item["links"]["self"]["uri"].is_string());
    for (query, target) in [
        ("$compute=length(name) as name", "$compute"),
        ("$compute=length(name)", "$compute"),
        ("$compute=unheard as x", "$compute"),
        ("$compute=length(name) as x&$select=y", "$select"),
        ("$compute=length(name) as x&$filter=x", "$filter"),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await.expect(400);
        assert_eq!(answer.body["error"]["target"], target, "{query}");
    }
}

// ---- $apply ----

#[tokio::test]
async fn aggregates_are_of_the_own_referrals_that_the_caller_may_see() {
    let world = five().await;
    world.fabrikam().own_deal().await;
    let rows = async |query: &str| {
        let answer = world.contoso().asks(&format!("?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        answer.body["value"].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
    };
    for (query, expected) in [
        ("$apply=aggregate($count as total)", r#"{"total":5}"#),
        (
            "$apply=groupby((status),aggregate($count as total))&$orderby=total desc",
            r#"{"status":"Active","total":4} {"status":"Closed","total":1}"#,
        ),
        (
            "$apply=filter(status eq 'Active')/aggregate(details/dealValue with sum as sum,details/dealValue with max as max,details/dealValue with min as min)",
            r#"{"sum":22.5,"max":10,"min":2.5}"#,
        ),
        ("$apply=aggregate(details/dealValue with average as mean)", r#"{"mean":7.5}"#),
        ("$apply=aggregate(details/dealValue with countdistinct as different)", r#"{"different":2}"#),
        ("$apply=groupby((details/currency))", r#"{"details":{"currency":"USD"}}"#),
        (
            "$apply=groupby((status),aggregate($count as total))&$filter=total gt 1",
            r#"{"status":"Active","total":4}"#,
        ),
    ] {
        assert_eq!(rows(query).await, expected, "{query}");
    }
    let answer =
        world.contoso().asks("?$apply=groupby((status),aggregate($count as total))").await.expect(200);
    assert!(
        answer.body["@odata.context"].as_str().unwrap().ends_with("#Referrals(status,total)"),
        "{}",
        answer.body
    );
    for bad in [
        "unheard",
        "aggregate(name with sum as x)",
        "groupby(status)",
        "aggregate($count)",
        "filter(name)",
        "",
    ] {
        world.contoso().asks(&format!("?$apply={bad}")).await.refused(
            400,
            "invalidRequest",
            "$apply",
            "unsupportedQuery",
        );
    }
}

#[tokio::test]
async fn groups_are_paged_each_once() {
    let world = World::extended().await;
    world.plants(40, |at, one| one["name"] = format!("{:02}", at / 2).into()).await;
    let query = "?$apply=groupby((name),aggregate($count as total))&$orderby=name&pagesize=7";
    let pages = world.contoso().pages(query).await;
    assert_eq!(pages.len(), 3);
    let found: Vec<String> = pages.iter().flat_map(names).collect();
    assert_eq!(found, (0..20).map(|at| format!("{at:02}")).collect::<Vec<_>>());
    let pages = world.contoso().pages(&format!("{query}&$top=9&$skip=3")).await;
    assert_eq!(
        pages.iter().flat_map(names).collect::<Vec<_>>(),
        (3..12).map(|at| format!("{at:02}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_referral_user_aggregates_what_it_lists() {
    let world = World::extended().await;
    world
        .plants(9, |at, one| {
            one["team"] = if at % 3 == 0 { json!([member(CONTOSO_USER)]) } else { json!([]) }
        })
        .await;
    let user = world.person(CONTOSO_USER);
    let answer = user.asks("?$apply=aggregate($count as total)").await.expect(200);
    assert_eq!(answer.body["value"], json!([{ "total": 3 }]));
    assert_eq!(user.reads("/$count").await.expect(200).bytes, "3");
}

//! What the extended temperament answers beyond the contract: the rest of the query language, keys in parentheses,
//! paths into a referral. Source: OData 4.01 Protocol and URL Conventions; ADR 0009.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod resource;
mod support;

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
        ("1 div 0 eq 1", ""),
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

// ---- $expand ----

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

#[tokio::test]
async fn related_referrals_are_expanded_with_their_own_options() {
    let (world, own) = engaged().await;
    let one = async |expand: &str| {
        let query = format!("?$filter=id eq {}&$select=name&$expand={expand}", own.id);
        let answer = world.contoso().asks(&query).await.expect(200);
        (answer.body["value"][0].clone(), answer.body["@odata.context"].as_str().unwrap().to_owned())
    };
    let (item, context) = one("relatedReferrals").await;
    assert_eq!(names_of(&item["relatedReferrals"]), ["sent", "third", "second", "own"]);
    assert!(context.ends_with("#Referrals(name,relatedReferrals())"), "{context}");
    assert_eq!(keys(&item), ["name", "relatedReferrals"]);
    // Each as a GET shows it.
    for related in item["relatedReferrals"].as_array().unwrap() {
        let mut alone = world.contoso().gets(related["id"].as_str().unwrap()).await.expect(200).body;
        alone.as_object_mut().unwrap().shift_remove("@odata.context");
        assert_eq!(&alone, related);
    }

    let options = "$filter=name ne 'own';$orderby=name;$top=2;$skip=1;$select=name;$count=true";
    let (item, context) = one(&format!("relatedReferrals({options})")).await;
    assert_eq!(item["relatedReferrals"], json!([{ "name": "sent" }, { "name": "third" }]));
    assert_eq!(item["relatedReferrals@odata.count"], 3);
    assert!(context.ends_with("#Referrals(name,relatedReferrals(name))"), "{context}");

    let (item, _) = one("relatedReferrals/$count").await;
    assert_eq!(item, json!({ "name": "own", "relatedReferrals@odata.count": 4 }));
    let (item, _) = one("relatedReferrals/$count($filter=name eq 'sent')").await;
    assert_eq!(item["relatedReferrals@odata.count"], 1);

    let (item, _) = one("relatedReferrals/$ref($filter=name eq 'own')").await;
    assert_eq!(item["relatedReferrals"], json!([{ "@odata.id": format!("{BASE}{}", own.path()) }]));

    let (item, _) = one("relatedReferrals($filter=name eq 'third';$select=name;$expand=relatedReferrals($filter=name eq 'second';$select=name))").await;
    let second = json!([{ "name": "second" }]);
    assert_eq!(item["relatedReferrals"], json!([{ "name": "third", "relatedReferrals": second }]));

    let (item, _) = one(
        "relatedReferrals($compute=length(name) as letters;$select=letters;$orderby=letters desc;$top=1)",
    )
    .await;
    assert_eq!(item["relatedReferrals"], json!([{ "letters": 6 }]));

    let (item, _) = one("*").await;
    assert_eq!(item["relatedReferrals"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn the_alias_email_holds_in_expansions_too() {
    let (world, own) = engaged().await;
    world.bends(&own.id, |one| one["team"] = json!([member("ann@x.example")])).await;
    for expand in [
        "relatedReferrals($filter=email eq 'ann@x.example')",
        "relatedReferrals($filter=@p)&@p=email eq 'ann@x.example'",
        "relatedReferrals($top=1;$filter=email eq 'ann@x.example';$expand=relatedReferrals($filter=email eq 'x'))",
    ] {
        let answer =
            world.contoso().asks(&format!("?$filter=name eq 'third'&$expand={expand}")).await.expect(200);
        let related = &answer.body["value"][0]["relatedReferrals"];
        assert_eq!(names_of(related), ["own"], "{expand}");
    }
}

#[tokio::test]
async fn what_would_be_evaluated_without_end_is_refused() {
    let (world, own) = engaged().await;
    let team: Value = (0..60).map(|at| member(&format!("m{at}@x.example"))).collect();
    world.bends(&own.id, |one| one["team"] = team).await;
    let endless = "team/any(a:team/any(b:team/any(c:team/any(d:team/any(e:contains(a/email,'zzz'))))))";
    let engagement = format!("engagementId eq '{}'", own.engagement);
    for (path, query, target) in [
        ("", format!("?$filter={engagement} and {endless}"), "$filter"),
        ("", format!("?$filter={engagement}&$orderby={endless}"), "query"),
        ("", format!("?$compute={endless} as z&$select=id,z"), "query"),
        ("", format!("?$expand=relatedReferrals($filter={endless})"), "$expand"),
        ("", format!("?$expand=relatedReferrals($compute={endless} as z)&$select=id"), "$expand"),
        ("/$count", format!("?$filter={engagement} and {endless}"), "$filter"),
    ] {
        let target_uri = format!("{REFERRALS}{path}{}", query.replace(' ', "%20"));
        let answer = world.call("GET", &target_uri).as_user(CONTOSO_ADMIN).await;
        answer.refused(400, "invalidRequest", target, "unsupportedQuery");
    }
    for path in [
        format!("?$compute={endless} as z"),
        format!("/relatedReferrals?$filter={endless}"),
        format!("/relatedReferrals?$compute={endless} as z"),
    ] {
        let target = format!("{REFERRALS}/{}{}", own.id, path.replace(' ', "%20"));
        world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(400);
    }
    // The same lambdas over short lists are no work.
    let short = "team/any(a:team/any(b:contains(a/email,'m59') and contains(b/email,'m1')))";
    let found = world.contoso().names(&format!("?$filter={engagement} and {short}")).await;
    assert_eq!(found, ["own"]);
}

#[tokio::test]
async fn an_expansion_is_made_for_every_item_of_every_page() {
    let (world, _) = engaged().await;
    let query = "?$orderby=name&$select=name&$expand=relatedReferrals($select=name;$orderby=name)&pagesize=1";
    let pages = world.contoso().pages(query).await;
    let found: Vec<(String, Vec<&str>)> = pages
        .iter()
        .map(|page| (names(page).remove(0), names_of(&page.body["value"][0]["relatedReferrals"])))
        .collect();
    let all = vec!["own", "second", "sent", "third"];
    let expected = [
        ("alone".to_owned(), vec!["alone"]),
        ("own".to_owned(), all.clone()),
        ("second".to_owned(), all.clone()),
        ("third".to_owned(), all),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn more_than_a_page_of_related_referrals_goes_on_by_a_link() {
    let world = World::extended().await;
    let engagement = "00000000-0000-4000-a000-00000000ffff";
    world
        .plants(130, |at, one| {
            one["engagementId"] = engagement.into();
            one["name"] = format!("{at:03}").into();
        })
        .await;
    let query = "?$filter=name eq '007'&$select=name&$expand=relatedReferrals($orderby=name;$select=name;$count=true)";
    let answer = world.contoso().asks(query).await.expect(200);
    let item = &answer.body["value"][0];
    assert_eq!(item["relatedReferrals@odata.count"], 130);
    let mut found: Vec<String> =
        names_of(&item["relatedReferrals"]).iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found.len(), 100);
    let link = item["relatedReferrals@odata.nextLink"].as_str().unwrap();
    let target = link.strip_prefix(BASE).unwrap();
    let rest = world.call("GET", target).as_user(CONTOSO_ADMIN).await.expect(200);
    found.extend(names(&rest));
    assert_eq!(found, (0..130).map(|at| format!("{at:03}")).collect::<Vec<_>>());
    assert!(rest.body.get("@odata.nextLink").is_none());
}

#[tokio::test]
async fn an_expansion_that_would_bring_too_much_is_refused() {
    let world = World::extended().await;
    world.plants(120, |_, one| one["engagementId"] = "00000000-0000-4000-a000-00000000ffff".into()).await;
    let answer = world.contoso().asks("?$expand=relatedReferrals($expand=relatedReferrals)&$top=2").await;
    answer.refused(400, "invalidRequest", "$expand", "unsupportedQuery");
    // Of two options that may be at fault none is blamed.
    let query = "?$expand=relatedReferrals($expand=relatedReferrals)&$top=2&$filter=true";
    world.contoso().asks(query).await.refused(400, "invalidRequest", "query", "unsupportedQuery");
    world
        .contoso()
        .asks("?$expand=relatedReferrals($top=1;$expand=relatedReferrals($top=1))&$top=2")
        .await
        .expect(200);
    for bad in [
        "relatedReferrals($unheard=1)",
        "relatedReferrals($filter=unheard eq 1)",
        "relatedReferrals($format=json)",
        "relatedReferrals/name",
        "relatedReferrals($top=x)",
        "relatedReferrals()",
    ] {
        let answer = world.contoso().asks(&format!("?$expand={bad}")).await;
        answer.refused(400, "invalidRequest", "$expand", "unsupportedQuery");
    }
}

// ---- counts, keys, paths ----

#[tokio::test]
async fn a_count_takes_no_aggregation() {
    let world = five().await;
    let target = format!("{REFERRALS}/$count?$apply=aggregate($count%20as%20n)");
    let answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await;
    answer.refused(400, "invalidRequest", "$apply", "unsupportedQuery");
}

#[tokio::test]
async fn the_count_alone_is_a_number_as_text() {
    let world = five().await;
    for (query, expected) in [
        ("", "5"),
        ("?$filter=status eq 'Active'", "4"),
        ("?$filter=team/$count gt 1", "2"),
        ("?$filter=name eq 'nobody'", "0"),
        ("?$filter=email eq 'b@x.example'", "2"),
        ("?$filter=name eq @n&@n='ada'", "1"),
    ] {
        let answer = world.contoso().reads(&format!("/$count{query}")).await.expect(200);
        assert_eq!(answer.bytes, expected, "{query}");
        assert_eq!(answer.header("content-type"), Some("text/plain;charset=utf-8"));
    }
    assert_eq!(world.fabrikam().reads("/$count").await.expect(200).bytes, "0");
    world.contoso().reads("/$count?$filter=(").await.refused(
        400,
        "invalidRequest",
        "$filter",
        "unsupportedFilter",
    );
    world.call("GET", &format!("{REFERRALS}/$count")).await.expect(401);
    // An engagement is counted as it is listed.
    let (world, own) = engaged().await;
    let answer = world.contoso().reads(&format!("/$count?$filter=engagementId eq {}", own.engagement)).await;
    assert_eq!(answer.expect(200).bytes, "4");
}

#[tokio::test]
async fn keys_stand_in_parentheses_too() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    let plain = world.contoso().gets(&id).await.expect(200);
    for key in [
        format!("({id})"),
        format!("('{id}')"),
        format!("(id={id})"),
        format!("(id='{id}')"),
        format!("({})", id.to_uppercase()),
        format!("%28{id}%29"),
    ] {
        let answer = world.contoso().reads(&key).await.expect(200);
        assert_eq!((answer.header("etag"), &answer.body), (plain.header("etag"), &plain.body), "{key}");
        let name = world.contoso().reads(&format!("{key}/name/$value")).await.expect(200);
        assert_eq!(name.bytes, "ada", "{key}");
    }
    let answer = world
        .call("PATCH", &format!("{REFERRALS}({id})"))
        .as_user(CONTOSO_ADMIN)
        .json(json!([{ "op": "replace", "path": "/name", "value": "Ada" }]))
        .await;
    answer.expect(204);
    for wrong in [
        "()",
        "('')",
        "(00000000-0000-4000-9000-00000000dead)",
        "(unheard)",
        "(name='ada')",
        &format!("({id}"),
        &format!("({id})x"),
    ] {
        world.contoso().reads(wrong).await.expect(404);
    }
    world.call("GET", &format!("{REFERRALS}({id})")).await.expect(401);
}

#[tokio::test]
async fn a_path_leads_to_a_member() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    let whole = world.contoso().gets(&id).await.expect(200).body;
    let context = format!("{BASE}/v1.0/$metadata#Referrals({id})");
    let read = async |path: &str| world.contoso().reads(&format!("/{id}/{path}")).await;

    let answer = read("name").await.expect(200);
    assert_eq!(answer.body, json!({ "@odata.context": format!("{context}/name"), "value": "ada" }));
    let answer = read("details/dealValue").await.expect(200);
    assert_eq!(answer.body, json!({ "@odata.context": format!("{context}/details/dealValue"), "value": 10 }));
    let answer = read("customerProfile").await.expect(200);
    assert_eq!(answer.body["@odata.context"], format!("{context}/customerProfile"));
    assert_eq!(answer.body["address"], whole["customerProfile"]["address"]);
    let answer = read("team").await.expect(200);
    assert_eq!(
        (&answer.body["value"], keys(&answer.body)),
        (&whole["team"], vec!["@odata.context", "value"])
    );

    for (path, text) in [
        ("name/$value", "ada"),
        ("details/dealValue/$value", "10"),
        ("favorite/$value", "false"),
        ("status/$value", "Active"),
        ("createdDateTime/$value", whole["createdDateTime"].as_str().unwrap()),
        ("team/$count", "2"),
        ("tags/$count", "0"),
        ("customerProfile/team/$count", "1"),
        ("team/$count?$filter=email eq 'a@x.example'", "1"),
        ("details/requirements/solutions/$count", "1"),
    ] {
        assert_eq!(read(path).await.expect(200).bytes, text, "{path}");
    }

    let answer = read("team?$filter=email eq 'b@x.example'&$select=email&$count=true").await.expect(200);
    let expected = json!({ "@odata.context": format!("{context}/team"), "@odata.count": 1, "value": [{ "email": "b@x.example" }] });
    assert_eq!(answer.body, expected);
    let answer = read("team?$orderby=email desc&$top=1&$skip=1&$select=email").await.expect(200);
    assert_eq!(answer.body["value"], json!([{ "email": "a@x.example" }]));
    let answer = read("customerProfile?$select=name").await.expect(200);
    assert_eq!(keys(&answer.body), ["@odata.context", "name"]);
    let answer = read("name?$format=application/json;odata.metadata=none").await.expect(200);
    assert_eq!(answer.body, json!({ "value": "ada" }));

    let answer = read("$ref").await.expect(200);
    let reference = json!({ "@odata.context": format!("{BASE}/v1.0/$metadata#$ref"), "@odata.id": format!("{BASE}{REFERRALS}/{id}") });
    assert_eq!(answer.body, reference);
}

#[tokio::test]
async fn a_member_without_value_is_204_and_an_unknown_one_404() {
    let world = five().await;
    let id = id_of(&world, "cyd").await;
    for path in [
        "statusReason",
        "details/dealValue",
        "statusReason/$value",
        "details/dealValue/$value",
        "customerProfile/address/city",
    ] {
        let answer = world.contoso().reads(&format!("/{id}/{path}")).await.expect(204);
        assert!(answer.bytes.is_empty());
    }
    for path in [
        "unheard",
        "name/unheard",
        "name/$count",
        "name/$ref",
        "customerProfile/unheard",
        "customerProfile/$value",
        "team/email",
        "team/0",
        "team/$value",
        "team/$ref",
        "$value",
        "$count",
        "name/",
        "/name",
        "relatedReferrals/$value",
        "relatedReferrals/name",
        "$unheard",
    ] {
        let answer = world.contoso().reads(&format!("/{id}/{path}")).await;
        // A slash at the end is passed over, as on the other paths.
        if path == "name/" && answer.status == 200 {
            continue;
        }
        assert_eq!(answer.status, 404, "{path}: {}", answer.body);
    }
    let unknown = "00000000-0000-4000-9000-00000000dead";
    for path in ["name", "$ref", "relatedReferrals", "team/$count"] {
        world.contoso().reads(&format!("/{unknown}/{path}")).await.expect(404);
        world.contoso().reads(&format!("/x/{path}")).await.expect(404);
        // Another organization's is as unknown.
        world.fabrikam().reads(&format!("/{id}/{path}")).await.expect(404);
        world.person(CONTOSO_USER).reads(&format!("/{id}/{path}")).await.expect(403);
        world.call("GET", &format!("{REFERRALS}/{id}/{path}")).await.expect(401);
    }
    for method in ["PUT", "PATCH", "POST", "DELETE"] {
        let answer = world
            .call(method, &format!("{REFERRALS}/{id}/name"))
            .as_user(CONTOSO_ADMIN)
            .json(json!({}))
            .await;
        assert_eq!(answer.expect(405).header("allow"), Some("GET, HEAD, OPTIONS"));
    }
    for query in ["$filter=true", "$top=1", "$unheard=1"] {
        world.contoso().reads(&format!("/{id}/name?{query}")).await.expect(400);
    }
}

#[tokio::test]
async fn a_path_shows_of_anothers_referral_what_get_shows() {
    let (world, own) = engaged().await;
    let sent = ids(&world
        .contoso()
        .asks(&format!("?$filter=engagementId eq {} and name eq 'sent'", own.engagement))
        .await)
    .remove(0);
    // Contoso sent it; the owner's notes are Fabrikam's.
    world.bends(&sent, |one| one["externalReferenceId"] = "SECRET".into()).await;
    assert_eq!(
        world.fabrikam().reads(&format!("/{sent}/externalReferenceId/$value")).await.expect(200).bytes,
        "SECRET"
    );
    world.contoso().reads(&format!("/{sent}/externalReferenceId/$value")).await.expect(204);
    let answer = world.contoso().reads(&format!("/{sent}?$select=externalReferenceId")).await.expect(200);
    assert_eq!(answer.body["externalReferenceId"], Value::Null);
    let answer =
        world.contoso().reads(&format!("/{sent}/team?$filter=phoneNumber ne null")).await.expect(200);
    assert_eq!(answer.body["value"], json!([]));
    let answer =
        world.contoso().reads(&format!("/{sent}?$compute=externalReferenceId as copy")).await.expect(200);
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("SECRET"));
}

#[tokio::test]
async fn the_navigation_is_a_list_of_its_own() {
    let (world, own) = engaged().await;
    let base = format!("/{}/relatedReferrals", own.id);
    let answer = world.contoso().reads(&format!("{base}?$orderby=name")).await.expect(200);
    assert_eq!(names(&answer), ["own", "second", "sent", "third"]);
    // It is what the link lists.
    let listed =
        world.contoso().asks(&format!("?$filter=engagementId eq {}&$orderby=name", own.engagement)).await;
    assert_eq!(answer.body["value"], listed.body["value"]);
    assert_eq!(world.contoso().reads(&format!("{base}/$count")).await.expect(200).bytes, "4");
    let answer = world.contoso().reads(&format!("{base}/$count?$filter=name eq 'sent'")).await.expect(200);
    assert_eq!(answer.bytes, "1");
    let answer =
        world.contoso().reads(&format!("{base}?$filter=name ne 'own'&$select=name&$top=1")).await.expect(200);
    assert_eq!(answer.body["value"], json!([{ "name": "sent" }]));
    let references = world.contoso().reads(&format!("{base}/$ref")).await.expect(200);
    assert_eq!(references.body["@odata.context"], format!("{BASE}/v1.0/$metadata#Collection($ref)"));
    assert_eq!(references.body["value"].as_array().unwrap().len(), 4);
    assert!(references.body["value"].as_array().unwrap().iter().all(|one| keys(one) == ["@odata.id"]));
    // Pages of it go on at the same place.
    let mut found = Vec::new();
    let mut target = format!("{REFERRALS}{base}?$orderby=name&pagesize=1");
    loop {
        let page = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
        found.extend(names(&page));
        let Some(link) = page.body.get("@odata.nextLink") else { break };
        let link = link.as_str().unwrap();
        assert!(link.starts_with(&format!("{BASE}{REFERRALS}{base}?")), "{link}");
        target = link.strip_prefix(BASE).unwrap().to_owned();
    }
    assert_eq!(found, ["own", "second", "sent", "third"]);
    // A token of one navigation is none of another's, nor of the collection's.
    let first = world.contoso().reads(&format!("{base}?pagesize=1")).await.expect(200);
    let token = token_of(first.body["@odata.nextLink"].as_str().unwrap().split_once('?').unwrap().1);
    world.contoso().asks(&format!("?pagesize=1&$skiptoken={token}")).await.refused(
        400,
        "invalidRequest",
        "$skiptoken",
        "unsupportedQuery",
    );
}

#[tokio::test]
async fn one_referral_is_selected_from_and_expanded_by_id() {
    let (world, own) = engaged().await;
    let plain = world.contoso().gets(&own.id).await.expect(200);
    let read = async |query: &str| world.contoso().reads(&format!("/{}?{query}", own.id)).await;
    let answer = read("$select=id,status").await.expect(200);
    let context = format!("{BASE}/v1.0/engagements/referrals/$metadata#Referrals(id,status)/$entity");
    assert_eq!(
        answer.body,
        json!({ "@odata.context": context, "id": own.id, "status": "Active" }),
        "spec 5.6"
    );
    assert_eq!(answer.header("etag"), plain.header("etag"));
    let answer = read("$select=name&$expand=relatedReferrals($select=name;$orderby=name)").await.expect(200);
    assert_eq!(names_of(&answer.body["relatedReferrals"]), ["own", "second", "sent", "third"]);
    let answer = read("$compute=length(name) as letters&$select=letters").await.expect(200);
    assert_eq!(answer.body["letters"], 3);
    assert_eq!(read("$format=json").await.expect(200).body, plain.body);
    assert_eq!(read("$expand=").await.expect(200).body, plain.body);
    assert_eq!(read("x=1&y").await.expect(200).body, plain.body);
    for (query, option) in [
        ("$filter=true", "$filter"),
        ("$top=1", "$top"),
        ("$orderby=name", "$orderby"),
        ("$count=true", "$count"),
        ("$skiptoken=x", "$skiptoken"),
        ("$unheard=1", "$unheard"),
        ("$select=unheard", "$select"),
        ("$expand=team", "$expand"),
    ] {
        let answer = read(query).await.expect(400);
        assert_eq!(answer.body["error"]["target"], option, "{query}");
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

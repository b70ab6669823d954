//! Options beside `$apply`: they work on its result, in the order of OData 4.01 Protocol, 11.2.1, or are refused.

use super::*;

/// The rows of an answer, and what its context says of them.
async fn rows(world: &World, query: &str) -> (Value, String) {
    let answer = world.contoso().asks(&format!("?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let context = answer.body["@odata.context"].as_str().unwrap_or_default();
    (answer.body["value"].clone(), context.rsplit("#Referrals").next().unwrap().to_owned())
}

const GROUPS: &str = "$apply=groupby((status),aggregate($count as n))";

#[tokio::test]
async fn options_work_on_what_apply_makes() {
    let world = five().await;
    for (query, expected, context) in [
        (format!("{GROUPS}&$select=n&$orderby=n"), json!([{ "n": 1 }, { "n": 4 }]), "(n)"),
        (
            format!("{GROUPS}&$compute=n mul 2 as twice&$orderby=twice"),
            json!([{ "status": "Closed", "n": 1, "twice": 2 }, { "status": "Active", "n": 4, "twice": 8 }]),
            "(status,n,twice)",
        ),
        (
            format!("{GROUPS}&$compute=n mul 2 as twice&$filter=twice gt 2&$select=twice"),
            json!([{ "twice": 8 }]),
            "(twice)",
        ),
        (format!("{GROUPS}&$orderby=n desc&$top=1&$select=status"), json!([{ "status": "Active" }]), "(status)"),
        (format!("{GROUPS}&$orderby=n desc&$skip=1&$select=status"), json!([{ "status": "Closed" }]), "(status)"),
        (
            "$apply=groupby((details/currency,customerProfile/address/country))".to_owned(),
            json!([{ "details": { "currency": "USD" }, "customerProfile": { "address": { "country": "US" } } }]),
            "(details/currency,customerProfile/address/country)",
        ),
        (
            "$apply=filter(name eq 'ada')&$select=name,details($select=currency)".to_owned(),
            json!([{ "name": "ada", "details": { "currency": "USD" } }]),
            "(name,details/currency)",
        ),
        (
            "$apply=compute(length(name) as letters)&$filter=letters eq 3&$select=name,letters&$orderby=name&$top=2"
                .to_owned(),
            json!([{ "name": "Eve", "letters": 3 }, { "name": "ada", "letters": 3 }]),
            "(name,letters)",
        ),
        ("$apply=filter(status eq 'Active')&$search=ada&$select=name".to_owned(), json!([{ "name": "ada" }]), "(name)"),
        (
            "$apply=orderby(name desc)&$search=ada OR bob&$select=name".to_owned(),
            json!([{ "name": "bob" }, { "name": "ada" }]),
            "(name)",
        ),
        ("$apply=filter(status eq 'Active')&$search=zzz&$select=name".to_owned(), json!([]), "(name)"),
        (
            "$apply=topcount(2,details/dealValue)&$filter=name ne 'ada'&$select=name".to_owned(),
            json!([{ "name": "dan" }]),
            "(name)",
        ),
    ] {
        let (found, said) = rows(&world, &query).await;
        assert_eq!((&found, said.as_str()), (&expected, context), "{query}");
    }
}

#[tokio::test]
async fn results_are_counted_when_that_is_asked_for() {
    let world = five().await;
    for (query, count, shown) in [
        (GROUPS.to_owned(), Value::Null, 2),
        (format!("{GROUPS}&$count=false"), Value::Null, 2),
        (format!("{GROUPS}&$count=true"), json!(2), 2),
        (format!("{GROUPS}&$count=true&$top=1"), json!(2), 1),
        (format!("{GROUPS}&$count=true&$skip=2"), json!(2), 0),
        (format!("{GROUPS}&$count=true&$filter=n gt 1"), json!(1), 1),
        ("$apply=aggregate($count as n)&$count=true".to_owned(), json!(1), 1),
        ("$apply=identity&$count=true&$top=2".to_owned(), json!(5), 2),
        ("$apply=filter(status eq 'Closed')&$count=true".to_owned(), json!(1), 1),
        ("$apply=topcount(3,details/dealValue)&$count=true&pagesize=1".to_owned(), json!(3), 1),
        ("$apply=filter(true)&$search=ada&$count=true".to_owned(), json!(1), 1),
        ("$apply=concat(aggregate($count as n),groupby((status)))&$count=true".to_owned(), json!(3), 3),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await.expect(200);
        assert_eq!(answer.body["@odata.count"], count, "{query}");
        assert_eq!(answer.body["value"].as_array().unwrap().len(), shown, "{query}");
    }
}

#[tokio::test]
async fn what_cannot_work_on_the_result_is_refused_by_its_name() {
    let world = five().await;
    for (query, status, target) in [
        ("$apply=aggregate($count as n)&$search=zzz", 501, "$search"),
        ("$apply=topcount(1,details/dealValue)&$search=ada", 501, "$search"),
        ("$apply=top(1)&$search=ada", 501, "$search"),
        ("$apply=aggregate($count as n)&$expand=relatedReferrals", 400, "$expand"),
        ("$apply=aggregate($count as n)&$select=name", 400, "$select"),
        ("$apply=aggregate($count as n)&$orderby=name", 400, "$orderby"),
        ("$apply=aggregate($count as n)&$filter=name eq 'ada'", 400, "$filter"),
        ("$apply=aggregate($count as n)&$compute=name as x", 400, "$compute"),
        ("$apply=aggregate($count as n)&$compute=n as n", 400, "$compute"),
        ("$apply=aggregate($count as n)&$skiptoken=x", 400, "$skiptoken"),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.body);
        assert_eq!(answer.body["error"]["target"], target, "{query}");
    }
}

#[tokio::test]
async fn what_apply_leaves_of_referrals_is_expanded_like_a_list() {
    let (world, own) = engaged().await;
    let (found, context) = rows(
        &world,
        "$apply=filter(name eq 'own')/topcount(1,details/dealValue)&$select=name&$expand=relatedReferrals($select=name;$orderby=name)",
    )
    .await;
    assert_eq!(names_of(&found[0]["relatedReferrals"]), ["own", "second", "sent", "third"]);
    assert_eq!(
        (keys(&found[0]), context.as_str()),
        (vec!["name", "relatedReferrals"], "(name,relatedReferrals(name))")
    );
    // With all that is said of one in a list, at every level.
    for level in ["minimal", "none", "full"] {
        let format = format!("$format=application/json;odata.metadata={level}");
        let query = format!("$filter=id eq {}&$expand=relatedReferrals($top=1)&{format}", own.id);
        let listed = world.contoso().asks(&format!("?{query}&$count=false")).await.expect(200);
        let applied = world.contoso().asks(&format!("?$apply=identity&{query}")).await.expect(200);
        assert_eq!(applied.body, listed.body, "{level}");
    }
}

#[tokio::test]
async fn results_say_their_types_when_that_is_asked_for() {
    let world = five().await;
    let query = format!("{GROUPS}&$orderby=n&$top=1&$format=application/json;odata.metadata=full");
    let (found, _) = rows(&world, &query).await;
    let told = json!([{ "status@odata.type": "#Cosell.Referrals.ReferralStatus", "status": "Closed", "n@odata.type": "#Int64", "n": 1 }]);
    assert_eq!(found, told);
    let query = "$apply=groupby((details/currency))&$format=application/json;odata.metadata=full";
    assert_eq!(rows(&world, query).await.0, json!([{ "details": { "currency": "USD" } }]));
    let answer =
        world.contoso().asks(&format!("?{GROUPS}&$format=application/json;odata.metadata=none")).await;
    assert_eq!(keys(&answer.expect(200).body), ["value"]);
}

#[tokio::test]
async fn pages_of_results_go_on_with_all_options() {
    let world = World::extended().await;
    world.plants(30, |at, one| one["name"] = format!("{:02}", at / 2).into()).await;
    let query = "?$apply=groupby((name),aggregate($count as n))&$compute=concat('x',name) as x&$orderby=x desc&$filter=x ne 'x07'&$select=x&$count=true&pagesize=4";
    let pages = world.contoso().pages(query).await;
    let found: Vec<&str> = pages
        .iter()
        .flat_map(|page| page.body["value"].as_array().unwrap())
        .map(|row| row["x"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..15).rev().filter(|at| *at != 7).map(|at| format!("x{at:02}")).collect();
    assert_eq!(found, expected);
    assert!(pages.iter().all(|page| page.body["@odata.count"] == 14));
}

#[tokio::test]
async fn the_path_comes_before_the_options() {
    let world = five().await;
    world.bends(&id_of(&world, "Eve").await, |one| one["details"]["dealValue"] = json!(99)).await;
    let list = async |path: &str| {
        let answer = world.contoso().reads(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer
    };
    for (path, expected) in [
        // Of all, the top two would be Eve and one more, of which a filter afterwards leaves one.
        (
            "/$filter(status eq 'Active')?$apply=topcount(2,details/dealValue)&$select=name&$orderby=name",
            "ada dan",
        ),
        (
            "/$filter(status eq 'Active')/$filter(name ne 'ada')?$apply=topcount(2,details/dealValue)&$orderby=name",
            "bob dan",
        ),
        ("/$filter(status eq @s)?$apply=topcount(2,details/dealValue)&$orderby=name&@s='Active'", "ada dan"),
        (
            "/$filter(status eq 'Active')?$apply=topcount(3,details/dealValue)&$filter=name ne 'ada'&$orderby=name",
            "bob dan",
        ),
        ("/$filter(status eq 'Active')?$search=ada OR eve", "ada"),
        ("/$filter(email eq 'b@x.example')?$orderby=name desc", "ada Eve"),
        ("/$filter(status eq 'Active')?$orderby=name&$skip=1&$top=2", "bob cyd"),
        (
            "/$filter(status eq 'Active')?$compute=length(name) as n&$filter=n eq 3&$orderby=name&$top=1",
            "ada",
        ),
        ("/$filter(startswith(name,'a'))/$filter(true)?$filter=status eq 'Active'", "ada"),
    ] {
        assert_eq!(names(&list(path).await).join(" "), expected, "{path}");
    }
    let answer = list("/$filter(status eq 'Active')?$apply=aggregate($count as n)").await;
    assert_eq!(answer.body["value"], json!([{ "n": 4 }]));
    // A name that the options make is not known to the path.
    for query in ["$compute=length(name) as n", "$apply=aggregate($count as n)", "$apply=compute(1 as n)"] {
        let answer = world.contoso().reads(&format!("/$filter(n eq 1)?{query}")).await;
        answer.refused(400, "invalidRequest", "$filter", "unsupportedFilter");
    }
    for (path, count) in [
        ("/$filter(status eq 'Active')/$count", "4"),
        ("/$filter(status eq 'Active')/$count?$filter=name ne 'ada'", "3"),
        ("/$filter(status eq 'Active')/$count?$search=ada", "1"),
        ("/$filter(status eq 'Active')/$filter(name ne 'ada')/$count?$search=ada", "0"),
    ] {
        assert_eq!(list(path).await.bytes, count, "{path}");
    }
}

#[tokio::test]
async fn pages_behind_a_filter_segment_go_on_there() {
    let world = five().await;
    for (path, expected) in [
        (
            "/$filter(status eq 'Active')?$apply=topcount(3,details/dealValue)&$orderby=name&pagesize=1",
            "ada bob dan",
        ),
        (
            "/$filter(contains(customerProfile/address/city,'/') or name ne 'a/b%3Fc%23d%25e&f')?$orderby=name&pagesize=2",
            "Eve ada bob cyd dan",
        ),
        ("/$filter(status eq @s)/$filter(name ne 'bob')?$orderby=name&pagesize=1&@s='Active'", "ada cyd dan"),
        ("/$filter(name eq 'ada')/$filter(status eq 'Active')?pagesize=1", "ada"),
    ] {
        let mut answer = world.contoso().reads(path).await.expect(200);
        let mut found = names(&answer);
        while let Some(link) = answer.body.get("@odata.nextLink") {
            let link = link.as_str().unwrap();
            let begin = format!("{BASE}{REFERRALS}/$filter(");
            assert!(link.starts_with(&begin) && found.len() < 9, "{link}");
            let target = link.strip_prefix(BASE).unwrap().to_owned();
            answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
            found.extend(names(&answer));
        }
        assert_eq!(found.join(" "), expected, "{path}");
    }
    // A link is good for its path alone.
    let first = world.contoso().reads("/$filter(true)?pagesize=1").await.expect(200);
    let token = token_of(first.body["@odata.nextLink"].as_str().unwrap().split_once('?').unwrap().1);
    for path in ["", "/$filter(1 eq 1)", "/$filter(true)/$ref"] {
        let answer = world.contoso().reads(&format!("{path}?pagesize=1&$skiptoken={token}")).await;
        answer.refused(400, "invalidRequest", "$skiptoken", "unsupportedQuery");
    }
}

#[tokio::test]
async fn links_are_shown_whichever_way_a_referral_is_read() {
    let (world, own) = engaged().await;
    let links = world.contoso().gets(&own.id).await.expect(200).body["links"].clone();
    assert!(links["self"]["uri"].is_string());
    let is_own = format!("$filter=id eq {}", own.id);
    for query in [
        is_own.clone(),
        format!("{is_own}&$apply=identity"),
        format!("{is_own}&$apply=filter(true)"),
        format!("{is_own}&$apply=topcount(9,details/dealValue)"),
        format!("{is_own}&$apply=compute(1 as one)"),
        format!("{is_own}&$apply=compute(1 as one)/orderby(one)/skip(0)/top(9)"),
        format!("{is_own}&$apply=identity&$select=links"),
        format!("{is_own}&$apply=identity&$select=links,name&$compute=1 as one"),
        format!("{is_own}&$select=links"),
        format!("{is_own}&$select=links/self,links/relatedReferrals"),
        format!("{is_own}&$select=links($select=self,relatedReferrals)"),
        format!("{is_own}&$select=*"),
        format!("{is_own}&$compute=1 as one"),
        format!("{is_own}&$search=own"),
        format!("{is_own} and engagementId eq {}", own.engagement),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        assert_eq!(answer.body["value"][0]["links"], links, "{query}");
        assert!(answer.body["value"][0].get("@odata.context").is_none(), "{query}");
    }
    let filtered = format!("/$filter(id eq {})", own.id);
    let expanded = format!("$expand=relatedReferrals($filter=id eq {})", own.id);
    for (path, pointer) in [
        (format!("/{}", own.id), "/links"),
        (format!("({})", own.id), "/links"),
        (format!("/{}?$select=links", own.id), "/links"),
        (format!("/{}?$compute=1 as one", own.id), "/links"),
        (filtered.clone(), "/value/0/links"),
        (format!("{filtered}?$apply=identity"), "/value/0/links"),
        (format!("/{}/relatedReferrals{filtered}", own.id), "/value/0/links"),
        (format!("/{}?{expanded}", own.id), "/relatedReferrals/0/links"),
        (format!("{filtered}?{expanded}"), "/value/0/relatedReferrals/0/links"),
        (format!("{filtered}?$apply=identity&{expanded}"), "/value/0/relatedReferrals/0/links"),
    ] {
        let answer = world.contoso().reads(&path).await.expect(200);
        assert_eq!(answer.body.pointer(pointer), Some(&links), "{path}");
    }
    let alone = world.contoso().reads(&format!("/{}/links", own.id)).await.expect(200);
    assert_eq!(
        (&alone.body["self"], &alone.body["relatedReferrals"]),
        (&links["self"], &links["relatedReferrals"])
    );
    let uri = world.contoso().reads(&format!("/{}/links/self/uri/$value", own.id)).await.expect(200);
    assert_eq!(uri.bytes, links["self"]["uri"].as_str().unwrap());
    let computed =
        world.contoso().asks(&format!("?{is_own}&$compute=links/self/uri as uri&$select=uri")).await;
    assert_eq!(computed.expect(200).body["value"][0]["uri"], links["self"]["uri"]);
}

#[tokio::test]
async fn what_looks_for_referrals_does_not_see_links_and_says_so() {
    let (world, own) = engaged().await;
    let engagement = format!("engagementId eq {}", own.engagement);
    for (query, target) in [
        ("$filter=links/self/uri ne null".to_owned(), "$filter"),
        (format!("$filter={engagement} and contains(links/self/uri,'x')"), "$filter"),
        ("$orderby=links/self/uri".to_owned(), "$orderby"),
        ("$compute=links/self/uri as u&$filter=u ne null".to_owned(), "$filter"),
        ("$compute=links/self/uri as u&$orderby=u".to_owned(), "$orderby"),
        ("$apply=filter(links/self/uri ne null)".to_owned(), "$apply"),
        ("$apply=groupby((links/self/uri))".to_owned(), "$apply"),
        ("$apply=aggregate(links/self/uri with max as u)".to_owned(), "$apply"),
        ("$apply=compute(links/self/uri as u)".to_owned(), "$apply"),
        ("$apply=identity&$filter=links/self/uri ne null".to_owned(), "$filter"),
        ("$expand=relatedReferrals($filter=links/self/uri ne null)".to_owned(), "$expand"),
        ("$expand=relatedReferrals($orderby=links/self/uri)".to_owned(), "$expand"),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await;
        answer.refused(501, "invalidRequest", target, "notImplemented");
    }
    let answer = world.contoso().reads("/$filter(links/self/uri ne null)?$apply=identity").await;
    answer.refused(501, "invalidRequest", "$filter", "notImplemented");
}

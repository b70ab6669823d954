//! Related referrals within a list: `$expand`, its own options and its bounds.

use super::*;

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
async fn the_link_past_an_expansion_holds_all_that_its_options_need() {
    let world = World::extended().await;
    let engagement = "00000000-0000-4000-a000-00000000ffff";
    world
        .plants(105, |at, one| {
            one["engagementId"] = engagement.into();
            one["name"] = format!("{at:03}").into();
        })
        .await;
    for (expand, left) in [
        ("relatedReferrals($filter=name ne @n;$orderby=name;$select=name)&@n='000'", 4),
        ("relatedReferrals($filter=name ne @n;$orderby=name;$select=name;@n='000')&@n='x'", 4),
        ("relatedReferrals($levels=max;$orderby=name)", 5),
        ("*($levels=1)", 5),
        ("relatedReferrals/$ref($filter=name ne @n;$orderby=name)&@n='000'", 4),
        ("relatedReferrals($top=1;$expand=relatedReferrals($filter=name ne @n;$select=name))&@n='000'", 4),
    ] {
        let query = format!("?$filter=name eq '007'&$select=name&$expand={expand}");
        let answer = world.contoso().asks(&query).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let item = &answer.body["value"][0];
        let inner = item["relatedReferrals"][0].get("relatedReferrals@odata.nextLink");
        let link = item.get("relatedReferrals@odata.nextLink").or(inner).unwrap().as_str().unwrap();
        let rest = world.call("GET", link.strip_prefix(BASE).unwrap()).as_user(CONTOSO_ADMIN).await;
        assert_eq!(rest.status, 200, "{link}: {}", rest.body);
        let rest = rest.body["value"].as_array().unwrap();
        assert_eq!(rest.len(), left, "{link}");
        let is_reference = expand.contains("$ref");
        assert!(rest.iter().all(|one| one.get("@odata.id").is_some() == is_reference), "{link}");
    }
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

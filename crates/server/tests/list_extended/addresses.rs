//! Addresses that OData has: offered, or 501; and what the context says of an answer.

use super::*;

/// The paths below the collection that OData has and this service has not.
fn unserved(id: &str) -> Vec<(&'static str, String)> {
    vec![
        ("$each", "/$each".to_owned()),
        ("$each", "/$filter(true)/$each".to_owned()),
        ("$query", "/$filter(true)/$query".to_owned()),
        ("$all", "/$all".to_owned()),
        ("$value", "/$value".to_owned()),
        ("$links", "/$links".to_owned()),
        ("a type or an operation in the path", "/Cosell.Referrals.Nothing".to_owned()),
        ("a type or an operation in the path", "/Cosell.Referrals.Act(x=1)".to_owned()),
        ("a key behind $filter", format!("/$filter(true)/{id}")),
        ("$value", format!("/{id}/$value")),
        ("$query", format!("/{id}/$query")),
        ("$each", format!("/{id}/team/$each")),
        ("$query", format!("/{id}/team/$query")),
        ("$links", format!("/{id}/$links/relatedReferrals")),
        ("a member by its index", format!("/{id}/team/0")),
        ("a member by its index", format!("/{id}/team/-1/email")),
        ("a type or an operation in the path", format!("/{id}/Cosell.Referrals.Act()")),
        ("a type or an operation in the path", format!("/{id}/team/Cosell.Referrals.Nothing")),
        ("a key behind relatedReferrals", format!("/{id}/relatedReferrals({id})")),
        ("a key behind relatedReferrals", format!("/{id}/relatedReferrals/{id}")),
        ("a key behind relatedReferrals", format!("/{id}/relatedReferrals/{id}/$ref")),
        ("$each", format!("/{id}/relatedReferrals/$each")),
    ]
}

#[tokio::test]
async fn what_the_service_has_not_is_501_for_every_method_and_404_in_strict() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    let strict = World::new().await;
    for (what, path) in unserved(&id) {
        let target = encoded(&format!("{REFERRALS}{path}"));
        world.call("GET", &target).await.expect(401);
        let answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await;
        answer.refused(501, "invalidRequest", what, "notImplemented");
        strict.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(404);
    }
    for method in ["PATCH", "DELETE", "POST", "PUT"] {
        for path in ["/$each", "/$filter(true)/$each", "/$all"] {
            let target = format!("{REFERRALS}{path}");
            let answer = world.call(method, &target).as_user(CONTOSO_ADMIN).json(json!({})).await;
            assert_eq!(answer.status, 501, "{method} {path}: {}", answer.body);
        }
    }
    // What OData has not is not found.
    for path in ["/$unheard", "/$filter(true)/$unheard", "/$filter(true)/name"] {
        let answer = world.contoso().reads(path).await;
        assert!(matches!(answer.status, 404 | 501), "{path}");
    }
    world.contoso().reads("/$unheard").await.refused(404, "itemNotFound", "path", "");
}

#[tokio::test]
async fn references_are_listed_like_what_they_refer_to() {
    let (world, own) = engaged().await;
    for base in [
        "".to_owned(),
        "/$filter(name ne 'alone')".to_owned(),
        format!("/{}/relatedReferrals", own.id),
        format!("/{}/relatedReferrals/$filter(name ne 'second')", own.id),
    ] {
        for query in
            ["$orderby=name", "$orderby=name desc&$skip=1&$top=2", "$filter=name eq 'own'", "$search=own"]
        {
            let listed = world.contoso().reads(&format!("{base}?{query}")).await.expect(200);
            let expected: Vec<Value> = ids(&listed)
                .iter()
                .map(|id| json!({ "@odata.id": format!("{BASE}{REFERRALS}/{id}") }))
                .collect();
            let answer = world.contoso().reads(&format!("{base}/$ref?{query}")).await.expect(200);
            let context = format!("{BASE}/v1.0/$metadata#Collection($ref)");
            assert_eq!(
                answer.body,
                json!({ "@odata.context": context, "value": expected }),
                "{base} {query}"
            );
            // Page by page.
            let mut found = Vec::new();
            let mut target = encoded(&format!("{REFERRALS}{base}/$ref?{query}&pagesize=1&$count=true"));
            loop {
                let page = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
                assert_eq!(page.body["@odata.count"], listed.body["@odata.count"]);
                found.extend(page.body["value"].as_array().unwrap().clone());
                let Some(link) = page.body.get("@odata.nextLink") else { break };
                target = link.as_str().unwrap().strip_prefix(BASE).unwrap().to_owned();
            }
            assert_eq!(found, expected, "{base} {query}");
        }
    }
    let none =
        world.contoso().reads("/$ref?$format=application/json;odata.metadata=none&$top=1").await.expect(200);
    assert_eq!(keys(&none.body), ["value"]);
    let strict = World::new().await;
    strict.contoso().reads("/$ref").await.expect(404);
}

#[tokio::test]
async fn a_cast_to_the_type_it_has_says_nothing_new() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    for (path, same) in [
        ("/Cosell.Referrals.Referral?$orderby=name".to_owned(), "?$orderby=name".to_owned()),
        ("/Cosell.Referrals.Referral/$count".to_owned(), "/$count".to_owned()),
        (
            "/$filter(name eq 'ada')/Cosell.Referrals.Referral".to_owned(),
            "/$filter(name eq 'ada')".to_owned(),
        ),
        (format!("/Cosell.Referrals.Referral/{id}"), format!("/{id}")),
        (format!("/{id}/Cosell.Referrals.Referral"), format!("/{id}")),
        (format!("/{id}/Cosell.Referrals.Referral/name"), format!("/{id}/name")),
        (format!("({id})/Cosell.Referrals.Referral/team/$count"), format!("/{id}/team/$count")),
    ] {
        let cast = world.contoso().reads(&path).await.expect(200);
        assert_eq!(cast.bytes, world.contoso().reads(&same).await.expect(200).bytes, "{path}");
    }
    let target =
        format!("/v1.0/$entity/Cosell.Referrals.Referral?$id=engagements/referrals/{id}&$select=name");
    let answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
    assert_eq!(answer.body["name"], "ada");
}

#[tokio::test]
async fn options_too_long_for_an_address_are_posted() {
    let world = five().await;
    let post = async |query: &str, kind: &str, body: String| {
        let target = format!("{REFERRALS}/$query{query}");
        world.call("POST", &target).as_user(CONTOSO_ADMIN).header("Content-Type", kind).body(body).await
    };
    let names: Vec<String> = (0..800).map(|at| format!("'name number {at} of a long list'")).collect();
    let long = format!("$filter=name in ('ada','bob',{})&$orderby=name&pagesize=1", names.join(","));
    let answer = post("", "text/plain", encoded(&long)).await.expect(200);
    let listed =
        world.contoso().asks(&format!("?{}", &long.replace(&format!(",{}", names.join(",")), ""))).await;
    assert_eq!(answer.body["value"], listed.expect(200).body["value"]);
    let more = answer.body["@odata.nextLink"].as_str().unwrap().strip_prefix(BASE).unwrap().to_owned();
    let second = world.call("GET", &more).as_user(CONTOSO_ADMIN).await.expect(200);
    assert_eq!(names_of(&second.body["value"]), ["bob"]);
    for (query, kind, body, expected) in [
        ("", "text/plain", "$filter=name eq 'ada'", "ada"),
        ("", "text/plain;charset=utf-8", "$filter=name%20eq%20'ada'\r\n", "ada"),
        ("?$orderby=name%20desc", "text/plain", "$filter=status eq 'Active'&$top=1", "dan"),
        ("", "TEXT/PLAIN", "", "Eve dan cyd bob ada"),
    ] {
        let answer = post(query, kind, body.to_owned()).await.expect(200);
        assert_eq!(names_of(&answer.body["value"]).join(" "), expected, "{query} {body}");
    }
    for (query, kind, body, status, target) in [
        ("", "application/json", "{}", 415, "Content-Type"),
        ("", "text/plain", "$filter=zz eq 1", 400, "$filter"),
        ("?$top=1", "text/plain", "$top=1", 400, "$top"),
        ("", "text/plain", "$id=x", 501, "$id"),
    ] {
        let answer = post(query, kind, body.to_owned()).await;
        assert_eq!((answer.status, &answer.body["error"]["target"]), (status, &json!(target)), "{body}");
    }
    let answer = world.call("GET", &format!("{REFERRALS}/$query")).as_user(CONTOSO_ADMIN).await.expect(405);
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    world
        .call("POST", &format!("{REFERRALS}/$query"))
        .header("Content-Type", "text/plain")
        .body("")
        .await
        .expect(401);
    World::new().await.call("POST", &format!("{REFERRALS}/$query")).body("").await.expect(405);
}

#[tokio::test]
async fn the_context_says_what_is_shown_not_what_was_asked() {
    let (world, own) = engaged().await;
    for (query, said) in [
        ("", ""),
        ("$select=id,name", "(id,name)"),
        ("$select=ID,Name", "(id,name)"),
        ("$select=id&$expand=*", "(id,relatedReferrals())"),
        ("$expand=*", "(relatedReferrals())"),
        ("$expand=relatedReferrals", "(relatedReferrals())"),
        ("$expand=relatedreferrals($select=NAME)", "(relatedReferrals(name))"),
        ("$expand=relatedReferrals($expand=*;$select=id)", "(relatedReferrals(id,relatedReferrals()))"),
        ("$expand=relatedReferrals/$count", ""),
        ("$select=id&$expand=relatedReferrals/$count", "(id)"),
        ("$select=id&$expand=relatedReferrals/$ref", "(id,relatedReferrals())"),
        ("$select=*", "(*)"),
        ("$select=details($select=currency)", "(details/currency)"),
        ("$select=details/currency", "(details/currency)"),
        ("$select=team($top=1)", "(team)"),
        ("$select=team($select=email;$top=1)", "(team/email)"),
        (
            "$select=customerProfile($select=name,address($select=city))",
            "(customerProfile/name,customerProfile/address/city)",
        ),
        ("$compute=length(name) as n", "(*,n)"),
        ("$compute=length(name) as n&$select=name,n", "(name,n)"),
        ("$compute=length(name) as n&$select=name", "(name)"),
        ("$apply=identity", ""),
        ("$apply=filter(true)/top(3)", ""),
        ("$apply=compute(length(name) as n)", "(*,n)"),
        ("$apply=compute(length(name) as n)&$compute=n add 1 as m", "(*,n,m)"),
        ("$apply=aggregate($count as n)", "(n)"),
        ("$apply=groupby((details/currency,status),aggregate($count as n))", "(details/currency,status,n)"),
        ("$apply=groupby((details/currency,status),aggregate($count as n))&$select=details", "(details)"),
        ("$filter=true&$orderby=name&$top=1&$skip=1&$count=true", ""),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let context = format!("{BASE}/v1.0/$metadata#Referrals{said}");
        assert_eq!(answer.body["@odata.context"], context.as_str(), "{query}");
        let fragment = context.split_once('#').unwrap().1;
        assert!(odata::Context::parse(&format!("#{fragment}")).is_ok(), "{context}");
    }
    for (query, said) in [
        ("$select=id&$expand=*", "Referrals(id,relatedReferrals())/$entity"),
        ("$compute=length(name) as n", "Referrals(*,n)/$entity"),
    ] {
        let answer = world.contoso().reads(&format!("/{}?{query}", own.id)).await.expect(200);
        assert!(answer.text("@odata.context").ends_with(&format!("#{said}")), "{}", answer.body);
    }
    for (path, said) in [
        ("team", "/team"),
        ("team?$select=email", "/team(email)"),
        ("team?$compute=length(email) as n&$select=n", "/team(n)"),
        ("details?$select=currency", "/details(currency)"),
        ("customerProfile/address?$select=CITY", "/customerProfile/address(city)"),
    ] {
        let answer = world.contoso().reads(&format!("/{}/{path}", own.id)).await.expect(200);
        assert!(
            answer.text("@odata.context").ends_with(&format!("#Referrals({}){said}", own.id)),
            "{}",
            answer.body
        );
    }
}

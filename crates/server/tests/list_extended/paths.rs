//! What is read by an address: counts, keys in parentheses, members of a referral, the navigation to related ones.

use super::*;

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
    for (key, query) in
        [("(@id)", format!("@id={id}")), ("(@id)", format!("@id='{id}'")), ("(id=@k)", format!("@k='{id}'"))]
    {
        let answer = world.contoso().reads(&format!("{key}?{query}")).await.expect(200);
        assert_eq!(answer.body["id"], plain.body["id"], "{key}?{query}");
        let name = world.contoso().reads(&format!("{key}/name/$value?{query}")).await.expect(200);
        assert_eq!(name.bytes, "Ada", "{key}");
    }
    let answer = world.contoso().reads("(@id)?@other=1").await;
    answer.refused(400, "invalidRequest", "@id", "unsupportedQuery");
    for wrong in [
        "()",
        "('')",
        "('@id')",
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
    let expected = json!({ "@odata.context": format!("{context}/team(email)"), "@odata.count": 1, "value": [{ "email": "b@x.example" }] });
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
        "team/$value",
        "team/$ref",
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

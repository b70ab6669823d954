//! Every option on every resource: executed, or refused by its name. Nothing is passed over.

use super::*;

/// A resource, the options it takes, and an option of which it says 501.
struct Resource {
    path: String,
    takes: &'static [&'static str],
    lacks: &'static [&'static str],
}

const LIST: &[&str] = &[
    "$filter", "$orderby", "$top", "$skip", "$count", "$select", "$expand", "$compute", "$search", "$apply",
    "$format", "pagesize",
];
const REFERENCES: &[&str] =
    &["$filter", "$orderby", "$top", "$skip", "$count", "$search", "$format", "pagesize"];
const COUNT: &[&str] = &["$filter", "$search"];
const ONE: &[&str] = &["$select", "$expand", "$compute", "$format"];
const MEMBERS: &[&str] =
    &["$filter", "$orderby", "$top", "$skip", "$count", "$select", "$compute", "$format"];

fn resources(id: &str) -> Vec<Resource> {
    let one = |path: &str| format!("{REFERRALS}/{id}{path}");
    let all = |path: &str| format!("{REFERRALS}{path}");
    let resource = |path, takes, lacks| Resource { path, takes, lacks };
    vec![
        resource(all(""), LIST, &[]),
        resource(all("/$filter(true)"), LIST, &[]),
        resource(all("/Cosell.Referrals.Referral"), LIST, &[]),
        resource(all("/$ref"), REFERENCES, &[]),
        resource(all("/$filter(true)/$ref"), REFERENCES, &[]),
        resource(all("/$count"), COUNT, &[]),
        resource(all("/$filter(true)/$count"), COUNT, &[]),
        resource(one(""), ONE, &[]),
        resource(format!("{REFERRALS}({id})"), ONE, &[]),
        resource(one("/$ref"), &["$format"], &[]),
        resource(one("/relatedReferrals"), LIST, &["$apply"]),
        resource(one("/relatedReferrals/$filter(true)"), LIST, &["$apply"]),
        resource(one("/relatedReferrals/$count"), COUNT, &[]),
        resource(one("/relatedReferrals/$ref"), REFERENCES, &[]),
        resource(one("/team"), MEMBERS, &["$search", "$apply"]),
        resource(one("/team/$filter(true)"), MEMBERS, &["$search", "$apply"]),
        resource(one("/customerProfile/team"), MEMBERS, &["$search", "$apply"]),
        resource(one("/team/$count"), &["$filter"], &["$search"]),
        resource(
            one("/tags"),
            &["$filter", "$orderby", "$top", "$skip", "$count", "$format"],
            &["$search", "$apply"],
        ),
        resource(one("/details"), &["$select", "$compute", "$format"], &[]),
        resource(one("/customerProfile/address"), &["$select", "$compute", "$format"], &[]),
        resource(one("/name"), &["$format"], &[]),
        resource(one("/name/$value"), &[], &[]),
        resource("/v1.0/$metadata".to_owned(), &["$format"], &[]),
        resource("/v1.0/".to_owned(), &["$format"], &[]),
    ]
}

/// A value of each option that is well-formed and speaks of nothing, and one that is not.
const OPTIONS: [(&str, &str, &str); 16] = [
    ("$filter", "true", "zz eq 1"),
    ("$orderby", "1", "zz"),
    ("$top", "1", "x"),
    ("$skip", "0", "-1"),
    ("$count", "true", "yes"),
    ("$select", "*", "zz"),
    ("$expand", "*", "zz"),
    ("$compute", "1 as one", "zz as y"),
    ("$search", "NOT zzz", "("),
    ("$apply", "identity", "zz"),
    ("$format", "json", "x"),
    ("$skiptoken", "x", ""),
    ("$deltatoken", "x", ""),
    ("$schemaversion", "*", ""),
    ("$index", "1", "x"),
    ("$id", "x", ""),
];

#[tokio::test]
async fn every_option_on_every_resource_is_taken_or_refused_by_its_name() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    world.bends(&id, |one| one["tags"] = json!(["one", "two"])).await;
    let mut wrong = Vec::new();
    for Resource { path, takes, lacks } in resources(&id) {
        let ask = async |query: String| {
            world.call("GET", &encoded(&format!("{path}?{query}"))).as_user(CONTOSO_ADMIN).await
        };
        for (option, good, bad) in OPTIONS {
            for name in [option.to_owned(), option.to_uppercase(), option.replace('$', "")] {
                let answer = ask(format!("{name}={good}")).await;
                let target = answer.body["error"]["target"].as_str().unwrap_or_default();
                let as_it_should = match answer.status {
                    200 => takes.contains(&option) && !lacks.contains(&option),
                    400 | 406 => !takes.contains(&option) && !lacks.contains(&option) && target == option,
                    501 => (lacks.contains(&option) || !takes.contains(&option)) && target == option,
                    _ => false,
                };
                if !as_it_should {
                    wrong.push(format!("{path}?{name}={good}: {} {target}", answer.status));
                }
            }
            // A fault in it is its own, whatever stands beside it.
            for query in [format!("{option}={bad}"), format!("x=1&{option}={bad}&@p=1")] {
                let answer = ask(query.clone()).await;
                let target = answer.body["error"]["target"].as_str().unwrap_or_default();
                if !matches!(answer.status, 400 | 501 | 406) || target != option {
                    wrong.push(format!("{path}?{query}: {} {target}", answer.status));
                }
            }
            let answer = ask(format!("{option}=")).await;
            let empty = (answer.status, answer.body["error"]["target"].as_str().unwrap_or_default());
            // An empty `$expand` counts as none (spec 11.1).
            if option != "$expand" && empty != (400, option) {
                wrong.push(format!("{path}?{option}=: {empty:?}"));
            }
            let answer = ask(format!("{option}={good}&{option}={good}")).await;
            if answer.status != 400 || answer.body["error"]["target"] != option {
                wrong.push(format!("{path}?{option} twice: {} {}", answer.status, answer.body));
            }
        }
        for (query, target, status) in [
            ("pagesize=2", "pagesize", if takes.contains(&"pagesize") { 200 } else { 400 }),
            ("PageSize=0", "pagesize", 400),
            ("pagesize=1&pagesize=2", "pagesize", 400),
            ("$foo=1", "$foo", 400),
            ("$levels=1", "$levels", 400),
            ("@p=(", "@p", 400),
            (" $top=1", "$top", 400),
            ("foo=1&api-version=2", "", 200),
        ] {
            let answer = ask(query.to_owned()).await;
            let found = answer.body["error"]["target"].as_str().unwrap_or_default();
            if answer.status != status || (status != 200 && found != target) {
                wrong.push(format!("{path}?{query}: {} {found}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn of_two_options_the_one_at_fault_is_blamed() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    for (path, good) in [
        (
            REFERRALS.to_owned(),
            [
                "$filter=true",
                "$orderby=name",
                "$select=name",
                "$compute=1 as one",
                "$search=ada",
                "$expand=*",
            ],
        ),
        (
            format!("{REFERRALS}/$filter(true)"),
            [
                "$filter=true",
                "$orderby=name",
                "$select=name",
                "$compute=1 as one",
                "$search=ada",
                "$expand=*",
            ],
        ),
        (
            format!("{REFERRALS}/{id}/team"),
            ["$filter=true", "$orderby=email", "$select=email", "$compute=1 as one", "$top=1", "$count=true"],
        ),
    ] {
        for (option, _, bad) in &OPTIONS[..9] {
            let beside = good.iter().filter(|good| !good.starts_with(&format!("{option}=")));
            let beside: Vec<&str> = beside.copied().collect();
            for query in [
                format!("{}&{option}={bad}", beside.join("&")),
                format!("{option}={bad}&{}", beside.join("&")),
            ] {
                let answer =
                    world.call("GET", &encoded(&format!("{path}?{query}"))).as_user(CONTOSO_ADMIN).await;
                assert_eq!(answer.status, 400, "{path}?{query}: {}", answer.body);
                assert_eq!(answer.body["error"]["target"], *option, "{path}?{query}: {}", answer.body);
            }
        }
    }
}

#[tokio::test]
async fn of_several_options_the_one_that_is_not_built_is_blamed() {
    let world = five().await;
    let lacking = "hassubset(tags,['x'])";
    for (query, target) in [
        ("$filter=true&$orderby=links/self/uri&$search=ada".to_owned(), "$orderby"),
        (format!("$filter={lacking}&$orderby=name&$search=ada"), "$filter"),
        ("$apply=groupby((name))/search(ada)&$filter=true&$orderby=name".to_owned(), "$apply"),
    ] {
        let answer = world.contoso().asks(&format!("?{query}")).await;
        answer.refused(501, "invalidRequest", target, "notImplemented");
    }
}

#[tokio::test]
async fn options_of_members_do_what_they_say() {
    let world = five().await;
    let id = id_of(&world, "dan").await;
    world.bends(&id, |one| one["tags"] = json!(["one", "two", "three"])).await;
    for (path, expected) in [
        ("team?$filter=email eq 'e@x.example'&$select=email", json!([{ "email": "e@x.example" }])),
        ("team?$filter=$it/email eq 'e@x.example'&$select=email", json!([{ "email": "e@x.example" }])),
        ("team?$filter=$this/email eq 'e@x.example'&$select=email", json!([{ "email": "e@x.example" }])),
        ("team?$filter=email eq @m&$select=email&@m='e@x.example'", json!([{ "email": "e@x.example" }])),
        ("team?$orderby=email desc&$top=1&$select=email", json!([{ "email": "f@x.example" }])),
        ("team?$skip=2&$select=email", json!([{ "email": "f@x.example" }])),
        ("team?$compute=length(email) as n&$select=n&$top=1", json!([{ "n": 11 }])),
        (
            "team?$compute=substring(email,0,1) as n&$filter=n gt 'd'&$orderby=n desc&$select=n",
            json!([{ "n": "f" }, { "n": "e" }]),
        ),
        ("team/$filter(email ne 'e@x.example')?$select=email&$skip=1", json!([{ "email": "f@x.example" }])),
        (
            "team/$filter(email ne @m)/$filter(email ne 'f@x.example')?$select=email&@m='e@x.example'",
            json!([{ "email": "d@x.example" }]),
        ),
        ("tags?$filter=contains($it,'t')&$orderby=$it", json!(["three", "two"])),
        ("tags/$filter(length($it) eq 3)", json!(["one", "two"])),
        ("tags?$top=0", json!([])),
    ] {
        let answer = world.contoso().reads(&format!("/{id}/{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(answer.body["value"], expected, "{path}");
    }
    let counted = world
        .contoso()
        .reads(&format!("/{id}/team/$filter(email ne 'e@x.example')?$count=true&$top=1"))
        .await;
    assert_eq!(counted.expect(200).body["@odata.count"], 2);
    for (path, count) in [
        ("team/$filter(email ne 'e@x.example')/$count", "2"),
        ("team/$filter(email ne 'e@x.example')/$count?$filter=email ne 'f@x.example'", "1"),
        ("tags/$count?$filter=length($it) eq 3", "2"),
    ] {
        assert_eq!(world.contoso().reads(&format!("/{id}/{path}")).await.expect(200).bytes, count, "{path}");
    }
    for (path, target, inner) in [
        ("team?$filter=zz eq 1", "$filter", "unsupportedFilter"),
        ("team/$filter(zz eq 1)", "$filter", "unsupportedFilter"),
        ("team/$filter((", "", ""),
        ("team?$orderby=zz", "$orderby", "unsupportedQuery"),
        ("details?$select=zz", "$select", "unsupportedQuery"),
        ("details?$compute=zz as y", "$compute", "unsupportedQuery"),
        ("details?$compute=1 as currency", "$compute", "unsupportedQuery"),
    ] {
        let answer = world.contoso().reads(&format!("/{id}/{path}")).await;
        if target.is_empty() {
            answer.expect(404);
        } else {
            answer.refused(400, "invalidRequest", target, inner);
        }
    }
}

#[tokio::test]
async fn options_in_parentheses_are_executed_or_refused() {
    let (world, own) = engaged().await;
    for (query, status) in [
        ("$expand=relatedReferrals($apply=aggregate($count as n))", 501),
        ("$expand=relatedReferrals($expand=relatedReferrals($apply=identity))", 501),
        ("$expand=relatedReferrals($levels=2)", 501),
        ("$expand=*($levels=2)", 501),
        ("$expand=relatedReferrals($expand=relatedReferrals($levels=3))", 501),
        ("$expand=relatedReferrals($select=team($search=zz))", 501),
        ("$expand=relatedReferrals($levels=1)", 200),
        ("$expand=relatedReferrals($levels=max)", 200),
        ("$expand=relatedReferrals($skiptoken=x)", 400),
        ("$expand=relatedReferrals($format=json)", 400),
        ("$expand=relatedReferrals($id=x)", 400),
        ("$expand=relatedReferrals($select=details($top=0))", 400),
        ("$expand=relatedReferrals/relatedReferrals", 400),
        ("$expand=relatedReferrals/$count($top=1)", 400),
        ("$expand=relatedReferrals/$ref($select=id)", 400),
        ("$select=id,details($top=0)", 400),
        ("$select=details($filter=true)", 400),
        ("$select=details($orderby=currency)", 400),
        ("$select=details($count=true)", 400),
        ("$select=details($skip=0)", 400),
        ("$select=details($search=zz)", 400),
        ("$select=name($top=1)", 400),
        ("$select=name($select=x)", 400),
        ("$select=status($compute=1 as x)", 400),
        ("$select=tags($select=x)", 400),
        ("$select=tags($compute=1 as x)", 400),
        ("$select=tags($top=1)", 200),
        ("$select=team($search=zz)", 501),
        ("$select=customerProfile($select=team($search=zz))", 501),
        ("$select=team($apply=identity)", 400),
        ("$select=team($expand=x)", 400),
        ("$select=relatedReferrals($top=1)", 400),
        ("$select=relatedReferrals/name", 400),
        ("$select=relatedReferrals", 200),
    ] {
        let target = if query.starts_with("$expand") { "$expand" } else { "$select" };
        for path in [
            format!("?{query}"),
            format!("/$filter(true)?{query}"),
            format!("/{}?{query}", own.id),
            format!("/{}/relatedReferrals?{query}", own.id),
        ] {
            let answer = world.contoso().reads(&path).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
            if status != 200 {
                assert_eq!(answer.body["error"]["target"], target, "{path}");
            }
        }
    }
}

#[tokio::test]
async fn an_entity_by_its_id_takes_the_options_of_one_referral() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    let entity = async |query: &str| {
        let target = encoded(&format!("/v1.0/$entity?$id=engagements/referrals/{id}&{query}"));
        world.call("GET", &target).as_user(CONTOSO_ADMIN).await
    };
    for (option, good, bad) in OPTIONS {
        if option == "$id" {
            continue;
        }
        let answer = entity(&format!("{option}={good}")).await;
        let offered = ONE.contains(&option);
        assert_eq!(answer.status == 200, offered, "{option}: {}", answer.body);
        assert!(offered || answer.body["error"]["target"] == option, "{option}: {}", answer.body);
        let answer = entity(&format!("{option}={bad}")).await;
        assert_eq!(answer.body["error"]["target"], option, "{option}={bad}: {}", answer.body);
    }
    let encoded_id = format!("{BASE}{REFERRALS}/{id}").replace(':', "%3A").replace('/', "%2F");
    let target = format!("/v1.0/$entity?%24id={encoded_id}&%24select=name");
    let answer = world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(200);
    assert_eq!(answer.body["name"], "ada");
}

#[tokio::test]
async fn a_write_takes_no_options() {
    let world = five().await;
    let id = id_of(&world, "ada").await;
    let before = world.stored_bytes(&id).await;
    let patch = json!([{ "op": "replace", "path": "/name", "value": "changed" }]);
    let writes = [
        ("POST", REFERRALS.to_owned(), small_deal()),
        ("PATCH", format!("{REFERRALS}/{id}"), patch),
        ("PUT", format!("{REFERRALS}/{id}"), json!({ "name": "changed" })),
    ];
    for (method, path, body) in &writes {
        for (option, good, _) in OPTIONS {
            for name in [option.to_owned(), option.replace('$', "")] {
                let target = encoded(&format!("{path}?{name}={good}"));
                let call = world.call(method, &target).as_user(CONTOSO_ADMIN).header("If-Match", "*");
                let answer = call.json(body.clone()).await;
                assert!(matches!(answer.status, 400 | 501), "{method} {target}: {}", answer.status);
                assert_eq!(answer.body["error"]["target"], option, "{method} {target}");
            }
        }
        let target = format!("{path}?$foo=1");
        let call = world.call(method, &target).as_user(CONTOSO_ADMIN).header("If-Match", "*");
        assert_eq!(call.json(body.clone()).await.expect(400).body["error"]["target"], "$foo");
    }
    assert_eq!(world.stored_bytes(&id).await, before);
    assert_eq!(world.contoso().reads("/$count").await.expect(200).bytes, "5");
    for query in ["?", "?x=1", "?api-version=1"] {
        let (method, path, body) = &writes[1];
        let call = world.call(method, &format!("{path}{query}")).as_user(CONTOSO_ADMIN);
        call.json(body.clone()).await.expect(204);
    }
    for query in ["$top=1", "top=1", "$format=json", "$filter=true", "$foo=1", "pagesize=1"] {
        let target = format!("/v1.0/$batch?{query}");
        let answer = world.call("POST", &target).as_user(CONTOSO_ADMIN).json(json!({ "requests": [] })).await;
        let option = query.split('=').next().unwrap();
        let option = if option == "top" { "$top" } else { option };
        assert_eq!(answer.expect(400).body["error"]["target"], option, "{query}");
    }
    let strict = World::new().await;
    for (query, status) in
        [("$filter=true", 400), ("filter=true", 201), ("$expand=", 201), ("pagesize=1", 201)]
    {
        let target = format!("{REFERRALS}?{query}");
        strict.call("POST", &target).as_user(CONTOSO_ADMIN).json(small_deal()).await.expect(status);
    }
}

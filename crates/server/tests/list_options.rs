//! What each temperament offers: the options of spec 11.1 in both, the rest refused by one and served by the other.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::*;

async fn both() -> [World; 2] {
    let worlds = [World::new().await, World::extended().await];
    for world in &worlds {
        // The dates of change are in the other order than those of creation.
        world
            .plants(4, |at, one| {
                one["name"] = ["ada", "bob", "cyd", "dan"][at].into();
                one["updatedDateTime"] = format!("2026-02-0{}T00:00:00Z", 9 - at).into();
                one["details"]["dealValue"] = json!(at);
            })
            .await;
    }
    worlds
}

fn item(answer: &Answer) -> &Value {
    &answer.body["value"][0]
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

// ---- $select ----

#[tokio::test]
async fn a_selection_returns_exactly_the_members_named() {
    for world in both().await {
        let whole = world.contoso().asks("").await.expect(200);
        for (select, expected, context) in [
            (
                "id,status,customerProfile",
                &["id", "status", "customerProfile"][..],
                "id,status,customerProfile",
            ), // REF-223
            (
                "customerProfile, status ,id",
                &["id", "status", "customerProfile"],
                "customerProfile,status,id",
            ),
            ("name", &["name"], "name"),
            ("eTag", &["eTag"], "eTag"),
            ("links,id", &["id", "links"], "links,id"),
            ("team,target,registrations", &["target", "team", "registrations"], "team,target,registrations"),
        ] {
            let answer = world.contoso().asks(&format!("?$select={select}")).await.expect(200);
            for (item, whole) in
                answer.body["value"].as_array().unwrap().iter().zip(whole.body["value"].as_array().unwrap())
            {
                assert_eq!(keys(item), expected, "{select}"); // REF-247: the eTag is there only when named
                for name in expected {
                    assert_eq!(item[name], whole[name], "{select}");
                }
            }
            let expected = format!("{BASE}/v1.0/$metadata#Referrals({context})"); // spec 5.6
            assert_eq!(answer.body["@odata.context"], expected);
        }
        let links = world.contoso().asks("?$select=links,id&$top=1").await;
        assert_eq!(item(&links)["links"], item(&whole)["links"]);
        assert!(item(&links)["links"]["self"]["uri"].as_str().unwrap().starts_with(BASE));
    }
}

#[tokio::test]
async fn a_selection_of_what_is_not_there_is_refused() {
    // REF-224
    for world in both().await {
        for select in
            ["unheard", "id,unheard", "id,", ",id", "id status", "customerProfile/unheard", "$count", ""]
        {
            let answer = world.contoso().asks(&format!("?$select={select}")).await;
            answer.refused(400, "invalidRequest", "$select", "unsupportedQuery");
        }
    }
}

// ---- $orderby ----

#[tokio::test]
async fn an_order_sorts_by_its_keys() {
    for world in both().await {
        for (order, expected) in [
            ("createdDateTime desc", "dan cyd bob ada"), // REF-225
            ("updatedDateTime desc", "ada bob cyd dan"), // REF-225
            ("createdDateTime", "ada bob cyd dan"),      // REF-226
            ("createdDateTime asc", "ada bob cyd dan"),
            ("updatedDateTime", "dan cyd bob ada"),
            ("updatedDateTime asc,createdDateTime desc", "dan cyd bob ada"),
            ("createdDateTime desc , updatedDateTime", "dan cyd bob ada"),
        ] {
            let answer = world.contoso().asks(&format!("?$orderby={order}")).await.expect(200);
            assert_eq!(names(&answer).join(" "), expected, "{order}");
            let paged = world.contoso().names(&format!("?$orderby={order}&pagesize=1")).await;
            assert_eq!(paged.join(" "), expected, "{order}");
        }
        for order in
            ["unheard", "", "createdDateTime up", "createdDateTime,", "team", "customerProfile", "team/email"]
        {
            let answer = world.contoso().asks(&format!("?$orderby={order}")).await;
            answer.refused(400, "invalidRequest", "$orderby", "unsupportedQuery");
        }
    }
}

#[tokio::test]
async fn several_keys_are_compared_one_after_the_other() {
    for world in both().await {
        let all = ids(&world.contoso().asks("?$orderby=createdDateTime").await);
        for (id, updated) in all.iter().zip(["2026-02-02T00:00:00Z", "2026-02-01T00:00:00Z"].iter().cycle()) {
            world.bends(id, |one| one["updatedDateTime"] = (*updated).into()).await;
        }
        for (order, expected) in [
            ("updatedDateTime,createdDateTime", "bob dan ada cyd"),
            ("updatedDateTime,createdDateTime desc", "dan bob cyd ada"),
            ("updatedDateTime desc,createdDateTime", "ada cyd bob dan"),
            ("updatedDateTime desc,createdDateTime desc", "cyd ada dan bob"),
        ] {
            for size in 1..=4 {
                let query = format!("?$orderby={order}&pagesize={size}");
                assert_eq!(world.contoso().names(&query).await.join(" "), expected, "{query}");
            }
        }
    }
}

// ---- the table of temperaments ----

/// Strict refuses it with this target; extended serves it.
const ONLY_EXTENDED: [(&str, &str); 54] = [
    // $orderby on other keys
    ("$orderby=name", "$orderby"), // REF-227
    ("$orderby=createdDateTime,name desc", "$orderby"),
    ("$orderby=customerProfile/address/city", "$orderby"),
    ("$orderby=length(name)", "$orderby"),
    ("$orderby=details/dealValue mul 2", "$orderby"),
    ("$orderby=team/$count", "$orderby"),
    // other functions
    ("$filter=tolower(name) eq 'ada'", "$filter"),
    ("$filter=toupper(name) eq 'ADA'", "$filter"),
    ("$filter=trim(name) eq 'ada'", "$filter"),
    ("$filter=length(name) eq 3", "$filter"),
    ("$filter=indexof(name,'d') eq 1", "$filter"),
    ("$filter=substring(name,1) eq 'da'", "$filter"),
    ("$filter=concat(name,'x') eq 'adax'", "$filter"),
    ("$filter=matchesPattern(name,'^a')", "$filter"),
    ("$filter=year(createdDateTime) eq 2026", "$filter"),
    ("$filter=date(createdDateTime) eq 2026-03-02", "$filter"),
    ("$filter=createdDateTime lt now()", "$filter"),
    ("$filter=round(details/dealValue) eq 1", "$filter"),
    ("$filter=cast(details/dealValue,Edm.String) eq '1'", "$filter"),
    ("$filter=contains(tolower(name),'a')", "$filter"),
    // arithmetic
    ("$filter=details/dealValue add 1 eq 2", "$filter"),
    ("$filter=details/dealValue divby 2 eq 0.5", "$filter"),
    ("$filter=-details/dealValue lt 0", "$filter"),
    ("$filter=createdDateTime add duration'P1D' gt updatedDateTime", "$filter"),
    // the rest of the language
    ("$filter=team/all(t:t/email ne 'x')", "$filter"),
    ("$filter=team/$count eq 1", "$filter"),
    ("$filter=status has 'Active'", "$filter"),
    ("$filter=team/any(a:team/any(b:b/email eq a/email))", "$filter"),
    ("$filter=team/any(a:a/email eq 'x' or target/any(b:b/id eq 'x'))", "$filter"),
    ("$filter=case(true:favorite)", "$filter"),
    // fields that are not in spec 11.2
    ("$filter=statusReason eq null", "$filter"),
    ("$filter=eTag ne null", "$filter"),
    ("$filter=details/notes ne null", "$filter"),
    ("$filter=quality eq 'Unknown'", "$filter"),
    ("$filter=isSpam eq false", "$filter"),
    ("$filter=salesStage eq null", "$filter"),
    ("$filter=customerProfile/size eq null", "$filter"),
    ("$filter=organizationName eq 'x'", "$filter"),
    ("$filter=inviteContext/invitedMpnId eq null", "$filter"),
    ("$filter=tags/any(t:t eq 'x')", "$filter"),
    ("$filter=customerProfile/ids/any(i:i/id eq '1')", "$filter"),
    ("$filter=details/requirements/solutions/any(s:s/id eq 'x')", "$filter"),
    ("$filter=team/any(t:t/contactPreference/locale eq 'x')", "$filter"),
    // nested selections
    ("$select=customerProfile/name", "$select"),
    ("$select=team($top=1)", "$select"),
    ("$select=*", "$select"),
    // other options
    ("$expand=relatedReferrals", "$expand"), // REF-245
    ("$expand=relatedReferrals/$count", "$expand"),
    ("$expand=*", "$expand"),
    ("$compute=length(name) as letters", "$compute"),
    ("$format=json", "$format"),
    ("$filter=name eq @name&@name='ada'", "@name"),
    ("@name='ada'", "@name"),
    ("$filter=email eq @mail&@mail='ada'", "@mail"),
];

#[tokio::test]
async fn what_the_contract_does_not_offer_strict_refuses_and_extended_serves() {
    let [strict, extended] = both().await;
    let mut wrong = Vec::new();
    for (query, target) in ONLY_EXTENDED {
        let inner = if target == "$filter" { "unsupportedFilter" } else { "unsupportedQuery" };
        let answer = strict.contoso().asks(&format!("?{query}")).await;
        let error = &answer.body["error"];
        let found = (
            answer.status,
            error["code"].as_str(),
            error["target"].as_str(),
            error["innerError"]["code"].as_str(),
        );
        if found != (400, Some("invalidRequest"), Some(target), Some(inner)) {
            wrong.push(format!("strict {query}: {} {}", answer.status, answer.body));
        }
        // DESIGN: a line that a real client ignores says where it is offered.
        if !answer.header("x-cosell-hint").is_some_and(|hint| hint.contains("extended")) {
            wrong.push(format!("strict {query}: no hint"));
        }
        let answer = extended.contoso().asks(&format!("?{query}")).await;
        if answer.status != 200 {
            wrong.push(format!("extended {query}: {} {}", answer.status, answer.body));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn strict_offers_no_search_and_no_aggregates() {
    let [strict, _] = both().await;
    for (query, option) in [
        ("$search=ada", "$search"),
        ("$apply=aggregate($count as total)", "$apply"),
        ("$apply=groupby((status))", "$apply"),
    ] {
        let answer = strict.contoso().asks(&format!("?{query}")).await;
        assert!(answer.header("x-cosell-hint").is_some(), "{query}");
        answer.refused(400, "invalidRequest", option, "unsupportedQuery");
    }
}

#[tokio::test]
async fn names_without_a_dollar_are_options_in_extended_alone() {
    let [strict, extended] = both().await;
    for query in
        ["top=1", "filter=name eq 'ada'", "skip=3", "orderby=createdDateTime&top=1", "select=name&TOP=1"]
    {
        assert_eq!(names(&strict.contoso().asks(&format!("?{query}")).await.expect(200)).len(), 4, "{query}");
        assert_eq!(
            names(&extended.contoso().asks(&format!("?{query}")).await.expect(200)).len(),
            1,
            "{query}"
        );
    }
    // Strict does not even read them.
    strict.contoso().asks("?top=x&filter=(&expand=y").await.expect(200);
    extended.contoso().asks("?top=x").await.refused(400, "invalidRequest", "$top", "unsupportedQuery");
    // Property names in another case are found in extended alone, as are names in another case of nothing.
    extended.contoso().asks("?$filter=NAME eq 'ada'").await.expect(200);
    strict.contoso().asks("?$filter=NAME eq 'ada'").await.refused(
        400,
        "invalidRequest",
        "$filter",
        "unsupportedFilter",
    );
}

#[tokio::test]
async fn what_the_grammar_has_and_the_server_lacks_is_400_in_strict_and_501_in_extended() {
    let [strict, extended] = both().await;
    for (query, option) in [
        ("$deltatoken=x", "$deltatoken"),
        ("$id=x", "$id"),
        ("$index=1", "$index"),
        ("$schemaversion=*", "$schemaversion"),
        ("$filter=geo.distance(name,geography'SRID=0;Point(1 2)') lt 1", "$filter"),
        ("$filter=$root/Referrals/$count gt 1", "$filter"),
        ("$filter=name/Model.Function() eq 1", "$filter"),
        ("$filter=@Core.Description eq 'x'", "$filter"),
        ("$select=Model.Action", "$select"),
        ("$filter=team eq 'x'", "$filter"),
    ] {
        let answer = strict.contoso().asks(&format!("?{query}")).await;
        let inner = if option == "$filter" { "unsupportedFilter" } else { "unsupportedQuery" };
        answer.refused(400, "invalidRequest", option, inner);
        let answer = extended.contoso().asks(&format!("?{query}")).await;
        answer.refused(501, "invalidRequest", option, "notImplemented");
    }
    // The sight of others is unknown to the list of the own ones (ADR 0020), and links are made for each answer.
    for filter in [
        "relatedReferrals/any(r:r/status eq 'New')",
        "relatedReferrals/$count gt 1",
        "links/self/uri ne null",
    ] {
        let answer = extended.contoso().asks(&format!("?$filter={filter}")).await;
        let inner = &answer.body["error"]["innerError"]["code"];
        assert_eq!((answer.status, inner), (501, &json!("notImplemented")), "{filter}");
        strict.contoso().asks(&format!("?$filter={filter}")).await.refused(
            400,
            "invalidRequest",
            "$filter",
            "unsupportedFilter",
        );
    }
}

#[tokio::test]
async fn unknown_options_are_refused_and_unknown_plain_ones_ignored() {
    // REF-244
    for world in both().await {
        for (query, option) in [
            ("$unheard=1", "$unheard"),
            ("$unheard", "$unheard"),
            ("$=1", "$"),
            ("$fliter=name eq 'x'", "$fliter"),
            ("$levels=1", "$levels"),
            ("%24unheard=1", "$unheard"),
            ("$top=1&$unheard=1", "$unheard"),
        ] {
            let answer = world.contoso().asks(&format!("?{query}")).await.expect(400);
            assert_eq!(answer.body["error"]["target"], option, "{query}");
            assert_eq!(answer.body["error"]["innerError"]["code"], "unsupportedQuery", "{query}");
        }
        for ignored in [
            "",
            "x=1",
            "x",
            "=",
            "=1",
            "api-version=1&x=%C3%BC",
            "&&",
            "x=a&x=b",
            "ü=ü",
            "filters=(",
            "page=2",
        ] {
            let answer = world.contoso().asks(&format!("?{ignored}")).await.expect(200);
            assert_eq!(answer.body["@odata.count"], 4, "{ignored}");
        }
        let twice = world.contoso().asks("?$top=1&$top=2").await;
        twice.refused(400, "invalidRequest", "$top", "unsupportedQuery");
        let twice = world.contoso().asks("?$filter=true&%24FILTER=false").await;
        twice.refused(400, "invalidRequest", "$filter", "unsupportedFilter");
        let many = vec!["x=1"; 101].join("&");
        world.contoso().asks(&format!("?{many}")).await.refused(
            400,
            "invalidRequest",
            "query",
            "unsupportedQuery",
        );
    }
}

#[tokio::test]
async fn an_empty_expand_is_ignored_and_a_named_one_is_not() {
    // REF-245
    let [strict, extended] = both().await;
    for world in [&strict, &extended] {
        for query in ["$expand=", "$expand=&$count=true", "%24expand=&$top=4", "$EXPAND="] {
            let answer = world.contoso().asks(&format!("?{query}")).await.expect(200);
            assert_eq!(names(&answer).len(), 4, "{query}");
        }
        for named in ["team", "unheard", "customerProfile/address", "relatedReferrals(", "%20", ","] {
            let answer = world.contoso().asks(&format!("?$expand={named}")).await;
            answer.refused(400, "invalidRequest", "$expand", "unsupportedQuery");
        }
    }
    let answer = strict.contoso().asks("?$expand=relatedReferrals").await;
    answer.refused(400, "invalidRequest", "$expand", "unsupportedQuery");
}

#[tokio::test]
async fn a_strict_server_has_no_paths_below_the_contract() {
    let [strict, _] = both().await;
    let id = ids(&strict.contoso().asks("?$top=1").await).remove(0);
    for path in [
        "/$count".to_owned(),
        format!("({id})"),
        format!("('{id}')"),
        format!("(id={id})"),
        format!("({id})/name"),
        format!("/{id}/name"),
        format!("/{id}/name/$value"),
        format!("/{id}/team/$count"),
        format!("/{id}/$ref"),
        format!("/{id}/relatedReferrals"),
        format!("/{id}/relatedReferrals/$count"),
    ] {
        strict.contoso().reads(&path).await.expect(404);
    }
    strict
        .call("POST", "/v1.0/$batch")
        .as_user(CONTOSO_ADMIN)
        .json(json!({ "requests": [] }))
        .await
        .expect(404);
    // One referral takes no options; names that are none are nobody's.
    let plain = strict.contoso().gets(&id).await.expect(200);
    for (query, option) in [
        ("$select=id", "$select"),
        ("$expand=relatedReferrals", "$expand"),
        ("$unheard=1", "$unheard"),
        ("$filter=(", "$filter"),
    ] {
        let answer = strict.contoso().reads(&format!("/{id}?{query}")).await.expect(400);
        assert_eq!(answer.body["error"]["target"], option, "{query}");
    }
    for query in ["select=id", "$expand=", "api-version=1", "pagesize=1"] {
        let answer = strict.contoso().reads(&format!("/{id}?{query}")).await.expect(200);
        assert_eq!(answer.body, plain.body, "{query}");
    }
}

// ---- how much is said ----

#[tokio::test]
async fn the_accept_header_says_how_much_metadata_comes() {
    for world in both().await {
        let id = ids(&world.contoso().asks("?$top=1&$orderby=createdDateTime desc").await).remove(0);
        let asked = async |target: &str, accept: &str| {
            let call = world.call("GET", target).as_user(CONTOSO_ADMIN).header("Accept", accept);
            call.await.expect(200).body
        };
        let list = format!("{REFERRALS}?$top=1");
        let plain = asked(&list, "application/json").await;
        for minimal in ["application/json;odata.metadata=minimal", "*/*", "application/json;metadata=minimal"]
        {
            assert_eq!(asked(&list, minimal).await, plain, "{minimal}");
        }
        for none in [
            "application/json;odata.metadata=none",
            "application/json; Metadata=NONE;charset=utf-8",
            "text/html, application/json;odata.metadata=none",
        ] {
            let answer = asked(&list, none).await;
            // The count and next links stay (JSON Format 4.01, 3.1.3).
            assert_eq!(keys(&answer), ["@odata.count", "value"], "{none}");
            assert_eq!(answer["value"], plain["value"]);
        }
        let full = asked(&list, "application/json;odata.metadata=full").await;
        let item = &full["value"][0];
        assert_eq!(item["@odata.type"], "#Cosell.Referrals.Referral");
        let uri = format!("{BASE}{REFERRALS}/{id}");
        for name in ["@odata.id", "@odata.editLink"] {
            assert_eq!(item[name], uri, "{name}");
        }
        assert_eq!(item["@odata.etag"], item["eTag"]);
        assert_eq!(item["relatedReferrals@odata.navigationLink"], format!("{uri}/relatedReferrals"));
        assert_eq!(item["createdDateTime@odata.type"], "#DateTimeOffset");
        assert_eq!(item["id@odata.type"], "#Guid");
        assert_eq!(item["status@odata.type"], "#Cosell.Referrals.ReferralStatus");
        assert_eq!(item["team@odata.type"], "#Collection(Cosell.Referrals.Member)");
        assert_eq!(item["details"]["dealValue@odata.type"], "#Decimal");
        assert!(item.get("name@odata.type").is_none());
        // Without annotations it is the same referral.
        let mut bare = item.clone();
        strip(&mut bare);
        assert_eq!(bare, plain["value"][0]);

        let alone = asked(&format!("{REFERRALS}/{id}"), "application/json;odata.metadata=none").await;
        assert_eq!(alone, plain["value"][0]);
        let alone = asked(&format!("{REFERRALS}/{id}"), "application/json;odata.metadata=full").await;
        assert!(alone["@odata.context"].as_str().unwrap().ends_with("$metadata#Referrals/$entity"));
        assert_eq!(alone["@odata.id"], uri);
    }
}

/// Takes the annotations out.
fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !name.contains('@'));
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[tokio::test]
async fn format_goes_before_accept_where_it_is_offered() {
    let [_, extended] = both().await;
    let asked = async |format: &str, accept: &str| {
        let target = format!("{REFERRALS}?$top=1&$format={format}");
        extended.call("GET", &target).as_user(CONTOSO_ADMIN).header("Accept", accept).await
    };
    let none = "application/json;odata.metadata=none";
    for format in ["json", "application/json", "application/json;odata.metadata=minimal"] {
        let answer = asked(format, none).await.expect(200);
        assert!(answer.body["@odata.context"].is_string(), "{format}");
    }
    let answer = asked("application/json;odata.metadata=none", "*/*").await.expect(200);
    assert!(answer.body.get("@odata.context").is_none());
    let answer = asked("application/json;odata.metadata=full", none).await.expect(200);
    assert!(answer.body["value"][0]["@odata.type"].is_string());
    for other in ["xml", "atom", "text/html"] {
        asked(other, "*/*").await.refused(406, "invalidRequest", "$format", "notAcceptable");
    }
}

#[tokio::test]
async fn a_preferred_page_size_is_honoured_and_said() {
    for world in both().await {
        let asked = async |query: &str, prefer: &str| {
            let target = format!("{REFERRALS}{query}");
            let answer =
                world.call("GET", &target).as_user(CONTOSO_ADMIN).header("Prefer", prefer).await.expect(200);
            (names(&answer).len(), answer.header("preference-applied").map(str::to_owned), answer)
        };
        for (query, prefer, size, applied) in [
            ("", "odata.maxpagesize=3", 3, Some("odata.maxpagesize=3")),
            ("", "maxpagesize=3", 3, Some("odata.maxpagesize=3")),
            ("", "return=minimal, odata.maxpagesize=2", 2, Some("odata.maxpagesize=2")),
            ("?pagesize=1", "odata.maxpagesize=3", 1, Some("odata.maxpagesize=3")),
            ("?pagesize=3", "odata.maxpagesize=2", 2, Some("odata.maxpagesize=2")),
            ("", "odata.maxpagesize=2; x=1", 2, Some("odata.maxpagesize=2")),
            ("", "odata.maxpagesize=1000", 4, Some("odata.maxpagesize=100")),
            ("", "odata.maxpagesize=0", 4, None),
            ("", "odata.maxpagesize=x", 4, None),
            ("", "odata.maxpagesize", 4, None),
            ("", "respond-async", 4, None),
            ("?$top=2", "odata.maxpagesize=1", 1, Some("odata.maxpagesize=1")),
        ] {
            let (found, said, _) = asked(query, prefer).await;
            assert_eq!((found, said.as_deref()), (size, applied), "{query} {prefer}");
        }
        // The page after is for whoever comes with the link, with the wish again or without.
        let (_, _, first) = asked("", "odata.maxpagesize=1").await;
        let link = next(&first).unwrap();
        let (size, ..) = asked(&link, "odata.maxpagesize=1").await;
        assert_eq!(size, 1);
        assert_eq!(names(&world.contoso().lists(&link).await.expect(200)).len(), 3);
        // $top counts over pages of any size.
        let (_, _, first) = asked("?$top=3", "odata.maxpagesize=1").await;
        assert_eq!(names(&world.contoso().lists(&next(&first).unwrap()).await.expect(200)).len(), 2);
        // The count stays (spec 11.3): it is cheap here.
        assert_eq!(first.body["@odata.count"], 4);
    }
}

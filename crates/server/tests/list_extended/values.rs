//! What expressions come to, over HTTP: values, faults, and refusals of names that clash; what costs too much.

use serde_json::{Value, json};

use super::support::*;
use super::{engaged, five, id_of, keys};

#[tokio::test]
async fn an_expression_without_a_value_is_refused_wherever_it_stands() {
    let (world, own) = engaged().await;
    let engagement = format!("engagementId eq '{}'", own.engagement);
    // Of constants, of a member and a constant, and of members alone.
    for fault in
        ["1 div 0", "1.5 mod 0", "length(name) div 0", "length(name) div (length(name) sub length(name))"]
    {
        for query in [
            format!("?$filter={fault} eq 1"),
            format!("?$filter=not ({fault} eq 1)"),
            format!("?$filter={engagement} and {fault} eq 1"),
            format!("?$orderby={fault}"),
            format!("?$filter={engagement}&$orderby={fault}"),
            format!("?$compute={fault} as x"),
            format!("?$compute={fault} as x&$select=name,x"),
            format!("?$expand=relatedReferrals($filter={fault} eq 1)"),
            format!("?$expand=relatedReferrals($compute={fault} as x)"),
            format!("?$select=customerProfile($compute={fault} as x)"),
            format!("?$apply=filter({fault} eq 1)"),
            format!("?$apply=compute({fault} as x)/aggregate(x with max as y)"),
            format!("?$apply=groupby((status),aggregate({fault} with sum as y))"),
        ] {
            let answer = world.contoso().asks(&query).await;
            assert_eq!(answer.status, 400, "{query}: {}", answer.body);
            assert_eq!(answer.body["error"]["code"], "invalidRequest", "{query}");
            let message = answer.body["error"]["message"].as_str().unwrap();
            assert!(message.contains("by zero"), "{query}: {message}");
        }
        for path in ["", "/relatedReferrals"] {
            let target = format!("{REFERRALS}/{}{path}?$compute={fault} as x", own.id).replace(' ', "%20");
            world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(400);
        }
        let target = format!("{REFERRALS}/{}/team?$filter={fault} eq 1", own.id).replace(' ', "%20");
        world.call("GET", &target).as_user(CONTOSO_ADMIN).await.expect(400);
    }
}

#[tokio::test]
async fn values_at_the_edges_are_those_of_the_standard() {
    let world = five().await;
    for (expression, value) in [
        ("cast(1,Edm.Double) div 0", json!("INF")),
        ("cast(-1,Edm.Double) div 0", json!("-INF")),
        ("cast(0,Edm.Double) div 0", json!("NaN")),
        ("2026-01-02 sub duration'PT1H'", json!("2026-01-01")),
        ("2026-01-02 add duration'PT23H'", json!("2026-01-02")),
        ("cast(300,Edm.Byte)", Value::Null),
        ("cast(255,Edm.Byte)", json!(255)),
        ("cast(length(name) mul 100,Edm.Byte)", Value::Null),
        ("cast(-129,Edm.SByte)", Value::Null),
        ("cast(40000,Edm.Int16)", Value::Null),
        ("null add 1", Value::Null),
        ("case(length(name) eq 0:0,true:12 div length(name))", json!(4)),
    ] {
        let query = format!("?$filter=name eq 'dan'&$compute={expression} as x&$select=x");
        let answer = world.contoso().asks(&query).await.expect(200);
        assert_eq!(answer.body["value"][0], json!({ "x": value }), "{expression}");
    }
    let answer = world
        .contoso()
        .asks("?$filter=name eq 'dan'&$compute=details as x,team as y&$select=x,y,details,team")
        .await;
    let item = answer.expect(200).body["value"][0].clone();
    assert_eq!(item["x"], item["details"]);
    assert_eq!(item["y"], item["team"]);
    assert_eq!(item["x"]["dealValue"], json!(10));
}

#[tokio::test]
async fn what_is_named_twice_is_refused() {
    let world = five().await;
    for (query, option) in [
        ("?$select=name,name", "$select"),
        ("?$select=name,Name", "$select"),
        ("?$select=team,team($top=1)", "$select"),
        ("?$select=details/notes,details($select=id)", "$select"),
        ("?$expand=relatedReferrals,relatedReferrals", "$expand"),
        ("?$expand=relatedReferrals($top=1),RelatedReferrals($top=2)", "$expand"),
        ("?$expand=relatedReferrals($select=name,name)", "$expand"),
        ("?$compute=1 as x,2 as x", "$compute"),
        ("?$compute=1 as Name", "$compute"),
        ("?$apply=groupby((status),aggregate(details/dealValue with sum as details))", "$apply"),
        ("?$apply=groupby((status),aggregate(details/dealValue with sum as status))", "$apply"),
        ("?$apply=aggregate(details/dealValue with sum as x,$count as x)", "$apply"),
        ("?$apply=compute(1 as x)/compute(2 as X)", "$apply"),
        ("?$apply=groupby((status,Status))", "$apply"),
    ] {
        let answer = world.contoso().asks(query).await;
        assert_eq!(
            (answer.status, answer.body["error"]["target"].as_str()),
            (400, Some(option)),
            "{query}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_star_leaves_the_options_beside_it() {
    let world = five().await;
    let answer =
        world.contoso().asks("?$filter=name eq 'dan'&$select=*,team($top=1;$select=email)").await.expect(200);
    let item = &answer.body["value"][0];
    assert_eq!(item["team"], json!([{ "email": "d@x.example" }]));
    let whole = world.contoso().gets(&id_of(&world, "dan").await).await.body;
    assert_eq!(keys(item).len(), keys(&whole).len() - 1, "all but the context");

    let (world, _) = engaged().await;
    let answer = world.contoso().asks("?$select=id&$expand=*&$top=1").await.expect(200);
    let context = answer.body["@odata.context"].as_str().unwrap();
    assert_eq!(context.split_once('#').unwrap().1, "Referrals(id,relatedReferrals())");
    assert!(answer.body["value"][0]["relatedReferrals"].is_array());
    let answer =
        world.contoso().asks("?$select=id&$expand=*,relatedReferrals($top=1;$select=name)&$top=1").await;
    let related = &answer.expect(200).body["value"][0]["relatedReferrals"];
    assert_eq!(related.as_array().map(Vec::len), Some(1), "{related}");
}

#[tokio::test]
async fn patterns_cost_what_they_compile_to() {
    let world = five().await;
    world.contoso().asks("?$select=name&$compute=matchesPattern(name,'(a?){300}b') as c").await.expect(200);
    let notes = "a".repeat(60_000);
    let large = "(a?){300}b";
    for query in [
        format!("?$select=c&$compute=matchesPattern('{notes}','{large}') as c"),
        format!("?$filter=matchesPattern('{notes}','{large}')"),
        format!("?$select=c&$compute=matchesPattern(concat(name,'{notes}'),'{large}') as c"),
        "?$filter=matchesPattern(name,'(a?){1000}{1000}b')".to_owned(),
        format!(
            "?$filter={}",
            (0..300).map(|n| format!("matchesPattern(@t,'{large}{n}')")).collect::<Vec<_>>().join(" or ")
                + "&@t='aaaa'"
        ),
    ] {
        let answer = world.contoso().asks(&query).await;
        assert_eq!(answer.status, 400, "{}: {}", &query[..40], answer.body);
    }
    for (pattern, status) in [("(", 400), ("(?=a)b", 501), (r"(a)\1", 501)] {
        world.contoso().asks(&format!("?$filter=matchesPattern(name,'{pattern}')")).await.expect(status);
    }
}

#[tokio::test]
async fn an_alias_is_no_way_to_make_a_short_query_large() {
    let world = five().await;
    let text = "x".repeat(40_000);
    let mut nested = vec!["@t".to_owned(); 1000];
    while nested.len() > 1 {
        nested = nested
            .chunks(2)
            .map(|pair| match pair {
                [one, other] => format!("concat({one},{other})"),
                rest => rest.concat(),
            })
            .collect();
    }
    let doubled: Vec<String> = (1..30).map(|n| format!("@a{n}=concat(@a{},@a{})", n - 1, n - 1)).collect();
    for query in [
        format!("?$filter=name eq {}&@t='{text}'", nested.concat()),
        format!("?$filter=name eq @a29&@a0='{text}'&{}", doubled.join("&")),
        format!(
            "?$compute={}&@s=concat(name,'{text}')",
            (0..100).map(|n| format!("@s as c{n}")).collect::<Vec<_>>().join(",")
        ),
    ] {
        let answer = world.contoso().asks(&query).await;
        assert_eq!(answer.status, 400, "{}: {}", &query[..40], answer.body);
    }
    // One constant, however often.
    let uses = vec!["name eq @t"; 500].join(" or ");
    let answer =
        world.contoso().asks(&format!("?$filter={uses} or name eq 'ada'&@t='{text}'")).await.expect(200);
    assert_eq!(names(&answer), ["ada"]);
}

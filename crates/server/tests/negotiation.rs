//! Representations, preconditions, versions and preferences. Source: spec 4.1 and 4.2; RFC 9110; OData JSON Format 4.01, 3.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;
mod wire;

use net::ServeOptions;
use serde_json::{Value, json};
use support::*;
use wire::Server;

const STRINGS: &str = "application/json;IEEE754Compatible=true";
const STALE: &str = "\"00000000-0000-4000-8000-000000000000\"";

async fn a_deal(world: &World) -> Deal {
    let mut body = support::deal();
    body["details"]["dealValue"] = 50000.into();
    world.contoso().creates(body).await
}

async fn accepting(world: &World, path: &str, accept: &str) -> Answer {
    world.call("GET", &encoded(path)).as_user(CONTOSO_ADMIN).header("Accept", accept).await
}

#[tokio::test]
async fn each_parameter_of_a_media_range_is_executed_or_makes_it_unacceptable() {
    let strict = World::new().await;
    let extended = World::extended().await;
    let (in_strict, in_extended) = (a_deal(&strict).await, a_deal(&extended).await);
    let none = "application/json;odata.metadata=none";
    let full = "application/json;odata.metadata=full";
    // What the answer's Content-Type is in strict and in extended; "": 406.
    let plain = "application/json";
    for (accept, told_in_strict, told) in [
        (STRINGS, plain, STRINGS),
        ("application/json;ieee754compatible=\"TRUE\"", plain, STRINGS),
        ("application/json;IEEE754Compatible=false", plain, plain),
        ("application/json;IEEE754Compatible=1", plain, ""),
        ("application/json;foo=bar", plain, ""),
        ("application/json;foo", plain, ""),
        ("application/json;foo=bar, application/json;odata.metadata=none;q=0.1", plain, none),
        ("application/json;odata.metadata=\"full\"", full, full),
        ("application/json; metadata=full", full, full),
        ("application/json;odata.metadata=verbose", plain, ""),
        ("application/json;odata.streaming=true;ExponentialDecimals=true;charset=UTF-8", plain, plain),
        ("application/json;streaming=maybe", plain, ""),
        ("application/json;charset=latin1", plain, ""),
        ("application/json;q=0.5;odata.metadata=none, application/json;odata.metadata=full", full, full),
        (
            "application/json;odata.metadata=full;q=0.2, application/json;odata.metadata=none;q=0.3",
            none,
            none,
        ),
        ("application/json;odata.metadata=full;q=0, */*", plain, plain),
        ("application/json;q=1.5, */*;q=0.1", plain, plain),
        ("application/json;q=0.1234", plain, ""),
        ("application/json;q=none", plain, ""),
        ("application/json;q=0.000", "", ""),
        ("text/html;x=\"a, application/json\"", "", ""),
        (
            "application/json;odata.metadata=none;IEEE754Compatible=true",
            none,
            &format!("{none};IEEE754Compatible=true"),
        ),
    ] {
        for (world, deal, told) in [(&strict, &in_strict, told_in_strict), (&extended, &in_extended, told)] {
            let answer = accepting(world, &deal.path(), accept).await;
            if told.is_empty() {
                answer.refused(406, "invalidRequest", "Accept", "notAcceptable");
                continue;
            }
            let answer = answer.expect(200);
            assert_eq!(answer.header("content-type"), Some(told), "{accept}");
            assert_eq!(answer.header("vary"), Some("Accept"), "{accept}");
            let value = if told.contains("IEEE754") { json!("50000") } else { json!(50000) };
            assert_eq!(answer.body["details"]["dealValue"], value, "{accept}");
            assert_eq!(answer.body.get("@odata.context").is_none(), told.contains("none"), "{accept}");
            assert_eq!(answer.body.get("@odata.editLink").is_some(), told.contains("full"), "{accept}");
            // Other representations have the same tag, weak.
            let weak = told.contains("none") || told.contains("full") || told.contains("IEEE754");
            let tag = if weak { format!("W/{}", deal.etag) } else { deal.etag.clone() };
            assert_eq!(answer.header("etag"), Some(&*tag), "{accept}");
        }
    }
}

#[tokio::test]
async fn numbers_are_strings_in_every_answer_to_a_client_that_asks_for_it() {
    let world = World::extended().await;
    let deal = a_deal(&world).await;
    let doubled = "details/dealValue mul 2 as twice,cast(details/dealValue,Edm.Double) as rough";
    let grouped = "$apply=aggregate(details/dealValue with sum as total,$count as many)";
    for (path, places) in [
        (deal.path(), &["/details/dealValue=50000"][..]),
        (format!("{}?$select=details", deal.path()), &["/details/dealValue=50000"]),
        (format!("{}?$select=details/dealValue", deal.path()), &["/details/dealValue=50000"]),
        (
            format!("{}?$select=details($compute=dealValue add 1 as more;$select=more)", deal.path()),
            &["/details/more=50001"],
        ),
        (format!("{}?$compute={doubled}", deal.path()), &["/twice=100000", "/rough#"]),
        (format!("{}/details", deal.path()), &["/dealValue=50000"]),
        (format!("{}/details/dealValue", deal.path()), &["/value=50000"]),
        (format!("{}/team?$count=true", deal.path()), &["/@odata.count=1"]),
        (
            format!("{REFERRALS}?$compute={doubled}"),
            &[
                "/@odata.count=1",
                "/value/0/details/dealValue=50000",
                "/value/0/twice=100000",
                "/value/0/rough#",
            ],
        ),
        (
            format!("{REFERRALS}?$expand=relatedReferrals($count=true)"),
            &[
                "/value/0/relatedReferrals/0/details/dealValue=50000",
                "/value/0/relatedReferrals@odata.count=1",
            ],
        ),
        (format!("{REFERRALS}?{grouped}"), &["/value/0/total=50000", "/value/0/many=1"]),
        // What these functions give is Edm.Int32 (URL Conventions 5.1.1.5 and 5.1.1.8); what is calculated with it, Edm.Int64.
        (
            format!(
                "{REFERRALS}?$compute=length(name)%20as%20l,indexof(name,'z')%20as%20i,year(createdDateTime)%20as%20y"
            ),
            &["/value/0/l#", "/value/0/i#", "/value/0/y#"],
        ),
        (format!("{REFERRALS}?$compute=length(name)%20sub%20length(name)%20as%20l"), &["/value/0/l=0"]),
        (
            format!("{REFERRALS}?$format=application/json;IEEE754Compatible=true"),
            &["/value/0/details/dealValue=50000"],
        ),
        (format!("{}/relatedReferrals", deal.path()), &["/value/0/details/dealValue=50000"]),
    ] {
        let answer = accepting(&world, &path, STRINGS).await.expect(200);
        assert_eq!(answer.header("content-type"), Some(STRINGS), "{path}");
        for place in places {
            match place.split_once('=') {
                Some((place, text)) => {
                    assert_eq!(answer.body.pointer(place), Some(&json!(text)), "{path} {}", answer.body);
                }
                // A number of another type stays one.
                None => assert!(
                    answer.body.pointer(place.trim_end_matches('#')).is_some_and(Value::is_number),
                    "{path}"
                ),
            }
        }
        let usual = accepting(&world, &path, "application/json").await.expect(200);
        assert!(path.contains("IEEE754") || usual.header("content-type") == Some("application/json"));
    }
}

#[tokio::test]
async fn writes_answer_in_the_representation_that_was_asked_for() {
    let world = World::extended().await;
    let call =
        |method: &str, path: &str| world.call(method, path).as_user(CONTOSO_ADMIN).header("Accept", STRINGS);
    let mut body = support::deal();
    body["details"]["dealValue"] = "12.5".into();
    let sent_as = "application/json;IEEE754Compatible=true";
    let post = call("POST", REFERRALS).header("Content-Type", sent_as).json(body).await.expect(201);
    assert_eq!(post.body["details"]["dealValue"], "12.5");
    let deal = Deal::of(&post);
    let put = call("PUT", &deal.path()).header("If-Match", &deal.etag);
    let put = put.json(json!({ "details": { "dealValue": 13 } })).await.expect(200);
    assert_eq!(put.body["details"]["dealValue"], "13");
    let patch = json!([{ "op": "replace", "path": "/details/dealValue", "value": "14" }]);
    let patched = call("PATCH", &deal.path()).header("Prefer", "return=representation").json(patch.clone());
    assert_eq!(patched.await.expect(200).body["details"]["dealValue"], "14");
    for (level, has_context) in [("none", false), ("full", true)] {
        let accept = format!("application/json;odata.metadata={level}");
        let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("Accept", &accept);
        let answer = call.header("Prefer", "return=representation").json(patch.clone()).await.expect(200);
        assert_eq!(answer.body.get("@odata.context").is_some(), has_context, "{level}");
        assert_eq!(answer.body.get("@odata.type").is_some(), has_context, "{level}");
    }
    // A batch: each request by its own Accept, else by that of the batch.
    let requests = json!({ "requests": [
        { "id": "1", "method": "get", "url": deal.path() },
        { "id": "2", "method": "get", "url": deal.path(), "headers": { "accept": "application/json" } },
        { "id": "3", "method": "get", "url": format!("{}/name/$value", deal.path()) },
    ] });
    let answer = call("POST", "/v1.0/$batch").json(requests).await.expect(200);
    let value = |at: usize| answer.body["responses"][at]["body"]["details"]["dealValue"].clone();
    assert_eq!((value(0), value(1)), (json!("14"), json!(14)));
    assert_eq!(answer.body["responses"][2]["status"], 200);
}

#[tokio::test]
async fn preconditions_are_held_against_every_resource() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let patch = json!([{ "op": "replace", "path": "/name", "value": "Changed" }]);
    let weak = format!("W/{}", deal.etag);
    let opaque = format!("\"x,{}\"", deal.etag.trim_matches('"'));
    let expanded = format!("{}?$expand=relatedReferrals", deal.path());
    for (method, path, header, value, status) in [
        ("GET", &*deal.path(), "If-Match", "\"nope\"", 412),
        ("HEAD", &deal.path(), "If-Match", STALE, 412),
        ("GET", &deal.path(), "If-Match", &deal.etag, 200),
        ("GET", &deal.path(), "If-Match", &weak, 200),
        ("GET", &deal.path(), "If-Match", "*", 200),
        ("GET", &deal.path(), "If-Match", &opaque, 412),
        ("GET", &deal.path(), "If-None-Match", &weak, 304),
        ("GET", &deal.path(), "If-None-Match", &opaque, 200),
        ("GET", &deal.path(), "If-None-Match", "*", 304),
        ("GET", &expanded, "If-None-Match", &deal.etag, 200), // what is expanded may have changed
        ("GET", &format!("{}/name", deal.path()), "If-Match", STALE, 412),
        ("GET", &format!("{}/team", deal.path()), "If-None-Match", "*", 304),
        ("GET", REFERRALS, "If-Match", STALE, 412),
        ("GET", "/v1.0/$metadata", "If-Match", STALE, 412),
        ("GET", &path("ffffffff-ffff-4fff-8fff-ffffffffffff"), "If-None-Match", "*", 404),
        ("GET", &path("ffffffff-ffff-4fff-8fff-ffffffffffff"), "If-Match", STALE, 404),
        ("PATCH", &deal.path(), "If-None-Match", "*", 412),
        ("PATCH", &deal.path(), "If-None-Match", &deal.etag, 412),
        ("PUT", &deal.path(), "If-None-Match", &weak, 412),
        ("POST", REFERRALS, "If-None-Match", "*", 412),
        ("POST", REFERRALS, "If-Match", STALE, 412),
        ("POST", REFERRALS, "If-Match", "*", 201),
        ("POST", REFERRALS, "If-None-Match", STALE, 201),
        ("PATCH", &deal.path(), "If-None-Match", STALE, 204),
    ] {
        let kept = world.stored_bytes(&deal.id).await;
        let count = world.count(CONTOSO).await;
        let call = world.call(method, path).as_user(CONTOSO_ADMIN).header(header, value);
        let call = match method {
            "POST" => call.json(support::deal()),
            "PUT" => call.header("If-Match", "*").json(json!({ "name": "Changed" })),
            "PATCH" => call.json(patch.clone()),
            _ => call,
        };
        let answer = call.await;
        assert_eq!(answer.status, status, "{method} {path} {header}: {value}");
        if status == 412 && method != "HEAD" {
            let answer = answer.refused(412, "preconditionFailed", "ETag", "99918");
            // It says what helps against this refusal.
            let helps = match (method, header) {
                ("GET", _) => "without If-Match",
                ("POST", _) => "create without If-Match and If-None-Match",
                _ => "send If-Match with its eTag",
            };
            assert!(answer.header("x-cosell-hint").unwrap().contains(helps), "{method} {path} {header}");
        } else if status == 304 && path == deal.path() {
            assert_eq!((answer.header("etag"), answer.header("vary")), (Some(&*deal.etag), Some("Accept")));
        }
        if status >= 300 {
            assert_eq!(world.stored_bytes(&deal.id).await, kept, "{method} {header}: {value}");
            assert_eq!(world.count(CONTOSO).await, count, "{method} {header}: {value}");
        }
    }
}

#[tokio::test]
async fn a_body_by_an_unknown_version_is_refused_in_both_modes_and_in_batches() {
    for world in [World::new().await, World::extended().await] {
        let deal = world.contoso().own_deal().await;
        for version in ["5.0", "3.0", "4.02", "4", "4.0,4.0", "x"] {
            let post = world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).header("OData-Version", version);
            let post = post.json(support::deal()).await;
            post.refused(400, "invalidRequest", "OData-Version", "unsupportedQuery");
            let patch =
                world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("OData-Version", version);
            let patch = patch.json(json!([])).await;
            patch.refused(400, "invalidRequest", "OData-Version", "unsupportedQuery");
        }
        assert_eq!(world.count(CONTOSO).await, 1);
    }
    let world = World::extended().await;
    let post = |version: &str| {
        json!({ "id": "1", "method": "post", "url": REFERRALS, "body": support::deal(),
                "headers": { "odata-version": version } })
    };
    let batch = |version: &str| {
        world.call("POST", "/v1.0/$batch").as_user(CONTOSO_ADMIN).header("OData-Version", version)
    };
    let answer = batch("4.0").json(json!({ "requests": [post("5.0")] })).await.expect(200);
    assert_eq!(answer.body["responses"][0]["status"], 400, "{}", answer.body);
    let answer = batch("5.0").json(json!({ "requests": [post("4.0")] })).await;
    answer.refused(400, "invalidRequest", "OData-Version", "unsupportedQuery");
    assert_eq!(world.count(CONTOSO).await, 0);
}

#[tokio::test]
async fn a_text_that_looks_like_a_reference_is_stored_as_it_is() {
    let world = World::extended().await;
    let post = |id: &str, notes: &str| {
        let mut body = support::deal();
        body["details"]["notes"] = notes.into();
        json!({ "id": id, "method": "post", "url": REFERRALS, "body": body })
    };
    let texts = ["$1/user per month", "$3", "$1/month", "$2/name", "say \"$1/name\"", "$1 off", "$"];
    for (notes, status) in texts.map(|text| (text, 201)).into_iter().chain([("$1/name", 501), ("$1", 501)]) {
        let requests = json!({ "requests": [post("1", "first"), post("2", notes)] });
        let answer =
            world.call("POST", "/v1.0/$batch").as_user(CONTOSO_ADMIN).json(requests).await.expect(200);
        let response = &answer.body["responses"][1];
        assert_eq!(response["status"], status, "{notes}: {response}");
        if status == 201 {
            assert_eq!(response["body"]["details"]["notes"], notes);
        }
    }
}

#[tokio::test]
async fn refusals_say_what_would_be_taken() {
    for (world, formats) in [
        (World::new().await, "application/json-patch+json, application/json"),
        (
            World::extended().await,
            "application/json-patch+json, application/json, application/merge-patch+json",
        ),
    ] {
        let deal = world.contoso().own_deal().await;
        let offered = world.call("OPTIONS", &deal.path()).await.expect(204);
        assert_eq!(offered.header("accept-patch"), Some(formats));
        let patch = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN);
        let answer = patch.header("Content-Type", "text/plain").body("x").await.expect(415);
        assert_eq!(answer.header("accept-patch"), Some(formats));
        let post = world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).header("Content-Encoding", "br");
        let answer = post.json(support::deal()).await.expect(415);
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
        let call = world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN).header("Expect", "miracles");
        call.await.refused(417, "invalidRequest", "Expect", "expectationFailed");
        let all = world.call("OPTIONS", "*").await.expect(204);
        assert_eq!(all.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, OPTIONS"));
    }
}

#[tokio::test]
async fn answers_that_never_have_a_body_have_no_length() {
    let world = World::extended().await;
    let mut body = support::deal();
    body["externalReferenceId"] = Value::Null;
    let deal = world.contoso().creates(body).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let token = world.token(CONTOSO_ADMIN).await;
    for (method, path, header, status) in [
        ("HEAD", deal.path(), format!("If-None-Match: {}\r\n", deal.etag), 304),
        ("GET", deal.path(), format!("If-None-Match: {}\r\n", deal.etag), 304),
        ("HEAD", format!("{}/externalReferenceId", deal.path()), String::new(), 204),
        ("HEAD", deal.path(), String::new(), 200),
    ] {
        let mut connection = server.connect().await;
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{header}\r\n");
        connection.send(head).await;
        let reply = connection.reply(method).await.unwrap();
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(
            reply.header("content-length").is_some(),
            status == 200,
            "{method} {path}: {}",
            reply.head
        );
    }
    server.stop().await;
}

//! Request and response headers. Source: spec 4.1 and 4.2. What every answer carries is checked by the harness.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::*;

const ID: &str = "9f8bed52-e4df-4d0c-9ca6-929a187b0731";
const OTHER: &str = "1c5a1b0e-7f3c-4b52-9d3d-6f2f9f8b1a55";

/// One call of each outcome that the API's paths have.
async fn of_every_kind(world: &World) -> Vec<Answer> {
    let deal = world.contoso().own_deal().await;
    let patch = json!([{ "op": "replace", "path": "/name", "value": "Other" }]);
    let get = |path: &str| world.call("GET", path).as_user(CONTOSO_ADMIN);
    vec![
        get(REFERRALS).await.expect(200),
        get(&deal.path()).await.expect(200),
        world.contoso().posts(support::deal()).await.expect(201),
        world.contoso().patches(&deal.id, patch).await.expect(204),
        get(&format!("{REFERRALS}?$top=x")).await.expect(400),
        world.call("GET", REFERRALS).await.expect(401),
        world.person(CONTOSO_NOBODY).lists("").await.expect(403),
        get("/v1.0/nowhere").await.expect(404),
        world.call("DELETE", REFERRALS).await.expect(405),
        get(REFERRALS).header("Accept", "text/html").await.expect(406),
        world
            .call("POST", REFERRALS)
            .as_user(CONTOSO_ADMIN)
            .header("Content-Type", "application/json")
            .await
            .expect(411),
        world.contoso().puts(&deal.id, &deal.etag, json!({})).await.expect(412),
        world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).body("x").await.expect(415),
        world.call("GET", REFERRALS).without("host").await,
    ]
}

#[tokio::test]
async fn every_answer_carries_the_services_headers() {
    // REF-031 REF-037 REF-038 REF-042 REF-049: the harness holds each of these answers to them; here, the values.
    let world = World::new().await;
    let mut ids = Vec::new();
    for answer in of_every_kind(&world).await {
        assert_eq!(answer.header("timestamp"), Some("2026-03-02T09:30:00.1234567Z"));
        assert!(answer.header("x-ms-ags-diagnostic").unwrap().starts_with(r#"{"ServerInfo":{"#));
        ids.push(answer.header("request-id").unwrap().to_owned());
        ids.push(answer.header("client-request-id").unwrap().to_owned());
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "generated ids repeat");
}

#[tokio::test]
async fn the_timestamp_is_when_the_request_arrived() {
    // REF-037
    let world = World::new().await;
    world.clock.set("2027-01-01T00:00:00Z");
    assert_eq!(world.contoso().lists("").await.header("timestamp"), Some("2027-01-01T00:00:00Z"));
}

#[tokio::test]
async fn given_ids_come_back() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    for (sent, value, name, returned) in [
        ("request-id", ID, "request-id", Some(ID)), // REF-032
        ("Request-ID", "9F8BED52-E4DF-4D0C-9CA6-929A187B0731", "request-id", Some(ID)),
        ("MS-RequestId", ID, "request-id", Some(ID)),
        ("client-request-id", ID, "client-request-id", Some(ID)), // REF-033
        ("MS-CorrelationId", ID, "client-request-id", Some(ID)),  // REF-036
        ("client-request-id", "no guid", "client-request-id", None), // REF-035
        ("client-request-id", "", "client-request-id", None),
        ("request-id", "42", "request-id", None),
        ("x-anything", ID, "client-request-id", None), // REF-034: generated
    ] {
        let calls = [
            (world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN), 200),
            (world.call("GET", &deal.path()), 401),
            (world.call("GET", "/v1.0/nowhere"), 404),
            (world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).json(json!([])), 204),
        ];
        for (call, status) in calls {
            let answer = call.header(sent, value).await.expect(status);
            match returned {
                Some(id) => assert_eq!(answer.header(name), Some(id), "{sent}"),
                None => assert_ne!(answer.header(name), Some(value), "{sent}"),
            }
        }
    }
}

#[tokio::test]
async fn the_newer_names_win_over_their_old_aliases() {
    let world = World::new().await;
    let call = world.call("GET", REFERRALS).as_user(CONTOSO_ADMIN);
    let answer = call
        .header("MS-RequestId", OTHER)
        .header("request-id", ID)
        .header("MS-CorrelationId", OTHER)
        .header("client-request-id", ID)
        .await;
    assert_eq!((answer.header("request-id"), answer.header("client-request-id")), (Some(ID), Some(ID)));
    // An alias speaks where the newer name says nothing.
    let call = world.call("GET", REFERRALS).as_user(CONTOSO_ADMIN);
    let answer = call.header("request-id", "none").header("MS-RequestId", OTHER).await;
    assert_eq!(answer.header("request-id"), Some(OTHER));
}

#[tokio::test]
async fn the_etag_header_is_the_bodys_tag() {
    let world = World::new().await;
    let created = world.contoso().posts(deal()).await.expect(201);
    let deal = Deal::of(&created);
    assert_eq!(created.header("etag"), Some(&*deal.etag));
    assert_eq!(world.contoso().gets(&deal.id).await.header("etag"), Some(&*deal.etag)); // REF-039
    let patched = world.contoso().replaces(&deal.id, "/name", json!("New name")).await.expect(204);
    let after = world.contoso().sees(&deal.id).await;
    assert_ne!(after.etag, deal.etag);
    assert_eq!(patched.header("etag"), Some(&*after.etag)); // REF-040
    let put = world.contoso().puts(&deal.id, &after.etag, json!({ "name": "Newer" })).await.expect(200);
    assert_eq!(put.header("etag"), put.body["eTag"].as_str());
}

#[tokio::test]
async fn created_says_where() {
    // REF-041
    let mut world = World::new().await;
    let created = world.contoso().posts(deal()).await.expect(201);
    assert_eq!(created.header("location"), Some(&*format!("{BASE}{REFERRALS}/{}", created.text("id"))));
    assert_eq!(created.header("location"), created.body["links"]["self"]["uri"].as_str());
    // The public base counts, whatever Host says.
    world.restart_with(|options, _| options.public_url = "https://referrals.example/base".to_owned()).await;
    let call =
        world.call("POST", REFERRALS).without("host").header("Host", "evil.example").as_user(CONTOSO_ADMIN);
    let created = call.json(deal()).await.expect(201);
    let place = format!("https://referrals.example/base{REFERRALS}/{}", created.text("id"));
    assert_eq!(created.header("location"), Some(&*place));
    assert!(!String::from_utf8_lossy(&created.bytes).contains("evil"));
}

#[tokio::test]
async fn accept_that_excludes_json_is_406() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let kept = world.stored_bytes(&deal.id).await;
    let get = |accept: &str| world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN).header("Accept", accept);
    let answer = get("application/xml").await.refused(406, "invalidRequest", "Accept", "notAcceptable"); // REF-043
    assert_eq!(answer.body, example("error.406.not-acceptable.json"));
    get("application/json;q=0").await.expect(406);
    let patch = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN).header("Accept", "text/plain");
    let patch = patch.json(json!([{ "op": "replace", "path": "/name", "value": "x" }]));
    patch.await.refused(406, "invalidRequest", "Accept", "notAcceptable");
    assert_eq!(world.stored_bytes(&deal.id).await, kept);
    for accept in [
        "*/*",
        "application/json",
        "application/*",
        "text/html, */*;q=0.1",
        "application/json;odata.metadata=full",
    ] {
        get(accept).await.expect(200); // REF-044
    }
    world.contoso().gets(&deal.id).await.expect(200);
}

#[tokio::test]
async fn only_json_bodies_are_taken() {
    let world = World::new().await;
    let post = |content_type: &str| {
        world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).header("Content-Type", content_type).json(deal())
    };
    let answer =
        post("text/plain").await.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType"); // REF-045
    assert_eq!(answer.body, example("error.415.unsupported-media-type.json"));
    for content_type in
        ["application/xml", "application/json-patch+json", "application/merge-patch+json", "x", ""]
    {
        post(content_type).await.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType");
    }
    let bare = world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).body(deal().to_string());
    bare.await.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType");
    let packed = post("application/json").header("Content-Encoding", "gzip");
    packed.await.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType");
    assert_eq!(world.count(CONTOSO).await, 0);
    for content_type in
        ["application/json; charset=utf-8", "application/json;odata.metadata=minimal", "APPLICATION/JSON"]
    {
        post(content_type).await.expect(201); // REF-046
    }
    post("application/json").header("Content-Encoding", "identity").await.expect(201);
}

#[tokio::test]
async fn patch_takes_its_two_types_and_in_extended_a_third() {
    let strict = World::new().await;
    let extended = World::extended().await;
    let patch = json!([{ "op": "replace", "path": "/name", "value": "Patched" }]);
    for (world, content_type, body, status) in [
        (&strict, "application/json", &patch, 204),
        (&strict, "application/json-patch+json", &patch, 204),
        (&strict, "application/merge-patch+json", &json!({ "name": "Patched" }), 415),
        (&extended, "application/merge-patch+json", &json!({ "name": "Patched" }), 204),
        (&extended, "application/json", &json!({ "name": "Patched" }), 400),
    ] {
        let deal = world.contoso().own_deal().await;
        let call = world.call("PATCH", &deal.path()).as_user(CONTOSO_ADMIN);
        let answer = call.header("Content-Type", content_type).json(body.clone()).await;
        assert_eq!(answer.status, status, "{content_type} {body}");
        let name = world.contoso().sees(&deal.id).await.body["name"].clone();
        assert_eq!(name == "Patched", status == 204, "{content_type} {body}");
    }
}

#[tokio::test]
async fn a_body_needs_a_length_and_has_a_limit() {
    let world = World::with(|options, _| options.body_limit = 4096).await;
    let post =
        || world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).header("Content-Type", "application/json");
    post().await.refused(411, "invalidRequest", "Content-Length", "lengthRequired");
    let answer = post().header("Content-Length", "4097").await;
    let answer = answer.refused(413, "invalidRequest", "body", "requestTooLarge");
    assert_eq!(answer.header("connection"), Some("close"), "the body was not read");
    // What was promised may be right and the body too long all the same: chunked.
    let mut long = small_deal();
    long["name"] = "n".repeat(5000).into();
    let chunked = post().json(long).without("content-length").header("Transfer-Encoding", "chunked");
    chunked.await.refused(413, "invalidRequest", "body", "requestTooLarge");
    let fits = post().json(small_deal()).without("content-length").header("Transfer-Encoding", "chunked");
    fits.await.expect(201);
    post().header("Content-Length", "0").await.refused(400, "invalidRequest", "body", "malformedJson");
    assert_eq!(world.count(CONTOSO).await, 1);
}

#[tokio::test]
async fn header_names_match_in_any_case_and_old_headers_change_nothing() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    // REF-047: the PUT page prints IF-Match.
    let put = world.call("PUT", &deal.path()).as_user(CONTOSO_ADMIN).header("IF-Match", &deal.etag);
    put.json(json!({ "name": "Put" })).await.expect(200);
    // REF-048
    let plain = world.contoso().gets(&deal.id).await;
    let call = world
        .call("GET", &deal.path())
        .as_user(CONTOSO_ADMIN)
        .header("MS-Contract-Version", "v1")
        .header("X-Locale", "pl-PL")
        .header("X-Caller-Id", ID)
        .header("MS-PartnerCenter-Application", "x")
        .header("MS-ContinuationToken", "x");
    assert_eq!(call.await.expect(200).bytes, plain.bytes);
}

#[tokio::test]
async fn if_match_means_nothing_to_get_and_post() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    for tag in ["\"old\"", "*", ""] {
        let get = world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN).header("If-Match", tag);
        assert_eq!(get.await.expect(200).header("etag"), Some(&*deal.etag));
        let post = world.call("POST", REFERRALS).as_user(CONTOSO_ADMIN).header("If-Match", tag);
        post.json(support::deal()).await.expect(201);
    }
}

#[tokio::test]
async fn if_none_match_answers_304_in_extended_and_is_passed_over_in_strict() {
    let strict = World::new().await;
    let extended = World::extended().await;
    for (world, unchanged) in [(&strict, 200), (&extended, 304)] {
        let deal = world.contoso().own_deal().await;
        let get =
            |tag: &str| world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN).header("If-None-Match", tag);
        for tag in
            [deal.etag.clone(), "*".to_owned(), format!("W/{}", deal.etag), format!("\"x\", {}", deal.etag)]
        {
            let answer = get(&tag).await.expect(unchanged);
            assert_eq!(answer.header("etag"), Some(&*deal.etag), "{tag}");
            assert_eq!(answer.bytes.is_empty(), unchanged == 304);
        }
        get("\"00000000-0000-0000-0000-000000000000\"").await.expect(200);
        world.contoso().replaces(&deal.id, "/name", json!("Changed")).await.expect(204);
        assert_eq!(get(&deal.etag).await.expect(200).body["name"], "Changed");
        // 404 and 403 are not hidden behind a 304.
        let unknown = world.call("GET", &path(ID)).as_user(CONTOSO_ADMIN).header("If-None-Match", "*");
        unknown.await.expect(404);
    }
}

#[tokio::test]
async fn answers_to_put_call_it_obsolete_and_name_the_page_on_patch() {
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let put = |etag: &str, body: Value| {
        world.call("PUT", &deal.path()).as_user(CONTOSO_ADMIN).header("If-Match", etag).json(body)
    };
    let expected = format!("<{BASE}/docs/patch>; rel=\"successor-version\"; type=\"text/markdown\"");
    for answer in [
        put(&deal.etag, json!({ "name": "Put" })).await.expect(200),
        put(&deal.etag, json!({ "name": "Stale" })).await.expect(412),
        put("*", json!({ "links": {} })).header("request-id", ID).await.expect(400),
        world.call("PUT", &deal.path()).await.expect(401),
    ] {
        assert_eq!(answer.header("deprecation"), Some("@1601424000"), "{}", answer.status);
        assert_eq!(answer.header("link"), Some(&*expected));
    }
    let patch = world.contoso().replaces(&deal.id, "/name", json!("Patched")).await;
    assert!(!patch.headers.contains_key("deprecation") && !patch.headers.contains_key("link"));

    let page = world.call("GET", "/docs/patch").await.expect(200);
    assert_eq!(page.header("content-type"), Some("text/markdown; charset=utf-8"));
    let text = String::from_utf8(page.bytes.to_vec()).unwrap();
    assert!(text.starts_with("# ") && text.contains("PATCH"), "{text}");
}

#[tokio::test]
async fn the_version_is_the_clients_newest_or_a_refusal() {
    let world = World::new().await;
    let at = async |version: Option<&str>| {
        let call = world.call("GET", REFERRALS).as_user(CONTOSO_ADMIN);
        match version {
            Some(version) => call.header("OData-MaxVersion", version).await,
            None => call.await,
        }
    };
    for (asked, told) in [(None, "4.0"), (Some("4.0"), "4.0"), (Some("4.01"), "4.01"), (Some("x"), "4.0")] {
        let answer = at(asked).await.expect(200);
        assert_eq!(answer.header("odata-version"), Some(told), "{asked:?}");
    }
    at(Some("3.0")).await.refused(400, "invalidRequest", "OData-MaxVersion", "unsupportedQuery");
}

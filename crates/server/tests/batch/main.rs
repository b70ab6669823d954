//! `$batch`: many requests in one. Source: OData Protocol 4.01, 11.7; OData JSON Format 4.01, 19.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod groups;
mod parts;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use server::RateLimit;
use store::StoreError;
use support::*;

const BATCH: &str = "/v1.0/$batch";
const NOWHERE: &str = "/v1.0/engagements/referrals/ffffffff-ffff-4fff-8fff-ffffffffffff";

/// A JSON batch of Contoso's administrator.
async fn batch(world: &World, requests: Value) -> Answer {
    world.call("POST", BATCH).as_user(CONTOSO_ADMIN).json(json!({ "requests": requests })).await
}

/// The same in parts.
async fn multipart(world: &World, boundary: &str, body: &str) -> Answer {
    let content_type = format!("multipart/mixed; boundary={boundary}");
    let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).body(body.to_owned());
    call.header("Content-Type", &content_type).await
}

/// The response of an id.
#[track_caller]
fn of<'a>(answer: &'a Answer, id: &str) -> &'a Value {
    let responses = answer.body["responses"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    let mut found = responses.iter().filter(|response| response["id"] == id);
    let response = found.next().unwrap_or_else(|| panic!("no {id} in {}", answer.body));
    assert!(found.next().is_none(), "{id} twice in {}", answer.body);
    response
}

fn statuses(answer: &Answer) -> Vec<u64> {
    let responses = answer.body["responses"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    responses.iter().map(|response| response["status"].as_u64().unwrap()).collect()
}

#[track_caller]
fn refused(response: &Value, status: u16, target: &str, inner: &str) {
    let error = &response["body"]["error"];
    assert_eq!(
        (&response["status"], &error["target"], &error["innerError"]["code"]),
        (&json!(status), &json!(target), &json!(inner)),
        "{response}"
    );
}

fn get(id: &str, url: &str) -> Value {
    json!({ "id": id, "method": "get", "url": url })
}

fn post(id: &str, body: Value) -> Value {
    json!({ "id": id, "method": "POST", "url": "engagements/referrals", "body": body })
}

fn rename(id: &str, url: &str, name: &str) -> Value {
    let body = json!([{ "op": "replace", "path": "/name", "value": name }]);
    json!({ "id": id, "method": "patch", "url": url, "body": body })
}

fn with(mut request: Value, member: &str, value: Value) -> Value {
    request[member] = value;
    request
}

fn in_group(request: Value, group: &str) -> Value {
    with(request, "atomicityGroup", json!(group))
}

// ---- what a batch is ----

#[tokio::test]
async fn a_json_batch_is_answered_request_by_request_as_outside_of_it() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let seen = world.contoso().gets(&deal.id).await;
    let requests = json!([
        get("1", &deal.path()),
        post("2", small_deal()),
        get("3", "engagements/referrals"),
        get("4", NOWHERE),
        rename("5", &deal.path(), "Renamed"),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("odata-version"), Some("4.0"));
    assert_eq!(statuses(&answer), [200, 201, 200, 404, 204]);
    let first = of(&answer, "1");
    assert_eq!((&first["body"], &first["headers"]["etag"]), (&seen.body, &json!(seen.header("etag"))));
    let made = of(&answer, "2");
    let location = made["headers"]["location"].as_str().unwrap();
    assert!(location.ends_with(made["body"]["id"].as_str().unwrap()), "{location}");
    assert_eq!(of(&answer, "3")["body"]["@odata.count"], 2);
    assert_eq!(of(&answer, "4")["body"]["error"]["code"], "itemNotFound");
    assert!(of(&answer, "5").get("body").is_none());
    assert_eq!(world.contoso().sees(&deal.id).await.body["name"], "Renamed");
    // The own headers of every answer (spec 4.2), an id for each.
    let ids: Vec<&Value> =
        ["1", "2", "3", "4", "5"].iter().map(|id| &of(&answer, id)["headers"]["request-id"]).collect();
    assert!(ids.iter().enumerate().all(|(at, id)| id.is_string() && !ids[..at].contains(id)), "{ids:?}");
}

#[tokio::test]
async fn strict_has_no_batch() {
    let world = World::new().await;
    for method in ["POST", "GET", "OPTIONS"] {
        for path in [BATCH, "/v1.0/engagements/referrals/$batch"] {
            let status = world.call(method, path).as_user(CONTOSO_ADMIN).json(json!({})).await.status;
            let is_referral = path.contains("referrals");
            assert!(
                status == 404
                    || (is_referral && matches!((method, status), ("POST", 405) | ("OPTIONS", 204))),
                "{method} {path} {status}"
            );
        }
    }
}

#[tokio::test]
async fn both_context_roots_have_a_batch_with_addresses_of_their_own() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    for (path, url) in [
        ("/v1.0/$batch", format!("engagements/referrals/{}", deal.id)),
        ("/v1.0/engagements/referrals/$batch", deal.id.clone()),
        ("/v1.0/%24batch", deal.path()),
        ("/v1.0/$batch", format!("{BASE}{}", deal.path())),
    ] {
        let requests = json!({ "requests": [get("1", &url)] });
        let answer = world.call("POST", path).as_user(CONTOSO_ADMIN).json(requests).await.expect(200);
        assert_eq!(of(&answer, "1")["body"]["id"], deal.id, "{path} {url}");
    }
    world.call("GET", BATCH).await.refused(405, "invalidRequest", "method", "methodNotAllowed");
    assert_eq!(world.call("OPTIONS", BATCH).await.header("allow"), Some("POST, OPTIONS"));
}

#[tokio::test]
async fn an_empty_batch_has_an_empty_answer() {
    let world = World::extended().await;
    assert_eq!(batch(&world, json!([])).await.expect(200).body, json!({ "responses": [] }));
}

// ---- who, and how many ----

#[tokio::test]
async fn the_caller_of_a_batch_is_the_caller_of_its_requests() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    world.call("POST", BATCH).json(json!({ "requests": [] })).await.expect(401);
    world.call("POST", BATCH).as_user(CONTOSO_NOBODY).json(json!({ "requests": [] })).await.expect(403);
    let requests = json!({ "requests": [get("1", &deal.path())] });
    let answer = world.call("POST", BATCH).as_user(FABRIKAM_ADMIN).json(requests).await.expect(200);
    assert_eq!(statuses(&answer), [404], "another organization's");
    let token = format!("Bearer {}", world.token(CONTOSO_ADMIN).await);
    let smuggled = with(get("1", &deal.path()), "headers", json!({ "Authorization": token }));
    let requests = json!({ "requests": [smuggled] });
    let answer = world.call("POST", BATCH).as_user(FABRIKAM_ADMIN).json(requests).await.expect(200);
    refused(of(&answer, "1"), 400, "authorization", "malformedBatch");
}

#[tokio::test]
async fn every_request_of_a_batch_takes_its_token_from_the_bucket() {
    let world = World::with(|options, _| {
        options.mode = referral::ApiMode::Extended;
        options.rate = Some(RateLimit { per_second: 0.01, burst: 3.0 });
    })
    .await;
    let requests: Vec<Value> = (1..=4).map(|id| get(&id.to_string(), NOWHERE)).collect();
    let answer = batch(&world, requests.into()).await.expect(200);
    assert_eq!(statuses(&answer), [404, 404, 429, 429], "the batch itself took the first");
    assert!(of(&answer, "3")["headers"]["retry-after"].is_string());
    batch(&world, json!([])).await.expect(429);
}

#[tokio::test]
async fn a_batch_needs_no_place_among_the_requests_in_work_for_itself() {
    let world = World::with(|options, _| {
        options.mode = referral::ApiMode::Extended;
        options.concurrency = 1;
    })
    .await;
    let answer = batch(&world, json!([post("1", small_deal()), get("2", "$1")])).await.expect(200);
    assert_eq!(statuses(&answer), [201, 200]);
}

#[tokio::test]
async fn a_batch_within_a_batch_and_pages_of_operators_are_refused() {
    let world = World::extended().await;
    let nested = json!({ "id": "1", "method": "post", "url": "$batch", "body": { "requests": [] } });
    let mut requests = vec![nested];
    for (at, url) in ["/metrics", "/livez", "/docs/patch", "/common/discovery/instance"].iter().enumerate() {
        requests.push(get(&format!("p{at}"), url));
    }
    let answer = batch(&world, requests.into()).await.expect(200);
    assert_eq!(statuses(&answer), [400, 404, 404, 404, 404]);
    refused(of(&answer, "1"), 400, "url", "malformedBatch");
}

#[tokio::test]
async fn the_number_of_requests_is_limited_by_name() {
    let world = World::extended().await;
    let many = |count: usize| -> Value { (0..count).map(|id| get(&id.to_string(), "/nowhere")).collect() };
    assert_eq!(statuses(&batch(&world, many(1000)).await.expect(200)).len(), 1000);
    let answer = batch(&world, many(1001)).await;
    answer.refused(400, "invalidRequest", "requests", "malformedBatch");
    let part = "--b\r\nContent-Type: application/http\r\n\r\nGET /nowhere HTTP/1.1\r\n\r\n";
    let body = format!("{}--b--", part.repeat(1001));
    multipart(&world, "b", &body).await.refused(400, "invalidRequest", "requests", "malformedBatch");
}

#[tokio::test]
async fn a_batch_is_no_longer_than_other_bodies() {
    let world = World::with(|options, _| {
        options.mode = referral::ApiMode::Extended;
        options.body_limit = 2000;
    })
    .await;
    let call = |body: String| world.call("POST", BATCH).as_user(CONTOSO_ADMIN).body(body);
    let json = call(" ".repeat(2001)).header("Content-Type", "application/json");
    json.await.refused(413, "invalidRequest", "body", "requestTooLarge");
    let parts = call("x".repeat(2001)).header("Content-Type", "multipart/mixed; boundary=b");
    parts.await.refused(413, "invalidRequest", "body", "requestTooLarge");
}

#[tokio::test]
async fn requests_after_the_longest_answer_are_refused() {
    let world = World::extended().await;
    let mut body = deal();
    body["team"] = (0..4000).map(|count| member(&format!("person{count}@contoso.example"))).collect();
    let deal = world.contoso().creates(body).await;
    let requests: Value = (0..25).map(|id| get(&id.to_string(), &deal.path())).collect();
    let answer = batch(&world, requests).await.expect(200);
    let statuses = statuses(&answer);
    assert_eq!((statuses[0], statuses[24]), (200, 413), "{statuses:?}");
    assert!(answer.bytes.len() < 18 * 1024 * 1024);
    refused(of(&answer, "24"), 413, "batch", "answerTooLarge");
}

#[tokio::test]
async fn what_is_done_before_the_deadline_is_told() {
    let world = World::with(|options, _| {
        options.mode = referral::ApiMode::Extended;
        options.deadline = std::time::Duration::from_secs(1);
    })
    .await;
    let deal = world.contoso().own_deal().await;
    world.store.hold_commits();
    let answer =
        batch(&world, json!([get("1", &deal.path()), post("2", small_deal()), get("3", &deal.path())])).await;
    world.store.release_commits();
    assert_eq!(statuses(&answer.expect(200)), [200, 503, 503]);
}

// ---- what is wrong with the batch ----

#[tokio::test]
async fn a_json_batch_of_another_form_is_refused_whole() {
    let world = World::extended().await;
    let good = || get("1", NOWHERE);
    for (body, target) in [
        (json!([]), "requests"),
        (json!({}), "requests"),
        (json!({ "requests": {} }), "requests"),
        (json!({ "requests": [1] }), "requests/0"),
        (json!({ "requests": [good(), good()] }), "requests/1/id"),
        (json!({ "requests": [{ "method": "get", "url": "x" }] }), "requests/0/id"),
        (json!({ "requests": [with(good(), "id", json!(1))] }), "requests/0/id"),
        (json!({ "requests": [with(good(), "id", json!(""))] }), "requests/0/id"),
        (json!({ "requests": [with(good(), "id", json!("a/b"))] }), "requests/0/id"),
        (json!({ "requests": [{ "id": "1", "url": "x" }] }), "requests/0/method"),
        (json!({ "requests": [{ "id": "1", "method": "get" }] }), "requests/0/url"),
        (json!({ "requests": [with(good(), "dependsOn", json!("0"))] }), "requests/0/dependsOn"),
        (json!({ "requests": [with(good(), "dependsOn", json!([1]))] }), "requests/0/dependsOn"),
        (json!({ "requests": [with(good(), "dependsOn", json!(["none"]))] }), "requests/0/dependsOn"),
        (json!({ "requests": [with(good(), "dependsOn", json!(["1"]))] }), "requests/0/dependsOn"),
        // A circle: the first names one that comes later.
        (
            json!({ "requests": [
                with(good(), "dependsOn", json!(["2"])),
                with(get("2", NOWHERE), "dependsOn", json!(["1"])),
            ] }),
            "requests/0/dependsOn",
        ),
        (
            json!({ "requests": [with(in_group(good(), "g"), "dependsOn", json!(["g"]))] }),
            "requests/0/dependsOn",
        ),
        (json!({ "requests": [in_group(good(), "1")] }), "requests/0/id"),
        (json!({ "requests": [good(), in_group(get("2", NOWHERE), "1")] }), "requests/1/atomicityGroup"),
        (json!({ "requests": [in_group(good(), "a b")] }), "requests/0/atomicityGroup"),
        (
            json!({ "requests": [
                in_group(post("1", deal()), "g"),
                get("2", NOWHERE),
                in_group(post("3", deal()), "g"),
            ] }),
            "requests/2/atomicityGroup",
        ),
    ] {
        let text = body.to_string();
        let answer = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).json(body).await;
        assert_eq!(answer.body["error"]["target"], target, "{text}");
        answer.refused(400, "invalidRequest", target, "malformedBatch");
    }
    assert_eq!(world.count(CONTOSO).await, 0, "nothing was done");
    for body in [&b"{"[..], b"\xff\xfe", b"", b"{\"requests\":[\"\xff\"]}"] {
        let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).body(body.to_vec());
        let answer = call.header("Content-Type", "application/json").await;
        answer.refused(400, "invalidRequest", "body", "malformedJson");
    }
}

#[tokio::test]
async fn the_headers_of_a_batch_are_checked_in_the_order_of_every_call() {
    let world = World::extended().await;
    let call = || world.call("POST", BATCH).as_user(CONTOSO_ADMIN).body("{\"requests\":[]}");
    call().await.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType");
    for content_type in ["text/plain", "multipart/form-data; boundary=b", "application/json-patch+json", ""] {
        let answer = call().header("Content-Type", content_type).await;
        answer.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType");
    }
    let encoded = call().header("Content-Type", "application/json").header("Content-Encoding", "gzip");
    encoded.await.refused(415, "invalidRequest", "Content-Type", "unsupportedMediaType");
    let unmeasured = call().header("Content-Type", "application/json").without("Content-Length");
    unmeasured.await.refused(411, "invalidRequest", "Content-Length", "lengthRequired");
    let unacceptable = call().header("Content-Type", "text/plain").header("Accept", "text/html");
    unacceptable.await.refused(406, "invalidRequest", "Accept", "notAcceptable");
    for content_type in [
        "multipart/mixed",
        "multipart/mixed; boundary=",
        "multipart/mixed; boundary=\"\"",
        "multipart/mixed; boundary=\"open",
        "multipart/mixed; boundary=a*b",
        "multipart/mixed; boundary=\"ends with a blank \"",
        &format!("multipart/mixed; boundary={}", "b".repeat(71)),
        "multipart/mixed; charset=utf-8",
    ] {
        let answer = call().header("Content-Type", content_type).await;
        answer.refused(400, "invalidRequest", "Content-Type", "malformedBatch");
    }
    let asking = world.call("POST", "/v1.0/$batch?$top=1").as_user(CONTOSO_ADMIN);
    let answer = asking.json(json!({ "requests": [] })).await;
    answer.refused(400, "invalidRequest", "$top", "unsupportedQuery");
}

#[tokio::test]
async fn what_is_wrong_with_one_request_is_refused_to_that_one() {
    let world = World::extended().await;
    let good = || get("1", NOWHERE);
    let text = json!({ "content-type": "text/plain" });
    let form = json!({ "content-type": "application/x-www-form-urlencoded" });
    for (request, status, target, inner) in [
        (with(good(), "method", json!("trace")), 400, "method", "malformedBatch"),
        (with(good(), "url", json!("https://fabrikam.example/v1.0/x")), 400, "url", "malformedBatch"),
        (with(good(), "url", json!("//fabrikam.example/v1.0/x")), 400, "url", "malformedBatch"),
        (with(good(), "headers", json!([])), 400, "headers", "malformedBatch"),
        (with(good(), "headers", json!({ "x": 1 })), 400, "headers", "malformedBatch"),
        (with(good(), "headers", json!({ "a b": "1" })), 400, "headers", "malformedBatch"),
        (with(good(), "headers", json!({ "x": "a\nb" })), 400, "headers", "malformedBatch"),
        (with(good(), "headers", json!({ "x": "1", "X": "2" })), 400, "headers", "malformedBatch"),
        (with(good(), "headers", json!({ "Range": "bytes=0-1" })), 400, "range", "malformedBatch"),
        (with(good(), "headers", json!({ "Host": "fabrikam.example" })), 400, "Host", "malformedBatch"),
        (with(good(), "headers", json!({ "Accept": "text/html" })), 406, "Accept", "notAcceptable"),
        (with(good(), "body", json!({})), 400, "body", "malformedBatch"),
        (with(post("1", json!({})), "headers", text), 400, "body", "malformedBatch"),
        (with(post("1", json!("%%")), "headers", form.clone()), 400, "body", "malformedBatch"),
        (with(post("1", json!("YQ")), "headers", form), 415, "Content-Type", "unsupportedMediaType"),
        (with(good(), "method", json!("delete")), 405, "method", "methodNotAllowed"),
        (with(good(), "if", json!("true")), 424, "if", "failedDependency"),
        (with(good(), "url", json!("$2")), 400, "url", "malformedBatch"),
        (in_group(good(), "g"), 501, "atomicityGroup", "notImplemented"),
    ] {
        let shown = request.to_string();
        let answer =
            batch(&world, json!([request, get("2", "/v1.0/engagements/referrals?$top=1")])).await.expect(200);
        let first = of(&answer, "1");
        assert_eq!(first["status"], status, "{shown} {first}");
        refused(first, status, target, inner);
        assert_eq!(of(&answer, "2")["status"], 200, "{shown}");
    }
}

// ---- dependencies and references ----

#[tokio::test]
async fn a_request_waits_for_those_it_depends_on_and_fails_with_them() {
    let world = World::extended().await;
    let requests = json!([
        get("bad", NOWHERE),
        with(post("1", small_deal()), "dependsOn", json!(["bad"])),
        with(post("2", small_deal()), "dependsOn", json!(["1"])),
        post("good", small_deal()),
        with(get("3", "engagements/referrals"), "dependsOn", json!(["good"])),
        with(get("4", "engagements/referrals"), "dependsOn", json!(["good", "bad"])),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [404, 424, 424, 201, 200, 424]);
    refused(of(&answer, "1"), 424, "dependsOn", "failedDependency");
    assert_eq!(world.count(CONTOSO).await, 1);
    assert_eq!(answer.header("preference-applied"), Some("continue-on-error=true"));
}

#[tokio::test]
async fn a_reference_leads_to_what_an_earlier_request_made_or_was_about() {
    let world = World::extended().await;
    let old = world.contoso().own_deal().await;
    let requests = json!([
        post("new", small_deal()),
        get("1", "$new"),
        rename("2", "$new", "By reference"),
        get("old", &format!("{}?x=1", old.path())),
        with(rename("3", "$old", "With its tag"), "headers", json!({ "If-Match": "$old" })),
        with(rename("4", "$old", "With a stale tag"), "headers", json!({ "if-match": "$old" })),
        get("bad", NOWHERE),
        get("5", "$bad"),
        get("6", "$7"),
        get("7", "$7"),
        get("8", "$metadata-of-nobody"),
        with(rename("9", "$old", "x"), "headers", json!({ "if-match": "$nobody" })),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [201, 200, 204, 200, 204, 412, 404, 424, 400, 400, 400, 400]);
    let id = of(&answer, "new")["body"]["id"].as_str().unwrap();
    assert_eq!(of(&answer, "1")["body"]["id"], id);
    assert_eq!(world.contoso().sees(id).await.body["name"], "By reference");
    assert_eq!(world.contoso().sees(&old.id).await.body["name"], "With its tag");
    assert!(!String::from_utf8_lossy(&answer.bytes).contains("/$new"), "no reference is in an answer");
}

#[tokio::test]
async fn a_value_of_another_answer_in_a_body_is_refused_and_a_price_is_not() {
    let world = World::extended().await;
    let named = |name: &str| with(small_deal(), "name", json!(name));
    let requests = json!([
        post("1", named("$1")),
        post("2", named("$1")),
        post("3", named("$1/name")),
        post("4", named("$100")),
        post("5", named("for $1")),
        post("6", named("$7")),
        post("7", named("$5 each")),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [201, 501, 501, 201, 201, 201, 201]);
    refused(of(&answer, "2"), 501, "body", "notImplemented");
}

#[tokio::test]
async fn an_error_stops_the_rest_only_where_that_is_asked_for() {
    let world = World::extended().await;
    let requests = || json!({ "requests": [get("1", NOWHERE), get("2", "engagements/referrals")] });
    for (prefer, answered) in [
        (None, 2),
        (Some("continue-on-error"), 2),
        (Some("odata.continue-on-error=true"), 2),
        (Some("continue-on-error=false"), 1),
        (Some("respond-async, odata.continue-on-error=false"), 1),
    ] {
        let mut call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).json(requests());
        if let Some(prefer) = prefer {
            call = call.header("Prefer", prefer);
        }
        let answer = call.await.expect(200);
        assert_eq!(statuses(&answer).len(), answered, "{prefer:?}");
        let applied = format!("continue-on-error={}", answered == 2);
        assert_eq!(answer.header("preference-applied"), Some(applied.as_str()), "{prefer:?}");
    }
}

#[tokio::test]
async fn a_repeated_batch_repeats_no_write_that_has_an_id_of_its_own() {
    let world = World::extended().await;
    let keyed = |id: &str, key: &str| with(post(id, small_deal()), "headers", json!({ "Request-ID": key }));
    let requests = json!([
        keyed("1", "00000000-0000-4000-8000-00000000a001"),
        in_group(keyed("2", "00000000-0000-4000-8000-00000000a002"), "g"),
        in_group(keyed("3", "00000000-0000-4000-8000-00000000a003"), "g"),
    ]);
    let first = batch(&world, requests.clone()).await.expect(200);
    assert_eq!(statuses(&first), [201, 201, 201]);
    let second = batch(&world, requests).await.expect(200);
    for id in ["1", "2", "3"] {
        assert_eq!(of(&first, id)["body"]["id"], of(&second, id)["body"]["id"], "{id}");
        assert_eq!(of(&second, id)["status"], 201);
    }
    assert_eq!(world.count(CONTOSO).await, 3);
}

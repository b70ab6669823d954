//! `$batch`: many requests in one. Source: OData Protocol 4.01, 11.7; OData JSON Format 4.01, 19.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use server::Rate;
use store::StoreError;
use support::*;

const BATCH: &str = "/v1.0/$batch";
const NOWHERE: &str = "/v1.0/engagements/referrals/ffffffff-ffff-4fff-8fff-ffffffffffff";

/// A JSON batch of Contoso's administrator.
async fn batch(world: &World, requests: Value) -> Answer {
    world.call("POST", BATCH).as_user(CONTOSO_ADMIN).json(json!({ "requests": requests })).await
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
        options.extended = true;
        options.rate = Some(Rate { per_second: 0.01, burst: 3.0 });
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
        options.extended = true;
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
        options.extended = true;
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
        options.extended = true;
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

// ---- groups ----

#[tokio::test]
async fn a_group_is_done_whole_and_its_members_see_one_another() {
    let world = World::extended().await;
    let old = world.contoso().own_deal().await;
    let requests = json!([
        in_group(post("1", small_deal()), "g"),
        in_group(rename("2", "$1", "First"), "g"),
        in_group(
            with(rename("3", "$1", "Second"), "headers", json!({ "prefer": "return=representation" })),
            "g"
        ),
        in_group(rename("4", &old.path(), "Old"), "g"),
        with(get("5", "$1"), "dependsOn", json!(["g"])),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [201, 204, 200, 204, 200]);
    assert_eq!(of(&answer, "3")["atomicityGroup"], "g");
    assert_eq!(of(&answer, "3")["body"]["name"], "Second");
    assert_eq!(of(&answer, "5")["body"]["name"], "Second");
    let made = world.stored_bytes(of(&answer, "1")["body"]["id"].as_str().unwrap()).await;
    assert_eq!(made.version, 3);
    assert_eq!(world.contoso().sees(&old.id).await.body["name"], "Old");
    let told: Vec<u64> = world.log(CONTOSO).await.iter().map(|entry| entry.version).collect();
    assert_eq!(told, [1, 1, 2, 3, 2], "one entry for each write, in their order");
}

#[tokio::test]
async fn a_group_with_a_refused_member_leaves_no_trace() {
    let world = World::extended().await;
    let old = world.contoso().own_deal().await;
    let stale = json!({ "if-match": "\"00000000-0000-0000-0000-000000000000\"" });
    let keyed = json!({ "request-id": "00000000-0000-4000-8000-00000000b001" });
    let requests = json!([
        in_group(with(post("1", small_deal()), "headers", keyed.clone()), "g"),
        in_group(rename("2", &old.path(), "Never"), "g"),
        in_group(with(rename("3", &old.path(), "Stale"), "headers", stale), "g"),
        in_group(post("4", small_deal()), "g"),
        with(post("5", small_deal()), "dependsOn", json!(["g"])),
        get("6", "$1"),
        get("7", "engagements/referrals"),
    ]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [424, 424, 412, 424, 424, 424, 200]);
    assert_eq!(of(&answer, "7")["body"]["@odata.count"], 1);
    assert_eq!(world.contoso().sees(&old.id).await.body, old.body);
    assert_eq!(world.log(CONTOSO).await.len(), 1);
    // Nor is any answer remembered.
    let mut other = small_deal();
    other["name"] = "Another body under the same id".into();
    let again = batch(&world, json!([with(post("1", other), "headers", keyed)])).await.expect(200);
    assert_eq!(statuses(&again), [201]);
}

#[tokio::test]
async fn a_group_may_invite_two_organizations_and_not_one_twice() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let invites = |id: &str, location: &str| {
        let mut body = invitation(location);
        body["engagementId"] = deal.engagement.as_str().into();
        in_group(post(id, body), "g")
    };
    let twice = json!([invites("1", FABRIKAM_LOCATION), invites("2", FABRIKAM_LOCATION)]);
    let answer = batch(&world, twice).await.expect(200);
    assert_eq!(statuses(&answer), [424, 409], "the second finds what the first has staged");
    assert_eq!(world.count(FABRIKAM).await, 0);
    let both = json!([invites("1", FABRIKAM_LOCATION), invites("2", NORTHWIND_LOCATION)]);
    assert_eq!(statuses(&batch(&world, both).await.expect(200)), [201, 201]);
    assert_eq!((world.count(FABRIKAM).await, world.count(NORTHWIND).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_was_overtaken_is_decided_again() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    for (tagged, status, name) in [(false, 204, "Mine"), (true, 412, "Theirs")] {
        let etag = world.contoso().sees(&deal.id).await.etag;
        let mut request = rename("2", &deal.path(), if tagged { "Mine again" } else { "Mine" });
        if tagged {
            request["headers"] = json!({ "If-Match": etag });
        }
        world.store.hold_commits();
        let requests = json!([in_group(post("1", small_deal()), "g"), in_group(request, "g")]);
        let group = batch(&world, requests);
        let other = async {
            world.store.commit_waits().await;
            let inner = world.store.inner();
            let stored = store::Store::find_referral(inner, deal.id.parse().unwrap()).await.unwrap().unwrap();
            let mut document: Value = serde_json::from_slice(&stored.document).unwrap();
            document["name"] = "Theirs".into();
            let change = |next: &mut store::StoredReferral| {
                next.document = document.to_string().into();
                next.etag = "\"00000000-0000-4000-8000-00000000e001\"".parse().unwrap();
            };
            world.plant(&deal.id, change).await;
            world.store.release_commits();
        };
        let (answer, ()) = tokio::join!(group, other);
        assert_eq!(of(&answer.expect(200), "2")["status"], status);
        assert_eq!(world.contoso().sees(&deal.id).await.body["name"], name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_that_write_the_same_referrals_are_each_whole() {
    let world = World::extended().await;
    let (a, b) = (world.contoso().own_deal().await, world.contoso().own_deal().await);
    let writer = |name: String| {
        let (a, b, world) = (&a, &b, &world);
        async move {
            let requests = json!([
                in_group(rename("1", &a.path(), &name), "g"),
                in_group(rename("2", &b.path(), &name), "g"),
            ]);
            statuses(&batch(world, requests).await.expect(200))
        }
    };
    for round in 0..10 {
        let name = |who: &str| format!("{who} {round}");
        let (x, y, z) = tokio::join!(writer(name("x")), writer(name("y")), writer(name("z")));
        for statuses in [x, y, z] {
            assert_eq!(statuses, [204, 204]);
        }
        let (a, b) = (world.contoso().sees(&a.id).await, world.contoso().sees(&b.id).await);
        assert_eq!(a.body["name"], b.body["name"], "the last group wrote both");
    }
}

#[tokio::test]
async fn a_failing_store_fails_a_group_whole() {
    let world = World::extended().await;
    world.store.trouble_commits(Some(Trouble::Error(StoreError::WritesStopped("full".to_owned()))));
    let requests = json!([in_group(post("1", small_deal()), "g"), in_group(post("2", small_deal()), "g")]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [503, 424]);
    world.store.trouble_commits(None);
    assert_eq!(world.count(CONTOSO).await, 0);
}

#[tokio::test]
async fn a_group_finds_a_referral_expired_that_is_due() {
    let world = World::extended().await;
    let sent = world.given("New", "Pending").await;
    world.clock.advance(60 * 24 * 3600);
    let requests =
        json!([in_group(post("1", small_deal()), "g"), in_group(rename("2", &sent.path(), "Late"), "g")]);
    let answer = batch(&world, requests).await.expect(200);
    assert_eq!(statuses(&answer), [424, 409]);
    assert_eq!(world.contoso().sees(&sent.id).await.body["substatus"], "Expired");
}

// ---- multipart ----

async fn multipart(world: &World, boundary: &str, body: &str) -> Answer {
    let content_type = format!("multipart/mixed; boundary={boundary}");
    let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).body(body.to_owned());
    call.header("Content-Type", &content_type).await
}

/// A part with this request, lines ended by CRLF.
fn part(id: Option<&str>, request: &str) -> String {
    let id = id.map(|id| format!("Content-ID: {id}\r\n")).unwrap_or_default();
    let request = request.replace('\n', "\r\n");
    format!("Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{id}\r\n{request}\r\n")
}

/// The parts of a body, each from a delimiter to the next.
fn parts_of(answer: &Answer) -> Vec<String> {
    let content_type = answer.header("content-type").unwrap().to_owned();
    pieces(std::str::from_utf8(&answer.bytes).unwrap(), &content_type)
}

fn pieces(body: &str, content_type: &str) -> Vec<String> {
    let boundary = content_type.split_once("boundary=").unwrap_or_else(|| panic!("{content_type}")).1;
    let (parts, epilogue) = body.split_once(&format!("--{boundary}--\r\n")).unwrap();
    assert_eq!(epilogue, "");
    let delimiter = format!("--{boundary}\r\n");
    let mut pieces = parts.split(&delimiter);
    assert_eq!(pieces.next(), Some(""));
    pieces.map(|piece| piece.strip_suffix("\r\n").unwrap().to_owned()).collect()
}

/// Status, Content-ID and JSON body of a part that is an answer.
fn answer_of(part: &str) -> (u16, Option<String>, Value) {
    let (head, rest) = part.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("Content-Type: application/http\r\n"), "{head}");
    let id = head.lines().find_map(|line| line.strip_prefix("Content-ID: ")).map(str::to_owned);
    let (head, body) = rest.split_once("\r\n\r\n").unwrap();
    let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    assert_eq!(length.map_or(0, |length| length.parse().unwrap()), body.len());
    assert!(head.contains("request-id: "), "{head}");
    (status, id, serde_json::from_str(body).unwrap_or_default())
}

/// The whole of the answers of a flat multipart answer.
fn flat(answer: &Answer) -> Vec<(u16, Option<String>, Value)> {
    parts_of(answer).iter().map(|part| answer_of(part)).collect()
}

#[tokio::test]
async fn a_multipart_batch_is_answered_in_its_own_structure() {
    let world = World::extended().await;
    let old = world.contoso().own_deal().await;
    let body = small_deal().to_string();
    let patch = r#"[{"op":"replace","path":"/name","value":"Ünïcode"}]"#;
    let batch = format!(
        "a preamble\r\n--b_1\r\n{get}--b_1\r\nContent-Type: multipart/mixed;boundary=\"cs 1\"\r\n\r\n--cs 1\r\n{create}--cs 1\r\n{change}--cs 1--\r\n--b_1\r\n{list}--b_1--\r\nan epilogue",
        get = part(None, &format!("GET {} HTTP/1.1\nHost: 127.0.0.1:8080\n\n", old.path())),
        create = part(
            Some("1"),
            &format!(
                "POST engagements/referrals HTTP/1.1\nContent-Type: application/json\nContent-Length: {}\n\n{body}",
                body.len()
            ),
        ),
        change = part(
            Some("2"),
            &format!(
                "PATCH $1 HTTP/1.1\nContent-Type: application/json-patch+json\nPrefer: return=representation\n\n{patch}"
            ),
        ),
        list = part(None, &format!("GET {BASE}{REFERRALS}?$top=5 HTTP/1.1\n\n")),
    );
    let answer = multipart(&world, "b_1", &batch).await.expect(200);
    assert_eq!(answer.header("odata-version"), Some("4.0"));
    let parts = parts_of(&answer);
    assert_eq!(parts.len(), 3);
    let (status, id, seen) = answer_of(&parts[0]);
    assert_eq!((status, id, &seen["id"]), (200, None, &json!(old.id)));
    let (head, inner) = parts[1].split_once("\r\n\r\n").unwrap();
    let inner: Vec<_> = pieces(&format!("{inner}\r\n"), head).iter().map(|part| answer_of(part)).collect();
    let told: Vec<_> = inner.iter().map(|(status, id, _)| (*status, id.as_deref())).collect();
    assert_eq!(told, [(201, Some("1")), (200, Some("2"))]);
    assert_eq!(inner[1].2["name"], "Ünïcode");
    assert_eq!(answer_of(&parts[2]).2["@odata.count"], 2);
}

#[tokio::test]
async fn a_failed_change_set_is_one_answer_and_stops_the_batch() {
    let world = World::extended().await;
    let body = small_deal().to_string();
    let create = |id| {
        part(
            Some(id),
            &format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}"),
        )
    };
    let batch = format!(
        "--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\n{}--cs\r\n{}--cs--\r\n--b\r\n{}--b--",
        create("1"),
        part(
            Some("2"),
            &format!(
                "PATCH {NOWHERE} HTTP/1.1\nContent-Type: application/json\n\n[{{\"op\":\"replace\",\"path\":\"/name\",\"value\":\"x\"}}]"
            )
        ),
        part(None, "GET engagements/referrals HTTP/1.1\n\n"),
    );
    let answer = multipart(&world, "b", &batch).await.expect(200);
    let told = flat(&answer);
    assert_eq!(told.len(), 1, "the error is the last part");
    assert_eq!((told[0].0, told[0].1.as_deref()), (404, Some("2")));
    assert_eq!(told[0].2["error"]["code"], "itemNotFound");
    assert_eq!(world.count(CONTOSO).await, 0);
    for prefer in ["continue-on-error", "odata.continue-on-error", "odata.continue-on-error=true"] {
        let call =
            world.call("POST", BATCH).as_user(CONTOSO_ADMIN).body(batch.clone()).header("Prefer", prefer);
        let answer = call.header("Content-Type", "multipart/mixed; boundary=b").await.expect(200);
        let statuses: Vec<u16> = flat(&answer).iter().map(|one| one.0).collect();
        assert_eq!(statuses, [404, 200], "{prefer}");
        assert_eq!(answer.header("preference-applied"), Some("continue-on-error=true"));
    }
}

#[tokio::test]
async fn accept_chooses_how_the_answer_is_written() {
    let world = World::extended().await;
    let body = small_deal().to_string();
    let create = format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}");
    let parts = format!(
        "--b\r\n{}--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\n{}--cs--\r\n--b--",
        part(None, "GET engagements/referrals HTTP/1.1\n\n"),
        part(Some("1"), &create)
    );
    let requests = json!({ "requests": [get("1", NOWHERE), in_group(post("2", small_deal()), "g"), in_group(post("3", json!({})), "g")] });
    for (accept, in_json) in [
        ("application/json", Some(true)),
        ("multipart/mixed", Some(false)),
        ("multipart/*;q=0.5, application/json;q=0.4", Some(false)),
        ("*/*", None),
        ("application/json, multipart/mixed", None),
    ] {
        let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).header("Accept", accept);
        let call = call.header("Content-Type", "multipart/mixed; boundary=b").body(parts.clone());
        let answer = call.await.expect(200);
        if in_json.unwrap_or(false) {
            assert_eq!(statuses(&answer), [200, 201]);
            assert_eq!(answer.body["responses"][0].get("id"), None, "it had no Content-ID");
            assert!(of(&answer, "1")["atomicityGroup"].is_string());
        } else {
            assert_eq!(parts_of(&answer).len(), 2, "{accept}");
        }
        let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).header("Accept", accept);
        let answer = call.json(requests.clone()).await.expect(200);
        if in_json.unwrap_or(true) {
            assert_eq!(statuses(&answer), [404, 424, 400], "{accept}");
        } else {
            let told: Vec<_> =
                flat(&answer).into_iter().map(|(status, id, _)| (status, id.unwrap())).collect();
            let expected = [(404, "1"), (424, "2"), (400, "3")].map(|(status, id)| (status, id.to_owned()));
            assert_eq!(told, expected, "{accept}: one part for each request");
        }
    }
}

#[tokio::test]
async fn lines_may_end_without_cr_and_the_last_empty_line_may_be_missing() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    let url = deal.path();
    for batch in [
        format!("--b\nContent-Type: application/http\n\nGET {url} HTTP/1.1\n\n\n--b--\n"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.1\r\n\r\n--b--"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.1\r\n--b--"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.1\r\nAccept: */*\r\n--b--"),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url}\r\nAccept: */*\r\n\r\n\r\n--b--"),
        format!(
            "--b \t\r\ncontent-type: Application/HTTP;msgtype=request\r\n\r\n\r\nget {url} HTTP/1.1\r\n\r\n--b-- "
        ),
        format!("--b\r\nContent-Type: application/http\r\n\r\nGET {url}?x=a b HTTP/1.1\r\n\r\n--b--"),
        format!("--bb\r\n--b\r\nContent-Type: application/http\r\n\r\nGET {url} HTTP/1.0\r\n\r\n--b--"),
    ] {
        let answer = multipart(&world, "b", &batch).await.expect(200);
        let told = flat(&answer);
        assert_eq!((told.len(), told[0].0), (1, 200), "{batch}");
        assert_eq!(told[0].2["id"], deal.id);
    }
    let empty = multipart(&world, "b", "--b--").await.expect(200);
    assert_eq!(flat(&empty), []);
}

#[tokio::test]
async fn a_body_comes_through_byte_for_byte() {
    let world = World::extended().await;
    // Lines that look like another boundary, blank lines and line ends of both kinds within the text of a member.
    let name = "--c\\r\\n--cs--\\n\\u0000";
    let body = format!("{{\"name\":\"{name}\",\r\n\r\n\"type\":\"Independent\",\n--{{}}");
    let broken = format!(
        "--b\r\n{}--b--",
        part(None, &format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}"))
    );
    let told = flat(&multipart(&world, "b", &broken).await.expect(200));
    assert_eq!(
        told[0].2["error"]["innerError"]["message"], "line 4 column 1",
        "the parser met the third line end"
    );
    let mut good = small_deal();
    good["name"] = "\r\n--b\r\n".into();
    let good = good.to_string();
    let request = format!(
        "POST engagements/referrals HTTP/1.1\nContent-Type: application/json\nContent-Length: {}\n\n{good}\n\n",
        good.len()
    );
    let told =
        flat(&multipart(&world, "b", &format!("--b\r\n{}--b--", part(None, &request))).await.expect(200));
    assert_eq!((told[0].0, &told[0].2["name"]), (201, &json!("\r\n--b\r\n")));
}

#[tokio::test]
async fn a_part_that_cannot_be_read_spoils_the_batch() {
    let world = World::extended().await;
    let body = small_deal().to_string();
    let create = part(
        Some("1"),
        &format!("POST engagements/referrals HTTP/1.1\nContent-Type: application/json\n\n{body}"),
    );
    let one = |part: &str| format!("--b\r\n{create}--b\r\n{part}\r\n--b--");
    let http = |request: &str| one(&part(Some("2"), request));
    for batch in [
        "".to_owned(),
        "no boundary at all".to_owned(),
        "--c--".to_owned(),
        format!("--b\r\n{create}"),
        format!("--b\r\n{create}--b"),
        format!("--b\r\n{create}--b\r\n"),
        one("no headers"),
        one("Content-Type: text/plain\r\n\r\nGET x HTTP/1.1\r\n"),
        one("\r\nGET x HTTP/1.1\r\n"),
        one("Content-Type: application/http\r\nContent-Transfer-Encoding: base64\r\n\r\nR0VU"),
        one("Content-Type: application/http\r\nContent-ID: a b\r\n\r\nGET x HTTP/1.1\r\n"),
        one("Content-Type: application/http\r\nContent-ID: 1\r\n\r\nGET x HTTP/1.1\r\n"),
        one("Content-Type: application/http\r\n : \r\n\r\nGET x HTTP/1.1\r\n"),
        one(&format!("{}Content-Type: application/http\r\n\r\nGET x HTTP/1.1\r\n", "A: b\r\n".repeat(70))),
        http(""),
        http("GET"),
        http("GET  HTTP/1.1"),
        http("G@T x HTTP/1.1"),
        http("GET x HTTP/2"),
        http("GET x HTTP/1.1\nno header"),
        http("POST x HTTP/1.1\nContent-Length: 10\n\nshort"),
        http("POST x HTTP/1.1\nContent-Length: 2\n\nlong"),
        http("POST x HTTP/1.1\nContent-Length: -1\n\n"),
        http("POST x HTTP/1.1\nContent-Length: 0\nContent-Length: 0\n\n"),
        one("Content-Type: multipart/mixed; boundary=cs\r\n\r\nnothing of it"),
        one(
            "Content-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\nContent-Type: application/http\r\n\r\nPOST x HTTP/1.1\r\n",
        ),
        one(
            "Content-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\nContent-Type: multipart/mixed; boundary=d\r\n\r\n--d--\r\n--cs--",
        ),
    ] {
        let answer = multipart(&world, "b", &batch).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["innerError"]["code"]),
            (400, &json!("malformedBatch")),
            "{batch}"
        );
    }
    let unbounded = multipart(&world, "b", &one("Content-Type: multipart/mixed\r\n\r\n--cs--")).await;
    unbounded.refused(400, "invalidRequest", "Content-Type", "malformedBatch");
    let call = world
        .call("POST", BATCH)
        .as_user(CONTOSO_ADMIN)
        .header("Content-Type", "multipart/mixed; boundary=b");
    let answer =
        call.body(&b"--b\r\nContent-Type: application/http\r\n\r\nGET /\xff HTTP/1.1\r\n\r\n--b--"[..]).await;
    answer.refused(400, "invalidRequest", "body", "malformedBatch");
    assert_eq!(world.count(CONTOSO).await, 0, "nothing of any was done");
}

#[tokio::test]
async fn requests_of_a_part_are_refused_as_those_of_json_are() {
    let world = World::extended().await;
    for (request, status, target) in [
        ("GET engagements/referrals HTTP/1.1\nAuthorization: Bearer x\n\n", 400, "authorization"),
        ("GET engagements/referrals HTTP/1.1\nTransfer-Encoding: chunked\n\n", 400, "transfer-encoding"),
        ("GET engagements/referrals HTTP/1.1\nHost: fabrikam.example\n\n", 400, "Host"),
        ("GET https://fabrikam.example/x HTTP/1.1\n\n", 400, "url"),
        ("OPTIONS engagements/referrals HTTP/1.1\n\n", 400, "method"),
        ("POST $batch HTTP/1.1\nContent-Type: application/json\n\n{}", 400, "url"),
        ("GET $1 HTTP/1.1\n\n", 400, "url"),
        ("PUT engagements/referrals HTTP/1.1\n\n", 405, "method"),
    ] {
        let answer =
            multipart(&world, "b", &format!("--b\r\n{}--b--", part(None, request))).await.expect(200);
        let told = flat(&answer);
        assert_eq!((told[0].0, &told[0].2["error"]["target"]), (status, &json!(target)), "{request}");
    }
    let read = part(Some("1"), "GET engagements/referrals HTTP/1.1\n\n");
    let batch =
        format!("--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\n{read}--cs--\r\n--b--");
    let told = flat(&multipart(&world, "b", &batch).await.expect(200));
    assert_eq!(
        (told[0].0, &told[0].2["error"]["target"]),
        (400, &json!("method")),
        "a change set holds writes"
    );
}

// ---- any bytes ----

mod any_bytes {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    static WORLD: LazyLock<World> = LazyLock::new(|| RUNTIME.block_on(World::extended()));

    const MULTIPART: &[u8] = b"--b\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\nGET engagements/referrals?$top=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n--cs\r\nContent-Type: application/http\r\nContent-ID: 2\r\n\r\nPOST engagements/referrals HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}\r\n--cs--\r\n--b--\r\n";
    const JSON: &[u8] = br#"{"requests":[{"id":"1","method":"get","url":"engagements/referrals","headers":{"accept":"*/*"}},{"id":"2","atomicityGroup":"g","dependsOn":["1"],"method":"patch","url":"$1","body":[{"op":"add"}]}]}"#;

    fn answered(content_type: &str, body: Vec<u8>) -> u16 {
        let world = &*WORLD;
        RUNTIME.block_on(async {
            let call = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).header("Content-Type", content_type);
            // The harness fails the test when no answer comes, or one without what every answer owes.
            let answer = call.body(body).await;
            if answer.status == 200 && answer.body.is_object() {
                assert!(statuses(&answer).iter().all(|status| *status != 500), "{}", answer.body);
            }
            answer.status
        })
    }

    /// A good batch with some bytes exchanged, cut out or repeated.
    fn mutated(good: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
        let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..6);
        edits.prop_map(move |edits| {
            let mut bytes = good.to_vec();
            for (place, byte, kind) in edits {
                let at = place.index(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
                match kind {
                    _ if bytes.is_empty() => bytes.push(byte),
                    0 => bytes[at] = byte,
                    1 => drop(bytes.remove(at)),
                    2 => bytes.truncate(at),
                    _ => bytes.insert(at, b"\r\n-:\"{}$ "[usize::from(byte) % 9]),
                }
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn as_multipart_are_answered(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), mutated(MULTIPART)]) {
            let status = answered("multipart/mixed; boundary=b", bytes);
            prop_assert!(matches!(status, 200 | 400), "{status}");
        }

        #[test]
        fn as_json_are_answered(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..200), mutated(JSON)]) {
            let status = answered("application/json", bytes);
            prop_assert!(matches!(status, 200 | 400), "{status}");
        }

        #[test]
        fn as_content_type_are_answered(text in "[ -~]{0,80}") {
            let status = answered(&format!("multipart/mixed;{text}"), MULTIPART.to_vec());
            prop_assert!(matches!(status, 200 | 400), "{status}");
        }
    }
}

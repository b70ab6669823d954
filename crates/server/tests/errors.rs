//! The error body and the situations that have one. Source: spec 11.4, 11.5.
//! That every refusal has the form of REF-250 to REF-253 is held by the harness, in every test of this folder.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use server::RateLimit;
use store::StoreError;
use support::*;

const UNKNOWN: &str = "ffffffff-ffff-4fff-8fff-ffffffffffff";

#[tokio::test]
async fn the_published_error_bodies_are_ours() {
    // REF-250 REF-251 REF-253 REF-254
    let world = World::new().await;
    let admin = world.contoso();
    let deal = admin.own_deal().await;
    let closed = world.given("Closed", "Won").await;
    let kept = (world.stored_bytes(&deal.id).await, world.stored_bytes(&closed.id).await);
    let raw = |body: &'static str| {
        world
            .call("POST", REFERRALS)
            .as_user(CONTOSO_ADMIN)
            .header("Content-Type", "application/json")
            .body(body)
    };
    let won = json!([{ "op": "replace", "path": "/substatus", "value": "Won" }]);
    let remove = json!([{ "op": "remove", "path": "/details/notes" }]);
    for (answer, status, file) in [
        (raw("{x").await, 400, "error.400.malformed-json.json"),
        (
            admin.posts(example("create.missing-required.request.json")).await,
            400,
            "error.400.missing-required.json",
        ),
        (admin.replaces(&deal.id, "/substatus", json!("Engaged")).await, 400, ""),
        (
            admin.puts(&deal.id, "*", json!({ "substatus": "Engaged" })).await,
            400,
            "error.400.invalid-enum.json",
        ),
        (admin.puts(&deal.id, "*", json!({ "links": {} })).await, 400, "error.400.links-in-put.json"),
        (
            world.call("PUT", &deal.path()).as_user(CONTOSO_ADMIN).json(json!({ "eTag": deal.etag })).await,
            400,
            "error.400.if-match-required.json",
        ),
        (
            admin.puts(&deal.id, "*", json!({ "substatus": "Won" })).await,
            400,
            "error.400.status-substatus-pair.json",
        ),
        (
            admin.patches(&deal.id, won).await.refused(
                400,
                "invalidRequest",
                "/substatus",
                "invalidStatusSubstatus",
            ),
            400,
            "",
        ),
        (admin.patches(&deal.id, remove).await, 400, "error.400.unsupported-patch-operation.json"),
        (admin.gets(UNKNOWN).await, 404, "error.404.not-found.json"), // REF-255
        (admin.replaces(&closed.id, "/name", json!("x")).await, 409, "error.409.closed-referral.json"),
        (admin.puts(&deal.id, "\"old\"", json!({ "name": "x" })).await, 412, "error.412.etag-mismatch.json"),
        (raw("").header("Accept", "application/xml").await, 406, "error.406.not-acceptable.json"),
    ] {
        let answer = answer.expect(status);
        if file.is_empty() {
            continue;
        }
        let mut expected = example(file);
        if matches!(file, "error.400.malformed-json.json" | "error.400.invalid-enum.json") {
            // Ours says more: where the JSON ends, which values there are.
            expected["error"]["message"] = answer.body["error"]["message"].clone();
            expected["error"]["innerError"]["message"] =
                answer.body["error"]["innerError"]["message"].clone();
        }
        assert_eq!(answer.body, expected, "{file}");
    }
    assert_eq!((world.stored_bytes(&deal.id).await, world.stored_bytes(&closed.id).await), kept);
    let expired = world.token(CONTOSO_ADMIN).await;
    world.clock.advance(TOKEN_LIFETIME);
    let answer = world.call("GET", REFERRALS).bearer(&expired).await.expect(401);
    assert_eq!(answer.body, example("error.401.unauthenticated.json"));
}

#[tokio::test]
async fn targets_name_the_offender() {
    // REF-254
    let world = World::new().await;
    let admin = world.contoso();
    let deal = admin.own_deal().await;
    let with = |at: &str, value: Value| {
        let mut body = support::deal();
        *body.pointer_mut(at).unwrap() = value;
        body
    };
    for (body, target) in [
        (with("/team/0/email", json!("nobody")), "team/0/email"),
        (with("/details/dealValue", json!(-1)), "details/dealValue"),
        (with("/customerProfile/address/country", json!("Poland")), "customerProfile/address/country"),
        (with("/customerProfile/name", json!("")), "customerProfile/name"),
        (with("/details/requirements/products/0/id", json!("")), "details/requirements/products/0/id"),
    ] {
        let answer = admin.posts(body).await;
        assert_eq!(answer.body["error"]["target"], target, "{}", answer.body);
        answer.expect(400);
    }
    for (path, value) in
        [("/team/0/email", json!("nobody")), ("/Details/DealValue", json!("x")), ("/status", json!("Open"))]
    {
        admin.replaces(&deal.id, path, value).await.refused(400, "invalidRequest", path, "invalidValue");
    }
}

#[tokio::test]
async fn messages_stay_short_whatever_was_sent() {
    // REF-252: the harness measures
    let world = World::new().await;
    let admin = world.contoso();
    let deal = admin.own_deal().await;
    let long = "ü\"\\".repeat(20_000);
    for answer in [
        admin.puts(&deal.id, "*", json!({ "status": long })).await,
        admin.patches(&deal.id, json!([{ "op": long, "path": "/name" }])).await,
        admin.patches(&deal.id, json!([{ "op": "replace", "path": format!("/{long}"), "value": 1 }])).await,
        admin.lists(&format!("?$top={}", "9x".repeat(10_000))).await,
        admin.lists(&format!("?$x{}=1", "y".repeat(10_000))).await,
        world.call("GET", REFERRALS).as_user(CONTOSO_ADMIN).header("Accept", &"a/b,".repeat(5_000)).await,
        world
            .call("POST", REFERRALS)
            .as_user(CONTOSO_ADMIN)
            .header("Content-Type", &"c".repeat(9_000))
            .body("x")
            .await,
    ] {
        assert!(matches!(answer.status, 400 | 406 | 415), "{}", answer.status);
        let error = &answer.body["error"];
        for text in [&error["message"], &error["target"], &error["innerError"]["message"]] {
            assert!(text.as_str().unwrap().chars().count() <= 1024);
        }
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    // REF-256
    let world = World::new().await;
    let mut body = small_deal();
    body["details"] = json!({ "notes": "n".repeat(1024 * 1024) });
    let answer = world.contoso().posts(body).await;
    assert_eq!(answer.body, example("error.413.too-large.json"));
    answer.expect(413);
    // Exactly at the limit the body is read.
    let mut text = small_deal().to_string();
    text.push_str(&" ".repeat(1024 * 1024 - text.len()));
    let post = |text: String| {
        world
            .call("POST", REFERRALS)
            .as_user(CONTOSO_ADMIN)
            .header("Content-Type", "application/json")
            .body(text)
    };
    post(text.clone()).await.expect(201);
    post(text + " ").await.expect(413);
    assert_eq!(world.count(CONTOSO).await, 1);
}

#[tokio::test]
async fn a_caller_that_is_too_fast_gets_429_until_time_has_passed() {
    // REF-257
    let world =
        World::with(|options, _| options.rate = Some(RateLimit { per_second: 0.5, burst: 2.0 })).await;
    let get = || world.contoso().lists("");
    get().await.expect(200);
    get().await.expect(200);
    let refused = get().await.refused(429, "serviceNotAvailable", "rate", "tooManyRequests");
    assert_eq!(refused.header("retry-after"), Some("2"));
    world.clock.advance(1);
    assert_eq!(get().await.expect(429).header("retry-after"), Some("1"));
    world.clock.advance(1);
    get().await.expect(200);
    get().await.expect(429);
    // Each caller has its own bucket, and a full one is no fuller after a day.
    world.person(CONTOSO_GLOBAL).lists("").await.expect(200);
    world.clock.advance(86_400);
    for status in [200, 200, 429] {
        get().await.expect(status);
    }
    // Writes count, 401 and 404 of the path do not reach the bucket, health is never throttled.
    world.contoso().posts(deal()).await.expect(429);
    world.call("GET", REFERRALS).await.expect(401);
    world.call("GET", "/nowhere").as_user(CONTOSO_ADMIN).await.expect(404);
    world.call("GET", "/livez").await.expect(200);
}

#[tokio::test]
async fn who_waits_as_long_as_told_is_served() {
    // REF-257
    for per_second in [1.0 / 49.0, 0.3, 0.7, 1.0 / 3.0, 2.5] {
        let world = World::with(|options, _| options.rate = Some(RateLimit { per_second, burst: 1.0 })).await;
        for _ in 0..3 {
            world.contoso().lists("").await.expect(200);
            world.clock.set(&world.clock.time().next().to_string());
            let wait = world.contoso().lists("").await.expect(429);
            let seconds: i64 = wait.header("retry-after").unwrap().parse().unwrap();
            world.clock.advance(seconds);
        }
        world.contoso().lists("").await.expect(200);
    }
}

#[tokio::test]
async fn the_throttled_body_is_the_published_one() {
    // REF-257
    let world =
        World::with(|options, _| options.rate = Some(RateLimit { per_second: 1.0 / 30.0, burst: 1.0 })).await;
    world.contoso().lists("").await.expect(200);
    let answer = world.contoso().lists("").await.expect(429);
    assert_eq!(
        (answer.header("retry-after"), &answer.body),
        (Some("30"), &example("error.429.throttled.json"))
    );
}

#[tokio::test]
async fn a_failure_inside_says_nothing_of_itself() {
    // REF-258
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let secret = "secret-path-of-the-disk";
    for trouble in [Trouble::Panic(secret), Trouble::Error(StoreError::Engine(secret.to_owned()))] {
        world.store.trouble_reads(Some(trouble.clone()));
        let read = [
            world.contoso().gets(&deal.id).await,
            world.contoso().replaces(&deal.id, "/name", json!("x")).await,
            world.contoso().lists("").await,
        ];
        world.store.trouble_reads(None);
        world.store.trouble_commits(Some(trouble));
        let written = [
            world.contoso().posts(support::deal()).await,
            world.contoso().replaces(&deal.id, "/name", json!("x")).await,
        ];
        world.store.trouble_commits(None);
        for answer in read.into_iter().chain(written) {
            let answer = answer.refused(500, "generalException", "", "");
            assert_eq!(answer.body, example("error.500.internal.json"));
            assert!(!format!("{:?}", answer.headers).contains(secret));
        }
    }
    // The next request is served as ever.
    assert_eq!(world.contoso().sees(&deal.id).await.body, deal.body);
    assert_eq!(world.log(CONTOSO).await.len(), 1);
}

#[tokio::test]
async fn a_part_of_a_damaged_document_is_not_shown_as_nothing() {
    let world = World::extended().await;
    let deal = world.contoso().own_deal().await;
    // Cut off behind what is asked for: nothing of it is known to be right.
    world
        .plant(&deal.id, |stored| stored.document = stored.document.slice(..stored.document.len() - 20))
        .await;
    for rest in [
        "?$select=name",
        "?$select=details",
        "?$select=team($top=1)",
        "?$compute=length(name) as n",
        "?$format=application/json;odata.metadata=full",
        "/name",
        "/name/$value",
        "/team",
        "/team/$count",
        "/details",
    ] {
        let answer = world.contoso().reads(&format!("/{}{rest}", deal.id)).await;
        assert_eq!((answer.status, &answer.body), (500, &example("error.500.internal.json")), "{rest}");
    }
    let numbers = world.call("GET", &deal.path()).as_user(CONTOSO_ADMIN);
    numbers.header("Accept", "application/json;IEEE754Compatible=true").await.expect(500);
}

#[tokio::test]
async fn a_damaged_document_fails_alone() {
    // REF-258
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    let sent = world.contoso().connects(&deal.engagement, FABRIKAM_LOCATION).await;
    world.plant(&sent.id, |stored| stored.document = r#"{"id":"#.into()).await;
    let kept = world.stored_bytes(&sent.id).await;
    let answers = [
        world.fabrikam().replaces(&sent.id, "/name", json!("x")).await,
        world.fabrikam().puts(&sent.id, "*", json!({ "name": "x" })).await,
        world.contoso().gets(&sent.id).await,
    ];
    for answer in answers {
        assert_eq!(answer.body, example("error.500.internal.json"));
        answer.expect(500);
    }
    assert_eq!(world.stored_bytes(&sent.id).await, kept);
    world.contoso().gets(&deal.id).await.expect(200);
}

#[tokio::test]
async fn more_requests_than_there_is_room_for_get_503() {
    // REF-259
    let full = World::with(|options, _| options.concurrency = 0).await;
    let answer = full.contoso().lists("").await;
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.body, example("error.503.unavailable.json"));
    answer.expect(503);
    full.call("GET", "/livez").await.expect(200);
    full.call("GET", "/nowhere").await.expect(404);

    let narrow = World::with(|options, _| options.concurrency = 1).await;
    narrow.token(CONTOSO_ADMIN).await;
    narrow.store.hold_commits();
    let second = async {
        narrow.store.commit_waits().await;
        let answer = narrow.contoso().lists("").await;
        narrow.store.release_commits();
        answer
    };
    let (first, second) = tokio::join!(narrow.contoso().posts(deal()), second);
    assert_eq!((first.status, second.status), (201, 503));
    narrow.contoso().lists("").await.expect(200);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    // REF-259
    let mut world = World::with(|options, _| options.deadline = Duration::from_millis(30)).await;
    world.token(CONTOSO_ADMIN).await;
    world.store.hold_commits();
    let answer = world.contoso().posts(deal()).await;
    assert_eq!(answer.body, example("error.503.unavailable.json"));
    assert_eq!(answer.header("connection"), Some("close"));
    answer.expect(503);
    world.store.release_commits();
    // On a busy machine 30 ms may be too short for what does get its turn.
    world.restart_with(|options, _| options.deadline = Duration::from_secs(30)).await;
    world.contoso().posts(deal()).await.expect(201);
}

#[tokio::test]
async fn messages_do_not_depend_on_the_callers_language() {
    // REF-260
    let world = World::new().await;
    let deal = world.contoso().own_deal().await;
    for (method, path, body) in [
        ("GET", path(UNKNOWN), None),
        ("PATCH", deal.path(), Some(json!([{ "op": "replace", "path": "/status", "value": "Otwarty" }]))),
        ("PUT", deal.path(), Some(json!({}))),
        ("DELETE", deal.path(), None),
        ("GET", "/nowhere".to_owned(), None),
    ] {
        let call = || {
            let call = world.call(method, &path).as_user(CONTOSO_ADMIN);
            match &body {
                Some(body) => call.json(body.clone()),
                None => call,
            }
        };
        let plain = call().await;
        assert!(plain.status >= 400);
        for (header, value) in
            [("Accept-Language", "pl-PL, pl;q=0.9"), ("X-Locale", "tr-TR"), ("Accept-Language", "*;q=0")]
        {
            let other = call().header(header, value).await;
            assert_eq!(
                (other.status, &other.bytes),
                (plain.status, &plain.bytes),
                "{method} {path} {header}"
            );
        }
    }
}

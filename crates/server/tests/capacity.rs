//! What callers share, and how much of it one of them may hold (ADR 0033). The limits are small, so that little fills them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame};
use serde_json::{Value, json};
use server::{BodyPace, RateLimit};
use store::StoreError;
use support::*;

const BATCH: &str = "/v1.0/$batch";

/// A body of which so much comes at once, and then a byte each time so long has passed, or nothing any more.
struct Slow {
    first: Option<Bytes>,
    every: Option<Pin<Box<tokio::time::Interval>>>,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        match &mut self.every {
            None => Poll::Pending,
            Some(every) => every.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b" "))))),
        }
    }
}

/// A POST whose body stays on its way.
async fn slow_post(world: &World, user: &str, path: &str, first: usize, length: usize) -> Request<Slow> {
    let first = (first > 0).then(|| Bytes::from(vec![b' '; first]));
    Request::builder()
        .method("POST")
        .uri(path)
        .header("host", "127.0.0.1:8080")
        .header("authorization", format!("Bearer {}", world.token(user).await))
        .header("content-type", "application/json")
        .header("content-length", length)
        .body(Slow { first, every: None })
        .unwrap()
}

/// Sends slow bodies of a user until one is refused: those that stay, and the refusal.
async fn fill(
    world: &World,
    user: &str,
    first: usize,
    length: usize,
) -> (Vec<tokio::task::JoinHandle<()>>, Answer) {
    let mut running = Vec::new();
    loop {
        let request = slow_post(world, user, REFERRALS, first, length).await;
        let app = world.app.clone();
        let mut sending = tokio::spawn(async move { app.handle(request).await });
        // Either it is refused at once, or it waits for its body.
        tokio::select! {
            biased;
            answer = &mut sending => {
                let (head, body) = answer.unwrap().into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let answer = Answer::new(head.status.as_u16(), head.headers, bytes);
                answer.check("POST", REFERRALS);
                return (running, answer);
            }
            () = turns() => running.push(tokio::spawn(async move { drop(sending.await) })),
        }
        assert!(running.len() < 1000, "nobody is refused");
    }
}

/// Lets every other task do what it can.
async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn figures(world: &World) -> String {
    String::from_utf8(world.call("GET", "/metrics").await.expect(200).bytes.to_vec()).unwrap()
}

fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().unwrap()
}

async fn held(world: &World, of: &str) -> f64 {
    figure(&figures(world).await, &format!("cosell_shares_held{{of=\"{of}\"}}"))
}

async fn refused(world: &World, of: &str) -> f64 {
    figure(&figures(world).await, &format!("cosell_refused_for_capacity_total{{of=\"{of}\"}}"))
}

#[tokio::test]
async fn slow_bodies_of_one_caller_are_refused_to_that_caller_alone() {
    let world = World::with(|options, _| options.concurrency = 30).await;
    let (running, answer) = fill(&world, CONTOSO_ADMIN, 0, 1000).await;
    assert_eq!(running.len(), 10, "a third");
    let answer = answer.refused(429, "serviceNotAvailable", "bodies", "tooManyRequests");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), (Some("1"), Some("close")));
    assert_eq!(refused(&world, "bodies").await, 1.0);
    // Six users together, of three organizations, and there is still room for one more.
    let mut all = running;
    for user in [CONTOSO_USER, CONTOSO_GLOBAL, FABRIKAM_ADMIN, FABRIKAM_USER, NORTHWIND_ADMIN] {
        all.extend(fill(&world, user, 0, 1000).await.0);
    }
    assert!(all.len() < 30, "{}", all.len());
    world.call("POST", REFERRALS).as_user(NORTHWIND_USER).json(small_deal()).await.expect(403);
    // Reads are none of it.
    world.contoso().lists("").await.expect(200);
    for sending in all {
        sending.abort();
    }
}

#[tokio::test]
async fn bodies_that_are_nearly_there_hold_no_more_memory_than_there_is() {
    let world = World::with(|options, _| options.request_memory = 8 << 20).await;
    let nearly = 900_000;
    let (running, answer) = fill(&world, CONTOSO_ADMIN, nearly, nearly + 1).await;
    answer.refused(429, "serviceNotAvailable", "memory", "tooManyRequests");
    assert_eq!(running.len(), 3, "a third of 8 MiB");
    assert!(held(&world, "memory").await >= 3.0 * nearly as f64);
    let mut all = running;
    for user in [CONTOSO_USER, CONTOSO_GLOBAL, FABRIKAM_ADMIN, FABRIKAM_USER, NORTHWIND_USER] {
        all.extend(fill(&world, user, nearly, nearly + 1).await.0);
    }
    assert!(held(&world, "memory").await <= f64::from(8 << 20));
    // Whoever sends what people send finds room.
    world.call("POST", REFERRALS).as_user(NORTHWIND_ADMIN).json(small_deal()).await.expect(201);
    for sending in all {
        sending.abort();
        let _ = sending.await;
    }
}

#[tokio::test]
async fn what_was_held_is_given_back_when_the_client_goes() {
    let world = World::with(|options, _| options.concurrency = 30).await;
    let request = slow_post(&world, CONTOSO_ADMIN, REFERRALS, 500, 1000).await;
    let app = world.app.clone();
    let mut sending = Box::pin(async move { app.handle(request).await });
    tokio::select! {
        biased;
        _ = &mut sending => panic!("its body is not there"),
        () = turns() => {}
    }
    assert_eq!((held(&world, "bodies").await, held(&world, "memory").await > 500.0), (1.0, true));
    drop(sending);
    for of in ["requests", "bodies", "memory", "answers"] {
        assert_eq!(held(&world, of).await, 0.0, "{of}");
    }
}

#[tokio::test]
async fn a_body_that_dribbles_ends_long_before_its_time() {
    let pace = BodyPace { total: Duration::from_secs(3600), window: Duration::from_millis(50) };
    let world = World::with(|options, _| options.body_pace = pace).await;
    for every in [None, Some(Duration::from_millis(5))] {
        let mut request = slow_post(&world, CONTOSO_ADMIN, REFERRALS, 500, 100_000).await;
        request.body_mut().every = every.map(|every| Box::pin(tokio::time::interval(every)));
        let answer = tokio::time::timeout(DEADLINE, world.app.handle(request)).await.unwrap();
        assert_eq!(answer.status(), 408, "{every:?}");
        assert_eq!(answer.headers()["connection"], "close");
    }
    assert_eq!(held(&world, "memory").await, 0.0);
}

#[tokio::test]
async fn nobody_without_a_token_holds_a_body() {
    let world = World::with(|options, _| options.concurrency = 3).await;
    for _ in 0..10 {
        let mut request = slow_post(&world, CONTOSO_ADMIN, REFERRALS, 0, 1000).await;
        request.headers_mut().remove("authorization");
        assert_eq!(world.app.handle(request).await.status(), 401);
    }
    // The sandbox's issuer takes forms of strangers: in a place of their own.
    let mut running = Vec::new();
    let path = "/common/oauth2/token";
    for _ in 0..3 {
        let request = slow_post(&world, CONTOSO_ADMIN, path, 0, 1000).await;
        let app = world.app.clone();
        running.push(tokio::spawn(async move { app.handle(request).await.status() }));
        turns().await;
    }
    assert!(running.pop().unwrap().is_finished(), "refused");
    assert_eq!(held(&world, "bodies").await, 0.0);
    world.contoso().posts(small_deal()).await.expect(201);
    running.iter().for_each(|sending| sending.abort());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_requests_of_one_caller_are_a_share_of_all() {
    let world = World::with(|options, _| options.concurrency = 9).await;
    let token = world.token(CONTOSO_ADMIN).await;
    world.store.hold_commits();
    let mut running = Vec::new();
    for _ in 0..3 {
        let request = Request::builder()
            .method("POST")
            .uri(REFERRALS)
            .header("host", "127.0.0.1:8080")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(Bytes::from(small_deal().to_string())));
        let (mut request, app) = (request.unwrap(), world.app.clone());
        request.headers_mut().insert("transfer-encoding", "chunked".parse().unwrap());
        running.push(tokio::spawn(async move { app.handle(request).await.status() }));
        world.store.commit_waits().await;
    }
    let refusal = world.contoso().lists("").await;
    refusal.refused(429, "serviceNotAvailable", "requests", "tooManyRequests");
    world.fabrikam().lists("").await.expect(200);
    world.call("GET", "/livez").await.expect(200);
    world.store.release_commits();
    for one in running {
        assert_eq!(one.await.unwrap(), 201);
    }
    world.contoso().lists("").await.expect(200);
}

#[tokio::test]
async fn who_does_not_take_answers_gets_no_more_of_them_and_others_do() {
    let world = World::with(|options, _| options.answer_memory = 300_000).await;
    for _ in 0..30 {
        world.contoso().own_deal().await;
        world.fabrikam().own_deal().await;
    }
    let token = world.token(CONTOSO_ADMIN).await;
    let get = || {
        Request::builder()
            .uri(REFERRALS)
            .header("host", "127.0.0.1:8080")
            .header("authorization", format!("Bearer {token}"))
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap()
    };
    let mut unread = Vec::new();
    let refusal = loop {
        let answer = world.app.handle(get()).await;
        if answer.status() != 200 {
            break answer;
        }
        unread.push(answer);
        assert!(unread.len() < 20, "nobody is refused");
    };
    assert_eq!(refusal.status(), 429);
    assert!(!unread.is_empty());
    let refusal = world.contoso().lists("").await;
    refusal.refused(429, "serviceNotAvailable", "answers", "tooManyRequests");
    assert!(refused(&world, "answers").await >= 2.0);
    world.fabrikam().lists("").await.expect(200);
    drop(unread);
    world.contoso().lists("").await.expect(200);
    assert_eq!(held(&world, "answers").await, 0.0);
}

#[tokio::test]
async fn a_body_of_countless_values_is_refused_and_one_with_commas_in_texts_is_not() {
    let world = World::extended().await;
    let values = format!("{{\"x\":[{}0]}}", "0,".repeat(450_000));
    assert!(values.len() < 1 << 20);
    for (path, body) in [(REFERRALS, values.clone()), (BATCH, format!("{{\"requests\":[],\"x\":{values}}}"))]
    {
        let call = world.call("POST", path).as_user(CONTOSO_ADMIN).header("content-type", "application/json");
        call.body(body).await.refused(413, "invalidRequest", "body", "requestTooLarge");
    }
    let mut deal = small_deal();
    deal["unknown"] = ",[{".repeat(160_000).into();
    world.contoso().posts(deal).await.expect(201);
}

// ---- batches ----

/// A referral of some 300 KB.
async fn large(world: &World) -> Made {
    let mut deal = small_deal();
    let person = json!({ "firstName": "A".repeat(1000), "lastName": "B".repeat(1000), "email": "ann@contoso.example" });
    deal["team"] = Value::Array(vec![person; 150]);
    let made = world.contoso().posts(deal).await.expect(201);
    assert!(made.bytes.len() > 300_000, "{}", made.bytes.len());
    Made { path: format!("{REFERRALS}/{}", made.text("id")), id: made.text("id") }
}

struct Made {
    path: String,
    id: String,
}

fn renames(path: &str, count: usize, group: bool) -> Value {
    let rename = |number: usize| {
        let body = json!([{ "op": "replace", "path": "/name", "value": format!("Name {number}") }]);
        let mut request = json!({ "id": format!("{number}"), "method": "patch", "url": path, "body": body });
        if group {
            request["atomicityGroup"] = "g".into();
        }
        request
    };
    json!({ "requests": (0..count).map(rename).collect::<Vec<_>>() })
}

async fn statuses(world: &World, body: Value) -> Vec<u64> {
    let answer = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).json(body).await.expect(200);
    let responses = answer.body["responses"].as_array().unwrap();
    responses.iter().map(|response| response["status"].as_u64().unwrap()).collect()
}

async fn extended(choose: impl FnOnce(&mut server::ServerOptions)) -> World {
    World::with(|options, policy| {
        options.mode = referral::ApiMode::Extended;
        policy.request_options.mode = referral::ApiMode::Extended;
        choose(options);
    })
    .await
}

#[tokio::test]
async fn many_changes_of_one_referral_in_a_group_hold_its_newest_version_alone() {
    // Forty versions of 300 KB would be 12 MB.
    let world = extended(|options| {
        options.request_memory = 16 << 20;
        options.batch_work = Duration::from_secs(3600);
    })
    .await;
    let large = large(&world).await;
    assert_eq!(statuses(&world, renames(&large.path, 40, true)).await, vec![204; 40]);
    let kept = world.stored_bytes(&large.id).await;
    assert_eq!(kept.version, 41);
    let name: Value = serde_json::from_str(&kept.document).unwrap();
    assert_eq!(name["name"], "Name 39");
    let told: Vec<u64> = world.log(CONTOSO).await.iter().map(|entry| entry.version).collect();
    assert_eq!(told, (1..=41).collect::<Vec<u64>>(), "each is in the log");
    assert_eq!(world.contoso().sees(&large.id).await.body["name"], "Name 39");
    assert_eq!(held(&world, "memory").await, 0.0);
}

#[tokio::test]
async fn a_group_that_stages_more_than_its_caller_may_hold_changes_nothing() {
    let world = extended(|options| options.request_memory = 8 << 20).await;
    let large = large(&world).await;
    let before = world.stored_bytes(&large.id).await;
    let mut body = renames(&large.path, 24, true);
    for request in body["requests"].as_array_mut().unwrap() {
        request["headers"] = json!({ "prefer": "return=representation" });
    }
    let statuses = statuses(&world, body).await;
    assert!(statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 424 | 429)), "{statuses:?}");
    assert_eq!(world.stored_bytes(&large.id).await, before);
    assert_eq!(held(&world, "memory").await, 0.0);
}

#[tokio::test]
async fn a_batch_that_takes_too_much_work_is_ended_and_a_group_not_begun_to_be_written() {
    let world = extended(|options| options.batch_work = Duration::ZERO).await;
    let deal = world.contoso().own_deal().await;
    assert_eq!(statuses(&world, renames(&deal.path(), 3, false)).await, [204, 413, 413]);
    let before = world.stored_bytes(&deal.id).await;
    let answer = world.call("POST", BATCH).as_user(CONTOSO_ADMIN).json(renames(&deal.path(), 3, true)).await;
    let responses = answer.expect(200).body["responses"].clone();
    assert_eq!(responses[1]["status"], 413, "{responses}");
    assert_eq!(responses[1]["body"]["error"]["target"], "batch");
    assert_eq!(world.stored_bytes(&deal.id).await, before);
    assert_eq!(refused(&world, "batch").await, 3.0);
}

#[tokio::test]
async fn lists_in_a_batch_are_answered_up_to_the_share_of_the_caller_and_no_further() {
    let world = extended(|options| options.request_memory = 1 << 20).await;
    for _ in 0..50 {
        world.contoso().own_deal().await;
    }
    let lists = |count: usize| {
        let get = |number: usize| json!({ "id": format!("{number}"), "method": "get", "url": REFERRALS });
        json!({ "requests": (0..count).map(get).collect::<Vec<_>>() })
    };
    assert_eq!(statuses(&world, lists(1)).await, [200]);
    let many = statuses(&world, lists(40)).await;
    assert!(many.starts_with(&[200]) && many.ends_with(&[429]), "{many:?}");
    assert_eq!(held(&world, "memory").await, 0.0);
}

// ---- every refusal ----

#[tokio::test]
async fn every_refusal_for_capacity_says_when_to_come_again_and_is_counted() {
    let mut seen = Vec::new();
    // The rate of a caller.
    let world =
        World::with(|options, _| options.rate = Some(RateLimit { per_second: 0.1, burst: 1.0 })).await;
    world.contoso().lists("").await.expect(200);
    seen.push(("rate", world.contoso().lists("").await, refused(&world, "rate").await));
    // The time of a request.
    let world = World::with(|options, _| options.deadline = Duration::from_millis(30)).await;
    let request = slow_post(&world, CONTOSO_ADMIN, REFERRALS, 10, 1000).await;
    let (head, body) = world.app.handle(request).await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let answer = Answer::new(head.status.as_u16(), head.headers, bytes);
    seen.push(("deadline", answer, refused(&world, "deadline").await));
    // Places that are full.
    for (of, requests, memory, answers) in [("memory", 100, 10, 1 << 20), ("answers", 100, 1 << 20, 10)] {
        let world = World::with(|options, _| {
            (options.concurrency, options.request_memory, options.answer_memory) =
                (requests, memory, answers);
        })
        .await;
        let answer = match of {
            "memory" => world.contoso().posts(small_deal()).await,
            _ => {
                world.plants(20, |_, _| ()).await;
                world.contoso().lists("").await
            }
        };
        seen.push((of, answer, refused(&world, of).await));
    }
    for (of, answer, counted) in seen {
        assert!(matches!(answer.status, 429 | 503), "{of}: {}", answer.status);
        let seconds: u64 = answer.header("retry-after").unwrap_or_else(|| panic!("{of}")).parse().unwrap();
        assert!(seconds >= 1, "{of}");
        assert_eq!(answer.body["error"]["code"], "serviceNotAvailable", "{of}");
        answer.check("GET", REFERRALS);
        assert!(counted >= 1.0, "{of} is not counted");
    }
    // What the store cannot take is another matter, and told in the same form.
    let world = World::new().await;
    world.store.trouble_commits(Some(Trouble::Error(StoreError::Unavailable("gone".to_owned()))));
    let answer = world.contoso().posts(small_deal()).await.expect(503);
    assert!(answer.header("retry-after").is_some());
}

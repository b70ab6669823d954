//! Several requests on one connection, bodies that are late or unwanted, answers without a body.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;
mod wire;

use std::time::Duration;

use net::ServeOptions;
use support::*;
use wire::{Server, request};

#[tokio::test]
async fn refusals_do_not_wait_for_the_body_nor_invite_it() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let ask = |path: &str, headers: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n{headers}\r\n"
        )
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for (bytes, status) in [
        (ask("/nowhere", ""), 404),
        (ask("/livez", ""), 405),
        (ask(REFERRALS, ""), 401),
        (ask(REFERRALS, &format!("{bearer}Accept: text/html\r\n")), 406),
        (ask(REFERRALS, &format!("{bearer}Content-Type: text/plain\r\n")), 415),
        (ask(REFERRALS, &format!("{bearer}Content-Type: application/json\r\n")), 413),
    ] {
        let mut connection = server.connect().await;
        connection.send(bytes).await;
        // The first thing that comes is the refusal, no "100 Continue".
        assert_eq!(connection.next("POST").await.unwrap().status, status);
    }
    // A body that is wanted is invited.
    let deal = small_deal().to_string();
    let mut connection = server.connect().await;
    connection
        .send(request(&token, &format!("Expect: 100-continue\r\nContent-Length: {}", deal.len()), ""))
        .await;
    assert_eq!(connection.next("POST").await.unwrap().status, 100);
    connection.send(deal).await;
    assert_eq!(connection.next("POST").await.unwrap().status, 201);
    server.stop().await;
}

#[tokio::test]
async fn who_sends_too_much_still_gets_to_read_why() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    for headers in ["Content-Length: 3000000", "Transfer-Encoding: chunked"] {
        let mut connection = server.connect().await;
        connection.send(request(&token, headers, "")).await;
        if headers.starts_with("Transfer") {
            connection.send("2dc6c0\r\n").await;
        }
        connection.send(vec![b' '; 3_000_000]).await;
        let reply = connection.reply("POST").await.unwrap_or_else(|| panic!("no answer: {headers}"));
        assert!(reply.status == 413 && reply.is_ours_and_last(), "{reply:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let deal = small_deal().to_string();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let mut connection = server.connect().await;
    let pipeline = [
        get("/livez"),
        request(&token, &format!("Content-Length: {}", deal.len()), &deal),
        get("/nowhere"),
        format!("HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n{}", get(REFERRALS)),
    ];
    connection.send(pipeline.concat()).await;
    let mut statuses = Vec::new();
    for method in ["GET", "POST", "GET", "HEAD", "GET"] {
        let reply = connection.reply(method).await.unwrap();
        statuses.push(reply.status);
        if statuses.len() == 5 {
            assert_eq!(reply.json()["@odata.count"], 1, "the list saw the POST before it");
        }
    }
    assert_eq!(statuses, [200, 201, 404, 200, 200]);
    // A request with two lengths is found out in second place, too.
    connection.send(format!(
        "{}POST {REFERRALS} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{}",
        get("/livez"),
        get("/livez"),
    )).await;
    assert_eq!(connection.reply("GET").await.unwrap().status, 200);
    let second = connection.reply("POST").await.unwrap();
    assert!(second.status == 400 && second.is_ours_and_last(), "{second:?}");
    assert!(connection.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn a_chunked_request_right_behind_a_body_is_refused_for_its_head_was_not_seen() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let deal = small_deal().to_string();
    let chunked = format!("{:x}\r\n{deal}\r\n0\r\n\r\n", deal.len());
    let first = request(&token, &format!("Content-Length: {}", deal.len()), &deal);
    let mut connection = server.connect().await;
    let both = request(&token, "Content-Length: 5\r\nTransfer-Encoding: chunked", &chunked);
    connection.send(format!("{first}{both}")).await;
    assert_eq!(connection.reply("POST").await.unwrap().status, 201);
    let second = connection.reply("POST").await.unwrap();
    assert!(second.status == 400 && second.is_ours_and_last(), "{second:?}");
    assert!(connection.is_closed().await);
    // One after the other, as clients send them, chunked bodies are as good as any.
    let mut connection = server.connect().await;
    for _ in 0..3 {
        connection.send(request(&token, "Transfer-Encoding: chunked", &chunked)).await;
        assert_eq!(connection.reply("POST").await.unwrap().status, 201);
    }
    server.stop().await;
}

#[tokio::test]
async fn bodies_that_come_slowly_keep_nobody_from_reading() {
    let world = World::with(|options, _| options.concurrency = 1).await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let mut slow = server.connect().await;
    slow.send(request(&token, "Expect: 100-continue\r\nContent-Length: 1000", "")).await;
    assert_eq!(slow.next("POST").await.unwrap().status, 100, "the body is awaited");
    let get = format!("GET {REFERRALS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(server.ask(get).await.unwrap().status, 200);
    // Another body finds no place.
    let refused = server.ask(request(&token, "Content-Length: 2", "{}")).await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    drop(slow);
    server.stop().await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_refusal_whose_body_was_read() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let mut connection = server.connect().await;
    for (body, status) in [("{", 400), ("{}", 400), ("[]", 400), (&*small_deal().to_string(), 201)] {
        connection.send(request(&token, &format!("Content-Length: {}", body.len()), body)).await;
        let reply = connection.reply("POST").await.unwrap();
        assert_eq!((reply.status, reply.header("connection")), (status, None), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_was_not_wanted_is_never_taken_for_a_request() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let hidden = format!("GET {REFERRALS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let length = hidden.len();
    for head in [
        format!("POST {REFERRALS} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"),
        format!("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"),
        format!("GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"),
        format!("DELETE /livez HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"),
        format!("POST /livez HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"),
    ] {
        for split in [false, true] {
            let mut connection = server.connect().await;
            if split {
                connection.send(&head).await;
                let first = connection.reply("POST").await.unwrap();
                assert_ne!(first.status, 201);
                connection.send(&hidden).await;
            } else {
                connection.send(format!("{head}{hidden}")).await;
                connection.reply("POST").await.unwrap();
            }
            connection.finish().await;
            let other = connection.reply("GET").await;
            assert!(other.is_none(), "the body was taken for a request: {head:?} {other:?}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_slow_head_is_cut_off() {
    let world = World::new().await;
    let options = ServeOptions { header_timeout: Duration::from_millis(100), ..ServeOptions::default() };
    let server = Server::start(&world, options).await;
    for bytes in ["", "GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        let mut connection = server.connect().await;
        connection.send(bytes).await;
        assert!(connection.is_closed().await, "{bytes:?}");
    }
    // In time is in time.
    assert_eq!(server.ask("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap().status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_never_comes_meets_the_deadline() {
    let world = World::with(|options, _| options.deadline = Duration::from_millis(100)).await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    for (headers, body) in
        [("Content-Length: 100", ""), ("Content-Length: 100", "{"), ("Transfer-Encoding: chunked", "5\r\n{")]
    {
        let mut connection = server.connect().await;
        connection.send(request(&token, headers, body)).await;
        let reply = connection.reply("POST").await.unwrap();
        assert_eq!((reply.status, reply.header("connection")), (503, Some("close")), "{headers} {body}");
        assert_eq!(reply.json(), example("error.503.unavailable.json"));
        assert!(connection.is_closed().await);
    }
    assert_eq!(world.count(CONTOSO).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn answers_without_a_body_end_at_their_head() {
    let world = World::extended().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let deal = world.contoso().own_deal().await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let mut connection = server.connect().await;
    let ask = |method: &str, extra: &str| {
        format!(
            "{method} {} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{extra}\r\n",
            deal.path()
        )
    };
    connection.send(ask("GET", "")).await;
    let whole = connection.reply("GET").await.unwrap();
    connection.send(ask("HEAD", "")).await;
    let head = connection.reply("HEAD").await.unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, whole.header("content-length")));
    connection.send(ask("GET", "If-None-Match: *\r\n")).await;
    assert_eq!(connection.reply("GET").await.unwrap().status, 304);
    let patch = r#"[{"op":"replace","path":"/name","value":"x"}]"#;
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", patch.len());
    connection.send(format!("{}{patch}", ask("PATCH", &headers))).await;
    assert_eq!(connection.reply("PATCH").await.unwrap().status, 204);
    // Had any of them sent a body, this would not be read as an answer.
    connection.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(connection.reply("GET").await.unwrap().status, 200);
    server.stop().await;
}

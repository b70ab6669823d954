//! HTTP/1.1 strictness of the whole server: bytes in, bytes out.
//!
//! The first test states the checks of the public h1spec suite (uNetworking/h1spec) in our own words; the others
//! what RFC 9112 asks for beyond them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;
mod wire;

use std::ops::RangeInclusive;

use net::ServeOptions;
use support::*;
use wire::{Server, request};

const OK: RangeInclusive<u16> = 200..=299;
const BAD: RangeInclusive<u16> = 400..=499;
const ERROR: RangeInclusive<u16> = 400..=599;

/// Heads that are not whole yet: the server must wait.
const UNFINISHED: [&str; 15] = [
    "G",
    "GET ",
    "GET /livez",
    "GET /livez ",
    "GET /livez HTTP",
    "GET /livez HTTP/1.1",
    "GET /livez HTTP/1.1\r",
    "GET /livez HTTP/1.1\r\n",
    "GET /livez HTTP/1.1\r\nHos",
    "GET /livez HTTP/1.1\r\nHost:",
    "GET /livez HTTP/1.1\r\nHost: ",
    "GET /livez HTTP/1.1\r\nHost: localhost",
    "GET /livez HTTP/1.1\r\nHost: localhost\r",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\n",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r",
];

/// Name, bytes, the status that the answer must have.
fn whole(token: &str) -> Vec<(&'static str, String, RangeInclusive<u16>)> {
    let get = |rest: &str| format!("GET /livez HTTP/1.1\r\n{rest}\r\n\r\n");
    let post = |rest: &str, body: &str| {
        format!(
            "POST {REFERRALS} HTTP/1.1\r\nHost: example.com\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n{rest}\r\n\r\n{body}"
        )
    };
    let deal = small_deal().to_string();
    vec![
        ("no HTTP version", "GET /livez \r\n\r\n".to_owned(), ERROR),
        ("Expect: 100-continue", get("Host: example.com\r\nExpect: 100-continue"), OK),
        ("a valid GET", get("Host: example.com"), OK),
        ("edge cases of a valid GET", get("hoSt:\texample.com\r\nempty:"), OK),
        ("invalid characters in a name", get("Host: example.com\r\nX-Invalid[]: test"), BAD),
        // No byte of the body follows: the refusal must not wait for it.
        ("no Host", get("Content-Length: 5"), BAD),
        ("two Hosts", get("Host: example.com\r\nHost: example.org"), BAD),
        (
            "overflowing negative Content-Length",
            get("Host: example.com\r\nContent-Length: -123456789123456789123456789"),
            BAD,
        ),
        ("negative Content-Length", get("Host: example.com\r\nContent-Length: -1234"), BAD),
        ("letters in Content-Length", get("Host: example.com\r\nContent-Length: abc"), BAD),
        ("an empty value", get("Host: example.com\r\nX-Empty-Header: "), OK),
        ("a control character in a value", get("Host: example.com\r\nX-Bad-Control-Char: test\x07"), BAD),
        ("HTTP/9.9", "GET /livez HTTP/9.9\r\nHost: example.com\r\n\r\n".to_owned(), ERROR),
        (
            "junk before the method",
            "Extra lineGET /livez HTTP/1.1\r\nHost: example.com\r\n\r\n".to_owned(),
            ERROR,
        ),
        ("an invalid line ending", get("Host: example.com\r\n\rSome-Header: Test"), BAD),
        ("a POST with a body", post(&format!("Content-Length: {}", deal.len()), &deal), OK),
        // No byte of the body follows here either.
        (
            "Transfer-Encoding and Content-Length",
            get("Host: example.com\r\nTransfer-Encoding: chunked\r\nContent-Length: 5"),
            BAD,
        ),
        (
            "a chunked POST",
            post("Transfer-Encoding: chunked", &format!("{:x}\r\n{deal}\r\n0\r\n\r\n", deal.len())),
            OK,
        ),
    ]
}

#[tokio::test]
async fn every_check_of_the_public_suite_passes() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let mut failed = Vec::new();
    let mut waiting = tokio::task::JoinSet::new();
    for bytes in UNFINISHED {
        let mut connection = server.connect().await;
        connection.send(bytes).await;
        waiting.spawn(async move { (bytes, connection.is_silent().await) });
    }
    let checks = whole(&token);
    let all = checks.len() + waiting.len();
    for (name, bytes, expected) in checks {
        let status = server.ask(bytes).await.map(|reply| reply.status);
        if !status.is_some_and(|status| expected.contains(&status)) {
            failed.push(format!("{name}: {status:?}"));
        }
    }
    while let Some(silent) = waiting.join_next().await {
        let (bytes, silent) = silent.unwrap();
        if !silent {
            failed.push(format!("{bytes:?}: did not wait"));
        }
    }
    assert!(failed.is_empty(), "{} of {all} failed: {failed:#?}", failed.len());
    assert_eq!(all, 33);
    server.stop().await;
}

#[tokio::test]
async fn a_request_names_one_valid_host() {
    let world = World::new().await;
    let server = Server::start(&world, ServeOptions::default()).await;
    for host in [
        "Host: a b",
        "Host: a/b",
        "Host: user@a",
        "Host: a,b",
        "Host: a, a",
        "Host:",
        "Host:  ",
        "Host: a:b",
        "Host: http://a",
        "Host: [::1",
        "Host: a\r\nHost: a",
        "Host: a\r\nhost: b",
        "Host: \u{fc}",
        "X: y",
    ] {
        let reply = server
            .ask(format!("POST {REFERRALS} HTTP/1.1\r\n{host}\r\nContent-Length: 9\r\n\r\n"))
            .await
            .unwrap();
        assert_eq!(reply.status, 400, "{host:?}");
        assert!(reply.is_ours_and_last(), "{host:?} {reply:?}");
        assert_eq!(reply.json()["error"]["target"], "Host", "{host:?}");
    }
    for host in ["a", "a:8080", "A.Example", "127.0.0.1:1", "[::1]", "[::1]:8080", "a-b.c_d"] {
        let reply = server.ask(format!("GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.unwrap();
        assert_eq!(reply.status, 200, "{host}");
    }
    // HTTP/1.0 knows no Host; its connection ends with the answer.
    let mut old = server.connect().await;
    old.send("GET /livez HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.reply("GET").await.unwrap().status, 200);
    assert!(old.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn targets_other_than_a_path_are_understood_or_refused() {
    let world = World::new().await;
    let server = Server::start(&world, ServeOptions::default()).await;
    for (line, status) in [
        ("GET http://a/livez", 200),
        ("GET http://elsewhere.example/livez", 200),
        ("GET /livez#fragment", 200),
        ("GET /livez?a=%zz", 200),
        ("OPTIONS *", 204),
        ("GET *", 400),
        ("GET a", 400),
        ("GET livez/x", 400),
        ("CONNECT a:443", 400),
        ("CONNECT /livez", 400),
        ("GET /v1.0/engagements/referrals/\u{fc}", 401),
        ("GET /\u{fc}", 404),
        ("GET /%00", 404),
        ("GET /livez/../livez", 404),
        ("GET //livez", 404),
        ("BREW /livez", 405),
        ("GET /li vez", 400),
        ("G@T /livez", 400),
        ("GET", 400),
    ] {
        let reply = server.ask(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n")).await.unwrap();
        assert_eq!(reply.status, status, "{line}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_has_one_clear_length() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let deal = small_deal().to_string();
    let chunks = format!("{:x}\r\n{deal}\r\n0\r\n\r\n", deal.len());
    let length = deal.len();
    // What is ours to refuse says so, and closes, so that no rest of it is taken for a request.
    for (headers, body) in [
        (format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), &chunks),
        (format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"), &chunks),
        (format!("transfer-encoding: Chunked\r\ncontent-length: {length}"), &chunks),
        ("Transfer-Encoding: gzip, chunked".to_owned(), &chunks),
        ("Transfer-Encoding: chunked, chunked".to_owned(), &chunks),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked".to_owned(), &chunks),
    ] {
        let mut connection = server.connect().await;
        connection.send(request(&token, &headers, body)).await;
        connection.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let reply = connection.reply("POST").await.unwrap();
        assert!(reply.status == 400 && reply.is_ours_and_last(), "{headers:?} {reply:?}");
        assert!(connection.is_closed().await, "{headers:?}");
    }
    // What the layer below refuses, it refuses bare.
    for headers in [
        "Transfer-Encoding: gzip".to_owned(),
        "Transfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: chunked, gzip".to_owned(),
        format!("Content-Length: {length}\r\nContent-Length: {}", length + 1),
        format!("Content-Length: +{length}"),
        format!("Content-Length: {length}, {length}"),
    ] {
        let reply = server.ask(request(&token, &headers, &deal)).await.unwrap();
        assert_eq!(reply.status, 400, "{headers:?}");
    }
    assert_eq!(world.count(CONTOSO).await, 0);
    // The same length twice is one length (RFC 9112, 6.3).
    let twice = format!("Content-Length: {length}\r\nContent-Length: {length}");
    assert_eq!(server.ask(request(&token, &twice, &deal)).await.unwrap().status, 201);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_no_chunk_is_400_and_creates_nothing() {
    let world = World::new().await;
    let token = world.token(CONTOSO_ADMIN).await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let deal = small_deal().to_string();
    let (length, size) = (deal.len(), format!("{:x}", deal.len()));
    for (what, headers, body) in [
        ("size is no number", "Transfer-Encoding: chunked".to_owned(), format!("xyz\r\n{deal}\r\n0\r\n\r\n")),
        (
            "size overflows",
            "Transfer-Encoding: chunked".to_owned(),
            format!("fffffffffffffffff\r\n{deal}\r\n0\r\n\r\n"),
        ),
        (
            "chunk without its end",
            "Transfer-Encoding: chunked".to_owned(),
            format!("{size}\r\n{deal}XX0\r\n\r\n"),
        ),
        (
            "half-closed within chunks",
            "Transfer-Encoding: chunked".to_owned(),
            format!("{size}\r\n{deal}\r\n"),
        ),
        ("half-closed before the length", format!("Content-Length: {}", length + 1), deal.clone()),
    ] {
        let mut connection = server.connect().await;
        connection.send(request(&token, &headers, &body)).await;
        connection.finish().await;
        let reply = connection.reply("POST").await.unwrap_or_else(|| panic!("no answer: {what}"));
        assert!(reply.status == 400 && reply.is_ours_and_last(), "{what} {reply:?}");
        assert_eq!(reply.json()["error"]["innerError"]["code"], "malformedJson", "{what}");
        assert!(connection.is_closed().await, "{what}");
    }
    assert_eq!(world.count(CONTOSO).await, 0);
    // Extensions and trailers are no fault, and who has finished sending still gets the answer.
    let mut connection = server.connect().await;
    let body = format!("{size};name=value\r\n{deal}\r\n0\r\nTrailer: x\r\n\r\n");
    connection.send(request(&token, "Transfer-Encoding: chunked", &body)).await;
    connection.finish().await;
    assert_eq!(connection.reply("POST").await.unwrap().status, 201);
    server.stop().await;
}

#[tokio::test]
async fn heads_have_a_limit() {
    let world = World::new().await;
    let server = Server::start(&world, ServeOptions::default()).await;
    let fields: String = (0..120).map(|at| format!("X-{at}: y\r\n")).collect();
    for bytes in [
        format!("GET /livez HTTP/1.1\r\nHost: a\r\n{fields}\r\n"),
        format!("GET /livez HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(70_000)),
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)),
    ] {
        let reply = server.ask(&bytes).await.unwrap();
        assert!(matches!(reply.status, 414 | 431), "{}", reply.status);
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(30_000));
    assert_eq!(server.ask(long).await.unwrap().status, 404);
    server.stop().await;
}

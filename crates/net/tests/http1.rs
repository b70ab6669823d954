//! What the HTTP/1.1 layer accepts and refuses by itself, before any code of the server: raw bytes in, status out. The
//! server checks that `Host` is present, single and valid; this layer does not.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use net::ServeOptions;
use support::{Echo, Server, exchange, read_answer};
use tokio::io::AsyncWriteExt;

/// Name, bytes sent (then the sending side is closed), status of the first response. 400 comes from hyper; the echo
/// service answers 422 for an incomplete body and 409 for a request marked with both lengths.
const TABLE: &[(&str, &str, u16)] = &[
    ("no version", "GET / \r\n\r\n", 400),
    ("expect without body", "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 200),
    ("valid", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("tab and empty value", "GET / HTTP/1.1\r\nhoSt:\ta\r\nempty:\r\n\r\n", 200),
    ("invalid name", "GET / HTTP/1.1\r\nHost: a\r\nX-Invalid[]: t\r\n\r\n", 400),
    ("space before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("no host", "GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 422),
    ("no host no length", "GET / HTTP/1.1\r\n\r\n", 200),
    ("two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 200),
    ("invalid host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 200),
    (
        "overflowing negative length",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -123456789123456789123456789\r\n\r\n",
        400,
    ),
    ("negative length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1234\r\n\r\n", 400),
    ("letters as length", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: abc\r\n\r\n", 400),
    ("plus in length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
    (
        "overflowing length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
        400,
    ),
    (
        "two lengths",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        400,
    ),
    (
        "same length twice",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        200,
    ),
    ("length list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
    ("empty value", "GET / HTTP/1.1\r\nHost: a\r\nX-Empty-Header: \r\n\r\n", 200),
    ("control character", "GET / HTTP/1.1\r\nHost: a\r\nX-Bad: test\x07\r\n\r\n", 400),
    ("NUL", "GET / HTTP/1.1\r\nHost: a\r\nX-Bad: te\0st\r\n\r\n", 400),
    ("bare CR in value", "GET / HTTP/1.1\r\nHost: a\r\nX-Bad: te\rst\r\n\r\n", 400),
    ("version 9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400),
    ("version 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    ("version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    ("version 1.0", "GET / HTTP/1.0\r\n\r\n", 200),
    ("junk before", "Extra lineGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("invalid line ending", "GET / HTTP/1.1\r\nHost: a\r\n\rSome-Header: Test\r\n\r\n", 400),
    ("folded header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("bare LF", "GET / HTTP/1.1\nHost: a\n\n", 200),
    ("empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("valid post", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200),
    (
        "te and length get",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        409,
    ),
    (
        "te and length post",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        409,
    ),
    (
        "length then te",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        409,
    ),
    (
        "te varying case",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
        409,
    ),
    (
        "chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
    ),
    (
        "chunked upper",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
    ),
    (
        "chunk extension and trailer",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n",
        200,
    ),
    (
        "chunk size not hex",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
        422,
    ),
    (
        "chunk size overflow",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        422,
    ),
    (
        "chunk not terminated",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n",
        422,
    ),
    ("truncated chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 422),
    ("truncated length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", 422),
    ("te gzip", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
    (
        "te gzip, chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        200,
    ),
    (
        "te chunked, gzip",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("te identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    (
        "te twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        200,
    ),
    ("te on 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("bad method", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("absolute target", "GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("connect", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("space in target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("utf-8 in target", "GET /ä HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("utf-8 in value", "GET / HTTP/1.1\r\nHost: a\r\nX: ä\r\n\r\n", 200),
    ("no colon", "GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n", 400),
    ("empty name", "GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n", 400),
];

/// For every prefix of a request, the server must wait for the rest.
const BEGINNINGS: &[&str] = &[
    "G",
    "GET ",
    "GET /hello",
    "GET /hello ",
    "GET /hello HTTP",
    "GET /hello HTTP/1.1",
    "GET /hello HTTP/1.1\r",
    "GET /hello HTTP/1.1\r\n",
    "GET /hello HTTP/1.1\r\nHos",
    "GET /hello HTTP/1.1\r\nHost:",
    "GET /hello HTTP/1.1\r\nHost: ",
    "GET /hello HTTP/1.1\r\nHost: localhost",
    "GET /hello HTTP/1.1\r\nHost: localhost\r",
    "GET /hello HTTP/1.1\r\nHost: localhost\r\n",
    "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r",
];

fn first_status(answer: &str) -> u16 {
    let rest = answer.strip_prefix("HTTP/1.1 ").or(answer.strip_prefix("HTTP/1.0 "));
    rest.and_then(|rest| rest.get(..3)).map_or(0, |code| code.parse().unwrap())
}

#[tokio::test]
async fn raw_requests_get_the_listed_status_on_a_half_closed_connection() {
    let server = Server::start(Echo, ServeOptions::default()).await;
    for (name, request, status) in TABLE {
        let answer = exchange(server.address, request).await;
        assert_eq!(first_status(&answer), *status, "{name}: {answer}");
        if *status == 400 {
            assert!(answer.contains("\r\nconnection: close\r\n"), "{name}: {answer}");
        }
    }
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_cut_request_is_finished_later_and_answered() {
    let whole = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let server = Server::start(Echo, ServeOptions::default()).await;
    for beginning in BEGINNINGS {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        // A complete second request on another connection shows that the server had time to respond.
        exchange(server.address, whole).await;
        let mut byte = [0];
        let early = stream.try_read(&mut byte);
        assert!(
            early.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock),
            "{beginning:?} was answered"
        );
        stream.write_all(&whole.as_bytes()[beginning.len()..]).await.unwrap();
        assert_eq!(first_status(&read_answer(&mut stream).await), 200, "{beginning:?}");
    }
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn heads_beyond_the_limits_get_431() {
    let server = Server::start(Echo, ServeOptions::default()).await;
    for (name, request) in [
        ("one long field", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(70_000))),
        ("101 fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101))),
        ("long target", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(66_000))),
    ] {
        assert_eq!(first_status(&exchange(server.address, &request).await), 431, "{name}");
    }
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

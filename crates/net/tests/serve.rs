//! Timeouts, limits and shutdown of the listener, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::Service;
use net::{AddressPolicy, ClientOptions, FetchError, HttpClient, ServeOptions, TlsError, TlsFiles};
use support::{Answer, Echo, PATIENCE, Server, read_answer, read_to_end};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Options with long timeouts. A test shortens those that it needs.
fn patient() -> ServeOptions {
    ServeOptions {
        header_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        write_timeout: PATIENCE,
        shutdown_grace: PATIENCE,
        ..ServeOptions::default()
    }
}

const SHORT: Duration = Duration::from_millis(60);

/// Responds when it is released, and signals when a request has arrived.
#[derive(Clone, Default)]
struct Gate {
    came: Arc<Notify>,
    go: Arc<Notify>,
}

impl Service<Request<Incoming>> for Gate {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, _request: Request<Incoming>) -> Answer {
        let gate = self.clone();
        Box::pin(async move {
            gate.came.notify_one();
            gate.go.notified().await;
            Ok(Response::new(Full::new(Bytes::from_static(b"gone through"))))
        })
    }
}

#[tokio::test]
async fn a_connection_that_never_sends_a_head_is_closed() {
    let server = Server::start(Echo, ServeOptions { header_timeout: SHORT, ..patient() }).await;
    let mut silent = server.connect().await;
    assert_eq!(read_to_end(&mut silent).await, "");
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    assert_eq!(read_to_end(&mut slow).await, "");
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_second_head_must_come_in_time_once_begun() {
    let server = Server::start(Echo, ServeOptions { header_timeout: SHORT, ..patient() }).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    read_answer(&mut stream).await;
    stream.write_all(b"GET / HTT").await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_resting_connection_outlives_the_header_time_but_not_the_idle_time() {
    let options = ServeOptions { header_timeout: SHORT, idle_timeout: SHORT * 10, ..patient() };
    let server = Server::start(Echo, options).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    read_answer(&mut stream).await;
    let rest = std::time::Instant::now();
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(rest.elapsed() >= SHORT * 9, "closed after {:?}", rest.elapsed());
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_slow_service_is_not_cut_by_the_connection_times() {
    let gate = Gate::default();
    let options = ServeOptions { header_timeout: SHORT, idle_timeout: SHORT, ..patient() };
    let server = Server::start(gate.clone(), options).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    gate.came.notified().await;
    // Another connection is closed because it is silent: the head timeout has passed.
    for _ in 0..2 {
        assert_eq!(read_to_end(&mut server.connect().await).await, "");
    }
    gate.go.notify_one();
    assert!(read_answer(&mut stream).await.ends_with("gone through"));
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

/// Responds with more than any socket buffer holds.
#[derive(Clone)]
struct Flood;

impl Service<Request<Incoming>> for Flood {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, _request: Request<Incoming>) -> Answer {
        Box::pin(async { Ok(Response::new(Full::new(Bytes::from(vec![b'x'; 64 << 20])))) })
    }
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut() {
    let server = Server::start(Flood, ServeOptions { write_timeout: SHORT, ..patient() }).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    stream.read_exact(&mut [0]).await.unwrap();
    // Nothing is read until the server has ended. It has no connection to cut, so it closed this one by itself.
    assert_eq!(server.stop().await.unwrap().cut, 0);
    let mut taken = Vec::new();
    let _ = stream.read_to_end(&mut taken).await;
    assert!(taken.len() < 64 << 20, "the whole answer came");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(Echo, patient()).await;
    let mut stream = server.connect().await;
    let post =
        |body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let all = post("first") + &post("second") + &post("third");
    stream.write_all(all.as_bytes()).await.unwrap();
    for body in ["first", "second", "third"] {
        assert!(read_answer(&mut stream).await.ends_with(body));
    }
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn beyond_the_cap_connections_wait_and_are_served_later() {
    let server =
        Server::start(Echo, ServeOptions { max_connections: 1, evict_after: PATIENCE, ..patient() }).await;
    let mut first = server.connect().await;
    first.write_all(GET).await.unwrap();
    read_answer(&mut first).await;
    let mut second = server.connect().await;
    second.write_all(GET).await.unwrap();
    first.write_all(GET).await.unwrap();
    read_answer(&mut first).await;
    assert!(second.try_read(&mut [0]).is_err(), "the second was served beside the first");
    drop(first);
    assert!(read_answer(&mut second).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn clients_that_are_waited_for_make_room_for_others_the_longest_first() {
    let options = ServeOptions { max_connections: 3, evict_after: Duration::ZERO, ..patient() };
    let server = Server::start(Echo, options).await;
    // One that never sends a head, one in the middle of a head, and one between two requests.
    let mut silent = server.connect().await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let mut resting = server.connect().await;
    resting.write_all(GET).await.unwrap();
    read_answer(&mut resting).await;
    let mut served = Vec::new();
    for oldest in [&mut silent, &mut slow, &mut resting] {
        let mut next = server.connect().await;
        next.write_all(GET).await.unwrap();
        assert!(read_answer(&mut next).await.starts_with("HTTP/1.1 200"), "there is room");
        assert_eq!(read_to_end(oldest).await, "");
        served.push(next);
    }
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_running_request_makes_no_room() {
    let gate = Gate::default();
    let options = ServeOptions { max_connections: 1, evict_after: Duration::ZERO, ..patient() };
    let server = Server::start(gate.clone(), options).await;
    let mut busy = server.connect().await;
    busy.write_all(GET).await.unwrap();
    gate.came.notified().await;
    let mut next = server.connect().await;
    next.write_all(GET).await.unwrap();
    assert!(tokio::time::timeout(SHORT * 4, gate.came.notified()).await.is_err(), "served beside the first");
    gate.go.notify_one();
    assert!(read_answer(&mut busy).await.ends_with("gone through"));
    gate.came.notified().await;
    gate.go.notify_one();
    assert!(read_answer(&mut next).await.ends_with("gone through"));
    server.stop();
}

#[tokio::test]
async fn shutdown_closes_resting_connections_and_finishes_running_requests() {
    let gate = Gate::default();
    let server = Server::start(gate.clone(), patient()).await;
    let address = server.address;
    let mut resting = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(GET).await.unwrap();
    gate.came.notified().await;
    let ending = server.stop();
    assert_eq!(read_to_end(&mut resting).await, "");
    assert!(TcpStream::connect(address).await.is_err(), "still listening");
    gate.go.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("gone through"), "{answer}");
    assert_eq!(ending.await.unwrap().cut, 0);
}

#[tokio::test]
async fn requests_that_outlast_the_grace_are_cut_and_counted() {
    let gate = Gate::default();
    let server = Server::start(gate.clone(), ServeOptions { shutdown_grace: SHORT, ..patient() }).await;
    let mut busy = server.connect().await;
    busy.write_all(GET).await.unwrap();
    gate.came.notified().await;
    assert_eq!(server.stop().await.unwrap().cut, 1);
    assert_eq!(read_to_end(&mut busy).await, "");
}

/// Panics at `/panic`.
#[derive(Clone)]
struct Fragile;

impl Service<Request<Incoming>> for Fragile {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        Box::pin(async move {
            assert!(request.uri().path() != "/panic", "asked to");
            Ok(Response::default())
        })
    }
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_no_other() {
    let server = Server::start(Fragile, patient()).await;
    let mut other = server.connect().await;
    other.write_all(GET).await.unwrap();
    read_answer(&mut other).await;
    let mut struck = server.connect().await;
    struck.write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(read_to_end(&mut struck).await, "");
    other.write_all(GET).await.unwrap();
    assert!(read_answer(&mut other).await.starts_with("HTTP/1.1 200"));
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

/// A certificate for `localhost` and 127.0.0.1, with its files.
struct Certified {
    _folder: tempfile::TempDir,
    files: TlsFiles,
}

fn certified() -> Certified {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let files = TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    Certified { _folder: folder, files }
}

fn loopback_client(extra_ca: Option<std::path::PathBuf>) -> HttpClient {
    let policy = AddressPolicy { allow_loopback: true, allow_private: false };
    HttpClient::new(ClientOptions { policy, plain_http: true, extra_ca, timeout: PATIENCE, max_body: 1000 })
        .unwrap()
}

#[tokio::test]
async fn https_works_with_certificate_files_and_only_for_those_who_trust_them() {
    let certified = certified();
    let tls = Some(certified.files.load().unwrap());
    let server = Server::start(Echo, ServeOptions { tls, ..patient() }).await;
    let trusting = loopback_client(Some(certified.files.certificate.clone()));
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}/", server.address.port());
        let answer = trusting.post(&url, "text/plain", "hello").await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello"[..]), "{url}");
    }
    let url = format!("https://localhost:{}/", server.address.port());
    let refused = loopback_client(None).get(&url).await.unwrap_err();
    assert!(matches!(refused, FetchError::Connect { .. }), "{refused}");
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn a_tls_handshake_that_never_comes_is_given_up() {
    let tls = Some(certified().files.load().unwrap());
    let server = Server::start(Echo, ServeOptions { tls, handshake_timeout: SHORT, ..patient() }).await;
    assert_eq!(read_to_end(&mut server.connect().await).await, "");
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[test]
fn unusable_certificate_files_are_named_with_the_reason() {
    let good = certified();
    let other = certified();
    let with = |certificate: &std::path::Path, key: &std::path::Path| {
        TlsFiles { certificate: certificate.to_owned(), key: key.to_owned() }.load().unwrap_err()
    };
    let (certificate, key) = (&good.files.certificate, &good.files.key);
    let missing = good.files.certificate.with_file_name("absent.pem");
    assert!(matches!(with(&missing, key), TlsError::Read { path, .. } if path == missing));
    assert!(matches!(with(certificate, &missing), TlsError::Read { path, .. } if path == missing));
    assert!(matches!(with(key, key), TlsError::Pem { wanted: "certificate", .. }));
    assert!(matches!(with(certificate, certificate), TlsError::Pem { wanted: "private key", .. }));
    assert!(matches!(with(certificate, &other.files.key), TlsError::Mismatch { .. }));
    let broken = certificate.with_file_name("broken.pem");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n").unwrap();
    assert!(matches!(with(&broken, key), TlsError::Pem { wanted: "certificate", .. }));
}

#[tokio::test]
async fn the_client_refuses_what_the_policy_forbids_literal_or_name() {
    let server = Server::start(Echo, patient()).await;
    let port = server.address.port();
    let plain = |policy| {
        HttpClient::new(ClientOptions { policy, plain_http: true, ..ClientOptions::default() }).unwrap()
    };
    let strict = plain(AddressPolicy::default());
    let private = plain(AddressPolicy { allow_private: true, allow_loopback: false });
    for client in [&strict, &private] {
        for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "0.0.0.0"] {
            let refused = client.get(&format!("http://{host}:{port}/")).await.unwrap_err();
            assert!(matches!(refused, FetchError::Forbidden { .. }), "{host}: {refused}");
        }
    }
    let mapped = loopback_client(None).get(&format!("http://[::ffff:127.0.0.1]:{port}/")).await.unwrap_err();
    assert!(matches!(mapped, FetchError::Forbidden { .. }), "{mapped}");
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn the_client_takes_only_plain_urls_of_the_permitted_scheme() {
    let default = HttpClient::new(ClientOptions::default()).unwrap();
    for url in [
        "http://example.com/",
        "ftp://example.com/",
        "/path",
        "",
        "https://u:p@example.com/",
        "https://",
        "a b",
    ] {
        let refused = default.get(url).await.unwrap_err();
        assert!(matches!(refused, FetchError::Url(..)), "{url}: {refused}");
    }
}

/// Responds with a redirect to itself, or with 1001 bytes at `/long`.
#[derive(Clone)]
struct Evasive(SocketHolder);

/// Counts the requests it has seen.
#[derive(Clone)]
struct SocketHolder(Arc<Semaphore>);

impl Service<Request<Incoming>> for Evasive {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        self.0.0.add_permits(1);
        Box::pin(async move {
            if request.uri().path() == "/long" {
                return Ok(Response::new(Full::new(Bytes::from(vec![b'x'; 1001]))));
            }
            let _ = request.into_body().collect().await;
            let redirect = Response::builder().status(302).header("location", "/again");
            Ok(redirect.body(Full::new(Bytes::new())).unwrap())
        })
    }
}

#[tokio::test]
async fn the_client_follows_no_redirect_and_takes_no_more_than_its_limit() {
    let seen = Arc::new(Semaphore::new(0));
    let server = Server::start(Evasive(SocketHolder(Arc::clone(&seen))), patient()).await;
    let client = loopback_client(None);
    let answer = client.get(&format!("http://{}/", server.address)).await.unwrap();
    assert_eq!((answer.status.as_u16(), seen.available_permits()), (302, 1));
    let refused = client.get(&format!("http://{}/long", server.address)).await.unwrap_err();
    assert!(matches!(refused, FetchError::Exchange { .. }), "{refused}");
    assert_eq!(server.stop().await.unwrap().cut, 0);
}

#[tokio::test]
async fn the_client_gives_up_on_a_silent_server_and_reports_a_closed_port() {
    let listener = net::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let policy = AddressPolicy { allow_loopback: true, allow_private: false };
    let hasty = ClientOptions { policy, plain_http: true, timeout: SHORT, ..ClientOptions::default() };
    let refused = HttpClient::new(hasty).unwrap().get(&url).await.unwrap_err();
    assert!(matches!(refused, FetchError::TimedOut(_)), "{refused}");
    drop(listener);
    let refused = loopback_client(None).get(&url).await.unwrap_err();
    assert!(
        matches!(&refused, FetchError::Connect { error, .. } if error.kind() == io::ErrorKind::ConnectionRefused),
        "{refused}"
    );
}

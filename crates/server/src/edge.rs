//! The edge: what happens to every request before and after its route.
//!
//! Ids and times, what HTTP/1.1 demands, limits, the deadline, the panic face, the log line and the figures.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use hyper::body::{Body, Incoming};
use identity::{LastToken, TokenHash};
use uuid::Uuid;

use crate::answer::{Answer, name_newest, refusal, represent};
use crate::auth::bearer;
use crate::face::Face;
use crate::headers::{Trace, joined, name};
use crate::media_range::members;
use crate::negotiation::{Representation, refuses_ours, takes_newest};
use crate::preconditions::Preconditions;
use crate::routes::{Offers, REFERRAL, Route, known_method};
use crate::{App, Shared};

/// The service of one connection.
pub struct Service {
    app: App,
    last_token: LastToken,
}

impl Service {
    pub(crate) fn new(app: App) -> Service {
        Service { app, last_token: LastToken::default() }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let app = self.app.clone();
        let token = bearer(request.headers()).ok().map(|token| self.last_token.hash(token));
        Box::pin(async move { Ok(app.0.handle(request, token).await) })
    }
}

impl App {
    /// Answers one request. Never panics, never fails.
    pub async fn handle<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.0.handle(request, None).await
    }
}

impl Shared {
    /// Answers one request, from the network or from a batch; `token` is the hash of its token where it is known.
    pub(crate) async fn handle<B>(&self, request: Request<B>, token: Option<TokenHash>) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let begun = Instant::now();
        let running = self.metrics.begin();
        let trace = self.trace(request.headers()).of_token(token);
        let head = request.method() == Method::HEAD;
        let method = known_method(request.method());
        let newest = takes_newest(request.headers());
        let asked = Representation::asked(request.headers(), request.uri(), self.mode());
        let preconditions = Preconditions::of(request.method(), request.headers());
        let mut route = "none";
        let mut answer = match self.guarded(request, trace, &mut route).await {
            Ok(answer) => answer,
            Err(face) => {
                self.report(&face, route, &trace);
                refusal(&face)
            }
        };
        if method == "PUT" && route == REFERRAL {
            self.mark_obsolete(&mut answer);
        }
        if method == "PATCH" && answer.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            self.name_patch_formats(&mut answer);
        }
        if newest {
            name_newest(&mut answer);
        }
        if let Err(face) = self.with_numbers(&mut answer, &asked).await {
            self.report(&face, route, &trace);
            answer = refusal(&face);
        }
        represent(&mut answer, &asked);
        if let Some(preconditions) = preconditions.and_then(|all| self.evaluated(all, route)) {
            answer = preconditions.hold(answer);
        }
        trace.write(answer.headers_mut());
        if head {
            without_body(&mut answer);
        }
        let took = begun.elapsed();
        drop(running);
        self.metrics.end(route, method, answer.status().as_u16(), took);
        if self.options.log_requests {
            let (status, took_us) = (answer.status().as_u16(), took.as_micros() as u64);
            tracing::info!(request.id = %trace.request_id, method, route, status, took_us, "{method} {route} {status}, {took_us} µs, {}", trace.request_id);
        }
        answer
    }

    /// The request under its limits: concurrency, deadline, and what happens when the code itself fails.
    async fn guarded<B>(
        &self,
        request: Request<B>,
        trace: Trace,
        route: &mut &'static str,
    ) -> Result<Answer, Face>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        strict_http(&request)?;
        known_expectation(request.headers())?;
        let found = Route::find(request.uri(), request.method(), self.offers())?;
        *route = found.name();
        if let Route::Health(health) = found {
            return Ok(self.health(health));
        }
        if found.speaks_odata() {
            refuses_ours(request.headers(), self.mode())?;
            self.no_isolation(request.headers())?;
        }
        let mut work = pin!(caught(self.route(found, request, trace)));
        // What is done at once needs no timer.
        if let Poll::Ready(answer) = poll_once(work.as_mut()).await {
            return answer;
        }
        match tokio::time::timeout(self.options.deadline, work).await {
            Ok(answer) => answer,
            Err(_) => Err(Face::unavailable("the deadline has passed").for_capacity("deadline").closing()),
        }
    }

    /// The preconditions of a GET that this route minds.
    fn evaluated(&self, all: Preconditions, route: &str) -> Option<Preconditions> {
        match route {
            "service" | "metadata" | "openapi" if !self.options.mode.is_extended() => {
                Some(all.only_if_none_match())
            }
            "service" | "metadata" | "openapi" | "referrals" | "below" | REFERRAL
                if self.options.mode.is_extended() =>
            {
                Some(all)
            }
            _ => None,
        }
    }

    /// 412 for a request that must see one state of all data. Source: OData 4.01 Protocol, section 8.2.6.
    fn no_isolation(&self, headers: &HeaderMap) -> Result<(), Face> {
        let wanted = headers.contains_key(name::ISOLATION) || headers.contains_key(name::ODATA_ISOLATION);
        if self.options.mode.is_extended() && wanted { Err(Face::no_isolation()) } else { Ok(()) }
    }

    /// What ties an answer to a request with these headers that arrives now.
    pub(crate) fn trace(&self, headers: &HeaderMap) -> Trace {
        Trace::of(headers, self.exchange.now(), || Uuid::from_bytes(random_guid(self.random.bytes())))
    }

    /// What this server offers beside the contract's own paths.
    pub(crate) fn offers(&self) -> Offers {
        Offers { sandbox: self.sandbox.is_some(), mode: self.options.mode }
    }

    /// A failure is logged once, here, with what the client is not told.
    pub(crate) fn report(&self, face: &Face, route: &'static str, trace: &Trace) {
        let (status, id) = (face.status.as_u16(), trace.request_id);
        if face.costly {
            self.metrics.refused_for_cost();
        }
        if let Some(of) = face.capacity {
            self.metrics.refused_for_capacity(of);
        }
        let cause = face.cause.as_deref().unwrap_or_default();
        match status {
            500 => tracing::error!(request.id = %id, route, status, cause, "request {id} failed: {cause}"),
            502.. => tracing::warn!(request.id = %id, route, status, cause, "request {id} put off: {cause}"),
            _ => {
                let inner = face.inner.as_ref().map_or("", |inner| inner.code);
                tracing::debug!(request.id = %id, route, status, inner, "request {id} refused: {status} {inner}");
            }
        }
    }
}

/// Makes sixteen random bytes a version 4 GUID.
fn random_guid(bytes: [u8; 16]) -> [u8; 16] {
    uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()
}

/// HEAD: the head of the answer to GET, with its length, and nothing after it. Answers that never have a body have no
/// length either (RFC 9110, 8.6).
fn without_body(answer: &mut Answer) {
    let bodiless = matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = answer.body().size_hint().exact().filter(|_| !bodiless) {
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *answer.body_mut() = Default::default();
}

/// 417 for an expectation that is not met. Source: RFC 9110, 10.1.1.
fn known_expectation(headers: &HeaderMap) -> Result<(), Face> {
    match joined(headers, &EXPECT) {
        Some(expected) if !members(&expected).all(|one| one.eq_ignore_ascii_case("100-continue")) => {
            Err(Face::expectation_failed(&expected))
        }
        _ => Ok(()),
    }
}

/// What HTTP/1.1 demands and the library below lets pass. Source: RFC 9112, 3.2 and 6.1.
fn strict_http<B>(request: &Request<B>) -> Result<(), Face> {
    let headers = request.headers();
    if headers.contains_key(TRANSFER_ENCODING) {
        if request.extensions().get::<net::AmbiguousLength>().is_some() {
            let message = "A request has Content-Length or Transfer-Encoding, not both.";
            return Err(Face::malformed_request("Transfer-Encoding", message));
        }
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let only_chunked =
            codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !only_chunked || codings.next().is_some() {
            return Err(Face::malformed_request("Transfer-Encoding", "The only transfer coding is chunked."));
        }
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Face::malformed_request("Host", "A request has one Host header."));
    }
    match host {
        None if request.version() >= Version::HTTP_2 => Ok(()),
        None if request.version() == Version::HTTP_11 => {
            Err(Face::malformed_request("Host", "An HTTP/1.1 request needs a Host header."))
        }
        None => Ok(()),
        Some(host) if host.to_str().is_ok_and(is_host) => Ok(()),
        Some(_) => {
            Err(Face::malformed_request("Host", "The Host header is not a host with an optional port."))
        }
    }
}

/// What nearly every client sends: a name or an IPv4 address, perhaps with a port.
fn is_plain_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok() && !port.starts_with('+')
}

/// A host with an optional port. A comma is legal in a name, but what it joins here are two hosts.
fn is_host(text: &str) -> bool {
    if is_plain_host(text) {
        return true;
    }
    let Ok(authority) = text.parse::<Authority>() else { return false };
    let Some(after) = text.strip_prefix(authority.host()) else { return false };
    let port = after.strip_prefix(':').unwrap_or(after);
    !text.contains(['@', ',']) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// A first look at some work.
async fn poll_once<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await
}

/// Turns a panic into the 500 face; the connection and the process go on.
async fn caught(work: impl Future<Output = Result<Answer, Face>>) -> Result<Answer, Face> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
                Poll::Ready(Err(Face::internal(format!("panic: {text}")).closing()))
            }
        }
    })
    .await
}

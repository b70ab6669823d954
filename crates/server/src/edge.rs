//! Processing of every request before and after its route.
//!
//! Request ids, the rules of HTTP/1.1, limits, the deadline, panics, the log line and the metrics.

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

use crate::api_error::ApiError;
use crate::auth::bearer;
use crate::headers::{RequestIds, joined_lines, name};
use crate::media_range::members;
use crate::negotiation::{Representation, accepts_newest_version, check_max_version};
use crate::preconditions::ReadPreconditions;
use crate::response::{ApiResponse, apply_representation, error_response, set_newest_version};
use crate::routes::{OfferedRoutes, REFERRAL, Route, known_method};
use crate::{App, RequestContext};

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
    type Response = ApiResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<ApiResponse, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let app = self.app.clone();
        let token = bearer(request.headers()).ok().map(|token| self.last_token.hash(token));
        Box::pin(async move { Ok(app.0.handle(request, token).await) })
    }
}

impl App {
    /// Answers one request. Never panics, never fails.
    pub async fn handle<B>(&self, request: Request<B>) -> ApiResponse
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.0.handle(request, None).await
    }
}

impl RequestContext {
    /// Answers one request, from the network or from a batch; `token` is the hash of its token where it is known.
    pub(crate) async fn handle<B>(&self, request: Request<B>, token: Option<TokenHash>) -> ApiResponse
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let begun = Instant::now();
        let running = self.metrics.start_request();
        let request_ids = self.request_ids(request.headers()).with_token(token);
        let head = request.method() == Method::HEAD;
        let method = known_method(request.method());
        let newest = accepts_newest_version(request.headers());
        let asked = Representation::from_request(request.headers(), request.uri(), self.mode());
        let preconditions = ReadPreconditions::from_request(request.method(), request.headers());
        let mut route = "none";
        let mut response = match self.route_with_limits(request, request_ids, &mut route).await {
            Ok(response) => response,
            Err(api_error) => {
                self.log_error(&api_error, route, &request_ids);
                error_response(&api_error)
            }
        };
        if method == "PUT" && route == REFERRAL {
            self.add_deprecation(&mut response);
        }
        if method == "PATCH" && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            self.add_accept_patch(&mut response);
        }
        if newest {
            set_newest_version(&mut response);
        }
        if let Err(api_error) = self.write_numbers_as_strings(&mut response, &asked).await {
            self.log_error(&api_error, route, &request_ids);
            response = error_response(&api_error);
        }
        apply_representation(&mut response, &asked);
        if let Some(preconditions) = preconditions.and_then(|all| self.applicable_preconditions(all, route)) {
            response = preconditions.apply(response);
        }
        request_ids.write(response.headers_mut());
        if head {
            strip_body(&mut response);
        }
        let took = begun.elapsed();
        drop(running);
        self.metrics.record_request(route, method, response.status().as_u16(), took);
        if self.options.log_requests {
            let (status, took_us) = (response.status().as_u16(), took.as_micros() as u64);
            tracing::info!(request.id = %request_ids.request_id, method, route, status, took_us, "{method} {route} {status}, {took_us} µs, {}", request_ids.request_id);
        }
        response
    }

    /// Routes the request under its limits: framing, deadline and panics.
    async fn route_with_limits<B>(
        &self,
        request: Request<B>,
        request_ids: RequestIds,
        route: &mut &'static str,
    ) -> Result<ApiResponse, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        validate_framing(&request)?;
        check_expectation(request.headers())?;
        let found = Route::find(request.uri(), request.method(), self.offered_routes())?;
        *route = found.name();
        if let Route::Health(health) = found {
            return Ok(self.health(health));
        }
        if found.speaks_odata() {
            check_max_version(request.headers(), self.mode())?;
            self.refuse_isolation(request.headers())?;
        }
        let mut work = pin!(catch_panic(self.route(found, request, request_ids)));
        // A request that completes immediately needs no timer.
        if let Poll::Ready(response) = poll_once(work.as_mut()).await {
            return response;
        }
        match tokio::time::timeout(self.options.deadline, work).await {
            Ok(response) => response,
            Err(_) => Err(ApiError::unavailable("the deadline has passed")
                .for_capacity("deadline")
                .closing_connection()),
        }
    }

    /// Returns the preconditions of a GET that apply to this route.
    fn applicable_preconditions(&self, all: ReadPreconditions, route: &str) -> Option<ReadPreconditions> {
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
    fn refuse_isolation(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let wanted = headers.contains_key(name::ISOLATION) || headers.contains_key(name::ODATA_ISOLATION);
        if self.options.mode.is_extended() && wanted { Err(ApiError::no_isolation()) } else { Ok(()) }
    }

    /// Returns the ids of a request with these headers that arrives now.
    pub(crate) fn request_ids(&self, headers: &HeaderMap) -> RequestIds {
        RequestIds::from_headers(headers, self.exchange.now(), || {
            Uuid::from_bytes(random_guid(self.random.bytes()))
        })
    }

    /// Returns the routes that this server offers beyond the contract.
    pub(crate) fn offered_routes(&self) -> OfferedRoutes {
        OfferedRoutes { sandbox: self.sandbox.is_some(), mode: self.options.mode }
    }

    /// Logs an error once, with the cause that the client does not see.
    pub(crate) fn log_error(&self, api_error: &ApiError, route: &'static str, request_ids: &RequestIds) {
        let (status, id) = (api_error.status.as_u16(), request_ids.request_id);
        if api_error.costly {
            self.metrics.refused_for_cost();
        }
        if let Some(of) = api_error.capacity {
            self.metrics.refused_for_capacity(of);
        }
        let cause = api_error.cause.as_deref().unwrap_or_default();
        match status {
            500 => tracing::error!(request.id = %id, route, status, cause, "request {id} failed: {cause}"),
            502.. => tracing::warn!(request.id = %id, route, status, cause, "request {id} put off: {cause}"),
            _ => {
                let inner = api_error.inner.as_ref().map_or("", |inner| inner.code);
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
fn strip_body(response: &mut ApiResponse) {
    let bodiless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = response.body().size_hint().exact().filter(|_| !bodiless) {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Default::default();
}

/// Returns 417 for an unknown expectation. Source: RFC 9110, 10.1.1.
fn check_expectation(headers: &HeaderMap) -> Result<(), ApiError> {
    match joined_lines(headers, &EXPECT) {
        Some(expected) if !members(&expected).all(|one| one.eq_ignore_ascii_case("100-continue")) => {
            Err(ApiError::expectation_failed(&expected))
        }
        _ => Ok(()),
    }
}

/// Checks rules of HTTP/1.1 that the HTTP library does not check. Source: RFC 9112, 3.2 and 6.1.
fn validate_framing<B>(request: &Request<B>) -> Result<(), ApiError> {
    let headers = request.headers();
    if headers.contains_key(TRANSFER_ENCODING) {
        if request.extensions().get::<net::AmbiguousLength>().is_some() {
            let message = "A request has Content-Length or Transfer-Encoding, not both.";
            return Err(ApiError::malformed_request("Transfer-Encoding", message));
        }
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let only_chunked =
            codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !only_chunked || codings.next().is_some() {
            return Err(ApiError::malformed_request(
                "Transfer-Encoding",
                "The only transfer coding is chunked.",
            ));
        }
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(ApiError::malformed_request("Host", "A request has one Host header."));
    }
    match host {
        None if request.version() >= Version::HTTP_2 => Ok(()),
        None if request.version() == Version::HTTP_11 => {
            Err(ApiError::malformed_request("Host", "An HTTP/1.1 request needs a Host header."))
        }
        None => Ok(()),
        Some(host) if host.to_str().is_ok_and(is_host) => Ok(()),
        Some(_) => {
            Err(ApiError::malformed_request("Host", "The Host header is not a host with an optional port."))
        }
    }
}

/// Returns whether this is a name or an IPv4 address, with an optional port, as nearly every client sends it.
fn is_plain_host(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "0"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    !host.is_empty() && host.bytes().all(plain) && port.parse::<u16>().is_ok() && !port.starts_with('+')
}

/// Returns whether this is a host with an optional port. A comma is legal in a name, but here it joins two hosts.
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

/// Turns a panic into a 500; the connection and the process go on.
async fn catch_panic(
    work: impl Future<Output = Result<ApiResponse, ApiError>>,
) -> Result<ApiResponse, ApiError> {
    let mut work = pin!(work);
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
                Poll::Ready(Err(ApiError::internal(format!("panic: {text}")).closing_connection()))
            }
        }
    })
    .await
}

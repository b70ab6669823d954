//! Doing a batch: its requests one after another, its groups all or none.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use exchange::{ApiMode, Caller};
use http::header::{
    ACCEPT, ACCEPT_CHARSET, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST, HeaderName, IF_MATCH,
    IF_NONE_MATCH, LOCATION,
};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::Full;
use referral::Json;
use tokio::time::Instant;

use super::{Batch, MAX_RESPONSE_BYTES, MAX_STAGED_BYTES, PartRequest, PartResponse, UnitResponse, address};
use crate::RequestContext;
use crate::api_error::ApiError;
use crate::body::RequestMemory;
use crate::headers::{joined_lines, name};
use crate::negotiation::Representation;
use crate::response::{ApiResponse, error_response};
use crate::routes::{Route, type_at};
use crate::shares::CapacityError;

/// A group whose ground has moved is decided again at most so often.
const MAX_ATTEMPTS: usize = 16;

/// The headers that a request has of its batch, unless it has its own.
const INHERITED_HEADERS: [HeaderName; 3] = [name::ODATA_VERSION, name::ODATA_MAX_VERSION, ACCEPT_CHARSET];

/// A batch at work.
pub(super) struct BatchRun<'a> {
    context: &'a RequestContext,
    caller: &'a Caller,
    /// The headers of the batch.
    outer: &'a HeaderMap,
    /// The way to write JSON that its `Accept` names, for requests that name none (Protocol 4.01, 8.2.1).
    accept: Option<HeaderValue>,
    root: &'static str,
    batch: &'a Batch,
    by_id: HashMap<&'a str, usize>,
    /// What became of each request, by its place; `None`: nothing yet.
    done: Vec<Option<CompletedPart>>,
    /// The length of the answers so far, and their number.
    length: usize,
    replies: usize,
    /// No request is begun or waited for any more.
    until: Instant,
    /// The memory of the batch.
    memory: &'a RequestMemory,
    /// What is taken of it for answers and staged writes, in bytes.
    held: u64,
    /// Why there is no more; then no request is begun.
    capacity_error: Option<CapacityError>,
    /// How long the requests have been worked on.
    worked: Duration,
    /// How long they have been since other tasks had their turn.
    since_turn: Duration,
}

/// What the answer to one request takes besides its body, in bytes: its headers.
const PART_OVERHEAD_BYTES: usize = 2 * 1024;
/// After so much work other tasks have their turn.
const YIELD_AFTER: Duration = Duration::from_millis(2);

/// What later requests need to know of one.
#[derive(Clone, Default)]
struct CompletedPart {
    succeeded: bool,
    /// The path of what it made, or else of what it was about.
    path: String,
    etag: Option<HeaderValue>,
}

impl<'a> BatchRun<'a> {
    pub(super) fn new(
        context: &'a RequestContext,
        caller: &'a Caller,
        outer: &'a HeaderMap,
        root: &'static str,
        batch: &'a Batch,
        memory: &'a RequestMemory,
    ) -> BatchRun<'a> {
        let ids = batch.parts.iter().enumerate();
        BatchRun {
            context,
            caller,
            outer,
            accept: accept_of_parts(outer),
            root,
            batch,
            by_id: ids.filter_map(|(at, part)| Some((part.id.as_deref()?, at))).collect(),
            done: vec![None; batch.parts.len()],
            length: 0,
            replies: 0,
            // Before the deadline of the batch, so that what is done is told.
            until: Instant::now() + context.options.deadline / 10 * 9,
            memory,
            held: 0,
            capacity_error: None,
            worked: Duration::ZERO,
            since_turn: Duration::ZERO,
        }
    }

    /// Does all of it, or up to the first error.
    pub(super) async fn all(mut self, go_on: bool) -> Vec<UnitResponse> {
        let mut units = Vec::new();
        let mut at = 0;
        while let Some(part) = self.batch.parts.get(at) {
            let unit = match part.group {
                None => self.alone(at).await,
                Some(group) => {
                    let members = self.batch.parts.iter().skip(at);
                    let count = members.take_while(|part| part.group == Some(group)).count();
                    self.group(at..at + count).await
                }
            };
            at += unit.replies.len();
            let failed = unit.failed.is_some();
            units.push(unit);
            if failed && !go_on {
                break;
            }
        }
        units
    }

    async fn alone(&mut self, at: usize) -> UnitResponse {
        let reply = self.reply(self.context, at).await;
        if let Err(capacity_error) = self.hold(0) {
            // This one has happened and is told; the next ones are not begun.
            self.capacity_error = Some(capacity_error);
        }
        let failed = (!reply.status.is_success()).then_some(0);
        UnitResponse { replies: vec![reply], failed }
    }

    /// All of a group or nothing. Each member is decided on what those before it leave, and the whole is written at
    /// once; when somebody else was faster, all of it is decided again.
    async fn group(&mut self, places: Range<usize>) -> UnitResponse {
        let (length, replies) = (self.length, self.replies);
        for _ in 0..MAX_ATTEMPTS {
            (self.length, self.replies) = (length, replies);
            let group = self.context.exchange.begin_group();
            let staging = RequestContext {
                exchange: Arc::clone(group.exchange()),
                state: Arc::clone(&self.context.state),
            };
            let mut replies = Vec::with_capacity(places.len());
            for at in places.clone() {
                let reply = self.reply(&staging, at).await;
                if !reply.status.is_success() {
                    return self.failed_group(places, reply);
                }
                replies.push(reply);
                let staged = group.held_bytes();
                if staged > MAX_STAGED_BYTES {
                    return self.refused_group(places, ApiError::group_too_large(MAX_STAGED_BYTES));
                }
                if let Err(capacity_error) = self.hold(staged) {
                    return self.refused_group(places, capacity_error.into());
                }
            }
            let api_error = match tokio::time::timeout_at(self.until, group.commit()).await {
                Ok(Ok(true)) => return UnitResponse { replies, failed: None },
                Ok(Ok(false)) => continue,
                Ok(Err(error)) => ApiError::from(error),
                Err(_) => out_of_time(),
            };
            return self.refused_group(places, api_error);
        }
        self.refused_group(places, ApiError::unavailable("the referrals of a group change too fast"))
    }

    fn refused_group(&mut self, places: Range<usize>, api_error: ApiError) -> UnitResponse {
        let at = places.start;
        let reply = PartResponse::new(at, self.refused(at, api_error));
        self.failed_group(places, reply)
    }

    /// Nothing of the group has happened: its other members have failed by the one that did.
    fn failed_group(&mut self, places: Range<usize>, failed: PartResponse) -> UnitResponse {
        let at = failed.at - places.start;
        let mut failed = Some(failed);
        let replies = places.map(|place| {
            if let Some(done) = self.done.get_mut(place) {
                *done = Some(CompletedPart::default());
            }
            match failed.take_if(|failed| failed.at == place) {
                Some(failed) => failed,
                None => {
                    let api_error =
                        ApiError::failed_dependency("atomicityGroup", "Another request of the group failed.");
                    PartResponse::new(place, self.refused(place, api_error))
                }
            }
        });
        UnitResponse { replies: replies.collect(), failed: Some(at) }
    }

    /// Does one request, by the server itself or by one that stages its writes.
    async fn reply(&mut self, server: &RequestContext, at: usize) -> PartResponse {
        let (response, path) = match self.request(at).await {
            Ok(request) => {
                let path = request.uri().path().to_owned();
                let mut work = TimedFuture { work: sent(server, request), took: Duration::ZERO };
                let response = tokio::time::timeout_at(self.until, &mut work).await;
                let took = work.took;
                drop(work);
                self.worked += took;
                self.since_turn += took;
                let response = response.unwrap_or_else(|_| self.refused(at, out_of_time()));
                if self.since_turn >= YIELD_AFTER {
                    self.since_turn = Duration::ZERO;
                    tokio::task::yield_now().await;
                }
                (response, path)
            }
            Err(api_error) => (self.refused(at, api_error), String::new()),
        };
        let reply = PartResponse::new(at, response);
        self.length = self.length.saturating_add(reply.body.len());
        self.replies += 1;
        let made = reply.headers.get(LOCATION).and_then(|made| made.to_str().ok());
        let made =
            made.and_then(|made| address::strip_base(made, self.context.base.url())).map(str::to_owned);
        let done = CompletedPart {
            succeeded: reply.status.is_success(),
            path: made.unwrap_or(path),
            etag: reply.headers.get(ETAG).cloned(),
        };
        if let Some(place) = self.done.get_mut(at) {
            *place = Some(done);
        }
        reply
    }

    /// Takes the memory for what has been answered, and for what is staged. In the end the answer to the batch is written
    /// from the former, and counts as an answer.
    fn hold(&mut self, staged: usize) -> Result<(), CapacityError> {
        let needed = (self.length + self.replies * PART_OVERHEAD_BYTES + staged) as u64;
        if needed > self.held {
            self.memory.take(needed - self.held)?;
            self.held = needed;
        }
        Ok(())
    }

    /// A refusal without a request behind it: with the headers of every answer.
    fn refused(&self, at: usize, api_error: ApiError) -> ApiResponse {
        let none = HeaderMap::new();
        let part_request = self.batch.parts.get(at).and_then(|part| part.part_request.as_ref().ok());
        let request_ids =
            self.context.request_ids(part_request.map_or(&none, |part_request| &part_request.headers));
        self.context.log_error(&api_error, "batch", &request_ids);
        let mut response = error_response(&api_error);
        request_ids.write(response.headers_mut());
        response
    }

    /// The request as the network would bring it.
    async fn request(&self, at: usize) -> Result<Request<Full<Bytes>>, ApiError> {
        let Some(part) = self.batch.parts.get(at) else { return Err(ApiError::internal("no such part")) };
        if Instant::now() >= self.until {
            return Err(out_of_time());
        }
        if self.length > MAX_RESPONSE_BYTES {
            return Err(ApiError::batch_too_long(MAX_RESPONSE_BYTES));
        }
        if let Some(capacity_error) = self.capacity_error {
            return Err(capacity_error.into());
        }
        if self.worked > self.context.options.batch_work {
            return Err(ApiError::batch_too_costly());
        }
        let part_request = part.part_request.clone()?;
        for needed in &part.depends_on {
            if !self.done.get(*needed).is_some_and(|done| done.as_ref().is_some_and(|done| done.succeeded)) {
                let message = "A request that this one depends on failed.";
                return Err(ApiError::failed_dependency("dependsOn", message));
            }
        }
        let uri = self.uri(at, &part_request.url)?;
        match Route::find(&uri, &part_request.method, self.context.offered_routes()) {
            Ok(Route::Batch(_)) => {
                return Err(ApiError::malformed_batch("url", "A batch cannot hold another batch."));
            }
            // What is no resource of the service may be kept from the outside by a proxy, which a batch passes.
            Ok(Route::Health(_) | Route::PatchPage | Route::OpenApi | Route::Issuer(_)) => {
                return Err(ApiError::no_such_path());
            }
            _ => {}
        }
        if joined_lines(&part_request.headers, &CONTENT_TYPE).is_some_and(|sent| sent.contains("json")) {
            self.no_values(at, &part_request.body).await?;
        }
        let PartRequest { method, mut headers, body, .. } = part_request;
        self.host(&mut headers)?;
        for condition in [IF_MATCH, IF_NONE_MATCH] {
            self.tag(at, &condition, &mut headers)?;
        }
        for inherited in INHERITED_HEADERS {
            if let (false, Some(value)) = (headers.contains_key(&inherited), self.outer.get(&inherited)) {
                headers.insert(inherited, value.clone());
            }
        }
        if let (false, Some(accept)) = (headers.contains_key(ACCEPT), &self.accept) {
            headers.insert(ACCEPT, accept.clone());
        }
        if let Some(authorization) = self.outer.get(AUTHORIZATION) {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Where a request leads. `$id` is what the request of that id made, or else what it was about.
    fn uri(&self, at: usize, url: &str) -> Result<Uri, ApiError> {
        match address::reference(url) {
            Some((id, rest)) => address::parse(&format!("{}{rest}", self.referred(at, id)?.path)),
            None => address::resolve(url, self.root, self.context.base.url()),
        }
    }

    /// An earlier request, which has succeeded.
    fn referred(&self, at: usize, id: &str) -> Result<&CompletedPart, ApiError> {
        let Some(place) = self.by_id.get(id).filter(|place| **place < at) else {
            let message = format!("${id} refers to no request that comes before.");
            return Err(ApiError::malformed_batch("url", message));
        };
        match self.done.get(*place).and_then(Option::as_ref) {
            Some(done) if done.succeeded => Ok(done),
            _ => Err(ApiError::failed_dependency("url", "A request that this one refers to failed.")),
        }
    }

    /// `If-Match: $id` stands for the tag that the request of that id was answered with.
    fn tag(&self, at: usize, condition: &HeaderName, headers: &mut HeaderMap) -> Result<(), ApiError> {
        let Some(id) = headers.get(condition).and_then(|value| value.to_str().ok()?.strip_prefix('$')) else {
            return Ok(());
        };
        let message = "The request that is referred to was answered without an ETag.";
        let tag = self.referred(at, id)?.etag.clone();
        let tag = tag.ok_or_else(|| ApiError::failed_dependency(condition.as_str(), message))?;
        headers.insert(condition, tag);
        Ok(())
    }

    /// A value of an earlier answer, `"$id"` or `"$id/path"` in a body, is not supported: it is refused rather than stored
    /// as it stands. A text that only begins like one is a text: `$1/user per month`. Source: Protocol 4.01, 11.7.6.
    async fn no_values(&self, at: usize, body: &[u8]) -> Result<(), ApiError> {
        // Most bodies hold no dollar sign at all.
        if memchr::memmem::find(body, b"\"$").is_none() {
            return Ok(());
        }
        // What cannot be read is refused by the request itself.
        let refers = || self.context.parse(body).is_ok_and(|json| self.has_value_reference(at, &json));
        match self.context.exchange.run_large(self.caller, body.len(), refers).await? {
            true => {
                let message = "References to values of other requests are not supported in a body.";
                Err(ApiError::not_implemented("body", message))
            }
            false => Ok(()),
        }
    }

    fn has_value_reference(&self, at: usize, json: &Json<'_>) -> bool {
        match json {
            Json::Text(text) => self.is_value_reference(at, text),
            Json::List(items) => items.iter().any(|item| self.has_value_reference(at, item)),
            Json::Object(members) => members.iter().any(|(_, member)| self.has_value_reference(at, member)),
            Json::Null | Json::Bool(_) | Json::Number(_) => false,
        }
    }

    /// Whether a text is the id of an earlier request, alone or with a path that leads to a property of a referral.
    fn is_value_reference(&self, at: usize, text: &str) -> bool {
        let Some(text) = text.strip_prefix('$') else { return false };
        let (id, path) = text.split_once('/').map_or((text, None), |(id, path)| (id, Some(path)));
        let known = self.by_id.get(id).is_some_and(|place| *place < at);
        let leads = |path: &str| type_at(&path.split('/').collect::<Vec<_>>()).is_some();
        known && path.is_none_or(leads)
    }

    /// `Host` is this server's, where a request names one at all.
    fn host(&self, headers: &mut HeaderMap) -> Result<(), ApiError> {
        let own = self.context.base.url().parse::<Uri>().ok();
        let own = own.as_ref().and_then(Uri::authority).map_or("localhost", |authority| authority.as_str());
        let outer = self.outer.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(own);
        let mut named = headers.get_all(HOST).iter();
        let is_known = |host: &HeaderValue| {
            host.to_str().is_ok_and(|host| host.eq_ignore_ascii_case(own) || host.eq_ignore_ascii_case(outer))
        };
        if !named.all(is_known) {
            return Err(ApiError::malformed_batch("Host", "A batch reaches this service alone."));
        }
        let host = HeaderValue::from_str(own).unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        headers.insert(HOST, host);
        Ok(())
    }
}

impl PartResponse {
    fn new(at: usize, response: ApiResponse) -> PartResponse {
        let (head, body) = response.into_parts();
        PartResponse {
            at,
            status: head.status,
            headers: head.headers,
            body: body.into_inner().unwrap_or_default(),
        }
    }
}

/// Work that tells how long it has been worked on, waits left out.
struct TimedFuture<'a> {
    work: Pin<Box<dyn Future<Output = ApiResponse> + Send + 'a>>,
    took: Duration,
}

impl Future for TimedFuture<'_> {
    type Output = ApiResponse;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<ApiResponse> {
        let begun = std::time::Instant::now();
        let polled = self.work.as_mut().poll(context);
        self.took += begun.elapsed();
        polled
    }
}

/// The `Accept` of requests that have none: the parameters that the batch names for JSON. Other media types are as
/// acceptable as ever, such as the text of `$count`.
fn accept_of_parts(outer: &HeaderMap) -> Option<HeaderValue> {
    let accepted = Representation::from_request(outer, &Uri::from_static("/"), ApiMode::Extended);
    let named = accepted.content_type()?;
    HeaderValue::from_str(&format!("{}, */*;q=0.1", named.to_str().ok()?)).ok()
}

/// Boxed, because a request's future may hold a batch's, which holds this one.
fn sent<'a>(
    server: &'a RequestContext,
    request: Request<Full<Bytes>>,
) -> Pin<Box<dyn Future<Output = ApiResponse> + Send + 'a>> {
    Box::pin(server.handle(request, None))
}

fn out_of_time() -> ApiError {
    ApiError::unavailable("the deadline of the batch has passed")
}

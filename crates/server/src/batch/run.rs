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

use super::{Ask, Batch, LONGEST_ANSWER, MOST_STAGED, Reply, Unit, address};
use crate::Shared;
use crate::answer::{Answer, refusal};
use crate::body::RequestMemory;
use crate::face::Face;
use crate::headers::{joined, name};
use crate::negotiation::Representation;
use crate::routes::{Route, type_at};
use crate::shares::NoRoom;

/// A group whose ground has moved is decided again at most so often.
const ROUNDS: usize = 16;

/// The headers that a request has of its batch, unless it has its own.
const INHERITED: [HeaderName; 3] = [name::ODATA_VERSION, name::ODATA_MAX_VERSION, ACCEPT_CHARSET];

/// A batch at work.
pub(super) struct Run<'a> {
    shared: &'a Shared,
    caller: &'a Caller,
    /// The headers of the batch.
    outer: &'a HeaderMap,
    /// The way to write JSON that its `Accept` names, for requests that name none (Protocol 4.01, 8.2.1).
    accept: Option<HeaderValue>,
    root: &'static str,
    batch: &'a Batch,
    by_id: HashMap<&'a str, usize>,
    /// What became of each request, by its place; `None`: nothing yet.
    done: Vec<Option<Done>>,
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
    no_room: Option<NoRoom>,
    /// How long the requests have been worked on.
    worked: Duration,
    /// How long they have been since other tasks had their turn.
    since_turn: Duration,
}

/// What the answer to one request takes besides its body, in bytes: its headers.
const REPLY_BYTES: usize = 2 * 1024;
/// After so much work other tasks have their turn.
const TURN: Duration = Duration::from_millis(2);

/// What later requests need to know of one.
#[derive(Clone, Default)]
struct Done {
    succeeded: bool,
    /// The path of what it made, or else of what it was about.
    path: String,
    etag: Option<HeaderValue>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        shared: &'a Shared,
        caller: &'a Caller,
        outer: &'a HeaderMap,
        root: &'static str,
        batch: &'a Batch,
        memory: &'a RequestMemory,
    ) -> Run<'a> {
        let ids = batch.parts.iter().enumerate();
        Run {
            shared,
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
            until: Instant::now() + shared.options.deadline / 10 * 9,
            memory,
            held: 0,
            no_room: None,
            worked: Duration::ZERO,
            since_turn: Duration::ZERO,
        }
    }

    /// Does all of it, or up to the first error.
    pub(super) async fn all(mut self, go_on: bool) -> Vec<Unit> {
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

    async fn alone(&mut self, at: usize) -> Unit {
        let reply = self.reply(self.shared, at).await;
        if let Err(no_room) = self.hold(0) {
            // This one has happened and is told; the next ones are not begun.
            self.no_room = Some(no_room);
        }
        let failed = (!reply.status.is_success()).then_some(0);
        Unit { replies: vec![reply], failed }
    }

    /// All of a group or nothing. Each member is decided on what those before it leave, and the whole is written at
    /// once; when somebody else was faster, all of it is decided again.
    async fn group(&mut self, places: Range<usize>) -> Unit {
        let (length, replies) = (self.length, self.replies);
        for _ in 0..ROUNDS {
            (self.length, self.replies) = (length, replies);
            let group = self.shared.exchange.begin_group();
            let inside =
                Shared { exchange: Arc::clone(group.exchange()), parts: Arc::clone(&self.shared.parts) };
            let mut replies = Vec::with_capacity(places.len());
            for at in places.clone() {
                let reply = self.reply(&inside, at).await;
                if !reply.status.is_success() {
                    return self.failed_group(places, reply);
                }
                replies.push(reply);
                let staged = group.held_bytes();
                if staged > MOST_STAGED {
                    return self.refused_group(places, Face::group_too_large(MOST_STAGED));
                }
                if let Err(no_room) = self.hold(staged) {
                    return self.refused_group(places, no_room.into());
                }
            }
            let face = match tokio::time::timeout_at(self.until, group.commit()).await {
                Ok(Ok(true)) => return Unit { replies, failed: None },
                Ok(Ok(false)) => continue,
                Ok(Err(error)) => Face::from(error),
                Err(_) => out_of_time(),
            };
            return self.refused_group(places, face);
        }
        self.refused_group(places, Face::unavailable("the referrals of a group change too fast"))
    }

    fn refused_group(&mut self, places: Range<usize>, face: Face) -> Unit {
        let at = places.start;
        let reply = Reply::new(at, self.refused(at, face));
        self.failed_group(places, reply)
    }

    /// Nothing of the group has happened: its other members have failed by the one that did.
    fn failed_group(&mut self, places: Range<usize>, failed: Reply) -> Unit {
        let at = failed.at - places.start;
        let mut failed = Some(failed);
        let replies = places.map(|place| {
            if let Some(done) = self.done.get_mut(place) {
                *done = Some(Done::default());
            }
            match failed.take_if(|failed| failed.at == place) {
                Some(failed) => failed,
                None => {
                    let face =
                        Face::failed_dependency("atomicityGroup", "Another request of the group failed.");
                    Reply::new(place, self.refused(place, face))
                }
            }
        });
        Unit { replies: replies.collect(), failed: Some(at) }
    }

    /// Does one request, by the server itself or by one that stages its writes.
    async fn reply(&mut self, server: &Shared, at: usize) -> Reply {
        let (answer, path) = match self.request(at).await {
            Ok(request) => {
                let path = request.uri().path().to_owned();
                let mut work = Worked { work: sent(server, request), took: Duration::ZERO };
                let answer = tokio::time::timeout_at(self.until, &mut work).await;
                let took = work.took;
                drop(work);
                self.worked += took;
                self.since_turn += took;
                let answer = answer.unwrap_or_else(|_| self.refused(at, out_of_time()));
                if self.since_turn >= TURN {
                    self.since_turn = Duration::ZERO;
                    tokio::task::yield_now().await;
                }
                (answer, path)
            }
            Err(face) => (self.refused(at, face), String::new()),
        };
        let reply = Reply::new(at, answer);
        self.length = self.length.saturating_add(reply.body.len());
        self.replies += 1;
        let made = reply.headers.get(LOCATION).and_then(|made| made.to_str().ok());
        let made = made.and_then(|made| address::under(made, self.shared.base.url())).map(str::to_owned);
        let done = Done {
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
    fn hold(&mut self, staged: usize) -> Result<(), NoRoom> {
        let needed = (self.length + self.replies * REPLY_BYTES + staged) as u64;
        if needed > self.held {
            self.memory.take(needed - self.held)?;
            self.held = needed;
        }
        Ok(())
    }

    /// A refusal without a request behind it: with the headers of every answer.
    fn refused(&self, at: usize, face: Face) -> Answer {
        let none = HeaderMap::new();
        let ask = self.batch.parts.get(at).and_then(|part| part.ask.as_ref().ok());
        let trace = self.shared.trace(ask.map_or(&none, |ask| &ask.headers));
        self.shared.report(&face, "batch", &trace);
        let mut answer = refusal(&face);
        trace.write(answer.headers_mut());
        answer
    }

    /// The request as the network would bring it.
    async fn request(&self, at: usize) -> Result<Request<Full<Bytes>>, Face> {
        let Some(part) = self.batch.parts.get(at) else { return Err(Face::internal("no such part")) };
        if Instant::now() >= self.until {
            return Err(out_of_time());
        }
        if self.length > LONGEST_ANSWER {
            return Err(Face::batch_too_long(LONGEST_ANSWER));
        }
        if let Some(no_room) = self.no_room {
            return Err(no_room.into());
        }
        if self.worked > self.shared.options.batch_work {
            return Err(Face::batch_too_costly());
        }
        let ask = part.ask.clone()?;
        for needed in &part.depends_on {
            if !self.done.get(*needed).is_some_and(|done| done.as_ref().is_some_and(|done| done.succeeded)) {
                let message = "A request that this one depends on failed.";
                return Err(Face::failed_dependency("dependsOn", message));
            }
        }
        let uri = self.uri(at, &ask.url)?;
        match Route::find(&uri, &ask.method, self.shared.offers()) {
            Ok(Route::Batch(_)) => {
                return Err(Face::malformed_batch("url", "A batch cannot hold another batch."));
            }
            // What is no resource of the service may be kept from the outside by a proxy, which a batch passes.
            Ok(Route::Health(_) | Route::PatchPage | Route::OpenApi | Route::Issuer(_)) => {
                return Err(Face::no_such_path());
            }
            _ => {}
        }
        if joined(&ask.headers, &CONTENT_TYPE).is_some_and(|sent| sent.contains("json")) {
            self.no_values(at, &ask.body).await?;
        }
        let Ask { method, mut headers, body, .. } = ask;
        self.host(&mut headers)?;
        for condition in [IF_MATCH, IF_NONE_MATCH] {
            self.tag(at, &condition, &mut headers)?;
        }
        for inherited in INHERITED {
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
    fn uri(&self, at: usize, url: &str) -> Result<Uri, Face> {
        match address::reference(url) {
            Some((id, rest)) => address::parse(&format!("{}{rest}", self.referred(at, id)?.path)),
            None => address::resolve(url, self.root, self.shared.base.url()),
        }
    }

    /// An earlier request, which has succeeded.
    fn referred(&self, at: usize, id: &str) -> Result<&Done, Face> {
        let Some(place) = self.by_id.get(id).filter(|place| **place < at) else {
            let message = format!("${id} refers to no request that comes before.");
            return Err(Face::malformed_batch("url", message));
        };
        match self.done.get(*place).and_then(Option::as_ref) {
            Some(done) if done.succeeded => Ok(done),
            _ => Err(Face::failed_dependency("url", "A request that this one refers to failed.")),
        }
    }

    /// `If-Match: $id` stands for the tag that the request of that id was answered with.
    fn tag(&self, at: usize, condition: &HeaderName, headers: &mut HeaderMap) -> Result<(), Face> {
        let Some(id) = headers.get(condition).and_then(|value| value.to_str().ok()?.strip_prefix('$')) else {
            return Ok(());
        };
        let message = "The request that is referred to was answered without an ETag.";
        let tag = self.referred(at, id)?.etag.clone();
        let tag = tag.ok_or_else(|| Face::failed_dependency(condition.as_str(), message))?;
        headers.insert(condition, tag);
        Ok(())
    }

    /// A value of an earlier answer, `"$id"` or `"$id/path"` in a body, is not supported: it is refused rather than stored
    /// as it stands. A text that only begins like one is a text: `$1/user per month`. Source: Protocol 4.01, 11.7.6.
    async fn no_values(&self, at: usize, body: &[u8]) -> Result<(), Face> {
        // Most bodies hold no dollar sign at all.
        if memchr::memmem::find(body, b"\"$").is_none() {
            return Ok(());
        }
        // What cannot be read is refused by the request itself.
        let refers = || self.shared.parse(body).is_ok_and(|json| self.has_value_reference(at, &json));
        match self.shared.exchange.run_large(self.caller, body.len(), refers).await? {
            true => {
                let message = "References to values of other requests are not supported in a body.";
                Err(Face::not_implemented("body", message))
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
    fn host(&self, headers: &mut HeaderMap) -> Result<(), Face> {
        let own = self.shared.base.url().parse::<Uri>().ok();
        let own = own.as_ref().and_then(Uri::authority).map_or("localhost", |authority| authority.as_str());
        let outer = self.outer.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or(own);
        let mut named = headers.get_all(HOST).iter();
        let is_known = |host: &HeaderValue| {
            host.to_str().is_ok_and(|host| host.eq_ignore_ascii_case(own) || host.eq_ignore_ascii_case(outer))
        };
        if !named.all(is_known) {
            return Err(Face::malformed_batch("Host", "A batch reaches this service alone."));
        }
        let host = HeaderValue::from_str(own).unwrap_or_else(|_| HeaderValue::from_static("localhost"));
        headers.insert(HOST, host);
        Ok(())
    }
}

impl Reply {
    fn new(at: usize, answer: Answer) -> Reply {
        let (head, body) = answer.into_parts();
        Reply { at, status: head.status, headers: head.headers, body: body.into_inner().unwrap_or_default() }
    }
}

/// Work that tells how long it has been worked on, waits left out.
struct Worked<'a> {
    work: Pin<Box<dyn Future<Output = Answer> + Send + 'a>>,
    took: Duration,
}

impl Future for Worked<'_> {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let begun = std::time::Instant::now();
        let polled = self.work.as_mut().poll(context);
        self.took += begun.elapsed();
        polled
    }
}

/// The `Accept` of requests that have none: the parameters that the batch names for JSON. Other media types are as
/// acceptable as ever, such as the text of `$count`.
fn accept_of_parts(outer: &HeaderMap) -> Option<HeaderValue> {
    let accepted = Representation::asked(outer, &Uri::from_static("/"), ApiMode::Extended);
    let named = accepted.content_type()?;
    HeaderValue::from_str(&format!("{}, */*;q=0.1", named.to_str().ok()?)).ok()
}

/// Boxed, because a request's future may hold a batch's, which holds this one.
fn sent<'a>(
    server: &'a Shared,
    request: Request<Full<Bytes>>,
) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>> {
    Box::pin(server.handle(request, None))
}

fn out_of_time() -> Face {
    Face::unavailable("the deadline of the batch has passed")
}

//! Every route of the server, grouped by the kind of client.

mod health;
mod issuer;
mod list;
mod members;
mod metadata;
mod patch_page;
mod referrals;

pub(crate) use list::LEFT_OUT;
pub(crate) use members::{type_at, with_context};

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use hyper::body::Body;

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::headers::RequestIds;
use crate::query::decoded_byte;
use crate::response::{ApiResponse, add_odata_version, empty_response};

/// The route of a request.
#[derive(Debug)]
pub(crate) enum Route {
    /// Partners: the collection, and the aliases of spec 2.3.
    Referrals,
    /// Partners: one referral, by the text in the path.
    Referral(String),
    /// Partners: many requests in one, by the folder in which their addresses begin.
    Batch(&'static str),
    /// Partners, in extended mode: resources below the collection and below a referral.
    SubResource(SubResource),
    /// Clients of any kind: the service document, the schema of what it names, and OpenAPI.
    Service,
    Metadata,
    OpenApi,
    /// Operators: health and figures.
    Health(HealthCheck),
    /// People: the page that PUT answers point at.
    PatchPage,
    /// Connector developers: the sandbox's issuer.
    Issuer(identity::sandbox::IssuerRequest),
    /// `OPTIONS`: the methods of a path, and whether it is an OData path.
    Options(&'static str, bool),
}

/// Paths of extended mode.
#[derive(Debug)]
pub(crate) enum SubResource {
    /// The collection after `$filter({predicate})` segments, if any, and the end of the path.
    Collection {
        /// The texts between the parentheses.
        predicates: Vec<String>,
        /// How the path ends.
        end: PathSuffix,
    },
    /// `POST …/referrals/$query`: a list whose options are in the body
    Query,
    /// `/v1.0/$entity`: the one that `$id` names
    Entity,
    /// A resource of OData that this service does not support.
    Unserved(&'static str),
    /// `…/referrals/{id}/{path}`
    Member(String, String),
}

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathSuffix {
    /// With the thing itself.
    Itself,
    /// `$count`
    Count,
    /// `$value`
    Value,
    /// `$ref`
    Reference,
}

/// Segments that OData has and this service has not.
const UNSERVED: [&str; 6] = ["$all", "$crossjoin", "$each", "$links", "$query", "$value"];

/// The one of [`UNSERVED`] that a segment is, or another form of address that OData has: an operation, a type.
fn unserved(segment: &str) -> Option<&'static str> {
    let name = segment.split('(').next().unwrap_or_default();
    if name.strip_prefix(exchange::NAMESPACE).is_some_and(|rest| rest.starts_with('.')) {
        return Some("a type or an operation in the path");
    }
    UNSERVED.into_iter().find(|unserved| *unserved == name)
}

/// The name of the one type of entities, as a path says it: a cast that changes nothing.
fn is_own_type(segment: &str) -> bool {
    let name = segment.strip_prefix(exchange::NAMESPACE).and_then(|rest| rest.strip_prefix('.'));
    name == Some(referral::Referral::TYPE.name)
}

/// Returns whether a segment is a plain GUID, as in nearly every path.
fn is_plain_id(segment: &str) -> bool {
    segment.len() == 36 && segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Splits a path at its slashes, but for those within parentheses, where `$filter` and keys hold texts.
fn segments(path: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut from) = (0usize, false, 0);
    let mut found = Vec::new();
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'\'' if depth > 0 => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => {
                found.push(&path[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&path[from..]);
    found
}

/// The endpoints for operators.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HealthCheck {
    Live,
    Ready,
    Metrics,
}

/// Canonical, misspelt, shortened (a published next link), and the two of events and old samples (spec 2.2, 2.3).
const COLLECTIONS: [&str; 5] = [
    "/v1.0/engagements/referrals",
    "/v1.0/engagments/referrals",
    "/v1.0/referrals",
    "/engagements/v1/referrals",
    "/referrals/v1.0/engagements/referrals",
];

/// What a client makes of the service's root and the name of the entity set, in the extended temperament. Source: OData
/// 4.01 URL Conventions, section 4.3.
const BY_ENTITY_SET: &str = "/v1.0/Referrals";

/// The folders of the two context roots (spec 5.6) in which `$batch` is offered.
const BATCH_ROOTS: [&str; 2] = ["/v1.0/", "/v1.0/engagements/referrals/"];

const COLLECTION_METHODS: &str = "GET, HEAD, POST, OPTIONS";
const REFERRAL_METHODS: &str = "GET, HEAD, PUT, PATCH, OPTIONS";
const READ_METHODS: &str = "GET, HEAD, OPTIONS";
/// Of the server as a whole (`OPTIONS *`).
const SERVER_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, OPTIONS";
const TOKEN_METHODS: &str = "POST, OPTIONS";
const BATCH_METHODS: &str = "POST, OPTIONS";
const QUERY_METHODS: &str = "POST, OPTIONS";
/// What is not there is not there for any of them.
const UNSERVED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The routes that a server offers beyond the contract.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferedRoutes {
    /// The sandbox's issuer.
    pub sandbox: bool,
    /// Strict or extended.
    pub mode: exchange::ApiMode,
}

/// The name of the route to one referral.
pub(crate) const REFERRAL: &str = "referral";

impl Route {
    /// Finds the route of a request: 404 for an unknown path, then 405 for a method it does not offer. No token is
    /// needed to learn either (spec 4.5).
    pub(crate) fn find(uri: &Uri, method: &Method, offers: OfferedRoutes) -> Result<Route, ApiError> {
        if uri.path() == "*" && method == Method::OPTIONS {
            return Ok(Route::Options(SERVER_METHODS, true));
        }
        if !uri.path().starts_with('/') || method == Method::CONNECT {
            return Err(ApiError::malformed_request("path", "The request target is no path."));
        }
        let route = Route::find_path(uri.path(), offers).ok_or_else(ApiError::no_such_path)?;
        let (of, methods) = route.offers();
        if method == Method::OPTIONS {
            return Ok(Route::Options(methods, route.speaks_odata()));
        }
        let mut offered = methods.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if offered.any(|offered| offered == method.as_str().as_bytes()) {
            return Ok(route);
        }
        Err(ApiError::method_not_allowed(method.as_str(), of, methods))
    }

    /// The route of a path as sent, whatever the method.
    pub(crate) fn find_path(path: &str, offers: OfferedRoutes) -> Option<Route> {
        let path = &*decoded_path(path, offers.mode.is_extended())?;
        let trimmed = path.trim_end_matches('/');
        if offers.mode.is_extended()
            && let Some(folder) = trimmed.strip_suffix("$batch")
            && let Some(root) = BATCH_ROOTS.into_iter().find(|root| *root == folder)
        {
            return Some(Route::Batch(root));
        }
        for collection in COLLECTIONS.into_iter().chain(offers.mode.is_extended().then_some(BY_ENTITY_SET)) {
            let Some(rest) = trimmed.strip_prefix(collection) else { continue };
            return match rest.strip_prefix('/') {
                None if rest.is_empty() => Some(Route::Referrals),
                None if offers.mode.is_extended() => Route::of_key(rest),
                Some("$metadata") => Some(Route::Metadata),
                Some(rest) if offers.mode.is_extended() && !is_plain_id(rest) => Route::of_collection(rest),
                Some(rest) if rest.is_empty() || rest.contains('/') => None,
                Some(rest) => Some(Route::Referral(rest.to_owned())),
                None => None,
            };
        }
        match path {
            "/v1.0/$entity" if offers.mode.is_extended() => Some(Route::SubResource(SubResource::Entity)),
            _ if offers.mode.is_extended()
                && path.strip_prefix("/v1.0/$entity/").is_some_and(is_own_type) =>
            {
                Some(Route::SubResource(SubResource::Entity))
            }
            "/v1.0/$all" if offers.mode.is_extended() => {
                Some(Route::SubResource(SubResource::Unserved("$all")))
            }
            _ if offers.mode.is_extended() && path.starts_with("/v1.0/$crossjoin(") => {
                Some(Route::SubResource(SubResource::Unserved("$crossjoin")))
            }
            "/v1.0" | "/v1.0/" => Some(Route::Service),
            "/v1.0/$metadata" => Some(Route::Metadata),
            "/openapi.json" => Some(Route::OpenApi),
            "/livez" => Some(Route::Health(HealthCheck::Live)),
            "/readyz" => Some(Route::Health(HealthCheck::Ready)),
            "/metrics" => Some(Route::Health(HealthCheck::Metrics)),
            "/docs/patch" => Some(Route::PatchPage),
            _ if offers.sandbox => identity::sandbox::IssuerRequest::parse(path).map(Route::Issuer),
            _ => None,
        }
    }

    /// `({key})` and `({key})/{path}`: a key in parentheses, bare, quoted, or named. Source: OData 4.01 URL
    /// Conventions, section 4.3.1.
    fn of_key(rest: &str) -> Option<Route> {
        let inside = rest.strip_prefix('(')?;
        let (key, path) = inside.split_at(closing(inside)?);
        let path = &path[1..];
        let key = key.trim();
        let key = key.strip_prefix("id=").unwrap_or(key).trim();
        let text = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
        // An alias stands without quotes.
        let id = text.filter(|text| !text.starts_with('@')).unwrap_or(key);
        match path.strip_prefix('/') {
            _ if id.is_empty() => None,
            None if path.is_empty() => Some(Route::Referral(id.to_owned())),
            Some(path) => Route::sub_resource(id, path),
            None => None,
        }
    }

    /// What stands behind the collection in a path, in the extended temperament: `$filter(…)/$filter(…)/$count`, a
    /// type, or a key as a segment of its own. Source: OData 4.01 URL Conventions, sections 4.3 to 4.12.
    fn of_collection(rest: &str) -> Option<Route> {
        let parts = segments(rest);
        let mut left = parts.as_slice();
        let mut predicates = Vec::new();
        while let [segment, after @ ..] = left {
            match predicate(segment) {
                Some(predicate) => predicates.push(predicate.to_owned()),
                None if is_own_type(segment) => {}
                None => break,
            }
            left = after;
        }
        let narrowed = left.len() < parts.len();
        let collection =
            |predicates, end| Some(Route::SubResource(SubResource::Collection { predicates, end }));
        match left {
            [] if predicates.is_empty() => Some(Route::Referrals),
            [] => collection(predicates, PathSuffix::Itself),
            ["$count"] => collection(predicates, PathSuffix::Count),
            ["$ref"] => collection(predicates, PathSuffix::Reference),
            ["$query"] if !narrowed => Some(Route::SubResource(SubResource::Query)),
            [segment, ..] if unserved(segment).is_some() => {
                unserved(segment).map(|what| Route::SubResource(SubResource::Unserved(what)))
            }
            [segment, ..] if segment.starts_with('$') => None,
            _ if !predicates.is_empty() => {
                Some(Route::SubResource(SubResource::Unserved("a key behind $filter")))
            }
            [id] if !id.is_empty() => Some(Route::Referral((*id).to_owned())),
            [_] => None,
            [id, ..] => Route::sub_resource(id, &rest[rest.len() - length(left) + id.len() + 1..]),
        }
    }

    fn sub_resource(id: &str, path: &str) -> Option<Route> {
        let named = !id.is_empty() && segments(path).iter().all(|segment| !segment.is_empty());
        named.then(|| Route::SubResource(SubResource::Member(id.to_owned(), path.to_owned())))
    }

    /// Returns its description for a message, and its methods.
    fn offers(&self) -> (&'static str, &'static str) {
        match self {
            Route::Referrals => ("the collection of referrals", COLLECTION_METHODS),
            Route::Referral(_) => ("a referral", REFERRAL_METHODS),
            Route::SubResource(SubResource::Query) => ("a query", QUERY_METHODS),
            Route::SubResource(SubResource::Unserved(_)) => ("this part of the collection", UNSERVED_METHODS),
            Route::SubResource(_) => ("this part of the collection", READ_METHODS),
            Route::Batch(_) => ("a batch", BATCH_METHODS),
            Route::Service => ("the service document", READ_METHODS),
            Route::Metadata => ("the metadata document", READ_METHODS),
            Route::OpenApi | Route::Health(_) | Route::PatchPage => ("this page", READ_METHODS),
            Route::Issuer(request) if request.endpoint.method() == "POST" => {
                ("a token endpoint", TOKEN_METHODS)
            }
            Route::Issuer(_) => ("this document", READ_METHODS),
            Route::Options(methods, _) => ("this path", methods),
        }
    }

    /// Returns whether it is an OData route.
    pub(crate) fn speaks_odata(&self) -> bool {
        use Route::{Batch, Metadata, Referral, Referrals, Service, SubResource};
        matches!(self, Referrals | Referral(_) | SubResource(_) | Batch(_) | Service | Metadata)
    }

    /// The route's name in the log and in the figures: never a caller's text.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Route::Referrals => "referrals",
            Route::Referral(_) => REFERRAL,
            Route::SubResource(_) => "below",
            Route::Batch(_) => "batch",
            Route::Service => "service",
            Route::Metadata => "metadata",
            Route::OpenApi => "openapi",
            Route::Health(_) => "health",
            Route::PatchPage => "docs",
            Route::Issuer(_) => "issuer",
            Route::Options(..) => "options",
        }
    }
}

/// Returns the text between the parentheses of a `$filter(…)` segment.
fn predicate(segment: &str) -> Option<&str> {
    let inside = segment.strip_prefix("$filter(")?;
    let end = closing(inside)?;
    (end + 1 == inside.len()).then(|| &inside[..end])
}

/// How long segments are with the slashes between them.
fn length(segments: &[&str]) -> usize {
    segments.iter().map(|segment| segment.len() + 1).sum::<usize>().saturating_sub(1)
}

/// Where the parenthesis closes that was open before this text; those in quotes are text.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0usize, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\'' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted && depth == 0 => return Some(at),
            b')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A path, percent-decoded. It is split before it is decoded (RFC 3986, 2.4): an encoded slash is no separator, and
/// can stand only in parentheses, where `$filter` and keys hold texts and where [`segments`] does not split; no other
/// name here holds a slash.
fn decoded_path(path: &str, texts: bool) -> Option<Cow<'_, str>> {
    if memchr::memchr(b'%', path.as_bytes()).is_none() {
        return Some(path.into());
    }
    let mut bytes = Vec::with_capacity(path.len());
    let (mut depth, mut quoted) = (0usize, false);
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let encoded = byte == b'%';
        let byte = if encoded { decoded_byte(&mut rest)? } else { byte };
        match byte {
            b'\'' if depth > 0 => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            b'/' if encoded && !(texts && depth > 0) => return None,
            _ => {}
        }
        bytes.push(byte);
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// A method's name for log and figures; those not in HTTP's own list are one.
pub(crate) fn known_method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    KNOWN.iter().find(|known| **known == method.as_str()).copied().unwrap_or("other")
}

impl RequestContext {
    /// Hands a request to its route.
    pub(crate) async fn route<B>(
        &self,
        route: Route,
        request: Request<B>,
        request_ids: RequestIds,
    ) -> Result<ApiResponse, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match route {
            Route::Referral(id) => self.referral(&id, request, request_ids).await,
            // Boxed, so that the future of a GET by id stays small: it is moved several times before it runs.
            Route::Referrals => Box::pin(self.referrals(request, request_ids)).await,
            Route::Batch(root) => Box::pin(self.batch(root, request, request_ids)).await,
            Route::SubResource(sub_resource) => {
                Box::pin(self.sub_resource(&sub_resource, request, request_ids)).await
            }
            Route::Issuer(call) => Box::pin(self.issuer(call, request, request_ids)).await,
            Route::Service => self.service_document(request.uri(), request.headers()),
            Route::Metadata => self.metadata(request.uri(), request.headers()),
            Route::OpenApi => self.open_api(request.headers()),
            Route::Health(health) => Ok(self.health(health)),
            Route::PatchPage => Ok(patch_page::page()),
            Route::Options(methods, odata) => Ok(self.options_response(methods, odata)),
        }
    }
}

impl RequestContext {
    /// The answer to OPTIONS.
    fn options_response(&self, methods: &'static str, odata: bool) -> ApiResponse {
        let mut response = empty_response(StatusCode::NO_CONTENT);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
        if odata {
            add_odata_version(&mut response);
        }
        if methods.contains("PATCH") {
            self.add_accept_patch(&mut response);
        }
        response
    }
}

/// A page of plain text.
fn text(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> ApiResponse {
    let mut response = crate::response::json_response(status, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

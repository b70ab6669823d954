//! Responses: JSON with the headers of spec 4.2.

use bytes::Bytes;
use exchange::{ListRequest, VisibleReferral};
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, ETAG, LINK, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use odata::Work;

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::headers::{self, name, value};
use crate::item_writer::ItemWriter;
use crate::negotiation::{MetadataLevel, Representation};
use crate::numbers::BodyContent;
use crate::preconditions::BodyMayDiffer;
use crate::routes::with_context;
use crate::shares::ResponseReader;

pub(crate) type ApiResponse = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ODATA_VERSION: HeaderValue = HeaderValue::from_static("4.0");

/// Upper limit of the number of headers of a response.
const USUAL_HEADERS: usize = 12;

/// The kind of response to a successful write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ResponseKind {
    /// 201 with the whole referral.
    Created,
    /// 200 with the whole referral.
    Full,
    /// 200 with the whole referral, because `Prefer` asked for it.
    Preferred,
    /// 204 with only the entity tag.
    Empty,
}

impl ResponseKind {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            ResponseKind::Created => StatusCode::CREATED,
            ResponseKind::Full | ResponseKind::Preferred => StatusCode::OK,
            ResponseKind::Empty => StatusCode::NO_CONTENT,
        }
    }
}

/// A response with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: impl Into<Bytes>) -> ApiResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    // Capacity for all headers of a response, so that the map does not grow twice.
    response.headers_mut().reserve(USUAL_HEADERS);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A successful OData response.
pub(crate) fn odata_response(status: StatusCode, body: impl Into<Bytes>) -> ApiResponse {
    let mut response = json_response(status, body);
    add_odata_version(&mut response);
    response
}

/// Adds `OData-Version` (spec 4.2).
pub(crate) fn add_odata_version(response: &mut ApiResponse) {
    response.headers_mut().insert(name::ODATA_VERSION, ODATA_VERSION);
}

/// Sets `OData-Version: 4.01` if the response has the header.
pub(crate) fn set_newest_version(response: &mut ApiResponse) {
    if let Some(version) = response.headers_mut().get_mut(name::ODATA_VERSION) {
        *version = HeaderValue::from_static("4.01");
    }
}

impl RequestContext {
    /// Gives the numbers of an answer the form that the client named: in a slot of the reader's, where it is long.
    pub(crate) async fn write_numbers_as_strings(
        &self,
        response: &mut ApiResponse,
        asked: &Representation,
    ) -> Result<(), ApiError> {
        if asked.numbers_as_strings != Some(true) || !is_odata_json(response) {
            return Ok(());
        }
        let extensions = response.extensions_mut();
        let reader = extensions.remove::<ResponseReader>();
        let content = extensions.remove::<BodyContent>().unwrap_or(BodyContent::Referral(None));
        if matches!(content, BodyContent::Batch) {
            return Ok(());
        }
        let body = std::mem::take(response.body_mut()).into_inner().unwrap_or_default();
        let work = || content.with_strings(&body).ok_or_else(|| ApiError::internal("the answer is not JSON"));
        let made: Bytes = match reader {
            Some(reader) => {
                let made = self.exchange.run_large(&reader.caller, body.len(), work).await??;
                reader.count_replaced_body(made)
            }
            // Short, or of a write that has happened.
            None => exchange::block_in_place_if_large(body.len(), work)?.into(),
        };
        *response.body_mut() = Full::new(made);
        Ok(())
    }
}

/// Returns whether this is an OData response in JSON.
fn is_odata_json(response: &ApiResponse) -> bool {
    let headers = response.headers();
    headers.contains_key(name::ODATA_VERSION) && headers.get(CONTENT_TYPE) == Some(&JSON)
}

/// Gives an answer of the API proper in JSON the form that the client named, but for its numbers, and says so. Its tag
/// stays strong where the body is the one that is answered unasked; others have the same tag, weak.
pub(crate) fn apply_representation(response: &mut ApiResponse, asked: &Representation) {
    if !is_odata_json(response) {
        return;
    }
    if asked.metadata == Some(MetadataLevel::None) {
        let body = std::mem::take(response.body_mut()).into_inner().unwrap_or_default();
        *response.body_mut() = Full::new(without_context(body));
    }
    let headers = response.headers_mut();
    if let Some(named) = asked.content_type() {
        headers.insert(CONTENT_TYPE, named);
    }
    if !asked.is_default()
        && let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok())
    {
        let weak = value(&format!("W/{tag}"));
        headers.insert(ETAG, weak);
    }
    headers.entry(VARY).or_insert(HeaderValue::from_static("Accept"));
}

/// Returns a body without its context.
fn without_context(body: Bytes) -> Bytes {
    let Some(after) = body.strip_prefix(b"{\"@odata.context\":\"") else { return body };
    let Some(end) = memchr::memchr(b'"', after) else { return body };
    let rest = after.get(end + 1..).unwrap_or_default();
    [&b"{"[..], rest.strip_prefix(b",").unwrap_or(rest)].concat().into()
}

/// A response without a body.
pub(crate) fn empty_response(status: StatusCode) -> ApiResponse {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

impl RequestContext {
    /// Returns a referral as a successful response.
    pub(crate) fn referral_response(
        &self,
        kind: ResponseKind,
        visible: &VisibleReferral,
        metadata: MetadataLevel,
    ) -> ApiResponse {
        let mut response = match kind {
            ResponseKind::Empty => {
                let mut response = empty_response(StatusCode::NO_CONTENT);
                add_odata_version(&mut response);
                response
            }
            _ => odata_response(kind.status(), self.referral_body(visible, metadata)),
        };
        let headers = response.headers_mut();
        headers.insert(ETAG, headers::short_value(visible.etag));
        if visible.visibility_may_change {
            response.extensions_mut().insert(BodyMayDiffer);
        }
        let headers = response.headers_mut();
        if kind == ResponseKind::Created {
            headers.insert(LOCATION, value(&self.base.referral(visible.id)));
        }
        if kind == ResponseKind::Preferred {
            headers.insert(name::PREFERENCE_APPLIED, HeaderValue::from_static("return=representation"));
        }
        response
    }

    fn referral_body(&self, visible: &VisibleReferral, metadata: MetadataLevel) -> Bytes {
        let usual = || self.base.entity(&visible.document, visible.id, visible.engagement_id).into();
        if metadata == MetadataLevel::Minimal {
            return usual();
        }
        let Ok(list_request) = ListRequest::from_query("", self.mode()) else { return usual() };
        let item = exchange::ListItem { visible: visible.clone(), related: Vec::new() };
        // One document, and no expression of anybody's. It follows a write, which had its slot.
        let work = Work::new(u64::MAX, u64::MAX);
        let writer = ItemWriter::new(&self.base, &list_request, metadata, self.exchange.now(), &work);
        exchange::block_in_place_if_large(visible.document.len(), || {
            let Ok(tree) = writer.tree(&item) else { return usual() };
            match metadata {
                MetadataLevel::None => tree.to_string().into(),
                _ => with_context(self.base.entity_context(""), tree).to_string().into(),
            }
        })
    }

    /// Adds `Accept-Patch` with the accepted formats. Source: RFC 5789, 2.2 and 3.1.
    pub(crate) fn add_accept_patch(&self, response: &mut ApiResponse) {
        let formats = match self.options.mode.is_extended() {
            true => "application/json-patch+json, application/json, application/merge-patch+json",
            false => "application/json-patch+json, application/json",
        };
        response.headers_mut().insert(name::ACCEPT_PATCH, HeaderValue::from_static(formats));
    }

    /// Marks an answer of PUT, refusals included, which the contract calls obsolete (U1).
    /// Source: RFC 9745 (`Deprecation`: since the page's date, 2020-09-30) and RFC 8288 (`Link`).
    pub(crate) fn add_deprecation(&self, response: &mut ApiResponse) {
        let link =
            format!("<{}/docs/patch>; rel=\"successor-version\"; type=\"text/markdown\"", self.base.url());
        response.headers_mut().insert(name::DEPRECATION, HeaderValue::from_static("@1601424000"));
        response.headers_mut().insert(LINK, value(&link));
    }
}

/// An error as a response.
pub(crate) fn error_response(api_error: &ApiError) -> ApiResponse {
    let mut response = json_response(api_error.status, api_error.body());
    let headers = response.headers_mut();
    if api_error.status == StatusCode::UNAUTHORIZED {
        let inner = api_error.inner.as_ref().map_or("", |inner| inner.code);
        let challenge = match inner {
            "tokenMissing" => HeaderValue::from_static("Bearer realm=\"referrals\""),
            _ => HeaderValue::from_static("Bearer realm=\"referrals\", error=\"invalid_token\""),
        };
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(allow) = api_error.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some((name, value)) = &api_error.header {
        headers.insert(name, value.clone());
    }
    if let Some(seconds) = api_error.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(hint) = &api_error.hint {
        headers.insert(name::HINT, value(hint));
    }
    if api_error.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

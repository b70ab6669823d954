//! Answers: JSON with the headers of spec 4.2.

use bytes::Bytes;
use exchange::{ListRequest, VisibleReferral};
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, ETAG, LINK, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use odata::Work;

use crate::Shared;
use crate::face::Face;
use crate::headers::{self, name, value};
use crate::negotiation::{Metadata, Representation};
use crate::numbers::Content;
use crate::preconditions::MayDiffer;
use crate::routes::with_context;
use crate::shape::Shape;
use crate::shares::Reader;

pub(crate) type Answer = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ODATA_VERSION: HeaderValue = HeaderValue::from_static("4.0");

/// As many headers as an answer has, or a few more.
const USUAL_HEADERS: usize = 12;

/// What a successful write answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// 201 with the whole referral.
    Created,
    /// 200 with the whole referral.
    Whole,
    /// 200 with the whole referral, because `Prefer` asked for it.
    Preferred,
    /// 204 with the tag alone.
    Empty,
}

impl Reply {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Reply::Created => StatusCode::CREATED,
            Reply::Whole | Reply::Preferred => StatusCode::OK,
            Reply::Empty => StatusCode::NO_CONTENT,
        }
    }
}

/// An answer with a body of JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    // At once what all headers of an answer take, so that the map does not grow twice.
    answer.headers_mut().reserve(USUAL_HEADERS);
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer
}

/// A successful answer of the API proper.
pub(crate) fn odata(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = json(status, body);
    mark_odata(&mut answer);
    answer
}

/// Marks a successful answer on the API's paths (spec 4.2).
pub(crate) fn mark_odata(answer: &mut Answer) {
    answer.headers_mut().insert(name::ODATA_VERSION, ODATA_VERSION);
}

/// Names the newest version in place of the usual one, where the answer names one at all.
pub(crate) fn name_newest(answer: &mut Answer) {
    if let Some(version) = answer.headers_mut().get_mut(name::ODATA_VERSION) {
        *version = HeaderValue::from_static("4.01");
    }
}

impl Shared {
    /// Gives the numbers of an answer the form that the client named: in a slot of the reader's, where it is long.
    pub(crate) async fn with_numbers(&self, answer: &mut Answer, asked: &Representation) -> Result<(), Face> {
        if asked.numbers_as_strings != Some(true) || !is_of_json(answer) {
            return Ok(());
        }
        let extensions = answer.extensions_mut();
        let reader = extensions.remove::<Reader>();
        let content = extensions.remove::<Content>().unwrap_or(Content::Referral(None));
        if matches!(content, Content::Batch) {
            return Ok(());
        }
        let body = std::mem::take(answer.body_mut()).into_inner().unwrap_or_default();
        let work = || content.with_strings(&body).ok_or_else(|| Face::internal("the answer is not JSON"));
        let made: Bytes = match reader {
            Some(reader) => {
                let made = self.exchange.run_large(&reader.caller, body.len(), work).await??;
                reader.holding_instead(made)
            }
            // Short, or of a write that has happened.
            None => exchange::block_in_place_if_large(body.len(), work)?.into(),
        };
        *answer.body_mut() = Full::new(made);
        Ok(())
    }
}

/// Whether it is an answer of the API proper in JSON.
fn is_of_json(answer: &Answer) -> bool {
    let headers = answer.headers();
    headers.contains_key(name::ODATA_VERSION) && headers.get(CONTENT_TYPE) == Some(&JSON)
}

/// Gives an answer of the API proper in JSON the form that the client named, but for its numbers, and says so. Its tag
/// stays strong where the body is the one that is answered unasked; others have the same tag, weak.
pub(crate) fn represent(answer: &mut Answer, asked: &Representation) {
    if !is_of_json(answer) {
        return;
    }
    if asked.metadata == Some(Metadata::None) {
        let body = std::mem::take(answer.body_mut()).into_inner().unwrap_or_default();
        *answer.body_mut() = Full::new(without_context(body));
    }
    let headers = answer.headers_mut();
    if let Some(named) = asked.content_type() {
        headers.insert(CONTENT_TYPE, named);
    }
    if !asked.is_usual()
        && let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok())
    {
        let weak = value(&format!("W/{tag}"));
        headers.insert(ETAG, weak);
    }
    headers.entry(VARY).or_insert(HeaderValue::from_static("Accept"));
}

/// A body without the context that it may begin with.
fn without_context(body: Bytes) -> Bytes {
    let Some(after) = body.strip_prefix(b"{\"@odata.context\":\"") else { return body };
    let Some(end) = memchr::memchr(b'"', after) else { return body };
    let rest = after.get(end + 1..).unwrap_or_default();
    [&b"{"[..], rest.strip_prefix(b",").unwrap_or(rest)].concat().into()
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

impl Shared {
    /// A referral as the answer to a successful call.
    pub(crate) fn referral_answer(
        &self,
        reply: Reply,
        visible: &VisibleReferral,
        metadata: Metadata,
    ) -> Answer {
        let mut answer = match reply {
            Reply::Empty => {
                let mut answer = empty(StatusCode::NO_CONTENT);
                mark_odata(&mut answer);
                answer
            }
            _ => odata(reply.status(), self.referral_body(visible, metadata)),
        };
        let headers = answer.headers_mut();
        headers.insert(ETAG, headers::shown(visible.etag));
        if visible.visibility_may_change {
            answer.extensions_mut().insert(MayDiffer);
        }
        let headers = answer.headers_mut();
        if reply == Reply::Created {
            headers.insert(LOCATION, value(&self.base.referral(visible.id)));
        }
        if reply == Reply::Preferred {
            headers.insert(name::PREFERENCE_APPLIED, HeaderValue::from_static("return=representation"));
        }
        answer
    }

    fn referral_body(&self, visible: &VisibleReferral, metadata: Metadata) -> Bytes {
        let usual = || self.base.entity(&visible.document, visible.id, visible.engagement_id).into();
        if metadata == Metadata::Minimal {
            return usual();
        }
        let Ok(list_request) = ListRequest::from_query("", self.mode()) else { return usual() };
        let item = exchange::ListItem { visible: visible.clone(), related: Vec::new() };
        // One document, and no expression of anybody's. It follows a write, which had its slot.
        let work = Work::new(u64::MAX, u64::MAX);
        let shape = Shape::new(&self.base, &list_request, metadata, self.exchange.now(), &work);
        exchange::block_in_place_if_large(visible.document.len(), || {
            let Ok(tree) = shape.tree(&item) else { return usual() };
            match metadata {
                Metadata::None => tree.to_string().into(),
                _ => with_context(self.base.entity_context(""), tree).to_string().into(),
            }
        })
    }

    /// Names the patch formats that are taken. Source: RFC 5789, 2.2 and 3.1.
    pub(crate) fn name_patch_formats(&self, answer: &mut Answer) {
        let formats = match self.options.mode.is_extended() {
            true => "application/json-patch+json, application/json, application/merge-patch+json",
            false => "application/json-patch+json, application/json",
        };
        answer.headers_mut().insert(name::ACCEPT_PATCH, HeaderValue::from_static(formats));
    }

    /// Marks an answer of PUT, refusals included, which the contract calls obsolete (U1).
    /// Source: RFC 9745 (`Deprecation`: since the page's date, 2020-09-30) and RFC 8288 (`Link`).
    pub(crate) fn mark_obsolete(&self, answer: &mut Answer) {
        let link =
            format!("<{}/docs/patch>; rel=\"successor-version\"; type=\"text/markdown\"", self.base.url());
        answer.headers_mut().insert(name::DEPRECATION, HeaderValue::from_static("@1601424000"));
        answer.headers_mut().insert(LINK, value(&link));
    }
}

/// A refusal as an answer.
pub(crate) fn refusal(face: &Face) -> Answer {
    let mut answer = json(face.status, face.body());
    let headers = answer.headers_mut();
    if face.status == StatusCode::UNAUTHORIZED {
        let inner = face.inner.as_ref().map_or("", |inner| inner.code);
        let challenge = match inner {
            "tokenMissing" => HeaderValue::from_static("Bearer realm=\"referrals\""),
            _ => HeaderValue::from_static("Bearer realm=\"referrals\", error=\"invalid_token\""),
        };
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(allow) = face.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if let Some((name, value)) = &face.header {
        headers.insert(name, value.clone());
    }
    if let Some(seconds) = face.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(hint) = &face.hint {
        headers.insert(name::HINT, value(hint));
    }
    if face.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

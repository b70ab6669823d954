//! Answers: JSON with the headers of spec 4.2.

use bytes::Bytes;
use exchange::Shown;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, ETAG, LINK, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::Shared;
use crate::face::Face;
use crate::headers::{self, name, value};
use crate::negotiation::Metadata;

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

/// Names the level of metadata that the client named, where the answer is JSON of the API proper.
pub(crate) fn name_level(answer: &mut Answer, level: Metadata) {
    let headers = answer.headers_mut();
    if headers.contains_key(name::ODATA_VERSION) && headers.get(CONTENT_TYPE) == Some(&JSON) {
        headers.insert(CONTENT_TYPE, level.content_type());
    }
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

impl Shared {
    /// A referral as the answer to a successful call.
    pub(crate) fn referral_answer(&self, reply: Reply, shown: &Shown) -> Answer {
        let mut answer = match reply {
            Reply::Empty => {
                let mut answer = empty(StatusCode::NO_CONTENT);
                mark_odata(&mut answer);
                answer
            }
            _ => odata(reply.status(), self.base.entity(&shown.document, shown.id, shown.engagement_id)),
        };
        let headers = answer.headers_mut();
        headers.insert(ETAG, headers::shown(shown.etag));
        if reply == Reply::Created {
            headers.insert(LOCATION, value(&self.base.referral(shown.id)));
        }
        if reply == Reply::Preferred {
            headers.insert(name::PREFERENCE_APPLIED, HeaderValue::from_static("return=representation"));
        }
        answer
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

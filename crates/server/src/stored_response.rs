//! The stored form of a response, for repeats of a request. Source: spec 4.3.
//!
//! A success is kept as the referral was shown, without the public address; a refusal as its body and headers. The
//! referral's document comes after the record as it is: within it, each of its quotes would be escaped.

use bytes::Bytes;
use exchange::{StoredResponse, VisibleReferral};
use http::StatusCode;
use referral::{ETag, EngagementId, ReferralId};
use serde::{Deserialize, Serialize};

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::headers::{name, value};
use crate::negotiation::MetadataLevel;
use crate::response::{ApiResponse, ResponseKind, error_response, json_response};

#[derive(Serialize, Deserialize)]
enum StoredRecord {
    Success { reply: String, id: ReferralId, engagement: EngagementId, etag: ETag },
    Refusal { body: String, hint: Option<String> },
}

const KIND_NAMES: [(ResponseKind, &str); 4] = [
    (ResponseKind::Created, "created"),
    (ResponseKind::Full, "whole"),
    (ResponseKind::Preferred, "preferred"),
    (ResponseKind::Empty, "empty"),
];

/// Returns the record of a successful response.
pub(crate) fn record_success(reply: ResponseKind, visible: &VisibleReferral) -> Option<(u16, Bytes)> {
    let name = KIND_NAMES.iter().find(|(known, _)| *known == reply)?.1;
    let record = StoredRecord::Success {
        reply: name.to_owned(),
        id: visible.id,
        engagement: visible.engagement_id,
        etag: visible.etag,
    };
    let mut content = serde_json::to_vec(&record).ok()?;
    if reply != ResponseKind::Empty {
        content.extend_from_slice(&visible.document);
    }
    Some((reply.status().as_u16(), content.into()))
}

/// The record of a refusal, if it is one to remember: 400, 404, 409, 422 (4.3.3). 401, 403, 412, 429 and 5xx are
/// decided anew each time.
pub(crate) fn record_failure(api_error: &ApiError) -> Option<(u16, Bytes)> {
    let remembered =
        matches!(api_error.status.as_u16(), 400 | 404 | 409 | 422) && api_error.retry_after.is_none();
    if !remembered {
        return None;
    }
    let record = StoredRecord::Refusal {
        body: api_error.body(),
        hint: api_error.hint.as_ref().map(ToString::to_string),
    };
    Some((api_error.status.as_u16(), serde_json::to_vec(&record).ok()?.into()))
}

impl RequestContext {
    /// Returns the response that the first request got.
    pub(crate) fn replay(&self, response: &StoredResponse, metadata: MetadataLevel) -> ApiResponse {
        match self.try_replay(response, metadata) {
            Some(response) => response,
            None => error_response(&ApiError::internal("a remembered answer cannot be read")),
        }
    }

    fn try_replay(&self, response: &StoredResponse, metadata: MetadataLevel) -> Option<ApiResponse> {
        let mut records = serde_json::Deserializer::from_slice(&response.content).into_iter();
        match records.next()?.ok()? {
            StoredRecord::Success { reply, id, engagement, etag } => {
                let reply = KIND_NAMES.iter().find(|(_, known)| *known == reply)?.0;
                let document = response.content.slice(records.byte_offset()..);
                let visible = VisibleReferral {
                    id,
                    engagement_id: engagement,
                    etag,
                    document,
                    visibility_may_change: false,
                };
                Some(self.referral_response(reply, &visible, metadata))
            }
            StoredRecord::Refusal { body, hint } => {
                let mut replayed = json_response(StatusCode::from_u16(response.status).ok()?, body);
                if let Some(hint) = hint {
                    replayed.headers_mut().insert(name::HINT, value(&hint));
                }
                Some(replayed)
            }
        }
    }
}

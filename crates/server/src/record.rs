//! How an answer is remembered for a repeat: the store keeps it as bytes. Source: spec 4.3.
//!
//! A success is kept as the referral was shown, without the public address; a refusal as its body and headers. The
//! referral's document comes after the record as it is: within it, each of its quotes would be escaped.

use bytes::Bytes;
use exchange::{RememberedAnswer, VisibleReferral};
use http::StatusCode;
use referral::{ETag, EngagementId, ReferralId};
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::answer::{Answer, Reply, json, refusal};
use crate::face::Face;
use crate::headers::{name, value};
use crate::negotiation::Metadata;

#[derive(Serialize, Deserialize)]
enum Record {
    Success { reply: String, id: ReferralId, engagement: EngagementId, etag: ETag },
    Refusal { body: String, hint: Option<String> },
}

const REPLIES: [(Reply, &str); 4] = [
    (Reply::Created, "created"),
    (Reply::Whole, "whole"),
    (Reply::Preferred, "preferred"),
    (Reply::Empty, "empty"),
];

/// The record of a success.
pub(crate) fn success(reply: Reply, visible: &VisibleReferral) -> Option<(u16, Bytes)> {
    let name = REPLIES.iter().find(|(known, _)| *known == reply)?.1;
    let record = Record::Success {
        reply: name.to_owned(),
        id: visible.id,
        engagement: visible.engagement_id,
        etag: visible.etag,
    };
    let mut content = serde_json::to_vec(&record).ok()?;
    if reply != Reply::Empty {
        content.extend_from_slice(&visible.document);
    }
    Some((reply.status().as_u16(), content.into()))
}

/// The record of a refusal, if it is one to remember: 400, 404, 409, 422 (4.3.3). 401, 403, 412, 429 and 5xx are
/// decided anew each time.
pub(crate) fn failure(face: &Face) -> Option<(u16, Bytes)> {
    let remembered = matches!(face.status.as_u16(), 400 | 404 | 409 | 422) && face.retry_after.is_none();
    if !remembered {
        return None;
    }
    let record = Record::Refusal { body: face.body(), hint: face.hint.as_ref().map(ToString::to_string) };
    Some((face.status.as_u16(), serde_json::to_vec(&record).ok()?.into()))
}

impl Shared {
    /// The answer that the first call got.
    pub(crate) fn replay(&self, answer: &RememberedAnswer, metadata: Metadata) -> Answer {
        match self.try_replay(answer, metadata) {
            Some(answer) => answer,
            None => refusal(&Face::internal("a remembered answer cannot be read")),
        }
    }

    fn try_replay(&self, answer: &RememberedAnswer, metadata: Metadata) -> Option<Answer> {
        let mut records = serde_json::Deserializer::from_slice(&answer.content).into_iter();
        match records.next()?.ok()? {
            Record::Success { reply, id, engagement, etag } => {
                let reply = REPLIES.iter().find(|(_, known)| *known == reply)?.0;
                let document = answer.content.slice(records.byte_offset()..);
                let visible = VisibleReferral {
                    id,
                    engagement_id: engagement,
                    etag,
                    document,
                    visibility_may_change: false,
                };
                Some(self.referral_answer(reply, &visible, metadata))
            }
            Record::Refusal { body, hint } => {
                let mut replayed = json(StatusCode::from_u16(answer.status).ok()?, body);
                if let Some(hint) = hint {
                    replayed.headers_mut().insert(name::HINT, value(&hint));
                }
                Some(replayed)
            }
        }
    }
}

//! Reading a request body under the limits. Source: spec 4.5 (415, 411, 413, in this order), 8.5.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use referral::Json;

use crate::Shared;
use crate::face::Face;
use crate::negotiation::{MediaType, media_type};

/// How long a body may take to come, once its head is there.
const PATIENCE: Duration = Duration::from_secs(10);

/// A body as it came, and how it wants to be read.
pub(crate) struct Sent {
    pub bytes: Bytes,
    pub media_type: MediaType,
}

impl Shared {
    /// Reads the body of a call that needs one; `taken` are its media types.
    pub(crate) async fn body<B>(
        &self,
        headers: &HeaderMap,
        body: B,
        taken: &[MediaType],
    ) -> Result<Sent, Face>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let has_body =
            headers.contains_key(TRANSFER_ENCODING) || declared(headers).is_some_and(|length| length > 0);
        let sent_as = media_type(headers)?;
        let media_type = match sent_as {
            Some(media_type) if taken.contains(&media_type) => media_type,
            Some(_) => {
                return Err(Face::unsupported_media_type(
                    content_type(headers),
                    "send Content-Type: application/json",
                ));
            }
            None if has_body => {
                return Err(Face::unsupported_media_type("", "send Content-Type: application/json"));
            }
            None => MediaType::Json,
        };
        known_length(headers)?;
        let bytes = self.bytes(headers, body, self.options.body_limit).await?;
        Ok(Sent { bytes, media_type })
    }

    /// Reads a body whole, up to a limit.
    pub(crate) async fn bytes<B>(&self, headers: &HeaderMap, body: B, limit: usize) -> Result<Bytes, Face>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if declared(headers).is_some_and(|length| length > limit as u64) {
            return Err(Face::too_large(limit));
        }
        let Ok(_arriving) = self.arriving.try_acquire() else {
            return Err(Face::unavailable("too many bodies on their way").closing());
        };
        match tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Face::too_large(limit)),
            Ok(Err(_)) => Err(Face::broken_body()),
            Err(_) => Err(Face::slow_body()),
        }
    }

    /// Reads JSON, with the tolerance that is switched on.
    pub(crate) fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Json<'a>, Face> {
        Ok(referral::parse_json(bytes, self.options.tolerant_json)?)
    }
}

/// 411 for a body whose end is not told.
pub(crate) fn known_length(headers: &HeaderMap) -> Result<(), Face> {
    if headers.contains_key(TRANSFER_ENCODING) || declared(headers).is_some() {
        return Ok(());
    }
    Err(Face::length_required())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// `Content-Length`, which the HTTP layer has already held to be a number.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

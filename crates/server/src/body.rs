//! Reading a request body under the limits. Source: spec 4.5 (415, 411, 413, in this order), 8.5; ADR 0033.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http_body_util::BodyExt;
use hyper::body::Body;
use referral::Json;
use tokio::time::Instant;

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::negotiation::{MediaType, media_type};
use crate::shares::{Account, Capacity, CapacityError, Reservation};

/// What a body must bring in each [`BodyPace::window`], in bytes.
const MIN_BYTES_PER_WINDOW: usize = 1024;
/// Memory that is taken for a body before its first byte is there, in bytes: its task and its connection's buffer.
const INITIAL_BYTES: u64 = 4 * 1024;

/// What JSON values take in memory when they are read.
pub(crate) struct JsonWeight {
    /// The most of one body: more of them in its length are not what people send, but meant to take memory.
    most: usize,
    /// About what each takes, in bytes: itself, its name, and the room that a growing list leaves free.
    bytes: u64,
}

/// Of a referral, or a patch.
pub(crate) const REFERRAL_VALUES: JsonWeight = JsonWeight { most: 400_000, bytes: 64 };
/// Of a batch, which is read twice.
pub(crate) const BATCH_VALUES: JsonWeight = JsonWeight { most: 150_000, bytes: 170 };

/// How quickly a body must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPace {
    /// How long the whole of it may take.
    pub total: Duration,
    /// Each time so long has passed, it must have brought another kilobyte.
    pub window: Duration,
}

impl Default for BodyPace {
    fn default() -> BodyPace {
        BodyPace { total: Duration::from_secs(10), window: Duration::from_secs(3) }
    }
}

/// The memory that a request holds.
#[derive(Debug)]
pub(crate) struct RequestMemory(Mutex<Reservation>);

impl RequestMemory {
    /// The most that one request may have, when nothing else is held.
    fn most(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).most()
    }

    /// Takes more.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), CapacityError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).grow(bytes)
    }
}

impl exchange::MemoryAccount for RequestMemory {
    fn take(&self, bytes: u64) -> Result<(), exchange::MemoryLimitError> {
        self.take(bytes).map_err(|capacity_error| match capacity_error {
            CapacityError::Share(_) => exchange::MemoryLimitError::Share,
            CapacityError::Full(_) => exchange::MemoryLimitError::Full,
        })
    }
}

/// A body as it came, and how it wants to be read.
pub(crate) struct RequestBody {
    pub bytes: Bytes,
    pub media_type: MediaType,
    pub memory: RequestMemory,
}

impl RequestBody {
    /// What the request costs before it is looked at.
    pub(crate) fn cost(&self) -> exchange::RequestCost<'_> {
        exchange::RequestCost { memory: &self.memory, body_bytes: self.bytes.len() }
    }
}

/// A body as it came.
pub(crate) struct RawBody {
    pub bytes: Bytes,
    pub memory: RequestMemory,
}

impl RequestContext {
    /// Reads the body of a call that needs one; `taken` are its media types.
    pub(crate) async fn body<B>(
        &self,
        account: &Arc<Account>,
        headers: &HeaderMap,
        body: B,
        taken: &[MediaType],
    ) -> Result<RequestBody, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let has_body =
            headers.contains_key(TRANSFER_ENCODING) || declared(headers).is_some_and(|length| length > 0);
        let sent_as = media_type(headers, self.mode())?;
        let media_type = match sent_as {
            Some(media_type) if taken.contains(&media_type) => media_type,
            Some(_) => {
                return Err(ApiError::unsupported_media_type(
                    content_type(headers),
                    "send Content-Type: application/json",
                ));
            }
            None if has_body => {
                return Err(ApiError::unsupported_media_type("", "send Content-Type: application/json"));
            }
            None => MediaType::Json,
        };
        require_length(headers)?;
        let RawBody { bytes, memory } = self.bytes(account, headers, body, self.options.body_limit).await?;
        weigh(&bytes, &memory, &REFERRAL_VALUES)?;
        Ok(RequestBody { bytes, media_type, memory })
    }

    /// Reads a body whole, up to a limit. What has come counts as the caller's for as long as it is held.
    pub(crate) async fn bytes<B>(
        &self,
        account: &Arc<Account>,
        headers: &HeaderMap,
        body: B,
        limit: usize,
    ) -> Result<RawBody, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if declared(headers).is_some_and(|length| length > limit as u64) {
            return Err(ApiError::too_large(limit));
        }
        let refused = |capacity_error| ApiError::from(capacity_error).closing_connection();
        let _arriving = account.take(Capacity::Bodies, 1).map_err(refused)?;
        let mut reservation = account.take(Capacity::Memory, INITIAL_BYTES).map_err(refused)?;
        let bytes = self.read_limited(body, limit, declared(headers), &mut reservation).await?;
        Ok(RawBody { bytes, memory: RequestMemory(Mutex::new(reservation)) })
    }

    /// All of a body. It is copied together as it comes, for the pieces of a body that dribbles take many times its length.
    async fn read_limited<B>(
        &self,
        body: B,
        limit: usize,
        declared: Option<u64>,
        reservation: &mut Reservation,
    ) -> Result<Bytes, ApiError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let BodyPace { total, window } = self.options.body_pace;
        let mut body = pin!(body);
        let begun = Instant::now();
        let (end, mut next_look, mut come) = (begun + total, begun + window, 0);
        let mut collected = BytesMut::new();
        loop {
            let frame = match tokio::time::timeout_at(next_look.min(end), body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(ApiError::broken_body()),
                Ok(None) => return Ok(collected.freeze()),
                Err(_) if come >= MIN_BYTES_PER_WINDOW && next_look < end => {
                    (next_look, come) = (next_look + window, 0);
                    continue;
                }
                Err(_) => return Err(ApiError::slow_body()),
            };
            let Ok(piece) = frame.into_data() else { continue };
            come += piece.len();
            let length = collected.len() + piece.len();
            if length > limit {
                return Err(ApiError::too_large(limit));
            }
            if collected.is_empty() && declared == Some(length as u64) {
                reservation
                    .grow(length as u64)
                    .map_err(|capacity_error| ApiError::from(capacity_error).closing_connection())?;
                return Ok(piece);
            }
            if length > collected.capacity() {
                // Twice as much each time, but never more than was announced.
                let most = declared.map_or(limit, |declared| usize::try_from(declared).unwrap_or(limit));
                let room = (collected.capacity() * 2).min(most).max(length);
                let more = room - collected.capacity();
                reservation
                    .grow(more as u64)
                    .map_err(|capacity_error| ApiError::from(capacity_error).closing_connection())?;
                collected.reserve(room - collected.len());
            }
            collected.extend_from_slice(&piece);
        }
    }

    /// Reads JSON, with the tolerance that is switched on. Long bodies are read in a slot of the caller's.
    pub(crate) fn parse<'a>(&self, bytes: &'a [u8]) -> Result<Json<'a>, ApiError> {
        Ok(referral::parse_json(bytes, self.options.tolerant_json)?)
    }
}

/// Takes the memory that reading a body of JSON needs; 413 for one of too many values.
pub(crate) fn weigh(bytes: &[u8], memory: &RequestMemory, weight: &JsonWeight) -> Result<(), ApiError> {
    let most = usize::try_from(memory.most() / weight.bytes).unwrap_or(usize::MAX).min(weight.most);
    let mut values = max_json_values(bytes);
    if values > most {
        values = count_json_values(bytes);
        if values > most {
            return Err(ApiError::too_many_values(most));
        }
    }
    Ok(memory.take(values as u64 * weight.bytes)?)
}

/// At least as many values as the text has: each but the first is the first of a list or an object, or follows a comma.
fn max_json_values(bytes: &[u8]) -> usize {
    1 + bytes.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count()
}

/// The same, without what stands in strings, and without empty lists and objects.
fn count_json_values(mut bytes: &[u8]) -> usize {
    let mut values = 1;
    loop {
        let quote = memchr::memchr(b'"', bytes).unwrap_or(bytes.len());
        let (outside, string) = bytes.split_at(quote);
        let next = outside.iter().skip(1).map(Some).chain([None]);
        let begins = |(byte, next): &(&u8, Option<&u8>)| match byte {
            b',' => true,
            b'[' | b'{' => !matches!(next, Some(b']' | b'}')),
            _ => false,
        };
        values += outside.iter().zip(next).filter(begins).count();
        let Some(mut inside) = string.get(1..) else { return values };
        loop {
            match memchr::memchr2(b'"', b'\\', inside) {
                None => return values,
                Some(at) if inside[at] == b'"' => {
                    bytes = &inside[at + 1..];
                    break;
                }
                Some(at) => inside = inside.get(at + 2..).unwrap_or_default(),
            }
        }
    }
}

/// 411 for a body whose end is not told.
pub(crate) fn require_length(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(TRANSFER_ENCODING) || declared(headers).is_some() {
        return Ok(());
    }
    Err(ApiError::length_required())
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// `Content-Length`, which the HTTP layer has already held to be a number.
fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_and_what_stands_in_strings_is_not() {
        for (text, at_most, values) in [
            ("1", 1, 1),
            ("", 1, 1),
            ("[1,2,3]", 4, 4),
            (r#"{"a":1,"b":[{}]}"#, 5, 4),
            (r#"{"a":"1,2,[{"}"#, 6, 2),
            (r#"["\"",",","\\",1]"#, 6, 5),
            (r#"["unfinished,,,"#, 5, 2),
            ("[{},{},[]]", 7, 4),
            (r#"["\"#, 2, 2),
        ] {
            assert_eq!(max_json_values(text.as_bytes()), at_most, "{text}");
            assert_eq!(count_json_values(text.as_bytes()), values, "{text}");
        }
    }
}

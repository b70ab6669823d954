//! `$batch`: many requests in one, in the extended temperament. Source: OData Protocol 4.01, 11.7; OData JSON Format
//! 4.01, 19.
//!
//! A batch is read whole ([`json`], [`multipart`]) before anything of it is done. Then each of its requests goes the
//! way of a request from the network ([`run`]), with the caller of the batch.

mod address;
mod json;
mod multipart;
mod run;

use bytes::Bytes;
use exchange::ApiMode;
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, EXPECT, FROM, HeaderName, IF_MATCH, IF_NONE_MATCH, MAX_FORWARDS,
    PROXY_AUTHORIZATION, RANGE, TE, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Body;
use odata::{Header, Preference};

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::body::{BATCH_VALUES, RawBody, require_length, weigh};
use crate::headers::{RequestIds, joined_lines, name, value};
use crate::media_range::MediaRange;
use crate::negotiation::{
    JSON, accepts_coding, check_version, has_known_parameters, has_return_preference, parameters_of,
    preferred, refuse_encoded,
};
use crate::numbers::BodyContent;
use crate::response::{ApiResponse, odata_response};

/// The most requests of one batch.
const MAX_REQUESTS: usize = 1000;
/// The requests that are left when the answers together are so long, in bytes, are refused.
const MAX_RESPONSE_BYTES: usize = 16 * 1024 * 1024;
/// A group whose writes hold so much memory before they are committed, in bytes, is refused.
const MAX_STAGED_BYTES: usize = 16 * 1024 * 1024;

/// A batch as it was read: its requests in their order.
struct Batch {
    parts: Vec<BatchPart>,
    /// The names of its groups, whose members are neighbours.
    groups: Vec<String>,
}

/// One request of a batch.
struct BatchPart {
    /// `id` or `Content-ID`.
    id: Option<String>,
    /// The group (change set) that it is a member of.
    group: Option<usize>,
    /// The places of those before it that must have succeeded.
    depends_on: Vec<usize>,
    /// What it asks, or why that is refused whatever the others do.
    part_request: Result<PartRequest, ApiError>,
}

/// What a request of a batch asks.
#[derive(Clone)]
struct PartRequest {
    method: Method,
    /// As sent: relative, absolute, or beginning with a reference.
    url: String,
    headers: HeaderMap,
    body: Bytes,
}

/// The answer to one request of a batch.
struct PartResponse {
    /// The place of its request.
    at: usize,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The answers to a request outside of groups, or to a group.
struct UnitResponse {
    replies: Vec<PartResponse>,
    /// The place, among the replies, of the one by which it failed.
    failed: Option<usize>,
}

/// How batches are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BatchFormat {
    Json,
    Multipart,
}

impl BatchFormat {
    fn media_type(self) -> &'static str {
        match self {
            BatchFormat::Json => JSON,
            BatchFormat::Multipart => "multipart/mixed",
        }
    }

    /// How the batch is written; 415 for any other way, and for a compressed one.
    fn sent(headers: &HeaderMap) -> Result<BatchFormat, ApiError> {
        refuse_encoded(headers)?;
        let sent = joined_lines(headers, &CONTENT_TYPE).unwrap_or_default();
        let range = MediaRange::parse(&sent);
        let range = range.filter(|range| match range.name.as_str() {
            // Its parameters are looked at where the parts are read.
            "multipart/mixed" => true,
            _ => has_known_parameters(range, ApiMode::Extended),
        });
        let named = range.map(|range| range.name).unwrap_or_default();
        match [BatchFormat::Json, BatchFormat::Multipart]
            .into_iter()
            .find(|format| format.media_type() == named)
        {
            Some(format) => Ok(format),
            None => Err(ApiError::unsupported_media_type(
                &sent,
                "send Content-Type: application/json, or multipart/mixed with a boundary",
            )),
        }
    }

    /// How the answer is to be written: as the batch, unless `Accept` wants the other way more. 406 for neither.
    fn wanted(headers: &HeaderMap, sent: BatchFormat) -> Result<BatchFormat, ApiError> {
        accepts_coding(headers, ApiMode::Extended)?;
        let Some(accept) = joined_lines(headers, &ACCEPT).filter(|accept| !accept.trim().is_empty()) else {
            return Ok(sent);
        };
        let rule = parameters_of(headers, ApiMode::Extended);
        let weight = |format: BatchFormat| {
            preferred(&accept, format.media_type(), rule).map_or(0, |found| found.weight)
        };
        let other = if sent == BatchFormat::Json { BatchFormat::Multipart } else { BatchFormat::Json };
        let (same, instead) = (weight(sent), weight(other));
        if same == 0 && instead == 0 {
            return Err(ApiError::no_batch_acceptable(&accept));
        }
        Ok(if instead > same { other } else { sent })
    }
}

impl RequestContext {
    /// `POST …/$batch`. `root` is what its relative addresses begin with.
    pub(crate) async fn batch<B>(
        &self,
        root: &'static str,
        request: Request<B>,
        request_ids: RequestIds,
    ) -> Result<ApiResponse, ApiError>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let headers = &head.headers;
        let caller = self.authenticate_and_throttle(headers, &request_ids).await?;
        let sent = BatchFormat::sent(headers);
        let wanted = BatchFormat::wanted(headers, *sent.as_ref().unwrap_or(&BatchFormat::Json))?;
        let sent = sent?;
        require_length(headers)?;
        let RawBody { bytes, memory } =
            self.bytes(&caller.account, headers, body, self.options.body_limit).await?;
        if sent == BatchFormat::Json {
            weigh(&bytes, &memory, &BATCH_VALUES)?;
        }
        check_version(headers)?;
        no_options(head.uri.query().unwrap_or_default())?;
        nothing_of_its_parts(headers)?;
        let read = || match sent {
            BatchFormat::Json => json::read(&serde_json::Value::from(&self.parse(&bytes)?)),
            BatchFormat::Multipart => multipart::read(&bytes, &multipart::boundary(headers)?),
        };
        let batch = self.exchange.run_large(&caller, bytes.len(), read).await??;
        let wish = continue_on_error(headers);
        let go_on = wish.unwrap_or(sent == BatchFormat::Json);
        let units = run::BatchRun::new(self, &caller, headers, root, &batch, &memory).all(go_on).await;
        let length = units.iter().flat_map(|unit| &unit.replies).map(|reply| reply.body.len()).sum();
        let write = || match wanted {
            BatchFormat::Json => (None, json::write(&batch, &units)),
            BatchFormat::Multipart => {
                let mut fresh = || self.random.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                let (content_type, body) =
                    multipart::write(&batch, &units, sent == BatchFormat::Multipart, &mut fresh);
                (Some(content_type), body)
            }
        };
        // What has happened is told, whatever else of the caller's waits.
        let (content_type, body) = exchange::block_in_place_if_large(length, write);
        let mut response = odata_response(StatusCode::OK, body);
        response.extensions_mut().insert(BodyContent::Batch);
        if let Some(content_type) = content_type {
            response.headers_mut().insert(CONTENT_TYPE, value(&content_type));
        }
        if wish.is_some() || units.iter().any(|unit| unit.failed.is_some()) {
            // Protocol 8.2.8.3: who goes on after an error says so.
            let applied = value(&format!("continue-on-error={go_on}"));
            response.headers_mut().insert(name::PREFERENCE_APPLIED, applied);
        }
        Ok(caller.count_written_response(response))
    }
}

/// What `Prefer` says of the requests after one that failed.
fn continue_on_error(headers: &HeaderMap) -> Option<bool> {
    let prefer = joined_lines(headers, &name::PREFER)?;
    Preference::read_all(&prefer).into_iter().find_map(|preference| match preference {
        Preference::ContinueOnError(wish) => Some(wish),
        _ => None,
    })
}

/// 400 for headers that belong to the requests within. Source: OData Protocol 4.01, 8.2.4, 8.2.5 and 8.2.8.7.
fn nothing_of_its_parts(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(IF_MATCH) {
        return Err(ApiError::not_of_a_batch("If-Match"));
    }
    if headers.contains_key(IF_NONE_MATCH) {
        return Err(ApiError::not_of_a_batch("If-None-Match"));
    }
    if has_return_preference(headers) {
        return Err(ApiError::not_of_a_batch("Prefer"));
    }
    Ok(())
}

/// A batch has no query options of its own.
fn no_options(query: &str) -> Result<(), ApiError> {
    crate::query::parse_allowed_options(query, exchange::ApiMode::Extended, &[], "a batch").map(|_| ())
}

/// `request-id` of the ABNF: what `id`, `atomicityGroup` and `Content-ID` may be.
fn is_id(text: &str) -> bool {
    Header::parse_request_id(text).is_ok()
}

/// The methods of OData (JSON Format 19.1), in any case of letters.
fn method(text: &str) -> Result<Method, ApiError> {
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
        .into_iter()
        .find(|method| method.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            ApiError::malformed_batch("method", "The method is none of get, post, put, patch, delete.")
        })
}

/// Refuses the headers that no request of a batch may have (Protocol 11.7.7.1). Its caller is the batch's.
fn proper_headers(headers: &HeaderMap) -> Result<(), ApiError> {
    const REFUSED: [HeaderName; 8] =
        [AUTHORIZATION, PROXY_AUTHORIZATION, EXPECT, FROM, MAX_FORWARDS, RANGE, TE, TRANSFER_ENCODING];
    match REFUSED.iter().find(|name| headers.contains_key(*name)) {
        Some(name) => {
            let message = format!("A request within a batch cannot have the header {name}.");
            Err(ApiError::malformed_batch(name.to_string(), message))
        }
        None => Ok(()),
    }
}

/// Why a batch of more than [`MOST_REQUESTS`] is refused.
fn too_many() -> ApiError {
    ApiError::malformed_batch("requests", format!("A batch has at most {MAX_REQUESTS} requests."))
}

//! Batches in JSON. Source: OData JSON Format 4.01, 19.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};

use super::{
    Batch, BatchPart, MAX_REQUESTS, PartRequest, PartResponse, UnitResponse, is_id, method, proper_headers,
    too_many,
};
use crate::api_error::ApiError;
use crate::headers::joined_lines;

/// Reads a batch. Its form as a whole must be right; what is wrong within one request is refused to that one.
pub(super) fn read(body: &Value) -> Result<Batch, ApiError> {
    let requests = body.get("requests").and_then(Value::as_array).ok_or_else(|| {
        ApiError::malformed_batch("requests", "A batch is an object with the array requests.")
    })?;
    if requests.len() > MAX_REQUESTS {
        return Err(too_many());
    }
    let mut reader = JsonBatchReader::default();
    for (at, request) in requests.iter().enumerate() {
        let request = request.as_object().ok_or_else(|| wrong(at, "", "A request is an object."))?;
        reader.request(at, request)?;
    }
    Ok(reader.batch)
}

/// What has been read so far.
struct JsonBatchReader {
    batch: Batch,
    ids: HashMap<String, usize>,
    groups: HashMap<String, usize>,
}

impl Default for JsonBatchReader {
    fn default() -> JsonBatchReader {
        let batch = Batch { parts: Vec::new(), groups: Vec::new() };
        JsonBatchReader { batch, ids: HashMap::new(), groups: HashMap::new() }
    }
}

impl JsonBatchReader {
    fn request(&mut self, at: usize, request: &Map<String, Value>) -> Result<(), ApiError> {
        let id = text(request, at, "id")?.ok_or_else(|| missing(at, "id"))?;
        if !is_id(id) {
            return Err(wrong(at, "id", "An id consists of letters, digits and -._~ alone."));
        }
        let group = self.group(at, request)?;
        let depends_on = self.depends_on(at, request, group)?;
        if self.groups.contains_key(id) || self.ids.insert(id.to_owned(), at).is_some() {
            return Err(wrong(at, "id", "The id is not unique within the batch."));
        }
        let method = text(request, at, "method")?.ok_or_else(|| missing(at, "method"))?;
        let url = text(request, at, "url")?.ok_or_else(|| missing(at, "url"))?;
        let part_request = match request.get("if") {
            None | Some(Value::Null) => part_request(request, method, url),
            // JSON Format 19.1: without conditions, the dependent request fails with 424.
            Some(_) => Err(ApiError::failed_dependency("if", "Conditions of requests are not supported.")),
        };
        let part_request = part_request.and_then(|part_request| match group {
            Some(_) if part_request.method == Method::GET => {
                Err(ApiError::not_implemented("atomicityGroup", "A group holds writes alone."))
            }
            _ => Ok(part_request),
        });
        self.batch.parts.push(BatchPart { id: Some(id.to_owned()), group, depends_on, part_request });
        Ok(())
    }

    fn group(&mut self, at: usize, request: &Map<String, Value>) -> Result<Option<usize>, ApiError> {
        let Some(name) = text(request, at, "atomicityGroup")? else { return Ok(None) };
        if !is_id(name) || self.ids.contains_key(name) {
            let message = "An atomicityGroup is named as ids are, and otherwise than any of them.";
            return Err(wrong(at, "atomicityGroup", message));
        }
        let newest = self.batch.groups.len();
        match self.groups.get(name) {
            None => {
                self.groups.insert(name.to_owned(), newest);
                self.batch.groups.push(name.to_owned());
                Ok(Some(newest))
            }
            Some(known) if self.batch.parts.last().and_then(|last| last.group) == Some(*known) => {
                Ok(Some(*known))
            }
            Some(_) => Err(wrong(at, "atomicityGroup", "The requests of a group follow one another.")),
        }
    }

    /// The places of the requests, and of the members of groups, that are named: all of them come before.
    fn depends_on(
        &self,
        at: usize,
        request: &Map<String, Value>,
        group: Option<usize>,
    ) -> Result<Vec<usize>, ApiError> {
        let wrong = |message| wrong(at, "dependsOn", message);
        let names = match request.get("dependsOn") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(names) => names.as_array().ok_or_else(|| wrong("dependsOn is an array of ids."))?,
        };
        let mut places = Vec::new();
        for name in names {
            let name = name.as_str().ok_or_else(|| wrong("dependsOn is an array of ids."))?;
            if let Some(place) = self.ids.get(name) {
                places.push(*place);
            } else if let Some(known) = self.groups.get(name).filter(|known| Some(**known) != group) {
                let parts = self.batch.parts.iter().enumerate();
                // A group fails as one, so its last member stands for all.
                places
                    .extend(parts.rev().find(|(_, part)| part.group == Some(*known)).map(|(place, _)| place));
            } else {
                return Err(wrong("dependsOn names no request or group that comes before."));
            }
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }
}

fn part_request(request: &Map<String, Value>, method_name: &str, url: &str) -> Result<PartRequest, ApiError> {
    let method = method(method_name)?;
    let mut headers = headers(request)?;
    proper_headers(&headers)?;
    let body = match request.get("body") {
        None | Some(Value::Null) => Bytes::new(),
        Some(_) if matches!(method, Method::GET | Method::DELETE) => {
            return Err(ApiError::malformed_batch("body", "A get or delete has no body."));
        }
        Some(body) => {
            let json = HeaderValue::from_static("application/json");
            let sent_as = headers.entry(CONTENT_TYPE).or_insert(json);
            content(body, sent_as.to_str().unwrap_or_default())?
        }
    };
    Ok(PartRequest { method, url: url.to_owned(), headers, body })
}

fn headers(request: &Map<String, Value>) -> Result<HeaderMap, ApiError> {
    let wrong =
        || ApiError::malformed_batch("headers", "headers is an object of strings, with each name once.");
    let mut headers = HeaderMap::new();
    let named = match request.get("headers") {
        None | Some(Value::Null) => return Ok(headers),
        Some(named) => named.as_object().ok_or_else(wrong)?,
    };
    for (name, value) in named {
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok()).ok_or_else(wrong)?;
        if headers.try_insert(name, value).map_err(|_| wrong())?.is_some() {
            return Err(wrong());
        }
    }
    Ok(headers)
}

/// How a body is written within the batch, by its media type.
enum BodyEncoding {
    Json,
    Text,
    Base64,
}

impl BodyEncoding {
    fn of(content_type: &str) -> BodyEncoding {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => BodyEncoding::Json,
            json if json.starts_with("application/") && json.ends_with("+json") => BodyEncoding::Json,
            text if text.starts_with("text/") => BodyEncoding::Text,
            _ => BodyEncoding::Base64,
        }
    }
}

fn content(body: &Value, content_type: &str) -> Result<Bytes, ApiError> {
    let text = || {
        let message = "The body of this content-type is a string.";
        body.as_str().ok_or_else(|| ApiError::malformed_batch("body", message))
    };
    Ok(match BodyEncoding::of(content_type) {
        BodyEncoding::Json => body.to_string().into(),
        BodyEncoding::Text => text()?.to_owned().into(),
        BodyEncoding::Base64 => {
            let text = text()?.trim_end_matches('=');
            let decoded = URL_SAFE_NO_PAD.decode(text);
            let message = "The body of this content-type is base64url.";
            decoded.map_err(|_| ApiError::malformed_batch("body", message))?.into()
        }
    })
}

fn text<'a>(request: &'a Map<String, Value>, at: usize, member: &str) -> Result<Option<&'a str>, ApiError> {
    match request.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(at, member, "The member is a string.")),
    }
}

fn missing(at: usize, member: &str) -> ApiError {
    wrong(at, member, "A request has id, method and url.")
}

fn wrong(at: usize, member: &str, message: &'static str) -> ApiError {
    let slash = if member.is_empty() { "" } else { "/" };
    ApiError::malformed_batch(format!("requests/{at}{slash}{member}"), message)
}

/// Writes the answers, in the order of their requests.
pub(super) fn write(batch: &Batch, units: &[UnitResponse]) -> Vec<u8> {
    let mut out = br#"{"responses":["#.to_vec();
    for (count, reply) in units.iter().flat_map(|unit| &unit.replies).enumerate() {
        if count > 0 {
            out.push(b',');
        }
        response(batch, reply, &mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

fn response(batch: &Batch, reply: &PartResponse, out: &mut Vec<u8>) {
    let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
    put("{");
    let part = batch.parts.get(reply.at);
    if let Some(id) = part.and_then(|part| part.id.as_deref()) {
        put(&format!("\"id\":{},", json!(id)));
    }
    if let Some(group) = part.and_then(|part| part.group).and_then(|group| batch.groups.get(group)) {
        put(&format!("\"atomicityGroup\":{},", json!(group)));
    }
    let headers: Map<String, Value> = reply
        .headers
        .keys()
        .map(|name| (name.to_string(), joined_lines(&reply.headers, name).into()))
        .collect();
    put(&format!("\"status\":{},\"headers\":{}", reply.status.as_u16(), Value::Object(headers)));
    if !reply.body.is_empty() {
        put(",\"body\":");
        match BodyEncoding::of(&joined_lines(&reply.headers, &CONTENT_TYPE).unwrap_or_default()) {
            // It is long, and JSON already: it is copied, not read.
            BodyEncoding::Json => out.extend_from_slice(&reply.body),
            BodyEncoding::Text => put(&json!(String::from_utf8_lossy(&reply.body)).to_string()),
            BodyEncoding::Base64 => put(&json!(URL_SAFE.encode(&reply.body)).to_string()),
        }
    }
    out.push(b'}');
}

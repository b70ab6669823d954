//! The headers of spec section 4: what every answer carries, and how request headers are read.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use http::{HeaderMap, HeaderName, HeaderValue};
use identity::TokenHash;
use referral::{ClientRequestId, Timestamp};
use uuid::Uuid;

/// Names the contract adds to HTTP's own.
pub(crate) mod name {
    use http::HeaderName;

    pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
    pub(crate) const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
    pub(crate) const MS_REQUEST_ID: HeaderName = HeaderName::from_static("ms-requestid");
    pub(crate) const MS_CORRELATION_ID: HeaderName = HeaderName::from_static("ms-correlationid");
    pub(crate) const TIMESTAMP: HeaderName = HeaderName::from_static("timestamp");
    pub(crate) const DIAGNOSTIC: HeaderName = HeaderName::from_static("x-ms-ags-diagnostic");
    pub(crate) const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");
    pub(crate) const ODATA_MAX_VERSION: HeaderName = HeaderName::from_static("odata-maxversion");
    pub(crate) const ISOLATION: HeaderName = HeaderName::from_static("isolation");
    pub(crate) const ODATA_ISOLATION: HeaderName = HeaderName::from_static("odata-isolation");
    pub(crate) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
    pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
    pub(crate) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
    pub(crate) const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
    pub(crate) const LEFT_OUT: HeaderName = HeaderName::from_static("x-cosell-left-out");
    pub(crate) const HINT: HeaderName = HeaderName::from_static("x-cosell-hint");
}

/// Diagnostic text, opaque and without secrets (spec 4.2).
const DIAGNOSTIC: HeaderValue = HeaderValue::from_static(concat!(
    r#"{"ServerInfo":{"Server":"cosell","Version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}"#
));

/// What ties an answer to its request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestIds {
    /// The idempotency key, when the request brought one (4.3).
    pub idempotency_id: Option<ClientRequestId>,
    /// The answer's `Request-ID`: the request's own, or a generated one.
    pub request_id: Uuid,
    client_request_id: Uuid,
    /// When the request arrived.
    pub arrived: Timestamp,
    /// The hash of its bearer token, where the connection knows it already.
    pub token: Option<TokenHash>,
}

impl RequestIds {
    /// Reads the ids of a request; `fresh` gives those it lacks.
    pub(crate) fn from_headers(
        headers: &HeaderMap,
        arrived: Timestamp,
        fresh: impl Fn() -> Uuid,
    ) -> RequestIds {
        let idempotency_id = guid(headers, &name::REQUEST_ID).or_else(|| guid(headers, &name::MS_REQUEST_ID));
        let client =
            guid(headers, &name::CLIENT_REQUEST_ID).or_else(|| guid(headers, &name::MS_CORRELATION_ID));
        RequestIds {
            idempotency_id,
            request_id: idempotency_id.map_or_else(&fresh, |id| id.as_uuid()),
            client_request_id: client.map_or_else(&fresh, |id| id.as_uuid()),
            arrived,
            token: None,
        }
    }

    /// With the hash of the request's token, if it is known.
    pub(crate) fn with_token(self, token: Option<TokenHash>) -> RequestIds {
        RequestIds { token, ..self }
    }

    /// Puts the headers of every answer on this one.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        headers.insert(name::REQUEST_ID, guid_value(self.request_id));
        headers.insert(name::CLIENT_REQUEST_ID, guid_value(self.client_request_id));
        headers.insert(name::TIMESTAMP, short_value(self.arrived));
        headers.insert(name::DIAGNOSTIC, DIAGNOSTIC);
    }
}

/// A header's value if it is a GUID; anything else is ignored (REF-035).
fn guid(headers: &HeaderMap, name: &HeaderName) -> Option<ClientRequestId> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn guid_value(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    value(id.as_hyphenated().encode_lower(&mut buffer))
}

/// A header value from something short of ours, such as a tag or an instant.
pub(crate) fn short_value(what: impl Display) -> HeaderValue {
    let mut buffer = [0; 64];
    let mut room = &mut buffer[..];
    let written = write!(room, "{what}");
    let left = room.len();
    match HeaderValue::from_bytes(&buffer[..buffer.len() - left]) {
        Ok(short) if written.is_ok() => short,
        _ => value(&what.to_string()),
    }
}

/// A header value from a text of ours; what a header cannot hold becomes a question mark.
pub(crate) fn value(text: &str) -> HeaderValue {
    // The library takes bytes beyond ASCII, which clients read as they like. Source: RFC 9110, section 5.5.
    if text.is_ascii()
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let safe: String = text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    HeaderValue::from_str(&safe).unwrap_or_else(|_| HeaderValue::from_static("?"))
}

/// All lines of a list header, joined by commas; bytes that are no text become question marks.
pub(crate) fn joined_lines<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let first = lines.next()?;
    Some(lines.fold(first, |all, line| format!("{all},{line}").into()))
}

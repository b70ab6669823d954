//! Preconditions of requests that change nothing, held against the answer they would get. Source: RFC 9110, 13.1 and 13.2.
//!
//! Those of a write are decided together with it, by the exchange.

use http::header::{CACHE_CONTROL, ETAG, IF_MATCH, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Method, StatusCode};

use crate::api_error::ApiError;
use crate::headers::{joined_lines, name};
use crate::media_range::members;
use crate::response::{ApiResponse, empty_response, error_response};

/// Marks an answer whose tag does not tell whether its body is still the same: it shows other referrals, or the time, or
/// less of a referral than the caller may come to see of the same version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyMayDiffer;

/// The preconditions of a GET or HEAD.
#[derive(Debug, Default)]
pub(crate) struct ReadPreconditions {
    if_match: Option<String>,
    if_none_match: Option<String>,
}

impl ReadPreconditions {
    /// Reads them, where there are any.
    pub(crate) fn from_request(method: &Method, headers: &HeaderMap) -> Option<ReadPreconditions> {
        let reads = *method == Method::GET || *method == Method::HEAD;
        if !reads || !(headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH)) {
            return None;
        }
        let read = |name| joined_lines(headers, name).map(|value| value.into_owned());
        Some(ReadPreconditions { if_match: read(&IF_MATCH), if_none_match: read(&IF_NONE_MATCH) })
    }

    /// Only `If-None-Match`: the strict mode ignores the other on GET (spec 4.1).
    pub(crate) fn only_if_none_match(self) -> ReadPreconditions {
        ReadPreconditions { if_match: None, ..self }
    }

    /// The answer, or 412, or 304 in its place. An answer that is no success stays what it is (13.2.1).
    pub(crate) fn apply(&self, response: ApiResponse) -> ApiResponse {
        if response.status() != StatusCode::OK && response.status() != StatusCode::NO_CONTENT {
            return response;
        }
        let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok());
        if self.if_match.as_deref().is_some_and(|tags| !names(tags, tag)) {
            return error_response(&ApiError::precondition_of_read_failed());
        }
        let tells = response.extensions().get::<BodyMayDiffer>().is_none();
        match &self.if_none_match {
            Some(tags) if names(tags, tag.filter(|_| tells)) => not_modified(&response),
            _ => response,
        }
    }
}

/// Whether `*`, or a list of tags, names what has this tag. Tags compare as in spec 4.4: without `W/` and quotes, in any
/// case.
fn names(tags: &str, tag: Option<&str>) -> bool {
    if tags.trim() == "*" {
        return true;
    }
    let Some(tag) = tag else { return false };
    members(tags).any(|one| opaque(one).eq_ignore_ascii_case(opaque(tag)))
}

fn opaque(tag: &str) -> &str {
    let tag = tag.strip_prefix("W/").or_else(|| tag.strip_prefix("w/")).unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

/// 304, with what the 200 would have said of caching. Source: RFC 9110, 15.4.5.
fn not_modified(response: &ApiResponse) -> ApiResponse {
    let mut unchanged = empty_response(StatusCode::NOT_MODIFIED);
    for name in [ETAG, CACHE_CONTROL, VARY, name::ODATA_VERSION] {
        if let Some(value) = response.headers().get(&name) {
            unchanged.headers_mut().insert(name, value.clone());
        }
    }
    unchanged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_tag_is_recognised_in_a_list_and_when_weak() {
        for (tags, known) in [
            ("\"a\"", true),
            ("a", true),
            ("W/\"A\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            (" * ", true),
            ("\"b\"", false),
            ("\"b,a\"", false),
            ("\"*\"", false),
            ("", false),
        ] {
            assert_eq!(names(tags, Some("W/\"a\"")), known, "{tags}");
            assert_eq!(names(tags, None), tags.trim() == "*", "{tags}");
        }
    }
}

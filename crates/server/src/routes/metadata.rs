//! `$metadata`, the service document and OpenAPI: what the service says of itself, to anybody (spec 4.5).

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use crate::Shared;
use crate::answer::{Answer, empty, json, mark_odata};
use crate::description::Document;
use crate::face::Face;
use crate::headers::{joined, value};
use crate::negotiation::{accepts_json, is_capped, takes_newest};
use crate::query::pairs;

/// The documents change with the program and its settings alone.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The forms of a `$metadata` document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Xml,
    Json,
}

impl Form {
    fn media_type(self) -> HeaderValue {
        match self {
            Form::Xml => HeaderValue::from_static("application/xml"),
            Form::Json => HeaderValue::from_static("application/json"),
        }
    }
}

impl Shared {
    /// `GET …/$metadata`, as XML unless JSON is asked for.
    pub(crate) fn metadata(&self, uri: &Uri, headers: &HeaderMap) -> Result<Answer, Face> {
        let form = match format_option(uri)? {
            Some(asked) => asked_form(&asked)?,
            None => accepted_form(headers)?,
        };
        let metadata = self.description.metadata(takes_newest(headers));
        let document = match form {
            Form::Xml => &metadata.xml,
            Form::Json => &metadata.json,
        };
        let mut answer = document_answer(document, headers);
        mark_odata(&mut answer);
        if answer.status() == StatusCode::OK {
            answer.headers_mut().insert(CONTENT_TYPE, form.media_type());
        }
        Ok(answer)
    }

    /// `GET /v1.0/`: the service document.
    pub(crate) fn service_document(&self, uri: &Uri, headers: &HeaderMap) -> Result<Answer, Face> {
        match format_option(uri)? {
            Some(asked) if asked_form(&asked)? == Form::Json => {}
            Some(asked) => return Err(Face::not_acceptable(&asked).target("$format")),
            None => accepts_json(headers)?,
        }
        let mut answer = document_answer(&self.description.service, headers);
        mark_odata(&mut answer);
        Ok(answer)
    }

    /// `GET /openapi.json`
    pub(crate) fn open_api(&self, headers: &HeaderMap) -> Result<Answer, Face> {
        accepts_json(headers)?;
        Ok(document_answer(&self.description.openapi, headers))
    }
}

/// A document, or 304 to a client that has it.
fn document_answer(document: &Document, headers: &HeaderMap) -> Answer {
    let known = joined(headers, &IF_NONE_MATCH);
    let mut answer = match known {
        Some(tags) if names(&tags, &document.etag) => empty(StatusCode::NOT_MODIFIED),
        _ => json(StatusCode::OK, document.bytes.clone()),
    };
    let out = answer.headers_mut();
    out.insert(ETAG, value(&document.etag));
    out.insert(CACHE_CONTROL, CACHED);
    out.insert(VARY, HeaderValue::from_static("accept, odata-maxversion"));
    answer
}

/// Whether `If-None-Match` names this tag. Source: RFC 9110, 13.1.2, the weak comparison.
fn names(tags: &str, etag: &str) -> bool {
    tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// `$format`, which overrides `Accept`. No other option of OData's means anything here.
fn format_option(uri: &Uri) -> Result<Option<String>, Face> {
    let mut format = None;
    for (name, text) in pairs(uri.query().unwrap_or_default())? {
        if name.eq_ignore_ascii_case("$format") {
            format = Some(text);
        } else if name.starts_with('$') {
            let message = format!("The query option {name} is not supported here.");
            return Err(Face::unsupported_query(&name, message));
        }
    }
    Ok(format)
}

/// The form that `$format` names: an abbreviation or a media type, whose parameters do not matter here.
fn asked_form(asked: &str) -> Result<Form, Face> {
    match asked.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "xml" | "application/xml" => Ok(Form::Xml),
        "json" | "application/json" => Ok(Form::Json),
        _ => Err(not_acceptable(asked).target("$format")),
    }
}

/// The form that `Accept` prefers; XML where it leaves the choice, and to a client of 4.0 that takes it at all, since JSON
/// came with 4.01.
fn accepted_form(headers: &HeaderMap) -> Result<Form, Face> {
    let Some(accept) = joined(headers, &ACCEPT).filter(|accept| !accept.trim().is_empty()) else {
        return Ok(Form::Xml);
    };
    let (xml, json) = (weight(&accept, "application/xml"), weight(&accept, "application/json"));
    match (xml > 0.0, json > 0.0) {
        (false, false) => Err(not_acceptable(&accept)),
        (true, _) if is_capped(headers) => Ok(Form::Xml),
        _ if json > xml => Ok(Form::Json),
        _ => Ok(Form::Xml),
    }
}

/// How much `Accept` wants a media type: what its most specific range says. Source: RFC 9110, 12.5.1.
fn weight(accept: &str, media_type: &str) -> f32 {
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let rank = match essence.as_str() {
            "*/*" => 1,
            "application/*" => 2,
            exact if exact == media_type => 3,
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let quality = quality.and_then(|text| text.trim().parse::<f32>().ok()).unwrap_or(1.0);
        if rank > best.0 || (rank == best.0 && quality > best.1) {
            best = (rank, quality);
        }
    }
    best.1
}

fn not_acceptable(asked: &str) -> Face {
    let mut face = Face::not_acceptable(asked).hint("send Accept: application/xml or application/json");
    face.message = "Only application/xml and application/json can be produced.".into();
    face
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_what_the_client_reads() {
        for (accept, form) in [
            (None, Some(Form::Xml)),
            (Some(""), Some(Form::Xml)),
            (Some("*/*"), Some(Form::Xml)),
            (Some("application/*"), Some(Form::Xml)),
            (Some("application/xml"), Some(Form::Xml)),
            (Some("application/json"), Some(Form::Json)),
            (Some("Application/JSON;odata.metadata=minimal"), Some(Form::Json)),
            (Some("application/json;q=0.5, application/xml"), Some(Form::Xml)),
            (Some("application/json, application/xml;q=0.9"), Some(Form::Json)),
            (Some("text/html,application/xml;q=0.9,*/*;q=0.8"), Some(Form::Xml)),
            (Some("application/json, */*;q=0.1"), Some(Form::Json)),
            (Some("application/xml;q=0, */*"), Some(Form::Json)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
            (Some("*/*;q=0"), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
            assert_eq!(accepted_form(&headers).ok(), form, "{accept:?}");
        }
    }

    #[test]
    fn a_known_tag_is_recognised_in_a_list_and_when_weak() {
        for (tags, known) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("", false),
        ] {
            assert_eq!(names(tags, "\"a\""), known, "{tags}");
        }
    }
}

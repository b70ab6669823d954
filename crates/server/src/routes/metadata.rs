//! `$metadata`, the service document and OpenAPI: descriptions of the service for every client (spec 4.5).

use exchange::ApiMode;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use odata::SystemOption;

use crate::RequestContext;
use crate::api_error::ApiError;
use crate::description::Document;
use crate::headers::{joined_lines, value};
use crate::media_range::MediaRange;
use crate::negotiation::{
    JSON, Parameters, accepts_coding, accepts_json, accepts_newest_version, can_be_written, is_capped,
    parameters_of, preferred,
};
use crate::query::parse_allowed_options;
use crate::response::{ApiResponse, add_odata_version, json_response};

/// The documents change only with the program and its settings.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");

const XML: &str = "application/xml";

/// The forms of a `$metadata` document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MetadataFormat {
    Xml,
    Json,
}

impl MetadataFormat {
    fn media_type(self) -> HeaderValue {
        match self {
            MetadataFormat::Xml => HeaderValue::from_static("application/xml"),
            MetadataFormat::Json => HeaderValue::from_static("application/json"),
        }
    }
}

impl RequestContext {
    /// `GET …/$metadata`, as XML unless JSON is asked for.
    pub(crate) fn metadata(&self, uri: &Uri, headers: &HeaderMap) -> Result<ApiResponse, ApiError> {
        let form = match self.format_option(uri, "the metadata document")? {
            Some(asked) => requested_format(&asked, self.mode())?,
            None => accepted_format(headers, self.mode())?,
        };
        accepts_coding(headers, self.mode())?;
        let metadata = self.description.metadata(accepts_newest_version(headers));
        let document = match form {
            MetadataFormat::Xml => &metadata.xml,
            MetadataFormat::Json => &metadata.json,
        };
        let mut response = document_answer(document);
        add_odata_version(&mut response);
        response.headers_mut().insert(CONTENT_TYPE, form.media_type());
        Ok(response)
    }

    /// `GET /v1.0/`: the service document.
    pub(crate) fn service_document(&self, uri: &Uri, headers: &HeaderMap) -> Result<ApiResponse, ApiError> {
        match self.format_option(uri, "the service document")? {
            Some(asked) if requested_format(&asked, self.mode())? == MetadataFormat::Json => {}
            Some(asked) => return Err(ApiError::not_acceptable(&asked).target("$format")),
            None => accepts_json(headers, self.mode())?,
        }
        let mut response = document_answer(&self.description.service);
        add_odata_version(&mut response);
        Ok(response)
    }

    /// `$format`, which overrides `Accept`. No other option of OData's means anything here.
    fn format_option(&self, uri: &Uri, of: &str) -> Result<Option<String>, ApiError> {
        let query = uri.query().unwrap_or_default();
        Ok(parse_allowed_options(query, self.mode(), &[SystemOption::Format], of)?.format)
    }

    /// `GET /openapi.json`
    pub(crate) fn open_api(&self, headers: &HeaderMap) -> Result<ApiResponse, ApiError> {
        accepts_json(headers, self.mode())?;
        Ok(document_answer(&self.description.openapi))
    }
}

/// A document, with its tag.
fn document_answer(document: &Document) -> ApiResponse {
    let mut response = json_response(StatusCode::OK, document.bytes.clone());
    let out = response.headers_mut();
    out.insert(ETAG, value(&document.etag));
    out.insert(CACHE_CONTROL, CACHED);
    out.insert(VARY, HeaderValue::from_static("accept, odata-maxversion"));
    response
}

/// The form that `$format` names: an abbreviation or a media type.
fn requested_format(asked: &str, mode: ApiMode) -> Result<MetadataFormat, ApiError> {
    let form = match asked.trim().to_ascii_lowercase().as_str() {
        "xml" => Some(MetadataFormat::Xml),
        "json" => Some(MetadataFormat::Json),
        _ => MediaRange::parse(asked).and_then(|range| {
            let forms = [(MetadataFormat::Xml, XML), (MetadataFormat::Json, JSON)];
            let (form, media_type) = forms.into_iter().find(|(_, media_type)| range.name == *media_type)?;
            let rule = match mode {
                ApiMode::Strict => Parameters::Lenient,
                ApiMode::Extended => Parameters::Exact,
            };
            can_be_written(&range, media_type, rule).then_some(form)
        }),
    };
    form.ok_or_else(|| not_acceptable(asked).target("$format"))
}

/// The form that `Accept` prefers; XML where it leaves the choice, and to a client of 4.0 that takes it at all, since JSON
/// came with 4.01.
fn accepted_format(headers: &HeaderMap, mode: ApiMode) -> Result<MetadataFormat, ApiError> {
    let Some(accept) = joined_lines(headers, &ACCEPT).filter(|accept| !accept.trim().is_empty()) else {
        return Ok(MetadataFormat::Xml);
    };
    let rule = parameters_of(headers, mode);
    let weight = |media_type| preferred(&accept, media_type, rule).map_or(0, |preferred| preferred.weight);
    match (weight(XML), weight(JSON)) {
        (0, 0) => Err(not_acceptable(&accept)),
        (1.., _) if is_capped(headers) => Ok(MetadataFormat::Xml),
        (xml, json) if json > xml => Ok(MetadataFormat::Json),
        _ => Ok(MetadataFormat::Xml),
    }
}

fn not_acceptable(asked: &str) -> ApiError {
    let mut api_error =
        ApiError::not_acceptable(asked).hint("send Accept: application/xml or application/json");
    api_error.message = "Only application/xml and application/json can be produced.".into();
    api_error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_what_the_client_reads() {
        for (accept, form) in [
            (None, Some(MetadataFormat::Xml)),
            (Some(""), Some(MetadataFormat::Xml)),
            (Some("*/*"), Some(MetadataFormat::Xml)),
            (Some("application/*"), Some(MetadataFormat::Xml)),
            (Some("application/xml"), Some(MetadataFormat::Xml)),
            (Some("application/json"), Some(MetadataFormat::Json)),
            (Some("Application/JSON;odata.metadata=minimal"), Some(MetadataFormat::Json)),
            (Some("application/json;q=0.5, application/xml"), Some(MetadataFormat::Xml)),
            (Some("application/json, application/xml;q=0.9"), Some(MetadataFormat::Json)),
            (Some("text/html,application/xml;q=0.9,*/*;q=0.8"), Some(MetadataFormat::Xml)),
            (Some("application/json, */*;q=0.1"), Some(MetadataFormat::Json)),
            (Some("application/xml;q=0, */*"), Some(MetadataFormat::Json)),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
            (Some("*/*;q=0"), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(accept.map(|accept| (ACCEPT, HeaderValue::from_static(accept))));
            assert_eq!(accepted_format(&headers, ApiMode::Strict).ok(), form, "{accept:?}");
        }
    }
}

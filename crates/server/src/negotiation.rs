//! What the client can read and what it sent: `Accept`, `Content-Type`, `Prefer`. Source: spec 4.1; RFC 9110.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::face::Face;
use crate::headers::{joined, name};

/// 406 when the `Accept` header excludes JSON.
pub(crate) fn accepts_json(headers: &HeaderMap) -> Result<(), Face> {
    let Some(accept) = joined(headers, &ACCEPT) else { return Ok(()) };
    if matches!(&*accept, "application/json" | "*/*") {
        return Ok(());
    }
    if accept.trim().is_empty() || weight(&accept, "application/json") > 0.0 {
        return Ok(());
    }
    Err(Face::not_acceptable(&accept))
}

/// How much an `Accept` header wants a media type: 0 for not at all. The most specific range decides, of two of one
/// rank the friendlier; parameters besides `q` are not looked at.
pub(crate) fn weight(accept: &str, media_type: &str) -> f32 {
    let family = media_type.split('/').next();
    let mut best: Option<(u8, f32)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let rank = match name.strip_suffix("/*") {
            _ if name == media_type => 3,
            Some(named) if Some(named) == family => 2,
            Some("*") => 1,
            _ => continue,
        };
        let weight = parts.find_map(|part| {
            let weight = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="))?;
            weight.trim().parse::<f32>().ok().filter(|weight| weight.is_finite())
        });
        let weight = weight.unwrap_or(1.0);
        if best.is_none_or(|(known, friendliest)| rank > known || (rank == known && weight > friendliest)) {
            best = Some((rank, weight));
        }
    }
    best.map_or(0.0, |(_, weight)| weight)
}

/// How much an answer says about what it holds. Source: OData JSON Format 4.01, section 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Metadata {
    /// `odata.metadata=none`: no context either.
    None,
    /// `odata.metadata=minimal`, and what is answered unasked.
    #[default]
    Minimal,
    /// `odata.metadata=full`: types, ids and links.
    Full,
}

impl Metadata {
    /// What `$format` asks for, else the best of `Accept`'s ranges that are JSON. An unknown level is minimal.
    ///
    /// 406 for a `$format` that is no JSON.
    pub(crate) fn asked(headers: &HeaderMap, format: Option<&str>) -> Result<Metadata, Face> {
        if let Some(format) = format {
            let essence = format.split(';').next().unwrap_or_default().trim();
            if !essence.eq_ignore_ascii_case("json") && !essence.eq_ignore_ascii_case("application/json") {
                return Err(Face::not_acceptable(format).target("$format"));
            }
            return Ok(Metadata::of_range(format).unwrap_or_default());
        }
        Ok(Metadata::accepted(headers).unwrap_or_default())
    }

    /// The level that `Accept` names, if it names one.
    pub(crate) fn accepted(headers: &HeaderMap) -> Option<Metadata> {
        // A level is a parameter.
        let mut lines = headers.get_all(ACCEPT).iter();
        if !lines.any(|line| line.as_bytes().contains(&b';')) {
            return None;
        }
        let accept = joined(headers, &ACCEPT)?;
        let json = accept.split(',').find(|range| {
            range.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json"))
        });
        json.and_then(Metadata::of_range)
    }

    /// The content type of an answer at this level, which a client that named one is told.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Metadata::None => "application/json;odata.metadata=none",
            Metadata::Minimal => "application/json;odata.metadata=minimal",
            Metadata::Full => "application/json;odata.metadata=full",
        })
    }

    fn of_range(range: &str) -> Option<Metadata> {
        let level = range.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let name = name.trim().to_ascii_lowercase();
            matches!(name.as_str(), "odata.metadata" | "metadata").then(|| value.trim().to_ascii_lowercase())
        });
        match level.as_deref()? {
            "none" => Some(Metadata::None),
            "full" => Some(Metadata::Full),
            "minimal" => Some(Metadata::Minimal),
            _ => None,
        }
    }
}

/// The newest version of OData that the client takes, if it says one.
fn max_version(headers: &HeaderMap) -> Option<odata::Version> {
    let text = headers.get(name::ODATA_MAX_VERSION)?.to_str().ok()?;
    odata::Version::parse(text.trim()).ok()
}

/// Whether the client takes nothing newer than 4.0: it does not know what 4.01 added, metadata as JSON above all.
pub(crate) fn is_capped(headers: &HeaderMap) -> bool {
    max_version(headers).is_some_and(|version| (version.major, version.minor.as_str()) <= (4, "0"))
}

/// Whether the answer may be of version 4.01: a client that does not say so gets 4.0 (spec 4.2).
pub(crate) fn takes_newest(headers: &HeaderMap) -> bool {
    max_version(headers).is_some_and(|version| (version.major, version.minor.as_str()) > (4, "0"))
}

/// Refuses a client that takes only versions before 4.0. Source: OData 4.01 Protocol, section 8.2.6.
pub(crate) fn refuses_ours(headers: &HeaderMap) -> Result<(), Face> {
    match max_version(headers) {
        Some(version) if version.major < 4 => Err(Face::version_too_old()),
        _ => Ok(()),
    }
}

/// The page size that `Prefer` wishes for (`odata.maxpagesize`, or without its prefix).
pub(crate) fn preferred_page_size(headers: &HeaderMap) -> Option<u64> {
    let prefer = joined(headers, &name::PREFER)?;
    odata::Preference::read_all(&prefer).into_iter().find_map(|preference| match preference {
        odata::Preference::MaxPageSize(size) => Some(size),
        _ => None,
    })
}

/// What kind of body a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    JsonPatch,
    MergePatch,
}

/// The media type of the body; `None` when the header is absent.
///
/// 415 for anything that is no JSON the contract knows, and for compressed bodies.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<Option<MediaType>, Face> {
    not_encoded(headers)?;
    let Some(sent) = joined(headers, &CONTENT_TYPE) else { return Ok(None) };
    let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Some(MediaType::Json)),
        "application/json-patch+json" => Ok(Some(MediaType::JsonPatch)),
        "application/merge-patch+json" => Ok(Some(MediaType::MergePatch)),
        _ => Err(Face::unsupported_media_type(&sent, "send Content-Type: application/json")),
    }
}

/// 415 for a compressed body.
pub(crate) fn not_encoded(headers: &HeaderMap) -> Result<(), Face> {
    match joined(headers, &CONTENT_ENCODING) {
        Some(encoding) if !encoding.trim().eq_ignore_ascii_case("identity") => {
            Err(Face::unsupported_media_type(&encoding, "send the body without Content-Encoding"))
        }
        _ => Ok(()),
    }
}

/// Whether `Prefer` asks for the updated referral (P4). The first `return` preference counts (RFC 7240).
pub(crate) fn prefers_representation(headers: &HeaderMap) -> bool {
    let Some(prefer) = joined(headers, &name::PREFER) else { return false };
    let wish = prefer.split(',').map(|preference| preference.split(';').next().unwrap_or_default()).find_map(
        |preference| {
            let (name, value) = preference.split_once('=')?;
            name.trim().eq_ignore_ascii_case("return").then(|| value.trim().trim_matches('"').to_owned())
        },
    );
    wish.is_some_and(|wish| wish.eq_ignore_ascii_case("representation"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: http::HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn json_is_produced_unless_accept_excludes_it() {
        // REF-043 REF-044 (the header's reading)
        for (lines, good) in [
            (&[][..], true),
            (&[""], true),
            (&["*/*"], true),
            (&["application/json"], true),
            (&["Application/JSON;odata.metadata=minimal"], true),
            (&["application/*;q=0.1"], true),
            (&["text/html, */*;q=0.5"], true),
            (&["application/xml", "application/json"], true),
            (&["application/xml"], false),
            (&["text/*"], false),
            (&["application/json;q=0, */*"], false),
            (&["application/json; q=0.0"], false),
            (&["*/*;q=0, application/json"], true),
            (&["json"], false),
        ] {
            assert_eq!(accepts_json(&with(ACCEPT, lines)).is_ok(), good, "{lines:?}");
        }
    }

    #[test]
    fn the_content_type_decides_how_a_body_is_read() {
        // REF-045 REF-046 (the header's reading)
        for (line, read) in [
            ("application/json", Some(MediaType::Json)),
            ("application/json; charset=utf-8", Some(MediaType::Json)),
            ("APPLICATION/JSON;odata.metadata=minimal", Some(MediaType::Json)),
            ("application/json-patch+json", Some(MediaType::JsonPatch)),
            ("application/merge-patch+json", Some(MediaType::MergePatch)),
            ("text/plain", None),
            ("application/jsonx", None),
            ("", None),
        ] {
            assert_eq!(media_type(&with(CONTENT_TYPE, &[line])).ok().flatten(), read, "{line}");
        }
        assert!(media_type(&with(CONTENT_ENCODING, &["gzip"])).is_err());
    }

    #[test]
    fn only_return_representation_asks_for_the_body() {
        // REF-179 REF-180 (the header's reading)
        for (lines, wish) in [
            (&["return=representation"][..], true),
            (&["RETURN = \"representation\""], true),
            (&["respond-async, return=representation; x=1"], true),
            (&["wait=10", "return=representation"], true),
            (&["return=minimal"], false),
            (&["return=minimal, return=representation"], false),
            (&["representation"], false),
            (&[], false),
        ] {
            assert_eq!(prefers_representation(&with(name::PREFER, lines)), wish, "{lines:?}");
        }
    }
}

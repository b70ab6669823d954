//! What the client can read and what it sent: `Accept`, `Content-Type`, `Prefer`. Source: spec 4.1; RFC 9110; OData JSON
//! Format 4.01, section 3.
//!
//! The strict mode looks at no parameter of a media range but `q` and `odata.metadata` (spec 4.1). The extended one
//! executes each parameter, or does not take the range.

use exchange::ApiMode;
use http::header::{ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Uri};

use crate::api_error::ApiError;
use crate::headers::{joined_lines, name};
use crate::media_range::{self, MediaRange, members, split, unquoted};
use crate::query::pairs;

/// The media type of nearly every answer.
pub(crate) const JSON: &str = "application/json";
/// That of `$count` and `$value`.
pub(crate) const TEXT: &str = "text/plain";

/// 406 when the headers exclude JSON.
pub(crate) fn accepts_json(headers: &HeaderMap, mode: ApiMode) -> Result<(), ApiError> {
    accepts_coding(headers, mode)?;
    let Some(accept) = joined_lines(headers, &ACCEPT) else { return Ok(()) };
    if matches!(&*accept, "application/json" | "*/*") || accept.trim().is_empty() {
        return Ok(());
    }
    match preferred(&accept, JSON, parameters_of(headers, mode)) {
        Some(_) => Ok(()),
        None => Err(ApiError::not_acceptable(&accept)),
    }
}

/// 406 when the headers exclude plain text.
pub(crate) fn accepts_text(headers: &HeaderMap, mode: ApiMode) -> Result<(), ApiError> {
    accepts_coding(headers, mode)?;
    let Some(accept) = joined_lines(headers, &ACCEPT).filter(|accept| !accept.trim().is_empty()) else {
        return Ok(());
    };
    if preferred(&accept, TEXT, parameters_of(headers, mode)).is_some() {
        return Ok(());
    }
    let mut api_error = ApiError::not_acceptable(&accept).hint("send Accept: text/plain, or leave it out");
    api_error.message = "Only text/plain can be produced.".into();
    Err(api_error)
}

/// 406 when `Accept-Charset` excludes UTF-8, or `Accept-Encoding` an answer as it is (extended).
pub(crate) fn accepts_coding(headers: &HeaderMap, mode: ApiMode) -> Result<(), ApiError> {
    if mode == ApiMode::Strict {
        return Ok(());
    }
    if let Some(charsets) = joined_lines(headers, &ACCEPT_CHARSET)
        && !charsets.trim().is_empty()
        && wanted(&charsets, "utf-8").unwrap_or(0) == 0
    {
        let mut api_error = ApiError::not_acceptable(&charsets).target("Accept-Charset");
        api_error.message = "Answers are in UTF-8 only.".into();
        return Err(api_error.hint("leave Accept-Charset out"));
    }
    // RFC 9110, 12.5.3: an answer as it is may be sent unless it is excluded by name, or by `*` without it.
    if let Some(codings) = joined_lines(headers, &ACCEPT_ENCODING)
        && wanted(&codings, "identity") == Some(0)
    {
        let mut api_error = ApiError::not_acceptable(&codings).target("Accept-Encoding");
        api_error.message = "Answers are not compressed.".into();
        return Err(api_error.hint("leave identity acceptable in Accept-Encoding"));
    }
    Ok(())
}

/// The weight that a list of words gives one of them; `None`: it does not speak of it.
fn wanted(list: &str, word: &str) -> Option<u16> {
    let of = |wanted: &str| {
        members(list).find_map(|member| {
            let (name, parameters) = member.split_once(';').unwrap_or((member, "q=1"));
            let (q, weight) = parameters.trim().split_once('=')?;
            let named = name.trim().eq_ignore_ascii_case(wanted) && q.trim().eq_ignore_ascii_case("q");
            named.then(|| media_range::weight(weight.trim()).unwrap_or(0))
        })
    };
    of(word).or_else(|| of("*"))
}

/// How the parameters of a range are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameters {
    /// All but `odata.metadata` are passed over, and a level that is none.
    Lenient,
    /// One that is unknown, or has no legal value, makes the range unacceptable.
    Exact,
    /// The same, and `Accept-Charset` speaks in place of `charset` (Protocol 4.01, 8.2.1).
    ExactButCharset,
}

/// How the parameters of `Accept` are looked at.
pub(crate) fn parameters_of(headers: &HeaderMap, mode: ApiMode) -> Parameters {
    match mode {
        ApiMode::Strict => Parameters::Lenient,
        ApiMode::Extended if headers.contains_key(ACCEPT_CHARSET) => Parameters::ExactButCharset,
        ApiMode::Extended => Parameters::Exact,
    }
}

/// Whether an answer of this media type can be written as a range says.
pub(crate) fn can_be_written(range: &MediaRange<'_>, media_type: &str, rule: Parameters) -> bool {
    let well_formed = range.weight == Some(1000) && !range.malformed;
    (rule == Parameters::Lenient || well_formed) && Representation::of(range, media_type, rule).is_some()
}

/// A way to write an answer that `Accept` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PreferredRange {
    /// In thousandths, from 1.
    pub weight: u16,
    /// How JSON is written; the default for other media types.
    pub representation: Representation,
}

/// The way to write a media type that an `Accept` header wants most; `None`: none that can be produced. The most
/// specific range decides how much a way is wanted; of two ways the one that is named wins over what a wildcard leaves open,
/// and the first over the second.
pub(crate) fn preferred(accept: &str, media_type: &str, parameters: Parameters) -> Option<PreferredRange> {
    let ranges: Vec<(u8, u16, Representation)> = members(accept)
        .filter_map(|member| {
            let range = MediaRange::parse(member)?;
            let rank = range.rank(media_type)?;
            let weight = match parameters {
                Parameters::Lenient => range.weight.unwrap_or(1000),
                _ if range.malformed => return None,
                _ => range.weight?,
            };
            Some((rank, weight, Representation::of(&range, media_type, parameters)?))
        })
        .collect();
    let weight_of = |way: &Representation| {
        let matching = ranges.iter().filter(|(_, _, named)| named.includes(way));
        let best = matching.max_by_key(|(rank, weight, named)| (*rank, named.names(), *weight));
        best.map_or(0, |(_, weight, _)| *weight)
    };
    let named = ranges.iter().filter(|(rank, ..)| *rank == 3).map(|(.., named)| *named);
    let open = ranges.iter().filter(|(rank, ..)| *rank < 3).map(|(.., named)| *named);
    let mut best: Option<PreferredRange> = None;
    for representation in named.chain(open).chain([Representation::default()]) {
        let weight = weight_of(&representation);
        if weight > best.map_or(0, |best| best.weight) {
            best = Some(PreferredRange { weight, representation });
        }
    }
    best
}

/// Whether `Accept` has a parameter: without one, it asks for what is usual.
pub(crate) fn has_parameters(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|line| line.as_bytes().contains(&b';'))
}

/// How an answer of JSON is written, as far as the client named it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Representation {
    /// `odata.metadata`
    pub metadata: Option<MetadataLevel>,
    /// `IEEE754Compatible`: numbers of `Edm.Int64` and `Edm.Decimal` are strings.
    pub numbers_as_strings: Option<bool>,
}

impl Representation {
    /// What `$format` asks for, else `Accept`; the default where neither can be executed, which is refused elsewhere.
    pub(crate) fn from_request(headers: &HeaderMap, uri: &Uri, mode: ApiMode) -> Representation {
        let extended = mode == ApiMode::Extended;
        if let Some(format) = uri.query().filter(|_| extended).and_then(format_option) {
            return Representation::of_format(&format).unwrap_or_default();
        }
        if !has_parameters(headers) {
            return Representation::default();
        }
        let accept = joined_lines(headers, &ACCEPT).unwrap_or_default();
        let preferred = preferred(&accept, JSON, parameters_of(headers, mode));
        preferred.map(|preferred| preferred.representation).unwrap_or_default()
    }

    /// What `$format` asks for; `None` for what is not JSON, or has a parameter that cannot be executed.
    fn of_format(format: &str) -> Option<Representation> {
        if format.eq_ignore_ascii_case("json") {
            return Some(Representation::default());
        }
        let range = MediaRange::parse(format)?;
        let is_json = range.name == JSON && range.weight == Some(1000) && !range.malformed;
        is_json.then(|| Representation::of(&range, JSON, Parameters::Exact))?
    }

    /// What a range names; `None` where it names what cannot be done.
    fn of(range: &MediaRange<'_>, media_type: &str, rule: Parameters) -> Option<Representation> {
        let mut found = Representation::default();
        let lenient = rule == Parameters::Lenient;
        for (name, value) in &range.parameters {
            let value = value.to_ascii_lowercase();
            let truth = match value.as_str() {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            };
            let json = media_type == JSON;
            match name.as_str() {
                "odata.metadata" | "metadata" if json => match MetadataLevel::named(&value) {
                    Some(level) if found.metadata.is_none_or(|known| known == level) => {
                        found.metadata = Some(level);
                    }
                    _ if lenient => {}
                    _ => return None,
                },
                _ if lenient => {}
                "charset" if rule == Parameters::ExactButCharset || value == "utf-8" => {}
                "ieee754compatible" if json => match truth {
                    Some(truth) if found.numbers_as_strings.is_none_or(|known| known == truth) => {
                        found.numbers_as_strings = Some(truth);
                    }
                    _ => return None,
                },
                // Members come in the order that streaming asks for, and no number is written with an exponent.
                "odata.streaming" | "streaming" | "exponentialdecimals" if json && truth.is_some() => {}
                _ => return None,
            }
        }
        Some(found)
    }

    /// Whether a range that names this speaks of a way to write.
    fn includes(&self, way: &Representation) -> bool {
        self.metadata.is_none_or(|level| level == way.metadata.unwrap_or_default())
            && self
                .numbers_as_strings
                .is_none_or(|strings| strings == way.numbers_as_strings.unwrap_or(false))
    }

    /// How many things it names.
    fn names(&self) -> usize {
        usize::from(self.metadata.is_some()) + usize::from(self.numbers_as_strings.is_some())
    }

    /// Whether the body is the one that is answered unasked.
    pub(crate) fn is_default(&self) -> bool {
        self.metadata.unwrap_or_default() == MetadataLevel::Minimal
            && !self.numbers_as_strings.unwrap_or(false)
    }

    /// The content type that says what the client named; `None`: it named nothing.
    pub(crate) fn content_type(&self) -> Option<HeaderValue> {
        let level = match self.metadata {
            None => "",
            Some(MetadataLevel::None) => ";odata.metadata=none",
            Some(MetadataLevel::Minimal) => ";odata.metadata=minimal",
            Some(MetadataLevel::Full) => ";odata.metadata=full",
        };
        let strings = if self.numbers_as_strings == Some(true) { ";IEEE754Compatible=true" } else { "" };
        if level.is_empty() && strings.is_empty() {
            return None;
        }
        HeaderValue::from_str(&format!("{JSON}{level}{strings}")).ok()
    }
}

/// The value of `$format` in a query string.
fn format_option(query: &str) -> Option<String> {
    if !query.to_ascii_lowercase().contains("format") {
        return None;
    }
    let options = pairs(query).ok()?;
    let is_format = |name: &str| name.trim_start_matches('$').eq_ignore_ascii_case("format");
    options.into_iter().find(|(name, _)| is_format(name)).map(|(_, value)| value)
}

/// How much an answer says about what it holds. Source: OData JSON Format 4.01, section 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum MetadataLevel {
    /// `odata.metadata=none`: no context either.
    None,
    /// `odata.metadata=minimal`, and what is answered unasked.
    #[default]
    Minimal,
    /// `odata.metadata=full`: types, ids and links.
    Full,
}

impl MetadataLevel {
    /// What `$format` asks for, else the best of `Accept`'s ranges that are JSON. An unknown level is minimal.
    ///
    /// 406 for a `$format` that cannot be produced.
    pub(crate) fn from_request(
        headers: &HeaderMap,
        format: Option<&str>,
        mode: ApiMode,
    ) -> Result<MetadataLevel, ApiError> {
        if let Some(format) = format {
            let asked = Representation::of_format(format)
                .ok_or_else(|| ApiError::not_acceptable(format).target("$format"))?;
            return Ok(asked.metadata.unwrap_or_default());
        }
        if !has_parameters(headers) {
            return Ok(MetadataLevel::default());
        }
        let accept = joined_lines(headers, &ACCEPT).unwrap_or_default();
        let found = preferred(&accept, JSON, parameters_of(headers, mode));
        Ok(found.and_then(|found| found.representation.metadata).unwrap_or_default())
    }

    fn named(value: &str) -> Option<MetadataLevel> {
        match value {
            "none" => Some(MetadataLevel::None),
            "full" => Some(MetadataLevel::Full),
            "minimal" => Some(MetadataLevel::Minimal),
            _ => None,
        }
    }
}

/// The newest version of OData that the client takes, if it says one.
fn max_version(headers: &HeaderMap) -> Option<odata::ODataVersion> {
    let text = joined_lines(headers, &name::ODATA_MAX_VERSION)?;
    odata::ODataVersion::parse(text.trim()).ok()
}

/// Whether the client takes nothing newer than 4.0: it does not know what 4.01 added, metadata as JSON above all.
pub(crate) fn is_capped(headers: &HeaderMap) -> bool {
    max_version(headers).is_some_and(|version| (version.major, version.minor.as_str()) <= (4, "0"))
}

/// Whether the answer may be of version 4.01: a client that does not say so gets 4.0 (spec 4.2).
pub(crate) fn accepts_newest_version(headers: &HeaderMap) -> bool {
    max_version(headers).is_some_and(|version| (version.major, version.minor.as_str()) > (4, "0"))
}

/// Refuses a client that takes only versions before 4.0. What is no version is refused in the extended mode. Source: OData
/// 4.01 Protocol, section 8.2.7.
pub(crate) fn check_max_version(headers: &HeaderMap, mode: ApiMode) -> Result<(), ApiError> {
    if !headers.contains_key(name::ODATA_MAX_VERSION) {
        return Ok(());
    }
    match max_version(headers) {
        Some(version) if version.major >= 4 => Ok(()),
        None if mode == ApiMode::Strict => Ok(()),
        _ => Err(ApiError::unknown_version("OData-MaxVersion")),
    }
}

/// 400 for a body that was written by the rules of another version than 4.0 and 4.01. Source: OData 4.01 Protocol,
/// section 8.1.5.
pub(crate) fn check_version(headers: &HeaderMap) -> Result<(), ApiError> {
    match joined_lines(headers, &name::ODATA_VERSION) {
        Some(version) if !matches!(version.trim(), "4.0" | "4.01") => {
            Err(ApiError::unknown_version("OData-Version"))
        }
        _ => Ok(()),
    }
}

/// The page size that `Prefer` wishes for (`odata.maxpagesize`, or without its prefix).
pub(crate) fn preferred_page_size(headers: &HeaderMap) -> Option<u64> {
    let prefer = joined_lines(headers, &name::PREFER)?;
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
pub(crate) fn media_type(headers: &HeaderMap, mode: ApiMode) -> Result<Option<MediaType>, ApiError> {
    refuse_encoded(headers)?;
    let Some(sent) = joined_lines(headers, &CONTENT_TYPE) else { return Ok(None) };
    if sent == JSON {
        return Ok(Some(MediaType::Json));
    }
    let unsupported = || ApiError::unsupported_media_type(&sent, "send Content-Type: application/json");
    let range = MediaRange::parse(&sent).ok_or_else(unsupported)?;
    if !has_known_parameters(&range, mode) {
        return Err(ApiError::unsupported_media_type(
            &sent,
            "send Content-Type without parameters, in UTF-8",
        ));
    }
    match range.name.as_str() {
        JSON => Ok(Some(MediaType::Json)),
        "application/json-patch+json" => Ok(Some(MediaType::JsonPatch)),
        "application/merge-patch+json" => Ok(Some(MediaType::MergePatch)),
        _ => Err(unsupported()),
    }
}

/// Whether a body of this type can be read by all that its parameters say: it is in UTF-8, and in the extended mode there
/// is none that is unknown. A number may be a string with and without `IEEE754Compatible` (spec 5.1).
pub(crate) fn has_known_parameters(sent: &MediaRange<'_>, mode: ApiMode) -> bool {
    let mut charsets = sent.parameters.iter().filter(|(name, _)| name == "charset");
    if !charsets.all(|(_, value)| value.eq_ignore_ascii_case("utf-8")) {
        return false;
    }
    let well_formed = sent.weight == Some(1000) && !sent.malformed;
    mode == ApiMode::Strict || (well_formed && Representation::of(sent, JSON, Parameters::Exact).is_some())
}

/// 415 for a compressed body.
pub(crate) fn refuse_encoded(headers: &HeaderMap) -> Result<(), ApiError> {
    match joined_lines(headers, &CONTENT_ENCODING) {
        Some(encoding) if !members(&encoding).all(|coding| coding.eq_ignore_ascii_case("identity")) => {
            Err(ApiError::unsupported_encoding(&encoding))
        }
        _ => Ok(()),
    }
}

/// What `Prefer` says first of a preference, in lower case. Source: RFC 7240, section 2.
fn preference(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let prefer = joined_lines(headers, &name::PREFER)?;
    members(&prefer).find_map(|member| {
        let first = split(member, ';').next().unwrap_or_default();
        let (name, value) = first.split_once('=').unwrap_or((first, ""));
        let value = unquoted(value.trim()).map(|value| value.to_ascii_lowercase()).unwrap_or_default();
        name.trim().eq_ignore_ascii_case(wanted).then_some(value)
    })
}

/// Whether `Prefer` asks for the updated referral (P4). The first `return` preference counts (RFC 7240).
pub(crate) fn prefers_representation(headers: &HeaderMap) -> bool {
    preference(headers, "return").is_some_and(|wish| wish == "representation")
}

/// Whether `Prefer` says anything of the answer to a change.
pub(crate) fn has_return_preference(headers: &HeaderMap) -> bool {
    preference(headers, "return").is_some()
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
            assert_eq!(accepts_json(&with(ACCEPT, lines), ApiMode::Strict).is_ok(), good, "{lines:?}");
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
            assert_eq!(
                media_type(&with(CONTENT_TYPE, &[line]), ApiMode::Extended).ok().flatten(),
                read,
                "{line}"
            );
        }
        assert!(media_type(&with(CONTENT_ENCODING, &["gzip"]), ApiMode::Strict).is_err());
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
            (&["return=x, return=representation"], false),
            (&[r#"x="a, return=representation, b""#], false),
            (&[r#"x="a\", return=representation, b""#], false),
            (&[r#"x="a;b", return=representation"#], true),
            (&[], false),
        ] {
            assert_eq!(prefers_representation(&with(name::PREFER, lines)), wish, "{lines:?}");
        }
    }
}

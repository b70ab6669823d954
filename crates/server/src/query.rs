//! The query string: which options a resource takes, and the refusal of the others. Source: spec 11.1.

use exchange::{ApiMode, ListRequest, PAGE_SIZE_OPTION};
use odata::{QueryOptions, SystemOption};

use crate::api_error::ApiError;

/// Takes the two digits behind a `%` off the front.
pub(crate) fn decoded_byte(rest: &mut &[u8]) -> Option<u8> {
    let [high, low, tail @ ..] = rest else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let byte = digit(*high)? * 16 + digit(*low)?;
    *rest = tail;
    u8::try_from(byte).ok()
}

/// Refuses options that mean nothing of what is asked: `allowed` are those that mean something of `of`. Names that are
/// not OData's are nobody's (spec 11.1), but for the size of a page.
pub(crate) fn refuse_others(
    options: &QueryOptions,
    allowed: &[SystemOption],
    of: &str,
) -> Result<(), ApiError> {
    refuse_options(options, allowed, of)?;
    match options.custom.iter().any(|(name, _)| name.eq_ignore_ascii_case(PAGE_SIZE_OPTION)) {
        true => Err(misplaced(PAGE_SIZE_OPTION, of)),
        false => Ok(()),
    }
}

/// The same, where there are pages.
pub(crate) fn refuse_options(
    options: &QueryOptions,
    allowed: &[SystemOption],
    of: &str,
) -> Result<(), ApiError> {
    match options.given.iter().find(|option| !allowed.contains(option)) {
        Some(option) => Err(misplaced(option.name(), of)),
        None => Ok(()),
    }
}

fn misplaced(option: &str, of: &str) -> ApiError {
    ApiError::unsupported_query(option, format!("{option} is no option of {of}."))
}

/// The options of a resource that takes only `allowed`.
pub(crate) fn parse_allowed_options(
    query: &str,
    mode: ApiMode,
    allowed: &[SystemOption],
    of: &str,
) -> Result<QueryOptions, ApiError> {
    let options = ListRequest::parse_options(query, mode)?;
    match mode {
        ApiMode::Extended => refuse_others(&options, allowed, of)?,
        ApiMode::Strict => refuse_options(&options, allowed, of)?,
    }
    Ok(options)
}

/// Refuses the options that OData has and this service has not.
pub(crate) fn refuse_unbuilt(options: &QueryOptions) -> Result<(), ApiError> {
    use SystemOption::{DeltaToken, Id, Index, SchemaVersion};
    let unbuilt =
        options.given.iter().find(|option| matches!(option, DeltaToken | Id | Index | SchemaVersion));
    unbuilt.map_or(Ok(()), |option| {
        Err(ApiError::not_implemented(option.name(), format!("{} is not offered here.", option.name())))
    })
}

/// `name=value` pairs of a query, decoded; `+` is a blank.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name, true)?, decoded(value, true)?))
        })
        .collect()
}

/// Percent-decodes; what is no UTF-8 in the end is refused.
fn decoded(text: &str, plus_is_blank: bool) -> Result<String, ApiError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match byte {
            b'%' => {
                let high = rest.first().and_then(|digit| (*digit as char).to_digit(16));
                let low = rest.get(1).and_then(|digit| (*digit as char).to_digit(16));
                let (Some(high), Some(low)) = (high, low) else { return Err(not_decodable()) };
                rest = &rest[2..];
                (high * 16 + low) as u8
            }
            b'+' if plus_is_blank => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| not_decodable())
}

fn not_decodable() -> ApiError {
    ApiError::unsupported_query("query", "The address is not percent-encoded UTF-8.")
}

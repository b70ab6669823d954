//! The query string: options by name, percent-decoded. Source: spec 11.1, Encoding.

use crate::face::Face;

/// `name=value` pairs of a query, decoded; `+` is a blank.
pub(crate) fn pairs(query: &str) -> Result<Vec<(String, String)>, Face> {
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
pub(crate) fn decoded(text: &str, plus_is_blank: bool) -> Result<String, Face> {
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

fn not_decodable() -> Face {
    Face::unsupported_query("query", "The address is not percent-encoded UTF-8.")
}

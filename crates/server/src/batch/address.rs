//! Where a request of a batch leads. Source: OData Protocol 4.01, 11.7.3.1 and 11.7.7.1.

use http::Uri;
use http::uri::PathAndQuery;

use crate::api_error::ApiError;

/// First segments that are resources of the service, never references.
const SYSTEM: [&str; 7] = ["batch", "crossjoin", "all", "entity", "root", "id", "metadata"];

/// `$id` as the first segment of a relative address, and what follows it.
pub(super) fn reference(url: &str) -> Option<(&str, &str)> {
    let after = url.strip_prefix('$')?;
    let end = after.find(['/', '?', '#', '(']).unwrap_or(after.len());
    let (id, rest) = after.split_at(end);
    if SYSTEM.contains(&id) { None } else { Some((id, rest)) }
}

/// The path and query of an address that holds no reference: absolute under the public base, an absolute path, or
/// relative to the folder of `$batch`.
pub(super) fn resolve(url: &str, root: &str, base: &str) -> Result<Uri, ApiError> {
    if url.starts_with("//") {
        return Err(elsewhere());
    }
    if url.starts_with('/') {
        return parse(url);
    }
    if let Some(path) = strip_base(url, base) {
        return parse(path);
    }
    let first = url.split(['/', '?', '#']).next().unwrap_or_default();
    if first.ends_with(':') && url.contains("://") {
        return Err(elsewhere());
    }
    parse(&format!("{root}{url}"))
}

/// What follows the public base, which is not told apart by the case of its letters.
pub(super) fn strip_base<'a>(url: &'a str, base: &str) -> Option<&'a str> {
    let (head, path) = url.split_at_checked(base.len())?;
    (head.eq_ignore_ascii_case(base) && path.starts_with('/')).then_some(path)
}

/// A path with its query. What a URI cannot hold, such as blanks, is percent-encoded; a fragment goes no further.
pub(super) fn parse(path: &str) -> Result<Uri, ApiError> {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.split('#').next().unwrap_or_default().bytes() {
        match byte {
            b'!'..=b'~' if !br#""<>\^`{|}"#.contains(&byte) => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    match encoded.parse::<PathAndQuery>() {
        Ok(path) => Ok(Uri::from(path)),
        Err(_) => Err(ApiError::malformed_batch("url", "The url is no path with an optional query.")),
    }
}

fn elsewhere() -> ApiError {
    ApiError::malformed_batch("url", "The url leads to another service; a batch reaches this one alone.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_absolute_or_begin_at_the_service_root() {
        let root = "/v1.0/";
        for (url, leads_to) in [
            ("engagements/referrals", Some("/v1.0/engagements/referrals")),
            ("engagements/referrals?$top=1", Some("/v1.0/engagements/referrals?$top=1")),
            ("/v1.0/engagements/referrals", Some("/v1.0/engagements/referrals")),
            ("http://127.0.0.1:8080/v1.0/x?a=1#f", Some("/v1.0/x?a=1")),
            ("HTTP://127.0.0.1:8080/v1.0/x", Some("/v1.0/x")),
            ("r?$filter=name eq 'Ü'", Some("/v1.0/r?$filter=name%20eq%20'%C3%9C'")),
            ("r?$filter=a eq '%27'", Some("/v1.0/r?$filter=a%20eq%20'%27'")),
            ("", Some("/v1.0/")),
            ("?x", Some("/v1.0/?x")),
            ("http://127.0.0.1:80801/v1.0/x", None),
            ("http://127.0.0.1:8080.contoso.example/v1.0/x", None),
            ("https://contoso.example/v1.0/x", None),
            ("ftp://127.0.0.1:8080/v1.0/x", None),
            ("//contoso.example/x", None),
        ] {
            let found = resolve(url, root, "http://127.0.0.1:8080").ok();
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), leads_to, "{url}");
        }
    }

    #[test]
    fn a_reference_is_a_first_segment_that_is_no_resource_of_the_service() {
        for (url, found) in [
            ("$1", Some(("1", ""))),
            ("$new-deal/team", Some(("new-deal", "/team"))),
            ("$1?$select=id", Some(("1", "?$select=id"))),
            ("$metadata", None),
            ("$metadata/x", None),
            ("$batch", None),
            ("$crossjoin(Referrals)", None),
            ("engagements/$1", None),
            ("/$1", None),
        ] {
            assert_eq!(reference(url), found, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_address_of_a_path_or_refused(url in ".*") {
            if let Ok(uri) = resolve(&url, "/v1.0/", "http://127.0.0.1:8080") {
                proptest::prop_assert!(uri.path().starts_with('/'));
                proptest::prop_assert!(uri.authority().is_none());
            }
            let _ = reference(&url);
        }
    }

    #[test]
    fn an_address_longer_than_a_uri_can_be_is_refused() {
        assert!(parse(&format!("/{}", "x".repeat(70_000))).is_err());
        assert_eq!(parse("/a b").unwrap(), "/a%20b");
    }
}

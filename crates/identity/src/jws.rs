//! Strict parsing of the compact form of a signed token (RFC 7515). Keys are not used here.

use base64::Engine;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use crate::BASE64URL;
use crate::error::TokenError;
use crate::jwk::Algorithm;

/// Maximum length of a token, in bytes. Tokens of Entra with many groups stay below 8 KiB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// A parsed token: `header.payload.signature`.
pub(crate) struct Jws<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<String>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) signed: &'a [u8],
}

/// The protected header. Other members are ignored (RFC 7515, section 4).
#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    cty: Option<String>,
    // Keys in the token are never used, extensions are not supported, and payloads are always encoded.
    #[serde(default, deserialize_with = "present")]
    jwk: bool,
    #[serde(default, deserialize_with = "present")]
    jku: bool,
    #[serde(default, deserialize_with = "present")]
    x5u: bool,
    #[serde(default, deserialize_with = "present")]
    crit: bool,
    #[serde(default, deserialize_with = "present")]
    b64: bool,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Jws<'a> {
    /// # Errors
    /// [`TokenError::Invalid`] if the text is not a compact JWS, or one of a kind that is never accepted.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid("the token is too long"));
        }
        let malformed = TokenError::Invalid("the token is not a compact JWS of three base64url parts");
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed);
        };
        let signed = &token.as_bytes()[..header.len() + 1 + payload.len()];
        let decode = |part: &str| BASE64URL.decode(part).map_err(|_| malformed.clone());
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header: JoseHeader = serde_json::from_slice(&header)
            .map_err(|_| TokenError::Invalid("the token's header is not a JSON object with an algorithm"))?;
        let algorithm = header.validate()?;
        Ok(Self { algorithm, key_id: header.kid, payload, signature, signed })
    }
}

impl JoseHeader {
    fn validate(&self) -> Result<Algorithm, TokenError> {
        let algorithm = Algorithm::parse(&self.alg)
            .ok_or(TokenError::Invalid("the token's algorithm is not accepted: RS256 and ES256 are"))?;
        if self.jwk || self.jku || self.x5u {
            return Err(TokenError::Invalid("the token brings its own key"));
        }
        if self.crit || self.b64 {
            return Err(TokenError::Invalid("the token's header uses an extension that is not supported"));
        }
        if self.cty.is_some() {
            return Err(TokenError::Invalid("the token is nested"));
        }
        if !self.typ.as_deref().is_none_or(is_accepted_type) {
            return Err(TokenError::Invalid("the token's type is not accepted: JWT and at+jwt are"));
        }
        Ok(algorithm)
    }
}

/// Source: RFC 7519, 5.1 and RFC 9068, 2.1. Media types are compared case-insensitively.
fn is_accepted_type(typ: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|accepted| typ.eq_ignore_ascii_case(accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Result<(), TokenError> {
        let token = format!("{}.e30.AA", BASE64URL.encode(header));
        Jws::parse(&token).map(|_| ())
    }

    #[test]
    fn headers_are_accepted_only_in_the_forms_we_understand() {
        for header in [
            r#"{"alg":"RS256"}"#,
            r#"{"alg":"ES256","typ":"JWT","kid":"a"}"#,
            r#"{"typ":"jwt","alg":"RS256","x5t":"a","nonce":"b"}"#,
            r#"{"alg":"RS256","typ":"AT+JWT"}"#,
            r#"{"alg":"RS256","typ":"application/at+jwt"}"#,
            r#" { "alg" : "RS256" } "#,
        ] {
            assert_eq!(parse(header), Ok(()), "{header}");
        }
        for header in [
            "",
            "null",
            "[]",
            "{}",
            "RS256",
            r#"{"alg":null}"#,
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"rs256"}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"RS384"}"#,
            r#"{"alg":"PS256"}"#,
            r#"{"alg":"ES384"}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":5}"#,
            r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
            r#"{"alg":"RS256","typ":"refresh+jwt"}"#,
            r#"{"alg":"RS256","typ":""}"#,
            r#"{"alg":"RS256","typ":"dpop+jwt"}"#,
            r#"{"alg":"RS256","cty":"JWT"}"#,
            r#"{"alg":"RS256","jwk":{}}"#,
            r#"{"alg":"RS256","jwk":null}"#,
            r#"{"alg":"RS256","jku":"https://keys.example"}"#,
            r#"{"alg":"RS256","x5u":"https://keys.example"}"#,
            r#"{"alg":"RS256","crit":[]}"#,
            r#"{"alg":"RS256","crit":["exp"]}"#,
            r#"{"alg":"RS256","b64":false}"#,
            r#"{"alg":"RS256","b64":true}"#,
            r#"{"alg":"RS256"} x"#,
            "{\"alg\":\"RS256\",\"kid\":\"\u{0}\"}",
        ] {
            assert!(matches!(parse(header), Err(TokenError::Invalid(_))), "{header}");
        }
    }

    #[test]
    fn only_three_strict_base64url_parts_are_a_token() {
        let header = BASE64URL.encode(r#"{"alg":"RS256"}"#);
        assert!(Jws::parse(&format!("{header}.e30.AA")).is_ok());
        for token in [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            format!("{header}.e30"),
            format!("{header}.e30.AA."),
            format!("{header}.e30.AA.AA.AA"),
            format!("{header}.e30.AA=="),
            format!("{header}.e30.AB"),
            format!("{header}.e30=.AA"),
            format!("{header}.e+30.AA"),
            format!("{header}.e30.A A"),
            format!(" {header}.e30.AA"),
            format!("{header}.e30.AA\n"),
            format!("{header}.e30.ÄA"),
            r#"{"payload":"e30","protected":"","signature":""}"#.to_owned(),
        ] {
            assert!(Jws::parse(&token).is_err(), "{token}");
        }
        assert!(Jws::parse(&format!("{header}.{}.AA", "A".repeat(MAX_TOKEN_BYTES))).is_err());
    }
}

//! Who is calling: bearer tokens verified against key sets, and the Entra-shaped issuer of the sandbox.
//!
//! Time and chance are arguments. Nothing here knows HTTP beyond the documents it fetches through `net`; which
//! organization a tenant is, and what a role may do, is decided elsewhere.

mod claims;
mod error;
mod jwk;
mod jws;
mod keys;
pub mod sandbox;
mod token_cache;
#[cfg(test)]
mod vectors;
mod verifier;

pub use claims::{IdentityClaim, VerifiedToken};
pub use error::TokenError;
pub use jwk::{KeySet, KeySetError};
pub use keys::{Discovery, KeySource, KeySourceError};
pub use token_cache::{LastToken, TokenCache, TokenHash};
pub use verifier::{IssuerSettings, TokenVerifier};

/// Strict base64url: no padding, no other alphabet, no stray bits in the last character (RFC 7515, section 2).
pub(crate) use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

/// Takes any bytes as a token would be taken apart, before any key is asked: for fuzzing. Returns whether they
/// have the form of a token.
pub fn has_token_form(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| jws::Jws::parse(text).ok())
        .is_some_and(|jws| claims::Claims::parse(&jws.payload).is_ok())
}

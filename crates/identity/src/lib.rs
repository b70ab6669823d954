//! Authentication: bearer tokens verified against key sets, and the Entra-like issuer of the sandbox.
//!
//! Time and randomness are arguments. This crate knows no HTTP beyond the documents it fetches through `net`. The
//! organization of a tenant and the permissions of a role are decided elsewhere.

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

/// Parses any bytes as a token, without using keys, for fuzzing. Returns whether they have the form of a token.
pub fn has_token_form(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| jws::Jws::parse(text).ok())
        .is_some_and(|jws| claims::Claims::parse(&jws.payload).is_ok())
}

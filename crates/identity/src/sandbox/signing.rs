//! The sandbox's signing key: RSA, 2048 bits, RS256.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use base64::Engine;
use serde_json::{Value, json};

use crate::BASE64URL;
use crate::jwk::KeySet;

/// The key could not be generated, parsed or used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SigningKeyError(&'static str);

/// A key that signs tokens.
pub struct SigningKey {
    pair: KeyPair,
    kid: String,
    public: Value,
    pkcs8: Vec<u8>,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Generates a new key with the randomness of the crypto provider. Takes about 0.1 s of CPU time.
    ///
    /// # Errors
    /// When the provider cannot generate one.
    pub fn generate() -> Result<Self, SigningKeyError> {
        let pair = KeyPair::generate(KeySize::Rsa2048)
            .map_err(|_| SigningKeyError("no RSA key could be generated"))?;
        Self::from_pair(pair)
    }

    /// Parses a key as [`to_pkcs8`](Self::to_pkcs8) writes it.
    ///
    /// # Errors
    /// When the bytes are not an unencrypted RSA key in PKCS#8 DER of at least 2048 bits.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, SigningKeyError> {
        let pair = KeyPair::from_pkcs8(der).map_err(|_| SigningKeyError("not an RSA key in PKCS#8"))?;
        Self::from_pair(pair)
    }

    /// Returns the private key as PKCS#8 DER. Keep it readable by its owner only.
    pub fn to_pkcs8(&self) -> Vec<u8> {
        self.pkcs8.clone()
    }

    /// Returns the key id: its RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Returns the public key as a key set in JSON.
    pub fn public_jwks(&self) -> String {
        json!({ "keys": [self.public] }).to_string()
    }

    /// Returns the public key as a key set to verify with.
    pub(crate) fn key_set(&self) -> KeySet {
        KeySet::parse(self.public_jwks().as_bytes()).unwrap_or_default()
    }

    /// Signs `claims` as a compact JWS.
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> Result<String, SigningKeyError> {
        let header = json!({ "typ": typ, "alg": "RS256", "kid": self.kid });
        let mut token =
            format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
            .map_err(|_| SigningKeyError("the token could not be signed"))?;
        token.push('.');
        token.push_str(&BASE64URL.encode(signature));
        Ok(token)
    }

    /// Returns the claims of a token that this key signed, with the given type; `None` for any other token. Times are
    /// not checked.
    pub(crate) fn verify_own(&self, typ: &str, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key());
        public.verify(signed.as_bytes(), &BASE64URL.decode(signature).ok()?).ok()?;
        let header: Value = serde_json::from_slice(&BASE64URL.decode(header).ok()?).ok()?;
        let claims = serde_json::from_slice(&BASE64URL.decode(payload).ok()?).ok()?;
        (header["typ"] == typ).then_some(claims)
    }

    fn from_pair(pair: KeyPair) -> Result<Self, SigningKeyError> {
        let (n, e) =
            components(pair.public_key().as_ref()).ok_or(SigningKeyError("an RSA key of unknown form"))?;
        if n.len() < 256 {
            return Err(SigningKeyError("an RSA key of less than 2048 bits"));
        }
        let (n, e) = (BASE64URL.encode(n), BASE64URL.encode(e));
        let kid = thumbprint(&n, &e);
        let public = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e });
        let pkcs8: Pkcs8V1Der<'static> =
            pair.as_der().map_err(|_| SigningKeyError("the key cannot be written as PKCS#8"))?;
        let pkcs8 = pkcs8.as_ref().to_vec();
        Ok(Self { pair, kid, public, pkcs8 })
    }
}

/// RFC 7638: the hash of the required members in alphabetical order, without spaces.
fn thumbprint(n: &str, e: &str) -> String {
    let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    BASE64URL.encode(digest(&SHA256, canonical.as_bytes()))
}

/// Returns modulus and exponent of an `RSAPublicKey` (RFC 8017, A.1.1), without leading zeros.
fn components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, rest) = element(der, 0x30)?;
    let (n, sequence) = element(sequence, 0x02)?;
    let (e, end) = element(sequence, 0x02)?;
    let unsigned = |number: &'_ [u8]| number.iter().position(|byte| *byte != 0);
    (rest.is_empty() && end.is_empty()).then_some((&n[unsigned(n)?..], &e[unsigned(e)?..]))
}

/// Returns the content of one DER element with the given tag, and the bytes after it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = der.split_first_chunk::<2>()?;
    if head[0] != tag {
        return None;
    }
    let (length, rest) = match usize::from(head[1]) {
        short @ 0..0x80 => (short, rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
            (bytes.iter().try_fold(0usize, |n, b| n.checked_mul(256)?.checked_add(usize::from(*b)))?, rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_the_standards_example() {
        // RFC 7638, section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV\
                 4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7\
                 d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF4\
                 4-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(thumbprint(n, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn broken_der_has_no_components() {
        let der = [0x30, 0x08, 2, 2, 0, 0x81, 2, 2, 0, 3];
        assert_eq!(components(&der), Some((&[0x81][..], &[3][..])));
        for end in 0..der.len() {
            assert_eq!(components(&der[..end]), None, "{end}");
        }
        assert_eq!(components(&[0x30, 0x89, 255, 255, 255, 255, 255, 255, 255, 255, 255]), None);
    }
}

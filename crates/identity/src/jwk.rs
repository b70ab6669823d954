//! Key sets (RFC 7517) and the algorithm of each key: RSA keys verify RS256, P-256 keys ES256.
//!
//! Keys of a set that are not supported or not allowed are ignored, so that one unusual key does not disable an issuer.

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use serde::Deserialize;

use crate::BASE64URL;
use crate::jws::Jws;

/// Maximum number of keys of one set that are used. Entra publishes about ten.
const MAX_KEYS: usize = 100;

/// An accepted signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rs256,
    Es256,
}

impl Algorithm {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "ES256" => Some(Self::Es256),
            _ => None,
        }
    }
}

/// The text is not a key set.
#[derive(Debug, thiserror::Error)]
#[error("not a JSON Web Key set: {0}")]
pub struct KeySetError(#[from] serde_json::Error);

/// The usable keys of one issuer.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
}

/// The result of checking a token's signature against a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureCheck {
    Valid,
    /// The set has a key with the token's `kid`, or the token has no `kid`, and no such key verifies the token.
    Invalid,
    /// The set has no key with the token's `kid`.
    UnknownKey,
}

impl KeySet {
    /// Parses a key set: `{"keys": […]}`. Keys that cannot verify RS256 or ES256 are left out.
    ///
    /// # Errors
    /// When the text is not JSON, or has no array `keys`.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set = serde_json::from_slice(json)?;
        let keys = set.keys.into_iter().take(MAX_KEYS);
        let keys = keys.filter_map(|key| serde_json::from_value::<Jwk>(key).ok()?.into_public_key());
        Ok(Self { keys: keys.collect() })
    }

    /// Creates a set that verifies nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns the number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there are no usable keys.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Checks a signature with all keys that the token may refer to. `names_issuer` decides whether a key that is
    /// limited to one issuer may be used.
    pub(crate) fn verify(&self, jws: &Jws<'_>, names_issuer: impl Fn(&str) -> bool) -> SignatureCheck {
        let mut known = jws.key_id.is_none();
        for key in &self.keys {
            let named = key.id.is_some() && key.id == jws.key_id;
            known |= named;
            let meant = named || key.id.is_none() || jws.key_id.is_none();
            let ours = key.issuer.as_deref().is_none_or(&names_issuer);
            if meant && ours && key.verifies(jws) {
                return SignatureCheck::Valid;
            }
        }
        if known { SignatureCheck::Invalid } else { SignatureCheck::UnknownKey }
    }
}

/// A key with the algorithm it verifies.
#[derive(Debug)]
struct PublicKey {
    algorithm: Algorithm,
    id: Option<String>,
    /// Entra marks keys that belong to one issuer only; `{tenantid}` in it stands for any tenant.
    issuer: Option<String>,
    key: ParsedPublicKey,
}

impl PublicKey {
    /// The algorithm of the header must be that of the key: a token cannot choose how a key is used.
    fn verifies(&self, jws: &Jws<'_>) -> bool {
        self.algorithm == jws.algorithm && self.key.verify_sig(jws.signed, &jws.signature).is_ok()
    }
}

/// A key as published.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    issuer: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private part. A key with a published private part proves nothing.
    d: Option<serde_json::Value>,
}

impl Jwk {
    fn into_public_key(self) -> Option<PublicKey> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let for_verifying = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures || !for_verifying || self.d.is_some() {
            return None;
        }
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (Algorithm::Rs256, self.rsa()?),
            ("EC", Some("P-256")) => (Algorithm::Es256, self.p256()?),
            _ => return None,
        };
        if self.alg.as_deref().is_some_and(|alg| Algorithm::parse(alg) != Some(algorithm)) {
            return None;
        }
        Some(PublicKey { algorithm, id: self.kid, issuer: self.issuer, key })
    }

    fn rsa(&self) -> Option<ParsedPublicKey> {
        let n = unsigned(self.n.as_deref()?)?;
        let e = unsigned(self.e.as_deref()?)?;
        let exponent_is_sound = e.last()? & 1 == 1 && e != [1];
        if bits(&n) < 2048 || !exponent_is_sound || is_roca(&n) {
            return None;
        }
        PublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok()
    }

    fn p256(&self) -> Option<ParsedPublicKey> {
        let (x, y) = (BASE64URL.decode(self.x.as_deref()?).ok()?, BASE64URL.decode(self.y.as_deref()?).ok()?);
        if x.len() != 32 || y.len() != 32 {
            return None;
        }
        let point = [&[4][..], &x, &y].concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).ok()
    }
}

/// Decodes a big-endian number without leading zeros.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64URL.decode(text).ok()?;
    let first = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[first..].to_vec())
}

fn bits(n: &[u8]) -> usize {
    n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize)
}

/// Returns whether a modulus has the fingerprint of CVE-2017-15361 (ROCA): its private key can be computed.
///
/// Such moduli are powers of 65537 modulo every small prime. Other moduli are so by chance less than once in 2^27.
fn is_roca(n: &[u8]) -> bool {
    const PRIMES: [u32; 38] = [
        3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
        103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
    ];
    PRIMES.iter().all(|prime| {
        let rest = n.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime);
        let mut power = 1;
        (0..*prime).any(|_| {
            power = power * 65537 % prime;
            power == rest
        })
    })
}

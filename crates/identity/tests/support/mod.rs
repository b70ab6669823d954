//! Handmade keys, key sets and tokens, so that tests can make invalid ones too.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as B64};
use identity::{IssuerSettings, KeySet, KeySource, TokenVerifier};
use serde_json::{Value, json};

/// The time of the tests: 2026-01-01T00:00:00Z.
pub const NOW: i64 = 1_767_225_600;
pub const ISSUER: &str = "https://login.example/t/v2.0";
pub const AUDIENCE: &str = "https://api.example";

pub static RSA: LazyLock<Rsa> = LazyLock::new(|| Rsa(KeyPair::generate(KeySize::Rsa2048).unwrap()));
pub static OTHER_RSA: LazyLock<Rsa> = LazyLock::new(|| Rsa(KeyPair::generate(KeySize::Rsa2048).unwrap()));
pub static EC: LazyLock<Ec> =
    LazyLock::new(|| Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()));

pub struct Rsa(KeyPair);

impl Rsa {
    pub fn sign(&self, input: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
        signature
    }

    pub fn sign_pss(&self, input: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PSS_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
        signature
    }

    pub fn jwk(&self, kid: &str) -> Value {
        // RSAPublicKey of a 2048-bit key: 30 82 xx xx 02 82 01 01 00 <256 bytes> 02 03 01 00 01.
        let der = self.0.public_key().as_ref().to_vec();
        assert_eq!((der.len(), &der[265..]), (270, &[2, 3, 1, 0, 1][..]));
        json!({ "kty": "RSA", "use": "sig", "kid": kid, "n": B64.encode(&der[9..265]), "e": "AQAB" })
    }

    pub fn der(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        der.as_ref().to_vec()
    }
}

pub struct Ec(EcdsaKeyPair);

impl Ec {
    pub fn sign(&self, input: &[u8]) -> Vec<u8> {
        self.0.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec()
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let point = self.0.public_key().as_ref();
        let (x, y) = (B64.encode(&point[1..33]), B64.encode(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y })
    }

    pub fn point(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }
}

pub fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}

pub fn hmac_sha256(secret: &[u8], input: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input).as_ref().to_vec()
}

pub fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

pub fn fixed(keys: &[Value]) -> Arc<KeySource> {
    Arc::new(KeySource::fixed(key_set(keys)))
}

/// The usual set: `r` is RSA, `e` is P-256.
pub fn usual_keys() -> Arc<KeySource> {
    fixed(&[RSA.jwk("r"), EC.jwk("e")])
}

pub fn settings(keys: Arc<KeySource>) -> IssuerSettings {
    IssuerSettings::new(ISSUER, keys, vec![AUDIENCE.to_owned(), "api-guid".to_owned()])
}

pub fn usual_verifier() -> TokenVerifier {
    TokenVerifier::new(vec![settings(usual_keys())], 0)
}

/// The claims of a person's token that is valid at `NOW`.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "tid": "t", "oid": "o", "sub": "s",
        "upn": "Ann@Contoso.example", "scp": "user_impersonation", "roles": ["ReferralAdmin"],
    })
}

/// `claims()` with members replaced; null removes.
pub fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => claims.as_object_mut().unwrap().shift_remove(name),
            value => claims.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    claims
}

/// Signs a token with any header and claims.
pub fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(claims.to_string()));
    let signature = sign(input.as_bytes());
    format!("{input}.{}", B64.encode(signature))
}

/// An RS256 token under key `r`.
pub fn rs256(claims: &Value) -> String {
    token(&json!({ "alg": "RS256", "typ": "JWT", "kid": "r" }), claims, |input| RSA.sign(input))
}

//! Time and chance, made predictable.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair as KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use exchange::{Clock, Ids};
use identity::sandbox::SigningKey;
use referral::Timestamp;
use serde_json::{Value, json};
use server::Random;
use uuid::Uuid;

/// A clock that stands until it is moved.
pub struct FakeClock(AtomicI64);

impl FakeClock {
    pub fn at(text: &str) -> FakeClock {
        FakeClock(AtomicI64::new(text.parse::<Timestamp>().unwrap().ticks()))
    }

    pub fn set(&self, text: &str) {
        self.0.store(text.parse::<Timestamp>().unwrap().ticks(), Ordering::SeqCst);
    }

    pub fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 10_000_000, Ordering::SeqCst);
    }

    pub fn time(&self) -> Timestamp {
        Timestamp::from_ticks(self.0.load(Ordering::SeqCst))
    }

    /// Whole seconds since the Unix epoch.
    pub fn seconds(&self) -> i64 {
        self.time().unix_seconds()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        self.time()
    }
}

/// Identifiers in the order they were asked for, in the form of version 7.
#[derive(Default)]
pub struct SeededIds(AtomicU64);

impl Ids for SeededIds {
    fn next(&self, now: Timestamp) -> Uuid {
        let count = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&count.to_be_bytes());
        let millis = u64::try_from(now.ticks() / 10_000).unwrap();
        uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid()
    }
}

/// Bytes that look random and are the same in every run (SplitMix64).
#[derive(Default)]
pub struct Chance(AtomicU64);

impl Random for Chance {
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        for half in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            half.copy_from_slice(&(z ^ (z >> 31)).to_be_bytes());
        }
        bytes
    }
}

/// The issuer's key: made once per test process.
pub fn signing_key() -> SigningKey {
    SigningKey::from_pkcs8(key_der()).unwrap()
}

fn key_der() -> &'static [u8] {
    static KEY: OnceLock<Vec<u8>> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::generate().unwrap().to_pkcs8())
}

/// A token with these claims, signed with the issuer's key.
pub fn signed(claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": signing_key().kid() });
    let [header, claims] = [&header, claims].map(|part| BASE64URL.encode(part.to_string()));
    let text = format!("{header}.{claims}");
    let pair = KeyPair::from_pkcs8(key_der()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
    format!("{text}.{}", BASE64URL.encode(signature))
}

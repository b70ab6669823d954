//! Where an issuer's keys come from: given, or found by OpenID Connect discovery and kept.

use std::sync::{Arc, PoisonError, RwLock};

use net::{FetchError, HttpClient};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::jwk::{KeySet, KeySetError};

/// Tokens with unknown keys may make us ask the issuer again so many times in a row: keys may be rotated one soon after
/// the other, and whoever makes unknown keys up must not make us ask for each.
const BURST: i64 = 6;
/// After so many seconds they may once more.
const SECONDS_PER_FETCH: i64 = 5;
/// While there are no keys, or the issuer did not answer, a request may make us ask this often, in seconds.
const RETRY_PAUSE_SECONDS: i64 = 5;

/// How to find an issuer's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The issuer as its metadata must name it, letter by letter; a template stays one.
    pub issuer: String,
    /// Where the metadata lie. `None`: `{issuer}/.well-known/openid-configuration`, with `organizations` in the
    /// place of a template's `{tenantid}`.
    pub metadata_url: Option<String>,
}

impl Discovery {
    fn url(&self) -> String {
        self.metadata_url.clone().unwrap_or_else(|| {
            let issuer = self.issuer.replace("{tenantid}", "organizations");
            format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
        })
    }
}

/// Why an issuer's keys could not be fetched. For the log.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// No document.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An answer other than 200.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked.
        url: String,
        /// What came.
        status: u16,
    },
    /// The metadata are not JSON with `issuer` and `jwks_uri`.
    #[error("{url} is no OpenID configuration: {error}")]
    Metadata {
        /// What was asked.
        url: String,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// The metadata are another issuer's.
    #[error("{url} speaks for issuer {found}, not for {expected}")]
    WrongIssuer {
        /// What was asked.
        url: String,
        /// Who it speaks for.
        found: String,
        /// Who was meant.
        expected: String,
    },
    /// No key set.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// A key set without a key that can be used.
    #[error("{0} holds no key that can verify RS256 or ES256")]
    NoKeys(String),
}

/// The keys of one issuer, now. Reading takes a short shared lock; fetching holds none that readers want.
#[derive(Debug)]
pub struct KeySource {
    keys: RwLock<Option<Arc<KeySet>>>,
    origin: Option<Origin>,
}

#[derive(Debug)]
struct Origin {
    discovery: Discovery,
    client: HttpClient,
    /// When the issuer was asked. Held while asking, so that one request asks and the others wait for it.
    limiter: Mutex<FetchLimiter>,
}

/// How often an issuer was asked.
#[derive(Debug, Default)]
struct FetchLimiter {
    /// How many times of [`BURST`] are used up, as of `counted`.
    used: i64,
    counted: i64,
    /// When it was asked in vain, if that was the last time.
    failed: Option<i64>,
}

impl FetchLimiter {
    /// Whether a token may make us ask now; counted if so.
    fn try_acquire(&mut self, now: i64) -> bool {
        // A clock set back must not silence us, hence the lower bounds.
        if self.failed.is_some_and(|at| (at..at.saturating_add(RETRY_PAUSE_SECONDS)).contains(&now)) {
            return false;
        }
        if now < self.counted {
            *self = FetchLimiter { counted: now, ..FetchLimiter::default() };
        }
        let regained = (now - self.counted) / SECONDS_PER_FETCH;
        if regained >= self.used {
            (self.used, self.counted) = (0, now);
        } else {
            self.used -= regained;
            self.counted += regained * SECONDS_PER_FETCH;
        }
        if self.used >= BURST {
            return false;
        }
        self.used += 1;
        true
    }
}

impl KeySource {
    /// Keys that are given: from a file, for instance.
    pub fn fixed(keys: KeySet) -> Self {
        Self { keys: RwLock::new(Some(Arc::new(keys))), origin: None }
    }

    /// Keys that will be [`set`](Self::set) later; until then every token finds them unavailable.
    pub fn pending() -> Self {
        Self { keys: RwLock::new(None), origin: None }
    }

    /// Keys found by discovery, at the first [`refresh`](Self::refresh) or the first token.
    pub fn discovery(discovery: Discovery, client: HttpClient) -> Self {
        Self {
            keys: RwLock::new(None),
            origin: Some(Origin { discovery, client, limiter: Mutex::default() }),
        }
    }

    /// Replaces the keys.
    pub fn set(&self, keys: KeySet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
    }

    /// The keys at hand; `None` when there never were any.
    pub(crate) fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks the issuer now, and keeps the old keys when that fails. The composition root calls it at the start and
    /// about every hour. Given keys have nothing to ask.
    ///
    /// # Errors
    /// When the keys cannot be fetched; nothing has changed then.
    pub async fn refresh(&self, now: i64) -> Result<(), KeySourceError> {
        let Some(origin) = &self.origin else { return Ok(()) };
        let mut limiter = origin.limiter.lock().await;
        self.fetch_keys(origin, &mut limiter, now).await
    }

    async fn fetch_keys(
        &self,
        origin: &Origin,
        limiter: &mut FetchLimiter,
        now: i64,
    ) -> Result<(), KeySourceError> {
        let fetched = origin.fetch().await;
        limiter.failed = fetched.is_err().then_some(now);
        self.set(fetched?);
        Ok(())
    }

    /// Asks the issuer for keys that a token needs, unless it has been asked too often. `known` tells whether the keys at
    /// hand have come to serve while this one waited for another that asked.
    pub(crate) async fn refresh_for_token(&self, now: i64, known: impl Fn() -> bool) {
        let Some(origin) = &self.origin else { return };
        let mut limiter = origin.limiter.lock().await;
        if known() || !limiter.try_acquire(now) {
            return;
        }
        if let Err(error) = self.fetch_keys(origin, &mut limiter, now).await {
            tracing::warn!(%error, "Keys of issuer {} not refreshed: {error}", origin.discovery.issuer);
        }
    }
}

#[derive(Deserialize)]
struct ProviderMetadata {
    issuer: String,
    jwks_uri: String,
}

impl Origin {
    async fn fetch(&self) -> Result<KeySet, KeySourceError> {
        let url = self.discovery.url();
        let metadata = self.get(&url).await?;
        let metadata: ProviderMetadata = serde_json::from_slice(&metadata)
            .map_err(|error| KeySourceError::Metadata { url: url.clone(), error })?;
        if metadata.issuer != self.discovery.issuer {
            let expected = self.discovery.issuer.clone();
            return Err(KeySourceError::WrongIssuer { url, found: metadata.issuer, expected });
        }
        let keys = KeySet::parse(&self.get(&metadata.jwks_uri).await?)?;
        if keys.is_empty() {
            return Err(KeySourceError::NoKeys(metadata.jwks_uri));
        }
        Ok(keys)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, KeySourceError> {
        let document = self.client.get(url).await?;
        match document.status.as_u16() {
            200 => Ok(document.body.into()),
            status => Err(KeySourceError::Status { url: url.to_owned(), status }),
        }
    }
}

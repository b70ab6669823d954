//! The keys of an issuer: configured, or found by OpenID Connect discovery and cached.

use std::sync::{Arc, PoisonError, RwLock};

use net::{FetchError, HttpClient};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::jwk::{KeySet, KeySetError};

/// Number of fetches that tokens with unknown keys may trigger in a row. Keys may be rotated in quick succession, but a
/// client that makes up key ids must not trigger a fetch for each of them.
const BURST: i64 = 6;
/// Seconds until one more fetch is allowed.
const SECONDS_PER_FETCH: i64 = 5;
/// Seconds between fetches that requests trigger while there are no keys, or after a failed fetch.
const RETRY_PAUSE_SECONDS: i64 = 5;

/// How to find the keys of an issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// The issuer exactly as its metadata must name it. A template stays a template.
    pub issuer: String,
    /// The URL of the metadata. `None`: `{issuer}/.well-known/openid-configuration`, where `organizations` replaces the
    /// `{tenantid}` of a template.
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

/// Why the keys of an issuer could not be fetched. For the log.
#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    /// The document could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The response had a status other than 200.
    #[error("{url} answered {status}")]
    Status {
        /// The requested URL.
        url: String,
        /// The status of the response.
        status: u16,
    },
    /// The metadata are not JSON with `issuer` and `jwks_uri`.
    #[error("{url} is not an OpenID configuration: {error}")]
    Metadata {
        /// The requested URL.
        url: String,
        /// The parse error.
        error: serde_json::Error,
    },
    /// The metadata name another issuer.
    #[error("{url} names issuer {found}, not {expected}")]
    WrongIssuer {
        /// The requested URL.
        url: String,
        /// The issuer in the metadata.
        found: String,
        /// The expected issuer.
        expected: String,
    },
    /// The key set cannot be parsed.
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    /// The key set has no usable key.
    #[error("{0} has no key that can verify RS256 or ES256")]
    NoKeys(String),
}

/// The current keys of one issuer. Reading takes a short shared lock, which is not held while fetching.
#[derive(Debug)]
pub struct KeySource {
    keys: RwLock<Option<Arc<KeySet>>>,
    origin: Option<Origin>,
}

#[derive(Debug)]
struct Origin {
    discovery: Discovery,
    client: HttpClient,
    /// Held while fetching, so that one request fetches and the others wait for it.
    limiter: Mutex<FetchLimiter>,
}

/// Limits how often the issuer is asked for keys.
#[derive(Debug, Default)]
struct FetchLimiter {
    /// The number of fetches of [`BURST`] that are used up, at the time `counted`.
    used: i64,
    counted: i64,
    /// The time of the last fetch, if it failed.
    failed: Option<i64>,
}

impl FetchLimiter {
    /// Returns whether a token may trigger a fetch now, and counts it.
    fn try_acquire(&mut self, now: i64) -> bool {
        // The lower bounds keep a clock that was set back from blocking all fetches.
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
    /// Creates a source of fixed keys, for example from a file.
    pub fn fixed(keys: KeySet) -> Self {
        Self { keys: RwLock::new(Some(Arc::new(keys))), origin: None }
    }

    /// Creates a source whose keys will be [`set`](Self::set) later. Until then they are unavailable.
    pub fn pending() -> Self {
        Self { keys: RwLock::new(None), origin: None }
    }

    /// Creates a source that finds its keys by discovery, at the first [`refresh`](Self::refresh) or the first token.
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

    /// Returns the current keys; `None` if there never were any.
    pub(crate) fn current(&self) -> Option<Arc<KeySet>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Fetches the keys now. The old keys are kept if that fails. The binary calls it at the start and about every
    /// hour. Fixed keys are not fetched.
    ///
    /// # Errors
    /// When the keys cannot be fetched.
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

    /// Fetches the keys because a token needs a new one, unless they were fetched too often. `known` returns whether
    /// the current keys are sufficient by now: another request may have fetched them while this one waited.
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

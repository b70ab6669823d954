//! Where an issuer's keys come from: given, or found by OpenID Connect discovery and kept.

use std::sync::{Arc, PoisonError, RwLock};

use net::{FetchError, HttpClient};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::jwk::{KeySet, KeySetError};

/// An unknown key makes us ask the issuer again at most this often, in seconds.
const PAUSE_WITH_KEYS: i64 = 60;
/// While there are no keys at all, a request may make us ask this often, in seconds.
const PAUSE_WITHOUT_KEYS: i64 = 5;

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
    /// When the issuer was last asked. Held while asking, so that one request asks and the others wait for it.
    asked: Mutex<Option<i64>>,
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
        Self { keys: RwLock::new(None), origin: Some(Origin { discovery, client, asked: Mutex::new(None) }) }
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
        let mut asked = origin.asked.lock().await;
        *asked = Some(now);
        self.set(origin.fetch().await?);
        Ok(())
    }

    /// Asks the issuer unless that was done a moment ago. Returns whether to look at the keys again.
    pub(crate) async fn refresh_if_due(&self, now: i64) -> bool {
        let Some(origin) = &self.origin else { return false };
        let mut asked = origin.asked.lock().await;
        let pause = if self.current().is_some() { PAUSE_WITH_KEYS } else { PAUSE_WITHOUT_KEYS };
        // A clock set back must not silence us, hence the lower bound.
        if asked.is_some_and(|at| (at..at.saturating_add(pause)).contains(&now)) {
            // Another request may have asked while this one waited.
            return true;
        }
        *asked = Some(now);
        match origin.fetch().await {
            Ok(keys) => self.set(keys),
            Err(error) => {
                tracing::warn!(%error, "Keys of issuer {} not refreshed: {error}", origin.discovery.issuer)
            }
        }
        true
    }
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Origin {
    async fn fetch(&self) -> Result<KeySet, KeySourceError> {
        let url = self.discovery.url();
        let metadata = self.get(&url).await?;
        let metadata: Metadata = serde_json::from_slice(&metadata)
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

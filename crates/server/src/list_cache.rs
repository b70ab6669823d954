//! A cache of list responses for clients that poll. A response is used while its data has not changed.
//!
//! A response is used only for the same caller and the same request, and only while the change token of the
//! caller's organization has not changed ([`exchange::Exchange::change_token`]). So a list always shows what was
//! acknowledged before it was requested.

use bytes::Bytes;
use exchange::{Caller, ListRequest};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::negotiation::MetadataLevel;

/// Approximate memory of an entry without its texts, in bytes.
const ENTRY_OVERHEAD: usize = 512;

/// Everything that a response depends on, except the referrals.
#[derive(Hash)]
pub(crate) struct ListCacheQuery<'a> {
    caller: &'a Caller,
    options: &'a str,
    token: Option<&'a str>,
    metadata: MetadataLevel,
    page_size: usize,
    uncounted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct ListCacheKey {
    caller: Caller,
    options: String,
    token: Option<String>,
    metadata: MetadataLevel,
    page_size: usize,
    uncounted: bool,
}

impl<'a> ListCacheQuery<'a> {
    /// Returns `None` for requests whose responses depend on more.
    pub(crate) fn for_request(
        caller: &'a Caller,
        list_request: &'a ListRequest,
        metadata: MetadataLevel,
        uncounted: bool,
    ) -> Option<ListCacheQuery<'a>> {
        list_request.depends_only_on_own().then(|| ListCacheQuery {
            caller,
            options: list_request.query_without_token(),
            token: list_request.raw_options().skiptoken.as_deref(),
            metadata,
            page_size: list_request.page_size(),
            uncounted,
        })
    }

    fn key(&self) -> ListCacheKey {
        ListCacheKey {
            caller: self.caller.clone(),
            options: self.options.to_owned(),
            token: self.token.map(str::to_owned),
            metadata: self.metadata,
            page_size: self.page_size,
            uncounted: self.uncounted,
        }
    }
}

impl Equivalent<ListCacheKey> for ListCacheQuery<'_> {
    fn equivalent(&self, key: &ListCacheKey) -> bool {
        let ListCacheQuery { caller, options, token, metadata, page_size, uncounted } = *self;
        *caller == key.caller
            && options == key.options
            && token == key.token.as_deref()
            && (metadata, page_size, uncounted) == (key.metadata, key.page_size, key.uncounted)
    }
}

#[derive(Clone)]
struct CachedBody {
    change_token: u64,
    body: Bytes,
}

#[derive(Clone)]
struct WeighByBytes;

impl Weighter<ListCacheKey, CachedBody> for WeighByBytes {
    fn weight(&self, key: &ListCacheKey, cached: &CachedBody) -> u64 {
        (cached.body.len() + key.options.len() + key.token.as_ref().map_or(0, String::len) + ENTRY_OVERHEAD)
            as u64
    }
}

/// The cache, limited by bytes.
pub(crate) struct ListCache(Cache<ListCacheKey, CachedBody, WeighByBytes>);

impl ListCache {
    /// Creates a cache of this size; with 0 nothing is cached.
    pub(crate) fn new(bytes: u64) -> ListCache {
        let items = (bytes / (64 * 1024)).max(16) as usize;
        ListCache(Cache::with_weighter(items, bytes, WeighByBytes))
    }

    /// Returns the cached body for this change token.
    pub(crate) fn get(&self, query: &ListCacheQuery<'_>, change_token: u64) -> Option<Bytes> {
        self.0.get(query).filter(|cached| cached.change_token == change_token).map(|cached| cached.body)
    }

    /// Caches the body for a change token.
    pub(crate) fn insert(&self, query: &ListCacheQuery<'_>, change_token: u64, body: Bytes) {
        self.0.insert(query.key(), CachedBody { change_token, body });
    }
}

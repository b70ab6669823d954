//! Verified tokens, cached by hash until they expire. Used by every request.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

/// The SHA-256 of a token: the key of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Computes the hash of a token's text.
    pub fn sha256(token: &[u8]) -> TokenHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token).as_ref());
        TokenHash(hash)
    }
}

/// The last token of a connection, with its hash. A client sends the same token with every request, and comparing takes
/// a tenth of the time of hashing. Whether the token is valid is looked up each time.
#[derive(Default)]
pub struct LastToken(Cell<Option<(Box<[u8]>, TokenHash)>>);

impl LastToken {
    /// Returns the hash of a token. Its duration reveals nothing about the text of the previous token, which may belong
    /// to another client behind a proxy.
    pub fn hash(&self, token: &[u8]) -> TokenHash {
        let last = self.0.take().filter(|(last, _)| verify_slices_are_equal(last, token).is_ok());
        let (text, hash) = last.unwrap_or_else(|| (token.into(), TokenHash::sha256(token)));
        self.0.set(Some((text, hash)));
        hash
    }
}

/// The verified tokens, bounded by number. Refused tokens are never cached, and the text of a token is not kept. `T` is
/// the caller that the server derived from the token.
pub struct TokenCache<T> {
    cache: Cache<
        TokenHash,
        CachedToken<T>,
        UnitWeighter,
        FirstEight,
        DefaultLifecycle<TokenHash, CachedToken<T>>,
    >,
}

struct CachedToken<T> {
    value: Arc<T>,
    /// In Unix seconds.
    valid: Range<i64>,
}

impl<T> Clone for CachedToken<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), valid: self.valid.clone() }
    }
}

impl<T> TokenCache<T> {
    /// Creates a cache for up to `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        let weight = u64::try_from(capacity).unwrap_or(u64::MAX);
        Self { cache: Cache::with(capacity, weight, UnitWeighter, FirstEight, DefaultLifecycle::default()) }
    }

    /// Returns the caller of a token that was verified and is still valid at `now` (Unix seconds).
    pub fn get(&self, token: &TokenHash, now: i64) -> Option<Arc<T>> {
        let found = self.cache.get(token)?;
        if found.valid.contains(&now) {
            return Some(found.value);
        }
        self.cache.remove(token);
        None
    }

    /// Caches a verified token for a period in Unix seconds, from now until at most its expiry. The period has a
    /// beginning so that a clock that was set back does not extend it.
    pub fn insert(&self, token: TokenHash, value: Arc<T>, valid: Range<i64>) {
        self.cache.insert(token, CachedToken { value, valid });
    }

    /// Removes all tokens, because roles or organizations changed.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// Returns the number of cached tokens.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Returns whether the cache is empty.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }
}

impl<T> std::fmt::Debug for TokenCache<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// A SHA-256 needs no second hash: its first eight bytes are used.
#[derive(Debug, Clone, Copy, Default)]
struct FirstEight;

impl BuildHasher for FirstEight {
    type Hasher = FirstEightHasher;

    fn build_hasher(&self) -> FirstEightHasher {
        FirstEightHasher::default()
    }
}

#[derive(Default)]
struct FirstEightHasher(u64);

impl Hasher for FirstEightHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    /// Called with the whole hash. The length prefix of an array comes through `write_usize` and is dropped.
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(token: &str) -> TokenHash {
        TokenHash::sha256(token.as_bytes())
    }

    #[test]
    fn a_connection_may_change_its_token() {
        let last = LastToken::default();
        for token in ["a.b.c", "a.b.c", "a.b.d", "a.b", "a.b.c", "", "a.b.c"] {
            assert_eq!(last.hash(token.as_bytes()), hash(token), "{token}");
        }
    }

    #[test]
    fn a_token_is_remembered_up_to_its_last_second() {
        let memory = TokenCache::new(10);
        memory.insert(hash("a.b.c"), Arc::new(7), 50..100);
        assert_eq!(memory.get(&hash("a.b.c"), 99).as_deref(), Some(&7));
        assert_eq!(memory.get(&hash("a.b.d"), 99), None);
        assert_eq!(memory.get(&hash("a.b.c"), 100), None);
        assert!(memory.is_empty(), "the expired token is forgotten");
    }

    #[test]
    fn a_clock_set_back_makes_nothing_remembered_for_longer() {
        let memory = TokenCache::new(10);
        memory.insert(hash("a.b.c"), Arc::new(7), 50..100);
        assert_eq!(memory.get(&hash("a.b.c"), 50).as_deref(), Some(&7));
        assert_eq!(memory.get(&hash("a.b.c"), 49), None);
        assert!(memory.is_empty(), "it is to be verified again");
    }

    #[test]
    fn the_memory_never_holds_more_than_its_capacity() {
        let memory = TokenCache::new(50);
        for n in 0..1000 {
            memory.insert(hash(&format!("token {n}")), Arc::new(n), 50..100);
            assert!(memory.len() <= 50, "{} after {n}", memory.len());
        }
        let held = (0..1000)
            .filter(|n| memory.get(&hash(&format!("token {n}")), 60).is_some_and(|v| *v == *n))
            .count();
        assert!((25..=50).contains(&held), "{held} of 50 places are used");
        memory.clear();
        assert_eq!(memory.len(), 0);
    }
}

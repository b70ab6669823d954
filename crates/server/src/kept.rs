//! Answers to lists, kept while nothing that they show has changed: clients that poll ask the same again and again.
//!
//! An answer is used for the same caller and the same question alone, and only while the store's moment for the
//! caller's organization is the one it was made at ([`exchange::Exchange::change_token`]). So nobody sees less than what was
//! acknowledged before they asked.

use bytes::Bytes;
use exchange::{Caller, ListRequest};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::negotiation::Metadata;

/// About what an entry takes beside its texts, in bytes.
const OVERHEAD: usize = 512;

/// Everything an answer depends on but the referrals.
#[derive(Hash)]
pub(crate) struct Asked<'a> {
    caller: &'a Caller,
    options: &'a str,
    token: Option<&'a str>,
    metadata: Metadata,
    page_size: usize,
    uncounted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    caller: Caller,
    options: String,
    token: Option<String>,
    metadata: Metadata,
    page_size: usize,
    uncounted: bool,
}

impl<'a> Asked<'a> {
    /// `None` for questions whose answers depend on more.
    pub(crate) fn of(
        caller: &'a Caller,
        list_request: &'a ListRequest,
        metadata: Metadata,
        uncounted: bool,
    ) -> Option<Asked<'a>> {
        list_request.depends_only_on_own().then(|| Asked {
            caller,
            options: list_request.query_without_token(),
            token: list_request.raw_options().skiptoken.as_deref(),
            metadata,
            page_size: list_request.page_size(),
            uncounted,
        })
    }

    fn key(&self) -> Key {
        Key {
            caller: self.caller.clone(),
            options: self.options.to_owned(),
            token: self.token.map(str::to_owned),
            metadata: self.metadata,
            page_size: self.page_size,
            uncounted: self.uncounted,
        }
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        let Asked { caller, options, token, metadata, page_size, uncounted } = *self;
        *caller == key.caller
            && options == key.options
            && token == key.token.as_deref()
            && (metadata, page_size, uncounted) == (key.metadata, key.page_size, key.uncounted)
    }
}

#[derive(Clone)]
struct Answered {
    moment: u64,
    body: Bytes,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Answered> for ByBytes {
    fn weight(&self, key: &Key, answered: &Answered) -> u64 {
        (answered.body.len() + key.options.len() + key.token.as_ref().map_or(0, String::len) + OVERHEAD)
            as u64
    }
}

/// The answers, within so many bytes.
pub(crate) struct Kept(Cache<Key, Answered, ByBytes>);

impl Kept {
    /// 0 keeps nothing.
    pub(crate) fn new(bytes: u64) -> Kept {
        let items = (bytes / (64 * 1024)).max(16) as usize;
        Kept(Cache::with_weighter(items, bytes, ByBytes))
    }

    /// The body that was made at this moment.
    pub(crate) fn get(&self, asked: &Asked<'_>, moment: u64) -> Option<Bytes> {
        self.0.get(asked).filter(|answered| answered.moment == moment).map(|answered| answered.body)
    }

    /// Keeps a body that is good at a moment.
    pub(crate) fn keep(&self, asked: &Asked<'_>, moment: u64, body: Bytes) {
        self.0.insert(asked.key(), Answered { moment, body });
    }
}

//! The conformance suite, with the usual cache and with none worth the name.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::{SqliteOptions, SqliteStore};
use crate::Store;
use crate::conformance::Engine;

/// A directory of its own.
struct Directory {
    directory: tempfile::TempDir,
    options: SqliteOptions,
}

#[async_trait]
impl Engine for Directory {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(self.directory.path(), self.options.clone()).unwrap())
    }
}

fn with(options: SqliteOptions) -> Directory {
    Directory { directory: tempfile::tempdir().unwrap(), options }
}

mod as_shipped {
    crate::conformance_suite!(super::with(super::SqliteOptions::default()));
}

/// Room for a dozen referrals, so that reading evicts; one reader, tiny groups; documents as they are.
mod cramped {
    crate::conformance_suite!(super::with(super::SqliteOptions {
        cache_bytes: 8 * 1024,
        readers: 1,
        group_limit: 2,
        compression: false,
        ..super::SqliteOptions::default()
    }));
}

mod without_cache {
    crate::conformance_suite!(super::with(super::SqliteOptions {
        cache_bytes: 0,
        ..super::SqliteOptions::default()
    }));
}

//! The conformance suite, as shipped, and with everything as small as it can be.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::{PostgresOptions, PostgresStore};
use super::database::Database;
use crate::Store;
use crate::conformance::Engine;

/// A database of its own.
struct Fresh {
    database: Database,
    options: PostgresOptions,
}

#[async_trait]
impl Engine for Fresh {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.database.address(), self.options.clone()).await.unwrap())
    }
}

fn with(options: PostgresOptions) -> Fresh {
    Fresh { database: Database::new(), options }
}

mod as_shipped {
    crate::conformance_suite!(super::with(super::PostgresOptions::default()));
}

/// Two connections, one lane, tiny groups.
mod cramped {
    crate::conformance_suite!(super::with(super::PostgresOptions {
        connections: 2,
        writer_shards: 1,
        group_limit: 2,
        ..super::PostgresOptions::default()
    }));
}

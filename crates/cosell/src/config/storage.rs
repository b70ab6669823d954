//! `[store]`: where the data lie.

use std::path::PathBuf;

use serde::Deserialize;
use store::sqlite::SqliteOptions;

use crate::failure::Failure;

/// Each reader is a thread with a connection of its own.
const MOST_READERS: usize = 256;

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The data directory.
    pub directory: Option<PathBuf>,
    /// A PostgreSQL database: known, and not in this version.
    pub database: Option<String>,
    cache_bytes: u64,
    reader_threads: usize,
    group_limit: usize,
}

impl Storage {
    /// The data directory.
    ///
    /// # Errors
    /// `Usage` without one, and with a database.
    pub fn directory(&self) -> Result<&PathBuf, Failure> {
        if self.database.is_some() {
            return Err(Failure::usage(
                "a PostgreSQL database is not in this version: use --data DIR (SQLite)",
            ));
        }
        self.directory.as_ref().ok_or_else(|| {
            Failure::usage("where are the data? Give --data DIR, or store.directory in the configuration")
        })
    }

    /// What the engine is told.
    ///
    /// # Errors
    /// `Usage` where there must be at least one.
    pub fn sqlite_options(&self) -> Result<SqliteOptions, Failure> {
        if self.reader_threads > MOST_READERS {
            return Err(Failure::usage(format!("store.reader_threads must be at most {MOST_READERS}")));
        }
        if self.reader_threads == 0 || self.group_limit == 0 {
            return Err(Failure::usage("store.reader_threads and store.group_limit must be at least 1"));
        }
        Ok(SqliteOptions {
            cache_bytes: self.cache_bytes,
            readers: self.reader_threads,
            group_limit: self.group_limit,
            ..SqliteOptions::default()
        })
    }
}

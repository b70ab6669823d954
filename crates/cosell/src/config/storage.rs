//! `[store]`: where the data lie.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use store::QueryLimits;
use store::postgres::PostgresOptions;
use store::sqlite::SqliteOptions;

use super::secrets;
use crate::failure::Failure;
use crate::resources::{self, MemoryPlan};

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The data directory.
    pub directory: Option<PathBuf>,
    /// The address of a PostgreSQL database, instead.
    pub database: Option<String>,
    database_tls: Option<DatabaseTls>,
    database_authorities_file: Option<PathBuf>,
    connections: u32,
    statement_timeout_seconds: u64,
    prepared_statements: bool,
    cache_bytes: Option<u64>,
    /// How much memory answers to lists may take that are asked for again, in bytes.
    pub list_cache_bytes: Option<u64>,
    reader_threads: usize,
    compression: bool,
    group_limit: usize,
}

/// Whether the connections to the database are under TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DatabaseTls {
    /// No.
    Off,
    /// Yes, and the certificate must be good and for the host's name.
    Verify,
}

/// Where the data are, and what the engine is told.
#[derive(Clone)]
pub enum DatabaseLocation {
    /// A directory of SQLite's.
    Directory(PathBuf, SqliteOptions),
    /// The address of a PostgreSQL database.
    Database(String, Box<PostgresOptions>),
}

impl Storage {
    /// Where the data are.
    ///
    /// # Errors
    /// `Usage` for no place or two, and for values that cannot be.
    pub fn location(&self) -> Result<DatabaseLocation, Failure> {
        match (&self.directory, &self.database) {
            (Some(directory), None) if directory.to_string_lossy().contains("://") => {
                Err(Failure::usage(format!(
                    "{} is no directory: the address of a database is given with --database, or as store.database",
                    directory.display()
                )))
            }
            (Some(directory), None) => {
                Ok(DatabaseLocation::Directory(directory.clone(), self.sqlite_options()))
            }
            (None, Some(database)) => {
                Ok(DatabaseLocation::Database(database.clone(), Box::new(self.postgres_options(database)?)))
            }
            (Some(_), Some(_)) => {
                Err(Failure::usage("the data are in a directory or in a database: give one of the two"))
            }
            (None, None) => Err(Failure::usage(
                "where are the data? Give --data DIR or --database URL, or store.directory in the configuration",
            )),
        }
    }

    fn postgres_options(&self, database: &str) -> Result<PostgresOptions, Failure> {
        let is_local = store::postgres::is_local(database).map_err(Failure::usage)?;
        let default = if is_local { DatabaseTls::Off } else { DatabaseTls::Verify };
        let tls = match self.database_tls.unwrap_or(default) {
            DatabaseTls::Off => None,
            DatabaseTls::Verify => {
                let authorities = self.database_authorities_file.as_deref();
                Some(net::database_client(authorities).map_err(Failure::usage)?)
            }
        };
        let defaults = PostgresOptions::default();
        Ok(PostgresOptions {
            connections: self.connections,
            statement_timeout: Duration::from_secs(self.statement_timeout_seconds),
            writer_shards: defaults.writer_shards.min(self.connections as usize - 1),
            list_threads: defaults.list_threads.min(self.connections as usize / 4).max(1),
            limits: list_limits(),
            group_limit: self.group_limit.max(1),
            compression: self.compression,
            prepared_statements: self.prepared_statements,
            tls,
            ..defaults
        })
    }

    /// What the engine is told.
    fn sqlite_options(&self) -> SqliteOptions {
        SqliteOptions {
            cache_bytes: self
                .cache_bytes
                .unwrap_or_else(|| MemoryPlan::for_memory(resources::memory()).cache),
            readers: self.reader_threads,
            compression: self.compression,
            group_limit: self.group_limit,
            limits: list_limits(),
            ..SqliteOptions::default()
        }
    }

    /// How many files it has open beside those of every server.
    pub fn files(&self) -> u64 {
        let readers = (self.reader_threads as u64 + SqliteOptions::default().list_readers as u64) * 3;
        if self.database.is_some() { u64::from(self.connections) } else { readers }
    }

    /// Warns of a file that decides which database is believed and that everybody can change.
    pub(super) fn warn_of_open_files(&self) {
        if let Some(file) = &self.database_authorities_file {
            secrets::warn_of_open_trust(file, "The file of the database's authorities");
        }
    }
}

/// Returns the limits of one list, which depend on the memory of the machine.
pub fn list_limits() -> QueryLimits {
    QueryLimits { bytes: MemoryPlan::for_memory(resources::memory()).list, ..QueryLimits::default() }
}

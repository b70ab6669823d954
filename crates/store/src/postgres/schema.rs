//! The schema and its migrations: dated files, each applied once, all that are missing in one transaction.
//!
//! The one row of `schema_version` counts the migrations a database has seen. Who migrates holds it, so many nodes may
//! start at once; who finds it at the newest version changes nothing, and needs no right to.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::errors::PgError;
use super::pool::{Lease, Pool};
use super::rows;
use crate::StoreError;

/// One step of the schema; never edited after a release.
pub(super) struct Migration {
    /// The file's name, for messages.
    pub(super) name: &'static str,
    /// Its statements.
    pub(super) sql: &'static str,
}

/// Every step, in order: the version of a database is how many of them it has seen.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "2026-11-21_first.sql",
        sql: include_str!("../../migrations/postgres/2026-11-21_first.sql"),
    },
    Migration {
        name: "2026-11-22_jobs.sql",
        sql: include_str!("../../migrations/postgres/2026-11-22_jobs.sql"),
    },
];

/// How often two nodes may get into each other's way over a table that neither has.
const TRIES: usize = 10;
/// How long to wait before the next try.
const PAUSE: Duration = Duration::from_millis(50);

const VERSION_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_version (
       one integer NOT NULL PRIMARY KEY,
       version integer NOT NULL
     );
     INSERT INTO schema_version (one, version)
     VALUES (1, 0)
     ON CONFLICT (one) DO NOTHING";

/// Brings the database to the newest version this program knows.
///
/// # Errors
/// `TooNew` when a newer program was here; `Engine` names the migration that failed, and nothing of it stays.
pub(super) async fn migrate(pool: &Arc<Pool>, migrations: &[Migration]) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        let mut lease = pool.acquire().await?;
        tries += 1;
        match version(&lease).await {
            Ok(Some(found)) if found >= migrations.len() as u32 => return check(found, migrations),
            Ok(_) | Err(PgError::UndefinedTable(_)) => {}
            Err(pg_error) => return Err(pg_error.into()),
        }
        lease.mark_in_transaction();
        let made = async {
            lease
                .with_timeout(lease.client().batch_execute(VERSION_TABLE))
                .await
                .map_err(MigrationError::pg_error)?;
            take_steps(&lease, migrations).await
        };
        match made.await {
            Ok(()) => {
                lease.mark_idle();
                return Ok(());
            }
            Err(MigrationError { pg_error: PgError::Retryable(_), name: None }) if tries < TRIES => {
                drop(lease);
                tokio::time::sleep(PAUSE).await;
            }
            Err(MigrationError { name: Some(name), pg_error }) => {
                return Err(StoreError::Engine(format!("migration {name}: {}", StoreError::from(pg_error))));
            }
            Err(MigrationError { name: None, pg_error }) => return Err(pg_error.into()),
        }
    }
}

/// The version the database says it is of; 0 for an empty one. Reads only.
pub(super) async fn found(pool: &Arc<Pool>) -> Result<u32, StoreError> {
    let lease = pool.acquire().await?;
    match version(&lease).await {
        Ok(found) => Ok(found.unwrap_or(0)),
        Err(PgError::UndefinedTable(_)) => Ok(0),
        Err(pg_error) => Err(pg_error.into()),
    }
}

/// What went wrong, and in which migration.
struct MigrationError {
    name: Option<&'static str>,
    pg_error: PgError,
}

impl MigrationError {
    fn pg_error(pg_error: PgError) -> MigrationError {
        MigrationError { name: None, pg_error }
    }
}

async fn take_steps(lease: &Lease, migrations: &[Migration]) -> Result<(), MigrationError> {
    let client = lease.client();
    // A step may take its time over much data: no limit here.
    client.batch_execute("BEGIN").await.map_err(|error| MigrationError::pg_error(PgError::of(&error)))?;
    let seen = locked(client).await.map_err(MigrationError::pg_error)?.unwrap_or(0);
    for (place, migration) in migrations.iter().enumerate().skip(seen as usize) {
        let failed = |error| MigrationError { name: Some(migration.name), pg_error: PgError::of(&error) };
        client.batch_execute(migration.sql).await.map_err(failed)?;
        let becomes = place as i32 + 1;
        client
            .execute_typed("UPDATE schema_version SET version = $1 WHERE one = 1", &[(&becomes, Type::INT4)])
            .await
            .map_err(failed)?;
    }
    client.batch_execute("COMMIT").await.map_err(|error| MigrationError::pg_error(PgError::of(&error)))
}

const VERSION: &str = "SELECT version
     FROM schema_version
     WHERE one = 1";

const LOCKED_VERSION: &str = "SELECT version
     FROM schema_version
     WHERE one = 1
     FOR UPDATE";

/// The version the database says it is of.
async fn version(lease: &Lease) -> Result<Option<u32>, PgError> {
    number(lease.with_timeout(lease.client().query_typed_opt(VERSION, &[])).await?)
}

/// The same, after any other migration has finished, however long that takes.
async fn locked(client: &Client) -> Result<Option<u32>, PgError> {
    number(client.query_typed_opt(LOCKED_VERSION, &[]).await.map_err(|error| PgError::of(&error))?)
}

fn number(row: Option<Row>) -> Result<Option<u32>, PgError> {
    let Some(row) = row else { return Ok(None) };
    let version: i32 = rows::get(&row, 0).map_err(|error| PgError::Other(error.to_string()))?;
    Ok(Some(u32::try_from(version).unwrap_or(0)))
}

fn check(found: u32, migrations: &[Migration]) -> Result<(), StoreError> {
    let known = migrations.len() as u32;
    if found > known { Err(StoreError::TooNew { found, known }) } else { Ok(()) }
}

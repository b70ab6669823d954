//! The schema and its migrations: dated files, each applied once, in its own transaction.
//!
//! `PRAGMA user_version` counts the migrations a database has seen.

use rusqlite::{Connection, TransactionBehavior};

use super::files::file_error;
use crate::StoreError;

/// One step of the schema; never edited after a release.
pub(super) struct Migration {
    /// The file's name, for messages.
    pub(super) name: &'static str,
    /// Its statements.
    pub(super) sql: &'static str,
}

/// Every step, in order: the version of a database is how many of them it has seen.
pub(super) const MIGRATIONS: &[Migration] = &[Migration {
    name: "2026-11-21_first.sql",
    sql: include_str!("../../migrations/sqlite/2026-11-21_first.sql"),
}];

/// The version the database says it is of; 0 for an empty one.
pub(super) fn version(connection: &Connection) -> Result<u32, StoreError> {
    connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| file_error(connection, &error))
}

/// Refuses a database that a newer program wrote. Reads only.
pub(super) fn check(connection: &Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let (found, known) = (version(connection)?, migrations.len() as u32);
    if found > known { Err(StoreError::TooNew { found, known }) } else { Ok(()) }
}

/// Refuses every database but one of this program's own version. Reads only.
pub(super) fn check_current(connection: &Connection) -> Result<(), StoreError> {
    check(connection, MIGRATIONS)?;
    let (found, known) = (version(connection)?, MIGRATIONS.len() as u32);
    match found == known {
        true => Ok(()),
        false => Err(StoreError::Engine(format!(
            "the data are of schema version {found}, this program's is {known}: run cosell migrate first"
        ))),
    }
}

/// Brings a database to the newest version this program knows.
///
/// # Errors
/// `TooNew` as of [`check`]; `Engine` names the migration that failed and leaves the version before it.
pub(super) fn migrate(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    check(connection, migrations)?;
    let seen = version(connection)? as usize;
    for (place, migration) in migrations.iter().enumerate().skip(seen) {
        apply(connection, place as u32 + 1, migration)
            .map_err(|error| file_error(connection, &format!("migration {}: {error}", migration.name)))?;
    }
    Ok(())
}

fn apply(connection: &mut Connection, becomes: u32, migration: &Migration) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration.sql)?;
    transaction.pragma_update(None, "user_version", becomes)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Migration = Migration { name: "first", sql: "CREATE TABLE a (x INTEGER) STRICT" };
    const SECOND: Migration = Migration { name: "second", sql: "ALTER TABLE a ADD COLUMN y INTEGER" };
    const BROKEN: Migration =
        Migration { name: "broken", sql: "CREATE TABLE b (x INTEGER); CREATE TABLE b (x INTEGER)" };

    #[test]
    fn an_older_database_takes_the_steps_it_has_not_seen() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        connection.execute("INSERT INTO a (x) VALUES (7)", []).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        assert_eq!(version(&connection).unwrap(), 2);
        let row = connection.query_row("SELECT x, y FROM a", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
        });
        assert_eq!(row.unwrap(), (7, None));
    }

    #[test]
    fn a_failed_step_leaves_the_version_before_it() {
        let mut connection = Connection::open_in_memory().unwrap();
        let error = migrate(&mut connection, &[FIRST, BROKEN]).unwrap_err().to_string();
        assert!(error.contains("migration broken"), "{error}");
        assert_eq!(version(&connection).unwrap(), 1);
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'b'", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 0);
    }

    #[test]
    fn a_newer_database_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let error = migrate(&mut connection, &[FIRST]).unwrap_err();
        assert!(matches!(error, StoreError::TooNew { found: 2, known: 1 }), "{error}");
    }
}

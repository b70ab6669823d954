//! The SQLite table of the limits: what a durable store of referrals needs at the very least. One row for each
//! referral with the columns a list filters on, three indexes, WAL. No change log, no owner, no remembered answers.

use rusqlite::{Connection, params};

use crate::Outcome;
use crate::dataset::{Random, Referral};

/// Opens the table, or makes it. `synchronous` is SQLite's: `FULL` is durable, `OFF` is for filling.
///
/// # Errors
/// SQLite's.
pub fn open(path: &str, synchronous: &str) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    configure(&connection, synchronous)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS referral (
             id TEXT PRIMARY KEY,
             etag TEXT NOT NULL,
             created TEXT NOT NULL,
             status TEXT NOT NULL,
             direction TEXT NOT NULL,
             engagement TEXT NOT NULL,
             document TEXT NOT NULL
         )",
    )?;
    Ok(connection)
}

/// The settings of every table of the limits: WAL, and a memory map that covers the file.
///
/// # Errors
/// SQLite's.
pub fn configure(connection: &Connection, synchronous: &str) -> Outcome<()> {
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA cache_size = -65536;
         PRAGMA mmap_size = 34359738368;
         PRAGMA busy_timeout = 10000;"
    ))?;
    Ok(())
}

/// Fills a new table with the first `rows` referrals, adds the indexes, and leaves one file without a WAL behind.
///
/// # Errors
/// SQLite's.
pub fn fill(connection: &Connection, rows: u64) -> Outcome<()> {
    for start in (0..rows).step_by(10_000) {
        connection.execute_batch("BEGIN")?;
        for number in start..(start + 10_000).min(rows) {
            let referral = Referral::numbered(number);
            upsert(connection, &referral, &referral.etag)?;
        }
        connection.execute_batch("COMMIT")?;
    }
    connection.execute_batch(
        "CREATE INDEX referral_list ON referral (status, direction, created DESC, id);
         CREATE INDEX referral_created ON referral (created DESC, id);
         CREATE INDEX referral_engagement ON referral (engagement);
         ANALYZE;
         PRAGMA wal_checkpoint(TRUNCATE);",
    )?;
    Ok(())
}

/// Writes one row, new or not.
///
/// # Errors
/// SQLite's.
pub fn upsert(connection: &Connection, referral: &Referral, etag: &str) -> Outcome<()> {
    connection
        .prepare_cached(
            "INSERT INTO referral (id, etag, created, status, direction, engagement, document)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (id) DO UPDATE
             SET etag = excluded.etag, created = excluded.created, status = excluded.status,
                 direction = excluded.direction, engagement = excluded.engagement, document = excluded.document",
        )?
        .execute(params![
            referral.id,
            etag,
            referral.created,
            referral.status,
            referral.direction,
            referral.engagement_id,
            referral.json
        ])?;
    Ok(())
}

/// One transaction that rewrites `group` random rows of `pool` under new tags: what a group commit costs.
///
/// # Errors
/// SQLite's.
pub fn write_group(
    connection: &Connection,
    pool: &[Referral],
    group: u64,
    random: &mut Random,
) -> Outcome<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for _ in 0..group {
        let referral = &pool[random.below(pool.len() as u64) as usize];
        upsert(connection, referral, &format!("\"{}\"", random.uuid()))?;
    }
    connection.execute_batch("COMMIT")?;
    Ok(())
}

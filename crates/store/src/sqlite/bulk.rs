//! Bulk loading: many referrals at once, at the speed of the disk.
//!
//! A store without referrals is built anew beside the old file, `cosell.db.loading`, without journal, syncs or
//! secondary indexes; what else the old one holds is copied, the indexes are made, the file is synced, and takes
//! the database's place by one rename. A process that dies before the rename has loaded nothing, and the next open
//! removes the leftover; after it, everything is there. A store that has referrals already is added to in large
//! transactions, each durable when it ends.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::sync::Arc;

use referral::OrganizationId;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::cache::Cache;
use super::changes;
use super::files::Files;
use super::health::StopOnPanic;
use super::inline_reads::InlineReads;
use super::lists::ListReader;
use super::pack_ahead::{EncodedWrite, PackAhead};
use super::readers::ReaderPause;
use super::schema;
use super::writer::{Command, Writer, checkpoint};
use super::writes::{self, FacetCountChanges};
use super::{SqliteStore, engine_error};
use crate::{BulkReport, Position, StoreError, Write};

/// Referrals of one transaction when the store is added to.
const PER_TRANSACTION: u64 = 10_000;
/// Page cache while a new file is built, in KiB: the indexes that must be kept up to date stay in memory.
const BUILDING_CACHE_KIB: u32 = 128 * 1024;

/// Tables without referrals, in the order of copying.
const OTHER_TABLES: [&str; 5] = ["answer", "organization", "organization_location", "assignment", "setting"];

/// All readers, which are paused while the files are exchanged.
struct ReaderPauses {
    inline_reads: Arc<InlineReads>,
    referrals: ReaderPause<Connection>,
    lists: ReaderPause<ListReader>,
}

impl SqliteStore {
    /// Loads referrals, each with the entry that tells of it; versions are kept as given, and `decided_on` is not
    /// looked at. `progress` hears how many
    /// were seen so far. The batches are drawn on the writer's thread: let other threads prepare them, and hand in
    /// the receiving end of a bounded channel. Other writes wait until it is done, and so do other reads when the
    /// store held no referrals.
    ///
    /// All is durable when it returns. Into a store without referrals all is loaded or nothing; otherwise what was
    /// loaded before an error stays.
    ///
    /// # Errors
    /// As of every write.
    pub async fn bulk_load(
        &self,
        batches: impl Iterator<Item = Vec<Write>> + Send + 'static,
        progress: impl Fn(u64) + Send + 'static,
    ) -> Result<BulkReport, StoreError> {
        self.health.check()?;
        let (referrals, lists) = (self.readers.reader_pause()?, self.lists.reader_pause()?);
        let pauses = ReaderPauses { inline_reads: Arc::clone(&self.inline_reads), referrals, lists };
        let (reply, report) = oneshot::channel();
        let work = move |writer: &mut Writer| {
            let reply = reply;
            let _stop = StopOnPanic(Arc::clone(&writer.health));
            let loaded = load(writer, &pauses, batches, &progress);
            let _ = reply.send(loaded);
        };
        self.ask(Command::Exclusive(Box::new(work))).await?;
        report.await.map_err(|_| self.gone())?
    }
}

fn load(
    writer: &mut Writer,
    pauses: &ReaderPauses,
    batches: impl Iterator<Item = Vec<Write>>,
    progress: &dyn Fn(u64),
) -> Result<BulkReport, StoreError> {
    let batches = PackAhead::new(batches, writer.compression);
    writer.health.check()?;
    let connection = writer.connection.as_ref().ok_or(StoreError::Closed)?;
    let empty: bool = connection
        .query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM referral)
                AND NOT EXISTS (SELECT 1 FROM change_log)",
            [],
            |row| row.get(0),
        )
        .map_err(engine_error)?;
    if empty {
        let built = build(&writer.files, writer.searchable, batches, progress);
        if built.is_err() {
            let _ = writer.files.remove_unfinished_load();
        }
        let report = built?;
        exchange(writer, pauses)?;
        Ok(report)
    } else {
        let mut loading = Loading { continues: true, searchable: writer.searchable, ..Loading::default() };
        let added = add(writer, connection, batches, progress, &mut loading);
        added.map_err(|error| {
            let _ = connection.execute_batch("ROLLBACK"); // refused where nothing is open
            writer.health.map_error("a bulk load", error)
        })?;
        Ok(loading.report)
    }
}

/// Counters of a load.
#[derive(Default)]
struct Loading {
    /// The store may hold positions of before.
    continues: bool,
    /// Words go into the search index.
    searchable: bool,
    report: BulkReport,
    /// The newest position given to each organization.
    positions: HashMap<OrganizationId, Position>,
    /// Counts that are not written yet.
    facet_count_changes: FacetCountChanges,
}

impl Loading {
    fn take(&mut self, connection: &Connection, (write, document): &EncodedWrite) -> rusqlite::Result<()> {
        let Write { referral, entry, search, .. } = write;
        let words = self.searchable.then_some(search.as_deref().unwrap_or_default());
        if !writes::insert_unless_there(connection, referral, document, words, &mut self.facet_count_changes)?
        {
            self.report.skipped_existing += 1;
            return Ok(());
        }
        let position = match self.positions.get_mut(&referral.owner) {
            Some(position) => position,
            None => {
                let last = match self.continues {
                    true => changes::last_position(connection, referral.owner.as_bytes())?,
                    false => 0, // and the index that would tell is not made yet
                };
                self.positions.entry(referral.owner.clone()).or_insert(last)
            }
        };
        *position += 1;
        changes::append_at(connection, referral, entry, *position)?;
        self.report.loaded += 1;
        Ok(())
    }
}

/// Adds to a store that is in use.
fn add(
    writer: &Writer,
    connection: &Connection,
    batches: impl Iterator<Item = Vec<EncodedWrite>>,
    progress: &dyn Fn(u64),
    loading: &mut Loading,
) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut begun_at = 0;
    for batch in batches {
        for encode_write in &batch {
            loading.take(connection, encode_write)?;
        }
        if loading.report.seen() - begun_at >= PER_TRANSACTION {
            loading.facet_count_changes.write(connection)?;
            commit(connection, &writer.cache)?;
            writer.move_log(connection)?;
            begun_at = loading.report.seen();
            connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        progress(loading.report.seen());
    }
    loading.facet_count_changes.write(connection)?;
    commit(connection, &writer.cache)?;
    writer.move_log(connection)
}

/// Commits, and has the cache know of it, which holds none of these referrals and is asked how old it is.
pub(super) fn commit(connection: &Connection, cache: &Cache) -> rusqlite::Result<()> {
    cache.begin_load();
    let committed = connection.execute_batch("COMMIT");
    cache.end_load();
    committed
}

/// Builds the new file, whole and durable but for its name.
fn build(
    files: &Files,
    searchable: bool,
    batches: impl Iterator<Item = Vec<EncodedWrite>>,
    progress: &dyn Fn(u64),
) -> Result<BulkReport, StoreError> {
    files.remove_unfinished_load()?;
    let mut connection = files.connect(&files.loading())?;
    files.make_builder(&connection, BUILDING_CACHE_KIB)?;
    schema::migrate(&mut connection, schema::MIGRATIONS)?;
    let mut loading = Loading { searchable, ..Loading::default() };
    fill(&connection, files, batches, progress, &mut loading).map_err(engine_error)?;
    connection.close().map_err(|(_, error)| engine_error(error))?;
    File::open(files.loading()).and_then(|file| file.sync_all()).map_err(|error| failed("sync", &error))?;
    Ok(loading.report)
}

fn fill(
    connection: &Connection,
    files: &Files,
    batches: impl Iterator<Item = Vec<EncodedWrite>>,
    progress: &dyn Fn(u64),
    loading: &mut Loading,
) -> rusqlite::Result<()> {
    connection.execute("ATTACH ?1 AS old", params![files.database().to_string_lossy()])?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for table in OTHER_TABLES {
        // Both files have the same schema, so the columns are in the same order.
        connection.execute_batch(&format!("INSERT INTO main.{table} SELECT * FROM old.{table}"))?;
    }
    let indexes = secondary_indexes(connection)?;
    for (name, _) in &indexes {
        connection.execute_batch(&format!("DROP INDEX main.{name}"))?;
    }
    for batch in batches {
        for encode_write in &batch {
            loading.take(connection, encode_write)?;
        }
        progress(loading.report.seen());
    }
    loading.facet_count_changes.write(connection)?;
    for (_, sql) in &indexes {
        connection.execute_batch(sql)?;
    }
    connection.execute_batch("COMMIT")?;
    connection.execute_batch("DETACH old")
}

/// The indexes that only speed reading up, by name, each with the statement that makes it. Those that keep ids
/// unique have no statement of their own, and stay.
fn secondary_indexes(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare(
            "SELECT name, sql
             FROM main.sqlite_schema
             WHERE type = 'index'
               AND sql IS NOT NULL
               AND tbl_name IN ('referral', 'change_log')
             ORDER BY name",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Puts the new file in the old one's place, with nobody at either.
fn exchange(writer: &mut Writer, pauses: &ReaderPauses) -> Result<(), StoreError> {
    let paused = (pauses.inline_reads.close(), pauses.referrals.pause()?, pauses.lists.pause()?);
    let connection = writer.connection.take().ok_or(StoreError::Closed)?;
    let exchanged = close_for_good(connection, &writer.files).and_then(|()| {
        std::fs::rename(writer.files.loading(), writer.files.database())
            .and_then(|()| writer.files.sync_directory())
            .map_err(|error| failed("put in place", &error))
    });
    let opened = writer.files.connect(&writer.files.database()).and_then(|connection| {
        writer.files.make_writer(&connection)?;
        Ok(connection)
    });
    writer.cache.clear();
    drop(paused);
    let outcome = exchanged.and_then(|()| {
        writer.connection = Some(opened?);
        Ok(())
    });
    // The old connection is gone, or names may not be durable: neither is a state to write in.
    outcome.map_err(|error| writer.health.stop_for(&format!("the end of a bulk load: {error}")))
}

/// Closes the old database so that no log of it remains, not after a loss of power either: SQLite would apply it to the
/// new one.
fn close_for_good(connection: Connection, files: &Files) -> Result<(), StoreError> {
    checkpoint(&connection, "TRUNCATE").map_err(engine_error)?;
    connection.close().map_err(|(_, error)| engine_error(error))?;
    let log = match OpenOptions::new().write(true).open(files.log()) {
        Ok(log) => log,
        // Its removal must be on the disk before the renaming can be.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return files.sync_directory().map_err(|error| failed("make room for", &error));
        }
        Err(error) => return Err(failed("make room for", &error)),
    };
    match log.metadata() {
        Ok(about) if about.len() > 0 => {
            Err(StoreError::Engine("the old database's log is still in use".to_owned()))
        }
        // SQLite could not remove it, which it does not tell: so its emptiness must be.
        about => about.and_then(|_| log.sync_all()).map_err(|error| failed("make room for", &error)),
    }
}

fn failed(what: &str, error: &io::Error) -> StoreError {
    StoreError::Engine(format!("cannot {what} the loaded database: {error}"))
}

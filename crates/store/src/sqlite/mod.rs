//! The default engine: SQLite, compiled in, in one directory that one process holds.
//!
//! One thread writes (`writer.rs`), a few read (`readers.rs`), single referrals are read where they are asked for
//! (`inline_reads.rs`), and a cache (`cache.rs`) serves the hot ones. The schema is in `migrations/sqlite`.

mod aggregate;
mod backup;
mod bulk;
mod cache;
mod changes;
mod command_channel;
mod compression;
mod directory;
mod errors;
mod explain;
#[cfg(any(test, feature = "faults"))]
pub mod faults;
mod files;
mod health;
mod inline_reads;
mod lists;
mod merge_scan;
mod meter;
mod pack_ahead;
mod readers;
mod rows;
mod schema;
mod search;
mod select;
mod transfer;
mod writer;
mod writes;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use flume::Sender;
use referral::{EngagementId, OrganizationId, ReferralId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

pub use self::backup::{BackupReport, Progress, Stage, back_up, restore};
use self::cache::{Cache, ReadTicket};
use self::command_channel::CommandChannel;
use self::compression::Compression;
use self::errors::engine_error;
use self::files::Files;
use self::health::Health;
use self::inline_reads::InlineReads;
use self::lists::ListReader;
use self::readers::{READS_WAITING, Readers};
use self::rows::stored_columns;
use self::writer::{Command, Task, Writer};
pub use crate::BulkReport;
use crate::list_work::LISTS_WAITING;
pub use crate::list_work::QueryLimits;
use crate::{
    Aggregation, AggregationResult, AllOrNone, Assignment, Change, CommitOutcome, EngagementRole,
    IdempotencyKey, LogEntry, Organization, Position, Query, QueryPlan, QueryResult, SchemaVersion, Store,
    StoreError, StoreMetrics, StoredReferral, StoredResponse,
};

/// Maximum number of responses that one call deletes.
const FORGET_AT_MOST: i64 = 1000;

/// Options of the engine.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// Bytes of recently used referrals kept in memory; 0 keeps none.
    pub cache_bytes: u64,
    /// Number of threads that read single referrals, engagements and the log; at least 1.
    pub readers: usize,
    /// Number of threads that read lists; at least 1. One organization uses at most all but one of them.
    pub list_readers: usize,
    /// Limits of one list.
    pub limits: QueryLimits,
    /// Whether words are indexed for `$search`: about a twentieth more on disk, and as much more work for a bulk load
    /// as all the rest. Where some were written without, `$search` is refused.
    pub search: bool,
    /// Whether documents, log entries and stored responses are written compressed. Both sorts can always be read.
    pub compression: bool,
    /// Maximum number of changes that share one commit; at least 1.
    pub group_limit: usize,
    /// The registered SQLite VFS to reach the files through; `None` for the platform's own.
    pub vfs: Option<String>,
    /// Time that a statement waits for another program that holds a lock.
    pub busy: Duration,
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions {
            cache_bytes: 16 * 1024 * 1024,
            readers: 2,
            list_readers: 3,
            limits: QueryLimits::default(),
            search: true,
            compression: true,
            group_limit: 256,
            vfs: None,
            busy: Duration::from_secs(5),
        }
    }
}

/// The engine. Dropping it closes it, and waits for the threads.
pub struct SqliteStore {
    files: Files,
    cache: Arc<Cache>,
    health: Arc<Health>,
    inline_reads: Arc<InlineReads>,
    readers: Readers<Connection>,
    lists: Readers<ListReader>,
    limits: QueryLimits,
    compression: Compression,
    writer: CommandChannel<Command>,
    /// `None` once somebody closes.
    threads: Mutex<Option<Threads>>,
}

impl SqliteStore {
    /// Opens the store of a data directory, which is made if it is missing and migrated if it is older. Blocks for
    /// a few milliseconds, however much is stored.
    ///
    /// # Errors
    /// `InUse` when another process holds the directory, `TooNew` when a newer program wrote it (nothing is touched
    /// then), `Engine` for what the file system or SQLite report.
    pub fn open(directory: &Path, options: SqliteOptions) -> Result<SqliteStore, StoreError> {
        let files = Files::new(directory, options.vfs.clone(), options.busy);
        let lock = files.take()?;
        let mut connection = files.connect(&files.database())?;
        if let Err(error) = schema::check(&connection, schema::MIGRATIONS) {
            // Closing must not move the other program's log either.
            let _ =
                connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return Err(error);
        }
        files.make_writer(&connection)?;
        schema::migrate(&mut connection, schema::MIGRATIONS)?;
        files.remove_unfinished_load()?;

        let cache = Arc::new(Cache::new(options.cache_bytes));
        let health = Arc::new(Health::default());
        let (readers, mut reading) =
            Readers::start(&files, "store-read", options.readers, options.readers, READS_WAITING)?;
        let inline_reads = InlineReads::new(&files, &cache, options.readers);
        let (lists, listing) = {
            let each = options.list_readers.saturating_sub(1);
            Readers::start(&files, "store-list", options.list_readers, each, LISTS_WAITING)?
        };
        reading.extend(listing);
        let (writer, commands) = CommandChannel::new();
        let (readers_live, readers_gone) = flume::bounded(0);
        let belongings = Writer::new(
            connection,
            files.clone(),
            Arc::clone(&cache),
            Arc::clone(&inline_reads),
            Arc::clone(&health),
            &options,
            lock,
        );
        let writing = std::thread::Builder::new()
            .name("store-write".to_owned())
            .spawn(move || belongings.run(&commands, &readers_gone))
            .map_err(|error| StoreError::Engine(format!("cannot start the writer: {error}")))?;
        let threads = Threads { readers: reading, readers_live, writer: writing };
        let threads = Mutex::new(Some(threads));
        Ok(SqliteStore {
            files,
            cache,
            health,
            inline_reads,
            readers,
            lists,
            limits: options.limits,
            compression: Compression::new(options.compression),
            writer,
            threads,
        })
    }

    /// Returns the schema version of a directory without changing anything there; 0 if there
    /// is no data. Blocks.
    ///
    /// # Errors
    /// `Engine` for what the file system or SQLite report.
    pub fn schema_version(directory: &Path) -> Result<SchemaVersion, StoreError> {
        let files = Files::new(directory, None, SqliteOptions::default().busy);
        let known = schema::MIGRATIONS.len() as u32;
        if !files.database().is_file() {
            return Ok(SchemaVersion { found: 0, known });
        }
        Ok(SchemaVersion { found: schema::version(&files.connect_beside()?)?, known })
    }

    /// The referral from the database, or from the cache that somebody else has just put it into.
    async fn find(&self, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        let ticket = self.cache.begin_read(&id);
        if let Some(found) = self.inline_reads.read(|connection| read(connection, &self.cache, &ticket, id)) {
            return found.map_err(engine_error);
        }
        let cache = Arc::clone(&self.cache);
        self.readers.read(move |connection| read(connection, &cache, &ticket, id)).await
    }

    /// Hands a small write to the writer and waits until it is durable; how many rows it touched.
    async fn write(
        &self,
        task: impl Fn(&Connection) -> rusqlite::Result<u64> + Send + 'static,
    ) -> Result<u64, StoreError> {
        self.health.check()?;
        let (reply, answer) = oneshot::channel();
        let task: Task = Box::new(task);
        self.ask(Command::Task { task, reply }).await?;
        answer.await.map_err(|_| self.gone())?
    }

    async fn ask(&self, command: Command) -> Result<(), StoreError> {
        self.writer.send(command).await.map_err(|_| self.gone())
    }

    /// Returns the reason why the writer does not answer.
    fn gone(&self) -> StoreError {
        self.health.check().err().unwrap_or(StoreError::Closed)
    }

    /// Takes no more work; the threads to wait for, unless somebody else waits for them.
    fn shut(&self) -> Option<Threads> {
        self.writer.shut();
        self.inline_reads.shut();
        self.readers.shut();
        self.lists.interrupt();
        self.lists.shut();
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The running threads.
struct Threads {
    readers: Vec<JoinHandle<()>>,
    /// Dropped when the readers are gone.
    readers_live: Sender<()>,
    writer: JoinHandle<()>,
}

impl Threads {
    /// Waits until they have finished what was accepted, and the files are closed. Blocks.
    fn wait(self) {
        for reader in self.readers {
            let _ = reader.join();
        }
        drop(self.readers_live);
        let _ = self.writer.join();
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if let Some(threads) = self.shut() {
            threads.wait();
        }
    }
}

/// A referral by its id, which is left in the cache. Many may have missed it there at once: the first brings it.
fn read(
    connection: &Connection,
    cache: &Cache,
    ticket: &ReadTicket,
    id: ReferralId,
) -> rusqlite::Result<Option<Arc<StoredReferral>>> {
    if let Some(referral) = cache.get(&id) {
        return Ok(Some(referral));
    }
    let found = by_id(connection, id)?.map(Arc::new);
    if let Some(referral) = &found {
        cache.offer(ticket, referral);
    }
    Ok(found)
}

fn by_id(connection: &Connection, id: ReferralId) -> rusqlite::Result<Option<StoredReferral>> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            stored_columns!(),
            "
             FROM referral
             WHERE id = ?1"
        ))?
        .query_row([id.as_bytes()], rows::stored)
        .optional()
}

fn answer(
    connection: &Connection,
    key: &IdempotencyKey,
    since: Timestamp,
) -> rusqlite::Result<Option<StoredResponse>> {
    connection
        .prepare_cached(
            "SELECT request_digest, status, content
             FROM answer
             WHERE digest = ?1
               AND organization = ?2
               AND remembered_at >= ?3",
        )?
        .query_row(params![key.digest, key.organization.as_bytes(), since.ticks()], rows::answer)
        .optional()
}

fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for SqliteStore {
    async fn referral(
        &self,
        owner: &OrganizationId,
        id: ReferralId,
    ) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        // As `find_referral`, with one future fewer: this is the way of every GET.
        let found = match self.cache.get(&id) {
            Some(referral) => Some(referral),
            None => self.find(id).await?,
        };
        Ok(found.filter(|referral| referral.owner == *owner))
    }

    async fn find_referral(&self, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        match self.cache.get(&id) {
            Some(referral) => Ok(Some(referral)),
            None => self.find(id).await,
        }
    }

    async fn engagement(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        let party = party.clone();
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(concat!(
                        "SELECT ",
                        stored_columns!(),
                        "
                         FROM referral
                         WHERE engagement = ?1
                           AND (owner = ?2 OR sender = ?2)
                         ORDER BY created, id"
                    ))?
                    .query_map(params![id.as_bytes(), party.as_bytes()], rows::stored_unless_damaged)?
                    .filter_map(Result::transpose)
                    .collect()
            })
            .await
    }

    async fn engagement_role(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<EngagementRole, StoreError> {
        let party = party.clone();
        self.readers
            .read(move |connection| {
                let first = connection
                    .prepare_cached(
                        "SELECT created, id, owner, sender
                         FROM referral
                         WHERE engagement = ?1
                         ORDER BY created, id
                         LIMIT 1",
                    )?
                    .query_row([id.as_bytes()], rows::first_referral)
                    .optional()?;
                let accepted_invitation = connection
                    .prepare_cached(
                        "SELECT EXISTS (
                           SELECT 1
                           FROM referral
                           WHERE engagement = ?1
                             AND owner = ?2
                             AND sender <> ?2
                             AND accepted IS NOT NULL
                         )",
                    )?
                    .query_row(params![id.as_bytes(), party.as_bytes()], |row| row.get(0))?;
                Ok(EngagementRole { first, accepted_invitation })
            })
            .await
    }

    async fn has_open_referral(&self, id: EngagementId, owner: &OrganizationId) -> Result<bool, StoreError> {
        let owner = owner.clone();
        self.readers.read(move |connection| changes::has_open(connection, id, &owner)).await
    }

    async fn query(&self, query: &Query) -> Result<QueryResult, StoreError> {
        let (query, limits, cache) = (query.clone(), self.limits, Arc::clone(&self.cache));
        let owner = query.scope.owner.clone();
        self.lists.ask(Some(&owner), move |reader| reader.find(&cache, limits, &query)).await
    }

    async fn aggregate(&self, aggregation: &Aggregation) -> Result<AggregationResult, StoreError> {
        let (aggregation, limits) = (aggregation.clone(), self.limits);
        let owner = aggregation.scope.owner.clone();
        self.lists.ask(Some(&owner), move |reader| reader.aggregate(limits, &aggregation)).await
    }

    fn change_token(&self, owner: &OrganizationId) -> Option<u64> {
        self.cache.change_token(owner)
    }

    async fn plan(&self, query: &Query) -> Result<QueryPlan, StoreError> {
        explain::plan(query)
    }

    async fn engagement_members(
        &self,
        id: EngagementId,
        after: Option<(Timestamp, ReferralId)>,
        at_most: usize,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        let (created, after) =
            after.map_or((i64::MIN, Vec::new()), |(created, id)| (created.ticks(), id.as_bytes().to_vec()));
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(concat!(
                        "SELECT ",
                        stored_columns!(),
                        "
                         FROM referral
                         WHERE engagement = ?1
                           AND (created, id) > (?2, ?3)
                         ORDER BY created, id
                         LIMIT ?4"
                    ))?
                    .query_map(
                        params![id.as_bytes(), created, after, limit(at_most)],
                        rows::stored_or_damaged,
                    )?
                    .collect()
            })
            .await
    }

    async fn due(&self, now: Timestamp, at_most: usize) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        self.readers
            .read(move |connection| {
                // Status 1 is `New`; written out, so that the partial index serves.
                connection
                    .prepare_cached(concat!(
                        "SELECT ",
                        stored_columns!(),
                        "
                         FROM referral
                         WHERE status = 1
                           AND expires IS NOT NULL
                           AND expires <= ?1
                         ORDER BY expires, id
                         LIMIT ?2"
                    ))?
                    .query_map([now.ticks(), limit(at_most)], rows::stored_unless_damaged)?
                    .filter_map(Result::transpose)
                    .collect()
            })
            .await
    }

    async fn next_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .read(|connection| {
                connection
                    .prepare_cached(
                        "SELECT expires
                         FROM referral
                         WHERE status = 1
                           AND expires IS NOT NULL
                         ORDER BY expires, id
                         LIMIT 1",
                    )?
                    .query_row([], |row| rows::instant(row, 0))
                    .optional()
            })
            .await
    }

    async fn stored_response(
        &self,
        key: &IdempotencyKey,
        since: Timestamp,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let key = key.clone();
        self.readers.read(move |connection| answer(connection, &key, since)).await
    }

    async fn commit(&self, change: Change) -> Result<CommitOutcome, StoreError> {
        self.health.check()?;
        let (reply, outcome) = oneshot::channel();
        let change = Box::new(self.compression.encode_change(change));
        self.ask(Command::Commit { change, reply }).await?;
        outcome.await.map_err(|_| self.gone())?
    }

    async fn commit_all(&self, changes: Vec<Change>) -> Result<AllOrNone, StoreError> {
        self.health.check()?;
        let (reply, outcome) = oneshot::channel();
        let changes = changes.into_iter().map(|change| self.compression.encode_change(change)).collect();
        self.ask(Command::CommitAll { changes, reply }).await?;
        outcome.await.map_err(|_| self.gone())?
    }

    async fn forget_responses(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write(move |connection| {
            let forgotten = connection
                .prepare_cached(
                    "DELETE FROM answer
                     WHERE row IN (
                       SELECT row
                       FROM answer
                       WHERE remembered_at < ?1
                       ORDER BY remembered_at, row
                       LIMIT ?2
                     )",
                )?
                .execute([before.ticks(), FORGET_AT_MOST])?;
            Ok(forgotten as u64)
        })
        .await
    }

    async fn log(
        &self,
        organization: &OrganizationId,
        after: Position,
        at_most: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let organization = organization.clone();
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.readers
            .read(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT position, organization, referral, engagement, version,
                                action, at, actor_organization, actor_user, changes
                         FROM change_log
                         WHERE organization = ?1
                           AND position > ?2
                         ORDER BY position
                         LIMIT ?3",
                    )?
                    .query_map(params![organization.as_bytes(), after, limit(at_most)], rows::log_entry)?
                    .collect()
            })
            .await
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        self.readers.read(directory::organizations).await
    }

    async fn save_organization(&self, organization: &Organization) -> Result<(), StoreError> {
        let organization = organization.clone();
        self.write(move |connection| directory::save_organization(connection, &organization)).await.map(drop)
    }

    async fn assignments(&self) -> Result<Vec<Assignment>, StoreError> {
        self.readers.read(directory::assignments).await
    }

    async fn save_assignment(&self, assignment: &Assignment) -> Result<(), StoreError> {
        let assignment = assignment.clone();
        self.write(move |connection| directory::save_assignment(connection, &assignment)).await.map(drop)
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = name.to_owned();
        self.readers.read(move |connection| directory::setting(connection, &name)).await
    }

    async fn save_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let (name, value) = (name.to_owned(), value.to_vec());
        self.write(move |connection| directory::save_setting(connection, &name, &value)).await.map(drop)
    }

    fn health(&self) -> Result<(), StoreError> {
        self.health.check()
    }

    fn metrics(&self) -> StoreMetrics {
        let (cache, lists_waiting) = (Some(self.cache.metrics()), Some(self.lists.waiting()));
        let log_bytes = std::fs::metadata(self.files.log()).ok().map(|log| log.len());
        StoreMetrics { cache, lists_waiting, log_bytes, ..self.health.commits.metrics() }
    }

    async fn close(&self) {
        if let Some(threads) = self.shut() {
            // A panic there has been reported by its thread already.
            let _ = tokio::task::spawn_blocking(|| threads.wait()).await;
        }
    }
}

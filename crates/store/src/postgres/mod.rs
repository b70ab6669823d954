//! PostgreSQL, for when one machine is not enough: several nodes share one database.
//!
//! Nothing is cached here and every read asks the primary, so a read never shows less than what any node has
//! acknowledged. Every statement is sent with the types of its parameters, so nothing is prepared unless the operator wants
//! it, and the engine works through a pooler that lends connections for a transaction. The schema is in
//! `migrations/postgres`; `owner` leads every key.

mod aggregate;
mod batched_lookup;
mod bulk;
mod changes;
mod compression;
mod directory;
mod errors;
mod explain;
mod jobs;
mod list_threads;
mod lists;
mod pool;
mod prepared;
mod reads;
mod rows;
mod schema;
mod select;
mod tls;
mod transfer;
mod writer;
mod writes;

#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use referral::{EngagementId, OrganizationId, ReferralId, Timestamp};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use self::batched_lookup::BatchedLookup;
use self::list_threads::ListThreads;
use self::pool::Pool;
use self::reads::{ReferralLookup, StoredResponseLookup};
use self::tls::Tls;
use self::writer::{Request, Writer};
use crate::compression::Compression;
pub use crate::list_work::QueryLimits;
use crate::{
    Aggregation, AggregationResult, AllOrNone, Assignment, Change, CommitOutcome, EngagementRole,
    IdempotencyKey, JobHolder, LogEntry, Organization, Position, Query, QueryPlan, QueryResult,
    SchemaVersion, Store, StoreError, StoreMetrics, StoredReferral, StoredResponse,
};

/// How long a connection of the database may be silent before it is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Options of the engine.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Maximum number of connections of this node; at least 2.
    pub connections: u32,
    /// Timeout for acquiring a connection, and for opening one.
    pub wait: Duration,
    /// Timeout of one statement.
    pub statement_timeout: Duration,
    /// How many transactions of this node write at the same time, each for other organizations; at least 1, and fewer
    /// than there are connections.
    pub writer_shards: usize,
    /// How many lists are evaluated at the same time, each with a connection of its own; at least 1. One organization
    /// holds all but one of them.
    pub list_threads: usize,
    /// Maximum number of changes that share one commit; at least 1.
    pub group_limit: usize,
    /// Whether documents, the log and stored responses are written compressed (ADR 0027); both ways are read.
    pub compression: bool,
    /// Whether the statements of single reads and of writes are parsed and planned once for each connection. A pooler
    /// that lends connections for a transaction must know of prepared statements then, as PgBouncer does from 1.21 on.
    pub prepared_statements: bool,
    /// Limits of one list.
    pub limits: QueryLimits,
    /// How the server's certificate is checked; `None` for a connection without TLS.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Default for PostgresOptions {
    fn default() -> PostgresOptions {
        PostgresOptions {
            connections: 16,
            wait: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            writer_shards: 4,
            list_threads: 4,
            group_limit: 256,
            compression: true,
            prepared_statements: false,
            limits: QueryLimits::default(),
            tls: None,
        }
    }
}

/// Returns whether an address leads only to this machine: to sockets in the file system and loopback.
///
/// # Errors
/// `Engine` for an address that cannot be read.
pub fn is_local(address: &str) -> Result<bool, StoreError> {
    let config = read(address)?;
    let is_loopback = |name: &str| {
        name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    };
    let named = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => is_loopback(name),
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    Ok(named && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback))
}

fn read(address: &str) -> Result<Config, StoreError> {
    address.parse().map_err(|error| {
        StoreError::Engine(format!("the address of the database: {}", errors::error_text(&error)))
    })
}

/// The engine.
pub struct PostgresStore {
    pool: Arc<Pool>,
    writer: Writer,
    /// Reads of single referrals by owner and id, and of stored responses.
    referrals: BatchedLookup<ReferralLookup>,
    answers: BatchedLookup<StoredResponseLookup>,
    compression: Compression,
    lists: ListThreads,
    limits: QueryLimits,
}

impl PostgresStore {
    /// Opens the store of a database, which is migrated if it is older. The address is a URL or a list of
    /// `key=value`, as libpq reads them.
    ///
    /// # Errors
    /// `Engine` for an address that cannot be read, for what the database reports, for one whose encoding is not UTF8, and
    /// for one that acknowledges what it may lose; `Unavailable` when it cannot be reached; `TooNew` when a newer program
    /// wrote it (nothing is touched then).
    pub async fn open(address: &str, options: PostgresOptions) -> Result<PostgresStore, StoreError> {
        let PostgresOptions {
            writer_shards,
            list_threads,
            connections,
            group_limit,
            compression,
            prepared_statements,
            limits,
            ..
        } = options;
        let pool = pool_of(address, options)?;
        check_server(&pool).await?;
        schema::migrate(&pool, schema::MIGRATIONS).await?;
        pool.prepares.store(prepared_statements, Ordering::Relaxed);
        let writer = Writer::start(&pool, writer_shards.max(1), group_limit.max(1));
        let lists = ListThreads::start(list_threads, connections as usize)?;
        Ok(PostgresStore {
            referrals: BatchedLookup::new(&pool),
            answers: BatchedLookup::new(&pool),
            pool,
            writer,
            compression: Compression::new(compression),
            lists,
            limits,
        })
    }
}

/// Returns the schema version of a database without changing it; 0 for an empty one.
///
/// # Errors
/// As of opening.
pub async fn schema_version(address: &str, options: PostgresOptions) -> Result<SchemaVersion, StoreError> {
    let pool = pool_of(address, options)?;
    let found = schema::found(&pool).await;
    pool.close().await;
    Ok(SchemaVersion { found: found?, known: schema::MIGRATIONS.len() as u32 })
}

fn pool_of(address: &str, options: PostgresOptions) -> Result<Arc<Pool>, StoreError> {
    let mut config = read(address)?;
    if config.get_application_name().is_none() {
        config.application_name("cosell");
    }
    config.keepalives_idle(KEEPALIVE);
    config.ssl_mode(if options.tls.is_some() { SslMode::Require } else { SslMode::Disable });
    let PostgresOptions { connections, wait, statement_timeout, tls, .. } = options;
    Ok(Pool::new(config, tls.map(Tls), connections.max(2), wait, statement_timeout))
}

/// Refuses a database that cannot keep every text, and one that acknowledges commits it has not written; says when it
/// would not survive a power cut.
async fn check_server(pool: &Arc<Pool>) -> Result<(), StoreError> {
    let found = pool
        .rows(
            "SELECT current_setting('server_encoding'),
                    current_setting('synchronous_commit'),
                    coalesce(current_setting('fsync', true), 'on'),
                    coalesce(current_setting('full_page_writes', true), 'on')",
            &[],
        )
        .await?;
    let Some(row) = found.first() else { return Ok(()) };
    let (encoding, commit): (String, String) = (rows::get(row, 0)?, rows::get(row, 1)?);
    let (fsync, pages): (String, String) = (rows::get(row, 2)?, rows::get(row, 3)?);
    if encoding != "UTF8" {
        let message = format!("the database has the encoding {encoding}: make one with ENCODING 'UTF8'");
        return Err(StoreError::Engine(message));
    }
    if commit == "off" {
        let message = "the database has synchronous_commit = off: it would lose acknowledged writes";
        return Err(StoreError::Engine(message.to_owned()));
    }
    for (setting, value) in [("fsync", fsync), ("full_page_writes", pages)] {
        if value == "off" {
            tracing::warn!("the database has {setting} = off: a power cut may destroy it");
        }
    }
    Ok(())
}

#[async_trait]
impl Store for PostgresStore {
    async fn referral(
        &self,
        owner: &OrganizationId,
        id: ReferralId,
    ) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        self.referrals.get((owner.clone(), id)).await
    }

    async fn find_referral(&self, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        reads::find(&self.pool, id).await
    }

    async fn engagement(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        reads::engagement(&self.pool, id, party).await
    }

    async fn engagement_role(
        &self,
        id: EngagementId,
        party: &OrganizationId,
    ) -> Result<EngagementRole, StoreError> {
        reads::engagement_role(&self.pool, id, party).await
    }

    async fn has_open_referral(&self, id: EngagementId, owner: &OrganizationId) -> Result<bool, StoreError> {
        reads::has_open(&self.pool, id, owner).await
    }

    async fn query(&self, query: &Query) -> Result<QueryResult, StoreError> {
        lists::find(&self.pool, &self.lists, self.limits, query).await
    }

    async fn aggregate(&self, aggregation: &Aggregation) -> Result<AggregationResult, StoreError> {
        aggregate::aggregate(&self.pool, &self.lists, self.limits, aggregation).await
    }

    async fn plan(&self, query: &Query) -> Result<QueryPlan, StoreError> {
        let plan = explain::plan(query)?;
        Ok(QueryPlan { planner: explain::planner(&self.pool, query).await?, ..plan })
    }

    async fn engagement_members(
        &self,
        id: EngagementId,
        after: Option<(Timestamp, ReferralId)>,
        limit: usize,
    ) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        reads::engagement_members(&self.pool, id, after, limit).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Arc<StoredReferral>>, StoreError> {
        reads::due(&self.pool, now, limit).await
    }

    async fn next_expiry(&self) -> Result<Option<Timestamp>, StoreError> {
        reads::next_expiry(&self.pool).await
    }

    async fn stored_response(
        &self,
        key: &IdempotencyKey,
        since: Timestamp,
    ) -> Result<Option<StoredResponse>, StoreError> {
        let found = self.answers.get(key.clone()).await?;
        Ok(found.filter(|(at, _)| *at >= since).map(|(_, answer)| answer))
    }

    async fn commit(&self, change: Change) -> Result<CommitOutcome, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let organization = organization_of(&change).cloned();
        let change = Box::new(self.compression.change(change));
        self.writer.send(organization.as_ref(), Request::One(change, reply)).await?;
        compression::outcome(outcome.await.map_err(|_| StoreError::Closed)??)
    }

    async fn commit_all(&self, changes: Vec<Change>) -> Result<AllOrNone, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let organization = changes.iter().find_map(organization_of).cloned();
        let changes = changes.into_iter().map(|change| self.compression.change(change)).collect();
        self.writer.send(organization.as_ref(), Request::All(changes, reply)).await?;
        compression::outcome_of_all(outcome.await.map_err(|_| StoreError::Closed)??)
    }

    async fn forget_responses(&self, before: Timestamp) -> Result<u64, StoreError> {
        reads::forget_responses(&self.pool, before).await
    }

    async fn log(
        &self,
        organization: &OrganizationId,
        after: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        reads::log(&self.pool, organization, after, limit).await
    }

    async fn organizations(&self) -> Result<Vec<Organization>, StoreError> {
        directory::organizations(&self.pool).await
    }

    async fn save_organization(&self, organization: &Organization) -> Result<(), StoreError> {
        directory::save_organization(&self.pool, organization).await
    }

    async fn assignments(&self) -> Result<Vec<Assignment>, StoreError> {
        directory::assignments(&self.pool).await
    }

    async fn save_assignment(&self, assignment: &Assignment) -> Result<(), StoreError> {
        directory::save_assignment(&self.pool, assignment).await
    }

    async fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        directory::setting(&self.pool, name).await
    }

    async fn save_setting(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        directory::save_setting(&self.pool, name, value).await
    }

    async fn keep_setting(&self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        directory::keep_setting(&self.pool, name, value).await
    }

    async fn take_job(&self, job: &str, holder: &JobHolder, term: Duration) -> Result<bool, StoreError> {
        jobs::take(&self.pool, job, holder, term).await
    }

    async fn leave_job(&self, job: &str, holder: &JobHolder) -> Result<(), StoreError> {
        jobs::leave(&self.pool, job, holder).await
    }

    fn health(&self) -> Result<(), StoreError> {
        self.pool.health()
    }

    fn metrics(&self) -> StoreMetrics {
        StoreMetrics { lists_waiting: Some(self.lists.waiting()), ..self.pool.metrics() }
    }

    async fn close(&self) {
        self.lists.close().await;
        self.writer.close().await;
        self.pool.close().await;
    }
}

/// Returns the organization whose log or stored responses a change writes.
fn organization_of(change: &Change) -> Option<&OrganizationId> {
    match (&change.write, &change.answer) {
        (Some(write), _) => Some(&write.referral.owner),
        (None, Some(idempotency_record)) => Some(&idempotency_record.key.organization),
        (None, None) => None,
    }
}

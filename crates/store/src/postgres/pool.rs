//! A connection pool of limited size.
//!
//! A connection returns to the pool only if nothing is unfinished on it; any other is closed, which ends its transaction.
//! Every wait has a timeout. While the database is unreachable, a single task probes it, and calls that need a new
//! connection fail at once.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::config::{Host, TargetSessionAttrs};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Client, Config, NoTls, Row};

use super::errors::{NO_ANSWER, PgError, cannot_connect};
use super::prepared::Connection;
use super::tls::Tls;
use crate::metrics::{CommitCounter, InFlightGuard};
use crate::{PoolMetrics, StoreError, StoreMetrics};

/// Pause between two probes of an unreachable database: the first, and the longest. Each pause is twice the
/// one before.
const PROBE_PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// Time beyond the statement timeout of the server before the connection is closed.
const GRACE: Duration = Duration::from_secs(2);
/// Number of attempts of a statement if its connection is broken.
const TRIES: usize = 3;

/// A parameter of a statement with its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) struct Pool {
    /// One for each host of the address.
    hosts: Vec<Config>,
    /// The host that took the newest connection: it is asked first.
    latest_host: AtomicUsize,
    tls: Option<Tls>,
    size: u32,
    wait: Duration,
    statement_timeout: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
    /// True if statements are prepared.
    pub(super) prepares: AtomicBool,
    /// The reason why the database is unreachable, while it is.
    unreachable: Mutex<Option<StoreError>>,
    pub(super) counts: Counts,
}

/// Counters of the pool.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) commits: CommitCounter,
    /// Statements and transactions that were retried.
    pub(super) retries: AtomicU64,
    /// Calls that wait for a connection, now.
    waiting: AtomicU64,
    /// Calls that got none.
    unavailable: AtomicU64,
}

impl Pool {
    pub(super) fn new(
        config: Config,
        tls: Option<Tls>,
        size: u32,
        wait: Duration,
        statement_timeout: Duration,
    ) -> Arc<Pool> {
        // A standby would show old versions: only who takes writes is asked.
        let mut config = config;
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Arc::new(Pool {
            hosts: each_host(&config),
            latest_host: AtomicUsize::new(0),
            tls,
            size,
            wait,
            statement_timeout,
            permits: Arc::new(Semaphore::new(size as usize)),
            idle: Mutex::default(),
            closed: AtomicBool::new(false),
            prepares: AtomicBool::new(false),
            unreachable: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// Returns the statements that set the timeouts of a transaction.
    pub(super) fn limits(&self) -> String {
        let milliseconds = self.statement_timeout.as_millis();
        format!(
            "SET LOCAL statement_timeout = {milliseconds}; \
             SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"
        )
    }

    /// Acquires a connection, and waits until one is free.
    ///
    /// # Errors
    /// `Closed`; `Unavailable` when none is free in time, or the database cannot be reached.
    pub(super) async fn acquire(self: &Arc<Pool>) -> Result<Lease, StoreError> {
        self.try_acquire().await.inspect_err(|error| {
            if matches!(error, StoreError::Unavailable(_)) {
                self.counts.unavailable.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    async fn try_acquire(self: &Arc<Pool>) -> Result<Lease, StoreError> {
        self.check_open()?;
        if locked(&self.idle).is_empty() {
            self.ensure_reachable()?;
        }
        let waiting = InFlightGuard::begin(&self.counts.waiting);
        let permit = match timeout(self.wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(StoreError::Closed),
            Err(_) => return Err(self.all_in_use()),
        };
        drop(waiting);
        self.check_open()?;
        let kept = std::iter::from_fn(|| locked(&self.idle).pop()).find(|kept| !kept.client.is_closed());
        let connection = match kept {
            Some(connection) => connection,
            None => {
                self.ensure_reachable()?;
                let client = self.connect().await.inspect_err(|error| self.mark_unreachable(error))?;
                Connection::new(client)
            }
        };
        Ok(Lease {
            connection: Some(connection),
            unfinished: Unfinished::Nothing,
            unanswered: AtomicBool::new(false),
            pool: Arc::clone(self),
            _permit: permit,
        })
    }

    fn all_in_use(&self) -> StoreError {
        StoreError::Unavailable(format!("none of {} connections became free in time", self.size))
    }

    /// Returns the time that a call waits for a connection.
    pub(super) fn wait(&self) -> Duration {
        self.wait
    }

    /// Counts a call that waited without success, and returns its error.
    pub(super) fn wait_timed_out(&self) -> StoreError {
        self.counts.unavailable.fetch_add(1, Ordering::Relaxed);
        self.all_in_use()
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) { Err(StoreError::Closed) } else { Ok(()) }
    }

    /// Asks one host after the other, the newest that answered first. A host that is gone without a word must not take
    /// the time of the others: each has its share of the wait.
    async fn connect(&self) -> Result<Client, StoreError> {
        let first = self.latest_host.load(Ordering::Relaxed);
        let share = self.wait / u32::try_from(self.hosts.len()).unwrap_or(u32::MAX).max(1);
        let mut outcome = Err(StoreError::Unavailable("the address names no host".to_owned()));
        for (at, host) in self.hosts.iter().enumerate().cycle().skip(first).take(self.hosts.len()) {
            outcome = match timeout(share, self.connect_to(host)).await {
                Ok(connected) => connected.map_err(|error| cannot_connect(&error)),
                Err(_) => Err(StoreError::Unavailable(NO_ANSWER.to_owned())),
            };
            if outcome.is_ok() {
                self.latest_host.store(at, Ordering::Relaxed);
                *locked(&self.unreachable) = None;
                break;
            }
        }
        outcome
    }

    async fn connect_to(&self, host: &Config) -> Result<Client, tokio_postgres::Error> {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = host.connect(tls.clone()).await?;
                tokio::spawn(connection);
                Ok(client)
            }
            None => {
                let (client, connection) = host.connect(NoTls).await?;
                tokio::spawn(connection);
                Ok(client)
            }
        }
    }

    /// Marks the database as unreachable, and probes it until it can be reached.
    fn mark_unreachable(self: &Arc<Pool>, error: &StoreError) {
        let first = locked(&self.unreachable).replace(error.clone()).is_none();
        if !first {
            return;
        }
        tracing::warn!("the database cannot be reached: {error}");
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut pause = PROBE_PAUSES.0;
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PROBE_PAUSES.1);
                let Some(pool) = pool.upgrade().filter(|pool| pool.check_open().is_ok()) else { return };
                if pool.ensure_reachable().is_ok() || pool.connect().await.is_ok() {
                    tracing::info!("the database can be reached again");
                    return;
                }
            }
        });
    }

    /// A statement got no answer. The idle connections may be dead as well and are closed.
    fn mark_unresponsive(self: &Arc<Pool>) {
        locked(&self.idle).clear();
        self.mark_unreachable(&StoreError::Unavailable(NO_ANSWER.to_owned()));
    }

    fn ensure_reachable(&self) -> Result<(), StoreError> {
        locked(&self.unreachable).clone().map_or(Ok(()), Err)
    }

    /// Returns the reason why the database is unreachable, as far as is known.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        self.check_open()?;
        self.ensure_reachable()
    }

    /// Returns the metrics of the pool and of the writer.
    pub(super) fn metrics(&self) -> StoreMetrics {
        let counts = &self.counts;
        let limit = u64::from(self.size);
        let pool = PoolMetrics {
            limit,
            in_use: limit.saturating_sub(self.permits.available_permits() as u64),
            waiting: counts.waiting.load(Ordering::Relaxed),
            retries: counts.retries.load(Ordering::Relaxed),
            unavailable: counts.unavailable.load(Ordering::Relaxed),
        };
        StoreMetrics { pool: Some(pool), ..counts.commits.metrics() }
    }

    /// Counts a retry.
    pub(super) fn count_retry(&self) {
        self.counts.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Closes the pool: waits for acquired connections, and closes all.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Ok(_all) = self.permits.acquire_many(self.size).await {
            locked(&self.idle).clear();
        }
    }

    /// The rows of one statement that reads, in a transaction of its own: one round trip. Who does not wait for them any
    /// more ends the statement.
    pub(super) async fn rows(
        self: &Arc<Pool>,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run_statement(Unfinished::Reading, StatementText::OneTime(sql), params).await
    }

    /// The same for a frequent statement, which is prepared if prepared statements are enabled.
    pub(super) async fn rows_prepared(
        self: &Arc<Pool>,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run_statement(Unfinished::Reading, StatementText::Prepared(sql), params).await
    }

    /// Runs one idempotent statement that writes, and returns its rows.
    pub(super) async fn write(
        self: &Arc<Pool>,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        self.run_statement(Unfinished::Writing, StatementText::OneTime(sql), params).await
    }

    async fn run_statement(
        self: &Arc<Pool>,
        unfinished: Unfinished,
        sql: StatementText<'_>,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let mut tries = 0;
        loop {
            let mut lease = self.acquire().await?;
            tries += 1;
            lease.unfinished = unfinished;
            let answer = match sql {
                StatementText::OneTime(sql) => {
                    lease.with_timeout(lease.client().query_typed(sql, params)).await
                }
                StatementText::Prepared(sql) => lease.query_prepared(sql, params).await,
            };
            if !matches!(answer, Err(PgError::Timeout)) {
                lease.mark_idle();
            }
            match answer {
                Err(PgError::Unreachable(_) | PgError::UnknownStatement(_)) if tries < TRIES => {
                    self.count_retry()
                }
                answer => return Ok(answer?),
            }
        }
    }
}

/// A statement, and whether it is prepared.
#[derive(Clone, Copy)]
enum StatementText<'a> {
    OneTime(&'a str),
    Prepared(&'static str),
}

/// An address for each host of one that may name several; one that cannot be is left as it is, for the driver to refuse.
fn each_host(config: &Config) -> Vec<Config> {
    let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let hosts = names.len().max(addresses.len());
    let fits = |number: usize| number <= 1 || number == hosts;
    let is_clear = (names.is_empty() || addresses.is_empty() || names.len() == addresses.len())
        && fits(ports.len())
        && hosts > 1;
    if !is_clear {
        return vec![config.clone()];
    }
    let one = |at: usize| {
        let mut one = without_hosts(config);
        match names.get(at) {
            Some(Host::Tcp(name)) => {
                one.host(name);
            }
            #[cfg(unix)]
            Some(Host::Unix(path)) => {
                one.host_path(path);
            }
            None => {}
        }
        if let Some(address) = addresses.get(at) {
            one.hostaddr(*address);
        }
        if let Some(port) = ports.get(at).or(ports.first()) {
            one.port(*port);
        }
        one
    };
    (0..hosts).map(one).collect()
}

/// All of an address but where it leads.
fn without_hosts(config: &Config) -> Config {
    let mut same = Config::new();
    if let Some(user) = config.get_user() {
        same.user(user);
    }
    if let Some(password) = config.get_password() {
        same.password(password);
    }
    if let Some(name) = config.get_dbname() {
        same.dbname(name);
    }
    if let Some(options) = config.get_options() {
        same.options(options);
    }
    if let Some(name) = config.get_application_name() {
        same.application_name(name);
    }
    if let Some(time) = config.get_connect_timeout() {
        same.connect_timeout(*time);
    }
    if let Some(time) = config.get_tcp_user_timeout() {
        same.tcp_user_timeout(*time);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        same.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        same.keepalives_retries(retries);
    }
    same.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs());
    same
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The state of an acquired connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unfinished {
    Nothing,
    /// A read: if it is dropped, it is cancelled on the server.
    Reading,
    /// Maybe a commit that waits for a standby: ending that at the server would show what the standby does not have.
    Writing,
}

/// An acquired connection. It returns to the pool only if nothing is unfinished on it.
pub(super) struct Lease {
    connection: Option<Connection>,
    unfinished: Unfinished,
    /// True if a statement was not answered in time.
    unanswered: AtomicBool,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn client(&self) -> &Client {
        &self.connection().client
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("a lease has its connection until it is dropped")
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Waits for an answer, no longer than a statement may take; what was asked may be left open on the connection
    /// when it does not come.
    pub(super) async fn with_timeout<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, PgError> {
        match timeout(self.pool.statement_timeout + GRACE, answer).await {
            Ok(answer) => answer.map_err(|error| PgError::of(&error)),
            Err(_) => {
                self.unanswered.store(true, Ordering::Relaxed);
                self.pool.mark_unresponsive();
                Err(PgError::Timeout)
            }
        }
    }

    /// Marks that a read is running on the connection.
    pub(super) fn mark_reading(&mut self) {
        self.unfinished = Unfinished::Reading;
    }

    /// Marks that a transaction is open on the connection.
    pub(super) fn mark_in_transaction(&mut self) {
        self.unfinished = Unfinished::Writing;
    }

    /// Marks that the connection is idle.
    pub(super) fn mark_idle(&mut self) {
        self.unfinished = Unfinished::Nothing;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|kept| !kept.client.is_closed()) else { return };
        let unfinished = match self.unfinished {
            Unfinished::Nothing if self.unanswered.load(Ordering::Relaxed) => Unfinished::Writing,
            unfinished => unfinished,
        };
        match unfinished {
            Unfinished::Nothing if self.pool.check_open().is_ok() => locked(&self.pool.idle).push(connection),
            Unfinished::Reading => cancel_on_server(&self.pool, connection.client.cancel_token()),
            Unfinished::Nothing | Unfinished::Writing => {}
        }
    }
}

/// Asks the server to cancel the statement of a connection that is closed. Otherwise the server notices only when it
/// answers.
fn cancel_on_server(pool: &Pool, token: CancelToken) {
    let Ok(runtime) = Handle::try_current() else { return };
    let (tls, wait) = (pool.tls.clone(), pool.wait);
    runtime.spawn(async move {
        // The server does not confirm; its own timeouts remain.
        let _ = match tls {
            Some(tls) => timeout(wait, token.cancel_query(tls)).await,
            None => timeout(wait, token.cancel_query(NoTls)).await,
        };
    });
}

//! A bounded number of connections, each lent to one user at a time.
//!
//! A connection goes back only when nothing is left open on it; everybody else's is closed, which ends its transaction.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Row};

use super::errors::{Trouble, cannot_connect};
use super::tls::Tls;
use crate::figures::{Commits, Going};
use crate::{Figures, PoolFigures, StoreError};

/// How long to wait between two looks whether the database is back.
const PROBE_EVERY: Duration = Duration::from_millis(500);
/// How much longer than the server itself a statement is waited for here, before the connection is given up.
const GRACE: Duration = Duration::from_secs(2);
/// How often a read is tried on another connection when the one it had is broken.
const READ_TRIES: usize = 3;

/// A parameter of a statement with its type.
pub(super) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) struct Pool {
    config: Config,
    tls: Option<Tls>,
    size: u32,
    wait: Duration,
    statement_timeout: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Client>>,
    closed: AtomicBool,
    /// Why the database cannot be reached, while it cannot.
    absent: Mutex<Option<StoreError>>,
    pub(super) counts: Counts,
}

/// What happened here so far.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) commits: Commits,
    /// Statements and transactions that were tried again.
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
        let permits = Arc::new(Semaphore::new(size as usize));
        let (idle, absent) = (Mutex::default(), Mutex::default());
        let (closed, counts) = (AtomicBool::new(false), Counts::default());
        Arc::new(Pool { config, tls, size, wait, statement_timeout, permits, idle, closed, absent, counts })
    }

    /// What is told to the server about the time a statement may take, in a transaction of its own.
    pub(super) fn limits(&self) -> String {
        let milliseconds = self.statement_timeout.as_millis();
        format!(
            "SET LOCAL statement_timeout = {milliseconds}; \
             SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"
        )
    }

    /// A connection, as soon as one is free.
    ///
    /// # Errors
    /// `Closed`; `Unavailable` when none is free in time, or the database cannot be reached.
    pub(super) async fn lend(self: &Arc<Pool>) -> Result<Lease, StoreError> {
        self.try_lend().await.inspect_err(|error| {
            if matches!(error, StoreError::Unavailable(_)) {
                self.counts.unavailable.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    async fn try_lend(self: &Arc<Pool>) -> Result<Lease, StoreError> {
        self.check_open()?;
        let waiting = Going::begin(&self.counts.waiting);
        let permit = match timeout(self.wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(StoreError::Closed),
            Err(_) => {
                let message = format!("none of {} connections became free in time", self.size);
                return Err(StoreError::Unavailable(message));
            }
        };
        drop(waiting);
        self.check_open()?;
        let kept = std::iter::from_fn(|| locked(&self.idle).pop()).find(|client| !client.is_closed());
        let client = match kept {
            Some(client) => client,
            None => self.connect().await.inspect_err(|error| self.miss(error))?,
        };
        Ok(Lease { client: Some(client), whole: true, pool: Arc::clone(self), _permit: permit })
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::SeqCst) { Err(StoreError::Closed) } else { Ok(()) }
    }

    async fn connect(&self) -> Result<Client, StoreError> {
        let connected = match &self.tls {
            Some(tls) => timeout(self.wait, self.config.connect(tls.clone())).await.map(|connected| {
                connected.map(|(client, connection)| {
                    tokio::spawn(connection);
                    client
                })
            }),
            None => timeout(self.wait, self.config.connect(NoTls)).await.map(|connected| {
                connected.map(|(client, connection)| {
                    tokio::spawn(connection);
                    client
                })
            }),
        };
        let client = connected
            .map_err(|_| StoreError::Unavailable("the database did not answer in time".to_owned()))?
            .map_err(|error| cannot_connect(&error))?;
        *locked(&self.absent) = None;
        Ok(client)
    }

    /// Remembers that the database is not there, and looks for it until it is back.
    fn miss(self: &Arc<Pool>, error: &StoreError) {
        let first = locked(&self.absent).replace(error.clone()).is_none();
        if !first {
            return;
        }
        tracing::warn!("the database cannot be reached: {error}");
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(PROBE_EVERY).await;
                let Some(pool) = pool.upgrade().filter(|pool| pool.check_open().is_ok()) else { return };
                if pool.is_there() || pool.connect().await.is_ok() {
                    tracing::info!("the database can be reached again");
                    return;
                }
            }
        });
    }

    fn is_there(&self) -> bool {
        locked(&self.absent).is_none()
    }

    /// Why the database cannot be asked, as far as is known.
    pub(super) fn health(&self) -> Result<(), StoreError> {
        self.check_open()?;
        locked(&self.absent).clone().map_or(Ok(()), Err)
    }

    /// What was counted here, and by the writer.
    pub(super) fn figures(&self) -> Figures {
        let counts = &self.counts;
        let limit = u64::from(self.size);
        let pool = PoolFigures {
            limit,
            in_use: limit.saturating_sub(self.permits.available_permits() as u64),
            waiting: counts.waiting.load(Ordering::Relaxed),
            retries: counts.retries.load(Ordering::Relaxed),
            unavailable: counts.unavailable.load(Ordering::Relaxed),
        };
        Figures { pool: Some(pool), ..counts.commits.figures() }
    }

    /// Another try of what others or a broken connection were in the way of.
    pub(super) fn count_retry(&self) {
        self.counts.retries.fetch_add(1, Ordering::Relaxed);
    }

    /// Lends no more, waits for what is lent, and closes all connections.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Ok(_all) = self.permits.acquire_many(self.size).await {
            locked(&self.idle).clear();
        }
    }

    /// The rows of one statement in a transaction of its own: one round trip.
    pub(super) async fn rows(
        self: &Arc<Pool>,
        sql: &str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        let mut tries = 0;
        loop {
            let mut lease = self.lend().await?;
            tries += 1;
            match lease.within(lease.client().query_typed(sql, params)).await {
                Ok(rows) => {
                    lease.is_whole_again();
                    return Ok(rows);
                }
                Err(Trouble::Absent(_)) if tries < READ_TRIES => self.count_retry(),
                Err(trouble) => return Err(trouble.into()),
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that is lent. It is kept for others only if it is whole when it is given back.
pub(super) struct Lease {
    client: Option<Client>,
    whole: bool,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub(super) fn client(&self) -> &Client {
        self.client.as_ref().expect("a lease has its connection until it is dropped")
    }

    /// Waits for an answer, no longer than a statement may take; what was asked may be left open on the connection
    /// when it does not come.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Trouble> {
        match timeout(self.pool.statement_timeout + GRACE, answer).await {
            Ok(answer) => answer.map_err(|error| Trouble::of(&error)),
            Err(_) => Err(Trouble::Absent("the database did not answer in time".to_owned())),
        }
    }

    /// Something is open on the connection from now on.
    pub(super) fn is_torn(&mut self) {
        self.whole = false;
    }

    /// Nothing is open on the connection any more.
    pub(super) fn is_whole_again(&mut self) {
        self.whole = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(client) = self.client.take()
            && self.whole
            && !client.is_closed()
            && self.pool.check_open().is_ok()
        {
            locked(&self.pool.idle).push(client);
        }
    }
}

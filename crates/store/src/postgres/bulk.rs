//! Bulk loading: many referrals at once.
//!
//! Into a store without referrals all go in one transaction, so that all are loaded or none; facet counts and the heads of
//! logs are written once, in its end. A store that has referrals already is added to batch by batch, each in a
//! transaction of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use flume::Receiver;
use referral::{OrganizationId, ReferralId};
use tokio_postgres::types::{ToSql, Type};

use super::changes::GroupState;
use super::errors::PgError;
use super::pool::{Lease, Pool};
use super::rows;
use super::writer::LOCK;
use super::writes::{self, Statement};
use crate::compression::Compression;
use crate::planner::FacetKey;
use crate::{Batches, BulkReport, Position, StoreError, Write};

/// Batches that wait to be written.
const WAITING: usize = 2;

/// Loads.
pub(super) async fn load(
    pool: &Arc<Pool>,
    compression: Compression,
    batches: Batches,
) -> Result<BulkReport, StoreError> {
    let (sender, receiver) = flume::bounded(WAITING);
    let drawing = tokio::task::spawn_blocking(move || {
        for batch in batches {
            let batch = batch.into_iter().map(|write| compression.write(write)).collect();
            if sender.send(Some(batch)).is_err() {
                return;
            }
        }
        let _ = sender.send(None);
    });
    let loaded = match is_empty(pool).await? {
        true => load_whole(pool, &receiver).await,
        false => add(pool, &receiver).await,
    };
    drop(receiver);
    let _ = drawing.await; // a panic there has been reported by its thread, and broke the load off
    loaded
}

async fn is_empty(pool: &Arc<Pool>) -> Result<bool, StoreError> {
    let found = pool
        .rows(
            "SELECT NOT EXISTS (SELECT 1 FROM referral_directory)
               AND NOT EXISTS (SELECT 1 FROM change_log)",
            &[],
        )
        .await?;
    found.first().map_or(Ok(false), |row| rows::get(row, 0))
}

/// The next batch; `None` after the last.
async fn next(batches: &Receiver<Option<Vec<Write>>>) -> Result<Option<Vec<Write>>, StoreError> {
    let broken = |_| StoreError::Engine("the source of the referrals broke off".to_owned());
    batches.recv_async().await.map_err(broken)
}

async fn load_whole(
    pool: &Arc<Pool>,
    batches: &Receiver<Option<Vec<Write>>>,
) -> Result<BulkReport, StoreError> {
    let mut loading = Loading::begin(pool).await?;
    while let Some(batch) = next(batches).await? {
        loading.take(&batch).await?;
    }
    loading.end().await
}

async fn add(pool: &Arc<Pool>, batches: &Receiver<Option<Vec<Write>>>) -> Result<BulkReport, StoreError> {
    let mut report = BulkReport::default();
    while let Some(batch) = next(batches).await? {
        let mut loading = Loading::begin(pool).await?;
        loading.take(&batch).await?;
        let added = loading.end().await?;
        report.loaded += added.loaded;
        report.skipped_existing += added.skipped_existing;
    }
    Ok(report)
}

/// Runs statements in a transaction that is open, one after the other.
pub(super) async fn run(lease: &Lease, statements: &[Statement]) -> Result<(), PgError> {
    for statement in statements {
        lease.with_timeout(lease.client().execute_typed(statement.sql, &statement.params())).await?;
    }
    Ok(())
}

/// Begins a transaction that may wait for its source.
pub(super) async fn begin(pool: &Arc<Pool>) -> Result<Lease, StoreError> {
    let mut lease = pool.acquire().await?;
    lease.mark_in_transaction();
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {}; SET LOCAL idle_in_transaction_session_timeout = 0",
        pool.limits()
    );
    lease.with_timeout(lease.client().batch_execute(&begin)).await?;
    Ok(lease)
}

/// Makes the logs' heads that are missing, and locks all of them, in the order of the ids. What they stand at.
pub(super) async fn lock_heads(
    lease: &Lease,
    organizations: &[Vec<u8>],
) -> Result<HashMap<OrganizationId, Position>, StoreError> {
    let params: [(&(dyn ToSql + Sync), Type); 1] = [(&organizations, Type::BYTEA_ARRAY)];
    let make = "INSERT INTO log_head (organization, position)
         SELECT organization, 0
         FROM unnest($1) AS new (organization)
         ON CONFLICT (organization) DO NOTHING";
    lease.with_timeout(lease.client().execute_typed(make, &params)).await?;
    let found = lease.with_timeout(lease.client().query_typed(LOCK, &params)).await?;
    found.iter().map(|row| Ok((rows::organization(row, 0)?, rows::count(row, 1)?))).collect()
}

/// Key of a facet count: owner, whether it is an offer lead, facet key and country.
type OwnedFacetCountKey = (OrganizationId, bool, FacetKey, Option<String>);

/// A transaction that loads.
struct Loading {
    lease: Lease,
    report: BulkReport,
    /// The newest position given to each organization whose log is locked.
    positions: HashMap<OrganizationId, Position>,
    /// Counts that are not written yet.
    counts: HashMap<OwnedFacetCountKey, i64>,
}

impl Loading {
    async fn begin(pool: &Arc<Pool>) -> Result<Loading, StoreError> {
        let lease = begin(pool).await?;
        let (positions, counts) = (HashMap::new(), HashMap::new());
        Ok(Loading { lease, report: BulkReport::default(), positions, counts })
    }

    async fn take(&mut self, batch: &[Write]) -> Result<(), StoreError> {
        let mut unknown: Vec<Vec<u8>> = batch
            .iter()
            .map(|write| &write.referral.owner)
            .filter(|owner| !self.positions.contains_key(*owner))
            .map(|owner| owner.as_bytes().to_vec())
            .collect();
        unknown.sort();
        unknown.dedup();
        if !unknown.is_empty() {
            self.positions.extend(lock_heads(&self.lease, &unknown).await?);
        }
        let mut there = self.there(batch).await?;
        let mut state =
            GroupState { positions: std::mem::take(&mut self.positions), ..GroupState::default() };
        for write in batch {
            if there.insert(write.referral.id) {
                state.write(write);
                self.report.loaded += 1;
            } else {
                self.report.skipped_existing += 1;
            }
        }
        for ((owner, lead, facet, country), change) in writes::counted(&state.write_set) {
            let kept = (owner.clone(), lead, facet, country.map(str::to_owned));
            *self.counts.entry(kept).or_default() += change;
        }
        let run = run(&self.lease, &writes::rows_of(&state.write_set)).await;
        self.positions = state.positions;
        Ok(run?)
    }

    /// Which of them are in the store.
    async fn there(&self, batch: &[Write]) -> Result<HashSet<ReferralId>, StoreError> {
        let ids: Vec<&[u8]> = batch.iter().map(|write| &write.referral.id.as_bytes()[..]).collect();
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&ids, Type::BYTEA_ARRAY)];
        let sql = "SELECT id FROM referral_directory WHERE id = ANY ($1)";
        let found = self.lease.with_timeout(self.lease.client().query_typed(sql, &params)).await?;
        found.iter().map(|row| rows::referral_id(row, 0)).collect()
    }

    async fn end(mut self) -> Result<BulkReport, StoreError> {
        let changes = self.counts.iter().map(|((owner, lead, facet, country), change)| {
            ((owner, *lead, *facet, country.as_deref()), *change)
        });
        let mut statements = writes::facet_count_changes(changes);
        if !self.positions.is_empty() {
            statements.push(writes::heads(&self.positions));
        }
        run(&self.lease, &statements).await?;
        self.lease.with_timeout(self.lease.client().batch_execute("COMMIT")).await?;
        self.lease.mark_idle();
        Ok(self.report)
    }
}

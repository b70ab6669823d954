//! Unanswered referrals expire by the injected clock. Source: spec 7.2, T9, T13, T17.
//!
//! Reads never show a referral as New after its expiry: the first reader or the background job closes it. One of
//! several servers does the job at a time. The condition of the commit ensures that a referral expires only once.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use referral::{Referral, ReferralId, Timestamp};
use store::{Action, Change, CommitOutcome, Entry, JobHolder, Store, StoreError, StoredReferral, Write};

use crate::error::ReadError;
use crate::large_work::block_in_place_if_large;
use crate::{Exchange, search_text, to_store};

/// Number of referrals that are closed together: the store commits them as one group.
const BATCH_SIZE: usize = 256;
/// Pause after a search that could not read what is due, in ticks: a second.
const RETRY_TICKS: i64 = 10_000_000;

/// Maximum time between two queries for the next expiry, in ticks of 100 ns: an hour. A query does not see referrals
/// that are written at the same time, but they expire two weeks later (T10) and the next query sees them.
const REFRESH_TICKS: i64 = 3600 * 10_000_000;

/// Ticks are 100 ns.
const TICKS_PER_SECOND: f64 = 10_000_000.0;

/// Name of the job that closes due referrals, for the servers of one database.
const JOB: &str = "expiry";
/// Lease of the job: a server that does not renew it in this time loses the job. A batch takes a fraction of it.
const LEASE_TERM: Duration = Duration::from_secs(10);

/// The time of the next search for due referrals: the next expiry in the store, so that a read costs nothing while
/// nothing is due. It can be too early, never too late.
#[derive(Debug)]
pub(crate) struct ExpirySchedule {
    at: AtomicI64,
    /// No search before this time: the last one could not read what is due.
    not_before: AtomicI64,
    /// Number of searches and of closed referrals, for the metrics.
    looks: AtomicU64,
    closed: AtomicU64,
}

/// Metrics of the expiry of unanswered referrals in this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ExpiryMetrics {
    /// Number of searches for due referrals.
    pub looks: u64,
    /// Number of closed referrals.
    pub expired: u64,
    /// Time since the next known expiry, in seconds; 0 while nothing is due.
    pub overdue_seconds: f64,
}

impl ExpirySchedule {
    pub(crate) async fn load(store: &dyn Store) -> Result<ExpirySchedule, StoreError> {
        let at = AtomicI64::new(ticks(store.next_expiry().await?));
        Ok(ExpirySchedule {
            at,
            not_before: AtomicI64::new(i64::MIN),
            looks: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        })
    }

    /// A referral with this expiry is about to be stored.
    pub(crate) fn announce(&self, expires: Option<Timestamp>) {
        if let Some(expires) = expires {
            self.at.fetch_min(expires.ticks(), Ordering::SeqCst);
        }
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.at.load(Ordering::SeqCst).max(self.not_before.load(Ordering::SeqCst)) <= now.ticks()
    }

    /// Returns the metrics at this time.
    pub(crate) fn metrics(&self, now: Timestamp) -> ExpiryMetrics {
        let overdue = now.ticks().saturating_sub(self.at.load(Ordering::SeqCst)).max(0);
        ExpiryMetrics {
            looks: self.looks.load(Ordering::Relaxed),
            expired: self.closed.load(Ordering::Relaxed),
            overdue_seconds: overdue as f64 / TICKS_PER_SECOND,
        }
    }
}

fn ticks(expires: Option<Timestamp>) -> i64 {
    expires.map_or(i64::MAX, Timestamp::ticks)
}

impl Exchange {
    /// Closes every due referral and returns their number. Called before lists.
    ///
    /// # Errors
    /// Errors of the store; a damaged document.
    pub async fn expire_due(&self) -> Result<u64, ReadError> {
        let now = self.now();
        let mut closed = 0;
        while self.expiry.is_due(now) {
            closed += self.expire_batch(now).await?;
        }
        Ok(closed)
    }

    /// Does the same as a background job: nothing while another server holds it. The job is taken again for each batch
    /// and given back at the end; after an error it is held until its lease ends.
    ///
    /// # Errors
    /// As of [`Exchange::expire_due`].
    pub async fn expire_due_as_job(&self, holder: &JobHolder) -> Result<u64, ReadError> {
        let now = self.now();
        let mut closed = 0;
        let mut is_held = false;
        while self.expiry.is_due(now) {
            is_held = self.store.take_job(JOB, holder, LEASE_TERM).await?;
            if !is_held {
                break;
            }
            closed += self.expire_batch(now).await?;
        }
        if is_held {
            self.store.leave_job(JOB, holder).await?;
        }
        Ok(closed)
    }

    /// Closes a batch and reads the time of the next expiry.
    async fn expire_batch(&self, now: Timestamp) -> Result<u64, ReadError> {
        let seen = self.expiry.at.load(Ordering::SeqCst);
        self.expiry.looks.fetch_add(1, Ordering::Relaxed);
        let due = self.store.due(now, BATCH_SIZE).await?;
        let closed = self.expire_all(&due).await?;
        let next = ticks(self.store.next_expiry().await?).min(now.ticks().saturating_add(REFRESH_TICKS));
        // If an earlier expiry was announced meanwhile, the exchange fails and the next search finds it.
        let _ = self.expiry.at.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst);
        if due.is_empty() && next <= now.ticks() {
            // It was skipped because its document is damaged. It stays overdue and blocks nothing.
            tracing::error!("A referral is due and cannot be closed; the next look is in a second");
            self.expiry.not_before.store(now.ticks().saturating_add(RETRY_TICKS), Ordering::SeqCst);
        }
        Ok(closed)
    }

    /// Closes several referrals at once and returns how many it closed. All are tried; the first error is returned.
    async fn expire_all(&self, due: &[Arc<StoredReferral>]) -> Result<u64, ReadError> {
        let mut running: Vec<_> = due.iter().map(|referral| Box::pin(self.expire(referral))).collect();
        let mut outcome = Ok(());
        let mut closed = 0;
        poll_fn(|context| {
            running.retain_mut(|one| match one.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(ended) => {
                    match ended {
                        Ok(was_open) => closed += u64::from(was_open),
                        Err(error) if outcome.is_ok() => outcome = Err(error),
                        Err(_) => {}
                    }
                    false
                }
            });
            if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        outcome.map(|()| closed)
    }

    /// Closes one due referral. Returns false if another request was faster.
    async fn expire(&self, referral: &StoredReferral) -> Result<bool, ReadError> {
        let decide = || Exchange::decide_expiry(referral);
        let Some(write) = block_in_place_if_large(referral.document.len(), decide)? else { return Ok(false) };
        match self.store.commit(Change { write: Some(write), guards: Vec::new(), answer: None }).await? {
            CommitOutcome::Committed(_) => {
                self.expiry.closed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(referral.id = %referral.id, "Referral {} expired unanswered", referral.id);
                Ok(true)
            }
            other => {
                tracing::debug!(referral.id = %referral.id, ?other, "Referral {} changed before it expired", referral.id);
                Ok(false)
            }
        }
    }

    /// Returns the write that closes a referral; `None` if it is not New any more.
    fn decide_expiry(referral: &StoredReferral) -> Result<Option<Write>, ReadError> {
        let edit = match Referral::expire(&referral.document, referral.version) {
            Ok(Some(edit)) => edit,
            Ok(None) => return Ok(None),
            Err(referral::DecisionError::Damaged(error)) => {
                return Err(ReadError::Damaged(referral.id, error));
            }
            Err(referral::DecisionError::Rejected(refusal)) => {
                return Err(
                    StoreError::Engine(format!("referral {} cannot expire: {refusal}", referral.id)).into()
                );
            }
        };
        let entry = Entry {
            action: Action::Expired,
            at: edit.referral.updated_date_time,
            actor: None,
            changes: edit.changes.to_string().into(),
        };
        Ok(Some(Write {
            referral: to_store(&edit.referral, referral.version + 1, referral.columns.sender.clone()),
            decided_on: Some(referral.version),
            entry,
            search: edit.texts_changed.then(|| search_text(&edit.referral)),
        }))
    }

    /// Returns the current version of a referral of any owner. A due one is closed first.
    pub(crate) async fn find_current(
        &self,
        id: ReferralId,
    ) -> Result<Option<Arc<StoredReferral>>, ReadError> {
        loop {
            match self.store.find_referral(id).await? {
                Some(referral) if referral.is_due(self.now()) => {
                    self.expire(&referral).await?;
                }
                found => return Ok(found),
            }
        }
    }
}

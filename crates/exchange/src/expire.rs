//! Unanswered referrals expire by the injected clock. Source: spec 7.2, T9, T13, T17.
//!
//! Reads never show a referral New after its time: whoever comes first, reader or background job, closes it. Of several
//! servers one does the job at a time; that a referral expires once is the commit's own condition, whoever comes.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use referral::{Referral, ReferralId, Timestamp};
use store::{Action, Change, Entry, JobHolder, Outcome, Store, StoreError, StoredReferral, Write};

use crate::error::ReadError;
use crate::large_work::block_in_place_if_large;
use crate::{Exchange, search_text, to_store};

/// How many are closed in one go: they are handed to the store together, which commits them as one group.
const BATCH_SIZE: usize = 256;
/// After a look that found nothing of what is due, the next one waits so long, in ticks: a second.
const RETRY_TICKS: i64 = 10_000_000;

/// The store is asked for the next expiry again after so long at the latest. Whoever writes a referral while the store
/// is being asked is not seen by that question, but its expiry is two weeks away (T10), and the next question sees it.
/// In ticks of 100 ns: an hour.
const REFRESH_TICKS: i64 = 3600 * 10_000_000;

/// Ticks are 100 ns.
const TICKS_PER_SECOND: f64 = 10_000_000.0;

/// The job of closing what is due, among the servers of one database.
const JOB: &str = "expiry";
/// A server that holds the job and is not heard of for so long has lost it. A batch takes a fraction of it.
const LEASE_TERM: Duration = Duration::from_secs(10);

/// When to look for what is due: at the soonest expiry the store tells of, so that a read costs nothing while nothing
/// is due. It may be too early, never too late.
#[derive(Debug)]
pub(crate) struct ExpirySchedule {
    at: AtomicI64,
    /// No look before this instant: the last one found nothing of what is due.
    not_before: AtomicI64,
    /// Looks for what is due, and what was closed: for the figures.
    looks: AtomicU64,
    closed: AtomicU64,
}

/// What the expiry of unanswered referrals has done in this process, and how late it is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ExpiryMetrics {
    /// How often the store was asked for referrals whose time was up.
    pub looks: u64,
    /// How many were closed.
    pub expired: u64,
    /// For how long the soonest expiry that is known has passed, in seconds; 0 while nothing is due.
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

    /// The figures, by this time.
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
    /// Closes every referral whose time is up; how many. Called before lists.
    ///
    /// # Errors
    /// What the store reports; a damaged document.
    pub async fn expire_due(&self) -> Result<u64, ReadError> {
        let now = self.now();
        let mut closed = 0;
        while self.expiry.is_due(now) {
            closed += self.expire_batch(now).await?;
        }
        Ok(closed)
    }

    /// The same as a job in the background: while another holder has it, nothing is done. The job is taken anew for
    /// each batch, and given back in the end; who fails keeps it until its term is over.
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

    /// Closes a batch, and looks when the next is due.
    async fn expire_batch(&self, now: Timestamp) -> Result<u64, ReadError> {
        let seen = self.expiry.at.load(Ordering::SeqCst);
        self.expiry.looks.fetch_add(1, Ordering::Relaxed);
        let due = self.store.due(now, BATCH_SIZE).await?;
        let closed = self.expire_all(&due).await?;
        let next = ticks(self.store.next_expiry().await?).min(now.ticks().saturating_add(REFRESH_TICKS));
        // Whoever announced an earlier one meanwhile has lowered it, and the exchange fails: look again.
        let _ = self.expiry.at.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst);
        if due.is_empty() && next <= now.ticks() {
            // It is left out for its document is damaged. It stays overdue, and holds up nobody.
            tracing::error!("A referral is due and cannot be closed; the next look is in a second");
            self.expiry.not_before.store(now.ticks().saturating_add(RETRY_TICKS), Ordering::SeqCst);
        }
        Ok(closed)
    }

    /// Closes several at once; how many of them it was that closed. Each is tried; the first error is told.
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

    /// Closes one referral that is due; whether it was this call that did. Somebody else may have been faster: that is as
    /// good.
    async fn expire(&self, referral: &StoredReferral) -> Result<bool, ReadError> {
        let decide = || Exchange::decide_expiry(referral);
        let Some(write) = block_in_place_if_large(referral.document.len(), decide)? else { return Ok(false) };
        match self.store.commit(Change { write: Some(write), guards: Vec::new(), answer: None }).await? {
            Outcome::Committed(_) => {
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

    /// The write that closes a referral; `None` when it stands New no more.
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

    /// A referral as it stands now, whoever owns it: due ones are closed first.
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

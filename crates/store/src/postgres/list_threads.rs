//! Threads that lists are evaluated on, so that no thread of the runtime is held by an evaluation. Organizations are
//! served by turns, and none holds all threads.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use referral::OrganizationId;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::pool::Pool;
use crate::StoreError;
use crate::fair_queue::{FairQueue, Worker};
use crate::list_work::{Interrupt, LISTS_WAITING};

type Job = Box<dyn FnOnce(&Handle) + Send>;

/// The threads; they end when it is closed or dropped.
pub(super) struct ListThreads {
    jobs: Arc<FairQueue<OrganizationId, Job>>,
    stopping: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What an organization may have of the connections for lists that need no thread.
    permits: Mutex<HashMap<OrganizationId, Arc<Semaphore>>>,
    each: usize,
}

/// Tells that the caller is gone, when it is.
struct Presence(Arc<AtomicBool>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

impl ListThreads {
    /// Starts this many threads, which drive their I/O by the runtime they are started in. Lists that need no thread hold
    /// at most a third of the connections for one organization.
    ///
    /// # Errors
    /// `Engine` if a thread cannot be started.
    pub(super) fn start(threads: usize, connections: usize) -> Result<ListThreads, StoreError> {
        let threads = threads.max(1);
        let jobs = FairQueue::new(LISTS_WAITING, threads.saturating_sub(1).max(1));
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (worker, runtime) = (jobs.worker(), Handle::current());
            let handle = std::thread::Builder::new()
                .name(format!("store-list-{number}"))
                .spawn(move || serve(&worker, &runtime))
                .map_err(|error| StoreError::Engine(format!("cannot start a thread for lists: {error}")))?;
            handles.push(handle);
        }
        let each = (connections / 3).max(1);
        let (threads, permits) = (Mutex::new(handles), Mutex::default());
        Ok(ListThreads { jobs, stopping: Arc::default(), threads, permits, each })
    }

    /// Runs a list on one of the threads. It ends when its caller is gone or the store closes.
    ///
    /// # Errors
    /// Those of the list; `Busy` if too many lists of the organization wait; `Closed`.
    pub(super) async fn run<T, F>(
        &self,
        owner: &OrganizationId,
        list: impl FnOnce(Interrupt) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>>,
    {
        let (mut reply, answer) = oneshot::channel();
        let gone = Arc::new(AtomicBool::new(false));
        let _presence = Presence(Arc::clone(&gone));
        let stopping = Arc::clone(&self.stopping);
        let job: Job = Box::new(move |runtime| {
            let interrupt: Interrupt = Arc::new(move || gone.load(Relaxed) || stopping.load(Relaxed));
            if reply.is_closed() || interrupt() {
                return;
            }
            runtime.block_on(async move {
                let outcome = tokio::select! {
                    biased;
                    () = reply.closed() => return,
                    outcome = list(interrupt) => outcome,
                };
                // A caller that is gone needs no answer.
                let _ = reply.send(outcome);
            });
        });
        self.jobs.try_push(owner, job)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Waits until the organization may have another connection for a list that needs no thread.
    ///
    /// # Errors
    /// `Unavailable` if that takes too long.
    pub(super) async fn permit(
        &self,
        owner: &OrganizationId,
        pool: &Pool,
    ) -> Result<OwnedSemaphorePermit, StoreError> {
        /// Above this many, organizations without lists are forgotten.
        const MANY: usize = 1024;
        let permits = {
            let mut permits = self.permits.lock().unwrap_or_else(PoisonError::into_inner);
            if permits.len() > MANY {
                permits.retain(|_, one| Arc::strong_count(one) > 1);
            }
            Arc::clone(permits.entry(owner.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
        };
        match timeout(pool.wait(), permits.acquire_owned()).await {
            Ok(permit) => permit.map_err(|_| StoreError::Closed),
            Err(_) => Err(pool.wait_timed_out()),
        }
    }

    /// Returns the number of lists that wait for a thread.
    pub(super) fn waiting(&self) -> u64 {
        self.jobs.waiting()
    }

    /// Ends the lists that run and those that wait, and waits for the threads.
    pub(super) async fn close(&self) {
        let threads = self.shut();
        let joined =
            tokio::task::spawn_blocking(|| threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = joined.await;
    }

    fn shut(&self) -> Vec<JoinHandle<()>> {
        self.stopping.store(true, Relaxed);
        self.jobs.shut();
        std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for ListThreads {
    fn drop(&mut self) {
        self.shut();
    }
}

fn serve(jobs: &Worker<OrganizationId, Job>, runtime: &Handle) {
    while let Some(running) = jobs.take() {
        let (job, _slot) = running.into_parts();
        // A panic drops the reply, which tells the caller; the thread serves on.
        drop(catch_unwind(AssertUnwindSafe(|| job(runtime))));
    }
}

//! Jobs that wait for threads, fairly by owner: of the owners with jobs waiting, the one that was served longest ago
//! comes next, and its jobs in their order. So one owner's many jobs delay another's by no more than those that run.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::StoreError;

/// Of so many owners at most it is remembered when they were served, besides those with jobs waiting.
const REMEMBERED: usize = 1024;

pub(super) struct Queue<K, T> {
    state: Mutex<State<K, T>>,
    arrived: Condvar,
    /// How many jobs of an owner may wait; more make their senders wait.
    most: usize,
}

struct State<K, T> {
    /// These come before every owner's.
    urgent: VecDeque<T>,
    owners: HashMap<K, Owner<T>>,
    /// Counts what arrives and what is taken.
    clock: u64,
    shut: bool,
    /// Threads do not end while there are any.
    holders: usize,
    workers: usize,
}

struct Owner<T> {
    jobs: VecDeque<Job<T>>,
    room: Arc<Semaphore>,
    /// When it was served last; 0: never.
    served: u64,
}

struct Job<T> {
    job: T,
    arrived: u64,
    /// Its place, given back when it is taken.
    _place: OwnedSemaphorePermit,
}

/// Keeps the threads from ending.
pub(super) struct Holder<K: Eq + Hash + Clone, T>(Arc<Queue<K, T>>);

/// A thread's end of the queue. When the last is gone nobody waits any more in vain.
pub(super) struct Worker<K: Eq + Hash + Clone, T>(Arc<Queue<K, T>>);

impl<K: Eq + Hash + Clone, T> Queue<K, T> {
    pub(super) fn new(most: usize) -> Arc<Queue<K, T>> {
        let state = State {
            urgent: VecDeque::new(),
            owners: HashMap::new(),
            clock: 0,
            shut: false,
            holders: 0,
            workers: 0,
        };
        Arc::new(Queue { state: Mutex::new(state), arrived: Condvar::new(), most })
    }

    fn lock(&self) -> MutexGuard<'_, State<K, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a job wait behind its owner's others.
    ///
    /// # Errors
    /// `Closed` once the queue is shut.
    pub(super) async fn push(&self, owner: K, job: T) -> Result<(), StoreError> {
        let room = Arc::clone(&self.lock().owner(&owner, self.most).room);
        let place = room.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let mut state = self.lock();
        if state.shut {
            return Err(StoreError::Closed);
        }
        state.clock += 1;
        let arrived = state.clock;
        state.owner(&owner, self.most).jobs.push_back(Job { job, arrived, _place: place });
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// How many jobs wait.
    pub(super) fn waiting(&self) -> u64 {
        let state = self.lock();
        let waiting = |owner: &Owner<T>| owner.jobs.len();
        (state.urgent.len() + state.owners.values().map(waiting).sum::<usize>()) as u64
    }

    /// Takes no more jobs; those that wait are still taken.
    pub(super) fn shut(&self) {
        self.lock().shut = true;
        self.arrived.notify_all();
    }

    pub(super) fn hold(self: &Arc<Self>) -> Result<Holder<K, T>, StoreError> {
        let mut state = self.lock();
        if state.shut {
            return Err(StoreError::Closed);
        }
        state.holders += 1;
        Ok(Holder(Arc::clone(self)))
    }

    pub(super) fn worker(self: &Arc<Self>) -> Worker<K, T> {
        self.lock().workers += 1;
        Worker(Arc::clone(self))
    }
}

impl<K: Eq + Hash + Clone, T> State<K, T> {
    fn owner(&mut self, owner: &K, most: usize) -> &mut Owner<T> {
        if self.owners.len() > REMEMBERED && !self.owners.contains_key(owner) {
            self.owners.retain(|_, known| !known.jobs.is_empty());
        }
        self.owners.entry(owner.clone()).or_insert_with(|| Owner {
            jobs: VecDeque::new(),
            room: Arc::new(Semaphore::new(most)),
            served: 0,
        })
    }

    fn next(&mut self) -> Option<T> {
        let waiting = self.owners.values_mut().filter(|owner| !owner.jobs.is_empty());
        let next = waiting.min_by_key(|owner| (owner.served, owner.jobs.front().map(|job| job.arrived)))?;
        self.clock += 1;
        next.served = self.clock;
        next.jobs.pop_front().map(|job| job.job)
    }
}

impl<K: Eq + Hash + Clone, T> Worker<K, T> {
    /// The next job. Blocks until there is one; `None` when there will be none.
    pub(super) fn take(&self) -> Option<T> {
        let mut state = self.0.lock();
        loop {
            if let Some(job) = state.urgent.pop_front() {
                return Some(job);
            }
            if let Some(job) = state.next() {
                return Some(job);
            }
            if state.shut && state.holders == 0 {
                return None;
            }
            state = self.0.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<K: Eq + Hash + Clone, T> Drop for Worker<K, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.workers -= 1;
        if state.workers == 0 {
            state.shut = true;
            let left = (std::mem::take(&mut state.urgent), std::mem::take(&mut state.owners));
            drop(state);
            drop(left); // whoever asked learns of it
        }
    }
}

impl<K: Eq + Hash + Clone, T> Holder<K, T> {
    /// A job that comes before all that wait.
    pub(super) fn push_urgent(&self, job: T) {
        self.0.lock().urgent.push_back(job);
        self.0.arrived.notify_all();
    }
}

impl<K: Eq + Hash + Clone, T> Drop for Holder<K, T> {
    fn drop(&mut self) {
        self.0.lock().holders -= 1;
        self.0.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_owner_with_many_jobs_does_not_delay_anothers() {
        let queue = Queue::new(8);
        let worker = queue.worker();
        for number in 0..5 {
            queue.push("slow", ("slow", number)).await.unwrap();
        }
        assert_eq!(queue.waiting(), 5);
        assert_eq!(worker.take(), Some(("slow", 0)));
        queue.push("quick", ("quick", 0)).await.unwrap();
        assert_eq!(worker.take(), Some(("quick", 0)), "next, though four others came before");
        // Nor does one that always asks again push away the one with many.
        queue.push("quick", ("quick", 1)).await.unwrap();
        assert_eq!(worker.take(), Some(("slow", 1)));
        assert_eq!(worker.take(), Some(("quick", 1)));
        assert_eq!(worker.take(), Some(("slow", 2)));
        assert_eq!(worker.take(), Some(("slow", 3)), "alone, it need not wait");
        queue.shut();
        assert_eq!(worker.take(), Some(("slow", 4)), "what was accepted is done");
        assert_eq!(worker.take(), None);
        assert!(matches!(queue.push("slow", ("slow", 5)).await, Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn who_has_too_many_waiting_waits_alone() {
        let queue = Queue::new(2);
        let worker = queue.worker();
        for number in 0..2 {
            queue.push("slow", number).await.unwrap();
        }
        let third = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.push("slow", 2).await }
        });
        tokio::task::yield_now().await;
        assert!(!third.is_finished());
        queue.push("quick", 10).await.unwrap();
        assert_eq!((worker.take(), worker.take()), (Some(0), Some(10)));
        third.await.unwrap().unwrap();
        assert_eq!((worker.take(), worker.take()), (Some(1), Some(2)));
    }

    #[tokio::test]
    async fn jobs_are_let_go_when_no_thread_is_left() {
        let queue = Queue::new(2);
        let worker = queue.worker();
        let (job, mut answer) = tokio::sync::oneshot::channel::<()>();
        queue.push((), job).await.unwrap();
        drop(worker);
        assert!(
            answer.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Closed)
        );
        let (job, _answer) = tokio::sync::oneshot::channel::<()>();
        assert!(matches!(queue.push((), job).await, Err(StoreError::Closed)));
    }
}

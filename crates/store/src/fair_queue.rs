//! Jobs that wait for threads, fairly by owner: of the owners with jobs waiting, the one that was served longest ago
//! comes next, and its jobs in their order. An owner holds a bounded number of the threads, so that its many or long
//! jobs leave a thread for the others.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::StoreError;

/// Number of idle owners whose last-served time is kept.
const REMEMBERED: usize = 1024;

pub(crate) struct FairQueue<K, T> {
    state: Mutex<QueueState<K, T>>,
    arrived: Condvar,
    /// How many jobs of an owner may wait.
    most_waiting: usize,
    /// How many jobs of an owner may run at once.
    most_running: usize,
}

struct QueueState<K, T> {
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
    jobs: VecDeque<WaitingJob<T>>,
    /// How many of its jobs run.
    running: usize,
    /// When it was served last; 0: never.
    served: u64,
}

struct WaitingJob<T> {
    job: T,
    arrived: u64,
}

/// Keeps the threads from ending.
pub(crate) struct QueueHandle<K: Eq + Hash + Clone, T>(Arc<FairQueue<K, T>>);

/// A thread's end of the queue. When the last is gone, jobs that wait are dropped.
pub(crate) struct Worker<K: Eq + Hash + Clone, T>(Arc<FairQueue<K, T>>);

/// A job that runs. Its owner holds a thread until this is dropped.
pub(crate) struct Running<'w, K: Eq + Hash + Clone, T> {
    pub(crate) job: T,
    _slot: RunningSlot<'w, K, T>,
}

/// A thread that an owner holds; `None` for an urgent job.
pub(crate) struct RunningSlot<'w, K: Eq + Hash + Clone, T> {
    queue: &'w FairQueue<K, T>,
    owner: Option<K>,
}

impl<'w, K: Eq + Hash + Clone, T> Running<'w, K, T> {
    /// The job, and the place that is given back when it is dropped.
    pub(crate) fn into_parts(self) -> (T, RunningSlot<'w, K, T>) {
        (self.job, self._slot)
    }
}

impl<K: Eq + Hash + Clone, T> Drop for RunningSlot<'_, K, T> {
    fn drop(&mut self) {
        let Some(owner) = self.owner.take() else { return };
        let mut state = self.queue.lock();
        let has_more = state.owners.get_mut(&owner).is_some_and(|owner| {
            owner.running = owner.running.saturating_sub(1);
            !owner.jobs.is_empty()
        });
        let is_shut = state.shut;
        drop(state);
        if is_shut {
            // Threads that waited for the owner's last jobs end.
            self.queue.arrived.notify_all();
        } else if has_more {
            // A thread may wait because this owner held as many as it may.
            self.queue.arrived.notify_one();
        }
    }
}

impl<K: Eq + Hash + Clone, T> FairQueue<K, T> {
    /// A queue where an owner may have this many jobs waiting, and this many running.
    pub(crate) fn new(most_waiting: usize, most_running: usize) -> Arc<FairQueue<K, T>> {
        let state = QueueState {
            urgent: VecDeque::new(),
            owners: HashMap::new(),
            clock: 0,
            shut: false,
            holders: 0,
            workers: 0,
        };
        Arc::new(FairQueue { state: Mutex::new(state), arrived: Condvar::new(), most_waiting, most_running })
    }

    fn lock(&self) -> MutexGuard<'_, QueueState<K, T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a job wait behind its owner's others.
    ///
    /// # Errors
    /// `Closed` once the queue is shut; `Busy` if too many jobs of the owner wait.
    pub(crate) fn try_push(&self, owner: &K, job: T) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.shut {
            return Err(StoreError::Closed);
        }
        state.clock += 1;
        let arrived = state.clock;
        let waiting = state.owner(owner);
        if waiting.jobs.len() >= self.most_waiting {
            return Err(StoreError::Busy);
        }
        waiting.jobs.push_back(WaitingJob { job, arrived });
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> u64 {
        let state = self.lock();
        let waiting = |owner: &Owner<T>| owner.jobs.len();
        (state.urgent.len() + state.owners.values().map(waiting).sum::<usize>()) as u64
    }

    /// Takes no more jobs; those that wait are still taken.
    pub(crate) fn shut(&self) {
        self.lock().shut = true;
        self.arrived.notify_all();
    }

    pub(crate) fn hold(self: &Arc<Self>) -> Result<QueueHandle<K, T>, StoreError> {
        let mut state = self.lock();
        if state.shut {
            return Err(StoreError::Closed);
        }
        state.holders += 1;
        Ok(QueueHandle(Arc::clone(self)))
    }

    pub(crate) fn worker(self: &Arc<Self>) -> Worker<K, T> {
        self.lock().workers += 1;
        Worker(Arc::clone(self))
    }
}

impl<K: Eq + Hash + Clone, T> QueueState<K, T> {
    fn owner(&mut self, owner: &K) -> &mut Owner<T> {
        if self.owners.len() > REMEMBERED && !self.owners.contains_key(owner) {
            self.owners.retain(|_, known| !known.jobs.is_empty() || known.running > 0);
        }
        self.owners.entry(owner.clone()).or_insert_with(|| Owner {
            jobs: VecDeque::new(),
            running: 0,
            served: 0,
        })
    }

    /// The next job of an owner that may hold one more thread.
    fn next(&mut self, most_running: usize) -> Option<(K, T)> {
        let waiting = self
            .owners
            .iter_mut()
            .filter(|(_, owner)| !owner.jobs.is_empty() && owner.running < most_running);
        let next = waiting.min_by_key(|(_, owner)| (owner.served, owner.jobs.front().map(|job| job.arrived)));
        let (key, owner) = next?;
        self.clock += 1;
        owner.served = self.clock;
        owner.running += 1;
        let job = owner.jobs.pop_front()?;
        Some((key.clone(), job.job))
    }
}

impl<K: Eq + Hash + Clone, T> Worker<K, T> {
    /// The next job. Blocks until there is one; `None` when there will be none.
    pub(crate) fn take(&self) -> Option<Running<'_, K, T>> {
        let queue = &*self.0;
        let mut state = queue.lock();
        loop {
            if let Some(job) = state.urgent.pop_front() {
                return Some(Running { job, _slot: RunningSlot { queue, owner: None } });
            }
            if let Some((owner, job)) = state.next(queue.most_running) {
                return Some(Running { job, _slot: RunningSlot { queue, owner: Some(owner) } });
            }
            let is_empty = state.owners.values().all(|owner| owner.jobs.is_empty());
            if state.shut && state.holders == 0 && is_empty {
                return None;
            }
            state = queue.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
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

impl<K: Eq + Hash + Clone, T> QueueHandle<K, T> {
    /// A job that comes before all that wait.
    pub(crate) fn push_urgent(&self, job: T) {
        self.0.lock().urgent.push_back(job);
        self.0.arrived.notify_all();
    }
}

impl<K: Eq + Hash + Clone, T> Drop for QueueHandle<K, T> {
    fn drop(&mut self) {
        self.0.lock().holders -= 1;
        self.0.arrived.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes the next job and ends it at once.
    fn take<K: Eq + Hash + Clone, T>(worker: &Worker<K, T>) -> Option<T> {
        worker.take().map(|running| running.into_parts().0)
    }

    #[test]
    fn an_owner_with_many_jobs_does_not_delay_anothers() {
        let queue = FairQueue::new(8, 8);
        let worker = queue.worker();
        for number in 0..5 {
            queue.try_push(&"slow", ("slow", number)).unwrap();
        }
        assert_eq!(queue.waiting(), 5);
        assert_eq!(take(&worker), Some(("slow", 0)));
        queue.try_push(&"quick", ("quick", 0)).unwrap();
        assert_eq!(take(&worker), Some(("quick", 0)), "next, though four others came before");
        // Nor does one that always asks again push away the one with many.
        queue.try_push(&"quick", ("quick", 1)).unwrap();
        assert_eq!(take(&worker), Some(("slow", 1)));
        assert_eq!(take(&worker), Some(("quick", 1)));
        assert_eq!(take(&worker), Some(("slow", 2)));
        assert_eq!(take(&worker), Some(("slow", 3)), "alone, it need not wait");
        queue.shut();
        assert_eq!(take(&worker), Some(("slow", 4)), "what was accepted is done");
        assert_eq!(take(&worker), None);
        assert!(matches!(queue.try_push(&"slow", ("slow", 5)), Err(StoreError::Closed)));
    }

    #[test]
    fn an_owner_with_too_many_waiting_is_refused_and_nobody_else() {
        let queue = FairQueue::new(2, 8);
        let worker = queue.worker();
        for number in 0..2 {
            queue.try_push(&"slow", number).unwrap();
        }
        assert!(matches!(queue.try_push(&"slow", 2), Err(StoreError::Busy)));
        queue.try_push(&"quick", 10).unwrap();
        assert_eq!((take(&worker), take(&worker)), (Some(0), Some(10)));
        queue.try_push(&"slow", 2).unwrap();
        assert_eq!((take(&worker), take(&worker)), (Some(1), Some(2)));
    }

    #[test]
    fn an_owner_leaves_a_thread_for_others() {
        let queue = FairQueue::new(8, 1);
        let (one, other) = (queue.worker(), queue.worker());
        for number in 0..2 {
            queue.try_push(&"slow", number).unwrap();
        }
        let running = one.take().unwrap();
        assert_eq!(running.job, 0);
        queue.try_push(&"quick", 10).unwrap();
        assert_eq!(take(&other), Some(10), "the second of the slow owner waits for its first");
        let waiting = std::thread::spawn(move || take(&other));
        drop(running);
        assert_eq!(waiting.join().unwrap(), Some(1));
    }

    #[test]
    fn jobs_are_let_go_when_no_thread_is_left() {
        let queue = FairQueue::new(2, 2);
        let worker = queue.worker();
        let (job, mut answer) = tokio::sync::oneshot::channel::<()>();
        queue.try_push(&(), job).unwrap();
        drop(worker);
        assert!(
            answer.try_recv().is_err_and(|error| error == tokio::sync::oneshot::error::TryRecvError::Closed)
        );
        let (job, _answer) = tokio::sync::oneshot::channel::<()>();
        assert!(matches!(queue.try_push(&(), job), Err(StoreError::Closed)));
    }
}

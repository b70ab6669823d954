//! Batched lookups: reads by key that wait at the same time share one statement, as writes share a transaction. Parsing,
//! planning and the round trip are most of the cost of a single row.
//!
//! A statement is sent after all its keys were requested, so it shows everything acknowledged by then. A lookup that
//! arrives while a statement is running waits for the next one. If the running one takes long, another is sent.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::pool::Pool;
use crate::StoreError;

/// Maximum number of statements sent at the same time.
const MAX_STATEMENTS: usize = 4;
/// Time that a lookup waits for running statements before one more is sent.
const HELP_AFTER: Duration = Duration::from_millis(5);
/// Maximum number of keys of one statement.
const MAX_KEYS: usize = 256;

/// The results of some keys. A row that fails to decode fails only the caller that asked for it.
pub(super) type Rows<L> = HashMap<<L as Lookup>::Key, Result<<L as Lookup>::Found, StoreError>>;

/// A query that can be made for many keys at once.
#[async_trait]
pub(super) trait Lookup: Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Send + Sync;
    type Found: Clone + Send;

    /// Finds the rows of these keys, each of them once.
    async fn find(pool: &Arc<Pool>, keys: &[Self::Key]) -> Result<Rows<Self>, StoreError>
    where
        Self: Sized;
}

/// Collects lookups that wait at the same time into one statement.
pub(super) struct BatchedLookup<L: Lookup>(Arc<LookupState<L>>);

struct LookupState<L: Lookup> {
    pool: Arc<Pool>,
    queue: Mutex<LookupQueue<L>>,
    question: PhantomData<fn() -> L>,
}

struct LookupQueue<L: Lookup> {
    /// Lookups that wait for the next statement.
    waiting: VecDeque<PendingLookup<L>>,
    /// Number of running tasks.
    running: usize,
    /// The number of the next lookup.
    next: u64,
}

struct PendingLookup<L: Lookup> {
    number: u64,
    key: L::Key,
    reply: oneshot::Sender<Result<Option<L::Found>, StoreError>>,
}

impl<L: Lookup> BatchedLookup<L> {
    pub(super) fn new(pool: &Arc<Pool>) -> BatchedLookup<L> {
        let queue = LookupQueue { waiting: VecDeque::new(), running: 0, next: 0 };
        BatchedLookup(Arc::new(LookupState {
            pool: Arc::clone(pool),
            queue: Mutex::new(queue),
            question: PhantomData,
        }))
    }

    /// Finds the row of a key.
    ///
    /// # Errors
    /// As a statement of its own would have: also that none could be sent in time.
    pub(super) async fn get(&self, key: L::Key) -> Result<Option<L::Found>, StoreError> {
        let (reply, mut found) = oneshot::channel();
        let number = self.ask(key, reply);
        let closed = |_| StoreError::Closed;
        if let Ok(found) = timeout(HELP_AFTER, &mut found).await {
            return found.map_err(closed)?;
        }
        self.0.help();
        match timeout(self.0.pool.wait(), &mut found).await {
            Ok(found) => return found.map_err(closed)?,
            Err(_) if self.0.withdraw(number) => {}
            Err(_) => return found.await.map_err(closed)?,
        }
        Err(self.0.pool.wait_timed_out())
    }

    fn ask(&self, key: L::Key, reply: oneshot::Sender<Result<Option<L::Found>, StoreError>>) -> u64 {
        let mut queue = self.0.queue();
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back(PendingLookup { number, key, reply });
        if queue.running == 0 {
            self.0.begin(&mut queue);
        }
        number
    }
}

impl<L: Lookup> LookupState<L> {
    /// Begins one more task.
    fn begin(self: &Arc<LookupState<L>>, queue: &mut LookupQueue<L>) {
        queue.running += 1;
        tokio::spawn(run(Running { shared: Arc::clone(self), ended: false }));
    }

    /// Somebody waits for long.
    fn help(self: &Arc<LookupState<L>>) {
        let mut queue = self.queue();
        if !queue.waiting.is_empty() && queue.running < MAX_STATEMENTS {
            self.begin(&mut queue);
        }
    }

    fn queue(&self) -> MutexGuard<'_, LookupQueue<L>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a lookup that still waits. Returns whether it was waiting.
    fn withdraw(&self, number: u64) -> bool {
        let mut queue = self.queue();
        let place = queue.waiting.iter().position(|waiting| waiting.number == number);
        place.and_then(|place| queue.waiting.remove(place)).is_some()
    }
}

/// A task that takes what waits, until nothing does.
struct Running<L: Lookup> {
    shared: Arc<LookupState<L>>,
    ended: bool,
}

impl<L: Lookup> Running<L> {
    /// Takes the lookups of the next statement; `None` ends the task.
    fn next(&mut self) -> Option<Vec<PendingLookup<L>>> {
        let mut queue = self.shared.queue();
        if queue.waiting.is_empty() {
            // Under the lock: a lookup that arrives from now on begins another task.
            queue.running -= 1;
            self.ended = true;
            return None;
        }
        let most = queue.waiting.len().min(MAX_KEYS);
        Some(queue.waiting.drain(..most).collect())
    }
}

impl<L: Lookup> Drop for Running<L> {
    /// One that panicked, or that its runtime dropped, is none any more.
    fn drop(&mut self) {
        if !self.ended {
            self.shared.queue().running -= 1;
        }
    }
}

async fn run<L: Lookup>(mut running: Running<L>) {
    // Those who are about to ask come into the first statement, not after it.
    tokio::task::yield_now().await;
    while let Some(mut asked) = running.next() {
        asked.retain(|waiting| !waiting.reply.is_closed());
        let mut by_key: HashMap<L::Key, Vec<_>> = HashMap::with_capacity(asked.len());
        for waiting in asked {
            by_key.entry(waiting.key).or_default().push(waiting.reply);
        }
        if by_key.is_empty() {
            continue;
        }
        let keys: Vec<L::Key> = by_key.keys().cloned().collect();
        let mut found = L::find(&running.shared.pool, &keys).await;
        for (key, replies) in by_key {
            let answer = match &mut found {
                Ok(rows) => rows.remove(&key).transpose(),
                Err(error) => Err(error.clone()),
            };
            for reply in replies {
                // Nobody may wait any more: then nobody is told.
                let _ = reply.send(answer.clone());
            }
        }
    }
}

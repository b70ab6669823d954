//! Reads by key that wait at the same time share one statement, as writes share a transaction: parsing, planning and the
//! round trip of one are most of what a single row costs.
//!
//! A statement is sent after everything in it was asked for, so it shows whatever was acknowledged by then. What is asked
//! while one is on its way waits for the next, but not for one that hangs: after a while more are sent beside it.

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

/// Statements that are on their way at the same time, at most.
const MAX_STATEMENTS: usize = 4;
/// How long a question waits for those that are on their way, before there is one more.
const HELP_AFTER: Duration = Duration::from_millis(5);
/// Keys of one statement at most.
const MAX_KEYS: usize = 256;

/// What was found of some keys. A row that cannot be read is the trouble of who asked for it alone.
pub(super) type Rows<L> = HashMap<<L as Lookup>::Key, Result<<L as Lookup>::Found, StoreError>>;

/// A question that can be asked of many keys at once.
#[async_trait]
pub(super) trait Lookup: Send + Sync + 'static {
    type Key: Clone + Eq + Hash + Send + Sync;
    type Found: Clone + Send;

    /// What there is of these keys, each of them once.
    async fn find(pool: &Arc<Pool>, keys: &[Self::Key]) -> Result<Rows<Self>, StoreError>
    where
        Self: Sized;
}

/// Gathers what is asked.
pub(super) struct BatchedLookup<L: Lookup>(Arc<LookupState<L>>);

struct LookupState<L: Lookup> {
    pool: Arc<Pool>,
    queue: Mutex<LookupQueue<L>>,
    question: PhantomData<fn() -> L>,
}

struct LookupQueue<L: Lookup> {
    /// Who waits for a statement to take the question.
    waiting: VecDeque<PendingLookup<L>>,
    /// How many tasks take what waits.
    running: usize,
    /// The number of the next question.
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

    /// What there is of a key.
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

    /// Whether a question was still waiting, and does no more.
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
    /// What the next statement is asked for; `None` ends the task.
    fn next(&mut self) -> Option<Vec<PendingLookup<L>>> {
        let mut queue = self.shared.queue();
        if queue.waiting.is_empty() {
            // Under the lock: who asks from now on begins another.
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

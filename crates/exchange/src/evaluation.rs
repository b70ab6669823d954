//! Where expressions are evaluated outside the store. A short evaluation runs in the task that asks for it; a longer
//! one runs on a thread where it holds up no request, when its caller's turn comes.
//!
//! A user has one turn at a time and an organization all but one, so that whoever evaluates without end waits for
//! itself. An evaluation whose caller is gone ends within a millisecond.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use odata::{EvalError, Work};
use referral::OrganizationId;
use store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Exchange;
use crate::caller::Caller;

/// Evaluations at once, besides the short ones.
const THREADS: usize = 2;
/// So many evaluations of one user may wait.
const WAITING: usize = 64;

/// What runs in the task that asks, in nodes: half a millisecond.
const AT_ONCE: u64 = 20_000;
/// How much one answer may evaluate outside the store, in nodes of some 25 ns: a tenth of a second of one thread.
const NODES: u64 = 4_000_000;
/// How many bytes one answer may hold for it.
const BYTES: u64 = 16 << 20;

/// Reading a document as JSON, and writing it again, costs so many nodes for each 32 bytes.
const READING: u64 = 12;

/// What is left of the evaluation that one answer may take.
#[derive(Debug)]
pub struct Budget {
    nodes: u64,
    bytes: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { nodes: NODES, bytes: BYTES }
    }
}

impl Budget {
    /// Notes that so many bytes are held until the answer is made.
    ///
    /// # Errors
    /// `TooCostly` where that is more than may be.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.bytes = self.bytes.checked_sub(bytes as u64).ok_or(EvalError::Exhausted)?;
        Ok(())
    }
}

/// The price of reading a document of so many bytes, in nodes.
pub fn price_of_reading(bytes: usize) -> u64 {
    bytes as u64 / 32 * READING + 1
}

/// The turns of long evaluations.
#[derive(Debug)]
pub(crate) struct Evaluations {
    threads: Arc<Semaphore>,
    organizations: Places<OrganizationId>,
    users: Places<(OrganizationId, String)>,
}

/// So many places for each of some.
#[derive(Debug)]
struct Places<K> {
    of: Mutex<HashMap<K, Arc<Semaphore>>>,
    each: usize,
}

impl<K: Eq + Hash> Places<K> {
    fn new(each: usize) -> Places<K> {
        Places { of: Mutex::default(), each }
    }

    fn of(&self, key: K) -> Arc<Semaphore> {
        /// Above so many, those that nobody uses are forgotten.
        const MANY: usize = 1024;
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if of.len() > MANY {
            of.retain(|_, places| Arc::strong_count(places) > 1);
        }
        Arc::clone(of.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

/// A turn, given back when it is dropped.
struct Turn(#[expect(dead_code, reason = "held, never read")] [OwnedSemaphorePermit; 3]);

impl Default for Evaluations {
    fn default() -> Evaluations {
        Evaluations {
            threads: Arc::new(Semaphore::new(THREADS)),
            organizations: Places::new(THREADS.saturating_sub(1).max(1)),
            users: Places::new(1),
        }
    }
}

impl Evaluations {
    async fn turn(&self, caller: &Caller) -> Result<Turn, StoreError> {
        let user = self.users.of((caller.organization.clone(), caller.user.clone()));
        // The map has it, and whoever runs or waits; so has this one.
        if Arc::strong_count(&user) > WAITING + 3 {
            return Err(StoreError::Unavailable("too many evaluations of the same user wait".to_owned()));
        }
        let closed = |_| StoreError::Closed;
        let user = user.acquire_owned().await.map_err(closed)?;
        let organization = self.organizations.of(caller.organization.clone());
        let organization = organization.acquire_owned().await.map_err(closed)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(closed)?;
        Ok(Turn([user, organization, thread]))
    }
}

/// Says that its caller is gone, when it is.
struct Presence(Arc<AtomicBool>);

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// An evaluation that needs nothing of the task that asked for it.
pub type Apart<T, E> = Box<dyn FnOnce(&Work) -> Result<T, E> + Send>;

impl Exchange {
    /// Does a piece of evaluation that costs so many nodes `at_least`: `here` if it is short, else `apart`, from the
    /// beginning.
    ///
    /// # Errors
    /// What the evaluation meets; `TooCostly` where the budget does not last, `Unavailable` where too many evaluations of
    /// the same user wait.
    pub async fn evaluate<T, E>(
        &self,
        caller: &Caller,
        budget: &mut Budget,
        at_least: u64,
        here: impl FnOnce(&Work) -> Result<T, E> + Send,
        apart: impl FnOnce() -> Apart<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if at_least > budget.nodes {
            return Err(StoreError::from(EvalError::Exhausted).into());
        }
        if at_least < AT_ONCE {
            let nodes = AT_ONCE.min(budget.nodes);
            let work = Work::new(nodes, budget.bytes);
            let outcome = here(&work);
            budget.nodes -= nodes - work.left();
            if outcome.is_ok() || work.left() > 0 || budget.nodes == 0 {
                return outcome;
            }
        }
        let turn = self.evaluations.turn(caller).await?;
        let job = apart();
        let gone = Arc::new(AtomicBool::new(false));
        let _presence = Presence(Arc::clone(&gone));
        let work = Work::new(budget.nodes, budget.bytes).interrupted_by(move || gone.load(Relaxed));
        let running = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            (job(&work), work.left())
        });
        let (outcome, left) = running
            .await
            .map_err(|error| StoreError::Engine(format!("an evaluation has failed: {error}")))?;
        budget.nodes = left;
        outcome
    }
}

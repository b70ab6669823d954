//! Where expressions are evaluated outside the store. A short evaluation runs in the task that asks for it; a longer
//! one runs on a thread where it holds up no request, in a slot of its caller's ([`crate::slots`]). An evaluation whose
//! caller is gone ends within a millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use odata::{EvalError, Work};
use store::StoreError;

use crate::Exchange;
use crate::caller::Caller;

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
        let slot = self.evaluations.acquire(caller).await?;
        let job = apart();
        let gone = Arc::new(AtomicBool::new(false));
        let _presence = Presence(Arc::clone(&gone));
        let work = Work::new(budget.nodes, budget.bytes).interrupted_by(move || gone.load(Relaxed));
        let running = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            (job(&work), work.left())
        });
        let (outcome, left) = running
            .await
            .map_err(|error| StoreError::Engine(format!("an evaluation has failed: {error}")))?;
        budget.nodes = left;
        outcome
    }
}

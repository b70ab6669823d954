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
const INLINE_NODES: u64 = 20_000;
/// How much one answer may evaluate outside the store, in nodes of some 25 ns: a tenth of a second of one thread.
const MAX_NODES: u64 = 4_000_000;
/// How many bytes one answer may hold for it.
const MAX_BYTES: u64 = 16 << 20;

/// Reading a document as JSON, and writing it again, costs so many nodes for each 32 bytes.
const NODES_PER_32_BYTES: u64 = 12;

/// What is left of the evaluation that one answer may take.
#[derive(Debug)]
pub struct EvaluationBudget {
    nodes: u64,
    bytes: u64,
}

impl Default for EvaluationBudget {
    fn default() -> EvaluationBudget {
        EvaluationBudget { nodes: MAX_NODES, bytes: MAX_BYTES }
    }
}

impl EvaluationBudget {
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
pub fn reading_cost(bytes: usize) -> u64 {
    bytes as u64 / 32 * NODES_PER_32_BYTES + 1
}

/// Says that its caller is gone, when it is.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// An evaluation that needs nothing of the task that asked for it.
pub type DetachedEvaluation<T, E> = Box<dyn FnOnce(&Work) -> Result<T, E> + Send>;

impl Exchange {
    /// Does a piece of evaluation that costs so many nodes `min_cost`: `inline` if it is short, else `detached`, from the
    /// beginning.
    ///
    /// # Errors
    /// What the evaluation meets; `TooCostly` where the budget does not last, `Unavailable` where too many evaluations of
    /// the same user wait.
    pub async fn evaluate<T, E>(
        &self,
        caller: &Caller,
        budget: &mut EvaluationBudget,
        min_cost: u64,
        inline: impl FnOnce(&Work) -> Result<T, E> + Send,
        detached: impl FnOnce() -> DetachedEvaluation<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if min_cost > budget.nodes {
            return Err(StoreError::from(EvalError::Exhausted).into());
        }
        if min_cost < INLINE_NODES {
            let nodes = INLINE_NODES.min(budget.nodes);
            let work = Work::new(nodes, budget.bytes);
            let outcome = inline(&work);
            budget.nodes -= nodes - work.left();
            if outcome.is_ok() || work.left() > 0 || budget.nodes == 0 {
                return outcome;
            }
        }
        let slot = self.evaluations.acquire(caller).await?;
        let job = detached();
        let gone = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&gone));
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

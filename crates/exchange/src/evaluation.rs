//! Evaluation of expressions outside the store. A short evaluation runs in the task of the request. A longer one runs on
//! a thread where it blocks no request, in a slot of its caller ([`crate::slots`]). If its caller is gone, it ends within
//! a millisecond.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use odata::{EvalError, Work};
use store::StoreError;

use crate::Exchange;
use crate::caller::Caller;

/// Limit of an evaluation in the caller's task, in nodes: half a millisecond.
const INLINE_NODES: u64 = 20_000;
/// Limit for one response outside the store, in nodes of about 25 ns: a tenth of a second of one thread.
const MAX_NODES: u64 = 4_000_000;
/// Limit of the memory that one response may use for it, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Cost of reading a document as JSON and writing it again, in nodes for each 32 bytes.
const NODES_PER_32_BYTES: u64 = 12;

/// The rest of the evaluation budget of one response.
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
    /// Charges memory that is held until the response is made.
    ///
    /// # Errors
    /// `TooCostly` if the budget is exceeded.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.bytes = self.bytes.checked_sub(bytes as u64).ok_or(EvalError::Exhausted)?;
        Ok(())
    }
}

/// Returns the cost of reading a document of this length, in nodes.
pub fn reading_cost(bytes: usize) -> u64 {
    bytes as u64 / 32 * NODES_PER_32_BYTES + 1
}

/// Sets a flag when it is dropped, to cancel an evaluation whose caller is gone.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// An evaluation that borrows nothing from the task that requested it.
pub type DetachedEvaluation<T, E> = Box<dyn FnOnce(&Work) -> Result<T, E> + Send>;

impl Exchange {
    /// Evaluates something that costs at least `min_cost` nodes: with `inline` if it is short, else from the beginning
    /// with `detached`.
    ///
    /// # Errors
    /// Errors of the evaluation; `TooCostly` if the budget is used up, `Unavailable` if too many evaluations of the same
    /// user wait.
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

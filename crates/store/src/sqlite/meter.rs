//! The steps of SQLite's virtual machine that a list takes, and what ends a list before its time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode};

use super::engine_error;
use super::readers::Caller;
use crate::StoreError;
use crate::list_work::{ListWork, QueryLimits, too_costly};

/// Steps of SQLite's virtual machine between two looks at the budget: some microseconds.
const LOOK_EVERY: i32 = 1000;
/// The most bytes of a text or row: a document is at most 1 MiB, and a row has little besides.
const LONGEST: i32 = 4 << 20;

/// Counts the steps of one connection's list.
#[derive(Debug, Default)]
pub(super) struct Meter {
    steps: AtomicU64,
    most_steps: AtomicU64,
    caller: Mutex<Caller>,
    rows: AtomicU64,
    stream_steps: AtomicU64,
}

impl Meter {
    /// Counts what streams have cost: rows they gave, and steps for them as SQLite counts them.
    pub(super) fn saw_streams(&self, rows: u64, steps: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.stream_steps.fetch_add(steps, Relaxed);
    }

    /// The same since the last call.
    #[cfg(test)]
    pub(super) fn take_streams(&self) -> (u64, u64) {
        (self.rows.swap(0, Relaxed), self.stream_steps.swap(0, Relaxed))
    }

    /// Puts a meter on a connection; until it is [`started`](Meter::start) nothing is within its budget.
    pub(super) fn attach(connection: &mut Connection) -> Result<Arc<Meter>, StoreError> {
        let meter = Arc::new(Meter::default());
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST).map_err(engine_error)?;
        let counting = Arc::clone(&meter);
        let handler = move || {
            let steps = counting.steps.fetch_add(LOOK_EVERY as u64, Relaxed);
            steps >= counting.most_steps.load(Relaxed) || counting.is_interrupted()
        };
        connection.progress_handler(LOOK_EVERY, Some(handler)).map_err(engine_error)?;
        Ok(meter)
    }

    /// Begins to count for a list within these limits.
    pub(super) fn start(self: &Arc<Meter>, limits: QueryLimits) -> ListWork {
        self.steps.store(0, Relaxed);
        self.most_steps.store(limits.steps, Relaxed);
        let meter = Arc::clone(self);
        ListWork::new(limits, Arc::new(move || meter.is_interrupted()))
    }

    /// Sets the caller of the next list: the list is broken off when its caller is gone.
    pub(super) fn works_for(&self, caller: &Caller) {
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = caller.clone();
    }

    fn is_interrupted(&self) -> bool {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).is_gone()
    }

    /// Runs a part of the list that may take only a small share of the steps; `None` where that is not enough.
    pub(super) fn cheaply<T>(
        &self,
        limits: QueryLimits,
        part: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let share = limits.steps / limits.cheap.max(1);
        self.most_steps.store(limits.steps.min(self.steps.load(Relaxed) + share), Relaxed);
        let outcome = part();
        self.most_steps.store(limits.steps, Relaxed);
        match outcome {
            Err(StoreError::TooCostly(_)) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// The error of a list whose statement failed: one that was broken off cost too much, or nobody waits for it.
    pub(super) fn map_error(&self, error: rusqlite::Error) -> StoreError {
        let too_long = error.sqlite_error_code() == Some(ErrorCode::TooBig);
        let broken_off = error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted);
        if self.steps.load(Relaxed) > self.most_steps.load(Relaxed) || too_long {
            too_costly()
        } else if broken_off {
            StoreError::Interrupted
        } else {
            engine_error(error)
        }
    }
}

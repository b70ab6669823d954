//! What queries may cost: work is counted, not time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use odata::EvalError;
use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, ffi};

use super::readers::Caller;
use super::{engine_error, functions, packing};
use crate::StoreError;

/// Steps of SQLite's machine between two looks at the budget: some microseconds.
const LOOK_EVERY: i32 = 1000;
/// What SQLite's machine has as one step and is more: so many steps are counted for it.
const CALL: u64 = 20;
/// So many bytes of a function's arguments cost it about a step.
const BYTES_OF_STEP: u64 = 16;
/// No text or row of a list is longer, in bytes: a document is at most 1 MiB, and a row has little besides.
const LONGEST: i32 = 4 << 20;

/// What one query may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Steps of SQLite's machine. Some 50 to 100 million of them take a second; a row of an index takes about ten.
    pub steps: u64,
    /// How often a document may be read as JSON: each takes some ten microseconds, and a filter reads it once for
    /// every member it names.
    pub documents: u64,
    /// Bytes of the texts that a query puts together, or carries from one step of `$apply` to the next.
    pub texts: u64,
    /// The share of all three that a count may take which is wanted only if it is cheap: one part in so many.
    pub cheap: u64,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits { steps: 100_000_000, documents: 200_000, texts: 64 << 20, cheap: 50 }
    }
}

/// Counts the work of one connection's query.
#[derive(Debug, Default)]
pub(super) struct Meter {
    steps: AtomicU64,
    most_steps: AtomicU64,
    documents: AtomicU64,
    most_documents: AtomicU64,
    texts: AtomicU64,
    most_texts: AtomicU64,
    caller: Mutex<Caller>,
    /// Why a function of the query gave no value.
    failure: Mutex<Option<EvalError>>,
    rows: AtomicU64,
    stream_steps: AtomicU64,
}

impl Meter {
    /// Counts what streams have cost: rows they gave, and steps for them as SQLite counts them.
    pub(super) fn saw_streams(&self, rows: u64, steps: u64) {
        self.rows.fetch_add(rows, Relaxed);
        self.stream_steps.fetch_add(steps, Relaxed);
    }

    /// The same, counted anew from now on.
    #[cfg(test)]
    pub(super) fn take_streams(&self) -> (u64, u64) {
        (self.rows.swap(0, Relaxed), self.stream_steps.swap(0, Relaxed))
    }
}

impl Meter {
    /// Puts a meter on a connection; until it is [`started`](Meter::start) nothing is within its budget.
    pub(super) fn attach(connection: &mut Connection) -> Result<Arc<Meter>, StoreError> {
        let meter = Arc::new(Meter::default());
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST).map_err(engine_error)?;
        functions::register_metered(connection, &meter)?;
        let counting = Arc::clone(&meter);
        let handler = move || {
            let steps = counting.steps.fetch_add(LOOK_EVERY as u64, Relaxed);
            steps >= counting.most_steps.load(Relaxed) || counting.caller_is_gone()
        };
        connection.progress_handler(LOOK_EVERY, Some(handler)).map_err(engine_error)?;
        let counting = Arc::clone(&meter);
        let flags = FunctionFlags::SQLITE_UTF8
            | FunctionFlags::SQLITE_DETERMINISTIC
            | FunctionFlags::SQLITE_INNOCUOUS;
        connection
            .create_scalar_function("document_text", 1, flags, move |context| {
                spend(&counting.documents, 1, &counting.most_documents)?;
                Ok(packing::text_of(context.get_raw(0)))
            })
            .map_err(engine_error)?;
        Ok(meter)
    }

    /// Begins to count anew, within these limits.
    pub(super) fn start(&self, limits: QueryLimits) {
        self.steps.store(0, Relaxed);
        self.most_steps.store(limits.steps, Relaxed);
        self.documents.store(0, Relaxed);
        self.most_documents.store(limits.documents, Relaxed);
        self.texts.store(0, Relaxed);
        self.most_texts.store(limits.texts, Relaxed);
        self.failure().take();
    }

    fn failure(&self) -> MutexGuard<'_, Option<EvalError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes why a function of the query has no value: the error that its statement ends with.
    pub(super) fn fails(&self, error: EvalError) -> rusqlite::Error {
        let told = rusqlite::Error::UserFunctionError(error.to_string().into());
        *self.failure() = Some(error);
        told
    }

    /// Whose query comes next: it is broken off when its caller has gone.
    pub(super) fn works_for(&self, caller: &Caller) {
        *self.caller.lock().unwrap_or_else(PoisonError::into_inner) = caller.clone();
    }

    fn caller_is_gone(&self) -> bool {
        self.caller.lock().unwrap_or_else(PoisonError::into_inner).is_gone()
    }

    /// Counts work that SQLite's machine does not: so many calls, or as much as a call each.
    pub(super) fn calls(&self, calls: u64) -> rusqlite::Result<()> {
        spend(&self.steps, calls.saturating_mul(CALL), &self.most_steps)
    }

    /// Counts the call of a function with so many bytes of arguments.
    pub(super) fn call(&self, bytes: usize) -> rusqlite::Result<()> {
        spend(&self.steps, CALL + bytes as u64 / BYTES_OF_STEP, &self.most_steps)
    }

    /// Counts a text that was put together, or carried on.
    pub(super) fn text(&self, bytes: usize) -> rusqlite::Result<()> {
        spend(&self.texts, bytes as u64, &self.most_texts)
    }

    /// Runs a part of the query that may take a small share alone; `None` where that is not enough.
    pub(super) fn cheaply<T>(
        &self,
        limits: QueryLimits,
        part: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let share = limits.cheap.max(1);
        let counted = [
            (&self.steps, &self.most_steps, limits.steps),
            (&self.documents, &self.most_documents, limits.documents),
            (&self.texts, &self.most_texts, limits.texts),
        ];
        for (spent, most, limit) in counted {
            most.store(limit.min(spent.load(Relaxed) + limit / share), Relaxed);
        }
        let outcome = part();
        for (_, most, limit) in counted {
            most.store(limit, Relaxed);
        }
        match outcome {
            Err(StoreError::TooCostly(_)) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Whether the budget is used up.
    fn is_exceeded(&self) -> bool {
        self.steps.load(Relaxed) > self.most_steps.load(Relaxed)
            || self.documents.load(Relaxed) > self.most_documents.load(Relaxed)
            || self.texts.load(Relaxed) > self.most_texts.load(Relaxed)
    }

    /// The error to tell: a statement that was broken off cost too much.
    pub(super) fn judge(&self, error: rusqlite::Error) -> StoreError {
        if let Some(failure) = self.failure().take() {
            return failure.into();
        }
        let too_long = error.sqlite_error_code() == Some(ErrorCode::TooBig);
        if self.is_exceeded() || too_long {
            StoreError::TooCostly(
                "ask for less at a time by createdDateTime or updatedDateTime, or filter by status, substatus, \
                 direction, qualification, type, country, a team member's email, engagementId or id, which \
                 indexes find"
                    .to_owned(),
            )
        } else {
            engine_error(error)
        }
    }
}

/// Counts, and breaks off what spends more than it may.
fn spend(spent: &AtomicU64, amount: u64, most: &AtomicU64) -> rusqlite::Result<()> {
    let before = spent.fetch_add(amount, Relaxed);
    if before.saturating_add(amount) > most.load(Relaxed) {
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None));
    }
    Ok(())
}

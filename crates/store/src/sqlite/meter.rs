//! What queries may cost: work is counted, not time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};

use super::engine_error;
use crate::StoreError;

/// Steps of SQLite's machine between two looks at the budget: some microseconds.
const LOOK_EVERY: i32 = 1000;

/// What one query may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Steps of SQLite's machine. Some 50 to 100 million of them take a second; a row of an index takes about ten.
    pub steps: u64,
    /// How often a document may be read as JSON: each takes some ten microseconds, and a filter reads it once for
    /// every member it names.
    pub documents: u64,
    /// The share of both that a count may take which is wanted only if it is cheap: one part in so many.
    pub cheap: u64,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits { steps: 100_000_000, documents: 200_000, cheap: 50 }
    }
}

/// Counts the work of one connection's query.
#[derive(Debug, Default)]
pub(super) struct Meter {
    steps: AtomicU64,
    most_steps: AtomicU64,
    documents: AtomicU64,
    most_documents: AtomicU64,
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
        let counting = Arc::clone(&meter);
        let handler = move || {
            let steps = counting.steps.fetch_add(LOOK_EVERY as u64, Relaxed);
            steps >= counting.most_steps.load(Relaxed)
        };
        connection.progress_handler(LOOK_EVERY, Some(handler)).map_err(engine_error)?;
        let counting = Arc::clone(&meter);
        let flags = FunctionFlags::SQLITE_UTF8
            | FunctionFlags::SQLITE_DETERMINISTIC
            | FunctionFlags::SQLITE_INNOCUOUS;
        connection
            .create_scalar_function("document_text", 1, flags, move |context| {
                if counting.documents.fetch_add(1, Relaxed) >= counting.most_documents.load(Relaxed) {
                    return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None));
                }
                Ok(match context.get_raw(0) {
                    ValueRef::Blob(bytes) => String::from_utf8(bytes.to_vec()).ok(),
                    _ => None,
                })
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
    }

    /// Runs a part of the query that may take a small share alone; `None` where that is not enough.
    pub(super) fn cheaply<T>(
        &self,
        limits: QueryLimits,
        part: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let share = limits.cheap.max(1);
        let (steps, documents) = (self.steps.load(Relaxed), self.documents.load(Relaxed));
        self.most_steps.store(limits.steps.min(steps + limits.steps / share), Relaxed);
        self.most_documents.store(limits.documents.min(documents + limits.documents / share), Relaxed);
        let outcome = part();
        self.most_steps.store(limits.steps, Relaxed);
        self.most_documents.store(limits.documents, Relaxed);
        match outcome {
            Err(StoreError::TooCostly(_)) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Whether the budget is used up.
    fn is_exceeded(&self) -> bool {
        self.steps.load(Relaxed) > self.most_steps.load(Relaxed)
            || self.documents.load(Relaxed) > self.most_documents.load(Relaxed)
    }

    /// The error to tell: a statement that was broken off cost too much.
    pub(super) fn judge(&self, error: rusqlite::Error) -> StoreError {
        if self.is_exceeded() {
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

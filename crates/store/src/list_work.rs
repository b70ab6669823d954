//! The budget of lists and aggregations, counted while they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use odata::{DateTimeOffset, EvalError, Evaluator, Work};
use referral::Timestamp;

use crate::StoreError;

/// Limits of one list or aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Steps of SQLite's virtual machine. Some 50 to 100 million of them take a second; an entry of an index takes about
    /// ten. PostgreSQL has a statement time-out instead.
    pub steps: u64,
    /// Maximum number of documents that are parsed.
    pub documents: u64,
    /// Time of evaluation and of reading documents, in nodes of some 25 ns (see [`odata::Work`]).
    pub nodes: u64,
    /// Bytes that may be held at once: values to sort by, groups, items of `$apply`.
    pub bytes: u64,
    /// The share of all these that a count may take that is wanted only if it is cheap: one part in this many.
    pub cheap: u64,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits { steps: 100_000_000, documents: 200_000, nodes: 250_000_000, bytes: 64 << 20, cheap: 50 }
    }
}

/// Bytes of documents on one page: beyond these a page ends early, and the next page begins there.
pub(crate) const PAGE_BYTES: usize = 8 << 20;

/// Maximum number of lists of one organization that wait for a thread.
pub(crate) const LISTS_WAITING: usize = 256;

/// Cost of visiting a row, in nodes.
const ROW: u64 = 8;
/// Cost of reading 32 bytes of a document, in nodes: it is decompressed and parsed.
const READING: u64 = 6;

/// Tells whether a list should stop: its caller is gone, or the server ends.
pub(crate) type Interrupt = Arc<dyn Fn() -> bool + Send + Sync>;

/// The remaining budget of one list or aggregation.
pub(crate) struct ListWork {
    work: Work,
    documents: AtomicU64,
    limits: QueryLimits,
    interrupt: Interrupt,
}

impl ListWork {
    /// Everything that the limits allow.
    pub(crate) fn new(limits: QueryLimits, interrupt: Interrupt) -> ListWork {
        ListWork::with(limits, limits.nodes, limits.documents, interrupt)
    }

    /// A budget for planning: some constants are evaluated.
    pub(crate) fn for_planning() -> ListWork {
        let limits = QueryLimits { nodes: 2_000_000, bytes: 4 << 20, ..QueryLimits::default() };
        ListWork::new(limits, Arc::new(|| false))
    }

    /// A budget for inspecting a query on a thread of the runtime: at most 2 ms.
    pub(crate) fn for_a_look() -> ListWork {
        let limits = QueryLimits { nodes: 50_000, bytes: 1 << 20, ..QueryLimits::default() };
        ListWork::new(limits, Arc::new(|| false))
    }

    fn with(limits: QueryLimits, nodes: u64, documents: u64, interrupt: Interrupt) -> ListWork {
        let asked = Arc::clone(&interrupt);
        let work = Work::new(nodes, limits.bytes).interrupted_by(move || asked());
        ListWork { work, documents: AtomicU64::new(documents), limits, interrupt }
    }

    /// The small share for a count that is wanted only if it is cheap.
    pub(crate) fn cheap_share(&self) -> ListWork {
        let share = self.limits.cheap.max(1);
        let nodes = self.work.left().min(self.limits.nodes / share);
        let documents = self.documents.load(Relaxed).min(self.limits.documents / share);
        ListWork::with(self.limits, nodes, documents, Arc::clone(&self.interrupt))
    }

    pub(crate) fn limits(&self) -> QueryLimits {
        self.limits
    }

    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// An evaluator for the schema of referrals whose work is counted here.
    pub(crate) fn evaluator(&self, now: Timestamp) -> Evaluator<'_> {
        let now = DateTimeOffset { ticks: now.ticks(), offset: 0 };
        Evaluator { schema: crate::schema(), now, work: Some(&self.work) }
    }

    /// Charges a visited row to the budget.
    ///
    /// # Errors
    /// `TooCostly`, `Interrupted`.
    pub(crate) fn take_row(&self) -> Result<(), StoreError> {
        self.work.take(ROW).map_err(of_rows)
    }

    /// Charges a document of this many bytes to the budget.
    ///
    /// # Errors
    /// `TooCostly`, `Interrupted`.
    pub(crate) fn take_document(&self, bytes: usize) -> Result<(), StoreError> {
        let left = self.documents.load(Relaxed).checked_sub(1).ok_or_else(too_costly)?;
        self.documents.store(left, Relaxed);
        self.work.take(bytes as u64 / 32 * READING + 1).map_err(of_rows)
    }

    /// Notes that this many bytes are held until the list is made.
    ///
    /// # Errors
    /// `TooCostly`.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), StoreError> {
        self.work.hold(bytes).map_err(of_rows)
    }
}

/// The error of a list that visits too many rows, which asking for less would help.
fn of_rows(error: EvalError) -> StoreError {
    match error {
        EvalError::Exhausted => too_costly(),
        error => error.into(),
    }
}

/// Returns the error of a list that reads too much, with what would help.
pub(crate) fn too_costly() -> StoreError {
    StoreError::TooCostly(
        "ask for less at a time by createdDateTime or updatedDateTime, or filter by status, substatus, direction, \
         qualification, type, country, a team member's email, engagementId or id, which indexes find"
            .to_owned(),
    )
}

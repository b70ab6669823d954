//! The budget of an evaluation: time in nodes, memory in bytes, and a check for interruption.
//!
//! A node is a small piece of work of roughly constant time (20 to 40 ns): one visited expression, one member of a
//! list, [`BYTES`] bytes of text. Longer work is charged in nodes before it is done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::{EvalError, Pattern, PatternError};

/// Bytes of text that cost one node.
const BYTES: u64 = 32;

/// Nodes after which the interrupt is checked: about 0.2 ms.
const POLL: u64 = 8192;

/// The remaining budget of one request, and its interrupt. It may be shared by the parts of a request that run one
/// after the other, on any thread. Parts that run in parallel need one each.
pub struct Work {
    nodes: AtomicU64,
    most_bytes: u64,
    bytes: AtomicU64,
    /// Nodes until the interrupt is checked again.
    until_poll: AtomicU64,
    interrupt: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    patterns: Mutex<Patterns>,
}

/// The compiled patterns of a request.
#[derive(Default)]
struct Patterns {
    by_text: BTreeMap<Arc<str>, Pattern>,
    bytes: usize,
}

/// Maximum size of the cached patterns, in bytes.
const PATTERNS: usize = 1 << 20;

impl Work {
    /// Creates a budget of nodes, and of bytes in use at once.
    pub const fn new(nodes: u64, bytes: u64) -> Work {
        Work {
            nodes: AtomicU64::new(nodes),
            most_bytes: bytes,
            bytes: AtomicU64::new(0),
            until_poll: AtomicU64::new(POLL),
            interrupt: None,
            patterns: Mutex::new(Patterns { by_text: BTreeMap::new(), bytes: 0 }),
        }
    }

    /// Adds an interrupt, which returns whether to stop. It is called at least once per millisecond of evaluation, and
    /// should take less than a microsecond.
    pub fn interrupted_by(self, interrupt: impl Fn() -> bool + Send + Sync + 'static) -> Work {
        Work { interrupt: Some(Box::new(interrupt)), ..self }
    }

    /// Charges nodes.
    ///
    /// # Errors
    /// [`EvalError::Exhausted`] if too few are left, and for all later calls; [`EvalError::Interrupted`].
    pub fn take(&self, nodes: u64) -> Result<(), EvalError> {
        // Only one thread evaluates at a time, so no update between load and store is lost.
        let left = self.nodes.load(Relaxed);
        if left < nodes {
            self.nodes.store(0, Relaxed);
            return Err(EvalError::Exhausted);
        }
        self.nodes.store(left - nodes, Relaxed);
        let until_poll = self.until_poll.load(Relaxed);
        if until_poll > nodes {
            self.until_poll.store(until_poll - nodes, Relaxed);
            return Ok(());
        }
        self.until_poll.store(POLL, Relaxed);
        self.poll()
    }

    /// Returns the compiled pattern of a text. It is compiled once, unless the cache is full.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn pattern(&self, text: &str) -> Result<Pattern, EvalError> {
        self.prepare_pattern(text)?.map_err(EvalError::from)
    }

    /// As `pattern`, but returns the error in the text separately.
    pub(crate) fn prepare_pattern(&self, text: &str) -> Result<Result<Pattern, PatternError>, EvalError> {
        self.take_text(text.len())?;
        let mut patterns = self.patterns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = patterns.by_text.get(text) {
            return Ok(Ok(known.clone()));
        }
        self.take(Pattern::min_cost(text))?;
        let pattern = match Pattern::parse(text) {
            Ok(pattern) => pattern,
            Err(error) => return Ok(Err(error)),
        };
        self.take(pattern.cost())?;
        if patterns.bytes + pattern.bytes() <= PATTERNS {
            patterns.bytes += pattern.bytes();
            patterns.by_text.insert(Arc::clone(pattern.text()), pattern.clone());
        }
        Ok(Ok(pattern))
    }

    /// Charges the nodes for reading or writing text of this length.
    ///
    /// # Errors
    /// As for [`Work::take`].
    pub fn take_text(&self, bytes: usize) -> Result<(), EvalError> {
        self.take(bytes as u64 / BYTES + 1)
    }

    /// Checks the interrupt now.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`]
    pub fn poll(&self) -> Result<(), EvalError> {
        match &self.interrupt {
            Some(interrupt) if interrupt() => Err(EvalError::Interrupted),
            _ => Ok(()),
        }
    }

    /// Reserves bytes before they are used.
    ///
    /// # Errors
    /// [`EvalError::Exhausted`] if the limit would be exceeded. Then nothing is reserved.
    pub fn hold(&self, bytes: usize) -> Result<(), EvalError> {
        let held = self.bytes.load(Relaxed).saturating_add(bytes as u64);
        if held > self.most_bytes {
            return Err(EvalError::Exhausted);
        }
        self.bytes.store(held, Relaxed);
        Ok(())
    }

    /// Releases bytes.
    pub fn release(&self, bytes: usize) {
        self.bytes.store(self.held().saturating_sub(bytes as u64), Relaxed);
    }

    /// Returns the bytes in use.
    pub fn held(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Resets the bytes in use to an earlier value, because intermediate values are gone.
    pub(super) fn release_to(&self, held: u64) {
        self.bytes.store(held, Relaxed);
    }

    /// Returns the remaining nodes.
    pub fn left(&self) -> u64 {
        self.nodes.load(Relaxed)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("nodes", &self.nodes).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

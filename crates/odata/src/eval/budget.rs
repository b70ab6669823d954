//! What an evaluation may cost: time as nodes, memory as bytes, and a question whether anybody still waits for it.
//!
//! A node is a small piece of work of roughly constant time (some 20 to 40 ns): one expression looked at once, one
//! member of a list, [`BYTES`] bytes of text. Work that takes longer is priced in nodes before it is done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::{EvalError, Pattern, PatternError};

/// So many bytes of text cost as much as one node.
const BYTES: u64 = 32;

/// The interrupt is asked after so many nodes: some 0.2 ms.
const POLL: u64 = 8192;

/// What one request may still spend on evaluation, and what stops it. It may be shared by the parts of a request that
/// run one after the other, on whatever thread; parts that run at the same time need one each.
pub struct Work {
    nodes: AtomicU64,
    most_bytes: u64,
    bytes: AtomicU64,
    /// Nodes until the interrupt is asked again.
    until_poll: AtomicU64,
    interrupt: Option<Box<dyn Fn() -> bool + Send + Sync>>,
    patterns: Mutex<Patterns>,
}

/// The patterns of a request that are ready.
#[derive(Default)]
struct Patterns {
    by_text: BTreeMap<Arc<str>, Pattern>,
    bytes: usize,
}

/// So many bytes of them are kept at most.
const PATTERNS: usize = 1 << 20;

impl Work {
    /// So many nodes of time, and at most so many bytes held at once.
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

    /// With a question whether to stop: the caller is gone, or the time is over. It is asked at least once in a
    /// millisecond of evaluation, and should take less than a microsecond.
    pub fn interrupted_by(self, interrupt: impl Fn() -> bool + Send + Sync + 'static) -> Work {
        Work { interrupt: Some(Box::new(interrupt)), ..self }
    }

    /// Takes so many nodes.
    ///
    /// # Errors
    /// [`EvalError::Exhausted`] where there are no more, and from then on always; [`EvalError::Interrupted`].
    pub fn take(&self, nodes: u64) -> Result<(), EvalError> {
        // One thread evaluates at a time: what is lost between load and store is lost to nobody else.
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

    /// The pattern of a text: made ready once, as long as there are not too many.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn pattern(&self, text: &str) -> Result<Pattern, EvalError> {
        self.prepare_pattern(text)?.map_err(EvalError::from)
    }

    /// The same, where what is wrong with the text is of interest.
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

    /// Takes the nodes that reading or writing so many bytes of text costs.
    ///
    /// # Errors
    /// As [`Work::take`].
    pub fn take_text(&self, bytes: usize) -> Result<(), EvalError> {
        self.take(bytes as u64 / BYTES + 1)
    }

    /// Asks the interrupt now.
    ///
    /// # Errors
    /// [`EvalError::Interrupted`]
    pub fn poll(&self) -> Result<(), EvalError> {
        match &self.interrupt {
            Some(interrupt) if interrupt() => Err(EvalError::Interrupted),
            _ => Ok(()),
        }
    }

    /// Notes that so many bytes are about to be held.
    ///
    /// # Errors
    /// [`EvalError::Exhausted`] where that is more than may be; nothing is noted then.
    pub fn hold(&self, bytes: usize) -> Result<(), EvalError> {
        let held = self.bytes.load(Relaxed).saturating_add(bytes as u64);
        if held > self.most_bytes {
            return Err(EvalError::Exhausted);
        }
        self.bytes.store(held, Relaxed);
        Ok(())
    }

    /// Notes that so many bytes are held no more.
    pub fn release(&self, bytes: usize) {
        self.bytes.store(self.held().saturating_sub(bytes as u64), Relaxed);
    }

    /// How many bytes are held.
    pub fn held(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Notes that no more is held than was once: what an expression made on its way is gone.
    pub(super) fn release_to(&self, held: u64) {
        self.bytes.store(held, Relaxed);
    }

    /// How many nodes are left.
    pub fn left(&self) -> u64 {
        self.nodes.load(Relaxed)
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("nodes", &self.nodes).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

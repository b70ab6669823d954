//! How much an evaluation may do: lambdas within lambdas over a long list are otherwise a loop without an end.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::value::Value;

/// Every so many bytes of text cost as much as one node.
const BYTES: usize = 32;

/// A budget of evaluation, in nodes: one expression looked at once, one member of a list, or 32 bytes of text. When it
/// is used up, whatever is evaluated is null, so that the evaluation ends soon; its result means nothing then.
#[derive(Debug)]
pub struct Work(AtomicU64);

impl Work {
    /// So many nodes.
    pub const fn of(nodes: u64) -> Work {
        Work(AtomicU64::new(nodes))
    }

    /// Whether more was asked for than there was.
    pub fn is_exhausted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Takes the work that so many bytes of text make.
    pub fn take_bytes(&self, bytes: usize) -> bool {
        self.take(bytes / BYTES + 1)
    }

    /// Takes so many nodes; `false` when there are no more. The last node is never given away: none left means
    /// exhausted.
    pub(super) fn take(&self, nodes: usize) -> bool {
        let nodes = u64::try_from(nodes).unwrap_or(u64::MAX);
        // One task evaluates at a time: what is lost between load and store is lost to nobody else.
        let left = self.0.load(Ordering::Relaxed).saturating_sub(nodes);
        self.0.store(left, Ordering::Relaxed);
        left > 0
    }
}

/// How many bytes a value takes beyond its own place.
pub(super) fn bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}

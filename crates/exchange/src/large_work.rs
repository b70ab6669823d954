//! Work on large documents, bodies and queries: not on the runtime's threads, few at a time ([`crate::slots`]), and within
//! the caller's memory.

use store::StoreError;
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::Exchange;
use crate::caller::Caller;

/// Documents and bodies up to this size, in bytes, are worked on where they are: reading one and writing it takes a
/// millisecond.
const MAX_INLINE_BYTES: usize = 64 * 1024;
/// Smaller documents are not counted: so many as there are requests take little together.
const MAX_UNCOUNTED_BYTES: usize = 16 * 1024;
/// What a change of a referral holds until it is answered, by the length of its document: the document as it was, as it
/// becomes, and as it is shown, its members, and what goes to the store.
const COPIES_PER_CHANGE: usize = 6;

/// The memory of one request: asked before it is taken.
pub trait MemoryAccount: Send + Sync {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When there are none for this caller, or for anybody.
    fn take(&self, bytes: u64) -> Result<(), MemoryLimitError>;
}

/// What a write costs before it is looked at.
#[derive(Clone, Copy)]
pub struct RequestCost<'a> {
    /// Where its memory is taken.
    pub memory: &'a dyn MemoryAccount,
    /// The length of its body, in bytes.
    pub body_bytes: usize,
}

/// Why a request gets no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryLimitError {
    /// The caller or its organization has its share.
    #[error("the requests of this caller or its organization take too much memory at once")]
    Share,
    /// All of it is taken.
    #[error("the requests of all callers take too much memory at once")]
    Full,
}

/// What one request has taken for documents.
#[derive(Default)]
pub(crate) struct DocumentMemory(u64);

impl DocumentMemory {
    /// Takes what a change of a document of this length needs, unless it was taken before.
    pub(crate) fn for_document(
        &mut self,
        memory: &dyn MemoryAccount,
        length: usize,
    ) -> Result<(), MemoryLimitError> {
        let needed = if length <= MAX_UNCOUNTED_BYTES { 0 } else { (length * COPIES_PER_CHANGE) as u64 };
        if needed > self.0 {
            memory.take(needed - self.0)?;
            self.0 = needed;
        }
        Ok(())
    }
}

impl Exchange {
    /// Does work on so many bytes for a caller: small work at once, large work in a slot of the caller's, on a thread
    /// that the runtime does without.
    ///
    /// # Errors
    /// `Unavailable` where too much work of the same user waits.
    pub async fn run_large<T>(
        &self,
        caller: &Caller,
        bytes: usize,
        work: impl FnOnce() -> T,
    ) -> Result<T, StoreError> {
        if bytes <= MAX_INLINE_BYTES {
            return Ok(work());
        }
        let slot = self.large_work.acquire(caller).await?;
        let made = block_in_place_if_large(bytes, work);
        drop(slot);
        // A caller that is gone meanwhile is noticed before the next piece of work.
        tokio::task::yield_now().await;
        Ok(made)
    }
}

/// Does work on so many bytes without keeping the runtime's other tasks from this thread, where it would for long. For
/// what no caller waits for in line: work that follows another in a slot, or that is nobody's own.
pub fn block_in_place_if_large<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let several =
        || Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > MAX_INLINE_BYTES && several() { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A runtime with one thread answers others while work on many bytes goes on.
    #[test]
    fn large_work_leaves_the_runtime_to_others() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let other_ran = runtime.block_on(async {
            let task = tokio::spawn(async {
                let (sender, receiver) = mpsc::channel();
                // It runs only when this thread, the only one, is free for it.
                tokio::spawn(async move { sender.send(()) });
                block_in_place_if_large(MAX_INLINE_BYTES + 1, || {
                    receiver.recv_timeout(Duration::from_secs(20)).is_ok()
                })
            });
            task.await.expect("no panic")
        });
        assert!(other_ran);
    }
}

//! Work on large documents, bodies and queries: outside the runtime's threads, limited by slots ([`crate::slots`]) and by
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

/// The memory account of one request.
pub trait MemoryAccount: Send + Sync {
    /// Takes more bytes.
    ///
    /// # Errors
    /// If the caller's share, or all memory, is used up.
    fn take(&self, bytes: u64) -> Result<(), MemoryLimitError>;
}

/// The cost of a write before its body is parsed.
#[derive(Clone, Copy)]
pub struct RequestCost<'a> {
    /// The account that its memory is taken from.
    pub memory: &'a dyn MemoryAccount,
    /// The length of its body, in bytes.
    pub body_bytes: usize,
}

/// The reason why a request gets no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MemoryLimitError {
    /// The share of the caller or of its organization is used up.
    #[error("the requests of this caller or its organization take too much memory at once")]
    Share,
    /// All memory is used up.
    #[error("the requests of all callers take too much memory at once")]
    Full,
}

/// Memory that one request has taken for documents.
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
    /// Does work on `bytes` bytes for a caller: small work directly, large work in a slot of the caller and on a thread
    /// that the runtime does not need.
    ///
    /// # Errors
    /// `Unavailable` if too much work of the same user waits.
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

/// Does work on `bytes` bytes. If it takes long, the other tasks of this thread move to another one. For work that needs
/// no slot: it follows other work in a slot, or belongs to no caller.
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

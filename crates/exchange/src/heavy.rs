//! Work on large documents: not on the runtime's threads, few at a time, and within the caller's memory.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// Documents and bodies up to this size, in bytes, are worked on where they are: reading one and writing it takes a
/// millisecond.
const LIGHT: usize = 64 * 1024;
/// So many large documents are worked on at once.
const AT_ONCE: usize = 2;
/// Smaller documents are not counted: so many as there are requests take little together.
const SMALL: usize = 16 * 1024;
/// What a change of a referral holds until it is answered, by the length of its document: the document as it was, as it
/// becomes, and as it is shown, its members, and what goes to the store.
const DOCUMENTS: usize = 6;

/// The memory of one request: asked before it is taken.
pub trait Memory: Send + Sync {
    /// Takes so many bytes more.
    ///
    /// # Errors
    /// When there are none for this caller, or for anybody.
    fn take(&self, bytes: u64) -> Result<(), NoMemory>;
}

/// What a write costs before it is looked at.
#[derive(Clone, Copy)]
pub struct RequestCost<'a> {
    /// Where its memory is taken.
    pub memory: &'a dyn Memory,
    /// The length of its body, in bytes.
    pub body_bytes: usize,
}

/// Why a request gets no more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMemory {
    /// The caller or its organization has its share.
    #[error("the requests of this caller or its organization take too much memory at once")]
    Share,
    /// All of it is taken.
    #[error("the requests of all callers take too much memory at once")]
    Full,
}

/// What one request has taken for documents.
#[derive(Default)]
pub(crate) struct Taken(u64);

impl Taken {
    /// Takes what a change of a document of this length needs, unless it was taken before.
    pub(crate) fn for_document(&mut self, memory: &dyn Memory, length: usize) -> Result<(), NoMemory> {
        let needed = if length <= SMALL { 0 } else { (length * DOCUMENTS) as u64 };
        if needed > self.0 {
            memory.take(needed - self.0)?;
            self.0 = needed;
        }
        Ok(())
    }
}

/// The places for work on large documents.
pub(crate) struct Heavy(Semaphore);

impl Default for Heavy {
    fn default() -> Heavy {
        Heavy(Semaphore::new(AT_ONCE))
    }
}

impl Heavy {
    /// Does work on so many bytes: large ones in their turn.
    pub(crate) async fn run<T>(&self, bytes: usize, work: impl FnOnce() -> T) -> T {
        if bytes <= LIGHT {
            return work();
        }
        // It is never closed.
        let _turn = self.0.acquire().await.ok();
        off_the_runtime(bytes, work)
    }
}

/// Does work on so many bytes without keeping the runtime's other tasks from this thread, where it would for long.
pub fn off_the_runtime<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let several =
        || Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > LIGHT && several() { tokio::task::block_in_place(work) } else { work() }
}

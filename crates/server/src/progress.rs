//! Whether lists come through: what `/readyz` says when the threads that read them are stuck.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};

use referral::Timestamp;

/// When some lists wait and none has come through for so long, the server is not ready. In ticks of a timestamp.
const STALLED_AFTER_TICKS: i64 = 10 * 10_000_000;

/// The lists that are being read, and when one last came through.
#[derive(Debug, Default)]
pub(crate) struct ListProgress {
    waiting: AtomicUsize,
    /// When a list last came through, or when the first of those that wait began to.
    last: AtomicI64,
}

/// A list that is being read, until it is dropped.
pub(crate) struct ListInProgress<'a>(&'a ListProgress);

impl ListProgress {
    /// A list begins to be read.
    pub(crate) fn begin(&self, now: Timestamp) -> ListInProgress<'_> {
        if self.waiting.fetch_add(1, SeqCst) == 0 {
            self.last.store(now.ticks(), SeqCst);
        }
        ListInProgress(self)
    }

    /// Whether lists wait, of whatever organization, and none has come through for ten seconds.
    pub(crate) fn is_stalled(&self, now: Timestamp) -> bool {
        self.waiting.load(SeqCst) > 0
            && now.ticks().saturating_sub(self.last.load(SeqCst)) >= STALLED_AFTER_TICKS
    }
}

impl ListInProgress<'_> {
    /// It was read, or refused for a reason of its own.
    pub(crate) fn finish(self, now: Timestamp) {
        self.0.last.store(now.ticks(), SeqCst);
    }
}

impl Drop for ListInProgress<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_stalled_while_some_wait_and_none_comes_through_for_ten_seconds() {
        let lists = ListProgress::default();
        let at = |seconds: i64| Timestamp::from_ticks(1_000_000_000_000 + seconds * 10_000_000);
        assert!(!lists.is_stalled(at(0)), "nobody waits");
        let stuck = lists.begin(at(100));
        assert!(!lists.is_stalled(at(109)));
        assert!(lists.is_stalled(at(110)));
        // Another one comes through: somebody's lists do.
        let other = lists.begin(at(111));
        assert!(lists.is_stalled(at(112)), "one that begins changes nothing");
        other.finish(at(113));
        assert!(!lists.is_stalled(at(122)));
        assert!(lists.is_stalled(at(123)));
        // One that is given up is none that came through, and when nobody waits any more all is well.
        drop(lists.begin(at(124)));
        assert!(lists.is_stalled(at(125)));
        drop(stuck);
        assert!(!lists.is_stalled(at(1000)));
        let _later = lists.begin(at(2000));
        assert!(!lists.is_stalled(at(2005)));
    }
}

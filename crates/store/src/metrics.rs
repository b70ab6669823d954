//! Metrics that an engine counts. Counting is an addition without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of group sizes, in changes. 256 is the default of the largest.
const GROUP_SIZES: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];
/// Upper bounds of commits, in microseconds: from 100 µs to 10 s, three steps a decade.
const COMMIT_MICROSECONDS: [u64; 16] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000,
];

/// The metrics of an engine. Counters count since the engine was opened; a part is `None` if the engine has
/// no such thing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StoreMetrics {
    /// How many changes each group held that was committed.
    pub group_sizes: Distribution,
    /// What each commit took, in microseconds: on SQLite COMMIT with its fsync, on PostgreSQL the round trip of the
    /// writes and COMMIT.
    pub commit_microseconds: Distribution,
    /// The cache of recently used referrals.
    pub cache: Option<CacheMetrics>,
    /// Lists that wait for a thread, now.
    pub lists_waiting: Option<u64>,
    /// The length of the write-ahead log's file in bytes, now.
    pub log_bytes: Option<u64>,
    /// Connections to a database.
    pub pool: Option<PoolMetrics>,
}

/// How often values fell between bounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    /// The upper bounds, each in its range, ascending.
    pub bounds: &'static [u64],
    /// How many values were in each range: one more than there are bounds, for those above the last.
    pub counts: Vec<u64>,
    /// All values together.
    pub sum: u64,
}

/// The cache of hot referrals, as reads of single ones and lists ask it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CacheMetrics {
    /// Referrals that it had.
    pub hits: u64,
    /// Referrals that were read from the database.
    pub misses: u64,
    /// Bytes in it, now.
    pub bytes: u64,
    /// Bytes that it may hold.
    pub limit_bytes: u64,
}

/// The connections of this process to its database.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PoolMetrics {
    /// How many there may be.
    pub limit: u64,
    /// In use, now.
    pub in_use: u64,
    /// Calls that wait for one, now.
    pub waiting: u64,
    /// Statements and transactions that were retried after a conflict or a broken connection.
    pub retries: u64,
    /// Calls that got no connection: none became free in time, or the database could not be reached.
    pub unavailable: u64,
}

/// Counts values by range.
#[derive(Debug)]
pub(crate) struct Histogram {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0) }
    }

    fn add(&self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(value, Relaxed);
    }

    fn distribution(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        Distribution { bounds: self.bounds, counts, sum: self.sum.load(Relaxed) }
    }
}

/// Counts committed groups.
#[derive(Debug)]
pub(crate) struct CommitCounter {
    sizes: Histogram,
    microseconds: Histogram,
}

impl Default for CommitCounter {
    fn default() -> CommitCounter {
        CommitCounter {
            sizes: Histogram::new(&GROUP_SIZES),
            microseconds: Histogram::new(&COMMIT_MICROSECONDS),
        }
    }
}

impl CommitCounter {
    /// Counts a committed group with its size and duration.
    pub(crate) fn add(&self, changes: usize, took: Duration) {
        self.sizes.add(changes as u64);
        self.microseconds.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Returns the metrics that it fills.
    pub(crate) fn metrics(&self) -> StoreMetrics {
        StoreMetrics {
            group_sizes: self.sizes.distribution(),
            commit_microseconds: self.microseconds.distribution(),
            ..StoreMetrics::default()
        }
    }
}

/// Counts hits and misses, on a line of memory of their own: every reader writes here.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct LookupCounter {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl LookupCounter {
    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Relaxed);
    }

    pub(crate) fn missed(&self) {
        self.misses.fetch_add(1, Relaxed);
    }

    pub(crate) fn metrics(&self, bytes: u64, limit_bytes: u64) -> CacheMetrics {
        let (hits, misses) = (self.hits.load(Relaxed), self.misses.load(Relaxed));
        CacheMetrics { hits, misses, bytes, limit_bytes }
    }
}

/// Counts an operation that is running while the guard exists.
#[derive(Debug)]
pub(crate) struct InFlightGuard<'a>(&'a AtomicU64);

impl<'a> InFlightGuard<'a> {
    pub(crate) fn begin(count: &'a AtomicU64) -> InFlightGuard<'a> {
        count.fetch_add(1, Relaxed);
        InFlightGuard(count)
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_range_whose_bound_it_does_not_exceed() {
        let commits = CommitCounter::default();
        for (changes, microseconds) in [(1, 100), (2, 101), (3, 99), (257, 20_000_000)] {
            commits.add(changes, Duration::from_micros(microseconds));
        }
        let StoreMetrics { group_sizes, commit_microseconds, .. } = commits.metrics();
        assert_eq!((group_sizes.counts, group_sizes.sum), (vec![1, 1, 1, 0, 0, 0, 0, 0, 0, 1], 263));
        assert_eq!(commit_microseconds.counts[..2], [2, 1]);
        assert_eq!(commit_microseconds.counts.last(), Some(&1));
        assert_eq!(commit_microseconds.counts.len(), commit_microseconds.bounds.len() + 1);
        assert_eq!(commit_microseconds.sum, 20_000_300);
    }

    #[test]
    fn what_goes_on_counts_while_it_does() {
        let count = AtomicU64::new(0);
        let (one, other) = (InFlightGuard::begin(&count), InFlightGuard::begin(&count));
        assert_eq!(count.load(Relaxed), 2);
        drop((one, other));
        assert_eq!(count.load(Relaxed), 0);
    }
}

//! Reads of single referrals where they are asked for, without a thread between: while the disk answers from memory, going
//! to another thread and back costs as much as the read.
//!
//! The asker lends itself to one of a few connections, if one is free. Reads that took long had to wait for the disk:
//! the next ones go to the readers' threads, so that what runs beside the asker waits for few of them.
//!
//! While nothing is written, a connection keeps its snapshot from one read to the next: beginning one takes the locks that
//! all processes share, a third of such a read. The cache's generation tells that none was written since; and the writer
//! asks for the snapshots before it moves the log, which they hold in its place.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::cache::Cache;
use super::files::Files;
use crate::StoreError;

/// A read that takes longer waited for a slow disk, or for a processor.
const LONG: Duration = Duration::from_millis(2);
/// Number of slow reads in a row that must have waited for the disk.
const IN_A_ROW: u32 = 2;
/// Number of reads after them that go to the threads.
const HELD_BACK: u32 = 16;

/// The connections; one that is `None` is opened when it is needed.
pub(super) struct InlineReads {
    files: Files,
    cache: Arc<Cache>,
    connections: Box<[Mutex<Option<InlineConnection>>]>,
    /// A read that takes longer is slow.
    long: Duration,
    /// Number of slow reads in a row.
    slow: AtomicU32,
    held_back: AtomicU32,
    shut: AtomicBool,
}

/// A connection, and what it has seen.
struct InlineConnection {
    connection: Connection,
    /// The cache's generation at the last read.
    generation: Option<u64>,
    /// True if a snapshot of that generation is open.
    keeps: bool,
}

/// Keeps the connections closed until it is dropped.
pub(super) struct ClosedGuard<'a> {
    _all: Vec<MutexGuard<'a, Option<InlineConnection>>>,
}

impl InlineConnection {
    /// Makes the next read current. The second read in a row between two commits begins a snapshot.
    fn renew(&mut self, generation: Option<u64>) -> rusqlite::Result<()> {
        if generation.is_none() || generation != self.generation {
            self.release_snapshots()?;
            self.generation = generation;
        } else if !self.keeps {
            self.connection.execute_batch("BEGIN")?;
            self.keeps = true;
        }
        Ok(())
    }

    /// Ends the snapshot, if one is kept.
    fn release_snapshots(&mut self) -> rusqlite::Result<()> {
        if std::mem::take(&mut self.keeps) { self.connection.execute_batch("COMMIT") } else { Ok(()) }
    }
}

impl InlineReads {
    /// Creates a set of connections, none of them open yet.
    pub(super) fn new(files: &Files, cache: &Arc<Cache>, connections: usize) -> Arc<InlineReads> {
        InlineReads::with_patience(files, cache, connections, LONG)
    }

    fn with_patience(
        files: &Files,
        cache: &Arc<Cache>,
        connections: usize,
        long: Duration,
    ) -> Arc<InlineReads> {
        Arc::new(InlineReads {
            files: files.clone(),
            cache: Arc::clone(cache),
            connections: (0..connections.max(1)).map(|_| Mutex::default()).collect(),
            long,
            slow: AtomicU32::new(0),
            held_back: AtomicU32::new(0),
            shut: AtomicBool::new(false),
        })
    }

    /// What a read finds; `None` where it should rather be asked of a thread. Blocks as long as the disk does. A ticket
    /// of the cache is to be had before: the generation is looked at after it.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Option<rusqlite::Result<T>> {
        if self.is_held_back() {
            return None;
        }
        let mut lock_if_free = self.connections.iter().find_map(lock_if_free)?;
        // Seen under the lock, which `shut` takes after it has said so.
        if self.shut.load(Ordering::SeqCst) {
            return None;
        }
        if lock_if_free.is_none() {
            *lock_if_free = self.open().ok();
        }
        let reading = lock_if_free.as_mut()?;
        let begun = Instant::now();
        let found = reading.renew(self.cache.generation()).and_then(|()| read(&reading.connection));
        self.record_duration(begun.elapsed());
        if found.is_err() {
            // Its state is unknown; the next read opens it again.
            *lock_if_free = None;
        }
        match found {
            // A thread may wait for what holds the database.
            Err(error) if is_busy(&error) => None,
            found => Some(found),
        }
    }

    fn record_duration(&self, took: Duration) {
        if took <= self.long {
            if self.slow.load(Ordering::Relaxed) > 0 {
                self.slow.store(0, Ordering::Relaxed);
            }
        } else if self.slow.fetch_add(1, Ordering::Relaxed) + 1 >= IN_A_ROW {
            self.held_back.store(HELD_BACK, Ordering::Relaxed);
        }
    }

    fn is_held_back(&self) -> bool {
        let less = |held: u32| held.checked_sub(1);
        self.held_back.load(Ordering::Relaxed) > 0
            && self.held_back.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }

    fn open(&self) -> Result<InlineConnection, StoreError> {
        let connection = self.files.connect_reader()?;
        connection.busy_timeout(Duration::ZERO).map_err(super::engine_error)?;
        Ok(InlineConnection { connection, generation: None, keeps: false })
    }

    /// Ends the snapshots that are kept, but for those of reads that run: they hold back the log.
    pub(super) fn release_snapshots(&self) {
        for mut reading in self.connections.iter().filter_map(lock_if_free) {
            if reading.as_mut().is_some_and(|reading| reading.release_snapshots().is_err()) {
                *reading = None;
            }
        }
    }

    /// Closes every connection, and keeps them closed until the guard is dropped. Waits for running reads.
    pub(super) fn close(&self) -> ClosedGuard<'_> {
        let mut all: Vec<_> = self
            .connections
            .iter()
            .map(|connection| connection.lock().unwrap_or_else(PoisonError::into_inner))
            .collect();
        for connection in &mut all {
            **connection = None;
        }
        ClosedGuard { _all: all }
    }

    /// Closes every connection for good.
    pub(super) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        drop(self.close());
    }
}

/// Locks the connection if it is free. After a panic it is opened again.
fn lock_if_free(
    connection: &Mutex<Option<InlineConnection>>,
) -> Option<MutexGuard<'_, Option<InlineConnection>>> {
    match connection.try_lock() {
        Ok(lock_if_free) => Some(lock_if_free),
        Err(TryLockError::Poisoned(poisoned)) => {
            connection.clear_poison();
            let mut lock_if_free = poisoned.into_inner();
            *lock_if_free = None;
            Some(lock_if_free)
        }
        Err(TryLockError::WouldBlock) => None,
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However busy the machine is, no read here takes so long.
    const FOR_EVER: Duration = Duration::from_secs(3600);

    fn store_in(directory: &std::path::Path) -> Arc<InlineReads> {
        store_with(directory, 2, FOR_EVER)
    }

    fn store_with(directory: &std::path::Path, connections: usize, long: Duration) -> Arc<InlineReads> {
        let files = Files::new(directory, None, Duration::ZERO);
        let connection = files.connect(&files.database()).unwrap();
        files.make_writer(&connection).unwrap();
        connection.execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (7)").unwrap();
        InlineReads::with_patience(&files, &Arc::new(Cache::new(0)), connections, long)
    }

    fn number(direct: &InlineReads) -> Option<i64> {
        direct
            .read(|connection| connection.query_row("SELECT n FROM t", [], |row| row.get(0)))
            .map(Result::unwrap)
    }

    #[test]
    fn a_read_is_made_on_a_free_connection_and_on_none_while_all_are_taken_or_closed() {
        let directory = tempfile::tempdir().unwrap();
        let direct = store_in(directory.path());
        assert_eq!(number(&direct), Some(7));
        let inside =
            direct.read(|_| Ok(direct.read(|_| Ok(direct.read(|_| Ok(())).is_some())))).unwrap().unwrap();
        assert!(!inside.unwrap().unwrap(), "the third finds none");
        let closed = direct.close();
        assert_eq!(number(&direct), None);
        drop(closed);
        assert_eq!(number(&direct), Some(7));
        direct.shut();
        assert_eq!(number(&direct), None);
    }

    /// The log of a database, in bytes.
    fn log_of(direct: &InlineReads) -> u64 {
        std::fs::metadata(direct.files.database().with_extension("db-wal")).unwrap().len()
    }

    #[test]
    fn a_snapshot_is_kept_while_nothing_is_written_and_never_shown_after() {
        let directory = tempfile::tempdir().unwrap();
        let direct = store_with(directory.path(), 1, FOR_EVER);
        let writer = direct.files.connect(&direct.files.database()).unwrap();
        let write = |number: i64| writer.execute("UPDATE t SET n = ?1", [number]).unwrap();
        assert_eq!((number(&direct), number(&direct)), (Some(7), Some(7)));
        // Nobody says that something is written: so this shows that the snapshot is kept.
        write(8);
        assert_eq!(number(&direct), Some(7));
        for value in 9..12 {
            direct.cache.begin_writes(&[]);
            assert_eq!(number(&direct), Some(value - 1), "a commit may be running");
            write(value);
            assert_eq!(number(&direct), Some(value), "and may be done");
            direct.cache.end_writes(std::iter::empty(), &[]);
            assert_eq!((number(&direct), number(&direct)), (Some(value), Some(value)));
        }
    }

    #[test]
    fn a_snapshot_that_is_kept_is_let_go_for_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let direct = store_with(directory.path(), 2, FOR_EVER);
        let writer = direct.files.connect(&direct.files.database()).unwrap();
        let truncated = || {
            let busy: i64 =
                writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
            busy == 0 && log_of(&direct) == 0
        };
        assert_eq!((number(&direct), number(&direct)), (Some(7), Some(7)));
        writer.execute("UPDATE t SET n = 8", []).unwrap();
        assert!(!truncated(), "the snapshot holds the log");
        direct.release_snapshots();
        assert!(truncated());
        assert_eq!((number(&direct), number(&direct), number(&direct)), (Some(8), Some(8), Some(8)));
        writer.execute("UPDATE t SET n = 9", []).unwrap();
        // As the writer does while it moves the log: what is read meanwhile keeps nothing.
        direct.cache.begin_writes(&[]);
        direct.release_snapshots();
        assert_eq!((number(&direct), number(&direct)), (Some(9), Some(9)));
        assert!(truncated());
        direct.cache.end_writes(std::iter::empty(), &[]);
        assert_eq!(number(&direct), Some(9));
    }

    #[test]
    fn a_connection_whose_read_panicked_is_opened_anew() {
        let directory = tempfile::tempdir().unwrap();
        let direct = store_in(directory.path());
        for _ in 0..3 {
            let read = std::panic::AssertUnwindSafe(|| direct.read::<()>(|_| panic!("a read that fails")));
            assert!(std::panic::catch_unwind(read).is_err());
            assert_eq!(number(&direct), Some(7));
        }
    }

    #[test]
    fn after_slow_reads_the_threads_are_asked_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let direct = store_with(directory.path(), 2, Duration::from_millis(100));
        let slow = |direct: &InlineReads| {
            let read = direct.read(|_| {
                std::thread::sleep(2 * direct.long);
                Ok(())
            });
            read.is_some()
        };
        assert!(slow(&direct));
        assert_eq!(number(&direct), Some(7), "one may have waited for a processor");
        assert!(slow(&direct) && slow(&direct));
        for _ in 0..HELD_BACK {
            assert_eq!(number(&direct), None);
        }
        // While the disk stays slow, one is enough.
        assert!(slow(&direct));
        assert_eq!(number(&direct), None);
    }
}

//! The threads that read, each with a connection of its own. They never wait for the writer, and those for single
//! referrals never wait for lists, which have threads of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

use flume::{Receiver, Sender};
use referral::OrganizationId;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::engine_error;
use super::files::Files;
use crate::StoreError;
use crate::fair_queue::{FairQueue, QueueHandle, Worker};

/// Maximum number of reads by key that wait.
pub(super) const READS_WAITING: usize = 4096;

/// A connection of a thread, with what belongs to it.
pub(super) trait Reader: Sized {
    /// Opens one.
    fn open(files: &Files) -> Result<Self, StoreError>;

    /// Told for whom the next read is.
    fn begin(&self, _: &Caller) {}
}

/// The caller that waits for a result.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller {
    is_gone: Arc<AtomicBool>,
    /// Set when the store closes.
    is_stopping: Arc<AtomicBool>,
}

impl Caller {
    /// Returns whether the caller is gone, or the store closes.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed) || self.is_stopping.load(Relaxed)
    }
}

/// Tells that a caller is gone when it is.
struct CancelOnDrop(Caller);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.is_gone.store(true, Relaxed);
    }
}

impl Reader for Connection {
    fn open(files: &Files) -> Result<Connection, StoreError> {
        files.connect_reader()
    }
}

enum Job<R> {
    Read(Caller, Box<dyn FnOnce(&R) + Send>),
    /// Closes the files until resumed, for a bulk load that exchanges them.
    Pause(Arc<PauseRequest>),
}

/// Pauses readers while the files are exchanged.
struct PauseRequest {
    paused: Sender<()>,
    go_on: Receiver<()>,
}

/// The readers; they end when it is dropped.
pub(super) struct Readers<R> {
    jobs: Arc<Jobs<R>>,
    threads: usize,
    stopping: Arc<AtomicBool>,
}

type Jobs<R> = FairQueue<Option<OrganizationId>, Job<R>>;

/// A handle to pause the readers, which keeps them alive.
pub(super) struct ReaderPause<R> {
    jobs: QueueHandle<Option<OrganizationId>, Job<R>>,
    threads: usize,
}

impl<R: Reader + Send + 'static> Readers<R> {
    /// Starts readers, each with its own open connection. Reads of one owner occupy at most `each` of them, and at most
    /// `waiting` of them wait.
    pub(super) fn start(
        files: &Files,
        name: &str,
        threads: usize,
        each: usize,
        waiting: usize,
    ) -> Result<(Readers<R>, Vec<JoinHandle<()>>), StoreError> {
        let threads = threads.max(1);
        let jobs = FairQueue::new(waiting, each.max(1));
        let readers = Readers { jobs, threads, stopping: Arc::default() };
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (files, jobs) = (files.clone(), readers.jobs.worker());
            let reader = R::open(&files)?;
            let handle = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || serve(&files, reader, &jobs))
                .map_err(|error| StoreError::Engine(format!("cannot start a reader: {error}")))?;
            handles.push(handle);
        }
        Ok((readers, handles))
    }

    /// Runs a read on some reader, and those of several owners by turns. A caller who has gone costs nothing more.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        owner: Option<&OrganizationId>,
        read: impl FnOnce(&R) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let caller = Caller { is_gone: Arc::default(), is_stopping: Arc::clone(&self.stopping) };
        let waiting = CancelOnDrop(caller);
        let read = Box::new(move |reader: &R| {
            if !reply.is_closed() {
                let _ = reply.send(read(reader));
            }
        });
        self.jobs.try_push(&owner.cloned(), Job::Read(waiting.0.clone(), read))?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Returns the number of reads that wait for a thread.
    pub(super) fn waiting(&self) -> u64 {
        self.jobs.waiting()
    }

    /// For a bulk load; the readers do not end while it lives.
    pub(super) fn reader_pause(&self) -> Result<ReaderPause<R>, StoreError> {
        Ok(ReaderPause { jobs: self.jobs.hold()?, threads: self.threads })
    }

    /// Lets the readers end after what was asked before.
    pub(super) fn shut(&self) {
        self.jobs.shut();
    }

    /// Interrupts what runs and what waits, as if its callers were gone.
    pub(super) fn interrupt(&self) {
        self.stopping.store(true, Relaxed);
    }
}

impl<R> Drop for Readers<R> {
    fn drop(&mut self) {
        self.jobs.shut();
    }
}

impl Readers<Connection> {
    /// Runs a read by key on some reader.
    ///
    /// # Errors
    /// `Unavailable` if too many wait; otherwise the errors of SQLite.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.ask(None, move |connection| read(connection).map_err(engine_error)).await {
            Err(StoreError::Busy) => Err(StoreError::Unavailable("too many reads wait".to_owned())),
            outcome => outcome,
        }
    }
}

impl<R> ReaderPause<R> {
    /// Makes every reader close its connection; they open again when the answer is dropped. Blocks.
    pub(super) fn pause(&self) -> Result<Sender<()>, StoreError> {
        let (paused, arrivals) = flume::bounded(self.threads);
        let (resume, go_on) = flume::bounded(0);
        let request = Arc::new(PauseRequest { paused, go_on });
        for _ in 0..self.threads {
            self.jobs.push_urgent(Job::Pause(Arc::clone(&request)));
        }
        drop(request);
        for _ in 0..self.threads {
            arrivals.recv().map_err(|_| StoreError::Closed)?;
        }
        Ok(resume)
    }
}

fn serve<R: Reader>(files: &Files, reader: R, jobs: &Worker<Option<OrganizationId>, Job<R>>) {
    let mut reader = reader;
    while let Some(running) = jobs.take() {
        let (job, _slot) = running.into_parts();
        match job {
            // A panic drops the reply, which tells the caller; the thread serves on.
            Job::Read(caller, read) => {
                reader.begin(&caller);
                drop(catch_unwind(AssertUnwindSafe(|| read(&reader))));
            }
            Job::Pause(request) => {
                drop(reader);
                let _ = request.paused.send(());
                let _ = request.go_on.recv(); // returns when the other end is dropped
                reader = match R::open(files) {
                    Ok(reader) => reader,
                    Err(error) => {
                        tracing::error!(%error, "A reader could not open the database again, and ends: {error}");
                        return;
                    }
                };
            }
        }
    }
}

//! The threads that read, each with a connection of its own. They never wait for the writer, and those for single
//! referrals never wait for lists, which have threads of their own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use flume::{Receiver, Sender};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::door::Door;
use super::engine_error;
use super::files::Files;
use crate::StoreError;

/// A connection of a thread, with what belongs to it.
pub(super) trait Reader: Sized {
    /// Opens one.
    fn open(files: &Files) -> Result<Self, StoreError>;
}

impl Reader for Connection {
    fn open(files: &Files) -> Result<Connection, StoreError> {
        files.connect_reader()
    }
}

enum Job<R> {
    Read(Box<dyn FnOnce(&R) + Send>),
    /// Lets go of the files until told, for a bulk load that exchanges them.
    Park(Arc<Parking>),
}

/// Where readers stand while the files are exchanged.
struct Parking {
    parked: Sender<()>,
    go_on: Receiver<()>,
}

/// The door to the readers.
pub(super) struct Readers<R> {
    jobs: Door<Job<R>>,
    threads: usize,
}

/// A way to the readers that keeps them alive.
pub(super) struct Parker<R> {
    jobs: Sender<Job<R>>,
    threads: usize,
}

impl<R: Reader + Send + 'static> Readers<R> {
    /// Starts so many readers of a name, each with its connection open.
    pub(super) fn start(
        files: &Files,
        name: &str,
        threads: usize,
    ) -> Result<(Readers<R>, Vec<JoinHandle<()>>), StoreError> {
        let threads = threads.max(1);
        let (door, jobs) = Door::new();
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (files, jobs) = (files.clone(), jobs.clone());
            let reader = R::open(&files)?;
            let handle = std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || serve(&files, reader, &jobs))
                .map_err(|error| StoreError::Engine(format!("cannot start a reader: {error}")))?;
            handles.push(handle);
        }
        Ok((Readers { jobs: door, threads }, handles))
    }

    /// Runs a read on some reader. A caller who has gone costs nothing more.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        read: impl FnOnce(&R) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Read(Box::new(move |reader| {
            if !reply.is_closed() {
                let _ = reply.send(read(reader));
            }
        }));
        self.jobs.send(job).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// For a bulk load; the readers do not end while it lives.
    pub(super) fn parker(&self) -> Result<Parker<R>, StoreError> {
        Ok(Parker { jobs: self.jobs.open()?, threads: self.threads })
    }

    /// Lets the readers end after what was asked before.
    pub(super) fn shut(&self) {
        self.jobs.shut();
    }
}

impl Readers<Connection> {
    /// As [`ask`](Readers::ask), for what only SQLite can refuse.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(move |connection| read(connection).map_err(engine_error)).await
    }
}

impl<R> Parker<R> {
    /// Makes every reader close its connection; they open again when the answer is dropped. Blocks.
    pub(super) fn park(&self) -> Result<Sender<()>, StoreError> {
        let (parked, arrivals) = flume::bounded(self.threads);
        let (resume, go_on) = flume::bounded(0);
        let parking = Arc::new(Parking { parked, go_on });
        for _ in 0..self.threads {
            self.jobs.send(Job::Park(Arc::clone(&parking))).map_err(|_| StoreError::Closed)?;
        }
        drop(parking);
        for _ in 0..self.threads {
            arrivals.recv().map_err(|_| StoreError::Closed)?;
        }
        Ok(resume)
    }
}

fn serve<R: Reader>(files: &Files, reader: R, jobs: &Receiver<Job<R>>) {
    let mut reader = reader;
    while let Ok(job) = jobs.recv() {
        match job {
            // A panic drops the reply, which tells the caller; the thread serves on.
            Job::Read(read) => drop(catch_unwind(AssertUnwindSafe(|| read(&reader)))),
            Job::Park(parking) => {
                drop(reader);
                let _ = parking.parked.send(());
                let _ = parking.go_on.recv(); // returns when the other end is dropped
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

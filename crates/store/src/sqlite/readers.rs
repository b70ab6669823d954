//! The threads that read, each with a connection of its own. They never wait for the writer.

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

enum Job {
    Read(Box<dyn FnOnce(&Connection) + Send>),
    /// Lets go of the files until told, for a bulk load that exchanges them.
    Park(Arc<Parking>),
}

/// Where readers stand while the files are exchanged.
struct Parking {
    parked: Sender<()>,
    go_on: Receiver<()>,
}

/// The door to the readers.
pub(super) struct Readers {
    jobs: Door<Job>,
    threads: usize,
}

/// A way to the readers that keeps them alive.
pub(super) struct Parker {
    jobs: Sender<Job>,
    threads: usize,
}

impl Readers {
    /// Starts so many readers, each with its connection open.
    pub(super) fn start(files: &Files, threads: usize) -> Result<(Readers, Vec<JoinHandle<()>>), StoreError> {
        let threads = threads.max(1);
        let (door, jobs) = Door::new();
        let mut handles = Vec::with_capacity(threads);
        for number in 0..threads {
            let (files, jobs) = (files.clone(), jobs.clone());
            let connection = files.connect_reader()?;
            let handle = std::thread::Builder::new()
                .name(format!("store-read-{number}"))
                .spawn(move || serve(&files, connection, &jobs))
                .map_err(|error| StoreError::Engine(format!("cannot start a reader: {error}")))?;
            handles.push(handle);
        }
        Ok((Readers { jobs: door, threads }, handles))
    }

    /// Runs a read on some reader. A caller who has gone costs nothing more.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Read(Box::new(move |connection| {
            if !reply.is_closed() {
                let _ = reply.send(read(connection).map_err(engine_error));
            }
        }));
        self.jobs.send(job).await?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// For a bulk load; the readers do not end while it lives.
    pub(super) fn parker(&self) -> Result<Parker, StoreError> {
        Ok(Parker { jobs: self.jobs.open()?, threads: self.threads })
    }

    /// Lets the readers end after what was asked before.
    pub(super) fn shut(&self) {
        self.jobs.shut();
    }
}

impl Parker {
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

fn serve(files: &Files, connection: Connection, jobs: &Receiver<Job>) {
    let mut connection = connection;
    while let Ok(job) = jobs.recv() {
        match job {
            // A panic drops the reply, which tells the caller; the thread serves on.
            Job::Read(read) => drop(catch_unwind(AssertUnwindSafe(|| read(&connection)))),
            Job::Park(parking) => {
                drop(connection);
                let _ = parking.parked.send(());
                let _ = parking.go_on.recv(); // returns when the other end is dropped
                connection = match files.connect_reader() {
                    Ok(connection) => connection,
                    Err(error) => {
                        tracing::error!(%error, "A reader could not open the database again, and ends: {error}");
                        return;
                    }
                };
            }
        }
    }
}

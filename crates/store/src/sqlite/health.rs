//! Whether writes are accepted, and which errors stop them for good.

use std::sync::{Arc, OnceLock};

use super::errors::{engine_error, is_fatal};
use crate::StoreError;
use crate::metrics::CommitCounter;

/// The health of the writer.
#[derive(Default)]
pub(super) struct Health {
    /// Set once, never cleared: after a failed fsync nobody knows what the disk holds.
    stopped: OnceLock<StoreError>,
    /// Its commits so far.
    pub(super) commits: CommitCounter,
}

impl Health {
    /// The error that stopped writes, if one did.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.stopped.get().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Stops writes for this process, and says so once.
    pub(super) fn stop(&self, what: &str, error: &rusqlite::Error) -> StoreError {
        self.stop_for(&format!("{what} failed: {error}"))
    }

    /// The same, for a reason that is no error of SQLite's.
    pub(super) fn stop_for(&self, reason: &str) -> StoreError {
        self.stopped
            .get_or_init(|| {
                tracing::error!(
                    "The store stops writing, for {reason}. Reads go on; restart when the disk is well"
                );
                StoreError::WritesStopped(reason.to_owned())
            })
            .clone()
    }

    /// Stops writes if the error is of that kind; the error to tell.
    pub(super) fn map_error(&self, what: &str, error: rusqlite::Error) -> StoreError {
        if is_fatal(&error) { self.stop(what, &error) } else { engine_error(error) }
    }
}

/// Stops writes if the thread panics while this is held; declared after whatever replies a panic would drop, so that
/// their receivers find the reason.
pub(super) struct StopOnPanic(pub(super) Arc<Health>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop_for("a panic in the writer");
        }
    }
}

//! What a stopped server left on disk, read by the store itself from a copy, so that looking changes nothing.

use std::path::Path;
use std::sync::Arc;

use referral::{OrganizationId, ReferralId};
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{LogEntry, Position, Store, StoredReferral};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The left data, opened.
pub struct Kept {
    store: SqliteStore,
    runtime: Runtime,
    _copy: TempDir,
}

impl Kept {
    /// Copies a data directory that no process holds any more, and opens the copy.
    pub fn open(directory: &Path) -> Kept {
        let copy = TempDir::new().expect("a temporary folder can be made");
        for entry in std::fs::read_dir(directory).expect("the data directory is there") {
            let entry = entry.expect("the data directory can be read");
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                std::fs::copy(entry.path(), copy.path().join(entry.file_name()))
                    .expect("a file can be copied");
            }
        }
        let store = SqliteStore::open(copy.path(), SqliteOptions::default())
            .unwrap_or_else(|error| panic!("what was left cannot be opened: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        Kept { store, runtime, _copy: copy }
    }

    /// The change-log entries of an organization after a position.
    pub fn log(&self, organization: &OrganizationId, after: Position) -> Vec<LogEntry> {
        self.runtime
            .block_on(self.store.log(organization, after, usize::MAX >> 1))
            .expect("the log can be read")
    }

    /// A referral as it stands.
    pub fn referral(&self, owner: &OrganizationId, id: ReferralId) -> Option<Arc<StoredReferral>> {
        self.runtime.block_on(self.store.referral(owner, id)).expect("a referral can be read")
    }
}

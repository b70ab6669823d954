//! The data directory: its lock, its files, and how a connection to them is opened.

use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::engine_error;
use crate::StoreError;

/// Pages of 4 KiB: what a disk writes at once, and the least that a small change carries into the log.
const PAGE_BYTES: u32 = 4096;
const PREPARED: usize = 64;
/// So much of the log is read and written at once.
const PIECE_BYTES: usize = 1 << 20;
/// While a file is built its indexes are made by scanning it, and mapping it makes that a quarter faster.
const MAPPED_BYTES: u64 = 1 << 40;

/// Where the database is, and through which VFS.
#[derive(Clone)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    vfs: Option<String>,
    busy: Duration,
}

impl Files {
    pub(super) fn new(directory: &Path, vfs: Option<String>, busy: Duration) -> Files {
        Files { directory: directory.to_owned(), vfs, busy }
    }

    /// How long a statement waits for another process that holds the database.
    pub(super) fn busy(&self) -> Duration {
        self.busy
    }

    /// The database.
    pub(super) fn database(&self) -> PathBuf {
        self.directory.join("cosell.db")
    }

    /// The database's write-ahead log.
    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("cosell.db-wal")
    }

    /// Where a bulk load builds what will become the database.
    pub(super) fn loading(&self) -> PathBuf {
        self.directory.join("cosell.db.loading")
    }

    /// Where a restore makes what will become the database.
    pub(super) fn restoring(&self) -> PathBuf {
        self.directory.join("cosell.db.restoring")
    }

    /// Makes the directory if it is missing, for its owner alone, and takes it for this process.
    ///
    /// # Errors
    /// `InUse` when another process, or another store of this one, has it.
    pub(super) fn take(&self) -> Result<File, StoreError> {
        if !self.directory.is_dir() {
            make_directory(&self.directory).map_err(|error| self.failed("cannot make", &error))?;
        }
        let lock = own_file(&self.directory.join("lock"))
            .map_err(|error| self.failed("cannot open the lock of", &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(self.directory.display().to_string())),
            Err(TryLockError::Error(error)) => Err(self.failed("cannot lock", &error)),
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> StoreError {
        StoreError::Engine(format!("{what} the data directory {}: {error}", self.directory.display()))
    }

    /// Removes what a bulk load left behind that did not come to its end; nothing of it was ever in the database.
    pub(super) fn remove_unfinished_load(&self) -> Result<(), StoreError> {
        match std::fs::remove_file(self.loading()) {
            Ok(()) => {
                tracing::warn!(
                    "A bulk load had not come to its end; nothing of it is in the store. Load again"
                );
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed("cannot remove an unfinished load from", &error)),
        }
    }

    /// A connection that may read and write, and makes the file if it is missing. Nothing is written yet.
    pub(super) fn connect(&self, path: &Path) -> Result<Connection, StoreError> {
        // SQLite would let others of the machine read what it makes; its log takes the mode of its database.
        own_file(path).map_err(|error| self.failed("cannot make the database in", &error))?;
        self.open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Makes a connection the writer's: every commit is on the disk when it returns, and so is what the log holds.
    pub(super) fn make_writer(&self, connection: &Connection) -> Result<(), StoreError> {
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {PAGE_BYTES};
                 PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 PRAGMA wal_autocheckpoint = 0;
                 PRAGMA cache_size = -4000;"
            ))
            .map_err(|error| file_error(connection, &error))?;
        self.settle_log(connection).inspect_err(|_| {
            // Closing must not move into the database what may not be on the disk.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        })
    }

    /// Writes what is in the log once more, as it is, and syncs it. A process of before may have met a failed fsync, after
    /// which the kernel takes for written what is in its memory alone: what came behind it in the log would be lost with
    /// it when the power fails.
    fn settle_log(&self, connection: &Connection) -> Result<(), StoreError> {
        if !std::fs::metadata(self.log()).is_ok_and(|log| log.len() > 0) {
            return Ok(());
        }
        // So that no person's own tool writes there meanwhile.
        connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => StoreError::InUse(self.directory.display().to_string()),
            _ => file_error(connection, &error),
        })?;
        let rewritten = rewrite(&self.log());
        connection.execute_batch("ROLLBACK").map_err(|error| file_error(connection, &error))?;
        rewritten.map_err(|error| self.failed("cannot sync the log of", &error))
    }

    /// Makes a connection one that builds a new file, which counts only once it is whole and synced.
    pub(super) fn make_builder(&self, connection: &Connection, cache_kib: u32) -> Result<(), StoreError> {
        connection
            .execute_batch(&format!(
                "PRAGMA main.page_size = {PAGE_BYTES};
                 PRAGMA main.journal_mode = OFF;
                 PRAGMA main.synchronous = OFF;
                 PRAGMA main.locking_mode = EXCLUSIVE;
                 PRAGMA main.cache_size = -{cache_kib};
                 PRAGMA main.mmap_size = {MAPPED_BYTES};"
            ))
            .map_err(engine_error)
    }

    /// A connection that only reads.
    pub(super) fn connect_reader(&self) -> Result<Connection, StoreError> {
        let connection = self.open(&self.database(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let set = connection.execute_batch("PRAGMA cache_size = -2000");
        set.map_err(|error| file_error(&connection, &error))?;
        Ok(connection)
    }

    /// A connection of a process that has not taken the directory: it changes nothing. It may write all the same, so
    /// that the last to close leaves no log behind, whoever that is.
    pub(super) fn connect_beside(&self) -> Result<Connection, StoreError> {
        let connection = self.open(&self.database(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let set = connection.execute_batch("PRAGMA query_only = ON");
        set.map_err(|error| file_error(&connection, &error))?;
        Ok(connection)
    }

    fn open(&self, path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = match &self.vfs {
            None => Connection::open_with_flags(path, flags),
            Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs.as_str()),
        }
        .map_err(|error| StoreError::Engine(format!("{}: {error}", path.display())))?;
        connection.busy_timeout(self.busy).map_err(engine_error)?;
        // A plan holds whatever values are bound: else SQLite makes it anew for every value of a range. The ways into
        // the data are chosen before it is asked (`planner/access_path.rs`).
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(engine_error)?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        Ok(connection)
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync_directory(&self) -> io::Result<()> {
        sync_directory(&self.directory)
    }
}

/// What is reported of a connection's file, with the file's name: SQLite does not say which one is damaged.
pub(super) fn file_error(connection: &Connection, what: &dyn Display) -> StoreError {
    match connection.path() {
        Some(path) if !path.is_empty() => StoreError::Engine(format!("{path}: {what}")),
        _ => StoreError::Engine(what.to_string()),
    }
}

/// Opens a file, and makes it if it is missing, for its owner alone: the directory may be older, and open to others.
pub(super) fn own_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a file's own bytes over themselves, and syncs it.
fn rewrite(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let count = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        file.seek(io::SeekFrom::Start(at))?;
        file.write_all(bytes)?;
        at += bytes.len() as u64;
    }
    file.sync_all()
}

fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

#[cfg(unix)]
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Elsewhere a directory cannot be opened as a file, and its names are durable with the files.
#[cfg(not(unix))]
pub(super) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

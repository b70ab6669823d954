//! Classifies the errors that SQLite reports.

use rusqlite::ErrorCode;

use crate::StoreError;

/// Returns whether an error is temporary: another connection holds a lock, or there is no memory or file
/// handle at the moment. Nothing was done, and later it may be.
pub(super) fn is_transient(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
                | ErrorCode::SchemaChanged
                | ErrorCode::OutOfMemory
        )
    )
}

/// Returns whether an error is of the disk, not of the statement: no later write may trust the files.
pub(super) fn is_fatal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DiskFull
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
        )
    )
}

/// The error to tell.
pub(super) fn engine_error(error: rusqlite::Error) -> StoreError {
    to_store_error(&error)
}

/// The error to tell of one that is still needed.
pub(super) fn to_store_error(error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        _ if is_transient(error) => StoreError::Unavailable(format!("the database is in use: {error}")),
        // A read needs the disk for what it sorts. Writes have stopped before this is told.
        Some(ErrorCode::DiskFull) => StoreError::Unavailable(error.to_string()),
        _ => StoreError::Engine(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    /// Every primary code of SQLite that is an error: what it means to a caller, and whether writing goes on.
    #[test]
    fn every_code_of_sqlite_is_classified() {
        let passing = [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_PROTOCOL,
            ffi::SQLITE_SCHEMA,
            ffi::SQLITE_NOMEM,
            ffi::SQLITE_BUSY_RECOVERY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_BUSY_TIMEOUT,
            ffi::SQLITE_LOCKED_SHAREDCACHE,
            ffi::SQLITE_LOCKED_VTAB,
        ];
        let fatal = [
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_NOMEM,
            ffi::SQLITE_FULL,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_NOTADB,
            ffi::SQLITE_CANTOPEN,
            ffi::SQLITE_READONLY,
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_CORRUPT_INDEX,
        ];
        let other = [
            ffi::SQLITE_ERROR,
            ffi::SQLITE_INTERNAL,
            ffi::SQLITE_PERM,
            ffi::SQLITE_ABORT,
            ffi::SQLITE_INTERRUPT,
            ffi::SQLITE_NOTFOUND,
            ffi::SQLITE_TOOBIG,
            ffi::SQLITE_CONSTRAINT,
            ffi::SQLITE_MISMATCH,
            ffi::SQLITE_MISUSE,
            ffi::SQLITE_NOLFS,
            ffi::SQLITE_AUTH,
            ffi::SQLITE_RANGE,
        ];
        let error = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        for (codes, passes, stops) in
            [(&passing[..], true, false), (&fatal, false, true), (&other, false, false)]
        {
            for &code in codes {
                assert_eq!((is_transient(&error(code)), is_fatal(&error(code))), (passes, stops), "{code}");
                let to_store_error = engine_error(error(code));
                let later = passes || code == ffi::SQLITE_FULL;
                assert_eq!(
                    matches!(to_store_error, StoreError::Unavailable(_)),
                    later,
                    "{code}: {to_store_error}"
                );
            }
        }
    }
}

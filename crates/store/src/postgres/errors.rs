//! What PostgreSQL reports, and what it means for who asked.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::prepared::is_unprepared;
use crate::StoreError;

/// What is said of a database that does not answer.
pub(super) const SILENT: &str = "the database did not answer in time";

/// Why a statement was not done.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// Others were in the way: the whole transaction may be tried again.
    Contended(String),
    /// The connection or the server is gone, or takes no writes.
    Absent(String),
    /// There was no answer in time: neither whether the server is there nor what it did is known.
    Silent,
    /// It took longer than it may.
    TooLong,
    /// An earlier statement of the transaction failed.
    Aborted,
    /// A prepared statement was none: nothing of it was done, and none is used from now on.
    Unprepared(String),
    /// The schema is not there.
    NoSuchTable(String),
    /// Anything else.
    Other(String),
}

impl Trouble {
    pub(super) fn of(error: &Error) -> Trouble {
        let Some(state) = error.code() else {
            // Without a state the server has not answered: the connection broke, or the driver could not read it.
            return match error.is_closed()
                || error.source().is_some_and(|source| source.is::<std::io::Error>())
            {
                true => Trouble::Absent(said(error)),
                false => Trouble::Other(said(error)),
            };
        };
        match *state {
            _ if is_unprepared(error) => Trouble::Unprepared(said(error)),
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::UNIQUE_VIOLATION
            // Of two that make the same table, though only if it is missing, one is told that it is there.
            | SqlState::DUPLICATE_TABLE
            | SqlState::DUPLICATE_OBJECT => Trouble::Contended(said(error)),
            SqlState::QUERY_CANCELED => Trouble::TooLong,
            SqlState::IN_FAILED_SQL_TRANSACTION => Trouble::Aborted,
            SqlState::UNDEFINED_TABLE => Trouble::NoSuchTable(said(error)),
            SqlState::READ_ONLY_SQL_TRANSACTION
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Trouble::Absent(said(error)),
            // Connections, resources such as their number, and an operator's or a crash's end.
            ref state if ["08", "53", "57P"].iter().any(|class| state.code().starts_with(class)) => {
                Trouble::Absent(said(error))
            }
            _ => Trouble::Other(said(error)),
        }
    }

    /// Whether nothing was done of what may be done later, as a whole.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Trouble::Contended(_) | Trouble::Absent(_) | Trouble::Unprepared(_))
    }

    /// The worse of two of one transaction: the one that tells why.
    pub(super) fn is_cause(&self) -> bool {
        !matches!(self, Trouble::Aborted)
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> StoreError {
        match trouble {
            Trouble::Contended(what) => StoreError::Unavailable(format!("others were in the way: {what}")),
            Trouble::Absent(what) | Trouble::Unprepared(what) => StoreError::Unavailable(what),
            Trouble::Silent => StoreError::Unavailable(SILENT.to_owned()),
            Trouble::TooLong => StoreError::Unavailable("the database took too long".to_owned()),
            Trouble::Aborted => StoreError::Engine("the transaction was given up".to_owned()),
            Trouble::NoSuchTable(what) | Trouble::Other(what) => StoreError::Engine(what),
        }
    }
}

/// Why there is no connection. Whatever it is, it may be put right without this process.
pub(super) fn cannot_connect(error: &Error) -> StoreError {
    StoreError::Unavailable(said(error))
}

/// The error with its causes.
pub(super) fn said(error: &Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!("{} ({})", database.message(), database.code().code());
    }
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        cause = inner.source();
    }
    said
}

//! Classifies the errors that PostgreSQL reports.

use std::error::Error as _;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::prepared::is_unknown_statement;
use crate::StoreError;

/// Message for a database that does not answer.
pub(super) const NO_ANSWER: &str = "the database did not answer in time";

/// The reason why a statement failed.
#[derive(Debug, Clone)]
pub(super) enum PgError {
    /// A conflict with other transactions: the whole transaction may be retried.
    Retryable(String),
    /// The connection or the server is gone, or does not accept writes.
    Unreachable(String),
    /// There was no answer in time. It is unknown whether the statement was executed.
    Timeout,
    /// The statement took longer than the statement timeout.
    StatementTimeout,
    /// An earlier statement of the transaction failed.
    TransactionAborted,
    /// The server does not know our prepared statement (a pooler switched connections). Nothing was executed;
    /// prepared statements are disabled from here on.
    UnknownStatement(String),
    /// A table does not exist.
    UndefinedTable(String),
    /// Anything else.
    Other(String),
}

impl PgError {
    pub(super) fn of(error: &Error) -> PgError {
        let Some(state) = error.code() else {
            // Without a state the server has not answered: the connection broke, or the driver could not read it.
            return match error.is_closed()
                || error.source().is_some_and(|source| source.is::<std::io::Error>())
            {
                true => PgError::Unreachable(error_text(error)),
                false => PgError::Other(error_text(error)),
            };
        };
        if is_unknown_statement(error) {
            return PgError::UnknownStatement(error_text(error));
        }
        PgError::of_state(state, || error_text(error))
    }

    /// Classifies an SQLSTATE.
    fn of_state(state: &SqlState, error_text: impl FnOnce() -> String) -> PgError {
        /// Classes of states that pass: of connections, of resources such as their number and the room on the disk, of an
        /// operator's or a crash's end, and of the system under the server.
        const PASSING: [&str; 4] = ["08", "53", "57P", "58"];
        match *state {
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::TRANSACTION_ROLLBACK
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::OBJECT_IN_USE
            | SqlState::UNIQUE_VIOLATION
            // Two concurrent CREATE TABLE IF NOT EXISTS: one of them reports that the table exists.
            | SqlState::DUPLICATE_TABLE
            | SqlState::DUPLICATE_OBJECT => PgError::Retryable(error_text()),
            // It is unknown whether it was executed.
            SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN => PgError::Timeout,
            SqlState::QUERY_CANCELED => PgError::StatementTimeout,
            SqlState::IN_FAILED_SQL_TRANSACTION => PgError::TransactionAborted,
            SqlState::UNDEFINED_TABLE => PgError::UndefinedTable(error_text()),
            SqlState::READ_ONLY_SQL_TRANSACTION
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => PgError::Unreachable(error_text()),
            // A time-out for transactions, which the driver has no name for.
            ref state if state.code() == "25P04" => PgError::Unreachable(error_text()),
            ref state if PASSING.iter().any(|class| state.code().starts_with(class)) => PgError::Unreachable(error_text()),
            _ => PgError::Other(error_text()),
        }
    }

    /// Returns whether nothing was executed and the whole transaction may be retried.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, PgError::Retryable(_) | PgError::Unreachable(_) | PgError::UnknownStatement(_))
    }

    /// Returns whether it is the cause, not a consequence of an earlier error of the same transaction.
    pub(super) fn is_cause(&self) -> bool {
        !matches!(self, PgError::TransactionAborted)
    }
}

impl From<PgError> for StoreError {
    fn from(pg_error: PgError) -> StoreError {
        match pg_error {
            PgError::Retryable(what) => StoreError::Unavailable(format!("others were in the way: {what}")),
            PgError::Unreachable(what) | PgError::UnknownStatement(what) => StoreError::Unavailable(what),
            PgError::Timeout => StoreError::Unavailable(NO_ANSWER.to_owned()),
            PgError::StatementTimeout => StoreError::Unavailable("the database took too long".to_owned()),
            PgError::TransactionAborted => StoreError::Engine("the transaction was given up".to_owned()),
            PgError::UndefinedTable(what) | PgError::Other(what) => StoreError::Engine(what),
        }
    }
}

/// Converts a connect error. Every connect error is temporary for this process.
pub(super) fn cannot_connect(error: &Error) -> StoreError {
    StoreError::Unavailable(error_text(error))
}

/// Returns the text of an error with its causes.
pub(super) fn error_text(error: &Error) -> String {
    if let Some(database) = error.as_db_error() {
        return format!("{} ({})", database.message(), database.code().code());
    }
    let mut error_text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !error_text.contains(&words) {
            error_text = format!("{error_text}: {words}");
        }
        cause = inner.source();
    }
    error_text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The states that a server reports when nothing is wrong with the statement, and what a caller is told.
    #[test]
    fn states_that_pass_are_told_from_faults() {
        let passing = [
            "08000 08001 08003 08004 08006 08007 08P01", // connections
            "53000 53100 53200 53300 53400", // no room on the disk, no memory, too many connections
            "57P01 57P02 57P03 57P04 57P05", // shut down by an operator, crashed, starting
            "58000 58030",                   // the system under it
            "25006 25P03 25P04",             // a standby; time-outs of transactions
            "40000 40001 40003 40P01 55P03 55006", // others in the way
            "57014",                         // cancelled, or took too long
        ];
        let faults =
            ["22012 22P02 23502 23514 28000 28P01 3D000 42501 42601 42703 42P01 54000 XX000 XX001 25P02"];
        let told = |code: &str| StoreError::from(PgError::of_state(&SqlState::from_code(code), String::new));
        for code in passing.iter().flat_map(|codes| codes.split(' ')) {
            assert!(matches!(told(code), StoreError::Unavailable(_)), "{code}: {}", told(code));
        }
        for code in faults.iter().flat_map(|codes| codes.split(' ')) {
            assert!(matches!(told(code), StoreError::Engine(_)), "{code}: {}", told(code));
        }
    }
}

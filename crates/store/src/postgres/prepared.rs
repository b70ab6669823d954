//! Statements that are asked again and again, parsed and planned once for each connection. Only where the setting says
//! so: a pooler that lends connections for a transaction must know of prepared statements.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use super::errors::PgError;
use super::pool::{Lease, Param};

/// A connection with what is prepared on it.
pub(super) struct Connection {
    pub(super) client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
}

impl Connection {
    pub(super) fn new(client: Client) -> Connection {
        Connection { client, statements: Mutex::default() }
    }

    fn statement(&self, sql: &'static str) -> Option<Statement> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned()
    }
}

impl Lease {
    /// Prepares what is not prepared yet: before any of it is sent, since what is sent at once is done in its order only
    /// if none of it waits for this.
    pub(super) async fn prepare(&self, statements: &[(&'static str, &[Param<'_>])]) -> Result<(), PgError> {
        if !self.prepares() {
            return Ok(());
        }
        let connection = self.connection();
        for (sql, params) in statements {
            if connection.statement(sql).is_some() {
                continue;
            }
            let types: Vec<Type> = params.iter().map(|(_, ty)| ty.clone()).collect();
            let prepared = connection.client.prepare_typed(sql, &types);
            let made = self.with_timeout(async { self.note_unknown_statement(prepared.await) }).await?;
            connection.statements.lock().unwrap_or_else(PoisonError::into_inner).insert(sql, made);
        }
        Ok(())
    }

    /// The rows of a statement, by the prepared one if there is one.
    pub(super) async fn query(&self, sql: &'static str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        match self.prepared_statement(sql) {
            Some(statement) => {
                self.note_unknown_statement(self.client().query(&statement, &values(params)).await)
            }
            None => self.client().query_typed(sql, params).await,
        }
    }

    /// Prepares and runs a single statement, and returns its rows.
    pub(super) async fn query_prepared(
        &self,
        sql: &'static str,
        params: &[Param<'_>],
    ) -> Result<Vec<Row>, PgError> {
        self.prepare(&[(sql, params)]).await?;
        self.with_timeout(self.query(sql, params)).await
    }

    /// Runs a statement, by the prepared one if there is one.
    pub(super) async fn execute(&self, sql: &'static str, params: &[Param<'_>]) -> Result<u64, Error> {
        match self.prepared_statement(sql) {
            Some(statement) => {
                self.note_unknown_statement(self.client().execute(&statement, &values(params)).await)
            }
            None => self.client().execute_typed(sql, params).await,
        }
    }

    fn prepared_statement(&self, sql: &'static str) -> Option<Statement> {
        self.connection().statement(sql).filter(|_| self.prepares())
    }

    fn prepares(&self) -> bool {
        self.pool().prepares.load(Ordering::Relaxed)
    }

    /// Disables prepared statements if the server does not know one.
    fn note_unknown_statement<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        answer.inspect_err(|error| {
            if is_unknown_statement(error) && self.pool().prepares.swap(false, Ordering::Relaxed) {
                tracing::warn!(
                    "the database, or a pooler before it, does not keep prepared statements: none are used any more \
                     ([store] prepared_statements)"
                );
            }
        })
    }
}

/// Returns whether the server does not know a prepared statement, or has another one of that name: a pooler switched
/// connections.
pub(super) fn is_unknown_statement(error: &Error) -> bool {
    let states = [SqlState::INVALID_SQL_STATEMENT_NAME, SqlState::DUPLICATE_PSTATEMENT];
    error.code().is_some_and(|state| states.contains(state))
}

fn values<'p>(params: &[Param<'p>]) -> Vec<&'p (dyn ToSql + Sync)> {
    params.iter().map(|(value, _)| *value).collect()
}

//! The table of the limits: answers of Cosell by their ids, as bodies with their tags, and the headers they came with.
//! Whoever answers from it sends what Cosell sends.

use rusqlite::{Connection, OptionalExtension, params};

use crate::Outcome;

/// Opens the table, or makes it. `synchronous` is SQLite's: `FULL` is durable, `OFF` is for filling.
///
/// # Errors
/// SQLite's.
pub fn open(path: &str, synchronous: &str) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    configure(&connection, synchronous)?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS answer (
             id TEXT PRIMARY KEY,
             etag TEXT NOT NULL,
             body BLOB NOT NULL
         );
         CREATE TABLE IF NOT EXISTS header (name TEXT NOT NULL, value TEXT NOT NULL);",
    )?;
    Ok(connection)
}

/// The settings of every table of the limits: WAL, and a memory map that covers the file.
///
/// # Errors
/// SQLite's.
pub fn configure(connection: &Connection, synchronous: &str) -> Outcome<()> {
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA cache_size = -65536;
         PRAGMA mmap_size = 34359738368;
         PRAGMA busy_timeout = 10000;"
    ))?;
    Ok(())
}

/// Adds an answer.
///
/// # Errors
/// SQLite's.
pub fn add(connection: &Connection, id: &str, etag: &str, body: &[u8]) -> Outcome<()> {
    connection
        .prepare_cached("INSERT INTO answer (id, etag, body) VALUES (?1, ?2, ?3)")?
        .execute(params![id, etag, body])?;
    Ok(())
}

/// Keeps the headers that all answers have.
///
/// # Errors
/// SQLite's.
pub fn set_headers(connection: &Connection, headers: &[(String, String)]) -> Outcome<()> {
    for (name, value) in headers {
        connection.execute("INSERT INTO header (name, value) VALUES (?1, ?2)", [name, value])?;
    }
    Ok(())
}

/// The headers that all answers have.
///
/// # Errors
/// SQLite's.
pub fn headers(connection: &Connection) -> Outcome<Vec<(String, String)>> {
    let mut statement = connection.prepare("SELECT name, value FROM header ORDER BY rowid")?;
    let headers = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(headers.collect::<Result<_, _>>()?)
}

/// The answer whose body is nearest to the mean length: its tag and body.
///
/// # Errors
/// SQLite's; an empty table.
pub fn typical(connection: &Connection) -> Outcome<(String, Vec<u8>)> {
    let found = connection
        .query_row(
            "SELECT etag, body
             FROM answer, (SELECT avg(length(body)) AS mean FROM answer)
             ORDER BY abs(length(body) - mean), id
             LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    found.ok_or_else(|| "the table has no answers".into())
}

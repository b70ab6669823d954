//! The rows that Cosell writes, written by nothing but SQLite: the limit of durable writes.
//!
//! It works on two states of a real database of Cosell, between which every open referral was changed once, by a PUT
//! each. What differs between them is what a PUT writes, whatever the schema is: rows with other values (the referral:
//! document, columns, indexes), and rows that were added (the log entry, the remembered answer). The limit writes
//! these rows over and over, without reading anything:
//!
//! - a changed row takes the values of the second state and of the first in turn, so that its pages change as Cosell's do;
//! - numbers that rise from change to change, as versions and times do, go on rising, and short binary values that
//!   differ, as tags do, are random: indexes are touched as Cosell touches them.

use std::collections::HashSet;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, params_from_iter};

use crate::dataset::Random;
use crate::{Outcome, table};

/// Binary values up to this length are identifiers and digests; longer ones are contents.
const LONGEST_TAG: usize = 64;

/// The database, and what is written into it.
pub struct Rows {
    connection: Connection,
    parts: Vec<Part>,
    puts: usize,
    /// Tables that differ, but not by a row for each PUT: nothing of them is written.
    pub left_out: Vec<String>,
    /// For each PUT, whether its rows have the values of the second state.
    second: Vec<bool>,
    written: i64,
    random: Random,
}

/// What a PUT writes into one table.
struct Part {
    statement: String,
    columns: Vec<Fresh>,
    /// For each PUT: the values in the first state (empty for an added row), and in the second.
    rows: Vec<[Vec<Value>; 2]>,
    /// For each PUT the key of the row that is changed; empty for an added one.
    keys: Vec<Vec<Value>>,
}

/// How a column's next value is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fresh {
    Recorded,
    /// A number above all that were written; given is the highest recorded.
    Rising(i64),
    /// So many random bytes.
    Random(usize),
}

impl Rows {
    /// Takes what differs. `path` is a copy of the first state, which will be written to; `second` the second one.
    ///
    /// # Errors
    /// SQLite's; states that do not differ.
    pub fn open(path: &str, second: &str) -> Outcome<Rows> {
        let connection = Connection::open(path)?;
        table::configure(&connection, "FULL")?;
        // Cosell moves the log into the database when 2,048 pages wait.
        connection.pragma_update(None, "wal_autocheckpoint", 2048)?;
        connection.execute("ATTACH ?1 AS second", [second])?;
        let tables = names(
            &connection,
            "SELECT name FROM pragma_table_list WHERE schema = 'main'
             AND type IN ('table', 'shadow') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
        )?;
        let mut parts = Vec::new();
        for table in &tables {
            let columns = names(&connection, &format!("SELECT name FROM pragma_table_info('{table}')"))?;
            let key = names(
                &connection,
                &format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"),
            )?;
            if !key.is_empty() {
                parts.extend(changed(&connection, table, &columns, &key)?.map(|part| (table, part)));
                parts.extend(added(&connection, table, &columns, &key)?.map(|part| (table, part)));
            }
        }
        connection.execute("DETACH second", [])?;
        let puts =
            parts.iter().filter(|(_, part)| !part.keys[0].is_empty()).map(|(_, part)| part.rows.len()).max();
        let puts = puts.ok_or("the two states do not differ")?;
        let (parts, others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|(_, part)| part.rows.len() == puts);
        Ok(Rows {
            connection,
            parts: parts.into_iter().map(|(_, part)| part).collect(),
            puts,
            left_out: others
                .into_iter()
                .map(|(table, part)| format!("{table} ({} rows)", part.rows.len()))
                .collect(),
            second: vec![false; puts],
            written: 0,
            random: Random::seeded(99),
        })
    }

    /// The statements of one write.
    pub fn statements(&self) -> Vec<&str> {
        self.parts.iter().map(|part| part.statement.as_str()).collect()
    }

    /// One transaction with the rows of `group` PUTs, of random referrals.
    ///
    /// # Errors
    /// SQLite's.
    pub fn write_group(&mut self, group: usize) -> Outcome<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..group {
            self.write()?;
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(())
    }

    fn write(&mut self) -> Outcome<()> {
        let put = self.random.below(self.puts as u64) as usize;
        self.second[put] = !self.second[put];
        self.written += 1;
        for part in &self.parts {
            let second = self.second[put] || part.keys[put].is_empty();
            let recorded = &part.rows[put][usize::from(second)];
            let random = &mut self.random;
            let written = self.written;
            let values = recorded.iter().zip(&part.columns).map(|(value, fresh)| match fresh {
                Fresh::Recorded => ToSqlOutput::Borrowed(value.into()),
                Fresh::Rising(highest) => ToSqlOutput::Owned(Value::Integer(highest + written)),
                Fresh::Random(length) => ToSqlOutput::Owned(Value::Blob(random.bytes(*length))),
            });
            let key = part.keys[put].iter().map(|value| ToSqlOutput::Borrowed(value.into()));
            self.connection.prepare_cached(&part.statement)?.execute(params_from_iter(values.chain(key)))?;
        }
        Ok(())
    }
}

fn names(connection: &Connection, select: &str) -> Outcome<Vec<String>> {
    let mut statement = connection.prepare(select)?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn all(connection: &Connection, select: &str) -> Outcome<Vec<Vec<Value>>> {
    let mut statement = connection.prepare(select)?;
    let width = statement.column_count();
    let rows = statement.query_map([], |row| (0..width).map(|column| row.get(column)).collect())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn list(columns: &[String], each: impl Fn(&String) -> String, between: &str) -> String {
    columns.iter().map(each).collect::<Vec<_>>().join(between)
}

/// Rows with the same key and other values.
fn changed(
    connection: &Connection,
    table: &str,
    columns: &[String],
    key: &[String],
) -> Outcome<Option<Part>> {
    let others: Vec<String> = columns.iter().filter(|column| !key.contains(column)).cloned().collect();
    if others.is_empty() {
        return Ok(None);
    }
    let same_key = list(key, |column| format!("one.{column} = two.{column}"), " AND ");
    let differ = list(&others, |column| format!("one.{column} IS NOT two.{column}"), " OR ");
    let order = list(key, |column| format!("one.{column}"), ", ");
    let select = |what: String| {
        all(
            connection,
            &format!(
                "SELECT {what} FROM main.{table} AS one JOIN second.{table} AS two ON {same_key}
                 WHERE {differ} ORDER BY {order}"
            ),
        )
    };
    let first = select(list(&others, |column| format!("one.{column}"), ", "))?;
    let second = select(list(&others, |column| format!("two.{column}"), ", "))?;
    let pairs = || first.iter().zip(&second);
    // Only the columns that differ somewhere are written.
    let places: Vec<usize> =
        (0..others.len()).filter(|place| pairs().any(|(one, two)| one[*place] != two[*place])).collect();
    if places.is_empty() {
        return Ok(None);
    }
    let fresh = |place: &usize| match &second[0][*place] {
        Value::Integer(_) if pairs().all(|(one, two)| number(&one[*place]) < number(&two[*place])) => {
            Fresh::Rising(highest(&second, *place))
        }
        Value::Blob(bytes) if bytes.len() <= LONGEST_TAG => Fresh::Random(bytes.len()),
        _ => Fresh::Recorded,
    };
    let written: Vec<String> = places.iter().map(|place| others[*place].clone()).collect();
    let assignments = list(&written, |column| format!("{column} = ?"), ", ");
    let found = list(key, |column| format!("{column} = ?"), " AND ");
    let chosen = |row: &Vec<Value>| places.iter().map(|place| row[*place].clone()).collect::<Vec<_>>();
    Ok(Some(Part {
        statement: format!("UPDATE {table} SET {assignments} WHERE {found}"),
        columns: places.iter().map(fresh).collect(),
        rows: pairs().map(|(one, two)| [chosen(one), chosen(two)]).collect(),
        keys: select(order.clone())?,
    }))
}

/// Rows that the second state has more.
fn added(connection: &Connection, table: &str, columns: &[String], key: &[String]) -> Outcome<Option<Part>> {
    let same_key = list(key, |column| format!("one.{column} = two.{column}"), " AND ");
    let integer_key = all(
        connection,
        &format!("SELECT type FROM pragma_table_info('{table}') WHERE pk > 0 AND type = 'INTEGER'"),
    )?;
    // SQLite itself counts a key that is one number.
    let counted = key.len() == 1 && integer_key.len() == 1;
    let written: Vec<String> =
        columns.iter().filter(|column| !(counted && key.contains(column))).cloned().collect();
    let rows = all(
        connection,
        &format!(
            "SELECT {} FROM second.{table} AS two WHERE NOT EXISTS (SELECT 1 FROM main.{table} AS one WHERE {same_key}) ORDER BY {}",
            list(&written, |column| format!("two.{column}"), ", "),
            list(key, |column| format!("two.{column}"), ", "),
        ),
    )?;
    if rows.is_empty() {
        return Ok(None);
    }
    let unique = names(
        connection,
        &format!(
            "SELECT column.name FROM pragma_index_list('{table}') AS found, pragma_index_info(found.name) AS column
             WHERE found.\"unique\" = 1"
        ),
    )?;
    let fresh = written
        .iter()
        .enumerate()
        .map(|(column, name)| match &rows[0][column] {
            Value::Integer(_)
                if rows.windows(2).all(|pair| number(&pair[0][column]) <= number(&pair[1][column]))
                    && rows.first().map(|row| &row[column]) != rows.last().map(|row| &row[column]) =>
            {
                Fresh::Rising(highest(&rows, column))
            }
            Value::Blob(bytes) if unique.contains(name) && unlike(&rows, column) => {
                Fresh::Random(bytes.len())
            }
            _ => Fresh::Recorded,
        })
        .collect();
    let names = list(&written, String::clone, ", ");
    let places = list(&written, |_| "?".to_owned(), ", ");
    let count = rows.len();
    Ok(Some(Part {
        statement: format!("INSERT INTO {table} ({names}) VALUES ({places})"),
        columns: fresh,
        rows: rows.into_iter().map(|row| [Vec::new(), row]).collect(),
        keys: vec![Vec::new(); count],
    }))
}

fn highest(rows: &[Vec<Value>], column: usize) -> i64 {
    rows.iter().map(|row| number(&row[column])).max().unwrap_or_default()
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => i64::MIN,
    }
}

/// Whether no two rows have the same.
fn unlike(rows: &[Vec<Value>], column: usize) -> bool {
    let mut seen = HashSet::new();
    rows.iter().all(|row| match &row[column] {
        Value::Blob(bytes) => seen.insert(bytes),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "CREATE TABLE referral (
             row INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, version INTEGER, etag BLOB, status INTEGER, document BLOB);
         CREATE TABLE log (
             sequence INTEGER PRIMARY KEY, owner BLOB, position INTEGER, at INTEGER, UNIQUE (owner, position));
         CREATE TABLE answer (owner BLOB, digest BLOB, content BLOB, PRIMARY KEY (digest, owner)) WITHOUT ROWID;
         CREATE TABLE setting (name TEXT PRIMARY KEY, value INTEGER);
         INSERT INTO setting VALUES ('starts', 1);";
    const PUTS: i64 = 100;

    /// Referrals of a version, with the log and the answers of all versions up to it.
    fn state(path: &str, version: i64) {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        for row in 1..=PUTS {
            let document = vec![version as u8; 2000 + row as usize];
            connection
                .execute(
                    "INSERT INTO referral VALUES (?1, randomblob(16), ?2, zeroblob(16), 2, ?3)",
                    (row, version, document),
                )
                .unwrap();
            for seen in 1..=version {
                let put = (seen - 1) * PUTS + row;
                let digest = [put as u8; 32];
                connection.execute("INSERT INTO log VALUES (?1, x'aa', ?1, 5000 + ?1)", [put]).unwrap();
                connection.execute("INSERT INTO answer VALUES (x'aa', ?1, zeroblob(900))", [digest]).unwrap();
            }
        }
        connection
            .execute("UPDATE referral SET id = CAST(row AS TEXT), etag = ?1", [[version as u8; 16]])
            .unwrap();
        connection.execute("UPDATE setting SET value = ?1", [version]).unwrap();
    }

    #[test]
    fn what_is_written_is_what_differs_between_two_states() {
        let directory = std::env::temp_dir().join(format!("cosell-bench-rows-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let [first, second] =
            ["first.db", "second.db"].map(|name| directory.join(name).display().to_string());
        state(&first, 1);
        state(&second, 2);

        let mut rows = Rows::open(&first, &second).unwrap();
        assert_eq!(
            rows.statements(),
            [
                "INSERT INTO answer (owner, digest, content) VALUES (?, ?, ?)",
                "INSERT INTO log (owner, position, at) VALUES (?, ?, ?)",
                "UPDATE referral SET version = ?, etag = ?, document = ? WHERE row = ?",
            ]
        );
        assert_eq!(rows.left_out, ["setting (1 rows)"]);
        for _ in 0..10 {
            rows.write_group(64).unwrap();
        }
        let number =
            |select: &str| rows.connection.query_row(select, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("SELECT count(*) FROM log"), PUTS + 640);
        assert_eq!(number("SELECT count(*) FROM answer"), PUTS + 640);
        assert_eq!(number("SELECT max(position) FROM log"), 2 * PUTS + 640);
        assert_eq!(number("SELECT max(version) FROM referral"), 2 + 640);
        // Each was written some six times, an even number or an odd one: both states are there.
        assert!(number("SELECT count(*) FROM referral WHERE substr(document, 1, 1) = x'01'") > 10);
        assert!(number("SELECT count(*) FROM referral WHERE substr(document, 1, 1) = x'02'") > 10);
        assert_eq!(
            number("SELECT count(DISTINCT etag) FROM referral WHERE version > 1"),
            number("SELECT count(*) FROM referral WHERE version > 1")
        );
        drop(rows);
        std::fs::remove_dir_all(directory).unwrap();
    }
}

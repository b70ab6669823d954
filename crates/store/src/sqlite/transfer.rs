//! Everything out and in, record by record: what is read in the order of the keys, and what is added as it was.

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use referral::{OrganizationId, ReferralId};

use super::health::StopOnPanic;
use super::rows::{self, stored_columns};
use super::writer::{Command, Writer};
use super::writes::{self, FacetCountChanges};
use super::{SqliteStore, bulk, changes, directory, engine_error};
use crate::transfer::Feed;
use crate::{
    Batches, BulkReport, Entry, Export, ExportPosition, IdempotencyKey, IdempotencyRecord, Position, Record,
    StoreError, Table, Transfer, UNFINISHED_COPY,
};

/// Page cache of a connection that reads everything, in KiB.
const CACHE_KIB: u32 = 16 * 1024;

/// Visits the records of a table after a mark in the order of their keys, until `visit` says that it is enough.
pub(super) fn visit(
    connection: &Connection,
    table: Table,
    after: Option<&ExportPosition>,
    visit: &mut dyn FnMut(Record) -> bool,
) -> rusqlite::Result<()> {
    match table {
        Table::Referrals => referrals_after(connection, after, visit),
        Table::Log => log_after(connection, after, visit),
        Table::Answers => answers_after(connection, after, visit),
        Table::Settings => settings(connection, visit),
        Table::Assignments => {
            let mut all = directory::assignments(connection)?.into_iter().map(Record::Assignment);
            all.all(visit);
            Ok(())
        }
        Table::Organizations => {
            let mut all = directory::organizations(connection)?.into_iter().map(Record::Organization);
            all.all(visit);
            Ok(())
        }
    }
}

type Visit<'v> = &'v mut dyn FnMut(Record) -> bool;

fn referrals_after(
    connection: &Connection,
    after: Option<&ExportPosition>,
    visit: Visit<'_>,
) -> rusqlite::Result<()> {
    let after = match after {
        Some(ExportPosition::Referral(id)) => id.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    let mut statement = connection.prepare(concat!(
        "SELECT ",
        stored_columns!(),
        "
         FROM referral
         WHERE id > ?1
         ORDER BY id"
    ))?;
    let mut found = statement.query([after])?;
    while let Some(row) = found.next()? {
        let referral = Box::new(rows::stored(row)?);
        if !visit(Record::Referral { referral, search: String::new() }) {
            break;
        }
    }
    Ok(())
}

fn log_after(
    connection: &Connection,
    after: Option<&ExportPosition>,
    visit: Visit<'_>,
) -> rusqlite::Result<()> {
    let (organization, position) = match after {
        Some(ExportPosition::Entry(organization, position)) => (organization.as_bytes().to_vec(), *position),
        _ => (Vec::new(), 0),
    };
    let mut statement = connection.prepare(
        "SELECT position, organization, referral, engagement, version,
                action, at, actor_organization, actor_user, changes
         FROM change_log INDEXED BY change_log_of_organization
         WHERE (organization, position) > (?1, ?2)
         ORDER BY organization, position",
    )?;
    let mut found = statement.query(params![organization, position])?;
    while let Some(row) = found.next()? {
        if !visit(Record::Entry(rows::log_entry(row)?)) {
            break;
        }
    }
    Ok(())
}

/// No index has them in this order: the keys alone are sorted, on the disk where they are many.
fn answers_after(
    connection: &Connection,
    after: Option<&ExportPosition>,
    visit: Visit<'_>,
) -> rusqlite::Result<()> {
    let (organization, digest) = match after {
        Some(ExportPosition::Answer(organization, digest)) => {
            (organization.as_bytes().to_vec(), digest.to_vec())
        }
        _ => (Vec::new(), Vec::new()),
    };
    let mut keys = connection.prepare(
        "SELECT row
         FROM answer
         WHERE (organization, digest) > (?1, ?2)
         ORDER BY organization, digest",
    )?;
    let mut one = connection.prepare(
        "SELECT request_digest, status, content, organization, digest, remembered_at
         FROM answer
         WHERE row = ?1",
    )?;
    let mut found = keys.query(params![organization, digest])?;
    while let Some(key) = found.next()? {
        let given = one.query_row([key.get::<_, i64>(0)?], |row| {
            let key =
                IdempotencyKey { organization: rows::organization(row, 3)?, digest: rows::digest(row, 4)? };
            Ok(IdempotencyRecord { key, answer: rows::answer(row)?, at: rows::instant(row, 5)? })
        })?;
        if !visit(Record::Answer(given)) {
            break;
        }
    }
    Ok(())
}

fn settings(connection: &Connection, visit: Visit<'_>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT name, value
         FROM setting
         WHERE name <> ?1
         ORDER BY name",
    )?;
    let mut found = statement.query([UNFINISHED_COPY])?;
    while let Some(row) = found.next()? {
        if !visit(Record::Setting { name: row.get(0)?, value: row.get(1)? }) {
            break;
        }
    }
    Ok(())
}

/// Adds one record; what is counted of a referral goes to `tallies`.
fn add(
    connection: &Connection,
    record: &Record,
    writer: &Writer,
    facet_count_changes: &mut FacetCountChanges,
) -> rusqlite::Result<()> {
    match record {
        Record::Referral { referral, search } => {
            let words = writer.searchable.then_some(search.as_str());
            let document = writer.compression.encode(&referral.document);
            match writes::insert_unless_there(connection, referral, &document, words, facet_count_changes)? {
                true => Ok(()),
                false => Err(rusqlite::Error::StatementChangedRows(0)),
            }
        }
        Record::Entry(entry) => {
            let subject = changes::Subject {
                organization: &entry.organization,
                referral: entry.referral_id,
                engagement: entry.engagement_id,
                version: entry.version,
            };
            let news =
                Entry { changes: writer.compression.encode(&entry.entry.changes), ..entry.entry.clone() };
            changes::append_of(connection, &subject, &news, entry.position)
        }
        Record::Answer(given) => {
            let mut given = given.clone();
            given.answer.content = writer.compression.encode(&given.answer.content);
            changes::remember(connection, &given)
        }
        Record::Setting { name, value } => directory::save_setting(connection, name, value).map(drop),
        Record::Assignment(assignment) => directory::save_assignment(connection, assignment).map(drop),
        Record::Organization(organization) => {
            directory::save_organization(connection, organization).map(drop)
        }
    }
}

fn add_all(writer: &Writer, records: &[Record]) -> Result<(), StoreError> {
    writer.health.check()?;
    let connection = writer.connection.as_ref().ok_or(StoreError::Closed)?;
    let added = connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
        let mut facet_count_changes = FacetCountChanges::default();
        for record in records {
            add(connection, record, writer, &mut facet_count_changes)?;
        }
        facet_count_changes.write(connection)?;
        bulk::commit(connection, &writer.cache)?;
        writer.move_log(connection)
    });
    added.map_err(|error| {
        let _ = connection.execute_batch("ROLLBACK"); // refused where nothing is open
        writer.health.map_error("an import", error)
    })
}

#[async_trait::async_trait]
impl Transfer for SqliteStore {
    async fn load(&self, batches: Batches) -> Result<BulkReport, StoreError> {
        self.bulk_load(batches, |_| {}).await
    }

    fn export(&self, table: Table, after: Option<ExportPosition>) -> Export {
        let (mut feed, export) = Export::new();
        let files = self.files.clone();
        let reading = move || {
            let outcome = files.connect_reader().and_then(|connection| {
                connection
                    .execute_batch(&format!("PRAGMA cache_size = -{CACHE_KIB}"))
                    .and_then(|()| {
                        visit(&connection, table, after.as_ref(), &mut |record| handed_on(&mut feed, record))
                    })
                    .map_err(engine_error)
            });
            feed.end(outcome);
        };
        // If no thread is available, the feed is dropped, which the receiver notices.
        let _ = std::thread::Builder::new().name("store-export".to_owned()).spawn(reading);
        export
    }

    async fn import(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.health.check()?;
        let (reply, done) = oneshot::channel();
        let work = move |writer: &mut Writer| {
            let reply = reply;
            let _stop = StopOnPanic(std::sync::Arc::clone(&writer.health));
            let added = add_all(writer, &records);
            let _ = reply.send(added);
        };
        self.ask(Command::Exclusive(Box::new(work))).await?;
        done.await.map_err(|_| self.gone())?
    }

    async fn last(&self, table: Table) -> Result<Option<ExportPosition>, StoreError> {
        self.readers.read(move |connection| last(connection, table)).await
    }

    async fn records(&self, table: Table) -> Result<u64, StoreError> {
        let sql = match table {
            Table::Referrals => "SELECT count(*) FROM referral",
            Table::Log => "SELECT count(*) FROM change_log",
            Table::Answers => "SELECT count(*) FROM answer",
            Table::Settings => "SELECT count(*) FROM setting WHERE name <> ?1",
            Table::Assignments => "SELECT count(*) FROM assignment",
            Table::Organizations => "SELECT count(*) FROM organization",
        };
        self.readers
            .read(move |connection| match table {
                Table::Settings => connection.query_row(sql, [UNFINISHED_COPY], |row| row.get(0)),
                _ => connection.query_row(sql, [], |row| row.get(0)),
            })
            .await
    }

    async fn heads(&self) -> Result<Vec<(OrganizationId, Position)>, StoreError> {
        self.readers
            .read(|connection| {
                connection
                    .prepare(
                        "SELECT organization, max(position)
                         FROM change_log
                         GROUP BY organization
                         ORDER BY organization",
                    )?
                    .query_map([], |row| Ok((rows::organization(row, 0)?, row.get(1)?)))?
                    .collect()
            })
            .await
    }

    async fn remove_setting(&self, name: &str) -> Result<(), StoreError> {
        let name = name.to_owned();
        let remove = move |connection: &Connection| {
            let removed = connection.execute("DELETE FROM setting WHERE name = ?1", [&name])?;
            Ok(removed as u64)
        };
        self.write(remove).await.map(drop)
    }
}

/// Takes a record; whether somebody still wants more.
fn handed_on(feed: &mut Feed, record: Record) -> bool {
    !feed.take(record) || feed.hand_on()
}

fn last(connection: &Connection, table: Table) -> rusqlite::Result<Option<ExportPosition>> {
    match table {
        Table::Referrals => connection
            .query_row("SELECT id FROM referral ORDER BY id DESC LIMIT 1", [], |row| {
                rows::referral_id(row, 0).map(|id: ReferralId| ExportPosition::Referral(id))
            })
            .optional(),
        Table::Log => connection
            .query_row(
                "SELECT organization, position
                 FROM change_log
                 ORDER BY organization DESC, position DESC
                 LIMIT 1",
                [],
                |row| Ok(ExportPosition::Entry(rows::organization(row, 0)?, row.get(1)?)),
            )
            .optional(),
        Table::Answers => connection
            .query_row(
                "SELECT organization, digest
                 FROM answer
                 ORDER BY organization DESC, digest DESC
                 LIMIT 1",
                [],
                |row| Ok(ExportPosition::Answer(rows::organization(row, 0)?, rows::digest(row, 1)?)),
            )
            .optional(),
        Table::Settings | Table::Assignments | Table::Organizations => Ok(None),
    }
}

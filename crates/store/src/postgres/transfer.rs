//! Everything out and in, record by record: what is read in the order of the keys, and what is added as it was.

use std::sync::Arc;

use referral::{OrganizationId, ReferralId};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::changes::{GroupState, LogRow, NewVersion};
use super::pool::Pool;
use super::rows::{self, STORED};
use super::{PostgresStore, bulk, directory, writes};
use crate::transfer::Feed;
use crate::{
    Batches, BulkReport, Export, ExportPosition, IdempotencyKey, IdempotencyRecord, Position, Record,
    StoreError, Table, Transfer, UNFINISHED_COPY,
};

/// Records of one statement: of the longest documents they are two hundred megabytes, of usual ones half a megabyte.
const PAGE: i64 = 200;

/// Reads the records of a table after a mark, page after page: no statement takes long, nor is any transaction open
/// while somebody thinks.
async fn read(
    pool: &Arc<Pool>,
    table: Table,
    after: Option<ExportPosition>,
    feed: &mut Feed,
) -> Result<(), StoreError> {
    let small: Vec<Record> = match table {
        Table::Referrals => return referrals_after(pool, after, feed).await,
        Table::Log => return log_after(pool, after, feed).await,
        Table::Answers => return answers_after(pool, after, feed).await,
        Table::Settings => settings(pool).await?,
        Table::Assignments => {
            directory::assignments(pool).await?.into_iter().map(Record::Assignment).collect()
        }
        Table::Organizations => {
            directory::organizations(pool).await?.into_iter().map(Record::Organization).collect()
        }
    };
    for record in small {
        if !handed_on(feed, record).await {
            break;
        }
    }
    Ok(())
}

/// Takes a record; whether somebody still wants more.
async fn handed_on(feed: &mut Feed, record: Record) -> bool {
    !feed.take(record) || feed.hand_on_async().await
}

async fn referrals_after(
    pool: &Arc<Pool>,
    after: Option<ExportPosition>,
    feed: &mut Feed,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {STORED}
         FROM referral_directory
         JOIN referral
           ON referral.owner = referral_directory.owner
           AND referral.id = referral_directory.id
         WHERE referral_directory.id > $1
         ORDER BY referral_directory.id
         LIMIT $2"
    );
    let mut after = match after {
        Some(ExportPosition::Referral(id)) => id.as_bytes().to_vec(),
        _ => Vec::new(),
    };
    loop {
        let found = pool.rows(&sql, &[(&after, Type::BYTEA), (&PAGE, Type::INT8)]).await?;
        for row in &found {
            let referral = Box::new(rows::stored(row)?);
            after = referral.id.as_bytes().to_vec();
            if !handed_on(feed, Record::Referral { referral, search: String::new() }).await {
                return Ok(());
            }
        }
        if is_last(&found) {
            return Ok(());
        }
    }
}

fn is_last(found: &[Row]) -> bool {
    (found.len() as i64) < PAGE
}

async fn log_after(
    pool: &Arc<Pool>,
    after: Option<ExportPosition>,
    feed: &mut Feed,
) -> Result<(), StoreError> {
    let (mut organization, mut position) = match after {
        Some(ExportPosition::Entry(organization, position)) => {
            (organization.as_bytes().to_vec(), i64::try_from(position).unwrap_or(i64::MAX))
        }
        _ => (Vec::new(), 0),
    };
    loop {
        let found = pool
            .rows(
                "SELECT position, organization, referral, engagement, version,
                        action, at, actor_organization, actor_user, changes
                 FROM change_log
                 WHERE (organization, position) > ($1, $2)
                 ORDER BY organization, position
                 LIMIT $3",
                &[(&organization, Type::BYTEA), (&position, Type::INT8), (&PAGE, Type::INT8)],
            )
            .await?;
        for row in &found {
            let entry = rows::log_entry(row)?;
            organization = entry.organization.as_bytes().to_vec();
            position = rows::get(row, 0)?;
            if !handed_on(feed, Record::Entry(entry)).await {
                return Ok(());
            }
        }
        if is_last(&found) {
            return Ok(());
        }
    }
}

async fn answers_after(
    pool: &Arc<Pool>,
    after: Option<ExportPosition>,
    feed: &mut Feed,
) -> Result<(), StoreError> {
    let (mut organization, mut digest) = match after {
        Some(ExportPosition::Answer(organization, digest)) => {
            (organization.as_bytes().to_vec(), digest.to_vec())
        }
        _ => (Vec::new(), Vec::new()),
    };
    loop {
        let found = pool
            .rows(
                "SELECT request_digest, status, content, organization, digest, remembered_at
                 FROM answer
                 WHERE (organization, digest) > ($1, $2)
                 ORDER BY organization, digest
                 LIMIT $3",
                &[(&organization, Type::BYTEA), (&digest, Type::BYTEA), (&PAGE, Type::INT8)],
            )
            .await?;
        for row in &found {
            let key =
                IdempotencyKey { organization: rows::organization(row, 3)?, digest: rows::digest(row, 4)? };
            organization = key.organization.as_bytes().to_vec();
            digest = key.digest.to_vec();
            let given = IdempotencyRecord { key, answer: rows::answer(row, 0)?, at: rows::instant(row, 5)? };
            if !handed_on(feed, Record::Answer(given)).await {
                return Ok(());
            }
        }
        if is_last(&found) {
            return Ok(());
        }
    }
}

async fn settings(pool: &Arc<Pool>) -> Result<Vec<Record>, StoreError> {
    let found = pool
        .rows(
            "SELECT name, value
             FROM setting
             WHERE name <> $1
             ORDER BY name",
            &[(&UNFINISHED_COPY, Type::TEXT)],
        )
        .await?;
    let setting = |row| Ok(Record::Setting { name: rows::get(row, 0)?, value: rows::get(row, 1)? });
    found.iter().map(setting).collect()
}

/// What rows there are to write of referrals, entries and answers; the rest comes back.
fn taken_in(records: Vec<Record>) -> Result<(GroupState, Vec<Record>), StoreError> {
    let mut state = GroupState::default();
    let mut rest = Vec::new();
    for record in records {
        match record {
            Record::Referral { referral, search } => {
                let id = referral.id;
                let newest = NewVersion { referral: *referral, words: Some(search), before: None };
                if state.write_set.referrals.insert(id, newest).is_some() {
                    return Err(StoreError::Engine(format!("referral {id} comes twice")));
                }
            }
            Record::Entry(entry) => {
                let head = state.positions.entry(entry.organization.clone()).or_default();
                *head = entry.position.max(*head);
                state.write_set.log_rows.push(LogRow {
                    owner: entry.organization,
                    position: entry.position,
                    referral: entry.referral_id,
                    engagement: entry.engagement_id,
                    version: entry.version,
                    entry: entry.entry,
                });
            }
            Record::Answer(given) => state.write_set.answers.push(given),
            small => rest.push(small),
        }
    }
    Ok((state, rest))
}

#[async_trait::async_trait]
impl Transfer for PostgresStore {
    async fn load(&self, batches: Batches) -> Result<BulkReport, StoreError> {
        bulk::load(&self.pool, self.compression, batches).await
    }

    fn export(&self, table: Table, after: Option<ExportPosition>) -> Export {
        let (mut feed, export) = Export::new();
        let pool = Arc::clone(&self.pool);
        tokio::spawn(async move {
            let outcome = read(&pool, table, after, &mut feed).await;
            feed.end_async(outcome).await;
        });
        export
    }

    async fn import(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let records = records.into_iter().map(|record| self.compression.record(record)).collect();
        let (state, rest) = taken_in(records)?;
        if !state.write_set.is_empty() {
            let mut lease = bulk::begin(&self.pool).await?;
            let organizations: Vec<Vec<u8>> =
                state.positions.keys().map(|id| id.as_bytes().to_vec()).collect();
            bulk::lock_heads(&lease, &organizations).await?;
            bulk::run(&lease, &writes::statements(&state)).await?;
            lease.with_timeout(lease.client().batch_execute("COMMIT")).await?;
            lease.mark_idle();
        }
        // Few, and the same when they are written again.
        for record in rest {
            match record {
                Record::Setting { name, value } => directory::save_setting(&self.pool, &name, &value).await?,
                Record::Assignment(assignment) => directory::save_assignment(&self.pool, &assignment).await?,
                Record::Organization(organization) => {
                    directory::save_organization(&self.pool, &organization).await?;
                }
                Record::Referral { .. } | Record::Entry(_) | Record::Answer(_) => {}
            }
        }
        Ok(())
    }

    async fn last(&self, table: Table) -> Result<Option<ExportPosition>, StoreError> {
        let (sql, mark): (&str, fn(&Row) -> Result<ExportPosition, StoreError>) = match table {
            Table::Referrals => ("SELECT id FROM referral_directory ORDER BY id DESC LIMIT 1", |row| {
                rows::referral_id(row, 0).map(|id: ReferralId| ExportPosition::Referral(id))
            }),
            Table::Log => (
                "SELECT organization, position
                 FROM change_log
                 ORDER BY organization DESC, position DESC
                 LIMIT 1",
                |row| Ok(ExportPosition::Entry(rows::organization(row, 0)?, rows::count(row, 1)?)),
            ),
            Table::Answers => (
                "SELECT organization, digest
                 FROM answer
                 ORDER BY organization DESC, digest DESC
                 LIMIT 1",
                |row| Ok(ExportPosition::Answer(rows::organization(row, 0)?, rows::digest(row, 1)?)),
            ),
            Table::Settings | Table::Assignments | Table::Organizations => return Ok(None),
        };
        self.pool.rows(sql, &[]).await?.first().map(mark).transpose()
    }

    async fn records(&self, table: Table) -> Result<u64, StoreError> {
        let sql = match table {
            Table::Referrals => "SELECT count(*) FROM referral",
            Table::Log => "SELECT count(*) FROM change_log",
            Table::Answers => "SELECT count(*) FROM answer",
            Table::Settings => return Ok(settings(&self.pool).await?.len() as u64),
            Table::Assignments => "SELECT count(*) FROM assignment",
            Table::Organizations => "SELECT count(*) FROM organization",
        };
        self.pool.rows(sql, &[]).await?.first().map_or(Ok(0), |row| rows::count(row, 0))
    }

    async fn heads(&self) -> Result<Vec<(OrganizationId, Position)>, StoreError> {
        let found = self
            .pool
            .rows(
                "SELECT organization, position
                 FROM log_head
                 WHERE position > 0
                 ORDER BY organization",
                &[],
            )
            .await?;
        found.iter().map(|row| Ok((rows::organization(row, 0)?, rows::count(row, 1)?))).collect()
    }

    async fn remove_setting(&self, name: &str) -> Result<(), StoreError> {
        self.pool
            .rows("DELETE FROM setting WHERE name = $1 RETURNING 1", &[(&name, Type::TEXT)])
            .await
            .map(drop)
    }
}

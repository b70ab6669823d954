//! Lists: pages and counts. The planner chooses the access path (`planner/access_path.rs`), the server tests the
//! predicates that columns decide (`select.rs`), and the residual is evaluated here, row by row
//! (`planner/planned_query.rs`), on separate threads (`list_threads.rs`).

use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use referral::ReferralId;
use serde_json::Value as Json;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::PgError;
use super::list_threads::ListThreads;
use super::pool::{Lease, Param, Pool};
use super::rows::{self, STORED};
use super::select::{SelectBuilder, Sql};
use crate::compression;
use crate::item::{ColumnValues, ItemSource};
use crate::list_work::{ListWork, PAGE_BYTES, QueryLimits, too_costly};
use crate::planner::{
    AccessPath, IndexOrder, PlannedQuery, Predicates, Statistics, TopRows, add_facet_count,
    check_expressions, rows_needed,
};
use crate::{CountMode, Cursor, Query, QueryResult, StoreError, StoredReferral};

/// How many rows a page asks for at first, when some may not pass; then twice as many each time, up to the second.
const FIRST_BATCH: i64 = 64;
const LARGEST_BATCH: i64 = 1024;
/// How long a count may take, in milliseconds, that is wanted only if it is cheap.
const CHEAP_COUNT: u64 = 200;
/// Rows that are read before other tasks have their turn.
const TURN: usize = 64;
/// Rows of a page whose documents are fetched at a time.
const FETCHED: usize = 64;

/// Converts an error to the one that a list reports: a statement timeout means that the list costs too much.
pub(super) fn list_error(pg_error: PgError) -> StoreError {
    match pg_error {
        PgError::StatementTimeout => too_costly(),
        pg_error => pg_error.into(),
    }
}

/// A read transaction: everything in it is one snapshot.
pub(super) struct ReadTransaction {
    pub(super) lease: Lease,
}

impl ReadTransaction {
    /// Begins to read; what a query's way is chosen by comes with the same round trip.
    async fn begin(pool: &Arc<Pool>, statistics: &Sql) -> Result<(ReadTransaction, Vec<Row>), StoreError> {
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}", pool.limits());
        let mut tries = 0;
        loop {
            let mut lease = pool.acquire().await?;
            lease.mark_reading();
            tries += 1;
            let client = lease.client();
            let params = statistics.params();
            let both = async {
                tokio::try_join!(biased; client.batch_execute(&begin), client.query_typed(&statistics.text, &params))
            };
            match lease.with_timeout(both).await {
                Ok(((), rows)) => return Ok((ReadTransaction { lease }, rows)),
                Err(PgError::Unreachable(_)) if tries < 3 => {}
                Err(pg_error) => return Err(list_error(pg_error)),
            }
        }
    }

    pub(super) async fn end(mut self) -> Result<(), StoreError> {
        self.lease.with_timeout(self.lease.client().batch_execute("COMMIT")).await.map_err(list_error)?;
        self.lease.mark_idle();
        Ok(())
    }

    pub(super) async fn rows(&self, sql: &Sql) -> Result<Vec<Row>, StoreError> {
        let params = sql.params();
        self.lease.with_timeout(self.lease.client().query_typed(&sql.text, &params)).await.map_err(list_error)
    }

    /// Visits all rows of a statement, a few in memory at a time. Broken off, it leaves the connection torn.
    pub(super) async fn visit(
        &self,
        sql: &Sql,
        mut visit: impl FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let client = self.lease.client();
        let stream = self.lease.with_timeout(client.query_typed_raw(&sql.text, sql.params())).await;
        let mut stream = pin!(stream.map_err(list_error)?);
        while let Some(row) = self.lease.with_timeout(stream.try_next()).await.map_err(list_error)? {
            visit(&row)?;
        }
        Ok(())
    }
}

/// One page, and the count where it is wanted: both of one moment. A list that columns and indexes tell runs in the task
/// that asks for it, and any other on a thread.
pub(super) async fn find(
    pool: &Arc<Pool>,
    threads: &ListThreads,
    limits: QueryLimits,
    query: &Query,
) -> Result<QueryResult, StoreError> {
    check_expressions(query.filter.as_ref(), &query.order)?;
    if is_told_by_columns(query) {
        let _permit = threads.permit(&query.scope.owner, pool).await?;
        // Its future is dropped when the caller is gone.
        return find_within(pool, query, &ListWork::new(limits, Arc::new(|| false))).await;
    }
    let (pool, owned) = (Arc::clone(pool), query.clone());
    let owner = &query.scope.owner;
    threads
        .run(owner, move |interrupt| async move {
            let work = ListWork::new(limits, interrupt);
            find_within(&pool, &owned, &work).await
        })
        .await
}

/// Returns whether no expression is evaluated for rows and an index has the order.
fn is_told_by_columns(query: &Query) -> bool {
    let work = ListWork::for_a_look();
    let predicates = Predicates::of(query, &work.evaluator(query.scope.now));
    query.search.is_none()
        && IndexOrder::of(query).is_some()
        && predicates.is_ok_and(|predicates| predicates.residual.is_empty())
}

async fn find_within(pool: &Arc<Pool>, query: &Query, work: &ListWork) -> Result<QueryResult, StoreError> {
    let (reading, planned) = plan_query(pool, query, work).await?;
    let (found, known) = match query.limit {
        0 => (QueryResult::default(), None),
        _ => reading.page(&planned, work).await?,
    };
    let counted = match (query.count, known) {
        (CountMode::No, _) => None,
        (_, Some(matching)) => Some(CountResult { matching, unreadable: 0 }),
        (CountMode::Exact, None) => Some(reading.count(&planned, work).await?),
        (CountMode::IfCheap, None) => {
            let share = work.cheap_share();
            let counted = async {
                let limit = format!("SET LOCAL statement_timeout = {CHEAP_COUNT}");
                reading
                    .lease
                    .with_timeout(reading.lease.client().batch_execute(&limit))
                    .await
                    .map_err(list_error)?;
                reading.count(&planned, &share).await
            };
            match counted.await {
                // The transaction is given up with its connection.
                Err(StoreError::TooCostly(_)) => return Ok(found),
                counted => Some(counted?),
            }
        }
    };
    reading.end().await?;
    let unreadable = found.unreadable.max(counted.map_or(0, |counted| counted.unreadable));
    Ok(QueryResult { count: counted.map(|counted| counted.matching), unreadable, ..found })
}

pub(super) async fn plan_query<'q>(
    pool: &Arc<Pool>,
    query: &'q Query,
    work: &ListWork,
) -> Result<(ReadTransaction, PlannedQuery<'q>), StoreError> {
    let predicates = Predicates::of(query, &work.evaluator(query.scope.now))?;
    let (reading, rows) = ReadTransaction::begin(pool, &statistics(query, &predicates)).await?;
    let mut statistics = Statistics::default();
    for row in &rows {
        let (facet, number) = (rows::facet(row, 0)?, rows::count(row, 1)?);
        let counts = if rows::get(row, 2)? { &mut statistics.in_country } else { &mut statistics.facets };
        add_facet_count(counts, facet, number);
    }
    // No index finds words here: each referral is tested.
    statistics.found = query.search.as_ref().map(|_| u64::MAX);
    let (total, rows_needed) = (statistics.total(), rows_needed(query));
    if let Some(most) = predicates.updated_probe_limit(IndexOrder::of(query), total, rows_needed) {
        statistics.updated = Some(updated_within(&reading, query, &predicates, most).await?);
    }
    let planned = PlannedQuery::new(query, predicates, statistics, work)?;
    Ok((reading, planned))
}

/// Selects the facet counts: facet key, number, and whether it is of the country.
pub(super) fn statistics(query: &Query, predicates: &Predicates<'_>) -> Sql {
    let owner = query.scope.owner.as_bytes();
    let leads = if query.scope.offer_leads { "(FALSE, TRUE)" } else { "(FALSE)" };
    let mut sql = Sql::default();
    sql.bytes("SELECT class, n, FALSE FROM tally WHERE n > 0 AND owner = ", owner);
    sql.push(&format!(" AND offer_lead IN {leads}"));
    if let Some(country) = predicates.country {
        sql.bytes(" UNION ALL SELECT class, n, TRUE FROM country_tally WHERE n > 0 AND owner = ", owner);
        sql.push(&format!(" AND offer_lead IN {leads}"));
        sql.bytes(" AND country = ", country.as_bytes());
    }
    sql
}

/// Counts referrals updated in a range, up to a limit.
async fn updated_within(
    reading: &ReadTransaction,
    query: &Query,
    predicates: &Predicates<'_>,
    most: u64,
) -> Result<u64, StoreError> {
    let leads = if query.scope.offer_leads { "(FALSE, TRUE)" } else { "(FALSE)" };
    let mut sql = Sql::default();
    let from = "SELECT count(*) FROM (SELECT 1 FROM referral WHERE referral.owner = ";
    sql.bytes(from, query.scope.owner.as_bytes());
    sql.push(&format!(" AND referral.offer_lead IN {leads}"));
    sql.push_range("referral.updated", &predicates.updated);
    sql.integer(" LIMIT ", i64::try_from(most).unwrap_or(i64::MAX));
    sql.push(") AS probe");
    reading.rows(&sql).await?.first().map_or(Ok(0), |row| rows::count(row, 0))
}

/// The number of matching rows.
#[derive(Debug, Clone, Copy)]
struct CountResult {
    matching: u64,
    /// Number of rows that could not be evaluated because their documents are damaged.
    unreadable: usize,
}

/// A row that expressions are evaluated for.
pub(super) struct Candidate {
    pub(super) id: ReferralId,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) item: Json,
}

/// Returns whether the words of a row match the search.
fn has_words(
    planned: &PlannedQuery<'_>,
    row: &Row,
    column: usize,
    work: &ListWork,
) -> Result<bool, StoreError> {
    match planned.predicates.search {
        Some(search) => Ok(crate::matches_within_budget(search, rows::words(row, column)?, work.work())?),
        None => Ok(true),
    }
}

impl ReadTransaction {
    /// Returns the page, and the number of all matching rows, if it is known.
    async fn page(
        &self,
        planned: &PlannedQuery<'_>,
        work: &ListWork,
    ) -> Result<(QueryResult, Option<u64>), StoreError> {
        let access_path = planned.page_access_path();
        if access_path == AccessPath::Nothing {
            return Ok((QueryResult::default(), Some(0)));
        }
        match planned.index_order_of(&access_path) {
            Some(index_order) => {
                Ok((self.index_order_of(planned, &access_path, index_order, work).await?, None))
            }
            None => self.sorted(planned, &access_path, work).await,
        }
    }

    /// Returns the page in the order of an index.
    async fn index_order_of(
        &self,
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        index_order: IndexOrder,
        work: &ListWork,
    ) -> Result<QueryResult, StoreError> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let plain = planned.has_no_residual() && planned.predicates.search.is_none();
        let source = planned.filter_source();
        let limit = planned.query.limit;
        let mut skip = planned.query.skip;
        let (mut batch, mut offset) = match plain {
            true => (number(limit as u64).min(LARGEST_BATCH), number(std::mem::take(&mut skip))),
            false => (FIRST_BATCH.max(number(planned.rows_needed())).min(LARGEST_BATCH), 0),
        };
        let mut found = QueryResult::default();
        let mut bytes = 0;
        let mut visited = 0;
        let mut after = planned.after();
        loop {
            let rows = self
                .rows(&SelectBuilder { planned }.page(access_path, index_order, after, batch, offset))
                .await?;
            offset = 0;
            for row in &rows {
                work.take_row()?;
                if visited % TURN == TURN - 1 {
                    tokio::task::yield_now().await;
                }
                let (at, id) = rows::instant_and_id(row, index_order.by)?;
                after = Some((at, id));
                visited += 1;
                let Some(referral) = rows::stored_unless_damaged(row)? else {
                    *(if plain { &mut found.left_out } else { &mut found.unreadable }) += 1;
                    continue;
                };
                if !plain {
                    work.take_document(referral.document.len())?;
                    let matches = has_words(planned, row, rows::WORDS_AFTER_STORED, work)? && {
                        let item = source.item_of_document(id, &referral.document)?;
                        planned.matches(&item, work)?
                    };
                    if !matches {
                        continue;
                    }
                    if skip > 0 {
                        skip -= 1;
                        continue;
                    }
                }
                bytes += referral.document.len();
                let cursor = index_order.cursor(at, referral.id);
                found.referrals.push((Arc::new(referral), cursor));
                if found.referrals.len() + found.left_out >= limit {
                    return Ok(found);
                }
                if bytes > PAGE_BYTES {
                    found.cut_short = true;
                    return Ok(found);
                }
            }
            let is_last = number(rows.len() as u64) < batch;
            if is_last || (plain && visited >= limit) {
                return Ok(found);
            }
            batch = batch.saturating_mul(2).min(LARGEST_BATCH);
            if plain {
                batch = batch.min(number((limit - visited) as u64));
            }
        }
    }

    /// The page of an order that no index has, and how many match in all.
    async fn sorted(
        &self,
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        work: &ListWork,
    ) -> Result<(QueryResult, Option<u64>), StoreError> {
        let source = planned.order_source();
        let mut first = TopRows::new(planned, work);
        let unreadable = self.scan(planned, access_path, &source, work, |candidate| {
            let Candidate { id, created, updated, item } = candidate;
            if planned.matches(&item, work)? {
                first.add(planned.cursor(id, created, updated, &item, work)?, ())?;
            }
            Ok(())
        });
        let unreadable = unreadable.await?;
        let (cursors, matching) = first.finish();
        let found =
            self.documents_of(planned, cursors.into_iter().map(|(cursor, ())| cursor).collect()).await?;
        Ok((QueryResult { unreadable, ..found }, Some(matching)))
    }

    /// Visits every row that the columns and the words tell of, in no order, with an item from a source; how many could
    /// not be read because their documents are damaged.
    pub(super) async fn scan(
        &self,
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        source: &ItemSource,
        work: &ListWork,
        mut visit: impl FnMut(Candidate) -> Result<(), StoreError>,
    ) -> Result<usize, StoreError> {
        let builder = SelectBuilder { planned };
        let sql = builder.set(access_path, &builder.scanned(source));
        let mut unreadable = 0;
        let visited = self.visit(&sql, |row| {
            work.take_row()?;
            if !has_words(planned, row, row.len() - 1, work)? {
                return Ok(());
            }
            let id = rows::referral_id(row, 0)?;
            let (created, updated) = (rows::get(row, 1)?, rows::get(row, 2)?);
            let item = match source {
                ItemSource::Nothing => Json::Null,
                ItemSource::Columns(_) => source.item_of_columns(&column_values(row, id, created, updated)?),
                ItemSource::Document(_) => match compression::decode(rows::get(row, 3)?) {
                    Ok(document) => {
                        work.take_document(document.len())?;
                        source.item_of_document(id, &document)?
                    }
                    Err(error) => {
                        tracing::error!(referral = %id, %error, "The document of referral {id} cannot be read, and is left out: {error}");
                        unreadable += 1;
                        return Ok(());
                    }
                },
            };
            visit(Candidate { id, created, updated, item })
        });
        visited.await?;
        Ok(unreadable)
    }

    /// The referrals of places in order, as many as their bytes allow.
    async fn documents_of(
        &self,
        planned: &PlannedQuery<'_>,
        cursors: Vec<Cursor>,
    ) -> Result<QueryResult, StoreError> {
        let mut found = QueryResult::default();
        let mut bytes = 0;
        for chunk in cursors.chunks(FETCHED) {
            let ids: Vec<ReferralId> = chunk.iter().map(|cursor| cursor.id).collect();
            let mut referrals = self.referrals_of(planned.query.scope.owner.as_bytes(), &ids).await?;
            for cursor in chunk {
                let of_place = referrals.iter().position(|referral| referral.id == cursor.id);
                let Some(referral) = of_place.map(|at| referrals.swap_remove(at)) else {
                    found.left_out += 1;
                    continue;
                };
                bytes += referral.document.len();
                found.referrals.push((Arc::new(referral), cursor.clone()));
                if bytes > PAGE_BYTES {
                    found.cut_short = found.referrals.len() + found.left_out < cursors.len();
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// The referrals with these ids, in no order, without those that are damaged.
    pub(super) async fn referrals_of(
        &self,
        owner: &[u8],
        ids: &[ReferralId],
    ) -> Result<Vec<StoredReferral>, StoreError> {
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id.as_bytes()[..]).collect();
        let sql = format!("SELECT {STORED} FROM referral WHERE owner = $1 AND id = ANY ($2)");
        let params: [Param<'_>; 2] = [(&owner, Type::BYTEA), (&ids, Type::BYTEA_ARRAY)];
        let rows = self
            .lease
            .with_timeout(self.lease.client().query_typed(&sql, &params))
            .await
            .map_err(list_error)?;
        rows.iter().filter_map(|row| rows::stored_unless_damaged(row).transpose()).collect()
    }

    /// Returns the number of matching rows.
    async fn count(&self, planned: &PlannedQuery<'_>, work: &ListWork) -> Result<CountResult, StoreError> {
        let counted = |matching| CountResult { matching, unreadable: 0 };
        if let Some(count) = planned.count_from_facets() {
            return Ok(counted(count));
        }
        let access_path = planned.scan_access_path();
        if access_path == AccessPath::Nothing {
            return Ok(counted(0));
        }
        if planned.has_no_residual() && planned.predicates.search.is_none() {
            let rows = self.rows(&SelectBuilder { planned }.set(&access_path, "count(*)")).await?;
            return rows.first().map_or(Ok(0), |row| rows::count(row, 0)).map(counted);
        }
        let source = planned.filter_source();
        let mut matching = 0;
        let unreadable = self.scan(planned, &access_path, &source, work, |candidate| {
            matching += u64::from(planned.matches(&candidate.item, work)?);
            Ok(())
        });
        let unreadable = unreadable.await?;
        Ok(CountResult { matching, unreadable })
    }
}

/// Reads the columns that items are made from, as [`SelectBuilder::scanned`] selects them.
fn column_values(row: &Row, id: ReferralId, created: i64, updated: i64) -> Result<ColumnValues, StoreError> {
    Ok(ColumnValues {
        id,
        created,
        updated,
        facet: rows::facet(row, 3)?,
        expires: rows::get(row, 4)?,
        accepted: rows::get(row, 5)?,
        country: rows::text(row, 6)?,
        shared_with_microsoft: rows::get(row, 7)?,
        engagement: rows::engagement_id(row, 8)?,
    })
}

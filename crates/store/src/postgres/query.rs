//! Lists by the query language. What way is taken is decided in `plan.rs`, what columns tell is asked of the server
//! (`ways.rs`), and the rest is evaluated here for one row after the other (`asked.rs`), on threads of its own
//! (`list_threads.rs`).

use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use referral::ReferralId;
use serde_json::Value as Json;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Trouble;
use super::list_threads::ListThreads;
use super::pool::{Lease, Param, Pool};
use super::rows::{self, STORED};
use super::ways::{Sql, Ways};
use crate::asked::{Asked, FirstPlaces, check_expressions, wanted};
use crate::item::{ColumnValues, ItemSource};
use crate::list_work::{ListWork, PAGE_BYTES, QueryLimits, too_costly};
use crate::packing;
use crate::plan::{Conditions, Figures, Natural, Way, add};
use crate::{Counting, Found, Place, Query, StoreError, StoredReferral};

/// How many rows a page asks for at first, when some may not pass; then twice as many each time, up to the second.
const FIRST_BATCH: i64 = 64;
const LARGEST_BATCH: i64 = 1024;
/// How long a count may take, in milliseconds, that is wanted only if it is cheap.
const CHEAP_COUNT: u64 = 200;
/// Rows that are read before other tasks have their turn.
const TURN: usize = 64;
/// Rows of a page whose documents are fetched at a time.
const FETCHED: usize = 64;

/// What a list is told when a statement was broken off.
pub(super) fn judge(trouble: Trouble) -> StoreError {
    match trouble {
        Trouble::TooLong => too_costly(),
        trouble => trouble.into(),
    }
}

/// A transaction that reads: everything in it is of one moment.
pub(super) struct Reading {
    pub(super) lease: Lease,
}

impl Reading {
    /// Begins to read; what a query's way is chosen by comes with the same round trip.
    async fn begin(pool: &Arc<Pool>, figures: &Sql) -> Result<(Reading, Vec<Row>), StoreError> {
        let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}", pool.limits());
        let mut tries = 0;
        loop {
            let mut lease = pool.lend().await?;
            lease.is_reading();
            tries += 1;
            let client = lease.client();
            let params = figures.params();
            let both = async {
                tokio::try_join!(biased; client.batch_execute(&begin), client.query_typed(&figures.text, &params))
            };
            match lease.within(both).await {
                Ok(((), rows)) => return Ok((Reading { lease }, rows)),
                Err(Trouble::Absent(_)) if tries < 3 => {}
                Err(trouble) => return Err(judge(trouble)),
            }
        }
    }

    pub(super) async fn end(mut self) -> Result<(), StoreError> {
        self.lease.within(self.lease.client().batch_execute("COMMIT")).await.map_err(judge)?;
        self.lease.is_whole_again();
        Ok(())
    }

    pub(super) async fn rows(&self, sql: &Sql) -> Result<Vec<Row>, StoreError> {
        let params = sql.params();
        self.lease.within(self.lease.client().query_typed(&sql.text, &params)).await.map_err(judge)
    }

    /// Visits all rows of a statement, a few in memory at a time. Broken off, it leaves the connection torn.
    pub(super) async fn visit(
        &self,
        sql: &Sql,
        mut visit: impl FnMut(&Row) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let client = self.lease.client();
        let stream = self.lease.within(client.query_typed_raw(&sql.text, sql.params())).await;
        let mut stream = pin!(stream.map_err(judge)?);
        while let Some(row) = self.lease.within(stream.try_next()).await.map_err(judge)? {
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
) -> Result<Found, StoreError> {
    check_expressions(query.filter.as_ref(), &query.order)?;
    if is_told_by_columns(query) {
        let _permit = threads.permit(&query.scope.owner, pool).await?;
        // Its future is dropped when the caller is gone.
        return find_within(pool, query, &ListWork::new(limits, Arc::new(|| false))).await;
    }
    let (pool, asked) = (Arc::clone(pool), query.clone());
    let owner = &query.scope.owner;
    threads
        .run(owner, move |interrupt| async move {
            let work = ListWork::new(limits, interrupt);
            find_within(&pool, &asked, &work).await
        })
        .await
}

/// Whether nothing is to be evaluated for rows, and an index has the order.
fn is_told_by_columns(query: &Query) -> bool {
    let work = ListWork::for_a_look();
    let conditions = Conditions::of(query, &work.evaluator(query.scope.now));
    query.search.is_none()
        && Natural::of(query).is_some()
        && conditions.is_ok_and(|conditions| conditions.rest.is_empty())
}

async fn find_within(pool: &Arc<Pool>, query: &Query, work: &ListWork) -> Result<Found, StoreError> {
    let (reading, asked) = ask(pool, query, work).await?;
    let (found, known) = match query.limit {
        0 => (Found::default(), None),
        _ => reading.page(&asked, work).await?,
    };
    let counted = match (query.count, known) {
        (Counting::No, _) => None,
        (_, Some(matching)) => Some(Counted { matching, unreadable: 0 }),
        (Counting::Exact, None) => Some(reading.count(&asked, work).await?),
        (Counting::IfCheap, None) => {
            let share = work.cheap_share();
            let counted = async {
                let limit = format!("SET LOCAL statement_timeout = {CHEAP_COUNT}");
                reading.lease.within(reading.lease.client().batch_execute(&limit)).await.map_err(judge)?;
                reading.count(&asked, &share).await
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
    Ok(Found { count: counted.map(|counted| counted.matching), unreadable, ..found })
}

pub(super) async fn ask<'q>(
    pool: &Arc<Pool>,
    query: &'q Query,
    work: &ListWork,
) -> Result<(Reading, Asked<'q>), StoreError> {
    let conditions = Conditions::of(query, &work.evaluator(query.scope.now))?;
    let (reading, rows) = Reading::begin(pool, &figures(query, &conditions)).await?;
    let mut figures = Figures::default();
    for row in &rows {
        let (class, number) = (rows::class(row, 0)?, rows::count(row, 1)?);
        let counts = if rows::get(row, 2)? { &mut figures.in_country } else { &mut figures.classes };
        add(counts, class, number);
    }
    // No index finds words here: each referral is asked for them.
    figures.found = query.search.as_ref().map(|_| u64::MAX);
    let (total, wanted) = (figures.total(), wanted(query));
    if let Some(most) = conditions.probe(Natural::of(query), total, wanted) {
        figures.updated = Some(updated_within(&reading, query, &conditions, most).await?);
    }
    let asked = Asked::new(query, conditions, figures, work)?;
    Ok((reading, asked))
}

/// The kept counts: class, number, and whether of the country.
pub(super) fn figures(query: &Query, conditions: &Conditions<'_>) -> Sql {
    let owner = query.scope.owner.as_bytes();
    let leads = if query.scope.offer_leads { "(FALSE, TRUE)" } else { "(FALSE)" };
    let mut sql = Sql::default();
    sql.bytes("SELECT class, n, FALSE FROM tally WHERE n > 0 AND owner = ", owner);
    sql.push(&format!(" AND offer_lead IN {leads}"));
    if let Some(country) = conditions.country {
        sql.bytes(" UNION ALL SELECT class, n, TRUE FROM country_tally WHERE n > 0 AND owner = ", owner);
        sql.push(&format!(" AND offer_lead IN {leads}"));
        sql.bytes(" AND country = ", country.as_bytes());
    }
    sql
}

/// How many were updated in a range, counted up to a bound.
async fn updated_within(
    reading: &Reading,
    query: &Query,
    conditions: &Conditions<'_>,
    most: u64,
) -> Result<u64, StoreError> {
    let leads = if query.scope.offer_leads { "(FALSE, TRUE)" } else { "(FALSE)" };
    let mut sql = Sql::default();
    let from = "SELECT count(*) FROM (SELECT 1 FROM referral WHERE referral.owner = ";
    sql.bytes(from, query.scope.owner.as_bytes());
    sql.push(&format!(" AND referral.offer_lead IN {leads}"));
    sql.within("referral.updated", &conditions.updated);
    sql.integer(" LIMIT ", i64::try_from(most).unwrap_or(i64::MAX));
    sql.push(") AS probe");
    reading.rows(&sql).await?.first().map_or(Ok(0), |row| rows::count(row, 0))
}

/// How many rows match.
#[derive(Debug, Clone, Copy)]
struct Counted {
    matching: u64,
    /// How many rows could not be evaluated because their documents are damaged.
    unreadable: usize,
}

/// What is known of a row when expressions are evaluated for it.
pub(super) struct Candidate {
    pub(super) id: ReferralId,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) item: Json,
}

/// A row whose words are to be held against a search.
fn has_words(asked: &Asked<'_>, row: &Row, column: usize, work: &ListWork) -> Result<bool, StoreError> {
    match asked.conditions.search {
        Some(search) => Ok(crate::matches_within_budget(search, rows::words(row, column)?, work.work())?),
        None => Ok(true),
    }
}

impl Reading {
    /// The page, and how many match in all where that is known by the way.
    async fn page(&self, asked: &Asked<'_>, work: &ListWork) -> Result<(Found, Option<u64>), StoreError> {
        let way = asked.page_way();
        if way == Way::Nothing {
            return Ok((Found::default(), Some(0)));
        }
        match asked.in_order(&way) {
            Some(natural) => Ok((self.in_order(asked, &way, natural, work).await?, None)),
            None => self.sorted(asked, &way, work).await,
        }
    }

    /// The page by the order of an index.
    async fn in_order(
        &self,
        asked: &Asked<'_>,
        way: &Way,
        natural: Natural,
        work: &ListWork,
    ) -> Result<Found, StoreError> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let plain = asked.is_plain() && asked.conditions.search.is_none();
        let source = asked.filter_source();
        let limit = asked.query.limit;
        let mut skip = asked.query.skip;
        let (mut batch, mut offset) = match plain {
            true => (number(limit as u64).min(LARGEST_BATCH), number(std::mem::take(&mut skip))),
            false => (FIRST_BATCH.max(number(asked.wanted())).min(LARGEST_BATCH), 0),
        };
        let mut found = Found::default();
        let mut bytes = 0;
        let mut visited = 0;
        let mut after = asked.after();
        loop {
            let rows = self.rows(&Ways { asked }.page(way, natural, after, batch, offset)).await?;
            offset = 0;
            for row in &rows {
                work.take_row()?;
                if visited % TURN == TURN - 1 {
                    tokio::task::yield_now().await;
                }
                let (at, id) = rows::instant_and_id(row, natural.by)?;
                after = Some((at, id));
                visited += 1;
                let Some(referral) = rows::shown(row)? else {
                    *(if plain { &mut found.left_out } else { &mut found.unreadable }) += 1;
                    continue;
                };
                if !plain {
                    work.take_document(referral.document.len())?;
                    let matches = has_words(asked, row, rows::WORDS_AFTER_STORED, work)? && {
                        let item = source.from_document(id, &referral.document)?;
                        asked.matches(&item, work)?
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
                let place = natural.place(at, referral.id);
                found.referrals.push((Arc::new(referral), place));
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
        asked: &Asked<'_>,
        way: &Way,
        work: &ListWork,
    ) -> Result<(Found, Option<u64>), StoreError> {
        let source = asked.order_source();
        let mut first = FirstPlaces::new(asked, work);
        let unreadable = self.scan(asked, way, &source, work, |candidate| {
            let Candidate { id, created, updated, item } = candidate;
            if asked.matches(&item, work)? {
                first.add(asked.place(id, created, updated, &item, work)?, ())?;
            }
            Ok(())
        });
        let unreadable = unreadable.await?;
        let (places, matching) = first.finish();
        let found = self.documents_of(asked, places.into_iter().map(|(place, ())| place).collect()).await?;
        Ok((Found { unreadable, ..found }, Some(matching)))
    }

    /// Visits every row that the columns and the words tell of, in no order, with an item from a source; how many could
    /// not be read because their documents are damaged.
    pub(super) async fn scan(
        &self,
        asked: &Asked<'_>,
        way: &Way,
        source: &ItemSource,
        work: &ListWork,
        mut visit: impl FnMut(Candidate) -> Result<(), StoreError>,
    ) -> Result<usize, StoreError> {
        let ways = Ways { asked };
        let sql = ways.set(way, &ways.scanned(source));
        let mut unreadable = 0;
        let visited = self.visit(&sql, |row| {
            work.take_row()?;
            if !has_words(asked, row, row.len() - 1, work)? {
                return Ok(());
            }
            let id = rows::referral_id(row, 0)?;
            let (created, updated) = (rows::get(row, 1)?, rows::get(row, 2)?);
            let item = match source {
                ItemSource::Nothing => Json::Null,
                ItemSource::Columns(_) => source.from_columns(&column_values(row, id, created, updated)?),
                ItemSource::Document(_) => match packing::unpack(rows::get(row, 3)?) {
                    Ok(document) => {
                        work.take_document(document.len())?;
                        source.from_document(id, &document)?
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
    async fn documents_of(&self, asked: &Asked<'_>, places: Vec<Place>) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let mut bytes = 0;
        for chunk in places.chunks(FETCHED) {
            let ids: Vec<ReferralId> = chunk.iter().map(|place| place.id).collect();
            let mut referrals = self.referrals_of(asked.query.scope.owner.as_bytes(), &ids).await?;
            for place in chunk {
                let of_place = referrals.iter().position(|referral| referral.id == place.id);
                let Some(referral) = of_place.map(|at| referrals.swap_remove(at)) else {
                    found.left_out += 1;
                    continue;
                };
                bytes += referral.document.len();
                found.referrals.push((Arc::new(referral), place.clone()));
                if bytes > PAGE_BYTES {
                    found.cut_short = found.referrals.len() + found.left_out < places.len();
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
        let rows = self.lease.within(self.lease.client().query_typed(&sql, &params)).await.map_err(judge)?;
        rows.iter().filter_map(|row| rows::shown(row).transpose()).collect()
    }

    /// How many match.
    async fn count(&self, asked: &Asked<'_>, work: &ListWork) -> Result<Counted, StoreError> {
        let counted = |matching| Counted { matching, unreadable: 0 };
        if let Some(count) = asked.kept_count() {
            return Ok(counted(count));
        }
        let way = asked.set_way();
        if way == Way::Nothing {
            return Ok(counted(0));
        }
        if asked.is_plain() && asked.conditions.search.is_none() {
            let rows = self.rows(&Ways { asked }.set(&way, "count(*)")).await?;
            return rows.first().map_or(Ok(0), |row| rows::count(row, 0)).map(counted);
        }
        let source = asked.filter_source();
        let mut matching = 0;
        let unreadable = self.scan(asked, &way, &source, work, |candidate| {
            matching += u64::from(asked.matches(&candidate.item, work)?);
            Ok(())
        });
        let unreadable = unreadable.await?;
        Ok(Counted { matching, unreadable })
    }
}

/// Reads the columns that items are made from, as [`Ways::scanned`] selects them.
fn column_values(row: &Row, id: ReferralId, created: i64, updated: i64) -> Result<ColumnValues, StoreError> {
    Ok(ColumnValues {
        id,
        created,
        updated,
        class: rows::class(row, 3)?,
        expires: rows::get(row, 4)?,
        accepted: rows::get(row, 5)?,
        country: rows::text(row, 6)?,
        shared_with_microsoft: rows::get(row, 7)?,
        engagement: rows::engagement_id(row, 8)?,
    })
}

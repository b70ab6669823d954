//! Lists by the query language. What way is taken is decided in `plan.rs`, what columns tell is asked of the server
//! (`ways.rs`), and the rest is held against the documents here: the evaluator is the meaning of every expression, so
//! none depends on what a database takes it for. How many documents a query may look at is bounded.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use referral::ReferralId;
use serde_json::Value as Json;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::errors::Trouble;
use super::pool::{Lease, Pool};
use super::rows::{self, STORED};
use super::ways::{Sql, Ways};
use crate::asked::{Asked, evaluator, wanted};
use crate::plan::{Conditions, Figures, Instant, Natural, Way, add};
use crate::{Counting, Found, Key, Place, Query, StoreError, StoredReferral};

/// What one query may cost. Time is bounded by the pool's statement time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// How many documents one query may look at.
    pub documents: u64,
    /// The share of them that a count may look at which is wanted only if it is cheap: one part in so many.
    pub cheap: u64,
    /// How many documents an aggregation may hold in memory.
    pub aggregated: usize,
}

impl Default for QueryLimits {
    fn default() -> QueryLimits {
        QueryLimits { documents: 200_000, cheap: 50, aggregated: 20_000 }
    }
}

/// How many rows a page asks for at first, when some may not pass; then twice as many each time, up to the second.
const FIRST_BATCH: i64 = 64;
const LARGEST_BATCH: i64 = 1024;
/// How long a count may take, in milliseconds, that is wanted only if it is cheap.
const CHEAP_COUNT: u64 = 200;

/// Documents that may still be looked at.
pub(super) struct Budget(u64);

impl Budget {
    fn take(&mut self) -> Result<(), StoreError> {
        self.0 = self.0.checked_sub(1).ok_or_else(too_costly)?;
        Ok(())
    }
}

pub(super) fn too_costly() -> StoreError {
    StoreError::TooCostly(
        "ask for less at a time by createdDateTime or updatedDateTime, or filter by status, substatus, direction, \
         qualification, type, country, a team member's email, engagementId or id, which indexes find"
            .to_owned(),
    )
}

/// What a list is told when a statement was broken off.
fn judge(trouble: Trouble) -> StoreError {
    match trouble {
        Trouble::TooLong => too_costly(),
        trouble => trouble.into(),
    }
}

/// A transaction that reads: everything in it is of one moment.
pub(super) struct Reading {
    lease: Lease,
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
    async fn visit(
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

/// One page, and the count where it is wanted: both of one moment.
pub(super) async fn find(pool: &Arc<Pool>, limits: QueryLimits, query: &Query) -> Result<Found, StoreError> {
    let mut budget = Budget(limits.documents);
    let (reading, asked) = ask(pool, query).await?;
    let (Page { referrals, left_out }, known) = match query.limit {
        0 => (Page::default(), None),
        _ => reading.page(&asked, &mut budget).await?,
    };
    let count = match (query.count, known) {
        (Counting::No, _) => None,
        (_, Some(known)) => Some(known),
        (Counting::Exact, None) => Some(reading.count(&asked, &mut budget).await?),
        (Counting::IfCheap, None) => {
            let mut share = Budget(budget.0.min(limits.documents / limits.cheap.max(1)));
            let counted = async {
                let limit = format!("SET LOCAL statement_timeout = {CHEAP_COUNT}");
                reading.lease.within(reading.lease.client().batch_execute(&limit)).await.map_err(judge)?;
                reading.count(&asked, &mut share).await
            };
            match counted.await {
                // The transaction is given up with its connection.
                Err(StoreError::TooCostly(_)) => return Ok(Found { referrals, count: None, left_out }),
                counted => Some(counted?),
            }
        }
    };
    reading.end().await?;
    Ok(Found { referrals, count, left_out })
}

/// Every document that a query matches, newest first, up to a number.
pub(super) async fn documents(
    pool: &Arc<Pool>,
    limits: QueryLimits,
    query: &Query,
) -> Result<Vec<Json>, StoreError> {
    let mut budget = Budget(limits.documents);
    let (reading, asked) = ask(pool, query).await?;
    let mut documents: Vec<(i64, ReferralId, Json)> = Vec::new();
    let ways = Ways { asked: &asked };
    let sql = ways.set(&asked.set_way(), ways.select());
    let scanned = reading.visit(&sql, |row| {
        budget.take()?;
        let Some(referral) = rows::shown(row)? else { return Ok(()) };
        let document = document(&referral)?;
        if asked.passes(row, &document)? {
            if documents.len() == limits.aggregated {
                return Err(too_costly());
            }
            documents.push((referral.columns.created.ticks(), referral.id, document));
        }
        Ok(())
    });
    scanned.await?;
    reading.end().await?;
    documents.sort_by_key(|(created, id, _)| (std::cmp::Reverse(*created), *id));
    Ok(documents.into_iter().map(|(_, _, document)| document).collect())
}

fn document(referral: &StoredReferral) -> Result<Json, StoreError> {
    serde_json::from_slice(&referral.document)
        .map_err(|error| StoreError::Engine(format!("referral {} is no JSON: {error}", referral.id)))
}

pub(super) async fn ask<'q>(pool: &Arc<Pool>, query: &'q Query) -> Result<(Reading, Asked<'q>), StoreError> {
    let evaluator = evaluator(query);
    let conditions = Conditions::of(query, &evaluator)?;
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
    let asked = Asked::new(query, evaluator, conditions, figures)?;
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

/// A referral that matches, in the order of the query.
struct Candidate {
    place: Place,
}

/// What documents tell.
impl Asked<'_> {
    /// Whether columns tell all that is asked.
    fn is_plain(&self) -> bool {
        self.conditions.rest.is_empty() && self.conditions.search.is_none()
    }

    /// Whether a row of [`Ways::select`] has what columns do not tell.
    fn passes(&self, row: &Row, document: &Json) -> Result<bool, StoreError> {
        let found = match self.conditions.search {
            Some(search) => crate::matches(search, rows::words(row)?),
            None => true,
        };
        if !found {
            return Ok(false);
        }
        for term in &self.conditions.rest {
            if !self.evaluator.matches(term, document)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether documents must be read to know which match and in what order.
    fn needs_documents(&self) -> bool {
        !self.is_plain() || self.natural.is_none()
    }

    fn keys(&self, document: &Json) -> Result<Vec<Key>, StoreError> {
        let key = |order: &odata::TypedOrder| {
            Ok(Key::of(&self.evaluator.value(&order.expr, document)?, order.ignore_case))
        };
        self.query.order.iter().map(key).collect()
    }

    /// The order of two places of this query.
    fn compare(&self, one: &Place, other: &Place) -> Ordering {
        let descending = |key: usize| match self.natural {
            Some(natural) => key == 0 && natural.descending,
            None => self.query.order.get(key).is_some_and(|order| order.descending),
        };
        let keys = one.keys.iter().zip(&other.keys).enumerate().map(|(key, (one, other))| {
            let order = one.sort(other);
            if descending(key) { order.reverse() } else { order }
        });
        keys.fold(Ordering::Equal, Ordering::then).then(one.id.cmp(&other.id))
    }
}

/// The rows of a page.
#[derive(Default)]
struct Page {
    referrals: Vec<(Arc<StoredReferral>, Place)>,
    /// How many of them are damaged.
    left_out: usize,
}

impl Reading {
    /// The page, and how many match in all where that is known by the way.
    async fn page(&self, asked: &Asked<'_>, budget: &mut Budget) -> Result<(Page, Option<u64>), StoreError> {
        let way = asked.page_way();
        if way == Way::Nothing {
            return Ok((Page::default(), Some(0)));
        }
        match asked.in_order(&way) {
            Some(natural) => Ok((self.in_order(asked, &way, natural, budget).await?, None)),
            None => self.sorted(asked, &way, budget).await,
        }
    }

    /// The page by the order of an index.
    async fn in_order(
        &self,
        asked: &Asked<'_>,
        way: &Way,
        natural: Natural,
        budget: &mut Budget,
    ) -> Result<Page, StoreError> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let plain = asked.is_plain();
        let limit = asked.query.limit;
        let mut left_out = asked.query.skip;
        let (mut batch, offset) = match plain {
            true => (number(limit as u64), number(std::mem::take(&mut left_out))),
            false => (FIRST_BATCH.max(number(asked.wanted())).min(LARGEST_BATCH), 0),
        };
        let mut page = Page::default();
        let mut after = asked.after();
        loop {
            let found = self.rows(&Ways { asked }.page(way, natural, after, batch, offset)).await?;
            for row in &found {
                let (at, id) = rows::instant_and_id(row, natural.by)?;
                after = Some((at, id));
                let Some(referral) = rows::shown(row)? else {
                    page.left_out += usize::from(plain);
                    continue;
                };
                if !plain {
                    budget.take()?;
                    if !asked.passes(row, &document(&referral)?)? {
                        continue;
                    }
                    if left_out > 0 {
                        left_out -= 1;
                        continue;
                    }
                }
                let place = natural.place(at, referral.id);
                page.referrals.push((Arc::new(referral), place));
                if page.referrals.len() == limit {
                    return Ok(page);
                }
            }
            if plain || number(found.len() as u64) < batch {
                return Ok(page);
            }
            batch = batch.saturating_mul(2).min(LARGEST_BATCH);
        }
    }

    /// The page of an order that no index has, and how many match in all.
    async fn sorted(
        &self,
        asked: &Asked<'_>,
        way: &Way,
        budget: &mut Budget,
    ) -> Result<(Page, Option<u64>), StoreError> {
        let ways = Ways { asked };
        let needs_documents = asked.needs_documents();
        let select = match needs_documents {
            true => ways.select(),
            false => "referral.id, referral.created, referral.updated",
        };
        let sql = ways.set(way, select);
        let most = usize::try_from(asked.wanted()).unwrap_or(usize::MAX);
        let mut matching = 0;
        let mut kept: Vec<Candidate> = Vec::new();
        let sort = |kept: &mut Vec<Candidate>| {
            kept.sort_by(|one, other| asked.compare(&one.place, &other.place));
            kept.truncate(most);
        };
        let visited = self.visit(&sql, |row| {
            let place = if needs_documents {
                budget.take()?;
                let Some(referral) = rows::shown(row)? else { return Ok(()) };
                let document = document(&referral)?;
                if !asked.passes(row, &document)? {
                    return Ok(());
                }
                match asked.natural {
                    None => Place { keys: asked.keys(&document)?, id: referral.id },
                    Some(natural) => {
                        let columns = &referral.columns;
                        natural_place(natural, columns.created.ticks(), columns.updated.ticks(), referral.id)
                    }
                }
            } else {
                let (id, created, updated) =
                    (rows::referral_id(row, 0)?, rows::get(row, 1)?, rows::get(row, 2)?);
                match asked.natural {
                    Some(natural) => natural_place(natural, created, updated, id),
                    None => Place { keys: Vec::new(), id },
                }
            };
            matching += 1;
            let comes_after = |after: &Place| asked.compare(after, &place) == Ordering::Less;
            if asked.query.after.as_ref().is_none_or(comes_after) {
                kept.push(Candidate { place });
                if kept.len() >= most.saturating_mul(2).max(4096) {
                    sort(&mut kept);
                }
            }
            Ok(())
        });
        visited.await?;
        sort(&mut kept);
        let skip = usize::try_from(asked.query.skip).unwrap_or(usize::MAX);
        let places: Vec<Place> = kept.into_iter().skip(skip).map(|candidate| candidate.place).collect();
        Ok((self.documents_of(asked, places).await?, Some(matching)))
    }

    async fn documents_of(&self, asked: &Asked<'_>, places: Vec<Place>) -> Result<Page, StoreError> {
        if places.is_empty() {
            return Ok(Page::default());
        }
        let owner = asked.query.scope.owner.as_bytes();
        let ids: Vec<&[u8]> = places.iter().map(|place| &place.id.as_bytes()[..]).collect();
        let sql = format!("SELECT {STORED} FROM referral WHERE owner = $1 AND id = ANY ($2)");
        let params: [super::pool::Param<'_>; 2] = [(&owner, Type::BYTEA), (&ids, Type::BYTEA_ARRAY)];
        let found = self.lease.within(self.lease.client().query_typed(&sql, &params)).await.map_err(judge)?;
        let mut referrals = HashMap::with_capacity(found.len());
        for row in &found {
            if let Some(referral) = rows::shown(row)? {
                referrals.insert(referral.id, Arc::new(referral));
            }
        }
        let wanted = places.len();
        let with_place = |place: Place| Some((referrals.get(&place.id).cloned()?, place));
        let referrals: Vec<_> = places.into_iter().filter_map(with_place).collect();
        Ok(Page { left_out: wanted - referrals.len(), referrals })
    }

    /// How many match.
    async fn count(&self, asked: &Asked<'_>, budget: &mut Budget) -> Result<u64, StoreError> {
        if let Some(count) = asked.kept_count() {
            return Ok(count);
        }
        let way = asked.set_way();
        if way == Way::Nothing {
            return Ok(0);
        }
        let ways = Ways { asked };
        if asked.is_plain() {
            let rows = self.rows(&ways.set(&way, "count(*)")).await?;
            return rows.first().map_or(Ok(0), |row| rows::count(row, 0));
        }
        let mut count = 0;
        let sql = ways.set(&way, ways.select());
        let visited = self.visit(&sql, |row| {
            budget.take()?;
            if let Some(referral) = rows::shown(row)? {
                count += u64::from(asked.passes(row, &document(&referral)?)?);
            }
            Ok(())
        });
        visited.await?;
        Ok(count)
    }
}

fn natural_place(natural: Natural, created: i64, updated: i64, id: ReferralId) -> Place {
    match natural.by {
        Instant::Created => natural.place(created, id),
        Instant::Updated => natural.place(updated, id),
    }
}

//! Lists: pages and counts. The planner chooses the access path (`planner/access_path.rs`), SQLite tests the predicates
//! that columns decide (`select.rs`), and the residual is evaluated here, row by row (`planner/planned_query.rs`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use referral::{EngagementId, OrganizationId, ReferralId};
use rusqlite::{CachedStatement, Connection, params, params_from_iter};
use serde_json::Value as Json;

use super::cache::Cache;
use super::compression;
use super::files::Files;
use super::merge_scan::MergeScan;
use super::meter::Meter;
use super::readers::{Caller, Reader};
use super::rows::{self, stored_columns};
use super::search;
use super::select::{SelectBuilder, Sql};
use crate::item::{ColumnValues, ItemSource};
use crate::list_work::{ListWork, PAGE_BYTES, QueryLimits};
use crate::planner::{
    AccessPath, FacetKey, IndexOrder, PlannedQuery, Predicates, Range, Statistics, TopRows, add_facet_count,
    check_expressions, rows_needed,
};
use crate::{CountMode, Cursor, Query, QueryResult, StoreError, StoredReferral};

/// How many statements a connection keeps: a merge of streams has one for each.
const PREPARED: usize = 256;

/// One list or aggregation on one connection.
pub(super) struct ListRead<'a> {
    pub(super) connection: &'a Connection,
    pub(super) meter: &'a Meter,
    pub(super) work: &'a ListWork,
    pub(super) cached_snapshot: Option<CachedSnapshot<'a>>,
}

/// The rows of a page in order.
#[derive(Default)]
struct Page {
    cursors: Vec<(Row, Cursor)>,
    /// Number of all matching rows, if it is already known.
    matching: Option<u64>,
    /// Number of rows that could not be evaluated because their documents are damaged.
    unreadable: usize,
    /// Whether it ends before it is full, because documents are long.
    cut_short: bool,
}

/// A row of a page: its number, or what was read of it already.
enum Row {
    Number(i64),
    Read(Arc<StoredReferral>),
}

/// A row that expressions are evaluated for.
pub(super) struct Candidate {
    pub(super) row: i64,
    pub(super) id: ReferralId,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) item: Json,
}

/// A snapshot that the cache knows the generation of.
#[derive(Clone, Copy)]
pub(super) struct CachedSnapshot<'a> {
    cache: &'a Cache,
    generation: u64,
    cached_counts: &'a RefCell<FacetCountsCache>,
}

/// The facet counts that a connection has read, valid for one generation of the cache.
#[derive(Default)]
struct FacetCountsCache {
    generation: u64,
    entries: HashMap<FacetCountsKey, FacetCounts>,
}

/// Key of cached facet counts: the owner, whether offer leads are counted too, and a country.
type FacetCountsKey = (OrganizationId, bool, Option<String>);

/// Counts of facet keys, in all countries and in the requested one.
type FacetCounts = (Vec<(FacetKey, u64)>, Vec<(FacetKey, u64)>);

/// Maximum number of cached facet counts; an owner has about a hundred facet keys.
const MAX_CACHED_FACET_COUNTS: usize = 64;

/// A connection whose work is counted.
pub(super) struct ListReader {
    pub(super) connection: Connection,
    pub(super) meter: Arc<Meter>,
    cached_counts: RefCell<FacetCountsCache>,
}

impl Reader for ListReader {
    fn open(files: &Files) -> Result<ListReader, StoreError> {
        let mut connection = files.connect_reader()?;
        connection.set_prepared_statement_cache_capacity(PREPARED);
        let meter = Meter::attach(&mut connection)?;
        Ok(ListReader::of(connection, meter))
    }

    fn begin(&self, caller: &Caller) {
        self.meter.works_for(caller);
    }
}

impl ListReader {
    pub(super) fn of(connection: Connection, meter: Arc<Meter>) -> ListReader {
        ListReader { connection, meter, cached_counts: RefCell::default() }
    }

    /// What the streams of a query cost: rows, and steps.
    #[cfg(test)]
    pub(super) fn cost(&self, limits: QueryLimits, query: &Query) -> Result<(u64, u64), StoreError> {
        self.meter.take_streams();
        self.find(&Cache::new(0), limits, query)?;
        Ok(self.meter.take_streams())
    }

    /// One page, and the count where it is wanted: both of one moment.
    pub(super) fn find(
        &self,
        cache: &Cache,
        limits: QueryLimits,
        query: &Query,
    ) -> Result<QueryResult, StoreError> {
        self.find_since(cache, cache.generation(), limits, query)
    }

    /// As [`find`](ListReader::find), with the generation that the cache had before.
    pub(super) fn find_since(
        &self,
        cache: &Cache,
        generation: Option<u64>,
        limits: QueryLimits,
        query: &Query,
    ) -> Result<QueryResult, StoreError> {
        check_expressions(query.filter.as_ref(), &query.order)?;
        let work = self.meter.start(limits);
        let _snapshot = self.snapshot()?;
        // Only what no COMMIT has begun since is what the snapshot holds.
        let generation = generation.filter(|generation| cache.generation() == Some(*generation));
        let cached_snapshot = generation.map(|generation| CachedSnapshot {
            cache,
            generation,
            cached_counts: &self.cached_counts,
        });
        let reading =
            ListRead { connection: &self.connection, meter: &self.meter, work: &work, cached_snapshot };
        let planned = reading.plan_query(query)?;
        let page = if query.limit == 0 { Page::default() } else { reading.page(&planned)? };
        let (matching, unreadable) = (page.matching, page.unreadable);
        let found = reading.documents(page)?;
        match (query.count, matching) {
            (CountMode::No, _) => Ok(found),
            (_, Some(matching)) => Ok(QueryResult { count: Some(matching), ..found }),
            _ => {
                let counted = reading.count(&planned)?;
                let more = counted.map_or(0, |counted| counted.unreadable);
                let count = counted.map(|counted| counted.matching);
                Ok(QueryResult { count, unreadable: unreadable.max(more), ..found })
            }
        }
    }

    /// Begins to read: everything until the end of the value is of one moment.
    pub(super) fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        let begun = Snapshot::begin(&self.connection).and_then(|snapshot| snapshot.pin().map(|()| snapshot));
        begun.map_err(|error| self.meter.map_error(error))
    }
}

/// A transaction that reads. It ends with its value; its two statements are kept, not parsed each time.
pub(super) struct Snapshot<'c>(&'c Connection);

impl<'c> Snapshot<'c> {
    pub(super) fn begin(connection: &'c Connection) -> rusqlite::Result<Snapshot<'c>> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Snapshot(connection))
    }

    /// Fixes the snapshot now rather than at the first read.
    fn pin(&self) -> rusqlite::Result<()> {
        self.0.prepare_cached("SELECT EXISTS (SELECT 1 FROM tally)")?.query_row([], |_| Ok(()))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self.0.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
        // A cached statement may be interrupted as a query is; a new one is not.
        if ended.is_ok() || self.0.is_autocommit() {
            return;
        }
        if let Err(error) = self.0.execute_batch("ROLLBACK") {
            tracing::warn!(%error, "A read could not be ended: {error}");
        }
    }
}

/// A referral by its row.
pub(super) const DOCUMENT: &str = concat!("SELECT ", stored_columns!(), " FROM referral WHERE row = ?1");

/// The number of matching rows.
#[derive(Debug, Clone, Copy)]
struct CountResult {
    matching: u64,
    /// Number of rows that could not be evaluated because their documents are damaged.
    unreadable: usize,
}

impl ListRead<'_> {
    pub(super) fn map_error<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, StoreError> {
        outcome.map_err(|error| self.meter.map_error(error))
    }

    pub(super) fn plan_query<'q>(&self, query: &'q Query) -> Result<PlannedQuery<'q>, StoreError> {
        let predicates = Predicates::of(query, &self.work.evaluator(query.scope.now))?;
        if predicates.search.is_some() && self.map_error(search::is_incomplete(self.connection))? {
            return Err(StoreError::NotSupported(
                "$search is not offered: there are referrals whose words were not indexed when they were written"
                    .to_owned(),
            ));
        }
        let statistics = self.map_error(self.statistics(query, &predicates))?;
        PlannedQuery::new(query, predicates, statistics, self.work)
    }

    fn statistics(&self, query: &Query, predicates: &Predicates<'_>) -> rusqlite::Result<Statistics> {
        let (facets, in_country) = self.facet_counts(query, predicates.country)?;
        let mut statistics = Statistics { facets, in_country, ..Statistics::default() };
        let (total, rows_needed) = (statistics.total(), rows_needed(query));
        if let Some(most) = predicates.updated_probe_limit(IndexOrder::of(query), total, rows_needed) {
            statistics.updated = Some(self.updated_within(query, &predicates.updated, most)?);
        }
        if predicates.search.is_some() {
            let most = predicates.common_words_limit(total, rows_needed);
            statistics.found = Some(self.found_by_words(query, most)?);
        }
        Ok(statistics)
    }

    /// Returns the facet counts: cached ones if nothing was written since.
    fn facet_counts(&self, query: &Query, country: Option<&str>) -> rusqlite::Result<FacetCounts> {
        let Some(cached_snapshot) = self.cached_snapshot else {
            return self.read_facet_counts(query, country);
        };
        let of = (query.scope.owner.clone(), query.scope.offer_leads, country.map(str::to_owned));
        let mut cached_counts = cached_snapshot.cached_counts.borrow_mut();
        if cached_counts.generation != cached_snapshot.generation
            || cached_counts.entries.len() >= MAX_CACHED_FACET_COUNTS
        {
            *cached_counts =
                FacetCountsCache { generation: cached_snapshot.generation, entries: HashMap::new() };
        }
        if let Some(facet_counts) = cached_counts.entries.get(&of) {
            return Ok(facet_counts.clone());
        }
        let facet_counts = self.read_facet_counts(query, country)?;
        // What was read after a commit began may be newer than the generation, or older than the next.
        if cached_snapshot.cache.generation() == Some(cached_snapshot.generation) {
            cached_counts.entries.insert(of, facet_counts.clone());
        }
        Ok(facet_counts)
    }

    fn read_facet_counts(&self, query: &Query, country: Option<&str>) -> rusqlite::Result<FacetCounts> {
        let owner = query.scope.owner.as_bytes();
        let (mut facets, mut in_country) = FacetCounts::default();
        let leads: &[bool] = if query.scope.offer_leads { &[false, true] } else { &[false] };
        for lead in leads {
            let mut facet_counts = self.connection.prepare_cached(
                "SELECT class, n
                 FROM tally
                 WHERE owner = ?1
                   AND offer_lead = ?2
                   AND n > 0",
            )?;
            add_all(&mut facets, facet_counts.query(params![owner, lead])?)?;
            let Some(country) = country else { continue };
            let mut facet_counts = self.connection.prepare_cached(
                "SELECT class, n
                 FROM country_tally
                 WHERE owner = ?1
                   AND offer_lead = ?2
                   AND country = ?3
                   AND n > 0",
            )?;
            add_all(&mut in_country, facet_counts.query(params![owner, lead, country])?)?;
        }
        Ok((facets, in_country))
    }

    /// Counts referrals with the words, up to a limit.
    fn found_by_words(&self, query: &Query, most: u64) -> rusqlite::Result<u64> {
        let Some(search) = &query.search else { return Ok(0) };
        let expression = search::expression(&query.scope.owner, search);
        self.connection
            .prepare_cached(
                "SELECT count(*)
                 FROM (
                   SELECT 1
                   FROM search
                   WHERE search MATCH ?1
                   LIMIT ?2
                 )",
            )?
            .query_row(params![expression, i64::try_from(most).unwrap_or(i64::MAX)], |row| row.get(0))
    }

    /// Counts referrals updated in a range, up to a limit.
    fn updated_within(&self, query: &Query, range: &Range, most: u64) -> rusqlite::Result<u64> {
        let leads = if query.scope.offer_leads { "(0, 1)" } else { "(0)" };
        self.connection
            .prepare_cached(&format!(
                "SELECT count(*)
                 FROM (
                   SELECT 1
                   FROM referral INDEXED BY referral_last_updated
                   WHERE owner = ?1
                     AND offer_lead IN {leads}
                     AND updated BETWEEN ?2 AND ?3
                   LIMIT ?4
                 )"
            ))?
            .query_row(
                params![
                    query.scope.owner.as_bytes(),
                    range.low.unwrap_or(i64::MIN),
                    range.high.unwrap_or(i64::MAX),
                    i64::try_from(most).unwrap_or(i64::MAX)
                ],
                |row| row.get(0),
            )
    }

    /// The rows of the page in order, each with its place.
    fn page(&self, planned: &PlannedQuery<'_>) -> Result<Page, StoreError> {
        let access_path = planned.page_access_path();
        if access_path == AccessPath::Nothing {
            return Ok(Page { matching: Some(0), ..Page::default() });
        }
        match planned.index_order_of(&access_path) {
            Some(index_order) => self.merged(planned, &access_path, index_order),
            None => self.sorted(planned, &access_path),
        }
    }

    /// Returns the page of a path whose index ranges are in its order.
    fn merged(
        &self,
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        index_order: IndexOrder,
    ) -> Result<Page, StoreError> {
        let merge_scan = MergeScan::new(planned, access_path, index_order);
        let look = (SelectBuilder { planned }).look(MergeScan::satisfied(access_path));
        let mut look = look.map(|look| self.prepare_look(look)).transpose()?;
        let source = planned.filter_source();
        let limit = planned.query.limit;
        let mut page = Page::default();
        let mut bytes = 0;
        let all_match = look.is_none() && planned.has_no_residual();
        let mut skip = planned.query.skip;
        let skipped_by_streams = if all_match { std::mem::take(&mut skip) } else { 0 };
        merge_scan.visit(self.connection, self.meter, skipped_by_streams, |entry| {
            self.work.take_row()?;
            if let Some((statement, values)) = &mut look {
                // Lists of values are gone through for each row.
                self.work.work().take(*values)?;
                self.map_error(statement.raw_bind_parameter(1, entry.row))?;
                if self.map_error(statement.raw_query().next().map(|row| row.is_none()))? {
                    return Ok(ControlFlow::Continue(()));
                }
            }
            let row = if planned.has_no_residual() {
                Row::Number(entry.row)
            } else {
                let Some(referral) = self.referral(entry.row, entry.id)? else {
                    page.unreadable += 1;
                    return Ok(ControlFlow::Continue(()));
                };
                self.work.take_document(referral.document.len())?;
                let item = source.item_of_document(referral.id, &referral.document)?;
                if !planned.matches(&item, self.work)? {
                    return Ok(ControlFlow::Continue(()));
                }
                bytes += referral.document.len();
                Row::Read(referral)
            };
            if skip > 0 {
                skip -= 1;
                bytes = 0;
                return Ok(ControlFlow::Continue(()));
            }
            page.cursors.push((row, index_order.cursor(entry.at, entry.id)));
            page.cut_short = bytes > PAGE_BYTES && page.cursors.len() < limit;
            let is_full = page.cursors.len() == limit || page.cut_short;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(page)
    }

    /// A statement that asks one row, whose number is the first parameter, and how many other values it has.
    fn prepare_look(&self, look: Sql) -> Result<(CachedStatement<'_>, u64), StoreError> {
        let mut statement = self.map_error(self.connection.prepare_cached(&look.text))?;
        for (parameter, value) in (1..).zip(&look.values) {
            self.map_error(statement.raw_bind_parameter(parameter, value))?;
        }
        Ok((statement, look.values.len() as u64))
    }

    /// Returns the page of a path whose rows must be sorted.
    fn sorted(&self, planned: &PlannedQuery<'_>, access_path: &AccessPath) -> Result<Page, StoreError> {
        let source = planned.order_source();
        let mut first = TopRows::new(planned, self.work);
        let unreadable = self.scan(planned, access_path, &source, |candidate| {
            let Candidate { row, id, created, updated, item } = candidate;
            if planned.matches(&item, self.work)? {
                first.add(planned.cursor(id, created, updated, &item, self.work)?, row)?;
            }
            Ok(())
        })?;
        let (cursors, matching) = first.finish();
        let cursors = cursors.into_iter().map(|(cursor, row)| (Row::Number(row), cursor)).collect();
        Ok(Page { cursors, matching: Some(matching), unreadable, cut_short: false })
    }

    /// Visits every row that the columns tell of, in no order, with an item from a source; how many could not be
    /// read because their documents are damaged.
    pub(super) fn scan(
        &self,
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        source: &ItemSource,
        mut visit: impl FnMut(Candidate) -> Result<(), StoreError>,
    ) -> Result<usize, StoreError> {
        const PLACE: &str = "row, referral.id, referral.created, referral.updated";
        const COLUMNS: &str = "row, referral.id, referral.created, referral.updated, class, expires, accepted, \
             country, shared_with_microsoft, referral.engagement";
        const DOCUMENT: &str = "row, referral.id, referral.created, referral.updated, document";
        let select = match source {
            ItemSource::Nothing => PLACE,
            ItemSource::Columns(_) => COLUMNS,
            ItemSource::Document(_) => DOCUMENT,
        };
        let sql = (SelectBuilder { planned }).set(access_path, select);
        let mut statement = self.map_error(self.connection.prepare_cached(&sql.text))?;
        let mut rows = self.map_error(statement.query(params_from_iter(&sql.values)))?;
        let mut unreadable = 0;
        while let Some(row) = self.map_error(rows.next())? {
            self.work.take_row()?;
            let id = self.map_error(rows::referral_id(row, 1))?;
            let item = match source {
                ItemSource::Nothing => Json::Null,
                ItemSource::Columns(_) => source.item_of_columns(&self.map_error(column_values(row, id))?),
                ItemSource::Document(_) => {
                    let packed = self.map_error(row.get_ref(4).and_then(|column| Ok(column.as_blob()?)))?;
                    let document = match compression::decode(packed) {
                        Ok(document) => document,
                        Err(error) => {
                            tracing::error!(referral = %id, %error, "The document of referral {id} cannot be read, and is left out: {error}");
                            unreadable += 1;
                            continue;
                        }
                    };
                    self.work.take_document(document.len())?;
                    source.item_of_document(id, &document)?
                }
            };
            let (created, updated) = (self.map_error(row.get(2))?, self.map_error(row.get(3))?);
            visit(Candidate { row: self.map_error(row.get(0))?, id, created, updated, item })?;
        }
        Ok(unreadable)
    }

    /// One referral: from the cache, or from the database; `None` where its document is damaged.
    fn referral(&self, row: i64, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        let hot = self.cached_snapshot.and_then(|cached_snapshot| {
            let hot = cached_snapshot.cache.get(&id);
            // A commit that has begun since may have put a newer one into the cache.
            hot.filter(|_| cached_snapshot.cache.generation() == Some(cached_snapshot.generation))
        });
        match hot {
            Some(hot) => Ok(Some(hot)),
            None => self.stored(row),
        }
    }

    /// One referral from the database; `None` where its document is damaged.
    pub(super) fn stored(&self, row: i64) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        let mut statement = self.map_error(self.connection.prepare_cached(DOCUMENT))?;
        let referral = self.map_error(statement.query_row([row], rows::stored_unless_damaged))?;
        if let (Some(cached_snapshot), Some(referral)) = (self.cached_snapshot, &referral) {
            cached_snapshot.cache.offer_of(cached_snapshot.generation, referral);
        }
        Ok(referral)
    }

    /// The referrals of a page, as many as its bytes allow.
    fn documents(&self, page: Page) -> Result<QueryResult, StoreError> {
        let mut found =
            QueryResult { unreadable: page.unreadable, cut_short: page.cut_short, ..QueryResult::default() };
        let mut bytes = 0;
        let mut rest = page.cursors.into_iter();
        for (row, cursor) in rest.by_ref() {
            let referral = match row {
                Row::Read(referral) => Some(referral),
                Row::Number(row) => self.referral(row, cursor.id)?,
            };
            let Some(referral) = referral else {
                found.left_out += 1;
                continue;
            };
            bytes += referral.document.len();
            found.referrals.push((referral, cursor));
            if bytes > PAGE_BYTES {
                break;
            }
        }
        found.cut_short |= rest.next().is_some();
        Ok(found)
    }

    /// `None` where a count that is wanted only if it is cheap is not.
    fn count(&self, planned: &PlannedQuery<'_>) -> Result<Option<CountResult>, StoreError> {
        let counted = |matching| CountResult { matching, unreadable: 0 };
        if let Some(count) = planned.count_from_facets() {
            return Ok(Some(counted(count)));
        }
        if planned.scan_access_path() == AccessPath::Nothing {
            return Ok(Some(counted(0)));
        }
        match planned.query.count {
            CountMode::No => Ok(None),
            CountMode::Exact => self.counted(planned).map(Some),
            CountMode::IfCheap => {
                let work = self.work.cheap_share();
                let reading = ListRead { work: &work, ..*self };
                self.meter.cheaply(work.limits(), || reading.counted(planned))
            }
        }
    }

    fn counted(&self, planned: &PlannedQuery<'_>) -> Result<CountResult, StoreError> {
        if planned.has_no_residual() {
            let sql = (SelectBuilder { planned }).counted();
            let matching =
                self.map_error(self.connection.prepare_cached(&sql.text).and_then(|mut statement| {
                    statement.query_row(params_from_iter(&sql.values), |row| row.get(0))
                }))?;
            return Ok(CountResult { matching, unreadable: 0 });
        }
        let mut matching = 0;
        let unreadable =
            self.scan(planned, &planned.scan_access_path(), &planned.filter_source(), |candidate| {
                matching += u64::from(planned.matches(&candidate.item, self.work)?);
                Ok(())
            })?;
        Ok(CountResult { matching, unreadable })
    }
}

/// Reads the columns that items are made from, as [`ListRead::scan`] selects them.
fn column_values(row: &rusqlite::Row<'_>, id: ReferralId) -> rusqlite::Result<ColumnValues> {
    Ok(ColumnValues {
        id,
        created: row.get(2)?,
        updated: row.get(3)?,
        facet: FacetKey(row.get(4)?),
        expires: row.get(5)?,
        accepted: row.get(6)?,
        country: row.get(7)?,
        shared_with_microsoft: row.get(8)?,
        engagement: EngagementId::from_bytes(rows::sixteen_bytes(row, 9)?),
    })
}

/// Adds counts of facet keys to the known counts.
fn add_all(counts: &mut Vec<(FacetKey, u64)>, mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        add_facet_count(counts, FacetKey(row.get(0)?), row.get(1)?);
    }
    Ok(())
}

//! Lists by the query language: how pages and counts are read. What way is taken is decided in `plan.rs`, what columns
//! tell is asked of SQLite (`ways.rs`), and the rest is evaluated here for one row after the other (`asked.rs`).

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use referral::{EngagementId, OrganizationId, ReferralId};
use rusqlite::{CachedStatement, Connection, params, params_from_iter};
use serde_json::Value as Json;

use super::cache::Cache;
use super::files::Files;
use super::meter::Meter;
use super::packing;
use super::readers::{Caller, Reader};
use super::rows::{self, stored_columns};
use super::search;
use super::streams::Streams;
use super::ways::{Sql, Ways};
use crate::asked::{Asked, FirstPlaces, check_expressions, wanted};
use crate::class::Class;
use crate::item::{ColumnValues, ItemSource};
use crate::list_work::{ListWork, PAGE_BYTES, QueryLimits};
use crate::plan::{Conditions, Figures, Natural, Range, Way, add};
use crate::{Counting, Found, Place, Query, StoreError, StoredReferral};

/// How many statements a connection keeps: a merge of streams has one for each.
const PREPARED: usize = 256;

/// One list or aggregation on one connection.
pub(super) struct Reading<'a> {
    pub(super) connection: &'a Connection,
    pub(super) meter: &'a Meter,
    pub(super) work: &'a ListWork,
    pub(super) moment: Option<Moment<'a>>,
}

/// The rows of a page in order.
#[derive(Default)]
struct Page {
    places: Vec<(Row, Place)>,
    /// How many rows match in all, where that is known by the way.
    matching: Option<u64>,
    /// How many rows could not be evaluated because their documents are damaged.
    unreadable: usize,
    /// Whether it ends before it is full, because documents are long.
    cut_short: bool,
}

/// A row of a page: its number, or what was read of it already.
enum Row {
    Number(i64),
    Read(Arc<StoredReferral>),
}

/// What is known of a row when expressions are evaluated for it.
pub(super) struct Candidate {
    pub(super) row: i64,
    pub(super) id: ReferralId,
    pub(super) created: i64,
    pub(super) updated: i64,
    pub(super) item: Json,
}

/// A snapshot that the cache knows the generation of.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    cache: &'a Cache,
    generation: u64,
    known: &'a RefCell<Known>,
}

/// The kept counts that a connection has read, good for one generation of the cache.
#[derive(Default)]
struct Known {
    generation: u64,
    tallies: HashMap<Tallied, Tally>,
}

/// What a tally is of: an owner, whether offer leads are counted too, and a country.
type Tallied = (OrganizationId, bool, Option<String>);

/// Counts of classes, and of those in the country.
type Tally = (Vec<(Class, u64)>, Vec<(Class, u64)>);

/// So many tallies are remembered at once; an owner has some hundred classes.
const TALLIES: usize = 64;

/// A connection whose work is counted.
pub(super) struct ListReader {
    pub(super) connection: Connection,
    pub(super) meter: Arc<Meter>,
    known: RefCell<Known>,
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
        ListReader { connection, meter, known: RefCell::default() }
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
    ) -> Result<Found, StoreError> {
        self.find_since(cache, cache.generation(), limits, query)
    }

    /// As [`find`](ListReader::find), with the generation that the cache had before.
    pub(super) fn find_since(
        &self,
        cache: &Cache,
        generation: Option<u64>,
        limits: QueryLimits,
        query: &Query,
    ) -> Result<Found, StoreError> {
        check_expressions(query.filter.as_ref(), &query.order)?;
        let work = self.meter.start(limits);
        let _snapshot = self.snapshot()?;
        // Only what no COMMIT has begun since is what the snapshot holds.
        let generation = generation.filter(|generation| cache.generation() == Some(*generation));
        let moment = generation.map(|generation| Moment { cache, generation, known: &self.known });
        let reading = Reading { connection: &self.connection, meter: &self.meter, work: &work, moment };
        let asked = reading.ask(query)?;
        let page = if query.limit == 0 { Page::default() } else { reading.page(&asked)? };
        let (matching, unreadable) = (page.matching, page.unreadable);
        let found = reading.documents(page)?;
        match (query.count, matching) {
            (Counting::No, _) => Ok(found),
            (_, Some(matching)) => Ok(Found { count: Some(matching), ..found }),
            _ => {
                let counted = reading.count(&asked)?;
                let more = counted.map_or(0, |counted| counted.unreadable);
                let count = counted.map(|counted| counted.matching);
                Ok(Found { count, unreadable: unreadable.max(more), ..found })
            }
        }
    }

    /// Begins to read: everything until the end of the value is of one moment.
    pub(super) fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        let begun = Snapshot::begin(&self.connection).and_then(|snapshot| snapshot.pin().map(|()| snapshot));
        begun.map_err(|error| self.meter.judge(error))
    }
}

/// A transaction that reads. It ends with its value; its two statements are kept, not parsed each time.
pub(super) struct Snapshot<'c>(&'c Connection);

impl<'c> Snapshot<'c> {
    pub(super) fn begin(connection: &'c Connection) -> rusqlite::Result<Snapshot<'c>> {
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Snapshot(connection))
    }

    /// From here on it is fixed what is read; else that is so from the first read on.
    fn pin(&self) -> rusqlite::Result<()> {
        self.0.prepare_cached("SELECT EXISTS (SELECT 1 FROM tally)")?.query_row([], |_| Ok(()))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let ended = self.0.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
        // A kept statement may be broken off as a query is; a new one is not.
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

/// How many rows match.
#[derive(Debug, Clone, Copy)]
struct Counted {
    matching: u64,
    /// How many rows could not be evaluated because their documents are damaged.
    unreadable: usize,
}

impl Reading<'_> {
    pub(super) fn judge<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, StoreError> {
        outcome.map_err(|error| self.meter.judge(error))
    }

    pub(super) fn ask<'q>(&self, query: &'q Query) -> Result<Asked<'q>, StoreError> {
        let conditions = Conditions::of(query, &self.work.evaluator(query.scope.now))?;
        if conditions.search.is_some() && self.judge(search::is_incomplete(self.connection))? {
            return Err(StoreError::NotSupported(
                "$search is not offered: there are referrals whose words were not indexed when they were written"
                    .to_owned(),
            ));
        }
        let figures = self.judge(self.figures(query, &conditions))?;
        Asked::new(query, conditions, figures, self.work)
    }

    fn figures(&self, query: &Query, conditions: &Conditions<'_>) -> rusqlite::Result<Figures> {
        let (classes, in_country) = self.tally(query, conditions.country)?;
        let mut figures = Figures { classes, in_country, ..Figures::default() };
        let (total, wanted) = (figures.total(), wanted(query));
        if let Some(most) = conditions.probe(Natural::of(query), total, wanted) {
            figures.updated = Some(self.updated_within(query, &conditions.updated, most)?);
        }
        if conditions.search.is_some() {
            let most = conditions.common(total, wanted);
            figures.found = Some(self.found_by_words(query, most)?);
        }
        Ok(figures)
    }

    /// The kept counts: remembered ones, where nothing was written since.
    fn tally(&self, query: &Query, country: Option<&str>) -> rusqlite::Result<Tally> {
        let Some(moment) = self.moment else { return self.read_tally(query, country) };
        let of = (query.scope.owner.clone(), query.scope.offer_leads, country.map(str::to_owned));
        let mut known = moment.known.borrow_mut();
        if known.generation != moment.generation || known.tallies.len() >= TALLIES {
            *known = Known { generation: moment.generation, tallies: HashMap::new() };
        }
        if let Some(tally) = known.tallies.get(&of) {
            return Ok(tally.clone());
        }
        let tally = self.read_tally(query, country)?;
        // What was read after a commit began may be newer than the generation, or older than the next.
        if moment.cache.generation() == Some(moment.generation) {
            known.tallies.insert(of, tally.clone());
        }
        Ok(tally)
    }

    fn read_tally(&self, query: &Query, country: Option<&str>) -> rusqlite::Result<Tally> {
        let owner = query.scope.owner.as_bytes();
        let (mut classes, mut in_country) = Tally::default();
        let leads: &[bool] = if query.scope.offer_leads { &[false, true] } else { &[false] };
        for lead in leads {
            let mut tally = self.connection.prepare_cached(
                "SELECT class, n
                 FROM tally
                 WHERE owner = ?1
                   AND offer_lead = ?2
                   AND n > 0",
            )?;
            add_all(&mut classes, tally.query(params![owner, lead])?)?;
            let Some(country) = country else { continue };
            let mut tally = self.connection.prepare_cached(
                "SELECT class, n
                 FROM country_tally
                 WHERE owner = ?1
                   AND offer_lead = ?2
                   AND country = ?3
                   AND n > 0",
            )?;
            add_all(&mut in_country, tally.query(params![owner, lead, country])?)?;
        }
        Ok((classes, in_country))
    }

    /// How many have the words, counted up to a bound.
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

    /// How many were updated in a range, counted up to a bound.
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
    fn page(&self, asked: &Asked<'_>) -> Result<Page, StoreError> {
        let way = asked.page_way();
        if way == Way::Nothing {
            return Ok(Page { matching: Some(0), ..Page::default() });
        }
        match asked.in_order(&way) {
            Some(natural) => self.merged(asked, &way, natural),
            None => self.sorted(asked, &way),
        }
    }

    /// The page of a way whose index ranges are in its order.
    fn merged(&self, asked: &Asked<'_>, way: &Way, natural: Natural) -> Result<Page, StoreError> {
        let streams = Streams::new(asked, way, natural);
        let look = (Ways { asked }).look(Streams::meet(way));
        let mut look = look.map(|look| self.prepare_look(look)).transpose()?;
        let source = asked.filter_source();
        let limit = asked.query.limit;
        let mut page = Page::default();
        let mut bytes = 0;
        let all_match = look.is_none() && asked.is_plain();
        let mut skip = asked.query.skip;
        let skipped_by_streams = if all_match { std::mem::take(&mut skip) } else { 0 };
        streams.visit(self.connection, self.meter, skipped_by_streams, |spot| {
            self.work.take_row()?;
            if let Some((statement, values)) = &mut look {
                // Lists of values are gone through for each row.
                self.work.work().take(*values)?;
                self.judge(statement.raw_bind_parameter(1, spot.row))?;
                if self.judge(statement.raw_query().next().map(|row| row.is_none()))? {
                    return Ok(ControlFlow::Continue(()));
                }
            }
            let row = if asked.is_plain() {
                Row::Number(spot.row)
            } else {
                let Some(referral) = self.referral(spot.row, spot.id)? else {
                    page.unreadable += 1;
                    return Ok(ControlFlow::Continue(()));
                };
                self.work.take_document(referral.document.len())?;
                let item = source.from_document(referral.id, &referral.document)?;
                if !asked.matches(&item, self.work)? {
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
            page.places.push((row, natural.place(spot.at, spot.id)));
            page.cut_short = bytes > PAGE_BYTES && page.places.len() < limit;
            let is_full = page.places.len() == limit || page.cut_short;
            Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(page)
    }

    /// A statement that asks one row, whose number is the first parameter, and how many other values it has.
    fn prepare_look(&self, look: Sql) -> Result<(CachedStatement<'_>, u64), StoreError> {
        let mut statement = self.judge(self.connection.prepare_cached(&look.text))?;
        for (place, value) in (1..).zip(&look.values) {
            self.judge(statement.raw_bind_parameter(place, value))?;
        }
        Ok((statement, look.values.len() as u64))
    }

    /// The page of a way that must be sorted.
    fn sorted(&self, asked: &Asked<'_>, way: &Way) -> Result<Page, StoreError> {
        let source = asked.order_source();
        let mut first = FirstPlaces::new(asked, self.work);
        let unreadable = self.scan(asked, way, &source, |candidate| {
            let Candidate { row, id, created, updated, item } = candidate;
            if asked.matches(&item, self.work)? {
                first.add(asked.place(id, created, updated, &item, self.work)?, row)?;
            }
            Ok(())
        })?;
        let (places, matching) = first.finish();
        let places = places.into_iter().map(|(place, row)| (Row::Number(row), place)).collect();
        Ok(Page { places, matching: Some(matching), unreadable, cut_short: false })
    }

    /// Visits every row that the columns tell of, in no order, with an item from a source; how many could not be
    /// read because their documents are damaged.
    pub(super) fn scan(
        &self,
        asked: &Asked<'_>,
        way: &Way,
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
        let sql = (Ways { asked }).set(way, select);
        let mut statement = self.judge(self.connection.prepare_cached(&sql.text))?;
        let mut rows = self.judge(statement.query(params_from_iter(&sql.values)))?;
        let mut unreadable = 0;
        while let Some(row) = self.judge(rows.next())? {
            self.work.take_row()?;
            let id = self.judge(rows::referral_id(row, 1))?;
            let item = match source {
                ItemSource::Nothing => Json::Null,
                ItemSource::Columns(_) => source.from_columns(&self.judge(column_values(row, id))?),
                ItemSource::Document(_) => {
                    let packed = self.judge(row.get_ref(4).and_then(|column| Ok(column.as_blob()?)))?;
                    let document = match packing::unpack(packed) {
                        Ok(document) => document,
                        Err(error) => {
                            tracing::error!(referral = %id, %error, "The document of referral {id} cannot be read, and is left out: {error}");
                            unreadable += 1;
                            continue;
                        }
                    };
                    self.work.take_document(document.len())?;
                    source.from_document(id, &document)?
                }
            };
            let (created, updated) = (self.judge(row.get(2))?, self.judge(row.get(3))?);
            visit(Candidate { row: self.judge(row.get(0))?, id, created, updated, item })?;
        }
        Ok(unreadable)
    }

    /// One referral: from the cache, or from the database; `None` where its document is damaged.
    fn referral(&self, row: i64, id: ReferralId) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        let hot = self.moment.and_then(|moment| {
            let hot = moment.cache.get(&id);
            // A commit that has begun since may have put a newer one into the cache.
            hot.filter(|_| moment.cache.generation() == Some(moment.generation))
        });
        match hot {
            Some(hot) => Ok(Some(hot)),
            None => self.stored(row),
        }
    }

    /// One referral from the database; `None` where its document is damaged.
    pub(super) fn stored(&self, row: i64) -> Result<Option<Arc<StoredReferral>>, StoreError> {
        let mut statement = self.judge(self.connection.prepare_cached(DOCUMENT))?;
        let referral = self.judge(statement.query_row([row], rows::shown))?;
        if let (Some(moment), Some(referral)) = (self.moment, &referral) {
            moment.cache.offer_of(moment.generation, referral);
        }
        Ok(referral)
    }

    /// The referrals of a page, as many as its bytes allow.
    fn documents(&self, page: Page) -> Result<Found, StoreError> {
        let mut found = Found { unreadable: page.unreadable, cut_short: page.cut_short, ..Found::default() };
        let mut bytes = 0;
        let mut rest = page.places.into_iter();
        for (row, place) in rest.by_ref() {
            let referral = match row {
                Row::Read(referral) => Some(referral),
                Row::Number(row) => self.referral(row, place.id)?,
            };
            let Some(referral) = referral else {
                found.left_out += 1;
                continue;
            };
            bytes += referral.document.len();
            found.referrals.push((referral, place));
            if bytes > PAGE_BYTES {
                break;
            }
        }
        found.cut_short |= rest.next().is_some();
        Ok(found)
    }

    /// `None` where a count that is wanted only if it is cheap is not.
    fn count(&self, asked: &Asked<'_>) -> Result<Option<Counted>, StoreError> {
        let counted = |matching| Counted { matching, unreadable: 0 };
        if let Some(count) = asked.kept_count() {
            return Ok(Some(counted(count)));
        }
        if asked.set_way() == Way::Nothing {
            return Ok(Some(counted(0)));
        }
        match asked.query.count {
            Counting::No => Ok(None),
            Counting::Exact => self.counted(asked).map(Some),
            Counting::IfCheap => {
                let work = self.work.cheap_share();
                let reading = Reading { work: &work, ..*self };
                self.meter.cheaply(work.limits(), || reading.counted(asked))
            }
        }
    }

    fn counted(&self, asked: &Asked<'_>) -> Result<Counted, StoreError> {
        if asked.is_plain() {
            let sql = (Ways { asked }).counted();
            let matching =
                self.judge(self.connection.prepare_cached(&sql.text).and_then(|mut statement| {
                    statement.query_row(params_from_iter(&sql.values), |row| row.get(0))
                }))?;
            return Ok(Counted { matching, unreadable: 0 });
        }
        let mut matching = 0;
        let unreadable = self.scan(asked, &asked.set_way(), &asked.filter_source(), |candidate| {
            matching += u64::from(asked.matches(&candidate.item, self.work)?);
            Ok(())
        })?;
        Ok(Counted { matching, unreadable })
    }
}

/// Reads the columns that items are made from, as [`Reading::scan`] selects them.
fn column_values(row: &rusqlite::Row<'_>, id: ReferralId) -> rusqlite::Result<ColumnValues> {
    Ok(ColumnValues {
        id,
        created: row.get(2)?,
        updated: row.get(3)?,
        class: Class(row.get(4)?),
        expires: row.get(5)?,
        accepted: row.get(6)?,
        country: row.get(7)?,
        shared_with_microsoft: row.get(8)?,
        engagement: EngagementId::from_bytes(rows::sixteen(row, 9)?),
    })
}

/// Adds counts of classes to those that are known.
fn add_all(counts: &mut Vec<(Class, u64)>, mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        add(counts, Class(row.get(0)?), row.get(1)?);
    }
    Ok(())
}

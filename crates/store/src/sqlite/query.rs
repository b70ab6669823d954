//! Lists by the query language: how pages and counts are read. What way is taken is decided in `plan.rs`, and the SQL
//! stands in `ways.rs`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use referral::OrganizationId;
use rusqlite::{Connection, params, params_from_iter};

use super::cache::Cache;
use super::files::Files;
use super::functions;
use super::meter::{Meter, QueryLimits};
use super::readers::{Caller, Reader};
use super::rows::{self, stored_columns};
use super::search;
use super::streams::{Spot, Streams};
use super::ways::Ways;
use crate::asked::{Asked, evaluator, wanted};
use crate::class::Class;
use crate::plan::{Conditions, Figures, Natural, Range, Way, add};
use crate::sql::{SortKey, Statement, Writer};
use crate::{Counting, Found, Place, Query, StoreError, StoredReferral};

/// How many statements a connection keeps: a merge of streams has one for each.
const PREPARED: usize = 256;

/// One query on one connection.
struct Reading<'a> {
    connection: &'a Connection,
    meter: &'a Meter,
    limits: QueryLimits,
    moment: Option<Moment<'a>>,
}

/// A snapshot that the cache knows the generation of.
#[derive(Clone, Copy)]
struct Moment<'a> {
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
        self.meter.start(limits);
        let begun = Snapshot::begin(&self.connection).and_then(|snapshot| snapshot.pin().map(|()| snapshot));
        let _snapshot = begun.map_err(|error| self.meter.judge(error))?;
        // Only what no COMMIT has begun since is what the snapshot holds.
        let generation = generation.filter(|generation| cache.generation() == Some(*generation));
        let moment = generation.map(|generation| Moment { cache, generation, known: &self.known });
        let reading = Reading { connection: &self.connection, meter: &self.meter, limits, moment };
        let asked = reading.ask(query)?;
        let places = if query.limit == 0 { Vec::new() } else { reading.page(&asked)? };
        let read = places.len();
        let referrals = reading.documents(places)?;
        let count = reading.count(&asked)?;
        Ok(Found { left_out: read - referrals.len(), referrals, count })
    }

    /// Adds all rows that a query matches, whatever its page, as `table WHERE conditions`.
    pub(super) fn rows(
        &self,
        limits: QueryLimits,
        query: &Query,
        writer: &mut Writer<'_>,
    ) -> Result<String, StoreError> {
        let asked =
            Reading { connection: &self.connection, meter: &self.meter, limits, moment: None }.ask(query)?;
        let way = asked.set_way();
        Ways { asked: &asked }.from(writer, &way)?;
        if way == Way::Nothing {
            writer.push(" AND FALSE");
        }
        Ok(writer.take())
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

impl Reading<'_> {
    fn judge<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, StoreError> {
        outcome.map_err(|error| self.meter.judge(error))
    }

    fn ask<'q>(&self, query: &'q Query) -> Result<Asked<'q>, StoreError> {
        let evaluator = evaluator(query);
        let conditions = Conditions::of(query, &evaluator)?;
        if conditions.search.is_some() && self.judge(search::is_incomplete(self.connection))? {
            return Err(StoreError::NotSupported(
                "$search is not offered: there are referrals whose words were not indexed when they were written"
                    .to_owned(),
            ));
        }
        let figures = self.judge(self.figures(query, &conditions))?;
        Asked::new(query, evaluator, conditions, figures)
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
    fn page(&self, asked: &Asked<'_>) -> Result<Vec<(i64, Place)>, StoreError> {
        let way = asked.page_way();
        if way == Way::Nothing {
            return Ok(Vec::new());
        }
        match asked.in_order(&way) {
            Some(natural) => self.merged(asked, &way, natural),
            None => {
                let (statement, keys) = Ways { asked }.sorted(&way)?;
                self.judge(self.select(asked, &statement, &keys))
            }
        }
    }

    fn merged(
        &self,
        asked: &Asked<'_>,
        way: &Way,
        natural: Natural,
    ) -> Result<Vec<(i64, Place)>, StoreError> {
        let streams = Streams::new(asked, way, natural);
        let limit = asked.query.limit;
        let mut shown = Vec::with_capacity(limit.min(1024));
        let mut show = |spot: Spot| {
            shown.push((spot.row, natural.place(spot.at, spot.id)));
            if shown.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let mut skip = asked.query.skip;
        match (Ways { asked }).look(Streams::meet(way))? {
            None => streams.visit(self.connection, self.meter, skip, |spot| Ok(show(spot)))?,
            Some(look) => {
                let mut statement = self.judge(self.connection.prepare_cached(&look.text))?;
                for (place, value) in (1..).zip(&look.values) {
                    self.judge(statement.raw_bind_parameter(place, value))?;
                }
                // Lists of values are built anew for each row.
                let values = look.values.len() as u64;
                streams.visit(self.connection, self.meter, 0, |spot| {
                    self.judge(self.meter.calls(values))?;
                    self.judge(statement.raw_bind_parameter(1, spot.row))?;
                    let passes = self.judge(statement.raw_query().next().map(|row| row.is_some()))?;
                    if passes && skip == 0 {
                        return Ok(show(spot));
                    }
                    skip -= u64::from(passes);
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        Ok(shown)
    }

    fn select(
        &self,
        asked: &Asked<'_>,
        statement: &Statement,
        keys: &[SortKey],
    ) -> rusqlite::Result<Vec<(i64, Place)>> {
        self.connection
            .prepare_cached(&statement.text)?
            .query_map(params_from_iter(&statement.values), |row| {
                let id = rows::referral_id(row, 1)?;
                let place = match asked.natural {
                    Some(natural) => natural.place(row.get(2)?, id),
                    None => {
                        let keys = (2..)
                            .zip(keys)
                            .map(|(column, key)| Ok(functions::key(row.get_ref(column)?, key.encoding)));
                        Place { keys: keys.collect::<rusqlite::Result<_>>()?, id }
                    }
                };
                Ok((row.get(0)?, place))
            })?
            .collect()
    }

    /// The rows themselves: those that the cache holds, and the others from the database.
    fn documents(&self, places: Vec<(i64, Place)>) -> Result<Vec<(Arc<StoredReferral>, Place)>, StoreError> {
        let mut hot: Vec<_> = places
            .iter()
            .map(|(_, place)| self.moment.and_then(|moment| moment.cache.get(&place.id)))
            .collect();
        // A commit that has begun since may have put newer ones into the cache.
        if self.moment.is_some_and(|moment| moment.cache.generation() != Some(moment.generation)) {
            hot.fill(None);
        }
        let mut statement = self.judge(self.connection.prepare_cached(DOCUMENT))?;
        let mut read = |row: i64| {
            let referral = self.judge(statement.query_row([row], rows::shown))?;
            if let (Some(moment), Some(referral)) = (self.moment, &referral) {
                moment.cache.offer_of(moment.generation, referral);
            }
            Ok::<_, StoreError>(referral)
        };
        let mut found = Vec::with_capacity(places.len());
        for ((row, place), hot) in places.into_iter().zip(hot) {
            let referral = hot.map_or_else(|| read(row), |hot| Ok(Some(hot)))?;
            found.extend(referral.map(|referral| (referral, place)));
        }
        Ok(found)
    }

    fn count(&self, asked: &Asked<'_>) -> Result<Option<u64>, StoreError> {
        if asked.query.count == Counting::No {
            return Ok(None);
        }
        if let Some(count) = asked.kept_count() {
            return Ok(Some(count));
        }
        if asked.set_way() == Way::Nothing {
            return Ok(Some(0));
        }
        let statement = Ways { asked }.counted()?;
        let count = || {
            self.judge(self.connection.prepare_cached(&statement.text).and_then(|mut prepared| {
                prepared.query_row(params_from_iter(&statement.values), |row| row.get(0))
            }))
        };
        match asked.query.count {
            Counting::IfCheap => self.meter.cheaply(self.limits, count),
            Counting::Exact | Counting::No => count().map(Some),
        }
    }
}

/// Adds counts of classes to those that are known.
fn add_all(counts: &mut Vec<(Class, u64)>, mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        add(counts, Class(row.get(0)?), row.get(1)?);
    }
    Ok(())
}

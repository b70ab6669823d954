//! Lists by the query language: pages, counts, and how they are found. What way is taken is decided in `plan.rs`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use odata::Evaluator;
use referral::OrganizationId;
use rusqlite::{Connection, params, params_from_iter};

use super::cache::Cache;
use super::files::Files;
use super::functions;
use super::meter::{Meter, QueryLimits};
use super::readers::{Caller, Reader};
use super::rows::{self, stored_columns};
use super::search;
use super::streams::{Spot, Streams, of_classes};
use crate::class::Class;
use crate::plan::{Conditions, Figures, Instant, Natural, Range, Way, evaluator};
use crate::sql::{Bound, Dialect, Encoding, SortKey, Statement, Writer, balanced};
use crate::{Counting, Found, Key, Place, Plan, Query, StoreError, StoredReferral};

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

/// A query with all that is known before a row is read.
struct Asked<'q> {
    query: &'q Query,
    conditions: Conditions<'q>,
    /// The order, where an index has it.
    natural: Option<Natural>,
    figures: Figures,
    /// The classes that may be shown; `None`: all.
    classes: Option<Vec<Class>>,
}

/// What a way meets of the conditions; rows are held against the rest.
#[derive(Default, Clone, Copy)]
struct Met {
    class: bool,
    created: bool,
    updated: bool,
    country: bool,
    first_team: bool,
    /// Not met, but asked of one row.
    words_of_row: bool,
}

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
        let referrals = reading.documents(places)?;
        let count = reading.count(&asked)?;
        Ok(Found { referrals, count })
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
        asked.from(writer, &way)?;
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

/// How a query would be carried out, if every class had many referrals.
pub(super) fn plan(query: &Query) -> Result<Plan, StoreError> {
    /// As many of each class as make no way cheap by being empty.
    const MANY: u64 = 1000;
    let evaluator = evaluator(query);
    let conditions = Conditions::of(query, &evaluator);
    let many = |class| (class, MANY);
    let figures = Figures {
        classes: Class::all().map(many).collect(),
        in_country: Class::all().map(|class| (class, MANY / 20)).collect(),
        updated: None,
        found: None,
    };
    let asked = Asked::new(query, conditions, figures, &evaluator);
    asked.check()?;
    asked.plan()
}

impl<'q> Asked<'q> {
    fn new(
        query: &'q Query,
        conditions: Conditions<'q>,
        figures: Figures,
        evaluator: &Evaluator<'_>,
    ) -> Asked<'q> {
        let classes = conditions.classes(&figures, evaluator);
        Asked { query, natural: Natural::of(query), conditions, figures, classes }
    }

    /// A place that belongs to another order would be taken for one in this.
    fn check(&self) -> Result<(), StoreError> {
        let keys = match self.natural {
            Some(natural) => 1 + usize::from(natural.with_id),
            None => self.query.order.len(),
        };
        match &self.query.after {
            Some(place) if place.keys.len() != keys => {
                Err(StoreError::NotSupported("the place to go on from is none of this order".to_owned()))
            }
            Some(Place { keys, .. })
                if self.natural.is_some() && !matches!(keys.first(), Some(Key::Integer(_))) =>
            {
                Err(StoreError::NotSupported("the place to go on from is no instant".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// As many as must be found, at least.
    fn wanted(&self) -> u64 {
        self.query.skip.saturating_add(self.query.limit as u64)
    }

    fn classes(&self) -> Option<&[Class]> {
        self.classes.as_deref()
    }

    fn page_way(&self) -> Way {
        match self.natural {
            Some(natural) => self.conditions.page_way(natural, self.classes(), &self.figures, self.wanted()),
            None => self.set_way(),
        }
    }

    fn set_way(&self) -> Way {
        self.conditions.set_way(self.classes(), &self.figures, self.wanted())
    }

    /// The order of the streams of a way, where it is that of the page.
    fn in_order(&self, way: &Way) -> Option<Natural> {
        self.natural.filter(|natural| way.order() == Some(natural.by))
    }

    fn streams(&self, way: &Way, natural: Natural) -> Streams {
        let after = self.query.after.as_ref();
        let occurring = &self.figures.classes;
        Streams::new(self.query, &self.conditions, self.classes(), occurring, way, natural, after)
    }

    /// What the streams of a way meet.
    fn met(way: &Way) -> Met {
        let met = Met { created: true, ..Met::default() };
        match way {
            Way::Classes(_) => Met { class: true, ..met },
            Way::Country => Met { class: true, country: true, ..met },
            Way::Updated => Met { class: true, updated: true, ..met },
            Way::Team(_) => Met { first_team: true, ..met },
            Way::Created => met,
            Way::Nothing | Way::Ids | Way::Engagement | Way::Search => Met::default(),
        }
    }

    fn has_more_than(&self, met: Met) -> bool {
        let conditions = &self.conditions;
        (self.classes.is_some() && !met.class)
            || (!conditions.created.is_whole() && !met.created)
            || (!conditions.updated.is_whole() && !met.updated)
            || (conditions.country.is_some() && !met.country)
            || conditions.teams.len() > usize::from(met.first_team)
            || conditions.ids.is_some()
            || conditions.engagement.is_some()
            || conditions.search.is_some()
            || !conditions.rest.is_empty()
    }

    /// A question to one row, the first parameter, by what the way has not met; `None` where it has met all.
    fn look(&self, met: Met) -> Result<Option<Statement>, StoreError> {
        if !self.has_more_than(met) {
            return Ok(None);
        }
        let mut writer = Writer::new(Dialect::Sqlite, self.query.scope.now);
        writer.push("SELECT 1 FROM referral WHERE row = ");
        writer.bind(Bound::Integer(0));
        self.conditions(&mut writer, Met { words_of_row: true, ..met })?;
        Ok(Some(writer.finish()))
    }

    /// All rows that match, by a way: what is selected, before `WHERE`; and what comes after the conditions.
    fn set(&self, writer: &mut Writer<'_>, way: &Way, select: &str) -> Result<(), StoreError> {
        writer.push(&format!("SELECT {select} FROM "));
        self.from(writer, way)
    }

    /// The rows of a way with the conditions it does not meet.
    fn from(&self, writer: &mut Writer<'_>, way: &Way) -> Result<(), StoreError> {
        // A plus keeps a condition from choosing another index.
        let (index, plus) = match way {
            Way::Nothing | Way::Ids | Way::Team(_) | Way::Search => ("", "+"),
            Way::Engagement => ("INDEXED BY referral_of_engagement", "+"),
            Way::Classes(_) => ("INDEXED BY referral_by_class", ""),
            Way::Country => ("INDEXED BY referral_by_country", ""),
            Way::Updated => ("INDEXED BY referral_last_updated", ""),
            Way::Created => ("INDEXED BY referral_newest_first", ""),
        };
        writer.push(&format!("referral {index} WHERE {plus}referral.owner = "));
        writer.bind(Bound::Blob(self.query.scope.owner.as_bytes().to_vec()));
        writer.push(&format!(" AND {plus}offer_lead IN {}", self.leads()));
        if let Way::Team(emails) = way {
            writer.push(" AND row IN (");
            self.members(writer, "referral", emails);
            writer.push(")");
        }
        let first_team = matches!(way, Way::Team(_));
        self.conditions(writer, Met { first_team, ..Met::default() })
    }

    fn conditions(&self, writer: &mut Writer<'_>, met: Met) -> Result<(), StoreError> {
        let conditions = &self.conditions;
        if let (Some(classes), false) = (&self.classes, met.class) {
            writer.push(&format!(" AND {}", of_classes(classes)));
        }
        if !met.created {
            within(writer, "created", &conditions.created);
        }
        if !met.updated {
            within(writer, "updated", &conditions.updated);
        }
        if let (Some(country), false) = (conditions.country, met.country) {
            writer.push(" AND country = ");
            writer.bind(Bound::Text(country.to_owned()));
        }
        // As many as the filter has: joined as a tree, for SQLite bounds how deep a condition is.
        let before = writer.take();
        let mut terms = Vec::new();
        for emails in conditions.teams.iter().skip(usize::from(met.first_team)) {
            writer.push(
                "EXISTS (
                   SELECT 1
                   FROM team_member AS member
                   WHERE member.owner = referral.owner
                     AND member.offer_lead = referral.offer_lead
                     AND member.created = referral.created
                     AND member.id = referral.id
                     AND member.email IN (",
            );
            bind_all(writer, emails.iter().map(|email| Bound::Text(email.clone())));
            writer.push("))");
            terms.push(writer.take());
        }
        for term in &conditions.rest {
            writer.predicate(term)?;
            terms.push(writer.take());
        }
        writer.push(&before);
        if !terms.is_empty() {
            writer.push(&format!(" AND {}", balanced(&terms, " AND ")));
        }
        if let Some(ids) = &conditions.ids {
            writer.push(" AND referral.id IN (");
            bind_all(writer, ids.iter().map(|id| Bound::Blob(id.as_bytes().to_vec())));
            writer.push(")");
        }
        if let Some(engagement) = conditions.engagement {
            writer.push(" AND engagement = ");
            writer.bind(Bound::Blob(engagement.as_bytes().to_vec()));
        }
        if let Some(search) = conditions.search {
            // One row is asked about by its number; of many, those the index has are gone through.
            writer.push(match met {
                Met { words_of_row: true, .. } => {
                    " AND EXISTS (SELECT 1 FROM search WHERE rowid = row AND search MATCH "
                }
                Met { .. } => " AND row IN (SELECT rowid FROM search WHERE search MATCH ",
            });
            writer.bind(Bound::Text(search::expression(&self.query.scope.owner, search)));
            writer.push(")");
        }
        Ok(())
    }

    /// The page of a way that must be sorted, and the keys that are selected after the row and its id.
    fn sorted(&self, way: &Way) -> Result<(Statement, Vec<SortKey>), StoreError> {
        let mut writer = Writer::new(Dialect::Sqlite, self.query.scope.now);
        let keys = match self.natural {
            Some(natural) => vec![instant_key(natural)],
            None => writer.keys(&self.query.order)?,
        };
        let texts: String = keys.iter().map(|key| format!(", {}", key.text)).collect();
        self.set(&mut writer, way, &format!("row, referral.id{texts}"))?;
        if let Some(place) = &self.query.after {
            writer.push(" AND ");
            writer.after(&keys, place);
        }
        writer.push(" ORDER BY ");
        for key in &keys {
            writer.push(&format!("{}, ", key.term()));
        }
        writer.push("referral.id LIMIT ");
        writer.bind(Bound::Integer(i64::try_from(self.query.limit).unwrap_or(i64::MAX)));
        writer.push(" OFFSET ");
        writer.bind(Bound::Integer(i64::try_from(self.query.skip).unwrap_or(i64::MAX)));
        Ok((writer.finish(), keys))
    }

    /// How many match, by the way to all of them.
    fn counted(&self) -> Result<Statement, StoreError> {
        let mut writer = Writer::new(Dialect::Sqlite, self.query.scope.now);
        let way = self.set_way();
        match &way {
            Way::Team(emails) if !self.has_more_than(Met { first_team: true, ..Met::default() }) => {
                self.members(&mut writer, "count(DISTINCT referral)", emails);
            }
            _ => self.set(&mut writer, &way, "count(*)")?,
        }
        Ok(writer.finish())
    }

    /// What is selected of the rows of `team_member` with one of these e-mails.
    fn members(&self, writer: &mut Writer<'_>, select: &str, emails: &[String]) {
        writer.push(&format!("SELECT {select} FROM team_member WHERE owner = "));
        writer.bind(Bound::Blob(self.query.scope.owner.as_bytes().to_vec()));
        writer.push(" AND email IN (");
        bind_all(writer, emails.iter().map(|email| Bound::Text(email.clone())));
        writer.push(&format!(") AND offer_lead IN {}", self.leads()));
    }

    fn leads(&self) -> &'static str {
        if self.query.scope.offer_leads { "(0, 1)" } else { "(0)" }
    }

    fn plan(&self) -> Result<Plan, StoreError> {
        let way = self.page_way();
        let mut steps = vec![said(&way, &self.conditions)];
        let mut statements = Vec::new();
        let mut by_index = false;
        if way != Way::Nothing {
            match self.in_order(&way) {
                Some(natural) => {
                    let streams = self.streams(&way, natural);
                    if streams.len() > 1 {
                        steps.push("these streams are merged, newest or oldest first as asked".to_owned());
                    }
                    statements.extend(streams.texts().map(str::to_owned));
                    let look = self.look(Self::met(&way))?;
                    let filtered = matches!(way, Way::Country | Way::Updated) && self.classes.is_some();
                    by_index = look.is_none() && !filtered;
                    if filtered {
                        steps.push("entries of other classes are passed over in the index".to_owned());
                    }
                    if let Some(look) = look {
                        steps.push(format!("each is held against {}", self.rest_said(Self::met(&way))));
                        statements.push(look.text);
                    }
                }
                None => {
                    let met = Met { first_team: matches!(way, Way::Team(_)), ..Met::default() };
                    if self.has_more_than(met) {
                        steps.push(format!("each is held against {}", self.rest_said(met)));
                    }
                    steps.push("those that match are sorted".to_owned());
                    statements.push(self.sorted(&way)?.0.text);
                }
            }
            statements.push(DOCUMENT.to_owned());
        }
        let count = match self.conditions.kept_count(&self.figures, self.classes()) {
            Some(_) => "kept for each class, and summed up".to_owned(),
            None => {
                let statement = self.counted()?;
                statements.push(statement.text);
                format!("all that match are counted; {}", said(&self.set_way(), &self.conditions))
            }
        };
        Ok(Plan { steps, by_index, count, statements, planner: Vec::new() })
    }

    /// What rows are held against, in words.
    fn rest_said(&self, met: Met) -> String {
        let conditions = &self.conditions;
        let mut said: Vec<String> = Vec::new();
        let mut add = |applies: bool, what: &str| said.extend(applies.then(|| what.to_owned()));
        add(self.classes.is_some() && !met.class, "the classes");
        add(!conditions.created.is_whole() && !met.created, "createdDateTime");
        add(!conditions.updated.is_whole() && !met.updated, "updatedDateTime");
        add(conditions.country.is_some() && !met.country, "the country");
        add(conditions.teams.len() > usize::from(met.first_team), "the team");
        add(conditions.ids.is_some(), "the ids");
        add(conditions.engagement.is_some(), "the engagement");
        add(conditions.search.is_some(), "the words");
        for path in conditions.rest.iter().flat_map(|term| term.item_paths()) {
            if !said.contains(&path) {
                said.push(path);
            }
        }
        if said.is_empty() { "the filter".to_owned() } else { said.join(", ") }
    }
}

/// A way in words.
fn said(way: &Way, conditions: &Conditions<'_>) -> String {
    match way {
        Way::Nothing => "no referral can match: none is read".to_owned(),
        Way::Ids => "by their ids".to_owned(),
        Way::Engagement => "all of the engagement".to_owned(),
        Way::Team(emails) if emails.len() == 1 => "all with the e-mail on the team, newest first".to_owned(),
        Way::Team(emails) => {
            format!("a stream, newest first, for each of {} e-mails on the team", emails.len())
        }
        Way::Search => "all that the words are in, by the search index".to_owned(),
        Way::Classes(_) => {
            let mut members: Vec<String> =
                conditions.class.iter().flat_map(|term| term.item_paths()).collect();
            members.sort();
            members.dedup();
            format!(
                "a stream, newest first, for each class that occurs and passes the filter on {}",
                members.join(", ")
            )
        }
        Way::Country => "all of the country, newest first".to_owned(),
        Way::Updated if conditions.updated.is_whole() => "all by updatedDateTime".to_owned(),
        Way::Updated => "a range of updatedDateTime".to_owned(),
        Way::Created if conditions.created.is_whole() => "all by createdDateTime".to_owned(),
        Way::Created => "a range of createdDateTime".to_owned(),
    }
}

/// An instant as a key to sort by.
fn instant_key(natural: Natural) -> SortKey {
    let text = match natural.by {
        Instant::Created => "referral.created",
        Instant::Updated => "referral.updated",
    };
    SortKey {
        text: text.to_owned(),
        encoding: Encoding::Integer,
        descending: natural.descending,
        nullable: false,
    }
}

fn within(writer: &mut Writer<'_>, column: &str, range: &Range) {
    for (op, bound) in [(">=", range.low), ("<=", range.high)] {
        if let Some(bound) = bound {
            writer.push(&format!(" AND {column} {op} "));
            writer.bind(Bound::Integer(bound));
        }
    }
}

fn bind_all(writer: &mut Writer<'_>, values: impl Iterator<Item = Bound>) {
    for (place, value) in values.enumerate() {
        if place > 0 {
            writer.push(", ");
        }
        writer.bind(value);
    }
}

/// A referral by its row.
const DOCUMENT: &str = concat!("SELECT ", stored_columns!(), " FROM referral WHERE row = ?1");

impl Reading<'_> {
    fn judge<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, StoreError> {
        outcome.map_err(|error| self.meter.judge(error))
    }

    fn ask<'q>(&self, query: &'q Query) -> Result<Asked<'q>, StoreError> {
        let evaluator = evaluator(query);
        let conditions = Conditions::of(query, &evaluator);
        if conditions.search.is_some() && self.judge(search::is_incomplete(self.connection))? {
            return Err(StoreError::NotSupported(
                "$search is not offered: there are referrals whose words were not indexed when they were written"
                    .to_owned(),
            ));
        }
        let figures = self.judge(self.figures(query, &conditions))?;
        let asked = Asked::new(query, conditions, figures, &evaluator);
        asked.check()?;
        Ok(asked)
    }

    fn figures(&self, query: &Query, conditions: &Conditions<'_>) -> rusqlite::Result<Figures> {
        let (classes, in_country) = self.tally(query, conditions.country)?;
        let mut figures = Figures { classes, in_country, ..Figures::default() };
        let total = figures.classes.iter().map(|(_, count)| count).sum();
        let wanted = query.skip.saturating_add(query.limit as u64);
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
            add(&mut classes, tally.query(params![owner, lead])?)?;
            let Some(country) = country else { continue };
            let mut tally = self.connection.prepare_cached(
                "SELECT class, n
                 FROM country_tally
                 WHERE owner = ?1
                   AND offer_lead = ?2
                   AND country = ?3
                   AND n > 0",
            )?;
            add(&mut in_country, tally.query(params![owner, lead, country])?)?;
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
                let (statement, keys) = asked.sorted(&way)?;
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
        let streams = asked.streams(way, natural);
        let limit = asked.query.limit;
        let mut shown = Vec::with_capacity(limit.min(1024));
        let mut show = |spot: Spot| {
            shown.push((spot.row, natural.place(spot.at, spot.id)));
            if shown.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let mut skip = asked.query.skip;
        match asked.look(Asked::met(way))? {
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
        if let Some(count) = asked.conditions.kept_count(&asked.figures, asked.classes()) {
            return Ok(Some(count));
        }
        if asked.set_way() == Way::Nothing {
            return Ok(Some(0));
        }
        let statement = asked.counted()?;
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
fn add(counts: &mut Vec<(Class, u64)>, mut rows: rusqlite::Rows<'_>) -> rusqlite::Result<()> {
    while let Some(row) = rows.next()? {
        let (class, count) = (Class(row.get(0)?), row.get::<_, u64>(1)?);
        match counts.iter_mut().find(|(known, _)| *known == class) {
            Some((_, known)) => *known += count,
            None => counts.push((class, count)),
        }
    }
    Ok(())
}

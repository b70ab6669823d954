//! Index ranges, each in the order of the page, merged row by row: no more is read than is shown, but for one row of
//! each range.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;

use referral::ReferralId;
use rusqlite::types::Value as Column;
use rusqlite::{CachedStatement, Connection, Rows, StatementStatus};

use super::meter::Meter;
use super::rows;
use crate::StoreError;
use crate::asked::{Asked, Met, Part};
use crate::class::Class;
use crate::plan::{Conditions, Instant, Natural, Range, Way};

/// A row in the order of its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spot {
    /// The instant the order is by.
    pub(super) at: i64,
    pub(super) id: ReferralId,
    /// Where the table has it.
    pub(super) row: i64,
}

/// The streams of a way: the same statements for each, with other values.
pub(super) struct Streams {
    natural: Natural,
    /// What the page after a place takes: the rest of the same instant, then everything beyond. Else one span.
    statements: Vec<Span>,
    /// The values each stream has of its own: the owner, whether offer leads, and what the way is split by.
    arms: Vec<Vec<Column>>,
}

/// What the streams of a way differ in, beside offer leads.
enum Split {
    Nothing,
    Email(Vec<String>),
    Class(Vec<u16>),
    /// Classes that differ in type and qualification alone, where all of them that occur are wanted: fewer streams.
    Standing(Vec<u16>),
    Country(String),
}

impl Split {
    fn of(way: &Way, conditions: &Conditions<'_>, occurring: &[(Class, u64)]) -> Split {
        match (way, conditions.country) {
            (Way::Team(emails), _) => Split::Email(emails.clone()),
            (Way::Classes(classes), _) => match standings(classes, occurring) {
                Some(standings) => Split::Standing(standings),
                None => Split::Class(classes.iter().map(|class| class.0).collect()),
            },
            (Way::Country, Some(country)) => Split::Country(country.to_owned()),
            _ => Split::Nothing,
        }
    }

    /// The value of each stream.
    fn values(&self) -> Vec<Option<Column>> {
        let text = |text: &String| Some(Column::Text(text.clone()));
        match self {
            Split::Nothing => vec![None],
            Split::Email(emails) => emails.iter().map(text).collect(),
            Split::Country(country) => vec![text(country)],
            Split::Class(numbers) | Split::Standing(numbers) => {
                numbers.iter().map(|number| Some(Column::Integer((*number).into()))).collect()
            }
        }
    }
}

/// The standings of classes, where they have no other classes that occur and are fewer.
fn standings(classes: &[Class], occurring: &[(Class, u64)]) -> Option<Vec<u16>> {
    let mut standings: Vec<u16> = classes.iter().map(|class| class.standing()).collect();
    standings.sort_unstable();
    standings.dedup();
    let is_whole = |(class, _): &(Class, u64)| {
        classes.contains(class) || standings.binary_search(&class.standing()).is_err()
    };
    (standings.len() < classes.len() && occurring.iter().all(is_whole)).then_some(standings)
}

/// A statement of every stream: the numbers of its parameters go on after those of the stream.
struct Span {
    sql: String,
    values: Vec<Column>,
}

impl Streams {
    /// The streams of a way that has this order.
    pub(super) fn new(asked: &Asked<'_>, way: &Way, natural: Natural) -> Streams {
        let scope = &asked.query.scope;
        let split = Split::of(way, &asked.conditions, &asked.figures.classes);
        let values = split.values();
        let leads: &[i64] = if scope.offer_leads { &[0, 1] } else { &[0] };
        let arms = leads.iter().flat_map(|lead| {
            values.iter().map(|value| {
                let owner = Column::Blob(scope.owner.as_bytes().to_vec());
                [Some(owner), Some(Column::Integer(*lead)), value.clone()].into_iter().flatten().collect()
            })
        });
        let parts = asked.parts(natural, asked.after());
        let statements = parts.into_iter().map(|part| span(asked, way, &split, natural, part)).collect();
        Streams { natural, statements, arms: arms.collect() }
    }

    /// What the streams of a way meet.
    pub(super) fn meet(way: &Way) -> Met {
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

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.arms.len()
    }

    /// Their statements.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().map(|span| span.sql.as_str())
    }

    /// Visits rows in order until told to stop. With `skip`, so many are left out before the first: by the engine where
    /// there is but one stream, else here.
    pub(super) fn visit(
        &self,
        connection: &Connection,
        meter: &Meter,
        mut skip: u64,
        mut visit: impl FnMut(Spot) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut spans = self.prepare(connection, &mut skip).map_err(|error| meter.judge(error))?;
        let mut streams: Vec<Vec<Rows<'_>>> = spans
            .iter_mut()
            .map(|spans| spans.iter_mut().rev().map(|statement| statement.raw_query()).collect())
            .collect();
        let mut heads = BinaryHeap::with_capacity(streams.len());
        for (number, stream) in streams.iter_mut().enumerate() {
            heads.extend(self.head(stream, number).map_err(|error| meter.judge(error))?);
        }
        let mut rows = heads.len() as u64;
        let mut last = None;
        while let Some(Reverse((_, id, number, at, row))) = heads.pop() {
            // One referral may have several of the e-mails on its team.
            if last.replace(row) != Some(row) {
                if skip > 0 {
                    skip -= 1;
                } else if visit(Spot { at, id, row })?.is_break() {
                    break;
                }
            }
            if let Some(stream) = streams.get_mut(number) {
                let head = self.head(stream, number).map_err(|error| meter.judge(error))?;
                rows += u64::from(head.is_some());
                heads.extend(head);
            }
        }
        drop(streams);
        let steps = spans.iter().flatten().map(|one| one.reset_status(StatementStatus::VmStep));
        meter.saw_streams(rows, steps.filter_map(|steps| u64::try_from(steps).ok()).sum());
        Ok(())
    }

    /// The statements of every stream with their values. Each stream has texts of its own, told apart by a comment:
    /// a connection keeps one statement of a text, and these run at the same time.
    fn prepare<'c>(
        &self,
        connection: &'c Connection,
        skip: &mut u64,
    ) -> rusqlite::Result<Vec<Vec<CachedStatement<'c>>>> {
        let offset = match (self.arms.len(), self.statements.len()) {
            (1, 1) => std::mem::take(skip).min(i64::MAX as u64), // SQLite takes no more
            _ => 0,
        };
        let one = |number: usize, arm: &[Column], span: &Span| {
            let limit = if offset > 0 { format!(" LIMIT -1 OFFSET {offset}") } else { String::new() };
            let mut statement = connection.prepare_cached(&format!("/* {number} */ {}{limit}", span.sql))?;
            for (place, value) in (1..).zip(arm.iter().chain(&span.values)) {
                statement.raw_bind_parameter(place, value)?;
            }
            Ok(statement)
        };
        self.arms
            .iter()
            .enumerate()
            .map(|(number, arm)| self.statements.iter().map(|span| one(number, arm, span)).collect())
            .collect()
    }

    /// The next row of a stream, whose statements come last one first.
    #[allow(clippy::type_complexity, reason = "an entry of the heap, in the order it is sorted by")]
    fn head(
        &self,
        stream: &mut Vec<Rows<'_>>,
        number: usize,
    ) -> rusqlite::Result<Option<Reverse<(i64, ReferralId, usize, i64, i64)>>> {
        while let Some(rows) = stream.last_mut() {
            if let Some(row) = rows.next()? {
                let at: i64 = row.get(0)?;
                let sorted = if self.natural.descending { at.saturating_neg() } else { at };
                return Ok(Some(Reverse((sorted, rows::referral_id(row, 1)?, number, at, row.get(2)?))));
            }
            stream.pop();
        }
        Ok(None)
    }
}

fn span(asked: &Asked<'_>, way: &Way, split: &Split, natural: Natural, part: Part) -> Span {
    let at = match natural.by {
        Instant::Created => "created",
        Instant::Updated => "updated",
    };
    let (table, row, split) = match (split, way) {
        (Split::Email(_), _) => ("team_member", "referral", "AND email = ?3"),
        (Split::Class(_), _) => ("referral INDEXED BY referral_by_class", "row", "AND class = ?3"),
        // In the words of the index (class.rs).
        (Split::Standing(_), _) => {
            ("referral INDEXED BY referral_by_standing", "row", "AND class & 1009 = ?3")
        }
        (Split::Country(_), _) => ("referral INDEXED BY referral_by_country", "row", "AND country = ?3"),
        (Split::Nothing, Way::Updated) => ("referral INDEXED BY referral_last_updated", "row", ""),
        (Split::Nothing, _) => ("referral INDEXED BY referral_newest_first", "row", ""),
    };
    let mut sql = format!("SELECT {at}, id, {row} FROM {table} WHERE owner = ?1 AND offer_lead = ?2 {split}");
    let before = if split.is_empty() { 2 } else { 3 };
    let mut values = Vec::new();
    let mut add = |condition: &str, value: Column| {
        values.push(value);
        sql.push_str(&format!(" AND {condition} ?{}", before + values.len()));
    };
    let mut within = |column: &str, range: &Range| {
        if let Some(low) = range.low {
            add(&format!("{column} >="), Column::Integer(low));
        }
        if let Some(high) = range.high {
            add(&format!("{column} <="), Column::Integer(high));
        }
    };
    if *way == Way::Updated {
        within("created", &asked.conditions.created);
    }
    match &part {
        Part::Range(range) => within(at, range),
        Part::Tie(instant, id) => {
            add(&format!("{at} ="), Column::Integer(*instant));
            add("id >", Column::Blob(id.as_bytes().to_vec()));
        }
    }
    if let (Way::Country | Way::Updated, Some(classes)) = (way, asked.classes()) {
        sql.push_str(&format!(" AND {}", of_classes(classes)));
    }
    sql.push_str(match part {
        Part::Tie(..) => " ORDER BY id",
        Part::Range(_) if natural.descending => " ORDER BY 1 DESC, 2",
        Part::Range(_) => " ORDER BY 1, 2",
    });
    Span { sql, values }
}

/// The condition that a row is of these classes.
pub(super) fn of_classes(classes: &[Class]) -> String {
    let numbers: Vec<String> = classes.iter().map(|class| class.0.to_string()).collect();
    format!("class IN ({})", numbers.join(", "))
}

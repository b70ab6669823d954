//! Merges index ranges, each in the order of the page, row by row: no more is read than is shown, except one row of
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
use crate::planner::{
    AccessPath, FacetKey, IndexOrder, IndexedInstant, PlannedQuery, Predicates, Range, Satisfied, ScanPart,
};

/// An entry of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    /// The instant the order is by.
    pub(super) at: i64,
    pub(super) id: ReferralId,
    /// The number of its row in the table.
    pub(super) row: i64,
}

/// The branches of an access path: the same statements for each, with other values.
pub(super) struct MergeScan {
    index_order: IndexOrder,
    /// One scan; two for a page after a cursor: the rest of the same instant, then everything beyond.
    statements: Vec<RangeScan>,
    /// The values of each branch: the owner, whether offer leads, and the value that the path is partitioned by.
    branches: Vec<Vec<Column>>,
}

/// What distinguishes the branches of a path, besides offer leads.
enum Partition {
    Nothing,
    Email(Vec<String>),
    Facet(Vec<u16>),
    /// Facet keys that differ only in type and qualification, if all that occur are wanted: fewer branches.
    Lifecycle(Vec<u16>),
    Country(String),
}

impl Partition {
    fn of(access_path: &AccessPath, predicates: &Predicates<'_>, occurring: &[(FacetKey, u64)]) -> Partition {
        match (access_path, predicates.country) {
            (AccessPath::Team(emails), _) => Partition::Email(emails.clone()),
            (AccessPath::Facets(facets), _) => match lifecycles(facets, occurring) {
                Some(lifecycles) => Partition::Lifecycle(lifecycles),
                None => Partition::Facet(facets.iter().map(|facet| facet.0).collect()),
            },
            (AccessPath::Country, Some(country)) => Partition::Country(country.to_owned()),
            _ => Partition::Nothing,
        }
    }

    /// The value of each stream.
    fn values(&self) -> Vec<Option<Column>> {
        let text = |text: &String| Some(Column::Text(text.clone()));
        match self {
            Partition::Nothing => vec![None],
            Partition::Email(emails) => emails.iter().map(text).collect(),
            Partition::Country(country) => vec![text(country)],
            Partition::Facet(numbers) | Partition::Lifecycle(numbers) => {
                numbers.iter().map(|number| Some(Column::Integer((*number).into()))).collect()
            }
        }
    }
}

/// Returns the lifecycle parts of facet keys, if they cover no other facet key that occurs and are fewer.
fn lifecycles(facets: &[FacetKey], occurring: &[(FacetKey, u64)]) -> Option<Vec<u16>> {
    let mut lifecycles: Vec<u16> = facets.iter().map(|facet| facet.lifecycle()).collect();
    lifecycles.sort_unstable();
    lifecycles.dedup();
    let is_unbounded = |(facet, _): &(FacetKey, u64)| {
        facets.contains(facet) || lifecycles.binary_search(&facet.lifecycle()).is_err()
    };
    (lifecycles.len() < facets.len() && occurring.iter().all(is_unbounded)).then_some(lifecycles)
}

/// A statement of every branch: its parameters are numbered after those of the branch.
struct RangeScan {
    sql: String,
    values: Vec<Column>,
}

impl MergeScan {
    /// Prepares the branches of a path that has this order.
    pub(super) fn new(
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        index_order: IndexOrder,
    ) -> MergeScan {
        let scope = &planned.query.scope;
        let split = Partition::of(access_path, &planned.predicates, &planned.statistics.facets);
        let values = split.values();
        let leads: &[i64] = if scope.offer_leads { &[0, 1] } else { &[0] };
        let branches = leads.iter().flat_map(|lead| {
            values.iter().map(|value| {
                let owner = Column::Blob(scope.owner.as_bytes().to_vec());
                [Some(owner), Some(Column::Integer(*lead)), value.clone()].into_iter().flatten().collect()
            })
        });
        let scan_parts = planned.scan_parts(index_order, planned.after());
        let statements = scan_parts
            .into_iter()
            .map(|part| range_scan(planned, access_path, &split, index_order, part))
            .collect();
        MergeScan { index_order, statements, branches: branches.collect() }
    }

    /// Returns what the branches of a path satisfy.
    pub(super) fn satisfied(access_path: &AccessPath) -> Satisfied {
        let satisfied = Satisfied { created: true, ..Satisfied::default() };
        match access_path {
            AccessPath::Facets(_) => Satisfied { facet: true, ..satisfied },
            AccessPath::Country => Satisfied { facet: true, country: true, ..satisfied },
            AccessPath::Updated => Satisfied { facet: true, updated: true, ..satisfied },
            AccessPath::Team(_) => Satisfied { first_team: true, ..satisfied },
            AccessPath::Created => satisfied,
            AccessPath::Nothing | AccessPath::Ids | AccessPath::Engagement | AccessPath::Search => {
                Satisfied::default()
            }
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.branches.len()
    }

    /// Their statements.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().map(|range_scan| range_scan.sql.as_str())
    }

    /// Visits rows in order until told to stop. With `skip`, so many are left out before the first: by the engine where
    /// there is but one stream, else here.
    pub(super) fn visit(
        &self,
        connection: &Connection,
        meter: &Meter,
        mut skip: u64,
        mut visit: impl FnMut(IndexEntry) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut scans = self.prepare(connection, &mut skip).map_err(|error| meter.map_error(error))?;
        let mut streams: Vec<Vec<Rows<'_>>> = scans
            .iter_mut()
            .map(|scans| scans.iter_mut().rev().map(|statement| statement.raw_query()).collect())
            .collect();
        let mut heads = BinaryHeap::with_capacity(streams.len());
        for (number, stream) in streams.iter_mut().enumerate() {
            heads.extend(self.head(stream, number).map_err(|error| meter.map_error(error))?);
        }
        let mut rows = heads.len() as u64;
        let mut last = None;
        while let Some(Reverse((_, id, number, at, row))) = heads.pop() {
            // One referral may have several of the e-mails on its team.
            if last.replace(row) != Some(row) {
                if skip > 0 {
                    skip -= 1;
                } else if visit(IndexEntry { at, id, row })?.is_break() {
                    break;
                }
            }
            if let Some(stream) = streams.get_mut(number) {
                let head = self.head(stream, number).map_err(|error| meter.map_error(error))?;
                rows += u64::from(head.is_some());
                heads.extend(head);
            }
        }
        drop(streams);
        let steps = scans.iter().flatten().map(|one| one.reset_status(StatementStatus::VmStep));
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
        let offset = match (self.branches.len(), self.statements.len()) {
            (1, 1) => std::mem::take(skip).min(i64::MAX as u64), // SQLite takes no more
            _ => 0,
        };
        let one = |number: usize, branch: &[Column], range_scan: &RangeScan| {
            let limit = if offset > 0 { format!(" LIMIT -1 OFFSET {offset}") } else { String::new() };
            let mut statement =
                connection.prepare_cached(&format!("/* {number} */ {}{limit}", range_scan.sql))?;
            for (parameter, value) in (1..).zip(branch.iter().chain(&range_scan.values)) {
                statement.raw_bind_parameter(parameter, value)?;
            }
            Ok(statement)
        };
        self.branches
            .iter()
            .enumerate()
            .map(|(number, branch)| {
                self.statements.iter().map(|range_scan| one(number, branch, range_scan)).collect()
            })
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
                let sorted = if self.index_order.descending { at.saturating_neg() } else { at };
                return Ok(Some(Reverse((sorted, rows::referral_id(row, 1)?, number, at, row.get(2)?))));
            }
            stream.pop();
        }
        Ok(None)
    }
}

fn range_scan(
    planned: &PlannedQuery<'_>,
    access_path: &AccessPath,
    split: &Partition,
    index_order: IndexOrder,
    part: ScanPart,
) -> RangeScan {
    let at = match index_order.by {
        IndexedInstant::Created => "created",
        IndexedInstant::Updated => "updated",
    };
    let (table, row, split) = match (split, access_path) {
        (Partition::Email(_), _) => ("team_member", "referral", "AND email = ?3"),
        (Partition::Facet(_), _) => ("referral INDEXED BY referral_by_class", "row", "AND class = ?3"),
        // In the words of the index (planner/facet_key.rs).
        (Partition::Lifecycle(_), _) => {
            ("referral INDEXED BY referral_by_standing", "row", "AND class & 1009 = ?3")
        }
        (Partition::Country(_), _) => ("referral INDEXED BY referral_by_country", "row", "AND country = ?3"),
        (Partition::Nothing, AccessPath::Updated) => ("referral INDEXED BY referral_last_updated", "row", ""),
        (Partition::Nothing, _) => ("referral INDEXED BY referral_newest_first", "row", ""),
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
    if *access_path == AccessPath::Updated {
        within("created", &planned.predicates.created);
    }
    match &part {
        ScanPart::Range(range) => within(at, range),
        ScanPart::Tie(instant, id) => {
            add(&format!("{at} ="), Column::Integer(*instant));
            add("id >", Column::Blob(id.as_bytes().to_vec()));
        }
    }
    if let (AccessPath::Country | AccessPath::Updated, Some(facets)) = (access_path, planned.facets()) {
        sql.push_str(&format!(" AND {}", of_facets(facets)));
    }
    sql.push_str(match part {
        ScanPart::Tie(..) => " ORDER BY id",
        ScanPart::Range(_) if index_order.descending => " ORDER BY 1 DESC, 2",
        ScanPart::Range(_) => " ORDER BY 1, 2",
    });
    RangeScan { sql, values }
}

/// Returns the condition that a row has one of these facet keys.
pub(super) fn of_facets(facets: &[FacetKey]) -> String {
    let numbers: Vec<String> = facets.iter().map(|facet| facet.0.to_string()).collect();
    format!("class IN ({})", numbers.join(", "))
}

//! A planned query: its access paths, where its page begins, the predicates left to test for each row, and the order of
//! the results. Expressions are evaluated here, by the evaluator of `odata`, so a query means the same on both engines.

use std::cmp::Ordering;
use std::sync::OnceLock;

use odata::{Typed, TypedOrder, TypedPath};
use referral::ReferralId;
use serde_json::Value as Json;

use crate::item::ItemSource;
use crate::list_work::ListWork;
use crate::planner::{AccessPath, FacetKey, IndexOrder, IndexedInstant, Predicates, Range, Statistics};
use crate::{Cursor, Query, SortValue, StoreError};

/// A query with everything that is known before a row is read.
pub(crate) struct PlannedQuery<'q> {
    pub(crate) query: &'q Query,
    pub(crate) predicates: Predicates<'q>,
    /// The order, where an index has it.
    pub(crate) index_order: Option<IndexOrder>,
    pub(crate) statistics: Statistics,
    /// The facet keys that match; `None`: all.
    facets: Option<Vec<FacetKey>>,
    /// Terms that are evaluated for each row, in the order of the filter.
    residual: Vec<Residual<'q>>,
}

/// A term of the filter that must be evaluated for each row.
struct Residual<'q> {
    term: &'q Typed,
    /// The value of a term that uses no member: it is evaluated once, for the first row.
    constant: Option<OnceLock<bool>>,
}

/// The predicates that an access path satisfies; the others are tested for each row.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Satisfied {
    pub(crate) facet: bool,
    pub(crate) created: bool,
    pub(crate) updated: bool,
    pub(crate) country: bool,
    pub(crate) first_team: bool,
}

impl Satisfied {
    /// Returns what a path satisfies in a statement that contains all other predicates.
    pub(crate) fn in_a_set(access_path: &AccessPath) -> Satisfied {
        Satisfied { first_team: matches!(access_path, AccessPath::Team(_)), ..Satisfied::default() }
    }
}

/// A part of an index that one statement reads in order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ScanPart {
    /// The rows of one instant after an id.
    Tie(i64, ReferralId),
    /// Everything of a range.
    Range(Range),
}

impl<'q> PlannedQuery<'q> {
    /// # Errors
    /// `NotSupported` for a place to go on from that belongs to another order: it would be taken for one in this;
    /// what the evaluation of constants meets.
    pub(crate) fn new(
        query: &'q Query,
        predicates: Predicates<'q>,
        statistics: Statistics,
        work: &ListWork,
    ) -> Result<PlannedQuery<'q>, StoreError> {
        let facets = predicates.facets(&statistics, &work.evaluator(query.scope.now))?;
        let residual = predicates
            .residual
            .iter()
            .map(|term| Residual { term, constant: term.item_paths().is_empty().then(OnceLock::new) });
        let residual = residual.collect();
        let planned = PlannedQuery {
            query,
            index_order: IndexOrder::of(query),
            predicates,
            statistics,
            facets,
            residual,
        };
        planned.check()?;
        Ok(planned)
    }

    /// Plans a query as if every facet key had many referrals, for an owner that is not known.
    ///
    /// # Errors
    /// As [`PlannedQuery::new`].
    pub(crate) fn assuming_many_rows(query: &'q Query) -> Result<PlannedQuery<'q>, StoreError> {
        /// Enough of each facet key that no path is cheap because it is empty.
        const MANY: u64 = 1000;
        let work = ListWork::for_planning();
        let predicates = Predicates::of(query, &work.evaluator(query.scope.now))?;
        let statistics = Statistics {
            facets: FacetKey::all().map(|facet| (facet, MANY)).collect(),
            in_country: FacetKey::all().map(|facet| (facet, MANY / 20)).collect(),
            ..Statistics::default()
        };
        PlannedQuery::new(query, predicates, statistics, &work)
    }

    fn check(&self) -> Result<(), StoreError> {
        let keys = match self.index_order {
            Some(index_order) => 1 + usize::from(index_order.with_id),
            None => self.query.order.len(),
        };
        match &self.query.after {
            Some(cursor) if cursor.keys.len() != keys => {
                Err(StoreError::NotSupported("the place to go on from is none of this order".to_owned()))
            }
            Some(Cursor { keys, .. })
                if self.index_order.is_some() && !matches!(keys.first(), Some(SortValue::Integer(_))) =>
            {
                Err(StoreError::NotSupported("the place to go on from is no instant".to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn facets(&self) -> Option<&[FacetKey]> {
        self.facets.as_deref()
    }

    /// Returns the number of rows that must be found.
    pub(crate) fn rows_needed(&self) -> u64 {
        rows_needed(self.query)
    }

    pub(crate) fn page_access_path(&self) -> AccessPath {
        match self.index_order {
            Some(index_order) => self.predicates.page_access_path(
                index_order,
                self.facets(),
                &self.statistics,
                self.rows_needed(),
            ),
            None => self.scan_access_path(),
        }
    }

    pub(crate) fn scan_access_path(&self) -> AccessPath {
        self.predicates.scan_access_path(self.facets(), &self.statistics, self.rows_needed())
    }

    /// Returns the order of the index of a path, if it is the order of the page.
    pub(crate) fn index_order_of(&self, access_path: &AccessPath) -> Option<IndexOrder> {
        self.index_order.filter(|index_order| access_path.order() == Some(index_order.by))
    }

    /// Returns the number of matching referrals, if the facet counts give it.
    pub(crate) fn count_from_facets(&self) -> Option<u64> {
        self.predicates.count_from_facets(&self.statistics, self.facets())
    }

    /// Returns the position where the page begins, in the order of an index.
    pub(crate) fn after(&self) -> Option<(i64, ReferralId)> {
        match self.query.after.as_ref().map(|cursor| (cursor.keys.first(), cursor.id)) {
            Some((Some(SortValue::Integer(at)), id)) => Some((*at, id)),
            _ => None,
        }
    }

    /// Returns the parts of an index after a position: the rest of the same instant, then everything beyond.
    pub(crate) fn scan_parts(
        &self,
        index_order: IndexOrder,
        after: Option<(i64, ReferralId)>,
    ) -> Vec<ScanPart> {
        let range = match index_order.by {
            IndexedInstant::Created => self.predicates.created,
            IndexedInstant::Updated => self.predicates.updated,
        };
        let Some((at, id)) = after else { return vec![ScanPart::Range(range)] };
        let tie = range.contains(at).then_some(ScanPart::Tie(at, id));
        tie.into_iter().chain([ScanPart::Range(range.after(at, index_order.descending))]).collect()
    }

    /// Returns whether rows must be tested beyond what is satisfied.
    pub(crate) fn has_unsatisfied(&self, satisfied: Satisfied) -> bool {
        self.has_unsatisfied_columns(satisfied) || !self.residual.is_empty()
    }

    /// Returns whether rows must be tested by columns or words beyond what is satisfied.
    pub(crate) fn has_unsatisfied_columns(&self, satisfied: Satisfied) -> bool {
        let predicates = &self.predicates;
        (self.facets.is_some() && !satisfied.facet)
            || (!predicates.created.is_unbounded() && !satisfied.created)
            || (!predicates.updated.is_unbounded() && !satisfied.updated)
            || (predicates.country.is_some() && !satisfied.country)
            || predicates.teams.len() > usize::from(satisfied.first_team)
            || predicates.ids.is_some()
            || predicates.engagement.is_some()
            || predicates.search.is_some()
    }
}

/// Returns the number of rows that a query must find.
pub(crate) fn rows_needed(query: &Query) -> u64 {
    query.skip.saturating_add(query.limit as u64)
}

/// What is evaluated.
impl PlannedQuery<'_> {
    /// Returns whether columns and indexes decide which rows match.
    pub(crate) fn has_no_residual(&self) -> bool {
        self.residual.is_empty()
    }

    /// Returns the source of what decides whether a row matches.
    pub(crate) fn filter_source(&self) -> ItemSource {
        ItemSource::of(self.residual_paths())
    }

    /// Returns the source of what decides whether a row matches, and of its sort keys.
    pub(crate) fn order_source(&self) -> ItemSource {
        let keys = match self.index_order {
            Some(_) => Vec::new(),
            None => self.query.order.iter().flat_map(|key| key.expr.item_paths()).collect(),
        };
        ItemSource::of(self.residual_paths().chain(keys))
    }

    /// Returns the paths that the residual terms use.
    pub(crate) fn residual_paths(&self) -> impl Iterator<Item = String> {
        self.residual.iter().flat_map(|residual| residual.term.item_paths())
    }

    /// Returns whether the residual terms are true for an item.
    ///
    /// # Errors
    /// Errors of the evaluation.
    pub(crate) fn matches(&self, item: &Json, work: &ListWork) -> Result<bool, StoreError> {
        let evaluator = work.evaluator(self.query.scope.now);
        for Residual { term, constant } in &self.residual {
            let matches = match constant.as_ref().and_then(OnceLock::get) {
                Some(value) => *value,
                None => evaluator.matches(term, item)?,
            };
            if let Some(constant) = constant {
                // Another thread never has another value.
                let _ = constant.set(matches);
            }
            if !matches {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the cursor of a row in the order of the query.
    ///
    /// # Errors
    /// Errors of the evaluation of the sort keys.
    pub(crate) fn cursor(
        &self,
        id: ReferralId,
        created: i64,
        updated: i64,
        item: &Json,
        work: &ListWork,
    ) -> Result<Cursor, StoreError> {
        if let Some(index_order) = self.index_order {
            let at = match index_order.by {
                IndexedInstant::Created => created,
                IndexedInstant::Updated => updated,
            };
            return Ok(index_order.cursor(at, id));
        }
        let evaluator = work.evaluator(self.query.scope.now);
        let key = |order: &TypedOrder| {
            let value = evaluator.value(&order.expr, item)?;
            Ok(SortValue::of(&value, order.ignore_case))
        };
        let keys: Result<_, odata::EvalError> = self.query.order.iter().map(key).collect();
        Ok(Cursor { keys: keys?, id })
    }

    /// Compares two cursors of this query.
    fn compare(&self, one: &Cursor, other: &Cursor) -> Ordering {
        let descending = |key: usize| match self.index_order {
            Some(index_order) => key == 0 && index_order.descending,
            None => self.query.order.get(key).is_some_and(|order| order.descending),
        };
        let keys = one.keys.iter().zip(&other.keys).enumerate().map(|(key, (one, other))| {
            let order = one.compare(other);
            if descending(key) { order.reverse() } else { order }
        });
        keys.fold(Ordering::Equal, Ordering::then).then(one.id.cmp(&other.id))
    }
}

/// Refuses paths to what is not stored with a referral.
///
/// # Errors
/// `NotSupported`, with a sentence for the client.
fn check_stored(expression: &Typed) -> Result<(), StoreError> {
    let mut checked = Ok(());
    expression.walk_paths(&mut |path| {
        if checked.is_ok() {
            checked = check_path(path);
        }
    });
    checked
}

/// Refuses a path to what is not stored with a referral.
///
/// # Errors
/// `NotSupported`, with a sentence for the client.
pub(crate) fn check_path(path: &TypedPath) -> Result<(), StoreError> {
    let message = if let Some(step) = path.steps.iter().find(|step| step.navigation) {
        format!("'{}' leads to other referrals: it is expanded, not asked about", step.name)
    } else if path.base == odata::PathBase::Item
        && path.steps.first().is_some_and(|step| &*step.name == "links")
    {
        "'links' is made for each answer: it cannot be asked about".to_owned()
    } else {
        return Ok(());
    };
    Err(StoreError::NotSupported(message))
}

/// Refuses what no engine can carry out in a filter and an order.
///
/// # Errors
/// `NotSupported`.
pub(crate) fn check_expressions<'e>(
    filter: Option<&'e Typed>,
    order: impl IntoIterator<Item = &'e TypedOrder>,
) -> Result<(), StoreError> {
    filter.into_iter().chain(order.into_iter().map(|key| &key.expr)).try_for_each(check_stored)
}

/// Keeps the first rows in the order of a query, of rows that come in any order. Holds at most twice the rows needed.
pub(crate) struct TopRows<'a, R> {
    planned: &'a PlannedQuery<'a>,
    work: &'a ListWork,
    /// Number of rows up to the end of the page.
    rows_needed: usize,
    kept: Vec<(Cursor, R)>,
    matching: u64,
}

impl<'a, R> TopRows<'a, R> {
    /// Minimum number of rows that are sorted at a time.
    const MIN_SORTED: usize = 4096;

    pub(crate) fn new(planned: &'a PlannedQuery<'a>, work: &'a ListWork) -> TopRows<'a, R> {
        let rows_needed = usize::try_from(planned.rows_needed()).unwrap_or(usize::MAX);
        TopRows { planned, work, rows_needed, kept: Vec::new(), matching: 0 }
    }

    /// Adds a row that matches.
    ///
    /// # Errors
    /// `TooCostly` where too many long values would be held.
    pub(crate) fn add(&mut self, cursor: Cursor, row: R) -> Result<(), StoreError> {
        self.matching += 1;
        let after = self.planned.query.after.as_ref();
        if after.is_some_and(|after| self.planned.compare(after, &cursor) != Ordering::Less) {
            return Ok(());
        }
        self.work.hold(cursor.bytes())?;
        self.kept.push((cursor, row));
        if self.kept.len() >= self.rows_needed.saturating_mul(2).max(Self::MIN_SORTED) {
            self.sort();
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.kept.sort_by(|(one, _), (other, _)| self.planned.compare(one, other));
        for (cursor, _) in self.kept.drain(self.rows_needed.min(self.kept.len())..) {
            self.work.work().release(cursor.bytes());
        }
    }

    /// Returns the page in order, and the number of all matching rows.
    pub(crate) fn finish(mut self) -> (Vec<(Cursor, R)>, u64) {
        self.sort();
        let skip = usize::try_from(self.planned.query.skip).unwrap_or(usize::MAX);
        (self.kept.into_iter().skip(skip).collect(), self.matching)
    }
}

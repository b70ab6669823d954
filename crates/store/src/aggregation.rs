//! `$apply`: referrals go through the steps one by one as far as each can be taken alone, and into groups; what is left
//! of the steps is applied to the groups, or to as much of the referrals as the steps ask about.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use odata::{
    Evaluator, Groups, Position, Search, SearchKind, Typed, TypedAggregate, TypedApply, TypedCompute,
    TypedKind, TypedPath, TypedTransformation,
};
use referral::ReferralId;
use serde_json::Value as Json;

use crate::item::{Column, ColumnValues, ItemSource};
use crate::list_work::ListWork;
use crate::planner::{FacetKey, Predicates, Statistics, check_expressions};
use crate::{Aggregation, AggregationResult, CountMode, Query, StoreError};

/// Order of the items: newest first, ties by id.
type ItemOrderKey = (Reverse<i64>, ReferralId);

/// The filters and searches that an aggregation begins with, as a query for all that match, and the steps after them.
pub(crate) fn leading_query(aggregation: &Aggregation) -> (Query, &[TypedTransformation]) {
    let (filter, search, steps) = leading(&aggregation.apply);
    let query = Query {
        scope: aggregation.scope.clone(),
        filter,
        search,
        order: Vec::new(),
        after: None,
        skip: 0,
        limit: usize::MAX,
        count: CountMode::No,
    };
    (query, steps)
}

fn leading(apply: &TypedApply) -> (Option<Typed>, Option<Search>, &[TypedTransformation]) {
    let (mut filters, mut searches) = (Vec::new(), Vec::new());
    let mut rest = apply.steps.as_slice();
    while let Some((step, after)) = rest.split_first() {
        match step {
            TypedTransformation::Filter(filter) => filters.push(filter.clone()),
            TypedTransformation::Search(search) => searches.push(search.clone()),
            _ => break,
        }
        rest = after;
    }
    let filter = match filters.len() {
        0 | 1 => filters.pop(),
        _ => {
            Some(Typed { at: Position::default(), ty: filters[0].ty.clone(), kind: TypedKind::And(filters) })
        }
    };
    let search = match searches.len() {
        0 | 1 => searches.pop(),
        _ => Some(Search { at: Position::default(), kind: SearchKind::And(searches) }),
    };
    (filter, search, rest)
}

/// The steps of an aggregation after its leading filters, with what the referrals so far came to.
pub(crate) struct Pipeline<'a> {
    aggregation: &'a Aggregation,
    work: &'a ListWork,
    /// Steps that take one item after the other.
    single: &'a [TypedTransformation],
    state: Accumulator<'a>,
    /// The steps after those.
    rest: &'a [TypedTransformation],
}

enum Accumulator<'a> {
    Grouped {
        by: &'a [TypedPath],
        aggregates: Option<&'a [TypedAggregate]>,
        grouping: Groups<'a, ItemOrderKey>,
    },
    Items(Vec<(ItemOrderKey, Arc<Json>)>),
}

/// The result of a [`Pipeline`].
pub(crate) enum Finished {
    /// Its results.
    Rows(Vec<Json>),
    /// Parts of referrals, perhaps with computed members: see [`complete`].
    Referrals(Vec<Json>),
}

impl<'a> Pipeline<'a> {
    /// # Errors
    /// `NotSupported`
    pub(crate) fn new(
        aggregation: &'a Aggregation,
        steps: &'a [TypedTransformation],
        work: &'a ListWork,
    ) -> Result<Pipeline<'a>, StoreError> {
        check_expressions(aggregation.filter.as_ref(), &aggregation.order)?;
        check_steps(&aggregation.apply.steps, true)?;
        let takes_one = |step: &TypedTransformation| {
            matches!(step, TypedTransformation::Filter(_) | TypedTransformation::Compute(_))
        };
        let (single, after) = steps.split_at(steps.iter().take_while(|step| takes_one(step)).count());
        let evaluator =
            Evaluator { schema: &aggregation.apply.schema, ..work.evaluator(aggregation.scope.now) };
        let grouped = |by: &'a [TypedPath], aggregates: Option<&'a [TypedAggregate]>| Accumulator::Grouped {
            by,
            aggregates,
            grouping: Groups::new(evaluator, by, aggregates),
        };
        let (state, rest) = match after {
            [TypedTransformation::Aggregate(aggregates), rest @ ..] => (grouped(&[], Some(aggregates)), rest),
            [TypedTransformation::GroupBy { by, apply }, rest @ ..] => match apply.as_slice() {
                [] => (grouped(by, None), rest),
                [TypedTransformation::Aggregate(aggregates)] => (grouped(by, Some(aggregates)), rest),
                _ => (Accumulator::Items(Vec::new()), after),
            },
            _ => (Accumulator::Items(Vec::new()), after),
        };
        Ok(Pipeline { aggregation, work, single, state, rest })
    }

    /// Returns the source of the items: all paths that the steps use, and `others`.
    pub(crate) fn source(&self, others: impl Iterator<Item = String>) -> ItemSource {
        let mut paths: Vec<String> = others.collect();
        collect_paths(self.single, &mut paths);
        match &self.state {
            Accumulator::Grouped { by, aggregates, .. } => {
                paths.extend(by.iter().map(TypedPath::wire));
                paths.extend(aggregated_paths(aggregates.unwrap_or_default()));
            }
            Accumulator::Items(_) if self.keeps_items() => {
                collect_paths(self.rest, &mut paths);
                let Aggregation { filter, order, .. } = self.aggregation;
                paths.extend(filter.iter().flat_map(Typed::item_paths));
                paths.extend(order.iter().flat_map(|key| key.expr.item_paths()));
                paths.push("id".to_owned());
            }
            // Whole referrals are among the results.
            Accumulator::Items(_) if leaves_items(self.rest) => paths.push(String::new()),
            Accumulator::Items(_) => collect_paths(self.rest, &mut paths),
        }
        // What a step has computed is not stored.
        let computed: Vec<&str> = computed_names(&self.aggregation.apply.steps).collect();
        paths.retain(|path| !computed.contains(&path.split('/').next().unwrap_or_default()));
        ItemSource::of(paths)
    }

    /// Whether the results are referrals.
    fn keeps_items(&self) -> bool {
        self.aggregation.apply.keeps_items()
    }

    /// The columns that tell the groups, where only the numbers of referrals in them are wanted.
    pub(crate) fn counted_columns(&self) -> Option<Vec<Column>> {
        let Accumulator::Grouped { by, aggregates, .. } = &self.state else { return None };
        let only_counts = aggregates.unwrap_or_default().iter().all(|aggregate| aggregate.of.is_none());
        if !self.single.is_empty() || !only_counts {
            return None;
        }
        by.iter().map(|path| Column::of(&path.wire())).collect()
    }

    /// Adds a referral, or `count` of them that are alike.
    ///
    /// # Errors
    /// Errors of the evaluation.
    pub(crate) fn add(
        &mut self,
        created: i64,
        id: ReferralId,
        mut item: Json,
        count: u64,
    ) -> Result<(), StoreError> {
        let work = self.work.work();
        let evaluator = self.evaluator();
        let order_key = (Reverse(created), id);
        let held = work.held();
        let remains = self.apply_single_steps(&evaluator, &mut item)?;
        // What the steps computed is gone with the item, or counted with it below.
        work.release(usize::try_from(work.held().saturating_sub(held)).unwrap_or(usize::MAX));
        if !remains {
            return Ok(());
        }
        match &mut self.state {
            Accumulator::Grouped { grouping, .. } => grouping.add(&item, &order_key, count)?,
            Accumulator::Items(items) => {
                work.hold(evaluator.size_of(&item)? + size_of::<(ItemOrderKey, Arc<Json>)>())?;
                items.push((order_key, Arc::new(item)));
            }
        }
        Ok(())
    }

    /// Applies the steps that take one item after the other. Returns whether the item remains.
    fn apply_single_steps(&self, evaluator: &Evaluator<'_>, item: &mut Json) -> Result<bool, StoreError> {
        for step in self.single {
            match step {
                TypedTransformation::Filter(filter) if !evaluator.matches(filter, item)? => return Ok(false),
                TypedTransformation::Compute(computed) => evaluator.add_computed(computed, item)?,
                _ => {}
            }
        }
        Ok(true)
    }

    fn evaluator(&self) -> Evaluator<'a> {
        Evaluator {
            schema: &self.aggregation.apply.schema,
            ..self.work.evaluator(self.aggregation.scope.now)
        }
    }

    /// # Errors
    /// Errors of the evaluation of the other steps.
    pub(crate) fn finish(self) -> Result<Finished, StoreError> {
        let evaluator = self.evaluator();
        let keeps_items = self.keeps_items();
        let items = match self.state {
            Accumulator::Grouped { grouping, .. } => grouping.finish()?.into_iter().map(Arc::new).collect(),
            Accumulator::Items(mut items) => {
                items.sort_by_key(|(order_key, _)| *order_key);
                items.into_iter().map(|(_, item)| item).collect()
            }
        };
        let Aggregation { apply, filter, order, skip, limit, .. } = self.aggregation;
        let rest = TypedApply { steps: self.rest.to_vec(), ..apply.clone() };
        let mut remaining = Vec::new();
        for item in evaluator.apply(&rest, items, &|_, _| Ok(true))? {
            if filter.as_ref().map_or(Ok(true), |filter| evaluator.matches(filter, &item))? {
                remaining.push(item);
            }
        }
        let skip = usize::try_from(*skip).unwrap_or(usize::MAX);
        let sorted = evaluator.sorted(order, remaining)?.into_iter().skip(skip).take(*limit);
        let rows = sorted.map(Arc::unwrap_or_clone).collect();
        Ok(if keeps_items { Finished::Referrals(rows) } else { Finished::Rows(rows) })
    }
}

/// Returns the SQL names of columns, each once.
pub(crate) fn sql_names(columns: &[Column]) -> Vec<&'static str> {
    let mut names: Vec<&str> = columns.iter().map(|column| column.sql()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the select list of a number of rows and the columns that they have in common.
pub(crate) fn counted(names: &[&str]) -> String {
    let columns: String = names.iter().map(|name| format!(", {name}")).collect();
    format!("count(*){columns}")
}

/// Returns the clause that goes with [`counted`]; nothing without columns.
pub(crate) fn group_by(names: &[&str]) -> String {
    if names.is_empty() { String::new() } else { format!(" GROUP BY {}", names.join(", ")) }
}

/// Returns whether the facet counts alone give the groups and counts of an aggregation.
pub(crate) fn are_facet_counts_enough(predicates: &Predicates<'_>, columns: &[Column]) -> bool {
    columns.iter().all(|column| matches!(column, Column::Facet(_))) && predicates.need_facets_only()
}

/// Adds the counts of the facets that match, summed up by the members in these columns.
///
/// # Errors
/// Errors of the evaluation.
pub(crate) fn add_facet_counts(
    pipeline: &mut Pipeline<'_>,
    columns: Vec<Column>,
    statistics: &Statistics,
    facets: Option<&[FacetKey]>,
) -> Result<(), StoreError> {
    let bits = columns.iter().filter_map(|column| match column {
        Column::Facet(member) => FacetKey::bits(member).map(|(shift, mask)| mask << shift),
        _ => None,
    });
    let mask = bits.fold(0, |all, bits| all | bits);
    let mut counts: BTreeMap<u16, u64> = BTreeMap::new();
    for (facet, count) in &statistics.facets {
        if facets.is_none_or(|facets| facets.contains(facet)) {
            *counts.entry(facet.0 & mask).or_default() += count;
        }
    }
    let source = ItemSource::Columns(columns);
    for (facet, count) in counts {
        let values = ColumnValues { facet: FacetKey(facet), ..ColumnValues::empty() };
        pipeline.add(values.created, values.id, source.item_of_columns(&values), count)?;
    }
    Ok(())
}

/// The ids of parts of referrals.
///
/// # Errors
/// `Engine` for what is not a referral.
pub(crate) fn ids(parts: &[Json]) -> Result<Vec<ReferralId>, StoreError> {
    let id = |part: &Json| part["id"].as_str().and_then(|id| id.parse().ok());
    let missing = || StoreError::Engine("a result of $apply is not a referral".to_owned());
    parts.iter().map(|part| id(part).ok_or_else(missing)).collect()
}

/// Parts of referrals with everything that their documents hold; those without a document are left out.
///
/// # Errors
/// `Engine` for a document that is not JSON; `TooCostly`.
pub(crate) fn complete(
    parts: Vec<Json>,
    documents: &HashMap<ReferralId, Bytes>,
    work: &ListWork,
) -> Result<AggregationResult, StoreError> {
    let source = ItemSource::of([String::new()]);
    let mut aggregated = AggregationResult::default();
    for (id, part) in ids(&parts)?.into_iter().zip(parts) {
        let Some(document) = documents.get(&id) else {
            aggregated.left_out += 1;
            continue;
        };
        work.take_document(document.len())?;
        work.hold(document.len())?;
        let mut row = source.item_of_document(id, document)?;
        if let (Json::Object(row), Json::Object(part)) = (&mut row, part) {
            for (name, value) in part {
                if !row.contains_key(&name) {
                    row.insert(name, value);
                }
            }
        }
        aggregated.rows.push(row);
    }
    Ok(aggregated)
}

/// Returns whether unchanged items may be among the results of steps.
fn leaves_items(steps: &[TypedTransformation]) -> bool {
    steps.iter().all(|step| match step {
        TypedTransformation::Aggregate(_) => false,
        TypedTransformation::GroupBy { apply, .. } => !apply.is_empty() && leaves_items(apply),
        TypedTransformation::Concat(parts) => parts.iter().any(|part| leaves_items(part)),
        _ => true,
    })
}

/// Returns the names of the members that steps compute.
fn computed_names(steps: &[TypedTransformation]) -> impl Iterator<Item = &str> {
    fn computed(step: &TypedTransformation) -> &[TypedCompute] {
        match step {
            TypedTransformation::Compute(computed) => computed,
            _ => &[],
        }
    }
    steps.iter().flat_map(computed).map(|one| &*one.name)
}

fn aggregated_paths(aggregates: &[TypedAggregate]) -> impl Iterator<Item = String> {
    aggregates.iter().filter_map(|aggregate| aggregate.of.as_ref()).flat_map(|(of, _)| of.item_paths())
}

/// Collects the paths that steps use.
fn collect_paths(steps: &[TypedTransformation], into: &mut Vec<String>) {
    for step in steps {
        match step {
            TypedTransformation::Filter(filter) => into.extend(filter.item_paths()),
            TypedTransformation::Compute(computed) => {
                into.extend(computed.iter().flat_map(|one| one.expr.item_paths()));
            }
            TypedTransformation::OrderBy(keys) => {
                into.extend(keys.iter().flat_map(|key| key.expr.item_paths()));
            }
            TypedTransformation::Ranked { by, .. } => into.extend(by.expr.item_paths()),
            TypedTransformation::Aggregate(aggregates) => into.extend(aggregated_paths(aggregates)),
            TypedTransformation::GroupBy { by, apply } => {
                into.extend(by.iter().map(TypedPath::wire));
                collect_paths(apply, into);
            }
            TypedTransformation::Concat(parts) => parts.iter().for_each(|part| collect_paths(part, into)),
            TypedTransformation::Search(_) | TypedTransformation::Skip(_) | TypedTransformation::Top(_) => {}
        }
    }
}

/// Refuses steps that no engine can carry out. Words are searched for only before every other step: items have none
/// after it.
fn check_steps(steps: &[TypedTransformation], mut leads: bool) -> Result<(), StoreError> {
    for step in steps {
        match step {
            TypedTransformation::Search(_) if !leads => {
                let message = "search in $apply is supported only before every other step";
                return Err(StoreError::NotSupported(message.to_owned()));
            }
            TypedTransformation::Search(_) => {}
            TypedTransformation::Filter(filter) => check_expressions(Some(filter), [])?,
            TypedTransformation::Compute(computed) => {
                computed.iter().try_for_each(|one| check_expressions(Some(&one.expr), []))?;
            }
            TypedTransformation::OrderBy(keys) => check_expressions(None, keys)?,
            TypedTransformation::Ranked { by, .. } => check_expressions(None, [by])?,
            TypedTransformation::Aggregate(aggregates) => {
                let of = aggregates.iter().filter_map(|aggregate| aggregate.of.as_ref());
                of.into_iter().try_for_each(|(of, _)| check_expressions(Some(of), []))?;
            }
            TypedTransformation::GroupBy { by, apply } => {
                by.iter().try_for_each(crate::planner::check_path)?;
                check_steps(apply, false)?;
            }
            TypedTransformation::Concat(parts) => {
                parts.iter().try_for_each(|part| check_steps(part, false))?
            }
            TypedTransformation::Skip(_) | TypedTransformation::Top(_) => {}
        }
        leads &= matches!(step, TypedTransformation::Search(_) | TypedTransformation::Filter(_));
    }
    Ok(())
}

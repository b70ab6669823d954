//! Groups of items that are added one by one, and their aggregates. Of an item, only the values that its group needs are kept.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::sum::SumAccumulator;
use super::{EvalResult, EvalScope, Evaluator, MEMBER};
use crate::pipeline::Method;
use crate::typed::{Typed, TypedPath};
use crate::typed_options::TypedAggregate;
use crate::value::{Value, fold};

/// Cost of looking up one value of a group's key, or one distinct value, in nodes.
const LOOKUP: u64 = 16;

/// `groupby` with `aggregate`, or `aggregate` alone, over items in any order.
///
/// Each item is added with its place in the order of the items. If items spell an equal value differently, the place
/// decides which spelling a group, a minimum or a maximum shows.
#[derive(Debug)]
pub struct Groups<'a, P> {
    evaluator: Evaluator<'a>,
    by: &'a [TypedPath],
    /// `None` if only the values of the groups are needed.
    aggregates: Option<&'a [TypedAggregate]>,
    groups: BTreeMap<GroupKey, Group<P>>,
}

#[derive(Debug)]
struct Group<P> {
    /// The place of the item that `shown` comes from.
    first: P,
    /// An object with the values that the group is made by.
    shown: Json,
    aggregates: Vec<Running<P>>,
}

/// An aggregate of the items so far.
#[derive(Debug)]
enum Running<P> {
    Count(u64),
    Sum(SumAccumulator),
    Average(SumAccumulator),
    Min(Option<(Value, P)>),
    Max(Option<(Value, P)>),
    Distinct(BTreeSet<GroupKey>),
    /// A method that has no values.
    Nothing,
}

impl<'a, P: Ord + Clone> Groups<'a, P> {
    /// Creates groups without items. Without paths all items form one group, which exists even without items.
    pub fn new(
        evaluator: Evaluator<'a>,
        by: &'a [TypedPath],
        aggregates: Option<&'a [TypedAggregate]>,
    ) -> Groups<'a, P> {
        Groups { evaluator, by, aggregates, groups: BTreeMap::new() }
    }

    /// Adds an item, which stands for `count` items that are all alike.
    ///
    /// # Errors
    /// [`EvalError`](super::EvalError)
    pub fn add(&mut self, item: &Json, place: &P, count: u64) -> EvalResult<()> {
        let evaluator = self.evaluator;
        let scope = EvalScope { item, variables: Vec::new() };
        let (key, bytes) = group_key(&evaluator, self.by, &scope)?;
        let group = match self.groups.get_mut(&key) {
            Some(group) => {
                if *place < group.first {
                    group.first = place.clone();
                    group.shown = group_values(&evaluator, self.by, &scope)?;
                }
                group
            }
            None => {
                let aggregates = self.aggregates.unwrap_or_default();
                evaluator.hold(bytes + MEMBER * aggregates.len())?;
                let shown = group_values(&evaluator, self.by, &scope)?;
                let aggregates = aggregates.iter().map(Running::of).collect();
                self.groups.entry(key).or_insert(Group { first: place.clone(), shown, aggregates })
            }
        };
        for (running, aggregate) in group.aggregates.iter_mut().zip(self.aggregates.unwrap_or_default()) {
            match &aggregate.of {
                None => {
                    if let Running::Count(items) = running {
                        *items += count;
                    }
                }
                Some((expression, _)) => {
                    running.add(&evaluator, expression, aggregate.ignore_case, item, place)?;
                }
            }
        }
        Ok(())
    }

    /// Returns an object for each group, ordered by the values of the groups.
    ///
    /// # Errors
    /// [`EvalError`](super::EvalError) for an average that its type cannot hold.
    pub fn finish(mut self) -> EvalResult<Vec<Json>> {
        if self.by.is_empty() && self.groups.is_empty() {
            let empty: Vec<Running<P>> =
                self.aggregates.unwrap_or_default().iter().map(Running::of).collect();
            return Ok(vec![Json::Object(results(self.aggregates.unwrap_or_default(), empty)?)]);
        }
        let mut made = Vec::with_capacity(self.groups.len());
        for group in std::mem::take(&mut self.groups).into_values() {
            let Some(aggregates) = self.aggregates else {
                made.push(group.shown);
                continue;
            };
            let mut object = group.shown;
            merge(&mut object, Json::Object(results(aggregates, group.aggregates)?));
            made.push(object);
        }
        Ok(made)
    }
}

fn results<P>(aggregates: &[TypedAggregate], running: Vec<Running<P>>) -> EvalResult<Map<String, Json>> {
    let mut object = Map::new();
    for (aggregate, running) in aggregates.iter().zip(running) {
        object.insert(aggregate.name.to_string(), running.finish()?.to_json());
    }
    Ok(object)
}

impl<P: Ord + Clone> Running<P> {
    /// An aggregate of no items.
    fn of(aggregate: &TypedAggregate) -> Running<P> {
        match aggregate.of.as_ref().map(|(_, method)| method) {
            None => Running::Count(0),
            Some(Method::Sum) => Running::Sum(SumAccumulator::default()),
            Some(Method::Average) => Running::Average(SumAccumulator::default()),
            Some(Method::Min) => Running::Min(None),
            Some(Method::Max) => Running::Max(None),
            Some(Method::CountDistinct) => Running::Distinct(BTreeSet::new()),
            Some(Method::Custom(_)) => Running::Nothing,
        }
    }

    /// Adds the value of an item. Null is ignored.
    fn add(
        &mut self,
        evaluator: &Evaluator<'_>,
        expression: &Typed,
        ignore_case: bool,
        item: &Json,
        place: &P,
    ) -> EvalResult<()> {
        let value = evaluator.value(expression, item)?;
        if value.is_null() {
            return Ok(());
        }
        evaluator.take_text(value.bytes().saturating_mul(4))?;
        match self {
            Running::Sum(sum) | Running::Average(sum) => sum.add(&value)?,
            // Of values that are equal but spelled differently, the first is the smallest and the last the largest.
            Running::Min(best) => replace(
                evaluator,
                best,
                value,
                place,
                |order, place, best| order.is_lt() || (order.is_eq() && place < best),
                ignore_case,
            )?,
            Running::Max(best) => replace(
                evaluator,
                best,
                value,
                place,
                |order, place, best| order.is_gt() || (order.is_eq() && place > best),
                ignore_case,
            )?,
            Running::Distinct(values) => {
                evaluator.take(LOOKUP)?;
                let bytes = value.bytes() + MEMBER;
                if values.insert(GroupKey(vec![sortable(value, ignore_case)])) {
                    evaluator.hold(bytes)?;
                }
            }
            Running::Count(_) | Running::Nothing => {}
        }
        Ok(())
    }
}

impl<P> Running<P> {
    fn finish(self) -> EvalResult<Value> {
        let whole = |count: u64| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
        Ok(match self {
            Running::Count(items) => whole(items),
            Running::Sum(sum) => sum.sum(),
            Running::Average(sum) => sum.average()?,
            Running::Min(best) | Running::Max(best) => best.map_or(Value::Null, |(value, _)| value),
            Running::Distinct(values) => whole(values.len() as u64),
            Running::Nothing => Value::Null,
        })
    }
}

/// Replaces the best value so far if a new value is better.
fn replace<P: Ord + Clone>(
    evaluator: &Evaluator<'_>,
    best: &mut Option<(Value, P)>,
    value: Value,
    place: &P,
    is_better: impl Fn(Ordering, &P, &P) -> bool,
    ignore_case: bool,
) -> EvalResult<()> {
    let held = match best {
        None => 0,
        Some((known, known_place)) => {
            if !is_better(value.sort(known, ignore_case), place, known_place) {
                return Ok(());
            }
            known.bytes()
        }
    };
    evaluator.hold(value.bytes().saturating_sub(held))?;
    *best = Some((value, place.clone()));
    Ok(())
}

/// Returns the key of the group that an item belongs to, and about how many bytes a new group takes.
pub(super) fn group_key(
    evaluator: &Evaluator<'_>,
    by: &[TypedPath],
    scope: &EvalScope<'_>,
) -> EvalResult<(GroupKey, usize)> {
    evaluator.take(LOOKUP * by.len() as u64 + 1)?;
    let mut key = Vec::with_capacity(by.len());
    let mut bytes = MEMBER;
    for path in by {
        let Some(step) = path.steps.last() else { continue };
        let value = evaluator.read(evaluator.resolve(path, scope)?, &step.ty)?.into_value();
        bytes += 2 * value.bytes() + MEMBER * path.steps.len();
        evaluator.take_text(value.bytes().saturating_mul(4))?;
        key.push(sortable(value, step.ignore_case));
    }
    Ok((GroupKey(key), bytes))
}

/// Returns an object with the values of an item that its group is made by.
pub(super) fn group_values(
    evaluator: &Evaluator<'_>,
    by: &[TypedPath],
    scope: &EvalScope<'_>,
) -> EvalResult<Json> {
    let mut values = Json::Object(Map::new());
    for path in by {
        put(&mut values, path, evaluator.resolve(path, scope)?.clone());
    }
    Ok(values)
}

/// Merges an object into another, recursively. Members of the added object win.
fn merge(into: &mut Json, from: Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(known) => merge(known, value),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (into, from) => *into = from,
    }
}

/// Returns whether an object has every member of another, recursively.
fn covers(object: &Json, other: &Json) -> bool {
    match (object, other) {
        (Json::Object(object), Json::Object(other)) => {
            other.iter().all(|(name, value)| object.get(name).is_some_and(|own| covers(own, value)))
        }
        _ => true,
    }
}

/// Adds the values of its group to a result. They come first, unless the result is an item, which has them already.
pub(super) fn with_group(shown: &Json, result: Arc<Json>) -> Arc<Json> {
    if covers(&result, shown) {
        return result;
    }
    let mut merged = shown.clone();
    merge(&mut merged, Arc::unwrap_or_clone(result));
    Arc::new(merged)
}

/// The values of a group. Groups are ordered by them.
#[derive(Debug)]
pub(super) struct GroupKey(Vec<Value>);

impl Ord for GroupKey {
    fn cmp(&self, other: &GroupKey) -> Ordering {
        let orders = self.0.iter().zip(&other.0).map(|(one, other)| one.sort(other, false));
        orders.fold(Ordering::Equal, Ordering::then)
    }
}

impl PartialOrd for GroupKey {
    fn partial_cmp(&self, other: &GroupKey) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for GroupKey {
    fn eq(&self, other: &GroupKey) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for GroupKey {}

/// Folds a text if case is ignored, so that it sorts accordingly.
fn sortable(value: Value, ignore_case: bool) -> Value {
    match value {
        Value::String(text) if ignore_case => Value::String(fold(&text)),
        value => value,
    }
}

/// Stores a value at a path and creates the objects on the way.
fn put(root: &mut Json, path: &TypedPath, value: Json) {
    let Some((last, before)) = path.steps.split_last() else { return };
    let mut object = root;
    for step in before {
        let Json::Object(members) = object else { return };
        object = members.entry(step.name.to_string()).or_insert_with(|| Json::Object(Map::new()));
    }
    if let Json::Object(members) = object {
        members.insert(last.name.to_string(), value);
    }
}

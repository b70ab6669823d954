//! `$apply` over documents. Groups are ordered by the values of their keys.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::scalar::SumAccumulator;
use super::{EvalError, EvalResult, EvalScope, Evaluator, MEMBER};
use crate::ast::Search;
use crate::pipeline::{Method, RankMethod};
use crate::typed::{Typed, TypedPath};
use crate::typed_options::{TypedAggregate, TypedApply, TypedCompute, TypedOrder, TypedTransformation};
use crate::value::{Value, fold};

/// A function that returns whether a document matches a search expression. It charges the budget itself.
pub type SearchMatcher<'s> = dyn Fn(&Search, &Json) -> Result<bool, EvalError> + 's;

/// Cost of finding the group of an item, for each key, in nodes.
const GROUP: u64 = 16;
impl Evaluator<'_> {
    /// Runs a pipeline over documents.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn apply(
        &self,
        apply: &TypedApply,
        items: Vec<Arc<Json>>,
        search: &SearchMatcher<'_>,
    ) -> Result<Vec<Arc<Json>>, EvalError> {
        let inner = Evaluator { schema: &apply.schema, now: self.now, work: self.work };
        inner.pipeline(&apply.steps, items, search)
    }

    fn pipeline(
        &self,
        steps: &[TypedTransformation],
        mut items: Vec<Arc<Json>>,
        search: &SearchMatcher<'_>,
    ) -> EvalResult<Vec<Arc<Json>>> {
        for step in steps {
            items = self.step(step, items, search)?;
        }
        Ok(items)
    }

    fn step(
        &self,
        step: &TypedTransformation,
        mut items: Vec<Arc<Json>>,
        search: &SearchMatcher<'_>,
    ) -> EvalResult<Vec<Arc<Json>>> {
        self.take(items.len() as u64 + 1)?;
        match step {
            TypedTransformation::Filter(predicate) => kept(items, |item| self.matches(predicate, item)),
            TypedTransformation::Search(expr) => kept(items, |item| search(expr, item)),
            TypedTransformation::Compute(computed) => {
                items.into_iter().map(|item| self.with_computed(computed, item)).collect()
            }
            TypedTransformation::OrderBy(keys) => self.sorted_shared(keys, items),
            TypedTransformation::Skip(number) => {
                items.drain(..usize::try_from(*number).unwrap_or(usize::MAX).min(items.len()));
                Ok(items)
            }
            TypedTransformation::Top(number) => {
                items.truncate(usize::try_from(*number).unwrap_or(usize::MAX));
                Ok(items)
            }
            TypedTransformation::Ranked { kind, amount, by } => self.rank(*kind, amount, by, items),
            TypedTransformation::Aggregate(aggregates) => {
                Ok(vec![Arc::new(self.aggregate(aggregates, &items)?)])
            }
            TypedTransformation::GroupBy { by, apply } => self.group(by, apply, items, search),
            TypedTransformation::Concat(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    // The items are shared, but each step adds references to them.
                    self.take(items.len() as u64 * 2)?;
                    self.hold(items.len() * size_of::<Arc<Json>>())?;
                    all.extend(self.pipeline(part, items.clone(), search)?);
                }
                Ok(all)
            }
        }
    }

    fn with_computed(&self, computed: &[TypedCompute], mut item: Arc<Json>) -> EvalResult<Arc<Json>> {
        let mut values: Vec<(&Arc<str>, Json)> = Vec::with_capacity(computed.len());
        for one in computed {
            let value = self.json(&one.expr, &item)?;
            self.hold(MEMBER + one.name.len())?;
            values.push((&one.name, value));
        }
        if Arc::strong_count(&item) > 1 {
            let bytes = self.size_of(&item)?;
            self.hold(bytes)?;
        }
        if let Json::Object(members) = Arc::make_mut(&mut item) {
            members.extend(values.into_iter().map(|(name, value)| (name.to_string(), value)));
        }
        Ok(item)
    }

    fn sorted_shared(&self, keys: &[TypedOrder], items: Vec<Arc<Json>>) -> EvalResult<Vec<Arc<Json>>> {
        self.sorted_by(keys, items, |item| item)
    }

    fn rank(
        &self,
        kind: RankMethod,
        amount: &Value,
        by: &TypedOrder,
        items: Vec<Arc<Json>>,
    ) -> EvalResult<Vec<Arc<Json>>> {
        let mut items = self.sorted_shared(std::slice::from_ref(by), items)?;
        if matches!(kind, RankMethod::TopCount | RankMethod::BottomCount) {
            let count = amount.to_decimal().and_then(|amount| usize::try_from(amount.trunc()).ok());
            items.truncate(count.unwrap_or(0));
            return Ok(items);
        }
        let mut values = Vec::with_capacity(items.len());
        for item in &items {
            values.push(self.value(&by.expr, item)?.to_double().unwrap_or(0.0));
        }
        let amount = amount.to_double().unwrap_or(0.0);
        let wanted = match kind {
            RankMethod::TopPercent | RankMethod::BottomPercent => values.iter().sum::<f64>() * amount / 100.0,
            _ => amount,
        };
        let mut sum = 0.0;
        let mut keep = 0;
        for value in values {
            // Values that are not numbers do not add to the sum.
            if sum >= wanted {
                break;
            }
            sum += value;
            keep += 1;
        }
        items.truncate(keep);
        Ok(items)
    }

    fn group(
        &self,
        by: &[TypedPath],
        apply: &[TypedTransformation],
        items: Vec<Arc<Json>>,
        search: &SearchMatcher<'_>,
    ) -> EvalResult<Vec<Arc<Json>>> {
        let mut groups: BTreeMap<GroupKey, (Json, Vec<Arc<Json>>)> = BTreeMap::new();
        for item in items {
            self.take(GROUP * by.len() as u64)?;
            let scope = EvalScope { item: &item, variables: Vec::new() };
            let mut key = Vec::with_capacity(by.len());
            let mut shown = Json::Object(Map::new());
            let mut bytes = 0;
            for path in by {
                let json = self.resolve(path, &scope)?;
                let Some(step) = path.steps.last() else { continue };
                let value = self.read(json, &step.ty)?.into_value();
                bytes += 2 * value.bytes() + MEMBER * path.steps.len();
                self.take_text(value.bytes().saturating_mul(4))?;
                key.push(sortable(value, step.ignore_case));
                put(&mut shown, path, json.clone());
            }
            let key = GroupKey(key);
            match groups.get_mut(&key) {
                Some((_, members)) => members.push(item),
                None => {
                    self.hold(bytes)?;
                    groups.insert(key, (shown, vec![item]));
                }
            }
        }
        let mut results = Vec::new();
        for (shown, members) in groups.into_values() {
            if apply.is_empty() {
                results.push(Arc::new(shown));
                continue;
            }
            for mut result in self.pipeline(apply, members, search)? {
                if let (Json::Object(result), Json::Object(shown)) = (Arc::make_mut(&mut result), &shown) {
                    for (name, value) in shown {
                        self.hold(MEMBER)?;
                        result.insert(name.clone(), value.clone());
                    }
                }
                results.push(result);
            }
        }
        Ok(results)
    }

    fn aggregate(&self, aggregates: &[TypedAggregate], items: &[Arc<Json>]) -> EvalResult<Json> {
        let mut result = Map::new();
        for aggregate in aggregates {
            let value = match &aggregate.of {
                None => Value::Integer(i64::try_from(items.len()).unwrap_or(i64::MAX)),
                Some((expr, method)) => self.total(expr, method, aggregate.ignore_case, items)?,
            };
            self.hold(MEMBER + aggregate.name.len() + value.bytes())?;
            result.insert(aggregate.name.to_string(), value.to_json());
        }
        Ok(Json::Object(result))
    }

    /// Null values are ignored. The sum, average, minimum and maximum of no values are null.
    fn total(
        &self,
        expr: &Typed,
        method: &Method,
        ignore_case: bool,
        items: &[Arc<Json>],
    ) -> EvalResult<Value> {
        let mut sum = SumAccumulator::default();
        let mut best = Value::Null;
        let mut distinct: BTreeSet<GroupKey> = BTreeSet::new();
        let held = self.held();
        for item in items {
            let value = self.value(expr, item)?;
            if value.is_null() {
                continue;
            }
            self.take_text(value.bytes().saturating_mul(4))?;
            match method {
                Method::Sum | Method::Average => sum.add(&value)?,
                Method::Min | Method::Max => {
                    let order = value.sort(&best, ignore_case);
                    let better = if *method == Method::Min { Ordering::Less } else { Ordering::Greater };
                    // Of equal values, the first is the minimum and the last the maximum.
                    let takes =
                        best.is_null() || order == better || (order.is_eq() && *method == Method::Max);
                    if takes {
                        best = value;
                    }
                }
                Method::CountDistinct => {
                    self.take(GROUP)?;
                    let bytes = value.bytes() + MEMBER;
                    if distinct.insert(GroupKey(vec![sortable(value, ignore_case)])) {
                        self.hold(bytes)?;
                    }
                }
                Method::Custom(_) => {}
            }
        }
        self.release_to(held);
        Ok(match method {
            Method::Sum => sum.sum(),
            Method::Average => sum.average()?,
            Method::Min | Method::Max => best,
            Method::CountDistinct => Value::Integer(i64::try_from(distinct.len()).unwrap_or(i64::MAX)),
            Method::Custom(_) => Value::Null,
        })
    }
}

/// The values of the keys of a group, in order.
struct GroupKey(Vec<Value>);

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

fn kept(items: Vec<Arc<Json>>, wanted: impl Fn(&Json) -> EvalResult<bool>) -> EvalResult<Vec<Arc<Json>>> {
    let mut kept = Vec::new();
    for item in items {
        if wanted(&item)? {
            kept.push(item);
        }
    }
    Ok(kept)
}

/// Inserts a value at a path, and creates the objects on the way.
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

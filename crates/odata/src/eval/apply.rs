//! `$apply` over documents. Groups come in the order of the values they are made by.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::parts::Sum;
use super::{Evaluator, resolve};
use crate::pipeline::{Method, Ranked};
use crate::typed::TypedPath;
use crate::typed_options::{TypedAggregate, TypedApply, TypedOrder, TypedTransformation};
use crate::value::Value;

impl Evaluator<'_> {
    /// What a pipeline makes of documents. `search` says whether a document matches a search expression.
    pub fn apply(
        &self,
        apply: &TypedApply,
        items: Vec<Json>,
        search: &dyn Fn(&crate::ast::Search, &Json) -> bool,
    ) -> Vec<Json> {
        let inner = Evaluator { schema: &apply.schema, now: self.now, work: self.work };
        inner.pipeline(&apply.steps, items, search)
    }

    fn pipeline(
        &self,
        steps: &[TypedTransformation],
        mut items: Vec<Json>,
        search: &dyn Fn(&crate::ast::Search, &Json) -> bool,
    ) -> Vec<Json> {
        for step in steps {
            items = self.step(step, items, search);
        }
        items
    }

    fn step(
        &self,
        step: &TypedTransformation,
        mut items: Vec<Json>,
        search: &dyn Fn(&crate::ast::Search, &Json) -> bool,
    ) -> Vec<Json> {
        match step {
            TypedTransformation::Filter(predicate) => items.retain(|item| self.matches(predicate, item)),
            TypedTransformation::Search(expr) => items.retain(|item| search(expr, item)),
            TypedTransformation::Compute(computed) => {
                for item in &mut items {
                    let values: Vec<(Arc<str>, Json)> = computed
                        .iter()
                        .map(|computed| (computed.name.clone(), self.value(&computed.expr, item).to_json()))
                        .collect();
                    if let Json::Object(members) = item {
                        members.extend(values.into_iter().map(|(name, value)| (name.to_string(), value)));
                    }
                }
            }
            TypedTransformation::OrderBy(keys) => items = self.sorted(keys, items),
            TypedTransformation::Skip(number) => {
                items.drain(..usize::try_from(*number).unwrap_or(usize::MAX).min(items.len()));
            }
            TypedTransformation::Top(number) => {
                items.truncate(usize::try_from(*number).unwrap_or(usize::MAX))
            }
            TypedTransformation::Ranked { kind, amount, by } => self.rank(*kind, amount, by, &mut items),
            TypedTransformation::Aggregate(aggregates) => return vec![self.aggregate(aggregates, &items)],
            TypedTransformation::GroupBy { by, apply } => return self.group(by, apply, items, search),
            TypedTransformation::Concat(parts) => {
                return parts.iter().flat_map(|part| self.pipeline(part, items.clone(), search)).collect();
            }
        }
        items
    }

    fn rank(&self, kind: Ranked, amount: &Value, by: &TypedOrder, items: &mut Vec<Json>) {
        *items = self.sorted(std::slice::from_ref(by), std::mem::take(items));
        if matches!(kind, Ranked::TopCount | Ranked::BottomCount) {
            let count = amount.to_decimal().and_then(|amount| usize::try_from(amount.trunc()).ok());
            return items.truncate(count.unwrap_or(0));
        }
        let value = |item: &Json| self.value(&by.expr, item).to_double().unwrap_or(0.0);
        let amount = amount.to_double().unwrap_or(0.0);
        let wanted = match kind {
            Ranked::TopPercent | Ranked::BottomPercent => {
                items.iter().map(value).sum::<f64>() * amount / 100.0
            }
            _ => amount,
        };
        let mut sum = 0.0;
        let mut keep = 0;
        while keep < items.len() && sum < wanted {
            sum += value(&items[keep]);
            keep += 1;
        }
        items.truncate(keep);
    }

    fn group(
        &self,
        by: &[TypedPath],
        apply: &[TypedTransformation],
        items: Vec<Json>,
        search: &dyn Fn(&crate::ast::Search, &Json) -> bool,
    ) -> Vec<Json> {
        let ignores_case = |path: &TypedPath| path.steps.last().is_some_and(|step| step.ignore_case);
        let order = |one: &[Value], other: &[Value]| {
            let pairs = by.iter().zip(one.iter().zip(other));
            let orders = pairs.map(|(path, (one, other))| one.sort(other, ignores_case(path)));
            orders.fold(Ordering::Equal, Ordering::then)
        };
        let mut groups: Vec<(Vec<Value>, Json, Vec<Json>)> = Vec::new();
        for item in items {
            let scope = super::Scope { item: &item, variables: Vec::new() };
            let mut key = Vec::new();
            let mut shown = Json::Object(Map::new());
            for path in by {
                let value = resolve(path, &scope);
                key.push(path.steps.last().map_or(Value::Null, |step| self.read(value, &step.ty)));
                put(&mut shown, path, value.clone());
            }
            match groups.iter_mut().find(|(known, ..)| order(known, &key).is_eq()) {
                Some((.., members)) => members.push(item),
                None => groups.push((key, shown, vec![item])),
            }
        }
        groups.sort_by(|(one, ..), (other, ..)| order(one, other));
        let mut results = Vec::new();
        for (_, shown, members) in groups {
            if apply.is_empty() {
                results.push(shown);
                continue;
            }
            for mut result in self.pipeline(apply, members, search) {
                if let (Json::Object(result), Json::Object(shown)) = (&mut result, &shown) {
                    for (name, value) in shown {
                        result.insert(name.clone(), value.clone());
                    }
                }
                results.push(result);
            }
        }
        results
    }

    fn aggregate(&self, aggregates: &[TypedAggregate], items: &[Json]) -> Json {
        let mut result = Map::new();
        for aggregate in aggregates {
            let value = match &aggregate.of {
                None => Value::Integer(i64::try_from(items.len()).unwrap_or(i64::MAX)),
                Some((expr, method)) => {
                    let values =
                        items.iter().map(|item| self.value(expr, item)).filter(|value| !value.is_null());
                    total(method, values.collect(), aggregate.ignore_case)
                }
            };
            result.insert(aggregate.name.to_string(), value.to_json());
        }
        Json::Object(result)
    }
}

/// Null values take no part; of none at all, sums and averages and extremes are null.
fn total(method: &Method, values: Vec<Value>, ignore_case: bool) -> Value {
    let by_order = |left: &Value, right: &Value| left.sort(right, ignore_case);
    match method {
        Method::CountDistinct => {
            let mut distinct: Vec<&Value> = Vec::new();
            for value in &values {
                if !distinct.iter().any(|known| by_order(known, value).is_eq()) {
                    distinct.push(value);
                }
            }
            Value::Integer(i64::try_from(distinct.len()).unwrap_or(i64::MAX))
        }
        Method::Min => values.into_iter().min_by(by_order).unwrap_or(Value::Null),
        Method::Max => values.into_iter().max_by(by_order).unwrap_or(Value::Null),
        Method::Sum => Sum::of(&values).sum(),
        Method::Average => Sum::of(&values).average(),
        Method::Custom(_) => Value::Null,
    }
}

/// Puts a value where a path leads, objects made on the way.
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

//! `$apply` over documents. Groups are ordered by the values of their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::groups::{GroupKey, Groups, group_key, group_values, with_group};
use super::{EvalError, EvalResult, EvalScope, Evaluator, MEMBER};
use crate::ast::Search;
use crate::pipeline::RankMethod;
use crate::typed::TypedPath;
use crate::typed_options::{TypedAggregate, TypedApply, TypedCompute, TypedOrder, TypedTransformation};
use crate::value::Value;

/// A function that returns whether a document matches a search expression. It charges the budget itself.
pub type SearchMatcher<'s> = dyn Fn(&Search, &Json) -> Result<bool, EvalError> + 's;

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
            TypedTransformation::Aggregate(aggregates) => self.grouped(&[], Some(aggregates), &items),
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
        if Arc::strong_count(&item) > 1 {
            let bytes = self.size_of(&item)?;
            self.hold(bytes)?;
        }
        self.add_computed(computed, Arc::make_mut(&mut item))?;
        Ok(item)
    }

    /// Adds computed members to an item; their expressions see the item as it was.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn add_computed(&self, computed: &[TypedCompute], item: &mut Json) -> Result<(), EvalError> {
        let mut values: Vec<(&Arc<str>, Json)> = Vec::with_capacity(computed.len());
        for one in computed {
            let value = self.json(&one.expr, item)?;
            self.hold(MEMBER + one.name.len())?;
            values.push((&one.name, value));
        }
        if let Json::Object(members) = item {
            members.extend(values.into_iter().map(|(name, value)| (name.to_string(), value)));
        }
        Ok(())
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
        match apply {
            [] => self.grouped(by, None, &items),
            [TypedTransformation::Aggregate(aggregates)] => self.grouped(by, Some(aggregates), &items),
            _ => self.group_apart(by, apply, items, search),
        }
    }

    /// Makes groups whose aggregates can be computed item by item.
    fn grouped(
        &self,
        by: &[TypedPath],
        aggregates: Option<&[TypedAggregate]>,
        items: &[Arc<Json>],
    ) -> EvalResult<Vec<Arc<Json>>> {
        let mut grouping = Groups::new(*self, by, aggregates);
        for (place, item) in items.iter().enumerate() {
            grouping.add(item, &place, 1)?;
        }
        Ok(grouping.finish()?.into_iter().map(Arc::new).collect())
    }

    /// Makes groups whose items go through further transformations.
    fn group_apart(
        &self,
        by: &[TypedPath],
        apply: &[TypedTransformation],
        items: Vec<Arc<Json>>,
        search: &SearchMatcher<'_>,
    ) -> EvalResult<Vec<Arc<Json>>> {
        let mut groups: BTreeMap<GroupKey, (Json, Vec<Arc<Json>>)> = BTreeMap::new();
        for item in items {
            let scope = EvalScope { item: &item, variables: Vec::new() };
            let (key, bytes) = group_key(self, by, &scope)?;
            match groups.get_mut(&key) {
                Some((_, members)) => members.push(item),
                None => {
                    self.hold(bytes)?;
                    let shown = group_values(self, by, &scope)?;
                    groups.insert(key, (shown, vec![item]));
                }
            }
        }
        let mut results = Vec::new();
        for (shown, members) in groups.into_values() {
            for result in self.pipeline(apply, members, search)? {
                self.hold(MEMBER * by.len())?;
                results.push(with_group(&shown, result));
            }
        }
        Ok(results)
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

//! What `$apply` makes of an owner's referrals: the evaluator's own answer, over a bounded number of documents.

use std::sync::Arc;

use odata::{DateTimeOffset, Evaluator, TypedApply, TypedTransformation};
use serde_json::Value as Json;

use super::pool::Pool;
use super::query::{self, QueryLimits};
use crate::sql::leading_query;
use crate::{Aggregation, StoreError};

/// The results of an aggregation, all of one moment.
pub(super) async fn aggregate(
    pool: &Arc<Pool>,
    limits: QueryLimits,
    aggregation: &Aggregation,
) -> Result<Vec<Json>, StoreError> {
    let (query, steps) = leading_query(aggregation);
    if searches(steps) {
        let message = "search after other transformations is not supported";
        return Err(StoreError::NotSupported(message.to_owned()));
    }
    let documents = query::documents(pool, limits, &query).await?;
    let Aggregation { scope, apply, filter, order, skip, limit } = aggregation;
    let now = DateTimeOffset { ticks: scope.now.ticks(), offset: 0 };
    let outer = Evaluator { schema: crate::schema(), now, work: None };
    // What leads has been applied.
    let apply = &TypedApply { steps: steps.to_vec(), ..apply.clone() };
    let documents = documents.into_iter().map(Arc::new).collect();
    let made = outer.apply(apply, documents, &|_, _| Ok(true))?;
    let evaluator = Evaluator { schema: &apply.schema, now, work: None };
    let mut kept = Vec::new();
    for item in made {
        if match filter {
            Some(filter) => evaluator.matches(filter, &item)?,
            None => true,
        } {
            kept.push(Arc::unwrap_or_clone(item));
        }
    }
    let skip = usize::try_from(*skip).unwrap_or(usize::MAX);
    Ok(evaluator.sorted(order, kept)?.into_iter().skip(skip).take(*limit).collect())
}

/// Whether a step asks for words, which documents at this place do not have any more.
fn searches(steps: &[TypedTransformation]) -> bool {
    steps.iter().any(|step| match step {
        TypedTransformation::Search(_) => true,
        TypedTransformation::GroupBy { apply, .. } => searches(apply),
        TypedTransformation::Concat(parts) => parts.iter().any(|part| searches(part)),
        _ => false,
    })
}

//! What `$apply` makes of an owner's referrals. The statement is written in `sql/apply.rs`; here are the rows that it
//! begins with, and what becomes of those it ends with.

use std::sync::Arc;

use odata::{Type, Typed, TypedTransformation};
use referral::Referral;
use rusqlite::{Row, params_from_iter};
use serde_json::{Map, Value as Json};

use super::functions;
use super::meter::QueryLimits;
use super::packing;
use super::query::ListReader;
use crate::asked::evaluator;
use crate::class::Class;
use crate::sql::{Applied, Bound, Dialect, Start, Writer, leading_query};
use crate::{Aggregation, Query, StoreError};

impl ListReader {
    /// The results of an aggregation, all of one moment.
    pub(super) fn aggregate(
        &self,
        limits: QueryLimits,
        aggregation: &Aggregation,
    ) -> Result<Vec<Json>, StoreError> {
        self.meter.start(limits);
        let _snapshot = self.connection.unchecked_transaction().map_err(|error| self.meter.judge(error))?;
        let applied = self.applied(limits, aggregation)?;
        let rows = self.connection.prepare_cached(&applied.statement.text).and_then(|mut statement| {
            statement
                .query_map(params_from_iter(&applied.statement.values), |row| result(row, &applied))?
                .collect()
        });
        rows.map_err(|error| self.meter.judge(error))
    }

    /// The text of what would be carried out.
    #[cfg(test)]
    pub(super) fn statement(
        &self,
        limits: QueryLimits,
        aggregation: &Aggregation,
    ) -> Result<String, StoreError> {
        self.meter.start(limits);
        Ok(self.applied(limits, aggregation)?.statement.text)
    }

    fn applied(&self, limits: QueryLimits, aggregation: &Aggregation) -> Result<Applied, StoreError> {
        let (query, steps) = leading_query(aggregation);
        let mut writer =
            Writer::with_schema(Dialect::Sqlite, aggregation.scope.now, &aggregation.apply.schema);
        let start = match kept(&query, steps) {
            true => kept_counts(&query, &mut writer)?,
            false => Start::Referrals(self.rows(limits, &query, &mut writer)?),
        };
        let Aggregation { filter, order, skip, limit, .. } = aggregation;
        Ok(writer.apply(start, steps, filter.as_ref(), order, *skip, *limit)?)
    }
}

/// Whether the kept counts tell what a pipeline begins with: the numbers of groups by members of the class.
fn kept(query: &Query, steps: &[TypedTransformation]) -> bool {
    let counts = |steps: &[TypedTransformation]| match steps {
        [TypedTransformation::Aggregate(aggregates)] => {
            aggregates.iter().all(|aggregate| aggregate.of.is_none())
        }
        steps => steps.is_empty(),
    };
    let first = match steps {
        [TypedTransformation::GroupBy { by, apply }, ..] => {
            counts(apply) && by.iter().all(|path| Class::bits(&path.wire()).is_some())
        }
        [first, ..] => counts(std::slice::from_ref(first)),
        [] => false,
    };
    first
        && query.scope.team.is_none()
        && query.search.is_none()
        && query.filter.iter().flat_map(Typed::conjuncts).all(Class::tells)
}

fn kept_counts(query: &Query, writer: &mut Writer<'_>) -> Result<Start, StoreError> {
    let leads = if query.scope.offer_leads { "(0, 1)" } else { "(0)" };
    writer.push("tally WHERE tally.owner = ");
    writer.bind(Bound::Blob(query.scope.owner.as_bytes().to_vec()));
    writer.push(&format!(" AND tally.offer_lead IN {leads} AND tally.n > 0"));
    if let Some(filter) = &query.filter {
        let evaluator = evaluator(query);
        let mut passing: Vec<String> = Vec::new();
        for class in Class::all() {
            if class.passes(&[filter], &evaluator)? {
                passing.push(class.0.to_string());
            }
        }
        writer.push(&format!(" AND tally.class IN ({})", passing.join(", ")));
    }
    let members = Referral::TYPE.properties.iter().filter_map(|row| {
        let (shift, mask) = Class::bits(row.name)?;
        let ty = crate::schema().property(Referral::TYPE.name, row.name, false)?.ty.clone();
        Some((Arc::from(row.name), ty, format!("(tally.class >> {shift} & {mask})")))
    });
    let members = members.collect();
    Ok(Start::Counts { from: writer.take(), count: "tally.n".to_owned(), members })
}

/// A row as an object: the document with what was added to it, or the members alone.
fn result(row: &Row<'_>, applied: &Applied) -> rusqlite::Result<Json> {
    let mut object = Map::new();
    let mut at = 0;
    if applied.documents {
        let document = packing::text_of(row.get_ref(0)?);
        if let Some(Ok(Json::Object(members))) = document.as_deref().map(serde_json::from_str) {
            object = members;
        }
        at = 1;
    }
    let part: Option<usize> = match applied.parts {
        true => Some(row.get(at + applied.columns.len())?),
        false => None,
    };
    for column in &applied.columns {
        let absent = column.parts.as_ref().zip(part).is_some_and(|(parts, part)| !parts.contains(&part));
        if !absent {
            let value = match &column.ty {
                Some(ty @ (Type::Primitive(_) | Type::Enum(_))) => {
                    functions::value_of(row.get_ref(at)?, ty).to_json()
                }
                None | Some(Type::Structured(_) | Type::Collection(_)) => Json::Null,
            };
            put(&mut object, &column.path, value);
        }
        at += 1;
    }
    Ok(Json::Object(object))
}

/// Puts a value where a path leads, objects made on the way.
fn put(object: &mut Map<String, Json>, path: &[Arc<str>], value: Json) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        object.insert(first.to_string(), value);
        return;
    }
    let inner = object.entry(first.to_string()).or_insert_with(|| Json::Object(Map::new()));
    if let Json::Object(inner) = inner {
        put(inner, rest, value);
    }
}

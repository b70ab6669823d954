//! `$apply` over an owner's referrals: which rows go into the steps of `aggregation.rs`, and what is read of each.

use std::collections::HashMap;

use bytes::Bytes;
use referral::{EngagementId, ReferralId};
use rusqlite::{Row, params_from_iter};

use super::lists::{ListRead, ListReader};
use super::rows;
use super::select::SelectBuilder;
use crate::aggregation::{
    Finished, Pipeline, add_facet_counts, are_facet_counts_enough, complete, counted, group_by, ids,
    leading_query, sql_names,
};
use crate::item::{Column, ColumnValues, ItemSource};
use crate::list_work::QueryLimits;
use crate::planner::{AccessPath, FacetKey, PlannedQuery, check_expressions};
use crate::{Aggregation, AggregationResult, StoreError};

impl ListReader {
    /// The results of an aggregation, all of one moment.
    pub(super) fn aggregate(
        &self,
        limits: QueryLimits,
        aggregation: &Aggregation,
    ) -> Result<AggregationResult, StoreError> {
        let work = self.meter.start(limits);
        let (query, steps) = leading_query(aggregation);
        check_expressions(query.filter.as_ref(), &query.order)?;
        let mut pipeline = Pipeline::new(aggregation, steps, &work)?;
        if aggregation.limit == 0 {
            return Ok(AggregationResult::default());
        }
        let _snapshot = self.snapshot()?;
        let reading =
            ListRead { connection: &self.connection, meter: &self.meter, work: &work, cached_snapshot: None };
        let planned = reading.plan_query(&query)?;
        let left_out = reading.feed(&planned, &mut pipeline)?;
        let mut made = match pipeline.finish()? {
            Finished::Rows(rows) => AggregationResult { rows, left_out: 0 },
            Finished::Referrals(parts) => {
                let documents = reading.documents_of(&ids(&parts)?)?;
                complete(parts, &documents, &work)?
            }
        };
        made.left_out += left_out;
        Ok(made)
    }
}

impl ListRead<'_> {
    /// Adds every matching referral to the pipeline. Returns the number of referrals that could not be read.
    fn feed(&self, planned: &PlannedQuery<'_>, pipeline: &mut Pipeline<'_>) -> Result<usize, StoreError> {
        let access_path = planned.scan_access_path();
        if access_path == AccessPath::Nothing {
            return Ok(0);
        }
        if let Some(columns) = pipeline.counted_columns() {
            if are_facet_counts_enough(&planned.predicates, &columns) {
                add_facet_counts(pipeline, columns, &planned.statistics, planned.facets())?;
                return Ok(0);
            }
            if planned.has_no_residual() {
                self.feed_counts(planned, &access_path, columns, pipeline)?;
                return Ok(0);
            }
        }
        let source = pipeline.source(planned.residual_paths());
        self.scan(planned, &access_path, &source, |candidate| {
            if planned.matches(&candidate.item, self.work)? {
                pipeline.add(candidate.created, candidate.id, candidate.item, 1)?;
            }
            Ok(())
        })
    }

    /// Adds the numbers of referrals that have the same values in these columns, counted by SQLite.
    fn feed_counts(
        &self,
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        columns: Vec<Column>,
        pipeline: &mut Pipeline<'_>,
    ) -> Result<(), StoreError> {
        let names = sql_names(&columns);
        let mut sql = (SelectBuilder { planned }).set(access_path, &counted(&names));
        sql.push(&group_by(&names));
        let source = ItemSource::Columns(columns);
        let mut statement = self.map_error(self.connection.prepare_cached(&sql.text))?;
        let mut found = self.map_error(statement.query(params_from_iter(&sql.values)))?;
        while let Some(row) = self.map_error(found.next())? {
            self.work.take_row()?;
            let values = self.map_error(grouped_values(row, &names))?;
            let count: u64 = self.map_error(row.get(0))?;
            if count > 0 {
                pipeline.add(values.created, values.id, source.item_of_columns(&values), count)?;
            }
        }
        Ok(())
    }

    /// Returns the documents of these referrals, without those that are damaged.
    fn documents_of(&self, ids: &[ReferralId]) -> Result<HashMap<ReferralId, Bytes>, StoreError> {
        let mut statement =
            self.map_error(self.connection.prepare_cached("SELECT row FROM referral WHERE id = ?1"))?;
        let mut documents = HashMap::with_capacity(ids.len());
        for id in ids {
            let row = self.map_error(statement.query_row([id.as_bytes()], |row| row.get(0)))?;
            if let Some(referral) = self.stored(row)? {
                self.work.hold(referral.document.len())?;
                documents.insert(*id, referral.document.clone());
            }
        }
        Ok(documents)
    }
}

/// Reads the columns of these names, which follow the count. Other columns keep their empty values.
fn grouped_values(row: &Row<'_>, names: &[&str]) -> rusqlite::Result<ColumnValues> {
    let mut values = ColumnValues::empty();
    for (column, name) in (1..).zip(names) {
        match *name {
            "referral.id" => values.id = rows::referral_id(row, column)?,
            "referral.engagement" => {
                values.engagement = EngagementId::from_bytes(rows::sixteen_bytes(row, column)?)
            }
            "referral.created" => values.created = row.get(column)?,
            "referral.updated" => values.updated = row.get(column)?,
            "referral.expires" => values.expires = row.get(column)?,
            "referral.accepted" => values.accepted = row.get(column)?,
            "referral.country" => values.country = row.get(column)?,
            "referral.shared_with_microsoft" => values.shared_with_microsoft = row.get(column)?,
            _ => values.facet = FacetKey(row.get(column)?),
        }
    }
    Ok(values)
}

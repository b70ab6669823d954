//! `$apply` over an owner's referrals: which rows go into the steps of `aggregation.rs`, and what is read of each.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use referral::ReferralId;
use tokio_postgres::Row;

use super::list_threads::ListThreads;
use super::lists::{ReadTransaction, plan_query};
use super::pool::Pool;
use super::rows;
use super::select::SelectBuilder;
use crate::aggregation::{
    Finished, Pipeline, add_facet_counts, are_facet_counts_enough, complete, counted, group_by, ids,
    leading_query, sql_names,
};
use crate::item::{Column, ColumnValues, ItemSource};
use crate::list_work::{ListWork, QueryLimits};
use crate::planner::{AccessPath, PlannedQuery, check_expressions};
use crate::{Aggregation, AggregationResult, StoreError};

/// Documents that are fetched at a time.
const FETCHED: usize = 64;

/// The results of an aggregation, all of one moment.
pub(super) async fn aggregate(
    pool: &Arc<Pool>,
    threads: &ListThreads,
    limits: QueryLimits,
    aggregation: &Aggregation,
) -> Result<AggregationResult, StoreError> {
    let pool = Arc::clone(pool);
    let planned = aggregation.clone();
    threads
        .run(&aggregation.scope.owner, move |interrupt| async move {
            let work = ListWork::new(limits, interrupt);
            aggregate_within(&pool, &planned, &work).await
        })
        .await
}

async fn aggregate_within(
    pool: &Arc<Pool>,
    aggregation: &Aggregation,
    work: &ListWork,
) -> Result<AggregationResult, StoreError> {
    let (query, steps) = leading_query(aggregation);
    check_expressions(query.filter.as_ref(), &query.order)?;
    let mut pipeline = Pipeline::new(aggregation, steps, work)?;
    if aggregation.limit == 0 {
        return Ok(AggregationResult::default());
    }
    let (reading, planned) = plan_query(pool, &query, work).await?;
    let left_out = reading.feed(&planned, &mut pipeline, work).await?;
    let mut made = match pipeline.finish()? {
        Finished::Rows(rows) => AggregationResult { rows, left_out: 0 },
        Finished::Referrals(parts) => {
            let documents = reading.documents(&planned, &ids(&parts)?, work).await?;
            complete(parts, &documents, work)?
        }
    };
    reading.end().await?;
    made.left_out += left_out;
    Ok(made)
}

impl ReadTransaction {
    /// Adds every matching referral to the pipeline. Returns the number of referrals that could not be read.
    async fn feed(
        &self,
        planned: &PlannedQuery<'_>,
        pipeline: &mut Pipeline<'_>,
        work: &ListWork,
    ) -> Result<usize, StoreError> {
        let access_path = planned.scan_access_path();
        if access_path == AccessPath::Nothing {
            return Ok(0);
        }
        if let Some(columns) = pipeline.counted_columns() {
            if are_facet_counts_enough(&planned.predicates, &columns) {
                add_facet_counts(pipeline, columns, &planned.statistics, planned.facets())?;
                return Ok(0);
            }
            if planned.has_no_residual() && planned.predicates.search.is_none() {
                self.feed_counts(planned, &access_path, columns, pipeline, work).await?;
                return Ok(0);
            }
        }
        let source = pipeline.source(planned.residual_paths());
        let scanned = self.scan(planned, &access_path, &source, work, |candidate| {
            if planned.matches(&candidate.item, work)? {
                pipeline.add(candidate.created, candidate.id, candidate.item, 1)?;
            }
            Ok(())
        });
        scanned.await
    }

    /// Adds the numbers of referrals that have the same values in these columns, counted by PostgreSQL.
    async fn feed_counts(
        &self,
        planned: &PlannedQuery<'_>,
        access_path: &AccessPath,
        columns: Vec<Column>,
        pipeline: &mut Pipeline<'_>,
        work: &ListWork,
    ) -> Result<(), StoreError> {
        let names = sql_names(&columns);
        let mut sql = (SelectBuilder { planned }).set(access_path, &counted(&names));
        sql.push(&group_by(&names));
        let source = ItemSource::Columns(columns);
        let visited = self.visit(&sql, |row| {
            work.take_row()?;
            let values = grouped_values(row, &names)?;
            match rows::count(row, 0)? {
                0 => Ok(()),
                count => pipeline.add(values.created, values.id, source.item_of_columns(&values), count),
            }
        });
        visited.await
    }

    /// Returns the documents of these referrals, without those that are damaged.
    async fn documents(
        &self,
        planned: &PlannedQuery<'_>,
        ids: &[ReferralId],
        work: &ListWork,
    ) -> Result<HashMap<ReferralId, Bytes>, StoreError> {
        let mut documents = HashMap::with_capacity(ids.len());
        for chunk in ids.chunks(FETCHED) {
            for referral in self.referrals_of(planned.query.scope.owner.as_bytes(), chunk).await? {
                work.hold(referral.document.len())?;
                documents.insert(referral.id, referral.document);
            }
        }
        Ok(documents)
    }
}

/// Reads the columns of these names, which follow the count. Other columns keep their empty values.
fn grouped_values(row: &Row, names: &[&str]) -> Result<ColumnValues, StoreError> {
    let mut values = ColumnValues::empty();
    for (column, name) in (1..).zip(names) {
        match *name {
            "referral.id" => values.id = rows::referral_id(row, column)?,
            "referral.engagement" => values.engagement = rows::engagement_id(row, column)?,
            "referral.created" => values.created = rows::get(row, column)?,
            "referral.updated" => values.updated = rows::get(row, column)?,
            "referral.expires" => values.expires = rows::get(row, column)?,
            "referral.accepted" => values.accepted = rows::get(row, column)?,
            "referral.country" => values.country = rows::text(row, column)?,
            "referral.shared_with_microsoft" => values.shared_with_microsoft = rows::get(row, column)?,
            _ => values.facet = rows::facet(row, column)?,
        }
    }
    Ok(values)
}
